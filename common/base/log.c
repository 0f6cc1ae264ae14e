#include "common/base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

static struct {
    int fd;
    char *path; /* owned; NULL for stderr */
    enum ls_log_level level;
    bool json;
    const char *role;
} sink = {.fd = STDERR_FILENO, .level = LS_LOG_INFO};

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

static int open_file(const char *path, struct ls_err *err);
static void write_line(enum ls_log_level level, const char *event,
                       const struct ls_log_field *fields, const char *format, va_list args);
static void put_text_line(struct ls_buf *line, const char *time, const char *level,
                          const char *event, const char *message,
                          const struct ls_log_field *fields);
static void put_json_line(struct ls_buf *line, const char *time, const char *level,
                          const char *event, const char *message,
                          const struct ls_log_field *fields);
static void put_clean(struct ls_buf *line, const char *text);

int ls_log_open(const char *target, struct ls_err *err)
{
    const char *format = getenv("LOCKSTEP_LOG_FORMAT");
    char *path;
    int fd;

    if (format && strcmp(format, "json") == 0)
        sink.json = true;
    if (strcmp(target, "stderr") == 0) {
        if (sink.path)
            close(sink.fd);
        free(sink.path);
        sink.path = NULL;
        sink.fd = STDERR_FILENO;
        return 0;
    }
    path = ls_xstrdup(strncmp(target, "file:", 5) == 0 ? target + 5 : target);
    fd = open_file(path, err);
    if (fd < 0) {
        free(path);
        return -1;
    }
    if (sink.path)
        close(sink.fd);
    free(sink.path);
    sink.path = path;
    sink.fd = fd;
    return 0;
}

int ls_log_reopen(struct ls_err *err)
{
    int fd;

    if (!sink.path)
        return 0;
    fd = open_file(sink.path, err);
    if (fd < 0)
        return -1;
    close(sink.fd);
    sink.fd = fd;
    return 0;
}

void ls_log_set_level(enum ls_log_level level)
{
    sink.level = level;
}

void ls_log_set_json(bool json)
{
    sink.json = json;
}

void ls_log_set_role(const char *role)
{
    sink.role = role;
}

bool ls_log_enabled(enum ls_log_level level)
{
    return level >= sink.level;
}

void ls_log(enum ls_log_level level, const char *event, const char *format, ...)
{
    va_list args;

    if (!ls_log_enabled(level))
        return;
    va_start(args, format);
    write_line(level, event, NULL, format, args);
    va_end(args);
}

void ls_log_with(enum ls_log_level level, const char *event, const struct ls_log_field *fields,
                 const char *format, ...)
{
    va_list args;

    if (!ls_log_enabled(level))
        return;
    va_start(args, format);
    write_line(level, event, fields, format, args);
    va_end(args);
}

static int open_file(const char *path, struct ls_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

    if (fd < 0) {
        ls_fail_errno(err, "cannot open log file '%s'", path);
        ls_hint(err, "create its directory, or set 'log: stderr'");
    }
    return fd;
}

static void write_line(enum ls_log_level level, const char *event,
                       const struct ls_log_field *fields, const char *format, va_list args)
{
    struct ls_buf line = {0}, message = {0};
    char time[LS_CLOCK_TEXT_SIZE];
    ssize_t ignored;

    ls_buf_vprintf(&message, format, args);
    ls_clock_format(time, ls_clock_wall_ms());
    if (sink.json)
        put_json_line(&line, time, level_names[level], event, message.data, fields);
    else
        put_text_line(&line, time, level_names[level], event, message.data, fields);
    ignored = write(sink.fd, line.data, line.length); /* nowhere to report a full disk to */
    (void)ignored;
    ls_buf_fini(&message);
    ls_buf_fini(&line);
}

static void put_text_line(struct ls_buf *line, const char *time, const char *level,
                          const char *event, const char *message, const struct ls_log_field *fields)
{
    ls_buf_printf(line, "%s [%s] %s: ", time, level, event);
    put_clean(line, message);
    for (; fields && fields->key; fields++) {
        if (!fields->value)
            continue;
        ls_buf_printf(line, " %s=", fields->key);
        if (strpbrk(fields->value, " \"=\t\r\n") || !fields->value[0])
            ls_buf_json_string(line, fields->value, strlen(fields->value));
        else
            put_clean(line, fields->value);
    }
    if (sink.role)
        ls_buf_printf(line, " role=%s", sink.role);
    ls_buf_printf(line, " pid=%d\n", (int)getpid());
}

static void put_json_line(struct ls_buf *line, const char *time, const char *level,
                          const char *event, const char *message, const struct ls_log_field *fields)
{
    ls_buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"message\":", time,
                  level, event);
    ls_buf_json_string(line, message, strlen(message));
    for (; fields && fields->key; fields++) {
        if (!fields->value)
            continue;
        ls_buf_printf(line, ",\"%s\":", fields->key);
        ls_buf_json_string(line, fields->value, strlen(fields->value));
    }
    if (sink.role)
        ls_buf_printf(line, ",\"role\":\"%s\"", sink.role);
    ls_buf_printf(line, ",\"pid\":%d}\n", (int)getpid());
}

static void put_clean(struct ls_buf *line, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        ls_buf_putc(line, c < 0x20 || c == 0x7f ? ' ' : (char)c);
    }
}
