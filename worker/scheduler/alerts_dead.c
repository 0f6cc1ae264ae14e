/* The alerts' rules over groups of dead letters: the first one, many at once, one that nobody looks
 * after. Each is an alert of its own for each group: <rule>/<queue>/<fingerprint>. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/job/dead.h"
#include "common/job/json.h"
#include "common/queue/dead.h"
#include "worker/scheduler/alerts_internal.h"

static void on_letters(void *arg, const struct ls_reply *reply, const struct ls_err *err);
static void judge_rows(struct ls_alerts *alerts, struct alert_queue *queue);
static void judge_first(struct ls_alerts *alerts, struct alert_queue *queue,
                        const struct alert_row *row);
static void judge_rate(struct ls_alerts *alerts, struct alert_queue *queue,
                       const struct alert_row *row);
static void judge_age(struct ls_alerts *alerts, struct alert_queue *queue,
                      const struct alert_row *row);

/* ---- the letters behind the news ---- */

static void name_of(char out[ALERT_NAME_SIZE], enum ls_rule rule, const struct alert_queue *queue,
                    const struct alert_row *row)
{
    snprintf(out, ALERT_NAME_SIZE, "%s/%s/%s", ls_rule_type(rule), queue->keys.queue,
             row->fingerprint);
}

/* Has any group got letters since the last look, or some whose cooldown is over now? */
static bool has_news(struct ls_alerts *alerts, const struct alert_queue *queue)
{
    char name[ALERT_NAME_SIZE];

    for (size_t i = 0; i < queue->row_count; i++) {
        const struct alert_row *row = &queue->rows[i];
        const struct alert_group *group;

        name_of(name, LS_RULE_RETRY_EXHAUSTED, queue, row);
        group = alerts_group_find(alerts, name);
        if (!group || row->last_ms > group->seen_last || row->count > group->seen ||
            (group->alert.count > 0 &&
             alerts->redis_ms - group->alert.notified_ms >= alerts->limits.cooldown_ms))
            return true;
    }
    return false;
}

void alerts_judge_dead(struct ls_alerts *alerts, struct alert_queue *queue)
{
    if (!alerts->config->rules.exhausted || !has_news(alerts, queue)) {
        judge_rows(alerts, queue);
        alerts_queue_done(alerts);
        return;
    }
    ls_dead_list_build(&alerts->cmd, &queue->keys, 0, ALERT_LETTERS - 1);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, on_letters, alerts_ask(alerts, queue));
}

static void on_letters(void *arg, const struct ls_reply *reply, const struct ls_err *err)
{
    struct alert_question *question = arg;
    struct ls_alerts *alerts;
    struct alert_queue *queue;

    if (!alerts_answer(&question, err, &alerts, &queue))
        return;
    alerts_forget_letters(queue);
    for (size_t i = 0; reply->type == LS_REPLY_ARRAY && i < reply->count && i < ALERT_LETTERS;
         i++) {
        struct ls_span letter = ls_reply_span(ls_reply_item(reply, i));
        queue->letters[queue->letter_count++] =
            ls_xstrndup(letter.data ? letter.data : "", letter.length);
    }
    judge_rows(alerts, queue);
    alerts_forget_letters(queue);
    alerts_queue_done(alerts);
}

void alerts_forget_letters(struct alert_queue *queue)
{
    while (queue->letter_count)
        free(queue->letters[--queue->letter_count]);
}

/* Which job: never its data, which is the customer's. */
static void job_members(const struct alert_queue *queue, const char *fingerprint,
                        struct ls_buf *out)
{
    for (size_t i = 0; i < queue->letter_count; i++) {
        struct ls_dead dead = {0};

        if (ls_dead_parse(&dead, queue->letters[i], strlen(queue->letters[i]), NULL) < 0)
            continue;
        if (!ls_span_is(dead.group, fingerprint)) {
            ls_dead_fini(&dead);
            continue;
        }
        ls_buf_puts(out, "\"job\":{\"id\":");
        ls_buf_json_string(out, dead.id.data ? dead.id.data : "", dead.id.length);
        ls_buf_puts(out, ",\"kind\":");
        ls_buf_json_string(out, dead.kind.data ? dead.kind.data : "", dead.kind.length);
        ls_json_put_text(out, "account", dead.account);
        ls_json_put_text(out, "key", dead.key);
        ls_buf_printf(out, ",\"attempts\":%d},\"class\":", dead.attempts);
        ls_buf_json_string(out, dead.klass.data ? dead.klass.data : "", dead.klass.length);
        ls_buf_puts(out, ",\"code\":");
        ls_buf_json_string(out, dead.code.data ? dead.code.data : "", dead.code.length);
        ls_buf_puts(out, ",\"error\":");
        ls_buf_json_string(out, dead.error.data ? dead.error.data : "", dead.error.length);
        ls_dead_fini(&dead);
        return;
    }
}

/* ---- judging ---- */

static void judge_rows(struct ls_alerts *alerts, struct alert_queue *queue)
{
    for (size_t i = 0; i < queue->row_count; i++) {
        if (alerts->config->rules.exhausted)
            judge_first(alerts, queue, &queue->rows[i]);
        if (alerts->limits.dead_rate)
            judge_rate(alerts, queue, &queue->rows[i]);
        if (alerts->limits.dead_age_ms)
            judge_age(alerts, queue, &queue->rows[i]);
    }
}

/* How many letters the group got since the last look. When some have left meanwhile the number is
 * not known exactly, but one that came shows by its time, and a group that was emptied and fills
 * again by its own beginning. */
static int64_t take_news(struct alert_group *group, const struct alert_row *row)
{
    int64_t news = row->count - group->seen;

    if (group->seen_last && row->first_ms > group->seen_last)
        news = row->count;
    else if (news <= 0)
        news = row->last_ms > group->seen_last ? 1 : 0;
    group->changed =
        group->changed || row->count != group->seen || row->last_ms != group->seen_last;
    group->seen = row->count;
    group->seen_last = row->last_ms;
    return news;
}

static void raise_dead(struct ls_alerts *alerts, enum ls_rule rule, const struct alert_queue *queue,
                       struct alert_group *group, const struct ls_notice *given)
{
    bool firing = strcmp(given->status, "firing") == 0;
    const char *fingerprint = strrchr(group->name, '/') + 1;
    struct ls_notice notice = *given;
    char look[160];

    if (strcmp(fingerprint, "other") ==
        0) /* those beyond the first thousand have no row of theirs */
        snprintf(look, sizeof look, "lockstep dead list --queue %s", queue->keys.queue);
    else
        snprintf(look, sizeof look, "lockstep dead list --queue %s --group %s", queue->keys.queue,
                 fingerprint);
    notice.type = ls_rule_type(rule);
    notice.severity = firing ? "high" : "info";
    notice.queue = queue->keys.queue;
    notice.look = look;
    alerts_raise(alerts, group, &notice);
}

static void judge_first(struct ls_alerts *alerts, struct alert_queue *queue,
                        const struct alert_row *row)
{
    struct ls_alert_timing timing = ls_rule_timing(LS_RULE_RETRY_EXHAUSTED, &alerts->limits);
    char name[ALERT_NAME_SIZE], details[320];
    struct alert_group *group;
    struct ls_alert before;
    struct ls_buf extra = {0};
    int64_t news;

    name_of(name, LS_RULE_RETRY_EXHAUSTED, queue, row);
    group = alerts_group(alerts, name);
    group->looked = true;
    before = group->alert;
    news = take_news(group, row);
    if (ls_alert_step(&group->alert, &timing, news ? LS_LEVEL_HIGH : LS_LEVEL_BELOW, news,
                      alerts->redis_ms) == LS_ALERT_NOTIFY) {
        job_members(queue, row->fingerprint, &extra);
        snprintf(details, sizeof details, "%" PRId64 " %s in the dead list: %s", group->alert.count,
                 group->alert.count == 1 ? "job ended" : "jobs ended", row->sample);
        raise_dead(alerts, LS_RULE_RETRY_EXHAUSTED, queue, group,
                   &(struct ls_notice){.status = "firing",
                                       .details = details,
                                       .since_ms = row->first_ms,
                                       .extra = extra.data});
        ls_buf_fini(&extra);
    }
    group->changed = group->changed || memcmp(&before, &group->alert, sizeof before) != 0;
}

/* A finding about one group, told together with the error that its letters tell of. */
static void judge(struct ls_alerts *alerts, enum ls_rule rule, const struct alert_queue *queue,
                  struct alert_group *group, const struct alert_row *row,
                  const struct ls_finding *finding)
{
    static const char *const metrics[LS_RULE_COUNT] = {
        [LS_RULE_DEAD_RATE] = "died", [LS_RULE_DEAD_AGE] = "age_ms"};
    struct ls_alert_timing timing = ls_rule_timing(rule, &alerts->limits);
    struct ls_alert before = group->alert;
    enum ls_alert_action action =
        ls_alert_step(&group->alert, &timing, finding->level, 0, alerts->redis_ms);
    char details[480];

    if (action != LS_ALERT_NOTHING) {
        snprintf(details, sizeof details, "%s%s%s", finding->details, row ? ": " : "",
                 row ? row->sample : "");
        raise_dead(alerts, rule, queue, group,
                   &(struct ls_notice){.status = action == LS_ALERT_NOTIFY ? "firing" : "resolved",
                                       .details = details,
                                       .metric = metrics[rule],
                                       .value = finding->value,
                                       .since_ms = row ? row->first_ms : group->alert.fired_ms});
    }
    group->changed = group->changed || memcmp(&before, &group->alert, sizeof before) != 0;
}

static void judge_rate(struct ls_alerts *alerts, struct alert_queue *queue,
                       const struct alert_row *row)
{
    char name[ALERT_NAME_SIZE];
    struct alert_group *group;
    struct ls_finding finding;
    struct ls_rate before;
    bool known;
    int64_t news;

    name_of(name, LS_RULE_DEAD_RATE, queue, row);
    group = alerts_group(alerts, name);
    group->looked = true;
    known = group->seen_last != 0;
    before = group->rate;
    news = take_news(group, row);
    /* A group seen for the first time may have grown long ago, and so may one that nobody looked at
     * for some time: only what died within the window is news. */
    if (row->last_ms < alerts->redis_ms - alerts->limits.window_ms ||
        (!known && row->first_ms < alerts->redis_ms - alerts->limits.window_ms))
        news = 0;
    ls_rule_dead_rate(&alerts->limits,
                      ls_rate_add(&group->rate, alerts->limits.window_ms, news, alerts->redis_ms),
                      &finding);
    group->changed = group->changed || memcmp(&before, &group->rate, sizeof before) != 0;
    judge(alerts, LS_RULE_DEAD_RATE, queue, group, row, &finding);
}

static void judge_age(struct ls_alerts *alerts, struct alert_queue *queue,
                      const struct alert_row *row)
{
    char name[ALERT_NAME_SIZE];
    struct alert_group *group;
    struct ls_finding finding;

    ls_rule_dead_age(&alerts->limits, row->count, row->first_ms, alerts->redis_ms, &finding);
    name_of(name, LS_RULE_DEAD_AGE, queue, row);
    group = finding.level == LS_LEVEL_HIGH ? alerts_group(alerts, name)
                                           : alerts_group_find(alerts, name);
    if (!group)
        return;
    group->looked = true;
    judge(alerts, LS_RULE_DEAD_AGE, queue, group, row, &finding);
}

/* ---- groups without letters ---- */

/* What waits for its cooldown is told all the same, and the end of it comes in its time. From now on
 * the group is new: its next letter is the first. */
static void first_gone(struct ls_alerts *alerts, const struct alert_queue *queue,
                       struct alert_group *group)
{
    struct ls_alert_timing timing = ls_rule_timing(LS_RULE_RETRY_EXHAUSTED, &alerts->limits);
    struct ls_alert before = group->alert;
    char details[160];

    if (ls_alert_step(&group->alert, &timing, LS_LEVEL_BELOW, 0, alerts->redis_ms) ==
        LS_ALERT_NOTIFY) {
        snprintf(details, sizeof details,
                 "%" PRId64 " more jobs of this group ended in the dead list; none lies there now",
                 group->alert.count);
        raise_dead(alerts, LS_RULE_RETRY_EXHAUSTED, queue, group,
                   &(struct ls_notice){
                       .status = "firing", .details = details, .since_ms = group->alert.fired_ms});
    }
    group->changed = group->changed || memcmp(&before, &group->alert, sizeof before) != 0;
}

static void rule_gone(struct ls_alerts *alerts, enum ls_rule rule, const struct alert_queue *queue,
                      struct alert_group *group)
{
    struct ls_finding finding;

    ls_rule_dead_age(&alerts->limits, 0, 0, alerts->redis_ms, &finding); /* "none any more" */
    if (group->rate.slot)
        group->changed = true;
    group->rate = (struct ls_rate){0};
    judge(alerts, rule, queue, group, NULL, &finding);
}

/* "<rule>/<queue>/<fingerprint>": the rule; the queue's name into queue->keys. -1: none of ours. */
static int split_name(const char *name, struct alert_queue *queue, char text[ALERT_NAME_SIZE])
{
    char *slash, *end;
    int rule;

    snprintf(text, ALERT_NAME_SIZE, "%s", name);
    slash = strchr(text, '/');
    end = slash ? strchr(slash + 1, '/') : NULL;
    if (!end)
        return -1;
    *slash = *end = '\0';
    rule = ls_rule_parse(text);
    queue->keys.queue = slash + 1;
    return rule == LS_RULE_RETRY_EXHAUSTED || rule == LS_RULE_DEAD_RATE || rule == LS_RULE_DEAD_AGE
               ? rule
               : -1;
}

/* Also those of a queue or a rule that the configuration has no longer. */
void alerts_judge_gone(struct ls_alerts *alerts)
{
    for (size_t i = 0; i < alerts->group_count; i++) {
        struct alert_group *group = &alerts->groups[i];
        struct alert_queue queue = {0}; /* only its name */
        char text[ALERT_NAME_SIZE];
        int rule = group->looked ? -1 : split_name(group->name, &queue, text);

        if (rule < 0)
            continue;
        group->changed = group->changed || group->seen;
        group->seen = 0;
        if (rule == LS_RULE_RETRY_EXHAUSTED)
            first_gone(alerts, &queue, group);
        else
            rule_gone(alerts, (enum ls_rule)rule, &queue, group);
    }
}
