/* The configuration: one YAML file, the environment and defaults, read once into plain structs.
 *
 * Every key, its type, range, default and sentence of help is a row of common/tbl/config.def; the
 * structs below hold the values. A loaded config never changes. Text members are never NULL unless
 * the comment says so; durations are milliseconds. Everything is owned by the struct ls_config and
 * dies with ls_config_free. Secrets are kept as text: print none of them (ls_config_url_redact
 * gives a URL without its password). */
#ifndef LS_CONFIG_CONFIG_H
#define LS_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum ls_config_backoff_type { LS_CONFIG_BACKOFF_EXPONENTIAL, LS_CONFIG_BACKOFF_FIXED };
enum ls_config_jitter { LS_CONFIG_JITTER_FULL, LS_CONFIG_JITTER_NONE };

/* How long to wait before attempt n + 1. The members hold their defaults even when the section was
 * not written. */
struct ls_config_backoff {
    bool set; /* was it written? An unset one of a sync means: as the queue's */
    int type; /* enum ls_config_backoff_type */
    int64_t base_ms;
    double factor;
    int64_t cap_ms;
    int jitter; /* enum ls_config_jitter */
};

/* How often each lane of a queue goes first, in turns of their sum; 0: only what the others leave. */
struct ls_config_lanes {
    int64_t high, normal, low;
};

enum ls_config_queue_order { LS_CONFIG_ORDER_WEIGHTED, LS_CONFIG_ORDER_STRICT };

/* There is always a queue "default". */
struct ls_config_queue {
    char *name;
    int64_t concurrency;  /* jobs at once in one runner */
    int64_t max_attempts; /* 0: no limit but max_age */
    int64_t max_age_ms;
    int64_t max_length;  /* pushes are refused above it; 0: no limit */
    int64_t max_running; /* jobs at once over all runners; 0: no limit */
    int64_t max_dead;    /* with so many dead jobs nothing is claimed; 0: no limit */
    int64_t weight;      /* share of a common `concurrency` */
    struct ls_config_lanes lanes;
    int64_t starvation_ms; /* a lane or queue passed over for so long goes first once; 0: never */
    double fair; /* share of a runner's places for one account while others wait; 0: no limit */
    int64_t result_ttl_ms;
    struct ls_config_backoff backoff;
};

/* A name with a number. */
struct ls_config_count {
    char *name;
    int64_t count;
};

struct ls_config_breaker {
    int64_t failures; /* in a row; 0: off */
    int64_t open_ms;  /* doubles with each failed probe */
    int64_t cap_ms;
};

struct ls_config_account {
    char *name;     /* [a-z0-9._-]{1,64} */
    char *platform; /* "woocommerce", "wordpress" */
    char *url;      /* without a slash at the end */
    char *queue;    /* its one queue; "default" when not written */
    char *consumer_key;
    char *consumer_secret;
    char *webhook_secret;
    char *ca_file; /* absolute; NULL: the system's authorities */
    double rate;   /* platform requests per second; 0: no limit */
    int64_t burst;
    int64_t concurrency; /* jobs of this account at once, over all runners; 0: no limit */
    struct ls_config_count
        *costs; /* platform requests that a job of a kind prepays; other kinds: 1 */
    size_t cost_count;
    struct ls_config_breaker breaker;
    int64_t timeout_ms; /* of one platform request; platform_timeout when not written */
};

enum ls_config_catch_up {
    LS_CONFIG_CATCH_UP_LAST,
    LS_CONFIG_CATCH_UP_ALL,
    LS_CONFIG_CATCH_UP_SKIP
};

/* Jobs by the clock: exactly one of cron and every_ms is set. */
struct ls_config_schedule {
    char *name;
    char *cron;       /* NULL: every_ms */
    int64_t every_ms; /* 0: cron */
    char *zone;       /* of cron; "UTC" when not written */
    int catch_up;     /* enum ls_config_catch_up */
    char *kind;
    char *data;     /* JSON; NULL: none */
    char *queue;    /* NULL: the account's, else "default" */
    char *account;  /* NULL: none */
    char *key;      /* NULL: none */
    char *priority; /* "high", "normal", "low" */
    bool enabled;
};

/* A job kind of a shared object; the kind is the name. */
struct ls_config_handler {
    char *name;
    char *library;      /* absolute path */
    int64_t timeout_ms; /* 0: none */
};

enum ls_config_mode { LS_CONFIG_REALTIME, LS_CONFIG_BATCH, LS_CONFIG_HYBRID };
enum ls_config_policy {
    LS_CONFIG_POLICY_FIELDS,
    LS_CONFIG_POLICY_LAST_WRITE_WINS,
    LS_CONFIG_POLICY_VERSION,
    LS_CONFIG_POLICY_LOCAL,
    LS_CONFIG_POLICY_REMOTE,
    LS_CONFIG_POLICY_MANUAL
};
enum ls_config_type {
    LS_CONFIG_TYPE_TEXT,
    LS_CONFIG_TYPE_INTEGER,
    LS_CONFIG_TYPE_MONEY,
    LS_CONFIG_TYPE_DECIMAL,
    LS_CONFIG_TYPE_BOOLEAN,
    LS_CONFIG_TYPE_HTML,
    LS_CONFIG_TYPE_TIMESTAMP
};
enum ls_config_owner { LS_CONFIG_OWNER_MERGE, LS_CONFIG_OWNER_LOCAL, LS_CONFIG_OWNER_REMOTE };
enum ls_config_deletes { LS_CONFIG_DELETES_GATE, LS_CONFIG_DELETES_OFF };

struct ls_config_field {
    char *name;    /* canonical */
    char *column;  /* of the application's table; the name when not written */
    char *remote;  /* of the platform; the name when not written */
    int type;      /* enum ls_config_type */
    int owner;     /* enum ls_config_owner */
    char *check;   /* NULL: none */
    bool critical; /* hybrid mode: goes in real time */
};

struct ls_config_sync {
    char *name;
    char *account;
    char *entity; /* product, order, customer, inventory, content */
    char *table;
    char *id;         /* the column of the primary key */
    char *updated_at; /* the column of the last change; NULL: none (last_write_wins needs it) */
    char *version;    /* the column of the version number; NULL: none (policy version needs it) */
    int mode;         /* enum ls_config_mode */
    int64_t every_ms;
    int64_t scan_ms; /* how often to scan what deltas cannot see; 0: never */
    int64_t batch;
    int policy;           /* enum ls_config_policy */
    int deletes;          /* enum ls_config_deletes */
    char *match;          /* the field by which unlinked records are matched; NULL: the one whose
                             remote is "sku", if there is one */
    int64_t max_attempts; /* 0: as the queue */
    int64_t max_age_ms;   /* 0: as the queue */
    struct ls_config_backoff backoff; /* .set false: as the queue */
    struct ls_config_field *fields;
    size_t field_count;
};

enum ls_config_format { LS_CONFIG_FORMAT_JSON, LS_CONFIG_FORMAT_SLACK };

/* Where alerts go: exactly one of `to` and `exec` is set. */
struct ls_config_sink {
    char *to;     /* URL; NULL with exec */
    int format;   /* enum ls_config_format */
    char *secret; /* signs the body; NULL: none */
    char **exec;  /* argv, NULL at its end; NULL with `to` */
    size_t exec_count;
};

struct ls_config_rules {
    double error_rate;   /* high_error_rate above it */
    int64_t slow_ms;     /* slow_sync above this average */
    int64_t stale_ms;    /* stale_data when nothing was synced for so long */
    bool exhausted;      /* sync_retry_exhausted on every newly dead group */
    int64_t dead_rate;   /* dead_rate when a group grew by so many within the window; 0: off */
    int64_t dead_age_ms; /* dead_age when a group's oldest waits so long; 0: off */
    int64_t window_ms;   /* over which rate and average are taken */
    int64_t min_samples; /* below it a window says nothing */
    int64_t cooldown_ms; /* between two notices of one group */
    int64_t tick_ms;     /* how often the rules are looked at */
};

struct ls_config_admin {
    bool enabled; /* true when the section stands in the file, unless it says `enabled: false` */
    char *listen; /* as written: "127.0.0.1:8420" */
    char *host;   /* its parts; IPv6 without brackets */
    int port;     /* 0: any free one */
    char *token;  /* NULL: only metrics and health are served */
};

struct ls_config {
    char *path;      /* of the file; NULL when none was read */
    char *state_dir; /* absolute */
    char *redis;     /* as written: "embedded", "unix://PATH", "redis://HOST:PORT/DB", ... */
    char *store;     /* "sqlite:/absolute/path"; NULL: none */
    char *log;       /* "stderr" or "file:/absolute/path" */
    int log_level;   /* enum ls_log_level */
    int log_json;    /* 0 text, 1 JSON */
    char *user;      /* to become when started as root; NULL: stay */
    int64_t runners;
    int64_t lease_ms, beat_ms;
    int64_t watchdog_ms; /* 0: off */
    int64_t shutdown_grace_ms;
    int64_t platform_timeout_ms;
    int64_t max_rss;  /* bytes; a runner above it is replaced; 0: no limit */
    int64_t max_jobs; /* a runner is replaced after so many; 0: no limit */
    int64_t ledger_retention_ms;
    int64_t concurrency; /* jobs at once in one runner over all queues; 0: only the queues' own */
    int queue_order;     /* enum ls_config_queue_order: who gets the places of `concurrency` */
    int64_t cancel_grace_ms;
    int64_t handler_threads;

    struct ls_config_queue *queues;
    size_t queue_count;
    struct ls_config_account *accounts;
    size_t account_count;
    struct ls_config_sync *syncs;
    size_t sync_count;
    struct ls_config_schedule *schedules;
    size_t schedule_count;
    struct ls_config_handler *handlers;
    size_t handler_count;
    struct ls_config_sink *sinks; /* key `alerts` */
    size_t sink_count;
    struct ls_config_rules rules; /* key `alert_rules` */
    struct ls_config_admin admin;
    struct {
        char **allow; /* commands that `exec` jobs may name, exactly as written there */
        size_t allow_count;
    } exec;
    struct {
        char *secret;        /* signs the bodies of `http` jobs; NULL: unsigned */
        bool refuse_private; /* `http` jobs reach public addresses only */
    } http;

    char *redis_socket; /* derived: the embedded Redis' socket; NULL unless redis is "embedded" */
    char *redis_url;    /* derived: what ls_config_redis_url returns */
};

/* Read the configuration. path NULL: LOCKSTEP_CONFIG, else ./lockstep.yaml, else
 * /etc/lockstep/lockstep.yaml, else defaults; a path that was named must exist. LOCKSTEP_<KEY>
 * overrides the plain keys of the top level (LOCKSTEP_REDIS, LOCKSTEP_STORE, LOCKSTEP_RUNNERS,
 * ...). Relative paths in a file belong to the file's directory, all others to the working
 * directory. NULL with *err: LS_E_CONFIG with "FILE:LINE:COLUMN: " before the problem;
 * LS_E_NOT_FOUND, LS_E_SYSTEM; LS_E_UNSUPPORTED, there is a file but this build has no libyaml. */
struct ls_config *ls_config_load(const char *path, struct ls_err *err);
/* For those who only ask where Redis is and which queues and accounts there are, in an environment
 * that may lack the secrets: a
 * `${...}` that cannot be had is no error but in `redis` and `state_dir`. Its member is then as if
 * not written, NULL even where the comment above says never. A machine without a tz database may
 * push as well: zones are not looked up there. */
struct ls_config *ls_config_load_public(const char *path, struct ls_err *err);
/* The same from bytes: `name` stands in messages, `dir` (NULL: the working directory) is where
 * relative paths belong. */
struct ls_config *ls_config_parse(const char *text, size_t length, const char *name,
                                  const char *dir, struct ls_err *err);
void ls_config_free(struct ls_config *config);

/* One thing that is wrong, or (warning) allowed but probably not meant. line is 0 when it has no
 * place in the file. */
struct ls_config_problem {
    int line, column;
    bool warning;
    char text[400];
    char hint[200];
};

/* All problems instead of the first: at most `max` are filled in, the number filled is returned, -1
 * with *err when the file could not be read at all. *file is set to the path that was read (the
 * caller frees), NULL when there was none. */
int ls_config_check(const char *path, struct ls_config_problem *problems, int max, char **file,
                    struct ls_err *err);

/* By name; NULL when there is none. */
const struct ls_config_queue *ls_config_queue_find(const struct ls_config *config,
                                                   const char *name);
const struct ls_config_account *ls_config_account_find(const struct ls_config *config,
                                                       const char *name);
const struct ls_config_sync *ls_config_sync_find(const struct ls_config *config, const char *name);
const struct ls_config_field *ls_config_field_find(const struct ls_config_sync *sync,
                                                   const char *name);

/* Where Redis is, as a URL: `redis` itself, or unix://SOCKET for the embedded one. SOCKET is
 * STATE_DIR/redis.sock, or, when that is longer than a socket's name may be, /tmp/lockstep-<hash of
 * state_dir>/redis.sock (the pool makes that directory 0700 and refuses a stranger's). Borrowed
 * from the config. */
const char *ls_config_redis_url(const struct ls_config *config);
bool ls_config_redis_embedded(const struct ls_config *config);
/* The same without a password, for people: three stars stand for it. The caller frees. */
char *ls_config_url_redact(const char *url);

/* Enum values as they are written in the file ("exponential", "last_write_wins"). */
const char *ls_config_mode_name(int mode);
const char *ls_config_policy_name(int policy);
const char *ls_config_type_name(int type);
const char *ls_config_owner_name(int owner);

struct ls_buf;
/* The reference of all keys as Markdown tables: what common/config/README.md shows. */
void ls_config_reference(struct ls_buf *out);

/* Is it a kind that this configuration serves: lockstep's own, or one of its `handlers`? config may be
 * NULL. */
bool ls_config_kind_known(const struct ls_config *config, const char *kind, size_t length);

/* Is it a job kind that lockstep serves (common/tbl/kinds.def)? Producers refuse others. */
bool ls_kind_known(const char *kind, size_t length);
/* The known kind nearest to a misspelt one; NULL when none is near. */
const char *ls_kind_nearest(const char *kind);

/* Is it a name for accounts, queues, syncs: 1 to 64 of [a-z0-9._-], starting with a letter or
 * digit? */
bool ls_config_name_valid(const char *name, size_t length);

#endif
