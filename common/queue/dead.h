/* Dead letters in Redis: list (plain LRANGE, newest first), retry, discard, put back. The letters
 * themselves are common/job/dead.h.
 *
 * Moving acts on exact bytes as LRANGE returned them and does nothing for a letter that is gone, so
 * it is safe to repeat. Two ways:
 *
 *   a few letters from anywhere (LS_DEAD_HEAD, LS_DEAD_TAIL): a search through the list for each
 *   a selection out of many (LS_DEAD_OLDEST): read the last n letters, say of each whether it is
 *   taken or stays, send them all; again with the next n. What stays is turned to the head of the
 *   list, so nothing is searched for, and after as many letters as there were the list stands in
 *   its old order. Who ends before that turns back what he has turned (ls_dead_rewind_build); who
 *   is killed leaves a list that begins with its oldest letters: nothing is missing or doubled. */
#ifndef LS_QUEUE_DEAD_H
#define LS_QUEUE_DEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

#define LS_DEAD_MAX 128         /* letters in one call */
#define LS_DEAD_REWIND_MAX 1000 /* turned back in one call */
#define LS_DEAD_GROUPS_MAX 1000 /* rows of dead:groups; the groups beyond are counted as "other" */

void ls_dead_list_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t first,
                        int64_t last);                                     /* LRANGE */
void ls_dead_groups_build(struct ls_cmd *cmd, const struct ls_keys *keys); /* HGETALL */
/* A value of dead:groups: "count first last sample". -1 when it is none. first_ms is when the
 * oldest of them died, or earlier: letters that leave do not change it, ls_dead_date_build does. */
struct ls_dead_group_row {
    int64_t count;
    int64_t first_ms, last_ms;
    struct ls_span sample;
};
int ls_dead_group_parse(struct ls_span value, struct ls_dead_group_row *row);

enum ls_dead_where {
    LS_DEAD_OLDEST, /* the moves are the last letters of the list, oldest first, without a gap */
    LS_DEAD_HEAD,   /* anywhere, nearer to the newest */
    LS_DEAD_TAIL    /* anywhere, nearer to the oldest */
};

struct ls_dead_place {
    enum ls_dead_where where;
    struct ls_span mark; /* LS_DEAD_OLDEST: the letter that was turned last; {0}: none yet */
};

struct ls_dead_move {
    struct ls_span letter;   /* exact bytes */
    bool stays;              /* LS_DEAD_OLDEST only: not taken */
    struct ls_span group;    /* its group, {0} when it has none */
    struct ls_span envelope; /* redrive only: from ls_dead_revive */
    struct ls_span key;      /* redrive only: the envelope's key, {0} when it has none. If a newer
                              * body of the key is waiting, that one stays */
};

/* Redis being full does not hinder either. */
void ls_dead_redrive_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                           const struct ls_dead_place *place, const struct ls_dead_move *moves,
                           size_t count);
/* line: what the log of discarded letters says of this command, a JSON object without its closing
 * brace, the same for all of its slices; the number of letters is added. */
void ls_dead_discard_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                           const struct ls_dead_place *place, struct ls_span line,
                           const struct ls_dead_move *moves, size_t count);
/* For both. */
struct ls_dead_moved {
    bool changed; /* the moves were not the oldest letters any more: nothing was done, read again */
    int64_t moved; /* letters taken out */
    int64_t left;  /* letters in the list */
    bool together; /* what was turned lies together below what died since. false: so much died since
                    * the last slice that only what this one turned can be turned back */
};
int ls_dead_moved_parse(const struct ls_reply *reply, struct ls_dead_moved *moved,
                        struct ls_err *err);

/* Turn `letters` (at most LS_DEAD_REWIND_MAX) of those that were turned back to the tail. *mark: the
 * next one to be named, borrowed from the reply; {0} when there is nothing to turn back. */
void ls_dead_rewind_build(struct ls_cmd *cmd, const struct ls_keys *keys, struct ls_span mark,
                          int64_t letters);
int ls_dead_rewind_parse(const struct ls_reply *reply, struct ls_span *mark, struct ls_err *err);

/* Letters have left these groups: write down when the oldest that is left died. was_ms: the row's
 * first_ms as it was read; a row that has changed since is left alone. */
struct ls_dead_date {
    struct ls_span group;
    int64_t was_ms, is_ms;
};
void ls_dead_date_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                        const struct ls_dead_date *dates, size_t count);

/* Put letters back, in this order, as the newest ones. The caller has made sure that none of them
 * lies there already, byte for byte; lost answer: the same call again puts none there twice. */
struct ls_dead_import {
    struct ls_span letter, group; /* group {0}: it names none */
    int64_t failed_at;
    struct ls_span sample;
};
void ls_dead_import_build(struct ls_cmd *cmd, const struct ls_keys *keys,
                          const struct ls_dead_import *letters, size_t count);
/* *imported: how many were put there. -1: LS_E_TRANSIENT, Redis is full: none was. */
int ls_dead_import_parse(const struct ls_reply *reply, int64_t *imported, struct ls_err *err);

/* The log of discarded letters, newest first: LRANGE. */
void ls_dead_discarded_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t limit);

#endif
