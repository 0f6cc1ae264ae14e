#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/job/envelope.h"
#include "tests/integration/runner/common.h"
#include "tests/integration/runner/fixture.h"
#include "tests/support/http_server.h"
#include "tests/support/runner.h"
#include "worker/main.h"

static bool served_some(void *arg)
{
    return test_http_requests(((struct fixture *)arg)->http) > 0;
}

static void runner__raw_http_job__is_delivered_and_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    char envelope[256];
    const char *request;

    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    snprintf(envelope, sizeof(envelope),
             "{\"kind\":\"http\",\"data\":{\"url\":\"%s/x\",\"body\":{\"a\": 1.10,\"b\":[]}}}",
             test_http_url(fixture->http));
    push_raw(fixture->redis, envelope);
    assert_true(wait_counter(fixture->redis, "done", 1, 6000));
    request = test_http_request(fixture->http, 0);
    assert_non_null(strstr(request, "POST /x HTTP/1.1\r\n"));
    assert_non_null(strstr(request, "Idempotency-Key: 01"));
    assert_non_null(strstr(request, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(request, "\r\n\r\n{\"a\": 1.10,\"b\":[]}")); /* byte for byte */
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL), 0);
    assert_int_equal(stop(fixture), 0);
    assert_int_equal(test_redis_int(fixture->redis, "ZCARD", KEY("workers"), NULL), 0);
}

static void runner__string_body_and_signature__as_documented(void **state)
{
    struct fixture *fixture = *state;
    char envelope[512];
    const char *request;

    fixture->runner = test_runner_start(fixture->redis->url, "http: {secret: shh}\n");
    snprintf(envelope, sizeof(envelope),
             "{\"kind\":\"http\",\"data\":{\"url\":\"%s/"
             "x\",\"method\":\"PUT\",\"headers\":{\"X-A\":\"b\\u0041\"},\"body\":\"t\\n\\u00e9\"}}",
             test_http_url(fixture->http));
    push_raw(fixture->redis, envelope);
    assert_true(wait_counter(fixture->redis, "done", 1, 6000));
    request = test_http_request(fixture->http, 0);
    assert_non_null(strstr(request, "PUT /x HTTP/1.1\r\n"));
    assert_non_null(strstr(request, "X-A: bA\r\n"));
    assert_non_null(strstr(request, "Lockstep-Signature: t="));
    assert_non_null(strstr(request, ",v1="));
    assert_non_null(strstr(request, "\r\n\r\nt\n\xc3\xa9"));
}

static void runner__unusable_envelopes__lie_in_dead_byte_for_byte(void **state)
{
    struct fixture *fixture = *state;
    const char *letter;

    push_raw(fixture->redis, "{\"kind\":\"noop\",");
    push_raw(fixture->redis, "not json at all");
    push_raw(fixture->redis, "{\"kind\":\"dance\",\"data\":{\"x\":1.10}}");
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(wait_counter(fixture->redis, "dead", 3, 6000));
    letter = test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "2", NULL);
    assert_non_null(strstr(letter, "\"class\":\"malformed\""));
    assert_non_null(strstr(letter, "\"raw\":\"{\\\"kind\\\":\\\"noop\\\",\""));
    letter = test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "1", NULL);
    assert_non_null(strstr(letter, "not json at all"));
    letter = test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "0", NULL);
    assert_non_null(strstr(letter, "unknown_kind"));
    assert_non_null(strstr(letter, "unknown kind 'dance'"));
    assert_non_null(strstr(letter, "{\"x\":1.10}"));
    assert_int_equal(jobs_left(fixture->redis), 0);
}

static void runner__answers__decide_between_done_retry_and_dead(void **state)
{
    struct fixture *fixture = *state;
    const char *url = test_http_url(fixture->http);
    const char *quick =
        ",\"max_attempts\":3,\"backoff\":{\"type\":\"fixed\",\"base\":20,\"jitter\":\"none\"}";

    push_http(fixture->redis, url, "/status/404", quick);
    push_http(fixture->redis, url, "/status/301", quick);
    push_http(fixture->redis, url, "/status/503", quick);
    push_http(fixture->redis, url, "/close", quick);
    push_raw(fixture->redis, "{\"kind\":\"http\",\"data\":{\"url\":\"ftp://x\"}}");
    push_raw(fixture->redis, "{\"kind\":\"http\",\"data\":{}}");
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(wait_counter(fixture->redis, "dead", 6, 10000));
    assert_int_equal(test_http_requests(fixture->http), 1 + 1 + 3 + 3);
    assert_int_equal(counter(fixture->redis, "retried"), 4);
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL), 6);
}

/* Id, attempt and the time of its first failure come on top of what was pushed. */
static void runner__a_job_of_the_greatest_length__is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    struct ls_buf text = {0};
    const char *letter;

    ls_buf_printf(
        &text,
        "{\"kind\":\"http\",\"max_attempts\":3,\"backoff\":{\"type\":\"fixed\",\"base\":20,"
        "\"jitter\":\"none\"},\"data\":{\"url\":\"%s/status/503\",\"body\":\"",
        test_http_url(fixture->http));
    while (text.length < LS_ENVELOPE_MAX - 3)
        ls_buf_putc(&text, 'a');
    ls_buf_puts(&text, "\"}}");
    assert_int_equal(text.length, 65536);
    push_raw(fixture->redis, text.data);
    ls_buf_fini(&text);
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(wait_counter(fixture->redis, "dead", 1, 10000));
    assert_int_equal(counter(fixture->redis, "retried"), 2);
    letter = test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "0", NULL);
    assert_non_null(strstr(letter, "\"class\":\"transient\""));
    assert_non_null(strstr(letter, "\"attempts\":3"));
}

static void runner__throttled_job__waits_for_retry_after(void **state)
{
    struct fixture *fixture = *state;

    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    push_http(fixture->redis, test_http_url(fixture->http), "/retry/1", NULL);
    assert_true(wait_counter(fixture->redis, "retried", 2, 12000));
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL), 0);
    assert_in_range(test_http_requests(fixture->http), 2, 3);
}

static void runner__account_throttled__parks_only_that_account(void **state)
{
    struct fixture *fixture = *state;
    const char *url = test_http_url(fixture->http);
    int i;

    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    for (i = 0; i < 5; i++) {
        char one[600], other[600];
        snprintf(one, sizeof(one),
                 "{\"account\":\"slow\",\"id\":\"s%d\",\"kind\":\"http\",\"data\":{\"url\":\"%s/"
                 "retry/30\"}}",
                 i, url);
        snprintf(
            other, sizeof(other),
            "{\"account\":\"fast\",\"id\":\"f%d\",\"kind\":\"http\",\"data\":{\"url\":\"%s/x\"}}",
            i, url);
        push_raw(fixture->redis, one);
        push_raw(fixture->redis, other);
    }
    assert_true(wait_counter(fixture->redis, "done", 5, 8000));
    assert_true(wait_counter(fixture->redis, "limited", 5, 8000));
    assert_int_equal(test_redis_int(fixture->redis, "ZCARD", KEY("held"), NULL), 5);
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("dead"), NULL), 0);
    assert_true(test_runner_logged(fixture->runner, "account.parked"));
}

static void runner__timeout_of_a_job__ends_it_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    int64_t begun = ls_clock_mono_ms();

    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    push_http(fixture->redis, test_http_url(fixture->http), "/stall",
              ",\"timeout\":300,\"max_attempts\":1");
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    assert_true(ls_clock_mono_ms() - begun < 7000);
    assert_non_null(
        strstr(test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "0", NULL), "timeout"));
}

static void runner__plain_pushes_with_a_key__coalesce(void **state)
{
    struct fixture *fixture = *state;
    char envelope[512];
    int i;

    for (i = 0; i < 20; i++) {
        snprintf(envelope, sizeof(envelope),
                 "{\"kind\":\"http\",\"key\":\"k1\",\"data\":{\"url\":\"%s/delay/"
                 "100\",\"body\":{\"n\":%d}}}",
                 test_http_url(fixture->http), i);
        push_raw(fixture->redis, envelope);
    }
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(wait_counter(fixture->redis, "rekeyed", 20, 8000));
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    test_wait(counter_reached, &(struct counter_wait){fixture->redis, "done", 3}, 600);
    assert_in_range(test_http_requests(fixture->http), 1, 3);
    /* the last word wins */
    assert_non_null(strstr(test_http_request(fixture->http, test_http_requests(fixture->http) - 1),
                           "{\"n\":19}"));
    assert_int_equal(jobs_left(fixture->redis), 0);
    assert_int_equal(test_redis_int(fixture->redis, "HLEN", KEY("keys"), NULL), 0);
}

static void runner__crash_suspects__run_one_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    char envelope[512];
    int i;

    for (i = 0; i < 4; i++) {
        snprintf(
            envelope, sizeof(envelope),
            "{\"id\":\"c%d\",\"kind\":\"http\",\"data\":{\"url\":\"%s/delay/200\"},\"crashes\":2}",
            i, test_http_url(fixture->http));
        push_raw(fixture->redis, envelope);
    }
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(test_wait(served_some, fixture, 5000));
    assert_int_equal(test_http_requests(fixture->http), 1);
    assert_int_equal(running_claims(fixture->redis), 1);
    assert_true(wait_counter(fixture->redis, "done", 4, 15000));
    assert_int_equal(test_http_requests(fixture->http), 4);
    assert_int_equal(jobs_left(fixture->redis), 0);
}

static void runner__terminated__finishes_what_it_has_and_leaves_the_rest(void **state)
{
    struct fixture *fixture = *state;
    int i;

    for (i = 0; i < 20; i++)
        push_http(fixture->redis, test_http_url(fixture->http), "/delay/500", NULL);
    fixture->runner =
        test_runner_start(fixture->redis->url, "queues: {default: {concurrency: 4}}\n");
    assert_true(test_wait(served_some, fixture, 5000));
    assert_int_equal(stop(fixture), LS_EXIT_OK);
    assert_int_equal(counter(fixture->redis, "done"), test_http_requests(fixture->http));
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("pending"), NULL),
                     20 - test_http_requests(fixture->http));
    assert_int_equal(running_claims(fixture->redis), 0);
    assert_int_equal(test_redis_int(fixture->redis, "ZCARD", KEY("workers"), NULL), 0);
}

static void runner__grace_over__gives_back_what_still_runs(void **state)
{
    struct fixture *fixture = *state;

    push_http(fixture->redis, test_http_url(fixture->http), "/stall", NULL);
    fixture->runner = test_runner_start(fixture->redis->url, "shutdown_grace: 1s\n");
    assert_true(test_wait(served_some, fixture, 5000));
    assert_int_equal(stop(fixture), LS_EXIT_OK);
    assert_int_equal(test_redis_int(fixture->redis, "LLEN", KEY("pending"), NULL), 1);
    assert_null(
        strstr(test_redis_text(fixture->redis, "LINDEX", KEY("pending"), "0", NULL), "attempt"));
    assert_int_equal(running_claims(fixture->redis), 0);
}

static bool has_ended(void *arg)
{
    char path[64], state = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)((struct test_runner *)arg)->pid);
    file = fopen(path, "re");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 0;
    if (file)
        fclose(file);
    return state == 'Z';
}

static void runner__max_jobs__asks_to_be_replaced_without_losing_one(void **state)
{
    struct fixture *fixture = *state;
    int i;

    for (i = 0; i < 300; i++)
        push_raw(fixture->redis, "{\"kind\":\"noop\"}");
    fixture->runner = test_runner_start(fixture->redis->url, "max_jobs: 100\n");
    assert_true(test_wait(has_ended, fixture->runner, 8000));
    assert_int_equal(stop(fixture), LS_EXIT_REPLACE);
    assert_true(counter(fixture->redis, "done") >= 100);
    assert_int_equal(counter(fixture->redis, "done") +
                         test_redis_int(fixture->redis, "LLEN", KEY("pending"), NULL),
                     300);
    assert_int_equal(running_claims(fixture->redis), 0);
}

static void runner__exec__runs_what_is_allowed(void **state)
{
    struct fixture *fixture = *state;
    struct ls_buf yaml = {0};
    char dir[96], script[160];
    const char *letter;
    FILE *file;

    test_temp_dir(dir, sizeof(dir));
    snprintf(script, sizeof(script), "%s/job.sh", dir);
    file = fopen(script, "w");
    fprintf(file,
            "#!/bin/sh\ncase $1 in\nok) cat >%s/out; echo \"$LOCKSTEP_JOB_ID $LOCKSTEP_ATTEMPT\" "
            ">%s/env;;\n"
            "bad) echo 'no such record' >&2; exit 65;;\nfork) sleep 60 & exit 0;;\nhang) (sleep 61 "
            "& echo $! >%s/pid; wait);;\nesac\n",
            dir, dir, dir);
    fclose(file);
    assert_int_equal((system)("chmod +x /tmp/ls-test-*/job.sh 2>/dev/null; true"), 0);
    ls_buf_printf(&yaml, "exec: {allow: [\"%s ok\", \"%s bad\", \"%s hang\", \"%s fork\"]}\n",
                  script, script, script, script);
    fixture->runner = test_runner_start(fixture->redis->url, yaml.data);
    ls_buf_clear(&yaml);
    ls_buf_printf(
        &yaml, "{\"id\":\"job-1\",\"kind\":\"exec\",\"data\":{\"command\":\"%s ok\",\"x\":1.10}}",
        script);
    push_raw(fixture->redis, yaml.data);
    assert_true(wait_counter(fixture->redis, "done", 1, 8000));
    ls_buf_clear(&yaml);
    ls_buf_printf(&yaml, "grep -q '\"x\":1.10' %s/out && grep -q '^job-1 1' %s/env", dir, dir);
    assert_int_equal((system)(yaml.data), 0);
    ls_buf_clear(&yaml);
    ls_buf_printf(&yaml, "{\"kind\":\"exec\",\"data\":{\"command\":\"%s bad\"}}", script);
    push_raw(fixture->redis, yaml.data);
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    letter = test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "0", NULL);
    assert_non_null(strstr(letter, "exit code 65: no such record"));
    push_raw(fixture->redis,
             "{\"kind\":\"exec\",\"data\":{\"command\":\"/bin/rm -rf /nonexistent\"}}");
    assert_true(wait_counter(fixture->redis, "dead", 2, 8000));
    letter = test_redis_text(fixture->redis, "LINDEX", KEY("dead"), "0", NULL);
    assert_non_null(strstr(letter, "is not allowed"));
    /* a timeout kills the whole group */
    ls_buf_clear(&yaml);
    ls_buf_printf(
        &yaml,
        "{\"kind\":\"exec\",\"timeout\":500,\"max_attempts\":1,\"data\":{\"command\":\"%s hang\"}}",
        script);
    push_raw(fixture->redis, yaml.data);
    assert_true(wait_counter(fixture->redis, "dead", 3, 8000));
    ls_buf_clear(&yaml);
    ls_buf_printf(&yaml,
                  "sleep 0.2; p=/proc/$(cat %s/pid)/status; ! test -e $p || grep -q 'State:.Z' $p",
                  dir);
    assert_int_equal((system)(yaml.data), 0);
    /* what stays in the background does not keep the job */
    ls_buf_clear(&yaml);
    ls_buf_printf(&yaml, "{\"kind\":\"exec\",\"data\":{\"command\":\"%s fork\"}}", script);
    push_raw(fixture->redis, yaml.data);
    assert_true(wait_counter(fixture->redis, "done", 2, 8000));
    assert_int_equal(stop(fixture), 0);
    ls_buf_fini(&yaml);
    test_temp_remove(dir);
}

static long long commands_seen(struct test_redis *redis)
{
    const char *info = test_redis_text(redis, "INFO", "stats", NULL);

    return strtoll(strstr(info, "total_commands_processed:") + 25, NULL, 10);
}

static bool always_false(void *arg)
{
    return false;
}

static void runner__idle__makes_few_calls_needs_little_memory_and_wakes_at_once(void **state)
{
    struct fixture *fixture = *state;
    char path[64], line[256];
    long kib = 0;
    long long calls;
    int64_t begun;
    FILE *file;

    fixture->runner = test_runner_start(fixture->redis->url, "lease: 15s\nbeat: 5s\n");
    push_raw(fixture->redis, "{\"kind\":\"noop\"}");
    assert_true(wait_counter(fixture->redis, "done", 1, 6000));
    test_wait(always_false, NULL, 6000); /* the measured time itself: until the idle poll is at its
                                            slowest, and then ten seconds */
    calls = commands_seen(fixture->redis);
    test_wait(always_false, NULL, 10000);
    calls = commands_seen(fixture->redis) - calls;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)fixture->runner->pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        sscanf(line, "RssAnon: %ld", &kib);
    fclose(file);
    /* commands inside of scripts count in this statistic: an idle turn makes 3 beside itself */
    assert_in_range(calls, 1, 10 * 4);
#ifdef __SANITIZE_ADDRESS__
    (void)kib; /* a sanitizer's shadow is not the runner's memory */
#else
    assert_in_range(kib, 1, 8 * 1024);
#endif
    begun = ls_clock_mono_ms();
    push_raw(fixture->redis, "{\"kind\":\"noop\"}");
    test_redis_command(fixture->redis, "LPUSH", KEY("wake"), "1", NULL);
    assert_true(wait_counter(fixture->redis, "done", 2, 6000));
    assert_true(ls_clock_mono_ms() - begun < 1000);
}

static void runner__several_queues__are_served_side_by_side(void **state)
{
    struct fixture *fixture = *state;

    fixture->runner = test_runner_start(
        fixture->redis->url, "queues: {default: {concurrency: 4}, mail: {concurrency: 2}}\n");
    test_redis_command(fixture->redis, "RPUSH", "lockstep:{mail}:pending", "{\"kind\":\"noop\"}",
                       NULL);
    push_raw(fixture->redis, "{\"kind\":\"noop\"}");
    assert_true(wait_counter(fixture->redis, "done", 1, 6000));
    while (strcmp(test_redis_text(fixture->redis, "HGET", "lockstep:{mail}:stats", "done", NULL),
                  "1") != 0)
        ;
    assert_int_equal(test_redis_int(fixture->redis, "SCARD", "lockstep:{fleet}:queues", NULL), 2);
    assert_int_equal(stop(fixture), 0);
}

static void runner__eviction_policy__ends_for_good_with_a_reason(void **state)
{
    struct fixture *fixture = *state;

    test_redis_command(fixture->redis, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", NULL);
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(test_wait(has_ended, fixture->runner, 8000));
    assert_true(test_runner_logged(fixture->runner, "allkeys-lru"));
    assert_true(test_runner_logged(fixture->runner, "noeviction"));
    assert_int_equal(stop(fixture), LS_EXIT_FATAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runner__raw_http_job__is_delivered_and_leaves_nothing),
        TEST(runner__string_body_and_signature__as_documented),
        TEST(runner__unusable_envelopes__lie_in_dead_byte_for_byte),
        TEST(runner__answers__decide_between_done_retry_and_dead),
        TEST(runner__a_job_of_the_greatest_length__is_tried_again),
        TEST(runner__throttled_job__waits_for_retry_after),
        TEST(runner__account_throttled__parks_only_that_account),
        TEST(runner__timeout_of_a_job__ends_it_and_says_so),
        TEST(runner__plain_pushes_with_a_key__coalesce),
        TEST(runner__crash_suspects__run_one_at_a_time),
        TEST(runner__terminated__finishes_what_it_has_and_leaves_the_rest),
        TEST(runner__grace_over__gives_back_what_still_runs),
        TEST(runner__max_jobs__asks_to_be_replaced_without_losing_one),
        TEST(runner__exec__runs_what_is_allowed),
        TEST(runner__idle__makes_few_calls_needs_little_memory_and_wakes_at_once),
        TEST(runner__several_queues__are_served_side_by_side),
        TEST(runner__eviction_policy__ends_for_good_with_a_reason),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
