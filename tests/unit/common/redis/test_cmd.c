#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/redis/cmd.h"

static void cmd__plain__is_encoded_as_redis_wants_it(void **state)
{
    struct ls_cmd cmd = {0};
    struct ls_buf out = {0};

    ls_cmd_start(&cmd, "ZADD");
    ls_cmd_puts(&cmd, "k");
    ls_cmd_int(&cmd, INT64_MIN);
    ls_cmd_int(&cmd, 100000000000000);
    ls_cmd_add(&cmd, "a\0b", 3);
    ls_cmd_add(&cmd, NULL, 0);
    ls_cmd_encode(&cmd, 70000, 0, &out);
    const char wanted[] = "*6\r\n$4\r\nZADD\r\n$1\r\nk\r\n$20\r\n-9223372036854775808\r\n$"
                          "15\r\n100000000000000\r\n$3\r\na\0b\r\n$0\r\n\r\n";
    assert_int_equal(out.length, sizeof(wanted) - 1);
    assert_memory_equal(out.data, wanted, out.length);
    ls_buf_fini(&out);
    ls_cmd_fini(&cmd);
}

static void cmd__script__takes_the_text_that_fits_the_server(void **state)
{
    static const struct ls_script script = {.name = "x",
                                            .text = "return 6",
                                            .length = 8,
                                            .sha1 = "6666666666666666666666666666666666666666",
                                            .key_count = 1,
                                            .text7 = "#!lua",
                                            .length7 = 5,
                                            .sha1_7 = "7777777777777777777777777777777777777777"};
    struct ls_cmd cmd = {0};
    struct ls_buf out = {0};

    ls_cmd_script(&cmd, &script);
    ls_cmd_puts(&cmd, "key");
    ls_cmd_encode(&cmd, 60200, 0, &out);
    assert_string_equal(
        out.data, "*4\r\n$7\r\nEVALSHA\r\n$40\r\n6666666666666666666666666666666666666666\r\n$"
                  "1\r\n1\r\n$3\r\nkey\r\n");
    ls_buf_clear(&out);
    ls_cmd_encode(&cmd, 70015, 0, &out);
    assert_non_null(strstr(out.data, "7777"));
    ls_buf_clear(&out);
    ls_cmd_encode(&cmd, 70015, 1, &out);
    assert_string_equal(out.data, "*4\r\n$4\r\nEVAL\r\n$5\r\n#!lua\r\n$1\r\n1\r\n$3\r\nkey\r\n");
    ls_buf_fini(&out);
    ls_cmd_fini(&cmd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cmd__plain__is_encoded_as_redis_wants_it),
        cmocka_unit_test(cmd__script__takes_the_text_that_fits_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
