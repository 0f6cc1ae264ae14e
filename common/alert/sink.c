#include "common/alert/sink.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/alert/notice.h"
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/http/client.h"

#define SIGNATURE_SIZE 72 /* "sha256=" and 64 digits */

struct ls_delivery {
    ls_delivery_cb *done; /* NULL once cancelled */
    void *arg;
    struct ls_call *call; /* a webhook's request */
    /* a command */
    struct ls_buf input;
    uv_process_t process;
    uv_pipe_t pipe;
    uv_write_t write;
    uv_timer_t timer;
    int64_t timeout_ms;
    int64_t exit_status;
    int signal;
    int spawn_error;
    int open_handles;
    bool running, timed_out;
};

static void begin_request(struct ls_delivery *delivery, struct ls_http *http,
                          const struct ls_sink *sink, const char *json, int64_t timeout_ms);
static void on_response(void *arg, const struct ls_http_response *response,
                        const struct ls_err *err);
static void begin_command(struct ls_delivery *delivery, uv_loop_t *loop, const struct ls_sink *sink,
                          const char *json, int64_t timeout_ms);
static void on_deadline(uv_timer_t *timer);
static void on_written(uv_write_t *write, int status);
static void on_exit_of(uv_process_t *process, int64_t status, int number);
static void close_command(struct ls_delivery *delivery);
static void close_pipe(struct ls_delivery *delivery);
static void on_handle_closed(uv_handle_t *handle);
static void tell_command(struct ls_delivery *delivery);
static void finish(struct ls_delivery *delivery, const struct ls_err *err);
static void sign(const char *secret, const struct ls_buf *body, char out[SIGNATURE_SIZE]);

const char *ls_sink_id(const struct ls_sink *sink, char out[LS_SINK_ID_SIZE])
{
    struct ls_buf name = {0};

    if (sink->url)
        ls_buf_printf(&name, "%s %s", sink->slack ? "slack" : "json", sink->url);
    for (char *const *word = sink->argv; word && *word; word++)
        ls_buf_printf(&name, "%s%c", *word, 0);
    snprintf(out, LS_SINK_ID_SIZE, "%016llx", (unsigned long long)ls_fnv1a(name.data, name.length));
    ls_buf_fini(&name);
    return out;
}

struct ls_delivery *ls_delivery_begin(uv_loop_t *loop, struct ls_http *http,
                                      const struct ls_sink *sink, const char *json,
                                      int64_t timeout_ms, ls_delivery_cb *done, void *arg)
{
    struct ls_delivery *delivery = LS_NEW(struct ls_delivery);

    delivery->done = done;
    delivery->arg = arg;
    if (sink->url)
        begin_request(delivery, http, sink, json, timeout_ms);
    else
        begin_command(delivery, loop, sink, json, timeout_ms);
    return delivery;
}

void ls_delivery_cancel(struct ls_delivery **pointer)
{
    struct ls_delivery *delivery = *pointer;

    *pointer = NULL;
    if (!delivery)
        return;
    delivery->done = NULL;
    if (delivery->call) {
        ls_http_cancel(&delivery->call);
        free(delivery);
    } else if (delivery->running) { /* its exit closes the rest */
        uv_kill(-delivery->process.pid, SIGKILL);
    }
}

static void begin_request(struct ls_delivery *delivery, struct ls_http *http,
                          const struct ls_sink *sink, const char *json, int64_t timeout_ms)
{
    struct ls_buf body = {0};
    char signature[SIGNATURE_SIZE];
    struct ls_http_header headers[3] = {{"Content-Type", "application/json"}};
    struct ls_http_request request = {.method = "POST",
                                      .url = sink->url,
                                      .headers = headers,
                                      .timeout_ms = timeout_ms,
                                      .max_response_bytes = 65536};

    if (!sink->slack || ls_notice_slack(json, &body) < 0)
        ls_buf_puts(&body, json);
    if (sink->secret) {
        sign(sink->secret, &body, signature);
        headers[1] = (struct ls_http_header){"X-Lockstep-Signature", signature};
    }
    request.body = body.data;
    request.body_length = body.length;
    delivery->call = ls_http_begin(http, &request, on_response, delivery);
    ls_buf_fini(&body);
}

static void on_response(void *arg, const struct ls_http_response *response,
                        const struct ls_err *err)
{
    struct ls_delivery *delivery = arg;
    struct ls_err status = LS_ERR_INIT;

    delivery->call = NULL;
    if (!err && ls_http_status_error(response, "alert webhook", &status) < 0)
        err = &status;
    finish(delivery, err);
}

static void begin_command(struct ls_delivery *delivery, uv_loop_t *loop, const struct ls_sink *sink,
                          const char *json, int64_t timeout_ms)
{
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&delivery->pipe},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .exit_cb = on_exit_of,
        .file = sink->argv[0],
        .args = (char **)sink->argv,
        .flags =
            UV_PROCESS_DETACHED, /* a process group of its own, so that its children die with it */
        .stdio_count = 3,
        .stdio = stdio,
    };
    uv_buf_t buf;

    delivery->timeout_ms = timeout_ms;
    uv_pipe_init(loop, &delivery->pipe, 0);
    uv_timer_init(loop, &delivery->timer);
    delivery->pipe.data = delivery->timer.data = delivery->process.data = delivery;
    delivery->open_handles = 3;
    delivery->spawn_error = uv_spawn(loop, &delivery->process, &options);
    delivery->running = delivery->spawn_error == 0;
    uv_timer_start(&delivery->timer, on_deadline, delivery->running ? (uint64_t)timeout_ms : 0, 0);
    if (!delivery->running)
        return;
    ls_buf_puts(&delivery->input, json);
    ls_buf_putc(&delivery->input, '\n');
    buf = uv_buf_init(delivery->input.data, (unsigned)delivery->input.length);
    if (uv_write(&delivery->write, (uv_stream_t *)&delivery->pipe, &buf, 1, on_written) < 0)
        close_pipe(delivery);
}

static void on_deadline(uv_timer_t *timer)
{
    struct ls_delivery *delivery = timer->data;

    if (!delivery->running) {
        close_command(delivery);
        return;
    }
    delivery->timed_out = true;
    uv_kill(-delivery->process.pid, SIGKILL);
}

static void on_written(uv_write_t *write, int status)
{
    close_pipe(
        write->handle
            ->data); /* the command sees the end of its input; a write error is its own business */
}

static void on_exit_of(uv_process_t *process, int64_t status, int number)
{
    struct ls_delivery *delivery = process->data;

    delivery->running = false;
    delivery->exit_status = status;
    delivery->signal = number;
    uv_kill(-process->pid, SIGKILL); /* what it left behind in its group */
    close_command(delivery);
}

static void close_command(struct ls_delivery *delivery)
{
    uv_close((uv_handle_t *)&delivery->timer, on_handle_closed);
    uv_close((uv_handle_t *)&delivery->process, on_handle_closed);
    close_pipe(delivery);
}

static void close_pipe(struct ls_delivery *delivery)
{
    if (!uv_is_closing((uv_handle_t *)&delivery->pipe))
        uv_close((uv_handle_t *)&delivery->pipe, on_handle_closed);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct ls_delivery *delivery = handle->data;

    if (--delivery->open_handles == 0)
        tell_command(delivery);
}

static void tell_command(struct ls_delivery *delivery)
{
    struct ls_err err = LS_ERR_INIT;

    ls_buf_fini(&delivery->input);
    if (delivery->spawn_error)
        ls_fail(&err, LS_E_SYSTEM, "cannot run the alert command: %s",
                uv_strerror(delivery->spawn_error));
    else if (delivery->timed_out)
        ls_fail(&err, LS_E_LOST, "the alert command did not end within %lld ms",
                (long long)delivery->timeout_ms);
    else if (delivery->signal)
        ls_fail(&err, LS_E_TRANSIENT, "the alert command was killed by signal %d",
                delivery->signal);
    else if (delivery->exit_status)
        ls_fail(&err, LS_E_TRANSIENT, "the alert command ended with exit status %lld",
                (long long)delivery->exit_status);
    finish(delivery, err.code ? &err : NULL);
}

static void finish(struct ls_delivery *delivery, const struct ls_err *err)
{
    struct ls_delivery last = *delivery;

    free(delivery);
    if (last.done)
        last.done(last.arg, err);
}

static void sign(const char *secret, const struct ls_buf *body, char out[SIGNATURE_SIZE])
{
    unsigned char digest[32];
    size_t at = (size_t)snprintf(out, SIGNATURE_SIZE, "sha256=");

    ls_hmac_sha256(secret, strlen(secret), body->data, body->length, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        at += (size_t)snprintf(out + at, SIGNATURE_SIZE - at, "%02x", digest[i]);
}
