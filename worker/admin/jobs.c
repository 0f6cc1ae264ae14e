#include "worker/admin/jobs.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/loop/timer.h"
#include "common/queue/mode.h"
#include "common/queue/outcome.h"

#define PAUSE_FIRST_MS 2 /* a short job on an idle pool is over by then */
#define PAUSE_MAX_MS 50
#define LOOK_MS 2000 /* deadline of one question */

/* A job on its way. */
struct posting {
    struct posting *next, **link; /* in jobs->postings */
    struct ls_jobs *jobs;
    struct ls_request *request;
    const struct ls_keys *keys; /* of its queue */
    char id[LS_JOB_ID_MAX + 1];
    bool waits;
    int64_t deadline_ms; /* monotonic; of the wait */
    int64_t pause_ms;
    struct ls_timer *timer; /* NULL: it does not wait */
    bool known;             /* pushed before, perhaps without a state */
    struct ls_err lost;     /* the push's answer was lost: only a state says that it arrived */
};

struct ls_jobs {
    uv_loop_t *loop;
    struct ls_redis *redis;
    const struct ls_config *config;
    const struct ls_keys *keys;
    struct posting *postings; /* owned */
    struct ls_cmd cmd;        /* scratch */
};

static int read_request(struct posting *posting, struct ls_err *err);
static int read_query(struct posting *posting, struct ls_push_job *job, struct ls_err *err);
static int find_queue(struct posting *posting, struct ls_span account, struct ls_err *err);
static void build_push(struct posting *posting, struct ls_envelope *envelope,
                       struct ls_push_job *job);
static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void begin_wait(struct posting *posting);
static void look(void *arg);
static void on_look(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void answer_taken(struct posting *posting, const char *how);
static void answer_outcome(struct posting *posting, const struct ls_outcome *outcome,
                           const char *state);
static void answer_failed(struct posting *posting, const struct ls_err *err);
static void finish(struct posting *posting, int status, const char *body, size_t length);

struct ls_jobs *ls_jobs_new(uv_loop_t *loop, struct ls_redis *redis, const struct ls_config *config,
                            const struct ls_keys *keys)
{
    struct ls_jobs *jobs = LS_NEW(struct ls_jobs);

    *jobs = (struct ls_jobs){.loop = loop, .redis = redis, .config = config, .keys = keys};
    return jobs;
}

void ls_jobs_close(struct ls_jobs **pointer)
{
    static const char body[] =
        "{\"error\":\"the pool is stopping\",\"hint\":\"push again with the same id\"}\n";
    struct ls_jobs *jobs = *pointer;

    *pointer = NULL;
    if (!jobs)
        return;
    /* It may or may not have happened: the same id again is harmless. */
    while (jobs->postings)
        finish(jobs->postings, 503, body, sizeof body - 1);
    ls_cmd_fini(&jobs->cmd);
    free(jobs);
}

void ls_jobs_post(struct ls_jobs *jobs, struct ls_request *request)
{
    struct posting *posting = LS_NEW(struct posting);
    struct ls_err err = LS_ERR_INIT;

    posting->jobs = jobs;
    posting->request = request;
    posting->next = jobs->postings;
    posting->link = &jobs->postings;
    if (posting->next)
        posting->next->link = &posting->next;
    jobs->postings = posting;
    if (read_request(posting, &err) < 0) {
        answer_failed(posting, &err);
        return;
    }
    ls_redis_send(jobs->redis, &jobs->cmd, 0, on_pushed, posting);
}

/* ---- reading ---- */

/* The body is an envelope, as it would be pushed raw; the query says where, when and how. */
static int read_request(struct posting *posting, struct ls_err *err)
{
    struct ls_span body = ls_request_body(posting->request);
    struct ls_envelope envelope = {0};
    struct ls_push_job job = {0};
    int result = -1;

    if (ls_envelope_scan(&envelope, body.data, body.length, err) < 0)
        goto done;
    if (!ls_config_kind_known(posting->jobs->config, envelope.kind.data, envelope.kind.length)) {
        ls_fail(err, LS_E_USAGE, "unknown kind '%.*s'", LS_SPAN_ARG(envelope.kind));
        goto done;
    }
    job.key = envelope.key;
    if (read_query(posting, &job, err) < 0 || ls_push_job_check(&job, err) < 0 ||
        find_queue(posting, envelope.account, err) < 0)
        goto done;
    build_push(posting, &envelope, &job);
    result = 0;
done:
    ls_envelope_fini(&envelope);
    return result;
}

static int read_time(const struct posting *posting, const char *name, int64_t *out,
                     struct ls_err *err)
{
    const char *text = ls_request_query(posting->request, name);

    if (!text)
        return 0;
    *out = ls_duration_parse(text);
    if (*out >= 0)
        return 0;
    ls_fail(err, LS_E_USAGE, "%s '%.60s' is no duration", name, text);
    return ls_hint(err, "as in 500ms, 10s, 5m, 2h");
}

static int read_query(struct posting *posting, struct ls_push_job *job, struct ls_err *err)
{
    const char *mode = ls_request_query(posting->request, "mode");
    int64_t wait_ms = -1;

    if (read_time(posting, "delay", &job->delay_ms, err) < 0 ||
        read_time(posting, "debounce", &job->debounce_ms, err) < 0 ||
        read_time(posting, "max_wait", &job->max_wait_ms, err) < 0 ||
        read_time(posting, "wait", &wait_ms, err) < 0)
        return -1;
    if (mode && ls_push_mode_parse(ls_span_of(mode), &job->mode, err) < 0)
        return -1;
    if (wait_ms > LS_JOBS_WAIT_MAX_MS) {
        ls_fail(err, LS_E_USAGE, "a wait of %lld s is too long", (long long)(wait_ms / 1000));
        return ls_hint(err, "at most %d s; then ask for the result again with the same id",
                       LS_JOBS_WAIT_MAX_MS / 1000);
    }
    posting->waits = wait_ms >= 0;
    posting->deadline_ms = ls_clock_mono_ms() + wait_ms;
    return 0;
}

/* ?queue=, else the account's, else "default". */
static int find_queue(struct posting *posting, struct ls_span account, struct ls_err *err)
{
    const struct ls_config *config = posting->jobs->config;
    const char *queue = ls_request_query(posting->request, "queue");
    const struct ls_config_account *known = NULL;
    char name[LS_ACCOUNT_MAX + 1];

    snprintf(name, sizeof name, "%.*s", LS_SPAN_ARG(account));
    if (name[0])
        known = ls_config_account_find(config, name);
    if (!queue)
        queue = known ? known->queue : "default";
    for (size_t i = 0; i < config->queue_count; i++) {
        if (strcmp(config->queues[i].name, queue) == 0) {
            posting->keys = &posting->jobs->keys[i];
            return 0;
        }
    }
    ls_fail(err, LS_E_USAGE, "this pool has no queue '%.64s'", queue);
    return -1;
}

static void build_push(struct posting *posting, struct ls_envelope *envelope,
                       struct ls_push_job *job)
{
    struct ls_jobs *jobs = posting->jobs;
    struct ls_push_options options = {0};
    struct ls_buf text = {0};
    char key[LS_KEY_SIZE];

    if (envelope->id.length) {
        snprintf(posting->id, sizeof posting->id, "%.*s", LS_SPAN_ARG(envelope->id));
        if (!job->key.length) /* the caller's own: pushed once, however often it is sent */
            job->id = envelope->id;
    } else {
        ls_id_new(posting->id);
        envelope->id = ls_span_of(posting->id);
    }
    envelope->result = envelope->result || posting->waits;
    if (envelope->result || envelope->status) {
        envelope->status = true;
        options.status_key = ls_keys_status(posting->keys, envelope->id, key);
    }
    ls_envelope_write(&text, envelope);
    job->envelope = (struct ls_span){text.data, text.length};
    if (job->key.length)
        ls_push_keyed_build(&jobs->cmd, posting->keys, &options, job, 1);
    else
        ls_push_build(&jobs->cmd, posting->keys, &options, job, 1);
    ls_buf_fini(&text);
}

/* ---- pushed ---- */

static void answer_rejected(struct posting *posting)
{
    static const char body[] =
        "{\"error\":\"rejected: a job with this key waits or runs\",\"hint\":\"push again when it "
        "has ended, or with mode latest or keep\"}\n";

    finish(posting, 409, body, sizeof body - 1);
}

static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct posting *posting = arg;
    struct ls_pushed pushed = {0};
    struct ls_err failure = LS_ERR_INIT;

    if (!err && ls_push_parse(reply, &pushed, &failure) < 0)
        err = &failure;
    if (err && err->code == LS_E_LOST && posting->waits) {
        posting->lost = *err;
        begin_wait(posting);
        return;
    }
    if (failure.code == LS_E_TOO_BIG) { /* the queue is full or closed: the request is well */
        failure.code = LS_E_TRANSIENT;
        ls_wrap(&failure, "queue '%s'", posting->keys->queue);
    }
    posting->known = pushed.known > 0;
    if (err)
        answer_failed(posting, err);
    else if (pushed.rejected)
        answer_rejected(posting);
    else if (posting->waits && !pushed.kept)
        begin_wait(posting);
    else
        answer_taken(posting, pushed.known       ? "known"
                              : pushed.kept      ? "kept"
                              : pushed.coalesced ? "coalesced"
                              : pushed.changed   ? "changed"
                                                 : "pushed");
}

/* ---- waiting ---- */

static void begin_wait(struct posting *posting)
{
    posting->pause_ms = PAUSE_FIRST_MS;
    posting->timer = ls_timer_new(posting->jobs->loop, look, posting);
    ls_timer_start(posting->timer, posting->known ? 0 : posting->pause_ms);
}

static void look(void *arg)
{
    struct posting *posting = arg;
    struct ls_jobs *jobs = posting->jobs;

    ls_outcome_build(&jobs->cmd, posting->keys, ls_span_of(posting->id));
    ls_redis_send(jobs->redis, &jobs->cmd, LOOK_MS, on_look, posting);
}

/* What fails here is only the asking: the job is in. */
static void on_look(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct posting *posting = arg;
    struct ls_outcome outcome = {0};
    int64_t left_ms = posting->deadline_ms - ls_clock_mono_ms();
    bool seen = !err && ls_outcome_parse(reply, &outcome, NULL) == 0;

    if (ls_outcome_ended(outcome.state)) {
        answer_outcome(posting, &outcome, ls_outcome_name(outcome.state));
    } else if (seen && posting->known && outcome.state == LS_OUTCOME_UNKNOWN) {
        answer_taken(posting, "known"); /* there is nothing to wait for */
    } else if (left_ms > 0) {
        ls_timer_start(posting->timer, posting->pause_ms < left_ms ? posting->pause_ms : left_ms);
        posting->pause_ms =
            posting->pause_ms * 2 < PAUSE_MAX_MS ? posting->pause_ms * 2 : PAUSE_MAX_MS;
    } else if (posting->lost.code && outcome.state == LS_OUTCOME_UNKNOWN) {
        answer_failed(posting, &posting->lost);
    } else {
        answer_outcome(posting, &outcome, "queued");
    }
    ls_outcome_fini(&outcome);
}

/* ---- answering ---- */

static void put_head(const struct posting *posting, struct ls_buf *out)
{
    ls_buf_puts(out, "{\"id\":");
    ls_buf_json_string(out, posting->id, strlen(posting->id));
    ls_buf_printf(out, ",\"queue\":\"%s\"", posting->keys->queue);
}

static void answer_taken(struct posting *posting, const char *how)
{
    bool there_already = strcmp(how, "known") == 0 || strcmp(how, "kept") == 0;
    struct ls_buf out = {0};

    put_head(posting, &out);
    ls_buf_printf(&out, ",\"%s\":\"%s\"}\n", posting->waits ? "state" : "result", how);
    finish(posting, there_already ? 200 : 202, out.data, out.length);
    ls_buf_fini(&out);
}

static void answer_outcome(struct posting *posting, const struct ls_outcome *outcome,
                           const char *state)
{
    struct ls_buf out = {0};

    put_head(posting, &out);
    ls_buf_printf(&out, ",\"state\":\"%s\"", state);
    if (outcome->state == LS_OUTCOME_DONE) {
        ls_buf_puts(&out, ",\"result\":");
        if (outcome->result.length)
            ls_buf_add(&out, outcome->result.data, outcome->result.length);
        else
            ls_buf_puts(&out, "null");
    } else if (outcome->error.length) {
        ls_buf_puts(&out, ",\"error\":");
        ls_buf_json_string(&out, outcome->error.data, outcome->error.length);
        ls_buf_puts(&out, ",\"class\":");
        ls_buf_json_string(&out, outcome->klass.data, outcome->klass.length);
    } else if (!ls_outcome_ended(outcome->state) && outcome->state != LS_OUTCOME_UNKNOWN) {
        ls_buf_printf(&out, ",\"status\":\"%s\"", ls_outcome_name(outcome->state));
    }
    ls_buf_puts(&out, "}\n");
    finish(posting, ls_outcome_ended(outcome->state) ? 200 : 202, out.data, out.length);
    ls_buf_fini(&out);
}

static struct ls_request *take_request(struct posting *posting)
{
    struct ls_request *request = posting->request;

    *posting->link = posting->next;
    if (posting->next)
        posting->next->link = posting->link;
    ls_timer_close(&posting->timer);
    free(posting);
    return request;
}

static void answer_failed(struct posting *posting, const struct ls_err *err)
{
    struct ls_err copy = *err; /* it may lie in the posting */

    ls_request_fail(take_request(posting), &copy);
}

static void finish(struct posting *posting, int status, const char *body, size_t length)
{
    ls_request_reply(take_request(posting), status, "application/json", body, length);
}
