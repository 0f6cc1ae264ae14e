/* When a child that ended is started again: at once the first time, then ever later, so that a
 * crash loop costs little and its log stays readable. A child that lived for LS_RESTART_CALM_MS has
 * forgiven its past. Pure: the caller brings the clock. */
#ifndef LS_MASTER_RESTART_H
#define LS_MASTER_RESTART_H

#include <stdint.h>

#define LS_RESTART_CALM_MS 30000
#define LS_RESTART_CAP_MS 30000

struct ls_restart {
    int failures; /* in a row */
};

/* The child lived for lived_ms and failed: how long to wait before the next start. */
int64_t ls_restart_delay_ms(struct ls_restart *restart, int64_t lived_ms);

#endif
