/* The process: connections, signals, limits, draining. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/http/client.h"
#include "common/queue/limit.h"
#include "worker/runner/runner_internal.h"

#define HEALTH_MS 5000
#define TRANSFERS_MIN 128
#define TRANSFERS_MAX 512
#define GIVE_BACK_MS 500 /* before the grace is over, what still runs is given back */

static void on_up(void *arg);
static void on_down(void *arg, const struct ls_err *err);
static void on_kick(uv_idle_t *idle);
static void on_deadlines(uv_timer_t *timer);
static void on_health(uv_timer_t *timer);
static void on_grace(uv_timer_t *timer);
static void on_drain(void *arg, int grace_ms);
static void begin_close(struct ls_runner *runner);

/* -------- what seats and runs call -------- */

void runner_kick(struct ls_runner *runner)
{
    if (!runner->closed)
        uv_idle_start(&runner->kick, on_kick);
}

static void on_kick(uv_idle_t *idle)
{
    struct ls_runner *runner = idle->data;
    size_t i;

    uv_idle_stop(idle);
    for (i = 0; i < runner->seat_count; i++)
        if (runner->seats[i].wanted)
            seat_take_turn(&runner->seats[i]);
}

/* Tell the master under which names this process may hold claims. */
void runner_names(struct ls_runner *runner)
{
    const char *names[64];
    size_t count = 0, i, j;

    for (i = 0; i < runner->seat_count; i++) {
        struct seat *seat = &runner->seats[i];
        if (seat->sent_join && count < LS_COUNT(names))
            names[count++] = seat->worker;
        for (j = 0; j < seat->old_count && count < LS_COUNT(names); j++)
            names[count++] = seat->olds[j];
    }
    ls_child_names(runner->child, names, count);
}

void runner_watch_deadline(struct ls_runner *runner, int64_t deadline_ms)
{
    int64_t now = (int64_t)uv_now(&runner->loop);

    if (runner->deadlines_at && runner->deadlines_at <= deadline_ms)
        return;
    runner->deadlines_at = deadline_ms;
    uv_timer_start(&runner->deadlines, on_deadlines,
                   deadline_ms > now ? (uint64_t)(deadline_ms - now) : 0, 0);
}

static void on_deadlines(uv_timer_t *timer)
{
    struct ls_runner *runner = timer->data;
    int64_t now = (int64_t)uv_now(&runner->loop);
    size_t i;

    runner->deadlines_at = 0;
    for (i = 0; i < runner->seat_count; i++) {
        struct ls_run *run = runner->seats[i].runs;
        while (run) {
            struct ls_run *next = run->next;
            if (run->stop_ms && run->stop_ms <= now) {
                run_cut(run);
            } else if (!run->stop_ms && run->deadline_ms && run->deadline_ms <= now) {
                run_time_out(run);
            } else {
                int64_t ends = run->stop_ms ? run->stop_ms : run->deadline_ms;

                if (ends)
                    runner_watch_deadline(runner, ends);
            }
            run = next;
        }
    }
}

void runner_finished_one(struct ls_runner *runner)
{
    runner->finished++;
    places_freed(runner);
    if (runner->config->max_jobs > 0 && runner->finished >= runner->config->max_jobs &&
        !runner->replacing) {
        runner->replacing = true;
        ls_child_replace_me(runner->child, "max_jobs");
    }
}

/* A handler wants another process to take over. */
static void replace_me(void *arg, const char *reason)
{
    struct ls_runner *runner = arg;

    if (runner->replacing)
        return;
    runner->replacing = true;
    ls_child_replace_me(runner->child, reason);
}

void runner_fatal(struct ls_runner *runner, const struct ls_err *err)
{
    if (runner->stopping)
        return;
    ls_child_fatal(runner->child, err);
    runner->exit_code = LS_EXIT_FATAL;
    begin_close(runner);
}

/* -------- connections -------- */

/* Kinds that list make many requests or none: they draw them page by page instead. */
static const char listing[] = "delta=0 backfill=0 verify=0 gc=0";

static void tell_limit(struct ls_runner *runner, const struct ls_keys *keys,
                       const struct ls_config_account *account)
{
    struct ls_buf costs = {0}, rule = {0};

    for (size_t i = 0; i < account->cost_count; i++)
        ls_buf_printf(&costs, "%s=%lld ", account->costs[i].name,
                      (long long)account->costs[i].count);
    ls_buf_puts(&costs, listing); /* the first of a name holds */
    ls_buf_printf(&rule, "%lld %lld %lld", (long long)account->breaker.failures,
                  (long long)account->breaker.open_ms, (long long)account->breaker.cap_ms);
    ls_limit_set_build(&runner->cmd, keys,
                       &(struct ls_limit_change){.account = ls_span_of(account->name),
                                                 .rate = account->rate,
                                                 .burst = (int)account->burst,
                                                 .concurrency = account->concurrency,
                                                 .costs = {costs.data, costs.length},
                                                 .rule = {rule.data, rule.length},
                                                 .park_ms = -1});
    ls_redis_send(runner->redis, &runner->cmd, 0, NULL, NULL);
    ls_buf_fini(&costs);
    ls_buf_fini(&rule);
}

/* What the accounts may do as configured; the first runner of the pool tells it, each time that Redis
 * is back: it may have lost everything. */
static void tell_limits(struct ls_runner *runner)
{
    size_t i, j;

    if (runner->context->index != 0)
        return;
    for (i = 0; i < runner->config->account_count; i++) {
        const struct ls_config_account *account = &runner->config->accounts[i];
        for (j = 0; j < runner->seat_count; j++)
            if (strcmp(runner->seats[j].keys.queue, account->queue) == 0)
                break;
        if (j == runner->seat_count)
            continue;
        tell_limit(runner, &runner->seats[j].keys, account);
    }
}

static void on_up(void *arg)
{
    struct ls_runner *runner = arg;
    const struct ls_redis_facts *facts = ls_redis_facts(runner->redis);
    struct ls_err err = LS_ERR_INIT;
    char warning[256];
    size_t i;

    if (ls_redis_facts_check(facts, ls_redis_shown(runner->redis), warning, &err) < 0) {
        if (!runner->ready) {
            runner_fatal(runner, &err);
            return;
        }
        ls_redis_drop(runner->redis, &err);
        return;
    }
    ls_log(LS_LOG_INFO, "redis.connected", "connected to redis %s at '%s'", facts->version_text,
           ls_redis_shown(runner->redis));
    if (!runner->ready) {
        if (warning[0] && runner->context->index == 0)
            ls_log(LS_LOG_WARN, "redis.unsafe", "%s", warning);
        runner->ready = true;
        ls_child_ready(runner->child);
        ls_log(LS_LOG_INFO, "runner.started", "%zu queues", runner->seat_count);
    }
    tell_limits(runner);
    for (i = 0; i < runner->seat_count; i++)
        if (runner->seats[i].state != SEAT_LEFT)
            seat_begin(&runner->seats[i]);
}

static void on_down(void *arg, const struct ls_err *err)
{
    struct ls_runner *runner = arg;
    size_t i;

    for (i = 0; i < runner->seat_count; i++)
        seat_lost(&runner->seats[i]);
    if (!runner->ready && err->code == LS_E_AUTH) {
        runner_fatal(runner, err);
        return;
    }
    ls_log_with(LS_LOG_WARN, "redis.lost", LS_FIELDS({"hint", err->hint[0] ? err->hint : NULL}),
                "%s", err->text);
    if (runner->draining)
        runner_maybe_done(runner);
}

/* -------- limits -------- */

static int64_t resident_bytes(void)
{
    char text[128];
    long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    if (sscanf(text, "%*d %ld", &pages) != 1)
        return 0;
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void on_health(uv_timer_t *timer)
{
    struct ls_runner *runner = timer->data;
    char reason[64];
    int64_t bytes;

    for (size_t i = 0; i < runner->seat_count && runner->context->index == 0; i++)
        seat_heal(&runner->seats[i]);

    if (runner->config->max_rss <= 0 || runner->replacing)
        return;
    bytes = resident_bytes();
    if (bytes < runner->config->max_rss)
        return;
    runner->replacing = true;
    snprintf(reason, sizeof(reason), "max_rss: %lld MiB", (long long)(bytes >> 20));
    ls_child_replace_me(runner->child, reason);
}

/* -------- draining -------- */

static void on_drain(void *arg, int grace_ms)
{
    struct ls_runner *runner = arg;
    size_t i;
    int running = 0;

    if (runner->stopping)
        return;
    runner->draining = true;
    for (i = 0; i < runner->seat_count; i++) {
        running += runner->seats[i].running;
        if (runner->seats[i].state == SEAT_READY)
            seat_want(&runner->seats[i]);
    }
    ls_log(LS_LOG_INFO, "runner.draining", "%d jobs in hand, %d ms to end them", running, grace_ms);
    uv_timer_start(&runner->grace, on_grace,
                   grace_ms > 2 * GIVE_BACK_MS ? (uint64_t)(grace_ms - GIVE_BACK_MS)
                                               : (uint64_t)grace_ms / 2,
                   0);
    runner_maybe_done(runner);
}

/* The grace is nearly over: what still runs is stopped and given back. */
static void on_grace(uv_timer_t *timer)
{
    struct ls_runner *runner = timer->data;
    size_t i;

    for (i = 0; i < runner->seat_count; i++)
        while (runner->seats[i].runs)
            run_give_back(runner->seats[i].runs);
    runner->stopping =
        !ls_redis_is_up(runner->redis); /* nobody to tell: the lease brings them back */
    runner_maybe_done(runner);
}

void runner_maybe_done(struct ls_runner *runner)
{
    size_t i, done = 0;

    if (!runner->draining || runner->closed)
        return;
    for (i = 0; i < runner->seat_count; i++) {
        struct seat *seat = &runner->seats[i];
        bool away =
            seat->state == SEAT_AWAY && seat_is_clear(seat) && !ls_redis_is_up(runner->redis);
        seat_drain(seat);
        done += seat->state == SEAT_LEFT || away || runner->stopping;
    }
    if (done == runner->seat_count)
        begin_close(runner);
}

/* -------- the whole -------- */

static void begin_close(struct ls_runner *runner)
{
    size_t i;

    if (runner->closed)
        return;
    runner->stopping = true;
    for (i = 0; i < runner->seat_count; i++)
        while (runner->seats[i].runs)
            run_abandon(runner->seats[i].runs);
    runner->closed = true;
    for (i = 0; i < runner->seat_count; i++)
        seat_close_handles(&runner->seats[i]);
    ls_handlers_free(runner->handlers);
    runner->handlers = NULL;
    ls_redis_close(&runner->redis);
    grants_free(runner);
    ls_http_close(&runner->http);
    ls_child_close(&runner->child);
    uv_close((uv_handle_t *)&runner->kick, NULL);
    uv_close((uv_handle_t *)&runner->deadlines, NULL);
    uv_close((uv_handle_t *)&runner->health, NULL);
    uv_close((uv_handle_t *)&runner->grace, NULL);
}

/* As many transfers as jobs may run, within what libcurl does well. */
static int transfers(const struct ls_config *config)
{
    int64_t jobs = 0;
    size_t i;

    for (i = 0; i < config->queue_count; i++)
        jobs += config->queues[i].concurrency;
    return jobs < TRANSFERS_MIN ? TRANSFERS_MIN : jobs > TRANSFERS_MAX ? TRANSFERS_MAX : (int)jobs;
}

static int set_up(struct ls_runner *runner, struct ls_err *err)
{
    struct ls_redis_options options = {
        .reconnect = true, .up = on_up, .down = on_down, .arg = runner};
    struct ls_redis_url url;
    bool failed;
    char name[64];
    size_t i;

    if (ls_redis_url_parse(&url, ls_config_redis_url(runner->config), err) < 0)
        return -1;
    snprintf(name, sizeof(name), "lockstep-runner-%d", (int)getpid());
    options.client_name = name;
    runner->redis = ls_redis_open(&runner->loop, &url, &options);
    runner->http = ls_http_new(&runner->loop,
                               &(struct ls_http_options){.max_active = transfers(runner->config)});
    runner->tools = (struct ls_runner_tools){.loop = &runner->loop,
                                             .http = runner->http,
                                             .redis = runner->redis,
                                             .config = runner->config,
                                             .replace_me = replace_me,
                                             .replace_arg = runner};
    runner->handlers = ls_handlers_new(&runner->tools, err);
    failed = !runner->handlers;
    runner->seats = ls_xcalloc(runner->config->queue_count, sizeof(*runner->seats));
    for (i = 0; i < runner->config->queue_count && !failed; i++) {
        runner->seat_count++;
        failed = seat_init(&runner->seats[i], runner, &runner->config->queues[i], &url, err) < 0;
    }
    ls_redis_url_fini(&url);
    return failed ? -1 : 0;
}

static void init_handles(struct ls_runner *runner)
{
    uv_idle_init(&runner->loop, &runner->kick);
    uv_timer_init(&runner->loop, &runner->deadlines);
    uv_timer_init(&runner->loop, &runner->health);
    uv_timer_init(&runner->loop, &runner->grace);
    runner->kick.data = runner->deadlines.data = runner->health.data = runner->grace.data = runner;
    uv_timer_start(&runner->health, on_health, HEALTH_MS, HEALTH_MS);
}

static void tear_down(struct ls_runner *runner)
{
    size_t i;

    for (i = 0; i < runner->seat_count; i++)
        seat_fini(&runner->seats[i]);
    free(runner->seats);
    run_free_spares(runner);
    ls_cmd_fini(&runner->cmd);
    ls_buf_fini(&runner->scratch);
    ls_buf_fini(&runner->letter);
    uv_loop_close(&runner->loop);
    free(runner);
}

int ls_runner_main(const struct ls_role_context *context)
{
    static const struct ls_child_hooks hooks = {.on_drain = on_drain};
    struct ls_runner *runner = LS_NEW(struct ls_runner);
    struct ls_err err = LS_ERR_INIT;
    int code;

    signal(SIGPIPE, SIG_IGN);
    runner->context = context;
    runner->config = context->config;
    uv_loop_init(&runner->loop);
    init_handles(runner);
    runner->child = ls_child_new(&runner->loop, context, &hooks, runner);
    if (set_up(runner, &err) < 0)
        runner_fatal(runner, &err);
    uv_run(&runner->loop, UV_RUN_DEFAULT);
    code = runner->exit_code;
    if (code == LS_EXIT_OK && runner->replacing)
        code = LS_EXIT_REPLACE;
    ls_log(LS_LOG_INFO, "runner.stopped", "%lld jobs ended", (long long)runner->finished);
    tear_down(runner);
    return code;
}
