/* Reading objects by id, and looking for what an interrupted create may have left. */
#include <string.h>

#include "common/base/mem.h"
#include "common/platform/wordpress/object.h"
#include "common/platform/wordpress/woocommerce_internal.h"

/* The shop's clock and ours may differ, and a create takes its time. */
#define CREATED_SLACK_S 300

/* ---- get: in use, then in the trash, then one by one ---- */

enum get_state { GET_IN_USE, GET_IN_TRASH, GET_SINGLY };

struct get_call {
    struct woo_call call;
    enum get_state state;
    char **ids; /* owned; those still looked for come first */
    size_t count, missing;
};

static void free_get(struct woo_call *call);
static void ask_many(struct get_call *get, enum get_state state);
static void on_many(struct woo_call *call, const json_t *root,
                    const struct ls_http_response *response, const struct ls_err *err);
static void ask_single(struct get_call *get);
static void on_single(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err);
static bool cross_off(struct get_call *get, json_int_t id);

struct ls_remote_call *woo_get(struct ls_connector *connector, const struct ls_mapping *mapping,
                               const char *const *ids, size_t count)
{
    struct get_call *get = woo_call_begin(connector, mapping, sizeof *get);
    struct ls_err err = LS_ERR_INIT;

    get->call.fini = free_get;
    get->ids = ls_xcalloc(count ? count : 1, sizeof *get->ids);
    if (count > WOO_PAGE_MAX)
        ls_fail(&err, LS_E_USAGE, "woocommerce '%s' cannot read %zu products at once: at most %d",
                connector->account, count, WOO_PAGE_MAX);
    for (size_t i = 0; i < count && !err.code; i++) {
        bool twice = false;
        for (size_t j = 0; j < get->count; j++)
            twice = twice || !strcmp(get->ids[j], ids[i]);
        if (!woo_id_valid(ids[i])) { /* its own trouble, not that of the others */
            struct ls_remote *item = ls_remote_page_add(&get->call.base.page, mapping);
            item->id = ls_xstrdup(ids[i]);
            ls_fail(&item->error, LS_E_INVALID, "product id '%.40s' is not a number", ids[i]);
        } else if (!twice) {
            get->ids[get->count++] = ls_xstrdup(ids[i]);
        }
    }
    get->missing = get->count;
    if (err.code || !get->count)
        ls_remote_call_later(&get->call.base, err.code ? &err : NULL);
    else if (get->count == 1)
        ask_single(get); /* one request that also knows the trash */
    else
        ask_many(get, GET_IN_USE);
    return &get->call.base;
}

static void free_get(struct woo_call *call)
{
    struct get_call *get = (struct get_call *)call;

    for (size_t i = 0; i < get->count; i++)
        free(get->ids[i]);
    free(get->ids);
}

static void ask_many(struct get_call *get, enum get_state state)
{
    struct woo_request request = {.method = "GET",
                                  .path = ls_xstrdup("/products"),
                                  .what = ls_xstrdup("cannot read products")};
    struct ls_buf include = {0};

    get->state = state;
    for (size_t i = 0; i < get->missing; i++)
        ls_buf_printf(&include, "%s%s", i ? "," : "", get->ids[i]);
    ls_query_add(&request.query, "include", include.data);
    ls_query_add(&request.query, "status", state == GET_IN_USE ? "any" : "trash");
    ls_query_addf(&request.query, "per_page", "%d", WOO_PAGE_MAX);
    woo_add_fields(&request.query, get->call.mapping, 0, false);
    ls_buf_fini(&include);
    woo_send(&get->call, request, on_many);
}

static void on_many(struct woo_call *call, const json_t *root,
                    const struct ls_http_response *response, const struct ls_err *err)
{
    struct get_call *get = (struct get_call *)call;
    struct ls_err odd = LS_ERR_INIT;

    (void)response;
    if (!err && !json_is_array(root)) {
        woo_fail(call, &odd, LS_E_TRANSIENT, "the answer is not a list");
        err = &odd;
    }
    for (size_t i = 0; !err && i < json_array_size(root); i++) {
        const json_t *object = json_array_get(root, i);
        json_int_t id = ls_wp_object_id(object);
        if (!cross_off(
                get,
                id)) { /* then the filter was not applied, and what is missing proves nothing */
            woo_fail(call, &odd, LS_E_TRANSIENT,
                     "the answer holds product '%lld', which was not asked for", (long long)id);
            err = &odd;
        } else if (!woo_take(call, object, 0)) {
            return;
        } else {
            call->base.page.items[call->base.page.count - 1].trashed |= get->state == GET_IN_TRASH;
        }
    }
    if (err || !get->missing)
        woo_end(call, err);
    else if (get->state == GET_IN_USE)
        ask_many(get, GET_IN_TRASH);
    else
        ask_single(get);
}

static void ask_single(struct get_call *get)
{
    const char *id = get->ids[0];
    struct woo_request request = {
        .method = "GET",
        .path = ls_xasprintf("/products/%s", id),
        .what = ls_xasprintf("cannot read product '%s'", id),
    };

    get->state = GET_SINGLY;
    woo_add_fields(&request.query, get->call.mapping, 0, false);
    woo_send(&get->call, request, on_single);
}

/* Only the shop's own "invalid id" proves that an object is gone. */
static void on_single(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err)
{
    struct get_call *get = (struct get_call *)call;
    json_int_t asked = strtoll(get->ids[0], NULL, 10);
    struct ls_err odd = LS_ERR_INIT;

    (void)response;
    if (err && err->code != LS_E_NOT_FOUND) {
        woo_end(call, err);
        return;
    }
    if (!err) {
        if (ls_wp_object_id(root) != asked) {
            woo_fail(call, &odd, LS_E_TRANSIENT, "the answer is about '%lld'",
                     (long long)ls_wp_object_id(root));
            woo_end(call, &odd);
            return;
        }
        if (!woo_take(call, root, 0))
            return;
    }
    cross_off(get, asked);
    if (get->missing)
        ask_single(get);
    else
        woo_end(call, NULL);
}

/* Move the id behind those still missing. */
static bool cross_off(struct get_call *get, json_int_t id)
{
    for (size_t i = 0; i < get->missing; i++) {
        char *found = get->ids[i];
        if (strtoll(found, NULL, 10) != id)
            continue;
        get->ids[i] = get->ids[--get->missing];
        get->ids[get->missing] = found;
        return true;
    }
    return false;
}

/* ---- find: by match value, else by our marker ---- */

struct find_call {
    struct woo_call call;
    char *match, *marker; /* owned, NULL: not looked for */
    int64_t created_from_s;
    struct woo_crawl crawl;
};

static void free_find(struct woo_call *call);
static const char *match_filter(const struct ls_mapping *mapping);
static void ask_match(struct find_call *find, const char *filter);
static void on_match(struct woo_call *call, const json_t *root,
                     const struct ls_http_response *response, const struct ls_err *err);
static void ask_marked(struct find_call *find);
static void on_marked(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err);
static void drop_last_unless(struct woo_call *call, bool keep);

struct ls_remote_call *woo_find(struct ls_connector *connector, const struct ls_mapping *mapping,
                                const char *match, const char *marker, int64_t created_from_ms)
{
    struct find_call *find = woo_call_begin(connector, mapping, sizeof *find);
    const char *filter = match_filter(mapping);
    struct ls_err err = LS_ERR_INIT;

    find->call.fini = free_find;
    find->match = match && *match ? ls_xstrdup(match) : NULL;
    find->marker = marker && *marker ? ls_xstrdup(marker) : NULL;
    find->created_from_s = created_from_ms > 0 ? created_from_ms / 1000 - CREATED_SLACK_S : 0;
    if (find->match && filter) {
        ask_match(find, filter);
    } else if (find->match) {
        ls_fail(&err, LS_E_CONFIG, "woocommerce '%s' cannot look products up by '%s'",
                connector->account,
                mapping->match >= 0 ? mapping->fields[mapping->match].remote : "");
        ls_hint(&err, "match by the field whose remote is 'sku'");
        ls_remote_call_later(&find->call.base, &err);
    } else if (find->marker) {
        ask_marked(find);
    } else {
        ls_remote_call_later(&find->call.base, NULL);
    }
    return &find->call.base;
}

static void free_find(struct woo_call *call)
{
    struct find_call *find = (struct find_call *)call;

    free(find->match);
    free(find->marker);
}

/* The list filters that compare exactly. */
static const char *match_filter(const struct ls_mapping *mapping)
{
    const char *remote = mapping->match >= 0 ? mapping->fields[mapping->match].remote : "";

    return !strcmp(remote, "sku") || !strcmp(remote, "slug") ? remote : NULL;
}

static void ask_match(struct find_call *find, const char *filter)
{
    struct woo_request request = {
        .method = "GET",
        .path = ls_xstrdup("/products"),
        .what = ls_xasprintf("cannot look for %s '%.80s'", filter, find->match),
    };

    ls_query_add(&request.query, filter, find->match);
    ls_query_add(&request.query, "status", "any");
    ls_query_addf(&request.query, "per_page", "%d", WOO_PAGE_MAX);
    woo_add_fields(&request.query, find->call.mapping, 0, true);
    woo_send(&find->call, request, on_match);
}

static void on_match(struct woo_call *call, const json_t *root,
                     const struct ls_http_response *response, const struct ls_err *err)
{
    struct find_call *find = (struct find_call *)call;
    struct ls_err odd = LS_ERR_INIT;

    (void)response;
    if (!err && !json_is_array(root)) {
        woo_fail(call, &odd, LS_E_TRANSIENT, "the answer is not a list");
        err = &odd;
    }
    for (size_t i = 0; !err && i < json_array_size(root); i++) {
        const struct ls_remote *last;
        if (!woo_take(call, json_array_get(root, i), 0))
            return;
        last = &call->base.page.items[call->base.page.count - 1];
        /* The filter takes comma lists apart and compares without case. */
        drop_last_unless(call, last->match && !strcmp(last->match, find->match));
    }
    if (!err && !call->base.page.count && find->marker)
        ask_marked(find);
    else
        woo_end(call, err);
}

static void ask_marked(struct find_call *find)
{
    struct woo_request request = {.method = "GET",
                                  .path = ls_xstrdup("/products"),
                                  .what = ls_xstrdup("cannot look for a product of ours")};
    char stamp[WOO_STAMP_SIZE];

    find->crawl.per_page = WOO_PAGE_MAX;
    ls_query_add(&request.query, "status", "any");
    woo_crawl_query(&find->crawl, &request.query);
    if (find->created_from_s > 0) {
        ls_query_add(&request.query, "after", woo_stamp(stamp, find->created_from_s - 1));
        ls_query_add(&request.query, "dates_are_gmt", "true");
    }
    woo_add_fields(&request.query, find->call.mapping, 0, true);
    woo_send(&find->call, request, on_marked);
}

static void on_marked(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err)
{
    struct find_call *find = (struct find_call *)call;
    struct ls_err problem = LS_ERR_INIT, odd = LS_ERR_INIT;
    enum woo_crawl_state state = WOO_CRAWL_BAD;
    size_t first = 0;

    if (!err) {
        state = woo_crawl_take(&find->crawl, root, woo_total(response), &first, &problem);
        if (state == WOO_CRAWL_BAD) {
            woo_fail(call, &odd, problem.code, "%s", problem.text);
            err = &odd;
        }
    }
    if (err) {
        woo_end(call, err);
        return;
    }
    for (size_t i = first; state != WOO_CRAWL_LOST && i < json_array_size(root); i++) {
        const struct ls_remote *last;
        if (!woo_take(call, json_array_get(root, i), 0))
            return;
        last = &call->base.page.items[call->base.page.count - 1];
        drop_last_unless(call, last->marker && !strcmp(last->marker, find->marker));
    }
    if (state == WOO_CRAWL_END)
        woo_end(call, NULL);
    else
        ask_marked(find);
}

static void drop_last_unless(struct woo_call *call, bool keep)
{
    if (!keep)
        ls_remote_fini(&call->base.page.items[--call->base.page.count]);
}
