/* A strict JSON reader over bytes in memory, for texts whose bytes must survive: it validates and
 * skips, it builds no tree. RFC 8259, UTF-8 checked, surrogate pairs checked, depth bounded. */
#ifndef LS_JOB_JSON_H
#define LS_JOB_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/span.h"

struct ls_json {
    const char *start; /* of the whole text, for offsets */
    const char *at;
    const char *end;
    const char
        *fault; /* why it stopped ("unterminated string"); a literal; NULL while all is well */
    int depth_left;
};

void ls_json_init(struct ls_json *json, const void *text, size_t length, int max_depth);
/* Skip white space; true when there was some. */
bool ls_json_space(struct ls_json *json);
/* Skip one value (white space before it allowed); its bytes into *value. false: fault is set. */
bool ls_json_value(struct ls_json *json, struct ls_span *value);
/* Skip a string; *inside is what stands between the quotes, *escaped whether it holds a backslash.
 */
bool ls_json_string(struct ls_json *json, struct ls_span *inside, bool *escaped);

/* Walk an object: open takes the brace; next yields the name (between its quotes, as written) and
 * the value's bytes; false at its end, or with fault set. */
bool ls_json_open(struct ls_json *json);
bool ls_json_next(struct ls_json *json, bool *first, struct ls_span *name, struct ls_span *value);

/* The same for an array: open takes the bracket, item yields the values. */
bool ls_json_open_array(struct ls_json *json);
bool ls_json_item(struct ls_json *json, bool *first, struct ls_span *value);

/* Append what a valid string's inside stands for. */
void ls_json_unescape(struct ls_buf *out, struct ls_span inside);
/* Is value (as ls_json_value yields it) a string? Then its inside. */
bool ls_json_is_string(struct ls_span value, struct ls_span *inside, bool *escaped);
/* A whole number in the range of int64_t; false for anything else. */
bool ls_json_int(struct ls_span value, int64_t *out);
bool ls_json_bool(struct ls_span value, bool *out);

/* Append ,"name":"text", the next text member of an object; nothing when text is empty. */
void ls_json_put_text(struct ls_buf *out, const char *name, struct ls_span text);

/* Is the whole text one value, with nothing but white space around it? */
bool ls_json_valid(const void *text, size_t length, int max_depth);

#endif
