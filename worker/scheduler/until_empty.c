#include "worker/scheduler/until_empty.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/loop/timer.h"
#include "common/queue/stat.h"

#define LOOK_MS 100
#define RETRIES_MAX 256 /* delayed jobs looked at for retries, the earliest first */

struct ls_until {
    struct ls_redis *redis; /* borrowed */
    const struct ls_until_empty *given;
    struct ls_until_hooks hooks;
    struct ls_timer *look, *deadline;
    struct ls_keys *keys; /* owned; one a queue */
    size_t queue_count;
    size_t at; /* the queue that is looked at */
    struct ls_cmd cmd;
    struct ls_buf left;  /* what this look has found so far */
    int64_t died;        /* the same, of all queues */
    struct ls_buf found; /* what the last whole look found */
    int64_t died_found, died_before;
    int empty_looks; /* in a row */
    bool up, watching, over;
};

static void on_look(void *arg);
static void ask_queue(struct ls_until *until);
static void on_stat(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void note_left(struct ls_until *until, const struct ls_queue_stat *stat);
static void ask_retries(struct ls_until *until);
static void on_delayed(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_states(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void next_queue(struct ls_until *until);
static void look_over(struct ls_until *until);
static void on_deadline(void *arg);
static void finish(struct ls_until *until, const char *left);

struct ls_until *ls_until_new(uv_loop_t *loop, struct ls_redis *redis,
                              const struct ls_config *config, const struct ls_until_empty *given,
                              const struct ls_until_hooks *hooks, struct ls_err *err)
{
    struct ls_until *until = LS_NEW(struct ls_until);

    until->redis = redis;
    until->given = given;
    until->hooks = *hooks;
    until->watching = given->watching;
    until->died_before = given->died_before;
    until->keys = ls_xcalloc(config->queue_count, sizeof *until->keys);
    until->look = ls_timer_new(loop, on_look, until);
    until->deadline = ls_timer_new(loop, on_deadline, until);
    for (; until->queue_count < config->queue_count; until->queue_count++) {
        if (ls_keys_init(&until->keys[until->queue_count], config->queues[until->queue_count].name,
                         err) < 0) {
            ls_until_free(until);
            return NULL;
        }
    }
    if (given->deadline_ms) {
        int64_t wait_ms = given->deadline_ms - ls_clock_mono_ms();

        ls_timer_start(until->deadline, wait_ms > 0 ? wait_ms : 0);
    }
    return until;
}

void ls_until_up(struct ls_until *until)
{
    if (until->over)
        return;
    until->up = true;
    ls_timer_start(until->look, 0);
}

void ls_until_down(struct ls_until *until)
{
    until->up = false;
    until->empty_looks = 0;
    ls_timer_stop(until->look);
}

void ls_until_free(struct ls_until *until)
{
    if (!until)
        return;
    ls_timer_close(&until->look);
    ls_timer_close(&until->deadline);
    for (size_t i = 0; i < until->queue_count; i++)
        ls_keys_fini(&until->keys[i]);
    free(until->keys);
    ls_cmd_fini(&until->cmd);
    ls_buf_fini(&until->left);
    ls_buf_fini(&until->found);
    free(until);
}

/* ---- a look: each queue in turn ---- */

static void on_look(void *arg)
{
    struct ls_until *until = arg;

    until->at = 0;
    until->died = 0;
    ls_buf_clear(&until->left);
    ask_queue(until);
}

static void ask_queue(struct ls_until *until)
{
    ls_queue_stat_build(&until->cmd, &until->keys[until->at]);
    ls_redis_send(until->redis, &until->cmd, 0, on_stat, until);
}

/* An answer that says nothing ends this look; the next one may do better. */
static void look_failed(struct ls_until *until)
{
    until->empty_looks = 0;
    if (until->up && !until->over)
        ls_timer_start(until->look, LOOK_MS);
}

/* Until the time is over; -1: there is none. */
static int64_t left_ms(const struct ls_until *until)
{
    return until->given->deadline_ms ? until->given->deadline_ms - ls_clock_mono_ms() : -1;
}

static void on_stat(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_until *until = arg;
    struct ls_queue_stat stat;
    size_t before = until->left.length;

    if (err || ls_queue_stat_parse(reply, &stat, NULL) < 0) {
        look_failed(until);
        return;
    }
    until->died += stat.died;
    note_left(until, &stat);
    if (until->left.length == before && stat.delayed)
        ask_retries(until); /* all of them are due too late: are there any that were tried? */
    else
        next_queue(until);
}

static void note_left(struct ls_until *until, const struct ls_queue_stat *stat)
{
    int64_t waiting =
        stat->pending_high + stat->pending + stat->pending_low + stat->held + stat->reserved;
    int64_t wait_ms = left_ms(until);
    bool delayed = stat->delayed && (wait_ms < 0 || stat->next_due_ms <= wait_ms);
    const char *const why = stat->paused    ? " (it is paused)"
                            : stat->blocked ? " (its dead list is full)"
                                            : "";

    if (!waiting && !stat->running && !delayed)
        return;
    ls_buf_printf(&until->left, "%squeue '%s'%s: %lld wait, %lld run, %lld are delayed",
                  until->left.length ? "; " : "", until->keys[until->at].queue, why,
                  (long long)waiting, (long long)stat->running, (long long)stat->delayed);
}

/* ---- retries among the delayed ---- */

static void ask_retries(struct ls_until *until)
{
    ls_cmd_start(&until->cmd, "ZRANGE");
    ls_cmd_puts(&until->cmd, until->keys[until->at].delayed);
    ls_cmd_int(&until->cmd, 0);
    ls_cmd_int(&until->cmd, RETRIES_MAX - 1);
    ls_redis_send(until->redis, &until->cmd, 0, on_delayed, until);
}

static void note_retries(struct ls_until *until)
{
    ls_buf_printf(&until->left, "%squeue '%s': jobs wait for their next attempt",
                  until->left.length ? "; " : "", until->keys[until->at].queue);
}

static bool was_tried(struct ls_span text)
{
    struct ls_envelope envelope;
    bool tried = ls_envelope_scan(&envelope, text.data, text.length, NULL) == 0 &&
                 (envelope.attempt > 0 || envelope.crashes > 0);

    ls_envelope_fini(&envelope);
    return tried;
}

static void on_delayed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_until *until = arg;
    const struct ls_reply *item;
    int pointers = 0;
    bool tried = false;

    if (err || reply->type != LS_REPLY_ARRAY) {
        look_failed(until);
        return;
    }
    ls_cmd_start(&until->cmd, "HMGET");
    ls_cmd_puts(&until->cmd, until->keys[until->at].keys);
    for (size_t i = 0; (item = ls_reply_item(reply, i)) && !tried; i++) {
        struct ls_span text = ls_reply_span(item);

        if (text.length > 1 && text.data[0] == '@') {
            ls_cmd_add(&until->cmd, text.data + 1, text.length - 1);
            pointers++;
        } else {
            tried = was_tried(text);
        }
    }
    if (tried)
        note_retries(until);
    if (tried || !pointers)
        next_queue(until);
    else
        ls_redis_send(until->redis, &until->cmd, 0, on_states, until);
}

/* "retrying <ms> <lane>", see lua/lib/keyed.lua */
static void on_states(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    static const char word[] = "retrying ";
    struct ls_until *until = arg;
    const struct ls_reply *item;

    if (err || reply->type != LS_REPLY_ARRAY) {
        look_failed(until);
        return;
    }
    for (size_t i = 0; (item = ls_reply_item(reply, i)); i++) {
        struct ls_span state = ls_reply_span(item);

        if (state.length > sizeof word - 1 && memcmp(state.data, word, sizeof word - 1) == 0) {
            note_retries(until);
            break;
        }
    }
    next_queue(until);
}

/* ---- the end of a look ---- */

static void next_queue(struct ls_until *until)
{
    if (++until->at < until->queue_count)
        ask_queue(until);
    else
        look_over(until);
}

static void look_over(struct ls_until *until)
{
    if (until->over)
        return;
    ls_buf_clear(&until->found);
    ls_buf_add(&until->found, until->left.data, until->left.length);
    until->died_found = until->died;
    if (!until->watching) {
        until->watching = true;
        until->died_before = until->died;
        until->hooks.watching(until->hooks.arg, until->died);
    }
    until->empty_looks = until->left.length ? 0 : until->empty_looks + 1;
    if (until->empty_looks >= 2) /* one may have looked away from a job that moved between queues */
        finish(until, "");
    else
        ls_timer_start(until->look, LOOK_MS);
}

static void on_deadline(void *arg)
{
    struct ls_until *until = arg;
    struct ls_buf text = {0};

    if (until->over)
        return;
    /* The last look found nothing, only the second one would have come too late. */
    if (until->up && until->empty_looks > 0 && !until->left.length) {
        finish(until, "");
        return;
    }
    ls_buf_puts(&text, !until->up            ? "redis is away"
                       : until->found.length ? until->found.data
                       : until->left.length  ? until->left.data
                                             : "the queues were not looked at yet");
    finish(until, text.data);
    ls_buf_fini(&text);
}

static void finish(struct ls_until *until, const char *left)
{
    int64_t died = until->watching ? until->died_found - until->died_before : 0;

    until->over = true;
    ls_timer_stop(until->look);
    ls_timer_stop(until->deadline);
    until->hooks.over(until->hooks.arg, died > 0 ? died : 0, left);
}
