/* lockstep verify: compare both sides, field by field, and say what differs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/sync/verify.h"
#include "producer/cli/looker.h"

#define SETTLE_MS 30000
#define LINES_SHOWN 20

struct words {
    const char *sync, *account, *settle, *coverage;
    bool all;
};

struct checking {
    struct ls_looker *looker;
    struct ls_sync *sync;
    struct ls_table *table; /* people: a row a sync */
    struct ls_buf syncs, differences, lines;
    int64_t settle_ms;
    double least;
    bool all;
    int exit;
    size_t count, shown;
    int64_t writes_remote, writes_local, held, parked, would_link;
    struct ls_progress progress;
};

static int check_all(struct ls_looker *looker, const struct words *words, struct checking *checking,
                     struct ls_err *err);
static void print(struct ls_cli *cli, struct checking *checking, int64_t elapsed_ms);

static const struct ls_column columns[] = {
    {"SYNC", "sync", false},           {"LOCAL", "local", true},
    {"LINKED", "linked", true},        {"REMOTE", "remote", true},
    {"MATCH", "match", true},          {"MISS_R", "missing_remote", true},
    {"MISS_L", "missing_local", true}, {"DUP", "duplicates", true},
    {"FIELDS", "fields", true},        {"STALE", "stale", true},
    {"EXCLUDED", "excluded", true},    {"UNKNOWN", "unknown", true},
    {"COVERAGE", "coverage", true},
};

static int parse(struct ls_cli *cli, const struct words *words, struct checking *checking,
                 struct ls_err *err)
{
    char *end;

    checking->settle_ms = SETTLE_MS;
    checking->least = 0.95;
    checking->all = words->all;
    if (words->settle &&
        (checking->settle_ms = ls_cli_duration("--settle", words->settle, err)) < 0)
        return -1;
    if (words->coverage) {
        checking->least = strtod(words->coverage, &end) / 100;
        if (end == words->coverage || (*end && strcmp(end, "%") != 0) || checking->least < 0 ||
            checking->least > 1)
            return ls_fail(err, LS_E_USAGE, "'--min-coverage' cannot be '%.40s'", words->coverage);
    }
    return 0;
}

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct words words = {0};
    const struct ls_cli_option options[] = {
        {"sync", &words.sync, NULL},     {"account", &words.account, NULL},
        {"settle", &words.settle, NULL}, {"min-coverage", &words.coverage, NULL},
        {"all", NULL, &words.all},       {0}};
    int64_t began = ls_clock_mono_ms();
    struct checking checking = {0};
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker = {0};
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (argc > 1 || (argc && words.sync))
        return ls_cli_misused(cli, "one sync at a time, or all");
    if (argc)
        words.sync = argv[0];
    checking.looker = &looker;
    if (parse(cli, &words, &checking, &err) < 0)
        return ls_cli_failed(cli, &err);
    checking.table = ls_table_new(cli, columns, LS_COUNT(columns));
    if (ls_looker_open(&looker, cli, words.sync, false, &err) < 0 ||
        check_all(&looker, &words, &checking, &err) < 0) {
        ls_table_free(checking.table);
        code = ls_cli_failed(cli, &err);
        code = code == LS_EXIT_USAGE ? 1 : code; /* 2 says that something differs */
    } else {
        print(cli, &checking, ls_clock_mono_ms() - began);
        code = checking.exit;
    }
    ls_buf_fini(&checking.syncs);
    ls_buf_fini(&checking.differences);
    ls_buf_fini(&checking.lines);
    ls_looker_close(&looker);
    return code;
}

static void on_progress(void *arg, const struct ls_verify_progress *progress)
{
    struct checking *checking = arg;

    if (strcmp(progress->phase, "platform") != 0)
        return;
    if (progress->total > 0)
        checking->progress.total = progress->total;
    ls_progress_set(&checking->progress, progress->done);
}

static void add_text(struct ls_buf *out, const char *key, const char *text)
{
    ls_buf_printf(out, ", \"%s\": ", key);
    if (text)
        ls_buf_json_string(out, text, strlen(text));
    else
        ls_buf_puts(out, "null");
}

static const char *action_of(const struct ls_difference *difference)
{
    return difference->held     ? "HELD"
           : difference->parked ? "PARK"
           : difference->row    ? ls_verdict_name(difference->verdict)
                                : "unknown";
}

static void add_difference(struct checking *checking, const struct ls_difference *difference)
{
    struct ls_buf *out = &checking->differences, *line = &checking->lines;

    if (out->length)
        ls_buf_puts(out, ", ");
    ls_buf_puts(out, "{\"entity\": ");
    ls_buf_json_string(out, checking->sync->mapping->entity,
                       strlen(checking->sync->mapping->entity));
    add_text(out, "sync", checking->sync->mapping->sync);
    add_text(out, "link_uid", difference->uid);
    add_text(out, "local_id", difference->local_id);
    add_text(out, "remote_id", difference->remote_id);
    add_text(out, "kind", ls_difference_name(difference->kind));
    ls_buf_printf(out, ", \"row\": %d", difference->row);
    add_text(out, "action", action_of(difference));
    add_text(out, "cause", difference->cause);
    add_text(out, "error", difference->why);
    ls_buf_printf(out, ", \"parked\": %s, \"fields\": %s}",
                  difference->parked || difference->held ? "true" : "false",
                  difference->fields ? difference->fields : "[]");
    checking->count++;
    if (checking->shown == LINES_SHOWN && !checking->all)
        return;
    checking->shown++;
    ls_buf_printf(line, " %s %s r:%s  %s", checking->sync->mapping->entity,
                  difference->local_id ? difference->local_id : "-",
                  difference->remote_id ? difference->remote_id : "-",
                  ls_difference_name(difference->kind));
    if (difference->text) {
        ls_buf_puts(line, "  ");
        ls_cli_safe(line, difference->text, strlen(difference->text));
    }
    if (difference->row)
        ls_buf_printf(line, "  row %d", difference->row);
    ls_buf_printf(line, "  %s  %s", action_of(difference), difference->cause);
    if (difference->why) {
        ls_buf_puts(line, ": ");
        ls_cli_safe(line, difference->why, strlen(difference->why));
    }
    ls_buf_putc(line, '\n');
}

static void on_done(void *arg, const struct ls_verify_report *report, const struct ls_err *err)
{
    struct checking *checking = arg;
    const struct ls_mapping *mapping = checking->sync->mapping;
    char coverage[32];

    ls_progress_finish(&checking->progress);
    if (err) {
        ls_looker_over(checking->looker, err);
        return;
    }
    const int64_t figures[] = {report->local,      report->linked,         report->remote,
                               report->match,      report->missing_remote, report->missing_local,
                               report->duplicates, report->fields,         report->stale,
                               report->excluded,   report->unknown};
    snprintf(coverage, sizeof coverage, "%.2f%%", report->coverage * 100);
    ls_table_text(checking->table, mapping->sync);
    if (checking->syncs.length)
        ls_buf_puts(&checking->syncs, ", ");
    ls_buf_puts(&checking->syncs, "{\"sync\": ");
    ls_buf_json_string(&checking->syncs, mapping->sync, strlen(mapping->sync));
    for (size_t i = 0; i < LS_COUNT(figures); i++) {
        ls_table_int(checking->table, figures[i]);
        ls_buf_printf(&checking->syncs, ", \"%s\": %" PRId64, columns[i + 1].key, figures[i]);
    }
    ls_table_text(checking->table, coverage);
    ls_buf_printf(&checking->syncs,
                  ", \"coverage\": %.4f, \"would_link\": %" PRId64 ", \"writes_remote\": %" PRId64
                  ", \"writes_local\": %" PRId64 ", \"held\": %" PRId64 ", \"parked\": %" PRId64
                  ", \"ms\": %" PRId64 "}",
                  report->coverage, report->would_link, report->writes_remote, report->writes_local,
                  report->held, report->parked, report->elapsed_ms);
    for (size_t i = 0; i < report->count; i++)
        add_difference(checking, &report->differences[i]);
    checking->exit |= ls_verify_exit(report, checking->least);
    checking->writes_remote += report->writes_remote;
    checking->writes_local += report->writes_local;
    checking->held += report->held;
    checking->would_link += report->would_link;
    checking->parked += report->parked;
    ls_looker_over(checking->looker, NULL);
}

static int check_all(struct ls_looker *looker, const struct words *words, struct checking *checking,
                     struct ls_err *err)
{
    size_t checked = 0;

    for (size_t i = 0; i < ls_engine_sync_count(looker->engine); i++) {
        checking->sync = ls_engine_sync_at(looker->engine, i);
        if (words->account && strcmp(words->account, checking->sync->mapping->account) != 0)
            continue;
        checked++;
        ls_progress_start(&checking->progress, looker->cli, checking->sync->mapping->sync, 0);
        ls_verify_begin(&(struct ls_verify_request){.sync = checking->sync,
                                                    .settle_ms = checking->settle_ms,
                                                    .progress = on_progress},
                        on_done, checking);
        if (ls_looker_wait(looker, 0, err) < 0)
            return ls_wrap(err, "cannot verify '%s'", checking->sync->mapping->sync);
    }
    if (!checked)
        return ls_fail(err, LS_E_CONFIG, "no sync belongs to the account '%.100s'", words->account);
    return 0;
}

static void print(struct ls_cli *cli, struct checking *checking, int64_t elapsed_ms)
{
    char time[64], settle[64];

    if (cli->json) {
        ls_table_free(checking->table);
        printf("{\"syncs\": [%s], \"differences\": [%s], \"ms\": %" PRId64 ", \"exit\": %d}\n",
               checking->syncs.data ? checking->syncs.data : "",
               checking->differences.data ? checking->differences.data : "", elapsed_ms,
               checking->exit);
        return;
    }
    ls_table_print(checking->table, NULL);
    if (checking->would_link)
        printf("equal       %" PRId64 " on both sides, not linked yet\n", checking->would_link);
    printf("differences %zu", checking->count);
    if (checking->count)
        printf(" (each confirmed twice, %s apart)",
               ls_duration_format(settle, sizeof settle, checking->settle_ms));
    putchar('\n');
    if (checking->lines.data)
        fputs(checking->lines.data, stdout);
    if (checking->count > checking->shown)
        printf(" ... %zu more (--all)\n", checking->count - checking->shown);
    printf("plan        writes remote %" PRId64 ", local %" PRId64 ", held deletes %" PRId64
           ", parked %" PRId64 "\n",
           checking->writes_remote, checking->writes_local, checking->held, checking->parked);
    printf("took        %s\n", ls_duration_format(time, sizeof time, elapsed_ms));
    printf("exit        %d%s\n", checking->exit,
           checking->exit == 0  ? " (clean)"
           : checking->exit & 4 ? " (coverage too low for a statement)"
                                : "");
}

const struct ls_command ls_command_verify = {
    "verify", "compare both sides field by field and say what differs",
    "usage: lockstep verify [SYNC] [--account A] [--settle 30s] [--min-coverage 95] [--all]\n"
    "\n"
    "Reads both sides whole, waits for --settle, looks at each difference again and reports\n"
    "what still differs, with the row of the decision table that applies. Writes nothing.\n"
    "\n"
    "exit: 0 clean and complete; 1 it could not be done; 2 differences; 4 coverage below\n"
    "--min-coverage, so no statement; 8 a guard tripped; 16 parked records, held deletes or\n"
    "open conflicts. They add up.\n",
    run};
