/* TLS between a codec and a socket, over OpenSSL memory BIOs: bytes in, bytes out, no file
 * descriptor. The peer's certificate is always verified, its name too. Part of common/redis. */
#ifndef LS_REDIS_TLS_H
#define LS_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct ls_tls;

/* host: what the certificate must name (an IP address or a DNS name). ca_file NULL: the system's
 * trust store. Draining gives the first flight. */
struct ls_tls *ls_tls_new(const char *host, const char *ca_file, struct ls_err *err);
void ls_tls_free(struct ls_tls *tls);
bool ls_tls_is_ready(const struct ls_tls *tls);
/* Bytes from the socket; what they decrypt to is appended to plain. -1: handshake refused, bad
 * record, or closed by the peer (LS_E_LOST; LS_E_NETWORK while the handshake was not over). */
int ls_tls_feed(struct ls_tls *tls, const char *bytes, size_t length, struct ls_buf *plain,
                struct ls_err *err);
/* Encrypt; only when ready. */
int ls_tls_write(struct ls_tls *tls, const char *bytes, size_t length, struct ls_err *err);
/* Append what must go to the socket. After each new, feed and write. */
void ls_tls_drain(struct ls_tls *tls, struct ls_buf *out);

#endif
