#include "common/redis/keys.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

#define PREFIX "lockstep:{"

int ls_queue_name_check(const char *queue, struct ls_err *err)
{
    size_t length = strlen(queue);

    if (length == 0 || length > LS_QUEUE_NAME_MAX ||
        strspn(queue, "abcdefghijklmnopqrstuvwxyz0123456789._-") != length) {
        ls_fail(err, LS_E_USAGE, "'%.80s' is no name for a queue", queue);
        return ls_hint(err, "use 1 to %d of a-z, 0-9, '.', '_' and '-'", LS_QUEUE_NAME_MAX);
    }
    if (strcmp(queue, "fleet") == 0) {
        ls_fail(err, LS_E_USAGE, "a queue cannot be called 'fleet'");
        return ls_hint(err, "lockstep keeps what all queues share under this name");
    }
    return 0;
}

int ls_keys_init(struct ls_keys *keys, const char *queue, struct ls_err *err)
{
    const struct {
        const char **name;
        const char *suffix;
    } names[] = {
        {&keys->pending_high, "pending:high"},
        {&keys->pending, "pending"},
        {&keys->pending_low, "pending:low"},
        {&keys->workers, "workers"},
        {&keys->delayed, "delayed"},
        {&keys->reserved, "reserved"},
        {&keys->held, "held"},
        {&keys->ring, "ring"},
        {&keys->slots, "slots"},
        {&keys->progress, "progress"},
        {&keys->dead, "dead"},
        {&keys->dead_groups, "dead:groups"},
        {&keys->discarded, "dead:discarded"},
        {&keys->keys, "keys"},
        {&keys->bodies, "bodies"},
        {&keys->limits, "limits"},
        {&keys->ids, "ids"},
        {&keys->cancelled, "cancelled"},
        {&keys->fence, "fence"},
        {&keys->wake, "wake"},
        {&keys->control, "control"},
        {&keys->stats, "stats"},
        {&keys->stats_ring, "stats:ring"},
    };
    size_t each = strlen(PREFIX) + LS_QUEUE_NAME_MAX + sizeof("}:dead:discarded");
    char *at;

    if (ls_queue_name_check(queue, err) < 0)
        return -1;
    *keys = (struct ls_keys){0};
    keys->block = ls_xcalloc(LS_COUNT(names) + 1, each);
    at = keys->block;
    snprintf(at, each, "%s", queue);
    keys->queue = at;
    for (size_t i = 0; i < LS_COUNT(names); i++) {
        at += each;
        snprintf(at, each, PREFIX "%s}:%s", queue, names[i].suffix);
        *names[i].name = at;
    }
    return 0;
}

void ls_keys_fini(struct ls_keys *keys)
{
    free(keys->block);
    *keys = (struct ls_keys){0};
}

static const char *compose(const char *tag, const char *kind, struct ls_span what,
                           char out[LS_KEY_SIZE])
{
    int length = snprintf(out, LS_KEY_SIZE, PREFIX "%s}:%s:%.*s", tag, kind, LS_SPAN_ARG(what));

    ls_assert(length > 0 && length < LS_KEY_SIZE);
    return out;
}

const char *ls_keys_running(const struct ls_keys *keys, const char *worker, char out[LS_KEY_SIZE])
{
    return compose(keys->queue, "running", ls_span_of(worker), out);
}

const char *ls_keys_status(const struct ls_keys *keys, struct ls_span id, char out[LS_KEY_SIZE])
{
    return compose(keys->queue, "status", id, out);
}

const char *ls_keys_result(const struct ls_keys *keys, struct ls_span id, char out[LS_KEY_SIZE])
{
    return compose(keys->queue, "result", id, out);
}

const char *ls_key_hooks(struct ls_span account, char out[LS_KEY_SIZE])
{
    return compose("fleet", "hooks", account, out);
}
