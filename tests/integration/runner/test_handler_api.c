#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/loop/timer.h"
#include "tests/integration/runner/common.h"
#include "tests/support/runner.h"
#include "worker/handlers/handlers.h"
#include "worker/main.h"

/* This program brings its own table of handlers instead of worker/handlers: kinds that use each
 * call of handler.h. */
struct ls_handlers {
    struct ls_runner_tools *tools;
};

/* Counts in data {"n":N}: goes again until 3. */
static void again_begin(void *self, struct ls_run *run)
{
    struct ls_span data = ls_run_data(run);
    char next[32];
    int n = data.length > 5 ? (int)strtol(data.data + 5, NULL, 10) : 0;

    ls_run_count(run, "steps", 1);
    if (n >= 3) {
        ls_run_ok(run);
        return;
    }
    snprintf(next, sizeof(next), "{\"n\":%d}", n + 1);
    ls_run_again(run, n == 1 ? 50 : 0, next, strlen(next));
}

/* Checkpoints, then stays until cancelled. */
static void keep_begin(void *self, struct ls_run *run)
{
    static const char page[] = "{\"page\":7}";

    ls_run_checkpoint(run, page, strlen(page));
    assert_memory_equal(ls_run_data(run).data, page, strlen(page));
    assert_true(ls_run_may_write(run));
    assert_int_equal(ls_run_attempt(run), 1);
    assert_true(ls_run_fence(run) > 0);
}

static void keep_cancel(void *self, struct ls_run *run)
{
}

struct late {
    struct ls_run *run;
    struct ls_timer *timer;
};

static void late_due(void *arg)
{
    struct late *late = arg;
    struct ls_run *run = late->run;
    struct ls_err err = LS_ERR_INIT;

    ls_timer_close(&late->timer);
    free(late);
    ls_fail(&err, LS_E_STORE, "database is locked");
    if (ls_run_fence(run) % 2 == 0)
        ls_run_fail(run, &err);
    else
        ls_run_ok(run);
}

/* Ends some ms later: half of them by a store error, which costs no attempt. */
static void late_begin(void *self, struct ls_run *run)
{
    struct ls_handlers *handlers = self;
    struct late *late = LS_NEW(struct late);

    late->run = run;
    late->timer = ls_timer_new(handlers->tools->loop, late_due, late);
    *ls_run_state(run) = late;
    ls_timer_start(late->timer, 3);
}

static void late_cancel(void *self, struct ls_run *run)
{
    struct late *late = *ls_run_state(run);

    ls_timer_close(&late->timer);
    free(late);
}

static void auth_begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;

    ls_fail(&err, LS_E_AUTH, "key refused");
    ls_run_fail(run, &err);
}

static void on_drawn(void *arg, int count)
{
    struct ls_run *run = arg;

    assert_in_range(count, 1, 3);
    ls_run_ungrant(run, count - 1);
    ls_run_spent(run, 1);
    ls_run_count(run, "drawn", 1);
    ls_run_ok(run);
}

/* Draws from a budget: one at a time, later, and not at all for a run that has ended. */
static void draw_begin(void *self, struct ls_run *run)
{
    ls_run_take(run, 3, on_drawn, run);
    if (ls_run_data(run).length) /* {"quit":true} */
        ls_run_ok(run);
}

static void draw_cancel(void *self, struct ls_run *run)
{
}

static struct ls_handler table[] = {
    {.kind = "draw", .begin = draw_begin, .cancel = draw_cancel},
    {.kind = "again", .begin = again_begin},
    {.kind = "keep", .begin = keep_begin, .cancel = keep_cancel},
    {.kind = "late", .begin = late_begin, .cancel = late_cancel},
    {.kind = "auth", .begin = auth_begin},
};

struct ls_handlers *ls_handlers_new(struct ls_runner_tools *tools, struct ls_err *err)
{
    struct ls_handlers *handlers = LS_NEW(struct ls_handlers);
    size_t i;

    handlers->tools = tools;
    for (i = 0; i < LS_COUNT(table); i++)
        table[i].self = handlers;
    return handlers;
}

void ls_handlers_free(struct ls_handlers *handlers)
{
    free(handlers);
}

const struct ls_handler *ls_handlers_find(const struct ls_handlers *handlers, struct ls_span kind)
{
    size_t i;

    for (i = 0; i < LS_COUNT(table); i++)
        if (ls_span_is(kind, table[i].kind))
            return &table[i];
    return NULL;
}

static void handler__again__comes_back_with_new_data_and_no_attempt(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_runner *runner = test_runner_start(redis->url, NULL);

    push_raw(redis, "{\"kind\":\"again\",\"data\":{\"n\":0}}");
    push_raw(redis, "{\"kind\":\"again\",\"key\":\"k\",\"data\":{\"n\":0}}");
    assert_true(wait_counter(redis, "done", 2, 8000));
    assert_int_equal(counter(redis, "again"), 6);
    assert_int_equal(counter(redis, "steps"), 8);
    assert_int_equal(jobs_left(redis), 0);
    assert_int_equal(test_redis_int(redis, "HLEN", KEY("keys"), NULL), 0);
    assert_int_equal(test_redis_int(redis, "HLEN", KEY("bodies"), NULL), 0);
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    test_redis_stop(redis);
}

static bool checkpointed(void *arg)
{
    const char *text =
        test_redis_text(arg, "EVAL",
                        "local k = redis.call('KEYS', 'lockstep:{default}:running:*')[1]; "
                        "return k and redis.call('HVALS', k)[1] or ''",
                        "0", NULL);

    return strstr(text, "{\"page\":7}") != NULL;
}

static void handler__checkpoint__survives_the_process(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_runner *runner = test_runner_start(redis->url, "shutdown_grace: 1s\n");

    push_raw(redis, "{\"kind\":\"keep\",\"data\":{\"page\":1}}");
    assert_true(test_wait(checkpointed, redis, 8000));
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    assert_non_null(strstr(test_redis_text(redis, "LINDEX", KEY("pending"), "0", NULL),
                           "\"data\":{\"page\":7}"));
    test_redis_stop(redis);
}

static void handler__store_errors__cost_no_attempt(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_runner *runner = test_runner_start(redis->url, NULL);
    int i;

    for (i = 0; i < 200; i++)
        push_raw(redis, "{\"kind\":\"late\",\"max_attempts\":1}");
    assert_true(wait_counter(redis, "done", 200, 40000));
    assert_true(counter(redis, "retried") > 20);
    assert_int_equal(test_redis_int(redis, "LLEN", KEY("dead"), NULL), 0);
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    test_redis_stop(redis);
}

static void handler__auth_error__parks_the_account_and_loses_nothing(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_runner *runner = test_runner_start(redis->url, NULL);
    int i;

    for (i = 0; i < 10; i++)
        push_raw(redis, "{\"kind\":\"auth\",\"account\":\"shop\"}");
    assert_true(wait_counter(redis, "auth_parked", 1, 8000));
    assert_true(wait_counter(redis, "limited", 10, 8000));
    assert_int_equal(test_redis_int(redis, "LLEN", KEY("dead"), NULL), 0);
    assert_int_equal(jobs_left(redis), 10);
    assert_string_equal(test_redis_text(redis, "HGET", KEY("limits"), "shop/reason", NULL), "auth");
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    test_redis_stop(redis);
}

static void handler__takes__are_granted_later_and_forgotten_at_the_end(void **state)
{
    struct test_redis *redis = test_redis_start(NULL);
    struct test_runner *runner = test_runner_start(redis->url, NULL);
    int i;

    for (i = 0; i < 50; i++) {
        push_raw(redis, "{\"kind\":\"draw\"}");
        push_raw(redis, "{\"kind\":\"draw\",\"data\":{\"quit\":true}}");
    }
    assert_true(wait_counter(redis, "done", 100, 8000));
    assert_true(wait_counter(redis, "drawn", 50, 8000));
    assert_int_equal(test_runner_stop(runner, 8000), 0);
    assert_int_equal(counter(redis, "drawn"), 50);
    assert_int_equal(jobs_left(redis), 0);
    test_redis_stop(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handler__again__comes_back_with_new_data_and_no_attempt),
        cmocka_unit_test(handler__checkpoint__survives_the_process),
        cmocka_unit_test(handler__store_errors__cost_no_attempt),
        cmocka_unit_test(handler__auth_error__parks_the_account_and_loses_nothing),
        cmocka_unit_test(handler__takes__are_granted_later_and_forgotten_at_the_end),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
