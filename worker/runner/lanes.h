/* Which lane goes first in a turn: each as often as its weight says, spread evenly (smooth weighted
 * round robin), and one that was passed over for too long although it has work goes first once. A
 * weight of 0 takes only what the others leave. One a seat. */
#ifndef LS_RUNNER_LANES_H
#define LS_RUNNER_LANES_H

#include <stdint.h>

struct ls_config_queue;

#define LANES_ORDER_SIZE 6

/* {0} is a fresh one. */
struct lanes {
    int64_t credit[3];
    int64_t served_ms[3]; /* when it went first, or had nothing; 0: never yet */
    unsigned number;      /* of the turn */
};

/* The order of this turn for ls_turn_options. now_ms: any clock that does not step. Returns out. */
const char *lanes_next(struct lanes *lanes, const struct ls_config_queue *queue, int64_t now_ms,
                       char out[LANES_ORDER_SIZE]);
/* What the turn has left. */
void lanes_saw(struct lanes *lanes, const int64_t left[3], int64_t now_ms);

#endif
