/* Single remote reads and writes, gathered: hundreds of reconciles run at once, each wants one object, and a platform counts requests.
 * A read or write waits a few milliseconds for company, then as many as the platform takes go out in one request. What fails as a
 * whole fails for each, but content that is refused as a whole is tried one by one: a neighbour's fault is nobody else's. What fails
 * singly fails singly. One gather serves one mapping of one connector.
 *
 * Requests are paid for by those they carry: in equal parts, what does not divide by those that came first, so that the parts add up to
 * what was sent. Who gives up on the way pays the part of what was sent until then; the last one to give up pays what is left, and
 * the request is given up with it. */
#ifndef LS_SYNC_GATHER_H
#define LS_SYNC_GATHER_H

#include "common/platform/connector.h"

struct ls_gather;
struct ls_ticket; /* one read or write that is waiting or out */

struct ls_gather_options {
    uv_loop_t *loop;
    struct ls_connector *connector;   /* borrowed */
    const struct ls_mapping *mapping; /* borrowed */
    int64_t wait_ms;                  /* for company; -1: send each at once, alone */
    size_t flights; /* requests of a kind out at once; the rest waits and gathers. 0: 4 */
};
struct ls_gather *ls_gather_new(const struct ls_gather_options *options);
/* Cancels everything; no callbacks. The loop must run once more. NULL is fine. */
void ls_gather_free(struct ls_gather *gather);

/* remote is borrowed until the callback returns; NULL with err NULL: confirmed not to exist (read), nothing came back (write).
 * remote_ms: the platform's clock, 0 unknown. Never called before the begin returned. */
typedef void ls_gather_cb(void *arg, const struct ls_remote *remote, int64_t remote_ms,
                          const struct ls_err *err);

/* requests grows by the ticket's part until `done` runs or the cancel returns (NULL: nobody counts); borrowed until then. */
struct ls_ticket *ls_gather_get(struct ls_gather *gather, const char *id, int *requests,
                                ls_gather_cb *done, void *arg);
/* What write points to is borrowed until `done` or cancel. may_leave (NULL: always) is asked with arg just before the request goes out: no
 * ends it with LS_E_CANCELLED, and nothing has left. */
struct ls_ticket *ls_gather_write(struct ls_gather *gather, const struct ls_write *write,
                                  bool (*may_leave)(void *arg), int *requests, ls_gather_cb *done,
                                  void *arg);
/* `done` will not run. A write that has left may still take effect. Clears the pointer; NULL is fine. */
void ls_gather_cancel(struct ls_ticket **ticket);

/* Requests sent so far, and what they carried: for tests and measurements. */
struct ls_gather_stats {
    uint64_t reads, read_requests, writes, write_requests;
};
struct ls_gather_stats ls_gather_stats(const struct ls_gather *gather);

#endif
