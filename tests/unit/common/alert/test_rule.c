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
                                             .cooldown_ms = 1800000,
                                             .dead_rate = 100,
                                             .dead_age_ms = 86400000};

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

static void rule__dead_full__fires_at_the_cap_and_clears_below(void **state)
{
    struct ls_finding finding;

    ls_rule_dead_full(1000000, 0, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_dead_full(99, 100, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    assert_string_equal(finding.details, "99 dead jobs, 100 are allowed: jobs are claimed again");
    ls_rule_dead_full(100, 100, &finding);
    assert_int_equal(finding.level, LS_LEVEL_HIGH);
    assert_int_equal(strncmp(finding.details, "100 dead jobs, 100 are allowed: nothing", 39), 0);
}

static void rule__dead_rate__fires_at_so_many_and_clears_at_half(void **state)
{
    struct ls_rule_limits off = limits;
    struct ls_finding finding;

    off.dead_rate = 0;
    ls_rule_dead_rate(&limits, 0, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_dead_rate(&limits, 99, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BETWEEN);
    ls_rule_dead_rate(&limits, 50, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_dead_rate(&off, 1000, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_dead_rate(&limits, 100, &finding);
    assert_int_equal(finding.level, LS_LEVEL_HIGH);
    assert_string_equal(finding.details, "100 jobs of one group died in the last 5m 0s");
}

static void rule__dead_age__looks_at_the_oldest_letter(void **state)
{
    struct ls_rule_limits off = limits;
    struct ls_finding finding;

    off.dead_age_ms = 0;
    ls_rule_dead_age(&limits, 3, 1000, 1000 + 86400000, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_dead_age(&limits, 0, 1000, 1001 + 86400000, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_dead_age(&off, 3, 1000, 1001 + 86400000, &finding);
    assert_int_equal(finding.level, LS_LEVEL_BELOW);
    ls_rule_dead_age(&limits, 3, 1000, 1001 + 86400000, &finding);
    assert_int_equal(finding.level, LS_LEVEL_HIGH);
    assert_non_null(strstr(finding.details, "the oldest of 3 dead jobs"));
    assert_true(finding.value == 86400001);
}

static void rule__types__are_found_by_their_names(void **state)
{
    for (int rule = 0; rule < LS_RULE_COUNT; rule++)
        assert_int_equal(ls_rule_parse(ls_rule_type((enum ls_rule)rule)), rule);
    assert_int_equal(ls_rule_parse("dead"), -1);
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
        cmocka_unit_test(rule__dead_full__fires_at_the_cap_and_clears_below),
        cmocka_unit_test(rule__dead_rate__fires_at_so_many_and_clears_at_half),
        cmocka_unit_test(rule__dead_age__looks_at_the_oldest_letter),
        cmocka_unit_test(rule__types__are_found_by_their_names),
        cmocka_unit_test(notice__json__has_the_documented_members_and_is_valid),
        cmocka_unit_test(notice__slack__cannot_ring_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
