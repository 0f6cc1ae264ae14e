#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>

#include "common/base/mem.h"
#include "common/job/json.h"
#include "tests/integration/runner/common.h"
#include "tests/integration/runner/fixture.h"
#include "tests/support/http_server.h"
#include "tests/support/runner.h"

#define DONE "{\"state\":\"done\",\"result\":"

static void push_for_result(struct fixture *fixture, const char *id, const char *path,
                            const char *body)
{
    char envelope[1024];

    snprintf(envelope, sizeof(envelope),
             "{\"id\":\"%s\",\"kind\":\"http\",\"data\":{\"url\":\"%s%s\",\"body\":%s},\"result\":"
             "true}",
             id, test_http_url(fixture->http), path, body);
    push_raw(fixture->redis, envelope);
}

static const char *result_of(struct fixture *fixture, const char *id)
{
    return result_of_job(fixture->redis, id);
}

static bool has_learnt(void *arg)
{
    return strncmp(test_redis_text(arg, "HGET", KEY("limits"), "shop/learned", NULL), "5 100 ",
                   6) == 0;
}

static bool has_rate(void *arg)
{
    return test_redis_int(arg, "HEXISTS", KEY("limits"), "shop/rate", NULL) == 1;
}

static void http__result__has_status_and_body(void **state)
{
    struct fixture *fixture = *state;
    const char *result;

    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    push_for_result(fixture, "json", "/echo", "{\"a\": [1.10, null]}");
    push_for_result(fixture, "text", "/echo", "\"plain \\u00e9\\n\"");
    push_for_result(fixture, "empty", "/echo", "\"\"");
    push_for_result(fixture, "big", "/big/100000", "1");
    push_for_result(fixture, "lost", "/status/404", "1");
    push_http(fixture->redis, test_http_url(fixture->http), "/x", NULL);
    assert_true(wait_counter(fixture->redis, "done", 5, 8000));
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_string_equal(result_of(fixture, "json"),
                        DONE "{\"status\":200,\"body\":{\"a\": [1.10, null]}}}");
    assert_string_equal(result_of(fixture, "text"),
                        DONE "{\"status\":200,\"body\":\"plain \xc3\xa9\\n\"}}");
    assert_string_equal(result_of(fixture, "empty"), DONE "{\"status\":200,\"body\":\"\"}}");
    result = result_of(fixture, "big");
    assert_true(strlen(result) > 60000 && strlen(result) <= 65536 + sizeof(DONE));
    assert_true(ls_json_valid(result, strlen(result), 8));
    assert_non_null(strstr(result, "xxx\",\"truncated\":true}}"));
    assert_non_null(strstr(result_of(fixture, "lost"), "\"state\":\"dead\""));
    assert_int_equal(stop(fixture), 0);
}

static void http__what_answers_say_of_a_budget__is_learnt(void **state)
{
    struct fixture *fixture = *state;
    long long due;

    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    push_http(fixture->redis, test_http_url(fixture->http), "/budget", ",\"account\":\"shop\"");
    push_http(fixture->redis, test_http_url(fixture->http), "/budget", NULL);
    assert_true(wait_counter(fixture->redis, "done", 2, 8000));
    assert_true(test_wait(has_learnt, fixture->redis, 8000));
    /* 429 without Retry-After, but with the time of the next request */
    push_http(fixture->redis, test_http_url(fixture->http), "/exhausted", NULL);
    assert_true(wait_counter(fixture->redis, "retried", 1, 8000));
    due = (long long)strtod(
        test_redis_text(
            fixture->redis, "EVAL",
            "local t = redis.call('TIME'); local d = redis.call('ZRANGE', KEYS[1], 0, 0, "
            "'WITHSCORES'); return tostring(d[2] - t[1] * 1000 - t[2] / 1000)",
            "1", KEY("delayed"), NULL),
        NULL);
    assert_in_range(due + 1000, 1, 2000); /* within the second that it named, not in five */
    assert_int_equal(stop(fixture), 0);
}

/* Ahead of now by what is paid for, in ms. */
static double owed_ms(struct fixture *fixture)
{
    return strtod(test_redis_text(fixture->redis, "EVAL",
                                  "local t = redis.call('TIME'); local n = redis.call('HGET', "
                                  "KEYS[1], 'shop/next'); return tostring((n or 0) / 1000 - t[1] * "
                                  "1000 - t[2] / 1000)",
                                  "1", KEY("limits"), NULL),
                  NULL);
}

static void http__what_was_sent__is_paid_for(void **state)
{
    struct fixture *fixture = *state;

    fixture->runner = test_runner_start(
        fixture->redis->url, "accounts: {shop: {platform: woocommerce, url: 'http://127.0.0.1:1', "
                             "rate: 0.01, burst: 10}}\n");
    assert_true(test_wait(has_rate, fixture->redis, 8000));
    push_http(fixture->redis, test_http_url(fixture->http), "/x", ",\"account\":\"shop\"");
    push_http(fixture->redis, test_http_url(fixture->http), "/x", ",\"account\":\"shop\"");
    push_http(fixture->redis, "ftp:", "/nowhere", ",\"account\":\"shop\"");
    assert_true(wait_counter(fixture->redis, "done", 2, 8000));
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_in_range(owed_ms(fixture), 190000, 200000); /* 100 s a request: two of them */
    assert_int_equal(stop(fixture), 0);
}

static void http__refuse_private__is_dead_at_once_and_named(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]", "10.1.2.3", "0x7f.1"};
    struct fixture *fixture = *state;
    const char *port = strrchr(test_http_url(fixture->http), ':'), *letter;
    char envelope[256];
    size_t i;

    fixture->runner = test_runner_start(fixture->redis->url, "http: {refuse_private: true}\n");
    for (i = 0; i < LS_COUNT(hosts); i++) {
        snprintf(envelope, sizeof(envelope),
                 "{\"kind\":\"http\",\"data\":{\"url\":\"http://%s%s/x\"}}", hosts[i], port);
        push_raw(fixture->redis, envelope);
        assert_true(wait_counter(fixture->redis, "dead", (long long)i + 1, 8000));
        letter = test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "0", NULL);
        assert_non_null(strstr(letter, "\"class\":\"permanent\""));
        assert_non_null(strstr(letter, "\"code\":\"private_address\""));
        assert_non_null(strstr(letter, i == 3 ? "leads to 10.1.2.3 (private): refused"
                                              : "(loopback): refused"));
    }
    assert_int_equal(test_http_connections(fixture->http), 0);
    assert_int_equal(counter(fixture->redis, "retried"), 0);
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(stop(fixture), 0);
}

static void http__refuse_private_and_a_proxy__says_that_it_is_not_used(void **state)
{
    struct fixture *fixture = *state;

    setenv("https_proxy", "http://user:hush@127.0.0.1:1", 1);
    fixture->runner = test_runner_start(fixture->redis->url, "http: {refuse_private: true}\n");
    unsetenv("https_proxy");
    push_raw(fixture->redis, "{\"kind\":\"noop\"}");
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    assert_true(test_runner_logged(fixture->runner, "do not use the proxy of 'https_proxy'"));
    assert_false(test_runner_logged(fixture->runner, "hush"));
    assert_int_equal(stop(fixture), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(http__result__has_status_and_body),
        TEST(http__what_answers_say_of_a_budget__is_learnt),
        TEST(http__what_was_sent__is_paid_for),
        TEST(http__refuse_private__is_dead_at_once_and_named),
        TEST(http__refuse_private_and_a_proxy__says_that_it_is_not_used),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
