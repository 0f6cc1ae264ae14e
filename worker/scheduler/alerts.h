/* The alert ticker: reads the windows that the queues keep in Redis, decides (common/alert), and
 * sees that every notice arrives.
 *
 * Only the leader of the fleet ticks. States and unsent notices live in Redis and are written
 * together (MULTI), so a notice is neither lost nor raised anew when the leader changes; a notice
 * may arrive twice (same "id"), never not at all. Nothing here is on the path of a job. */
#ifndef LS_SCHEDULER_ALERTS_H
#define LS_SCHEDULER_ALERTS_H

#include <uv.h>

struct ls_config;
struct ls_http;
struct ls_redis;
struct ls_alerts;
struct ls_err;

/* Borrows everything. NULL with err for a bad queue name. */
struct ls_alerts *ls_alerts_new(uv_loop_t *loop, struct ls_redis *redis, struct ls_http *http,
                                const struct ls_config *config, struct ls_err *err);
/* This process leads from now on (the connection is up): load the states, tick. No-op when it leads
 * already. */
void ls_alerts_lead(struct ls_alerts *alerts);
/* It leads no more, or the connection is gone: forget everything that Redis has. */
void ls_alerts_rest(struct ls_alerts *alerts);
/* The connection must be closed before. */
void ls_alerts_free(struct ls_alerts *alerts);

#endif
