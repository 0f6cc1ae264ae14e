#include "common/sync/reconcile_internal.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/rand.h"

static void bring(struct ls_reconcile *run, const struct ls_brought *brought);
static void on_taken(void *arg, struct ls_snapshot *snapshot, const struct ls_err *err);
static void cancel_operation(struct ls_operation *operation);
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
    run->requests = request->requests;
    run->look = request->look;
    if (request->brought)
        bring(run, request->brought);
    run->done = done;
    run->arg = arg;
    ls_reconcile_take(run);
    return run;
}

static void bring(struct ls_reconcile *run, const struct ls_brought *brought)
{
    run->brought_id = ls_xstrdup(brought->id);
    run->brought_ms = brought->remote_ms;
    run->brought_exists = brought->remote != NULL;
    if (brought->remote)
        ls_remote_copy(&run->brought, brought->remote);
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
    ls_reconcile_count_call(run);
    ls_remote_cancel(&run->call);
    if (!run->in_store)
        free_run(run);
}

/* Back from the store. false: nobody waits for it any more. */
bool ls_reconcile_is_wanted(struct ls_reconcile *run)
{
    run->in_store = false;
    if (run->done)
        return true;
    free_run(run);
    return false;
}

void ls_reconcile_forget(struct ls_reconcile *run)
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
    ls_reconcile_forget(run);
    ls_remote_fini(&run->brought);
    free(run->brought_id);
    free(run->uid);
    free(run);
}

void ls_reconcile_finish(struct ls_reconcile *run, const struct ls_err *err)
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

void ls_reconcile_count_call(struct ls_reconcile *run)
{
    if (run->requests)
        *run->requests += ls_remote_requests(run->call);
}

/* "product 12345": by the application's id, for people */
const char *ls_reconcile_shown_id(const struct ls_reconcile *run)
{
    if (run->snapshot && run->snapshot->local_id)
        return run->snapshot->local_id;
    return run->uid;
}

void ls_reconcile_log(const struct ls_reconcile *run, enum ls_log_level level, const char *event,
                      const char *text)
{
    const struct ls_mapping *mapping = run->sync->mapping;

    ls_log_with(
        level, event,
        LS_FIELDS({"account", mapping->account}, {"sync", mapping->sync}, {"record", run->uid}),
        "%s", text);
}

/* ---- 1, 2: take the record, read row, base and marks ---- */

void ls_reconcile_take(struct ls_reconcile *run)
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
    if (!ls_reconcile_is_wanted(run))
        return;
    if (err && err->code == LS_E_NOT_FOUND && !run->look)
        err = NULL; /* taken in by another record since it was queued: nothing is left to do */
    if (err || !snapshot) {
        ls_reconcile_finish(run, err);
        return;
    }
    run->snapshot = snapshot;
    ls_reconcile_fetch(run);
}

/* ---- 12: changed meanwhile ---- */

void ls_reconcile_start_over(struct ls_reconcile *run, const struct ls_err *err)
{
    int remote_writes = run->result.remote_writes;

    if (++run->round >= LS_RECONCILE_ROUNDS) {
        if (err->code == LS_E_CONFLICT) { /* a hot record: leave it to a quieter moment */
            run->result = (struct ls_reconcile_result){
                .outcome = LS_OUTCOME_AGAIN, .again_ms = 500 + (int64_t)ls_rand_below(1500)};
            ls_reconcile_finish(run, NULL);
            return;
        }
        ls_reconcile_finish(run, err);
        return;
    }
    run->adopted = false;
    ls_reconcile_forget(run);
    run->result = (struct ls_reconcile_result){.remote_writes = remote_writes};
    ls_reconcile_take(run);
}
