#include "common/queue/dead.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

void ls_dead_list_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t first, int64_t last)
{
    ls_cmd_start(cmd, "LRANGE");
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_int(cmd, first);
    ls_cmd_int(cmd, last);
}

void ls_dead_groups_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    ls_cmd_start(cmd, "HGETALL");
    ls_cmd_puts(cmd, keys->dead_groups);
}

int ls_dead_group_parse(struct ls_span value, struct ls_dead_group_row *row)
{
    int64_t numbers[3] = {0};
    size_t at = 0;

    for (size_t i = 0; i < LS_COUNT(numbers); i++) {
        size_t from = at;

        for (; at < value.length && value.data[at] >= '0' && value.data[at] <= '9'; at++)
            numbers[i] = numbers[i] * 10 + (value.data[at] - '0');
        if (at == from || at - from > 15 || at == value.length || value.data[at++] != ' ')
            return -1;
    }
    *row = (struct ls_dead_group_row){.count = numbers[0],
                                      .first_ms = numbers[1],
                                      .last_ms = numbers[2],
                                      .sample = {value.data + at, value.length - at}};
    return 0;
}

void ls_dead_redrive_build(struct ls_cmd *cmd, const struct ls_keys *keys, bool from_tail,
                           const struct ls_dead_move *moves, size_t count)
{
    ls_assert(count <= LS_DEAD_MAX);
    ls_cmd_script(cmd, &ls_script_job_redrive);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_int(cmd, from_tail);
    ls_cmd_int(cmd, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        ls_cmd_span(cmd, moves[i].letter);
        ls_cmd_span(cmd, moves[i].group);
        ls_cmd_span(cmd, moves[i].key);
        ls_cmd_span(cmd, moves[i].envelope);
    }
}

void ls_dead_discard_build(struct ls_cmd *cmd, const struct ls_keys *keys, bool from_tail,
                           const struct ls_dead_move *moves, size_t count)
{
    ls_assert(count <= LS_DEAD_MAX);
    ls_cmd_script(cmd, &ls_script_job_discard);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_int(cmd, from_tail);
    ls_cmd_int(cmd, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        ls_cmd_span(cmd, moves[i].letter);
        ls_cmd_span(cmd, moves[i].group);
    }
}

int ls_dead_moved_parse(const struct ls_reply *reply, struct ls_dead_moved *moved,
                        struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 4, "job_redrive", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "job_redrive", err);
    moved->moved = ls_queue_int(reply, 2);
    moved->left = ls_queue_int(reply, 3);
    return 0;
}
