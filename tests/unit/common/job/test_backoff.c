#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/job/retry.h"

#define NOW 1763859600000LL

static struct ls_retry fail_as(const struct ls_retry_policy *policy, enum ls_class klass,
                               struct ls_retry before)
{
    return ls_retry_decide(policy, &(struct ls_failure){.klass = klass,
                                                        .retry_after_ms = -1,
                                                        .has_account = true,
                                                        .attempt = before.attempt,
                                                        .crashes = before.crashes,
                                                        .first_failed_at = before.first_failed_at,
                                                        .now_ms = NOW});
}

static void retry__five_attempts_two_seconds_exponential_no_jitter__2_4_8_16_then_dead(void **state)
{
    const struct ls_retry_policy policy = {
        .max_attempts = 5, .backoff = {LS_BACKOFF_EXPONENTIAL, LS_JITTER_NONE, .base_ms = 2000}};
    struct ls_retry retry = {0};

    for (int i = 1; i <= 4; i++) {
        retry = fail_as(&policy, LS_CLASS_TRANSIENT, retry);
        assert_int_equal(retry.action, LS_RETRY_LATER);
        assert_int_equal(retry.delay_ms, 1000 << i);
        assert_int_equal(retry.attempt, i);
    }
    retry = fail_as(&policy, LS_CLASS_TRANSIENT, retry);
    assert_int_equal(retry.action, LS_RETRY_DEAD);
    assert_string_equal(retry.why, "max_attempts");
    assert_int_equal(retry.attempt, 5);
    assert_true(retry.first_failed_at == NOW);
}

static void retry__default_policy__goes_on_until_six_hours_are_over(void **state)
{
    const struct ls_retry_policy policy = {0};
    struct ls_retry retry = {.attempt = 500, .first_failed_at = NOW - 6 * 3600 * 1000 + 1};

    assert_int_equal(fail_as(&policy, LS_CLASS_TRANSIENT, retry).action, LS_RETRY_LATER);
    retry.first_failed_at = NOW - 6 * 3600 * 1000;
    retry = fail_as(&policy, LS_CLASS_TRANSIENT, retry);
    assert_int_equal(retry.action, LS_RETRY_DEAD);
    assert_string_equal(retry.why, "max_age");
}

static void retry__explicit_max_attempts__is_not_cut_short_by_the_default_age(void **state)
{
    const struct ls_retry_policy policy = {.max_attempts = 1000};
    struct ls_retry retry = {.attempt = 10, .first_failed_at = NOW - 100LL * 3600 * 1000};

    assert_int_equal(fail_as(&policy, LS_CLASS_TRANSIENT, retry).action, LS_RETRY_LATER);
}

static void retry__throttled_and_store__cost_no_attempt(void **state)
{
    const struct ls_retry_policy policy = {.max_attempts = 1};
    struct ls_failure failure = {
        .klass = LS_CLASS_THROTTLED, .retry_after_ms = 7000, .has_account = true, .now_ms = NOW};
    struct ls_retry retry = ls_retry_decide(&policy, &failure);

    assert_int_equal(retry.action, LS_RETRY_PARK);
    assert_int_equal(retry.park_ms, 7000);
    assert_int_equal(retry.attempt, 0);
    assert_int_equal(retry.first_failed_at, 0);
    failure.has_account = false;
    retry = ls_retry_decide(&policy, &failure);
    assert_int_equal(retry.action, LS_RETRY_LATER);
    assert_int_equal(retry.delay_ms, 7000);
    assert_int_equal(retry.attempt, 0);
    failure.first_failed_at = NOW - 7LL * 3600 * 1000;
    retry = ls_retry_decide(&(struct ls_retry_policy){0}, &failure);
    assert_int_equal(retry.action, LS_RETRY_DEAD); /* nobody to park: it must end some day */
    retry = fail_as(&policy, LS_CLASS_STORE, (struct ls_retry){0});
    assert_int_equal(retry.action, LS_RETRY_LATER);
    assert_int_equal(retry.attempt, 0);
    assert_in_range(retry.delay_ms, 200, 2000);
}

static void retry__auth__pauses_the_account_and_without_one_the_job_is_dead(void **state)
{
    struct ls_failure failure = {
        .klass = LS_CLASS_AUTH, .retry_after_ms = -1, .has_account = true, .now_ms = NOW};
    struct ls_retry retry = ls_retry_decide(&(struct ls_retry_policy){0}, &failure);

    assert_int_equal(retry.action, LS_RETRY_PARK);
    assert_true(retry.park_ms > 0);
    assert_int_equal(retry.attempt, 0);
    failure.has_account = false;
    retry = ls_retry_decide(&(struct ls_retry_policy){0}, &failure);
    assert_int_equal(retry.action, LS_RETRY_DEAD);
    assert_string_equal(retry.why, "auth");
}

static void retry__conflict__reads_again_at_once_three_times(void **state)
{
    const struct ls_retry_policy policy = {.backoff = {.jitter = LS_JITTER_NONE}};
    struct ls_retry retry = {0};

    for (int i = 0; i < 3; i++) {
        retry = fail_as(&policy, LS_CLASS_CONFLICT, retry);
        assert_int_equal(retry.action, LS_RETRY_LATER);
        assert_int_equal(retry.delay_ms, 0);
    }
    retry = fail_as(&policy, LS_CLASS_CONFLICT, retry);
    assert_int_equal(retry.action, LS_RETRY_LATER);
    assert_true(retry.delay_ms > 0);
}

static void retry__permanent__is_dead_at_once(void **state)
{
    struct ls_retry retry =
        fail_as(&(struct ls_retry_policy){0}, LS_CLASS_PERMANENT, (struct ls_retry){0});

    assert_int_equal(retry.action, LS_RETRY_DEAD);
    assert_string_equal(retry.why, "permanent");
    assert_int_equal(retry.attempt, 1);
}

static void retry__crash__two_make_a_suspect_then_three_count(void **state)
{
    const struct ls_retry_policy policy = {0};
    struct ls_retry retry = {0};

    for (int crashes = 1; crashes <= 4; crashes++) {
        retry = fail_as(&policy, LS_CLASS_CRASH, retry);
        assert_int_equal(retry.action, LS_RETRY_LATER);
        assert_int_equal(retry.crashes, crashes);
        assert_int_equal(retry.attempt, 0);
    }
    retry = fail_as(&policy, LS_CLASS_CRASH, retry);
    assert_int_equal(retry.action, LS_RETRY_DEAD);
    assert_string_equal(retry.why, "crashes");
}

static void retry__cancelled__changes_nothing(void **state)
{
    struct ls_retry before = {.attempt = 2, .crashes = 1, .first_failed_at = NOW - 5};
    struct ls_retry retry =
        fail_as(&(struct ls_retry_policy){.max_attempts = 2}, LS_CLASS_CANCELLED, before);

    assert_int_equal(retry.action, LS_RETRY_BACK);
    assert_int_equal(retry.attempt, 2);
    assert_int_equal(retry.crashes, 1);
    assert_true(retry.first_failed_at == NOW - 5);
}

static void retry__a_named_time_longer_than_the_backoff__is_kept(void **state)
{
    const struct ls_retry_policy policy = {.backoff = {.jitter = LS_JITTER_NONE}};
    struct ls_retry retry = ls_retry_decide(
        &policy,
        &(struct ls_failure){.klass = LS_CLASS_TRANSIENT, .retry_after_ms = 30000, .now_ms = NOW});

    assert_int_equal(retry.delay_ms, 30000);
}

static void backoff__absurd_settings__neither_overflow_nor_hang(void **state)
{
    struct ls_backoff backoff = {LS_BACKOFF_EXPONENTIAL, LS_JITTER_NONE, .base_ms = INT64_MAX / 2,
                                 .cap_ms = INT64_MAX, .factor = 1000};

    assert_true(ls_backoff_ceiling_ms(&backoff, INT32_MAX) == INT64_MAX);
    backoff = (struct ls_backoff){LS_BACKOFF_EXPONENTIAL, LS_JITTER_NONE, .base_ms = 1,
                                  .cap_ms = 600000, .factor = 1.0000001};
    assert_in_range(ls_backoff_ceiling_ms(&backoff, INT32_MAX), 1, 600000);
    backoff.factor = 1;
    assert_int_equal(ls_backoff_ceiling_ms(&backoff, INT32_MAX), 1);
    backoff = (struct ls_backoff)LS_BACKOFF_DEFAULT;
    assert_int_equal(ls_backoff_ceiling_ms(&backoff, 0), 2000);
    assert_int_equal(ls_backoff_ceiling_ms(&backoff, 9), 512000);
    assert_int_equal(ls_backoff_ceiling_ms(&backoff, 10), 600000);
}

static void backoff__full_jitter__spreads_over_the_whole_range(void **state)
{
    const struct ls_backoff backoff = LS_BACKOFF_DEFAULT;
    int low = 0, high = 0;

    for (int i = 0; i < 1000; i++) {
        int64_t delay = ls_backoff_delay_ms(&backoff, 1);

        assert_in_range(delay, 0, 2000);
        low += delay < 500;
        high += delay > 1500;
    }
    assert_true(low > 150 && high > 150);
}

static void backoff__fixed__stays(void **state)
{
    const struct ls_backoff backoff = {LS_BACKOFF_FIXED, LS_JITTER_NONE, .base_ms = 300,
                                       .cap_ms = 1000, .factor = 2};

    assert_int_equal(ls_backoff_delay_ms(&backoff, 1), 300);
    assert_int_equal(ls_backoff_delay_ms(&backoff, 50), 300);
}

static void policy__job_then_sync_then_queue__the_first_that_says_something_wins(void **state)
{
    struct ls_retry_policy job = {.max_attempts = 3};
    const struct ls_retry_policy queue = {
        .max_attempts = 9, .max_age_ms = 1000, .backoff = {.base_ms = 50, .factor = 3}};

    ls_retry_fill(&job, &queue);
    assert_int_equal(job.max_attempts, 3);
    assert_int_equal(job.max_age_ms, 0);
    assert_int_equal(job.backoff.base_ms, 50);
    assert_true(job.backoff.factor == 3);
}

static void class__codes__map_to_their_remedies(void **state)
{
    const struct {
        enum ls_err_code code;
        enum ls_class klass;
    } rows[] = {
        {LS_E_NETWORK, LS_CLASS_TRANSIENT},   {LS_E_TIMEOUT, LS_CLASS_TRANSIENT},
        {LS_E_TRANSIENT, LS_CLASS_TRANSIENT}, {LS_E_THROTTLED, LS_CLASS_THROTTLED},
        {LS_E_STORE, LS_CLASS_STORE},         {LS_E_CONFLICT, LS_CLASS_CONFLICT},
        {LS_E_AUTH, LS_CLASS_AUTH},           {LS_E_PERMANENT, LS_CLASS_PERMANENT},
        {LS_E_INVALID, LS_CLASS_PERMANENT},   {LS_E_LOST, LS_CLASS_UNKNOWN},
        {LS_E_CANCELLED, LS_CLASS_CANCELLED}, {LS_E_FENCED, LS_CLASS_CANCELLED},
    };

    for (size_t i = 0; i < LS_COUNT(rows); i++)
        assert_int_equal(ls_class_of(&(struct ls_err){.code = rows[i].code}), rows[i].klass);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            retry__five_attempts_two_seconds_exponential_no_jitter__2_4_8_16_then_dead),
        cmocka_unit_test(retry__default_policy__goes_on_until_six_hours_are_over),
        cmocka_unit_test(retry__explicit_max_attempts__is_not_cut_short_by_the_default_age),
        cmocka_unit_test(retry__throttled_and_store__cost_no_attempt),
        cmocka_unit_test(retry__auth__pauses_the_account_and_without_one_the_job_is_dead),
        cmocka_unit_test(retry__conflict__reads_again_at_once_three_times),
        cmocka_unit_test(retry__permanent__is_dead_at_once),
        cmocka_unit_test(retry__crash__two_make_a_suspect_then_three_count),
        cmocka_unit_test(retry__cancelled__changes_nothing),
        cmocka_unit_test(retry__a_named_time_longer_than_the_backoff__is_kept),
        cmocka_unit_test(backoff__absurd_settings__neither_overflow_nor_hang),
        cmocka_unit_test(backoff__full_jitter__spreads_over_the_whole_range),
        cmocka_unit_test(backoff__fixed__stays),
        cmocka_unit_test(policy__job_then_sync_then_queue__the_first_that_says_something_wins),
        cmocka_unit_test(class__codes__map_to_their_remedies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
