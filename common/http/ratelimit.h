/* What an answer says about its sender's budget for us, in the spellings that are in use:
 *   RateLimit: "default";r=50;t=30         and RateLimit-Policy: "default";q=100;w=60
 *   RateLimit: limit=100, remaining=50, reset=30
 *   RateLimit-Limit: 100, 100;w=60         RateLimit-Remaining: 50    RateLimit-Reset: 30
 *   X-RateLimit-Limit: 100                 X-RateLimit-Remaining, X-RateLimit-Reset
 *   X-Shopify-Shop-Api-Call-Limit: 3/40
 * Several limits at once are taken at their strictest. Untrusted: what does not parse is as if not
 * said, and every number is bounded. */
#ifndef LS_HTTP_RATELIMIT_H
#define LS_HTTP_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"

struct ls_ratelimit {
    double rate;      /* requests a second; below 0: not said */
    int burst;        /* requests at once; below 1: not said */
    int64_t left;     /* requests left now; below 0: not said */
    int64_t reset_ms; /* until there are more; below 0: not said */
};

/* False when it says nothing. */
bool ls_ratelimit_read(const struct ls_http_response *response, struct ls_ratelimit *out);

#endif
