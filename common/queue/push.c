#include "common/queue/push.h"

#include <stdio.h>
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
    ls_cmd_puts(cmd, keys->held);
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

bool ls_push_same_rule(const struct ls_push_job *a, const struct ls_push_job *b)
{
    return a->mode == b->mode && a->debounce_ms == b->debounce_ms &&
           a->max_wait_ms == b->max_wait_ms;
}

void ls_push_keyed_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                         const struct ls_push_options *options, const struct ls_push_job *jobs,
                         size_t count)
{
    static const char *const modes[] = {"latest", "keep", "reject"};

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
    ls_cmd_puts(cmd, keys->held);
    ls_cmd_puts(cmd, keys->ids);
    ls_cmd_puts(cmd, status_key(options, keys));
    ls_cmd_int(cmd, options->bound);
    ls_cmd_int(cmd, status_ttl(options));
    ls_cmd_puts(cmd, modes[jobs[0].mode]);
    ls_cmd_int(cmd, jobs[0].debounce_ms);
    ls_cmd_int(cmd, jobs[0].max_wait_ms);
    ls_cmd_int(cmd, options->ids_ttl_ms ? options->ids_ttl_ms : LS_IDS_TTL_MS);
    ls_cmd_int(cmd, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        ls_assert(jobs[i].key.length && ls_push_same_rule(&jobs[i], &jobs[0]));
        ls_cmd_span(cmd, jobs[i].key);
        ls_cmd_int(cmd, jobs[i].delay_ms);
        ls_cmd_span(cmd, jobs[i].id);
        ls_cmd_span(cmd, jobs[i].envelope);
    }
}

int ls_push_parse(const struct ls_reply *reply, struct ls_pushed *pushed, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 3, "job_push", err);

    if (!word)
        return -1;
    if (strcmp(word, "FULL") == 0) {
        ls_fail(err, LS_E_TOO_BIG, "the queue is full: %lld jobs wait, %lld are allowed",
                (long long)ls_queue_int(reply, 2), (long long)ls_queue_int(reply, 3));
        return ls_hint(err, "start more workers, or raise the queue's bound");
    }
    if (strcmp(word, "CLOSED") == 0) {
        ls_fail(err, LS_E_TOO_BIG, "the queue takes no jobs, it is being drained: %.*s",
                LS_SPAN_ARG(ls_reply_span(ls_reply_item(reply, 2))));
        return ls_hint(err, "'lockstep queue resume' opens it again");
    }
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "job_push", err);
    *pushed = (struct ls_pushed){.ms = ls_queue_int(reply, 1), .pushed = ls_queue_int(reply, 2)};
    if (reply->count == 4) { /* job_push */
        pushed->known = ls_queue_int(reply, 3);
    } else {
        pushed->coalesced = ls_queue_int(reply, 3);
        pushed->changed = ls_queue_int(reply, 4);
        pushed->kept = ls_queue_int(reply, 5);
        pushed->rejected = ls_queue_int(reply, 6);
        pushed->known = ls_queue_int(reply, 7);
    }
    return 0;
}

void ls_cancel_build(struct ls_cmd *cmd, const struct ls_keys *keys, const struct ls_cancel *cancel)
{
    ls_assert(cancel->count <= LS_PUSH_MAX);
    ls_assert(!cancel->status_key || cancel->count == 1);
    ls_cmd_script(cmd, &ls_script_job_cancel);
    ls_cmd_puts(cmd, keys->cancelled);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_puts(cmd, cancel->status_key ? cancel->status_key : keys->control);
    ls_cmd_int(cmd, cancel->ttl_ms ? cancel->ttl_ms : LS_CANCEL_TTL_MS);
    ls_cmd_span(cmd, cancel->key);
    ls_cmd_int(cmd, cancel->status_key != NULL);
    for (size_t i = 0; i < cancel->count; i++)
        ls_cmd_span(cmd, cancel->ids[i]);
}

int ls_cancel_parse(const struct ls_reply *reply, struct ls_cancelled *cancelled,
                    struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 5, "job_cancel", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "job_cancel", err);
    *cancelled = (struct ls_cancelled){.added = ls_queue_int(reply, 2),
                                       .dropped = ls_queue_int(reply, 3),
                                       .running = ls_queue_int(reply, 4) != 0};
    return 0;
}

void ls_cancelled_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    ls_cmd_script(cmd, &ls_script_job_cancelled);
    ls_cmd_puts(cmd, keys->cancelled);
}

void ls_cancelled_add(struct ls_cmd *cmd, struct ls_span id)
{
    ls_cmd_span(cmd, id);
}

void ls_cancelled_add_run(struct ls_cmd *cmd, int64_t fence)
{
    char text[32];

    snprintf(text, sizeof text, "@%lld", (long long)fence);
    ls_cmd_puts(cmd, text);
}

void ls_cancel_forget_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span id,
                            int64_t fence)
{
    ls_cmd_start(cmd, "ZREM");
    ls_cmd_puts(cmd, keys->cancelled);
    ls_cancelled_add(cmd, id);
    ls_cancelled_add_run(cmd, fence);
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
