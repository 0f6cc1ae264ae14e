#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/json.h"

static uint64_t seed;

/* xorshift64: the run can be repeated from its seed. */
static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static const char *const seeds[] = {
    "{\"id\":\"1\",\"key\":\"k\",\"kind\":\"x\",\"data\":{\"a\":[-0.5e+10,null]}}",
    "{\"kind\":\"http\",\"data\":\"\\u00e9\\ud83d\\ude00 \xc3\xa9 \xf0\x9f\x98\x80\\n\"}",
    "[[[[]]],{},\"\",0,-1,1e5,0.1]",
    " { \"a\" : [ 1 , 2 ] , \"b\" : { } } ",
    "\"text\"",
    "12345678901234567",
    "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
};

static size_t mutate(char *out, size_t room)
{
    static const char bytes[] =
        "{}[]\",:\\/0123456789-+.eEtrufalsn \n\t\r\x01\x7f\x80\xc3\xa9\xed\xa0\xff"
        "ud8\0";
    const char *from = seeds[chance(LS_COUNT(seeds))];
    size_t length = strlen(from);
    uint64_t changes = chance(6);

    memcpy(out, from, length);
    for (uint64_t i = 0; i < changes; i++) {
        size_t at = length ? chance(length) : 0;
        char byte = bytes[chance(sizeof bytes)];

        switch (chance(4)) {
        case 0:
            if (length)
                out[at] = byte;
            break;
        case 1: /* insert */
            if (length + 1 < room) {
                memmove(out + at + 1, out + at, length - at);
                out[at] = byte;
                length++;
            }
            break;
        case 2: /* drop */
            if (length) {
                memmove(out + at, out + at + 1, length - at - 1);
                length--;
            }
            break;
        default: { /* repeat a piece */
            size_t piece = length - at < 12 ? length - at : chance(12);

            if (length + piece < room) {
                memmove(out + at + piece, out + at, length - at);
                length += piece;
            }
        }
        }
    }
    return length;
}

/* What jansson refuses though it is JSON: numbers too big for its types, NUL in a name. */
static bool documented_difference(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);

    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_null_character;
}

static void json__random_texts__are_accepted_exactly_when_jansson_accepts_them(void **state)
{
    char text[512];
    int accepted = 0;

    seed = 0x10c57e9;
    for (int i = 0; i < 400000; i++) {
        size_t length = mutate(text, sizeof text);
        json_error_t error;
        json_t *tree = json_loadb(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        bool ours = ls_json_valid(text, length, 64);

        if (ours != (tree != NULL) && !(ours && documented_difference(&error)) &&
            !memchr(text, '\0', length)) /* jansson overlooks a NUL behind a number */
            fail_msg("seed 0x10c57e9, text %d: ours %d, jansson %d (%s): %.*s", i, ours,
                     tree != NULL, tree ? "" : error.text, (int)length, text);
        accepted += ours;
        json_decref(tree);
    }
    assert_true(accepted > 20000); /* the test is worth something only if many are valid */
}

static void envelope__random_texts__are_refused_whenever_they_are_no_json_object(void **state)
{
    char text[512];
    int accepted = 0;

    seed = 0xfeed5;
    for (int i = 0; i < 400000; i++) {
        size_t length = mutate(text, sizeof text);
        struct ls_envelope envelope;
        struct ls_err err = LS_ERR_INIT;
        json_t *tree = json_loadb(text, length, JSON_ALLOW_NUL, NULL);

        if (ls_envelope_scan(&envelope, text, length, &err) == 0) {
            struct ls_buf again = {0};

            if (!json_is_object(tree) && !ls_json_valid(text, length, 64))
                fail_msg("text %d is no JSON: %.*s", i, (int)length, text);
            accepted++;
            if (tree && envelope.kind.length) {
                json_t *kind = json_object_get(tree, "kind");

                if (!kind)
                    kind = json_object_get(tree, "type");
                if (kind) /* a name written with escapes is found by us, by jansson too */
                    assert_true(json_is_string(kind));
            }
            if (!envelope.id.length)
                envelope.id = LS_SPAN("new");
            ls_envelope_write(&again, &envelope);
            ls_envelope_fini(&envelope);
            if (ls_envelope_scan(&envelope, again.data, again.length, &err) < 0 ||
                !envelope.canonical)
                fail_msg("text %d, what we wrote is not canonical (%s): %s", i, err.text,
                         again.data);
            ls_buf_fini(&again);
        }
        ls_envelope_fini(&envelope);
        json_decref(tree);
    }
    assert_true(accepted > 1000);
}

static void json__depth__is_bounded(void **state)
{
    char text[200];

    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_true(ls_json_valid(text, 128, 64));
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_false(ls_json_valid(text, 130, 64));
    assert_false(ls_json_valid(text, 130, 1000)); /* 64 is the most */
}

static void json__unescape__gives_the_text_behind_every_escape(void **state)
{
    struct ls_buf out = {0};
    struct ls_json json;
    struct ls_span inside;
    bool escaped;
    static const char text[] =
        "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\u0000z\"";

    ls_json_init(&json, text, sizeof text - 1, 64);
    assert_true(ls_json_string(&json, &inside, &escaped));
    assert_true(escaped);
    ls_json_unescape(&out, inside);
    assert_int_equal(out.length, 21);
    assert_memory_equal(out.data, "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0z", 21);
    ls_buf_fini(&out);
}

static void json__whole_numbers__keep_to_their_range(void **state)
{
    int64_t value;

    assert_true(ls_json_int(LS_SPAN("9223372036854775807"), &value));
    assert_true(value == INT64_MAX);
    assert_true(ls_json_int(LS_SPAN("-9223372036854775808"), &value));
    assert_true(value == INT64_MIN);
    assert_false(ls_json_int(LS_SPAN("9223372036854775808"), &value));
    assert_false(ls_json_int(LS_SPAN("-9223372036854775809"), &value));
    assert_false(ls_json_int(LS_SPAN("1.0"), &value));
    assert_false(ls_json_int(LS_SPAN("-"), &value));
    assert_false(ls_json_int(LS_SPAN("\"1\""), &value));
    assert_false(ls_json_int((struct ls_span){0}, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json__random_texts__are_accepted_exactly_when_jansson_accepts_them),
        cmocka_unit_test(envelope__random_texts__are_refused_whenever_they_are_no_json_object),
        cmocka_unit_test(json__depth__is_bounded),
        cmocka_unit_test(json__unescape__gives_the_text_behind_every_escape),
        cmocka_unit_test(json__whole_numbers__keep_to_their_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
