#include "common/job/retry.h"

#include "common/base/rand.h"

#define CONFLICT_ROUNDS 3
#define THROTTLED_DEFAULT_MS 5000    /* a peer that names no time */
#define THROTTLED_MIN_MS 1000        /* "0" is a rounded second, or a clock that differs */
#define PARK_MAX_MS (3600 * 1000LL)  /* whatever a peer names */
#define AUTH_PARK_MS (3600 * 1000LL) /* then one job finds out whether it was mended */
#define STORE_MIN_MS 200
#define STORE_SPREAD_MS 1800

static struct ls_retry dead(struct ls_retry retry, const char *why)
{
    retry.action = LS_RETRY_DEAD;
    retry.why = why;
    return retry;
}

void ls_retry_fill(struct ls_retry_policy *policy, const struct ls_retry_policy *next)
{
    /* Who asks for five attempts wants five, however long they take, unless he names an age too. */
    if (!policy->max_attempts && !policy->max_age_ms)
        policy->max_age_ms = next->max_age_ms;
    if (!policy->max_attempts)
        policy->max_attempts = next->max_attempts;
    if (!policy->crash_limit)
        policy->crash_limit = next->crash_limit;
    ls_backoff_fill(&policy->backoff, &next->backoff);
}

/* Has it been failing for too long? */
static bool too_old(const struct ls_retry_policy *policy, const struct ls_retry *retry,
                    const struct ls_failure *failure)
{
    int64_t max_age = policy->max_age_ms;

    if (!max_age && policy->max_attempts)
        return false;
    if (!max_age)
        max_age = LS_RETRY_MAX_AGE_MS;
    return failure->now_ms - retry->first_failed_at >= max_age;
}

static struct ls_retry after_crash(const struct ls_retry_policy *policy, struct ls_retry retry)
{
    retry.crashes++;
    /* The first ones only make it a suspect: a kill or its neighbour may have done it. */
    if (retry.crashes - LS_RETRY_SUSPECT_FROM >= policy->crash_limit)
        return dead(retry, "crashes");
    retry.action = LS_RETRY_LATER;
    if (retry.crashes > LS_RETRY_SUSPECT_FROM)
        retry.delay_ms =
            ls_backoff_delay_ms(&policy->backoff, retry.crashes - LS_RETRY_SUSPECT_FROM);
    return retry;
}

struct ls_retry ls_retry_decide(const struct ls_retry_policy *given,
                                const struct ls_failure *failure)
{
    static const struct ls_retry_policy defaults = LS_RETRY_DEFAULT;
    const struct ls_class_policy *klass = ls_class_policy(failure->klass);
    struct ls_retry_policy policy = *given;
    struct ls_retry retry = {.attempt = failure->attempt,
                             .crashes = failure->crashes,
                             .first_failed_at = failure->first_failed_at};

    ls_retry_fill(&policy, &defaults);
    if (failure->klass == LS_CLASS_CANCELLED) {
        retry.action = LS_RETRY_BACK;
        return retry;
    }
    if (failure->klass == LS_CLASS_CRASH)
        return after_crash(&policy, retry);
    if (klass->counts_attempt)
        retry.attempt++;
    if (!retry.first_failed_at && (klass->ages || klass->dead_at_once || !failure->has_account))
        retry.first_failed_at = failure->now_ms;
    if (klass->dead_at_once)
        return dead(retry, klass->name);
    if (failure->klass == LS_CLASS_AUTH && !failure->has_account)
        return dead(retry, "auth");
    if (klass->parks_account) {
        int64_t wait = failure->retry_after_ms;

        if (wait < 0)
            wait = failure->klass == LS_CLASS_AUTH ? AUTH_PARK_MS : THROTTLED_DEFAULT_MS;
        if (wait < THROTTLED_MIN_MS)
            wait = THROTTLED_MIN_MS;
        if (wait > PARK_MAX_MS)
            wait = PARK_MAX_MS;
        retry.action = failure->has_account ? LS_RETRY_PARK : LS_RETRY_LATER;
        retry.park_ms = retry.delay_ms = wait;
        if (!failure->has_account && too_old(&policy, &retry, failure))
            return dead(retry, "max_age");
        return retry;
    }
    retry.action = LS_RETRY_LATER;
    if (failure->klass == LS_CLASS_STORE) {
        retry.first_failed_at = failure->first_failed_at;
        retry.delay_ms = STORE_MIN_MS + (int64_t)ls_rand_below(STORE_SPREAD_MS);
        return retry;
    }
    if (policy.max_attempts && retry.attempt >= policy.max_attempts)
        return dead(retry, "max_attempts");
    if (too_old(&policy, &retry, failure))
        return dead(retry, "max_age");
    if (failure->klass == LS_CLASS_CONFLICT && retry.attempt <= CONFLICT_ROUNDS)
        return retry; /* at once: it reads again */
    retry.delay_ms = ls_backoff_delay_ms(&policy.backoff, retry.attempt);
    if (failure->retry_after_ms > retry.delay_ms) /* a 503 may name a time as well */
        retry.delay_ms =
            failure->retry_after_ms < PARK_MAX_MS ? failure->retry_after_ms : PARK_MAX_MS;
    return retry;
}
