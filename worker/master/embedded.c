#include "worker/master/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/master/lock.h"

#define LOCK_WAIT_MS 3000 /* a server that just lost its master needs some 0.3 s to end */
#define PING_DEADLINE_MS 200
#define RETRY_MS 5

static const char *const servers[] = {"redis-server", "valkey-server"};

static int make_directory(const char *path, struct ls_err *err);
static int check_ours(const char *path, struct ls_err *err);
static char *absolute(const char *path);
static _Noreturn void become_server(const struct ls_embedded *embedded, pid_t master,
                                    int report_fd);
static bool answers_ping(const char *socket_path);
static int tell_early_end(struct ls_embedded *embedded, int status, struct ls_err *err);
static void last_log_line(const struct ls_embedded *embedded, char *out, size_t size);
static bool stop_is_pending(void);

int ls_embedded_open(struct ls_embedded *embedded, const char *state_dir, const char *socket_path,
                     struct ls_err *err)
{
    char path[PATH_MAX], what[PATH_MAX];
    char *parent, *slash;

    *embedded = (struct ls_embedded){.lock_fd = -1};
    if (strlen(socket_path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        ls_fail(err, LS_E_CONFIG, "the socket's name '%s' is too long", socket_path);
        return ls_hint(err, "choose a shorter state_dir");
    }
    if (make_directory(state_dir, err) < 0)
        return -1;
    parent = ls_xstrdup(socket_path);
    slash = strrchr(parent, '/');
    if (slash && slash != parent) {
        *slash = 0;
        if (make_directory(parent, err) < 0 || check_ours(parent, err) < 0) {
            free(parent);
            return -1;
        }
    }
    free(parent);
    /* Absolute: redis-server enters its directory before it opens the other two. */
    embedded->state_dir = realpath(state_dir, NULL);
    embedded->socket_path = absolute(socket_path);
    if (!embedded->state_dir ||
        snprintf(path, sizeof path, "%s/pool.lock", embedded->state_dir) >= (int)sizeof path)
        return ls_fail(err, LS_E_CONFIG, "cannot resolve state_dir '%s'", state_dir);
    snprintf(what, sizeof what, "state_dir '%s'", state_dir);
    embedded->lock_fd = ls_lock_take(path, what, LOCK_WAIT_MS, err);
    return embedded->lock_fd < 0 ? -1 : 0;
}

int ls_embedded_start(struct ls_embedded *embedded, struct ls_err *err)
{
    pid_t master = getpid();
    int report[2], child_errno = 0;
    ssize_t got;

    if (pipe2(report, O_CLOEXEC) < 0)
        return ls_fail_errno(err, "cannot make a pipe");
    embedded->pid = fork();
    if (embedded->pid < 0) {
        embedded->pid = 0;
        ls_fail_errno(err, "cannot fork redis-server");
        close(report[0]);
        close(report[1]);
        return -1;
    }
    if (embedded->pid == 0)
        become_server(embedded, master, report[1]);
    close(report[1]);
    do
        got = read(report[0], &child_errno, sizeof child_errno);
    while (got < 0 && errno == EINTR);
    close(report[0]);
    if (got == sizeof child_errno) { /* exec failed: the pipe was not closed by it */
        waitpid(embedded->pid, NULL, 0);
        embedded->pid = 0;
        errno = child_errno;
        ls_fail_errno(err, "cannot run 'redis-server'");
        return ls_hint(
            err,
            "apt-get install redis-server, or set 'redis: redis://HOST:PORT' to use another one");
    }
    return 0;
}

int ls_embedded_wait(struct ls_embedded *embedded, int timeout_ms, struct ls_err *err)
{
    int64_t deadline = ls_clock_mono_ms() + timeout_ms;
    char line[256];

    while (!answers_ping(embedded->socket_path)) {
        struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
        int status;

        if (waitpid(embedded->pid, &status, WNOHANG) == embedded->pid)
            return tell_early_end(embedded, status, err);
        if (stop_is_pending())
            return ls_fail(err, LS_E_CANCELLED, "stopped while redis-server was starting");
        if (ls_clock_mono_ms() >= deadline) {
            last_log_line(embedded, line, sizeof line);
            ls_fail(err, LS_E_TIMEOUT,
                    "redis-server does not answer on '%s' after %d ms; its last words: %s",
                    embedded->socket_path, timeout_ms, line);
            return ls_hint(err, "see '%s/redis.log'", embedded->state_dir);
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

void ls_embedded_close(struct ls_embedded *embedded)
{
    if (embedded->lock_fd >= 0)
        close(embedded->lock_fd);
    embedded->lock_fd = -1;
    free(embedded->state_dir);
    free(embedded->socket_path);
    embedded->state_dir = embedded->socket_path = NULL;
}

static int make_directory(const char *path, struct ls_err *err)
{
    char *copy = ls_xstrdup(path);
    int result = 0;

    for (char *at = copy + 1; result == 0; at++) {
        char saved = *at;

        if (saved != '/' && saved != 0)
            continue;
        *at = 0;
        if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
            result = ls_fail_errno(err, "cannot make directory '%s'", copy);
            ls_hint(err, "create it, or set state_dir to a place that this user can write");
        }
        *at = saved;
        if (!saved)
            break;
    }
    free(copy);
    return result;
}

/* The socket may lie under /tmp, where somebody else could have made its directory before us. */
static int check_ours(const char *path, struct ls_err *err)
{
    struct stat status;

    if (lstat(path, &status) < 0)
        return ls_fail_errno(err, "cannot look at directory '%s'", path);
    if (S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
        !(status.st_mode & (S_IWGRP | S_IWOTH)))
        return 0;
    ls_fail(err, LS_E_CONFIG,
            "the directory '%s' of the Redis socket belongs to or can be written by others", path);
    return ls_hint(err, "remove it or its write permission, or choose another state_dir");
}

static char *absolute(const char *path)
{
    char here[PATH_MAX];

    if (path[0] == '/' || !getcwd(here, sizeof here))
        return ls_xstrdup(path);
    return ls_xasprintf("%s/%s", here, path);
}

static _Noreturn void become_server(const struct ls_embedded *embedded, pid_t master, int report_fd)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDWR), failure;
    char log_path[PATH_MAX];
    ssize_t ignored;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C in a terminal is for the master */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != master)
        _exit(1);
    if (null_fd >= 0) {
        dup2(null_fd, STDIN_FILENO);
        dup2(null_fd, STDOUT_FILENO);
    }
    fcntl(embedded->lock_fd, F_SETFD, 0); /* the server holds the lock too */
    snprintf(log_path, sizeof log_path, "%s/redis.log", embedded->state_dir);
    for (size_t i = 0; i < LS_COUNT(servers); i++)
        execlp(servers[i], servers[i], "--port", "0", "--unixsocket", embedded->socket_path,
               "--unixsocketperm", "600", "--dir", embedded->state_dir, "--appendonly", "yes",
               "--appendfsync", "everysec", "--save", "", "--daemonize", "no", "--logfile",
               log_path, "--maxmemory-policy", "noeviction", (char *)NULL);
    failure = errno;
    ignored = write(report_fd, &failure, sizeof failure);
    (void)ignored;
    _exit(127);
}

static bool answers_ping(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[16] = "";
    bool ready = false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};

        ready = poll(&wait, 1, PING_DEADLINE_MS) == 1 &&
                recv(fd, answer, sizeof answer - 1, 0) > 0 && strncmp(answer, "+PONG", 5) == 0;
    }
    close(fd);
    return ready;
}

static int tell_early_end(struct ls_embedded *embedded, int status, struct ls_err *err)
{
    char line[256];

    embedded->pid = 0;
    last_log_line(embedded, line, sizeof line);
    ls_fail(err, LS_E_REDIS, "redis-server ended while starting (%s %d); its last words: %s",
            WIFSIGNALED(status) ? "signal" : "exit",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), line);
    return ls_hint(err, "see '%s/redis.log'", embedded->state_dir);
}

static void last_log_line(const struct ls_embedded *embedded, char *out, size_t size)
{
    char path[PATH_MAX], tail[2048], *line, *end;
    ssize_t length = 0;
    off_t from;
    int fd;

    snprintf(out, size, "(nothing)");
    snprintf(path, sizeof path, "%s/redis.log", embedded->state_dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    from = lseek(fd, 0, SEEK_END) - (off_t)(sizeof tail - 1);
    length = pread(fd, tail, sizeof tail - 1, from > 0 ? from : 0);
    close(fd);
    if (length <= 0)
        return;
    tail[length] = 0;
    for (end = tail + length; end > tail && (end[-1] == '\n' || end[-1] == '\r'); end--)
        ;
    *end = 0;
    line = strrchr(tail, '\n');
    snprintf(out, size, "%.200s", line ? line + 1 : tail);
}

static bool stop_is_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT));
}
