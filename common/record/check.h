/* The checks of fields: what a value must satisfy before it is written to either side.
 *
 *   >= N   > N   <= N   < N     numbers (integer, decimal, money), compared as decimals
 *   not empty                   not NULL, not "", not only white space
 *   max length N                characters (code points), not bytes
 * Several are joined by "and": ">= 0 and <= 100". */
#ifndef LS_RECORD_CHECK_H
#define LS_RECORD_CHECK_H

#include "common/base/err.h"
#include "common/record/value.h"

/* Is the text a check that fits the type? -1: LS_E_CONFIG with what is wrong ("check '>= x' needs a number"). */
int ls_check_parse(const char *check, enum ls_type type, struct ls_err *err);

/* Does the value satisfy it? MISSING always does; NULL does unless it must not be empty. -1: LS_E_INVALID, "must be >= 0". */
int ls_check_value(const char *check, const struct ls_value *value, struct ls_err *err);

#endif
