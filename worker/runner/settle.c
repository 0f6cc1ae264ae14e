/* How a claim ends: what the next turn says of it, and what goes with that turn. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/attempts.h"
#include "common/job/dead.h"
#include "common/queue/push.h"
#include "worker/runner/runner_internal.h"

#define FAILURES_LOGGED 20 /* a second; the others are counted */
#define STATUS_TTL_MS (24 * 3600 * 1000LL)
#define SAMPLE_BYTES 160

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
struct ls_span run_written(struct ls_run *run)
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

void settle_begun(struct ls_run *run)
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

void settle_back(struct ls_run *run)
{
    ls_turn_back(ending(run), run->fence, key_of(run), run_written(run));
    settled(run);
    set_status(run, "pending");
}

/* It was cancelled, and that is over with it. */
void settle_drop(struct ls_run *run)
{
    ls_turn_drop(ending(run), run->fence, key_of(run));
    settled(run);
    set_end(run, "cancelled", NULL, NULL);
    ls_cancel_forget_build(seat_extra(run->seat), &run->seat->keys, run->envelope.id, run->fence);
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
struct ls_retry settle_judge(const struct ls_run *run, const struct ls_err *err)
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
    burial.bytes = run_written(run);
    bury(run, err, &burial);
    ls_buf_fini(&history);
}

/* A failed run: retry, park, give back or bury. */
void settle_failure(struct ls_run *run, const struct ls_err *err)
{
    struct ls_envelope *envelope = &run->envelope;
    struct ls_retry retry = settle_judge(run, err);
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
        ls_turn_retry(ending(run), run->fence, key_of(run), retry.delay_ms, run_written(run));
        ls_buf_fini(&history);
        settled(run);
        set_status(run, "retrying");
        return;
    }
    if (retry.action == LS_RETRY_PARK)
        park(run, &retry, err);
    settle_back(run);
}

/* Bytes that are no envelope lie in `dead` exactly as they came. */
void settle_malformed(struct ls_run *run, const struct ls_claim *claim, const struct ls_err *why)
{
    struct ls_err err = *why;
    struct burial burial = {
        .klass = ls_class_name(LS_CLASS_MALFORMED), .why = "malformed", .bytes = claim->envelope};

    ls_wrap(&err, "malformed envelope");
    bury(run, &err, &burial);
}

void settle_unknown_kind(struct ls_run *run)
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
    burial.bytes = run_written(run);
    bury(run, &err, &burial);
}

void settle_done(struct ls_run *run)
{
    crowd_fared(&run->seat->crowd, run->envelope.account, true);
    ls_turn_ack(ending(run), run->fence, key_of(run));
    settled(run);
    set_end(run, "done", NULL, NULL);
}

void settle_again(struct ls_run *run, int64_t delay_ms)
{
    ls_turn_again(ending(run), run->fence, key_of(run), delay_ms, run_written(run));
    settled(run);
    set_status(run, "pending");
}

void settle_rekey(struct ls_run *run)
{
    ls_turn_rekey(ending(run), run->fence, run->envelope.key, run_written(run));
    settled(run);
}
