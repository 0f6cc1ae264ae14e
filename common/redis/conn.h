/* A connection to one Redis on the event loop: unix socket, TCP or TLS, with hiredis as the codec
 * only.
 *
 * Commands are answered in the order they were sent and each has a deadline; a command that passes
 * its deadline ends the connection, because answers cannot be skipped. Everything written in one
 * turn of the loop leaves in one write. On loss each command that may have reached the server gets
 * LS_E_LOST (it may or may not have happened), the others LS_E_NETWORK (it did not). Nothing is
 * ever sent again by itself, but for a script that the server does not know: EVALSHA answered by
 * NOSCRIPT is sent once more as EVAL (behind what was sent meanwhile).
 *
 * After a loss the connection is down until ls_redis_reconnect, or reconnects by itself with
 * options.reconnect. Used by one loop. */
#ifndef LS_REDIS_CONN_H
#define LS_REDIS_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/redis/cmd.h"
#include "common/redis/facts.h"
#include "common/redis/reply.h"
#include "common/redis/url.h"

struct ls_redis;

/* Exactly one of reply and err is set; both die with the callback. An error that Redis answered is
 * an err (ls_reply_fail). */
typedef void ls_redis_cb(void *arg, const struct ls_reply *reply, const struct ls_err *err);
/* up: connected, authenticated, database selected, facts known. down: the attempt failed or the
 * connection ended; every pending command was told before. Both may send, reconnect or close. */
typedef void ls_redis_up_cb(void *arg);
typedef void ls_redis_down_cb(void *arg, const struct ls_err *err);

struct ls_redis_options {
    const char *client_name;    /* for CLIENT LIST: no spaces; NULL: none */
    int64_t connect_timeout_ms; /* name, connect, TLS and AUTH together; 0 = 5 s */
    bool reconnect;             /* by itself, after a jittered pause of 100 ms doubling to 5 s */
    size_t
        max_queued_bytes; /* not yet written; beyond it sends fail with LS_E_TOO_BIG; 0 = 64 MiB */
    ls_redis_up_cb *up;   /* may be NULL */
    ls_redis_down_cb *down; /* may be NULL */
    void *arg;
};

/* Begin to connect. url is copied. Never fails: bad news arrives by down. */
struct ls_redis *ls_redis_open(uv_loop_t *loop, const struct ls_redis_url *url,
                               const struct ls_redis_options *options);
/* End it and clear the pointer. Pending callbacks are not called. Safe inside its own callbacks.
 * The loop must run once more to release the handles. */
void ls_redis_close(struct ls_redis **conn);
/* When down: try again now. No-op otherwise. */
void ls_redis_reconnect(struct ls_redis *conn);
/* Break it off: as if the connection had been lost for this reason. No-op when down. Pending callbacks are called before it returns.
 */
void ls_redis_drop(struct ls_redis *conn, const struct ls_err *why);
bool ls_redis_is_up(const struct ls_redis *conn);
/* Of the last server that was up. */
const struct ls_redis_facts *ls_redis_facts(const struct ls_redis *conn);
const char *ls_redis_shown(const struct ls_redis *conn);

/* Send a command; cb is called exactly once from the loop, unless the connection is closed first.
 * While connecting it waits, when down it fails with LS_E_NETWORK. timeout_ms counts from now (0 =
 * 5 s); a blocking command needs its own time on top. cb may be NULL. cmd may be reused at once. */
void ls_redis_send(struct ls_redis *conn, const struct ls_cmd *cmd, int64_t timeout_ms,
                   ls_redis_cb *cb, void *arg);
/* Commands sent and not yet answered. */
size_t ls_redis_pending(const struct ls_redis *conn);

#endif
