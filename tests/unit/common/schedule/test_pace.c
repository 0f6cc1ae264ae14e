#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/schedule/pace.h"

#define MINUTE_MS 60000LL
#define DAY_MS (1440 * MINUTE_MS)
#define NOW 1795387860123LL

static struct ls_pace cron_in(const char *expression, const char *zone)
{
    struct ls_pace pace;
    struct ls_err err = LS_ERR_INIT;

    if (ls_pace_cron(&pace, expression, zone, &err) < 0)
        fail_msg("%s", err.text);
    return pace;
}

static void every__counted_from_1970__in_all_processes_the_same(void **state)
{
    const struct ls_pace pace = {.every_ms = 7000};

    assert_int_equal(ls_pace_next(&pace, 0), 7000);
    assert_int_equal(ls_pace_next(&pace, 6999), 7000);
    assert_int_equal(ls_pace_next(&pace, 7000), 14000);
    assert_int_equal(ls_pace_next(&pace, -1), 0);
    assert_int_equal(ls_pace_newest(&pace, 0, 6999), -1);
    assert_int_equal(ls_pace_newest(&pace, 0, 7000), 7000);
    assert_int_equal(ls_pace_newest(&pace, 0, 20999), 14000);
    assert_int_equal(ls_pace_newest(&pace, 14000, 20999), -1);
    assert_int_equal(ls_pace_newest(&pace, -1, 100), 0);
}

static void newest__of_any_expression__is_the_last_one_that_next_finds(void **state)
{
    static const char *const expressions[] = {"* * * * *",  "0 3 * * *",     "*/7 5 * 1 *",
                                              "0 0 1 1 *",  "59 23 31 12 *", "0 0 * * mon",
                                              "30 2 * * *", "0 0 29 2 *",    "15,45 */3 1-7 * 5"};
    static const int64_t spans[] = {1,          MINUTE_MS,   3 * 60 * MINUTE_MS,
                                    2 * DAY_MS, 40 * DAY_MS, 800 * DAY_MS};

    for (size_t e = 0; e < LS_COUNT(expressions); e++) {
        struct ls_pace pace = cron_in(expressions[e], "UTC");

        for (size_t s = 0; s < LS_COUNT(spans); s++) {
            int64_t until = NOW, after = NOW - spans[s], expected = -1, tick = after;

            if (e == 0 && s > 3)
                continue; /* a million ticks prove no more */
            while ((tick = ls_pace_next(&pace, tick)) <= until && tick >= 0)
                expected = tick;
            assert_int_equal(ls_pace_newest(&pace, after, until), expected);
            if (expected >= 0) {
                assert_int_equal(ls_pace_newest(&pace, after, expected), expected);
                assert_int_equal(ls_pace_newest(&pace, expected, until), -1);
            }
        }
        ls_pace_fini(&pace);
    }
}

static void spec__equal_paces__whatever_they_look_like(void **state)
{
    static const struct {
        const char *a, *a_zone, *b, *b_zone;
        bool same;
    } cases[] = {
        {"0 3 * * mon-fri", "UTC", "0 3 * * 1-5", "UTC", true},
        {"@daily", "UTC", " 0  0 * * *", "UTC", true},
        {"0 3 * * 1-5", "UTC", "0 3 * * 1-6", "UTC", false},
        {"0 3 * * *", "UTC", "0 3 * * *", "Etc/UTC", false},
        {"0 0-23 * * *", "UTC", "0 * * * *", "UTC", false}, /* differ when the clocks change */
        {"0 0 1-31 * 1", "UTC", "0 0 * * 1", "UTC", false},
    };
    const struct ls_pace minutes = {.every_ms = MINUTE_MS}, hours = {.every_ms = 60 * MINUTE_MS};
    char one[LS_PACE_SPEC_SIZE], other[LS_PACE_SPEC_SIZE];

    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        struct ls_pace a = cron_in(cases[i].a, cases[i].a_zone);
        struct ls_pace b = cron_in(cases[i].b, cases[i].b_zone);

        ls_pace_spec(&a, cases[i].a_zone, one);
        ls_pace_spec(&b, cases[i].b_zone, other);
        assert_int_equal(strcmp(one, other) == 0, cases[i].same);
        assert_null(strchr(one, ' '));
        ls_pace_fini(&a);
        ls_pace_fini(&b);
    }
    assert_string_not_equal(ls_pace_spec(&minutes, NULL, one), ls_pace_spec(&hours, NULL, other));
}

static void cron__what_is_wrong__is_told(void **state)
{
    struct ls_pace pace;
    struct ls_err err = LS_ERR_INIT;

    assert_int_equal(ls_pace_cron(&pace, "61 * * * *", "UTC", &err), -1);
    assert_int_equal(err.code, LS_E_INVALID);
    ls_pace_fini(&pace);
    assert_int_equal(ls_pace_cron(&pace, "1 * * * *", "Mars/Olympus", &err), -1);
    assert_non_null(strstr(err.text, "'Mars/Olympus'"));
    ls_pace_fini(&pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every__counted_from_1970__in_all_processes_the_same),
        cmocka_unit_test(newest__of_any_expression__is_the_last_one_that_next_finds),
        cmocka_unit_test(spec__equal_paces__whatever_they_look_like),
        cmocka_unit_test(cron__what_is_wrong__is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
