/* The table of commands by name, for help. */
#ifndef LS_CLI_COMMANDS_H
#define LS_CLI_COMMANDS_H

#include "producer/cli/cli.h"

/* NULL when there is none. */
const struct ls_command *ls_cli_command_find(const char *name);

#endif
