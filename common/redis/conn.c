#include "common/redis/conn.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/redis/hello_internal.h"
#include "common/redis/tls.h"

#define DEFAULT_TIMEOUT_MS 5000
#define DEFAULT_QUEUED_BYTES ((size_t)64 * 1024 * 1024)
#define READ_BYTES ((size_t)64 * 1024)
#define KEEP_COPY_BYTES \
    ((size_t)64 * 1024) /* a slot's copy of its command above this is given back */
#define KEEP_OUT_BYTES ((size_t)1024 * 1024)
#define FIRST_PAUSE_MS 100
#define LAST_PAUSE_MS 5000
#define SUSPECT_MS \
    1 /* a deadline found passed: read once more what lies in the socket, then judge */
#define NEVER INT64_MAX

enum state { DOWN, RESOLVE, CONNECT, SECURE, HELLO, UP };

/* A command that waits for its answer; or, before the connection is up, to be sent. */
struct pending {
    ls_redis_cb *cb;
    void *arg;
    int64_t deadline_ms;
    bool sent;   /* handed to the socket's buffer: position is set */
    bool gone;   /* told already (its deadline passed before it was sent); never sent */
    bool copied; /* args holds it: a script (NOSCRIPT) or not sent yet */
    bool as_eval;
    bool too_much;     /* refused because too much waits, not because we are down */
    uint64_t position; /* of its first byte in the stream */
    struct ls_cmd copy;
};

struct ring {
    struct pending *slots; /* capacity is a power of two; slots keep their buffers */
    size_t head, count, capacity;
};

/* A socket. Outlives the connection's interest in it until its close callback. */
struct sock {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_connect_t connect;
    uv_write_t write;
    struct ls_buf writing; /* owned by the write under way */
    struct ls_redis *conn; /* NULL: abandoned */
};

struct lookup {
    uv_getaddrinfo_t request;
    struct ls_redis *conn; /* NULL: abandoned */
};

struct ls_redis {
    uv_loop_t *loop;
    struct ls_redis_url url;
    struct ls_redis_options options; /* client_name owned */
    enum state state;
    bool closed;
    int open_handles; /* timer and flush */
    uv_timer_t timer;
    uv_prepare_t flush;
    int64_t timer_at;

    struct lookup *lookup;
    struct addrinfo *addresses, *next_address;
    struct sock *sock; /* owned; NULL when down */
    struct ls_tls *tls;
    struct ls_reply_reader *reader;
    struct ls_hello hello;
    struct ls_redis_facts facts;
    struct ls_err failure; /* of the last address tried */
    int64_t connect_deadline_ms;
    int64_t retry_at_ms; /* when down */
    int64_t pause_ms;
    bool suspect;

    struct ring pending;
    struct ring refused; /* told by the timer, at once */
    struct ls_buf out, cipher, plain;
    size_t waiting_bytes; /* copies of commands not yet sent */
    uint64_t queued;      /* bytes of the stream put into out so far */
    uint64_t handed;      /* bytes of the stream that may have left */
    char read_bytes[READ_BYTES];
};

static void begin(struct ls_redis *conn);
static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses);
static void try_next_address(struct ls_redis *conn);
static void on_connected(uv_connect_t *request, int status);
static void say_hello(struct ls_redis *conn);
static void wake_flush(struct ls_redis *conn);
static void on_flush(uv_prepare_t *flush);
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);
static void come_up(struct ls_redis *conn);
static void go_down(struct ls_redis *conn, const struct ls_err *err);

/* -------- ring -------- */

static struct pending *ring_at(struct ring *ring, size_t i)
{
    return &ring->slots[(ring->head + i) & (ring->capacity - 1)];
}

static struct pending *ring_push(struct ring *ring)
{
    if (ring->count == ring->capacity) {
        size_t capacity = ring->capacity ? ring->capacity * 2 : 16, i;
        struct pending *slots = ls_xcalloc(capacity, sizeof(*slots));
        for (i = 0; i < ring->count; i++)
            slots[i] = *ring_at(ring, i);
        free(ring->slots);
        ring->slots = slots;
        ring->head = 0;
        ring->capacity = capacity;
    }
    return ring_at(ring, ring->count++);
}

static void ring_pop(struct ring *ring)
{
    struct pending *first = ring_at(ring, 0);

    if (first->copy.args.capacity > KEEP_COPY_BYTES)
        ls_cmd_fini(&first->copy);
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
}

static void ring_fini(struct ring *ring)
{
    size_t i;

    for (i = 0; i < ring->capacity; i++)
        ls_cmd_fini(&ring->slots[i].copy);
    free(ring->slots);
    *ring = (struct ring){0};
}

/* -------- the timer: the earliest of all deadlines -------- */

static void on_timer(uv_timer_t *timer);

static void wake_at(struct ls_redis *conn, int64_t at_ms)
{
    int64_t now = (int64_t)uv_now(conn->loop);

    if (conn->closed || at_ms >= conn->timer_at)
        return;
    conn->timer_at = at_ms;
    uv_timer_start(&conn->timer, on_timer, at_ms > now ? (uint64_t)(at_ms - now) : 0, 0);
}

static void tell(struct pending *pending, const struct ls_reply *reply, const struct ls_err *err)
{
    ls_redis_cb *cb = pending->cb;

    pending->cb = NULL;
    if (cb)
        cb(pending->arg, reply, err);
}

/* Before it is up: commands whose deadline passed were never sent. */
static void expire_unsent(struct ls_redis *conn, int64_t now)
{
    struct ls_err err = LS_ERR_INIT;
    size_t i;

    ls_fail(&err, LS_E_TIMEOUT, "redis at '%s' could not be reached within the deadline",
            conn->url.shown);
    for (i = 0; i < conn->pending.count && !conn->closed; i++) {
        struct pending *pending = ring_at(&conn->pending, i);
        if (pending->gone || pending->deadline_ms > now)
            continue;
        pending->gone = true;
        tell(pending, NULL, &err);
    }
}

static int64_t earliest_deadline(struct ls_redis *conn)
{
    int64_t earliest = NEVER;
    size_t i;

    for (i = 0; i < conn->pending.count; i++) {
        struct pending *pending = ring_at(&conn->pending, i);
        if (!pending->gone && pending->deadline_ms < earliest)
            earliest = pending->deadline_ms;
    }
    return earliest;
}

/* Commands that were refused when they were sent: told now, not from within send. */
static void tell_refused(struct ls_redis *conn)
{
    struct ring refused = conn->refused;
    struct ls_err down = LS_ERR_INIT, full = LS_ERR_INIT;

    conn->refused = (struct ring){0};
    ls_redis_unreachable(&conn->url, LS_E_NETWORK, "not connected", &down);
    ls_fail(&full, LS_E_TOO_BIG, "too much waits to be sent to redis at '%s'", conn->url.shown);
    for (; refused.count > 0 && !conn->closed; ring_pop(&refused)) {
        struct pending *first = ring_at(&refused, 0);
        tell(first, NULL, first->too_much ? &full : &down);
    }
    ring_fini(&refused);
}

static void time_out(struct ls_redis *conn, enum ls_err_code code, const char *why)
{
    struct ls_err err = LS_ERR_INIT;

    if (code == LS_E_TIMEOUT)
        ls_redis_unreachable(&conn->url, code, why, &err);
    else
        ls_fail(&err, code, "lost redis at '%s': %s", conn->url.shown, why);
    go_down(conn, &err);
}

static void on_timer(uv_timer_t *timer)
{
    struct ls_redis *conn = timer->data;
    int64_t now = (int64_t)uv_now(conn->loop), next;

    conn->timer_at = NEVER;
    if (conn->refused.count > 0)
        tell_refused(conn);
    if (conn->closed)
        return;
    if (conn->state == DOWN) {
        if (!conn->options.reconnect)
            return;
        if (conn->retry_at_ms <= now)
            begin(conn);
        else
            wake_at(conn, conn->retry_at_ms);
        return;
    }
    if (conn->state != UP) {
        expire_unsent(conn, now);
        if (conn->closed)
            return;
        if (conn->connect_deadline_ms <= now && conn->failure.code != LS_E_NONE) {
            struct ls_err err = conn->failure;
            go_down(conn, &err);
            return;
        }
        if (conn->connect_deadline_ms <= now) {
            time_out(conn, LS_E_TIMEOUT, "no answer within the deadline");
            return;
        }
        next = earliest_deadline(conn);
        wake_at(conn, next < conn->connect_deadline_ms ? next : conn->connect_deadline_ms);
        return;
    }
    next = earliest_deadline(conn);
    if (next > now) {
        conn->suspect = false;
        if (next != NEVER)
            wake_at(conn, next);
    } else if (!conn->suspect) {
        conn->suspect = true; /* this process may have been the one that slept */
        wake_at(conn, now + SUSPECT_MS);
    } else {
        time_out(conn, LS_E_LOST, "a command was not answered within its deadline");
    }
}

/* -------- opening and closing -------- */

struct ls_redis *ls_redis_open(uv_loop_t *loop, const struct ls_redis_url *url,
                               const struct ls_redis_options *options)
{
    struct ls_redis *conn = LS_NEW(struct ls_redis);

    conn->loop = loop;
    ls_redis_url_copy(&conn->url, url);
    conn->options = *options;
    conn->options.client_name = ls_xstrdup(options->client_name);
    if (conn->options.connect_timeout_ms <= 0)
        conn->options.connect_timeout_ms = DEFAULT_TIMEOUT_MS;
    if (conn->options.max_queued_bytes == 0)
        conn->options.max_queued_bytes = DEFAULT_QUEUED_BYTES;
    conn->timer_at = NEVER;
    conn->pause_ms = FIRST_PAUSE_MS;
    uv_timer_init(loop, &conn->timer);
    uv_prepare_init(loop, &conn->flush);
    uv_unref((uv_handle_t *)&conn->flush);
    conn->timer.data = conn;
    conn->flush.data = conn;
    conn->open_handles = 2;
    begin(conn);
    return conn;
}

static void on_sock_closed(uv_handle_t *handle)
{
    struct sock *sock = handle->data;

    ls_buf_fini(&sock->writing);
    free(sock);
}

static void drop_sock(struct ls_redis *conn)
{
    struct sock *sock = conn->sock;

    conn->sock = NULL;
    if (sock) {
        sock->conn = NULL;
        uv_close(&sock->uv.handle, on_sock_closed);
    }
    ls_tls_free(conn->tls);
    conn->tls = NULL;
    ls_buf_clear(&conn->out);
    ls_buf_clear(&conn->cipher);
    uv_prepare_stop(&conn->flush);
}

static void drop_lookup(struct ls_redis *conn)
{
    if (conn->lookup) {
        conn->lookup->conn = NULL;
        uv_cancel((uv_req_t *)&conn->lookup->request);
        conn->lookup = NULL;
    }
    uv_freeaddrinfo(conn->addresses);
    conn->addresses = conn->next_address = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct ls_redis *conn = handle->data;

    if (--conn->open_handles > 0)
        return;
    ring_fini(&conn->pending);
    ring_fini(&conn->refused);
    ls_reply_reader_free(conn->reader);
    ls_buf_fini(&conn->out);
    ls_buf_fini(&conn->cipher);
    ls_buf_fini(&conn->plain);
    ls_redis_url_fini(&conn->url);
    free((char *)conn->options.client_name);
    free(conn);
}

void ls_redis_close(struct ls_redis **pointer)
{
    struct ls_redis *conn = *pointer;

    *pointer = NULL;
    if (!conn || conn->closed)
        return;
    conn->closed = true;
    conn->state = DOWN;
    drop_lookup(conn);
    drop_sock(conn);
    uv_close((uv_handle_t *)&conn->timer, on_closed);
    uv_close((uv_handle_t *)&conn->flush, on_closed);
}

void ls_redis_reconnect(struct ls_redis *conn)
{
    if (!conn->closed && conn->state == DOWN)
        begin(conn);
}

void ls_redis_drop(struct ls_redis *conn, const struct ls_err *why)
{
    if (!conn->closed && conn->state != DOWN)
        go_down(conn, why);
}

bool ls_redis_is_up(const struct ls_redis *conn)
{
    return conn->state == UP;
}

const struct ls_redis_facts *ls_redis_facts(const struct ls_redis *conn)
{
    return &conn->facts;
}

const char *ls_redis_shown(const struct ls_redis *conn)
{
    return conn->url.shown;
}

size_t ls_redis_pending(const struct ls_redis *conn)
{
    return conn->pending.count;
}

/* -------- connecting -------- */

static void begin(struct ls_redis *conn)
{
    char port[8];
    int failure;

    conn->failure = (struct ls_err)LS_ERR_INIT;
    conn->queued = conn->handed = 0;
    conn->suspect = false;
    conn->connect_deadline_ms = (int64_t)uv_now(conn->loop) + conn->options.connect_timeout_ms;
    ls_reply_reader_free(conn->reader);
    conn->reader = ls_reply_reader_new();
    wake_at(conn, conn->connect_deadline_ms);
    if (conn->url.path) {
        try_next_address(conn);
        return;
    }
    conn->state = RESOLVE;
    conn->lookup = LS_NEW(struct lookup);
    conn->lookup->conn = conn;
    conn->lookup->request.data = conn->lookup;
    snprintf(port, sizeof(port), "%d", conn->url.port);
    failure = uv_getaddrinfo(conn->loop, &conn->lookup->request, on_resolved, conn->url.host, port,
                             &(struct addrinfo){.ai_socktype = SOCK_STREAM});
    if (failure < 0) {
        free(conn->lookup);
        conn->lookup = NULL;
        ls_redis_unreachable(&conn->url, LS_E_NETWORK, uv_strerror(failure), &conn->failure);
        conn->connect_deadline_ms = 0; /* never calls back from within: the timer reports it */
        wake_at(conn, 0);
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = request->data;
    struct ls_redis *conn = lookup->conn;
    struct ls_err err = LS_ERR_INIT;

    free(lookup);
    if (!conn) {
        uv_freeaddrinfo(addresses);
        return;
    }
    conn->lookup = NULL;
    if (status < 0) {
        uv_freeaddrinfo(addresses);
        ls_redis_unreachable(&conn->url, LS_E_NETWORK, uv_strerror(status), &err);
        go_down(conn, &err);
        return;
    }
    conn->addresses = conn->next_address = addresses;
    try_next_address(conn);
}

static struct sock *new_sock(struct ls_redis *conn)
{
    struct sock *sock = LS_NEW(struct sock);

    if (conn->url.path)
        uv_pipe_init(conn->loop, &sock->uv.pipe, 0);
    else
        uv_tcp_init(conn->loop, &sock->uv.tcp);
    sock->uv.handle.data = sock;
    sock->connect.data = sock;
    sock->write.data = sock;
    sock->conn = conn;
    return sock;
}

static void try_next_address(struct ls_redis *conn)
{
    struct addrinfo *address = conn->next_address;
    int failure;

    conn->state = CONNECT;
    drop_sock(conn);
    conn->sock = new_sock(conn);
    if (conn->url.path) {
        uv_pipe_connect(&conn->sock->connect, &conn->sock->uv.pipe, conn->url.path, on_connected);
        return;
    }
    conn->next_address = address->ai_next;
    failure =
        uv_tcp_connect(&conn->sock->connect, &conn->sock->uv.tcp, address->ai_addr, on_connected);
    if (failure < 0)
        on_connected(&conn->sock->connect, failure);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct sock *sock = request->data;
    struct ls_redis *conn = sock->conn;
    struct ls_err err = LS_ERR_INIT;
    int failed;

    if (!conn)
        return;
    if (status < 0) {
        if (conn->next_address) {
            try_next_address(conn);
            return;
        }
        ls_redis_unreachable(&conn->url, LS_E_NETWORK, uv_strerror(status), &err);
        go_down(conn, &err);
        return;
    }
    if (!conn->url.path) {
        uv_tcp_nodelay(&sock->uv.tcp, 1);
        uv_tcp_keepalive(&sock->uv.tcp, 1, 30);
    }
    if (conn->url.tls) {
        conn->tls = ls_tls_new(conn->url.host, conn->url.ca_file, &err);
        if (!conn->tls) {
            go_down(conn, &err);
            return;
        }
        conn->state = SECURE;
    } else {
        say_hello(conn);
    }
    failed = uv_read_start(&sock->uv.stream, on_alloc, on_read);
    ls_assert(failed == 0);
    wake_flush(conn);
}

static void say_hello(struct ls_redis *conn)
{
    conn->state = HELLO;
    drop_lookup(conn);
    ls_hello_begin(&conn->hello, &conn->url, conn->options.client_name, &conn->out);
    wake_flush(conn);
}

static void encode(struct ls_redis *conn, struct pending *pending, const struct ls_cmd *cmd)
{
    size_t before = conn->out.length;

    ls_cmd_encode(cmd, conn->facts.version, pending->as_eval, &conn->out);
    pending->sent = true;
    pending->position = conn->queued;
    conn->queued += conn->out.length - before;
    wake_flush(conn);
}

/* Let in: what was sent meanwhile goes out first, then the owner hears of it. */
static void come_up(struct ls_redis *conn)
{
    size_t i, kept = 0;

    conn->state = UP;
    conn->pause_ms = FIRST_PAUSE_MS;
    conn->queued = conn->handed = 0;
    for (i = 0; i < conn->pending.count; i++) {
        struct pending *from = ring_at(&conn->pending, i), *to = ring_at(&conn->pending, kept);
        struct pending swap = *to;
        if (from->gone)
            continue;
        if (from != to) {
            *to = *from;
            *from = swap;
        }
        encode(conn, to, &to->copy);
        to->copied = to->copy.script != NULL;
        kept++;
    }
    conn->pending.count = kept;
    conn->waiting_bytes = 0;
    if (conn->options.up)
        conn->options.up(conn->options.arg);
}

/* -------- sending -------- */

static void keep_copy(struct pending *pending, const struct ls_cmd *cmd)
{
    ls_buf_clear(&pending->copy.args);
    ls_buf_add(&pending->copy.args, cmd->args.data, cmd->args.length);
    pending->copy.count = cmd->count;
    pending->copy.script = cmd->script;
    pending->copied = true;
}

static struct pending *new_pending(struct ring *ring, ls_redis_cb *cb, void *arg)
{
    struct pending *pending = ring_push(ring);
    struct ls_cmd copy = pending->copy;

    *pending = (struct pending){.cb = cb, .arg = arg, .copy = copy};
    return pending;
}

static void refuse(struct ls_redis *conn, ls_redis_cb *cb, void *arg, bool too_much)
{
    new_pending(&conn->refused, cb, arg)->too_much = too_much;
    wake_at(conn, 0);
}

void ls_redis_send(struct ls_redis *conn, const struct ls_cmd *cmd, int64_t timeout_ms,
                   ls_redis_cb *cb, void *arg)
{
    size_t waiting = conn->state == UP ? conn->out.length : conn->waiting_bytes;
    struct pending *pending;

    if (conn->state == DOWN || waiting + cmd->args.length > conn->options.max_queued_bytes) {
        refuse(conn, cb, arg, conn->state != DOWN);
        return;
    }
    pending = new_pending(&conn->pending, cb, arg);
    pending->deadline_ms =
        (int64_t)uv_now(conn->loop) + (timeout_ms > 0 ? timeout_ms : DEFAULT_TIMEOUT_MS);
    wake_at(conn, pending->deadline_ms);
    if (conn->state != UP || cmd->script)
        keep_copy(pending, cmd);
    if (conn->state == UP)
        encode(conn, pending, cmd);
    else
        conn->waiting_bytes += cmd->args.length;
}

static void wake_flush(struct ls_redis *conn)
{
    uv_prepare_start(&conn->flush, on_flush); /* no-op when it runs already */
}

static void on_written(uv_write_t *request, int status)
{
    struct sock *sock = request->data;

    ls_buf_clear(&sock->writing);
    if (sock->writing.capacity > KEEP_OUT_BYTES)
        ls_buf_fini(&sock->writing);
    if (!sock->conn)
        return;
    if (status < 0) {
        struct ls_err err = LS_ERR_INIT;
        ls_fail(&err, LS_E_LOST, "lost redis at '%s': %s", sock->conn->url.shown,
                uv_strerror(status));
        go_down(sock->conn, &err);
        return;
    }
    wake_flush(sock->conn);
}

/* Once a turn of the loop, just before it waits: all that was said leaves together. */
static void on_flush(uv_prepare_t *flush)
{
    struct ls_redis *conn = flush->data;
    struct sock *sock = conn->sock;
    struct ls_buf *out = &conn->out;
    struct ls_err err = LS_ERR_INIT;
    int done;

    uv_prepare_stop(flush);
    if (!sock || conn->state < SECURE || sock->writing.length > 0)
        return;
    if (conn->tls) {
        if (ls_tls_is_ready(conn->tls)) {
            if (ls_tls_write(conn->tls, out->data, out->length, &err) < 0) {
                go_down(conn, &err);
                return;
            }
            ls_buf_clear(out);
        }
        ls_tls_drain(conn->tls, &conn->cipher);
        out = &conn->cipher;
    }
    if (out->length == 0)
        return;
    conn->handed = conn->queued;
    done = uv_try_write(&sock->uv.stream, &(uv_buf_t){.base = out->data, .len = out->length}, 1);
    if (done == (int)out->length) {
        ls_buf_clear(out);
        if (out->capacity > KEEP_OUT_BYTES)
            ls_buf_fini(out);
        return;
    }
    if (done < 0 && done != UV_EAGAIN) {
        ls_fail(&err, LS_E_LOST, "lost redis at '%s': %s", conn->url.shown, uv_strerror(done));
        go_down(conn, &err);
        return;
    }
    if (done > 0)
        ls_buf_consume(out, (size_t)done);
    sock->writing = *out;
    *out = (struct ls_buf){0};
    done = uv_write(&sock->write, &sock->uv.stream,
                    &(uv_buf_t){.base = sock->writing.data, .len = sock->writing.length}, 1,
                    on_written);
    if (done < 0) {
        ls_fail(&err, LS_E_LOST, "lost redis at '%s': %s", conn->url.shown, uv_strerror(done));
        go_down(conn, &err);
    }
}

/* -------- receiving -------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct sock *sock = handle->data;

    *buf = sock->conn ? uv_buf_init(sock->conn->read_bytes, READ_BYTES) : uv_buf_init(NULL, 0);
}

/* An EVALSHA that the server does not know: once more, with the text. */
static bool send_as_eval(struct ls_redis *conn, const struct ls_reply *reply)
{
    struct pending *first = ring_at(&conn->pending, 0), *again;
    struct ls_cmd copy;

    if (reply->type != LS_REPLY_ERROR || !first->copied || !first->copy.script || first->as_eval ||
        strncmp(reply->text, "NOSCRIPT", 8) != 0)
        return false;
    copy = first->copy;
    again = new_pending(&conn->pending, first->cb, first->arg);
    first = ring_at(&conn->pending, 0);
    again->deadline_ms = first->deadline_ms;
    first->copy = again->copy;
    first->cb = NULL;
    again->copy = copy;
    again->copied = true;
    again->as_eval = true;
    encode(conn, again, &again->copy);
    return true;
}

static void answer(struct ls_redis *conn, const struct ls_reply *reply)
{
    struct pending *first = ring_at(&conn->pending, 0);
    struct ls_err err = LS_ERR_INIT;
    ls_redis_cb *cb = first->cb;
    void *arg = first->arg;

    if (send_as_eval(conn, reply)) {
        ring_pop(&conn->pending);
        return;
    }
    ring_pop(&conn->pending);
    if (!cb)
        return;
    if (reply->type == LS_REPLY_ERROR) {
        ls_reply_fail(reply, &err);
        cb(arg, NULL, &err);
    } else {
        cb(arg, reply, NULL);
    }
}

/* One reply for whoever waits for it. -1: the connection is of no use, *err says why. */
static int dispatch(struct ls_redis *conn, const struct ls_reply *reply, struct ls_err *err)
{
    conn->suspect = false;
    if (conn->state == HELLO) {
        if (ls_hello_answer(&conn->hello, &conn->url, reply, &conn->facts, err) < 0)
            return -1;
        if (conn->hello.next == conn->hello.count)
            come_up(conn);
        return 0;
    }
    if (conn->pending.count == 0)
        return ls_fail(err, LS_E_LOST, "lost redis at '%s': it answered without a question",
                       conn->url.shown);
    answer(conn, reply);
    return 0;
}

static void on_bytes(struct sock *sock, const char *bytes, size_t length)
{
    struct ls_redis *conn = sock->conn;
    const struct ls_reply *reply;
    struct ls_err err = LS_ERR_INIT;
    int got;

    if (length > 0)
        ls_reply_reader_feed(conn->reader, bytes, length);
    while ((got = ls_reply_reader_next(conn->reader, &reply, &err)) == 1) {
        if (dispatch(conn, reply, &err) < 0) {
            go_down(conn, &err);
            return;
        }
        if (sock->conn != conn) /* closed by a callback */
            return;
    }
    if (got < 0) {
        ls_wrap(&err, "lost redis at '%s'", conn->url.shown);
        go_down(conn, &err);
    }
}

static void on_secret_bytes(struct sock *sock, const char *bytes, size_t length)
{
    struct ls_redis *conn = sock->conn;
    struct ls_err err = LS_ERR_INIT;

    ls_buf_clear(&conn->plain);
    if (ls_tls_feed(conn->tls, bytes, length, &conn->plain, &err) < 0) {
        ls_wrap(&err, "%s redis at '%s'", conn->state == SECURE ? "cannot reach" : "lost",
                conn->url.shown);
        go_down(conn, &err);
        return;
    }
    if (conn->state == SECURE && ls_tls_is_ready(conn->tls))
        say_hello(conn);
    wake_flush(conn);
    if (conn->plain.length > 0)
        on_bytes(sock, conn->plain.data, conn->plain.length);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct sock *sock = stream->data;
    struct ls_redis *conn = sock->conn;
    struct ls_err err = LS_ERR_INIT;

    if (!conn || got == 0)
        return;
    if (got < 0) {
        const char *why = got == UV_EOF ? "it closed the connection" : uv_strerror((int)got);
        if (conn->state == UP)
            ls_fail(&err, LS_E_LOST, "lost redis at '%s': %s", conn->url.shown, why);
        else
            ls_redis_unreachable(&conn->url, LS_E_NETWORK, why, &err);
        go_down(conn, &err);
        return;
    }
    if (conn->tls)
        on_secret_bytes(sock, buf->base, (size_t)got);
    else
        on_bytes(sock, buf->base, (size_t)got);
}

/* -------- losing it -------- */

static void tell_all(struct ls_redis *conn, struct ring *ring, uint64_t handed,
                     const struct ls_err *err)
{
    struct ls_err unsent = *err, lost = *err;

    lost.code = LS_E_LOST;
    if (unsent.code == LS_E_LOST)
        unsent.code = LS_E_NETWORK;
    for (; ring->count > 0 && !conn->closed; ring_pop(ring)) {
        struct pending *first = ring_at(ring, 0);
        bool left = first->sent && first->position < handed;
        if (!first->gone)
            tell(first, NULL, left ? &lost : &unsent);
    }
}

/* The attempt failed or the connection ended: every command hears of it, then the owner. */
static void go_down(struct ls_redis *conn, const struct ls_err *err)
{
    struct ring ring = conn->pending;
    uint64_t handed = conn->handed;
    int64_t pause = conn->pause_ms;
    struct ls_err why = *err;

    conn->pending = (struct ring){0};
    conn->waiting_bytes = 0;
    conn->state = DOWN;
    drop_lookup(conn);
    drop_sock(conn);
    conn->queued = conn->handed = 0;
    conn->pause_ms = pause * 2 < LAST_PAUSE_MS ? pause * 2 : LAST_PAUSE_MS;
    conn->retry_at_ms =
        (int64_t)uv_now(conn->loop) + pause / 2 + (int64_t)ls_rand_below((uint64_t)pause);
    tell_all(conn, &ring, handed, &why);
    ring_fini(&ring);
    if (conn->closed || conn->state != DOWN)
        return;
    if (conn->options.reconnect)
        wake_at(conn, conn->retry_at_ms);
    if (conn->options.down)
        conn->options.down(conn->options.arg, &why);
}
