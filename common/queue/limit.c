#include "common/queue/limit.h"

#include <stdio.h>
#include <string.h>

#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

/* Below `least` it is left as it is. */
static void add_or_leave(struct ls_cmd *cmd, int64_t value, int64_t least)
{
    if (value >= least)
        ls_cmd_int(cmd, value);
    else
        ls_cmd_puts(cmd, "");
}

void ls_limit_set_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                        const struct ls_limit_change *change)
{
    char rate[32] = "";

    ls_cmd_script(cmd, &ls_script_limit_set);
    ls_cmd_puts(cmd, keys->limits);
    ls_cmd_puts(cmd, keys->ring);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_span(cmd, change->account);
    if (change->rate >= 0)
        snprintf(rate, sizeof rate, "%.6g", change->rate);
    ls_cmd_puts(cmd, rate);
    add_or_leave(cmd, change->burst, 1);
    add_or_leave(cmd, change->concurrency, 0);
    ls_cmd_span(cmd, change->costs);
    ls_cmd_span(cmd, change->rule);
    add_or_leave(cmd, change->park_ms, 0);
    ls_cmd_span(cmd, change->reason);
}

int ls_limit_set_parse(const struct ls_reply *reply, struct ls_limit_state *state,
                       struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 3, "limit_set", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "limit_set", err);
    state->ms = ls_queue_int(reply, 1);
    state->parked_until = ls_queue_int(reply, 2);
    return 0;
}

void ls_limit_take_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span account,
                         int want)
{
    ls_cmd_script(cmd, &ls_script_limit_take);
    ls_cmd_puts(cmd, keys->limits);
    ls_cmd_puts(cmd, keys->ring);
    ls_cmd_span(cmd, account);
    ls_cmd_int(cmd, want);
}

int ls_limit_take_parse(const struct ls_reply *reply, struct ls_limit_grant *grant,
                        struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 5, "limit_take", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "limit_take", err);
    grant->granted = ls_queue_int(reply, 2);
    grant->wait_ms = ls_queue_int(reply, 3);
    grant->parked = ls_queue_int(reply, 4) != 0;
    return 0;
}

struct ls_span ls_held_item(struct ls_span member)
{
    struct ls_span rest = member;

    for (int word = 0; word < 3; word++) {
        const char *blank = memchr(rest.data ? rest.data : "", ' ', rest.length);

        if (!blank)
            return member;
        rest.length -= (size_t)(blank + 1 - rest.data);
        rest.data = blank + 1;
    }
    return rest;
}
