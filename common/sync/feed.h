/* A feed: what the platform lists, handed over to the marks page by page. Nothing listed is ever applied: each row is compared with
 * the base and, where it differs, its record is marked for a reconcile.
 *
 *   changes  what was modified since the cursor (delta). The upper bound is the platform's clock, fixed before the first page; the lower
 *            one reaches back over what the platform may show late, once a day a whole day. Both ends are inclusive.
 *   blind    all records by id, but only the fields whose change does not move the modification time (WooCommerce: stock)
 *   all      all records by id, linking those that are equal on both sides (backfill)
 *
 * The cursor moves only after a page's marks are durable, and holds the window and the place in it: killed at any point, the next run
 * goes on in the same window and loses nothing; at worst a page is handed over twice, which is harmless. */
#ifndef LS_SYNC_FEED_H
#define LS_SYNC_FEED_H

#include "common/sync/engine.h"
#include "common/sync/purse.h"

enum ls_feed_kind { LS_FEED_CHANGES, LS_FEED_BLIND, LS_FEED_ALL };

struct ls_feed_progress {
    int64_t looked, total; /* total: as the platform counts; -1 unknown */
    int64_t marked, linked, unchanged;
    int64_t pages, requests; /* of this run alone, not of one that it goes on for */
    int64_t
        started_remote_ms; /* the platform's clock before the first page of this window; 0 unknown */
    int64_t elapsed_ms;
    bool resumed; /* went on where an earlier run ended */
};

struct ls_feed;
/* After each page, once it is durable. */
typedef void ls_feed_page_cb(void *arg, const struct ls_feed_progress *progress);
typedef void ls_feed_done_cb(void *arg, const struct ls_feed_progress *progress,
                             const struct ls_err *err);

struct ls_feed_request {
    struct ls_sync *sync;
    enum ls_feed_kind kind;
    size_t page;                /* rows a page; 0: the sync's batch */
    ls_feed_page_cb *page_done; /* may be NULL */
    const struct ls_grants
        *grants; /* what its requests are drawn from; copied; NULL: nobody counts */
};
struct ls_feed *ls_feed_begin(const struct ls_feed_request *request, ls_feed_done_cb *done,
                              void *arg);
void ls_feed_cancel(struct ls_feed **feed);

#endif
