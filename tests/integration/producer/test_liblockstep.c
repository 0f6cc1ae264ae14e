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

#include <lockstep/lockstep.h>

#include "tests/support/proxy.h"
#include "tests/support/redis.h"

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

static void push__a_job__lies_canonical_in_its_lane(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("http", "{\"url\": \"http://x\"}");
    char id[LOCKSTEP_ID_SIZE], want[300];

    job.account = "shop-eu";
    job.priority = "high";
    job.timeout_ms = 1500;
    assert_int_equal(lockstep_push(ls, &job, id), 1);
    assert_int_equal(strlen(id), 26);
    snprintf(want, sizeof want,
             "{\"account\":\"shop-eu\",\"id\":\"%s\",\"kind\":\"http\",\"data\":{\"url\": "
             "\"http://x\"},\"timeout\":1500,\"priority\":\"high\"}",
             id);
    assert_string_equal(
        test_redis_text(redis, "LINDEX", "lockstep:{default}:pending:high", "0", NULL), want);
    assert_int_equal(test_redis_int(redis, "SISMEMBER", "lockstep:{fleet}:queues", "default", NULL),
                     1);
    assert_string_equal(lockstep_strerror(ls), "");
    lockstep_close(ls);
}

static void push__an_id_of_the_callers__is_taken_once(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    job.id = "order-1";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(lockstep_push(ls, &job, NULL), 0);
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), 1);
    lockstep_close(ls);
}

static void push__a_key__coalesces(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("product", "{\"n\":1}");

    job.key = "shop/product/l-1";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    job.data = "{\"n\":2}";
    assert_int_equal(lockstep_push(ls, &job, NULL), 0);
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), 1);
    assert_non_null(strstr(
        test_redis_text(redis, "HGET", "lockstep:{default}:bodies", "shop/product/l-1", NULL),
        "{\"n\":2}"));
    lockstep_close(ls);
}

static void push__delay_and_at__wait_in_delayed(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    char from[24], to[24];

    job.delay_ms = 60000;
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    job.delay_ms = 0;
    job.at_ms = (int64_t)time(NULL) * 1000 + 300 * 24 * 3600 * 1000LL;
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    snprintf(from, sizeof from, "%lld", (long long)job.at_ms - 1000);
    snprintf(to, sizeof to, "%lld", (long long)job.at_ms + 1000);
    assert_int_equal(test_redis_int(redis, "ZCOUNT", "lockstep:{default}:delayed", from, to, NULL),
                     1);
    job.at_ms = 1000; /* long ago: now */
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(test_redis_int(redis, "ZCARD", "lockstep:{default}:delayed", NULL), 2);
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), 1);
    lockstep_close(ls);
}

static void push__status__is_kept_as_pending(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    job.status = 1;
    job.id = "watched";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_string_equal(test_redis_text(redis, "GET", "lockstep:{default}:status:watched", NULL),
                        "pending");
    lockstep_close(ls);
}

static void refused(struct lockstep *ls, const struct lockstep_job *job, const char *piece)
{
    assert_int_equal(lockstep_push(ls, job, NULL), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_USAGE);
    if (!strstr(lockstep_strerror(ls), piece))
        fail_msg("'%s' is not in: %s", piece, lockstep_strerror(ls));
}

static void push__what_cannot_run__is_refused_with_a_reason(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("prodct", NULL);
    char *big = malloc(70001);

    refused(ls, &job, "unknown kind 'prodct' (did you mean 'product'?)");
    lockstep_allow_kind(ls, "prodct");
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    job = (struct lockstep_job)LOCKSTEP_JOB(NULL, NULL);
    refused(ls, &job, "a job needs a kind");
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", "{\"a\":");
    refused(ls, &job, "JSON");
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
    job.priority = "urgent";
    refused(ls, &job, "urgent");
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
    job.queue = "No Such";
    refused(ls, &job, "No Such");
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
    job.key = "a\"b";
    refused(ls, &job, "key");
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
    job.delay_ms = 5;
    job.at_ms = 5;
    refused(ls, &job, "both");
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
    job.at_ms = INT64_MAX;
    refused(ls, &job, "is too long");
    memset(big, 'x', 70000);
    big[0] = big[69999] = '"';
    big[70000] = 0;
    job = (struct lockstep_job)LOCKSTEP_JOB("noop", big);
    assert_int_equal(lockstep_push(ls, &job, NULL), -1);
    free(big);
    lockstep_close(ls);
}

static void push_many__thousands__keep_their_order_and_get_ids(void **state)
{
    enum { COUNT = 12345 };
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job *jobs = calloc(COUNT, sizeof *jobs);
    char(*ids)[LOCKSTEP_ID_SIZE] = calloc(COUNT, sizeof *ids);
    char(*data)[32] = calloc(COUNT, sizeof *data);
    size_t pushed = 0;

    for (size_t i = 0; i < COUNT; i++) {
        snprintf(data[i], sizeof data[i], "{\"n\":%zu}", i);
        jobs[i] = (struct lockstep_job)LOCKSTEP_JOB("noop", data[i]);
    }
    assert_int_equal(lockstep_push_many(ls, jobs, COUNT, ids, &pushed), COUNT);
    assert_int_equal(pushed, COUNT);
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), COUNT);
    assert_non_null(strstr(
        test_redis_text(redis, "LINDEX", "lockstep:{default}:pending", "7777", NULL), data[7777]));
    assert_non_null(strstr(
        test_redis_text(redis, "LINDEX", "lockstep:{default}:pending", "12344", NULL), ids[12344]));
    free(jobs);
    free(ids);
    free(data);
    lockstep_close(ls);
}

static void push_many__mixed_jobs__all_arrive_where_they_belong(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job jobs[40];
    char keys[40][16];

    for (size_t i = 0; i < 40; i++) {
        jobs[i] = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
        if (i % 4 == 1) {
            snprintf(keys[i], sizeof keys[i], "k-%zu", i % 8);
            jobs[i].key = keys[i];
        } else if (i % 4 == 2) {
            jobs[i].queue = "other";
        } else if (i % 4 == 3) {
            jobs[i].status = 1;
        }
    }
    /* 10 keyed jobs of 2 keys: 2 are new, 8 take the place of one that waits */
    assert_int_equal(lockstep_push_many(ls, jobs, 40, NULL, NULL), 32);
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{other}:pending", NULL), 10);
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), 22);
    lockstep_close(ls);
}

static void push_many__with_and_without_ids__keep_their_order(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job jobs[3] = {LOCKSTEP_JOB("noop", "\"A\""), LOCKSTEP_JOB("noop", "\"B\""),
                                   LOCKSTEP_JOB("noop", "\"C\"")};

    jobs[1].id = "b";
    assert_int_equal(lockstep_push_many(ls, jobs, 3, NULL, NULL), 3);
    for (int i = 0; i < 3; i++) {
        char at[2] = {(char)('0' + i), 0}, want[4] = {'"', (char)('A' + i), '"', 0};

        assert_non_null(
            strstr(test_redis_text(redis, "LINDEX", "lockstep:{default}:pending", at, NULL), want));
    }
    lockstep_close(ls);
}

static void push_many__one_bad_job__pushes_none(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job jobs[3] = {LOCKSTEP_JOB("noop", NULL), LOCKSTEP_JOB("noop", "}"),
                                   LOCKSTEP_JOB("noop", NULL)};
    size_t pushed = 9;

    assert_int_equal(lockstep_push_many(ls, jobs, 3, NULL, &pushed), -1);
    assert_int_equal(pushed, 0);
    assert_memory_equal(lockstep_strerror(ls), "job 1: ", 7);
    assert_int_equal(test_redis_int(redis, "EXISTS", "lockstep:{default}:pending", NULL), 0);
    lockstep_close(ls);
}

static void push__redis_restarted_between_calls__connects_anew(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    job.id = "a";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    test_redis_kill(redis);
    test_redis_restart(redis);
    job.id = "b";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    test_redis_kill(redis);
    test_redis_restart(redis);
    job.id = "c";
    job.at_ms = 1;
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    test_redis_kill(redis);
    test_redis_restart(redis);
    assert_int_equal(lockstep_dead_list(ls, NULL, 0, 0, NULL, NULL), 0);
    lockstep_close(ls);
}

/* The first push whose answer is lost is in: told as one that is dropped it would be a lie. */
static void push__keep_whose_answer_is_lost__is_not_repeated(void **state)
{
    struct test_redis *redis = *state;
    struct test_proxy *proxy =
        test_proxy_start(redis->socket, &(struct test_proxy_plan){.cut_after_reply_bytes = 20000,
                                                                  .cut_connections = 1});
    struct lockstep *ls = lockstep_open(proxy->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    char key[16];
    int result = 1;

    job.key = key;
    job.mode = "keep";
    for (int i = 0; i < 4000 && result == 1; i++) {
        snprintf(key, sizeof key, "k-%d", i);
        result = lockstep_push(ls, &job, NULL);
    }
    assert_int_equal(result, -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_LOST);
    assert_int_equal(lockstep_push(ls, &job, NULL), 0);
    job.mode = NULL;
    assert_int_equal(lockstep_push(ls, &job, NULL), 0);
    lockstep_close(ls);
    test_proxy_stop(proxy);
}

static void push__redis_away__says_so_and_works_again_later(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    test_redis_kill(redis);
    assert_int_equal(lockstep_push(ls, &job, NULL), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_UNREACHABLE);
    test_redis_restart(redis);
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_OK);
    lockstep_close(ls);
}

static void push__redis_silent__ends_within_the_deadline(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    lockstep_timeout(ls, 200);
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    test_redis_pause(redis);
    assert_int_equal(lockstep_push(ls, &job, NULL), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_LOST);
    test_redis_resume(redis);
    job.id = "after";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    lockstep_close(ls);
}

static void push__a_full_queue__is_told_apart(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    test_redis_int(redis, "HSET", "lockstep:{default}:control", "bound", "2", NULL);
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    assert_int_equal(lockstep_push(ls, &job, NULL), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_FULL);
    lockstep_close(ls);
}

static void open__bad_address__is_told_by_the_first_call(void **state)
{
    struct lockstep *ls = lockstep_open("http://x");
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    assert_int_equal(lockstep_push(ls, &job, NULL), -1);
    assert_int_equal(lockstep_errcode(ls), LOCKSTEP_E_CONFIG);
    lockstep_close(ls);
}

static void open__null__follows_LOCKSTEP_REDIS(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    struct lockstep *ls;

    setenv("LOCKSTEP_REDIS", redis->url, 1);
    ls = lockstep_open(NULL);
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    lockstep_close(ls);
    unsetenv("LOCKSTEP_REDIS");
}

static void queue_stat__counts_what_there_is(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct lockstep_queue_stat stat = {.size = sizeof stat};
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);

    assert_int_equal(lockstep_queue_stat(ls, "never-used", &stat), 0);
    assert_int_equal(stat.depth, 0);
    assert_int_equal(stat.oldest_age_ms, -1);
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    job.priority = "low";
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    job.delay_ms = 100000;
    assert_int_equal(lockstep_push(ls, &job, NULL), 1);
    test_redis_int(redis, "LPUSH", "lockstep:{default}:dead", "x", NULL);
    assert_int_equal(lockstep_queue_stat(ls, NULL, &stat), 0);
    assert_int_equal(stat.depth, 2);
    assert_true(stat.oldest_age_ms >= 0 && stat.oldest_age_ms < 60000);
    assert_int_equal(stat.delayed, 1);
    assert_int_equal(stat.failed, 1);
    assert_int_equal(stat.running, 0);
    assert_int_equal(stat.paused, 0);
    lockstep_close(ls);
}

struct seen {
    int count;
    int stop_after;
    int64_t last_index;
    char error[64], kind[64];
};

static int see(void *arg, const struct lockstep_dead *dead)
{
    struct seen *seen = arg;

    seen->last_index = dead->index;
    snprintf(seen->error, sizeof seen->error, "%s", dead->error);
    snprintf(seen->kind, sizeof seen->kind, "%s", dead->kind);
    return ++seen->count == seen->stop_after;
}

static void dead_list__walks_in_slices_and_survives_strangers(void **state)
{
    struct test_redis *redis = *state;
    struct lockstep *ls = lockstep_open(redis->url);
    struct seen seen = {0};

    for (int i = 0; i < 250; i++)
        test_redis_int(redis, "LPUSH", "lockstep:{default}:dead", "not ours", NULL);
    test_redis_int(
        redis, "RPUSH", "lockstep:{default}:dead",
        "{\"id\":\"j1\",\"kind\":\"http\",\"error\":\"peer answered 500\",\"class\":"
        "\"transient\",\"why\":\"max_attempts\",\"http_status\":500,\"attempts\":5,\"crashes\":0,"
        "\"failed_at\":\"2026-11-23T00:51:00.123Z\",\"job\":{\"kind\":\"http\"}}",
        NULL);
    assert_int_equal(lockstep_dead_list(ls, NULL, 0, 0, see, &seen), 251);
    assert_int_equal(seen.last_index, 250);
    assert_string_equal(seen.error, "peer answered 500");
    assert_string_equal(seen.kind, "http");
    seen = (struct seen){0};
    assert_int_equal(lockstep_dead_list(ls, NULL, 248, 2, see, &seen), 2);
    seen = (struct seen){.stop_after = 3};
    assert_int_equal(lockstep_dead_list(ls, NULL, 0, 0, see, &seen), 3);
    assert_int_equal(lockstep_dead_list(ls, "empty", 0, 0, see, &seen), 0);
    lockstep_close(ls);
}

static void *push_thousand(void *arg)
{
    struct lockstep *ls = lockstep_open(arg);
    struct lockstep_job job = LOCKSTEP_JOB("noop", NULL);
    long pushed = 0;

    for (int i = 0; i < 500; i++)
        pushed += lockstep_push(ls, &job, NULL);
    lockstep_close(ls);
    return (void *)pushed;
}

static void handles__in_threads__do_not_disturb_each_other(void **state)
{
    struct test_redis *redis = *state;
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, push_thousand, redis->url), 0);
    for (int i = 0; i < 4; i++) {
        void *pushed;

        pthread_join(threads[i], &pushed);
        assert_int_equal((long)pushed, 500);
    }
    assert_int_equal(test_redis_int(redis, "LLEN", "lockstep:{default}:pending", NULL), 2000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(push__a_job__lies_canonical_in_its_lane),
        TEST(push__an_id_of_the_callers__is_taken_once),
        TEST(push__a_key__coalesces),
        TEST(push__delay_and_at__wait_in_delayed),
        TEST(push__status__is_kept_as_pending),
        TEST(push__what_cannot_run__is_refused_with_a_reason),
        TEST(push_many__thousands__keep_their_order_and_get_ids),
        TEST(push_many__mixed_jobs__all_arrive_where_they_belong),
        TEST(push_many__with_and_without_ids__keep_their_order),
        TEST(push_many__one_bad_job__pushes_none),
        TEST(push__redis_restarted_between_calls__connects_anew),
        TEST(push__keep_whose_answer_is_lost__is_not_repeated),
        TEST(push__redis_away__says_so_and_works_again_later),
        TEST(push__redis_silent__ends_within_the_deadline),
        TEST(push__a_full_queue__is_told_apart),
        cmocka_unit_test(open__bad_address__is_told_by_the_first_call),
        TEST(open__null__follows_LOCKSTEP_REDIS),
        TEST(queue_stat__counts_what_there_is),
        TEST(dead_list__walks_in_slices_and_survives_strangers),
        TEST(handles__in_threads__do_not_disturb_each_other),
    };

    unsetenv("LOCKSTEP_REDIS");
    unsetenv("LOCKSTEP_CONFIG");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
