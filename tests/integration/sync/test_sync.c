/* The engine on a real SQLite store and a shop in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/sync/gather.h"
#include "tests/integration/sync/world.h"
#include "tests/support/temp.h"

static struct world *open_world(const char *policy)
{
    struct world *world = LS_NEW(struct world);

    world_open(world, policy);
    world_start(world);
    return world;
}

static void close_world(struct world *world)
{
    world_close(world);
    free(world);
}

static void insert(struct world *world, int id, const char *sku, const char *name,
                   const char *price, int stock)
{
    world_sql(world, "INSERT INTO products VALUES (%d, '%s', '%s', %s, %d, '')", id, sku, name,
              price, stock);
}

/* A product that both sides have, linked. */
static struct shop_object *linked(struct world *world, int id, const char *sku)
{
    struct shop_object *object = world_sell(world, sku, "shoe", "12.5", "7");

    insert(world, id, sku, "shoe", "12.5", 7);
    world_drain(world, 5);
    return object;
}

static const char *local(struct world *world, int id, const char *column)
{
    return world_get(world, "SELECT %s FROM products WHERE id = %d", column, id);
}

static void first_sync__links_creates_and_fetches__and_then_rests(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *created;
    int updates;

    world_sell(world, "A", "shoe", "12.50", "7");
    world_sell(world, "B", "boot", "20", "99"); /* stock is the shop's, price is ours */
    world_sell(world, "C", "only there", "1", "1");
    insert(world, 1, "A", "shoe", "12.5", 7);
    insert(world, 2, "B", "boot", "21", 3);
    insert(world, 3, "D", "only here", "5", 4);
    assert_int_equal(world_backfill(world), 0);
    world_drain(world, 6);
    assert_int_equal(world_count(world, "products"), 4);
    assert_string_equal(local(world, 2, "inventory"), "99");
    assert_string_equal(shop_find(&world->shop, "B")->fields[PRICE], "21");
    assert_string_equal(world_get(world, "SELECT name FROM products WHERE sku = 'C'"),
                        "only there");
    created = shop_find(&world->shop, "D");
    assert_non_null(created);
    assert_string_equal(created->fields[NAME], "only here");
    assert_int_equal(world->shop.creates, 1);
    assert_int_equal(world_count(world, "lockstep_dirty"), 0);
    updates = world->shop.updates;
    assert_int_equal(world_feed(world, LS_FEED_CHANGES, 0), 0);
    assert_int_equal(world_drain(world, 3), 0); /* our own writes coming back are no changes */
    assert_int_equal(world->shop.updates, updates);
    close_world(world);
}

static void observing__links_what_is_equal_and_writes_nothing(void **state)
{
    struct world *world = LS_NEW(struct world);

    world_open(world, "fields");
    world_sell(world, "A", "shoe", "12.5", "7");
    world_sell(world, "B", "boot", "20", "9");
    insert(world, 1, "A", "shoe", "12.5", 7);
    insert(world, 2, "B", "other name", "20", 9);
    insert(world, 3, "C", "new", "20", 9);
    assert_int_equal(world_feed(world, LS_FEED_CHANGES, 0), 0);
    assert_int_equal(world_backfill(world), 0);
    assert_int_equal(world_drain(world, 3), 0);
    assert_int_equal(world_reconcile(world, "l-1", false), 0);
    assert_int_equal(world->result.outcome, LS_OUTCOME_NOOP);
    assert_int_equal(world->shop.creates + world->shop.updates, 0);
    assert_int_equal(world_count(world, "products"), 3);
    assert_string_equal(local(world, 2, "name"), "other name");
    world_start(world);
    world_backfill(world);
    world_drain(world, 5);
    assert_non_null(shop_find(&world->shop, "C"));
    close_world(world);
}

static void edits_of_different_fields__both_survive(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");

    world_sql(world, "UPDATE products SET price = 13, description = 'ours' WHERE id = 1");
    shop_edit(&world->shop, object, NAME, "boot", false);
    shop_edit(&world->shop, object, STOCK, "3", true);
    world_drain(world, 5);
    assert_string_equal(object->fields[PRICE], "13");
    assert_string_equal(object->fields[TEXT], "ours");
    assert_string_equal(object->fields[NAME], "boot");
    assert_string_equal(local(world, 1, "name"), "boot");
    assert_string_equal(local(world, 1, "inventory"), "3");
    assert_int_equal(world_count(world, "lockstep_dirty"), 0);
    close_world(world);
}

static void true_conflict__is_listed_and_both_values_stay_until_they_are_equal(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 12345, "A");

    test_log_start();
    world_sql(world, "UPDATE products SET name = 'ours', price = 14 WHERE id = 12345");
    shop_edit(&world->shop, object, NAME, "theirs", false);
    world_drain(world, 5);
    assert_string_equal(local(world, 12345, "name"), "ours");
    assert_string_equal(object->fields[NAME], "theirs");
    assert_string_equal(object->fields[PRICE], "14"); /* a conflict blocks no other field */
    assert_int_equal(world_count(world, "lockstep_conflict WHERE closed_at IS NULL"), 1);
    assert_true(test_log_has("conflict detected: Product 12345 updated in both systems"));
    shop_edit(&world->shop, object, NAME, "ours", false);
    world_reconcile(world, "l-12345", false);
    assert_int_equal(world_count(world, "lockstep_conflict WHERE closed_at IS NULL"), 0);
    test_log_stop();
    close_world(world);
}

static enum shop_trouble lose_first_write(struct shop *shop, bool write)
{
    int *left = shop->arg;

    return write && (*left)-- > 0 ? SHOP_LOST_AFTER : SHOP_WELL;
}

static enum shop_trouble drop_first_write(struct shop *shop, bool write)
{
    int *left = shop->arg;

    return write && (*left)-- > 0 ? SHOP_LOST_BEFORE : SHOP_WELL;
}

static void create_with_a_lost_answer__makes_one_product(void **state)
{
    for (int sku = 0; sku < 2; sku++)
        for (int effect = 0; effect < 2; effect++) {
            struct world *world = open_world("fields");
            int left = 1;
            test_log_start();
            world->shop.arg = &left;
            world->shop.can.match_unique = sku; /* without: by marker and patience */
            world->shop.trouble = effect ? lose_first_write : drop_first_write;
            insert(world, 1, sku ? "A" : "", "shoe", "12.5", 7);
            world_drain(world, 1);
            assert_int_equal(world->failures, 1);
            assert_int_equal(world->last_failure.code, LS_E_LOST);
            for (int i = 0; i < 20 && world_count(world, "lockstep_dirty"); i++)
                world_drain(world, 1);
            assert_int_equal(world->shop.creates, 1);
            assert_int_equal(world->shop.count, 1);
            assert_int_equal(world_count(world, "lockstep_dirty"), 0);
            test_log_stop();
            close_world(world);
        }
}

static void update_with_a_lost_answer__keeps_an_edit_made_since(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");
    int left = 1;

    world->shop.arg = &left;
    world->shop.trouble = lose_first_write;
    world_sql(world, "UPDATE products SET name = 'second' WHERE id = 1");
    world_drain(world, 1);
    assert_string_equal(object->fields[NAME], "second");
    world_sql(world, "UPDATE products SET name = 'third' WHERE id = 1");
    shop_edit(&world->shop, object, TEXT, "theirs", false);
    world_drain(world, 5);
    assert_string_equal(object->fields[NAME], "third");
    assert_string_equal(local(world, 1, "name"), "third");
    assert_string_equal(local(world, 1, "description"), "theirs");
    assert_int_equal(world_count(world, "lockstep_conflict WHERE closed_at IS NULL"), 0);
    close_world(world);
}

static enum shop_trouble delay_first_write(struct shop *shop, bool write)
{
    int *left = shop->arg;

    return write && (*left)-- > 0 ? SHOP_LATE : SHOP_WELL;
}

static void late_write_of_a_lost_request__does_not_undo_a_newer_value(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");
    int left = 1;

    world->shop.arg = &left;
    world->shop.trouble = delay_first_write;
    world_sql(world, "UPDATE products SET name = 'old' WHERE id = 1");
    world_drain(world, 1);
    world_sql(world, "UPDATE products SET name = 'new' WHERE id = 1");
    world_drain(world, 3);
    assert_string_equal(object->fields[NAME], "new");
    shop_flush(&world->shop); /* the first request arrives after all */
    assert_string_equal(object->fields[NAME], "old");
    world_feed(world, LS_FEED_CHANGES, 0);
    world_drain(world, 3);
    assert_string_equal(object->fields[NAME], "new");
    assert_string_equal(local(world, 1, "name"), "new");
    close_world(world);
}

static void invalid_value__parks_the_record_and_says_why(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 67890, "A");

    test_log_start();
    world_sql(world, "UPDATE products SET price = -1, name = 'x' WHERE id = 67890");
    world_drain(world, 3);
    assert_true(test_log_has("Validation failed: Invalid price for product 67890"));
    assert_string_equal(object->fields[PRICE], "12.5");
    assert_string_equal(object->fields[NAME], "shoe"); /* never half-written */
    assert_string_equal(
        world_get(world, "SELECT sync_status FROM lockstep_status_products WHERE id = 67890"),
        "parked");
    world_sql(world, "UPDATE products SET price = 2 WHERE id = 67890");
    world_drain(world, 3);
    assert_string_equal(object->fields[PRICE], "2");
    assert_string_equal(object->fields[NAME], "x");
    test_log_stop();
    close_world(world);
}

static void refused_content__is_parked_and_not_sent_again_by_itself(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");
    int requests;

    world->shop.refuse = "A";
    world_sql(world, "UPDATE products SET name = 'x' WHERE id = 1");
    world_drain(world, 1);
    assert_int_equal(world->last_failure.code, LS_E_PERMANENT);
    requests = world->shop.requests;
    assert_int_equal(world_drain(world, 3), 0);
    assert_int_equal(world->shop.requests, requests);
    world->shop.refuse = NULL; /* mended in the shop: `dead retry` runs it again */
    assert_int_equal(world_reconcile(world, "l-1", false), 0);
    assert_string_equal(object->fields[NAME], "x");
    close_world(world);
}

static void accepted_but_ignored_field__is_a_mapping_error_and_the_edit_stays(void **state)
{
    struct world *world = open_world("fields");

    linked(world, 1, "A");
    test_log_start();
    world->shop.ignore_field = NAME;
    world_sql(world, "UPDATE products SET name = 'x' WHERE id = 1");
    world_drain(world, 3);
    assert_string_equal(local(world, 1, "name"), "x");
    assert_non_null(
        strstr(world_get(world, "SELECT last_error FROM lockstep_status_products WHERE id = 1"),
               "ignores 'name'"));
    test_log_stop();
    close_world(world);
}

static void value_that_the_shop_rewrites__is_taken_over_where_nobody_owns_it(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");
    int updates;

    world->shop.rounding_field = NAME;
    world_sql(world, "UPDATE products SET name = 'sneaker' WHERE id = 1");
    world_drain(world, 3);
    assert_string_equal(object->fields[NAME], "snea");
    assert_string_equal(local(world, 1, "name"), "snea");
    updates = world->shop.updates;
    world_reconcile(world, "l-1", false);
    assert_int_equal(world->shop.updates, updates);
    close_world(world);
}

static void null_text_and_empty_text__are_no_difference_to_a_shop(void **state)
{
    struct world *world = open_world("fields");

    world_sell(world, "A", "shoe", "12.5", "7");
    world_sql(world, "INSERT INTO products VALUES (1, 'A', 'shoe', 12.5, 7, NULL)");
    world_backfill(world);
    world_drain(world, 3);
    assert_int_equal(world->shop.updates, 0);
    assert_string_equal(world_get(world, "SELECT description IS NULL FROM products"), "1");
    assert_int_equal(world_count(world, "lockstep_conflict WHERE closed_at IS NULL"), 0);
    world_feed(world, LS_FEED_ALL, 0);
    assert_int_equal(world_drain(world, 3), 0);
    close_world(world);
}

static void deleted_row__deletes_nothing_in_the_shop(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");

    test_log_start();
    world_sql(world, "DELETE FROM products WHERE id = 1");
    world_drain(world, 3);
    assert_false(object->gone);
    assert_int_equal(world_count(world, "products"), 0);
    assert_int_equal(world_count(world, "lockstep_dirty"), 0);
    world_reconcile(world, "l-1", false);
    assert_int_equal(world->result.row, 13);
    assert_non_null(strstr(world->why, "delete held"));
    test_log_stop();
    close_world(world);
}

static void record_gone_in_the_shop__keeps_its_row(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");

    test_log_start();
    object->gone = true;
    assert_int_equal(world_reconcile(world, "l-1", false), 0);
    assert_int_equal(world->result.row, 14);
    assert_int_equal(world_count(world, "products"), 1);
    world_sql(world, "UPDATE products SET name = 'edited' WHERE id = 1"); /* edit wins: restored */
    world_drain(world, 4);
    assert_non_null(shop_find(&world->shop, "A"));
    assert_string_equal(shop_find(&world->shop, "A")->fields[NAME], "edited");
    test_log_stop();
    close_world(world);
}

static void record_in_the_trash__is_held_and_never_made_anew(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");

    test_log_start();
    world->shop.now_ms += 3600000;
    world_feed(world, LS_FEED_CHANGES, 0);
    world->shop.now_ms += 1000;
    object->trashed = true;
    shop_edit(&world->shop, object, NAME, "shoe", false);
    world->shop.now_ms += 1000;
    assert_int_equal(world_feed(world, LS_FEED_CHANGES, 0), 0);
    world_drain(world, 4);
    assert_true(test_log_has("delete held"));
    assert_int_equal(world_count(world, "products"), 1);
    world_sql(world, "UPDATE products SET name = 'edited' WHERE id = 1");
    world_drain(world, 4);
    assert_int_equal(world->shop.creates, 0);
    assert_true(test_log_has("trash"));
    assert_int_equal(world_count(world, "lockstep_dirty"), 0);
    object->trashed = false; /* restored there */
    assert_int_equal(world_reconcile(world, "l-1", false), 0);
    assert_string_equal(object->fields[NAME], "edited");
    test_log_stop();
    close_world(world);
}

static void two_rows_with_one_sku__are_parked_as_duplicates(void **state)
{
    struct world *world = open_world("fields");

    test_log_start();
    world_sell(world, "A", "shoe", "12.5", "7");
    insert(world, 1, "A", "shoe", "12.5", 7);
    insert(world, 2, "A", "shoe", "12.5", 7);
    world_backfill(world);
    world_drain(world, 4);
    assert_int_equal(world->shop.creates, 0);
    assert_int_equal(world->shop.tangled, 0);
    assert_int_equal(world_count(world, "lockstep_dirty"), 0);
    assert_true(test_log_has("duplicate"));
    test_log_stop();
    close_world(world);
}

static struct world *edited_world;

static enum shop_trouble edit_during_write(struct shop *shop, bool write)
{
    int *left = shop->arg;

    if (write && (*left)-- > 0)
        world_sql(edited_world, "UPDATE products SET name = 'newer', price = 99 WHERE id = 1");
    return SHOP_WELL;
}

static void edit_while_the_write_is_out__is_not_lost(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");
    int left = 1;

    edited_world = world;
    world->shop.arg = &left;
    world->shop.trouble = edit_during_write;
    world_sql(world, "UPDATE products SET name = 'new' WHERE id = 1");
    world_drain(world, 4);
    assert_string_equal(object->fields[NAME], "newer");
    assert_string_equal(object->fields[PRICE], "99");
    assert_string_equal(local(world, 1, "name"), "newer");
    assert_int_equal(world_count(world, "lockstep_dirty"), 0);
    close_world(world);
}

static void lost_claim__writes_nothing(void **state)
{
    struct world *world = open_world("fields");
    struct shop_object *object = linked(world, 1, "A");

    world->may_not_write = true;
    world_sql(world, "UPDATE products SET name = 'new' WHERE id = 1");
    world_drain(world, 1);
    assert_int_equal(world->last_failure.code, LS_E_CANCELLED);
    assert_string_equal(object->fields[NAME], "shoe");
    world->may_not_write = false;
    world_drain(world, 2);
    assert_string_equal(object->fields[NAME], "new");
    world->fence -= 500; /* a run with an older claim */
    assert_int_equal(world_reconcile(world, "l-1", false), -1);
    assert_int_equal(world->err.code, LS_E_FENCED);
    close_world(world);
}

static void many_records__share_requests(void **state)
{
    struct world *world = open_world("fields");

    for (int i = 1; i <= 300; i++) {
        char sku[16];
        snprintf(sku, sizeof sku, "S%d", i);
        world_sell(world, sku, "shoe", "12.5", "7");
        insert(world, i, sku, "shoe", "12.5", 7);
    }
    world_backfill(world);
    world_drain(world, 3);
    assert_int_equal(world->shop.updates, 0);
    world->shop.requests = 0;
    world_sql(world, "UPDATE products SET price = price + 1");
    world_drain(world, 3);
    assert_int_equal(world->shop.updates, 300);
    print_message("300 updates in %d requests (%d batches, %d single)\n", world->shop.requests,
                  world->shop.batches, world->shop.writes);
    assert_true(world->shop.requests < 100);
    close_world(world);
}

static void refused_batch__spares_the_neighbours(void **state)
{
    struct world *world = open_world("fields");

    for (int i = 1; i <= 15; i++) {
        char sku[16];
        snprintf(sku, sizeof sku, "S%d", i);
        linked(world, i, sku);
    }
    world->shop.refuse = "S7";
    world->shop.refuse_whole = true;
    world_sql(world, "UPDATE products SET name = 'new'");
    world_drain(world, 1);
    assert_int_equal(world->failures, 1);
    assert_int_equal(world->last_failure.code, LS_E_PERMANENT);
    for (size_t i = 0; i < world->shop.count; i++)
        assert_string_equal(world->shop.objects[i].fields[NAME], i == 6 ? "shoe" : "new");
    close_world(world);
}

/* ---- policies ---- */

static void edit_name_on_both_sides(struct world *world, struct shop_object *object)
{
    world_sql(world, "UPDATE products SET name = 'ours' WHERE id = 1");
    shop_edit(&world->shop, object, NAME, "theirs", false);
    world_drain(world, 4);
}

static void policies__decide_what_both_sides_changed(void **state)
{
    static const struct {
        const char *policy, *here, *there;
        int conflicts;
    } cases[] = {
        {"fields", "ours", "theirs", 1},    {"manual", "ours", "theirs", 1},
        {"local", "ours", "ours", 0},       {"remote", "theirs", "theirs", 0},
        {"version", "theirs", "theirs", 1},
    };

    test_log_start();
    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        struct world *world = open_world(cases[i].policy);
        struct shop_object *object = linked(world, 1, "A");
        edit_name_on_both_sides(world, object);
        assert_string_equal(local(world, 1, "name"), cases[i].here);
        assert_string_equal(object->fields[NAME], cases[i].there);
        assert_int_equal(world_count(world, "lockstep_conflict WHERE closed_at IS NULL"),
                         cases[i].conflicts);
        assert_int_equal(world_count(world, "lockstep_dirty"), 0);
        close_world(world);
    }
    test_log_stop();
}

static void last_write_wins__only_where_the_clocks_are_beyond_doubt(void **state)
{
    struct world *world = open_world("last_write_wins");
    struct shop_object *object;

    test_log_start();
    world->shop.now_ms = ls_clock_wall_ms() - 60000;
    object = linked(world, 1, "A");
    world_sql(world, "UPDATE products SET name = 'older' WHERE id = 1");
    world->shop.now_ms = ls_clock_wall_ms() + 10000; /* the shop's edit is later by its clock, */
    shop_edit(&world->shop, object, NAME, "newer", false);
    world->shop.now_ms = ls_clock_wall_ms(); /* which goes right */
    world_drain(world, 4);
    assert_string_equal(local(world, 1, "name"), "newer");
    world_sql(world, "UPDATE products SET name = 'same moment' WHERE id = 1");
    world->shop.now_ms = ls_clock_wall_ms() + 1000;
    shop_edit(&world->shop, object, NAME, "the same", false);
    world_drain(world, 4);
    assert_string_equal(local(world, 1, "name"), "same moment");
    assert_string_equal(object->fields[NAME], "the same");
    assert_int_equal(world_count(world, "lockstep_conflict WHERE closed_at IS NULL"), 1);
    test_log_stop();
    close_world(world);
}

/* ---- deltas ---- */

static struct world *full_world(int count)
{
    struct world *world = open_world("fields");

    world_sql(world, "BEGIN");
    for (int i = 1; i <= count; i++) {
        char sku[16];
        snprintf(sku, sizeof sku, "S%d", i);
        world_sell(world, sku, "shoe", "12.5", "7");
        insert(world, i, sku, "shoe", "12.5", 7);
    }
    world_sql(world, "COMMIT");
    world->shop.now_ms += 3600000;
    world_backfill(world);
    world_drain(world, 10);
    assert_int_equal(world_count(world, "lockstep_link WHERE state = 'linked'"), count);
    return world;
}

static void delta__120_200_and_500_changes__none_is_lost(void **state)
{
    static const int counts[] = {120, 200, 500};
    struct world *world = full_world(600);

    test_log_start();
    for (size_t n = 0; n < LS_COUNT(counts); n++) {
        char name[32];
        snprintf(name, sizeof name, "changed %zu", n);
        world->shop.now_ms += 300000;
        for (int i = 0; i < counts[n]; i++) {
            world->shop.now_ms += 100;
            shop_edit(&world->shop, &world->shop.objects[(i * 7) % 600], NAME, name, false);
        }
        world->shop.now_ms += 5000;
        assert_int_equal(world_feed(world, LS_FEED_CHANGES, 0), 0);
        world_drain(world, 10);
        assert_int_equal(world_count(world, "products WHERE name = '%s'", name), counts[n]);
    }
    test_log_stop();
    close_world(world);
}

static void delta__more_than_a_batch_under_one_stamp__none_is_lost(void **state)
{
    struct world *world = full_world(400);

    world->shop.now_ms += 300000;
    for (int i = 0; i < 350; i++)
        shop_edit(&world->shop, &world->shop.objects[i], NAME, "at once", false);
    assert_int_equal(world_feed(world, LS_FEED_CHANGES, 0), 0);
    shop_edit(&world->shop, &world->shop.objects[390], NAME, "at once",
              false); /* same second, after the read */
    world->shop.now_ms += 300000;
    assert_int_equal(world_feed(world, LS_FEED_CHANGES, 0), 0);
    world_drain(world, 10);
    assert_int_equal(world_count(world, "products WHERE name = 'at once'"), 351);
    close_world(world);
}

static void delta__restarted_after_each_page__loses_nothing(void **state)
{
    struct world *world = full_world(500);
    int pages = 0;

    world->shop.now_ms += 300000;
    for (int i = 0; i < 500; i++)
        shop_edit(&world->shop, &world->shop.objects[i], NAME, "changed", false);
    world->shop.now_ms += 5000;
    for (int lists = 0; lists < 12 && world_count(world, "lockstep_dirty") < 500; lists++, pages++)
        world_feed(world, LS_FEED_CHANGES, 1);
    assert_in_range(pages, 4, 6);
    world_feed(world, LS_FEED_CHANGES, 0);
    world_drain(world, 10);
    assert_int_equal(world_count(world, "products WHERE name = 'changed'"), 500);
    close_world(world);
}

static void delta__changes_during_the_read__belong_to_the_next(void **state)
{
    struct world *world = full_world(300);

    world->shop.now_ms += 300000;
    for (int i = 0; i < 300; i++)
        shop_edit(&world->shop, &world->shop.objects[i], NAME, "first", false);
    world->shop.now_ms += 5000;
    world_feed(world, LS_FEED_CHANGES, 1); /* one page is read, */
    world->shop.now_ms += 60000;
    for (int i = 0; i < 300; i += 2)
        shop_edit(&world->shop, &world->shop.objects[i], NAME, "second", false);
    world_feed(world, LS_FEED_CHANGES, 0); /* the rest of the window, */
    world->shop.now_ms += 60000;
    world_feed(world, LS_FEED_CHANGES, 0); /* the next */
    world_drain(world, 10);
    assert_int_equal(world_count(world, "products WHERE name = 'second'"), 150);
    assert_int_equal(world_count(world, "products WHERE name = 'first'"), 150);
    close_world(world);
}

static void scan__finds_stock_that_moves_no_stamp(void **state)
{
    static const char *const blind[] = {"stock_quantity", NULL};
    struct world *world = full_world(250);

    world->shop.can.blind = blind;
    for (int i = 0; i < 250; i += 5)
        shop_edit(&world->shop, &world->shop.objects[i], STOCK, "42", true);
    world->shop.now_ms += 3600000;
    world_feed(world, LS_FEED_CHANGES, 0);
    world_drain(world, 5);
    assert_int_equal(world_count(world, "products WHERE inventory = 42"), 0);
    world_feed(world, LS_FEED_BLIND, 1);
    world_feed(world, LS_FEED_BLIND, 0);
    world_drain(world, 5);
    assert_int_equal(world_count(world, "products WHERE inventory = 42"), 50);
    assert_int_equal(world->shop.updates, 0);
    close_world(world);
}

/* ---- kills at every step ---- */

static void never(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err)
{
    *(bool *)arg = true;
}

/* Run one reconcile for so many turns of the loop, then take the process away from it. */
static bool kill_after(struct world *world, const char *uid, int turns)
{
    bool ended = false;

    ls_reconcile_begin(
        &(struct ls_reconcile_request){.sync = world->sync, .uid = uid, .fence = ++world->fence},
        never, &ended);
    for (int i = 0; i < turns && !ended; i++)
        uv_run(&world->loop, UV_RUN_ONCE);
    world_reopen(world);
    return ended;
}

static void killed_at_any_step__a_create_is_made_once(void **state)
{
    bool ended = false;

    for (int turns = 0; turns < 60 && !ended; turns++) {
        struct world *world = open_world("fields");
        insert(world, 1, "A", "shoe", "12.5", 7);
        ended = kill_after(world, "l-1", turns);
        world_drain(world, 5);
        assert_int_equal(world->shop.creates, 1);
        assert_int_equal(world->shop.count, 1);
        assert_int_equal(world_count(world, "lockstep_dirty"), 0);
        close_world(world);
    }
    assert_true(ended);
}

static void killed_at_any_step__edits_of_both_sides_arrive(void **state)
{
    bool ended = false;

    for (int turns = 0; turns < 60 && !ended; turns++) {
        struct world *world = open_world("fields");
        struct shop_object *object = linked(world, 1, "A");
        world_sql(world, "UPDATE products SET description = 'ours' WHERE id = 1");
        shop_edit(&world->shop, object, NAME, "theirs", false);
        ended = kill_after(world, "l-1", turns);
        world_sql(world, "UPDATE products SET price = 77 WHERE id = 1");
        world_drain(world, 5);
        assert_string_equal(object->fields[TEXT], "ours");
        assert_string_equal(object->fields[NAME], "theirs");
        assert_string_equal(object->fields[PRICE], "77");
        assert_string_equal(local(world, 1, "name"), "theirs");
        assert_int_equal(world_count(world, "lockstep_conflict WHERE closed_at IS NULL"), 0);
        close_world(world);
    }
    assert_true(ended);
}

/* ---- verify ---- */

struct found {
    struct world *world;
    struct ls_verify_report report;
    int exit;
    int rows[8];
    size_t count;
};

static void on_verified(void *arg, const struct ls_verify_report *report, const struct ls_err *err)
{
    struct found *found = arg;

    assert_null(err);
    found->report = *report;
    found->exit = ls_verify_exit(report, 0.95);
    found->count = report->count;
    for (size_t i = 0; i < report->count && i < 8; i++)
        found->rows[i] = report->differences[i].row;
    found->world->over = true;
}

static struct found verify(struct world *world)
{
    struct found found = {.world = world};

    ls_verify_begin(&(struct ls_verify_request){.sync = world->sync}, on_verified, &found);
    world_wait(world);
    return found;
}

static void verify__names_what_differs_and_nothing_else(void **state)
{
    struct world *world = full_world(150);
    struct found found = verify(world);

    test_log_start();
    assert_int_equal(found.exit, 0);
    assert_int_equal(found.report.match, 150);
    assert_int_equal(found.report.linked, 150);
    shop_edit(&world->shop, &world->shop.objects[3], NAME, "unannounced", true);
    found = verify(world);
    assert_int_equal(found.exit, 2);
    assert_int_equal(found.report.fields, 1);
    assert_int_equal(found.rows[0], 8);
    world->shop.objects[4].gone = true;
    world_sell(world, "NEW", "boot", "1", "1");
    found = verify(world);
    assert_int_equal(found.report.missing_remote, 1);
    assert_int_equal(found.report.missing_local, 1);
    assert_int_equal(found.report.held, 1);
    assert_int_equal(found.exit, 18);
    assert_int_equal(world_count(world, "products"), 150);
    world->shop.objects[4].gone = false;
    world_reconcile(world, "l-4", false);
    world_backfill(world);
    world_drain(world, 5);
    found = verify(world);
    assert_int_equal(found.exit, 0);
    assert_int_equal(found.report.match, 151);
    test_log_stop();
    close_world(world);
}

static void verify__of_a_sync_that_only_observes__is_its_plan(void **state)
{
    struct world *world = LS_NEW(struct world);
    struct found found;

    world_open(world, "fields");
    world_sell(world, "A", "shoe", "12.5", "7");
    world_sell(world, "B", "boot", "20", "9");
    world_sell(world, "C", "there", "20", "9");
    insert(world, 1, "A", "shoe", "12.5", 7);
    insert(world, 2, "B", "boot", "22", 9);
    insert(world, 3, "D", "here", "20", 9);
    found = verify(world);
    assert_int_equal(found.report.would_link + (int)found.report.excluded, 1);
    assert_int_equal(found.report.linked, 0);
    assert_int_equal(world->shop.creates + world->shop.updates, 0);
    close_world(world);
}

static void one_runner__reconciles_thousands_a_second(void **state)
{
    struct world *world = full_world(2000);
    int64_t began;
    int runs;

    world_sql(world, "UPDATE products SET price = price + 1");
    began = ls_clock_mono_us();
    runs = world_drain(world, 10);
    print_message("%d reconciles with a write each: %.0f/s\n", runs,
                  runs * 1e6 / (double)(ls_clock_mono_us() - began));
    assert_int_equal(world->shop.updates, 2000);
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_sync__links_creates_and_fetches__and_then_rests),
        cmocka_unit_test(observing__links_what_is_equal_and_writes_nothing),
        cmocka_unit_test(edits_of_different_fields__both_survive),
        cmocka_unit_test(true_conflict__is_listed_and_both_values_stay_until_they_are_equal),
        cmocka_unit_test(create_with_a_lost_answer__makes_one_product),
        cmocka_unit_test(update_with_a_lost_answer__keeps_an_edit_made_since),
        cmocka_unit_test(late_write_of_a_lost_request__does_not_undo_a_newer_value),
        cmocka_unit_test(invalid_value__parks_the_record_and_says_why),
        cmocka_unit_test(refused_content__is_parked_and_not_sent_again_by_itself),
        cmocka_unit_test(accepted_but_ignored_field__is_a_mapping_error_and_the_edit_stays),
        cmocka_unit_test(value_that_the_shop_rewrites__is_taken_over_where_nobody_owns_it),
        cmocka_unit_test(null_text_and_empty_text__are_no_difference_to_a_shop),
        cmocka_unit_test(deleted_row__deletes_nothing_in_the_shop),
        cmocka_unit_test(record_gone_in_the_shop__keeps_its_row),
        cmocka_unit_test(record_in_the_trash__is_held_and_never_made_anew),
        cmocka_unit_test(two_rows_with_one_sku__are_parked_as_duplicates),
        cmocka_unit_test(edit_while_the_write_is_out__is_not_lost),
        cmocka_unit_test(lost_claim__writes_nothing),
        cmocka_unit_test(many_records__share_requests),
        cmocka_unit_test(refused_batch__spares_the_neighbours),
        cmocka_unit_test(policies__decide_what_both_sides_changed),
        cmocka_unit_test(last_write_wins__only_where_the_clocks_are_beyond_doubt),
        cmocka_unit_test(delta__120_200_and_500_changes__none_is_lost),
        cmocka_unit_test(delta__more_than_a_batch_under_one_stamp__none_is_lost),
        cmocka_unit_test(delta__restarted_after_each_page__loses_nothing),
        cmocka_unit_test(delta__changes_during_the_read__belong_to_the_next),
        cmocka_unit_test(scan__finds_stock_that_moves_no_stamp),
        cmocka_unit_test(killed_at_any_step__a_create_is_made_once),
        cmocka_unit_test(killed_at_any_step__edits_of_both_sides_arrive),
        cmocka_unit_test(verify__names_what_differs_and_nothing_else),
        cmocka_unit_test(verify__of_a_sync_that_only_observes__is_its_plan),
        cmocka_unit_test(one_runner__reconciles_thousands_a_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
