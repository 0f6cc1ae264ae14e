/* Claims as scripts return them: read in place from the reply, nothing is copied. */
#ifndef LS_QUEUE_CLAIM_H
#define LS_QUEUE_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/redis/reply.h"

struct ls_claim {
    int64_t fence;
    int64_t was; /* steal: the fence under which the victim held it; else 0 */
    bool keyed;  /* claimed by its key: settle it with the key. A claim that is not keyed whose
                  * envelope has a key came in by a plain push: settle it as LS_SETTLE_REKEY before
                  * running it, so that it coalesces like the others of its key */
    struct ls_span envelope; /* lives as long as the reply */
};

struct ls_claims {
    size_t count;
    size_t width; /* 2 or 3 items a claim */
    const struct ls_reply *items;
};

/* Claim i; i < count. */
struct ls_claim ls_claims_at(const struct ls_claims *claims, size_t i);

#endif
