/* Reconcile, second part: what is to be done, and the write that does it. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/sync/reconcile_internal.h"
#include "common/sync/sent.h"

#define LOOP_WRITES 6 /* of one field to and fro, within */
#define LOOP_MS (10 * 60 * 1000)
#define NEWEST_GUARD_MS 5000 /* nearer stamps than this order nothing */

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
static int64_t stamp_ms(const char *text);

/* ---- 5, 6: compare and decide ---- */

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

void ls_reconcile_decide(struct ls_reconcile *run)
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
        ls_reconcile_log(run, LS_LOG_DEBUG, "sync.decided", text);
    }
    if (!ls_reconcile_look(run))
        act(run);
}

/* true: it only wanted to look, and has; the run is over. */
bool ls_reconcile_look(struct ls_reconcile *run)
{
    if (!run->look)
        return false;
    run->look(run->arg, &(struct ls_explanation){.uid = run->uid,
                                                 .snapshot = run->snapshot,
                                                 .remote = run->has_remote ? &run->remote : NULL,
                                                 .trashed = run->trashed,
                                                 .plan = &run->plan,
                                                 .own = run->own});
    ls_reconcile_finish(run, NULL);
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
             run->sync->mapping->entity, ls_reconcile_shown_id(run));
    ls_reconcile_log(run, LS_LOG_ERROR, "sync.invalid", text);
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
    ls_reconcile_park(run, "%s", err.text);
    return false;
}

static void restore_or_create(struct ls_reconcile *run)
{
    bool restore = run->plan.row == 14 || run->plan.row == 16;

    if (run->trashed && restore) {
        ls_reconcile_park(run,
                          "the record lies in the platform's trash: restore it there or delete "
                          "it for good");
        return;
    }
    if (restore && !run->absent_before) {
        run->result.outcome = LS_OUTCOME_AGAIN;
        run->result.again_ms = ls_engine_options(run->sync->engine)->absence_ms;
        run->result.absent = true;
        ls_reconcile_finish(run, NULL);
        return;
    }
    note_write(run, LS_OP_CREATE);
}

static void act_on_merge(struct ls_reconcile *run)
{
    if (run->plan.push)
        note_write(run, LS_OP_UPDATE);
    else
        ls_reconcile_commit(run);
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
    struct ls_commit commit = ls_reconcile_unchanged(run, NULL);

    commit.state = LS_LINK_PARKED;
    snprintf(run->error, sizeof run->error,
             "loop: one field was written %lld times to and fro in 10 minutes",
             (long long)run->snapshot->recent_writes);
    ls_reconcile_log(run, LS_LOG_ERROR, "sync.loop", run->error);
    commit.error = run->error;
    run->step = STEP_FAIL;
    run->in_store = true;
    ls_store_commit(run->store, run->sync->mapping, run->uid, &commit, on_loop_noted, run);
}

static void on_loop_noted(void *arg, const struct ls_commit_result *result,
                          const struct ls_err *err)
{
    struct ls_reconcile *run = arg;

    if (!ls_reconcile_is_wanted(run))
        return;
    run->result.outcome = LS_OUTCOME_AGAIN;
    run->result.again_ms = LOOP_MS;
    ls_reconcile_finish(run, err);
}

static void act(struct ls_reconcile *run)
{
    const struct ls_snapshot *snapshot = run->snapshot;

    if (writes_anything(&run->plan)) {
        if (!snapshot->writes_allowed) {
            run->result.outcome = LS_OUTCOME_OBSERVED;
            ls_reconcile_finish(run, NULL);
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
        ls_reconcile_commit(run);
        break;
    case LS_VERDICT_HOLD_LOCAL:
        ls_reconcile_park(run, "delete held: it is gone on the platform, the row stays");
        break;
    case LS_VERDICT_HOLD_REMOTE:
        ls_reconcile_park(run, "delete held: the row is gone, the platform's record stays");
        break;
    case LS_VERDICT_REPORT:
    case LS_VERDICT_PARK:
        ls_reconcile_park(run, "%s", ls_decide_row_text(run->plan.row));
        break;
    case LS_VERDICT_DUPLICATE:
        ls_reconcile_park(run, "duplicate: several records match");
        break;
    case LS_VERDICT_INVALID:
        log_invalid(run, snapshot->local_error.code != LS_E_NONE ? &snapshot->local_error
                                                                 : &run->remote.error);
        ls_reconcile_park(run, "%s",
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

static bool may_leave(void *arg)
{
    struct ls_reconcile *run = arg;

    return !run->may_write || run->may_write(run->arg);
}

static void on_noted(void *arg, const struct ls_err *err)
{
    struct ls_reconcile *run = arg;
    struct ls_write write;

    if (!ls_reconcile_is_wanted(run))
        return;
    if (err && err->code == LS_E_EXISTS && run->op.kind == LS_OP_UPDATE) {
        /* Sent before from the same base, answered, and the platform made another value of it:
         * again would change nothing. */
        if (run->snapshot->state == LS_LINK_PARKED)
            snprintf(run->error, sizeof run->error,
                     "mapping error: the platform keeps another value than was sent");
        run->plan.push = 0;
        ls_reconcile_commit(run);
        return;
    }
    if (err) {
        ls_reconcile_finish(run, err);
        return;
    }
    run->step = STEP_WRITE;
    write = (struct ls_write){
        .kind = run->op.kind == LS_OP_CREATE ? LS_WRITE_CREATE : LS_WRITE_UPDATE,
        .id = run->op.kind == LS_OP_CREATE ? NULL : run->remote.id,
        .record = &run->outgoing,
        .marker = run->op.kind == LS_OP_CREATE ? run->uid : NULL,
        .op_key = run->op.op_key,
    };
    run->ticket =
        ls_gather_write(run->sync->gather, &write, may_leave, run->requests, on_written, run);
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
        ls_reconcile_commit(run);
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
    run->ticket = ls_gather_get(run->sync->gather, id, run->requests, on_read_back, run);
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
        ls_reconcile_finish(run,
                            err); /* the operation stays open: the next run looks before it acts */
        return;
    }
    ls_remote_fini(&run->returned);
    ls_remote_copy(&run->returned, remote);
    ls_reconcile_commit(run);
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
    commit = ls_reconcile_unchanged(run, &run->op);
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

    if (!ls_reconcile_is_wanted(run))
        return;
    if (err && err->code == LS_E_FENCED)
        ls_reconcile_finish(run, err);
    else if (code == LS_E_EXISTS && run->round + 1 >= LS_RECONCILE_ROUNDS)
        ls_reconcile_park(run, "duplicate: %s", run->failure.text);
    else if (code == LS_E_CONFLICT || code == LS_E_NOT_FOUND || code == LS_E_EXISTS)
        ls_reconcile_start_over(run, &run->failure);
    else
        ls_reconcile_finish(run, &run->failure);
}
