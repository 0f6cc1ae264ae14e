/* Pushing: jobs are checked and written one after the other, then sent, or run here. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/id.h"
#include "common/queue/mode.h"
#include "producer/lib/lockstep_internal.h"
#include "producer/lib/waiter.h"

struct push {
    struct lockstep *ls;
    struct ls_buf bytes;
    struct ls_lib_job *items;
    size_t count;
    bool waiting;     /* one job, and the caller waits for its end */
    int64_t redis_ms; /* Redis' time, asked for when an at_ms needs it; 0: not asked */
    size_t surely;    /* of the first ones, so many are in */
    int64_t fresh;    /* new in their queues */
    int64_t known, kept, rejected;
};

static int prepare_all(struct push *push, const struct lockstep_job *jobs, size_t count,
                       char (*ids_out)[LOCKSTEP_ID_SIZE], struct ls_err *err);
static int prepare(struct push *push, const struct lockstep_job *job, size_t index, char *id_out,
                   struct ls_err *err);
static int fill_envelope(const struct push *push, const struct lockstep_job *job,
                         struct ls_envelope *envelope, struct ls_err *err);
static int fill_job(struct push *push, const struct lockstep_job *job, struct ls_push_job *out,
                    struct ls_err *err);
static int check_kind(const struct lockstep *ls, const char *kind, struct ls_err *err);
static int delay_until(struct push *push, int64_t at_ms, int64_t *delay_ms, struct ls_err *err);
static void write_job(struct push *push, struct ls_lib_job *item,
                      const struct ls_envelope *envelope);
static int send_all(struct push *push, struct ls_err *err);
static int send_rest(struct push *push, struct ls_err *err);
static bool repeatable(const struct push *push);
static int take_inline(struct push *push, struct ls_err *err);
static void refuse_rejected(const struct push *push, struct ls_err *err);
static void push_fini(struct push *push);

int lockstep_push(struct lockstep *ls, const struct lockstep_job *job, char *id_out)
{
    struct push push = {.ls = ls};
    struct ls_err err = LS_ERR_INIT;
    int result = -1;

    ls_lib_begin(ls);
    if (prepare_all(&push, job, 1, (char(*)[LOCKSTEP_ID_SIZE])id_out, &err) == 0 &&
        send_all(&push, &err) == 0)
        result = (int)push.fresh;
    if (result == 0 && push.rejected) {
        refuse_rejected(&push, &err);
        result = -1;
    }
    push_fini(&push);
    return result < 0 ? ls_lib_failed(ls, &err) : result;
}

int64_t lockstep_push_many(struct lockstep *ls, const struct lockstep_job *jobs, size_t count,
                           char (*ids_out)[LOCKSTEP_ID_SIZE], size_t *pushed)
{
    struct push push = {.ls = ls};
    struct ls_err err = LS_ERR_INIT;
    int64_t result = -1;

    ls_lib_begin(ls);
    if (prepare_all(&push, jobs, count, ids_out, &err) == 0 && send_all(&push, &err) == 0)
        result = push.fresh;
    if (pushed)
        *pushed = push.surely;
    push_fini(&push);
    return result < 0 ? ls_lib_failed(ls, &err) : result;
}

/* Wait for the end of the one job. lost: whether it arrived is told only by its having a state. What
 * fails otherwise is only the asking: the job is in. */
static int wait_for(const struct push *push, int64_t timeout_ms, bool lost,
                    struct ls_outcome *outcome, struct ls_err *err)
{
    const struct ls_lib_job *item = &push->items[0];
    const struct ls_keys *keys = &item->queue->keys;
    struct lockstep *ls = push->ls;
    struct ls_err failure = LS_ERR_INIT;

    if (push->kept)
        return 0; /* nothing of ours is there to wait for */
    if (ls->inlined) {
        ls_inline_outcome(ls->inlined, keys->queue, item->id, outcome);
        return 0;
    }
    if (ls_lib_connect(ls, &failure) < 0)
        return lost ? -1 : 0;
    if (push->known) { /* pushed before, perhaps without a state: then there is nothing to see */
        if (ls_wait(ls->redis, keys, item->id, 0, outcome, &failure) == 0 &&
            outcome->state == LS_OUTCOME_UNKNOWN)
            return 0;
    }
    ls_wait(ls->redis, keys, item->id, timeout_ms, outcome, &failure);
    return lost && outcome->state == LS_OUTCOME_UNKNOWN ? -1 : 0;
}

int lockstep_push_wait(struct lockstep *ls, const struct lockstep_job *job, int64_t timeout_ms,
                       struct lockstep_job_outcome *out)
{
    struct push push = {.ls = ls, .waiting = true};
    struct ls_outcome outcome = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_span id = {0};
    bool ended = false;
    int result;

    ls_lib_begin(ls);
    result = prepare_all(&push, job, 1, NULL, &err);
    if (result == 0) {
        id = push.items[0].id;
        result = send_all(&push, &err);
        if (result == 0 && push.rejected) {
            refuse_rejected(&push, &err);
            result = -1;
        } else if (result == 0 || err.code == LS_E_LOST) {
            result = wait_for(&push, timeout_ms, result < 0, &outcome, &err);
            ended = result == 0 && ls_outcome_ended(outcome.state);
        }
    }
    ls_lib_give_outcome(ls, &outcome, id, out);
    ls_outcome_fini(&outcome);
    push_fini(&push);
    return result < 0 ? ls_lib_failed(ls, &err) : ended;
}

/* ---- checking and writing ---- */

/* The caller may know a shorter struct. */
static void copy_job(struct lockstep_job *to, const struct lockstep_job *from)
{
    *to = (struct lockstep_job){0};
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
}

static int prepare_all(struct push *push, const struct lockstep_job *jobs, size_t count,
                       char (*ids_out)[LOCKSTEP_ID_SIZE], struct ls_err *err)
{
    size_t stride = count ? jobs[0].size : 0;

    if (count > SIZE_MAX / sizeof *push->items / 2)
        return ls_fail(err, LS_E_USAGE, "too many jobs");
    push->items = ls_xcalloc(count ? count : 1, sizeof *push->items);
    for (size_t i = 0; i < count; i++) {
        struct lockstep_job job;

        /* The array is made of the structs that the caller knows. */
        copy_job(&job, (const void *)((const char *)jobs + i * stride));
        if (prepare(push, &job, i, ids_out ? ids_out[i] : NULL, err) < 0)
            return count > 1 ? ls_wrap(err, "job %zu", i) : -1;
    }
    for (size_t i = 0; i < count; i++) { /* the buffer no longer moves */
        struct ls_lib_job *item = &push->items[i];

        item->job.envelope.data = push->bytes.data + item->offset;
        item->id.data = push->bytes.data + item->id_offset;
    }
    return 0;
}

static int prepare(struct push *push, const struct lockstep_job *job, size_t index, char *id_out,
                   struct ls_err *err)
{
    struct ls_lib_job *item = &push->items[index];
    struct ls_envelope envelope = {0};
    char id[LS_ID_SIZE];

    if (check_kind(push->ls, job->kind, err) < 0)
        return -1;
    item->queue = ls_lib_queue(push->ls, job->queue, err);
    if (!item->queue || fill_envelope(push, job, &envelope, err) < 0)
        return -1;
    if (!envelope.id.length)
        envelope.id = ls_span_of(ls_id_new(id));
    if (ls_envelope_check(&envelope, err) < 0 || fill_job(push, job, &item->job, err) < 0)
        return -1;
    write_job(push, item, &envelope);
    if (id_out)
        snprintf(id_out, LOCKSTEP_ID_SIZE, "%.*s", LS_SPAN_ARG(envelope.id));
    push->count++;
    return 0;
}

static int fill_envelope(const struct push *push, const struct lockstep_job *job,
                         struct ls_envelope *envelope, struct ls_err *err)
{
    if (job->max_attempts < 0 || job->max_attempts > INT32_MAX)
        return ls_fail(err, LS_E_USAGE, "'max_attempts' cannot be %lld",
                       (long long)job->max_attempts);
    if (job->priority && *job->priority &&
        ls_lane_parse(ls_span_of(job->priority), &envelope->lane) < 0) {
        ls_fail(err, LS_E_USAGE, "unknown priority '%.32s'", job->priority);
        return ls_hint(err, "high, normal or low");
    }
    envelope->kind = ls_span_of(job->kind);
    envelope->account = ls_span_of(job->account);
    envelope->key = ls_span_of(job->key);
    envelope->data = ls_span_of(job->data);
    envelope->id = ls_span_of(job->id);
    envelope->timeout_ms = job->timeout_ms;
    envelope->retry.max_attempts = (int)job->max_attempts;
    envelope->retry.max_age_ms = job->max_age_ms;
    envelope->result = job->result || push->waiting;
    envelope->status = job->status || envelope->result;
    return 0;
}

static int fill_job(struct push *push, const struct lockstep_job *job, struct ls_push_job *out,
                    struct ls_err *err)
{
    *out = (struct ls_push_job){.key = ls_span_of(job->key),
                                .delay_ms = job->delay_ms,
                                .debounce_ms = job->debounce_ms,
                                .max_wait_ms = job->max_wait_ms};
    if (job->at_ms < 0 || (job->at_ms && (job->delay_ms || job->debounce_ms))) {
        ls_fail(err, LS_E_USAGE,
                job->at_ms < 0 ? "at_ms is negative" : "both at_ms and a delay or debounce");
        return ls_hint(err, "at_ms is a time, ms since 1970; name one of them");
    }
    if (job->mode && *job->mode && ls_push_mode_parse(ls_span_of(job->mode), &out->mode, err) < 0)
        return -1;
    if (ls_push_job_check(out, err) < 0)
        return -1;
    if (job->id && *job->id && !out->key.length)
        out->id = ls_span_of(job->id);
    if (!job->at_ms)
        return 0;
    return delay_until(push, job->at_ms, &out->delay_ms, err) < 0 ? -1
                                                                  : ls_push_job_check(out, err);
}

static int check_kind(const struct lockstep *ls, const char *kind, struct ls_err *err)
{
    const char *near;
    int served;

    if (!kind || !*kind)
        return ls_fail(err, LS_E_USAGE, "a job needs a kind");
    if (ls->inlined && (served = ls_inline_serves(ls->inlined, kind, err)) != 0)
        return served > 0 ? 0 : -1;
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

    if (push->ls->inlined)
        push->redis_ms = ls_inline_now_ms(push->ls->inlined);
    if (!push->redis_ms) {
        ls_cmd_start(&cmd, "TIME");
        if (ls_lib_read(push->ls, &cmd, &reply, err) < 0) {
            ls_cmd_fini(&cmd);
            return -1;
        }
        push->redis_ms = ls_reply_int(ls_reply_item(reply, 0), 0) * 1000 +
                         ls_reply_int(ls_reply_item(reply, 1), 0) / 1000;
        ls_cmd_fini(&cmd);
    }
    *delay_ms = at_ms > push->redis_ms ? at_ms - push->redis_ms : 0;
    return 0;
}

static void write_job(struct push *push, struct ls_lib_job *item,
                      const struct ls_envelope *envelope)
{
    item->id_offset = push->bytes.length;
    item->id.length = envelope->id.length;
    ls_buf_add(&push->bytes, envelope->id.data, envelope->id.length);
    item->offset = push->bytes.length;
    ls_envelope_write(&push->bytes, envelope);
    item->job.envelope.length = push->bytes.length - item->offset;
    item->status = envelope->status;
}

/* ---- sending ---- */

static int send_all(struct push *push, struct ls_err *err)
{
    if (push->ls->inlined)
        return take_inline(push, err);
    for (bool lost = false, again = false;; again = true) {
        if (ls_lib_connect(push->ls, err) == 0 && send_rest(push, err) == 0)
            return 0;
        if (lost && (err->code == LS_E_NETWORK || err->code == LS_E_TIMEOUT))
            err->code = LS_E_LOST; /* the first try may have done it */
        if (again)
            return -1;
        /* A connection that died while nobody used it shows only now. Nothing was done (NETWORK),
         * or doing it twice changes nothing. */
        if (err->code != LS_E_NETWORK && (err->code != LS_E_LOST || !repeatable(push)))
            return -1;
        lost = err->code == LS_E_LOST;
    }
}

static int send_rest(struct push *push, struct ls_err *err)
{
    struct lockstep *ls = push->ls;
    struct ls_pusher pusher;
    int result = 0;

    ls_pusher_init(&pusher, ls->redis);
    for (size_t i = push->surely; i < push->count && result == 0; i++) {
        const struct ls_lib_job *item = &push->items[i];
        char key[LS_KEY_SIZE];

        result = ls_pusher_add(
            &pusher, item->queue, &item->job,
            item->status ? ls_keys_status(&item->queue->keys, item->id, key) : NULL, err);
    }
    if (result == 0)
        result = ls_pusher_finish(&pusher, err);
    push->surely += (size_t)pusher.confirmed;
    push->fresh += pusher.pushed + pusher.changed;
    push->known += pusher.known;
    push->kept += pusher.kept;
    push->rejected += pusher.rejected;
    ls_pusher_fini(&pusher);
    if (result < 0)
        ls_lib_disconnect_if_pending(ls);
    return result;
}

/* Of keyed ones only "latest": the first copy may be what rejects the second, or what it is dropped
 * for, and the caller would be told that nothing of theirs is in. */
static bool repeatable(const struct push *push)
{
    for (size_t i = push->surely; i < push->count; i++) {
        const struct ls_push_job *job = &push->items[i].job;

        if (job->key.length ? job->mode != LS_PUSH_LATEST : !job->id.length)
            return false;
    }
    return true;
}

static int take_inline(struct push *push, struct ls_err *err)
{
    for (; push->surely < push->count; push->surely++) {
        switch (ls_inline_push(push->ls->inlined, &push->items[push->surely])) {
        case LS_INLINE_NEW:
        case LS_INLINE_CHANGED:
            push->fresh++;
            break;
        case LS_INLINE_KEPT:
            push->kept++;
            break;
        case LS_INLINE_REJECTED:
            push->rejected++;
            break;
        case LS_INLINE_KNOWN:
        case LS_INLINE_COALESCED:
            break;
        }
    }
    if (ls_inline_settle(push->ls, err) < 0)
        return -1;
    ls_lib_begin(push->ls); /* a handler that used the handle left its own last failure there */
    return 0;
}

static void refuse_rejected(const struct push *push, struct ls_err *err)
{
    ls_fail(err, LS_E_EXISTS, "rejected: a job with key '%.*s' waits or runs",
            LS_SPAN_ARG(push->items[0].job.key));
    ls_hint(err, "push again when it has ended, or with mode \"latest\" or \"keep\"");
}

static void push_fini(struct push *push)
{
    ls_buf_fini(&push->bytes);
    free(push->items);
}
