/* Reconcile, first part: what both sides hold. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/sync/reconcile_internal.h"
#include "common/sync/sent.h"

#define CREATED_MARGIN_MS \
    (10 * 60 * 1000) /* clocks differ: look for an interrupted create from then on */

static void on_fetched(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                       const struct ls_err *err);
static void seek_remote(struct ls_reconcile *run);
static void on_found(void *arg, const struct ls_remote_page *page, const struct ls_err *err);
static void on_claimed(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                       const struct ls_err *err);
static void settle(struct ls_reconcile *run);
static void on_settled(void *arg, const struct ls_commit_result *result, const struct ls_err *err);
static void seek_local(struct ls_reconcile *run);
static void on_local_found(void *arg, const struct ls_scan_row *rows, size_t count,
                           const char *next, const struct ls_err *err);
static void on_adopted(void *arg, const char *uid, const struct ls_err *err);

/* ---- 3: the remote object ---- */

static const struct ls_op *open_create(const struct ls_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->op_count; i++)
        if (snapshot->ops[i].kind == LS_OP_CREATE &&
            (snapshot->ops[i].state == LS_OP_SENT || snapshot->ops[i].state == LS_OP_UNKNOWN))
            return &snapshot->ops[i];
    return NULL;
}

/* The value by which unlinked records find each other; NULL when the record has none. */
static const char *match_value(const struct ls_mapping *mapping, const struct ls_record *record)
{
    const struct ls_value *value;

    if (mapping->match < 0 || !ls_record_present(record))
        return NULL;
    value = &record->values[mapping->match];
    return value->state == LS_VALUE_SET && value->length ? value->text : NULL;
}

void ls_reconcile_fetch(struct ls_reconcile *run)
{
    run->step = STEP_FETCH;
    if (run->has_remote && run->snapshot->remote_id &&
        strcmp(run->snapshot->remote_id, run->remote.id) != 0) {
        ls_remote_fini(&run->remote);
        run->has_remote = false;
    }
    if (run->has_remote) /* brought along from the record that this one takes in */
        settle(run);
    else if (run->snapshot->remote_id && run->brought_id &&
             strcmp(run->snapshot->remote_id, run->brought_id) == 0)
        on_fetched(run, run->brought_exists ? &run->brought : NULL, run->brought_ms, NULL);
    else if (run->snapshot->remote_id)
        run->ticket = ls_gather_get(run->sync->gather, run->snapshot->remote_id, run->requests,
                                    on_fetched, run);
    else
        seek_remote(run);
}

static void keep_remote(struct ls_reconcile *run, const struct ls_remote *remote)
{
    ls_remote_fini(&run->remote);
    ls_remote_copy(&run->remote, remote);
    run->has_remote = true;
}

static void on_fetched(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                       const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    run->ticket = NULL;
    if (err) {
        ls_reconcile_finish(run, err);
        return;
    }
    run->remote_ms = remote_ms;
    run->trashed = remote && remote->trashed;
    if (remote && !remote->trashed) {
        keep_remote(run, remote);
        settle(run);
        return;
    }
    /* A link without a base is a mere hint; and what was deleted on both sides may have come back
     * under another id. */
    if (ls_record_present(&run->snapshot->local) &&
        (!ls_record_present(&run->snapshot->base) || run->snapshot->state == LS_LINK_TOMB))
        seek_remote(run);
    else
        settle(run);
}

static void seek_remote(struct ls_reconcile *run)
{
    const struct ls_op *create = open_create(run->snapshot);
    const char *match = match_value(run->sync->mapping, &run->snapshot->local);

    run->step = STEP_SEEK;
    if (!create && !match) {
        settle(run);
        return;
    }
    run->call =
        ls_connector_find(run->sync->connector, run->sync->mapping, match, create ? run->uid : NULL,
                          create ? create->first_at - CREATED_MARGIN_MS : 0, on_found, run);
}

/* How long an unanswered create may still show up: 0 when a second one could do no harm. */
static int64_t wait_for_create(const struct ls_reconcile *run)
{
    const struct ls_op *create = open_create(run->snapshot);
    int64_t age;

    if (!create ||
        (run->sync->can->match_unique && match_value(run->sync->mapping, &run->snapshot->local)))
        return 0;
    age = ls_clock_wall_ms() - create->first_at;
    return ls_engine_options(run->sync->engine)->unknown_ms - (age > 0 ? age : 0);
}

static void on_found(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;
    const struct ls_remote *found = NULL;
    size_t count = 0;

    ls_reconcile_count_call(run);
    run->call = NULL;
    if (err) {
        ls_reconcile_finish(run, err);
        return;
    }
    run->remote_ms = page->remote_ms;
    for (size_t i = 0; i < page->count; i++) {
        const struct ls_remote *item = &page->items[i];
        if (item->trashed)
            continue;
        count++;
        if (!found || (item->marker && strcmp(item->marker, run->uid) == 0))
            found = item;
    }
    if (!found) {
        int64_t wait = wait_for_create(run);
        if (wait > 0) {
            run->result.outcome = LS_OUTCOME_AGAIN;
            run->result.again_ms = wait;
            ls_reconcile_finish(run, NULL);
            return;
        }
        settle(run);
        return;
    }
    run->many = count > 1 && !(found->marker && strcmp(found->marker, run->uid) == 0);
    if (run->many) {
        settle(run);
        return;
    }
    keep_remote(run, found);
    run->step = STEP_CLAIMED;
    run->in_store = true;
    ls_store_scan_remote(run->store, run->sync->mapping, (const char *const *)&run->remote.id, 1,
                         on_claimed, run);
}

static void on_claimed(void *arg, const struct ls_scan_row *rows, size_t count, const char *next,
                       const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!ls_reconcile_is_wanted(run))
        return;
    if (err) {
        ls_reconcile_finish(run, err);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (rows[i].local_id && rows[i].state != LS_LINK_TOMB &&
            (!rows[i].uid || strcmp(rows[i].uid, run->uid) != 0))
            run->many = true;
    settle(run);
}

/* ---- 4: operations that were left open ---- */

/* Text that the platform cannot tell from "" takes the spelling that our side knows, so that it is
 * no difference. */
static void fold_value(enum ls_type type, struct ls_value *remote, const struct ls_value *known)
{
    if (known->state != LS_VALUE_MISSING && !ls_value_equal(remote, known) &&
        ls_value_same(type, remote, known))
        ls_value_copy(remote, known);
}

void ls_reconcile_fold(struct ls_reconcile *run, struct ls_record *remote)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    const struct ls_record *base = &run->snapshot->base, *local = &run->snapshot->local;

    for (size_t i = 0; i < remote->count; i++) {
        if (ls_record_present(base))
            fold_value(mapping->fields[i].type, &remote->values[i], &base->values[i]);
        if (ls_record_present(local))
            fold_value(mapping->fields[i].type, &remote->values[i], &local->values[i]);
    }
}

static bool is_open(const struct ls_op *op)
{
    return op->state == LS_OP_SENT || op->state == LS_OP_UNKNOWN;
}

/* Did the remote get something else than it had, by this write? */
static bool shows_effect(const struct ls_reconcile *run, uint64_t own)
{
    const struct ls_record *base = &run->snapshot->base;

    for (size_t i = 0; i < run->remote.record.count; i++)
        if (own >> i & 1 && (!ls_record_present(base) ||
                             !ls_value_same(run->sync->mapping->fields[i].type,
                                            &run->remote.record.values[i], &base->values[i])))
            return true;
    return false;
}

/* Did it take effect? Then what it sent is ours, and what differs from it on one side only was
 * changed there since. */
static enum ls_op_state judge(struct ls_reconcile *run, const struct ls_op *op)
{
    bool marked = op->kind == LS_OP_CREATE && run->has_remote && run->remote.marker &&
                  strcmp(run->remote.marker, run->uid) == 0;
    uint64_t own, held;

    if (!run->has_remote || run->remote.error.code != LS_E_NONE)
        return LS_OP_RETRY;
    if (!ls_sent_explain(run->sync->mapping, op->target_hash, &run->snapshot->local,
                         &run->remote.record, &own, &held))
        return marked ? LS_OP_OK : LS_OP_RETRY;
    if (held && !marked && (op->kind == LS_OP_CREATE || !shows_effect(run, own)))
        return LS_OP_RETRY;
    run->own |= own;
    run->held |= held;
    return LS_OP_OK;
}

/* A commit that changes nothing of the record but notes the outcome of an operation. */
struct ls_commit ls_reconcile_unchanged(const struct ls_reconcile *run, const struct ls_op *op)
{
    return (struct ls_commit){.fence = run->fence,
                              .state = run->snapshot->state,
                              .op = op,
                              .conflict_fields = run->snapshot->parked_fields,
                              .conflict_remote = run->has_remote ? &run->remote.record : NULL};
}

/* What took effect is agreed on from now on. Kept apart it would be forgotten with the operation,
 * and the next edit would look like a conflict. */
static void agree_on_sent(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    const struct ls_record *old = &run->snapshot->base;

    ls_record_fini(&run->base);
    ls_record_init(&run->base, mapping);
    for (size_t i = 0; i < mapping->count; i++) {
        const struct ls_value *value = run->own >> i & 1        ? &run->remote.record.values[i]
                                       : run->held >> i & 1     ? &run->snapshot->local.values[i]
                                       : ls_record_present(old) ? &old->values[i]
                                                                : NULL;
        if (value)
            ls_value_copy(&run->base.values[i], value);
    }
}

static void settle(struct ls_reconcile *run)
{
    struct ls_commit commit;

    run->step = STEP_SETTLE;
    while (run->settled < run->snapshot->op_count && !is_open(&run->snapshot->ops[run->settled]))
        run->settled++;
    if (run->settled == run->snapshot->op_count) {
        if (run->has_settled) { /* base and generation have moved on */
            ls_reconcile_forget(run);
            ls_reconcile_take(run);
        } else {
            seek_local(run);
        }
        return;
    }
    run->settling = run->snapshot->ops[run->settled++];
    run->settling.state = judge(run, &run->settling);
    if (run->look) {
        settle(run);
        return;
    }
    run->has_settled = true;
    commit = ls_reconcile_unchanged(run, &run->settling);
    if (run->settling.state == LS_OP_OK) {
        agree_on_sent(run);
        commit.base = &run->base;
        commit.state = LS_LINK_LINKED;
        /* together: a settled create whose object nobody knows would be made a second time */
        commit.remote_id = run->remote.id;
        commit.remote_version = run->remote.version;
    }
    ls_reconcile_log(run, LS_LOG_INFO, "sync.unknown_settled",
                     run->settling.state == LS_OP_OK ? "an unanswered write had taken effect"
                                                     : "an unanswered write had no effect");
    run->in_store = true;
    ls_store_commit(run->store, run->sync->mapping, run->uid, &commit, on_settled, run);
}

static void on_settled(void *arg, const struct ls_commit_result *result, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!ls_reconcile_is_wanted(run))
        return;
    if (err && err->code == LS_E_EXISTS) { /* what our create made is another record's by now */
        run->many = true;
        seek_local(run);
        return;
    }
    if (err) {
        ls_reconcile_finish(run, err);
        return;
    }
    settle(run);
}

/* ---- the local row of a record that was first seen remotely ---- */

static void seek_local(struct ls_reconcile *run)
{
    const char *match;

    if (run->has_remote && run->remote.error.code == LS_E_NONE)
        ls_reconcile_fold(run, &run->remote.record);
    match = run->has_remote && run->remote.error.code == LS_E_NONE
                ? match_value(run->sync->mapping, &run->remote.record)
                : NULL;
    if (ls_record_present(&run->snapshot->local) || run->snapshot->local_error.code != LS_E_NONE ||
        (ls_record_present(&run->snapshot->base) && run->snapshot->state != LS_LINK_TOMB) ||
        !match) {
        ls_reconcile_decide(run);
        return;
    }
    run->step = STEP_SEEK_LOCAL;
    run->in_store = true;
    ls_store_find_local(run->store, run->sync->mapping, match, on_local_found, run);
}

static void on_local_found(void *arg, const struct ls_scan_row *rows, size_t count,
                           const char *next, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;
    struct ls_record none = {0};
    struct ls_plan plan;

    if (!ls_reconcile_is_wanted(run))
        return;
    if (err) {
        ls_reconcile_finish(run, err);
        return;
    }
    if (count == 0) {
        ls_reconcile_decide(run);
        return;
    }
    if (count > 1 || (rows[0].remote_id && strcmp(rows[0].remote_id, run->remote.id) != 0)) {
        run->many = true;
        ls_reconcile_decide(run);
        return;
    }
    ls_decide(&(struct ls_decide_input){.mapping = run->sync->mapping,
                                        .base = &none,
                                        .local = rows[0].local,
                                        .remote = &run->remote.record},
              &plan);
    if (plan.verdict != LS_VERDICT_LINK || run->adopted) {
        run->plan = plan;
        if (!ls_reconcile_look(run))
            ls_reconcile_park(run, "%s", ls_decide_row_text(plan.row));
        return;
    }
    if (run->look) {
        char *uid = ls_xasprintf("l-%s", rows[0].local_id);
        on_adopted(run, uid, NULL);
        free(uid);
        return;
    }
    /* The record is the local row's: its link takes this one in. */
    run->step = STEP_ADOPT;
    run->in_store = true;
    ls_store_resolve(run->store, run->sync->mapping, rows[0].local_id, NULL, on_adopted, run);
}

static void on_adopted(void *arg, const char *uid, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!ls_reconcile_is_wanted(run))
        return;
    if (err) {
        ls_reconcile_finish(run, err);
        return;
    }
    ls_reconcile_log(run, LS_LOG_DEBUG, "sync.adopted", uid);
    free(run->uid);
    run->uid = ls_xstrdup(uid);
    run->adopted = true;
    ls_reconcile_forget(run);
    ls_reconcile_take(run);
}
