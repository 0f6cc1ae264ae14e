#include "common/job/json.h"

#include <string.h>

#include "common/base/mem.h"

#define DEPTH_MAX 64 /* a bit each in `nesting` */

static bool fail(struct ls_json *json, const char *fault)
{
    if (!json->fault)
        json->fault = fault;
    return false;
}

void ls_json_init(struct ls_json *json, const void *text, size_t length, int max_depth)
{
    *json = (struct ls_json){.start = text,
                             .at = text,
                             .end = (const char *)text + length,
                             .depth_left = max_depth < DEPTH_MAX ? max_depth : DEPTH_MAX};
}

bool ls_json_space(struct ls_json *json)
{
    const char *from = json->at;

    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
    return json->at != from;
}

/* The code unit of \uXXXX whose first digit is at s; -1 when it is none. */
static int unit(const char *s, const char *end)
{
    int value = 0;

    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Length of the escape at s (a backslash); 0 when it is none, or half a surrogate pair. */
static size_t escape(const char *s, const char *end)
{
    int high;

    if (end - s < 2)
        return 0;
    if (s[1] != 'u')
        return s[1] && strchr("\"\\/bfnrt", s[1]) ? 2 : 0;
    high = unit(s + 2, end);
    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    if (high >= 0xd800 && high <= 0xdbff) {
        int low = end - s >= 12 && s[6] == '\\' && s[7] == 'u' ? unit(s + 8, end) : -1;

        return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
    }
    return 6;
}

/* Length of the UTF-8 sequence at s, of two bytes and more; 0 when it is none. */
static size_t sequence(const char *text, const char *end)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

    if ((size_t)(end - text) < length || !ls_utf8_valid(text, length))
        return 0;
    return length;
}

bool ls_json_string(struct ls_json *json, struct ls_span *inside, bool *escaped)
{
    const char *s = json->at;
    const char *end = json->end;
    const char *from;

    if (s == end || *s != '"')
        return fail(json, "a string should stand here");
    from = ++s;
    *escaped = false;
    for (;;) {
        unsigned char c;
        size_t step = 1;

        if (s == end) {
            json->at = s;
            return fail(json, "a string does not end");
        }
        c = (unsigned char)*s;
        if (c == '"')
            break;
        if (c == '\\') {
            *escaped = true;
            step = escape(s, end);
        } else if (c >= 0x80) {
            step = sequence(s, end);
        }
        if (c < 0x20 || step == 0) {
            json->at = s;
            return fail(json, c < 0x20    ? "a control character stands in a string"
                              : c == '\\' ? "an escape is wrong"
                                          : "the text is not UTF-8");
        }
        s += step;
    }
    *inside = (struct ls_span){from, (size_t)(s - from)};
    json->at = s + 1;
    return true;
}

static bool digits(struct ls_json *json)
{
    const char *from = json->at;

    while (json->at < json->end && *json->at >= '0' && *json->at <= '9')
        json->at++;
    return json->at != from || fail(json, "a number is wrong");
}

static bool number(struct ls_json *json)
{
    if (*json->at == '-')
        json->at++;
    if (json->at < json->end && *json->at == '0')
        json->at++;
    else if (!digits(json))
        return false;
    if (json->at < json->end && *json->at == '.') {
        json->at++;
        if (!digits(json))
            return false;
    }
    if (json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
        json->at++;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-'))
            json->at++;
        return digits(json);
    }
    return true;
}

static bool word(struct ls_json *json, const char *text, size_t length)
{
    if ((size_t)(json->end - json->at) < length || memcmp(json->at, text, length) != 0)
        return fail(json, "a value should stand here");
    json->at += length;
    return true;
}

static bool scalar(struct ls_json *json)
{
    struct ls_span inside;
    bool escaped;

    switch (*json->at) {
    case '"':
        return ls_json_string(json, &inside, &escaped);
    case 't':
        return word(json, "true", 4);
    case 'f':
        return word(json, "false", 5);
    case 'n':
        return word(json, "null", 4);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return number(json);
    default:
        return fail(json, "a value should stand here");
    }
}

/* A name and its colon, white space around them allowed. */
static bool member_name(struct ls_json *json, struct ls_span *name)
{
    bool escaped;

    ls_json_space(json);
    if (json->at == json->end || *json->at != '"')
        return fail(json, "a name should stand here");
    if (!ls_json_string(json, name, &escaped))
        return false;
    ls_json_space(json);
    if (json->at == json->end || *json->at != ':')
        return fail(json, "a colon should stand here");
    json->at++;
    return true;
}

bool ls_json_value(struct ls_json *json, struct ls_span *value)
{
    uint64_t nesting = 0; /* one bit a level, lowest = innermost: 1 = object */
    int depth = 0;
    struct ls_span name;
    const char *from;

    ls_json_space(json);
    from = json->at;
    for (;;) {
        bool opened = false;

        ls_json_space(json);
        if (json->at == json->end)
            return fail(json, "the text ends too early");
        if (*json->at == '{' || *json->at == '[') {
            if (depth == json->depth_left)
                return fail(json, "it is nested too deeply");
            nesting = nesting << 1 | (*json->at == '{');
            depth++;
            json->at++;
            opened = true;
        } else if (!scalar(json)) {
            return false;
        }
        /* After a value: close what ends here, then go on to the next one. */
        for (;;) {
            char close = nesting & 1 ? '}' : ']';

            if (depth == 0) {
                *value = (struct ls_span){from, (size_t)(json->at - from)};
                return true;
            }
            ls_json_space(json);
            if (json->at == json->end)
                return fail(json, "the text ends too early");
            if (*json->at == close) {
                json->at++;
                nesting >>= 1;
                depth--;
                opened = false;
                continue;
            }
            if (!opened && *json->at++ != ',') {
                json->at--;
                return fail(json, "a comma or the end of a list should stand here");
            }
            if ((nesting & 1) && !member_name(json, &name))
                return false;
            break;
        }
    }
}

static bool open_list(struct ls_json *json, char bracket, const char *otherwise)
{
    ls_json_space(json);
    if (json->at == json->end || *json->at != bracket)
        return fail(json, otherwise);
    if (json->depth_left == 0)
        return fail(json, "it is nested too deeply");
    json->depth_left--;
    json->at++;
    return true;
}

/* To the next entry of an open list; false at its end. */
static bool next_entry(struct ls_json *json, char bracket, bool *first)
{
    ls_json_space(json);
    if (json->at == json->end)
        return fail(json, "the text ends too early");
    if (*json->at == bracket) {
        json->at++;
        json->depth_left++;
        return false;
    }
    if (!*first) {
        if (*json->at != ',')
            return fail(json, "a comma or the end of a list should stand here");
        json->at++;
    }
    *first = false;
    return true;
}

bool ls_json_open(struct ls_json *json)
{
    return open_list(json, '{', "it is no object");
}

bool ls_json_next(struct ls_json *json, bool *first, struct ls_span *name, struct ls_span *value)
{
    return next_entry(json, '}', first) && member_name(json, name) && ls_json_value(json, value);
}

bool ls_json_open_array(struct ls_json *json)
{
    return open_list(json, '[', "it is no array");
}

bool ls_json_item(struct ls_json *json, bool *first, struct ls_span *value)
{
    return next_entry(json, ']', first) && ls_json_value(json, value);
}

static void put_utf8(struct ls_buf *out, unsigned code)
{
    if (code < 0x80) {
        ls_buf_putc(out, (char)code);
    } else if (code < 0x800) {
        ls_buf_putc(out, (char)(0xc0 | code >> 6));
        ls_buf_putc(out, (char)(0x80 | (code & 63)));
    } else if (code < 0x10000) {
        ls_buf_putc(out, (char)(0xe0 | code >> 12));
        ls_buf_putc(out, (char)(0x80 | (code >> 6 & 63)));
        ls_buf_putc(out, (char)(0x80 | (code & 63)));
    } else {
        ls_buf_putc(out, (char)(0xf0 | code >> 18));
        ls_buf_putc(out, (char)(0x80 | (code >> 12 & 63)));
        ls_buf_putc(out, (char)(0x80 | (code >> 6 & 63)));
        ls_buf_putc(out, (char)(0x80 | (code & 63)));
    }
}

void ls_json_unescape(struct ls_buf *out, struct ls_span inside)
{
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    const char *s = inside.data;
    const char *end = s + inside.length;

    ls_buf_reserve(out, inside.length);
    while (s < end) {
        const char *stop = memchr(s, '\\', (size_t)(end - s));
        size_t step;

        if (!stop)
            stop = end;
        ls_buf_add(out, s, (size_t)(stop - s));
        s = stop;
        if (s == end)
            break;
        step = escape(s, end);
        ls_assert(step);
        if (step == 2) {
            const char *pair = plain;

            while (*pair != s[1])
                pair += 2;
            ls_buf_putc(out, pair[1]);
        } else {
            unsigned code = (unsigned)unit(s + 2, end);

            if (step == 12)
                code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)unit(s + 8, end) - 0xdc00);
            put_utf8(out, code);
        }
        s += step;
    }
}

bool ls_json_is_string(struct ls_span value, struct ls_span *inside, bool *escaped)
{
    if (value.length < 2 || value.data[0] != '"')
        return false;
    *inside = (struct ls_span){value.data + 1, value.length - 2};
    *escaped = inside->length && memchr(inside->data, '\\', inside->length) != NULL;
    return true;
}

bool ls_json_int(struct ls_span value, int64_t *out)
{
    bool negative = value.length && value.data[0] == '-';
    int64_t sum = 0;

    if (value.length == (negative ? 1U : 0U))
        return false;
    for (size_t i = negative ? 1 : 0; i < value.length; i++) {
        int digit = value.data[i] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_sub_overflow(sum, digit, &sum))
            return false;
    }
    if (!negative && sum == INT64_MIN)
        return false;
    *out = negative ? sum : -sum;
    return true;
}

bool ls_json_bool(struct ls_span value, bool *out)
{
    *out = ls_span_is(value, "true");
    return *out || ls_span_is(value, "false");
}

void ls_json_put_text(struct ls_buf *out, const char *name, struct ls_span text)
{
    if (!text.length)
        return;
    ls_buf_printf(out, ",\"%s\":", name);
    ls_buf_json_string(out, text.data, text.length);
}

bool ls_json_valid(const void *text, size_t length, int max_depth)
{
    struct ls_json json;
    struct ls_span value;

    ls_json_init(&json, text, length, max_depth);
    if (!ls_json_value(&json, &value))
        return false;
    ls_json_space(&json);
    return json.at == json.end;
}
