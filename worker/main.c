#include "worker/main.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "worker/master/master.h"
#include "worker/master/title.h"
#include "worker/master/user.h"

#define CONFIGS_MAX \
    256 /* reloads of one pool's life whose configurations are kept; the children of old ones \
           still read them */

static const char usage[] =
    "usage: lockstep-worker [--config FILE] [--role ROLE] [--log stderr|file:PATH]\n"
    "       lockstep-worker --until-empty [--timeout TIME] [--config FILE] [--log ...]\n"
    "\n"
    "Runs a pool in the foreground: the master, its runners, scheduler, relay and admin server, "
    "and\n"
    "its own redis-server when the configuration says 'redis: embedded' (the default).\n"
    "\n"
    "  --config FILE   default: $LOCKSTEP_CONFIG, ./lockstep.yaml, /etc/lockstep/lockstep.yaml\n"
    "  --role ROLE     one part alone, without a master: runner, scheduler, relay or admin\n"
    "  --log SINK      overrides the configuration's\n"
    "  --until-empty   end when nothing waits, runs or is to be tried again: exit 0, or 1 when "
    "jobs "
    "died\n"
    "  --timeout TIME  end then in any case, exit 1; jobs scheduled for later are not waited for\n"
    "  --version, --help\n"
    "\n"
    "SIGTERM drains and ends; a second one ends at once. SIGHUP reloads the configuration, "
    "replaces\n"
    "the runners one by one and opens the log file again.\n";

struct options {
    char *config_path, *role, *log; /* copies: the process title will overwrite argv */
    bool until_empty;
    int64_t timeout_ms; /* 0: none */
};

struct pool {
    struct options options;
    struct ls_config *configs[CONFIGS_MAX]; /* owned; the last is in use */
    size_t config_count;
    struct ls_until_empty until_empty;
};

static int parse_options(int argc, char **argv, struct options *options);
static int apply_log(const struct ls_config *config, const char *override, struct ls_err *err);
static void fill_settings(const struct ls_config *config, struct ls_master_settings *settings);
static int reload(void *arg, struct ls_master_settings *next, struct ls_err *err);
static int run_alone(const struct ls_config *config, const char *role);
static int run_until_empty(struct pool *pool, struct ls_master_settings *settings);
static int fail(const struct ls_err *err, int status);

static int (*const roles[LS_ROLE_COUNT])(const struct ls_role_context *context) = {
    [LS_ROLE_RUNNER] = ls_runner_main,
    [LS_ROLE_SCHEDULER] = ls_scheduler_main,
    [LS_ROLE_RELAY] = ls_relay_main,
    [LS_ROLE_ADMIN] = ls_admin_main,
};

int main(int argc, char **argv)
{
    struct pool pool = {0};
    struct ls_master_settings settings = {.reload = reload, .reload_arg = &pool};
    struct ls_err err = LS_ERR_INIT;
    struct ls_config *config;
    int status = parse_options(argc, argv, &pool.options);

    if (status >= 0)
        return status;
    config = ls_config_load(pool.options.config_path, &err);
    if (!config) {
        status = fail(&err, LS_EXIT_USAGE);
        goto done;
    }
    pool.configs[pool.config_count++] = config;
    ls_title_init(argc, argv);
    if (ls_user_drop(config->user, &err) < 0 || apply_log(config, pool.options.log, &err) < 0) {
        status = fail(&err, LS_EXIT_FAILED);
    } else if (pool.options.role) {
        status = run_alone(config, pool.options.role);
    } else {
        ls_log_set_role("master");
        ls_title_set("master");
        fill_settings(config, &settings);
        status =
            pool.options.until_empty ? run_until_empty(&pool, &settings) : ls_master_run(&settings);
    }
done:
    while (pool.config_count)
        ls_config_free(pool.configs[--pool.config_count]);
    free(pool.options.config_path);
    free(pool.options.role);
    free(pool.options.log);
    return status;
}

/* -1: go on. */
static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option table[] = {
        {"config", required_argument, NULL, 'c'},  {"role", required_argument, NULL, 'r'},
        {"log", required_argument, NULL, 'l'},     {"until-empty", no_argument, NULL, 'u'},
        {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},       {0},
    };
    int letter;

    while ((letter = getopt_long(argc, argv, "c:r:l:hV", table, NULL)) != -1) {
        switch (letter) {
        case 'c':
            options->config_path = ls_xstrdup(optarg);
            break;
        case 'r':
            options->role = ls_xstrdup(optarg);
            break;
        case 'l':
            options->log = ls_xstrdup(optarg);
            break;
        case 'u':
            options->until_empty = true;
            break;
        case 't':
            options->timeout_ms = ls_duration_parse(optarg);
            if (options->timeout_ms > 0)
                break;
            fprintf(stderr,
                    "lockstep-worker: '--timeout' cannot be '%.60s'\n"
                    "hint: a duration with its unit, above zero: 30s, 5m\n",
                    optarg);
            return LS_EXIT_USAGE;
        case 'h':
            fputs(usage, stdout);
            return LS_EXIT_OK;
        case 'V':
            puts("lockstep-worker " LOCKSTEP_VERSION);
            return LS_EXIT_OK;
        default:
            fputs(usage, stderr);
            return LS_EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "lockstep-worker: unknown word '%s'\n%s", argv[optind], usage);
        return LS_EXIT_USAGE;
    }
    if (options->until_empty && options->role) {
        fputs("lockstep-worker: '--until-empty' needs a whole pool: it does not go with '--role'\n",
              stderr);
        return LS_EXIT_USAGE;
    }
    if (options->timeout_ms && !options->until_empty) {
        fputs("lockstep-worker: '--timeout' goes with '--until-empty'\n", stderr);
        return LS_EXIT_USAGE;
    }
    return -1;
}

static int apply_log(const struct ls_config *config, const char *override, struct ls_err *err)
{
    ls_log_set_level((enum ls_log_level)config->log_level);
    ls_log_set_json(config->log_json != 0);
    return ls_log_open(override ? override : config->log, err);
}

static void fill_settings(const struct ls_config *config, struct ls_master_settings *settings)
{
    settings->config = config;
    memcpy(settings->run, roles, sizeof roles);
    settings->count[LS_ROLE_RUNNER] = (int)config->runners;
    settings->count[LS_ROLE_SCHEDULER] = 1;
    settings->count[LS_ROLE_RELAY] = settings->count[LS_ROLE_ADMIN] = 0;
#ifdef LOCKSTEP_WITH_SQLITE
    settings->count[LS_ROLE_RELAY] = config->store != NULL;
#else
    if (config->store)
        ls_log(LS_LOG_WARN, "role.left_out", "this build has no stores: 'store' is ignored");
#endif
#ifdef LOCKSTEP_WITH_ADMIN
    settings->count[LS_ROLE_ADMIN] = config->admin.enabled;
#else
    if (config->admin.enabled)
        ls_log(LS_LOG_WARN, "role.left_out", "this build has no admin server: 'admin' is ignored");
#endif
    settings->shutdown_grace_ms = (int)config->shutdown_grace_ms;
    settings->watchdog_ms = (int)config->watchdog_ms;
    if (ls_config_redis_embedded(config)) {
        settings->state_dir = config->state_dir;
        settings->redis_socket = config->redis_socket;
    }
    if (config->store && strncmp(config->store, "sqlite:", 7) == 0)
        settings->store_path = config->store + 7;
}

static int reload(void *arg, struct ls_master_settings *next, struct ls_err *err)
{
    struct pool *pool = arg;
    struct ls_config *config;

    if (pool->config_count == CONFIGS_MAX)
        return ls_fail(err, LS_E_TOO_BIG, "reloaded %d times already: restart the pool",
                       CONFIGS_MAX);
    config = ls_config_load(pool->options.config_path, err);
    if (!config)
        return -1;
    if (apply_log(config, pool->options.log, err) < 0) {
        ls_config_free(config);
        return -1;
    }
    pool->configs[pool->config_count++] = config;
    fill_settings(config, next);
    return 0;
}

static int run_alone(const struct ls_config *config, const char *role)
{
    struct ls_role_context context = {.config = config,
                                      .control_fd = -1,
                                      .standalone = true,
                                      .grace_ms = (int)config->shutdown_grace_ms};

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < LS_ROLE_COUNT; i++) {
        context.role = ls_role_name((enum ls_role)i);
        if (strcmp(role, context.role) == 0) {
            ls_log_set_role(context.role);
            ls_title_set("%s", context.role);
            return roles[i](&context);
        }
    }
    fprintf(stderr,
            "lockstep-worker: there is no role '%s'\nhint: runner, scheduler, relay or admin\n",
            role);
    return LS_EXIT_USAGE;
}

/* What came of it is said on standard error, wherever the log goes. */
static int run_until_empty(struct pool *pool, struct ls_master_settings *settings)
{
    struct ls_until_empty *until = &pool->until_empty;
    int64_t timeout_ms = pool->options.timeout_ms;
    char text[32];
    int status;

    until->deadline_ms = timeout_ms ? ls_clock_mono_after_ms(timeout_ms) : 0;
    settings->until_empty = until;
    status = ls_master_run(settings);
    if (until->left[0])
        fprintf(stderr,
                "lockstep-worker: not empty after %s: %s\n"
                "hint: 'lockstep queue list' shows how it stands\n",
                ls_duration_format(text, sizeof text, timeout_ms), until->left);
    if (until->died)
        fprintf(stderr,
                "lockstep-worker: %lld jobs died meanwhile\n"
                "hint: 'lockstep dead list' shows why\n",
                (long long)until->died);
    return status;
}

static int fail(const struct ls_err *err, int status)
{
    fprintf(stderr, "lockstep-worker: %s\n", err->text);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return status;
}
