/* The log: one line an event, to standard error or a file, as text or JSON. The one global of the code base: a process has one
 * log. Lines are written whole with one write(2), so several processes may share a file opened with O_APPEND.
 *
 *   2026-11-23T00:51:00.123Z [ERROR] sync.failed: Product sync failed: API timeout after 30s account=shop-eu record=l-12 pid=4711
 *
 * error: a person must act; warn: we coped; info: life cycle; debug: transitions. Event names never change; the vocabulary is in
 * common/tbl. Never log a token, a customer's field or a body. Values are escaped, so nothing from outside can forge a line. */
#ifndef LS_BASE_LOG_H
#define LS_BASE_LOG_H

#include <stdbool.h>

#include "common/base/err.h"

enum ls_log_level { LS_LOG_DEBUG, LS_LOG_INFO, LS_LOG_WARN, LS_LOG_ERROR };

/* A key and a text value; an array of these ends with {0}. A NULL value is left out. */
struct ls_log_field {
    const char *key;
    const char *value;
};

/* "stderr", "file:PATH" or "PATH". Returns -1 when the file cannot be opened; the old sink stays in use. */
int ls_log_open(const char *sink, struct ls_err *err);
/* Open the file again under its name (after logrotate moved it). No-op on stderr. */
int ls_log_reopen(struct ls_err *err);
void ls_log_set_level(enum ls_log_level level);
/* JSON lines instead of text. Also chosen by LOCKSTEP_LOG_FORMAT=json when ls_log_open runs. */
void ls_log_set_json(bool json);
/* Appended to each line as role=; borrowed, use a literal. */
void ls_log_set_role(const char *role);
bool ls_log_enabled(enum ls_log_level level);

/* ls_log(LS_LOG_INFO, "pool.started", "%d runners", n) */
void ls_log(enum ls_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with fields: LS_FIELDS({"job", id}, {"queue", queue}). */
void ls_log_with(enum ls_log_level level, const char *event, const struct ls_log_field *fields,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
#define LS_FIELDS(...) ((const struct ls_log_field[]){__VA_ARGS__, {0}})

#endif
