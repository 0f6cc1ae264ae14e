/* What the files of the runner share. A runner is one process; it has a seat at each queue; a run
 * is a job in hand.
 *
 * A seat is a worker identity at one queue, with its lease, its turns and its runs. There is one
 * connection for all seats and a second for each seat that sleeps in BLPOP while there is nothing
 * to do. */
#ifndef LS_RUNNER_RUNNER_INTERNAL_H
#define LS_RUNNER_RUNNER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/config/config.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/job/retry.h"
#include "common/queue/turn.h"
#include "common/queue/worker.h"
#include "common/redis/conn.h"
#include "common/redis/keys.h"
#include "worker/child.h"
#include "worker/handlers/handlers.h"
#include "worker/runner/crowd.h"
#include "worker/runner/handler.h"
#include "worker/runner/lanes.h"

#define FIRST_POLL_MS 250  /* pause of an idle poll; doubles */
#define RETRY_FIRST_MS 250 /* after Redis refused something; doubles */
#define COUNTER_NAMES 48   /* different counters a seat sums up between two turns */
#define COUNTER_NAME_SIZE 32

struct seat;
struct ls_runner;

/* A job in hand: its handler has begun and has not ended it. */
struct ls_run {
    struct ls_run *next, *previous; /* in seat->runs, or in runner->spare */
    struct seat *seat;
    const struct ls_handler *handler;
    void *state; /* the handler's */
    int64_t fence;
    int64_t deadline_ms; /* uv_now() clock; 0: none */
    bool keyed, suspect;
    bool keep;              /* bytes are newer than what Redis holds: the next turn carries them */
    bool noted;             /* so is note */
    bool cancelled;         /* it was asked to stop */
    int64_t stop_ms;        /* then it is stopped at this time, uv_now() clock */
    int64_t asked_serial;   /* of the cancellations it was looked for in */
    int spent;              /* requests made; -1: not told */
    struct ls_grant *grant; /* under way */
    struct ls_buf note, result;
    struct ls_envelope envelope; /* spans into bytes (or its scratch) */
    struct ls_buf bytes;         /* the canonical envelope */
};

/* Settlements that go to Redis in one turn, and the fences of the claims they end. */
struct batch {
    struct batch *next;
    struct ls_turn turn;
    int64_t *fences;
    size_t fence_count, fence_capacity;
    struct ls_cmd *extras; /* go before it: states and results of what it settles */
    size_t extra_count, extra_capacity;
};

enum seat_state {
    SEAT_AWAY,    /* no connection */
    SEAT_JOINING, /* join or adopt is under way: nothing is begun, no turn is taken */
    SEAT_READY,
    SEAT_LEAVING, /* all is settled: worker_leave is under way */
    SEAT_LEFT
};

struct counter {
    char name[COUNTER_NAME_SIZE];
    int64_t delta;
};

struct seat {
    struct ls_runner *runner;
    const struct ls_config_queue *config;
    struct ls_keys keys;
    struct ls_retry_policy policy; /* of the queue */
    enum seat_state state;

    char worker[LS_WORKER_ID_SIZE];
    char olds[LS_ADOPT_MAX][LS_WORKER_ID_SIZE]; /* identities since the last confirmed answer */
    size_t old_count;
    bool ever_joined;
    bool sent_join; /* Redis may know `worker` */

    struct batch *batches,
        *last; /* not confirmed; in_flight: the first is under way. The last one collects */
    struct batch *spare;
    bool in_flight;
    bool wanted; /* a turn shall be taken at the end of this turn of the loop */
    int asked;   /* claims that the turn under way may bring */
    struct lanes lanes;
    struct crowd *crowd;
    int64_t cancel_serial;                   /* as last seen */
    struct ls_question *question;            /* which runs are cancelled? */
    int64_t waiting;                         /* in the lanes, after its last turn */
    bool hungry;                             /* its last turn left work */
    int64_t passed_ms;                       /* since when others got its places; 0: not */
    int64_t sent_boot_ms, confirmed_boot_ms; /* a lease counts from when its turn was sent */
    int64_t redis_ms, redis_at_mono_ms;      /* Redis' clock as last seen */
    int failures;                            /* turns refused in a row */
    int fruitless;                           /* turns in a row that found work and brought none */

    struct ls_run *runs;
    int running, suspects, keeps; /* keeps: runs with something for the next turn */
    int64_t average_bytes;        /* of an envelope, for the size of the next batch */
    struct counter counters[COUNTER_NAMES];
    int counter_count;

    uv_timer_t timer;      /* the next turn if nothing happens before */
    int64_t pause_ms;      /* of the idle poll: 250 ms, doubling */
    bool idle;             /* nothing to do: a wake token is welcome */
    bool sleeping;         /* BLPOP is under way */
    struct ls_redis *wake; /* sleeps in BLPOP */
    enum ls_turn_blocked blocked;
    int64_t heal_ms; /* when to look for what needs healing, uv_now() clock */
};

struct ls_runner {
    uv_loop_t loop;
    const struct ls_role_context *context;
    const struct ls_config *config;
    struct ls_child *child;
    struct ls_redis *redis;
    struct ls_http *http;
    struct ls_runner_tools tools;
    struct ls_handlers *handlers;
    struct seat *seats;
    size_t seat_count;
    struct ls_cmd cmd; /* scratch */
    struct ls_buf scratch, letter;
    struct ls_run *spare; /* a pool of runs */
    int spare_count;
    uv_idle_t kick;       /* takes the turns that are wanted */
    uv_timer_t deadlines; /* the earliest deadline of a run */
    int64_t deadlines_at;
    uv_timer_t health; /* limits on memory and jobs */
    uv_timer_t grace;  /* draining: what still runs is given back */
    bool ready, draining, stopping, replacing, closed;
    struct ls_grant *grants; /* under way, also those whose run has ended */
    int suspects;            /* crash suspects running, over all seats: at most one */
    int64_t finished;        /* runs ended */
    int64_t failures_logged_at, failures_logged, failures_hidden;
    int exit_code;
};

/* batch.c */
struct batch *batch_add(struct seat *seat);
/* The first one is confirmed, or void. */
void batch_drop(struct seat *seat);
void batches_free(struct batch *batch);
/* Is there anything to be said? */
bool batches_hold(const struct seat *seat);
/* Does one of them end this claim? */
bool batches_settle(const struct seat *seat, int64_t fence);

/* seat.c */
/* Take a turn at this time, if nothing happens before. */
void seat_arm(struct seat *seat, int64_t delay_ms);
void seat_saw_clock(struct seat *seat, int64_t redis_ms);
int seat_init(struct seat *seat, struct ls_runner *runner, const struct ls_config_queue *config,
              const struct ls_redis_url *url, struct ls_err *err);
void seat_fini(struct seat *seat);
void seat_close_handles(struct seat *seat);
/* The connection is up: take a new identity and join, adopting the old ones. */
void seat_begin(struct seat *seat);
/* The connection is gone: every command was told before. */
void seat_lost(struct seat *seat);
/* Take a turn at the end of this turn of the loop. */
void seat_want(struct seat *seat);
void seat_take_turn(struct seat *seat);
/* A wake token, or a reason to look at once. */
void seat_wake(struct seat *seat);
/* While there is nothing to do: wait for a wake token. */
void seat_sleep(struct seat *seat);
void seat_drain(struct seat *seat);
/* Nothing in hand, nothing unsettled? */
bool seat_is_clear(const struct seat *seat);
int64_t seat_now_ms(const struct seat *seat);
/* Where a settlement goes now. */
struct ls_turn *seat_turn(struct seat *seat);
/* The claim is settled as far as we are concerned. */
void seat_settled(struct seat *seat, int64_t fence);
/* A command that goes before the turn that carries what is settled now, as often as it is sent. */
struct ls_cmd *seat_extra(struct seat *seat);
/* Repairs what can be repaired, a slice; when it is time. */
void seat_heal(struct seat *seat);

/* places.c: how many more jobs may a seat have in hand? */
int places_free(const struct seat *seat);
/* A place was freed: who waits for one takes a turn. */
void places_freed(struct ls_runner *runner);

/* cancel.c: ask which of the runs in hand are cancelled, and stop them. */
void cancel_look(struct seat *seat, int64_t serial);
void cancel_fini(struct seat *seat);

/* grant.c */
void grant_forget(struct ls_run *run);
void grants_free(struct ls_runner *runner);

/* settle.c: how a claim ends, told to Redis by the next turn. The run itself goes on being the
 * caller's. */
void settle_done(struct ls_run *run);
void settle_failure(struct ls_run *run, const struct ls_err *err);
/* Back into the queue: after delay_ms, without having failed; as if nothing had been; to the others
 * of its key. */
void settle_again(struct ls_run *run, int64_t delay_ms);
void settle_back(struct ls_run *run);
void settle_rekey(struct ls_run *run);
/* It was cancelled. */
void settle_drop(struct ls_run *run);
/* What cannot run at all. */
void settle_malformed(struct ls_run *run, const struct ls_claim *claim, const struct ls_err *why);
void settle_unknown_kind(struct ls_run *run);
/* What policy and history make of a failure. */
struct ls_retry settle_judge(const struct ls_run *run, const struct ls_err *err);
/* It has begun: for those who watch the job. */
void settle_begun(struct ls_run *run);
/* The envelope as it is now, written into the runner's scratch. */
struct ls_span run_written(struct ls_run *run);

/* asks.c: the newer bytes and notes of runs go with the turn. */
void run_keeps(struct seat *seat);

/* run.c */
/* Begin the job of a claim; what cannot run is settled at once. */
void run_claim(struct seat *seat, const struct ls_claim *claim);
/* Stop a run without settling it: its claim is lost. */
void run_abandon(struct ls_run *run);
/* Stop it and give its job back. */
void run_give_back(struct ls_run *run);
/* It was cancelled: it is asked to stop, or stopped. */
void run_cancel(struct ls_run *run);
/* It was asked to stop and did not in time. */
void run_cut(struct ls_run *run);
/* Its deadline has passed: stop it; what it did outside is unknown. */
void run_time_out(struct ls_run *run);
void run_free_spares(struct ls_runner *runner);

/* runner.c */
void runner_kick(struct ls_runner *runner);
void runner_names(struct ls_runner *runner);
void runner_watch_deadline(struct ls_runner *runner, int64_t deadline_ms);
void runner_finished_one(struct ls_runner *runner);
void runner_maybe_done(struct ls_runner *runner);
void runner_fatal(struct ls_runner *runner, const struct ls_err *err);

#endif
