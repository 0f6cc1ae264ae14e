/* What becomes of a job whose process died: the claim was stolen, now it is settled.
 *
 * Crashes are charged so that a neighbour's crash kills nobody's job. A job without crashes only
 * becomes a suspect (crashes = 1) and goes back to the head of its lane. A runner starts at most
 * one suspect at a time and charges it before the start (a checkpoint with crashes + 1), because a
 * thief could not know which of several suspects in a dead runner's hand was the one that ran. So a
 * suspect comes back here already charged: it goes back as it is, or to the dead list when it
 * crashed crash_limit times as the only suspect. */
#ifndef LS_SCHEDULER_SETTLE_H
#define LS_SCHEDULER_SETTLE_H

#include "common/queue/turn.h"

enum ls_settled { LS_SETTLED_BACK, LS_SETTLED_DEAD, LS_SETTLED_REKEYED };

struct ls_settle_options {
    int crash_limit;    /* 0: LS_RETRY_CRASH_LIMIT */
    const char *victim; /* the worker that died, for the letter; NULL: unknown */
    int64_t now_ms;     /* Redis' time */
};

/* Add the claim's settlement to the turn. */
enum ls_settled ls_settle_stolen(struct ls_turn *turn, const struct ls_claim *claim,
                                 const struct ls_settle_options *options);

#endif
