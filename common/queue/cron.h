/* Periodic work on Redis' clock: exactly one caller gets each tick.
 *
 *   begin answers FIRE tick   push the job with the id "<schedule>-<tick>", then done. A caller that
 *                             dies between the two loses its hold after hold_ms, and another one
 *                             fires the same tick with the same id
 *   begin answers WAIT ms     nothing to do before
 * Of ticks that passed unseen only the newest is made up for. */
#ifndef LS_QUEUE_CRON_H
#define LS_QUEUE_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/reply.h"

#define LS_CRON_HOLD_MS 10000

/* every_ms: the tick is Redis' time divided by it. A schedule seen for the first time fires at
 * once. owner: who asks (a worker id, ls_worker_id). */
void ls_cron_begin_build(struct ls_cmd *cmd, const char *schedule, int64_t every_ms,
                         const char *owner, int64_t hold_ms);
void ls_cron_done_build(struct ls_cmd *cmd, const char *schedule, int64_t every_ms,
                        const char *owner, int64_t tick);

struct ls_cron_tick {
    bool fire;
    int64_t tick;
    int64_t wait_ms; /* when not fire: ask again then (another one holds the tick, or it is not
                      * time) */
    int64_t ms;
};
/* For begin. done answers {OK} or {LATE}: parse with ls_cron_done_parse, both are fine. */
int ls_cron_begin_parse(const struct ls_reply *reply, struct ls_cron_tick *tick,
                        struct ls_err *err);
int ls_cron_done_parse(const struct ls_reply *reply, struct ls_err *err);

#endif
