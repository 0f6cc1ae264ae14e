/* Jobs by the clock, Redis' clock: exactly one caller of the fleet gets each tick of a schedule. A
 * tick is a moment, ms since 1970; which moments are ticks, and which of them still count after a
 * downtime, is the caller's computation (common/schedule).
 *
 *   begin answers FIRE   push the job with an id made of schedule and tick, then done. A caller that
 *                        dies between the two loses its hold after hold_ms, and another one fires
 *                        the same tick with the same id
 *         answers PLAN   nothing to fire: compute the next tick from `settled` and ms, wait, begin
 *         answers HELD   another caller is at a tick: ask again when its hold is over, or for the
 *                        next tick
 * Lost answer of either: the same again. */
#ifndef LS_QUEUE_CRON_H
#define LS_QUEUE_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/reply.h"

#define LS_CRON_HOLD_MS 5000

struct ls_cron_ask {
    const char *schedule; /* its name in lockstep:{fleet}:cron */
    const char *spec;     /* fingerprint of its pace, without spaces: another one starts afresh */
    const char *owner;    /* who asks; the same for a process' whole life */
    int64_t tick;         /* the planned one; begin: 0, none yet */
    int64_t settled;      /* begin: what it was planned from; -1: nothing known */
    int64_t stale_ms;     /* begin: from this moment on another plan is better; 0: never */
    int64_t hold_ms;      /* begin: 0 = LS_CRON_HOLD_MS */
    bool at_once; /* begin: a schedule never seen with this spec has a tick now, not its next one */
};

void ls_cron_begin_build(struct ls_cmd *cmd, const struct ls_cron_ask *ask);
/* tick is the one that FIRE named. */
void ls_cron_done_build(struct ls_cmd *cmd, const struct ls_cron_ask *ask);

enum ls_cron_word { LS_CRON_PLAN, LS_CRON_FIRE, LS_CRON_HELD };

struct ls_cron_answer {
    enum ls_cron_word word;
    int64_t ms;      /* Redis' time */
    int64_t tick;    /* FIRE: to be fired; HELD: being fired */
    int64_t settled; /* PLAN: every tick up to here is; -1: none, and the first one is due */
    int64_t left_ms; /* HELD: of the other one's hold */
    bool differs;    /* FIRE: other schedulers of the fleet have another pace under this name */
};
int ls_cron_begin_parse(const struct ls_reply *reply, struct ls_cron_answer *answer,
                        struct ls_err *err);
/* *late: the hold had passed to another, harmless. *ms: Redis' time. */
int ls_cron_done_parse(const struct ls_reply *reply, int64_t *ms, bool *late, struct ls_err *err);

/* HDEL: the next one to ask starts afresh. For schedules that are switched off. Reply: an integer. */
void ls_cron_forget_build(struct ls_cmd *cmd, const char *const *schedules, size_t count);

/* HMGET: how schedules stand, for people. Reply: an array with a text, or nil, for each. */
void ls_cron_states_build(struct ls_cmd *cmd, const char *const *schedules, size_t count);

struct ls_cron_state {
    int64_t done; /* the last tick done (firing its first one: when it was seen first); -1: none */
    int64_t firing;      /* a tick begun and not done; -1: none */
    struct ls_span spec; /* into text; {0}: never seen */
};
struct ls_cron_state ls_cron_state_read(struct ls_span text);

#endif
