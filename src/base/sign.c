#include "base/sign.h"

#include <skep/err.h>

#include <openssl/err.h>
#include <openssl/evp.h>

/* What OpenSSL complains of is told by our own errors; its queue belongs to the host program. */
static int failed(void)
{
    ERR_pop_to_mark();
    return SKEP_ERR_CRYPTO;
}

int sk_sign_public(const uint8_t seed[SK_SIGN_SEED_SIZE], uint8_t ret_public[SK_SIGN_PUBLIC_SIZE])
{
    ERR_set_mark();
    EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SK_SIGN_SEED_SIZE);
    uint8_t key[SK_SIGN_PUBLIC_SIZE];
    size_t n = sizeof key;
    bool ok = pair && EVP_PKEY_get_raw_public_key(pair, key, &n) == 1;
    EVP_PKEY_free(pair);
    if (!ok)
        return failed();
    memcpy(ret_public, key, sizeof key);
    ERR_pop_to_mark();
    return 0;
}

int sk_sign(const uint8_t seed[SK_SIGN_SEED_SIZE], struct sk_bytes message,
            uint8_t ret_signature[SK_SIGN_SIZE])
{
    ERR_set_mark();
    EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SK_SIGN_SEED_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[SK_SIGN_SIZE];
    size_t n = sizeof signature;
    bool ok = pair && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pair) == 1 &&
              EVP_DigestSign(ctx, signature, &n, message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pair);
    if (!ok)
        return failed();
    memcpy(ret_signature, signature, sizeof signature);
    ERR_pop_to_mark();
    return 0;
}

bool sk_sign_verify(const uint8_t public_key[SK_SIGN_PUBLIC_SIZE], struct sk_bytes message,
                    const uint8_t signature[SK_SIGN_SIZE])
{
    ERR_set_mark();
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, SK_SIGN_PUBLIC_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(ctx, signature, SK_SIGN_SIZE, message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_pop_to_mark();
    return ok;
}
