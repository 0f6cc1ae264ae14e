#include "common/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t size);

void *ls_xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);

    if (!memory)
        out_of_memory(count * size);
    return memory;
}

void *ls_xrealloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);

    if (!memory)
        out_of_memory(size);
    return memory;
}

char *ls_xstrdup(const char *text)
{
    return text ? ls_xstrndup(text, strlen(text)) : NULL;
}

char *ls_xstrndup(const char *text, size_t length)
{
    char *copy;

    if (!text)
        return NULL;
    copy = ls_xcalloc(length + 1, 1);
    memcpy(copy, text, length);
    return copy;
}

char *ls_xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int length;

    va_start(args, format);
    length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        out_of_memory(0);
    return text;
}

_Noreturn void ls_assert_failed(const char *condition, const char *file, int line,
                                const char *function)
{
    fprintf(stderr, "bug: assertion '%s' failed in %s at %s:%d\n", condition, function, file, line);
    abort();
}

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory (%zu bytes)\n", size);
    abort();
}
