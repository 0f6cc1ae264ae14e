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

static void add_place(struct ls_cmd *cmd, const struct ls_dead_place *place, size_t count)
{
    static const char *const names[] = {
        [LS_DEAD_OLDEST] = "oldest", [LS_DEAD_HEAD] = "head", [LS_DEAD_TAIL] = "tail"};

    ls_assert(count >= 1 && count <= LS_DEAD_MAX);
    ls_cmd_puts(cmd, names[place->where]);
    ls_cmd_span(cmd, place->mark);
    ls_cmd_int(cmd, (int64_t)count);
}

static void add_move(struct ls_cmd *cmd, const struct ls_dead_move *move)
{
    ls_cmd_span(cmd, move->letter);
    ls_cmd_int(cmd, !move->stays);
    ls_cmd_span(cmd, move->group);
}

void ls_dead_redrive_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                           const struct ls_dead_place *place, const struct ls_dead_move *moves,
                           size_t count)
{
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
    add_place(cmd, place, count);
    for (size_t i = 0; i < count; i++) {
        add_move(cmd, &moves[i]);
        ls_cmd_span(cmd, moves[i].key);
        ls_cmd_span(cmd, moves[i].envelope);
    }
}

void ls_dead_discard_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                           const struct ls_dead_place *place, struct ls_span line,
                           const struct ls_dead_move *moves, size_t count)
{
    ls_cmd_script(cmd, &ls_script_job_discard);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_puts(cmd, keys->discarded);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    add_place(cmd, place, count);
    ls_cmd_span(cmd, line);
    for (size_t i = 0; i < count; i++)
        add_move(cmd, &moves[i]);
}

int ls_dead_moved_parse(const struct ls_reply *reply, struct ls_dead_moved *moved,
                        struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 4, "job_redrive", err);

    if (!word)
        return -1;
    *moved = (struct ls_dead_moved){.changed = strcmp(word, "CHANGED") == 0,
                                    .moved = ls_queue_int(reply, 2),
                                    .left = ls_queue_int(reply, 3)};
    if (moved->changed)
        return 0;
    if (strcmp(word, "OK") != 0 || reply->count < 5)
        return ls_queue_unexpected(word, "job_redrive", err);
    moved->together = ls_queue_int(reply, 4) != 0;
    return 0;
}

void ls_dead_rewind_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span mark,
                          int64_t letters)
{
    ls_assert(letters >= 1 && letters <= LS_DEAD_REWIND_MAX);
    ls_cmd_script(cmd, &ls_script_dead_rewind);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_span(cmd, mark);
    ls_cmd_int(cmd, letters);
}

int ls_dead_rewind_parse(const struct ls_reply *reply, struct ls_span *mark, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "dead_rewind", err);

    if (!word)
        return -1;
    *mark = (struct ls_span){0};
    if (strcmp(word, "OK") == 0)
        *mark = ls_reply_span(ls_reply_item(reply, 2));
    else if (strcmp(word, "GONE") != 0)
        return ls_queue_unexpected(word, "dead_rewind", err);
    return 0;
}

void ls_dead_date_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                        const struct ls_dead_date *dates, size_t count)
{
    ls_assert(count <= LS_DEAD_GROUPS_MAX + 1);
    ls_cmd_script(cmd, &ls_script_dead_date);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_int(cmd, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        ls_cmd_span(cmd, dates[i].group);
        ls_cmd_int(cmd, dates[i].was_ms);
        ls_cmd_int(cmd, dates[i].is_ms);
    }
}

void ls_dead_import_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                          const struct ls_dead_import *letters, size_t count)
{
    ls_assert(count >= 1 && count <= LS_DEAD_MAX);
    ls_cmd_script(cmd, &ls_script_dead_import);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_int(cmd, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        ls_cmd_span(cmd, letters[i].letter);
        ls_cmd_span(cmd, letters[i].group);
        ls_cmd_int(cmd, letters[i].failed_at);
        ls_cmd_span(cmd, letters[i].sample);
    }
}

int ls_dead_import_parse(const struct ls_reply *reply, int64_t *imported, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 4, "dead_import", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "dead_import", err);
    *imported = ls_queue_int(reply, 2);
    return 0;
}

void ls_dead_discarded_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t limit)
{
    ls_cmd_start(cmd, "LRANGE");
    ls_cmd_puts(cmd, keys->discarded);
    ls_cmd_int(cmd, 0);
    ls_cmd_int(cmd, limit - 1);
}
