/* The next thing to do for a schedule, from what is settled and from Redis' clock, by its policy for
 * ticks that passed unseen. A pure function: no clock of this machine has a say.
 *
 *   last   of the ticks that are due only the newest fires
 *   all    each fires, in order; of more than LS_PLAN_ALL_MAX only the newest so many
 *   skip   those that are later than LS_PLAN_LATE_MS do not fire */
#ifndef LS_SCHEDULE_PLAN_H
#define LS_SCHEDULE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/schedule/pace.h"

#define LS_PLAN_ALL_MAX 1000
#define LS_PLAN_LATE_MS 60000
/* Ticks that are older are not even counted. */
#define LS_PLAN_OLDEST_MS (8 * 366 * 86400000LL)

struct ls_plan {
    int64_t tick;     /* -1: none is left */
    int64_t wait_ms;  /* until it is due; 0: it is */
    int64_t stale_ms; /* from this moment on another plan is better; 0: never */
    int64_t left_out; /* ms: the first tick that passed and will not fire; -1: there is none */
    int64_t dropped;  /* all: how many were left out */
};

/* settled: every tick up to here fired or does not count; -1: nothing is, a tick is due at once. ms:
 * Redis' time. O(ticks since settled) for `all`, else O(1). */
struct ls_plan ls_plan_make(const struct ls_pace *pace, enum ls_config_catch_up catch_up,
                            int64_t settled, int64_t ms);

#endif
