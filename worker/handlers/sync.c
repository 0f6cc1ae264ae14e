/* The kinds of the sync engine: one engine a runner, opened when the configuration has a store and
 * syncs. */
#include "worker/handlers/sync.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"

int ls_sync_add(struct ls_handlers *handlers, struct ls_err *err)
{
    struct ls_runner_tools *tools = handlers->tools;
    struct ls_engine *engine;

    if (!tools->config || !tools->config->store || !tools->config->sync_count)
        return 0;
    engine = ls_engine_new(tools->loop, tools->config, tools->http, err);
    if (!engine)
        return -1;
    handlers->sync = engine;
    tools->engine = engine;
    ls_product_add(handlers);
    ls_delta_add(handlers);
    ls_backfill_add(handlers);
    ls_verify_add(handlers);
    ls_gc_add(handlers);
    return 0;
}

void ls_sync_free(struct ls_handlers *handlers)
{
    struct ls_engine *engine = handlers->sync;

    handlers->sync = NULL;
    handlers->tools->engine = NULL;
    ls_engine_close(&engine);
}

json_t *ls_sync_data(const struct ls_run *run, struct ls_err *err)
{
    struct ls_span text = ls_run_data(run);
    json_error_t error;
    json_t *data;

    if (!text.length)
        return json_object();
    data = json_loadb(text.data, text.length, 0, &error);
    if (json_is_object(data))
        return data;
    json_decref(data);
    ls_fail(err, LS_E_INVALID, "data of a '%.*s' job is not a JSON object",
            LS_SPAN_ARG(ls_run_kind(run)));
    return NULL;
}

struct ls_sync *ls_sync_of_run(const struct ls_run *run, const json_t *data, const char *entity,
                               struct ls_err *err)
{
    const struct ls_engine *engine = ls_run_tools(run)->engine;
    const char *name = json_string_value(json_object_get(data, "sync"));
    struct ls_span span = ls_run_account(run);
    struct ls_sync *sync;
    char *account;

    if (name) {
        sync = ls_engine_sync(engine, name);
        if (!sync) {
            ls_fail(err, LS_E_PERMANENT, "no sync is named '%.100s'", name);
        } else if (!ls_span_is(span, sync->mapping->account)) { /* whose budget pays? */
            ls_fail(err, LS_E_PERMANENT, "sync '%.100s' is not of account '%.*s'", name,
                    LS_SPAN_ARG(span));
            ls_hint(err, "push the job with \"account\":\"%s\"", sync->mapping->account);
            sync = NULL;
        }
        return sync;
    }
    if (!entity) {
        ls_fail(err, LS_E_PERMANENT, "the job names no sync");
        ls_hint(err, "put {\"sync\":\"NAME\"} into its data");
        return NULL;
    }
    account = ls_xstrndup(span.data ? span.data : "", span.length);
    sync = ls_engine_sync_of(engine, account, entity, err);
    if (!sync && err)
        err->code = LS_E_PERMANENT;
    free(account);
    return sync;
}

static void take(void *arg, int want, ls_granted_cb *granted, void *ctx)
{
    ls_run_take(arg, want, granted, ctx);
}

static void settle(void *arg, int left)
{
    struct ls_run *run = arg;

    if (left > 0)
        ls_run_ungrant(run, left);
    ls_run_spent(run, left < 0 ? -left : 0);
}

struct ls_grants ls_sync_grants(struct ls_run *run)
{
    return (struct ls_grants){.take = take, .settle = settle, .arg = run};
}

/* Waits and lost claims are no failures of a sync: they are neither logged nor counted as such. */
static bool is_failure(const struct ls_err *err)
{
    switch (err->code) {
    case LS_E_THROTTLED:
    case LS_E_CONFLICT:
    case LS_E_FENCED:
    case LS_E_CANCELLED:
        return false;
    default:
        return true;
    }
}

void ls_sync_failed(struct ls_run *run, const char *what, const struct ls_sync *sync,
                    const char *record, const struct ls_err *err)
{
    struct ls_err copy = *err;

    if (is_failure(err)) {
        ls_run_count(run, "sync_failed", 1);
        ls_log_with(LS_LOG_ERROR, "sync.failed",
                    LS_FIELDS({"account", sync ? sync->mapping->account : NULL},
                              {"sync", sync ? sync->mapping->sync : NULL}, {"record", record},
                              {"class", ls_err_name(err->code)},
                              {"reason", err->reason[0] ? err->reason : NULL}),
                    "%s failed: %s", what, err->text);
    }
    if (err->code == LS_E_STORE)
        ls_log_with(LS_LOG_ERROR, "store.lost",
                    LS_FIELDS({"account", sync ? sync->mapping->account : NULL}),
                    "Database connection lost during sync: %s", err->text);
    ls_run_fail(run, &copy);
}
