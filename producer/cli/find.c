#include "producer/cli/find.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/job/envelope.h"
#include "common/queue/dead.h"
#include "common/queue/limit.h"
#include "common/queue/worker.h"

#define SLICE 200

/* Cheap first: the id's bytes must stand somewhere in the entry. */
static bool mentions(struct ls_span text, struct ls_span id)
{
    return text.length >= id.length && memmem(text.data, text.length, id.data, id.length);
}

static bool is_job(struct ls_span text, struct ls_span id)
{
    struct ls_envelope envelope = {0};
    bool same;

    if (!mentions(text, id))
        return false;
    same = ls_envelope_scan(&envelope, text.data, text.length, NULL) == 0 &&
           ls_span_equal(envelope.id, id);
    ls_envelope_fini(&envelope);
    return same;
}

static bool is_letter(struct ls_span text, struct ls_span id)
{
    struct ls_dead dead = {0};
    bool same;

    if (!mentions(text, id))
        return false;
    same = ls_dead_parse(&dead, text.data, text.length, NULL) == 0 && ls_span_equal(dead.id, id);
    ls_dead_fini(&dead);
    return same;
}

static void keep(struct ls_buf *out, struct ls_span text)
{
    ls_buf_clear(out);
    ls_buf_puts(out, "");
    ls_buf_add(out, text.data, text.length);
}

static int in_list(struct ls_cli *cli, const char *key, struct ls_span id, int64_t limit,
                   bool (*matches)(struct ls_span, struct ls_span), struct ls_buf *text,
                   int64_t *index, struct ls_err *err)
{
    struct ls_cmd cmd = {0};
    int result = 0;

    for (int64_t at = 0; result == 0 && (limit <= 0 || at < limit); at += SLICE) {
        const struct ls_reply *reply, *entry;

        ls_cmd_start(&cmd, "LRANGE");
        ls_cmd_puts(&cmd, key);
        ls_cmd_int(&cmd, at);
        ls_cmd_int(&cmd, at + SLICE - 1);
        if (ls_cli_send(cli, &cmd, &reply, err) < 0) {
            result = -1;
            break;
        }
        for (size_t i = 0; (entry = ls_reply_item(reply, i)) && result == 0; i++) {
            if (!matches(ls_reply_span(entry), id))
                continue;
            keep(text, ls_reply_span(entry));
            *index = at + (int64_t)i;
            result = 1;
        }
        if (result == 0 && !ls_reply_item(reply, SLICE - 1))
            break;
    }
    ls_cmd_fini(&cmd);
    return result;
}

/* HSCAN (pairs field, envelope) and ZSCAN (pairs envelope, score). */
static int in_scan(struct ls_cli *cli, const char *verb, const char *key, bool held,
                   struct ls_span id, int64_t limit, struct ls_buf *text, struct ls_buf *other,
                   struct ls_err *err)
{
    bool hash = strcmp(verb, "HSCAN") == 0;
    struct ls_buf cursor = {0};
    struct ls_cmd cmd = {0};
    int64_t seen = 0;
    int result = 0;

    ls_buf_puts(&cursor, "0");
    do {
        const struct ls_reply *reply, *pairs, *entry;

        ls_cmd_start(&cmd, verb);
        ls_cmd_puts(&cmd, key);
        ls_cmd_add(&cmd, cursor.data, cursor.length);
        ls_cmd_puts(&cmd, "COUNT");
        ls_cmd_int(&cmd, SLICE);
        if (ls_cli_send(cli, &cmd, &reply, err) < 0) {
            result = -1;
            break;
        }
        keep(&cursor, ls_reply_span(ls_reply_item(reply, 0)));
        pairs = ls_reply_item(reply, 1);
        for (size_t i = 0; result == 0 && (entry = ls_reply_item(pairs, i + hash)); i += 2) {
            struct ls_span item = held ? ls_held_item(ls_reply_span(entry)) : ls_reply_span(entry);

            if (is_job(item, id)) {
                keep(text, item);
                keep(other, ls_reply_span(ls_reply_item(pairs, i + !hash)));
                result = 1;
            }
            seen++;
        }
    } while (result == 0 && strcmp(cursor.data, "0") != 0 && (limit <= 0 || seen < limit));
    ls_buf_fini(&cursor);
    ls_cmd_fini(&cmd);
    return result;
}

int ls_find_dead(struct ls_cli *cli, const struct ls_keys *keys, struct ls_span id, int64_t limit,
                 struct ls_find_dead *found, struct ls_err *err)
{
    return in_list(cli, keys->dead, id, limit, is_letter, &found->letter, &found->index, err);
}

static int in_running(struct ls_cli *cli, const struct ls_keys *keys, struct ls_span id,
                      struct ls_find_job *found, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_worker_list list;
    struct ls_cmd cmd = {0};
    struct ls_buf other = {0};
    char(*names)[LS_WORKER_ID_SIZE] = NULL;
    size_t count = 0;
    int result;

    ls_worker_list_build(&cmd, keys);
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result < 0 || ls_worker_list_parse(reply, &list, err) < 0)
        return -1;
    names = ls_xcalloc(list.count ? list.count : 1, sizeof *names);
    for (size_t i = 0; i < list.count; i++) { /* the reply dies with the next call */
        struct ls_span name = ls_worker_list_row(&list, i).worker;

        if (name.length < sizeof *names)
            snprintf(names[count++], sizeof *names, "%.*s", LS_SPAN_ARG(name));
    }
    result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        char key[LS_KEY_SIZE];

        ls_keys_running(keys, names[i], key);
        result = in_scan(cli, "HSCAN", key, false, id, 0, &found->text, &other, err);
        if (result == 1) {
            found->state = "running";
            snprintf(found->place, sizeof found->place, "%s", key);
            snprintf(found->fence, sizeof found->fence, "%s", other.data);
        }
    }
    ls_buf_fini(&other);
    free(names);
    return result;
}

int ls_find_job(struct ls_cli *cli, const struct ls_keys *keys, struct ls_span id, int64_t limit,
                struct ls_find_job *found, struct ls_err *err)
{
    const char *const lanes[] = {keys->pending_high, keys->pending, keys->pending_low};
    const struct {
        const char *verb, *key, *state;
    } scans[] = {{"HSCAN", keys->bodies, "pending"},
                 {"ZSCAN", keys->delayed, "delayed"},
                 {"ZSCAN", keys->reserved, "reserved"},
                 {"ZSCAN", keys->held, "held"}};
    struct ls_buf other = {0};
    int result = in_running(cli, keys, id, found, err);

    found->index = result == 0 ? -1 : found->index;
    for (size_t i = 0; i < LS_COUNT(lanes) && result == 0; i++) {
        result = in_list(cli, lanes[i], id, limit, is_job, &found->text, &found->index, err);
        if (result == 1) {
            found->state = "pending";
            snprintf(found->place, sizeof found->place, "%s", lanes[i]);
        }
    }
    for (size_t i = 0; i < LS_COUNT(scans) && result == 0; i++) {
        result = in_scan(cli, scans[i].verb, scans[i].key, scans[i].key == keys->held, id, limit,
                         &found->text, &other, err);
        if (result == 1) {
            found->state = scans[i].state;
            found->index = -1;
            snprintf(found->place, sizeof found->place, "%s", scans[i].key);
            if (strcmp(scans[i].verb, "ZSCAN") == 0)
                found->due_ms = strtoll(other.data, NULL, 10);
        }
    }
    if (result == 0) {
        result = in_list(cli, keys->dead, id, limit, is_letter, &found->text, &found->index, err);
        if (result == 1) {
            found->state = "dead";
            snprintf(found->place, sizeof found->place, "%s", keys->dead);
        }
    }
    ls_buf_fini(&other);
    return result;
}
