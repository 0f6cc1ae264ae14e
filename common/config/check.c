/* What no single value shows. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config/config_internal.h"
#include "common/config/value.h"
#include "common/job/envelope.h"
#include "common/time/cron_expr.h"
#include "common/time/zone.h"

struct check {
    const struct ls_config *config;
    const struct ls_yaml_node *root;
    bool lenient;
    struct ls_config_report *report;
};

static void check_leases(struct check *check);
static void check_queues(struct check *check);
static void check_accounts(struct check *check);
static void check_syncs(struct check *check);
static void check_handlers(struct check *check);
static void check_sync(struct check *check, const struct ls_config_sync *sync);
static void check_schedules(struct check *check);
static void check_pace(struct check *check, const struct ls_config_schedule *schedule);
static void check_cron(struct check *check, const struct ls_config_schedule *schedule);
static void check_target(struct check *check, const struct ls_config_schedule *schedule);
static void check_job(struct check *check, const struct ls_config_schedule *schedule);
static void check_sinks(struct check *check);

void ls_config_cross_check(const struct ls_config *config, const struct ls_yaml_node *root,
                           bool lenient, struct ls_config_report *report)
{
    struct check check = {config, root, lenient, report};

    check_leases(&check);
    check_queues(&check);
    check_accounts(&check);
    check_syncs(&check);
    check_handlers(&check);
    check_schedules(&check);
    check_sinks(&check);
}

/* The node of section.name.key, or the nearest that was written above it. */
static const struct ls_yaml_node *place(const struct check *check, const char *section,
                                        const char *name, const char *key)
{
    const struct ls_yaml_node *found = NULL, *node = ls_yaml_get(check->root, section, &found);

    if (name && node) {
        const struct ls_yaml_node *below = ls_yaml_get(node, name, &found);

        node = below;
    }
    if (key && node) {
        const struct ls_yaml_node *value = ls_yaml_get(node, key, NULL);

        if (value)
            return value;
    }
    return found;
}

static void check_leases(struct check *check)
{
    const struct ls_config *config = check->config;

    if (config->beat_ms * 3 > config->lease_ms) {
        ls_config_error(check->report,
                        ls_yaml_get(check->root, "beat", NULL)
                            ? ls_yaml_get(check->root, "beat", NULL)
                            : ls_yaml_get(check->root, "lease", NULL),
                        "'beat' must be at most a third of 'lease'");
        ls_config_hint(check->report, "a worker that misses two beats must still be alive");
    }
}

static void check_queues(struct check *check)
{
    for (size_t i = 0; i < check->config->queue_count; i++) {
        const struct ls_config_queue *queue = &check->config->queues[i];

        if (queue->backoff.base_ms > queue->backoff.cap_ms)
            ls_config_error(check->report, place(check, "queues", queue->name, "backoff"),
                            "'base' of the backoff is longer than its 'cap'");
        if (!queue->lanes.high && !queue->lanes.normal && !queue->lanes.low)
            ls_config_error(check->report, place(check, "queues", queue->name, "lanes"),
                            "one of the three lanes must have a weight above 0");
    }
}

static bool written(const struct check *check, const char *section, const char *name,
                    const char *key)
{
    const struct ls_yaml_node *node = ls_yaml_get(check->root, section, NULL);

    return !ls_yaml_is_null(ls_yaml_get(ls_yaml_get(node, name, NULL), key, NULL));
}

static void check_costs(struct check *check, const struct ls_config_account *account)
{
    for (size_t i = 0; i < account->cost_count; i++) {
        const char *kind = account->costs[i].name, *near = ls_kind_nearest(kind);

        if (ls_config_kind_known(check->config, kind, strlen(kind)))
            continue;
        ls_config_warn(check->report, place(check, "accounts", account->name, "costs"),
                       "'costs' names the kind '%s', which nobody serves here", kind);
        if (near)
            ls_config_hint(check->report, "did you mean '%s'?", near);
    }
}

static void check_accounts(struct check *check)
{
    for (size_t i = 0; i < check->config->account_count; i++) {
        const struct ls_config_account *account = &check->config->accounts[i];

        if (account->queue && !ls_config_queue_find(check->config, account->queue)) {
            ls_config_error(check->report, place(check, "accounts", account->name, "queue"),
                            "there is no queue '%s'", account->queue);
            ls_config_hint(check->report, "add it under 'queues', or leave 'queue' out");
        }
        if (account->breaker.open_ms > account->breaker.cap_ms)
            ls_config_error(check->report, place(check, "accounts", account->name, "breaker"),
                            "'open' of the breaker is longer than its 'cap'");
        check_costs(check, account);
        /* Asked of the file, not of the values: a value that could not be read was reported
         * already. */
        if (!written(check, "accounts", account->name, "consumer_key") !=
            !written(check, "accounts", account->name, "consumer_secret")) {
            ls_config_error(check->report, place(check, "accounts", account->name, NULL),
                            "account '%s' has only one of 'consumer_key' and 'consumer_secret'",
                            account->name);
        }
    }
}

static void check_syncs(struct check *check)
{
    const struct ls_config *config = check->config;

    for (size_t i = 0; i < config->sync_count; i++) {
        check_sync(check, &config->syncs[i]);
        for (size_t n = 0; n < i; n++) {
            const struct ls_config_sync *a = &config->syncs[i], *b = &config->syncs[n];

            if (a->account && b->account && a->entity && b->entity &&
                strcmp(a->account, b->account) == 0 && strcmp(a->entity, b->entity) == 0) {
                ls_config_error(check->report, place(check, "syncs", a->name, NULL),
                                "syncs '%s' and '%s' both keep '%s' of account '%s'", b->name,
                                a->name, a->entity, a->account);
                ls_config_hint(check->report, "one sync an entity and account");
            }
        }
    }
    if (config->sync_count && !config->store &&
        ls_yaml_is_null(ls_yaml_get(check->root, "store", NULL))) {
        ls_config_error(check->report, place(check, "syncs", NULL, NULL), "syncs need a 'store'");
        ls_config_hint(check->report, "store: sqlite:shop.db");
    }
}

/* account: of the sync or schedule of that name; NULL: none, or reported already. */
static void check_account_of(struct check *check, const char *section, const char *name,
                             const char *account)
{
    const char *words[1001] = {NULL};
    const char *near;

    if (!account || ls_config_account_find(check->config, account))
        return;
    for (size_t i = 0; i < check->config->account_count && i < 1000; i++)
        words[i] = check->config->accounts[i].name;
    near = ls_config_nearest(account, words);
    ls_config_error(check->report, place(check, section, name, "account"),
                    "there is no account '%s'", account);
    if (near)
        ls_config_hint(check->report, "did you mean '%s'?", near);
    else
        ls_config_hint(check->report, "add it under 'accounts'");
}

static void check_sync(struct check *check, const struct ls_config_sync *sync)
{
    const struct ls_yaml_node *at = place(check, "syncs", sync->name, NULL);
    bool critical = false;

    check_account_of(check, "syncs", sync->name, sync->account);
    if (sync->policy == LS_CONFIG_POLICY_LAST_WRITE_WINS && !sync->updated_at) {
        ls_config_error(check->report, place(check, "syncs", sync->name, "policy"),
                        "policy 'last_write_wins' needs 'updated_at'");
        ls_config_hint(check->report, "name the column that holds the time of the last change");
    }
    if (sync->policy == LS_CONFIG_POLICY_VERSION && !sync->version) {
        ls_config_error(check->report, place(check, "syncs", sync->name, "policy"),
                        "policy 'version' needs 'version'");
        ls_config_hint(check->report, "name the column that holds a growing version number");
    }
    if (sync->backoff.set && sync->backoff.base_ms > sync->backoff.cap_ms)
        ls_config_error(check->report, place(check, "syncs", sync->name, "backoff"),
                        "'base' of the backoff is longer than its 'cap'");
    if (sync->match && !ls_config_field_find(sync, sync->match))
        ls_config_error(check->report, place(check, "syncs", sync->name, "match"),
                        "'match' names '%s', which is none of the fields", sync->match);
    for (size_t i = 0; i < sync->field_count; i++)
        critical = critical || sync->fields[i].critical;
    if (critical && sync->mode != LS_CONFIG_HYBRID)
        ls_config_warn(check->report, at, "'critical' has a meaning in mode 'hybrid' only");
    for (size_t i = 0; i < sync->field_count; i++) {
        for (size_t n = 0; n < i; n++) {
            if (strcmp(sync->fields[i].column, sync->fields[n].column) == 0)
                ls_config_error(check->report, at, "fields '%s' and '%s' use the same column '%s'",
                                sync->fields[n].name, sync->fields[i].name, sync->fields[i].column);
            if (strcmp(sync->fields[i].remote, sync->fields[n].remote) == 0)
                ls_config_error(check->report, at,
                                "fields '%s' and '%s' use the same remote field '%s'",
                                sync->fields[n].name, sync->fields[i].name, sync->fields[i].remote);
        }
    }
}

static void check_handlers(struct check *check)
{
    for (size_t i = 0; i < check->config->handler_count; i++) {
        const struct ls_config_handler *handler = &check->config->handlers[i];
        const struct ls_yaml_node *at = place(check, "handlers", handler->name, NULL);

        if (ls_kind_known(handler->name, strlen(handler->name))) {
            ls_config_error(check->report, at, "'%s' is a kind of lockstep's own", handler->name);
            ls_config_hint(check->report,
                           "give the handler another name, and push jobs of that kind");
        }
        /* It may be there only where the pool runs. */
        if (handler->library && access(handler->library, R_OK) < 0)
            ls_config_warn(check->report, place(check, "handlers", handler->name, "library"),
                           "cannot read '%s': %s", handler->library, strerror(errno));
    }
}

static void check_schedules(struct check *check)
{
    for (size_t i = 0; i < check->config->schedule_count; i++) {
        const struct ls_config_schedule *schedule = &check->config->schedules[i];

        check_pace(check, schedule);
        check_target(check, schedule);
        check_job(check, schedule);
    }
}

/* Says what err says, at a key of a schedule. */
static void report_at(struct check *check, const char *schedule, const char *key,
                      const struct ls_err *err)
{
    ls_config_error(check->report, place(check, "schedules", schedule, key), "%s", err->text);
    if (*err->hint)
        ls_config_hint(check->report, "%s", err->hint);
}

static void check_pace(struct check *check, const struct ls_config_schedule *schedule)
{
    const char *name = schedule->name;
    bool cron = written(check, "schedules", name, "cron");
    bool every = written(check, "schedules", name, "every");

    if (cron == every) {
        ls_config_error(check->report, place(check, "schedules", name, every ? "every" : NULL),
                        every ? "schedule '%s' has both 'cron' and 'every'"
                              : "schedule '%s' has neither 'cron' nor 'every'",
                        name);
        ls_config_hint(check->report, "cron: '0 3 * * 1-5', or every: 5m");
    }
    if (every && !cron && written(check, "schedules", name, "zone"))
        ls_config_warn(check->report, place(check, "schedules", name, "zone"),
                       "'zone' has a meaning with 'cron' only");
    check_cron(check, schedule);
}

static void check_cron(struct check *check, const struct ls_config_schedule *schedule)
{
    struct ls_cron_expr expr;
    struct ls_err err = LS_ERR_INIT;
    struct ls_zone *zone;

    if (schedule->cron && ls_cron_expr_parse(&expr, schedule->cron, &err) < 0)
        report_at(check, schedule->name, "cron", &err);
    if (!schedule->zone || !written(check, "schedules", schedule->name, "zone"))
        return;
    zone = ls_zone_open(schedule->zone, &err);
    /* Who only pushes needs no tz database. */
    if (!zone && !(check->lenient && err.code == LS_E_UNSUPPORTED))
        report_at(check, schedule->name, "zone", &err);
    ls_zone_free(zone);
}

/* Kind, account and queue. */
static void check_target(struct check *check, const struct ls_config_schedule *schedule)
{
    const struct ls_config_account *account =
        schedule->account ? ls_config_account_find(check->config, schedule->account) : NULL;
    const char *near;

    if (schedule->kind &&
        !ls_config_kind_known(check->config, schedule->kind, strlen(schedule->kind))) {
        near = ls_kind_nearest(schedule->kind);
        ls_config_error(check->report, place(check, "schedules", schedule->name, "kind"),
                        "unknown kind '%.70s'", schedule->kind);
        if (near)
            ls_config_hint(check->report, "did you mean '%s'?", near);
        else
            ls_config_hint(check->report, "'lockstep help push' lists the kinds; 'handlers' adds "
                                          "yours");
    }
    check_account_of(check, "schedules", schedule->name, schedule->account);
    if (!schedule->queue)
        return;
    if (!ls_config_queue_find(check->config, schedule->queue)) {
        ls_config_error(check->report, place(check, "schedules", schedule->name, "queue"),
                        "there is no queue '%s'", schedule->queue);
        ls_config_hint(check->report, "add it under 'queues', or leave 'queue' out");
    } else if (account && account->queue && strcmp(account->queue, schedule->queue) != 0) {
        ls_config_error(check->report, place(check, "schedules", schedule->name, "queue"),
                        "account '%s' belongs to queue '%s', not to '%s'", account->name,
                        account->queue, schedule->queue);
        ls_config_hint(check->report, "leave 'queue' out");
    }
}

/* Its job as it will be pushed, by the rules of every other producer. */
static void check_job(struct check *check, const struct ls_config_schedule *schedule)
{
    static const char id[] = "-1234567890123"; /* what is added to the name */
    char longest[LS_JOB_ID_MAX + 1];
    struct ls_envelope envelope = {.kind = LS_SPAN("noop"), .data = ls_span_of(schedule->data)};
    struct ls_err err = LS_ERR_INIT;

    if (ls_envelope_check(&envelope, &err) < 0) {
        report_at(check, schedule->name, "data", &err);
        return;
    }
    envelope.key = ls_span_of(schedule->key);
    if (ls_envelope_check(&envelope, &err) < 0 && err.code == LS_E_USAGE) {
        report_at(check, schedule->name, "key", &err);
        return;
    }
    if (schedule->kind)
        envelope.kind = ls_span_of(schedule->kind);
    envelope.account = ls_span_of(schedule->account);
    envelope.lane = LS_LANE_NORMAL;
    if (schedule->priority)
        ls_lane_parse(ls_span_of(schedule->priority), &envelope.lane);
    snprintf(longest, sizeof longest, "%.64s%s", schedule->name, id);
    envelope.id = ls_span_of(longest);
    if (ls_envelope_check(&envelope, &err) < 0 && err.code == LS_E_TOO_BIG)
        report_at(check, schedule->name, "data", &err);
}

static void check_sinks(struct check *check)
{
    const struct ls_yaml_node *list = ls_yaml_get(check->root, "alerts", NULL);

    for (size_t i = 0; i < check->config->sink_count; i++) {
        const struct ls_yaml_node *node = list && i < list->count ? list->items[i] : list;
        bool to = !ls_yaml_is_null(ls_yaml_get(node, "to", NULL));

        if (to == !ls_yaml_is_null(ls_yaml_get(node, "exec", NULL)))
            ls_config_error(check->report, node, "an alert sink has either 'to' or 'exec'");
    }
}
