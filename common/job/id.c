#include "common/job/id.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/rand.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* count characters of five bits each, the last one the lowest. */
static void put(char *out, int count, uint64_t value)
{
    for (int i = count - 1; i >= 0; i--, value >>= 5)
        out[i] = alphabet[value & 31];
}

/* A thread each: liblockstep's handles are used by many. */
static _Thread_local int64_t last_ms;
static _Thread_local uint64_t high, low;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Two processes must not go on with the same state. */
static void forget(void)
{
    last_ms = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget);
}

/* The 80 bits after the time: 40 of chance drawn anew each ms, then 40 that begin by chance below
 * half and count up, so that ids of one ms keep their order. */
const char *ls_id_new(char out[LS_ID_SIZE])
{
    int64_t now = ls_clock_wall_ms();

    pthread_once(&once, watch_forks);
    if (now > last_ms) {
        last_ms = now;
        high = ls_rand_u64() & 0xffffffffffULL;
        low = ls_rand_u64() & 0x7fffffffffULL;
    } else if (++low > 0xffffffffffULL) {
        last_ms++;
        low = 0;
    }
    put(out, 10, (uint64_t)last_ms);
    put(out + 10, 8, high);
    put(out + 18, 8, low);
    out[26] = '\0';
    return out;
}

int64_t ls_id_time_ms(struct ls_span id)
{
    uint64_t value = 0;

    if (id.length != LS_ID_SIZE - 1 || id.data[0] > '7')
        return -1;
    for (size_t i = 0; i < id.length; i++) {
        const char *at = memchr(alphabet, id.data[i], sizeof alphabet - 1);

        if (!at)
            return -1;
        if (i < 10)
            value = value << 5 | (uint64_t)(at - alphabet);
    }
    return (int64_t)value;
}
