#include "common/config/value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

static int expand_one(struct ls_buf *out, const char *inner, size_t length, const char *dir,
                      struct ls_err *err);
static int insert_env(struct ls_buf *out, const char *inner, struct ls_err *err);
static int insert_file(struct ls_buf *out, const char *path, const char *dir, struct ls_err *err);

char *ls_config_expand(const char *text, const char *dir, struct ls_err *err)
{
    struct ls_buf out = {0};
    const char *at = text;

    while (*at) {
        const char *dollar = strstr(at, "${");
        const char *end;

        if (!dollar) {
            ls_buf_puts(&out, at);
            break;
        }
        if (dollar > at && dollar[-1] == '$') { /* $${ is ${ */
            ls_buf_add(&out, at, (size_t)(dollar - 1 - at));
            ls_buf_puts(&out, "${");
            at = dollar + 2;
            continue;
        }
        ls_buf_add(&out, at, (size_t)(dollar - at));
        end = strchr(dollar, '}');
        if (!end) {
            ls_fail(err, LS_E_CONFIG, "'${' without '}'");
            ls_hint(err, "write '$${' for a plain '${'");
            goto fail;
        }
        if (expand_one(&out, dollar + 2, (size_t)(end - dollar - 2), dir, err) < 0)
            goto fail;
        at = end + 1;
    }
    if (out.length > LS_CONFIG_MAX_TEXT) {
        ls_fail(err, LS_E_CONFIG, "the value is longer than %d bytes", LS_CONFIG_MAX_TEXT);
        goto fail;
    }
    return ls_buf_take(&out);
fail:
    ls_buf_fini(&out);
    return NULL;
}

static int expand_one(struct ls_buf *out, const char *inner, size_t length, const char *dir,
                      struct ls_err *err)
{
    char *name = ls_xstrndup(inner, length);
    int result = strncmp(name, "file:", 5) == 0 ? insert_file(out, name + 5, dir, err)
                                                : insert_env(out, name, err);

    free(name);
    return result;
}

static int insert_env(struct ls_buf *out, const char *inner, struct ls_err *err)
{
    const char *fallback = strstr(inner, ":-");
    size_t length = fallback ? (size_t)(fallback - inner) : strlen(inner);
    const char *value;
    char *name;

    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)inner[i]) && inner[i] != '_')
            length = 0;
    }
    if (!length || isdigit((unsigned char)*inner)) {
        ls_fail(err, LS_E_CONFIG, "'${%.60s}' names no environment variable", inner);
        return ls_hint(err, "write ${NAME}, ${NAME:-default} or ${file:PATH}");
    }
    name = ls_xstrndup(inner, length);
    value = getenv(name);
    if (value && *value) {
        ls_buf_puts(out, value);
    } else if (fallback) {
        ls_buf_puts(out, fallback + 2);
    } else {
        ls_fail(err, LS_E_CONFIG, "environment variable '%.100s' is not set", name);
        ls_hint(err, "set it, or give a default with ${%.60s:-...}", name);
        free(name);
        return -1;
    }
    free(name);
    return 0;
}

static int insert_file(struct ls_buf *out, const char *path, const char *dir, struct ls_err *err)
{
    char *absolute = ls_config_absolute(dir, path);
    int fd = open(absolute, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    size_t start = out->length;
    struct stat status;
    ssize_t count = 0;

    if (fd < 0 || fstat(fd, &status) < 0) {
        ls_fail_errno(err, "cannot read file '%s'", absolute);
        goto fail;
    }
    if (!S_ISREG(status.st_mode) || status.st_size > LS_CONFIG_MAX_TEXT) {
        ls_fail(err, LS_E_CONFIG, "'%s' is no regular file of at most %d bytes", absolute,
                LS_CONFIG_MAX_TEXT);
        goto fail;
    }
    do {
        ls_buf_reserve(out, LS_CONFIG_MAX_TEXT + 1);
        count = read(fd, out->data + out->length, LS_CONFIG_MAX_TEXT + 1);
        if (count > 0)
            out->length += (size_t)count;
    } while ((count > 0 && out->length - start <= LS_CONFIG_MAX_TEXT) ||
             (count < 0 && errno == EINTR));
    if (count < 0) {
        ls_fail_errno(err, "cannot read file '%s'", absolute);
        goto fail;
    }
    while (out->length > start &&
           (out->data[out->length - 1] == '\n' || out->data[out->length - 1] == '\r'))
        out->length--;
    out->data[out->length] = 0;
    if (memchr(out->data + start, 0, out->length - start)) {
        ls_fail(err, LS_E_CONFIG, "file '%s' holds a zero byte", absolute);
        goto fail;
    }
    close(fd);
    free(absolute);
    return 0;
fail:
    if (fd >= 0)
        close(fd);
    free(absolute);
    return -1;
}

int ls_config_int(const char *text, int64_t *out)
{
    char *end;
    long long value;

    if (!isdigit((unsigned char)*text))
        return -1;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (*end || errno)
        return -1;
    *out = value;
    return 0;
}

/* Digits with at most one point: no sign, exponent, hex, infinity; *end is behind them. */
static int plain_number(const char *text, double *out, const char **end)
{
    size_t digits = strspn(text, "0123456789");
    size_t length = digits;

    if (text[length] == '.') {
        size_t fraction = strspn(text + length + 1, "0123456789");

        digits += fraction;
        length += 1 + fraction;
    }
    if (!digits || digits > 18)
        return -1;
    /* Not strtod: its decimal point depends on the locale. */
    *out = 0;
    for (size_t i = 0; i < length && text[i] != '.'; i++)
        *out = *out * 10 + (text[i] - '0');
    if (memchr(text, '.', length)) {
        const char *point = memchr(text, '.', length);
        double scale = 1, fraction = 0;

        for (const char *c = point + 1; c < text + length; c++) {
            fraction = fraction * 10 + (*c - '0');
            scale *= 10;
        }
        *out += fraction / scale;
    }
    *end = text + length;
    return 0;
}

int ls_config_number(const char *text, double *out)
{
    const char *end;

    if (plain_number(text, out, &end) < 0)
        return -1;
    if (strcmp(end, "%") == 0) {
        *out /= 100;
        return 0;
    }
    return *end ? -1 : 0;
}

int ls_config_size(const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        int shift;
    } units[] = {{"", 0},    {"b", 0},    {"k", 10}, {"kb", 10}, {"kib", 10}, {"m", 20},
                 {"mb", 20}, {"mib", 20}, {"g", 30}, {"gb", 30}, {"gib", 30}};
    double value;
    const char *end;

    if (plain_number(text, &value, &end) < 0)
        return -1;
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < LS_COUNT(units); i++) {
        if (strcasecmp(end, units[i].unit) == 0) {
            value *= (double)(1LL << units[i].shift);
            if (value > 9e15)
                return -1;
            *out = (int64_t)value;
            return 0;
        }
    }
    return -1;
}

int ls_config_rate(const char *text, double *out)
{
    const char *end;

    if (plain_number(text, out, &end) < 0)
        return -1;
    if (!*end || strcmp(end, "/s") == 0)
        return 0;
    if (strcmp(end, "/m") == 0 || strcmp(end, "/min") == 0)
        *out /= 60;
    else if (strcmp(end, "/h") == 0)
        *out /= 3600;
    else
        return -1;
    return 0;
}

int ls_config_bool(const char *text, bool *out)
{
    if (strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0 ||
        strcasecmp(text, "on") == 0) {
        *out = true;
        return 0;
    }
    if (strcasecmp(text, "false") == 0 || strcasecmp(text, "no") == 0 ||
        strcasecmp(text, "off") == 0) {
        *out = false;
        return 0;
    }
    return -1;
}

int ls_config_listen(const char *text, char **host, int *port)
{
    const char *colon = strrchr(text, ':');
    int64_t number;
    size_t length;

    if (!colon || colon == text || ls_config_int(colon + 1, &number) < 0 || number > 65535)
        return -1;
    length = (size_t)(colon - text);
    if (*text == '[') {
        if (length < 3 || text[length - 1] != ']')
            return -1;
        *host = ls_xstrndup(text + 1, length - 2);
    } else {
        if (memchr(text, ':', length))
            return -1;
        *host = ls_xstrndup(text, length);
    }
    *port = (int)number;
    return 0;
}

char *ls_config_absolute(const char *dir, const char *path)
{
    struct ls_buf joined = {0}, out = {0};
    char *working = NULL;
    const char *at;

    if (*path != '/') {
        if (!dir || *dir != '/') {
            working = getcwd(NULL, 0);
            ls_buf_puts(&joined, working ? working : "");
            ls_buf_putc(&joined, '/');
            free(working);
        }
        ls_buf_puts(&joined, dir ? dir : "");
        ls_buf_putc(&joined, '/');
    }
    ls_buf_puts(&joined, path);
    ls_buf_puts(&out, "");
    for (at = joined.data; *at;) {
        size_t length = strcspn(at, "/");

        if (length == 2 && at[0] == '.' && at[1] == '.') {
            while (out.length && out.data[--out.length] != '/')
                ;
        } else if (length && !(length == 1 && *at == '.')) {
            ls_buf_putc(&out, '/');
            ls_buf_add(&out, at, length);
        }
        at += length + (at[length] == '/');
    }
    if (!out.length)
        ls_buf_putc(&out, '/');
    else
        out.data[out.length] = 0;
    ls_buf_fini(&joined);
    return ls_buf_take(&out);
}

/* Edit distance with neighbours swapped counting one, up to 63 characters. */
static int distance(const char *a, const char *b)
{
    int rows[3][64];
    int width = (int)strlen(b), height = (int)strlen(a);

    if (width > 62 || height > 62)
        return 1000;
    for (int x = 0; x <= width; x++)
        rows[0][x] = x;
    for (int y = 1; y <= height; y++) {
        int *row = rows[y % 3];
        const int *above = rows[(y + 2) % 3], *above2 = rows[(y + 1) % 3];

        row[0] = y;
        for (int x = 1; x <= width; x++) {
            int best = above[x - 1] + (a[y - 1] != b[x - 1]);

            if (above[x] + 1 < best)
                best = above[x] + 1;
            if (row[x - 1] + 1 < best)
                best = row[x - 1] + 1;
            if (y > 1 && x > 1 && a[y - 1] == b[x - 2] && a[y - 2] == b[x - 1] &&
                above2[x - 2] + 1 < best)
                best = above2[x - 2] + 1;
            row[x] = best;
        }
    }
    return rows[height % 3][width];
}

const char *ls_config_nearest(const char *text, const char *const *words)
{
    const char *best = NULL;
    int best_distance = 1000;

    for (; *words; words++) {
        int d = distance(text, *words);

        if (d < best_distance) {
            best_distance = d;
            best = *words;
        }
    }
    return best && best_distance <= 1 + (int)strlen(text) / 4 ? best : NULL;
}
