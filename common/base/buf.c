#include "common/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

static size_t utf8_length(const unsigned char *s, size_t left);

void ls_buf_fini(struct ls_buf *buf)
{
    free(buf->data);
    *buf = (struct ls_buf){0};
}

void ls_buf_clear(struct ls_buf *buf)
{
    buf->length = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void ls_buf_reserve(struct ls_buf *buf, size_t more)
{
    size_t need = buf->length + more + 1;
    size_t capacity = buf->capacity ? buf->capacity : 64;

    ls_assert(need > more);
    if (need <= buf->capacity)
        return;
    while (capacity < need)
        capacity += capacity / 2 + 64;
    buf->data = ls_xrealloc(buf->data, capacity);
    buf->capacity = capacity;
}

void ls_buf_add(struct ls_buf *buf, const void *bytes, size_t length)
{
    ls_buf_reserve(buf, length);
    if (length)
        memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
}

void ls_buf_puts(struct ls_buf *buf, const char *text)
{
    ls_buf_add(buf, text, strlen(text));
}

void ls_buf_putc(struct ls_buf *buf, char c)
{
    ls_buf_add(buf, &c, 1);
}

void ls_buf_printf(struct ls_buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    ls_buf_vprintf(buf, format, args);
    va_end(args);
}

void ls_buf_vprintf(struct ls_buf *buf, const char *format, va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    ls_assert(length >= 0);
    ls_buf_reserve(buf, (size_t)length);
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, again);
    buf->length += (size_t)length;
    va_end(again);
}

void ls_buf_json_string(struct ls_buf *buf, const char *text, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *s = (const unsigned char *)text;

    ls_buf_reserve(buf, length + 2);
    ls_buf_putc(buf, '"');
    for (size_t i = 0; i < length;) {
        unsigned char c = s[i];
        size_t run = utf8_length(s + i, length - i);

        if (run == 0) {
            ls_buf_puts(buf, "\xef\xbf\xbd");
            i++;
        } else if (c == '"' || c == '\\') {
            ls_buf_add(buf, (char[]){'\\', (char)c}, 2);
            i++;
        } else if (c == '\n') {
            ls_buf_add(buf, "\\n", 2);
            i++;
        } else if (c < 0x20 || c == 0x7f) {
            ls_buf_add(buf, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
            i++;
        } else {
            ls_buf_add(buf, s + i, run);
            i += run;
        }
    }
    ls_buf_putc(buf, '"');
}

void ls_buf_consume(struct ls_buf *buf, size_t count)
{
    ls_assert(count <= buf->length);
    if (!count)
        return;
    memmove(buf->data, buf->data + count, buf->length - count);
    buf->length -= count;
    buf->data[buf->length] = '\0';
}

char *ls_buf_take(struct ls_buf *buf)
{
    char *data = buf->data ? buf->data : ls_xcalloc(1, 1);

    *buf = (struct ls_buf){0};
    return data;
}

bool ls_utf8_valid(const char *text, size_t length)
{
    const unsigned char *s = (const unsigned char *)text;

    for (size_t i = 0; i < length;) {
        size_t run = s[i] < 0x80 ? 1 : utf8_length(s + i, length - i);
        if (run == 0)
            return false;
        i += run;
    }
    return true;
}

/* Bytes of the sequence that starts at s; 0 when it is not well-formed (Unicode table 3-7). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    unsigned char c = s[0];
    unsigned char low = 0x80, high = 0xbf;
    size_t need;

    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        need = 2;
    else if (c >= 0xe0 && c <= 0xef)
        need = 3;
    else if (c >= 0xf0 && c <= 0xf4)
        need = 4;
    else
        return 0;
    if (left < need)
        return 0;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    return need;
}

size_t ls_utf8_cut(const char *text, size_t length, size_t max)
{
    if (length <= max)
        return length;
    while (max && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}
