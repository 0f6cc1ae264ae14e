/* liblockstep: a thin, careful layer over common/queue and the blocking connection. */
#include "producer/lib/lockstep_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/config/config.h"

#define INLINE_ADDRESS "inline:"
#define QUEUES_MAX 256 /* key names kept in a handle */

static int find_address(struct lockstep *ls, struct ls_err *err);

struct lockstep *lockstep_open(const char *address)
{
    struct lockstep *ls = LS_NEW(struct lockstep);

    if (address && strcmp(address, INLINE_ADDRESS) == 0)
        ls->inlined = ls_inline_new();
    ls->address = address && *address ? ls_xstrdup(address) : NULL;
    return ls;
}

void lockstep_close(struct lockstep *ls)
{
    if (!ls)
        return;
    ls_redis_sync_close(ls->redis);
    for (size_t i = 0; i < ls->queue_count; i++) {
        ls_keys_fini(&ls->queues[i]->keys);
        free(ls->queues[i]);
    }
    for (size_t i = 0; i < ls->kind_count; i++)
        free(ls->kinds[i]);
    ls_inline_free(ls->inlined);
    ls_buf_fini(&ls->outcome);
    free(ls->queues);
    free(ls->kinds);
    free(ls->address);
    free(ls);
}

void lockstep_timeout(struct lockstep *ls, int64_t timeout_ms)
{
    ls->timeout_ms = timeout_ms < 0                    ? 0
                     : timeout_ms < LS_DURATION_MAX_MS ? timeout_ms
                                                       : LS_DURATION_MAX_MS;
    ls_redis_sync_close(ls->redis);
    ls->redis = NULL;
}

void lockstep_allow_kind(struct lockstep *ls, const char *kind)
{
    ls->kinds = ls_xrealloc(ls->kinds, (ls->kind_count + 1) * sizeof *ls->kinds);
    ls->kinds[ls->kind_count++] = ls_xstrdup(kind);
}

const char *lockstep_strerror(const struct lockstep *ls)
{
    return ls->text;
}

enum lockstep_code lockstep_errcode(const struct lockstep *ls)
{
    return ls->code;
}

const char *lockstep_version(void)
{
    return LOCKSTEP_VERSION;
}

void ls_lib_begin(struct lockstep *ls)
{
    ls->code = LOCKSTEP_OK;
    ls->text[0] = 0;
}

int ls_lib_failed(struct lockstep *ls, const struct ls_err *err)
{
    switch (err->code) {
    case LS_E_USAGE:
    case LS_E_INVALID:
        ls->code = LOCKSTEP_E_USAGE;
        break;
    case LS_E_CONFIG:
    case LS_E_NOT_FOUND:
    case LS_E_UNSUPPORTED:
        ls->code = LOCKSTEP_E_CONFIG;
        break;
    case LS_E_LOST:
        ls->code = LOCKSTEP_E_LOST;
        break;
    case LS_E_TOO_BIG:
        ls->code = LOCKSTEP_E_FULL;
        break;
    case LS_E_EXISTS:
        ls->code = LOCKSTEP_E_REJECTED;
        break;
    case LS_E_REDIS:
    case LS_E_AUTH:
    case LS_E_TRANSIENT:
        ls->code = LOCKSTEP_E_REFUSED;
        break;
    default:
        ls->code = LOCKSTEP_E_UNREACHABLE;
        break;
    }
    snprintf(ls->text, sizeof ls->text, "%s%s%s%s", err->text, *err->hint ? " (" : "", err->hint,
             *err->hint ? ")" : "");
    return -1;
}

int ls_lib_connect(struct lockstep *ls, struct ls_err *err)
{
    struct ls_redis_sync_options options = {.client_name = "liblockstep",
                                            .connect_timeout_ms = ls->timeout_ms,
                                            .timeout_ms = ls->timeout_ms};
    struct ls_redis_url url = {0};

    if (ls->redis)
        return 0;
    if (find_address(ls, err) < 0 || ls_redis_url_parse(&url, ls->address, err) < 0)
        return -1;
    ls->redis = ls_redis_sync_open(&url, &options, err);
    ls_redis_url_fini(&url);
    return ls->redis ? 0 : -1;
}

int ls_lib_repeat(struct lockstep *ls, const struct ls_cmd *cmd, const struct ls_reply **reply,
                  struct ls_err *err)
{
    for (int attempt = 0;; attempt++) {
        struct ls_err failure = LS_ERR_INIT;

        if (ls_lib_connect(ls, &failure) == 0 &&
            ls_redis_sync_send(ls->redis, cmd, reply, &failure) == 0)
            return 0;
        if (attempt > 0 || (failure.code != LS_E_LOST && failure.code != LS_E_NETWORK)) {
            *err = failure;
            return -1;
        }
    }
}

int ls_lib_read(struct lockstep *ls, const struct ls_cmd *cmd, const struct ls_reply **reply,
                struct ls_err *err)
{
    if (ls_lib_repeat(ls, cmd, reply, err) == 0)
        return 0;
    if (err->code == LS_E_LOST)
        err->code = LS_E_NETWORK;
    return -1;
}

void ls_lib_disconnect_if_pending(struct lockstep *ls)
{
    if (!ls->redis || !ls_redis_sync_pending(ls->redis))
        return;
    ls_redis_sync_close(ls->redis);
    ls->redis = NULL;
}

struct ls_pusher_queue *ls_lib_queue(struct lockstep *ls, const char *name, struct ls_err *err)
{
    struct ls_pusher_queue *queue;

    if (!name || !*name)
        name = "default";
    for (size_t i = 0; i < ls->queue_count; i++) {
        if (strcmp(ls->queues[i]->keys.queue, name) == 0)
            return ls->queues[i];
    }
    if (ls->queue_count >= QUEUES_MAX) {
        ls_fail(err, LS_E_USAGE, "more than %d queues by one handle", QUEUES_MAX);
        return NULL;
    }
    queue = LS_NEW(struct ls_pusher_queue);
    if (ls_keys_init(&queue->keys, name, err) < 0) {
        free(queue);
        return NULL;
    }
    ls->queues = ls_xrealloc(ls->queues, (ls->queue_count + 1) * sizeof(*ls->queues));
    ls->queues[ls->queue_count++] = queue;
    return queue;
}

const char *lockstep_state_name(enum lockstep_state state)
{
    return ls_outcome_name(state <= LOCKSTEP_CANCELLED ? (enum ls_outcome_state)state
                                                       : LS_OUTCOME_UNKNOWN);
}

void ls_lib_give_outcome(struct lockstep *ls, const struct ls_outcome *outcome, struct ls_span id,
                         struct lockstep_job_outcome *out)
{
    struct lockstep_job_outcome full = {.size = out->size,
                                        .state = (enum lockstep_state)outcome->state};
    const struct ls_span texts[] = {outcome->result, outcome->error, outcome->klass};
    const char **const places[] = {&full.result, &full.error, &full.error_class};
    size_t at = 0;

    ls_buf_clear(&ls->outcome);
    for (size_t i = 0; i < LS_COUNT(texts); i++) {
        ls_buf_add(&ls->outcome, texts[i].data, texts[i].length);
        ls_buf_putc(&ls->outcome, 0);
    }
    for (size_t i = 0; i < LS_COUNT(texts); i++) { /* the buffer no longer moves */
        if (texts[i].length)
            *places[i] = ls->outcome.data + at;
        at += texts[i].length + 1;
    }
    snprintf(full.id, sizeof full.id, "%.*s", LS_SPAN_ARG(id));
    memcpy(out, &full, out->size < sizeof full ? out->size : sizeof full);
}

static int find_address(struct lockstep *ls, struct ls_err *err)
{
    const char *env = getenv("LOCKSTEP_REDIS");
    struct ls_config *config;

    if (ls->address)
        return 0;
    if (env && *env && strcmp(env, "embedded") != 0) {
        ls->address = ls_xstrdup(env);
        return 0;
    }
    config = ls_config_load_public(NULL, err);
    if (!config)
        return -1;
    ls->address = ls_xstrdup(ls_config_redis_url(config));
    ls_config_free(config);
    return 0;
}
