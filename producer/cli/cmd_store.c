/* lockstep store: lockstep's tables, triggers and views in the application's database. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/store/store.h"
#include "producer/cli/cli.h"

#define RECENT_MS (3600 * 1000LL)
#define CLOSE_MS 1000

/* The mappings of the configuration. */
struct syncs {
    const char *url;
    struct ls_mapping **mappings;
    size_t count;
};

static void syncs_free(struct syncs *syncs)
{
    for (size_t i = 0; i < syncs->count; i++)
        ls_mapping_free(syncs->mappings[i]);
    free(syncs->mappings);
}

static int syncs_load(struct ls_cli *cli, struct syncs *syncs, struct ls_err *err)
{
    const struct ls_config *config = ls_cli_config(cli, err);

    *syncs = (struct syncs){0};
    if (!config)
        return -1;
    if (!config->store) {
        ls_fail(err, LS_E_CONFIG, "the configuration names no store");
        return ls_hint(err, "store: sqlite:PATH in %s, or LOCKSTEP_STORE",
                       config->path ? config->path : "lockstep.yaml");
    }
    syncs->url = config->store;
    syncs->mappings = ls_xcalloc(config->sync_count + 1, sizeof *syncs->mappings);
    for (size_t i = 0; i < config->sync_count; i++) {
        struct ls_mapping *mapping = ls_mapping_new(&config->syncs[i], err);
        if (!mapping) {
            syncs_free(syncs);
            return -1;
        }
        syncs->mappings[syncs->count++] = mapping;
    }
    return 0;
}

static int install(struct ls_cli *cli, const struct syncs *syncs, bool print)
{
    const struct ls_mapping *const *mappings = (const struct ls_mapping *const *)syncs->mappings;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf out = {0};
    int result = ls_store_install(syncs->url, mappings, syncs->count, print, &out, &err);

    if (result < 0) {
        ls_buf_fini(&out);
        return ls_cli_failed(cli, &err);
    }
    if (print)
        fwrite(out.data ? out.data : "", 1, out.length, stdout);
    if (!out.length)
        ls_cli_note(cli, "everything is there already");
    else if (!print)
        ls_cli_note(cli, "installed in %s; a new sync observes until 'lockstep sync start'",
                    syncs->url);
    ls_buf_fini(&out);
    return LS_EXIT_OK;
}

static int check(struct ls_cli *cli, const struct syncs *syncs)
{
    const struct ls_mapping *const *mappings = (const struct ls_mapping *const *)syncs->mappings;
    struct ls_err err = LS_ERR_INIT;

    if (ls_store_check(syncs->url, mappings, syncs->count, &err) < 0)
        return ls_cli_failed(cli, &err);
    ls_cli_note(cli, "%s has everything that the configuration needs", syncs->url);
    return LS_EXIT_OK;
}

static int uninstall(struct ls_cli *cli, const struct syncs *syncs, bool data)
{
    const struct ls_mapping *const *mappings = (const struct ls_mapping *const *)syncs->mappings;
    struct ls_err err = LS_ERR_INIT;
    struct ls_buf out = {0};
    int lock = ls_store_lock(syncs->url, &err), result;

    if (lock == -1) {
        ls_wrap(&err, "cannot remove anything now");
        return ls_cli_failed(cli, &err);
    }
    result = ls_store_uninstall(syncs->url, mappings, syncs->count, data, &out, &err);
    if (lock >= 0)
        close(lock);
    if (result == 0) {
        fwrite(out.data ? out.data : "", 1, out.length, stdout);
        ls_cli_note(cli,
                    data ? "triggers, views and tables are gone"
                         : "triggers and views are gone; the tables stay (--data removes them)");
    }
    ls_buf_fini(&out);
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

/* ---- status ---------------------------------------------------------------------------------- */

struct report {
    struct ls_sync_status status;
    struct ls_sync_figures figures;
    struct ls_err err;
    bool failed;
};

static void on_status(void *arg, const struct ls_sync_status *status, const struct ls_err *err)
{
    struct report *report = arg;

    if (status)
        report->status = *status;
    if (err && !report->failed) {
        report->failed = true;
        report->err = *err;
    }
}

static void on_figures(void *arg, const struct ls_sync_figures *figures, const struct ls_err *err)
{
    struct report *report = arg;

    if (figures)
        report->figures = *figures;
    if (err && !report->failed) {
        report->failed = true;
        report->err = *err;
    }
}

static void print_report(struct ls_table *table, const struct report *report)
{
    static const char *const states[] = {
        [LS_SYNC_OBSERVE] = "observe", [LS_SYNC_ACTIVE] = "active", [LS_SYNC_STOPPED] = "stopped"};
    const struct ls_sync_status *status = &report->status;
    const struct ls_sync_figures *figures = &report->figures;
    int64_t now = ls_clock_wall_ms();

    ls_table_text(table, status->sync);
    ls_table_text(table, states[status->state]);
    ls_table_int(table, figures->rows);
    ls_table_int(table, figures->synced);
    ls_table_int(table, figures->pending);
    ls_table_int(table, figures->parked);
    ls_table_int(table, figures->dead);
    ls_table_int(table, status->conflicts);
    ls_table_int(table, figures->never_synced);
    ls_table_int(table, figures->not_recent);
    ls_table_duration(table, figures->lag_avg_s < 0 ? -1 : (int64_t)(figures->lag_avg_s * 1000));
    ls_table_duration(table, figures->lag_max_s < 0 ? -1 : (int64_t)(figures->lag_max_s * 1000));
    ls_table_duration(table, status->oldest_dirty_at ? now - status->oldest_dirty_at : -1);
}

static int status(struct ls_cli *cli, const struct syncs *syncs)
{
    static const struct ls_column columns[] = {{"SYNC", "sync", false},
                                               {"STATE", "state", false},
                                               {"ROWS", "rows", true},
                                               {"SYNCED", "synced", true},
                                               {"PENDING", "pending", true},
                                               {"PARKED", "parked", true},
                                               {"DEAD", "dead", true},
                                               {"CONFLICTS", "conflicts", true},
                                               {"NEVER", "never_synced", true},
                                               {"OVER 1H", "not_synced_1h", true},
                                               {"AVG LAG", "avg_lag_ms", true},
                                               {"MAX LAG", "max_lag_ms", true},
                                               {"WAITING", "oldest_change_ms", true}};
    struct report *reports = ls_xcalloc(syncs->count + 1, sizeof *reports);
    struct ls_store_options options = {.url = syncs->url, .read_only = true};
    struct ls_err err = LS_ERR_INIT;
    struct ls_store *store;
    struct ls_table *table;
    uv_loop_t loop;
    int code = LS_EXIT_OK;

    uv_loop_init(&loop);
    options.loop = &loop;
    store = ls_store_open(&options, &err);
    for (size_t i = 0; store && i < syncs->count; i++) {
        ls_store_sync_status(store, syncs->mappings[i], on_status, &reports[i]);
        ls_store_sync_figures(store, syncs->mappings[i], RECENT_MS, on_figures, &reports[i]);
    }
    uv_run(&loop,
           UV_RUN_DEFAULT); /* ends with the last answer; the database's own patience bounds it */
    if (!store)
        code = ls_cli_failed(cli, &err);
    for (size_t i = 0; i < syncs->count && code == LS_EXIT_OK; i++)
        if (reports[i].failed)
            code = ls_cli_failed(cli, &reports[i].err);
    if (code == LS_EXIT_OK) {
        table = ls_table_new(cli, columns, LS_COUNT(columns));
        for (size_t i = 0; i < syncs->count; i++)
            print_report(table, &reports[i]);
        ls_table_print(table, "the configuration has no syncs");
        for (size_t i = 0; i < syncs->count && !cli->json; i++)
            ls_cli_note(cli, "rows of %s: SELECT * FROM \"lockstep_status_%s\"",
                        syncs->mappings[i]->sync, syncs->mappings[i]->table);
    }
    ls_store_close(&store, CLOSE_MS);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    free(reports);
    return code;
}

static int run(struct ls_cli *cli, int argc, char **argv)
{
    bool print = false, data = false;
    const struct ls_cli_option options[] = {{"print", NULL, &print}, {"data", NULL, &data}, {0}};
    struct ls_err err = LS_ERR_INIT;
    struct syncs syncs;
    const char *verb;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc != 1)
        return ls_cli_misused(
            cli, argc ? "unknown word '%s'" : "say install, check, uninstall or status",
            argc ? argv[1] : "");
    verb = argv[0];
    if (print && strcmp(verb, "install") != 0)
        return ls_cli_misused(cli, "--print belongs to install");
    if (data && strcmp(verb, "uninstall") != 0)
        return ls_cli_misused(cli, "--data belongs to uninstall");
    if (strcmp(verb, "install") != 0 && strcmp(verb, "check") != 0 &&
        strcmp(verb, "uninstall") != 0 && strcmp(verb, "status") != 0)
        return ls_cli_misused(cli, "unknown word '%s'", verb);
    if (syncs_load(cli, &syncs, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (strcmp(verb, "install") == 0)
        code = install(cli, &syncs, print);
    else if (strcmp(verb, "check") == 0)
        code = check(cli, &syncs);
    else if (strcmp(verb, "uninstall") == 0)
        code = uninstall(cli, &syncs, data);
    else
        code = status(cli, &syncs);
    syncs_free(&syncs);
    return code;
}

const struct ls_command ls_command_store = {
    "store", "lockstep's tables and triggers in your database",
    "usage: lockstep store install [--print]\n"
    "       lockstep store check\n"
    "       lockstep store status\n"
    "       lockstep store uninstall [--data]\n\n"
    "install makes what is missing: tables lockstep_*, for each sync the triggers that note\n"
    "changes (your tables are touched by these alone), for each table the view\n"
    "lockstep_status_<table>, and switches SQLite to WAL. It may be run again and again.\n"
    "--print shows the SQL and does nothing.\n"
    "check names the first thing that is missing, and the remedy.\n"
    "status: NEVER counts rows that were never synced, OVER 1H those not synced for an hour;\n"
    "AVG and MAX LAG are the age of the last sync, WAITING that of the oldest change that is\n"
    "not synced yet: the one to watch, for a row that nobody changes may rightly be old.\n"
    "uninstall removes triggers and views; with --data the tables too, and with them all links\n"
    "and history. Needs the pool to be stopped.\n",
    run};
