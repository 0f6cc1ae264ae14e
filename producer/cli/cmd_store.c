/* lockstep store: what lockstep adds to the application's database; install, check, remove, look.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/store/store.h"
#include "producer/cli/looker.h"

#define RECENT_MS (60 * 60 * 1000) /* "not synced recently" in the figures of `status` */

/* The mappings of the configuration's syncs: what the store has to hold. */
struct plan {
    const struct ls_config *config;
    struct ls_mapping **mappings;
    size_t count;
};

static int plan_make(struct plan *plan, struct ls_cli *cli, struct ls_err *err);
static void plan_fini(struct plan *plan);
static int install(struct ls_cli *cli, const struct plan *plan, bool print);
static int check(struct ls_cli *cli, const struct plan *plan);
static int uninstall(struct ls_cli *cli, const struct plan *plan, bool data, bool print);
static int status(struct ls_cli *cli);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    bool print = false, data = false;
    const struct ls_cli_option options[] = {{"print", NULL, &print}, {"data", NULL, &data}, {0}};
    struct ls_err err = LS_ERR_INIT;
    struct plan plan = {0};
    const char *verb;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc != 1)
        return ls_cli_misused(cli, "say one of: install, check, uninstall, status");
    verb = argv[0];
    if (strcmp(verb, "status") == 0)
        return status(cli);
    if (strcmp(verb, "install") != 0 && strcmp(verb, "check") != 0 &&
        strcmp(verb, "uninstall") != 0)
        return ls_cli_misused(cli, "unknown word '%s'", verb);
    if (plan_make(&plan, cli, &err) < 0)
        code = ls_cli_failed(cli, &err);
    else if (strcmp(verb, "install") == 0)
        code = install(cli, &plan, print);
    else if (strcmp(verb, "check") == 0)
        code = check(cli, &plan);
    else
        code = uninstall(cli, &plan, data, print);
    plan_fini(&plan);
    return code;
}

static int plan_make(struct plan *plan, struct ls_cli *cli, struct ls_err *err)
{
    plan->config = ls_cli_config(cli, err);
    if (!plan->config)
        return -1;
    if (!plan->config->store) {
        ls_fail(err, LS_E_CONFIG, "no store is configured");
        return ls_hint(err, "add 'store: sqlite:PATH' to the configuration");
    }
    plan->mappings = ls_xcalloc(plan->config->sync_count, sizeof(struct ls_mapping *));
    for (size_t i = 0; i < plan->config->sync_count; i++) {
        plan->mappings[i] = ls_mapping_new(&plan->config->syncs[i], err);
        if (!plan->mappings[i])
            return -1;
        plan->count++;
    }
    return 0;
}

static void plan_fini(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        ls_mapping_free(plan->mappings[i]);
    free(plan->mappings);
}

/* ---- install, check, uninstall ---- */

/* The statements are the result; with none there is nothing to do. */
static void show(struct ls_cli *cli, const struct ls_buf *statements, const char *nothing)
{
    if (statements->length)
        fwrite(statements->data, 1, statements->length, stdout);
    else
        ls_cli_note(cli, "%s", nothing);
}

static int install(struct ls_cli *cli, const struct plan *plan, bool print)
{
    const struct ls_mapping *const *mappings = (const struct ls_mapping *const *)plan->mappings;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf out = {0};
    int result = ls_store_install(plan->config->store, mappings, plan->count, print, &out, &err);

    if (result == 0 && print)
        show(cli, &out, "everything is installed: nothing to do");
    else if (result == 0 && out.length)
        ls_cli_note(cli, "installed lockstep's tables, triggers and views for %zu %s", plan->count,
                    plan->count == 1 ? "sync" : "syncs");
    else if (result == 0)
        ls_cli_note(cli, "everything was installed already");
    ls_buf_fini(&out);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

static int check(struct ls_cli *cli, const struct plan *plan)
{
    const struct ls_mapping *const *mappings = (const struct ls_mapping *const *)plan->mappings;
    struct ls_err err = LS_ERR_INIT;

    if (ls_store_check(plan->config->store, mappings, plan->count, &err) < 0)
        return ls_cli_failed(cli, &err);
    ls_cli_note(cli, "the store has everything that %zu %s", plan->count,
                plan->count == 1 ? "sync needs" : "syncs need");
    return LS_EXIT_OK;
}

static int uninstall(struct ls_cli *cli, const struct plan *plan, bool data, bool print)
{
    const struct ls_mapping *const *mappings = (const struct ls_mapping *const *)plan->mappings;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf out = {0};
    int result;

    if (print)
        return ls_cli_misused(cli, "--print belongs to install");
    result = ls_store_uninstall(plan->config->store, mappings, plan->count, data, &out, &err);
    if (result == 0)
        ls_cli_note(cli, data
                             ? "removed everything that lockstep had added, its data too"
                             : "removed triggers and views; the tables with links and history stay "
                               "(--data removes them too)");
    ls_buf_fini(&out);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

/* ---- status ---- */

struct figures {
    struct ls_looker *looker;
    struct ls_sync_figures values;
};

static void on_figures(void *arg, const struct ls_sync_figures *values, const struct ls_err *err)
{
    struct figures *figures = arg;

    if (!err)
        figures->values = *values;
    ls_looker_over(figures->looker, err);
}

static void add_lag(struct ls_table *table, double seconds)
{
    ls_table_duration(table, seconds < 0 ? -1 : (int64_t)(seconds * 1000));
}

static int status(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {
        {"TABLE", "table", false},       {"ROWS", "rows", true},
        {"SYNCED", "synced", true},      {"PENDING", "pending", true},
        {"PARKED", "parked", true},      {"DEAD", "dead", true},
        {"NEVER", "never_synced", true}, {"OVER 1H", "not_synced_1h", true},
        {"AVG LAG", "avg_lag_ms", true}, {"MAX LAG", "max_lag_ms", true},
    };
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker;
    struct ls_table *table;

    if (ls_looker_open(&looker, cli, NULL, false, &err) < 0) {
        ls_looker_close(&looker);
        return ls_cli_failed(cli, &err);
    }
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < ls_engine_sync_count(looker.engine); i++) {
        const struct ls_sync *sync = ls_engine_sync_at(looker.engine, i);
        struct figures figures = {.looker = &looker};

        ls_store_sync_figures(ls_engine_store(looker.engine), sync->mapping, RECENT_MS, on_figures,
                              &figures);
        if (ls_looker_wait(&looker, 0, &err) < 0) {
            ls_table_free(table);
            ls_looker_close(&looker);
            return ls_cli_failed(cli, &err);
        }
        ls_table_text(table, sync->mapping->table);
        ls_table_int(table, figures.values.rows);
        ls_table_int(table, figures.values.synced);
        ls_table_int(table, figures.values.pending);
        ls_table_int(table, figures.values.parked);
        ls_table_int(table, figures.values.dead);
        ls_table_int(table, figures.values.never_synced);
        ls_table_int(table, figures.values.not_recent);
        add_lag(table, figures.values.lag_avg_s);
        add_lag(table, figures.values.lag_max_s);
    }
    ls_table_print(table, "no syncs are configured");
    ls_looker_close(&looker);
    return LS_EXIT_OK;
}

const struct ls_command ls_command_store = {
    "store", "what lockstep adds to your database: install, check, remove, look",
    "usage: lockstep store install [--print]\n"
    "       lockstep store check\n"
    "       lockstep store uninstall [--data]\n"
    "       lockstep store status\n"
    "\n"
    "`install` adds tables lockstep_*, triggers on the synced tables and a view\n"
    "lockstep_status_<table> each; what is there already stays. --print shows the statements\n"
    "and changes nothing. `uninstall` removes triggers and views; with --data the tables too,\n"
    "and with them all links and history. `status` counts the rows of each synced table by\n"
    "their state and says how long ago they were synced.\n",
    run};
