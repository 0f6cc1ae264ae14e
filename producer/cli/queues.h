/* Queues as commands meet them: names, keys, which of them there are. */
#ifndef LS_CLI_QUEUES_H
#define LS_CLI_QUEUES_H

#include "common/queue/stat.h"
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

/* How a queue stands. Its spans are borrowed until the next command. */
int ls_cli_queue_stat(struct ls_cli *cli, const char *name, struct ls_queue_stat *stat,
                      struct ls_err *err);
/* Send what a function of queue/stat.h built that switches something. */
int ls_cli_switch(struct ls_cli *cli, const struct ls_cmd *cmd, struct ls_queue_switched *was,
                  struct ls_err *err);
/* Who does it and why, as it lies in Redis beside what it did: "cli on web1: deploy". reason may be
 * NULL. */
void ls_cli_by(struct ls_buf *out, const char *reason);

#endif
