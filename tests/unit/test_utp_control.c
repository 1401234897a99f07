/* proto/utp: how the window grows and yields (ledbat.c), and the search for a path's size (mtu.c).
 */
#include "proto/utp/ledbat.h"
#include "proto/utp/mtu.h"

#include "base/assert.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define RTT_US 100000
#define BASE_US 4000000000u /* clocks differ by anything, also by what wraps */

/* A round trip in which a whole window is acknowledged, in tenths. */
static void round_trip(struct sk_ledbat *ledbat, uint32_t queue_us, uint64_t *now_ns)
{
    double window = ledbat->window;
    for (int i = 0; i < 10; i++) {
        *now_ns += RTT_US * UINT64_C(100);
        for (int k = 0; k < SK_LEDBAT_RECENT; k++)
            sk_ledbat_delay(ledbat, BASE_US + queue_us, *now_ns);
        sk_ledbat_acked(ledbat, (uint32_t)(window / 10), 1, RTT_US + queue_us, true);
    }
    sk_ledbat_round(ledbat);
}

static struct sk_ledbat steady(double window, uint64_t *now_ns)
{
    struct sk_ledbat ledbat;
    sk_ledbat_init(&ledbat, 1452);
    sk_ledbat_delay(&ledbat, BASE_US, *now_ns);
    sk_ledbat_acked(&ledbat, 1, 1, RTT_US, false);
    ledbat.slow_start = false;
    ledbat.window = window;
    return ledbat;
}

/* The BEP's gain: so many bytes a round trip with an empty queue, half at half the target. */
static void test_gain(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(100000, &now_ns);
    round_trip(&ledbat, 0, &now_ns);
    assert_in_range(ledbat.window, 102900, 103000);
    ledbat.window = 100000;
    round_trip(&ledbat, SK_LEDBAT_TARGET_US / 2, &now_ns);
    assert_in_range(ledbat.window, 101400, 101500);
    ledbat.window = 100000;
    round_trip(&ledbat, SK_LEDBAT_TARGET_US, &now_ns);
    assert_in_range(ledbat.window, 99990, 100010);
}

static void test_slow_start(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(10000, &now_ns);
    ledbat.slow_start = true;
    round_trip(&ledbat, 0, &now_ns);
    assert_in_range(ledbat.window, 19990, 20010);
    round_trip(&ledbat, SK_LEDBAT_TARGET_US / 2 + 1000, &now_ns);
    assert_false(ledbat.slow_start);
    assert_in_range(ledbat.window, 20000, 22000);
}

/* Too long a queue: half of what is too much goes in a round trip. */
static void test_yields(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(400000, &now_ns);
    round_trip(&ledbat, 300000, &now_ns);
    assert_in_range(ledbat.window, 299000, 301000); /* 200 of 400 ms are too much */
    for (int i = 0; i < 50; i++)
        round_trip(&ledbat, 300000, &now_ns);
    assert_in_range(ledbat.window, 2 * 1452, 2 * 1452);
}

static void test_loss(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(100000, &now_ns);
    /* An empty queue: it was not that. */
    assert_false(sk_ledbat_lost(&ledbat));
    assert_in_range(ledbat.window, 100000, 100000);
    /* Once a round trip, however many. */
    round_trip(&ledbat, 10000, &now_ns);
    ledbat.window = 100000;
    assert_true(sk_ledbat_lost(&ledbat));
    assert_false(sk_ledbat_lost(&ledbat));
    assert_in_range(ledbat.window, 50000, 50000);
    sk_ledbat_round(&ledbat);
    assert_true(sk_ledbat_lost(&ledbat));
    assert_in_range(ledbat.window, 25000, 25000);
    /* So many that it is congestion, whatever the delay says. */
    ledbat = steady(100000, &now_ns);
    sk_ledbat_round(&ledbat);
    sk_ledbat_acked(&ledbat, 1, 180, RTT_US, false);
    for (int i = 0; i < 9; i++)
        assert_false(sk_ledbat_lost(&ledbat));
    assert_true(sk_ledbat_lost(&ledbat));
    assert_in_range(ledbat.window, 50000, 50000);
}

/* A queue that overflowed at 40 ms: from then on 20 ms are too many. */
static void test_short_queue(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(100000, &now_ns);
    for (int i = 0; i < 40; i++) {
        round_trip(&ledbat, 40000, &now_ns);
        sk_ledbat_lost(&ledbat);
    }
    ledbat.window = 100000;
    round_trip(&ledbat, 19000, &now_ns);
    assert_in_range(ledbat.window, 100000, 100500);
    round_trip(&ledbat, 30000, &now_ns);
    assert_in_range(ledbat.window, 90000, 99000);
    /* Nor does the shortest make us wait for a queue that is only noise. */
    for (int i = 0; i < 100; i++) {
        round_trip(&ledbat, 10000, &now_ns);
        sk_ledbat_lost(&ledbat);
    }
    ledbat.window = 100000;
    round_trip(&ledbat, 8000, &now_ns);
    assert_in_range(ledbat.window, 100100, 103000);
}

static void test_timeout(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(100000, &now_ns);
    sk_ledbat_timeout(&ledbat);
    assert_in_range(ledbat.window, 1452, 1452);
    for (int i = 0; i < 6; i++)
        round_trip(&ledbat, 0, &now_ns);
    /* Fast up to half of what it was, then by the gain. */
    assert_false(ledbat.slow_start);
    assert_in_range(ledbat.window, 50000, 62000);
}

static void test_base(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(100000, &now_ns);
    /* A standing queue is seen as one for two minutes ... */
    for (int i = 0; i < 1100; i++)
        round_trip(&ledbat, 50000, &now_ns);
    assert_int_equal(sk_ledbat_queue_us(&ledbat), 50000);
    /* ... and after three it is the path. */
    for (int i = 0; i < 1000; i++)
        round_trip(&ledbat, 50000, &now_ns);
    assert_int_equal(sk_ledbat_queue_us(&ledbat), 0);
    /* No queue is longer than the round trip that was measured. */
    sk_ledbat_acked(&ledbat, 1, 1, 3000, false);
    for (int i = 0; i < SK_LEDBAT_RECENT; i++)
        sk_ledbat_delay(&ledbat, BASE_US + 900000, now_ns);
    assert_int_equal(sk_ledbat_queue_us(&ledbat), 3000);
}

/* Their clock is slower by 50 ppm: ours seems to wait longer and longer, their delays to fall. */
static void test_drift(void **state)
{
    uint64_t now_ns = SECOND;
    struct sk_ledbat ledbat = steady(100000, &now_ns);
    for (uint32_t s = 0; s < 110; s++, now_ns += SECOND) {
        sk_ledbat_their_delay(&ledbat, 77 - s * 50, now_ns);
        sk_ledbat_delay(&ledbat, BASE_US + s * 50, now_ns);
    }
    assert_in_range(sk_ledbat_queue_us(&ledbat), 0, 200);
}

/* ---- mtu ---- */

/* Probes until the search is over; returns how many it took. */
static int probe(struct sk_utp_mtu *mtu, uint16_t path)
{
    int count = 0;
    for (uint16_t size; (size = sk_utp_mtu_wanted(mtu)); count++) {
        assert_in_range(size, mtu->floor + 1, mtu->ceiling);
        sk_utp_mtu_sent(mtu, size);
        assert_int_equal(sk_utp_mtu_wanted(mtu), 0);
        if (size <= path)
            sk_utp_mtu_passed(mtu, size);
        else
            sk_utp_mtu_lost(mtu, size);
    }
    return count;
}

static void test_search(void **state)
{
    for (uint32_t path = SK_UTP_MTU_FLOOR; path < 2000; path++) {
        struct sk_utp_mtu mtu;
        sk_utp_mtu_init(&mtu, 1472);
        assert_in_range(probe(&mtu, (uint16_t)path), 1, 16);
        assert_in_range(mtu.floor, SK_MIN(path, 1472) - SK_MIN(path - SK_UTP_MTU_FLOOR, 16), path);
        if (path >= 1472)
            assert_int_equal(mtu.floor, 1472);
    }
}

/* One lost probe is no proof. */
static void test_search_by_chance(void **state)
{
    struct sk_utp_mtu mtu;
    sk_utp_mtu_init(&mtu, 1472);
    sk_utp_mtu_sent(&mtu, 1472);
    sk_utp_mtu_lost(&mtu, 1472);
    assert_int_equal(sk_utp_mtu_wanted(&mtu), 1472);
    probe(&mtu, 1472);
    assert_int_equal(mtu.floor, 1472);
    /* The path became narrower; a probe of before is none of the new search's. */
    sk_utp_mtu_restart(&mtu);
    assert_int_equal(mtu.floor, SK_UTP_MTU_FLOOR);
    sk_utp_mtu_passed(&mtu, 1472);
    assert_int_equal(mtu.floor, SK_UTP_MTU_FLOOR);
    probe(&mtu, 1000);
    assert_in_range(mtu.floor, 984, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gain),        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_yields),      cmocka_unit_test(test_loss),
        cmocka_unit_test(test_short_queue), cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_base),        cmocka_unit_test(test_drift),
        cmocka_unit_test(test_search),      cmocka_unit_test(test_search_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
