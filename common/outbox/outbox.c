#include "common/outbox/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/queue/push.h"
#include "common/redis/conn.h"

#define REPUSH_MS (10 * 60 * 1000LL)
#define MAX_WAITING 20000
#define PAGE 500
#define FULL_PAUSE_MS 500
#define STORE_PAUSE_MS 500 /* doubling to */
#define STORE_PAUSE_MAX_MS 15000
#define LEFT_PAUSE_MS 250 /* between two looks at a batch that is being worked on, growing to */
#define LEFT_PAUSE_MAX_MS 5000
#define SWEEP_MS 30000 /* also look without having been told */
#define SEND_MS 10000

/* A queue that accounts of ours belong to. */
struct queue {
    char *name;
    struct ls_keys keys;
};

struct sync {
    const struct ls_config_sync *config;
    struct queue *queue;
    bool look; /* there may be marks to hand over at once */
    int64_t
        repush_before_ms; /* what was handed over before, Redis may have forgotten; 0: nothing */
    int64_t pause_until_ms;
    /* batch, hybrid */
    int64_t next_tick_ms;
    bool ticking; /* pages are being handed over */
    bool waiting; /* all are handed over and being worked on */
    int64_t batch_records, batch_gen, batch_began_ms;
    int64_t left_pause_ms, next_left_ms;
};

enum state { OUTBOX_IDLE, OUTBOX_TAKE, OUTBOX_PUSH, OUTBOX_NOTE, OUTBOX_LEFT };

struct ls_outbox {
    struct ls_outbox_options options;
    struct ls_redis *redis;
    char run_id[48];
    uv_timer_t timer;
    int64_t sweep_at_ms;
    struct queue *queues;
    size_t queue_count;
    struct sync *syncs;
    size_t sync_count, next_sync; /* who is asked first: in turn */

    enum state state;
    struct sync *current;
    bool whole; /* the page that is under way asked for everything, not only for the high lane */
    struct ls_mark *marks; /* owned copy of the page while it is being pushed */
    size_t mark_count;

    int64_t store_pause_ms;
    int64_t store_pause_until_ms;
    struct ls_outbox_facts facts;
    bool redis_complained;
    int references; /* store operations under way, the timer */
    bool stopped;
};

static int make_queue(struct ls_outbox *outbox, const char *name, struct queue **queue,
                      struct ls_err *err);
static void on_changed(void *arg);
static void on_timer(uv_timer_t *timer);
static void on_up(void *arg);
static void on_down(void *arg, const struct ls_err *err);
static void pump(struct ls_outbox *outbox);
static bool take(struct ls_outbox *outbox, struct sync *sync, int64_t now);
static void on_taken(void *arg, const struct ls_mark *marks, size_t count,
                     const struct ls_err *err);
static void push(struct ls_outbox *outbox);
static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void on_noted(void *arg, const struct ls_err *err);
static void end_of_marks(struct ls_outbox *outbox, struct sync *sync);
static void on_left(void *arg, int64_t left, int64_t newest_gen, const struct ls_err *err);
static void store_failed(struct ls_outbox *outbox, const struct ls_err *err);
static void drop_marks(struct ls_outbox *outbox);
static void release(struct ls_outbox *outbox);

/* ---- start, stop ----------------------------------------------------------------------------- */

struct ls_outbox *ls_outbox_start(const struct ls_outbox_options *options, struct ls_err *err)
{
    const struct ls_config *config = options->config;
    struct ls_outbox *outbox = LS_NEW(struct ls_outbox);
    struct ls_redis_options redis = {.client_name = "lockstep-relay",
                                     .reconnect = true,
                                     .up = on_up,
                                     .down = on_down,
                                     .arg = outbox};
    struct ls_redis_url url = {0};

    outbox->options = *options;
    if (!outbox->options.repush_ms)
        outbox->options.repush_ms = REPUSH_MS;
    if (!outbox->options.max_waiting)
        outbox->options.max_waiting = MAX_WAITING;
    outbox->queues = ls_xcalloc(config->sync_count + 1, sizeof *outbox->queues);
    outbox->syncs = ls_xcalloc(config->sync_count + 1, sizeof *outbox->syncs);
    outbox->references = 1;
    outbox->facts.store_up = true;
    for (size_t i = 0; i < config->sync_count; i++) {
        struct sync *sync = &outbox->syncs[outbox->sync_count];
        const struct ls_config_account *account =
            ls_config_account_find(config, config->syncs[i].account);
        if (!account) {
            ls_fail(err, LS_E_CONFIG, "sync '%s' names the unknown account '%s'",
                    config->syncs[i].name, config->syncs[i].account);
            goto fail;
        }
        if (make_queue(outbox, account->queue, &sync->queue, err) < 0)
            goto fail;
        sync->config = &config->syncs[i];
        sync->look = true;
        outbox->sync_count++;
    }
    if (ls_redis_url_parse(&url, ls_config_redis_url(config), err) < 0)
        goto fail;
    uv_timer_init(options->loop, &outbox->timer);
    outbox->timer.data = outbox;
    outbox->redis = ls_redis_open(options->loop, &url, &redis);
    ls_redis_url_fini(&url);
    ls_store_watch(options->store, on_changed, outbox);
    uv_timer_start(&outbox->timer, on_timer, 0, 0);
    return outbox;
fail:
    ls_redis_url_fini(&url);
    outbox->stopped = true;
    release(outbox);
    return NULL;
}

static int make_queue(struct ls_outbox *outbox, const char *name, struct queue **queue,
                      struct ls_err *err)
{
    for (size_t i = 0; i < outbox->queue_count; i++) {
        if (strcmp(outbox->queues[i].name, name) == 0) {
            *queue = &outbox->queues[i];
            return 0;
        }
    }
    *queue = &outbox->queues[outbox->queue_count];
    if (ls_keys_init(&(*queue)->keys, name, err) < 0)
        return -1;
    (*queue)->name = ls_xstrdup(name);
    outbox->queue_count++;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

void ls_outbox_stop(struct ls_outbox **stopped)
{
    struct ls_outbox *outbox = *stopped;

    *stopped = NULL;
    if (!outbox)
        return;
    outbox->stopped = true;
    ls_store_watch(outbox->options.store, NULL, NULL);
    ls_redis_close(&outbox->redis);
    uv_close((uv_handle_t *)&outbox->timer, on_timer_closed);
}

static void release(struct ls_outbox *outbox)
{
    if (--outbox->references > 0)
        return;
    for (size_t i = 0; i < outbox->queue_count; i++) {
        ls_keys_fini(&outbox->queues[i].keys);
        free(outbox->queues[i].name);
    }
    drop_marks(outbox);
    free(outbox->queues);
    free(outbox->syncs);
    free(outbox);
}

struct ls_outbox_facts ls_outbox_facts(const struct ls_outbox *outbox)
{
    return outbox->facts;
}

/* ---- what sets it going ---------------------------------------------------------------------- */

static void wake_at(struct ls_outbox *outbox, int64_t delay_ms)
{
    uv_timer_start(&outbox->timer, on_timer, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
}

static void on_changed(void *arg)
{
    struct ls_outbox *outbox = arg;

    for (size_t i = 0; i < outbox->sync_count; i++)
        outbox->syncs[i].look = true;
    pump(outbox);
}

static void on_timer(uv_timer_t *timer)
{
    struct ls_outbox *outbox = timer->data;
    int64_t now = ls_clock_mono_ms();

    if (now >= outbox->sweep_at_ms) {
        outbox->sweep_at_ms = now + SWEEP_MS;
        for (size_t i = 0; i < outbox->sync_count; i++)
            outbox->syncs[i].look = true;
    }
    pump(outbox);
}

static void on_up(void *arg)
{
    struct ls_outbox *outbox = arg;
    const struct ls_redis_facts *facts = ls_redis_facts(outbox->redis);
    bool another = !*facts->run_id || strcmp(outbox->run_id, facts->run_id) != 0;
    struct ls_err err = LS_ERR_INIT;

    if (ls_redis_facts_check(facts, ls_redis_shown(outbox->redis), NULL, &err) < 0 &&
        outbox->options.refused)
        outbox->options.refused(outbox->options.arg, &err);
    if (outbox->stopped)
        return;
    if (outbox->redis_complained)
        ls_log(LS_LOG_INFO, "outbox.redis_back", "redis is back");
    outbox->redis_complained = false;
    outbox->facts.redis_up = true;
    snprintf(outbox->run_id, sizeof outbox->run_id, "%s", facts->run_id);
    for (size_t i = 0; i < outbox->sync_count; i++) {
        outbox->syncs[i].look = true;
        if (another) /* it may have forgotten its last second, or everything */
            outbox->syncs[i].repush_before_ms = ls_clock_wall_ms();
    }
    pump(outbox);
}

static void on_down(void *arg, const struct ls_err *err)
{
    struct ls_outbox *outbox = arg;

    outbox->facts.redis_up = false;
    if (!outbox->redis_complained)
        ls_log(LS_LOG_WARN, "outbox.redis_down", "changes wait in the database: %s", err->text);
    outbox->redis_complained = true;
    if (err->code == LS_E_AUTH && outbox->options.refused)
        outbox->options.refused(outbox->options.arg, err);
}

/* ---- one thing at a time --------------------------------------------------------------------- */

static bool has_ticks(const struct sync *sync)
{
    return sync->config->mode != LS_CONFIG_REALTIME;
}

/* Is it time for the next batch? One that is not done by then (records that are tried again for
 * hours) is not waited for. */
static void start_batches(struct ls_outbox *outbox, int64_t now)
{
    for (size_t i = 0; i < outbox->sync_count; i++) {
        struct sync *sync = &outbox->syncs[i];
        if (!has_ticks(sync) || sync->ticking || now < sync->next_tick_ms)
            continue;
        sync->ticking = true;
        sync->waiting = false;
        sync->batch_records = sync->batch_gen = 0;
        sync->batch_began_ms = now;
        sync->next_tick_ms = now + sync->config->every_ms;
    }
}

/* Begin the next operation, or sleep until there may be one. */
static void pump(struct ls_outbox *outbox)
{
    int64_t now = ls_clock_mono_ms(), next;

    if (outbox->stopped || outbox->state != OUTBOX_IDLE)
        return;
    next = outbox->sweep_at_ms;
    if (outbox->facts.redis_up && now >= outbox->store_pause_until_ms) {
        start_batches(outbox, now);
        for (size_t i = 0; i < outbox->sync_count; i++) {
            struct sync *sync = &outbox->syncs[(outbox->next_sync + i) % outbox->sync_count];
            if (!take(outbox, sync, now))
                continue;
            outbox->next_sync = (outbox->next_sync + i + 1) % outbox->sync_count;
            return;
        }
    } else if (outbox->facts.redis_up && outbox->store_pause_until_ms < next) {
        next = outbox->store_pause_until_ms;
    }
    for (size_t i = 0; i < outbox->sync_count; i++) {
        const struct sync *sync = &outbox->syncs[i];
        if (has_ticks(sync) && sync->next_tick_ms < next && outbox->facts.redis_up &&
            !sync->ticking)
            next = sync->next_tick_ms;
        if (sync->waiting && sync->next_left_ms < next)
            next = sync->next_left_ms;
        if (sync->pause_until_ms > now && sync->pause_until_ms < next)
            next = sync->pause_until_ms;
    }
    if (next < now)
        next = now + STORE_PAUSE_MS;
    wake_at(outbox, next - now);
}

/* True: an operation was begun for this sync. */
static bool take(struct ls_outbox *outbox, struct sync *sync, int64_t now)
{
    struct ls_marks_query query = {.account = sync->config->account,
                                   .entity = sync->config->entity};

    if (sync->waiting && now >= sync->next_left_ms) {
        outbox->state = OUTBOX_LEFT;
        outbox->current = sync;
        outbox->references++;
        ls_store_marks_left(outbox->options.store, query.account, query.entity, sync->batch_gen,
                            on_left, outbox);
        return true;
    }
    if (now < sync->pause_until_ms || (!sync->look && !sync->ticking && !sync->repush_before_ms))
        return false;
    outbox->whole = !has_ticks(sync) || sync->ticking;
    if (!outbox->whole)
        query.which = sync->config->mode == LS_CONFIG_HYBRID ? LS_MARKS_URGENT : LS_MARKS_FOUND;
    query.limit = has_ticks(sync) && sync->config->batch > 0 && sync->config->batch < PAGE
                      ? (size_t)sync->config->batch
                      : PAGE;
    query.repush_before_ms = ls_clock_wall_ms() - outbox->options.repush_ms;
    if (sync->repush_before_ms > query.repush_before_ms)
        query.repush_before_ms = sync->repush_before_ms;
    outbox->state = OUTBOX_TAKE;
    outbox->current = sync;
    outbox->references++;
    sync->look = false;
    ls_store_marks_take(outbox->options.store, &query, on_taken, outbox);
    return true;
}

static void keep_marks(struct ls_outbox *outbox, const struct ls_mark *marks, size_t count)
{
    drop_marks(outbox);
    outbox->marks = ls_xcalloc(count, sizeof *outbox->marks);
    for (; outbox->mark_count < count; outbox->mark_count++) {
        struct ls_mark *mark = &outbox->marks[outbox->mark_count];
        *mark = marks[outbox->mark_count];
        mark->account = ls_xstrdup(mark->account);
        mark->entity = ls_xstrdup(mark->entity);
        mark->uid = ls_xstrdup(mark->uid);
    }
}

static void drop_marks(struct ls_outbox *outbox)
{
    for (size_t i = 0; i < outbox->mark_count; i++) {
        free(outbox->marks[i].account);
        free(outbox->marks[i].entity);
        free(outbox->marks[i].uid);
    }
    free(outbox->marks);
    outbox->marks = NULL;
    outbox->mark_count = 0;
}

static enum ls_lane lane_of(const struct sync *sync, const struct ls_mark *mark)
{
    if (mark->low)
        return LS_LANE_LOW;
    if (sync->config->mode == LS_CONFIG_REALTIME)
        return LS_LANE_HIGH;
    if (mark->raised)
        return LS_LANE_HIGH;
    return sync->config->mode == LS_CONFIG_HYBRID && mark->high ? LS_LANE_HIGH : LS_LANE_NORMAL;
}

static void on_taken(void *arg, const struct ls_mark *marks, size_t count, const struct ls_err *err)
{
    struct ls_outbox *outbox = arg;
    struct sync *sync = outbox->current;
    size_t same = 0;

    outbox->state = OUTBOX_IDLE;
    if (outbox->stopped) {
        release(outbox);
        return;
    }
    outbox->references--;
    if (err) {
        sync->look = true;
        store_failed(outbox, err);
        return;
    }
    outbox->facts.store_up = true;
    outbox->store_pause_ms = 0;
    if (count == 0) {
        end_of_marks(outbox, sync);
        pump(outbox);
        return;
    }
    /* High ones by themselves: they may go to a queue that is too full for the rest. */
    while (same < count && (lane_of(sync, &marks[same]) == LS_LANE_HIGH) ==
                               (lane_of(sync, &marks[0]) == LS_LANE_HIGH))
        same++;
    keep_marks(outbox, marks, same);
    push(outbox);
}

/* Nothing is left to be handed over. */
static void end_of_marks(struct ls_outbox *outbox, struct sync *sync)
{
    sync->repush_before_ms = 0;
    if (!outbox->whole || !sync->ticking)
        return;
    sync->ticking = false;
    sync->waiting = sync->batch_records > 0;
    sync->left_pause_ms = LEFT_PAUSE_MS;
    sync->next_left_ms = ls_clock_mono_ms() + LEFT_PAUSE_MS;
}

static void write_envelope(struct ls_buf *out, const struct sync *sync, const struct ls_mark *mark,
                           const char *key)
{
    const struct ls_config_sync *config = sync->config;
    struct ls_envelope envelope = {.account = {mark->account, strlen(mark->account)},
                                   .kind = {mark->entity, strlen(mark->entity)},
                                   .key = {key, strlen(key)}};
    struct ls_buf data = {0};
    char id[LS_ID_SIZE];

    ls_id_new(id);
    ls_buf_puts(&data, "{\"sync\":");
    ls_buf_json_string(&data, config->name, strlen(config->name));
    ls_buf_puts(&data, ",\"id\":");
    ls_buf_json_string(&data, mark->uid, strlen(mark->uid));
    ls_buf_putc(&data, '}');
    envelope.id = (struct ls_span){id, strlen(id)};
    envelope.data = (struct ls_span){data.data, data.length};
    envelope.lane = lane_of(sync, mark);
    envelope.retry.max_attempts = (int)config->max_attempts;
    envelope.retry.max_age_ms = config->max_age_ms;
    if (config->backoff.set)
        envelope.retry.backoff = (struct ls_backoff){
            .type = config->backoff.type == LS_CONFIG_BACKOFF_FIXED ? LS_BACKOFF_FIXED
                                                                    : LS_BACKOFF_EXPONENTIAL,
            .jitter =
                config->backoff.jitter == LS_CONFIG_JITTER_NONE ? LS_JITTER_NONE : LS_JITTER_FULL,
            .base_ms = config->backoff.base_ms,
            .cap_ms = config->backoff.cap_ms,
            .factor = config->backoff.factor};
    ls_envelope_write(out, &envelope);
    ls_buf_fini(&data);
}

static void push(struct ls_outbox *outbox)
{
    struct sync *sync = outbox->current;
    struct ls_push_options options = {
        .bound = outbox->options.max_waiting *
                 (lane_of(sync, &outbox->marks[0]) == LS_LANE_HIGH ? 10 : 1)};
    struct ls_push_job *jobs = ls_xcalloc(outbox->mark_count, sizeof *jobs);
    struct ls_buf *bodies = ls_xcalloc(outbox->mark_count, sizeof *bodies);
    char **keys = ls_xcalloc(outbox->mark_count, sizeof *keys);
    struct ls_cmd cmd = {0};

    for (size_t i = 0; i < outbox->mark_count; i++) {
        const struct ls_mark *mark = &outbox->marks[i];
        keys[i] = ls_xasprintf("%s/%s/%s", mark->account, mark->entity, mark->uid);
        write_envelope(&bodies[i], sync, mark, keys[i]);
        jobs[i].envelope = (struct ls_span){bodies[i].data, bodies[i].length};
        jobs[i].key = (struct ls_span){keys[i], strlen(keys[i])};
    }
    ls_push_keyed_build(&cmd, &sync->queue->keys, &options, jobs, outbox->mark_count);
    outbox->state = OUTBOX_PUSH;
    ls_redis_send(outbox->redis, &cmd, SEND_MS, on_pushed, outbox);
    ls_cmd_fini(&cmd);
    for (size_t i = 0; i < outbox->mark_count; i++) {
        ls_buf_fini(&bodies[i]);
        free(keys[i]);
    }
    free(bodies);
    free(keys);
    free(jobs);
}

static void on_pushed(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct ls_outbox *outbox = arg;
    struct sync *sync = outbox->current;
    struct ls_err failure = LS_ERR_INIT;
    struct ls_pushed pushed;

    outbox->state = OUTBOX_IDLE;
    if (!err && ls_push_parse(reply, &pushed, &failure) < 0)
        err = &failure;
    if (err) {
        sync->look = true;
        drop_marks(outbox);
        sync->pause_until_ms = ls_clock_mono_ms() + FULL_PAUSE_MS;
        if (err->code != LS_E_LOST && err->code != LS_E_NETWORK && err->code != LS_E_TOO_BIG)
            ls_log_with(LS_LOG_WARN, "outbox.push_failed",
                        LS_FIELDS({"sync", sync->config->name}, {"queue", sync->queue->name}), "%s",
                        err->text);
        pump(outbox);
        return;
    }
    outbox->facts.pushed += (int64_t)outbox->mark_count;
    for (size_t i = 0; i < outbox->mark_count; i++)
        if (outbox->marks[i].gen > sync->batch_gen)
            sync->batch_gen = outbox->marks[i].gen;
    if (sync->ticking)
        sync->batch_records += (int64_t)outbox->mark_count;
    ls_log_with(LS_LOG_DEBUG, "outbox.pushed", LS_FIELDS({"sync", sync->config->name}),
                "%zu records: %" PRId64 " new, %" PRId64 " coalesced, %" PRId64 " running",
                outbox->mark_count, pushed.pushed, pushed.coalesced, pushed.changed);
    outbox->state = OUTBOX_NOTE;
    outbox->references++;
    ls_store_marks_pushed(outbox->options.store, outbox->marks, outbox->mark_count, on_noted,
                          outbox);
    drop_marks(outbox);
}

static void on_noted(void *arg, const struct ls_err *err)
{
    struct ls_outbox *outbox = arg;

    outbox->state = OUTBOX_IDLE;
    if (outbox->stopped) {
        release(outbox);
        return;
    }
    outbox->references--;
    outbox->current->look = true; /* until a page comes back empty */
    if (err) {
        store_failed(outbox, err);
        return;
    }
    pump(outbox);
}

static void on_left(void *arg, int64_t left, int64_t newest_gen, const struct ls_err *err)
{
    struct ls_outbox *outbox = arg;
    struct sync *sync = outbox->current;
    int64_t took_ms = ls_clock_mono_ms() - sync->batch_began_ms;

    outbox->state = OUTBOX_IDLE;
    if (outbox->stopped) {
        release(outbox);
        return;
    }
    outbox->references--;
    sync->next_left_ms = ls_clock_mono_ms() + sync->left_pause_ms;
    if (sync->left_pause_ms < LEFT_PAUSE_MAX_MS)
        sync->left_pause_ms += LEFT_PAUSE_MS;
    if (err) {
        store_failed(outbox, err);
        return;
    }
    if (left == 0) {
        sync->waiting = false;
        ls_log_with(LS_LOG_INFO, "outbox.batch",
                    LS_FIELDS({"sync", sync->config->name}, {"account", sync->config->account}),
                    "Batch sync completed: %" PRId64 " records in %" PRId64 ".%" PRId64 "s",
                    sync->batch_records, took_ms / 1000, took_ms % 1000 / 100);
    }
    pump(outbox);
}

static void store_failed(struct ls_outbox *outbox, const struct ls_err *err)
{
    if (outbox->facts.store_up)
        ls_log(LS_LOG_ERROR, "outbox.store", "Database connection lost during sync: %s", err->text);
    outbox->facts.store_up = false;
    outbox->store_pause_ms = outbox->store_pause_ms ? outbox->store_pause_ms * 2 : STORE_PAUSE_MS;
    if (outbox->store_pause_ms > STORE_PAUSE_MAX_MS)
        outbox->store_pause_ms = STORE_PAUSE_MAX_MS;
    outbox->store_pause_until_ms = ls_clock_mono_ms() + outbox->store_pause_ms;
    pump(outbox);
}
