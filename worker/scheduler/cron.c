#include "worker/scheduler/cron.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/loop/timer.h"
#include "common/queue/cron.h"
#include "common/queue/push.h"
#include "common/queue/worker.h"
#include "common/redis/conn.h"
#include "common/schedule/plan.h"
#include "common/schedule/schedule.h"

#define RETRY_FIRST_MS 2000 /* after a failure, doubling */
#define RETRY_CAP_MS 300000
#define WAIT_MAX_MS 3600000 /* the clocks may drift apart */
#define LATE_MS 5 /* rather a little late: an early question is answered by another wait */
#define MINUTE_MS 60000
#define HOUR_MS 3600000LL

/* One schedule's way: begin -> (FIRE) push -> done -> plan, wait -> begin ... */
struct ticker {
    struct ls_cron *cron;               /* borrowed: the owner */
    const struct ls_schedule *schedule; /* borrowed from cron->schedules */
    struct ls_keys keys;
    struct ls_timer *timer;
    struct ls_plan plan; /* what the timer waits for; tick 0: nothing is planned yet */
    int64_t settled;     /* what it was planned from; -1: nothing is known */
    int64_t firing;      /* the tick being fired */
    int64_t retry_ms;    /* the last pause after a failure; 0: there was none */
    int64_t said_ms;     /* the first tick left out that was told last; a plan is made many times */
    bool differs;        /* said that others have another pace */
};

struct ls_cron {
    struct ls_redis *redis;
    char owner[LS_WORKER_ID_SIZE]; /* one for the process' life: after a reconnect a tick that was
                                    * begun is still ours */
    bool up;
    struct ls_cmd cmd; /* scratch */
    struct ls_schedules schedules;
    struct ticker *tickers; /* owned; never moves: callbacks point into it */
    size_t count;
};

static void begin(void *arg);
static void on_begun(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void push(struct ticker *ticker);
static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_done(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void make_plan(struct ticker *ticker, int64_t settled, int64_t ms);
static void wait_for(struct ticker *ticker, int64_t wait_ms);
static void say_left_out(struct ticker *ticker);
static void fail(struct ticker *ticker, const char *what, const struct ls_err *err);
static void forget_disabled(struct ls_cron *cron);

struct ls_cron *ls_cron_new(uv_loop_t *loop, struct ls_redis *redis, const struct ls_config *config,
                            struct ls_err *err)
{
    struct ls_cron *cron = LS_NEW(struct ls_cron);

    cron->redis = redis;
    ls_worker_id(cron->owner);
    if (ls_schedules_make(&cron->schedules, config, err) < 0)
        goto fail;
    cron->tickers = ls_xcalloc(cron->schedules.count + 1, sizeof *cron->tickers);
    for (size_t i = 0; i < cron->schedules.count; i++) {
        const struct ls_schedule *schedule = &cron->schedules.items[i];
        struct ticker *ticker = &cron->tickers[cron->count];

        if (!schedule->enabled)
            continue;
        *ticker = (struct ticker){.cron = cron, .schedule = schedule, .settled = -1};
        ticker->timer = ls_timer_new(loop, begin, ticker);
        cron->count++; /* ls_cron_free tidies up from here on */
        if (ls_keys_init(&ticker->keys, schedule->queue, err) < 0)
            goto fail;
    }
    return cron;
fail:
    ls_cron_free(cron);
    return NULL;
}

void ls_cron_up(struct ls_cron *cron)
{
    cron->up = true;
    forget_disabled(cron);
    for (size_t i = 0; i < cron->count; i++)
        ls_timer_start(cron->tickers[i].timer, 0);
}

void ls_cron_down(struct ls_cron *cron)
{
    cron->up = false;
    for (size_t i = 0; i < cron->count; i++)
        ls_timer_stop(cron->tickers[i].timer);
}

void ls_cron_free(struct ls_cron *cron)
{
    if (!cron)
        return;
    for (size_t i = 0; i < cron->count; i++) {
        ls_timer_close(&cron->tickers[i].timer);
        ls_keys_fini(&cron->tickers[i].keys);
    }
    free(cron->tickers);
    ls_schedules_fini(&cron->schedules);
    ls_cmd_fini(&cron->cmd);
    free(cron);
}

static struct ls_cron_ask ask_of(const struct ticker *ticker)
{
    return (struct ls_cron_ask){
        .schedule = ticker->schedule->name,
        .spec = ticker->schedule->spec,
        .owner = ticker->cron->owner,
        .tick = ticker->plan.tick > 0 ? ticker->plan.tick : 0,
        .settled = ticker->settled,
        .stale_ms = ticker->plan.stale_ms,
        .at_once = ticker->schedule->at_once,
    };
}

static void begin(void *arg)
{
    struct ticker *ticker = arg;
    struct ls_cron *cron = ticker->cron;
    struct ls_cron_ask ask = ask_of(ticker);

    if (!cron->up)
        return;
    ls_cron_begin_build(&cron->cmd, &ask);
    ls_redis_send(cron->redis, &cron->cmd, 0, on_begun, ticker);
}

static void on_begun(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ticker *ticker = arg;
    struct ls_cron_answer answer;
    struct ls_err failure = LS_ERR_INIT;
    int64_t next_ms;

    if (!err && ls_cron_begin_parse(reply, &answer, &failure) < 0)
        err = &failure;
    if (err) {
        fail(ticker, "asking for its tick", err);
        return;
    }
    switch (answer.word) {
    case LS_CRON_PLAN:
        make_plan(ticker, answer.settled, answer.ms);
        break;
    case LS_CRON_HELD: /* the other one will do it; ours is the next, or this one if it dies */
        next_ms = ls_pace_next(&ticker->schedule->pace, answer.tick);
        next_ms = next_ms < 0 || next_ms <= answer.ms ? answer.left_ms : next_ms - answer.ms;
        wait_for(ticker, next_ms < answer.left_ms ? next_ms : answer.left_ms);
        break;
    case LS_CRON_FIRE:
        if (answer.differs && !ticker->differs)
            ls_log(LS_LOG_WARN, "cron.differs",
                   "%s: another scheduler of the fleet has another pace for it; both fire",
                   ticker->schedule->name);
        ticker->differs = answer.differs;
        ticker->firing = answer.tick;
        push(ticker);
        break;
    }
}

/* Ids of ticks of every second would be many: they are remembered for an hour, others for a day.
 * They matter to whoever finds a tick begun by a scheduler that died. */
static int64_t remember_ms(const struct ls_pace *pace)
{
    return pace->every_ms && pace->every_ms < MINUTE_MS ? HOUR_MS : 24 * HOUR_MS;
}

static void push(struct ticker *ticker)
{
    const struct ls_schedule *schedule = ticker->schedule;
    struct ls_cron *cron = ticker->cron;
    char *id = ls_xasprintf("%s-%lld", schedule->stem, (long long)ticker->firing);
    struct ls_push_options options = {.ids_ttl_ms = remember_ms(&schedule->pace)};
    struct ls_push_job job = {.key = ls_span_of(schedule->key), .id = ls_span_of(id)};
    struct ls_buf text = {0};

    ls_schedule_job(schedule, id, &text);
    job.envelope = (struct ls_span){text.data, text.length};
    if (job.key.length) {
        ls_push_keyed_build(&cron->cmd, &ticker->keys, &options, &job, 1);
    } else {
        ls_push_build(&cron->cmd, &ticker->keys, &options, &job, 1);
    }
    ls_redis_send(cron->redis, &cron->cmd, 0, on_pushed, ticker);
    ls_buf_fini(&text);
    free(id);
}

static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ticker *ticker = arg;
    struct ls_cron *cron = ticker->cron;
    struct ls_cron_ask ask = ask_of(ticker);
    struct ls_pushed pushed;
    struct ls_err failure = LS_ERR_INIT;

    if (!err && ls_push_parse(reply, &pushed, &failure) < 0)
        err = &failure;
    if (err) {
        fail(ticker, "pushing its job", err);
        return;
    }
    ls_log(LS_LOG_DEBUG, "cron.fired", "%s, tick %lld", ticker->schedule->name,
           (long long)ticker->firing);
    ask.tick = ticker->firing;
    ls_cron_done_build(&cron->cmd, &ask);
    ls_redis_send(cron->redis, &cron->cmd, 0, on_done, ticker);
}

static void on_done(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ticker *ticker = arg;
    struct ls_err failure = LS_ERR_INIT;
    int64_t ms = 0;
    bool late = false;

    if (!err && ls_cron_done_parse(reply, &ms, &late, &failure) < 0)
        err = &failure;
    if (err) {
        fail(ticker, "closing its tick", err);
        return;
    }
    make_plan(ticker, ticker->firing, ms); /* late or not: the job is there */
}

static void make_plan(struct ticker *ticker, int64_t settled, int64_t ms)
{
    const struct ls_schedule *schedule = ticker->schedule;

    ticker->retry_ms = 0;
    ticker->settled = settled;
    ticker->plan = ls_plan_make(&schedule->pace, schedule->catch_up, settled, ms);
    say_left_out(ticker);
    if (ticker->plan.tick < 0)
        wait_for(ticker, WAIT_MAX_MS);
    else if (ticker->plan.wait_ms > 0)
        wait_for(ticker, ticker->plan.wait_ms);
    else
        begin(ticker);
}

static void wait_for(struct ticker *ticker, int64_t wait_ms)
{
    if (ticker->cron->up)
        ls_timer_start(ticker->timer, (wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS) + LATE_MS);
}

static void say_left_out(struct ticker *ticker)
{
    const struct ls_schedule *schedule = ticker->schedule;
    char first[LS_CLOCK_TEXT_SIZE], tick[LS_CLOCK_TEXT_SIZE];

    if (ticker->plan.left_out < 0 || ticker->plan.left_out == ticker->said_ms)
        return;
    ticker->said_ms = ticker->plan.left_out;
    ls_clock_format(first, ticker->plan.left_out);
    ls_clock_format(tick, ticker->plan.tick);
    if (schedule->catch_up == LS_CONFIG_CATCH_UP_ALL)
        ls_log(LS_LOG_WARN, "cron.dropped",
               "%s: ticks since %s passed unseen; the newest %d fire, %lld are dropped",
               schedule->name, first, LS_PLAN_ALL_MAX, (long long)ticker->plan.dropped);
    else if (ticker->plan.tick < 0)
        ls_log(LS_LOG_INFO, "cron.missed", "%s: ticks since %s passed unseen and do not fire",
               schedule->name, first);
    else
        ls_log(LS_LOG_INFO, "cron.missed", "%s: ticks since %s passed unseen; it goes on with %s",
               schedule->name, first, tick);
}

static void fail(struct ticker *ticker, const char *what, const struct ls_err *err)
{
    char pause[32];

    if (!ls_redis_is_up(ticker->cron->redis))
        return; /* down and up tell the rest */
    ticker->retry_ms = !ticker->retry_ms                     ? RETRY_FIRST_MS
                       : ticker->retry_ms < RETRY_CAP_MS / 2 ? 2 * ticker->retry_ms
                                                             : RETRY_CAP_MS;
    ls_log_with(LS_LOG_WARN, "cron.failed", LS_FIELDS({"hint", err->hint[0] ? err->hint : NULL}),
                "%s: %s failed: %s; again in %s", ticker->schedule->name, what, err->text,
                ls_duration_format(pause, sizeof pause, ticker->retry_ms));
    wait_for(ticker, ticker->retry_ms);
}

/* A schedule that is switched off has no past: switched on again it begins with its next tick. */
static void forget_disabled(struct ls_cron *cron)
{
    const char **names = ls_xcalloc(cron->schedules.count + 1, sizeof *names);
    size_t count = 0;

    for (size_t i = 0; i < cron->schedules.count; i++) {
        if (!cron->schedules.items[i].enabled)
            names[count++] = cron->schedules.items[i].name;
    }
    if (count) {
        ls_cron_forget_build(&cron->cmd, names, count);
        ls_redis_send(cron->redis, &cron->cmd, 0, NULL, NULL);
    }
    free(names);
}
