/* lockstep redis-cli: the real redis-cli, at the right Redis. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/cli/cli.h"
#include "producer/cli/rediscli.h"

#define MAX_OWN 12

/* What redis-cli must be told: argv without a password, which goes by the environment, where ps
 * does not show it. */
struct target {
    char *words[MAX_OWN];
    int count;
    char *password;
};

static int target_make(struct target *target, struct ls_cli *cli, bool running, struct ls_err *err)
{
    struct ls_redis_url url = {0};
    char *text = ls_cli_redis_url(cli, err);
    int result = text ? ls_redis_url_parse(&url, text, err) : -1;

    free(text);
    if (result < 0 || (running && ls_cli_no_pool(&url, err))) {
        ls_redis_url_fini(&url);
        return -1;
    }
    target->words[target->count++] = ls_xstrdup("redis-cli");
    if (url.path) {
        target->words[target->count++] = ls_xstrdup("-s");
        target->words[target->count++] = ls_xstrdup(url.path);
    } else {
        target->words[target->count++] = ls_xstrdup("-h");
        target->words[target->count++] = ls_xstrdup(url.host);
        target->words[target->count++] = ls_xstrdup("-p");
        target->words[target->count++] = ls_xasprintf("%d", url.port);
    }
    if (url.db) {
        target->words[target->count++] = ls_xstrdup("-n");
        target->words[target->count++] = ls_xasprintf("%d", url.db);
    }
    if (url.tls)
        target->words[target->count++] = ls_xstrdup("--tls");
    if (url.tls && url.ca_file) {
        target->words[target->count++] = ls_xstrdup("--cacert");
        target->words[target->count++] = ls_xstrdup(url.ca_file);
    }
    if (url.user) {
        target->words[target->count++] = ls_xstrdup("--user");
        target->words[target->count++] = ls_xstrdup(url.user);
    }
    target->password = url.password ? ls_xstrdup(url.password) : NULL;
    ls_redis_url_fini(&url);
    return 0;
}

static void target_fini(struct target *target)
{
    for (int i = 0; i < target->count; i++)
        free(target->words[i]);
    free(target->password);
}

static void add_quoted(struct ls_buf *out, const char *word)
{
    if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "-_./:@%+,")]) {
        ls_buf_puts(out, word);
        return;
    }
    ls_buf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            ls_buf_puts(out, "'\\''");
        else
            ls_buf_putc(out, *word);
    }
    ls_buf_putc(out, '\'');
}

char *ls_cli_redis_line(struct ls_cli *cli, struct ls_err *err)
{
    struct target target = {0};
    struct ls_buf out = {0};

    if (target_make(&target, cli, false, err) < 0) {
        target_fini(&target);
        return NULL;
    }
    if (target.password)
        ls_buf_puts(&out, "REDISCLI_AUTH=... ");
    for (int i = 0; i < target.count; i++) {
        if (i)
            ls_buf_putc(&out, ' ');
        add_quoted(&out, target.words[i]);
    }
    target_fini(&target);
    return ls_buf_take(&out);
}

static int run(struct ls_cli *cli, int argc, char **argv)
{
    struct target target = {0};
    struct ls_err err = LS_ERR_INIT;
    char **words;
    int count = 0;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(cli->command->usage, stdout);
        return LS_EXIT_OK;
    }
    if (target_make(&target, cli, true, &err) < 0) {
        target_fini(&target);
        return ls_cli_failed(cli, &err);
    }
    if (target.password)
        setenv("REDISCLI_AUTH", target.password, 1);
    words = ls_xcalloc((size_t)(target.count + argc), sizeof *words);
    for (int i = 0; i < target.count; i++)
        words[count++] = target.words[i];
    for (int i = 1; i < argc; i++)
        words[count++] = argv[i];
    execvp(words[0], words);
    ls_fail_errno(&err, "cannot run 'redis-cli'");
    ls_hint(&err, "apt-get install redis-tools");
    free(words);
    target_fini(&target);
    return ls_cli_failed(cli, &err);
}

const struct ls_command ls_command_rediscli = {
    "redis-cli", "run redis-cli at the Redis that is in use",
    "usage: lockstep redis-cli [WORDS of redis-cli]\n\n"
    "    lockstep redis-cli LRANGE 'lockstep:{default}:pending' 0 9\n"
    "    lockstep redis-cli HGETALL 'lockstep:{default}:stats'\n\n"
    "Quote the braces. Options of lockstep stand before 'redis-cli'.\n",
    run};
