#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/conn.h"
#include "tests/support/proxy.h"
#include "tests/support/redis.h"
#include "tests/support/temp.h"

/* A loop, a connection, and what they told us. */
struct fixture {
    uv_loop_t loop;
    struct ls_redis *conn;
    int ups, downs;
    struct ls_err down;
    int answers, errors;
    enum ls_err_code codes[16];
    char last[256];
    struct ls_err last_err;
    uv_timer_t guard;
    bool expired;
    uint64_t expire_at;
};

static void on_up(void *arg)
{
    ((struct fixture *)arg)->ups++;
}

static void on_down(void *arg, const struct ls_err *err)
{
    struct fixture *fixture = arg;

    fixture->downs++;
    fixture->down = *err;
}

static void on_answer(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct fixture *fixture = arg;

    assert_true(!reply != !err);
    if (err) {
        if (fixture->errors < 16)
            fixture->codes[fixture->errors] = err->code;
        fixture->errors++;
        fixture->last_err = *err;
        return;
    }
    fixture->answers++;
    if (reply->type == LS_REPLY_INTEGER)
        snprintf(fixture->last, sizeof(fixture->last), "%lld", (long long)reply->integer);
    else
        snprintf(fixture->last, sizeof(fixture->last), "%.*s", LS_SPAN_ARG(ls_reply_span(reply)));
}

static void on_guard(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;

    fixture->expired = uv_now(&fixture->loop) >= fixture->expire_at;
}

static void open_conn(struct fixture *fixture, const char *url_text,
                      const struct ls_redis_options *options)
{
    struct ls_redis_options own = options ? *options : (struct ls_redis_options){0};
    struct ls_redis_url url;

    memset(fixture, 0, sizeof(*fixture));
    uv_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop, &fixture->guard);
    fixture->guard.data = fixture;
    uv_timer_start(&fixture->guard, on_guard, 5,
                   5); /* also turns a loop that waits after a timer changed the counter */
    fixture->expire_at = uv_now(&fixture->loop) + 20000;
    own.up = on_up;
    own.down = on_down;
    own.arg = fixture;
    assert_int_equal(ls_redis_url_parse(&url, url_text, NULL), 0);
    fixture->conn = ls_redis_open(&fixture->loop, &url, &own);
    ls_redis_url_fini(&url);
}

/* Turn the loop until *counter reaches value. */
static void run_until(struct fixture *fixture, const int *counter, int value)
{
    while (*counter < value && !fixture->expired)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_false(fixture->expired);
}

static void close_conn(struct fixture *fixture)
{
    ls_redis_close(&fixture->conn);
    uv_close((uv_handle_t *)&fixture->guard, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

static void send_words(struct fixture *fixture, int64_t timeout_ms, const char *verb, ...)
{
    struct ls_cmd cmd = {0};
    const char *word;
    va_list args;

    ls_cmd_start(&cmd, verb);
    va_start(args, verb);
    while ((word = va_arg(args, const char *)))
        ls_cmd_puts(&cmd, word);
    va_end(args);
    ls_redis_send(fixture->conn, &cmd, timeout_ms, on_answer, fixture);
    ls_cmd_fini(&cmd);
}

static void conn__commands__are_answered_in_order_over_unix_and_tcp(void **state)
{
    struct test_redis *redis = test_redis_start(&(struct test_redis_options){.tcp = true});
    const char *urls[] = {redis->url, redis->url_tcp};
    int i, j;

    for (i = 0; i < 2; i++) {
        struct fixture fixture;
        open_conn(&fixture, urls[i], &(struct ls_redis_options){.client_name = "it-is-me"});
        for (j = 0; j < 5000; j++)
            send_words(&fixture, 0, "INCR", i ? "a" : "b", NULL); /* most before it is up */
        run_until(&fixture, &fixture.answers, 5000);
        assert_string_equal(fixture.last, "5000");
        assert_int_equal(fixture.ups, 1);
        assert_true(ls_redis_facts(fixture.conn)->version >= 60200);
        send_words(&fixture, 0, "CLIENT", "GETNAME", NULL);
        run_until(&fixture, &fixture.answers, 5001);
        assert_string_equal(fixture.last, "it-is-me");
        close_conn(&fixture);
    }
    test_redis_stop(redis);
}

static void conn__large_values__pass_both_ways(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    size_t size = 8 * 1024 * 1024;
    char *big = malloc(size);
    struct ls_cmd cmd = {0};
    struct fixture fixture;

    memset(big, 'x', size);
    open_conn(&fixture, redis->url, NULL);
    ls_cmd_start(&cmd, "SET");
    ls_cmd_puts(&cmd, "k");
    ls_cmd_add(&cmd, big, size);
    ls_redis_send(fixture.conn, &cmd, 0, on_answer, &fixture);
    run_until(&fixture, &fixture.answers, 1);
    ls_redis_send(fixture.conn, &cmd, 0, on_answer, &fixture); /* and when up */
    send_words(&fixture, 0, "GET", "k", NULL);
    send_words(&fixture, 0, "STRLEN", "k", NULL);
    run_until(&fixture, &fixture.answers, 4);
    assert_string_equal(fixture.last, "8388608");
    ls_cmd_fini(&cmd);
    free(big);
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void conn__nobody_there__down_with_address_and_hint(void **state)
{
    char url[64];
    struct fixture fixture;

    snprintf(url, sizeof(url), "redis://:secret@127.0.0.1:%d", test_free_port());
    open_conn(&fixture, url, NULL);
    send_words(&fixture, 0, "PING", NULL);
    assert_int_equal(fixture.errors, 0); /* never from within send */
    run_until(&fixture, &fixture.downs, 1);
    assert_int_equal(fixture.errors, 1);
    assert_int_equal(fixture.codes[0], LS_E_NETWORK);
    assert_int_equal(fixture.down.code, LS_E_NETWORK);
    assert_non_null(strstr(fixture.down.text, "connection refused"));
    assert_non_null(strstr(fixture.down.text, "127.0.0.1"));
    assert_null(strstr(fixture.down.text, "secret"));
    assert_true(fixture.down.hint[0]);
    send_words(&fixture, 0, "PING", NULL); /* down: told by the next turn */
    assert_int_equal(fixture.errors, 1);
    run_until(&fixture, &fixture.errors, 2);
    assert_int_equal(fixture.codes[1], LS_E_NETWORK);
    close_conn(&fixture);

    open_conn(&fixture, "unix:///nonexistent/redis.sock", NULL);
    run_until(&fixture, &fixture.downs, 1);
    assert_int_equal(fixture.down.code, LS_E_NETWORK);
    close_conn(&fixture);
}

static void conn__wrong_or_missing_password__is_an_auth_error(void **state)
{
    struct test_redis *redis = test_redis_start(&(struct test_redis_options){.password = "right"});
    char url[256];
    struct fixture fixture;

    open_conn(&fixture, redis->url, NULL);
    run_until(&fixture, &fixture.ups, 1);
    close_conn(&fixture);
    snprintf(url, sizeof(url), "unix://%s?password=wr0ng", redis->socket);
    open_conn(&fixture, url, NULL);
    run_until(&fixture, &fixture.downs, 1);
    assert_int_equal(fixture.down.code, LS_E_AUTH);
    assert_null(strstr(fixture.down.text, "wr0ng"));
    close_conn(&fixture);
    snprintf(url, sizeof(url), "unix://%s", redis->socket);
    open_conn(&fixture, url, NULL);
    run_until(&fixture, &fixture.downs, 1);
    assert_int_equal(fixture.down.code, LS_E_AUTH);
    assert_non_null(strstr(fixture.down.text, "wants a password"));
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void conn__server_killed__what_was_sent_is_lost(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct fixture fixture;

    open_conn(&fixture, redis->url, NULL);
    run_until(&fixture, &fixture.ups, 1);
    send_words(&fixture, 0, "BLPOP", "nothing", "0", NULL);
    send_words(&fixture, 0, "PING", NULL);
    uv_run(&fixture.loop, UV_RUN_NOWAIT);
    test_redis_kill(redis);
    run_until(&fixture, &fixture.downs, 1);
    assert_int_equal(fixture.errors, 2);
    assert_int_equal(fixture.codes[0], LS_E_LOST);
    assert_int_equal(fixture.codes[1], LS_E_LOST);
    assert_false(ls_redis_is_up(fixture.conn));
    test_redis_restart(redis);
    ls_redis_reconnect(fixture.conn);
    run_until(&fixture, &fixture.ups, 2);
    send_words(&fixture, 0, "PING", NULL);
    run_until(&fixture, &fixture.answers, 1);
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void conn__reconnect_option__comes_back_by_itself(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct fixture fixture;

    open_conn(&fixture, redis->url, &(struct ls_redis_options){.reconnect = true});
    run_until(&fixture, &fixture.ups, 1);
    test_redis_kill(redis);
    run_until(&fixture, &fixture.downs, 3);
    test_redis_restart(redis);
    run_until(&fixture, &fixture.ups, 2);
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void conn__stalled_server__the_deadline_ends_it(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    int64_t begun;
    struct fixture fixture;

    open_conn(&fixture, redis->url, NULL);
    run_until(&fixture, &fixture.ups, 1);
    test_redis_pause(redis);
    begun = ls_clock_mono_ms();
    uv_update_time(&fixture.loop);
    send_words(&fixture, 4000, "PING", NULL);
    send_words(&fixture, 200, "INCR", "n", NULL);
    run_until(&fixture, &fixture.downs, 1);
    assert_true(ls_clock_mono_ms() - begun >= 195);
    assert_true(ls_clock_mono_ms() - begun < 3000);
    assert_int_equal(fixture.errors, 2);
    assert_int_equal(fixture.codes[0], LS_E_LOST);
    assert_int_equal(fixture.codes[1], LS_E_LOST);
    /* nor is a stalled server waited for at connecting */
    fixture.errors = 0;
    ls_redis_close(&fixture.conn);
    close_conn(&fixture);
    open_conn(&fixture, redis->url, &(struct ls_redis_options){.connect_timeout_ms = 150});
    send_words(&fixture, 50, "PING", NULL);
    run_until(&fixture, &fixture.errors, 1);
    assert_int_equal(fixture.downs, 0);
    assert_int_equal(fixture.codes[0], LS_E_TIMEOUT);
    run_until(&fixture, &fixture.downs, 1);
    assert_int_equal(fixture.down.code, LS_E_TIMEOUT);
    test_redis_resume(redis);
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void conn__this_process_slept__answers_that_lie_there_count(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct fixture fixture;

    open_conn(&fixture, redis->url, NULL);
    run_until(&fixture, &fixture.ups, 1);
    send_words(&fixture, 100, "PING", NULL);
    uv_run(&fixture.loop, UV_RUN_NOWAIT);
    usleep(300 *
           1000); /* as if stopped: the deadline passes while the answer waits in the socket */
    run_until(&fixture, &fixture.answers, 1);
    assert_int_equal(fixture.downs, 0);
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void conn__unknown_script__is_sent_again_as_text_once(void **state)
{
    static const struct ls_script script = {.name = "t",
                                            .text = "return redis.call('INCRBY', KEYS[1], ARGV[1])",
                                            .length = 45,
                                            .sha1 = "9b6bff06c9b8e8ba40b2dbc1ac0b5b7d25c8e3b4",
                                            .key_count = 1};
    struct test_redis *redis = test_redis_start(NULL);
    struct ls_cmd cmd = {0};
    struct fixture fixture;
    int i;

    open_conn(&fixture, redis->url, NULL);
    run_until(&fixture, &fixture.ups, 1);
    for (i = 0; i < 40; i++) { /* a wrong digest: each is answered by NOSCRIPT */
        ls_cmd_script(&cmd, &script);
        ls_cmd_puts(&cmd, "n");
        ls_cmd_int(&cmd, 1);
        ls_redis_send(fixture.conn, &cmd, 0, on_answer, &fixture);
    }
    run_until(&fixture, &fixture.answers, 40);
    assert_string_equal(fixture.last, "40");
    assert_int_equal(fixture.errors, 0);
    ls_cmd_fini(&cmd);
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void conn__error_answers__reach_only_their_command(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct fixture fixture;

    open_conn(&fixture, redis->url, NULL);
    send_words(&fixture, 0, "NOSUCH", NULL);
    send_words(&fixture, 0, "PING", NULL);
    run_until(&fixture, &fixture.answers, 1);
    assert_int_equal(fixture.errors, 1);
    assert_int_equal(fixture.codes[0], LS_E_REDIS);
    assert_int_equal(fixture.downs, 0);
    close_conn(&fixture);
    test_redis_stop(redis);
}

static void close_in_callback(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct fixture *fixture = arg;

    fixture->answers++;
    ls_redis_close(&fixture->conn);
}

static void conn__closed_in_a_callback__calls_nobody_any_more(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct ls_cmd cmd = {0};
    struct fixture fixture;

    open_conn(&fixture, redis->url, NULL);
    ls_cmd_start(&cmd, "PING");
    ls_redis_send(fixture.conn, &cmd, 0, close_in_callback, &fixture);
    send_words(&fixture, 0, "PING", NULL);
    send_words(&fixture, 0, "PING", NULL);
    run_until(&fixture, &fixture.answers, 1);
    close_conn(&fixture);
    assert_int_equal(fixture.answers, 1);
    assert_int_equal(fixture.errors, 0);
    assert_int_equal(fixture.downs, 0);
    ls_cmd_fini(&cmd);
    test_redis_stop(redis);
}

static void conn__cut_reply__is_lost_and_applied(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_proxy *proxy;
    struct fixture fixture;
    char url[256];

    proxy =
        test_proxy_start(redis->socket, &(struct test_proxy_plan){.cut_after_reply_bytes = 12000});
    snprintf(url, sizeof(url), "%s", proxy->url);
    open_conn(&fixture, url, NULL);
    run_until(&fixture, &fixture.ups, 1);
    while (fixture.downs == 0 && !fixture.expired) {
        for (int i = 0; i < 20; i++)
            send_words(&fixture, 0, "INCR", "n", NULL);
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
    assert_true(fixture.errors >= 1);
    assert_int_equal(fixture.codes[0], LS_E_LOST);
    assert_in_range(test_redis_int(redis, "GET", "n", NULL), fixture.answers,
                    fixture.answers + fixture.errors);
    assert_int_equal(test_proxy_cuts(proxy), 1);
    close_conn(&fixture);
    test_proxy_stop(proxy);
    test_redis_stop(redis);
}

static void conn__tls__verifies_the_peer(void **state)
{
    struct test_redis *redis;
    char dir[96], make[1024], url[512];
    char cert[128], key[128], port[16];
    struct fixture fixture;
    int tls_port = test_free_port(), made;

    test_temp_dir(dir, sizeof(dir));
    snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    snprintf(port, sizeof(port), "%d", tls_port);
    snprintf(make, sizeof(make),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
             key, cert);
    made = (system)(make);
    if (made != 0) {
        test_temp_remove(dir);
        skip();
    }
    redis = test_redis_start(
        &(struct test_redis_options){.extra = {"--tls-port", port, "--tls-cert-file", cert,
                                               "--tls-key-file", key, "--tls-auth-clients", "no"}});
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%d/0?ca_file=%s", tls_port, cert);
    open_conn(&fixture, url, NULL);
    for (int i = 0; i < 2000; i++)
        send_words(&fixture, 0, "INCR", "n", NULL);
    run_until(&fixture, &fixture.answers, 2000);
    assert_string_equal(fixture.last, "2000");
    close_conn(&fixture);
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%d/0",
             tls_port); /* not in the system's trust store */
    open_conn(&fixture, url, NULL);
    run_until(&fixture, &fixture.downs, 1);
    assert_int_equal(fixture.down.code, LS_E_NETWORK);
    assert_non_null(strstr(fixture.down.text, "certificate"));
    close_conn(&fixture);
    test_redis_stop(redis);
    test_temp_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conn__commands__are_answered_in_order_over_unix_and_tcp),
        cmocka_unit_test(conn__large_values__pass_both_ways),
        cmocka_unit_test(conn__nobody_there__down_with_address_and_hint),
        cmocka_unit_test(conn__wrong_or_missing_password__is_an_auth_error),
        cmocka_unit_test(conn__server_killed__what_was_sent_is_lost),
        cmocka_unit_test(conn__reconnect_option__comes_back_by_itself),
        cmocka_unit_test(conn__stalled_server__the_deadline_ends_it),
        cmocka_unit_test(conn__this_process_slept__answers_that_lie_there_count),
        cmocka_unit_test(conn__unknown_script__is_sent_again_as_text_once),
        cmocka_unit_test(conn__error_answers__reach_only_their_command),
        cmocka_unit_test(conn__closed_in_a_callback__calls_nobody_any_more),
        cmocka_unit_test(conn__cut_reply__is_lost_and_applied),
        cmocka_unit_test(conn__tls__verifies_the_peer),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
