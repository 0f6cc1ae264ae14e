/* Jobs by the clock: each tick of each schedule (common/schedule) is pushed by exactly one scheduler
 * of the fleet, whichever asks first (cron_fire). Redis' clock decides; between two of its answers
 * only the monotonic clock counts. At rest a schedule asks at its ticks, and at least once an hour.
 *
 * A push that is refused (the queue is full or closed) is tried again with growing pauses, by any
 * scheduler, until it succeeds: a tick that was begun is not lost. */
#ifndef LS_SCHEDULER_CRON_H
#define LS_SCHEDULER_CRON_H

#include <uv.h>

struct ls_config;
struct ls_redis;
struct ls_cron;
struct ls_err;

/* Borrows everything. NULL with err: a time zone that the tz database no longer has. */
struct ls_cron *ls_cron_new(uv_loop_t *loop, struct ls_redis *redis, const struct ls_config *config,
                            struct ls_err *err);
/* The connection is up. */
void ls_cron_up(struct ls_cron *cron);
void ls_cron_down(struct ls_cron *cron);
/* No tick is fired any more; one under way is held by Redis for the next scheduler. The connection
 * must be closed before. */
void ls_cron_free(struct ls_cron *cron);

#endif
