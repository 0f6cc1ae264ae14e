#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/metrics/text.h"

static void text__family_and_samples__are_as_prometheus_wants_them(void **state)
{
    struct ls_metric_text text = {0};

    ls_metric_family(&text, "jobs_total", LS_METRIC_COUNTER, "Jobs.");
    ls_metric_sample(&text, LS_LABELS({"queue", "a"}, {"event", "done"}), 12345678901234);
    ls_metric_sample(&text, NULL, 0.25);
    assert_string_equal(text.out.data,
                        "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\n"
                        "jobs_total{queue=\"a\",event=\"done\"} 12345678901234\njobs_total 0.25\n");
    ls_metric_text_fini(&text);
}

static void text__label_values__cannot_break_the_format(void **state)
{
    struct ls_metric_text text = {0};

    ls_metric_family(&text, "x", LS_METRIC_GAUGE, "X.");
    ls_metric_sample(&text, LS_LABELS({"l", "a\"b\\c\nd"}), -1);
    ls_metric_sample(&text, LS_LABELS({"l", "\xff"}), 1);
    assert_string_equal(text.out.data,
                        "# HELP x X.\n# TYPE x gauge\nx{l=\"a\\\"b\\\\c\\nd\"} -1\nx{l=\"?\"} 1\n");
    ls_metric_text_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__family_and_samples__are_as_prometheus_wants_them),
        cmocka_unit_test(text__label_values__cannot_break_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
