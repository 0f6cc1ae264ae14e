/* lockstep dead list, groups, show, discarded. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/attempts.h"
#include "common/job/envelope.h"
#include "common/job/json.h"
#include "producer/cli/dead.h"
#include "producer/cli/find.h"

#define LIST_DEFAULT 20
#define LIST_SLICE 100
#define GROUPS_LOOKED 5000 /* newest letters looked through for what a group is made of */
#define LOG_MAX 1000

/* ---- list ---- */

static void list_row(struct ls_table *table, int64_t index, const struct ls_dead *letter)
{
    ls_table_int(table, index);
    if (!letter) {
        for (int i = 0; i < 10; i++)
            ls_table_text(table, NULL);
        ls_table_text(table, "no dead letter of ours: see 'lockstep dead show --raw'");
        return;
    }
    ls_table_when(table, letter->failed_at);
    ls_table_span(table, letter->kind.data, letter->kind.length);
    ls_table_span(table, letter->account.data, letter->account.length);
    ls_table_span(table, letter->key.data, letter->key.length);
    ls_table_span(table, letter->klass.data, letter->klass.length);
    ls_table_int(table, letter->http_status);
    ls_table_span(table, letter->code.data, letter->code.length);
    ls_table_int(table, letter->attempts);
    ls_table_span(table, letter->group.data, letter->group.length);
    ls_table_span(table, letter->id.data, letter->id.length);
    ls_table_span(table, letter->error.data, letter->error.length);
}

/* Rows of this slice that are meant; how many. */
static int64_t list_slice(struct ls_table *table, const struct dead_select *select,
                          const struct ls_reply *reply, int64_t at, int64_t room)
{
    const struct ls_reply *text;
    int64_t shown = 0;

    for (size_t i = 0; (text = ls_reply_item(reply, i)) && shown < room; i++) {
        struct ls_span bytes = ls_reply_span(text);
        struct ls_dead letter = {0};
        bool ours = ls_dead_parse(&letter, bytes.data ? bytes.data : "", bytes.length, NULL) == 0;

        if (dead_select_has(select, ours ? &letter : NULL)) {
            list_row(table, at + (int64_t)i, ours ? &letter : NULL);
            shown++;
        }
        ls_dead_fini(&letter);
    }
    return shown;
}

int dead_list(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys)
{
    static const struct ls_column columns[] = {
        {"NO", "index", true},       {"FAILED", "failed_at", false}, {"KIND", "kind", false},
        {NULL, "account", false},    {"KEY", "key", false},          {NULL, "class", false},
        {NULL, "http_status", true}, {NULL, "code", false},          {"TRIES", "attempts", true},
        {NULL, "group", false},      {"ID", "id", false, true},      {"ERROR", "error", false},
    };
    struct dead_select select;
    struct ls_err err = LS_ERR_INIT;
    int64_t limit, shown = 0, at = 0;
    struct ls_cmd cmd = {0};
    struct ls_table *table;
    bool more = true;

    if (dead_select_init(&select, cli, words, false, &err) < 0) {
        dead_select_fini(&select);
        return ls_cli_failed(cli, &err);
    }
    limit = !words->limit ? LIST_DEFAULT : select.limit ? select.limit : INT64_MAX;
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    while (more && shown < limit) {
        const struct ls_reply *reply;

        ls_dead_list_build(&cmd, keys, at, at + LIST_SLICE - 1);
        if (ls_cli_send(cli, &cmd, &reply, &err) < 0)
            break;
        shown += list_slice(table, &select, reply, at, limit - shown);
        at += LIST_SLICE;
        more = ls_reply_item(reply, LIST_SLICE - 1) != NULL;
    }
    dead_select_fini(&select);
    ls_cmd_fini(&cmd);
    if (err.code != LS_E_NONE) {
        ls_table_free(table);
        return ls_cli_failed(cli, &err);
    }
    ls_table_print(table, "no dead jobs");
    if (shown == limit)
        ls_cli_note(cli, "the newest %lld; '--limit 0' shows all", (long long)limit);
    return LS_EXIT_OK;
}

/* ---- groups ---- */

/* What is known of a group: its row, and from one of its letters what makes the fingerprint. */
struct group {
    char *name, *sample;
    char *kind, *account, *klass, *code; /* NULL: no letter of it was met */
    int http_status;
    int64_t count, first_ms, last_ms;
};

struct groups {
    struct group *rows;
    size_t count, unknown;
};

static char *copy(struct ls_span text)
{
    return ls_xstrndup(text.data ? text.data : "", text.length);
}

static int read_groups(struct ls_cli *cli, const struct ls_keys *keys, struct groups *groups,
                       struct ls_err *err)
{
    const struct ls_reply *reply, *name;
    struct ls_cmd cmd = {0};
    int result;

    ls_dead_groups_build(&cmd, keys);
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return -1;
    groups->rows = ls_xcalloc(reply->count / 2 + 1, sizeof *groups->rows);
    for (size_t i = 0; (name = ls_reply_item(reply, i)); i += 2) {
        struct ls_dead_group_row row;

        if (ls_dead_group_parse(ls_reply_span(ls_reply_item(reply, i + 1)), &row) < 0)
            continue;
        groups->rows[groups->count++] = (struct group){.name = copy(ls_reply_span(name)),
                                                       .sample = copy(row.sample),
                                                       .count = row.count,
                                                       .first_ms = row.first_ms,
                                                       .last_ms = row.last_ms};
    }
    groups->unknown = groups->count;
    return 0;
}

static void learn(struct groups *groups, struct ls_span text)
{
    struct ls_dead letter = {0};

    if (ls_dead_parse(&letter, text.data ? text.data : "", text.length, NULL) < 0)
        return;
    for (size_t i = 0; i < groups->count; i++) {
        struct group *group = &groups->rows[i];

        if (group->kind || !ls_span_is(letter.group, group->name))
            continue;
        group->kind = copy(letter.kind);
        group->account = copy(letter.account);
        group->klass = copy(letter.klass);
        group->code = copy(letter.code);
        group->http_status = letter.http_status;
        groups->unknown--;
    }
    ls_dead_fini(&letter);
}

/* From the newest letters, until each group has met one of its own. */
static int learn_all(struct ls_cli *cli, const struct ls_keys *keys, struct groups *groups,
                     struct ls_err *err)
{
    struct ls_cmd cmd = {0};
    int result = 0;
    bool more = true;

    for (int64_t at = 0; more && groups->unknown && at < GROUPS_LOOKED; at += LIST_SLICE) {
        const struct ls_reply *reply, *text;

        ls_dead_list_build(&cmd, keys, at, at + LIST_SLICE - 1);
        result = ls_cli_send(cli, &cmd, &reply, err);
        if (result < 0)
            break;
        for (size_t i = 0; (text = ls_reply_item(reply, i)); i++)
            learn(groups, ls_reply_span(text));
        more = ls_reply_item(reply, LIST_SLICE - 1) != NULL;
    }
    ls_cmd_fini(&cmd);
    return result;
}

static int by_count(const void *a, const void *b)
{
    const struct group *left = a, *right = b;

    if (left->count != right->count)
        return left->count < right->count ? 1 : -1;
    return strcmp(left->name, right->name);
}

static void print_groups(struct ls_cli *cli, const struct groups *groups)
{
    static const struct ls_column columns[] = {
        {"GROUP", "group", false, true}, {"COUNT", "count", true},     {"KIND", "kind", false},
        {"ACCOUNT", "account", false},   {"CLASS", "class", false},    {NULL, "http_status", true},
        {"CODE", "code", false},         {"FIRST", "first_at", false}, {"LAST", "last_at", false},
        {"SAMPLE", "sample", false}};
    struct ls_table *table = ls_table_new(cli, columns, LS_COUNT(columns));

    for (size_t i = 0; i < groups->count; i++) {
        const struct group *group = &groups->rows[i];

        ls_table_text(table, group->name);
        ls_table_int(table, group->count);
        ls_table_text(table, group->kind);
        ls_table_text(table, group->account);
        ls_table_text(table, group->klass);
        ls_table_int(table, group->http_status);
        ls_table_text(table, group->code);
        ls_table_when(table, group->first_ms);
        ls_table_when(table, group->last_ms);
        ls_table_text(table, group->sample);
    }
    ls_table_print(table, "no dead jobs");
}

static void free_groups(struct groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct group *group = &groups->rows[i];
        char *const texts[] = {group->name,    group->sample, group->kind,
                               group->account, group->klass,  group->code};

        for (size_t j = 0; j < LS_COUNT(texts); j++)
            free(texts[j]);
    }
    free(groups->rows);
}

int dead_groups(struct ls_cli *cli, const struct ls_keys *keys)
{
    struct ls_err err = LS_ERR_INIT;
    struct groups groups = {0};
    int result = read_groups(cli, keys, &groups, &err);

    if (result == 0)
        result = learn_all(cli, keys, &groups, &err);
    if (result == 0) {
        qsort(groups.rows, groups.count, sizeof *groups.rows, by_count);
        print_groups(cli, &groups);
    }
    free_groups(&groups);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

/* ---- show ---- */

static void print_line(const char *title, struct ls_span value)
{
    if (!value.length)
        return;
    printf("%-10s", title);
    ls_cli_print_safe(stdout, value.data, value.length);
    putchar('\n');
}

static void print_history(struct ls_cli *cli, struct ls_span history)
{
    static const struct ls_column columns[] = {{"ATTEMPT", "at", false, true},
                                               {"CLASS", "class", false},
                                               {"HTTP", "status", true},
                                               {"CODE", "code", false},
                                               {"ERROR", "error", false}};
    struct ls_attempt attempts[LS_ATTEMPTS_MAX];
    struct ls_buf texts = {0};
    size_t count = ls_attempts_parse(history, attempts, &texts);
    struct ls_table *table;

    if (count) {
        putchar('\n');
        table = ls_table_new(cli, columns, LS_COUNT(columns));
        for (size_t i = 0; i < count; i++) {
            const struct ls_attempt *one = &attempts[i];
            char at[LS_CLOCK_TEXT_SIZE], status[8] = "";

            if (one->http_status)
                snprintf(status, sizeof status, "%d", one->http_status);
            ls_table_text(table, one->at_ms ? ls_clock_format(at, one->at_ms) : NULL);
            ls_table_span(table, one->klass.data, one->klass.length);
            ls_table_text(table, status);
            ls_table_span(table, one->code.data, one->code.length);
            ls_table_span(table, one->error.data, one->error.length);
        }
        ls_table_print(table, NULL);
    }
    ls_buf_fini(&texts);
}

static void print_letter(struct ls_cli *cli, const struct ls_dead *letter)
{
    char when[LS_CLOCK_TEXT_SIZE];

    print_line("job", letter->id);
    print_line("kind", letter->kind);
    print_line("account", letter->account);
    print_line("key", letter->key);
    print_line("error", letter->error);
    print_line("class", letter->klass);
    print_line("why", letter->why);
    print_line("code", letter->code);
    if (letter->http_status)
        printf("%-10s%d\n", "http", letter->http_status);
    printf("%-10s%d, crashes %d\n", "attempts", letter->attempts, letter->crashes);
    if (letter->first_failed_at)
        printf("%-10s%s\n", "first", ls_clock_format(when, letter->first_failed_at));
    printf("%-10s%s\n", "failed", ls_clock_format(when, letter->failed_at));
    print_line("worker", letter->worker);
    if (letter->fence)
        printf("%-10s%lld\n", "fence", (long long)letter->fence);
    print_line("group", letter->group);
    print_line("envelope", letter->job);
    print_history(cli, letter->history);
}

static int find(struct ls_cli *cli, const struct ls_keys *keys, const char *which,
                struct ls_find_dead *found, struct ls_err *err)
{
    const struct ls_reply *reply, *letter;
    struct ls_cmd cmd = {0};
    int result;

    if (!dead_is_position(which))
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

/* Exactly the bytes that were pushed, whatever they are. */
static void print_raw(const struct ls_buf *text, const struct ls_dead *letter)
{
    if (letter)
        fwrite(letter->job.data, 1, letter->job.length, stdout);
    else
        fwrite(text->data, 1, text->length, stdout);
}

int dead_show(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys)
{
    const char *which = words->ids.count == 1 ? words->ids.texts[0] : NULL;
    struct ls_find_dead found = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_dead letter = {0};
    int result;
    bool ours;

    if (!which)
        return ls_cli_misused(cli, "which one? An id, or a number as 'dead list' shows it");
    result = find(cli, keys, which, &found, &err);
    if (result == 0) {
        ls_fail(&err, LS_E_NOT_FOUND, "no dead job '%s' in queue '%s'", which, keys->queue);
        ls_hint(&err, "'lockstep dead list' shows what there is");
    }
    if (result <= 0)
        return ls_cli_failed(cli, &err);
    ours = ls_dead_parse(&letter, found.letter.data, found.letter.length, &err) == 0;
    if (words->raw) {
        print_raw(&found.letter, ours ? &letter : NULL);
    } else if (cli->json && ours) {
        fwrite(found.letter.data, 1, found.letter.length, stdout);
        putchar('\n');
    } else if (!ours) {
        ls_cli_print_safe(stdout, found.letter.data, found.letter.length);
        putchar('\n');
    } else {
        print_letter(cli, &letter);
    }
    ls_dead_fini(&letter);
    ls_buf_fini(&found.letter);
    return LS_EXIT_OK;
}

/* ---- discarded ---- */

/* A line of the log: {"at":…,"by":…,"reason":…,"selection":…,"run":…,"jobs":N}. */
static void log_row(struct ls_table *table, struct ls_span line)
{
    enum { AT, BY, SELECTION, REASON, TEXTS };
    static const char *const names[TEXTS] = {"at", "by", "selection", "reason"};
    struct ls_buf texts[TEXTS] = {{0}};
    struct ls_span name, value, inside;
    struct ls_json json;
    bool first = true, escaped;
    int64_t jobs = 0, at;

    ls_json_init(&json, line.data ? line.data : "", line.length, LS_ENVELOPE_DEPTH);
    if (ls_json_open(&json))
        while (ls_json_next(&json, &first, &name, &value)) {
            for (int i = 0; i < TEXTS; i++)
                if (ls_span_is(name, names[i]) && ls_json_is_string(value, &inside, &escaped))
                    ls_json_unescape(&texts[i], inside);
            if (ls_span_is(name, "jobs"))
                ls_json_int(value, &jobs);
        }
    at = texts[AT].length ? ls_clock_parse(texts[AT].data, texts[AT].length) : 0;
    ls_table_when(table, at);
    ls_table_int(table, jobs);
    for (int i = BY; i < TEXTS; i++)
        ls_table_span(table, texts[i].data ? texts[i].data : "", texts[i].length);
    for (int i = 0; i < TEXTS; i++)
        ls_buf_fini(&texts[i]);
}

int dead_discarded(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys)
{
    static const struct ls_column columns[] = {{"WHEN", "at", false},
                                               {"JOBS", "jobs", true},
                                               {"BY", "by", false},
                                               {"WHICH", "selection", false},
                                               {"REASON", "reason", false}};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_reply *reply, *line;
    struct ls_cmd cmd = {0};
    struct ls_table *table;
    int64_t limit = LOG_MAX;
    int result;

    if (words->limit && ls_cli_number("--limit", words->limit, 0, LOG_MAX, &limit, &err) < 0)
        return ls_cli_failed(cli, &err);
    ls_dead_discarded_build(&cmd, keys, limit ? limit : LOG_MAX);
    result = ls_cli_send(cli, &cmd, &reply, &err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return ls_cli_failed(cli, &err);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; (line = ls_reply_item(reply, i)); i++)
        log_row(table, ls_reply_span(line));
    ls_table_print(table, "nothing was discarded");
    return LS_EXIT_OK;
}
