#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/base/mem.h"
#include "common/job/attempts.h"
#include "common/job/envelope.h"

#define AT_MS 1763859600123

static struct ls_attempt attempt(int number, const char *error)
{
    static char codes[16][16];
    char *code = codes[number % 16];

    snprintf(code, 16, "c%d", number);
    return (struct ls_attempt){.at_ms = AT_MS + number,
                               .klass = LS_SPAN("transient"),
                               .http_status = number % 2 ? 503 : 0,
                               .code = ls_span_of(code),
                               .error = ls_span_of(error)};
}

/* `history` with one more, as the next call gets it. */
static struct ls_span add(struct ls_buf *buf, struct ls_span history, int number, const char *error,
                          size_t room)
{
    struct ls_attempt one = attempt(number, error);
    struct ls_buf next = {0};

    ls_attempts_add(&next, history, &one, room);
    ls_buf_fini(buf);
    *buf = next;
    return (struct ls_span){buf->data, buf->length};
}

static void attempts__one__is_written_and_read_back(void **state)
{
    struct ls_attempt read[LS_ATTEMPTS_MAX];
    struct ls_buf buf = {0}, texts = {0};
    struct ls_span history = add(&buf, (struct ls_span){0}, 1, "peer said \"no\"\n", SIZE_MAX);

    assert_string_equal(history.data,
                        "[{\"at\":\"2025-11-23T01:00:00.124Z\",\"class\":\"transient\","
                        "\"status\":503,\"code\":\"c1\",\"error\":\"peer said "
                        "\\\"no\\\"\\n\"}]");
    assert_int_equal(ls_attempts_parse(history, read, &texts), 1);
    assert_true(read[0].at_ms == AT_MS + 1);
    assert_true(ls_span_is(read[0].klass, "transient"));
    assert_int_equal(read[0].http_status, 503);
    assert_true(ls_span_is(read[0].code, "c1"));
    assert_true(ls_span_is(read[0].error, "peer said \"no\"\n"));
    ls_buf_fini(&buf);
    ls_buf_fini(&texts);
}

static void attempts__more_than_eight__the_oldest_go(void **state)
{
    struct ls_attempt read[LS_ATTEMPTS_MAX];
    struct ls_buf buf = {0}, texts = {0};
    struct ls_span history = {0};

    for (int i = 0; i < 12; i++)
        history = add(&buf, history, i, "it broke", SIZE_MAX);
    assert_int_equal(ls_attempts_parse(history, read, &texts), LS_ATTEMPTS_MAX);
    for (int i = 0; i < LS_ATTEMPTS_MAX; i++)
        assert_true(read[i].at_ms == AT_MS + 4 + i);
    ls_buf_fini(&buf);
    ls_buf_fini(&texts);
}

static void attempts__a_long_error__is_cut_between_characters(void **state)
{
    struct ls_attempt read[LS_ATTEMPTS_MAX];
    struct ls_buf buf = {0}, texts = {0};
    struct ls_span history;
    char error[300] = "x";

    for (size_t i = 1; i + 2 < sizeof error; i += 2)
        memcpy(error + i, "\xc3\xa9", 3);
    history = add(&buf, (struct ls_span){0}, 1, error, SIZE_MAX);
    assert_int_equal(ls_attempts_parse(history, read, &texts), 1);
    assert_int_equal(read[0].error.length, LS_ATTEMPTS_ERROR_MAX - 1);
    assert_memory_equal(read[0].error.data, error, read[0].error.length);
    ls_buf_fini(&buf);
    ls_buf_fini(&texts);
}

static void attempts__too_little_room__the_oldest_give_way_and_then_all(void **state)
{
    struct ls_attempt read[LS_ATTEMPTS_MAX];
    struct ls_buf buf = {0}, texts = {0};
    struct ls_span history = {0};
    size_t each;

    history = add(&buf, history, 1, "it broke", SIZE_MAX);
    each = history.length;
    for (int i = 2; i < 6; i++)
        history = add(&buf, history, i, "it broke", SIZE_MAX);
    history = add(&buf, history, 7, "it broke", 3 * each);
    assert_true(history.length <= 3 * each);
    assert_int_equal(ls_attempts_parse(history, read, &texts), 3);
    assert_true(ls_span_is(read[2].code, "c7"));
    assert_true(ls_span_is(read[0].code, "c4"));
    history = add(&buf, history, 9, "it broke", each - 1);
    assert_int_equal(history.length, 0);
    ls_buf_fini(&buf);
    ls_buf_fini(&texts);
}

/* What a producer, or another version, put there. */
static void attempts__entries_that_are_none__are_dropped(void **state)
{
    static const char *const histories[] = {
        "", "[", "{}", "[1,2]", "[\"a\"]", "[{\"at\":\"x\"}", "null", "[{\"a\":\n1}]",
    };
    struct ls_attempt read[LS_ATTEMPTS_MAX];
    struct ls_buf buf = {0}, texts = {0};

    for (size_t i = 0; i < LS_COUNT(histories); i++) {
        struct ls_span history = add(&buf, ls_span_of(histories[i]), 1, "it broke", SIZE_MAX);
        size_t count = ls_attempts_parse(history, read, &texts);

        if (count < 1 || count > 2 || !ls_span_is(read[count - 1].code, "c1"))
            fail_msg("%s became %s", histories[i], history.data);
    }
    assert_int_equal(ls_attempts_parse(LS_SPAN("[{\"at\":7,\"status\":\"x\",\"code\":\"\\u0041\","
                                               "\"code\":3,\"class\":null}]"),
                                       read, &texts),
                     1);
    assert_true(read[0].at_ms == 0 && read[0].http_status == 0 && !read[0].klass.length);
    assert_true(ls_span_is(read[0].code, "A"));
    ls_buf_fini(&buf);
    ls_buf_fini(&texts);
}

/* One huge entry must not push the array over its bound. */
static void attempts__of_strange_size__stay_within_their_bound(void **state)
{
    struct ls_buf strange = {0}, buf = {0};
    struct ls_span history;
    json_t *tree;

    ls_buf_puts(&strange, "[{\"x\":\"");
    for (int i = 0; i < 3 * LS_ATTEMPTS_BYTES; i++)
        ls_buf_putc(&strange, 'y');
    ls_buf_puts(&strange, "\"}]");
    history = (struct ls_span){strange.data, strange.length};
    for (int i = 0; i < 10; i++) {
        char error[200];

        memset(error, '\1', sizeof error); /* six bytes each when escaped */
        error[sizeof error - 1] = '\0';
        history = add(&buf, history, i, error, SIZE_MAX);
        assert_in_range(history.length, 1, LS_ATTEMPTS_BYTES);
        tree = json_loadb(history.data, history.length, 0, NULL);
        assert_non_null(tree);
        json_decref(tree);
    }
    ls_buf_fini(&strange);
    ls_buf_fini(&buf);
}

static void note__an_envelope__takes_it_behind_its_options(void **state)
{
    struct ls_attempt one = attempt(2, "it broke");
    struct ls_envelope envelope, again;
    struct ls_buf history = {0}, out = {0};
    static const char text[] = "{\"id\":\"1\",\"kind\":\"x\",\"attempt\":1,\"priority\":\"high\"}";

    assert_int_equal(ls_envelope_scan(&envelope, text, sizeof text - 1, NULL), 0);
    ls_attempts_note(&history, &envelope, &one);
    ls_envelope_write(&out, &envelope);
    assert_string_equal(out.data, "{\"id\":\"1\",\"kind\":\"x\",\"attempt\":1,\"history\":[{\"at\":"
                                  "\"2025-11-23T01:00:00.125Z\",\"class\":\"transient\",\"code\":"
                                  "\"c2\",\"error\":\"it broke\"}],\"priority\":\"high\"}");
    assert_int_equal(ls_envelope_scan(&again, out.data, out.length, NULL), 0);
    assert_true(again.canonical);
    assert_true(ls_span_equal(again.history, envelope.history));
    ls_envelope_fini(&again);
    ls_envelope_fini(&envelope);
    ls_buf_fini(&history);
    ls_buf_fini(&out);
}

/* Envelopes of every length up to the limit: what is written can be read again. */
static void note__an_envelope_near_its_limit__never_grows_beyond_it(void **state)
{
    bool dropped = false, kept = false;

    for (size_t spare = 0; spare < 1200; spare += 7) {
        struct ls_envelope envelope = {.id = LS_SPAN("1"), .kind = LS_SPAN("x"), .attempt = 1};
        struct ls_buf data = {0}, out = {0}, first = {0}, second = {0};
        struct ls_attempt one = attempt(1, "it broke");

        ls_buf_putc(&data, '"');
        while (data.length < LS_ENVELOPE_MAX - 46 - spare)
            ls_buf_putc(&data, 'd');
        ls_buf_putc(&data, '"');
        envelope.data = (struct ls_span){data.data, data.length};
        ls_attempts_note(&first, &envelope, &one);
        ls_attempts_note(&second, &envelope, &one);
        ls_envelope_write(&out, &envelope);
        if (out.length > LS_ENVELOPE_MAX)
            fail_msg("%zu bytes", out.length);
        assert_int_equal(ls_envelope_scan(&envelope, out.data, out.length, NULL), 0);
        *(envelope.history.length ? &kept : &dropped) = true;
        ls_envelope_fini(&envelope);
        ls_buf_fini(&data);
        ls_buf_fini(&out);
        ls_buf_fini(&first);
        ls_buf_fini(&second);
    }
    assert_true(dropped && kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts__one__is_written_and_read_back),
        cmocka_unit_test(attempts__more_than_eight__the_oldest_go),
        cmocka_unit_test(attempts__a_long_error__is_cut_between_characters),
        cmocka_unit_test(attempts__too_little_room__the_oldest_give_way_and_then_all),
        cmocka_unit_test(attempts__entries_that_are_none__are_dropped),
        cmocka_unit_test(attempts__of_strange_size__stay_within_their_bound),
        cmocka_unit_test(note__an_envelope__takes_it_behind_its_options),
        cmocka_unit_test(note__an_envelope_near_its_limit__never_grows_beyond_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
