/* Waiting for the end of one job by looking at it, more and more seldom. Shared by liblockstep and
 * the command line. */
#ifndef LS_LIB_WAITER_H
#define LS_LIB_WAITER_H

#include <stdint.h>

#include "common/queue/outcome.h"
#include "common/redis/sync.h"

/* Look until the job has ended or wait_ms are over (0: once); *outcome (freed by the caller) is what
 * was seen last. A job without a state yet is waited for as any other. Lost connections are opened
 * anew; a look may end after the time by the connection's own deadline. -1: no look in the end
 * succeeded, *outcome is the one before. */
int ls_wait(struct ls_redis_sync *redis, const struct ls_keys *keys, struct ls_span id,
            int64_t wait_ms, struct ls_outcome *outcome, struct ls_err *err);

#endif
