#include "common/job/attempts.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/json.h"

/* The newest entries of a history, as they are written. */
struct entries {
    struct ls_span at[LS_ATTEMPTS_MAX];
    size_t count;
};

static bool is_entry(struct ls_span value)
{
    return value.data[0] == '{' && !memchr(value.data, '\n', value.length) &&
           !memchr(value.data, '\r', value.length);
}

static struct entries read_entries(struct ls_span history)
{
    struct entries entries = {.count = 0};
    struct ls_json json;
    struct ls_span value;
    bool first = true;

    ls_json_init(&json, history.data ? history.data : "", history.length, LS_ENVELOPE_DEPTH);
    if (!ls_json_open_array(&json))
        return entries;
    while (ls_json_item(&json, &first, &value)) {
        if (!is_entry(value))
            continue;
        if (entries.count == LS_ATTEMPTS_MAX)
            memmove(entries.at, entries.at + 1, --entries.count * sizeof *entries.at);
        entries.at[entries.count++] = value;
    }
    return entries;
}

static void put_attempt(struct ls_buf *out, const struct ls_attempt *attempt)
{
    char at[LS_CLOCK_TEXT_SIZE];

    ls_buf_printf(out, "{\"at\":\"%s\"", ls_clock_format(at, attempt->at_ms));
    ls_json_put_text(out, "class", attempt->klass);
    if (attempt->http_status)
        ls_buf_printf(out, ",\"status\":%d", attempt->http_status);
    ls_json_put_text(out, "code", attempt->code);
    ls_json_put_text(out, "error",
                     (struct ls_span){attempt->error.data,
                                      ls_utf8_cut(attempt->error.data, attempt->error.length,
                                                  LS_ATTEMPTS_ERROR_MAX)});
    ls_buf_putc(out, '}');
}

void ls_attempts_add(struct ls_buf *out, struct ls_span history, const struct ls_attempt *attempt,
                     size_t room)
{
    struct entries entries = read_entries(history);
    struct ls_buf newest = {0};
    size_t bytes, first = entries.count;

    put_attempt(&newest, attempt);
    bytes = newest.length + strlen("[]");
    room = room < LS_ATTEMPTS_BYTES ? room : LS_ATTEMPTS_BYTES;
    while (first > 0 && entries.count - first + 1 < LS_ATTEMPTS_MAX &&
           bytes + entries.at[first - 1].length + 1 <= room)
        bytes += entries.at[--first].length + 1;
    if (bytes <= room) {
        ls_buf_putc(out, '[');
        for (size_t i = first; i < entries.count; i++) {
            ls_buf_add(out, entries.at[i].data, entries.at[i].length);
            ls_buf_putc(out, ',');
        }
        ls_buf_add(out, newest.data, newest.length);
        ls_buf_putc(out, ']');
    }
    ls_buf_fini(&newest);
}

void ls_attempts_note(struct ls_buf *out, struct ls_envelope *envelope,
                      const struct ls_attempt *attempt)
{
    static const size_t name = sizeof(",\"history\":") - 1;
    struct ls_span history = envelope->history;
    size_t length;

    envelope->history = (struct ls_span){0};
    ls_buf_clear(out);
    ls_envelope_write(out, envelope); /* only to see how long it is */
    length = out->length + name;
    ls_buf_clear(out);
    if (length < LS_ENVELOPE_MAX)
        ls_attempts_add(out, history, attempt, LS_ENVELOPE_MAX - length);
    if (out->length)
        envelope->history = (struct ls_span){out->data, out->length};
}

/* A member's text. Decoded ones lie in a buffer that may still move: an offset until it does not. */
struct text {
    struct ls_span span;
    bool decoded;
};

static void take_text(struct ls_span value, struct text *text, struct ls_buf *texts)
{
    struct ls_span inside;
    size_t start = texts->length;
    bool escaped;

    if (!ls_json_is_string(value, &inside, &escaped))
        return;
    *text = (struct text){.span = inside, .decoded = escaped};
    if (!escaped)
        return;
    ls_json_unescape(texts, inside);
    text->span = (struct ls_span){(const char *)start, texts->length - start};
}

static struct ls_span text_span(const struct text *text, const struct ls_buf *texts)
{
    if (text->decoded)
        return (struct ls_span){texts->data + (size_t)text->span.data, text->span.length};
    return text->span;
}

enum { AT, CLASS, CODE, ERROR, TEXTS };

static void read_entry(struct ls_span entry, struct text out[TEXTS], int *http_status,
                       struct ls_buf *texts)
{
    static const char *const names[TEXTS] = {"at", "class", "code", "error"};
    struct ls_span name, value;
    struct ls_json json;
    bool first = true;
    int64_t number;

    ls_json_init(&json, entry.data, entry.length, LS_ENVELOPE_DEPTH);
    ls_json_open(&json);
    while (ls_json_next(&json, &first, &name, &value)) {
        for (int i = 0; i < TEXTS; i++)
            if (ls_span_is(name, names[i]))
                take_text(value, &out[i], texts);
        if (ls_span_is(name, "status") && ls_json_int(value, &number) && number > 0 &&
            number < 1000)
            *http_status = (int)number;
    }
}

size_t ls_attempts_parse(struct ls_span history, struct ls_attempt attempts[LS_ATTEMPTS_MAX],
                         struct ls_buf *texts)
{
    struct entries entries = read_entries(history);
    struct text found[LS_ATTEMPTS_MAX][TEXTS] = {{{.decoded = false}}};

    for (size_t i = 0; i < entries.count; i++) {
        attempts[i] = (struct ls_attempt){0};
        read_entry(entries.at[i], found[i], &attempts[i].http_status, texts);
    }
    for (size_t i = 0; i < entries.count; i++) {
        struct ls_span at = text_span(&found[i][AT], texts);

        attempts[i].at_ms = at.data ? ls_clock_parse(at.data, at.length) : 0;
        attempts[i].klass = text_span(&found[i][CLASS], texts);
        attempts[i].code = text_span(&found[i][CODE], texts);
        attempts[i].error = text_span(&found[i][ERROR], texts);
    }
    return entries.count;
}
