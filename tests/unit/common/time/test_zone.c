/* The tz database as the C library reads it is the other opinion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/time/civil.h"
#include "common/time/zone.h"

#define DATABASE "/usr/share/zoneinfo"

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static int32_t offset_by_libc(int64_t utc_s)
{
    time_t time = (time_t)utc_s;
    struct tm local;

    localtime_r(&time, &local);
    return (int32_t)local.tm_gmtoff;
}

/* One zone at many moments from 1970 to 2150, and at both sides of each change it names. */
static void compare(const char *name)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_zone *zone = ls_zone_open(name, &err);
    struct ls_zone_stretch stretch;

    if (!zone)
        fail_msg("%s (%s)", err.text, err.hint);
    setenv("TZ", name, 1);
    tzset();
    for (int i = 0; i < 400; i++) {
        int64_t utc_s = (int64_t)(next_random() % (180ull * 366 * 86400));

        stretch = ls_zone_at(zone, utc_s);
        if (stretch.offset_s != offset_by_libc(utc_s))
            fail_msg("%s at %lld: %d, not %d", name, (long long)utc_s, stretch.offset_s,
                     offset_by_libc(utc_s));
        assert_true(stretch.begin_s <= utc_s && utc_s < stretch.end_s);
        for (int side = 0; side < 4; side++) {
            int64_t edge_s = (side < 2 ? stretch.begin_s : stretch.end_s) - side % 2;

            if (edge_s > 0 && edge_s < LS_ZONE_EVER - 1 &&
                ls_zone_at(zone, edge_s).offset_s != offset_by_libc(edge_s))
                fail_msg("%s at its change %lld", name, (long long)edge_s);
        }
    }
    ls_zone_free(zone);
}

static void zone__every_zone_of_the_database__is_as_the_c_library_says(void **state)
{
    FILE *table = fopen(DATABASE "/zone.tab", "r");
    char line[512], name[128];
    int count = 0;

    if (!table)
        skip();
    while (fgets(line, sizeof line, table)) {
        if (line[0] != '#' && sscanf(line, "%*s %*s %127s", name) == 1) {
            compare(name);
            count++;
        }
    }
    fclose(table);
    assert_true(count > 300);
    compare("Etc/GMT+12");
    compare("EST5EDT");
    unsetenv("TZ");
}

static void zone__utc__needs_no_database(void **state)
{
    struct ls_zone *zone;
    char text[LS_ZONE_TEXT_SIZE];

    setenv("TZDIR", "/nowhere", 1);
    zone = ls_zone_open("UTC", NULL);
    assert_non_null(zone);
    assert_int_equal(ls_zone_at(zone, 1774746000).offset_s, 0);
    assert_true(ls_zone_at(zone, 0).begin_s == -LS_ZONE_EVER);
    assert_true(ls_zone_at(zone, 0).end_s == LS_ZONE_EVER);
    assert_string_equal(ls_zone_format(zone, 1774746000123, text), "2026-03-29T01:00:00+00:00");
    assert_string_equal(ls_zone_format(zone, 253402300800000, text), ""); /* the year 10000 */
    ls_zone_free(zone);
    unsetenv("TZDIR");
}

static void must_fail(const char *name, enum ls_err_code code, const char *text, const char *hint)
{
    struct ls_err err = LS_ERR_INIT;

    assert_null(ls_zone_open(name, &err));
    assert_int_equal(err.code, code);
    assert_string_equal(err.text, text);
    assert_non_null(strstr(err.hint, hint));
}

static void zone__what_is_none__is_named(void **state)
{
    char dir[] = "/tmp/ls-zone-XXXXXX", path[64];
    FILE *file;

    setenv("TZDIR", "/nowhere", 1);
    must_fail("Europe/Berlin", LS_E_UNSUPPORTED,
              "time zone 'Europe/Berlin' is not known: there is no tz database at '/nowhere'",
              "tzdata");
    assert_non_null(mkdtemp(dir));
    setenv("TZDIR", dir, 1);
    must_fail("Europe/Berlin", LS_E_NOT_FOUND, "there is no time zone 'Europe/Berlin'",
              "Europe/Berlin");
    must_fail("../etc/passwd", LS_E_NOT_FOUND, "'../etc/passwd' is no name of a time zone", "tz");
    must_fail("/etc/passwd", LS_E_NOT_FOUND, "'/etc/passwd' is no name of a time zone", "tz");
    must_fail("", LS_E_NOT_FOUND, "'' is no name of a time zone", "tz");
    snprintf(path, sizeof path, "%s/Bad", dir);
    file = fopen(path, "w");
    fputs("no zone, but a text that is long enough to hold a header", file);
    fclose(file);
    must_fail("Bad", LS_E_CORRUPT,
              "cannot read time zone 'Bad': its file is no TZif: it does not begin as one",
              "tzdata");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    must_fail("Bad", LS_E_NOT_FOUND, "cannot read time zone 'Bad': it is no file", "");
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
    must_fail("Bad", LS_E_NOT_FOUND, "cannot read time zone 'Bad': it is no file", "");
    unlink(path);
    rmdir(dir);
    unsetenv("TZDIR");
}

/* ---- files of our own ---- */

static void put_be(struct ls_buf *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        ls_buf_putc(out, (char)(value >> 8 * i));
}

static void put_header(struct ls_buf *out, char version, uint32_t times, uint32_t types)
{
    ls_buf_puts(out, "TZif");
    ls_buf_putc(out, version);
    for (int i = 0; i < 15; i++)
        ls_buf_putc(out, 0);
    put_be(out, 0, 4);
    put_be(out, 0, 4);
    put_be(out, 0, 4);
    put_be(out, times, 4);
    put_be(out, types, 4);
    put_be(out, types ? 4 : 0, 4);
}

/* Version 2 with these changes from offset 0 and a rule; nothing in its first block. */
static struct ls_buf make_file(const int64_t *times, const int32_t *offsets, uint32_t count,
                               const char *rule)
{
    struct ls_buf out = {0};

    put_header(&out, '2', 0, 0);
    put_header(&out, '2', count, count + 1);
    for (uint32_t i = 0; i < count; i++)
        put_be(&out, (uint64_t)times[i], 8);
    for (uint32_t i = 0; i < count; i++)
        ls_buf_putc(&out, (char)(i + 1));
    for (uint32_t i = 0; i <= count; i++) {
        put_be(&out, i ? (uint32_t)offsets[i - 1] : 0, 4);
        put_be(&out, 0, 2);
    }
    ls_buf_add(&out, "LMT", 4);
    ls_buf_printf(&out, "\n%s\n", rule);
    return out;
}

static struct ls_zone *zone_of(const int64_t *times, const int32_t *offsets, uint32_t count,
                               const char *rule, struct ls_err *err)
{
    struct ls_buf file = make_file(times, offsets, count, rule);
    struct ls_zone *zone = ls_zone_parse(file.data, file.length, err);

    ls_buf_fini(&file);
    return zone;
}

static struct ls_zone_stretch stretch_of_rule(const char *rule, int64_t utc_s)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_zone *zone = zone_of(NULL, NULL, 0, rule, &err);
    struct ls_zone_stretch stretch;

    if (!zone)
        fail_msg("%s: %s", rule, err.text);
    stretch = ls_zone_at(zone, utc_s);
    ls_zone_free(zone);
    return stretch;
}

static int32_t offset_of_rule(const char *rule, int64_t utc_s)
{
    return stretch_of_rule(rule, utc_s).offset_s;
}

static int64_t at(int64_t year, int month, int day, int hour)
{
    return ls_civil_days(year, month, day) * LS_DAY_S + hour * 3600;
}

static void rule__its_forms__are_read(void **state)
{
    static const char *const bad[] = {"C",
                                      "CET",
                                      "CET-1CEST",
                                      "CET-1CEST,M3.5.0",
                                      "CET-1CEST,M13.5.0,M10.5.0",
                                      "CET-1CEST,M3.6.0,M10.5.0",
                                      "CET-1CEST,M3.5.7,M10.5.0",
                                      "CET-1CEST,J0,J365",
                                      "CET-1CEST,366,1",
                                      "CET-25",
                                      "CET-1CEST,M3.5.0/168,M10.5.0",
                                      "CET-1CEST,M3.5.0,M10.5.0,",
                                      "<+01-1",
                                      "CET-1:60"};
    struct ls_err err = LS_ERR_INIT;

    assert_int_equal(offset_of_rule("JST-9", at(2040, 7, 1, 0)), 9 * 3600);
    assert_int_equal(offset_of_rule("<-03>3:30", 0), -3 * 3600 - 1800);
    assert_int_equal(offset_of_rule("CET-1CEST,M3.5.0,M10.5.0/3", at(2026, 3, 29, 1) - 1), 3600);
    assert_int_equal(offset_of_rule("CET-1CEST,M3.5.0,M10.5.0/3", at(2026, 3, 29, 1)), 7200);
    assert_int_equal(offset_of_rule("CET-1CEST,M3.5.0,M10.5.0/3", at(2026, 10, 25, 1)), 3600);
    /* J60 is March 1 in every year, 59 the 60th day. */
    assert_int_equal(offset_of_rule("AAA0BBB,J60/0,J300/0", at(2028, 3, 1, 0) - 1), 0);
    assert_int_equal(offset_of_rule("AAA0BBB,J60/0,J300/0", at(2028, 3, 1, 0)), 3600);
    assert_int_equal(offset_of_rule("AAA0BBB,59/0,300/0", at(2028, 2, 29, 0)), 3600);
    /* Summer time all the year, and a change before the midnight of its day. */
    assert_int_equal(offset_of_rule("EST5EDT,0/0,J365/25", at(2031, 1, 1, 5)), -4 * 3600);
    assert_int_equal(offset_of_rule("EST5EDT,0/0,J365/25", at(2031, 12, 31, 23)), -4 * 3600);
    assert_true(stretch_of_rule("EST5EDT,0/0,J365/25", at(2031, 6, 1, 0)).end_s >
                at(2033, 1, 1, 0)); /* nothing changes at new year */
    assert_int_equal(offset_of_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", at(2026, 3, 29, 1)), -3600);
    assert_int_equal(offset_of_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", at(2026, 3, 29, 1) - 1),
                     -7200);
    for (size_t i = 0; i < LS_COUNT(bad); i++) {
        err = (struct ls_err)LS_ERR_INIT;
        if (zone_of(NULL, NULL, 0, bad[i], &err))
            fail_msg("read: %s", bad[i]);
        assert_int_equal(err.code, LS_E_CORRUPT);
    }
}

static void zone__changes_and_rule__follow_each_other(void **state)
{
    static const int64_t times[] = {1000, 2000, 3000};
    static const int32_t offsets[] = {3600, 3600, 7200};
    struct ls_zone *zone = zone_of(times, offsets, 3, "AAA-5", NULL);
    struct ls_zone_stretch stretch = ls_zone_at(zone, 1500);

    assert_int_equal(ls_zone_at(zone, 999).offset_s, 0);
    assert_int_equal(ls_zone_at(zone, 1000).offset_s, 3600);
    assert_int_equal(stretch.begin_s, 1000); /* the change at 2000 changes nothing */
    assert_int_equal(stretch.end_s, 3000);
    assert_int_equal(ls_zone_at(zone, 2999).offset_s, 3600);
    assert_int_equal(ls_zone_at(zone, 3000).offset_s, 5 * 3600);
    assert_int_equal(ls_zone_at(zone, 3000).begin_s, 3000);
    ls_zone_free(zone);
    zone = zone_of(times, offsets, 3, "", NULL);
    assert_int_equal(ls_zone_at(zone, at(2100, 1, 1, 0)).offset_s, 7200);
    ls_zone_free(zone);
}

static void zone__hostile_files__are_refused(void **state)
{
    static const int64_t order[] = {2000, 1000};
    static const int32_t offsets[] = {0, 3600}, wild[] = {0, 100000};
    static const int64_t times[] = {1000, 2000};
    struct ls_buf file = make_file(times, offsets, 2, "AAA-5");
    struct ls_err err = LS_ERR_INIT;

    assert_null(zone_of(order, offsets, 2, "AAA-5", &err));
    assert_null(zone_of(times, wild, 2, "AAA-5", &err));
    for (size_t length = 0; length < file.length; length++) {
        char *exact = ls_xcalloc(1, length ? length : 1); /* so that a sanitizer sees one more */

        memcpy(exact, file.data, length);
        err = (struct ls_err)LS_ERR_INIT;
        assert_null(ls_zone_parse(exact, length, &err));
        assert_int_equal(err.code, LS_E_CORRUPT);
        free(exact);
    }
    for (int round = 0; round < 50000; round++) {
        char *copy = ls_xcalloc(1, file.length);
        struct ls_zone *zone;

        memcpy(copy, file.data, file.length);
        for (uint64_t i = 0; i <= next_random() % 4; i++)
            copy[next_random() % file.length] = (char)next_random();
        zone = ls_zone_parse(copy, file.length, NULL);
        for (int i = 0; zone && i < 4; i++) {
            int64_t utc_s = (int64_t)(next_random() % 8000000000u);
            struct ls_zone_stretch stretch = ls_zone_at(zone, utc_s);

            assert_true(stretch.begin_s <= utc_s && utc_s < stretch.end_s);
            assert_in_range(stretch.offset_s + 100000, 0, 200000);
        }
        ls_zone_free(zone);
        free(copy);
    }
    ls_buf_fini(&file);
}

static void civil__four_centuries__there_and_back(void **state)
{
    int64_t day = ls_civil_days(1899, 12, 31);
    struct ls_civil civil = {1899, 12, 31};

    for (int i = 0; i < 146097 + 366; i++, day++) {
        struct ls_civil found = ls_civil_of(day);

        assert_true(found.year == civil.year && found.month == civil.month &&
                    found.day == civil.day);
        assert_true(ls_civil_days(civil.year, civil.month, civil.day) == day);
        if (++civil.day > ls_civil_month_days(civil.year, civil.month)) {
            civil.day = 1;
            civil.year += civil.month == 12;
            civil.month = civil.month % 12 + 1;
        }
    }
    assert_int_equal(ls_civil_weekday(ls_civil_days(2026, 11, 24)), 2);
    assert_int_equal(ls_civil_weekday(ls_civil_days(1969, 12, 28)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zone__every_zone_of_the_database__is_as_the_c_library_says),
        cmocka_unit_test(zone__utc__needs_no_database),
        cmocka_unit_test(zone__what_is_none__is_named),
        cmocka_unit_test(rule__its_forms__are_read),
        cmocka_unit_test(zone__changes_and_rule__follow_each_other),
        cmocka_unit_test(zone__hostile_files__are_refused),
        cmocka_unit_test(civil__four_centuries__there_and_back),
    };

    unsetenv("TZDIR"); /* of whoever runs the tests */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
