/* What honest clients announce is recorded, what a flood announces is not. */
#include "store/announce_quota.h"

#include <skep/err.h>

#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)
#define INTERVAL_S 1800
#define MIN_INTERVAL_S 60

static struct sk_announce_quota *quota;
static const uint8_t key[SK_SIPHASH_KEY_SIZE] = "a key for tests";

static int set_up(void **state)
{
    return sk_announce_quota_new(INTERVAL_S, MIN_INTERVAL_S, key, &quota);
}

static int tear_down(void **state)
{
    sk_announce_quota_free(quota);
    return 0;
}

/* Client `id` behind this address. */
static struct sk_announce from(const char *address, uint32_t id)
{
    struct sk_announce announce = {.has_peer_id = true};
    assert_int_equal(0, sk_endpoint_parse(address, 6881, &announce.endpoint));
    snprintf((char *)announce.peer_id, sizeof announce.peer_id, "-XX0000-%u", id);
    return announce;
}

static bool take(const char *address, uint32_t id, double at_s)
{
    const struct sk_announce announce = from(address, id);
    return sk_announce_quota_take(quota, &announce, (uint64_t)(at_s * 1e9));
}

/* Hundreds behind one address, each with all events, and twice as often as it is asked. */
static void test_honest_clients_are_recorded(void **state)
{
    for (uint32_t id = 0; id < 300; id++) {
        double at_s = id * 3.0;
        for (int event = 0; event < 3; event++)
            assert_true(take("192.0.2.1", id, at_s + event));
    }
    for (double at_s = 3600; at_s < 4 * 3600; at_s += INTERVAL_S / 2)
        for (uint32_t id = 0; id < 300; id++)
            assert_true(take("192.0.2.1", id, at_s + id));
    for (double at_s = 0; at_s < 3600; at_s += MIN_INTERVAL_S)
        assert_true(take("[2001:db8::1]", 1, 20000 + at_s));
}

static void test_a_client_that_floods(void **state)
{
    unsigned recorded = 0;
    for (int i = 0; i < 100000; i++)
        recorded += take("192.0.2.1", 1, 100 + i / 1000.0);
    assert_int_equal(SK_QUOTA_CLIENT_ROWS + 100 * 2 / MIN_INTERVAL_S, recorded);
    assert_true(take("192.0.2.1", 2, 200)); /* its neighbour says something */
    struct sk_announce other = from("192.0.2.1", 1);
    other.info_hash[0] = 1; /* and itself, of another torrent */
    assert_true(sk_announce_quota_take(quota, &other, 200 * SECOND_NS));
    assert_true(take("192.0.2.1", 1, 300));
}

/* Who calls itself another each time gains nothing by that, nor by the addresses of a network. */
static void test_a_network_that_floods(void **state)
{
    char address[64];
    unsigned recorded = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "[2001:db8:1:%x::%x]", i % 65536, i % 7);
        recorded += take(address, i, 100 + i / 1000.0);
    }
    unsigned due = SK_QUOTA_NETWORK_CLIENTS + 100 * SK_QUOTA_NETWORK_CLIENTS / INTERVAL_S;
    assert_in_range(recorded, due - 1, due + 1);
    assert_true(take("[2001:db8:2::1]", 1, 200));
    assert_true(take("192.0.2.7", 1, 200));
}

static void test_each_allocation_may_fail(void **state)
{
    struct sk_announce_quota *another;
    size_t nth = 0;
    int err;
    do {
        sk_mem_fail_nth(++nth);
        err = sk_announce_quota_new(INTERVAL_S, MIN_INTERVAL_S, key, &another);
        sk_mem_fail_nth(0);
    } while (err == SKEP_ERR_NOMEM);
    assert_int_equal(0, err);
    assert_int_equal(4, nth);
    sk_announce_quota_free(another);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_honest_clients_are_recorded),
        TEST(test_a_client_that_floods),
        TEST(test_a_network_that_floods),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
