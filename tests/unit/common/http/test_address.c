#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "common/base/mem.h"
#include "common/http/address.h"

static void address__every_range__at_both_of_its_ends(void **state)
{
    static const struct {
        const char *text, *what; /* NULL: public */
    } table[] = {
        {"0.0.0.0", "unspecified"},
        {"0.255.255.255", "unspecified"},
        {"1.0.0.0", NULL},
        {"9.255.255.255", NULL},
        {"10.0.0.0", "private"},
        {"10.255.255.255", "private"},
        {"11.0.0.0", NULL},
        {"100.63.255.255", NULL},
        {"100.64.0.0", "shared (carrier)"},
        {"100.127.255.255", "shared (carrier)"},
        {"100.128.0.0", NULL},
        {"126.255.255.255", NULL},
        {"127.0.0.1", "loopback"},
        {"127.255.255.255", "loopback"},
        {"128.0.0.0", NULL},
        {"169.253.255.255", NULL},
        {"169.254.169.254", "link-local"}, /* where clouds keep their credentials */
        {"169.255.0.0", NULL},
        {"172.15.255.255", NULL},
        {"172.16.0.0", "private"},
        {"172.31.255.255", "private"},
        {"172.32.0.0", NULL},
        {"192.0.0.8", "reserved"},
        {"192.0.1.0", NULL},
        {"192.0.2.1", "documentation"},
        {"192.0.3.0", NULL},
        {"192.88.99.1", "reserved"},
        {"192.167.255.255", NULL},
        {"192.168.0.0", "private"},
        {"192.168.255.255", "private"},
        {"192.169.0.0", NULL},
        {"198.17.255.255", NULL},
        {"198.18.0.0", "benchmarking"},
        {"198.19.255.255", "benchmarking"},
        {"198.20.0.0", NULL},
        {"198.51.100.7", "documentation"},
        {"203.0.113.255", "documentation"},
        {"223.255.255.255", NULL},
        {"224.0.0.1", "multicast"},
        {"239.255.255.255", "multicast"},
        {"240.0.0.0", "reserved"},
        {"255.255.255.255", "reserved"},
        {"::", "unspecified"},
        {"::1", "loopback"},
        {"::2", "reserved"},
        {"::127.0.0.1", "reserved"},
        {"::ffff:127.0.0.1", "loopback"},
        {"::ffff:10.1.2.3", "private"},
        {"::ffff:8.8.8.8", NULL},
        {"64:ff9b::a00:1", "private"},
        {"64:ff9b::808:808", NULL},
        {"64:ff9b:1::1", "reserved"},
        {"100::1", "reserved"},
        {"1fff::1", "reserved"},
        {"2001::1", "reserved"},
        {"2001:1ff::1", "reserved"},
        {"2001:200::1", NULL},
        {"2001:db8::1", "documentation"},
        {"2001:db9::1", NULL},
        {"2002:7f00:1::1", "loopback"},
        {"2002:a9fe:a9fe::1", "link-local"},
        {"2002:808:808::1", NULL},
        {"2606:4700::1111", NULL},
        {"3fff:fff::1", "documentation"},
        {"3fff:1000::1", NULL},
        {"4000::1", "reserved"},
        {"5f00::1", "reserved"},
        {"fbff::1", "reserved"},
        {"fc00::1", "private"},
        {"fdff::1", "private"},
        {"fe80::1", "link-local"},
        {"fe80::1%eth0", "link-local"},
        {"febf::1", "link-local"},
        {"fec0::1", "private"},
        {"feff::1", "private"},
        {"ff02::1", "multicast"},
        {"", "unreadable"},
        {"localhost", "unreadable"},
        {"127.1", "unreadable"},
        {"0x7f000001", "unreadable"},
    };
    size_t i;

    for (i = 0; i < LS_COUNT(table); i++) {
        const char *what = ls_address_text_refusal(table[i].text);
        if (table[i].what ? !what || strcmp(what, table[i].what) != 0 : what != NULL)
            fail_msg("%s is '%s', not '%s'", table[i].text, what ? what : "public",
                     table[i].what ? table[i].what : "public");
    }
    assert_string_equal(ls_address_text_refusal(NULL), "unreadable");
}

static void address__sockets__are_looked_at_as_their_texts(void **state)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    inet_pton(AF_INET, "192.168.1.1", &in4.sin_addr);
    assert_string_equal(ls_address_refusal((struct sockaddr *)&in4), "private");
    inet_pton(AF_INET, "8.8.4.4", &in4.sin_addr);
    assert_null(ls_address_refusal((struct sockaddr *)&in4));
    inet_pton(AF_INET6, "::ffff:169.254.169.254", &in6.sin6_addr);
    assert_string_equal(ls_address_refusal((struct sockaddr *)&in6), "link-local");
    inet_pton(AF_INET6, "2a00:1450:4001::200e", &in6.sin6_addr);
    assert_null(ls_address_refusal((struct sockaddr *)&in6));
    assert_non_null(ls_address_refusal((struct sockaddr *)&un));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address__every_range__at_both_of_its_ends),
        cmocka_unit_test(address__sockets__are_looked_at_as_their_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
