#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/client.h"
#include "tests/support/http_server.h"
#include "tests/support/temp.h"

struct fixture {
    uv_loop_t loop;
    struct ls_http *http;
    struct test_http *server;
    uv_timer_t guard;
    uint64_t expire_at;
    bool expired;
    int answers, errors;
    int status;
    char body[4096], header[128], date_header[64];
    size_t body_length;
    int64_t remote_ms;
    struct ls_err err;
    struct ls_call *begin_again; /* the next is begun in the callback */
    int order[64];
};

static void on_guard(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;

    fixture->expired = uv_now(&fixture->loop) >= fixture->expire_at;
}

static void set_up(struct fixture *fixture, const struct ls_http_options *options)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->server = test_http_start();
    uv_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop, &fixture->guard);
    fixture->guard.data = fixture;
    uv_timer_start(&fixture->guard, on_guard, 5, 5);
    fixture->expire_at = uv_now(&fixture->loop) + 20000;
    fixture->http = ls_http_new(&fixture->loop, options);
}

static void tear_down(struct fixture *fixture)
{
    ls_http_close(&fixture->http);
    uv_close((uv_handle_t *)&fixture->guard, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    test_http_stop(fixture->server);
}

static void on_done(void *arg, const struct ls_http_response *response, const struct ls_err *err)
{
    struct fixture *fixture = arg;
    const char *header;

    assert_true(!response != !err);
    if (err) {
        fixture->errors++;
        fixture->err = *err;
        return;
    }
    fixture->answers++;
    fixture->status = response->status;
    fixture->remote_ms = response->remote_ms;
    fixture->body_length = response->body.length;
    snprintf(fixture->body, sizeof(fixture->body), "%s", response->body.data);
    header = ls_http_header_get(response, "x-wp-total");
    snprintf(fixture->header, sizeof(fixture->header), "%s", header ? header : "(none)");
}

static void begin(struct fixture *fixture, const char *path, struct ls_http_request request)
{
    char url[512];

    snprintf(url, sizeof(url), "%s%s", test_http_url(fixture->server), path);
    if (!request.url)
        request.url = url;
    ls_http_begin(fixture->http, &request, on_done, fixture);
}

static void run_until(struct fixture *fixture, int answers, int errors)
{
    while ((fixture->answers < answers || fixture->errors < errors) && !fixture->expired)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_false(fixture->expired);
    assert_int_equal(fixture->answers, answers);
    assert_int_equal(fixture->errors, errors);
}

static void http__get__status_headers_body_and_date(void **state)
{
    struct fixture fixture;

    set_up(&fixture, NULL);
    begin(&fixture, "/headers",
          (struct ls_http_request){
              .headers = (struct ls_http_header[]){{"X-Mine", "yes"}, {"X-Empty", ""}, {0}},
              .userpwd = "ck_1:cs_2"});
    run_until(&fixture, 1, 0);
    assert_int_equal(fixture.status, 200);
    assert_string_equal(fixture.header, "42");
    assert_int_equal(fixture.remote_ms, 784111777000);
    assert_non_null(strstr(fixture.body, "GET /headers HTTP/1.1\r\n"));
    assert_non_null(strstr(fixture.body, "X-Mine: yes\r\n"));
    assert_non_null(strstr(fixture.body, "X-Empty:"));
    assert_non_null(strstr(fixture.body, "Authorization: Basic Y2tfMTpjc18y\r\n"));
    assert_null(strstr(fixture.body, "Expect"));
    tear_down(&fixture);
}

static void http__bodies__pass_unchanged(void **state)
{
    static const char *methods[] = {"POST", "PUT", "PATCH", "DELETE"};
    struct fixture fixture;
    int i, j;

    set_up(&fixture, NULL);
    for (i = 0; i < 4; i++)
        for (j = 0; j < 2; j++) {
            fixture.answers = 0;
            begin(&fixture, "/echo",
                  (struct ls_http_request){.method = methods[i],
                                           .body = "{\"a\": 0.1}",
                                           .body_length = 10,
                                           .idempotent = j});
            run_until(&fixture, 1, 0);
            assert_string_equal(fixture.body, "{\"a\": 0.1}");
        }
    fixture.answers = 0;
    begin(&fixture, "/status/404", (struct ls_http_request){.method = "DELETE"});
    run_until(&fixture, 1, 0);
    assert_int_equal(fixture.status, 404);
    assert_non_null(strstr(test_http_request(fixture.server, 0), "POST /echo"));
    assert_null(strstr(test_http_request(fixture.server, 0), "x-www-form"));
    tear_down(&fixture);
}

static void http__handles_reused__carry_nothing_over(void **state)
{
    struct fixture fixture;
    int i;

    set_up(&fixture, NULL);
    for (i = 0; i < 3; i++) { /* the same pooled handle each time */
        fixture.answers = 0;
        begin(
            &fixture, "/headers",
            (struct ls_http_request){.method = "PUT",
                                     .body = "secret",
                                     .body_length = 6,
                                     .userpwd = i ? NULL : "a:b",
                                     .headers = (struct ls_http_header[]){{"X-Mine", "yes"}, {0}}});
        run_until(&fixture, 1, 0);
        begin(&fixture, "/headers", (struct ls_http_request){0});
        run_until(&fixture, 2, 0);
        assert_non_null(strstr(fixture.body, "GET /headers"));
        assert_null(strstr(fixture.body, "X-Mine"));
        assert_null(strstr(fixture.body, "Content-Length"));
        assert_null(strstr(fixture.body, "Authorization"));
        begin(&fixture, "/x", (struct ls_http_request){.method = "HEAD"});
        run_until(&fixture, 3, 0);
        assert_int_equal(fixture.body_length, 0);
        begin(&fixture, "/headers", (struct ls_http_request){.method = "DELETE"});
        run_until(&fixture, 4, 0);
        assert_non_null(strstr(fixture.body, "DELETE /headers"));
        assert_null(strstr(fixture.body, "Content-Length"));
    }
    tear_down(&fixture);
}

static void http__connections__are_reused(void **state)
{
    struct fixture fixture;
    int i;

    set_up(&fixture, NULL);
    for (i = 0; i < 50; i++) {
        begin(&fixture, "/x",
              (struct ls_http_request){.method = "POST", .body = "x", .body_length = 1});
        run_until(&fixture, i + 1, 0);
    }
    assert_int_equal(test_http_connections(fixture.server), 1);
    tear_down(&fixture);
}

static void http__many__only_so_many_at_once_and_in_order(void **state)
{
    struct fixture fixture;
    int i;

    set_up(&fixture, &(struct ls_http_options){.max_active = 8});
    for (i = 0; i < 500; i++)
        begin(&fixture, "/x", (struct ls_http_request){0});
    assert_int_equal(ls_http_active(fixture.http), 8);
    assert_int_equal(ls_http_waiting(fixture.http), 492);
    run_until(&fixture, 500, 0);
    assert_in_range(test_http_connections(fixture.server), 1, 8);
    assert_int_equal(ls_http_active(fixture.http) + ls_http_waiting(fixture.http), 0);
    tear_down(&fixture);
}

static void http__nothing_sent__is_network(void **state)
{
    struct fixture fixture;
    char url[128];

    set_up(&fixture, NULL);
    snprintf(url, sizeof(url), "http://user:hush@127.0.0.1:%d/a?token=hush", test_free_port());
    begin(&fixture, "", (struct ls_http_request){.url = url});
    run_until(&fixture, 0, 1);
    assert_int_equal(fixture.err.code, LS_E_NETWORK);
    assert_null(strstr(fixture.err.text, "hush"));
    assert_non_null(strstr(fixture.err.text, "127.0.0.1"));
    assert_string_equal(fixture.err.reason, "refused");
    snprintf(url, sizeof(url), "https%s/",
             test_http_url(fixture.server) + 4); /* it does not speak TLS */
    begin(&fixture, "", (struct ls_http_request){.url = url, .timeout_ms = 2000});
    run_until(&fixture, 0, 2);
    assert_true(fixture.err.code == LS_E_NETWORK || fixture.err.code == LS_E_TIMEOUT);
    assert_true(strcmp(fixture.err.reason, "tls_handshake") == 0 ||
                strcmp(fixture.err.reason, "connect_timeout") == 0);
    begin(&fixture, "", (struct ls_http_request){.url = "http://nobody.invalid/"});
    run_until(&fixture, 0, 3);
    assert_int_equal(fixture.err.code, LS_E_NETWORK);
    assert_string_equal(fixture.err.reason, "name_not_resolved");
    tear_down(&fixture);
}

static void http__no_answer__is_lost(void **state)
{
    static const char *paths[] = {"/close", "/reset", "/stall", "/half"};
    struct fixture fixture;
    int i;

    set_up(&fixture, NULL);
    for (i = 0; i < 4; i++) {
        begin(&fixture, paths[i],
              (struct ls_http_request){
                  .method = "POST", .body = "x", .body_length = 1, .timeout_ms = 300});
        run_until(&fixture, 0, i + 1);
        assert_int_equal(fixture.err.code, LS_E_LOST);
        assert_string_equal(fixture.err.reason, i < 2 ? "connection_lost" : "answer_timeout");
        assert_int_equal(test_http_requests(fixture.server), i + 1);
    }
    assert_non_null(strstr(fixture.err.text, "timeout"));
    tear_down(&fixture);
}

static void http__kept_connection_dies_unanswered__nothing_is_sent_twice(void **state)
{
    struct fixture fixture;

    set_up(&fixture, NULL);
    begin(&fixture, "/x", (struct ls_http_request){0});
    run_until(&fixture, 1, 0);
    begin(&fixture, "/close",
          (struct ls_http_request){.method = "POST", .body = "pay", .body_length = 3});
    run_until(&fixture, 1, 1);
    assert_int_equal(fixture.err.code, LS_E_LOST);
    assert_int_equal(test_http_requests(fixture.server), 2);
    begin(&fixture, "/x", (struct ls_http_request){0});
    run_until(&fixture, 2, 1);
    begin(&fixture, "/close",
          (struct ls_http_request){.method = "DELETE"}); /* no body: a connection of its own */
    run_until(&fixture, 2, 2);
    assert_int_equal(fixture.err.code, LS_E_LOST);
    assert_int_equal(test_http_requests(fixture.server), 4);
    tear_down(&fixture);
}

static void http__sends__are_counted_as_often_as_they_happen(void **state)
{
    struct fixture fixture;
    char url[128];
    int read = 0, lost = 0, write = 0, none = 0;

    set_up(&fixture, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_free_port());
    begin(&fixture, "/status/500", (struct ls_http_request){.sends = &read});
    run_until(&fixture, 1, 0);
    assert_int_equal(read, 1);
    begin(&fixture, "/close", (struct ls_http_request){.idempotent = true, .sends = &lost});
    run_until(&fixture, 1, 1);
    begin(&fixture, "/x", (struct ls_http_request){.sends = &read});
    run_until(&fixture, 2, 1);
    assert_int_equal(read, 2);
    begin(&fixture, "/close",
          (struct ls_http_request){
              .method = "POST", .body = "pay", .body_length = 3, .sends = &write});
    run_until(&fixture, 2, 2);
    assert_int_equal(write, 1);
    assert_int_equal(lost, 2); /* the kept connection died: libcurl sent it again */
    assert_int_equal(test_http_requests(fixture.server), read + lost + write);
    begin(&fixture, "", (struct ls_http_request){.url = url, .sends = &none});
    run_until(&fixture, 2, 3);
    assert_int_equal(none, 0);
    tear_down(&fixture);
}

static void http__bad_answers__are_named(void **state)
{
    struct fixture fixture;

    set_up(&fixture, NULL);
    begin(&fixture, "/junk", (struct ls_http_request){0});
    run_until(&fixture, 0, 1);
    assert_int_equal(fixture.err.code, LS_E_INVALID);
    assert_string_equal(fixture.err.reason, "not_http");
    begin(&fixture, "/big/100000", (struct ls_http_request){.max_response_bytes = 99999});
    run_until(&fixture, 0, 2);
    assert_int_equal(fixture.err.code, LS_E_TOO_BIG);
    assert_string_equal(fixture.err.reason, "answer_too_big");
    begin(&fixture, "/big/100000", (struct ls_http_request){.max_response_bytes = 100000});
    run_until(&fixture, 1, 2);
    assert_int_equal(fixture.body_length, 100000);
    tear_down(&fixture);
}

static void http__junk_on_a_kept_connection__says_nothing_about_the_server(void **state)
{
    struct fixture fixture;

    set_up(&fixture, NULL);
    begin(&fixture, "/x", (struct ls_http_request){0});
    run_until(&fixture, 1, 0);
    begin(&fixture, "/junk", (struct ls_http_request){0});
    run_until(&fixture, 1, 1);
    assert_int_equal(test_http_connections(fixture.server), 1);
    assert_int_equal(fixture.err.code, LS_E_LOST);
    tear_down(&fixture);
}

static void http__bad_requests__are_refused_by_the_callback(void **state)
{
    struct fixture fixture;

    set_up(&fixture, NULL);
    begin(&fixture, "", (struct ls_http_request){.url = "file:///etc/passwd"});
    begin(&fixture, "", (struct ls_http_request){.url = "gopher://x"});
    begin(&fixture, "/x", (struct ls_http_request){.method = "GET /evil"});
    begin(&fixture, "/x",
          (struct ls_http_request){.headers = (struct ls_http_header[]){{"X", "a\r\nY: b"}, {0}}});
    assert_int_equal(fixture.errors, 0);
    run_until(&fixture, 0, 4);
    assert_int_equal(fixture.err.code, LS_E_USAGE);
    assert_string_equal(fixture.err.reason, "bad_header"); /* of the last one */
    assert_int_equal(test_http_requests(fixture.server), 0);
    tear_down(&fixture);
}

static void http__waiting_too_long__is_a_timeout(void **state)
{
    struct fixture fixture;

    set_up(&fixture, &(struct ls_http_options){.max_active = 1, .max_waiting = 2});
    begin(&fixture, "/delay/900", (struct ls_http_request){0});
    begin(&fixture, "/x", (struct ls_http_request){.timeout_ms = 100});
    begin(&fixture, "/x", (struct ls_http_request){0});
    begin(&fixture, "/x", (struct ls_http_request){0}); /* one too many */
    run_until(&fixture, 0, 1);
    assert_int_equal(fixture.err.code, LS_E_CANCELLED);
    assert_string_equal(fixture.err.reason, "queue_full");
    run_until(&fixture, 0, 2);
    assert_int_equal(fixture.err.code, LS_E_TIMEOUT);
    assert_string_equal(fixture.err.reason, "queue_timeout");
    run_until(&fixture, 2, 2);
    assert_int_equal(test_http_requests(fixture.server), 2);
    tear_down(&fixture);
}

static void http__cancel__calls_nobody(void **state)
{
    struct fixture fixture;
    char url[128];
    struct ls_call *active, *waiting;

    set_up(&fixture, &(struct ls_http_options){.max_active = 1});
    snprintf(url, sizeof(url), "%s/stall", test_http_url(fixture.server));
    active = ls_http_begin(fixture.http, &(struct ls_http_request){.url = url}, on_done, &fixture);
    waiting = ls_http_begin(fixture.http, &(struct ls_http_request){.url = url}, on_done, &fixture);
    while (test_http_requests(fixture.server) < 1)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    ls_http_cancel(&waiting);
    ls_http_cancel(&active);
    assert_null(active);
    begin(&fixture, "/x", (struct ls_http_request){0});
    run_until(&fixture, 1, 0);
    tear_down(&fixture);
}

static void close_in_callback(void *arg, const struct ls_http_response *response,
                              const struct ls_err *err)
{
    struct fixture *fixture = arg;

    fixture->answers++;
    ls_http_close(&fixture->http);
}

static void http__closed_in_a_callback__calls_nobody_any_more(void **state)
{
    struct fixture fixture;
    char url[128];
    int i;

    set_up(&fixture, &(struct ls_http_options){.max_active = 4});
    snprintf(url, sizeof(url), "%s/x", test_http_url(fixture.server));
    for (i = 0; i < 20; i++)
        ls_http_begin(fixture.http, &(struct ls_http_request){.url = url}, close_in_callback,
                      &fixture);
    while (fixture.answers < 1)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    for (i = 0; i < 5; i++)
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture.answers, 1);
    tear_down(&fixture);
}

static void refuse(struct fixture *fixture, const char *url, const char *text)
{
    int errors = fixture->errors;

    begin(fixture, "",
          (struct ls_http_request){
              .url = url, .method = "POST", .body = "x", .body_length = 1, .refuse_private = true});
    run_until(fixture, fixture->answers, errors + 1);
    assert_int_equal(fixture->err.code, LS_E_PERMANENT);
    assert_string_equal(fixture->err.reason, "private_address");
    assert_non_null(strstr(fixture->err.hint, "http.refuse_private"));
    if (!strstr(fixture->err.text, text))
        fail_msg("'%s' does not hold '%s'", fixture->err.text, text);
}

static void http__refuse_private__looks_at_the_address_behind_the_name(void **state)
{
    static const struct {
        const char *format, *text;
    } table[] = {
        {"http://127.0.0.1:%d/x", "127.0.0.1 (loopback)"},
        {"http://127.1:%d/x", "127.0.0.1 (loopback)"},
        {"http://2130706433:%d/x", "127.0.0.1 (loopback)"},
        {"http://0:%d/x", "0.0.0.0 (unspecified)"},
        {"http://localhost:%d/x", "(loopback)"},
        {"http://[::1]:%d/x", "::1 (loopback)"},
        {"http://[::ffff:127.0.0.1]:%d/x", "(loopback)"},
        {"http://10.1.2.3:%d/x", "10.1.2.3 (private)"},
        {"http://169.254.169.254:%d/latest/meta-data", "169.254.169.254 (link-local)"},
        {"https://192.168.0.1:%d/x", "192.168.0.1 (private)"},
        {"http://public.example@127.0.0.1:%d/x", "127.0.0.1 (loopback)"},
    };
    struct fixture fixture;
    char url[128];
    int port;
    size_t i;

    set_up(&fixture, NULL);
    port = (int)strtol(strrchr(test_http_url(fixture.server), ':') + 1, NULL, 10);
    setenv("http_proxy", test_http_url(fixture.server), 1); /* no way around it */
    setenv("https_proxy", test_http_url(fixture.server), 1);
    for (i = 0; i < LS_COUNT(table); i++) {
        snprintf(url, sizeof(url), table[i].format, port);
        refuse(&fixture, url, table[i].text);
    }
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    assert_int_equal(test_http_connections(fixture.server), 0);
    begin(&fixture, "/x", (struct ls_http_request){0}); /* others are not concerned */
    run_until(&fixture, 1, (int)LS_COUNT(table));
    tear_down(&fixture);
}

static void http__refuse_private__holds_for_a_kept_connection(void **state)
{
    struct fixture fixture;
    char url[128];
    int i;

    set_up(&fixture, NULL);
    snprintf(url, sizeof(url), "%s/x", test_http_url(fixture.server));
    for (i = 0; i < 3; i++) {
        begin(&fixture, "", (struct ls_http_request){.url = url});
        run_until(&fixture, i + 1, i);
        refuse(&fixture, url, "127.0.0.1 (loopback)");
        assert_int_equal(test_http_requests(fixture.server), i + 1);
    }
    tear_down(&fixture);
}

/* A network of its own, in which the loopback device has a public address. */
static bool enter_public_network(struct sockaddr_in *address)
{
    struct ifreq device = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    struct ifreq second = {.ifr_name = "lo:1"};
    int fd;

    *address = (struct sockaddr_in){.sin_family = AF_INET};
    inet_pton(AF_INET, "9.9.9.9", &address->sin_addr);
    memcpy(&second.ifr_addr, address, sizeof(*address));
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return ioctl(fd, SIOCSIFFLAGS, &device) == 0 && ioctl(fd, SIOCSIFADDR, &second) == 0;
}

static _Noreturn void serve_once(int listener)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char bytes[4096];
    int fd = accept(listener, NULL, NULL);

    if (recv(fd, bytes, sizeof(bytes), 0) > 0)
        send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
    recv(fd, bytes, sizeof(bytes), 0);
    _exit(0);
}

#define NO_NETWORK 77

static void reach_a_public_address(void)
{
    struct fixture fixture;
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    char url[64];
    int listener;

    if (!enter_public_network(&address))
        _exit(NO_NETWORK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        _exit(1);
    if (fork() == 0)
        serve_once(listener);
    set_up(&fixture, NULL);
    snprintf(url, sizeof(url), "http://9.9.9.9:%d/x", ntohs(address.sin_port));
    begin(&fixture, "", (struct ls_http_request){.url = url, .refuse_private = true});
    while (fixture.answers + fixture.errors == 0 && !fixture.expired)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    _exit(fixture.answers == 1 && fixture.status == 200 ? 0 : 1);
}

static void http__refuse_private__reaches_public_addresses(void **state)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        reach_a_public_address();
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_NETWORK)
        skip(); /* namespaces are not allowed here */
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http__get__status_headers_body_and_date),
        cmocka_unit_test(http__bodies__pass_unchanged),
        cmocka_unit_test(http__handles_reused__carry_nothing_over),
        cmocka_unit_test(http__connections__are_reused),
        cmocka_unit_test(http__many__only_so_many_at_once_and_in_order),
        cmocka_unit_test(http__nothing_sent__is_network),
        cmocka_unit_test(http__no_answer__is_lost),
        cmocka_unit_test(http__kept_connection_dies_unanswered__nothing_is_sent_twice),
        cmocka_unit_test(http__sends__are_counted_as_often_as_they_happen),
        cmocka_unit_test(http__bad_answers__are_named),
        cmocka_unit_test(http__junk_on_a_kept_connection__says_nothing_about_the_server),
        cmocka_unit_test(http__bad_requests__are_refused_by_the_callback),
        cmocka_unit_test(http__waiting_too_long__is_a_timeout),
        cmocka_unit_test(http__cancel__calls_nobody),
        cmocka_unit_test(http__closed_in_a_callback__calls_nobody_any_more),
        cmocka_unit_test(http__refuse_private__looks_at_the_address_behind_the_name),
        cmocka_unit_test(http__refuse_private__holds_for_a_kept_connection),
        cmocka_unit_test(http__refuse_private__reaches_public_addresses),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
