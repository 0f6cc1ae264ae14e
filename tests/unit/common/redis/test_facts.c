#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/redis/facts.h"

static struct ls_redis_facts facts_of(const char *info)
{
    struct ls_redis_facts facts;

    ls_redis_facts_parse(&facts, info, strlen(info));
    return facts;
}

static void facts__info__is_read_line_by_line(void **state)
{
    struct ls_redis_facts facts = facts_of(
        "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n\r\n# Memory\r\nmaxmemory:1048576\r\n"
        "maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\nrole:master\r\n");

    assert_int_equal(facts.version, 70015);
    assert_string_equal(facts.run_id, "abc");
    assert_int_equal(facts.maxmemory, 1048576);
    assert_true(facts.aof);
    assert_int_equal(ls_redis_facts_check(&facts, "x", NULL, NULL), 0);
}

static void facts__unfit_servers__are_named_with_the_remedy(void **state)
{
    static const struct {
        const char *info, *piece;
    } rows[] = {{"redis_version:6.0.16\r\n", "6.2"},
                {"redis_version:7.0.0\r\nmaxmemory_policy:allkeys-lru\r\n", "allkeys-lru"},
                {"redis_version:7.0.0\r\nrole:slave\r\n", "replica"}};
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct ls_redis_facts facts = facts_of(rows[i].info);
        struct ls_err err = LS_ERR_INIT;
        assert_int_equal(ls_redis_facts_check(&facts, "x", NULL, &err), -1);
        assert_non_null(strstr(err.text, rows[i].piece));
        assert_true(err.hint[0]);
    }
}

static void facts__no_append_only_file__is_a_warning(void **state)
{
    struct ls_redis_facts facts = facts_of("redis_version:6.2.0\r\naof_enabled:0\r\n");
    char warning[256];

    assert_int_equal(ls_redis_facts_check(&facts, "x", warning, NULL), 0);
    assert_non_null(strstr(warning, "append-only"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts__info__is_read_line_by_line),
        cmocka_unit_test(facts__unfit_servers__are_named_with_the_remedy),
        cmocka_unit_test(facts__no_append_only_file__is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
