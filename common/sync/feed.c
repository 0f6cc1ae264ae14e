#include "common/sync/feed.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/sync/engine_internal.h"

#define OVERLAP_MS (2 * 60 * 1000) /* at least: clocks of one platform's machines differ too */
#define DAY_MS (24 * 60 * 60 * 1000)

/* What a cursor holds: how far all was handed over, and the window under way. */
struct place {
    int64_t to;   /* changes: everything modified up to here was handed over */
    int64_t wide; /* changes: when a window last reached back a day */
    bool open;    /* a window is under way: */
    int64_t from, until, started, looked, marked, linked;
    char *next; /* its next page; NULL: the first */
};

struct ls_feed {
    struct ls_operation operation; /* first */
    struct ls_sync *sync;
    struct ls_store *store;
    enum ls_feed_kind kind;
    const char *partition;
    uint64_t fields; /* asked for; 0: all */
    size_t page_size;
    struct place place;
    bool restarted; /* the platform refused the stored place once */
    bool last_page;
    int64_t began_us;
    struct ls_feed_progress progress;
    struct ls_purse purse;
    struct ls_remote_call *call;
    bool in_store;
    ls_feed_page_cb *page_done;
    ls_feed_done_cb *done; /* NULL: cancelled */
    void *arg;
};

static void on_cursor(void *arg, const char *value, const struct ls_err *err);
static void go_on(void *arg);
static void on_probed(void *arg, const struct ls_remote_page *page, const struct ls_err *err);
static void open_window(struct ls_feed *feed, int64_t remote_ms);
static void list(struct ls_feed *feed);
static void on_listed(void *arg, const struct ls_remote_page *page, const struct ls_err *err);
static void on_marked(void *arg, const struct ls_seen_result *result, const struct ls_err *err);
static void on_saved(void *arg, const struct ls_err *err);
static void count_call(struct ls_feed *feed);
static void finish(struct ls_feed *feed, const struct ls_err *err);
static uint64_t blind_fields(const struct ls_sync *sync);
static void read_place(struct place *place, const char *text);
static char *write_place(const struct place *place);
static void cancel_operation(struct ls_operation *operation);
static bool is_wanted(struct ls_feed *feed);
static void free_feed(struct ls_feed *feed);

struct ls_feed *ls_feed_begin(const struct ls_feed_request *request, ls_feed_done_cb *done,
                              void *arg)
{
    static const char *const partitions[] = {
        [LS_FEED_CHANGES] = "delta", [LS_FEED_BLIND] = "scan", [LS_FEED_ALL] = "backfill"};
    struct ls_feed *feed = LS_NEW(struct ls_feed);
    size_t batch = (size_t)request->sync->config->batch;

    ls_operation_begin(request->sync->engine, &feed->operation, cancel_operation);
    feed->sync = request->sync;
    feed->store = ls_engine_store(request->sync->engine);
    feed->kind = request->kind;
    feed->partition = partitions[request->kind];
    feed->page_size = request->page ? request->page : batch;
    if (feed->page_size > feed->sync->can->page_max || feed->page_size == 0)
        feed->page_size = feed->sync->can->page_max;
    feed->fields = request->kind == LS_FEED_BLIND ? blind_fields(request->sync) : 0;
    feed->began_us = ls_clock_mono_us();
    feed->progress.total = -1;
    ls_purse_open(&feed->purse, request->grants);
    feed->page_done = request->page_done;
    feed->done = done;
    feed->arg = arg;
    feed->in_store = true;
    ls_store_cursor_get(feed->store, feed->sync->mapping, feed->partition, on_cursor, feed);
    return feed;
}

void ls_feed_cancel(struct ls_feed **feed)
{
    struct ls_feed *cancelled = *feed;

    if (!cancelled)
        return;
    *feed = NULL;
    ls_operation_end(&cancelled->operation);
    cancel_operation(&cancelled->operation);
}

static void cancel_operation(struct ls_operation *operation)
{
    struct ls_feed *feed = (struct ls_feed *)operation;

    feed->done = NULL;
    count_call(feed);
    ls_remote_cancel(&feed->call);
    ls_purse_close(&feed->purse);
    if (!feed->in_store)
        free_feed(feed);
}

static bool is_wanted(struct ls_feed *feed)
{
    feed->in_store = false;
    if (feed->done)
        return true;
    free_feed(feed);
    return false;
}

/* ---- the window ---- */

static void on_cursor(void *arg, const char *value, const struct ls_err *err)
{
    struct ls_feed *feed = arg;

    if (!is_wanted(feed))
        return;
    if (err) {
        finish(feed, err);
        return;
    }
    if (feed->kind == LS_FEED_BLIND && !feed->fields) {
        finish(feed, NULL); /* the mapping has nothing that deltas cannot see */
        return;
    }
    read_place(&feed->place, value);
    if (feed->place.open) {
        feed->progress.resumed = true;
        feed->progress.looked = feed->place.looked;
        feed->progress.marked = feed->place.marked;
        feed->progress.linked = feed->place.linked;
        feed->progress.started_remote_ms = feed->place.started;
    }
    go_on(feed);
}

/* As many requests as there are pages left, by what the platform says, else by how many there were. */
static int64_t requests_ahead(const struct ls_feed *feed)
{
    const struct ls_feed_progress *progress = &feed->progress;
    int64_t left = progress->total - progress->looked, page = (int64_t)feed->page_size;

    if (!feed->place.open)
        return 2; /* the probe and a page */
    return progress->total < 0 ? progress->pages : (left + page - 1) / page;
}

/* The next request, as soon as it may be made. */
static void go_on(void *arg)
{
    struct ls_feed *feed = arg;

    if (!ls_purse_ask(&feed->purse, requests_ahead(feed), go_on, feed))
        return;
    if (feed->place.open)
        list(feed);
    else
        feed->call =
            ls_connector_probe(feed->sync->connector, feed->sync->mapping, on_probed, feed);
}

static void on_probed(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct ls_feed *feed = arg;

    count_call(feed);
    feed->call = NULL;
    if (err) {
        finish(feed, err);
        return;
    }
    open_window(feed, page->remote_ms);
    go_on(feed);
}

/* The bound is the platform's own clock before the read: what changes during the read lies above it
 * and belongs to the next window. Without a clock there is no bound, and the next window begins
 * where ours says this one began, less an hour of doubt. */
static void open_window(struct ls_feed *feed, int64_t remote_ms)
{
    struct place *place = &feed->place;
    int64_t overlap = feed->sync->can->delta_overlap_ms;

    if (overlap < OVERLAP_MS)
        overlap = OVERLAP_MS;
    place->open = true;
    place->started = feed->progress.started_remote_ms = remote_ms;
    place->looked = place->marked = place->linked = 0;
    free(place->next);
    place->next = NULL;
    place->from = place->until = 0;
    if (feed->kind != LS_FEED_CHANGES)
        return;
    place->until = remote_ms > 0 ? remote_ms : 0;
    if (place->to <= 0 || !feed->sync->can->delta)
        return; /* never read before, or the platform lists no changes: everything */
    if (place->until - place->wide >= DAY_MS) {
        overlap = overlap > DAY_MS ? overlap : DAY_MS;
        place->wide = place->until;
    }
    place->from = place->to - overlap;
}

static void list(struct ls_feed *feed)
{
    bool changes = feed->kind == LS_FEED_CHANGES && feed->sync->can->delta;
    struct ls_list_query query = {
        .mapping = feed->sync->mapping,
        .order = changes ? LS_LIST_BY_MODIFIED : LS_LIST_BY_ID,
        .modified_from_ms = changes ? feed->place.from : 0,
        .modified_to_ms = changes ? feed->place.until : 0,
        .fields = feed->fields,
        .limit = feed->page_size,
        .cursor = feed->place.next,
    };

    feed->call = ls_connector_list(feed->sync->connector, &query, on_listed, feed);
}

/* ---- a page ---- */

static void on_listed(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct ls_feed *feed = arg;
    struct ls_seen *seen;

    count_call(feed);
    feed->call = NULL;
    if (err && err->code == LS_E_CORRUPT && feed->place.next && !feed->restarted) {
        feed->restarted =
            true; /* a place that an older program stored: the window again from its start */
        free(feed->place.next);
        feed->place.next = NULL;
        feed->place.looked = feed->progress.looked = 0;
        go_on(feed);
        return;
    }
    if (err) {
        finish(feed, err);
        return;
    }
    free(feed->place.next);
    feed->place.next = ls_xstrdup(page->next);
    feed->last_page = !page->next;
    if (page->total >= 0)
        feed->progress.total = page->total;
    feed->progress.looked += (int64_t)page->count;
    feed->progress.pages++;
    seen = ls_xcalloc(page->count + 1, sizeof *seen);
    for (size_t i = 0; i < page->count; i++) {
        const struct ls_remote *item = &page->items[i];
        bool odd = item->trashed || item->error.code != LS_E_NONE; /* only a reconcile can tell */
        seen[i] = (struct ls_seen){.remote_id = item->id,
                                   .version = item->version,
                                   .match = item->match,
                                   .record = odd ? NULL : &item->record};
    }
    feed->in_store = true;
    ls_store_mark_remote(feed->store, feed->sync->mapping, seen, page->count,
                         feed->kind != LS_FEED_BLIND, 0, on_marked, feed);
    free(seen);
}

static void on_marked(void *arg, const struct ls_seen_result *result, const struct ls_err *err)
{
    struct ls_feed *feed = arg;
    struct place *place = &feed->place;
    char *text;

    if (!is_wanted(feed))
        return;
    if (err) {
        finish(feed, err);
        return;
    }
    feed->progress.marked += (int64_t)result->marked;
    feed->progress.linked += (int64_t)result->linked;
    feed->progress.unchanged += (int64_t)result->unchanged;
    place->looked = feed->progress.looked;
    place->marked = feed->progress.marked;
    place->linked = feed->progress.linked;
    if (feed->last_page) {
        place->open = false;
        place->to = place->until ? place->until : ls_clock_wall_ms() - 60 * 60 * 1000;
    }
    text = write_place(place);
    feed->in_store = true;
    ls_store_cursor_set(feed->store, feed->sync->mapping, feed->partition, text, on_saved, feed);
    free(text);
}

static void on_saved(void *arg, const struct ls_err *err)
{
    struct ls_feed *feed = arg;

    if (!is_wanted(feed))
        return;
    if (err) {
        finish(feed, err);
        return;
    }
    feed->progress.elapsed_ms = (ls_clock_mono_us() - feed->began_us) / 1000;
    if (feed->page_done)
        feed->page_done(feed->arg, &feed->progress);
    if (feed->last_page)
        finish(feed, NULL);
    else
        go_on(feed);
}

/* What the call that is out has sent, before its pointer is cleared. */
static void count_call(struct ls_feed *feed)
{
    feed->purse.made += ls_remote_requests(feed->call);
    feed->progress.requests = feed->purse.made;
}

static void finish(struct ls_feed *feed, const struct ls_err *err)
{
    ls_feed_done_cb *done = feed->done;
    void *arg = feed->arg;
    struct ls_feed_progress progress = feed->progress;
    struct ls_err copy = err ? *err : (struct ls_err)LS_ERR_INIT;

    progress.elapsed_ms = (ls_clock_mono_us() - feed->began_us) / 1000;
    ls_operation_end(&feed->operation);
    ls_purse_close(&feed->purse);
    free_feed(feed);
    done(arg, &progress, err ? &copy : NULL);
}

/* ---- small things ---- */

static uint64_t blind_fields(const struct ls_sync *sync)
{
    uint64_t fields = 0;

    for (size_t i = 0; sync->can->blind && sync->can->blind[i]; i++) {
        int field = ls_mapping_by_remote(sync->mapping, sync->can->blind[i]);
        if (field >= 0)
            fields |= (uint64_t)1 << field;
    }
    return fields;
}

/* An unreadable place counts as none: everything is read again. */
static void read_place(struct place *place, const char *text)
{
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    const char *next = NULL;
    json_int_t to = 0, wide = 0, from = 0, until = 0, started = 0, looked = 0, marked = 0,
               linked = 0;
    int open = 0;

    *place = (struct place){0};
    if (object &&
        json_unpack(object, "{s?I,s?I,s?b,s?I,s?I,s?I,s?I,s?I,s?I,s?s}", "to", &to, "wide", &wide,
                    "open", &open, "from", &from, "until", &until, "started", &started, "looked",
                    &looked, "marked", &marked, "linked", &linked, "next", &next) == 0)
        *place = (struct place){.to = to,
                                .wide = wide,
                                .open = open,
                                .from = from,
                                .until = until,
                                .started = started,
                                .looked = looked,
                                .marked = marked,
                                .linked = linked,
                                .next = ls_xstrdup(next)};
    json_decref(object);
}

static char *write_place(const struct place *place)
{
    struct ls_buf buf = {0};

    ls_buf_printf(&buf, "{\"to\":%" PRId64 ",\"wide\":%" PRId64, place->to, place->wide);
    if (place->open) {
        ls_buf_printf(
            &buf,
            ",\"open\":true,\"from\":%" PRId64 ",\"until\":%" PRId64 ",\"started\":%" PRId64
            ",\"looked\":%" PRId64 ",\"marked\":%" PRId64 ",\"linked\":%" PRId64,
            place->from, place->until, place->started, place->looked, place->marked, place->linked);
        if (place->next) {
            ls_buf_puts(&buf, ",\"next\":");
            ls_buf_json_string(&buf, place->next, strlen(place->next));
        }
    }
    ls_buf_putc(&buf, '}');
    return ls_buf_take(&buf);
}

static void free_feed(struct ls_feed *feed)
{
    free(feed->place.next);
    free(feed);
}
