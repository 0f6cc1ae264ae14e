/* What repairs itself: keys that wait without a pointer (somebody deleted it by hand), running
 * counts of accounts that differ from slots, accounts that nobody looks at (lua/key_heal.lua). Runners ask now and then. */
#ifndef LS_QUEUE_HEAL_H
#define LS_QUEUE_HEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

/* Looks at the next slice. Safe to repeat. */
void ls_heal_build(struct ls_cmd *cmd, const struct ls_keys *keys);
/* more: there is another slice. */
int ls_heal_parse(const struct ls_reply *reply, int64_t *healed, bool *more, struct ls_err *err);

#endif
