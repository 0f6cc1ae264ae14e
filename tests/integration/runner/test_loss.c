#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/queue/worker.h"
#include "common/redis/keys.h"
#include "common/redis/sync.h"
#include "tests/integration/runner/common.h"
#include "tests/support/http_server.h"
#include "tests/support/proxy.h"
#include "tests/support/runner.h"
#include "worker/main.h"

struct served_wait {
    struct test_http *http;
    int count;
};

static bool served(void *arg)
{
    struct served_wait *wait = arg;

    return test_http_requests(wait->http) >= wait->count;
}

static bool nothing_left(void *arg)
{
    return jobs_left(arg) == 0;
}

/* How often was each of the jobs n0..n<count> delivered? Returns how many never; *twice is how many
 * more than once. */
static int undelivered(struct test_http *http, int count, int *twice)
{
    int *seen = calloc((size_t)count, sizeof(*seen)), i, never = 0,
        requests = test_http_requests(http);

    for (i = 0; i < requests; i++) {
        const char *request = test_http_request(http, i);
        const char *id = request ? strstr(request, "Idempotency-Key: n") : NULL;
        int n = id ? (int)strtol(id + 18, NULL, 10) : -1;
        if (n >= 0 && n < count)
            seen[n]++;
    }
    *twice = 0;
    for (i = 0; i < count; i++) {
        never += seen[i] == 0;
        *twice += seen[i] > 1;
    }
    free(seen);
    return never;
}

static void push_numbered(struct test_redis *redis, const char *base, const char *path, int count)
{
    char envelope[512];
    int i;

    for (i = 0; i < count; i++) {
        snprintf(
            envelope, sizeof(envelope),
            "{\"id\":\"n%d\",\"kind\":\"http\",\"data\":{\"url\":\"%s%s\",\"body\":{\"n\":%d}}}", i,
            base, path, i);
        push_raw(redis, envelope);
    }
}

static void loss__redis_killed_and_restarted__no_job_is_lost(void **state)
{
    struct test_redis *redis = test_redis_start(&(struct test_redis_options){.aof = true});
    struct test_http *http = test_http_start();
    struct test_runner *runner;
    int twice, round;

    push_numbered(redis, test_http_url(http), "/delay/20", 600);
    runner = test_runner_start(redis->url,
                               "lease: 15s\nbeat: 1s\nqueues: {default: {concurrency: 16}}\n");
    for (round = 1; round <= 3; round++) {
        assert_true(test_wait(served, &(struct served_wait){http, round * 120}, 15000));
        test_redis_kill(redis);
        test_redis_restart(redis);
    }
    assert_true(test_wait(nothing_left, redis, 30000));
    assert_int_equal(undelivered(http, 600, &twice), 0);
    assert_int_equal(test_redis_int(redis, "LLEN", KEY("dead"), NULL), 0);
    assert_int_equal(twice, 0); /* the runner lived: it went on with what it had in hand */
    assert_int_equal(counter(redis, "done"), 600);
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    assert_int_equal(test_redis_int(redis, "ZCARD", KEY("workers"), NULL), 0);
    test_http_stop(http);
    test_redis_stop(redis);
}

/* Answers are lost again and again, after the commands were applied: each effect stands once. */
static void loss__replies_lost__every_settlement_takes_effect_once(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_http *http = test_http_start();
    struct test_proxy *proxy = test_proxy_start(
        redis->socket, &(struct test_proxy_plan){.cut_after_reply_bytes = 14000, .jitter = 1});
    struct test_runner *runner;
    int twice;

    push_numbered(redis, test_http_url(http), "/delay/5", 500);
    runner = test_runner_start(proxy->url,
                               "lease: 15s\nbeat: 1s\nqueues: {default: {concurrency: 8}}\n");
    assert_true(test_wait(nothing_left, redis, 90000));
    assert_true(test_proxy_cuts(proxy) >= 5);
    assert_int_equal(undelivered(http, 500, &twice), 0);
    assert_int_equal(twice, 0);
    assert_int_equal(counter(redis, "done"), 500);
    assert_int_equal(counter(redis, "claimed"), 500);
    assert_int_equal(test_redis_int(redis, "LLEN", KEY("dead"), NULL), 0);
    test_runner_stop(runner, 8000);
    test_proxy_stop(proxy);
    test_http_stop(http);
    test_redis_stop(redis);
}

static void loss__requests_cut__nothing_is_lost_or_doubled(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_http *http = test_http_start();
    /* more than the text of the longest script */
    struct test_proxy *proxy = test_proxy_start(
        redis->socket, &(struct test_proxy_plan){.cut_after_request_bytes = 40000, .jitter = 1});
    struct test_runner *runner;
    int twice;

    push_numbered(redis, test_http_url(http), "/delay/5", 600);
    runner = test_runner_start(proxy->url,
                               "lease: 15s\nbeat: 1s\nqueues: {default: {concurrency: 8}}\n");
    assert_true(test_wait(nothing_left, redis, 90000));
    assert_true(test_proxy_cuts(proxy) >= 2);
    assert_int_equal(undelivered(http, 600, &twice), 0);
    assert_int_equal(twice, 0);
    assert_int_equal(counter(redis, "done"), 600);
    test_runner_stop(runner, 8000);
    test_proxy_stop(proxy);
    test_http_stop(http);
    test_redis_stop(redis);
}

/* -------- a runner that slept past its lease -------- */

static struct ls_redis_sync *open_sync(struct test_redis *redis)
{
    struct ls_redis_url url;
    struct ls_redis_sync *sync;

    assert_int_equal(ls_redis_url_parse(&url, redis->url, NULL), 0);
    sync = ls_redis_sync_open(&url, NULL, NULL);
    ls_redis_url_fini(&url);
    return sync;
}

static void loss__runner_stopped_past_its_lease__its_settlement_is_refused(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_http *http = test_http_start();
    struct ls_redis_sync *sync = open_sync(redis);
    struct ls_cmd cmd = {0};
    const struct ls_reply *reply;
    struct ls_stolen stolen;
    struct ls_keys keys;
    struct test_runner *runner;
    char victim[LS_WORKER_ID_SIZE], thief[LS_WORKER_ID_SIZE], running[LS_KEY_SIZE];
    int64_t ms;

    assert_int_equal(ls_keys_init(&keys, "default", NULL), 0);
    push_numbered(redis, test_http_url(http), "/delay/1500", 1);
    runner = test_runner_start(redis->url, "lease: 1s\nbeat: 200ms\n");
    assert_true(test_wait(served, &(struct served_wait){http, 1}, 8000));
    snprintf(victim, sizeof(victim), "%s",
             test_redis_text(redis, "EVAL", "return redis.call('ZRANGE', KEYS[1], 0, 0)[1]", "1",
                             keys.workers, NULL));
    kill(runner->pid, SIGSTOP);

    ls_worker_id(thief);
    ls_worker_join_build(&cmd, &keys, thief, 60000);
    assert_int_equal(ls_redis_sync_send(sync, &cmd, &reply, NULL), 0);
    assert_int_equal(ls_worker_join_parse(reply, &ms, NULL), 0);
    do { /* until its lease has run out */
        usleep(50000);
        ls_worker_steal_build(&cmd, &keys, thief, victim, false, 10);
        assert_int_equal(ls_redis_sync_send(sync, &cmd, &reply, NULL), 0);
        assert_int_equal(ls_worker_steal_parse(reply, &stolen, NULL), 0);
    } while (stolen.alive);
    assert_int_equal(stolen.claims.count, 1);

    kill(runner->pid, SIGCONT);
    while (!test_runner_logged(runner, "worker.fenced"))
        usleep(20000);
    push_raw(redis, "{\"kind\":\"noop\"}"); /* it works on, under a new identity */
    assert_true(wait_counter(redis, "done", 1, 8000));
    usleep(300000);
    assert_int_equal(counter(redis, "done"),
                     1); /* the noop; the stolen job was not acked by the stale runner */
    assert_int_equal(test_redis_int(redis, "HLEN", ls_keys_running(&keys, thief, running), NULL),
                     1);
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    ls_redis_sync_close(sync);
    test_http_stop(http);
    test_redis_stop(redis);
}

static void loss__redis_away_at_start__the_runner_waits_and_goes_on(void **state)
{
    struct test_redis *redis = test_redis_start(&(struct test_redis_options){.aof = true});
    struct test_runner *runner;

    push_raw(redis, "{\"kind\":\"noop\"}");
    test_redis_command(redis, "CONFIG", "SET", "appendfsync", "always", NULL);
    test_redis_kill(redis);
    runner = test_runner_start(redis->url, NULL);
    while (!test_runner_logged(runner, "redis.lost"))
        usleep(20000);
    test_redis_restart(redis);
    assert_true(wait_counter(redis, "done", 1, 10000));
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    test_redis_stop(redis);
}

static void loss__terminated_while_redis_is_away__ends_in_time(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_runner *runner = test_runner_start(redis->url, "shutdown_grace: 1s\n");

    push_raw(redis, "{\"kind\":\"noop\"}");
    assert_true(wait_counter(redis, "done", 1, 10000));
    test_redis_kill(redis);
    while (!test_runner_logged(runner, "redis.lost"))
        usleep(20000);
    assert_int_equal(test_runner_stop(runner, 4000), 0);
    test_redis_stop(redis);
}

/* -------- runners killed -------- */

static void loss__runners_killed_under_load__their_claims_are_all_there(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_http *http = test_http_start();
    struct ls_redis_sync *sync = open_sync(redis);
    struct test_runner *runner;
    int round, twice;

    push_numbered(redis, test_http_url(http), "/delay/20", 400);
    for (round = 1; round <= 4; round++) {
        runner = test_runner_start(redis->url, "queues: {default: {concurrency: 8}}\n");
        assert_true(test_wait(served, &(struct served_wait){http, round * 60}, 15000));
        test_runner_kill(runner);
        /* every job that was not done lies somewhere */
        assert_int_equal(counter(redis, "done") + jobs_left(redis), 400);
        assert_in_range(running_claims(redis), 0, 8 * round);
    }
    undelivered(http, 400, &twice);
    assert_int_equal(twice, 0);
    ls_redis_sync_close(sync);
    test_http_stop(http);
    test_redis_stop(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss__redis_killed_and_restarted__no_job_is_lost),
        cmocka_unit_test(loss__replies_lost__every_settlement_takes_effect_once),
        cmocka_unit_test(loss__requests_cut__nothing_is_lost_or_doubled),
        cmocka_unit_test(loss__runner_stopped_past_its_lease__its_settlement_is_refused),
        cmocka_unit_test(loss__redis_away_at_start__the_runner_waits_and_goes_on),
        cmocka_unit_test(loss__terminated_while_redis_is_away__ends_in_time),
        cmocka_unit_test(loss__runners_killed_under_load__their_claims_are_all_there),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
