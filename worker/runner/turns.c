/* Turns: one is under way at a time. It carries all settlements collected meanwhile and asks for as
 * many new jobs as there are free places, so a busy seat batches by itself. A turn whose answer was
 * lost goes again, behind an adopt, under the next identity. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "worker/runner/runner_internal.h"

#define CLAIM_MAX 128      /* jobs a turn: more gains nothing */
#define CLAIM_BYTES 262144 /* of a turn's answer, by the average of the last ones */
#define LAST_POLL_MS 4500  /* a raw push waits no longer */
#define FRUITLESS_MAX 16   /* turns in a row that found work and brought none; then a pause */
#define FRUITLESS_MS 50
#define RETRY_LAST_MS 5000
#define PAUSED_POLL_MS 2000
#define FULL_POLL_MS 100 /* a place may become free in another runner at any time */

static void on_turn(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void plan_next(struct seat *seat, const struct ls_turn_result *result);

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
    if (options.claim > 0) /* one that takes nothing is no lane's turn */
        options.order = lanes_next(&seat->lanes, seat->config, ls_clock_mono_ms(), order);
    options.account_count = crowd_list(seat->crowd, options.share, accounts, LS_TURN_ACCOUNTS_MAX);
    ls_turn_build(&batch->turn, &runner->cmd, &seat->keys, &options);
    seat->asked = options.claim;
    seat->in_flight = true;
    seat->idle = false;
    seat->sent_boot_ms = ls_clock_boot_ms();
    ls_redis_send(runner->redis, &runner->cmd, runner->config->lease_ms * 2 / 3, on_turn, seat);
}

/* States and results of what the confirmed turn settled: none is told of a claim that was not ours. */
static void send_extras(struct seat *seat)
{
    struct batch *batch = seat->batches;

    for (size_t i = 0; i < batch->extra_count; i++)
        ls_redis_send(seat->runner->redis, &batch->extras[i], 0, NULL, NULL);
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
    seat_arm(seat, pause_ms < RETRY_LAST_MS ? pause_ms : RETRY_LAST_MS);
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
    send_extras(seat);
    batch_drop(seat);
    seat->confirmed_boot_ms = seat->sent_boot_ms;
    seat_saw_clock(seat, result.ms);
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
            seat_arm(seat, beat_ms);
        return;
    }
    if (work || (result->has_due && result->next_due_ms <= 0)) {
        bool open = seat->blocked == LS_TURN_OPEN;

        if (open && (fewer || result->claims.count > 0 || seat->fruitless++ < FRUITLESS_MAX)) {
            seat_want(seat);
            return;
        }
        seat_arm(seat, open                                   ? FRUITLESS_MS
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
    seat_arm(seat, wait_ms);
    seat_sleep(seat);
}
