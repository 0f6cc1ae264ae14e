#include "common/job/dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/job/envelope.h"
#include "common/job/id.h"
#include "common/job/json.h"

const char *ls_dead_group(char out[LS_GROUP_SIZE], struct ls_span kind, struct ls_span account,
                          struct ls_span klass, int http_status, struct ls_span code)
{
    char hex[LS_SHA256_HEX_SIZE];
    struct ls_buf text = {0};

    ls_buf_printf(&text, "%.*s\n%.*s\n%.*s\n%d\n%.*s", LS_SPAN_ARG(kind), LS_SPAN_ARG(account),
                  LS_SPAN_ARG(klass), http_status, LS_SPAN_ARG(code));
    ls_sha256_hex(text.data, text.length, hex);
    memcpy(out, hex, LS_GROUP_SIZE - 1);
    out[LS_GROUP_SIZE - 1] = '\0';
    ls_buf_fini(&text);
    return out;
}

static bool is_one_line(struct ls_span text)
{
    return !memchr(text.data, '\n', text.length) && !memchr(text.data, '\r', text.length);
}

/* Valid JSON may be spread over lines, but a letter is one line; blanks around it would be lost. */
static bool fits_as_json(struct ls_span job)
{
    return job.length && (unsigned char)job.data[0] > ' ' &&
           (unsigned char)job.data[job.length - 1] > ' ' && is_one_line(job) &&
           ls_json_valid(job.data, job.length, LS_ENVELOPE_DEPTH);
}

static void put_job(struct ls_buf *out, struct ls_span job)
{
    char *base64;

    if (fits_as_json(job)) {
        ls_buf_puts(out, ",\"job\":");
        ls_buf_add(out, job.data, job.length);
    } else if (ls_utf8_valid(job.data ? job.data : "", job.length)) {
        ls_buf_puts(out, ",\"raw\":");
        ls_buf_json_string(out, job.data ? job.data : "", job.length);
    } else {
        base64 = ls_base64(job.data, job.length);
        ls_buf_printf(out, ",\"raw_base64\":\"%s\"", base64);
        free(base64);
    }
}

void ls_dead_write(struct ls_buf *out, const struct ls_dead *dead)
{
    char first[LS_CLOCK_TEXT_SIZE], last[LS_CLOCK_TEXT_SIZE];
    size_t start = out->length;
    int64_t first_at = dead->first_failed_at ? dead->first_failed_at : dead->failed_at;

    ls_buf_reserve(out, dead->job.length + dead->history.length + dead->error.length + 512);
    ls_buf_puts(out, "{");
    ls_json_put_text(out, "id", dead->id);
    ls_json_put_text(out, "kind", dead->kind);
    ls_json_put_text(out, "account", dead->account);
    ls_json_put_text(out, "key", dead->key);
    ls_json_put_text(out, "error", dead->error);
    ls_json_put_text(out, "class", dead->klass);
    ls_json_put_text(out, "why", dead->why);
    ls_json_put_text(out, "code", dead->code);
    if (dead->http_status)
        ls_buf_printf(out, ",\"http_status\":%d", dead->http_status);
    ls_buf_printf(out, ",\"attempts\":%d,\"crashes\":%d", dead->attempts, dead->crashes);
    ls_buf_printf(out, ",\"first_failed_at\":\"%s\",\"failed_at\":\"%s\"",
                  ls_clock_format(first, first_at), ls_clock_format(last, dead->failed_at));
    ls_json_put_text(out, "worker", dead->worker);
    if (dead->fence)
        ls_buf_printf(out, ",\"fence\":%lld", (long long)dead->fence);
    ls_json_put_text(out, "group", dead->group);
    if (dead->history.length && is_one_line(dead->history)) {
        ls_buf_puts(out, ",\"history\":");
        ls_buf_add(out, dead->history.data, dead->history.length);
    }
    put_job(out, dead->job);
    ls_buf_putc(out, '}');
    out->length--; /* the comma before the first member */
    memmove(out->data + start + 1, out->data + start + 2, out->length - start);
}

static int64_t parse_time(struct ls_span value)
{
    struct ls_span text;
    bool escaped;

    return ls_json_is_string(value, &text, &escaped) ? ls_clock_parse(text.data, text.length) : 0;
}

/* Decoded strings are collected in one buffer; as it may move while it grows, spans into it are
 * kept as offsets until the end. */
struct decoding {
    struct ls_buf text;
    struct ls_span *spans[16];
    size_t offsets[16];
    size_t count;
};

static void take_string(struct decoding *decoding, struct ls_span value, struct ls_span *out)
{
    struct ls_span inside;
    bool escaped;

    if (!ls_json_is_string(value, &inside, &escaped))
        return;
    *out = inside;
    if (!escaped || decoding->count == LS_COUNT(decoding->spans))
        return;
    decoding->spans[decoding->count] = out;
    decoding->offsets[decoding->count++] = decoding->text.length;
    ls_json_unescape(&decoding->text, inside);
    out->length = decoding->text.length - decoding->offsets[decoding->count - 1];
}

static int take_base64(struct decoding *decoding, struct ls_span value, struct ls_span *out)
{
    struct ls_span inside;
    unsigned char *bytes;
    bool escaped;
    size_t length;

    if (!ls_json_is_string(value, &inside, &escaped) ||
        decoding->count == LS_COUNT(decoding->spans))
        return -1;
    bytes = ls_base64_decode(inside.data, inside.length, &length);
    if (!bytes)
        return -1;
    decoding->spans[decoding->count] = out;
    decoding->offsets[decoding->count++] = decoding->text.length;
    ls_buf_add(&decoding->text, bytes, length);
    out->data = inside.data;
    out->length = length;
    free(bytes);
    return 0;
}

int ls_dead_parse(struct ls_dead *dead, const void *text, size_t length, struct ls_err *err)
{
    struct decoding decoding = {0};
    struct ls_json json;
    struct ls_span name, value;
    int64_t number;
    bool first = true, has_job = false;
    const struct {
        const char *name;
        struct ls_span *out;
    } strings[] = {
        {"id", &dead->id},       {"kind", &dead->kind},   {"account", &dead->account},
        {"key", &dead->key},     {"error", &dead->error}, {"class", &dead->klass},
        {"why", &dead->why},     {"code", &dead->code},   {"worker", &dead->worker},
        {"group", &dead->group},
    };

    *dead = (struct ls_dead){0};
    ls_json_init(&json, text, length, LS_ENVELOPE_DEPTH);
    if (!ls_json_open(&json))
        return ls_fail(err, LS_E_INVALID, "this is no dead letter: it is no JSON object");
    json.depth_left = LS_ENVELOPE_DEPTH; /* the job inside may be as deep as a job can be */
    while (ls_json_next(&json, &first, &name, &value)) {
        for (size_t i = 0; i < LS_COUNT(strings); i++) {
            if (ls_span_is(name, strings[i].name))
                take_string(&decoding, value, strings[i].out);
        }
        if (ls_span_is(name, "http_status") && ls_json_int(value, &number))
            dead->http_status = (int)number;
        else if (ls_span_is(name, "attempts") && ls_json_int(value, &number))
            dead->attempts = (int)number;
        else if (ls_span_is(name, "crashes") && ls_json_int(value, &number))
            dead->crashes = (int)number;
        else if (ls_span_is(name, "fence") && ls_json_int(value, &number))
            dead->fence = number;
        else if (ls_span_is(name, "first_failed_at"))
            dead->first_failed_at = parse_time(value);
        else if (ls_span_is(name, "failed_at"))
            dead->failed_at = parse_time(value);
        else if (ls_span_is(name, "history") && value.data[0] == '[')
            dead->history = value;
        else if (ls_span_is(name, "job")) {
            dead->job = value;
            dead->job_is_json = has_job = true;
        } else if (ls_span_is(name, "raw")) {
            take_string(&decoding, value, &dead->job);
            has_job = true;
        } else if (ls_span_is(name, "raw_base64")) {
            has_job = take_base64(&decoding, value, &dead->job) == 0;
        }
    }
    for (size_t i = 0; i < decoding.count; i++)
        decoding.spans[i]->data = decoding.text.data + decoding.offsets[i];
    dead->scratch = decoding.text.data;
    if (json.fault || !has_job) {
        ls_dead_fini(dead);
        return ls_fail(err, LS_E_INVALID, "this is no dead letter: %s",
                       json.fault ? json.fault : "it holds no job");
    }
    return 0;
}

void ls_dead_fini(struct ls_dead *dead)
{
    free(dead->scratch);
    *dead = (struct ls_dead){0};
}

int ls_dead_revive(struct ls_buf *out, const struct ls_dead *dead, struct ls_err *err)
{
    struct ls_envelope envelope;
    char id[LS_ID_SIZE];

    if (ls_envelope_scan(&envelope, dead->job.data ? dead->job.data : "", dead->job.length, err) <
        0) {
        ls_envelope_fini(&envelope);
        return ls_wrap(err, "this dead job cannot run again");
    }
    if (!envelope.id.length)
        envelope.id = dead->id.length ? dead->id : ls_span_of(ls_id_new(id));
    envelope.attempt = 0;
    envelope.crashes = 0;
    envelope.first_failed_at = 0;
    envelope.history = (struct ls_span){0};
    ls_envelope_write(out, &envelope);
    ls_envelope_fini(&envelope);
    return 0;
}
