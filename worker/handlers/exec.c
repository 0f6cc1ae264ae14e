/* Kind `exec`: run a command with `data` on its standard input.
 *
 *   {"command": "/usr/local/bin/resize --fast", ...}
 *
 * `command` must stand in the configuration's `exec.allow`, letter by letter; it is split at
 * blanks, no shell sees it. The whole of `data` goes to its standard input; LOCKSTEP_JOB_ID,
 * LOCKSTEP_QUEUE, LOCKSTEP_KEY, LOCKSTEP_ACCOUNT and LOCKSTEP_ATTEMPT are in its environment. It
 * runs in a process group of its own, which is killed whole when its time is over, when the job is
 * cancelled, or when this process dies.
 *
 * Exit 0: done. 64, 65, 66, 126, 127: for good (usage, data, no input, not found). 75 and
 * everything else: again. The first line of what it printed to standard error becomes the error's
 * text. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/json.h"
#include "worker/handlers/handlers_internal.h"

#define TIMEOUT_MS 60000
#define OUTPUT_BYTES 4096 /* kept of what it prints; the rest is read and dropped */
#define WORDS_MAX 64
#define JSON_DEPTH 64

struct command {
    struct command *next;
    struct ls_run *run; /* NULL: cancelled, only waited for */
    struct exec *exec;
    pid_t pid;
    uv_pipe_t in, out; /* its stdin, its stdout and stderr */
    uv_write_t write;
    char *input;
    int open_handles;
    bool ended;
    int status; /* of waitpid */
    struct ls_buf output;
    char piece[1024];
};

struct exec {
    uv_signal_t child_signal;
    struct command *commands;
    uv_loop_t *loop;
    bool started;
};

static void on_child(uv_signal_t *handle, int number);
static void finish(struct command *command);

/* -------- the command's end -------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct command *command = handle->data;

    if (--command->open_handles > 0 || !command->ended)
        return;
    free(command->input);
    ls_buf_fini(&command->output);
    free(command);
}

static void close_pipes(struct command *command)
{
    if (!uv_is_closing((uv_handle_t *)&command->in))
        uv_close((uv_handle_t *)&command->in, on_handle_closed);
    if (!uv_is_closing((uv_handle_t *)&command->out))
        uv_close((uv_handle_t *)&command->out, on_handle_closed);
}

static void unlist(struct command *command)
{
    struct command **at = &command->exec->commands;

    while (*at != command)
        at = &(*at)->next;
    *at = command->next;
}

/* The first line it printed, for the error's text. */
static const char *first_line(struct command *command, char *out, size_t size)
{
    size_t length = command->output.length ? strcspn(command->output.data, "\r\n") : 0;

    snprintf(out, size, "%.*s", (int)(length < 200 ? length : 200),
             length ? command->output.data : "");
    return out;
}

static bool is_for_good(int code)
{
    return code == 64 || code == 65 || code == 66 || code == 126 || code == 127;
}

static void judge(struct command *command, struct ls_err *err)
{
    char line[256];
    int code = WEXITSTATUS(command->status);

    first_line(command, line, sizeof(line));
    if (WIFSIGNALED(command->status))
        ls_fail(err, LS_E_LOST, "command was killed by signal %d%s%s", WTERMSIG(command->status),
                line[0] ? ": " : "", line);
    else
        ls_fail(err, is_for_good(code) ? LS_E_PERMANENT : LS_E_TRANSIENT,
                "command failed with exit code %d%s%s", code, line[0] ? ": " : "", line);
    snprintf(err->reason, sizeof(err->reason),
             WIFSIGNALED(command->status) ? "signal-%d" : "exit-%d",
             WIFSIGNALED(command->status) ? WTERMSIG(command->status) : code);
}

/* What it said and we have not read yet. Not until end of file: what it left in the background may
 * hold the pipe open. */
static void read_rest(struct command *command)
{
    char bytes[1024];
    uv_os_fd_t fd;
    ssize_t got;

    if (uv_is_closing((uv_handle_t *)&command->out) ||
        uv_fileno((uv_handle_t *)&command->out, &fd) < 0)
        return;
    while (command->output.length < OUTPUT_BYTES && (got = read(fd, bytes, sizeof(bytes))) > 0)
        ls_buf_add(&command->output, bytes, (size_t)got);
}

static void finish(struct command *command)
{
    struct ls_run *run = command->run;
    struct ls_err err = LS_ERR_INIT;
    bool ok = WIFEXITED(command->status) && WEXITSTATUS(command->status) == 0;

    kill(-command->pid, SIGKILL); /* what it left behind in its group */
    read_rest(command);
    if (run && !ok)
        judge(command, &err);
    unlist(command);
    command->run = NULL;
    close_pipes(command);
    if (!run)
        return;
    if (ok)
        ls_run_ok(run);
    else
        ls_run_fail(run, &err);
}

static void on_child(uv_signal_t *handle, int number)
{
    struct exec *exec = handle->data;
    struct command *command = exec->commands;

    while (command) {
        struct command *next = command->next;
        int status;
        if (!command->ended && waitpid(command->pid, &status, WNOHANG) == command->pid) {
            command->ended = true;
            command->status = status;
            finish(command);
        }
        command = next;
    }
}

/* -------- its input and output -------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct command *command = handle->data;

    *buf = uv_buf_init(command->piece, sizeof(command->piece));
}

static void on_output(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct command *command = stream->data;
    size_t room = OUTPUT_BYTES - command->output.length;

    if (got > 0) {
        ls_buf_add(&command->output, buf->base, (size_t)got < room ? (size_t)got : room);
        return;
    }
    if (got == 0)
        return;
    uv_read_stop(stream);
}

static void on_written(uv_write_t *request, int status)
{
    struct command *command = request->data;

    if (!uv_is_closing((uv_handle_t *)&command->in))
        uv_close((uv_handle_t *)&command->in, on_handle_closed); /* end of input */
}

/* -------- starting -------- */

static void set_variable(const char *name, struct ls_span value)
{
    char text[1024];

    snprintf(text, sizeof(text), "%.*s", LS_SPAN_ARG(value));
    setenv(name, text, 1);
}

/* In the child, between fork and exec. This process has no other threads that hold locks of ours.
 */
static _Noreturn void become(struct ls_run *run, char **argv, int in, int out, pid_t parent)
{
    char attempt[16];
    sigset_t none;
    int fd;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    for (fd = 3; fd < 65536; fd++)
        if (close(fd) < 0 && fd > 1024)
            break;
    snprintf(attempt, sizeof(attempt), "%d", ls_run_attempt(run));
    set_variable("LOCKSTEP_JOB_ID", ls_run_id(run));
    set_variable("LOCKSTEP_KEY", ls_run_key(run));
    set_variable("LOCKSTEP_ACCOUNT", ls_run_account(run));
    set_variable("LOCKSTEP_QUEUE", ls_span_of(ls_run_queue(run)));
    set_variable("LOCKSTEP_ATTEMPT", ls_span_of(attempt));
    execvp(argv[0], argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int spawn(struct command *command, char **argv, int in[2], int out[2])
{
    pid_t parent = getpid();

    if (pipe2(in, O_CLOEXEC) < 0)
        return -1;
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return -1;
    }
    command->pid = fork();
    if (command->pid == 0)
        become(command->run, argv, in[0], out[1], parent);
    close(in[0]);
    close(out[1]);
    if (command->pid < 0) {
        close(in[1]);
        close(out[0]);
        return -1;
    }
    return 0;
}

static void listen_to(struct command *command, int in, int out, struct ls_span data)
{
    uv_loop_t *loop = command->exec->loop;

    uv_pipe_init(loop, &command->in, 0);
    uv_pipe_init(loop, &command->out, 0);
    command->in.data = command->out.data = command->write.data = command;
    command->open_handles = 2;
    uv_pipe_open(&command->in, in);
    uv_pipe_open(&command->out, out);
    uv_read_start((uv_stream_t *)&command->out, on_alloc, on_output);
    command->input = ls_xstrndup(data.data ? data.data : "", data.length);
    if (uv_write(&command->write, (uv_stream_t *)&command->in,
                 &(uv_buf_t){.base = command->input, .len = data.length}, 1, on_written) < 0)
        uv_close((uv_handle_t *)&command->in, on_handle_closed);
}

/* The command that data names, if it is allowed. The caller frees. */
static char *allowed_command(struct ls_run *run, struct ls_err *err)
{
    const struct ls_config *config = ls_run_tools(run)->config;
    struct ls_span data = ls_run_data(run), name, value, inside;
    struct ls_buf text = {0};
    struct ls_json json;
    bool first = true, escaped, found = false;
    size_t i;

    ls_json_init(&json, data.data, data.length, JSON_DEPTH);
    if (data.length > 0 && ls_json_open(&json))
        while (!found && ls_json_next(&json, &first, &name, &value))
            if (ls_span_is(name, "command") && ls_json_is_string(value, &inside, &escaped)) {
                ls_json_unescape(&text, inside);
                found = true;
            }
    if (!found) {
        ls_fail(err, LS_E_PERMANENT, "data.command is missing or not a text");
        snprintf(err->reason, sizeof(err->reason), "bad_data");
        return NULL;
    }
    for (i = 0; config && i < config->exec.allow_count; i++)
        if (text.length == strlen(config->exec.allow[i]) &&
            memcmp(text.data, config->exec.allow[i], text.length) == 0)
            return ls_buf_take(&text);
    ls_fail(err, LS_E_PERMANENT, "command '%.200s' is not allowed", text.data ? text.data : "");
    ls_hint(err, "list it in exec.allow of the configuration, exactly as jobs name it");
    snprintf(err->reason, sizeof(err->reason), "not_allowed");
    ls_buf_fini(&text);
    return NULL;
}

static void begin(void *self, struct ls_run *run)
{
    struct exec *exec = self;
    struct ls_err err = LS_ERR_INIT;
    struct command *command;
    char *line, *words[WORDS_MAX + 1], *save = NULL, *word;
    int count = 0, in[2], out[2];

    if (!ls_run_may_write(run)) {
        ls_fail(&err, LS_E_CANCELLED, "no word from redis for too long");
        ls_run_fail(run, &err);
        return;
    }
    line = allowed_command(run, &err);
    if (!line) {
        ls_run_fail(run, &err);
        return;
    }
    for (word = strtok_r(line, " \t", &save); word && count < WORDS_MAX;
         word = strtok_r(NULL, " \t", &save))
        words[count++] = word;
    words[count] = NULL;
    if (!exec->started)
        uv_signal_start(&exec->child_signal, on_child, SIGCHLD);
    exec->started = true;
    command = LS_NEW(struct command);
    command->run = run;
    command->exec = exec;
    if (count == 0 || spawn(command, words, in, out) < 0) {
        ls_fail_errno(&err, "cannot start the command");
        snprintf(err.reason, sizeof(err.reason), "not_started");
        free(command);
        free(line);
        ls_run_fail(run, &err);
        return;
    }
    free(line);
    command->next = exec->commands;
    exec->commands = command;
    *ls_run_state(run) = command;
    listen_to(command, in[1], out[0], ls_run_data(run));
}

static void cancel(void *self, struct ls_run *run)
{
    struct command *command = *ls_run_state(run);

    command->run = NULL;
    kill(-command->pid, SIGKILL);
    kill(command->pid, SIGKILL); /* should it not have come to setsid yet; on_child reaps it */
}

static void on_signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void ls_exec_add(struct ls_handlers *handlers)
{
    struct exec *exec = LS_NEW(struct exec);

    exec->loop = handlers->tools->loop;
    uv_signal_init(exec->loop, &exec->child_signal);
    uv_unref((uv_handle_t *)&exec->child_signal);
    exec->child_signal.data = exec;
    handlers->exec = exec;
    ls_handlers_add(handlers, &(struct ls_handler){.kind = "exec",
                                                   .begin = begin,
                                                   .cancel = cancel,
                                                   .self = exec,
                                                   .timeout_ms = TIMEOUT_MS});
}

void ls_exec_free(struct ls_handlers *handlers)
{
    struct exec *exec = handlers->exec;

    while (exec->commands) { /* killed by their cancel; what has not been waited for yet is now */
        struct command *command = exec->commands;
        kill(-command->pid, SIGKILL);
        kill(command->pid, SIGKILL);
        if (!command->ended)
            waitpid(command->pid, &command->status, 0);
        command->ended = true;
        command->run = NULL;
        finish(command);
    }
    uv_close((uv_handle_t *)&exec->child_signal, on_signal_closed);
}
