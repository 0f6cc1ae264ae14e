/* POST /v1/jobs: jobs in over HTTP, and the wait for their end. A request waits on a timer and short
 * questions, so that the loop goes on for everybody else. */
#ifndef LS_ADMIN_JOBS_H
#define LS_ADMIN_JOBS_H

#include <uv.h>

#include "common/config/config.h"
#include "common/redis/conn.h"
#include "common/redis/keys.h"
#include "worker/admin/server.h"

#define LS_JOBS_WAIT_MAX_MS 60000 /* most proxies give up then, too */

struct ls_jobs;

/* Everything is borrowed and outlives it; keys: one a queue of the configuration. */
struct ls_jobs *ls_jobs_new(uv_loop_t *loop, struct ls_redis *redis, const struct ls_config *config,
                            const struct ls_keys *keys);
/* Answers the request, now or later. */
void ls_jobs_post(struct ls_jobs *jobs, struct ls_request *request);
/* Answers those that are left (503). Before the connection and the server are closed. */
void ls_jobs_close(struct ls_jobs **jobs);

#endif
