/* The state of a queue in one O(1) call, and pausing it. */
#ifndef LS_QUEUE_STAT_H
#define LS_QUEUE_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

enum ls_queue_blocked {
    LS_QUEUE_OPEN,
    LS_QUEUE_PAUSED,
    LS_QUEUE_DEAD_FULL /* as many dead jobs as the configuration allows: somebody has to decide */
};

struct ls_queue_stat {
    int64_t ms; /* Redis' time */
    int64_t pending_high, pending, pending_low;
    int64_t delayed, reserved;
    int64_t held;    /* wait behind others of their account: parked, over its budget, in its turn */
    int64_t running; /* claims begun less claims ended; exact as long as nobody edits `stats` */
    int64_t dead, dead_groups;
    int64_t keyed;           /* keys that wait or run */
    int64_t workers;         /* all */
    int64_t workers_expired; /* their lease ran out and nobody took their claims yet */
    int64_t oldest_ms; /* age of the oldest waiting job at the head of a lane; -1 when none waits or
                        * its age is unknown (a raw push has no id yet) */
    int64_t next_due_ms; /* ms from now to the first delayed, reserved or held job; -1 when none */
    int64_t overdue_ms;  /* how long the first delayed job has been due; 0 when it is not */
    int64_t bound;       /* on what waits; 0: none */
    int64_t max_running; /* on what runs; 0: none */
    int64_t max_dead;    /* 0: none */
    enum ls_queue_blocked blocked; /* is anything claimed? */
    bool closed;                   /* pushes are refused: the queue is being drained */
    struct ls_span closed_by;      /* borrowed from the reply */
    bool paused;
    struct ls_span paused_by; /* what the pausing party said; borrowed from the reply */
    /* Totals since the queue exists. */
    int64_t pushed, claimed, done, retried, again, given_back, rekeyed, died, cancelled, stopped;
    const struct ls_reply *counters; /* name, value, ...: all of `stats`; borrowed */
    size_t counter_count;
};

void ls_queue_stat_build(struct ls_cmd *cmd, const struct ls_keys *keys);
int ls_queue_stat_parse(const struct ls_reply *reply, struct ls_queue_stat *stat,
                        struct ls_err *err);
/* HGETALL stats:ring: fields "<minute>/<counter>", minute = Redis' ms / 60000, the last 3 hours. */
void ls_queue_ring_build(struct ls_cmd *cmd, const struct ls_keys *keys);
/* 0 and the two parts; -1 when it is no such field. */
int ls_queue_ring_field(struct ls_span field, int64_t *minute, struct ls_span *counter);

/* Pause: nothing is claimed any more; what runs goes on, pushes are taken. Close: pushes are refused
 * (a raw RPUSH is not), what is there goes on. Resume ends both. by: who and why; the first one's
 * stays. Safe to repeat. */
void ls_queue_pause_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span by);
void ls_queue_close_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span by);
void ls_queue_resume_build(struct ls_cmd *cmd, const struct ls_keys *keys);

/* Quiet: the runner whose workers' names begin with process (<host>-<pid>) claims nothing more here
 * and ends what it has. Unquiet: it claims again; {0} all of them. Sweep: the marks of processes
 * that have no worker here any more are forgotten. */
void ls_queue_quiet_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span process,
                          struct ls_span by);
void ls_queue_unquiet_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span process);
void ls_queue_quiet_sweep_build(struct ls_cmd *cmd, const struct ls_keys *keys);

/* For all of them: how it was before. */
struct ls_queue_switched {
    bool was_paused, was_closed;
    int64_t quiet; /* processes that became quiet, or ceased to be */
};
int ls_queue_switch_parse(const struct ls_reply *reply, struct ls_queue_switched *was,
                          struct ls_err *err);

/* A field of control: the process if it is a mark of quietness, else {0}. */
struct ls_span ls_queue_quiet_field(struct ls_span field);

/* The queue's bounds, as the configuration has them (control/bound, max_running, max_dead): a plain
 * HSET; 0 is none. */
struct ls_queue_bounds {
    int64_t waiting; /* pushes are refused at it */
    int64_t running; /* nothing more is claimed at it, over all workers */
    int64_t dead;    /* nothing more is claimed at it */
};
void ls_queue_bounds_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                           const struct ls_queue_bounds *bounds);

#endif
