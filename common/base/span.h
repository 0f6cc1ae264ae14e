/* Borrowed bytes inside somebody else's buffer: not NUL-terminated, valid as long as the owner
 * says. {0} is empty. */
#ifndef LS_BASE_SPAN_H
#define LS_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct ls_span {
    const char *data;
    size_t length;
};

#define LS_SPAN(literal) ((struct ls_span){(literal), sizeof(literal) - 1})
/* For "%.*s". */
#define LS_SPAN_ARG(span) (int)(span).length, ((span).data ? (span).data : "")

static inline struct ls_span ls_span_of(const char *text)
{
    return (struct ls_span){text, text ? strlen(text) : 0};
}

static inline bool ls_span_equal(struct ls_span a, struct ls_span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool ls_span_is(struct ls_span span, const char *text)
{
    return ls_span_equal(span, ls_span_of(text));
}

#endif
