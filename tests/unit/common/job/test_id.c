#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/clock.h"
#include "common/job/id.h"

static void id__many_in_a_row__only_grow(void **state)
{
    char last[LS_ID_SIZE] = "", next[LS_ID_SIZE];

    for (int i = 0; i < 200000; i++) {
        ls_id_new(next);
        assert_true(strcmp(last, next) < 0);
        memcpy(last, next, sizeof last);
    }
    assert_int_equal(strlen(next), 26);
    assert_int_equal(strspn(next, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 26);
}

static void id__its_time__is_the_wall_clock(void **state)
{
    char id[LS_ID_SIZE];
    int64_t before = ls_clock_wall_ms();
    int64_t at = ls_id_time_ms(ls_span_of(ls_id_new(id)));

    assert_true(at >= before && at <= ls_clock_wall_ms() + 1000);
    assert_int_equal(ls_id_time_ms(LS_SPAN("order-4711")), -1);
    assert_int_equal(ls_id_time_ms(LS_SPAN("ABCDEFGHIJKLMNOPQRSTUVWXYZ")), -1);
    assert_int_equal(ls_id_time_ms((struct ls_span){0}), -1);
}

static void id__after_fork__parent_and_child_go_different_ways(void **state)
{
    char mine[LS_ID_SIZE], theirs[LS_ID_SIZE];
    int ends[2];
    pid_t child;

    ls_id_new(mine);
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        ls_id_new(theirs);
        _exit(write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    ls_id_new(mine);
    assert_int_equal(read(ends[0], theirs, sizeof theirs), sizeof theirs);
    assert_string_not_equal(mine + 10, theirs + 10);
    waitpid(child, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id__many_in_a_row__only_grow),
        cmocka_unit_test(id__its_time__is_the_wall_clock),
        cmocka_unit_test(id__after_fork__parent_and_child_go_different_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
