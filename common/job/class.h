/* What a failure means for the job. The class follows from the error's code alone; ls_retry_decide
 * (common/job/retry.h) turns class, history and policy into a decision. */
#ifndef LS_JOB_CLASS_H
#define LS_JOB_CLASS_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum ls_class {
    LS_CLASS_TRANSIENT, /* network, 5xx, timeout: backoff until max_age */
    LS_CLASS_THROTTLED, /* 429: parks the account for Retry-After, costs no attempt */
    LS_CLASS_STORE,     /* the application's database is busy: costs no attempt */
    LS_CLASS_CONFLICT,  /* 409, 412: again at once, three rounds, then as transient */
    LS_CLASS_AUTH,      /* 401, 403: pauses the account, one alert, costs no attempt */
    LS_CLASS_PERMANENT, /* 400, 404, 422, validation: dead at once */
    LS_CLASS_UNKNOWN,   /* the outcome is unknown: the handler reads first, then decides */
    LS_CLASS_CRASH,     /* its process died: next time as the only suspect, three of those */
    LS_CLASS_MALFORMED, /* the envelope itself is not readable: dead at once */
    LS_CLASS_CANCELLED  /* shutdown or lost claim: given back, costs nothing */
};
#define LS_CLASS_COUNT 10

struct ls_class_policy {
    const char *name;    /* "transient": stable, in dead letters and metrics */
    bool counts_attempt; /* towards max_attempts */
    bool ages;           /* max_age counts from the first failure of this kind on */
    bool parks_account;  /* the account waits, not only the job */
    bool dead_at_once;
};

enum ls_class ls_class_of(const struct ls_err *err);

/* What failed, in one word that is the same every time: for letters, their groups, histories. It is
 * err->reason where there is one (the peer's own code, without the number of a record that some put
 * behind a colon), else "http-503", else ls_err_name. Returns out. */
#define LS_CODE_SIZE 64
const char *ls_failure_code(char out[LS_CODE_SIZE], const struct ls_err *err);

const struct ls_class_policy *ls_class_policy(enum ls_class klass);
const char *ls_class_name(enum ls_class klass);

#endif
