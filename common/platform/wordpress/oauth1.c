#include "common/platform/wordpress/oauth1.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/hash.h"
#include "common/base/mem.h"

struct pair {
    char *name, *value; /* encoded */
};

static void add_normal_url(struct ls_buf *out, const char *url);
static void add_normal_params(struct ls_buf *out, const struct ls_query *query);
static char *encode(const char *text);
static int compare_pairs(const void *a, const void *b);

void ls_oauth1_sign(struct ls_query *query, const char *method, const char *url,
                    const struct ls_oauth1 *oauth)
{
    struct ls_buf base = {0}, key = {0};
    unsigned char digest[32];
    char *signature;

    ls_query_add(query, "oauth_consumer_key", oauth->key);
    ls_query_add(query, "oauth_nonce", oauth->nonce);
    ls_query_add(query, "oauth_signature_method", "HMAC-SHA256");
    ls_query_addf(query, "oauth_timestamp", "%lld", (long long)oauth->timestamp_s);

    ls_oauth1_base_string(&base, method, url, query);
    ls_percent_encode(&key, oauth->secret, strlen(oauth->secret));
    ls_buf_putc(&key, '&'); /* one leg: no token, so no token secret behind it */
    ls_hmac_sha256(key.data, key.length, base.data, base.length, digest);
    signature = ls_base64(digest, sizeof digest);
    ls_query_add(query, "oauth_signature", signature);
    free(signature);
    ls_buf_fini(&key);
    ls_buf_fini(&base);
}

void ls_oauth1_base_string(struct ls_buf *out, const char *method, const char *url,
                           const struct ls_query *query)
{
    struct ls_buf part = {0};

    for (; *method; method++)
        ls_buf_putc(out, (char)toupper((unsigned char)*method));
    ls_buf_putc(out, '&');
    add_normal_url(&part, url);
    ls_percent_encode(out, part.data, part.length);
    ls_buf_putc(out, '&');
    ls_buf_clear(&part);
    add_normal_params(&part, query);
    ls_percent_encode(out, part.data ? part.data : "", part.length);
    ls_buf_fini(&part);
}

/* Scheme and host in lower case, the scheme's own port left out, no query, no fragment. */
static void add_normal_url(struct ls_buf *out, const char *url)
{
    const char *host = strstr(url, "://");
    const char *path, *end = url + strcspn(url, "?#");
    size_t authority;

    host = host ? host + 3 : url;
    authority = strcspn(host, "/?#");
    path = host + authority;
    if (authority > 3 && !strncasecmp(url, "http://", 7) && !memcmp(path - 3, ":80", 3))
        authority -= 3;
    else if (authority > 4 && !strncasecmp(url, "https://", 8) && !memcmp(path - 4, ":443", 4))
        authority -= 4;
    for (const char *at = url; at < host + authority; at++)
        ls_buf_putc(out, (char)tolower((unsigned char)*at));
    if (path >= end)
        ls_buf_putc(out, '/');
    else
        ls_buf_add(out, path, (size_t)(end - path));
}

static void add_normal_params(struct ls_buf *out, const struct ls_query *query)
{
    struct pair *pairs = ls_xcalloc(query->count ? query->count : 1, sizeof *pairs);
    size_t count = 0;

    for (size_t i = 0; i < query->count; i++)
        if (strcmp(query->params[i].name, "oauth_signature") != 0)
            pairs[count++] =
                (struct pair){encode(query->params[i].name), encode(query->params[i].value)};
    qsort(pairs, count, sizeof *pairs, compare_pairs);
    for (size_t i = 0; i < count; i++) {
        ls_buf_printf(out, "%s%s=%s", i ? "&" : "", pairs[i].name, pairs[i].value);
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

static char *encode(const char *text)
{
    struct ls_buf out = {0};

    ls_percent_encode(&out, text, strlen(text));
    return ls_buf_take(&out);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->value, y->value);
}
