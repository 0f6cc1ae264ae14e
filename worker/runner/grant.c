/* What a run tells of its platform requests, and what it may make beyond those that its kind prepays: as much as it asks for, on the
 * next turn of the loop. */
#include "common/base/mem.h"
#include "common/loop/timer.h"
#include "worker/runner/runner_internal.h"

struct take {
    struct ls_run *run;
    struct ls_timer *timer;
    int want;
    ls_run_granted_cb *granted;
    void *arg;
};

static void on_due(void *arg);

void ls_run_spent(struct ls_run *run, int requests)
{
    run->spent = (run->spent < 0 ? 0 : run->spent) + requests;
}

void ls_run_take(struct ls_run *run, int want, ls_run_granted_cb *granted, void *arg)
{
    struct take *take = LS_NEW(struct take);

    ls_assert(!run->take && want > 0);
    *take = (struct take){.run = run, .want = want, .granted = granted, .arg = arg};
    take->timer = ls_timer_new(&run->seat->runner->loop, on_due, take);
    ls_timer_start(take->timer, 0);
    run->take = take;
}

static void on_due(void *arg)
{
    struct take last = *(struct take *)arg;

    run_forget_take(last.run);
    last.granted(last.arg, last.want);
}

void run_forget_take(struct ls_run *run)
{
    if (run->take)
        ls_timer_close(&run->take->timer);
    free(run->take);
    run->take = NULL;
}

/* Nobody keeps what is left of it. */
void ls_run_ungrant(struct ls_run *run, int count)
{
}
