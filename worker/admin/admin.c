/* The admin's role: one connection to Redis, one HTTP server. It looks only when somebody asks. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/envelope.h"
#include "common/loop/timer.h"
#include "common/queue/stat.h"
#include "common/queue/worker.h"
#include "common/redis/conn.h"
#include "worker/admin/jobs.h"
#include "worker/admin/server.h"
#include "worker/admin/snapshot.h"
#include "worker/child.h"

#define FRESH_MS 500         /* a snapshot answers for so long */
#define LOOK_MS 2000         /* deadline of the commands of a look */
#define RUNNER_LOST_MS 30000 /* so long without any runner's turn and the pool is not healthy */

struct ls_admin;

/* A request that waits for a look. */
struct waiting {
    struct waiting *next;
    struct ls_request *request;
    void (*answer)(struct ls_admin *admin, struct ls_request *request);
};

struct ls_admin {
    const struct ls_role_context *context;
    const struct ls_config *config;
    uv_loop_t loop;
    struct ls_child *child;
    struct ls_redis *redis;
    struct ls_server *server;
    struct ls_timer *end;
    struct ls_keys *keys; /* owned; one a queue */
    struct ls_snapshot snapshot;
    struct waiting *waiting;
    struct ls_jobs *jobs;
    size_t next_queue; /* of the look under way */
    bool looking, ended, outage_logged;
    struct ls_cmd cmd;            /* scratch */
    char host[LS_WORKER_ID_SIZE]; /* how our workers' names begin: "host-" */
    int exit_status;
};

static int open_all(struct ls_admin *admin, struct ls_err *err);
static void on_up(void *arg);
static void on_down(void *arg, const struct ls_err *err);
static void on_drain(void *arg, int grace_ms);
static void end(void *arg);
static void get_metrics(void *arg, struct ls_request *request);
static void get_health(void *arg, struct ls_request *request);
static void get_ready(void *arg, struct ls_request *request);
static void get_queues(void *arg, struct ls_request *request);
static void post_job(void *arg, struct ls_request *request);
static void look(struct ls_admin *admin, struct ls_request *request,
                 void (*answer)(struct ls_admin *admin, struct ls_request *request));
static void ask_queue(struct ls_admin *admin);
static void on_stat(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_workers(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_alerts(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void look_over(struct ls_admin *admin);
static bool is_own_runner(const struct ls_admin *admin, struct ls_span worker);
static void answer_metrics(struct ls_admin *admin, struct ls_request *request);
static void answer_health(struct ls_admin *admin, struct ls_request *request);
static void answer_ready(struct ls_admin *admin, struct ls_request *request);
static void answer_queues(struct ls_admin *admin, struct ls_request *request);
static void say(struct ls_request *request, int status, const char *text);

static const struct ls_route routes[] = {
    {"GET", "/metrics", true, get_metrics}, {"GET", "/healthz", true, get_health},
    {"GET", "/readyz", true, get_ready},    {"GET", "/v1/queues", false, get_queues},
    {"POST", "/v1/jobs", false, post_job},  {0},
};

int ls_admin_main(const struct ls_role_context *context)
{
    struct ls_admin *admin = LS_NEW(struct ls_admin);
    const struct ls_child_hooks hooks = {on_drain, NULL};
    struct ls_err err = LS_ERR_INIT;
    int status;

    admin->context = context;
    admin->config = context->config;
    uv_loop_init(&admin->loop);
    admin->child = ls_child_new(&admin->loop, context, &hooks, admin);
    admin->end = ls_timer_new(&admin->loop, end, admin);
    if (open_all(admin, &err) < 0) {
        admin->exit_status = LS_EXIT_FATAL;
        ls_child_fatal(admin->child, &err);
        end(admin);
    } else {
        ls_log_with(LS_LOG_INFO, "admin.listening",
                    LS_FIELDS({"address", ls_server_address(admin->server)}), "http://%s/metrics",
                    ls_server_address(admin->server));
        ls_child_ready(admin->child);
    }
    uv_run(&admin->loop, UV_RUN_DEFAULT);
    uv_loop_close(&admin->loop);
    status = admin->exit_status;
    ls_cmd_fini(&admin->cmd);
    free(admin);
    return status;
}

static int open_all(struct ls_admin *admin, struct ls_err *err)
{
    const struct ls_config *config = admin->config;
    struct ls_redis_options options = {.client_name = "lockstep-admin",
                                       .reconnect = true,
                                       .up = on_up,
                                       .down = on_down,
                                       .arg = admin};
    struct ls_server_options http = {.host = config->admin.host,
                                     .port = config->admin.port,
                                     .token = config->admin.token,
                                     .body_max = LS_ENVELOPE_MAX,
                                     .routes = routes,
                                     .arg = admin};
    struct ls_redis_url url = {0};
    char worker[LS_WORKER_ID_SIZE], pid[24];
    char *at;

    ls_worker_id(worker);
    snprintf(pid, sizeof pid, "-%d-", (int)getpid());
    at = strstr(worker, pid);
    snprintf(admin->host, sizeof admin->host, "%.*s-", at ? (int)(at - worker) : 0, worker);
    admin->snapshot.runner_seen_ms = ls_clock_mono_ms();
    admin->keys = ls_xcalloc(config->queue_count, sizeof *admin->keys);
    admin->snapshot.queues = ls_xcalloc(config->queue_count, sizeof *admin->snapshot.queues);
    for (size_t i = 0; i < config->queue_count; i++) {
        if (ls_keys_init(&admin->keys[i], config->queues[i].name, err) < 0)
            return -1;
        admin->snapshot.queues[admin->snapshot.queue_count++].name = config->queues[i].name;
    }
    if (ls_redis_url_parse(&url, ls_config_redis_url(config), err) < 0)
        return -1;
    admin->redis = ls_redis_open(&admin->loop, &url, &options);
    ls_redis_url_fini(&url);
    admin->jobs = ls_jobs_new(&admin->loop, admin->redis, config, admin->keys);
    admin->server = ls_server_new(&admin->loop, &http, err);
    return admin->server ? 0 : -1;
}

static void on_up(void *arg)
{
    struct ls_admin *admin = arg;

    admin->snapshot.redis_up = true;
    admin->snapshot.runner_seen_ms =
        ls_clock_mono_ms(); /* the runners come back at the same time */
    admin->outage_logged = false;
}

static void on_down(void *arg, const struct ls_err *err)
{
    struct ls_admin *admin = arg;

    if (admin->ended)
        return;
    if (!admin->outage_logged)
        ls_log(LS_LOG_WARN, "redis.down", "%s", err->text);
    admin->outage_logged = true;
    admin->snapshot.redis_up = false;
    for (size_t i = 0; i < admin->snapshot.queue_count; i++)
        admin->snapshot.queues[i].known = false;
}

static void on_drain(void *arg, int grace_ms)
{
    struct ls_admin *admin = arg;

    ls_timer_start(admin->end, 0); /* not from within a callback of what is to be closed */
}

static void end(void *arg)
{
    struct ls_admin *admin = arg;

    if (admin->ended)
        return;
    admin->ended = true;
    while (admin->waiting) {
        struct waiting *waiting = admin->waiting;

        admin->waiting = waiting->next;
        say(waiting->request, 503, "stopping");
        free(waiting);
    }
    ls_jobs_close(&admin->jobs);
    ls_server_close(&admin->server);
    ls_redis_close(&admin->redis);
    for (size_t i = 0; i < admin->snapshot.queue_count; i++)
        ls_keys_fini(&admin->keys[i]);
    free(admin->keys);
    ls_snapshot_fini(&admin->snapshot);
    ls_timer_close(&admin->end);
    ls_child_close(&admin->child);
}

/* ---- looking ---- */

static void get_metrics(void *arg, struct ls_request *request)
{
    look(arg, request, answer_metrics);
}

static void get_health(void *arg, struct ls_request *request)
{
    look(arg, request, answer_health);
}

static void get_ready(void *arg, struct ls_request *request)
{
    look(arg, request, answer_ready);
}

static void get_queues(void *arg, struct ls_request *request)
{
    look(arg, request, answer_queues);
}

static void post_job(void *arg, struct ls_request *request)
{
    struct ls_admin *admin = arg;

    ls_jobs_post(admin->jobs, request);
}

static void look(struct ls_admin *admin, struct ls_request *request,
                 void (*answer)(struct ls_admin *admin, struct ls_request *request))
{
    struct waiting *waiting;
    bool fresh =
        admin->snapshot.taken_ms && ls_clock_mono_ms() - admin->snapshot.taken_ms < FRESH_MS;

    if (!admin->snapshot.redis_up || fresh) {
        answer(admin, request);
        return;
    }
    waiting = LS_NEW(struct waiting);
    *waiting = (struct waiting){admin->waiting, request, answer};
    admin->waiting = waiting;
    if (admin->looking)
        return;
    admin->looking = true;
    admin->next_queue = 0;
    ask_queue(admin);
}

static void ask_queue(struct ls_admin *admin)
{
    ls_queue_stat_build(&admin->cmd, &admin->keys[admin->next_queue]);
    ls_redis_send(admin->redis, &admin->cmd, LOOK_MS, on_stat, admin);
}

static void on_stat(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_admin *admin = arg;
    struct ls_queue_stat stat;

    if (!err && ls_queue_stat_parse(reply, &stat, NULL) == 0)
        ls_queue_view_set(&admin->snapshot.queues[admin->next_queue], &stat);
    else
        admin->snapshot.queues[admin->next_queue].known = false;
    /* Only now: a script that Redis does not have yet is answered after those sent behind it. */
    ls_worker_list_build(&admin->cmd, &admin->keys[admin->next_queue]);
    ls_redis_send(admin->redis, &admin->cmd, LOOK_MS, on_workers, admin);
}

static void on_workers(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_admin *admin = arg;
    struct ls_queue_view *view = &admin->snapshot.queues[admin->next_queue];
    struct ls_worker_list list;

    view->own_runners = 0;
    if (!err && ls_worker_list_parse(reply, &list, NULL) == 0) {
        for (size_t i = 0; i < list.count; i++) {
            struct ls_worker_row row = ls_worker_list_row(&list, i);
            view->own_runners += row.left_ms > 0 && is_own_runner(admin, row.worker);
        }
    }
    if (view->own_runners)
        admin->snapshot.runner_seen_ms = ls_clock_mono_ms();
    if (++admin->next_queue < admin->snapshot.queue_count && ls_redis_is_up(admin->redis)) {
        ask_queue(admin);
        return;
    }
    ls_cmd_start(&admin->cmd, "HVALS");
    ls_cmd_puts(&admin->cmd, LS_KEY_ALERTS);
    ls_redis_send(admin->redis, &admin->cmd, LOOK_MS, on_alerts, admin);
}

static void on_alerts(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_admin *admin = arg;

    admin->snapshot.alerts_firing = 0;
    for (size_t i = 0; !err && reply->type == LS_REPLY_ARRAY && i < reply->count; i++) {
        const char *state = ls_reply_item(reply, i)->text;
        admin->snapshot.alerts_firing +=
            state && (strncmp(state, "firing", 6) == 0 || strncmp(state, "clearing", 8) == 0);
    }
    look_over(admin);
}

static void look_over(struct ls_admin *admin)
{
    struct waiting *waiting = admin->waiting;

    admin->waiting = NULL;
    admin->looking = false;
    admin->snapshot.taken_ms = ls_clock_mono_ms();
    while (waiting) {
        struct waiting *next = waiting->next;

        waiting->answer(admin, waiting->request);
        free(waiting);
        waiting = next;
    }
}

/* "<host>-<pid>-<chance>" with our host, where pid is a runner and a child of our own parent. */
static bool is_own_runner(const struct ls_admin *admin, struct ls_span worker)
{
    size_t prefix = strlen(admin->host);
    char path[64], text[128] = "";
    int fd, parent = 0;
    long pid;

    if (worker.length <= prefix || memcmp(worker.data, admin->host, prefix) != 0)
        return false;
    pid = strtol(worker.data + prefix, NULL, 10);
    if (admin->context->standalone)
        return pid != getpid();
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(fd);
    return strstr(text, "(ls-runner ") &&
           sscanf(strrchr(text, ')') ? strrchr(text, ')') : "", ") %*c %d", &parent) == 1 &&
           parent == getppid();
}

/* ---- answering ---- */

static void answer_metrics(struct ls_admin *admin, struct ls_request *request)
{
    struct ls_buf out = {0};

    ls_snapshot_metrics(&admin->snapshot, &out);
    ls_request_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", out.data,
                     out.length);
    ls_buf_fini(&out);
}

/* Should this pool be started again? Not for a Redis that is away: that would help nobody. */
static void answer_health(struct ls_admin *admin, struct ls_request *request)
{
    if (admin->snapshot.redis_up &&
        ls_clock_mono_ms() - admin->snapshot.runner_seen_ms > RUNNER_LOST_MS)
        say(request, 503, "no runner of this pool takes its turns");
    else
        say(request, 200, admin->snapshot.redis_up ? "ok" : "ok, but redis is away");
}

/* Does this pool work now? */
static void answer_ready(struct ls_admin *admin, struct ls_request *request)
{
    size_t runners = 0;

    for (size_t i = 0; i < admin->snapshot.queue_count; i++)
        runners += admin->snapshot.queues[i].own_runners;
    if (!admin->snapshot.redis_up)
        say(request, 503, "redis is away");
    else if (!runners)
        say(request, 503, "no runner takes its turns yet");
    else
        say(request, 200, "ready");
}

static void answer_queues(struct ls_admin *admin, struct ls_request *request)
{
    struct ls_buf out = {0};

    ls_snapshot_json(&admin->snapshot, &out);
    ls_request_reply(request, 200, "application/json", out.data, out.length);
    ls_buf_fini(&out);
}

static void say(struct ls_request *request, int status, const char *text)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s\n", text);

    ls_request_reply(request, status, "text/plain; charset=utf-8", line, (size_t)length);
}
