#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/redis/url.h"

static void url__unix_socket__has_a_path_and_a_database(void **state)
{
    struct ls_redis_url url;

    assert_int_equal(ls_redis_url_parse(&url, "unix:///run/lock step%20x.sock", NULL), -1);
    assert_int_equal(
        ls_redis_url_parse(&url, "unix:///run/lock%20x.sock?db=3&password=p%40ss", NULL), 0);
    assert_string_equal(url.path, "/run/lock x.sock");
    assert_string_equal(url.password, "p@ss");
    assert_int_equal(url.db, 3);
    assert_string_equal(url.shown, "unix:///run/lock x.sock?db=3");
    ls_redis_url_fini(&url);
}

static void url__tcp__defaults_and_every_part(void **state)
{
    struct ls_redis_url url;

    assert_int_equal(ls_redis_url_parse(&url, "redis://localhost", NULL), 0);
    assert_string_equal(url.host, "localhost");
    assert_int_equal(url.port, 6379);
    assert_null(url.password);
    ls_redis_url_fini(&url);
    assert_int_equal(
        ls_redis_url_parse(&url, "rediss://bob:s3cret%3A@[::1]:7000/2?ca_file=/etc/ca.pem", NULL),
        0);
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 7000);
    assert_int_equal(url.db, 2);
    assert_true(url.tls);
    assert_string_equal(url.user, "bob");
    assert_string_equal(url.password, "s3cret:");
    assert_string_equal(url.ca_file, "/etc/ca.pem");
    assert_string_equal(url.shown, "rediss://[::1]:7000/2");
    ls_redis_url_fini(&url);
}

static void url__password_alone__before_the_at(void **state)
{
    struct ls_redis_url url;

    assert_int_equal(ls_redis_url_parse(&url, "redis://:pw@h:1", NULL), 0);
    assert_null(url.user);
    assert_string_equal(url.password, "pw");
    ls_redis_url_fini(&url);
    assert_int_equal(ls_redis_url_parse(&url, "redis://pw@h:1", NULL), 0);
    assert_string_equal(url.password, "pw");
    ls_redis_url_fini(&url);
}

static void url__nonsense__is_refused_without_showing_the_password(void **state)
{
    static const char *bad[] = {"",
                                "localhost:6379",
                                "http://h",
                                "redis://",
                                "redis://:topsecret@",
                                "redis://:topsecret@h:99999",
                                "redis://:topsecret@h:x",
                                "redis://:topsecret@h/x",
                                "redis://:topsecret@h?what=1",
                                "redis://:top%zzsecret@h",
                                "redis://:topsecret%00@h",
                                "redis://[::1]x",
                                "unix://",
                                "redis+sentinel://h"};
    size_t i;

    for (i = 0; i < LS_COUNT(bad); i++) {
        struct ls_err err = LS_ERR_INIT;
        struct ls_redis_url url;
        assert_int_equal(ls_redis_url_parse(&url, bad[i], &err), -1);
        assert_null(strstr(err.text, "secret"));
        assert_null(url.host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url__unix_socket__has_a_path_and_a_database),
        cmocka_unit_test(url__tcp__defaults_and_every_part),
        cmocka_unit_test(url__password_alone__before_the_at),
        cmocka_unit_test(url__nonsense__is_refused_without_showing_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
