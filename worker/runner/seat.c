/* A seat: joining, keeping its identity, sleeping, healing, leaving. Its turns are turns.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/queue/heal.h"
#include "common/queue/push.h"
#include "worker/runner/runner_internal.h"

#define HEAL_EVERY_MS 60000
#define SLEEP_S 5            /* one BLPOP, times the number of queues */
#define SLEEP_MARGIN_MS 2000 /* its answer may be so late */

static void on_joined(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_adopted(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_left(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_timer(uv_timer_t *timer);
static void on_wake_up(void *arg);
static void on_slept(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_healed(void *arg, const struct ls_reply *reply, const struct ls_err *err);

/* -------- life -------- */

int seat_init(struct seat *seat, struct ls_runner *runner, const struct ls_config_queue *config,
              const struct ls_redis_url *url, struct ls_err *err)
{
    char name[64];

    seat->runner = runner;
    seat->config = config;
    seat->policy = (struct ls_retry_policy){
        .max_attempts = (int)config->max_attempts,
        .max_age_ms = config->max_age_ms,
        .crash_limit = LS_RETRY_CRASH_LIMIT,
        .backoff = {.type = config->backoff.type == LS_CONFIG_BACKOFF_FIXED
                                ? LS_BACKOFF_FIXED
                                : LS_BACKOFF_EXPONENTIAL,
                    .jitter = config->backoff.jitter == LS_CONFIG_JITTER_NONE ? LS_JITTER_NONE
                                                                              : LS_JITTER_FULL,
                    .base_ms = config->backoff.base_ms,
                    .cap_ms = config->backoff.cap_ms,
                    .factor = config->backoff.factor}};
    seat->lanes.number = (unsigned)ls_rand_u64(); /* not all runners in step */
    seat->pause_ms = FIRST_POLL_MS;
    seat->average_bytes = 512;
    uv_timer_init(&runner->loop, &seat->timer);
    seat->timer.data = seat;
    if (ls_keys_init(&seat->keys, config->name, err) < 0)
        return -1;
    snprintf(name, sizeof(name), "lockstep-wake-%d", (int)getpid());
    seat->wake =
        ls_redis_open(&runner->loop, url,
                      &(struct ls_redis_options){
                          .client_name = name, .reconnect = true, .up = on_wake_up, .arg = seat});
    return 0;
}

void seat_close_handles(struct seat *seat)
{
    if (!uv_is_closing((uv_handle_t *)&seat->timer))
        uv_close((uv_handle_t *)&seat->timer, NULL);
    ls_redis_close(&seat->wake);
}

void seat_fini(struct seat *seat)
{
    batches_free(seat->batches);
    batches_free(seat->spare);
    crowd_free(&seat->crowd);
    cancel_fini(seat);
    ls_keys_fini(&seat->keys);
}

void seat_arm(struct seat *seat, int64_t delay_ms)
{
    if (!seat->runner->closed)
        uv_timer_start(&seat->timer, on_timer, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
}

int64_t seat_now_ms(const struct seat *seat)
{
    if (!seat->redis_ms)
        return ls_clock_wall_ms();
    return seat->redis_ms + ls_clock_mono_ms() - seat->redis_at_mono_ms;
}

void seat_saw_clock(struct seat *seat, int64_t ms)
{
    seat->redis_ms = ms;
    seat->redis_at_mono_ms = ls_clock_mono_ms();
}

bool seat_is_clear(const struct seat *seat)
{
    return seat->running == 0 && !seat->in_flight && !batches_hold(seat);
}

/* -------- joining -------- */

/* The identity up to now becomes one to adopt. */
static void retire(struct seat *seat)
{
    if (!seat->sent_join)
        return;
    seat->sent_join = false;
    if (seat->old_count == LS_ADOPT_MAX) {
        ls_log(LS_LOG_WARN, "worker.forgotten",
               "more than %d identities without an answer from redis: the oldest is left to be "
               "stolen from",
               LS_ADOPT_MAX);
        memmove(seat->olds[0], seat->olds[1], sizeof(seat->olds[0]) * (LS_ADOPT_MAX - 1));
        seat->old_count--;
    }
    memcpy(seat->olds[seat->old_count++], seat->worker, LS_WORKER_ID_SIZE);
}

void seat_begin(struct seat *seat)
{
    struct ls_runner *runner = seat->runner;
    const char *olds[LS_ADOPT_MAX];
    size_t i;

    retire(seat);
    ls_worker_id(seat->worker);
    seat->state = SEAT_JOINING;
    seat->sent_join = true;
    seat->sent_boot_ms = ls_clock_boot_ms();
    seat->idle = false;
    runner_names(runner);
    for (i = 0; i < seat->old_count; i++)
        olds[i] = seat->olds[i];
    if (seat->ever_joined || seat->old_count > 0) {
        ls_worker_adopt_build(&runner->cmd, &seat->keys, seat->worker, runner->config->lease_ms,
                              olds, seat->old_count);
        ls_redis_send(runner->redis, &runner->cmd, 0, on_adopted, seat);
        return;
    }
    ls_queue_announce_build(&runner->cmd, &seat->keys);
    ls_redis_send(runner->redis, &runner->cmd, 0, NULL, NULL);
    ls_worker_join_build(&runner->cmd, &seat->keys, seat->worker, runner->config->lease_ms);
    ls_redis_send(runner->redis, &runner->cmd, 0, on_joined, seat);
}

/* Redis refused the script before it ran. */
static bool wrote_nothing(const struct ls_err *err)
{
    static const char *const words[] = {"MISCONF", "READONLY", "LOADING", "OOM"};

    for (size_t i = 0; i < LS_COUNT(words); i++)
        if (strcmp(err->reason, words[i]) == 0)
            return true;
    return false;
}

static void refused(struct seat *seat, const struct ls_err *err)
{
    if (err->code == LS_E_UNSUPPORTED) {
        runner_fatal(seat->runner, err);
        return;
    }
    if (wrote_nothing(err))
        seat->sent_join = false; /* no claim can lie under this name */
    if (err->code != LS_E_LOST && err->code != LS_E_NETWORK)
        ls_log(LS_LOG_WARN, "worker.join_failed", "cannot join queue '%s': %s", seat->keys.queue,
               err->text);
    seat->failures++;
    seat_arm(seat,
             RETRY_FIRST_MS << (seat->failures < 5 ? seat->failures
                                                   : 4)); /* unless the connection goes first */
}

static void ready(struct seat *seat, int64_t ms)
{
    seat->state = SEAT_READY;
    seat->ever_joined = true;
    seat->old_count = 0;
    seat->failures = 0;
    seat->fruitless = 0;
    seat->pause_ms = FIRST_POLL_MS;
    seat->confirmed_boot_ms = seat->sent_boot_ms;
    seat_saw_clock(seat, ms);
    runner_names(seat->runner);
    seat_want(seat);
}

static void on_joined(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct seat *seat = arg;
    struct ls_err why = LS_ERR_INIT;
    int64_t ms = 0;

    if (err) {
        refused(seat, err);
    } else if (ls_worker_join_parse(reply, &ms, &why) < 0) {
        if (why.code == LS_E_EXISTS) {
            seat->sent_join = false; /* somebody else's */
            seat_begin(seat);
            return;
        }
        refused(seat, &why);
    } else {
        ready(seat, ms);
    }
}

static bool adopted_has(const struct ls_claims *claims, int64_t fence)
{
    size_t i;

    for (i = 0; i < claims->count; i++)
        if (ls_claims_at(claims, i).fence == fence)
            return true;
    return false;
}

static bool in_hand(const struct seat *seat, int64_t fence)
{
    const struct ls_run *run;

    for (run = seat->runs; run; run = run->next)
        if (run->fence == fence)
            return true;
    return batches_settle(seat, fence);
}

/* What we hold now: runs whose claim was stolen meanwhile are stopped, claims whose answer was lost
 * are begun. */
static void reconcile(struct seat *seat, const struct ls_claims *claims)
{
    struct ls_run *run = seat->runs;
    int stolen = 0, found = 0;
    size_t i;

    while (run) {
        struct ls_run *next = run->next;
        if (!adopted_has(claims, run->fence)) {
            run_abandon(run);
            stolen++;
        }
        run = next;
    }
    for (i = 0; i < claims->count; i++) {
        struct ls_claim claim = ls_claims_at(claims, i);
        if (in_hand(seat, claim.fence))
            continue;
        found++;
        run_claim(seat, &claim);
    }
    if (stolen || found)
        ls_log_with(
            LS_LOG_INFO, "worker.adopted",
            LS_FIELDS({"queue", seat->keys.queue}, {"worker", seat->worker}),
            "went on after a lost connection: %d jobs still running, %d found, %d stolen meanwhile",
            seat->running, found, stolen);
}

static void on_adopted(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct seat *seat = arg;
    struct ls_adopted adopted;
    struct ls_err why = LS_ERR_INIT;

    if (err) {
        refused(seat, err);
        return;
    }
    if (ls_worker_adopt_parse(reply, &adopted, &why) < 0) {
        refused(seat, &why);
        return;
    }
    ready(seat, adopted.ms);
    reconcile(seat, &adopted.claims);
}

void seat_lost(struct seat *seat)
{
    seat->in_flight = false; /* its batch goes again */
    seat->asked = 0;
    if (seat->state != SEAT_LEFT)
        seat->state = SEAT_AWAY;
    seat->idle = seat->wanted = false;
    uv_timer_stop(&seat->timer);
}

static void on_timer(uv_timer_t *timer)
{
    struct seat *seat = timer->data;

    if (seat->state == SEAT_READY)
        seat_want(seat);
    else if (seat->state == SEAT_JOINING && ls_redis_is_up(seat->runner->redis))
        seat_begin(seat);
}

/* -------- sleeping -------- */

void seat_sleep(struct seat *seat)
{
    struct ls_runner *runner = seat->runner;
    int64_t sleep_s = SLEEP_S * (int64_t)runner->seat_count;

    if (!seat->idle || seat->sleeping || runner->draining || runner->closed || !seat->wake ||
        !ls_redis_is_up(seat->wake))
        return;
    ls_wake_build(&runner->cmd, &seat->keys, (double)sleep_s);
    seat->sleeping = true;
    ls_redis_send(seat->wake, &runner->cmd, sleep_s * 1000 + SLEEP_MARGIN_MS, on_slept, seat);
}

static void on_slept(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct seat *seat = arg;

    seat->sleeping = false;
    if (err || seat->runner->closed)
        return; /* the poll goes on without it, and it reconnects by itself */
    if (reply->type == LS_REPLY_NIL)
        seat_sleep(seat);
    else
        seat_wake(seat);
}

static void on_wake_up(void *arg)
{
    seat_sleep(arg);
}

/* -------- healing -------- */

void seat_heal(struct seat *seat)
{
    struct ls_runner *runner = seat->runner;
    int64_t now = (int64_t)uv_now(&runner->loop);

    if (seat->state != SEAT_READY || !ls_redis_is_up(runner->redis) || now < seat->heal_ms)
        return;
    seat->heal_ms = now + HEAL_EVERY_MS;
    ls_heal_build(&runner->cmd, &seat->keys);
    ls_redis_send(runner->redis, &runner->cmd, 0, on_healed, seat);
}

static void on_healed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct seat *seat = arg;
    int64_t healed = 0;
    bool more = false;

    if (err || ls_heal_parse(reply, &healed, &more, NULL) < 0)
        return;
    if (more)
        seat->heal_ms = 0; /* the next slice with the next tick */
    if (healed > 0)
        ls_log_with(LS_LOG_WARN, "queue.healed", LS_FIELDS({"queue", seat->keys.queue}),
                    "%lld keys or places had lost their owner and were put right",
                    (long long)healed);
}

/* -------- leaving -------- */

void seat_drain(struct seat *seat)
{
    struct ls_runner *runner = seat->runner;

    if (seat->state != SEAT_READY || !seat_is_clear(seat))
        return;
    seat->state = SEAT_LEAVING;
    uv_timer_stop(&seat->timer);
    ls_worker_leave_build(&runner->cmd, &seat->keys, seat->worker);
    ls_redis_send(runner->redis, &runner->cmd, 2000, on_left, seat);
}

static void on_left(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct seat *seat = arg;
    enum ls_left left = LS_LEFT_GONE;

    if (!err && ls_worker_leave_parse(reply, &left, NULL) == 0 && left == LS_LEFT_BUSY) {
        seat->state = SEAT_AWAY; /* a claim that we never saw: adopt it and give it back */
        seat_begin(seat);
        return;
    }
    seat->state = SEAT_LEFT;
    runner_maybe_done(seat->runner);
}
