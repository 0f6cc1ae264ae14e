/* One leader in the fleet (who fires cron and sends alerts), by a lease on one key. What a leader
 * does must stand being done by two for a moment: a lease cannot forbid it. */
#ifndef LS_QUEUE_LEADER_H
#define LS_QUEUE_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/reply.h"

/* Become or stay leader for lease_ms; lease_ms 0 steps down. Safe to repeat. */
void ls_leader_hold_build(struct ls_cmd *cmd, const char *owner, int64_t lease_ms);

struct ls_leadership {
    bool leader;        /* that is us, for lease_ms from now */
    struct ls_span who; /* the leader; borrowed from the reply; {0} after stepping down */
    int64_t left_ms;    /* of its lease */
};
int ls_leader_hold_parse(const struct ls_reply *reply, struct ls_leadership *leadership,
                         struct ls_err *err);

#endif
