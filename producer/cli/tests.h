/* Connections of the configuration, tried one by one: what `init` shows and `doctor` asks. Each
 * blocks for at most some seconds. */
#ifndef LS_CLI_TESTS_H
#define LS_CLI_TESTS_H

#include "producer/cli/cli.h"

/* Each: 0 and a sentence of evidence; -1 with *err. */

/* The embedded Redis can be started (a redis-server that is new enough, a directory to write to)
 * or, when it runs or is not embedded, answers and may hold jobs. */
int ls_test_redis(struct ls_cli *cli, const struct ls_config *config, char evidence[256],
                  struct ls_err *err);
/* The database is there and is one, and lockstep may write beside it. */
int ls_test_store(const struct ls_config *config, char evidence[256], struct ls_err *err);
/* The platform answers and lets us in: with the mapping of the account's first sync. */
int ls_test_account(const struct ls_config *config, const struct ls_config_account *account,
                    char evidence[256], struct ls_err *err);
/* The address is free, or our own server holds it. */
int ls_test_admin(const struct ls_config *config, char evidence[256], struct ls_err *err);
/* The command exists and may be run; URLs are not called. */
int ls_test_sink(const struct ls_config_sink *sink, char evidence[256], struct ls_err *err);
/* The log can be written. */
int ls_test_log(const struct ls_config *config, char evidence[256], struct ls_err *err);

#endif
