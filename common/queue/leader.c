#include "common/queue/leader.h"

#include <string.h>

#include "common/queue/queue_internal.h"
#include "common/redis/keys.h"
#include "lua_scripts.h"

void ls_leader_hold_build(struct ls_cmd *cmd, const char *owner, int64_t lease_ms)
{
    ls_cmd_script(cmd, &ls_script_leader_hold);
    ls_cmd_puts(cmd, LS_KEY_LEADER);
    ls_cmd_puts(cmd, owner);
    ls_cmd_int(cmd, lease_ms);
}

int ls_leader_hold_parse(const struct ls_reply *reply, struct ls_leadership *leadership,
                         struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 1, "leader_hold", err);

    if (!word)
        return -1;
    *leadership = (struct ls_leadership){0};
    if (strcmp(word, "FREE") == 0)
        return 0;
    leadership->leader = strcmp(word, "LEADER") == 0;
    if (!leadership->leader && strcmp(word, "FOLLOWER") != 0)
        return ls_queue_unexpected(word, "leader_hold", err);
    leadership->who = ls_reply_span(ls_reply_item(reply, 1));
    leadership->left_ms = ls_queue_int(reply, 2);
    return 0;
}
