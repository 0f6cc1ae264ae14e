#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <lockstep/inline.h>

#include "tests/support/redis.h"

/* Waiting, results, cancelling, modes: the test plays the runner. */

static int setup(void **state)
{
    *state = test_redis_start(NULL);
    return 0;
}

static int teardown(void **state)
{
    test_redis_stop(*state);
    return 0;
}

/* Somebody who ends the job "watched" as soon as it was pushed. */
struct ender {
    struct test_redis *redis;
    const char *result; /* JSON; NULL: none is kept */
    const char *status;
    pthread_t thread;
};

static void *end_it(void *arg)
{
    const struct ender *ender = arg;

    while (test_redis_int(ender->redis, "EXISTS", "lockstep:{default}:status:watched", NULL) == 0)
        usleep(1000);
    if (ender->result)
        test_redis_text(ender->redis, "SET", "lockstep:{default}:result:watched", ender->result,
                        NULL);
    test_redis_text(ender->redis, "SET", "lockstep:{default}:status:watched", ender->status, NULL);
    return NULL;
}

/* Push "watched" and wait for its end, which is told by ender. */
static int push_wait(struct lockstep *ls, struct ender *ender, struct lockstep_job_outcome *out)
{
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    int result;

    *out = (struct lockstep_job_outcome){.size = sizeof *out};
    job.id = "watched";
    assert_int_equal(pthread_create(&ender->thread, NULL, end_it, ender), 0);
    result = lockstep_push_wait(ls, &job, 20000, out);
    pthread_join(ender->thread, NULL);
    return result;
}

static void push_wait__a_job_that_ends__tells_how(void **state)
{
    static const struct {
        const char *result, *status;
        enum lockstep_state state;
        const char *want_result, *want_error, *want_class;
    } cases[] = {
        {"{\"state\":\"done\",\"result\":{\"a\": [1]}}", "done", LOCKSTEP_DONE, "{\"a\": [1]}",
         NULL, NULL},
        {"{\"state\":\"done\"}", "done", LOCKSTEP_DONE, NULL, NULL, NULL},
        {NULL, "done", LOCKSTEP_DONE, NULL, NULL, NULL},
        {"{\"state\":\"dead\",\"error\":\"no \\\"such\\\" product\",\"class\":\"permanent\"}",
         "dead", LOCKSTEP_DEAD, NULL, "no \"such\" product", "permanent"},
        {NULL, "dead", LOCKSTEP_DEAD, NULL, NULL, NULL},
        {"{\"state\":\"cancelled\"}", "cancelled", LOCKSTEP_CANCELLED, NULL, NULL, NULL},
        /* of an earlier run: what it says is past */
        {"{\"state\":\"dead\",\"error\":\"then\"}", "done", LOCKSTEP_DONE, NULL, NULL, NULL},
        {"rubbish", "done", LOCKSTEP_DONE, NULL, NULL, NULL},
    };
    struct test_redis *redis = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lockstep *ls = lockstep_open(redis->url);
        struct ender ender = {redis, cases[i].result, cases[i].status, 0};
        struct lockstep_job_outcome out;

        assert_int_equal(push_wait(ls, &ender, &out), 1);
        assert_int_equal(out.state, cases[i].state);
        assert_string_equal(out.id, "watched");
        if (cases[i].want_result)
            assert_string_equal(out.result, cases[i].want_result);
        else
            assert_null(out.result);
        if (cases[i].want_error) {
            assert_string_equal(out.error, cases[i].want_error);
            assert_string_equal(out.error_class, cases[i].want_class);
        } else {
            assert_null(out.error);
        }
        lockstep_close(ls);
        test_redis_text(redis, "FLUSHALL", NULL);
    }
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void push_wait__a_job_that_takes_longer__stays_queued(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};
    int64_t began = now_ms();

    assert_int_equal(lockstep_push_wait(ls, &job, 200, &out), 0);
    assert_true(now_ms() - began >= 200);
    assert_int_equal(out.state, LOCKSTEP_PENDING);
    assert_int_equal(strlen(out.id), 26);
    assert_string_equal(lockstep_strerror(ls), "");
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), 1);
    assert_non_null(
        strstr(test_redis_text(redis, "LINDEX", "lockstep:{default}:pending", "0", NULL),
               "\"result\":true"));
    assert_int_equal(lockstep_result(ls, NULL, out.id, &out), 1);
    assert_int_equal(out.state, LOCKSTEP_PENDING);
    lockstep_close(ls);
}

static void push_wait__a_known_id_without_a_state__is_not_waited_for(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};
    int64_t began = now_ms();

    job.id = "once";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(lockstep_push_wait(ls, &job, 20000, &out), 0);
    assert_int_equal(out.state, LOCKSTEP_UNKNOWN);
    assert_true(now_ms() - began < 15000);
    lockstep_close(ls);
}

static void push_wait__dropped_or_rejected__is_told_at_once(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};

    job.key = "k";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    job.mode = "keep";
    assert_int_equal(lockstep_push_wait(ls, &job, 60000, &out), 0);
    assert_int_equal(out.state, LOCKSTEP_UNKNOWN);
    job.mode = "reject";
    assert_int_equal(lockstep_push_wait(ls, &job, 60000, &out), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_REJECTED);
    job.mode = "nonsense";
    assert_int_equal(lockstep_push_wait(ls, &job, 60000, &out), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_USAGE);
    lockstep_close(ls);
}

static void push_wait__redis_started_anew_meanwhile__goes_on(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};

    job.id = "watched";
    job.status = 1;
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    test_redis_kill(redis); /* the connection is dead when the wait begins */
    test_redis_restart(redis);
    struct ender ender = {redis, "{\"state\":\"done\",\"result\":7}", "done", 0};
    assert_int_equal(push_wait(ls, &ender, &out), 1);
    assert_string_equal(out.result, "7");
    lockstep_close(ls);
}

static void push_wait__redis_away__fails_as_a_push(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};

    test_redis_kill(redis);
    assert_int_equal(lockstep_push_wait(ls, &job, 60000, &out), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_UNREACHABLE);
    assert_int_equal(out.state, LOCKSTEP_UNKNOWN);
    assert_int_equal(strlen(out.id), 26);
    assert_int_equal(lockstep_result(ls, NULL, "x", &out), -1);
    assert_int_equal(lockstep_cancel(ls, NULL, "x"), -1);
    lockstep_close(ls);
    test_redis_restart(redis);
}

static void push_wait__an_older_callers_struct__is_not_overrun(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_job_outcome out;

    memset(&out, 0x5a, sizeof out);
    out.size = offsetof(struct lockstep_job_outcome, error);
    assert_int_equal(lockstep_push_wait(ls, &job, 0, &out), 0);
    assert_int_equal(out.state, LOCKSTEP_PENDING);
    assert_null(out.result);
    assert_int_equal(out.id[0], 0x5a);
    lockstep_close(ls);
}

static void push__modes_and_debounce__reach_redis(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job jobs[4];

    for (size_t i = 0; i < 4; i++) {
        jobs[i] = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
        jobs[i].key = "k";
    }
    jobs[1].mode = "keep";
    jobs[2].mode = "reject";
    jobs[3].key = "d";
    jobs[3].debounce_ms = 3600000;
    jobs[3].max_wait_ms = 1800000;
    /* One call, four rules: k is new, kept, rejected; d is new. */
    assert_int_equal(lockstep_push_many(ls, jobs, 4, NULL, NULL), 2);
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), 1);
    assert_int_equal(test_redis_int(redis, "ZCARD", "lockstep:{default}:delayed", NULL), 1);
    assert_int_equal(lockstep_push(ls, &jobs[1], NULL), 0);
    assert_int_equal(lockstep_push(ls, &jobs[2], NULL), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_REJECTED);
    lockstep_close(ls);
}

static void push__result__asks_for_both(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    job.id = "r";
    job.result = 1;
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_string_equal(test_redis_text(redis, "GET", "lockstep:{default}:status:r", NULL),
                        "pending");
    assert_non_null(
        strstr(test_redis_text(redis, "LINDEX", "lockstep:{default}:pending", "0", NULL),
               "\"status\":true,\"result\":true"));
    lockstep_close(ls);
}

static void push__a_queue_that_is_drained__says_who_and_why(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_queue_stat stat = {.size = sizeof stat};

    test_redis_int(redis, "HSET", "lockstep:{default}:control", "closed", "ops: deploy", NULL);
    assert_int_equal(lockstep_push(ls, &job, NULL), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_FULL);
    assert_non_null(strstr(lockstep_strerror(ls), "queue 'default'"));
    assert_non_null(strstr(lockstep_strerror(ls), "ops: deploy"));
    assert_int_equal(lockstep_queue_stat(ls, NULL, &stat), 0);
    assert_int_equal(stat.closed, 1);
    lockstep_close(ls);
}

static void cancel__by_id_and_by_key__is_told_apart(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};

    job.id = "a";
    job.result = 1;
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(lockstep_cancel(ls, NULL, "a"), 1);
    assert_int_equal(lockstep_cancel(ls, NULL, "a"), 0);
    assert_int_equal(lockstep_result(ls, NULL, "a", &out), 1);
    assert_int_equal(out.state, LOCKSTEP_CANCELLED);
    assert_string_equal(lockstep_state_name(out.state), "cancelled");
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
    job.key = "k";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(lockstep_cancel_key(ls, NULL, "k"), 1);
    assert_int_equal(lockstep_cancel_key(ls, NULL, "k"), 0);
    assert_int_equal(test_redis_int(redis, "EXISTS", "lockstep:{default}:bodies", NULL), 0);
    assert_int_equal(lockstep_cancel(ls, NULL, "a b"), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_USAGE);
    assert_int_equal(lockstep_cancel(ls, NULL, NULL), -1);
    assert_int_equal(lockstep_cancel_key(ls, NULL, ""), -1);
    lockstep_close(ls);
}

/* Inline mode promises that pushes meet as they do in Redis: the same random pushes into both. */
static void inline__the_same_pushes__meet_as_in_redis(void **state)
{
    static const char *const keys[] = {NULL, "a", "b", "c"};
    static const char *const modes[] = {NULL, "latest", "keep", "reject"};
    static const char *const lanes[] = {NULL, "high", "low"};
    struct test_redis *redis = *state;
    struct lockstep *both[] = {lockstep_open(redis->url), lockstep_open("inline:")};
    unsigned seed = (unsigned)time(NULL);

    printf("seed %u\n", seed);
    assert_int_equal(lockstep_inline_defer(both[1]), 0);
    for (int round = 0; round < 600; round++) {
        struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
        struct lockstep_queue_stat stats[2];
        int results[2], cancelled[2] = {0, 0};
        enum lockstep_code codes[2];
        char id[16];

        /* Hours, so that the time which this test takes moves nothing. */
        job.key = keys[rand_r(&seed) % 4];
        job.priority = lanes[rand_r(&seed) % 3];
        snprintf(id, sizeof id, "id-%d", rand_r(&seed) % 300);
        job.id = id;
        if (job.key) {
            job.mode = modes[rand_r(&seed) % 4];
            job.debounce_ms = rand_r(&seed) % 2 * (1 + rand_r(&seed) % 9) * 3600000LL;
            job.max_wait_ms = job.debounce_ms ? rand_r(&seed) % 2 * 5 * 3600000LL : 0;
        }
        if (!job.debounce_ms)
            job.delay_ms = rand_r(&seed) % 2 * (1 + rand_r(&seed) % 9) * 3600000LL;
        for (int i = 0; i < 2; i++) {
            results[i] = lockstep_push(both[i], &job, NULL);
            codes[i] = lockstep_errcode(both[i]);
            if (round % 20 == 19 && job.key)
                cancelled[i] = lockstep_cancel_key(both[i], NULL, job.key);
            stats[i] = (struct lockstep_queue_stat){.size = sizeof *stats};
            assert_int_equal(lockstep_queue_stat(both[i], NULL, &stats[i]), 0);
        }
        if (results[0] != results[1] || codes[0] != codes[1] || cancelled[0] != cancelled[1])
            fail_msg("round %d, key %s, mode %s: redis %d, inline %d", round, job.key, job.mode,
                     results[0], results[1]);
        /* In Redis pointers of what moved up or was cancelled stay behind; they are surplus. */
        assert_true(stats[0].depth + stats[0].delayed >= stats[1].depth + stats[1].delayed);
    }
    lockstep_close(both[0]);
    lockstep_close(both[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(push_wait__a_job_that_ends__tells_how),
        TEST(push_wait__a_job_that_takes_longer__stays_queued),
        TEST(push_wait__a_known_id_without_a_state__is_not_waited_for),
        TEST(push_wait__dropped_or_rejected__is_told_at_once),
        TEST(push_wait__redis_started_anew_meanwhile__goes_on),
        TEST(push_wait__redis_away__fails_as_a_push),
        TEST(push_wait__an_older_callers_struct__is_not_overrun),
        TEST(push__modes_and_debounce__reach_redis),
        TEST(push__result__asks_for_both),
        TEST(push__a_queue_that_is_drained__says_who_and_why),
        TEST(cancel__by_id_and_by_key__is_told_apart),
        TEST(inline__the_same_pushes__meet_as_in_redis),
    };

    unsetenv("LOCKSTEP_REDIS");
    unsetenv("LOCKSTEP_CONFIG");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
