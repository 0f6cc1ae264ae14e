/* Listing: the crawl that loses no row, and the two lists made of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/platform/wordpress/object.h"
#include "common/platform/wordpress/woocommerce_internal.h"

#define MAX_STEPS_BACK 24

/* What is listed, and how far it has come: all that a cursor holds. */
struct place {
    bool trash; /* second part of a list by modification: what was thrown away */
    int64_t offset, last_id;
    int64_t from_s, to_s; /* whole seconds, inclusive; 0: no bound */
};

struct list_call {
    struct woo_call call;
    enum ls_list_order order;
    uint64_t fields;
    size_t limit;
    struct place place;
    struct woo_crawl crawl;
};

static int read_cursor(const char *cursor, struct place *place);
static void enter_part(struct list_call *list, bool trash);
static void ask(struct list_call *list);
static void add_bounds(struct ls_query *query, const struct place *place);
static void on_rows(struct woo_call *call, const json_t *root,
                    const struct ls_http_response *response, const struct ls_err *err);
static void go_on(struct list_call *list, enum woo_crawl_state state);

struct ls_remote_call *woo_list(struct ls_connector *connector, const struct ls_list_query *query)
{
    struct list_call *list = woo_call_begin(connector, query->mapping, sizeof *list);
    struct ls_err err = LS_ERR_INIT;

    list->order = query->order;
    list->fields = query->fields;
    list->limit = query->limit && query->limit < WOO_PAGE_MAX ? query->limit : WOO_PAGE_MAX;
    if (query->order == LS_LIST_BY_MODIFIED) {
        list->place.from_s = query->modified_from_ms / 1000;
        list->place.to_s = query->modified_to_ms / 1000;
    }
    if (query->cursor && read_cursor(query->cursor, &list->place) < 0) {
        ls_fail(&err, LS_E_CORRUPT,
                "woocommerce '%s' cannot go on listing: cursor '%.60s' is not one of ours",
                connector->account, query->cursor);
        ls_remote_call_later(&list->call.base, &err);
        return &list->call.base;
    }
    list->crawl = (struct woo_crawl){.offset = list->place.offset, .last_id = list->place.last_id};
    ask(list);
    return &list->call.base;
}

/* "w1 any 100 4711 1700000000 1700003600" */
static int read_cursor(const char *cursor, struct place *place)
{
    char part[8];
    int used = 0;

    if (sscanf(cursor, "w1 %7s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 "%n", part,
               &place->offset, &place->last_id, &place->from_s, &place->to_s, &used) != 5 ||
        cursor[used] || place->offset < 0 || place->last_id < 0)
        return -1;
    place->trash = !strcmp(part, "trash");
    return place->trash || !strcmp(part, "any") ? 0 : -1;
}

static char *write_cursor(const struct place *place)
{
    return ls_xasprintf("w1 %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
                        place->trash ? "trash" : "any", place->offset, place->last_id,
                        place->from_s, place->to_s);
}

static void enter_part(struct list_call *list, bool trash)
{
    list->place.trash = trash;
    list->place.offset = list->place.last_id = 0;
    list->crawl = (struct woo_crawl){0};
}

static void ask(struct list_call *list)
{
    struct woo_request request = {.method = "GET",
                                  .path = ls_xstrdup("/products"),
                                  .what = ls_xstrdup("cannot list products")};
    size_t room = list->limit - list->call.base.page.count;

    list->crawl.per_page = room + (list->crawl.last_id > 0); /* one row is known already */
    if (list->crawl.per_page > WOO_PAGE_MAX)
        list->crawl.per_page = WOO_PAGE_MAX;
    ls_query_add(&request.query, "status", list->place.trash ? "trash" : "any");
    woo_crawl_query(&list->crawl, &request.query);
    add_bounds(&request.query, &list->place);
    woo_add_fields(&request.query, list->call.mapping, list->fields, false);
    woo_send(&list->call, request, on_rows);
}

/* The filter is strict and knows whole seconds, so inclusive bounds are one second wider. With
 * dates_are_gmt a stamp must carry no zone: a Z would be converted to the shop's time first and
 * then compared with UTC. */
static void add_bounds(struct ls_query *query, const struct place *place)
{
    char stamp[WOO_STAMP_SIZE];

    if (place->from_s > 0)
        ls_query_add(query, "modified_after", woo_stamp(stamp, place->from_s - 1));
    if (place->to_s > 0)
        ls_query_add(query, "modified_before", woo_stamp(stamp, place->to_s + 1));
    if (place->from_s > 0 || place->to_s > 0)
        ls_query_add(query, "dates_are_gmt", "true");
}

static void on_rows(struct woo_call *call, const json_t *root,
                    const struct ls_http_response *response, const struct ls_err *err)
{
    struct list_call *list = (struct list_call *)call;
    struct ls_err problem = LS_ERR_INIT, odd = LS_ERR_INIT;
    enum woo_crawl_state state;
    int64_t total;
    size_t first = 0;

    if (err) {
        woo_end(call, err);
        return;
    }
    total = woo_total(response);
    state = woo_crawl_take(&list->crawl, root, total, &first, &problem);
    if (state == WOO_CRAWL_BAD) {
        woo_fail(call, &odd, problem.code, "%s", problem.text);
        woo_end(call, &odd);
        return;
    }
    if (!list->place.trash)
        call->base.page.total = total;
    for (size_t i = first; state != WOO_CRAWL_LOST && i < json_array_size(root); i++) {
        if (!woo_take(call, json_array_get(root, i), list->fields))
            return;
        call->base.page.items[call->base.page.count - 1].trashed |= list->place.trash;
    }
    go_on(list, state);
}

static void go_on(struct list_call *list, enum woo_crawl_state state)
{
    struct ls_remote_page *page = &list->call.base.page;

    list->place.offset = list->crawl.offset;
    list->place.last_id = list->crawl.last_id;
    if (state == WOO_CRAWL_END) {
        if (list->place.trash || list->order != LS_LIST_BY_MODIFIED) {
            woo_end(&list->call, NULL);
            return;
        }
        enter_part(list, true);
        if (page->count < list->limit) {
            ask(list);
            return;
        }
    } else if (state == WOO_CRAWL_LOST || !page->count) {
        ask(list);
        return;
    }
    page->next = write_cursor(&list->place);
    woo_end(&list->call, NULL);
}

/* ---- the crawl ------------------------------------------------------------------------------- */

void woo_crawl_query(const struct woo_crawl *crawl, struct ls_query *query)
{
    ls_query_add(query, "orderby", "id");
    ls_query_add(query, "order", "asc");
    ls_query_addf(query, "per_page", "%zu", crawl->per_page);
    if (crawl->offset)
        ls_query_addf(query, "offset", "%lld", (long long)crawl->offset);
}

enum woo_crawl_state woo_crawl_take(struct woo_crawl *crawl, const json_t *rows, int64_t total,
                                    size_t *first, struct ls_err *err)
{
    size_t count = json_array_size(rows);
    json_int_t before = 0;
    int64_t end = crawl->offset + (int64_t)crawl->per_page;

    if (!json_is_array(rows)) {
        ls_fail(err, LS_E_TRANSIENT, "the answer is not a list");
        return WOO_CRAWL_BAD;
    }
    for (size_t i = 0; i < count; i++) {
        json_int_t id = ls_wp_object_id(json_array_get(rows, i));
        if (id <= before || count > crawl->per_page) {
            ls_fail(err, LS_E_TRANSIENT, "the rows are not in the order of their ids, or too many");
            return WOO_CRAWL_BAD;
        }
        before = id;
    }
    if (crawl->offset > 0 &&
        (!count || ls_wp_object_id(json_array_get(rows, 0)) > crawl->last_id)) {
        if (++crawl->tries > MAX_STEPS_BACK) {
            ls_fail(err, LS_E_TRANSIENT, "rows vanish faster than they can be listed");
            return WOO_CRAWL_BAD;
        }
        crawl->step = crawl->step ? crawl->step * 2 : 1;
        crawl->offset = crawl->offset > crawl->step ? crawl->offset - crawl->step : 0;
        return WOO_CRAWL_LOST;
    }
    for (*first = 0;
         *first < count && ls_wp_object_id(json_array_get(rows, *first)) <= crawl->last_id;)
        ++*first;
    crawl->tries = 0;
    crawl->step = 0;
    if (before > crawl->last_id)
        crawl->last_id = before;
    crawl->offset = end - 1; /* the next page begins with the last row of this one */
    /* Rows the key may not see are left out of a page, so a short page is its end only where no
     * total is told. */
    return (total >= 0 ? end >= total : count < crawl->per_page) ? WOO_CRAWL_END : WOO_CRAWL_MORE;
}

int64_t woo_total(const struct ls_http_response *response)
{
    const char *text = ls_http_header_get(response, "x-wp-total");
    char *end;
    long long total = text ? strtoll(text, &end, 10) : -1;

    return text && end != text && !*end && total >= 0 ? total : -1;
}
