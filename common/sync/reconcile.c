#include "common/sync/reconcile.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/sync/engine_internal.h"
#include "common/sync/gather.h"
#include "common/sync/sent.h"

#define MAX_ROUNDS 3
#define LOOP_WRITES 6 /* of one field to and fro, within */
#define LOOP_MS (10 * 60 * 1000)
#define CREATED_MARGIN_MS \
    (10 * 60 * 1000)         /* clocks differ: look for an interrupted create from then on */
#define NEWEST_GUARD_MS 5000 /* nearer stamps than this order nothing */

enum step {
    STEP_TAKE,
    STEP_FETCH,
    STEP_SEEK,       /* the remote object by match value or marker */
    STEP_CLAIMED,    /* does another record hold what was found? */
    STEP_SEEK_LOCAL, /* the local row by match value */
    STEP_ADOPT,      /* go on as the record of that row */
    STEP_SETTLE,     /* outcomes of operations that were left open */
    STEP_NOTE,
    STEP_WRITE,
    STEP_READ_BACK,
    STEP_COMMIT,
    STEP_FAIL /* noting the outcome of a write that failed */
};

struct ls_reconcile {
    struct ls_operation operation; /* first */
    enum step step;
    struct ls_sync *sync;
    struct ls_store *store;
    char *uid;
    uint64_t fence;
    bool absent_before;
    bool (*may_write)(void *arg);
    void (*look)(void *arg, const struct ls_explanation *explanation);
    ls_reconcile_cb *done; /* NULL: cancelled, waits for the store's callback only */
    void *arg;

    struct ls_ticket *ticket;    /* the one outstanding thing: a gathered read or write, */
    struct ls_remote_call *call; /* or another remote call, */
    bool in_store;               /* or a call to the store, which cannot be taken back */

    int round;
    struct ls_snapshot *snapshot;
    bool has_remote, trashed, many, sought, adopted;
    struct ls_remote remote; /* as fetched */
    int64_t remote_ms;
    bool has_settled;
    size_t settled; /* operations of the snapshot that are done with */
    uint64_t own;   /* fields whose remote value we sent */
    uint64_t held;  /* fields that the remote changed after an unanswered write of ours */
    struct ls_op settling;

    struct ls_plan plan;
    struct ls_record outgoing; /* what the remote write carries */
    struct ls_op op;
    bool wrote;                /* the remote write took effect */
    struct ls_remote returned; /* what came back */
    struct ls_record base, local_new;
    char error[512];       /* why it is parked */
    struct ls_err failure; /* kept while its outcome is noted */
    struct ls_reconcile_result result;
};

/* in running order */
static void take(struct ls_reconcile *run);
static void on_taken(void *arg, struct ls_snapshot *snapshot, const struct ls_err *err);
static void fetch(struct ls_reconcile *run);
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
static void decide(struct ls_reconcile *run);
static bool look(struct ls_reconcile *run);
static void act(struct ls_reconcile *run);
static void on_loop_noted(void *arg, const struct ls_commit_result *result,
                          const struct ls_err *err);
static void note_write(struct ls_reconcile *run, enum ls_op_kind kind);
static void on_noted(void *arg, const struct ls_err *err);
static void on_written(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                       const struct ls_err *err);
static void on_read_back(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                         const struct ls_err *err);
static void write_failed(struct ls_reconcile *run, const struct ls_err *err);
static void on_failure_noted(void *arg, const struct ls_commit_result *result,
                             const struct ls_err *err);
static void commit_merge(struct ls_reconcile *run);
static void commit_parked(struct ls_reconcile *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void on_committed(void *arg, const struct ls_commit_result *result,
                         const struct ls_err *err);
static void start_over(struct ls_reconcile *run, const struct ls_err *err);
static void finish(struct ls_reconcile *run, const struct ls_err *err);

/* ---- life ---- */

static void cancel_operation(struct ls_operation *operation);
static void forget_round(struct ls_reconcile *run);
static void free_run(struct ls_reconcile *run);

struct ls_reconcile *ls_reconcile_begin(const struct ls_reconcile_request *request,
                                        ls_reconcile_cb *done, void *arg)
{
    struct ls_reconcile *run = LS_NEW(struct ls_reconcile);

    ls_operation_begin(request->sync->engine, &run->operation, cancel_operation);
    run->sync = request->sync;
    run->store = ls_engine_store(request->sync->engine);
    run->uid = ls_xstrdup(request->uid);
    run->fence = request->fence;
    run->absent_before = request->absent;
    run->may_write = request->may_write;
    run->look = request->look;
    run->done = done;
    run->arg = arg;
    take(run);
    return run;
}

void ls_reconcile_cancel(struct ls_reconcile **reconcile)
{
    struct ls_reconcile *run = *reconcile;

    if (!run)
        return;
    *reconcile = NULL;
    ls_operation_end(&run->operation);
    cancel_operation(&run->operation);
}

static void cancel_operation(struct ls_operation *operation)
{
    struct ls_reconcile *run = (struct ls_reconcile *)operation;

    run->done = NULL;
    ls_gather_cancel(&run->ticket);
    ls_remote_cancel(&run->call);
    if (!run->in_store)
        free_run(run);
}

/* Back from the store. false: nobody waits for it any more. */
static bool is_wanted(struct ls_reconcile *run)
{
    run->in_store = false;
    if (run->done)
        return true;
    free_run(run);
    return false;
}

static void forget_round(struct ls_reconcile *run)
{
    ls_snapshot_free(run->snapshot);
    run->snapshot = NULL;
    if (!run->adopted)
        ls_remote_fini(&run->remote);
    ls_remote_fini(&run->returned);
    ls_record_fini(&run->outgoing);
    ls_record_fini(&run->base);
    ls_record_fini(&run->local_new);
    if (!run->adopted) {
        run->remote = (struct ls_remote){0};
        run->has_remote = false;
        run->sought = false;
    }
    run->returned = (struct ls_remote){0};
    run->trashed = run->many = run->wrote = false;
    run->settled = 0;
    run->has_settled = false;
    run->own = run->held = 0;
    run->error[0] = '\0';
}

static void free_run(struct ls_reconcile *run)
{
    run->adopted = false;
    forget_round(run);
    free(run->uid);
    free(run);
}

static void finish(struct ls_reconcile *run, const struct ls_err *err)
{
    ls_reconcile_cb *done = run->done;
    void *arg = run->arg;
    struct ls_err copy = err ? *err : (struct ls_err)LS_ERR_INIT;
    struct ls_reconcile_result result = run->result;
    char why[sizeof run->error];

    memcpy(why, run->error, sizeof why);
    result.why = why[0] ? why : NULL;
    result.row = run->plan.row;
    ls_operation_end(&run->operation);
    free_run(run);
    done(arg, err ? NULL : &result, err ? &copy : NULL);
}

/* "product 12345": by the application's id, for people */
static const char *shown_id(const struct ls_reconcile *run)
{
    if (run->snapshot && run->snapshot->local_id)
        return run->snapshot->local_id;
    return run->uid;
}

/* "Product" */
static const char *shown_entity(const struct ls_reconcile *run, char out[64])
{
    snprintf(out, 64, "%s", run->sync->mapping->entity);
    out[0] = (char)toupper((unsigned char)out[0]);
    return out;
}

static void log_run(const struct ls_reconcile *run, enum ls_log_level level, const char *event,
                    const char *text)
{
    const struct ls_mapping *mapping = run->sync->mapping;

    ls_log_with(
        level, event,
        LS_FIELDS({"account", mapping->account}, {"sync", mapping->sync}, {"record", run->uid}),
        "%s", text);
}

/* ---- 1, 2: take the record, read row, base and marks
 * ------------------------------------------------------------------------------ */

static void take(struct ls_reconcile *run)
{
    run->step = STEP_TAKE;
    run->in_store = true;
    ls_store_begin(run->store, run->sync->mapping, run->uid, run->fence, on_taken, run);
}

static void on_taken(void *arg, struct ls_snapshot *snapshot, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!run->done) {
        ls_snapshot_free(snapshot);
        snapshot = NULL;
    }
    if (!is_wanted(run))
        return;
    if (err && err->code == LS_E_NOT_FOUND && !run->look)
        err = NULL; /* taken in by another record since it was queued: nothing is left to do */
    if (err || !snapshot) {
        finish(run, err);
        return;
    }
    run->snapshot = snapshot;
    fetch(run);
}

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

static void fetch(struct ls_reconcile *run)
{
    run->step = STEP_FETCH;
    if (run->has_remote && run->snapshot->remote_id &&
        strcmp(run->snapshot->remote_id, run->remote.id) != 0) {
        ls_remote_fini(&run->remote);
        run->has_remote = false;
    }
    if (run->has_remote) /* brought along from the record that this one takes in */
        settle(run);
    else if (run->snapshot->remote_id)
        run->ticket = ls_gather_get(run->sync->gather, run->snapshot->remote_id, on_fetched, run);
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
        finish(run, err);
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
    run->sought = true;
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

    run->call = NULL;
    if (err) {
        finish(run, err);
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
            finish(run, NULL);
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

    if (!is_wanted(run))
        return;
    if (err) {
        finish(run, err);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (rows[i].local_id && rows[i].state != LS_LINK_TOMB &&
            (!rows[i].uid || strcmp(rows[i].uid, run->uid) != 0))
            run->many = true;
    settle(run);
}

/* ---- 4: operations that were left open
 * --------------------------------------------------------------------------------------------- */

/* Text that the platform cannot tell from "" takes the spelling that our side knows, so that it is
 * no difference. */
static void fold_value(enum ls_type type, struct ls_value *remote, const struct ls_value *known)
{
    if (known->state != LS_VALUE_MISSING && !ls_value_equal(remote, known) &&
        ls_value_same(type, remote, known))
        ls_value_copy(remote, known);
}

static void fold_remote(struct ls_reconcile *run, struct ls_record *remote)
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
static struct ls_commit unchanged(const struct ls_reconcile *run, const struct ls_op *op)
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
            forget_round(run);
            take(run);
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
    commit = unchanged(run, &run->settling);
    if (run->settling.state == LS_OP_OK) {
        agree_on_sent(run);
        commit.base = &run->base;
        commit.state = LS_LINK_LINKED;
        /* together: a settled create whose object nobody knows would be made a second time */
        commit.remote_id = run->remote.id;
        commit.remote_version = run->remote.version;
    }
    log_run(run, LS_LOG_INFO, "sync.unknown_settled",
            run->settling.state == LS_OP_OK ? "an unanswered write had taken effect"
                                            : "an unanswered write had no effect");
    run->in_store = true;
    ls_store_commit(run->store, run->sync->mapping, run->uid, &commit, on_settled, run);
}

static void on_settled(void *arg, const struct ls_commit_result *result, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!is_wanted(run))
        return;
    if (err && err->code == LS_E_EXISTS) { /* what our create made is another record's by now */
        run->many = true;
        seek_local(run);
        return;
    }
    if (err) {
        finish(run, err);
        return;
    }
    settle(run);
}

/* ---- the local row of a record that was first seen remotely
 * -------------------------------------------------------------------------- */

static void seek_local(struct ls_reconcile *run)
{
    const char *match;

    if (run->has_remote && run->remote.error.code == LS_E_NONE)
        fold_remote(run, &run->remote.record);
    match = run->has_remote && run->remote.error.code == LS_E_NONE
                ? match_value(run->sync->mapping, &run->remote.record)
                : NULL;
    if (ls_record_present(&run->snapshot->local) || run->snapshot->local_error.code != LS_E_NONE ||
        (ls_record_present(&run->snapshot->base) && run->snapshot->state != LS_LINK_TOMB) ||
        !match) {
        decide(run);
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

    if (!is_wanted(run))
        return;
    if (err) {
        finish(run, err);
        return;
    }
    if (count == 0) {
        decide(run);
        return;
    }
    if (count > 1 || (rows[0].remote_id && strcmp(rows[0].remote_id, run->remote.id) != 0)) {
        run->many = true;
        decide(run);
        return;
    }
    ls_decide(&(struct ls_decide_input){.mapping = run->sync->mapping,
                                        .base = &none,
                                        .local = rows[0].local,
                                        .remote = &run->remote.record},
              &plan);
    if (plan.verdict != LS_VERDICT_LINK || run->adopted) {
        run->plan = plan;
        if (!look(run))
            commit_parked(run, "%s", ls_decide_row_text(plan.row));
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

    if (!is_wanted(run))
        return;
    if (err) {
        finish(run, err);
        return;
    }
    log_run(run, LS_LOG_DEBUG, "sync.adopted", uid);
    free(run->uid);
    run->uid = ls_xstrdup(uid);
    run->adopted = true;
    forget_round(run);
    take(run);
}

/* ---- 5, 6: compare and decide ---- */

static int64_t stamp_ms(const char *text);

/* Values that a lost worker's late write brought back are ours too. */
static uint64_t late_writes(const struct ls_reconcile *run)
{
    uint64_t own = 0;

    if (run->has_remote && run->remote.error.code == LS_E_NONE)
        for (size_t i = 0; i < run->snapshot->sent_count; i++)
            own |= ls_sent_match(run->sync->mapping, run->snapshot->sent[i], &run->remote.record);
    return own;
}

/* Whose change is newer, by the moment of the mark here and the platform's stamp there; only when
 * that is beyond doubt. */
static enum ls_newest newest(const struct ls_reconcile *run)
{
    int64_t there, here = run->snapshot->first_at;
    int64_t now = ls_clock_wall_ms();

    if (!run->has_remote || !here || !run->remote_ms || !run->remote.version ||
        (run->snapshot->remote_version &&
         strcmp(run->snapshot->remote_version, run->remote.version) == 0))
        return LS_NEWEST_UNKNOWN;
    there = stamp_ms(run->remote.version);
    if (there < 0)
        return LS_NEWEST_UNKNOWN;
    there += now - run->remote_ms;
    if (there > now + 30000 || (there > here ? there - here : here - there) <= NEWEST_GUARD_MS)
        return LS_NEWEST_UNKNOWN;
    return here > there ? LS_NEWEST_LOCAL : LS_NEWEST_REMOTE;
}

/* Is what there is of a deleted record only from before the deletion? */
static bool is_late(const struct ls_reconcile *run)
{
    const char *deleted = run->snapshot->deleted_version;
    int64_t then, now;

    if (!deleted || !run->has_remote || !run->remote.version)
        return false;
    if (strcmp(deleted, run->remote.version) == 0)
        return true;
    then = stamp_ms(deleted);
    now = stamp_ms(run->remote.version);
    return then >= 0 && now >= 0 && now <= then;
}

static void decide(struct ls_reconcile *run)
{
    const struct ls_snapshot *snapshot = run->snapshot;
    struct ls_record none = {0};
    struct ls_decide_input input = {
        .mapping = run->sync->mapping,
        .base_state = snapshot->state == LS_LINK_TOMB      ? LS_BASE_TOMB
                      : ls_record_present(&snapshot->base) ? LS_BASE_PRESENT
                                                           : LS_BASE_NONE,
        .base = &snapshot->base,
        .local = &snapshot->local,
        .remote =
            run->has_remote && run->remote.error.code == LS_E_NONE ? &run->remote.record : &none,
        .local_invalid = snapshot->local_error.code != LS_E_NONE,
        .remote_invalid = run->has_remote && run->remote.error.code != LS_E_NONE,
        .many = run->many,
        .newest = newest(run),
        .late = is_late(run),
        .careful = strcmp(run->sync->mapping->entity, "order") == 0,
    };

    run->own |= late_writes(run);
    input.own = run->own;
    input.held = run->held;
    ls_decide(&input, &run->plan);
    if (ls_log_enabled(LS_LOG_DEBUG)) {
        char text[128];
        snprintf(text, sizeof text, "row %d: %s", run->plan.row,
                 ls_verdict_name(run->plan.verdict));
        log_run(run, LS_LOG_DEBUG, "sync.decided", text);
    }
    if (!look(run))
        act(run);
}

/* true: it only wanted to look, and has; the run is over. */
static bool look(struct ls_reconcile *run)
{
    if (!run->look)
        return false;
    run->look(run->arg, &(struct ls_explanation){.uid = run->uid,
                                                 .snapshot = run->snapshot,
                                                 .remote = run->has_remote ? &run->remote : NULL,
                                                 .trashed = run->trashed,
                                                 .plan = &run->plan,
                                                 .own = run->own});
    finish(run, NULL);
    return true;
}

static int64_t stamp_ms(const char *text)
{
    struct ls_value value = {0};
    int year, month, day, hour, minute, second;
    int64_t days;

    if (ls_value_set(&value, LS_TYPE_TIMESTAMP, text, strlen(text), NULL) < 0)
        return -1;
    if (sscanf(value.text, "%d-%d-%dT%d:%d:%d", &year, &month, &day, &hour, &minute, &second) != 6)
        second = hour = minute = 0, year = 1970, month = day = 1;
    ls_value_fini(&value);
    year -= month <= 2;
    days = (int64_t)year * 365 + year / 4 - year / 100 + year / 400 +
           (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 719469;
    return ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000;
}

/* ---- 7, 8: what the row says ---- */

static bool writes_anything(const struct ls_plan *plan)
{
    return plan->push || plan->pull || plan->verdict == LS_VERDICT_CREATE_REMOTE ||
           plan->verdict == LS_VERDICT_CREATE_LOCAL;
}

/* The fields of a record that a set of bits chooses. */
static void choose(struct ls_record *to, const struct ls_mapping *mapping,
                   const struct ls_record *from, uint64_t fields)
{
    ls_record_fini(to);
    ls_record_init(to, mapping);
    for (size_t i = 0; i < mapping->count; i++)
        if (fields >> i & 1)
            ls_value_copy(&to->values[i], &from->values[i]);
}

static uint64_t set_fields(const struct ls_record *record)
{
    uint64_t fields = 0;

    for (size_t i = 0; i < record->count; i++)
        if (record->values[i].state == LS_VALUE_SET)
            fields |= (uint64_t)1 << i;
    return fields;
}

static void log_invalid(const struct ls_reconcile *run, const struct ls_err *err)
{
    char text[256];

    snprintf(text, sizeof text, "Validation failed: %s%s for %s %s",
             err->reason[0] ? "Invalid " : "", err->reason[0] ? err->reason : "unreadable value",
             run->sync->mapping->entity, shown_id(run));
    log_run(run, LS_LOG_ERROR, "sync.invalid", text);
}

/* Both directions are checked before anything is written: a record is never half-written. */
static bool is_valid(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    struct ls_err err = LS_ERR_INIT;

    if (ls_record_validate(mapping, &run->outgoing, &err) == 0 &&
        ls_record_validate(mapping, &run->local_new, &err) == 0)
        return true;
    log_invalid(run, &err);
    commit_parked(run, "%s", err.text);
    return false;
}

static void restore_or_create(struct ls_reconcile *run)
{
    bool restore = run->plan.row == 14 || run->plan.row == 16;

    if (run->trashed && restore) {
        commit_parked(run, "the record lies in the platform's trash: restore it there or delete "
                           "it for good");
        return;
    }
    if (restore && !run->absent_before) {
        run->result.outcome = LS_OUTCOME_AGAIN;
        run->result.again_ms = ls_engine_options(run->sync->engine)->absence_ms;
        run->result.absent = true;
        finish(run, NULL);
        return;
    }
    note_write(run, LS_OP_CREATE);
}

static void act_on_merge(struct ls_reconcile *run)
{
    if (run->plan.push)
        note_write(run, LS_OP_UPDATE);
    else
        commit_merge(run);
}

static void prepare(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    uint64_t out = run->plan.push, in = run->plan.pull;

    if (run->plan.verdict == LS_VERDICT_CREATE_REMOTE)
        out = set_fields(&run->snapshot->local);
    if (run->plan.verdict == LS_VERDICT_CREATE_LOCAL)
        in = ~(uint64_t)0;
    choose(&run->outgoing, mapping, &run->snapshot->local, out);
    choose(&run->local_new, mapping, &run->remote.record, in);
}

/* Parked, but its marks stay and it is tried once the window is over: a guard slows down, it does
 * not lock out for good. */
static void break_loop(struct ls_reconcile *run)
{
    struct ls_commit commit = unchanged(run, NULL);

    commit.state = LS_LINK_PARKED;
    snprintf(run->error, sizeof run->error,
             "loop: one field was written %lld times to and fro in 10 minutes",
             (long long)run->snapshot->recent_writes);
    log_run(run, LS_LOG_ERROR, "sync.loop", run->error);
    commit.error = run->error;
    run->step = STEP_FAIL;
    run->in_store = true;
    ls_store_commit(run->store, run->sync->mapping, run->uid, &commit, on_loop_noted, run);
}

static void on_loop_noted(void *arg, const struct ls_commit_result *result,
                          const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!is_wanted(run))
        return;
    run->result.outcome = LS_OUTCOME_AGAIN;
    run->result.again_ms = LOOP_MS;
    finish(run, err);
}

static void act(struct ls_reconcile *run)
{
    const struct ls_snapshot *snapshot = run->snapshot;

    if (writes_anything(&run->plan)) {
        if (!snapshot->writes_allowed) {
            run->result.outcome = LS_OUTCOME_OBSERVED;
            finish(run, NULL);
            return;
        }
        if (snapshot->recent_writes > LOOP_WRITES) {
            break_loop(run);
            return;
        }
        prepare(run);
        if (!is_valid(run))
            return;
    }
    switch (run->plan.verdict) {
    case LS_VERDICT_CREATE_REMOTE:
        restore_or_create(run);
        break;
    case LS_VERDICT_MERGE:
    case LS_VERDICT_LINK:
        act_on_merge(run);
        break;
    case LS_VERDICT_NOOP:
    case LS_VERDICT_CREATE_LOCAL:
    case LS_VERDICT_TOMBSTONE:
        commit_merge(run);
        break;
    case LS_VERDICT_HOLD_LOCAL:
        commit_parked(run, "delete held: it is gone on the platform, the row stays");
        break;
    case LS_VERDICT_HOLD_REMOTE:
        commit_parked(run, "delete held: the row is gone, the platform's record stays");
        break;
    case LS_VERDICT_REPORT:
    case LS_VERDICT_PARK:
        commit_parked(run, "%s", ls_decide_row_text(run->plan.row));
        break;
    case LS_VERDICT_DUPLICATE:
        commit_parked(run, "duplicate: several records match");
        break;
    case LS_VERDICT_INVALID:
        log_invalid(run, snapshot->local_error.code != LS_E_NONE ? &snapshot->local_error
                                                                 : &run->remote.error);
        commit_parked(run, "%s",
                      snapshot->local_error.code != LS_E_NONE ? snapshot->local_error.text
                                                              : run->remote.error.text);
        break;
    }
}

/* The operation's name: the same for every attempt at it. What a create sends is no part of it:
 * edited meanwhile, it still is the one creation of this record. */
static void name_op(struct ls_reconcile *run, enum ls_op_kind kind)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    struct ls_buf buf = {0};

    run->op = (struct ls_op){.kind = kind, .state = LS_OP_SENT};
    ls_sent_hash(mapping, &run->outgoing, run->op.target_hash);
    ls_buf_printf(&buf, "%s/%s/%s/%d/%lld/%s", mapping->account, mapping->entity, run->uid,
                  (int)kind, (long long)run->snapshot->base_gen,
                  kind == LS_OP_CREATE ? "" : run->op.target_hash);
    ls_sha256_hex(buf.data, buf.length, run->op.op_key);
    ls_buf_fini(&buf);
}

static void note_write(struct ls_reconcile *run, enum ls_op_kind kind)
{
    run->step = STEP_NOTE;
    name_op(run, kind);
    run->in_store = true;
    ls_store_op_sent(run->store, run->sync->mapping, run->uid, run->fence, &run->op, on_noted, run);
}

/* ---- 9, 10: write, read back ---- */

static void on_noted(void *arg, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;
    struct ls_write write;

    if (!is_wanted(run))
        return;
    if (err && err->code == LS_E_EXISTS && run->op.kind == LS_OP_UPDATE) {
        /* Sent before from the same base, answered, and the platform made another value of it:
         * again would change nothing. */
        if (run->snapshot->state == LS_LINK_PARKED)
            snprintf(run->error, sizeof run->error,
                     "mapping error: the platform keeps another value than was sent");
        run->plan.push = 0;
        commit_merge(run);
        return;
    }
    if (err) {
        finish(run, err);
        return;
    }
    run->step = STEP_WRITE;
    if (run->may_write && !run->may_write(run->arg)) {
        struct ls_err refused = LS_ERR_INIT;
        ls_fail(&refused, LS_E_CANCELLED, "the claim is in doubt, nothing was written");
        write_failed(run, &refused);
        return;
    }
    write = (struct ls_write){
        .kind = run->op.kind == LS_OP_CREATE ? LS_WRITE_CREATE : LS_WRITE_UPDATE,
        .id = run->op.kind == LS_OP_CREATE ? NULL : run->remote.id,
        .record = &run->outgoing,
        .marker = run->op.kind == LS_OP_CREATE ? run->uid : NULL,
        .op_key = run->op.op_key,
    };
    run->ticket = ls_gather_write(run->sync->gather, &write, on_written, run);
}

static bool is_complete(const struct ls_reconcile *run)
{
    if (!run->returned.id || run->returned.error.code != LS_E_NONE ||
        run->returned.record.count != run->outgoing.count)
        return false;
    for (size_t i = 0; i < run->outgoing.count; i++)
        if (run->outgoing.values[i].state != LS_VALUE_MISSING &&
            run->returned.record.values[i].state == LS_VALUE_MISSING)
            return false;
    return true;
}

static void on_written(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                       const struct ls_err *err)
{
    struct ls_reconcile *run = arg;
    const char *id;

    run->ticket = NULL;
    if (err) {
        write_failed(run, err);
        return;
    }
    run->wrote = true;
    run->result.remote_writes++;
    run->op.state = LS_OP_OK;
    if (remote)
        ls_remote_copy(&run->returned, remote);
    if (is_complete(run)) {
        commit_merge(run);
        return;
    }
    id = run->returned.id ? run->returned.id : run->remote.id;
    if (!id) {
        struct ls_err lost = LS_ERR_INIT;
        ls_fail(&lost, LS_E_LOST, "the platform did not say what it created");
        write_failed(run, &lost);
        return;
    }
    run->step = STEP_READ_BACK;
    run->ticket = ls_gather_get(run->sync->gather, id, on_read_back, run);
}

static void on_read_back(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                         const struct ls_err *err)
{
    struct ls_reconcile *run = arg;
    struct ls_err gone = LS_ERR_INIT;

    run->ticket = NULL;
    if (!err && !remote) {
        ls_fail(&gone, LS_E_CONFLICT, "it vanished while it was written");
        err = &gone;
    }
    if (err) {
        finish(run, err); /* the operation stays open: the next run looks before it acts */
        return;
    }
    ls_remote_fini(&run->returned);
    ls_remote_copy(&run->returned, remote);
    commit_merge(run);
}

static void write_failed(struct ls_reconcile *run, const struct ls_err *err)
{
    bool refused =
        err->code == LS_E_PERMANENT || err->code == LS_E_INVALID || err->code == LS_E_TOO_BIG;
    bool unknown = err->code == LS_E_LOST || err->code == LS_E_TRANSIENT;
    struct ls_commit commit;

    run->step = STEP_FAIL;
    run->failure = *err;
    run->wrote = false;
    run->op.state = unknown ? LS_OP_UNKNOWN : LS_OP_RETRY;
    commit = unchanged(run, &run->op);
    commit.error = run->failure.text;
    if (refused) {
        commit.state = LS_LINK_PARKED;
        commit.row = run->plan.row;
        commit.local_gen = run->snapshot->local_gen;
        commit.remote_gen = run->snapshot->remote_gen;
    }
    run->in_store = true;
    ls_store_commit(run->store, run->sync->mapping, run->uid, &commit, on_failure_noted, run);
}

static void on_failure_noted(void *arg, const struct ls_commit_result *result,
                             const struct ls_err *err)
{
    struct ls_reconcile *run = arg;
    enum ls_err_code code = run->failure.code;

    if (!is_wanted(run))
        return;
    if (err && err->code == LS_E_FENCED)
        finish(run, err);
    else if (code == LS_E_EXISTS && run->round + 1 >= MAX_ROUNDS)
        commit_parked(run, "duplicate: %s", run->failure.text);
    else if (code == LS_E_CONFLICT || code == LS_E_NOT_FOUND || code == LS_E_EXISTS)
        start_over(run, &run->failure);
    else
        finish(run, &run->failure);
}

/* ---- 11: one commit ---- */

static bool is_parked_by_return(struct ls_reconcile *run);
static void log_conflicts(struct ls_reconcile *run, uint64_t conflicts);

/* The remote value of a field as it is now, as far as we know. */
static const struct ls_value *remote_now(const struct ls_reconcile *run, size_t field)
{
    static const struct ls_value missing;
    const struct ls_record *returned = &run->returned.record;

    if (run->wrote && ls_record_present(returned) &&
        returned->values[field].state != LS_VALUE_MISSING)
        return &returned->values[field];
    if (run->has_remote && ls_record_present(&run->remote.record))
        return &run->remote.record.values[field];
    return &missing;
}

/* The local value after the commit. */
static const struct ls_value *local_then(const struct ls_reconcile *run, size_t field)
{
    static const struct ls_value missing;

    if (ls_record_present(&run->local_new) &&
        run->local_new.values[field].state != LS_VALUE_MISSING)
        return &run->local_new.values[field];
    return ls_record_present(&run->snapshot->local) ? &run->snapshot->local.values[field]
                                                    : &missing;
}

/* Does the platform still have the value from before, though it accepted another? */
static bool is_ignored(const struct ls_reconcile *run, size_t field)
{
    enum ls_type type = run->sync->mapping->fields[field].type;
    const struct ls_value *sent = &run->outgoing.values[field], *now = remote_now(run, field);

    return sent->state != LS_VALUE_MISSING && !ls_value_same(type, sent, now) &&
           ls_value_same(type, now, &run->remote.record.values[field]);
}

/* Where the platform made another value of what we sent, a field that nobody owns alone takes it
 * over here too. */
static void take_over_normalised(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;

    if (!run->wrote)
        return;
    fold_remote(run, &run->returned.record);
    if (!ls_record_present(&run->local_new))
        ls_record_init(&run->local_new, mapping);
    for (size_t i = 0; i < mapping->count; i++) {
        const struct ls_value *sent = &run->outgoing.values[i];
        const struct ls_value *now = remote_now(run, i);
        bool created = run->op.kind == LS_OP_CREATE;
        if (now->state == LS_VALUE_MISSING || mapping->fields[i].owner == LS_OWNER_LOCAL ||
            run->sync->mapping->policy == LS_POLICY_LOCAL)
            continue;
        if (!created && (sent->state == LS_VALUE_MISSING || is_ignored(run, i)))
            continue;
        if (!ls_value_equal(&run->snapshot->local.values[i], now))
            ls_value_copy(&run->local_new.values[i], now);
    }
}

static void make_base(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    const struct ls_record *old = &run->snapshot->base;
    bool agreed_before = ls_record_present(old) && run->snapshot->state != LS_LINK_TOMB;

    ls_record_fini(&run->base);
    ls_record_init(&run->base, mapping);
    for (size_t i = 0; i < mapping->count; i++) {
        const struct ls_value *now = remote_now(run, i);
        bool sent = run->wrote && run->outgoing.values[i].state != LS_VALUE_MISSING;
        bool equal = now->state != LS_VALUE_MISSING && ls_value_equal(now, local_then(run, i));
        if (equal || (sent && now->state != LS_VALUE_MISSING))
            ls_value_copy(&run->base.values[i], now);
        else if (agreed_before)
            ls_value_copy(&run->base.values[i], &old->values[i]);
    }
}

static bool same_record(const struct ls_record *a, const struct ls_record *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!ls_value_equal(&a->values[i], &b->values[i]))
            return false;
    return true;
}

static size_t list_audits(const struct ls_reconcile *run, struct ls_audit *audits)
{
    static const struct ls_value missing;
    const struct ls_mapping *mapping = run->sync->mapping;
    size_t count = 0;

    for (size_t i = 0; i < mapping->count; i++) {
        bool had_remote = run->has_remote && ls_record_present(&run->remote.record);
        bool had_local = ls_record_present(&run->snapshot->local);
        if (run->wrote && run->outgoing.values[i].state != LS_VALUE_MISSING)
            audits[count++] = (struct ls_audit){
                i, LS_AUDIT_TO_REMOTE, had_remote ? &run->remote.record.values[i] : &missing,
                remote_now(run, i)};
        if (ls_record_present(&run->local_new) &&
            run->local_new.values[i].state != LS_VALUE_MISSING)
            audits[count++] = (struct ls_audit){
                i, LS_AUDIT_TO_LOCAL, had_local ? &run->snapshot->local.values[i] : &missing,
                &run->local_new.values[i]};
    }
    return count;
}

/* Open conflicts: those of the plan; one that took the remote's value stays listed until somebody
 * edits the field again; one of a field that the remote does not speak of now is left as it was. */
static uint64_t open_conflicts(const struct ls_reconcile *run)
{
    uint64_t conflicts = run->plan.park;

    for (size_t i = 0; i < run->sync->mapping->count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        bool silent = remote_now(run, i)->state == LS_VALUE_MISSING;
        bool listed = run->sync->mapping->policy == LS_POLICY_VERSION &&
                      !((run->plan.push | run->plan.pull) & bit);
        if (run->snapshot->parked_fields & bit && (silent || listed))
            conflicts |= bit;
    }
    return conflicts;
}

static bool has_values(const struct ls_record *record)
{
    for (size_t i = 0; i < record->count; i++)
        if (record->values[i].state != LS_VALUE_MISSING)
            return true;
    return false;
}

static void commit(struct ls_reconcile *run, struct ls_commit *commit);

static void commit_merge(struct ls_reconcile *run)
{
    const struct ls_snapshot *snapshot = run->snapshot;
    struct ls_audit audits[2 * LS_FIELDS_MAX];
    struct ls_commit out = {.state = LS_LINK_LINKED};
    bool both;

    take_over_normalised(run);
    both = (run->has_remote || run->wrote) &&
           (ls_record_present(&snapshot->local) || has_values(&run->local_new));
    if (both) {
        make_base(run);
        out.base = snapshot->state != LS_LINK_TOMB && same_record(&run->base, &snapshot->base)
                       ? NULL
                       : &run->base;
        out.remote_id = run->returned.id ? run->returned.id : run->remote.id;
        out.remote_version = run->returned.version ? run->returned.version : run->remote.version;
        if (snapshot->remote_id && strcmp(snapshot->remote_id, out.remote_id) == 0)
            out.remote_id = NULL;
        out.conflict_fields = open_conflicts(run);
    } else {
        out.state = snapshot->state;
    }
    if (run->plan.verdict == LS_VERDICT_TOMBSTONE) {
        out.state = LS_LINK_TOMB;
        out.deleted_version = snapshot->remote_version ? snapshot->remote_version : "";
    }
    if (has_values(&run->local_new)) {
        out.local_old = &snapshot->local;
        out.local_new = &run->local_new;
        run->result.local_writes = 1;
    }
    out.op = run->wrote ? &run->op : NULL;
    out.audits = audits;
    out.audit_count = list_audits(run, audits);
    out.verified = out.synced = both && !out.conflict_fields;
    run->result.outcome = run->wrote || out.base || out.local_new || out.remote_id ||
                                  run->plan.verdict == LS_VERDICT_TOMBSTONE
                              ? LS_OUTCOME_SYNCED
                              : LS_OUTCOME_NOOP;
    if (is_parked_by_return(run) || run->error[0]) {
        out.state = LS_LINK_PARKED;
        out.verified = out.synced = false;
        run->result.outcome = LS_OUTCOME_PARKED;
    }
    if (out.conflict_fields)
        log_conflicts(run, out.conflict_fields);
    if (out.conflict_fields && run->result.outcome == LS_OUTCOME_NOOP)
        run->result.outcome = LS_OUTCOME_PARKED;
    out.error = run->error[0] ? run->error : NULL;
    commit(run, &out);
}

/* An answer of 200 that kept the old value of a field: the mapping and the platform disagree, and
 * trying again is no remedy. */
static bool is_parked_by_return(struct ls_reconcile *run)
{
    const struct ls_mapping *mapping = run->sync->mapping;

    if (!run->wrote || run->op.kind != LS_OP_UPDATE)
        return false;
    for (size_t i = 0; i < mapping->count; i++) {
        if (!is_ignored(run, i))
            continue;
        snprintf(run->error, sizeof run->error,
                 "mapping error: the platform accepts but ignores '%s' ('%s')",
                 mapping->fields[i].remote, mapping->fields[i].name);
        log_run(run, LS_LOG_ERROR, "sync.ignored", run->error);
        return true;
    }
    return false;
}

static void log_conflicts(struct ls_reconcile *run, uint64_t conflicts)
{
    const struct ls_mapping *mapping = run->sync->mapping;
    uint64_t opened = conflicts & ~run->snapshot->parked_fields;
    char names[256] = "", entity[64], text[512];

    for (size_t i = 0; i < mapping->count; i++) {
        size_t used = strlen(names);
        if (conflicts >> i & 1)
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                     mapping->fields[i].name);
        run->result.conflicts += (int)(opened >> i & 1);
    }
    if (!run->error[0])
        snprintf(run->error, sizeof run->error, "conflict: %s changed in both systems", names);
    if (!opened)
        return;
    snprintf(text, sizeof text, "conflict detected: %s %s updated in both systems (%s)",
             shown_entity(run, entity), shown_id(run), names);
    log_run(run, LS_LOG_WARN, "sync.conflict", text);
}

static void commit_parked(struct ls_reconcile *run, const char *format, ...)
{
    struct ls_commit out = unchanged(run, run->wrote ? &run->op : NULL);
    bool report = run->plan.verdict == LS_VERDICT_REPORT;
    va_list args;

    va_start(args, format);
    vsnprintf(run->error, sizeof run->error, format, args);
    va_end(args);
    out.state = report && run->snapshot->state == LS_LINK_NEW ? LS_LINK_NEW : LS_LINK_PARKED;
    out.error = run->error;
    run->result.outcome = LS_OUTCOME_PARKED;
    log_run(run, LS_LOG_WARN, "sync.parked", run->error);
    commit(run, &out);
}

static void commit(struct ls_reconcile *run, struct ls_commit *out)
{
    run->step = STEP_COMMIT;
    out->fence = run->fence;
    out->row = run->plan.row;
    out->local_gen = run->snapshot->local_gen;
    out->remote_gen = run->snapshot->remote_gen;
    out->conflict_remote = run->wrote && ls_record_present(&run->returned.record)
                               ? &run->returned.record
                           : run->has_remote ? &run->remote.record
                                             : NULL;
    run->in_store = true;
    ls_store_commit(run->store, run->sync->mapping, run->uid, out, on_committed, run);
}

static void on_committed(void *arg, const struct ls_commit_result *result, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!is_wanted(run))
        return;
    if (err && err->code == LS_E_CONFLICT)
        start_over(run, err);
    else if (err && err->code == LS_E_EXISTS && run->result.outcome != LS_OUTCOME_PARKED)
        commit_parked(run, "duplicate: %s", err->text);
    else if (err && (err->code == LS_E_INVALID || err->code == LS_E_UNSUPPORTED) &&
             run->result.outcome != LS_OUTCOME_PARKED)
        commit_parked(run, "%s", err->text); /* the database refuses the row */
    else
        finish(run, err);
}

/* ---- 12: changed meanwhile ---- */

static void start_over(struct ls_reconcile *run, const struct ls_err *err)
{
    int remote_writes = run->result.remote_writes;

    if (++run->round >= MAX_ROUNDS) {
        if (err->code == LS_E_CONFLICT) { /* a hot record: leave it to a quieter moment */
            run->result = (struct ls_reconcile_result){
                .outcome = LS_OUTCOME_AGAIN, .again_ms = 500 + (int64_t)ls_rand_below(1500)};
            finish(run, NULL);
            return;
        }
        finish(run, err);
        return;
    }
    run->adopted = false;
    forget_round(run);
    run->result = (struct ls_reconcile_result){.remote_writes = remote_writes};
    take(run);
}
