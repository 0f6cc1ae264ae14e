/* The reaper of one queue: a worker that claims nothing for itself. It takes over the claims of
 * workers that died and settles them (settle.h). At rest it asks one question a beat.
 *
 * Two ways a worker is known to be dead: its process ended (the master said so: at once), or its
 * lease ran out. The second is judged only after a whole lease of beats of our own without a gap:
 * after an outage of Redis everybody's lease has run out, and the first one back must not rob the
 * living. */
#ifndef LS_SCHEDULER_REAPER_H
#define LS_SCHEDULER_REAPER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct ls_redis;
struct ls_reaper;
struct ls_err;

struct ls_reaper_options {
    const char *queue;
    int64_t lease_ms, beat_ms;
    int crash_limit;               /* 0: the default */
    void (*left)(void *arg);       /* after ls_reaper_leave: it has nothing in hand any more */
    void (*first_turn)(void *arg); /* once: it works */
    void (*refused)(void *arg,
                    const struct ls_err *err); /* another version of lockstep wrote this queue */
    void *arg;
};

/* Borrows redis. NULL with err when the queue's name will not do. */
struct ls_reaper *ls_reaper_new(struct ls_redis *redis, const struct ls_reaper_options *options,
                                struct ls_err *err);
/* The connection is up again: from now on it works as `worker` (a new identity each time). */
void ls_reaper_up(struct ls_reaper *reaper, const char *worker);
/* The connection is gone; what was asked has no answer. */
void ls_reaper_down(struct ls_reaper *reaper);
/* Every beat_ms: renew the lease, look for the dead. */
void ls_reaper_beat(struct ls_reaper *reaper);
/* The process behind this worker is known to have ended; killed: by a SIGKILL from outside, not by
 * what it ran. Copied. */
void ls_reaper_died(struct ls_reaper *reaper, const char *worker, bool killed);
/* Finish what is in hand and what is known to be dead, leave, then call left. When Redis is away:
 * at once. */
void ls_reaper_leave(struct ls_reaper *reaper);
/* The connection must be closed before. */
void ls_reaper_free(struct ls_reaper *reaper);

#endif
