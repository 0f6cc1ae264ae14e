#include "common/queue/watch.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

void ls_queue_watch_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t window_ms,
                          const char *const *counters, size_t count)
{
    ls_assert(count <= LS_QUEUE_WATCH_COUNTERS);
    ls_cmd_script(cmd, &ls_script_queue_watch);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_int(cmd, window_ms);
    for (size_t i = 0; i < count; i++)
        ls_cmd_puts(cmd, counters[i]);
}

static void take_numbers(const struct ls_reply *list, int64_t out[LS_QUEUE_WATCH_COUNTERS])
{
    const struct ls_reply *item;

    for (size_t i = 0; i < LS_QUEUE_WATCH_COUNTERS && (item = ls_reply_item(list, i)); i++)
        out[i] = ls_reply_int(item, 0);
}

int ls_queue_watch_parse(const struct ls_reply *reply, struct ls_queue_watch *watch,
                         struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 6, "queue_watch", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "queue_watch", err);
    *watch = (struct ls_queue_watch){.ms = ls_queue_int(reply, 1), .dead = ls_queue_int(reply, 2)};
    take_numbers(ls_reply_item(reply, 3), watch->totals);
    take_numbers(ls_reply_item(reply, 4), watch->window);
    watch->groups = ls_reply_item(reply, 5);
    if (watch->groups->type == LS_REPLY_ARRAY)
        watch->group_count = watch->groups->count / 2;
    return 0;
}
