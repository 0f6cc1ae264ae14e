#include "common/http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

struct range {
    unsigned char prefix[16];
    int bits;
    const char *what; /* NULL: public */
};

/* The IANA registries of special-purpose addresses, what is not globally reachable. */
static const struct range ranges4[] = {
    {{0}, 8, "unspecified"},
    {{10}, 8, "private"},
    {{100, 64}, 10, "shared (carrier)"},
    {{127}, 8, "loopback"},
    {{169, 254}, 16, "link-local"},
    {{172, 16}, 12, "private"},
    {{192, 0, 0}, 24, "reserved"},
    {{192, 0, 2}, 24, "documentation"},
    {{192, 88, 99}, 24, "reserved"},
    {{192, 168}, 16, "private"},
    {{198, 18}, 15, "benchmarking"},
    {{198, 51, 100}, 24, "documentation"},
    {{203, 0, 113}, 24, "documentation"},
    {{224}, 4, "multicast"},
    {{240}, 4, "reserved"}, /* 255.255.255.255 too */
};

/* The first that fits. Only 2000::/3 is in use at all. */
static const struct range ranges6[] = {
    {{[15] = 1}, 128, "loopback"},
    {{0}, 128, "unspecified"},
    {{0xfc}, 7, "private"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "private"},
    {{0xff}, 8, "multicast"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
    {{0x3f, 0xff}, 20, "documentation"},
    {{0x20, 0x01}, 23, "reserved"}, /* Teredo, benchmarking, ORCHID, ... */
    {{0x20}, 3, NULL},
    {{0}, 0, "reserved"},
};

/* Where an IPv6 address of this prefix carries an IPv4 address. */
static const struct {
    struct range range;
    int offset;
} carriers[] = {
    {{{[10] = 0xff, [11] = 0xff}, 96, NULL}, 12}, /* ::ffff:a.b.c.d */
    {{{0x00, 0x64, 0xff, 0x9b}, 96, NULL}, 12},   /* NAT64 */
    {{{0x20, 0x02}, 16, NULL}, 2},                /* 6to4 */
};

static bool fits(const unsigned char *address, const struct range *range)
{
    int bytes = range->bits / 8, rest = range->bits % 8;

    if (memcmp(address, range->prefix, (size_t)bytes) != 0)
        return false;
    return !rest || !((address[bytes] ^ range->prefix[bytes]) >> (8 - rest));
}

static const char *look_up(const unsigned char *address, const struct range *ranges, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (fits(address, &ranges[i]))
            return ranges[i].what;
    return NULL;
}

static const char *refusal6(const unsigned char *address)
{
    size_t i;

    for (i = 0; i < LS_COUNT(carriers); i++)
        if (fits(address, &carriers[i].range))
            return look_up(address + carriers[i].offset, ranges4, LS_COUNT(ranges4));
    return look_up(address, ranges6, LS_COUNT(ranges6));
}

const char *ls_address_refusal(const struct sockaddr *address)
{
    struct in6_addr in6;
    struct in_addr in4;

    switch (address->sa_family) {
    case AF_INET:
        memcpy(&in4, &((const struct sockaddr_in *)address)->sin_addr, sizeof(in4));
        return look_up((const unsigned char *)&in4, ranges4, LS_COUNT(ranges4));
    case AF_INET6:
        memcpy(&in6, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof(in6));
        return refusal6(in6.s6_addr);
    default:
        return "not an internet address";
    }
}

const char *ls_address_text_refusal(const char *text)
{
    char plain[INET6_ADDRSTRLEN + 1];
    struct in6_addr in6;
    struct in_addr in4;

    if (!text)
        return "unreadable";
    snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text);
    if (inet_pton(AF_INET, plain, &in4) == 1)
        return look_up((const unsigned char *)&in4, ranges4, LS_COUNT(ranges4));
    if (inet_pton(AF_INET6, plain, &in6) == 1)
        return refusal6(in6.s6_addr);
    return "unreadable";
}
