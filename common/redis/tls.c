#include "common/redis/tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/base/mem.h"

struct ls_tls {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

static int fail_with_queue(struct ls_tls *tls, enum ls_err_code code, const char *what,
                           struct ls_err *err)
{
    char reason[160] = "unknown reason";
    unsigned long number = ERR_get_error();
    long verify = tls && tls->ssl ? SSL_get_verify_result(tls->ssl) : X509_V_OK;

    if (number)
        ERR_error_string_n(number, reason, sizeof(reason));
    ERR_clear_error();
    if (verify != X509_V_OK) {
        ls_fail(err, code, "%s: certificate refused: %s", what,
                X509_verify_cert_error_string(verify));
        return ls_hint(err, "give the authority's certificate with ?ca_file=PATH, and connect by "
                            "the name it is for");
    }
    return ls_fail(err, code, "%s: %s", what, reason);
}

static int expect_name(SSL *ssl, const char *host)
{
    unsigned char address[16];
    bool ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;

    if (ip)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
}

struct ls_tls *ls_tls_new(const char *host, const char *ca_file, struct ls_err *err)
{
    struct ls_tls *tls = LS_NEW(struct ls_tls);

    ERR_clear_error();
    tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls->context || !SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION))
        goto fail;
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    if (ca_file ? !SSL_CTX_load_verify_locations(tls->context, ca_file, NULL)
                : !SSL_CTX_set_default_verify_paths(tls->context)) {
        fail_with_queue(
            NULL, LS_E_CONFIG,
            ca_file ? "cannot read the ca_file" : "cannot read the system's trust store", err);
        ls_tls_free(tls);
        return NULL;
    }
    tls->ssl = SSL_new(tls->context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        goto fail;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    if (!expect_name(tls->ssl, host))
        goto fail;
    SSL_do_handshake(tls->ssl); /* writes the first flight and wants more */
    return tls;
fail:
    fail_with_queue(NULL, LS_E_SYSTEM, "cannot set up TLS", err);
    ls_tls_free(tls);
    return NULL;
}

void ls_tls_free(struct ls_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    free(tls);
}

bool ls_tls_is_ready(const struct ls_tls *tls)
{
    return SSL_is_init_finished(tls->ssl);
}

static int shake_hands(struct ls_tls *tls, struct ls_err *err)
{
    int result = SSL_do_handshake(tls->ssl);

    if (result == 1 || SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
        return 0;
    return fail_with_queue(tls, LS_E_NETWORK, "TLS handshake failed", err);
}

int ls_tls_feed(struct ls_tls *tls, const char *bytes, size_t length, struct ls_buf *plain,
                struct ls_err *err)
{
    int got;

    ERR_clear_error();
    ls_assert(length <= INT_MAX && BIO_write(tls->in, bytes, (int)length) == (int)length);
    if (!ls_tls_is_ready(tls) && shake_hands(tls, err) < 0)
        return -1;
    if (!ls_tls_is_ready(tls))
        return 0;
    for (;;) {
        ls_buf_reserve(plain, 16384);
        got = SSL_read(tls->ssl, plain->data + plain->length, 16384);
        if (got <= 0)
            break;
        plain->length += (size_t)got;
    }
    switch (SSL_get_error(tls->ssl, got)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return ls_fail(err, LS_E_LOST, "the peer closed the TLS session");
    default:
        return fail_with_queue(tls, LS_E_LOST, "TLS session failed", err);
    }
}

int ls_tls_write(struct ls_tls *tls, const char *bytes, size_t length, struct ls_err *err)
{
    ls_assert(length <= INT_MAX);
    if (length == 0)
        return 0;
    ERR_clear_error();
    if (SSL_write(tls->ssl, bytes, (int)length) != (int)length)
        return fail_with_queue(tls, LS_E_LOST, "TLS session failed", err);
    return 0;
}

void ls_tls_drain(struct ls_tls *tls, struct ls_buf *out)
{
    size_t waiting = BIO_ctrl_pending(tls->out);
    int got;

    if (waiting == 0)
        return;
    ls_buf_reserve(out, waiting);
    got = BIO_read(tls->out, out->data + out->length, (int)waiting);
    if (got > 0)
        out->length += (size_t)got;
}
