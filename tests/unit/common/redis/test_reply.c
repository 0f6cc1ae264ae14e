#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/redis/reply.h"

static const struct ls_reply *read_all(struct ls_reply_reader *reader, const char *bytes)
{
    const struct ls_reply *reply = NULL;

    ls_reply_reader_feed(reader, bytes, strlen(bytes));
    assert_int_equal(ls_reply_reader_next(reader, &reply, NULL), 1);
    return reply;
}

static void reply__nested_arrays__become_a_tree(void **state)
{
    struct ls_reply_reader *reader = ls_reply_reader_new();
    const struct ls_reply *reply =
        read_all(reader, "*4\r\n$2\r\nOK\r\n*2\r\n:42\r\n$-1\r\n*0\r\n$3\r\n-17\r\n");

    assert_int_equal(reply->count, 4);
    assert_true(ls_reply_is(ls_reply_item(reply, 0), "OK"));
    assert_int_equal(ls_reply_int(ls_reply_item(ls_reply_item(reply, 1), 0), 0), 42);
    assert_int_equal(ls_reply_item(ls_reply_item(reply, 1), 1)->type, LS_REPLY_NIL);
    assert_int_equal(ls_reply_item(reply, 2)->count, 0);
    assert_int_equal(ls_reply_int(ls_reply_item(reply, 3), 0), -17);
    assert_null(ls_reply_item(reply, 4));
    ls_reply_reader_free(reader);
}

static void reply__byte_by_byte__arrives_all_the_same(void **state)
{
    struct ls_reply_reader *reader = ls_reply_reader_new();
    const char *bytes = "*2\r\n$5\r\nhello\r\n:7\r\n+PONG\r\n";
    const struct ls_reply *reply;
    int whole = 0;

    for (; *bytes; bytes++) {
        ls_reply_reader_feed(reader, bytes, 1);
        if (ls_reply_reader_next(reader, &reply, NULL) == 1)
            whole++;
    }
    assert_int_equal(whole, 2);
    assert_true(ls_reply_is(reply, "PONG"));
    ls_reply_reader_free(reader);
}

static void reply__numbers__in_strings_are_read_with_care(void **state)
{
    struct ls_reply_reader *reader = ls_reply_reader_new();

    assert_int_equal(ls_reply_int(read_all(reader, "$16\r\n1700000000000001\r\n"), -1),
                     1700000000000001);
    assert_int_equal(ls_reply_int(read_all(reader, "$3\r\n1e5\r\n"), -1), -1);
    assert_int_equal(ls_reply_int(read_all(reader, "$1\r\n-\r\n"), 5), 5);
    assert_int_equal(ls_reply_int(read_all(reader, "$20\r\n99999999999999999999\r\n"), 5), 5);
    ls_reply_reader_free(reader);
}

static void reply__protocol_error__is_told(void **state)
{
    struct ls_reply_reader *reader = ls_reply_reader_new();
    const struct ls_reply *reply;
    struct ls_err err = LS_ERR_INIT;

    ls_reply_reader_feed(reader, "HTTP/1.1 400 Bad\r\n", 18);
    assert_int_equal(ls_reply_reader_next(reader, &reply, &err), -1);
    assert_int_equal(err.code, LS_E_LOST);
    ls_reply_reader_free(reader);
}

static void reply__errors__are_sorted_by_what_to_do(void **state)
{
    static const struct {
        const char *bytes;
        enum ls_err_code code;
        const char *reason;
    } rows[] = {{"-READONLY You can't\r\n", LS_E_TRANSIENT, "READONLY"},
                {"-LOADING Redis is\r\n", LS_E_TRANSIENT, "LOADING"},
                {"-OOM command not\r\n", LS_E_TRANSIENT, "OOM"},
                {"-WRONGPASS invalid\r\n", LS_E_AUTH, "WRONGPASS"},
                {"-NOPERM this user\r\n", LS_E_AUTH, "NOPERM"},
                {"-ERR unknown command\r\n", LS_E_REDIS, "ERR"}};
    struct ls_reply_reader *reader = ls_reply_reader_new();
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct ls_err err = LS_ERR_INIT;
        assert_int_equal(ls_reply_fail(read_all(reader, rows[i].bytes), &err), -1);
        assert_int_equal(err.code, rows[i].code);
        assert_string_equal(err.reason, rows[i].reason);
    }
    ls_reply_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply__nested_arrays__become_a_tree),
        cmocka_unit_test(reply__byte_by_byte__arrives_all_the_same),
        cmocka_unit_test(reply__numbers__in_strings_are_read_with_care),
        cmocka_unit_test(reply__protocol_error__is_told),
        cmocka_unit_test(reply__errors__are_sorted_by_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
