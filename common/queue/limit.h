/* What accounts may do, checked when a job is claimed: a budget of platform requests (GCRA), jobs at
 * once, a breaker, parking. A job of an account that may not go waits in `held` behind the others of
 * its account, or, when its time comes soon, in `reserved` at the time it has paid for. The rules
 * are lua/lib/budget.lua. */
#ifndef LS_QUEUE_LIMIT_H
#define LS_QUEUE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

struct ls_limit_change {
    struct ls_span account;
    double rate;          /* requests a second; 0 = no limit, < 0 = leave as it is */
    int burst;            /* >= 1; < 1 = leave as it is (1 where none was set) */
    int64_t concurrency;  /* jobs at once over all workers; 0 = no limit, < 0 = leave */
    struct ls_span costs; /* "product=2 http=1": requests a job prepays by its kind, others 1; {0} =
                            * leave */
    struct ls_span rule;  /* "<failures> <open, ms> <cap, ms>" of the breaker; {0} = leave */
    int64_t park_ms;      /* > 0: park at least so long from now, 0: end the parking and close the
                            * breaker, < 0: leave */
    struct ls_span reason; /* of the parking, for people: "429", "auth" */
};
#define LS_LIMIT_KEEP                                \
    {                                                \
        .rate = -1, .concurrency = -1, .park_ms = -1 \
    }

/* Reply: {OK, ms, parked until (ms) or 0}. What waits is looked at by the new rules at once. */
void ls_limit_set_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                        const struct ls_limit_change *change);
struct ls_limit_state {
    int64_t ms;
    int64_t parked_until; /* 0: not parked */
};
int ls_limit_set_parse(const struct ls_reply *reply, struct ls_limit_state *state,
                       struct ls_err *err);

/* Draw up to `want` requests from the account's budget at once (a crawl that makes many); want < 0
 * gives back what was drawn and not made. granted may be 0: then ask again in wait_ms. What is
 * granted is paid, and may be made from wait_ms on. Lost answer: draws again. */
void ls_limit_take_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span account,
                         int want);
struct ls_limit_grant {
    int64_t granted;
    int64_t wait_ms; /* until the first of them may be made, or until the next question */
    bool parked;
};
int ls_limit_take_parse(const struct ls_reply *reply, struct ls_limit_grant *grant,
                        struct ls_err *err);

/* What a member of `held` holds, envelope or pointer, behind account, digit and serial; the member
 * itself when it is none. */
struct ls_span ls_held_item(struct ls_span member);

#endif
