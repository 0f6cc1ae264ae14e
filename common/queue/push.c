#include "common/queue/push.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/job/lane.h"
#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

#define STATUS_TTL_MS (24 * 3600 * 1000LL)

static const struct ls_push_options no_options = {0};

/* The kinds of job_push's arguments, in their order. */
enum place { HIGH, NORMAL, LOW, DELAYED, WITH_ID, PLACES };

static enum place place_of(const struct ls_push_job *job)
{
    if (job->id.length)
        return WITH_ID;
    if (job->delay_ms > 0)
        return DELAYED;
    switch (ls_lane_of(job->envelope)) {
    case LS_LANE_HIGH:
        return HIGH;
    case LS_LANE_LOW:
        return LOW;
    case LS_LANE_NORMAL:
        break;
    }
    return NORMAL;
}

static int64_t status_ttl(const struct ls_push_options *options)
{
    if (!options->status_key)
        return 0;
    return options->status_ttl_ms ? options->status_ttl_ms : STATUS_TTL_MS;
}

/* A key must stand there even when there is no status: any of the queue's will do. */
static const char *status_key(const struct ls_push_options *options, const struct ls_keys *keys)
{
    return options->status_key ? options->status_key : keys->control;
}

static void add_job(struct ls_cmd *cmd, const struct ls_push_job *job, enum place place)
{
    if (place == WITH_ID)
        ls_cmd_puts(cmd, ls_lane_name(ls_lane_of(job->envelope)));
    if (place == DELAYED || place == WITH_ID)
        ls_cmd_int(cmd, job->delay_ms);
    if (place == WITH_ID)
        ls_cmd_span(cmd, job->id);
    ls_cmd_span(cmd, job->envelope);
}

void ls_push_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                   const struct ls_push_options *options, const struct ls_push_job *jobs,
                   size_t count)
{
    size_t counts[PLACES] = {0};

    ls_assert(count >= 1 && count <= LS_PUSH_MAX);
    if (!options)
        options = &no_options;
    ls_assert(!options->status_key || count == 1);
    for (size_t i = 0; i < count; i++)
        counts[place_of(&jobs[i])]++;
    ls_cmd_script(cmd, &ls_script_job_push);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->ids);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_puts(cmd, status_key(options, keys));
    ls_cmd_int(cmd, options->bound);
    ls_cmd_int(cmd, options->ids_ttl_ms ? options->ids_ttl_ms : LS_IDS_TTL_MS);
    ls_cmd_int(cmd, status_ttl(options));
    for (int place = HIGH; place < PLACES; place++)
        ls_cmd_int(cmd, (int64_t)counts[place]);
    for (int place = HIGH; place < PLACES; place++) {
        for (size_t i = 0; counts[place] && i < count; i++) {
            if (place_of(&jobs[i]) == (enum place)place)
                add_job(cmd, &jobs[i], (enum place)place);
        }
    }
}

void ls_push_keyed_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                         const struct ls_push_options *options, const struct ls_push_job *jobs,
                         size_t count)
{
    ls_assert(count >= 1 && count <= LS_PUSH_MAX);
    if (!options)
        options = &no_options;
    ls_assert(!options->status_key || count == 1);
    ls_cmd_script(cmd, &ls_script_job_push_keyed);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_puts(cmd, status_key(options, keys));
    ls_cmd_int(cmd, options->bound);
    ls_cmd_int(cmd, status_ttl(options));
    ls_cmd_int(cmd, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        ls_assert(jobs[i].key.length);
        ls_cmd_span(cmd, jobs[i].key);
        ls_cmd_int(cmd, jobs[i].delay_ms);
        ls_cmd_span(cmd, jobs[i].envelope);
    }
}

int ls_push_parse(const struct ls_reply *reply, struct ls_pushed *pushed, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 4, "job_push", err);

    if (!word)
        return -1;
    if (strcmp(word, "FULL") == 0) {
        ls_fail(err, LS_E_TOO_BIG, "the queue is full: %lld jobs wait, %lld are allowed",
                (long long)ls_queue_int(reply, 2), (long long)ls_queue_int(reply, 3));
        return ls_hint(err, "start more workers, or raise the queue's bound");
    }
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "job_push", err);
    *pushed = (struct ls_pushed){.ms = ls_queue_int(reply, 1), .pushed = ls_queue_int(reply, 2)};
    if (reply->count == 4) { /* job_push */
        pushed->known = ls_queue_int(reply, 3);
    } else {
        pushed->coalesced = ls_queue_int(reply, 3);
        pushed->changed = ls_queue_int(reply, 4);
    }
    return 0;
}

void ls_cancel_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t ttl_ms,
                     const struct ls_span *ids, size_t count)
{
    ls_assert(count <= LS_PUSH_MAX);
    ls_cmd_script(cmd, &ls_script_job_cancel);
    ls_cmd_puts(cmd, keys->cancelled);
    ls_cmd_int(cmd, ttl_ms ? ttl_ms : LS_IDS_TTL_MS);
    for (size_t i = 0; i < count; i++)
        ls_cmd_span(cmd, ids[i]);
}

int ls_cancel_parse(const struct ls_reply *reply, int64_t *added, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 3, "job_cancel", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "job_cancel", err);
    *added = ls_queue_int(reply, 2);
    return 0;
}

void ls_status_build(struct ls_cmd *cmd, const char *key, const char *state, int64_t ttl_ms)
{
    ls_cmd_start(cmd, "SET");
    ls_cmd_puts(cmd, key);
    ls_cmd_puts(cmd, state);
    ls_cmd_puts(cmd, "PX");
    ls_cmd_int(cmd, ttl_ms ? ttl_ms : STATUS_TTL_MS);
}

void ls_queue_announce_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    ls_cmd_start(cmd, "SADD");
    ls_cmd_puts(cmd, LS_KEY_QUEUES);
    ls_cmd_puts(cmd, keys->queue);
}
