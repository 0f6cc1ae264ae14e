/* The host of a run in inline mode: what a runner does for a handler of the blocking form, without
 * its threads, leases and waiting. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/job/json.h"
#include "producer/lib/inline_internal.h"

#define WORKER "inline"
#define LIBRARY_SYMBOL "lockstep_handlers"
#define ROWS_MAX 256 /* of one table */

/* A run in hand. run is the first member: the handler's pointer is ours. */
struct host {
    struct lockstep_run run;
    struct ls_inline *queue;
    struct inline_job *job; /* queue->running */
    int64_t fence;
    int64_t deadline_ms;  /* monotonic; 0: none */
    struct ls_buf texts;  /* what run points to, each with its NUL */
    struct ls_buf result; /* "": none */
    bool told;            /* how it ends */
    int outcome;          /* enum lockstep_outcome */
    int64_t delay_ms;
    struct ls_buf text, reason;
    struct ls_buf data; /* AGAIN: the next data */
    bool has_data;
};

static int add_kind(struct ls_inline *queue, const struct lockstep_handler *handler,
                    struct ls_err *err);
static int run_one(struct ls_inline *queue);
static void host_begin(struct host *host, struct ls_inline *queue, struct inline_job *job);
static void host_fini(struct host *host);
static void settle(struct host *host);
static void settle_failure(struct host *host, const struct ls_err *err);
static void bury(struct host *host, const struct ls_err *err, const char *klass, const char *why,
                 const struct ls_retry *retry);

int ls_lib_check_inline(const struct lockstep *ls, struct ls_err *err)
{
    if (ls->inlined)
        return 0;
    ls_fail(err, LS_E_USAGE, "this handle is not in inline mode");
    return ls_hint(err, "lockstep_open(\"inline:\") gives one that is");
}

/* ---- kinds ---- */

static bool is_end(const struct lockstep_handler *handler)
{
    return !handler->abi && !handler->size && !handler->kind;
}

int lockstep_inline_handlers(struct lockstep *ls, const struct lockstep_handler *handlers)
{
    const struct lockstep_handler *row = handlers;
    struct ls_err err = LS_ERR_INIT;
    int served = 0, result = 0;

    ls_lib_begin(ls);
    if (ls_lib_check_inline(ls, &err) < 0)
        return ls_lib_failed(ls, &err);
    if (!handlers) {
        ls_fail(&err, LS_E_USAGE, "which handlers? the table is NULL");
        return ls_lib_failed(ls, &err);
    }
    /* Rows are as long as their size says. */
    for (int i = 0; !is_end(row); i++, row = (const void *)((const char *)row + row->size)) {
        if (i == ROWS_MAX) {
            ls_fail(&err, LS_E_USAGE, "the table has more than %d handlers", ROWS_MAX);
            ls_hint(&err, "does it end with LOCKSTEP_HANDLERS_END?");
            result = -1;
        } else {
            result = add_kind(ls->inlined, row, &err);
        }
        if (result < 0)
            return ls_lib_failed(ls, &err);
        served += result;
    }
    return served;
}

int lockstep_inline_library(struct lockstep *ls, const char *path)
{
    const struct lockstep_handler *handlers;
    struct ls_err err = LS_ERR_INIT;
    char *file;
    void *object;

    ls_lib_begin(ls);
    if (ls_lib_check_inline(ls, &err) < 0)
        return ls_lib_failed(ls, &err);
    /* A name without a slash would be sought among the system's libraries. */
    file = strchr(path, '/') ? ls_xstrdup(path) : ls_xasprintf("./%s", path);
    object = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    free(file);
    if (!object) {
        ls_fail(&err, LS_E_CONFIG, "cannot load '%s': %s", path, dlerror());
        return ls_lib_failed(ls, &err);
    }
    handlers = dlsym(object, LIBRARY_SYMBOL);
    if (!handlers) {
        ls_fail(&err, LS_E_CONFIG, "'%s' has no table '" LIBRARY_SYMBOL "'", path);
        ls_hint(&err, "lockstep/handler.h says what a shared object of handlers exports");
        return ls_lib_failed(ls, &err);
    }
    return lockstep_inline_handlers(ls, handlers);
}

static int check_handler(const struct lockstep_handler *handler, struct ls_err *err)
{
    struct ls_envelope envelope = {.kind = ls_span_of(handler->kind)};

    if (handler->abi != LOCKSTEP_HANDLER_ABI || handler->size < sizeof *handler) {
        ls_fail(err, LS_E_USAGE,
                "the table was built for another binary interface: %u of %u bytes, not %d of %zu",
                (unsigned)handler->abi, (unsigned)handler->size, LOCKSTEP_HANDLER_ABI,
                sizeof *handler);
        return ls_hint(err, "build it with the lockstep/handler.h of this lockstep");
    }
    if (!handler->kind)
        return ls_fail(err, LS_E_USAGE, "a handler of the table has no kind");
    if (!handler->run == !handler->begin || !handler->begin != !handler->cancel) {
        ls_fail(err, LS_E_USAGE, "the handler of kind '%.64s' has neither of the two forms",
                handler->kind);
        return ls_hint(err, "set either 'run', or 'begin' and 'cancel'");
    }
    return ls_envelope_check(&envelope, err);
}

static int open_kind(struct inline_kind *kind, struct ls_err *err)
{
    struct lockstep_opening opening = {.size = sizeof opening, .kind = kind->kind};

    if (!kind->handler.open || kind->handler.open(&opening) == 0) {
        kind->self = opening.self;
        return 0;
    }
    opening.error[sizeof opening.error - 1] = 0;
    return ls_fail(err, LS_E_CONFIG, "handler '%s' does not open: %s", kind->kind,
                   opening.error[0] ? opening.error : "it does not say why");
}

/* 1: served; 0: of the asynchronous form, so that a push is refused. */
static int add_kind(struct ls_inline *queue, const struct lockstep_handler *handler,
                    struct ls_err *err)
{
    struct inline_kind kind = {0}, *known;

    if (check_handler(handler, err) < 0)
        return -1;
    kind.handler = *handler;
    snprintf(kind.kind, sizeof kind.kind, "%s", handler->kind);
    if (kind.handler.run && open_kind(&kind, err) < 0)
        return -1;
    known = inline_kind_find(queue, ls_span_of(handler->kind));
    if (!known) {
        queue->kinds = ls_xrealloc(queue->kinds, (queue->kind_count + 1) * sizeof *queue->kinds);
        known = &queue->kinds[queue->kind_count++];
    } else if (known->handler.run && known->handler.close) {
        known->handler.close(known->self);
    }
    *known = kind;
    return kind.handler.run != NULL;
}

void inline_kinds_close(struct ls_inline *queue)
{
    for (size_t i = 0; i < queue->kind_count; i++) {
        struct inline_kind *kind = &queue->kinds[i];

        if (kind->handler.run && kind->handler.close)
            kind->handler.close(kind->self);
    }
}

struct inline_kind *inline_kind_find(const struct ls_inline *queue, struct ls_span kind)
{
    for (size_t i = 0; i < queue->kind_count; i++) {
        if (ls_span_is(kind, queue->kinds[i].kind))
            return &queue->kinds[i];
    }
    return NULL;
}

int ls_inline_serves(const struct ls_inline *queue, const char *kind, struct ls_err *err)
{
    const struct inline_kind *found = inline_kind_find(queue, ls_span_of(kind));

    if (!found || found->handler.run)
        return found != NULL;
    ls_fail(err, LS_E_UNSUPPORTED,
            "kind '%s' has a handler of the asynchronous form, which needs a runner's loop", kind);
    return ls_hint(err, "inline mode runs the blocking form; test this one with "
                        "'lockstep up --until-empty'");
}

/* ---- running ---- */

/* How many runs it took; -1: too many. */
static int64_t drain(struct ls_inline *queue, struct ls_err *err)
{
    int64_t runs = 0;

    while (queue->jobs) {
        if (runs == LOCKSTEP_INLINE_RUNS) {
            ls_fail(err, LS_E_UNSUPPORTED,
                    "after %d runs there are still jobs, next one of kind '%.*s'",
                    LOCKSTEP_INLINE_RUNS, LS_SPAN_ARG(queue->jobs->envelope.kind));
            return ls_hint(err, "does a job come back for ever, or push its own successor?");
        }
        runs += run_one(queue);
    }
    return runs;
}

int ls_inline_settle(struct lockstep *ls, struct ls_err *err)
{
    if (ls->inlined->deferred || ls->inlined->running)
        return 0;
    return drain(ls->inlined, err) < 0 ? -1 : 0;
}

int64_t lockstep_inline_drain(struct lockstep *ls)
{
    struct ls_err err = LS_ERR_INIT;
    int64_t runs;

    ls_lib_begin(ls);
    if (ls_lib_check_inline(ls, &err) < 0)
        return ls_lib_failed(ls, &err);
    if (ls->inlined->running) {
        ls_fail(&err, LS_E_USAGE, "a handler cannot drain the handle that runs it");
        return ls_lib_failed(ls, &err);
    }
    runs = drain(ls->inlined, &err);
    /* A handler that used the handle left its own last failure there. */
    ls_lib_begin(ls);
    return runs < 0 ? ls_lib_failed(ls, &err) : runs;
}

/* 1, or 0 when all that was left was cancelled. */
static int run_one(struct ls_inline *queue)
{
    struct inline_job *job = inline_take(queue);
    const struct inline_kind *kind;
    struct host host;
    int returned;

    if (!job)
        return 0;
    kind = inline_kind_find(queue, job->envelope.kind);
    host_begin(&host, queue, job);
    if (kind && kind->handler.run) {
        struct lockstep_handler handler = kind->handler; /* the table may move meanwhile */

        returned = handler.run(&host.run, kind->self);
        if (!host.told && returned != 0) {
            host.outcome = LOCKSTEP_RUN_RETRY;
            ls_buf_printf(&host.text, "the handler returned %d", returned);
        }
        settle(&host);
    } else if (ls_span_is(job->envelope.kind, "noop")) {
        settle(&host);
    } else {
        struct ls_err err = LS_ERR_INIT;

        ls_fail(&err, LS_E_PERMANENT, "unknown kind '%.*s'", LS_SPAN_ARG(job->envelope.kind));
        bury(&host, &err, "unknown_kind", "unknown_kind", NULL);
    }
    host_fini(&host);
    return 1;
}

/* ---- what a handler calls ---- */

static int64_t call_fence(struct lockstep_run *run)
{
    return ((struct host *)run)->fence;
}

static int64_t call_left_ms(struct lockstep_run *run)
{
    const struct host *host = (struct host *)run;
    int64_t left_ms;

    if (!host->deadline_ms)
        return -1;
    left_ms = host->deadline_ms - ls_clock_mono_ms();
    return left_ms > 0 ? left_ms : 0;
}

static int call_is_cancelled(struct lockstep_run *run)
{
    return ((struct host *)run)->queue->cancelled || call_left_ms(run) == 0;
}

static int call_may_write(struct lockstep_run *run)
{
    return 1;
}

static int call_checkpoint(struct lockstep_run *run, const char *json, size_t length)
{
    struct host *host = (struct host *)run;
    struct ls_envelope next = host->job->envelope;

    if (!ls_json_valid(json, length, LS_ENVELOPE_DEPTH - 1))
        return -1;
    next.data = (struct ls_span){json, length};
    return inline_job_rewrite(host->job, &next, NULL);
}

static int call_progress(struct lockstep_run *run, int64_t done, int64_t total, const char *text)
{
    return 0; /* nobody could look */
}

static int call_wants_result(struct lockstep_run *run)
{
    return ((struct host *)run)->job->envelope.result;
}

static int call_result(struct lockstep_run *run, const char *json, size_t length)
{
    struct host *host = (struct host *)run;

    if (length > LOCKSTEP_RUN_RESULT_MAX || !ls_json_valid(json, length, LS_ENVELOPE_DEPTH))
        return -1;
    ls_buf_clear(&host->result);
    ls_buf_add(&host->result, json, length);
    return 0;
}

static void keep_text(struct ls_buf *buf, const char *text, size_t max)
{
    ls_buf_clear(buf);
    if (text)
        ls_buf_add(buf, text, strnlen(text, max));
}

/* The last one counts. */
static int call_end(struct lockstep_run *run, const struct lockstep_ending *given)
{
    struct host *host = (struct host *)run;
    struct lockstep_ending ending = {0};

    memcpy(&ending, given, given->size < sizeof ending ? given->size : sizeof ending);
    host->told = true;
    host->outcome = ending.outcome;
    host->delay_ms = ending.delay_ms;
    keep_text(&host->text, ending.text, LOCKSTEP_RUN_TEXT_MAX);
    keep_text(&host->reason, ending.reason, sizeof(((struct ls_err *)0)->reason) - 1);
    ls_buf_clear(&host->data);
    host->has_data = ending.data != NULL;
    if (ending.data)
        ls_buf_add(&host->data, ending.data, ending.data_length);
    return ending.outcome == LOCKSTEP_RUN_OK || ending.outcome == LOCKSTEP_RUN_AGAIN ? 0 : -1;
}

static const struct lockstep_run_calls calls = {
    .size = sizeof(struct lockstep_run_calls),
    .fence = call_fence,
    .left_ms = call_left_ms,
    .is_cancelled = call_is_cancelled,
    .may_write = call_may_write,
    .checkpoint = call_checkpoint,
    .progress = call_progress,
    .wants_result = call_wants_result,
    .result = call_result,
    .end = call_end,
};

static void host_begin(struct host *host, struct ls_inline *queue, struct inline_job *job)
{
    const struct ls_envelope *envelope = &job->envelope;
    const struct ls_span texts[] = {envelope->id,  envelope->kind, envelope->account,
                                    envelope->key, envelope->data, ls_span_of(job->queue)};
    const char *at;

    *host = (struct host){.queue = queue, .job = job, .fence = ++queue->fence};
    if (envelope->timeout_ms)
        host->deadline_ms = ls_clock_mono_ms() + envelope->timeout_ms;
    for (size_t i = 0; i < LS_COUNT(texts); i++) {
        ls_buf_add(&host->texts, texts[i].data, texts[i].length);
        ls_buf_putc(&host->texts, 0);
    }
    at = host->texts.data;
    host->run = (struct lockstep_run){.size = sizeof host->run,
                                      .calls = &calls,
                                      .data_length = envelope->data.length,
                                      .attempt = envelope->attempt + 1};
    host->run.id = at;
    host->run.kind = host->run.id + texts[0].length + 1;
    host->run.account = host->run.kind + texts[1].length + 1;
    host->run.key = host->run.account + texts[2].length + 1;
    host->run.queue = host->run.key + texts[3].length + 1 + texts[4].length + 1;
    if (envelope->data.length)
        host->run.data = host->run.key + texts[3].length + 1;
    queue->running = job;
    queue->cancelled = false;
    inline_say(queue, job, LS_OUTCOME_RUNNING, (struct ls_span){0}, NULL);
}

static void host_fini(struct host *host)
{
    ls_buf_fini(&host->texts);
    ls_buf_fini(&host->result);
    ls_buf_fini(&host->text);
    ls_buf_fini(&host->reason);
    ls_buf_fini(&host->data);
}

/* ---- how it ends ---- */

static struct ls_span span_of(const struct ls_buf *buf)
{
    return (struct ls_span){buf->data, buf->length};
}

/* The run is over: the job is whoever's who settles it. */
static struct inline_job *release(struct host *host)
{
    struct inline_job *job = host->job;

    host->queue->running = host->job = NULL;
    return job;
}

static void end(struct host *host, enum ls_outcome_state state, struct ls_span text,
                const char *klass)
{
    inline_say(host->queue, host->job, state, text, klass);
    inline_job_free(release(host));
}

/* As if it had not been begun; or it was cancelled, then it is gone. */
static void settle_stopped(struct host *host)
{
    struct ls_inline *queue = host->queue;

    if (queue->cancelled) {
        end(host, LS_OUTCOME_CANCELLED, (struct ls_span){0}, NULL);
        return;
    }
    inline_say(queue, host->job, LS_OUTCOME_PENDING, (struct ls_span){0}, NULL);
    inline_requeue(queue, release(host), queue->now_ms, false);
}

/* Its next step. */
static void settle_again(struct host *host)
{
    struct ls_inline *queue = host->queue;
    struct ls_envelope next = host->job->envelope;
    struct ls_err err = LS_ERR_INIT;

    if (queue->cancelled) {
        end(host, LS_OUTCOME_CANCELLED, (struct ls_span){0}, NULL);
        return;
    }
    next.attempt = next.crashes = 0; /* it goes on well: what failed before is past */
    next.first_failed_at = 0;
    if (host->has_data)
        next.data = span_of(&host->data);
    if ((host->has_data &&
         !ls_json_valid(host->data.data, host->data.length, LS_ENVELOPE_DEPTH - 1)) ||
        inline_job_rewrite(host->job, &next, NULL) < 0) {
        ls_fail(&err, LS_E_PERMANENT, "the handler's next data is not JSON, or too big");
        settle_failure(host, &err);
        return;
    }
    inline_say(queue, host->job, LS_OUTCOME_PENDING, (struct ls_span){0}, NULL);
    inline_requeue(queue, release(host), queue->now_ms + (host->delay_ms > 0 ? host->delay_ms : 0),
                   true);
}

static void settle(struct host *host)
{
    static const enum ls_err_code codes[] = {[LOCKSTEP_RUN_RETRY] = LS_E_TRANSIENT,
                                             [LOCKSTEP_RUN_PERMANENT] = LS_E_PERMANENT,
                                             [LOCKSTEP_RUN_THROTTLED] = LS_E_THROTTLED};
    struct ls_err err = LS_ERR_INIT;

    switch (host->outcome) {
    case LOCKSTEP_RUN_OK:
        end(host, LS_OUTCOME_DONE, span_of(&host->result), NULL);
        return;
    case LOCKSTEP_RUN_AGAIN:
        settle_again(host);
        return;
    case LOCKSTEP_RUN_STOPPED:
        settle_stopped(host);
        return;
    case LOCKSTEP_RUN_RETRY:
    case LOCKSTEP_RUN_PERMANENT:
    case LOCKSTEP_RUN_THROTTLED:
        ls_fail(&err, codes[host->outcome], "%s",
                host->text.length ? host->text.data : "the handler failed and said nothing");
        if (host->delay_ms > 0)
            err.retry_after_ms = host->delay_ms;
        if (host->reason.length)
            snprintf(err.reason, sizeof err.reason, "%s", host->reason.data);
        break;
    default:
        ls_fail(&err, LS_E_TRANSIENT, "the handler ended with outcome %d, which is none",
                host->outcome);
    }
    settle_failure(host, &err);
}

/* What the pool's policy makes of it, by the handle's clock and without chance. */
static void settle_failure(struct host *host, const struct ls_err *err)
{
    struct ls_inline *queue = host->queue;
    struct ls_envelope *envelope = &host->job->envelope;
    struct ls_retry_policy policy = envelope->retry, defaults = LS_RETRY_DEFAULT;
    struct ls_failure failure = {.klass = ls_class_of(err),
                                 .retry_after_ms = err->retry_after_ms,
                                 .has_account = envelope->account.length > 0,
                                 .attempt = envelope->attempt,
                                 .crashes = envelope->crashes,
                                 .first_failed_at = envelope->first_failed_at,
                                 .now_ms = queue->now_ms};
    struct ls_retry retry;

    defaults.backoff.jitter = policy.backoff.jitter = LS_JITTER_NONE;
    ls_retry_fill(&policy, &defaults);
    retry = ls_retry_decide(&policy, &failure);
    if (queue->cancelled) {
        end(host, LS_OUTCOME_CANCELLED, (struct ls_span){0}, NULL);
        return;
    }
    if (retry.action == LS_RETRY_DEAD) {
        bury(host, err, ls_class_name(failure.klass), retry.why, &retry);
        return;
    }
    envelope->attempt = retry.attempt;
    envelope->crashes = retry.crashes;
    envelope->first_failed_at = retry.first_failed_at;
    inline_say(queue, host->job, LS_OUTCOME_RETRYING, (struct ls_span){0}, NULL);
    inline_requeue(queue, release(host),
                   queue->now_ms + (retry.action == LS_RETRY_PARK ? retry.park_ms : retry.delay_ms),
                   true);
}

/* retry NULL: its attempts do not count. */
static void bury(struct host *host, const struct ls_err *err, const char *klass, const char *why,
                 const struct ls_retry *retry)
{
    const struct inline_job *job = host->job;
    const struct ls_envelope *envelope = &job->envelope;
    char code[LS_CODE_SIZE];
    struct ls_dead dead = {.id = envelope->id,
                           .kind = envelope->kind,
                           .account = envelope->account,
                           .key = envelope->key,
                           .error = ls_span_of(err->text),
                           .klass = ls_span_of(klass),
                           .why = ls_span_of(why),
                           .code = ls_span_of(ls_failure_code(code, err)),
                           .attempts = envelope->attempt + (retry != NULL),
                           .crashes = envelope->crashes,
                           .first_failed_at = retry ? retry->first_failed_at : 0,
                           .failed_at = host->queue->now_ms,
                           .worker = LS_SPAN(WORKER),
                           .fence = host->fence};
    char group[LS_GROUP_SIZE];
    struct ls_buf letter = {0}, bytes = {0};

    ls_envelope_write(&bytes, envelope);
    dead.job = span_of(&bytes);
    dead.group =
        ls_span_of(ls_dead_group(group, dead.kind, dead.account, dead.klass, 0, dead.code));
    ls_dead_write(&letter, &dead);
    inline_bury(host->queue, job, &letter);
    ls_buf_fini(&bytes);
    end(host, LS_OUTCOME_DEAD, ls_span_of(err->text), klass);
}
