#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/schedule/schedule.h"

static struct ls_config *config;
static struct ls_schedules schedules;

static void make(const char *text)
{
    struct ls_err err = LS_ERR_INIT;

    config = ls_config_parse(text, strlen(text), "f.yaml", "/app", &err);
    if (!config || ls_schedules_make(&schedules, config, &err) < 0)
        fail_msg("%s (%s)", err.text, err.hint);
}

static int drop(void **state)
{
    ls_schedules_fini(&schedules);
    ls_config_free(config);
    config = NULL;
    return 0;
}

static const struct ls_schedule *find(const char *name)
{
    const struct ls_schedule *found = ls_schedules_find(&schedules, name);

    if (!found)
        fail_msg("no schedule '%s'", name);
    return found;
}

static void must_be(const struct ls_schedule *schedule, const char *job, const char *shown)
{
    struct ls_buf text = {0};
    struct ls_envelope envelope;
    struct ls_err err = LS_ERR_INIT;
    char *spec = ls_schedule_shown(schedule);

    ls_schedule_job(schedule, "1", &text);
    assert_string_equal(text.data, job);
    if (ls_envelope_scan(&envelope, text.data, text.length, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(envelope.canonical);
    assert_string_equal(spec, shown);
    ls_envelope_fini(&envelope);
    ls_buf_fini(&text);
    free(spec);
}

static void schedules__of_a_configuration__carry_their_jobs(void **state)
{
    make("queues: {mail: {}, shop: {}}\n"
         "accounts: {eu: {platform: woocommerce, url: https://a, queue: shop}}\n"
         "schedules:\n"
         "  report: {cron: '0 3 * * mon', zone: UTC, kind: http, data: '{\"url\": \"http://x\"}',"
         " queue: mail, priority: low, catch_up: all}\n"
         "  pulse: {every: 90s, kind: noop, account: eu, key: eu/pulse, priority: high,"
         " catch_up: skip}\n"
         "  off: {every: 1h, kind: noop, enabled: false}\n");
    assert_int_equal(schedules.count, 3);
    must_be(
        find("report"),
        "{\"id\":\"1\",\"kind\":\"http\",\"data\":{\"url\": \"http://x\"},\"priority\":\"low\"}",
        "0 3 * * mon");
    assert_string_equal(find("report")->queue, "mail");
    assert_string_equal(find("report")->zone, "UTC");
    assert_string_equal(find("report")->stem, "report");
    assert_int_equal(find("report")->catch_up, LS_CONFIG_CATCH_UP_ALL);
    assert_false(find("report")->at_once);
    must_be(find("pulse"),
            "{\"account\":\"eu\",\"id\":\"1\",\"key\":\"eu/pulse\",\"kind\":\"noop\","
            "\"priority\":\"high\"}",
            "every 90s");
    assert_string_equal(find("pulse")->queue, "shop"); /* its account's */
    assert_null(find("pulse")->zone);
    assert_string_equal(find("off")->queue, "default");
    assert_false(find("off")->enabled);
    must_be(find("off"), "{\"id\":\"1\",\"kind\":\"noop\"}", "every 1h");
}

static void schedules__of_syncs__begin_at_once_and_stay_apart(void **state)
{
    make("queues: {shop: {}}\n"
         "accounts: {eu: {platform: woocommerce, url: https://a, queue: shop}}\n"
         "store: sqlite:x\n"
         "syncs: {products: {account: eu, table: t, every: 5m, scan: 1d, fields: {name: {}}}}\n"
         "schedules: {products: {every: 5m, kind: noop}}\n");
    assert_int_equal(schedules.count, 4);
    must_be(find("delta/products"),
            "{\"account\":\"eu\",\"id\":\"1\",\"key\":\"eu/delta/products\",\"kind\":\"delta\","
            "\"data\":{\"sync\":\"products\"}}",
            "every 5m");
    must_be(find("scan/products"),
            "{\"account\":\"eu\",\"id\":\"1\",\"key\":\"eu/scan/products\",\"kind\":\"delta\","
            "\"data\":{\"sync\":\"products\",\"scan\":\"stock\"}}",
            "every 1d");
    must_be(find("gc/store"), "{\"id\":\"1\",\"key\":\"gc\",\"kind\":\"gc\",\"data\":{}}",
            "every 1d");
    assert_string_equal(find("delta/products")->queue, "shop");
    assert_string_equal(find("delta/products")->stem, "delta-products");
    assert_true(find("delta/products")->at_once);
    assert_false(find("products")->at_once);
    assert_string_equal(find("products")->spec, find("delta/products")->spec);
}

static void schedules__a_zone_that_went_away__is_told(void **state)
{
    struct ls_err err = LS_ERR_INIT;
    static const char text[] = "schedules: {a: {cron: '@daily', zone: Europe/Berlin, kind: noop}}";

    config = ls_config_parse(text, strlen(text), "f.yaml", "/app", NULL);
    if (!config)
        skip();
    setenv("TZDIR", "/nowhere", 1);
    assert_int_equal(ls_schedules_make(&schedules, config, &err), -1);
    assert_int_equal(err.code, LS_E_UNSUPPORTED);
    assert_string_equal(err.text, "schedule 'a': time zone 'Europe/Berlin' is not known: there is "
                                  "no tz database at '/nowhere'");
    unsetenv("TZDIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(schedules__of_a_configuration__carry_their_jobs, drop),
        cmocka_unit_test_teardown(schedules__of_syncs__begin_at_once_and_stay_apart, drop),
        cmocka_unit_test_teardown(schedules__a_zone_that_went_away__is_told, drop),
    };

    unsetenv("TZDIR");
    unsetenv("LOCKSTEP_STORE");
    unsetenv("LOCKSTEP_REDIS");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
