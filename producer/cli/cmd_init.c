/* lockstep init: a commented configuration, and a try at every connection it names. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/cli/tests.h"

static const char template_head[] =
    "# lockstep: what it is and every key: 'lockstep config keys'; check it: 'lockstep config "
    "check'.\n"
    "# Values may be ${ENVIRONMENT_VARIABLE}, ${NAME:-default} or ${file:/run/secrets/name}.\n"
    "\n"
    "state_dir: ./lockstep-state   # the embedded Redis' data and socket\n";
static const char template_tail[] =
    "runners: 2                    # worker processes\n"
    "log: stderr                   # or file:/var/log/lockstep/sync.log\n"
    "\n"
    "queues:\n"
    "  default:\n"
    "    concurrency: 64           # jobs at once in one runner\n"
    "    max_age: 6h               # after so long of failing a job is dead\n"
    "    # max_attempts: 5         # or after so many attempts\n"
    "    backoff: {type: exponential, base: 2s, factor: 2, cap: 10m, jitter: full}\n"
    "\n"
    "# Shops and sites. A queue-only user needs none of what follows.\n"
    "# accounts:\n"
    "#   shop-eu:\n"
    "#     platform: woocommerce\n"
    "#     url: https://shop.example\n"
    "#     consumer_key: ${WC_KEY}\n"
    "#     consumer_secret: ${WC_SECRET}\n"
    "#     rate: 10/s              # requests, so that the shop stays quick\n"
    "#     burst: 20\n"
    "\n"
    "# What is kept in step. A new sync only observes: 'lockstep sync start products' lets it "
    "write.\n"
    "# syncs:\n"
    "#   products:\n"
    "#     account: shop-eu\n"
    "#     entity: product\n"
    "#     table: products\n"
    "#     id: id\n"
    "#     mode: hybrid            # realtime, batch, hybrid\n"
    "#     every: 5m\n"
    "#     policy: fields          # fields, last_write_wins, version, local, remote, manual\n"
    "#     match: sku\n"
    "#     fields:\n"
    "#       sku:         {remote: sku, owner: local}\n"
    "#       name:        {remote: name, owner: merge}\n"
    "#       price:       {remote: regular_price, type: money, owner: local, check: \">= 0\"}\n"
    "#       inventory:   {remote: stock_quantity, type: integer, owner: remote}\n"
    "#       description: {remote: description, type: html, owner: merge}\n"
    "\n"
    "# alerts:\n"
    "#   - {to: \"https://hooks.example/alerts\", format: slack}\n"
    "#   - {exec: /usr/local/bin/page}\n"
    "\n"
    "admin: {listen: 127.0.0.1:8420}   # /metrics /healthz /readyz\n";

static int write_file(const char *path, const char *redis, const char *store, bool force,
                      struct ls_err *err);
static int try_all(struct ls_cli *cli, const struct ls_config *config);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *store = NULL, *path;
    bool force = false;
    const struct ls_cli_option options[] = {{"store", &store, NULL}, {"force", NULL, &force}, {0}};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_config *config;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc > 1)
        return ls_cli_misused(cli, "one file at a time");
    path = argc ? argv[0] : cli->config_path ? cli->config_path : "lockstep.yaml";
    if (access(path, F_OK) == 0 && !force) {
        ls_cli_note(cli, "%s is there already and stays as it is", path);
    } else {
        if (write_file(path, cli->redis ? cli->redis : "embedded", store, force, &err) < 0)
            return ls_cli_failed(cli, &err);
        ls_cli_note(cli, "wrote %s", path);
    }
    cli->config_path = path;
    config = ls_cli_config(cli, &err);
    if (!config)
        return ls_cli_failed(cli, &err);
    code = try_all(cli, config);
    if (code == LS_EXIT_OK)
        ls_cli_note(cli, config->syncs ? "next: 'lockstep store install', then 'lockstep up'"
                                       : "next: 'lockstep up'");
    return code;
}

/* A single-quoted YAML text. */
static void put_quoted(struct ls_buf *out, const char *text)
{
    ls_buf_putc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            ls_buf_putc(out, '\'');
        ls_buf_putc(out, *text);
    }
    ls_buf_putc(out, '\'');
}

static int write_file(const char *path, const char *redis, const char *store, bool force,
                      struct ls_err *err)
{
    /* It may come to hold secrets, though it need not: not for everybody's eyes. */
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0640);
    struct ls_buf text = {0};
    ssize_t written;

    if (fd < 0)
        return ls_fail_errno(err, "cannot write '%s'", path);
    ls_buf_puts(&text, template_head);
    ls_buf_puts(&text, "redis: ");
    if (strcmp(redis, "embedded") == 0)
        ls_buf_puts(&text, redis);
    else
        put_quoted(&text, redis);
    ls_buf_puts(&text, strcmp(redis, "embedded") == 0
                           ? "               # or unix:///run/redis.sock, redis://host:6379/0\n"
                           : "\n");
    if (store) {
        ls_buf_puts(&text, "store: ");
        put_quoted(&text, store);
        ls_buf_puts(&text, "\n");
    } else {
        ls_buf_puts(&text, "# store: sqlite:shop.db       # the application's database\n");
    }
    ls_buf_puts(&text, template_tail);
    written = write(fd, text.data, text.length);
    if (close(fd) < 0 || written != (ssize_t)text.length) {
        ls_buf_fini(&text);
        return ls_fail_errno(err, "cannot write '%s'", path);
    }
    ls_buf_fini(&text);
    return 0;
}

/* A row for machines, a sentence for people. */
static void result(struct ls_cli *cli, struct ls_table *table, const char *what, int failed,
                   const char *evidence, const struct ls_err *err, int *failures)
{
    const char *text = failed < 0 ? err->text : evidence;

    *failures += failed < 0;
    ls_table_text(table, failed < 0 ? "fail" : "ok");
    ls_table_text(table, what);
    ls_table_text(table, text);
    ls_table_text(table, failed < 0 && *err->hint ? err->hint : NULL);
    if (cli->json)
        return;
    printf("%-5s %-8s ", failed < 0 ? "FAIL" : "ok", what);
    ls_cli_print_safe(stdout, text, strlen(text));
    if (failed < 0 && *err->hint) {
        fputs("\n      hint: ", stdout);
        ls_cli_print_safe(stdout, err->hint, strlen(err->hint));
    }
    putchar('\n');
    fflush(stdout); /* the next one may take some seconds */
}

static int try_all(struct ls_cli *cli, const struct ls_config *config)
{
    static const struct ls_column columns[] = {{"", "result", false},
                                               {"CONNECTION", "connection", false},
                                               {"EVIDENCE", "evidence", false},
                                               {"REMEDY", "remedy", false}};
    struct ls_table *table = ls_table_new(cli, columns, LS_COUNT(columns));
    struct ls_err err = LS_ERR_INIT;
    char evidence[256];
    int failures = 0, failed;

    failed = ls_test_redis(cli, config, evidence, &err);
    result(cli, table, "redis", failed, evidence, &err, &failures);
    err = (struct ls_err)LS_ERR_INIT;
    failed = ls_test_store(config, evidence, &err);
    result(cli, table, "store", failed, evidence, &err, &failures);
    for (size_t i = 0; i < config->account_count; i++) {
        err = (struct ls_err)LS_ERR_INIT;
        failed = ls_test_account(config, &config->accounts[i], evidence, &err);
        result(cli, table, "account", failed, evidence, &err, &failures);
    }
    for (size_t i = 0; i < config->sink_count; i++) {
        err = (struct ls_err)LS_ERR_INIT;
        failed = ls_test_sink(&config->sinks[i], evidence, &err);
        result(cli, table, "alerts", failed, evidence, &err, &failures);
    }
    err = (struct ls_err)LS_ERR_INIT;
    failed = ls_test_log(config, evidence, &err);
    result(cli, table, "log", failed, evidence, &err, &failures);
    err = (struct ls_err)LS_ERR_INIT;
    failed = ls_test_admin(config, evidence, &err);
    result(cli, table, "admin", failed, evidence, &err, &failures);
    if (cli->json)
        ls_table_print(table, NULL);
    else
        ls_table_free(table);
    return failures ? LS_EXIT_FAILED : LS_EXIT_OK;
}

const struct ls_command ls_command_init = {
    "init", "write a commented configuration and try its connections",
    "usage: lockstep init [FILE] [--store sqlite:PATH] [--redis URL] [--force]\n\n"
    "Writes FILE (./lockstep.yaml) unless it is there, then tries everything it names: Redis, the\n"
    "database, each account, the log, the admin address. Run it again after each change.\n",
    run};
