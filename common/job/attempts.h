/* What became of a job's attempts so far: the member "history" of its envelope and of its letter, a
 * JSON array, oldest first.
 *
 *   [{"at":"2026-11-23T00:50:00.000Z","class":"transient","status":503,"code":"http-503",
 *     "error":"'https://shop.example/x' answered 503"}]
 *
 * It is for people, nothing decides by it. It keeps the newest LS_ATTEMPTS_MAX attempts in at most
 * LS_ATTEMPTS_BYTES; what does not fit is left out, the oldest first. */
#ifndef LS_JOB_ATTEMPTS_H
#define LS_JOB_ATTEMPTS_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/span.h"

struct ls_envelope;

#define LS_ATTEMPTS_MAX 8         /* attempts */
#define LS_ATTEMPTS_BYTES 4096    /* of the array */
#define LS_ATTEMPTS_ERROR_MAX 120 /* bytes of an error's text */

struct ls_attempt {
    int64_t at_ms;        /* of wall time */
    struct ls_span klass; /* ls_class_name */
    int http_status;      /* 0: none */
    struct ls_span code;  /* ls_failure_code */
    struct ls_span error; /* a sentence; cut when written */
};

/* Append the array with one attempt more. history is what there was, {0} for nothing; entries of it
 * that are no objects on one line are dropped. Nothing is appended when not even this attempt fits
 * into `room` bytes. */
void ls_attempts_add(struct ls_buf *out, struct ls_span history, const struct ls_attempt *attempt,
                     size_t room);

/* The same for an envelope: afterwards envelope->history lies in `out` (which is emptied first, and
 * in which it did not lie before), or is {0} when the envelope would grow beyond LS_ENVELOPE_MAX:
 * what grows beside the history has LS_ENVELOPE_GROWTH to itself. */
void ls_attempts_note(struct ls_buf *out, struct ls_envelope *envelope,
                      const struct ls_attempt *attempt);

/* Read the newest LS_ATTEMPTS_MAX attempts, oldest first; members that are not there are {0}. The
 * spans point into history or, decoded, into `texts` (the caller frees it after them). Returns how
 * many. */
size_t ls_attempts_parse(struct ls_span history, struct ls_attempt attempts[LS_ATTEMPTS_MAX],
                         struct ls_buf *texts);

#endif
