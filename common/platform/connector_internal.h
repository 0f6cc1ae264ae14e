/* What a platform provides to become a connector, and what it gets for it. Tests provide theirs in
 * the same way.
 *
 * A platform's operation allocates its own struct whose first member is a struct ls_remote_call,
 * begins it with ls_remote_call_begin, counts each request in call->requests as it is sent, fills
 * call->page (everything in it malloc'd) as answers come, and ends it once with ls_remote_call_end.
 * The frame keeps the list of calls that are out, runs `done`, and frees. */
#ifndef LS_PLATFORM_CONNECTOR_INTERNAL_H
#define LS_PLATFORM_CONNECTOR_INTERNAL_H

#include "common/platform/connector.h"

struct ls_connector_ops {
    const char *platform; /* "woocommerce" */
    /* NULL: the platform has no such entity. The connector then answers every call for it with
     * LS_E_UNSUPPORTED. */
    const struct ls_capabilities *(*capabilities)(void *self, const char *entity);
    /* Each begins a call, which must not end before the function returned. Arguments are borrowed
     * for the length of the function; only the mapping (and what hangs from it) lives as long as
     * the call. */
    struct ls_remote_call *(*list)(struct ls_connector *connector,
                                   const struct ls_list_query *query);
    struct ls_remote_call *(*get)(struct ls_connector *connector, const struct ls_mapping *mapping,
                                  const char *const *ids, size_t count);
    struct ls_remote_call *(*find)(struct ls_connector *connector, const struct ls_mapping *mapping,
                                   const char *match, const char *marker, int64_t created_from_ms);
    struct ls_remote_call *(*write)(struct ls_connector *connector,
                                    const struct ls_mapping *mapping, const struct ls_write *write);
    struct ls_remote_call *(*write_batch)(struct ls_connector *connector,
                                          const struct ls_mapping *mapping,
                                          const struct ls_write *writes, size_t count);
    struct ls_remote_call *(*probe)(struct ls_connector *connector,
                                    const struct ls_mapping *mapping);
    /* Let go of what the call holds (requests are cancelled, own members freed), not of the struct
     * itself. Runs before `done` when the call ends, and alone when it is cancelled. NULL: nothing
     * to do. */
    void (*release)(struct ls_remote_call *call);
    /* Free self. NULL: nothing to do. */
    void (*free)(void *self);
};

struct ls_connector {
    const struct ls_connector_ops *ops;
    void *self; /* the platform's own */
    uv_loop_t *loop;
    char *account;                /* name, for texts */
    struct ls_remote_call *calls; /* those that are out */
};

struct ls_remote_call {
    struct ls_connector *connector;
    struct ls_remote_call *previous, *next;
    ls_remote_cb *done;
    void *arg;
    int requests;               /* sent for it so far */
    struct ls_remote_page page; /* owned: the result as it grows */
    struct ls_err error;        /* of a call that fails by itself on the next turn of the loop */
    uv_timer_t *timer;          /* armed only by ls_remote_call_later */
    bool refused;               /* the frame's own call: the platform does not know of it */
};

/* Make a connector of any platform: tests give their own ops. self is owned from here on
 * (ops->free). */
struct ls_connector *ls_connector_new_with(const struct ls_connector_ops *ops, void *self,
                                           uv_loop_t *loop, const char *account);

/* A zeroed call of `size` bytes (whose first member is the struct ls_remote_call), on the
 * connector's list. */
void *ls_remote_call_begin(struct ls_connector *connector, size_t size);
/* End the call: releases, calls done with the page (err NULL) or with err, frees everything. Only
 * from a callback of the loop. */
void ls_remote_call_end(struct ls_remote_call *call, const struct ls_err *err);
/* End the call on the next turn of the loop, with err (copied) or, NULL, with its page as it is
 * then. */
void ls_remote_call_later(struct ls_remote_call *call, const struct ls_err *err);

/* One more zeroed item at the end of the page (with an empty record of the mapping, when one is
 * given). Pointers to items die with the next. */
struct ls_remote *ls_remote_page_add(struct ls_remote_page *page, const struct ls_mapping *mapping);
void ls_remote_page_fini(struct ls_remote_page *page);
void ls_remote_fini(struct ls_remote *remote);

#endif
