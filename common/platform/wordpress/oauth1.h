/* OAuth 1.0a with one leg (RFC 5849): how WooCommerce is spoken to over plain HTTP. Pure functions:
 * no clock, no randomness.
 *
 * A signature is good for one request: the server remembers the nonce for a quarter of an hour and
 * refuses it the second time. So each try is signed anew. The server rebuilds the URL from its
 * configured address, so sign what the site believes to be its own. */
#ifndef LS_PLATFORM_WORDPRESS_OAUTH1_H
#define LS_PLATFORM_WORDPRESS_OAUTH1_H

#include <stdint.h>

#include "common/platform/wordpress/query.h"

struct ls_oauth1 {
    const char *key;
    const char *secret;
    const char *nonce; /* unique per key within 15 minutes */
    int64_t timestamp_s;
};

/* Add the five oauth_ parameters (HMAC-SHA256) to the query of `method url`; url without query.
 * JSON bodies are not signed. */
void ls_oauth1_sign(struct ls_query *query, const char *method, const char *url,
                    const struct ls_oauth1 *oauth);

/* The signature base string (RFC 5849 3.4.1): method & url & sorted parameters, each encoded. An
 * oauth_signature is left out. */
void ls_oauth1_base_string(struct ls_buf *out, const char *method, const char *url,
                           const struct ls_query *query);

#endif
