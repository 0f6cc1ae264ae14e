/* Grants: requests drawn from an account's budget by a run that makes many. */
#include "common/base/mem.h"
#include "common/queue/limit.h"
#include "worker/runner/runner_internal.h"

#define AGAIN_MIN_MS 10
#define AGAIN_MAX_MS 60000
#define FAILED_MS 1000 /* Redis away, or it refused: ask again */

/* One question for requests. It outlives its run, because its timer and its answer are on their way. */
struct ls_grant {
    struct ls_grant *next, **link; /* in runner->grants */
    struct ls_runner *runner;
    struct seat *seat;
    struct ls_run *run; /* NULL: its run has ended */
    char account[LS_ACCOUNT_MAX + 1];
    int want, granted;
    bool asking;
    uv_timer_t timer;
    ls_run_granted_cb *done;
    void *arg;
};

static void on_timer(uv_timer_t *timer);
static void on_answer(void *arg, const struct ls_reply *reply, const struct ls_err *err);

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_grant(struct ls_grant *grant)
{
    *grant->link = grant->next;
    if (grant->next)
        grant->next->link = grant->link;
    uv_close((uv_handle_t *)&grant->timer, on_closed);
}

static void give_back(struct ls_runner *runner, struct seat *seat, struct ls_span account,
                      int count)
{
    ls_limit_take_build(&runner->cmd, &seat->keys, account, -count);
    ls_redis_send(runner->redis, &runner->cmd, 0, NULL, NULL);
}

void ls_run_take(struct ls_run *run, int want, ls_run_granted_cb *granted, void *arg)
{
    struct ls_grant *grant = LS_NEW(struct ls_grant);
    struct ls_runner *runner = run->seat->runner;

    ls_assert(!run->grant && want > 0);
    grant->runner = runner;
    grant->seat = run->seat;
    grant->run = run;
    grant->want = want;
    grant->done = granted;
    grant->arg = arg;
    snprintf(grant->account, sizeof(grant->account), "%.*s", LS_SPAN_ARG(run->envelope.account));
    grant->link = &runner->grants;
    grant->next = runner->grants;
    if (grant->next)
        grant->next->link = &grant->next;
    runner->grants = grant;
    run->grant = grant;
    uv_timer_init(&runner->loop, &grant->timer);
    grant->timer.data = grant;
    if (!grant->account[0])
        grant->granted = want; /* nobody's budget */
    uv_timer_start(&grant->timer, on_timer, 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct ls_grant *grant = timer->data;
    struct ls_grant last = *grant;

    if (grant->granted == 0) {
        grant->asking = true;
        ls_limit_take_build(&grant->runner->cmd, &grant->seat->keys, ls_span_of(grant->account),
                            grant->want);
        ls_redis_send(grant->runner->redis, &grant->runner->cmd, 0, on_answer, grant);
        return;
    }
    grant->run->grant = NULL;
    close_grant(grant);
    last.done(last.arg, last.granted);
}

static void on_answer(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_grant *grant = arg;
    struct ls_limit_grant answer = {.wait_ms = FAILED_MS};
    int64_t wait_ms;

    grant->asking = false;
    if (!err && ls_limit_take_parse(reply, &answer, NULL) < 0)
        answer = (struct ls_limit_grant){.wait_ms = FAILED_MS};
    if (!grant->run) {
        if (answer.granted > 0)
            give_back(grant->runner, grant->seat, ls_span_of(grant->account), (int)answer.granted);
        close_grant(grant);
        return;
    }
    grant->granted = (int)answer.granted;
    wait_ms = answer.wait_ms < AGAIN_MAX_MS ? answer.wait_ms : AGAIN_MAX_MS;
    if (grant->granted == 0 && wait_ms < AGAIN_MIN_MS)
        wait_ms = AGAIN_MIN_MS;
    uv_timer_start(&grant->timer, on_timer, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
}

void ls_run_ungrant(struct ls_run *run, int count)
{
    if (count > 0 && run->envelope.account.length && ls_redis_is_up(run->seat->runner->redis))
        give_back(run->seat->runner, run->seat, run->envelope.account, count);
}

void grant_forget(struct ls_run *run)
{
    struct ls_grant *grant = run->grant;

    if (!grant)
        return;
    run->grant = NULL;
    grant->run = NULL;
    if (grant->asking)
        return; /* its answer closes it */
    uv_timer_stop(&grant->timer);
    if (grant->granted > 0 && grant->account[0] && ls_redis_is_up(grant->runner->redis))
        give_back(grant->runner, grant->seat, ls_span_of(grant->account), grant->granted);
    close_grant(grant);
}

/* The connection is closed: no answer comes any more. */
void grants_free(struct ls_runner *runner)
{
    while (runner->grants)
        close_grant(runner->grants);
}
