/* Prometheus' text format, written so that it is always well-formed: each family has HELP and TYPE
 * before its first sample, and all samples of a family stand together. Names are literals of ours;
 * label values may be anything.
 *
 *   ls_metric_family(&text, "lockstep_queue_waiting", LS_METRIC_GAUGE, "Jobs that wait.");
 *   ls_metric_sample(&text, LS_LABELS({"queue", name}, {"lane", "high"}), 3); */
#ifndef LS_METRICS_TEXT_H
#define LS_METRICS_TEXT_H

#include "common/base/buf.h"

enum ls_metric_type { LS_METRIC_GAUGE, LS_METRIC_COUNTER };

struct ls_label {
    const char *name;
    const char *value;
};
#define LS_LABELS(...) ((const struct ls_label[]){__VA_ARGS__, {0}})

/* {0} is empty; ls_metric_text_fini at the end. */
struct ls_metric_text {
    struct ls_buf out;
    const char *family; /* the last one begun; a literal */
};

void ls_metric_text_fini(struct ls_metric_text *text);
/* help is one sentence. A counter's name ends in _total. */
void ls_metric_family(struct ls_metric_text *text, const char *name, enum ls_metric_type type,
                      const char *help);
/* Of the family begun last; labels end with {0}, NULL: none. */
void ls_metric_sample(struct ls_metric_text *text, const struct ls_label *labels, double value);

#endif
