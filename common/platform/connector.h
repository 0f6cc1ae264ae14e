/* A connector speaks one platform's API for one account. It translates between platform objects and records of a mapping, classifies
 * errors, and knows nothing of queues, bases or decisions. Each call is asynchronous on the connector's loop: `done` runs exactly once,
 * later, unless the call is cancelled. Results are borrowed until `done` returns.
 *
 * Errors: LS_E_NETWORK, LS_E_TIMEOUT (nothing left this machine), LS_E_LOST (bytes may have left: outcome unknown), LS_E_THROTTLED with
 * retry_after_ms, LS_E_TRANSIENT (5xx, maintenance pages, bodies that do not parse: never "empty"), LS_E_AUTH, LS_E_CONFLICT,
 * LS_E_PERMANENT (refused content; reason holds the platform's code), LS_E_NOT_FOUND, LS_E_EXISTS (natural key taken; for the create of a
 * match value), LS_E_CONFIG (wrong URL, plugin missing). Texts name the platform, the operation and the status; never a credential. */
#ifndef LS_PLATFORM_CONNECTOR_H
#define LS_PLATFORM_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/err.h"
#include "common/record/record.h"

struct ls_http;           /* common/http/client.h */
struct ls_config_account; /* common/config/config.h */
struct ls_connector;
struct ls_remote_call;

/* One platform object seen through a mapping. */
struct ls_remote {
    char *id;
    char *version; /* modification stamp or revision; NULL when the platform has none */
    char *match;   /* value of the mapping's match field, NULL when empty or unmapped */
    char *marker;  /* our uid that a create wrote into it, NULL when none */
    bool trashed;  /* still there, but not in use (trash, archived) */
    struct ls_record record;
    struct ls_err
        error; /* code != NONE: this object is unreadable under the mapping (decision table row 23) or, in a batch, refused */
};

struct ls_remote_page {
    struct ls_remote *items;
    size_t count;
    int64_t total;     /* as the platform counts; -1 unknown */
    char *next;        /* opaque cursor of the next page; NULL: the end */
    int64_t remote_ms; /* the platform's clock (HTTP Date), 0 unknown */
};

typedef void ls_remote_cb(void *arg, const struct ls_remote_page *page, const struct ls_err *err);

/* What the engine may ask for; what the platform cannot do the engine does another way. */
struct ls_capabilities {
    size_t page_max;          /* records a list page */
    size_t batch_max;         /* writes a batch; 0: no batches */
    bool delta;               /* list by modification time */
    int64_t delta_overlap_ms; /* how far a delta must reach back (granularity, index lag) */
    const char *const *
        blind; /* remote fields whose change does not move the modification time; NULL-terminated */
    bool match_unique;  /* the platform itself refuses a second object with the same match value */
    bool empty_is_null; /* text has no NULL there: NULL is written as "" and read back as "" */
    bool marker;        /* creates can carry our uid */
    bool precondition;  /* updates can name the version they expect */
    bool idempotency;   /* writes can carry an idempotency key */
};
const struct ls_capabilities *ls_connector_capabilities(const struct ls_connector *connector,
                                                        const char *entity);

/* For an account of a known platform ("woocommerce"). NULL: LS_E_CONFIG. http is borrowed and outlives the connector. */
struct ls_connector *ls_connector_new(const struct ls_config_account *account, uv_loop_t *loop,
                                      struct ls_http *http, struct ls_err *err);
/* Calls still out are cancelled. */
void ls_connector_free(struct ls_connector *connector);

/* BY_ID lists everything in use; BY_MODIFIED lists what was modified within the bounds, also what went to the trash. In which order the
 * items come is the connector's business (whichever loses nothing on that platform): only next == NULL proves that the bounds were read
 * to their end, so no item's version is a position. An item may come twice. The bounds of the first page hold for all pages of a cursor. */
enum ls_list_order { LS_LIST_BY_ID, LS_LIST_BY_MODIFIED };
struct ls_list_query {
    const struct ls_mapping *mapping;
    enum ls_list_order order;
    int64_t
        modified_from_ms; /* inclusive, by the platform's clock; 0: no bound. The connector widens what the platform cannot say exactly */
    int64_t modified_to_ms; /* inclusive; 0: no bound */
    uint64_t
        fields; /* bit i: field i is wanted; 0: all. Ids, versions, match come anyway where that is free */
    size_t limit;       /* per page; 0: page_max */
    const char *cursor; /* `next` of the page before; NULL: the first */
};
struct ls_remote_call *ls_connector_list(struct ls_connector *connector,
                                         const struct ls_list_query *query, ls_remote_cb *done,
                                         void *arg);

/* The objects with these ids (at most page_max). An id that is confirmed not to exist is missing from the page; anything less certain
 * is an error for the whole call. */
struct ls_remote_call *ls_connector_get(struct ls_connector *connector,
                                        const struct ls_mapping *mapping, const char *const *ids,
                                        size_t count, ls_remote_cb *done, void *arg);

/* Look for an object by match value (NULL: skip) or by our marker among those created since created_from_ms: what an interrupted create
 * may have left. 0, 1 or more items. */
struct ls_remote_call *ls_connector_find(struct ls_connector *connector,
                                         const struct ls_mapping *mapping, const char *match,
                                         const char *marker, int64_t created_from_ms,
                                         ls_remote_cb *done, void *arg);

enum ls_write_kind { LS_WRITE_CREATE, LS_WRITE_UPDATE, LS_WRITE_DELETE };
struct ls_write {
    enum ls_write_kind kind;
    const char *id; /* update, delete */
    const struct ls_record *
        record; /* create: all SET values; update: SET and NULL values are written, MISSING left alone */
    const char *marker; /* create: our uid */
    const char *op_key; /* idempotency key where the platform has one */
    bool hard;          /* delete for good rather than trash */
};
/* One write. The page holds the object as the platform returned it (one item); for a delete, none or the trashed object. */
struct ls_remote_call *ls_connector_write(struct ls_connector *connector,
                                          const struct ls_mapping *mapping,
                                          const struct ls_write *write, ls_remote_cb *done,
                                          void *arg);
/* Up to batch_max writes in one request. Items come in the order of the writes, each with its own error; err is for the whole request. */
struct ls_remote_call *ls_connector_write_batch(struct ls_connector *connector,
                                                const struct ls_mapping *mapping,
                                                const struct ls_write *writes, size_t count,
                                                ls_remote_cb *done, void *arg);

/* Credentials, clock and reachability: an empty page with remote_ms, or the error a person must see. */
struct ls_remote_call *ls_connector_probe(struct ls_connector *connector,
                                          const struct ls_mapping *mapping, ls_remote_cb *done,
                                          void *arg);

/* Requests that were sent for the call so far, those that failed and those that were sent again included; one that never left this
 * machine is none. Budgets are counted in them. To be asked while the call is out, and in its `done` for the last time. NULL: 0. */
int ls_remote_requests(const struct ls_remote_call *call);
/* Give up on a call: `done` will not run. A write may still take effect. Clears the pointer; NULL is fine. */
void ls_remote_cancel(struct ls_remote_call **call);

#endif
