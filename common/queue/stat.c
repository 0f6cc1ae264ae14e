#include "common/queue/stat.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/job/id.h"
#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

/* Places in queue_stat's answer. */
enum place {
    AT_MS = 1,
    AT_HIGH,
    AT_NORMAL,
    AT_LOW,
    AT_DELAYED,
    AT_RESERVED,
    AT_DEAD,
    AT_GROUPS,
    AT_KEYS,
    AT_WORKERS,
    AT_EXPIRED,
    AT_FIRST_DELAYED,
    AT_FIRST_RESERVED,
    AT_PAUSED,
    AT_BOUND,
    AT_HELD,
    AT_FIRST_LOOK,
    AT_CLOSED,
    AT_MAX_RUNNING,
    AT_MAX_DEAD,
    AT_SINCE,
    AT_COUNTERS = AT_SINCE + 3,
    AT_END
};

void ls_queue_stat_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    ls_cmd_script(cmd, &ls_script_queue_stat);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->reserved);
    ls_cmd_puts(cmd, keys->dead);
    ls_cmd_puts(cmd, keys->dead_groups);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->held);
    ls_cmd_puts(cmd, keys->ring);
}

/* Since when a lane's head waits: ms as digits, or a ULID that holds its time. -1 = not known. */
static int64_t since_ms(struct ls_span text)
{
    int64_t value = 0;

    if (text.length == LS_ID_SIZE - 1)
        return ls_id_time_ms(text);
    if (!text.length || text.length > 15)
        return -1;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

static int64_t oldest_ms(const struct ls_reply *reply, int64_t ms)
{
    int64_t oldest = -1;

    for (size_t i = AT_SINCE; i < AT_COUNTERS; i++) {
        int64_t since = since_ms(ls_reply_span(ls_reply_item(reply, i)));

        if (since >= 0 && ms - since > oldest)
            oldest = ms - since;
        else if (since > ms && oldest < 0)
            oldest = 0; /* the producer's clock is ahead of Redis' */
    }
    return oldest;
}

static void read_counters(struct ls_queue_stat *stat)
{
    const struct {
        const char *name;
        int64_t *out;
    } known[] = {
        {"pushed", &stat->pushed},   {"claimed", &stat->claimed}, {"done", &stat->done},
        {"retried", &stat->retried}, {"again", &stat->again},     {"given_back", &stat->given_back},
        {"rekeyed", &stat->rekeyed}, {"dead", &stat->died},       {"cancelled", &stat->cancelled},
        {"stopped", &stat->stopped},
    };

    for (size_t i = 0; i + 1 < 2 * stat->counter_count; i += 2) {
        for (size_t j = 0; j < LS_COUNT(known); j++) {
            if (ls_reply_is(&stat->counters[i], known[j].name))
                *known[j].out = ls_reply_int(&stat->counters[i + 1], 0);
        }
    }
    stat->running = stat->claimed - stat->done - stat->retried - stat->again - stat->given_back -
                    stat->rekeyed - stat->died - stat->stopped;
    if (stat->running < 0)
        stat->running = 0;
}

int ls_queue_stat_parse(const struct ls_reply *reply, struct ls_queue_stat *stat,
                        struct ls_err *err)
{
    const char *word = ls_queue_word(reply, AT_END, "queue_stat", err);
    const struct ls_reply *counters;
    int64_t due, paid, look;

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "queue_stat", err);
    *stat = (struct ls_queue_stat){
        .ms = ls_queue_int(reply, AT_MS),
        .pending_high = ls_queue_int(reply, AT_HIGH),
        .pending = ls_queue_int(reply, AT_NORMAL),
        .pending_low = ls_queue_int(reply, AT_LOW),
        .delayed = ls_queue_int(reply, AT_DELAYED),
        .reserved = ls_queue_int(reply, AT_RESERVED),
        .dead = ls_queue_int(reply, AT_DEAD),
        .dead_groups = ls_queue_int(reply, AT_GROUPS),
        .keyed = ls_queue_int(reply, AT_KEYS),
        .workers = ls_queue_int(reply, AT_WORKERS),
        .workers_expired = ls_queue_int(reply, AT_EXPIRED),
        .bound = ls_queue_int(reply, AT_BOUND),
        .held = ls_queue_int(reply, AT_HELD),
        .max_running = ls_queue_int(reply, AT_MAX_RUNNING),
        .max_dead = ls_queue_int(reply, AT_MAX_DEAD),
        .paused_by = ls_reply_span(ls_reply_item(reply, AT_PAUSED)),
        .closed_by = ls_reply_span(ls_reply_item(reply, AT_CLOSED)),
        .next_due_ms = -1,
    };
    stat->paused = stat->paused_by.length > 0;
    stat->closed = stat->closed_by.length > 0;
    stat->blocked = stat->paused                                         ? LS_QUEUE_PAUSED
                    : stat->max_dead > 0 && stat->dead >= stat->max_dead ? LS_QUEUE_DEAD_FULL
                                                                         : LS_QUEUE_OPEN;
    look = ls_queue_int(reply, AT_FIRST_LOOK);
    due = ls_queue_int(reply, AT_FIRST_DELAYED);
    paid = ls_queue_int(reply, AT_FIRST_RESERVED);
    if (due && stat->ms > due)
        stat->overdue_ms = stat->ms - due;
    if (paid && (!due || paid < due))
        due = paid;
    if (look && (!due || look < due))
        due = look;
    if (due)
        stat->next_due_ms = due > stat->ms ? due - stat->ms : 0;
    stat->oldest_ms = oldest_ms(reply, stat->ms);
    counters = ls_reply_item(reply, AT_COUNTERS);
    if (counters->type == LS_REPLY_ARRAY) {
        stat->counters = counters->items;
        stat->counter_count = counters->count / 2;
    }
    read_counters(stat);
    return 0;
}

void ls_queue_ring_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    ls_cmd_start(cmd, "HGETALL");
    ls_cmd_puts(cmd, keys->stats_ring);
}

int ls_queue_ring_field(struct ls_span field, int64_t *minute, struct ls_span *counter)
{
    size_t at = 0;

    *minute = 0;
    for (; at < field.length && at < 12 && field.data[at] >= '0' && field.data[at] <= '9'; at++)
        *minute = *minute * 10 + (field.data[at] - '0');
    if (at == 0 || at >= field.length || field.data[at] != '/')
        return -1;
    *counter = (struct ls_span){field.data + at + 1, field.length - at - 1};
    return 0;
}

static void switch_build(struct ls_cmd *cmd, const struct ls_keys *keys, const char *verb,
                         struct ls_span by, struct ls_span process)
{
    ls_cmd_script(cmd, &ls_script_queue_pause);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, verb);
    ls_cmd_span(cmd, by.length ? by : LS_SPAN("somebody"));
    ls_cmd_span(cmd, process);
}

void ls_queue_pause_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span by)
{
    switch_build(cmd, keys, "pause", by, (struct ls_span){0});
}

void ls_queue_close_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span by)
{
    switch_build(cmd, keys, "close", by, (struct ls_span){0});
}

void ls_queue_resume_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    switch_build(cmd, keys, "resume", (struct ls_span){0}, (struct ls_span){0});
}

void ls_queue_quiet_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span process,
                          struct ls_span by)
{
    switch_build(cmd, keys, "quiet", by, process);
}

void ls_queue_unquiet_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span process)
{
    switch_build(cmd, keys, "unquiet", (struct ls_span){0}, process);
}

void ls_queue_quiet_sweep_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    switch_build(cmd, keys, "sweep", (struct ls_span){0}, (struct ls_span){0});
}

int ls_queue_switch_parse(const struct ls_reply *reply, struct ls_queue_switched *was,
                          struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 4, "queue_pause", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "queue_pause", err);
    *was = (struct ls_queue_switched){.was_paused = ls_queue_int(reply, 1) != 0,
                                      .was_closed = ls_queue_int(reply, 2) != 0,
                                      .quiet = ls_queue_int(reply, 3)};
    return 0;
}

struct ls_span ls_queue_quiet_field(struct ls_span field)
{
    static const char prefix[] = "quiet/";
    const size_t length = sizeof prefix - 1;

    if (field.length <= length || memcmp(field.data, prefix, length) != 0)
        return (struct ls_span){0};
    return (struct ls_span){field.data + length, field.length - length};
}

void ls_queue_bounds_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                           const struct ls_queue_bounds *bounds)
{
    ls_cmd_start(cmd, "HSET");
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, "bound");
    ls_cmd_int(cmd, bounds->waiting);
    ls_cmd_puts(cmd, "max_running");
    ls_cmd_int(cmd, bounds->running);
    ls_cmd_puts(cmd, "max_dead");
    ls_cmd_int(cmd, bounds->dead);
}
