/* Backfill: the first listing of everything. Remote records page by page, linking those that are equal on both sides and marking the
 * rest; then every local row that is not linked is marked. In a sync that only observes nothing local is marked. What it has done
 * stands in the cursors "backfill" and "backfill-local", so an interrupted one goes on; when it is through, the delta begins at the
 * moment the listing began. Its progress is a row of the history that is renewed with each page. */
#ifndef LS_SYNC_BACKFILL_H
#define LS_SYNC_BACKFILL_H

#include "common/sync/feed.h"

struct ls_backfill;
/* grants: what its requests are drawn from; NULL: nobody counts. page_done may be NULL. */
struct ls_backfill *ls_backfill_begin(struct ls_sync *sync, const struct ls_grants *grants,
                                      ls_feed_page_cb *page_done, ls_feed_done_cb *done, void *arg);
void ls_backfill_cancel(struct ls_backfill **backfill);

#endif
