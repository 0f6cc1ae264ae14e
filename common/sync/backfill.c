#include "common/sync/backfill.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/sync/engine_internal.h"
#include "common/sync/history.h"

#define LOCAL_SLICE 1000

enum phase { PHASE_START, PHASE_REMOTE, PHASE_LOCAL, PHASE_CURSOR, PHASE_END };

struct ls_backfill {
    struct ls_operation operation; /* first */
    enum phase phase;
    struct ls_sync *sync;
    struct ls_store *store;
    bool active;
    int64_t run_id;          /* its row of the history; 0: not there yet */
    bool noting;             /* a write of that row is out: the next waits until it is back */
    struct ls_grants grants; /* for the feed; take NULL: nobody counts */
    struct ls_feed *feed;
    struct ls_feed_progress progress;
    char *after; /* the last local row looked at */
    int64_t began_ms;
    int in_store; /* calls that are out */
    ls_feed_page_cb *page_done;
    ls_feed_done_cb *done; /* NULL: cancelled */
    void *arg;
};

static void cancel_operation(struct ls_operation *operation);
static void on_status(void *arg, const struct ls_sync_status *status, const struct ls_err *err);
static void on_page(void *arg, const struct ls_feed_progress *progress);
static void note(struct ls_backfill *backfill);
static void on_noted(void *arg, int64_t run_id, const struct ls_err *err);
static void on_remote_done(void *arg, const struct ls_feed_progress *progress,
                           const struct ls_err *err);
static void mark_local(struct ls_backfill *backfill);
static void on_place(void *arg, const char *value, const struct ls_err *err);
static void on_local(void *arg, size_t looked, size_t marked, const char *last_id,
                     const struct ls_err *err);
static void on_place_saved(void *arg, const struct ls_err *err);
static void begin_delta(struct ls_backfill *backfill);
static void on_delta_cursor(void *arg, const char *value, const struct ls_err *err);
static void on_delta_set(void *arg, const struct ls_err *err);
static void finish(struct ls_backfill *backfill, const struct ls_err *err);
static bool is_wanted(struct ls_backfill *backfill);

struct ls_backfill *ls_backfill_begin(struct ls_sync *sync, const struct ls_grants *grants,
                                      ls_feed_page_cb *page_done, ls_feed_done_cb *done, void *arg)
{
    struct ls_backfill *backfill = LS_NEW(struct ls_backfill);

    ls_operation_begin(sync->engine, &backfill->operation, cancel_operation);
    backfill->sync = sync;
    backfill->store = ls_engine_store(sync->engine);
    if (grants)
        backfill->grants = *grants;
    backfill->page_done = page_done;
    backfill->done = done;
    backfill->arg = arg;
    backfill->began_ms = ls_clock_mono_ms();
    backfill->in_store++;
    ls_store_sync_status(backfill->store, sync->mapping, on_status, backfill);
    return backfill;
}

void ls_backfill_cancel(struct ls_backfill **backfill)
{
    struct ls_backfill *cancelled = *backfill;

    if (!cancelled)
        return;
    *backfill = NULL;
    ls_operation_end(&cancelled->operation);
    cancel_operation(&cancelled->operation);
}

static void free_backfill(struct ls_backfill *backfill)
{
    free(backfill->after);
    free(backfill);
}

static void cancel_operation(struct ls_operation *operation)
{
    struct ls_backfill *backfill = (struct ls_backfill *)operation;

    backfill->done = NULL;
    ls_feed_cancel(&backfill->feed);
    if (!backfill->in_store)
        free_backfill(backfill);
}

static bool is_wanted(struct ls_backfill *backfill)
{
    backfill->in_store--;
    if (backfill->done)
        return true;
    if (!backfill->in_store)
        free_backfill(backfill);
    return false;
}

static void on_status(void *arg, const struct ls_sync_status *status, const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;

    if (!is_wanted(backfill))
        return;
    if (err) {
        finish(backfill, err);
        return;
    }
    backfill->active = status->state == LS_SYNC_ACTIVE;
    backfill->phase = PHASE_REMOTE;
    backfill->feed = ls_feed_begin(&(struct ls_feed_request){.sync = backfill->sync,
                                                             .kind = LS_FEED_ALL,
                                                             .page = backfill->sync->can->page_max,
                                                             .page_done = on_page,
                                                             .grants = &backfill->grants},
                                   on_remote_done, backfill);
}

static void on_page(void *arg, const struct ls_feed_progress *progress)
{
    struct ls_backfill *backfill = arg;

    backfill->progress = *progress;
    note(backfill);
    if (backfill->page_done)
        backfill->page_done(backfill->arg, progress);
}

/* Renew the row of the history. One write at a time: a page that comes faster is told with the
 * next. */
static void note(struct ls_backfill *backfill)
{
    static const char *const names[] = {"start", "remote", "local", "cursor", "done"};
    struct ls_buf stats = {0};

    if (backfill->noting)
        return;
    backfill->noting = true;
    backfill->in_store++;
    backfill->progress.elapsed_ms = ls_clock_mono_ms() - backfill->began_ms;
    ls_history_stats(&stats, &backfill->progress, names[backfill->phase], NULL);
    ls_store_run_put(backfill->store, backfill->sync->mapping, backfill->run_id, "backfill", false,
                     stats.data, on_noted, backfill);
    ls_buf_fini(&stats);
}

static void on_noted(void *arg, int64_t run_id, const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;

    backfill->noting = false;
    if (!is_wanted(backfill))
        return;
    if (!err)
        backfill->run_id = run_id;
    if (backfill->phase == PHASE_END)
        finish(backfill, NULL);
}

static void on_remote_done(void *arg, const struct ls_feed_progress *progress,
                           const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;

    backfill->feed = NULL;
    backfill->progress = *progress;
    if (err) {
        finish(backfill, err);
        return;
    }
    backfill->phase = PHASE_LOCAL;
    if (!backfill->active) {
        begin_delta(backfill);
        return;
    }
    backfill->in_store++;
    ls_store_cursor_get(backfill->store, backfill->sync->mapping, "backfill-local", on_place,
                        backfill);
}

static void on_place(void *arg, const char *value, const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;

    if (!is_wanted(backfill))
        return;
    if (err) {
        finish(backfill, err);
        return;
    }
    backfill->after = value && *value ? ls_xstrdup(value) : NULL;
    mark_local(backfill);
}

static void mark_local(struct ls_backfill *backfill)
{
    backfill->in_store++;
    ls_store_mark_local(backfill->store, backfill->sync->mapping, backfill->after, LOCAL_SLICE,
                        false, on_local, backfill);
}

static void on_local(void *arg, size_t looked, size_t marked, const char *last_id,
                     const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;

    if (!is_wanted(backfill))
        return;
    if (err) {
        finish(backfill, err);
        return;
    }
    backfill->progress.marked += (int64_t)marked;
    free(backfill->after);
    backfill->after = ls_xstrdup(last_id);
    backfill->in_store++;
    ls_store_cursor_set(backfill->store, backfill->sync->mapping, "backfill-local",
                        last_id ? last_id : "", on_place_saved, backfill);
}

static void on_place_saved(void *arg, const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;

    if (!is_wanted(backfill))
        return;
    if (err) {
        finish(backfill, err);
        return;
    }
    note(backfill);
    if (backfill->after)
        mark_local(backfill);
    else
        begin_delta(backfill);
}

/* From the moment before the first page the delta sees everything that the listing may have missed.
 */
static void begin_delta(struct ls_backfill *backfill)
{
    backfill->phase = PHASE_CURSOR;
    backfill->in_store++;
    ls_store_cursor_get(backfill->store, backfill->sync->mapping, "delta", on_delta_cursor,
                        backfill);
}

static void on_delta_cursor(void *arg, const char *value, const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;
    struct ls_buf text = {0};

    if (!is_wanted(backfill))
        return;
    if (err || value || !backfill->progress.started_remote_ms) {
        backfill->in_store++;
        on_delta_set(backfill, err);
        return;
    }
    ls_buf_printf(&text, "{\"to\":%" PRId64 ",\"wide\":%" PRId64 "}",
                  backfill->progress.started_remote_ms, backfill->progress.started_remote_ms);
    backfill->in_store++;
    ls_store_cursor_set(backfill->store, backfill->sync->mapping, "delta", text.data, on_delta_set,
                        backfill);
    ls_buf_fini(&text);
}

static void on_delta_set(void *arg, const struct ls_err *err)
{
    struct ls_backfill *backfill = arg;

    if (!is_wanted(backfill))
        return;
    if (err) {
        finish(backfill, err);
        return;
    }
    backfill->phase = PHASE_END;
    if (!backfill->noting)
        finish(backfill, NULL);
}

static void finish(struct ls_backfill *backfill, const struct ls_err *err)
{
    struct ls_backfill last = *backfill;
    struct ls_err copy = err ? *err : (struct ls_err)LS_ERR_INIT;
    const struct ls_mapping *mapping = backfill->sync->mapping;
    struct ls_buf stats = {0};

    last.progress.elapsed_ms = ls_clock_mono_ms() - backfill->began_ms;
    ls_history_stats(&stats, &last.progress, err ? "failed" : "done", err);
    ls_history_put(backfill->sync, backfill->run_id, "backfill", stats.data);
    ls_buf_fini(&stats);
    if (!err)
        ls_log_with(LS_LOG_INFO, "sync.backfill_done",
                    LS_FIELDS({"account", mapping->account}, {"sync", mapping->sync}),
                    "Batch sync completed: %" PRId64 " records in %" PRId64 ".%" PRId64 "s",
                    last.progress.looked, last.progress.elapsed_ms / 1000,
                    last.progress.elapsed_ms % 1000 / 100);
    ls_operation_end(&backfill->operation);
    backfill->done = NULL;
    ls_feed_cancel(&backfill->feed);
    if (!backfill->in_store)
        free_backfill(backfill); /* else the callback that is out does */
    last.done(last.arg, &last.progress, err ? &copy : NULL);
}
