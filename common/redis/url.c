#include "common/redis/url.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/span.h"

#define DEFAULT_PORT 6379

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* A copy with %41 undone; NULL when an escape is cut short or yields a NUL. */
static char *unescape(struct ls_span text)
{
    struct ls_buf out = {0};
    size_t i;

    ls_buf_reserve(&out, text.length);
    for (i = 0; i < text.length; i++) {
        if (text.data[i] != '%') {
            ls_buf_putc(&out, text.data[i]);
            continue;
        }
        int high = i + 2 < text.length ? hex_digit(text.data[i + 1]) : -1;
        int low = i + 2 < text.length ? hex_digit(text.data[i + 2]) : -1;
        if (high < 0 || low < 0 || high * 16 + low == 0) {
            ls_buf_fini(&out);
            return NULL;
        }
        ls_buf_putc(&out, (char)(high * 16 + low));
        i += 2;
    }
    return ls_buf_take(&out);
}

/* Cut text at the first c: what stands before it, and text moves behind it. Without one:
 * everything, text becomes empty. */
static struct ls_span cut(struct ls_span *text, char c)
{
    const char *at = text->length ? memchr(text->data, c, text->length) : NULL;
    struct ls_span head = *text;

    if (!at) {
        *text = (struct ls_span){text->data + text->length, 0};
        return head;
    }
    head.length = (size_t)(at - text->data);
    text->data = at + 1;
    text->length -= head.length + 1;
    return head;
}

/* Digits only; -1 when it is not a number or above limit. */
static int small_number(struct ls_span text, int limit)
{
    int value = 0;
    size_t i;

    if (text.length == 0 || text.length > 6)
        return -1;
    for (i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value > limit ? -1 : value;
}

static int bad(struct ls_err *err, const char *why)
{
    ls_fail(err, LS_E_CONFIG, "redis address does not parse: %s", why);
    return ls_hint(
        err,
        "write unix:///path/to/redis.sock, redis://[:PASSWORD@]HOST[:PORT][/DB] or rediss://...");
}

static int set(char **field, struct ls_span value, struct ls_err *err)
{
    char *copy = unescape(value);

    if (!copy)
        return bad(err, "a '%' escape is not valid");
    free(*field);
    *field = copy;
    return 0;
}

static int read_options(struct ls_redis_url *url, struct ls_span text, struct ls_err *err)
{
    while (text.length > 0) {
        struct ls_span value = cut(&text, '&');
        struct ls_span name = cut(&value, '=');
        if (ls_span_is(name, "db")) {
            url->db = small_number(value, 65535);
            if (url->db < 0)
                return bad(err, "'db' is not a number");
        } else if (ls_span_is(name, "ca_file")) {
            if (set(&url->ca_file, value, err) < 0)
                return -1;
        } else if (ls_span_is(name, "user")) {
            if (set(&url->user, value, err) < 0)
                return -1;
        } else if (ls_span_is(name, "password")) {
            if (set(&url->password, value, err) < 0)
                return -1;
        } else {
            return bad(err, "unknown option after '?' (known: db, ca_file, user, password)");
        }
    }
    return 0;
}

/* user:password, :password, or just a password (as some hosting panels print it). */
static int read_userinfo(struct ls_redis_url *url, struct ls_span text, struct ls_err *err)
{
    struct ls_span user;

    if (!memchr(text.data, ':', text.length))
        return set(&url->password, text, err);
    user = cut(&text, ':');
    if (user.length > 0 && set(&url->user, user, err) < 0)
        return -1;
    return set(&url->password, text, err);
}

static int read_host(struct ls_redis_url *url, struct ls_span text, struct ls_err *err)
{
    struct ls_span host;

    if (text.length > 0 && text.data[0] == '[') {
        text.data++, text.length--;
        host = cut(&text, ']');
        if (text.length > 0 && text.data[0] == ':')
            text.data++, text.length--;
        else if (text.length > 0)
            return bad(err, "something stands between ']' and the port");
    } else {
        host = cut(&text, ':');
    }
    if (host.length == 0 || host.length > 255)
        return bad(err, "no host");
    if (set(&url->host, host, err) < 0)
        return -1;
    url->port = text.length ? small_number(text, 65535) : DEFAULT_PORT;
    return url->port <= 0 ? bad(err, "the port is not a number from 1 to 65535") : 0;
}

static int read_network(struct ls_redis_url *url, struct ls_span text, struct ls_err *err)
{
    struct ls_span path = text, authority = cut(&path, '/');
    const char *at = authority.length ? memrchr(authority.data, '@', authority.length) : NULL;

    if (at) {
        struct ls_span userinfo = {authority.data, (size_t)(at - authority.data)};
        authority.data = at + 1;
        authority.length -= userinfo.length + 1;
        if (userinfo.length && read_userinfo(url, userinfo, err) < 0)
            return -1;
    }
    if (path.length > 0) {
        url->db = small_number(path, 65535);
        if (url->db < 0)
            return bad(err, "the database after '/' is not a number");
    }
    return read_host(url, authority, err);
}

static void show(struct ls_redis_url *url)
{
    bool v6 = url->host && strchr(url->host, ':');

    if (url->path && url->db)
        url->shown = ls_xasprintf("unix://%s?db=%d", url->path, url->db);
    else if (url->path)
        url->shown = ls_xasprintf("unix://%s", url->path);
    else
        url->shown = ls_xasprintf("redis%s://%s%s%s:%d/%d", url->tls ? "s" : "", v6 ? "[" : "",
                                  url->host, v6 ? "]" : "", url->port, url->db);
}

static int parse(struct ls_redis_url *url, struct ls_span rest, struct ls_err *err)
{
    const char *text = rest.data;
    struct ls_span body;

    if (strncmp(text, "redis+sentinel://", 17) == 0 || strncmp(text, "redis+cluster://", 16) == 0) {
        ls_fail(err, LS_E_UNSUPPORTED,
                "redis Sentinel and Cluster addresses are not supported by this version");
        return ls_hint(err, "give the master's address: redis://HOST:PORT");
    }
    for (size_t i = 0; i < rest.length; i++)
        if ((unsigned char)text[i] < 0x21 || text[i] == 0x7f)
            return bad(err, "it holds blanks or control characters");
    if (strncmp(text, "unix://", 7) == 0) {
        rest.data += 7, rest.length -= 7;
        body = cut(&rest, '?');
        if (body.length == 0)
            return bad(err, "no path behind 'unix://'");
        if (set(&url->path, body, err) < 0)
            return -1;
        if (strlen(url->path) > 107)
            return bad(err, "the path of a unix socket may not exceed 107 bytes");
        return read_options(url, rest, err);
    }
    if (strncmp(text, "rediss://", 9) == 0)
        url->tls = true;
    else if (strncmp(text, "redis://", 8) != 0)
        return bad(err, "it does not begin with unix://, redis:// or rediss://");
    rest.data += 8 + url->tls, rest.length -= 8 + url->tls;
    body = cut(&rest, '?');
    if (read_network(url, body, err) < 0)
        return -1;
    return read_options(url, rest, err);
}

int ls_redis_url_parse(struct ls_redis_url *url, const char *text, struct ls_err *err)
{
    *url = (struct ls_redis_url){0};
    if (parse(url, ls_span_of(text), err) < 0) {
        ls_redis_url_fini(url);
        return -1;
    }
    show(url);
    return 0;
}

void ls_redis_url_copy(struct ls_redis_url *to, const struct ls_redis_url *from)
{
    *to = *from;
    to->path = ls_xstrdup(from->path);
    to->host = ls_xstrdup(from->host);
    to->user = ls_xstrdup(from->user);
    to->password = ls_xstrdup(from->password);
    to->ca_file = ls_xstrdup(from->ca_file);
    to->shown = ls_xstrdup(from->shown);
}

void ls_redis_url_fini(struct ls_redis_url *url)
{
    if (url->password)
        explicit_bzero(url->password, strlen(url->password));
    free(url->path);
    free(url->host);
    free(url->user);
    free(url->password);
    free(url->ca_file);
    free(url->shown);
    *url = (struct ls_redis_url){0};
}
