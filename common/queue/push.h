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

struct ls_push_job {
    struct ls_span envelope; /* canonical; its priority names the lane */
    struct ls_span key;      /* ls_push_keyed only: the envelope's key */
    struct ls_span id;       /* given: push only if no job with this id was pushed before; {0}: the
                              * id is new, there is nothing to look up. ls_push only */
    int64_t delay_ms;        /* 0 = now */
};

struct ls_push_options {
    int64_t ids_ttl_ms; /* how long given ids are remembered; 0 = LS_IDS_TTL_MS */
    int64_t bound; /* refuse when this many jobs are waiting (pending and delayed); 0 = only the
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

struct ls_pushed {
    int64_t ms;
    int64_t pushed;    /* new in the queue */
    int64_t known;     /* ls_push: their ids were pushed before, nothing was done */
    int64_t coalesced; /* ls_push_keyed: replaced the body of a waiting job */
    int64_t changed;   /* ls_push_keyed: run after the run that is going on */
};
/* For both. -1: LS_E_TOO_BIG with a hint: the queue is at its bound, nothing was pushed.
 * LS_E_TRANSIENT: Redis is full. */
int ls_push_parse(const struct ls_reply *reply, struct ls_pushed *pushed, struct ls_err *err);

/* Drop these jobs when they are claimed (a running one is not stopped). The ids are remembered for
 * ttl_ms (0 = LS_IDS_TTL_MS). Reply: {OK, ms, number new}. */
void ls_cancel_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t ttl_ms,
                     const struct ls_span *ids, size_t count);
int ls_cancel_parse(const struct ls_reply *reply, int64_t *added, struct ls_err *err);

/* SET status:<id> <state> PX ttl; for runners, beside the turn. */
void ls_status_build(struct ls_cmd *cmd, const char *status_key, const char *state, int64_t ttl_ms);

/* SADD lockstep:{fleet}:queues <queue>, so that tools find it; by whoever opens a queue. */
void ls_queue_announce_build(struct ls_cmd *cmd, const struct ls_keys *keys);

#endif
