/* The first words on a new connection, shared by conn.c and sync.c: AUTH, SELECT, CLIENT SETNAME,
 * INFO in one flight. */
#ifndef LS_REDIS_HELLO_INTERNAL_H
#define LS_REDIS_HELLO_INTERNAL_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/redis/facts.h"
#include "common/redis/reply.h"
#include "common/redis/url.h"

enum ls_hello_step { LS_HELLO_AUTH, LS_HELLO_SELECT, LS_HELLO_NAME, LS_HELLO_INFO };

#define LS_HELLO_STEPS 4

struct ls_hello {
    enum ls_hello_step steps[LS_HELLO_STEPS];
    int count;
    int next; /* the answer awaited now; == count when done */
};

/* Append the requests to out. */
void ls_hello_begin(struct ls_hello *hello, const struct ls_redis_url *url, const char *client_name,
                    struct ls_buf *out);
/* The next answer. -1: we are not let in, or the server is not ready (LS_E_TRANSIENT). */
int ls_hello_answer(struct ls_hello *hello, const struct ls_redis_url *url,
                    const struct ls_reply *reply, struct ls_redis_facts *facts, struct ls_err *err);

/* "cannot reach redis at 'X': why" with a hint. Returns -1. */
int ls_redis_unreachable(const struct ls_redis_url *url, enum ls_err_code code, const char *why,
                         struct ls_err *err);

#endif
