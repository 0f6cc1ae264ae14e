#include "common/base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "common/base/mem.h"

void ls_rand_bytes(void *out, size_t length)
{
    char *at = out;

    while (length) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0) {
            ls_assert(errno == EINTR);
            continue;
        }
        at += got;
        length -= (size_t)got;
    }
}

uint64_t ls_rand_u64(void)
{
    uint64_t value;

    ls_rand_bytes(&value, sizeof value);
    return value;
}

uint64_t ls_rand_below(uint64_t bound)
{
    uint64_t limit, value;

    if (bound == 0)
        return 0;
    limit = UINT64_MAX - UINT64_MAX % bound; /* reject the uneven tail */
    do {
        value = ls_rand_u64();
    } while (value >= limit);
    return value % bound;
}
