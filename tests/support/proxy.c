#include "tests/support/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "tests/support/temp.h"

#define MAX_PAIRS 64
#define MAX_BUFFERED ((size_t)4 * 1024 * 1024)

struct pair {
    int client, server; /* client -1: a free slot */
    struct ls_buf to_client, to_server;
    int64_t replies_left, requests_left, stall_left; /* -1: no limit */
};

struct shared {
    int cuts;
};

struct whole {
    struct test_proxy proxy;
    struct shared *shared;
};

static int listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    ls_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(fd, 64) == 0);
    return fd;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int64_t limit_of(const struct test_proxy_plan *plan, int64_t bytes)
{
    if (bytes <= 0)
        return -1;
    return plan->jitter ? bytes / 2 + (int64_t)ls_rand_below((uint64_t)bytes) + 1 : bytes;
}

static void close_pair(struct pair *pair)
{
    close(pair->client);
    close(pair->server);
    pair->client = pair->server = -1;
    ls_buf_clear(&pair->to_client);
    ls_buf_clear(&pair->to_server);
}

/* Write what waits; false when the peer is gone. */
static bool drain(int fd, struct ls_buf *buf)
{
    ssize_t put = buf->length ? send(fd, buf->data, buf->length, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

    if (put < 0)
        return errno == EAGAIN;
    ls_buf_consume(buf, (size_t)put);
    return true;
}

/* Move bytes; counts them against *left. 0 fine, 1 the limit is reached, -1 gone. */
static int move(int from, struct ls_buf *buf, int64_t *left)
{
    char bytes[16384];
    ssize_t got;

    if (buf->length > MAX_BUFFERED)
        return 0;
    got = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN ? 0 : -1;
    if (got == 0)
        return -1;
    if (*left >= 0 && got >= *left) {
        ls_buf_add(buf, bytes, (size_t)*left);
        return 1;
    }
    if (*left >= 0)
        *left -= got;
    ls_buf_add(buf, bytes, (size_t)got);
    return 0;
}

static void serve_pair(struct pair *pair, struct shared *shared)
{
    int request = move(pair->client, &pair->to_server, &pair->requests_left);
    int reply = 0;

    if (pair->stall_left != 0) {
        int stalled = move(pair->server, &pair->to_client,
                           pair->stall_left > 0 ? &pair->stall_left : &pair->replies_left);
        if (stalled == 1 && pair->stall_left > 0)
            pair->stall_left = 0;
        else
            reply = stalled;
    }
    if (!drain(pair->server, &pair->to_server) || !drain(pair->client, &pair->to_client))
        request = -1;
    if (request == 1 || reply == 1)
        __atomic_add_fetch(&shared->cuts, 1, __ATOMIC_SEQ_CST);
    if (request || reply)
        close_pair(pair);
}

static void accept_one(int listener, struct pair *pairs, const char *target,
                       const struct test_proxy_plan *plan, int number)
{
    bool cut = plan->cut_connections == 0 || number < plan->cut_connections;
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), i;

    for (i = 0; i < MAX_PAIRS && pairs[i].client >= 0; i++)
        ;
    if (client < 0)
        return;
    int server = i < MAX_PAIRS ? connect_unix(target) : -1;
    if (server < 0) {
        close(client);
        return;
    }
    pairs[i].client = client;
    pairs[i].server = server;
    pairs[i].replies_left = cut ? limit_of(plan, plan->cut_after_reply_bytes) : -1;
    pairs[i].requests_left = cut ? limit_of(plan, plan->cut_after_request_bytes) : -1;
    pairs[i].stall_left = cut ? limit_of(plan, plan->stall_after_reply_bytes) : -1;
}

static void run(int listener, const char *target, const struct test_proxy_plan *plan,
                struct shared *shared)
{
    static struct pair pairs[MAX_PAIRS];
    struct pollfd fds[1 + 2 * MAX_PAIRS];
    int i, number = 0;

    for (i = 0; i < MAX_PAIRS; i++)
        pairs[i].client = pairs[i].server = -1;
    for (;;) {
        fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (i = 0; i < MAX_PAIRS; i++) {
            bool stalled = pairs[i].stall_left == 0;
            fds[1 + 2 * i] = (struct pollfd){
                .fd = pairs[i].client,
                .events = (short)(POLLIN | (pairs[i].to_client.length ? POLLOUT : 0))};
            fds[2 + 2 * i] = (struct pollfd){
                .fd = stalled ? -1 : pairs[i].server,
                .events = (short)(POLLIN | (pairs[i].to_server.length ? POLLOUT : 0))};
        }
        if (poll(fds, LS_COUNT(fds), -1) < 0)
            continue;
        for (i = 0; i < MAX_PAIRS; i++)
            if (pairs[i].client >= 0 && (fds[1 + 2 * i].revents || fds[2 + 2 * i].revents))
                serve_pair(&pairs[i], shared);
        if (fds[0].revents)
            accept_one(listener, pairs, target, plan, number++);
    }
}

struct test_proxy *test_proxy_start(const char *target, const struct test_proxy_plan *plan)
{
    struct whole *whole = LS_NEW(struct whole);
    struct test_proxy *proxy = &whole->proxy;
    pid_t parent = getpid();
    int listener;

    test_temp_dir(proxy->dir, sizeof(proxy->dir));
    snprintf(proxy->socket, sizeof(proxy->socket), "%s/p.sock", proxy->dir);
    snprintf(proxy->url, sizeof(proxy->url), "unix://%s", proxy->socket);
    whole->shared = mmap(NULL, sizeof(*whole->shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ls_assert(whole->shared != MAP_FAILED);
    listener = listen_unix(proxy->socket);
    proxy->pid = fork();
    ls_assert(proxy->pid >= 0);
    if (proxy->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            run(listener, target, plan, whole->shared);
        _exit(0);
    }
    close(listener);
    return proxy;
}

int test_proxy_cuts(struct test_proxy *proxy)
{
    return __atomic_load_n(&((struct whole *)proxy)->shared->cuts, __ATOMIC_SEQ_CST);
}

void test_proxy_stop(struct test_proxy *proxy)
{
    struct whole *whole = (struct whole *)proxy;

    if (!proxy)
        return;
    kill(proxy->pid, SIGKILL);
    waitpid(proxy->pid, NULL, 0);
    munmap(whole->shared, sizeof(*whole->shared));
    test_temp_remove(proxy->dir);
    free(whole);
}
