/* lockstep config: check the configuration, show the reference of its keys. */
#include <string.h>

#include "common/base/mem.h"
#include "common/record/record.h"
#include "producer/cli/cli.h"

#define MAX_PROBLEMS 200

static int check(struct ls_cli *cli);
static int check_mappings(struct ls_cli *cli, struct ls_config_problem *problems, int count);
static int reference(void);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    int code;

    if (ls_cli_options(cli, NULL, &argc, &argv, &code) < 0)
        return code;
    if (argc == 1 && strcmp(argv[0], "check") == 0)
        return check(cli);
    if (argc == 1 && strcmp(argv[0], "keys") == 0)
        return reference();
    return ls_cli_misused(cli, argc ? "unknown words after 'config'" : "what about the config?");
}

static int check(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {{"LINE", "line", true},
                                               {"COLUMN", "column", true},
                                               {"KIND", "kind", false},
                                               {"PROBLEM", "problem", false},
                                               {"HINT", "hint", false}};
    struct ls_config_problem *problems = ls_xcalloc(MAX_PROBLEMS, sizeof *problems);
    struct ls_err err = LS_ERR_INIT;
    char *file = NULL;
    int errors = 0;
    int count = ls_config_check(cli->config_path, problems, MAX_PROBLEMS, &file, &err);
    const char *name = file ? file : "environment";

    if (count < 0) {
        free(problems);
        return ls_cli_failed(cli, &err);
    }
    for (int i = 0; i < count; i++)
        errors += !problems[i].warning;
    if (!errors) {
        int more = check_mappings(cli, problems, count);

        errors += more;
        count += more;
    }
    if (cli->json) {
        struct ls_table *table = ls_table_new(cli, columns, LS_COUNT(columns));

        for (int i = 0; i < count; i++) {
            ls_table_int(table, problems[i].line);
            ls_table_int(table, problems[i].column);
            ls_table_text(table, problems[i].warning ? "warning" : "error");
            ls_table_text(table, problems[i].text);
            ls_table_text(table, *problems[i].hint ? problems[i].hint : NULL);
        }
        ls_table_print(table, NULL);
    } else {
        for (int i = 0; i < count; i++) {
            if (problems[i].line)
                printf("%s:%d:%d: ", name, problems[i].line, problems[i].column);
            printf("%s%s\n", problems[i].warning ? "warning: " : "", problems[i].text);
            if (*problems[i].hint)
                printf("hint: %s\n", problems[i].hint);
        }
        if (!count && file)
            printf("%s is in order\n", file);
        else if (!count)
            puts("no configuration file: the defaults are in use");
    }
    free(problems);
    free(file);
    return errors ? LS_EXIT_FAILED : LS_EXIT_OK;
}

/* What only the compiled form of a sync shows: a check that does not parse. Problems added. */
static int check_mappings(struct ls_cli *cli, struct ls_config_problem *problems, int count)
{
    const struct ls_config *config = ls_cli_config(cli, NULL);
    int added = 0;

    for (size_t i = 0; config && i < config->sync_count && count + added < MAX_PROBLEMS; i++) {
        struct ls_err err = LS_ERR_INIT;
        struct ls_mapping *mapping = ls_mapping_new(&config->syncs[i], &err);

        if (!mapping) {
            struct ls_config_problem *problem = &problems[count + added++];

            *problem = (struct ls_config_problem){0};
            snprintf(problem->text, sizeof problem->text, "%.399s", err.text);
            snprintf(problem->hint, sizeof problem->hint, "%.199s", err.hint);
        }
        ls_mapping_free(mapping);
    }
    return added;
}

static int reference(void)
{
    struct ls_buf text = {0};

    ls_config_reference(&text);
    fputs(text.data, stdout);
    ls_buf_fini(&text);
    return LS_EXIT_OK;
}

const struct ls_command ls_command_config = {
    "config", "check the configuration, list its keys",
    "usage: lockstep config check    read the file and name every problem with its line\n"
    "       lockstep config keys     all keys with their defaults, as Markdown\n\n"
    "The file is --config, else LOCKSTEP_CONFIG, ./lockstep.yaml, /etc/lockstep/lockstep.yaml.\n",
    run};
