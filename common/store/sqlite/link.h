/* Link rows and marks: the two tables that every operation touches. All of it runs on the thread,
 * inside the transaction. */
#ifndef LS_STORE_SQLITE_LINK_H
#define LS_STORE_SQLITE_LINK_H

#include "common/store/sqlite/sqlite.h"

enum ls_link_by { LS_LINK_BY_UID, LS_LINK_BY_LOCAL, LS_LINK_BY_REMOTE };

/* {0} is none; ls_link_fini. */
struct ls_link {
    int64_t id; /* 0: none */
    char *uid, *local_id, *remote_id;
    enum ls_link_state state;
    int64_t token, base_gen;
};

void ls_link_fini(struct ls_link *link);
/* 1 found, 0 not (link is {0} then), -1 with *err. */
int ls_link_find(struct ls_turn_db *turn, const char *account, const char *entity,
                 enum ls_link_by by, const char *value, struct ls_link *link, struct ls_err *err);
/* Make the row of a record that was seen on one side. */
int ls_link_mint(struct ls_turn_db *turn, const char *account, const char *entity, char side,
                 const char *ref, struct ls_link *link, struct ls_err *err);
/* Take a remote id away from whoever holds it without being linked by it, so that `into` may have
 * it: an unlinked row vanishes into `into`, a tombstone gives it up. -1: LS_E_EXISTS, it is linked
 * to another record. */
int ls_link_absorb(struct ls_turn_db *turn, const char *account, const char *entity,
                   const struct ls_link *into, const char *remote_id, struct ls_err *err);
/* A higher token: the run that holds the record now can commit nothing any more. Its marks are
 * handed over again. */
int ls_link_fence(struct ls_turn_db *turn, const char *account, const char *entity,
                  const struct ls_link *link, struct ls_err *err);
const char *ls_link_state_name(enum ls_link_state state);
enum ls_link_state ls_link_state_parse(const char *name);

/* A record's own name that goes into keys and file names: "l-12", "r-99"; other characters as %XX,
 * long ones by hash. The caller frees. */
char *ls_link_uid(char side, const char *ref, int attempt);
/* The id that a uid was made from; NULL when it does not say (long ids). The caller frees. */
char *ls_link_uid_ref(const char *uid);

struct ls_mark_row {
    int64_t gen; /* 0: no mark */
    int64_t first_at;
};
int ls_mark_get(struct ls_turn_db *turn, const char *account, const char *entity, const char *side,
                const char *ref, struct ls_mark_row *mark, struct ls_err *err);
/* A new generation. high: 1, 0, -1, never lowered by a repeat. */
int ls_mark_put(struct ls_turn_db *turn, const char *account, const char *entity, const char *side,
                const char *ref, const char *origin, int high, struct ls_err *err);
/* As ls_mark_put, but not when the mark is there and still to be handed over: nobody has looked at
 * it yet. */
int ls_mark_hint(struct ls_turn_db *turn, const char *account, const char *entity, const char *side,
                 const char *ref, const char *origin, int high, struct ls_err *err);
/* gen < 0: whatever its generation. */
int ls_mark_remove(struct ls_turn_db *turn, const char *account, const char *entity,
                   const char *side, const char *ref, int64_t gen, struct ls_err *err);
/* Fields with an open conflict. */
int ls_link_conflicts(struct ls_turn_db *turn, const struct ls_mapping *mapping, int64_t link,
                      uint64_t *fields, struct ls_err *err);
/* The base of a link row, absent when there is none. */
int ls_link_base(struct ls_turn_db *turn, const struct ls_mapping *mapping, int64_t link,
                 struct ls_record *base, struct ls_err *err);

#endif
