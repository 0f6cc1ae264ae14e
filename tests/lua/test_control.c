#include "tests/lua/harness.h"

/* queue_pause: what an operator switches. What a turn and a push make of it is in test_turn and
 * test_push. */

#define WORKER_A "web-1-4711-00112233445566aa"

static struct ls_queue_switched switched(void)
{
    struct ls_queue_switched was = {0};

    assert_int_equal(ls_queue_switch_parse(send_cmd(), &was, NULL), 0);
    return was;
}

static void close__then_resume__opens_and_ends_a_pause_too(void **state)
{
    struct ls_queue_switched was;

    ls_queue_close_build(&cmd, &keys, span("deploy"));
    was = switched();
    assert_false(was.was_closed || was.was_paused);
    ls_queue_close_build(&cmd, &keys, span("second"));
    assert_true(switched().was_closed);
    assert_string_equal(redis_text("HGET", keys.control, "closed", NULL), "deploy");
    ls_queue_pause_build(&cmd, &keys, span("and paused"));
    assert_true(switched().was_closed);
    assert_int_equal(redis_int("EXISTS", keys.wake, NULL), 0);
    ls_queue_resume_build(&cmd, &keys);
    was = switched();
    assert_true(was.was_closed && was.was_paused);
    assert_int_equal(redis_int("HLEN", keys.control, NULL), 0);
    assert_int_equal(redis_int("LLEN", keys.wake, NULL), 1);
    ls_queue_resume_build(&cmd, &keys);
    was = switched();
    assert_false(was.was_closed || was.was_paused);
}

static void close__by_nobody__is_by_somebody(void **state)
{
    ls_queue_close_build(&cmd, &keys, (struct ls_span){0});
    switched();
    assert_string_equal(redis_text("HGET", keys.control, "closed", NULL), "somebody");
}

static void quiet__one_process__is_marked_once_and_speaks_again(void **state)
{
    ls_queue_quiet_build(&cmd, &keys, span("web-1-4711"), span("me: deploy"));
    assert_int_equal(switched().quiet, 1);
    ls_queue_quiet_build(&cmd, &keys, span("web-1-4711"), span("other"));
    assert_int_equal(switched().quiet, 0);
    assert_string_equal(redis_text("HGET", keys.control, "quiet/web-1-4711", NULL), "me: deploy");
    ls_queue_unquiet_build(&cmd, &keys, span("web-1-471"));
    assert_int_equal(switched().quiet, 0);
    assert_int_equal(redis_int("EXISTS", keys.wake, NULL), 0);
    ls_queue_unquiet_build(&cmd, &keys, span("web-1-4711"));
    assert_int_equal(switched().quiet, 1);
    assert_int_equal(redis_int("EXISTS", keys.control, NULL), 0);
    assert_int_equal(redis_int("LLEN", keys.wake, NULL), 1);
}

static void unquiet__all__leaves_what_else_is_switched(void **state)
{
    redis_int("HSET", keys.control, "bound", "7", "quiet/a-1", "x", "quiet/b-2", "x", NULL);
    ls_queue_unquiet_build(&cmd, &keys, (struct ls_span){0});
    assert_int_equal(switched().quiet, 2);
    assert_string_equal(redis_list("HGETALL", keys.control, NULL), "bound|7");
}

static void sweep__processes_that_are_gone__are_forgotten(void **state)
{
    join(WORKER_A);
    redis_int("HSET", keys.control, "paused", "me", "quiet/web-1-4711", "x", "quiet/web-1-4712",
              "x", NULL);
    ls_queue_quiet_sweep_build(&cmd, &keys);
    assert_int_equal(switched().quiet, 1);
    assert_int_equal(redis_int("HEXISTS", keys.control, "quiet/web-1-4711", NULL), 1);
    assert_int_equal(redis_int("HEXISTS", keys.control, "quiet/web-1-4712", NULL), 0);
    assert_int_equal(redis_int("HEXISTS", keys.control, "paused", NULL), 1);
}

static void quiet_field__is_a_process_or_something_else(void **state)
{
    assert_true(ls_span_is(ls_queue_quiet_field(span("quiet/web-1-4712")), "web-1-4712"));
    assert_int_equal(ls_queue_quiet_field(span("quiet/")).length, 0);
    assert_int_equal(ls_queue_quiet_field(span("paused")).length, 0);
}

/* What a sweep takes for a process is what others do. */
static void sweep__a_worker_of_our_own__is_there(void **state)
{
    char own[LS_WORKER_ID_SIZE];
    struct ls_span process;

    ls_worker_id(own);
    process = ls_worker_place(own);
    join(own);
    ls_queue_quiet_build(&cmd, &keys, process, span("me"));
    assert_int_equal(switched().quiet, 1);
    ls_queue_quiet_sweep_build(&cmd, &keys);
    assert_int_equal(switched().quiet, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(close__then_resume__opens_and_ends_a_pause_too),
        TEST(close__by_nobody__is_by_somebody),
        TEST(quiet__one_process__is_marked_once_and_speaks_again),
        TEST(unquiet__all__leaves_what_else_is_switched),
        TEST(sweep__processes_that_are_gone__are_forgotten),
        TEST(quiet_field__is_a_process_or_something_else),
        TEST(sweep__a_worker_of_our_own__is_there),
    };

    return cmocka_run_group_tests(tests, harness_open, harness_close);
}
