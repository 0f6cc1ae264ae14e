/* Periodic jobs of the fleet: each tick of each schedule is pushed by exactly one scheduler,
 * whichever asks first (cron_fire). A job of a tick that is still waiting when the next one comes
 * is replaced by it: delta jobs are keyed, so they never pile up. */
#ifndef LS_SCHEDULER_CRON_H
#define LS_SCHEDULER_CRON_H

#include <uv.h>

struct ls_config;
struct ls_redis;
struct ls_cron;
struct ls_err;

/* Schedules from the configuration: of each sync `every` (delta) and `scan`, and the daily clean-up
 * of the store. Borrows everything. NULL with err for a bad queue name. */
struct ls_cron *ls_cron_new(uv_loop_t *loop, struct ls_redis *redis, const struct ls_config *config,
                            struct ls_err *err);
/* The connection is up; owner is this process' identity. */
void ls_cron_up(struct ls_cron *cron, const char *owner);
void ls_cron_down(struct ls_cron *cron);
/* No tick is fired any more; one under way is held by Redis for the next scheduler. The connection
 * must be closed before. */
void ls_cron_free(struct ls_cron *cron);

#endif
