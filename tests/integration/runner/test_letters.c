/* What a runner leaves of a job that failed: its code, its group, the history of its attempts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>

#include "common/base/mem.h"
#include "common/job/attempts.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "tests/integration/runner/common.h"
#include "tests/integration/runner/fixture.h"
#include "tests/support/http_server.h"
#include "tests/support/runner.h"
#include "tests/support/temp.h"

/* The letter of the job with this id. */
static struct ls_dead find(struct fixture *fixture, const char *id)
{
    const struct ls_reply *letters =
        test_redis_command(fixture->redis, "LRANGE", KEY("dead"), "0", "-1", NULL);
    struct ls_dead letter = {0};

    for (size_t i = 0; i < letters->count; i++) {
        struct ls_span text = ls_reply_span(&letters->items[i]);

        if (ls_dead_parse(&letter, text.data, text.length, NULL) == 0 && ls_span_is(letter.id, id))
            return letter;
        ls_dead_fini(&letter);
    }
    fail_msg("no letter of job %s", id);
    return letter;
}

/* The job's letter has this code, and lies in the group that follows from what it says. */
static void check(struct fixture *fixture, const char *id, const char *code)
{
    struct ls_dead letter = find(fixture, id);
    char group[LS_GROUP_SIZE];

    if (!ls_span_is(letter.code, code))
        fail_msg("the code of %s is '%.*s', not '%s'", id, LS_SPAN_ARG(letter.code), code);
    ls_dead_group(group, letter.kind, letter.account, letter.klass, letter.http_status,
                  letter.code);
    assert_true(ls_span_is(letter.group, group));
    ls_dead_fini(&letter);
    assert_true(test_redis_int(fixture->redis, "HEXISTS", KEY("dead:groups"), group, NULL) == 1);
}

static void push_job(struct fixture *fixture, const char *id, const char *kind, const char *data,
                     const char *more)
{
    char envelope[600];

    snprintf(envelope, sizeof(envelope), "{\"id\":\"%s\",\"kind\":\"%s\",\"data\":%s%s}", id, kind,
             data, more);
    push_raw(fixture->redis, envelope);
}

static void push_to(struct fixture *fixture, const char *id, const char *url, const char *more)
{
    char data[400];

    snprintf(data, sizeof(data), "{\"url\":\"%s\"}", url);
    push_job(fixture, id, "http", data, more);
}

static void letter__of_every_kind_of_failure__names_what_failed(void **state)
{
    static const char once[] = ",\"max_attempts\":1";
    struct fixture *fixture = *state;
    char url[200], script[160], dir[96], data[300], yaml[600];
    FILE *file;

    test_temp_dir(dir, sizeof(dir));
    snprintf(script, sizeof(script), "%s/fail.sh", dir);
    file = fopen(script, "w");
    assert_non_null(file);
    fputs("#!/bin/sh\n[ $1 = kill ] && kill -9 $$\nexit $1\n", file);
    fclose(file);
    assert_int_equal(chmod(script, 0755), 0);
    snprintf(yaml, sizeof(yaml), "exec: {allow: [\"%s 3\", \"%s kill\"]}\n", script, script);
    fixture->runner = test_runner_start(fixture->redis->url, yaml);

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_free_port());
    push_to(fixture, "refused", url, once);
    push_to(fixture, "unresolved", "http://nobody.invalid/", once);
    push_to(fixture, "no-url", "ftp://x", once);
    snprintf(url, sizeof(url), "%s/close", test_http_url(fixture->http));
    push_to(fixture, "lost", url, once);
    snprintf(url, sizeof(url), "%s/stall", test_http_url(fixture->http));
    push_to(fixture, "late", url, ",\"max_attempts\":1,\"timeout\":300");
    snprintf(url, sizeof(url), "%s/status/503", test_http_url(fixture->http));
    push_to(fixture, "answered", url, once);
    push_job(fixture, "no-data", "http", "[]", "");
    push_job(fixture, "dance", "dance", "{}", "");
    push_job(fixture, "malformed", "noop", "{}", ",\"timeout\":\"soon\"");
    push_job(fixture, "forbidden", "exec", "{\"command\":\"/bin/true\"}", "");
    snprintf(data, sizeof(data), "{\"command\":\"%s 3\"}", script);
    push_job(fixture, "exit", "exec", data, once);
    snprintf(data, sizeof(data), "{\"command\":\"%s kill\"}", script);
    push_job(fixture, "signal", "exec", data, once);
    assert_true(wait_counter(fixture->redis, "dead", 12, 20000));

    check(fixture, "refused", "refused");
    check(fixture, "unresolved", "name_not_resolved");
    check(fixture, "no-url", "bad_url");
    check(fixture, "lost", "connection_lost");
    check(fixture, "late", "job_timeout");
    check(fixture, "answered", "http-503");
    check(fixture, "no-data", "bad_data");
    check(fixture, "dance", "unknown_kind");
    check(fixture, "malformed", "bad_timeout");
    check(fixture, "forbidden", "not_allowed");
    check(fixture, "exit", "exit-3");
    check(fixture, "signal", "signal-9");
    test_temp_remove(dir);
}

static void history__of_a_job_that_failed_three_times__moves_from_job_to_letter(void **state)
{
    static const char policy[] =
        ",\"max_attempts\":3,\"backoff\":{\"type\":\"fixed\",\"base\":50,\"jitter\":\"none\"}";
    struct fixture *fixture = *state;
    struct ls_attempt attempts[LS_ATTEMPTS_MAX];
    struct ls_envelope job;
    struct ls_dead letter;
    struct ls_buf texts = {0}, revived = {0};
    char url[200];

    snprintf(url, sizeof(url), "%s/status/503", test_http_url(fixture->http));
    push_to(fixture, "j", url, policy);
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(wait_counter(fixture->redis, "dead", 1, 8000));
    letter = find(fixture, "j");
    assert_int_equal(ls_attempts_parse(letter.history, attempts, &texts), 3);
    for (int i = 0; i < 3; i++) {
        assert_true(ls_span_is(attempts[i].klass, "transient"));
        assert_true(ls_span_is(attempts[i].code, "http-503"));
        assert_int_equal(attempts[i].http_status, 503);
        assert_non_null(
            memmem(attempts[i].error.data, attempts[i].error.length, "answered 503", 12));
        assert_true(i == 0 || attempts[i].at_ms >= attempts[i - 1].at_ms + 50);
    }
    assert_in_range(letter.failed_at - attempts[2].at_ms, 0, 100);
    assert_in_range(attempts[0].at_ms - letter.first_failed_at, 0, 100);
    assert_int_equal(ls_envelope_scan(&job, letter.job.data, letter.job.length, NULL), 0);
    assert_int_equal(job.attempt, 2);
    assert_int_equal(job.history.length, 0);
    ls_envelope_fini(&job);
    assert_int_equal(ls_dead_revive(&revived, &letter, NULL), 0);
    assert_null(strstr(revived.data, "history"));
    ls_dead_fini(&letter);
    ls_buf_fini(&texts);
    ls_buf_fini(&revived);
}

/* In `delayed`, where anybody may look at it. */
static void history__of_a_job_that_waits__stands_in_its_envelope(void **state)
{
    struct fixture *fixture = *state;
    const struct ls_reply *waiting;
    struct ls_attempt attempts[LS_ATTEMPTS_MAX];
    struct ls_envelope job;
    struct ls_buf texts = {0};
    char url[200];

    snprintf(url, sizeof(url), "%s/status/500", test_http_url(fixture->http));
    push_to(fixture, "j", url,
            ",\"priority\":\"high\",\"backoff\":{\"type\":\"fixed\",\"base\":60000}");
    fixture->runner = test_runner_start(fixture->redis->url, NULL);
    assert_true(wait_counter(fixture->redis, "retried", 1, 8000));
    waiting = test_redis_command(fixture->redis, "ZRANGE", KEY("delayed"), "0", "-1", NULL);
    assert_int_equal(waiting->count, 1);
    assert_int_equal(ls_envelope_scan(&job, waiting->items[0].text, waiting->items[0].length, NULL),
                     0);
    assert_true(job.canonical);
    assert_int_equal(job.lane, LS_LANE_HIGH);
    assert_int_equal(ls_attempts_parse(job.history, attempts, &texts), 1);
    assert_true(ls_span_is(attempts[0].code, "http-500"));
    ls_envelope_fini(&job);
    ls_buf_fini(&texts);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(letter__of_every_kind_of_failure__names_what_failed),
        TEST(history__of_a_job_that_failed_three_times__moves_from_job_to_letter),
        TEST(history__of_a_job_that_waits__stands_in_its_envelope),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
