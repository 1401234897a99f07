#include "base/hash.h"

#include "base/assert.h"
#include "base/mem.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

void sk_sha1(const void *p, size_t n, uint8_t ret_digest[SK_SHA1_SIZE])
{
    SHA1(p, n, ret_digest);
}

/*
 * The low-level calls need no allocation, so they cannot fail, and for a pair of digests they take
 * a fifth of the time of OpenSSL 3's one-shot functions, which look the algorithm up anew.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

void sk_sha256(const void *p, size_t n, uint8_t ret_digest[SK_SHA256_SIZE])
{
    SHA256_CTX ctx;
    SHA256_Init(&ctx);
    SHA256_Update(&ctx, p, n);
    SHA256_Final(ret_digest, &ctx);
}

void sk_sha1_parts(const struct sk_bytes *parts, size_t count, uint8_t ret_digest[SK_SHA1_SIZE])
{
    SHA_CTX ctx;
    SHA1_Init(&ctx);
    for (size_t i = 0; i < count; i++)
        SHA1_Update(&ctx, parts[i].p, parts[i].n);
    SHA1_Final(ret_digest, &ctx);
}

#pragma GCC diagnostic pop

void sk_sha256_pair(const uint8_t left[SK_SHA256_SIZE], const uint8_t right[SK_SHA256_SIZE],
                    uint8_t ret_digest[SK_SHA256_SIZE])
{
    uint8_t both[2 * SK_SHA256_SIZE];
    memcpy(both, left, SK_SHA256_SIZE);
    memcpy(both + SK_SHA256_SIZE, right, SK_SHA256_SIZE);
    sk_sha256(both, sizeof both, ret_digest);
}

struct sk_hasher {
    EVP_MD_CTX *ctx;
    const EVP_MD *md;
};

struct sk_hasher *sk_hasher_new(enum sk_hash_kind kind)
{
    struct sk_hasher *hasher = sk_mem_alloc(sizeof *hasher);
    if (!hasher)
        return NULL;
    hasher->md = kind == SK_HASH_SHA1 ? EVP_sha1() : EVP_sha256();
    hasher->ctx = EVP_MD_CTX_new();
    if (!hasher->ctx || EVP_DigestInit_ex(hasher->ctx, hasher->md, NULL) != 1) {
        sk_hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

void sk_hasher_update(struct sk_hasher *hasher, const void *p, size_t n)
{
    SK_ASSERT(EVP_DigestUpdate(hasher->ctx, p, n) == 1);
}

void sk_hasher_final(struct sk_hasher *hasher, uint8_t *ret_digest)
{
    SK_ASSERT(EVP_DigestFinal_ex(hasher->ctx, ret_digest, NULL) == 1);
    SK_ASSERT(EVP_DigestInit_ex(hasher->ctx, hasher->md, NULL) == 1);
}

void sk_hasher_free(struct sk_hasher *hasher)
{
    if (!hasher)
        return;
    EVP_MD_CTX_free(hasher->ctx);
    sk_mem_free(hasher);
}
