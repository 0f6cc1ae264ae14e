#include "common/queue/limit.h"

#include <stdio.h>
#include <string.h>

#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

#define RELEASE_SLICE 256

void ls_limit_set_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                        const struct ls_limit_change *change)
{
    char rate[32] = "";

    ls_cmd_script(cmd, &ls_script_limit_set);
    ls_cmd_puts(cmd, keys->limits);
    ls_cmd_span(cmd, change->account);
    if (change->rate >= 0)
        snprintf(rate, sizeof rate, "%.6g", change->rate);
    ls_cmd_puts(cmd, rate);
    if (change->burst >= 1)
        ls_cmd_int(cmd, change->burst);
    else
        ls_cmd_puts(cmd, "");
    if (change->park_ms >= 0)
        ls_cmd_int(cmd, change->park_ms);
    else
        ls_cmd_puts(cmd, "");
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

void ls_limit_release_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span account,
                            const struct ls_limit_cursor *cursor)
{
    ls_cmd_script(cmd, &ls_script_limit_release);
    ls_cmd_puts(cmd, keys->reserved);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->limits);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_span(cmd, account);
    ls_cmd_puts(cmd, cursor->score);
    ls_cmd_int(cmd, cursor->skip);
    ls_cmd_int(cmd, RELEASE_SLICE);
}

int ls_limit_release_parse(const struct ls_reply *reply, struct ls_limit_cursor *cursor, bool *more,
                           struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 5, "limit_release", err);
    struct ls_span score;

    if (!word)
        return -1;
    *more = strcmp(word, "MORE") == 0;
    if (!*more && strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "limit_release", err);
    score = ls_reply_span(ls_reply_item(reply, 2));
    snprintf(cursor->score, sizeof cursor->score, "%.*s", LS_SPAN_ARG(score));
    cursor->skip = ls_queue_int(reply, 3);
    return 0;
}

void ls_limit_take_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span account,
                         int want)
{
    ls_cmd_script(cmd, &ls_script_limit_take);
    ls_cmd_puts(cmd, keys->limits);
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
