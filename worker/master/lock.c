#include "worker/master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

#define RETRY_MS 50

static long read_pid(int fd);
static void write_pid(int fd);

int ls_lock_take(const char *path, const char *what, int wait_ms, struct ls_err *err)
{
    int64_t deadline = ls_clock_mono_ms() + wait_ms;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return ls_fail_errno(err, "cannot open lock file '%s'", path);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};

        if (errno != EWOULDBLOCK && errno != EINTR) {
            ls_fail_errno(err, "cannot lock '%s'", path);
            close(fd);
            return -1;
        }
        if (ls_clock_mono_ms() >= deadline) {
            ls_fail(err, LS_E_EXISTS, "%s is in use by another pool (pid %ld)", what, read_pid(fd));
            ls_hint(err, "stop that pool first, or give this one a place of its own");
            close(fd);
            return -1;
        }
        nanosleep(&pause, NULL);
    }
    write_pid(fd);
    return fd;
}

static long read_pid(int fd)
{
    char text[32] = "";
    ssize_t length = pread(fd, text, sizeof text - 1, 0);

    return length > 0 ? strtol(text, NULL, 10) : 0;
}

static void write_pid(int fd)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());

    /* Only for the other pool's message: a full disk must not stop this one. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) != length)
        return;
}
