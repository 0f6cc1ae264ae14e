/* lockstep push --bulk: a file of jobs. */
#include <string.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "producer/cli/lines.h"
#include "producer/cli/push.h"
#include "producer/cli/queues.h"

#define QUEUES_MAX 256 /* one file goes to at most so many */

struct bulk {
    struct ls_cli *cli;
    const struct push_words *words;
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
    if (push_check_kind(bulk->cli, bulk->words, envelope->kind, err) < 0) {
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

int push_bulk(struct ls_cli *cli, const struct push_words *words)
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
        push_note_workers(cli, &bulk.queues[i]->keys);
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
