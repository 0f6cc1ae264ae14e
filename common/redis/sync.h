/* The blocking form, for the CLI and liblockstep: one socket, poll with deadlines, the same codec
 * and TLS as the loop's form. */
#ifndef LS_REDIS_SYNC_H
#define LS_REDIS_SYNC_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/redis/cmd.h"
#include "common/redis/facts.h"
#include "common/redis/reply.h"
#include "common/redis/url.h"

struct ls_redis_sync;

struct ls_redis_sync_options {
    const char *client_name;
    int64_t connect_timeout_ms; /* 0 = 5 s; each address of a name in turn shares it */
    int64_t timeout_ms;         /* for each send or next; 0 = 5 s */
};

/* Connect, authenticate, select, read the facts. NULL with LS_E_NETWORK (unreachable), LS_E_AUTH,
 * LS_E_TIMEOUT ... options may be NULL. */
struct ls_redis_sync *ls_redis_sync_open(const struct ls_redis_url *url,
                                         const struct ls_redis_sync_options *options,
                                         struct ls_err *err);
/* Accepts NULL. */
void ls_redis_sync_close(struct ls_redis_sync *sync);
const struct ls_redis_facts *ls_redis_sync_facts(const struct ls_redis_sync *sync);
const char *ls_redis_sync_shown(const struct ls_redis_sync *sync);

/* Send and wait. *reply dies with the next call. An error Redis answered is -1 (ls_reply_fail).
 * LS_E_LOST: it may or may not have happened; the connection is then broken and every further call
 * reconnects first. Scripts: EVALSHA, then EVAL on NOSCRIPT. */
int ls_redis_sync_send(struct ls_redis_sync *sync, const struct ls_cmd *cmd,
                       const struct ls_reply **reply, struct ls_err *err);
/* As ls_redis_sync_send with its own timeout (blocking commands). */
int ls_redis_sync_send_for(struct ls_redis_sync *sync, const struct ls_cmd *cmd, int64_t timeout_ms,
                           const struct ls_reply **reply, struct ls_err *err);

/* Many in one go: append each, then next once for each, in order. append may write when much is
 * queued. After a LS_E_LOST every answer not yet read is lost. A script in a pipeline is sent as
 * EVALSHA after a SCRIPT LOAD of its own when this connection has not used it yet, so that NOSCRIPT
 * does not reorder the pipeline. An error answer is -1 and does not end the pipeline. */
int ls_redis_sync_append(struct ls_redis_sync *sync, const struct ls_cmd *cmd, struct ls_err *err);
int ls_redis_sync_next(struct ls_redis_sync *sync, const struct ls_reply **reply,
                       struct ls_err *err);
/* Answers still to be read by next. */
size_t ls_redis_sync_pending(const struct ls_redis_sync *sync);

#endif
