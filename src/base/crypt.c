#include "base/crypt.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <string.h>

static const char prime_hex[] = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
                                "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
                                "4FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563";

static BIGNUM *prime, *prime_minus_1, *generator;
static BN_MONT_CTX *mont;
static EVP_CIPHER *rc4_cipher;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    BN_CTX *ctx = BN_CTX_new();
    generator = BN_new();
    mont = BN_MONT_CTX_new();
    bool ok = ctx && generator && mont && BN_hex2bn(&prime, prime_hex) &&
              BN_set_word(generator, 2) && (prime_minus_1 = BN_dup(prime)) &&
              BN_sub_word(prime_minus_1, 1) && BN_MONT_CTX_set(mont, prime, ctx);
    SK_ASSERT(ok);
    BN_CTX_free(ctx);
    /* A library context of its own, so that the host program's default one is left as it is. */
    OSSL_LIB_CTX *lib = OSSL_LIB_CTX_new();
    if (lib && OSSL_PROVIDER_load(lib, "legacy"))
        rc4_cipher = EVP_CIPHER_fetch(lib, "RC4", NULL);
}

static int power(const BIGNUM *base, const uint8_t private_key[SK_DH_PRIVATE_SIZE],
                 uint8_t ret_result[SK_DH_SIZE])
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *exponent = BN_bin2bn(private_key, SK_DH_PRIVATE_SIZE, NULL);
    BIGNUM *result = BN_new();
    bool ok =
        ctx && exponent && result && BN_mod_exp_mont(result, base, exponent, prime, ctx, mont);
    if (ok)
        BN_bn2binpad(result, ret_result, SK_DH_SIZE);
    BN_free(result);
    BN_clear_free(exponent);
    BN_CTX_free(ctx);
    return ok ? 0 : SKEP_ERR_NOMEM;
}

int sk_dh_public(const uint8_t private_key[SK_DH_PRIVATE_SIZE], uint8_t ret_public[SK_DH_SIZE])
{
    pthread_once(&once, load);
    return power(generator, private_key, ret_public);
}

int sk_dh_secret(const uint8_t private_key[SK_DH_PRIVATE_SIZE], const uint8_t theirs[SK_DH_SIZE],
                 uint8_t ret_secret[SK_DH_SIZE])
{
    pthread_once(&once, load);
    BIGNUM *base = BN_bin2bn(theirs, SK_DH_SIZE, NULL);
    if (!base)
        return SKEP_ERR_NOMEM;
    int err = SKEP_ERR_MALFORMED;
    if (!BN_is_zero(base) && !BN_is_one(base) && BN_cmp(base, prime_minus_1) < 0)
        err = power(base, private_key, ret_secret);
    BN_free(base);
    return err;
}

struct sk_rc4 {
    EVP_CIPHER_CTX *ctx;
};

int sk_rc4_available(void)
{
    pthread_once(&once, load);
    return rc4_cipher != NULL;
}

int sk_rc4_new(const uint8_t key[20], struct sk_rc4 **ret_rc4)
{
    if (!sk_rc4_available())
        return SKEP_ERR_CRYPTO;
    struct sk_rc4 *rc4 = sk_mem_alloc(sizeof *rc4);
    if (!rc4)
        return SKEP_ERR_NOMEM;
    rc4->ctx = EVP_CIPHER_CTX_new();
    if (!rc4->ctx || EVP_EncryptInit_ex2(rc4->ctx, rc4_cipher, NULL, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_set_key_length(rc4->ctx, 20) != 1 ||
        EVP_EncryptInit_ex2(rc4->ctx, NULL, key, NULL, NULL) != 1) {
        sk_rc4_free(rc4);
        return SKEP_ERR_NOMEM;
    }
    uint8_t drop[1024] = {0};
    sk_rc4_apply(rc4, drop, sizeof drop);
    *ret_rc4 = rc4;
    return 0;
}

void sk_rc4_free(struct sk_rc4 *rc4)
{
    if (!rc4)
        return;
    EVP_CIPHER_CTX_free(rc4->ctx);
    sk_mem_free(rc4);
}

void sk_rc4_apply(struct sk_rc4 *rc4, uint8_t *p, size_t n)
{
    SK_ASSERT(n <= INT_MAX);
    int written;
    if (n)
        SK_ASSERT(EVP_EncryptUpdate(rc4->ctx, p, &written, p, (int)n) == 1);
}
