/* Kind `delta`: {"sync": "products"} reads what the platform changed since the last time; {"sync":
 * "products", "scan": "stock"} (any value) scans what its change feed cannot show. Both only mark
 * records; the relay pushes their jobs. */
#include "common/sync/delta.h"

#include "common/base/mem.h"
#include "worker/handlers/sync.h"

struct delta_run {
    struct ls_run *run;
    struct ls_sync *sync;
    struct ls_delta *delta;
};

static void on_done(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err);

static void begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;
    json_t *data = ls_sync_data(run, &err);
    struct ls_sync *sync = data ? ls_sync_of_run(run, data, NULL, &err) : NULL;
    struct ls_grants grants = ls_sync_grants(run);
    struct delta_run *delta;

    ls_run_spent(run, 0); /* what it makes is drawn, not prepaid */
    if (!sync) {
        json_decref(data);
        ls_sync_failed(run, "Delta sync", NULL, NULL, &err);
        return;
    }
    delta = LS_NEW(struct delta_run);
    delta->run = run;
    delta->sync = sync;
    *ls_run_state(run) = delta;
    delta->delta =
        ls_delta_begin(sync, json_object_get(data, "scan") != NULL, &grants, on_done, delta);
    json_decref(data);
}

static void cancel(void *self, struct ls_run *run)
{
    struct delta_run *delta = *ls_run_state(run);

    ls_delta_cancel(&delta->delta);
    free(delta);
}

static void on_done(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err)
{
    struct delta_run last = *(struct delta_run *)arg;

    free(arg);
    ls_run_count(last.run, "delta_records", progress->looked);
    ls_run_count(last.run, "delta_marked", progress->marked);
    if (err) {
        ls_sync_failed(last.run, "Delta sync", last.sync, NULL, err);
    } else {
        ls_run_count(last.run, "delta_ok", 1); /* a quiet shop is not a stale one */
        ls_run_ok(last.run);
    }
}

void ls_delta_add(struct ls_handlers *handlers)
{
    ls_handlers_add(handlers,
                    &(struct ls_handler){.kind = "delta", .begin = begin, .cancel = cancel});
}
