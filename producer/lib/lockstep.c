/* liblockstep: a thin, careful layer over common/queue and the blocking connection. */
#include <lockstep/lockstep.h>

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/queue/dead.h"
#include "common/queue/push.h"
#include "common/queue/stat.h"
#include "common/redis/keys.h"
#include "common/redis/sync.h"
#include "producer/lib/pusher.h"

#define DEAD_SLICE 100 /* dead letters a trip */
#define QUEUES_MAX 256 /* key names kept in a handle */

struct lockstep {
    char *address; /* NULL: found at the first connect */
    int64_t timeout_ms;
    struct ls_redis_sync *redis; /* NULL: not connected yet */
    struct ls_pusher_queue **queues;
    size_t queue_count;
    char **kinds; /* allowed besides the known ones */
    size_t kind_count;
    enum lockstep_code code;
    char text[sizeof(((struct ls_err *)0)->text) + sizeof(((struct ls_err *)0)->hint) + 16];
};

/* ---- handle ---- */

struct lockstep *lockstep_open(const char *address)
{
    struct lockstep *ls = LS_NEW(struct lockstep);

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
    free(ls->queues);
    free(ls->kinds);
    free(ls->address);
    free(ls);
}

void lockstep_timeout(struct lockstep *ls, int64_t timeout_ms)
{
    ls->timeout_ms = timeout_ms > 0 ? timeout_ms : 0;
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

static void begin(struct lockstep *ls)
{
    ls->code = LOCKSTEP_OK;
    ls->text[0] = 0;
}

static int failed(struct lockstep *ls, const struct ls_err *err)
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

static int connect_redis(struct lockstep *ls, struct ls_err *err)
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

static struct ls_pusher_queue *queue_get(struct lockstep *ls, const char *name, struct ls_err *err)
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

/* ---- push ---- */

/* A job on its way: checked, its envelope written. */
struct item {
    struct ls_pusher_queue *queue;
    size_t offset, length; /* of the envelope, in push.bytes */
    size_t id_offset;      /* in push.bytes */
    struct ls_span id;
    struct ls_push_job job;
    bool status;
};

struct push {
    struct lockstep *ls;
    struct ls_buf bytes;
    struct item *items;
    size_t count;
    int64_t redis_ms; /* Redis' time, asked for when an at_ms needs it; 0: not asked */
    int64_t fresh;    /* new in their queues */
};

static int prepare(struct push *push, const struct lockstep_job *job, size_t index, char *id_out,
                   struct ls_err *err);
static int send_all(struct push *push, size_t *surely, struct ls_err *err);

/* The caller may know a shorter struct. */
static void copy_job(struct lockstep_job *to, const struct lockstep_job *from)
{
    *to = (struct lockstep_job){0};
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
}

static int64_t push_jobs(struct lockstep *ls, const struct lockstep_job *jobs, size_t count,
                         char (*ids_out)[LOCKSTEP_ID_SIZE], size_t *pushed)
{
    struct push push = {.ls = ls};
    struct ls_err err = LS_ERR_INIT;
    size_t surely = 0, stride = count ? jobs[0].size : 0;
    int64_t result = -1;

    begin(ls);
    if (pushed)
        *pushed = 0;
    if (count > SIZE_MAX / sizeof *push.items / 2) {
        ls_fail(&err, LS_E_USAGE, "too many jobs");
        goto done;
    }
    push.items = ls_xcalloc(count ? count : 1, sizeof *push.items);
    for (size_t i = 0; i < count; i++) {
        struct lockstep_job job;

        /* The array is made of the structs that the caller knows. */
        copy_job(&job, (const void *)((const char *)jobs + i * stride));
        if (prepare(&push, &job, i, ids_out ? ids_out[i] : NULL, &err) < 0) {
            if (count > 1)
                ls_wrap(&err, "job %zu", i);
            goto done;
        }
    }
    for (size_t i = 0; i < count; i++) { /* the buffer no longer moves */
        struct item *item = &push.items[i];

        item->job.envelope = (struct ls_span){push.bytes.data + item->offset, item->length};
        item->id.data = push.bytes.data + item->id_offset;
    }
    if (send_all(&push, &surely, &err) == 0)
        result = push.fresh;
done:
    if (pushed)
        *pushed = surely;
    ls_buf_fini(&push.bytes);
    free(push.items);
    return result < 0 ? failed(ls, &err) : result;
}

int lockstep_push(struct lockstep *ls, const struct lockstep_job *job, char *id_out)
{
    return (int)push_jobs(ls, job, 1, (char(*)[LOCKSTEP_ID_SIZE])id_out, NULL);
}

int64_t lockstep_push_many(struct lockstep *ls, const struct lockstep_job *jobs, size_t count,
                           char (*ids_out)[LOCKSTEP_ID_SIZE], size_t *pushed)
{
    return push_jobs(ls, jobs, count, ids_out, pushed);
}

static int check_kind(const struct lockstep *ls, const char *kind, struct ls_err *err)
{
    const char *near;

    if (!kind || !*kind)
        return ls_fail(err, LS_E_USAGE, "a job needs a kind");
    if (ls_kind_known(kind, strlen(kind)))
        return 0;
    for (size_t i = 0; i < ls->kind_count; i++) {
        if (strcmp(ls->kinds[i], kind) == 0)
            return 0;
    }
    near = ls_kind_nearest(kind);
    ls_fail(err, LS_E_USAGE, "unknown kind '%.64s'", kind);
    if (near)
        return ls_hint(err, "did you mean '%s'?", near);
    return ls_hint(err, "lockstep_allow_kind lets a handler of your own through");
}

/* at_ms is a time of the wall: Redis' clock says how far away it is. */
static int delay_until(struct push *push, int64_t at_ms, int64_t *delay_ms, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};

    if (!push->redis_ms) {
        if (connect_redis(push->ls, err) < 0)
            return -1;
        ls_cmd_start(&cmd, "TIME");
        if (ls_redis_sync_send(push->ls->redis, &cmd, &reply, err) < 0) {
            ls_cmd_fini(&cmd);
            if (err->code == LS_E_LOST) /* nothing was changed */
                err->code = LS_E_NETWORK;
            return -1;
        }
        push->redis_ms = ls_reply_int(ls_reply_item(reply, 0), 0) * 1000 +
                         ls_reply_int(ls_reply_item(reply, 1), 0) / 1000;
        ls_cmd_fini(&cmd);
    }
    *delay_ms = at_ms > push->redis_ms ? at_ms - push->redis_ms : 0;
    return 0;
}

static int prepare(struct push *push, const struct lockstep_job *job, size_t index, char *id_out,
                   struct ls_err *err)
{
    struct item *item = &push->items[index];
    struct ls_envelope envelope = {0};
    char id[LS_ID_SIZE];

    if (check_kind(push->ls, job->kind, err) < 0)
        return -1;
    if (job->delay_ms < 0 || job->at_ms < 0 || (job->delay_ms && job->at_ms) ||
        job->timeout_ms < 0 || job->max_attempts < 0 || job->max_attempts > INT32_MAX ||
        job->max_age_ms < 0)
        return ls_fail(err, LS_E_USAGE, "negative times, or both delay_ms and at_ms");
    if (job->priority && *job->priority &&
        ls_lane_parse(ls_span_of(job->priority), &envelope.lane) < 0) {
        ls_fail(err, LS_E_USAGE, "unknown priority '%.32s'", job->priority);
        return ls_hint(err, "high, normal or low");
    }
    item->queue = queue_get(push->ls, job->queue, err);
    if (!item->queue)
        return -1;
    envelope.kind = ls_span_of(job->kind);
    envelope.account = ls_span_of(job->account);
    envelope.key = ls_span_of(job->key);
    envelope.data = ls_span_of(job->data);
    envelope.id = ls_span_of(job->id);
    if (!envelope.id.length)
        envelope.id = ls_span_of(ls_id_new(id));
    envelope.timeout_ms = job->timeout_ms;
    envelope.retry.max_attempts = (int)job->max_attempts;
    envelope.retry.max_age_ms = job->max_age_ms;
    envelope.status = job->status != 0;
    if (ls_envelope_check(&envelope, err) < 0)
        return -1;
    if (id_out)
        snprintf(id_out, LOCKSTEP_ID_SIZE, "%.*s", LS_SPAN_ARG(envelope.id));
    item->id_offset = push->bytes.length;
    item->id.length = envelope.id.length;
    ls_buf_add(&push->bytes, envelope.id.data, envelope.id.length);
    item->offset = push->bytes.length;
    ls_envelope_write(&push->bytes, &envelope);
    item->length = push->bytes.length - item->offset;
    if (item->length > LS_ENVELOPE_MAX) {
        ls_fail(err, LS_E_USAGE, "the job has %zu bytes", item->length);
        return ls_hint(err, "at most %d; put the content elsewhere and push its address",
                       LS_ENVELOPE_MAX);
    }
    item->job.key = envelope.key;
    item->job.delay_ms = job->delay_ms;
    if (job->id && *job->id && !envelope.key.length)
        item->job.id = ls_span_of(job->id);
    item->status = envelope.status;
    if (job->at_ms && delay_until(push, job->at_ms, &item->job.delay_ms, err) < 0)
        return -1;
    push->count++;
    return 0;
}

static bool repeatable(const struct push *push, size_t first)
{
    for (size_t i = first; i < push->count; i++) {
        if (!push->items[i].job.key.length && !push->items[i].job.id.length)
            return false;
    }
    return true;
}

/* From *surely on. */
static int send_from(struct push *push, size_t *surely, struct ls_err *err)
{
    struct lockstep *ls = push->ls;
    struct ls_pusher pusher;
    int result = 0;

    ls_pusher_init(&pusher, ls->redis);
    for (size_t i = *surely; i < push->count && result == 0; i++) {
        const struct item *item = &push->items[i];
        char key[LS_KEY_SIZE];

        result = ls_pusher_add(
            &pusher, item->queue, &item->job,
            item->status ? ls_keys_status(&item->queue->keys, item->id, key) : NULL, err);
    }
    if (result == 0)
        result = ls_pusher_finish(&pusher, err);
    *surely += (size_t)pusher.confirmed;
    push->fresh += pusher.pushed + pusher.changed;
    ls_pusher_fini(&pusher);
    /* Answers that nobody reads must not meet the next call. */
    if (result < 0 && ls_redis_sync_pending(ls->redis)) {
        ls_redis_sync_close(ls->redis);
        ls->redis = NULL;
    }
    return result;
}

static int send_all(struct push *push, size_t *surely, struct ls_err *err)
{
    for (int attempt = 0;; attempt++) {
        if (connect_redis(push->ls, err) == 0 && send_from(push, surely, err) == 0)
            return 0;
        if (attempt > 0)
            return -1;
        /* A connection that died while nobody used it shows only now. Nothing was done (NETWORK),
         * or doing it twice changes nothing. */
        if (err->code != LS_E_NETWORK && (err->code != LS_E_LOST || !repeatable(push, *surely)))
            return -1;
    }
}

/* ---- looking ---- */

int lockstep_queue_stat(struct lockstep *ls, const char *name, struct lockstep_queue_stat *stat)
{
    struct ls_err err = LS_ERR_INIT;
    const struct ls_reply *reply;
    struct ls_queue_stat seen;
    struct ls_cmd cmd = {0};
    struct ls_pusher_queue *queue;
    struct lockstep_queue_stat full = {.size = stat->size};
    int result = -1;

    begin(ls);
    queue = queue_get(ls, name, &err);
    if (!queue)
        return failed(ls, &err);
    for (int attempt = 0; attempt < 2 && result < 0; attempt++) { /* reading repeats freely */
        ls_queue_stat_build(&cmd, &queue->keys);
        if (connect_redis(ls, &err) == 0 && ls_redis_sync_send(ls->redis, &cmd, &reply, &err) == 0)
            result = ls_queue_stat_parse(reply, &seen, &err);
        if (result < 0 && err.code != LS_E_LOST && err.code != LS_E_NETWORK)
            break;
    }
    ls_cmd_fini(&cmd);
    if (result < 0) {
        if (err.code == LS_E_LOST)
            err.code = LS_E_NETWORK;
        return failed(ls, &err);
    }
    full.depth = seen.pending_high + seen.pending + seen.pending_low;
    full.oldest_age_ms = seen.oldest_ms;
    full.running = seen.running;
    full.delayed = seen.delayed + seen.reserved + seen.held;
    full.failed = seen.dead;
    full.workers = seen.workers;
    full.paused = seen.paused;
    memcpy(stat, &full, stat->size < sizeof full ? stat->size : sizeof full);
    return 0;
}

/* A span as a string in a buffer that grows. */
static const char *text_of(struct ls_buf *buf, struct ls_span span)
{
    ls_buf_clear(buf);
    ls_buf_puts(buf, "");
    ls_buf_add(buf, span.data, span.length);
    return buf->data;
}

static int give_letter(int64_t index, struct ls_span text, lockstep_dead_cb *cb, void *arg,
                       struct ls_buf bufs[7])
{
    struct lockstep_dead dead = {.size = sizeof dead, .index = index};
    struct ls_err err = LS_ERR_INIT;
    struct ls_dead letter = {0};
    int result;

    if (ls_dead_parse(&letter, text.data, text.length, &err) < 0)
        letter.error = LS_SPAN("this entry of the dead list is no dead letter of ours");
    dead.id = text_of(&bufs[0], letter.id);
    dead.kind = text_of(&bufs[1], letter.kind);
    dead.account = text_of(&bufs[2], letter.account);
    dead.key = text_of(&bufs[3], letter.key);
    dead.error = text_of(&bufs[4], letter.error);
    dead.error_class = text_of(&bufs[5], letter.klass);
    dead.letter = text_of(&bufs[6], text);
    dead.attempts = letter.attempts;
    dead.failed_at_ms = letter.failed_at;
    result = cb(arg, &dead);
    ls_dead_fini(&letter);
    return result;
}

int64_t lockstep_dead_list(struct lockstep *ls, const char *name, int64_t offset, int64_t limit,
                           lockstep_dead_cb *cb, void *arg)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf bufs[7] = {{0}};
    struct ls_cmd cmd = {0};
    int64_t given = 0;
    struct ls_pusher_queue *queue;
    bool more = true;

    begin(ls);
    queue = queue_get(ls, name, &err);
    if (!queue || connect_redis(ls, &err) < 0)
        return failed(ls, &err);
    if (offset < 0)
        offset = 0;
    while (more && (limit <= 0 || given < limit)) {
        int64_t want = limit > 0 && limit - given < DEAD_SLICE ? limit - given : DEAD_SLICE;
        const struct ls_reply *reply, *letter;
        int64_t got = 0;

        ls_dead_list_build(&cmd, &queue->keys, offset, offset + want - 1);
        if (ls_redis_sync_send(ls->redis, &cmd, &reply, &err) < 0) {
            if (err.code == LS_E_LOST)
                err.code = LS_E_NETWORK;
            given = failed(ls, &err);
            break;
        }
        while (more && (letter = ls_reply_item(reply, (size_t)got))) {
            given++;
            more = give_letter(offset + got, ls_reply_span(letter), cb, arg, bufs) == 0;
            got++;
        }
        offset += got;
        more = more && got == want;
    }
    ls_cmd_fini(&cmd);
    for (size_t i = 0; i < LS_COUNT(bufs); i++)
        ls_buf_fini(&bufs[i]);
    return given;
}
