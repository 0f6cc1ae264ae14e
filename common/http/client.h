/* HTTP requests out, hundreds at once, on the event loop: libcurl's multi interface.
 *
 * At most max_active requests are inside libcurl, the others wait here in order. Redirects are not
 * followed, only http and https are spoken, nothing is sent twice by itself. Any HTTP answer is a
 * response, also 404 and 500: what a status means is the caller's business (ls_http_status_error
 * gives the usual reading). A failure says whether the request may have had its effect:
 *   LS_E_NETWORK    nothing was sent: name, connect, TLS handshake
 *   LS_E_TIMEOUT    the same, by deadline
 *   LS_E_LOST       some of it may have arrived, no answer came: reset, stale keep-alive connection,
 *                   deadline
 *   LS_E_TOO_BIG    the answer exceeds max_response_bytes
 *   LS_E_INVALID    the answer is not HTTP
 *   LS_E_PERMANENT  refuse_private: the host has no public address; nothing was sent
 *   LS_E_USAGE      the request is malformed (URL, header)
 *   LS_E_CANCELLED  the queue here is full or closing
 * err->reason names what failed: "bad_url", "bad_header", "bad_method", "name_not_resolved", "refused",
 * "unreachable", "not_connected", "tls_handshake", "tls_certificate", "connect_timeout",
 * "queue_timeout", "answer_timeout", "connection_lost", "answer_too_big", "not_http", "queue_full".
 * Texts of errors show URLs without user, password and query. */
#ifndef LS_HTTP_CLIENT_H
#define LS_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/base/span.h"

struct ls_http;
struct ls_call;

struct ls_http_options {
    int max_active;         /* requests inside libcurl; 0 = 256 */
    int max_waiting;        /* requests waiting here; 0 = 10000 */
    int max_per_host;       /* connections to one host; 0 = no limit of its own */
    int idle_age_s;         /* a kept connection older than this is not used again; 0 = 30 s */
    const char *user_agent; /* NULL: "lockstep/VERSION" */
};

struct ls_http_header {
    const char *name;
    const char *value;
};

struct ls_http_request {
    const char *method; /* NULL: "GET" */
    const char *url;
    const struct ls_http_header *headers; /* ends with {0}; may be NULL */
    const void *body;                     /* copied; NULL: none */
    size_t body_length;
    int64_t timeout_ms; /* from begin until the answer's last byte, waiting included; 0 = 30 s */
    int64_t connect_timeout_ms; /* 0 = 10 s */
    size_t max_response_bytes;  /* body; 0 = 32 MiB */
    const char *ca_file;        /* NULL: the system's trust store */
    const char *userpwd;        /* "user:password" for Basic; NULL: none */
    /* Connect to addresses of the public internet only (common/http/address.h), whatever the name
     * resolves to; asked of the address of each connection, also of one that is kept. No proxy is
     * used then: behind one the address would be the proxy's choice. */
    bool refuse_private;
    bool idempotent; /* may be repeated without harm: else a POST never rides on a connection idle
                        for over 5 s */
    int *sends; /* grows by one each time it is sent, by libcurl's own repetitions too; borrowed
                        until done or cancel; NULL: nobody counts */
};

struct ls_http_response {
    int status;
    struct ls_span body; /* NUL-terminated */
    const char
        *headers; /* "name: value\0name: value\0\0", names in lower case; see ls_http_header_get */
    int64_t remote_ms;  /* its Date header as wall-clock ms; 0 when it has none */
    int64_t elapsed_ms; /* from the first attempt to connect until the last byte */
};

/* Exactly one of response and err is set; both die with the callback. err->http_status is 0. */
typedef void ls_http_cb(void *arg, const struct ls_http_response *response,
                        const struct ls_err *err);

struct ls_http *ls_http_new(uv_loop_t *loop, const struct ls_http_options *options);
/* Cancels what is under way (no callbacks). The loop must run once more to release the handles.
 * Accepts NULL inside. */
void ls_http_close(struct ls_http **http);

/* Begin a request; everything it points to is copied. Never NULL, never calls back before it
 * returns. */
struct ls_call *ls_http_begin(struct ls_http *http, const struct ls_http_request *request,
                              ls_http_cb *done, void *arg);
/* Forget a request: done is not called. Clears the pointer; accepts a NULL in it. */
void ls_http_cancel(struct ls_call **call);
/* Requests begun and not finished: inside libcurl, and waiting. */
int ls_http_active(const struct ls_http *http);
int ls_http_waiting(const struct ls_http *http);

/* The first header of this name (any case), NULL when absent. Dies with the response. */
const char *ls_http_header_get(const struct ls_http_response *response, const char *name);

/* Fill err with the usual reading of a status that is not 2xx and return -1: 408, 425 and 5xx
 * LS_E_TRANSIENT; 429 LS_E_THROTTLED (503 with Retry-After too), retry_after_ms set; 401, 403
 * LS_E_AUTH; 404, 410 LS_E_NOT_FOUND; 409, 412 LS_E_CONFLICT; 3xx and other 4xx LS_E_PERMANENT. 0
 * and err untouched on 2xx. shown: the URL or the thing, quoted in the text. */
int ls_http_status_error(const struct ls_http_response *response, const char *shown,
                         struct ls_err *err);

/* The URL without user, password, query and fragment, for texts: into out, truncated,
 * NUL-terminated. Returns out. */
const char *ls_http_url_shown(const char *url, char *out, size_t size);

#endif
