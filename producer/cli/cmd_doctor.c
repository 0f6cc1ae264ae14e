/* lockstep doctor: twelve questions that whoever looks after a sync asks, each answered with
 * evidence and, where the answer is bad, with what to do. Reads only. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/queue/stat.h"
#include "common/redis/facts.h"
#include "producer/cli/doctor_store.h"
#include "producer/cli/queues.h"
#include "producer/cli/tests.h"

#define BACKLOG_MINUTES 15
#define OLD_MS \
    (5 * 60 * 1000) /* a job at the head of a lane for so long, and workers there, is a backlog */
#define OVERDUE_MS (60 * 1000) /* a delayed job should have been promoted long ago */
#define FUTURE_MS (60 * 1000)  /* a time stamp so far ahead is a wrong clock */
#define CONFLICT_LIMIT 20

enum verdict { OK, UNUSED, UNKNOWN, WARN, FAIL };

struct finding {
    enum verdict verdict;
    struct ls_buf evidence, remedy; /* of the worst that was said so far */
    enum verdict remedy_of;
};

/* Sums over all queues, or one queue's. */
struct queue_facts {
    char name[65];
    struct ls_queue_stat stat;
    int64_t claimed, done, dead, pushed;   /* within the last BACKLOG_MINUTES */
    int64_t sync_ok, sync_failed, sync_ms; /* within the window of the rules */
};

struct doctor {
    struct ls_cli *cli;
    const struct ls_config *config;
    struct ls_err redis_err;
    bool redis_up;
    struct ls_redis_facts facts;
    struct queue_facts *queues;
    size_t queue_count;
    bool leader;
    int64_t unsent;
    struct ls_doctor_sync *syncs;
    struct ls_err store_err;
    bool store_up;
    int64_t now_ms;
};

static void say(struct finding *finding, enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void remedy(struct finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void gather(struct doctor *doctor);

static void timestamps(struct doctor *doctor, struct finding *finding);
static void duplicates(struct doctor *doctor, struct finding *finding);
static void conflicts(struct doctor *doctor, struct finding *finding);
static void errors(struct doctor *doctor, struct finding *finding);
static void retries(struct doctor *doctor, struct finding *finding);
static void idempotency(struct doctor *doctor, struct finding *finding);
static void monitoring(struct doctor *doctor, struct finding *finding);
static void processing(struct doctor *doctor, struct finding *finding);
static void validation(struct doctor *doctor, struct finding *finding);
static void performance(struct doctor *doctor, struct finding *finding);
static void backlog(struct doctor *doctor, struct finding *finding);
static void logs(struct doctor *doctor, struct finding *finding);

static const struct {
    const char *title;
    void (*look)(struct doctor *doctor, struct finding *finding);
} lines[] = {
    {"Sync timestamps being updated", timestamps},
    {"No duplicate records created", duplicates},
    {"Conflict resolution working", conflicts},
    {"Error handling implemented", errors},
    {"Retry logic configured", retries},
    {"Idempotency in place", idempotency},
    {"Monitoring and alerting active", monitoring},
    {"Queue processing healthy", processing},
    {"Data validation working", validation},
    {"Performance acceptable", performance},
    {"No growing backlog", backlog},
    {"Logs capturing issues", logs},
};

static const char *const verdict_words[] = {"ok", "unused", "unknown", "warn", "FAIL"};

static int run(struct ls_cli *cli, int argc, char **argv)
{
    static const struct ls_column columns[] = {{"", "result", false},
                                               {"NO", "line", true},
                                               {"CHECK", "check", false},
                                               {"EVIDENCE", "evidence", false},
                                               {"REMEDY", "remedy", false}};
    struct doctor doctor = {.cli = cli, .now_ms = ls_clock_wall_ms()};
    struct ls_err err = LS_ERR_INIT;
    struct ls_table *table;
    int code, failures = 0;

    if (ls_cli_options(cli, NULL, &argc, &argv, &code) < 0)
        return code;
    if (argc)
        return ls_cli_misused(cli, "unknown word '%s'", argv[0]);
    doctor.config = ls_cli_config(cli, &err);
    if (!doctor.config)
        return ls_cli_failed(cli, &err);
    gather(&doctor);
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < LS_COUNT(lines); i++) {
        struct finding finding = {0};

        lines[i].look(&doctor, &finding);
        failures += finding.verdict == FAIL;
        if (cli->json) {
            ls_table_text(table, finding.verdict == FAIL ? "fail" : verdict_words[finding.verdict]);
            ls_table_int(table, (int64_t)i + 1);
            ls_table_text(table, lines[i].title);
            ls_table_text(table, finding.evidence.data);
            ls_table_text(table, finding.remedy.data);
        } else { /* sentences, not columns: they must be readable whole */
            printf("%-7s %2zu  %-32s", verdict_words[finding.verdict], i + 1, lines[i].title);
            ls_cli_print_safe(stdout, finding.evidence.data ? finding.evidence.data : "",
                              finding.evidence.length);
            putchar('\n');
            if (finding.remedy.length) {
                fputs("            hint: ", stdout);
                ls_cli_print_safe(stdout, finding.remedy.data, finding.remedy.length);
                putchar('\n');
            }
        }
        ls_buf_fini(&finding.evidence);
        ls_buf_fini(&finding.remedy);
    }
    if (cli->json)
        ls_table_print(table, NULL);
    else
        ls_table_free(table);
    free(doctor.queues);
    ls_doctor_syncs_free(doctor.syncs, doctor.config->sync_count);
    return failures ? LS_EXIT_FAILED : LS_EXIT_OK;
}

/* ---- findings ---- */

/* One more sentence of evidence; the worst verdict stays. */
static void say(struct finding *finding, enum verdict verdict, const char *format, ...)
{
    va_list args;

    if (verdict > finding->verdict)
        finding->verdict = verdict;
    if (finding->evidence.length)
        ls_buf_puts(&finding->evidence, "; ");
    va_start(args, format);
    ls_buf_vprintf(&finding->evidence, format, args);
    va_end(args);
}

static void remedy(struct finding *finding, const char *format, ...)
{
    va_list args;

    if (finding->remedy.length)
        ls_buf_puts(&finding->remedy, "; ");
    va_start(args, format);
    ls_buf_vprintf(&finding->remedy, format, args);
    va_end(args);
}

static void no_redis(struct finding *finding)
{
    say(finding, UNKNOWN, "not known without Redis, see 8");
}

static const char *age(char out[48], int64_t ms)
{
    return ls_duration_format(out, 48, ms < 0 ? 0 : ms < 10000 ? ms : ms / 1000 * 1000);
}

/* ---- facts ---- */

static int read_stat(struct doctor *doctor, const struct ls_keys *keys, struct queue_facts *facts,
                     struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result;

    ls_queue_stat_build(&cmd, keys);
    result = ls_cli_send(doctor->cli, &cmd, &reply, err);
    if (result == 0)
        result = ls_queue_stat_parse(reply, &facts->stat, err);
    facts->stat.counters = NULL; /* they die with the reply */
    facts->stat.paused_by = facts->stat.closed_by = (struct ls_span){0};
    ls_cmd_fini(&cmd);
    return result;
}

static int read_ring(struct doctor *doctor, const struct ls_keys *keys, struct queue_facts *facts,
                     struct ls_err *err)
{
    int64_t now = facts->stat.ms / 60000;
    int64_t window = doctor->config->rules.window_ms / 60000;
    const struct {
        const char *name;
        int64_t *sum;
        int64_t minutes;
    } sums[] = {
        {"pushed", &facts->pushed, BACKLOG_MINUTES}, {"claimed", &facts->claimed, BACKLOG_MINUTES},
        {"done", &facts->done, BACKLOG_MINUTES},     {"dead", &facts->dead, BACKLOG_MINUTES},
        {"sync_ok", &facts->sync_ok, window},        {"sync_failed", &facts->sync_failed, window},
        {"sync_ms", &facts->sync_ms, window},
    };
    const struct ls_reply *reply, *field;
    struct ls_cmd cmd = {0};
    int result;

    ls_queue_ring_build(&cmd, keys);
    result = ls_cli_send(doctor->cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    for (size_t i = 0; result == 0 && (field = ls_reply_item(reply, i)); i += 2) {
        struct ls_span counter;
        int64_t minute;

        if (ls_queue_ring_field(ls_reply_span(field), &minute, &counter) < 0)
            continue;
        for (size_t n = 0; n < LS_COUNT(sums); n++) {
            if (minute > now - sums[n].minutes && ls_span_is(counter, sums[n].name))
                *sums[n].sum += ls_reply_int(ls_reply_item(reply, i + 1), 0);
        }
    }
    return result;
}

static int read_queues(struct doctor *doctor, struct ls_err *err)
{
    struct ls_cli_queues names;
    int result = ls_cli_queues(doctor->cli, &names, err);

    if (result < 0)
        return -1;
    doctor->queues = ls_xcalloc(names.count, sizeof *doctor->queues);
    for (size_t i = 0; i < names.count && result == 0; i++) {
        struct queue_facts *facts = &doctor->queues[doctor->queue_count];
        struct ls_keys keys = {0};

        snprintf(facts->name, sizeof facts->name, "%s", names.names[i]);
        result = ls_keys_init(&keys, names.names[i], err);
        if (result == 0)
            result = read_stat(doctor, &keys, facts, err);
        if (result == 0)
            result = read_ring(doctor, &keys, facts, err);
        doctor->queue_count += result == 0;
        ls_keys_fini(&keys);
    }
    ls_cli_queues_free(&names);
    return result;
}

static int read_fleet(struct doctor *doctor, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result;

    ls_cmd_start(&cmd, "EXISTS");
    ls_cmd_puts(&cmd, LS_KEY_LEADER);
    result = ls_cli_send(doctor->cli, &cmd, &reply, err);
    if (result == 0) {
        doctor->leader = ls_reply_int(reply, 0) > 0;
        ls_cmd_start(&cmd, "LLEN");
        ls_cmd_puts(&cmd, LS_KEY_ALERTS_UNSENT);
        result = ls_cli_send(doctor->cli, &cmd, &reply, err);
    }
    if (result == 0)
        doctor->unsent = ls_reply_int(reply, 0);
    ls_cmd_fini(&cmd);
    return result;
}

static void gather(struct doctor *doctor)
{
    struct ls_err *err = &doctor->redis_err;

    *err = (struct ls_err)LS_ERR_INIT;
    doctor->store_err = (struct ls_err)LS_ERR_INIT;
    if (ls_cli_redis(doctor->cli, err) && read_queues(doctor, err) == 0 &&
        read_fleet(doctor, err) == 0) {
        doctor->redis_up = true;
        doctor->facts = *ls_redis_sync_facts(doctor->cli->redis_open);
    }
    if (doctor->config->sync_count) {
        doctor->syncs = ls_xcalloc(doctor->config->sync_count, sizeof *doctor->syncs);
        doctor->store_up =
            ls_doctor_syncs_read(doctor->config, doctor->syncs, &doctor->store_err) == 0;
    }
}

/* Syncs there are and the store answered; says why not. */
static bool with_store(const struct doctor *doctor, struct finding *finding)
{
    if (!doctor->config->sync_count) {
        say(finding, UNUSED, "no sync is configured");
        return false;
    }
    if (!doctor->store_up) {
        say(finding, FAIL, "%s", doctor->store_err.text);
        if (*doctor->store_err.hint)
            remedy(finding, "%s", doctor->store_err.hint);
        return false;
    }
    return true;
}

/* ---- the twelve ---- */

static void timestamps(struct doctor *doctor, struct finding *finding)
{
    int64_t stale_ms = doctor->config->rules.stale_ms;

    if (!with_store(doctor, finding))
        return;
    for (size_t i = 0; i < doctor->config->sync_count; i++) {
        const struct ls_doctor_sync *sync = &doctor->syncs[i];
        const char *name = doctor->config->syncs[i].name;
        int64_t waits = sync->oldest_dirty_at ? doctor->now_ms - sync->oldest_dirty_at : 0;
        char text[48], other[48];

        if (sync->last_synced_at > doctor->now_ms + FUTURE_MS) {
            say(finding, FAIL, "%s: last synced in the future", name);
            remedy(finding, "set the clocks of this host and of the database's host (NTP)");
        } else if (sync->observing) {
            say(finding, WARN, "%s only observes", name);
            remedy(finding, "lockstep sync start %s", name);
        } else if (sync->stopped) {
            say(finding, WARN, "%s is stopped", name);
            remedy(finding, "lockstep sync start %s", name);
        } else if (waits > stale_ms) {
            say(finding, FAIL, "%s: a change waits for %s", name, age(text, waits));
            remedy(finding, "lockstep queue list; lockstep dead list; lockstep sync status %s",
                   name);
        } else if (!sync->last_synced_at) {
            say(finding, WARN, "%s: nothing was synced yet", name);
            remedy(finding, "lockstep backfill %s", name);
        } else {
            say(finding, OK, "%s: synced %s ago, %lld of %lld wait%s%s", name,
                age(text, doctor->now_ms - sync->last_synced_at), (long long)sync->dirty,
                (long long)sync->linked, waits ? " for at most " : "",
                waits ? age(other, waits) : "");
        }
    }
}

static void duplicates(struct doctor *doctor, struct finding *finding)
{
    if (!with_store(doctor, finding))
        return;
    for (size_t i = 0; i < doctor->config->sync_count; i++) {
        const struct ls_doctor_sync *sync = &doctor->syncs[i];
        const struct ls_config_sync *config = &doctor->config->syncs[i];

        if (sync->duplicates < 0) {
            say(finding, OK, "%s: no field to match by, each id is linked once", config->name);
        } else if (sync->duplicates == 0) {
            say(finding, OK, "%s: %s is unique in %s, each record is linked once", config->name,
                sync->match_column, config->table);
        } else {
            say(finding, FAIL, "%s: %lld values of %s stand in more than one row", config->name,
                (long long)sync->duplicates, sync->match_column);
            remedy(finding, "SELECT %s, COUNT(*) FROM %s GROUP BY %s HAVING COUNT(*) > 1",
                   sync->match_column, config->table, sync->match_column);
        }
    }
}

static void conflicts(struct doctor *doctor, struct finding *finding)
{
    if (!with_store(doctor, finding))
        return;
    for (size_t i = 0; i < doctor->config->sync_count; i++) {
        const struct ls_doctor_sync *sync = &doctor->syncs[i];
        const struct ls_config_sync *config = &doctor->config->syncs[i];
        enum verdict verdict = sync->conflicts > CONFLICT_LIMIT ? FAIL
                               : sync->conflicts                ? WARN
                                                                : OK;

        say(finding, verdict, "%s: policy %s, %lld open", config->name,
            ls_config_policy_name(config->policy), (long long)sync->conflicts);
        if (sync->conflicts)
            remedy(finding, "lockstep verify %s names them; edit either side to decide",
                   config->name);
    }
}

static void errors(struct doctor *doctor, struct finding *finding)
{
    const struct ls_config_rules *rules = &doctor->config->rules;
    int64_t dead = 0, retried = 0, groups = 0, recent = 0, done = 0;
    bool many;

    if (!doctor->redis_up) {
        no_redis(finding);
        return;
    }
    for (size_t i = 0; i < doctor->queue_count; i++) {
        dead += doctor->queues[i].stat.dead;
        groups += doctor->queues[i].stat.dead_groups;
        retried += doctor->queues[i].stat.retried;
        recent += doctor->queues[i].dead;
        done += doctor->queues[i].done;
    }
    many = recent >= rules->min_samples &&
           (double)recent > rules->error_rate * (double)(recent + done);
    if (!dead) {
        say(finding, OK, "every failure was handled: %lld retries, nothing dead",
            (long long)retried);
        return;
    }
    say(finding, many ? FAIL : WARN,
        "%lld dead jobs in %lld groups wait for a decision; in the last %d min %lld died, %lld "
        "were done",
        (long long)dead, (long long)groups, BACKLOG_MINUTES, (long long)recent, (long long)done);
    remedy(finding, "lockstep dead groups; then lockstep dead retry --group G, or discard --group "
                    "G --reason TEXT");
}

static void retries(struct doctor *doctor, struct finding *finding)
{
    for (size_t i = 0; i < doctor->config->queue_count; i++) {
        const struct ls_config_queue *queue = &doctor->config->queues[i];
        const struct ls_config_backoff *backoff = &queue->backoff;
        char base[48], cap[48], max[48], attempts[48] = "";

        if (queue->max_attempts == 1) {
            say(finding, FAIL, "queue %s: one attempt, no retry", queue->name);
            remedy(finding, "remove 'max_attempts: 1' of queue %s", queue->name);
            continue;
        }
        if (queue->max_attempts)
            snprintf(attempts, sizeof attempts, ", at most %lld attempts",
                     (long long)queue->max_attempts);
        say(finding, OK, "queue %s: %s from %s%s%s%s, for %s%s", queue->name,
            backoff->type == LS_CONFIG_BACKOFF_FIXED ? "every" : "exponential",
            age(base, backoff->base_ms), backoff->type == LS_CONFIG_BACKOFF_FIXED ? "" : " to ",
            backoff->type == LS_CONFIG_BACKOFF_FIXED ? "" : age(cap, backoff->cap_ms),
            backoff->jitter == LS_CONFIG_JITTER_FULL ? ", full jitter" : "",
            age(max, queue->max_age_ms), attempts);
    }
}

static void idempotency(struct doctor *doctor, struct finding *finding)
{
    int64_t retention = doctor->config->ledger_retention_ms, longest = 0;
    char text[48], other[48];

    for (size_t i = 0; i < doctor->config->queue_count; i++) {
        if (doctor->config->queues[i].max_age_ms > longest)
            longest = doctor->config->queues[i].max_age_ms;
    }
    if (doctor->config->sync_count && !with_store(doctor, finding))
        return;
    if (doctor->config->sync_count && retention < longest) {
        say(finding, FAIL, "operations are remembered for %s, jobs are retried for %s",
            age(text, retention), age(other, longest));
        remedy(finding, "set 'ledger_retention' above the longest 'max_age'");
        return;
    }
    if (doctor->config->sync_count)
        say(finding, OK, "ledger of writes kept for %s, jobs retried for %s", age(text, retention),
            age(other, longest));
    say(finding, OK, "an id of a producer is taken once in 24 h");
}

static void monitoring(struct doctor *doctor, struct finding *finding)
{
    const struct ls_config *config = doctor->config;

    if (!config->sink_count) {
        say(finding, WARN, "alerts go to the log only");
        remedy(finding, "add a sink under 'alerts'");
    } else {
        say(finding, OK, "%zu alert sinks", config->sink_count);
    }
    for (size_t i = 0; i < config->sink_count; i++) {
        struct ls_err err = LS_ERR_INIT;
        char evidence[256];

        if (ls_test_sink(&config->sinks[i], evidence, &err) < 0)
            say(finding, FAIL, "%s", err.text);
    }
    if (!config->admin.enabled)
        say(finding, OK, "no admin server, so no /metrics");
    else
        say(finding, OK, "metrics on %s", config->admin.listen);
    if (!doctor->redis_up) {
        no_redis(finding);
        return;
    }
    if (doctor->leader) {
        say(finding, OK, "a scheduler watches");
    } else {
        say(finding, FAIL, "no scheduler watches");
        remedy(finding, "lockstep up");
    }
    if (doctor->unsent) {
        say(finding, FAIL, "%lld alerts could not be sent", (long long)doctor->unsent);
        remedy(finding, "see the log for 'alert'; try the sink's address");
    }
}

static void processing(struct doctor *doctor, struct finding *finding)
{
    char warning[256] = "";
    struct ls_err err = LS_ERR_INIT;

    if (!doctor->redis_up) {
        say(finding, FAIL, "%s", doctor->redis_err.text);
        remedy(finding, "%s", *doctor->redis_err.hint ? doctor->redis_err.hint : "lockstep up");
        return;
    }
    if (ls_redis_facts_check(&doctor->facts, ls_redis_sync_shown(doctor->cli->redis_open), warning,
                             &err) < 0) {
        say(finding, FAIL, "%s", err.text);
        remedy(finding, "%s", err.hint);
    } else if (*warning) {
        say(finding, WARN, "%.*s", (int)strcspn(warning, ";"), warning);
        if (strchr(warning, ';'))
            remedy(finding, "%s", strchr(warning, ';') + 2);
    }
    for (size_t i = 0; i < doctor->queue_count; i++) {
        const struct queue_facts *queue = &doctor->queues[i];
        const struct ls_queue_stat *stat = &queue->stat;
        int64_t waiting = stat->pending_high + stat->pending + stat->pending_low;

        if (stat->paused) {
            say(finding, WARN, "queue %s is paused", queue->name);
            remedy(finding, "lockstep queue resume %s", queue->name);
        } else if (stat->closed) {
            say(finding, WARN, "queue %s takes no jobs: it is being drained", queue->name);
            remedy(finding, "lockstep queue resume %s", queue->name);
        } else if (stat->blocked == LS_QUEUE_DEAD_FULL) {
            say(finding, FAIL, "queue %s is at its bound of %lld dead jobs: nothing is claimed",
                queue->name, (long long)stat->max_dead);
            remedy(finding, "lockstep dead groups --queue %s", queue->name);
        } else if (!stat->workers && (waiting || stat->delayed || stat->running ||
                                      strcmp(queue->name, "default") == 0)) {
            say(finding, FAIL, "queue %s has no worker", queue->name);
            remedy(finding, "lockstep up");
        } else if (stat->workers_expired) {
            say(finding, FAIL, "queue %s: the lease of %lld workers ran out and nobody took over",
                queue->name, (long long)stat->workers_expired);
            remedy(finding,
                   "lockstep worker list; a pool with a scheduler takes over: lockstep up");
        } else {
            say(finding, OK, "queue %s: %lld workers, %lld running, %lld done in %d min",
                queue->name, (long long)stat->workers, (long long)stat->running,
                (long long)queue->done, BACKLOG_MINUTES);
        }
    }
}

static void validation(struct doctor *doctor, struct finding *finding)
{
    if (!with_store(doctor, finding))
        return;
    for (size_t i = 0; i < doctor->config->sync_count; i++) {
        const struct ls_config_sync *config = &doctor->config->syncs[i];
        const struct ls_doctor_sync *sync = &doctor->syncs[i];
        int checks = 0;

        for (size_t n = 0; n < config->field_count; n++)
            checks += config->fields[n].check != NULL;
        say(finding, sync->parked ? WARN : OK,
            "%s: %zu typed fields, %d with a check, %lld records parked", config->name,
            config->field_count, checks, (long long)sync->parked);
        if (sync->parked)
            remedy(finding,
                   "SELECT id, last_error FROM lockstep_status_%s WHERE sync_status = 'parked'",
                   config->table);
    }
}

static void performance(struct doctor *doctor, struct finding *finding)
{
    const struct ls_config_rules *rules = &doctor->config->rules;
    int64_t ok = 0, failed = 0, ms = 0;
    char text[48], other[48];

    if (!doctor->redis_up) {
        no_redis(finding);
        return;
    }
    for (size_t i = 0; i < doctor->queue_count; i++) {
        ok += doctor->queues[i].sync_ok;
        failed += doctor->queues[i].sync_failed;
        ms += doctor->queues[i].sync_ms;
    }
    if (ok + failed < rules->min_samples) {
        say(finding, OK, "%lld syncs in the last %s, too few to judge", (long long)(ok + failed),
            age(text, rules->window_ms));
    } else if (ms / (ok + failed) > rules->slow_ms) {
        say(finding, FAIL, "a sync takes %s on average, over %s", age(text, ms / (ok + failed)),
            age(other, rules->slow_ms));
        remedy(finding, "look at the shop's answers (grep timeout in the log), then at 'rate' and "
                        "'concurrency'");
    } else {
        say(finding, OK, "a sync takes %s on average", age(text, ms / (ok + failed)));
    }
    if (ok + failed >= rules->min_samples &&
        (double)failed / (double)(ok + failed) > rules->error_rate) {
        say(finding, FAIL, "%lld of %lld failed", (long long)failed, (long long)(ok + failed));
        remedy(finding, "grep 'sync failed' in the log; lockstep dead groups");
    }
    if (doctor->facts.maxmemory && doctor->facts.used_memory > doctor->facts.maxmemory / 10 * 9) {
        say(finding, FAIL, "Redis uses %lld of %lld MB",
            (long long)(doctor->facts.used_memory >> 20),
            (long long)(doctor->facts.maxmemory >> 20));
        remedy(finding, "raise maxmemory, or look at 'lockstep queue list' for what fills it");
    } else {
        say(finding, OK, "Redis uses %lld MB", (long long)(doctor->facts.used_memory >> 20));
    }
}

static void backlog(struct doctor *doctor, struct finding *finding)
{
    char text[48];

    if (!doctor->redis_up) {
        no_redis(finding);
        return;
    }
    for (size_t i = 0; i < doctor->queue_count; i++) {
        const struct queue_facts *queue = &doctor->queues[i];
        const struct ls_queue_stat *stat = &queue->stat;
        int64_t waiting = stat->pending_high + stat->pending + stat->pending_low;

        if (waiting && stat->oldest_ms > OLD_MS) {
            say(finding, FAIL, "queue %s: %lld wait, the oldest for %s, %lld done in %d min",
                queue->name, (long long)waiting, age(text, stat->oldest_ms), (long long)queue->done,
                BACKLOG_MINUTES);
            remedy(finding, stat->workers ? "more 'runners' or 'concurrency'; an account's 'rate' "
                                            "may hold its jobs back"
                                          : "lockstep up");
        } else if (stat->overdue_ms > OVERDUE_MS && !stat->paused) {
            say(finding, FAIL, "queue %s: a delayed job is overdue by %s", queue->name,
                age(text, stat->overdue_ms));
            remedy(finding, stat->workers ? "lockstep worker list" : "lockstep up");
        } else {
            say(finding, OK, "queue %s: %lld wait, %lld are delayed", queue->name,
                (long long)waiting, (long long)(stat->delayed + stat->reserved + stat->held));
        }
    }
}

static void logs(struct doctor *doctor, struct finding *finding)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct ls_err err = LS_ERR_INIT;
    char evidence[256];

    if (ls_test_log(doctor->config, evidence, &err) < 0) {
        say(finding, FAIL, "%s", err.text);
        remedy(finding, "%s", err.hint);
        return;
    }
    say(finding, doctor->config->log_level > 2 ? WARN : OK, "%s, from level %s on", evidence,
        levels[doctor->config->log_level]);
    if (doctor->config->log_level > 2)
        remedy(finding, "log_level: info");
}

const struct ls_command ls_command_doctor = {"doctor", "twelve checks with evidence and remedy",
                                             "usage: lockstep doctor [--json]\n\n"
                                             "Looks at the configuration, Redis and the database "
                                             "and answers twelve questions, each with its\n"
                                             "evidence and, where the answer is bad, with what to "
                                             "do. Changes nothing. Exit 1 if any fails.\n",
                                             run};
