/* Replays the transcript of lua/README.md: lines with '$' are run as they stand, lines with '%' are
 * what lockstep does in between, everything else in a code block is the answer that must come. */
#include "tests/lua/harness.h"

#include <ctype.h>

static struct got got;
static struct ls_turn turn;
static struct ls_buf answer; /* of the last command, lines not yet compared */

static char *read_readme(void)
{
    const char *root = getenv("LS_SOURCE_DIR");
    char *path = ls_xasprintf("%s/lua/README.md", root ? root : ".");
    FILE *file = fopen(path, "r");
    struct ls_buf text = {0};
    char chunk[4096];
    size_t length;

    if (!file)
        fail_msg("cannot read %s", path);
    while ((length = fread(chunk, 1, sizeof chunk, file)) > 0)
        ls_buf_add(&text, chunk, length);
    fclose(file);
    free(path);
    return ls_buf_take(&text);
}

/* The next word of a shell line, quotes taken off; NULL at its end. Cuts the line up. */
static char *shell_word(char **line)
{
    char *word, *at = *line;

    while (*at == ' ')
        at++;
    if (!*at)
        return NULL;
    if (*at == '\'') {
        word = ++at;
        at = strchr(at, '\'');
        assert_non_null(at);
    } else {
        word = at;
        while (*at && *at != ' ')
            at++;
    }
    if (*at)
        *at++ = '\0';
    *line = at;
    return word;
}

static void show(const struct ls_reply *reply)
{
    switch (reply->type) {
    case LS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->count; i++)
            show(&reply->items[i]);
        break;
    case LS_REPLY_INTEGER:
        ls_buf_printf(&answer, "%lld\n", (long long)reply->integer);
        break;
    default:
        ls_buf_printf(&answer, "%.*s\n", LS_SPAN_ARG(ls_reply_span(reply)));
    }
}

static void run_shell(char *line)
{
    char *word = shell_word(&line);

    assert_string_equal(word, "redis-cli");
    assert_string_equal(shell_word(&line), "--raw");
    ls_cmd_start(&cmd, shell_word(&line));
    while ((word = shell_word(&line)) != NULL)
        ls_cmd_puts(&cmd, word);
    show(send_cmd());
}

static void settle(void)
{
    struct got after;

    take_turn(&turn, "web1-4711-a", 0, &after);
    assert_int_equal(after.settled, 1);
}

/* Does a line of the transcript say what came? <fence>, <us> and <ms> stand for 16 and 13 digits.
 */
static bool matches(const char *pattern, const char *line)
{
    while (*pattern) {
        size_t digits = strncmp(pattern, "<fence>", 7) == 0 ? 16
                        : strncmp(pattern, "<us>", 4) == 0  ? 16
                        : strncmp(pattern, "<ms>", 4) == 0  ? 13
                                                            : 0;
        if (digits) {
            if (strspn(line, "0123456789") != digits)
                return false;
            line += digits;
            pattern = strchr(pattern, '>') + 1;
        } else if (*pattern++ != *line++) {
            return false;
        }
    }
    return *line == '\0';
}

/* "key K", or an id */
static void cancel(char *line)
{
    struct ls_cancel change = {0};
    struct ls_span id;

    if (strncmp(line, "key ", 4) == 0) {
        change.key = span(line + 4);
    } else {
        id = span(line);
        change.ids = &id;
        change.count = 1;
    }
    ls_cancel_build(&cmd, &keys, &change);
    send_cmd();
}

/* "shop-us rate 2 burst 4 concurrency 1 breaker 5": open for 30 s, at most 10 min */
static void set_account(char *line)
{
    struct ls_limit_change change = LS_LIMIT_KEEP;
    char *word, rule[40];

    change.account = span(shell_word(&line));
    while ((word = shell_word(&line)) != NULL) {
        long value = strtol(shell_word(&line), NULL, 10);

        if (strcmp(word, "rate") == 0) {
            change.rate = (double)value;
        } else if (strcmp(word, "burst") == 0) {
            change.burst = (int)value;
        } else if (strcmp(word, "concurrency") == 0) {
            change.concurrency = value;
        } else {
            assert_string_equal(word, "breaker");
            snprintf(rule, sizeof rule, "%ld 30000 600000", value);
            change.rule = span(rule);
        }
    }
    ls_limit_set_build(&cmd, &keys, &change);
    send_cmd();
}

static void act(char *line)
{
    char *verb = shell_word(&line);
    int64_t fence = got.count ? got.at[0].fence : 0;

    if (strcmp(verb, "join") == 0) {
        join(line);
    } else if (strcmp(verb, "turn") == 0) {
        char *worker = shell_word(&line);

        assert_string_equal(shell_word(&line), "claim");
        take_turn(NULL, worker, (int)strtol(line, NULL, 10), &got);
    } else if (strcmp(verb, "retry") == 0) {
        int64_t delay = strtoll(shell_word(&line), NULL, 10);

        ls_turn_retry(&turn, fence, (struct ls_span){0}, delay, span(line));
        settle();
    } else if (strcmp(verb, "dead") == 0) {
        char *group = shell_word(&line);

        ls_turn_dead(&turn, fence, (struct ls_span){0}, span(line), span(group),
                     span("cannot connect to ?: connection refused"));
        settle();
    } else if (strcmp(verb, "ack") == 0) {
        ls_turn_ack(&turn, fence, span(line));
        settle();
    } else if (strcmp(verb, "push") == 0) {
        int64_t delay = 0;

        if (strncmp(line, "in ", 3) == 0) {
            shell_word(&line);
            delay = strtoll(shell_word(&line), NULL, 10);
        }
        push(line, delay, NULL);
    } else if (strcmp(verb, "key") == 0) {
        char *key = shell_word(&line);

        push_keyed(key, line, 0);
    } else if (strcmp(verb, "debounce") == 0) {
        int64_t pause_ms = strtoll(shell_word(&line), NULL, 10);
        int64_t most_ms = strtoll(shell_word(&line), NULL, 10);
        char *key = shell_word(&line);

        push_ruled(&(struct ls_push_job){.envelope = span(line),
                                         .key = span(key),
                                         .debounce_ms = pause_ms,
                                         .max_wait_ms = most_ms});
    } else if (strcmp(verb, "cancel") == 0) {
        cancel(line);
    } else if (strcmp(verb, "note") == 0) {
        ls_turn_note(&turn, fence, span(line));
        settle();
    } else if (strcmp(verb, "account") == 0) {
        set_account(line);
    } else if (strcmp(verb, "failed") == 0) {
        char *account = shell_word(&line);

        ls_turn_report(&turn, span(account), 0, (int)strtol(line, NULL, 10));
        take_turn(&turn, "web1-4711-a", 0, NULL);
    } else if (strcmp(verb, "park") == 0) {
        char *account = shell_word(&line), *ms = shell_word(&line);
        const struct ls_limit_change change = {.account = span(account),
                                               .rate = -1,
                                               .concurrency = -1,
                                               .park_ms = strtoll(ms, NULL, 10),
                                               .reason = span(line)};

        ls_limit_set_build(&cmd, &keys, &change);
        send_cmd();
    } else {
        fail_msg("unknown action '%s'", verb);
    }
}

static void expect(const char *pattern)
{
    char *end = answer.length ? strchr(answer.data, '\n') : NULL;

    if (!end)
        fail_msg("the transcript has '%s', nothing came", pattern);
    *end = '\0';
    if (!matches(pattern, answer.data))
        fail_msg("the transcript has '%s', what came is '%s'", pattern, answer.data);
    ls_buf_consume(&answer, (size_t)(end + 1 - answer.data));
}

static void transcript__of_the_readme__is_what_redis_cli_shows(void **state)
{
    char *text = read_readme();
    bool inside = false, begun = false;
    int commands = 0;
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        begun = begun || strncmp(line, "## Seen with redis-cli", 22) == 0;
        if (strncmp(line, "```", 3) == 0) {
            inside = !inside;
            continue;
        }
        if (!begun || !inside)
            continue;
        if (line[0] == '$' || line[0] == '%') {
            if (answer.length)
                fail_msg("what came and the transcript lacks: %s", answer.data);
            if (line[0] == '$')
                run_shell(line + 2);
            else
                act(line + 2);
            commands++;
        } else {
            expect(line);
        }
    }
    if (answer.length)
        fail_msg("what came and the transcript lacks: %s", answer.data);
    assert_true(commands > 30);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(transcript__of_the_readme__is_what_redis_cli_shows),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    ls_buf_fini(&answer);
    return failed;
}
