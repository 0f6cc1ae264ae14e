/* The command sink; the webhook is proven end to end with a real server. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/alert/sink.h"
#include "common/base/clock.h"

struct result {
    int calls;
    struct ls_err err;
};

static void on_done(void *arg, const struct ls_err *err)
{
    struct result *result = arg;

    result->calls++;
    result->err = err ? *err : (struct ls_err){0};
}

static struct result run(const char *const *argv, const char *json, int64_t timeout_ms)
{
    struct ls_sink sink = {.argv = (char *const *)argv};
    struct result result = {0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    ls_delivery_begin(&loop, NULL, &sink, json, timeout_ms, on_done, &result);
    assert_int_equal(result.calls, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(result.calls, 1);
    return result;
}

static void sink__command__gets_the_json_on_standard_input(void **state)
{
    char path[] = "/tmp/ls-sink-XXXXXX", command[128], text[64] = "";
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    int fd = mkstemp(path);

    snprintf(command, sizeof command, "cat > %s", path);
    assert_int_equal(run(argv, "{\"type\":\"x\"}", 10000).err.code, LS_E_NONE);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    assert_string_equal(text, "{\"type\":\"x\"}\n");
    close(fd);
    unlink(path);
}

static void sink__command_fails__is_an_error_with_its_status(void **state)
{
    const char *argv[] = {"/bin/sh", "-c", "exit 7", NULL},
               *missing[] = {"/nonexistent/pager", NULL};
    struct result result = run(argv, "{}", 10000);

    assert_int_equal(result.err.code, LS_E_TRANSIENT);
    assert_non_null(strstr(result.err.text, "exit status 7"));
    assert_int_equal(run(missing, "{}", 10000).err.code, LS_E_SYSTEM);
}

static void sink__command_hangs_with_children__its_whole_group_is_killed(void **state)
{
    const char *argv[] = {"/bin/sh", "-c", "sleep 100 & sleep 100", NULL};
    int64_t began = ls_clock_mono_ms();
    struct result result = run(argv, "{}", 200);

    assert_int_equal(result.err.code, LS_E_LOST);
    assert_true(ls_clock_mono_ms() - began < 10000);
}

static void sink__cancel__kills_and_stays_silent(void **state)
{
    const char *argv[] = {"/bin/sleep", "100", NULL};
    struct ls_sink sink = {.argv = (char *const *)argv};
    struct result result = {0};
    struct ls_delivery *delivery;
    uv_loop_t loop;

    uv_loop_init(&loop);
    delivery = ls_delivery_begin(&loop, NULL, &sink, "{}", 60000, on_done, &result);
    uv_run(&loop, UV_RUN_NOWAIT);
    ls_delivery_cancel(&delivery);
    assert_null(delivery);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(result.calls, 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as every role does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sink__command__gets_the_json_on_standard_input),
        cmocka_unit_test(sink__command_fails__is_an_error_with_its_status),
        cmocka_unit_test(sink__command_hangs_with_children__its_whole_group_is_killed),
        cmocka_unit_test(sink__cancel__kills_and_stays_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
