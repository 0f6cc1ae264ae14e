/* What came of a push: how it was taken, and how the job ended. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/dead.h"
#include "producer/cli/find.h"
#include "producer/cli/push.h"
#include "producer/lib/waiter.h"

static const char *taken_as(const struct ls_pusher *pusher);
static int wait_for(struct ls_cli *cli, const struct ls_pusher *pusher,
                    const struct ls_pusher_queue *queue, struct ls_span id, int64_t wait_ms,
                    struct ls_outcome *outcome);
static void say_why(struct ls_cli *cli, const struct ls_pusher_queue *queue, struct ls_span id,
                    struct ls_span error);

int push_report(struct ls_cli *cli, const struct ls_pusher *pusher,
                const struct ls_pusher_queue *queue, struct ls_span id, struct ls_span key,
                int64_t wait_ms)
{
    const char *state = taken_as(pusher);
    struct ls_outcome outcome = {0};
    struct ls_err err = LS_ERR_INIT;
    int code = LS_EXIT_OK;

    if (pusher->rejected) {
        if (cli->json)
            push_print_outcome(cli, state, id, queue->keys.queue, &outcome, NULL);
        ls_fail(&err, LS_E_EXISTS, "rejected: a job with key '%.*s' waits or runs",
                LS_SPAN_ARG(key));
        ls_hint(&err, "push again when it has ended, or with '--mode latest' or '--mode keep'");
        return ls_cli_failed(cli, &err);
    }
    if (wait_ms >= 0 && !pusher->kept)
        code = wait_for(cli, pusher, queue, id, wait_ms, &outcome);
    if (ls_outcome_ended(outcome.state))
        state = ls_outcome_name(outcome.state);
    else if (wait_ms >= 0 && outcome.state != LS_OUTCOME_UNKNOWN)
        state = "queued";
    push_print_outcome(cli, state, id, queue->keys.queue, &outcome, NULL);
    if (pusher->known && outcome.state == LS_OUTCOME_UNKNOWN)
        ls_cli_note(cli, "a job with this id was pushed before: nothing was done");
    if (pusher->kept)
        ls_cli_note(cli, "a job with this key waits already: that one stays, this one was dropped");
    if (outcome.state == LS_OUTCOME_DEAD)
        say_why(cli, queue, id, outcome.error);
    ls_outcome_fini(&outcome);
    return code;
}

static const char *taken_as(const struct ls_pusher *pusher)
{
    return pusher->rejected    ? "rejected"
           : pusher->kept      ? "kept"
           : pusher->known     ? "known"
           : pusher->coalesced ? "coalesced"
           : pusher->changed   ? "changed"
                               : "queued";
}

/* What fails here is only the asking: the job is in. */
static int wait_for(struct ls_cli *cli, const struct ls_pusher *pusher,
                    const struct ls_pusher_queue *queue, struct ls_span id, int64_t wait_ms,
                    struct ls_outcome *outcome)
{
    struct ls_redis_sync *redis = ls_cli_redis(cli, NULL);
    struct ls_err err = LS_ERR_INIT;
    char text[32];

    if (!redis)
        return LS_EXIT_OK;
    /* A job that was pushed before, perhaps without a state: is there anything to wait for? */
    if (pusher->known && ls_wait(redis, &queue->keys, id, 0, outcome, NULL) == 0 &&
        outcome->state == LS_OUTCOME_UNKNOWN)
        return LS_EXIT_OK;
    if (ls_wait(redis, &queue->keys, id, wait_ms, outcome, &err) < 0)
        ls_cli_note(cli, "cannot see how it ends: %s; the job is in its queue", err.text);
    else if (!ls_outcome_ended(outcome->state))
        ls_cli_note(
            cli,
            "not ended after %s (%s): it goes on without us; 'lockstep job result %.*s' asks later",
            ls_duration_format(text, sizeof text, wait_ms), ls_outcome_name(outcome->state),
            LS_SPAN_ARG(id));
    return outcome->state == LS_OUTCOME_DEAD || outcome->state == LS_OUTCOME_CANCELLED
               ? LS_EXIT_FAILED
               : LS_EXIT_OK;
}

void push_print_outcome(struct ls_cli *cli, const char *state, struct ls_span id, const char *queue,
                        const struct ls_outcome *outcome, const char *more)
{
    struct ls_buf out = {0};

    if (!cli->json) {
        printf("%s ", state);
        ls_cli_print_safe(stdout, id.data, id.length);
        putchar('\n');
        if (outcome->result.length) {
            ls_cli_print_safe(stdout, outcome->result.data, outcome->result.length);
            putchar('\n');
        }
        return;
    }
    ls_buf_puts(&out, "{\"id\": ");
    ls_buf_json_string(&out, id.data, id.length);
    ls_buf_puts(&out, ", \"queue\": ");
    ls_buf_json_string(&out, queue, strlen(queue));
    ls_buf_puts(&out, ", \"state\": ");
    ls_buf_json_string(&out, state, strlen(state));
    if (outcome->state != LS_OUTCOME_UNKNOWN && !ls_outcome_ended(outcome->state))
        ls_buf_printf(&out, ", \"status\": \"%s\"", ls_outcome_name(outcome->state));
    if (outcome->state == LS_OUTCOME_DONE) {
        ls_buf_puts(&out, ", \"result\": ");
        if (outcome->result.length)
            ls_buf_add(&out, outcome->result.data, outcome->result.length);
        else
            ls_buf_puts(&out, "null");
    }
    if (outcome->error.length) {
        ls_buf_puts(&out, ", \"error\": ");
        ls_buf_json_string(&out, outcome->error.data, outcome->error.length);
        ls_buf_puts(&out, ", \"class\": ");
        ls_buf_json_string(&out, outcome->klass.data, outcome->klass.length);
    }
    ls_buf_printf(&out, "%s}\n", more ? more : "");
    fputs(out.data, stdout);
    ls_buf_fini(&out);
}

/* Why it died: as its result says, else as the newest dead letters do. */
static void say_why(struct ls_cli *cli, const struct ls_pusher_queue *queue, struct ls_span id,
                    struct ls_span error)
{
    struct ls_find_dead found = {0};
    struct ls_dead letter = {0};

    if (!error.length && ls_find_dead(cli, &queue->keys, id, 1000, &found, NULL) == 1 &&
        ls_dead_parse(&letter, found.letter.data, found.letter.length, NULL) == 0)
        error = letter.error;
    fputs("lockstep: the job is dead", stderr);
    if (error.length) {
        fputs(": ", stderr);
        ls_cli_print_safe(stderr, error.data, error.length);
        fprintf(stderr, "\nhint: 'lockstep dead show %.*s' shows all of it\n", LS_SPAN_ARG(id));
    } else {
        fputs("\nhint: 'lockstep dead list' shows why\n", stderr);
    }
    ls_dead_fini(&letter);
    ls_buf_fini(&found.letter);
}
