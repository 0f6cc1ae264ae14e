#include "worker/master/restart.h"

#define FIRST_MS \
    50 /* one crash must not cost anybody time; also what keeps a loop of instant crashes from \
          spinning */

int64_t ls_restart_delay_ms(struct ls_restart *restart, bool was_ready, int64_t lived_ms)
{
    int64_t cap = was_ready ? LS_RESTART_READY_CAP_MS : LS_RESTART_CAP_MS;
    int64_t delay = FIRST_MS;

    if (lived_ms >= LS_RESTART_CALM_MS)
        restart->failures = 0;
    for (int i = 0; i < restart->failures && delay < cap; i++)
        delay *= 2;
    restart->failures++;
    return delay < cap ? delay : cap;
}
