#include "common/alert/rate.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int64_t ls_rate_add(struct ls_rate *rate, int64_t window_ms, int64_t events, int64_t now_ms)
{
    int64_t each = window_ms / (LS_RATE_SLOTS - 1), sum = 0;
    int64_t slot = now_ms / (each > 0 ? each : 1), passed = slot - rate->slot;

    if (passed >= LS_RATE_SLOTS) {
        memset(rate->counts, 0, sizeof rate->counts);
    } else if (passed > 0) {
        memmove(rate->counts + passed, rate->counts,
                (LS_RATE_SLOTS - (size_t)passed) * sizeof *rate->counts);
        memset(rate->counts, 0, (size_t)passed * sizeof *rate->counts);
    }
    if (passed > 0) /* the clock went back: what comes counts for the newest slot there is */
        rate->slot = slot;
    rate->counts[0] += events;
    for (int i = 0; i < LS_RATE_SLOTS; i++)
        sum += rate->counts[i];
    if (sum == 0)
        *rate = (struct ls_rate){0};
    return sum;
}

void ls_rate_write(const struct ls_rate *rate, struct ls_buf *out)
{
    if (!rate->slot)
        return;
    ls_buf_printf(out, " slot=%" PRId64 " grew=", rate->slot);
    for (int i = 0; i < LS_RATE_SLOTS; i++)
        ls_buf_printf(out, "%s%" PRId64, i ? "," : "", rate->counts[i]);
}

static bool read_counts(struct ls_rate *rate, const char *at)
{
    char *end;

    for (int i = 0; i < LS_RATE_SLOTS; i++) {
        rate->counts[i] = strtoll(at, &end, 10);
        if (end == at || rate->counts[i] < 0 || (i < LS_RATE_SLOTS - 1 && *end != ','))
            return false;
        at = end + 1;
    }
    return true;
}

void ls_rate_read(struct ls_rate *rate, const char *text)
{
    const char *at = strstr(text, " slot=");
    char *end;

    *rate = (struct ls_rate){0};
    if (!at)
        return;
    rate->slot = strtoll(at + strlen(" slot="), &end, 10);
    if (rate->slot <= 0 || strncmp(end, " grew=", 6) != 0 || !read_counts(rate, end + 6))
        *rate = (struct ls_rate){0};
}
