/* Hashes of message stream encryption, against digests that another implementation of SHA-1 gave.
 */
#include "wire/mse.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t secret[SK_DH_SIZE], info_hash[20];

static void check(const uint8_t digest[SK_SHA1_SIZE], const char *hex)
{
    char got[2 * SK_SHA1_SIZE + 1];
    sk_hex_encode(digest, SK_SHA1_SIZE, got);
    assert_string_equal(got, hex);
}

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)i;
    memset(info_hash, 0xaa, sizeof info_hash);
    return 0;
}

static void test_hashes(void **state)
{
    uint8_t digest[SK_SHA1_SIZE];
    sk_mse_hash_req1(secret, digest);
    check(digest, "ed37476cccf63496894d66db14b9806c8c9efe3e");
    sk_mse_hash_req2(info_hash, digest);
    check(digest, "c9b0599dfa950cfbde978efc6aa0588f510fa315");
    sk_mse_hash_req3(secret, digest);
    check(digest, "4986fc7b9cb37334e5ab5c3034812fdbc7cd8573");
}

static void test_keys(void **state)
{
    uint8_t key[SK_SHA1_SIZE];
    sk_mse_key(true, secret, info_hash, key);
    check(key, "811e2f709105c70039156d2268cc6908c2a6faba");
    sk_mse_key(false, secret, info_hash, key);
    check(key, "4573f8ad56b1b961da3ff7e156a8bb0389b52fba");
}

/* What one side encrypts with its key the other reads with the same. */
static void test_stream(void **state)
{
    uint8_t key[SK_SHA1_SIZE], text[] = "a stream of bytes";
    struct sk_rc4 *out = NULL, *in = NULL;
    sk_mse_key(true, secret, info_hash, key);
    assert_int_equal(sk_rc4_new(key, &out), 0);
    assert_int_equal(sk_rc4_new(key, &in), 0);
    sk_rc4_apply(out, text, sizeof text);
    assert_memory_not_equal(text, "a stream of bytes", sizeof text);
    sk_rc4_apply(in, text, 5);
    sk_rc4_apply(in, text + 5, sizeof text - 5);
    assert_memory_equal(text, "a stream of bytes", sizeof text);
    sk_rc4_free(out);
    sk_rc4_free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_stream),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
