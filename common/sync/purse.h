/* Leave to make requests. Budgets are counted in platform requests, and a crawl makes many: it draws some at a time from whoever keeps
 * the budget, has one in hand before each request or page it begins, and at its end tells what it did not make. What a page takes beyond
 * one request (a lost place, a second part, a repeated send) is a debt, which the next draw pays off before anything else is begun.
 *
 * While it waits for a grant, which may take as long as the budget makes it, a crawl holds nothing: no call to the store, no request. */
#ifndef LS_SYNC_PURSE_H
#define LS_SYNC_PURSE_H

#include <stdbool.h>
#include <stdint.h>

typedef void ls_granted_cb(void *ctx, int count);

/* Where a crawl draws from: given by who begins it. */
struct ls_grants {
    /* Ask for up to want requests. granted is called once, later, with 1 to want. One at a time. */
    void (*take)(void *arg, int want, ls_granted_cb *granted, void *ctx);
    /* The crawl is over, by whatever end (before its `done`, and within its cancel): a take that is out is forgotten. left of what was
     * granted were not made; below 0, so many were made beyond it. */
    void (*settle)(void *arg, int left);
    void *arg;
};

/* A crawl's own side of it. {0} is the purse of one whose requests nobody counts: it never waits. */
struct ls_purse {
    struct ls_grants grants;
    int granted;
    int made; /* requests so far: the crawl adds to it as it learns of them */
    bool asked;
    void (*ready)(void *arg);
    void *arg;
};

#define LS_PURSE_DRAW 8 /* requests asked for at once, at most (and a debt on top) */

/* grants: copied; NULL: nobody counts. */
void ls_purse_open(struct ls_purse *purse, const struct ls_grants *grants);
/* May a request be made now? false: it is asked for, and ready(arg) runs once it may. ahead: how many will follow, as far as is known
 * (less than 1 counts as 1). */
bool ls_purse_ask(struct ls_purse *purse, int64_t ahead, void (*ready)(void *arg), void *arg);
/* Requests in hand; INT_MAX when nobody counts. */
int ls_purse_left(const struct ls_purse *purse);
/* Settle; ready does not run any more. Again is harmless. */
void ls_purse_close(struct ls_purse *purse);

#endif
