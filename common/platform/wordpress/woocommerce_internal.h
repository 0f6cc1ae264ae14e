/* What the operations of the WooCommerce connector share: one request after the other, each signed,
 * sent, judged and handed on. */
#ifndef LS_PLATFORM_WORDPRESS_WOOCOMMERCE_INTERNAL_H
#define LS_PLATFORM_WORDPRESS_WOOCOMMERCE_INTERNAL_H

#include <jansson.h>

#include "common/http/client.h"
#include "common/platform/connector_internal.h"
#include "common/platform/wordpress/query.h"

#define WOO_PAGE_MAX 100
#define WOO_BATCH_MAX 100

struct woo {
    char *api; /* "https://shop.example/wp-json/wc/v3" */
    char *key, *secret;
    char *userpwd; /* Basic; NULL over http, where requests are signed */
    char *ca_file;
    int64_t timeout_ms;
    int64_t clock_ahead_ms; /* of the shop's clock, learnt when it refuses a time stamp */
    struct ls_http *http;   /* borrowed */
};

struct woo_call;
/* root: the JSON of a 2xx (borrowed), or NULL with err. response is NULL when there was none. */
typedef void woo_answered(struct woo_call *call, const json_t *root,
                          const struct ls_http_response *response, const struct ls_err *err);

struct woo_request {
    const char *method; /* literal */
    char *path;         /* owned: "/products/31" */
    struct ls_query query;
    char *body;         /* owned; NULL: none */
    int64_t timeout_ms; /* 0: the account's */
    char *what;         /* owned, for texts: "cannot update product '31'" */
};

/* First member of each operation's struct. */
struct woo_call {
    struct ls_remote_call base;
    const struct ls_mapping *mapping;
    struct ls_call *http;       /* the one request under way; NULL while a callback runs */
    struct woo_request request; /* the one under way, kept to be signed again */
    int tries;
    int64_t sent_ms;
    woo_answered *answered;
    void (*fini)(struct woo_call *call); /* the operation's own members; NULL: none */
};

void *woo_call_begin(struct ls_connector *connector, const struct ls_mapping *mapping, size_t size);
/* Takes over everything in request. `answered` runs once, later. */
void woo_send(struct woo_call *call, struct woo_request request, woo_answered *answered);
void woo_end(struct woo_call *call, const struct ls_err *err);
/* A failure in the connector's own words: "woocommerce 'shop-eu' cannot …: ". */
__attribute__((format(printf, 4, 5))) void woo_fail(struct woo_call *call, struct ls_err *err,
                                                    enum ls_err_code code, const char *format, ...);

/* status=any&context=edit&_fields=…: context=edit is the stored text, not the one dressed up for
 * visitors. */
void woo_add_fields(struct ls_query *query, const struct ls_mapping *mapping, uint64_t fields,
                    bool marker);
/* Ids are numbers; anything else would reach into the path of the URL. */
bool woo_id_valid(const char *id);
/* Are these fields (0: all) only ones that modification times do not show? */
bool woo_only_blind(const struct ls_mapping *mapping, uint64_t fields);
/* Read an object into the call's page. false: the call has ended with an error. */
bool woo_take(struct woo_call *call, const json_t *object, uint64_t fields);
/* "2026-03-01T14:05:00": UTC without a zone, as dates_are_gmt wants it. */
#define WOO_STAMP_SIZE 24
const char *woo_stamp(char out[WOO_STAMP_SIZE], int64_t seconds);

/* A crawl lists what a filter matches in the order of ids, losing none when rows vanish meanwhile:
 * each page begins with the last row of the one before. If that row is not there, rows before it
 * have gone, and the crawl steps back until it meets known ground. */
struct woo_crawl {
    int64_t offset;  /* of the next request */
    int64_t last_id; /* everything up to it has been taken */
    int64_t step;    /* back, when ground is lost */
    int tries;       /* steps back in a row */
    size_t per_page;
};
enum woo_crawl_state { WOO_CRAWL_MORE, WOO_CRAWL_END, WOO_CRAWL_LOST, WOO_CRAWL_BAD };
void woo_crawl_query(const struct woo_crawl *crawl, struct ls_query *query);
/* Judge a page and move on. *first: index of the first new row. BAD fills err. LOST: nothing is
 * new, ask again. */
enum woo_crawl_state woo_crawl_take(struct woo_crawl *crawl, const json_t *rows, int64_t total,
                                    size_t *first, struct ls_err *err);
/* X-WP-Total; -1 when absent. */
int64_t woo_total(const struct ls_http_response *response);

struct ls_remote_call *woo_list(struct ls_connector *connector, const struct ls_list_query *query);
struct ls_remote_call *woo_get(struct ls_connector *connector, const struct ls_mapping *mapping,
                               const char *const *ids, size_t count);
struct ls_remote_call *woo_find(struct ls_connector *connector, const struct ls_mapping *mapping,
                                const char *match, const char *marker, int64_t created_from_ms);
struct ls_remote_call *woo_write(struct ls_connector *connector, const struct ls_mapping *mapping,
                                 const struct ls_write *write);
struct ls_remote_call *woo_write_batch(struct ls_connector *connector,
                                       const struct ls_mapping *mapping,
                                       const struct ls_write *writes, size_t count);
struct ls_remote_call *woo_probe(struct ls_connector *connector, const struct ls_mapping *mapping);

#endif
