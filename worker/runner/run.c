/* Jobs in hand: from claim to settlement. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/config/config.h"
#include "worker/runner/runner_internal.h"

#define SPARES 512
#define KEEP_BYTES ((size_t)4096) /* a pooled run keeps no larger buffer */
#define SUSPECT_WAIT_MS \
    100 /* another suspect runs: come again so much later, and as much at random */

/* -------- the pool -------- */

static struct ls_run *run_new(struct seat *seat)
{
    struct ls_runner *runner = seat->runner;
    struct ls_run *run = runner->spare;
    struct ls_buf bytes;

    if (!run)
        return LS_NEW(struct ls_run);
    runner->spare = run->next;
    runner->spare_count--;
    bytes = run->bytes;
    memset(run, 0, sizeof(*run));
    run->bytes = bytes;
    return run;
}

static void run_recycle(struct ls_runner *runner, struct ls_run *run)
{
    grant_forget(run);
    ls_envelope_fini(&run->envelope);
    ls_buf_fini(&run->note);
    ls_buf_fini(&run->result);
    if (runner->spare_count >= SPARES) {
        ls_buf_fini(&run->bytes);
        free(run);
        return;
    }
    if (run->bytes.capacity > KEEP_BYTES)
        ls_buf_fini(&run->bytes);
    ls_buf_clear(&run->bytes);
    run->next = runner->spare;
    runner->spare = run;
    runner->spare_count++;
}

void run_free_spares(struct ls_runner *runner)
{
    while (runner->spare) {
        struct ls_run *next = runner->spare->next;
        ls_buf_fini(&runner->spare->bytes);
        free(runner->spare);
        runner->spare = next;
    }
    runner->spare_count = 0;
}

static void enlist(struct ls_run *run)
{
    struct seat *seat = run->seat;

    run->previous = NULL;
    run->next = seat->runs;
    if (seat->runs)
        seat->runs->previous = run;
    seat->runs = run;
    seat->running++;
    crowd_enter(&seat->crowd, run->envelope.account);
    if (run->suspect) {
        seat->suspects++;
        seat->runner->suspects++;
    }
}

/* No longer in hand. */
static void delist(struct ls_run *run)
{
    struct seat *seat = run->seat;

    if (run->previous)
        run->previous->next = run->next;
    else
        seat->runs = run->next;
    if (run->next)
        run->next->previous = run->previous;
    seat->running--;
    crowd_leave(&seat->crowd, run->envelope.account);
    if (run->suspect) {
        seat->suspects--;
        seat->runner->suspects--;
    }
    if (run->keep || run->noted)
        seat->keeps--;
    run_recycle(seat->runner, run);
}

/* A raw envelope gets its id and its form; the run works on these bytes from now on. */
static int make_canonical(struct ls_run *run, struct ls_err *err)
{
    char id[LS_ID_SIZE];
    struct ls_span bytes;

    if (run->envelope.id.length == 0)
        run->envelope.id = ls_span_of(ls_id_new(id));
    bytes = run_written(run);
    ls_envelope_fini(&run->envelope);
    ls_buf_clear(&run->bytes);
    ls_buf_add(&run->bytes, bytes.data, bytes.length);
    return ls_envelope_scan(&run->envelope, run->bytes.data, run->bytes.length, err);
}

static void start(struct ls_run *run)
{
    struct seat *seat = run->seat;
    int64_t timeout_ms =
        run->envelope.timeout_ms ? run->envelope.timeout_ms : run->handler->timeout_ms;

    run->suspect = run->envelope.crashes >= LS_RETRY_SUSPECT_FROM;
    if (timeout_ms > 0) {
        run->deadline_ms = (int64_t)uv_now(&seat->runner->loop) + timeout_ms;
        runner_watch_deadline(seat->runner, run->deadline_ms);
    }
    run->spent = -1;
    enlist(run);
    if (run->keep)
        seat->keeps++;
    settle_begun(run);
    run->handler->begin(run->handler->self, run); /* last: it may have ended the run */
}

/* Settle it without a run, or start it. */
static bool prepare(struct ls_run *run, const struct ls_claim *claim)
{
    struct seat *seat = run->seat;
    struct ls_err err = LS_ERR_INIT;

    ls_buf_add(&run->bytes, claim->envelope.data, claim->envelope.length);
    if (ls_envelope_scan(&run->envelope, run->bytes.data, run->bytes.length, &err) < 0 ||
        (!run->envelope.canonical && make_canonical(run, &err) < 0)) {
        run->spent = -1; /* whether it paid is not known */
        settle_malformed(run, claim, &err);
        return false;
    }
    run->keep =
        !ls_span_equal(claim->envelope, (struct ls_span){run->bytes.data, run->bytes.length});
    if (run->keep)
        run->spent = -1; /* not in its form: it paid nothing */
    if (run->envelope.key.length > 0 && !run->keyed) {
        /* pushed plainly: it joins the others of its key */
        settle_rekey(run);
        return false;
    }
    if (seat->runner->draining || seat->runner->stopping ||
        (run->keep && run->envelope.account.length > 0)) {
        /* in its form now: its account's budget is looked at when it is claimed again */
        settle_back(run);
        return false;
    }
    run->handler = ls_handlers_find(seat->runner->handlers, run->envelope.kind);
    if (!run->handler) {
        settle_unknown_kind(run);
        return false;
    }
    if (run->envelope.crashes >= LS_RETRY_SUSPECT_FROM && seat->runner->suspects > 0) {
        settle_again(run, SUSPECT_WAIT_MS + (int64_t)ls_rand_below(SUSPECT_WAIT_MS));
        return false;
    }
    return true;
}

void run_claim(struct seat *seat, const struct ls_claim *claim)
{
    struct ls_run *run = run_new(seat);

    run->seat = seat;
    run->fence = claim->fence;
    run->keyed = claim->keyed;
    if (prepare(run, claim)) {
        start(run);
        return;
    }
    run_recycle(seat->runner, run);
    seat_want(seat);
}

/* -------- ending -------- */

static void end(struct ls_run *run)
{
    struct seat *seat = run->seat;

    delist(run);
    runner_finished_one(seat->runner);
    seat_want(seat);
}

void ls_run_ok(struct ls_run *run)
{
    settle_done(run);
    end(run);
}

void ls_run_fail(struct ls_run *run, const struct ls_err *err)
{
    if (run->cancelled)
        settle_drop(run);
    else
        settle_failure(run, err);
    end(run);
}

bool ls_run_would_die(const struct ls_run *run, const struct ls_err *err)
{
    return settle_judge(run, err).action == LS_RETRY_DEAD;
}

void ls_run_again(struct ls_run *run, int64_t delay_ms, const void *data, size_t length)
{
    if (run->cancelled) {
        settle_drop(run);
        end(run);
        return;
    }
    if (data)
        run->envelope.data = (struct ls_span){data, length};
    run->envelope.attempt = 0; /* it goes on well: what failed before is past */
    run->envelope.first_failed_at = 0;
    run->envelope.crashes = 0;
    run->envelope.history = (struct ls_span){0};
    settle_again(run, delay_ms);
    end(run);
}

static void stop(struct ls_run *run)
{
    if (run->handler->cancel)
        run->handler->cancel(run->handler->self, run);
}

void run_abandon(struct ls_run *run)
{
    stop(run);
    delist(run);
}

void run_give_back(struct ls_run *run)
{
    stop(run);
    if (run->cancelled)
        settle_drop(run);
    else
        settle_back(run);
    end(run);
}

void run_cancel(struct ls_run *run)
{
    struct ls_runner *runner = run->seat->runner;

    run->cancelled = true;
    if (!run->handler->ask_stop) {
        run_cut(run);
        return;
    }
    run->stop_ms = (int64_t)uv_now(&runner->loop) + runner->config->cancel_grace_ms;
    runner_watch_deadline(runner, run->stop_ms);
    run->handler->ask_stop(run->handler->self, run); /* last: it may have ended the run */
}

void run_cut(struct ls_run *run)
{
    stop(run);
    settle_drop(run);
    end(run);
}

void run_time_out(struct ls_run *run)
{
    int64_t timeout_ms =
        run->envelope.timeout_ms ? run->envelope.timeout_ms : run->handler->timeout_ms;
    struct ls_err err = LS_ERR_INIT;
    char text[32];

    stop(run);
    ls_fail(&err, LS_E_LOST, "job timeout: not done after %s",
            ls_duration_format(text, sizeof(text), timeout_ms));
    snprintf(err.reason, sizeof(err.reason), "job_timeout");
    settle_failure(run, &err);
    end(run);
}
