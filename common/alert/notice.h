/* The text of an alert as it leaves the house: JSON for machines, one line of text for Slack, one
 * line for the log. */
#ifndef LS_ALERT_NOTICE_H
#define LS_ALERT_NOTICE_H

#include <stdint.h>

#include "common/base/buf.h"

struct ls_notice {
    const char *type;     /* "high_error_rate" */
    const char *severity; /* "high"; "info" for the end of one */
    const char *status;   /* "firing", "resolved", "test" */
    const char *group;    /* what is counted as one: "sync_retry_exhausted/default/1a2b" */
    const char *queue;    /* NULL: of all */
    const char *details;  /* a sentence */
    const char *look;     /* the command that shows more; NULL: none */
    const char
        *metric; /* name of `value` in the JSON: "error_rate", "avg_latency_ms"; NULL: none */
    double value;
    int64_t count;     /* how many are behind this one notice */
    int64_t since_ms;  /* wall clock: began; 0: unknown */
    int64_t now_ms;    /* wall clock */
    const char *extra; /* further JSON members without braces ("\"job\":{...}"); NULL: none */
};

/* {"service":"data-sync","severity":"high","type":...,"details":...,...}, one line without its end.
 */
void ls_notice_json(const struct ls_notice *notice, struct ls_buf *out);
/* Slack's incoming webhook made from that JSON (it needs only severity, type, status, details,
 * look, count): {"text":"..."}. -1 when json is not ours. */
int ls_notice_slack(const char *json, struct ls_buf *out);

#endif
