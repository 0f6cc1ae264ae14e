/* How long to wait before the next attempt. Settings come from the job, its sync, its queue and the
 * defaults, in this order: what one leaves unset (zero) the next decides. */
#ifndef LS_JOB_BACKOFF_H
#define LS_JOB_BACKOFF_H

#include <stdint.h>

#include "common/base/span.h"

enum ls_backoff_type { LS_BACKOFF_UNSET, LS_BACKOFF_EXPONENTIAL, LS_BACKOFF_FIXED };
enum ls_jitter { LS_JITTER_UNSET, LS_JITTER_FULL, LS_JITTER_NONE };

struct ls_backoff {
    enum ls_backoff_type type;
    enum ls_jitter jitter;
    int64_t base_ms; /* 0 = unset */
    int64_t cap_ms;  /* 0 = unset */
    double factor;   /* 0 = unset; 1 or more */
};

/* exponential, base 2 s, factor 2, cap 10 min, full jitter */
#define LS_BACKOFF_DEFAULT                                                         \
    {                                                                              \
        .type = LS_BACKOFF_EXPONENTIAL, .jitter = LS_JITTER_FULL, .base_ms = 2000, \
        .cap_ms = 600000, .factor = 2                                              \
    }

/* Fill what `backoff` leaves unset from `next`. */
void ls_backoff_fill(struct ls_backoff *backoff, const struct ls_backoff *next);

/* The delay after the attempt-th failed attempt (from 1), all settings set, jitter left aside:
 * base, base * factor, base * factor^2 ... never above cap, never overflowing. */
int64_t ls_backoff_ceiling_ms(const struct ls_backoff *backoff, int attempt);
/* The same with jitter: full = uniform in [0, ceiling], none = the ceiling. */
int64_t ls_backoff_delay_ms(const struct ls_backoff *backoff, int attempt);

/* "exponential", "fixed"; "full", "none". 0, or -1 for any other word. */
int ls_backoff_type_parse(struct ls_span name, enum ls_backoff_type *type);
int ls_jitter_parse(struct ls_span name, enum ls_jitter *jitter);
const char *ls_backoff_type_name(enum ls_backoff_type type);
const char *ls_jitter_name(enum ls_jitter jitter);

#endif
