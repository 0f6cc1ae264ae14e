#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>

#include "common/base/clock.h"
#include "common/redis/check.h"
#include "common/redis/sync.h"
#include "tests/support/redis.h"
#include "tests/support/temp.h"

static struct ls_redis_sync *open_sync(const char *text, int64_t timeout_ms, struct ls_err *err)
{
    struct ls_redis_url url;
    struct ls_redis_sync *sync;

    assert_int_equal(ls_redis_url_parse(&url, text, NULL), 0);
    sync = ls_redis_sync_open(
        &url,
        &(struct ls_redis_sync_options){.timeout_ms = timeout_ms, .connect_timeout_ms = timeout_ms},
        err);
    ls_redis_url_fini(&url);
    return sync;
}

static void sync__pipeline__answers_in_order_scripts_included(void **state)
{
    static const struct ls_script script = {.name = "t",
                                            .text = "return redis.call('INCR', KEYS[1])",
                                            .length = 34,
                                            .sha1 = "61636018f4e6b5817b89791bbed242f93fa089e3",
                                            .key_count = 1};
    struct test_redis *redis = test_redis_start(NULL);
    struct ls_redis_sync *sync = open_sync(redis->url, 5000, NULL);
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int i;

    for (i = 0; i < 20000; i++) {
        if (i % 2) {
            ls_cmd_start(&cmd, "INCR");
        } else {
            ls_cmd_script(&cmd, &script);
        }
        ls_cmd_puts(&cmd, "n");
        assert_int_equal(ls_redis_sync_append(sync, &cmd, NULL), 0);
    }
    assert_int_equal(ls_redis_sync_pending(sync), 20000);
    for (i = 0; i < 20000; i++) {
        assert_int_equal(ls_redis_sync_next(sync, &reply, NULL), 0);
        assert_int_equal(ls_reply_int(reply, -1), i + 1);
    }
    test_redis_command(redis, "SCRIPT", "FLUSH", NULL);
    ls_cmd_script(&cmd, &script);
    ls_cmd_puts(&cmd, "n");
    assert_int_equal(ls_redis_sync_send(sync, &cmd, &reply, NULL), 0); /* NOSCRIPT, then EVAL */
    assert_int_equal(ls_reply_int(reply, -1), 20001);
    ls_cmd_fini(&cmd);
    ls_redis_sync_close(sync);
    test_redis_stop(redis);
}

static void sync__stalled_or_killed_server__is_lost_then_reconnects(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct ls_redis_sync *sync = open_sync(redis->url, 200, NULL);
    const struct ls_reply *reply;
    struct ls_err err = LS_ERR_INIT;
    struct ls_cmd cmd = {0};
    int64_t begun = ls_clock_mono_ms();

    ls_cmd_start(&cmd, "PING");
    test_redis_pause(redis);
    assert_int_equal(ls_redis_sync_send(sync, &cmd, &reply, &err), -1);
    assert_int_equal(err.code, LS_E_LOST);
    assert_true(ls_clock_mono_ms() - begun < 3000);
    test_redis_resume(redis);
    assert_int_equal(ls_redis_sync_send(sync, &cmd, &reply, NULL), 0);
    assert_true(ls_reply_is(reply, "PONG"));
    test_redis_kill(redis);
    assert_int_equal(ls_redis_sync_send(sync, &cmd, &reply, &err), -1);
    assert_int_equal(err.code, LS_E_LOST);
    assert_int_equal(ls_redis_sync_send(sync, &cmd, &reply, &err), -1);
    assert_int_equal(err.code, LS_E_NETWORK);
    ls_cmd_fini(&cmd);
    ls_redis_sync_close(sync);
    test_redis_stop(redis);
}

static void sync__errors__name_the_thing_and_never_the_password(void **state)
{
    struct test_redis *redis =
        test_redis_start(&(struct test_redis_options){.tcp = true, .password = "right"});
    struct ls_err err = LS_ERR_INIT;
    struct ls_redis_sync *sync;
    char url[256];

    sync = open_sync(redis->url_tcp, 2000, &err);
    assert_non_null(sync);
    ls_redis_sync_close(sync);
    snprintf(url, sizeof(url), "redis://:hush@127.0.0.1:%d", redis->port);
    assert_null(open_sync(url, 2000, &err));
    assert_int_equal(err.code, LS_E_AUTH);
    assert_null(strstr(err.text, "hush"));
    snprintf(url, sizeof(url), "redis://:hush@127.0.0.1:%d", test_free_port());
    assert_null(open_sync(url, 2000, &err));
    assert_int_equal(err.code, LS_E_NETWORK);
    assert_null(strstr(err.text, "hush"));
    assert_true(err.hint[0]);
    assert_null(open_sync("unix:///nonexistent.sock", 2000, &err));
    assert_int_equal(err.code, LS_E_NETWORK);
    test_redis_stop(redis);
}

static void check__eviction_policy__is_refused(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct ls_redis_facts facts;
    struct ls_redis_url url;
    struct ls_err err = LS_ERR_INIT;
    char warning[256];

    assert_int_equal(ls_redis_url_parse(&url, redis->url, NULL), 0);
    assert_int_equal(ls_redis_check(&url, 0, &facts, warning, &err), 0);
    assert_non_null(strstr(warning, "append-only"));
    test_redis_command(redis, "CONFIG", "SET", "appendonly", "yes", NULL);
    assert_int_equal(ls_redis_check(&url, 0, &facts, warning, &err), 0);
    assert_string_equal(warning, "");
    test_redis_command(redis, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", NULL);
    assert_int_equal(ls_redis_check(&url, 0, &facts, warning, &err), -1);
    assert_int_equal(err.code, LS_E_CONFIG);
    assert_non_null(strstr(err.text, "allkeys-lru"));
    assert_non_null(strstr(err.hint, "noeviction"));
    ls_redis_url_fini(&url);
    test_redis_stop(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sync__pipeline__answers_in_order_scripts_included),
        cmocka_unit_test(sync__stalled_or_killed_server__is_lost_then_reconnects),
        cmocka_unit_test(sync__errors__name_the_thing_and_never_the_password),
        cmocka_unit_test(check__eviction_policy__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
