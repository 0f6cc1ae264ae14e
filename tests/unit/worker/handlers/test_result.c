#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/job/json.h"
#include "worker/handlers/result.h"

static void check(const char *text, size_t length, size_t room, bool whole)
{
    struct ls_buf out = {0};

    ls_buf_puts(&out, "before");
    assert_int_equal(ls_result_text(&out, text, length, room), whole);
    assert_memory_equal(out.data, "before", 6);
    assert_true(out.length - 6 <= room);
    assert_true(ls_json_valid(out.data + 6, out.length - 6, 4));
    if (!whole && room > 100)
        assert_true(out.length - 6 > room / 2); /* not much less than there was room for */
    assert_null(strstr(out.data, "\xef\xbf\xbd"));
    ls_buf_fini(&out);
}

static void result_text__fits__is_whole(void **state)
{
    check("", 0, 2, true);
    check("abc", 3, 5, true);
    check("a\"b\n", 4, 8, true);
    check("\xc3\xa4\xc3\xb6", 4, 6, true);
}

static void result_text__too_long__is_cut_between_characters(void **state)
{
    size_t length = 100000, i, room;
    char *text = malloc(length);

    check("abcd", 4, 5, false);
    check("\xc3\xa4\xc3\xb6", 4, 5, false);
    check("a\"\"\"\"", 5, 8, false);
    check("\x01", 1, 7, false);
    for (i = 0; i < length; i++)
        text[i] = "\xe2\x82\xac"[i % 3];
    for (room = 1000; room < 1012; room++)
        check(text, length - 1, room, false);
    memset(text, '\x01', length);
    check(text, length, 61440, false);
    memset(text, 'x', length / 2);
    check(text, length, 61440, false);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_text__fits__is_whole),
        cmocka_unit_test(result_text__too_long__is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
