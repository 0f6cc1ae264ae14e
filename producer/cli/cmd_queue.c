/* lockstep queue: how the queues stand; pause, drain and resume. */
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/stat.h"
#include "producer/cli/queues.h"
#include "producer/cli/queue_drain.h"

static int list(struct ls_cli *cli);
static int show(struct ls_cli *cli, const char *name);
static int pause_queue(struct ls_cli *cli, const char *name, const char *reason, bool pause);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *reason = NULL, *timeout = NULL;
    bool all = false;
    const struct ls_cli_option options[] = {
        {"reason", &reason, NULL}, {"timeout", &timeout, NULL}, {"all", NULL, &all}, {0}};
    const char *verb, *name;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    verb = argc ? argv[0] : "list";
    name = argc > 1 ? argv[1] : "default";
    if (argc > 2)
        return ls_cli_misused(cli, "one queue at a time");
    if ((timeout || all) && strcmp(verb, "drain") != 0)
        return ls_cli_misused(cli, "'--timeout' and '--all' go with 'queue drain'");
    if (strcmp(verb, "list") == 0 && argc < 2)
        return list(cli);
    if (strcmp(verb, "show") == 0)
        return show(cli, name);
    if (strcmp(verb, "pause") != 0 && strcmp(verb, "resume") != 0 && strcmp(verb, "drain") != 0)
        return ls_cli_misused(cli, "unknown word '%s'", verb);
    if (argc < 2)
        return ls_cli_misused(cli, "which queue?");
    if (strcmp(verb, "drain") == 0)
        return ls_cli_queue_drain(cli, name, timeout, reason, all);
    return pause_queue(cli, name, reason, strcmp(verb, "pause") == 0);
}

/* "paused", "being drained", ...; "" when it works. */
static void describe(const struct ls_queue_stat *stat, struct ls_buf *out)
{
    const struct {
        bool is;
        const char *word;
    } words[] = {{stat->paused, "paused"},
                 {stat->closed, "drained"},
                 {!stat->paused && stat->blocked, "dead list full"}};

    ls_buf_clear(out);
    for (size_t i = 0; i < LS_COUNT(words); i++) {
        if (words[i].is)
            ls_buf_printf(out, "%s%s", out->length ? ", " : "", words[i].word);
    }
}

static int list(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {
        {"QUEUE", "queue", false},    {"WAITING", "waiting", true},  {"HELD", "held", true},
        {"RUNNING", "running", true}, {"DELAYED", "delayed", true},  {"DEAD", "dead", true},
        {"WORKERS", "workers", true}, {"OLDEST", "oldest_ms", true}, {"STATE", NULL, false},
        {NULL, "paused", false},      {NULL, "closed", false},
    };
    struct ls_cli_queues queues;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf state = {0};
    struct ls_table *table;
    int result = 0;

    if (ls_cli_queues(cli, &queues, &err) < 0)
        return ls_cli_failed(cli, &err);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < queues.count && result == 0; i++) {
        struct ls_queue_stat stat;

        result = ls_cli_queue_stat(cli, queues.names[i], &stat, &err);
        if (result < 0)
            break;
        describe(&stat, &state);
        ls_table_text(table, queues.names[i]);
        ls_table_int(table, stat.pending_high + stat.pending + stat.pending_low);
        ls_table_int(table, stat.held);
        ls_table_int(table, stat.running);
        ls_table_int(table, stat.delayed + stat.reserved);
        ls_table_int(table, stat.dead);
        ls_table_int(table, stat.workers);
        ls_table_duration(table, stat.oldest_ms);
        ls_table_text(table, state.length ? state.data : NULL);
        ls_table_bool(table, stat.paused);
        ls_table_bool(table, stat.closed);
    }
    ls_buf_fini(&state);
    ls_cli_queues_free(&queues);
    if (result < 0) {
        ls_table_free(table);
        return ls_cli_failed(cli, &err);
    }
    ls_table_print(table, NULL);
    return LS_EXIT_OK;
}

static void add_who(struct ls_buf *out, const char *what, bool is, struct ls_span by)
{
    ls_buf_printf(out, ", \"%s\": %s, \"%s_by\": ", what, is ? "true" : "false", what);
    if (is)
        ls_buf_json_string(out, by.data, by.length);
    else
        ls_buf_puts(out, "null");
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
        {"held", stat->held},
        {"running", stat->running},
        {"delayed", stat->delayed},
        {"waiting_for_budget", stat->reserved},
        {"dead", stat->dead},
        {"dead_groups", stat->dead_groups},
        {"keys", stat->keyed},
        {"workers", stat->workers},
        {"workers_expired", stat->workers_expired},
        {"bound", stat->bound},
        {"max_running", stat->max_running},
        {"max_dead", stat->max_dead},
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
    add_who(&out, "paused", stat->paused, stat->paused_by);
    add_who(&out, "closed", stat->closed, stat->closed_by);
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

/* A bound that may not be set. */
static void bound_row(struct ls_table *table, const char *name, int64_t value)
{
    ls_table_text(table, name);
    if (value)
        ls_table_int(table, value);
    else
        ls_table_text(table, "none");
}

static void who_rows(struct ls_table *table, const char *what, bool is, struct ls_span by)
{
    struct ls_buf title = {0};

    ls_table_text(table, what);
    ls_table_bool(table, is);
    if (is) {
        ls_buf_printf(&title, "%s by", what);
        ls_table_text(table, title.data);
        ls_table_span(table, by.data, by.length);
    }
    ls_buf_fini(&title);
}

static void counter_rows(struct ls_table *table, const struct ls_queue_stat *stat)
{
    for (size_t i = 0; i < stat->counter_count; i++) {
        struct ls_span counter = ls_reply_span(&stat->counters[2 * i]);
        struct ls_buf title = {0};

        ls_buf_printf(&title, "total %.*s", LS_SPAN_ARG(counter));
        row(table, title.data, ls_reply_int(&stat->counters[2 * i + 1], 0));
        ls_buf_fini(&title);
    }
}

static int show(struct ls_cli *cli, const char *name)
{
    static const struct ls_column columns[] = {{"WHAT", NULL, false}, {"VALUE", NULL, true}};
    struct ls_queue_stat stat;
    struct ls_err err = LS_ERR_INIT;
    struct ls_table *table;

    if (ls_cli_queue_stat(cli, name, &stat, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (cli->json) {
        print_object(name, &stat);
        return LS_EXIT_OK;
    }
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    row(table, "waiting, high", stat.pending_high);
    row(table, "waiting, normal", stat.pending);
    row(table, "waiting, low", stat.pending_low);
    row(table, "held behind others of their account", stat.held);
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
    bound_row(table, "bound on waiting", stat.bound);
    bound_row(table, "bound on running", stat.max_running);
    bound_row(table, "bound on dead", stat.max_dead);
    who_rows(table, "paused", stat.paused, stat.paused_by);
    who_rows(table, "closed", stat.closed, stat.closed_by);
    counter_rows(table, &stat);
    ls_table_print(table, NULL);
    return LS_EXIT_OK;
}

static int pause_queue(struct ls_cli *cli, const char *name, const char *reason, bool pause)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_queue_switched was;
    struct ls_keys keys = {0};
    struct ls_buf by = {0};
    struct ls_cmd cmd = {0};
    int result;

    if (ls_keys_init(&keys, name, &err) < 0)
        return ls_cli_failed(cli, &err);
    ls_cli_by(&by, reason);
    if (pause)
        ls_queue_pause_build(&cmd, &keys, (struct ls_span){by.data, by.length});
    else
        ls_queue_resume_build(&cmd, &keys);
    result = ls_cli_switch(cli, &cmd, &was, &err);
    ls_buf_fini(&by);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    if (result < 0)
        return ls_cli_failed(cli, &err);
    if (cli->json)
        printf("{\"queue\": \"%s\", \"paused\": %s, \"was_paused\": %s, \"was_closed\": %s}\n",
               name, pause ? "true" : "false", was.was_paused ? "true" : "false",
               was.was_closed ? "true" : "false");
    else if (pause)
        printf("queue %s %s\n", name,
               was.was_paused ? "was paused already"
                              : "is paused: what runs goes on, pushes are taken");
    else
        printf("queue %s %s\n", name,
               was.was_closed   ? "takes pushes again"
               : was.was_paused ? "goes on"
                                : "was not paused");
    return LS_EXIT_OK;
}

const struct ls_command ls_command_queue = {
    "queue", "how the queues stand; pause, drain and resume them",
    "usage: lockstep queue list\n"
    "       lockstep queue show [QUEUE]\n"
    "       lockstep queue pause QUEUE [--reason TEXT]\n"
    "       lockstep queue drain QUEUE [--timeout TIME] [--all] [--reason TEXT]\n"
    "       lockstep queue resume QUEUE\n\n"
    "'pause' ends claiming: what runs goes on, pushes are taken.\n"
    "'drain' ends pushing: producers are refused with who and why (a raw RPUSH cannot be\n"
    "refused), and it waits until nothing waits or runs, at most TIME (10m; exit 1 when that\n"
    "was not enough). Delayed jobs and retries stay; with --all it waits for them too. The\n"
    "queue stays closed.\n"
    "'resume' ends both.\n",
    run};
