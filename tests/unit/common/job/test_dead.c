#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"

static struct ls_dead sample(struct ls_span job)
{
    return (struct ls_dead){.id = LS_SPAN("01K"),
                            .kind = LS_SPAN("http"),
                            .account = LS_SPAN("shop-eu"),
                            .error = LS_SPAN("peer said \"no\"\nand left"),
                            .klass = LS_SPAN("transient"),
                            .why = LS_SPAN("max_attempts"),
                            .http_status = 503,
                            .attempts = 5,
                            .crashes = 1,
                            .first_failed_at = 1763859600123,
                            .failed_at = 1763859700456,
                            .worker = LS_SPAN("host-1-00ff"),
                            .fence = 1763859700000001,
                            .group = LS_SPAN("0123456789abcdef"),
                            .job = job};
}

static void dead__every_field__survives_a_round_trip(void **state)
{
    struct ls_dead dead = sample(LS_SPAN("{\"kind\":\"http\",\"data\":{\"x\":0.1}}"));
    struct ls_dead read;
    struct ls_buf text = {0};
    struct ls_err err = LS_ERR_INIT;
    json_t *tree;

    ls_dead_write(&text, &dead);
    assert_null(strchr(text.data, '\n'));
    tree = json_loadb(text.data, text.length, 0, NULL);
    assert_non_null(tree);
    assert_string_equal(json_string_value(json_object_get(tree, "error")),
                        "peer said \"no\"\nand left");
    assert_string_equal(json_string_value(json_object_get(tree, "failed_at")),
                        "2025-11-23T01:01:40.456Z");
    json_decref(tree);
    if (ls_dead_parse(&read, text.data, text.length, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(ls_span_equal(read.id, dead.id));
    assert_true(ls_span_equal(read.error, dead.error));
    assert_true(ls_span_equal(read.why, dead.why));
    assert_true(ls_span_equal(read.worker, dead.worker));
    assert_true(ls_span_equal(read.group, dead.group));
    assert_true(ls_span_equal(read.job, dead.job));
    assert_true(read.job_is_json);
    assert_int_equal(read.http_status, 503);
    assert_int_equal(read.attempts, 5);
    assert_int_equal(read.crashes, 1);
    assert_true(read.fence == dead.fence);
    assert_true(read.first_failed_at == dead.first_failed_at);
    assert_true(read.failed_at == dead.failed_at);
    ls_dead_fini(&read);
    ls_buf_fini(&text);
}

static void dead__whatever_bytes_the_job_had__come_back_exactly(void **state)
{
    static const struct {
        struct ls_span job;
        const char *member;
    } rows[] = {
        {LS_SPAN("{\"kind\":\"x\"}"), "job"},
        {LS_SPAN("[1, 2 ]"), "job"},
        {LS_SPAN("  [1, 2 ]  "), "raw"},
        {LS_SPAN("{\"kind\":\n\"x\"}"), "raw"},
        {LS_SPAN("hello {"), "raw"},
        {LS_SPAN(""), "raw"},
        {LS_SPAN("nul \0 and \x7f and \t \\ \" \xc3\xa9"), "raw"},
        {LS_SPAN("\xff\xfe{"), "raw_base64"},
    };

    for (size_t i = 0; i < LS_COUNT(rows); i++) {
        struct ls_dead dead = sample(rows[i].job);
        struct ls_dead read;
        struct ls_buf text = {0};
        struct ls_err err = LS_ERR_INIT;
        char name[32] = "\"";

        ls_dead_write(&text, &dead);
        strncat(name, rows[i].member, 20);
        strncat(name, "\":", 3);
        if (!strstr(text.data, name))
            fail_msg("row %zu has no %s: %s", i, name, text.data);
        if (ls_dead_parse(&read, text.data, text.length, &err) < 0)
            fail_msg("row %zu: %s", i, err.text);
        if (!ls_span_equal(read.job, rows[i].job))
            fail_msg("row %zu: %s", i, text.data);
        ls_dead_fini(&read);
        ls_buf_fini(&text);
    }
}

static void dead__a_job_as_deep_as_jobs_may_be__can_be_read_again(void **state)
{
    char job[140];
    struct ls_dead dead, read;
    struct ls_buf text = {0};

    memset(job, '[', 64);
    memset(job + 64, ']', 64);
    dead = sample((struct ls_span){job, 128});
    ls_dead_write(&text, &dead);
    assert_int_equal(ls_dead_parse(&read, text.data, text.length, NULL), 0);
    assert_true(ls_span_equal(read.job, dead.job));
    ls_dead_fini(&read);
    ls_buf_fini(&text);
}

static void dead__what_is_no_letter__is_refused(void **state)
{
    struct ls_dead read;

    assert_int_equal(ls_dead_parse(&read, "{}", 2, NULL), -1);
    assert_int_equal(ls_dead_parse(&read, "[]", 2, NULL), -1);
    assert_int_equal(ls_dead_parse(&read, "{\"raw_base64\":\"!\"}", 18, NULL), -1);
    assert_int_equal(ls_dead_parse(&read, "{\"raw\":\"a\"", 10, NULL), -1);
}

static void dead__revived__is_canonical_and_starts_afresh(void **state)
{
    static const char job[] = "{\"id\":\"7\",\"kind\":\"http\",\"data\":{\"x\":0.10},\"attempt\":5,"
                              "\"crashes\":2,\"first_failed_at\":1763859600123,\"max_attempts\":5}";
    struct ls_dead dead = {.job = {job, sizeof job - 1}};
    struct ls_envelope envelope;
    struct ls_buf out = {0};
    struct ls_err err = LS_ERR_INIT;

    assert_int_equal(ls_dead_revive(&out, &dead, &err), 0);
    assert_string_equal(
        out.data, "{\"id\":\"7\",\"kind\":\"http\",\"data\":{\"x\":0.10},\"max_attempts\":5}");
    ls_buf_clear(&out);
    dead.job = LS_SPAN("{\"kind\":\"http\"}");
    assert_int_equal(ls_dead_revive(&out, &dead, &err), 0);
    assert_int_equal(ls_envelope_scan(&envelope, out.data, out.length, &err), 0);
    assert_true(envelope.canonical);
    ls_envelope_fini(&envelope);
    dead.job = LS_SPAN("hello");
    assert_int_equal(ls_dead_revive(&out, &dead, &err), -1);
    assert_int_equal(err.code, LS_E_INVALID);
    ls_buf_fini(&out);
}

static void dead__group__is_of_kind_account_class_status_and_code_alone(void **state)
{
    static const struct {
        struct ls_span kind, account, klass;
        int http_status;
        struct ls_span code;
    } rows[] = {
        {LS_SPAN("product"), LS_SPAN("eu"), LS_SPAN("transient"), 500, LS_SPAN("http-500")},
        {LS_SPAN("order"), LS_SPAN("eu"), LS_SPAN("transient"), 500, LS_SPAN("http-500")},
        {LS_SPAN("product"), LS_SPAN("us"), LS_SPAN("transient"), 500, LS_SPAN("http-500")},
        {LS_SPAN("product"), LS_SPAN("eu"), LS_SPAN("unknown"), 500, LS_SPAN("http-500")},
        {LS_SPAN("product"), LS_SPAN("eu"), LS_SPAN("transient"), 502, LS_SPAN("http-500")},
        {LS_SPAN("product"), LS_SPAN("eu"), LS_SPAN("transient"), 500, LS_SPAN("db_error")},
        {LS_SPAN("product"), LS_SPAN(""), LS_SPAN("transient"), 500, LS_SPAN("http-500")},
        {LS_SPAN("producteu"), LS_SPAN(""), LS_SPAN("transient"), 500, LS_SPAN("http-500")},
    };
    char groups[LS_COUNT(rows)][LS_GROUP_SIZE], again[LS_GROUP_SIZE];

    for (size_t i = 0; i < LS_COUNT(rows); i++) {
        ls_dead_group(groups[i], rows[i].kind, rows[i].account, rows[i].klass, rows[i].http_status,
                      rows[i].code);
        assert_int_equal(strspn(groups[i], "0123456789abcdef"), LS_GROUP_SIZE - 1);
        for (size_t j = 0; j < i; j++)
            if (strcmp(groups[i], groups[j]) == 0)
                fail_msg("rows %zu and %zu are one group", j, i);
    }
    ls_dead_group(again, rows[0].kind, rows[0].account, rows[0].klass, 500, rows[0].code);
    assert_string_equal(again, groups[0]);
}

static void code__is_the_reason_or_the_status_or_the_errors_name(void **state)
{
    static const struct {
        struct ls_err err;
        const char *code;
    } rows[] = {
        {{.code = LS_E_PERMANENT, .http_status = 400, .reason = "product_invalid_sku"},
         "product_invalid_sku"},
        {{.code = LS_E_EXISTS, .http_status = 400, .reason = "product_invalid_sku:117"},
         "product_invalid_sku"},
        {{.code = LS_E_EXISTS, .reason = "a:b"}, "a:b"},
        {{.code = LS_E_EXISTS, .reason = "a:"}, "a:"},
        {{.code = LS_E_EXISTS, .reason = ":7"}, "exists"},
        {{.code = LS_E_TRANSIENT, .http_status = 503}, "http-503"},
        {{.code = LS_E_NETWORK, .reason = "refused"}, "refused"},
        {{.code = LS_E_STORE}, "store"},
    };
    char code[LS_CODE_SIZE];

    for (size_t i = 0; i < LS_COUNT(rows); i++)
        assert_string_equal(ls_failure_code(code, &rows[i].err), rows[i].code);
}

static void dead__history__stands_beside_the_job_and_goes_with_a_revival(void **state)
{
    static const char job[] = "{\"id\":\"7\",\"kind\":\"http\",\"history\":[{\"at\":\"x\"}]}";
    static const char history[] = "[{\"class\":\"transient\",\"code\":\"refused\"}]";
    struct ls_dead dead = sample(LS_SPAN("{\"kind\":\"http\"}"));
    struct ls_dead read;
    struct ls_buf text = {0};

    dead.history = LS_SPAN(history);
    ls_dead_write(&text, &dead);
    assert_non_null(strstr(text.data,
                           ",\"history\":[{\"class\":\"transient\",\"code\":\"refused\"}],"
                           "\"job\":{"));
    assert_int_equal(ls_dead_parse(&read, text.data, text.length, NULL), 0);
    assert_true(ls_span_is(read.history, history));
    ls_dead_fini(&read);
    ls_buf_clear(&text);
    dead.history = LS_SPAN("[\n]"); /* a letter is one line */
    ls_dead_write(&text, &dead);
    assert_null(strstr(text.data, "history"));
    ls_buf_clear(&text);
    dead.job = (struct ls_span){job, sizeof job - 1};
    assert_int_equal(ls_dead_revive(&text, &dead, NULL), 0);
    assert_string_equal(text.data, "{\"id\":\"7\",\"kind\":\"http\"}");
    ls_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead__every_field__survives_a_round_trip),
        cmocka_unit_test(dead__whatever_bytes_the_job_had__come_back_exactly),
        cmocka_unit_test(dead__a_job_as_deep_as_jobs_may_be__can_be_read_again),
        cmocka_unit_test(dead__what_is_no_letter__is_refused),
        cmocka_unit_test(dead__revived__is_canonical_and_starts_afresh),
        cmocka_unit_test(dead__group__is_of_kind_account_class_status_and_code_alone),
        cmocka_unit_test(code__is_the_reason_or_the_status_or_the_errors_name),
        cmocka_unit_test(dead__history__stands_beside_the_job_and_goes_with_a_revival),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
