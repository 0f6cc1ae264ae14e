/* What a WordPress site answered, read with suspicion: web servers, firewalls, caches, maintenance
 * pages and PHP notices answer in its place. Pure: bytes in, JSON or a classified error out. The
 * table is in README.md. */
#ifndef LS_PLATFORM_WORDPRESS_ANSWER_H
#define LS_PLATFORM_WORDPRESS_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct ls_wp_answer {
    int status;
    const char *retry_after; /* the header; NULL when absent */
    const char *location;    /* the header; NULL when absent */
    int64_t remote_ms;       /* the peer's clock; 0 unknown */
    const char *body;
    size_t length;
    bool write; /* the request may have had an effect: an unreadable answer is then LS_E_LOST, not
                   LS_E_TRANSIENT */
    const char *what; /* for texts: "woocommerce 'shop-eu' cannot update product '31'" */
};

#define LS_WP_RETRY_DEFAULT_MS 10000   /* a 429 that names no time */
#define LS_WP_MAINTENANCE_CAP_MS 60000 /* WordPress always says 600 s, and is back after some */
#define LS_WP_THROTTLE_CAP_MS (3600 * 1000)

/* The JSON of a 2xx (the caller decrefs), or NULL with *err. */
json_t *ls_wp_answer_read(const struct ls_wp_answer *answer, struct ls_err *err);

/* The error object of one item of a batch, {code, message, data: {status}}. Fills err. */
void ls_wp_item_error(const json_t *error, const char *what, struct ls_err *err);

/* Is it a 401 about a nonce that was used before, or a time stamp too far off? */
enum ls_wp_stale { LS_WP_FRESH, LS_WP_STALE_NONCE, LS_WP_STALE_CLOCK };
enum ls_wp_stale ls_wp_stale(const struct ls_err *err);

#endif
