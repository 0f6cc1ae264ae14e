/* What the alerts of a queue look at, in one call (lua/queue_watch.lua): counters in total and in the
 * window, how many dead letters there are, and their groups. */
#ifndef LS_QUEUE_WATCH_H
#define LS_QUEUE_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

#define LS_QUEUE_WATCH_COUNTERS 16 /* at most */

struct ls_queue_watch {
    int64_t ms; /* Redis' time */
    int64_t dead;
    int64_t totals[LS_QUEUE_WATCH_COUNTERS], window[LS_QUEUE_WATCH_COUNTERS]; /* as asked for */
    const struct ls_reply
        *groups;        /* group, row, ...: ls_dead_group_parse; borrowed from the reply */
    size_t group_count; /* of pairs */
};

/* The window reaches back to the beginning of a minute; the ring holds three hours. */
void ls_queue_watch_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t window_ms,
                          const char *const *counters, size_t count);
int ls_queue_watch_parse(const struct ls_reply *reply, struct ls_queue_watch *watch,
                         struct ls_err *err);

#endif
