/* How a job stands and what became of it: `status:<id>` and `result:<id>`, read together in one
 * trip. Only jobs pushed with a status or a result have them, and only for a while. */
#ifndef LS_QUEUE_OUTCOME_H
#define LS_QUEUE_OUTCOME_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"
#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

enum ls_outcome_state {
    LS_OUTCOME_UNKNOWN, /* no such job, none of these two, or their time is over */
    LS_OUTCOME_PENDING,
    LS_OUTCOME_RUNNING,
    LS_OUTCOME_RETRYING,
    LS_OUTCOME_DONE,
    LS_OUTCOME_DEAD,
    LS_OUTCOME_CANCELLED
};

struct ls_outcome {
    enum ls_outcome_state state;
    struct ls_span result; /* done: a JSON value; {0} when none was kept. In text */
    struct ls_span error;  /* dead: a sentence; {0} when none was kept. In text */
    struct ls_span klass;  /* dead: "permanent", ...; {0} when none was kept. In text */
    struct ls_buf text;    /* owned */
};

void ls_outcome_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span id);
/* {0} or a used one is filled anew; free it with ls_outcome_fini in any case. */
int ls_outcome_parse(const struct ls_reply *reply, struct ls_outcome *outcome, struct ls_err *err);
void ls_outcome_fini(struct ls_outcome *outcome);

/* Will nothing more become of it? */
bool ls_outcome_ended(enum ls_outcome_state state);
/* "unknown", "pending", ... */
const char *ls_outcome_name(enum ls_outcome_state state);

#endif
