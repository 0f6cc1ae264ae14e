/* Decimal numbers as text: never a double, so 0.1 stays 0.1. */
#ifndef LS_RECORD_DECIMAL_H
#define LS_RECORD_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

#define LS_DECIMAL_DIGITS 38
/* "-0." and up to 38 digits behind zeros that count as digits too, and a NUL. */
#define LS_DECIMAL_SIZE (LS_DECIMAL_DIGITS + 4)

/* The canonical spelling of a number ("+01.50", "15e-1" -> "1.5"; "-0.00" -> "0"): optional '-', no leading or trailing zeros, no
 * exponent. false: it is no number, or needs more than 38 digits before and after its point together. */
bool ls_decimal_canonical(char out[LS_DECIMAL_SIZE], const char *text, size_t length);

/* < 0, 0, > 0 as for strcmp; both canonical. */
int ls_decimal_compare(const char *a, const char *b);

#endif
