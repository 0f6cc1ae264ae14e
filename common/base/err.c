#include "common/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put_text(struct ls_err *err, const char *format, va_list args);
static void make_one_line(char *text);

const char *ls_err_name(enum ls_err_code code)
{
    static const char *const names[] = {
        [LS_E_NONE] = "none",           [LS_E_USAGE] = "usage",
        [LS_E_CONFIG] = "config",       [LS_E_SYSTEM] = "system",
        [LS_E_NETWORK] = "network",     [LS_E_TIMEOUT] = "timeout",
        [LS_E_LOST] = "lost",           [LS_E_REDIS] = "redis",
        [LS_E_STORE] = "store",         [LS_E_THROTTLED] = "throttled",
        [LS_E_TRANSIENT] = "transient", [LS_E_AUTH] = "auth",
        [LS_E_CONFLICT] = "conflict",   [LS_E_PERMANENT] = "permanent",
        [LS_E_NOT_FOUND] = "not_found", [LS_E_EXISTS] = "exists",
        [LS_E_INVALID] = "invalid",     [LS_E_TOO_BIG] = "too_big",
        [LS_E_FENCED] = "fenced",       [LS_E_CANCELLED] = "cancelled",
        [LS_E_CORRUPT] = "corrupt",     [LS_E_UNSUPPORTED] = "unsupported",
    };
    size_t index = (size_t)code;

    return index < sizeof names / sizeof *names ? names[index] : "unknown";
}

int ls_fail(struct ls_err *err, enum ls_err_code code, const char *format, ...)
{
    va_list args;

    if (!err)
        return -1;
    *err = (struct ls_err){.code = code, .retry_after_ms = -1};
    va_start(args, format);
    put_text(err, format, args);
    va_end(args);
    return -1;
}

int ls_fail_errno(struct ls_err *err, const char *format, ...)
{
    int saved = errno;
    va_list args;
    size_t used;

    if (!err)
        return -1;
    *err = (struct ls_err){.code = LS_E_SYSTEM, .os_errno = saved, .retry_after_ms = -1};
    va_start(args, format);
    put_text(err, format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(saved));
    errno = saved;
    return -1;
}

int ls_wrap(struct ls_err *err, const char *format, ...)
{
    char inner[sizeof err->text];
    va_list args;
    size_t used;

    if (!err)
        return -1;
    memcpy(inner, err->text, sizeof inner);
    va_start(args, format);
    put_text(err, format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
    return -1;
}

int ls_hint(struct ls_err *err, const char *format, ...)
{
    va_list args;

    if (!err)
        return -1;
    va_start(args, format);
    vsnprintf(err->hint, sizeof err->hint, format, args);
    va_end(args);
    make_one_line(err->hint);
    return -1;
}

static void put_text(struct ls_err *err, const char *format, va_list args)
{
    vsnprintf(err->text, sizeof err->text, format, args);
    make_one_line(err->text);
}

/* Texts quote what came from outside; a newline or an escape code in it must not forge a log line or colour a terminal. */
static void make_one_line(char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            *text = ' ';
    }
}
