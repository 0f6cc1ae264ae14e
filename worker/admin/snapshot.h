/* How things stand, copied out of Redis' answers: what /metrics, /healthz, /readyz and the API
 * show. */
#ifndef LS_ADMIN_SNAPSHOT_H
#define LS_ADMIN_SNAPSHOT_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/queue/stat.h"

struct ls_counter {
    char *name;
    int64_t value;
};

struct ls_queue_view {
    const char *name;            /* borrowed */
    bool known;                  /* there was an answer since the connection is up */
    struct ls_queue_stat stat;   /* its spans and replies are cleared */
    struct ls_counter *counters; /* owned */
    size_t counter_count;
    size_t own_runners; /* of this pool, with a running lease */
};

struct ls_snapshot {
    bool redis_up;
    int64_t taken_ms;             /* monotonic; 0: never */
    int64_t runner_seen_ms;       /* monotonic: a runner of this pool last had a running lease */
    struct ls_queue_view *queues; /* owned */
    size_t queue_count;
    size_t alerts_firing;
};

void ls_snapshot_fini(struct ls_snapshot *snapshot);
/* Fill a view from an answer. */
void ls_queue_view_set(struct ls_queue_view *view, const struct ls_queue_stat *stat);
/* All of /metrics. */
void ls_snapshot_metrics(const struct ls_snapshot *snapshot, struct ls_buf *out);
/* {"queues":[...]} */
void ls_snapshot_json(const struct ls_snapshot *snapshot, struct ls_buf *out);

#endif
