#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/store/sqlite/sqlite.h"

#define BUSY_MS 5000
#define MAX_PENDING 4096
#define BATCH_MAX 100 /* operations in one commit */

struct list {
    struct request *first, **last;
    size_t count;
};

/* What libuv holds on to until it is closed; outlives the store by one turn of the loop. */
struct wakeup {
    uv_async_t async;
    struct sqlite_store *store; /* NULL once closed */
};

struct sqlite_store {
    struct ls_store base;
    uv_loop_t *loop; /* borrowed */
    struct wakeup *wakeup;
    struct ls_watch *watch;
    void (*changed)(void *arg);
    void *changed_arg;
    size_t max_pending;
    size_t pending; /* submitted and not yet delivered; the loop's own */
    bool *closed;   /* where a running delivery wants to know that it was closed under it */
    bool read_only;
    char *path;

    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    struct list queued, done;
    bool stop;
    atomic_bool impatient; /* read by the thread's busy handler */

    struct ls_turn_db turn; /* the thread's own */
    int64_t busy_ms;
};

static void *run_thread(void *arg);
static void run_batch(struct sqlite_store *store, struct list *batch, struct list *done);
static void run_list(struct sqlite_store *store, struct list *batch, bool writing,
                     struct list *done, struct list *again);
static bool run_transaction(struct sqlite_store *store, struct list *batch, bool writing,
                            struct list *ran, struct list *wants, struct request **culprit,
                            struct ls_err *err);
static bool run_one(struct sqlite_store *store, struct request *request, bool writing, bool *wants);
static int stamp_syncs(struct ls_turn_db *turn, struct ls_err *err);
static int make_sure_it_is_open(struct sqlite_store *store, struct ls_err *err);
static void close_turn(struct ls_turn_db *turn);
static void on_wakeup(uv_async_t *async);
static bool deliver(struct sqlite_store *store, struct list *done);
static void on_wakeup_closed(uv_handle_t *handle);

/* ---- lists ----------------------------------------------------------------------------------- */

static void list_init(struct list *list)
{
    *list = (struct list){.last = &list->first};
}

static void list_add(struct list *list, struct request *request)
{
    request->next = NULL;
    *list->last = request;
    list->last = &request->next;
    list->count++;
}

static struct request *list_take(struct list *list)
{
    struct request *request = list->first;

    if (!request)
        return NULL;
    list->first = request->next;
    if (!list->first)
        list->last = &list->first;
    list->count--;
    return request;
}

static void list_move(struct list *to, struct list *from)
{
    struct request *request;

    while ((request = list_take(from)))
        list_add(to, request);
}

/* ---- opening, closing ------------------------------------------------------------------------ */

struct ls_store *ls_sqlite_open(const struct ls_store_options *options, struct ls_err *err)
{
    const char *path = ls_db_path(options->url, err);
    struct sqlite_store *store = LS_NEW(struct sqlite_store);
    sigset_t all, old;

    store->base.driver = &ls_sqlite_driver;
    store->loop = options->loop;
    store->busy_ms = options->busy_ms ? options->busy_ms : BUSY_MS;
    store->max_pending = options->max_pending ? options->max_pending : MAX_PENDING;
    store->read_only = options->read_only;
    if (!path || ls_db_open(&store->turn.db, path, options->read_only, store->busy_ms, err) < 0) {
        free(store);
        return NULL;
    }
    store->turn.db.impatient = &store->impatient;
    store->path = ls_xstrdup(path);
    if (ls_schema_check_version(&store->turn.db, err) < 0) {
        close_turn(&store->turn);
        free(store->path);
        free(store);
        return NULL;
    }
    ls_db_release(&store->turn.db);
    list_init(&store->queued);
    list_init(&store->done);
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->wake, NULL);
    store->wakeup = LS_NEW(struct wakeup);
    store->wakeup->store = store;
    ls_assert(uv_async_init(store->loop, &store->wakeup->async, on_wakeup) == 0);
    store->wakeup->async.data = store->wakeup;
    uv_unref((uv_handle_t *)&store->wakeup->async); /* an idle store keeps no loop alive */
    /* Signals are the loop's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ls_assert(pthread_create(&store->thread, NULL, run_thread, store) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return &store->base;
}

void ls_sqlite_close(struct ls_store *base, int64_t deadline_ms)
{
    struct sqlite_store *store = (struct sqlite_store *)base;
    struct timespec until;
    int64_t until_ms = ls_clock_wall_ms() + (deadline_ms > 0 ? deadline_ms : 0);

    ls_watch_stop(&store->watch);
    store->max_pending = 0;
    pthread_mutex_lock(&store->mutex);
    store->stop = true;
    pthread_cond_signal(&store->wake);
    until = (struct timespec){.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    while (deadline_ms > 0 && store->stop)
        if (pthread_cond_timedwait(&store->wake, &store->mutex, &until) != 0)
            break;
    store->impatient = true;
    pthread_mutex_unlock(&store->mutex);
    pthread_join(store->thread, NULL);
    if (store->closed)
        *store->closed = true;
    store->closed = NULL;
    list_move(&store->done, &store->queued); /* none: the thread has emptied it */
    while (store->done.count) {
        struct list done = {0};
        list_init(&done);
        list_move(&done, &store->done);
        deliver(store, &done);
    }
    store->wakeup->store = NULL;
    uv_close((uv_handle_t *)&store->wakeup->async, on_wakeup_closed);
    pthread_mutex_destroy(&store->mutex);
    pthread_cond_destroy(&store->wake);
    free(store->path);
    free(store);
}

static void on_wakeup_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_turn(struct ls_turn_db *turn)
{
    for (size_t i = 0; i < turn->table_count; i++)
        ls_app_table_free(turn->tables[i]);
    free(turn->tables);
    turn->tables = NULL;
    turn->table_count = 0;
    ls_db_close(&turn->db);
}

/* ---- the loop's side ------------------------------------------------------------------------- */

void ls_sqlite_submit(struct ls_store *base, struct request *request)
{
    struct sqlite_store *store = (struct sqlite_store *)base;
    bool refused = store->pending >= store->max_pending;

    request->err = (struct ls_err)LS_ERR_INIT;
    if (refused) {
        request->failed = true;
        if (store->max_pending)
            ls_fail(&request->err, LS_E_STORE, "%zu operations wait for the database already",
                    store->pending);
        else
            ls_fail(&request->err, LS_E_CANCELLED, "the store is closing");
    } else if (store->read_only && request->type->writes) {
        refused = request->failed = true;
        ls_fail(&request->err, LS_E_USAGE, "the store was opened read-only");
    }
    if (store->pending++ == 0)
        uv_ref((uv_handle_t *)&store->wakeup->async);
    pthread_mutex_lock(&store->mutex);
    list_add(refused ? &store->done : &store->queued, request);
    if (!refused)
        pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->mutex);
    if (refused)
        uv_async_send(&store->wakeup->async);
}

static void on_wakeup(uv_async_t *async)
{
    struct wakeup *wakeup = async->data;
    struct sqlite_store *store = wakeup->store;
    struct list done;

    if (!store)
        return;
    list_init(&done);
    pthread_mutex_lock(&store->mutex);
    list_move(&done, &store->done);
    pthread_mutex_unlock(&store->mutex);
    deliver(store, &done);
}

/* A callback may submit more, and may close the store: then the rest is delivered by what follows
 * here, and the store is gone. Returns false then. */
static bool deliver(struct sqlite_store *store, struct list *done)
{
    bool closed = false, *outer = store->closed;
    struct request *request;

    while ((request = list_take(done))) {
        if (!closed) {
            store->closed = &closed; // cppcheck-suppress autoVariables
            if (--store->pending == 0)
                uv_unref((uv_handle_t *)&store->wakeup->async);
        }
        request->type->deliver(request, request->failed ? &request->err : NULL);
        request->type->free(request);
    }
    if (!closed)
        store->closed = outer;
    else if (outer)
        *outer = true;
    return !closed;
}

void ls_done_deliver(struct request *request, const struct ls_err *err)
{
    struct done_request *done = (struct done_request *)request;

    if (done->done)
        done->done(done->arg, err);
}

static void on_changed(void *arg)
{
    struct sqlite_store *store = arg;

    if (store->changed)
        store->changed(store->changed_arg);
}

void ls_sqlite_watch(struct ls_store *base, void (*changed)(void *arg), void *arg)
{
    struct sqlite_store *store = (struct sqlite_store *)base;

    store->changed = changed;
    store->changed_arg = arg;
    if (!changed)
        ls_watch_stop(&store->watch);
    else if (!store->watch)
        store->watch = ls_watch_start(store->loop, store->path, on_changed, store);
}

/* ---- the thread's side ----------------------------------------------------------------------- */

static void *run_thread(void *arg)
{
    struct sqlite_store *store = arg;
    struct list batch, done;

    list_init(&batch);
    list_init(&done);
    pthread_mutex_lock(&store->mutex);
    for (;;) {
        while (!store->queued.count && !store->stop)
            pthread_cond_wait(&store->wake, &store->mutex);
        if (!store->queued.count)
            break;
        while (store->queued.count && batch.count < BATCH_MAX)
            list_add(&batch, list_take(&store->queued));
        pthread_mutex_unlock(&store->mutex);
        run_batch(store, &batch, &done);
        pthread_mutex_lock(&store->mutex);
        list_move(&store->done, &done);
        uv_async_send(&store->wakeup->async);
    }
    store->stop = false;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->mutex);
    close_turn(&store->turn);
    free(store->turn.moved);
    return NULL;
}

static void run_batch(struct sqlite_store *store, struct list *batch, struct list *done)
{
    struct list reads, writes, again;
    struct request *request;
    struct ls_err err = LS_ERR_INIT;

    list_init(&reads);
    list_init(&writes);
    list_init(&again);
    if (store->impatient) {
        ls_fail(&err, LS_E_CANCELLED, "the store was closed");
    } else if (make_sure_it_is_open(store, &err) == 0) {
        while ((request = list_take(batch)))
            list_add(request->type->writes ? &writes : &reads, request);
        ls_db_patience(&store->turn.db);
        run_list(store, &reads, false, done, &writes);
        run_list(store, &writes, true, done, &again);
        ls_assert(again.count == 0);
        return;
    }
    while ((request = list_take(batch))) {
        request->failed = true;
        request->err = err;
        list_add(done, request);
    }
}

/* Run all of batch in one transaction. One that ends the whole transaction (an application's
 * RAISE(ROLLBACK)) fails alone: the others are run again without it. */
static void run_list(struct sqlite_store *store, struct list *batch, bool writing,
                     struct list *done, struct list *again)
{
    while (batch->count) {
        struct ls_err err = LS_ERR_INIT;
        struct request *culprit = NULL, *request;
        struct list ran, wants;
        bool committed;
        list_init(&ran);
        list_init(&wants);
        committed = run_transaction(store, batch, writing, &ran, &wants, &culprit, &err);
        if (committed) {
            list_move(done, &ran);
            list_move(again, &wants);
            continue;
        }
        list_move(&ran, &wants);
        list_move(&ran, batch);
        while ((request = list_take(&ran))) {
            if (request != culprit && culprit) {
                list_add(batch, request);
                continue;
            }
            request->failed = true;
            if (!culprit)
                request->err = err;
            list_add(done, request);
        }
    }
}

/* True: committed; what was run lies in ran and wants, batch is empty. False: nothing was done,
 * because of culprit or, without one, for the reason in err. */
static bool run_transaction(struct sqlite_store *store, struct list *batch, bool writing,
                            struct list *ran, struct list *wants, struct request **culprit,
                            struct ls_err *err)
{
    struct ls_turn_db *turn = &store->turn;
    struct request *request;
    bool durable = false;

    for (request = batch->first; request; request = request->next)
        durable |= !request->type->soft;
    turn->moved_count = 0;
    turn->writing = writing;
    if ((writing &&
         ls_db_exec(&turn->db,
                    durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
                    err) < 0) ||
        ls_db_exec(&turn->db, writing ? "BEGIN IMMEDIATE" : "BEGIN", err) < 0)
        return false;
    turn->now_ms = ls_clock_wall_ms();
    while ((request = list_take(batch))) {
        bool wants_to_write = false, lives = run_one(store, request, writing, &wants_to_write);
        list_add(wants_to_write ? wants : ran, request);
        if (!lives) {
            *culprit = request;
            ls_db_release(&turn->db);
            return false;
        }
    }
    if (writing && stamp_syncs(turn, err) < 0)
        goto fail;
    ls_db_release(&turn->db);
    if (ls_db_exec(&turn->db, "COMMIT", err) == 0)
        return true;
fail:
    ls_db_release(&turn->db);
    ls_db_exec(&turn->db, "ROLLBACK", NULL);
    return false;
}

/* False: the transaction is gone, and with it what the others did; request has failed. */
static bool run_one(struct sqlite_store *store, struct request *request, bool writing, bool *wants)
{
    struct ls_turn_db *turn = &store->turn;
    size_t moved = turn->moved_count;
    enum request_result result;

    request->failed = true;
    request->err = (struct ls_err)LS_ERR_INIT;
    if (writing && ls_db_run(&turn->db, &request->err, "SAVEPOINT one", "") < 0)
        return sqlite3_get_autocommit(turn->db.handle) == 0;
    result = request->type->run(turn, request, &request->err);
    request->failed = result != REQUEST_OK;
    if (result == REQUEST_WRITE) {
        ls_assert(!writing);
        *wants = !store->read_only;
        if (store->read_only)
            ls_fail(&request->err, LS_E_USAGE, "the store was opened read-only");
        return true;
    }
    if (sqlite3_get_autocommit(turn->db.handle)) {
        if (!request->failed)
            ls_fail(&request->err, LS_E_STORE, "the transaction was rolled back");
        request->failed = true;
        return false;
    }
    if (!writing)
        return true;
    if (request->failed) {
        turn->moved_count = moved;
        ls_db_release(&turn->db);
        ls_db_run(&turn->db, NULL, "ROLLBACK TO one", "");
    }
    ls_db_run(&turn->db, NULL, "RELEASE one", "");
    return true;
}

struct ls_app_table *ls_sqlite_table(struct ls_turn_db *turn, const struct ls_mapping *mapping,
                                     struct ls_err *err)
{
    struct ls_app_table *table;

    for (size_t i = 0; i < turn->table_count; i++) {
        if (turn->tables[i]->mapping != mapping)
            continue;
        if (memcmp(turn->tables[i]->identity, mapping->identity, sizeof mapping->identity) == 0)
            return turn->tables[i];
        ls_app_table_free(turn->tables[i]);
        turn->tables[i] = turn->tables[--turn->table_count];
        break;
    }
    table = ls_app_table_new(&turn->db, mapping, err);
    if (!table)
        return NULL;
    turn->tables = ls_xrealloc(turn->tables, (turn->table_count + 1) * sizeof *turn->tables);
    turn->tables[turn->table_count++] = table;
    return table;
}

void ls_sqlite_moved(struct ls_turn_db *turn, const char *account, const char *entity, bool synced,
                     bool verified)
{
    for (size_t i = 0; i < turn->moved_count; i++) {
        if (strcmp(turn->moved[i].account, account) == 0 &&
            strcmp(turn->moved[i].entity, entity) == 0) {
            turn->moved[i].synced |= synced;
            turn->moved[i].verified |= verified;
            return;
        }
    }
    turn->moved = ls_xrealloc(turn->moved, (turn->moved_count + 1) * sizeof *turn->moved);
    turn->moved[turn->moved_count].account = (char *)(uintptr_t)account;
    turn->moved[turn->moved_count].entity = (char *)(uintptr_t)entity;
    turn->moved[turn->moved_count].synced = synced;
    turn->moved[turn->moved_count++].verified = verified;
}

static int stamp_syncs(struct ls_turn_db *turn, struct ls_err *err)
{
    for (size_t i = 0; i < turn->moved_count; i++)
        if (ls_db_run(
                &turn->db, err,
                "UPDATE lockstep_sync SET synced_at = CASE WHEN ?3 THEN ?5 ELSE synced_at END, "
                "verified_at = CASE WHEN ?4 THEN ?5 ELSE verified_at END "
                "WHERE account = ?1 AND entity = ?2",
                "ttiii", turn->moved[i].account, turn->moved[i].entity,
                (int64_t)turn->moved[i].synced, (int64_t)turn->moved[i].verified, turn->now_ms) < 0)
            return -1;
    return 0;
}

/* Somebody may have moved a backup over the file: then we would go on writing into a file without a
 * name. */
static int make_sure_it_is_open(struct sqlite_store *store, struct ls_err *err)
{
    struct ls_turn_db *turn = &store->turn;
    int failed;

    if (turn->db.handle && ls_db_same_file(&turn->db))
        return 0;
    if (turn->db.handle) {
        ls_log(LS_LOG_WARN, "store.replaced", "the database file was replaced: opening it again");
        /* The -wal file under that name belongs to the new database now: leave it alone. */
        sqlite3_db_config(turn->db.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    close_turn(turn);
    memset(&turn->db, 0, sizeof turn->db);
    failed = ls_db_open(&turn->db, store->path, store->read_only, store->busy_ms, err) < 0 ||
             ls_schema_check_version(&turn->db, err) < 0;
    turn->db.impatient = &store->impatient;
    if (!failed) {
        ls_db_release(&turn->db);
        return 0;
    }
    ls_db_close(&turn->db);
    if (err->code == LS_E_CONFIG)
        err->code = LS_E_STORE; /* it was there before: perhaps it comes back */
    return -1;
}

/* ---- the table of the driver ----------------------------------------------------------------- */

#define LS_SQLITE_ROW(name, parameters, arguments) .name = ls_sqlite_##name,
const struct ls_store_driver ls_sqlite_driver = {.scheme = "sqlite:",
                                                 .open = ls_sqlite_open,
                                                 .close = ls_sqlite_close,
                                                 .lock = ls_sqlite_lock,
                                                 .install = ls_sqlite_install,
                                                 .uninstall = ls_sqlite_uninstall,
                                                 .check = ls_sqlite_check,
                                                 LS_STORE_OPERATIONS(LS_SQLITE_ROW)};
#undef LS_SQLITE_ROW
