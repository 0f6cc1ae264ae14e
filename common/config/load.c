/* Finding the file, reading it, and turning the report into an error. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/config/config_internal.h"
#include "common/config/value.h"

#define MAX_SOCKET_PATH 100 /* sun_path holds 108; redis-server adds a suffix while it starts */

static char *find_file(const char *path, struct ls_err *err, bool *none);
static int read_file(const char *path, struct ls_buf *out, struct ls_err *err);
static struct ls_config *build(const char *text, size_t length, const char *dir, bool lenient,
                               struct ls_config_report *report, struct ls_err *err);
static void complete(struct ls_config *config);
static int fail_with_first(const struct ls_config_report *report, const char *name,
                           struct ls_err *err);

/* ---- problems ---- */

static struct ls_config_problem *add_problem(struct ls_config_report *report,
                                             const struct ls_yaml_node *node, bool warning)
{
    struct ls_config_problem *problem;

    report->errors += !warning;
    if (report->count >= report->max)
        return NULL;
    problem = &report->problems[report->count++];
    *problem = (struct ls_config_problem){.warning = warning};
    if (node) {
        problem->line = node->line;
        problem->column = node->column;
    }
    return problem;
}

/* Bytes from the file stand in messages: nothing may steer a terminal. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 32 || *text == 127)
            *text = '?';
    }
}

void ls_config_error(struct ls_config_report *report, const struct ls_yaml_node *node,
                     const char *format, ...)
{
    struct ls_config_problem *problem = add_problem(report, node, false);
    va_list args;

    if (!problem)
        return;
    va_start(args, format);
    vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    make_printable(problem->text);
}

void ls_config_warn(struct ls_config_report *report, const struct ls_yaml_node *node,
                    const char *format, ...)
{
    struct ls_config_problem *problem = add_problem(report, node, true);
    va_list args;

    if (!problem)
        return;
    va_start(args, format);
    vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    make_printable(problem->text);
}

void ls_config_hint(struct ls_config_report *report, const char *format, ...)
{
    struct ls_config_problem *problem;
    va_list args;

    if (!report->count || report->count < report->errors) /* the last one was not kept */
        return;
    problem = &report->problems[report->count - 1];
    va_start(args, format);
    vsnprintf(problem->hint, sizeof problem->hint, format, args);
    va_end(args);
    make_printable(problem->hint);
}

/* ---- loading ---- */

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir =
        !slash ? ls_xstrdup(".") : ls_xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
    char *absolute = ls_config_absolute(NULL, dir);

    free(dir);
    return absolute;
}

static struct ls_config *load(const char *path, bool lenient, struct ls_config_report *report,
                              char **file, struct ls_err *err)
{
    struct ls_config *config = NULL;
    struct ls_buf text = {0};
    char *dir = NULL;
    bool none = false;

    *file = find_file(path, err, &none);
    if (!*file && !none)
        return NULL;
    if (!none) {
        if (read_file(*file, &text, err) < 0)
            goto done;
        dir = directory_of(*file);
    }
    config = build(none ? NULL : text.data, text.length, dir, lenient, report, err);
    if (!config && err && err->code == LS_E_UNSUPPORTED)
        ls_wrap(err, "cannot read '%s'", *file);
    if (config && *file)
        config->path = ls_config_absolute(NULL, *file);
done:
    free(dir);
    ls_buf_fini(&text);
    return config;
}

static struct ls_config *load_or_fail(const char *path, bool lenient, struct ls_err *err)
{
    struct ls_config_problem problems[8];
    struct ls_config_report report = {.problems = problems, .max = 8};
    char *file = NULL;
    struct ls_config *config = load(path, lenient, &report, &file, err);

    if (config && report.errors) {
        fail_with_first(&report, file, err);
        ls_config_free(config);
        config = NULL;
    }
    free(file);
    return config;
}

struct ls_config *ls_config_load(const char *path, struct ls_err *err)
{
    return load_or_fail(path, false, err);
}

struct ls_config *ls_config_load_public(const char *path, struct ls_err *err)
{
    return load_or_fail(path, true, err);
}

struct ls_config *ls_config_parse(const char *text, size_t length, const char *name,
                                  const char *dir, struct ls_err *err)
{
    struct ls_config_problem problems[8];
    struct ls_config_report report = {.problems = problems, .max = 8};
    char *absolute = ls_config_absolute(NULL, dir ? dir : ".");
    struct ls_config *config = build(text, length, absolute, false, &report, err);

    free(absolute);
    if (config && report.errors) {
        fail_with_first(&report, name, err);
        ls_config_free(config);
        return NULL;
    }
    return config;
}

int ls_config_check(const char *path, struct ls_config_problem *problems, int max, char **file,
                    struct ls_err *err)
{
    struct ls_config_report report = {.problems = problems, .max = max};
    struct ls_config *config = load(path, false, &report, file, err);

    if (!config) {
        free(*file);
        *file = NULL;
        return -1;
    }
    ls_config_free(config);
    return report.count;
}

/* The first error, not the first warning, with its place; says how many more there are. */
static int fail_with_first(const struct ls_config_report *report, const char *name,
                           struct ls_err *err)
{
    const struct ls_config_problem *first = report->problems;
    char place[32] = "", more[40] = "";

    while (first->warning && first < report->problems + report->count - 1)
        first++;
    if (first->line)
        snprintf(place, sizeof place, "%d:%d: ", first->line, first->column);
    if (report->errors > 1)
        snprintf(more, sizeof more, " (and %d more)", report->errors - 1);
    ls_fail(err, LS_E_CONFIG, "%s%s%s%s%s", first->line && name ? name : "",
            first->line && name ? ":" : "", place, first->text, more);
    if (*first->hint)
        ls_hint(err, "%s", first->hint);
    else if (report->errors > 1)
        ls_hint(err, "'lockstep config check' shows all");
    return -1;
}

/* A syntax error is one problem like others. NULL only when nothing could be read (no libyaml). */
static struct ls_config *build(const char *text, size_t length, const char *dir, bool lenient,
                               struct ls_config_report *report, struct ls_err *err)
{
    struct ls_config *config = LS_NEW(struct ls_config);
    const struct ls_yaml_node *root = NULL;
    struct ls_yaml *doc = NULL;

    if (text) {
        struct ls_yaml_place place;
        struct ls_err problem = LS_ERR_INIT;

        doc = ls_yaml_parse(text, length, &place, &problem);
        if (!doc && problem.code == LS_E_UNSUPPORTED) {
            if (err)
                *err = problem;
            free(config);
            return NULL;
        }
        if (!doc) {
            struct ls_yaml_node at = {.line = place.line, .column = place.column};

            ls_config_error(report, &at, "%s", problem.text);
        } else {
            root = ls_yaml_root(doc);
        }
    }
    ls_config_apply(config, root, dir, lenient, report);
    ls_config_apply_environment(config, report);
    complete(config);
    if (doc)
        ls_config_cross_check(config, root, lenient, report);
    ls_yaml_free(doc);
    return config;
}

/* What follows from other values. */
static void complete(struct ls_config *config)
{
    if (!ls_config_queue_find(config, "default"))
        ls_config_add_default_queue(config);
    for (size_t i = 0; i < config->account_count; i++) {
        if (!config->accounts[i].timeout_ms)
            config->accounts[i].timeout_ms = config->platform_timeout_ms;
    }
    for (size_t i = 0; i < config->sync_count; i++) {
        for (size_t n = 0; n < config->syncs[i].field_count; n++) {
            struct ls_config_field *field = &config->syncs[i].fields[n];

            if (!field->column)
                field->column = ls_xstrdup(field->name);
            if (!field->remote)
                field->remote = ls_xstrdup(field->name);
        }
    }
    if (ls_config_redis_embedded(config)) {
        config->redis_socket = ls_xasprintf("%s/redis.sock", config->state_dir);
        if (strlen(config->redis_socket) > MAX_SOCKET_PATH) {
            char hex[LS_SHA256_HEX_SIZE];

            ls_sha256_hex(config->state_dir, strlen(config->state_dir), hex);
            free(config->redis_socket);
            config->redis_socket = ls_xasprintf("/tmp/lockstep-%.16s/redis.sock", hex);
        }
        config->redis_url = ls_xasprintf("unix://%s", config->redis_socket);
    } else {
        config->redis_url = ls_xstrdup(config->redis);
    }
}

static char *find_file(const char *path, struct ls_err *err, bool *none)
{
    static const char *const places[] = {"lockstep.yaml", "/etc/lockstep/lockstep.yaml"};
    const char *source = "--config";

    if (!path || !*path) {
        path = getenv("LOCKSTEP_CONFIG");
        source = "LOCKSTEP_CONFIG";
    }
    if (path && *path) {
        if (access(path, F_OK) == 0)
            return ls_xstrdup(path);
        ls_fail(err, LS_E_NOT_FOUND, "no configuration at '%s': %s", path, strerror(errno));
        ls_hint(err, "it was named by %s; 'lockstep init' writes one", source);
        return NULL;
    }
    for (size_t i = 0; i < LS_COUNT(places); i++) {
        if (access(places[i], F_OK) == 0)
            return ls_xstrdup(places[i]);
    }
    *none = true;
    return NULL;
}

static int read_file(const char *path, struct ls_buf *out, struct ls_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    ssize_t count;

    if (fd < 0)
        return ls_fail_errno(err, "cannot read '%s'", path);
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(fd);
        return ls_fail(err, LS_E_CONFIG, "cannot read '%s': it is a directory", path);
    }
    ls_buf_puts(out, "");
    for (;;) {
        ls_buf_reserve(out, 65536);
        count = read(fd, out->data + out->length, 65536);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        out->length += (size_t)count;
        if (out->length > LS_YAML_MAX_BYTES) {
            close(fd);
            return ls_fail(err, LS_E_CONFIG, "'%s' is larger than %d bytes", path,
                           LS_YAML_MAX_BYTES);
        }
    }
    if (count < 0)
        ls_fail_errno(err, "cannot read '%s'", path);
    close(fd);
    out->data[out->length] = 0;
    return count < 0 ? -1 : 0;
}
