#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/sync/purse.h"

/* Keeps what it is asked for until the test says how much of it there is. */
struct giver {
    ls_granted_cb *granted; /* NULL: nobody waits */
    void *ctx;
    int want, takes, settles, left;
};

static void take(void *arg, int want, ls_granted_cb *granted, void *ctx)
{
    struct giver *giver = arg;

    assert_null(giver->granted);
    giver->takes++;
    giver->want = want;
    giver->granted = granted;
    giver->ctx = ctx;
}

static void settle(void *arg, int left)
{
    struct giver *giver = arg;

    giver->granted = NULL;
    giver->settles++;
    giver->left = left;
}

static void grant(struct giver *giver, int count)
{
    ls_granted_cb *granted = giver->granted;

    assert_true(granted && count <= giver->want);
    giver->granted = NULL;
    granted(giver->ctx, count);
}

static void on_ready(void *arg)
{
    ++*(int *)arg;
}

static struct ls_purse open_purse(struct giver *giver)
{
    struct ls_purse purse;

    ls_purse_open(&purse, &(struct ls_grants){.take = take, .settle = settle, .arg = giver});
    return purse;
}

static void purse__nobody_counts__never_waits(void **state)
{
    struct ls_purse purse;
    int ready = 0;

    ls_purse_open(&purse, NULL);
    for (int i = 0; i < 100; i++) {
        assert_true(ls_purse_ask(&purse, 1, on_ready, &ready));
        purse.made++;
    }
    assert_int_equal(ls_purse_left(&purse), INT_MAX);
    ls_purse_close(&purse);
    assert_int_equal(ready, 0);
    assert_int_equal(purse.made, 100);
}

static void purse__draws_for_what_is_ahead__but_not_for_all_of_it(void **state)
{
    static const struct {
        int64_t ahead;
        int want;
    } cases[] = {{-3, 1}, {0, 1}, {1, 1}, {5, 5}, {8, 8}, {9, 8}, {INT64_MAX, 8}};

    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        struct giver giver = {0};
        struct ls_purse purse = open_purse(&giver);
        int ready = 0;
        assert_false(ls_purse_ask(&purse, cases[i].ahead, on_ready, &ready));
        assert_int_equal(giver.want, cases[i].want);
        grant(&giver, giver.want);
        assert_int_equal(ready, 1);
        for (int j = 0; j < cases[i].want; j++) {
            assert_true(ls_purse_ask(&purse, 1, on_ready, &ready));
            purse.made++;
        }
        assert_int_equal(giver.takes, 1);
        assert_false(ls_purse_ask(&purse, 1, on_ready, &ready));
        ls_purse_close(&purse);
        assert_int_equal(giver.left, 0);
    }
}

static void purse__more_made_than_granted__pays_the_debt_before_it_is_ready(void **state)
{
    struct giver giver = {0};
    struct ls_purse purse = open_purse(&giver);
    int ready = 0;

    assert_false(ls_purse_ask(&purse, 1, on_ready, &ready));
    grant(&giver, 1);
    purse.made += 4; /* one page, and three requests that it took besides */
    assert_false(ls_purse_ask(&purse, 2, on_ready, &ready));
    assert_int_equal(giver.want, 5);
    grant(&giver, 2);
    assert_int_equal(ready, 1);
    assert_int_equal(giver.want, 2); /* one of the debt is left */
    grant(&giver, 1);
    assert_int_equal(ready, 1);
    grant(&giver, 1);
    assert_int_equal(ready, 2);
    assert_int_equal(ls_purse_left(&purse), 1);
    ls_purse_close(&purse);
    assert_int_equal(giver.left, 1);
}

static void purse__closed__settles_once_and_forgets_what_it_waited_for(void **state)
{
    struct giver giver = {0};
    struct ls_purse purse = open_purse(&giver);
    int ready = 0;

    assert_false(ls_purse_ask(&purse, 8, on_ready, &ready));
    grant(&giver, 8);
    purse.made = 10;
    assert_false(ls_purse_ask(&purse, 1, on_ready, &ready));
    assert_non_null(giver.granted);
    ls_purse_close(&purse);
    ls_purse_close(&purse);
    assert_null(giver.granted);
    assert_int_equal(giver.settles, 1);
    assert_int_equal(giver.left, -2);
    assert_int_equal(ready, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(purse__nobody_counts__never_waits),
        cmocka_unit_test(purse__draws_for_what_is_ahead__but_not_for_all_of_it),
        cmocka_unit_test(purse__more_made_than_granted__pays_the_debt_before_it_is_ready),
        cmocka_unit_test(purse__closed__settles_once_and_forgets_what_it_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
