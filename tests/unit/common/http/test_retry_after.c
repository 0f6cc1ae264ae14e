#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/clock.h"
#include "common/http/retry_after.h"

static void retry_after__seconds__are_read(void **state)
{
    assert_int_equal(ls_retry_after_ms("7", 0), 7000);
    assert_int_equal(ls_retry_after_ms(" 0 ", 0), 0);
    assert_int_equal(ls_retry_after_ms("99999999999", 0), 7LL * 24 * 3600 * 1000);
    assert_int_equal(ls_retry_after_ms(NULL, 0), -1);
    assert_int_equal(ls_retry_after_ms("", 0), -1);
    assert_int_equal(ls_retry_after_ms("soon", 0), -1);
    assert_int_equal(ls_retry_after_ms("-5", 0), -1);
    assert_int_equal(ls_retry_after_ms("1.5", 0), -1);
}

static void retry_after__date__is_measured_by_the_peers_clock(void **state)
{
    int64_t remote = ls_http_date_parse("Sun, 06 Nov 1994 08:49:37 GMT");

    assert_int_equal(remote, 784111777000);
    assert_int_equal(ls_retry_after_ms("Sun, 06 Nov 1994 08:49:47 GMT", remote), 10000);
    assert_int_equal(ls_retry_after_ms("Sun, 06 Nov 1994 08:49:27 GMT", remote), 0);
    assert_int_equal(ls_retry_after_ms("Sun, 06 Nov 1994 08:49:27 GMT", 0), 0);
}

static void http_date__the_three_forms__mean_the_same(void **state)
{
    assert_int_equal(ls_http_date_parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777000);
    assert_int_equal(ls_http_date_parse("Sun Nov  6 08:49:37 1994"), 784111777000);
    assert_int_equal(ls_http_date_parse("Thu, 29 Feb 2024 23:59:59 GMT"), 1709251199000);
    assert_int_equal(ls_http_date_parse("Fri, 01 Mar 2024 00:00:00 GMT"), 1709251200000);
    assert_int_equal(ls_http_date_parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    assert_int_equal(ls_http_date_parse("Mon, 23 Nov 2026 02:00:00 GMT"), 1795399200000);
    assert_int_equal(ls_http_date_parse("Sun, 06 Foo 1994 08:49:37 GMT"), -1);
    assert_int_equal(ls_http_date_parse("Sun, 06 Nov 1994 28:49:37 GMT"), -1);
    assert_int_equal(ls_http_date_parse(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_after__seconds__are_read),
        cmocka_unit_test(retry_after__date__is_measured_by_the_peers_clock),
        cmocka_unit_test(http_date__the_three_forms__mean_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
