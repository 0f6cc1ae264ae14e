#include "worker/master/spawn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/ipc/message.h"
#include "worker/master/title.h"

static _Noreturn void become_child(const struct ls_spawn *spawn, pid_t master, int control_fd);

pid_t ls_spawn_child(const struct ls_spawn *spawn, int *control_fd, struct ls_err *err)
{
    pid_t master = getpid(), pid;
    int pair[2];

    if (ls_message_pair(pair, err) < 0)
        return -1;
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        ls_fail_errno(err, "cannot fork a %s", ls_role_name(spawn->role));
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    if (pid == 0) {
        close(pair[0]);
        become_child(spawn, master, pair[1]);
    }
    close(pair[1]);
    *control_fd = pair[0];
    return pid;
}

static _Noreturn void become_child(const struct ls_spawn *spawn, pid_t master, int control_fd)
{
    const char *name = ls_role_name(spawn->role);
    struct ls_role_context context = {
        .config = spawn->settings->config,
        .role = name,
        .index = spawn->index,
        .control_fd = control_fd,
        .grace_ms = spawn->settings->shutdown_grace_ms,
        .watchdog_ms = spawn->settings->watchdog_ms,
        .until_empty = spawn->settings->until_empty,
    };
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != master) /* it died between fork and prctl */
        _exit(LS_EXIT_FAILED);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < spawn->close_count; i++)
        close(spawn->close_fds[i]);
    if (spawn->role == LS_ROLE_RUNNER)
        ls_title_set("%s %d", name, spawn->index);
    else
        ls_title_set("%s", name);
    ls_log_set_role(name);
    exit(spawn->settings->run[spawn->role](&context)); /* not _exit: sanitizers report at exit */
}
