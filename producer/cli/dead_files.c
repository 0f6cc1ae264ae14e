/* lockstep dead export, import: letters as files, one a line. */
#include <errno.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/queue/push.h"
#include "producer/cli/dead.h"
#include "producer/cli/lines.h"
#include "producer/lib/pusher.h"

#define LETTER_MAX \
    ((size_t)512 * 1024) /* a job of 64 KiB whose every byte is escaped, and the rest */
#define CHUNK_BYTES      \
    ((size_t)64 * 1024 * \
     1024) /* of letters in memory at once: each chunk costs a pass through the list */
#define SEND_BYTES ((size_t)512 * 1024) /* of letters in one trip */
#define BAD_SHOWN 20
#define AGAIN_MAX 5 /* times the list is read again because somebody took letters out of it */

/* ---- export ---- */

struct export
{
    struct dead_select *select;
    int64_t written, skipped;
};

/* Nothing but a letter on one line could be imported again. */
static bool is_line(struct ls_span text)
{
    return !memchr(text.data, '\n', text.length) && !memchr(text.data, '\r', text.length);
}

static int export_letter(struct export *export, struct ls_span text, int64_t index,
                         struct ls_err *err)
{
    struct dead_select *select = export->select;
    struct ls_dead letter = {0};
    bool ours = ls_dead_parse(&letter, text.data ? text.data : "", text.length, NULL) == 0;
    bool meant = (!select->ids.count || dead_select_has_id(select, ours ? &letter : NULL, index)) &&
                 dead_select_has(select, ours ? &letter : NULL);

    ls_dead_fini(&letter);
    if (!meant)
        return 0;
    if (!ours || !is_line(text)) {
        export->skipped++;
        return 0;
    }
    if (fwrite(text.data, 1, text.length, stdout) != text.length || putchar('\n') == EOF)
        return ls_fail_errno(err, "cannot write the letters");
    export->written++;
    return 0;
}

static bool export_done(const struct export *export)
{
    return export->select->limit && export->written >= export->select->limit;
}

static int export_all(struct export *export, struct ls_cli *cli, const struct ls_keys *keys,
                      struct ls_err *err)
{
    const struct ls_reply *slice;
    struct ls_progress progress;
    struct dead_walk walk;
    size_t count;
    int result = dead_walk_begin(&walk, cli, keys, err);

    ls_progress_start(&progress, cli, "export", walk.total);
    while (result >= 0 && !export_done(export) &&
           (result = dead_walk_next(&walk, &slice, &count, err)) == 1) {
        int64_t index = walk.total - walk.seen + (int64_t)count;

        while (result >= 0 && count-- > 0 && !export_done(export))
            result = export_letter(export, ls_reply_span(&slice->items[count]), --index, err);
        ls_progress_set(&progress, walk.seen);
    }
    if (result >= 0 && fflush(stdout) == EOF)
        result = ls_fail_errno(err, "cannot write the letters");
    if (walk.total)
        ls_progress_finish(&progress);
    dead_walk_end(&walk);
    return result < 0 ? -1 : 0;
}

int dead_export(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys)
{
    struct dead_select select;
    struct export export = {.select = &select};
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf missing = {0};
    int result = dead_select_init(&select, cli, words, true, &err);

    if (result == 0) {
        result = export_all(&export, cli, keys, &err);
        if (result == 0 && !export_done(&export) && dead_select_missing(&select, &missing))
            result = ls_fail(&err, LS_E_NOT_FOUND, "no dead job %s in queue '%s'", missing.data,
                             keys->queue);
        ls_cli_note(cli, "exported %lld letters", (long long)export.written);
        if (export.skipped)
            ls_cli_note(cli,
                        "%lld are no letters of ours on one line: 'lockstep dead show NO --raw' "
                        "gives their bytes",
                        (long long)export.skipped);
    }
    ls_buf_fini(&missing);
    dead_select_fini(&select);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

/* ---- import: reading ---- */

/* A letter of the chunk. */
struct held {
    size_t at, length; /* in the chunk's bytes */
    size_t group, group_length, sample, sample_length;
    int64_t failed_at;
    bool known; /* lies in the list already, or stands twice in the file */
};

struct import {
    struct ls_cli *cli;
    const struct ls_keys *keys;
    const char *path;
    bool retry;
    int64_t from; /* line */
    struct ls_lines lines;
    struct ls_progress progress;
    int64_t letters, imported, known;

    struct ls_buf bytes, fields; /* of the chunk: the letters; groups and samples */
    struct held *held;
    size_t count;
    struct ls_cmd cmd;

    struct ls_pusher pusher; /* --retry */
    struct ls_pusher_queue queue;
    struct ls_buf envelope;
};

static bool is_blank(const struct ls_buf *line)
{
    return line->length == strspn(line->data, " \t");
}

/* Is the line a letter that can be put back (or, with --retry, whose job can be pushed)? */
static int check_line(struct import *import, struct ls_dead *letter, struct ls_err *err)
{
    const struct ls_buf *line = &import->lines.line;

    if (ls_dead_parse(letter, line->data, line->length, err) < 0)
        return -1;
    if (!import->retry)
        return 0;
    ls_buf_clear(&import->envelope);
    return ls_dead_revive(&import->envelope, letter, err);
}

/* A regular file is read twice: every bad line is named before anything is imported. */
static int validate(struct import *import, struct ls_err *err)
{
    int64_t bad = 0;
    int result;

    if (!import->lines.size)
        return 0;
    while ((result = ls_lines_next(&import->lines, LETTER_MAX, err)) == 1) {
        struct ls_dead letter = {0};
        struct ls_err why = LS_ERR_INIT;

        if (import->lines.number >= import->from && !is_blank(&import->lines.line) &&
            check_line(import, &letter, &why) < 0 && ++bad <= BAD_SHOWN)
            ls_cli_note(import->cli, "'%s' line %lld: %s", import->path,
                        (long long)import->lines.number, why.text);
        ls_dead_fini(&letter);
    }
    if (result < 0)
        return ls_wrap(err, "'%s' line %lld", import->path, (long long)import->lines.number);
    if (bad)
        return ls_fail(err, LS_E_INVALID, "'%s' has %lld lines that are no dead letters",
                       import->path, (long long)bad);
    import->lines.number = import->lines.bytes = 0;
    rewind(import->lines.file);
    return 0;
}

static size_t put(struct ls_buf *buf, struct ls_span span)
{
    size_t at = buf->length;

    ls_buf_add(buf, span.data, span.length);
    return at;
}

static void hold(struct import *import, const struct ls_dead *letter)
{
    const struct ls_buf *line = &import->lines.line;
    struct ls_span sample = letter->error;
    struct held *held;

    if (sample.length > 160)
        sample.length = 160;
    if (import->count % 1024 == 0)
        import->held = ls_xrealloc(import->held, (import->count + 1024) * sizeof *import->held);
    held = &import->held[import->count++];
    *held = (struct held){.length = line->length,
                          .group_length = letter->group.length,
                          .sample_length = sample.length,
                          .failed_at = letter->failed_at};
    held->at = put(&import->bytes, (struct ls_span){line->data, line->length});
    held->group = put(&import->fields, letter->group);
    held->sample = put(&import->fields, sample);
}

/* ---- import: what lies there already ---- */

static struct ls_span text_of(const struct import *import, const struct held *held)
{
    return (struct ls_span){import->bytes.data + held->at, held->length};
}

static int compare(struct ls_span a, struct ls_span b)
{
    if (a.length != b.length)
        return a.length < b.length ? -1 : 1;
    return memcmp(a.data, b.data, a.length);
}

/* Places in import->held, by what stands there. */
static int by_text(const void *a, const void *b, void *arg)
{
    const struct import *import = arg;
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    int order =
        compare(text_of(import, &import->held[left]), text_of(import, &import->held[right]));

    return order ? order : left < right ? -1 : left > right;
}

static void mark_known(struct import *import, const size_t *order, struct ls_span text)
{
    size_t low = 0, high = import->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (compare(text_of(import, &import->held[order[middle]]), text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < import->count && compare(text_of(import, &import->held[order[low]]), text) == 0)
        import->held[order[low]].known = true;
}

static int look_through(struct import *import, const size_t *order, struct ls_err *err)
{
    const struct ls_reply *slice;
    struct dead_walk walk;
    size_t count;
    int result = dead_walk_begin(&walk, import->cli, import->keys, err);

    while (result >= 0 && (result = dead_walk_next(&walk, &slice, &count, err)) == 1)
        while (count-- > 0)
            mark_known(import, order, ls_reply_span(&slice->items[count]));
    dead_walk_end(&walk);
    return result;
}

/* One pass through the list for a whole chunk: memory is bounded, whatever the file and the list are
 * like. */
static int find_known(struct import *import, struct ls_err *err)
{
    size_t *order = ls_xcalloc(import->count + 1, sizeof *order);
    int result = -1;

    for (size_t i = 0; i < import->count; i++)
        order[i] = i;
    qsort_r(order, import->count, sizeof *order, by_text, import);
    for (size_t i = 1; i < import->count; i++)
        import->held[order[i]].known = compare(text_of(import, &import->held[order[i - 1]]),
                                               text_of(import, &import->held[order[i]])) == 0;
    for (int i = 0; i < AGAIN_MAX; i++) {
        result = look_through(import, order, err);
        if (result == 0 || !err || err->code != LS_E_CONFLICT)
            break;
    }
    free(order);
    return result;
}

/* ---- import: writing ---- */

static int send_slice(struct import *import, const struct ls_dead_import *letters, size_t count,
                      struct ls_err *err)
{
    const struct ls_reply *reply;
    int64_t imported = 0;

    if (!count)
        return 0;
    ls_dead_import_build(&import->cmd, import->keys, letters, count);
    if (ls_cli_send(import->cli, &import->cmd, &reply, err) < 0 ||
        ls_dead_import_parse(reply, &imported, err) < 0)
        return -1;
    import->imported += imported;
    import->known += (int64_t)count - imported;
    return 0;
}

static int send_chunk(struct import *import, struct ls_err *err)
{
    struct ls_dead_import letters[LS_DEAD_MAX];
    size_t count = 0, bytes = 0;

    if (!import->count)
        return 0;
    if (find_known(import, err) < 0)
        return -1;
    for (size_t i = 0; i < import->count; i++) {
        const struct held *held = &import->held[i];

        if (held->known) {
            import->known++;
            continue;
        }
        if (count && (count == LS_COUNT(letters) || bytes + held->length > SEND_BYTES)) {
            if (send_slice(import, letters, count, err) < 0)
                return -1;
            count = bytes = 0;
        }
        letters[count++] = (struct ls_dead_import){
            .letter = text_of(import, held),
            .group = {import->fields.data + held->group, held->group_length},
            .failed_at = held->failed_at,
            .sample = {import->fields.data + held->sample, held->sample_length}};
        bytes += held->length;
    }
    if (send_slice(import, letters, count, err) < 0)
        return -1;
    import->count = 0;
    ls_buf_clear(&import->bytes);
    ls_buf_clear(&import->fields);
    return 0;
}

/* The job of the letter whose envelope check_line has made. */
static int push_job(struct import *import, struct ls_err *err)
{
    struct ls_envelope envelope = {0};
    struct ls_push_job job = {.envelope = {import->envelope.data, import->envelope.length}};
    int result;

    if (ls_envelope_scan(&envelope, job.envelope.data, job.envelope.length, err) < 0)
        return -1;
    job.key = envelope.key;
    result = ls_pusher_add(&import->pusher, &import->queue, &job, NULL, err);
    ls_envelope_fini(&envelope);
    return result;
}

static int import_line(struct import *import, struct ls_err *err)
{
    struct ls_dead letter = {0};
    int result = check_line(import, &letter, err);

    if (result == 0) {
        import->letters++;
        if (import->retry) {
            result = push_job(import, err);
        } else {
            hold(import, &letter);
            if (import->bytes.length >= CHUNK_BYTES)
                result = send_chunk(import, err);
        }
    }
    ls_dead_fini(&letter);
    return result;
}

static int import_lines(struct import *import, struct ls_err *err)
{
    struct ls_err rest = LS_ERR_INIT;
    int result;

    ls_progress_start(&import->progress, import->cli, "import", 0);
    while ((result = ls_lines_next(&import->lines, LETTER_MAX, err)) == 1) {
        if (import->lines.number >= import->from && !is_blank(&import->lines.line) &&
            import_line(import, err) < 0) {
            result = -1;
            break;
        }
        if (import->lines.number % 256 == 0)
            ls_progress_set(&import->progress, import->letters);
    }
    if (result < 0 && (err->code == LS_E_INVALID || err->code == LS_E_TOO_BIG))
        ls_wrap(err, "'%s' line %lld", import->path, (long long)import->lines.number);
    /* What stands before a bad line belongs in. */
    if (result == 0 || err->code == LS_E_INVALID) {
        struct ls_err *why = result == 0 ? err : &rest;

        if ((import->retry ? ls_pusher_finish(&import->pusher, why) : send_chunk(import, why)) < 0)
            result = -1;
    }
    if (import->letters) {
        import->progress.done = import->progress.total = import->letters;
        ls_progress_finish(&import->progress);
    }
    return result;
}

static void report(const struct import *import, bool whole)
{
    const struct ls_pusher *pusher = &import->pusher;
    const char *end = whole ? "" : "; 'lockstep dead import' may be repeated";

    if (import->cli->json && import->retry)
        printf("{\"letters\": %lld, \"pushed\": %lld, \"coalesced\": %lld}\n",
               (long long)import->letters, (long long)pusher->pushed,
               (long long)(pusher->coalesced + pusher->changed));
    else if (import->cli->json)
        printf("{\"letters\": %lld, \"imported\": %lld, \"known\": %lld}\n",
               (long long)import->letters, (long long)import->imported, (long long)import->known);
    else if (import->retry && whole)
        printf("queued again %lld jobs\n",
               (long long)(pusher->pushed + pusher->coalesced + pusher->changed));
    else if (import->retry)
        ls_cli_note(import->cli, "%lld jobs are in for sure", (long long)pusher->confirmed);
    else
        printf("imported %lld letters%s%s\n", (long long)import->imported,
               import->known ? "; the others lay there already" : "", end);
}

static int import_open(struct import *import, const struct dead_words *words, struct ls_err *err)
{
    const struct ls_reply *reply;

    if (words->from && ls_cli_number("--from", words->from, 1, INT64_MAX, &import->from, err) < 0)
        return -1;
    if (ls_keys_init(&import->queue.keys, import->keys->queue, err) < 0 ||
        ls_lines_open(&import->lines, import->path, err) < 0 || validate(import, err) < 0 ||
        !ls_cli_redis(import->cli, err))
        return -1;
    ls_pusher_init(&import->pusher, import->cli->redis_open);
    ls_queue_announce_build(&import->cmd, import->keys);
    return ls_cli_send(import->cli, &import->cmd, &reply, err);
}

int dead_import(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys,
                const char *path)
{
    struct import import = {.cli = cli, .keys = keys, .path = path, .retry = words->retry};
    struct ls_err err = LS_ERR_INIT;
    int result = import_open(&import, words, &err);

    if (result == 0) {
        result = import_lines(&import, &err);
        report(&import, result == 0);
    }
    ls_pusher_fini(&import.pusher);
    ls_lines_close(&import.lines);
    ls_keys_fini(&import.queue.keys);
    ls_cmd_fini(&import.cmd);
    ls_buf_fini(&import.bytes);
    ls_buf_fini(&import.fields);
    ls_buf_fini(&import.envelope);
    free(import.held);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}
