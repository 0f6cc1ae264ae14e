#include "producer/cli/tests.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/client.h"
#include "common/platform/connector.h"
#include "common/record/record.h"
#include "common/redis/check.h"

#define PROBE_MS 15000
#define OLDEST_REDIS 60200

/* ---- redis ---- */

/* The first line of `redis-server --version`, within 5 s; -1 when it cannot be run. */
static int server_version(char *out, size_t size)
{
    int fds[2], status;
    ssize_t count = 0;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        alarm(5);
        dup2(fds[1], STDOUT_FILENO);
        execlp("redis-server", "redis-server", "--version", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    if (pid > 0) {
        count = read(fds[0], out, size - 1);
        waitpid(pid, &status, 0);
    }
    close(fds[0]);
    out[count > 0 ? count : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* path or the nearest directory above it that exists can be written to. */
static bool can_make(const char *path)
{
    char *copy = ls_xstrdup(path);
    bool can;

    while (access(copy, F_OK) < 0 && strrchr(copy, '/') > copy)
        *strrchr(copy, '/') = 0;
    can = access(copy, W_OK | X_OK) == 0;
    free(copy);
    return can;
}

static int embedded_can_start(const struct ls_config *config, char evidence[256],
                              struct ls_err *err)
{
    int major = 0, minor = 0;
    char line[256];
    const char *version;

    if (server_version(line, sizeof line) < 0) {
        ls_fail(err, LS_E_NOT_FOUND, "cannot run 'redis-server', which 'redis: embedded' needs");
        return ls_hint(err, "apt-get install redis-server, or set 'redis' to a Redis that runs");
    }
    version = strstr(line, "v=");
    if (!version || sscanf(version, "v=%d.%d", &major, &minor) != 2 ||
        major * 10000 + minor * 100 < OLDEST_REDIS) {
        ls_fail(err, LS_E_UNSUPPORTED, "redis-server %d.%d is too old", major, minor);
        return ls_hint(err, "6.2 or later is needed");
    }
    if (!can_make(config->state_dir)) {
        ls_fail(err, LS_E_SYSTEM, "cannot write to the state directory '%s'", config->state_dir);
        return ls_hint(err, "make it writable for this user, or set 'state_dir'");
    }
    snprintf(evidence, 256, "embedded: redis-server %d.%d, %.200s; the pool is not running", major,
             minor, config->state_dir);
    return 0;
}

int ls_test_redis(struct ls_cli *cli, const struct ls_config *config, char evidence[256],
                  struct ls_err *err)
{
    struct ls_redis_facts facts = {0};
    struct ls_redis_url url = {0};
    char warning[256] = "";
    char *text = ls_cli_redis_url(cli, err);
    int result = -1;

    if (text && ls_redis_url_parse(&url, text, err) == 0) {
        if (url.path && config->redis_socket && strcmp(url.path, config->redis_socket) == 0 &&
            access(url.path, F_OK) < 0)
            result = embedded_can_start(config, evidence, err);
        else if (!ls_cli_no_pool(&url, err)) {
            result = ls_redis_check(&url, 0, &facts, warning, err);
            if (result == 0)
                snprintf(evidence, 256, "%.100s: version %s%s%.100s", url.shown, facts.version_text,
                         *warning ? "; " : "", warning);
        }
    }
    ls_redis_url_fini(&url);
    free(text);
    return result;
}

/* ---- store ---- */

int ls_test_store(const struct ls_config *config, char evidence[256], struct ls_err *err)
{
    static const char magic[] = "SQLite format 3";
    const char *path = config->store ? config->store + strlen("sqlite:") : NULL;
    char head[sizeof magic] = "";
    ssize_t count;
    char *dir;
    int fd;

    if (!path) {
        snprintf(evidence, 256, "none is configured");
        return 0;
    }
    if (strncmp(config->store, "sqlite:", 7) != 0) {
        ls_fail(err, LS_E_UNSUPPORTED, "this version knows no store but SQLite");
        return ls_hint(err, "store: sqlite:shop.db");
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ls_fail_errno(err, "cannot open the database '%s'", path);
        return ls_hint(err, "the file is the application's: lockstep never creates it");
    }
    count = read(fd, head, sizeof head);
    close(fd);
    if (count > 0 && memcmp(head, magic, sizeof magic) != 0) /* 0 bytes: empty, no table yet */
        return ls_fail(err, LS_E_CONFIG, "'%s' is no SQLite database", path);
    dir = ls_xstrndup(path, (size_t)(strrchr(path, '/') - path));
    if (access(path, W_OK) < 0 || access(*dir ? dir : "/", W_OK) < 0) {
        ls_fail_errno(err, "cannot write to '%s' and its directory", path);
        ls_hint(err, "SQLite makes files beside the database: both must be writable");
        free(dir);
        return -1;
    }
    free(dir);
    snprintf(evidence, 256, "%.250s", config->store);
    return 0;
}

/* ---- accounts ---- */

struct probe {
    bool over;
    struct ls_err *err;
    int result;
    int64_t offset_ms;
};

static void on_probe(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct probe *probe = arg;

    probe->over = true;
    if (err) {
        *probe->err = *err;
        return;
    }
    probe->result = 0;
    probe->offset_ms = page && page->remote_ms ? page->remote_ms - ls_clock_wall_ms() : 0;
}

static void on_late(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void close_all(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

int ls_test_account(const struct ls_config *config, const struct ls_config_account *account,
                    char evidence[256], struct ls_err *err)
{
    const struct ls_config_sync *sync = NULL;
    struct probe probe = {.err = err, .result = -1};
    struct ls_connector *connector = NULL;
    struct ls_remote_call *call = NULL;
    struct ls_mapping *mapping = NULL;
    struct ls_http *http;
    uv_timer_t timer;
    uv_loop_t loop;

    for (size_t i = 0; i < config->sync_count && !sync; i++) {
        if (strcmp(config->syncs[i].account, account->name) == 0)
            sync = &config->syncs[i];
    }
    if (!sync) {
        snprintf(evidence, 256, "%s: not tried, no sync uses it", account->name);
        return 0;
    }
    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    http = ls_http_new(&loop, NULL);
    mapping = ls_mapping_new(sync, err);
    connector = mapping ? ls_connector_new(account, &loop, http, err) : NULL;
    if (connector) {
        uv_timer_start(&timer, on_late, PROBE_MS, 0);
        uv_unref((uv_handle_t *)&timer);
        call = ls_connector_probe(connector, mapping, on_probe, &probe);
        while (!probe.over && uv_timer_get_due_in(&timer) > 0 && uv_run(&loop, UV_RUN_ONCE))
            ;
        if (!probe.over) {
            ls_remote_cancel(&call);
            ls_fail(err, LS_E_TIMEOUT, "'%s' has not answered in %d s", account->url,
                    PROBE_MS / 1000);
        }
    }
    ls_connector_free(connector);
    ls_mapping_free(mapping);
    ls_http_close(&http);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_walk(&loop, close_all, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (probe.result == 0) {
        char offset[48];
        int64_t away = probe.offset_ms < 0 ? -probe.offset_ms : probe.offset_ms;

        snprintf(evidence, 256, "%s: %.100s answers%s%s", account->name, account->url,
                 away > 2000 ? "; its clock differs by " : "",
                 away > 2000 ? ls_duration_format(offset, sizeof offset, away) : "");
    }
    return probe.result;
}

/* ---- the rest ---- */

/* Does somebody there answer /healthz as our server does? */
static bool is_ours(const struct addrinfo *address)
{
    static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
    const struct timeval patience = {.tv_sec = 2};
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer[64] = "";
    bool ours;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ours = fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) == 0 &&
           send(fd, request, strlen(request), MSG_NOSIGNAL) > 0 &&
           recv(fd, answer, sizeof answer - 1, 0) > 0 && strncmp(answer, "HTTP/1.", 7) == 0 &&
           strncmp(answer + 8, " 200", 4) == 0;
    if (fd >= 0)
        close(fd);
    return ours;
}

int ls_test_admin(const struct ls_config *config, char evidence[256], struct ls_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    char port[8];
    int fd, one = 1, result = -1;

    if (!config->admin.enabled) {
        snprintf(evidence, 256, "off: no 'admin' section");
        return 0;
    }
    snprintf(port, sizeof port, "%d", config->admin.port);
    if (getaddrinfo(config->admin.host, port, &hints, &list) != 0)
        return ls_fail(err, LS_E_CONFIG, "cannot resolve '%s' of 'admin.listen'",
                       config->admin.host);
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd >= 0 && bind(fd, list->ai_addr, list->ai_addrlen) == 0) {
        snprintf(evidence, 256, "%.200s is free", config->admin.listen);
        result = 0;
    } else if (errno == EADDRINUSE && is_ours(list)) {
        snprintf(evidence, 256, "%.200s answers", config->admin.listen);
        result = 0;
    } else {
        errno = errno ? errno : EADDRINUSE;
        ls_fail_errno(err, "cannot listen on '%s'", config->admin.listen);
        ls_hint(err, "another program (or a pool) holds it; 'admin: {listen: 127.0.0.1:0}' takes "
                     "any free port");
    }
    if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return result;
}

int ls_test_sink(const struct ls_config_sink *sink, char evidence[256], struct ls_err *err)
{
    if (sink->to) {
        snprintf(evidence, 256, "%.200s (not called)", sink->to);
        return 0;
    }
    if (strchr(sink->exec[0], '/') && access(sink->exec[0], X_OK) < 0)
        return ls_fail_errno(err, "cannot run the alert command '%s'", sink->exec[0]);
    snprintf(evidence, 256, "%.200s", sink->exec[0]);
    return 0;
}

int ls_test_log(const struct ls_config *config, char evidence[256], struct ls_err *err)
{
    const char *path = config->log + strlen("file:");
    struct stat status;
    char *dir;
    bool writable;

    if (strncmp(config->log, "file:", 5) != 0) {
        snprintf(evidence, 256, "standard error");
        return 0;
    }
    dir = ls_xstrndup(path, (size_t)(strrchr(path, '/') - path));
    writable = access(path, F_OK) == 0 ? access(path, W_OK) == 0
                                       : access(*dir ? dir : "/", W_OK | X_OK) == 0;
    free(dir);
    if (!writable) {
        ls_fail_errno(err, "cannot write the log '%s'", path);
        return ls_hint(err, "make it writable for the pool's user, or set 'log: stderr'");
    }
    if (stat(path, &status) == 0) {
        char age[48];

        ls_duration_format(age, sizeof age,
                           ls_clock_wall_ms() - (int64_t)status.st_mtim.tv_sec * 1000);
        snprintf(evidence, 256, "%.180s, written %s ago", path, age);
    } else {
        snprintf(evidence, 256, "%.200s, not there yet", path);
    }
    return 0;
}
