/* The envelope is a job as it lies in Redis: one JSON object.
 *
 *   {"account":"shop-eu","id":"01K…","key":"shop-eu/product/l-12","kind":"product","data":{…}}
 *
 * This head in this order, without white space, is the canonical form; account and key are left out
 * when there are none, data too. After data comes only what differs from its default, priority
 * last: Lua reads account, id, key and priority by anchored match and moves only canonical
 * envelopes. Any JSON object with a "kind" (or "type") is a valid job; the first runner that claims
 * one that is not canonical gives it its id and its form.
 *
 * ls_envelope_scan is one pass over the bytes: it validates the whole text (structure, UTF-8,
 * depth, size) and yields spans of the original bytes; data is never decoded nor re-encoded. */
#ifndef LS_JOB_ENVELOPE_H
#define LS_JOB_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"
#include "common/job/lane.h"
#include "common/job/retry.h"

#define LS_ENVELOPE_MAX (64 * 1024) /* bytes, as a producer gives it and a handler may leave it */
/* What lockstep itself may add to it afterwards: id, status, result, attempt, crashes,
 * first_failed_at, and durations written as ms. */
#define LS_ENVELOPE_GROWTH 256
#define LS_ENVELOPE_DEPTH 64 /* nested objects and arrays, the envelope's own included */
#define LS_ACCOUNT_MAX 64    /* [a-z0-9._-] */
#define LS_JOB_ID_MAX 128    /* printable ASCII without space, quote and backslash */
#define LS_JOB_KEY_MAX 512   /* UTF-8 without quote, backslash and control characters */
#define LS_KIND_MAX 64       /* [A-Za-z0-9._:-] */
#define LS_ENVELOPE_EXTRAS 8

/* Zero means "not given" in every field, so a producer starts from {0} and fills what it has. */
struct ls_envelope {
    struct ls_span account; /* length 0: none */
    struct ls_span id;
    struct ls_span key;
    struct ls_span kind;
    struct ls_span data;     /* JSON text; {0} when there is none */
    enum ls_lane lane;       /* "priority": "high", "normal", "low" */
    int attempt;             /* failed attempts counted so far; the run is attempt + 1 */
    int crashes;             /* from LS_RETRY_SUSPECT_FROM on: a suspect, runs as the only one */
    int64_t first_failed_at; /* ms of wall time */
    struct ls_retry_policy
        retry;                  /* "max_attempts", "max_age", "backoff": what the job itself sets */
    int64_t timeout_ms;         /* "timeout": of one run */
    struct ls_span traceparent; /* W3C trace context */
    bool status;                /* keep status:<id> */
    bool result;                /* keep result:<id> */
    struct ls_span history;     /* the attempts so far, a JSON array as written (attempts.h) */
    struct {
        struct ls_span name, value; /* as written */
    } extra[LS_ENVELOPE_EXTRAS];    /* members we do not know are kept */
    int extra_count;

    bool canonical; /* set by the scan: Lua may move these bytes as they are */
    char *scratch;  /* owned: decoded strings, only when one of ours had escapes in it */
};

/* Scan. The spans point into text (or scratch) and live as long as it. 0, or -1 with LS_E_INVALID
 * (not an envelope: says what and where; err->reason is the kind of fault: "not_json", "no_kind",
 * "bad_key", ...) or LS_E_TOO_BIG (more than LS_ENVELOPE_MAX + LS_ENVELOPE_GROWTH); then *envelope
 * is {0} but for kind, id, account and key if they were readable before the fault. Durations
 * (max_age, timeout, backoff.base, backoff.cap) are ms as a number or text with a unit ("6h"). A
 * known member given twice is an error; so are "kind" beside "type" and a value outside its range.
 * Producers bound their jobs by LS_ENVELOPE_MAX (ls_envelope_check, or the length they read). Free
 * with ls_envelope_fini. */
int ls_envelope_scan(struct ls_envelope *envelope, const void *text, size_t length,
                     struct ls_err *err);
void ls_envelope_fini(struct ls_envelope *envelope);

/* Check what a producer filled in (charsets, lengths, ranges, data is one JSON value, 64 KiB in
 * all): -1 with LS_E_USAGE naming the field. Scanned envelopes have passed. Does not want an id. */
int ls_envelope_check(const struct ls_envelope *envelope, struct ls_err *err);

/* Append the canonical form; data's bytes unchanged. The caller has set id (ls_id_new). */
void ls_envelope_write(struct ls_buf *out, const struct ls_envelope *envelope);

#endif
