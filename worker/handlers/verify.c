/* Kind `verify`: {"sync": "products", "settle": "30s"} compares both sides and notes what it found
 * in the history and the log. */
#include "common/sync/verify.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/sync/history.h"
#include "worker/handlers/sync.h"

#define SETTLE_MS 30000

struct verify_run {
    struct ls_run *run;
    struct ls_sync *sync;
    struct ls_verify *verify;
};

static void on_done(void *arg, const struct ls_verify_report *report, const struct ls_err *err);

static void begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;
    json_t *data = ls_sync_data(run, &err);
    struct ls_sync *sync = data ? ls_sync_of_run(run, data, NULL, &err) : NULL;
    const char *settle = json_string_value(json_object_get(data, "settle"));
    int64_t settle_ms = settle ? ls_duration_parse(settle) : SETTLE_MS;
    struct ls_grants grants = ls_sync_grants(run);
    struct verify_run *verify;

    json_decref(data);
    ls_run_spent(run, 0); /* what it makes is drawn, not prepaid */
    if (!sync) {
        ls_sync_failed(run, "Verify sync", NULL, NULL, &err);
        return;
    }
    verify = LS_NEW(struct verify_run);
    verify->run = run;
    verify->sync = sync;
    *ls_run_state(run) = verify;
    verify->verify = ls_verify_begin(
        &(struct ls_verify_request){.sync = sync,
                                    .settle_ms = settle_ms < 0 ? SETTLE_MS : settle_ms,
                                    .stamp = true,
                                    .grants = &grants},
        on_done, verify);
}

static void cancel(void *self, struct ls_run *run)
{
    struct verify_run *verify = *ls_run_state(run);

    ls_verify_cancel(&verify->verify);
    free(verify);
}

static void note(struct ls_sync *sync, const struct ls_verify_report *report)
{
    struct ls_buf stats = {0};

    ls_buf_printf(&stats,
                  "{\"local\":%" PRId64 ",\"linked\":%" PRId64 ",\"remote\":%" PRId64
                  ",\"match\":%" PRId64 ",\"differences\":%zu,\"parked\":%" PRId64
                  ",\"excluded\":%" PRId64 ",\"coverage\":%.4f,\"exit\":%d,\"requests\":%" PRId64
                  ",\"ms\":%" PRId64 "}",
                  report->local, report->linked, report->remote, report->match, report->count,
                  report->parked + report->held, report->excluded, report->coverage,
                  ls_verify_exit(report, 0.95), report->requests, report->elapsed_ms);
    ls_history_put(sync, 0, "verify", stats.data);
    ls_buf_fini(&stats);
}

static void on_done(void *arg, const struct ls_verify_report *report, const struct ls_err *err)
{
    struct verify_run last = *(struct verify_run *)arg;

    free(arg);
    if (err) {
        ls_sync_failed(last.run, "Verify sync", last.sync, NULL, err);
        return;
    }
    note(last.sync, report);
    ls_log_with(
        ls_verify_exit(report, 0.95) ? LS_LOG_WARN : LS_LOG_INFO, "sync.verified",
        LS_FIELDS({"account", last.sync->mapping->account}, {"sync", last.sync->mapping->sync}),
        "verify: %" PRId64 " equal, %zu different, coverage %.2f%%", report->match, report->count,
        report->coverage * 100);
    ls_run_count(last.run, "drift", (int64_t)report->count);
    ls_run_ok(last.run);
}

void ls_verify_add(struct ls_handlers *handlers)
{
    ls_handlers_add(handlers,
                    &(struct ls_handler){.kind = "verify", .begin = begin, .cancel = cancel});
}
