/* The line that reaches our Redis with redis-cli. */
#ifndef LS_CLI_REDISCLI_H
#define LS_CLI_REDISCLI_H

#include "producer/cli/cli.h"

/* "redis-cli -s /path/redis.sock", quoted for a shell, without the password. The caller frees; NULL
 * with *err. */
char *ls_cli_redis_line(struct ls_cli *cli, struct ls_err *err);

#endif
