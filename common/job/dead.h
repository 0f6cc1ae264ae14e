/* A dead letter: what became of a job that will not run again by itself, as one line of JSON for
 * people with redis-cli. The job's bytes are kept exactly: as "job" when they are JSON on one line,
 * else as the string "raw", else (not UTF-8) as "raw_base64". What the job's envelope knew of its
 * attempts stands in "history" instead, the last one included (attempts.h).
 *
 *   {"id":"01K…","kind":"http","error":"'https://shop.example/x' answered 500",
 *    "class":"transient","why":"max_attempts","code":"http-500","http_status":500,
 *    "attempts":5,"crashes":0,"first_failed_at":"2026-…Z","failed_at":"2026-…Z",
 *    "worker":"host-1-…","fence":1763859600000001,"group":"5f1c…","history":[…],"job":{…}} */
#ifndef LS_JOB_DEAD_H
#define LS_JOB_DEAD_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"
#include "common/job/class.h"

#define LS_GROUP_SIZE 17 /* 16 hex digits and a NUL */

struct ls_dead {
    struct ls_span id, kind, account, key; /* {0} when unknown */
    struct ls_span error;                  /* a sentence */
    struct ls_span klass;                  /* ls_class_name, or "unknown_kind" */
    struct ls_span why;                    /* ls_retry.why */
    struct ls_span code;                   /* ls_failure_code */
    int http_status;                       /* 0: none */
    int attempts;                          /* including the last */
    int crashes;
    int64_t first_failed_at; /* ms of wall time; 0: failed_at */
    int64_t failed_at;
    struct ls_span worker;
    int64_t fence;
    struct ls_span group;   /* ls_dead_group */
    struct ls_span history; /* JSON (ls_attempts_add); {0}: none */
    struct ls_span job;     /* writing: the exact bytes. Parsing: the same, decoded if need be */
    bool job_is_json;       /* parsing only */
    char *scratch;          /* owned, parsing only */
};

/* Fingerprint of letters that belong together: those of one kind, account, class, HTTP status and
 * code. The error's text is no part of it: numbers and names in it would make a group of each
 * letter. Returns out. */
const char *ls_dead_group(char out[LS_GROUP_SIZE], struct ls_span kind, struct ls_span account,
                          struct ls_span klass, int http_status, struct ls_span code);

/* Append the letter. */
void ls_dead_write(struct ls_buf *out, const struct ls_dead *dead);
/* Read a letter; spans point into text or scratch. -1 with LS_E_INVALID when it is none of ours.
 * Free with ls_dead_fini. */
int ls_dead_parse(struct ls_dead *dead, const void *text, size_t length, struct ls_err *err);
void ls_dead_fini(struct ls_dead *dead);

/* The envelope that a retry of this letter pushes: canonical, attempts, crashes, first failure and
 * history reset, same id. -1 with LS_E_INVALID when the job's bytes are no envelope. */
int ls_dead_revive(struct ls_buf *out, const struct ls_dead *dead, struct ls_err *err);

#endif
