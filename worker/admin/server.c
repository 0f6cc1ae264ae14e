#include "worker/admin/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define CONNECTIONS_MAX 256
#define PER_ADDRESS_MAX 64
#define HEADER_BYTES 16384
#define IDLE_S 10
#define HEADER_DEADLINE_MS 10000 /* also how long a kept connection may be silent */
#define BODY_DEADLINE_MS 30000
#define SWEEP_MS 1000

struct peer { /* a connection, for the deadlines that libmicrohttpd lacks */
    struct peer *next, **link;
    int fd;
    int64_t since_ms; /* since when we wait for a header or a body; 0: we do not wait, the handler
                         works */
    int64_t limit_ms;
};

struct ls_request {
    struct ls_request *next, **link; /* in server->waiting */
    struct ls_server *server;
    struct MHD_Connection *connection; /* NULL once the client is gone */
    const struct ls_route *route;
    struct peer *peer;
    struct ls_buf body;
    bool too_big, dispatched, suspended, replied;
    struct MHD_Response *response; /* owned until queued */
    int status;
};

struct ls_server {
    uv_loop_t *loop;
    struct ls_server_options options;
    char *token; /* owned */
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer, sweep;
    int handles;
    char address[80];
    struct peer *peers;
    struct ls_request *waiting; /* suspended: their handlers work */
    bool running, closing;      /* running: inside MHD_run, which must not be entered twice */
};

static int listen_on(const struct ls_server_options *options, char *shown, size_t size,
                     struct ls_err *err);
static void on_readable(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);
static void on_sweep(uv_timer_t *timer);
static void on_closed(uv_handle_t *handle);
static void run(struct ls_server *server);
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state);
static enum MHD_Result on_first(struct ls_server *server, struct MHD_Connection *connection,
                                const char *url, const char *method, void **state);
static enum MHD_Result dispatch(struct ls_request *request);
static enum MHD_Result queue_reply(struct ls_request *request);
static enum MHD_Result refuse(struct MHD_Connection *connection, int status, const char *text);
static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code);
static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code);
static void on_log(void *arg, const char *format, va_list args);
static const struct ls_route *find_route(const struct ls_server *server, const char *method,
                                         const char *url, bool *known_path);
static bool has_token(const struct ls_server *server, struct MHD_Connection *connection);
static bool is_ambiguous(struct MHD_Connection *connection);
static void unlist(struct ls_request *request);
static void free_request(struct ls_request *request);

struct ls_server *ls_server_new(uv_loop_t *loop, const struct ls_server_options *options,
                                struct ls_err *err)
{
    struct ls_server *server = LS_NEW(struct ls_server);
    const union MHD_DaemonInfo *info;
    int fd = listen_on(options, server->address, sizeof server->address, err);

    if (fd < 0) {
        free(server);
        return NULL;
    }
    server->loop = loop;
    server->options = *options;
    server->token = ls_xstrdup(options->token);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
        server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)PER_ADDRESS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_END);
    info = server->daemon ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        ls_fail(err, LS_E_SYSTEM, "cannot start the HTTP server on '%s'", server->address);
        if (server->daemon)
            MHD_stop_daemon(server->daemon);
        else
            close(fd);
        free(server->token);
        free(server);
        return NULL;
    }
    uv_poll_init(loop, &server->poll, info->epoll_fd);
    uv_timer_init(loop, &server->timer);
    uv_timer_init(loop, &server->sweep);
    server->poll.data = server->timer.data = server->sweep.data = server;
    server->handles = 3;
    uv_poll_start(&server->poll, UV_READABLE, on_readable);
    uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    run(server);
    return server;
}

const char *ls_server_address(const struct ls_server *server)
{
    return server->address;
}

void ls_server_close(struct ls_server **pointer)
{
    struct ls_server *server = *pointer;

    *pointer = NULL;
    if (!server)
        return;
    server->closing = true;
    uv_poll_stop(&server->poll);
    for (struct ls_request *request = server->waiting; request; request = request->next) {
        request->suspended = false;
        MHD_resume_connection(request->connection); /* the daemon may not stop while one sleeps */
    }
    MHD_run(server->daemon);
    MHD_stop_daemon(server->daemon);
    uv_close((uv_handle_t *)&server->poll, on_closed);
    uv_close((uv_handle_t *)&server->timer, on_closed);
    uv_close((uv_handle_t *)&server->sweep, on_closed);
}

struct ls_span ls_request_body(const struct ls_request *request)
{
    return (struct ls_span){request->body.data ? request->body.data : "", request->body.length};
}

const char *ls_request_query(const struct ls_request *request, const char *name)
{
    return request->connection
               ? MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name)
               : NULL;
}

void ls_request_reply(struct ls_request *request, int status, const char *content_type,
                      const void *body, size_t length)
{
    ls_assert(!request->replied);
    request->replied = true;
    if (!request->connection) {
        free_request(request);
        return;
    }
    request->status = status;
    request->response =
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(request->response, "Content-Type", content_type);
    MHD_add_response_header(request->response, "Cache-Control", "no-store");
    unlist(request);
    if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->connection);
        /* Not from within MHD_run, and not from within the caller's callback either. */
        uv_timer_start(&request->server->timer, on_timer, 0, 0);
    }
}

void ls_request_fail(struct ls_request *request, const struct ls_err *err)
{
    struct ls_buf out = {0};
    int status = 503;

    if (err->code == LS_E_USAGE || err->code == LS_E_INVALID)
        status = 400;
    else if (err->code == LS_E_TOO_BIG)
        status = 413;
    ls_buf_puts(&out, "{\"error\":");
    ls_buf_json_string(&out, err->text, strlen(err->text));
    if (err->hint[0]) {
        ls_buf_puts(&out, ",\"hint\":");
        ls_buf_json_string(&out, err->hint, strlen(err->hint));
    }
    ls_buf_puts(&out, "}\n");
    ls_request_reply(request, status, "application/json", out.data, out.length);
    ls_buf_fini(&out);
}

/* Our own socket, so that a failure can be named and port 0 be told. */
static int listen_on(const struct ls_server_options *options, char *shown, size_t size,
                     struct ls_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char port[16], host[64];
    int fd = -1, on = 1, code;

    snprintf(port, sizeof port, "%d", options->port);
    code = getaddrinfo(options->host, port, &hints, &found);
    if (code != 0) {
        ls_fail(err, LS_E_CONFIG, "cannot listen on '%s': %s", options->host, gai_strerror(code));
        ls_hint(err, "admin.listen takes an address of this machine, as in 127.0.0.1:8420");
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        ls_fail_errno(err, "cannot listen on '%s:%d'", options->host, options->port);
        ls_hint(err, "another program has it, or this user may not: set admin.listen, or port 0 "
                     "for any free one");
        freeaddrinfo(found);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    freeaddrinfo(found);
    getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(shown, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return fd;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    run(poll->data);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_sweep(uv_timer_t *timer)
{
    struct ls_server *server = timer->data;
    int64_t now = ls_clock_mono_ms();

    for (struct peer *peer = server->peers; peer; peer = peer->next)
        if (peer->since_ms && now - peer->since_ms > peer->limit_ms)
            shutdown(peer->fd, SHUT_RDWR); /* its end is then read and tidied up as any other */
}

static void on_closed(uv_handle_t *handle)
{
    struct ls_server *server = handle->data;

    if (--server->handles == 0) {
        free(server->token);
        free(server);
    }
}

static void run(struct ls_server *server)
{
    MHD_UNSIGNED_LONG_LONG wait;

    if (server->closing || server->running)
        return;
    server->running = true;
    MHD_run(server->daemon);
    server->running = false;
    if (MHD_get_timeout(server->daemon, &wait) == MHD_YES)
        uv_timer_start(&server->timer, on_timer, wait, 0);
}

/* libmicrohttpd calls it for the header, for each piece of the body, for the end of the body, and
 * again after a resume. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    struct ls_server *server = arg;
    struct ls_request *request = *state;

    if (!request)
        return on_first(server, connection, url, method, state);
    if (*size > 0) {
        if (request->body.length + *size > server->options.body_max)
            request->too_big = true;
        else
            ls_buf_add(&request->body, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (request->response)
        return queue_reply(request);
    if (!request->dispatched)
        return dispatch(request);
    return MHD_YES;
}

static enum MHD_Result on_first(struct ls_server *server, struct MHD_Connection *connection,
                                const char *url, const char *method, void **state)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct ls_request *request;
    const struct ls_route *route;
    bool known_path = false;

    if (is_ambiguous(connection))
        return refuse(connection, 400, "two lengths");
    route = find_route(server, method, url, &known_path);
    if (!route)
        return known_path ? refuse(connection, 405, "this path does not take that method")
                          : refuse(connection, 404, "no such path");
    if (!route->open && !server->token)
        return refuse(connection, 403, "the API is closed: set admin.token in the configuration");
    if (!route->open && !has_token(server, connection))
        return refuse(connection, 401, "a bearer token is needed: Authorization: Bearer TOKEN");
    request = LS_NEW(struct ls_request);
    request->server = server;
    request->connection = connection;
    request->route = route;
    request->peer = info ? info->socket_context : NULL;
    if (request->peer) {
        request->peer->since_ms = ls_clock_mono_ms();
        request->peer->limit_ms = BODY_DEADLINE_MS;
    }
    *state = request;
    return MHD_YES;
}

static enum MHD_Result dispatch(struct ls_request *request)
{
    struct ls_err err = LS_ERR_INIT;

    request->dispatched = true;
    if (request->peer)
        request->peer->since_ms = 0;
    if (request->too_big) {
        ls_fail(&err, LS_E_TOO_BIG, "the body is larger than %zu bytes",
                request->server->options.body_max);
        ls_request_fail(request, &err);
    } else {
        request->route->handle(request->server->options.arg, request);
    }
    if (request->response)
        return queue_reply(request);
    request->suspended = true;
    request->next = request->server->waiting;
    request->link = &request->server->waiting;
    if (request->next)
        request->next->link = &request->next;
    request->server->waiting = request;
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

static enum MHD_Result queue_reply(struct ls_request *request)
{
    enum MHD_Result result =
        MHD_queue_response(request->connection, (unsigned)request->status, request->response);

    MHD_destroy_response(request->response);
    request->response = NULL;
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, int status, const char *text)
{
    char body[200];
    int length = snprintf(body, sizeof body, "{\"error\":\"%s\"}\n", text);
    struct MHD_Response *response =
        MHD_create_response_from_buffer((size_t)length, body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "Connection",
                            "close"); /* whatever body follows is not ours to read */
    if (status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct ls_request *request = *state;
    struct peer *peer = info ? info->socket_context : NULL;

    *state = NULL;
    if (request)
        unlist(request);
    if (peer) { /* the next header is awaited */
        peer->since_ms = ls_clock_mono_ms();
        peer->limit_ms = HEADER_DEADLINE_MS;
    }
    if (!request)
        return;
    request->connection = NULL;
    request->peer = NULL;
    if (request->response)
        MHD_destroy_response(request->response);
    request->response = NULL;
    if (request->replied || !request->dispatched)
        free_request(request); /* else its handler still works: the reply frees it */
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct ls_server *server = arg;
    struct peer *peer = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

        peer = LS_NEW(struct peer);
        peer->fd = info ? info->connect_fd : -1;
        peer->since_ms = ls_clock_mono_ms();
        peer->limit_ms = HEADER_DEADLINE_MS;
        peer->next = server->peers;
        peer->link = &server->peers;
        if (peer->next)
            peer->next->link = &peer->next;
        server->peers = peer;
        *context = peer;
    } else if (peer) {
        *peer->link = peer->next;
        if (peer->next)
            peer->next->link = peer->link;
        free(peer);
        *context = NULL;
    }
}

static void on_log(void *arg, const char *format, va_list args)
{
    char text[256];

    vsnprintf(text, sizeof text, format, args);
    ls_log(LS_LOG_DEBUG, "admin.http", "%s", text);
}

static const struct ls_route *find_route(const struct ls_server *server, const char *method,
                                         const char *url, bool *known_path)
{
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (const struct ls_route *route = server->options.routes; route->path; route++) {
        if (strcmp(route->path, url) != 0)
            continue;
        *known_path = true;
        if (strcmp(route->method, method) == 0)
            return route;
    }
    return NULL;
}

static bool has_token(const struct ls_server *server, struct MHD_Connection *connection)
{
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");

    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    return ls_equal_secret(header + 7, strlen(header + 7), server->token, strlen(server->token));
}

static enum MHD_Result count_length(void *arg, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    int *count = arg;

    *count += strcasecmp(key, "Content-Length") == 0 || strcasecmp(key, "Transfer-Encoding") == 0;
    return MHD_YES;
}

static bool is_ambiguous(struct MHD_Connection *connection)
{
    int count = 0;

    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_length, &count);
    return count > 1;
}

static void unlist(struct ls_request *request)
{
    if (!request->link)
        return;
    *request->link = request->next;
    if (request->next)
        request->next->link = request->link;
    request->link = NULL;
    request->next = NULL;
}

static void free_request(struct ls_request *request)
{
    ls_buf_fini(&request->body);
    free(request);
}
