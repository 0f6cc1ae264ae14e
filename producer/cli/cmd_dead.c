/* lockstep dead: what has failed for good, and what becomes of it. */
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/queue/dead.h"
#include "common/queue/stat.h"
#include "producer/cli/find.h"
#include "producer/cli/queues.h"

#define LIST_DEFAULT 20
#define LIST_SLICE 100
#define MOVE_SLICE LS_DEAD_MAX

struct words {
    const char *queue, *group, *id, *rate, *limit;
    bool all, raw;
};

static int list(struct ls_cli *cli, const struct words *words, const struct ls_keys *keys);
static int groups(struct ls_cli *cli, const struct ls_keys *keys);
static int show(struct ls_cli *cli, const struct words *words, const struct ls_keys *keys,
                const char *which);
static int move(struct ls_cli *cli, const struct words *words, const struct ls_keys *keys,
                bool retry);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct words words = {0};
    const struct ls_cli_option options[] = {
        {"queue", &words.queue, NULL}, {"group", &words.group, NULL},
        {"id", &words.id, NULL},       {"rate", &words.rate, NULL},
        {"limit", &words.limit, NULL}, {"all", NULL, &words.all},
        {"raw", NULL, &words.raw},     {0}};
    struct ls_err err = LS_ERR_INIT;
    struct ls_keys keys = {0};
    const char *verb;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    verb = argc ? argv[0] : "list";
    if (ls_keys_init(&keys, words.queue ? words.queue : "default", &err) < 0)
        return ls_cli_failed(cli, &err);
    if (strcmp(verb, "list") == 0 && argc < 2)
        code = list(cli, &words, &keys);
    else if (strcmp(verb, "groups") == 0 && argc == 1)
        code = groups(cli, &keys);
    else if (strcmp(verb, "show") == 0 && argc == 2)
        code = show(cli, &words, &keys, argv[1]);
    else if (strcmp(verb, "show") == 0)
        code = ls_cli_misused(cli, "which one? An id, or a number as 'dead list' shows it");
    else if ((strcmp(verb, "retry") == 0 || strcmp(verb, "discard") == 0) && argc == 1)
        code = move(cli, &words, &keys, strcmp(verb, "retry") == 0);
    else
        code = ls_cli_misused(cli, "unknown word '%s'", argv[argc - 1]);
    ls_keys_fini(&keys);
    return code;
}

/* ---- looking ---- */

static void list_row(struct ls_table *table, int64_t index, struct ls_span text)
{
    struct ls_dead letter = {0};

    ls_table_int(table, index);
    if (ls_dead_parse(&letter, text.data, text.length, NULL) < 0) {
        for (int i = 0; i < 8; i++)
            ls_table_text(table, NULL);
        ls_table_text(table, "no dead letter of ours: see 'lockstep dead show --raw'");
        return;
    }
    ls_table_when(table, letter.failed_at);
    ls_table_span(table, letter.kind.data, letter.kind.length);
    ls_table_span(table, letter.account.data, letter.account.length);
    ls_table_span(table, letter.key.data, letter.key.length);
    ls_table_span(table, letter.klass.data, letter.klass.length);
    ls_table_int(table, letter.attempts);
    ls_table_span(table, letter.group.data, letter.group.length);
    ls_table_span(table, letter.id.data, letter.id.length);
    ls_table_span(table, letter.error.data, letter.error.length);
    ls_dead_fini(&letter);
}

static bool in_group(struct ls_span text, const char *group)
{
    struct ls_dead letter = {0};
    bool same;

    if (!group)
        return true;
    same = ls_dead_parse(&letter, text.data, text.length, NULL) == 0 &&
           ls_span_is(letter.group, group);
    ls_dead_fini(&letter);
    return same;
}

static int list(struct ls_cli *cli, const struct words *words, const struct ls_keys *keys)
{
    static const struct ls_column columns[] = {
        {"NO", "index", true},       {"FAILED", "failed_at", false}, {"KIND", "kind", false},
        {NULL, "account", false},    {"KEY", "key", false},          {NULL, "class", false},
        {"TRIES", "attempts", true}, {NULL, "group", false},         {"ID", "id", false, true},
        {"ERROR", "error", false},
    };
    struct ls_err err = LS_ERR_INIT;
    int64_t limit = LIST_DEFAULT, shown = 0, at = 0;
    struct ls_cmd cmd = {0};
    struct ls_table *table;
    bool more = true;

    if (words->limit && ls_cli_number("--limit", words->limit, 0, 1000000, &limit, &err) < 0)
        return ls_cli_failed(cli, &err);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    while (more && (limit == 0 || shown < limit)) {
        const struct ls_reply *reply, *letter;
        int64_t got = 0;

        ls_dead_list_build(&cmd, keys, at, at + LIST_SLICE - 1);
        if (ls_cli_send(cli, &cmd, &reply, &err) < 0) {
            ls_table_free(table);
            ls_cmd_fini(&cmd);
            return ls_cli_failed(cli, &err);
        }
        for (; (letter = ls_reply_item(reply, (size_t)got)); got++) {
            if ((limit && shown >= limit) || !in_group(ls_reply_span(letter), words->group))
                continue;
            list_row(table, at + got, ls_reply_span(letter));
            shown++;
        }
        at += got;
        more = got == LIST_SLICE;
    }
    ls_table_print(table, "no dead jobs");
    if (limit && shown == limit)
        ls_cli_note(cli, "the newest %lld; '--limit 0' shows all", (long long)limit);
    ls_cmd_fini(&cmd);
    return LS_EXIT_OK;
}

static int groups(struct ls_cli *cli, const struct ls_keys *keys)
{
    static const struct ls_column columns[] = {{"GROUP", "group", false, true},
                                               {"COUNT", "count", true},
                                               {"FIRST", "first_at", false},
                                               {"LAST", "last_at", false},
                                               {"SAMPLE", "sample", false}};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_reply *reply, *field;
    struct ls_cmd cmd = {0};
    struct ls_table *table;
    int result;

    ls_dead_groups_build(&cmd, keys);
    result = ls_cli_send(cli, &cmd, &reply, &err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return ls_cli_failed(cli, &err);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; (field = ls_reply_item(reply, i)); i += 2) {
        struct ls_dead_group_row row;

        if (ls_dead_group_parse(ls_reply_span(ls_reply_item(reply, i + 1)), &row) < 0)
            continue;
        ls_table_span(table, ls_reply_span(field).data, ls_reply_span(field).length);
        ls_table_int(table, row.count);
        ls_table_when(table, row.first_ms);
        ls_table_when(table, row.last_ms);
        ls_table_span(table, row.sample.data, row.sample.length);
    }
    ls_table_print(table, "no dead jobs");
    return LS_EXIT_OK;
}

static void print_letter(const char *title, struct ls_span value)
{
    if (!value.length)
        return;
    printf("%-10s", title);
    ls_cli_print_safe(stdout, value.data, value.length);
    putchar('\n');
}

static void print_people(const struct ls_dead *letter)
{
    char when[LS_CLOCK_TEXT_SIZE];

    print_letter("job", letter->id);
    print_letter("kind", letter->kind);
    print_letter("account", letter->account);
    print_letter("key", letter->key);
    print_letter("error", letter->error);
    print_letter("class", letter->klass);
    print_letter("why", letter->why);
    print_letter("code", letter->code);
    if (letter->http_status)
        printf("%-10s%d\n", "http", letter->http_status);
    printf("%-10s%d, crashes %d\n", "attempts", letter->attempts, letter->crashes);
    if (letter->first_failed_at)
        printf("%-10s%s\n", "first", ls_clock_format(when, letter->first_failed_at));
    printf("%-10s%s\n", "failed", ls_clock_format(when, letter->failed_at));
    print_letter("worker", letter->worker);
    if (letter->fence)
        printf("%-10s%lld\n", "fence", (long long)letter->fence);
    print_letter("group", letter->group);
    print_letter("envelope", letter->job);
}

/* A number is a position, anything else an id. */
static int find(struct ls_cli *cli, const struct ls_keys *keys, const char *which,
                struct ls_find_dead *found, struct ls_err *err)
{
    const struct ls_reply *reply, *letter;
    struct ls_cmd cmd = {0};
    int result;

    if (!*which || which[strspn(which, "0123456789")] || strlen(which) > 9)
        return ls_find_dead(cli, keys, ls_span_of(which), 0, found, err);
    found->index = strtoll(which, NULL, 10);
    ls_dead_list_build(&cmd, keys, found->index, found->index);
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result < 0 || !(letter = ls_reply_item(reply, 0)))
        return result;
    ls_buf_add(&found->letter, ls_reply_span(letter).data, ls_reply_span(letter).length);
    return 1;
}

static int show(struct ls_cli *cli, const struct words *words, const struct ls_keys *keys,
                const char *which)
{
    struct ls_find_dead found = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_dead letter = {0};
    int result = find(cli, keys, which, &found, &err);
    bool ours;

    if (result == 0) {
        ls_fail(&err, LS_E_NOT_FOUND, "no dead job '%s' in queue '%s'", which, keys->queue);
        ls_hint(&err, "'lockstep dead list' shows what there is");
    }
    if (result <= 0)
        return ls_cli_failed(cli, &err);
    ours = ls_dead_parse(&letter, found.letter.data, found.letter.length, &err) == 0;
    if (words->raw) { /* exactly the bytes that were pushed, whatever they are */
        if (ours)
            fwrite(letter.job.data, 1, letter.job.length, stdout);
        else
            fwrite(found.letter.data, 1, found.letter.length, stdout);
    } else if (cli->json && ours) {
        fwrite(found.letter.data, 1, found.letter.length, stdout);
        putchar('\n');
    } else if (!ours) {
        ls_cli_print_safe(stdout, found.letter.data, found.letter.length);
        putchar('\n');
    } else {
        print_people(&letter);
    }
    ls_dead_fini(&letter);
    ls_buf_fini(&found.letter);
    return LS_EXIT_OK;
}

/* ---- retry, discard ---- */

struct mover {
    struct ls_cli *cli;
    const struct ls_keys *keys;
    bool retry;
    int64_t moved, kept, unreadable;
    struct ls_buf letters;   /* exact bytes, one after another */
    struct ls_buf envelopes; /* what a retry pushes */
    struct ls_buf fields;    /* groups and keys */
    struct ls_dead_move moves[MOVE_SLICE];
    struct {
        size_t letter, letter_length, envelope, envelope_length, group, group_length, key,
            key_length;
    } at[MOVE_SLICE];
    size_t count;
};

static size_t put(struct ls_buf *buf, struct ls_span span)
{
    size_t at = buf->length;

    ls_buf_add(buf, span.data, span.length);
    return at;
}

static void mover_clear(struct mover *mover)
{
    mover->count = 0;
    ls_buf_clear(&mover->letters);
    ls_buf_clear(&mover->envelopes);
    ls_buf_clear(&mover->fields);
}

/* Take a letter into the slice; false when it cannot be moved (a retry of what is no envelope). */
static bool mover_add(struct mover *mover, struct ls_span text)
{
    struct ls_envelope envelope = {0};
    struct ls_dead letter = {0};
    size_t n = mover->count, start = mover->envelopes.length;
    bool ours = ls_dead_parse(&letter, text.data, text.length, NULL) == 0;

    if (mover->retry) {
        if (!ours || ls_dead_revive(&mover->envelopes, &letter, NULL) < 0 ||
            ls_envelope_scan(&envelope, mover->envelopes.data + start,
                             mover->envelopes.length - start, NULL) < 0) {
            mover->envelopes.length = start;
            ls_dead_fini(&letter);
            return false;
        }
        mover->at[n].envelope = start;
        mover->at[n].envelope_length = mover->envelopes.length - start;
        mover->at[n].key = put(&mover->fields, envelope.key);
        mover->at[n].key_length = envelope.key.length;
        ls_envelope_fini(&envelope);
    }
    mover->at[n].letter = put(&mover->letters, text);
    mover->at[n].letter_length = text.length;
    mover->at[n].group = put(&mover->fields, letter.group);
    mover->at[n].group_length = letter.group.length;
    mover->count++;
    ls_dead_fini(&letter);
    return true;
}

static int mover_send(struct mover *mover, bool from_tail, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_dead_moved moved;
    struct ls_cmd cmd = {0};
    int result;

    if (!mover->count)
        return 0;
    for (size_t i = 0; i < mover->count; i++) {
        struct ls_dead_move *one = &mover->moves[i];

        *one = (struct ls_dead_move){0};
        one->letter =
            (struct ls_span){mover->letters.data + mover->at[i].letter, mover->at[i].letter_length};
        if (mover->at[i].group_length)
            one->group = (struct ls_span){mover->fields.data + mover->at[i].group,
                                          mover->at[i].group_length};
        if (!mover->retry)
            continue;
        one->envelope = (struct ls_span){mover->envelopes.data + mover->at[i].envelope,
                                         mover->at[i].envelope_length};
        if (mover->at[i].key_length)
            one->key =
                (struct ls_span){mover->fields.data + mover->at[i].key, mover->at[i].key_length};
    }
    if (mover->retry)
        ls_dead_redrive_build(&cmd, mover->keys, from_tail, mover->moves, mover->count);
    else
        ls_dead_discard_build(&cmd, mover->keys, from_tail, mover->moves, mover->count);
    result = ls_cli_send(mover->cli, &cmd, &reply, err);
    if (result == 0)
        result = ls_dead_moved_parse(reply, &moved, err);
    if (result == 0)
        mover->moved += moved.moved;
    ls_cmd_fini(&cmd);
    return result;
}

static int move_one(struct mover *mover, const char *id, struct ls_err *err)
{
    struct ls_find_dead found = {0};
    int result = find(mover->cli, mover->keys, id, &found, err);

    if (result == 0) {
        ls_fail(err, LS_E_NOT_FOUND, "no dead job '%s' in queue '%s'", id, mover->keys->queue);
        ls_hint(err, "'lockstep dead list' shows what there is");
        result = -1;
    } else if (result == 1 &&
               !mover_add(mover, (struct ls_span){found.letter.data, found.letter.length})) {
        ls_fail(err, LS_E_INVALID, "the job '%s' cannot run again: it is no envelope", id);
        ls_hint(err, "'lockstep dead show %s --raw' gives its bytes; mend and push them", id);
        result = -1;
    } else if (result == 1) {
        result = mover_send(mover, false, err);
    }
    ls_buf_fini(&found.letter);
    return result;
}

static void pace(int64_t started_ms, int64_t moved, double rate)
{
    int64_t due = started_ms + (int64_t)((double)moved * 1000 / rate);
    int64_t left = due - ls_clock_mono_ms();

    if (left > 0)
        nanosleep(&(struct timespec){left / 1000, left % 1000 * 1000000}, NULL);
}

/* From the oldest to the newest, slice by slice; what stays is stepped over. Jobs that die
 * meanwhile come in at the head and are not touched: only as many as there were at the start are
 * looked at. */
static int move_many(struct mover *mover, const char *group, double rate, struct ls_err *err)
{
    int64_t slice = MOVE_SLICE, looked = 0, total, started = ls_clock_mono_ms();
    const struct ls_reply *reply;
    struct ls_progress progress;
    struct ls_cmd cmd = {0};
    int result;

    ls_cmd_start(&cmd, "LLEN");
    ls_cmd_puts(&cmd, mover->keys->dead);
    result = ls_cli_send(mover->cli, &cmd, &reply, err);
    total = result == 0 ? ls_reply_int(reply, 0) : 0;
    if (rate > 0 && rate / 4 < MOVE_SLICE)
        slice = rate < 4 ? 1 : (int64_t)(rate / 4);
    ls_progress_start(&progress, mover->cli, mover->retry ? "retry" : "discard", total);
    while (result == 0 && looked < total) {
        int64_t want = total - looked < slice ? total - looked : slice;
        int64_t skipped = mover->kept, before = mover->moved, got = 0, kept = 0;
        const struct ls_reply *letter;

        mover_clear(mover);
        ls_dead_list_build(&cmd, mover->keys, -(skipped + want), -(skipped + 1));
        result = ls_cli_send(mover->cli, &cmd, &reply, err);
        if (result < 0)
            break;
        while (ls_reply_item(reply, (size_t)got))
            got++;
        for (int64_t i = got; i-- > 0;) { /* the oldest of the slice first */
            letter = ls_reply_item(reply, (size_t)i);
            if (!in_group(ls_reply_span(letter), group)) {
                kept++;
            } else if (!mover_add(mover, ls_reply_span(letter))) {
                kept++;
                mover->unreadable++;
            }
        }
        if (!got)
            break;
        result = mover_send(mover, true, err);
        mover->kept += kept;
        looked += got;
        ls_progress_set(&progress, looked);
        if (rate > 0 && mover->moved > before)
            pace(started, mover->moved, rate);
    }
    progress.done = looked;
    if (total)
        ls_progress_finish(&progress);
    ls_cmd_fini(&cmd);
    return result;
}

static int parse_rate(const char *text, double *rate, struct ls_err *err)
{
    char *end;

    *rate = strtod(text, &end);
    if (end != text && *rate > 0 && *rate < 1e9 && (!*end || strcmp(end, "/s") == 0))
        return 0;
    ls_fail(err, LS_E_USAGE, "'--rate' cannot be '%.60s'", text);
    return ls_hint(err, "jobs a second: 50/s");
}

static int move(struct ls_cli *cli, const struct words *words, const struct ls_keys *keys,
                bool retry)
{
    struct mover *mover;
    struct ls_err err = LS_ERR_INIT;
    double rate = 0;
    int result;

    if (!words->id + !words->all + !words->group != 2)
        return ls_cli_misused(cli, "say which: --id ID, --group GROUP or --all");
    if (words->rate && parse_rate(words->rate, &rate, &err) < 0)
        return ls_cli_failed(cli, &err);
    mover = LS_NEW(struct mover);
    mover->cli = cli;
    mover->keys = keys;
    mover->retry = retry;
    result =
        words->id ? move_one(mover, words->id, &err) : move_many(mover, words->group, rate, &err);
    if (cli->json)
        printf("{\"moved\": %lld, \"unreadable\": %lld}\n", (long long)mover->moved,
               (long long)mover->unreadable);
    else if (result == 0)
        printf("%s %lld jobs\n", retry ? "queued again" : "discarded", (long long)mover->moved);
    if (mover->unreadable)
        ls_cli_note(cli,
                    "%lld stay: they are no jobs; 'lockstep dead show NO --raw' gives their bytes",
                    (long long)mover->unreadable);
    ls_buf_fini(&mover->letters);
    ls_buf_fini(&mover->envelopes);
    ls_buf_fini(&mover->fields);
    free(mover);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

const struct ls_command ls_command_dead = {
    "dead", "what has failed for good: look, retry, discard",
    "usage: lockstep dead list [--queue Q] [--group G] [--limit N]\n"
    "       lockstep dead groups [--queue Q]\n"
    "       lockstep dead show ID|NO [--raw] [--queue Q]\n"
    "       lockstep dead retry   --id ID | --group G | --all  [--rate 50/s] [--queue Q]\n"
    "       lockstep dead discard --id ID | --group G | --all  [--queue Q]\n\n"
    "NO is the position that 'list' shows, 0 the newest. --raw gives exactly the bytes that were\n"
    "pushed. A retried job begins anew: attempts and age count from zero. Oldest first.\n",
    run};
