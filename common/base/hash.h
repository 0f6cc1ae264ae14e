/* Digests by OpenSSL and a fast non-cryptographic hash for tables. */
#ifndef LS_BASE_HASH_H
#define LS_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LS_SHA256_SIZE 32
#define LS_SHA256_HEX_SIZE 65

void ls_sha256(const void *bytes, size_t length, unsigned char out[LS_SHA256_SIZE]);
/* Lower-case hex and a NUL. */
const char *ls_sha256_hex(const void *bytes, size_t length, char out[LS_SHA256_HEX_SIZE]);
/* HMAC-SHA256 and HMAC-SHA1; out holds 32 or 20 bytes. */
void ls_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                    unsigned char out[32]);
void ls_hmac_sha1(const void *key, size_t key_length, const void *bytes, size_t length,
                  unsigned char out[20]);
/* Base64 with padding; returns a string that the caller frees. */
char *ls_base64(const void *bytes, size_t length);
/* The bytes behind strict base64 (padding required); NULL when it is not. The caller frees; *length is set. */
unsigned char *ls_base64_decode(const char *text, size_t text_length, size_t *length);
/* Constant time in length; false when the lengths differ. */
bool ls_equal_secret(const void *a, size_t a_length, const void *b, size_t b_length);
/* FNV-1a: for hash tables and jitter, never for anything a stranger may choose to collide. */
uint64_t ls_fnv1a(const void *bytes, size_t length);

#endif
