/* The alerts: what is looked at, when it is bad, and how it is said. Pure: numbers in, a finding
 * out.
 *
 *   high_error_rate       failed / (ok + failed) over the window above error_rate; clear below half
 *                         of it
 *   slow_sync             average of the window above slow_ms; clear below four fifths of it
 *   stale_data            syncs exist and nothing was synced for stale_ms; clear with the next sync
 *   dead_full             a queue has as many dead letters as it may have, and claims nothing more;
 *                         clear below
 *
 * and of one group of dead letters (common/job/dead.h):
 *
 *   sync_retry_exhausted  the first letter; further ones are told after the cooldown, with their
 *                         count
 *   dead_rate             it grew by dead_rate within the window; clear at half of it
 *   dead_age              its oldest letter has waited for longer than dead_age; clear when none has
 *
 * A window with fewer than min_samples says nothing (LS_LEVEL_UNKNOWN), neither good nor bad. */
#ifndef LS_ALERT_RULE_H
#define LS_ALERT_RULE_H

#include "common/alert/machine.h"

enum ls_rule {
    LS_RULE_HIGH_ERROR_RATE,
    LS_RULE_SLOW_SYNC,
    LS_RULE_STALE_DATA,
    LS_RULE_DEAD_FULL,
    LS_RULE_RETRY_EXHAUSTED,
    LS_RULE_DEAD_RATE,
    LS_RULE_DEAD_AGE,
    LS_RULE_COUNT
};

const char *ls_rule_type(enum ls_rule rule); /* "high_error_rate", ... */
/* -1 for a word that is none. */
int ls_rule_parse(const char *type);

struct ls_rule_limits {
    double error_rate;
    int64_t slow_ms, stale_ms, window_ms, min_samples, cooldown_ms;
    int64_t dead_rate, dead_age_ms; /* 0: off */
};

/* What happened in the window: attempts that ended well or badly (throttled, given back and held
 * ones do not count) and the sum of their durations. */
struct ls_rule_window {
    int64_t ok, failed, total_ms;
};

struct ls_finding {
    enum ls_alert_level level;
    double value; /* rate, average ms, silence in ms, letters, age in ms */
    char details[256];
};

void ls_rule_error_rate(const struct ls_rule_limits *limits, const struct ls_rule_window *window,
                        struct ls_finding *out);
void ls_rule_slow(const struct ls_rule_limits *limits, const struct ls_rule_window *window,
                  struct ls_finding *out);
/* last_ms: wall clock of the last sync, or of the first look when there never was one; 0: no syncs
 * are configured. */
void ls_rule_stale(const struct ls_rule_limits *limits, int64_t last_ms, int64_t now_ms,
                   struct ls_finding *out);

/* max 0: there is no cap. */
void ls_rule_dead_full(int64_t dead, int64_t max, struct ls_finding *out);
/* grown: letters that a group got within the window. */
void ls_rule_dead_rate(const struct ls_rule_limits *limits, int64_t grown, struct ls_finding *out);
/* first_ms: when the oldest of `count` letters died; count 0: there is none. */
void ls_rule_dead_age(const struct ls_rule_limits *limits, int64_t count, int64_t first_ms,
                      int64_t now_ms, struct ls_finding *out);

struct ls_alert_timing ls_rule_timing(enum ls_rule rule, const struct ls_rule_limits *limits);

#endif
