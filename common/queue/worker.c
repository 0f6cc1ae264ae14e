#include "common/queue/worker.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

#define LIST_MAX 1000

const char *ls_worker_id(char out[LS_WORKER_ID_SIZE])
{
    char host[49] = "host";

    gethostname(host, sizeof host - 1);
    host[sizeof host - 1] = '\0';
    for (char *at = host; *at; at++) {
        if (!isalnum((unsigned char)*at) && *at != '.' && *at != '-')
            *at = '-';
    }
    snprintf(out, LS_WORKER_ID_SIZE, "%s-%ld-%016llx", host, (long)getpid(),
             (unsigned long long)ls_rand_u64());
    return out;
}

struct ls_span ls_worker_place(const char *worker)
{
    const char *chance = strrchr(worker, '-');

    return (struct ls_span){worker, chance ? (size_t)(chance - worker) : strlen(worker)};
}

static void add_running(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker)
{
    char key[LS_KEY_SIZE];

    ls_cmd_puts(cmd, ls_keys_running(keys, worker, key));
}

void ls_worker_join_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker,
                          int64_t lease_ms)
{
    ls_cmd_script(cmd, &ls_script_worker_join);
    ls_cmd_puts(cmd, keys->workers);
    add_running(cmd, keys, worker);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, worker);
    ls_cmd_int(cmd, lease_ms);
    ls_cmd_int(cmd, LS_SCHEMA_VERSION);
}

int ls_worker_join_parse(const struct ls_reply *reply, int64_t *ms, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "worker_join", err);

    if (!word)
        return -1;
    if (strcmp(word, "BUSY") == 0)
        return ls_fail(err, LS_E_EXISTS, "a worker of this name holds %lld claims",
                       (long long)ls_queue_int(reply, 2));
    if (strcmp(word, "SCHEMA") == 0) {
        ls_fail(err, LS_E_UNSUPPORTED,
                "this queue was written by another version of lockstep (schema %lld, ours is %d)",
                (long long)ls_queue_int(reply, 2), LS_SCHEMA_VERSION);
        return ls_hint(err, "run one version of lockstep on a queue, or let the old one drain it");
    }
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "worker_join", err);
    *ms = ls_queue_int(reply, 1);
    return 0;
}

void ls_worker_adopt_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker,
                           int64_t lease_ms, const char *const *olds, size_t old_count)
{
    ls_assert(old_count <= LS_ADOPT_MAX);
    ls_cmd_script(cmd, &ls_script_worker_adopt);
    ls_cmd_puts(cmd, keys->workers);
    add_running(cmd, keys, worker);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    for (size_t i = 0; i < LS_ADOPT_MAX; i++) {
        ls_assert(i >= old_count || strcmp(olds[i], worker) != 0);
        add_running(cmd, keys, i < old_count ? olds[i] : worker);
    }
    ls_cmd_puts(cmd, worker);
    ls_cmd_int(cmd, lease_ms);
    ls_cmd_int(cmd, (int64_t)old_count);
    for (size_t i = 0; i < old_count; i++)
        ls_cmd_puts(cmd, olds[i]);
}

int ls_worker_adopt_parse(const struct ls_reply *reply, struct ls_adopted *adopted,
                          struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "worker_adopt", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "worker_adopt", err);
    adopted->ms = ls_queue_int(reply, 1);
    ls_queue_claims(reply, 2, 2, &adopted->claims);
    return 0;
}

void ls_worker_steal_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *thief,
                           const char *victim, bool known_dead, int max)
{
    ls_assert(max >= 1 && max <= LS_STEAL_MAX);
    ls_cmd_script(cmd, &ls_script_worker_steal);
    ls_cmd_puts(cmd, keys->workers);
    add_running(cmd, keys, thief);
    add_running(cmd, keys, victim);
    ls_cmd_puts(cmd, keys->fence);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->slots);
    ls_cmd_puts(cmd, keys->progress);
    ls_cmd_puts(cmd, thief);
    ls_cmd_puts(cmd, victim);
    ls_cmd_int(cmd, known_dead);
    ls_cmd_int(cmd, max);
}

int ls_worker_steal_parse(const struct ls_reply *reply, struct ls_stolen *stolen,
                          struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "worker_steal", err);

    if (!word)
        return -1;
    if (strcmp(word, "FENCED") == 0)
        return ls_fail(err, LS_E_FENCED, "the thief's own lease has run out");
    *stolen = (struct ls_stolen){.ms = ls_queue_int(reply, 1)};
    if (strcmp(word, "ALIVE") == 0) {
        stolen->alive = true;
        stolen->alive_left_ms = ls_queue_int(reply, 2);
        return 0;
    }
    stolen->more = strcmp(word, "MORE") == 0;
    if (!stolen->more && strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "worker_steal", err);
    ls_queue_claims(reply, 2, 3, &stolen->claims);
    return 0;
}

void ls_worker_leave_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker)
{
    ls_cmd_script(cmd, &ls_script_worker_leave);
    ls_cmd_puts(cmd, keys->workers);
    add_running(cmd, keys, worker);
    ls_cmd_puts(cmd, worker);
}

int ls_worker_leave_parse(const struct ls_reply *reply, enum ls_left *left, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 1, "worker_leave", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") == 0)
        *left = LS_LEFT;
    else if (strcmp(word, "BUSY") == 0)
        *left = LS_LEFT_BUSY;
    else if (strcmp(word, "GONE") == 0)
        *left = LS_LEFT_GONE;
    else
        return ls_queue_unexpected(word, "worker_leave", err);
    return 0;
}

void ls_worker_beat_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker,
                          int64_t lease_ms, int max)
{
    ls_assert(max >= 1 && max <= LS_BEAT_NAMES_MAX);
    ls_cmd_script(cmd, &ls_script_worker_beat);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, worker);
    ls_cmd_int(cmd, lease_ms);
    ls_cmd_int(cmd, max);
}

int ls_worker_beat_parse(const struct ls_reply *reply, struct ls_worker_beat *beat,
                         struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "worker_beat", err);

    if (!word)
        return -1;
    if (strcmp(word, "FENCED") == 0)
        return ls_fail(err, LS_E_FENCED, "this worker's lease ran out and its claims were taken");
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "worker_beat", err);
    *beat = (struct ls_worker_beat){
        .ms = ls_queue_int(reply, 1), .count = reply->count - 2, .expired = reply->items + 2};
    return 0;
}

void ls_worker_list_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    ls_cmd_script(cmd, &ls_script_worker_list);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_int(cmd, LIST_MAX);
}

int ls_worker_list_parse(const struct ls_reply *reply, struct ls_worker_list *list,
                         struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "worker_list", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "worker_list", err);
    *list = (struct ls_worker_list){
        .ms = ls_queue_int(reply, 1), .count = (reply->count - 2) / 2, .pairs = reply->items + 2};
    return 0;
}

struct ls_worker_row ls_worker_list_row(const struct ls_worker_list *list, size_t i)
{
    ls_assert(i < list->count);
    return (struct ls_worker_row){.worker = ls_reply_span(&list->pairs[2 * i]),
                                  .left_ms = ls_reply_int(&list->pairs[2 * i + 1], 0)};
}

void ls_worker_claims_count_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                                  const char *worker)
{
    ls_cmd_start(cmd, "HLEN");
    add_running(cmd, keys, worker);
}

void ls_worker_claims_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *worker)
{
    ls_cmd_start(cmd, "HGETALL");
    add_running(cmd, keys, worker);
}
