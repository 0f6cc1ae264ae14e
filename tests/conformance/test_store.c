/* What every store promises, tried on a real database of each kind. The application's side is plain
 * SQL on its own connection. */
#include "store_harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/support/temp.h"

static const struct store_kind *kind;

#define CLEAN(world) sql(world, "DELETE FROM lockstep_dirty")
#define MARK "SELECT side || ':' || ref || ':' || high FROM lockstep_dirty"

static int64_t marks_of(struct world *world)
{
    return sql_int(world, "SELECT count(*) FROM lockstep_dirty");
}

/* ---- triggers -------------------------------------------------------------------------------- */

static void trigger__insert_update_delete__each_leaves_a_mark(void **state)
{
    struct world *world = world_new(kind);
    int64_t first;

    sql(world, "INSERT INTO products (id, sku, name, price) VALUES (7, 'A-1', 'Mug', 9.5)");
    sql_is(world, "l:7:1", MARK);
    first = sql_int(world, "SELECT gen FROM lockstep_dirty");
    sql(world, "UPDATE products SET name = 'Cup' WHERE id = 7");
    assert_int_equal(marks_of(world), 1);
    assert_true(sql_int(world, "SELECT gen FROM lockstep_dirty") > first);
    CLEAN(world);
    sql(world, "UPDATE products SET name = 'Bowl' WHERE id = 7");
    sql_is(world, "l:7:0", MARK);
    CLEAN(world);
    sql(world, "UPDATE products SET price = 10 WHERE id = 7");
    sql_is(world, "l:7:1", MARK);
    CLEAN(world);
    sql(world, "DELETE FROM products");
    sql_is(world, "l:7:1", MARK);
    world_free(world);
}

static void trigger__update_that_changes_no_mapped_value__leaves_none(void **state)
{
    struct world *world = world_new(kind);

    sql(world, "INSERT INTO products (id, sku, name, price, inventory) VALUES (7, 'A-1', 'Mug', "
               "9.5, NULL)");
    CLEAN(world);
    sql(world, "UPDATE products SET name = 'Mug', price = 9.50, inventory = NULL, note = 'x', "
               "updated_at = 'now'");
    assert_int_equal(marks_of(world), 0);
    sql(world, "UPDATE products SET inventory = 0");
    assert_int_equal(marks_of(world), 1);
    CLEAN(world);
    sql(world, "UPDATE products SET inventory = NULL");
    assert_int_equal(marks_of(world), 1);
    world_free(world);
}

static void trigger__change_of_the_key__marks_both(void **state)
{
    struct world *world = world_new(kind);

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    CLEAN(world);
    sql(world, "UPDATE products SET id = 8");
    sql_is(world, "7,8",
           "SELECT group_concat(ref, ',') FROM (SELECT ref FROM lockstep_dirty ORDER BY ref)");
    world_free(world);
}

static void trigger__replace__marks_the_new_row_and_the_one_it_removed(void **state)
{
    struct world *world = world_new(kind);

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1'), (8, 'A-2')");
    CLEAN(world);
    sql(world, "INSERT OR REPLACE INTO products (id, sku, name) VALUES (7, 'A-1', 'new')");
    sql_is(world, "l:7:1", MARK);
    CLEAN(world);
    sql(world, "INSERT OR REPLACE INTO products (id, sku) VALUES (9, 'A-2')");
    sql_is(world, "8,9",
           "SELECT group_concat(ref, ',') FROM (SELECT ref FROM lockstep_dirty ORDER BY ref)");
    CLEAN(world);
    sql(world, "UPDATE OR REPLACE products SET sku = 'A-1' WHERE id = 9");
    sql_is(world, "7,9",
           "SELECT group_concat(ref, ',') FROM (SELECT ref FROM lockstep_dirty ORDER BY ref)");
    assert_int_equal(sql_int(world, "SELECT count(*) FROM products"), 1);
    assert_int_equal(sql_int(world, "SELECT count(*) FROM lockstep_suspect"), 0);
    world_free(world);
}

static void trigger__upsert_that_changes_nothing__marks_nothing(void **state)
{
    struct world *world = world_new(kind);

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    CLEAN(world);
    sql(world, "INSERT INTO products (sku, name) VALUES ('A-1', 'Mug') ON CONFLICT (sku) DO UPDATE "
               "SET name = excluded.name");
    sql(world, "INSERT OR IGNORE INTO products (sku, name) VALUES ('A-1', 'Cup')");
    assert_int_equal(marks_of(world), 0);
    sql(world, "INSERT INTO products (sku, name) VALUES ('A-1', 'Cup') ON CONFLICT (sku) DO UPDATE "
               "SET name = excluded.name");
    sql_is(world, "l:7:0", MARK);
    CLEAN(world);
    /* The suspect of those statements is still there, and lives: it is no mark. */
    sql(world, "INSERT INTO products (id, sku) VALUES (9, 'A-9')");
    sql_is(world, "l:9:1", MARK);
    world_free(world);
}

static void trigger__inside_or_ignore_and_or_replace__still_counts_up(void **state)
{
    struct world *world = world_new(kind);
    int64_t gen;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    gen = sql_int(world, "SELECT gen FROM lockstep_dirty");
    sql(world, "UPDATE OR IGNORE products SET name = 'Cup'");
    assert_true(sql_int(world, "SELECT gen FROM lockstep_dirty") > gen);
    gen = sql_int(world, "SELECT gen FROM lockstep_dirty");
    sql(world, "UPDATE lockstep_dirty SET first_at = 5");
    sql(world, "UPDATE OR REPLACE products SET name = 'Bowl'");
    assert_true(sql_int(world, "SELECT gen FROM lockstep_dirty") > gen);
    assert_int_equal(sql_int(world, "SELECT first_at FROM lockstep_dirty"), 5);
    world_free(world);
}

static void trigger__letter_case_in_a_column_that_ignores_it__is_a_change(void **state)
{
    const struct ls_field fields[] = {{.name = (char *)(uintptr_t) "name", .type = LS_TYPE_TEXT}};
    struct world *world = world_bare(kind);
    const struct ls_mapping *mappings[1];
    struct ls_err err = LS_ERR_INIT;

    ls_mapping_free(world->mapping);
    world->mapping = mapping_new("people", "shop-eu", "people", "id", 1, fields, -1);
    mappings[0] = world->mapping;
    sql(world, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE)");
    assert_int_equal(ls_store_install(world->url, mappings, 1, false, NULL, &err), 0);
    sql(world, "INSERT INTO people VALUES (1, 'ann')");
    CLEAN(world);
    sql(world, "UPDATE people SET name = 'Ann'");
    assert_int_equal(marks_of(world), 1);
    world_free(world);
}

static void trigger__rolled_back_change__leaves_no_mark(void **state)
{
    struct world *world = world_new(kind);

    sql(world, "BEGIN; INSERT INTO products (id, sku) VALUES (7, 'A-1'); ROLLBACK");
    assert_int_equal(marks_of(world), 0);
    world_free(world);
}

static void trigger__two_accounts_on_one_table__each_has_its_mark(void **state)
{
    struct world *world = world_bare(kind);
    struct ls_mapping *other = products_mapping("products-us", "shop-us");
    const struct ls_mapping *mappings[] = {world->mapping, other};
    struct ls_err err = LS_ERR_INIT;

    assert_int_equal(ls_store_install(world->url, mappings, 2, false, NULL, &err), 0);
    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    assert_int_equal(marks_of(world), 2);
    sql_is(world, "pending", "SELECT sync_status FROM \"lockstep_status_products\"");
    sql_is(world, "pending", "SELECT sync_status FROM \"lockstep_status_products_products-us\"");
    ls_mapping_free(other);
    world_free(world);
}

/* ---- handing marks over ---------------------------------------------------------------------- */

static void take__500_changes__all_come_once_and_in_order(void **state)
{
    struct world *world = world_new(kind);
    struct ls_marks_query query = {.limit = 120};
    struct marks marks = {0};
    size_t seen = 0, pages = 0;
    bool high_over = false;

    sql(world, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
               "INSERT INTO products (id, sku, name) SELECT i, 'S' || i, 'n' || i FROM n");
    CLEAN(world);
    sql(world, "UPDATE products SET name = name || '!'");
    sql(world, "UPDATE products SET price = 3 WHERE id > 490");
    do {
        assert_true(do_take(world, &query, &marks));
        for (size_t i = 0; i < marks.count; i++) {
            assert_int_equal(strncmp(marks.items[i].uid, "l-", 2), 0);
            if (high_over)
                assert_false(marks.items[i].high);
            high_over = !marks.items[i].high;
        }
        assert_true(do_pushed(world, &marks));
        seen += marks.count;
        pages++;
        if (marks.count < query.limit)
            break;
        marks_free(&marks);
    } while (pages < 20);
    assert_int_equal(seen, 500);
    marks_free(&marks);
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 0);
    marks_free(&marks);
    assert_int_equal(marks_of(world), 500);
    world_free(world);
}

static void take__changed_again_after_it_was_pushed__comes_again(void **state)
{
    struct world *world = world_new(kind);
    struct ls_marks_query query = {0};
    struct marks first = {0}, second = {0};

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    assert_true(do_take(world, &query, &first));
    assert_int_equal(first.count, 1);
    sql(world, "UPDATE products SET name = 'between'");
    assert_true(do_pushed(world, &first));
    assert_true(do_take(world, &query, &second));
    assert_int_equal(second.count, 1);
    assert_true(second.items[0].gen > first.items[0].gen);
    assert_true(do_pushed(world, &second));
    marks_free(&first);
    assert_true(do_take(world, &query, &first));
    assert_int_equal(first.count, 0);
    marks_free(&first);
    marks_free(&second);
    world_free(world);
}

static void take__pushed_long_ago_and_still_there__comes_again_unless_dead(void **state)
{
    struct world *world = world_new(kind);
    struct ls_marks_query query = {0}, late = {.repush_before_ms = INT64_MAX / 2};
    struct marks marks = {0};

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1'), (8, 'A-2')");
    assert_true(do_take(world, &query, &marks));
    assert_true(do_pushed(world, &marks));
    marks_free(&marks);
    late.repush_before_ms = sql_int(world, "SELECT max(pushed_at) + 1 FROM lockstep_dirty");
    assert_true(do_note(world, "l-8", true, "refused"));
    assert_true(do_take(world, &late, &marks));
    assert_int_equal(marks.count, 1);
    assert_string_equal(marks.items[0].uid, "l-7");
    marks_free(&marks);
    assert_int_equal(do_left(world, -1, NULL), 1);
    sql_is(world, "dead", "SELECT sync_status FROM lockstep_status_products WHERE id = 8");
    sql(world, "UPDATE products SET name = 'repaired' WHERE id = 8");
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 1);
    assert_string_equal(marks.items[0].uid, "l-8");
    marks_free(&marks);
    world_free(world);
}

static void take__sync_that_only_observes__hands_over_nothing(void **state)
{
    struct world *world = world_new(kind);
    struct ls_marks_query query = {0};
    struct marks marks = {0};

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    assert_true(do_state(world, LS_SYNC_OBSERVE));
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 0);
    marks_free(&marks);
    assert_true(do_state(world, LS_SYNC_ACTIVE));
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 1);
    marks_free(&marks);
    world_free(world);
}

static void take__both_sides_of_a_record__are_one_mark(void **state)
{
    struct world *world = world_new(kind);
    struct ls_marks_query query = {0};
    struct ls_record record;
    struct ls_seen seen = {.remote_id = "99"};
    struct marks marks = {0};
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    uid = link_row(world, "7", "99", 5);
    assert_int_equal(marks_of(world), 0);
    record = record_of(world->mapping, "name", "Cup", NULL);
    seen.record = &record;
    assert_true(do_seen(world, &seen, 1, false, NULL));
    sql(world, "UPDATE products SET price = 4");
    assert_int_equal(marks_of(world), 2);
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 1);
    assert_string_equal(marks.items[0].uid, uid);
    assert_true(marks.items[0].high);
    assert_true(do_pushed(world, &marks));
    marks_free(&marks);
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 0);
    marks_free(&marks);
    ls_record_fini(&record);
    free(uid);
    world_free(world);
}

/* ---- what listings show ---------------------------------------------------------------------- */

static void seen__equal_to_the_base__is_not_marked(void **state)
{
    struct world *world = world_new(kind);
    struct ls_record same, other;
    struct ls_seen seen[2] = {{.remote_id = "99"}, {.remote_id = "100"}};
    struct ls_seen_result result;
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name, price) VALUES (7, 'A-1', 'Mug', 9.5)");
    uid = link_row(world, "7", "99", 5);
    same = record_of(world->mapping, "name", "Mug", "price", "9.50", NULL);
    other = record_of(world->mapping, "name", "Mug", "price", "9.51", NULL);
    seen[0].record = seen[1].record = &same;
    assert_true(do_seen(world, seen, 2, false, &result));
    assert_int_equal(result.unchanged, 1);
    assert_int_equal(result.marked, 1);
    sql_is(world, "r:100:-1", MARK);
    seen[0].record = &other;
    assert_true(do_seen(world, seen, 1, false, &result));
    assert_int_equal(result.marked, 1);
    assert_int_equal(marks_of(world), 2);
    ls_record_fini(&same);
    ls_record_fini(&other);
    free(uid);
    world_free(world);
}

static void seen__equal_and_unlinked__is_linked_when_the_match_is_unique(void **state)
{
    struct world *world = world_new(kind);
    struct ls_record equal, differs, twin;
    struct ls_seen seen[3] = {{.remote_id = "91", .match = "A-1"},
                              {.remote_id = "92", .match = "A-2"},
                              {.remote_id = "93", .match = "A-3"}};
    struct ls_seen_result result;

    sql(world, "CREATE TABLE twins (id INTEGER)");
    sql(world, "INSERT INTO products (id, sku, name, price, inventory, description) VALUES (1, "
               "'A-1', 'Mug', 9.5, 3, 'x'), "
               "(2, 'A-2', 'Cup', 1, 3, 'x')");
    equal = record_of(world->mapping, "sku", "A-1", "name", "Mug", "price", "9.5", "inventory", "3",
                      "description", "x", NULL);
    differs = record_of(world->mapping, "sku", "A-2", "name", "Cup", "price", "2", "inventory", "3",
                        "description", "x", NULL);
    twin = record_of(world->mapping, "sku", "A-3", "name", "new", "price", "2", "inventory", "3",
                     "description", "x", NULL);
    seen[0].record = &equal;
    seen[1].record = &differs;
    seen[2].record = &twin;
    assert_true(do_seen(world, seen, 3, true, &result));
    assert_int_equal(result.linked, 1);
    assert_int_equal(result.marked, 2);
    sql_is(world, "91",
           "SELECT remote_id FROM lockstep_link WHERE local_id = '1' AND state = 'linked'");
    sql_is(world, "synced", "SELECT sync_status FROM lockstep_status_products WHERE id = 1");
    assert_int_equal(
        sql_int(world, "SELECT count(*) FROM lockstep_dirty WHERE side = 'l' AND ref = '1'"), 0);
    /* Again: now it is known. */
    assert_true(do_seen(world, seen, 1, true, &result));
    assert_int_equal(result.unchanged, 1);
    ls_record_fini(&equal);
    ls_record_fini(&differs);
    ls_record_fini(&twin);
    world_free(world);
}

static void mark_local__keyset__visits_every_row_once(void **state)
{
    struct world *world = world_new(kind);
    size_t looked, marked, all_looked = 0, all_marked = 0;
    char *last = NULL, *uid;

    sql(world, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25) "
               "INSERT INTO products (id, sku) SELECT i, 'S' || i FROM n");
    uid = link_row(world, "10", "99", 5);
    CLEAN(world);
    do {
        char *after = last;
        assert_true(do_mark_local(world, after, 10, false, &looked, &marked, &last));
        free(after);
        all_looked += looked;
        all_marked += marked;
    } while (last);
    assert_int_equal(all_looked, 25);
    assert_int_equal(all_marked, 24);
    assert_int_equal(marks_of(world), 24);
    sql_is(world, "-1", "SELECT max(high) FROM lockstep_dirty");
    free(uid);
    world_free(world);
}

static void resolve__same_record_twice__is_one_uid(void **state)
{
    struct world *world = world_new(kind);
    char *first, *second;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    first = do_resolve(world, "7", NULL);
    second = do_resolve(world, "7", NULL);
    assert_string_equal(first, "l-7");
    assert_string_equal(second, "l-7");
    free(first);
    free(second);
    first = do_resolve(world, NULL, "gid://x/Y 1\"");
    assert_string_equal(first, "r-gid:%2F%2Fx%2FY%201%22");
    free(first);
    assert_null(do_resolve(world, "8", NULL));
    assert_int_equal(world->err.code, LS_E_NOT_FOUND);
    world_free(world);
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void begin__row__is_read_in_canonical_form(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name, price, inventory, description) VALUES (7, "
               "'A-1', 'a' || char(13) || char(10) || "
               "'b', 19.90, 3, NULL)");
    uid = do_resolve(world, "7", NULL);
    snapshot = do_begin(world, uid, 5);
    assert_string_equal(snapshot->local.values[1].text, "a\nb");
    assert_string_equal(snapshot->local.values[2].text, "19.9");
    assert_string_equal(snapshot->local.values[3].text, "3");
    assert_int_equal(snapshot->local.values[4].state, LS_VALUE_NULL);
    assert_int_equal(snapshot->local_error.code, LS_E_NONE);
    assert_false(ls_record_present(&snapshot->base));
    assert_true(snapshot->local_gen > 0);
    assert_int_equal(snapshot->remote_gen, 0);
    assert_true(snapshot->writes_allowed);
    assert_int_equal(snapshot->state, LS_LINK_NEW);
    assert_string_equal(snapshot->local_id, "7");
    assert_null(snapshot->remote_id);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void begin__unreadable_value__is_told_and_the_rest_is_there(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name, price) VALUES (7, 'A-1', 'Mug', 'much')");
    uid = do_resolve(world, "7", NULL);
    snapshot = do_begin(world, uid, 5);
    assert_int_equal(snapshot->local_error.code, LS_E_INVALID);
    assert_string_equal(snapshot->local_error.reason, "price");
    assert_string_equal(snapshot->local.values[1].text, "Mug");
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void begin__lower_fence__is_fenced(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    char *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    uid = do_resolve(world, "7", NULL);
    ls_snapshot_free(do_begin(world, uid, 100));
    assert_null(do_begin(world, uid, 99));
    assert_int_equal(world->err.code, LS_E_FENCED);
    snapshot = do_begin(world, uid, 1000);
    assert_non_null(snapshot);
    ls_snapshot_free(snapshot);
    assert_null(do_begin(world, "l-nobody", 1000));
    assert_int_equal(world->err.code, LS_E_NOT_FOUND);
    free(uid);
    world_free(world);
}

static void begin__fence_zero__looks_without_taking(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_commit commit = {.state = LS_LINK_LINKED};
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug'), (8, 'A-2', 'Cup')");
    uid = do_resolve(world, "7", NULL);
    ls_snapshot_free(do_begin(world, uid, 100));
    snapshot = do_begin(world, uid, 0);
    assert_string_equal(snapshot->local.values[1].text, "Mug");
    ls_snapshot_free(snapshot);
    sql_is(world, "100", "SELECT token FROM lockstep_link");
    assert_false(do_commit(world, uid, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_FENCED);
    /* A record that nobody has made yet. */
    snapshot = do_begin(world, "l-8", 0);
    assert_string_equal(snapshot->local.values[1].text, "Cup");
    assert_int_equal(sql_int(world, "SELECT count(*) FROM lockstep_link"), 1);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

/* ---- commit ---------------------------------------------------------------------------------- */

static void commit__stale_fence__changes_nothing(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_record new_values;
    struct ls_commit commit;
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    uid = do_resolve(world, "7", NULL);
    snapshot = do_begin(world, uid, 100);
    ls_snapshot_free(do_begin(world, uid, 101));
    new_values = record_of(world->mapping, "name", "Cup", NULL);
    commit = (struct ls_commit){.fence = 100,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &snapshot->local,
                                .local_old = &snapshot->local,
                                .local_new = &new_values,
                                .local_gen = snapshot->local_gen};
    assert_false(do_commit(world, uid, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_FENCED);
    sql_is(world, "Mug", "SELECT name FROM products");
    assert_int_equal(marks_of(world), 1);
    sql_is(world, NULL, "SELECT remote_id FROM lockstep_link");
    ls_record_fini(&new_values);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__mark_that_moved_on__stays(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_commit commit;
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    uid = do_resolve(world, "7", NULL);
    snapshot = do_begin(world, uid, 100);
    sql(world, "UPDATE products SET name = 'Cup'");
    commit = (struct ls_commit){.fence = 100,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &snapshot->local,
                                .local_gen = snapshot->local_gen,
                                .synced = true};
    assert_true(do_commit(world, uid, &commit, NULL));
    assert_int_equal(marks_of(world), 1);
    sql_is(world, "pending", "SELECT sync_status FROM lockstep_status_products");
    ls_snapshot_free(snapshot);
    snapshot = do_begin(world, uid, 102);
    commit = (struct ls_commit){.fence = 102,
                                .state = LS_LINK_LINKED,
                                .base = &snapshot->local,
                                .local_gen = snapshot->local_gen,
                                .synced = true};
    assert_true(do_commit(world, uid, &commit, NULL));
    assert_int_equal(marks_of(world), 0);
    sql_is(world, "synced", "SELECT sync_status FROM lockstep_status_products");
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__local_write__happens_only_on_the_row_that_was_read(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_record new_values;
    struct ls_commit commit;
    struct committed result = {0};
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name, price) VALUES (7, 'A-1', 'Mug', 1)");
    uid = link_row(world, "7", "99", 5);
    new_values =
        record_of(world->mapping, "name", "Cup", "inventory", "12", "description", "\1", NULL);
    snapshot = do_begin(world, uid, 100);
    sql(world, "UPDATE products SET price = 2");
    commit = (struct ls_commit){.fence = 100,
                                .state = LS_LINK_LINKED,
                                .local_old = &snapshot->local,
                                .local_new = &new_values,
                                .local_gen = snapshot->local_gen};
    assert_false(do_commit(world, uid, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_CONFLICT);
    sql_is(world, "Mug", "SELECT name FROM products");
    ls_snapshot_free(snapshot);
    snapshot = do_begin(world, uid, 100);
    commit.local_old = &snapshot->local;
    commit.local_gen = snapshot->local_gen;
    assert_true(do_commit(world, uid, &commit, &result));
    assert_false(result.local_differs);
    assert_string_equal(result.local_id, "7");
    free(result.local_id);
    sql_is(world, "Cup/12/2", "SELECT name || '/' || inventory || '/' || price FROM products");
    sql_is(world, "integer", "SELECT typeof(inventory) FROM products");
    assert_int_equal(marks_of(world),
                     0); /* neither the one that was seen nor the one of our own write */
    ls_record_fini(&new_values);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__application_trigger_alters_what_we_wrote__its_mark_stays(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_record new_values;
    struct ls_commit commit;
    struct committed result = {0};
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    uid = link_row(world, "7", "99", 5);
    sql(world,
        "CREATE TRIGGER shout AFTER UPDATE OF name ON products WHEN NEW.name <> upper(NEW.name) "
        "BEGIN UPDATE products SET name = upper(name) WHERE id = NEW.id; END");
    new_values = record_of(world->mapping, "name", "Cup", NULL);
    snapshot = do_begin(world, uid, 100);
    commit = (struct ls_commit){.fence = 100,
                                .state = LS_LINK_LINKED,
                                .local_old = &snapshot->local,
                                .local_new = &new_values};
    assert_true(do_commit(world, uid, &commit, &result));
    assert_true(result.local_differs);
    free(result.local_id);
    sql_is(world, "CUP", "SELECT name FROM products");
    assert_int_equal(marks_of(world), 1);
    ls_record_fini(&new_values);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__absent_row__is_inserted_and_linked(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_record values;
    struct ls_commit commit;
    struct committed result = {0};
    char *uid = do_resolve(world, NULL, "99");

    values = record_of(world->mapping, "sku", "A-1", "name", "Mug", "price", "12.50", "inventory",
                       "3", NULL);
    snapshot = do_begin(world, uid, 100);
    assert_false(ls_record_present(&snapshot->local));
    commit = (struct ls_commit){.fence = 100,
                                .row = 3,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &values,
                                .local_new = &values,
                                .synced = true,
                                .verified = true};
    assert_true(do_commit(world, uid, &commit, &result));
    assert_false(result.local_differs);
    sql_is(world, result.local_id, "SELECT id FROM products WHERE sku = 'A-1' AND price = 12.5");
    sql_is(world, "real", "SELECT typeof(price) FROM products");
    sql_is(world, result.local_id, "SELECT local_id FROM lockstep_link WHERE remote_id = '99'");
    assert_int_equal(marks_of(world), 0);
    sql_is(world, "synced", "SELECT sync_status FROM lockstep_status_products");
    free(result.local_id);
    ls_record_fini(&values);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__id_of_a_deleted_row__is_not_given_to_another_record(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_record values;
    struct ls_commit commit;
    struct committed result = {0};
    char *old, *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (1, 'A-1'), (2, 'A-2')");
    old = link_row(world, "2", "98", 5);
    sql(world, "DELETE FROM products WHERE id = 2");
    uid = do_resolve(world, NULL, "99");
    values = record_of(world->mapping, "sku", "A-9", NULL);
    snapshot = do_begin(world, uid, 100);
    commit = (struct ls_commit){.fence = 100,
                                .row = 3,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &values,
                                .local_new = &values};
    assert_true(do_commit(world, uid, &commit, &result));
    assert_string_equal(result.local_id, "3");
    sql_is(world, "2", "SELECT local_id FROM lockstep_link WHERE remote_id = '98'");
    free(result.local_id);
    ls_record_fini(&values);
    ls_snapshot_free(snapshot);
    free(old);
    free(uid);
    world_free(world);
}

static void commit__row_that_the_database_refuses__is_invalid_and_nothing_is_committed(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_record values;
    struct ls_commit commit;
    char *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (1, 'A-1')");
    uid = do_resolve(world, NULL, "99");
    values = record_of(world->mapping, "sku", "A-1", NULL);
    snapshot = do_begin(world, uid, 100);
    commit = (struct ls_commit){.fence = 100,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &values,
                                .local_new = &values};
    assert_false(do_commit(world, uid, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_INVALID);
    assert_non_null(strstr(world->err.text, "UNIQUE"));
    sql_is(world, "new", "SELECT state FROM lockstep_link");
    ls_record_fini(&values);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__application_rolls_everything_back__only_this_commit_fails(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_record values;
    struct ls_commit commit;
    char *uid;

    sql(world, "CREATE TRIGGER never BEFORE INSERT ON products WHEN NEW.sku = 'BAD' BEGIN SELECT "
               "RAISE(ROLLBACK, 'no'); END");
    uid = do_resolve(world, NULL, "99");
    values = record_of(world->mapping, "sku", "BAD", NULL);
    snapshot = do_begin(world, uid, 100);
    commit = (struct ls_commit){.fence = 100,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &values,
                                .local_new = &values};
    /* In one batch with another operation that must go through. */
    ls_store_note_error(world->store, world->mapping, uid, false, "kept", NULL, NULL);
    assert_false(do_commit(world, uid, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_INVALID);
    sql_is(world, "kept", "SELECT error FROM lockstep_link");
    ls_record_fini(&values);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__remote_id_of_an_unlinked_record__absorbs_it(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *local, *remote;
    struct ls_commit commit;
    char *local_uid, *remote_uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    local_uid = do_resolve(world, "7", NULL);
    remote_uid = do_resolve(world, NULL, "99");
    remote = do_begin(world, remote_uid, 101);
    local = do_begin(world, local_uid, 100);
    commit = (struct ls_commit){.fence = 100,
                                .row = 4,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &local->local,
                                .local_gen = local->local_gen};
    assert_true(do_commit(world, local_uid, &commit, NULL));
    assert_int_equal(sql_int(world, "SELECT count(*) FROM lockstep_link"), 1);
    /* The run of the absorbed record can do nothing any more. */
    commit = (struct ls_commit){.fence = 101, .row = 3, .remote_id = "99", .state = LS_LINK_LINKED};
    assert_false(do_commit(world, remote_uid, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_FENCED);
    ls_snapshot_free(local);
    ls_snapshot_free(remote);
    free(local_uid);
    free(remote_uid);
    world_free(world);
}

static void
commit__remote_id_of_an_unlinked_record__its_mark_comes_again_under_the_new_name(void **state)
{
    struct world *world = world_new(kind);
    struct ls_marks_query query = {0};
    struct ls_seen seen = {.remote_id = "99"};
    struct ls_record record;
    struct ls_snapshot *local;
    struct ls_commit commit;
    struct marks marks = {0};

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    record = record_of(world->mapping, "name", "Cup", NULL);
    seen.record = &record;
    assert_true(do_seen(world, &seen, 1, false, NULL));
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 2);
    assert_true(do_pushed(world, &marks));
    marks_free(&marks);
    local = do_begin(world, "l-7", 100);
    commit = (struct ls_commit){.fence = 100,
                                .row = 5,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &local->local,
                                .local_gen = local->local_gen};
    assert_true(do_commit(world, "l-7", &commit, NULL));
    assert_true(do_take(world, &query, &marks));
    assert_int_equal(marks.count, 1);
    assert_string_equal(marks.items[0].uid, "l-7");
    marks_free(&marks);
    ls_record_fini(&record);
    ls_snapshot_free(local);
    world_free(world);
}

static void commit__remote_id_of_a_linked_record__is_a_duplicate(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_commit commit;
    char *first, *second;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1'), (8, 'A-2')");
    first = link_row(world, "7", "99", 5);
    second = do_resolve(world, "8", NULL);
    snapshot = do_begin(world, second, 100);
    commit = (struct ls_commit){.fence = 100,
                                .row = 4,
                                .remote_id = "99",
                                .state = LS_LINK_LINKED,
                                .base = &snapshot->local};
    assert_false(do_commit(world, second, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_EXISTS);
    sql_is(world, "l-7", "SELECT uid FROM lockstep_link WHERE remote_id = '99'");
    ls_snapshot_free(snapshot);
    free(first);
    free(second);
    world_free(world);
}

static void commit__delete__removes_the_row_and_leaves_no_mark(void **state)
{
    struct world *world = world_new(kind);
    struct ls_snapshot *snapshot;
    struct ls_commit commit;
    char *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    uid = link_row(world, "7", "99", 5);
    snapshot = do_begin(world, uid, 100);
    commit = (struct ls_commit){.fence = 100,
                                .row = 14,
                                .state = LS_LINK_TOMB,
                                .local_old = &snapshot->local,
                                .local_delete = true,
                                .deleted_version = "v1"};
    assert_true(do_commit(world, uid, &commit, NULL));
    assert_int_equal(sql_int(world, "SELECT count(*) FROM products"), 0);
    assert_int_equal(marks_of(world), 0);
    sql_is(world, "tomb/v1",
           "SELECT state || '/' || deleted_version FROM lockstep_link WHERE deleted_at > 0");
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__conflicts__open_stay_and_close(void **state)
{
    struct world *world = world_new(kind);
    struct ls_sync_status status;
    struct ls_snapshot *snapshot;
    struct ls_record remote;
    struct ls_commit commit;
    struct ls_seen seen = {.remote_id = "99"};
    struct ls_seen_result result;
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (7, 'A-1', 'Mug')");
    uid = link_row(world, "7", "99", 5);
    sql(world, "UPDATE products SET name = 'Cup'");
    remote = record_of(world->mapping, "sku", "A-1", "name", "Bowl", NULL);
    snapshot = do_begin(world, uid, 100);
    commit = (struct ls_commit){.fence = 100,
                                .row = 12,
                                .state = LS_LINK_LINKED,
                                .local_gen = snapshot->local_gen,
                                .conflict_fields = 1 << 1,
                                .conflict_remote = &remote};
    assert_true(do_commit(world, uid, &commit, NULL));
    assert_true(do_commit(world, uid, &commit, NULL));
    assert_int_equal(sql_int(world, "SELECT count(*) FROM lockstep_conflict"), 1);
    sql_is(world, "name/Mug/Cup/Bowl",
           "SELECT field || '/' || base || '/' || local || '/' || remote FROM lockstep_conflict");
    sql_is(world, "parked", "SELECT sync_status FROM lockstep_status_products");
    assert_true(do_status(world, &status));
    assert_int_equal(status.conflicts, 1);
    ls_snapshot_free(snapshot);
    snapshot = do_begin(world, uid, 101);
    assert_int_equal(snapshot->parked_fields, 1 << 1);
    /* A listing that shows what is in the list of conflicts is no news. */
    seen.record = &remote;
    assert_true(do_seen(world, &seen, 1, false, &result));
    assert_int_equal(result.unchanged, 1);
    commit = (struct ls_commit){
        .fence = 101, .row = 10, .state = LS_LINK_LINKED, .base = &snapshot->local, .synced = true};
    assert_true(do_commit(world, uid, &commit, NULL));
    assert_int_equal(
        sql_int(world, "SELECT count(*) FROM lockstep_conflict WHERE closed_at IS NULL"), 0);
    sql_is(world, "synced", "SELECT sync_status FROM lockstep_status_products");
    ls_record_fini(&remote);
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void commit__foreign_writer_holds_the_database__is_a_store_failure(void **state)
{
    struct world *world = world_new(kind);
    struct ls_store_options options = {.url = world->url, .loop = &world->loop, .busy_ms = 100};

    world_close(world);
    world->store = ls_store_open(&options, &world->err);
    assert_non_null(world->store);
    sql(world, "BEGIN IMMEDIATE");
    assert_false(do_state(world, LS_SYNC_STOPPED));
    assert_int_equal(world->err.code, LS_E_STORE);
    sql(world, "COMMIT");
    assert_true(do_state(world, LS_SYNC_STOPPED));
    world_free(world);
}

/* ---- operations ------------------------------------------------------------------------------ */

static void op__sent_then_ended__is_open_in_between(void **state)
{
    struct world *world = world_new(kind);
    struct ls_op op = {.op_key = "k1", .kind = LS_OP_UPDATE, .target_hash = "h1"};
    struct ls_snapshot *snapshot;
    struct ls_commit commit;
    int64_t gen;
    char *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    uid = link_row(world, "7", "99", 5);
    ls_snapshot_free(do_begin(world, uid, 100));
    assert_true(do_sent(world, uid, 100, &op));
    snapshot = do_begin(world, uid, 101);
    gen = snapshot->base_gen;
    assert_int_equal(snapshot->op_count, 1);
    assert_int_equal(snapshot->ops[0].state, LS_OP_SENT);
    assert_int_equal(snapshot->ops[0].attempts, 1);
    assert_string_equal(snapshot->ops[0].op_key, "k1");
    assert_int_equal(snapshot->sent_count, 1);
    assert_string_equal(snapshot->sent[0], "h1");
    ls_snapshot_free(snapshot);
    assert_false(do_sent(world, uid, 100, &op));
    assert_int_equal(world->err.code, LS_E_FENCED);
    assert_true(do_sent(world, uid, 101, &op));
    op.state = LS_OP_OK;
    commit = (struct ls_commit){.fence = 101, .row = 9, .state = LS_LINK_LINKED, .op = &op};
    assert_true(do_commit(world, uid, &commit, NULL));
    snapshot = do_begin(world, uid, 102);
    assert_int_equal(snapshot->op_count, 0);
    assert_int_equal(snapshot->sent_count, 0);
    assert_int_equal(snapshot->base_gen,
                     gen + 1); /* so that the same write later has another key */
    ls_snapshot_free(snapshot);
    assert_false(do_sent(world, uid, 102, &op));
    assert_int_equal(world->err.code, LS_E_EXISTS);
    free(uid);
    world_free(world);
}

static void op__of_a_lost_worker__stays_in_the_echo_ledger_after_its_successor(void **state)
{
    struct world *world = world_new(kind);
    struct ls_op lost = {.op_key = "k1", .kind = LS_OP_UPDATE, .target_hash = "h1"};
    struct ls_op next = {
        .op_key = "k2", .kind = LS_OP_UPDATE, .target_hash = "h2", .state = LS_OP_OK};
    struct ls_snapshot *snapshot;
    struct ls_commit commit;
    char *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    uid = link_row(world, "7", "99", 5);
    ls_snapshot_free(do_begin(world, uid, 100));
    assert_true(do_sent(world, uid, 100, &lost));
    ls_snapshot_free(do_begin(world, uid, 101));
    assert_true(do_sent(world, uid, 101, &next));
    commit = (struct ls_commit){.fence = 101,
                                .row = 9,
                                .state = LS_LINK_LINKED,
                                .op = &next,
                                .synced = true,
                                .verified = true};
    assert_true(do_commit(world, uid, &commit, NULL));
    snapshot = do_begin(world, uid, 102);
    assert_int_equal(snapshot->op_count, 0);
    assert_int_equal(snapshot->sent_count, 1);
    assert_string_equal(snapshot->sent[0], "h1");
    ls_snapshot_free(snapshot);
    free(uid);
    world_free(world);
}

static void audit__writes_in_both_directions__feed_the_loop_breaker(void **state)
{
    struct world *world = world_new(kind);
    struct ls_value value = {0};
    struct ls_audit audit = {.field = 1, .dir = LS_AUDIT_TO_REMOTE, .new_value = &value};
    struct ls_commit commit = {
        .row = 9, .state = LS_LINK_LINKED, .audits = &audit, .audit_count = 1};
    struct ls_snapshot *snapshot;
    char *uid;

    ls_value_set(&value, LS_TYPE_TEXT, "x", 1, NULL);
    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    uid = link_row(world, "7", "99", 5);
    for (uint64_t fence = 100; fence < 103; fence++) {
        ls_snapshot_free(do_begin(world, uid, fence));
        commit.fence = fence;
        assert_true(do_commit(world, uid, &commit, NULL));
        sql(world, "UPDATE lockstep_audit SET at = at - 7");
    }
    snapshot = do_begin(world, uid, 200);
    assert_int_equal(snapshot->recent_writes, 0);
    ls_snapshot_free(snapshot);
    audit.dir = LS_AUDIT_TO_LOCAL;
    commit.fence = 200;
    assert_true(do_commit(world, uid, &commit, NULL));
    snapshot = do_begin(world, uid, 201);
    assert_int_equal(snapshot->recent_writes, 4);
    ls_snapshot_free(snapshot);
    ls_value_fini(&value);
    free(uid);
    world_free(world);
}

/* ---- reading many ---------------------------------------------------------------------------- */

static void scan__links_and_unlinked_rows__each_once_in_pages(void **state)
{
    struct world *world = world_new(kind);
    char *after = NULL, *next, *text, *uid, *remote;
    struct ls_buf all = {0};

    sql(world, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7) "
               "INSERT INTO products (id, sku, name) SELECT i, 'S' || i, 'n' || i FROM n");
    uid = link_row(world, "3", "99", 5);
    remote = do_resolve(world, NULL, "100");
    do {
        text = do_scan(world, after, 3, &next);
        ls_buf_puts(&all, text);
        free(text);
        free(after);
        after = next;
    } while (after);
    assert_string_equal(
        all.data,
        "l-3|3|99|linked|clean|n3\nr-100|-|100|new|clean|-\n-|1|-|new|clean|n1\n-|2|-|new|clean|"
        "n2\n"
        "-|4|-|new|clean|n4\n-|5|-|new|clean|n5\n-|6|-|new|clean|n6\n-|7|-|new|clean|n7\n");
    ls_buf_fini(&all);
    free(uid);
    free(remote);
    world_free(world);
}

static void find__match_value__finds_rows_exactly(void **state)
{
    struct world *world = world_new(kind);
    char *found, *uid;

    sql(world, "INSERT INTO products (id, sku, name) VALUES (1, 'A-1', 'Mug'), (2, 'a-1', 'Cup'), "
               "(3, '', 'none')");
    uid = link_row(world, "1", "99", 5);
    found = do_find(world, "A-1");
    assert_string_equal(found, "l-1|1|99|linked|clean|Mug\n");
    free(found);
    found = do_find(world, "a-1");
    assert_string_equal(found, "-|2|-|new|clean|Cup\n");
    free(found);
    found = do_find(world, "");
    assert_string_equal(found, "");
    free(found);
    free(uid);
    world_free(world);
}

/* ---- status ---------------------------------------------------------------------------------- */

static void view__founding_document_sql__runs_with_only_the_table_name_changed(void **state)
{
    struct world *world = world_new(kind);
    struct ls_sync_figures figures;
    char *uid;

    sql(world, "INSERT INTO products (id, sku, name, price, updated_at) VALUES (1, 'A-1', 'Mug', "
               "2, '2024-05-01'), "
               "(2, 'A-2', 'Cup', 3, '2023-05-01'), (3, 'A-3', 'Old', 3, '2023-05-01')");
    uid = link_row(world, "1", "99", 5);
    free(uid);
    uid = link_row(world, "3", "98", 5);
    sql(world, "UPDATE lockstep_link SET synced_at = synced_at - 7200000 WHERE local_id = '3'");
    /* Method 1, verbatim. */
    sql_is(world, "1",
           "SELECT COUNT(*) FROM lockstep_status_products WHERE updated_at > '2024-01-01'");
    sql_is(world, NULL,
           "SELECT product_id, COUNT(*)\nFROM lockstep_status_products\nGROUP BY "
           "product_id\nHAVING COUNT(*) > 1");
    /* Method 2: what is not NOW(), INTERVAL and EXTRACT, verbatim. */
    sql_is(world, "2",
           "SELECT id, name\nFROM lockstep_status_products\nWHERE last_synced_at IS NULL");
    /* And in the spelling of SQLite. */
    sql_is(world, "3",
           "SELECT id, name, last_synced_at FROM lockstep_status_products WHERE last_synced_at < "
           "datetime('now', '-1 hour') "
           "ORDER BY last_synced_at ASC");
    sql_is(world, "1",
           "SELECT AVG(unixepoch('now') - unixepoch(last_synced_at)) BETWEEN 3500 AND 3700 FROM "
           "lockstep_status_products");
    sql_is(world, "1",
           "SELECT MAX(unixepoch('now') - unixepoch(last_synced_at)) BETWEEN 7100 AND 7300 FROM "
           "lockstep_status_products");
    assert_true(do_figures(world, 3600000, &figures));
    assert_int_equal(figures.rows, 3);
    assert_int_equal(figures.never_synced, 1);
    assert_int_equal(figures.not_recent, 1);
    assert_int_equal(figures.synced, 2);
    assert_int_equal(figures.pending, 1);
    assert_true(figures.lag_max_s >= 7199 && figures.lag_max_s < 7300);
    assert_true(figures.lag_avg_s >= 3599 && figures.lag_avg_s < 3700);
    free(uid);
    world_free(world);
}

static void status__counts_and_times__are_those_of_the_tables(void **state)
{
    struct world *world = world_new(kind);
    struct ls_sync_status status;
    char *uid;

    assert_true(do_status(world, &status));
    assert_int_equal(status.state, LS_SYNC_ACTIVE);
    assert_true(status.started_at > 0);
    assert_int_equal(status.last_synced_at, 0);
    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1'), (8, 'A-2')");
    uid = link_row(world, "7", "99", 5);
    assert_true(do_status(world, &status));
    assert_int_equal(status.linked, 1);
    assert_int_equal(status.dirty, 1);
    assert_true(status.oldest_dirty_at > 0);
    assert_true(status.last_synced_at > 0 && status.last_verified_at > 0);
    free(uid);
    world_free(world);
}

/* ---- the store itself ------------------------------------------------------------------------ */

static void on_change(void *arg)
{
    *(bool *)arg = true;
}

static void watch__change_by_another_connection__is_noticed_soon(void **state)
{
    struct world *world = world_new(kind);
    bool changed = false;
    uint64_t began;
    uv_timer_t alive;

    uv_timer_init(&world->loop, &alive);
    uv_timer_start(&alive, (uv_timer_cb)(void (*)(void))on_change, 20000, 0);
    alive.data = NULL;
    ls_store_watch(world->store, on_change, &changed);
    for (int i = 0; i < 5; i++) {
        while (uv_run(&world->loop, UV_RUN_NOWAIT) && changed)
            changed = false;
        changed = false;
        sql(world, "INSERT INTO products (sku) VALUES ('S%d')", i);
        began = uv_hrtime();
        while (!changed)
            uv_run(&world->loop, UV_RUN_ONCE);
        assert_true((uv_hrtime() - began) / 1000000 <
                    900); /* by event, not by the look each second; usually 10 ms */
    }
    ls_store_watch(world->store, NULL, NULL);
    uv_close((uv_handle_t *)&alive, NULL);
    uv_run(&world->loop, UV_RUN_NOWAIT);
    world_free(world);
}

static void close__with_operations_waiting__each_is_answered_once(void **state)
{
    struct world *world = world_new(kind);
    struct {
        struct world world;
    } others[50] = {0};

    for (size_t i = 0; i < LS_COUNT(others); i++)
        ls_store_note_error(world->store, world->mapping, "l-1", false, "x", NULL, NULL);
    world->done = false;
    world_close(world);
    world_free(world);
}

static void open__without_install__names_the_command(void **state)
{
    struct world *world = world_bare(kind);
    struct ls_store_options options = {.url = world->url, .loop = &world->loop};
    struct ls_err err = LS_ERR_INIT;

    assert_null(ls_store_open(&options, &err));
    assert_int_equal(err.code, LS_E_CONFIG);
    assert_non_null(strstr(err.hint, "lockstep store install"));
    options.url = "sqlite:/nowhere/shop.db";
    assert_null(ls_store_open(&options, &err));
    assert_int_equal(err.code, LS_E_CONFIG);
    options.url = "mysql://x";
    assert_null(ls_store_open(&options, &err));
    assert_int_equal(err.code, LS_E_CONFIG);
    world_free(world);
}

static void install__twice__does_nothing_the_second_time(void **state)
{
    struct world *world = world_bare(kind);
    const struct ls_mapping *mappings[] = {world->mapping};
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf first = {0}, printed = {0}, second = {0};

    assert_int_equal(ls_store_install(world->url, mappings, 1, true, &printed, &err), 0);
    assert_int_equal(
        sql_int(world, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'lockstep%%'"), 0);
    assert_int_equal(ls_store_check(world->url, mappings, 1, &err), -1);
    assert_int_equal(ls_store_install(world->url, mappings, 1, false, &first, &err), 0);
    assert_int_equal(ls_store_install(world->url, mappings, 1, false, &second, &err), 0);
    assert_int_equal(second.length, 0);
    assert_non_null(strstr(printed.data, "CREATE TRIGGER \"lockstep_products_insert\""));
    assert_non_null(strstr(first.data, "CREATE VIEW \"lockstep_status_products\""));
    assert_int_equal(ls_store_check(world->url, mappings, 1, &err), 0);
    ls_buf_fini(&printed);
    ls_buf_fini(&first);
    ls_buf_fini(&second);
    world_free(world);
}

static void install__changed_mapping__replaces_triggers_and_view_and_keeps_links(void **state)
{
    const struct ls_field fields[] = {{.name = (char *)(uintptr_t) "sku", .type = LS_TYPE_TEXT},
                                      {.name = (char *)(uintptr_t) "note", .type = LS_TYPE_TEXT}};
    struct world *world = world_new(kind);
    struct ls_mapping *changed = mapping_new("products", "shop-eu", "products", "id", 2, fields, 0);
    const struct ls_mapping *mappings[] = {changed};
    struct ls_err err = LS_ERR_INIT;
    char *uid;

    sql(world, "INSERT INTO products (id, sku) VALUES (7, 'A-1')");
    uid = link_row(world, "7", "99", 5);
    assert_int_equal(ls_store_check(world->url, mappings, 1, &err), -1);
    assert_non_null(strstr(err.hint, "store install"));
    assert_int_equal(ls_store_install(world->url, mappings, 1, false, NULL, &err), 0);
    sql(world, "UPDATE products SET name = 'unmapped now'");
    assert_int_equal(marks_of(world), 0);
    sql(world, "UPDATE products SET note = 'mapped now'");
    assert_int_equal(marks_of(world), 1);
    assert_int_equal(sql_int(world, "SELECT count(*) FROM lockstep_link"), 1);
    ls_mapping_free(changed);
    free(uid);
    world_free(world);
}

static void uninstall__removes_exactly_what_was_made(void **state)
{
    struct world *world = world_bare(kind);
    const struct ls_mapping *mappings[] = {world->mapping};
    struct ls_err err = LS_ERR_INIT;
    char *before = sql_get(world, "SELECT group_concat(sql, ';') FROM sqlite_schema"), *after;

    assert_int_equal(ls_store_install(world->url, mappings, 1, false, NULL, &err), 0);
    assert_int_equal(ls_store_uninstall(world->url, mappings, 1, false, NULL, &err), 0);
    assert_int_equal(
        sql_int(world, "SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view')"), 0);
    sql_is(world, "1", "SELECT count(*) FROM lockstep_schema");
    assert_int_equal(ls_store_install(world->url, mappings, 1, false, NULL, &err), 0);
    kind->close(world->app);
    assert_int_equal(ls_store_uninstall(world->url, mappings, 1, true, NULL, &err), 0);
    world->app = kind->open(world->dir);
    after = sql_get(world, "SELECT group_concat(sql, ';') FROM sqlite_schema");
    assert_string_equal(before, after);
    sql_is(world, "delete", "PRAGMA journal_mode");
    free(before);
    free(after);
    world_free(world);
}

static void check_fails(struct world *world, struct ls_mapping *mapping, const char *says)
{
    const struct ls_mapping *mappings[] = {mapping};
    struct ls_err err = LS_ERR_INIT;

    assert_int_equal(ls_store_check(world->url, mappings, 1, &err), -1);
    assert_int_equal(err.code, LS_E_CONFIG);
    if (!strstr(err.text, says))
        fail_msg("'%s' lacks '%s'", err.text, says);
    assert_true(*err.hint);
    assert_int_equal(ls_store_install(world->url, mappings, 1, false, NULL, &err), -1);
    ls_mapping_free(mapping);
}

static void check__each_gap__is_named_with_its_remedy(void **state)
{
    const struct ls_field name[] = {{.name = (char *)(uintptr_t) "name", .type = LS_TYPE_TEXT}};
    const struct ls_field colour[] = {{.name = (char *)(uintptr_t) "colour", .type = LS_TYPE_TEXT}};
    struct world *world = world_bare(kind);

    sql(world, "CREATE TABLE pairs (a INTEGER, b INTEGER, name TEXT, PRIMARY KEY (a, b)); CREATE "
               "TABLE loose (id INTEGER, name TEXT); "
               "CREATE TABLE blobs (id BLOB PRIMARY KEY, name TEXT); CREATE VIEW seen AS SELECT * "
               "FROM products");
    check_fails(world, mapping_new("s", "a", "absent", "id", 1, name, -1), "no table 'absent'");
    check_fails(world, mapping_new("s", "a", "seen", "id", 1, name, -1), "only a view");
    check_fails(world, mapping_new("s", "a", "products", "id", 1, colour, -1),
                "no column 'colour'");
    check_fails(world, mapping_new("s", "a", "pairs", "a", 1, name, -1), "only a part of it");
    check_fails(world, mapping_new("s", "a", "loose", "id", 1, name, -1), "not the primary key");
    check_fails(world, mapping_new("s", "a", "blobs", "id", 1, name, -1),
                "neither INTEGER nor text");
    world_free(world);
}

static void text_keys_and_odd_names__work_like_any_other(void **state)
{
    const struct ls_field fields[] = {{.name = (char *)(uintptr_t) "sku",
                                       .column = (char *)(uintptr_t) "the \"sku\"",
                                       .type = LS_TYPE_TEXT},
                                      {.name = (char *)(uintptr_t) "name",
                                       .column = (char *)(uintptr_t) "it's; name",
                                       .type = LS_TYPE_TEXT}};
    struct world *world = world_bare(kind);
    const struct ls_mapping *mappings[1];
    struct ls_record values;
    struct ls_commit commit;
    struct ls_snapshot *snapshot;
    char *uid;

    sql(world, "CREATE TABLE \"my \"\"odd'\"\" table\" (\"the key\" TEXT PRIMARY KEY, \"the "
               "\"\"sku\"\"\" TEXT, \"it's; name\" TEXT) "
               "WITHOUT ROWID");
    ls_mapping_free(world->mapping);
    world->mapping = mapping_new("o'dd", "shop-eu", "my \"odd'\" table", "the key", 2, fields, 0);
    mappings[0] = world->mapping;
    if (ls_store_install(world->url, mappings, 1, false, NULL, &world->err) < 0)
        fail_msg("%s", world->err.text);
    world_open(world);
    assert_true(do_state(world, LS_SYNC_ACTIVE));
    sql(world, "INSERT INTO \"my \"\"odd'\"\" table\" VALUES ('k''1', 'A', 'Mug')");
    uid = link_row(world, "k'1", "99", 5);
    assert_string_equal(uid, "l-k%271");
    snapshot = do_begin(world, uid, 100);
    values = record_of(world->mapping, "name", "Cup", NULL);
    commit = (struct ls_commit){
        .fence = 100, .state = LS_LINK_LINKED, .local_old = &snapshot->local, .local_new = &values};
    assert_true(do_commit(world, uid, &commit, NULL));
    sql_is(world, "Cup", "SELECT \"it's; name\" FROM \"my \"\"odd'\"\" table\"");
    ls_snapshot_free(snapshot);
    free(uid);
    /* A new row would need a key that nobody can make. */
    uid = do_resolve(world, NULL, "100");
    snapshot = do_begin(world, uid, 101);
    commit = (struct ls_commit){
        .fence = 101, .remote_id = "100", .state = LS_LINK_LINKED, .local_new = &values};
    assert_false(do_commit(world, uid, &commit, NULL));
    assert_int_equal(world->err.code, LS_E_UNSUPPORTED);
    assert_true(*world->err.hint);
    ls_snapshot_free(snapshot);
    ls_record_fini(&values);
    free(uid);
    world_free(world);
}

static void lock__second_pool__is_refused_with_the_pid(void **state)
{
    struct world *world = world_bare(kind);
    struct ls_err err = LS_ERR_INIT;
    int first = ls_store_lock(world->url, &err);
    char pid[16];

    assert_true(first >= 0);
    assert_int_equal(ls_store_lock(world->url, &err), -1);
    assert_int_equal(err.code, LS_E_EXISTS);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    close(first);
    first = ls_store_lock(world->url, &err);
    assert_true(first >= 0);
    close(first);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trigger__insert_update_delete__each_leaves_a_mark),
        cmocka_unit_test(trigger__update_that_changes_no_mapped_value__leaves_none),
        cmocka_unit_test(trigger__change_of_the_key__marks_both),
        cmocka_unit_test(trigger__replace__marks_the_new_row_and_the_one_it_removed),
        cmocka_unit_test(trigger__upsert_that_changes_nothing__marks_nothing),
        cmocka_unit_test(trigger__inside_or_ignore_and_or_replace__still_counts_up),
        cmocka_unit_test(trigger__letter_case_in_a_column_that_ignores_it__is_a_change),
        cmocka_unit_test(trigger__rolled_back_change__leaves_no_mark),
        cmocka_unit_test(trigger__two_accounts_on_one_table__each_has_its_mark),
        cmocka_unit_test(take__500_changes__all_come_once_and_in_order),
        cmocka_unit_test(take__changed_again_after_it_was_pushed__comes_again),
        cmocka_unit_test(take__pushed_long_ago_and_still_there__comes_again_unless_dead),
        cmocka_unit_test(take__sync_that_only_observes__hands_over_nothing),
        cmocka_unit_test(take__both_sides_of_a_record__are_one_mark),
        cmocka_unit_test(seen__equal_to_the_base__is_not_marked),
        cmocka_unit_test(seen__equal_and_unlinked__is_linked_when_the_match_is_unique),
        cmocka_unit_test(mark_local__keyset__visits_every_row_once),
        cmocka_unit_test(resolve__same_record_twice__is_one_uid),
        cmocka_unit_test(begin__row__is_read_in_canonical_form),
        cmocka_unit_test(begin__unreadable_value__is_told_and_the_rest_is_there),
        cmocka_unit_test(begin__lower_fence__is_fenced),
        cmocka_unit_test(begin__fence_zero__looks_without_taking),
        cmocka_unit_test(commit__stale_fence__changes_nothing),
        cmocka_unit_test(commit__mark_that_moved_on__stays),
        cmocka_unit_test(commit__local_write__happens_only_on_the_row_that_was_read),
        cmocka_unit_test(commit__application_trigger_alters_what_we_wrote__its_mark_stays),
        cmocka_unit_test(commit__absent_row__is_inserted_and_linked),
        cmocka_unit_test(commit__id_of_a_deleted_row__is_not_given_to_another_record),
        cmocka_unit_test(
            commit__row_that_the_database_refuses__is_invalid_and_nothing_is_committed),
        cmocka_unit_test(commit__application_rolls_everything_back__only_this_commit_fails),
        cmocka_unit_test(commit__remote_id_of_an_unlinked_record__absorbs_it),
        cmocka_unit_test(
            commit__remote_id_of_an_unlinked_record__its_mark_comes_again_under_the_new_name),
        cmocka_unit_test(commit__remote_id_of_a_linked_record__is_a_duplicate),
        cmocka_unit_test(commit__delete__removes_the_row_and_leaves_no_mark),
        cmocka_unit_test(commit__conflicts__open_stay_and_close),
        cmocka_unit_test(commit__foreign_writer_holds_the_database__is_a_store_failure),
        cmocka_unit_test(op__sent_then_ended__is_open_in_between),
        cmocka_unit_test(op__of_a_lost_worker__stays_in_the_echo_ledger_after_its_successor),
        cmocka_unit_test(audit__writes_in_both_directions__feed_the_loop_breaker),
        cmocka_unit_test(scan__links_and_unlinked_rows__each_once_in_pages),
        cmocka_unit_test(find__match_value__finds_rows_exactly),
        cmocka_unit_test(view__founding_document_sql__runs_with_only_the_table_name_changed),
        cmocka_unit_test(status__counts_and_times__are_those_of_the_tables),
        cmocka_unit_test(watch__change_by_another_connection__is_noticed_soon),
        cmocka_unit_test(close__with_operations_waiting__each_is_answered_once),
        cmocka_unit_test(open__without_install__names_the_command),
        cmocka_unit_test(install__twice__does_nothing_the_second_time),
        cmocka_unit_test(install__changed_mapping__replaces_triggers_and_view_and_keeps_links),
        cmocka_unit_test(uninstall__removes_exactly_what_was_made),
        cmocka_unit_test(check__each_gap__is_named_with_its_remedy),
        cmocka_unit_test(text_keys_and_odd_names__work_like_any_other),
        cmocka_unit_test(lock__second_pool__is_refused_with_the_pid),
    };
    int failed = 0;

    for (size_t i = 0; i < store_kind_count; i++) {
        kind = &store_kinds[i];
        failed |= cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
    }
    return failed;
}
