#include "common/platform/wordpress/woocommerce.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/platform/wordpress/answer.h"
#include "common/platform/wordpress/oauth1.h"
#include "common/platform/wordpress/object.h"
#include "common/platform/wordpress/woocommerce_internal.h"

#define DEFAULT_TIMEOUT_MS 30000
/* A save takes its time stamp first and becomes visible when its plugins are done; PHP gives them
 * half a minute. */
#define DELTA_OVERLAP_MS 60000

static const struct ls_capabilities *capabilities(void *self, const char *entity);
static void release(struct ls_remote_call *base);
static void free_woo(void *self);
static char *make_api(const struct ls_woocommerce_options *options, struct ls_err *err);
static void transmit(struct woo_call *call);
static char *signed_url(struct woo *woo, const struct woo_request *request);
static void on_response(void *arg, const struct ls_http_response *response,
                        const struct ls_err *err);
static bool sign_again(struct woo_call *call, const struct ls_http_response *response,
                       struct ls_err *err);
static void judge_failure(const struct woo_call *call, const struct ls_err *failure,
                          struct ls_err *err);
static void free_request(struct woo_request *request);
static bool is_write(const struct woo_request *request);
static void on_probed(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err);

/* Stock and sales move with orders, and the product's date stays. */
static const char *const blind_fields[] = {"stock_quantity", "stock_status", "total_sales", NULL};

static const struct ls_capabilities product = {
    .page_max = WOO_PAGE_MAX,
    .batch_max = WOO_BATCH_MAX,
    .delta = true,
    .delta_overlap_ms = DELTA_OVERLAP_MS,
    .blind = blind_fields,
    .match_unique = true,
    .empty_is_null = true,
    .marker = true,
};

static const struct ls_connector_ops ops = {
    .platform = "woocommerce",
    .capabilities = capabilities,
    .list = woo_list,
    .get = woo_get,
    .find = woo_find,
    .write = woo_write,
    .write_batch = woo_write_batch,
    .probe = woo_probe,
    .release = release,
    .free = free_woo,
};

struct ls_connector *ls_woocommerce_new(const struct ls_woocommerce_options *options,
                                        uv_loop_t *loop, struct ls_http *http, struct ls_err *err)
{
    char *api = make_api(options, err);
    struct woo *woo;

    if (!api)
        return NULL;
    woo = LS_NEW(struct woo);
    woo->api = api;
    woo->key = ls_xstrdup(options->consumer_key);
    woo->secret = ls_xstrdup(options->consumer_secret);
    if (!strncmp(api, "https:", 6))
        woo->userpwd = ls_xasprintf("%s:%s", woo->key, woo->secret);
    woo->ca_file = ls_xstrdup(options->ca_file);
    woo->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    woo->http = http;
    return ls_connector_new_with(&ops, woo, loop, options->account);
}

static char *make_api(const struct ls_woocommerce_options *options, struct ls_err *err)
{
    const char *url = options->url ? options->url : "",
               *account = options->account ? options->account : "";
    const char *host = !strncmp(url, "https://", 8)  ? url + 8
                       : !strncmp(url, "http://", 7) ? url + 7
                                                     : NULL;
    size_t length = strlen(url);
    const char *tail = "/wp-json/wc/v3";

    if (!host || !*host || *host == '/') {
        ls_fail(err, LS_E_CONFIG, "account '%s' has no usable url", account);
        ls_hint(err, "write the shop's address, like https://shop.example");
        return NULL;
    }
    if (memchr(host, '@',
               strcspn(host, "/?#"))) { /* it would end up in logs and in the shop's own log */
        ls_fail(err, LS_E_CONFIG, "the url of account '%s' holds credentials", account);
        ls_hint(err, "put them into consumer_key and consumer_secret");
        return NULL;
    }
    if (strpbrk(url, "?# ")) {
        ls_fail(err, LS_E_CONFIG, "the url of account '%s' has a query, a fragment or a space",
                account);
        return NULL;
    }
    if (!options->consumer_key || !*options->consumer_key || !options->consumer_secret ||
        !*options->consumer_secret) {
        ls_fail(err, LS_E_CONFIG, "account '%s' has no consumer_key and consumer_secret", account);
        ls_hint(err,
                "make a read/write key in the shop: WooCommerce, Settings, Advanced, REST API");
        return NULL;
    }
    while (length && url[length - 1] == '/')
        length--;
    if (length > 14 && !strncmp(url + length - 14, "/wp-json/wc/v3", 14))
        tail = "";
    else if (length > 8 && !strncmp(url + length - 8, "/wp-json", 8))
        tail = "/wc/v3";
    return ls_xasprintf("%.*s%s", (int)length, url, tail);
}

static const struct ls_capabilities *capabilities(void *self, const char *entity)
{
    (void)self;
    return !strcmp(entity, "product") || !strcmp(entity, "inventory") ? &product : NULL;
}

static void free_woo(void *self)
{
    struct woo *woo = self;

    free(woo->api);
    free(woo->key);
    free(woo->secret);
    free(woo->userpwd);
    free(woo->ca_file);
    free(woo);
}

/* ---- one request ----------------------------------------------------------------------------- */

void *woo_call_begin(struct ls_connector *connector, const struct ls_mapping *mapping, size_t size)
{
    struct woo_call *call = ls_remote_call_begin(connector, size);

    call->mapping = mapping;
    return call;
}

void woo_send(struct woo_call *call, struct woo_request request, woo_answered *answered)
{
    free_request(&call->request);
    call->request = request;
    call->answered = answered;
    call->tries = 0;
    transmit(call);
}

void woo_end(struct woo_call *call, const struct ls_err *err)
{
    ls_remote_call_end(&call->base, err);
}

void woo_fail(struct woo_call *call, struct ls_err *err, enum ls_err_code code, const char *format,
              ...)
{
    struct ls_buf text = {0};
    va_list args;

    va_start(args, format);
    ls_buf_vprintf(&text, format, args);
    va_end(args);
    ls_fail(err, code, "woocommerce '%s' %s: %s", call->base.connector->account, call->request.what,
            text.data);
    ls_buf_fini(&text);
}

static void transmit(struct woo_call *call)
{
    struct woo *woo = call->base.connector->self;
    struct woo_request *request = &call->request;
    const struct ls_http_header headers[] = {
        {"Accept", "application/json"}, /* else errors come as HTML */
        {request->body ? "Content-Type" : NULL, "application/json"},
        {0},
    };
    char *url = signed_url(woo, request);

    call->tries++;
    call->sent_ms = ls_clock_mono_ms();
    call->http =
        ls_http_begin(woo->http,
                      &(struct ls_http_request){
                          .method = request->method,
                          .url = url,
                          .headers = headers,
                          .body = request->body,
                          .body_length = request->body ? strlen(request->body) : 0,
                          .timeout_ms = request->timeout_ms ? request->timeout_ms : woo->timeout_ms,
                          .ca_file = woo->ca_file,
                          .userpwd = woo->userpwd,
                          .idempotent = strcmp(request->method, "POST") != 0,
                          .sends = &call->base.requests,
                      },
                      on_response, call);
    free(url);
}

static char *signed_url(struct woo *woo, const struct woo_request *request)
{
    struct ls_query query = {0};
    struct ls_buf url = {0};

    ls_buf_printf(&url, "%s%s", woo->api, request->path);
    ls_query_copy(&query, &request->query);
    if (!woo->userpwd) {
        char nonce[33];
        snprintf(nonce, sizeof nonce, "%016llx%016llx", (unsigned long long)ls_rand_u64(),
                 (unsigned long long)ls_rand_u64());
        ls_oauth1_sign(&query, request->method, url.data,
                       &(struct ls_oauth1){
                           .key = woo->key,
                           .secret = woo->secret,
                           .nonce = nonce,
                           .timestamp_s = (ls_clock_wall_ms() + woo->clock_ahead_ms) / 1000,
                       });
    }
    if (query.count) {
        ls_buf_putc(&url, '?');
        ls_query_write(&query, &url);
    }
    ls_query_fini(&query);
    return ls_buf_take(&url);
}

static void on_response(void *arg, const struct ls_http_response *response,
                        const struct ls_err *failure)
{
    struct woo_call *call = arg;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf what = {0};
    json_t *root = NULL;

    call->http = NULL;
    if (response) {
        ls_buf_printf(&what, "woocommerce '%s' %s", call->base.connector->account,
                      call->request.what);
        root = ls_wp_answer_read(
            &(struct ls_wp_answer){
                .status = response->status,
                .retry_after = ls_http_header_get(response, "retry-after"),
                .location = ls_http_header_get(response, "location"),
                .remote_ms = response->remote_ms,
                .body = response->body.data,
                .length = response->body.length,
                .write = is_write(&call->request),
                .what = what.data,
            },
            &err);
        ls_buf_fini(&what);
        if (response->remote_ms)
            call->base.page.remote_ms = response->remote_ms;
        if (!root && sign_again(call, response, &err)) {
            transmit(call);
            return;
        }
    } else {
        judge_failure(call, failure, &err);
    }
    call->answered(call, root, response, root ? NULL : &err);
    json_decref(root); /* the call may be gone, the answer is ours */
}

/* A refused time stamp teaches the shop's clock; a refused nonce means that something on the way
 * sent our request twice, so for a create the first of the two may have had its effect. Either is
 * tried once more, with a new signature. */
static bool sign_again(struct woo_call *call, const struct ls_http_response *response,
                       struct ls_err *err)
{
    struct woo *woo = call->base.connector->self;
    enum ls_wp_stale stale = woo->userpwd ? LS_WP_FRESH : ls_wp_stale(err);

    if (stale == LS_WP_STALE_CLOCK && response->remote_ms)
        woo->clock_ahead_ms = response->remote_ms - ls_clock_wall_ms();
    if (stale == LS_WP_STALE_NONCE && !strcmp(call->request.method, "POST")) {
        err->code = LS_E_LOST;
        return false;
    }
    return stale != LS_WP_FRESH && call->tries < 2;
}

/* The HTTP client's failure in our words. A read that got lost did nothing; a write whose answer is
 * no HTTP may have. */
static void judge_failure(const struct woo_call *call, const struct ls_err *failure,
                          struct ls_err *err)
{
    const struct woo *woo = call->base.connector->self;
    int64_t timeout_ms = call->request.timeout_ms ? call->request.timeout_ms : woo->timeout_ms;
    bool late = (failure->code == LS_E_LOST || failure->code == LS_E_TIMEOUT) &&
                ls_clock_mono_ms() - call->sent_ms + 10 >= timeout_ms;
    bool write = is_write(&call->request);
    char wait[32];

    *err = *failure;
    if (late) /* people search logs for these words */
        ls_fail(err, failure->code, "API timeout after %s: woocommerce '%s' %s",
                ls_duration_format(wait, sizeof wait, timeout_ms), call->base.connector->account,
                call->request.what);
    else
        ls_wrap(err, "woocommerce '%s' %s", call->base.connector->account, call->request.what);
    switch (failure->code) {
    case LS_E_LOST:
        err->code = write ? LS_E_LOST : late ? LS_E_TIMEOUT : LS_E_NETWORK;
        break;
    case LS_E_INVALID:
        err->code = write ? LS_E_LOST : LS_E_TRANSIENT;
        break;
    case LS_E_TOO_BIG:
        err->code = write ? LS_E_LOST : LS_E_TOO_BIG;
        break;
    case LS_E_CANCELLED: /* our own queue is full */
        err->code = LS_E_TRANSIENT;
        break;
    case LS_E_USAGE:
        err->code = LS_E_CONFIG;
        break;
    default:
        break;
    }
}

static void release(struct ls_remote_call *base)
{
    struct woo_call *call = (struct woo_call *)base;

    ls_http_cancel(&call->http);
    free_request(&call->request);
    if (call->fini)
        call->fini(call);
}

static void free_request(struct woo_request *request)
{
    free(request->path);
    free(request->body);
    free(request->what);
    ls_query_fini(&request->query);
    *request = (struct woo_request){0};
}

static bool is_write(const struct woo_request *request)
{
    return strcmp(request->method, "GET") != 0;
}

/* ---- shared ---------------------------------------------------------------------------------- */

void woo_add_fields(struct ls_query *query, const struct ls_mapping *mapping, uint64_t fields,
                    bool marker)
{
    struct ls_buf names = {0};

    ls_wp_object_fields(&names, mapping, fields, woo_only_blind(mapping, fields), marker);
    ls_query_add(query, "context", "edit");
    ls_query_add(query, "_fields", names.data);
    ls_buf_fini(&names);
}

bool woo_id_valid(const char *id)
{
    size_t length = id ? strlen(id) : 0;

    return length && length < 19 && *id != '0' && strspn(id, "0123456789") == length;
}

bool woo_only_blind(const struct ls_mapping *mapping, uint64_t fields)
{
    if (!fields)
        return false;
    for (size_t i = 0; i < mapping->count; i++) {
        const char *const *blind = blind_fields;
        while (*blind && strcmp(*blind, mapping->fields[i].remote) != 0)
            blind++;
        if (fields >> i & 1 && !*blind)
            return false;
    }
    return true;
}

bool woo_take(struct woo_call *call, const json_t *object, uint64_t fields)
{
    struct ls_remote *remote = ls_remote_page_add(&call->base.page, call->mapping);
    struct ls_err problem = LS_ERR_INIT, err = LS_ERR_INIT;

    if (ls_wp_object_read(object, call->mapping, fields, remote, &problem) == 0)
        return true;
    woo_fail(call, &err, is_write(&call->request) ? LS_E_LOST : LS_E_TRANSIENT, "%s", problem.text);
    woo_end(call, &err);
    return false;
}

const char *woo_stamp(char out[WOO_STAMP_SIZE], int64_t seconds)
{
    time_t at = (time_t)(seconds > 0 ? seconds : 0);
    struct tm utc;

    gmtime_r(&at, &utc);
    strftime(out, WOO_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    return out;
}

/* ---- probe ----------------------------------------------------------------------------------- */

struct ls_remote_call *woo_probe(struct ls_connector *connector, const struct ls_mapping *mapping)
{
    struct woo_call *call = woo_call_begin(connector, mapping, sizeof *call);
    struct woo_request request = {
        .method = "GET", .path = ls_xstrdup("/products"), .what = ls_xstrdup("cannot be reached")};

    ls_query_add(&request.query, "per_page", "1");
    ls_query_add(&request.query, "status", "any");
    ls_query_add(&request.query, "_fields", "id");
    woo_send(call, request, on_probed);
    return &call->base;
}

static void on_probed(struct woo_call *call, const json_t *root,
                      const struct ls_http_response *response, const struct ls_err *err)
{
    struct ls_err odd = LS_ERR_INIT;

    if (!err && !json_is_array(root)) {
        woo_fail(call, &odd, LS_E_TRANSIENT, "the answer is not a list of products");
        err = &odd;
    }
    if (!err)
        call->base.page.total = woo_total(response);
    woo_end(call, err);
}
