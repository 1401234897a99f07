/* The guard before the parser: rates, bans, reflection, and what it may cost us. */
#include "proto/dht/guard.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "wire/krpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)
#define START_NS (1000 * SECOND_NS)
#define QUERY 100 /* bytes */

#define RATE 10
#define BURST 50

static const struct sk_dht_guard_config by_address = {
    .address_rate = RATE, .address_burst = BURST, .seed = 7};

static struct sk_dht_guard *begin(const struct sk_dht_guard_config *config)
{
    struct sk_dht_guard *guard;
    assert_int_equal(sk_dht_guard_new(config, &guard), 0);
    return guard;
}

static struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_parse(text, 6881, &endpoint), 0);
    return endpoint;
}

static struct sk_endpoint number(uint32_t n)
{
    uint8_t addr[4];
    sk_put_u32(addr, 0x50000000u + n);
    return sk_endpoint_v4(addr, 6881);
}

static enum sk_dht_pass input(struct sk_dht_guard *guard, const char *from, uint64_t now_ns)
{
    struct sk_endpoint endpoint = at(from);
    return sk_dht_guard_input(guard, &endpoint, QUERY, now_ns);
}

/* Sends packets of an address at an even rate; counts what became of them. */
static void send_for(struct sk_dht_guard *guard, const char *from, double rate, double seconds,
                     uint64_t *now_ns, unsigned ret_counts[4])
{
    memset(ret_counts, 0, 4 * sizeof *ret_counts);
    uint64_t start_ns = *now_ns;
    for (unsigned i = 0; i < rate * seconds; i++) {
        *now_ns = start_ns + (uint64_t)(i * 1e9 / rate);
        ret_counts[input(guard, from, *now_ns)]++;
    }
    *now_ns = start_ns + (uint64_t)(seconds * 1e9);
}

static void test_burst_and_rate(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    uint64_t now = START_NS;
    for (int i = 0; i < BURST; i++)
        assert_int_equal(input(guard, "80.0.0.1", now), SK_DHT_PASS);
    assert_int_equal(input(guard, "80.0.0.1", now), SK_DHT_DROP_ADDRESS);
    assert_int_equal(input(guard, "80.0.0.2", now), SK_DHT_PASS);
    for (int i = 0; i < 100; i++) { /* at its rate for ever */
        now += SECOND_NS / RATE + 20 * MS_NS;
        assert_int_equal(input(guard, "80.0.0.2", now), SK_DHT_PASS);
    }
    assert_int_equal(input(guard, "80.0.0.1", now), SK_DHT_PASS);
    now += 3600 * SECOND_NS; /* no more than a burst is saved up */
    for (int i = 0; i < BURST; i++)
        assert_int_equal(input(guard, "80.0.0.1", now), SK_DHT_PASS);
    assert_int_equal(input(guard, "80.0.0.1", now), SK_DHT_DROP_ADDRESS);
    sk_dht_guard_free(guard);
}

/* Somewhat above its rate: what is above is dropped, for ever, and that is all. */
static void test_above_the_rate(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    uint64_t now = START_NS;
    unsigned counts[4];
    send_for(guard, "80.0.0.1", RATE * 1.8, 60, &now, counts);
    send_for(guard, "80.0.0.1", RATE * 1.8, 1000, &now, counts);
    assert_int_equal(counts[SK_DHT_DROP_BANNED], 0);
    /* What is dropped has its price: less than its rate passes, but not nothing. */
    assert_in_range(counts[SK_DHT_PASS], 1000, 1000 * RATE);
    assert_int_equal(counts[SK_DHT_PASS] + counts[SK_DHT_DROP_ADDRESS], 1000 * RATE * 18 / 10);
    sk_dht_guard_free(guard);
}

/* Far above: banned until it has been quiet, a minute at least. */
static void test_ban(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    uint64_t now = START_NS;
    unsigned counts[4];
    send_for(guard, "80.0.0.1", RATE * 50, 1, &now, counts);
    assert_in_range(counts[SK_DHT_PASS], BURST, BURST + RATE);
    assert_in_range(counts[SK_DHT_DROP_ADDRESS], 2 * BURST, 3 * BURST);
    assert_in_range(counts[SK_DHT_DROP_BANNED], 100, 500);
    assert_int_equal(input(guard, "80.0.0.2", now), SK_DHT_PASS);
    for (int i = 0; i < 58; i++) { /* it does not make it worse, either */
        now += SECOND_NS;
        assert_int_equal(input(guard, "80.0.0.1", now), SK_DHT_DROP_BANNED);
    }
    now += (3 + BURST / RATE) * SECOND_NS;
    assert_int_equal(input(guard, "80.0.0.1", now), SK_DHT_PASS);
    /* It goes on as before: it is banned again, and hardly gets anything through. */
    send_for(guard, "80.0.0.1", RATE * 50, 600, &now, counts);
    assert_in_range(counts[SK_DHT_PASS], 0, BURST + 60);
    sk_dht_guard_free(guard);
}

static void test_what_is_one_address(void **state)
{
    static const struct {
        const char *a, *b;
        bool one;
    } pairs[] = {
        {"80.0.0.1:1", "80.0.0.1:2", true},
        {"80.0.0.1:1", "80.0.0.2:1", false},
        {"[2a00:1:2:3::1]:1", "[2a00:1:2:3:ffff:ffff:ffff:ffff]:2", true},
        {"[2a00:1:2:3::1]:1", "[2a00:1:2:4::1]:1", false},
        {"80.0.0.1:1", "[5000:1::1]:1", false},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(pairs); i++) {
        struct sk_dht_guard *guard = begin(&by_address);
        for (int n = 0; n < BURST; n++)
            input(guard, pairs[i].a, START_NS);
        assert_int_equal(input(guard, pairs[i].b, START_NS),
                         pairs[i].one ? SK_DHT_DROP_ADDRESS : SK_DHT_PASS);
        sk_dht_guard_free(guard);
    }
}

static void test_large_datagrams(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    struct sk_endpoint from = at("80.0.0.1");
    for (int i = 0; i < BURST; i++) /* the largest that may be of KRPC */
        assert_int_equal(sk_dht_guard_input(guard, &from, SK_KRPC_DATAGRAM_MAX, START_NS),
                         SK_DHT_PASS);
    from = at("80.0.0.2");
    assert_int_equal(sk_dht_guard_input(guard, &from, 65507, START_NS), SK_DHT_PASS);
    assert_int_equal(sk_dht_guard_input(guard, &from, 65507, START_NS), SK_DHT_DROP_ADDRESS);
    sk_dht_guard_free(guard);
}

static void test_total(void **state)
{
    struct sk_dht_guard_config config = by_address;
    config.total_rate = 100;
    config.total_burst = 200;
    struct sk_dht_guard *guard = begin(&config);
    unsigned counts[4] = {0};
    for (int i = 0; i < 1000; i++) /* what its own limit drops does not count for the total */
        counts[input(guard, "80.0.0.1", START_NS)]++;
    assert_int_equal(counts[SK_DHT_PASS], BURST);
    assert_int_equal(counts[SK_DHT_DROP_TOTAL], 0);
    for (uint32_t i = 0; i < 1000; i++) {
        struct sk_endpoint from = number(100 + i);
        counts[sk_dht_guard_input(guard, &from, QUERY, START_NS)]++;
    }
    assert_int_equal(counts[SK_DHT_PASS], 200);
    assert_int_equal(counts[SK_DHT_DROP_TOTAL], 850);
    struct sk_endpoint from = number(50);
    assert_int_equal(sk_dht_guard_input(guard, &from, QUERY, START_NS + 10 * MS_NS), SK_DHT_PASS);
    assert_int_equal(sk_dht_guard_input(guard, &from, QUERY, START_NS + 10 * MS_NS),
                     SK_DHT_DROP_TOTAL);
    sk_dht_guard_free(guard);
}

static void test_local(void **state)
{
    static const char *const addresses[] = {"127.0.0.1", "10.1.2.3", "[::1]:1", "[fe80::1]:1"};
    struct sk_dht_guard_config config = by_address;
    config.total_rate = config.total_burst = 1000;
    for (size_t i = 0; i < SK_ARRAY_LEN(addresses); i++) {
        struct sk_dht_guard *guard = begin(&config);
        struct sk_endpoint endpoint = at(addresses[i]);
        size_t bytes = sk_dht_guard_bytes(guard);
        for (int n = 0; n < 1000; n++)
            assert_int_equal(input(guard, addresses[i], START_NS), SK_DHT_PASS);
        assert_int_equal(input(guard, addresses[i], START_NS), SK_DHT_DROP_TOTAL);
        for (int n = 0; n < 100; n++) {
            assert_int_equal(sk_dht_guard_answer_max(guard, &endpoint, QUERY, START_NS),
                             SK_KRPC_DATAGRAM_MAX);
            sk_dht_guard_sent(guard, &endpoint, QUERY, SK_KRPC_DATAGRAM_MAX, START_NS);
        }
        sk_dht_guard_proved(guard, &endpoint, START_NS);
        assert_int_equal(sk_dht_guard_bytes(guard), bytes);
        sk_dht_guard_free(guard);
    }
}

static void test_no_limits(void **state)
{
    struct sk_dht_guard_config config = {.seed = 1};
    struct sk_dht_guard *guard = begin(&config);
    size_t bytes = sk_dht_guard_bytes(guard);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(input(guard, "80.0.0.1", START_NS), SK_DHT_PASS);
    assert_int_equal(sk_dht_guard_bytes(guard), bytes);
    sk_dht_guard_free(guard);
}

/* Time may stand still, and a step back gives nothing. */
static void test_time(void **state)
{
    struct sk_dht_guard_config config = by_address;
    config.total_rate = config.total_burst = BURST;
    struct sk_dht_guard *guard = begin(&config);
    for (int i = 0; i < BURST; i++)
        assert_int_equal(input(guard, "80.0.0.1", START_NS), SK_DHT_PASS);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(input(guard, "80.0.0.1", START_NS - SECOND_NS), SK_DHT_DROP_ADDRESS);
        assert_int_equal(input(guard, "80.0.0.2", START_NS - SECOND_NS), SK_DHT_DROP_TOTAL);
    }
    /* A tiny step at a time adds up. */
    unsigned counts[4] = {0};
    for (uint64_t now = START_NS; now < START_NS + 20 * SECOND_NS; now += MS_NS)
        if (now / MS_NS % 200 == 0)
            counts[input(guard, "80.0.0.1", now)]++;
    assert_in_range(counts[SK_DHT_PASS], 80, 100);
    sk_dht_guard_free(guard);
}

/* ---- reflection ---- */

/* Who has not proved its address gets no more than the factor, and the allowance once. */
static void test_reflection(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    struct sk_dht_guard *guard = begin(&by_address);
    struct sk_endpoint victim = at("80.0.0.1");
    size_t in = 0, out = 0;
    uint64_t now = START_NS;
    assert_int_equal(sk_dht_guard_answer_max(guard, &victim, QUERY, now), SK_KRPC_DATAGRAM_MAX);
    for (int i = 0; i < 3000; i++) {
        size_t query = 60 + sk_prng_below(&prng, 200);
        size_t max = sk_dht_guard_answer_max(guard, &victim, query, now);
        assert_in_range(max, SK_MIN(SK_DHT_REFLECTION * query, SK_KRPC_DATAGRAM_MAX),
                        SK_KRPC_DATAGRAM_MAX);
        sk_dht_guard_sent(guard, &victim, query, max, now);
        in += query;
        out += max;
        now += 100 * MS_NS;
    }
    double seconds = (double)(now - START_NS) / 1e9;
    assert_true((double)out <= (double)(SK_DHT_REFLECTION * in) + 4096 + 4096 * seconds / 600 + 1);
    assert_true((double)out >= (double)(SK_DHT_REFLECTION * in) + 4096);
    /* Other addresses have theirs. */
    struct sk_endpoint other = at("80.0.0.2");
    assert_int_equal(sk_dht_guard_answer_max(guard, &other, QUERY, now), SK_KRPC_DATAGRAM_MAX);
    /* After ten minutes it is all back. */
    now += 600 * SECOND_NS;
    assert_int_equal(sk_dht_guard_answer_max(guard, &victim, 0, now), SK_KRPC_DATAGRAM_MAX);
    sk_dht_guard_sent(guard, &victim, 0, 4096 - 100, now);
    assert_in_range(sk_dht_guard_answer_max(guard, &victim, 0, now), 99, 100);
    sk_dht_guard_free(guard);
}

static void test_reflection_ends(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    struct sk_endpoint victim = at("80.0.0.1");
    sk_dht_guard_sent(guard, &victim, 0, 65507, START_NS);
    assert_int_equal(sk_dht_guard_answer_max(guard, &victim, 0, START_NS), 0);
    assert_int_equal(sk_dht_guard_answer_max(guard, &victim, 10, START_NS), 30);
    assert_int_equal(sk_dht_guard_answer_max(guard, &victim, 65507, START_NS),
                     SK_KRPC_DATAGRAM_MAX);
    sk_dht_guard_free(guard);
}

static void test_proved(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    struct sk_endpoint node = at("80.0.0.1"), other = at("80.0.0.2");
    sk_dht_guard_sent(guard, &node, 0, 5000, START_NS);
    sk_dht_guard_sent(guard, &other, 0, 5000, START_NS);
    sk_dht_guard_proved(guard, &node, START_NS);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sk_dht_guard_answer_max(guard, &node, 1, START_NS), SK_KRPC_DATAGRAM_MAX);
        sk_dht_guard_sent(guard, &node, 1, SK_KRPC_DATAGRAM_MAX, START_NS);
    }
    assert_int_equal(sk_dht_guard_answer_max(guard, &other, 1, START_NS), 3);
    uint64_t later = START_NS + 4 * 3600 * SECOND_NS - SECOND_NS;
    sk_dht_guard_sent(guard, &node, 0, 50000, later); /* costs nothing */
    assert_int_equal(sk_dht_guard_answer_max(guard, &node, 0, later), SK_KRPC_DATAGRAM_MAX);
    later += 2 * SECOND_NS;
    sk_dht_guard_sent(guard, &node, 0, 50000, later);
    assert_int_equal(sk_dht_guard_answer_max(guard, &node, 1, later), 3);
    sk_dht_guard_free(guard);
}

/* ---- memory ---- */

static void flood(struct sk_dht_guard *guard, uint32_t from, uint32_t to, uint64_t now_ns)
{
    for (uint32_t i = from; i < to; i++) {
        struct sk_endpoint endpoint = number(i);
        assert_int_equal(sk_dht_guard_input(guard, &endpoint, QUERY, now_ns), SK_DHT_PASS);
    }
}

static void test_memory_is_bounded(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    size_t empty = sk_dht_guard_bytes(guard);
    assert_in_range(empty, 1, 256);
    flood(guard, 0, 1000, START_NS);
    assert_in_range(sk_dht_guard_bytes(guard), 1000 * 24, 1000 * 40);
    flood(guard, 1000, 200000, START_NS);
    size_t most = sk_dht_guard_bytes(guard);
    assert_in_range(most, 1, SK_DHT_GUARD_ADDRESSES_MAX * 40);
    flood(guard, 200000, 500000, START_NS + SECOND_NS / 20);
    assert_in_range(sk_dht_guard_bytes(guard), 1, SK_DHT_GUARD_ADDRESSES_MAX * 40);
    sk_dht_guard_free(guard);
}

/* Who is at rest is forgotten as others come. */
static void test_forgets(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    for (uint32_t i = 0; i < 200000; i++) {
        struct sk_endpoint endpoint = number(i);
        uint64_t now = START_NS + i * 10 * MS_NS;
        assert_int_equal(sk_dht_guard_input(guard, &endpoint, QUERY, now), SK_DHT_PASS);
        assert_in_range(sk_dht_guard_bytes(guard), 1, 4096); /* some ten are not */
    }
    sk_dht_guard_free(guard);
}

/* A flood of addresses does not wash away who is banned, proved, or has used up its allowance. */
static void test_what_is_kept(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    struct sk_endpoint proved = at("90.0.0.1"), victim = at("90.0.0.2");
    for (int i = 0; i < 10 * BURST; i++)
        input(guard, "90.0.0.3", START_NS);
    sk_dht_guard_proved(guard, &proved, START_NS);
    sk_dht_guard_sent(guard, &victim, 0, 5000, START_NS);
    flood(guard, 0, 100000, START_NS);
    assert_int_equal(input(guard, "90.0.0.3", START_NS), SK_DHT_DROP_BANNED);
    assert_int_equal(sk_dht_guard_answer_max(guard, &victim, 1, START_NS), 3);
    sk_dht_guard_sent(guard, &proved, 0, 50000, START_NS);
    assert_int_equal(sk_dht_guard_answer_max(guard, &proved, 0, START_NS), SK_KRPC_DATAGRAM_MAX);
    sk_dht_guard_free(guard);
}

/* Many addresses, each with its own count: nothing is mixed up as the table grows and forgets. */
static void test_many(void **state)
{
    struct sk_dht_guard *guard = begin(&by_address);
    struct sk_prng prng;
    sk_prng_init(&prng, 2);
    static unsigned sent[5000];
    memset(sent, 0, sizeof sent);
    for (int i = 0; i < 200000; i++) {
        uint32_t n = (uint32_t)sk_prng_below(&prng, SK_ARRAY_LEN(sent));
        struct sk_endpoint from = number(n);
        assert_int_equal(sk_dht_guard_input(guard, &from, QUERY, START_NS) == SK_DHT_PASS,
                         sent[n]++ < BURST);
    }
    sk_dht_guard_free(guard);
}

/* Each allocation fails in turn: some are not counted then, nothing worse happens. */
static void test_without_memory(void **state)
{
    size_t nth = 0, made;
    do {
        struct sk_dht_guard *guard = begin(&by_address);
        sk_mem_fail_nth(++nth);
        flood(guard, 0, 3000, START_NS);
        for (uint32_t i = 0; i < 3000; i++) {
            struct sk_endpoint endpoint = number(i);
            sk_dht_guard_sent(guard, &endpoint, 0, 5000, START_NS);
            sk_dht_guard_proved(guard, &endpoint, START_NS);
        }
        made = sk_mem_fail_nth(0);
        sk_dht_guard_free(guard);
    } while (made >= nth);
    assert_in_range(nth, 5, 40);
    struct sk_dht_guard *guard = NULL;
    sk_mem_fail_nth(1);
    assert_int_equal(sk_dht_guard_new(&by_address, &guard), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(0);
    assert_null(guard);
    sk_dht_guard_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_and_rate),
        cmocka_unit_test(test_above_the_rate),
        cmocka_unit_test(test_ban),
        cmocka_unit_test(test_what_is_one_address),
        cmocka_unit_test(test_large_datagrams),
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_no_limits),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_reflection_ends),
        cmocka_unit_test(test_proved),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
