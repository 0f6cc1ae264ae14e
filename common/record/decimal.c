#include "common/record/decimal.h"

#include <string.h>

/* A number being read: digits without leading zeros, and where its point stands. */
struct number {
    bool negative;
    char digits[LS_DECIMAL_DIGITS];
    int count;
    int point; /* digits before the point; may be negative or beyond count */
};

static bool read_digits(struct number *number, const char **at, const char *end);
static bool read_exponent(const char **at, const char *end, int *exponent);
static bool write_number(char *out, const struct number *number);

bool ls_decimal_canonical(char out[LS_DECIMAL_SIZE], const char *text, size_t length)
{
    struct number number = {0};
    const char *at = text, *end = text + length;
    int exponent = 0;

    if (at != end && (*at == '-' || *at == '+'))
        number.negative = *at++ == '-';
    if (!read_digits(&number, &at, end) || !read_exponent(&at, end, &exponent) || at != end)
        return false;
    number.point += exponent;
    while (number.count && number.digits[number.count - 1] == '0')
        number.count--;
    return write_number(out, &number);
}

static bool read_digits(struct number *number, const char **at, const char *end)
{
    bool any = false, fraction = false;
    int zeros = 0; /* trailing zeros not yet written: "100…0" with an exponent may still fit */

    for (; *at != end; (*at)++) {
        char c = **at;
        if (c == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        any = true;
        if (!fraction)
            number->point += number->count || zeros || c != '0';
        else if (!number->count && c == '0')
            number->point--;
        if (c == '0') {
            zeros += number->count > 0;
            continue;
        }
        if (number->count + zeros >= LS_DECIMAL_DIGITS)
            return false;
        while (zeros) {
            number->digits[number->count++] = '0';
            zeros--;
        }
        number->digits[number->count++] = c;
    }
    return any;
}

static bool read_exponent(const char **at, const char *end, int *exponent)
{
    bool negative = false;

    if (*at == end || (**at != 'e' && **at != 'E'))
        return true;
    (*at)++;
    if (*at != end && (**at == '-' || **at == '+'))
        negative = *(*at)++ == '-';
    if (*at == end)
        return false;
    for (; *at != end && **at >= '0' && **at <= '9'; (*at)++) {
        *exponent = *exponent * 10 + (**at - '0');
        if (*exponent > 1000)
            return false;
    }
    if (negative)
        *exponent = -*exponent;
    return true;
}

static bool write_number(char *out, const struct number *number)
{
    int before = number->point > 0 ? number->point : 1;
    int after = number->count > number->point ? number->count - number->point : 0;

    if (!number->count) {
        memcpy(out, "0", 2);
        return true;
    }
    if (before + after > LS_DECIMAL_DIGITS + (number->point <= 0))
        return false;
    if (number->negative)
        *out++ = '-';
    if (number->point <= 0)
        *out++ = '0';
    for (int i = 0; i < number->point; i++)
        *out++ = i < number->count ? number->digits[i] : '0';
    if (after) {
        *out++ = '.';
        for (int i = number->point; i < number->count; i++)
            *out++ = i < 0 ? '0' : number->digits[i];
    }
    *out = '\0';
    return true;
}

int ls_decimal_compare(const char *a, const char *b)
{
    bool a_negative = *a == '-', b_negative = *b == '-';
    size_t a_whole, b_whole;
    int order;

    if (a_negative != b_negative)
        return a_negative ? -1 : 1;
    if (a_negative)
        return ls_decimal_compare(b + 1, a + 1);
    a_whole = strcspn(a, ".");
    b_whole = strcspn(b, ".");
    if (a_whole != b_whole)
        return a_whole < b_whole ? -1 : 1;
    order = strcmp(a, b); /* canonical: no trailing zeros, and '\0' < '.' < '0' */
    return (order > 0) - (order < 0);
}
