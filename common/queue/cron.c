#include "common/queue/cron.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/queue/queue_internal.h"
#include "common/redis/keys.h"
#include "lua_scripts.h"

static void build(struct ls_cmd *cmd, const char *step, const char *schedule, int64_t every_ms,
                  const char *owner, int64_t extra)
{
    ls_assert(every_ms > 0);
    ls_cmd_script(cmd, &ls_script_cron_fire);
    ls_cmd_puts(cmd, LS_KEY_CRON);
    ls_cmd_puts(cmd, step);
    ls_cmd_puts(cmd, schedule);
    ls_cmd_int(cmd, every_ms);
    ls_cmd_puts(cmd, owner);
    ls_cmd_int(cmd, extra);
}

void ls_cron_begin_build(struct ls_cmd *cmd, const char *schedule, int64_t every_ms,
                         const char *owner, int64_t hold_ms)
{
    build(cmd, "begin", schedule, every_ms, owner, hold_ms ? hold_ms : LS_CRON_HOLD_MS);
}

void ls_cron_done_build(struct ls_cmd *cmd, const char *schedule, int64_t every_ms,
                        const char *owner, int64_t tick)
{
    build(cmd, "done", schedule, every_ms, owner, tick);
}

int ls_cron_begin_parse(const struct ls_reply *reply, struct ls_cron_tick *tick, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 3, "cron_fire", err);

    if (!word)
        return -1;
    *tick = (struct ls_cron_tick){.ms = ls_queue_int(reply, 1)};
    if (strcmp(word, "FIRE") == 0) {
        tick->fire = true;
        tick->tick = ls_queue_int(reply, 2);
        return 0;
    }
    if (strcmp(word, "WAIT") != 0)
        return ls_queue_unexpected(word, "cron_fire", err);
    tick->wait_ms = ls_queue_int(reply, 2);
    return 0;
}

int ls_cron_done_parse(const struct ls_reply *reply, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 2, "cron_fire", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0 && strcmp(word, "LATE") != 0)
        return ls_queue_unexpected(word, "cron_fire", err);
    return 0;
}
