/* lockstep explain: one record, what both sides hold, and what would be decided now and why. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/sync/reconcile.h"
#include "producer/cli/looker.h"

struct explaining {
    struct ls_looker *looker;
    const struct ls_sync *sync;
};

static int print_rules(struct ls_cli *cli);
static void on_look(void *arg, const struct ls_explanation *look);
static void on_done(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err);

static int explain(struct ls_looker *looker, const char *sync_name, const char *record, bool remote,
                   struct ls_err *err)
{
    struct explaining explaining = {.looker = looker};
    const char *sync = sync_name;
    bool is_uid = (record[0] == 'l' || record[0] == 'r') && record[1] == '-' && record[2];
    char *uid;
    int result;

    explaining.sync = ls_looker_sync(looker, sync, err);
    if (!explaining.sync)
        return -1;
    uid =
        is_uid && !remote ? ls_xstrdup(record) : ls_xasprintf("%c-%s", remote ? 'r' : 'l', record);
    ls_reconcile_begin(&(struct ls_reconcile_request){.sync = (struct ls_sync *)explaining.sync,
                                                      .uid = uid,
                                                      .look = on_look},
                       on_done, &explaining);
    result = ls_looker_wait(looker, 0, err);
    free(uid);
    return result;
}

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *sync = NULL;
    bool remote = false, table = false;
    const struct ls_cli_option options[] = {
        {"sync", &sync, NULL}, {"remote", NULL, &remote}, {"table", NULL, &table}, {0}};
    struct ls_err err = LS_ERR_INIT;
    struct ls_looker looker;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (table)
        return argc ? ls_cli_misused(cli, "--table stands alone") : print_rules(cli);
    if (argc != 1)
        return ls_cli_misused(cli, argc ? "one record at a time" : "which record?");
    code = LS_EXIT_OK;
    if (ls_looker_open(&looker, cli, sync, false, &err) < 0 ||
        explain(&looker, sync, argv[0], remote, &err) < 0)
        code = ls_cli_failed(cli, &err);
    ls_looker_close(&looker);
    return code;
}

/* ---- a record ---- */

static const char *link_state(const struct ls_snapshot *snapshot)
{
    static const char *const names[] = {[LS_LINK_NEW] = "new",
                                        [LS_LINK_LINKED] = "linked",
                                        [LS_LINK_PARKED] = "parked",
                                        [LS_LINK_TOMB] = "tombstone"};

    return names[snapshot->state];
}

static void add_value(struct ls_table *table, const struct ls_record *record, size_t field)
{
    const struct ls_value *value =
        record && ls_record_present(record) ? &record->values[field] : NULL;
    struct ls_buf json = {0};

    if (!value || value->state != LS_VALUE_SET) {
        ls_table_both(table, value && value->state == LS_VALUE_NULL ? "null" : "-", "null");
        return;
    }
    ls_buf_json_string(&json, value->text, value->length);
    ls_table_both(table, value->text, json.data);
    ls_buf_fini(&json);
}

static void print_fields(struct ls_cli *cli, const struct ls_mapping *mapping,
                         const struct ls_explanation *look)
{
    static const struct ls_column columns[] = {
        {"FIELD", "field", false}, {"OWNER", "owner", false},   {"BASE", "base", false},
        {"LOCAL", "local", false}, {"REMOTE", "remote", false}, {"ACTION", "action", false},
    };
    static const char *const owners[] = {"merge", "local", "remote"};
    struct ls_table *table = ls_table_new(cli, columns, LS_COUNT(columns));
    bool fields = look->plan->verdict == LS_VERDICT_MERGE || look->plan->verdict == LS_VERDICT_LINK;

    for (size_t i = 0; i < mapping->count; i++) {
        ls_table_text(table, mapping->fields[i].name);
        ls_table_text(table, owners[mapping->fields[i].owner]);
        add_value(table, &look->snapshot->base, i);
        add_value(table, &look->snapshot->local, i);
        add_value(table, look->remote ? &look->remote->record : NULL, i);
        ls_table_text(table, !fields              ? NULL
                             : look->own >> i & 1 ? "ours, push"
                                                  : ls_act_name(look->plan->acts[i]));
    }
    ls_table_print(table, NULL);
}

static void print_operations(const struct ls_snapshot *snapshot)
{
    static const char *const kinds[] = {"create", "update", "delete"};
    static const char *const states[] = {"sent", "ok", "rejected", "to be tried again",
                                         "outcome unknown"};
    char age[64];

    for (size_t i = 0; i < snapshot->op_count; i++)
        printf("  open      %s, %s, begun %s ago, attempts %d\n", kinds[snapshot->ops[i].kind],
               states[snapshot->ops[i].state],
               ls_duration_format(age, sizeof age, ls_clock_wall_ms() - snapshot->ops[i].first_at),
               snapshot->ops[i].attempts);
}

static void print_head(const struct ls_mapping *mapping, const struct ls_explanation *look)
{
    const struct ls_snapshot *snapshot = look->snapshot;
    char age[64];

    printf("%s %s of sync '%s' with '%s'\n", mapping->entity, look->uid, mapping->sync,
           mapping->account);
    printf("  link      local %s, remote %s, %s\n", snapshot->local_id ? snapshot->local_id : "-",
           look->remote          ? look->remote->id
           : snapshot->remote_id ? snapshot->remote_id
                                 : "-",
           link_state(snapshot));
    if (snapshot->local_gen || snapshot->remote_gen)
        printf("  marked    %s%s%s, for %s\n", snapshot->local_gen ? "local" : "",
               snapshot->local_gen && snapshot->remote_gen ? " and " : "",
               snapshot->remote_gen ? "remote" : "",
               ls_duration_format(age, sizeof age, ls_clock_wall_ms() - snapshot->first_at));
    else
        puts("  marked    no: nothing is known to have changed");
    print_operations(snapshot);
    if (look->trashed)
        puts("  remote    lies in the platform's trash");
    if (snapshot->error) {
        fputs("  last      ", stdout);
        ls_cli_print_safe(stdout, snapshot->error, strlen(snapshot->error));
        putchar('\n');
    }
}

static void print_decision(const struct ls_mapping *mapping, const struct ls_explanation *look)
{
    static const char *const sides[] = {"absent", "as the base", "changed", "there", "unreadable"};
    const struct ls_plan *plan = look->plan;
    size_t count;
    const struct ls_rule_text *rules = ls_decide_rules(&count);

    printf("  database %s, platform %s\n", sides[plan->local], sides[plan->remote]);
    printf("  row %d: %s -> %s\n", plan->row, ls_decide_row_text(plan->row),
           ls_verdict_name(plan->verdict));
    printf("  policy '%s' says: %s\n", ls_config_policy_name((int)mapping->policy),
           rules[plan->row - 1].cells[mapping->policy]);
    if (plan->reassert)
        puts("  a field's owner overrules a change of the other side");
    if (!look->snapshot->writes_allowed)
        puts("  the sync is not active: nothing would be written");
    if (look->snapshot->recent_writes)
        printf("  written in both directions %" PRId64 " times in the last 10 minutes\n",
               look->snapshot->recent_writes);
}

static void print_json(struct ls_cli *cli, const struct ls_mapping *mapping,
                       const struct ls_explanation *look)
{
    const struct ls_snapshot *snapshot = look->snapshot;
    const char *remote_id = look->remote ? look->remote->id : snapshot->remote_id;
    struct ls_buf out = {0};

    ls_buf_puts(&out, "{\"uid\": ");
    ls_buf_json_string(&out, look->uid, strlen(look->uid));
    ls_buf_printf(&out, ", \"sync\": \"%s\", \"local_id\": ", mapping->sync);
    if (snapshot->local_id)
        ls_buf_json_string(&out, snapshot->local_id, strlen(snapshot->local_id));
    else
        ls_buf_puts(&out, "null");
    ls_buf_puts(&out, ", \"remote_id\": ");
    if (remote_id)
        ls_buf_json_string(&out, remote_id, strlen(remote_id));
    else
        ls_buf_puts(&out, "null");
    ls_buf_printf(
        &out,
        ", \"state\": \"%s\", \"marked\": %s, \"open_operations\": %zu, \"row\": %d, "
        "\"because\": \"%s\", \"verdict\": \"%s\", \"writes_allowed\": %s, \"error\": ",
        link_state(snapshot), snapshot->local_gen || snapshot->remote_gen ? "true" : "false",
        snapshot->op_count, look->plan->row, ls_decide_row_text(look->plan->row),
        ls_verdict_name(look->plan->verdict), snapshot->writes_allowed ? "true" : "false");
    if (snapshot->error)
        ls_buf_json_string(&out, snapshot->error, strlen(snapshot->error));
    else
        ls_buf_puts(&out, "null");
    ls_buf_puts(&out, ", \"fields\": ");
    fputs(out.data, stdout);
    ls_buf_fini(&out);
    print_fields(cli, mapping, look);
    puts("}");
}

static void on_look(void *arg, const struct ls_explanation *look)
{
    struct explaining *explaining = arg;
    const struct ls_mapping *mapping = explaining->sync->mapping;
    struct ls_cli *cli = explaining->looker->cli;

    if (cli->json) {
        print_json(cli, mapping, look);
        return;
    }
    print_head(mapping, look);
    print_fields(cli, mapping, look);
    print_decision(mapping, look);
}

static void on_done(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err)
{
    struct explaining *explaining = arg;

    ls_looker_over(explaining->looker, err);
}

/* ---- the table ---- */

static int print_rules(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {
        {"ROW", "row", true},
        {"BASE", "base", false},
        {"LOCAL", "local", false},
        {"REMOTE", "remote", false},
        {"FIELDS", "fields", false},
        {"LAST_WRITE_WINS", "last_write_wins", false},
        {"VERSION", "version", false},
        {"LOCAL", "policy_local", false},
        {"REMOTE", "policy_remote", false},
        {"MANUAL", "manual", false},
    };
    size_t count;
    const struct ls_rule_text *rules = ls_decide_rules(&count);
    struct ls_table *table = ls_table_new(cli, columns, LS_COUNT(columns));

    for (size_t i = 0; i < count; i++) {
        ls_table_int(table, rules[i].row);
        ls_table_text(table, rules[i].base);
        ls_table_text(table, rules[i].local);
        ls_table_text(table, rules[i].remote);
        for (size_t policy = 0; policy < LS_COUNT(rules[i].cells); policy++)
            ls_table_text(table, rules[i].cells[policy]);
    }
    ls_table_print(table, NULL);
    if (!cli->json)
        puts("base: - none, B agreed, T deleted on both sides; sides: - absent, = as the base, d "
             "changed, P present");
    return LS_EXIT_OK;
}

const struct ls_command ls_command_explain = {
    "explain", "one record: what both sides hold, what would be decided and why",
    "usage: lockstep explain RECORD [--sync NAME] [--remote]\n"
    "       lockstep explain --table\n"
    "\n"
    "RECORD is the id of the application's row (with --remote: the platform's id) or the\n"
    "record's own name (l-12, r-77). Reads both sides now and writes nothing. --table prints\n"
    "the decision table: a row a situation, a column a policy.\n",
    run};
