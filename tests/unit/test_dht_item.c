/* wire/dht_item and base/sign: the test vectors of BEP 44 and RFC 8032, and what is no signature.
 */
#include "wire/dht_item.h"

#include <skep/err.h>

#include "base/assert.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

static void from_hex(const char *hex, uint8_t *ret_bytes, size_t n)
{
    assert_true(sk_hex_decode(hex, strlen(hex), ret_bytes, n));
}

static void expect_hex(const uint8_t *bytes, size_t n, const char *hex)
{
    char text[2 * SK_SIGN_SIZE + 1];
    sk_hex_encode(bytes, n, text);
    assert_string_equal(text, hex);
}

/* RFC 8032, section 7.1, tests 1 to 3: from a seed. */
static void signatures_of_the_standard(void **state)
{
    static const struct {
        const char *seed, *key, *message, *signature;
    } cases[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "cf9"
         "b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "r",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0f1"
         "1d8c387b2eaeb4302aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "\xaf\x82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
         "84d"
         "c6594a7c15e9716ed28dc027beceea1ec40a"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        uint8_t seed[SK_SIGN_SEED_SIZE], key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE];
        struct sk_bytes message = sk_bytes_text(cases[i].message);
        from_hex(cases[i].seed, seed, sizeof seed);
        assert_int_equal(sk_sign_public(seed, key), 0);
        expect_hex(key, sizeof key, cases[i].key);
        assert_int_equal(sk_sign(seed, message, signature), 0);
        expect_hex(signature, sizeof signature, cases[i].signature);
        assert_true(sk_sign_verify(key, message, signature));
    }
}

#define KEY "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548"
#define PLAIN_TARGET "4a533d47ec9c7d95b1ad75f576cffc641853b750"
#define SALTED_TARGET "411eba73b6f087ca51a3795d9c8c938d365e32c1"

static const struct {
    const char *salt, *target, *signature;
} vectors[] = {
    {"", PLAIN_TARGET,
     "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd1"
     "36e6f4f3ecbfda0ce53a1608ecd7ae21f01"},
    {"foobar", SALTED_TARGET,
     "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb"
     "896fca78c58f8e03b5f18f14951a87d9a08"},
};

static void mutable_vectors_of_the_specification(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(vectors); i++) {
        uint8_t key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE], target[SK_DHT_ID_SIZE];
        struct sk_dht_item item = {.value = sk_bytes_text("12:Hello World!"),
                                   .key = key,
                                   .signature = signature,
                                   .salt = sk_bytes_text(vectors[i].salt),
                                   .seq = 1};
        from_hex(KEY, key, sizeof key);
        from_hex(vectors[i].signature, signature, sizeof signature);
        sk_dht_item_target(&item, target);
        expect_hex(target, sizeof target, vectors[i].target);
        sk_dht_item_target_mutable(key, item.salt, target);
        expect_hex(target, sizeof target, vectors[i].target);
        assert_true(sk_dht_item_verify(&item, target));
    }
}

static void immutable_vector_of_the_specification(void **state)
{
    struct sk_dht_item item = {.value = sk_bytes_text("12:Hello World!")};
    uint8_t target[SK_DHT_ID_SIZE];
    sk_dht_item_target(&item, target);
    expect_hex(target, sizeof target, "e5f96f6f38320f0f33959cb4d3d656452117aadb");
    assert_true(sk_dht_item_verify(&item, target));
    target[19] ^= 1;
    assert_false(sk_dht_item_verify(&item, target));
    item.salt = sk_bytes_text("ignored");
    target[19] ^= 1;
    assert_true(sk_dht_item_verify(&item, target));
    item.value.n = 0;
    assert_false(sk_dht_item_verify(&item, target));
}

/* Test vectors of BEP 46, "magnet to target ID". */
static void targets_of_torrent_pointers(void **state)
{
    uint8_t key[SK_SIGN_PUBLIC_SIZE], target[SK_DHT_ID_SIZE];
    from_hex("8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e", key, sizeof key);
    sk_dht_item_target_mutable(key, sk_bytes(NULL, 0), target);
    expect_hex(target, sizeof target, "cc3f9d90b572172053626f9980ce261a850d050b");
    sk_dht_item_target_mutable(key, sk_bytes("\x6e", 1), target);
    expect_hex(target, sizeof target, "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f");
}

struct signed_item {
    uint8_t key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE], target[SK_DHT_ID_SIZE];
    struct sk_dht_item item;
};

static const uint8_t seed[SK_SIGN_SEED_SIZE] = {1, 2, 3};

static void sign_item(struct signed_item *ret_item, const char *salt, int64_t seq,
                      const char *value)
{
    ret_item->item = (struct sk_dht_item){.value = sk_bytes_text(value),
                                          .key = ret_item->key,
                                          .signature = ret_item->signature,
                                          .salt = sk_bytes_text(salt),
                                          .seq = seq};
    assert_int_equal(sk_sign_public(seed, ret_item->key), 0);
    assert_int_equal(
        sk_dht_item_sign(seed, ret_item->item.salt, seq, ret_item->item.value, ret_item->signature),
        0);
    sk_dht_item_target(&ret_item->item, ret_item->target);
    assert_true(sk_dht_item_verify(&ret_item->item, ret_item->target));
}

/* Each bit of signature, key and target counts, and each part of what is signed. */
static void nothing_can_be_changed(void **state)
{
    struct signed_item made;
    sign_item(&made, "salt", 7, "5:value");
    struct sk_dht_item item = made.item;
    for (size_t i = 0; i < 8 * sizeof made.signature; i++) {
        made.signature[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(sk_dht_item_verify(&item, made.target));
        made.signature[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t i = 0; i < 8 * sizeof made.key; i++) {
        uint8_t target[SK_DHT_ID_SIZE];
        made.key[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(sk_dht_item_verify(&item, made.target));
        sk_dht_item_target(&item, target); /* nor under the target of that key */
        assert_false(sk_dht_item_verify(&item, target));
        made.key[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t i = 0; i < 8 * sizeof made.target; i++) {
        made.target[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(sk_dht_item_verify(&item, made.target));
        made.target[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    item.seq = 8;
    assert_false(sk_dht_item_verify(&item, made.target));
    item = made.item;
    item.value = sk_bytes_text("5:Value");
    assert_false(sk_dht_item_verify(&item, made.target));
    item = made.item;
    item.signature = NULL;
    assert_false(sk_dht_item_verify(&item, made.target));
    assert_true(sk_dht_item_verify(&made.item, made.target));
}

/* A salt that looks like what follows it does not sign another item. */
static void a_salt_cannot_take_the_place_of_a_seq(void **state)
{
    struct signed_item made;
    uint8_t target[SK_DHT_ID_SIZE];
    sign_item(&made, "3:seqi9e1:v", 1, "1:x");
    struct sk_dht_item item = made.item;
    item.salt = sk_bytes(NULL, 0);
    item.seq = 9;
    sk_dht_item_target(&item, target);
    assert_false(sk_dht_item_verify(&item, target));
    /* An empty salt is none. */
    sign_item(&made, "", 1, "1:x");
    item = made.item;
    item.salt = sk_bytes(NULL, 0);
    assert_true(sk_dht_item_verify(&item, made.target));
}

static void bounds(void **state)
{
    char value[SK_KRPC_ITEM_MAX + 2], salt[SK_KRPC_SALT_MAX + 2];
    uint8_t signature[SK_SIGN_SIZE] = {5}, target[SK_DHT_ID_SIZE];
    struct signed_item made;
    snprintf(salt, sizeof salt, "%0*d", SK_KRPC_SALT_MAX + 1, 0);
    snprintf(value, sizeof value, "%d:%0*d", SK_KRPC_ITEM_MAX - 3, SK_KRPC_ITEM_MAX - 3, 0);
    struct sk_bytes large = sk_bytes(value, SK_KRPC_ITEM_MAX + 1);
    struct sk_bytes small = sk_bytes_text("1:x"), long_salt = sk_bytes_text(salt);
    assert_int_equal(sk_dht_item_sign(seed, small, 1, large, signature), SKEP_ERR_INVALID);
    assert_int_equal(sk_dht_item_sign(seed, long_salt, 1, small, signature), SKEP_ERR_INVALID);
    assert_int_equal(sk_dht_item_sign(seed, small, 1, sk_bytes(NULL, 0), signature),
                     SKEP_ERR_INVALID);
    assert_int_equal(signature[0], 5);
    struct sk_dht_item item = {.value = large};
    sk_dht_item_target(&item, target);
    assert_false(sk_dht_item_verify(&item, target)); /* immutable, too */
    /* All that may be long at once, at both ends of seq. */
    salt[SK_KRPC_SALT_MAX] = 0;
    snprintf(value, sizeof value, "%d:%0*d", SK_KRPC_ITEM_MAX - 4, SK_KRPC_ITEM_MAX - 4, 0);
    assert_int_equal(strlen(value), SK_KRPC_ITEM_MAX);
    sign_item(&made, salt, INT64_MAX, value);
    sign_item(&made, salt, INT64_MIN, value);
    item = made.item;
    item.salt = long_salt;
    item.salt.n = SK_KRPC_SALT_MAX + 1;
    sk_dht_item_target(&item, target);
    assert_false(sk_dht_item_verify(&item, target));
}

/* Keys that are no point of the curve, or points that any signature would fit: nothing is believed,
 * and OpenSSL's error queue, which is the host program's, is left as it was. */
static void keys_that_are_none(void **state)
{
    static const char *const keys[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0200000000000000000000000000000000000000000000000000000000000000",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    uint8_t key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE] = {7};
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, 77);
    for (size_t i = 0; i < SK_ARRAY_LEN(keys); i++) {
        from_hex(keys[i], key, sizeof key);
        assert_false(sk_sign_verify(key, sk_bytes_text("message"), signature));
    }
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), 77);
    assert_int_equal(ERR_get_error(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_of_the_standard),
        cmocka_unit_test(mutable_vectors_of_the_specification),
        cmocka_unit_test(immutable_vector_of_the_specification),
        cmocka_unit_test(targets_of_torrent_pointers),
        cmocka_unit_test(nothing_can_be_changed),
        cmocka_unit_test(a_salt_cannot_take_the_place_of_a_seq),
        cmocka_unit_test(bounds),
        cmocka_unit_test(keys_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
