/* Kind `http`: deliver `body` to `url`.
 *
 *   {"url": "https://...", "method": "POST", "headers": {"X-A": "b"}, "body": {...} or "text"}
 *
 * The body's bytes are sent exactly as they stand in the envelope, or the text itself when it is a
 * JSON string. `Idempotency-Key` is the job's id; with `http.secret` configured,
 * `Lockstep-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`.
 *
 * 2xx: done. 408, 425, 5xx and no answer: again. 429 and 503 with Retry-After: again after it.
 * Everything else is for good: a redirect is not followed, and a 401 or 404 will not mend by
 * itself.
 *
 * What an answer says of the budget (common/http/ratelimit.h) is learnt for the job's account. The
 * result, for who asked: {"status":200,"body":...}, the body as it is when it is JSON, else as a
 * text; "truncated":true when it was too long. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/base/log.h"
#include "common/http/client.h"
#include "common/http/ratelimit.h"
#include "common/job/json.h"
#include "worker/handlers/handlers_internal.h"
#include "worker/handlers/result.h"

#define TIMEOUT_MS 60000
#define HEADERS_MAX 40
#define OUR_HEADERS 4
#define ANSWER_BYTES ((size_t)1024 * 1024) /* an answer is only looked at for its status */
#define JSON_DEPTH 64

struct delivery {
    struct ls_run *run;
    struct ls_call *call;
    int sends;     /* whether it was sent */
    char url[256]; /* as shown */
};

struct plan {
    char *url, *method;
    struct ls_buf text; /* the body, when it was a JSON string */
    struct ls_span body;
    bool has_body, is_text;
    struct ls_http_header headers[HEADERS_MAX + OUR_HEADERS + 1];
    int header_count;
    char *owned[2 * HEADERS_MAX]; /* header names and values */
    int owned_count;
    char signature[128], id[160];
};

static void plan_fini(struct plan *plan)
{
    int i;

    free(plan->url);
    free(plan->method);
    ls_buf_fini(&plan->text);
    for (i = 0; i < plan->owned_count; i++)
        free(plan->owned[i]);
}

/* The text of a JSON string value; NULL when it is something else. */
static char *text_of(struct ls_span value)
{
    struct ls_span inside;
    struct ls_buf out = {0};
    bool escaped;

    if (!ls_json_is_string(value, &inside, &escaped))
        return NULL;
    if (escaped)
        ls_json_unescape(&out, inside);
    else
        ls_buf_add(&out, inside.data, inside.length);
    if (out.length > 0 && memchr(out.data, '\0', out.length)) {
        ls_buf_fini(&out);
        return NULL;
    }
    return ls_buf_take(&out);
}

static bool has_header(const struct plan *plan, const char *name)
{
    int i;

    for (i = 0; i < plan->header_count; i++)
        if (strcasecmp(plan->headers[i].name, name) == 0)
            return true;
    return false;
}

static int read_headers(struct plan *plan, struct ls_span value, struct ls_err *err)
{
    struct ls_span name, text;
    struct ls_json json;
    bool first = true;

    ls_json_init(&json, value.data, value.length, JSON_DEPTH);
    if (!ls_json_open(&json))
        return ls_fail(err, LS_E_PERMANENT, "data.headers is not an object");
    while (ls_json_next(&json, &first, &name, &text)) {
        struct ls_buf unescaped = {0};
        char *header, *content = text_of(text);
        if (!content || plan->header_count == HEADERS_MAX) {
            free(content);
            return ls_fail(err, LS_E_PERMANENT,
                           content ? "data.headers has more than %d members"
                                   : "a value in data.headers is not a text (%d at most)",
                           HEADERS_MAX);
        }
        ls_json_unescape(&unescaped, name);
        header = ls_buf_take(&unescaped);
        plan->owned[plan->owned_count++] = header;
        plan->owned[plan->owned_count++] = content;
        plan->headers[plan->header_count++] = (struct ls_http_header){header, content};
    }
    return 0;
}

static int read_body(struct plan *plan, struct ls_span value, struct ls_err *err)
{
    struct ls_span inside;
    bool escaped;

    plan->has_body = true;
    plan->body = value;
    if (!ls_json_is_string(value, &inside, &escaped))
        return 0;
    plan->is_text = true;
    plan->body = inside;
    if (escaped) {
        ls_json_unescape(&plan->text, inside);
        plan->body = (struct ls_span){plan->text.data, plan->text.length};
    }
    return 0;
}

static int read_data(struct plan *plan, struct ls_span data, struct ls_err *err)
{
    struct ls_span name, value;
    struct ls_json json;
    bool first = true;

    ls_json_init(&json, data.data, data.length, JSON_DEPTH);
    if (data.length == 0 || !ls_json_open(&json))
        return ls_fail(err, LS_E_PERMANENT,
                       "data is not an object: an http job wants {\"url\": ...}");
    while (ls_json_next(&json, &first, &name, &value)) {
        if (ls_span_is(name, "url")) {
            free(plan->url);
            plan->url = text_of(value);
        } else if (ls_span_is(name, "method")) {
            free(plan->method);
            plan->method = text_of(value);
            if (!plan->method)
                return ls_fail(err, LS_E_PERMANENT, "data.method is not a text");
        } else if (ls_span_is(name, "headers")) {
            if (read_headers(plan, value, err) < 0)
                return -1;
        } else if (ls_span_is(name, "body") && read_body(plan, value, err) < 0) {
            return -1;
        }
    }
    if (!plan->url)
        return ls_fail(err, LS_E_PERMANENT, "data.url is missing or not a text");
    return 0;
}

static void add_header(struct plan *plan, const char *name, const char *value)
{
    if (!has_header(plan, name))
        plan->headers[plan->header_count++] = (struct ls_http_header){name, value};
}

static void sign(struct plan *plan, const char *secret)
{
    struct ls_buf signed_text = {0};
    unsigned char digest[32];
    int length, i;

    length = snprintf(plan->signature, sizeof(plan->signature), "t=%lld", (long long)time(NULL));
    ls_buf_puts(&signed_text, plan->signature + 2);
    ls_buf_putc(&signed_text, '.');
    ls_buf_add(&signed_text, plan->body.data, plan->body.length);
    ls_hmac_sha256(secret, strlen(secret), signed_text.data, signed_text.length, digest);
    length += snprintf(plan->signature + length, sizeof(plan->signature) - (size_t)length, ",v1=");
    for (i = 0; i < 32; i++)
        length += snprintf(plan->signature + length, sizeof(plan->signature) - (size_t)length,
                           "%02x", digest[i]);
    ls_buf_fini(&signed_text);
    plan->headers[plan->header_count++] =
        (struct ls_http_header){"Lockstep-Signature", plan->signature};
}

static void learn(struct ls_run *run, const struct ls_http_response *response,
                  struct ls_err *failure)
{
    struct ls_ratelimit limit;

    if (!ls_ratelimit_read(response, &limit))
        return;
    ls_run_learn(run, limit.rate, limit.burst, limit.left);
    if (failure->code == LS_E_THROTTLED && failure->retry_after_ms < 0)
        failure->retry_after_ms = limit.reset_ms;
}

static void keep_result(struct ls_run *run, const struct ls_http_response *response)
{
    struct ls_span body = response->body;
    struct ls_buf out = {0};
    bool whole = true;

    if (!ls_run_wants_result(run))
        return;
    ls_buf_printf(&out, "{\"status\":%d,\"body\":", response->status);
    if (body.length > 0 && body.length <= LS_RESULT_TEXT_MAX &&
        ls_json_valid(body.data, body.length, JSON_DEPTH - 1))
        ls_buf_add(&out, body.data, body.length);
    else
        whole = ls_result_text(&out, body.data, body.length, LS_RESULT_TEXT_MAX);
    ls_buf_puts(&out, whole ? "}" : ",\"truncated\":true}");
    ls_run_result(run, out.data, out.length, NULL);
    ls_buf_fini(&out);
}

static void on_answer(void *arg, const struct ls_http_response *response, const struct ls_err *err)
{
    struct delivery *delivery = arg;
    struct ls_run *run = delivery->run;
    struct ls_err failure = LS_ERR_INIT;

    delivery->call = NULL;
    ls_run_spent(run, delivery->sends);
    if (err)
        failure = *err;
    else
        ls_http_status_error(response, delivery->url, &failure);
    if (response)
        learn(run, response, &failure);
    free(delivery);
    switch (failure.code) {
    case LS_E_NONE:
        keep_result(run, response);
        ls_run_ok(run);
        return;
    case LS_E_USAGE: /* the URL, a header: as bad next time */
    case LS_E_AUTH:
    case LS_E_NOT_FOUND:
    case LS_E_CONFLICT:
    case LS_E_TOO_BIG:
    case LS_E_INVALID:
        failure.code = LS_E_PERMANENT;
        break;
    default:
        break;
    }
    ls_run_fail(run, &failure);
}

static void deliver(struct ls_run *run, struct plan *plan)
{
    const struct ls_runner_tools *tools = ls_run_tools(run);
    struct delivery *delivery = LS_NEW(struct delivery);
    int64_t left_ms = ls_run_deadline_ms(run) - (int64_t)uv_now(tools->loop);

    delivery->run = run;
    *ls_run_state(run) = delivery;
    ls_http_url_shown(plan->url, delivery->url, sizeof(delivery->url));
    snprintf(plan->id, sizeof(plan->id), "%.*s", LS_SPAN_ARG(ls_run_id(run)));
    add_header(plan, "Idempotency-Key", plan->id);
    if (plan->has_body)
        add_header(plan, "Content-Type",
                   plan->is_text ? "text/plain; charset=utf-8" : "application/json");
    if (tools->config && tools->config->http.secret)
        sign(plan, tools->config->http.secret);
    plan->headers[plan->header_count] = (struct ls_http_header){0};
    delivery->call =
        ls_http_begin(tools->http,
                      &(struct ls_http_request){
                          .method = plan->method ? plan->method : "POST",
                          .url = plan->url,
                          .headers = plan->headers,
                          .body = plan->has_body ? plan->body.data : NULL,
                          .body_length = plan->body.length,
                          .timeout_ms = left_ms > 0 ? left_ms : 1,
                          .refuse_private = tools->config && tools->config->http.refuse_private,
                          .sends = &delivery->sends,
                          .max_response_bytes = ANSWER_BYTES},
                      on_answer, delivery);
}

static void begin(void *self, struct ls_run *run)
{
    struct ls_err err = LS_ERR_INIT;
    struct plan plan;

    if (!ls_run_may_write(run)) {
        ls_fail(&err, LS_E_CANCELLED, "no word from redis for too long");
        ls_run_spent(run, 0);
        ls_run_fail(run, &err);
        return;
    }
    memset(&plan, 0, sizeof(plan));
    if (read_data(&plan, ls_run_data(run), &err) < 0) {
        snprintf(err.reason, sizeof(err.reason), "bad_data");
        ls_run_spent(run, 0);
        ls_run_fail(run, &err);
    } else {
        deliver(run, &plan);
    }
    plan_fini(&plan);
}

static void cancel(void *self, struct ls_run *run)
{
    struct delivery *delivery = *ls_run_state(run);

    ls_http_cancel(&delivery->call);
    ls_run_spent(run, delivery->sends);
    free(delivery);
}

/* A proxy would reach whatever it likes. */
static void tell_of_proxies(const struct ls_config *config)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    size_t i;

    for (i = 0; config && config->http.refuse_private && i < LS_COUNT(names); i++)
        if (getenv(names[i])) {
            ls_log(LS_LOG_WARN, "http.no_proxy",
                   "http.refuse_private is on: http jobs do not use the proxy of '%s'", names[i]);
            return;
        }
}

void ls_http_add(struct ls_handlers *handlers)
{
    tell_of_proxies(handlers->tools->config);
    ls_handlers_add(
        handlers, &(struct ls_handler){
                      .kind = "http", .begin = begin, .cancel = cancel, .timeout_ms = TIMEOUT_MS});
}
