#include "worker/scheduler/settle.h"

#include <stdbool.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/job/attempts.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/job/retry.h"

#define SUSPECT_BASE_MS 500 /* a suspect that crashed comes back after this, doubling */
#define SPREAD_EACH_MS 100  /* several suspects: a random time within so much for each of them */
#define SPREAD_MAX_MS 5000

static int count_suspects(const struct ls_claims *claims);
static void settle_one(struct ls_turn *turn, const struct ls_claim *claim, int suspects,
                       const struct ls_settle_options *options, struct ls_settle_result *result);
static int64_t charge(struct ls_envelope *envelope, int suspects);
static void bury_malformed(struct ls_turn *turn, const struct ls_claim *claim,
                           const struct ls_envelope *envelope,
                           const struct ls_settle_options *options, const struct ls_err *err);
static void bury_crashed(struct ls_turn *turn, const struct ls_claim *claim,
                         struct ls_envelope *envelope, const struct ls_settle_options *options);
static void bury(struct ls_turn *turn, const struct ls_claim *claim, struct ls_dead *dead,
                 const struct ls_settle_options *options);
static struct ls_attempt crash(const struct ls_settle_options *options);

struct ls_settle_result ls_settle_stolen(struct ls_turn *turn, const struct ls_claims *claims,
                                         const struct ls_settle_options *options)
{
    struct ls_settle_result result = {0};
    int suspects = count_suspects(claims);

    for (size_t i = 0; i < claims->count; i++) {
        struct ls_claim claim = ls_claims_at(claims, i);
        settle_one(turn, &claim, suspects, options, &result);
    }
    return result;
}

static int count_suspects(const struct ls_claims *claims)
{
    int suspects = 0;

    for (size_t i = 0; i < claims->count; i++) {
        struct ls_claim claim = ls_claims_at(claims, i);
        struct ls_envelope envelope = {0};

        if (ls_envelope_scan(&envelope, claim.envelope.data, claim.envelope.length, NULL) == 0)
            suspects += envelope.crashes >= LS_RETRY_SUSPECT_FROM;
        ls_envelope_fini(&envelope);
    }
    return suspects;
}

static void settle_one(struct ls_turn *turn, const struct ls_claim *claim, int suspects,
                       const struct ls_settle_options *options, struct ls_settle_result *result)
{
    int limit = (options->crash_limit ? options->crash_limit : LS_RETRY_CRASH_LIMIT) *
                (options->killed ? LS_SETTLE_KILLED : 1);
    struct ls_envelope envelope = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf text = {0}, history = {0};
    struct ls_attempt attempt;
    struct ls_span bytes, key;
    char id[LS_ID_SIZE];
    int64_t delay_ms;
    int crashes;

    if (ls_envelope_scan(&envelope, claim->envelope.data, claim->envelope.length, &err) < 0) {
        bury_malformed(turn, claim, &envelope, options, &err);
        result->dead++;
        goto done;
    }
    crashes = envelope.crashes;
    delay_ms = charge(&envelope, suspects);
    if (envelope.crashes - LS_RETRY_SUSPECT_FROM >= limit) {
        bury_crashed(turn, claim, &envelope, options);
        result->dead++;
        goto done;
    }
    if (!envelope.id.length) /* a raw push whose first runner died before it gave it one */
        envelope.id = ls_span_of(ls_id_new(id));
    if (envelope.crashes > crashes) {
        attempt = crash(options);
        ls_attempts_note(&history, &envelope, &attempt);
    }
    ls_envelope_write(&text, &envelope);
    bytes = (struct ls_span){text.data, text.length};
    key = envelope.key;
    if (key.length && !claim->keyed) {
        ls_turn_rekey(turn, claim->fence, key, bytes);
        result->rekeyed++;
    } else if (delay_ms > 0) {
        ls_turn_again(turn, claim->fence, key, delay_ms, bytes);
        result->later++;
    } else {
        ls_turn_back(turn, claim->fence, key, bytes);
        result->back++;
    }
done:
    ls_buf_fini(&text);
    ls_buf_fini(&history);
    ls_envelope_fini(&envelope);
}

/* How long it waits before it runs again. */
static int64_t charge(struct ls_envelope *envelope, int suspects)
{
    int64_t spread = (int64_t)suspects * SPREAD_EACH_MS;

    if (envelope->crashes < LS_RETRY_SUSPECT_FROM) {
        envelope->crashes++;
        return 0;
    }
    if (suspects > 1)
        return 1 +
               (int64_t)ls_rand_below((uint64_t)(spread < SPREAD_MAX_MS ? spread : SPREAD_MAX_MS));
    envelope->crashes++;
    return (int64_t)SUSPECT_BASE_MS << (envelope->crashes - LS_RETRY_SUSPECT_FROM - 1 < 8
                                            ? envelope->crashes - LS_RETRY_SUSPECT_FROM - 1
                                            : 8);
}

/* Its bytes lie in `dead` exactly as they came. */
static void bury_malformed(struct ls_turn *turn, const struct ls_claim *claim,
                           const struct ls_envelope *envelope,
                           const struct ls_settle_options *options, const struct ls_err *err)
{
    char code[LS_CODE_SIZE];
    struct ls_dead dead = {.id = envelope->id,
                           .kind = envelope->kind,
                           .account = envelope->account,
                           .key = envelope->key,
                           .error = ls_span_of(err->text),
                           .klass = ls_span_of(ls_class_name(LS_CLASS_MALFORMED)),
                           .why = LS_SPAN("malformed"),
                           .code = ls_span_of(ls_failure_code(code, err)),
                           .job = claim->envelope};

    bury(turn, claim, &dead, options);
}

/* What its history knew goes from the job into the letter; a job without one keeps its bytes. */
static void bury_crashed(struct ls_turn *turn, const struct ls_claim *claim,
                         struct ls_envelope *envelope, const struct ls_settle_options *options)
{
    const struct ls_attempt attempt = crash(options);
    struct ls_buf history = {0}, bytes = {0};
    char error[128];
    struct ls_dead dead = {.id = envelope->id,
                           .kind = envelope->kind,
                           .account = envelope->account,
                           .key = envelope->key,
                           .klass = attempt.klass,
                           .why = LS_SPAN("crashes"),
                           .code = attempt.code,
                           .attempts = envelope->attempt,
                           .crashes = envelope->crashes,
                           .first_failed_at = envelope->first_failed_at,
                           .job = claim->envelope};

    snprintf(error, sizeof error, "its worker process died %d times while it ran",
             envelope->crashes);
    dead.error = ls_span_of(error);
    ls_attempts_add(&history, envelope->history, &attempt, LS_ATTEMPTS_BYTES);
    dead.history = (struct ls_span){history.data, history.length};
    if (envelope->history.length) {
        envelope->history = (struct ls_span){0};
        ls_envelope_write(&bytes, envelope);
        dead.job = (struct ls_span){bytes.data, bytes.length};
    }
    bury(turn, claim, &dead, options);
    ls_buf_fini(&history);
    ls_buf_fini(&bytes);
}

static void bury(struct ls_turn *turn, const struct ls_claim *claim, struct ls_dead *dead,
                 const struct ls_settle_options *options)
{
    char group[LS_GROUP_SIZE];
    struct ls_buf letter = {0};

    dead->failed_at = options->now_ms;
    dead->worker = ls_span_of(options->victim);
    dead->fence = claim->was ? claim->was : claim->fence;
    dead->group = ls_span_of(ls_dead_group(group, dead->kind, dead->account, dead->klass,
                                           dead->http_status, dead->code));
    ls_dead_write(&letter, dead);
    ls_turn_dead(turn, claim->fence, claim->keyed ? dead->key : (struct ls_span){0},
                 (struct ls_span){letter.data, letter.length}, dead->group, dead->error);
    ls_log(LS_LOG_ERROR, "job.dead", "job '%.*s' of kind '%.*s' is dead: %.*s",
           LS_SPAN_ARG(dead->id), LS_SPAN_ARG(dead->kind), LS_SPAN_ARG(dead->error));
    ls_buf_fini(&letter);
}

static struct ls_attempt crash(const struct ls_settle_options *options)
{
    const char *name = ls_class_name(LS_CLASS_CRASH);

    return (struct ls_attempt){.at_ms = options->now_ms,
                               .klass = ls_span_of(name),
                               .code = ls_span_of(name),
                               .error = options->killed ? LS_SPAN("its worker process was killed")
                                                        : LS_SPAN("its worker process died")};
}
