/* Dialogues that the simulated shop does not hold: the HTTP client is replaced by a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/http/client.h"
#include "common/platform/connector_internal.h"
#include "common/platform/wordpress/woocommerce.h"

#define T(text) ((char *)(text))

/* One step: what is expected to be asked, and what is answered. */
struct step {
    const char *method, *url; /* url: a piece of it */
    const char *body;         /* a piece of it; NULL: anything */
    int status;               /* 0: the connection is lost */
    const char *answer;
    int64_t total;     /* X-WP-Total; 0: none */
    int64_t remote_ms; /* Date */
};

struct ls_call {
    uv_timer_t timer;
    ls_http_cb *done;
    void *arg;
    const struct step *step;
};

static const struct step *script;
static size_t script_length, script_at;
static uv_loop_t loop;
static char last_url[2048], first_nonce[64];
static int64_t last_timestamp_s;
static char total_text[24];

static void on_call_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_call_due(uv_timer_t *timer)
{
    struct ls_call *call = timer->data;
    const struct step *step = call->step;
    struct ls_http_response response = {.status = step->status, .remote_ms = step->remote_ms};
    struct ls_err err = LS_ERR_INIT;

    uv_close((uv_handle_t *)timer, on_call_closed);
    if (!step->status) {
        ls_fail(&err, LS_E_LOST, "connection lost");
        call->done(call->arg, NULL, &err);
        return;
    }
    response.body = ls_span_of(step->answer);
    snprintf(total_text, sizeof total_text, "%lld", (long long)step->total);
    response.headers = step->total ? total_text : NULL;
    call->done(call->arg, &response, NULL);
}

struct ls_call *ls_http_begin(struct ls_http *http, const struct ls_http_request *request,
                              ls_http_cb *done, void *arg)
{
    struct ls_call *call = LS_NEW(struct ls_call);
    const char *nonce = strstr(request->url, "oauth_nonce="),
               *stamp = strstr(request->url, "oauth_timestamp=");

    (void)http;
    if (script_at >= script_length)
        fail_msg("not in the script: %s %s", request->method, request->url);
    call->step = &script[script_at++];
    if (strcmp(request->method, call->step->method) != 0 ||
        !strstr(request->url, call->step->url) ||
        (call->step->body && (!request->body || !strstr(request->body, call->step->body))))
        fail_msg("step %zu: %s %s %s", script_at, request->method, request->url,
                 request->body ? (const char *)request->body : "");
    assert_string_equal(request->headers[0].name, "Accept");
    assert_string_equal(request->headers[0].value, "application/json");
    snprintf(last_url, sizeof last_url, "%s", request->url);
    if (nonce) {
        assert_true(!*first_nonce || strncmp(nonce + 12, first_nonce, 32) != 0);
        snprintf(first_nonce, 33, "%s", nonce + 12);
    }
    if (stamp)
        last_timestamp_s = strtoll(stamp + strlen("oauth_timestamp="), NULL, 10);
    if (request->sends)
        ++*request->sends;
    call->done = done;
    call->arg = arg;
    uv_timer_init(&loop, &call->timer);
    call->timer.data = call;
    uv_timer_start(&call->timer, on_call_due, 0, 0);
    return call;
}

void ls_http_cancel(struct ls_call **call)
{
    if (*call)
        uv_close((uv_handle_t *)&(*call)->timer, on_call_closed);
    *call = NULL;
}

const char *ls_http_header_get(const struct ls_http_response *response, const char *name)
{
    return strcmp(name, "x-wp-total") ? NULL : response->headers;
}

/* ---- a connector to it ---- */

static struct ls_connector *connector;
static struct ls_mapping *mapping;
static struct ls_record record;

struct result {
    int calls;
    struct ls_remote_call *call; /* NULL: its requests are not asked for */
    int requests;
    size_t count;
    char ids[16][24];
    struct ls_err errors[16];
    char next[128];
    struct ls_err err;
};

static void on_done(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct result *result = arg;

    result->calls++;
    result->requests = ls_remote_requests(result->call);
    if (err) {
        result->err = *err;
        return;
    }
    result->count = page->count;
    for (size_t i = 0; i < page->count && i < LS_COUNT(result->ids); i++) {
        snprintf(result->ids[i], sizeof result->ids[i], "%s",
                 page->items[i].id ? page->items[i].id : "");
        result->errors[i] = page->items[i].error;
    }
    snprintf(result->next, sizeof result->next, "%s", page->next ? page->next : "");
}

static int begin(void **state)
{
    struct ls_config_field fields[] = {{.name = T("sku"), .remote = T("sku")},
                                       {.name = T("name"), .remote = T("name")}};
    struct ls_config_sync sync = {.name = T("products"),
                                  .account = T("a"),
                                  .entity = T("product"),
                                  .table = T("t"),
                                  .id = T("id"),
                                  .fields = fields,
                                  .field_count = LS_COUNT(fields)};
    struct ls_woocommerce_options options = {.account = "a",
                                             .url = "http://shop.example/wp-json/",
                                             .consumer_key = "ck_1",
                                             .consumer_secret = "cs_1"};

    (void)state;
    uv_loop_init(&loop);
    mapping = ls_mapping_new(&sync, NULL);
    connector = ls_woocommerce_new(&options, &loop, NULL, NULL);
    ls_record_init(&record, mapping);
    ls_value_set(&record.values[1], LS_TYPE_TEXT, "x", 1, NULL);
    *first_nonce = '\0';
    return connector && mapping ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    ls_connector_free(connector);
    uv_run(&loop, UV_RUN_DEFAULT);
    ls_record_fini(&record);
    ls_mapping_free(mapping);
    return uv_loop_close(&loop);
}

#define SCRIPT(...)                                   \
    static const struct step steps[] = {__VA_ARGS__}; \
    (void)state;                                      \
    script = steps;                                   \
    script_length = LS_COUNT(steps);                  \
    script_at = 0

static struct result *run(struct result *result)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(result->calls, 1);
    assert_int_equal(script_at, script_length);
    return result;
}

#define REFUSED(message)                                                         \
    "{\"code\":\"woocommerce_rest_authentication_error\",\"message\":\"" message \
    "\",\"data\":{\"status\":401}}"

/* ---- signatures ---- */

static void signature__refused_for_its_nonce_on_a_read__is_made_anew_once(void **state)
{
    struct result result = {0};

    SCRIPT({"GET", "http://shop.example/wp-json/wc/v3/products?", NULL, 401,
            REFUSED("Invalid nonce - nonce has already been used."), 0, 0},
           {"GET", "oauth_signature=", NULL, 200, "[]", 0, 0});
    ls_connector_probe(connector, mapping, on_done, &result);
    assert_int_equal(run(&result)->err.code, LS_E_NONE);
}

static void signature__refused_twice__is_an_auth_error(void **state)
{
    struct result result = {0};

    SCRIPT({"GET", "", NULL, 401, REFUSED("Invalid timestamp."), 0, 0},
           {"GET", "", NULL, 401, REFUSED("Invalid timestamp."), 0, 0});
    result.call = ls_connector_probe(connector, mapping, on_done, &result);
    assert_int_equal(run(&result)->err.code, LS_E_AUTH);
    assert_int_equal(result.requests, 2);
}

static void
signature__refused_for_its_nonce_on_a_create__means_that_the_first_may_have_worked(void **state)
{
    struct result result = {0};

    SCRIPT({"POST", "/products?", "{\"name\":\"x\"}", 401,
            REFUSED("Invalid nonce - nonce has already been used."), 0, 0});
    ls_connector_write(connector, mapping,
                       &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record}, on_done,
                       &result);
    assert_int_equal(run(&result)->err.code, LS_E_LOST);
}

static void signature__with_a_clock_learnt__has_the_shops_time(void **state)
{
    struct result result = {0};

    SCRIPT({"GET", "", NULL, 401, REFUSED("Invalid timestamp."), 0, 1000000000000},
           {"GET", "", NULL, 200, "[]", 0, 0});
    ls_connector_probe(connector, mapping, on_done, &result);
    run(&result);
    assert_true(last_timestamp_s - 1000000000 >= 0 && last_timestamp_s - 1000000000 < 10);
}

/* ---- lists that are not what they should be ---- */

static void list__short_page_with_a_larger_total__is_not_the_end(void **state)
{
    struct result result = {0};

    SCRIPT(
        {"GET", "per_page=3&", NULL, 200, "[{\"id\":1}]", 7, 0}); /* two rows the key may not see */
    ls_connector_list(connector, &(struct ls_list_query){.mapping = mapping, .limit = 3}, on_done,
                      &result);
    assert_int_equal(run(&result)->count, 1);
    assert_string_equal(result.next, "w1 any 2 1 0 0");
}

static void list__row_of_the_page_before_is_gone__steps_back_until_it_knows_the_ground(void **state)
{
    struct result result = {0};

    SCRIPT({"GET", "offset=9&", NULL, 200, "[{\"id\":15},{\"id\":16}]", 12, 0},
           {"GET", "offset=8&", NULL, 200, "[{\"id\":14},{\"id\":15},{\"id\":16}]", 12, 0},
           {"GET", "offset=6&", NULL, 200, "[{\"id\":12},{\"id\":13},{\"id\":14}]", 12, 0});
    result.call = ls_connector_list(
        connector,
        &(struct ls_list_query){.mapping = mapping, .limit = 2, .cursor = "w1 any 9 12 0 0"},
        on_done, &result);
    /* the first answer has its first row above 12, so has the second */
    assert_int_equal(run(&result)->count, 2);
    assert_int_equal(result.requests, 3);
    assert_string_equal(result.ids[0], "13");
    assert_string_equal(result.ids[1], "14");
    assert_string_equal(result.next, "w1 any 8 14 0 0");
}

static void list__out_of_order__is_refused(void **state)
{
    struct result result = {0};

    SCRIPT({"GET", "orderby=id", NULL, 200, "[{\"id\":2},{\"id\":1}]", 2, 0});
    ls_connector_list(connector, &(struct ls_list_query){.mapping = mapping}, on_done, &result);
    assert_int_equal(run(&result)->err.code, LS_E_TRANSIENT);
}

static void list__an_object_or_rows_without_ids__is_refused(void **state)
{
    struct result result = {0}, other = {0};

    {
        SCRIPT({"GET", "", NULL, 200, "{\"0\":{\"id\":1}}", 1, 0});
        ls_connector_list(connector, &(struct ls_list_query){.mapping = mapping}, on_done, &result);
        assert_int_equal(run(&result)->err.code, LS_E_TRANSIENT);
    }
    {
        SCRIPT({"GET", "", NULL, 200, "[{\"name\":\"x\"}]", 1, 0});
        ls_connector_list(connector, &(struct ls_list_query){.mapping = mapping}, on_done, &other);
        assert_int_equal(run(&other)->err.code, LS_E_TRANSIENT);
    }
}

static void list__by_modified__says_utc_without_a_zone_and_one_second_wider(void **state)
{
    struct result result = {0};

    SCRIPT({"GET", "status=any", NULL, 200, "[]", 0, 0},
           {"GET", "status=trash", NULL, 200, "[]", 0, 0});
    ls_connector_list(connector,
                      &(struct ls_list_query){.mapping = mapping,
                                              .order = LS_LIST_BY_MODIFIED,
                                              .modified_from_ms = 1700000000999,
                                              .modified_to_ms = 1700000100000},
                      on_done, &result);
    run(&result);
    assert_non_null(strstr(last_url, "&modified_after=2023-11-14T22%3A13%3A19&modified_before=2023-"
                                     "11-14T22%3A15%3A01&dates_are_gmt=true&"));
}

/* ---- reads by id ---- */

static void get__a_row_nobody_asked_for__proves_nothing_absent(void **state)
{
    struct result result = {0};
    const char *ids[] = {"1", "2"};

    SCRIPT({"GET", "include=1%2C2", NULL, 200, "[{\"id\":1},{\"id\":7}]", 2, 0});
    ls_connector_get(connector, mapping, ids, 2, on_done, &result);
    assert_int_equal(run(&result)->err.code, LS_E_TRANSIENT);
}

static void get__a_variation__is_found_singly(void **state)
{
    struct result result = {0};
    const char *ids[] = {"1", "2", "3"};

    SCRIPT({"GET", "status=any", NULL, 200, "[{\"id\":1}]", 1, 0},
           {"GET", "status=trash", NULL, 200, "[]", 0, 0},
           {"GET", "/products/3?", NULL, 200, "{\"id\":3,\"status\":\"trash\"}", 0, 0},
           {"GET", "/products/2?", NULL, 404,
            "{\"code\":\"woocommerce_rest_product_invalid_id\",\"message\":\"\",\"data\":{"
            "\"status\":404}}",
            0, 0});
    ls_connector_get(connector, mapping, ids, 3, on_done, &result);
    assert_int_equal(run(&result)->err.code, LS_E_NONE);
    assert_int_equal(result.count, 2);
    assert_string_equal(result.ids[1], "3");
}

static void get__404_of_another_kind__is_not_absence(void **state)
{
    struct result result = {0}, other = {0}, third = {0};
    const char *ids[] = {"1"};

    {
        SCRIPT({"GET", "/products/1?", NULL, 404,
                "{\"code\":\"rest_no_route\",\"message\":\"\",\"data\":{\"status\":404}}", 0, 0});
        ls_connector_get(connector, mapping, ids, 1, on_done, &result);
        assert_int_equal(run(&result)->err.code, LS_E_CONFIG);
    }
    {
        SCRIPT({"GET", "/products/1?", NULL, 404, "<html>nginx</html>", 0, 0});
        ls_connector_get(connector, mapping, ids, 1, on_done, &other);
        assert_int_equal(run(&other)->err.code, LS_E_CONFIG);
    }
    {
        SCRIPT({"GET", "/products/1?", NULL, 200, "{\"id\":2}", 0, 0});
        ls_connector_get(connector, mapping, ids, 1, on_done, &third);
        assert_int_equal(run(&third)->err.code, LS_E_TRANSIENT);
    }
}

/* ---- writes ---- */

static void write__answer_about_another_product__is_an_unknown_outcome(void **state)
{
    struct result result = {0}, other = {0};

    {
        SCRIPT({"PUT", "/products/5?", NULL, 200, "{\"id\":6}", 0, 0});
        ls_connector_write(
            connector, mapping,
            &(struct ls_write){.kind = LS_WRITE_UPDATE, .id = "5", .record = &record}, on_done,
            &result);
        assert_int_equal(run(&result)->err.code, LS_E_LOST);
    }
    {
        SCRIPT({"POST", "/products?", NULL, 201, "{\"name\":\"x\"}", 0, 0});
        ls_connector_write(connector, mapping,
                           &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record}, on_done,
                           &other);
        assert_int_equal(run(&other)->err.code, LS_E_LOST);
    }
}

static struct ls_write updates[5];

static const struct ls_write *five_updates(void)
{
    static const char *const ids[] = {"1", "2", "3", "4", "5"};

    for (size_t i = 0; i < LS_COUNT(updates); i++)
        updates[i] = (struct ls_write){.kind = LS_WRITE_UPDATE, .id = ids[i], .record = &record};
    return updates;
}

static void batch__too_large_for_the_web_server__is_halved(void **state)
{
    struct result result = {0};

    SCRIPT({"POST", "/products/batch?", "\"id\":5}", 413, "<html>Too Large</html>", 0, 0},
           {"POST", "/products/batch?",
            "{\"update\":[{\"name\":\"x\",\"id\":1},{\"name\":\"x\",\"id\":2}]}", 200,
            "{\"update\":[{\"id\":1},{\"id\":2}]}", 0, 0},
           {"POST", "/products/batch?", "\"id\":3}", 413, "<html>Too Large</html>", 0, 0},
           {"PUT", "/products/3?", NULL, 413, "<html>Too Large</html>", 0, 0},
           {"POST", "/products/batch?", "\"id\":4}", 200,
            "{\"update\":[{\"id\":4},{\"id\":5,\"error\":{\"code\":\"woocommerce_rest_product_"
            "invalid_id\",\"message\":\"\",\"data\":{\"status\":400}}}]}",
            0, 0});
    result.call = ls_connector_write_batch(connector, mapping, five_updates(), 5, on_done, &result);
    assert_int_equal(run(&result)->count, 5);
    assert_int_equal(result.requests, 5);
    assert_int_equal(result.errors[0].code, LS_E_NONE);
    assert_int_equal(result.errors[2].code, LS_E_TOO_BIG);
    assert_int_equal(result.errors[3].code, LS_E_NONE);
    assert_int_equal(result.errors[4].code, LS_E_NOT_FOUND);
}

static void batch__fails_after_a_part_of_it_worked__keeps_that_part(void **state)
{
    struct result result = {0};

    SCRIPT({"POST", "/products/batch?", NULL, 413, "", 0, 0},
           {"POST", "/products/batch?", "\"id\":2}", 200, "{\"update\":[{\"id\":1},{\"id\":2}]}", 0,
            0},
           {"POST", "/products/batch?", "\"id\":3}", 413, "", 0, 0},
           {"PUT", "/products/3?", NULL, 0, NULL, 0, 0});
    ls_connector_write_batch(connector, mapping, five_updates(), 5, on_done, &result);
    assert_int_equal(run(&result)->err.code, LS_E_NONE);
    assert_int_equal(result.errors[1].code, LS_E_NONE);
    assert_int_equal(result.errors[2].code, LS_E_LOST);
    assert_int_equal(result.errors[3].code, LS_E_TRANSIENT);
    assert_int_equal(result.errors[4].code, LS_E_TRANSIENT);
}

static void batch__answer_of_another_length_or_order__is_lost_for_those_concerned(void **state)
{
    struct result result = {0}, other = {0}, third = {0};

    {
        SCRIPT({"POST", "/products/batch?", NULL, 200,
                "{\"update\":[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4}]}", 0, 0});
        ls_connector_write_batch(connector, mapping, five_updates(), 5, on_done, &result);
        run(&result);
        for (int i = 0; i < 5; i++)
            assert_int_equal(result.errors[i].code, LS_E_LOST);
    }
    {
        SCRIPT({"POST", "/products/batch?", NULL, 200,
                "{\"update\":[{\"id\":1},{\"id\":3},{\"id\":2},{\"id\":4},{\"id\":5}]}", 0, 0});
        ls_connector_write_batch(connector, mapping, five_updates(), 5, on_done, &other);
        run(&other);
        assert_int_equal(other.errors[0].code, LS_E_NONE);
        assert_int_equal(other.errors[1].code, LS_E_LOST);
        assert_int_equal(other.errors[2].code, LS_E_LOST);
    }
    {
        SCRIPT({"POST", "/products/batch?", NULL, 200, "[]", 0, 0});
        ls_connector_write_batch(connector, mapping, five_updates(), 5, on_done, &third);
        assert_int_equal(run(&third)->errors[0].code, LS_E_LOST);
    }
}

static void batch__with_soft_deletes_whose_request_fails__keeps_the_rest(void **state)
{
    struct result result = {0};
    struct ls_write writes[3] = {{.kind = LS_WRITE_DELETE, .id = "8"},
                                 {.kind = LS_WRITE_DELETE, .id = "9"},
                                 {.kind = LS_WRITE_UPDATE, .id = "5", .record = &record}};

    SCRIPT({"PUT", "/products/5?", NULL, 200, "{\"id\":5}", 0, 0},
           {"DELETE", "/products/8?force=false&", NULL, 501,
            "{\"code\":\"woocommerce_rest_trash_not_supported\",\"message\":\"\",\"data\":{"
            "\"status\":501}}",
            0, 0},
           {"DELETE", "/products/9?force=false&", NULL, 200, "{\"id\":9,\"status\":\"publish\"}", 0,
            0});
    ls_connector_write_batch(connector, mapping, writes, 3, on_done, &result);
    assert_int_equal(run(&result)->err.code, LS_E_NONE);
    assert_int_equal(result.errors[0].code, LS_E_PERMANENT);
    assert_int_equal(result.errors[1].code, LS_E_NONE);
    assert_int_equal(result.errors[2].code, LS_E_NONE);
    assert_string_equal(result.ids[2], "5");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(signature__refused_for_its_nonce_on_a_read__is_made_anew_once),
        TEST(signature__refused_twice__is_an_auth_error),
        TEST(signature__refused_for_its_nonce_on_a_create__means_that_the_first_may_have_worked),
        TEST(signature__with_a_clock_learnt__has_the_shops_time),
        TEST(list__short_page_with_a_larger_total__is_not_the_end),
        TEST(list__row_of_the_page_before_is_gone__steps_back_until_it_knows_the_ground),
        TEST(list__out_of_order__is_refused),
        TEST(list__an_object_or_rows_without_ids__is_refused),
        TEST(list__by_modified__says_utc_without_a_zone_and_one_second_wider),
        TEST(get__a_row_nobody_asked_for__proves_nothing_absent),
        TEST(get__a_variation__is_found_singly),
        TEST(get__404_of_another_kind__is_not_absence),
        TEST(write__answer_about_another_product__is_an_unknown_outcome),
        TEST(batch__too_large_for_the_web_server__is_halved),
        TEST(batch__fails_after_a_part_of_it_worked__keeps_that_part),
        TEST(batch__answer_of_another_length_or_order__is_lost_for_those_concerned),
        TEST(batch__with_soft_deletes_whose_request_fails__keeps_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
