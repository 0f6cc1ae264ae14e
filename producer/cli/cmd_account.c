/* lockstep account: budgets, parkings and breakers of the accounts, as Redis has them. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/queue/limit.h"
#include "producer/cli/queues.h"

#define SLICE 200

/* What is known of an account in one queue; texts are owned, NULL: not there. */
struct account {
    char name[LS_ACCOUNT_MAX + 1];
    char queue[LS_QUEUE_NAME_MAX + 1];
    double rate;    /* 0: no limit */
    int64_t burst;  /* 0: not known */
    int64_t budget; /* requests that may go now; -1: no limit */
    int64_t next_us, parked_until;
    int64_t running, concurrency;
    char *reason, *costs, *breaker, *learned;
};

struct accounts {
    struct account *rows;
    size_t count;
    int64_t now_us; /* Redis' time */
};

static int read_all(struct ls_cli *cli, struct accounts *accounts, struct ls_err *err);
static void accounts_free(struct accounts *accounts);
static int list(struct ls_cli *cli);
static int show(struct ls_cli *cli, const char *name);
static int park(struct ls_cli *cli, const char *name, const char *queue, const char *time,
                const char *reason);
static int release(struct ls_cli *cli, const char *name, const char *queue);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *queue = NULL, *time = NULL, *reason = NULL, *verb, *name;
    const struct ls_cli_option options[] = {
        {"queue", &queue, NULL}, {"for", &time, NULL}, {"reason", &reason, NULL}, {0}};
    struct ls_err err = LS_ERR_INIT;
    struct ls_envelope words = {.kind = LS_SPAN("any")};
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    verb = argc ? argv[0] : "list";
    name = argc > 1 ? argv[1] : NULL;
    if (argc > 2)
        return ls_cli_misused(cli, "one account at a time");
    if ((time || reason) && strcmp(verb, "park") != 0)
        return ls_cli_misused(cli, "'--for' and '--reason' go with 'account park'");
    if (strcmp(verb, "list") == 0 && !name)
        return list(cli);
    if (strcmp(verb, "show") != 0 && strcmp(verb, "park") != 0 && strcmp(verb, "release") != 0)
        return ls_cli_misused(cli, "unknown word '%s'", argv[argc - 1]);
    if (!name || !*name)
        return ls_cli_misused(cli, "which account?");
    words.account = ls_span_of(name);
    if (ls_envelope_check(&words, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (strcmp(verb, "show") == 0)
        return show(cli, name);
    return strcmp(verb, "park") == 0 ? park(cli, name, queue, time, reason)
                                     : release(cli, name, queue);
}

/* ---- reading ---- */

static struct account *row_of(struct accounts *accounts, const char *queue, struct ls_span name)
{
    struct account *row;

    for (size_t i = accounts->count; i-- > 0;) { /* fields of one account come in a row, mostly */
        row = &accounts->rows[i];
        if (ls_span_is(name, row->name) && strcmp(row->queue, queue) == 0)
            return row;
    }
    if (!ls_config_name_valid(name.data, name.length) || name.length > LS_ACCOUNT_MAX)
        return NULL;
    accounts->rows = ls_xrealloc(accounts->rows, (accounts->count + 1) * sizeof *accounts->rows);
    row = &accounts->rows[accounts->count++];
    *row = (struct account){0};
    snprintf(row->name, sizeof row->name, "%.*s", LS_SPAN_ARG(name));
    snprintf(row->queue, sizeof row->queue, "%s", queue);
    return row;
}

static void keep_text(char **place, struct ls_span value)
{
    free(*place);
    *place = ls_xstrndup(value.data, value.length);
}

/* "<account>/<what>" of the hash. What we do not know is left alone. */
static void take_field(struct accounts *accounts, const char *queue, struct ls_span field,
                       struct ls_span value)
{
    const char *slash = field.length ? memrchr(field.data, '/', field.length) : NULL;
    struct ls_span what;
    struct account *row;
    char number[32];

    if (!slash)
        return;
    what = (struct ls_span){slash + 1, field.length - (size_t)(slash + 1 - field.data)};
    row = row_of(accounts, queue, (struct ls_span){field.data, (size_t)(slash - field.data)});
    if (!row)
        return;
    snprintf(number, sizeof number, "%.*s", LS_SPAN_ARG(value));
    if (ls_span_is(what, "rate"))
        row->rate = strtod(number, NULL);
    else if (ls_span_is(what, "burst"))
        row->burst = strtoll(number, NULL, 10);
    else if (ls_span_is(what, "next"))
        row->next_us = strtoll(number, NULL, 10);
    else if (ls_span_is(what, "parked"))
        row->parked_until = strtoll(number, NULL, 10);
    else if (ls_span_is(what, "running"))
        row->running = strtoll(number, NULL, 10);
    else if (ls_span_is(what, "concurrency"))
        row->concurrency = strtoll(number, NULL, 10);
    else if (ls_span_is(what, "reason"))
        keep_text(&row->reason, value);
    else if (ls_span_is(what, "costs"))
        keep_text(&row->costs, value);
    else if (ls_span_is(what, "breaker"))
        keep_text(&row->breaker, value);
    else if (ls_span_is(what, "learned"))
        keep_text(&row->learned, value);
}

static int read_queue(struct ls_cli *cli, const char *queue, struct accounts *accounts,
                      struct ls_err *err)
{
    struct ls_keys keys = {0};
    struct ls_buf cursor = {0};
    struct ls_cmd cmd = {0};
    int result;

    if (ls_keys_init(&keys, queue, err) < 0)
        return -1;
    ls_buf_puts(&cursor, "0");
    do {
        const struct ls_reply *reply, *pairs, *value;

        ls_cmd_start(&cmd, "HSCAN");
        ls_cmd_puts(&cmd, keys.limits);
        ls_cmd_add(&cmd, cursor.data, cursor.length);
        ls_cmd_puts(&cmd, "COUNT");
        ls_cmd_int(&cmd, SLICE);
        result = ls_cli_send(cli, &cmd, &reply, err);
        if (result < 0)
            break;
        pairs = ls_reply_item(reply, 1);
        for (size_t i = 0; (value = ls_reply_item(pairs, i + 1)); i += 2)
            take_field(accounts, queue, ls_reply_span(ls_reply_item(pairs, i)),
                       ls_reply_span(value));
        ls_buf_clear(&cursor);
        ls_buf_add(&cursor, ls_reply_span(ls_reply_item(reply, 0)).data,
                   ls_reply_span(ls_reply_item(reply, 0)).length);
    } while (strcmp(cursor.data, "0") != 0);
    ls_buf_fini(&cursor);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    return result;
}

/* Those of the configuration that Redis knows nothing of yet. */
static void add_configured(struct ls_cli *cli, struct accounts *accounts)
{
    const struct ls_config *config = ls_cli_config_public(cli, NULL);

    for (size_t i = 0; config && i < config->account_count; i++) {
        const struct ls_config_account *known = &config->accounts[i];
        size_t before = accounts->count;
        struct account *row = row_of(accounts, known->queue, ls_span_of(known->name));

        if (!row || accounts->count == before)
            continue;
        row->rate = known->rate;
        row->burst = known->burst;
        row->concurrency = known->concurrency;
    }
}

/* "<rate> <burst> <until ms>" of the platform's own answers. */
static bool has_learned(const struct account *row, int64_t now_ms, double *rate, long long *burst,
                        long long *until)
{
    return row->learned && sscanf(row->learned, "%lf %lld %lld", rate, burst, until) == 3 &&
           *until > now_ms;
}

/* What may go now: the burst, less what is paid for and still ahead; of what is configured and what
 * was learned the smaller holds (lua/lib/budget.lua). */
static int64_t budget_now(const struct account *row, int64_t now_us)
{
    double rate = row->rate, learned_rate, taken;
    long long burst = row->burst, learned_burst, until;

    if (has_learned(row, now_us / 1000, &learned_rate, &learned_burst, &until)) {
        if (learned_rate > 0 && (rate <= 0 || learned_rate < rate))
            rate = learned_rate;
        if (learned_burst > 0 && (row->rate <= 0 || learned_burst < burst))
            burst = learned_burst;
    }
    if (rate <= 0)
        return -1;
    taken = row->next_us > now_us ? (double)(row->next_us - now_us) * rate / 1e6 : 0;
    return taken < (double)burst ? (int64_t)((double)burst - taken) : 0;
}

static int by_name(const void *a, const void *b)
{
    const struct account *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order ? order : strcmp(left->queue, right->queue);
}

static int read_all(struct ls_cli *cli, struct accounts *accounts, struct ls_err *err)
{
    struct ls_cli_queues queues;
    int result;

    if (ls_cli_queues(cli, &queues, err) < 0)
        return -1;
    result = ls_cli_redis_us(cli, &accounts->now_us, err);
    for (size_t i = 0; i < queues.count && result == 0; i++)
        result = read_queue(cli, queues.names[i], accounts, err);
    ls_cli_queues_free(&queues);
    if (result < 0)
        return -1;
    add_configured(cli, accounts);
    for (size_t i = 0; i < accounts->count; i++) {
        struct account *row = &accounts->rows[i];

        if (row->burst < 1)
            row->burst = 1;
        row->budget = budget_now(row, accounts->now_us);
        if (row->parked_until <= accounts->now_us / 1000)
            row->parked_until = 0;
    }
    if (accounts->count)
        qsort(accounts->rows, accounts->count, sizeof *accounts->rows, by_name);
    return 0;
}

static void accounts_free(struct accounts *accounts)
{
    for (size_t i = 0; i < accounts->count; i++) {
        struct account *row = &accounts->rows[i];

        free(row->reason);
        free(row->costs);
        free(row->breaker);
        free(row->learned);
    }
    free(accounts->rows);
    *accounts = (struct accounts){0};
}

/* ---- showing ---- */

/* "10/s"; "" no limit. */
static const char *rate_text(const struct account *row, char out[32])
{
    out[0] = 0;
    if (row->rate > 0)
        snprintf(out, 32, "%.6g/s", row->rate);
    return out;
}

static void rate_cell(struct ls_table *table, const struct account *row)
{
    char shown[32], json[32];

    snprintf(json, sizeof json, "%.6g", row->rate);
    if (row->rate > 0)
        ls_table_both(table, rate_text(row, shown), json);
    else
        ls_table_both(table, "none", "null");
}

static void budget_cell(struct ls_table *table, const struct account *row)
{
    char shown[48], json[24];

    snprintf(shown, sizeof shown, "%lld of %lld", (long long)row->budget, (long long)row->burst);
    snprintf(json, sizeof json, "%lld", (long long)row->budget);
    if (row->budget < 0)
        ls_table_both(table, "-", "null");
    else
        ls_table_both(table, shown, json);
}

static void running_cell(struct ls_table *table, const struct account *row)
{
    char shown[48], json[24];

    snprintf(json, sizeof json, "%lld", (long long)row->running);
    snprintf(shown, sizeof shown, "%lld of %lld", (long long)row->running,
             (long long)row->concurrency);
    ls_table_both(table, row->concurrency ? shown : json, json);
}

/* "for 4m 20s: 429" */
static void parked_cell(struct ls_table *table, const struct account *row, int64_t now_ms)
{
    char left[32], when[LS_CLOCK_TEXT_SIZE];
    char *shown, *json;

    if (!row->parked_until) {
        ls_table_text(table, NULL);
        return;
    }
    ls_duration_format(left, sizeof left, (row->parked_until - now_ms + 999) / 1000 * 1000);
    shown =
        ls_xasprintf("for %s%s%s", left, row->reason ? ": " : "", row->reason ? row->reason : "");
    json = ls_xasprintf("\"%s\"", ls_clock_format(when, row->parked_until));
    ls_table_both(table, shown, json);
    free(shown);
    free(json);
}

/* "closed <failures>" | "open <times> <until ms>" | "probe <times> <until ms>" */
static void breaker_cell(struct ls_table *table, const struct account *row, int64_t now_ms)
{
    char word[16] = "", left[32];
    long long count = 0, until = 0;
    struct ls_buf shown = {0}, json = {0};

    if (!row->breaker || sscanf(row->breaker, "%15s %lld %lld", word, &count, &until) < 2) {
        ls_table_text(table, row->breaker);
        return;
    }
    ls_buf_puts(&shown, word);
    if (strcmp(word, "open") == 0 && until > now_ms)
        ls_buf_printf(&shown, ", asks again in %s",
                      ls_duration_format(left, sizeof left, (until - now_ms + 999) / 1000 * 1000));
    if (count)
        ls_buf_printf(&shown,
                      strcmp(word, "closed") == 0 ? ", %lld failures in a row"
                                                  : ", %lld times in a row",
                      count);
    ls_buf_json_string(&json, row->breaker, strlen(row->breaker));
    ls_table_both(table, shown.data, json.data);
    ls_buf_fini(&shown);
    ls_buf_fini(&json);
}

static void learned_cell(struct ls_table *table, const struct account *row, int64_t now_ms)
{
    double rate;
    long long burst, until;
    char left[32];
    struct ls_buf shown = {0}, json = {0};

    if (!has_learned(row, now_ms, &rate, &burst, &until)) {
        ls_table_text(table, NULL);
        return;
    }
    ls_buf_printf(&shown, "%.6g/s, burst %lld, for %s", rate, burst,
                  ls_duration_format(left, sizeof left, (until - now_ms + 999) / 1000 * 1000));
    ls_buf_json_string(&json, row->learned, strlen(row->learned));
    ls_table_both(table, shown.data, json.data);
    ls_buf_fini(&shown);
    ls_buf_fini(&json);
}

static int list(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {
        {"ACCOUNT", "account", false, true},
        {"QUEUE", "queue", false},
        {"RATE", "rate", true},
        {"BUDGET", "budget", true},
        {NULL, "burst", true},
        {"RUNNING", "running", true},
        {NULL, "concurrency", true},
        {"PARKED", "parked_until", false},
        {NULL, "parked_by", false},
        {"BREAKER", "breaker", false},
        {"LEARNED", "learned", false},
    };
    struct accounts accounts = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_table *table;

    if (read_all(cli, &accounts, &err) < 0) {
        accounts_free(&accounts);
        return ls_cli_failed(cli, &err);
    }
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < accounts.count; i++) {
        const struct account *row = &accounts.rows[i];

        ls_table_text(table, row->name);
        ls_table_text(table, row->queue);
        rate_cell(table, row);
        budget_cell(table, row);
        ls_table_int(table, row->burst);
        running_cell(table, row);
        ls_table_int(table, row->concurrency);
        parked_cell(table, row, accounts.now_us / 1000);
        ls_table_text(table, row->parked_until ? row->reason : NULL);
        breaker_cell(table, row, accounts.now_us / 1000);
        learned_cell(table, row, accounts.now_us / 1000);
    }
    accounts_free(&accounts);
    ls_table_print(table, "no accounts: none is configured, and no job named one with a budget");
    return LS_EXIT_OK;
}

/* The same, one below the other, with the costs of kinds. */
static void print_account(struct ls_cli *cli, const struct account *row, int64_t now_ms)
{
    static const struct ls_column columns[] = {{"WHAT", "what", false}, {"VALUE", "value", false}};
    struct ls_table *table = ls_table_new(cli, columns, LS_COUNT(columns));

    ls_table_text(table, "account");
    ls_table_text(table, row->name);
    ls_table_text(table, "queue");
    ls_table_text(table, row->queue);
    ls_table_text(table, "rate");
    rate_cell(table, row);
    ls_table_text(table, "budget now");
    budget_cell(table, row);
    ls_table_text(table, "running");
    running_cell(table, row);
    ls_table_text(table, "costs more than one request");
    ls_table_text(table, row->costs);
    ls_table_text(table, "parked");
    parked_cell(table, row, now_ms);
    ls_table_text(table, "breaker");
    breaker_cell(table, row, now_ms);
    ls_table_text(table, "learned from the platform");
    learned_cell(table, row, now_ms);
    ls_table_print(table, NULL);
}

static void add_member(struct ls_buf *out, const char *name, const char *text)
{
    ls_buf_printf(out, ", \"%s\": ", name);
    if (text)
        ls_buf_json_string(out, text, strlen(text));
    else
        ls_buf_puts(out, "null");
}

static void print_json(const struct account *row)
{
    char when[LS_CLOCK_TEXT_SIZE];
    struct ls_buf out = {0};

    ls_buf_printf(&out, "{\"account\": \"%s\", \"queue\": \"%s\"", row->name, row->queue);
    if (row->rate > 0)
        ls_buf_printf(&out, ", \"rate\": %.6g, \"burst\": %lld, \"budget\": %lld", row->rate,
                      (long long)row->burst, (long long)row->budget);
    else
        ls_buf_puts(&out, ", \"rate\": null, \"burst\": null, \"budget\": null");
    ls_buf_printf(&out, ", \"running\": %lld, \"concurrency\": %lld", (long long)row->running,
                  (long long)row->concurrency);
    add_member(&out, "parked_until",
               row->parked_until ? ls_clock_format(when, row->parked_until) : NULL);
    add_member(&out, "parked_by", row->parked_until ? row->reason : NULL);
    add_member(&out, "breaker", row->breaker);
    add_member(&out, "learned", row->learned);
    add_member(&out, "costs", row->costs);
    ls_buf_puts(&out, "}");
    puts(out.data);
    ls_buf_fini(&out);
}

static int show(struct ls_cli *cli, const char *name)
{
    struct accounts accounts = {0};
    struct ls_err err = LS_ERR_INIT;
    size_t shown = 0;

    if (read_all(cli, &accounts, &err) < 0) {
        accounts_free(&accounts);
        return ls_cli_failed(cli, &err);
    }
    for (size_t i = 0; i < accounts.count; i++) { /* an account has one queue, as a rule */
        if (strcmp(accounts.rows[i].name, name) != 0)
            continue;
        shown++;
        if (cli->json)
            print_json(&accounts.rows[i]);
        else
            print_account(cli, &accounts.rows[i], accounts.now_us / 1000);
    }
    accounts_free(&accounts);
    if (shown)
        return LS_EXIT_OK;
    ls_fail(&err, LS_E_NOT_FOUND, "no account '%s'", name);
    ls_hint(&err, "'lockstep account list' shows those of the configuration and those with a "
                  "budget in Redis");
    return ls_cli_failed(cli, &err);
}

/* ---- parking ---- */

static int set(struct ls_cli *cli, const struct ls_keys *keys, const struct ls_limit_change *change,
               struct ls_limit_state *state, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result;

    ls_limit_set_build(&cmd, keys, change);
    result = ls_cli_send(cli, &cmd, &reply, err);
    if (result == 0)
        result = ls_limit_set_parse(reply, state, err);
    ls_cmd_fini(&cmd);
    return result;
}

static int park(struct ls_cli *cli, const char *name, const char *given, const char *time,
                const char *reason)
{
    struct ls_limit_change change = LS_LIMIT_KEEP;
    struct ls_limit_state state = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_keys keys = {0};
    struct ls_buf by = {0};
    char when[LS_CLOCK_TEXT_SIZE];
    const char *queue;
    int result = -1;

    if (!time)
        return ls_cli_misused(cli, "for how long? '--for 10m'");
    change.park_ms = ls_cli_duration("--for", time, &err);
    if (change.park_ms == 0)
        return ls_cli_misused(cli, "'--for' is zero: 'account release' ends a parking");
    queue = change.park_ms < 0 ? NULL : ls_cli_queue_for(cli, given, name, &err);
    if (!queue || ls_keys_init(&keys, queue, &err) < 0)
        return ls_cli_failed(cli, &err);
    ls_cli_by(&by, reason);
    change.account = ls_span_of(name);
    change.reason = (struct ls_span){by.data, by.length};
    result = set(cli, &keys, &change, &state, &err);
    if (result == 0 && cli->json)
        printf("{\"account\": \"%s\", \"queue\": \"%s\", \"parked_until\": \"%s\"}\n", name,
               keys.queue, ls_clock_format(when, state.parked_until));
    else if (result == 0)
        printf("account %s is parked in queue %s until %s: its jobs wait\n", name, keys.queue,
               ls_clock_format(when, state.parked_until));
    ls_buf_fini(&by);
    ls_keys_fini(&keys);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

static int release(struct ls_cli *cli, const char *name, const char *given)
{
    struct ls_limit_change change = LS_LIMIT_KEEP;
    struct ls_limit_state state;
    struct ls_err err = LS_ERR_INIT;
    struct ls_keys keys = {0};
    const char *queue = ls_cli_queue_for(cli, given, name, &err);
    int result;

    if (!queue || ls_keys_init(&keys, queue, &err) < 0)
        return ls_cli_failed(cli, &err);
    change.account = ls_span_of(name);
    change.park_ms = 0;
    result = set(cli, &keys, &change, &state, &err);
    if (result == 0 && cli->json)
        printf("{\"account\": \"%s\", \"queue\": \"%s\", \"parked_until\": null}\n", name,
               keys.queue);
    else if (result == 0)
        printf("account %s goes on in queue %s\n", name, keys.queue);
    ls_keys_fini(&keys);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

const struct ls_command ls_command_account = {
    "account", "budgets, parkings and breakers of the accounts",
    "usage: lockstep account list\n"
    "       lockstep account show NAME\n"
    "       lockstep account park NAME --for TIME [--reason TEXT] [--queue Q]\n"
    "       lockstep account release NAME [--queue Q]\n\n"
    "BUDGET is how many requests may go at this moment; RUNNING is over all runners.\n"
    "'park' lets an account's jobs wait: what runs goes on. 'release' ends a parking and\n"
    "closes an open breaker: its jobs go on at once. The queue is the account's in the\n"
    "configuration, else 'default'.\n",
    run};
