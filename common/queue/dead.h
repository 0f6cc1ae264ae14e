/* Dead letters in Redis: list (plain LRANGE, newest first), retry, discard. The letters themselves
 * are common/job/dead.h.
 *
 * Both act on exact bytes as LRANGE returned them and do nothing for a letter that is gone, so they
 * are safe to repeat. Take slices of at most LS_DEAD_MAX from one end and set from_tail
 * accordingly: finding a letter is then immediate; anywhere else it costs a search. */
#ifndef LS_QUEUE_DEAD_H
#define LS_QUEUE_DEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/cmd.h"
#include "common/redis/keys.h"
#include "common/redis/reply.h"

#define LS_DEAD_MAX 128 /* letters in one call */

struct ls_dead_move {
    struct ls_span letter;   /* exact bytes */
    struct ls_span group;    /* its group, {0} when it has none */
    struct ls_span envelope; /* redrive only: from ls_dead_revive */
    struct ls_span key;      /* redrive only: the envelope's key, {0} when it has none. If a newer
                              * body of the key is waiting, that one stays */
};

void ls_dead_list_build(struct ls_cmd *cmd, const struct ls_keys *keys, int64_t first,
                        int64_t last);                                     /* LRANGE */
void ls_dead_groups_build(struct ls_cmd *cmd, const struct ls_keys *keys); /* HGETALL */
/* A value of dead:groups: "count first last sample". -1 when it is none. */
struct ls_dead_group_row {
    int64_t count;
    int64_t first_ms, last_ms;
    struct ls_span sample;
};
int ls_dead_group_parse(struct ls_span value, struct ls_dead_group_row *row);

void ls_dead_redrive_build(struct ls_cmd *cmd, const struct ls_keys *keys, bool from_tail,
                           const struct ls_dead_move *moves, size_t count);
void ls_dead_discard_build(struct ls_cmd *cmd, const struct ls_keys *keys, bool from_tail,
                           const struct ls_dead_move *moves, size_t count);
/* For both: how many letters were taken out, how many are left. */
struct ls_dead_moved {
    int64_t moved;
    int64_t left;
};
int ls_dead_moved_parse(const struct ls_reply *reply, struct ls_dead_moved *moved,
                        struct ls_err *err);

#endif
