/* Notices commits by other connections: inotify on the database's folder (the -wal file comes and
 * goes), and, because inotify may be out of watches, a look at size and time of the files each
 * second.
 *
 * The -wal file is written before the commit can be seen (an fsync lies between), so whoever looks
 * at once may look too early. Each event therefore brings several calls: after 10 ms, after 60 ms,
 * and with the next two looks. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/store/sqlite/sqlite.h"

#define LOOK_MS 1000
#define SETTLE_MS 10 /* a burst of commits is one call */
#define AGAIN_MS 50
#define LOOKS_AFTER 2

struct stamp {
    int64_t size, seconds, nanos;
    ino_t inode;
};

struct ls_watch {
    char *path, *wal_path;
    const char *name, *wal_name; /* their last parts */
    void (*changed)(void *arg);
    void *arg;
    struct stamp database, wal;
    uv_fs_event_t event;
    uv_timer_t look, settle;
    bool fresh;      /* an event came since the last call */
    int looks_after; /* calls still to be made with the looks */
    int closing;
};

static void on_event(uv_fs_event_t *event, const char *name, int events, int status);
static void on_look(uv_timer_t *timer);
static void on_settled(uv_timer_t *timer);
static bool look(struct ls_watch *watch);
static void notice(struct ls_watch *watch);
static void on_closed(uv_handle_t *handle);

struct ls_watch *ls_watch_start(uv_loop_t *loop, const char *path, void (*changed)(void *arg),
                                void *arg)
{
    struct ls_watch *watch = LS_NEW(struct ls_watch);
    const char *slash = strrchr(path, '/');
    char *folder = !slash          ? ls_xstrdup(".")
                   : slash == path ? ls_xstrdup("/")
                                   : ls_xstrndup(path, (size_t)(slash - path));
    int failed;

    watch->path = ls_xstrdup(path);
    watch->wal_path = ls_xasprintf("%s-wal", path);
    watch->name = slash ? watch->path + (slash + 1 - path) : watch->path;
    watch->wal_name = slash ? watch->wal_path + (slash + 1 - path) : watch->wal_path;
    watch->changed = changed;
    watch->arg = arg;
    look(watch);
    uv_fs_event_init(loop, &watch->event);
    uv_timer_init(loop, &watch->look);
    uv_timer_init(loop, &watch->settle);
    watch->event.data = watch->look.data = watch->settle.data = watch;
    failed = uv_fs_event_start(&watch->event, on_event, folder, 0);
    if (failed)
        ls_log(LS_LOG_WARN, "store.no_watch", "cannot watch '%s': %s; looking each second instead",
               folder, uv_strerror(failed));
    uv_timer_start(&watch->look, on_look, LOOK_MS, LOOK_MS);
    uv_unref((uv_handle_t *)&watch->event);
    uv_unref((uv_handle_t *)&watch->look);
    uv_unref((uv_handle_t *)&watch->settle);
    free(folder);
    return watch;
}

void ls_watch_stop(struct ls_watch **stopped)
{
    struct ls_watch *watch = *stopped;

    *stopped = NULL;
    if (!watch)
        return;
    watch->closing = 3;
    uv_close((uv_handle_t *)&watch->event, on_closed);
    uv_close((uv_handle_t *)&watch->look, on_closed);
    uv_close((uv_handle_t *)&watch->settle, on_closed);
}

static void on_closed(uv_handle_t *handle)
{
    struct ls_watch *watch = handle->data;

    if (--watch->closing)
        return;
    free(watch->path);
    free(watch->wal_path);
    free(watch);
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
    struct ls_watch *watch = event->data;

    if (!name || strcmp(name, watch->name) == 0 || strcmp(name, watch->wal_name) == 0)
        notice(watch);
}

static void on_look(uv_timer_t *timer)
{
    struct ls_watch *watch = timer->data;

    if (look(watch)) {
        notice(watch);
    } else if (watch->looks_after > 0) {
        watch->looks_after--;
        watch->changed(watch->arg);
    }
}

static void notice(struct ls_watch *watch)
{
    watch->looks_after = LOOKS_AFTER;
    if (watch->fresh)
        return;
    watch->fresh = true;
    uv_timer_start(&watch->settle, on_settled, SETTLE_MS, 0);
}

static void on_settled(uv_timer_t *timer)
{
    struct ls_watch *watch = timer->data;

    if (watch->fresh)
        uv_timer_start(&watch->settle, on_settled, AGAIN_MS, 0);
    watch->fresh = false;
    watch->changed(watch->arg);
}

static bool differs(const char *path, struct stamp *stamp)
{
    struct stat file = {0};
    struct stamp now = {0};

    if (stat(path, &file) == 0)
        now = (struct stamp){file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec, file.st_ino};
    if (now.size == stamp->size && now.seconds == stamp->seconds && now.nanos == stamp->nanos &&
        now.inode == stamp->inode)
        return false;
    *stamp = now;
    return true;
}

/* Has either file changed since the last look? */
static bool look(struct ls_watch *watch)
{
    bool database = differs(watch->path, &watch->database),
         wal = differs(watch->wal_path, &watch->wal);

    return database || wal;
}
