/* How old a group of dead letters is: since when its oldest letter lies there. Its row in
 * dead:groups is made when the first one dies and does not notice when that one leaves. */
#include <string.h>

#include "common/base/mem.h"
#include "producer/cli/dead.h"

void dead_touch(struct dead_touched *touched, struct ls_span group)
{
    char name[LS_GROUP_SIZE];
    size_t low = 0, high = touched->count;

    if (!group.length || group.length >= sizeof name)
        return;
    snprintf(name, sizeof name, "%.*s", LS_SPAN_ARG(group));
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(touched->groups[middle], name);

        if (order == 0)
            return;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    touched->groups = ls_xrealloc(touched->groups, (touched->count + 1) * sizeof *touched->groups);
    memmove(touched->groups + low + 1, touched->groups + low,
            (touched->count - low) * sizeof *touched->groups);
    memcpy(touched->groups[low], name, sizeof name);
    touched->count++;
}

/* The groups that have letters left, and what their rows say now. */
static int read_rows(struct ls_cli *cli, const struct ls_keys *keys,
                     const struct dead_touched *touched, struct ls_dead_date *dates, size_t *count,
                     struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result;

    ls_cmd_start(&cmd, "HMGET");
    ls_cmd_puts(&cmd, keys->dead_groups);
    for (size_t i = 0; i < touched->count; i++)
        ls_cmd_puts(&cmd, touched->groups[i]);
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return -1;
    *count = 0;
    for (size_t i = 0; i < touched->count && *count < LS_DEAD_GROUPS_MAX; i++) {
        struct ls_dead_group_row row;

        if (ls_dead_group_parse(ls_reply_span(ls_reply_item(reply, i)), &row) == 0)
            dates[(*count)++] = (struct ls_dead_date){.group = ls_span_of(touched->groups[i]),
                                                      .was_ms = row.first_ms};
    }
    return 0;
}

/* One letter, older than all that come after it. Those of the groups that it settles go behind the
 * first `open` ones. */
static size_t settle(struct ls_dead_date *dates, size_t open, struct ls_span text)
{
    struct ls_dead letter = {0};

    if (ls_dead_parse(&letter, text.data ? text.data : "", text.length, NULL) < 0)
        return open;
    for (size_t i = 0; i < open; i++) {
        struct ls_dead_date date = dates[i];

        if (!ls_span_equal(date.group, letter.group))
            continue;
        /* Its row may say a little more than the letter: the one is Redis' clock, the other what
         * the runner made of it. Only what is later is news. */
        date.is_ms = letter.failed_at > date.was_ms ? letter.failed_at : date.was_ms;
        dates[i] = dates[--open];
        dates[open] = date;
        break;
    }
    ls_dead_fini(&letter);
    return open;
}

static int find_oldest(struct ls_cli *cli, const struct ls_keys *keys, struct ls_dead_date *dates,
                       size_t *open, struct ls_err *err)
{
    const struct ls_reply *slice;
    struct dead_walk walk;
    size_t count;
    int result = dead_walk_begin(&walk, cli, keys, err);

    while (result >= 0 && *open && (result = dead_walk_next(&walk, &slice, &count, err)) == 1)
        while (count-- > 0 && *open)
            *open = settle(dates, *open, ls_reply_span(&slice->items[count]));
    dead_walk_end(&walk);
    return result < 0 ? -1 : 0;
}

int dead_mend(struct ls_cli *cli, const struct ls_keys *keys, const struct dead_touched *touched,
              struct ls_err *err)
{
    struct ls_dead_date *dates = ls_xcalloc(touched->count + 1, sizeof *dates);
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    size_t count = 0, open;
    int result = read_rows(cli, keys, touched, dates, &count, err);

    open = count;
    if (result == 0 && count)
        result = find_oldest(cli, keys, dates, &open, err);
    if (result == 0 && count > open) {
        ls_dead_date_build(&cmd, keys, dates + open, count - open);
        result = ls_cli_send(cli, &cmd, &reply, err);
        ls_cmd_fini(&cmd);
    }
    free(dates);
    return result;
}
