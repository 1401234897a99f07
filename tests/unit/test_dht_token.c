/* Write tokens: whose they are, for what, and for how long. */
#include "proto/dht/token.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)
#define START_NS (1000 * SECOND_NS)

struct world {
    struct sk_prng prng;
    struct sk_dht_tokens tokens;
    uint8_t target[SK_DHT_ID_SIZE];
};

static struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_parse(text, 6881, &endpoint), 0);
    return endpoint;
}

static struct world begin(uint64_t seed)
{
    struct world world;
    sk_prng_init(&world.prng, seed);
    sk_prng_bytes(&world.prng, world.target, sizeof world.target);
    sk_dht_tokens_init(&world.tokens, &world.prng, START_NS);
    return world;
}

/* As a node does: the secret is looked after before each. */
static void make(struct world *world, const char *address, uint64_t now_ns, uint8_t *ret_token)
{
    struct sk_endpoint endpoint = at(address);
    sk_dht_tokens_turn(&world->tokens, &world->prng, now_ns);
    sk_dht_tokens_make(&world->tokens, &endpoint, world->target, ret_token);
}

static bool check(struct world *world, const char *address, uint64_t now_ns, const uint8_t *token)
{
    struct sk_endpoint endpoint = at(address);
    sk_dht_tokens_turn(&world->tokens, &world->prng, now_ns);
    return sk_dht_tokens_check(&world->tokens, &endpoint, world->target,
                               sk_bytes(token, SK_DHT_TOKEN_SIZE));
}

static void test_bound_to_address_and_target(void **state)
{
    static const char *const addresses[] = {"80.1.2.3",       "80.1.2.4",
                                            "81.1.2.3",       "[5001:203::]:6881",
                                            "[2a00::1]:6881", "[2a00::2]:6881"};
    struct world world = begin(1);
    for (size_t i = 0; i < SK_ARRAY_LEN(addresses); i++) {
        uint8_t token[SK_DHT_TOKEN_SIZE];
        make(&world, addresses[i], START_NS, token);
        for (size_t j = 0; j < SK_ARRAY_LEN(addresses); j++)
            assert_int_equal(check(&world, addresses[j], START_NS, token), i == j);
        for (unsigned bit = 0; bit < 8 * SK_DHT_ID_SIZE; bit++) {
            world.target[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(check(&world, addresses[i], START_NS, token));
            world.target[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void test_any_port(void **state)
{
    struct world world = begin(2);
    uint8_t token[SK_DHT_TOKEN_SIZE];
    make(&world, "80.1.2.3:1", START_NS, token);
    assert_true(check(&world, "80.1.2.3:2", START_NS, token));
}

/* Good for five minutes at least and never for more than ten, wherever in a period it is made, and
 * whether or not anything happens meanwhile. */
static void test_age(void **state)
{
    for (unsigned made_s = 0; made_s < 900; made_s += 7) {
        for (unsigned busy = 0; busy < 2; busy++) {
            for (unsigned age_s = 0; age_s < 1500; age_s += 13) {
                struct world world = begin(made_s);
                uint64_t made_ns = START_NS + made_s * SECOND_NS;
                uint8_t token[SK_DHT_TOKEN_SIZE];
                make(&world, "80.1.2.3", made_ns, token);
                for (unsigned s = 0; busy && s < age_s; s++)
                    sk_dht_tokens_turn(&world.tokens, &world.prng, made_ns + s * SECOND_NS);
                bool good = check(&world, "80.1.2.3", made_ns + age_s * SECOND_NS, token);
                if (age_s < 300)
                    assert_true(good);
                if (age_s >= 600)
                    assert_false(good);
            }
        }
    }
}

/* The periods do not stretch: what is made at the beginning of one lasts for almost ten minutes. */
static void test_periods(void **state)
{
    struct world world = begin(3);
    uint8_t first[SK_DHT_TOKEN_SIZE], second[SK_DHT_TOKEN_SIZE];
    make(&world, "80.1.2.3", START_NS, first);
    make(&world, "80.1.2.3", START_NS + 300 * SECOND_NS - 1, second);
    assert_memory_equal(first, second, sizeof first);
    make(&world, "80.1.2.3", START_NS + 300 * SECOND_NS, second);
    assert_memory_not_equal(first, second, sizeof first);
    assert_true(check(&world, "80.1.2.3", START_NS + 600 * SECOND_NS - 1, first));
    assert_false(check(&world, "80.1.2.3", START_NS + 600 * SECOND_NS, first));
    assert_true(check(&world, "80.1.2.3", START_NS + 600 * SECOND_NS, second));
}

static void test_forged(void **state)
{
    struct world world = begin(4), other = begin(5);
    struct sk_endpoint endpoint = at("80.1.2.3");
    uint8_t token[SK_KRPC_TOKEN_MAX] = {0};
    make(&other, "80.1.2.3", START_NS, token);
    memcpy(other.target, world.target, sizeof world.target);
    make(&other, "80.1.2.3", START_NS, token); /* with the secret of another node */
    assert_false(check(&world, "80.1.2.3", START_NS, token));
    make(&world, "80.1.2.3", START_NS, token);
    for (unsigned bit = 0; bit < 8 * SK_DHT_TOKEN_SIZE; bit++) {
        token[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(check(&world, "80.1.2.3", START_NS, token));
        token[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n <= sizeof token; n++)
        assert_int_equal(sk_dht_tokens_check(&world.tokens, &endpoint, world.target,
                                             sk_bytes(n ? token : NULL, n)),
                         n == SK_DHT_TOKEN_SIZE);
    for (int i = 0; i < 20000; i++) {
        sk_prng_bytes(&other.prng, token, SK_DHT_TOKEN_SIZE);
        assert_false(check(&world, "80.1.2.3", START_NS, token));
    }
}

/* SipHash-2-4 as others compute it: of the address, the target, the family and three zeros, under
 * the newest secret. */
static void test_mac(void **state)
{
    struct sk_dht_tokens tokens = {0};
    struct sk_endpoint endpoint = at("80.1.2.3");
    uint8_t target[SK_DHT_ID_SIZE], token[SK_DHT_TOKEN_SIZE];
    for (uint8_t i = 0; i < 16; i++)
        tokens.secret[0][i] = i;
    for (uint8_t i = 0; i < SK_DHT_ID_SIZE; i++)
        target[i] = (uint8_t)(100 + i);
    sk_dht_tokens_make(&tokens, &endpoint, target, token);
    static const uint8_t expected[] = {0x84, 0x71, 0xed, 0x48, 0x26, 0x93, 0xd9, 0x69};
    assert_memory_equal(token, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_to_address_and_target),
        cmocka_unit_test(test_any_port),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_periods),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_mac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
