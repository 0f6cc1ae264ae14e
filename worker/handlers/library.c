/* Kinds of shared objects (lockstep/handler.h): `handlers` of the configuration. Everything that is
 * wrong with one is found when the process starts, and ends it with a reason. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "worker/handlers/guest.h"
#include "worker/handlers/handlers_internal.h"
#include "worker/handlers/pool.h"

#define ENTRIES_MAX 256 /* of one object's table */

/* A kind that is served. */
struct kind {
    const struct ls_config_handler *config; /* borrowed */
    struct lockstep_handler entry;          /* a copy; what it points at lives in the object */
    struct ls_pool_kind blocking;
    struct library *library;
    bool opened;
};

struct library {
    struct ls_runner_tools *tools; /* borrowed */
    struct ls_pool *pool;          /* NULL: no kind blocks */
    struct kind *kinds;
    size_t count;
};

/* -------- the asynchronous form -------- */

/* A run that its handler holds. */
struct guest_run {
    struct ls_guest guest; /* first: the handler's calls come back with its view */
    struct ls_run *run;
};

static struct ls_run *run_of(struct lockstep_run *view)
{
    return ((struct guest_run *)view)->run;
}

static void guest_run_free(struct guest_run *held)
{
    ls_guest_fini(&held->guest);
    free(held);
}

static int64_t call_fence(struct lockstep_run *view)
{
    return ls_run_fence(run_of(view));
}

static int64_t call_left_ms(struct lockstep_run *view)
{
    struct ls_run *run = run_of(view);
    int64_t deadline = ls_run_deadline_ms(run), left;

    if (!deadline)
        return -1;
    left = deadline - (int64_t)uv_now(ls_run_tools(run)->loop);
    return left > 0 ? left : 0;
}

static int call_is_cancelled(struct lockstep_run *view)
{
    return ls_run_is_cancelled(run_of(view));
}

static int call_may_write(struct lockstep_run *view)
{
    return ls_run_may_write(run_of(view));
}

static int call_checkpoint(struct lockstep_run *view, const char *json, size_t length)
{
    if (!ls_guest_takes_data((struct ls_guest *)view, json, length))
        return -1;
    ls_run_checkpoint(run_of(view), json, length);
    return 0;
}

static int call_progress(struct lockstep_run *view, int64_t done, int64_t total, const char *text)
{
    ls_run_progress(run_of(view), done, total, text);
    return 0;
}

static int call_wants_result(struct lockstep_run *view)
{
    return ls_run_wants_result(run_of(view));
}

static int call_result(struct lockstep_run *view, const char *json, size_t length)
{
    if (!ls_guest_takes_result(json, length))
        return -1;
    return ls_run_result(run_of(view), json, length, NULL);
}

static int call_end(struct lockstep_run *view, const struct lockstep_ending *ending)
{
    struct guest_run *held = (struct guest_run *)view;
    struct ls_run *run = held->run;
    struct ls_guest_ending copy = {0};
    int code = ls_guest_ending_take(&held->guest, &copy, ending);

    guest_run_free(held);
    ls_guest_settle(run, &copy);
    return code;
}

static const struct lockstep_run_calls calls = {.size = sizeof(calls),
                                                .fence = call_fence,
                                                .left_ms = call_left_ms,
                                                .is_cancelled = call_is_cancelled,
                                                .may_write = call_may_write,
                                                .checkpoint = call_checkpoint,
                                                .progress = call_progress,
                                                .wants_result = call_wants_result,
                                                .result = call_result,
                                                .end = call_end};

static void begin(void *self, struct ls_run *run)
{
    struct kind *kind = self;
    struct guest_run *held = LS_NEW(struct guest_run);

    ls_guest_init(&held->guest, run, &calls, kind->library->tools->loop);
    held->run = run;
    *ls_run_state(run) = held;
    kind->entry.begin(&held->guest.view, kind->blocking.self);
}

static void ask_stop(void *self, struct ls_run *run)
{
    struct kind *kind = self;
    struct guest_run *held = *ls_run_state(run);

    kind->entry.ask_stop(&held->guest.view, kind->blocking.self);
}

static void cancel(void *self, struct ls_run *run)
{
    struct kind *kind = self;
    struct guest_run *held = *ls_run_state(run);

    kind->entry.cancel(&held->guest.view, kind->blocking.self);
    guest_run_free(held);
}

/* -------- the blocking form -------- */

static void begin_blocking(void *self, struct ls_run *run)
{
    struct kind *kind = self;

    ls_pool_begin(kind->library->pool, &kind->blocking, run);
}

static void ask_stop_blocking(void *self, struct ls_run *run)
{
    ls_pool_ask_stop(run);
}

static void cancel_blocking(void *self, struct ls_run *run)
{
    ls_pool_cancel(run);
}

static void on_worn(void *arg, const char *reason)
{
    struct library *library = arg;

    library->tools->replace_me(library->tools->replace_arg, reason);
}

/* -------- loading -------- */

static int refuse(const struct ls_config_handler *config, struct ls_err *err)
{
    ls_wrap(err, "handler '%s' of '%s'", config->name, config->library);
    return -1;
}

/* Its table; NULL with *err set. What was loaded is never unloaded: a thread that was left behind may
 * still run in it. */
static const struct lockstep_handler *load_table(const char *path, struct ls_err *err)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const struct lockstep_handler *table;

    if (!object) {
        ls_fail(err, LS_E_CONFIG, "cannot be loaded: %s", dlerror());
        ls_hint(err,
                "check 'library'; the object must be built for this machine with all it needs");
        return NULL;
    }
    table = dlsym(object, "lockstep_handlers");
    if (!table) {
        ls_fail(err, LS_E_CONFIG, "exports no 'lockstep_handlers'");
        ls_hint(err, "lockstep/handler.h shows the table that it must define");
    }
    return table;
}

static bool is_end(const struct lockstep_handler *entry)
{
    return !entry->abi && !entry->size && !entry->kind;
}

static int check_entry(const struct lockstep_handler *entry, struct ls_err *err)
{
    if (entry->abi != LOCKSTEP_HANDLER_ABI || entry->size < sizeof(*entry)) {
        ls_fail(err, LS_E_CONFIG,
                "was built for another binary interface: %u of %u bytes, not %d of %zu", entry->abi,
                entry->size, LOCKSTEP_HANDLER_ABI, sizeof(*entry));
        return ls_hint(err, "build it with the lockstep/handler.h of this lockstep");
    }
    if (!entry->kind)
        return ls_fail(err, LS_E_CONFIG, "has a handler without a kind in its table");
    return 0;
}

static int check_forms(const struct lockstep_handler *entry, struct ls_err *err)
{
    if (!entry->run == !entry->begin || !entry->begin != !entry->cancel) {
        ls_fail(err, LS_E_CONFIG, "has neither of the two forms for this kind");
        return ls_hint(err, "set either 'run', or 'begin' and 'cancel'");
    }
    return 0;
}

/* The kind's entry, copied. Entries are as long as their size says. */
static int find_entry(const struct lockstep_handler *table, const char *kind,
                      struct lockstep_handler *out, struct ls_err *err)
{
    const struct lockstep_handler *entry = table;
    int i;

    for (i = 0; i < ENTRIES_MAX && !is_end(entry); i++) {
        if (check_entry(entry, err) < 0)
            return -1;
        if (strcmp(entry->kind, kind) == 0) {
            *out = *entry;
            return check_forms(entry, err);
        }
        entry = (const struct lockstep_handler *)((const char *)entry + entry->size);
    }
    ls_fail(err, LS_E_CONFIG, "has no such kind in its table");
    if (i == ENTRIES_MAX)
        return ls_hint(err, "the table has no LOCKSTEP_HANDLERS_END, or more than %d kinds",
                       ENTRIES_MAX);
    return ls_hint(err, i > 0 ? "its first kind is '%s'" : "the table is empty",
                   i > 0 ? table->kind : "");
}

static int open_kind(struct kind *kind, struct ls_err *err)
{
    struct lockstep_opening opening = {
        .size = sizeof(opening), .kind = kind->config->name, .loop = kind->library->tools->loop};

    if (kind->entry.open && kind->entry.open(&opening) != 0) {
        opening.error[sizeof(opening.error) - 1] = '\0';
        return ls_fail(err, LS_E_CONFIG, "cannot be opened: %s",
                       opening.error[0] ? opening.error : "it gives no reason");
    }
    kind->opened = true;
    kind->blocking = (struct ls_pool_kind){
        .function = kind->entry.run, .self = opening.self, .timeout_ms = kind->config->timeout_ms};
    return 0;
}

static int load_kind(struct kind *kind, struct ls_err *err)
{
    const struct lockstep_handler *table;

    if (ls_kind_known(kind->config->name, strlen(kind->config->name)))
        return ls_fail(err, LS_E_CONFIG, "'%s' is one of lockstep's own kinds", kind->config->name);
    table = load_table(kind->config->library, err);
    if (!table || find_entry(table, kind->config->name, &kind->entry, err) < 0)
        return -1;
    return open_kind(kind, err);
}

static void add_kind(struct ls_handlers *handlers, struct kind *kind)
{
    struct library *library = kind->library;

    if (kind->entry.run) {
        if (!library->pool)
            library->pool =
                ls_pool_new(library->tools->loop, (int)library->tools->config->handler_threads,
                            on_worn, library);
        ls_handlers_add(handlers, &(struct ls_handler){.kind = kind->config->name,
                                                       .begin = begin_blocking,
                                                       .ask_stop = ask_stop_blocking,
                                                       .cancel = cancel_blocking,
                                                       .self = kind});
        return;
    }
    ls_handlers_add(handlers,
                    &(struct ls_handler){.kind = kind->config->name,
                                         .begin = begin,
                                         .ask_stop = kind->entry.ask_stop ? ask_stop : NULL,
                                         .cancel = cancel,
                                         .self = kind,
                                         .timeout_ms = kind->config->timeout_ms});
}

int ls_library_add(struct ls_handlers *handlers, struct ls_err *err)
{
    const struct ls_config *config = handlers->tools->config;
    struct library *library;
    size_t i;

    if (!config || config->handler_count == 0)
        return 0;
    library = LS_NEW(struct library);
    library->tools = handlers->tools;
    library->kinds = ls_xcalloc(config->handler_count, sizeof(*library->kinds));
    library->count = config->handler_count;
    handlers->library = library;
    for (i = 0; i < library->count; i++) {
        struct kind *kind = &library->kinds[i];
        kind->config = &config->handlers[i];
        kind->library = library;
        if (load_kind(kind, err) < 0)
            return refuse(kind->config, err);
        add_kind(handlers, kind);
    }
    return 0;
}

void ls_library_free(struct ls_handlers *handlers)
{
    struct library *library = handlers->library;
    size_t i;

    handlers->library = NULL;
    if (!library || ls_pool_close(&library->pool) > 0)
        return; /* what still runs uses it */
    for (i = 0; i < library->count; i++)
        if (library->kinds[i].opened && library->kinds[i].entry.close)
            library->kinds[i].entry.close(library->kinds[i].blocking.self);
    free(library->kinds);
    free(library);
}
