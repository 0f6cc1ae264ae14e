#include "common/job/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/json.h"

#define COUNT_MAX 1000000
#define TIME_MAX_MS 100000000000000LL

/* The canonical order: the first five, then the options in any order, priority last. */
enum field {
    F_ACCOUNT,
    F_ID,
    F_KEY,
    F_KIND,
    F_DATA,
    F_ATTEMPT,
    F_CRASHES,
    F_FIRST_FAILED_AT,
    F_MAX_ATTEMPTS,
    F_MAX_AGE,
    F_BACKOFF,
    F_TIMEOUT,
    F_TRACEPARENT,
    F_STATUS,
    F_RESULT,
    F_HISTORY,
    F_PRIORITY,
    F_COUNT,
    F_OTHER = F_COUNT
};

static const char *const names[F_COUNT] = {
    [F_ACCOUNT] = "account",
    [F_ID] = "id",
    [F_KEY] = "key",
    [F_KIND] = "kind",
    [F_DATA] = "data",
    [F_ATTEMPT] = "attempt",
    [F_CRASHES] = "crashes",
    [F_FIRST_FAILED_AT] = "first_failed_at",
    [F_MAX_ATTEMPTS] = "max_attempts",
    [F_MAX_AGE] = "max_age",
    [F_BACKOFF] = "backoff",
    [F_TIMEOUT] = "timeout",
    [F_TRACEPARENT] = "traceparent",
    [F_STATUS] = "status",
    [F_RESULT] = "result",
    [F_HISTORY] = "history",
    [F_PRIORITY] = "priority",
};

/* One scan. */
struct scan {
    struct ls_json json;
    struct ls_envelope *out;
    struct ls_err *err;
    const char *text;
    size_t length;
    size_t scratch_used;
    unsigned seen; /* bit = field */
    enum field last;
    bool canonical;
};

static int scan_members(struct scan *scan);
static int take(struct scan *scan, enum field field, struct ls_span name, struct ls_span value);

int ls_envelope_scan(struct ls_envelope *envelope, const void *text, size_t length,
                     struct ls_err *err)
{
    struct scan scan = {.out = envelope,
                        .err = err,
                        .text = text,
                        .length = length,
                        .last = F_ACCOUNT,
                        .canonical = true};

    *envelope = (struct ls_envelope){0};
    if (length > LS_ENVELOPE_MAX + LS_ENVELOPE_GROWTH) {
        ls_fail(err, LS_E_TOO_BIG, "the job has %zu bytes, %d are allowed", length,
                LS_ENVELOPE_MAX);
        return ls_hint(err, "put big contents elsewhere and name the place in data");
    }
    ls_json_init(&scan.json, text, length, LS_ENVELOPE_DEPTH);
    if (scan_members(&scan) < 0) {
        struct ls_envelope rest = {.account = envelope->account,
                                   .id = envelope->id,
                                   .key = envelope->key,
                                   .kind = envelope->kind,
                                   .scratch = envelope->scratch};

        *envelope = rest;
        return -1;
    }
    envelope->canonical = scan.canonical && envelope->id.length;
    return 0;
}

void ls_envelope_fini(struct ls_envelope *envelope)
{
    free(envelope->scratch);
    *envelope = (struct ls_envelope){0};
}

/* The kind of fault, in one word; the text has said the rest. */
static int fault(struct scan *scan, const char *kind)
{
    if (scan->err)
        snprintf(scan->err->reason, sizeof scan->err->reason, "%s", kind);
    return -1;
}

static int not_json(struct scan *scan)
{
    ls_fail(scan->err, LS_E_INVALID, "the job is not valid JSON: %s (at byte %zu)",
            scan->json.fault, (size_t)(scan->json.at - scan->json.start));
    return fault(scan, "not_json");
}

/* take refused the value, and said why. */
static int bad_member(struct scan *scan, enum field field)
{
    char kind[32];

    if (field == F_OTHER)
        return fault(scan, "too_many_members");
    snprintf(kind, sizeof kind, "bad_%s", names[field]);
    return fault(scan, kind);
}

static int twice(struct scan *scan, enum field field)
{
    ls_fail(scan->err, LS_E_INVALID, "the job has '%s' twice%s", names[field],
            field == F_KIND ? " ('type' is the same as 'kind')" : "");
    return fault(scan, "double_member");
}

static enum field find(struct ls_span name)
{
    if (ls_span_is(name, "type"))
        return F_KIND;
    for (int i = 0; i < F_COUNT; i++) {
        if (ls_span_is(name, names[i]))
            return (enum field)i;
    }
    return F_OTHER;
}

/* A name may have escapes, though nobody writes it so. */
static enum field find_escaped(struct ls_span name)
{
    struct ls_buf plain = {0};
    enum field field;

    ls_json_unescape(&plain, name);
    field = find((struct ls_span){plain.data, plain.length});
    ls_buf_fini(&plain);
    return field;
}

/* Order is what canonical means, beside the absence of white space and escapes. */
static void note_order(struct scan *scan, enum field field, struct ls_span name)
{
    if (field <= F_DATA || field == F_PRIORITY) {
        if (field < scan->last || (field == F_KIND && name.length != 4))
            scan->canonical = false;
        if (field == F_KIND && name.data[0] != 'k')
            scan->canonical = false;
        scan->last = field;
    } else {
        if (scan->last == F_PRIORITY)
            scan->canonical = false;
        else if (scan->last < F_ATTEMPT)
            scan->last = F_ATTEMPT;
    }
}

static int scan_members(struct scan *scan)
{
    struct ls_json *json = &scan->json;
    bool first = true;

    if (ls_json_space(json))
        scan->canonical = false;
    if (!ls_json_open(json)) {
        bool empty = json->at == json->end;

        ls_fail(scan->err, LS_E_INVALID,
                empty ? "the job is empty" : "the job is not a JSON object");
        return fault(scan, empty ? "empty" : "not_object");
    }
    for (;;) {
        const char *before = json->at;
        struct ls_span name = {0}, value = {0};
        enum field field;

        if (!ls_json_next(json, &first, &name, &value)) {
            if (json->fault)
                return not_json(scan);
            if (json->at - before != 1)
                scan->canonical = false;
            break;
        }
        /* Exactly a comma or nothing, a quote, the name, a quote, a colon, the value. */
        if (value.data - before != (ptrdiff_t)name.length + (*before == ',') + 3)
            scan->canonical = false;
        field = find(name);
        if (field == F_OTHER && memchr(name.data, '\\', name.length)) {
            field = find_escaped(name);
            if (field != F_OTHER)
                scan->canonical = false;
        }
        note_order(scan, field, name);
        if (field != F_OTHER) {
            if (scan->seen & 1U << field)
                return twice(scan, field);
            scan->seen |= 1U << field;
        }
        if (take(scan, field, name, value) < 0)
            return bad_member(scan, field);
    }
    if (ls_json_space(json))
        scan->canonical = false;
    if (json->at != json->end) {
        ls_fail(scan->err, LS_E_INVALID,
                "something stands behind the job's closing brace (at byte %zu)",
                (size_t)(json->at - json->start));
        return fault(scan, "trailing_bytes");
    }
    if (!scan->out->kind.length) {
        ls_fail(scan->err, LS_E_INVALID, "the job has no 'kind'");
        return fault(scan, "no_kind");
    }
    return 0;
}

/* The text of a string value, decoded when it has escapes. */
static int text_of(struct scan *scan, enum field field, struct ls_span value, struct ls_span *out)
{
    struct ls_buf plain = {0};
    struct ls_span inside;
    bool escaped;

    if (!ls_json_is_string(value, &inside, &escaped))
        return ls_fail(scan->err, LS_E_INVALID, "'%s' must be a string", names[field]);
    *out = inside;
    if (!escaped)
        return 0;
    scan->canonical = false;
    ls_json_unescape(&plain, inside); /* never longer than what it was made from */
    if (!scan->out->scratch)
        scan->out->scratch = ls_xcalloc(1, scan->length);
    ls_assert(scan->scratch_used + plain.length <= scan->length);
    if (plain.length)
        memcpy(scan->out->scratch + scan->scratch_used, plain.data, plain.length);
    *out = (struct ls_span){scan->out->scratch + scan->scratch_used, plain.length};
    scan->scratch_used += plain.length;
    ls_buf_fini(&plain);
    return 0;
}

static bool account_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool id_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static bool key_char(unsigned char c)
{
    return c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
}

static bool kind_char(unsigned char c)
{
    return account_char(c) || (c >= 'A' && c <= 'Z') || c == ':';
}

static const struct {
    size_t max;
    bool (*allows)(unsigned char c);
    const char *words;
} charsets[] = {
    [F_ACCOUNT] = {LS_ACCOUNT_MAX, account_char, "a-z, 0-9, '.', '_' and '-'"},
    [F_ID] = {LS_JOB_ID_MAX, id_char, "printable ASCII without blanks, quotes and backslashes"},
    [F_KEY] = {LS_JOB_KEY_MAX, key_char, "text without quotes, backslashes and control characters"},
    [F_KIND] = {LS_KIND_MAX, kind_char, "A-Z, a-z, 0-9, '.', '_', ':' and '-'"},
};

static int check_charset(enum field field, struct ls_span text, enum ls_err_code code,
                         struct ls_err *err)
{
    if (text.length > charsets[field].max)
        return ls_fail(err, code, "'%s' has %zu bytes, %zu are allowed", names[field], text.length,
                       charsets[field].max);
    for (size_t i = 0; i < text.length; i++) {
        if (!charsets[field].allows((unsigned char)text.data[i])) {
            ls_fail(err, code, "'%s' has a character that is not allowed: '%.*s'", names[field],
                    (int)(text.length < 80 ? text.length : 80), text.data);
            return ls_hint(err, "allowed are %s", charsets[field].words);
        }
    }
    return 0;
}

static int take_name(struct scan *scan, enum field field, struct ls_span value, struct ls_span *out)
{
    struct ls_span text;

    if (text_of(scan, field, value, &text) < 0 ||
        check_charset(field, text, LS_E_INVALID, scan->err) < 0)
        return -1;
    if (!text.length)
        scan->canonical = false;
    *out = text;
    return 0;
}

static int take_int(struct scan *scan, const char *name, struct ls_span value, int64_t min,
                    int64_t max, int64_t *out)
{
    if (!ls_json_int(value, out) || *out < min || *out > max)
        return ls_fail(scan->err, LS_E_INVALID,
                       "'%s' must be a whole number from %lld to %lld, not %.*s", name,
                       (long long)min, (long long)max, (int)(value.length < 40 ? value.length : 40),
                       value.data);
    return 0;
}

static int take_count(struct scan *scan, const char *name, struct ls_span value, int min, int *out)
{
    int64_t number;

    if (take_int(scan, name, value, min, COUNT_MAX, &number) < 0)
        return -1;
    *out = (int)number;
    return 0;
}

/* ms as a number, or text with a unit. */
static int take_duration(struct scan *scan, const char *name, struct ls_span value, int64_t *out)
{
    struct ls_span inside;
    char text[32];
    bool escaped;

    if (!ls_json_is_string(value, &inside, &escaped))
        return take_int(scan, name, value, 1, LS_DURATION_MAX_MS, out);
    snprintf(text, sizeof text, "%.*s", LS_SPAN_ARG(inside));
    *out = inside.length < sizeof text ? ls_duration_parse(text) : -1;
    if (*out < 1 || *out > LS_DURATION_MAX_MS) {
        ls_fail(scan->err, LS_E_INVALID, "'%s' must be a time above zero, not '%s'", name, text);
        return ls_hint(scan->err, "write \"30s\", \"5m\", \"6h\" or a number of ms");
    }
    return 0;
}

static int take_backoff(struct scan *scan, struct ls_span value)
{
    struct ls_backoff *backoff = &scan->out->retry.backoff;
    struct ls_json json;
    struct ls_span name, member, text;
    bool first = true, escaped;

    ls_json_init(&json, value.data, value.length, LS_ENVELOPE_DEPTH);
    if (!ls_json_open(&json))
        return ls_fail(scan->err, LS_E_INVALID, "'backoff' must be an object");
    while (ls_json_next(&json, &first, &name, &member)) {
        if (ls_span_is(name, "type")) {
            if (!ls_json_is_string(member, &text, &escaped) ||
                ls_backoff_type_parse(text, &backoff->type) < 0)
                return ls_fail(scan->err, LS_E_INVALID,
                               "'backoff.type' must be \"exponential\" or \"fixed\"");
        } else if (ls_span_is(name, "base") || ls_span_is(name, "delay")) {
            if (take_duration(scan, "backoff.base", member, &backoff->base_ms) < 0)
                return -1;
        } else if (ls_span_is(name, "cap")) {
            if (take_duration(scan, "backoff.cap", member, &backoff->cap_ms) < 0)
                return -1;
        } else if (ls_span_is(name, "factor")) {
            char number[32];

            snprintf(number, sizeof number, "%.*s", LS_SPAN_ARG(member));
            backoff->factor = member.length < sizeof number ? strtod(number, NULL) : 0;
            if (!(backoff->factor >= 1 && backoff->factor <= 1000))
                return ls_fail(scan->err, LS_E_INVALID,
                               "'backoff.factor' must be a number from 1 to 1000");
        } else if (ls_span_is(name, "jitter")) {
            if (!ls_json_is_string(member, &text, &escaped) ||
                ls_jitter_parse(text, &backoff->jitter) < 0)
                return ls_fail(scan->err, LS_E_INVALID,
                               "'backoff.jitter' must be \"full\" or \"none\"");
        } else {
            ls_fail(scan->err, LS_E_INVALID, "'backoff' has no setting '%.*s'",
                    (int)(name.length < 40 ? name.length : 40), name.data);
            return ls_hint(scan->err, "it has type, base, factor, cap and jitter");
        }
    }
    return 0;
}

static int take_priority(struct scan *scan, struct ls_span value)
{
    struct ls_span text;

    if (text_of(scan, F_PRIORITY, value, &text) < 0)
        return -1;
    if (ls_lane_parse(text, &scan->out->lane) < 0)
        return ls_fail(scan->err, LS_E_INVALID,
                       "'priority' must be \"high\", \"normal\" or \"low\"");
    if (scan->out->lane == LS_LANE_NORMAL)
        scan->canonical = false;
    return 0;
}

static int take_flag(struct scan *scan, enum field field, struct ls_span value, bool *out)
{
    if (!ls_json_bool(value, out))
        return ls_fail(scan->err, LS_E_INVALID, "'%s' must be true or false", names[field]);
    return 0;
}

/* What stands in it is looked at when it is shown (attempts.h). */
static int take_history(struct scan *scan, struct ls_span value)
{
    if (value.data[0] != '[')
        return ls_fail(scan->err, LS_E_INVALID, "'history' must be an array");
    scan->out->history = value;
    return 0;
}

static int take_extra(struct scan *scan, struct ls_span name, struct ls_span value)
{
    struct ls_envelope *out = scan->out;

    if (out->extra_count == LS_ENVELOPE_EXTRAS)
        return ls_fail(scan->err, LS_E_INVALID, "the job has more than %d members of unknown name",
                       LS_ENVELOPE_EXTRAS);
    out->extra[out->extra_count].name = name;
    out->extra[out->extra_count++].value = value;
    return 0;
}

static int take(struct scan *scan, enum field field, struct ls_span name, struct ls_span value)
{
    struct ls_envelope *out = scan->out;

    if (field != F_DATA && field != F_OTHER && ls_span_is(value, "null")) {
        scan->canonical = false; /* as good as not there */
        return 0;
    }
    switch (field) {
    case F_ACCOUNT:
        return take_name(scan, field, value, &out->account);
    case F_ID:
        return take_name(scan, field, value, &out->id);
    case F_KEY:
        return take_name(scan, field, value, &out->key);
    case F_KIND:
        return take_name(scan, field, value, &out->kind);
    case F_DATA:
        out->data = value;
        return 0;
    case F_ATTEMPT:
        return take_count(scan, names[field], value, 0, &out->attempt);
    case F_CRASHES:
        return take_count(scan, names[field], value, 0, &out->crashes);
    case F_FIRST_FAILED_AT:
        return take_int(scan, names[field], value, 0, TIME_MAX_MS, &out->first_failed_at);
    case F_MAX_ATTEMPTS:
        return take_count(scan, names[field], value, 1, &out->retry.max_attempts);
    case F_MAX_AGE:
        return take_duration(scan, names[field], value, &out->retry.max_age_ms);
    case F_BACKOFF:
        return take_backoff(scan, value);
    case F_TIMEOUT:
        return take_duration(scan, names[field], value, &out->timeout_ms);
    case F_TRACEPARENT:
        if (text_of(scan, field, value, &out->traceparent) < 0)
            return -1;
        if (check_charset(F_ID, out->traceparent, LS_E_INVALID, NULL) < 0)
            return ls_fail(scan->err, LS_E_INVALID, "'traceparent' is no trace context");
        return 0;
    case F_STATUS:
        return take_flag(scan, field, value, &out->status);
    case F_RESULT:
        return take_flag(scan, field, value, &out->result);
    case F_HISTORY:
        return take_history(scan, value);
    case F_PRIORITY:
        return take_priority(scan, value);
    case F_OTHER:
        break;
    }
    return take_extra(scan, name, value);
}

/* What a runner would refuse when it reads the job. */
static int check_range(const char *name, int64_t value, int64_t max, struct ls_err *err)
{
    if (value >= 0 && value <= max)
        return 0;
    return ls_fail(err, LS_E_USAGE, "'%s' cannot be %lld: 0 (not given) to %lld", name,
                   (long long)value, (long long)max);
}

int ls_envelope_check(const struct ls_envelope *envelope, struct ls_err *err)
{
    const struct ls_span spans[] = {[F_ACCOUNT] = envelope->account,
                                    [F_ID] = envelope->id,
                                    [F_KEY] = envelope->key,
                                    [F_KIND] = envelope->kind};
    struct ls_buf text = {0};
    size_t length;

    if (!envelope->kind.length)
        return ls_fail(err, LS_E_USAGE, "a job needs a kind");
    for (size_t i = 0; i < LS_COUNT(spans); i++) {
        if (check_charset((enum field)i, spans[i], LS_E_USAGE, err) < 0)
            return -1;
        if (spans[i].length && !ls_utf8_valid(spans[i].data, spans[i].length))
            return ls_fail(err, LS_E_USAGE, "'%s' is not UTF-8", names[i]);
    }
    if (check_range("timeout", envelope->timeout_ms, LS_DURATION_MAX_MS, err) < 0 ||
        check_range("max_age", envelope->retry.max_age_ms, LS_DURATION_MAX_MS, err) < 0 ||
        check_range("max_attempts", envelope->retry.max_attempts, COUNT_MAX, err) < 0)
        return -1;
    if (envelope->data.length &&
        !ls_json_valid(envelope->data.data, envelope->data.length, LS_ENVELOPE_DEPTH - 1)) {
        ls_fail(err, LS_E_USAGE, "'data' is not valid JSON");
        return ls_hint(err, "text needs quotes: '\"text\"'; an object: '{\"name\":1}'");
    }
    if (envelope->data.length <= LS_ENVELOPE_MAX) {
        ls_envelope_write(&text, envelope);
        length = text.length;
        ls_buf_fini(&text);
    } else {
        length = envelope->data.length;
    }
    if (length > LS_ENVELOPE_MAX) {
        ls_fail(err, LS_E_USAGE, "the job has %zu bytes, %d are allowed", length, LS_ENVELOPE_MAX);
        return ls_hint(err, "put big contents elsewhere and name the place in data");
    }
    return 0;
}

static void put_string(struct ls_buf *out, const char *lead, struct ls_span text)
{
    ls_buf_puts(out, lead);
    ls_buf_add(out, text.data, text.length);
    ls_buf_putc(out, '"');
}

static void put_int(struct ls_buf *out, enum field field, int64_t value)
{
    if (value)
        ls_buf_printf(out, ",\"%s\":%lld", names[field], (long long)value);
}

static void put_backoff(struct ls_buf *out, const struct ls_backoff *backoff)
{
    const char *comma = "";

    ls_buf_puts(out, ",\"backoff\":{");
    if (backoff->type) {
        ls_buf_printf(out, "\"type\":\"%s\"", ls_backoff_type_name(backoff->type));
        comma = ",";
    }
    if (backoff->base_ms) {
        ls_buf_printf(out, "%s\"base\":%lld", comma, (long long)backoff->base_ms);
        comma = ",";
    }
    if (backoff->factor > 0) {
        ls_buf_printf(out, "%s\"factor\":%.15g", comma, backoff->factor);
        comma = ",";
    }
    if (backoff->cap_ms) {
        ls_buf_printf(out, "%s\"cap\":%lld", comma, (long long)backoff->cap_ms);
        comma = ",";
    }
    if (backoff->jitter)
        ls_buf_printf(out, "%s\"jitter\":\"%s\"", comma, ls_jitter_name(backoff->jitter));
    ls_buf_putc(out, '}');
}

void ls_envelope_write(struct ls_buf *out, const struct ls_envelope *envelope)
{
    const struct ls_backoff *backoff = &envelope->retry.backoff;
    const char *lead = "{\"id\":\"";

    ls_buf_reserve(out, envelope->data.length + 256);
    if (envelope->account.length) {
        put_string(out, "{\"account\":\"", envelope->account);
        lead = ",\"id\":\"";
    }
    put_string(out, lead, envelope->id);
    if (envelope->key.length)
        put_string(out, ",\"key\":\"", envelope->key);
    put_string(out, ",\"kind\":\"", envelope->kind);
    if (envelope->data.length) {
        ls_buf_puts(out, ",\"data\":");
        ls_buf_add(out, envelope->data.data, envelope->data.length);
    }
    put_int(out, F_ATTEMPT, envelope->attempt);
    put_int(out, F_CRASHES, envelope->crashes);
    put_int(out, F_FIRST_FAILED_AT, envelope->first_failed_at);
    put_int(out, F_MAX_ATTEMPTS, envelope->retry.max_attempts);
    put_int(out, F_MAX_AGE, envelope->retry.max_age_ms);
    if (backoff->type || backoff->base_ms || backoff->factor > 0 || backoff->cap_ms ||
        backoff->jitter)
        put_backoff(out, backoff);
    put_int(out, F_TIMEOUT, envelope->timeout_ms);
    if (envelope->traceparent.length)
        put_string(out, ",\"traceparent\":\"", envelope->traceparent);
    if (envelope->status)
        ls_buf_puts(out, ",\"status\":true");
    if (envelope->result)
        ls_buf_puts(out, ",\"result\":true");
    for (int i = 0; i < envelope->extra_count; i++) {
        put_string(out, ",\"", envelope->extra[i].name);
        ls_buf_putc(out, ':');
        ls_buf_add(out, envelope->extra[i].value.data, envelope->extra[i].value.length);
    }
    if (envelope->history.length) {
        ls_buf_puts(out, ",\"history\":");
        ls_buf_add(out, envelope->history.data, envelope->history.length);
    }
    if (envelope->lane != LS_LANE_NORMAL) {
        ls_buf_puts(out, ",\"priority\":\"");
        ls_buf_puts(out, ls_lane_name(envelope->lane));
        ls_buf_puts(out, "\"");
    }
    ls_buf_putc(out, '}');
}
