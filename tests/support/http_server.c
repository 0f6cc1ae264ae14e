#include "tests/support/http_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

#define MAX_PEERS 512
#define MAX_KEPT 1000
#define KEPT_BYTES 8192
#define MAX_REQUEST ((size_t)4 * 1024 * 1024)

struct shared {
    int requests;
    int connections;
    char kept[MAX_KEPT][KEPT_BYTES];
};

struct test_http {
    pid_t pid;
    char url[64];
    struct shared *shared;
};

struct peer {
    int fd; /* -1: free */
    struct ls_buf in, out;
    int64_t answer_at_ms; /* a delayed answer: out is held back until then; 0: none */
    int64_t close_at_ms;  /* 0: not */
    bool head_only;       /* answering a HEAD */
    bool mute;            /* reads, never answers again */
};

static void close_peer(struct peer *peer)
{
    close(peer->fd);
    ls_buf_fini(&peer->in);
    ls_buf_fini(&peer->out);
    *peer = (struct peer){.fd = -1};
}

static void reset_peer(struct peer *peer)
{
    struct linger linger = {.l_onoff = 1};

    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close_peer(peer);
}

static void answer(struct peer *peer, int status, const char *extra, const char *body,
                   size_t length)
{
    ls_buf_printf(&peer->out,
                  "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\nDate: Sun, 06 Nov 1994 08:49:37 "
                  "GMT\r\n%s\r\n",
                  status, length, extra);
    if (!peer->head_only)
        ls_buf_add(&peer->out, body, length);
}

static long number_after(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0 ? strtol(path + strlen(prefix), NULL, 10)
                                                      : -1;
}

/* Do what the path asks for. */
static void perform(struct peer *peer, const char *path, const char *request, size_t head,
                    const char *body, size_t body_length)
{
    int64_t now = ls_clock_mono_ms();
    char text[64];
    long n;

    if ((n = number_after(path, "/status/")) > 0) {
        snprintf(text, sizeof(text), "status %ld", n);
        answer(peer, (int)n, "", text, strlen(text));
    } else if ((n = number_after(path, "/retry/")) >= 0) {
        snprintf(text, sizeof(text), "Retry-After: %ld\r\n", n);
        answer(peer, 429, text, "slow down", 9);
    } else if ((n = number_after(path, "/delay/")) >= 0) {
        answer(peer, 200, "", "late", 4);
        peer->answer_at_ms = now + n;
    } else if ((n = number_after(path, "/big/")) >= 0) {
        char *big = ls_xcalloc(1, (size_t)n + 1);
        memset(big, 'x', (size_t)n);
        answer(peer, 200, "", big, (size_t)n);
        free(big);
    } else if (strcmp(path, "/echo") == 0) {
        answer(peer, 200, "", body, body_length);
    } else if (strcmp(path, "/headers") == 0) {
        answer(peer, 200, "X-WP-Total: 42\r\nLink: <http://x/?page=2>; rel=\"next\"\r\n", request,
               head);
    } else if (strcmp(path, "/close") == 0) {
        close_peer(peer);
    } else if (strcmp(path, "/reset") == 0) {
        reset_peer(peer);
    } else if (strcmp(path, "/close-after") == 0) {
        answer(peer, 200, "", "bye", 3);
        peer->close_at_ms = now + 20;
    } else if (strcmp(path, "/stall") == 0) {
        peer->mute = true;
    } else if (strcmp(path, "/half") == 0) {
        ls_buf_puts(&peer->out, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        peer->mute = true;
    } else if (strcmp(path, "/junk") == 0) {
        ls_buf_puts(&peer->out, "\x01\x02 this is not HTTP at all\r\n\r\n");
        peer->close_at_ms = now + 20;
    } else if (strcmp(path, "/budget") == 0) {
        answer(peer, 200, "RateLimit-Policy: \"d\";q=100;w=20\r\nRateLimit: \"d\";r=60;t=5\r\n",
               "ok", 2);
    } else if (strcmp(path, "/exhausted") == 0) {
        answer(peer, 429, "RateLimit-Limit: 100\r\nRateLimit-Reset: 1\r\n", "slow down", 9);
    } else if (strcmp(path, "/html") == 0) {
        answer(peer, 200, "Content-Type: text/html\r\n", "<html>hello</html>", 18);
    } else {
        answer(peer, 200, "", "ok", 2);
    }
}

/* A whole request at the head of peer->in? Serve it, drop it; false: more bytes are needed. */
static bool serve_one(struct peer *peer, struct shared *shared)
{
    char *end = peer->in.length ? strstr(peer->in.data, "\r\n\r\n") : NULL, *length_at;
    char path[512] = "";
    size_t head, body = 0, whole;
    struct ls_buf request;

    if (!end || peer->mute || peer->answer_at_ms)
        return false;
    head = (size_t)(end - peer->in.data) + 4;
    length_at = strcasestr(peer->in.data, "content-length:");
    if (length_at && length_at < end)
        body = (size_t)strtoul(length_at + 15, NULL, 10);
    whole = head + body;
    if (peer->in.length < whole)
        return false;
    sscanf(peer->in.data, "%*s %511s", path);
    path[strcspn(path, "?")] = '\0';
    if (shared->requests < MAX_KEPT) {
        size_t size = whole < KEPT_BYTES - 1 ? whole : KEPT_BYTES - 1;
        memcpy(shared->kept[shared->requests], peer->in.data, size);
        shared->kept[shared->requests][size] = '\0';
    }
    request = (struct ls_buf){0};
    ls_buf_add(&request, peer->in.data, whole);
    ls_buf_consume(&peer->in, whole);
    __atomic_add_fetch(&shared->requests, 1, __ATOMIC_SEQ_CST);
    peer->head_only = strncmp(request.data, "HEAD ", 5) == 0;
    perform(peer, path, request.data, head, request.data + head, body);
    ls_buf_fini(&request);
    return peer->fd >= 0;
}

static void read_peer(struct peer *peer, struct shared *shared)
{
    char bytes[65536];
    ssize_t got = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            close_peer(peer);
        return;
    }
    if (peer->in.length + (size_t)got > MAX_REQUEST) {
        close_peer(peer);
        return;
    }
    ls_buf_add(&peer->in, bytes, (size_t)got);
    while (peer->fd >= 0 && serve_one(peer, shared))
        ;
}

static void write_peer(struct peer *peer)
{
    ssize_t put = send(peer->fd, peer->out.data, peer->out.length, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (put > 0)
        ls_buf_consume(&peer->out, (size_t)put);
    else if (put < 0 && errno != EAGAIN)
        close_peer(peer);
}

static void serve_peer(struct peer *peer, short events, struct shared *shared)
{
    int64_t now = ls_clock_mono_ms();

    if (events)
        read_peer(peer, shared);
    if (peer->fd >= 0 && peer->answer_at_ms && peer->answer_at_ms <= now) {
        peer->answer_at_ms = 0;
        write_peer(peer);
        while (peer->fd >= 0 && serve_one(peer, shared))
            ;
    }
    if (peer->fd >= 0 && peer->out.length && !peer->answer_at_ms)
        write_peer(peer);
    if (peer->fd >= 0 && peer->close_at_ms && peer->close_at_ms <= now)
        close_peer(peer);
}

static void run(int listener, struct shared *shared)
{
    static struct peer peers[MAX_PEERS];
    static struct pollfd fds[MAX_PEERS + 1];
    int i;

    for (i = 0; i < MAX_PEERS; i++)
        peers[i].fd = -1;
    for (;;) {
        int64_t now = ls_clock_mono_ms(), next = now + 1000;
        for (i = 0; i < MAX_PEERS; i++) {
            bool out = peers[i].out.length && !peers[i].answer_at_ms;
            fds[i] =
                (struct pollfd){.fd = peers[i].fd, .events = (short)(POLLIN | (out ? POLLOUT : 0))};
            if (peers[i].answer_at_ms && peers[i].answer_at_ms < next)
                next = peers[i].answer_at_ms;
            if (peers[i].close_at_ms && peers[i].close_at_ms < next)
                next = peers[i].close_at_ms;
        }
        fds[MAX_PEERS] = (struct pollfd){.fd = listener, .events = POLLIN};
        poll(fds, MAX_PEERS + 1, next > now ? (int)(next - now) : 0);
        for (i = 0; i < MAX_PEERS; i++)
            if (peers[i].fd >= 0)
                serve_peer(&peers[i], fds[i].revents, shared);
        if (!fds[MAX_PEERS].revents)
            continue;
        for (i = 0; i < MAX_PEERS && peers[i].fd >= 0; i++)
            ;
        if (i == MAX_PEERS)
            continue;
        peers[i].fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peers[i].fd >= 0)
            __atomic_add_fetch(&shared->connections, 1, __ATOMIC_SEQ_CST);
    }
}

struct test_http *test_http_start(void)
{
    struct test_http *server = LS_NEW(struct test_http);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    pid_t parent = getpid();

    ls_assert(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
              listen(listener, 512) == 0);
    ls_assert(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    server->shared = mmap(NULL, sizeof(*server->shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ls_assert(server->shared != MAP_FAILED);
    server->pid = fork();
    ls_assert(server->pid >= 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            run(listener, server->shared);
        _exit(0);
    }
    close(listener);
    return server;
}

void test_http_stop(struct test_http *server)
{
    if (!server)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    munmap(server->shared, sizeof(*server->shared));
    free(server);
}

const char *test_http_url(const struct test_http *server)
{
    return server->url;
}

int test_http_requests(const struct test_http *server)
{
    return __atomic_load_n(&server->shared->requests, __ATOMIC_SEQ_CST);
}

int test_http_connections(const struct test_http *server)
{
    return __atomic_load_n(&server->shared->connections, __ATOMIC_SEQ_CST);
}

const char *test_http_request(const struct test_http *server, int i)
{
    return i < test_http_requests(server) && i < MAX_KEPT ? server->shared->kept[i] : NULL;
}
