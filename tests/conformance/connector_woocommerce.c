/* The connector against a simulated WooCommerce shop, over http with OAuth and over https with
 * Basic. */
#include "tests/conformance/connector_suite.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

static bool over_tls;
static struct suite *suite;

static int start_suite(void **state)
{
    (void)state;
    suite =
        suite_new(&(struct test_shop_options){.tls = over_tls, .path = over_tls ? "/blog" : NULL});
    return suite ? 0 : -1;
}

static int stop_suite(void **state)
{
    (void)state;
    suite_free(suite);
    suite = NULL;
    return 0;
}

static int clear(void **state)
{
    (void)state;
    suite_clear(suite);
    return 0;
}

static const char *text_of(int64_t id)
{
    static char texts[8][24];
    static int next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof texts[0], "%lld", (long long)id);
    return text;
}

/* How often each of the ids was listed, from this page to the last; *last: the cursor to begin with
 * (freed). */
static void count_ids(struct ls_list_query query, char *cursor, const int64_t *ids, size_t count,
                      int *seen)
{
    for (int pages = 0;; pages++) {
        struct result result;
        assert_true(pages < 200);
        query.cursor = cursor;
        result = do_list(suite, &query);
        free(cursor);
        assert_string_equal(result.err.text, "");
        for (size_t i = 0; i < result.page.count; i++)
            for (size_t j = 0; j < count; j++)
                seen[j] += !strcmp(result.page.items[i].id, text_of(ids[j]));
        cursor = ls_xstrdup(result.page.next);
        result_fini(&result);
        if (!cursor)
            return;
    }
}

static json_t *last_request(void)
{
    json_t *requests = test_shop_requests(suite->shop);
    json_t *last = json_incref(json_array_get(requests, json_array_size(requests) - 1));

    json_decref(requests);
    return last;
}

/* ---- list ------------------------------------------------------------------------------------ */

static void list__by_id__gives_every_product_once_in_full(void **state)
{
    int64_t ids[230];
    int seen[230] = {0};
    struct ls_list_query query = {.mapping = suite->mapping};
    struct result first;

    (void)state;
    suite_fill(suite, "A", 230, "", ids);
    test_shop_forget(suite->shop);
    first = do_list(suite, &query);
    assert_int_equal(first.page.count, 100);
    assert_int_equal(first.page.total, 230);
    assert_true(llabs(first.page.remote_ms - ls_clock_wall_ms()) < 5000);
    assert_string_equal(value_of(&first.page.items[0], SKU), "A-1");
    assert_string_equal(value_of(&first.page.items[0], PRICE), "1.5");
    assert_string_equal(value_of(&first.page.items[0], STOCK), "7");
    assert_string_equal(first.page.items[0].match, "A-1");
    assert_non_null(first.page.items[0].version);
    result_fini(&first);
    count_ids(query, NULL, ids, 230, seen);
    for (int i = 0; i < 230; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(test_shop_request_count(suite->shop), 4);
}

static void list__rows_vanish_between_pages__loses_none_of_the_others(void **state)
{
    int64_t ids[60];
    int seen[60] = {0};
    struct ls_list_query query = {.mapping = suite->mapping, .limit = 10};
    struct result first;
    char *cursor;

    (void)state;
    suite_fill(suite, "A", 60, "", ids);
    first = do_list(suite, &query);
    assert_int_equal(first.page.count, 10);
    for (int i = 0; i < 8; i++) /* of those listed, the last among them, and one that is not */
        test_shop_remove(suite->shop, ids[i + 2], i % 2);
    test_shop_remove(suite->shop, ids[10], true);
    cursor = ls_xstrdup(first.page.next);
    result_fini(&first);
    count_ids(query, cursor, ids, 60, seen);
    for (int i = 11; i < 60; i++)
        assert_int_equal(seen[i], 1);
}

static void list__everything_listed_vanishes__goes_on_with_the_rest(void **state)
{
    int64_t ids[60];
    int seen[60] = {0};
    struct ls_list_query query = {.mapping = suite->mapping, .limit = 40};
    struct result first;
    char *cursor;

    (void)state;
    suite_fill(suite, "A", 60, "", ids);
    first = do_list(suite, &query);
    for (int i = 0; i < 40; i++)
        test_shop_remove(suite->shop, ids[i], true);
    cursor = ls_xstrdup(first.page.next);
    result_fini(&first);
    count_ids(query, cursor, ids, 60, seen);
    for (int i = 40; i < 60; i++)
        assert_int_equal(seen[i], 1);
}

static void list__rows_come_back_between_pages__loses_none(void **state)
{
    int64_t ids[40];
    int seen[40] = {0};
    struct ls_list_query query = {.mapping = suite->mapping, .limit = 10};
    struct result first;
    char *cursor;

    (void)state;
    suite_fill(suite, "A", 40, "", ids);
    for (int i = 0; i < 12; i++)
        test_shop_remove(suite->shop, ids[i], false);
    first = do_list(suite, &query);
    for (int i = 0; i < 12; i++)
        test_shop_edit(suite->shop, ids[i], "{\"status\":\"publish\"}");
    cursor = ls_xstrdup(first.page.next);
    result_fini(&first);
    count_ids(query, cursor, ids, 40, seen);
    for (int i = 22; i < 40; i++)
        assert_int_equal(seen[i], 1);
}

static void list__one_a_page__comes_to_an_end(void **state)
{
    int64_t ids[5];
    int seen[5] = {0};

    (void)state;
    suite_fill(suite, "A", 5, "", ids);
    count_ids((struct ls_list_query){.mapping = suite->mapping, .limit = 1}, NULL, ids, 5, seen);
    for (int i = 0; i < 5; i++)
        assert_int_equal(seen[i], 1);
}

static void list__empty_shop__is_an_empty_page(void **state)
{
    struct result result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping});

    (void)state;
    assert_int_equal(result.err.code, LS_E_NONE);
    assert_int_equal(result.page.count, 0);
    assert_int_equal(result.page.total, 0);
    assert_null(result.page.next);
    result_fini(&result);
}

static void list__foreign_cursor__is_refused(void **state)
{
    static const char *const cursors[] = {
        "", "x", "w1 any -1 0 0 0", "w1 any 1 2 3", "w1 any 1 2 3 4 5", "w2 any 0 0 0 0"};

    (void)state;
    for (size_t i = 0; i < LS_COUNT(cursors); i++) {
        struct result result = do_list(
            suite, &(struct ls_list_query){.mapping = suite->mapping, .cursor = cursors[i]});
        assert_int_equal(result.err.code, LS_E_CORRUPT);
        result_fini(&result);
    }
}

#define STAMP_MS 1700000000000 /* 2023-11-14T22:13:20Z */

static void list__many_modified_in_one_second__gives_them_all(void **state)
{
    int64_t ids[35], before[3], after[3];
    int seen[35] = {0}, seen_before[3] = {0}, seen_after[3] = {0};
    struct ls_list_query query = {.mapping = suite->mapping,
                                  .order = LS_LIST_BY_MODIFIED,
                                  .limit = 10,
                                  .modified_from_ms = STAMP_MS,
                                  .modified_to_ms = STAMP_MS + 999};

    (void)state;
    suite_fill(suite, "B", 3, ",\"date_modified_gmt\":\"2023-11-14T22:13:19\"", before);
    suite_fill(suite, "A", 35, ",\"date_modified_gmt\":\"2023-11-14T22:13:20\"", ids);
    suite_fill(suite, "C", 3, ",\"date_modified_gmt\":\"2023-11-14T22:13:21\"", after);
    count_ids(query, NULL, ids, 35, seen);
    for (int i = 0; i < 35; i++)
        assert_int_equal(seen[i], 1);
    count_ids(query, NULL, before, 3, seen_before);
    count_ids(query, NULL, after, 3, seen_after);
    for (int i = 0; i < 3; i++)
        assert_int_equal(seen_before[i] + seen_after[i], 0);
    query.modified_to_ms = 0;
    count_ids(query, NULL, after, 3, seen_after);
    assert_int_equal(seen_after[2], 1);
}

static void list__modified_while_paging__loses_none_that_stayed(void **state)
{
    int64_t ids[40];
    int seen[40] = {0};
    struct ls_list_query query = {.mapping = suite->mapping,
                                  .order = LS_LIST_BY_MODIFIED,
                                  .limit = 10,
                                  .modified_from_ms = STAMP_MS,
                                  .modified_to_ms = STAMP_MS};
    struct result first;
    char *cursor;

    (void)state;
    suite_fill(suite, "A", 40, ",\"date_modified_gmt\":\"2023-11-14T22:13:20\"", ids);
    first = do_list(suite, &query);
    assert_int_equal(first.page.count, 10);
    for (int i = 0; i < 10; i++) /* these leave the window: they are the next one's */
        test_shop_edit(suite->shop, ids[i * 2], "{\"name\":\"new\"}");
    cursor = ls_xstrdup(first.page.next);
    result_fini(&first);
    query.modified_from_ms = query.modified_to_ms = 1; /* the first page's bounds hold */
    count_ids(query, cursor, ids, 40, seen);
    for (int i = 10; i < 40; i++)
        assert_int_equal(seen[i], i % 2 || i >= 20 ? 1 : 0);
}

static void list__by_modified__tells_what_went_to_the_trash(void **state)
{
    int64_t ids[3];
    int64_t from = ls_clock_wall_ms() - 2000;
    struct result result;
    int trashed = 0;

    (void)state;
    suite_fill(suite, "A", 3, "", ids);
    test_shop_remove(suite->shop, ids[1], false);
    result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping,
                                                    .order = LS_LIST_BY_MODIFIED,
                                                    .modified_from_ms = from});
    assert_int_equal(result.page.count, 3);
    for (size_t i = 0; i < result.page.count; i++) {
        if (result.page.items[i].trashed) {
            assert_string_equal(result.page.items[i].id, text_of(ids[1]));
            trashed++;
        }
    }
    assert_int_equal(trashed, 1);
    result_fini(&result);
    result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping});
    assert_int_equal(result.page.count, 2);
    result_fini(&result);
}

static void
list__of_blind_fields__sees_stock_that_moved_by_itself_and_asks_for_nothing_else(void **state)
{
    int64_t ids[3];
    struct result result;
    json_t *request;

    (void)state;
    suite_fill(suite, "A", 3, ",\"date_modified_gmt\":\"2023-11-14T22:13:20\"", ids);
    test_shop_set_stock(suite->shop, ids[1], 99);
    result =
        do_list(suite, &(struct ls_list_query){.mapping = suite->mapping, .fields = 1u << STOCK});
    assert_int_equal(result.page.count, 3);
    assert_string_equal(value_of(&result.page.items[1], STOCK), "99");
    assert_string_equal(value_of(&result.page.items[1], NAME), "(missing)");
    result_fini(&result);
    request = last_request();
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(request, "query"), "_fields")),
        "id,stock_quantity");
    json_decref(request);
    result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping,
                                                    .order = LS_LIST_BY_MODIFIED,
                                                    .modified_from_ms = STAMP_MS + 1000});
    assert_int_equal(result.page.count, 0); /* the date did not move: that is why there is a scan */
    result_fini(&result);
}

/* ---- get, find ------------------------------------------------------------------------------- */

static void get__in_use_trashed_and_gone__are_told_apart(void **state)
{
    int64_t ids[4];
    const char *wanted[4];
    struct result result;

    (void)state;
    suite_fill(suite, "A", 4, "", ids);
    test_shop_remove(suite->shop, ids[1], false);
    test_shop_remove(suite->shop, ids[2], true);
    for (int i = 0; i < 4; i++)
        wanted[i] = text_of(ids[i]);
    result = do_get(suite, wanted, 4);
    assert_string_equal(result.err.text, "");
    assert_int_equal(result.page.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_not_equal(result.page.items[i].id, wanted[2]);
        assert_int_equal(result.page.items[i].trashed, !strcmp(result.page.items[i].id, wanted[1]));
        assert_string_equal(value_of(&result.page.items[i], PRICE), "1.5");
    }
    result_fini(&result);
}

static void get__a_single_one__is_one_request(void **state)
{
    int64_t id = test_shop_add(
        suite->shop,
        "{\"name\":\"M\\u00fcg \\\"x\\\" /\",\"sku\":\"A\",\"description\":\"<p>a\\r\\nb</p>\"}");
    const char *wanted[] = {text_of(id), text_of(id)};
    struct result result;

    (void)state;
    test_shop_forget(suite->shop);
    result = do_get(suite, wanted, 2);
    assert_int_equal(result.page.count, 1);
    assert_string_equal(value_of(&result.page.items[0], NAME), "Müg \"x\" /");
    assert_string_equal(value_of(&result.page.items[0], TEXT), "<p>a\nb</p>");
    assert_string_equal(value_of(&result.page.items[0], PRICE), "(null)");
    assert_string_equal(value_of(&result.page.items[0], STOCK), "(null)");
    result_fini(&result);
    assert_int_equal(test_shop_request_count(suite->shop), 1);

    test_shop_remove(suite->shop, id, true);
    result = do_get(suite, wanted, 1);
    assert_int_equal(result.err.code, LS_E_NONE);
    assert_int_equal(result.page.count, 0);
    result_fini(&result);
}

static void get__absence_not_confirmed__is_an_error(void **state)
{
    static const char *const kinds[] = {
        "502-html", "html-200", "500", "503-maintenance-html", "429", "reset-before", "truncated"};
    const char *wanted[] = {"999999"};

    (void)state;
    /* more than once, because a read on a kept connection that closes is repeated below us */
    for (size_t i = 0; i < LS_COUNT(kinds); i++) {
        char rule[64];
        struct result result;
        snprintf(rule, sizeof rule, "{\"kind\":\"%s\",\"times\":3}", kinds[i]);
        test_shop_fault(suite->shop, rule);
        result = do_get(suite, wanted, 1);
        if (result.err.code == LS_E_NONE)
            fail_msg("%s passed for absence", kinds[i]);
        result_fini(&result);
        test_shop_fault(suite->shop, NULL);
    }
}

static void get__word_for_an_id__spoils_nothing_for_the_others(void **state)
{
    int64_t id = test_shop_add(suite->shop, "{\"name\":\"a\",\"sku\":\"A\"}");
    const char *wanted[] = {"x/../../1", text_of(id), ""};
    struct result result = do_get(suite, wanted, 3);

    (void)state;
    assert_string_equal(result.err.text, "");
    assert_int_equal(result.page.count, 3);
    assert_string_equal(result.page.items[0].id, wanted[0]);
    assert_int_equal(result.page.items[0].error.code, LS_E_INVALID);
    assert_string_equal(result.page.items[2].id, wanted[1]);
    assert_int_equal(result.page.items[2].error.code, LS_E_NONE);
    result_fini(&result);
    result = do_get(suite, NULL, 0);
    assert_int_equal(result.err.code, LS_E_NONE);
    result_fini(&result);
}

static void find__by_match_value__is_exact(void **state)
{
    struct result result;

    (void)state;
    suite_fill(suite, "A", 3, "", NULL);
    test_shop_add(suite->shop, "{\"name\":\"odd\",\"sku\":\"A-1,A-2 %20&+\"}");
    result = do_find(suite, "A-2", NULL, 0);
    assert_int_equal(result.page.count, 1);
    assert_string_equal(result.page.items[0].match, "A-2");
    result_fini(&result);
    result = do_find(suite, "A-1,A-2 %20&+", NULL, 0);
    assert_int_equal(result.page.count, 1);
    assert_string_equal(value_of(&result.page.items[0], NAME), "odd");
    result_fini(&result);
    result = do_find(suite, "A-1,A-2", NULL, 0);
    assert_string_equal(result.err.text, "");
    assert_int_equal(result.page.count, 0);
    result_fini(&result);
    result = do_find(suite, "a-9", NULL, 0);
    assert_int_equal(result.page.count, 0);
    result_fini(&result);
}

static void find__by_marker__finds_what_a_create_left(void **state)
{
    int64_t from = ls_clock_wall_ms();
    struct ls_record record = record_of(suite, (const char *[FIELDS]){[NAME] = "No sku"});
    struct result made, found;

    (void)state;
    suite_fill(suite, "A", 120, "", NULL);
    made = do_write(
        suite, &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record, .marker = "l-77"});
    assert_string_equal(made.err.text, "");
    assert_string_equal(made.page.items[0].marker, "l-77");
    found = do_find(suite, NULL, "l-77", from);
    assert_int_equal(found.page.count, 1);
    assert_string_equal(found.page.items[0].id, made.page.items[0].id);
    result_fini(&found);
    found = do_find(suite, "no-such-sku", "l-77", from);
    assert_int_equal(found.page.count, 1);
    result_fini(&found);
    found = do_find(suite, NULL, "l-78", from);
    assert_int_equal(found.err.code, LS_E_NONE);
    assert_int_equal(found.page.count, 0);
    result_fini(&found);
    found = do_find(suite, NULL, "l-77", ls_clock_wall_ms() + 3600 * 1000);
    assert_int_equal(found.page.count, 0);
    result_fini(&found);
    result_fini(&made);
    ls_record_fini(&record);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void write__create__stores_and_returns_the_values(void **state)
{
    struct ls_record record =
        record_of(suite, (const char *[FIELDS]){"NEW-1", "Müg", "12.50", "0", "<p>x</p>"});
    struct result result = do_write(
        suite, &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record, .marker = "l-1"});
    json_t *product;

    (void)state;
    assert_string_equal(result.err.text, "");
    assert_int_equal(result.page.count, 1);
    assert_string_equal(value_of(&result.page.items[0], PRICE), "12.5");
    assert_string_equal(value_of(&result.page.items[0], STOCK), "0");
    assert_string_equal(result.page.items[0].match, "NEW-1");
    product = test_shop_product(suite->shop, strtoll(result.page.items[0].id, NULL, 10));
    assert_string_equal(json_string_value(json_object_get(product, "regular_price")), "12.5");
    assert_int_equal(json_integer_value(json_object_get(product, "stock_quantity")), 0);
    assert_true(json_is_true(json_object_get(product, "manage_stock")));
    assert_string_equal(json_string_value(json_object_get(product, "name")), "Müg");
    json_decref(product);
    result_fini(&result);
    ls_record_fini(&record);
}

static void write__create_with_a_taken_sku__names_the_holder(void **state)
{
    int64_t id = test_shop_add(suite->shop, "{\"name\":\"a\",\"sku\":\"TAKEN\"}");
    struct ls_record record = record_of(suite, (const char *[FIELDS]){"TAKEN", "b"});
    struct result result =
        do_write(suite, &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record});
    char reason[64];

    (void)state;
    assert_int_equal(result.err.code, LS_E_EXISTS);
    snprintf(reason, sizeof reason, "product_invalid_sku:%lld", (long long)id);
    assert_string_equal(result.err.reason, reason);
    result_fini(&result);
    ls_record_fini(&record);
}

static void write__update__changes_what_is_set_and_leaves_the_rest(void **state)
{
    int64_t ids[1];
    struct ls_record record =
        record_of(suite, (const char *[FIELDS]){[NAME] = "New", [PRICE] = "(null)", [STOCK] = "3"});
    struct result result;

    (void)state;
    suite_fill(suite, "A", 1, ",\"description\":\"keep\"", ids);
    result = do_write(
        suite,
        &(struct ls_write){.kind = LS_WRITE_UPDATE, .id = text_of(ids[0]), .record = &record});
    assert_string_equal(result.err.text, "");
    assert_string_equal(result.page.items[0].id, text_of(ids[0]));
    assert_string_equal(value_of(&result.page.items[0], NAME), "New");
    assert_string_equal(value_of(&result.page.items[0], PRICE), "(null)");
    assert_string_equal(value_of(&result.page.items[0], STOCK), "3");
    assert_string_equal(value_of(&result.page.items[0], TEXT), "keep");
    assert_string_equal(value_of(&result.page.items[0], SKU), "A-1");
    result_fini(&result);
    ls_value_set_null(&record.values[STOCK]);
    result = do_write(
        suite,
        &(struct ls_write){.kind = LS_WRITE_UPDATE, .id = text_of(ids[0]), .record = &record});
    assert_string_equal(value_of(&result.page.items[0], STOCK), "(null)");
    result_fini(&result);
    ls_record_fini(&record);
}

static void write__update_of_what_is_gone__is_not_found(void **state)
{
    struct ls_record record = record_of(suite, (const char *[FIELDS]){[NAME] = "New"});
    struct result result = do_write(
        suite, &(struct ls_write){.kind = LS_WRITE_UPDATE, .id = "999999", .record = &record});

    (void)state;
    assert_int_equal(result.err.code, LS_E_NOT_FOUND);
    assert_int_equal(result.err.http_status, 400);
    result_fini(&result);
    ls_record_fini(&record);
}

static void write__delete__goes_to_the_trash_or_for_good_and_may_be_repeated(void **state)
{
    int64_t ids[1];
    struct ls_write soft = {.kind = LS_WRITE_DELETE},
                    hard = {.kind = LS_WRITE_DELETE, .hard = true};
    struct result result;

    (void)state;
    suite_fill(suite, "A", 1, "", ids);
    soft.id = hard.id = text_of(ids[0]);
    result = do_write(suite, &soft);
    assert_string_equal(result.err.text, "");
    assert_int_equal(result.page.count, 1);
    assert_true(result.page.items[0].trashed);
    assert_null(result.page.items[0].version);
    result_fini(&result);
    for (int i = 0; i < 3; i++) {
        result = do_write(suite, i ? &hard : &soft);
        assert_string_equal(result.err.text, "");
        assert_int_equal(result.page.count, 0);
        result_fini(&result);
    }
    result = do_write(suite, &soft);
    assert_int_equal(result.err.code, LS_E_NONE);
    result_fini(&result);
}

static void batch__of_everything__has_a_result_for_each_in_its_place(void **state)
{
    int64_t ids[6];
    struct ls_record new = record_of(suite, (const char *[FIELDS]){"NEW", "new", "2"});
    struct ls_record taken = record_of(suite, (const char *[FIELDS]){"A-1", "twin"});
    struct ls_record changed =
        record_of(suite, (const char *[FIELDS]){[NAME] = "changed", [STOCK] = "1"});
    struct ls_write writes[9];
    struct result result;

    (void)state;
    suite_fill(suite, "A", 6, "", ids);
    writes[0] = (struct ls_write){.kind = LS_WRITE_DELETE, .id = text_of(ids[1]), .hard = true};
    writes[1] = (struct ls_write){.kind = LS_WRITE_CREATE, .record = &taken};
    writes[2] =
        (struct ls_write){.kind = LS_WRITE_UPDATE, .id = text_of(ids[2]), .record = &changed};
    writes[3] = (struct ls_write){.kind = LS_WRITE_DELETE, .id = text_of(ids[3])};
    writes[4] = (struct ls_write){.kind = LS_WRITE_CREATE, .record = &new, .marker = "l-5"};
    writes[5] = (struct ls_write){.kind = LS_WRITE_UPDATE, .id = "999999", .record = &changed};
    writes[6] =
        (struct ls_write){.kind = LS_WRITE_UPDATE, .id = text_of(ids[4]), .record = &changed};
    writes[7] = (struct ls_write){.kind = LS_WRITE_DELETE, .id = "999998", .hard = true};
    writes[8] = (struct ls_write){.kind = LS_WRITE_DELETE, .id = "999997"};
    test_shop_forget(suite->shop);
    result = do_batch(suite, writes, 9);
    assert_string_equal(result.err.text, "");
    assert_int_equal(result.page.count, 9);
    assert_int_equal(result.page.items[0].error.code, LS_E_NONE);
    assert_int_equal(result.page.items[1].error.code, LS_E_EXISTS);
    assert_non_null(strstr(result.page.items[1].error.reason, text_of(ids[0])));
    assert_string_equal(result.page.items[2].id, text_of(ids[2]));
    assert_string_equal(value_of(&result.page.items[2], STOCK), "1");
    assert_int_equal(result.page.items[3].error.code, LS_E_NONE);
    assert_true(result.page.items[3].trashed);
    assert_string_equal(result.page.items[4].match, "NEW");
    assert_string_equal(result.page.items[4].marker, "l-5");
    assert_int_equal(result.page.items[5].error.code, LS_E_NOT_FOUND);
    assert_string_equal(value_of(&result.page.items[6], NAME), "changed");
    assert_int_equal(result.page.items[7].error.code, LS_E_NONE);
    assert_int_equal(result.page.items[8].error.code, LS_E_NONE);
    result_fini(&result);
    assert_int_equal(test_shop_request_count(suite->shop),
                     3); /* a batch cannot move to the trash */

    json_t *trashed = test_shop_product(suite->shop, ids[3]);
    assert_string_equal(json_string_value(json_object_get(trashed, "status")), "trash");
    json_decref(trashed);
    ls_record_fini(&new);
    ls_record_fini(&taken);
    ls_record_fini(&changed);
}

static void write__word_for_an_id__is_refused_and_spoils_nothing_for_the_others(void **state)
{
    int64_t ids[1];
    struct ls_record record = record_of(suite, (const char *[FIELDS]){[NAME] = "New"});
    struct ls_write writes[3] = {{.kind = LS_WRITE_UPDATE, .id = "../1", .record = &record},
                                 {.kind = LS_WRITE_UPDATE, .record = &record},
                                 {.kind = LS_WRITE_DELETE}};
    struct result result;

    (void)state;
    suite_fill(suite, "A", 1, "", ids);
    test_shop_forget(suite->shop);
    result = do_write(suite, &writes[0]);
    assert_int_equal(result.err.code, LS_E_INVALID);
    result_fini(&result);
    writes[1].id = text_of(ids[0]);
    result = do_batch(suite, writes, 3);
    assert_int_equal(result.page.items[0].error.code, LS_E_INVALID);
    assert_int_equal(result.page.items[1].error.code, LS_E_NONE);
    assert_string_equal(value_of(&result.page.items[1], NAME), "New");
    assert_int_equal(result.page.items[2].error.code, LS_E_INVALID);
    result_fini(&result);
    assert_int_equal(test_shop_request_count(suite->shop), 1);
    ls_record_fini(&record);
}

static void batch__full__is_one_request(void **state)
{
    struct ls_record records[100];
    struct ls_write writes[100];
    struct result result;

    (void)state;
    for (int i = 0; i < 100; i++) {
        records[i] = record_of(suite, (const char *[FIELDS]){text_of(i + 5000), "x", "1", "2"});
        writes[i] = (struct ls_write){.kind = LS_WRITE_CREATE, .record = &records[i]};
    }
    result = do_batch(suite, writes, 100);
    assert_string_equal(result.err.text, "");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(result.page.items[i].error.code, LS_E_NONE);
        assert_string_equal(result.page.items[i].match, text_of(i + 5000));
        ls_record_fini(&records[i]);
    }
    result_fini(&result);
    assert_int_equal(test_shop_request_count(suite->shop), 1);
}

static void batch__fails_as_a_whole__is_one_error(void **state)
{
    struct ls_record record = record_of(suite, (const char *[FIELDS]){[NAME] = "x"});
    struct ls_write writes[2] = {{.kind = LS_WRITE_CREATE, .record = &record},
                                 {.kind = LS_WRITE_CREATE, .record = &record}};
    struct result result;

    (void)state;
    test_shop_fault(suite->shop, "{\"kind\":\"502-html\"}");
    result = do_batch(suite, writes, 2);
    assert_int_equal(result.err.code, LS_E_LOST);
    result_fini(&result);
    ls_record_fini(&record);
}

/* ---- trouble --------------------------------------------------------------------------------- */

static void trouble__on_a_read__is_an_error_and_never_an_empty_page(void **state)
{
    static const struct {
        const char *kind;
        enum ls_err_code code;
    } cases[] = {
        {"429", LS_E_THROTTLED},
        {"429-no-retry-after", LS_E_THROTTLED},
        {"500", LS_E_TRANSIENT},
        {"502-html", LS_E_TRANSIENT},
        {"503-maintenance-html", LS_E_TRANSIENT},
        {"html-200", LS_E_TRANSIENT},
        {"junk-before-json", LS_E_TRANSIENT},
        {"truncated", LS_E_NETWORK},
        {"reset-before", LS_E_NETWORK},
        {"timeout-before", LS_E_TIMEOUT},
    };
    struct ls_connector *usual = suite->connector;

    (void)state;
    suite->connector = suite_connect(suite, NULL, NULL, 400);
    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        char rule[64];
        struct result result;
        snprintf(rule, sizeof rule, "{\"kind\":\"%s\"}", cases[i].kind);
        test_shop_fault(suite->shop, rule);
        result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping});
        if (result.err.code != cases[i].code)
            fail_msg("%s: %s: %s", cases[i].kind, ls_err_name(result.err.code), result.err.text);
        if (result.err.code == LS_E_THROTTLED)
            assert_int_equal(result.err.retry_after_ms, i ? 10000 : 1000);
        if (result.err.code == LS_E_TIMEOUT)
            assert_non_null(strstr(result.err.text, "API timeout after 400ms"));
        assert_non_null(strstr(result.err.text, "woocommerce 'shop-eu' cannot list products"));
        assert_null(strstr(result.err.text, suite->shop->key));
        assert_null(strstr(result.err.text, suite->shop->secret));
        result_fini(&result);
        test_shop_fault(suite->shop, NULL);
    }
    ls_connector_free(suite->connector);
    suite->connector = usual;
}

static void trouble__on_a_create__tells_unknown_outcomes_and_the_product_is_found(void **state)
{
    static const struct {
        const char *kind;
        enum ls_err_code code;
        bool made;
    } cases[] = {
        {"429", LS_E_THROTTLED, false},
        {"503-maintenance-html", LS_E_TRANSIENT, false},
        {"500", LS_E_LOST, false},
        {"500-after", LS_E_LOST, true},
        {"502-html", LS_E_LOST, false},
        {"html-200", LS_E_LOST, false},
        {"junk-before-json", LS_E_LOST, true},
        {"truncated", LS_E_LOST, true},
        {"reset-before", LS_E_LOST, false},
        {"reset-after", LS_E_LOST, true},
        {"timeout-before", LS_E_LOST, false},
        {"timeout-after", LS_E_LOST, true},
    };
    struct ls_connector *usual = suite->connector;

    (void)state;
    suite->connector = suite_connect(suite, NULL, NULL, 600);
    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        char sku[64], rule[128];
        int64_t from = ls_clock_wall_ms();
        struct ls_record record;
        struct result result;
        snprintf(sku, sizeof sku, "LOST-%s", cases[i].kind);
        snprintf(rule, sizeof rule, "{\"kind\":\"%s\",\"match\":{\"method\":\"POST\"}}",
                 cases[i].kind);
        record = record_of(suite, (const char *[FIELDS]){sku, "x"});
        test_shop_fault(suite->shop, rule);
        result = do_write(
            suite, &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record, .marker = sku});
        if (result.err.code != cases[i].code)
            fail_msg("%s: %s: %s", cases[i].kind, ls_err_name(result.err.code), result.err.text);
        result_fini(&result);
        test_shop_fault(suite->shop, NULL);
        for (int by_marker = 0; by_marker < 2; by_marker++) {
            result = do_find(suite, by_marker ? NULL : sku, by_marker ? sku : NULL, from);
            assert_string_equal(result.err.text, "");
            if (result.page.count != (cases[i].made ? 1 : 0))
                fail_msg("%s: %zu found", cases[i].kind, result.page.count);
            result_fini(&result);
        }
        ls_record_fini(&record);
    }
    ls_connector_free(suite->connector);
    suite->connector = usual;
}

static void trouble__nobody_listens__is_network(void **state)
{
    struct ls_connector *usual = suite->connector;
    struct ls_config_account account = {.name = (char *)"x",
                                        .platform = (char *)"woocommerce",
                                        .url = (char *)"http://127.0.0.1:1",
                                        .consumer_key = (char *)"ck",
                                        .consumer_secret = (char *)"cs",
                                        .timeout_ms = 2000};
    struct ls_record record = record_of(suite, (const char *[FIELDS]){[NAME] = "x"});
    struct result result;

    (void)state;
    suite->connector = ls_connector_new(&account, &suite->loop, suite->http, NULL);
    result = do_write(suite, &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record});
    assert_int_equal(result.err.code, LS_E_NETWORK);
    assert_int_equal(result.requests, 0);
    result_fini(&result);
    ls_record_fini(&record);
    ls_connector_free(suite->connector);
    suite->connector = usual;
}

static void credentials__wrong__are_auth_errors_on_everything(void **state)
{
    const struct {
        const char *key, *secret;
    } cases[] = {
        {"ck_unknown", "cs_unknown"},
        {suite->shop->key, "cs_wrong"},
    };
    struct ls_connector *usual = suite->connector;
    const char *wanted[] = {"999999"};

    (void)state;
    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        struct result result;
        suite->connector = suite_connect(suite, cases[i].key, cases[i].secret, 0);
        result = do_probe(suite);
        assert_int_equal(result.err.code, LS_E_AUTH);
        assert_non_null(strstr(result.err.hint, "consumer_key"));
        assert_null(strstr(result.err.text, cases[i].secret));
        result_fini(&result);
        result = do_get(suite, wanted, 1);
        assert_int_equal(result.err.code, LS_E_AUTH);
        result_fini(&result);
        ls_connector_free(suite->connector);
    }
    suite->connector = usual;
}

static void credentials__that_may_only_read__cannot_write(void **state)
{
    struct ls_connector *usual = suite->connector;
    struct ls_record record = record_of(suite, (const char *[FIELDS]){[NAME] = "x"});
    struct result result;

    (void)state;
    suite->connector = suite_connect(suite, suite->shop->read_key, suite->shop->read_secret, 0);
    result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping});
    assert_int_equal(result.err.code, LS_E_NONE);
    result_fini(&result);
    result = do_write(suite, &(struct ls_write){.kind = LS_WRITE_CREATE, .record = &record});
    assert_int_equal(result.err.code, LS_E_AUTH);
    result_fini(&result);
    ls_connector_free(suite->connector);
    ls_record_fini(&record);
    suite->connector = usual;
}

static void probe__good_shop__is_an_empty_page_with_its_clock(void **state)
{
    struct result result;

    (void)state;
    suite_fill(suite, "A", 2, "", NULL);
    result = do_probe(suite);
    assert_string_equal(result.err.text, "");
    assert_int_equal(result.page.count, 0);
    assert_true(result.page.remote_ms > 0);
    result_fini(&result);
}

static void probe__no_shop_under_the_url__is_a_matter_of_configuration(void **state)
{
    struct ls_connector *usual = suite->connector;
    struct result result;
    char url[200];
    struct ls_config_account account = {.name = (char *)"x",
                                        .platform = (char *)"woocommerce",
                                        .url = url,
                                        .consumer_key = suite->shop->key,
                                        .consumer_secret = suite->shop->secret,
                                        .ca_file =
                                            *suite->shop->ca_file ? suite->shop->ca_file : NULL,
                                        .timeout_ms = 5000};

    (void)state;
    snprintf(url, sizeof url, "%s/nowhere", suite->shop->url);
    suite->connector = ls_connector_new(&account, &suite->loop, suite->http, NULL);
    result = do_probe(suite);
    assert_int_equal(result.err.code, LS_E_CONFIG);
    result_fini(&result);
    ls_connector_free(suite->connector);
    suite->connector = usual;
}

static void cancel__with_a_request_out__calls_nothing_back(void **state)
{
    struct result cancelled = {.err = LS_ERR_INIT}, next;
    struct ls_remote_call *call;
    int64_t end = ls_clock_mono_ms() + 10000;

    (void)state;
    suite_fill(suite, "A", 2, "", NULL);
    test_shop_fault(suite->shop, "{\"kind\":\"timeout-before\",\"times\":1}");
    test_shop_forget(suite->shop);
    call = ls_connector_list(suite->connector, &(struct ls_list_query){.mapping = suite->mapping},
                             on_result, &cancelled);
    assert_int_equal(ls_remote_requests(call), 0);
    while (!test_shop_request_count(suite->shop) && ls_clock_mono_ms() < end)
        uv_run(&suite->loop, UV_RUN_NOWAIT);
    assert_int_equal(ls_remote_requests(call), 1); /* what it cost is known before its answer */
    ls_remote_cancel(&call);
    test_shop_fault(suite->shop, NULL);
    next = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping});
    assert_int_equal(next.page.count, 2);
    assert_int_equal(cancelled.calls, 0);
    result_fini(&next);
}

/* ---- what an operation costs ----------------------------------------------------------------- */

enum operation {
    PROBE,
    LIST,
    LIST_MODIFIED, /* and what went to the trash */
    GET,
    GET_MANY, /* one in use, one in the trash, one gone: three ways to ask */
    FIND,
    FIND_MARKED, /* no match, then by the marker */
    CREATE,
    UPDATE,
    DELETE,
    BATCH, /* two updates together, a move to the trash alone */
    OPERATIONS
};

static struct result operate(enum operation operation, const char *const *ids,
                             const struct ls_record *record)
{
    struct ls_list_query query = {.mapping = suite->mapping};
    struct ls_write create = {.kind = LS_WRITE_CREATE, .record = record};
    struct ls_write writes[] = {{.kind = LS_WRITE_UPDATE, .id = ids[0], .record = record},
                                {.kind = LS_WRITE_UPDATE, .id = ids[1], .record = record},
                                {.kind = LS_WRITE_DELETE, .id = ids[3]}};

    switch (operation) {
    case PROBE:
        return do_probe(suite);
    case LIST_MODIFIED:
        query.order = LS_LIST_BY_MODIFIED;
        query.modified_from_ms = STAMP_MS;
        return do_list(suite, &query);
    case GET:
        return do_get(suite, ids, 1);
    case GET_MANY:
        return do_get(suite, ids, 3);
    case FIND:
        return do_find(suite, "A-1", NULL, 0);
    case FIND_MARKED:
        return do_find(suite, "none", "l-1", 0);
    case CREATE:
        return do_write(suite, &create);
    case UPDATE:
        return do_write(suite, &writes[0]);
    case DELETE:
        return do_write(suite, &writes[2]);
    case BATCH:
        return do_batch(suite, writes, LS_COUNT(writes));
    default:
        return do_list(suite, &query);
    }
}

/* do_* compare what is counted with what the shop saw. */
static void requests__of_every_operation__are_counted_as_the_shop_saw_them(void **state)
{
    static const int usual[OPERATIONS] = {
        [PROBE] = 1,    [LIST] = 1,   [LIST_MODIFIED] = 2, [GET] = 1,
        [GET_MANY] = 3, [FIND] = 1,   [FIND_MARKED] = 2,   [CREATE] = 1,
        [UPDATE] = 1,   [DELETE] = 1, [BATCH] = 2};
    static const char *const faults[] = {
        "",          "429",          "500",         "502-html",      "html-200", "junk-before-json",
        "truncated", "reset-before", "reset-after", "timeout-before"};
    struct ls_connector *patient = suite->connector;
    struct ls_record record = record_of(suite, (const char *[FIELDS]){[NAME] = "New"});
    char texts[4][24];
    const char *wanted[4];
    int64_t ids[4];

    (void)state;
    suite_fill(suite, "A", 4, "", ids);
    for (int i = 0; i < 4; i++) {
        snprintf(texts[i], sizeof texts[i], "%lld", (long long)ids[i]);
        wanted[i] = texts[i];
    }
    test_shop_remove(suite->shop, ids[1], false);
    test_shop_remove(suite->shop, ids[2], true);
    suite->connector = suite_connect(suite, NULL, NULL, 300);
    for (size_t fault = 0; fault < LS_COUNT(faults); fault++)
        for (int times = 1; times < 4; times += 2) /* a read is sent again when a connection dies */
            for (enum operation operation = 0; operation < OPERATIONS; operation++) {
                char rule[64];
                struct result result;
                snprintf(rule, sizeof rule, "{\"kind\":\"%s\",\"times\":%d}", faults[fault], times);
                if (*faults[fault])
                    test_shop_fault(suite->shop, rule);
                result = operate(operation, wanted, &record);
                if (*faults[fault] ? result.requests < 1 : result.requests != usual[operation])
                    fail_msg("operation %d: %d requests, %s", operation, result.requests, rule);
                result_fini(&result);
                test_shop_fault(suite->shop, NULL);
            }
    ls_connector_free(suite->connector);
    suite->connector = patient;
    ls_record_fini(&record);
}

static void requests__that_never_left__are_none(void **state)
{
    const char *wanted[] = {"not-a-number"};
    struct result result = do_get(suite, wanted, 1);

    (void)state;
    assert_int_equal(result.requests, 0);
    result_fini(&result);
    result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping, .cursor = "x"});
    assert_int_equal(result.err.code, LS_E_CORRUPT);
    assert_int_equal(result.requests, 0);
    result_fini(&result);
}

/* ---- only over http, only over https ---- */

static void clock__of_the_shop_an_hour_off__is_learnt(void **state)
{
    struct suite *other = suite_new(&(struct test_shop_options){.clock_skew_ms = 3600 * 1000});
    struct result result;

    (void)state;
    assert_non_null(other);
    for (int i = 0; i < 2; i++) {
        result = do_list(other, &(struct ls_list_query){.mapping = other->mapping});
        assert_string_equal(result.err.text, "");
        assert_true(result.page.remote_ms - ls_clock_wall_ms() > 3500 * 1000);
        result_fini(&result);
    }
    assert_int_equal(test_shop_request_count(other->shop),
                     3); /* the first was refused, and taught us */
    suite_free(other);
}

static void certificate__not_known__is_network_and_nothing_is_sent(void **state)
{
    struct ls_connector *usual = suite->connector;
    struct ls_config_account account = {.name = (char *)"x",
                                        .platform = (char *)"woocommerce",
                                        .url = suite->shop->url,
                                        .consumer_key = suite->shop->key,
                                        .consumer_secret = suite->shop->secret,
                                        .timeout_ms = 5000};
    struct result result;

    (void)state;
    suite->connector = ls_connector_new(&account, &suite->loop, suite->http, NULL);
    result = do_list(suite, &(struct ls_list_query){.mapping = suite->mapping});
    assert_int_equal(result.err.code, LS_E_NETWORK);
    assert_int_equal(test_shop_request_count(suite->shop), 0);
    result_fini(&result);
    ls_connector_free(suite->connector);
    suite->connector = usual;
}

#define TEST(name) cmocka_unit_test_setup(name, clear)

static const struct CMUnitTest tests[] = {
    TEST(list__by_id__gives_every_product_once_in_full),
    TEST(list__rows_vanish_between_pages__loses_none_of_the_others),
    TEST(list__everything_listed_vanishes__goes_on_with_the_rest),
    TEST(list__rows_come_back_between_pages__loses_none),
    TEST(list__one_a_page__comes_to_an_end),
    TEST(list__empty_shop__is_an_empty_page),
    TEST(list__foreign_cursor__is_refused),
    TEST(list__many_modified_in_one_second__gives_them_all),
    TEST(list__modified_while_paging__loses_none_that_stayed),
    TEST(list__by_modified__tells_what_went_to_the_trash),
    TEST(list__of_blind_fields__sees_stock_that_moved_by_itself_and_asks_for_nothing_else),
    TEST(get__in_use_trashed_and_gone__are_told_apart),
    TEST(get__a_single_one__is_one_request),
    TEST(get__absence_not_confirmed__is_an_error),
    TEST(get__word_for_an_id__spoils_nothing_for_the_others),
    TEST(find__by_match_value__is_exact),
    TEST(find__by_marker__finds_what_a_create_left),
    TEST(write__create__stores_and_returns_the_values),
    TEST(write__create_with_a_taken_sku__names_the_holder),
    TEST(write__update__changes_what_is_set_and_leaves_the_rest),
    TEST(write__update_of_what_is_gone__is_not_found),
    TEST(write__delete__goes_to_the_trash_or_for_good_and_may_be_repeated),
    TEST(batch__of_everything__has_a_result_for_each_in_its_place),
    TEST(write__word_for_an_id__is_refused_and_spoils_nothing_for_the_others),
    TEST(batch__full__is_one_request),
    TEST(batch__fails_as_a_whole__is_one_error),
    TEST(trouble__on_a_read__is_an_error_and_never_an_empty_page),
    TEST(trouble__on_a_create__tells_unknown_outcomes_and_the_product_is_found),
    TEST(trouble__nobody_listens__is_network),
    TEST(credentials__wrong__are_auth_errors_on_everything),
    TEST(credentials__that_may_only_read__cannot_write),
    TEST(probe__good_shop__is_an_empty_page_with_its_clock),
    TEST(probe__no_shop_under_the_url__is_a_matter_of_configuration),
    TEST(cancel__with_a_request_out__calls_nothing_back),
    TEST(requests__of_every_operation__are_counted_as_the_shop_saw_them),
    TEST(requests__that_never_left__are_none),
};
static const struct CMUnitTest http_tests[] = {TEST(clock__of_the_shop_an_hour_off__is_learnt)};
static const struct CMUnitTest tls_tests[] = {
    TEST(certificate__not_known__is_network_and_nothing_is_sent)};

int main(int argc, char **argv)
{
    struct test_shop *shop = test_shop_start(&(struct test_shop_options){0});
    int failed;

    over_tls = argc > 1 && !strcmp(argv[1], "https");
    if (!shop) {
        fprintf(
            stderr,
            "skipped: the simulated shop cannot run here\nhint: npm ci --prefix tests/platforms\n");
        return 77;
    }
    test_shop_stop(shop);
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    failed = cmocka_run_group_tests(tests, start_suite, stop_suite);
    failed += over_tls ? cmocka_run_group_tests(tls_tests, start_suite, stop_suite)
                       : cmocka_run_group_tests(http_tests, start_suite, stop_suite);
    return failed != 0;
}
