#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/http/client.h"

static void url_shown__leaves_secrets_out(void **state)
{
    char out[64];

    assert_string_equal(
        ls_http_url_shown("https://ck:cs@shop.example:8443/wp-json?consumer_key=x#y", out,
                          sizeof(out)),
        "https://shop.example:8443/wp-json");
    assert_string_equal(ls_http_url_shown("https://shop.example?a=@b", out, sizeof(out)),
                        "https://shop.example");
    assert_string_equal(ls_http_url_shown("http://h/a@b", out, sizeof(out)), "http://h/a@b");
    assert_string_equal(ls_http_url_shown("nonsense", out, sizeof(out)), "nonsense");
}

static void status_error__is_sorted_by_what_to_do(void **state)
{
    static const struct {
        int status;
        const char *headers;
        int code;
    } rows[] = {{200, "", 0},
                {204, "", 0},
                {301, "", LS_E_PERMANENT},
                {400, "", LS_E_PERMANENT},
                {401, "", LS_E_AUTH},
                {403, "", LS_E_AUTH},
                {404, "", LS_E_NOT_FOUND},
                {408, "", LS_E_TRANSIENT},
                {409, "", LS_E_CONFLICT},
                {412, "", LS_E_CONFLICT},
                {422, "", LS_E_PERMANENT},
                {429, "retry-after: 3\0", LS_E_THROTTLED},
                {500, "", LS_E_TRANSIENT},
                {503, "retry-after: 3\0", LS_E_THROTTLED},
                {503, "", LS_E_TRANSIENT}};
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct ls_http_response response = {.status = rows[i].status, .headers = rows[i].headers};
        struct ls_err err = LS_ERR_INIT;
        assert_int_equal(ls_http_status_error(&response, "x", &err), rows[i].code ? -1 : 0);
        assert_int_equal(err.code, rows[i].code);
        assert_int_equal(err.retry_after_ms, rows[i].headers[0] ? 3000 : -1);
    }
}

static void header_get__any_case__first_of_its_name(void **state)
{
    struct ls_http_response response = {.headers = "x-wp-total: 42\0link: <a>\0x-wp: \0"};

    assert_string_equal(ls_http_header_get(&response, "X-WP-Total"), "42");
    assert_string_equal(ls_http_header_get(&response, "link"), "<a>");
    assert_string_equal(ls_http_header_get(&response, "X-WP"), "");
    assert_null(ls_http_header_get(&response, "x-w"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url_shown__leaves_secrets_out),
        cmocka_unit_test(status_error__is_sorted_by_what_to_do),
        cmocka_unit_test(header_get__any_case__first_of_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
