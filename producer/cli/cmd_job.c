/* lockstep job: find one job, see what came of it, cancel it. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/queue/push.h"
#include "producer/cli/find.h"
#include "producer/cli/push.h"
#include "producer/cli/queues.h"
#include "producer/lib/waiter.h"

#define LIMIT_DEFAULT 100000

/* The words of one call. */
struct ask {
    const char *id, *key, *queue;
    int64_t limit, wait_ms;
    /* cancel: where it was found. */
    char found[LS_QUEUE_NAME_MAX + 1];
    bool runs;
};

static int show(struct ls_cli *cli, struct ask *ask);
static int cancel(struct ls_cli *cli, struct ask *ask);
static int result(struct ls_cli *cli, struct ask *ask);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *limit = NULL, *wait = NULL, *verb;
    struct ask ask = {.limit = LIMIT_DEFAULT};
    const struct ls_cli_option options[] = {{"queue", &ask.queue, NULL},
                                            {"key", &ask.key, NULL},
                                            {"limit", &limit, NULL},
                                            {"wait", &wait, NULL},
                                            {0}};
    struct ls_err err = LS_ERR_INIT;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if ((limit && ls_cli_number("--limit", limit, 0, INT64_MAX, &ask.limit, &err) < 0) ||
        (wait && (ask.wait_ms = ls_cli_duration("--wait", wait, &err)) < 0))
        return ls_cli_failed(cli, &err);
    verb = argc ? argv[0] : "";
    ask.id = argc > 1 ? argv[1] : NULL;
    if (strcmp(verb, "cancel") == 0 && (ask.key != NULL) != (ask.id != NULL) && argc < 3)
        return cancel(cli, &ask);
    if (ask.key)
        return ls_cli_misused(cli, "'--key' goes with 'job cancel', without an id");
    if (argc != 2 || !*ask.id || strlen(ask.id) > LS_JOB_ID_MAX)
        return ls_cli_misused(cli, "one verb and one id are needed");
    if (strcmp(verb, "show") == 0)
        return show(cli, &ask);
    if (strcmp(verb, "result") == 0)
        return result(cli, &ask);
    return ls_cli_misused(cli, "unknown word '%s'", verb);
}

/* status:<id>, when the job was pushed with one. */
static int read_status(struct ls_cli *cli, const struct ls_keys *keys, struct ls_span id,
                       struct ls_buf *status, struct ls_err *err)
{
    const struct ls_reply *reply;
    char key[LS_KEY_SIZE];
    struct ls_cmd cmd = {0};
    int result;

    ls_cmd_start(&cmd, "GET");
    ls_cmd_puts(&cmd, ls_keys_status(keys, id, key));
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result == 0)
        ls_buf_add(status, ls_reply_span(reply).data, ls_reply_span(reply).length);
    return result;
}

/* "<done> <total> <text>", which a running job may have told. A remark only. */
static void read_progress(struct ls_cli *cli, const struct ls_keys *keys, struct ls_find_job *found)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};

    ls_cmd_start(&cmd, "HGET");
    ls_cmd_puts(&cmd, keys->progress);
    ls_cmd_puts(&cmd, found->fence);
    if (ls_cli_send(cli, &cmd, &reply, NULL) == 0)
        ls_buf_add(&found->progress, ls_reply_span(reply).data, ls_reply_span(reply).length);
    ls_cmd_fini(&cmd);
}

/* The parts of it; -1 when there is none. */
static int split_progress(const struct ls_find_job *found, int64_t *done, int64_t *total,
                          const char **text)
{
    char *at;

    if (!found->progress.length)
        return -1;
    *done = strtoll(found->progress.data, &at, 10);
    if (at == found->progress.data || *at != ' ')
        return -1;
    *total = strtoll(at, &at, 10);
    *text = *at == ' ' ? at + 1 : at;
    return 0;
}

static void print_progress(const struct ls_find_job *found)
{
    int64_t done, total;
    const char *text;

    if (split_progress(found, &done, &total, &text) < 0)
        return;
    printf("at      %lld", (long long)done);
    if (total > 0)
        printf(" of %lld (%lld%%)", (long long)total,
               (long long)((double)done * 100 / (double)total));
    if (*text) {
        fputs(", ", stdout);
        ls_cli_print_safe(stdout, text, strlen(text));
    }
    putchar('\n');
}

static void print_people(const char *id, const char *queue, const struct ls_find_job *found)
{
    char when[LS_CLOCK_TEXT_SIZE];

    printf("job     ");
    ls_cli_print_safe(stdout, id, strlen(id));
    printf("\nqueue   %s\nstate   %s\n", queue, found->state);
    printf("in      ");
    ls_cli_print_safe(stdout, found->place, strlen(found->place));
    if (found->index >= 0)
        printf(", position %lld", (long long)found->index);
    putchar('\n');
    if (found->due_ms)
        printf("due     %s\n", ls_clock_format(when, found->due_ms));
    if (*found->fence)
        printf("fence   %s\n", found->fence);
    print_progress(found);
    ls_cli_print_safe(stdout, found->text.data, found->text.length);
    putchar('\n');
}

static void print_json(const char *id, const char *queue, const char *state,
                       const struct ls_find_job *found)
{
    struct ls_buf out = {0};
    int64_t done, total;
    const char *text;

    ls_buf_puts(&out, "{\"id\": ");
    ls_buf_json_string(&out, id, strlen(id));
    ls_buf_printf(&out, ", \"queue\": \"%s\", \"state\": ", queue);
    ls_buf_json_string(&out, state, strlen(state));
    if (found->state) {
        ls_buf_puts(&out, ", \"place\": ");
        ls_buf_json_string(&out, found->place, strlen(found->place));
        if (found->index >= 0)
            ls_buf_printf(&out, ", \"index\": %lld", (long long)found->index);
        if (found->due_ms)
            ls_buf_printf(&out, ", \"due_ms\": %lld", (long long)found->due_ms);
        if (*found->fence)
            ls_buf_printf(&out, ", \"fence\": %s", found->fence);
        if (split_progress(found, &done, &total, &text) == 0) {
            ls_buf_printf(&out, ", \"progress\": {\"done\": %lld, \"total\": %lld, \"text\": ",
                          (long long)done, (long long)total);
            ls_buf_json_string(&out, text, strlen(text));
            ls_buf_puts(&out, "}");
        }
        ls_buf_puts(&out, ", \"job\": ");
        ls_buf_add(&out, found->text.data, found->text.length);
    }
    ls_buf_puts(&out, "}");
    puts(out.data);
    ls_buf_fini(&out);
}

/* Where it is in one queue, and what is told of it. 1 found, 0 not, -1. */
static int show_in(struct ls_cli *cli, const char *queue, struct ask *ask, struct ls_err *err)
{
    struct ls_span id = ls_span_of(ask->id);
    struct ls_find_job found = {0};
    struct ls_buf status = {0};
    struct ls_keys keys = {0};
    int result;

    if (ls_keys_init(&keys, queue, err) < 0)
        return -1;
    result = read_status(cli, &keys, id, &status, err);
    if (result == 0)
        result = ls_find_job(cli, &keys, id, ask->limit, &found, err);
    if (result == 1 && *found.fence)
        read_progress(cli, &keys, &found);
    if (result == 1 && cli->json) {
        print_json(ask->id, queue, found.state, &found);
    } else if (result == 1) {
        print_people(ask->id, queue, &found);
    } else if (result == 0 && status.length) { /* it left Redis, but said how */
        result = 1;
        found.index = -1;
        if (cli->json)
            print_json(ask->id, queue, status.data, &found);
        else
            printf("job     %s\nqueue   %s\nstate   %s\n", ask->id, queue, status.data);
    }
    ls_buf_fini(&found.text);
    ls_buf_fini(&found.progress);
    ls_buf_fini(&status);
    ls_keys_fini(&keys);
    return result;
}

/* Each queue in turn, or the one that was named, until ask_in answers something else than 0. */
static int each_queue(struct ls_cli *cli, struct ask *ask,
                      int (*ask_in)(struct ls_cli *cli, const char *queue, struct ask *ask,
                                    struct ls_err *err),
                      struct ls_err *err)
{
    struct ls_cli_queues queues;
    int result = 0;

    if (ask->queue)
        return ask_in(cli, ask->queue, ask, err);
    if (ls_cli_queues(cli, &queues, err) < 0)
        return -1;
    for (size_t i = 0; i < queues.count && result == 0; i++)
        result = ask_in(cli, queues.names[i], ask, err);
    ls_cli_queues_free(&queues);
    return result;
}

static int show(struct ls_cli *cli, struct ask *ask)
{
    struct ls_err err = LS_ERR_INIT;
    int result = each_queue(cli, ask, show_in, &err);

    if (result == 0) {
        ls_fail(&err, LS_E_NOT_FOUND, "no job '%s' in Redis", ask->id);
        ls_hint(&err, ask->limit ? "done jobs leave nothing behind; '--limit 0' looks at everything"
                                 : "done jobs leave nothing behind");
        result = -1;
    }
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

/* ---- what came of it ---- */

/* Is there a state in this queue? 1 and the exit code are told by its outcome. */
static int result_in(struct ls_cli *cli, const char *queue, struct ask *ask, struct ls_err *err)
{
    struct ls_redis_sync *redis = ls_cli_redis(cli, err);
    struct ls_span id = ls_span_of(ask->id);
    struct ls_outcome outcome = {0};
    struct ls_keys keys = {0};
    int answer = -1;

    if (!redis || ls_keys_init(&keys, queue, err) < 0)
        return -1;
    if (ls_wait(redis, &keys, id, 0, &outcome, err) < 0)
        goto done;
    answer = 0;
    if (outcome.state == LS_OUTCOME_UNKNOWN)
        goto done;
    if (!ls_outcome_ended(outcome.state) && ask->wait_ms &&
        ls_wait(redis, &keys, id, ask->wait_ms, &outcome, err) < 0) {
        answer = -1;
        goto done;
    }
    push_print_outcome(cli, ls_outcome_name(outcome.state), id, queue, &outcome, NULL);
    if (outcome.error.length) {
        fputs("lockstep: the job is dead: ", stderr);
        ls_cli_print_safe(stderr, outcome.error.data, outcome.error.length);
        fputc('\n', stderr);
    }
    answer = outcome.state == LS_OUTCOME_DEAD || outcome.state == LS_OUTCOME_CANCELLED ? 2 : 1;
done:
    ls_outcome_fini(&outcome);
    ls_keys_fini(&keys);
    return answer;
}

static int result(struct ls_cli *cli, struct ask *ask)
{
    struct ls_err err = LS_ERR_INIT;
    int answer = each_queue(cli, ask, result_in, &err);

    if (answer > 0)
        return answer == 1 ? LS_EXIT_OK : LS_EXIT_FAILED;
    if (answer == 0) {
        ls_fail(&err, LS_E_NOT_FOUND, "nothing is known of job '%s'", ask->id);
        ls_hint(&err, "only jobs pushed with '--result' or '--wait' keep a result, for as long as "
                      "the queue's result_ttl; 'lockstep job show' looks for the job itself");
    }
    return ls_cli_failed(cli, &err);
}

/* ---- cancelling ---- */

/* Does the queue hold what is to be cancelled? 1, 0, -1. */
static int holds(struct ls_cli *cli, const char *queue, struct ask *ask, struct ls_err *err)
{
    struct ls_find_job found = {0};
    const struct ls_reply *reply;
    struct ls_keys keys = {0};
    struct ls_cmd cmd = {0};
    int result;

    if (ls_keys_init(&keys, queue, err) < 0)
        return -1;
    if (ask->key) {
        ls_cmd_start(&cmd, "HEXISTS");
        ls_cmd_puts(&cmd, keys.keys);
        ls_cmd_puts(&cmd, ask->key);
        result = ls_cli_send(cli, &cmd, &reply, err) < 0 ? -1 : ls_reply_int(reply, 0) != 0;
    } else {
        result = ls_find_job(cli, &keys, ls_span_of(ask->id), ask->limit, &found, err);
        if (result == 1 && strcmp(found.state, "dead") == 0)
            result = 0;
        ask->runs = result == 1 && *found.fence;
    }
    if (result == 1)
        snprintf(ask->found, sizeof ask->found, "%s", queue);
    ls_buf_fini(&found.text);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    return result;
}

static const char *describe(const struct ask *ask, const struct ls_cancelled *done)
{
    if (done->running || ask->runs)
        return "it runs: asked to stop";
    if (done->dropped)
        return "dropped";
    if (ask->key)
        return "nothing of this key waits or runs";
    return done->added ? "will be dropped when it is claimed" : "was cancelled before";
}

static void report(struct ls_cli *cli, const struct ask *ask, const struct ls_cancelled *done)
{
    bool runs = done->running || ask->runs;

    if (cli->json)
        printf("{\"cancelled\": %s, \"queue\": \"%s\", \"new\": %s, \"dropped\": %lld, "
               "\"running\": %s}\n",
               ask->id || done->dropped || runs ? "true" : "false", ask->queue,
               done->added ? "true" : "false", (long long)done->dropped, runs ? "true" : "false");
    else
        puts(describe(ask, done));
    if (ask->id && !*ask->found)
        ls_cli_note(cli, "no such job is in Redis now: queue '%s' remembers the id for a month",
                    ask->queue);
}

static int cancel(struct ls_cli *cli, struct ask *ask)
{
    const struct ls_envelope words = {
        .kind = LS_SPAN("any"), .id = ls_span_of(ask->id), .key = ls_span_of(ask->key)};
    struct ls_cancel what = {.ids = &words.id, .count = words.id.length > 0, .key = words.key};
    struct ls_cancelled done = {0};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_reply *reply;
    struct ls_keys keys = {0};
    struct ls_cmd cmd = {0};
    char status[LS_KEY_SIZE];
    int result;

    if (!words.id.length && !words.key.length)
        return ls_cli_misused(cli, "the id or key is empty");
    if (ls_envelope_check(&words, &err) < 0 || each_queue(cli, ask, holds, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (!ask->queue)
        ask->queue = *ask->found ? ask->found : "default";
    if (ls_keys_init(&keys, ask->queue, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (what.count)
        what.status_key = ls_keys_status(&keys, words.id, status);
    ls_cancel_build(&cmd, &keys, &what);
    result = ls_cli_send(cli, &cmd, &reply, &err);
    if (result == 0)
        result = ls_cancel_parse(reply, &done, &err);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    if (result < 0)
        return ls_cli_failed(cli, &err);
    report(cli, ask, &done);
    return LS_EXIT_OK;
}

const struct ls_command ls_command_job = {
    "job", "find one job, see its result, cancel it",
    "usage: lockstep job show ID [--queue Q] [--limit N]\n"
    "       lockstep job result ID [--queue Q] [--wait TIME]\n"
    "       lockstep job cancel ID|--key KEY [--queue Q]\n\n"
    "There is no index by id: 'show' looks through what runs, waits, is delayed or dead, up to\n"
    "N entries of each (100,000; 0: all), in slices that do not disturb Redis.\n"
    "'result' tells how a job stands that was pushed with --result or --wait: exit 0 done, or not\n"
    "ended yet; 1 dead or cancelled, or nothing is known of it.\n"
    "'cancel' drops a job when its turn comes, one with a key at once; one that runs is asked to\n"
    "stop and ends soon. It looks for the job's queue as 'show' does.\n",
    run};
