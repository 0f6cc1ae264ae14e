/* Pushing jobs: many in one trip. A plain RPUSH of an envelope to `pending` works as well, from any
 * language; these add the delay, the lane, idempotency by id, coalescing by key, the queue's bound
 * and the wake-up of an idle worker. */
#ifndef LS_QUEUE_PUSH_H
#define LS_QUEUE_PUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

#define LS_PUSH_MAX 1000 /* jobs in one call */
#define LS_IDS_TTL_MS (24 * 3600 * 1000LL)

/* What a push means for a key that waits or runs already. */
enum ls_push_mode {
    LS_PUSH_LATEST, /* the newest body wins */
    LS_PUSH_KEEP,   /* a body that waits stays, this one is dropped */
    LS_PUSH_REJECT  /* nothing is taken */
};

struct ls_push_job {
    struct ls_span envelope; /* canonical; its priority names the lane */
    struct ls_span key;      /* ls_push_keyed only: the envelope's key */
    struct ls_span id;       /* given: push only if no job with this id was pushed before; {0}: the
                              * id is new, or doing it twice does no harm, there is nothing to look up */
    int64_t delay_ms;        /* 0 = now */
    /* The rest is for ls_push_keyed, and the same in all jobs of a call. */
    enum ls_push_mode mode;
    int64_t debounce_ms; /* not before so long after the newest push of the key; 0 = none */
    int64_t max_wait_ms; /* but at most so long after the first one; 0 = no limit */
};

struct ls_push_options {
    int64_t ids_ttl_ms; /* how long given ids are remembered; 0 = LS_IDS_TTL_MS */
    int64_t bound; /* refuse when this many jobs are waiting (pending, delayed, held); 0 = only the
                    * queue's own bound (control/bound) counts */
    const char *status_key; /* ls_keys_status of a job pushed with status; only for one job a call;
                             * NULL = none. It is set to "pending" */
    int64_t status_ttl_ms;  /* 0 = one day */
};

/* Plain jobs. Lost answer: push again with ids given; without ids they may be there twice. options
 * may be NULL. count is 1 to LS_PUSH_MAX. */
void ls_push_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                   const struct ls_push_options *options, const struct ls_push_job *jobs,
                   size_t count);
/* Keyed jobs: the newest body of a key wins, at most one run of a key is in flight, and a change
 * during a run is run after it. A waiting key moves up to a higher lane, never down. Safe to
 * repeat.
 */
void ls_push_keyed_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                         const struct ls_push_options *options, const struct ls_push_job *jobs,
                         size_t count);

/* May both go in one call? */
bool ls_push_same_rule(const struct ls_push_job *a, const struct ls_push_job *b);

struct ls_pushed {
    int64_t ms;
    int64_t pushed;    /* new in the queue */
    int64_t known;     /* their ids were pushed before, nothing was done */
    int64_t coalesced; /* ls_push_keyed: replaced the body of a waiting job */
    int64_t changed;   /* ls_push_keyed: run after the run that is going on */
    int64_t kept;      /* ls_push_keyed: dropped, an older body waits (LS_PUSH_KEEP) */
    int64_t rejected;  /* ls_push_keyed: dropped, the key waits or runs (LS_PUSH_REJECT) */
};
/* For both. -1: LS_E_TOO_BIG with a hint: the queue is at its bound, or closed because somebody
 * drains it; nothing was pushed. LS_E_TRANSIENT: Redis is full. */
int ls_push_parse(const struct ls_reply *reply, struct ls_pushed *pushed, struct ls_err *err);

/* Cancel jobs. Those that wait are dropped when they are claimed, at once where a key is named;
 * those that run are asked to stop by their runner. Ids are remembered until they are met, at
 * most for ttl_ms: a job pushed with one in that time is dropped. */
#define LS_CANCEL_TTL_MS (30 * 24 * 3600 * 1000LL)
struct ls_cancel {
    const struct ls_span *ids; /* at most LS_PUSH_MAX */
    size_t count;
    struct ls_span key;     /* also what waits or runs under this key; {0}: none */
    int64_t ttl_ms;         /* 0 = LS_CANCEL_TTL_MS; a job that is due later is not met by it */
    const char *status_key; /* of the only id: says "cancelled" from now on, if the job has one and
                             * waits; NULL: none */
};
void ls_cancel_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                     const struct ls_cancel *cancel);
struct ls_cancelled {
    int64_t added;   /* ids not cancelled before */
    int64_t dropped; /* a body that waited under the key */
    bool running;    /* the key runs: it is asked to stop */
};
int ls_cancel_parse(const struct ls_reply *reply, struct ls_cancelled *cancelled,
                    struct ls_err *err);

/* For runners: which of these (ids, runs of a key) are cancelled? At most LS_CANCELLED_MAX. Reply
 * {OK, ms, place, ...}: places from 1, from item 2 of the reply on. */
#define LS_CANCELLED_MAX 1000
void ls_cancelled_build(struct ls_cmd *cmd, const struct ls_keys *keys);
void ls_cancelled_add(struct ls_cmd *cmd, struct ls_span id);
void ls_cancelled_add_run(struct ls_cmd *cmd, int64_t fence);
/* A cancelled job has ended: its tombstones may go. */
void ls_cancel_forget_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span id,
                            int64_t fence);

/* SET status:<id> <state> PX ttl; for runners, beside the turn. */
void ls_status_build(struct ls_cmd *cmd, const char *status_key, const char *state, int64_t ttl_ms);

/* SADD lockstep:{fleet}:queues <queue>, so that tools find it; by whoever opens a queue. */
void ls_queue_announce_build(struct ls_cmd *cmd, const struct ls_keys *keys);

#endif
