/* A WooCommerce shop (REST wc/v3) as a connector. Over https the key pair goes as Basic, over http
 * as OAuth 1.0a. README.md says what is promised and why. */
#ifndef LS_PLATFORM_WORDPRESS_WOOCOMMERCE_H
#define LS_PLATFORM_WORDPRESS_WOOCOMMERCE_H

#include "common/platform/connector.h"

struct ls_woocommerce_options {
    const char *account; /* name, for texts */
    const char *url;     /* "https://shop.example" or with a path; also accepted with /wp-json or
                            /wp-json/wc/v3 at its end */
    const char *consumer_key;
    const char *consumer_secret;
    const char *ca_file; /* NULL: the system's authorities */
    int64_t timeout_ms;  /* of one request; 0: 30 s */
};

/* Everything in options is copied. NULL: LS_E_CONFIG. */
struct ls_connector *ls_woocommerce_new(const struct ls_woocommerce_options *options,
                                        uv_loop_t *loop, struct ls_http *http, struct ls_err *err);

#endif
