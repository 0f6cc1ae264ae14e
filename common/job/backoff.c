#include "common/job/backoff.h"

#include "common/base/mem.h"
#include "common/base/rand.h"

static const char *const type_names[] = {[LS_BACKOFF_UNSET] = "",
                                         [LS_BACKOFF_EXPONENTIAL] = "exponential",
                                         [LS_BACKOFF_FIXED] = "fixed"};
static const char *const jitter_names[] = {
    [LS_JITTER_UNSET] = "", [LS_JITTER_FULL] = "full", [LS_JITTER_NONE] = "none"};

void ls_backoff_fill(struct ls_backoff *backoff, const struct ls_backoff *next)
{
    if (!backoff->type)
        backoff->type = next->type;
    if (!backoff->jitter)
        backoff->jitter = next->jitter;
    if (!backoff->base_ms)
        backoff->base_ms = next->base_ms;
    if (!backoff->cap_ms)
        backoff->cap_ms = next->cap_ms;
    if (!(backoff->factor > 0))
        backoff->factor = next->factor;
}

int64_t ls_backoff_ceiling_ms(const struct ls_backoff *backoff, int attempt)
{
    double delay = (double)backoff->base_ms;

    if (backoff->type == LS_BACKOFF_EXPONENTIAL && backoff->factor > 1) {
        /* Stops at the cap, so it neither overflows nor runs long: a factor over 1 gets there. */
        for (int i = 1; i < attempt && i < 10000 && delay < (double)backoff->cap_ms; i++)
            delay *= backoff->factor;
    }
    if (delay >= (double)backoff->cap_ms)
        return backoff->cap_ms;
    return (int64_t)delay;
}

int64_t ls_backoff_delay_ms(const struct ls_backoff *backoff, int attempt)
{
    int64_t ceiling = ls_backoff_ceiling_ms(backoff, attempt);

    if (backoff->jitter == LS_JITTER_NONE)
        return ceiling;
    return (int64_t)ls_rand_below((uint64_t)ceiling + 1);
}

static int find(const char *const *names, size_t count, struct ls_span name)
{
    for (size_t i = 1; i < count; i++) {
        if (ls_span_is(name, names[i]))
            return (int)i;
    }
    return -1;
}

int ls_backoff_type_parse(struct ls_span name, enum ls_backoff_type *type)
{
    int found = find(type_names, LS_COUNT(type_names), name);

    if (found < 0)
        return -1;
    *type = (enum ls_backoff_type)found;
    return 0;
}

int ls_jitter_parse(struct ls_span name, enum ls_jitter *jitter)
{
    int found = find(jitter_names, LS_COUNT(jitter_names), name);

    if (found < 0)
        return -1;
    *jitter = (enum ls_jitter)found;
    return 0;
}

const char *ls_backoff_type_name(enum ls_backoff_type type)
{
    return (size_t)type < LS_COUNT(type_names) ? type_names[type] : "";
}

const char *ls_jitter_name(enum ls_jitter jitter)
{
    return (size_t)jitter < LS_COUNT(jitter_names) ? jitter_names[jitter] : "";
}
