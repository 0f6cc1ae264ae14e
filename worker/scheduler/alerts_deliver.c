/* The alerts' way to their sinks: one attempt at a time for each notice and sink, until it was taken
 * or a day has passed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/scheduler/alerts_internal.h"

#define ACTIVE_MAX 4 /* deliveries at once */
#define DELIVERY_MS 30000
#define RETRY_FIRST_MS 1000
#define RETRY_CAP_MS (5 * ALERT_MINUTE_MS)
#define GIVE_UP_MS (24 * 60 * ALERT_MINUTE_MS)

static void on_delivered(void *arg, const struct ls_err *err);
static void remove_unsent(struct alert_unsent *unsent);

void alerts_deliver(void *arg)
{
    struct ls_alerts *alerts = arg;
    int64_t now = ls_clock_mono_ms(), next = INT64_MAX;
    size_t active = 0;

    for (size_t i = 0; i < alerts->unsent_count; i++)
        active += alerts->unsent[i]->delivery != NULL;
    for (size_t i = 0; i < alerts->unsent_count && active < ACTIVE_MAX; i++) {
        struct alert_unsent *unsent = alerts->unsent[i];
        const struct ls_sink *sink = NULL;
        char id[LS_SINK_ID_SIZE];

        if (unsent->delivery || unsent->done)
            continue;
        if (unsent->next_ms > now) {
            next = unsent->next_ms < next ? unsent->next_ms : next;
            continue;
        }
        for (size_t j = 0; j < alerts->config->sink_count && !sink; j++)
            if (strcmp(ls_sink_id(&alerts->sinks[j], id), unsent->sink) == 0)
                sink = &alerts->sinks[j];
        if (!sink) {
            ls_log(LS_LOG_WARN, "alert.dropped",
                   "a notice is dropped: its sink is not in the configuration any more");
            remove_unsent(unsent);
            continue;
        }
        unsent->tries++;
        active++;
        unsent->delivery = ls_delivery_begin(alerts->loop, alerts->http, sink, unsent->json,
                                             DELIVERY_MS, on_delivered, unsent);
    }
    if (next != INT64_MAX)
        ls_timer_start(alerts->delivery, next - now);
}

static void on_delivered(void *arg, const struct ls_err *err)
{
    struct alert_unsent *unsent = arg;
    struct ls_alerts *alerts = unsent->alerts;
    int64_t delay = RETRY_FIRST_MS;

    unsent->delivery = NULL;
    if (!err) {
        ls_log(LS_LOG_INFO, "alert.sent", "a notice was taken by its sink");
        remove_unsent(unsent);
    } else if (ls_clock_wall_ms() - unsent->at_ms > GIVE_UP_MS) {
        ls_log(LS_LOG_ERROR, "alert.lost", "a notice is given up after a day: %s", err->text);
        remove_unsent(unsent);
    } else {
        for (int i = 1; i < unsent->tries && delay < RETRY_CAP_MS; i++)
            delay *= 2;
        delay = delay < RETRY_CAP_MS ? delay : RETRY_CAP_MS;
        unsent->next_ms = ls_clock_mono_ms() + delay;
        ls_log(LS_LOG_WARN, "alert.retry", "a notice was not taken, again in %" PRId64 " ms: %s",
               delay, err->text);
    }
    alerts_deliver(alerts);
}

/* Out of Redis; out of memory with the answer, so that it cannot be begun again in between. A lost
 * answer means one more notice. */
static void remove_unsent(struct alert_unsent *unsent)
{
    struct ls_alerts *alerts = unsent->alerts;

    unsent->done = true;
    ls_cmd_start(&alerts->cmd, "LREM");
    ls_cmd_puts(&alerts->cmd, LS_KEY_ALERTS_UNSENT);
    ls_cmd_int(&alerts->cmd, 1);
    ls_cmd_puts(&alerts->cmd, unsent->text);
    ls_redis_send(alerts->redis, &alerts->cmd, 0, NULL, NULL);
}

void alerts_add_unsent(struct ls_alerts *alerts, const char *text, size_t length)
{
    struct alert_unsent *unsent = LS_NEW(struct alert_unsent);
    char id[64];
    int at = 0;

    /* Those that are done are only waiting for this. */
    for (size_t i = 0; i < alerts->unsent_count;) {
        if (!alerts->unsent[i]->done) {
            i++;
            continue;
        }
        alerts_free_unsent(alerts->unsent[i]);
        memmove(&alerts->unsent[i], &alerts->unsent[i + 1],
                (--alerts->unsent_count - i) * sizeof *alerts->unsent);
    }
    unsent->alerts = alerts;
    unsent->text = ls_xstrndup(text, length);
    if (alerts->unsent_count >= ALERT_UNSENT_MAX ||
        sscanf(unsent->text, "%63s %16s %" SCNd64 " %n", id, unsent->sink, &unsent->at_ms, &at) !=
            3 ||
        at == 0) {
        ls_log(LS_LOG_ERROR, "alert.lost", "a notice is %s",
               at ? "one too many: the sinks take none" : "unreadable");
        remove_unsent(unsent);
        alerts_free_unsent(unsent);
        return;
    }
    unsent->json = unsent->text + at;
    alerts->unsent =
        ls_xrealloc(alerts->unsent, (alerts->unsent_count + 1) * sizeof *alerts->unsent);
    alerts->unsent[alerts->unsent_count++] = unsent;
}

void alerts_free_unsent(struct alert_unsent *unsent)
{
    ls_delivery_cancel(&unsent->delivery);
    free(unsent->text);
    free(unsent);
}
