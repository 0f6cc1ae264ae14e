/* Kind `backfill`: {"sync": "products"} lists everything once, links what is equal and marks the
 * rest. It goes on where an interrupted one ended: its place stands in the store. */
#include "common/sync/backfill.h"

#include "common/base/mem.h"
#include "worker/handlers/sync.h"

struct backfill_run {
    struct ls_run *run;
    struct ls_sync *sync;
    struct ls_backfill *backfill;
};

static void on_done(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err);

static void begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;
    json_t *data = ls_sync_data(run, &err);
    struct ls_sync *sync = data ? ls_sync_of_run(run, data, NULL, &err) : NULL;
    struct ls_grants grants = ls_sync_grants(run);
    struct backfill_run *backfill;

    json_decref(data);
    ls_run_spent(run, 0); /* what it makes is drawn, not prepaid */
    if (!sync) {
        ls_sync_failed(run, "Backfill sync", NULL, NULL, &err);
        return;
    }
    backfill = LS_NEW(struct backfill_run);
    backfill->run = run;
    backfill->sync = sync;
    *ls_run_state(run) = backfill;
    backfill->backfill = ls_backfill_begin(sync, &grants, NULL, on_done, backfill);
}

static void cancel(void *self, struct ls_run *run)
{
    struct backfill_run *backfill = *ls_run_state(run);

    ls_backfill_cancel(&backfill->backfill);
    free(backfill);
}

static void on_done(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err)
{
    struct backfill_run last = *(struct backfill_run *)arg;

    free(arg);
    ls_run_count(last.run, "backfill_records", progress->looked);
    if (err)
        ls_sync_failed(last.run, "Backfill sync", last.sync, NULL, err);
    else
        ls_run_ok(last.run);
}

void ls_backfill_add(struct ls_handlers *handlers)
{
    ls_handlers_add(handlers,
                    &(struct ls_handler){.kind = "backfill", .begin = begin, .cancel = cancel});
}
