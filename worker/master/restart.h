/* When a child that ended is started again: at once the first time, then ever later, so that a
 * crash loop costs little and its log stays readable. One that had started well is back within a
 * second however often it is killed: it was working, and its work waits. One that lived for
 * LS_RESTART_CALM_MS has forgiven its past. Pure: the caller brings the clock. */
#ifndef LS_MASTER_RESTART_H
#define LS_MASTER_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define LS_RESTART_CALM_MS 30000
#define LS_RESTART_CAP_MS 30000      /* it never got ready */
#define LS_RESTART_READY_CAP_MS 1000 /* it did */

struct ls_restart {
    int failures; /* in a row */
};

/* The child lived for lived_ms and failed: how long to wait before the next start. */
int64_t ls_restart_delay_ms(struct ls_restart *restart, bool was_ready, int64_t lived_ms);

#endif
