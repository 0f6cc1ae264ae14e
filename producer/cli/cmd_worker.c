/* lockstep worker: who claims jobs; taking a process out of service. */
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/worker.h"
#include "producer/cli/queues.h"

struct seen {
    char name[LS_WORKER_ID_SIZE];
    char *quiet; /* owned: who made it quiet and why; NULL: it is not */
    int64_t left_ms, claims;
};

/* The workers of one queue. */
struct crew {
    struct ls_keys keys;
    struct seen *seen;
    size_t count;
};

static int list(struct ls_cli *cli, const char *queue);
static int quiet(struct ls_cli *cli, const char *process, const char *reason);
static int resume(struct ls_cli *cli, const char *process);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *queue = NULL, *reason = NULL, *verb, *process;
    bool all = false;
    const struct ls_cli_option options[] = {
        {"queue", &queue, NULL}, {"reason", &reason, NULL}, {"all", NULL, &all}, {0}};
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    verb = argc ? argv[0] : "list";
    process = argc > 1 ? argv[1] : NULL;
    if (argc > 2)
        return ls_cli_misused(cli, "unknown word '%s'", argv[2]);
    if (strcmp(verb, "list") == 0 && !process && !all && !reason)
        return list(cli, queue);
    if (strcmp(verb, "quiet") != 0 && strcmp(verb, "resume") != 0)
        return ls_cli_misused(cli, "unknown word '%s'", argv[argc - 1]);
    if (queue)
        return ls_cli_misused(cli, "a process is quiet in all its queues: '--queue' does not go "
                                   "with it");
    if ((process != NULL) == all || (process && !*process))
        return ls_cli_misused(cli, "which process? <host>-<pid> as 'worker list' shows it, or "
                                   "'--all'");
    return strcmp(verb, "quiet") == 0 ? quiet(cli, process, reason) : resume(cli, process);
}

/* ---- looking ---- */

static void crew_fini(struct crew *crew)
{
    for (size_t i = 0; i < crew->count; i++)
        free(crew->seen[i].quiet);
    free(crew->seen);
    ls_keys_fini(&crew->keys);
    *crew = (struct crew){0};
}

/* Their names and leases. */
static int read_names(struct ls_cli *cli, struct crew *crew, struct ls_cmd *cmd, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_worker_list rows;

    ls_worker_list_build(cmd, &crew->keys);
    if (ls_cli_send(cli, cmd, &reply, err) < 0 || ls_worker_list_parse(reply, &rows, err) < 0)
        return -1;
    crew->seen = ls_xcalloc(rows.count ? rows.count : 1, sizeof *crew->seen);
    for (size_t i = 0; i < rows.count; i++) {
        struct ls_worker_row row = ls_worker_list_row(&rows, i);

        if (row.worker.length >= LS_WORKER_ID_SIZE)
            continue;
        snprintf(crew->seen[crew->count].name, LS_WORKER_ID_SIZE, "%.*s", LS_SPAN_ARG(row.worker));
        crew->seen[crew->count++].left_ms = row.left_ms;
    }
    return 0;
}

/* Who is quiet; marks of processes that are gone are swept on the way. */
static int read_quiet(struct ls_cli *cli, struct crew *crew, struct ls_cmd *cmd, struct ls_err *err)
{
    const struct ls_reply *reply, *field, *value;
    struct ls_queue_switched was;
    bool gone = false;

    ls_cmd_start(cmd, "HGETALL");
    ls_cmd_puts(cmd, crew->keys.control);
    if (ls_cli_send(cli, cmd, &reply, err) < 0)
        return -1;
    for (size_t i = 0; (field = ls_reply_item(reply, i)) && (value = ls_reply_item(reply, i + 1));
         i += 2) {
        struct ls_span process = ls_queue_quiet_field(ls_reply_span(field));
        bool here = false;

        for (size_t n = 0; n < crew->count && process.length; n++) {
            struct seen *seen = &crew->seen[n];

            if (!ls_span_equal(ls_worker_place(seen->name), process))
                continue;
            here = true;
            seen->quiet = ls_xstrndup(ls_reply_span(value).data, ls_reply_span(value).length);
        }
        gone = gone || (process.length && !here);
    }
    if (!gone)
        return 0;
    ls_queue_quiet_sweep_build(cmd, &crew->keys);
    return ls_cli_switch(cli, cmd, &was, err);
}

/* The caller ends it with crew_fini in any case. */
static int read_crew(struct ls_cli *cli, const char *queue, struct crew *crew, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result;

    *crew = (struct crew){0};
    if (ls_keys_init(&crew->keys, queue, err) < 0)
        return -1;
    result = read_names(cli, crew, &cmd, err);
    if (result == 0)
        result = read_quiet(cli, crew, &cmd, err);
    for (size_t i = 0; i < crew->count && result == 0; i++) {
        ls_worker_claims_count_build(&cmd, &crew->keys, crew->seen[i].name);
        result = ls_cli_send(cli, &cmd, &reply, err);
        if (result == 0)
            crew->seen[i].claims = ls_reply_int(reply, 0);
    }
    ls_cmd_fini(&cmd);
    return result;
}

static void add_rows(struct ls_table *table, const struct crew *crew)
{
    for (size_t i = 0; i < crew->count; i++) {
        const struct seen *seen = &crew->seen[i];

        ls_table_text(table, seen->name);
        ls_table_text(table, crew->keys.queue);
        ls_table_int(table, seen->claims);
        if (seen->left_ms < 0)
            ls_table_both(table, "ran out", "0");
        else
            ls_table_duration(table, seen->left_ms);
        ls_table_text(table, seen->quiet);
    }
}

static int list(struct ls_cli *cli, const char *queue)
{
    static const struct ls_column columns[] = {{"WORKER", "worker", false, true},
                                               {"QUEUE", "queue", false},
                                               {"RUNNING", "running", true},
                                               {"LEASE", "lease_left_ms", true},
                                               {"QUIET", "quiet", false}};
    struct ls_err err = LS_ERR_INIT;
    struct ls_cli_queues queues;
    struct ls_table *table;
    int result = 0;

    if (ls_cli_queues(cli, &queues, &err) < 0)
        return ls_cli_failed(cli, &err);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < queues.count && result == 0; i++) {
        struct crew crew;

        if (queue && strcmp(queue, queues.names[i]) != 0)
            continue;
        result = read_crew(cli, queues.names[i], &crew, &err);
        if (result == 0)
            add_rows(table, &crew);
        crew_fini(&crew);
    }
    ls_cli_queues_free(&queues);
    if (result < 0) {
        ls_table_free(table);
        return ls_cli_failed(cli, &err);
    }
    ls_table_print(table, "no workers: start a pool with 'lockstep up'");
    return LS_EXIT_OK;
}

/* ---- out of service and back ---- */

/* Is this worker one of the process that was named: by host and pid, or by its whole name? */
static bool is_meant(const struct seen *seen, const char *process)
{
    return !process || strcmp(seen->name, process) == 0 ||
           ls_span_is(ls_worker_place(seen->name), process);
}

/* How many of the queue's workers are quiet now, and how many claims they still hold. */
static int quiet_in(struct ls_cli *cli, const struct crew *crew, const char *process,
                    struct ls_span by, int64_t *workers, int64_t *claims, struct ls_err *err)
{
    struct ls_queue_switched was;
    struct ls_cmd cmd = {0};
    int result = 0;

    for (size_t i = 0; i < crew->count && result == 0; i++) {
        const struct seen *seen = &crew->seen[i];

        if (!is_meant(seen, process))
            continue;
        ls_queue_quiet_build(&cmd, &crew->keys, ls_worker_place(seen->name), by);
        result = ls_cli_switch(cli, &cmd, &was, err);
        ++*workers;
        *claims += seen->claims;
    }
    ls_cmd_fini(&cmd);
    return result;
}

static int quiet(struct ls_cli *cli, const char *process, const char *reason)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_cli_queues queues;
    struct ls_buf by = {0};
    int64_t workers = 0, claims = 0;
    int result = 0;

    if (ls_cli_queues(cli, &queues, &err) < 0)
        return ls_cli_failed(cli, &err);
    ls_cli_by(&by, reason);
    for (size_t i = 0; i < queues.count && result == 0; i++) {
        struct crew crew;

        result = read_crew(cli, queues.names[i], &crew, &err);
        if (result == 0)
            result = quiet_in(cli, &crew, process, (struct ls_span){by.data, by.length}, &workers,
                              &claims, &err);
        crew_fini(&crew);
    }
    ls_cli_queues_free(&queues);
    ls_buf_fini(&by);
    if (result == 0 && !workers) {
        result = process ? ls_fail(&err, LS_E_NOT_FOUND, "no worker '%.100s'", process)
                         : ls_fail(&err, LS_E_NOT_FOUND, "there are no workers");
        ls_hint(&err, "'lockstep worker list' shows who is there");
    }
    if (result < 0)
        return ls_cli_failed(cli, &err);
    if (cli->json)
        printf("{\"workers\": %lld, \"running\": %lld}\n", (long long)workers, (long long)claims);
    else
        printf("%lld workers are quiet: they claim nothing more; %lld jobs still run\n",
               (long long)workers, (long long)claims);
    return LS_EXIT_OK;
}

/* Also processes that are gone: their marks go. */
static int resume(struct ls_cli *cli, const char *word)
{
    struct ls_span process = ls_span_of(word);
    struct ls_span whole = word ? ls_worker_place(word) : process;
    struct ls_err err = LS_ERR_INIT;
    struct ls_cli_queues queues;
    struct ls_cmd cmd = {0};
    int64_t changed = 0;
    int result = 0;

    if (ls_cli_queues(cli, &queues, &err) < 0)
        return ls_cli_failed(cli, &err);
    for (size_t i = 0; i < queues.count && result == 0; i++) {
        struct ls_queue_switched was = {0};
        struct ls_keys keys;

        result = ls_keys_init(&keys, queues.names[i], &err);
        if (result < 0)
            break;
        ls_queue_unquiet_build(&cmd, &keys, process);
        result = ls_cli_switch(cli, &cmd, &was, &err);
        changed += was.quiet;
        if (result == 0 && !was.quiet && whole.length) { /* a worker's whole name */
            ls_queue_unquiet_build(&cmd, &keys, whole);
            result = ls_cli_switch(cli, &cmd, &was, &err);
            changed += was.quiet;
        }
        ls_keys_fini(&keys);
    }
    ls_cmd_fini(&cmd);
    ls_cli_queues_free(&queues);
    if (result < 0)
        return ls_cli_failed(cli, &err);
    if (cli->json)
        printf("{\"resumed\": %lld}\n", (long long)changed);
    else if (changed)
        printf("%lld marks of quiet processes are gone: they claim again\n", (long long)changed);
    else
        puts(word ? "was not quiet" : "nobody was quiet");
    return LS_EXIT_OK;
}

const struct ls_command ls_command_worker = {
    "worker", "who claims jobs; quiet one before it is stopped",
    "usage: lockstep worker list [--queue Q]\n"
    "       lockstep worker quiet HOST-PID|--all [--reason TEXT]\n"
    "       lockstep worker resume HOST-PID|--all\n\n"
    "A worker is one connection of a runner (or of the scheduler, which settles for the dead).\n"
    "LEASE is what its lease has left; it is renewed with every turn.\n"
    "'quiet' takes a process out of service: it claims nothing more and ends what it has;\n"
    "'resume' ends that. HOST-PID is how the worker's name begins. A process that is started\n"
    "anew is not quiet.\n",
    run};
