/* lockstep, the command line: what every subcommand (one file cmd_*.c each) shares. A subcommand is
 * a row of the table in main.c; it reads its words with ls_cli_options, prints results to standard
 * output (a table, or JSON with --json), says everything else on standard error, and returns 0
 * done, 1 failed, 2 misused. */
#ifndef LS_CLI_CLI_H
#define LS_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/config/config.h"
#include "common/redis/sync.h"

#define LS_EXIT_OK 0
#define LS_EXIT_FAILED 1
#define LS_EXIT_USAGE 2

struct ls_cli {
    const char *program;              /* argv[0] */
    const char *config_path;          /* --config; NULL: the usual places */
    const char *redis;                /* --redis; NULL: LOCKSTEP_REDIS, then the configuration */
    bool json;                        /* --json */
    bool quiet;                       /* --quiet: no progress, no remarks */
    bool color;                       /* standard output is a terminal that shows colours */
    int width;                        /* of the terminal; 0: not a terminal, tables are not cut */
    const struct ls_command *command; /* the one that runs */

    struct ls_config *config_loaded;  /* by ls_cli_config */
    struct ls_config *config_public;  /* by ls_cli_config_public */
    struct ls_redis_sync *redis_open; /* by ls_cli_redis */
};

struct ls_command {
    const char *name;
    const char *summary; /* one line for `lockstep help` */
    const char *usage;   /* the text of `lockstep help NAME`: synopsis first */
    int (*run)(struct ls_cli *cli, int argc, char **argv); /* argv[0] is the command's name */
};

/* ---- words ---- */

/* The values of an option that may be given more than once. {0} is none; the texts are argv's, the
 * array is the owner's to free. */
struct ls_cli_list {
    const char **texts;
    size_t count;
};

/* One option of a command. Exactly one of value, flag and list is set. The array ends with {0}. */
struct ls_cli_option {
    const char *name;         /* without the dashes: "queue" */
    const char **value;       /* `--queue Q` or `--queue=Q` */
    bool *flag;               /* `--all` */
    struct ls_cli_list *list; /* `--id A --id B` */
};

/* Take the options (and the global ones: --config, --redis, --json, --quiet, --help) out of argv;
 * what is left are *argc words from argv[0] on, the command's name not among them. `--` ends the
 * options. 0; or -1 after saying what is wrong or showing the help: return *exit_code then. */
int ls_cli_options(struct ls_cli *cli, const struct ls_cli_option *options, int *argc, char ***argv,
                   int *exit_code);

/* Add a text to a list. */
void ls_cli_list_add(struct ls_cli_list *list, const char *text);

/* Say "lockstep: TEXT", the hint and a pointer to the help. Returns 2. */
int ls_cli_misused(struct ls_cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Say the error and its hint. Returns 2 for LS_E_USAGE, else 1. */
int ls_cli_failed(struct ls_cli *cli, const struct ls_err *err);
/* A remark on standard error, silent with --quiet. */
void ls_cli_note(struct ls_cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "10s" in ms; -1 with LS_E_USAGE naming the option. */
int64_t ls_cli_duration(const char *option, const char *text, struct ls_err *err);
/* "2026-11-23T10:00:00Z" or ms since 1970, in ms; below 0: before 1970. */
int ls_cli_time(const char *option, const char *text, int64_t *ms, struct ls_err *err);
/* A whole number in [low, high]. */
int ls_cli_number(const char *option, const char *text, int64_t low, int64_t high, int64_t *out,
                  struct ls_err *err);

/* ---- what commands work on ---- */

/* The configuration, loaded on first use and owned by cli. NULL with *err. */
const struct ls_config *ls_cli_config(struct ls_cli *cli, struct ls_err *err);
/* The same for commands that only look at queues: secrets that this shell lacks are no error
 * (ls_config_load_public). */
const struct ls_config *ls_cli_config_public(struct ls_cli *cli, struct ls_err *err);
/* The address of Redis: --redis, LOCKSTEP_REDIS, configuration. Needs no file. The caller frees. */
char *ls_cli_redis_url(struct ls_cli *cli, struct ls_err *err);
/* A blocking connection, opened on first use and owned by cli. NULL with *err: no pool there is
 * said so, with `lockstep up`. */
struct ls_redis_sync *ls_cli_redis(struct ls_cli *cli, struct ls_err *err);
/* Is url (unix://...) a socket that is not there? Then *err says that no pool is running here. */
bool ls_cli_no_pool(const struct ls_redis_url *url, struct ls_err *err);
/* One command, its reply borrowed until the next: ls_cli_redis and ls_redis_sync_send in one. */
int ls_cli_send(struct ls_cli *cli, const struct ls_cmd *cmd, const struct ls_reply **reply,
                struct ls_err *err);
/* Redis' clock, us since 1970: by it jobs are due and letters are dated. */
int ls_cli_redis_us(struct ls_cli *cli, int64_t *us, struct ls_err *err);
/* The path of a program of ours: beside this binary, else by PATH. The caller frees. */
char *ls_cli_sibling(struct ls_cli *cli, const char *name);

/* ---- tables ---- */

/* Columns are named once, rows filled cell by cell. Printed as aligned text that fits the terminal
 * (the widest text column is cut, never a number or an id; columns without any text are left out),
 * or with --json as an array of objects with the columns' keys. Cells are made safe for a
 * terminal. */
struct ls_table;

struct ls_column {
    const char *title; /* "OLDEST"; NULL: only in JSON */
    const char *key;   /* "oldest_ms": the name in JSON; NULL: only shown to people */
    bool right;        /* aligned right: numbers */
    bool whole;        /* never cut: what people copy into the next command */
};

struct ls_table *ls_table_new(struct ls_cli *cli, const struct ls_column *columns, size_t count);
/* Fill the next cell; a row is complete after the last column. */
void ls_table_text(struct ls_table *table, const char *text); /* NULL: "-", null */
void ls_table_span(struct ls_table *table, const char *text, size_t length);
void ls_table_int(struct ls_table *table, int64_t value);
void ls_table_bool(struct ls_table *table, bool value);
/* What people see beside what JSON holds (raw JSON text, "null" ...). */
void ls_table_both(struct ls_table *table, const char *shown, const char *json);
/* A time of the wall: "2m 5s ago", in JSON as ISO 8601; 0: none. */
void ls_table_when(struct ls_table *table, int64_t wall_ms);
/* A time span: "2m 5s" and ms; negative: none. */
void ls_table_duration(struct ls_table *table, int64_t ms);
/* Print and free. With no rows people see `empty` (may be NULL). */
void ls_table_print(struct ls_table *table, const char *empty);
/* Free without printing. */
void ls_table_free(struct ls_table *table);

/* ---- progress ---- */

/* A bar on standard error: drawn over on a terminal, else a line every 10 s and at the end. */
struct ls_progress {
    struct ls_cli *cli;
    const char *label;
    int64_t total; /* 0: unknown */
    int64_t done;
    int64_t started_us, drawn_us;
    bool drawn;
};

void ls_progress_start(struct ls_progress *progress, struct ls_cli *cli, const char *label,
                       int64_t total);
void ls_progress_set(struct ls_progress *progress, int64_t done);
/* Draw the end; the line stays. */
void ls_progress_finish(struct ls_progress *progress);

/* ---- text from outside ---- */

/* Append with control characters and broken UTF-8 made visible ("\x1b"), so that nothing steers the
 * terminal. */
void ls_cli_safe(struct ls_buf *out, const char *text, size_t length);
/* The same to a stream. */
void ls_cli_print_safe(FILE *stream, const char *text, size_t length);

#endif
