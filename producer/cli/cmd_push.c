/* lockstep push: one job, or a file of them. */
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "producer/cli/find.h"
#include "producer/cli/lines.h"
#include "producer/cli/queues.h"
#include "producer/lib/pusher.h"

#define POLL_FIRST_MS 10
#define POLL_MAX_MS 250
#define QUEUES_MAX 256 /* one file goes to at most so many */

struct words {
    const char *key, *account, *data, *queue, *priority, *delay, *at, *id, *max_attempts, *max_age,
        *timeout, *wait, *bulk, *from;
    bool any_kind;
};

static int push_one(struct ls_cli *cli, const struct words *words, const char *kind);
static int push_bulk(struct ls_cli *cli, const struct words *words);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct words words = {0};
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
            words.timeout)
            return ls_cli_misused(cli, "'--bulk' takes its jobs from the file: only --queue, "
                                       "--from and --any-kind go with it");
        return push_bulk(cli, &words);
    }
    if (words.id && !*words.id)
        return ls_cli_misused(cli, "'--id' is empty");
    if (argc != 1)
        return ls_cli_misused(cli, argc ? "more than one kind" : "which kind of job?");
    return push_one(cli, &words, argv[0]);
}

/* ---- one job ---- */

static int check_kind(const struct words *words, const char *kind, size_t length,
                      struct ls_err *err)
{
    char text[80];
    const char *near;

    if (words->any_kind || ls_kind_known(kind, length))
        return 0;
    snprintf(text, sizeof text, "%.*s", (int)(length < 70 ? length : 70), kind);
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

/* "2026-11-23T10:00:00Z" or ms since 1970. */
static int parse_time(const char *text, int64_t *wall_ms, struct ls_err *err)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    char *digits_end;

    if (end && strcmp(end, "Z") == 0) {
        *wall_ms = (int64_t)timegm(&tm) * 1000;
        return 0;
    }
    *wall_ms = strtoll(text, &digits_end, 10);
    if (*text >= '1' && *text <= '9' && !*digits_end)
        return 0;
    ls_fail(err, LS_E_USAGE, "'--at' cannot be '%.60s'", text);
    return ls_hint(err, "a time in UTC, 2026-11-23T10:00:00Z, or ms since 1970");
}

/* By Redis' clock, which decides when a job is due. */
static int delay_until(struct ls_cli *cli, int64_t wall_ms, int64_t *delay_ms, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int64_t now;
    int result;

    ls_cmd_start(&cmd, "TIME");
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return -1;
    now = ls_reply_int(ls_reply_item(reply, 0), 0) * 1000 +
          ls_reply_int(ls_reply_item(reply, 1), 0) / 1000;
    *delay_ms = wall_ms > now ? wall_ms - now : 0;
    return 0;
}

static int fill(struct ls_cli *cli, const struct words *words, const char *kind,
                struct ls_envelope *envelope, struct ls_push_job *job, struct ls_err *err)
{
    int64_t number = 0, at;

    if (check_kind(words, kind, strlen(kind), err) < 0)
        return -1;
    envelope->kind = ls_span_of(kind);
    envelope->account = ls_span_of(words->account);
    envelope->key = ls_span_of(words->key);
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
    if (words->delay && words->at)
        return ls_fail(err, LS_E_USAGE, "either '--delay' or '--at'");
    if (words->delay && (job->delay_ms = ls_cli_duration("--delay", words->delay, err)) < 0)
        return -1;
    envelope->status = words->wait != NULL;
    if (ls_envelope_check(envelope, err) < 0)
        return -1;
    if (words->at &&
        (parse_time(words->at, &at, err) < 0 || delay_until(cli, at, &job->delay_ms, err) < 0))
        return -1;
    return 0;
}

static int wait_for(struct ls_cli *cli, const struct ls_pusher_queue *queue, struct ls_span id,
                    int64_t wait_ms, struct ls_buf *state, struct ls_err *err)
{
    int64_t deadline = ls_clock_mono_ms() + wait_ms, pause = POLL_FIRST_MS;
    char key[LS_KEY_SIZE];
    struct ls_cmd cmd = {0};
    const struct ls_reply *reply;
    int result = 0;

    ls_keys_status(&queue->keys, id, key);
    for (;;) {
        ls_cmd_start(&cmd, "GET");
        ls_cmd_puts(&cmd, key);
        result = ls_cli_send(cli, &cmd, &reply, err);
        if (result < 0)
            break;
        ls_buf_clear(state);
        ls_buf_puts(state, "");
        ls_buf_add(state, ls_reply_span(reply).data, ls_reply_span(reply).length);
        if (strcmp(state->data, "done") == 0 || strcmp(state->data, "dead") == 0 ||
            strcmp(state->data, "cancelled") == 0 || ls_clock_mono_ms() >= deadline)
            break;
        int64_t left = deadline - ls_clock_mono_ms();
        int64_t sleep_ms = pause < left ? pause : (left > 0 ? left : 0);
        nanosleep(&(struct timespec){sleep_ms / 1000, sleep_ms % 1000 * 1000000}, NULL);
        pause = pause * 2 < POLL_MAX_MS ? pause * 2 : POLL_MAX_MS;
    }
    ls_cmd_fini(&cmd);
    return result;
}

/* Why it died, from the newest dead letters. */
static void say_why(struct ls_cli *cli, const struct ls_pusher_queue *queue, struct ls_span id)
{
    struct ls_find_dead found = {0};
    struct ls_dead letter = {0};

    if (ls_find_dead(cli, &queue->keys, id, 1000, &found, NULL) == 1 &&
        ls_dead_parse(&letter, found.letter.data, found.letter.length, NULL) == 0) {
        fputs("lockstep: the job is dead: ", stderr);
        ls_cli_print_safe(stderr, letter.error.data, letter.error.length);
        fprintf(stderr, "\nhint: 'lockstep dead show %.*s' shows all of it\n", LS_SPAN_ARG(id));
        ls_dead_fini(&letter);
    } else {
        fputs("lockstep: the job is dead\nhint: 'lockstep dead list' shows why\n", stderr);
    }
    ls_buf_fini(&found.letter);
}

static int report(struct ls_cli *cli, const struct ls_pusher *pusher,
                  const struct ls_pusher_queue *queue, struct ls_span id, const char *state)
{
    const char *how = pusher->known       ? "known"
                      : pusher->coalesced ? "coalesced"
                      : pusher->changed   ? "changed"
                                          : "queued";
    const char *shown = state && *state ? state : how;

    if (strcmp(shown, "pending") == 0 || strcmp(shown, "running") == 0)
        shown = strcmp(shown, "running") == 0 ? "running" : "queued";
    if (cli->json) {
        struct ls_buf out = {0};

        ls_buf_puts(&out, "{\"id\": ");
        ls_buf_json_string(&out, id.data, id.length);
        ls_buf_puts(&out, ", \"queue\": ");
        ls_buf_json_string(&out, queue->keys.queue, strlen(queue->keys.queue));
        ls_buf_puts(&out, ", \"state\": ");
        ls_buf_json_string(&out, shown, strlen(shown));
        ls_buf_puts(&out, "}\n");
        fputs(out.data, stdout);
        ls_buf_fini(&out);
    } else {
        printf("%s ", shown);
        ls_cli_print_safe(stdout, id.data, id.length);
        putchar('\n');
    }
    if (strcmp(how, "known") == 0)
        ls_cli_note(cli, "a job with this id was pushed before: nothing was done");
    return strcmp(shown, "dead") == 0 || strcmp(shown, "cancelled") == 0 ? LS_EXIT_FAILED
                                                                         : LS_EXIT_OK;
}

/* A job that nobody will take looks like any other: say so. A remark only, so its own failure is
 * none. */
static void note_workers(struct ls_cli *cli, const struct ls_keys *keys)
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

static int push_one(struct ls_cli *cli, const struct words *words, const char *kind)
{
    struct ls_pusher_queue queue = {0};
    struct ls_envelope envelope = {0};
    struct ls_push_job job = {0};
    struct ls_buf data = {0}, bytes = {0}, state = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_pusher pusher = {0};
    char id[LS_ID_SIZE], status_key[LS_KEY_SIZE];
    int code = -1;
    int64_t wait_ms = 0;
    const char *name;

    if (words->wait && (wait_ms = ls_cli_duration("--wait", words->wait, &err)) < 0)
        goto fail;
    if (words->data && read_data(words->data, &data, &err) < 0)
        goto fail;
    envelope.data = (struct ls_span){data.data, data.length};
    envelope.id = words->id ? ls_span_of(words->id) : ls_span_of(ls_id_new(id));
    if (fill(cli, words, kind, &envelope, &job, &err) < 0)
        goto fail;
    name = ls_cli_queue_for(cli, words->queue, words->account, &err);
    if (!name || ls_keys_init(&queue.keys, name, &err) < 0)
        goto fail;
    ls_envelope_write(&bytes, &envelope);
    if (bytes.length > LS_ENVELOPE_MAX) {
        ls_fail(&err, LS_E_USAGE, "the job has %zu bytes, more than %d", bytes.length,
                LS_ENVELOPE_MAX);
        ls_hint(&err, "put the content elsewhere and push its address");
        goto fail;
    }
    job.envelope = (struct ls_span){bytes.data, bytes.length};
    job.key = envelope.key;
    if (words->id && !envelope.key.length)
        job.id = envelope.id;
    if (!ls_cli_redis(cli, &err))
        goto fail;
    ls_pusher_init(&pusher, cli->redis_open);
    if (ls_pusher_add(&pusher, &queue, &job,
                      words->wait ? ls_keys_status(&queue.keys, envelope.id, status_key) : NULL,
                      &err) < 0 ||
        ls_pusher_finish(&pusher, &err) < 0)
        goto fail;
    note_workers(cli, &queue.keys);
    if (words->wait && wait_for(cli, &queue, envelope.id, wait_ms, &state, &err) < 0)
        goto fail;
    code = report(cli, &pusher, &queue, envelope.id, state.data);
    if (state.data && strcmp(state.data, "dead") == 0)
        say_why(cli, &queue, envelope.id);
fail:
    if (code < 0)
        code = ls_cli_failed(cli, &err);
    ls_pusher_fini(&pusher);
    ls_keys_fini(&queue.keys);
    ls_buf_fini(&data);
    ls_buf_fini(&bytes);
    ls_buf_fini(&state);
    return code;
}

/* ---- a file of jobs ---- */

struct bulk {
    struct ls_cli *cli;
    const struct words *words;
    struct ls_lines lines;
    struct ls_pusher_queue *queues[QUEUES_MAX]; /* owned; the one of the last job first */
    size_t queue_count;
    struct ls_pusher pusher;
    struct ls_buf bytes;
    int64_t jobs; /* lines that held one */
};

/* --queue, else the one of the job's account. */
static struct ls_pusher_queue *queue_of(struct bulk *bulk, struct ls_span account,
                                        struct ls_err *err)
{
    char text[LS_ACCOUNT_MAX + 1];
    struct ls_pusher_queue *queue;
    const char *name;
    size_t i;

    snprintf(text, sizeof text, "%.*s", LS_SPAN_ARG(account));
    name = ls_cli_queue_for(bulk->cli, bulk->words->queue, *text ? text : NULL, err);
    if (!name)
        return NULL;
    for (i = 0; i < bulk->queue_count; i++) {
        if (strcmp(bulk->queues[i]->keys.queue, name) == 0)
            break;
    }
    if (i == QUEUES_MAX) {
        ls_fail(err, LS_E_USAGE, "the jobs belong to more than %d queues", QUEUES_MAX);
        return NULL;
    }
    if (i == bulk->queue_count) {
        queue = LS_NEW(struct ls_pusher_queue);
        if (ls_keys_init(&queue->keys, name, err) < 0) {
            free(queue);
            return NULL;
        }
        bulk->queues[bulk->queue_count++] = queue;
    }
    queue = bulk->queues[i];
    bulk->queues[i] = bulk->queues[0];
    bulk->queues[0] = queue;
    return queue;
}

/* The line as an envelope; blank lines give 0, jobs 1. */
static int read_job(struct bulk *bulk, struct ls_envelope *envelope, struct ls_err *err)
{
    const struct ls_buf *line = &bulk->lines.line;

    if (line->length == strspn(line->data, " \t"))
        return 0;
    if (ls_envelope_scan(envelope, line->data, line->length, err) < 0)
        return -1;
    if (check_kind(bulk->words, envelope->kind.data, envelope->kind.length, err) < 0) {
        ls_envelope_fini(envelope);
        return -1;
    }
    return 1;
}

static int push_line(struct bulk *bulk, struct ls_err *err)
{
    struct ls_envelope envelope = {0};
    struct ls_push_job job = {0};
    struct ls_pusher_queue *queue;
    char id[LS_ID_SIZE], status_key[LS_KEY_SIZE];
    int result = read_job(bulk, &envelope, err);
    bool own_id;

    if (result <= 0)
        return result;
    queue = queue_of(bulk, envelope.account, err);
    if (!queue) {
        ls_envelope_fini(&envelope);
        return -1;
    }
    own_id = envelope.id.length > 0;
    ls_buf_clear(&bulk->bytes);
    if (envelope.canonical && own_id) {
        job.envelope = (struct ls_span){bulk->lines.line.data, bulk->lines.line.length};
    } else {
        if (!own_id)
            envelope.id = ls_span_of(ls_id_new(id));
        ls_envelope_write(&bulk->bytes, &envelope);
        job.envelope = (struct ls_span){bulk->bytes.data, bulk->bytes.length};
    }
    job.key = envelope.key;
    if (own_id && !envelope.key.length)
        job.id = envelope.id;
    result = ls_pusher_add(
        &bulk->pusher, queue, &job,
        envelope.status ? ls_keys_status(&queue->keys, envelope.id, status_key) : NULL, err);
    bulk->jobs++;
    ls_envelope_fini(&envelope);
    return result;
}

/* A regular file is read twice: a bad line is found before anything is pushed. */
static int validate(struct bulk *bulk, struct ls_err *err)
{
    int result;

    if (!bulk->lines.size)
        return 0;
    while ((result = ls_lines_next(&bulk->lines, LS_ENVELOPE_MAX, err)) == 1) {
        struct ls_envelope envelope = {0};

        if (read_job(bulk, &envelope, err) < 0)
            return -1;
        ls_envelope_fini(&envelope);
    }
    if (result < 0)
        return -1;
    bulk->lines.number = bulk->lines.bytes = 0;
    rewind(bulk->lines.file);
    return 0;
}

static int push_lines(struct bulk *bulk, int64_t from, struct ls_err *err)
{
    struct ls_progress progress;
    bool known = bulk->lines.size > 0;
    int result;

    ls_progress_start(&progress, bulk->cli, "push", 0);
    while ((result = ls_lines_next(&bulk->lines, LS_ENVELOPE_MAX, err)) == 1) {
        if (bulk->lines.number >= from && push_line(bulk, err) < 0) {
            result = -1;
            break;
        }
        if (bulk->lines.number % 256 == 0) {
            if (known && bulk->jobs) /* jobs in all, guessed by the bytes */
                progress.total = (int64_t)((double)bulk->jobs * (double)bulk->lines.size /
                                           (double)bulk->lines.bytes);
            ls_progress_set(&progress, bulk->jobs);
        }
    }
    if (result == 0)
        result = ls_pusher_finish(&bulk->pusher, err);
    progress.total = result == 0 ? bulk->jobs : progress.total;
    progress.done = bulk->pusher.confirmed;
    if (bulk->jobs)
        ls_progress_finish(&progress);
    return result;
}

static int push_bulk(struct ls_cli *cli, const struct words *words)
{
    struct bulk bulk = {.cli = cli, .words = words};
    struct ls_err err = LS_ERR_INIT;
    int64_t from = 1;
    int code = -1;

    if (words->from && ls_cli_number("--from", words->from, 1, INT64_MAX, &from, &err) < 0)
        goto fail;
    if ((words->queue && !queue_of(&bulk, (struct ls_span){0}, &err)) ||
        ls_lines_open(&bulk.lines, words->bulk, &err) < 0)
        goto fail;
    if (validate(&bulk, &err) < 0) {
        ls_wrap(&err, "'%s' line %lld", words->bulk, (long long)bulk.lines.number);
        goto fail;
    }
    if (!ls_cli_redis(cli, &err))
        goto fail;
    ls_pusher_init(&bulk.pusher, cli->redis_open);
    if (push_lines(&bulk, from, &err) < 0) {
        if (err.code == LS_E_INVALID || err.code == LS_E_USAGE || err.code == LS_E_TOO_BIG)
            ls_wrap(&err, "'%s' line %lld", words->bulk, (long long)bulk.lines.number);
        /* What is still collected or in flight behind a bad line belongs in. */
        if (err.code == LS_E_INVALID || err.code == LS_E_USAGE)
            ls_pusher_finish(&bulk.pusher, NULL);
        ls_cli_failed(cli, &err);
        fprintf(stderr, "%lld jobs are in for sure\n", (long long)bulk.pusher.confirmed);
        code = LS_EXIT_FAILED;
        goto done;
    }
    if (cli->json)
        printf("{\"jobs\": %lld, \"pushed\": %lld, \"known\": %lld, \"coalesced\": %lld, "
               "\"changed\": %lld}\n",
               (long long)bulk.jobs, (long long)bulk.pusher.pushed, (long long)bulk.pusher.known,
               (long long)bulk.pusher.coalesced, (long long)bulk.pusher.changed);
    else
        printf("pushed %lld of %lld jobs%s\n", (long long)bulk.pusher.pushed, (long long)bulk.jobs,
               bulk.pusher.known || bulk.pusher.coalesced || bulk.pusher.changed
                   ? "; the others were there already"
                   : "");
    for (size_t i = 0; i < bulk.queue_count; i++)
        note_workers(cli, &bulk.queues[i]->keys);
    code = LS_EXIT_OK;
fail:
    if (code < 0)
        code = ls_cli_failed(cli, &err);
done:
    ls_pusher_fini(&bulk.pusher);
    ls_lines_close(&bulk.lines);
    for (size_t i = 0; i < bulk.queue_count; i++) {
        ls_keys_fini(&bulk.queues[i]->keys);
        free(bulk.queues[i]);
    }
    ls_buf_fini(&bulk.bytes);
    return code;
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
    "  --wait TIME       wait for its end and say done, dead, or queued when it takes longer\n"
    "  --any-kind        also a kind that lockstep does not know\n"
    "  --bulk FILE       a job a line, {\"kind\":\"http\",\"data\":{...}}; checked before "
    "anything\n"
    "                    is pushed, unless it is a pipe\n"
    "  --from LINE       begin there\n\n"
    "kinds:\n"
#include "common/tbl/kinds.def"
    ,
    run};
