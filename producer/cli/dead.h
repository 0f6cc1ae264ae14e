/* lockstep dead: what its files share. cmd_dead.c reads the words; dead_select.c knows which letters
 * are meant and walks through them; dead_show.c, dead_move.c and dead_files.c are the verbs. */
#ifndef LS_CLI_DEAD_H
#define LS_CLI_DEAD_H

#include "common/job/dead.h"
#include "common/queue/dead.h"
#include "common/redis/keys.h"
#include "producer/cli/cli.h"

#define DEAD_SLICE LS_DEAD_MAX /* letters read or moved in one trip */

/* The words of the command, as given. */
struct dead_words {
    const char *queue, *group, *kind, *account, *klass, *since, *limit, *rate, *reason, *from;
    struct ls_cli_list ids; /* of --id, and the words behind the verb */
    bool all, raw, dry_run, retry;
};

/* ---- which letters ---- */

/* Those with one of the ids, of one group, or all; and of these the ones that pass every filter that
 * is set. Borrows the words. */
struct dead_select {
    struct ls_cli_list ids; /* sorted; numbers are positions, 0 the newest */
    bool *found;            /* owned: of ids */
    const char *group, *kind, *account, *klass;
    int64_t since_ms; /* died then or later; 0: whenever */
    int64_t limit;    /* at most so many; 0: all */
    bool all;
};

/* A number is a position, anything else an id. */
bool dead_is_position(const char *which);
/* -1 with LS_E_USAGE when the words do not go together. strict: the words must say which ones. */
int dead_select_init(struct dead_select *select, struct ls_cli *cli, const struct dead_words *words,
                     bool strict, struct ls_err *err);
void dead_select_fini(struct dead_select *select);
/* Is this letter meant? letter NULL: bytes that are no letter of ours. Ids are not looked at. */
bool dead_select_has(const struct dead_select *select, const struct ls_dead *letter);
/* The same for a letter at this place of the list (from 0, the newest) by its id, once for each id:
 * notes which ids were found. */
bool dead_select_has_id(struct dead_select *select, const struct ls_dead *letter, int64_t index);
/* Ids that no letter had: their number, the first ones in text. */
size_t dead_select_missing(const struct dead_select *select, struct ls_buf *text);
/* "group 5f1c…, kind http", for the log of what was discarded. */
void dead_select_describe(const struct dead_select *select, struct ls_buf *out);

/* ---- through the list, from the oldest letter on, without changing it ---- */

struct dead_walk {
    struct ls_cli *cli;
    const struct ls_keys *keys;
    int64_t total; /* letters there were when it began */
    int64_t seen;  /* letters handed out */
    struct ls_buf
        last; /* the newest of them: a list that somebody else shortens is noticed by it */
    struct ls_cmd cmd;
};

int dead_walk_begin(struct dead_walk *walk, struct ls_cli *cli, const struct ls_keys *keys,
                    struct ls_err *err);
/* The next letters: item count - 1 is the oldest of them, item 0 the newest. 1, 0 at the end, or -1;
 * LS_E_CONFLICT: letters that were handed out have left the list, so others may have been missed.
 * *slice dies with the next command. */
int dead_walk_next(struct dead_walk *walk, const struct ls_reply **slice, size_t *count,
                   struct ls_err *err);
void dead_walk_end(struct dead_walk *walk);

/* ---- the verbs: exit codes ---- */

int dead_list(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys);
int dead_groups(struct ls_cli *cli, const struct ls_keys *keys);
int dead_show(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys);
int dead_discarded(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys);
int dead_move(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys,
              bool retry);
int dead_export(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys);
int dead_import(struct ls_cli *cli, const struct dead_words *words, const struct ls_keys *keys,
                const char *path);

/* How many letters a selection means, and, of those, how many no retry can push; for --dry-run. */
int dead_count(struct ls_cli *cli, const struct ls_keys *keys, struct dead_select *select,
               int64_t *selected, int64_t *unreadable, struct ls_err *err);

/* Letters have left these groups: find out when the oldest that is left died, and write it into
 * dead:groups. Reads the list from its oldest letter on until it has met all of them. */
struct dead_touched {
    char (*groups)[LS_GROUP_SIZE]; /* owned; sorted, each once */
    size_t count;
};
void dead_touch(struct dead_touched *touched, struct ls_span group);
int dead_mend(struct ls_cli *cli, const struct ls_keys *keys, const struct dead_touched *touched,
              struct ls_err *err);

#endif
