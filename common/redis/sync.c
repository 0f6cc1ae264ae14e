#include "common/redis/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/hello_internal.h"
#include "common/redis/tls.h"

#define DEFAULT_TIMEOUT_MS 5000
#define WRITE_AHEAD_BYTES ((size_t)256 * 1024) /* append writes once this much is queued */
#define MAX_SCRIPTS 32

struct ls_redis_sync {
    struct ls_redis_url url;
    char *client_name;
    int64_t connect_timeout_ms, timeout_ms;
    int fd; /* -1: broken */
    struct ls_tls *tls;
    struct ls_reply_reader *reader;
    struct ls_redis_facts facts;
    struct ls_buf out;    /* requests not yet handed to the socket */
    struct ls_buf cipher; /* TLS: records not yet written */
    struct ls_buf plain;  /* TLS: scratch for what was decrypted */
    struct ls_buf expect; /* a byte an answer to come: 'a' for the caller, 's' ours, skipped */
    size_t answers;       /* 'a's in expect */
    const struct ls_script *loaded[MAX_SCRIPTS];
    int loaded_count;
};

static int broken(struct ls_redis_sync *sync, enum ls_err_code code, const char *why,
                  struct ls_err *err)
{
    if (sync->fd >= 0)
        close(sync->fd);
    sync->fd = -1;
    if (code == LS_E_LOST)
        return ls_fail(err, code, "lost redis at '%s': %s", sync->url.shown, why);
    return ls_redis_unreachable(&sync->url, code, why, err);
}

/* -------- bytes -------- */

/* Wait for events until the deadline: 1 ready, 0 deadline, -1 poll failed. */
static int wait_for(int fd, short events, int64_t deadline_ms, short *got)
{
    struct pollfd item = {.fd = fd, .events = events};

    for (;;) {
        int64_t left = deadline_ms - ls_clock_mono_ms();
        int result = poll(&item, 1, left > 0 ? (int)(left > 1000000 ? 1000000 : left) : 0);
        if (result < 0 && errno == EINTR)
            continue;
        if (got)
            *got = item.revents;
        if (result == 0 && left > 1000000)
            continue;
        return result;
    }
}

static int feed(struct ls_redis_sync *sync, const char *bytes, size_t length, struct ls_err *err)
{
    if (!sync->tls) {
        ls_reply_reader_feed(sync->reader, bytes, length);
        return 0;
    }
    ls_buf_clear(&sync->plain);
    if (ls_tls_feed(sync->tls, bytes, length, &sync->plain, err) < 0)
        return -1;
    ls_tls_drain(sync->tls, &sync->cipher);
    if (sync->plain.length > 0)
        ls_reply_reader_feed(sync->reader, sync->plain.data, sync->plain.length);
    return 0;
}

/* Read what is there. */
static int pull(struct ls_redis_sync *sync, struct ls_err *err)
{
    char bytes[16384];
    ssize_t got = recv(sync->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0)
        return broken(sync, LS_E_LOST, strerror(errno), err);
    if (got == 0)
        return broken(sync, LS_E_LOST, "it closed the connection", err);
    if (feed(sync, bytes, (size_t)got, err) < 0) {
        close(sync->fd);
        sync->fd = -1;
        return ls_wrap(err, "lost redis at '%s'", sync->url.shown);
    }
    return 0;
}

/* Write all that is queued, reading meanwhile so that neither side waits for the other. */
static int push(struct ls_redis_sync *sync, int64_t deadline_ms, struct ls_err *err)
{
    struct ls_buf *out = sync->tls ? &sync->cipher : &sync->out;
    size_t done = 0;

    if (sync->tls && ls_tls_is_ready(sync->tls) && sync->out.length > 0) {
        if (ls_tls_write(sync->tls, sync->out.data, sync->out.length, err) < 0)
            return -1;
        ls_buf_clear(&sync->out);
    }
    if (sync->tls)
        ls_tls_drain(sync->tls, &sync->cipher);
    while (done < out->length) {
        ssize_t put =
            send(sync->fd, out->data + done, out->length - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        short got = 0;
        if (put > 0) {
            done += (size_t)put;
            continue;
        }
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EAGAIN)
            return broken(sync, LS_E_LOST, strerror(errno), err);
        ls_buf_consume(out, done);
        done = 0;
        if (wait_for(sync->fd, POLLIN | POLLOUT, deadline_ms, &got) <= 0)
            return broken(sync, LS_E_LOST, "it does not read what we send", err);
        if ((got & POLLIN) && pull(sync, err) < 0)
            return -1;
    }
    ls_buf_consume(out, done);
    return 0;
}

static int next_reply(struct ls_redis_sync *sync, int64_t deadline_ms,
                      const struct ls_reply **reply, struct ls_err *err)
{
    for (;;) {
        int got = ls_reply_reader_next(sync->reader, reply, err);
        if (got == 1)
            return 0;
        if (got < 0) {
            close(sync->fd);
            sync->fd = -1;
            return ls_wrap(err, "lost redis at '%s'", sync->url.shown);
        }
        if (sync->cipher.length > 0 && push(sync, deadline_ms, err) < 0)
            return -1;
        got = wait_for(sync->fd, POLLIN, deadline_ms, NULL);
        if (got == 0)
            return broken(sync, LS_E_LOST, "no answer within the deadline", err);
        if (got < 0)
            return broken(sync, LS_E_LOST, strerror(errno), err);
        if (pull(sync, err) < 0)
            return -1;
    }
}

/* -------- connecting -------- */

static int connect_address(const struct sockaddr *address, socklen_t size, int64_t deadline_ms)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failure = 0;
    socklen_t failure_size = sizeof(failure);

    if (fd < 0)
        return -1;
    if (connect(fd, address, size) < 0) {
        failure = errno;
        if (failure == EINPROGRESS) {
            if (wait_for(fd, POLLOUT, deadline_ms, NULL) <= 0)
                failure = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_size) < 0)
                failure = errno;
        }
    }
    if (failure) {
        close(fd);
        errno = failure;
        return -1;
    }
    return fd;
}

static int connect_unix(struct ls_redis_sync *sync, int64_t deadline_ms, struct ls_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", sync->url.path);
    sync->fd = connect_address((struct sockaddr *)&address, sizeof(address), deadline_ms);
    return sync->fd < 0 ? broken(sync, LS_E_NETWORK, strerror(errno), err) : 0;
}

static int connect_tcp(struct ls_redis_sync *sync, int64_t deadline_ms, struct ls_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL, *at;
    char port[8];
    int failure, on = 1;

    snprintf(port, sizeof(port), "%d", sync->url.port);
    failure = getaddrinfo(sync->url.host, port, &hints, &list);
    if (failure)
        return broken(sync, LS_E_NETWORK, gai_strerror(failure), err);
    errno = ECONNREFUSED;
    for (at = list; at && sync->fd < 0; at = at->ai_next)
        sync->fd = connect_address(at->ai_addr, at->ai_addrlen, deadline_ms);
    freeaddrinfo(list);
    if (sync->fd < 0)
        return broken(sync, errno == ETIMEDOUT ? LS_E_TIMEOUT : LS_E_NETWORK, strerror(errno), err);
    setsockopt(sync->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(sync->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    return 0;
}

static int start_tls(struct ls_redis_sync *sync, int64_t deadline_ms, struct ls_err *err)
{
    sync->tls = ls_tls_new(sync->url.host, sync->url.ca_file, err);
    if (!sync->tls)
        return -1;
    while (!ls_tls_is_ready(sync->tls)) {
        if (push(sync, deadline_ms, err) < 0)
            return -1;
        if (ls_tls_is_ready(sync->tls))
            break;
        if (wait_for(sync->fd, POLLIN, deadline_ms, NULL) <= 0)
            return broken(sync, LS_E_TIMEOUT, "no answer to the TLS handshake", err);
        if (pull(sync, err) < 0)
            return -1;
    }
    return 0;
}

static int say_hello(struct ls_redis_sync *sync, int64_t deadline_ms, struct ls_err *err)
{
    struct ls_hello hello;
    const struct ls_reply *reply;

    ls_hello_begin(&hello, &sync->url, sync->client_name, &sync->out);
    if (push(sync, deadline_ms, err) < 0)
        return -1;
    while (hello.next < hello.count) {
        if (next_reply(sync, deadline_ms, &reply, err) < 0)
            return -1;
        if (ls_hello_answer(&hello, &sync->url, reply, &sync->facts, err) < 0)
            return -1;
    }
    return 0;
}

static void forget(struct ls_redis_sync *sync)
{
    if (sync->fd >= 0)
        close(sync->fd);
    sync->fd = -1;
    ls_tls_free(sync->tls);
    sync->tls = NULL;
    ls_reply_reader_free(sync->reader);
    sync->reader = NULL;
    ls_buf_clear(&sync->out);
    ls_buf_clear(&sync->cipher);
    ls_buf_clear(&sync->expect);
    sync->answers = 0;
    sync->loaded_count = 0;
}

static int connect_now(struct ls_redis_sync *sync, struct ls_err *err)
{
    int64_t deadline_ms = ls_clock_mono_ms() + sync->connect_timeout_ms;
    struct ls_err failure = LS_ERR_INIT;

    forget(sync);
    sync->reader = ls_reply_reader_new();
    if ((sync->url.path ? connect_unix(sync, deadline_ms, &failure)
                        : connect_tcp(sync, deadline_ms, &failure)) < 0 ||
        (sync->url.tls && start_tls(sync, deadline_ms, &failure) < 0) ||
        say_hello(sync, deadline_ms, &failure) < 0) {
        if (sync->fd >= 0)
            close(sync->fd);
        sync->fd = -1;
        if (failure.code == LS_E_LOST) /* nothing of the caller's was sent yet */
            failure.code = LS_E_NETWORK;
        if (err)
            *err = failure;
        return -1;
    }
    return 0;
}

struct ls_redis_sync *ls_redis_sync_open(const struct ls_redis_url *url,
                                         const struct ls_redis_sync_options *options,
                                         struct ls_err *err)
{
    static const struct ls_redis_sync_options defaults = {0};
    struct ls_redis_sync *sync = LS_NEW(struct ls_redis_sync);

    if (!options)
        options = &defaults;
    ls_redis_url_copy(&sync->url, url);
    sync->client_name = ls_xstrdup(options->client_name);
    sync->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : DEFAULT_TIMEOUT_MS;
    sync->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    sync->fd = -1;
    if (connect_now(sync, err) < 0) {
        ls_redis_sync_close(sync);
        return NULL;
    }
    return sync;
}

void ls_redis_sync_close(struct ls_redis_sync *sync)
{
    if (!sync)
        return;
    forget(sync);
    ls_buf_fini(&sync->out);
    ls_buf_fini(&sync->cipher);
    ls_buf_fini(&sync->plain);
    ls_buf_fini(&sync->expect);
    ls_redis_url_fini(&sync->url);
    free(sync->client_name);
    free(sync);
}

const struct ls_redis_facts *ls_redis_sync_facts(const struct ls_redis_sync *sync)
{
    return &sync->facts;
}

const char *ls_redis_sync_shown(const struct ls_redis_sync *sync)
{
    return sync->url.shown;
}

/* -------- commands -------- */

static void queue_command(struct ls_redis_sync *sync, const struct ls_cmd *cmd, int as_eval,
                          char kind)
{
    ls_cmd_encode(cmd, sync->facts.version, as_eval, &sync->out);
    ls_buf_putc(&sync->expect, kind);
    sync->answers += kind == 'a';
}

/* The next answer that is the caller's; errors of Redis stay replies. */
static int take_answer(struct ls_redis_sync *sync, int64_t timeout_ms,
                       const struct ls_reply **reply, struct ls_err *err)
{
    int64_t deadline_ms = ls_clock_mono_ms() + timeout_ms;
    char kind;

    if (sync->out.length > 0 && push(sync, deadline_ms, err) < 0)
        return -1;
    do {
        if (next_reply(sync, deadline_ms, reply, err) < 0)
            return -1;
        kind = sync->expect.data[0];
        ls_buf_consume(&sync->expect, 1);
    } while (kind != 'a');
    sync->answers--;
    return 0;
}

static bool is_noscript(const struct ls_reply *reply)
{
    return reply->type == LS_REPLY_ERROR && strncmp(reply->text, "NOSCRIPT", 8) == 0;
}

int ls_redis_sync_send_for(struct ls_redis_sync *sync, const struct ls_cmd *cmd, int64_t timeout_ms,
                           const struct ls_reply **reply, struct ls_err *err)
{
    const struct ls_reply *answer;

    ls_assert(sync->answers == 0 || sync->fd < 0); /* read the pipeline's answers first */
    if (sync->fd < 0 && connect_now(sync, err) < 0)
        return -1;
    queue_command(sync, cmd, 0, 'a');
    if (take_answer(sync, timeout_ms, &answer, err) < 0)
        return -1;
    if (cmd->script && is_noscript(answer)) {
        queue_command(sync, cmd, 1, 'a');
        if (take_answer(sync, timeout_ms, &answer, err) < 0)
            return -1;
    }
    if (answer->type == LS_REPLY_ERROR)
        return ls_reply_fail(answer, err);
    *reply = answer;
    return 0;
}

int ls_redis_sync_send(struct ls_redis_sync *sync, const struct ls_cmd *cmd,
                       const struct ls_reply **reply, struct ls_err *err)
{
    return ls_redis_sync_send_for(sync, cmd, sync->timeout_ms, reply, err);
}

static void load_script(struct ls_redis_sync *sync, const struct ls_script *script)
{
    struct ls_script_text text = ls_script_for(script, sync->facts.version);
    struct ls_cmd load = {0};
    int i;

    for (i = 0; i < sync->loaded_count; i++)
        if (sync->loaded[i] == script)
            return;
    ls_cmd_start(&load, "SCRIPT");
    ls_cmd_puts(&load, "LOAD");
    ls_cmd_add(&load, text.text, text.length);
    queue_command(sync, &load, 0, 's');
    ls_cmd_fini(&load);
    if (sync->loaded_count < MAX_SCRIPTS)
        sync->loaded[sync->loaded_count++] = script;
}

int ls_redis_sync_append(struct ls_redis_sync *sync, const struct ls_cmd *cmd, struct ls_err *err)
{
    if (sync->fd < 0) {
        if (sync->answers > 0)
            return ls_fail(err, LS_E_LOST, "lost redis at '%s' with %zu answers to come",
                           sync->url.shown, sync->answers);
        if (connect_now(sync, err) < 0)
            return -1;
    }
    if (cmd->script)
        load_script(sync, cmd->script);
    queue_command(sync, cmd, 0, 'a');
    if (sync->out.length < WRITE_AHEAD_BYTES)
        return 0;
    return push(sync, ls_clock_mono_ms() + sync->timeout_ms, err);
}

int ls_redis_sync_next(struct ls_redis_sync *sync, const struct ls_reply **reply,
                       struct ls_err *err)
{
    ls_assert(sync->answers > 0);
    if (sync->fd < 0) {
        sync->answers--;
        return ls_fail(err, LS_E_LOST, "lost redis at '%s' before it answered", sync->url.shown);
    }
    if (take_answer(sync, sync->timeout_ms, reply, err) < 0) {
        sync->answers--;
        return -1;
    }
    if ((*reply)->type == LS_REPLY_ERROR) {
        if (is_noscript(*reply))
            sync->loaded_count = 0;
        return ls_reply_fail(*reply, err);
    }
    return 0;
}

size_t ls_redis_sync_pending(const struct ls_redis_sync *sync)
{
    return sync->answers;
}
