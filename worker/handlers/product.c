/* Kinds `product`, `order`, `customer`, `inventory`, `content`: reconcile one record.
 *
 *   {"sync": "products", "id": "l-12"}     the uid of its link, as the relay and the feeds write it
 *   {"id": 12} or {"local_id": "12"}       a row of the application's table
 *   {"remote_id": "77"}                    an object of the platform
 *
 * Without `sync` the account and the kind choose it. Other members are hints and never written
 * anywhere. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/sync/reconcile.h"
#include "worker/handlers/sync.h"

struct record_run {
    struct ls_run *run; /* NULL: cancelled while the store was asked */
    struct ls_sync *sync;
    struct ls_reconcile *reconcile;
    int requests;   /* that the reconcile made of the platform */
    bool resolving; /* the store is asked for the uid */
    bool absent;
    char *uid;
    char what[64]; /* "Product sync" */
    int64_t began_us;
};

static void resolve(struct record_run *record, const json_t *data);
static void on_resolved(void *arg, const char *uid, const struct ls_err *err);
static void reconcile(struct record_run *record);
static bool may_write(void *arg);
static void on_done(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err);
static void fail(struct record_run *record, const struct ls_err *err);
static void free_record(struct record_run *record);

static void begin(void *self, struct ls_run *run)
{
    const char *entity = self;
    struct ls_err err = LS_ERR_INIT;
    struct record_run *record;
    json_t *data = ls_sync_data(run, &err);

    record = LS_NEW(struct record_run);
    record->run = run;
    record->began_us = ls_clock_mono_us();
    snprintf(record->what, sizeof record->what, "%c%s sync", toupper((unsigned char)entity[0]),
             entity + 1);
    *ls_run_state(run) = record;
    if (data)
        record->sync = ls_sync_of_run(run, data, entity, &err);
    if (!record->sync) {
        json_decref(data);
        fail(record, &err);
        return;
    }
    record->absent = json_is_true(json_object_get(data, "absent"));
    resolve(record, data);
    json_decref(data);
}

static void cancel(void *self, struct ls_run *run)
{
    struct record_run *record = *ls_run_state(run);

    ls_reconcile_cancel(&record->reconcile);
    ls_run_spent(run, record->requests);
    record->run = NULL;
    if (!record->resolving)
        free_record(record);
}

static void free_record(struct record_run *record)
{
    free(record->uid);
    free(record);
}

static bool is_uid(const char *text)
{
    return text && (text[0] == 'l' || text[0] == 'r') && text[1] == '-' && text[2];
}

/* A text or a whole number; the caller frees. */
static char *id_text(const json_t *data, const char *name)
{
    const json_t *value = json_object_get(data, name);

    if (json_is_integer(value))
        return ls_xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return ls_xstrdup(json_string_value(value));
}

/* "<account>/<entity>/<uid>" */
static char *uid_of_key(struct ls_span key)
{
    const char *slash = key.length ? memrchr(key.data, '/', key.length) : NULL;
    char *uid;

    if (!slash)
        return NULL;
    uid = ls_xstrndup(slash + 1, key.length - (size_t)(slash + 1 - key.data));
    if (is_uid(uid))
        return uid;
    free(uid);
    return NULL;
}

static void resolve(struct record_run *record, const json_t *data)
{
    char *id = id_text(data, "id"), *local_id = id_text(data, "local_id"),
         *remote_id = id_text(data, "remote_id");
    struct ls_err err = LS_ERR_INIT;

    if (is_uid(id)) {
        record->uid = id;
        id = NULL;
    } else if (!id && !local_id && !remote_id) {
        record->uid = uid_of_key(ls_run_key(record->run));
    }
    if (record->uid) {
        reconcile(record);
    } else if (id || local_id || remote_id) {
        record->resolving = true;
        ls_store_resolve(ls_engine_store(record->sync->engine), record->sync->mapping,
                         local_id    ? local_id
                         : remote_id ? NULL
                                     : id,
                         local_id ? NULL : remote_id, on_resolved, record);
    } else {
        ls_fail(&err, LS_E_INVALID, "the job names no record");
        ls_hint(&err, "put \"id\", \"local_id\" or \"remote_id\" into its data");
        fail(record, &err);
    }
    free(id);
    free(local_id);
    free(remote_id);
}

static void on_resolved(void *arg, const char *uid, const struct ls_err *err)
{
    struct record_run *record = arg;

    record->resolving = false;
    if (!record->run) {
        free_record(record);
        return;
    }
    if (err) {
        fail(record, err);
        return;
    }
    record->uid = ls_xstrdup(uid);
    reconcile(record);
}

static void reconcile(struct record_run *record)
{
    record->reconcile = ls_reconcile_begin(
        &(struct ls_reconcile_request){.sync = record->sync,
                                       .uid = record->uid,
                                       .fence = (uint64_t)ls_run_fence(record->run),
                                       .absent = record->absent,
                                       .may_write = may_write,
                                       .requests = &record->requests},
        on_done, record);
}

static bool may_write(void *arg)
{
    struct record_run *record = arg;

    return ls_run_may_write(record->run);
}

static void again(struct record_run *record, const struct ls_reconcile_result *result)
{
    struct ls_run *run = record->run;
    struct ls_buf data = {0};

    ls_buf_puts(&data, "{\"sync\":");
    ls_buf_json_string(&data, record->sync->mapping->sync, strlen(record->sync->mapping->sync));
    ls_buf_puts(&data, ",\"id\":");
    ls_buf_json_string(&data, record->uid, strlen(record->uid));
    if (result->absent)
        ls_buf_puts(&data, ",\"absent\":true");
    ls_buf_putc(&data, '}');
    free_record(record);
    ls_run_again(run, result->again_ms, data.data, data.length);
    ls_buf_fini(&data);
}

static void on_done(void *arg, const struct ls_reconcile_result *result, const struct ls_err *err)
{
    struct record_run *record = arg;
    struct ls_run *run = record->run;

    record->reconcile = NULL;
    if (err) {
        fail(record, err);
        return;
    }
    ls_run_spent(run, record->requests);
    if (result->remote_writes)
        ls_run_count(run, "remote_writes", result->remote_writes);
    if (result->local_writes)
        ls_run_count(run, "local_writes", result->local_writes);
    if (result->conflicts)
        ls_run_count(run, "conflicts", result->conflicts);
    if (result->outcome == LS_OUTCOME_AGAIN) {
        again(record, result);
        return;
    }
    ls_run_count(run, result->outcome == LS_OUTCOME_PARKED ? "sync_parked" : "sync_ok", 1);
    if (result->outcome == LS_OUTCOME_NOOP)
        ls_run_count(run, "sync_noop", 1);
    ls_run_count(run, "sync_ms", (ls_clock_mono_us() - record->began_us) / 1000);
    free_record(record);
    ls_run_ok(run);
}

static void on_noted(void *arg, const struct ls_err *err)
{
}

/* The status view shows why; `dead` when no later run will try by itself. */
static void fail(struct record_run *record, const struct ls_err *err)
{
    struct ls_run *run = record->run;
    struct ls_sync *sync = record->sync;
    bool dead = ls_run_would_die(run, err);
    char what[sizeof record->what], uid[600];

    ls_run_spent(run, record->requests);
    memcpy(what, record->what, sizeof what);
    snprintf(uid, sizeof uid, "%s", record->uid ? record->uid : "");
    if (sync && record->uid && err->code != LS_E_FENCED && err->code != LS_E_CANCELLED &&
        err->code != LS_E_STORE)
        ls_store_note_error(ls_engine_store(sync->engine), sync->mapping, uid, dead, err->text,
                            on_noted, NULL);
    free_record(record);
    ls_sync_failed(run, what, sync, uid[0] ? uid : NULL, err);
}

void ls_product_add(struct ls_handlers *handlers)
{
    static char entities[][16] = {"product", "order", "customer", "inventory", "content"};

    for (size_t i = 0; i < LS_COUNT(entities); i++)
        ls_handlers_add(handlers, &(struct ls_handler){.kind = entities[i],
                                                       .begin = begin,
                                                       .cancel = cancel,
                                                       .self = entities[i]});
}
