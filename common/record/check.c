#include "common/record/check.h"

#include <string.h>

#include "common/record/decimal.h"

enum term_kind { TERM_AT_LEAST, TERM_ABOVE, TERM_AT_MOST, TERM_BELOW, TERM_NOT_EMPTY, TERM_LENGTH };

struct term {
    enum term_kind kind;
    char number[LS_DECIMAL_SIZE];
};

static const struct {
    const char *word; /* longer ones first */
    enum term_kind kind;
} words[] = {{">=", TERM_AT_LEAST}, {"<=", TERM_AT_MOST},          {">", TERM_ABOVE},
             {"<", TERM_BELOW},     {"not empty", TERM_NOT_EMPTY}, {"max length", TERM_LENGTH}};

static int next_term(const char **at, struct term *term, struct ls_err *err);
static int term_holds(const struct term *term, const struct ls_value *value, struct ls_err *err);
static size_t count_characters(const struct ls_value *value);
static bool is_blank(const struct ls_value *value);

int ls_check_parse(const char *check, enum ls_type type, struct ls_err *err)
{
    bool numeric = type == LS_TYPE_INTEGER || type == LS_TYPE_DECIMAL || type == LS_TYPE_MONEY;
    const char *at = check;
    struct term term;
    int found;

    while ((found = next_term(&at, &term, err)) > 0)
        if (term.kind <= TERM_BELOW && !numeric)
            return ls_fail(err, LS_E_CONFIG, "check '%s' needs a number, the field is %s", check,
                           ls_type_name(type));
    return found;
}

int ls_check_value(const char *check, const struct ls_value *value, struct ls_err *err)
{
    const char *at = check;
    struct term term;

    if (value->state == LS_VALUE_MISSING)
        return 0;
    while (next_term(&at, &term, NULL) > 0)
        if (term_holds(&term, value, err) < 0)
            return -1;
    return 0;
}

static void skip_spaces(const char **at)
{
    *at += strspn(*at, " \t");
}

/* 1: a term; 0: the end; -1: LS_E_CONFIG. */
static int next_term(const char **at, struct term *term, struct ls_err *err)
{
    const char *start;
    size_t length, word = 0;

    skip_spaces(at);
    if (strncmp(*at, "and ", 4) == 0)
        *at += 4;
    skip_spaces(at);
    if (!**at)
        return 0;
    start = *at;
    while (word < sizeof words / sizeof *words &&
           strncmp(*at, words[word].word, strlen(words[word].word)) != 0)
        word++;
    if (word == sizeof words / sizeof *words)
        return ls_fail(err, LS_E_CONFIG,
                       "check '%s' is none of >= N, > N, <= N, < N, not empty, max length N",
                       start);
    term->kind = words[word].kind;
    *at += strlen(words[word].word);
    if (term->kind == TERM_NOT_EMPTY)
        return 1;
    skip_spaces(at);
    length = strcspn(*at, " \t");
    if (!ls_decimal_canonical(term->number, *at, length) ||
        (term->kind == TERM_LENGTH && strpbrk(term->number, ".-")))
        return ls_fail(err, LS_E_CONFIG, "check '%s' needs a number", start);
    *at += length;
    return 1;
}

static int term_holds(const struct term *term, const struct ls_value *value, struct ls_err *err)
{
    static const char *const signs[] = {">=", ">", "<=", "<"};
    int order;

    if (term->kind == TERM_NOT_EMPTY)
        return is_blank(value) ? ls_fail(err, LS_E_INVALID, "must not be empty") : 0;
    if (value->state != LS_VALUE_SET)
        return 0;
    if (term->kind == TERM_LENGTH) {
        char count[LS_DECIMAL_SIZE], digits[24];
        int at = (int)sizeof digits;
        size_t left = count_characters(value);

        do
            digits[--at] = (char)('0' + left % 10);
        while (left /= 10);
        ls_decimal_canonical(count, digits + at, sizeof digits - (size_t)at);
        if (ls_decimal_compare(count, term->number) > 0)
            return ls_fail(err, LS_E_INVALID, "must have at most %s characters", term->number);
        return 0;
    }
    order = ls_decimal_compare(value->text, term->number);
    if ((term->kind == TERM_AT_LEAST && order < 0) || (term->kind == TERM_ABOVE && order <= 0) ||
        (term->kind == TERM_AT_MOST && order > 0) || (term->kind == TERM_BELOW && order >= 0))
        return ls_fail(err, LS_E_INVALID, "must be %s %s", signs[term->kind], term->number);
    return 0;
}

static size_t count_characters(const struct ls_value *value)
{
    size_t count = 0;

    for (size_t i = 0; i < value->length; i++)
        count += ((unsigned char)value->text[i] & 0xc0) != 0x80;
    return count;
}

static bool is_blank(const struct ls_value *value)
{
    return value->state != LS_VALUE_SET || strspn(value->text, " \t\n\r\f\v") == value->length;
}
