/* lockstep: reads the global options, finds the command, nothing else. */
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/config/value.h"
#include "producer/cli/cli.h"
#include "producer/cli/commands.h"

#define COMMAND(name) extern const struct ls_command ls_command_##name;
#define GROUP(title)
#include "producer/cli/commands.def"
#undef COMMAND
#undef GROUP

struct row {
    const char *group; /* a heading: no command */
    const struct ls_command *command;
};

#define COMMAND(name) {NULL, &ls_command_##name},
#define GROUP(title) {title, NULL},
static const struct row rows[] = {
#include "producer/cli/commands.def"
};
#undef COMMAND
#undef GROUP

static int show_help(int argc, char **argv);
static int unknown_command(struct ls_cli *cli, const char *name);
static void find_terminal(struct ls_cli *cli);

const struct ls_command *ls_cli_command_find(const char *name)
{
    for (size_t i = 0; i < LS_COUNT(rows); i++) {
        if (rows[i].command && strcmp(rows[i].command->name, name) == 0)
            return rows[i].command;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct ls_cli cli = {.program = argv[0]};
    const struct ls_command *command;
    int first = 1, result;

    signal(SIGPIPE, SIG_IGN);
    find_terminal(&cli);
    /* Global options may stand before the command, too. */
    while (first < argc && argv[first][0] == '-') {
        const char *option = argv[first];

        if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0)
            return show_help(0, NULL);
        if (strcmp(option, "--version") == 0) {
            printf("lockstep %s\n", LOCKSTEP_VERSION);
            return LS_EXIT_OK;
        }
        if (strcmp(option, "--json") == 0) {
            cli.json = true;
        } else if (strcmp(option, "--quiet") == 0) {
            cli.quiet = true;
        } else if (strcmp(option, "--config") == 0 && first + 1 < argc) {
            cli.config_path = argv[++first];
        } else if (strncmp(option, "--config=", 9) == 0) {
            cli.config_path = option + 9;
        } else if (strcmp(option, "--redis") == 0 && first + 1 < argc) {
            cli.redis = argv[++first];
        } else if (strncmp(option, "--redis=", 8) == 0) {
            cli.redis = option + 8;
        } else {
            return ls_cli_misused(&cli, "unknown option '%s'", option);
        }
        first++;
    }
    if (first == argc)
        return show_help(0, NULL);
    if (strcmp(argv[first], "help") == 0)
        return show_help(argc - first - 1, argv + first + 1);
    command = ls_cli_command_find(argv[first]);
    if (!command)
        return unknown_command(&cli, argv[first]);
    cli.command = command;
    result = command->run(&cli, argc - first, argv + first);
    ls_redis_sync_close(cli.redis_open);
    ls_config_free(cli.config_loaded);
    ls_config_free(cli.config_public);
    if (fflush(stdout) != 0 || ferror(stdout)) /* a full disk must not look like success */
        return result ? result : LS_EXIT_FAILED;
    return result;
}

static int show_help(int argc, char **argv)
{
    if (argc > 0) {
        const struct ls_command *command = ls_cli_command_find(argv[0]);
        struct ls_cli cli = {0};

        if (!command)
            return unknown_command(&cli, argv[0]);
        fputs(command->usage, stdout);
        return LS_EXIT_OK;
    }
    puts("lockstep keeps an application's database in step with its shops and sites.\n\n"
         "usage: lockstep COMMAND [WORDS] [--config FILE] [--redis URL] [--json] [--quiet]");
    for (size_t i = 0; i < LS_COUNT(rows); i++) {
        if (rows[i].group)
            printf("\n%s\n", rows[i].group);
        else
            printf("  %-10s %s\n", rows[i].command->name, rows[i].command->summary);
    }
    puts("\n'lockstep help COMMAND' tells more. LOCKSTEP_REDIS=URL is enough to push and to look.");
    return LS_EXIT_OK;
}

/* Commands that a build without SQLite lacks. */
static bool is_left_out(const char *name)
{
    static const char *const names[] = {
#ifndef LOCKSTEP_WITH_SQLITE
        "store", "sync", "backfill", "verify", "explain",
#endif
        NULL};

    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static int unknown_command(struct ls_cli *cli, const char *name)
{
    const char *words[LS_COUNT(rows) + 1] = {NULL};
    const char *near;
    size_t count = 0;

    for (size_t i = 0; i < LS_COUNT(rows); i++) {
        if (rows[i].command)
            words[count++] = rows[i].command->name;
    }
    if (is_left_out(name)) {
        fprintf(stderr,
                "lockstep: '%s' is left out of this build: it has no stores\n"
                "hint: install libsqlite3-dev and build again\n",
                name);
        return LS_EXIT_FAILED;
    }
    near = ls_config_nearest(name, words);
    fprintf(stderr, "lockstep: unknown command '");
    ls_cli_print_safe(stderr, name, strlen(name));
    fprintf(stderr, "'\nhint: ");
    if (near)
        fprintf(stderr, "did you mean 'lockstep %s'?\n", near);
    else
        fprintf(stderr, "'lockstep help' lists the commands\n");
    return LS_EXIT_USAGE;
}

static void find_terminal(struct ls_cli *cli)
{
    struct winsize size;
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

    if (!isatty(STDOUT_FILENO))
        return;
    cli->width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    cli->color = (!no_color || !*no_color) && term && strcmp(term, "dumb") != 0;
}
