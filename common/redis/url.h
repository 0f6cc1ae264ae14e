/* Where a Redis is: unix://PATH[?db=N], redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss://...
 * with TLS. Options after '?': db, ca_file (verify against this file instead of the system's),
 * user, password. Percent-encoding is undone. */
#ifndef LS_REDIS_URL_H
#define LS_REDIS_URL_H

#include <stdbool.h>

#include "common/base/err.h"

struct ls_redis_url {
    char *path; /* unix socket; NULL: host and port */
    char *host; /* without brackets */
    int port;
    int db;
    bool tls;
    char *user;     /* NULL: the default user */
    char *password; /* NULL: none */
    char *ca_file;  /* NULL: the system's trust store */
    char *shown;    /* "unix:///run/x.sock", "redis://10.0.0.5:6379/0": for people, never holds a
                       secret */
};

/* Fill url, which is {0}. LS_E_CONFIG for what does not parse, LS_E_UNSUPPORTED for
 * redis+sentinel:// and redis+cluster:// ; error texts never hold the password. */
int ls_redis_url_parse(struct ls_redis_url *url, const char *text, struct ls_err *err);
void ls_redis_url_copy(struct ls_redis_url *to, const struct ls_redis_url *from);
void ls_redis_url_fini(struct ls_redis_url *url);

#endif
