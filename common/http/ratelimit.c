#include "common/http/ratelimit.h"

#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/span.h"

#define ITEMS_MAX 16
#define NUMBER_MAX 1000000000LL /* of requests, and seconds of a window */
#define DIGITS_MAX 1000000000000000LL
#define EPOCH_MIN 100000000LL /* a larger reset is a time of day, in seconds or ms */
#define RESET_MAX_MS (7 * 24 * 3600 * 1000LL)
#define SHOPIFY_REFILL_S \
    20 /* its buckets are refilled within so many seconds, whatever their size */

/* One item of a list: "100;w=60", "\"default\";q=100;w=60", "remaining=50". */
struct item {
    struct ls_span name, value; /* of "name=value"; else value is the bare head */
    int64_t quota, window, left, reset;
    bool foreign; /* counts something else than requests */
};

/* -------- small pieces -------- */

static struct ls_span trimmed(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    return (struct ls_span){from, (size_t)(to - from)};
}

/* The next stop character outside of quotes, or the end. */
static const char *find(const char *at, const char *end, char stop)
{
    bool quoted = false;

    for (; at < end; at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (*at == '\\' && quoted && at + 1 < end)
            at++;
        else if (*at == stop && !quoted)
            break;
    }
    return at;
}

/* A number that is not negative, fractions cut off; -1: it is none. */
static int64_t number_of(struct ls_span text)
{
    int64_t number = 0;
    size_t i;

    for (i = 0; i < text.length && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        number = number > DIGITS_MAX ? number : number * 10 + (text.data[i] - '0');
    if (i == 0)
        return -1;
    if (i < text.length && text.data[i] == '.')
        for (i++; i < text.length && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            ;
    return i == text.length ? number : -1;
}

static bool is(struct ls_span text, const char *word)
{
    return text.length == strlen(word) && strncasecmp(text.data, word, text.length) == 0;
}

/* -------- lists -------- */

static void read_parameter(struct item *item, struct ls_span text)
{
    const char *end = text.data + text.length, *equals = find(text.data, end, '=');
    struct ls_span name = trimmed(text.data, equals), value;

    if (equals == end)
        return;
    value = trimmed(equals + 1, end);
    if (is(name, "q"))
        item->quota = number_of(value);
    else if (is(name, "w"))
        item->window = number_of(value);
    else if (is(name, "r"))
        item->left = number_of(value);
    else if (is(name, "t"))
        item->reset = number_of(value);
    else if (is(name, "qu"))
        item->foreign = !is(value, "\"requests\"") && !is(value, "requests");
}

static struct item read_item(struct ls_span text)
{
    struct item item = {.quota = -1, .window = -1, .left = -1, .reset = -1};
    const char *end = text.data + text.length, *at = find(text.data, end, ';'), *equals;

    equals = find(text.data, at, '=');
    if (equals < at)
        item.name = trimmed(text.data, equals);
    item.value = trimmed(equals < at ? equals + 1 : text.data, at);
    while (at < end) {
        const char *next = find(at + 1, end, ';');
        read_parameter(&item, trimmed(at + 1, next));
        at = next;
    }
    return item;
}

static void lower(int64_t *have, int64_t said)
{
    if (said >= 0 && (*have < 0 || said < *have))
        *have = said;
}

struct said {
    int64_t limit, left, reset;
    double rate;
};

static void take_policy(struct said *said, int64_t quota, int64_t window)
{
    double rate;

    if (quota < 1) /* no answer can mean that nothing is ever allowed */
        return;
    quota = quota < NUMBER_MAX ? quota : NUMBER_MAX;
    lower(&said->limit, quota);
    if (window < 1)
        return;
    rate = (double)quota / (double)(window < NUMBER_MAX ? window : NUMBER_MAX);
    if (said->rate < 0 || rate < said->rate)
        said->rate = rate;
}

/* The list of one header; bare: what a number alone means. */
static void read_list(struct said *said, const char *text, int64_t *bare)
{
    const char *at = text, *end = text ? text + strlen(text) : NULL;
    int count;

    for (count = 0; text && at < end && count < ITEMS_MAX; count++) {
        const char *next = find(at, end, ',');
        struct item item = read_item(trimmed(at, next));
        int64_t number = number_of(item.value);

        at = next + 1;
        if (item.foreign)
            continue;
        if (is(item.name, "limit"))
            take_policy(said, number, -1);
        else if (is(item.name, "remaining"))
            lower(&said->left, number);
        else if (is(item.name, "reset"))
            lower(&said->reset, number);
        else if (bare == &said->limit && !item.name.length)
            take_policy(said, number, item.window);
        else if (bare && !item.name.length)
            lower(bare, number);
        take_policy(said, item.quota, item.window);
        lower(&said->left, item.left);
        lower(&said->reset, item.reset);
    }
}

/* "3/40" */
static void read_shopify(struct said *said, const char *text)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    int64_t used, size;

    if (!slash)
        return;
    used = number_of(trimmed(text, slash));
    size = number_of(trimmed(slash + 1, slash + strlen(slash)));
    if (used < 0 || size < 1)
        return;
    take_policy(said, size, SHOPIFY_REFILL_S);
    lower(&said->left, used < size ? size - used : 0);
}

/* Seconds from now, or a time of day. */
static int64_t reset_ms_of(int64_t reset, int64_t remote_ms)
{
    int64_t now_ms = remote_ms > 0 ? remote_ms : ls_clock_wall_ms(), ms;

    if (reset < 0)
        return -1;
    if (reset < EPOCH_MIN)
        ms = reset * 1000;
    else
        ms = (reset < EPOCH_MIN * 1000 ? reset * 1000 : reset) - now_ms;
    return ms < 0 ? 0 : ms > RESET_MAX_MS ? RESET_MAX_MS : ms;
}

bool ls_ratelimit_read(const struct ls_http_response *response, struct ls_ratelimit *out)
{
    static const struct {
        const char *limit, *left, *reset;
    } plain[] = {
        {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"},
        {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"},
        {"x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"},
    };
    struct said said = {.limit = -1, .left = -1, .reset = -1, .rate = -1};
    size_t i;

    read_list(&said, ls_http_header_get(response, "ratelimit"), NULL);
    read_list(&said, ls_http_header_get(response, "ratelimit-policy"), &said.limit);
    for (i = 0; i < LS_COUNT(plain); i++) {
        read_list(&said, ls_http_header_get(response, plain[i].limit), &said.limit);
        read_list(&said, ls_http_header_get(response, plain[i].left), &said.left);
        read_list(&said, ls_http_header_get(response, plain[i].reset), &said.reset);
    }
    read_shopify(&said, ls_http_header_get(response, "x-shopify-shop-api-call-limit"));
    *out = (struct ls_ratelimit){.rate = said.rate,
                                 .burst = (int)said.limit,
                                 .left = said.left,
                                 .reset_ms = reset_ms_of(said.reset, response->remote_ms)};
    return said.limit >= 0 || said.left >= 0 || said.reset >= 0;
}
