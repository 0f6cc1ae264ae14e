#include "tests/conformance/shop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/support/temp.h"

#define START_MS 20000
#define SKIPPED 77

static pid_t spawn(const struct test_shop *shop, const struct test_shop_options *options, int *to,
                   int *from);
static bool read_line(int fd, struct ls_buf *line);
static void make_certificate(const char *cert_file, const char *key_file);
static void take(json_t *told, const char *name, char *out, size_t size);

struct test_shop *test_shop_start(const struct test_shop_options *options)
{
    struct test_shop *shop = LS_NEW(struct test_shop);
    struct ls_buf line = {0};
    json_t *told;
    int from = -1, status = 0;

    test_temp_dir(shop->dir, sizeof shop->dir);
    if (options->tls) {
        char key_file[128];
        snprintf(shop->ca_file, sizeof shop->ca_file, "%s/cert.pem", shop->dir);
        snprintf(key_file, sizeof key_file, "%s/key.pem", shop->dir);
        make_certificate(shop->ca_file, key_file);
    }
    shop->pid = spawn(shop, options, &shop->lifeline, &from);
    if (!read_line(from, &line)) {
        close(from);
        close(shop->lifeline);
        waitpid(shop->pid, &status, 0);
        test_temp_remove(shop->dir);
        free(shop);
        ls_buf_fini(&line);
        if (WIFEXITED(status) && (WEXITSTATUS(status) == SKIPPED || WEXITSTATUS(status) == 127))
            return NULL;
        fail_msg("the simulated shop did not start: status %d", status);
    }
    close(from);
    told = json_loads(line.data, 0, NULL);
    assert_non_null(told);
    take(told, "url", shop->url, sizeof shop->url);
    take(told, "admin", shop->admin, sizeof shop->admin);
    take(told, "consumer_key", shop->key, sizeof shop->key);
    take(told, "consumer_secret", shop->secret, sizeof shop->secret);
    take(told, "read_key", shop->read_key, sizeof shop->read_key);
    take(told, "read_secret", shop->read_secret, sizeof shop->read_secret);
    json_decref(told);
    ls_buf_fini(&line);
    return shop;
}

void test_shop_stop(struct test_shop *shop)
{
    if (!shop)
        return;
    close(shop->lifeline);
    kill(shop->pid, SIGKILL);
    waitpid(shop->pid, NULL, 0);
    test_temp_remove(shop->dir);
    free(shop);
}

static pid_t spawn(const struct test_shop *shop, const struct test_shop_options *options, int *to,
                   int *from)
{
    const char *source = getenv("LS_SOURCE_DIR");
    char server[512], products[24], skew[24], key_file[128];
    const char *argv[24];
    int in[2], out[2], argc = 0;
    pid_t pid, parent = getpid();

    snprintf(server, sizeof server, "%s/tests/platforms/woocommerce/server.mjs",
             source ? source : ".");
    snprintf(products, sizeof products, "%d", options->products);
    snprintf(skew, sizeof skew, "--clock-skew-ms=%lld", (long long)options->clock_skew_ms);
    snprintf(key_file, sizeof key_file, "%s/key.pem", shop->dir);
    argv[argc++] = "node";
    argv[argc++] = server;
    argv[argc++] = "--exit-with-stdin";
    argv[argc++] = "--products";
    argv[argc++] = products;
    argv[argc++] = skew;
    if (options->path) {
        argv[argc++] = "--site-path";
        argv[argc++] = options->path;
    }
    if (options->tls) {
        argv[argc++] = "--tls-cert";
        argv[argc++] = shop->ca_file;
        argv[argc++] = "--tls-key";
        argv[argc++] = key_file;
    }
    argv[argc] = NULL;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execvp("node", (char **)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    *to = in[1];
    *from = out[0];
    return pid;
}

static bool read_line(int fd, struct ls_buf *line)
{
    int64_t end = ls_clock_mono_ms() + START_MS;
    char c;

    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int64_t left = end - ls_clock_mono_ms();
        if (left <= 0 || poll(&ready, 1, (int)left) <= 0 || read(fd, &c, 1) != 1)
            return false;
        if (c == '\n')
            return true;
        ls_buf_putc(line, c);
    }
}

static void take(json_t *told, const char *name, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(told, name));

    assert_non_null(text);
    assert_true(strlen(text) < size);
    snprintf(out, size, "%s", text);
}

/* A certificate of its own for 127.0.0.1. */
static void make_certificate(const char *cert_file, const char *key_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    FILE *file;

    assert_true(key && cert && names);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 24 * 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"127.0.0.1", -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    X509_add_ext(cert, names, -1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_non_null(file = fopen(cert_file, "w"));
    PEM_write_X509(file, cert);
    fclose(file);
    assert_non_null(file = fopen(key_file, "w"));
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_EXTENSION_free(names);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- the back door --------------------------------------------------------------------------- */

json_t *test_shop_ask(struct test_shop *shop, const char *method, const char *path,
                      const char *body)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct ls_buf text = {0};
    char chunk[4096];
    const char *port = strrchr(shop->admin, ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    json_t *root;
    char *answer;
    ssize_t got;

    to.sin_port = htons((uint16_t)strtol(port + 1, NULL, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    ls_buf_printf(&text, "%s %s HTTP/1.0\r\nHost: localhost\r\n", method, path);
    if (body)
        ls_buf_printf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                      strlen(body));
    ls_buf_printf(&text, "\r\n%s", body ? body : "");
    for (size_t sent = 0; sent < text.length; sent += (size_t)got) {
        got = write(fd, text.data + sent, text.length - sent);
        assert_true(got > 0);
    }
    ls_buf_clear(&text);
    while ((got = read(fd, chunk, sizeof chunk)) > 0)
        ls_buf_add(&text, chunk, (size_t)got);
    close(fd);
    assert_true(text.data && sscanf(text.data, "HTTP/1.%*d %d", &status) == 1);
    answer = strstr(text.data, "\r\n\r\n");
    assert_non_null(answer);
    if (status < 200 || status > 299)
        fail_msg("%s %s: %s", method, path, text.data);
    root = json_loads(answer + 4, 0, NULL);
    assert_non_null(root);
    ls_buf_fini(&text);
    return root;
}

static void tell(struct test_shop *shop, const char *method, const char *path, const char *body)
{
    json_decref(test_shop_ask(shop, method, path, body));
}

int64_t test_shop_add(struct test_shop *shop, const char *product)
{
    json_t *told = test_shop_ask(shop, "POST", "/products", product);
    json_int_t id = json_integer_value(json_object_get(told, "id"));

    json_decref(told);
    assert_true(id > 0);
    return id;
}

void test_shop_edit(struct test_shop *shop, int64_t id, const char *product)
{
    char path[64];

    snprintf(path, sizeof path, "/products/%lld", (long long)id);
    tell(shop, "PUT", path, product);
}

void test_shop_set_stock(struct test_shop *shop, int64_t id, int quantity)
{
    char path[64], body[64];

    snprintf(path, sizeof path, "/products/%lld/stock", (long long)id);
    snprintf(body, sizeof body, "{\"quantity\":%d}", quantity);
    tell(shop, "PUT", path, body);
}

void test_shop_remove(struct test_shop *shop, int64_t id, bool force)
{
    char path[64];

    snprintf(path, sizeof path, "/products/%lld?force=%s", (long long)id, force ? "true" : "false");
    tell(shop, "DELETE", path, NULL);
}

json_t *test_shop_product(struct test_shop *shop, int64_t id)
{
    char path[64];

    snprintf(path, sizeof path, "/products/%lld", (long long)id);
    return test_shop_ask(shop, "GET", path, NULL);
}

void test_shop_fault(struct test_shop *shop, const char *rule)
{
    tell(shop, rule ? "POST" : "DELETE", "/faults", rule);
}

void test_shop_forget(struct test_shop *shop)
{
    tell(shop, "DELETE", "/requests", NULL);
}

json_t *test_shop_requests(struct test_shop *shop)
{
    return test_shop_ask(shop, "GET", "/requests", NULL);
}

int test_shop_request_count(struct test_shop *shop)
{
    json_t *requests = test_shop_requests(shop);
    int count = (int)json_array_size(requests);

    json_decref(requests);
    return count;
}
