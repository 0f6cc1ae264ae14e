#include "producer/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/config/value.h"

/* ---- words ---- */

static int take_option(struct ls_cli *cli, const struct ls_cli_option *options, int argc,
                       char **argv, int at, int *exit_code);

int ls_cli_options(struct ls_cli *cli, const struct ls_cli_option *options, int *argc, char ***argv,
                   int *exit_code)
{
    char **words = *argv + 1;
    int count = *argc - 1, kept = 0;

    for (int i = 0; i < count; i++) {
        int used;

        if (strcmp(words[i], "--") == 0) {
            while (++i < count)
                words[kept++] = words[i];
            break;
        }
        if (words[i][0] != '-' || !words[i][1]) { /* "-" alone is a word: standard input */
            words[kept++] = words[i];
            continue;
        }
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) {
            fputs(cli->command->usage, stdout);
            *exit_code = LS_EXIT_OK;
            return -1;
        }
        used = take_option(cli, options, count, words, i, exit_code);
        if (used < 0)
            return -1;
        i += used - 1;
    }
    *argc = kept;
    *argv = words;
    return 0;
}

void ls_cli_list_add(struct ls_cli_list *list, const char *text)
{
    list->texts = ls_xrealloc(list->texts, (list->count + 1) * sizeof *list->texts);
    list->texts[list->count++] = text;
}

static void give(const struct ls_cli_option *option, const char *text)
{
    if (option->list)
        ls_cli_list_add(option->list, text);
    else
        *option->value = text;
}

/* Words used, or -1. */
static int take_option(struct ls_cli *cli, const struct ls_cli_option *options, int argc,
                       char **argv, int at, int *exit_code)
{
    const struct ls_cli_option globals[] = {{"config", &cli->config_path, NULL},
                                            {"redis", &cli->redis, NULL},
                                            {"json", NULL, &cli->json},
                                            {"quiet", NULL, &cli->quiet},
                                            {0}};
    const struct ls_cli_option *const lists[] = {options, globals};
    const char *word = argv[at];
    const char *names[64] = {NULL};
    const char *near;
    size_t known = 0;

    for (size_t i = 0; i < LS_COUNT(lists); i++) {
        for (const struct ls_cli_option *option = lists[i]; option && option->name; option++) {
            size_t length = strlen(option->name);

            if (known < LS_COUNT(names) - 1)
                names[known++] = option->name;
            if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, option->name, length) != 0 ||
                (word[2 + length] && word[2 + length] != '='))
                continue;
            if (option->flag) {
                if (word[2 + length]) {
                    *exit_code = ls_cli_misused(cli, "'--%s' takes no value", option->name);
                    return -1;
                }
                *option->flag = true;
                return 1;
            }
            if (word[2 + length] == '=') {
                give(option, word + 3 + length);
                return 1;
            }
            if (at + 1 >= argc) {
                *exit_code = ls_cli_misused(cli, "'--%s' needs a value", option->name);
                return -1;
            }
            give(option, argv[at + 1]);
            return 2;
        }
    }
    near = strncmp(word, "--", 2) == 0 ? ls_config_nearest(word + 2, names) : NULL;
    if (near)
        *exit_code = ls_cli_misused(cli, "unknown option '%s': did you mean '--%s'?", word, near);
    else
        *exit_code = ls_cli_misused(cli, "unknown option '%s'", word);
    return -1;
}

int ls_cli_misused(struct ls_cli *cli, const char *format, ...)
{
    struct ls_buf text = {0};
    va_list args;

    va_start(args, format);
    ls_buf_vprintf(&text, format, args);
    va_end(args);
    fputs("lockstep: ", stderr);
    ls_cli_print_safe(stderr, text.data, text.length);
    if (cli->command)
        fprintf(stderr, "\nhint: 'lockstep help %s' shows how it is used\n", cli->command->name);
    else
        fputs("\nhint: 'lockstep help' lists the commands\n", stderr);
    ls_buf_fini(&text);
    return LS_EXIT_USAGE;
}

int ls_cli_failed(struct ls_cli *cli, const struct ls_err *err)
{
    fputs("lockstep: ", stderr);
    ls_cli_print_safe(stderr, err->text, strlen(err->text));
    fputc('\n', stderr);
    if (*err->hint) {
        fputs("hint: ", stderr);
        ls_cli_print_safe(stderr, err->hint, strlen(err->hint));
        fputc('\n', stderr);
    } else if (err->code == LS_E_USAGE && cli->command) {
        fprintf(stderr, "hint: 'lockstep help %s' shows how it is used\n", cli->command->name);
    }
    return err->code == LS_E_USAGE ? LS_EXIT_USAGE : LS_EXIT_FAILED;
}

void ls_cli_note(struct ls_cli *cli, const char *format, ...)
{
    struct ls_buf text = {0};
    va_list args;

    if (cli->quiet)
        return;
    va_start(args, format);
    ls_buf_vprintf(&text, format, args);
    va_end(args);
    ls_cli_print_safe(stderr, text.data, text.length);
    fputc('\n', stderr);
    ls_buf_fini(&text);
}

int64_t ls_cli_duration(const char *option, const char *text, struct ls_err *err)
{
    int64_t ms = ls_duration_parse(text);

    if (ms < 0) {
        ls_fail(err, LS_E_USAGE, "'%s' cannot be '%.60s'", option, text);
        ls_hint(err, "a duration with its unit: 250ms, 10s, 5m, 6h, 7d");
        return -1;
    }
    return ms;
}

int ls_cli_time(const char *option, const char *text, int64_t *ms, struct ls_err *err)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    char *digits_end;

    if (end && strcmp(end, "Z") == 0) {
        *ms = (int64_t)timegm(&tm) * 1000;
        return 0;
    }
    errno = 0;
    *ms = strtoll(text, &digits_end, 10);
    if (*text >= '1' && *text <= '9' && !*digits_end && !errno)
        return 0;
    ls_fail(err, LS_E_USAGE, "'%s' cannot be '%.60s'", option, text);
    return ls_hint(err, "a time in UTC, 2026-11-23T10:00:00Z, or ms since 1970");
}

int ls_cli_number(const char *option, const char *text, int64_t low, int64_t high, int64_t *out,
                  struct ls_err *err)
{
    int64_t value;

    if (ls_config_int(text, &value) < 0 || value < low || value > high) {
        ls_fail(err, LS_E_USAGE, "'%s' cannot be '%.60s'", option, text);
        return ls_hint(err, "a whole number from %lld to %lld", (long long)low, (long long)high);
    }
    *out = value;
    return 0;
}

/* ---- what commands work on ---- */

const struct ls_config *ls_cli_config(struct ls_cli *cli, struct ls_err *err)
{
    if (!cli->config_loaded)
        cli->config_loaded = ls_config_load(cli->config_path, err);
    return cli->config_loaded;
}

const struct ls_config *ls_cli_config_public(struct ls_cli *cli, struct ls_err *err)
{
    if (!cli->config_public)
        cli->config_public = ls_config_load_public(cli->config_path, err);
    return cli->config_public;
}

char *ls_cli_redis_url(struct ls_cli *cli, struct ls_err *err)
{
    const char *url = cli->redis ? cli->redis : getenv("LOCKSTEP_REDIS");
    const struct ls_config *config;

    if (url && *url && strcmp(url, "embedded") != 0)
        return ls_xstrdup(url);
    config = ls_cli_config_public(cli, err);
    return config ? ls_xstrdup(ls_config_redis_url(config)) : NULL;
}

bool ls_cli_no_pool(const struct ls_redis_url *url, struct ls_err *err)
{
    if (!url->path || access(url->path, F_OK) == 0 || errno != ENOENT)
        return false;
    ls_fail(err, LS_E_NETWORK, "no pool is running here: there is no socket '%s'", url->path);
    ls_hint(err, "start one with 'lockstep up', or name a Redis with LOCKSTEP_REDIS");
    return true;
}

struct ls_redis_sync *ls_cli_redis(struct ls_cli *cli, struct ls_err *err)
{
    static const struct ls_redis_sync_options options = {.client_name = "lockstep-cli"};
    struct ls_redis_url url = {0};
    char *text;

    if (cli->redis_open)
        return cli->redis_open;
    text = ls_cli_redis_url(cli, err);
    if (!text)
        return NULL;
    if (ls_redis_url_parse(&url, text, err) == 0) {
        if (!ls_cli_no_pool(&url, err)) {
            cli->redis_open = ls_redis_sync_open(&url, &options, err);
            if (!cli->redis_open && err && err->code == LS_E_NETWORK && url.path)
                ls_hint(err, "no pool is running here: start one with 'lockstep up'");
        }
    }
    ls_redis_url_fini(&url);
    free(text);
    return cli->redis_open;
}

int ls_cli_send(struct ls_cli *cli, const struct ls_cmd *cmd, const struct ls_reply **reply,
                struct ls_err *err)
{
    struct ls_redis_sync *redis = ls_cli_redis(cli, err);

    return redis ? ls_redis_sync_send(redis, cmd, reply, err) : -1;
}

int ls_cli_redis_us(struct ls_cli *cli, int64_t *us, struct ls_err *err)
{
    const struct ls_reply *reply;
    struct ls_cmd cmd = {0};
    int result;

    ls_cmd_start(&cmd, "TIME");
    result = ls_cli_send(cli, &cmd, &reply, err);
    if (result == 0)
        *us = ls_reply_int(ls_reply_item(reply, 0), 0) * 1000000 +
              ls_reply_int(ls_reply_item(reply, 1), 0);
    ls_cmd_fini(&cmd);
    return result;
}

char *ls_cli_sibling(struct ls_cli *cli, const char *name)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash, *path;

    if (length > 0) {
        self[length] = 0;
        slash = strrchr(self, '/');
        *slash = 0;
        path = ls_xasprintf("%s/%s", self, name);
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return ls_xstrdup(name); /* execvp seeks it */
}

/* ---- text from outside ---- */

/* The length of the UTF-8 character at text, 0 when it is broken or one that steers or hides (C0,
 * C1, bidi, zero width). */
static size_t printable_length(const unsigned char *text, size_t left)
{
    size_t length = *text < 0x80 ? 1 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;
    unsigned code;

    if (length > left || !ls_utf8_valid((const char *)text, length))
        return 0;
    if (length == 1)
        return *text >= 32 && *text != 127;
    if (length == 2)
        return text[0] == 0xc2 && text[1] < 0xa0 ? 0 : 2;
    if (length == 3) {
        code = (text[0] & 15u) << 12 | (text[1] & 63u) << 6 | (text[2] & 63u);
        if ((code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
            (code >= 0x2066 && code <= 0x2069) || code == 0xfeff)
            return 0;
    }
    return length;
}

void ls_cli_safe(struct ls_buf *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t take = printable_length((const unsigned char *)text + i, length - i);

        if (take)
            ls_buf_add(out, text + i, take);
        else
            ls_buf_printf(out, "\\x%02x", (unsigned char)text[i]);
        i += take ? take : 1;
    }
}

void ls_cli_print_safe(FILE *stream, const char *text, size_t length)
{
    struct ls_buf out = {0};

    ls_cli_safe(&out, text, length);
    if (out.length)
        fwrite(out.data, 1, out.length, stream);
    ls_buf_fini(&out);
}
