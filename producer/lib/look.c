/* Looking at queues, at dead jobs and at single ones; cancelling. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/queue/dead.h"
#include "common/queue/push.h"
#include "common/queue/stat.h"
#include "producer/lib/lockstep_internal.h"

#define DEAD_SLICE 100 /* dead letters a trip */

int lockstep_queue_stat(struct lockstep *ls, const char *name, struct lockstep_queue_stat *stat)
{
    struct ls_err err = LS_ERR_INIT;
    const struct ls_reply *reply;
    struct ls_queue_stat seen;
    struct ls_cmd cmd = {0};
    struct ls_pusher_queue *queue;
    struct lockstep_queue_stat full = {.size = stat->size};
    int result = -1;

    ls_lib_begin(ls);
    queue = ls_lib_queue(ls, name, &err);
    if (!queue)
        return ls_lib_failed(ls, &err);
    if (ls->inlined) {
        ls_inline_stat(ls->inlined, queue->keys.queue, &full);
        memcpy(stat, &full, stat->size < sizeof full ? stat->size : sizeof full);
        return 0;
    }
    ls_queue_stat_build(&cmd, &queue->keys);
    if (ls_lib_read(ls, &cmd, &reply, &err) == 0)
        result = ls_queue_stat_parse(reply, &seen, &err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return ls_lib_failed(ls, &err);
    full.depth = seen.pending_high + seen.pending + seen.pending_low + seen.held;
    full.held = seen.held;
    full.oldest_age_ms = seen.oldest_ms;
    full.running = seen.running;
    full.delayed = seen.delayed + seen.reserved;
    full.failed = seen.dead;
    full.workers = seen.workers;
    full.paused = seen.paused;
    full.closed = seen.closed;
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

int ls_lib_give_letter(int64_t index, struct ls_span text, lockstep_dead_cb *cb, void *arg,
                       struct ls_buf bufs[LS_LIB_LETTER_TEXTS])
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
    struct ls_buf bufs[LS_LIB_LETTER_TEXTS] = {{0}};
    struct ls_cmd cmd = {0};
    int64_t given = 0;
    struct ls_pusher_queue *queue;
    bool more = true;

    ls_lib_begin(ls);
    if (offset < 0)
        offset = 0;
    queue = ls_lib_queue(ls, name, &err);
    if (queue && ls->inlined)
        return ls_inline_dead_list(ls->inlined, queue->keys.queue, offset, limit, cb, arg);
    if (!queue)
        return ls_lib_failed(ls, &err);
    while (more && (limit <= 0 || given < limit)) {
        int64_t want = limit > 0 && limit - given < DEAD_SLICE ? limit - given : DEAD_SLICE;
        const struct ls_reply *reply, *letter;
        int64_t got = 0;

        ls_dead_list_build(&cmd, &queue->keys, offset, offset + want - 1);
        if (ls_lib_read(ls, &cmd, &reply, &err) < 0) {
            given = ls_lib_failed(ls, &err);
            break;
        }
        while (more && (letter = ls_reply_item(reply, (size_t)got))) {
            given++;
            more = ls_lib_give_letter(offset + got, ls_reply_span(letter), cb, arg, bufs) == 0;
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

static int check_id(const char *id, struct ls_err *err)
{
    const struct ls_envelope envelope = {.kind = LS_SPAN("noop"), .id = ls_span_of(id)};

    if (!id || !*id)
        return ls_fail(err, LS_E_USAGE, "which job? an id is needed");
    return ls_envelope_check(&envelope, err);
}

int lockstep_result(struct lockstep *ls, const char *name, const char *id,
                    struct lockstep_job_outcome *out)
{
    struct ls_pusher_queue *queue;
    struct ls_outcome outcome = {0};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result = -1;

    ls_lib_begin(ls);
    queue = ls_lib_queue(ls, name, &err);
    if (!queue || check_id(id, &err) < 0)
        return ls_lib_failed(ls, &err);
    if (ls->inlined) {
        ls_inline_outcome(ls->inlined, queue->keys.queue, ls_span_of(id), &outcome);
        result = 0;
    } else {
        ls_outcome_build(&cmd, &queue->keys, ls_span_of(id));
        if (ls_lib_read(ls, &cmd, &reply, &err) == 0)
            result = ls_outcome_parse(reply, &outcome, &err);
        ls_cmd_fini(&cmd);
    }
    ls_lib_give_outcome(ls, &outcome, ls_span_of(id), out);
    ls_outcome_fini(&outcome);
    if (result < 0)
        return ls_lib_failed(ls, &err);
    return out->state != LOCKSTEP_UNKNOWN;
}

/* ---- cancelling ---- */

static int cancel(struct lockstep *ls, const char *name, struct ls_span id, struct ls_span key)
{
    struct ls_cancel what = {.ids = &id, .count = id.length > 0, .key = key};
    char status[LS_KEY_SIZE];
    struct ls_cancelled done = {0};
    struct ls_pusher_queue *queue;
    const struct ls_reply *reply;
    struct ls_err err = LS_ERR_INIT;
    struct ls_cmd cmd = {0};
    int result = -1;

    queue = ls_lib_queue(ls, name, &err);
    if (!queue)
        return ls_lib_failed(ls, &err);
    if (ls->inlined)
        return ls_inline_cancel(ls->inlined, queue->keys.queue, id, key);
    if (what.count)
        what.status_key = ls_keys_status(&queue->keys, id, status);
    ls_cancel_build(&cmd, &queue->keys, &what);
    if (ls_lib_repeat(ls, &cmd, &reply, &err) == 0)
        result = ls_cancel_parse(reply, &done, &err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return ls_lib_failed(ls, &err);
    return done.added > 0 || done.dropped > 0 || done.running;
}

int lockstep_cancel(struct lockstep *ls, const char *queue, const char *id)
{
    struct ls_err err = LS_ERR_INIT;

    ls_lib_begin(ls);
    if (check_id(id, &err) < 0)
        return ls_lib_failed(ls, &err);
    return cancel(ls, queue, ls_span_of(id), (struct ls_span){0});
}

int lockstep_cancel_key(struct lockstep *ls, const char *queue, const char *key)
{
    const struct ls_envelope envelope = {.kind = LS_SPAN("noop"), .key = ls_span_of(key)};
    struct ls_err err = LS_ERR_INIT;

    ls_lib_begin(ls);
    if (!key || !*key)
        ls_fail(&err, LS_E_USAGE, "which key?");
    else if (ls_envelope_check(&envelope, &err) == 0)
        return cancel(ls, queue, (struct ls_span){0}, envelope.key);
    return ls_lib_failed(ls, &err);
}
