/* lockstep queue: how the queues stand; pause and resume. */
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/queue/stat.h"
#include "producer/cli/queues.h"

static int list(struct ls_cli *cli);
static int show(struct ls_cli *cli, const char *name);
static int pause_queue(struct ls_cli *cli, const char *name, const char *reason, bool pause);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *reason = NULL;
    const struct ls_cli_option options[] = {{"reason", &reason, NULL}, {0}};
    const char *verb, *name;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    verb = argc ? argv[0] : "list";
    name = argc > 1 ? argv[1] : "default";
    if (argc > 2)
        return ls_cli_misused(cli, "one queue at a time");
    if (strcmp(verb, "list") == 0 && argc < 2)
        return list(cli);
    if (strcmp(verb, "show") == 0)
        return show(cli, name);
    if ((strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0) && argc < 2)
        return ls_cli_misused(cli, "which queue?");
    if (strcmp(verb, "pause") == 0)
        return pause_queue(cli, name, reason, true);
    if (strcmp(verb, "resume") == 0)
        return pause_queue(cli, name, NULL, false);
    return ls_cli_misused(cli, "unknown word '%s'", verb);
}

static int get(struct ls_cli *cli, const char *name, struct ls_queue_stat *stat, struct ls_err *err)
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

static int list(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {
        {"QUEUE", "queue", false},     {"WAITING", "waiting", true}, {"RUNNING", "running", true},
        {"DELAYED", "delayed", true},  {"DEAD", "dead", true},       {"WORKERS", "workers", true},
        {"OLDEST", "oldest_ms", true}, {"PAUSED", "paused", false},
    };
    struct ls_cli_queues queues;
    struct ls_err err = LS_ERR_INIT;
    struct ls_table *table;

    if (ls_cli_queues(cli, &queues, &err) < 0)
        return ls_cli_failed(cli, &err);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < queues.count; i++) {
        struct ls_queue_stat stat;

        if (get(cli, queues.names[i], &stat, &err) < 0) {
            ls_table_free(table);
            ls_cli_queues_free(&queues);
            return ls_cli_failed(cli, &err);
        }
        ls_table_text(table, queues.names[i]);
        ls_table_int(table, stat.pending_high + stat.pending + stat.pending_low);
        ls_table_int(table, stat.running);
        ls_table_int(table, stat.delayed + stat.reserved);
        ls_table_int(table, stat.dead);
        ls_table_int(table, stat.workers);
        ls_table_duration(table, stat.oldest_ms);
        ls_table_bool(table, stat.paused);
    }
    ls_table_print(table, NULL);
    ls_cli_queues_free(&queues);
    return LS_EXIT_OK;
}

/* What show tells, in its order; JSON has the same as the members of one object. */
static void print_object(const char *name, const struct ls_queue_stat *stat)
{
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"waiting_high", stat->pending_high},
        {"waiting", stat->pending},
        {"waiting_low", stat->pending_low},
        {"running", stat->running},
        {"delayed", stat->delayed},
        {"waiting_for_budget", stat->reserved},
        {"dead", stat->dead},
        {"dead_groups", stat->dead_groups},
        {"keys", stat->keyed},
        {"workers", stat->workers},
        {"workers_expired", stat->workers_expired},
        {"bound", stat->bound},
        {"oldest_ms", stat->oldest_ms},
        {"next_due_ms", stat->next_due_ms},
    };
    struct ls_buf out = {0};

    ls_buf_puts(&out, "{\"queue\": ");
    ls_buf_json_string(&out, name, strlen(name));
    for (size_t i = 0; i < LS_COUNT(numbers); i++) {
        if (numbers[i].value < 0) /* there is none */
            ls_buf_printf(&out, ", \"%s\": null", numbers[i].key);
        else
            ls_buf_printf(&out, ", \"%s\": %lld", numbers[i].key, (long long)numbers[i].value);
    }
    ls_buf_printf(&out, ", \"paused\": %s, \"paused_by\": ", stat->paused ? "true" : "false");
    if (stat->paused)
        ls_buf_json_string(&out, stat->paused_by.data, stat->paused_by.length);
    else
        ls_buf_puts(&out, "null");
    ls_buf_puts(&out, ", \"totals\": {");
    for (size_t i = 0; i < stat->counter_count; i++) {
        struct ls_span counter = ls_reply_span(&stat->counters[2 * i]);

        ls_buf_puts(&out, i ? ", " : "");
        ls_buf_json_string(&out, counter.data, counter.length);
        ls_buf_printf(&out, ": %lld", (long long)ls_reply_int(&stat->counters[2 * i + 1], 0));
    }
    ls_buf_puts(&out, "}}");
    puts(out.data);
    ls_buf_fini(&out);
}

static void row(struct ls_table *table, const char *name, int64_t value)
{
    ls_table_text(table, name);
    ls_table_int(table, value);
}

static int show(struct ls_cli *cli, const char *name)
{
    static const struct ls_column columns[] = {{"WHAT", NULL, false}, {"VALUE", NULL, true}};
    struct ls_queue_stat stat;
    struct ls_err err = LS_ERR_INIT;
    struct ls_table *table;

    if (get(cli, name, &stat, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (cli->json) {
        print_object(name, &stat);
        return LS_EXIT_OK;
    }
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    row(table, "waiting, high", stat.pending_high);
    row(table, "waiting, normal", stat.pending);
    row(table, "waiting, low", stat.pending_low);
    ls_table_text(table, "oldest waiting");
    ls_table_duration(table, stat.oldest_ms);
    row(table, "running", stat.running);
    row(table, "delayed", stat.delayed);
    row(table, "waiting for budget", stat.reserved);
    ls_table_text(table, "next due in");
    ls_table_duration(table, stat.next_due_ms);
    row(table, "dead", stat.dead);
    row(table, "dead, groups", stat.dead_groups);
    row(table, "keys in use", stat.keyed);
    row(table, "workers", stat.workers);
    row(table, "workers, lease ran out", stat.workers_expired);
    row(table, "bound on waiting", stat.bound);
    ls_table_text(table, "paused");
    ls_table_bool(table, stat.paused);
    if (stat.paused) {
        ls_table_text(table, "paused by");
        ls_table_span(table, stat.paused_by.data, stat.paused_by.length);
    }
    for (size_t i = 0; i + 1 < 2 * stat.counter_count; i += 2) {
        struct ls_span counter = ls_reply_span(&stat.counters[i]);
        struct ls_buf title = {0};

        ls_buf_printf(&title, "total %.*s", LS_SPAN_ARG(counter));
        ls_table_text(table, title.data);
        ls_table_int(table, ls_reply_int(&stat.counters[i + 1], 0));
        ls_buf_fini(&title);
    }
    ls_table_print(table, NULL);
    return LS_EXIT_OK;
}

static int pause_queue(struct ls_cli *cli, const char *name, const char *reason, bool pause)
{
    struct ls_err err = LS_ERR_INIT;
    const struct ls_reply *reply;
    struct ls_keys keys = {0};
    struct ls_buf by = {0};
    struct ls_cmd cmd = {0};
    char host[65] = "";
    bool was = false;
    int result;

    if (ls_keys_init(&keys, name, &err) < 0)
        return ls_cli_failed(cli, &err);
    gethostname(host, sizeof host - 1);
    ls_buf_printf(&by, "cli on %s%s%s", host, reason ? ": " : "", reason ? reason : "");
    if (pause)
        ls_queue_pause_build(&cmd, &keys, (struct ls_span){by.data, by.length});
    else
        ls_queue_resume_build(&cmd, &keys);
    result = ls_cli_send(cli, &cmd, &reply, &err);
    if (result == 0)
        result = ls_queue_pause_parse(reply, &was, &err);
    if (result == 0 && cli->json)
        printf("{\"queue\": \"%s\", \"paused\": %s, \"was_paused\": %s}\n", name,
               pause ? "true" : "false", was ? "true" : "false");
    else if (result == 0)
        printf("queue %s %s\n", name,
               pause
                   ? (was ? "was paused already" : "is paused: what runs goes on, pushes are taken")
                   : (was ? "goes on" : "was not paused"));
    ls_buf_fini(&by);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

const struct ls_command ls_command_queue = {"queue", "how the queues stand; pause and resume them",
                                            "usage: lockstep queue list\n"
                                            "       lockstep queue show [QUEUE]\n"
                                            "       lockstep queue pause QUEUE [--reason TEXT]\n"
                                            "       lockstep queue resume QUEUE\n",
                                            run};
