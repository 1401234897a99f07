/*
 * SHA-1 and SHA-256, and the cipher and key agreement of stream encryption, through OpenSSL.
 */
#ifndef SK_BASE_HASH_H
#define SK_BASE_HASH_H

#include "base/bytes.h"

#define SK_SHA1_SIZE 20
#define SK_SHA256_SIZE 32

void sk_sha1(const void *p, size_t n, uint8_t ret_digest[SK_SHA1_SIZE]);
void sk_sha256(const void *p, size_t n, uint8_t ret_digest[SK_SHA256_SIZE]);
/* The digest of several views one after the other. */
void sk_sha1_parts(const struct sk_bytes *parts, size_t count, uint8_t ret_digest[SK_SHA1_SIZE]);
/* SHA-256 of a left and a right child: a step up in a BEP 52 tree. */
void sk_sha256_pair(const uint8_t left[SK_SHA256_SIZE], const uint8_t right[SK_SHA256_SIZE],
                    uint8_t ret_digest[SK_SHA256_SIZE]);

/* A digest over data that arrives in parts. Owned; NULL on no memory. */
struct sk_hasher;
enum sk_hash_kind { SK_HASH_SHA1, SK_HASH_SHA256 };
struct sk_hasher *sk_hasher_new(enum sk_hash_kind kind);
void sk_hasher_update(struct sk_hasher *hasher, const void *p, size_t n);
/* Writes the digest (20 or 32 bytes) and makes the hasher ready for the next message. */
void sk_hasher_final(struct sk_hasher *hasher, uint8_t *ret_digest);
void sk_hasher_free(struct sk_hasher *hasher);

#endif
