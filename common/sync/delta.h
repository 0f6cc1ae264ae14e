/* A delta run: one feed of changes, or the scan of what changes cannot show, from its cursor to the platform's present, with its line
 * in the log ("Batch sync completed: N records in Ts") and its row in the history. */
#ifndef LS_SYNC_DELTA_H
#define LS_SYNC_DELTA_H

#include "common/sync/feed.h"

struct ls_delta;
/* scan: the blind fields of all records instead of the changes. grants: what its requests are drawn from; NULL: nobody counts. */
struct ls_delta *ls_delta_begin(struct ls_sync *sync, bool scan, const struct ls_grants *grants,
                                ls_feed_done_cb *done, void *arg);
void ls_delta_cancel(struct ls_delta **delta);

#endif
