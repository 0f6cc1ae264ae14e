/* How values stand in the columns of SQLite, and what becomes of them: read, written, read again.
 */
#include "tests/conformance/store_harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"

#define TABLE "CREATE TABLE things (id INTEGER PRIMARY KEY, value %s)"

static struct world *values_world(const char *column_type, enum ls_type type)
{
    const struct ls_field field = {.name = (char *)(uintptr_t) "value", .type = type};
    struct world *world = world_bare(&store_kinds[0]);
    const struct ls_mapping *mappings[1];

    sql(world, TABLE, column_type);
    ls_mapping_free(world->mapping);
    world->mapping = mapping_new("things", "shop-eu", "things", "id", 1, &field, -1);
    mappings[0] = world->mapping;
    if (ls_store_install(world->url, mappings, 1, false, NULL, &world->err) < 0)
        fail_msg("%s", world->err.text);
    world_open(world);
    assert_true(do_state(world, LS_SYNC_ACTIVE));
    return world;
}

/* As SQL literal `stored` stands in a column, it reads as `read`; NULL: it is unreadable. */
static void reads(const char *column_type, enum ls_type type, const char *stored, const char *read)
{
    struct world *world = values_world(column_type, type);
    struct ls_snapshot *snapshot;
    char *uid;

    sql(world, "INSERT INTO things VALUES (1, %s)", stored);
    uid = do_resolve(world, "1", NULL);
    snapshot = do_begin(world, uid, 5);
    if (!read)
        assert_int_equal(snapshot->local_error.code, LS_E_INVALID);
    else if (snapshot->local_error.code != LS_E_NONE)
        fail_msg("%s in %s: %s", stored, column_type, snapshot->local_error.text);
    else
        assert_string_equal(snapshot->local.values[0].text, read);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

/* Over `stored` (NULL: a new row) `written` is written; then the column holds `holds` (type:value);
 * NULL: it is refused. */
static void writes(const char *column_type, enum ls_type type, const char *stored,
                   const char *written, const char *holds)
{
    struct world *world = values_world(column_type, type);
    struct ls_record new_values = record_of(world->mapping, "value", written, NULL);
    struct ls_commit commit = {
        .fence = 5, .row = 8, .remote_id = "9", .state = LS_LINK_LINKED, .local_new = &new_values};
    struct committed result = {0};
    struct ls_snapshot *snapshot;
    char *uid;

    if (stored)
        sql(world, "INSERT INTO things VALUES (1, %s)", stored);
    uid = do_resolve(world, stored ? "1" : NULL, stored ? NULL : "9");
    snapshot = do_begin(world, uid, 5);
    commit.local_old = &snapshot->local;
    commit.local_gen = snapshot->local_gen;
    if (do_commit(world, uid, &commit, &result)) {
        sql_is(world, holds, "SELECT typeof(value) || ':' || value FROM things");
        assert_false(result.local_differs);
        sql_is(world, "0", "SELECT count(*) FROM lockstep_dirty");
    } else {
        assert_int_equal(world->err.code, LS_E_INVALID);
        if (holds)
            fail_msg("%s", world->err.text);
    }
    free(result.local_id);
    ls_record_fini(&new_values);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void numbers__as_databases_keep_them__read_alike(void **state)
{
    reads("REAL", LS_TYPE_MONEY, "19.9", "19.9");
    reads("REAL", LS_TYPE_MONEY, "20", "20");
    reads("REAL", LS_TYPE_DECIMAL, "0.1 + 0.2", "0.30000000000000004");
    reads("NUMERIC", LS_TYPE_MONEY, "'19.90'", "19.9");
    reads("DECIMAL(10,2)", LS_TYPE_MONEY, "1e3", "1000");
    reads("TEXT", LS_TYPE_MONEY, "'19.90'", "19.9");
    reads("TEXT", LS_TYPE_MONEY, "''", NULL);
    reads("", LS_TYPE_INTEGER, "x'3132'", NULL);
    reads("INTEGER", LS_TYPE_INTEGER, "-9223372036854775807 - 1", "-9223372036854775808");
    reads("INTEGER", LS_TYPE_INTEGER, "3.0", "3");
    reads("REAL", LS_TYPE_INTEGER, "3.5", NULL);
    reads("REAL", LS_TYPE_DECIMAL, "9e999", NULL);
    reads("BOOLEAN", LS_TYPE_BOOLEAN, "1", "true");
    reads("TEXT", LS_TYPE_BOOLEAN, "'f'", "false");
    reads("TEXT", LS_TYPE_TEXT, "x'ff'", NULL);
}

static void numbers__written__keep_the_style_of_the_column(void **state)
{
    writes("REAL", LS_TYPE_MONEY, "1.5", "19.90", "real:19.9");
    writes("REAL", LS_TYPE_MONEY, NULL, "7", "real:7.0");
    writes("NUMERIC", LS_TYPE_MONEY, "1.5", "19.9", "real:19.9");
    writes("NUMERIC", LS_TYPE_MONEY, "1.5", "20", "integer:20");
    writes("INTEGER", LS_TYPE_INTEGER, "1", "9223372036854775807", "integer:9223372036854775807");
    writes("TEXT", LS_TYPE_MONEY, "'1'", "12345678901234567890.12345",
           "text:12345678901234567890.12345");
    writes("", LS_TYPE_MONEY, NULL, "12345678901234567890.12345",
           "text:12345678901234567890.12345");
    writes("", LS_TYPE_MONEY, "1.5", "2.25", "real:2.25");
    writes("VARCHAR(20)", LS_TYPE_INTEGER, "'1'", "42", "text:42");
}

static void numbers__that_a_column_would_round__are_refused(void **state)
{
    writes("NUMERIC", LS_TYPE_MONEY, "1.5", "1234567890123456.78", NULL);
    writes("REAL", LS_TYPE_INTEGER, "1.5", "9007199254740993", NULL);
    writes("INTEGER", LS_TYPE_TEXT, "1", "007", NULL);
    writes("INTEGER", LS_TYPE_TEXT, "1", "abc", "text:abc");
}

static void booleans__written__keep_the_spelling(void **state)
{
    writes("BOOLEAN", LS_TYPE_BOOLEAN, "0", "true", "integer:1");
    writes("INTEGER", LS_TYPE_BOOLEAN, NULL, "false", "integer:0");
    writes("TEXT", LS_TYPE_BOOLEAN, "'0'", "true", "text:1");
    writes("TEXT", LS_TYPE_BOOLEAN, "'f'", "true", "text:t");
    writes("TEXT", LS_TYPE_BOOLEAN, NULL, "true", "text:true");
}

static void timestamps__in_each_style__read_and_keep_it(void **state)
{
    reads("TEXT", LS_TYPE_TIMESTAMP, "'2026-11-23 00:51:00'", "2026-11-23T00:51:00Z");
    reads("INTEGER", LS_TYPE_TIMESTAMP, "1795395060", "2026-11-23T00:51:00Z");
    reads("INTEGER", LS_TYPE_TIMESTAMP, "1795395060123", "2026-11-23T00:51:00Z");
    reads("INTEGER", LS_TYPE_TIMESTAMP, "-1", "1969-12-31T23:59:59Z");
    writes("TEXT", LS_TYPE_TIMESTAMP, "'2020-01-01 10:00:00'", "2026-11-23T00:51:00Z",
           "text:2026-11-23 00:51:00");
    writes("TEXT", LS_TYPE_TIMESTAMP, "'2020-01-01T10:00:00Z'", "2026-11-23T00:51:00Z",
           "text:2026-11-23T00:51:00Z");
    writes("TEXT", LS_TYPE_TIMESTAMP, NULL, "2026-11-23T00:51:00Z", "text:2026-11-23T00:51:00Z");
    writes("INTEGER", LS_TYPE_TIMESTAMP, "1", "2026-11-23T00:51:00Z", "integer:1795395060");
    writes("INTEGER", LS_TYPE_TIMESTAMP, "1795000000000", "2026-11-23T00:51:00Z",
           "integer:1795395060000");
    writes("INTEGER", LS_TYPE_TIMESTAMP, NULL, "1969-12-31T23:59:59Z", "integer:-1");
}

static void text__with_line_ends_and_large__survives(void **state)
{
    struct ls_buf large = {0};

    reads("TEXT", LS_TYPE_TEXT, "'a' || char(13, 10) || 'b' || char(13) || 'c'", "a\nb\nc");
    writes("TEXT", LS_TYPE_HTML, "'x'", "<p>\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80</p>",
           "text:<p>\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80</p>");
    for (int i = 0; i < 100000; i++)
        ls_buf_puts(&large, "ab");
    {
        char *holds = ls_xasprintf("text:%s", large.data);
        writes("TEXT", LS_TYPE_HTML, "'x'", large.data, holds);
        free(holds);
    }
    ls_buf_fini(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers__as_databases_keep_them__read_alike),
        cmocka_unit_test(numbers__written__keep_the_style_of_the_column),
        cmocka_unit_test(numbers__that_a_column_would_round__are_refused),
        cmocka_unit_test(booleans__written__keep_the_spelling),
        cmocka_unit_test(timestamps__in_each_style__read_and_keep_it),
        cmocka_unit_test(text__with_line_ends_and_large__survives),
    };

    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
