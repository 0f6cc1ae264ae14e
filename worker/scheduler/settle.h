/* What becomes of jobs whose process died: their claims were stolen, now they are settled.
 *
 * Crashes are charged so that a neighbour's crash kills nobody's job:
 *   0 or 1 crashes so far            one more, back to the head of its lane: a kill, or somebody
 *                                    else's crash, is the likely reason
 *   LS_RETRY_SUSPECT_FROM or more    it is a suspect; a runner runs at most one at a time, so:
 *     the only suspect in the hand   it ran and is charged; dead after crash_limit such crashes,
 *                                    else later
 *     one of several                 which of them ran is not known: none is charged, and they come
 *                                    back at different times, so that next time each is alone
 * README.md has the argument. */
#ifndef LS_SCHEDULER_SETTLE_H
#define LS_SCHEDULER_SETTLE_H

#include <stdbool.h>

#include "common/queue/turn.h"

#define LS_SETTLE_KILLED 4

struct ls_settle_options {
    int crash_limit;    /* 0: LS_RETRY_CRASH_LIMIT */
    bool killed;        /* the process got a SIGKILL from outside (an operator, the kernel's memory
                         * killer): a job must have been there LS_SETTLE_KILLED times as often */
    const char *victim; /* the worker that died, for the letters; NULL: unknown */
    int64_t now_ms;     /* Redis' time */
};

struct ls_settle_result {
    int back, later, dead, rekeyed;
};

/* Add the settlements of all these claims, which one worker held, to the turn. */
struct ls_settle_result ls_settle_stolen(struct ls_turn *turn, const struct ls_claims *claims,
                                         const struct ls_settle_options *options);

#endif
