#include "common/base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "common/base/mem.h"

void ls_sha256(const void *bytes, size_t length, unsigned char out[LS_SHA256_SIZE])
{
    ls_assert(EVP_Digest(bytes, length, out, NULL, EVP_sha256(), NULL) == 1);
}

const char *ls_sha256_hex(const void *bytes, size_t length, char out[LS_SHA256_HEX_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[LS_SHA256_SIZE];

    ls_sha256(bytes, length, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[2 * sizeof digest] = '\0';
    return out;
}

static void hmac(const EVP_MD *md, const void *key, size_t key_length, const void *bytes,
                 size_t length, unsigned char *out)
{
    unsigned int size = 0;

    ls_assert(HMAC(md, key, (int)key_length, bytes, length, out, &size) != NULL);
}

void ls_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                    unsigned char out[32])
{
    hmac(EVP_sha256(), key, key_length, bytes, length, out);
}

void ls_hmac_sha1(const void *key, size_t key_length, const void *bytes, size_t length,
                  unsigned char out[20])
{
    hmac(EVP_sha1(), key, key_length, bytes, length, out);
}

char *ls_base64(const void *bytes, size_t length)
{
    char *text = ls_xcalloc(4 * ((length + 2) / 3) + 1, 1);

    EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
    return text;
}

unsigned char *ls_base64_decode(const char *text, size_t text_length, size_t *length)
{
    unsigned char *bytes;
    int decoded;

    if (text_length % 4 != 0)
        return NULL;
    bytes = ls_xcalloc(text_length / 4 * 3 + 1, 1);
    decoded = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)text_length);
    if (decoded < 0) {
        free(bytes);
        return NULL;
    }
    *length = (size_t)decoded;
    if (text_length && text[text_length - 1] == '=')
        (*length)--;
    if (text_length > 1 && text[text_length - 2] == '=')
        (*length)--;
    return bytes;
}

bool ls_equal_secret(const void *a, size_t a_length, const void *b, size_t b_length)
{
    return a_length == b_length && CRYPTO_memcmp(a, b, a_length) == 0;
}

uint64_t ls_fnv1a(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}
