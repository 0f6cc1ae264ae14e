#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/schedule/plan.h"

#define MINUTE_MS 60000LL
#define HOUR_MS (60 * MINUTE_MS)
#define MIDNIGHT 1795392000000LL /* 2026-11-23T00:00:00Z */

static const struct ls_pace minutely = {.every_ms = MINUTE_MS};

static struct ls_pace hourly(void)
{
    struct ls_pace pace;

    assert_int_equal(ls_pace_cron(&pace, "0 * * * *", "UTC", NULL), 0);
    return pace;
}

static const enum ls_config_catch_up policies[] = {LS_CONFIG_CATCH_UP_LAST, LS_CONFIG_CATCH_UP_ALL,
                                                   LS_CONFIG_CATCH_UP_SKIP};

static void plan__nothing_is_due__waits_for_the_next_tick(void **state)
{
    struct ls_pace pace = hourly();

    for (size_t i = 0; i < LS_COUNT(policies); i++) {
        struct ls_plan plan = ls_plan_make(&pace, policies[i], MIDNIGHT, MIDNIGHT + 1234);

        assert_int_equal(plan.tick, MIDNIGHT + HOUR_MS);
        assert_int_equal(plan.wait_ms, HOUR_MS - 1234);
        assert_int_equal(plan.left_out, -1);
    }
    ls_pace_fini(&pace);
}

static void plan__one_is_due__fires_under_each_policy(void **state)
{
    struct ls_pace pace = hourly();

    for (size_t i = 0; i < LS_COUNT(policies); i++) {
        struct ls_plan plan = ls_plan_make(&pace, policies[i], MIDNIGHT - HOUR_MS, MIDNIGHT + 300);

        assert_int_equal(plan.tick, MIDNIGHT);
        assert_int_equal(plan.wait_ms, 0);
        assert_int_equal(plan.left_out, -1);
    }
    ls_pace_fini(&pace);
}

static void last__after_a_downtime__fires_the_newest(void **state)
{
    struct ls_pace pace = hourly();
    struct ls_plan plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_LAST, MIDNIGHT - 9 * HOUR_MS,
                                       MIDNIGHT + HOUR_MS - 1);

    assert_int_equal(plan.tick, MIDNIGHT);
    assert_int_equal(plan.wait_ms, 0);
    assert_int_equal(plan.stale_ms,
                     MIDNIGHT + HOUR_MS); /* from then on another one is the newest */
    assert_int_equal(plan.left_out, MIDNIGHT - 8 * HOUR_MS);
    plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_LAST, plan.tick, MIDNIGHT + HOUR_MS - 1);
    assert_int_equal(plan.tick, MIDNIGHT + HOUR_MS);
    assert_int_equal(plan.wait_ms, 1);
    assert_int_equal(plan.stale_ms, MIDNIGHT + 2 * HOUR_MS);
    ls_pace_fini(&pace);
}

static void all__after_a_downtime__fires_each_in_order(void **state)
{
    struct ls_pace pace = hourly();
    int64_t settled = MIDNIGHT - 9 * HOUR_MS, now = MIDNIGHT + 5;

    for (int i = 1; i <= 9; i++) {
        struct ls_plan plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, settled, now);

        assert_int_equal(plan.tick, settled + HOUR_MS);
        assert_int_equal(plan.wait_ms, 0);
        assert_int_equal(plan.stale_ms, 0);
        assert_int_equal(plan.dropped, 0);
        settled = plan.tick;
    }
    assert_int_equal(ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, settled, now).wait_ms,
                     HOUR_MS - 5);
    ls_pace_fini(&pace);
}

static void all__of_very_many__only_the_newest_thousand(void **state)
{
    struct ls_pace pace = hourly();
    int64_t settled = MIDNIGHT - 1003 * HOUR_MS;
    struct ls_plan plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, settled, MIDNIGHT);

    assert_int_equal(plan.tick, MIDNIGHT - 999 * HOUR_MS);
    assert_int_equal(plan.dropped, 3);
    assert_int_equal(plan.left_out, settled + HOUR_MS);
    plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, plan.tick, MIDNIGHT);
    assert_int_equal(plan.tick, MIDNIGHT - 998 * HOUR_MS);
    assert_int_equal(plan.dropped, 0);
    plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, MIDNIGHT - 1000 * HOUR_MS, MIDNIGHT);
    assert_int_equal(plan.tick, MIDNIGHT - 999 * HOUR_MS);
    assert_int_equal(plan.dropped, 0);
    ls_pace_fini(&pace);
    plan = ls_plan_make(&minutely, LS_CONFIG_CATCH_UP_ALL, MIDNIGHT - 5000000 * 1000LL, MIDNIGHT);
    assert_int_equal(plan.tick, MIDNIGHT - 999 * MINUTE_MS);
    assert_int_equal(plan.dropped, 5000000 / 60 + 1 - 1000 - (5000000 % 60 == 0));
}

static void all__decades_later__is_still_answered(void **state)
{
    struct ls_pace pace;
    struct ls_plan plan;

    assert_int_equal(ls_pace_cron(&pace, "* * * * *", "UTC", NULL), 0);
    plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, 60000, MIDNIGHT);
    assert_int_equal(plan.tick, MIDNIGHT - 999 * MINUTE_MS);
    assert_int_equal(plan.dropped, LS_PLAN_OLDEST_MS / MINUTE_MS - 1000);
    ls_pace_fini(&pace);
    /* Nothing within eight years, but something before: a Sunday in 1976. */
    assert_int_equal(ls_pace_cron(&pace, "0 0 29 2 */7", "UTC", NULL), 0);
    plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, 0, 1000000000000);
    assert_int_equal(plan.tick, 194400000000);
    ls_pace_fini(&pace);
}

static void skip__after_a_downtime__fires_none_that_is_late(void **state)
{
    struct ls_pace pace = hourly();
    struct ls_plan plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_SKIP, MIDNIGHT - 9 * HOUR_MS,
                                       MIDNIGHT + LS_PLAN_LATE_MS + 1);

    assert_int_equal(plan.tick, MIDNIGHT + HOUR_MS);
    assert_int_equal(plan.wait_ms, HOUR_MS - LS_PLAN_LATE_MS - 1);
    assert_int_equal(plan.left_out, MIDNIGHT - 8 * HOUR_MS);
    plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_SKIP, MIDNIGHT - 9 * HOUR_MS,
                        MIDNIGHT + LS_PLAN_LATE_MS);
    assert_int_equal(plan.tick, MIDNIGHT); /* a minute late is not missed */
    assert_int_equal(plan.wait_ms, 0);
    assert_int_equal(plan.stale_ms, MIDNIGHT + LS_PLAN_LATE_MS + 1);
    assert_int_equal(plan.left_out, MIDNIGHT - 8 * HOUR_MS);
    /* The plan that waits knows when it will have been too late, too. */
    plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_SKIP, MIDNIGHT, MIDNIGHT + 10);
    assert_int_equal(plan.stale_ms, MIDNIGHT + HOUR_MS + LS_PLAN_LATE_MS + 1);
    ls_pace_fini(&pace);
}

static void plan__nothing_settled__fires_at_once_and_misses_nothing(void **state)
{
    struct ls_plan plan =
        ls_plan_make(&minutely, LS_CONFIG_CATCH_UP_LAST, -1, MIDNIGHT + MINUTE_MS - 1);

    assert_int_equal(plan.tick, MIDNIGHT);
    assert_int_equal(plan.wait_ms, 0);
    assert_int_equal(plan.left_out, -1);
}

static void plan__the_clock_stepped_back__waits_and_fires_nothing_twice(void **state)
{
    for (size_t i = 0; i < LS_COUNT(policies); i++) {
        struct ls_plan plan = ls_plan_make(&minutely, policies[i], MIDNIGHT, MIDNIGHT - HOUR_MS);

        assert_int_equal(plan.tick, MIDNIGHT + MINUTE_MS);
        assert_int_equal(plan.wait_ms, HOUR_MS + MINUTE_MS);
    }
}

/* A simulated life: Redis' clock is a number here. Stops, steps and hiccups at random. */
static void plan__a_long_life__all_fires_each_tick_once_and_in_order(void **state)
{
    struct ls_pace pace = hourly();
    int64_t settled = MIDNIGHT, now = MIDNIGHT, expected = MIDNIGHT + HOUR_MS;
    uint64_t random = 0x5eed;

    for (int i = 0; i < 3000; i++) {
        struct ls_plan plan = ls_plan_make(&pace, LS_CONFIG_CATCH_UP_ALL, settled, now);

        if (plan.wait_ms) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            now += plan.wait_ms + (int64_t)(random % (uint64_t)(random & 64 ? 100 : 20 * HOUR_MS));
            continue;
        }
        assert_true(plan.tick == expected && plan.tick <= now);
        expected += HOUR_MS;
        settled = plan.tick;
    }
    assert_true(expected > MIDNIGHT + 1000 * HOUR_MS);
    ls_pace_fini(&pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan__nothing_is_due__waits_for_the_next_tick),
        cmocka_unit_test(plan__one_is_due__fires_under_each_policy),
        cmocka_unit_test(last__after_a_downtime__fires_the_newest),
        cmocka_unit_test(all__after_a_downtime__fires_each_in_order),
        cmocka_unit_test(all__of_very_many__only_the_newest_thousand),
        cmocka_unit_test(all__decades_later__is_still_answered),
        cmocka_unit_test(skip__after_a_downtime__fires_none_that_is_late),
        cmocka_unit_test(plan__nothing_settled__fires_at_once_and_misses_nothing),
        cmocka_unit_test(plan__the_clock_stepped_back__waits_and_fires_nothing_twice),
        cmocka_unit_test(plan__a_long_life__all_fires_each_tick_once_and_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
