#include "common/sync/purse.h"

#include <limits.h>

#include "common/base/mem.h"

static void draw(struct ls_purse *purse, int64_t ahead);
static void on_granted(void *ctx, int count);

void ls_purse_open(struct ls_purse *purse, const struct ls_grants *grants)
{
    *purse = (struct ls_purse){0};
    if (grants)
        purse->grants = *grants;
}

bool ls_purse_ask(struct ls_purse *purse, int64_t ahead, void (*ready)(void *arg), void *arg)
{
    if (ls_purse_left(purse) >= 1)
        return true;
    purse->ready = ready;
    purse->arg = arg;
    draw(purse, ahead);
    return false;
}

int ls_purse_left(const struct ls_purse *purse)
{
    return purse->grants.take ? purse->granted - purse->made : INT_MAX;
}

void ls_purse_close(struct ls_purse *purse)
{
    struct ls_grants grants = purse->grants;
    int left = ls_purse_left(purse);

    purse->grants = (struct ls_grants){0};
    purse->asked = false;
    if (grants.settle)
        grants.settle(grants.arg, left);
}

static void draw(struct ls_purse *purse, int64_t ahead)
{
    int debt = -ls_purse_left(purse);
    int want = ahead < 1 ? 1 : ahead > LS_PURSE_DRAW ? LS_PURSE_DRAW : (int)ahead;

    ls_assert(!purse->asked);
    purse->asked = true;
    purse->grants.take(purse->grants.arg, want + debt, on_granted, purse);
}

static void on_granted(void *ctx, int count)
{
    struct ls_purse *purse = ctx;

    ls_assert(purse->asked && count > 0);
    purse->asked = false;
    purse->granted += count;
    if (ls_purse_left(purse) >= 1)
        purse->ready(purse->arg);
    else
        draw(purse, 1); /* it went into a debt */
}
