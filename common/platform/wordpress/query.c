#include "common/platform/wordpress/query.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/mem.h"

static void push(struct ls_query *query, char *name, char *value)
{
    query->params = ls_xrealloc(query->params, (query->count + 1) * sizeof *query->params);
    query->params[query->count++] = (struct ls_param){name, value};
}

void ls_query_add(struct ls_query *query, const char *name, const char *value)
{
    push(query, ls_xstrdup(name), ls_xstrdup(value));
}

void ls_query_addf(struct ls_query *query, const char *name, const char *format, ...)
{
    struct ls_buf value = {0};
    va_list args;

    va_start(args, format);
    ls_buf_vprintf(&value, format, args);
    va_end(args);
    push(query, ls_xstrdup(name), ls_buf_take(&value));
}

void ls_query_copy(struct ls_query *to, const struct ls_query *from)
{
    for (size_t i = 0; i < from->count; i++)
        ls_query_add(to, from->params[i].name, from->params[i].value);
}

void ls_query_fini(struct ls_query *query)
{
    for (size_t i = 0; i < query->count; i++) {
        free(query->params[i].name);
        free(query->params[i].value);
    }
    free(query->params);
    *query = (struct ls_query){0};
}

void ls_query_write(const struct ls_query *query, struct ls_buf *out)
{
    for (size_t i = 0; i < query->count; i++) {
        const struct ls_param *param = &query->params[i];
        if (i)
            ls_buf_putc(out, '&');
        ls_percent_encode(out, param->name, strlen(param->name));
        ls_buf_putc(out, '=');
        ls_percent_encode(out, param->value, strlen(param->value));
    }
}

void ls_percent_encode(struct ls_buf *out, const char *text, size_t length)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c && strchr(plain, c)) {
            ls_buf_putc(out, (char)c);
            continue;
        }
        ls_buf_putc(out, '%');
        ls_buf_putc(out, hex[c >> 4]);
        ls_buf_putc(out, hex[c & 15]);
    }
}
