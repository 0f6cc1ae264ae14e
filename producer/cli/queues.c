#include "producer/cli/queues.h"

#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

#define MAX_QUEUES 1000

static void add(struct ls_cli_queues *queues, const char *name, size_t length)
{
    if (queues->count >= MAX_QUEUES || !ls_config_name_valid(name, length))
        return;
    for (size_t i = 0; i < queues->count; i++) {
        if (strlen(queues->names[i]) == length && memcmp(queues->names[i], name, length) == 0)
            return;
    }
    queues->names = ls_xrealloc(queues->names, (queues->count + 1) * sizeof *queues->names);
    queues->names[queues->count++] = ls_xstrndup(name, length);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int ls_cli_queues(struct ls_cli *cli, struct ls_cli_queues *queues, struct ls_err *err)
{
    const struct ls_config *config =
        ls_cli_config_public(cli, NULL); /* LOCKSTEP_REDIS alone will do */
    const struct ls_reply *reply, *name;
    struct ls_cmd cmd = {0};
    int result;

    ls_cmd_start(&cmd, "SMEMBERS");
    ls_cmd_puts(&cmd, LS_KEY_QUEUES);
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result < 0)
        return -1;
    *queues = (struct ls_cli_queues){0};
    add(queues, "default", strlen("default"));
    for (size_t i = 0; config && i < config->queue_count; i++)
        add(queues, config->queues[i].name, strlen(config->queues[i].name));
    for (size_t i = 0; (name = ls_reply_item(reply, i)); i++)
        add(queues, ls_reply_span(name).data, ls_reply_span(name).length);
    qsort(queues->names, queues->count, sizeof *queues->names, by_name);
    return 0;
}

void ls_cli_queues_free(struct ls_cli_queues *queues)
{
    for (size_t i = 0; i < queues->count; i++)
        free(queues->names[i]);
    free(queues->names);
    *queues = (struct ls_cli_queues){0};
}

const char *ls_cli_queue_for(struct ls_cli *cli, const char *given, const char *account,
                             struct ls_err *err)
{
    const struct ls_config_account *found;
    const struct ls_config *config;

    if (given)
        return given;
    if (!account)
        return "default";
    config = ls_cli_config_public(cli, err);
    if (!config)
        return NULL;
    found = ls_config_account_find(config, account);
    return found ? found->queue : "default";
}

int ls_cli_queue_stat(struct ls_cli *cli, const char *name, struct ls_queue_stat *stat,
                      struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_keys keys = {0};
    struct ls_cmd cmd = {0};
    int result;

    if (ls_keys_init(&keys, name, err) < 0)
        return -1;
    ls_queue_stat_build(&cmd, &keys);
    result = ls_cli_send(cli, &cmd, &reply, err);
    if (result == 0)
        result = ls_queue_stat_parse(reply, stat, err);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    return result;
}

int ls_cli_switch(struct ls_cli *cli, const struct ls_cmd *cmd, struct ls_queue_switched *was,
                  struct ls_err *err)
{
    const struct ls_reply *reply;

    if (ls_cli_send(cli, cmd, &reply, err) < 0)
        return -1;
    return ls_queue_switch_parse(reply, was, err);
}

void ls_cli_by(struct ls_buf *out, const char *reason)
{
    char host[65] = "";

    gethostname(host, sizeof host - 1);
    ls_buf_printf(out, "cli on %s%s%.400s", host, reason ? ": " : "", reason ? reason : "");
}
