#include "worker/master/master.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/message.h"
#include "worker/master/embedded.h"
#include "worker/master/lock.h"
#include "worker/master/restart.h"
#include "worker/master/spawn.h"
#include "worker/orphans.h"

#define TICK_MS 1000         /* how often deadlines are looked at when nothing happens */
#define REDIS_START_MS 60000 /* a big AOF takes a while to load */
#define REDIS_STOP_MS \
    10000 /* after SIGTERM; then SIGKILL: what it has written is safe in the page cache */
#define DEATH_KEPT_MS 60000 /* a scheduler that starts within this time is still told */
#define DEATHS_MAX 64
#define KILL_SLACK_MS 300 /* who ends at his deadline is not killed for being on time */
#define SAME_SIGNAL_MS 200
#define STALL_MS \
    5000 /* the master itself was stopped for this long: the children's beats prove nothing */

enum child_state { CHILD_STARTING, CHILD_READY, CHILD_DRAINING };

struct child {
    enum ls_role role;
    int index;
    pid_t pid;
    int fd; /* the line; -1 once it closed its end */
    enum child_state state;
    int64_t started_ms, beat_ms;
    int64_t kill_ms; /* SIGKILL when it is still there at this time; 0: never */
    bool said_hello, was_ready, killed;
    struct ls_message *names; /* its identities in Redis; NULL: none told */
    char fatal[LS_MESSAGE_TEXT_MAX + 1];
};

/* A place in the pool that is always to be filled: "runner 0", "scheduler". */
struct slot {
    enum ls_role role;
    int index;
    struct child *current,
        *next; /* borrowed from the list; next: started to replace current, not ready yet */
    struct ls_restart restart;
    int64_t start_ms; /* current is NULL: when to start one */
    bool replace;     /* current is to be replaced; next is started when its turn comes */
    bool surplus;     /* the pool became smaller: not filled again */
    bool was_ready; /* some child of this slot once was: a fatal start is then no reason to end the
                       pool */
};

/* A child that died with identities in Redis, until the scheduler knows or it is too old to matter.
 */
struct death {
    struct ls_message *message; /* owned */
    int64_t at_ms;
    pid_t told; /* the scheduler that was told */
};

enum phase { PHASE_RUN, PHASE_RUNNERS, PHASE_OTHERS, PHASE_REDIS, PHASE_OVER };

struct ls_master {
    struct ls_master_settings settings;
    enum phase phase;
    int signal_fd, store_lock_fd;
    struct ls_embedded redis;
    struct ls_restart redis_restart;
    int64_t redis_started_ms, redis_start_ms;
    bool redis_term_sent;
    struct slot *slots;
    size_t slot_count;
    struct child **children; /* owned; also those that no slot wants any more and that drain */
    size_t child_count;
    struct death deaths[DEATHS_MAX];
    size_t death_count;
    int64_t stop_began_ms, stop_deadline_ms, runners_deadline_ms;
    int64_t last_turn_ms;
    int exit_status;
    bool announced;
};

static int start(struct ls_master *master, struct ls_err *err);
static int take_store_lock(struct ls_master *master, struct ls_err *err);
static int block_signals(struct ls_master *master, struct ls_err *err);
static void fill_slots(struct ls_master *master);
static void run_loop(struct ls_master *master);
static void start_due(struct ls_master *master, int64_t now);
static bool may_start(const struct ls_master *master, const struct slot *slot);
static bool is_replacing(const struct ls_master *master);
static void start_redis(struct ls_master *master, int64_t now);
static struct child *start_child(struct ls_master *master, struct slot *slot, int64_t now);
static void wait_for_news(struct ls_master *master, int64_t now);
static void read_signals(struct ls_master *master);
static void on_hup(struct ls_master *master);
static void reload(struct ls_master *master);
static void resize(struct ls_master *master);
static void on_stop_signal(struct ls_master *master);
static void begin_stop(struct ls_master *master);
static void read_child(struct ls_master *master, struct child *child);
static void on_message(struct ls_master *master, struct child *child,
                       const struct ls_message *message);
static void on_empty(struct ls_master *master, const struct ls_message *message);
static void on_ready(struct ls_master *master, struct child *child);
static void reap(struct ls_master *master);
static void on_redis_end(struct ls_master *master, int status);
static void on_child_end(struct ls_master *master, size_t at, int status);
static void settle_slot(struct ls_master *master, struct slot *slot, struct child *child,
                        int status, int64_t now);
static void remember_death(struct ls_master *master, struct child *child, int status);
static void tell_deaths(struct ls_master *master, int64_t now);
static void check_beats(struct ls_master *master, int64_t now);
static void advance_stop(struct ls_master *master, int64_t now);
static void drain_child(struct ls_master *master, struct child *child, int64_t grace_ms);
static void kill_child(struct child *child, const char *why);
static void send_to(struct child *child, const struct ls_message *message);
static size_t count_role(const struct ls_master *master, bool runners);
static struct slot *find_slot(struct ls_master *master, const struct child *child);
static void check_announce(struct ls_master *master);
static void free_child(struct child *child);
static void finish(struct ls_master *master);
static const char *describe_end(int status, char *out, size_t size);

const char *ls_role_name(enum ls_role role)
{
    static const char *const names[LS_ROLE_COUNT] = {"runner", "scheduler", "relay", "admin"};

    return names[role];
}

int ls_master_run(const struct ls_master_settings *settings)
{
    struct ls_master *master = LS_NEW(struct ls_master);
    struct ls_err err = LS_ERR_INIT;
    int status;

    master->settings = *settings;
    master->signal_fd = master->store_lock_fd = master->redis.lock_fd = -1;
    if (start(master, &err) < 0) {
        ls_log_with(LS_LOG_ERROR, "pool.failed", LS_FIELDS({"hint", err.hint[0] ? err.hint : NULL}),
                    "%s", err.text);
        master->exit_status = LS_EXIT_FAILED;
        if (master->redis.pid) { /* it came up too late or we were stopped meanwhile */
            kill(master->redis.pid, SIGTERM);
            waitpid(master->redis.pid, NULL, 0);
        }
        if (err.code == LS_E_CANCELLED)
            master->exit_status = LS_EXIT_OK;
    } else {
        run_loop(master);
    }
    status = master->exit_status;
    finish(master);
    return status;
}

static int start(struct ls_master *master, struct ls_err *err)
{
    const struct ls_master_settings *settings = &master->settings;
    struct ls_embedded *redis = &master->redis;

    ls_orphans_adopt();
    if (block_signals(master, err) < 0 || take_store_lock(master, err) < 0)
        return -1;
    if (settings->state_dir) {
        if (ls_embedded_open(redis, settings->state_dir, settings->redis_socket, err) < 0 ||
            ls_embedded_start(redis, err) < 0 || ls_embedded_wait(redis, REDIS_START_MS, err) < 0)
            return -1;
        master->redis_started_ms = ls_clock_mono_ms();
        ls_log_with(LS_LOG_INFO, "redis.started",
                    LS_FIELDS({"socket", redis->socket_path}, {"state_dir", redis->state_dir}),
                    "embedded redis-server answers (pid %d)", (int)redis->pid);
    }
    fill_slots(master);
    ls_log(LS_LOG_INFO, "pool.started", "lockstep %s: %d runners%s%s%s", LOCKSTEP_VERSION,
           settings->count[LS_ROLE_RUNNER], settings->count[LS_ROLE_SCHEDULER] ? ", scheduler" : "",
           settings->count[LS_ROLE_RELAY] ? ", relay" : "",
           settings->count[LS_ROLE_ADMIN] ? ", admin" : "");
    return 0;
}

static int take_store_lock(struct ls_master *master, struct ls_err *err)
{
    char path[PATH_MAX], what[PATH_MAX];

    if (!master->settings.store_path)
        return 0;
    if (snprintf(path, sizeof path, "%s.lockstep-lock", master->settings.store_path) >=
        (int)sizeof path)
        return ls_fail(err, LS_E_CONFIG, "the name of the store's file is too long");
    snprintf(what, sizeof what, "store 'sqlite:%s'", master->settings.store_path);
    master->store_lock_fd = ls_lock_take(path, what, 1000, err);
    return master->store_lock_fd < 0 ? -1 : 0;
}

static int block_signals(struct ls_master *master, struct ls_err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    master->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return master->signal_fd < 0 ? ls_fail_errno(err, "cannot watch signals") : 0;
}

static void fill_slots(struct ls_master *master)
{
    for (int role = 0; role < LS_ROLE_COUNT; role++) {
        for (int i = 0; i < master->settings.count[role]; i++) {
            struct slot slot = {.role = (enum ls_role)role, .index = i};

            master->slots = ls_xrealloc(master->slots, (master->slot_count + 1) * sizeof slot);
            master->slots[master->slot_count++] = slot;
        }
    }
}

static void run_loop(struct ls_master *master)
{
    master->last_turn_ms = ls_clock_mono_ms();
    while (master->phase != PHASE_OVER) {
        int64_t now = ls_clock_mono_ms();

        if (master->phase == PHASE_RUN)
            start_due(master, now);
        wait_for_news(master, now);
        read_signals(master);
        for (size_t i = 0; i < master->child_count; i++)
            read_child(master, master->children[i]);
        reap(master);
        now = ls_clock_mono_ms();
        check_beats(master, now);
        tell_deaths(master, now);
        advance_stop(master, now);
        master->last_turn_ms = now;
    }
}

static void start_due(struct ls_master *master, int64_t now)
{
    bool replacing = is_replacing(master);

    start_redis(master, now);
    for (size_t i = 0; i < master->slot_count; i++) {
        struct slot *slot = &master->slots[i];

        if (may_start(master, slot) && now >= slot->start_ms) {
            slot->current = start_child(master, slot, now);
            slot->replace = false;
        } else if (slot->current && slot->replace && !replacing && now >= slot->start_ms) {
            slot->next = start_child(master, slot,
                                     now); /* one at a time: a pool rolls, it does not double */
            replacing = true;
        }
    }
}

/* Is its place to be filled, when its time has come? What dies before the scheduler has looked would
 * not be counted, so the runners of a pool that ends by itself come after that. */
static bool may_start(const struct ls_master *master, const struct slot *slot)
{
    const struct ls_until_empty *until = master->settings.until_empty;

    return !slot->current && !slot->surplus &&
           (!until || until->watching || slot->role != LS_ROLE_RUNNER);
}

static bool is_replacing(const struct ls_master *master)
{
    for (size_t i = 0; i < master->slot_count; i++)
        if (master->slots[i].next)
            return true;
    return false;
}

static void start_redis(struct ls_master *master, int64_t now)
{
    struct ls_err err = LS_ERR_INIT;

    if (!master->settings.state_dir || master->redis.pid || now < master->redis_start_ms)
        return;
    master->redis_started_ms = now;
    if (ls_embedded_start(&master->redis, &err) < 0) {
        master->redis_start_ms = now + ls_restart_delay_ms(&master->redis_restart, false, 0);
        ls_log(LS_LOG_ERROR, "redis.start_failed", "%s", err.text);
        return;
    }
    ls_log(LS_LOG_INFO, "redis.restarted", "embedded redis-server started again (pid %d)",
           (int)master->redis.pid);
}

static struct child *start_child(struct ls_master *master, struct slot *slot, int64_t now)
{
    struct child *child = LS_NEW(struct child);
    struct ls_err err = LS_ERR_INIT;
    int *fds = ls_xcalloc(master->child_count + 3, sizeof *fds);
    struct ls_spawn spawn = {
        .settings = &master->settings, .role = slot->role, .index = slot->index, .close_fds = fds};

    fds[spawn.close_count++] = master->signal_fd;
    if (master->store_lock_fd >= 0)
        fds[spawn.close_count++] = master->store_lock_fd;
    if (master->redis.lock_fd >= 0)
        fds[spawn.close_count++] = master->redis.lock_fd;
    for (size_t i = 0; i < master->child_count; i++)
        if (master->children[i]->fd >= 0)
            fds[spawn.close_count++] = master->children[i]->fd;
    *child = (struct child){
        .role = slot->role, .index = slot->index, .fd = -1, .started_ms = now, .beat_ms = now};
    child->pid = ls_spawn_child(&spawn, &child->fd, &err);
    free(fds);
    if (child->pid < 0) {
        slot->start_ms = now + ls_restart_delay_ms(&slot->restart, false, 0);
        ls_log(LS_LOG_ERROR, "child.fork_failed", "%s", err.text);
        free_child(child);
        return NULL;
    }
    master->children =
        ls_xrealloc(master->children, (master->child_count + 1) * sizeof *master->children);
    master->children[master->child_count++] = child;
    ls_log(LS_LOG_INFO, "child.started", "%s %d has pid %d", ls_role_name(child->role),
           child->index, (int)child->pid);
    return child;
}

static void wait_for_news(struct ls_master *master, int64_t now)
{
    struct pollfd *fds = ls_xcalloc(master->child_count + 1, sizeof *fds);
    int64_t until = now + TICK_MS;
    size_t count = 0;

    for (size_t i = 0; i < master->slot_count && master->phase == PHASE_RUN; i++) {
        struct slot *slot = &master->slots[i];

        if (may_start(master, slot) || (slot->replace && !is_replacing(master)))
            until = slot->start_ms < until ? slot->start_ms : until;
    }
    if (master->settings.state_dir && !master->redis.pid && master->redis_start_ms < until)
        until = master->redis_start_ms;
    if (master->phase == PHASE_RUNNERS && master->runners_deadline_ms + KILL_SLACK_MS < until)
        until = master->runners_deadline_ms + KILL_SLACK_MS;
    if (master->phase == PHASE_OTHERS && master->stop_deadline_ms + KILL_SLACK_MS < until)
        until = master->stop_deadline_ms + KILL_SLACK_MS;
    fds[count++] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    for (size_t i = 0; i < master->child_count; i++)
        if (master->children[i]->fd >= 0)
            fds[count++] = (struct pollfd){.fd = master->children[i]->fd, .events = POLLIN};
    /* A slot whose turn waits for another's replacement is due but cannot start: do not spin on it.
     */
    poll(fds, count, until > now ? (int)(until - now) : 20);
    free(fds);
}

static void read_signals(struct ls_master *master)
{
    struct signalfd_siginfo info;

    while (read(master->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            on_stop_signal(master);
        else if (info.ssi_signo == SIGHUP)
            on_hup(master);
    }
}

static void on_hup(struct ls_master *master)
{
    const struct ls_message reopen = {.type = LS_MESSAGE_LOG_REOPEN};
    struct ls_err err = LS_ERR_INIT;

    if (ls_log_reopen(&err) < 0)
        ls_log(LS_LOG_WARN, "log.reopen_failed", "%s", err.text);
    for (size_t i = 0; i < master->child_count; i++)
        send_to(master->children[i], &reopen);
    if (master->phase == PHASE_RUN)
        reload(master);
}

static void reload(struct ls_master *master)
{
    struct ls_master_settings next = master->settings;
    struct ls_err err = LS_ERR_INIT;

    if (next.reload && next.reload(next.reload_arg, &next, &err) < 0) {
        ls_log_with(LS_LOG_ERROR, "pool.reload_failed",
                    LS_FIELDS({"hint", err.hint[0] ? err.hint : NULL}),
                    "%s; going on with the old configuration", err.text);
        return;
    }
    /* What the pool holds a lock on stays what it was. */
    next.state_dir = master->settings.state_dir;
    next.redis_socket = master->settings.redis_socket;
    next.store_path = master->settings.store_path;
    master->settings = next;
    resize(master);
    ls_log(LS_LOG_INFO, "pool.reloading", "the runners are replaced one by one");
    for (size_t i = 0; i < master->slot_count; i++) {
        struct slot *slot = &master->slots[i];

        if (slot->surplus || !slot->current)
            continue;
        if (slot->role == LS_ROLE_RUNNER) {
            slot->replace = true;
            slot->start_ms = 0;
        } else if (slot->current->state != CHILD_DRAINING) {
            drain_child(master, slot->current, next.shutdown_grace_ms);
        }
    }
}

/* More runners, or fewer, or a role that came or went: slots are added or become surplus; they are
 * never removed. */
static void resize(struct ls_master *master)
{
    for (int role = 0; role < LS_ROLE_COUNT; role++) {
        int have = 0;

        for (size_t i = 0; i < master->slot_count; i++) {
            struct slot *slot = &master->slots[i];

            if (slot->role != (enum ls_role)role)
                continue;
            have++;
            slot->surplus = slot->index >= master->settings.count[role];
            if (slot->surplus && slot->current && slot->current->state != CHILD_DRAINING)
                drain_child(master, slot->current, master->settings.shutdown_grace_ms);
        }
        for (; have < master->settings.count[role]; have++) {
            struct slot slot = {.role = (enum ls_role)role, .index = have};

            master->slots = ls_xrealloc(master->slots, (master->slot_count + 1) * sizeof slot);
            master->slots[master->slot_count++] = slot;
        }
    }
}

static void on_stop_signal(struct ls_master *master)
{
    if (master->phase == PHASE_RUN) {
        ls_log(LS_LOG_INFO, "pool.stopping", "draining for at most %d ms",
               master->settings.shutdown_grace_ms);
        begin_stop(master);
        return;
    }
    if (ls_clock_mono_ms() - master->stop_began_ms < SAME_SIGNAL_MS)
        return; /* timeout(1) and the like send it to the process and to its group: that is one */
    ls_log(LS_LOG_WARN, "pool.stopping", "second signal: ending at once");
    master->stop_deadline_ms = master->runners_deadline_ms = 0;
    for (size_t i = 0; i < master->child_count; i++)
        kill_child(master->children[i], "the pool ends at once");
    if (master->phase == PHASE_REDIS && master->redis.pid)
        kill(master->redis.pid, SIGKILL);
}

static void begin_stop(struct ls_master *master)
{
    int grace = master->settings.shutdown_grace_ms;
    int reserve = grace / 5 < 2000 ? grace / 5 : 2000; /* for the others, which have little to do */
    int64_t now = ls_clock_mono_ms();

    master->phase = PHASE_RUNNERS;
    master->stop_began_ms = now;
    master->stop_deadline_ms = now + grace;
    master->runners_deadline_ms = now + grace - reserve;
    for (size_t i = 0; i < master->child_count; i++)
        if (master->children[i]->role == LS_ROLE_RUNNER)
            drain_child(master, master->children[i], grace - reserve);
}

static void read_child(struct ls_master *master, struct child *child)
{
    struct ls_message message;
    struct ls_err err = LS_ERR_INIT;
    int got;

    while (child->fd >= 0 && (got = ls_message_receive(child->fd, &message, &err)) != 0) {
        if (got > 0) {
            on_message(master, child, &message);
        } else if (err.code == LS_E_INVALID) {
            ls_log(LS_LOG_ERROR, "ipc.refused", "%s %d: %s", ls_role_name(child->role),
                   child->index, err.text);
        } else {
            close(child->fd);
            child->fd = -1;
        }
    }
}

static void on_message(struct ls_master *master, struct child *child,
                       const struct ls_message *message)
{
    struct slot *slot = find_slot(master, child);

    child->beat_ms = ls_clock_mono_ms();
    child->said_hello = true;
    switch (message->type) {
    case LS_MESSAGE_HELLO:
    case LS_MESSAGE_BEAT:
        return;
    case LS_MESSAGE_READY:
        on_ready(master, child);
        return;
    case LS_MESSAGE_WORKER_NAMES:
        if (!child->names)
            child->names = LS_NEW(struct ls_message);
        *child->names = *message;
        return;
    case LS_MESSAGE_REPLACE_ME:
        ls_log(LS_LOG_INFO, "child.replacing", "%s %d (pid %d) is replaced: %s",
               ls_role_name(child->role), child->index, (int)child->pid, message->text);
        if (slot && slot->current == child && child->role == LS_ROLE_RUNNER)
            slot->replace = true;
        else if (slot &&
                 child->state !=
                     CHILD_DRAINING) /* there is to be one of it: it ends, then comes back */
            drain_child(master, child, master->settings.shutdown_grace_ms);
        return;
    case LS_MESSAGE_WATCHING:
        if (master->settings.until_empty && !master->settings.until_empty->watching) {
            master->settings.until_empty->watching = true;
            master->settings.until_empty->died_before = message->number;
        }
        return;
    case LS_MESSAGE_EMPTY:
        on_empty(master, message);
        return;
    case LS_MESSAGE_FATAL:
        snprintf(child->fatal, sizeof child->fatal, "%s", message->text);
        return;
    default:
        ls_log(LS_LOG_ERROR, "ipc.unexpected", "%s %d sent '%s', which is not for the master",
               ls_role_name(child->role), child->index, ls_message_word(message->type));
    }
}

static void on_empty(struct ls_master *master, const struct ls_message *message)
{
    struct ls_until_empty *until = master->settings.until_empty;

    if (!until || master->phase != PHASE_RUN)
        return;
    until->died = message->number;
    snprintf(until->left, sizeof until->left, "%s", message->text);
    if (until->left[0])
        ls_log(LS_LOG_WARN, "pool.not_empty", "the time is over: %s", until->left);
    else
        ls_log(LS_LOG_INFO, "pool.empty", "nothing is left to do; %lld jobs died",
               (long long)until->died);
    if (until->left[0] || until->died)
        master->exit_status = LS_EXIT_FAILED;
    begin_stop(master);
}

static void on_ready(struct ls_master *master, struct child *child)
{
    struct slot *slot = find_slot(master, child);
    struct child *old;

    child->was_ready = true;
    if (child->state == CHILD_STARTING)
        child->state = CHILD_READY;
    if (!slot)
        return;
    slot->was_ready = true;
    if (slot->next == child) {
        old = slot->current;
        slot->current = child;
        slot->next = NULL;
        slot->replace = false;
        if (old && old->state != CHILD_DRAINING)
            drain_child(master, old, master->settings.shutdown_grace_ms);
    }
    check_announce(master);
}

/* What the commands of a runner that died leave behind comes to us. */
static void sweep_orphans(const struct ls_master *master)
{
    struct ls_orphans_view view = {.known = ls_xcalloc(master->child_count + 1, sizeof(pid_t))};

    for (size_t i = 0; i < master->child_count; i++)
        view.known[view.known_count++] = master->children[i]->pid;
    view.known[view.known_count++] = master->redis.pid;
    ls_orphans_sweep(&view);
    free(view.known);
}

static void reap(struct ls_master *master)
{
    int status, ended = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        ended++;
        if (pid == master->redis.pid) {
            on_redis_end(master, status);
            continue;
        }
        for (size_t i = 0; i < master->child_count; i++) {
            if (master->children[i]->pid == pid) {
                on_child_end(master, i, status);
                break;
            }
        } /* anything else was an orphan that came to us */
    }
    if (ended > 0)
        sweep_orphans(master);
}

static void on_redis_end(struct ls_master *master, int status)
{
    int64_t now = ls_clock_mono_ms();
    char how[64];

    master->redis.pid = 0;
    if (master->phase == PHASE_REDIS)
        return;
    master->redis_start_ms =
        now + ls_restart_delay_ms(&master->redis_restart, true, now - master->redis_started_ms);
    ls_log(LS_LOG_ERROR, "redis.died", "embedded redis-server %s; starting it again in %lld ms",
           describe_end(status, how, sizeof how), (long long)(master->redis_start_ms - now));
}

static void on_child_end(struct ls_master *master, size_t at, int status)
{
    struct child *child = master->children[at];
    struct slot *slot = find_slot(master, child);
    int64_t now = ls_clock_mono_ms();
    bool clean = WIFEXITED(status) &&
                 (WEXITSTATUS(status) == LS_EXIT_OK || WEXITSTATUS(status) == LS_EXIT_REPLACE);
    char how[64];

    read_child(master,
               child); /* its last words: the newest identities, or why it could not start */
    remember_death(master, child, status);
    ls_log(clean ? LS_LOG_INFO : LS_LOG_WARN, clean ? "child.ended" : "child.died",
           "%s %d (pid %d) %s", ls_role_name(child->role), child->index, (int)child->pid,
           describe_end(status, how, sizeof how));
    if (!clean && master->phase != PHASE_RUN)
        master->exit_status = LS_EXIT_FAILED;
    master->children[at] = master->children[--master->child_count];
    if (slot && master->phase == PHASE_RUN)
        settle_slot(master, slot, child, status, now);
    free_child(child);
}

static void settle_slot(struct ls_master *master, struct slot *slot, struct child *child,
                        int status, int64_t now)
{
    bool fatal = WIFEXITED(status) && WEXITSTATUS(status) == LS_EXIT_FATAL;
    bool asked = child->state == CHILD_DRAINING ||
                 (WIFEXITED(status) && WEXITSTATUS(status) == LS_EXIT_REPLACE);
    int64_t delay;

    if (slot->next == child) {
        slot->next = NULL;
        slot->start_ms =
            now + ls_restart_delay_ms(&slot->restart, child->was_ready, now - child->started_ms);
        return;
    }
    slot->current = slot->next; /* a successor that is still starting takes the place */
    slot->next = NULL;
    if (slot->current)
        slot->replace = false;
    if (slot->current || slot->surplus)
        return;
    if (fatal && !slot->was_ready) {
        ls_log(LS_LOG_ERROR, "pool.failed", "%s %d cannot start%s%s", ls_role_name(slot->role),
               slot->index, child->fatal[0] ? ": " : "", child->fatal);
        master->exit_status = LS_EXIT_FAILED;
        begin_stop(master);
        return;
    }
    delay =
        asked ? 0 : ls_restart_delay_ms(&slot->restart, child->was_ready, now - child->started_ms);
    slot->start_ms = now + delay;
    if (!asked && slot->restart.failures > 1)
        ls_log(LS_LOG_WARN, "child.backoff", "%s %d ended %d times in a row: next start in %lld ms",
               ls_role_name(slot->role), slot->index, slot->restart.failures, (long long)delay);
}

static void remember_death(struct ls_master *master, struct child *child, int status)
{
    struct death *death;

    if (child->role != LS_ROLE_RUNNER || !child->names || child->names->name_count == 0)
        return;
    if (master->death_count == DEATHS_MAX) {
        free(master->deaths[0].message);
        memmove(master->deaths, master->deaths + 1, (DEATHS_MAX - 1) * sizeof *master->deaths);
        master->death_count--;
    }
    death = &master->deaths[master->death_count++];
    *death = (struct death){.message = child->names, .at_ms = ls_clock_mono_ms()};
    death->message->type = LS_MESSAGE_CHILD_DIED;
    death->message->pid = child->pid;
    death->message->number = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !child->killed;
    child->names = NULL;
}

static void tell_deaths(struct ls_master *master, int64_t now)
{
    struct child *scheduler = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < master->child_count; i++)
        if (master->children[i]->role == LS_ROLE_SCHEDULER &&
            master->children[i]->state == CHILD_READY)
            scheduler = master->children[i];
    for (size_t i = 0; i < master->death_count; i++) {
        struct death *death = &master->deaths[i];

        if (now - death->at_ms > DEATH_KEPT_MS) {
            free(death->message);
            continue;
        }
        if (scheduler && scheduler->fd >= 0 && death->told != scheduler->pid &&
            ls_message_send(scheduler->fd, death->message, NULL) == 0)
            death->told = scheduler->pid;
        master->deaths[kept++] = *death;
    }
    master->death_count = kept;
}

static void check_beats(struct ls_master *master, int64_t now)
{
    bool stalled = now - master->last_turn_ms > STALL_MS;
    int watchdog = master->settings.watchdog_ms;

    for (size_t i = 0; i < master->child_count; i++) {
        struct child *child = master->children[i];
        int64_t silence = now - child->beat_ms;

        if (stalled) {
            child->beat_ms = now;
            continue;
        }
        if (child->kill_ms && now >= child->kill_ms)
            kill_child(child, "its drain took longer than shutdown_grace");
        /* Before its first word a child may open databases and resolve names: that is slower than a
         * turn of a loop. */
        else if (watchdog && silence > (child->said_hello ? watchdog : 3 * watchdog))
            kill_child(child, "its loop does not turn (watchdog)");
    }
}

static void advance_stop(struct ls_master *master, int64_t now)
{
    if (master->phase == PHASE_RUNNERS) {
        for (size_t i = 0; i < master->child_count; i++)
            if (master->children[i]->role == LS_ROLE_RUNNER &&
                now >= master->runners_deadline_ms + KILL_SLACK_MS)
                kill_child(master->children[i], "shutdown_grace is over");
        if (count_role(master, true) == 0) {
            master->phase = PHASE_OTHERS;
            tell_deaths(master,
                        now); /* before "drain": the scheduler frees their claims while it can */
            for (size_t i = 0; i < master->child_count; i++)
                drain_child(master, master->children[i],
                            master->stop_deadline_ms - now > 500 ? master->stop_deadline_ms - now
                                                                 : 500);
        }
    }
    if (master->phase == PHASE_OTHERS) {
        for (size_t i = 0; i < master->child_count; i++)
            if (now >= master->stop_deadline_ms + KILL_SLACK_MS)
                kill_child(master->children[i], "shutdown_grace is over");
        if (count_role(master, false) == 0) {
            master->phase = PHASE_REDIS;
            master->stop_deadline_ms = now + REDIS_STOP_MS;
        }
    }
    if (master->phase == PHASE_REDIS) {
        if (!master->redis.pid) {
            master->phase = PHASE_OVER;
        } else if (!master->redis_term_sent) {
            kill(master->redis.pid, SIGTERM);
            master->redis_term_sent = true;
        } else if (now >= master->stop_deadline_ms) {
            ls_log(LS_LOG_WARN, "redis.killed", "embedded redis-server does not end: SIGKILL");
            kill(master->redis.pid, SIGKILL);
            master->stop_deadline_ms = now + REDIS_STOP_MS;
        }
    }
}

static void drain_child(struct ls_master *master, struct child *child, int64_t grace_ms)
{
    const struct ls_message drain = {.type = LS_MESSAGE_DRAIN, .number = grace_ms};

    child->state = CHILD_DRAINING;
    if (master->phase == PHASE_RUN)
        child->kill_ms = ls_clock_mono_ms() + grace_ms + 2000;
    send_to(child, &drain);
}

static void kill_child(struct child *child, const char *why)
{
    if (child->killed)
        return;
    child->killed = true;
    ls_log(LS_LOG_WARN, "child.killed", "%s %d (pid %d) gets SIGKILL: %s",
           ls_role_name(child->role), child->index, (int)child->pid, why);
    kill(child->pid, SIGKILL);
}

static void send_to(struct child *child, const struct ls_message *message)
{
    struct ls_err err = LS_ERR_INIT;

    if (child->fd >= 0 && ls_message_send(child->fd, message, &err) < 0)
        ls_log(LS_LOG_WARN, "ipc.send_failed", "%s %d: %s", ls_role_name(child->role), child->index,
               err.text);
}

static size_t count_role(const struct ls_master *master, bool runners)
{
    size_t count = 0;

    for (size_t i = 0; i < master->child_count; i++)
        count += (master->children[i]->role == LS_ROLE_RUNNER) == runners;
    return count;
}

/* NULL for a child that was replaced and only drains. */
static struct slot *find_slot(struct ls_master *master, const struct child *child)
{
    for (size_t i = 0; i < master->slot_count; i++)
        if (master->slots[i].current == child || master->slots[i].next == child)
            return &master->slots[i];
    return NULL;
}

static void check_announce(struct ls_master *master)
{
    if (master->announced)
        return;
    for (size_t i = 0; i < master->slot_count; i++)
        if (!master->slots[i].was_ready)
            return;
    master->announced = true;
    ls_log(LS_LOG_INFO, "pool.ready", "all %zu children are ready", master->slot_count);
}

static void free_child(struct child *child)
{
    if (child->fd >= 0)
        close(child->fd);
    free(child->names);
    free(child);
}

static void finish(struct ls_master *master)
{
    if (master->phase == PHASE_OVER)
        ls_log(LS_LOG_INFO, "pool.stopped", "exit %d", master->exit_status);
    for (size_t i = 0; i < master->death_count; i++)
        free(master->deaths[i].message);
    ls_embedded_close(&master->redis);
    if (master->store_lock_fd >= 0)
        close(master->store_lock_fd);
    if (master->signal_fd >= 0)
        close(master->signal_fd);
    free(master->children);
    free(master->slots);
    free(master);
}

static const char *describe_end(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "was killed by signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "ended with exit status %d", WEXITSTATUS(status));
    return out;
}
