#include "common/queue/heal.h"

#include <string.h>

#include "common/queue/queue_internal.h"
#include "lua_scripts.h"

#define KEYS 256     /* looked at in a slice */
#define ACCOUNTS 100 /* likewise */

void ls_heal_build(struct ls_cmd *cmd, const struct ls_keys *keys)
{
    ls_cmd_script(cmd, &ls_script_key_heal);
    ls_cmd_puts(cmd, keys->pending_high);
    ls_cmd_puts(cmd, keys->pending);
    ls_cmd_puts(cmd, keys->pending_low);
    ls_cmd_puts(cmd, keys->delayed);
    ls_cmd_puts(cmd, keys->reserved);
    ls_cmd_puts(cmd, keys->held);
    ls_cmd_puts(cmd, keys->keys);
    ls_cmd_puts(cmd, keys->bodies);
    ls_cmd_puts(cmd, keys->workers);
    ls_cmd_puts(cmd, keys->wake);
    ls_cmd_puts(cmd, keys->control);
    ls_cmd_puts(cmd, keys->stats);
    ls_cmd_puts(cmd, keys->stats_ring);
    ls_cmd_puts(cmd, keys->slots);
    ls_cmd_puts(cmd, keys->limits);
    ls_cmd_puts(cmd, keys->ring);
    ls_cmd_int(cmd, KEYS);
    ls_cmd_int(cmd, ACCOUNTS);
}

int ls_heal_parse(const struct ls_reply *reply, int64_t *healed, bool *more, struct ls_err *err)
{
    const char *word = ls_queue_word(reply, 4, "key_heal", err);

    if (!word)
        return -1;
    if (strcmp(word, "OK") != 0)
        return ls_queue_unexpected(word, "key_heal", err);
    *healed = ls_queue_int(reply, 2);
    *more = ls_queue_int(reply, 3) != 0;
    return 0;
}
