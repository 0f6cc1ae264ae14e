/* lockstep sync: what is kept in step, how it stands; start and stop it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/sync/verify.h"
#include "producer/cli/looker.h"

#define EXAMPLES 5
#define CONFLICTS_SHOWN 20

struct words {
    bool yes, wait, all;
    const char *limit;
};

static int list(struct ls_cli *cli);
static int status(struct ls_cli *cli, const char *name);
static int start(struct ls_cli *cli, const struct words *words, const char *name);
static int stop(struct ls_cli *cli, const char *name);
static int run_now(struct ls_cli *cli, const char *name);
static int history(struct ls_cli *cli, const struct words *words, const char *name);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct words words = {0};
    const struct ls_cli_option options[] = {{"yes", NULL, &words.yes},
                                            {"wait", NULL, &words.wait},
                                            {"all", NULL, &words.all},
                                            {"limit", &words.limit, NULL},
                                            {0}};
    const char *verb, *name;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    verb = argc ? argv[0] : "list";
    name = argc > 1 ? argv[1] : NULL;
    if (argc > 2)
        return ls_cli_misused(cli, "one sync at a time");
    if (strcmp(verb, "list") == 0 && !name)
        return list(cli);
    if (strcmp(verb, "status") == 0)
        return status(cli, name);
    if (strcmp(verb, "start") == 0)
        return start(cli, &words, name);
    if (strcmp(verb, "stop") == 0)
        return stop(cli, name);
    if (strcmp(verb, "run") == 0)
        return run_now(cli, name);
    if (strcmp(verb, "history") == 0)
        return history(cli, &words, name);
    return ls_cli_misused(cli, "unknown word '%s'", verb);
}

/* ---- how it stands ---- */

struct standing {
    struct ls_looker *looker;
    struct ls_sync_status status;
};

static void on_status(void *arg, const struct ls_sync_status *status, const struct ls_err *err)
{
    struct standing *standing = arg;

    if (!err)
        standing->status = *status;
    ls_looker_over(standing->looker, err);
}

static int get_status(struct ls_looker *looker, const struct ls_sync *sync,
                      struct ls_sync_status *out, struct ls_err *err)
{
    struct standing standing = {.looker = looker};

    ls_store_sync_status(ls_engine_store(looker->engine), sync->mapping, on_status, &standing);
    if (ls_looker_wait(looker, 0, err) < 0)
        return -1;
    *out = standing.status;
    return 0;
}

static const char *state_name(enum ls_sync_state state)
{
    return state == LS_SYNC_ACTIVE ? "active" : state == LS_SYNC_STOPPED ? "stopped" : "observe";
}

static void add_age(struct ls_table *table, int64_t at_ms)
{
    ls_table_duration(table, at_ms > 0 ? ls_clock_wall_ms() - at_ms : -1);
}

static int list(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {
        {"SYNC", "sync", false},           {"ACCOUNT", "account", false},
        {"ENTITY", "entity", false},       {"TABLE", "table", false},
        {"STATE", "state", false},         {"LINKED", "linked", true},
        {"PENDING", "dirty", true},        {"PARKED", "parked", true},
        {"CONFLICTS", "conflicts", true},  {"LAG", "lag_ms", true},
        {"SYNCED", "synced_ago_ms", true},
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
        struct ls_sync_status now;
        if (get_status(&looker, sync, &now, &err) < 0) {
            ls_table_free(table);
            ls_looker_close(&looker);
            return ls_cli_failed(cli, &err);
        }
        ls_table_text(table, sync->mapping->sync);
        ls_table_text(table, sync->mapping->account);
        ls_table_text(table, sync->mapping->entity);
        ls_table_text(table, sync->mapping->table);
        ls_table_text(table, state_name(now.state));
        ls_table_int(table, now.linked);
        ls_table_int(table, now.dirty);
        ls_table_int(table, now.parked);
        ls_table_int(table, now.conflicts);
        add_age(table, now.oldest_dirty_at);
        add_age(table, now.last_synced_at);
    }
    ls_table_print(table, "no syncs are configured");
    ls_looker_close(&looker);
    return LS_EXIT_OK;
}

static void json_text(struct ls_buf *out, const char *key, const char *text)
{
    ls_buf_printf(out, "\"%s\": ", key);
    if (text)
        ls_buf_json_string(out, text, strlen(text));
    else
        ls_buf_puts(out, "null");
}

struct conflicts {
    struct ls_looker *looker;
    struct ls_buf json, text;
    size_t count;
};

static void on_conflicts(void *arg, const struct ls_conflict *rows, size_t count,
                         const struct ls_err *err)
{
    struct conflicts *conflicts = arg;

    for (size_t i = 0; !err && i < count; i++) {
        const struct ls_conflict *row = &rows[i];
        struct ls_buf *json = &conflicts->json, *text = &conflicts->text;
        ls_buf_puts(json, i ? ", {" : "{");
        json_text(json, "uid", row->uid);
        ls_buf_puts(json, ", ");
        json_text(json, "local_id", row->local_id);
        ls_buf_puts(json, ", ");
        json_text(json, "remote_id", row->remote_id);
        ls_buf_puts(json, ", ");
        json_text(json, "field", row->field);
        ls_buf_puts(json, ", ");
        json_text(json, "base", row->base);
        ls_buf_puts(json, ", ");
        json_text(json, "local", row->local);
        ls_buf_puts(json, ", ");
        json_text(json, "remote", row->remote);
        ls_buf_printf(json, ", \"opened_at\": %" PRId64 "}", row->opened_at);
        ls_buf_printf(text, "  conflict  %s %s  field %s: base ",
                      row->local_id ? row->local_id : "-", row->uid, row->field);
        ls_cli_safe(text, row->base ? row->base : "null",
                    strnlen(row->base ? row->base : "null", 60));
        ls_buf_puts(text, ", local ");
        ls_cli_safe(text, row->local ? row->local : "null",
                    strnlen(row->local ? row->local : "null", 60));
        ls_buf_puts(text, ", remote ");
        ls_cli_safe(text, row->remote ? row->remote : "null",
                    strnlen(row->remote ? row->remote : "null", 60));
        ls_buf_putc(text, '\n');
    }
    conflicts->count = err ? 0 : count;
    ls_looker_over(conflicts->looker, err);
}

static void print_status_json(const struct ls_sync *sync, const struct ls_sync_status *now,
                              const struct conflicts *conflicts)
{
    struct ls_buf out = {0};

    ls_buf_putc(&out, '{');
    json_text(&out, "sync", sync->mapping->sync);
    ls_buf_puts(&out, ", ");
    json_text(&out, "account", sync->mapping->account);
    ls_buf_puts(&out, ", ");
    json_text(&out, "entity", sync->mapping->entity);
    ls_buf_puts(&out, ", ");
    json_text(&out, "table", sync->mapping->table);
    ls_buf_printf(&out,
                  ", \"state\": \"%s\", \"linked\": %" PRId64 ", \"dirty\": %" PRId64
                  ", \"parked\": %" PRId64 ", \"conflicts\": %" PRId64 ", \"tombstones\": %" PRId64
                  ", \"started_at\": %" PRId64 ", \"oldest_dirty_at\": %" PRId64
                  ", \"last_synced_at\": %" PRId64 ", \"last_verified_at\": %" PRId64
                  ", \"open_conflicts\": [%s]}\n",
                  state_name(now->state), now->linked, now->dirty, now->parked, now->conflicts,
                  now->tombstones, now->started_at, now->oldest_dirty_at, now->last_synced_at,
                  now->last_verified_at, conflicts->json.data ? conflicts->json.data : "");
    fputs(out.data, stdout);
    ls_buf_fini(&out);
}

static void print_ago(const char *label, int64_t at_ms, const char *never)
{
    char age[64];

    if (at_ms > 0)
        printf("  %-9s %s ago\n", label,
               ls_duration_format(age, sizeof age, ls_clock_wall_ms() - at_ms));
    else
        printf("  %-9s %s\n", label, never);
}

static void print_status(const struct ls_sync *sync, const struct ls_sync_status *now,
                         const struct conflicts *conflicts)
{
    printf("%s: %s of '%s', table '%s', %s\n", sync->mapping->sync, sync->mapping->entity,
           sync->mapping->account, sync->mapping->table, state_name(now->state));
    printf("  linked    %" PRId64 "\n  pending   %" PRId64 "\n  parked    %" PRId64
           "\n  conflicts %" PRId64 "\n",
           now->linked, now->dirty, now->parked, now->conflicts);
    print_ago("oldest", now->oldest_dirty_at, "nothing waits");
    print_ago("synced", now->last_synced_at, "never");
    print_ago("verified", now->last_verified_at, "never");
    if (conflicts->text.data)
        fputs(conflicts->text.data, stdout);
    if ((size_t)now->conflicts > conflicts->count)
        printf("  ... %zu more\n", (size_t)now->conflicts - conflicts->count);
    if (now->state == LS_SYNC_OBSERVE)
        printf("  it only observes: 'lockstep sync start %s' shows what it would write, and starts "
               "it\n",
               sync->mapping->sync);
}

static int status(struct ls_cli *cli, const char *name)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_sync_status now;
    struct conflicts conflicts = {0};
    struct ls_looker looker;
    struct ls_sync *sync = NULL;
    int code = LS_EXIT_OK;

    conflicts.looker = &looker;
    if (ls_looker_open(&looker, cli, name, false, &err) == 0)
        sync = ls_looker_sync(&looker, name, &err);
    if (!sync || get_status(&looker, sync, &now, &err) < 0) {
        ls_looker_close(&looker);
        return ls_cli_failed(cli, &err);
    }
    ls_store_conflicts(ls_engine_store(looker.engine), sync->mapping, CONFLICTS_SHOWN, on_conflicts,
                       &conflicts);
    if (ls_looker_wait(&looker, 0, &err) < 0)
        code = ls_cli_failed(cli, &err);
    else if (cli->json)
        print_status_json(sync, &now, &conflicts);
    else
        print_status(sync, &now, &conflicts);
    ls_buf_fini(&conflicts.json);
    ls_buf_fini(&conflicts.text);
    ls_looker_close(&looker);
    return code;
}

/* ---- start: the plan first ---- */

struct planning {
    struct ls_looker *looker;
    struct ls_progress progress;
    const struct ls_sync *sync;
};

static void on_progress(void *arg, const struct ls_verify_progress *progress)
{
    struct planning *planning = arg;

    if (strcmp(progress->phase, "platform") != 0)
        return;
    if (progress->total > 0)
        planning->progress.total = progress->total;
    ls_progress_set(&planning->progress, progress->done);
}

static void print_plan_json(const struct ls_sync *sync, const struct ls_verify_report *report)
{
    printf("{\"sync\": \"%s\", \"local\": %" PRId64 ", \"remote\": %" PRId64
           ", \"linked\": %" PRId64 ", \"would_link\": %" PRId64 ", \"creates_remote\": %" PRId64
           ", \"creates_local\": %" PRId64 ", \"writes_remote\": %" PRId64
           ", \"writes_local\": %" PRId64 ", \"held\": %" PRId64 ", \"parked\": %" PRId64
           ", \"waiting\": %" PRId64 "}\n",
           sync->mapping->sync, report->local, report->remote, report->linked, report->would_link,
           report->creates_remote, report->creates_local, report->writes_remote,
           report->writes_local, report->held, report->parked, report->excluded);
}

static void print_examples(const struct ls_verify_report *report)
{
    size_t shown = 0;

    for (size_t i = 0; i < report->count && shown < EXAMPLES; i++) {
        const struct ls_difference *difference = &report->differences[i];
        struct ls_buf line = {0};
        ls_buf_printf(&line, "  %s %s  row %d, %s",
                      difference->local_id ? difference->local_id : "-",
                      difference->remote_id ? difference->remote_id : "-", difference->row,
                      ls_verdict_name(difference->verdict));
        if (difference->text) {
            ls_buf_puts(&line, ": ");
            ls_cli_safe(&line, difference->text, strlen(difference->text));
        }
        puts(line.data);
        ls_buf_fini(&line);
        shown++;
    }
    if (report->count > shown)
        printf("  ... %zu more: 'lockstep verify --all --settle 0' shows each\n",
               report->count - shown);
}

static void print_plan(const struct ls_sync *sync, const struct ls_verify_report *report)
{
    int64_t updates_remote = report->writes_remote - report->creates_remote;
    int64_t updates_local = report->writes_local - report->creates_local;

    printf("plan of '%s': %" PRId64 " rows here, %" PRId64 " records there\n", sync->mapping->sync,
           report->local, report->remote);
    printf("  linked and equal        %" PRId64 "\n", report->match);
    printf("  would be linked         %" PRId64 "\n", report->would_link);
    printf("  writes to the platform  %" PRId64 " new, %" PRId64 " changed\n",
           report->creates_remote, updates_remote > 0 ? updates_remote : 0);
    printf("  writes to the database  %" PRId64 " new, %" PRId64 " changed\n",
           report->creates_local, updates_local > 0 ? updates_local : 0);
    printf("  left to a person        %" PRId64 " parked, %" PRId64 " deletes held\n",
           report->parked, report->held);
    if (report->excluded)
        printf("  changing just now       %" PRId64 "\n", report->excluded);
    print_examples(report);
}

static void on_planned(void *arg, const struct ls_verify_report *report, const struct ls_err *err)
{
    struct planning *planning = arg;

    ls_progress_finish(&planning->progress);
    if (!err && planning->looker->cli->json)
        print_plan_json(planning->sync, report);
    else if (!err)
        print_plan(planning->sync, report);
    fflush(stdout);
    ls_looker_over(planning->looker, err);
}

static void on_set(void *arg, const struct ls_err *err)
{
    ls_looker_over(arg, err);
}

static int set_state(struct ls_looker *looker, const struct ls_sync *sync, enum ls_sync_state state,
                     struct ls_err *err)
{
    ls_store_sync_set_state(ls_engine_store(looker->engine), sync->mapping, state, on_set, looker);
    return ls_looker_wait(looker, 0, err);
}

/* Somebody at a terminal is asked; a script has decided. */
static bool is_wanted(struct ls_cli *cli, const struct words *words)
{
    char answer[16];

    if (words->yes || cli->json || !isatty(STDIN_FILENO))
        return true;
    fputs("start it? [y/N] ", stderr);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int plan(struct ls_looker *looker, const struct ls_sync *sync, struct ls_err *err)
{
    struct planning planning = {.looker = looker, .sync = sync};

    ls_progress_start(&planning.progress, looker->cli, "comparing", 0);
    ls_verify_begin(&(struct ls_verify_request){.sync = (struct ls_sync *)sync,
                                                .max_candidates = 100000,
                                                .progress = on_progress},
                    on_planned, &planning);
    return ls_looker_wait(looker, 0, err);
}

static char *sync_data(const struct ls_sync *sync, const char *more)
{
    struct ls_buf data = {0};

    ls_buf_puts(&data, "{\"sync\":");
    ls_buf_json_string(&data, sync->mapping->sync, strlen(sync->mapping->sync));
    ls_buf_puts(&data, more);
    ls_buf_putc(&data, '}');
    return ls_buf_take(&data);
}

static int start_opened(struct ls_looker *looker, const struct ls_sync *sync,
                        const struct words *words, struct ls_err *err)
{
    struct ls_cli *cli = looker->cli;
    char *data = sync_data(sync, "");
    int64_t newest = 0;
    int result = -1;

    if (!ls_cli_redis(cli, err)) /* without a queue the backfill would never begin: say so before
                                    anything changes */
        goto out;
    if (plan(looker, sync, err) < 0)
        goto out;
    if (!is_wanted(cli, words)) {
        ls_cli_note(cli, "not started, nothing was written");
        result = 0;
        goto out;
    }
    newest = ls_looker_newest_run(looker, sync, err);
    if (newest < 0 || set_state(looker, sync, LS_SYNC_ACTIVE, err) < 0 ||
        ls_looker_push(cli, sync, "backfill", NULL, data, err) < 0)
        goto out;
    ls_cli_note(cli, "'%s' is active, its backfill is queued", sync->mapping->sync);
    result = words->wait ? ls_looker_follow(looker, sync, "backfill", newest, err) : 0;
out:
    free(data);
    return result;
}

static int start(struct ls_cli *cli, const struct words *words, const char *name)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker;
    struct ls_sync *sync = NULL;
    int code = LS_EXIT_OK;

    if (ls_looker_open(&looker, cli, name, true, &err) == 0)
        sync = ls_looker_sync(&looker, name, &err);
    if (!sync || start_opened(&looker, sync, words, &err) < 0)
        code = ls_cli_failed(cli, &err);
    ls_looker_close(&looker);
    return code;
}

static int stop(struct ls_cli *cli, const char *name)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker;
    struct ls_sync *sync = NULL;
    int code = LS_EXIT_OK;

    if (ls_looker_open(&looker, cli, name, true, &err) == 0)
        sync = ls_looker_sync(&looker, name, &err);
    if (!sync || set_state(&looker, sync, LS_SYNC_STOPPED, &err) < 0)
        code = ls_cli_failed(cli, &err);
    else
        ls_cli_note(cli, "'%s' is stopped: changes are remembered, nothing is written",
                    sync->mapping->sync);
    ls_looker_close(&looker);
    return code;
}

/* ---- now, and what was ---- */

static int run_now(struct ls_cli *cli, const char *name)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker;
    struct ls_sync *sync = NULL;
    char *data = NULL, *scan = NULL;
    int code = LS_EXIT_OK;

    if (ls_looker_open(&looker, cli, name, false, &err) == 0)
        sync = ls_looker_sync(&looker, name, &err);
    if (sync) {
        data = sync_data(sync, "");
        scan = sync_data(sync, ",\"scan\":\"stock\"");
    }
    if (!sync || ls_looker_push(cli, sync, "delta", NULL, data, &err) < 0 ||
        (sync->can->blind && ls_looker_push(cli, sync, "delta", "scan", scan, &err) < 0))
        code = ls_cli_failed(cli, &err);
    else
        ls_cli_note(cli, "the delta of '%s' is queued", sync->mapping->sync);
    free(data);
    free(scan);
    ls_looker_close(&looker);
    return code;
}

struct past {
    struct ls_looker *looker;
    struct ls_table *table;
};

static void on_runs(void *arg, const struct ls_run_row *runs, size_t count,
                    const struct ls_err *err)
{
    struct past *past = arg;

    for (size_t i = 0; !err && i < count; i++) {
        char at[LS_CLOCK_TEXT_SIZE];
        ls_table_int(past->table, runs[i].id);
        ls_table_text(past->table, runs[i].kind);
        ls_table_text(past->table, ls_clock_format(at, runs[i].started_at));
        ls_table_duration(past->table,
                          runs[i].ended_at ? runs[i].ended_at - runs[i].started_at : -1);
        ls_table_both(past->table, runs[i].stats ? runs[i].stats : "-",
                      runs[i].stats ? runs[i].stats : "null");
    }
    ls_looker_over(past->looker, err);
}

static int history(struct ls_cli *cli, const struct words *words, const char *name)
{
    static const struct ls_column columns[] = {
        {"RUN", "run", true}, {"KIND", "kind", false},  {"STARTED", "started_at", false},
        {"TOOK", "ms", true}, {"WHAT", "stats", false},
    };
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker;
    struct past past = {.looker = &looker};
    struct ls_sync *sync = NULL;
    int64_t limit = 20;

    if (words->limit && ls_cli_number("--limit", words->limit, 1, 10000, &limit, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (ls_looker_open(&looker, cli, name, false, &err) == 0)
        sync = ls_looker_sync(&looker, name, &err);
    if (!sync) {
        ls_looker_close(&looker);
        return ls_cli_failed(cli, &err);
    }
    past.table = ls_table_new(cli, columns, LS_COUNT(columns));
    ls_store_runs(ls_engine_store(looker.engine), sync->mapping, (size_t)limit, on_runs, &past);
    if (ls_looker_wait(&looker, 0, &err) < 0) {
        ls_table_free(past.table);
        ls_looker_close(&looker);
        return ls_cli_failed(cli, &err);
    }
    ls_table_print(past.table, "nothing ran yet");
    ls_looker_close(&looker);
    return LS_EXIT_OK;
}

const struct ls_command ls_command_sync = {
    "sync", "what is kept in step and how it stands; start and stop it",
    "usage: lockstep sync list\n"
    "       lockstep sync status [NAME]\n"
    "       lockstep sync start NAME [--yes] [--wait]\n"
    "       lockstep sync stop NAME\n"
    "       lockstep sync run NAME\n"
    "       lockstep sync history NAME [--limit N]\n"
    "\n"
    "A new sync only observes: it links records that are equal on both sides and writes\n"
    "nothing. `start` shows what it would write, asks at a terminal (--yes: does not ask),\n"
    "makes the sync active and queues its backfill; --wait follows it with a progress bar.\n"
    "`run` queues a delta now instead of at its next time.\n",
    run};
