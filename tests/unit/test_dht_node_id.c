/* Node ids: distances, and BEP 42 with all its test vectors. */
#include "proto/dht/node_id.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_parse(text, 6881, &endpoint), 0);
    return endpoint;
}

static void id_from(const char *hex, uint8_t ret_id[SK_DHT_ID_SIZE])
{
    assert_true(sk_hex_decode(hex, strlen(hex), ret_id, SK_DHT_ID_SIZE));
}

static bool bit(const uint8_t *id, unsigned i)
{
    return id[i / 8] >> (7 - i % 8) & 1;
}

/* One bit after the other. */
static unsigned naive_distance(const uint8_t *a, const uint8_t *b)
{
    unsigned i = 0;
    while (i < SK_DHT_ID_BITS && bit(a, i) == bit(b, i))
        i++;
    return SK_DHT_ID_BITS - i;
}

static int naive_compare(const uint8_t *target, const uint8_t *a, const uint8_t *b)
{
    for (unsigned i = 0; i < SK_DHT_ID_BITS; i++)
        if (bit(a, i) != bit(b, i))
            return bit(a, i) == bit(target, i) ? -1 : 1;
    return 0;
}

static void test_distances(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    unsigned seen[3] = {0};
    for (int i = 0; i < 20000; i++) {
        uint8_t target[SK_DHT_ID_SIZE], a[SK_DHT_ID_SIZE], b[SK_DHT_ID_SIZE];
        sk_prng_bytes(&prng, target, sizeof target);
        sk_dht_id_beside(target, (unsigned)sk_prng_below(&prng, SK_DHT_ID_BITS), &prng, a);
        sk_dht_id_beside(a, (unsigned)sk_prng_below(&prng, SK_DHT_ID_BITS), &prng, b);
        if (sk_prng_below(&prng, 8) == 0)
            memcpy(b, a, sizeof b);
        assert_int_equal(sk_dht_distance(target, a), naive_distance(target, a));
        assert_int_equal(sk_dht_distance(b, a), naive_distance(a, b));
        int order = naive_compare(target, a, b);
        assert_int_equal(sk_dht_compare(target, a, b), order);
        assert_int_equal(sk_dht_compare(target, b, a), -order);
        seen[order + 1]++;
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(seen); i++)
        assert_in_range(seen[i], 1000, 20000);
}

static void test_distance_ends(void **state)
{
    uint8_t zero[SK_DHT_ID_SIZE] = {0}, one[SK_DHT_ID_SIZE] = {[19] = 1};
    uint8_t top[SK_DHT_ID_SIZE] = {0x80};
    assert_int_equal(sk_dht_distance(zero, zero), 0);
    assert_int_equal(sk_dht_distance(zero, one), 1);
    assert_int_equal(sk_dht_distance(one, top), 160);
    assert_int_equal(sk_dht_compare(zero, one, top), -1);
    assert_int_equal(sk_dht_compare(top, one, zero), 1);
    assert_int_equal(sk_dht_compare(one, top, top), 0);
}

/* An id beside another shares so many bits and no more; what follows is free. */
static void test_beside(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 2);
    uint8_t id[SK_DHT_ID_SIZE], beside[SK_DHT_ID_SIZE];
    sk_prng_bytes(&prng, id, sizeof id);
    for (unsigned bits = 0; bits < SK_DHT_ID_BITS; bits++) {
        unsigned ones[SK_DHT_ID_BITS] = {0};
        for (int i = 0; i < 64; i++) {
            sk_dht_id_beside(id, bits, &prng, beside);
            assert_int_equal(sk_dht_distance(id, beside), SK_DHT_ID_BITS - bits);
            for (unsigned b = 0; b < SK_DHT_ID_BITS; b++)
                ones[b] += bit(beside, b);
        }
        for (unsigned b = bits + 1; b < SK_DHT_ID_BITS; b++)
            assert_in_range(ones[b], 8, 56);
    }
    memcpy(beside, id, sizeof id);
    sk_dht_id_beside(beside, 9, &prng, beside); /* in place */
    assert_int_equal(sk_dht_distance(id, beside), SK_DHT_ID_BITS - 9);
}

static const struct {
    const char *address, *id;
} vectors[] = {
    {"124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"},
    {"21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"},
    {"65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"},
    {"84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"},
    {"43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"},
};

/* The vectors of BEP 42. The first 21 bits and the last 3 count, no others. */
static void test_vectors(void **state)
{
    for (size_t v = 0; v < SK_ARRAY_LEN(vectors); v++) {
        struct sk_endpoint address = at(vectors[v].address);
        uint8_t id[SK_DHT_ID_SIZE];
        id_from(vectors[v].id, id);
        assert_true(sk_dht_id_fits(id, &address));
        for (unsigned b = 0; b < SK_DHT_ID_BITS; b++) {
            id[b / 8] ^= (uint8_t)(0x80 >> b % 8);
            assert_int_equal(sk_dht_id_fits(id, &address), b >= 21 && b < 157);
            id[b / 8] ^= (uint8_t)(0x80 >> b % 8);
        }
        for (size_t w = 0; w < SK_ARRAY_LEN(vectors); w++) {
            struct sk_endpoint other = at(vectors[w].address);
            assert_int_equal(sk_dht_id_fits(id, &other), v == w);
        }
    }
}

/* IPv6: no vector is published. These prefixes were computed with another program from the text:
 * crc32c((ip & 0x0103070f1f3f7fff) | (r << 61)), 8 bytes. */
static void test_vectors_v6(void **state)
{
    static const struct {
        const char *address;
        uint32_t prefix;
        uint8_t r;
    } v6[] = {
        {"[2a00:1450:4001:81b::200e]:1", 0x825fddf6, 1},
        {"[2001:4860:4860::8888]:1", 0xdd2a5be6, 6},
        {"[2605:a601:ac0f:1234:ffff::1]:1", 0x8c7ddf89, 3},
        {"[2402:3a80:1986:7f00::1]:1", 0xcc561bd7, 0},
    };
    for (size_t v = 0; v < SK_ARRAY_LEN(v6); v++) {
        struct sk_endpoint address = at(v6[v].address);
        uint8_t id[SK_DHT_ID_SIZE] = {[19] = v6[v].r};
        sk_put_u32(id, v6[v].prefix);
        assert_true(sk_dht_id_fits(id, &address));
        id[2] ^= 8; /* the 21st bit */
        assert_false(sk_dht_id_fits(id, &address));
    }
}

static void test_made_for_address(void **state)
{
    static const char *const addresses[] = {"80.1.2.3", "213.7.8.9", "[2a00:1:2:3::4]:1",
                                            "[2001:4860::8888]:53"};
    struct sk_prng prng;
    sk_prng_init(&prng, 3);
    for (size_t i = 0; i < SK_ARRAY_LEN(addresses); i++) {
        struct sk_endpoint address = at(addresses[i]), other = address;
        unsigned last = 0;
        other.addr[1] ^= 1;
        for (int n = 0; n < 200; n++) {
            uint8_t id[SK_DHT_ID_SIZE];
            sk_dht_id_for_address(&address, &prng, id);
            assert_true(sk_dht_id_fits(id, &address));
            assert_false(sk_dht_id_fits(id, &other));
            last |= 1u << (id[19] & 7);
        }
        assert_int_equal(last, 0xff); /* each of the 8 beginnings that an address has */
    }
}

/* Another host of an IPv6 /64 is the same address to BEP 42, and the port never counts. */
static void test_what_does_not_count(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 4);
    struct sk_endpoint a = at("[2a00:1:2:3::4]:1"), b = at("[2a00:1:2:3:ffff::5]:2");
    uint8_t id[SK_DHT_ID_SIZE];
    sk_dht_id_for_address(&a, &prng, id);
    assert_true(sk_dht_id_fits(id, &b));
    a = at("80.1.2.3:1");
    b = at("80.1.2.3:2");
    sk_dht_id_for_address(&a, &prng, id);
    assert_true(sk_dht_id_fits(id, &b));
}

static void test_local_may_have_any(void **state)
{
    static const char *const addresses[] = {"10.0.0.1",    "172.16.3.4", "192.168.1.1",
                                            "169.254.0.9", "127.0.0.1",  "[::1]:1",
                                            "[fe80::1]:1", "[fd00::1]:1"};
    struct sk_prng prng;
    sk_prng_init(&prng, 5);
    for (size_t i = 0; i < SK_ARRAY_LEN(addresses); i++) {
        struct sk_endpoint address = at(addresses[i]);
        uint8_t id[SK_DHT_ID_SIZE], first[SK_DHT_ID_SIZE];
        sk_dht_id_for_address(&address, &prng, first);
        sk_dht_id_for_address(&address, &prng, id);
        assert_in_range(sk_dht_distance(first, id), 100, 160);
        assert_true(sk_dht_id_fits(id, &address));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_distance_ends),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_vectors_v6),
        cmocka_unit_test(test_made_for_address),
        cmocka_unit_test(test_what_does_not_count),
        cmocka_unit_test(test_local_may_have_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
