/* Cancelled runs: a turn tells that something was cancelled; then the runner asks whether it is one of
 * those it has in hand. */
#include "common/base/mem.h"
#include "common/queue/push.h"
#include "worker/runner/runner_internal.h"

/* The names asked about, and whose they are. One at a time a seat. */
struct ls_question {
    int64_t serial;
    size_t count;
    int64_t fences[LS_CANCELLED_MAX];
};

static void ask(struct seat *seat, int64_t serial);
static void on_answer(void *arg, const struct ls_reply *reply, const struct ls_err *err);

void cancel_look(struct seat *seat, int64_t serial)
{
    bool changed = serial != seat->cancel_serial;

    seat->cancel_serial = serial;
    if (changed && serial != 0 && !seat->question)
        ask(seat, serial);
}

void cancel_fini(struct seat *seat)
{
    free(seat->question);
    seat->question = NULL;
}

/* About those that were not asked about since it changed; nothing when there are none. */
static void ask(struct seat *seat, int64_t serial)
{
    struct ls_question *question = LS_NEW(struct ls_question);
    struct ls_run *run;

    question->serial = serial;
    ls_cancelled_build(&seat->runner->cmd, &seat->keys);
    for (run = seat->runs; run && question->count + 2 <= LS_CANCELLED_MAX; run = run->next) {
        if (run->asked_serial == serial || run->cancelled)
            continue;
        run->asked_serial = serial;
        ls_cancelled_add(&seat->runner->cmd, run->envelope.id);
        question->fences[question->count++] = run->fence;
        if (!run->keyed)
            continue;
        ls_cancelled_add_run(&seat->runner->cmd, run->fence);
        question->fences[question->count++] = run->fence;
    }
    if (question->count == 0) {
        free(question);
        return;
    }
    seat->question = question;
    ls_redis_send(seat->runner->redis, &seat->runner->cmd, 0, on_answer, seat);
}

static struct ls_run *find(struct seat *seat, int64_t fence)
{
    struct ls_run *run;

    for (run = seat->runs; run; run = run->next)
        if (run->fence == fence)
            return run;
    return NULL;
}

static void on_answer(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct seat *seat = arg;
    struct ls_question *question = seat->question;
    const struct ls_reply *place;

    seat->question = NULL;
    if (err) {
        seat->cancel_serial = -1; /* the next turn asks again */
        for (struct ls_run *run = seat->runs; run; run = run->next)
            run->asked_serial = -1;
    }
    for (size_t i = 2; !err && (place = ls_reply_item(reply, i)); i++) {
        int64_t at = ls_reply_int(place, 0);
        struct ls_run *run =
            at >= 1 && at <= (int64_t)question->count ? find(seat, question->fences[at - 1]) : NULL;

        if (run && !run->cancelled)
            run_cancel(run);
    }
    free(question);
    if (!err && seat->state == SEAT_READY)
        ask(seat, seat->cancel_serial);
}
