/* Jobs in hand: from claim to settlement. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/config/config.h"
#include "common/job/attempts.h"
#include "common/job/dead.h"
#include "common/job/json.h"
#include "common/queue/push.h"
#include "worker/runner/runner_internal.h"

#define SPARES 512
#define KEEP_BYTES ((size_t)4096) /* a pooled run keeps no larger buffer */
#define SUSPECT_WAIT_MS \
    100 /* another suspect runs: come again so much later, and as much at random */
#define FAILURES_LOGGED 20 /* a second; the others are counted */
#define STATUS_TTL_MS (24 * 3600 * 1000LL)
#define SAMPLE_BYTES 160
#define COUNTS_BYTES 256 /* what an envelope may grow by beside its data: attempts, crashes, ... */
#define NOTE_BYTES 200

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

/* -------- settlements -------- */

static struct ls_span key_of(const struct ls_run *run)
{
    return run->keyed ? run->envelope.key : (struct ls_span){0};
}

/* Where the end of this claim goes, with what it has really spent. */
static struct ls_turn *ending(struct ls_run *run)
{
    struct ls_turn *turn = seat_turn(run->seat);

    if (run->spent >= 0 && run->envelope.account.length)
        ls_turn_spend(turn, run->fence, run->envelope.account, run->envelope.kind, run->spent);
    return turn;
}

static void settled(struct ls_run *run)
{
    seat_settled(run->seat, run->fence);
}

/* The envelope as it is now, written into the runner's scratch. */
static struct ls_span written(struct ls_run *run)
{
    struct ls_buf *out = &run->seat->runner->scratch;

    ls_buf_clear(out);
    ls_envelope_write(out, &run->envelope);
    return (struct ls_span){out->data, out->length};
}

static bool is_watched(const struct ls_run *run)
{
    return run->envelope.status || run->envelope.result;
}

/* How the job stands now that its claim ends: goes with the settlement, and again with it. */
static void set_status(struct ls_run *run, const char *state)
{
    char key[LS_KEY_SIZE];

    if (is_watched(run))
        ls_status_build(seat_extra(run->seat),
                        ls_keys_status(&run->seat->keys, run->envelope.id, key), state,
                        STATUS_TTL_MS);
}

static void set_running(struct ls_run *run)
{
    struct ls_runner *runner = run->seat->runner;
    char key[LS_KEY_SIZE];

    if (!is_watched(run) || !ls_redis_is_up(runner->redis))
        return;
    ls_status_build(&runner->cmd, ls_keys_status(&run->seat->keys, run->envelope.id, key),
                    "running", STATUS_TTL_MS);
    ls_redis_send(runner->redis, &runner->cmd, 0, NULL, NULL);
}

/* The end for good: the result first, so that it is there when the status says so.
 *
 *   {"state":"done","result":...}  {"state":"dead","error":"...","class":"..."}
 *   {"state":"cancelled"} */
static void set_end(struct ls_run *run, const char *state, const char *klass,
                    const struct ls_err *err)
{
    struct ls_buf text = {0};
    char key[LS_KEY_SIZE];

    if (run->envelope.result) {
        ls_buf_printf(&text, "{\"state\":\"%s\"", state);
        if (err) {
            ls_buf_puts(&text, ",\"error\":");
            ls_buf_json_string(&text, err->text, strlen(err->text));
            ls_buf_printf(&text, ",\"class\":\"%s\"", klass);
        } else if (run->result.length) {
            ls_buf_puts(&text, ",\"result\":");
            ls_buf_add(&text, run->result.data, run->result.length);
        }
        ls_buf_putc(&text, '}');
        ls_status_build(seat_extra(run->seat),
                        ls_keys_result(&run->seat->keys, run->envelope.id, key), text.data,
                        run->seat->config->result_ttl_ms);
        ls_buf_fini(&text);
    }
    set_status(run, state);
}

/* Failures may come by the thousand: some a second are told, the rest is counted. */
static bool may_log(struct ls_runner *runner)
{
    int64_t second = ls_clock_mono_ms() / 1000;

    if (second != runner->failures_logged_at) {
        if (runner->failures_hidden > 0)
            ls_log(LS_LOG_WARN, "job.failed", "and %lld more failures",
                   (long long)runner->failures_hidden);
        runner->failures_logged_at = second;
        runner->failures_logged = runner->failures_hidden = 0;
    }
    if (runner->failures_logged < FAILURES_LOGGED) {
        runner->failures_logged++;
        return true;
    }
    runner->failures_hidden++;
    return false;
}

static void log_failure(struct ls_run *run, const char *event, const char *what,
                        const struct ls_err *err)
{
    char job[LS_JOB_ID_MAX + 1], kind[LS_KIND_MAX + 1], account[LS_ACCOUNT_MAX + 1], attempt[12];

    if (!may_log(run->seat->runner))
        return;
    snprintf(job, sizeof(job), "%.*s", LS_SPAN_ARG(run->envelope.id));
    snprintf(kind, sizeof(kind), "%.*s", LS_SPAN_ARG(run->envelope.kind));
    snprintf(account, sizeof(account), "%.*s", LS_SPAN_ARG(run->envelope.account));
    snprintf(attempt, sizeof(attempt), "%d", run->envelope.attempt + 1);
    ls_log_with(LS_LOG_WARN, event,
                LS_FIELDS({"job", job[0] ? job : NULL}, {"kind", kind[0] ? kind : NULL},
                          {"account", account[0] ? account : NULL},
                          {"queue", run->seat->keys.queue}, {"class", ls_err_name(err->code)},
                          {"attempt", attempt}),
                "%s: %s", what, err->text);
}

struct burial {
    const char *klass, *why;
    int attempts, crashes;
    int64_t first_failed_at;
    struct ls_span history; /* of its attempts */
    struct ls_span bytes;   /* of the job, exactly */
};

/* The letter says all that is known; the job's bytes are in it exactly. */
static void bury(struct ls_run *run, const struct ls_err *err, const struct burial *burial)
{
    struct seat *seat = run->seat;
    const struct ls_envelope *envelope = &run->envelope;
    struct ls_span klass = ls_span_of(burial->klass), error = ls_span_of(err->text), sample = error;
    struct ls_buf *out = &seat->runner->letter;
    char group[LS_GROUP_SIZE], word[LS_CODE_SIZE];
    struct ls_span code = ls_span_of(ls_failure_code(word, err));

    ls_dead_group(group, envelope->kind, envelope->account, klass, err->http_status, code);
    ls_buf_clear(out);
    ls_dead_write(out, &(struct ls_dead){.id = envelope->id,
                                         .kind = envelope->kind,
                                         .account = envelope->account,
                                         .key = envelope->key,
                                         .error = error,
                                         .klass = klass,
                                         .why = ls_span_of(burial->why),
                                         .code = code,
                                         .http_status = err->http_status,
                                         .attempts = burial->attempts,
                                         .crashes = burial->crashes,
                                         .first_failed_at = burial->first_failed_at,
                                         .failed_at = seat_now_ms(seat),
                                         .worker = ls_span_of(seat->worker),
                                         .fence = run->fence,
                                         .group = ls_span_of(group),
                                         .history = burial->history,
                                         .job = burial->bytes});
    if (sample.length > SAMPLE_BYTES)
        sample.length = SAMPLE_BYTES;
    ls_turn_dead(ending(run), run->fence, key_of(run), (struct ls_span){out->data, out->length},
                 ls_span_of(group), sample);
    settled(run);
    set_end(run, "dead", burial->klass, err);
    log_failure(run, "job.dead", burial->why, err);
}

static void settle_back(struct ls_run *run)
{
    ls_turn_back(ending(run), run->fence, key_of(run), written(run));
    settled(run);
    set_status(run, "pending");
}

/* It was cancelled, and that is over with it. */
static void settle_drop(struct ls_run *run)
{
    ls_turn_drop(ending(run), run->fence, key_of(run));
    settled(run);
    set_end(run, "cancelled", NULL, NULL);
    ls_cancel_forget_build(seat_extra(run->seat), &run->seat->keys, run->envelope.id,
                           run->envelope.key);
}

static void park(struct ls_run *run, const struct ls_retry *retry, const struct ls_err *err)
{
    char account[LS_ACCOUNT_MAX + 1];
    const char *reason = err->code == LS_E_AUTH    ? "auth"
                         : err->http_status == 429 ? "429"
                                                   : "throttled";

    snprintf(account, sizeof(account), "%.*s", LS_SPAN_ARG(run->envelope.account));
    ls_turn_park(seat_turn(run->seat), run->envelope.account, retry->park_ms, ls_span_of(reason));
    ls_run_count(run, err->code == LS_E_AUTH ? "auth_parked" : "throttled", 1);
    if (may_log(run->seat->runner))
        ls_log_with(
            err->code == LS_E_AUTH ? LS_LOG_ERROR : LS_LOG_WARN, "account.parked",
            LS_FIELDS({"account", account}, {"queue", run->seat->keys.queue}, {"reason", reason}),
            "account '%s' waits for %lld ms: %s", account, (long long)retry->park_ms, err->text);
}

/* What policy and history make of a failure. */
static struct ls_retry judge(const struct ls_run *run, const struct ls_err *err)
{
    const struct ls_envelope *envelope = &run->envelope;
    struct ls_retry_policy policy = envelope->retry;
    struct ls_failure failure = {.klass = ls_class_of(err),
                                 .retry_after_ms = err->retry_after_ms,
                                 .has_account = envelope->account.length > 0,
                                 .attempt = envelope->attempt,
                                 .crashes = envelope->crashes,
                                 .first_failed_at = envelope->first_failed_at,
                                 .now_ms = seat_now_ms(run->seat)};

    ls_retry_fill(&policy, &run->seat->policy);
    return ls_retry_decide(&policy, &failure);
}

/* What the account's breaker makes of a failure: did its platform answer? */
static void tell_breaker(struct ls_run *run, enum ls_class klass)
{
    if (klass == LS_CLASS_STORE || klass == LS_CLASS_CANCELLED)
        return; /* says nothing about it */
    crowd_fared(&run->seat->crowd, run->envelope.account,
                klass != LS_CLASS_TRANSIENT && klass != LS_CLASS_UNKNOWN);
}

/* The job's history has this attempt, too: in its envelope, or, when the job is dead, beside it. */
static void remember(struct ls_run *run, const struct ls_err *err, struct ls_buf *history,
                     bool is_dead)
{
    char code[LS_CODE_SIZE];
    const struct ls_attempt attempt = {.at_ms = seat_now_ms(run->seat),
                                       .klass = ls_span_of(ls_class_name(ls_class_of(err))),
                                       .http_status = err->http_status,
                                       .code = ls_span_of(ls_failure_code(code, err)),
                                       .error = ls_span_of(err->text)};

    if (!is_dead) {
        ls_attempts_note(history, &run->envelope, &attempt);
        return;
    }
    ls_attempts_add(history, run->envelope.history, &attempt, LS_ATTEMPTS_BYTES);
    run->envelope.history = (struct ls_span){0};
}

static void settle_dead(struct ls_run *run, const struct ls_err *err, const struct ls_retry *retry)
{
    struct ls_buf history = {0};
    struct burial burial = {.klass = ls_class_name(ls_class_of(err)),
                            .why = retry->why,
                            .attempts = run->envelope.attempt + 1,
                            .crashes = retry->crashes,
                            .first_failed_at = retry->first_failed_at};

    remember(run, err, &history, true);
    burial.history = (struct ls_span){history.data, history.length};
    burial.bytes = written(run);
    bury(run, err, &burial);
    ls_buf_fini(&history);
}

/* A failed run: retry, park, give back or bury. */
static void settle_failure(struct ls_run *run, const struct ls_err *err)
{
    struct ls_envelope *envelope = &run->envelope;
    struct ls_retry retry = judge(run, err);
    struct ls_buf history = {0};

    tell_breaker(run, ls_class_of(err));
    if (retry.action == LS_RETRY_DEAD) {
        settle_dead(run, err, &retry);
        return;
    }
    if (retry.action == LS_RETRY_LATER)
        log_failure(run, "job.failed", "job failed, to be retried", err);
    envelope->attempt = retry.attempt;
    envelope->crashes = retry.crashes;
    envelope->first_failed_at = retry.first_failed_at;
    if (retry.action == LS_RETRY_LATER) {
        remember(run, err, &history, false);
        ls_turn_retry(ending(run), run->fence, key_of(run), retry.delay_ms, written(run));
        ls_buf_fini(&history);
        settled(run);
        set_status(run, "retrying");
        return;
    }
    if (retry.action == LS_RETRY_PARK)
        park(run, &retry, err);
    settle_back(run);
}

/* -------- from claim to handler -------- */

/* Bytes that are no envelope lie in `dead` exactly as they came. */
static void bury_malformed(struct ls_run *run, const struct ls_claim *claim,
                           const struct ls_err *why)
{
    struct ls_err err = *why;
    struct burial burial = {
        .klass = ls_class_name(LS_CLASS_MALFORMED), .why = "malformed", .bytes = claim->envelope};

    ls_wrap(&err, "malformed envelope");
    bury(run, &err, &burial);
}

static void bury_unknown_kind(struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;
    struct burial burial = {.klass = "unknown_kind",
                            .why = "unknown_kind",
                            .attempts = run->envelope.attempt,
                            .crashes = run->envelope.crashes,
                            .history = run->envelope.history};

    if (ls_kind_known(run->envelope.kind.data, run->envelope.kind.length))
        ls_fail(&err, LS_E_PERMANENT,
                "kind '%.*s' is not served here: it needs a 'store' and 'syncs' in the pool's "
                "configuration",
                LS_SPAN_ARG(run->envelope.kind));
    else
        ls_fail(&err, LS_E_PERMANENT, "unknown kind '%.*s'", LS_SPAN_ARG(run->envelope.kind));
    snprintf(err.reason, sizeof(err.reason), "unknown_kind");
    run->envelope.history = (struct ls_span){0}; /* beside the job, not in it */
    burial.bytes = written(run);
    bury(run, &err, &burial);
}

/* A raw envelope gets its id and its form; the run works on these bytes from now on. */
static int make_canonical(struct ls_run *run, struct ls_err *err)
{
    char id[LS_ID_SIZE];
    struct ls_span bytes;

    if (run->envelope.id.length == 0)
        run->envelope.id = ls_span_of(ls_id_new(id));
    bytes = written(run);
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
    set_running(run);
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
        bury_malformed(run, claim, &err);
        return false;
    }
    run->keep =
        !ls_span_equal(claim->envelope, (struct ls_span){run->bytes.data, run->bytes.length});
    if (run->keep)
        run->spent = -1; /* not in its form: it paid nothing */
    if (run->envelope.key.length > 0 && !run->keyed) {
        /* pushed plainly: it joins the others of its key */
        ls_turn_rekey(ending(run), run->fence, run->envelope.key, written(run));
        settled(run);
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
        bury_unknown_kind(run);
        return false;
    }
    if (run->envelope.crashes >= LS_RETRY_SUSPECT_FROM && seat->runner->suspects > 0) {
        ls_turn_again(ending(run), run->fence, key_of(run),
                      SUSPECT_WAIT_MS + (int64_t)ls_rand_below(SUSPECT_WAIT_MS), written(run));
        settled(run);
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
    crowd_fared(&run->seat->crowd, run->envelope.account, true);
    ls_turn_ack(ending(run), run->fence, key_of(run));
    settled(run);
    set_end(run, "done", NULL, NULL);
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
    return judge(run, err).action == LS_RETRY_DEAD;
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
    ls_turn_again(ending(run), run->fence, key_of(run), delay_ms, written(run));
    settled(run);
    set_status(run, "pending");
    end(run);
}

void ls_run_checkpoint(struct ls_run *run, const void *data, size_t length)
{
    struct ls_span bytes;

    run->envelope.data = (struct ls_span){data, length};
    bytes = written(run);
    ls_envelope_fini(&run->envelope);
    ls_buf_clear(&run->bytes);
    ls_buf_add(&run->bytes, bytes.data, bytes.length);
    ls_assert(ls_envelope_scan(&run->envelope, run->bytes.data, run->bytes.length, NULL) == 0);
    if (!run->keep && !run->noted)
        run->seat->keeps++;
    run->keep = true;
    seat_want(run->seat);
}

/* One line, cut at a character. */
void ls_run_progress(struct ls_run *run, int64_t done, int64_t total, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length > NOTE_BYTES)
        for (length = NOTE_BYTES; length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80;)
            length--;
    ls_buf_clear(&run->note);
    ls_buf_printf(&run->note, "%lld %lld ", (long long)done, (long long)total);
    for (size_t i = 0; i < length; i++)
        ls_buf_putc(&run->note, (unsigned char)text[i] < 0x20 ? ' ' : text[i]);
    if (!run->keep && !run->noted)
        run->seat->keeps++;
    run->noted = true;
}

void run_keeps(struct seat *seat)
{
    struct ls_run *run;

    if (seat->keeps == 0)
        return;
    for (run = seat->runs; run; run = run->next) {
        if (run->keep)
            ls_turn_keep(seat_turn(seat), run->fence,
                         (struct ls_span){run->bytes.data, run->bytes.length});
        if (run->noted)
            ls_turn_note(seat_turn(seat), run->fence,
                         (struct ls_span){run->note.data, run->note.length});
        run->keep = run->noted = false;
    }
    seat->keeps = 0;
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

/* -------- what handlers may ask -------- */

struct ls_span ls_run_kind(const struct ls_run *run)
{
    return run->envelope.kind;
}

struct ls_span ls_run_account(const struct ls_run *run)
{
    return run->envelope.account;
}

struct ls_span ls_run_key(const struct ls_run *run)
{
    return run->envelope.key;
}

struct ls_span ls_run_id(const struct ls_run *run)
{
    return run->envelope.id;
}

struct ls_span ls_run_data(const struct ls_run *run)
{
    return run->envelope.data;
}

size_t ls_run_data_room(const struct ls_run *run)
{
    size_t rest = run->bytes.length - run->envelope.data.length + COUNTS_BYTES;

    return rest < LS_ENVELOPE_MAX ? LS_ENVELOPE_MAX - rest : 0;
}

const char *ls_run_queue(const struct ls_run *run)
{
    return run->seat->keys.queue;
}

int ls_run_attempt(const struct ls_run *run)
{
    return run->envelope.attempt + 1;
}

int64_t ls_run_fence(const struct ls_run *run)
{
    return run->fence;
}

const char *ls_run_worker(const struct ls_run *run)
{
    return run->seat->worker;
}

int64_t ls_run_deadline_ms(const struct ls_run *run)
{
    return run->deadline_ms;
}

const struct ls_runner_tools *ls_run_tools(const struct ls_run *run)
{
    return &run->seat->runner->tools;
}

void **ls_run_state(struct ls_run *run)
{
    return &run->state;
}

bool ls_run_may_write(const struct ls_run *run)
{
    const struct seat *seat = run->seat;
    int64_t margin =
        seat->runner->config->lease_ms > 4000 ? 2000 : seat->runner->config->lease_ms / 4;

    return ls_clock_boot_ms() - seat->confirmed_boot_ms < seat->runner->config->lease_ms - margin;
}

bool ls_run_is_cancelled(const struct ls_run *run)
{
    return run->cancelled;
}

bool ls_run_wants_result(const struct ls_run *run)
{
    return run->envelope.result;
}

int ls_run_result(struct ls_run *run, const void *json, size_t length, struct ls_err *err)
{
    if (!run->envelope.result)
        return 0;
    if (length > LS_RESULT_MAX)
        return ls_fail(err, LS_E_TOO_BIG, "the result has %zu bytes, %zu are kept", length,
                       LS_RESULT_MAX);
    if (!ls_json_valid(json, length, LS_ENVELOPE_DEPTH))
        return ls_fail(err, LS_E_INVALID, "the result is not valid JSON");
    ls_buf_clear(&run->result);
    ls_buf_add(&run->result, json, length);
    return 0;
}

void ls_run_spent(struct ls_run *run, int requests)
{
    run->spent = (run->spent < 0 ? 0 : run->spent) + requests;
}

void ls_run_learn(struct ls_run *run, double rate, int burst, int64_t left)
{
    struct seat *seat = run->seat;
    bool scarce = left >= 0 && burst >= 1 && left * 4 < burst;

    if (!run->envelope.account.length || (rate < 0 && burst < 1 && left < 0))
        return;
    if (crowd_may_learn(&seat->crowd, run->envelope.account, ls_clock_mono_ms()) || scarce)
        ls_turn_learn(seat_turn(seat), run->envelope.account, rate, burst, left);
}

void ls_run_count(struct ls_run *run, const char *name, int64_t delta)
{
    struct seat *seat = run->seat;
    int i;

    for (i = 0; i < seat->counter_count; i++)
        if (strcmp(seat->counters[i].name, name) == 0)
            break;
    if (i == COUNTER_NAMES)
        return;
    if (i == seat->counter_count) {
        seat->counter_count++;
        snprintf(seat->counters[i].name, COUNTER_NAME_SIZE, "%s", name);
        seat->counters[i].delta = 0;
    }
    seat->counters[i].delta += delta;
}
