#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/alert/notice.h"
#include "common/alert/rule.h"

static const struct ls_rule_limits limits = {.error_rate = 0.1,
                                             .slow_ms = 5000,
                                             .stale_ms = 3600000,
                                             .window_ms = 300000,
                                             .min_samples = 20,
                                             .cooldown_ms = 1800000};

static enum ls_alert_level error_level(int64_t ok, int64_t failed)
{
    struct ls_finding finding;

    ls_rule_error_rate(&limits, &(struct ls_rule_window){.ok = ok, .failed = failed}, &finding);
    return finding.level;
}

static void rule__error_rate__fires_above_ten_percent_and_clears_below_five(void **state)
{
    struct ls_finding finding;

    assert_int_equal(error_level(90, 10), LS_LEVEL_BETWEEN);
    assert_int_equal(error_level(89, 11), LS_LEVEL_HIGH);
    assert_int_equal(error_level(94, 6), LS_LEVEL_BETWEEN);
    assert_int_equal(error_level(95, 5), LS_LEVEL_BELOW);
    ls_rule_error_rate(&limits, &(struct ls_rule_window){.ok = 38, .failed = 12}, &finding);
    assert_string_equal(finding.details, "12 failures out of 50 syncs in the last 5m 0s");
}

static void rule__no_or_few_samples__say_nothing(void **state)
{
    struct ls_finding finding;

    assert_int_equal(error_level(0, 0), LS_LEVEL_UNKNOWN);
    assert_int_equal(error_level(0, 19), LS_LEVEL_UNKNOWN);
    ls_rule_slow(&limits, &(struct ls_rule_window){.total_ms = 100}, &finding);
    assert_int_equal(finding.level, LS_LEVEL_UNKNOWN);
}

static void rule__slow__looks_at_the_average_of_the_window(void **state)
{
    struct ls_finding finding;

    ls_rule_slow(&limits, &(struct ls_rule_window){.ok = 20, .total_ms = 20 * 5001}, &finding);
    assert_int_equal(finding.level, LS_LEVEL_HIGH);
    ls_rule_slow(&limits, &(struct ls_rule_window){.ok = 20, .total_ms = 20 * 4500}, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BETWEEN);
    ls_rule_slow(&limits, &(struct ls_rule_window){.ok = 20, .total_ms = 20 * 4000}, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
}

static void rule__stale__needs_syncs_and_an_hour_of_silence(void **state)
{
    struct ls_finding finding;

    ls_rule_stale(&limits, 0, 99999999, &finding);
    assert_int_equal(finding.level, LS_LEVEL_UNKNOWN);
    ls_rule_stale(&limits, 1000, 1000 + 3600000, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_stale(&limits, 1000, 1001 + 3600000, &finding);
    assert_int_equal(finding.level, LS_LEVEL_HIGH);
    assert_int_equal(strncmp(finding.details, "No sync in 1h", 13), 0);
}

static void notice__json__has_the_documented_members_and_is_valid(void **state)
{
    const struct ls_notice notice = {.type = "high_error_rate",
                                     .severity = "high",
                                     .status = "firing",
                                     .details = "bad \"quotes\"\n",
                                     .look = "lockstep dead groups",
                                     .metric = "error_rate",
                                     .value = 0.24,
                                     .count = 3,
                                     .now_ms = 1700000000000,
                                     .extra = "\"job\":{\"id\":\"x\"}"};
    struct ls_buf out = {0};
    json_t *json;

    ls_notice_json(&notice, &out);
    json = json_loads(out.data, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "service")), "data-sync");
    assert_string_equal(json_string_value(json_object_get(json, "severity")), "high");
    assert_string_equal(json_string_value(json_object_get(json, "type")), "high_error_rate");
    assert_string_equal(json_string_value(json_object_get(json, "details")), "bad \"quotes\"\n");
    assert_true(json_real_value(json_object_get(json, "error_rate")) == 0.24);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "job"), "id")),
                        "x");
    json_decref(json);
    ls_buf_fini(&out);
}

static void notice__slack__cannot_ring_everybody(void **state)
{
    const struct ls_notice notice = {.type = "slow_sync",
                                     .severity = "high",
                                     .status = "firing",
                                     .details = "<!channel> & co",
                                     .count = 2};
    struct ls_buf json = {0}, out = {0};

    ls_notice_json(&notice, &json);
    assert_int_equal(ls_notice_slack(json.data, &out), 0);
    assert_string_equal(
        out.data,
        "{\"text\":\"*SYNC ALERT* [high] slow_sync: &lt;!channel&gt; &amp; co (2 times)\"}");
    assert_int_equal(ls_notice_slack("[]", &out), -1);
    ls_buf_fini(&json);
    ls_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule__error_rate__fires_above_ten_percent_and_clears_below_five),
        cmocka_unit_test(rule__no_or_few_samples__say_nothing),
        cmocka_unit_test(rule__slow__looks_at_the_average_of_the_window),
        cmocka_unit_test(rule__stale__needs_syncs_and_an_hour_of_silence),
        cmocka_unit_test(notice__json__has_the_documented_members_and_is_valid),
        cmocka_unit_test(notice__slack__cannot_ring_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
