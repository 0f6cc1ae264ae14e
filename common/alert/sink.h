/* Carries one notice to one place: a webhook (POST, JSON or Slack's form) or a command (JSON on
 * standard input). One attempt with a deadline; when to try again is the caller's business. On a
 * libuv loop. */
#ifndef LS_ALERT_SINK_H
#define LS_ALERT_SINK_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/err.h"

struct ls_http;
struct ls_delivery;

/* Exactly one of url and argv. Borrowed: outlives every delivery. */
struct ls_sink {
    const char *url;
    bool slack;
    const char
        *secret;       /* signs the body: header X-Lockstep-Signature: sha256=HEX; NULL: unsigned */
    char *const *argv; /* ends with NULL */
};

/* err is NULL when it was taken: 2xx, or exit status 0. */
typedef void ls_delivery_cb(void *arg, const struct ls_err *err);

/* A stable name for what was not yet delivered to which sink: 16 hex digits. */
#define LS_SINK_ID_SIZE 17
const char *ls_sink_id(const struct ls_sink *sink, char out[LS_SINK_ID_SIZE]);

/* Never NULL, never calls back before it returns. A command gets timeout_ms, then its process group
 * SIGKILL. */
struct ls_delivery *ls_delivery_begin(uv_loop_t *loop, struct ls_http *http,
                                      const struct ls_sink *sink, const char *json,
                                      int64_t timeout_ms, ls_delivery_cb *done, void *arg);
/* done is not called; a running command is killed. Clears the pointer; accepts NULL in it. */
void ls_delivery_cancel(struct ls_delivery **delivery);

#endif
