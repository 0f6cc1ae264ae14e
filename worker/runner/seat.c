/* A seat: joining, taking turns, keeping the lease, losing it.
 *
 * One turn is under way at a time. It carries all settlements collected meanwhile and asks for as
 * many new jobs as there are free places, so a busy seat batches by itself. A turn whose answer was
 * lost goes again, behind an adopt, under the next identity. */
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

#define CLAIM_MAX 128      /* jobs a turn: more gains nothing */
#define CLAIM_BYTES 262144 /* of a turn's answer, by the average of the last ones */
#define FIRST_POLL_MS 250
#define LAST_POLL_MS 4500 /* a raw push waits no longer */
#define FRUITLESS_MAX 16  /* turns in a row that found work and brought none; then a pause */
#define FRUITLESS_MS 50
#define RETRY_FIRST_MS 250
#define RETRY_LAST_MS 5000
#define PAUSED_POLL_MS 2000
#define FULL_POLL_MS 100 /* a place may become free in another runner at any time */
#define HEAL_EVERY_MS 60000
#define SLEEP_S 5            /* one BLPOP, times the number of queues */
#define SLEEP_MARGIN_MS 2000 /* its answer may be so late */

static void on_joined(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_adopted(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_turn(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_left(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_timer(uv_timer_t *timer);
static void on_wake_up(void *arg);
static void on_slept(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void plan_next(struct seat *seat, const struct ls_turn_result *result);
static void on_healed(void *arg, const struct ls_reply *reply, const struct ls_err *err);

/* -------- batches -------- */

static struct batch *batch_add(struct seat *seat)
{
    struct batch *batch = seat->spare;

    if (batch)
        seat->spare = batch->next;
    else
        batch = LS_NEW(struct batch);
    batch->next = NULL;
    if (seat->batches)
        seat->last->next = batch;
    else
        seat->batches = batch;
    seat->last = batch;
    return batch;
}

/* The first one is confirmed, or void. */
static void batch_drop(struct seat *seat)
{
    struct batch *batch = seat->batches;

    seat->batches = batch->next;
    ls_turn_clear(&batch->turn);
    batch->fence_count = batch->extra_count = 0;
    batch->next = seat->spare;
    seat->spare = batch;
}

static void batches_free(struct batch *batch)
{
    while (batch) {
        struct batch *next = batch->next;
        ls_turn_fini(&batch->turn);
        for (size_t i = 0; i < batch->extra_capacity; i++)
            ls_cmd_fini(&batch->extras[i]);
        free(batch->extras);
        free(batch->fences);
        free(batch);
        batch = next;
    }
}

static bool batches_hold(const struct seat *seat)
{
    const struct batch *batch;

    for (batch = seat->batches; batch; batch = batch->next)
        if (!ls_turn_empty(&batch->turn))
            return true;
    return false;
}

static struct batch *collecting(struct seat *seat)
{
    bool under_way = seat->in_flight && seat->last == seat->batches;

    if (!seat->batches || under_way || ls_turn_full(&seat->last->turn))
        return batch_add(seat);
    return seat->last;
}

struct ls_turn *seat_turn(struct seat *seat)
{
    return &collecting(seat)->turn;
}

struct ls_cmd *seat_extra(struct seat *seat)
{
    struct batch *batch = collecting(seat);

    if (batch->extra_count == batch->extra_capacity) {
        size_t more = batch->extra_capacity ? batch->extra_capacity * 2 : 16;

        batch->extras = ls_xrealloc(batch->extras, more * sizeof(*batch->extras));
        memset(batch->extras + batch->extra_capacity, 0,
               (more - batch->extra_capacity) * sizeof(*batch->extras));
        batch->extra_capacity = more;
    }
    return &batch->extras[batch->extra_count++];
}

void seat_settled(struct seat *seat, int64_t fence)
{
    struct batch *batch = seat->last;

    if (batch->fence_count == batch->fence_capacity) {
        batch->fence_capacity = batch->fence_capacity ? batch->fence_capacity * 2 : 64;
        batch->fences = ls_xrealloc(batch->fences, batch->fence_capacity * sizeof(*batch->fences));
    }
    batch->fences[batch->fence_count++] = fence;
}

static bool is_settled(const struct seat *seat, int64_t fence)
{
    const struct batch *batch;
    size_t i;

    for (batch = seat->batches; batch; batch = batch->next)
        for (i = 0; i < batch->fence_count; i++)
            if (batch->fences[i] == fence)
                return true;
    return false;
}

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

static void arm(struct seat *seat, int64_t delay_ms)
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

static void saw_clock(struct seat *seat, int64_t ms)
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

static void refused(struct seat *seat, const struct ls_err *err)
{
    if (err->code == LS_E_UNSUPPORTED) {
        runner_fatal(seat->runner, err);
        return;
    }
    if (err->code != LS_E_LOST && err->code != LS_E_NETWORK)
        ls_log(LS_LOG_WARN, "worker.join_failed", "cannot join queue '%s': %s", seat->keys.queue,
               err->text);
    seat->failures++;
    arm(seat, RETRY_FIRST_MS << (seat->failures < 5 ? seat->failures
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
    saw_clock(seat, ms);
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
    return is_settled(seat, fence);
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

/* -------- turns -------- */

void seat_lost(struct seat *seat)
{
    seat->in_flight = false; /* its batch goes again */
    seat->asked = 0;
    if (seat->state != SEAT_LEFT)
        seat->state = SEAT_AWAY;
    seat->idle = seat->wanted = false;
    uv_timer_stop(&seat->timer);
}

void seat_want(struct seat *seat)
{
    seat->wanted = true;
    runner_kick(seat->runner);
}

void seat_wake(struct seat *seat)
{
    seat->pause_ms = FIRST_POLL_MS;
    if (seat->state == SEAT_READY && !seat->in_flight)
        seat_want(seat);
}

static int claims_wanted(const struct seat *seat)
{
    int64_t free = places_free(seat);
    int64_t by_bytes = CLAIM_BYTES / (seat->average_bytes + 1);

    if (seat->runner->draining || seat->runner->stopping)
        return 0;
    if (free > CLAIM_MAX)
        free = CLAIM_MAX;
    if (free > by_bytes)
        free = by_bytes > 0 ? by_bytes : 1;
    return free > 0 ? (int)free : 0;
}

/* Counters wait until a turn is built, so that a turn sent again carries no more of them than it
 * may. */
static void move_counters(struct seat *seat, struct ls_turn *turn)
{
    int i, moved = 0;

    if (turn->count_count > 0)
        return;
    while (moved < seat->counter_count && moved < LS_TURN_COUNTS_MAX) {
        ls_turn_count(turn, seat->counters[moved].name, seat->counters[moved].delta);
        moved++;
    }
    for (i = moved; i < seat->counter_count; i++)
        seat->counters[i - moved] = seat->counters[i];
    seat->counter_count -= moved;
}

/* Of one account, while others may wait: a part of the places. */
static int share_of(const struct seat *seat)
{
    double fair = seat->config->fair;
    int64_t places = seat->config->concurrency, common = seat->runner->config->concurrency;

    if (fair <= 0 || fair >= 1 || seat->runner->draining || seat->runner->stopping)
        return 0;
    if (common > 0 && common < places)
        places = common;
    return 1 + (int)(fair * (double)(places - 1));
}

void seat_take_turn(struct seat *seat)
{
    struct ls_runner *runner = seat->runner;
    struct ls_turn_account accounts[LS_TURN_ACCOUNTS_MAX];
    char order[LANES_ORDER_SIZE];
    struct ls_turn_options options = {.worker = seat->worker,
                                      .lease_ms = runner->config->lease_ms,
                                      .share = share_of(seat),
                                      .accounts = accounts};
    struct batch *batch;

    seat->wanted = false;
    if (seat->state != SEAT_READY || seat->in_flight || !ls_redis_is_up(runner->redis))
        return;
    run_keeps(seat);
    batch = seat->batches ? seat->batches : batch_add(seat);
    move_counters(seat, &batch->turn);
    crowd_report(&seat->crowd, runner->config, &batch->turn, ls_clock_mono_ms());
    options.claim = claims_wanted(seat);
    options.order = lanes_next(&seat->lanes, seat->config, ls_clock_mono_ms(), order);
    options.account_count = crowd_list(seat->crowd, options.share, accounts, LS_TURN_ACCOUNTS_MAX);
    for (size_t i = 0; i < batch->extra_count; i++)
        ls_redis_send(runner->redis, &batch->extras[i], 0, NULL, NULL);
    ls_turn_build(&batch->turn, &runner->cmd, &seat->keys, &options);
    seat->asked = options.claim;
    seat->in_flight = true;
    seat->idle = false;
    seat->sent_boot_ms = ls_clock_boot_ms();
    ls_redis_send(runner->redis, &runner->cmd, runner->config->lease_ms * 2 / 3, on_turn, seat);
}

/* Somebody took our claims, or forgot us: nothing in hand is ours. */
static void fenced(struct seat *seat)
{
    ls_log_with(LS_LOG_WARN, "worker.fenced",
                LS_FIELDS({"queue", seat->keys.queue}, {"worker", seat->worker}),
                "the lease was lost: %d jobs are abandoned, others run them", seat->running);
    while (seat->runs)
        run_abandon(seat->runs);
    while (seat->batches)
        batch_drop(seat);
    seat->sent_join = false; /* nothing is left under it */
    seat_begin(seat);
}

static void turn_failed(struct seat *seat, const struct ls_err *err)
{
    int64_t pause_ms = (int64_t)RETRY_FIRST_MS << (seat->failures < 5 ? seat->failures : 5);

    seat->in_flight = false; /* its batch goes again */
    seat->asked = 0;
    if (err->code == LS_E_LOST || err->code == LS_E_NETWORK || err->code == LS_E_TIMEOUT)
        return; /* the connection is ending: it goes on after it came back */
    seat->failures++;
    if (seat->failures == 1 || seat->failures % 20 == 0)
        ls_log_with(
            LS_LOG_ERROR, "worker.turn_failed",
            LS_FIELDS({"queue", seat->keys.queue}, {"hint", err->hint[0] ? err->hint : NULL}),
            "queue '%s' stands still: %s", seat->keys.queue, err->text);
    if (strcmp(err->reason, "READONLY") == 0) {
        ls_redis_drop(seat->runner->redis, err); /* its master is elsewhere now */
        return;
    }
    arm(seat, pause_ms < RETRY_LAST_MS ? pause_ms : RETRY_LAST_MS);
}

static void take_claims(struct seat *seat, const struct ls_claims *claims)
{
    int64_t bytes = 0;
    size_t i;

    for (i = 0; i < claims->count; i++) {
        struct ls_claim claim = ls_claims_at(claims, i);
        bytes += (int64_t)claim.envelope.length;
        run_claim(seat, &claim);
    }
    if (claims->count > 0)
        seat->average_bytes = (seat->average_bytes + bytes / (int64_t)claims->count) / 2;
}

/* What the turn left: for the lanes, and for the queues that share this runner's places. */
static void note_work(struct seat *seat, const struct ls_turn_result *result)
{
    const int64_t left[] = {result->pending_high, result->pending, result->pending_low};
    int64_t now_ms = ls_clock_mono_ms();
    bool was = seat->hungry;

    lanes_saw(&seat->lanes, left, now_ms);
    seat->hungry =
        seat->blocked == LS_TURN_OPEN && (left[0] + left[1] + left[2] > 0 || result->ready ||
                                          (result->has_due && result->next_due_ms <= 0));
    if (!seat->hungry || result->claims.count > 0)
        seat->passed_ms = 0;
    else if (!seat->passed_ms)
        seat->passed_ms = now_ms;
    if (was && !seat->hungry)
        places_freed(seat->runner); /* its part of the places is the others' now */
}

static void on_turn(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct seat *seat = arg;
    struct ls_turn_result result;
    struct ls_err why = LS_ERR_INIT;

    if (err) {
        turn_failed(seat, err);
        return;
    }
    if (ls_turn_parse(reply, &result, &why) < 0) {
        if (why.code != LS_E_FENCED) {
            turn_failed(seat, &why);
            return;
        }
        seat->in_flight = false;
        seat->asked = 0;
        fenced(seat);
        return;
    }
    seat->in_flight = false;
    seat->asked = 0;
    seat->failures = 0;
    batch_drop(seat);
    seat->confirmed_boot_ms = seat->sent_boot_ms;
    saw_clock(seat, result.ms);
    seat->blocked = result.blocked;
    note_work(seat, &result);
    take_claims(seat, &result.claims);
    cancel_look(seat, result.cancel_serial);
    if (seat->state == SEAT_READY)
        plan_next(seat, &result);
    if (seat->runner->draining)
        runner_maybe_done(seat->runner);
}

/* When to take the next turn, if no job ends before. */
static void plan_next(struct seat *seat, const struct ls_turn_result *result)
{
    bool free = claims_wanted(seat) > 0;
    int64_t waiting = result->pending_high + result->pending + result->pending_low;
    bool work = waiting > 0 || result->ready;
    bool fewer = waiting < seat->waiting || (waiting > 0 && seat->waiting == 0);
    int64_t beat_ms = seat->runner->config->beat_ms, wait_ms;

    seat->waiting = waiting;
    if (result->claims.count > 0) {
        seat->pause_ms = FIRST_POLL_MS;
        seat->fruitless = 0;
    }
    if (batches_hold(seat) || (seat->counter_count > 0 && !free)) {
        seat_want(seat);
        return;
    }
    if (!free) {
        if (fewer && share_of(seat) > 0) /* a flood is being set aside */
            seat_want(seat);
        else
            arm(seat, beat_ms);
        return;
    }
    if (work || (result->has_due && result->next_due_ms <= 0)) {
        bool open = seat->blocked == LS_TURN_OPEN;

        if (open && (fewer || result->claims.count > 0 || seat->fruitless++ < FRUITLESS_MAX)) {
            seat_want(seat);
            return;
        }
        arm(seat, open                                   ? FRUITLESS_MS
                  : seat->blocked == LS_TURN_ALL_RUNNING ? FULL_POLL_MS
                                                         : PAUSED_POLL_MS);
        return;
    }
    seat->fruitless = 0;
    wait_ms = seat->pause_ms < beat_ms ? seat->pause_ms : beat_ms;
    seat->pause_ms = seat->pause_ms * 2 < LAST_POLL_MS ? seat->pause_ms * 2 : LAST_POLL_MS;
    if (result->has_due && result->next_due_ms < wait_ms)
        wait_ms = result->next_due_ms;
    else
        wait_ms -= (int64_t)ls_rand_below((uint64_t)wait_ms / 8 + 1);
    seat->idle = true;
    arm(seat, wait_ms);
    seat_sleep(seat);
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
