/* Which letters a command means, and the way through the list. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/cli/dead.h"

#define MISSING_SHOWN 5
#define POSITION_DIGITS 9

/* ---- which letters ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int take_since(struct dead_select *select, struct ls_cli *cli, const char *text,
                      struct ls_err *err)
{
    int64_t ms = ls_cli_duration("--since", text, err);
    int64_t now_us;

    if (ms < 0 || ls_cli_redis_us(cli, &now_us, err) < 0)
        return -1;
    select->since_ms = now_us / 1000 - ms;
    if (select->since_ms < 1)
        select->since_ms = 1;
    return 0;
}

int dead_select_init(struct dead_select *select, struct ls_cli *cli, const struct dead_words *words,
                     bool strict, struct ls_err *err)
{
    bool filtered = words->kind || words->account || words->klass || words->since;

    *select = (struct dead_select){.group = words->group,
                                   .kind = words->kind,
                                   .account = words->account,
                                   .klass = words->klass,
                                   .all = words->all};
    if ((words->ids.count > 0) + words->all + (words->group != NULL) > 1)
        return ls_fail(err, LS_E_USAGE, "ids, '--group' and '--all' exclude each other");
    if (strict && !words->ids.count && !words->all && !words->group && !filtered)
        return ls_fail(err, LS_E_USAGE,
                       "say which: ids, --group GROUP, --all, or by --kind, "
                       "--account, --class, --since");
    if (words->limit &&
        ls_cli_number("--limit", words->limit, 0, INT64_MAX, &select->limit, err) < 0)
        return -1;
    if (words->since && take_since(select, cli, words->since, err) < 0)
        return -1;
    for (size_t i = 0; i < words->ids.count; i++)
        ls_cli_list_add(&select->ids, words->ids.texts[i]);
    if (select->ids.count)
        qsort(select->ids.texts, select->ids.count, sizeof *select->ids.texts, by_text);
    select->found = ls_xcalloc(select->ids.count + 1, sizeof *select->found);
    return 0;
}

void dead_select_fini(struct dead_select *select)
{
    free(select->ids.texts);
    free(select->found);
    *select = (struct dead_select){0};
}

static bool passes(const char *wanted, struct ls_span value)
{
    return !wanted || ls_span_is(value, wanted);
}

bool dead_select_has(const struct dead_select *select, const struct ls_dead *letter)
{
    static const struct ls_dead unreadable = {0};

    if (!letter)
        letter = &unreadable;
    return passes(select->group, letter->group) && passes(select->kind, letter->kind) &&
           passes(select->account, letter->account) && passes(select->klass, letter->klass) &&
           letter->failed_at >= select->since_ms;
}

/* Notes that this text, if it is among the ids, was found; true the first time. */
static bool note_id(struct dead_select *select, const char *text)
{
    const char **at = select->ids.count ? bsearch(&text, select->ids.texts, select->ids.count,
                                                  sizeof *select->ids.texts, by_text)
                                        : NULL;
    bool first;

    if (!at)
        return false;
    while (at > select->ids.texts && strcmp(at[-1], text) == 0)
        at--;
    first = !select->found[at - select->ids.texts];
    for (; at < select->ids.texts + select->ids.count && strcmp(*at, text) == 0; at++)
        select->found[at - select->ids.texts] = true;
    return first;
}

bool dead_is_position(const char *which)
{
    return *which && !which[strspn(which, "0123456789")] && strlen(which) <= POSITION_DIGITS;
}

bool dead_select_has_id(struct dead_select *select, const struct ls_dead *letter, int64_t index)
{
    char number[24], id[160] = "";
    bool named;

    snprintf(number, sizeof number, "%lld", (long long)index);
    named = dead_is_position(number) && note_id(select, number);
    if (letter && letter->id.length < sizeof id)
        snprintf(id, sizeof id, "%.*s", LS_SPAN_ARG(letter->id));
    return (*id && !dead_is_position(id) && note_id(select, id)) || named;
}

size_t dead_select_missing(const struct dead_select *select, struct ls_buf *text)
{
    size_t missing = 0;

    for (size_t i = 0; i < select->ids.count; i++) {
        if (select->found[i])
            continue;
        if (missing < MISSING_SHOWN)
            ls_buf_printf(text, "%s'%.128s'", missing ? ", " : "", select->ids.texts[i]);
        missing++;
    }
    if (missing > MISSING_SHOWN)
        ls_buf_printf(text, " and %zu more", missing - MISSING_SHOWN);
    return missing;
}

void dead_select_describe(const struct dead_select *select, struct ls_buf *out)
{
    const struct {
        const char *name, *value;
    } parts[] = {{"group", select->group},
                 {"kind", select->kind},
                 {"account", select->account},
                 {"class", select->klass}};
    char since[LS_CLOCK_TEXT_SIZE];
    size_t start = out->length;

    if (select->all)
        ls_buf_puts(out, ", all");
    for (size_t i = 0; i < select->ids.count && i < MISSING_SHOWN; i++)
        ls_buf_printf(out, "%s%.128s", i ? " " : ", ids ", select->ids.texts[i]);
    if (select->ids.count > MISSING_SHOWN)
        ls_buf_printf(out, " and %zu more", select->ids.count - MISSING_SHOWN);
    for (size_t i = 0; i < LS_COUNT(parts); i++)
        if (parts[i].value)
            ls_buf_printf(out, ", %s %.100s", parts[i].name, parts[i].value);
    if (select->since_ms)
        ls_buf_printf(out, ", since %s", ls_clock_format(since, select->since_ms));
    if (select->limit)
        ls_buf_printf(out, ", at most %lld", (long long)select->limit);
    memmove(out->data + start, out->data + start + 2, out->length - start - 1); /* ", " */
    out->length -= 2;
}

/* ---- through the list ---- */

int dead_walk_begin(struct dead_walk *walk, struct ls_cli *cli, const struct ls_keys *keys,
                    struct ls_err *err)
{
    const struct ls_reply *reply;

    *walk = (struct dead_walk){.cli = cli, .keys = keys};
    ls_cmd_start(&walk->cmd, "LLEN");
    ls_cmd_puts(&walk->cmd, keys->dead);
    if (ls_cli_send(cli, &walk->cmd, &reply, err) < 0)
        return -1;
    walk->total = ls_reply_int(reply, 0);
    return 0;
}

/* Each slice begins with the last letter of the one before: where it stands now shows whether the
 * places of the others still hold. */
int dead_walk_next(struct dead_walk *walk, const struct ls_reply **slice, size_t *count,
                   struct ls_err *err)
{
    int64_t left = walk->total - walk->seen, want = left < DEAD_SLICE ? left : DEAD_SLICE;
    int64_t overlap = walk->seen > 0;
    struct ls_span newest;
    size_t got;

    if (left <= 0)
        return 0;
    ls_dead_list_build(&walk->cmd, walk->keys, -(walk->seen + want), -(walk->seen + 1 - overlap));
    if (ls_cli_send(walk->cli, &walk->cmd, slice, err) < 0)
        return -1;
    got = (*slice)->type == LS_REPLY_ARRAY ? (*slice)->count : 0;
    if (got < (size_t)(want + overlap) ||
        (overlap && !ls_span_equal(ls_reply_span(&(*slice)->items[got - 1]),
                                   (struct ls_span){walk->last.data, walk->last.length}))) {
        ls_fail(err, LS_E_CONFLICT,
                "somebody else took letters out of queue '%s' while they were read",
                walk->keys->queue);
        return ls_hint(err, "run it again");
    }
    *count = got - (size_t)overlap;
    newest = ls_reply_span(&(*slice)->items[0]);
    ls_buf_clear(&walk->last);
    ls_buf_add(&walk->last, newest.data, newest.length);
    walk->seen += (int64_t)*count;
    return 1;
}

void dead_walk_end(struct dead_walk *walk)
{
    ls_buf_fini(&walk->last);
    ls_cmd_fini(&walk->cmd);
}

/* Would a retry push something? */
static bool is_job(const struct ls_dead *letter)
{
    struct ls_buf envelope = {0};
    bool is = ls_dead_revive(&envelope, letter, NULL) == 0;

    ls_buf_fini(&envelope);
    return is;
}

int dead_count(struct ls_cli *cli, const struct ls_keys *keys, struct dead_select *select,
               int64_t *selected, int64_t *unreadable, struct ls_err *err)
{
    const struct ls_reply *slice;
    struct dead_walk walk;
    size_t count;
    int result;

    *selected = *unreadable = 0;
    if (dead_walk_begin(&walk, cli, keys, err) < 0) {
        dead_walk_end(&walk);
        return -1;
    }
    while ((result = dead_walk_next(&walk, &slice, &count, err)) == 1) {
        int64_t index = walk.total - walk.seen + (int64_t)count;

        while (count-- > 0 && !(select->limit && *selected >= select->limit)) {
            struct ls_span text = ls_reply_span(&slice->items[count]);
            struct ls_dead letter = {0};
            bool ours = ls_dead_parse(&letter, text.data, text.length, NULL) == 0;

            index--;
            if ((!select->ids.count || dead_select_has_id(select, ours ? &letter : NULL, index)) &&
                dead_select_has(select, ours ? &letter : NULL)) {
                ++*selected;
                *unreadable += !ours || !is_job(&letter);
            }
            ls_dead_fini(&letter);
        }
    }
    dead_walk_end(&walk);
    return result;
}
