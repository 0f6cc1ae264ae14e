#include "producer/cli/looker.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/client.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "producer/cli/queues.h"
#include "producer/lib/pusher.h"

#define POLL_MS 200
#define FIRST_SIGN_MS 60000 /* a job that nobody took by then waits for a pool */
#define STUCK_MS 600000

int ls_looker_open(struct ls_looker *looker, struct ls_cli *cli, const char *sync, bool write,
                   struct ls_err *err)
{
    const struct ls_config *config = ls_cli_config(cli, err);

    *looker = (struct ls_looker){.cli = cli, .err = LS_ERR_INIT};
    if (!config)
        return -1;
    if (sync && !ls_config_sync_find(config, sync)) {
        ls_fail(err, LS_E_USAGE, "no sync is named '%.100s'", sync);
        return ls_hint(err, "'lockstep sync list' shows them");
    }
    if (!config->sync_count) {
        ls_fail(err, LS_E_CONFIG, "no sync is configured");
        return ls_hint(err, "'lockstep init' writes a configuration with one");
    }
    uv_loop_init(&looker->loop);
    looker->http = ls_http_new(&looker->loop, &(struct ls_http_options){0});
    looker->engine = ls_engine_open(&(struct ls_engine_options){.loop = &looker->loop,
                                                                .config = config,
                                                                .http = looker->http,
                                                                .read_only = !write,
                                                                .only_sync = sync},
                                    err);
    return looker->engine ? 0 : -1;
}

void ls_looker_close(struct ls_looker *looker)
{
    if (!looker->http)
        return;
    ls_engine_close(&looker->engine);
    ls_http_close(&looker->http);
    for (int i = 0; i < 100 && uv_run(&looker->loop, UV_RUN_NOWAIT); i++)
        continue;
    uv_loop_close(&looker->loop);
}

void ls_looker_over(struct ls_looker *looker, const struct ls_err *err)
{
    looker->over = true;
    looker->err = err ? *err : (struct ls_err)LS_ERR_INIT;
}

static void on_deadline(uv_timer_t *timer)
{
}

static void on_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

int ls_looker_wait(struct ls_looker *looker, int64_t deadline_ms, struct ls_err *err)
{
    int64_t end = ls_clock_mono_ms() + deadline_ms;
    bool closed = false, late = false;
    uv_timer_t timer;

    uv_timer_init(&looker->loop, &timer);
    timer.data = &closed;
    if (deadline_ms > 0)
        uv_timer_start(&timer, on_deadline, (uint64_t)deadline_ms, 0);
    while (!looker->over && !late) {
        uv_run(&looker->loop, UV_RUN_ONCE);
        late = deadline_ms > 0 && ls_clock_mono_ms() >= end && !looker->over;
    }
    uv_close((uv_handle_t *)&timer, on_closed);
    while (!closed)
        uv_run(&looker->loop, UV_RUN_NOWAIT);
    looker->over = false;
    if (late)
        return ls_fail(err, LS_E_TIMEOUT, "no answer in time");
    if (looker->err.code == LS_E_NONE)
        return 0;
    if (err)
        *err = looker->err;
    return -1;
}

struct ls_sync *ls_looker_sync(const struct ls_looker *looker, const char *name, struct ls_err *err)
{
    if (name)
        return ls_engine_sync(looker->engine, name);
    if (ls_engine_sync_count(looker->engine) == 1)
        return ls_engine_sync_at(looker->engine, 0);
    ls_fail(err, LS_E_USAGE, "which sync?");
    ls_hint(err, "'lockstep sync list' shows them");
    return NULL;
}

int ls_looker_push(struct ls_cli *cli, const struct ls_sync *sync, const char *kind,
                   const char *suffix, const char *data, struct ls_err *err)
{
    const struct ls_mapping *mapping = sync->mapping;
    const char *name = ls_cli_queue_for(cli, NULL, mapping->account, err);
    struct ls_pusher_queue queue = {0};
    struct ls_envelope envelope = {0};
    struct ls_push_job job = {0};
    struct ls_pusher pusher = {0};
    struct ls_buf bytes = {0};
    char id[LS_ID_SIZE], *key;
    int result = -1;

    if (!name || !ls_cli_redis(cli, err) || ls_keys_init(&queue.keys, name, err) < 0)
        return -1;
    key = ls_xasprintf("%s/%s/%s%s%s", mapping->account, kind, mapping->sync, suffix ? "/" : "",
                       suffix ? suffix : "");
    envelope.kind = ls_span_of(kind);
    envelope.account = ls_span_of(mapping->account);
    envelope.id = ls_span_of(ls_id_new(id));
    envelope.key = ls_span_of(key);
    envelope.data = ls_span_of(data);
    ls_envelope_write(&bytes, &envelope);
    job.envelope = (struct ls_span){bytes.data, bytes.length};
    job.key = envelope.key;
    ls_pusher_init(&pusher, cli->redis_open);
    if (ls_pusher_add(&pusher, &queue, &job, NULL, err) == 0 && ls_pusher_finish(&pusher, err) == 0)
        result = 0;
    ls_pusher_fini(&pusher);
    ls_keys_fini(&queue.keys);
    ls_buf_fini(&bytes);
    free(key);
    return result;
}

/* ---- the history ---- */

struct newest {
    struct ls_looker *looker;
    const char *kind; /* NULL: any */
    int64_t id, looked, total;
    bool ended;
    char phase[32], error[512];
};

static void on_runs(void *arg, const struct ls_run_row *runs, size_t count,
                    const struct ls_err *err)
{
    struct newest *newest = arg;

    for (size_t i = 0; !err && i < count; i++) {
        json_t *stats;
        if (newest->kind && strcmp(runs[i].kind, newest->kind) != 0)
            continue;
        newest->id = runs[i].id;
        newest->ended = runs[i].ended_at > 0;
        stats = json_loads(runs[i].stats ? runs[i].stats : "{}", 0, NULL);
        newest->looked = json_integer_value(json_object_get(stats, "looked"));
        newest->total = json_integer_value(json_object_get(stats, "total"));
        snprintf(newest->phase, sizeof newest->phase, "%s",
                 json_is_string(json_object_get(stats, "phase"))
                     ? json_string_value(json_object_get(stats, "phase"))
                     : "");
        snprintf(newest->error, sizeof newest->error, "%s",
                 json_is_string(json_object_get(stats, "error"))
                     ? json_string_value(json_object_get(stats, "error"))
                     : "");
        json_decref(stats);
        break;
    }
    ls_looker_over(newest->looker, err);
}

static int get_newest(struct ls_looker *looker, const struct ls_sync *sync, struct newest *newest,
                      struct ls_err *err)
{
    newest->looker = looker;
    ls_store_runs(ls_engine_store(looker->engine), sync->mapping, 20, on_runs, newest);
    return ls_looker_wait(looker, 0, err);
}

int64_t ls_looker_newest_run(struct ls_looker *looker, const struct ls_sync *sync,
                             struct ls_err *err)
{
    struct newest newest = {0};

    return get_newest(looker, sync, &newest, err) < 0 ? -1 : newest.id;
}

int ls_looker_follow(struct ls_looker *looker, const struct ls_sync *sync, const char *kind,
                     int64_t after_run, struct ls_err *err)
{
    int64_t began = ls_clock_mono_ms(), moved = began, looked = -1;
    struct ls_progress progress;
    bool started = false;

    for (;;) {
        struct newest newest = {.kind = kind};
        struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
        if (get_newest(looker, sync, &newest, err) < 0)
            return -1;
        if (newest.id > after_run) {
            if (!started)
                ls_progress_start(&progress, looker->cli, kind, newest.total);
            started = true;
            if (newest.total > 0)
                progress.total = newest.total;
            ls_progress_set(&progress, newest.looked);
            if (newest.ended) {
                ls_progress_finish(&progress);
                return newest.error[0]
                           ? ls_fail(err, LS_E_TRANSIENT, "%s failed: %s", kind, newest.error)
                           : 0;
            }
        }
        if (newest.looked != looked)
            moved = ls_clock_mono_ms();
        looked = newest.looked;
        if (!started && ls_clock_mono_ms() - began > FIRST_SIGN_MS) {
            ls_fail(err, LS_E_TIMEOUT, "no worker took the %s job so far", kind);
            return ls_hint(err, "it stays in the queue; is the pool running? 'lockstep up'");
        }
        if (ls_clock_mono_ms() - moved > STUCK_MS)
            return ls_fail(err, LS_E_TIMEOUT, "the %s does not get on", kind);
        nanosleep(&pause, NULL);
    }
}
