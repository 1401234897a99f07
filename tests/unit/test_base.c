/* base: bytes, hex, map, heap, endpoints, text, bitfields, buckets, hashes, crypt and the
 * generator. */
#include <skep/err.h>

#include "base/assert.h"
#include "base/bitfield.h"
#include "base/bucket.h"
#include "base/bytes.h"
#include "base/crypt.h"
#include "base/endpoint.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/siphash.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

static void bytes_compare(void **state)
{
    static const struct {
        const char *a, *b;
        int order;
    } cases[] = {{"", "", 0},   {"", "a", -1},   {"a", "", 1},        {"a", "b", -1},
                 {"b", "a", 1}, {"a", "aa", -1}, {"\x80", "\x7f", 1}, {"abc", "abc", 0}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        int order = sk_bytes_compare(sk_bytes_text(cases[i].a), sk_bytes_text(cases[i].b));
        assert_int_equal((order > 0) - (order < 0), cases[i].order);
    }
    assert_int_equal(sk_bytes_compare(sk_bytes(NULL, 0), sk_bytes(NULL, 0)), 0);
    assert_true(sk_bytes_equal(sk_bytes(NULL, 0), sk_bytes("", 0)));
}

static void integers_are_big_endian(void **state)
{
    uint8_t p[8];
    sk_put_u64(p, 0x0102030405060708u);
    assert_int_equal(p[0], 1);
    assert_int_equal(sk_get_u16(p + 6), 0x0708);
    assert_int_equal(sk_get_u32(p + 4), 0x05060708);
    assert_true(sk_get_u64(p) == 0x0102030405060708u);
    sk_put_u32(p, 0xfffefdfcu);
    assert_true(sk_get_u32(p) == 0xfffefdfcu);
}

static void buffers_grow_to_their_limit(void **state)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 100);
    for (int i = 0; i < 10; i++)
        assert_int_equal(sk_buf_append(&buf, "0123456789", 10), 0);
    assert_int_equal(sk_buf_append(&buf, "x", 1), SKEP_ERR_LIMIT);
    assert_true(buf.failed);
    assert_int_equal(buf.n, 100);
    /* Once it failed nothing is taken any more, so that looking once is enough. */
    sk_buf_consume(&buf, 95);
    assert_true(sk_buf_append(&buf, "x", 1) < 0);
    assert_true(sk_bytes_is(sk_buf_bytes(&buf), "56789"));
    sk_buf_deinit(&buf);
    assert_int_equal(sk_buf_printf(&buf, "%d-%s", 7, "x"), 0);
    assert_true(sk_bytes_is(sk_buf_bytes(&buf), "7-x"));
    sk_buf_consume(&buf, 3);
    sk_buf_trim(&buf);
    assert_null(buf.p);
    assert_int_equal(sk_buf_append(&buf, NULL, 0), 0);
    sk_buf_deinit(&buf);
}

static void hex(void **state)
{
    uint8_t bytes[3] = {9, 9, 9};
    char text[7];
    assert_true(sk_hex_decode("00fFa5", 6, bytes, 3));
    sk_hex_encode(bytes, 3, text);
    assert_string_equal(text, "00ffa5");
    static const char *const bad[] = {"", "00ffa", "00ffa5a", "00ffag", "00ff a", "0x00ff"};
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++)
        assert_false(sk_hex_decode(bad[i], strlen(bad[i]), bytes, 3));
    assert_int_equal(bytes[1], 0xff);
}

enum { KEYS = 5000 };

/* The map does as an array does, through growth, replacing and removing in any order. */
static void map_against_an_array(void **state)
{
    static char values[2];
    void *model[KEYS] = {0};
    size_t count = 0;
    struct sk_map map;
    struct sk_prng prng;
    sk_prng_init(&prng, 5);
    sk_map_init(&map, sizeof(uint32_t), KEYS, 99);
    for (int i = 0; i < 40000; i++) {
        uint32_t key = (uint32_t)sk_prng_below(&prng, KEYS);
        uint64_t what = sk_prng_below(&prng, 3);
        assert_ptr_equal(sk_map_get(&map, &key), model[key]);
        if (what == 0) {
            assert_ptr_equal(sk_map_remove(&map, &key), model[key]);
            count -= model[key] != NULL;
            model[key] = NULL;
        } else {
            assert_int_equal(sk_map_put(&map, &key, &values[what - 1]), 0);
            count += model[key] == NULL;
            model[key] = &values[what - 1];
        }
        assert_int_equal(map.count, count);
    }
    size_t pos = 0, walked = 0;
    while (sk_map_next(&map, &pos))
        walked++;
    assert_int_equal(walked, count);
    for (uint32_t key = 0; key < KEYS; key++)
        assert_ptr_equal(sk_map_get(&map, &key), model[key]);
    sk_map_deinit(&map);
}

static void map_has_a_limit(void **state)
{
    struct sk_map map;
    uint8_t key[20] = {0};
    sk_map_init(&map, sizeof key, 3, 1);
    assert_null(sk_map_get(&map, key));
    assert_null(sk_map_remove(&map, key));
    for (key[19] = 0; key[19] < 3; key[19]++)
        assert_int_equal(sk_map_put(&map, key, key), 0);
    assert_int_equal(sk_map_put(&map, key, key), SKEP_ERR_LIMIT);
    key[19] = 1;
    assert_int_equal(sk_map_put(&map, key, &map), 0);
    assert_ptr_equal(sk_map_get(&map, key), &map);
    sk_map_deinit(&map);
}

/* Removing from a run that wraps around the table's end leaves every other key findable. */
static void map_removal_in_full_clusters(void **state)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sk_map map;
        sk_map_init(&map, 1, 12, seed);
        for (uint8_t key = 0; key < 12; key++) /* 12 of 16 slots: as full as it gets */
            assert_int_equal(sk_map_put(&map, &key, &map), 0);
        for (uint8_t gone = 0; gone < 12; gone++) {
            assert_ptr_equal(sk_map_remove(&map, &gone), &map);
            for (uint8_t key = 0; key < 12; key++)
                assert_int_equal(sk_map_get(&map, &key) != NULL, key > gone);
        }
        sk_map_deinit(&map);
    }
}

static void heap_sorts(void **state)
{
    enum { TIMERS = 500 };
    struct sk_heap heap = {0};
    struct sk_timer timers[TIMERS] = {0};
    struct sk_prng prng;
    sk_prng_init(&prng, 3);
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < TIMERS; i++)
            assert_int_equal(sk_heap_set(&heap, &timers[i], sk_prng_below(&prng, 1000)), 0);
    assert_int_equal(heap.count, TIMERS);
    for (int i = 0; i < TIMERS; i += 3)
        sk_heap_remove(&heap, &timers[i]);
    for (int i = 1; i < TIMERS; i += 3)
        assert_int_equal(sk_heap_set(&heap, &timers[i], SK_TIME_NEVER), 0);
    sk_heap_remove(&heap, &timers[0]);
    uint64_t last = 0;
    size_t count = 0;
    for (struct sk_timer *timer; (timer = sk_heap_first(&heap)); count++) {
        assert_true(timer->at_ns >= last);
        last = timer->at_ns;
        sk_heap_remove(&heap, timer);
        assert_int_equal(timer->slot, 0);
    }
    assert_int_equal(count, TIMERS / 3);
    assert_int_equal(sk_heap_set(&heap, &timers[0], 1), 0);
    sk_heap_deinit(&heap);
    assert_int_equal(timers[0].slot, 0);
}

static void endpoints_as_text(void **state)
{
    static const struct {
        const char *text, *back;
        uint16_t otherwise;
    } cases[] = {
        {"1.2.3.4:5", "1.2.3.4:5", 0},           {"[::1]:65535", "[::1]:65535", 0},
        {"1.2.3.4", "1.2.3.4:80", 80},           {"[2001:DB8::1]", "[2001:db8::1]:80", 80},
        {"2001:db8::1", "[2001:db8::1]:80", 80}, {"[::ffff:10.0.0.1]:7", "10.0.0.1:7", 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_endpoint endpoint;
        char text[SK_ENDPOINT_TEXT_MAX];
        assert_int_equal(sk_endpoint_parse(cases[i].text, cases[i].otherwise, &endpoint), 0);
        assert_string_equal(sk_endpoint_text(&endpoint, text), cases[i].back);
    }
    static const char *const bad[] = {
        "",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:1x",
        "host:80",
        "[1.2.3.4]:80",
        "[::1",
        "[::1]x:1",
        "::1:80",
        "1.2.3.4.5:80",
        "[]:1",
        ":80",
        "1.2.3.4:000001",
        "1.2.3.4 :80",
        "111111111111111111111111111111111111111111111111111111111111111111:1",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        struct sk_endpoint endpoint;
        if (sk_endpoint_parse(bad[i], 0, &endpoint) != SKEP_ERR_INVALID)
            fail_msg("%s", bad[i]);
    }
}

static void endpoints_as_sockaddr(void **state)
{
    static const char *const texts[] = {"192.0.2.1:6881", "[2001:db8::2]:1"};
    for (size_t i = 0; i < SK_ARRAY_LEN(texts); i++) {
        struct sk_endpoint a, b;
        struct sockaddr_storage storage;
        assert_int_equal(sk_endpoint_parse(texts[i], 0, &a), 0);
        assert_true(sk_endpoint_to_sockaddr(&a, &storage) > 0);
        assert_int_equal(sk_endpoint_from_sockaddr((struct sockaddr *)&storage, &b), 0);
        assert_true(sk_endpoint_equal(&a, &b));
        assert_true(sk_endpoint_hash(&a, 1) == sk_endpoint_hash(&b, 1));
        assert_int_equal(sk_endpoint_compare(&a, &b), 0);
        b.port++;
        assert_true(sk_endpoint_same_ip(&a, &b));
        assert_false(sk_endpoint_equal(&a, &b));
        assert_true(sk_endpoint_compare(&a, &b) < 0);
    }
    struct sockaddr unix_address = {.sa_family = AF_UNIX};
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_from_sockaddr(&unix_address, &endpoint), SKEP_ERR_UNSUPPORTED);
}

static void scopes(void **state)
{
    static const struct {
        const char *ip;
        enum sk_scope scope;
    } cases[] = {
        {"127.0.0.1", SK_SCOPE_LOOPBACK},
        {"127.9.9.9", SK_SCOPE_LOOPBACK},
        {"::1", SK_SCOPE_LOOPBACK},
        {"10.1.2.3", SK_SCOPE_PRIVATE},
        {"172.16.0.1", SK_SCOPE_PRIVATE},
        {"172.31.255.255", SK_SCOPE_PRIVATE},
        {"172.32.0.1", SK_SCOPE_PUBLIC},
        {"192.168.1.1", SK_SCOPE_PRIVATE},
        {"169.254.1.1", SK_SCOPE_PRIVATE},
        {"100.64.0.1", SK_SCOPE_PRIVATE},
        {"100.128.0.1", SK_SCOPE_PUBLIC},
        {"fe80::1", SK_SCOPE_PRIVATE},
        {"fd00::1", SK_SCOPE_PRIVATE},
        {"2001:db8::1", SK_SCOPE_PUBLIC},
        {"0.0.0.0", SK_SCOPE_UNUSABLE},
        {"224.0.0.1", SK_SCOPE_UNUSABLE},
        {"255.255.255.255", SK_SCOPE_UNUSABLE},
        {"::", SK_SCOPE_UNUSABLE},
        {"ff02::1", SK_SCOPE_UNUSABLE},
        {"8.8.8.8", SK_SCOPE_PUBLIC},
        {"::ffff:127.0.0.1", SK_SCOPE_LOOPBACK},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_endpoint endpoint;
        assert_int_equal(sk_endpoint_parse(cases[i].ip, 6881, &endpoint), 0);
        if (sk_endpoint_scope(&endpoint) != cases[i].scope)
            fail_msg("%s", cases[i].ip);
        bool narrower = cases[i].scope != SK_SCOPE_PUBLIC;
        assert_int_equal(sk_endpoint_reachable_from(&endpoint, SK_SCOPE_PUBLIC), !narrower);
        assert_int_equal(sk_endpoint_reachable_from(&endpoint, SK_SCOPE_LOOPBACK),
                         cases[i].scope != SK_SCOPE_UNUSABLE);
        endpoint.port = 0;
        assert_false(sk_endpoint_reachable_from(&endpoint, SK_SCOPE_LOOPBACK));
    }
}

/* Terminal escape sequences, bidi controls and broken UTF-8 show as what they are. */
static void text_is_escaped(void **state)
{
    static const char *const cases[][2] = {
        {"plain \xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80",
         "plain \xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80"},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"a\r\nb\tc\x7f", "a\\x0d\\x0ab\\x09c\\x7f"},
        {"\xc2\x9b", "\\u{9b}"},
        {"\xe2\x80\xae"
         "evil",
         "\\u{202e}evil"},
        {"\xe2\x81\xa6\xe2\x81\xa9", "\\u{2066}\\u{2069}"},
        {"\xff\xc0\xaf", "\\xff\\xc0\\xaf"},
        {"back\\slash", "back\\\\slash"},
        {"\xef\xbb\xbf", "\\u{feff}"},
    };
    char text[100];
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        assert_string_equal(sk_text_escape(sk_bytes_text(cases[i][0]), text, sizeof text),
                            cases[i][1]);
    assert_string_equal(sk_text_escape(sk_bytes("a\0b", 3), text, sizeof text), "a\\x00b");
}

/* Cut at a character, with dots, never past the room. */
static void text_is_cut(void **state)
{
    struct sk_bytes bytes = sk_bytes_text("ab\xc3\xa4\x1bxyz\xf0\x9f\x98\x80uvw");
    for (size_t size = 1; size < 40; size++) {
        char *text = malloc(size);
        assert_non_null(text);
        sk_text_escape(bytes, text, size);
        struct sk_bytes shown = sk_bytes_text(text);
        assert_true(shown.n < size);
        assert_true(sk_text_is_utf8(shown));
        if (size > 3 && size <= 18) /* 18 bytes when whole */
            assert_string_equal(text + shown.n - 3, "...");
        free(text);
    }
    char text[6];
    assert_string_equal(sk_text_escape(sk_bytes_text("abcdefgh"), text, 6), "ab...");
    assert_string_equal(sk_text_escape(sk_bytes_text("abcde"), text, 6), "abcde");
}

static void utf8(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe4\xb8",
                                      "\xc3",
                                      "a\xff",
                                      "\xe4\x41\x80"};
    for (size_t i = 0; i < SK_ARRAY_LEN(good); i++)
        assert_true(sk_text_is_utf8(sk_bytes_text(good[i])));
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++)
        if (sk_text_is_utf8(sk_bytes_text(bad[i])))
            fail_msg("number %zu", i);
}

static void bitfields(void **state)
{
    for (uint32_t count = 0; count <= 17; count++) {
        struct sk_bitfield field;
        assert_int_equal(sk_bitfield_init(&field, count), 0);
        for (uint32_t i = 0; i < count; i++) {
            assert_false(sk_bitfield_has(&field, i));
            assert_true(sk_bitfield_add(&field, i));
            assert_false(sk_bitfield_add(&field, i));
            assert_true(sk_bitfield_has(&field, i));
        }
        assert_true(sk_bitfield_full(&field));
        assert_false(sk_bitfield_has(&field, count));
        uint8_t spare = count % 8 ? field.bits[count / 8] : 0;
        sk_bitfield_fill(&field);
        assert_int_equal(field.set, count);
        if (count % 8)
            assert_int_equal(field.bits[count / 8], spare);
        if (count) {
            assert_true(sk_bitfield_drop(&field, count - 1));
            assert_false(sk_bitfield_drop(&field, count - 1));
            assert_false(sk_bitfield_full(&field));
        }
        sk_bitfield_clear(&field);
        assert_int_equal(field.set, 0);
        sk_bitfield_deinit(&field);
    }
}

static void bitfields_of_a_wrong_length_or_with_spare_bits(void **state)
{
    static const uint8_t bits[] = {0x80, 0x30, 0xff};
    struct sk_bitfield field;
    assert_int_equal(sk_bitfield_init(&field, 12), 0);
    assert_int_equal(sk_bitfield_assign(&field, sk_bytes(bits, 1)), SKEP_ERR_MALFORMED);
    assert_int_equal(sk_bitfield_assign(&field, sk_bytes(bits, 3)), SKEP_ERR_MALFORMED);
    assert_int_equal(sk_bitfield_assign(&field, sk_bytes(bits + 1, 2)), SKEP_ERR_MALFORMED);
    assert_int_equal(field.set, 0);
    assert_int_equal(sk_bitfield_assign(&field, sk_bytes(bits, 2)), 0);
    assert_int_equal(field.set, 3);
    assert_true(sk_bitfield_has(&field, 0) && sk_bitfield_has(&field, 11));
    sk_bitfield_deinit(&field);
}

static void expect_hex(const uint8_t *bytes, size_t n, const char *expected)
{
    char text[2 * SK_DH_SIZE + 1];
    sk_hex_encode(bytes, n, text);
    assert_string_equal(text, expected);
}

/* FIPS 180: the digests of "abc". */
static void hashes(void **state)
{
    static const char sha1[] = "a9993e364706816aba3e25717850c26c9cd0d89d";
    static const char sha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    struct sk_bytes parts[] = {sk_bytes("a", 1), sk_bytes(NULL, 0), sk_bytes("bc", 2)};
    uint8_t digest[SK_SHA256_SIZE], pair[2 * SK_SHA256_SIZE], want[SK_SHA256_SIZE];
    sk_sha1("abc", 3, digest);
    expect_hex(digest, SK_SHA1_SIZE, sha1);
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), digest);
    expect_hex(digest, SK_SHA1_SIZE, sha1);
    sk_sha256("abc", 3, digest);
    expect_hex(digest, SK_SHA256_SIZE, sha256);
    for (int kind = SK_HASH_SHA1; kind <= SK_HASH_SHA256; kind++) {
        struct sk_hasher *hasher = sk_hasher_new((enum sk_hash_kind)kind);
        assert_non_null(hasher);
        for (int round = 0; round < 2; round++) {
            sk_hasher_update(hasher, "ab", 2);
            sk_hasher_update(hasher, "c", 1);
            sk_hasher_final(hasher, digest);
            expect_hex(digest, kind == SK_HASH_SHA1 ? SK_SHA1_SIZE : SK_SHA256_SIZE,
                       kind == SK_HASH_SHA1 ? sha1 : sha256);
        }
        sk_hasher_free(hasher);
    }
    for (size_t i = 0; i < sizeof pair; i++)
        pair[i] = (uint8_t)i;
    sk_sha256(pair, sizeof pair, want);
    memcpy(digest, pair, sizeof digest);
    sk_sha256_pair(digest, pair + SK_SHA256_SIZE, digest); /* in place */
    assert_memory_equal(digest, want, sizeof want);
}

/* The stream from byte 1,024 on under the key 01 02 ... 14, from a plain RC4 in Python. */
static void rc4_known_answer(void **state)
{
    uint8_t key[20], stream[16] = {0};
    struct sk_rc4 *rc4;
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i + 1);
    assert_true(sk_rc4_available());
    assert_int_equal(sk_rc4_new(key, &rc4), 0);
    sk_rc4_apply(rc4, stream, 7);
    sk_rc4_apply(rc4, stream + 7, 0);
    sk_rc4_apply(rc4, stream + 7, 9);
    expect_hex(stream, sizeof stream, "d0ef0c6b23f128219c352c15881d52c1");
    sk_rc4_free(rc4);
}

/* 2^private mod P and a shared secret, from Python's integers. */
static void dh_known_answer(void **state)
{
    uint8_t mine[SK_DH_PRIVATE_SIZE], theirs[SK_DH_PRIVATE_SIZE];
    uint8_t my_key[SK_DH_SIZE], their_key[SK_DH_SIZE], secret[SK_DH_SIZE], same[SK_DH_SIZE];
    for (size_t i = 0; i < sizeof mine; i++) {
        mine[i] = (uint8_t)(i + 1);
        theirs[i] = (uint8_t)(0xff - i);
    }
    assert_int_equal(sk_dh_public(mine, my_key), 0);
    expect_hex(my_key, sizeof my_key,
               "96e112dab29e8c5272accb9b17b26887ce54a144a4e3b697c7d159b7a817e556"
               "b0918db2b4c658e02a87f7e5fb14b18a553e084cbf3dad2d30f16596ccb982d4"
               "06258c61b30c5c1dae2ddc60bdbd48d79896312aad63238c39e1a633821eb693");
    assert_int_equal(sk_dh_public(theirs, their_key), 0);
    assert_int_equal(sk_dh_secret(mine, their_key, secret), 0);
    assert_int_equal(sk_dh_secret(theirs, my_key, same), 0);
    assert_memory_equal(secret, same, sizeof secret);
    expect_hex(secret, sizeof secret,
               "ce17231bfc8346c19ee2aef13b8ba9db4fd4cce722698acfcf175df0c1cda51b"
               "d8d8c3239da408d05fe475e31fdc2a5401955a4270c5e5fcb9d8317f0e5c74ba"
               "78325b9d2c6a8bf5dc67465d64d771980757300a65cdaed7bb2172eb594d5171");
}

/* 0, 1, P - 1, P and above: keys that make the secret known to everybody. */
static void degenerate_public_keys(void **state)
{
    static const char prime[] = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74"
                                "020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437"
                                "4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563";
    uint8_t private_key[SK_DH_PRIVATE_SIZE] = {7}, key[SK_DH_SIZE], secret[SK_DH_SIZE] = {1, 2, 3};
    for (int delta = -1; delta <= 1; delta++) {
        assert_true(sk_hex_decode(prime, strlen(prime), key, sizeof key));
        key[SK_DH_SIZE - 1] = (uint8_t)(key[SK_DH_SIZE - 1] + delta);
        assert_int_equal(sk_dh_secret(private_key, key, secret), SKEP_ERR_MALFORMED);
    }
    memset(key, 0xff, sizeof key);
    assert_int_equal(sk_dh_secret(private_key, key, secret), SKEP_ERR_MALFORMED);
    memset(key, 0, sizeof key);
    assert_int_equal(sk_dh_secret(private_key, key, secret), SKEP_ERR_MALFORMED);
    key[SK_DH_SIZE - 1] = 1;
    assert_int_equal(sk_dh_secret(private_key, key, secret), SKEP_ERR_MALFORMED);
    assert_int_equal(secret[2], 3);
    key[SK_DH_SIZE - 1] = 2;
    assert_int_equal(sk_dh_secret(private_key, key, secret), 0);
}

static void one_seed_gives_one_trace(void **state)
{
    struct sk_prng a, b;
    uint8_t bytes[13];
    size_t buckets[10] = {0};
    sk_prng_init(&a, 42);
    sk_prng_init(&b, 42);
    for (int i = 0; i < 1000; i++)
        assert_true(sk_prng_u64(&a) == sk_prng_u64(&b));
    sk_prng_init(&b, 43);
    assert_true(sk_prng_u64(&a) != sk_prng_u64(&b));
    for (int i = 0; i < 100000; i++) {
        uint64_t value = sk_prng_below(&a, 10);
        double unit = sk_prng_unit(&a);
        assert_in_range(value, 0, 9);
        assert_true(unit >= 0 && unit < 1);
        buckets[value]++;
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(buckets); i++)
        assert_in_range(buckets[i], 9500, 10500); /* 5 standard deviations */
    memset(bytes, 0, sizeof bytes);
    sk_prng_bytes(&a, bytes, sizeof bytes);
    assert_true(sk_prng_below(&a, 1) == 0);
    unsigned any = 0;
    for (size_t i = 8; i < sizeof bytes; i++)
        any |= bytes[i];
    assert_true(any);
}

static void errors_have_texts(void **state)
{
    for (int err = 0; err >= SKEP_ERR_STORE; err--) {
        assert_non_null(skep_err_text(err));
        assert_string_not_equal(skep_err_text(err), "unknown error");
    }
    assert_string_equal(skep_err_text(-9999), "unknown error");
    assert_string_equal(skep_err_text(1), "unknown error");
}

static void allocations_fail_on_demand(void **state)
{
    sk_mem_fail_nth(2);
    void *first = sk_mem_alloc(0), *second = sk_mem_calloc(3, 3), *third = sk_mem_strdup("x");
    assert_int_equal(sk_mem_fail_nth(0), 3);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    assert_null(sk_mem_realloc(NULL, SIZE_MAX / 2, 3));
    sk_mem_free(first);
    sk_mem_free(third);
}

/* The vectors of the paper's authors: the key 00 01 .. 0f, of bytes 00 01 .. so many. */
static void test_siphash(void **state)
{
    static const uint64_t expected[] = {0x726fdb47dd0e0e31, 0x93f5f5799a932462, 0x3f2acc7f57c29bdb,
                                        0xb8ad50c6f649af94, 0x7127512f72f27cce};
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < SK_ARRAY_LEN(expected); i++)
        assert_int_equal(sk_siphash(bytes, bytes, 8 * i), expected[i]);
}

/* Whoever takes as soon as he may, as much as he likes, gets the rate in the long run, and after a
 * pause no more than a burst beyond it. */
static void buckets_keep_their_rate(void **state)
{
    static const double rates[] = {1, 1000, 123456.7, 1e9};
    for (size_t i = 0; i < SK_ARRAY_LEN(rates); i++) {
        struct sk_bucket bucket;
        struct sk_prng prng;
        uint64_t now_ns = 5000000000, begin_ns = now_ns;
        double taken = 0, most = rates[i] / 2;
        sk_prng_init(&prng, i + 1);
        sk_bucket_init(&bucket, rates[i], now_ns);
        for (int n = 0; n < 2000; n++) {
            assert_true(sk_bucket_open(&bucket, now_ns));
            double some = most * (double)sk_prng_below(&prng, 1000) / 999;
            sk_bucket_take(&bucket, some);
            taken += some;
            uint64_t opens_ns = sk_bucket_opens_ns(&bucket);
            if (opens_ns > now_ns + 100)
                assert_false(sk_bucket_open(&bucket, opens_ns - 100));
            now_ns = opens_ns;
        }
        double seconds = (double)(now_ns - begin_ns) / 1e9;
        assert_true(taken > rates[i] * seconds * 0.999 - most);
        assert_true(taken < rates[i] * seconds * 1.001 + most);
        /* An hour of nothing. */
        now_ns += UINT64_C(3600000000000);
        taken = 0;
        while (sk_bucket_open(&bucket, now_ns)) {
            sk_bucket_take(&bucket, rates[i] / 1000);
            taken += rates[i] / 1000;
        }
        assert_true(taken < rates[i] * (SK_BUCKET_BURST_S + 0.003));
    }
}

static void buckets_without_a_rate_are_open(void **state)
{
    struct sk_bucket bucket;
    sk_bucket_init(&bucket, 0, 7);
    sk_bucket_take(&bucket, 1e300);
    assert_true(sk_bucket_open(&bucket, 7));
    assert_int_equal(sk_bucket_opens_ns(&bucket), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),
        cmocka_unit_test(bytes_compare),
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(buffers_grow_to_their_limit),
        cmocka_unit_test(hex),
        cmocka_unit_test(map_against_an_array),
        cmocka_unit_test(map_has_a_limit),
        cmocka_unit_test(map_removal_in_full_clusters),
        cmocka_unit_test(heap_sorts),
        cmocka_unit_test(endpoints_as_text),
        cmocka_unit_test(endpoints_as_sockaddr),
        cmocka_unit_test(scopes),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(text_is_cut),
        cmocka_unit_test(utf8),
        cmocka_unit_test(bitfields),
        cmocka_unit_test(bitfields_of_a_wrong_length_or_with_spare_bits),
        cmocka_unit_test(buckets_keep_their_rate),
        cmocka_unit_test(buckets_without_a_rate_are_open),
        cmocka_unit_test(hashes),
        cmocka_unit_test(rc4_known_answer),
        cmocka_unit_test(dh_known_answer),
        cmocka_unit_test(degenerate_public_keys),
        cmocka_unit_test(one_seed_gives_one_trace),
        cmocka_unit_test(errors_have_texts),
        cmocka_unit_test(allocations_fail_on_demand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
