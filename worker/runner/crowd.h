/* The accounts whose jobs a seat has in hand: how many of each, for the queue's `fair` share, and how
 * they fared, for the breakers. One a seat. */
#ifndef LS_RUNNER_CROWD_H
#define LS_RUNNER_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/queue/turn.h"

struct ls_config;
struct crowd;

/* Begins as NULL, grows by itself; free with crowd_free. */
void crowd_enter(struct crowd **crowd, struct ls_span account);
void crowd_leave(struct crowd **crowd, struct ls_span account);
/* A run of the account ended well (its platform answered), or failed for its platform's sake. */
void crowd_fared(struct crowd **crowd, struct ls_span account, bool well);
/* Those that matter to a share, at most max; names live until the next call of any of these. */
int crowd_list(const struct crowd *crowd, int share, struct ls_turn_account *out, int max);
/* Put into the turn what the breakers of the configured accounts are to hear: failures at once,
 * successes after failures, and now and then. */
void crowd_report(struct crowd **crowd, const struct ls_config *config, struct ls_turn *turn,
                  int64_t now_ms);
/* Is it time to pass on what an answer said of the account's budget? Once a second. */
bool crowd_may_learn(struct crowd **crowd, struct ls_span account, int64_t now_ms);
void crowd_free(struct crowd **crowd);

#endif
