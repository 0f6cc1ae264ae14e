/* Budgets of accounts: a rate with a burst (GCRA, in requests), and parking. Checked when a job is
 * claimed: one over its budget moves once into `reserved` with the time it has paid for; one whose
 * account is parked moves behind the end of the parking. */
#ifndef LS_QUEUE_LIMIT_H
#define LS_QUEUE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

struct ls_limit_change {
    struct ls_span account;
    double rate;           /* requests a second; 0 = no limit, < 0 = leave as it is */
    int burst;             /* >= 1; < 1 = leave as it is (1 where none was set) */
    int64_t park_ms;       /* > 0: park at least so long from now, 0: end the parking, < 0: leave */
    struct ls_span reason; /* of the parking, for people: "429", "auth", "breaker" */
};
#define LS_LIMIT_KEEP             \
    {                             \
        .rate = -1, .park_ms = -1 \
    }

/* Reply: {OK, ms, parked until (ms) or 0}. After ending a parking or changing a rate call
 * ls_limit_release until it says it is through. */
void ls_limit_set_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                        const struct ls_limit_change *change);
struct ls_limit_state {
    int64_t ms;
    int64_t parked_until; /* 0: not parked */
};
int ls_limit_set_parse(const struct ls_reply *reply, struct ls_limit_state *state,
                       struct ls_err *err);

/* Give the account's reserved jobs new times by its present budget: a slice of the set a call.
 * Start with a zeroed cursor; call again until *more is false. */
struct ls_limit_cursor {
    char score[32];
    int64_t skip;
};
void ls_limit_release_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span account,
                            const struct ls_limit_cursor *cursor);
int ls_limit_release_parse(const struct ls_reply *reply, struct ls_limit_cursor *cursor, bool *more,
                           struct ls_err *err);

/* Draw up to `want` requests from the account's budget at once (a crawl that makes many). granted
 * may be 0: then ask again in wait_ms. */
void ls_limit_take_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span account,
                         int want);
struct ls_limit_grant {
    int64_t granted;
    int64_t wait_ms; /* until one more may be granted */
    bool parked;
};
int ls_limit_take_parse(const struct ls_reply *reply, struct ls_limit_grant *grant,
                        struct ls_err *err);

#endif
