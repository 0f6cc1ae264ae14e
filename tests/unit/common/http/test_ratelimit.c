#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/http/ratelimit.h"

#define NOW_MS 1700000000000LL

/* Header lines, each ended by '\n', as the client hands them on. */
static struct ls_http_response answer(char *out, size_t size, const char *lines)
{
    size_t i;

    memset(out, 0, size);
    snprintf(out, size - 1, "%s", lines);
    for (i = 0; out[i]; i++)
        if (out[i] == '\n')
            out[i] = '\0';
    return (struct ls_http_response){.status = 200, .headers = out, .remote_ms = NOW_MS};
}

static void expect(const char *lines, double rate, int burst, long long left, long long reset_ms)
{
    char headers[4096];
    struct ls_http_response response = answer(headers, sizeof(headers), lines);
    struct ls_ratelimit limit;
    bool said = ls_ratelimit_read(&response, &limit);

    assert_int_equal(said, burst >= 1 || left >= 0 || reset_ms >= 0);
    assert_float_equal(limit.rate, rate, 0.0001);
    assert_int_equal(limit.burst, burst);
    assert_int_equal(limit.left, left);
    assert_int_equal(limit.reset_ms, reset_ms);
}

static void ratelimit__each_spelling__is_read(void **state)
{
    expect("content-type: text/plain\n", -1, -1, -1, -1);
    expect("ratelimit-limit: 100\nratelimit-remaining: 50\nratelimit-reset: 30\n", -1, 100, 50,
           30000);
    expect("ratelimit-limit: 100, 100;w=50\nratelimit-remaining: 50\n", 2, 100, 50, -1);
    expect("ratelimit-limit:10 ,10;window=1;w=1 , 60; w=60;comment=\"a, b;w=1\"\n", 1, 10, -1, -1);
    expect("ratelimit: limit=100, remaining=50, reset=30\nratelimit-policy: 100;w=60\n", 100.0 / 60,
           100, 50, 30000);
    expect("ratelimit: \"default\";r=50;t=30\nratelimit-policy: \"default\";q=100;w=10\n", 10, 100,
           50, 30000);
    expect("ratelimit: \"a\";r=9;t=1, \"b\";r=7;t=3600\n"
           "ratelimit-policy: \"a\";q=10;w=1, \"b\";q=3600;w=3600\n",
           1, 10, 7, 1000);
    expect("ratelimit-policy: \"bytes\";q=5;w=1;qu=\"content-bytes\", \"r\";q=8;w=2\n", 4, 8, -1,
           -1);
    expect("x-ratelimit-limit: 5000\nx-ratelimit-remaining: 4999\nx-ratelimit-reset: 1700000060\n",
           -1, 5000, 4999, 60000);
    expect("x-ratelimit-remaining: 0\nx-ratelimit-reset: 1700000001500\n", -1, -1, 0, 1500);
    expect("x-ratelimit-reset: 0.7\n", -1, -1, -1, 0);
    expect("x-rate-limit-limit: 15\nx-rate-limit-remaining: 3\n", -1, 15, 3, -1);
    expect("x-shopify-shop-api-call-limit: 3/40\n", 2, 40, 37, -1);
    expect("x-shopify-shop-api-call-limit: 90/80\n", 4, 80, 0, -1);
}

static void ratelimit__nonsense__says_nothing_and_is_bounded(void **state)
{
    expect("ratelimit-limit:\nratelimit-remaining: -5\nratelimit-reset: soon\n", -1, -1, -1, -1);
    expect("ratelimit-limit: 0, 0;w=0\n", -1, -1, -1, -1);
    expect("ratelimit-limit: 100;w=0;w=-1;w=x;w\n", -1, 100, -1, -1);
    expect("ratelimit: ,,;;==,\"unended;r=1\nratelimit-policy: \"\\\n", -1, -1, -1, -1);
    expect("ratelimit-remaining: 12abc\n", -1, -1, -1, -1);
    expect("x-shopify-shop-api-call-limit: 3/0\n", -1, -1, -1, -1);
    expect("x-shopify-shop-api-call-limit: /\n", -1, -1, -1, -1);
    expect("x-shopify-shop-api-call-limit: 3/40/50\n", -1, -1, -1, -1);
    expect("ratelimit-limit: 99999999999999999999999999;w=99999999999999999999999\n", 1, 1000000000,
           -1, -1);
    expect("ratelimit-reset: 99999999999999999999999999\n", -1, -1, -1, 7LL * 24 * 3600 * 1000);
    expect("x-ratelimit-reset: 1600000000\n", -1, -1, -1, 0); /* long past */
}

static void ratelimit__random_bytes__never_harm(void **state)
{
    static const char alphabet[] = "0123456789 ,;=\"\\qwrt./-limtreang\x80\xff";
    unsigned seed = 20260101;
    char lines[512], headers[1024];
    int round;

    for (round = 0; round < 20000; round++) {
        struct ls_http_response response;
        struct ls_ratelimit limit;
        size_t length = 0, i, count;
        static const char *names[] = {"ratelimit:", "ratelimit-policy:", "ratelimit-limit:",
                                      "x-ratelimit-reset:", "x-shopify-shop-api-call-limit:"};
        length = (size_t)snprintf(lines, sizeof(lines), "%s",
                                  names[(unsigned)rand_r(&seed) % LS_COUNT(names)]);
        count = (unsigned)rand_r(&seed) % 200;
        for (i = 0; i < count; i++)
            lines[length++] = alphabet[(unsigned)rand_r(&seed) % (sizeof(alphabet) - 1)];
        lines[length++] = '\n';
        lines[length] = '\0';
        response = answer(headers, sizeof(headers), lines);
        ls_ratelimit_read(&response, &limit);
        assert_true(limit.burst <= 1000000000 && limit.rate <= 1000000000);
        assert_true(limit.reset_ms <= 7LL * 24 * 3600 * 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ratelimit__each_spelling__is_read),
        cmocka_unit_test(ratelimit__nonsense__says_nothing_and_is_bounded),
        cmocka_unit_test(ratelimit__random_bytes__never_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
