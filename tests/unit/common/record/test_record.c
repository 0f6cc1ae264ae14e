#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/record/check.h"
#include "common/record/decimal.h"
#include "common/record/record.h"

#define T(text) ((char *)(text)) /* the config's texts are owned: ours are literals */

static struct ls_mapping *new_mapping(void)
{
    struct ls_config_field fields[] = {
        {.name = T("sku"), .column = T("sku"), .remote = T("sku"), .check = T("not empty")},
        {.name = T("name"),
         .column = T("title"),
         .remote = T("name"),
         .check = T("not empty and max length 5")},
        {.name = T("price"),
         .column = T("price"),
         .remote = T("regular_price"),
         .type = LS_CONFIG_TYPE_MONEY,
         .owner = LS_CONFIG_OWNER_LOCAL,
         .check = T(">= 0")},
        {.name = T("inventory"),
         .column = T("inventory"),
         .remote = T("stock_quantity"),
         .type = LS_CONFIG_TYPE_INTEGER,
         .owner = LS_CONFIG_OWNER_REMOTE},
    };
    struct ls_config_sync sync = {.name = T("products"),
                                  .account = T("shop-eu"),
                                  .entity = T("product"),
                                  .table = T("products"),
                                  .id = T("id"),
                                  .fields = fields,
                                  .field_count = LS_COUNT(fields)};
    struct ls_err err = LS_ERR_INIT;
    struct ls_mapping *mapping = ls_mapping_new(&sync, &err);

    assert_string_equal(err.text, "");
    assert_non_null(mapping);
    return mapping;
}

static void assert_canonical(enum ls_type type, const char *text, const char *expected)
{
    struct ls_value value = {0};
    struct ls_err err = LS_ERR_INIT;
    int result = ls_value_set(&value, type, text, strlen(text), &err);

    if (!expected) {
        assert_int_equal(result, -1);
        assert_int_equal(value.state, LS_VALUE_MISSING);
        return;
    }
    assert_string_equal(err.text, "");
    assert_string_equal(value.text, expected);
    assert_int_equal(value.length, strlen(expected));
    ls_value_fini(&value);
}

static void numbers__every_spelling__has_one_canonical_form(void **state)
{
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        {"12.50", "12.5"},
        {"0", "0"},
        {"-0.00", "0"},
        {"+007", "7"},
        {".5", "0.5"},
        {"5.", "5"},
        {"1e3", "1000"},
        {"15E-1", "1.5"},
        {"100", "100"},
        {"-3.140", "-3.14"},
        {"0.001", "0.001"},
        {"1.5e-3", "0.0015"},
        {"0.10e1", "1"},
        {"000.100", "0.1"},
        {"1000e-3", "1"},
        {"", NULL},
        {".", NULL},
        {"-", NULL},
        {"1,5", NULL},
        {"1.2.3", NULL},
        {"abc", NULL},
        {"1e", NULL},
        {"1e99999", NULL},
        {" 1", NULL},
        {"0x10", NULL},
        {"nan", NULL},
        {"10.01", "10.01"},
        {"0e5", "0"},
        {"99999999999999999999999999999999999999", "99999999999999999999999999999999999999"},
        {"999999999999999999999999999999999999999", NULL},
        {"1e38", NULL},
        {"1e37", "10000000000000000000000000000000000000"},
        {"0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"},
        {"0.000000000000000000000000000000000000001", NULL},
        {"-1234567890123456789012345678901234567.8", "-1234567890123456789012345678901234567.8"},
    };

    for (size_t i = 0; i < LS_COUNT(cases); i++) {
        assert_canonical(LS_TYPE_DECIMAL, cases[i].text, cases[i].canonical);
        assert_canonical(LS_TYPE_MONEY, cases[i].text, cases[i].canonical);
    }
}

static void integers__are_64_bits_without_fraction(void **state)
{
    assert_canonical(LS_TYPE_INTEGER, "7.0", "7");
    assert_canonical(LS_TYPE_INTEGER, "-03", "-3");
    assert_canonical(LS_TYPE_INTEGER, "7.5", NULL);
    assert_canonical(LS_TYPE_INTEGER, "9223372036854775807", "9223372036854775807");
    assert_canonical(LS_TYPE_INTEGER, "9223372036854775808", NULL);
    assert_canonical(LS_TYPE_INTEGER, "-9223372036854775808", "-9223372036854775808");
}

static void decimals__compare_by_value(void **state)
{
    assert_true(ls_decimal_compare("9", "10") < 0);
    assert_true(ls_decimal_compare("1.5", "1.25") > 0);
    assert_true(ls_decimal_compare("-2", "-10") > 0);
    assert_true(ls_decimal_compare("-2", "1") < 0);
    assert_true(ls_decimal_compare("1", "1.01") < 0);
    assert_int_equal(ls_decimal_compare("0.1", "0.1"), 0);
}

static void text__line_ends_are_folded_and_bad_bytes_refused(void **state)
{
    assert_canonical(LS_TYPE_TEXT, "a\r\nb\rc\n", "a\nb\nc\n");
    assert_canonical(LS_TYPE_HTML, "", "");
    assert_canonical(LS_TYPE_TEXT, "\xff", NULL);
    struct ls_value value = {0};
    assert_int_equal(ls_value_set(&value, LS_TYPE_TEXT, "a\0b", 3, NULL), -1);
}

static void booleans_and_timestamps__have_one_form(void **state)
{
    assert_canonical(LS_TYPE_BOOLEAN, "1", "true");
    assert_canonical(LS_TYPE_BOOLEAN, "False", "false");
    assert_canonical(LS_TYPE_BOOLEAN, "maybe", NULL);
    assert_canonical(LS_TYPE_TIMESTAMP, "2026-11-23 00:51:00.987", "2026-11-23T00:51:00Z");
    assert_canonical(LS_TYPE_TIMESTAMP, "2026-11-23T00:51:00+02:00", "2026-11-22T22:51:00Z");
    assert_canonical(LS_TYPE_TIMESTAMP, "2024-02-29", "2024-02-29T00:00:00Z");
    assert_canonical(LS_TYPE_TIMESTAMP, "2023-02-29", NULL);
    assert_canonical(LS_TYPE_TIMESTAMP, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z");
    assert_canonical(LS_TYPE_TIMESTAMP, "2026-11-23T25:00:00Z", NULL);
    assert_canonical(LS_TYPE_TIMESTAMP, "2026-11-23T10:00:00Zx", NULL);
    assert_canonical(LS_TYPE_TIMESTAMP, "yesterday", NULL);
}

static void value__missing_null_and_empty__are_three_things(void **state)
{
    struct ls_value missing = {0}, null = {0}, empty = {0};

    ls_value_set_null(&null);
    ls_value_set(&empty, LS_TYPE_TEXT, "", 0, NULL);
    assert_false(ls_value_equal(&missing, &null));
    assert_false(ls_value_equal(&null, &empty));
    assert_false(ls_value_equal(&missing, &empty));
    assert_true(ls_value_equal(&empty, &empty));
    ls_value_fini(&empty);
}

static void record__json__comes_back_equal(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_record record = {0}, back = {0};
    struct ls_buf json = {0};
    char a[LS_RECORD_HASH_SIZE], b[LS_RECORD_HASH_SIZE];

    ls_record_init(&record, mapping);
    ls_value_set(&record.values[1], LS_TYPE_TEXT, "caf\xc3\xa9 \"x\"\n", 10, NULL);
    ls_value_set(&record.values[2], LS_TYPE_MONEY, "12.50", 5, NULL);
    ls_value_set_null(&record.values[3]);
    ls_record_to_json(&json, mapping, &record);
    assert_string_equal(
        json.data, "{\"name\":\"caf\xc3\xa9 \\\"x\\\"\\n\",\"price\":\"12.5\",\"inventory\":null}");
    assert_int_equal(ls_record_from_json(&back, mapping, json.data, json.length, NULL), 0);
    assert_int_equal(back.values[0].state, LS_VALUE_MISSING);
    for (size_t i = 0; i < mapping->count; i++)
        assert_true(ls_value_equal(&record.values[i], &back.values[i]));
    ls_record_hash(mapping, &record, a);
    ls_record_hash(mapping, &back, b);
    assert_string_equal(a, b);
    ls_value_set(&back.values[2], LS_TYPE_MONEY, "12.51", 5, NULL);
    ls_record_hash(mapping, &back, b);
    assert_string_not_equal(a, b);
    assert_int_equal(ls_record_from_json(&back, mapping, "[1]", 3, NULL), -1);
    assert_int_equal(ls_record_from_json(&back, mapping, "{\"price\":1}", 11, NULL), -1);
    assert_int_equal(
        ls_record_from_json(&back, mapping, "{\"price\":\"x\",\"gone\":\"1\"}", 24, NULL), 0);
    assert_int_equal(back.values[2].state, LS_VALUE_MISSING);
    ls_buf_fini(&json);
    ls_record_fini(&record);
    ls_record_fini(&back);
    ls_mapping_free(mapping);
}

static void record__hash__does_not_depend_on_the_order_of_fields(void **state)
{
    struct ls_mapping *mapping = new_mapping(), *turned = new_mapping();
    struct ls_record record = {0}, other = {0};
    struct ls_field swap = turned->fields[0];
    char a[LS_RECORD_HASH_SIZE], b[LS_RECORD_HASH_SIZE];

    turned->fields[0] = turned->fields[1];
    turned->fields[1] = swap;
    ls_record_init(&record, mapping);
    ls_record_init(&other, turned);
    ls_value_set(&record.values[0], LS_TYPE_TEXT, "A-1", 3, NULL);
    ls_value_set(&record.values[1], LS_TYPE_TEXT, "shoe", 4, NULL);
    ls_value_set(&other.values[1], LS_TYPE_TEXT, "A-1", 3, NULL);
    ls_value_set(&other.values[0], LS_TYPE_TEXT, "shoe", 4, NULL);
    ls_record_hash(mapping, &record, a);
    ls_record_hash(turned, &other, b);
    assert_string_equal(a, b);
    ls_record_fini(&record);
    ls_record_fini(&other);
    ls_mapping_free(mapping);
    ls_mapping_free(turned);
}

static void validate__what_breaks_a_check__is_named(void **state)
{
    struct ls_mapping *mapping = new_mapping();
    struct ls_record record = {0};
    struct ls_err err = LS_ERR_INIT;

    ls_record_init(&record, mapping);
    assert_int_equal(ls_record_validate(mapping, &record, &err), 0);
    ls_value_set(&record.values[2], LS_TYPE_MONEY, "-1", 2, NULL);
    assert_int_equal(ls_record_validate(mapping, &record, &err), -1);
    assert_string_equal(err.text, "invalid price '-1': must be >= 0");
    assert_string_equal(err.reason, "price");
    ls_value_set(&record.values[2], LS_TYPE_MONEY, "0", 1, NULL);
    assert_int_equal(ls_record_validate(mapping, &record, &err), 0);
    ls_value_set(&record.values[1], LS_TYPE_TEXT, "caf\xc3\xa9s", 6, NULL);
    assert_int_equal(ls_record_validate(mapping, &record, &err), 0);
    ls_value_set(&record.values[1], LS_TYPE_TEXT, "coffee", 6, NULL);
    assert_int_equal(ls_record_validate(mapping, &record, &err), -1);
    assert_string_equal(err.text, "invalid name 'coffee': must have at most 5 characters");
    ls_value_set_null(&record.values[1]);
    assert_int_equal(ls_record_validate(mapping, &record, &err), -1);
    assert_string_equal(err.text, "invalid name '': must not be empty");
    ls_record_fini(&record);
    ls_mapping_free(mapping);
}

static void check__nonsense__is_refused_with_its_reason(void **state)
{
    struct ls_err err = LS_ERR_INIT;

    assert_int_equal(ls_check_parse(">= 0 and < 100", LS_TYPE_MONEY, &err), 0);
    assert_int_equal(ls_check_parse(">= 0", LS_TYPE_TEXT, &err), -1);
    assert_int_equal(ls_check_parse(">= x", LS_TYPE_MONEY, &err), -1);
    assert_int_equal(ls_check_parse("positive", LS_TYPE_MONEY, &err), -1);
    assert_int_equal(err.code, LS_E_CONFIG);
    assert_int_equal(ls_check_parse("max length -1", LS_TYPE_TEXT, &err), -1);
}

static void mapping__finds_fields_and_knows_itself(void **state)
{
    struct ls_mapping *mapping = new_mapping(), *again = new_mapping();

    assert_int_equal(mapping->match, 0);
    assert_int_equal(ls_mapping_by_name(mapping, "title"), 1);
    assert_int_equal(ls_mapping_by_name(mapping, "regular_price"), 2);
    assert_int_equal(ls_mapping_by_remote(mapping, "price"), -1);
    assert_int_equal(strlen(mapping->identity), 32);
    assert_string_equal(mapping->identity, again->identity);
    ls_mapping_free(mapping);
    ls_mapping_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers__every_spelling__has_one_canonical_form),
        cmocka_unit_test(integers__are_64_bits_without_fraction),
        cmocka_unit_test(decimals__compare_by_value),
        cmocka_unit_test(text__line_ends_are_folded_and_bad_bytes_refused),
        cmocka_unit_test(booleans_and_timestamps__have_one_form),
        cmocka_unit_test(value__missing_null_and_empty__are_three_things),
        cmocka_unit_test(record__json__comes_back_equal),
        cmocka_unit_test(record__hash__does_not_depend_on_the_order_of_fields),
        cmocka_unit_test(validate__what_breaks_a_check__is_named),
        cmocka_unit_test(check__nonsense__is_refused_with_its_reason),
        cmocka_unit_test(mapping__finds_fields_and_knows_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
