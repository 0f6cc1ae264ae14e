/* A canonical value: one field of one record, in the one spelling in which two systems can be compared byte for byte.
 *
 * MISSING (the side does not speak of the field), NULL and "" are three different things; a price of 0 is a price. Canonical text:
 *   text       UTF-8, CRLF and CR folded to LF; html the same (platforms rewrite markup: compare with what came back)
 *   integer    decimal digits, optional '-', no leading zeros: "7", "-3", "0"; 64 bits
 *   decimal    no exponent, no leading or trailing zeros, no "-0": "12.5", "0", "-3.14"; up to 38 digits; text, never a double
 *   money      as decimal (the currency is the account's)
 *   boolean    "true" or "false"
 *   timestamp  "2026-11-23T00:51:00Z", whole seconds, UTC (the coarser precision of the platforms in use) */
#ifndef LS_RECORD_VALUE_H
#define LS_RECORD_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

enum ls_type {
    LS_TYPE_TEXT,
    LS_TYPE_HTML,
    LS_TYPE_INTEGER,
    LS_TYPE_DECIMAL,
    LS_TYPE_MONEY,
    LS_TYPE_BOOLEAN,
    LS_TYPE_TIMESTAMP
};

enum ls_value_state { LS_VALUE_MISSING = 0, LS_VALUE_NULL, LS_VALUE_SET };

/* {0} is MISSING. text is owned, NUL-terminated (and may hold no NUL inside), NULL unless SET. */
struct ls_value {
    enum ls_value_state state;
    char *text;
    size_t length;
};

#define LS_VALUE_MAX_BYTES \
    (256u * 1024) /* a longer value is refused (LS_E_TOO_BIG): its record is parked */

void ls_value_fini(struct ls_value *value);
void ls_value_set_null(struct ls_value *value);
/* Canonicalise text of the type into value. -1: LS_E_INVALID or LS_E_TOO_BIG with the reason ("'abc' is not money"); value is then
 * unchanged. text need not be NUL-terminated. */
int ls_value_set(struct ls_value *value, enum ls_type type, const char *text, size_t length,
                 struct ls_err *err);
void ls_value_copy(struct ls_value *to, const struct ls_value *from);
bool ls_value_equal(const struct ls_value *a, const struct ls_value *b);
/* Equal as far as a platform can tell: shops know no NULL text, so for text and html NULL and "" are the same there. */
bool ls_value_same(enum ls_type type, const struct ls_value *a, const struct ls_value *b);

const char *ls_type_name(enum ls_type type);
/* -1 when unknown. */
int ls_type_parse(const char *name);

#endif
