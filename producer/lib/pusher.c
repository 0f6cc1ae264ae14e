#include "producer/lib/pusher.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/redis/facts.h"

static int send_batch(struct ls_pusher *pusher, struct ls_err *err);
static int read_answer(struct ls_pusher *pusher, struct ls_err *err);

void ls_pusher_init(struct ls_pusher *pusher, struct ls_redis_sync *redis)
{
    *pusher = (struct ls_pusher){.redis = redis};
}

void ls_pusher_fini(struct ls_pusher *pusher)
{
    ls_cmd_fini(&pusher->cmd);
    ls_buf_fini(&pusher->bytes);
    free(pusher->jobs);
    pusher->jobs = NULL;
}

/* Copy into the batch; the span then holds an offset, because the buffer may still move. */
static struct ls_span keep(struct ls_pusher *pusher, struct ls_span span)
{
    struct ls_span kept = {(const char *)pusher->bytes.length, span.length};

    if (!span.length)
        return (struct ls_span){0};
    ls_buf_add(&pusher->bytes, span.data, span.length);
    return kept;
}

/* One call puts jobs without an id in before those with one, and keyed ones by one rule. */
static bool alike(const struct ls_pusher *pusher, const struct ls_push_job *job)
{
    const struct ls_push_job *first = &pusher->jobs[0];

    if (pusher->keyed != (job->key.length > 0))
        return false;
    return pusher->keyed ? ls_push_same_rule(first, job)
                         : (first->id.length > 0) == (job->id.length > 0);
}

static bool fits(const struct ls_pusher *pusher, const struct ls_pusher_queue *queue,
                 const struct ls_push_job *job, const char *status_key)
{
    if (!pusher->count)
        return true;
    return pusher->queue == queue && alike(pusher, job) && !status_key && !*pusher->status_key &&
           pusher->count < LS_PUSH_MAX &&
           pusher->bytes.length + job->envelope.length <= LS_PUSHER_BYTES;
}

int ls_pusher_add(struct ls_pusher *pusher, struct ls_pusher_queue *queue,
                  const struct ls_push_job *job, const char *status_key, struct ls_err *err)
{
    struct ls_push_job *kept;

    if (!fits(pusher, queue, job, status_key) && send_batch(pusher, err) < 0)
        return -1;
    if (!pusher->jobs)
        pusher->jobs = ls_xcalloc(LS_PUSH_MAX, sizeof *pusher->jobs);
    pusher->queue = queue;
    pusher->keyed = job->key.length > 0;
    if (status_key)
        snprintf(pusher->status_key, sizeof pusher->status_key, "%s", status_key);
    kept = &pusher->jobs[pusher->count++];
    *kept = *job;
    kept->envelope = keep(pusher, job->envelope);
    kept->key = keep(pusher, job->key);
    kept->id = keep(pusher, job->id);
    return 0;
}

int ls_pusher_finish(struct ls_pusher *pusher, struct ls_err *err)
{
    if (pusher->count && send_batch(pusher, err) < 0)
        return -1;
    while (pusher->flight_count) {
        if (read_answer(pusher, err) < 0)
            return -1;
    }
    return 0;
}

static void place(struct ls_span *span, const char *start)
{
    if (span->length)
        span->data = start + (size_t)span->data;
}

static int send_batch(struct ls_pusher *pusher, struct ls_err *err)
{
    const struct ls_push_options options = {.status_key =
                                                *pusher->status_key ? pusher->status_key : NULL};
    const struct ls_keys *keys = &pusher->queue->keys;
    struct ls_pusher_flight *flight;

    /* No job goes where it may be evicted; what was said at connect costs nothing to look at. */
    if (ls_redis_facts_check(ls_redis_sync_facts(pusher->redis), ls_redis_sync_shown(pusher->redis),
                             NULL, err) < 0)
        return -1;
    if (pusher->flight_count == LS_PUSHER_FLIGHTS && read_answer(pusher, err) < 0)
        return -1;
    flight = &pusher->flights[(pusher->first_flight + pusher->flight_count) % LS_PUSHER_FLIGHTS];
    *flight = (struct ls_pusher_flight){.count = pusher->count, .queue = pusher->queue};
    if (!pusher->queue->announced) {
        ls_queue_announce_build(&pusher->cmd, keys);
        if (ls_redis_sync_append(pusher->redis, &pusher->cmd, err) < 0)
            return -1;
        flight->announced = pusher->queue;
    }
    for (size_t i = 0; i < pusher->count; i++) {
        place(&pusher->jobs[i].envelope, pusher->bytes.data);
        place(&pusher->jobs[i].key, pusher->bytes.data);
        place(&pusher->jobs[i].id, pusher->bytes.data);
    }
    if (pusher->keyed)
        ls_push_keyed_build(&pusher->cmd, keys, &options, pusher->jobs, pusher->count);
    else
        ls_push_build(&pusher->cmd, keys, &options, pusher->jobs, pusher->count);
    if (ls_redis_sync_append(pusher->redis, &pusher->cmd, err) < 0)
        return -1;
    pusher->flight_count++;
    pusher->count = 0;
    pusher->status_key[0] = 0;
    ls_buf_clear(&pusher->bytes);
    return 0;
}

static int read_answer(struct ls_pusher *pusher, struct ls_err *err)
{
    const struct ls_pusher_flight *flight = &pusher->flights[pusher->first_flight];
    const struct ls_reply *reply;
    struct ls_pushed pushed;

    if (flight->announced) {
        if (ls_redis_sync_next(pusher->redis, &reply, err) < 0)
            return -1;
        flight->announced->announced = true;
    }
    if (ls_redis_sync_next(pusher->redis, &reply, err) < 0)
        return -1;
    if (ls_push_parse(reply, &pushed, err) < 0) {
        if (err && err->code == LS_E_TOO_BIG) /* full or closed: which one? */
            ls_wrap(err, "queue '%s'", flight->queue->keys.queue);
        return -1;
    }
    pusher->confirmed += (int64_t)flight->count;
    pusher->pushed += pushed.pushed;
    pusher->known += pushed.known;
    pusher->coalesced += pushed.coalesced;
    pusher->changed += pushed.changed;
    pusher->kept += pushed.kept;
    pusher->rejected += pushed.rejected;
    pusher->first_flight = (pusher->first_flight + 1) % LS_PUSHER_FLIGHTS;
    pusher->flight_count--;
    return 0;
}
