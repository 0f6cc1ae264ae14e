/* Failures. A struct ls_err says what went wrong, for a machine (code) and for a person (text, hint).
 *
 * Functions return 0 / -1 or a pointer / NULL and take the err last; it is untouched on success, and NULL is allowed where the
 * caller does not care. Outcomes (a conflict, a duplicate, a stale fence) are results, not errors; bugs hit ls_assert. */
#ifndef LS_BASE_ERR_H
#define LS_BASE_ERR_H

#include <stdint.h>

/* The code decides what the caller does, so it names a remedy rather than a place. */
enum ls_err_code {
    LS_E_NONE = 0,
    LS_E_USAGE,      /* the caller's words are off: exit 2, HTTP 400 */
    LS_E_CONFIG,     /* the configuration is off: name file, line, key */
    LS_E_SYSTEM,     /* the operating system refused: errno is in os_errno */
    LS_E_NETWORK,    /* nothing was done: could not connect, resolve, handshake */
    LS_E_TIMEOUT,    /* a deadline passed before anything was sent: nothing was done */
    LS_E_LOST,       /* the answer never came: it may or may not have happened; read, then act */
    LS_E_REDIS,      /* Redis answered with an error */
    LS_E_STORE,      /* the application's database is busy or away: again later, costs no attempt */
    LS_E_THROTTLED,  /* the peer asks for patience: retry_after_ms */
    LS_E_TRANSIENT,  /* the peer failed on its side (5xx): again later */
    LS_E_AUTH,       /* credentials refused: stop the account, ask a person */
    LS_E_CONFLICT,   /* the precondition failed (409, 412): re-read, then again */
    LS_E_PERMANENT,  /* the peer refuses this content for good (400, 404, 422) */
    LS_E_NOT_FOUND,  /* the thing asked for does not exist */
    LS_E_EXISTS,     /* the thing to be made exists already */
    LS_E_INVALID,    /* bytes from outside do not parse or break a bound */
    LS_E_TOO_BIG,    /* over a documented limit */
    LS_E_FENCED,     /* we lost the claim: stop, commit nothing */
    LS_E_CANCELLED,  /* the caller or a shutdown ended it */
    LS_E_CORRUPT,    /* stored by us but unreadable */
    LS_E_UNSUPPORTED /* this build or this peer cannot do it */
};

struct ls_err {
    enum ls_err_code code;
    int os_errno;           /* 0 when it does not apply */
    int http_status;        /* 0 when there was no HTTP answer */
    int64_t retry_after_ms; /* -1 when the peer named none */
    char reason
        [64]; /* what failed, in one stable word: the peer's own code ("product_invalid_sku") or ours ("refused"); "" when none */
    char text
        [512]; /* one line, lower case, no full stop, problem first, the subject in single quotes */
    char hint[256]; /* what to do about it; "" when there is nothing to say */
};

#define LS_ERR_INIT          \
    {                        \
        .retry_after_ms = -1 \
    }

/* The code's stable lower-case name ("network", "store"), for logs and JSON. */
const char *ls_err_name(enum ls_err_code code);

/* Fill err (which may be NULL) and return -1, so that `return ls_fail(err, ...)` reads well. Control characters are replaced. */
int ls_fail(struct ls_err *err, enum ls_err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As ls_fail with LS_E_SYSTEM, errno and its text appended after ": ". */
int ls_fail_errno(struct ls_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Put context before the text: "cannot load cursor of feed 'x': database is locked". Keeps code and details. Returns -1. */
int ls_wrap(struct ls_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Set the hint: what the reader can do. Returns -1. */
int ls_hint(struct ls_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
