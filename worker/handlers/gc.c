/* Kind `gc`: throws away what the sync engine kept long enough (`ledger_retention`): ended
 * operations, echo hashes, closed conflicts, runs and audit rows. In slices, so that nobody else
 * waits for the database. */
#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "worker/handlers/sync.h"

struct gc_run {
    struct ls_run *run; /* NULL: cancelled */
    struct ls_store *store;
    int64_t before_ms, removed;
};

static void on_removed(void *arg, int64_t removed, bool more, const struct ls_err *err);

static void begin(void *self, struct ls_run *run)
{
    const struct ls_runner_tools *tools = ls_run_tools(run);
    struct gc_run *gc = LS_NEW(struct gc_run);

    gc->run = run;
    gc->store = ls_engine_store(tools->engine);
    gc->before_ms = ls_clock_wall_ms() - tools->config->ledger_retention_ms;
    *ls_run_state(run) = gc;
    ls_run_spent(run, 0);
    ls_store_gc(gc->store, gc->before_ms, on_removed, gc);
}

static void cancel(void *self, struct ls_run *run)
{
    struct gc_run *gc = *ls_run_state(run);

    gc->run = NULL; /* the callback that is out frees it */
}

static void on_removed(void *arg, int64_t removed, bool more, const struct ls_err *err)
{
    struct gc_run *gc = arg;
    struct ls_run *run = gc->run;
    int64_t all = gc->removed + removed;

    if (!run || err || !more) {
        free(gc);
        if (!run)
            return;
        if (err) {
            ls_sync_failed(run, "Clean-up", NULL, NULL, err);
            return;
        }
        if (all)
            ls_log(LS_LOG_INFO, "store.gc", "%" PRId64 " old rows removed", all);
        ls_run_ok(run);
        return;
    }
    gc->removed = all;
    ls_store_gc(gc->store, gc->before_ms, on_removed, gc);
}

void ls_gc_add(struct ls_handlers *handlers)
{
    ls_handlers_add(handlers, &(struct ls_handler){.kind = "gc", .begin = begin, .cancel = cancel});
}
