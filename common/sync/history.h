/* The rows of `lockstep sync history`. */
#ifndef LS_SYNC_HISTORY_H
#define LS_SYNC_HISTORY_H

#include "common/sync/feed.h"

/* One-line JSON: {"looked":…,"total":…,"marked":…,"linked":…,"unchanged":…,"requests":…,"ms":…} and, with err, "error". */
void ls_history_stats(struct ls_buf *out, const struct ls_feed_progress *progress,
                      const char *phase, const struct ls_err *err);
/* Write the row of an ended run (run_id 0: a new one); nobody waits for it. */
void ls_history_put(struct ls_sync *sync, int64_t run_id, const char *kind, const char *stats);
/* A run that ended: its row is written and nobody waits for it. */
void ls_history_note(struct ls_sync *sync, const char *kind,
                     const struct ls_feed_progress *progress, const struct ls_err *err);

#endif
