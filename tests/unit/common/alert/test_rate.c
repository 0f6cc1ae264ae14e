#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/alert/rate.h"

#define WINDOW 60000
#define NOW 1700000000000

static void rate__within_the_window__is_summed(void **state)
{
    struct ls_rate rate = {0};

    assert_int_equal(ls_rate_add(&rate, WINDOW, 5, NOW), 5);
    assert_int_equal(ls_rate_add(&rate, WINDOW, 3, NOW + 30000), 8);
    assert_int_equal(ls_rate_add(&rate, WINDOW, 0, NOW + WINDOW - 1), 8);
    assert_int_equal(ls_rate_add(&rate, WINDOW, 0, NOW + WINDOW + 20000), 3);
    assert_int_equal(ls_rate_add(&rate, WINDOW, 0, NOW + 2 * WINDOW), 0);
    assert_int_equal(rate.slot, 0); /* nothing is left to be remembered */
}

static void rate__after_a_long_time__is_forgotten(void **state)
{
    struct ls_rate rate = {0};

    ls_rate_add(&rate, WINDOW, 5, NOW);
    assert_int_equal(ls_rate_add(&rate, WINDOW, 1, NOW + 3600000), 1);
}

static void rate__the_clock_goes_back__nothing_is_lost_or_doubled(void **state)
{
    struct ls_rate rate = {0};

    ls_rate_add(&rate, WINDOW, 5, NOW);
    assert_int_equal(ls_rate_add(&rate, WINDOW, 2, NOW - 3600000), 7);
    assert_int_equal(ls_rate_add(&rate, WINDOW, 0, NOW + 2 * WINDOW), 0);
}

/* Every pace, in steps of a look: never less than what came in the window, at most a sixth of it
 * more. */
static void rate__of_a_steady_flow__is_what_came_in_the_window(void **state)
{
    struct ls_rate rate = {0};
    int64_t sum = 0;

    for (int64_t at = 0; at < 10 * WINDOW; at += 1000) {
        sum = ls_rate_add(&rate, WINDOW, 2, NOW + at);
        if (at >= 2 * WINDOW)
            assert_in_range(sum, 2 * WINDOW / 1000, 2 * WINDOW / 1000 * 7 / 6);
    }
}

static void rate__text__comes_back(void **state)
{
    static const char *const wrong[] = {"",
                                        "ok since=1",
                                        "firing slot=7",
                                        "x slot=7 grew=1,2",
                                        "x slot=7 grew=1,2,3,4,5,6",
                                        "x slot=-7 grew=1,2,3,4,5,6,7",
                                        "x slot=7 grew=1,-2,3,4,5,6,7"};
    struct ls_rate rate = {.slot = 17, .counts = {1, 0, 3, 0, 0, 2, 9}}, read;
    struct ls_buf out = {0};

    ls_buf_puts(&out, "firing since=1 last=2");
    ls_rate_write(&rate, &out);
    assert_string_equal(out.data, "firing since=1 last=2 slot=17 grew=1,0,3,0,0,2,9");
    ls_rate_read(&read, out.data);
    assert_memory_equal(&read, &rate, sizeof read);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ls_rate_read(&read, wrong[i]);
        if (read.slot)
            fail_msg("'%s' was read", wrong[i]);
    }
    ls_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate__within_the_window__is_summed),
        cmocka_unit_test(rate__after_a_long_time__is_forgotten),
        cmocka_unit_test(rate__the_clock_goes_back__nothing_is_lost_or_doubled),
        cmocka_unit_test(rate__of_a_steady_flow__is_what_came_in_the_window),
        cmocka_unit_test(rate__text__comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
