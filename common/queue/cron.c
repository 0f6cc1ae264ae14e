#include "common/queue/cron.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/queue_internal.h"
#include "common/redis/keys.h"
#include "lua_scripts.h"

static void build(struct ls_cmd *cmd, const char *step, const struct ls_cron_ask *ask)
{
    ls_assert(*ask->spec && !strchr(ask->spec, ' '));
    ls_cmd_script(cmd, &ls_script_cron_fire);
    ls_cmd_puts(cmd, LS_KEY_CRON);
    ls_cmd_puts(cmd, step);
    ls_cmd_puts(cmd, ask->schedule);
    ls_cmd_puts(cmd, ask->spec);
    ls_cmd_puts(cmd, ask->owner);
    ls_cmd_int(cmd, ask->tick);
}

void ls_cron_begin_build(struct ls_cmd *cmd, const struct ls_cron_ask *ask)
{
    build(cmd, "begin", ask);
    ls_cmd_int(cmd, ask->settled);
    ls_cmd_int(cmd, ask->stale_ms);
    ls_cmd_int(cmd, ask->hold_ms ? ask->hold_ms : LS_CRON_HOLD_MS);
    ls_cmd_puts(cmd, ask->at_once ? "now" : "next");
}

void ls_cron_done_build(struct ls_cmd *cmd, const struct ls_cron_ask *ask)
{
    build(cmd, "done", ask);
}

int ls_cron_begin_parse(const struct ls_reply *reply, struct ls_cron_answer *answer,
                        struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 3, "cron_fire", err);

    if (!word)
        return -1;
    *answer = (struct ls_cron_answer){.ms = ls_queue_int(reply, 1), .settled = -1};
    if (strcmp(word, "PLAN") == 0) {
        answer->settled = ls_queue_int(reply, 2);
        return 0;
    }
    answer->tick = ls_queue_int(reply, 2);
    if (strcmp(word, "FIRE") == 0) {
        answer->word = LS_CRON_FIRE;
        answer->differs = ls_queue_int(reply, 3);
        return 0;
    }
    if (strcmp(word, "HELD") != 0)
        return ls_queue_unexpected(word, "cron_fire", err);
    answer->word = LS_CRON_HELD;
    answer->left_ms = ls_queue_int(reply, 3);
    return 0;
}

int ls_cron_done_parse(const struct ls_reply *reply, int64_t *ms, bool *late, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "cron_fire", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0 && strcmp(word, "LATE") != 0)
        return ls_queue_unexpected(word, "cron_fire", err);
    *ms = ls_queue_int(reply, 1);
    *late = strcmp(word, "LATE") == 0;
    return 0;
}

static void build_plain(struct ls_cmd *cmd, const char *verb, const char *const *schedules,
                        size_t count)
{
    ls_assert(count > 0);
    ls_cmd_start(cmd, verb);
    ls_cmd_puts(cmd, LS_KEY_CRON);
    for (size_t i = 0; i < count; i++)
        ls_cmd_puts(cmd, schedules[i]);
}

void ls_cron_forget_build(struct ls_cmd *cmd, const char *const *schedules, size_t count)
{
    build_plain(cmd, "HDEL", schedules, count);
}

void ls_cron_states_build(struct ls_cmd *cmd, const char *const *schedules, size_t count)
{
    build_plain(cmd, "HMGET", schedules, count);
}

/* The next word of text, which is moved behind it. */
static struct ls_span next_word(struct ls_span *text)
{
    struct ls_span word = {text->data, 0};

    while (word.length < text->length && text->data[word.length] != ' ')
        word.length++;
    text->data += word.length;
    text->length -= word.length;
    if (text->length) {
        text->data++;
        text->length--;
    }
    return word;
}

static int64_t number_of(struct ls_span word)
{
    char digits[24];
    int64_t value;

    snprintf(digits, sizeof digits, "%.*s", LS_SPAN_ARG(word));
    return sscanf(digits, "%" SCNd64, &value) == 1 ? value : -1;
}

struct ls_cron_state ls_cron_state_read(struct ls_span text)
{
    struct ls_cron_state state = {.done = -1, .firing = -1};
    struct ls_span word, number;

    if (!text.length)
        return state;
    word = next_word(&text);
    number = next_word(&text);
    state.spec = next_word(&text);
    if (ls_span_is(word, "done"))
        state.done = number_of(number);
    if (ls_span_is(word, "firing")) {
        state.firing = number_of(number);
        next_word(&text); /* owner, end of the hold */
        next_word(&text);
        state.done = number_of(next_word(&text));
    }
    return state;
}
