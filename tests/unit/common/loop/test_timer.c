#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/loop/timer.h"

struct fixture {
    int calls;
    struct ls_timer *timer;
};

static void count(void *arg)
{
    ((struct fixture *)arg)->calls++;
}

static void count_and_close(void *arg)
{
    struct fixture *fixture = arg;

    fixture->calls++;
    ls_timer_close(&fixture->timer);
}

static void timer__started_twice__fires_once_and_may_close_itself(void **state)
{
    struct fixture fixture = {0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    fixture.timer = ls_timer_new(&loop, count_and_close, &fixture);
    assert_false(ls_timer_is_set(fixture.timer));
    ls_timer_start(fixture.timer, 1);
    ls_timer_start(fixture.timer, 2);
    assert_true(ls_timer_is_set(fixture.timer));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture.calls, 1);
    assert_null(fixture.timer);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void timer__closed__fires_no_more(void **state)
{
    struct fixture fixture = {0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    fixture.timer = ls_timer_new(&loop, count, &fixture);
    ls_timer_repeat(fixture.timer, 1);
    ls_timer_close(&fixture.timer);
    ls_timer_close(&fixture.timer);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture.calls, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void defer__calls_once_from_the_loop(void **state)
{
    struct fixture fixture = {0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    ls_defer(&loop, count, &fixture);
    assert_int_equal(fixture.calls, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture.calls, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer__started_twice__fires_once_and_may_close_itself),
        cmocka_unit_test(timer__closed__fires_no_more),
        cmocka_unit_test(defer__calls_once_from_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
