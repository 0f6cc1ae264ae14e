/* How often something happened within a sliding window, in few numbers: the window in six slots and
 * the one that is being filled, so up to a sixth too much is counted, never too little. Pure: the
 * caller brings the clock. {0} is the beginning, and what it becomes again when nothing happens. */
#ifndef LS_ALERT_RATE_H
#define LS_ALERT_RATE_H

#include <stdint.h>

#include "common/base/buf.h"

#define LS_RATE_SLOTS 7

struct ls_rate {
    int64_t slot;                  /* number of the newest one since 1970 */
    int64_t counts[LS_RATE_SLOTS]; /* newest first */
};

/* `events` more, now. Returns how many there were within the window. */
int64_t ls_rate_add(struct ls_rate *rate, int64_t window_ms, int64_t events, int64_t now_ms);

/* " slot=5882198 grew=3,0,0,1,0,0,0", nothing for {0}; and back: text may hold more before and
 * behind it, and none of it is {0}. */
void ls_rate_write(const struct ls_rate *rate, struct ls_buf *out);
void ls_rate_read(struct ls_rate *rate, const char *text);

#endif
