/* Kind `exec`: run a command with `data` on its standard input.
 *
 *   {"command": "/usr/local/bin/resize --fast", ...}
 *
 * `command` must stand in the configuration's `exec.allow`, letter by letter; it is split at
 * blanks, no shell sees it. The whole of `data` goes to its standard input; LOCKSTEP_JOB_ID,
 * LOCKSTEP_QUEUE, LOCKSTEP_KEY, LOCKSTEP_ACCOUNT, LOCKSTEP_ATTEMPT and LOCKSTEP_FENCE (a number that
 * grows with each claim: what remembers the highest can refuse an older run) are in its
 * environment. It runs in a session of its own, which is killed whole when its time is over, when
 * the command has ended, and when this process dies; so is what left the session
 * (worker/orphans.h). A job that is cancelled gets SIGTERM first, and `cancel_grace` to end.
 *
 * Exit 0: done. 64, 65, 66, 126, 127: for good (usage, data, no input, not found). 75 and
 * everything else: again. The first line of what it printed to standard error (to standard output,
 * when there is nothing) becomes the error's text. The result, for who asked:
 * {"exit":0,"output":"..."}, what it printed to standard output; "truncated":true when it was too
 * long. Whatever it prints is read; what nobody keeps is dropped. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/job/json.h"
#include "worker/handlers/handlers_internal.h"
#include "worker/handlers/result.h"
#include "worker/orphans.h"

#define TIMEOUT_MS 60000
#define LINE_BYTES ((size_t)4096) /* kept of what it prints, for an error's text */
#define PIECE_BYTES ((size_t)64 * 1024)
#define REST_PIECES 16 /* at most, read after its end */
#define WORDS_MAX 64
#define VARIABLES 6
#define JSON_DEPTH 64
#define END_ROUNDS 100 /* of END_MS: when the runner ends, so long for the dead to be reaped */
#define END_MS 5

/* What it prints. */
struct printed {
    uv_pipe_t pipe;
    struct ls_buf text;
    size_t keep;
    bool more; /* than was kept */
};

struct command {
    struct command *next;
    struct ls_run *run; /* NULL: cancelled, only waited for */
    struct exec *exec;
    pid_t pid;
    char id[160]; /* of the job */
    uv_pipe_t in; /* its standard input */
    struct printed out, err;
    uv_write_t write;
    char *input;
    int open_handles;
    int status; /* of waitpid */
};

struct exec {
    uv_signal_t child_signal;
    struct command *commands;
    uv_loop_t *loop;
    bool started;
    char piece[PIECE_BYTES]; /* each read goes through it */
};

static void on_child(uv_signal_t *handle, int number);
static void finish(struct command *command);

/* -------- its end -------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct command *command = handle->data;

    if (--command->open_handles > 0)
        return;
    free(command->input);
    ls_buf_fini(&command->out.text);
    ls_buf_fini(&command->err.text);
    free(command);
}

static void close_pipe(uv_pipe_t *pipe)
{
    if (!uv_is_closing((uv_handle_t *)pipe))
        uv_close((uv_handle_t *)pipe, on_handle_closed);
}

static void unlist(struct command *command)
{
    struct command **at = &command->exec->commands;

    while (*at != command)
        at = &(*at)->next;
    *at = command->next;
}

static const char *first_line(const struct ls_buf *text, char *out, size_t size)
{
    size_t length = text->length ? strcspn(text->data, "\r\n") : 0;

    snprintf(out, size, "%.*s", (int)(length < 200 ? length : 200), length ? text->data : "");
    return out;
}

static bool is_for_good(int code)
{
    return code == 64 || code == 65 || code == 66 || code == 126 || code == 127;
}

static void judge(struct command *command, struct ls_err *err)
{
    char line[256];
    int code = WEXITSTATUS(command->status), number = WTERMSIG(command->status);

    if (!first_line(&command->err.text, line, sizeof(line))[0])
        first_line(&command->out.text, line, sizeof(line));
    if (WIFSIGNALED(command->status)) {
        ls_fail(err, LS_E_LOST, "command was killed by signal %d%s%s", number, line[0] ? ": " : "",
                line);
        snprintf(err->reason, sizeof(err->reason), "signal-%d", number);
        return;
    }
    ls_fail(err, is_for_good(code) ? LS_E_PERMANENT : LS_E_TRANSIENT,
            "command failed with exit code %d%s%s", code, line[0] ? ": " : "", line);
    snprintf(err->reason, sizeof(err->reason), "exit-%d", code);
}

static void keep(struct printed *printed, const char *bytes, size_t length)
{
    size_t room = printed->keep - printed->text.length;

    printed->more |= length > room;
    ls_buf_add(&printed->text, bytes, length < room ? length : room);
}

/* What it said and we have not read yet. Not until end of file: what it left in the background may
 * hold the pipe open. */
static void read_rest(struct command *command, struct printed *printed)
{
    struct exec *exec = command->exec;
    uv_os_fd_t fd;
    ssize_t got;
    int i;

    if (uv_is_closing((uv_handle_t *)&printed->pipe) ||
        uv_fileno((uv_handle_t *)&printed->pipe, &fd) < 0)
        return;
    for (i = 0; i < REST_PIECES && (got = read(fd, exec->piece, PIECE_BYTES)) > 0; i++)
        keep(printed, exec->piece, (size_t)got);
}

static void keep_result(struct command *command)
{
    const struct ls_buf *text = &command->out.text;
    struct ls_buf out = {0};
    bool whole;

    if (!ls_run_wants_result(command->run))
        return;
    ls_buf_puts(&out, "{\"exit\":0,\"output\":");
    whole = ls_result_text(&out, text->data ? text->data : "", text->length, LS_RESULT_TEXT_MAX);
    ls_buf_puts(&out, whole && !command->out.more ? "}" : ",\"truncated\":true}");
    ls_run_result(command->run, out.data, out.length, NULL);
    ls_buf_fini(&out);
}

static void finish(struct command *command)
{
    struct ls_run *run = command->run;
    struct ls_err err = LS_ERR_INIT;
    bool ok = WIFEXITED(command->status) && WEXITSTATUS(command->status) == 0;

    read_rest(command, &command->out);
    read_rest(command, &command->err);
    if (run && ok)
        keep_result(command);
    else if (run)
        judge(command, &err);
    unlist(command);
    command->run = NULL;
    close_pipe(&command->in);
    close_pipe(&command->out.pipe);
    close_pipe(&command->err.pipe);
    if (!run)
        return;
    if (ok)
        ls_run_ok(run);
    else
        ls_run_fail(run, &err);
}

/* -------- children -------- */

static bool is_running(void *arg, const char *job_id)
{
    const struct command *command;

    for (command = ((struct exec *)arg)->commands; command; command = command->next)
        if (command->run && strcmp(command->id, job_id) == 0)
            return true;
    return false;
}

static void sweep(struct exec *exec)
{
    struct ls_orphans_view view = {.is_running = is_running, .arg = exec};
    struct command *command;
    size_t count = 0;

    for (command = exec->commands; command; command = command->next)
        count++;
    view.known = ls_xcalloc(count + 1, sizeof(*view.known));
    for (command = exec->commands; command; command = command->next)
        view.known[view.known_count++] = command->pid;
    ls_orphans_sweep(&view);
    free(view.known);
}

/* As long as it is a zombie, its number names nobody else: so the group goes first. */
static bool has_ended(struct command *command)
{
    siginfo_t info = {0};

    if (waitid(P_PID, (id_t)command->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
        if (errno != ECHILD)
            return false;
        command->status = SIGKILL; /* a handler's wait() took it: how it ended is unknown */
        return true;
    }
    if (info.si_pid != command->pid)
        return false;
    kill(-command->pid, SIGKILL); /* what it left behind in its group */
    return waitpid(command->pid, &command->status, 0) == command->pid;
}

static void reap(struct exec *exec)
{
    struct command *command = exec->commands;

    while (command) {
        struct command *next = command->next;

        if (has_ended(command))
            finish(command);
        command = next;
    }
}

static void on_child(uv_signal_t *handle, int number)
{
    struct exec *exec = handle->data;

    reap(exec);
    sweep(exec);
}

/* -------- its input and output -------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct command *command = handle->data;

    *buf = uv_buf_init(command->exec->piece, PIECE_BYTES);
}

static void on_output(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct command *command = stream->data;

    if (got > 0)
        keep(stream == (uv_stream_t *)&command->out.pipe ? &command->out : &command->err, buf->base,
             (size_t)got);
    else if (got < 0)
        uv_read_stop(stream);
}

static void on_written(uv_write_t *request, int status)
{
    struct command *command = request->data;

    close_pipe(&command->in); /* end of input */
}

static void listen_to(struct command *command, struct printed *printed, int fd, size_t bytes)
{
    printed->keep = bytes;
    uv_pipe_init(command->exec->loop, &printed->pipe, 0);
    printed->pipe.data = command;
    command->open_handles++;
    uv_pipe_open(&printed->pipe, fd);
    uv_read_start((uv_stream_t *)&printed->pipe, on_alloc, on_output);
}

static void feed(struct command *command, int fd, struct ls_span data)
{
    uv_pipe_init(command->exec->loop, &command->in, 0);
    command->in.data = command->write.data = command;
    command->open_handles++;
    uv_pipe_open(&command->in, fd);
    command->input = ls_xstrndup(data.data ? data.data : "", data.length);
    if (uv_write(&command->write, (uv_stream_t *)&command->in,
                 &(uv_buf_t){.base = command->input, .len = data.length}, 1, on_written) < 0)
        close_pipe(&command->in);
}

/* -------- starting -------- */

/* All that the child needs, made before the fork: this process has threads, so that the child may
 * not allocate. */
struct launch {
    char **argv, **environment;
    char *variables[VARIABLES];
    int in[2], out[2], err[2];
    sigset_t mask; /* before */
    pid_t parent;
};

static bool is_ours(const char *variable)
{
    static const char *const names[VARIABLES] = {
        "LOCKSTEP_JOB_ID=", "LOCKSTEP_KEY=",     "LOCKSTEP_ACCOUNT=",
        "LOCKSTEP_QUEUE=",  "LOCKSTEP_ATTEMPT=", "LOCKSTEP_FENCE="};
    size_t i;

    for (i = 0; i < VARIABLES; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void make_environment(struct launch *launch, struct ls_run *run)
{
    size_t count = 0, used = 0, i;

    launch->variables[0] = ls_xasprintf("LOCKSTEP_JOB_ID=%.*s", LS_SPAN_ARG(ls_run_id(run)));
    launch->variables[1] = ls_xasprintf("LOCKSTEP_KEY=%.*s", LS_SPAN_ARG(ls_run_key(run)));
    launch->variables[2] = ls_xasprintf("LOCKSTEP_ACCOUNT=%.*s", LS_SPAN_ARG(ls_run_account(run)));
    launch->variables[3] = ls_xasprintf("LOCKSTEP_QUEUE=%s", ls_run_queue(run));
    launch->variables[4] = ls_xasprintf("LOCKSTEP_ATTEMPT=%d", ls_run_attempt(run));
    launch->variables[5] = ls_xasprintf("LOCKSTEP_FENCE=%lld", (long long)ls_run_fence(run));
    while (environ[count])
        count++;
    launch->environment = ls_xcalloc(count + VARIABLES + 1, sizeof(char *));
    for (i = 0; i < VARIABLES; i++)
        launch->environment[used++] = launch->variables[i];
    for (i = 0; i < count; i++)
        if (!is_ours(environ[i]))
            launch->environment[used++] = environ[i];
}

static void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static void launch_fini(struct launch *launch)
{
    size_t i;

    for (i = 0; i < VARIABLES; i++)
        free(launch->variables[i]);
    free(launch->environment);
}

static void say(const char *text)
{
    ssize_t written = write(2, text, strlen(text));

    (void)written;
}

/* In the child, between fork and exec. */
static _Noreturn void become(const struct launch *launch)
{
    sigset_t none;
    int number, fd;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launch->parent)
        _exit(127);
    setsid();
    for (number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(launch->in[0], 0);
    dup2(launch->out[1], 1);
    dup2(launch->err[1], 2);
    if (syscall(SYS_close_range, 3U, ~0U, 0U) < 0)
        for (fd = 3; fd < 65536; fd++)
            close(fd);
    execvpe(launch->argv[0], launch->argv, launch->environment);
    number = errno;
    say(launch->argv[0]);
    say(number == ENOENT   ? ": no such file or directory\n"
        : number == EACCES ? ": permission denied\n"
                           : ": cannot be run\n");
    _exit(number == ENOENT ? 127 : 126);
}

static int open_pipes(struct launch *launch)
{
    if (pipe2(launch->in, O_CLOEXEC) < 0)
        return -1;
    if (pipe2(launch->out, O_CLOEXEC) < 0) {
        close_pair(launch->in);
        return -1;
    }
    if (pipe2(launch->err, O_CLOEXEC) < 0) {
        close_pair(launch->in);
        close_pair(launch->out);
        return -1;
    }
    return 0;
}

/* Signals wait until the child has dispositions of its own: until then they would be this process'. */
static pid_t fork_command(struct launch *launch)
{
    sigset_t all;
    pid_t pid;

    launch->parent = getpid();
    if (open_pipes(launch) < 0)
        return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &launch->mask);
    pid = fork();
    if (pid == 0)
        become(launch);
    pthread_sigmask(SIG_SETMASK, &launch->mask, NULL);
    close(launch->in[0]);
    close(launch->out[1]);
    close(launch->err[1]);
    if (pid < 0) {
        close(launch->in[1]);
        close(launch->out[0]);
        close(launch->err[0]);
    }
    return pid;
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

static void wait_for_children(struct exec *exec)
{
    if (exec->started)
        return;
    exec->started = true;
    ls_orphans_adopt();
    uv_signal_start(&exec->child_signal, on_child, SIGCHLD);
}

static void take(struct exec *exec, struct ls_run *run, const struct launch *launch, pid_t pid)
{
    struct command *command = LS_NEW(struct command);

    command->run = run;
    command->exec = exec;
    command->pid = pid;
    snprintf(command->id, sizeof(command->id), "%.*s", LS_SPAN_ARG(ls_run_id(run)));
    command->next = exec->commands;
    exec->commands = command;
    *ls_run_state(run) = command;
    listen_to(command, &command->out, launch->out[0],
              ls_run_wants_result(run) ? LS_RESULT_TEXT_MAX : LINE_BYTES);
    listen_to(command, &command->err, launch->err[0], LINE_BYTES);
    feed(command, launch->in[1], ls_run_data(run));
}

static void run_words(struct exec *exec, struct ls_run *run, char **words)
{
    struct launch launch = {.argv = words};
    struct ls_err err = LS_ERR_INIT;
    pid_t pid;

    wait_for_children(exec);
    make_environment(&launch, run);
    pid = fork_command(&launch);
    if (pid < 0)
        ls_fail_errno(&err, "cannot start the command");
    launch_fini(&launch);
    if (pid < 0)
        ls_run_fail(run, &err);
    else
        take(exec, run, &launch, pid);
}

static void begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;
    char *line = NULL, *words[WORDS_MAX + 1], *save = NULL, *word;
    int count = 0;

    if (!ls_run_may_write(run))
        ls_fail(&err, LS_E_CANCELLED, "no word from redis for too long");
    else
        line = allowed_command(run, &err);
    for (word = line ? strtok_r(line, " \t", &save) : NULL; word && count < WORDS_MAX;
         word = strtok_r(NULL, " \t", &save))
        words[count++] = word;
    words[count] = NULL;
    if (line && (count == 0 || word))
        ls_fail(&err, LS_E_PERMANENT, "the command has %s words", count == 0 ? "no" : "too many");
    if (err.code != LS_E_NONE)
        ls_run_fail(run, &err);
    else
        run_words(self, run, words);
    free(line);
}

static void signal_group(struct command *command, int number)
{
    if (kill(-command->pid, number) < 0)
        kill(command->pid, number); /* it has not come to setsid yet */
}

static void ask_stop(void *self, struct ls_run *run)
{
    signal_group(*ls_run_state(run), SIGTERM);
}

static void cancel(void *self, struct ls_run *run)
{
    struct command *command = *ls_run_state(run);

    command->run = NULL;
    signal_group(command, SIGKILL); /* on_child reaps it, and what it leaves */
}

/* -------- the whole -------- */

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
                                                   .ask_stop = ask_stop,
                                                   .cancel = cancel,
                                                   .self = exec,
                                                   .timeout_ms = TIMEOUT_MS});
}

/* All were cancelled, so killed. Those that left their group are found when they are reaped; what
 * takes longer comes to the master. */
void ls_exec_free(struct ls_handlers *handlers)
{
    struct exec *exec = handlers->exec;
    struct timespec pause = {.tv_nsec = END_MS * 1000000L};
    int round;

    for (round = 0; exec->started && exec->commands && round < END_ROUNDS; round++) {
        reap(exec);
        sweep(exec);
        if (exec->commands)
            nanosleep(&pause, NULL);
    }
    while (exec->commands) {
        exec->commands->run = NULL;
        finish(exec->commands);
    }
    uv_close((uv_handle_t *)&exec->child_signal, on_signal_closed);
}
