#include "worker/orphans.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/job/envelope.h"

#define CHILDREN_BYTES ((size_t)256 * 1024)
#define ENVIRONMENT_BYTES ((size_t)512 * 1024)
#define VARIABLE "LOCKSTEP_JOB_ID="

void ls_orphans_adopt(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* A file of /proc; at most limit bytes. False: there is none. */
static bool read_file(struct ls_buf *out, const char *path, size_t limit)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[4096];
    ssize_t got;

    ls_buf_clear(out);
    if (fd < 0)
        return false;
    while (out->length < limit && (got = read(fd, bytes, sizeof(bytes))) > 0)
        ls_buf_add(out, bytes, (size_t)got);
    close(fd);
    return out->length > 0;
}

/* Its state ('Z': ended) and session. */
static bool look_at(struct ls_buf *scratch, pid_t pid, char *state, pid_t *session)
{
    const char *after;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_file(scratch, path, 4096))
        return false;
    after = strrchr(scratch->data, ')'); /* its name may hold anything */
    return after && sscanf(after + 1, " %c %*d %*d %d", state, session) == 2;
}

/* The job whose command it descends from; false: it does not say. */
static bool job_of(struct ls_buf *scratch, pid_t pid, char id[LS_JOB_ID_MAX + 1])
{
    const char *at, *end;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    if (!read_file(scratch, path, ENVIRONMENT_BYTES))
        return false;
    end = scratch->data + scratch->length;
    for (at = scratch->data; at < end; at += strlen(at) + 1)
        if (strncmp(at, VARIABLE, sizeof(VARIABLE) - 1) == 0) {
            snprintf(id, LS_JOB_ID_MAX + 1, "%s", at + sizeof(VARIABLE) - 1);
            return true;
        }
    return false;
}

static int by_pid(const void *a, const void *b)
{
    pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;

    return left < right ? -1 : left > right;
}

static bool is_known(const struct ls_orphans_view *view, pid_t pid)
{
    return view->known_count > 0 &&
           bsearch(&pid, view->known, view->known_count, sizeof(pid), by_pid) != NULL;
}

/* Whoever is in our session was made by us or by a handler, which waits for it itself. */
static int settle(const struct ls_orphans_view *view, struct ls_buf *scratch, pid_t pid)
{
    char id[LS_JOB_ID_MAX + 1], state;
    pid_t session;

    if (is_known(view, pid) || !look_at(scratch, pid, &state, &session) || session == getsid(0))
        return 0;
    if (state == 'Z') {
        waitpid(pid, NULL, WNOHANG);
        return 0;
    }
    if (!job_of(scratch, pid, id) || (view->is_running && view->is_running(view->arg, id)))
        return 0;
    return kill(pid, SIGKILL) == 0;
}

int ls_orphans_sweep(const struct ls_orphans_view *view)
{
    struct ls_buf children = {0}, scratch = {0};
    char path[64], *at, *end;
    int killed = 0;
    long pid;

    if (view->known_count > 0)
        qsort(view->known, view->known_count, sizeof(*view->known), by_pid);
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    if (read_file(&children, path, CHILDREN_BYTES))
        for (at = children.data; (pid = strtol(at, &end, 10)) > 0; at = end)
            killed += settle(view, &scratch, (pid_t)pid);
    if (killed > 0)
        ls_log(LS_LOG_WARN, "exec.orphans",
               "%d processes that commands of exec jobs had left behind were killed", killed);
    ls_buf_fini(&children);
    ls_buf_fini(&scratch);
    return killed;
}
