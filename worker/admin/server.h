/* HTTP in: libmicrohttpd with its epoll descriptor on the libuv loop, and the limits it lacks.
 *
 * A handler gets a whole request (headers and body) and answers at once or later, exactly once
 * (ls_request_reply). A client that goes away meanwhile changes nothing for the handler. Limits:
 * connections in all and from one address, bytes of header and body, and a deadline for the header
 * and the body each, so that a client that sends a byte a second holds nobody up. Requests with two
 * lengths are refused (a proxy in front may have read the other one). */
#ifndef LS_ADMIN_SERVER_H
#define LS_ADMIN_SERVER_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/base/span.h"

struct ls_server;
struct ls_request;

struct ls_route {
    const char *method; /* "GET" also serves HEAD */
    const char *path;   /* exact */
    bool open;          /* needs no token */
    void (*handle)(void *arg, struct ls_request *request);
};

struct ls_server_options {
    const char *host;  /* an address; "localhost" too */
    int port;          /* 0: any free one */
    const char *token; /* Bearer token of routes that are not open; NULL: those answer 403 */
    size_t body_max;
    const struct ls_route *routes; /* ends with {0}; borrowed */
    void *arg;
};

/* NULL with err (address in use, not ours). */
struct ls_server *ls_server_new(uv_loop_t *loop, const struct ls_server_options *options,
                                struct ls_err *err);
/* "127.0.0.1:40123": where it listens really. */
const char *ls_server_address(const struct ls_server *server);
/* Ends all connections; requests not yet answered are still to be answered (to nobody) before their
 * memory goes. */
void ls_server_close(struct ls_server **server);

struct ls_span ls_request_body(const struct ls_request *request);
/* The query's value; NULL when it is not there. */
const char *ls_request_query(const struct ls_request *request, const char *name);
/* body is copied. The request is gone afterwards. */
void ls_request_reply(struct ls_request *request, int status, const char *content_type,
                      const void *body, size_t length);
/* {"error": ..., "hint": ...} with a status that fits the code. */
void ls_request_fail(struct ls_request *request, const struct ls_err *err);

#endif
