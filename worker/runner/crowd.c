#include "worker/runner/crowd.h"

#include <limits.h>
#include <stdio.h>
#include <uthash.h>

#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/envelope.h"

#define LEARN_MS 1000
#define SUCCESS_MS 1000 /* between two reports of nothing but successes */

struct crowd {
    char name[LS_ACCOUNT_MAX + 1];
    int running;
    int done, failed; /* since the last report */
    int64_t reported_ms, learned_ms;
    UT_hash_handle hh;
};

static struct crowd *find(struct crowd **crowd, struct ls_span account)
{
    struct crowd *one;

    HASH_FIND(hh, *crowd, account.data, account.length, one);
    if (one)
        return one;
    one = LS_NEW(struct crowd);
    snprintf(one->name, sizeof(one->name), "%.*s", LS_SPAN_ARG(account));
    HASH_ADD(hh, *crowd, name, account.length, one);
    return one;
}

/* Nobody asks for it any more. */
static void drop_if_idle(struct crowd **crowd, struct crowd *one)
{
    if (one->running > 0 || one->done > 0 || one->failed > 0 || one->reported_ms > 0)
        return;
    HASH_DEL(*crowd, one);
    free(one);
}

void crowd_enter(struct crowd **crowd, struct ls_span account)
{
    if (account.length)
        find(crowd, account)->running++;
}

void crowd_leave(struct crowd **crowd, struct ls_span account)
{
    struct crowd *one;

    if (!account.length)
        return;
    one = find(crowd, account);
    one->running--;
    drop_if_idle(crowd, one);
}

void crowd_fared(struct crowd **crowd, struct ls_span account, bool well)
{
    struct crowd *one;

    if (!account.length)
        return;
    one = find(crowd, account);
    if (well)
        one->done++;
    else
        one->failed++;
}

int crowd_list(const struct crowd *crowd, int share, struct ls_turn_account *out, int max)
{
    const int floors[] = {share / 4 > 1 ? share / 4 : 2, 1}; /* those near their share first */
    int count = 0, below = INT_MAX;

    for (size_t i = 0; share > 0 && i < LS_COUNT(floors); i++) {
        for (const struct crowd *one = crowd; one && count < max; one = one->hh.next)
            if (one->running >= floors[i] && one->running < below)
                out[count++] =
                    (struct ls_turn_account){.name = ls_span_of(one->name), one->running};
        below = floors[i];
    }
    return count;
}

static bool has_breaker(const struct ls_config *config, const char *account)
{
    const struct ls_config_account *found = config ? ls_config_account_find(config, account) : NULL;

    return found && found->breaker.failures > 0;
}

static bool report_due(const struct crowd *one, int64_t now_ms)
{
    return one->failed > 0 || (one->done > 0 && now_ms - one->reported_ms >= SUCCESS_MS);
}

void crowd_report(struct crowd **crowd, const struct ls_config *config, struct ls_turn *turn,
                  int64_t now_ms)
{
    struct crowd *one = NULL, *next = NULL;

    HASH_ITER(hh, *crowd, one, next)
    {
        if (!report_due(one, now_ms))
            continue;
        if (has_breaker(config, one->name)) {
            ls_turn_report(turn, ls_span_of(one->name), one->done, one->failed);
            one->reported_ms = now_ms;
        }
        one->done = one->failed = 0;
        drop_if_idle(crowd, one);
    }
}

bool crowd_may_learn(struct crowd **crowd, struct ls_span account, int64_t now_ms)
{
    struct crowd *one = find(crowd, account);

    if (now_ms - one->learned_ms < LEARN_MS)
        return false;
    one->learned_ms = now_ms;
    return true;
}

void crowd_free(struct crowd **crowd)
{
    struct crowd *one, *next;

    HASH_ITER(hh, *crowd, one, next)
    {
        HASH_DEL(*crowd, one);
        free(one);
    }
}
