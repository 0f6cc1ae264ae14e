#include "common/http/client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/address.h"
#include "common/http/retry_after.h"

#define DEFAULT_ACTIVE 256
#define DEFAULT_WAITING 10000
#define DEFAULT_IDLE_AGE_S 30
#define POST_IDLE_AGE_S 5 /* a request that must not be repeated rides on no older connection */
#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_CONNECT_MS 10000
#define DEFAULT_RESPONSE_BYTES ((size_t)32 * 1024 * 1024)
#define HEADER_BYTES ((size_t)64 * 1024)
#define KEEP_BYTES ((size_t)64 * 1024) /* buffers above this are not kept with a pooled call */
#define SWEEP_MS 250                   /* how often those who wait are looked at */

enum call_state { WAITING, ACTIVE };

struct ls_call {
    struct ls_call *next, *previous; /* in http->waiting, http->active or http->pool */
    struct ls_http *http;
    enum call_state state;
    CURL *easy;
    const struct ls_http *warm; /* easy has the options that every request has */
    ls_http_cb *done;
    void *arg;

    char *url, *method, *ca_file, *userpwd;
    struct curl_slist *headers;
    struct ls_buf body;
    int sends;    /* how often libcurl began to send it */
    int *counter; /* borrowed: the caller's count of the same */
    bool has_body, idempotent, refuse_private;
    int64_t deadline_ms, connect_timeout_ms;
    size_t max_response_bytes;

    struct ls_buf head; /* "name: value\0..." of the last answer */
    struct ls_buf answer;
    bool too_big;
    bool reached;          /* refuse_private: one of the host's addresses was public */
    char shunned[96];      /* refuse_private: one that was not, and what it is; "" */
    struct ls_err refusal; /* known at begin, told later */
    char curl_text[CURL_ERROR_SIZE];
};

struct list {
    struct ls_call *first, *last;
    int count;
};

struct ls_http {
    uv_loop_t *loop;
    CURLM *multi;
    struct ls_http_options options; /* user_agent owned */
    int epoll; /* all sockets of libcurl's; the loop polls this one descriptor */
    uv_poll_t poll;
    unsigned char
        *watched; /* by descriptor: what epoll looks for, and whether libcurl still wants it */
    int watched_size;
    uv_timer_t timer; /* libcurl's */
    uv_timer_t sweep; /* ours: deadlines of those who wait */
    struct list active, waiting, pool;
    bool closed;
    int busy; /* depth of drain: the struct is not freed below it */
    int open_handles;
};

static void start_waiting(struct ls_http *http);
static void drain(struct ls_http *http);
static void because(struct ls_err *err, const char *reason);

/* -------- lists -------- */

static void list_add(struct list *list, struct ls_call *call)
{
    call->next = NULL;
    call->previous = list->last;
    if (list->last)
        list->last->next = call;
    else
        list->first = call;
    list->last = call;
    list->count++;
}

static void list_remove(struct list *list, struct ls_call *call)
{
    if (call->previous)
        call->previous->next = call->next;
    else
        list->first = call->next;
    if (call->next)
        call->next->previous = call->previous;
    else
        list->last = call->previous;
    call->next = call->previous = NULL;
    list->count--;
}

/* -------- texts -------- */

const char *ls_http_url_shown(const char *url, char *out, size_t size)
{
    const char *scheme = strstr(url, "://");
    const char *authority = scheme ? scheme + 3 : url;
    size_t length = strcspn(authority, "/?#"), i;
    const char *at = memrchr(authority, '@', length), *path;
    struct ls_buf text = {0};

    ls_buf_add(&text, url, (size_t)(authority - url));
    if (at) {
        length -= (size_t)(at + 1 - authority);
        authority = at + 1;
    }
    ls_buf_add(&text, authority, length);
    path = authority + length;
    ls_buf_add(&text, path, strcspn(path, "?#"));
    for (i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == '\'')
            text.data[i] = '?';
    snprintf(out, size, "%s", text.data ? text.data : "");
    ls_buf_fini(&text);
    return out;
}

/* -------- libcurl on the loop -------- */

static void on_timeout(uv_timer_t *timer)
{
    struct ls_http *http = timer->data;
    int running;

    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    drain(http);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct ls_http *http = arg;

    if (timeout_ms < 0)
        uv_timer_stop(&http->timer);
    else
        uv_timer_start(&http->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

/* Sockets are watched by an epoll of our own. A uv_poll_t for each costs a dozen system calls a
 * request, because libcurl lets go of a kept connection's socket after each answer. Here such a
 * socket stays registered, marked IDLE, until it is used again, closed, or says something. */
enum { WATCH_IN = 1, WATCH_OUT = 2, WATCH_IDLE = 4 };

static unsigned char *watch_of(struct ls_http *http, int fd)
{
    if (fd >= http->watched_size) {
        int size = (fd + 1) * 2;
        http->watched = ls_xrealloc(http->watched, (size_t)size);
        memset(http->watched + http->watched_size, 0, (size_t)(size - http->watched_size));
        http->watched_size = size;
    }
    return &http->watched[fd];
}

static void watch(struct ls_http *http, int fd, unsigned char wanted)
{
    unsigned char *have = watch_of(http, fd);
    struct epoll_event event = {.data.fd = fd};

    if (wanted & WATCH_IN)
        event.events |= EPOLLIN;
    if (wanted & WATCH_OUT)
        event.events |= EPOLLOUT;
    if (!(*have & (WATCH_IN | WATCH_OUT)))
        epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event);
    else if ((*have ^ wanted) & (WATCH_IN | WATCH_OUT))
        epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event);
    *have = wanted;
}

static void unwatch(struct ls_http *http, int fd)
{
    unsigned char *have = watch_of(http, fd);

    if (*have)
        epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, NULL);
    *have = 0;
}

static void on_sockets(uv_poll_t *poll, int status, int events)
{
    struct ls_http *http = poll->data;
    struct epoll_event ready[64];
    int count = epoll_wait(http->epoll, ready, LS_COUNT(ready), 0), i, running;

    for (i = 0; i < count; i++) {
        int fd = ready[i].data.fd, action = 0;
        if (*watch_of(http, fd) & WATCH_IDLE) {
            unwatch(http, fd); /* the peer closed a kept connection: libcurl sees it when it wants
                                  to use it */
            continue;
        }
        if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP))
            action |= CURL_CSELECT_IN;
        if (ready[i].events & EPOLLOUT)
            action |= CURL_CSELECT_OUT;
        if (ready[i].events & EPOLLERR)
            action |= CURL_CSELECT_ERR;
        curl_multi_socket_action(http->multi, fd, action, &running);
    }
    drain(http);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    static const unsigned char wanted[] = {[CURL_POLL_NONE] = 0,
                                           [CURL_POLL_IN] = WATCH_IN,
                                           [CURL_POLL_OUT] = WATCH_OUT,
                                           [CURL_POLL_INOUT] = WATCH_IN | WATCH_OUT,
                                           [CURL_POLL_REMOVE] = WATCH_IN | WATCH_IDLE};
    struct ls_http *http = arg;

    if (what == CURL_POLL_NONE)
        unwatch(http, fd);
    else if (what != CURL_POLL_REMOVE || *watch_of(http, fd))
        watch(http, fd, wanted[what]);
    return 0;
}

static int on_curl_close(void *arg, curl_socket_t fd)
{
    unwatch(arg, fd);
    return close(fd);
}

/* -------- public addresses only -------- */

/* A connection is about to be made. What is refused here makes libcurl try the host's next
 * address. */
static curl_socket_t on_curl_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct ls_call *call = arg;
    const char *what = ls_address_refusal(&address->addr);
    char text[INET6_ADDRSTRLEN] = "";

    if (!what) {
        call->reached = true;
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    }
    getnameinfo(&address->addr, address->addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    snprintf(call->shunned, sizeof(call->shunned), "%s (%s)", text, what);
    return CURL_SOCKET_BAD;
}

/* The connection may have been made by a request that had no such wish. */
static bool is_shunned(struct ls_call *call, const char *ip)
{
    const char *what = call->refuse_private ? ls_address_text_refusal(ip) : NULL;

    if (!what)
        return false;
    call->reached = false;
    snprintf(call->shunned, sizeof(call->shunned), "%s (%s)", ip ? ip : "?", what);
    return true;
}

/* -------- bytes in and out -------- */

/* Just before a request is sent. libcurl would repeat one by itself when a kept connection dies
 * without an answer; one that may not be repeated ends here instead. */
static int on_send(void *arg, char *primary_ip, char *local_ip, int primary_port, int local_port)
{
    struct ls_call *call = arg;

    if (is_shunned(call, primary_ip))
        return CURL_PREREQFUNC_ABORT;
    if (call->sends++ > 0 && !call->idempotent)
        return CURL_PREREQFUNC_ABORT;
    if (call->counter)
        ++*call->counter;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct ls_call *call = arg;
    size_t length = size * count, name, i;

    if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        ls_buf_clear(&call->head); /* a 1xx came before */
        return length;
    }
    while (length > 0 && (bytes[length - 1] == '\r' || bytes[length - 1] == '\n'))
        length--;
    name = length ? (size_t)((char *)memchr(bytes, ':', length) - bytes) : 0;
    if (length == 0 || name >= length || call->head.length + length > HEADER_BYTES)
        return size * count;
    for (i = 0; i < name; i++)
        ls_buf_putc(&call->head, (char)tolower((unsigned char)bytes[i]));
    ls_buf_add(&call->head, bytes + name, length - name);
    ls_buf_putc(&call->head, '\0');
    return size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct ls_call *call = arg;
    size_t length = size * count;

    if (call->answer.length + length > call->max_response_bytes) {
        call->too_big = true;
        return 0;
    }
    ls_buf_add(&call->answer, bytes, length);
    return length;
}

/* -------- a call's life -------- */

static void wipe(char **text)
{
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

static void trim(struct ls_buf *buf)
{
    if (buf->capacity > KEEP_BYTES)
        ls_buf_fini(buf);
    else
        ls_buf_clear(buf);
}

static void call_free(struct ls_call *call)
{
    if (call->easy)
        curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->url);
    free(call->method);
    free(call->ca_file);
    wipe(&call->userpwd);
    ls_buf_fini(&call->body);
    ls_buf_fini(&call->head);
    ls_buf_fini(&call->answer);
    free(call);
}

/* What the next request on the handle must not find. Options that are the same for each request
 * stay. */
static void cool_down(struct ls_call *call)
{
    CURL *easy = call->easy;

    if (!call->warm)
        return;
    if (call->ca_file || call->userpwd || call->warm != call->http) {
        curl_easy_reset(easy); /* some options have no way back but this */
        call->warm = NULL;
        return;
    }
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL); /* makes it a POST again, so it comes first */
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);      /* undoes POST and HEAD */
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
}

/* Back into the pool, with its easy handle and small buffers. */
static void release(struct ls_http *http, struct ls_call *call)
{
    if (http->closed || http->pool.count >= http->options.max_active) {
        call_free(call);
        return;
    }
    cool_down(call);
    curl_slist_free_all(call->headers);
    call->headers = NULL;
    free(call->url);
    free(call->method);
    free(call->ca_file);
    wipe(&call->userpwd);
    call->url = call->method = call->ca_file = NULL;
    trim(&call->body);
    trim(&call->head);
    trim(&call->answer);
    call->sends = 0;
    call->counter = NULL;
    call->has_body = call->idempotent = call->too_big = false;
    call->refuse_private = call->reached = false;
    call->shunned[0] = '\0';
    call->refusal.code = LS_E_NONE;
    call->curl_text[0] = '\0';
    list_add(&http->pool, call);
}

static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://");

    host = host ? host + 3 : url;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
           (strncasecmp(host, "localhost", 9) == 0 && strchr(":/?#", host[9]));
}

static void set_method(struct ls_call *call)
{
    CURL *easy = call->easy;

    if (!call->has_body && strcmp(call->method, "GET") == 0)
        return;
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (!call->has_body && strcmp(call->method, "POST") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
        return;
    }
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    if (strcmp(call->method, "POST") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.length);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.data ? call->body.data : "");
}

/* Options that are the same for every request. */
static void warm_up(struct ls_call *call)
{
    struct ls_http *http = call->http;
    CURL *easy = call->easy;

    call->warm = http;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_curl_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, http->options.user_agent);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
}

static void set_up(struct ls_call *call, int64_t now_ms)
{
    struct ls_http *http = call->http;
    CURL *easy = call->easy;
    bool safe = call->idempotent || strcmp(call->method, "GET") == 0;
    bool tls = strncasecmp(call->url, "https:", 6) == 0;
    int64_t left = call->deadline_ms - now_ms;
    int64_t connect = left < call->connect_timeout_ms ? left : call->connect_timeout_ms;
    long age = http->options.idle_age_s;

    if (call->warm != http)
        warm_up(call);
    if (!safe && age > POST_IDLE_AGE_S)
        age = POST_IDLE_AGE_S;
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    /* Whether a connection can be shared is known after the TLS handshake; over plain HTTP only
     * after the first answer, so waiting for it would let one slow answer hold up all requests to a
     * host. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, age);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    if (call->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, call->ca_file);
    if (call->userpwd) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERPWD, call->userpwd);
    }
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, call->refuse_private ? on_curl_open : NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY,
                     call->refuse_private || is_loopback(call->url) ? "" : NULL);
    set_method(call);
}

static void activate(struct ls_call *call, int64_t now_ms)
{
    struct ls_http *http = call->http;

    call->state = ACTIVE;
    list_add(&http->active, call);
    if (!call->easy)
        call->easy = curl_easy_init();
    ls_assert(call->easy);
    set_up(call, now_ms);
    ls_assert(curl_multi_add_handle(http->multi, call->easy) == CURLM_OK);
}

/* The last act of a call: its owner hears of it. */
static void finish(struct ls_call *call, const struct ls_http_response *response,
                   const struct ls_err *err)
{
    struct ls_http *http = call->http;

    http->busy++;
    call->done(call->arg, response, err);
    http->busy--;
    release(http, call);
}

static void on_sweep(uv_timer_t *timer)
{
    struct ls_http *http = timer->data;
    int64_t now_ms = ls_clock_mono_ms();
    struct ls_call *call = http->waiting.first;

    while (call && !http->closed) {
        struct ls_call *next = call->next;
        struct ls_err err = call->refusal;
        if (err.code == LS_E_NONE && call->deadline_ms <= now_ms) {
            err = (struct ls_err)LS_ERR_INIT;
            ls_fail(&err, LS_E_TIMEOUT,
                    "request was not sent within its deadline: too many are under way");
            because(&err, "queue_timeout");
        }
        if (err.code != LS_E_NONE) {
            list_remove(&http->waiting, call);
            finish(call, NULL, &err);
            call = http->waiting.first; /* the callback may have changed the list */
            continue;
        }
        call = next;
    }
    if (!http->closed)
        start_waiting(http);
}

static void start_waiting(struct ls_http *http)
{
    int64_t now_ms = ls_clock_mono_ms();
    struct ls_call *call = http->waiting.first;

    while (call && http->active.count < http->options.max_active) {
        struct ls_call *next = call->next;
        if (call->refusal.code == LS_E_NONE && call->deadline_ms > now_ms) {
            list_remove(&http->waiting, call);
            activate(call, now_ms);
        }
        call = next;
    }
    if (http->waiting.count == 0)
        uv_timer_stop(&http->sweep);
}

/* -------- beginning -------- */

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static void copy_headers(struct ls_call *call, const struct ls_http_request *request)
{
    const struct ls_http_header *header = request->headers;
    struct ls_buf line = {0};
    bool has_type = false;

    for (; header && header->name; header++) {
        if (has_control(header->name) || strchr(header->name, ':') || has_control(header->value)) {
            ls_fail(&call->refusal, LS_E_USAGE,
                    "header '%s' holds characters that no header may hold", header->name);
            because(&call->refusal, "bad_header");
            break;
        }
        has_type |= strcasecmp(header->name, "content-type") == 0;
        ls_buf_clear(&line);
        /* libcurl leaves a header without a value out unless it ends with ';' */
        ls_buf_printf(&line, header->value[0] ? "%s: %s" : "%s;%s", header->name, header->value);
        call->headers = curl_slist_append(call->headers, line.data);
    }
    call->headers = curl_slist_append(call->headers, "Expect:");
    if (!has_type && request->body) /* libcurl would call it a form */
        call->headers = curl_slist_append(call->headers, "Content-Type:");
    ls_buf_fini(&line);
}

static struct ls_call *new_call(struct ls_http *http)
{
    struct ls_call *call = http->pool.last;

    if (call)
        list_remove(&http->pool, call);
    else
        call = LS_NEW(struct ls_call);
    call->http = http;
    call->refusal = (struct ls_err)LS_ERR_INIT;
    return call;
}

struct ls_call *ls_http_begin(struct ls_http *http, const struct ls_http_request *request,
                              ls_http_cb *done, void *arg)
{
    struct ls_call *call = new_call(http);
    int64_t now_ms = ls_clock_mono_ms();
    char shown[256];

    call->done = done;
    call->arg = arg;
    call->url = ls_xstrdup(request->url);
    call->method = ls_xstrdup(request->method ? request->method : "GET");
    call->ca_file = ls_xstrdup(request->ca_file);
    call->userpwd = ls_xstrdup(request->userpwd);
    call->has_body = request->body != NULL;
    if (request->body)
        ls_buf_add(&call->body, request->body, request->body_length);
    call->idempotent = request->idempotent;
    call->refuse_private = request->refuse_private;
    call->counter = request->sends;
    call->deadline_ms =
        now_ms + (request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS);
    call->connect_timeout_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : DEFAULT_CONNECT_MS;
    call->max_response_bytes =
        request->max_response_bytes ? request->max_response_bytes : DEFAULT_RESPONSE_BYTES;
    copy_headers(call, request);
    if (strncasecmp(call->url, "http://", 7) != 0 && strncasecmp(call->url, "https://", 8) != 0) {
        ls_fail(&call->refusal, LS_E_USAGE, "'%s' is not an http or https URL",
                ls_http_url_shown(call->url, shown, sizeof(shown)));
        because(&call->refusal, "bad_url");
    } else if (!call->method[0] ||
               strspn(call->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(call->method)) {
        ls_fail(&call->refusal, LS_E_USAGE, "'%s' is not an HTTP method", call->method);
        because(&call->refusal, "bad_method");
    }
    if (http->waiting.count >= http->options.max_waiting) {
        ls_fail(&call->refusal, LS_E_CANCELLED, "too many requests wait (%d)", http->waiting.count);
        because(&call->refusal, "queue_full");
    }

    if (call->refusal.code == LS_E_NONE && http->waiting.count == 0 &&
        http->active.count < http->options.max_active) {
        activate(call, now_ms);
        return call;
    }
    call->state = WAITING;
    list_add(&http->waiting, call);
    if (call->refusal.code != LS_E_NONE)
        uv_timer_start(&http->sweep, on_sweep, 0, SWEEP_MS);
    else if (!uv_is_active((uv_handle_t *)&http->sweep))
        uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    return call;
}

void ls_http_cancel(struct ls_call **pointer)
{
    struct ls_call *call = *pointer;
    struct ls_http *http;

    *pointer = NULL;
    if (!call)
        return;
    http = call->http;
    if (call->state == ACTIVE) {
        list_remove(&http->active, call);
        curl_multi_remove_handle(http->multi, call->easy);
    } else {
        list_remove(&http->waiting, call);
    }
    release(http, call);
    if (!http->busy) /* else drain does it at its end */
        start_waiting(http);
}

int ls_http_active(const struct ls_http *http)
{
    return http->active.count;
}

int ls_http_waiting(const struct ls_http *http)
{
    return http->waiting.count;
}

/* -------- ending -------- */

/* fresh: the connection was opened for this request. What is no HTTP on one that was kept may be
 * the rest of an earlier answer; only on a fresh one it says what the server is. */
static enum ls_err_code code_of(CURLcode result, long sent, bool fresh)
{
    switch (result) {
    case CURLE_URL_MALFORMAT:
        return LS_E_USAGE;
    case CURLE_SSL_CACERT_BADFILE:
        return LS_E_CONFIG;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return LS_E_NETWORK;
    case CURLE_ABORTED_BY_CALLBACK: /* on_send */
        return LS_E_LOST;
    case CURLE_OPERATION_TIMEDOUT:
        return sent > 0 ? LS_E_LOST : LS_E_TIMEOUT;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return fresh ? LS_E_INVALID : LS_E_LOST;
    case CURLE_BAD_CONTENT_ENCODING:
        return LS_E_INVALID;
    default:
        return sent > 0 ? LS_E_LOST : LS_E_NETWORK;
    }
}

/* What failed in one word, behind ls_fail. */
static void because(struct ls_err *err, const char *reason)
{
    snprintf(err->reason, sizeof err->reason, "%s", reason);
}

/* Why no connection came about. */
static const char *connect_fault(struct ls_call *call, CURLcode result)
{
    long number = 0;

    switch (result) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
        return "name_not_resolved";
    case CURLE_SSL_CONNECT_ERROR:
        return "tls_handshake";
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION:
        return "tls_certificate";
    case CURLE_COULDNT_CONNECT:
        break;
    default:
        return "connection_lost";
    }
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
    switch (number) {
    case ECONNREFUSED:
        return "refused";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "unreachable";
    case ETIMEDOUT:
        return "connect_timeout";
    default:
        return "not_connected";
    }
}

static void describe(struct ls_call *call, CURLcode result, struct ls_err *err)
{
    const char *why = curl_easy_strerror(result);
    enum ls_err_code code;
    char shown[256];
    long sent = 0, connects = 1;

    /* libcurl's own text may quote the URL with its secrets: only the fixed sentence of the code is
     * used */
    ls_http_url_shown(call->url, shown, sizeof(shown));
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    if (call->sends > 1) /* it was sent, and we refused to send it twice */
        sent = 1;
    if (call->too_big) {
        ls_fail(err, LS_E_TOO_BIG, "answer of '%s' exceeds %zu bytes", shown,
                call->max_response_bytes);
        because(err, "answer_too_big");
        return;
    }
    if (call->shunned[0] && !call->reached) {
        ls_fail(err, LS_E_PERMANENT, "'%s' leads to %s: refused", shown, call->shunned);
        ls_hint(err, "http.refuse_private is on: deliver to a public address, or turn it off");
        snprintf(err->reason, sizeof(err->reason), "private_address");
        return;
    }
    code = code_of(result, sent, connects > 0);
    switch (code) {
    case LS_E_INVALID:
        ls_fail(err, LS_E_INVALID, "'%s' does not answer by HTTP", shown);
        because(err, "not_http");
        break;
    case LS_E_LOST:
        if (result == CURLE_OPERATION_TIMEDOUT)
            ls_fail(err, LS_E_LOST, "no answer from '%s': timeout", shown);
        else
            ls_fail(err, LS_E_LOST, "no answer from '%s': connection lost", shown);
        because(err, result == CURLE_OPERATION_TIMEDOUT ? "answer_timeout" : "connection_lost");
        break;
    case LS_E_TIMEOUT:
        ls_fail(err, LS_E_TIMEOUT, "cannot reach '%s': timeout", shown);
        because(err, "connect_timeout");
        break;
    case LS_E_USAGE:
        ls_fail(err, LS_E_USAGE, "'%s' is not a URL", shown);
        because(err, "bad_url");
        break;
    default:
        ls_fail(err, code, "cannot reach '%s': %s", shown, why);
        because(err, connect_fault(call, result));
        if (result == CURLE_PEER_FAILED_VERIFICATION)
            ls_hint(err, "its certificate is not trusted: give the authority's with ca_file");
    }
}

static void complete(struct ls_call *call, CURLcode result)
{
    struct ls_http *http = call->http;
    struct ls_http_response response = {0};
    struct ls_err err = LS_ERR_INIT;
    const char *date;
    curl_off_t total_us = 0;
    long status = 0;

    list_remove(&http->active, call);
    if (result != CURLE_OK) {
        describe(call, result, &err);
        curl_multi_remove_handle(http->multi, call->easy);
        finish(call, NULL, &err);
        return;
    }
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    curl_multi_remove_handle(http->multi, call->easy);
    ls_buf_putc(&call->head, '\0');
    ls_buf_reserve(&call->answer, 1);
    call->answer.data[call->answer.length] = '\0';
    response.status = (int)status;
    response.body = (struct ls_span){call->answer.data, call->answer.length};
    response.headers = call->head.data;
    response.elapsed_ms = total_us / 1000;
    date = ls_http_header_get(&response, "date");
    response.remote_ms = date ? ls_http_date_parse(date) : 0;
    if (response.remote_ms < 0)
        response.remote_ms = 0;
    finish(call, &response, NULL);
}

/* Those that libcurl has finished. */
static void drain(struct ls_http *http)
{
    CURLMsg *message;
    int left;

    http->busy++;
    while (!http->closed && (message = curl_multi_info_read(http->multi, &left))) {
        struct ls_call *call = NULL;
        CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        complete(call, result);
    }
    http->busy--;
    if (!http->closed)
        start_waiting(http);
}

/* -------- the client -------- */

struct ls_http *ls_http_new(uv_loop_t *loop, const struct ls_http_options *options)
{
    static bool once;
    struct ls_http *http = LS_NEW(struct ls_http);

    if (!once)
        curl_global_init(CURL_GLOBAL_DEFAULT);
    once = true;
    if (options)
        http->options = *options;
    if (http->options.max_active <= 0)
        http->options.max_active = DEFAULT_ACTIVE;
    if (http->options.max_waiting <= 0)
        http->options.max_waiting = DEFAULT_WAITING;
    if (http->options.idle_age_s <= 0)
        http->options.idle_age_s = DEFAULT_IDLE_AGE_S;
    http->options.user_agent = ls_xstrdup(http->options.user_agent ? http->options.user_agent
                                                                   : "lockstep/" LOCKSTEP_VERSION);
    http->loop = loop;
    http->multi = curl_multi_init();
    ls_assert(http->multi);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->options.max_active);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)http->options.max_per_host);
    http->epoll = epoll_create1(EPOLL_CLOEXEC);
    ls_assert(http->epoll >= 0 && uv_poll_init(loop, &http->poll, http->epoll) == 0);
    http->poll.data = http;
    uv_poll_start(&http->poll, UV_READABLE, on_sockets);
    uv_unref((uv_handle_t *)&http->poll); /* requests keep the loop alive by the timer below */
    uv_timer_init(loop, &http->timer);
    uv_timer_init(loop, &http->sweep);
    http->timer.data = http->sweep.data = http;
    http->open_handles = 3;
    return http;
}

static void on_closed(uv_handle_t *handle)
{
    struct ls_http *http = handle->data;

    if (--http->open_handles > 0)
        return;
    close(http->epoll);
    free(http->watched);
    free((char *)http->options.user_agent);
    free(http);
}

static void free_list(struct ls_http *http, struct list *list)
{
    while (list->first) {
        struct ls_call *call = list->first;
        list_remove(list, call);
        if (list == &http->active)
            curl_multi_remove_handle(http->multi, call->easy);
        call_free(call);
    }
}

void ls_http_close(struct ls_http **pointer)
{
    struct ls_http *http = *pointer;

    *pointer = NULL;
    if (!http)
        return;
    http->closed = true;
    free_list(http, &http->active);
    free_list(http, &http->waiting);
    free_list(http, &http->pool);
    curl_multi_cleanup(http->multi);
    http->multi = NULL;
    uv_close((uv_handle_t *)&http->poll, on_closed);
    uv_close((uv_handle_t *)&http->timer, on_closed);
    uv_close((uv_handle_t *)&http->sweep, on_closed);
}

/* -------- reading answers -------- */

const char *ls_http_header_get(const struct ls_http_response *response, const char *name)
{
    size_t length = strlen(name);
    const char *at;

    for (at = response->headers; at && *at; at += strlen(at) + 1)
        if (strncasecmp(at, name, length) == 0 && at[length] == ':') {
            at += length + 1;
            return at + strspn(at, " \t");
        }
    return NULL;
}

int ls_http_status_error(const struct ls_http_response *response, const char *shown,
                         struct ls_err *err)
{
    int status = response->status;
    int64_t after =
        ls_retry_after_ms(ls_http_header_get(response, "retry-after"), response->remote_ms);
    enum ls_err_code code = LS_E_PERMANENT;

    if (status >= 200 && status < 300)
        return 0;
    if (status == 429 || (status == 503 && after >= 0))
        code = LS_E_THROTTLED;
    else if (status == 408 || status == 425 || status >= 500)
        code = LS_E_TRANSIENT;
    else if (status == 401 || status == 403)
        code = LS_E_AUTH;
    else if (status == 404 || status == 410)
        code = LS_E_NOT_FOUND;
    else if (status == 409 || status == 412)
        code = LS_E_CONFLICT;
    ls_fail(err, code, "'%s' answered %d", shown, status);
    if (status >= 300 && status < 400)
        ls_hint(err, "redirects are not followed: give the final URL");
    if (err) {
        err->http_status = status;
        err->retry_after_ms = after;
    }
    return -1;
}
