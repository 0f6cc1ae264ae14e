/* When an alert is raised, said again, and cleared. Pure: the caller brings the clock and the
 * level.
 *
 *            high                 high for fire_for_ms             below for clear_for_ms
 *   OK ------------> PENDING --------------------------> FIRING ---------------------------> OK
 *    ^                  |          (at once when 0)        | ^                               ^
 *    +------------------+ not high                   below v | not below                     |
 *                                                        CLEARING ----------------------------+
 *
 * Two levels, one to fire and a lower one to clear, so that a value at the border does not flap.
 * One notice a group and cooldown_ms: what happens within it is counted and told by the next
 * notice. */
#ifndef LS_ALERT_MACHINE_H
#define LS_ALERT_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

enum ls_alert_state {
    LS_ALERT_OK,
    LS_ALERT_PENDING,
    LS_ALERT_FIRING,
    LS_ALERT_CLEARING,
    LS_ALERT_STATE_COUNT
};

/* Where the value lies. UNKNOWN: too few samples to say; never raises anything, and lets a firing
 * alert clear. */
enum ls_alert_level { LS_LEVEL_UNKNOWN, LS_LEVEL_BELOW, LS_LEVEL_BETWEEN, LS_LEVEL_HIGH };

/* What to do now. */
enum ls_alert_action { LS_ALERT_NOTHING, LS_ALERT_NOTIFY, LS_ALERT_RESOLVE };

struct ls_alert_timing {
    int64_t fire_for_ms;  /* how long it must be high */
    int64_t clear_for_ms; /* how long it must be below */
    int64_t cooldown_ms;  /* between two notices */
    bool events;          /* it counts single events (dead letters): further ones are told after the
                             cooldown, no "resolved" */
};

/* The memory of one group. {0} is the beginning. Times are wall-clock ms, because it outlives
 * processes. */
struct ls_alert {
    enum ls_alert_state state;
    int64_t since_ms;    /* in this state since */
    int64_t fired_ms;    /* when it last went to FIRING; 0: never */
    int64_t notified_ms; /* the last notice; 0: never */
    int64_t count;       /* events or raisings not yet told */
    bool told;           /* this firing has been told: its end will be, too */
};

/* One look at the value. `events`: how many new ones since the last look (for timing.events;
 * otherwise 0). After NOTIFY the caller tells alert->count and calls ls_alert_notified. */
enum ls_alert_action ls_alert_step(struct ls_alert *alert, const struct ls_alert_timing *timing,
                                   enum ls_alert_level level, int64_t events, int64_t now_ms);
void ls_alert_notified(struct ls_alert *alert, int64_t now_ms);

/* "ok", "pending", "firing", "clearing"; the inverse answers LS_ALERT_OK for anything else. */
const char *ls_alert_state_name(enum ls_alert_state state);
enum ls_alert_state ls_alert_state_parse(const char *name);

#endif
