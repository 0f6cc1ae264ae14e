#include "tests/support/temp.h"

#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define PREFIX "/ls-test-"

void test_temp_dir(char *out, size_t size)
{
    const char *top = getenv("TMPDIR");

    if (!top || strlen(top) > 60)
        top = "/tmp";
    snprintf(out, size, "%s" PREFIX "XXXXXX", top);
    ls_assert(mkdtemp(out));
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    return remove(path);
}

void test_temp_remove(const char *dir)
{
    ls_assert(strstr(dir, PREFIX));
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int test_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ls_assert(fd >= 0);
    ls_assert(bind(fd, (struct sockaddr *)&address, size) == 0);
    ls_assert(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

bool test_wait(bool (*condition)(void *arg), void *arg, int64_t timeout_ms)
{
    int64_t deadline_ms = ls_clock_mono_ms() + timeout_ms;

    for (;;) {
        if (condition(arg))
            return true;
        if (ls_clock_mono_ms() >= deadline_ms)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    }
}

/* -------- the log -------- */

static char log_dir[128];
static char log_path[160];
static struct ls_buf log_bytes;

void test_log_start(void)
{
    char sink[192];

    test_temp_dir(log_dir, sizeof(log_dir));
    snprintf(log_path, sizeof(log_path), "%s/log", log_dir);
    snprintf(sink, sizeof(sink), "file:%s", log_path);
    ls_assert(ls_log_open(sink, NULL) == 0);
}

const char *test_log_text(void)
{
    char piece[4096];
    ssize_t got;
    int fd = open(log_path, O_RDONLY | O_CLOEXEC);

    ls_buf_clear(&log_bytes);
    ls_buf_puts(&log_bytes, "");
    while (fd >= 0 && (got = read(fd, piece, sizeof(piece))) > 0)
        ls_buf_add(&log_bytes, piece, (size_t)got);
    if (fd >= 0)
        close(fd);
    return log_bytes.data ? log_bytes.data : "";
}

bool test_log_has(const char *piece)
{
    return strstr(test_log_text(), piece) != NULL;
}

void test_log_stop(void)
{
    ls_log_open("stderr", NULL);
    ls_buf_fini(&log_bytes);
    test_temp_remove(log_dir);
}
