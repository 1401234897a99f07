/* What a tracker remembers: counts, draws, expiry, and the limits that strangers meet. */
#include "proto/tracker/registry.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define S 1000000000ull

static struct sk_registry *registry;
static struct sk_announce_answer answer;
static uint64_t now;

static void make_with(struct sk_registry_config config)
{
    config.interval_s = 60;
    config.min_interval_s = 7;
    config.want_max = 20;
    config.seed = 1;
    now = 5 * S;
    sk_announce_answer_init(&answer);
    assert_int_equal(0, sk_registry_new(&config, &registry));
}

static void make(uint32_t swarms_max, uint32_t peers_max)
{
    make_with((struct sk_registry_config){.swarms_max = swarms_max, .peers_max = peers_max});
}

static int teardown(void **state)
{
    sk_announce_answer_deinit(&answer);
    sk_registry_free(registry);
    registry = NULL;
    return 0;
}

/* Peer number `n` (127.0.x.y, or an IPv6 address of one network from 10,000 on) speaks in swarm
 * `hash`. */
static int say(char hash, unsigned n, uint64_t left, enum sk_tracker_event event, int32_t want)
{
    struct sk_tracker_announce announce = {.left = left, .event = event, .want = want};
    uint8_t addr[16] = {127, 0, (uint8_t)(n >> 8), (uint8_t)n};
    struct sk_endpoint peer = sk_endpoint_v4(addr, 6881);
    if (n >= 10000) {
        memcpy(addr + 8, addr, 4);
        memset(addr, 0x20, 8);
        peer = sk_endpoint_v6(addr, 6881);
    }
    memset(announce.info_hash, hash, 20);
    sk_announce_answer_deinit(&answer);
    return sk_registry_announce(registry, &announce, &peer, SK_FAMILY_NONE, now, &answer);
}

static void assert_scrape(char hash, int64_t seeds, int64_t leechers, int64_t downloads)
{
    uint8_t info_hash[20];
    memset(info_hash, hash, 20);
    struct sk_scrape_answer scrape = sk_registry_scrape(registry, info_hash, now);
    assert_int_equal(seeds, scrape.seeds);
    assert_int_equal(leechers, scrape.leechers);
    assert_int_equal(downloads, scrape.downloads);
}

static void test_counts(void **state)
{
    make(0, 0);
    assert_int_equal(0, say('a', 1, 0, SK_TRACKER_STARTED, -1));
    assert_int_equal(1, answer.seeds);
    assert_int_equal(0, answer.leechers);
    assert_int_equal(60, answer.interval_s);
    assert_int_equal(7, answer.min_interval_s);
    assert_int_equal(0, answer.peers_count);
    assert_int_equal(0, say('a', 2, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(1, answer.peers_count);
    assert_int_equal(1, answer.peers[0].addr[3]);
    assert_int_equal(0, say('b', 3, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(0, answer.peers_count);
    assert_scrape('a', 1, 1, 0);
    assert_int_equal(0, say('a', 2, 0, SK_TRACKER_COMPLETED, -1));
    assert_int_equal(0, say('a', 2, 0, SK_TRACKER_COMPLETED, -1)); /* counts once */
    assert_scrape('a', 2, 0, 1);
    assert_int_equal(0, say('a', 1, 9, SK_TRACKER_NONE, -1)); /* lost something */
    assert_scrape('a', 1, 1, 1);
    assert_int_equal(0, say('a', 1, 9, SK_TRACKER_STOPPED, -1));
    assert_int_equal(0, answer.peers_count);
    assert_int_equal(1, answer.seeds);
    assert_int_equal(0, answer.leechers);
    assert_int_equal(0, say('a', 1, 9, SK_TRACKER_STOPPED, -1)); /* of one that is not there */
    assert_scrape('a', 1, 0, 1);
    assert_scrape('b', 0, 1, 0);
    assert_scrape('c', 0, 0, 0);
}

static void test_draws_others_without_repetition(void **state)
{
    unsigned times[31] = {0};
    make(0, 0);
    for (unsigned n = 1; n <= 30; n++)
        assert_int_equal(0, say('a', n, 5, SK_TRACKER_STARTED, 0));
    assert_int_equal(0, answer.peers_count);
    for (int i = 0; i < 300; i++) {
        bool seen[31] = {false};
        assert_int_equal(0, say('a', 1, 5, SK_TRACKER_NONE, 1000));
        assert_int_equal(20, answer.peers_count); /* want_max */
        for (size_t k = 0; k < answer.peers_count; k++) {
            unsigned n = answer.peers[k].addr[3];
            assert_in_range(n, 2, 30);
            assert_false(seen[n]);
            seen[n] = true;
            times[n]++;
        }
    }
    for (unsigned n = 2; n <= 30; n++) /* 207 expected, deviation 8 */
        assert_in_range(times[n], 160, 250);
}

static void test_draws_of_one_family(void **state)
{
    struct sk_tracker_announce announce = {.want = 10};
    struct sk_endpoint peer = sk_endpoint_v4((const uint8_t *)"\x7f\0\0\x01", 6881);
    make(0, 0);
    memset(announce.info_hash, 'a', 20);
    for (unsigned n = 1; n <= 5; n++) {
        assert_int_equal(0, say('a', n, 5, SK_TRACKER_STARTED, 0));
        assert_int_equal(0, say('a', 10000 + n, 5, SK_TRACKER_STARTED, 0));
    }
    for (int family = SK_FAMILY_V4; family <= SK_FAMILY_V6; family += 2) {
        sk_announce_answer_deinit(&answer);
        assert_int_equal(0, sk_registry_announce(registry, &announce, &peer, (enum sk_family)family,
                                                 now, &answer));
        assert_int_equal(family == SK_FAMILY_V4 ? 4 : 5, answer.peers_count);
        for (size_t i = 0; i < answer.peers_count; i++)
            assert_int_equal(family, answer.peers[i].family);
    }
}

static void test_forgets_after_two_intervals(void **state)
{
    make(0, 0);
    assert_int_equal(0, say('a', 1, 0, SK_TRACKER_STARTED, -1));
    now += 60 * S;
    assert_int_equal(0, say('a', 2, 5, SK_TRACKER_STARTED, -1));
    now += 60 * S - 1;
    assert_scrape('a', 1, 1, 0);
    now += 1;
    assert_scrape('a', 0, 1, 0);
    assert_int_equal(0, say('a', 2, 5, SK_TRACKER_NONE, -1)); /* speaks again: stays */
    now += 120 * S - 1;
    assert_scrape('a', 0, 1, 0);
    now += 1;
    assert_scrape('a', 0, 0, 0);
}

static void test_port_0_is_answered_but_not_kept(void **state)
{
    struct sk_tracker_announce announce = {.want = 10};
    struct sk_endpoint peer = sk_endpoint_v4((const uint8_t *)"\x7f\0\0\x09", 0);
    make(0, 0);
    memset(announce.info_hash, 'a', 20);
    assert_int_equal(0, say('a', 1, 0, SK_TRACKER_STARTED, -1));
    sk_announce_answer_deinit(&answer);
    assert_int_equal(
        0, sk_registry_announce(registry, &announce, &peer, SK_FAMILY_NONE, now, &answer));
    assert_int_equal(1, answer.peers_count);
    assert_scrape('a', 1, 0, 0);
}

static void test_full_swarm_refuses_newcomers_only(void **state)
{
    make(0, 3);
    for (unsigned n = 1; n <= 3; n++)
        assert_int_equal(0, say('a', n, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(SKEP_ERR_LIMIT, say('a', 4, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(0, say('a', 3, 5, SK_TRACKER_NONE, -1));
    assert_int_equal(2, answer.peers_count);
    assert_int_equal(0, say('a', 1, 5, SK_TRACKER_STOPPED, -1));
    assert_int_equal(0, say('a', 4, 5, SK_TRACKER_STARTED, -1));
    assert_scrape('a', 0, 3, 0);
}

static void test_full_table_takes_no_more_swarms_until_some_die(void **state)
{
    make(2, 0);
    assert_int_equal(0, say('a', 1, 5, SK_TRACKER_STARTED, -1));
    now += 60 * S;
    assert_int_equal(0, say('b', 1, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(SKEP_ERR_LIMIT, say('c', 1, 5, SK_TRACKER_STARTED, -1));
    now += 60 * S;
    assert_int_equal(0, say('c', 1, 5, SK_TRACKER_STARTED, -1));
    assert_scrape('a', 0, 0, 0);
    assert_scrape('b', 0, 1, 0);
    assert_scrape('c', 0, 1, 0);
}

static void assert_counts(size_t swarms, size_t seeds, size_t leechers)
{
    struct sk_registry_counts counts;
    sk_registry_counts(registry, now, &counts);
    assert_int_equal(swarms, counts.swarms);
    assert_int_equal(seeds, counts.seeds);
    assert_int_equal(leechers, counts.leechers);
}

static void test_counts_of_all_swarms(void **state)
{
    make(0, 0);
    assert_int_equal(0, say('a', 1, 0, SK_TRACKER_STARTED, -1));
    assert_int_equal(0, say('b', 1, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(0, say('b', 2, 5, SK_TRACKER_STARTED, -1));
    assert_counts(2, 1, 2);
    now += 60 * S;
    assert_int_equal(0, say('b', 2, 0, SK_TRACKER_COMPLETED, -1));
    assert_counts(2, 2, 1);
    now += 60 * S;
    assert_counts(1, 1, 0); /* nobody asked for 'a' meanwhile */
    assert_int_equal(0, say('b', 2, 0, SK_TRACKER_STOPPED, -1));
    assert_counts(0, 0, 0);
}

/* No swarm and no host has all of the table to itself. */
static void test_full_table_takes_no_more_peers(void **state)
{
    make_with((struct sk_registry_config){.peers_all_max = 3, .host_peers_max = 2});
    assert_int_equal(0, say('a', 1, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(0, say('b', 1, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(SKEP_ERR_LIMIT, say('c', 1, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(0, say('c', 2, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(SKEP_ERR_LIMIT, say('c', 3, 5, SK_TRACKER_STARTED, -1));
    assert_counts(3, 0, 3);
    assert_int_equal(0, say('a', 1, 5, SK_TRACKER_STOPPED, -1));
    assert_int_equal(0, say('c', 1, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(SKEP_ERR_LIMIT, say('c', 3, 5, SK_TRACKER_STARTED, -1));
    now += 120 * S;
    assert_int_equal(0, say('c', 3, 5, SK_TRACKER_STARTED, -1));
    assert_counts(1, 0, 1);
}

static void test_a_network_of_ipv6_is_one_host(void **state)
{
    make_with((struct sk_registry_config){.host_peers_max = 2});
    assert_int_equal(0, say('a', 10001, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(0, say('a', 10002, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(SKEP_ERR_LIMIT, say('a', 10003, 5, SK_TRACKER_STARTED, -1));
}

static void test_serves_only_what_it_is_told(void **state)
{
    struct sk_map only;
    uint8_t hash[20];
    memset(hash, 'a', sizeof hash);
    sk_map_init(&only, sizeof hash, 1, 1);
    assert_int_equal(0, sk_map_put(&only, hash, hash));
    make_with((struct sk_registry_config){.only = &only});
    assert_int_equal(0, say('a', 1, 5, SK_TRACKER_STARTED, -1));
    assert_int_equal(SKEP_ERR_NOT_FOUND, say('b', 1, 5, SK_TRACKER_STARTED, -1));
    assert_counts(1, 0, 1);
    sk_map_deinit(&only);
}

static void test_swarms_without_peers_leave_no_trace(void **state)
{
    make(1, 0);
    for (char hash = 'a'; hash <= 'z'; hash++) {
        assert_int_equal(0, say(hash, 1, 5, SK_TRACKER_STOPPED, -1));
        assert_int_equal(0, say(hash, 1, 5, SK_TRACKER_STARTED, -1));
        assert_int_equal(0, say(hash, 1, 5, SK_TRACKER_STOPPED, -1));
    }
}

static void test_each_allocation_may_fail(void **state)
{
    size_t nth = 0;
    int err;
    make(0, 0);
    assert_int_equal(0, say('a', 1, 0, SK_TRACKER_STARTED, -1));
    do {
        sk_mem_fail_nth(++nth);
        err = say('b', 1, 5, SK_TRACKER_STARTED, -1);
        sk_mem_fail_nth(0);
        if (err)
            assert_int_equal(SKEP_ERR_NOMEM, err);
    } while (err);
    assert_true(nth > 4);
    sk_mem_fail_nth(1);
    err = say('b', 2, 5, SK_TRACKER_STARTED, -1);
    sk_mem_fail_nth(0);
    assert_int_equal(SKEP_ERR_NOMEM, err);
    assert_scrape('b', 0, 1, 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_counts),
        TEST(test_draws_others_without_repetition),
        TEST(test_draws_of_one_family),
        TEST(test_forgets_after_two_intervals),
        TEST(test_port_0_is_answered_but_not_kept),
        TEST(test_full_swarm_refuses_newcomers_only),
        TEST(test_full_table_takes_no_more_swarms_until_some_die),
        TEST(test_counts_of_all_swarms),
        TEST(test_full_table_takes_no_more_peers),
        TEST(test_a_network_of_ipv6_is_one_host),
        TEST(test_serves_only_what_it_is_told),
        TEST(test_swarms_without_peers_leave_no_trace),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
