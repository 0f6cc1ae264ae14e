/* lockstep job: find one job, drop one job. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/queue/push.h"
#include "producer/cli/find.h"
#include "producer/cli/queues.h"

#define LIMIT_DEFAULT 100000

static int show(struct ls_cli *cli, const char *id, const char *queue, int64_t limit);
static int cancel(struct ls_cli *cli, const char *id, const char *queue);

static int run(struct ls_cli *cli, int argc, char **argv)
{
    const char *queue = NULL, *limit_text = NULL;
    const struct ls_cli_option options[] = {
        {"queue", &queue, NULL}, {"limit", &limit_text, NULL}, {0}};
    struct ls_err err = LS_ERR_INIT;
    int64_t limit = LIMIT_DEFAULT;
    int code;

    if (ls_cli_options(cli, options, &argc, &argv, &code) < 0)
        return code;
    if (limit_text && ls_cli_number("--limit", limit_text, 0, INT64_MAX, &limit, &err) < 0)
        return ls_cli_failed(cli, &err);
    if (argc != 2 || !*argv[1] || strlen(argv[1]) > 128)
        return ls_cli_misused(cli, "one verb and one id are needed");
    if (strcmp(argv[0], "show") == 0)
        return show(cli, argv[1], queue, limit);
    if (strcmp(argv[0], "cancel") == 0)
        return cancel(cli, argv[1], queue ? queue : "default");
    return ls_cli_misused(cli, "unknown word '%s'", argv[0]);
}

/* status:<id>, when the job was pushed with one. */
static int read_status(struct ls_cli *cli, const struct ls_keys *keys, struct ls_span id,
                       struct ls_buf *status, struct ls_err *err)
{
    const struct ls_reply *reply;
    char key[LS_KEY_SIZE];
    struct ls_cmd cmd = {0};
    int result;

    ls_cmd_start(&cmd, "GET");
    ls_cmd_puts(&cmd, ls_keys_status(keys, id, key));
    result = ls_cli_send(cli, &cmd, &reply, err);
    ls_cmd_fini(&cmd);
    if (result == 0)
        ls_buf_add(status, ls_reply_span(reply).data, ls_reply_span(reply).length);
    return result;
}

static void print_people(const char *id, const char *queue, const struct ls_find_job *found)
{
    char when[LS_CLOCK_TEXT_SIZE];

    printf("job     ");
    ls_cli_print_safe(stdout, id, strlen(id));
    printf("\nqueue   %s\nstate   %s\n", queue, found->state);
    printf("in      ");
    ls_cli_print_safe(stdout, found->place, strlen(found->place));
    if (found->index >= 0)
        printf(", position %lld", (long long)found->index);
    putchar('\n');
    if (found->due_ms)
        printf("due     %s\n", ls_clock_format(when, found->due_ms));
    if (*found->fence)
        printf("fence   %s\n", found->fence);
    ls_cli_print_safe(stdout, found->text.data, found->text.length);
    putchar('\n');
}

static void print_json(const char *id, const char *queue, const char *state,
                       const struct ls_find_job *found)
{
    struct ls_buf out = {0};

    ls_buf_puts(&out, "{\"id\": ");
    ls_buf_json_string(&out, id, strlen(id));
    ls_buf_printf(&out, ", \"queue\": \"%s\", \"state\": ", queue);
    ls_buf_json_string(&out, state, strlen(state));
    if (found->state) {
        ls_buf_puts(&out, ", \"place\": ");
        ls_buf_json_string(&out, found->place, strlen(found->place));
        if (found->index >= 0)
            ls_buf_printf(&out, ", \"index\": %lld", (long long)found->index);
        if (found->due_ms)
            ls_buf_printf(&out, ", \"due_ms\": %lld", (long long)found->due_ms);
        if (*found->fence)
            ls_buf_printf(&out, ", \"fence\": %s", found->fence);
        ls_buf_puts(&out, ", \"job\": ");
        ls_buf_add(&out, found->text.data, found->text.length);
    }
    ls_buf_puts(&out, "}");
    puts(out.data);
    ls_buf_fini(&out);
}

static int show(struct ls_cli *cli, const char *id, const char *only, int64_t limit)
{
    struct ls_err err = LS_ERR_INIT;
    struct ls_cli_queues queues;
    int result = 0;

    if (ls_cli_queues(cli, &queues, &err) < 0)
        return ls_cli_failed(cli, &err);
    for (size_t i = 0; i < queues.count && result == 0; i++) {
        const char *queue = only ? only : queues.names[i];
        struct ls_find_job found = {0};
        struct ls_buf status = {0};
        struct ls_keys keys = {0};

        result = ls_keys_init(&keys, queue, &err);
        if (result == 0)
            result = read_status(cli, &keys, ls_span_of(id), &status, &err);
        if (result == 0)
            result = ls_find_job(cli, &keys, ls_span_of(id), limit, &found, &err);
        if (result == 1 && cli->json) {
            print_json(id, queue, found.state, &found);
        } else if (result == 1) {
            print_people(id, queue, &found);
        } else if (result == 0 && status.length) { /* it left Redis, but said how */
            result = 1;
            found.index = -1;
            if (cli->json)
                print_json(id, queue, status.data, &found);
            else
                printf("job     %s\nqueue   %s\nstate   %s\n", id, queue, status.data);
        }
        ls_buf_fini(&found.text);
        ls_buf_fini(&status);
        ls_keys_fini(&keys);
        if (only)
            break;
    }
    ls_cli_queues_free(&queues);
    if (result == 0) {
        ls_fail(&err, LS_E_NOT_FOUND, "no job '%s' in Redis", id);
        ls_hint(&err, limit ? "done jobs leave nothing behind; '--limit 0' looks at everything"
                            : "done jobs leave nothing behind");
        result = -1;
    }
    return result < 0 ? ls_cli_failed(cli, &err) : LS_EXIT_OK;
}

static int cancel(struct ls_cli *cli, const char *id, const char *queue)
{
    struct ls_err err = LS_ERR_INIT;
    const struct ls_span span = ls_span_of(id);
    const struct ls_reply *reply;
    struct ls_keys keys = {0};
    struct ls_cmd cmd = {0};
    struct ls_cancelled cancelled = {0};
    int result;

    if (ls_keys_init(&keys, queue, &err) < 0)
        return ls_cli_failed(cli, &err);
    ls_cancel_build(&cmd, &keys, &(struct ls_cancel){.ids = &span, .count = 1});
    result = ls_cli_send(cli, &cmd, &reply, &err);
    if (result == 0)
        result = ls_cancel_parse(reply, &cancelled, &err);
    ls_cmd_fini(&cmd);
    ls_keys_fini(&keys);
    if (result < 0)
        return ls_cli_failed(cli, &err);
    if (cli->json)
        printf("{\"cancelled\": true, \"new\": %s}\n", cancelled.added ? "true" : "false");
    else
        puts(cancelled.added ? "will be dropped when it is claimed" : "was cancelled before");
    return LS_EXIT_OK;
}

const struct ls_command ls_command_job = {
    "job", "find one job",
    "usage: lockstep job show ID [--queue Q] [--limit N]\n"
    "       lockstep job cancel ID [--queue Q]\n\n"
    "There is no index by id: 'show' looks through what runs, waits, is delayed or dead, up to\n"
    "N entries of each (100,000; 0: all), in slices that do not disturb Redis.\n"
    "'cancel' drops a job when its turn comes; one that runs is not stopped.\n",
    run};
