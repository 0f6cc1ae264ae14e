/* Queues as commands meet them: names, keys, which of them there are. */
#ifndef LS_CLI_QUEUES_H
#define LS_CLI_QUEUES_H

#include "common/redis/keys.h"
#include "producer/cli/cli.h"

/* The names of all queues that anybody knows: those of Redis' set, those of the configuration (when
 * there is one), "default". Sorted, each once. -1 with *err. Free with ls_cli_queues_free. */
struct ls_cli_queues {
    char **names;
    size_t count;
};
int ls_cli_queues(struct ls_cli *cli, struct ls_cli_queues *queues, struct ls_err *err);
void ls_cli_queues_free(struct ls_cli_queues *queues);

/* The queue a command works on: `given`, else the account's one (account may be NULL), else
 * "default". NULL with *err when the account's queue had to be looked up and the configuration is
 * broken. Borrowed. */
const char *ls_cli_queue_for(struct ls_cli *cli, const char *given, const char *account,
                             struct ls_err *err);

#endif
