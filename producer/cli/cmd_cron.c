/* lockstep cron: the schedules and their next ticks; try an expression; push a schedule's job now. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/id.h"
#include "common/queue/cron.h"
#include "common/schedule/schedule.h"
#include "producer/cli/cli.h"
#include "producer/lib/pusher.h"

#define COUNT_DEFAULT 5
#define COUNT_MAX 1000

struct words {
    const char *zone, *count, *from;
};

static int list(struct ls_cli *cli);
static int next(struct ls_cli *cli, const struct words *words, const char *expression);
static int run_now(struct ls_cli *cli, const char *name);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct words words = {0};
    const struct ls_cli_option options[] = {{"zone", &words.zone, NULL},
                                            {"count", &words.count, NULL},
                                            {"from", &words.from, NULL},
                                            {0}};
    const char *verb, *word;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    verb = argc ? argv[0] : "list";
    word = argc > 1 ? argv[1] : NULL;
    if (strcmp(verb, "next") != 0 && (words.zone || words.count || words.from))
        return ls_cli_misused(cli, "'--zone', '--count' and '--from' go with 'next' only");
    if (strcmp(verb, "list") == 0 && !word)
        return list(cli);
    if (strcmp(verb, "next") == 0 && argc > 2)
        return ls_cli_misused(cli, "the expression is one word: put it in quotes");
    if (strcmp(verb, "next") == 0)
        return word ? next(cli, &words, word) : ls_cli_misused(cli, "which expression?");
    if (strcmp(verb, "run") == 0 && argc > 2)
        return ls_cli_misused(cli, "one schedule at a time");
    if (strcmp(verb, "run") == 0)
        return word ? run_now(cli, word) : ls_cli_misused(cli, "which schedule?");
    return ls_cli_misused(cli, "unknown word '%s'", verb);
}

/* ---- how they stand ---- */

static int ask_states(struct ls_cli *cli, const struct ls_schedules *schedules,
                      const struct ls_reply **reply, struct ls_err *err)
{
    const char **names = ls_xcalloc(schedules->count, sizeof *names);
    struct ls_cmd cmd = {0};
    int result;

    for (size_t i = 0; i < schedules->count; i++)
        names[i] = schedules->items[i].name;
    ls_cron_states_build(&cmd, names, schedules->count);
    result = ls_cli_send(cli, &cmd, reply, err);
    ls_cmd_fini(&cmd);
    free(names);
    return result;
}

/* "2026-11-24T03:00:00Z"; -1: none. */
static void add_utc(struct ls_table *table, int64_t ms)
{
    char text[LS_CLOCK_TEXT_SIZE];

    if (ms < 0) {
        ls_table_text(table, NULL);
        return;
    }
    ls_clock_format(text, ms);
    snprintf(text + 19, sizeof text - 19, "Z"); /* ticks are whole seconds, to people at least */
    ls_table_text(table, text);
}

static void add_local(struct ls_table *table, const struct ls_zone *zone, int64_t ms)
{
    char text[LS_ZONE_TEXT_SIZE];

    if (ms < 0)
        ls_table_text(table, NULL);
    else if (zone)
        ls_table_text(table, ls_zone_format(zone, ms, text));
    else
        add_utc(table, ms);
}

static const char *const catch_up_words[] = {[LS_CONFIG_CATCH_UP_LAST] = "last",
                                             [LS_CONFIG_CATCH_UP_ALL] = "all",
                                             [LS_CONFIG_CATCH_UP_SKIP] = "skip"};

static void add_row(struct ls_table *table, const struct ls_schedule *schedule,
                    struct ls_cron_state state, int64_t now_ms)
{
    int64_t tick = schedule->enabled ? ls_pace_next(&schedule->pace, now_ms) : -1;
    char *shown = ls_schedule_shown(schedule);

    if (!ls_span_is(state.spec, schedule->spec)) /* of a pace it had before */
        state = (struct ls_cron_state){.done = -1, .firing = -1};
    ls_table_text(table, schedule->name);
    ls_table_text(table, shown);
    ls_table_text(table, schedule->zone);
    add_local(table, schedule->pace.zone, tick);
    add_utc(table, tick);
    add_utc(table, state.done);
    add_utc(table, state.firing);
    ls_table_bool(table, schedule->enabled);
    ls_table_text(table, catch_up_words[schedule->catch_up]);
    ls_table_text(table, schedule->kind);
    ls_table_text(table, schedule->queue);
    free(shown);
}

static int list(struct ls_cli *cli)
{
    static const struct ls_column columns[] = {
        {"NAME", "name", false, true},
        {"SPEC", "spec", false, true},
        {"ZONE", "zone", false},
        {"NEXT", "next_local", false, true},
        {"NEXT UTC", "next", false, true},
        {"LAST UTC", "last", false, true},
        {NULL, "firing", false},
        {"ENABLED", "enabled", false},
        {NULL, "catch_up", false},
        {NULL, "kind", false},
        {NULL, "queue", false},
    };
    struct ls_schedules schedules = {0};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_config *config = ls_cli_config_public(cli, &err);
    const struct ls_reply *reply = NULL;
    struct ls_table *table;
    int64_t now_us = 0; /* by Redis' clock, which decides when a tick is due */

    if (!config || ls_schedules_make(&schedules, config, &err) < 0 ||
        (schedules.count && (ls_cli_redis_us(cli, &now_us, &err) < 0 ||
                             ask_states(cli, &schedules, &reply, &err) < 0))) {
        ls_schedules_fini(&schedules);
        return ls_cli_failed(cli, &err);
    }
    table = ls_table_new(cli, columns, LS_COUNT(columns));
    for (size_t i = 0; i < schedules.count; i++)
        add_row(table, &schedules.items[i],
                ls_cron_state_read(ls_reply_span(ls_reply_item(reply, i))), now_us / 1000);
    ls_table_print(table, "there are no schedules: add some under 'schedules'");
    ls_schedules_fini(&schedules);
    return LS_EXIT_OK;
}

/* ---- trying an expression ---- */

static int parse_from(const char *text, int64_t *ms, struct ls_err *err)
{
    if (ls_cli_time("--from", text, ms, err) < 0)
        return -1;
    if (*ms >= 0)
        return 0;
    ls_fail(err, LS_E_USAGE, "'--from' cannot be '%.60s'", text);
    return ls_hint(err, "a time in UTC since 1970, 2026-11-23T10:00:00Z, or ms since 1970");
}

static int print_ticks(struct ls_cli *cli, const struct ls_pace *pace, int64_t after_ms,
                       int64_t count)
{
    static const struct ls_column columns[] = {
        {"LOCAL", "local", false, true}, {"UTC", "utc", false, true}, {"IN", "in_ms", true}};
    struct ls_table *table = ls_table_new(cli, columns, LS_COUNT(columns));
    int64_t tick = after_ms;

    for (int64_t i = 0; i < count; i++) {
        tick = ls_pace_next(pace, tick);
        if (tick < 0)
            break;
        add_local(table, pace->zone, tick);
        add_utc(table, tick);
        ls_table_duration(table, tick - after_ms);
    }
    ls_table_print(table, "there is none before the year 10000");
    return LS_EXIT_OK;
}

static int next(struct ls_cli *cli, const struct words *words, const char *expression)
{
    int64_t after_ms = ls_clock_wall_ms(), count = COUNT_DEFAULT; /* no Redis is asked here */
    struct ls_pace pace = {0};
    struct ls_err err = LS_ERR_INIT;
    int code = -1;

    if ((!words->count ||
         ls_cli_number("--count", words->count, 1, COUNT_MAX, &count, &err) == 0) &&
        (!words->from || parse_from(words->from, &after_ms, &err) == 0)) {
        if (ls_pace_cron(&pace, expression, words->zone ? words->zone : "UTC", &err) == 0)
            code = print_ticks(cli, &pace, after_ms, count);
        else if (err.code == LS_E_INVALID || err.code == LS_E_NOT_FOUND)
            err.code = LS_E_USAGE; /* the caller's words, here */
    }
    ls_pace_fini(&pace);
    return code < 0 ? ls_cli_failed(cli, &err) : code;
}

/* ---- pushing one now ---- */

static const struct ls_schedule *find(const struct ls_schedules *schedules, const char *name,
                                      struct ls_err *err)
{
    const struct ls_schedule *found = ls_schedules_find(schedules, name);

    if (!found) {
        ls_fail(err, LS_E_NOT_FOUND, "there is no schedule '%.100s'", name);
        ls_hint(err, "'lockstep cron list' shows them");
    }
    return found;
}

static int push(struct ls_cli *cli, const struct ls_schedule *schedule, const char *id,
                struct ls_err *err)
{
    struct ls_pusher_queue queue = {0};
    struct ls_push_job job = {.key = ls_span_of(schedule->key)};
    struct ls_pusher pusher = {0};
    struct ls_buf text = {0};
    int result = -1;

    ls_schedule_job(schedule, id, &text);
    job.envelope = (struct ls_span){text.data, text.length};
    if (ls_keys_init(&queue.keys, schedule->queue, err) == 0 && ls_cli_redis(cli, err)) {
        ls_pusher_init(&pusher, cli->redis_open);
        if (ls_pusher_add(&pusher, &queue, &job, NULL, err) == 0)
            result = ls_pusher_finish(&pusher, err);
    }
    ls_pusher_fini(&pusher);
    ls_keys_fini(&queue.keys);
    ls_buf_fini(&text);
    return result;
}

/* A job of its own, not a tick: the schedule goes on as if nothing had been. */
static int run_now(struct ls_cli *cli, const char *name)
{
    struct ls_schedules schedules = {0};
    struct ls_err err = LS_ERR_INIT;
    const struct ls_config *config = ls_cli_config(cli, &err);
    const struct ls_schedule *schedule;
    char id[LS_ID_SIZE];
    int code = -1;

    if (config && ls_schedules_make(&schedules, config, &err) == 0) {
        schedule = find(&schedules, name, &err);
        if (schedule && push(cli, schedule, ls_id_new(id), &err) == 0) {
            printf(cli->json ? "{\"id\": \"%s\", \"queue\": \"%s\"}\n" : "pushed %s to queue %s\n",
                   id, schedule->queue);
            code = LS_EXIT_OK;
        }
    }
    ls_schedules_fini(&schedules);
    return code < 0 ? ls_cli_failed(cli, &err) : code;
}

const struct ls_command ls_command_cron = {
    "cron", "jobs by the clock: list them, try an expression, push one now",
    "usage: lockstep cron list\n"
    "       lockstep cron next EXPRESSION [--zone ZONE] [--count N] [--from TIME]\n"
    "       lockstep cron run NAME\n\n"
    "  list   the schedules of the configuration and lockstep's own, their next and last ticks\n"
    "  next   when would '0 3 * * 1-5' fire? needs neither a pool nor a configuration\n"
    "  run    push the job of a schedule now; its ticks go on as before\n\n"
    "  --zone ZONE   UTC; or Europe/Berlin, America/New_York\n"
    "  --count N     5 ticks, at most 1000\n"
    "  --from TIME   begin there instead of now: 2026-03-28T00:00:00Z\n\n"
    "an expression is minute (0-59), hour (0-23), day of month (1-31), month (1-12, jan-dec), day\n"
    "of week (0-7, mon-sun; 0 and 7 are Sunday), each `*`, a number, a-b, a list with commas, a\n"
    "step `*/5` or a-b/5; or @hourly, @daily, @weekly, @monthly, @yearly. When both days are\n"
    "restricted, one of them is enough.\n",
    run};
