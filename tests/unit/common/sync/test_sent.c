#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/sync/sent.h"

static struct ls_field fields[] = {
    {.name = (char *)"name"}, {.name = (char *)"price"}, {.name = (char *)"text"}};
static const struct ls_mapping mapping = {.count = LS_COUNT(fields), .fields = fields};

/* NULL: MISSING; "null": NULL. */
static struct ls_record record_of(const char *name, const char *price, const char *text)
{
    const char *values[] = {name, price, text};
    struct ls_record record;

    ls_record_init(&record, &mapping);
    for (size_t i = 0; i < mapping.count; i++)
        if (values[i] && strcmp(values[i], "null") == 0)
            ls_value_set_null(&record.values[i]);
        else if (values[i])
            ls_value_set(&record.values[i], LS_TYPE_TEXT, values[i], strlen(values[i]), NULL);
    return record;
}

static void sent__is_found_again_beside_edits_of_other_fields(void **state)
{
    struct ls_record out = record_of("shoe", "5", NULL), now = record_of("shoe", "5", "new"),
                     other = record_of("shoe", "6", "new");
    char sent[LS_RECORD_HASH_SIZE];

    ls_sent_hash(&mapping, &out, sent);
    assert_int_equal(strlen(sent), LS_RECORD_HASH_SIZE - 1);
    assert_int_equal(ls_sent_match(&mapping, sent, &now), 3);
    assert_int_equal(ls_sent_match(&mapping, sent, &other), 0);
    assert_int_equal(ls_sent_match(&mapping, "nonsense", &now), 0);
    ls_record_fini(&out);
    ls_record_fini(&now);
    ls_record_fini(&other);
}

static void sent__null_text_comes_back_as_empty_text(void **state)
{
    struct ls_record out = record_of("null", NULL, NULL), now = record_of("", "5", "x");
    char sent[LS_RECORD_HASH_SIZE];

    ls_sent_hash(&mapping, &out, sent);
    assert_int_equal(ls_sent_match(&mapping, sent, &now), 1);
    ls_record_fini(&out);
    ls_record_fini(&now);
}

static void sent__is_explained_when_each_field_was_changed_on_one_side(void **state)
{
    struct ls_record out = record_of("shoe", "5", "a"), local = record_of("boot", "5", "a"),
                     remote = record_of("shoe", "5", "theirs"),
                     both = record_of("shoe", "9", "theirs"), moved = record_of("x", "8", "y");
    char sent[LS_RECORD_HASH_SIZE];
    uint64_t own, held;

    ls_sent_hash(&mapping, &out, sent);
    assert_true(ls_sent_explain(&mapping, sent, &local, &remote, &own, &held));
    assert_int_equal(own, 3);  /* name and price are there as sent, */
    assert_int_equal(held, 4); /* text is ours still and was changed there */
    assert_false(ls_sent_explain(&mapping, sent, &moved, &both, &own, &held));
    assert_int_equal(own | held, 0);
    ls_record_fini(&out);
    ls_record_fini(&local);
    ls_record_fini(&remote);
    ls_record_fini(&both);
    ls_record_fini(&moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent__is_found_again_beside_edits_of_other_fields),
        cmocka_unit_test(sent__null_text_comes_back_as_empty_text),
        cmocka_unit_test(sent__is_explained_when_each_field_was_changed_on_one_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
