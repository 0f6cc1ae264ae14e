/* The three lanes of a queue. Normal is zero, so that a zeroed struct means it. High goes first,
 * but every fourth turn of a worker begins with normal or low, so that neither starves. */
#ifndef LS_JOB_LANE_H
#define LS_JOB_LANE_H

#include "common/base/span.h"

enum ls_lane { LS_LANE_NORMAL, LS_LANE_HIGH, LS_LANE_LOW };
#define LS_LANE_COUNT 3

/* "normal", "high", "low". */
const char *ls_lane_name(enum ls_lane lane);
/* 0 and *lane; -1 for any other word. */
int ls_lane_parse(struct ls_span name, enum ls_lane *lane);
/* Of a canonical envelope: its priority is the last member, if it is there at all. */
enum ls_lane ls_lane_of(struct ls_span envelope);

#endif
