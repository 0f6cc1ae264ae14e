/* The decision: what to do with one record, given what the two sides last agreed on (base), the application's row (local) and the
 * platform's object (remote). Pure functions over one table; nothing here reads, writes or knows the time.
 *
 * The table (rows 1 to 23) chooses by the state of the three and by the policy of the sync. Rows in which both sides exist go on to
 * the fields: each mapped field is decided by its owner, the policy and which side changed it. A field's explicit owner (local,
 * remote) is stronger than the policy; the policy decides the fields with owner merge. */
#ifndef LS_SYNC_DECIDE_H
#define LS_SYNC_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/record/record.h"

enum ls_base_state {
    LS_BASE_NONE,    /* never agreed on anything */
    LS_BASE_PRESENT, /* linked */
    LS_BASE_TOMB,    /* both sides were deleted once */
    LS_BASE_LOST     /* the database was restored or the mapping broke: nothing may be deleted */
};

enum ls_side_state {
    LS_SIDE_ABSENT,  /* remote: confirmed absent, never "not in a listing" */
    LS_SIDE_EQUAL,   /* as the base */
    LS_SIDE_CHANGED, /* unlike the base */
    LS_SIDE_PRESENT, /* there is no base to compare with */
    LS_SIDE_INVALID  /* there, but unreadable under the mapping */
};

/* How the two sides relate where that decides. */
enum ls_relation {
    LS_RELATION_NONE,     /* not both present, or one of them is as the base */
    LS_RELATION_SAME,     /* equal */
    LS_RELATION_DISJOINT, /* they differ, no field was changed on both sides to different values */
    LS_RELATION_OVERLAP,  /* some field was; without a base: they differ */
    LS_RELATION_MANY      /* no base and the match is not unique on either side */
};

enum ls_newest { LS_NEWEST_UNKNOWN, LS_NEWEST_LOCAL, LS_NEWEST_REMOTE };

enum ls_verdict {
    LS_VERDICT_NOOP,
    LS_VERDICT_MERGE,         /* both sides exist and are linked: do what the fields say */
    LS_VERDICT_LINK,          /* the same, and link them first */
    LS_VERDICT_CREATE_REMOTE, /* also: restore it under a new id */
    LS_VERDICT_CREATE_LOCAL,
    LS_VERDICT_TOMBSTONE,
    LS_VERDICT_REPORT,      /* one-sided, and the policy leaves it so */
    LS_VERDICT_HOLD_REMOTE, /* the remote object should be deleted: held for the gate */
    LS_VERDICT_HOLD_LOCAL,  /* the local row should be deleted: held for the gate */
    LS_VERDICT_PARK,        /* a person decides */
    LS_VERDICT_DUPLICATE,   /* parked: several records match */
    LS_VERDICT_INVALID      /* parked: a side is unreadable */
};

/* Which state a field is in. */
enum ls_field_state {
    LS_FIELD_UNKNOWN, /* a side does not speak of it: never touched */
    LS_FIELD_SAME,    /* all three equal */
    LS_FIELD_AGREED,  /* the sides are equal, the base is not */
    LS_FIELD_LOCAL,   /* only local changed it */
    LS_FIELD_REMOTE,  /* only remote changed it */
    LS_FIELD_BOTH,    /* both changed it, to different values */
    LS_FIELD_NO_BASE  /* the sides differ and nothing was ever agreed */
};

enum ls_act {
    LS_ACT_KEEP,
    LS_ACT_ADVANCE, /* base := the value both have */
    LS_ACT_PUSH,    /* local value to the remote */
    LS_ACT_PULL,    /* remote value to the local row */
    LS_ACT_PARK,    /* conflict: neither side is touched, both values are listed */
    LS_ACT_TAKE,    /* pull, and list the local value it replaces */
    LS_ACT_NEWEST   /* in the table only: push, pull or park by ls_decide_input.newest */
};

struct ls_decide_input {
    const struct ls_mapping *mapping;
    enum ls_base_state base_state;
    const struct ls_record *base;       /* absent unless PRESENT */
    const struct ls_record *local;      /* absent: no row */
    const struct ls_record *remote;     /* absent: confirmed absent */
    bool local_invalid, remote_invalid; /* the side is there, its record cannot be read */
    bool many;                          /* without a base: the match is not unique */
    /* Bit i: the remote's value of field i is one that we sent ourselves (an open operation of ours that took effect, or a late
     * write of a worker that lost its claim). It is no edit: the field counts as agreed on, so a differing local value is pushed. */
    uint64_t own;
    /* Bit i: our write took effect and the local value of field i still is what it sent: whatever the remote holds now came later. */
    uint64_t held;
    bool late;             /* TOMB: the remote is not newer than the deletion */
    enum ls_newest newest; /* policy last_write_wins, when the clocks are conclusive */
    bool careful;          /* orders: never restored by themselves */
};

struct ls_plan {
    int row; /* 1 to 23 */
    enum ls_verdict verdict;
    enum ls_base_state base;
    enum ls_side_state local, remote;
    enum ls_relation relation;
    enum ls_act acts[LS_FIELDS_MAX];
    uint64_t push, pull, park, advance; /* bit i: field i; TAKE is in pull and in park */
    bool reassert; /* a master's value is written over a change of the other side: drift */
};

void ls_decide(const struct ls_decide_input *input, struct ls_plan *plan);

/* One field: its state, and what owner and policy make of it (newest not yet applied). */
enum ls_field_state ls_decide_field_state(const struct ls_value *base, const struct ls_value *local,
                                          const struct ls_value *remote);
enum ls_act ls_decide_field(enum ls_policy policy, enum ls_owner owner, enum ls_field_state state);

/* How many rows of the table cover a state: 1 for every one that can occur (a test walks them all). Tombstones with both sides
 * there count as rows 4 to 6 do. */
size_t ls_decide_coverage(enum ls_base_state base, enum ls_side_state local,
                          enum ls_side_state remote, enum ls_relation relation);

/* The table as people read it. */
struct ls_rule_text {
    int row;
    const char *base, *local, *remote;
    const char *cells[6]; /* by enum ls_policy */
};
const struct ls_rule_text *ls_decide_rules(size_t *count);

/* "row 9: only the database changed it" */
const char *ls_decide_row_text(int row);
const char *ls_verdict_name(enum ls_verdict verdict);
const char *ls_act_name(enum ls_act act);

#endif
