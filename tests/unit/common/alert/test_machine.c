#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/alert/machine.h"

static const struct ls_alert_timing slow = {
    .fire_for_ms = 60, .clear_for_ms = 100, .cooldown_ms = 1000};
static const struct ls_alert_timing events = {
    .clear_for_ms = 5000, .cooldown_ms = 1000, .events = true};

static enum ls_alert_action look(struct ls_alert *alert, const struct ls_alert_timing *timing,
                                 enum ls_alert_level level, int64_t count, int64_t now)
{
    enum ls_alert_action action = ls_alert_step(alert, timing, level, count, now);

    if (action == LS_ALERT_NOTIFY)
        ls_alert_notified(alert, now);
    return action;
}

static void machine__short_peak__raises_nothing(void **state)
{
    struct ls_alert alert = {0};

    assert_int_equal(look(&alert, &slow, LS_LEVEL_HIGH, 0, 10000), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_PENDING);
    assert_int_equal(look(&alert, &slow, LS_LEVEL_BELOW, 0, 10030), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_OK);
    assert_int_equal(look(&alert, &slow, LS_LEVEL_HIGH, 0, 10070), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_PENDING);
}

static void machine__high_for_long__is_told_once_and_its_end_is_told(void **state)
{
    struct ls_alert alert = {0};

    look(&alert, &slow, LS_LEVEL_HIGH, 0, 10000);
    assert_int_equal(look(&alert, &slow, LS_LEVEL_HIGH, 0, 10060), LS_ALERT_NOTIFY);
    for (int64_t now = 10070; now < 20000; now += 10)
        assert_int_equal(look(&alert, &slow, LS_LEVEL_HIGH, 0, now), LS_ALERT_NOTHING);
    assert_int_equal(look(&alert, &slow, LS_LEVEL_BELOW, 0, 20000), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_CLEARING);
    assert_int_equal(look(&alert, &slow, LS_LEVEL_BELOW, 0, 20100), LS_ALERT_RESOLVE);
    assert_int_equal(alert.state, LS_ALERT_OK);
}

static void machine__value_between_the_levels__neither_fires_nor_clears(void **state)
{
    struct ls_alert alert = {0};

    assert_int_equal(look(&alert, &slow, LS_LEVEL_BETWEEN, 0, 10000), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_OK);
    look(&alert, &slow, LS_LEVEL_HIGH, 0, 10010);
    look(&alert, &slow, LS_LEVEL_HIGH, 0, 10080);
    assert_int_equal(alert.state, LS_ALERT_FIRING);
    look(&alert, &slow, LS_LEVEL_BELOW, 0, 10090);
    assert_int_equal(look(&alert, &slow, LS_LEVEL_BETWEEN, 0, 11000), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_FIRING);
}

static void machine__flapping__is_told_once_a_cooldown_with_its_count(void **state)
{
    struct ls_alert alert = {0};
    int told = 0;
    int64_t count = 0;

    for (int64_t now = 10000; now < 12400; now += 10) {
        bool high = (now / 200) % 2 == 0; /* 200 ms high, 200 ms below */

        if (ls_alert_step(&alert, &slow, high ? LS_LEVEL_HIGH : LS_LEVEL_BELOW, 0, now) ==
            LS_ALERT_NOTIFY) {
            told++;
            count += alert.count;
            ls_alert_notified(&alert, now);
        }
    }
    assert_int_equal(told, 3);
    assert_true(count >= 5);
}

static void machine__too_few_samples__fire_nothing_and_let_it_clear(void **state)
{
    struct ls_alert alert = {0};

    for (int64_t now = 10000; now < 11000; now += 10)
        assert_int_equal(look(&alert, &slow, LS_LEVEL_UNKNOWN, 0, now), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_OK);
    look(&alert, &slow, LS_LEVEL_HIGH, 0, 12000);
    look(&alert, &slow, LS_LEVEL_HIGH, 0, 12060);
    look(&alert, &slow, LS_LEVEL_UNKNOWN, 0, 12070);
    assert_int_equal(look(&alert, &slow, LS_LEVEL_UNKNOWN, 0, 12200), LS_ALERT_RESOLVE);
}

static void machine__first_event__is_told_at_once_and_later_ones_together(void **state)
{
    struct ls_alert alert = {0};

    assert_int_equal(ls_alert_step(&alert, &events, LS_LEVEL_HIGH, 1, 10000), LS_ALERT_NOTIFY);
    assert_int_equal(alert.count, 1);
    ls_alert_notified(&alert, 10000);
    for (int64_t now = 10010; now < 10510; now += 10)
        assert_int_equal(look(&alert, &events, LS_LEVEL_HIGH, 1, now), LS_ALERT_NOTHING);
    for (int64_t now = 10510; now < 11000; now += 10)
        assert_int_equal(look(&alert, &events, LS_LEVEL_BELOW, 0, now), LS_ALERT_NOTHING);
    assert_int_equal(ls_alert_step(&alert, &events, LS_LEVEL_BELOW, 0, 11000), LS_ALERT_NOTIFY);
    assert_int_equal(alert.count, 50);
    ls_alert_notified(&alert, 11000);
    for (int64_t now = 11010; now < 30000; now += 10)
        assert_int_equal(look(&alert, &events, LS_LEVEL_BELOW, 0, now), LS_ALERT_NOTHING);
    assert_int_equal(alert.state, LS_ALERT_OK);
}

static void machine__wall_clock_goes_back__does_not_silence_it(void **state)
{
    struct ls_alert alert = {0};

    look(&alert, &events, LS_LEVEL_HIGH, 1, 10000000);
    assert_int_equal(look(&alert, &events, LS_LEVEL_HIGH, 1, 5000), LS_ALERT_NOTHING);
    assert_int_equal(look(&alert, &events, LS_LEVEL_HIGH, 1, 6000), LS_ALERT_NOTIFY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machine__short_peak__raises_nothing),
        cmocka_unit_test(machine__high_for_long__is_told_once_and_its_end_is_told),
        cmocka_unit_test(machine__value_between_the_levels__neither_fires_nor_clears),
        cmocka_unit_test(machine__flapping__is_told_once_a_cooldown_with_its_count),
        cmocka_unit_test(machine__too_few_samples__fire_nothing_and_let_it_clear),
        cmocka_unit_test(machine__first_event__is_told_at_once_and_later_ones_together),
        cmocka_unit_test(machine__wall_clock_goes_back__does_not_silence_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
