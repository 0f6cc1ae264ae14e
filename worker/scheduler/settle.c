#include "worker/scheduler/settle.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/job/retry.h"

static enum ls_settled bury(struct ls_turn *turn, const struct ls_claim *claim,
                            const struct ls_envelope *envelope,
                            const struct ls_settle_options *options, const char *klass,
                            const char *why, const char *error);

enum ls_settled ls_settle_stolen(struct ls_turn *turn, const struct ls_claim *claim,
                                 const struct ls_settle_options *options)
{
    int limit = options->crash_limit ? options->crash_limit : LS_RETRY_CRASH_LIMIT;
    enum ls_settled settled = LS_SETTLED_BACK;
    struct ls_envelope envelope = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf text = {0};
    char id[LS_ID_SIZE], error[128];
    struct ls_span key;

    if (ls_envelope_scan(&envelope, claim->envelope.data, claim->envelope.length, &err) < 0) {
        settled = bury(turn, claim, &envelope, options, ls_class_name(LS_CLASS_MALFORMED),
                       "malformed", err.text);
        ls_envelope_fini(&envelope);
        return settled;
    }
    if (envelope.crashes - 1 >= limit) {
        snprintf(error, sizeof error, "its worker process died %d times while it ran",
                 envelope.crashes);
        settled =
            bury(turn, claim, &envelope, options, ls_class_name(LS_CLASS_CRASH), "crashes", error);
        ls_envelope_fini(&envelope);
        return settled;
    }
    if (envelope.crashes == 0)
        envelope.crashes = 1;
    if (!envelope.id.length) /* a raw push whose first runner died before it gave it one */
        envelope.id = ls_span_of(ls_id_new(id));
    ls_envelope_write(&text, &envelope);
    key = envelope.key;
    if (key.length && !claim->keyed) {
        ls_turn_rekey(turn, claim->fence, key, (struct ls_span){text.data, text.length});
        settled = LS_SETTLED_REKEYED;
    } else {
        ls_turn_back(turn, claim->fence, key, (struct ls_span){text.data, text.length});
    }
    ls_buf_fini(&text);
    ls_envelope_fini(&envelope);
    return settled;
}

static enum ls_settled bury(struct ls_turn *turn, const struct ls_claim *claim,
                            const struct ls_envelope *envelope,
                            const struct ls_settle_options *options, const char *klass,
                            const char *why, const char *error)
{
    struct ls_dead dead = {
        .id = envelope->id,
        .kind = envelope->kind,
        .account = envelope->account,
        .key = envelope->key,
        .error = ls_span_of(error),
        .klass = ls_span_of(klass),
        .why = ls_span_of(why),
        .attempts = envelope->attempt,
        .crashes = envelope->crashes,
        .first_failed_at = envelope->first_failed_at,
        .failed_at = options->now_ms,
        .worker = ls_span_of(options->victim),
        .fence = claim->was ? claim->was : claim->fence,
        .job = claim->envelope,
    };
    char group[LS_GROUP_SIZE];
    struct ls_buf letter = {0};

    dead.group = ls_span_of(ls_dead_group(group, dead.kind, dead.klass, 0, dead.code, dead.error));
    ls_dead_write(&letter, &dead);
    ls_turn_dead(turn, claim->fence, claim->keyed ? envelope->key : (struct ls_span){0},
                 (struct ls_span){letter.data, letter.length}, dead.group, dead.error);
    ls_log(LS_LOG_ERROR, "job.dead", "job '%.*s' of kind '%.*s' is dead: %s",
           LS_SPAN_ARG(envelope->id), LS_SPAN_ARG(envelope->kind), error);
    ls_buf_fini(&letter);
    return LS_SETTLED_DEAD;
}
