#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/platform/connector_internal.h"
#include "common/platform/wordpress/object.h"

#define T(text) ((char *)(text))

enum { SKU, NAME, PRICE, STOCK, HTML, LENGTH, COLOUR, SALE_FROM, FEATURED, WEIGHT, FIELDS };

static struct ls_mapping *new_mapping(void)
{
    struct ls_config_field fields[FIELDS] = {
        [SKU] = {.name = T("sku"), .remote = T("sku")},
        [NAME] = {.name = T("name"), .remote = T("name")},
        [PRICE] = {.name = T("price"), .remote = T("regular_price"), .type = LS_CONFIG_TYPE_MONEY},
        [STOCK] = {.name = T("stock"),
                   .remote = T("stock_quantity"),
                   .type = LS_CONFIG_TYPE_INTEGER},
        [HTML] = {.name = T("text"), .remote = T("description"), .type = LS_CONFIG_TYPE_HTML},
        [LENGTH] = {.name = T("length"),
                    .remote = T("dimensions.length"),
                    .type = LS_CONFIG_TYPE_DECIMAL},
        [COLOUR] = {.name = T("colour"), .remote = T("meta_data.colour")},
        [SALE_FROM] = {.name = T("sale_from"),
                       .remote = T("date_on_sale_from_gmt"),
                       .type = LS_CONFIG_TYPE_TIMESTAMP},
        [FEATURED] = {.name = T("featured"),
                      .remote = T("featured"),
                      .type = LS_CONFIG_TYPE_BOOLEAN},
        [WEIGHT] = {.name = T("weight"), .remote = T("weight"), .type = LS_CONFIG_TYPE_DECIMAL},
    };
    struct ls_config_sync sync = {.name = T("products"),
                                  .account = T("shop-eu"),
                                  .entity = T("product"),
                                  .table = T("products"),
                                  .id = T("id"),
                                  .fields = fields,
                                  .field_count = FIELDS};
    struct ls_err err = LS_ERR_INIT;
    struct ls_mapping *mapping = ls_mapping_new(&sync, &err);

    assert_string_equal(err.text, "");
    return mapping;
}

static struct ls_remote *read_object(const struct ls_mapping *mapping, struct ls_remote_page *page,
                                     const char *text, uint64_t fields)
{
    json_t *object = json_loads(text, 0, NULL);
    struct ls_remote *remote = ls_remote_page_add(page, mapping);
    struct ls_err err = LS_ERR_INIT;

    assert_non_null(object);
    assert_int_equal(ls_wp_object_read(object, mapping, fields, remote, &err), 0);
    json_decref(object);
    return remote;
}

static void assert_value(const struct ls_remote *remote, size_t field, const char *expected)
{
    assert_int_equal(remote->record.values[field].state, LS_VALUE_SET);
    assert_string_equal(remote->record.values[field].text, expected);
}

static void read__whole_object__is_canonical(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_remote_page page = {0};
    struct ls_remote *remote =
        read_object(mapping, &page,
                    "{\"id\":31,\"sku\":\"RM-1\",\"name\":\"Red\\r\\nmug\",\"regular_price\":\"12."
                    "50\",\"stock_quantity\":7,"
                    "\"description\":\"<p>\\/x<\\/"
                    "p>\",\"dimensions\":{\"length\":\"1.20\",\"width\":\"\"},\"featured\":false,"
                    "\"meta_data\":[{\"id\":1,\"key\":\"other\",\"value\":[1]},{\"id\":2,\"key\":"
                    "\"colour\",\"value\":\"red\"},"
                    "{\"id\":3,\"key\":\"_lockstep_uid\",\"value\":\"l-9\"}],"
                    "\"date_on_sale_from_gmt\":\"2026-03-01T14:00:00\",\"date_modified_gmt\":"
                    "\"2026-03-01T14:05:00\","
                    "\"status\":\"trash\",\"weight\":0.1}",
                    0);

    (void)state;
    assert_int_equal(remote->error.code, LS_E_NONE);
    assert_string_equal(remote->id, "31");
    assert_string_equal(remote->version, "2026-03-01T14:05:00Z");
    assert_string_equal(remote->match, "RM-1");
    assert_string_equal(remote->marker, "l-9");
    assert_true(remote->trashed);
    assert_value(remote, NAME, "Red\nmug");
    assert_value(remote, PRICE, "12.5");
    assert_value(remote, STOCK, "7");
    assert_value(remote, HTML, "<p>/x</p>");
    assert_value(remote, LENGTH, "1.2");
    assert_value(remote, COLOUR, "red");
    assert_value(remote, SALE_FROM, "2026-03-01T14:00:00Z");
    assert_value(remote, FEATURED, "false");
    assert_value(remote, WEIGHT, "0.1");
    ls_remote_page_fini(&page);
    ls_mapping_free(mapping);
}

static void read__null_empty_and_absent__stay_three_things(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_remote_page page = {0};
    struct ls_remote *remote = read_object(
        mapping, &page,
        "{\"id\":31,\"sku\":\"\",\"name\":\"\",\"regular_price\":\"\",\"stock_quantity\":null,"
        "\"dimensions\":[],\"meta_data\":[],\"weight\":\"0\"}",
        0);

    (void)state;
    assert_value(remote, NAME, "");
    assert_null(remote->match);
    assert_int_equal(remote->record.values[PRICE].state, LS_VALUE_NULL);
    assert_int_equal(remote->record.values[STOCK].state, LS_VALUE_NULL);
    assert_int_equal(remote->record.values[LENGTH].state, LS_VALUE_MISSING);
    assert_int_equal(remote->record.values[COLOUR].state, LS_VALUE_NULL);
    assert_int_equal(remote->record.values[HTML].state, LS_VALUE_MISSING);
    assert_value(remote, WEIGHT, "0");
    ls_remote_page_fini(&page);
    ls_mapping_free(mapping);
}

static void read__unreadable_value__is_named_and_the_rest_is_read(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_remote_page page = {0};
    struct ls_remote *remote = read_object(
        mapping, &page, "{\"id\":31,\"regular_price\":\"abc\",\"name\":[],\"weight\":\"1\"}", 0);

    (void)state;
    assert_int_equal(remote->error.code, LS_E_INVALID);
    assert_non_null(strstr(remote->error.text, "field 'name'"));
    assert_value(remote, WEIGHT, "1");
    ls_remote_page_fini(&page);
    ls_mapping_free(mapping);
}

static void read__some_fields_wanted__leaves_the_others_missing(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_remote_page page = {0};
    struct ls_remote *remote = read_object(
        mapping, &page, "{\"id\":31,\"sku\":\"A\",\"stock_quantity\":7,\"regular_price\":\"abc\"}",
        1u << STOCK);

    (void)state;
    assert_int_equal(remote->error.code, LS_E_NONE);
    assert_value(remote, STOCK, "7");
    assert_int_equal(remote->record.values[SKU].state, LS_VALUE_MISSING);
    assert_string_equal(remote->match, "A");
    ls_remote_page_fini(&page);
    ls_mapping_free(mapping);
}

static void read__stamp_without_zone_in_a_local_member__is_refused(void **state)
{
    struct ls_config_field field = {
        .name = T("created"), .remote = T("date_created"), .type = LS_CONFIG_TYPE_TIMESTAMP};
    struct ls_config_sync sync = {.name = T("p"),
                                  .account = T("a"),
                                  .entity = T("product"),
                                  .table = T("t"),
                                  .id = T("id"),
                                  .fields = &field,
                                  .field_count = 1};
    struct ls_mapping *mapping = ls_mapping_new(&sync, NULL);
    struct ls_remote_page page = {0};
    struct ls_remote *remote =
        read_object(mapping, &page, "{\"id\":31,\"date_created\":\"2026-03-01T14:00:00\"}", 0);

    (void)state;
    assert_int_equal(remote->error.code, LS_E_INVALID);
    assert_string_equal(remote->error.hint, "map 'date_created_gmt' instead");
    ls_remote_page_fini(&page);
    ls_mapping_free(mapping);
}

static void read__object_without_id__is_refused(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_remote_page page = {0};
    json_t *object = json_object();

    (void)state;
    assert_int_equal(
        ls_wp_object_read(object, mapping, 0, ls_remote_page_add(&page, mapping), NULL), -1);
    json_decref(object);
    ls_remote_page_fini(&page);
    ls_mapping_free(mapping);
}

static void read__reals__have_the_digits_that_php_wrote(void **state)
{
    static const char *const numbers[] = {
        "0.1", "12.34", "1234567.89", "0.30000000000000004", "-2.5", "100000000000000"};
    char out[LS_WP_REAL_SIZE];

    (void)state;
    for (size_t i = 0; i < LS_COUNT(numbers); i++)
        assert_string_equal(ls_wp_real_text(out, strtod(numbers[i], NULL)), numbers[i]);
}

static void set(struct ls_record *record, const struct ls_mapping *mapping, size_t field,
                const char *text)
{
    assert_int_equal(
        ls_value_set(&record->values[field], mapping->fields[field].type, text, strlen(text), NULL),
        0);
}

static void assert_written(const struct ls_mapping *mapping, const struct ls_record *record,
                           bool update, const char *marker, const char *expected)
{
    json_t *body = ls_wp_object_write(mapping, record, update, marker);
    char *text = json_dumps(body, JSON_COMPACT);

    assert_string_equal(text, expected);
    free(text);
    json_decref(body);
}

static void write__values__have_the_platforms_types(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_record record = {0};

    (void)state;
    ls_record_init(&record, mapping);
    set(&record, mapping, PRICE, "12.50");
    set(&record, mapping, STOCK, "7");
    set(&record, mapping, LENGTH, "1.2");
    set(&record, mapping, COLOUR, "red");
    set(&record, mapping, SALE_FROM, "2026-03-01T14:00:00Z");
    set(&record, mapping, FEATURED, "true");
    assert_written(
        mapping, &record, false, "l-9",
        "{\"regular_price\":\"12.5\",\"stock_quantity\":7,\"dimensions\":{\"length\":\"1.2\"},"
        "\"meta_data\":[{\"key\":\"colour\",\"value\":\"red\"},{\"key\":\"_lockstep_uid\","
        "\"value\":\"l-9\"}],"
        "\"date_on_sale_from_gmt\":\"2026-03-01T14:00:00\",\"featured\":true,\"manage_stock\":"
        "true}");
    ls_record_fini(&record);
    ls_mapping_free(mapping);
}

static void write__null__is_said_the_platforms_way_and_left_out_of_a_create(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_record record = {0};

    (void)state;
    ls_record_init(&record, mapping);
    ls_value_set_null(&record.values[PRICE]);
    ls_value_set_null(&record.values[STOCK]);
    ls_value_set_null(&record.values[HTML]);
    ls_value_set_null(&record.values[COLOUR]);
    assert_written(mapping, &record, true, NULL,
                   "{\"regular_price\":\"\",\"description\":\"\",\"meta_data\":[{\"key\":"
                   "\"colour\",\"value\":null}],"
                   "\"manage_stock\":false}");
    assert_written(mapping, &record, false, NULL, "{}");
    ls_record_fini(&record);
    ls_mapping_free(mapping);
}

static void write__mapped_id__never_stands_in_a_body(void **state)
{
    struct ls_config_field fields[] = {
        {.name = T("remote_id"), .remote = T("id"), .type = LS_CONFIG_TYPE_INTEGER},
        {.name = T("name"), .remote = T("name")}};
    struct ls_config_sync sync = {.name = T("p"),
                                  .account = T("a"),
                                  .entity = T("product"),
                                  .table = T("t"),
                                  .id = T("id"),
                                  .fields = fields,
                                  .field_count = 2};
    struct ls_mapping *mapping = ls_mapping_new(&sync, NULL);
    struct ls_record record = {0};

    (void)state;
    ls_record_init(&record, mapping);
    set(&record, mapping, 0, "31");
    set(&record, mapping, 1, "Mug");
    assert_written(mapping, &record, true, NULL, "{\"name\":\"Mug\"}");
    ls_record_fini(&record);
    ls_mapping_free(mapping);
}

static void fields__of_a_mapping__are_named_once(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_buf out = {0};

    (void)state;
    ls_wp_object_fields(&out, mapping, 0, false, true);
    assert_string_equal(
        out.data,
        "id,status,date_modified_gmt,sku,meta_data,name,regular_price,stock_quantity,description,"
        "dimensions.length,date_on_sale_from_gmt,featured,weight");
    ls_buf_clear(&out);
    ls_wp_object_fields(&out, mapping, 1u << STOCK, true, false);
    assert_string_equal(out.data, "id,stock_quantity");
    ls_buf_fini(&out);
    ls_mapping_free(mapping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read__whole_object__is_canonical),
        cmocka_unit_test(read__null_empty_and_absent__stay_three_things),
        cmocka_unit_test(read__unreadable_value__is_named_and_the_rest_is_read),
        cmocka_unit_test(read__some_fields_wanted__leaves_the_others_missing),
        cmocka_unit_test(read__stamp_without_zone_in_a_local_member__is_refused),
        cmocka_unit_test(read__object_without_id__is_refused),
        cmocka_unit_test(read__reals__have_the_digits_that_php_wrote),
        cmocka_unit_test(write__values__have_the_platforms_types),
        cmocka_unit_test(write__null__is_said_the_platforms_way_and_left_out_of_a_create),
        cmocka_unit_test(write__mapped_id__never_stands_in_a_body),
        cmocka_unit_test(fields__of_a_mapping__are_named_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
