#include "common/sync/history.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/log.h"

static void on_noted(void *arg, int64_t run_id, const struct ls_err *err);

void ls_history_stats(struct ls_buf *out, const struct ls_feed_progress *progress,
                      const char *phase, const struct ls_err *err)
{
    ls_buf_printf(out,
                  "{\"looked\":%" PRId64 ",\"total\":%" PRId64 ",\"marked\":%" PRId64
                  ",\"linked\":%" PRId64 ",\"unchanged\":%" PRId64 ",\"requests\":%" PRId64
                  ",\"ms\":%" PRId64,
                  progress->looked, progress->total, progress->marked, progress->linked,
                  progress->unchanged, progress->requests, progress->elapsed_ms);
    if (phase)
        ls_buf_printf(out, ",\"phase\":\"%s\"", phase);
    if (err) {
        ls_buf_puts(out, ",\"error\":");
        ls_buf_json_string(out, err->text, strlen(err->text));
    }
    ls_buf_putc(out, '}');
}

void ls_history_note(struct ls_sync *sync, const char *kind,
                     const struct ls_feed_progress *progress, const struct ls_err *err)
{
    struct ls_buf stats = {0};

    ls_history_stats(&stats, progress, NULL, err);
    ls_history_put(sync, 0, kind, stats.data);
    ls_buf_fini(&stats);
}

void ls_history_put(struct ls_sync *sync, int64_t run_id, const char *kind, const char *stats)
{
    ls_store_run_put(ls_engine_store(sync->engine), sync->mapping, run_id, kind, true, stats,
                     on_noted, NULL);
}

static void on_noted(void *arg, int64_t run_id, const struct ls_err *err)
{
    if (err)
        ls_log(LS_LOG_WARN, "sync.history", "cannot note a run: %s", err->text);
}
