/* lockstep dead retry, discard: letters leave the list. */
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/job/envelope.h"
#include "producer/cli/dead.h"

#define SEARCH_SLICE \
    8 /* letters from anywhere in one call: each may cost a search through the list */
#define REASON_MAX 200    /* bytes */
#define CHANGED_MAX 1000  /* times that somebody else was quicker, in a row */
#define TOUCHED_MAX 10000 /* groups whose age is set right afterwards */

/* Ctrl-C between two slices: a handler can only reach what has no owner. */
static volatile sig_atomic_t interrupted;

/* One letter of the slice; the spans are offsets into the buffers until it is sent. */
struct placed {
    size_t letter, letter_length, envelope, envelope_length, group, group_length, key, key_length;
    bool stays;
};

struct mover {
    struct ls_cli *cli;
    const struct ls_keys *keys;
    struct dead_select *select;
    bool retry;
    double rate;         /* letters a second; 0: as fast as it goes */
    int64_t started_ms;  /* of pacing */
    struct ls_span line; /* discard: for the log */
    int64_t moved, unreadable;
    struct dead_touched touched;
    struct ls_cmd cmd;

    /* the slice */
    struct ls_buf letters;   /* exact bytes, one after another */
    struct ls_buf envelopes; /* what a retry pushes */
    struct ls_buf fields;    /* groups and keys */
    struct placed placed[DEAD_SLICE];
    struct ls_dead_move moves[DEAD_SLICE];
    size_t count, taken;

    /* turning (common/queue/dead.h) */
    struct ls_buf first_turned; /* when it comes round again, the pass is over */
    struct ls_buf mark;         /* turned last */
    int64_t turned;             /* that could be turned back */
};

static int turn_back(struct mover *mover, struct ls_err *err);

/* ---- the slice ---- */

static size_t put(struct ls_buf *buf, struct ls_span span)
{
    size_t at = buf->length;

    ls_buf_add(buf, span.data, span.length);
    return at;
}

static void slice_clear(struct mover *mover)
{
    mover->count = mover->taken = 0;
    ls_buf_clear(&mover->letters);
    ls_buf_clear(&mover->envelopes);
    ls_buf_clear(&mover->fields);
}

/* What a retry of the letter pushes; false when it is no job. */
static bool place_job(struct mover *mover, struct placed *placed, const struct ls_dead *letter)
{
    size_t start = mover->envelopes.length;
    struct ls_envelope envelope = {0};

    if (ls_dead_revive(&mover->envelopes, letter, NULL) < 0 ||
        ls_envelope_scan(&envelope, mover->envelopes.data + start, mover->envelopes.length - start,
                         NULL) < 0) {
        mover->envelopes.length = start;
        return false;
    }
    placed->envelope = start;
    placed->envelope_length = mover->envelopes.length - start;
    placed->key = put(&mover->fields, envelope.key);
    placed->key_length = envelope.key.length;
    ls_envelope_fini(&envelope);
    return true;
}

/* Into the slice: to be taken, if it is meant and can be moved, or to stay. letter NULL: it is none
 * of ours. */
static void slice_add(struct mover *mover, struct ls_span text, const struct ls_dead *letter,
                      bool meant)
{
    struct placed *placed = &mover->placed[mover->count++];

    *placed = (struct placed){.stays = true};
    placed->letter = put(&mover->letters, text);
    placed->letter_length = text.length;
    if (!meant)
        return;
    if (mover->retry && (!letter || !place_job(mover, placed, letter))) {
        mover->unreadable++;
        return;
    }
    placed->stays = false;
    mover->taken++;
    if (letter) {
        placed->group = put(&mover->fields, letter->group);
        placed->group_length = letter->group.length;
    }
}

static struct ls_span span_at(const struct ls_buf *buf, size_t at, size_t length)
{
    return length ? (struct ls_span){buf->data + at, length} : (struct ls_span){0};
}

/* `count` letters of the slice from `from` on. */
static int slice_send(struct mover *mover, const struct ls_dead_place *place, size_t from,
                      size_t count, struct ls_dead_moved *moved, struct ls_err *err)
{
    const struct ls_dead_move *moves = mover->moves + from;
    const struct ls_reply *reply;

    for (size_t i = from; i < from + count; i++) {
        const struct placed *at = &mover->placed[i];

        mover->moves[i] = (struct ls_dead_move){
            .letter = span_at(&mover->letters, at->letter, at->letter_length),
            .stays = at->stays,
            .group = span_at(&mover->fields, at->group, at->group_length),
            .envelope = span_at(&mover->envelopes, at->envelope, at->envelope_length),
            .key = span_at(&mover->fields, at->key, at->key_length)};
    }
    if (mover->retry)
        ls_dead_redrive_build(&mover->cmd, mover->keys, place, moves, count);
    else
        ls_dead_discard_build(&mover->cmd, mover->keys, place, mover->line, moves, count);
    if (ls_cli_send(mover->cli, &mover->cmd, &reply, err) < 0 ||
        ls_dead_moved_parse(reply, moved, err) < 0)
        return -1;
    mover->moved += moved->moved;
    for (size_t i = 0; moved->moved && i < count; i++)
        if (!moves[i].stays && mover->touched.count < TOUCHED_MAX)
            dead_touch(&mover->touched, moves[i].group);
    return 0;
}

static int length_of(struct mover *mover, int64_t *length, struct ls_err *err)
{
    const struct ls_reply *reply;

    ls_cmd_start(&mover->cmd, "LLEN");
    ls_cmd_puts(&mover->cmd, mover->keys->dead);
    if (ls_cli_send(mover->cli, &mover->cmd, &reply, err) < 0)
        return -1;
    *length = ls_reply_int(reply, 0);
    return 0;
}

static bool limit_reached(const struct mover *mover)
{
    return mover->select->limit && mover->moved + (int64_t)mover->taken >= mover->select->limit;
}

/* Until `moved` letters may have been moved at the rate. Ctrl-C ends the wait. */
static void pace(const struct mover *mover)
{
    int64_t due = mover->started_ms + (int64_t)((double)mover->moved * 1000 / mover->rate);
    int64_t left = due - ls_clock_mono_ms();

    if (left > 0 && !interrupted)
        nanosleep(&(struct timespec){left / 1000, left % 1000 * 1000000}, NULL);
}

/* How many at once: some trips a second, so that a slow rate is an even one. */
static size_t burst(const struct mover *mover)
{
    if (mover->rate <= 0 || mover->rate / 4 >= DEAD_SLICE)
        return DEAD_SLICE;
    return mover->rate < 8 ? 1 : (size_t)(mover->rate / 4);
}

/* ---- by ids: wherever they lie ---- */

static bool all_found(const struct dead_select *select)
{
    for (size_t i = 0; i < select->ids.count; i++)
        if (!select->found[i])
            return false;
    return true;
}

static void pick(struct mover *mover, struct ls_span text, int64_t index)
{
    struct ls_dead letter = {0};
    bool ours = ls_dead_parse(&letter, text.data ? text.data : "", text.length, NULL) == 0;

    if (dead_select_has_id(mover->select, ours ? &letter : NULL, index) &&
        dead_select_has(mover->select, ours ? &letter : NULL)) {
        slice_add(mover, text, ours ? &letter : NULL, true);
        if (mover->placed[mover->count - 1].stays)
            mover->count--; /* it is no job */
    }
    ls_dead_fini(&letter);
}

static int send_picked(struct mover *mover, enum ls_dead_where where, struct ls_err *err)
{
    const struct ls_dead_place place = {.where = where};
    size_t most = burst(mover) < SEARCH_SLICE ? burst(mover) : SEARCH_SLICE;
    struct ls_dead_moved moved;

    mover->taken = 0; /* from here on they are counted as moved */
    for (size_t from = 0; from < mover->count && !interrupted; from += most) {
        size_t count = mover->count - from < most ? mover->count - from : most;

        if (slice_send(mover, &place, from, count, &moved, err) < 0)
            return -1;
        if (mover->rate > 0)
            pace(mover);
    }
    return 0;
}

/* From the newest letter on. What was taken out lay before those that are still to be seen. */
static int move_by_ids(struct mover *mover, struct ls_err *err)
{
    const struct ls_reply *reply, *text;
    int64_t seen = 0, total;
    bool more = true;

    if (length_of(mover, &total, err) < 0)
        return -1;
    while (more && !interrupted && !all_found(mover->select) && !limit_reached(mover)) {
        int64_t at = seen - mover->moved;

        ls_dead_list_build(&mover->cmd, mover->keys, at, at + DEAD_SLICE - 1);
        if (ls_cli_send(mover->cli, &mover->cmd, &reply, err) < 0)
            return -1;
        slice_clear(mover);
        for (size_t i = 0; (text = ls_reply_item(reply, i)); i++, seen++)
            if (!limit_reached(mover))
                pick(mover, ls_reply_span(text), seen);
        more = ls_reply_item(reply, DEAD_SLICE - 1) != NULL;
        if (send_picked(mover, seen < total / 2 ? LS_DEAD_HEAD : LS_DEAD_TAIL, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- by selection: from the oldest on, the rest is turned to the head ---- */

static bool is_text(const struct ls_buf *buf, struct ls_span text)
{
    return buf->length && ls_span_equal((struct ls_span){buf->data, buf->length}, text);
}

static void keep(struct ls_buf *buf, struct ls_span text)
{
    ls_buf_clear(buf);
    ls_buf_add(buf, text.data, text.length);
}

/* The oldest letters into the slice, until enough of them are to be taken. `may_take`: so many more
 * were there when the command began; what died since is turned, but not taken. False: the first
 * letter that was turned has come round, all others were looked at. */
static bool fill(struct mover *mover, const struct ls_reply *reply, int64_t may_take)
{
    size_t most = burst(mover);

    slice_clear(mover);
    for (size_t i = reply->type == LS_REPLY_ARRAY ? reply->count : 0; i-- > 0;) {
        struct ls_span text = ls_reply_span(&reply->items[i]);
        struct ls_dead letter = {0};
        bool ours, meant;

        if (is_text(&mover->first_turned, text))
            return false;
        ours = ls_dead_parse(&letter, text.data ? text.data : "", text.length, NULL) == 0;
        meant = (int64_t)mover->count < may_take &&
                dead_select_has(mover->select, ours ? &letter : NULL);
        slice_add(mover, text, ours ? &letter : NULL, meant);
        ls_dead_fini(&letter);
        if (limit_reached(mover) || mover->taken == most)
            break;
    }
    return true;
}

/* What the slice turned. */
static void note_turned(struct mover *mover, bool together)
{
    int64_t stayed = (int64_t)(mover->count - mover->taken);
    size_t last = mover->count;

    if (!stayed)
        return;
    mover->turned = together ? mover->turned + stayed : stayed;
    for (size_t i = mover->count; i-- > 0;) {
        if (!mover->placed[i].stays)
            continue;
        if (last == mover->count)
            keep(&mover->mark, mover->moves[i].letter);
        last = i;
    }
    if (!mover->first_turned.length)
        keep(&mover->first_turned, mover->moves[last].letter);
}

static int read_oldest(struct mover *mover, int64_t count, const struct ls_reply **reply,
                       struct ls_err *err)
{
    ls_dead_list_build(&mover->cmd, mover->keys, -count, -1);
    return ls_cli_send(mover->cli, &mover->cmd, reply, err);
}

/* The pass. It is over when all that was there at its beginning was looked at and, if anything was
 * turned, when the first one that was comes round again. */
static int pass(struct mover *mover, int64_t total, struct ls_progress *progress,
                struct ls_err *err)
{
    int64_t began_with = total, looked = 0, unreadable;
    const struct ls_reply *reply;
    int changed = 0;

    while (looked < total && !interrupted && !limit_reached(mover)) {
        struct ls_dead_place place = {.where = LS_DEAD_OLDEST,
                                      .mark = {mover->mark.data, mover->mark.length}};
        bool first_turn = !mover->first_turned.length, more;
        struct ls_dead_moved moved;

        if (read_oldest(mover, total - looked < DEAD_SLICE ? total - looked : DEAD_SLICE, &reply,
                        err) < 0)
            return -1;
        unreadable = mover->unreadable;
        more = fill(mover, reply, began_with - looked);
        if (!mover->count)
            break;
        if (slice_send(mover, &place, 0, mover->count, &moved, err) < 0)
            return -1;
        if (moved.changed) { /* somebody else took from the end */
            mover->unreadable = unreadable;
            mover->taken = 0;
            if (++changed < CHANGED_MAX)
                continue;
            ls_fail(err, LS_E_CONFLICT, "somebody else moves the letters of queue '%s'",
                    mover->keys->queue);
            return ls_hint(err, "run it again when they are done");
        }
        changed = 0;
        note_turned(mover, moved.together);
        if (first_turn && mover->first_turned.length) /* the list as it is now, turned once */
            total = looked + moved.left + moved.moved;
        looked += (int64_t)mover->count;
        mover->taken = 0;
        progress->total = began_with;
        ls_progress_set(progress, looked < began_with ? looked : began_with);
        if (!more)
            break;
        if (mover->rate > 0 && moved.moved)
            pace(mover);
    }
    progress->done = looked < began_with ? looked : began_with;
    if (looked < total && (interrupted || limit_reached(mover)))
        return turn_back(mover, err);
    return 0;
}

/* It ends early: what was turned goes back to the tail. */
static int turn_back(struct mover *mover, struct ls_err *err)
{
    while (mover->turned > 0 && mover->mark.length) {
        int64_t count = mover->turned < LS_DEAD_REWIND_MAX ? mover->turned : LS_DEAD_REWIND_MAX;
        const struct ls_reply *reply;
        struct ls_span mark;

        ls_dead_rewind_build(&mover->cmd, mover->keys,
                             (struct ls_span){mover->mark.data, mover->mark.length}, count);
        if (ls_cli_send(mover->cli, &mover->cmd, &reply, err) < 0 ||
            ls_dead_rewind_parse(reply, &mark, err) < 0)
            return -1;
        keep(&mover->mark, mark);
        mover->turned -= count;
    }
    return 0;
}

static int move_oldest(struct mover *mover, struct ls_err *err)
{
    struct ls_progress progress;
    int64_t total;
    int result;

    if (length_of(mover, &total, err) < 0)
        return -1;
    if (!total)
        return 0;
    ls_progress_start(&progress, mover->cli, mover->retry ? "retry" : "discard", total);
    result = pass(mover, total, &progress, err);
    if (result < 0)
        turn_back(mover, NULL); /* if it still can be done */
    ls_progress_finish(&progress);
    return result;
}

/* ---- the command ---- */

static int parse_rate(const char *text, double *rate, struct ls_err *err)
{
    char *end;

    *rate = strtod(text, &end);
    if (end != text && *rate > 0 && *rate < 1e9 && (!*end || strcmp(end, "/s") == 0))
        return 0;
    ls_fail(err, LS_E_USAGE, "'--rate' cannot be '%.60s'", text);
    return ls_hint(err, "jobs a second: 50/s");
}

static int check_reason(const struct dead_words *words, struct ls_err *err)
{
    if (words->reason && strlen(words->reason) > REASON_MAX)
        return ls_fail(err, LS_E_USAGE, "'--reason' has more than %d bytes", REASON_MAX);
    if (words->dry_run || (words->reason && *words->reason))
        return 0;
    ls_fail(err, LS_E_USAGE, "say why: '--reason TEXT'");
    return ls_hint(err, "it stays in 'lockstep dead discarded'; the letters are gone for good");
}

/* Who, when, why, which; lua/job_discard.lua adds how many. `run` keeps two commands apart that say
 * the same. */
static int write_line(struct mover *mover, const char *reason, struct ls_buf *out,
                      struct ls_err *err)
{
    const struct passwd *user = getpwuid(geteuid());
    char host[65] = "", at[LS_CLOCK_TEXT_SIZE];
    struct ls_buf by = {0}, which = {0};
    int64_t now_us;

    if (ls_cli_redis_us(mover->cli, &now_us, err) < 0)
        return -1;
    gethostname(host, sizeof host - 1);
    ls_buf_printf(&by, "%s@%s", user ? user->pw_name : "somebody", host);
    dead_select_describe(mover->select, &which);
    ls_buf_printf(out, "{\"at\":\"%s\",\"by\":", ls_clock_format(at, now_us / 1000));
    ls_buf_json_string(out, by.data, by.length);
    ls_buf_puts(out, ",\"reason\":");
    ls_buf_json_string(out, reason, strlen(reason));
    ls_buf_puts(out, ",\"selection\":");
    ls_buf_json_string(out, which.data, which.length);
    ls_buf_printf(out, ",\"run\":\"%016llx\"", (unsigned long long)ls_rand_u64());
    ls_buf_fini(&by);
    ls_buf_fini(&which);
    return 0;
}

static void on_signal(int number)
{
    interrupted = number;
}

/* The first signal ends the command after the slice under way, the second at once. */
static void watch_signals(bool on)
{
    const struct sigaction action = {.sa_handler = on ? on_signal : SIG_DFL,
                                     .sa_flags = on ? (int)SA_RESETHAND : 0};

    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int report(struct mover *mover, struct ls_err *err, int result)
{
    const char *done = mover->retry ? "queued again" : "discarded";
    struct ls_buf missing = {0};
    size_t lacking;

    if (mover->cli->json)
        printf("{\"moved\": %lld, \"unreadable\": %lld}\n", (long long)mover->moved,
               (long long)mover->unreadable);
    else if (result == 0 || mover->moved)
        printf("%s %lld jobs\n", done, (long long)mover->moved);
    if (mover->unreadable)
        ls_cli_note(mover->cli,
                    "%lld stay: they are no jobs; 'lockstep dead show NO --raw' gives their bytes",
                    (long long)mover->unreadable);
    if (result == 0 && interrupted)
        result = ls_fail(err, LS_E_CANCELLED, "interrupted: the others stay as they were");
    lacking =
        result == 0 && !limit_reached(mover) ? dead_select_missing(mover->select, &missing) : 0;
    if (lacking) {
        result = ls_fail(err, LS_E_NOT_FOUND, "no dead job %s in queue '%s'", missing.data,
                         mover->keys->queue);
        ls_hint(err, "'lockstep dead list' shows what there is");
    } else if (result == 0 && mover->select->ids.count && mover->unreadable) {
        result = ls_fail(err, LS_E_INVALID, "what is no job cannot run again");
        ls_hint(err, "'lockstep dead show ID --raw' gives its bytes; mend and push them");
    }
    ls_buf_fini(&missing);
    return result < 0 ? ls_cli_failed(mover->cli, err) : LS_EXIT_OK;
}

static int dry_run(struct ls_cli *cli, const struct ls_keys *keys, struct dead_select *select,
                   bool retry)
{
    struct ls_err err = LS_ERR_INIT;
    int64_t selected, unreadable;

    if (dead_count(cli, keys, select, &selected, &unreadable, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (!retry)
        unreadable = 0;
    if (cli->json)
        printf("{\"selected\": %lld, \"unreadable\": %lld}\n", (long long)(selected - unreadable),
               (long long)unreadable);
    else
        printf("would %s %lld jobs\n", retry ? "queue again" : "discard",
               (long long)(selected - unreadable));
    return LS_EXIT_OK;
}

static int run_mover(struct mover *mover, const char *reason)
{
    struct ls_err err = LS_ERR_INIT, later = LS_ERR_INIT;
    struct ls_buf line = {0};
    int result = 0, code;

    if (!mover->retry)
        result = write_line(mover, reason, &line, &err);
    mover->line = (struct ls_span){line.data, line.length};
    mover->started_ms = ls_clock_mono_ms();
    watch_signals(true);
    if (result == 0)
        result = mover->select->ids.count ? move_by_ids(mover, &err) : move_oldest(mover, &err);
    if (mover->touched.count && dead_mend(mover->cli, mover->keys, &mover->touched, &later) < 0)
        ls_cli_note(mover->cli, "'dead groups' may show some groups as older than they are: %s",
                    later.text);
    code = report(mover, &err, result);
    watch_signals(false);
    ls_buf_fini(&line);
    return code;
}

int dead_move(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys,
              bool retry)
{
    struct dead_select select;
    struct mover *mover;
    struct ls_err err = LS_ERR_INIT;
    double rate = 0;
    int code;

    if (dead_select_init(&select, cli, words, true, &err) < 0 ||
        (words->rate && parse_rate(words->rate, &rate, &err) < 0) ||
        (!retry && check_reason(words, &err) < 0)) {
        dead_select_fini(&select);
        return ls_cli_failed(cli, &err);
    }
    if (words->dry_run) {
        code = dry_run(cli, keys, &select, retry);
    } else {
        mover = LS_NEW(struct mover);
        mover->cli = cli;
        mover->keys = keys;
        mover->select = &select;
        mover->retry = retry;
        mover->rate = rate;
        code = run_mover(mover, words->reason);
        free(mover->touched.groups);
        ls_cmd_fini(&mover->cmd);
        ls_buf_fini(&mover->letters);
        ls_buf_fini(&mover->envelopes);
        ls_buf_fini(&mover->fields);
        ls_buf_fini(&mover->first_turned);
        ls_buf_fini(&mover->mark);
        free(mover);
    }
    dead_select_fini(&select);
    return code;
}
