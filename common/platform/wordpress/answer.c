#include "common/platform/wordpress/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/http/retry_after.h"

#define MESSAGE_SIZE 240

/* What a site says about a request in JSON. */
struct complaint {
    int status;
    const char *code;
    char message[MESSAGE_SIZE]; /* without markup */
    const json_t *data;
};

/* The platform's code decides before the status does: a PUT of an unknown id is a 400 with the code
 * of a 404. */
static const struct {
    const char *code; /* a '*' at its end stands for any rest */
    int status;       /* 0: with any */
    enum ls_err_code err;
    const char *hint;
} codes[] = {
    {"product_invalid_sku", 0, LS_E_EXISTS, NULL},
    {"woocommerce_rest_product_invalid_id", 0, LS_E_NOT_FOUND, NULL},
    {"woocommerce_rest_product_variation_invalid_id", 0, LS_E_NOT_FOUND, NULL},
    {"woocommerce_rest_shop_order_invalid_id", 0, LS_E_NOT_FOUND, NULL},
    {"woocommerce_rest_invalid_id", 0, LS_E_NOT_FOUND, NULL},
    {"wc_user_invalid_id", 0, LS_E_NOT_FOUND, NULL},
    {"rest_post_invalid_id", 0, LS_E_NOT_FOUND, NULL},
    {"woocommerce_rest_already_trashed", 0, LS_E_NOT_FOUND, NULL},
    {"rest_already_trashed", 0, LS_E_NOT_FOUND, NULL},
    {"rest_no_route", 0, LS_E_CONFIG, "check 'url' and that the WooCommerce plugin is active"},
    {"woocommerce_rest_authentication_*", 0, LS_E_AUTH,
     "check consumer_key and consumer_secret, and that the key may read and write"},
    {"woocommerce_rest_cannot_*", 401, LS_E_AUTH, "check consumer_key and consumer_secret"},
    {"woocommerce_rest_cannot_*", 403, LS_E_AUTH, "the key's user may not do this in the shop"},
    {"woocommerce_rest_request_entity_too_large", 0, LS_E_TOO_BIG, NULL},
    {"too_many_requests", 0, LS_E_THROTTLED, NULL},
    {"woocommerce_rest_*", 500, LS_E_PERMANENT, NULL}, /* refusals in a 500's clothes */
};

static json_t *parse(const struct ls_wp_answer *answer, json_error_t *problem);
static bool complain(struct complaint *complaint, const json_t *root, int status);
static void judge_code(const struct complaint *complaint, const char *what, struct ls_err *err);
static void judge_status(const struct ls_wp_answer *answer, bool is_json, struct ls_err *err);
static enum ls_err_code code_of_status(int status, bool is_json, bool write);
static const char *hint_of_status(int status, bool is_json);
static void add_patience(const struct ls_wp_answer *answer, struct ls_err *err);
static void add_holder(const json_t *data, struct ls_err *err);
static bool code_fits(const char *pattern, const char *code);
static void put_title(char *out, size_t size, const char *body, size_t length);
static void put_plain(char *out, size_t size, const char *html);

json_t *ls_wp_answer_read(const struct ls_wp_answer *answer, struct ls_err *err)
{
    bool good = answer->status >= 200 && answer->status < 300;
    json_error_t problem;
    json_t *root = parse(answer, &problem);
    struct complaint complaint;
    char title[80];

    if (good && root)
        return root;
    if (good) { /* jansson's own text would quote the body */
        put_title(title, sizeof title, answer->body, answer->length);
        ls_fail(err, answer->write ? LS_E_LOST : LS_E_TRANSIENT,
                "%s: http %d, but the answer is not JSON (%zu bytes, wrong at byte %d)%s%s%s",
                answer->what, answer->status, answer->length, problem.position,
                *title ? ", page '" : "", title, *title ? "'" : "");
        if (err) {
            err->http_status = answer->status;
            snprintf(err->reason, sizeof err->reason, "not_json");
        }
        return NULL;
    }
    if (!err) {
        json_decref(root);
        return NULL;
    }
    judge_status(answer, root != NULL, err);
    if (complain(&complaint, root, answer->status))
        judge_code(&complaint, answer->what, err);
    err->http_status = answer->status;
    add_patience(answer, err);
    json_decref(root);
    return NULL;
}

void ls_wp_item_error(const json_t *error, const char *what, struct ls_err *err)
{
    struct complaint complaint;
    int status = (int)json_integer_value(json_object_get(json_object_get(error, "data"), "status"));

    if (!complain(&complaint, error, status)) {
        ls_fail(err, LS_E_PERMANENT, "%s: refused without a reason", what);
        return;
    }
    ls_fail(err, status ? code_of_status(status, true, true) : LS_E_PERMANENT, "%s", what);
    judge_code(&complaint, what, err);
    err->http_status = status;
}

enum ls_wp_stale ls_wp_stale(const struct ls_err *err)
{
    if (err->http_status != 401 || !code_fits("woocommerce_rest_authentication_*", err->reason))
        return LS_WP_FRESH;
    if (strcasestr(err->text, "nonce"))
        return LS_WP_STALE_NONCE;
    return strcasestr(err->text, "timestamp") ? LS_WP_STALE_CLOCK : LS_WP_FRESH;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Arrays and objects only: a bare `0` or `"…"` is what admin-ajax and broken plugins answer. */
static json_t *parse(const struct ls_wp_answer *answer, json_error_t *problem)
{
    *problem = (json_error_t){0};
    if (!answer->length)
        return NULL;
    return json_loadb(answer->body, answer->length, JSON_ALLOW_NUL, problem);
}

static bool complain(struct complaint *complaint, const json_t *root, int status)
{
    const char *message = json_string_value(json_object_get(root, "message"));

    *complaint = (struct complaint){.status = status};
    complaint->code = json_string_value(json_object_get(root, "code"));
    complaint->data = json_object_get(root, "data");
    if (!complaint->code || !*complaint->code)
        return false;
    put_plain(complaint->message, sizeof complaint->message, message ? message : "");
    return true;
}

/* Names of the parameters that were refused: "regular_price: regular_price is not of type string."
 * says more than "Invalid parameter(s)". */
static void add_params(const struct complaint *complaint, char *out, size_t size)
{
    json_t *params = json_object_get(complaint->data, "params");
    const char *name;
    json_t *value;
    size_t used = 0;

    *out = '\0';
    json_object_foreach(params, name, value)
    {
        char plain[MESSAGE_SIZE];
        put_plain(plain, sizeof plain, json_is_string(value) ? json_string_value(value) : "");
        int more = snprintf(out + used, size - used, "%s%s: %s", used ? "; " : " (", name, plain);
        if (more < 0 || (size_t)more >= size - used)
            return;
        used += (size_t)more;
    }
    if (used)
        snprintf(out + used, size - used, ")");
}

static void judge_code(const struct complaint *complaint, const char *what, struct ls_err *err)
{
    enum ls_err_code code = err->code;
    const char *hint = NULL;
    char params[200];

    for (size_t i = 0; i < LS_COUNT(codes); i++) {
        if (code_fits(codes[i].code, complaint->code) &&
            (!codes[i].status || codes[i].status == complaint->status)) {
            code = codes[i].err;
            hint = codes[i].hint;
            break;
        }
    }
    /* 10.x refuses the losers of a race for a SKU in this way */
    if (!strcmp(complaint->code, "woocommerce_rest_product_not_created") &&
        strstr(complaint->message, "SKU"))
        code = LS_E_EXISTS;
    add_params(complaint, params, sizeof params);
    ls_fail(err, code, "%s: http %d %s: %s%s", what, complaint->status, complaint->code,
            *complaint->message ? complaint->message : "no message", params);
    snprintf(err->reason, sizeof err->reason, "%s", complaint->code);
    if (hint)
        ls_hint(err, "%s", hint);
    if (code == LS_E_EXISTS)
        add_holder(complaint->data, err);
}

static void judge_status(const struct ls_wp_answer *answer, bool is_json, struct ls_err *err)
{
    const char *hint = hint_of_status(answer->status, is_json);
    char title[80];

    put_title(title, sizeof title, answer->body, answer->length);
    if (answer->status >= 300 && answer->status < 400 && answer->location)
        ls_fail(err, LS_E_CONFIG, "%s: http %d, the site moved to '%.200s'", answer->what,
                answer->status, answer->location);
    else
        ls_fail(err, code_of_status(answer->status, is_json, answer->write), "%s: http %d%s%s%s",
                answer->what, answer->status, *title ? ", page '" : "", title, *title ? "'" : "");
    if (hint)
        ls_hint(err, "%s", hint);
}

/* Without a code that says more. A 5xx to a write may come from a gateway while PHP works on: the
 * outcome is unknown. The 503 of maintenance mode comes before anything was done. */
static enum ls_err_code code_of_status(int status, bool is_json, bool write)
{
    switch (status) {
    case 401:
        return LS_E_AUTH;
    case 403:
        return is_json ? LS_E_AUTH : LS_E_TRANSIENT;
    case 404:
        return is_json ? LS_E_PERMANENT : LS_E_CONFIG;
    case 405:
    case 501:
        return is_json ? LS_E_PERMANENT : LS_E_CONFIG;
    case 408:
        return write ? LS_E_LOST : LS_E_TRANSIENT;
    case 409:
    case 412:
        return LS_E_CONFLICT;
    case 410:
        return LS_E_PERMANENT;
    case 413:
        return LS_E_TOO_BIG;
    case 425:
    case 503:
        return LS_E_TRANSIENT;
    case 429:
        return LS_E_THROTTLED;
    default:
        break;
    }
    if (status >= 500)
        return write ? LS_E_LOST : LS_E_TRANSIENT;
    return status >= 400 ? LS_E_PERMANENT : status >= 300 ? LS_E_CONFIG : LS_E_TRANSIENT;
}

static const char *hint_of_status(int status, bool is_json)
{
    if (status >= 300 && status < 400)
        return "put the final address into 'url'";
    switch (status) {
    case 401:
        return "check consumer_key and consumer_secret; some hosts strip the Authorization header";
    case 403:
        return is_json ? NULL
                       : "a firewall or CDN in front of the shop refuses us: allow this address";
    case 404:
        return is_json ? NULL
                       : "there is no REST API under 'url': check it, and the site's permalinks";
    case 405:
    case 501:
        return is_json ? NULL
                       : "the web server in front of the shop does not let this method through";
    default:
        return NULL;
    }
}

static void add_patience(const struct ls_wp_answer *answer, struct ls_err *err)
{
    int64_t wait = ls_retry_after_ms(answer->retry_after, answer->remote_ms);
    int64_t cap = answer->status == 503 ? LS_WP_MAINTENANCE_CAP_MS : LS_WP_THROTTLE_CAP_MS;

    if (err->code != LS_E_THROTTLED && err->code != LS_E_TRANSIENT)
        return;
    if (wait < 0 && err->code == LS_E_THROTTLED)
        wait = LS_WP_RETRY_DEFAULT_MS;
    err->retry_after_ms = wait > cap ? cap : wait;
}

/* "product_invalid_sku:11": who has it. */
static void add_holder(const json_t *data, struct ls_err *err)
{
    json_int_t holder = json_integer_value(json_object_get(data, "resource_id"));
    size_t used = strlen(err->reason);

    if (holder > 0 && used + 24 < sizeof err->reason)
        snprintf(err->reason + used, sizeof err->reason - used, ":%lld", (long long)holder);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool code_fits(const char *pattern, const char *code)
{
    size_t length = strlen(pattern), code_length = strlen(code);

    if (pattern[0] == '*')
        return code_length >= length - 1 && !strcmp(code + code_length - (length - 1), pattern + 1);
    if (length && pattern[length - 1] == '*')
        return !strncmp(code, pattern, length - 1);
    return !strcmp(code, pattern);
}

/* The title of an HTML page: it names the culprit better than its status. "" when there is none. */
static void put_title(char *out, size_t size, const char *body, size_t length)
{
    size_t shown = length < 2000 ? length : 2000;
    char *head = ls_xstrndup(body ? body : "", body ? shown : 0);
    char *title = strcasestr(head, "<title"), *end;

    *out = '\0';
    if (title && (title = strchr(title, '>')) && (end = strcasestr(title, "</title"))) {
        *end = '\0';
        put_plain(out, size, title + 1);
    }
    free(head);
}

/* Text without tags, in one line; cut at a character, not within one. */
static void put_plain(char *out, size_t size, const char *html)
{
    size_t used = 0;
    bool tag = false;

    for (; *html && used + 1 < size; html++) {
        if (*html == '<' || *html == '>') {
            tag = *html == '<';
            continue;
        }
        if (tag || ((unsigned char)*html <= ' ' && (!used || out[used - 1] == ' ')))
            continue;
        out[used++] = (unsigned char)*html <= ' ' ? ' ' : *html;
    }
    while (used && *html && ((unsigned char)out[used - 1] & 0xC0) == 0x80)
        used--; /* continuation bytes of a character that did not fit; its head goes next */
    if (used && *html && ((unsigned char)out[used - 1] & 0xC0) == 0xC0)
        used--;
    while (used && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
}
