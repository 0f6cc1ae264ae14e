#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/hash.h"

static void err__wrap__puts_context_before_the_text_and_keeps_the_code(void **state)
{
    struct ls_err err = LS_ERR_INIT;

    assert_int_equal(ls_fail(&err, LS_E_STORE, "database is %s", "locked"), -1);
    ls_wrap(&err, "cannot load cursor of feed '%s'", "x");
    assert_string_equal(err.text, "cannot load cursor of feed 'x': database is locked");
    assert_int_equal(err.code, LS_E_STORE);
}

static void err__text_from_outside__cannot_forge_a_line(void **state)
{
    struct ls_err err = LS_ERR_INIT;

    ls_fail(&err, LS_E_INVALID, "bad '%s'", "a\nb\x1b[31m");
    assert_string_equal(err.text, "bad 'a b [31m'");
}

static void buf__json_string__escapes_controls_and_repairs_utf8(void **state)
{
    struct ls_buf buf = {0};

    ls_buf_json_string(&buf, "a\"\\\n\x01\xff\xc3\xa9", 8);
    assert_string_equal(buf.data, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\"");
    ls_buf_fini(&buf);
}

static void utf8__overlong_and_surrogates__are_refused(void **state)
{
    assert_true(ls_utf8_valid("\xf0\x9f\x98\x80", 4));
    assert_false(ls_utf8_valid("\xc0\x80", 2));
    assert_false(ls_utf8_valid("\xed\xa0\x80", 3));
    assert_false(ls_utf8_valid("\xf0\x9f\x98", 3));
}

static void duration__units__add_up_and_nonsense_is_refused(void **state)
{
    assert_int_equal(ls_duration_parse("250ms"), 250);
    assert_int_equal(ls_duration_parse("1h30m"), 5400000);
    assert_int_equal(ls_duration_parse("0"), 0);
    assert_int_equal(ls_duration_parse("5"), -1);
    assert_int_equal(ls_duration_parse("-5s"), -1);
    assert_int_equal(ls_duration_parse("5 s"), -1);
    assert_int_equal(ls_duration_parse("99999999999999999999d"), -1);
    assert_int_equal(ls_duration_parse(""), -1);
}

static void clock__a_time_without_end__stays_below_overflow(void **state)
{
    int64_t before_ms = ls_clock_mono_ms();

    assert_true(ls_clock_mono_after_ms(5) - before_ms < 60000);
    assert_true(ls_clock_mono_after_ms(INT64_MAX) - before_ms >= LS_DURATION_MAX_MS);
    assert_true(ls_clock_mono_after_ms(INT64_MAX) - before_ms < LS_DURATION_MAX_MS + 60000);
}

static void clock__parse__is_the_inverse_of_format_and_takes_nothing_else(void **state)
{
    static const char *const wrong[] = {
        "",
        "2026-11-23T00:51:00.123",
        "2026-11-23T00:51:00.123+",
        "2026-02-31T00:51:00.123Z",
        "2026-11-23T24:00:00.000Z",
        "2026-11- 3T00:51:00.123Z",
        "+026-11-03T00:51:00.123Z",
        "2026-11-23T00:51:00.123ZZ",
    };
    static const int64_t times[] = {1, 999, 1000, 1763859600123, 4102444800000};
    char text[LS_CLOCK_TEXT_SIZE];

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        ls_clock_format(text, times[i]);
        assert_true(ls_clock_parse(text, strlen(text)) == times[i]);
    }
    assert_string_equal(ls_clock_format(text, 253402300799999), "9999-12-31T23:59:59.999Z");
    assert_string_equal(ls_clock_format(text, 253402300800000), "");
    assert_string_equal(ls_clock_format(text, INT64_MAX), "");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_true(ls_clock_parse(wrong[i], strlen(wrong[i])) == 0);
}

static void base64__round_trip__and_bad_text_is_refused(void **state)
{
    size_t length = 0;
    char *text = ls_base64("a\0b\xff", 4);
    unsigned char *bytes = ls_base64_decode(text, strlen(text), &length);

    assert_string_equal(text, "YQBi/w==");
    assert_int_equal(length, 4);
    assert_memory_equal(bytes, "a\0b\xff", 4);
    assert_null(ls_base64_decode("YQB", 3, &length));
    free(text);
    free(bytes);
}

static void hmac_sha256__rfc_4231_case_2(void **state)
{
    unsigned char out[32];
    static const unsigned char want[] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e};

    ls_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    assert_memory_equal(out, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err__wrap__puts_context_before_the_text_and_keeps_the_code),
        cmocka_unit_test(err__text_from_outside__cannot_forge_a_line),
        cmocka_unit_test(buf__json_string__escapes_controls_and_repairs_utf8),
        cmocka_unit_test(utf8__overlong_and_surrogates__are_refused),
        cmocka_unit_test(duration__units__add_up_and_nonsense_is_refused),
        cmocka_unit_test(clock__a_time_without_end__stays_below_overflow),
        cmocka_unit_test(clock__parse__is_the_inverse_of_format_and_takes_nothing_else),
        cmocka_unit_test(base64__round_trip__and_bad_text_is_refused),
        cmocka_unit_test(hmac_sha256__rfc_4231_case_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
