/* lockstep up: become the pool, in the foreground. */
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/cli/cli.h"
#include "producer/cli/rediscli.h"

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *role = NULL;
    const struct ls_cli_option options[] = {{"role", &role, NULL}, {0}};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_config *config;
    char *words[6] = {NULL}, *line;
    int code, count = 0;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc)
        return ls_cli_misused(cli, "unknown word '%s'", argv[0]);
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
    ls_cli_note(cli, "stop it with Ctrl-C");
    words[count++] = ls_cli_sibling(cli, "lockstep-worker");
    if (config->path) {
        words[count++] = ls_xstrdup("--config");
        words[count++] = ls_xstrdup(config->path);
    }
    if (role) {
        words[count++] = ls_xstrdup("--role");
        words[count++] = ls_xstrdup(role);
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
    "usage: lockstep up [--config FILE] [--role ROLE]\n\n"
    "Starts lockstep-worker in the foreground, with its own Redis when the configuration says\n"
    "'redis: embedded' (the default), and prints the redis-cli line that reaches it.\n"
    "--role runner|scheduler|relay|admin starts one part only.\n",
    run};
