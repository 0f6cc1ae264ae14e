/* The whole retry policy in one function. */
#ifndef LS_JOB_RETRY_H
#define LS_JOB_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job/backoff.h"
#include "common/job/class.h"

/* Settings; what is zero is unset. ls_retry_fill merges job, sync, queue in this order and
 * LS_RETRY_DEFAULT at the end. */
struct ls_retry_policy {
    int max_attempts;   /* attempts in all; unset = no limit but max_age */
    int64_t max_age_ms; /* since the first failure; an explicit max_attempts without max_age means
                         * that max_age does not apply */
    int crash_limit;    /* crashes as the only suspect */
    struct ls_backoff backoff;
};

#define LS_RETRY_MAX_AGE_MS (6 * 3600 * 1000LL)
#define LS_RETRY_CRASH_LIMIT 3
/* With so many crashes a job is a suspect: a runner runs at most one such job at a time (the others
 * wait), so that its next crash names it. One crash alone is mostly a kill or a neighbour's doing:
 * everything that ran goes on at full speed after it (worker/scheduler/README.md). */
#define LS_RETRY_SUSPECT_FROM 2
#define LS_RETRY_DEFAULT                                                   \
    {                                                                      \
        .crash_limit = LS_RETRY_CRASH_LIMIT, .backoff = LS_BACKOFF_DEFAULT \
    }

void ls_retry_fill(struct ls_retry_policy *policy, const struct ls_retry_policy *next);

/* What is known when a run has failed. */
struct ls_failure {
    enum ls_class klass;
    int64_t retry_after_ms;  /* from the peer; -1 = none */
    bool has_account;        /* else there is nothing to park */
    int attempt;             /* failed attempts counted so far, without this one (envelope) */
    int crashes;             /* crashes so far, without this one (envelope) */
    int64_t first_failed_at; /* ms of wall time, 0 = never failed before (envelope) */
    int64_t now_ms;          /* ms of wall time, Redis' own from the last turn */
};

enum ls_retry_action {
    LS_RETRY_LATER, /* settle as retry, due in delay_ms */
    LS_RETRY_PARK,  /* park the account for park_ms, settle as back: the job waits behind it */
    LS_RETRY_BACK,  /* settle as back: nothing happened */
    LS_RETRY_DEAD   /* settle as dead */
};

struct ls_retry {
    enum ls_retry_action action;
    int64_t delay_ms;
    int64_t park_ms;
    const char *why; /* LS_RETRY_DEAD: "permanent", "max_attempts", "max_age", "crashes",
                      * "malformed", "auth"; a literal */
    /* The envelope's new values, to be written with it. */
    int attempt;
    int crashes;
    int64_t first_failed_at;
};

/* Every unset setting of policy is taken from LS_RETRY_DEFAULT. */
struct ls_retry ls_retry_decide(const struct ls_retry_policy *policy,
                                const struct ls_failure *failure);

#endif
