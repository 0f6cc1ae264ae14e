#include "common/sync/delta.h"

#include <inttypes.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/sync/engine_internal.h"
#include "common/sync/history.h"

struct ls_delta {
    struct ls_operation operation; /* first */
    struct ls_sync *sync;
    bool scan;
    struct ls_feed *feed;
    ls_feed_done_cb *done;
    void *arg;
};

static void cancel_operation(struct ls_operation *operation);
static void on_done(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err);

struct ls_delta *ls_delta_begin(struct ls_sync *sync, bool scan, const struct ls_grants *grants,
                                ls_feed_done_cb *done, void *arg)
{
    struct ls_delta *delta = LS_NEW(struct ls_delta);

    ls_operation_begin(sync->engine, &delta->operation, cancel_operation);
    delta->sync = sync;
    delta->scan = scan;
    delta->done = done;
    delta->arg = arg;
    delta->feed = ls_feed_begin(
        &(struct ls_feed_request){
            .sync = sync, .kind = scan ? LS_FEED_BLIND : LS_FEED_CHANGES, .grants = grants},
        on_done, delta);
    return delta;
}

void ls_delta_cancel(struct ls_delta **delta)
{
    struct ls_delta *cancelled = *delta;

    if (!cancelled)
        return;
    *delta = NULL;
    ls_operation_end(&cancelled->operation);
    cancel_operation(&cancelled->operation);
}

static void cancel_operation(struct ls_operation *operation)
{
    struct ls_delta *delta = (struct ls_delta *)operation;

    ls_feed_cancel(&delta->feed);
    free(delta);
}

static void on_done(void *arg, const struct ls_feed_progress *progress, const struct ls_err *err)
{
    struct ls_delta *delta = arg;
    struct ls_delta last = *delta;
    const struct ls_mapping *mapping = delta->sync->mapping;

    delta->feed = NULL;
    if (!err)
        ls_log_with(LS_LOG_INFO, delta->scan ? "sync.scan_done" : "sync.delta_done",
                    LS_FIELDS({"account", mapping->account}, {"sync", mapping->sync}),
                    "Batch sync completed: %" PRId64 " records in %" PRId64 ".%" PRId64 "s",
                    progress->looked, progress->elapsed_ms / 1000,
                    progress->elapsed_ms % 1000 / 100);
    if (err || progress->marked || progress->linked)
        ls_history_note(delta->sync, delta->scan ? "scan" : "delta", progress, err);
    ls_operation_end(&delta->operation);
    free(delta);
    last.done(last.arg, progress, err);
}
