#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/job/id.h"

#define FULL                                                                                    \
    "{\"account\":\"shop-eu\",\"id\":\"01KATEST\",\"key\":\"shop-eu/product/l-12\",\"kind\":"   \
    "\"product\",\"data\":{\"id\":0.1,\"b\":[ 1 ]},\"attempt\":2,\"crashes\":1,"                \
    "\"first_failed_at\":1763859600000,\"max_attempts\":5,\"max_age\":60000,"                   \
    "\"backoff\":{\"type\":\"exponential\",\"base\":2000,\"factor\":2,\"cap\":9000,"            \
    "\"jitter\":\"none\"},\"timeout\":30000,\"traceparent\":\"00-abc-def-01\",\"status\":true," \
    "\"result\":true,\"x\":[1],\"history\":[{\"at\":\"2026\"}],\"priority\":\"high\"}"

static void envelope__every_field__survives_a_round_trip_byte_for_byte(void **state)
{
    struct ls_envelope envelope;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf out = {0};

    if (ls_envelope_scan(&envelope, FULL, sizeof FULL - 1, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(envelope.canonical);
    assert_true(ls_span_is(envelope.account, "shop-eu"));
    assert_true(ls_span_is(envelope.key, "shop-eu/product/l-12"));
    assert_true(ls_span_is(envelope.data, "{\"id\":0.1,\"b\":[ 1 ]}"));
    assert_int_equal(envelope.attempt, 2);
    assert_int_equal(envelope.crashes, 1);
    assert_true(envelope.first_failed_at == 1763859600000);
    assert_int_equal(envelope.retry.max_attempts, 5);
    assert_int_equal(envelope.retry.max_age_ms, 60000);
    assert_int_equal(envelope.retry.backoff.base_ms, 2000);
    assert_int_equal(envelope.timeout_ms, 30000);
    assert_int_equal(envelope.lane, LS_LANE_HIGH);
    assert_true(envelope.status && envelope.result);
    ls_envelope_write(&out, &envelope);
    assert_string_equal(out.data, FULL);
    assert_int_equal(ls_lane_of((struct ls_span){out.data, out.length}), LS_LANE_HIGH);
    ls_buf_fini(&out);
    ls_envelope_fini(&envelope);
}

static void scan(struct ls_envelope *envelope, const char *text)
{
    struct ls_err err = LS_ERR_INIT;

    if (ls_envelope_scan(envelope, text, strlen(text), &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

static void envelope__a_raw_push__is_valid_but_not_canonical(void **state)
{
    static const char *const texts[] = {
        "{\"kind\":\"http\",\"data\":{\"url\":\"http://x/\"}}",
        "{\"type\":\"http\",\"id\":\"1\"}",
        "{\"id\":\"1\",\"type\":\"http\"}",
        "{\"kind\":\"http\",\"id\":\"1\"}",
        " {\"id\":\"1\",\"kind\":\"http\"}",
        "{\"id\":\"1\",\"kind\":\"http\"}\n",
        "{\"id\": \"1\",\"kind\":\"http\"}",
        "{\"id\":\"1\" ,\"kind\":\"http\"}",
        "{\"id\":\"1\",\"kind\":\"http\" }",
        "{\"id\":\"1\",\"account\":\"a\",\"kind\":\"http\"}",
        "{\"account\":null,\"id\":\"1\",\"kind\":\"http\"}",
        "{\"account\":\"\",\"id\":\"1\",\"kind\":\"http\"}",
        "{\"id\":\"1\",\"kind\":\"http\",\"priority\":\"high\",\"attempt\":1}",
        "{\"id\":\"1\",\"kind\":\"http\",\"priority\":\"normal\"}",
        "{\"id\":\"\\u0031\",\"kind\":\"http\"}",
        "{\"id\":\"1\",\"attempt\":1,\"kind\":\"http\"}",
        "{\"\\u0069d\":\"1\",\"kind\":\"http\"}",
        "{\"id\":\"1\",\"x\":1,\"kind\":\"http\"}",
    };

    for (size_t i = 0; i < LS_COUNT(texts); i++) {
        struct ls_envelope envelope;

        scan(&envelope, texts[i]);
        if (envelope.canonical)
            fail_msg("canonical: %s", texts[i]);
        assert_true(ls_span_is(envelope.kind, "http"));
        ls_envelope_fini(&envelope);
    }
}

static void envelope__head_alone_and_extras_after_data__are_canonical(void **state)
{
    static const char *const texts[] = {
        "{\"id\":\"1\",\"kind\":\"http\"}",
        "{\"id\":\"1\",\"key\":\"k\",\"kind\":\"http\"}",
        "{\"account\":\"a\",\"id\":\"1\",\"kind\":\"http\",\"data\":null}",
        "{\"id\":\"1\",\"kind\":\"http\",\"attempt\":1,\"priority\":\"low\"}",
        "{\"id\":\"1\",\"kind\":\"http\",\"data\":[1, 2],\"x\":1,\"attempt\":1}",
    };

    for (size_t i = 0; i < LS_COUNT(texts); i++) {
        struct ls_envelope envelope;

        scan(&envelope, texts[i]);
        if (!envelope.canonical)
            fail_msg("not canonical: %s", texts[i]);
        ls_envelope_fini(&envelope);
    }
}

static void envelope__escaped_strings__are_decoded_and_written_plain(void **state)
{
    struct ls_envelope envelope;
    struct ls_buf out = {0};

    scan(&envelope, "{\"k\\u0069nd\":\"ht\\u0074p\",\"key\":\"a\\/\\u00e9\",\"id\":\"i\",\"data\":"
                    "\"\\u0041\"}");
    assert_true(ls_span_is(envelope.kind, "http"));
    assert_true(ls_span_is(envelope.key, "a/\xc3\xa9"));
    ls_envelope_write(&out, &envelope);
    assert_string_equal(
        out.data, "{\"id\":\"i\",\"key\":\"a/\xc3\xa9\",\"kind\":\"http\",\"data\":\"\\u0041\"}");
    ls_buf_fini(&out);
    ls_envelope_fini(&envelope);
}

static void envelope__durations__take_ms_or_text_with_a_unit(void **state)
{
    struct ls_envelope envelope;

    scan(&envelope, "{\"kind\":\"x\",\"max_age\":\"6h\",\"timeout\":1500,\"backoff\":{\"type\":"
                    "\"fixed\",\"delay\":\"2s\",\"cap\":\"10m\"}}");
    assert_int_equal(envelope.retry.max_age_ms, 6 * 3600 * 1000);
    assert_int_equal(envelope.timeout_ms, 1500);
    assert_int_equal(envelope.retry.backoff.type, LS_BACKOFF_FIXED);
    assert_int_equal(envelope.retry.backoff.base_ms, 2000);
    assert_int_equal(envelope.retry.backoff.cap_ms, 600000);
    ls_envelope_fini(&envelope);
}

static void refused(const char *text, const char *reason)
{
    struct ls_envelope envelope;
    struct ls_err err = LS_ERR_INIT;

    if (ls_envelope_scan(&envelope, text, strlen(text), &err) == 0)
        fail_msg("accepted: %s", text);
    if (!strstr(err.text, reason))
        fail_msg("%s: '%s' does not say '%s'", text, err.text, reason);
    ls_envelope_fini(&envelope);
}

static void envelope__malformed__is_refused_with_its_reason(void **state)
{
    refused("", "empty");
    refused("   ", "empty");
    refused("hello", "not a JSON object");
    refused("[1]", "not a JSON object");
    refused("{\"kind\":\"x\"", "ends too early");
    refused("{\"kind\":\"x\"} x", "behind the job's closing brace");
    refused("{\"data\":{}}", "no 'kind'");
    refused("{\"kind\":\"\"}", "no 'kind'");
    refused("{\"kind\":null}", "no 'kind'");
    refused("{\"kind\":7}", "'kind' must be a string");
    refused("{\"kind\":\"a b\"}", "'kind' has a character");
    refused("{\"kind\":\"x\",\"type\":\"x\"}", "twice");
    refused("{\"kind\":\"x\",\"id\":\"1\",\"id\":\"2\"}", "'id' twice");
    refused("{\"kind\":\"x\",\"account\":\"Shop\"}", "'account' has a character");
    refused("{\"kind\":\"x\",\"key\":\"a\\\"b\"}", "'key' has a character");
    refused("{\"kind\":\"x\",\"key\":\"a\\nb\"}", "'key' has a character");
    refused("{\"kind\":\"x\",\"key\":\"a\\u0000b\"}", "'key' has a character");
    refused("{\"kind\":\"x\",\"attempt\":-1}", "'attempt' must be a whole number");
    refused("{\"kind\":\"x\",\"attempt\":1.5}", "'attempt' must be a whole number");
    refused("{\"kind\":\"x\",\"max_attempts\":0}", "'max_attempts' must be a whole number");
    refused("{\"kind\":\"x\",\"max_age\":\"soon\"}", "'max_age' must be a time");
    refused("{\"kind\":\"x\",\"priority\":\"urgent\"}", "'priority' must be");
    refused("{\"kind\":\"x\",\"status\":1}", "'status' must be true or false");
    refused("{\"kind\":\"x\",\"backoff\":5}", "'backoff' must be an object");
    refused("{\"kind\":\"x\",\"backoff\":{\"typ\":1}}", "'backoff' has no setting 'typ'");
    refused("{\"kind\":\"x\",\"backoff\":{\"factor\":0.5}}", "'backoff.factor'");
    refused(
        "{\"kind\":\"x\",\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1}",
        "more than 8");
    refused("{\"kind\":\"x\",\"data\":\"\xff\"}", "not UTF-8");
    refused("{\"kind\":\"x\",\"data\":\"\\ud800\"}", "an escape is wrong");
    refused("{\"kind\":\"x\",\"history\":{}}", "'history' must be an array");
}

/* What letters of malformed jobs are grouped by. */
static void envelope__malformed__has_its_kind_of_fault_as_reason(void **state)
{
    static const char *const rows[][2] = {
        {"", "empty"},
        {"hello", "not_object"},
        {"{\"kind\":\"x\"", "not_json"},
        {"{\"kind\":\"x\"} x", "trailing_bytes"},
        {"{\"data\":{}}", "no_kind"},
        {"{\"kind\":7}", "bad_kind"},
        {"{\"kind\":\"x\",\"type\":\"x\"}", "double_member"},
        {"{\"kind\":\"x\",\"key\":\"a\\\"b\"}", "bad_key"},
        {"{\"kind\":\"x\",\"backoff\":{\"typ\":1}}", "bad_backoff"},
        {"{\"kind\":\"x\",\"max_age\":\"soon\"}", "bad_max_age"},
        {"{\"kind\":\"x\",\"history\":1}", "bad_history"},
        {"{\"kind\":\"x\",\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1}",
         "too_many_members"},
    };

    for (size_t i = 0; i < LS_COUNT(rows); i++) {
        struct ls_envelope envelope;
        struct ls_err err = LS_ERR_INIT;

        assert_int_equal(ls_envelope_scan(&envelope, rows[i][0], strlen(rows[i][0]), &err), -1);
        assert_string_equal(err.reason, rows[i][1]);
        ls_envelope_fini(&envelope);
    }
}

static void envelope__readable_head_of_a_malformed_one__is_kept_for_its_letter(void **state)
{
    static const char text[] = "{\"account\":\"a\",\"id\":\"1\",\"kind\":\"x\",\"attempt\":-1}";
    struct ls_envelope envelope;

    assert_int_equal(ls_envelope_scan(&envelope, text, sizeof text - 1, NULL), -1);
    assert_true(ls_span_is(envelope.account, "a"));
    assert_true(ls_span_is(envelope.id, "1"));
    assert_true(ls_span_is(envelope.kind, "x"));
    ls_envelope_fini(&envelope);
}

static void envelope__size_and_depth__are_bounded(void **state)
{
    struct ls_buf text = {0};
    struct ls_envelope envelope;
    struct ls_err err = LS_ERR_INIT;

    ls_buf_puts(&text, "{\"kind\":\"x\",\"data\":\"");
    while (text.length < LS_ENVELOPE_MAX - 2)
        ls_buf_putc(&text, 'a');
    ls_buf_puts(&text, "\"}");
    assert_int_equal(text.length, LS_ENVELOPE_MAX);
    assert_int_equal(ls_envelope_scan(&envelope, text.data, text.length, &err), 0);
    ls_envelope_fini(&envelope);
    while (text.length < LS_ENVELOPE_MAX + LS_ENVELOPE_GROWTH)
        ls_buf_putc(&text, ' ');
    assert_int_equal(ls_envelope_scan(&envelope, text.data, text.length, &err), 0);
    ls_envelope_fini(&envelope);
    ls_buf_putc(&text, ' ');
    assert_int_equal(ls_envelope_scan(&envelope, text.data, text.length, &err), -1);
    assert_int_equal(err.code, LS_E_TOO_BIG);
    ls_buf_clear(&text);
    ls_buf_puts(&text, "{\"kind\":\"x\",\"data\":");
    for (int i = 0; i < 63; i++)
        ls_buf_putc(&text, '[');
    for (int i = 0; i < 63; i++)
        ls_buf_putc(&text, ']');
    ls_buf_putc(&text, '}');
    assert_int_equal(ls_envelope_scan(&envelope, text.data, text.length, &err), 0);
    ls_envelope_fini(&envelope);
    ls_buf_clear(&text);
    ls_buf_puts(&text, "{\"kind\":\"x\",\"data\":");
    for (int i = 0; i < 64; i++)
        ls_buf_putc(&text, '[');
    assert_int_equal(ls_envelope_scan(&envelope, text.data, text.length, &err), -1);
    assert_non_null(strstr(err.text, "nested too deeply"));
    ls_envelope_fini(&envelope);
    ls_buf_fini(&text);
}

/* All that is added to a job after its push, each at its longest. */
static void envelope__as_long_as_a_producers_may_be__has_room_for_what_is_added(void **state)
{
    struct ls_buf text = {0}, full = {0}, revived = {0};
    struct ls_envelope envelope, again;
    struct ls_dead letter = {0};
    char id[LS_ID_SIZE];

    ls_buf_puts(&text, "{\"kind\":\"x\",\"timeout\":\"3650d\",\"max_age\":\"3650d\",\"backoff\":"
                       "{\"base\":\"3650d\",\"cap\":\"3650d\"},\"data\":\"");
    while (text.length < LS_ENVELOPE_MAX - 2)
        ls_buf_putc(&text, 'a');
    ls_buf_puts(&text, "\"}");
    assert_int_equal(text.length, LS_ENVELOPE_MAX);
    assert_int_equal(ls_envelope_scan(&envelope, text.data, text.length, NULL), 0);
    envelope.id = ls_span_of(ls_id_new(id));
    envelope.status = envelope.result = true;
    envelope.attempt = envelope.crashes = 1000000;
    envelope.first_failed_at = 100000000000000;
    ls_envelope_write(&full, &envelope);
    assert_in_range(full.length, LS_ENVELOPE_MAX + 1, LS_ENVELOPE_MAX + LS_ENVELOPE_GROWTH);
    assert_int_equal(ls_envelope_scan(&again, full.data, full.length, NULL), 0);
    assert_int_equal(again.attempt, 1000000);
    ls_envelope_fini(&again);
    letter.job = (struct ls_span){full.data, full.length};
    assert_int_equal(ls_dead_revive(&revived, &letter, NULL), 0);
    assert_int_equal(ls_envelope_scan(&again, revived.data, revived.length, NULL), 0);
    assert_int_equal(again.attempt, 0);
    ls_envelope_fini(&again);
    ls_envelope_fini(&envelope);
    ls_buf_fini(&text);
    ls_buf_fini(&full);
    ls_buf_fini(&revived);
}

static void envelope__what_a_producer_filled_in__is_checked_by_name(void **state)
{
    struct ls_envelope envelope = {.kind = LS_SPAN("http"), .data = LS_SPAN("{\"a\":1}")};
    struct ls_err err = LS_ERR_INIT;
    char *big;

    assert_int_equal(ls_envelope_check(&envelope, &err), 0);
    envelope.data = LS_SPAN("hello");
    assert_int_equal(ls_envelope_check(&envelope, &err), -1);
    assert_string_equal(err.text, "'data' is not valid JSON");
    assert_int_equal(err.code, LS_E_USAGE);
    envelope.data = LS_SPAN("{} {}");
    assert_int_equal(ls_envelope_check(&envelope, &err), -1);
    envelope.data = (struct ls_span){0};
    envelope.account = LS_SPAN("Shop EU");
    assert_int_equal(ls_envelope_check(&envelope, &err), -1);
    assert_non_null(strstr(err.text, "'account'"));
    envelope.account = (struct ls_span){0};
    envelope.kind = (struct ls_span){0};
    assert_int_equal(ls_envelope_check(&envelope, &err), -1);
    envelope.kind = LS_SPAN("x");
    big = ls_xcalloc(1, LS_ENVELOPE_MAX + 1);
    memset(big, ' ', LS_ENVELOPE_MAX);
    big[0] = '1';
    envelope.data = (struct ls_span){big, LS_ENVELOPE_MAX - 5};
    assert_int_equal(ls_envelope_check(&envelope, &err), -1);
    assert_int_equal(err.code, LS_E_USAGE);
    assert_non_null(strstr(err.text, "65536 are allowed"));
    free(big);
    envelope = (struct ls_envelope){.kind = LS_SPAN("x"), .timeout_ms = -1};
    assert_int_equal(ls_envelope_check(&envelope, &err), -1);
    assert_non_null(strstr(err.text, "'timeout' cannot be -1"));
    envelope = (struct ls_envelope){.kind = LS_SPAN("x"), .retry.max_attempts = 1000001};
    assert_int_equal(ls_envelope_check(&envelope, &err), -1);
    assert_non_null(strstr(err.text, "'max_attempts'"));
}

static void lane__of_text_that_only_looks_like_a_priority__is_normal(void **state)
{
    assert_int_equal(
        ls_lane_of(LS_SPAN("{\"kind\":\"x\",\"data\":\",\\\"priority\\\":\\\"high\\\"}\"}")),
        LS_LANE_NORMAL);
    assert_int_equal(ls_lane_of(LS_SPAN("{\"data\":{\"a\":1,\"priority\":\"high\"}}")),
                     LS_LANE_NORMAL);
    assert_int_equal(ls_lane_of(LS_SPAN("{\"a\":1,\"priority\":\"low\"}")), LS_LANE_LOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelope__every_field__survives_a_round_trip_byte_for_byte),
        cmocka_unit_test(envelope__a_raw_push__is_valid_but_not_canonical),
        cmocka_unit_test(envelope__head_alone_and_extras_after_data__are_canonical),
        cmocka_unit_test(envelope__escaped_strings__are_decoded_and_written_plain),
        cmocka_unit_test(envelope__durations__take_ms_or_text_with_a_unit),
        cmocka_unit_test(envelope__malformed__is_refused_with_its_reason),
        cmocka_unit_test(envelope__malformed__has_its_kind_of_fault_as_reason),
        cmocka_unit_test(envelope__readable_head_of_a_malformed_one__is_kept_for_its_letter),
        cmocka_unit_test(envelope__size_and_depth__are_bounded),
        cmocka_unit_test(envelope__as_long_as_a_producers_may_be__has_room_for_what_is_added),
        cmocka_unit_test(envelope__what_a_producer_filled_in__is_checked_by_name),
        cmocka_unit_test(lane__of_text_that_only_looks_like_a_priority__is_normal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
