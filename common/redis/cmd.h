/* A Redis command under construction: arguments are encoded as they are added, so sending it is one
 * copy. {0} is empty; reuse one ls_cmd for many commands, ls_cmd_fini at the end. Arguments are
 * copied. */
#ifndef LS_REDIS_CMD_H
#define LS_REDIS_CMD_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/span.h"
#include "common/redis/script.h"

struct ls_cmd {
    struct ls_buf args; /* "$3\r\nfoo\r\n" an argument; without what names a script */
    int count;
    const struct ls_script *script; /* NULL for a plain command */
};

void ls_cmd_fini(struct ls_cmd *cmd);
/* Begin again: a plain command by its verb ("RPUSH"; one word), or a script, whose key count is
 * added here: the keys follow. */
void ls_cmd_start(struct ls_cmd *cmd, const char *verb);
void ls_cmd_script(struct ls_cmd *cmd, const struct ls_script *script);
void ls_cmd_add(struct ls_cmd *cmd, const void *bytes, size_t length);
void ls_cmd_span(struct ls_cmd *cmd, struct ls_span span);
void ls_cmd_puts(struct ls_cmd *cmd, const char *text);
void ls_cmd_int(struct ls_cmd *cmd, int64_t value);

/* Append the request as Redis wants it for a server of this version; as_eval sends a script's text
 * instead of its digest. For transports. */
void ls_cmd_encode(const struct ls_cmd *cmd, int server_version, int as_eval, struct ls_buf *out);

#endif
