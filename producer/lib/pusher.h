/* Streams jobs into queues: collects them into batches, keeps some batches in flight, counts what
 * was confirmed. Shared by liblockstep and the command line; memory is bounded by the batches in
 * flight, however many jobs pass. */
#ifndef LS_LIB_PUSHER_H
#define LS_LIB_PUSHER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/queue/push.h"
#include "common/redis/keys.h"
#include "common/redis/sync.h"

#define LS_PUSHER_FLIGHTS 4          /* push commands sent before the first answer is read */
#define LS_PUSHER_BYTES (512 * 1024) /* of envelopes in one push command */

/* A queue to push to; the owner keeps it as long as the pusher. announced: its name is in the set
 * of known queues. */
struct ls_pusher_queue {
    struct ls_keys keys;
    bool announced;
};

struct ls_pusher_flight {
    size_t count;
    const struct ls_pusher_queue *queue;
    struct ls_pusher_queue *announced;
};

struct ls_pusher {
    struct ls_redis_sync *redis; /* borrowed */
    struct ls_cmd cmd;
    /* The batch that is being filled: one queue, all keyed or none, at most one with a status. */
    struct ls_pusher_queue *queue;
    struct ls_buf bytes;
    struct ls_push_job
        *jobs; /* envelope.data and the like are offsets into bytes until it is sent */
    size_t count;
    bool keyed;
    char status_key[LS_KEY_SIZE]; /* "" none */
    struct ls_pusher_flight flights[LS_PUSHER_FLIGHTS];
    size_t first_flight, flight_count;

    int64_t confirmed; /* of the jobs added, so many first ones are surely in */
    /* How, see struct ls_pushed. */
    int64_t pushed, known, coalesced, changed, kept, rejected;
};

void ls_pusher_init(struct ls_pusher *pusher, struct ls_redis_sync *redis);
void ls_pusher_fini(struct ls_pusher *pusher);
/* Add a job; its bytes are copied. status_key: NULL or ls_keys_status of its id. -1 after a failure
 * of this or of an earlier job: see confirmed; the connection may have unread answers then
 * (ls_redis_sync_pending): close it. */
int ls_pusher_add(struct ls_pusher *pusher, struct ls_pusher_queue *queue,
                  const struct ls_push_job *job, const char *status_key, struct ls_err *err);
/* Send what is left and wait for all answers. A Redis to which jobs may not be entrusted (too old,
 * evicting, a replica) is refused before anything is sent (LS_E_CONFIG). */
int ls_pusher_finish(struct ls_pusher *pusher, struct ls_err *err);

#endif
