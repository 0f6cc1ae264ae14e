#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/master/restart.h"

static void restart__instant_crashes__wait_longer_each_time_up_to_the_cap(void **state)
{
    struct ls_restart restart = {0};
    int64_t last = 0;

    for (int i = 0; i < 5; i++) {
        int64_t delay = ls_restart_delay_ms(&restart, false, 10);
        assert_true(delay > last);
        last = delay;
    }
    for (int i = 0; i < 100; i++)
        last = ls_restart_delay_ms(&restart, false, 10);
    assert_int_equal(last, LS_RESTART_CAP_MS);
}

static void restart__a_long_life__forgives_what_was_before(void **state)
{
    struct ls_restart restart = {0};
    int64_t first = ls_restart_delay_ms(&restart, false, 10);

    for (int i = 0; i < 10; i++)
        ls_restart_delay_ms(&restart, false, 10);
    assert_int_equal(ls_restart_delay_ms(&restart, false, LS_RESTART_CALM_MS), first);
}

static void restart__one_that_was_ready__is_back_within_a_second(void **state)
{
    struct ls_restart restart = {0};

    for (int i = 0; i < 100; i++)
        assert_true(ls_restart_delay_ms(&restart, true, 10) <= LS_RESTART_READY_CAP_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restart__instant_crashes__wait_longer_each_time_up_to_the_cap),
        cmocka_unit_test(restart__a_long_life__forgives_what_was_before),
        cmocka_unit_test(restart__one_that_was_ready__is_back_within_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
