#include "worker/scheduler/reaper.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/queue/turn.h"
#include "common/queue/worker.h"
#include "common/redis/conn.h"
#include "worker/scheduler/settle.h"

#define DEAD_MAX 1024 /* names waiting to be stolen from; a host does not lose more at once */
#define SLICE LS_STEAL_MAX
#define LOOK_MAX 64 /* expired workers looked at in one beat */

struct dead_worker {
    char worker[LS_WORKER_ID_SIZE];
    bool killed; /* from outside */
};

struct ls_reaper {
    struct ls_redis *redis; /* borrowed */
    struct ls_reaper_options options;
    struct ls_keys keys;
    struct ls_cmd cmd;   /* scratch */
    struct ls_turn turn; /* settlements not yet confirmed */
    bool up, joined, busy, leaving, left, worked, beat_due;
    char worker[LS_WORKER_ID_SIZE];
    char olds[LS_ADOPT_MAX][LS_WORKER_ID_SIZE]; /* identities since the last confirmed reply */
    size_t old_count;
    unsigned number;
    int64_t steady_since_ms; /* boot clock: our lease was renewed without a gap since; 0: not yet */
    int64_t last_turn_ms;    /* of the last turn or beat */
    int64_t redis_ms;        /* Redis' time at the last reply */
    struct dead_worker *dead; /* owned: known to have ended, oldest first */
    size_t dead_count;
    char expired[LOOK_MAX][LS_WORKER_ID_SIZE]; /* lease ran out at the last look */
    size_t expired_count;
    char victim[LS_WORKER_ID_SIZE]; /* of the steal under way */
    bool victim_known, victim_killed;
    int64_t stolen; /* of this victim so far */
};

static void push_dead(struct ls_reaper *reaper, const char *worker, bool killed);
static void drop_victim(struct ls_reaper *reaper);
static void step(struct ls_reaper *reaper);
static void send_adopt(struct ls_reaper *reaper);
static void on_joined(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_adopted(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void begin_work(struct ls_reaper *reaper, int64_t redis_ms);
static void send_turn(struct ls_reaper *reaper);
static void on_turn(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void note_renewed(struct ls_reaper *reaper, int64_t redis_ms);
static void send_beat(struct ls_reaper *reaper);
static void on_beat(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void send_steal(struct ls_reaper *reaper);
static void on_stolen(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void victim_done(struct ls_reaper *reaper);
static void send_leave(struct ls_reaper *reaper);
static void on_left(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void settle(struct ls_reaper *reaper, const struct ls_claims *claims, const char *victim);
static void on_failure(struct ls_reaper *reaper, const char *what, const struct ls_err *err);
static void remember_old(struct ls_reaper *reaper);
static bool is_steady(const struct ls_reaper *reaper);
static void tell_left(struct ls_reaper *reaper);

struct ls_reaper *ls_reaper_new(struct ls_redis *redis, const struct ls_reaper_options *options,
                                struct ls_err *err)
{
    struct ls_reaper *reaper = LS_NEW(struct ls_reaper);

    reaper->redis = redis;
    reaper->options = *options;
    reaper->number = (unsigned)ls_rand_u64();
    if (ls_keys_init(&reaper->keys, options->queue, err) < 0) {
        free(reaper);
        return NULL;
    }
    return reaper;
}

void ls_reaper_up(struct ls_reaper *reaper, const char *worker)
{
    reaper->up = true;
    reaper->joined = reaper->busy = false;
    snprintf(reaper->worker, sizeof reaper->worker, "%s", worker);
    step(reaper);
}

void ls_reaper_down(struct ls_reaper *reaper)
{
    if (reaper->up)
        remember_old(reaper);
    drop_victim(reaper);
    reaper->up = reaper->joined = reaper->busy = false;
    reaper->steady_since_ms = 0;
    /* What was to be settled is still claimed by the old identity: adopt brings it back, unsettled.
     */
    ls_turn_clear(&reaper->turn);
    if (reaper->leaving)
        tell_left(reaper);
}

void ls_reaper_beat(struct ls_reaper *reaper)
{
    reaper->beat_due = true;
    step(reaper);
}

void ls_reaper_died(struct ls_reaper *reaper, const char *worker, bool killed)
{
    push_dead(reaper, worker, killed);
    step(reaper);
}

static void push_dead(struct ls_reaper *reaper, const char *worker, bool killed)
{
    if (reaper->dead_count == DEAD_MAX) {
        memmove(reaper->dead, reaper->dead + 1,
                (DEAD_MAX - 1) * sizeof *reaper->dead); /* its lease will tell */
        reaper->dead_count--;
    }
    reaper->dead = ls_xrealloc(reaper->dead, (reaper->dead_count + 1) * sizeof *reaper->dead);
    reaper->dead[reaper->dead_count].killed = killed;
    snprintf(reaper->dead[reaper->dead_count++].worker, LS_WORKER_ID_SIZE, "%s", worker);
}

/* The steal is over without having been finished. Known to be dead stays known, however the
 * connection fares. */
static void drop_victim(struct ls_reaper *reaper)
{
    if (reaper->victim[0] && reaper->victim_known)
        push_dead(reaper, reaper->victim, reaper->victim_killed);
    reaper->victim[0] = 0;
}

void ls_reaper_leave(struct ls_reaper *reaper)
{
    reaper->leaving = true;
    if (!reaper->up)
        tell_left(reaper);
    else
        step(reaper);
}

void ls_reaper_free(struct ls_reaper *reaper)
{
    if (!reaper)
        return;
    ls_turn_fini(&reaper->turn);
    ls_cmd_fini(&reaper->cmd);
    ls_keys_fini(&reaper->keys);
    free(reaper->dead);
    free(reaper);
}

/* The one place that decides what comes next. One command is under way at a time. */
static void step(struct ls_reaper *reaper)
{
    if (!reaper->up || reaper->busy || reaper->left)
        return;
    if (!reaper->joined)
        send_adopt(reaper);
    else if (!ls_turn_empty(&reaper->turn))
        send_turn(reaper);
    else if (reaper->beat_due && !reaper->leaving)
        send_beat(reaper);
    else if (reaper->victim[0] || reaper->dead_count || reaper->expired_count)
        send_steal(reaper);
    else if (reaper->leaving)
        send_leave(reaper);
}

static void send_adopt(struct ls_reaper *reaper)
{
    const char *olds[LS_ADOPT_MAX];

    for (size_t i = 0; i < reaper->old_count; i++)
        olds[i] = reaper->olds[i];
    reaper->busy = true;
    if (reaper->old_count == 0) {
        ls_worker_join_build(&reaper->cmd, &reaper->keys, reaper->worker, reaper->options.lease_ms);
        ls_redis_send(reaper->redis, &reaper->cmd, 0, on_joined, reaper);
        return;
    }
    ls_worker_adopt_build(&reaper->cmd, &reaper->keys, reaper->worker, reaper->options.lease_ms,
                          olds, reaper->old_count);
    ls_redis_send(reaper->redis, &reaper->cmd, 0, on_adopted, reaper);
}

static void on_joined(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_reaper *reaper = arg;
    struct ls_err failure = LS_ERR_INIT;
    int64_t ms = 0;

    reaper->busy = false;
    if (!err && ls_worker_join_parse(reply, &ms, &failure) < 0)
        err = &failure;
    if (err) {
        on_failure(reaper, "join", err);
        return;
    }
    begin_work(reaper, ms);
    step(reaper);
}

static void on_adopted(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_reaper *reaper = arg;
    struct ls_adopted adopted;
    struct ls_err failure = LS_ERR_INIT;

    reaper->busy = false;
    if (!err && ls_worker_adopt_parse(reply, &adopted, &failure) < 0)
        err = &failure;
    if (err) {
        on_failure(reaper, "join", err);
        return;
    }
    begin_work(reaper, adopted.ms);
    settle(reaper, &adopted.claims, NULL);
    step(reaper);
}

static void begin_work(struct ls_reaper *reaper, int64_t redis_ms)
{
    reaper->joined = reaper->beat_due = true;
    reaper->old_count = 0;
    reaper->redis_ms = redis_ms;
    reaper->steady_since_ms = reaper->last_turn_ms = ls_clock_boot_ms();
}

static void send_turn(struct ls_reaper *reaper)
{
    struct ls_turn_options options = {.worker = reaper->worker,
                                      .lease_ms = reaper->options.lease_ms};

    reaper->busy = true;
    ls_turn_build(&reaper->turn, &reaper->cmd, &reaper->keys, &options);
    ls_redis_send(reaper->redis, &reaper->cmd, 0, on_turn, reaper);
}

static void on_turn(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_reaper *reaper = arg;
    struct ls_turn_result result;
    struct ls_err failure = LS_ERR_INIT;

    reaper->busy = false;
    if (!err && ls_turn_parse(reply, &result, &failure) < 0)
        err = &failure;
    if (err) {
        on_failure(reaper, "turn", err);
        return;
    }
    ls_turn_clear(&reaper->turn);
    note_renewed(reaper, result.ms);
    step(reaper);
}

/* At rest this is all that is asked: it renews the lease, and brings the names of those whose lease
 * ran out. */
static void send_beat(struct ls_reaper *reaper)
{
    reaper->busy = true;
    reaper->beat_due = false;
    ls_worker_beat_build(&reaper->cmd, &reaper->keys, reaper->worker, reaper->options.lease_ms,
                         LOOK_MAX);
    ls_redis_send(reaper->redis, &reaper->cmd, 0, on_beat, reaper);
}

static void on_beat(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_reaper *reaper = arg;
    struct ls_worker_beat beat;
    struct ls_err failure = LS_ERR_INIT;

    reaper->busy = false;
    if (!err && ls_worker_beat_parse(reply, &beat, &failure) < 0)
        err = &failure;
    if (err) {
        on_failure(reaper, "beat", err);
        return;
    }
    note_renewed(reaper, beat.ms);
    reaper->expired_count = 0;
    for (size_t i = 0; i < beat.count && i < LOOK_MAX && is_steady(reaper); i++) {
        struct ls_span worker = ls_reply_span(&beat.expired[i]);

        if (worker.length < LS_WORKER_ID_SIZE)
            snprintf(reaper->expired[reaper->expired_count++], LS_WORKER_ID_SIZE, "%.*s",
                     LS_SPAN_ARG(worker));
    }
    step(reaper);
}

/* A turn or a beat was answered. */
static void note_renewed(struct ls_reaper *reaper, int64_t redis_ms)
{
    int64_t now = ls_clock_boot_ms();

    reaper->redis_ms = redis_ms;
    if (now - reaper->last_turn_ms > reaper->options.lease_ms)
        reaper->steady_since_ms = now; /* we, or Redis, were away: others may have been, too */
    reaper->last_turn_ms = now;
    if (!reaper->worked) {
        reaper->worked = true;
        if (reaper->options.first_turn)
            reaper->options.first_turn(reaper->options.arg);
    }
}

static void send_steal(struct ls_reaper *reaper)
{
    if (!reaper->victim[0]) {
        reaper->stolen = 0;
        reaper->victim_known = reaper->dead_count > 0;
        if (reaper->victim_known) {
            memcpy(reaper->victim, reaper->dead[0].worker, sizeof reaper->victim);
            reaper->victim_killed = reaper->dead[0].killed;
            memmove(reaper->dead, reaper->dead + 1, --reaper->dead_count * sizeof *reaper->dead);
        } else {
            reaper->victim_killed = false;
            memcpy(reaper->victim, reaper->expired[--reaper->expired_count], sizeof reaper->victim);
        }
    }
    reaper->busy = true;
    ls_worker_steal_build(&reaper->cmd, &reaper->keys, reaper->worker, reaper->victim,
                          reaper->victim_known, SLICE);
    ls_redis_send(reaper->redis, &reaper->cmd, 0, on_stolen, reaper);
}

static void on_stolen(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_reaper *reaper = arg;
    struct ls_stolen stolen;
    struct ls_err failure = LS_ERR_INIT;

    reaper->busy = false;
    if (!err && ls_worker_steal_parse(reply, &stolen, &failure) < 0)
        err = &failure;
    if (err) {
        drop_victim(reaper);
        on_failure(reaper, "steal", err);
        return;
    }
    reaper->redis_ms = stolen.ms;
    if (stolen.alive) {
        reaper->victim[0] = 0;
        step(reaper);
        return;
    }
    reaper->stolen += (int64_t)stolen.claims.count;
    settle(reaper, &stolen.claims, reaper->victim);
    if (!stolen.more)
        victim_done(reaper);
    step(reaper);
}

static void victim_done(struct ls_reaper *reaper)
{
    if (reaper->stolen || !reaper->victim_known)
        ls_log_with(LS_LOG_WARN, "worker.stolen",
                    LS_FIELDS({"worker", reaper->victim}, {"queue", reaper->options.queue}),
                    "%lld claims of a worker %s are free again", (long long)reaper->stolen,
                    reaper->victim_known ? "whose process ended" : "whose lease ran out");
    reaper->victim[0] = 0;
}

static void send_leave(struct ls_reaper *reaper)
{
    reaper->busy = true;
    ls_worker_leave_build(&reaper->cmd, &reaper->keys, reaper->worker);
    ls_redis_send(reaper->redis, &reaper->cmd, 0, on_left, reaper);
}

static void on_left(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_reaper *reaper = arg;
    enum ls_left left;
    struct ls_err failure = LS_ERR_INIT;

    reaper->busy = false;
    if (!err && ls_worker_leave_parse(reply, &left, &failure) < 0)
        err = &failure;
    if (err)
        ls_log(LS_LOG_WARN, "scheduler.leave_failed", "queue '%s': %s", reaper->options.queue,
               err->text);
    tell_left(reaper);
}

static void settle(struct ls_reaper *reaper, const struct ls_claims *claims, const char *victim)
{
    struct ls_settle_options options = {.crash_limit = reaper->options.crash_limit,
                                        .killed = reaper->victim[0] && reaper->victim_killed,
                                        .victim = victim,
                                        .now_ms = reaper->redis_ms};

    ls_settle_stolen(&reaper->turn, claims, &options);
    if (claims->count)
        ls_turn_count(&reaper->turn, "crashed", (int64_t)claims->count);
}

static void on_failure(struct ls_reaper *reaper, const char *what, const struct ls_err *err)
{
    char worker[LS_WORKER_ID_SIZE];

    if (!ls_redis_is_up(reaper->redis))
        return; /* down tells */
    ls_log(LS_LOG_WARN, "scheduler.failed", "queue '%s': %s failed: %s", reaper->options.queue,
           what, err->text);
    if (err->code == LS_E_UNSUPPORTED && reaper->options.refused) {
        reaper->options.refused(reaper->options.arg, err);
    } else if (err->code == LS_E_FENCED || err->code == LS_E_EXISTS) {
        /* Somebody took us for dead, or uses our name: a new identity, and nothing of the old one
         * is ours. */
        reaper->joined = false;
        reaper->steady_since_ms = 0;
        ls_turn_clear(&reaper->turn);
        snprintf(reaper->worker, sizeof reaper->worker, "%s", ls_worker_id(worker));
    }
    if (reaper->leaving)
        tell_left(reaper);
    /* The next beat tries again: whatever Redis has against it, hammering would not help. */
}

static void remember_old(struct ls_reaper *reaper)
{
    if (reaper->old_count == LS_ADOPT_MAX) { /* the oldest is left to its lease */
        memmove(reaper->olds, reaper->olds + 1, (LS_ADOPT_MAX - 1) * sizeof *reaper->olds);
        reaper->old_count--;
    }
    memcpy(reaper->olds[reaper->old_count++], reaper->worker, sizeof reaper->worker);
}

static bool is_steady(const struct ls_reaper *reaper)
{
    return reaper->steady_since_ms &&
           ls_clock_boot_ms() - reaper->steady_since_ms >= reaper->options.lease_ms;
}

static void tell_left(struct ls_reaper *reaper)
{
    if (reaper->left)
        return;
    reaper->left = true;
    reaper->options.left(reaper->options.arg);
}
