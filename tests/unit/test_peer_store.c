/*
 * proto/dht/peer_store: what is announced is told to who asks, for its time and within its bounds;
 * floods by one address push out nobody else.
 */
#include "proto/dht/peer_store.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define SECOND 1000000000ull
#define MINUTE (60 * SECOND)

struct world {
    struct sk_prng prng;
    struct sk_dht_peer_store *store;
    uint64_t now_ns;
};

static struct world world;

static int set_up(void **state)
{
    sk_prng_init(&world.prng, 1);
    world.now_ns = 1000 * SECOND;
    return sk_dht_peer_store_new(&world.prng, &world.store);
}

static int tear_down(void **state)
{
    sk_dht_peer_store_free(world.store);
    world.store = NULL;
    return 0;
}

static struct sk_endpoint v4(uint32_t address, uint16_t port)
{
    uint8_t bytes[4];
    sk_put_u32(bytes, address);
    return sk_endpoint_v4(bytes, port);
}

static struct sk_endpoint v6(uint32_t network, uint32_t host, uint16_t port)
{
    uint8_t bytes[16] = {0x20, 1};
    sk_put_u32(bytes + 4, network);
    sk_put_u32(bytes + 12, host);
    return sk_endpoint_v6(bytes, port);
}

static const uint8_t *hash(uint32_t i)
{
    static uint8_t bytes[4][SK_DHT_ID_SIZE];
    static unsigned turn;
    turn = (turn + 1) % 4;
    sk_put_u32(bytes[turn], i);
    return bytes[turn];
}

static int add(uint32_t info_hash, struct sk_endpoint peer, bool seed)
{
    return sk_dht_peer_store_add(world.store, hash(info_hash), &peer, seed, world.now_ns);
}

static size_t sample(uint32_t info_hash, enum sk_family family, struct sk_endpoint *ret_peers,
                     size_t max)
{
    return sk_dht_peer_store_sample(world.store, hash(info_hash), family, false, world.now_ns,
                                    ret_peers, max);
}

static bool has(uint32_t info_hash, struct sk_endpoint peer)
{
    static struct sk_endpoint peers[SK_DHT_STORE_HASH_PEERS_MAX];
    size_t n = sample(info_hash, peer.family, peers, SK_ARRAY_LEN(peers));
    for (size_t i = 0; i < n; i++)
        if (sk_endpoint_equal(&peers[i], &peer))
            return true;
    return false;
}

static void expect_count(uint32_t hashes, uint32_t peers)
{
    uint32_t got_hashes, got_peers;
    size_t bytes;
    sk_dht_peer_store_count(world.store, &got_hashes, &got_peers, &bytes);
    assert_int_equal(got_hashes, hashes);
    assert_int_equal(got_peers, peers);
}

static size_t used(void)
{
    uint32_t hashes, peers;
    size_t bytes;
    sk_dht_peer_store_count(world.store, &hashes, &peers, &bytes);
    return bytes;
}

static void announced_peers_are_told(void **state)
{
    struct sk_endpoint peers[4], bad = v4(1, 0);
    struct sk_dht_filter seeds, others;
    assert_int_equal(sample(1, SK_FAMILY_V4, peers, 4), 0);
    assert_false(sk_dht_peer_store_filters(world.store, hash(1), &seeds, &others));
    assert_int_equal(add(1, v4(0x01020304, 5), false), 0);
    assert_int_equal(add(1, v4(0x01020304, 5), false), 0);
    assert_int_equal(add(1, v6(7, 8, 9), true), 0);
    assert_int_equal(add(2, v4(0x01020304, 5), false), 0);
    expect_count(2, 3);
    assert_int_equal(sample(1, SK_FAMILY_V4, peers, 4), 1);
    assert_true(sk_endpoint_equal(&peers[0], &(struct sk_endpoint){{1, 2, 3, 4}, 5, 4, 0}));
    assert_int_equal(sample(1, SK_FAMILY_V6, peers, 4), 1);
    assert_true(peers[0].family == SK_FAMILY_V6 && peers[0].port == 9);
    assert_int_equal(sample(3, SK_FAMILY_V4, peers, 4), 0);
    assert_int_equal(sample(2, SK_FAMILY_V6, peers, 4), 0);
    assert_int_equal(sample(1, SK_FAMILY_V4, peers, 0), 0);
    assert_int_equal(add(1, bad, false), SKEP_ERR_INVALID);
    bad = (struct sk_endpoint){.port = 1};
    assert_int_equal(add(1, bad, false), SKEP_ERR_INVALID);
    expect_count(2, 3);
}

static void announces_end_after_half_an_hour(void **state)
{
    struct sk_endpoint peers[4];
    uint64_t start = world.now_ns;
    assert_true(sk_dht_peer_store_expire(world.store, start) == SK_TIME_NEVER);
    assert_int_equal(add(1, v4(1, 1), false), 0);
    world.now_ns = start + 10 * MINUTE;
    assert_int_equal(add(1, v4(2, 1), false), 0);
    assert_int_equal(add(2, v4(2, 1), false), 0);
    world.now_ns = start + 20 * MINUTE;
    assert_int_equal(add(1, v4(1, 1), false), 0); /* again */
    assert_true(sk_dht_peer_store_expire(world.store, start + 40 * MINUTE - 1) ==
                start + 40 * MINUTE);
    expect_count(2, 3);
    /* What is over is not told, be it still there. */
    world.now_ns = start + 40 * MINUTE;
    assert_int_equal(sample(2, SK_FAMILY_V4, peers, 4), 0);
    assert_int_equal(sample(1, SK_FAMILY_V4, peers, 4), 1);
    assert_true(sk_dht_peer_store_expire(world.store, world.now_ns) == start + 50 * MINUTE);
    expect_count(1, 1);
    assert_true(sk_dht_peer_store_expire(world.store, start + 50 * MINUTE) == SK_TIME_NEVER);
    expect_count(0, 0);
}

/* Each peer is as likely as another, whatever was asked before; none comes twice in one answer. */
static void samples_are_random(void **state)
{
    enum { PEERS = 40, PICK = 8, ROUNDS = 20000 };
    uint32_t told[PEERS] = {0};
    for (uint32_t i = 0; i < PEERS; i++)
        assert_int_equal(add(1, v4(100 + i, 1), i % 4 == 0), 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct sk_endpoint peers[PICK];
        bool seen[PEERS] = {0};
        assert_int_equal(sample(1, SK_FAMILY_V4, peers, PICK), PICK);
        for (int i = 0; i < PICK; i++) {
            uint32_t which = sk_get_u32(peers[i].addr) - 100;
            assert_true(which < PEERS && !seen[which]);
            seen[which] = true;
            told[which]++;
        }
    }
    double mean = (double)ROUNDS * PICK / PEERS, sigma = sqrt(mean * (1 - (double)PICK / PEERS));
    for (int i = 0; i < PEERS; i++)
        if (fabs(told[i] - mean) > 5 * sigma)
            fail_msg("peer %d told %u times, not %.0f", i, told[i], mean);
}

static void seeds_come_last_when_not_wanted(void **state)
{
    struct sk_endpoint peers[20];
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(add(1, v4(i, 1), i < 6), 0);
    for (int round = 0; round < 100; round++) {
        size_t n = sk_dht_peer_store_sample(world.store, hash(1), SK_FAMILY_V4, true, world.now_ns,
                                            peers, 20);
        assert_int_equal(n, 10);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(sk_get_u32(peers[i].addr) < 6, i >= 4);
    }
}

static void expect_filters(uint32_t info_hash, const struct sk_dht_filter *wanted_seeds,
                           const struct sk_dht_filter *wanted_peers)
{
    struct sk_dht_filter seeds, peers;
    assert_true(sk_dht_peer_store_filters(world.store, hash(info_hash), &seeds, &peers));
    assert_memory_equal(&seeds, wanted_seeds, sizeof seeds);
    assert_memory_equal(&peers, wanted_peers, sizeof peers);
}

/* Against filters made anew, while peers come, change sides, share an address and leave. */
static void filters_are_up_to_date(void **state)
{
    enum { PEERS = 300 };
    for (uint32_t step = 0; step < 4 * PEERS; step++) {
        struct sk_dht_filter wanted[2] = {0};
        world.now_ns += 10 * SECOND; /* 180 announces last */
        assert_int_equal(add(1, v4(step / 2 % PEERS, (uint16_t)(1 + step % 2)), step % 3 == 0), 0);
        sk_dht_peer_store_expire(world.store, world.now_ns);
        for (uint32_t i = step < 179 ? 0 : step - 179; i <= step; i++) {
            struct sk_endpoint peer = v4(i / 2 % PEERS, 1);
            sk_dht_filter_add(&wanted[i % 3 == 0], &peer);
        }
        expect_filters(1, &wanted[1], &wanted[0]);
    }
    /* One who becomes a seed is no leech any more. */
    struct sk_dht_filter none = {0}, one = {0};
    struct sk_endpoint peer = v4(5, 5);
    sk_dht_filter_add(&one, &peer);
    assert_int_equal(add(2, peer, false), 0);
    expect_filters(2, &none, &one);
    assert_int_equal(add(2, peer, true), 0);
    expect_filters(2, &one, &none);
}

static void nothing_is_allocated_to_answer(void **state)
{
    struct sk_endpoint peers[50];
    struct sk_dht_filter seeds, others;
    uint8_t hashes[1000];
    uint32_t num, interval;
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(add(i % 3, v4(i, 1), i % 2), 0);
    assert_int_equal(add(0, v4(0, 1), true), 0); /* makes a filter stale */
    sk_dht_peer_store_hashes(world.store, world.now_ns, hashes, sizeof hashes, &num, &interval);
    sk_mem_fail_nth(0);
    sample(1, SK_FAMILY_V4, peers, 50);
    sk_dht_peer_store_filters(world.store, hash(0), &seeds, &others);
    sk_dht_peer_store_takes(world.store, hash(2));
    sk_dht_peer_store_hashes(world.store, world.now_ns + 601 * SECOND, hashes, sizeof hashes, &num,
                             &interval);
    assert_int_equal(sk_mem_fail_nth(0), 0);
}

/* Threats: storage flood by one address. */

static void many_ports_of_one_address(void **state)
{
    uint16_t max = SK_DHT_STORE_PORTS_MAX;
    struct sk_dht_filter seeds, others;
    assert_int_equal(add(1, v4(9, 1), false), 0);
    for (uint16_t port = 1; port <= max; port++)
        assert_int_equal(add(1, v4(1, port), false), 0);
    expect_count(1, max + 1u);
    assert_int_equal(add(1, v4(1, 1), false), 0); /* now 2 is the oldest */
    assert_int_equal(add(1, v4(1, max + 1), false), 0);
    expect_count(1, max + 1u);
    assert_true(has(1, v4(1, 1)) && !has(1, v4(1, 2)) && has(1, v4(1, 3)));
    assert_true(has(1, v4(1, max + 1)) && has(1, v4(9, 1)));
    sk_dht_peer_store_filters(world.store, hash(1), &seeds, &others);
    assert_true(fabs(sk_dht_filter_estimate(&others) - 2) < 0.1);
    /* All hosts of a /64 are one. */
    for (uint32_t host = 0; host <= max; host++)
        assert_int_equal(add(2, v6(1, host, 1), false), 0);
    assert_int_equal(add(2, v6(2, 0, 1), false), 0);
    expect_count(2, 2 * max + 2u);
    assert_true(!has(2, v6(1, 0, 1)) && has(2, v6(1, 1, 1)) && has(2, v6(2, 0, 1)));
}

static void many_peers_of_one_address(void **state)
{
    uint32_t max = SK_DHT_STORE_ADDRESS_PEERS_MAX, each = SK_DHT_STORE_PORTS_MAX;
    assert_int_equal(add(0, v4(9, 1), false), 0);
    for (uint32_t i = 0; i < max + 10; i++)
        assert_int_equal(add(i / each, v4(1, (uint16_t)(1 + i)), false), 0);
    expect_count(max / each + 1, max + 1);
    assert_true(!has(0, v4(1, 10)) && has(0, v4(1, 11)) && has(0, v4(9, 1)));
}

static void many_hashes_of_one_address(void **state)
{
    uint32_t max = SK_DHT_STORE_ADDRESS_HASHES_MAX;
    assert_int_equal(add(0, v4(9, 1), false), 0);
    assert_int_equal(add(0, v4(1, 1), false), 0); /* not the first: does not count */
    for (uint32_t i = 1; i <= max; i++)
        assert_int_equal(add(i, v4(1, 1), false), 0);
    expect_count(max + 1, max + 2);
    assert_int_equal(add(1, v4(7, 7), false), 0); /* someone wants it: now 2 goes first */
    assert_int_equal(add(max + 1, v4(1, 1), false), 0);
    expect_count(max + 1, max + 3);
    assert_true(has(1, v4(1, 1)) && !has(2, v4(1, 1)) && has(max + 1, v4(1, 1)));
    assert_true(has(0, v4(9, 1)));
}

/* When all is full, the flood makes room for everybody, and not the other way round. */
static void full_of_hashes(void **state)
{
    uint32_t max = SK_DHT_STORE_HASHES_MAX, flood = SK_DHT_STORE_ADDRESS_HASHES_MAX;
    for (uint32_t i = 0; i < max; i++) {
        world.now_ns += SECOND / 100;
        uint32_t address = i < max - flood ? 1000 + i : 1;
        assert_int_equal(add(i, v4(address, 1), false), 0);
    }
    expect_count(max, max);
    for (uint32_t i = 0; i < flood - 1; i++)
        assert_int_equal(add(max + i, v4(2000000 + i, 1), false), 0);
    expect_count(max, max);
    assert_true(has(0, v4(1000, 1)) && has(max, v4(2000000, 1)));
    assert_true(!has(max - 2, v4(1, 1)) && has(max - 1, v4(1, 1)));
    /* All have one now: what is nearest to its end goes. */
    world.now_ns += SECOND;
    assert_int_equal(add(2 * max, v4(3000000, 1), false), 0);
    assert_true(!has(0, v4(1000, 1)) && has(1, v4(1001, 1)) && has(2 * max, v4(3000000, 1)));
}

static void full_of_peers(void **state)
{
    uint32_t max = SK_DHT_STORE_PEERS_MAX, flood = SK_DHT_STORE_ADDRESS_PEERS_MAX;
    for (uint32_t i = 0; i < max; i++) {
        world.now_ns += SECOND / 1000;
        bool good = i < max - flood;
        assert_int_equal(add(i / 250, v4(good ? 1000 + i : 1, (uint16_t)(1 + i % 250)), false), 0);
    }
    expect_count(max / 250, max);
    size_t bytes = used();
    if (bytes > 30u << 20)
        fail_msg("%zu bytes", bytes);
    for (uint32_t i = 0; i < flood - 1; i++)
        assert_int_equal(add(i % 100, v4(2000000 + i, 1), false), 0);
    expect_count(max / 250 - 15, max); /* those that only the flood was in have gone */
    assert_true(has(0, v4(1000, 1)) && has((max - 1) / 250, v4(1, 250)));
    assert_false(has((max - 2) / 250, v4(1, 249)));
}

/* BEP 33: one hash does not take so many that filters fill up. Who is in may stay. */
static void a_full_hash_takes_nobody_new(void **state)
{
    uint32_t max = SK_DHT_STORE_HASH_PEERS_MAX;
    assert_true(sk_dht_peer_store_takes(world.store, hash(1)));
    for (uint32_t i = 0; i < max; i++) {
        assert_true(sk_dht_peer_store_takes(world.store, hash(1)));
        assert_int_equal(add(1, v4(i, 1), i % 2), 0);
    }
    assert_false(sk_dht_peer_store_takes(world.store, hash(1)));
    assert_true(sk_dht_peer_store_takes(world.store, hash(2)));
    assert_int_equal(add(1, v4(max, 1), false), SKEP_ERR_LIMIT);
    assert_int_equal(add(1, v4(1, 2), false), SKEP_ERR_LIMIT);
    assert_int_equal(add(1, v4(1, 1), false), 0);
    expect_count(1, max);
}

/* BEP 51. */

static size_t hashes(uint8_t ret[][SK_DHT_ID_SIZE], size_t max, uint32_t *ret_num,
                     uint32_t *ret_interval)
{
    size_t n =
        sk_dht_peer_store_hashes(world.store, world.now_ns, ret[0], max, ret_num, ret_interval);
    assert_int_equal(n % SK_DHT_ID_SIZE, 0);
    return n / SK_DHT_ID_SIZE;
}

static void all_hashes_while_they_are_few(void **state)
{
    uint8_t got[60][SK_DHT_ID_SIZE];
    uint32_t num, interval;
    assert_int_equal(hashes(got, sizeof got, &num, &interval), 0);
    assert_int_equal(num, 0);
    for (uint32_t i = 0; i < 50; i++) {
        bool seen[50] = {0};
        assert_int_equal(add(i, v4(i, 1), false), 0);
        assert_int_equal(hashes(got, sizeof got, &num, &interval), i + 1);
        assert_int_equal(num, i + 1);
        for (uint32_t k = 0; k <= i; k++)
            seen[sk_get_u32(got[k])] = true;
        for (uint32_t k = 0; k <= i; k++)
            assert_true(seen[k]);
    }
    assert_int_equal(hashes(got, 99, &num, &interval), 4); /* whole ones */
    assert_int_equal(hashes(got, 19, &num, &interval), 0);
    /* What is over is not told. */
    sk_dht_peer_store_expire(world.store, world.now_ns + 31 * MINUTE);
    assert_int_equal(hashes(got, sizeof got, &num, &interval), 0);
    assert_int_equal(num, 0);
}

static void a_sample_holds_for_its_interval(void **state)
{
    enum { HASHES = 400, ROUNDS = 4000 };
    static uint8_t first[60][SK_DHT_ID_SIZE], again[60][SK_DHT_ID_SIZE];
    uint32_t num, interval, told[HASHES] = {0}, told_first[HASHES] = {0};
    for (uint32_t i = 0; i < HASHES; i++)
        assert_int_equal(add(i, v4(i, 1), false), 0);
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(hashes(first, sizeof first, &num, &interval), 50);
        assert_true(num == HASHES && interval == SK_DHT_SAMPLE_INTERVAL_S);
        for (int i = 0; i < 50; i++)
            told[sk_get_u32(first[i])]++;
        told_first[sk_get_u32(first[0])]++;
        world.now_ns += SK_DHT_SAMPLE_INTERVAL_S * SECOND - 1;
        assert_int_equal(hashes(again, sizeof again, &num, &interval), 50);
        assert_int_equal(interval, 1);
        assert_memory_equal(first, again, 50 * SK_DHT_ID_SIZE);
        world.now_ns++;
    }
    /* No hash is more likely than another, neither in a sample nor at its head. */
    double mean = ROUNDS * 50.0 / HASHES, head = (double)ROUNDS / HASHES;
    for (int i = 0; i < HASHES; i++)
        if (fabs(told[i] - mean) > 5 * sqrt(mean) || told_first[i] > head + 6 * sqrt(head))
            fail_msg("hash %d told %u times, first %u times", i, told[i], told_first[i]);
}

/* Against a simple model, with everything at once; then empty. */

enum { MODEL_HASHES = 12, MODEL_ADDRESSES = 30, MODEL_PORTS = 3 };

static void as_a_simple_model_says(void **state)
{
    static uint64_t end[MODEL_HASHES][MODEL_ADDRESSES][MODEL_PORTS];
    memset(end, 0, sizeof end);
    for (int step = 0; step < 20000; step++) {
        uint32_t h = (uint32_t)sk_prng_below(&world.prng, MODEL_HASHES);
        uint32_t a = (uint32_t)sk_prng_below(&world.prng, MODEL_ADDRESSES);
        uint32_t p = (uint32_t)sk_prng_below(&world.prng, MODEL_PORTS);
        world.now_ns += sk_prng_below(&world.prng, 8 * SECOND);
        uint64_t next = sk_dht_peer_store_expire(world.store, world.now_ns);
        struct sk_endpoint peer = a % 2 ? v6(a, p, (uint16_t)(p + 1)) : v4(a, (uint16_t)(p + 1));
        bool seed = sk_prng_below(&world.prng, 2);
        uint64_t least = SK_TIME_NEVER;
        uint32_t hashes_left = 0, peers_left = 0;
        for (int i = 0; i < MODEL_HASHES; i++) {
            uint32_t before = peers_left;
            for (int j = 0; j < MODEL_ADDRESSES; j++)
                for (int k = 0; k < MODEL_PORTS; k++)
                    if (end[i][j][k] > world.now_ns) {
                        least = SK_MIN(least, end[i][j][k]);
                        peers_left++;
                    }
            hashes_left += peers_left > before;
        }
        expect_count(hashes_left, peers_left);
        assert_true(next == least);
        assert_int_equal(add(h, peer, seed), 0);
        end[h][a][p] = world.now_ns + 30 * MINUTE;
        assert_true(has(h, peer));
    }
    sk_dht_peer_store_expire(world.store, world.now_ns + 30 * MINUTE);
    expect_count(0, 0);
}

/* Each allocation of an announce fails in turn: nothing has changed. */
static void without_memory(void **state)
{
    size_t allocations = 0;
    sk_mem_fail_nth(0);
    for (size_t nth = 1; nth <= allocations + 1; nth++) {
        struct sk_dht_peer_store *store = NULL;
        int err = 0;
        sk_mem_fail_nth(nth);
        err = sk_dht_peer_store_new(&world.prng, &store);
        assert_int_equal(!store, !!err);
        for (uint32_t i = 0; store && !err && i < 60; i++) {
            struct sk_endpoint peer = i % 2 ? v4(i / 3, 1) : v6(i / 3, 1, 1);
            uint32_t before[2], after[2];
            size_t bytes;
            sk_dht_peer_store_count(store, &before[0], &before[1], &bytes);
            err = sk_dht_peer_store_add(store, hash(i % 4), &peer, i % 5 == 0, world.now_ns);
            sk_dht_peer_store_count(store, &after[0], &after[1], &bytes);
            if (err) {
                assert_memory_equal(before, after, sizeof before);
                assert_int_equal(
                    sk_dht_peer_store_add(store, hash(i % 4), &peer, false, world.now_ns), 0);
            }
        }
        assert_true(!err || err == SKEP_ERR_NOMEM);
        sk_dht_peer_store_free(store);
        size_t made = sk_mem_fail_nth(0);
        allocations = SK_MAX(allocations, made);
    }
    assert_true(allocations > 100);
}

static void small_when_empty(void **state)
{
    assert_true(used() < 500);
    assert_int_equal(add(1, v4(1, 1), false), 0);
    sk_dht_peer_store_expire(world.store, world.now_ns + 30 * MINUTE);
    sk_dht_peer_store_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(announced_peers_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(announces_end_after_half_an_hour, set_up, tear_down),
        cmocka_unit_test_setup_teardown(samples_are_random, set_up, tear_down),
        cmocka_unit_test_setup_teardown(seeds_come_last_when_not_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(filters_are_up_to_date, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_allocated_to_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_ports_of_one_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_peers_of_one_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_hashes_of_one_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_of_hashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_of_peers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_hash_takes_nobody_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_hashes_while_they_are_few, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sample_holds_for_its_interval, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_a_simple_model_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_when_empty, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
