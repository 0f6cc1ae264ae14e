/* lockstep queue drain: close a queue, then watch until nothing waits or runs in it. */
#ifndef LS_CLI_QUEUE_DRAIN_H
#define LS_CLI_QUEUE_DRAIN_H

#include "producer/cli/cli.h"

/* timeout, reason: as written; NULL: the default, none. all: wait for delayed jobs, too. */
int ls_cli_queue_drain(struct ls_cli *cli, const char *name, const char *timeout,
                       const char *reason, bool all);

#endif
