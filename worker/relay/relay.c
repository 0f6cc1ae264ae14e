/* The relay's role: one store, one outbox that hands its marks to the queue. Everything it knows is
 * in the database, so it holds nothing that a drain would have to finish. */
#include <uv.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/loop/timer.h"
#include "common/outbox/outbox.h"
#include "common/store/store.h"
#include "worker/child.h"

#define OPEN_AGAIN_MS 1000
#define CLOSE_MAX_MS 2000

struct ls_relay {
    const struct ls_role_context *context;
    uv_loop_t loop;
    struct ls_child *child;
    struct ls_store *store;   /* NULL while the database is away */
    struct ls_outbox *outbox; /* NULL likewise */
    struct ls_timer *again;
    bool away_logged;
    int exit_status;
};

static void open_store(void *arg);
static int try_open(struct ls_relay *relay, struct ls_err *err);
static void on_refused(void *arg, const struct ls_err *err);
static void on_drain(void *arg, int grace_ms);
static void end(struct ls_relay *relay);

int ls_relay_main(const struct ls_role_context *context)
{
    struct ls_relay *relay = LS_NEW(struct ls_relay);
    const struct ls_child_hooks hooks = {on_drain, NULL};
    int status;

    relay->context = context;
    uv_loop_init(&relay->loop);
    relay->child = ls_child_new(&relay->loop, context, &hooks, relay);
    relay->again = ls_timer_new(&relay->loop, open_store, relay);
    open_store(relay);
    uv_run(&relay->loop, UV_RUN_DEFAULT);
    uv_loop_close(&relay->loop);
    status = relay->exit_status;
    free(relay);
    return status;
}

/* A database that is busy or away is tried again; one that lacks something needs a person. */
static void open_store(void *arg)
{
    struct ls_relay *relay = arg;
    struct ls_err err = LS_ERR_INIT;

    if (try_open(relay, &err) == 0) {
        ls_log(LS_LOG_INFO, "relay.started", "watching '%s'", relay->context->config->store);
        ls_child_ready(relay->child);
        return;
    }
    ls_outbox_stop(&relay->outbox);
    ls_store_close(&relay->store, CLOSE_MAX_MS);
    if (err.code == LS_E_STORE) {
        if (!relay->away_logged)
            ls_log(LS_LOG_WARN, "relay.store_away", "%s", err.text);
        relay->away_logged = true;
        ls_timer_start(relay->again, OPEN_AGAIN_MS);
        return;
    }
    ls_child_fatal(relay->child, &err);
    relay->exit_status = LS_EXIT_FATAL;
    end(relay);
}

static int try_open(struct ls_relay *relay, struct ls_err *err)
{
    const struct ls_config *config = relay->context->config;
    const struct ls_store_options store = {.url = config->store, .loop = &relay->loop};
    struct ls_outbox_options outbox = {
        .loop = &relay->loop, .config = config, .refused = on_refused, .arg = relay};

    relay->store = ls_store_open(&store, err);
    if (!relay->store)
        return -1;
    outbox.store = relay->store;
    relay->outbox = ls_outbox_start(&outbox, err);
    return relay->outbox ? 0 : -1;
}

/* The runners end the pool over it at its start; later an operator may heal what is wrong, and the
 * outbox goes on trying. */
static void on_refused(void *arg, const struct ls_err *err)
{
    (void)arg;
    ls_log(LS_LOG_ERROR, "relay.refused", "%s", err->text);
}

static void on_drain(void *arg, int grace_ms)
{
    struct ls_relay *relay = arg;

    (void)grace_ms;
    ls_log(LS_LOG_INFO, "relay.stopped", "%lld records handed over",
           relay->outbox ? (long long)ls_outbox_facts(relay->outbox).pushed : 0);
    end(relay);
}

static void end(struct ls_relay *relay)
{
    ls_timer_close(&relay->again);
    ls_outbox_stop(&relay->outbox);
    ls_store_close(&relay->store, CLOSE_MAX_MS);
    ls_child_close(&relay->child);
}
