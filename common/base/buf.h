/* A growing byte buffer. {0} is empty; data is always NUL-terminated once anything was added, though it may hold NULs itself.
 * The owner calls ls_buf_fini. Pointers into data die with the next append. */
#ifndef LS_BASE_BUF_H
#define LS_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct ls_buf {
    char *data;
    size_t length;
    size_t capacity;
};

void ls_buf_fini(struct ls_buf *buf);
/* Empty it, keep the memory. */
void ls_buf_clear(struct ls_buf *buf);
/* Room for at least `more` further bytes (and the NUL). */
void ls_buf_reserve(struct ls_buf *buf, size_t more);
void ls_buf_add(struct ls_buf *buf, const void *bytes, size_t length);
void ls_buf_puts(struct ls_buf *buf, const char *text);
void ls_buf_putc(struct ls_buf *buf, char c);
void ls_buf_printf(struct ls_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void ls_buf_vprintf(struct ls_buf *buf, const char *format, va_list args);
/* A JSON string with its quotes. Control characters are escaped; bytes that are not valid UTF-8 become U+FFFD. */
void ls_buf_json_string(struct ls_buf *buf, const char *text, size_t length);
/* Drop the first `count` bytes. O(length). */
void ls_buf_consume(struct ls_buf *buf, size_t count);
/* Hand the bytes over: the caller frees them; the buffer is empty again. Never NULL. */
char *ls_buf_take(struct ls_buf *buf);

/* Is it well-formed UTF-8 (no overlong forms, no surrogates)? */
bool ls_utf8_valid(const char *text, size_t length);
/* The length of the first `max` bytes at most, without a piece of a character at their end. */
size_t ls_utf8_cut(const char *text, size_t length, size_t max);

#endif
