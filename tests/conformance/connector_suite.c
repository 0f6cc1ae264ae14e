#include "tests/conformance/connector_suite.h"

#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

#define T(text) ((char *)(text))
#define WAIT_MS 20000

static struct ls_mapping *new_mapping(void)
{
    struct ls_config_field fields[FIELDS] = {
        [SKU] = {.name = T("sku"), .remote = T("sku")},
        [NAME] = {.name = T("name"), .remote = T("name")},
        [PRICE] = {.name = T("price"), .remote = T("regular_price"), .type = LS_CONFIG_TYPE_MONEY},
        [STOCK] = {.name = T("inventory"),
                   .remote = T("stock_quantity"),
                   .type = LS_CONFIG_TYPE_INTEGER},
        [TEXT] = {.name = T("text"), .remote = T("description"), .type = LS_CONFIG_TYPE_HTML},
    };
    struct ls_config_sync sync = {.name = T("products"),
                                  .account = T("shop-eu"),
                                  .entity = T("product"),
                                  .table = T("products"),
                                  .id = T("id"),
                                  .fields = fields,
                                  .field_count = FIELDS};

    return ls_mapping_new(&sync, NULL);
}

struct suite *suite_new(const struct test_shop_options *options)
{
    struct test_shop *shop = test_shop_start(options);
    struct suite *suite;

    if (!shop)
        return NULL;
    suite = LS_NEW(struct suite);
    suite->shop = shop;
    uv_loop_init(&suite->loop);
    suite->http = ls_http_new(&suite->loop, &(struct ls_http_options){0});
    suite->mapping = new_mapping();
    suite->connector = suite_connect(suite, NULL, NULL, 0);
    assert_non_null(suite->mapping);
    return suite;
}

struct ls_connector *suite_connect(struct suite *suite, const char *key, const char *secret,
                                   int64_t timeout_ms)
{
    struct ls_config_account account = {
        .name = T("shop-eu"),
        .platform = T("woocommerce"),
        .url = suite->shop->url,
        .consumer_key = key ? T(key) : suite->shop->key,
        .consumer_secret = secret ? T(secret) : suite->shop->secret,
        .ca_file = *suite->shop->ca_file ? suite->shop->ca_file : NULL,
        .timeout_ms = timeout_ms ? timeout_ms : 10000,
    };
    struct ls_err err = LS_ERR_INIT;
    struct ls_connector *connector = ls_connector_new(&account, &suite->loop, suite->http, &err);

    assert_string_equal(err.text, "");
    return connector;
}

void suite_free(struct suite *suite)
{
    if (!suite)
        return;
    ls_connector_free(suite->connector);
    ls_http_close(&suite->http);
    uv_run(&suite->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&suite->loop), 0);
    ls_mapping_free(suite->mapping);
    test_shop_stop(suite->shop);
    free(suite);
}

void suite_clear(struct suite *suite)
{
    json_t *products = test_shop_ask(suite->shop, "GET", "/products", NULL);

    for (size_t i = 0; i < json_array_size(products); i++)
        test_shop_remove(suite->shop,
                         json_integer_value(json_object_get(json_array_get(products, i), "id")),
                         true);
    json_decref(products);
    test_shop_fault(suite->shop, NULL);
    test_shop_forget(suite->shop);
}

void suite_fill(struct suite *suite, const char *prefix, int count, const char *extra, int64_t *ids)
{
    struct ls_buf body = {0};
    json_t *made;

    for (int i = 1; i <= count; i++)
        ls_buf_printf(&body,
                      "%s{\"name\":\"Mug "
                      "%d\",\"sku\":\"%s-%d\",\"regular_price\":\"1.50\",\"stock_quantity\":7%s}",
                      i > 1 ? "," : "[", i, prefix, i, extra);
    ls_buf_puts(&body, "]");
    made = test_shop_ask(suite->shop, "POST", "/products", body.data);
    assert_int_equal(json_array_size(made), count);
    for (int i = 0; ids && i < count; i++)
        ids[i] = json_integer_value(json_object_get(json_array_get(made, (size_t)i), "id"));
    json_decref(made);
    ls_buf_fini(&body);
}

/* ---- calls that wait ------------------------------------------------------------------------- */

void on_result(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct result *result = arg;

    result->calls++;
    result->requests = ls_remote_requests(result->call);
    if (result->loop)
        uv_stop(result->loop); /* it may run before the loop waits */
    assert_true(!page != !err);
    if (err) {
        assert_true(err->code != LS_E_NONE && *err->text);
        result->err = *err;
        return;
    }
    result->page.total = page->total;
    result->page.remote_ms = page->remote_ms;
    result->page.next = ls_xstrdup(page->next);
    for (size_t i = 0; i < page->count; i++) {
        const struct ls_remote *from = &page->items[i];
        struct ls_remote *to = ls_remote_page_add(&result->page, NULL);
        *to = *from;
        to->id = ls_xstrdup(from->id);
        to->version = ls_xstrdup(from->version);
        to->match = ls_xstrdup(from->match);
        to->marker = ls_xstrdup(from->marker);
        to->record = (struct ls_record){0};
        ls_record_copy(&to->record, &from->record);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void on_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

void wait_result(struct suite *suite, struct result *result)
{
    uv_timer_t timer;
    bool late = false, closed = false;

    result->loop = &suite->loop;
    uv_timer_init(&suite->loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, on_deadline, WAIT_MS, 0);
    while (!result->calls && !late)
        uv_run(&suite->loop, UV_RUN_ONCE);
    timer.data = &closed;
    uv_close((uv_handle_t *)&timer, on_closed);
    while (!closed)
        uv_run(&suite->loop, UV_RUN_NOWAIT);
    assert_false(late);
    assert_int_equal(result->calls, 1);
}

void result_fini(struct result *result)
{
    ls_remote_page_fini(&result->page);
}

#define WAIT(begin)                                                                   \
    struct result result = {.page.total = -1, .err = LS_ERR_INIT};                    \
    int before = test_shop_request_count(suite->shop);                                \
    result.call = begin;                                                              \
    assert_non_null(result.call);                                                     \
    assert_int_equal(result.calls, 0);                                                \
    wait_result(suite, &result);                                                      \
    assert_int_equal(result.requests, test_shop_request_count(suite->shop) - before); \
    return result

struct result do_probe(struct suite *suite)
{
    WAIT(ls_connector_probe(suite->connector, suite->mapping, on_result, &result));
}

struct result do_list(struct suite *suite, const struct ls_list_query *query)
{
    WAIT(ls_connector_list(suite->connector, query, on_result, &result));
}

struct result do_get(struct suite *suite, const char *const *ids, size_t count)
{
    WAIT(ls_connector_get(suite->connector, suite->mapping, ids, count, on_result, &result));
}

struct result do_find(struct suite *suite, const char *match, const char *marker,
                      int64_t created_from_ms)
{
    WAIT(ls_connector_find(suite->connector, suite->mapping, match, marker, created_from_ms,
                           on_result, &result));
}

struct result do_write(struct suite *suite, const struct ls_write *write)
{
    WAIT(ls_connector_write(suite->connector, suite->mapping, write, on_result, &result));
}

struct result do_batch(struct suite *suite, const struct ls_write *writes, size_t count)
{
    WAIT(ls_connector_write_batch(suite->connector, suite->mapping, writes, count, on_result,
                                  &result));
}

const char *value_of(const struct ls_remote *remote, size_t field)
{
    const struct ls_value *value =
        remote->record.count > field ? &remote->record.values[field] : NULL;

    if (!value || value->state == LS_VALUE_MISSING)
        return "(missing)";
    return value->state == LS_VALUE_NULL ? "(null)" : value->text;
}

struct ls_record record_of(const struct suite *suite, const char *const texts[FIELDS])
{
    struct ls_record record = {0};

    ls_record_init(&record, suite->mapping);
    for (size_t i = 0; i < FIELDS; i++) {
        if (texts[i] && !strcmp(texts[i], "(null)"))
            ls_value_set_null(&record.values[i]);
        else if (texts[i])
            assert_int_equal(ls_value_set(&record.values[i], suite->mapping->fields[i].type,
                                          texts[i], strlen(texts[i]), NULL),
                             0);
    }
    return record;
}
