/* lockstep push: one job, or a file of them. */
#include <string.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/queue/mode.h"
#include "producer/cli/push.h"
#include "producer/cli/queues.h"
#include "producer/lib/waiter.h"

/* The job as it will be pushed. */
struct one {
    struct ls_envelope envelope;
    struct ls_push_job job;
    struct ls_pusher_queue queue;
    struct ls_pusher pusher;
    struct ls_buf data, bytes;
    char id[LS_ID_SIZE];
    int64_t wait_ms; /* below 0: nobody waits */
};

static int push_one(struct ls_cli *cli, const struct push_words *words, const char *kind);
static int read_words(struct ls_cli *cli, const struct push_words *words, const char *kind,
                      struct one *one, struct ls_err *err);
static int read_envelope(struct ls_cli *cli, const struct push_words *words, const char *kind,
                         struct one *one, struct ls_err *err);
static int read_times(const struct push_words *words, struct ls_push_job *job, struct ls_err *err);
static int read_data(const char *text, struct ls_buf *data, struct ls_err *err);
static int delay_until(struct ls_cli *cli, int64_t wall_ms, int64_t *delay_ms, struct ls_err *err);
static int send_one(struct ls_cli *cli, struct one *one, struct ls_err *err);
static bool has_arrived(struct ls_cli *cli, const struct one *one);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct push_words words = {0};
    const struct ls_cli_option options[] = {{"key", &words.key, NULL},
                                            {"account", &words.account, NULL},
                                            {"data", &words.data, NULL},
                                            {"queue", &words.queue, NULL},
                                            {"priority", &words.priority, NULL},
                                            {"delay", &words.delay, NULL},
                                            {"at", &words.at, NULL},
                                            {"id", &words.id, NULL},
                                            {"max-attempts", &words.max_attempts, NULL},
                                            {"max-age", &words.max_age, NULL},
                                            {"timeout", &words.timeout, NULL},
                                            {"mode", &words.mode, NULL},
                                            {"debounce", &words.debounce, NULL},
                                            {"max-wait", &words.max_wait, NULL},
                                            {"result", NULL, &words.result},
                                            {"wait", &words.wait, NULL},
                                            {"bulk", &words.bulk, NULL},
                                            {"from", &words.from, NULL},
                                            {"any-kind", NULL, &words.any_kind},
                                            {0}};
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (words.bulk) {
        if (argc || words.key || words.account || words.data || words.id || words.delay ||
            words.at || words.wait || words.priority || words.max_attempts || words.max_age ||
            words.timeout || words.mode || words.debounce || words.max_wait || words.result)
            return ls_cli_misused(cli, "'--bulk' takes its jobs from the file: only --queue, "
                                       "--from and --any-kind go with it");
        return push_bulk(cli, &words);
    }
    if (words.id && !*words.id)
        return ls_cli_misused(cli, "'--id' is empty");
    if (words.key && !*words.key)
        return ls_cli_misused(cli, "'--key' is empty");
    if (words.account && !*words.account)
        return ls_cli_misused(cli, "'--account' is empty");
    if (argc != 1)
        return ls_cli_misused(cli, argc ? "more than one kind" : "which kind of job?");
    return push_one(cli, &words, argv[0]);
}

static int push_one(struct ls_cli *cli, const struct push_words *words, const char *kind)
{
    struct one one = {.wait_ms = -1};
    struct ls_err err = LS_ERR_INIT;
    int code;

    if (read_words(cli, words, kind, &one, &err) < 0 ||
        (send_one(cli, &one, &err) < 0 && !(err.code == LS_E_LOST && has_arrived(cli, &one)))) {
        code = ls_cli_failed(cli, &err);
    } else {
        push_note_workers(cli, &one.queue.keys);
        code = push_report(cli, &one.pusher, &one.queue, one.envelope.id, one.envelope.key,
                           one.wait_ms);
    }
    ls_pusher_fini(&one.pusher);
    ls_keys_fini(&one.queue.keys);
    ls_buf_fini(&one.data);
    ls_buf_fini(&one.bytes);
    return code;
}

/* Everything is checked before Redis is asked for. */
static int read_words(struct ls_cli *cli, const struct push_words *words, const char *kind,
                      struct one *one, struct ls_err *err)
{
    const char *name;
    int64_t at = 0;

    if (words->wait && (one->wait_ms = ls_cli_duration("--wait", words->wait, err)) < 0)
        return -1;
    if (words->data && read_data(words->data, &one->data, err) < 0)
        return -1;
    if (read_envelope(cli, words, kind, one, err) < 0)
        return -1;
    one->job.key = one->envelope.key;
    if (read_times(words, &one->job, err) < 0)
        return -1;
    if (words->at && (words->delay || words->debounce))
        return ls_fail(err, LS_E_USAGE, "either '--at', or '--delay' or '--debounce'");
    if (words->mode && ls_push_mode_parse(ls_span_of(words->mode), &one->job.mode, err) < 0)
        return ls_wrap(err, "'--mode'");
    if (ls_push_job_check(&one->job, err) < 0 ||
        (words->at && ls_cli_time("--at", words->at, &at, err) < 0))
        return -1;
    name = ls_cli_queue_for(cli, words->queue, words->account, err);
    if (!name || ls_keys_init(&one->queue.keys, name, err) < 0)
        return -1;
    if (!words->at)
        return 0;
    return delay_until(cli, at, &one->job.delay_ms, err) < 0 ? -1
                                                             : ls_push_job_check(&one->job, err);
}

static int read_envelope(struct ls_cli *cli, const struct push_words *words, const char *kind,
                         struct one *one, struct ls_err *err)
{
    struct ls_envelope *envelope = &one->envelope;
    int64_t number = 0;

    if (push_check_kind(cli, words, ls_span_of(kind), err) < 0)
        return -1;
    envelope->kind = ls_span_of(kind);
    envelope->account = ls_span_of(words->account);
    envelope->key = ls_span_of(words->key);
    envelope->data = (struct ls_span){one->data.data, one->data.length};
    envelope->id = words->id ? ls_span_of(words->id) : ls_span_of(ls_id_new(one->id));
    if (words->id && !envelope->key.length)
        one->job.id = envelope->id;
    if (words->priority && ls_lane_parse(ls_span_of(words->priority), &envelope->lane) < 0) {
        ls_fail(err, LS_E_USAGE, "'--priority' cannot be '%.60s'", words->priority);
        return ls_hint(err, "high, normal or low");
    }
    if (words->max_attempts &&
        ls_cli_number("--max-attempts", words->max_attempts, 1, 1000000, &number, err) < 0)
        return -1;
    envelope->retry.max_attempts = (int)number;
    if (words->max_age &&
        (envelope->retry.max_age_ms = ls_cli_duration("--max-age", words->max_age, err)) < 0)
        return -1;
    if (words->timeout &&
        (envelope->timeout_ms = ls_cli_duration("--timeout", words->timeout, err)) < 0)
        return -1;
    envelope->result = words->result || words->wait;
    envelope->status = envelope->result;
    return ls_envelope_check(envelope, err);
}

static int read_times(const struct push_words *words, struct ls_push_job *job, struct ls_err *err)
{
    const struct {
        const char *option, *text;
        int64_t *out;
    } times[] = {{"--delay", words->delay, &job->delay_ms},
                 {"--debounce", words->debounce, &job->debounce_ms},
                 {"--max-wait", words->max_wait, &job->max_wait_ms}};

    for (size_t i = 0; i < LS_COUNT(times); i++) {
        if (times[i].text &&
            (*times[i].out = ls_cli_duration(times[i].option, times[i].text, err)) < 0)
            return -1;
    }
    return 0;
}

int push_check_kind(struct ls_cli *cli, const struct push_words *words, struct ls_span kind,
                    struct ls_err *err)
{
    char text[LS_KIND_MAX + 8];
    const char *near;

    if (words->any_kind || ls_kind_known(kind.data, kind.length) ||
        ls_config_kind_known(ls_cli_config_public(cli, NULL), kind.data, kind.length))
        return 0;
    snprintf(text, sizeof text, "%.*s", LS_SPAN_ARG(kind));
    ls_fail(err, LS_E_USAGE, "unknown kind '%s'", text);
    near = ls_kind_nearest(text);
    if (near)
        return ls_hint(err, "did you mean '%s'? '--any-kind' pushes it as it is", near);
    return ls_hint(err, "'lockstep help push' lists the kinds; '--any-kind' pushes it as it is");
}

/* JSON, @file, - into data. */
static int read_data(const char *text, struct ls_buf *data, struct ls_err *err)
{
    const char *path = strcmp(text, "-") == 0 ? "-" : text + 1;
    FILE *file;
    size_t count;

    if (strcmp(text, "-") != 0 && text[0] != '@') {
        ls_buf_puts(data, text);
        return 0;
    }
    file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file)
        return ls_fail_errno(err, "cannot read '%s'", path);
    do {
        ls_buf_reserve(data, 16384);
        count = fread(data->data + data->length, 1, 16384, file);
        data->length += count;
    } while (count && data->length <= LS_ENVELOPE_MAX);
    if (ferror(file))
        ls_fail_errno(err, "cannot read '%s'", path);
    else if (data->length > LS_ENVELOPE_MAX)
        ls_fail(err, LS_E_USAGE, "'%s' has more than %d bytes", path, LS_ENVELOPE_MAX);
    else
        count = 1; /* well */
    if (file != stdin)
        fclose(file);
    while (data->length && strchr(" \t\r\n", data->data[data->length - 1]))
        data->length--;
    return count ? 0 : -1;
}

/* By Redis' clock, which decides when a job is due. */
static int delay_until(struct ls_cli *cli, int64_t wall_ms, int64_t *delay_ms, struct ls_err *err)
{
    int64_t now;

    if (ls_cli_redis_us(cli, &now, err) < 0)
        return -1;
    now /= 1000;
    *delay_ms = wall_ms > now ? wall_ms - now : 0;
    return 0;
}

static int send_one(struct ls_cli *cli, struct one *one, struct ls_err *err)
{
    const struct ls_envelope *envelope = &one->envelope;
    char key[LS_KEY_SIZE];

    ls_envelope_write(&one->bytes, envelope);
    one->job.envelope = (struct ls_span){one->bytes.data, one->bytes.length};
    if (!ls_cli_redis(cli, err))
        return -1;
    ls_pusher_init(&one->pusher, cli->redis_open);
    if (ls_pusher_add(&one->pusher, &one->queue, &one->job,
                      envelope->status ? ls_keys_status(&one->queue.keys, envelope->id, key) : NULL,
                      err) < 0)
        return -1;
    return ls_pusher_finish(&one->pusher, err);
}

/* The answer was lost: a job with a status that has one is in. */
static bool has_arrived(struct ls_cli *cli, const struct one *one)
{
    struct ls_outcome outcome = {0};
    bool arrived =
        one->envelope.status &&
        ls_wait(cli->redis_open, &one->queue.keys, one->envelope.id, 0, &outcome, NULL) == 0 &&
        outcome.state != LS_OUTCOME_UNKNOWN;

    ls_outcome_fini(&outcome);
    return arrived;
}

void push_note_workers(struct ls_cli *cli, const struct ls_keys *keys)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};

    ls_cmd_start(&cmd, "ZCARD");
    ls_cmd_puts(&cmd, keys->workers);
    if (!cli->quiet && ls_cli_send(cli, &cmd, &reply, NULL) == 0 && ls_reply_int(reply, 0) == 0)
        ls_cli_note(cli,
                    "no worker serves queue '%s' now, so its jobs wait: 'lockstep up' starts a "
                    "pool, 'lockstep config check' names its queues",
                    keys->queue);
    ls_cmd_fini(&cmd);
}

#define KIND(name, what) "  " #name ": " what "\n"
const struct ls_command ls_command_push = {
    "push", "put jobs into a queue",
    "usage: lockstep push KIND [--data JSON|@FILE|-] [options]\n"
    "       lockstep push --bulk FILE|- [--queue Q] [--from LINE]\n\n"
    "  --data JSON       what the job works on; @FILE and - read it\n"
    "  --key KEY         jobs of a key never run together; a newer one replaces one that waits\n"
    "  --account NAME    whose budget it uses; also chooses the account's queue\n"
    "  --queue NAME      default\n"
    "  --priority P      high, normal, low\n"
    "  --delay TIME      not before: 10s, 5m\n"
    "  --at TIME         not before: 2026-11-23T10:00:00Z\n"
    "  --id ID           taken once in 24 h, so a push may be repeated\n"
    "  --max-attempts N  instead of the queue's\n"
    "  --max-age TIME    instead of the queue's\n"
    "  --timeout TIME    of one run\n"
    "  --mode MODE       while one of its key waits: latest (it is replaced), keep (it stays, "
    "this\n"
    "                    one is dropped), reject (exit 1, also while one runs)\n"
    "  --debounce TIME   not before so long after the newest push of its key ...\n"
    "  --max-wait TIME   ... but at most so long after the first\n"
    "  --result          keep its status and result for 'lockstep job result'\n"
    "  --wait TIME       the same, and wait for its end: prints done and the result (exit 0), "
    "dead\n"
    "                    or cancelled (exit 1); or queued, when it takes longer: it goes on\n"
    "                    without us (exit 0)\n"
    "  --any-kind        also a kind that lockstep does not know\n"
    "  --bulk FILE       a job a line, {\"kind\":\"http\",\"data\":{...}}; checked before "
    "anything\n"
    "                    is pushed, unless it is a pipe\n"
    "  --from LINE       begin there\n\n"
    "kinds:\n"
#include "common/tbl/kinds.def"
    ,
    run};
