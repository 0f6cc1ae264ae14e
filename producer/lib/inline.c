#include "producer/lib/inline_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

static struct inline_job *job_new(struct ls_inline *queue, const struct ls_lib_job *pushed);
static void insert(struct ls_inline *queue, struct inline_job *job);
static void remove_job(struct ls_inline *queue, struct inline_job *job);
static struct inline_job *find_key(const struct ls_inline *queue, const char *name,
                                   struct ls_span key);
static bool is_running(const struct ls_inline *queue, const char *name, struct ls_span key);
static enum ls_inline_pushed push_keyed(struct ls_inline *queue, const struct ls_lib_job *pushed);
static void replace(struct ls_inline *queue, struct inline_job *job,
                    const struct ls_lib_job *pushed);
static void move_up(struct ls_inline *queue, struct inline_job *job, enum ls_lane lane);
static bool names_have(const struct inline_names *names, const char *queue, struct ls_span id);
static void names_add(struct inline_names *names, const char *queue, struct ls_span id);
static bool names_remove(struct inline_names *names, const char *queue, struct ls_span id);
static void names_fini(struct inline_names *names);
static struct inline_state *state_find(const struct ls_inline *queue, const char *name,
                                       struct ls_span id);

struct ls_inline *ls_inline_new(void)
{
    struct ls_inline *queue = LS_NEW(struct ls_inline);

    queue->now_ms = ls_clock_wall_ms();
    return queue;
}

void ls_inline_free(struct ls_inline *queue)
{
    if (!queue)
        return;
    inline_kinds_close(queue);
    while (queue->jobs) {
        struct inline_job *job = queue->jobs;

        queue->jobs = job->next;
        inline_job_free(job);
    }
    for (size_t i = 0; i < queue->state_count; i++) {
        free(queue->states[i].name);
        free(queue->states[i].result);
        free(queue->states[i].error);
    }
    for (size_t i = 0; i < queue->letter_count; i++)
        free(queue->letters[i].text);
    names_fini(&queue->ids);
    names_fini(&queue->drops);
    free(queue->kinds);
    free(queue->states);
    free(queue->letters);
    free(queue);
}

int64_t ls_inline_now_ms(const struct ls_inline *queue)
{
    return queue->now_ms;
}

/* ---- pushing ---- */

enum ls_inline_pushed ls_inline_push(struct ls_inline *queue, const struct ls_lib_job *pushed)
{
    const char *name = pushed->queue->keys.queue;
    struct inline_job *job;

    if (pushed->job.key.length)
        return push_keyed(queue, pushed);
    if (pushed->job.id.length) {
        if (names_have(&queue->ids, name, pushed->job.id))
            return LS_INLINE_KNOWN;
        names_add(&queue->ids, name, pushed->job.id);
    }
    job = job_new(queue, pushed);
    job->due_ms = queue->now_ms + pushed->job.delay_ms;
    insert(queue, job);
    return LS_INLINE_NEW;
}

/* When a debounced push is due: put off by every push, up to what the first one said. */
static int64_t debounced_ms(const struct ls_inline *queue, struct inline_job *job,
                            const struct ls_push_job *wanted)
{
    int64_t due_ms = queue->now_ms + wanted->debounce_ms;

    if (job->latest_ms < 0)
        job->latest_ms = wanted->max_wait_ms ? queue->now_ms + wanted->max_wait_ms : 0;
    return job->latest_ms && job->latest_ms < due_ms ? job->latest_ms : due_ms;
}

/* The newest body wins unless its mode says otherwise, and one run of a key at a time: as
 * lua/lib/keyed.lua. */
static enum ls_inline_pushed push_keyed(struct ls_inline *queue, const struct ls_lib_job *pushed)
{
    const struct ls_push_job *wanted = &pushed->job;
    const char *name = pushed->queue->keys.queue;
    struct inline_job *waiting = find_key(queue, name, wanted->key), *job;
    bool running = is_running(queue, name, wanted->key);

    if (wanted->mode == LS_PUSH_REJECT && (waiting || running))
        return LS_INLINE_REJECTED;
    if (waiting && wanted->mode == LS_PUSH_KEEP) {
        move_up(queue, waiting, ls_lane_of(wanted->envelope));
        return LS_INLINE_KEPT;
    }
    if (waiting) {
        replace(queue, waiting, pushed);
        return running ? LS_INLINE_CHANGED : LS_INLINE_COALESCED;
    }
    job = job_new(queue, pushed);
    job->due_ms =
        wanted->debounce_ms ? debounced_ms(queue, job, wanted) : queue->now_ms + wanted->delay_ms;
    insert(queue, job);
    return running ? LS_INLINE_CHANGED : LS_INLINE_NEW;
}

/* The body of a waiting job by a newer one of its key. */
static void replace(struct ls_inline *queue, struct inline_job *job,
                    const struct ls_lib_job *pushed)
{
    struct inline_job *newer = job_new(queue, pushed);
    const struct ls_push_job *wanted = &pushed->job;
    int64_t due_ms = queue->now_ms + wanted->delay_ms;

    remove_job(queue, job);
    newer->latest_ms = job->latest_ms;
    if (job->due_ms <= queue->now_ms || job->backing_off)
        due_ms = job->due_ms; /* its turn has come; or the backoff holds for the newer body too */
    else if (wanted->debounce_ms)
        due_ms = debounced_ms(queue, newer, wanted);
    else if (job->due_ms < due_ms)
        due_ms = job->due_ms; /* a shorter delay moves it up, a longer one does not put it off */
    newer->due_ms = due_ms;
    newer->pushed_ms = job->pushed_ms;
    newer->number = job->number;
    newer->backing_off = job->backing_off;
    insert(queue, newer);
    move_up(queue, newer, job->envelope.lane); /* up, never down */
    inline_job_free(job);
}

static struct inline_job *job_new(struct ls_inline *queue, const struct ls_lib_job *pushed)
{
    struct inline_job *job = LS_NEW(struct inline_job);

    snprintf(job->queue, sizeof job->queue, "%s", pushed->queue->keys.queue);
    ls_buf_add(&job->bytes, pushed->job.envelope.data, pushed->job.envelope.length);
    /* We wrote it, and it was checked. */
    ls_assert(ls_envelope_scan(&job->envelope, job->bytes.data, job->bytes.length, NULL) == 0);
    job->pushed_ms = queue->now_ms;
    job->latest_ms = -1;
    job->number = ++queue->numbers;
    inline_say(queue, job, LS_OUTCOME_PENDING, (struct ls_span){0}, NULL);
    return job;
}

int inline_job_rewrite(struct inline_job *job, const struct ls_envelope *envelope,
                       struct ls_err *err)
{
    struct ls_envelope scanned;
    struct ls_buf bytes = {0};

    ls_envelope_write(&bytes, envelope);
    if (ls_envelope_scan(&scanned, bytes.data, bytes.length, err) < 0) {
        ls_envelope_fini(&scanned);
        ls_buf_fini(&bytes);
        return -1;
    }
    ls_envelope_fini(&job->envelope);
    ls_buf_fini(&job->bytes);
    job->envelope = scanned;
    job->bytes = bytes;
    return 0;
}

void inline_job_free(struct inline_job *job)
{
    if (!job)
        return;
    ls_envelope_fini(&job->envelope);
    ls_buf_fini(&job->bytes);
    free(job);
}

/* ---- the order ---- */

static int rank(enum ls_lane lane)
{
    static const int ranks[LS_LANE_COUNT] = {
        [LS_LANE_HIGH] = 0, [LS_LANE_NORMAL] = 1, [LS_LANE_LOW] = 2};

    return ranks[lane];
}

static bool goes_before(const struct inline_job *a, const struct inline_job *b)
{
    int left = rank(a->envelope.lane), right = rank(b->envelope.lane);

    if (a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms;
    return left != right ? left < right : a->number < b->number;
}

/* A waiting job up to a higher lane. */
static void move_up(struct ls_inline *queue, struct inline_job *job, enum ls_lane lane)
{
    if (rank(lane) >= rank(job->envelope.lane))
        return;
    remove_job(queue, job);
    job->envelope.lane = lane;
    insert(queue, job);
}

static void insert(struct ls_inline *queue, struct inline_job *job)
{
    struct inline_job **at = &queue->jobs;

    while (*at && !goes_before(job, *at))
        at = &(*at)->next;
    job->next = *at;
    *at = job;
}

static void remove_job(struct ls_inline *queue, struct inline_job *job)
{
    struct inline_job **at = &queue->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    job->next = NULL;
}

static bool is_of(const struct inline_job *job, const char *name, struct ls_span key)
{
    return strcmp(job->queue, name) == 0 && ls_span_equal(job->envelope.key, key);
}

static struct inline_job *find_key(const struct ls_inline *queue, const char *name,
                                   struct ls_span key)
{
    for (struct inline_job *job = queue->jobs; job; job = job->next) {
        if (is_of(job, name, key))
            return job;
    }
    return NULL;
}

static bool is_running(const struct ls_inline *queue, const char *name, struct ls_span key)
{
    return queue->running && is_of(queue->running, name, key);
}

struct inline_job *inline_take(struct ls_inline *queue)
{
    struct inline_job *job;

    while ((job = queue->jobs)) {
        queue->jobs = job->next;
        job->next = NULL;
        if (job->due_ms > queue->now_ms)
            queue->now_ms = job->due_ms;
        if (!names_remove(&queue->drops, job->queue, job->envelope.id))
            return job;
        inline_say(queue, job, LS_OUTCOME_CANCELLED, (struct ls_span){0}, NULL);
        inline_job_free(job);
    }
    return NULL;
}

void inline_requeue(struct ls_inline *queue, struct inline_job *job, int64_t due_ms, bool behind)
{
    struct inline_job *newer =
        job->envelope.key.length ? find_key(queue, job->queue, job->envelope.key) : NULL;

    if (newer) {
        inline_job_free(job);
        job = newer;
        remove_job(queue, job);
    }
    job->due_ms = due_ms;
    job->backing_off = due_ms > queue->now_ms;
    if (behind)
        job->number = ++queue->numbers;
    insert(queue, job);
}

/* ---- looking ---- */

void ls_inline_stat(const struct ls_inline *queue, const char *name,
                    struct lockstep_queue_stat *stat)
{
    stat->oldest_age_ms = -1;
    stat->workers = 1; /* the caller */
    for (const struct inline_job *job = queue->jobs; job; job = job->next) {
        if (strcmp(job->queue, name) != 0)
            continue;
        if (job->due_ms > queue->now_ms) {
            stat->delayed++;
            continue;
        }
        stat->depth++;
        if (queue->now_ms - job->pushed_ms > stat->oldest_age_ms)
            stat->oldest_age_ms = queue->now_ms - job->pushed_ms;
    }
    stat->running = queue->running && strcmp(queue->running->queue, name) == 0;
    for (size_t i = 0; i < queue->letter_count; i++)
        stat->failed += strcmp(queue->letters[i].queue, name) == 0;
}

int64_t ls_inline_dead_list(const struct ls_inline *queue, const char *name, int64_t offset,
                            int64_t limit, lockstep_dead_cb *cb, void *arg)
{
    struct ls_buf bufs[LS_LIB_LETTER_TEXTS] = {{0}};
    int64_t index = 0, given = 0;
    bool more = true;

    for (size_t i = queue->letter_count; i-- > 0 && more;) {
        const struct inline_letter *letter = &queue->letters[i];

        if (strcmp(letter->queue, name) != 0 || index++ < offset)
            continue;
        more = ls_lib_give_letter(index - 1, ls_span_of(letter->text), cb, arg, bufs) == 0;
        given++;
        more = more && (limit <= 0 || given < limit);
    }
    for (size_t i = 0; i < LS_COUNT(bufs); i++)
        ls_buf_fini(&bufs[i]);
    return given;
}

void inline_bury(struct ls_inline *queue, const struct inline_job *job, struct ls_buf *letter)
{
    struct inline_letter *kept;

    queue->letters =
        ls_xrealloc(queue->letters, (queue->letter_count + 1) * sizeof *queue->letters);
    kept = &queue->letters[queue->letter_count++];
    snprintf(kept->queue, sizeof kept->queue, "%s", job->queue);
    kept->text = ls_buf_take(letter);
}

static int64_t list(const struct ls_inline *queue, lockstep_inline_cb *cb, void *arg)
{
    struct ls_buf bufs[5] = {{0}};
    bool more = cb != NULL;
    int64_t count = 0;

    for (const struct inline_job *job = queue->jobs; job; job = job->next, count++) {
        const struct ls_envelope *envelope = &job->envelope;
        const struct ls_span texts[] = {envelope->id, envelope->kind, envelope->account,
                                        envelope->key, envelope->data};

        for (size_t i = 0; i < LS_COUNT(texts) && more; i++) {
            ls_buf_clear(&bufs[i]);
            ls_buf_add(&bufs[i], texts[i].data, texts[i].length);
        }
        if (more)
            more = cb(arg, &(struct lockstep_inline_job){
                               .size = sizeof(struct lockstep_inline_job),
                               .queue = job->queue,
                               .id = bufs[0].data,
                               .kind = bufs[1].data,
                               .account = bufs[2].data,
                               .key = bufs[3].data,
                               .data = envelope->data.length ? bufs[4].data : NULL,
                               .priority = ls_lane_name(envelope->lane),
                               .due_in_ms =
                                   job->due_ms > queue->now_ms ? job->due_ms - queue->now_ms : 0,
                               .attempts = envelope->attempt,
                           }) == 0;
    }
    for (size_t i = 0; i < LS_COUNT(bufs); i++)
        ls_buf_fini(&bufs[i]);
    return count;
}

int64_t lockstep_inline_list(struct lockstep *ls, lockstep_inline_cb *cb, void *arg)
{
    struct ls_err err = LS_ERR_INIT;

    ls_lib_begin(ls);
    if (ls_lib_check_inline(ls, &err) < 0)
        return ls_lib_failed(ls, &err);
    return list(ls->inlined, cb, arg);
}

int lockstep_inline_defer(struct lockstep *ls)
{
    struct ls_err err = LS_ERR_INIT;

    ls_lib_begin(ls);
    if (ls_lib_check_inline(ls, &err) < 0)
        return ls_lib_failed(ls, &err);
    ls->inlined->deferred = true;
    return 0;
}

/* ---- states, cancelling ---- */

bool ls_inline_cancel(struct ls_inline *queue, const char *name, struct ls_span id,
                      struct ls_span key)
{
    struct inline_job *job = queue->jobs, *running = queue->running;
    bool found = false;

    while (job &&
           !(strcmp(job->queue, name) == 0 && (key.length ? ls_span_equal(job->envelope.key, key)
                                                          : ls_span_equal(job->envelope.id, id))))
        job = job->next;
    if (job) {
        remove_job(queue, job);
        inline_say(queue, job, LS_OUTCOME_CANCELLED, (struct ls_span){0}, NULL);
        inline_job_free(job);
        found = true;
    }
    if (running && strcmp(running->queue, name) == 0 &&
        (key.length ? ls_span_equal(running->envelope.key, key)
                    : ls_span_equal(running->envelope.id, id))) {
        found = found || !queue->cancelled;
        queue->cancelled = true;
    } else if (!found && id.length && !names_have(&queue->drops, name, id)) {
        names_add(&queue->drops, name, id);
        found = true;
    }
    return found;
}

static struct inline_state *state_find(const struct ls_inline *queue, const char *name,
                                       struct ls_span id)
{
    size_t length = strlen(name);

    for (size_t i = queue->state_count; i-- > 0;) { /* the newest are asked for most */
        const char *at = queue->states[i].name;

        if (strncmp(at, name, length) == 0 && at[length] == ' ' &&
            ls_span_equal(ls_span_of(at + length + 1), id))
            return &queue->states[i];
    }
    return NULL;
}

void inline_say(struct ls_inline *queue, const struct inline_job *job, enum ls_outcome_state state,
                struct ls_span text, const char *klass)
{
    struct inline_state *kept;

    if (!job->envelope.status && !job->envelope.result)
        return;
    kept = state_find(queue, job->queue, job->envelope.id);
    if (!kept) {
        queue->states =
            ls_xrealloc(queue->states, (queue->state_count + 1) * sizeof *queue->states);
        kept = &queue->states[queue->state_count++];
        *kept = (struct inline_state){
            .name = ls_xasprintf("%s %.*s", job->queue, LS_SPAN_ARG(job->envelope.id))};
    }
    free(kept->result);
    free(kept->error);
    kept->result = kept->error = NULL;
    kept->state = state;
    kept->klass = klass;
    if (!job->envelope.result || !text.length)
        return;
    *(state == LS_OUTCOME_DONE ? &kept->result : &kept->error) =
        ls_xstrndup(text.data, text.length);
}

void ls_inline_outcome(const struct ls_inline *queue, const char *name, struct ls_span id,
                       struct ls_outcome *outcome)
{
    const struct inline_state *kept = state_find(queue, name, id);

    *outcome = (struct ls_outcome){.state = LS_OUTCOME_UNKNOWN};
    if (!kept)
        return;
    outcome->state = kept->state;
    outcome->result = ls_span_of(kept->result);
    outcome->error = ls_span_of(kept->error);
    if (kept->error)
        outcome->klass = ls_span_of(kept->klass);
}

/* ---- sets ---- */

static size_t names_at(const struct inline_names *names, const char *queue, struct ls_span id)
{
    size_t length = strlen(queue), at = 0;

    for (; at < names->count; at++) {
        const char *name = names->names[at];

        if (strncmp(name, queue, length) == 0 && name[length] == ' ' &&
            ls_span_equal(ls_span_of(name + length + 1), id))
            break;
    }
    return at;
}

static bool names_have(const struct inline_names *names, const char *queue, struct ls_span id)
{
    return names_at(names, queue, id) < names->count;
}

static void names_add(struct inline_names *names, const char *queue, struct ls_span id)
{
    names->names = ls_xrealloc(names->names, (names->count + 1) * sizeof *names->names);
    names->names[names->count++] = ls_xasprintf("%s %.*s", queue, LS_SPAN_ARG(id));
}

static bool names_remove(struct inline_names *names, const char *queue, struct ls_span id)
{
    size_t at = names_at(names, queue, id);

    if (at == names->count)
        return false;
    free(names->names[at]);
    names->names[at] = names->names[--names->count];
    return true;
}

static void names_fini(struct inline_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
}
