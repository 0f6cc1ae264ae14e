/* lockstep up: become the pool, in the foreground. */
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/cli/cli.h"
#include "producer/cli/rediscli.h"

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *role = NULL, *timeout = NULL;
    bool until_empty = false;
    const struct ls_cli_option options[] = {{"role", &role, NULL},
                                            {"until-empty", NULL, &until_empty},
                                            {"timeout", &timeout, NULL},
                                            {0}};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_config *config;
    char *words[9] = {NULL}, *line;
    int code, count = 0;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc)
        return ls_cli_misused(cli, "unknown word '%s'", argv[0]);
    if (until_empty && role)
        return ls_cli_misused(cli, "'--until-empty' needs a whole pool: it does not go with "
                                   "'--role'");
    if (timeout && !until_empty)
        return ls_cli_misused(cli, "'--timeout' goes with '--until-empty'");
    if (timeout && ls_cli_duration("--timeout", timeout, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (cli->redis)
        setenv("LOCKSTEP_REDIS", cli->redis, 1);
    config = ls_cli_config(cli, &err); /* says what is wrong before anything is started */
    if (!config)
        return ls_cli_failed(cli, &err);
    line = ls_cli_redis_line(cli, &err);
    if (!line)
        return ls_cli_failed(cli, &err);
    ls_cli_note(cli, "pool of %lld runners, %s", (long long)config->runners,
                config->path ? config->path : "without a configuration file");
    ls_cli_note(cli, "its Redis: %s", line);
    ls_cli_note(cli, until_empty ? "it ends when nothing is left to do; Ctrl-C ends it before"
                                 : "stop it with Ctrl-C");
    words[count++] = ls_cli_sibling(cli, "lockstep-worker");
    if (config->path) {
        words[count++] = ls_xstrdup("--config");
        words[count++] = ls_xstrdup(config->path);
    }
    if (role) {
        words[count++] = ls_xstrdup("--role");
        words[count++] = ls_xstrdup(role);
    }
    if (until_empty)
        words[count++] = ls_xstrdup("--until-empty");
    if (timeout) {
        words[count++] = ls_xstrdup("--timeout");
        words[count++] = ls_xstrdup(timeout);
    }
    execvp(words[0], words);
    ls_fail_errno(&err, "cannot run '%s'", words[0]);
    ls_hint(&err, "it belongs beside this program");
    for (int i = 0; i < count; i++)
        free(words[i]);
    free(line);
    return ls_cli_failed(cli, &err);
}

const struct ls_command ls_command_up = {
    "up", "run the whole pool here, until Ctrl-C",
    "usage: lockstep up [--config FILE] [--role ROLE]\n"
    "       lockstep up --until-empty [--timeout TIME] [--config FILE]\n\n"
    "Starts lockstep-worker in the foreground, with its own Redis when the configuration says\n"
    "'redis: embedded' (the default), and prints the redis-cli line that reaches it.\n"
    "--role runner|scheduler|relay|admin starts one part only.\n"
    "--until-empty, for test suites and batches: works until nothing waits, runs or is to be\n"
    "tried again, then ends: exit 0, or 1 when jobs died meanwhile. --timeout ends it then in\n"
    "any case (exit 1, what is left is named); jobs scheduled for later than that are not\n"
    "waited for. Schedules do not keep it going.\n",
    run};
