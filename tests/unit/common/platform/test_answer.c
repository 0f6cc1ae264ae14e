#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/platform/wordpress/answer.h"

#define HTML(title) \
    "<!DOCTYPE html>\n<html><head><title>" title "</title></head><body>x</body></html>"
#define JSON(code, data) \
    "{\"code\":\"" code "\",\"message\":\"<strong>Error<\\/strong> text\",\"data\":" data "}"

static struct ls_err read_as(int status, const char *body, bool write, const char *retry_after)
{
    struct ls_err err = LS_ERR_INIT;
    json_t *root = ls_wp_answer_read(
        &(struct ls_wp_answer){.status = status,
                               .body = body,
                               .length = strlen(body),
                               .write = write,
                               .retry_after = retry_after,
                               .what = "woocommerce 'shop-eu' cannot update product '31'"},
        &err);

    assert_null(root);
    return err;
}

static void answer__every_shape_of_error__has_its_class(void **state)
{
    static const struct {
        int status;
        const char *body;
        bool write;
        enum ls_err_code code;
        const char *reason;
    } cases[] = {
        {400,
         JSON("rest_invalid_param",
              "{\"status\":400,\"params\":{\"regular_price\":\"not a string\"}}"),
         true, LS_E_PERMANENT, "rest_invalid_param"},
        {400,
         JSON("product_invalid_sku", "{\"status\":400,\"resource_id\":11,\"unique_sku\":\"A-1\"}"),
         true, LS_E_EXISTS, "product_invalid_sku:11"},
        {400, JSON("woocommerce_rest_product_invalid_id", "{\"status\":400}"), true, LS_E_NOT_FOUND,
         "woocommerce_rest_product_invalid_id"},
        {404, JSON("woocommerce_rest_product_invalid_id", "{\"status\":404}"), false,
         LS_E_NOT_FOUND, "woocommerce_rest_product_invalid_id"},
        {404, JSON("rest_no_route", "{\"status\":404}"), false, LS_E_CONFIG, "rest_no_route"},
        {404, JSON("something_else", "null"), false, LS_E_PERMANENT, "something_else"},
        {404, HTML("Not Found"), false, LS_E_CONFIG, ""},
        {401, JSON("woocommerce_rest_cannot_view", "{\"status\":401}"), false, LS_E_AUTH,
         "woocommerce_rest_cannot_view"},
        {401, JSON("woocommerce_rest_authentication_error", "{\"status\":401}"), true, LS_E_AUTH,
         "woocommerce_rest_authentication_error"},
        {401, HTML("Authorization Required"), false, LS_E_AUTH, ""},
        {403, JSON("woocommerce_rest_cannot_edit", "{\"status\":403}"), true, LS_E_AUTH,
         "woocommerce_rest_cannot_edit"},
        {403, HTML("Attention Required!"), false, LS_E_TRANSIENT, ""},
        {405, HTML("Method Not Allowed"), true, LS_E_CONFIG, ""},
        {409, "{}", true, LS_E_CONFLICT, ""},
        {410, JSON("woocommerce_rest_already_trashed", "{\"status\":410}"), true, LS_E_NOT_FOUND,
         "woocommerce_rest_already_trashed"},
        {413, HTML("Request Entity Too Large"), true, LS_E_TOO_BIG, ""},
        {413, JSON("woocommerce_rest_request_entity_too_large", "{\"status\":413}"), true,
         LS_E_TOO_BIG, "woocommerce_rest_request_entity_too_large"},
        {429, HTML("Too Many Requests"), true, LS_E_THROTTLED, ""},
        {500, JSON("internal_server_error", "{\"status\":500}"), false, LS_E_TRANSIENT,
         "internal_server_error"},
        {500, JSON("internal_server_error", "{\"status\":500}"), true, LS_E_LOST,
         "internal_server_error"},
        {500, JSON("woocommerce_rest_cannot_create_order_refund", "500"), true, LS_E_PERMANENT,
         "woocommerce_rest_cannot_create_order_refund"},
        {500, HTML("WordPress &rsaquo; Error"), false, LS_E_TRANSIENT, ""},
        {501, JSON("woocommerce_rest_trash_not_supported", "{\"status\":501}"), true,
         LS_E_PERMANENT, "woocommerce_rest_trash_not_supported"},
        {502, HTML("502 Bad Gateway"), false, LS_E_TRANSIENT, ""},
        {502, HTML("502 Bad Gateway"), true, LS_E_LOST, ""},
        {503, HTML("Maintenance"), true, LS_E_TRANSIENT, ""},
        {504, "", true, LS_E_LOST, ""},
        {301, "", false, LS_E_CONFIG, ""},
        {200, HTML("Welcome"), false, LS_E_TRANSIENT, "not_json"},
        {200, "<b>Notice</b>: Undefined index\n[{\"id\":1}]", false, LS_E_TRANSIENT, "not_json"},
        {200, "[{\"id\":1},{\"id\"", false, LS_E_TRANSIENT, "not_json"},
        {200, "", false, LS_E_TRANSIENT, "not_json"},
        {200, "0", false, LS_E_TRANSIENT, "not_json"},
        {201, "", true, LS_E_LOST, "not_json"},
        {200, "{\"id\":1} trailing", true, LS_E_LOST, "not_json"},
    };

    (void)state;
    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        struct ls_err err = read_as(cases[i].status, cases[i].body, cases[i].write, NULL);
        if (err.code != cases[i].code || strcmp(err.reason, cases[i].reason) != 0)
            fail_msg("case %zu: http %d: %s '%s': %s", i, cases[i].status, ls_err_name(err.code),
                     err.reason, err.text);
        assert_int_equal(err.http_status, cases[i].status);
        assert_non_null(
            strstr(err.text, "woocommerce 'shop-eu' cannot update product '31': http "));
        assert_null(strchr(err.text, '<'));
    }
}

static void answer__of_a_2xx__is_its_json(void **state)
{
    static const char *const bodies[] = {"[]", "{}",
                                         "{\"id\":1,\"name\":\"a\\/b \\u00e9 \\u0000\"}"};

    (void)state;
    for (size_t i = 0; i < LS_COUNT(bodies); i++) {
        struct ls_err err = LS_ERR_INIT;
        json_t *root = ls_wp_answer_read(
            &(struct ls_wp_answer){
                .status = 200, .body = bodies[i], .length = strlen(bodies[i]), .what = "w"},
            &err);
        assert_non_null(root);
        assert_int_equal(err.code, LS_E_NONE);
        json_decref(root);
    }
}

static void answer__refused_parameters__are_named(void **state)
{
    struct ls_err err = read_as(
        400,
        JSON("rest_invalid_param",
             "{\"status\":400,\"params\":{\"regular_price\":\"is <b>not<\\/b> a string\"}}"),
        true, NULL);

    (void)state;
    assert_non_null(strstr(err.text, "(regular_price: is not a string)"));
}

static void answer__patience__is_read_bounded_and_has_a_default(void **state)
{
    (void)state;
    assert_int_equal(read_as(429, "", true, "7").retry_after_ms, 7000);
    assert_int_equal(read_as(429, "", true, NULL).retry_after_ms, LS_WP_RETRY_DEFAULT_MS);
    assert_int_equal(read_as(429, "", true, "999999").retry_after_ms, LS_WP_THROTTLE_CAP_MS);
    assert_int_equal(read_as(503, HTML("Maintenance"), true, "600").retry_after_ms,
                     LS_WP_MAINTENANCE_CAP_MS);
    assert_int_equal(read_as(503, "", false, NULL).retry_after_ms, -1);
    assert_int_equal(read_as(400, "", false, "7").retry_after_ms, -1);
}

static void answer__stale_signature__is_told_apart(void **state)
{
    struct ls_err nonce = read_as(401,
                                  "{\"code\":\"woocommerce_rest_authentication_error\",\"message\":"
                                  "\"Invalid nonce - nonce has "
                                  "already been used.\",\"data\":{\"status\":401}}",
                                  true, NULL);
    struct ls_err clock =
        read_as(401,
                "{\"code\":\"woocommerce_rest_authentication_error\",\"message\":\"Invalid "
                "timestamp.\",\"data\":{\"status\":401}}",
                true, NULL);
    struct ls_err other =
        read_as(401,
                "{\"code\":\"woocommerce_rest_authentication_error\",\"message\":\"Consumer key is "
                "invalid.\",\"data\":{\"status\":401}}",
                true, NULL);

    (void)state;
    assert_int_equal(ls_wp_stale(&nonce), LS_WP_STALE_NONCE);
    assert_int_equal(ls_wp_stale(&clock), LS_WP_STALE_CLOCK);
    assert_int_equal(ls_wp_stale(&other), LS_WP_FRESH);
}

static void item_error__of_a_batch__is_classified_by_its_code(void **state)
{
    static const struct {
        const char *error;
        enum ls_err_code code;
        const char *reason;
    } cases[] = {
        {JSON("product_invalid_sku", "{\"status\":400,\"resource_id\":12}"), LS_E_EXISTS,
         "product_invalid_sku:12"},
        {JSON("woocommerce_rest_product_invalid_id", "{\"status\":400}"), LS_E_NOT_FOUND,
         "woocommerce_rest_product_invalid_id"},
        {JSON("some_plugin_says_no", "{\"status\":400}"), LS_E_PERMANENT, "some_plugin_says_no"},
        {JSON("some_plugin_says_no", "null"), LS_E_PERMANENT, "some_plugin_says_no"},
        {"{}", LS_E_PERMANENT, ""},
    };

    (void)state;
    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        json_t *error = json_loads(cases[i].error, 0, NULL);
        struct ls_err err = LS_ERR_INIT;
        ls_wp_item_error(error, "w", &err);
        assert_int_equal(err.code, cases[i].code);
        assert_string_equal(err.reason, cases[i].reason);
        json_decref(error);
    }
}

static void answer__cut_anywhere__never_crashes(void **state)
{
    static const char body[] =
        JSON("rest_invalid_param", "{\"status\":400,\"params\":{\"a\":\"b\"}}") HTML("\xc3\xa9");

    (void)state;
    for (size_t length = 0; length < sizeof body; length++) {
        for (int status = 200; status < 600; status += 50) {
            struct ls_err err = LS_ERR_INIT;
            char *exact = ls_xcalloc(length + 1, 1);
            memcpy(exact, body, length);
            json_decref(ls_wp_answer_read(
                &(struct ls_wp_answer){
                    .status = status, .body = exact, .length = length, .what = "w"},
                &err));
            free(exact);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer__every_shape_of_error__has_its_class),
        cmocka_unit_test(answer__of_a_2xx__is_its_json),
        cmocka_unit_test(answer__refused_parameters__are_named),
        cmocka_unit_test(answer__patience__is_read_bounded_and_has_a_default),
        cmocka_unit_test(answer__stale_signature__is_told_apart),
        cmocka_unit_test(item_error__of_a_batch__is_classified_by_its_code),
        cmocka_unit_test(answer__cut_anywhere__never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
