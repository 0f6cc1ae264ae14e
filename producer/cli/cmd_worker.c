/* lockstep worker: who claims jobs. */
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/worker.h"
#include "producer/cli/queues.h"

struct seen {
    char name[LS_WORKER_ID_SIZE];
    int64_t left_ms, claims;
};

/* The workers of one queue with what they hold; the caller frees. -1 with *err. */
static int collect(struct ls_cli *cli, const struct ls_keys *keys, struct seen **out, size_t *count,
                   struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_worker_list list;
    struct ls_cmd cmd = {0};
    int result;

    *out = NULL;
    *count = 0;
    ls_worker_list_build(&cmd, keys);
    result = ls_cli_send(cli, &cmd, &reply, err);
    if (result < 0 || ls_worker_list_parse(reply, &list, err) < 0) {
        ls_cmd_fini(&cmd);
        return -1;
    }
    *out = ls_xcalloc(list.count ? list.count : 1, sizeof **out);
    for (size_t i = 0; i < list.count; i++) {
        struct ls_worker_row row = ls_worker_list_row(&list, i);

        if (row.worker.length >= LS_WORKER_ID_SIZE)
            continue;
        snprintf((*out)[*count].name, LS_WORKER_ID_SIZE, "%.*s", LS_SPAN_ARG(row.worker));
        (*out)[(*count)++].left_ms = row.left_ms;
    }
    for (size_t i = 0; i < *count && result == 0; i++) {
        ls_worker_claims_count_build(&cmd, keys, (*out)[i].name);
        result = ls_cli_send(cli, &cmd, &reply, err);
        if (result == 0)
            (*out)[i].claims = ls_reply_int(reply, 0);
    }
    ls_cmd_fini(&cmd);
    return result;
}

static int run(struct ls_cli *cli, int argc, char **argv)
{
    static const struct ls_column columns[] = {{"WORKER", "worker", false},
                                               {"QUEUE", "queue", false},
                                               {"RUNNING", "running", true},
                                               {"LEASE", "lease_left_ms", true}};
    const char *queue = NULL;
    const struct ls_cli_option options[] = {{"queue", &queue, NULL}, {0}};
    struct ls_err err = LS_ERR_INIT;
    struct ls_cli_queues queues;
    struct ls_table *table;
    int code, result = 0;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc > 1 || (argc == 1 && strcmp(argv[0], "list") != 0))
        return ls_cli_misused(cli, "unknown word '%s'", argv[argc - 1]);
    if (ls_cli_queues(cli, &queues, &err) < 0)
        return ls_cli_failed(cli, &err);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < queues.count && result == 0; i++) {
        struct ls_keys keys = {0};
        struct seen *seen = NULL;
        size_t count = 0;

        if (queue && strcmp(queue, queues.names[i]) != 0)
            continue;
        result = ls_keys_init(&keys, queues.names[i], &err);
        if (result == 0)
            result = collect(cli, &keys, &seen, &count, &err);
        for (size_t n = 0; n < count && result == 0; n++) {
            ls_table_text(table, seen[n].name);
            ls_table_text(table, queues.names[i]);
            ls_table_int(table, seen[n].claims);
            if (seen[n].left_ms < 0)
                ls_table_both(table, "ran out", "0");
            else
                ls_table_duration(table, seen[n].left_ms);
        }
        free(seen);
        ls_keys_fini(&keys);
    }
    ls_cli_queues_free(&queues);
    if (result < 0) {
        ls_table_free(table);
        return ls_cli_failed(cli, &err);
    }
    ls_table_print(table, "no workers: start a pool with 'lockstep up'");
    return LS_EXIT_OK;
}

const struct ls_command ls_command_worker = {
    "worker", "who claims jobs",
    "usage: lockstep worker list [--queue Q]\n\n"
    "A worker is one connection of a runner (or of the scheduler, which settles for the dead).\n"
    "LEASE is what its lease has left; it is renewed with every turn.\n",
    run};
