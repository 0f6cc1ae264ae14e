/* The query of a URL while it is being built: names and values as they mean themselves, encoded
 * only when written. */
#ifndef LS_PLATFORM_WORDPRESS_QUERY_H
#define LS_PLATFORM_WORDPRESS_QUERY_H

#include <stddef.h>

#include "common/base/buf.h"

struct ls_param {
    char *name;
    char *value;
};

/* {0} is empty; the owner calls ls_query_fini. */
struct ls_query {
    struct ls_param *params;
    size_t count;
};

void ls_query_add(struct ls_query *query, const char *name, const char *value);
void ls_query_addf(struct ls_query *query, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ls_query_copy(struct ls_query *to, const struct ls_query *from);
void ls_query_fini(struct ls_query *query);

/* name=value&..., each part encoded, in the order in which they were added. */
void ls_query_write(const struct ls_query *query, struct ls_buf *out);

/* RFC 3986: everything but letters, digits and -._~ becomes %XX. */
void ls_percent_encode(struct ls_buf *out, const char *text, size_t length);

#endif
