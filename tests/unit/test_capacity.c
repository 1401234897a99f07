/* The capacity from dispersion: what limits a peer's average does not hide its link, and what only
 * looks like a link is not taken for one. */
#include "audit/capacity.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define US UINT64_C(1000)
#define PACKET 1448
#define LINK 1e6 /* bytes a second: a packet takes 1.448 ms */
#define PACKET_NS ((uint64_t)(PACKET / LINK * 1e9))

static struct sk_arrivals arrivals;
static struct sk_capacity_estimate estimate;
static struct sk_rate_estimate delivered;
static struct sk_prng prng;
static uint64_t at_ns, seen_ns, bytes;

static int set_up(void **state)
{
    arrivals = (struct sk_arrivals){0};
    at_ns = seen_ns = bytes = 0;
    sk_prng_init(&prng, 5);
    return 0;
}

static int tear_down(void **state)
{
    sk_arrivals_deinit(&arrivals);
    return 0;
}

/* A packet after so much time; we stamp it some 50 us late. */
static void come(uint64_t after_ns, uint64_t size)
{
    at_ns += after_ns;
    bytes += size;
    uint64_t stamp_ns = at_ns + sk_prng_below(&prng, 50 * US);
    seen_ns = SK_MAX(stamp_ns, seen_ns);
    assert_int_equal(sk_arrivals_add(&arrivals, seen_ns, bytes), 0);
}

static void judge(void)
{
    sk_rate_estimate(&arrivals, &delivered);
    sk_capacity_estimate(&arrivals, &delivered, &estimate);
}

/* A client's own limit: every 100 ms it lets 25 packets go. */
static void test_limiter(void **state)
{
    for (int tick = 0; tick < 30; tick++)
        for (int i = 0; i < 25; i++)
            come(i ? PACKET_NS : 100000 * US - 24 * PACKET_NS, PACKET);
    judge();
    assert_string_equal(estimate.how, "trains");
    assert_float_equal(estimate.rate.rate, LINK, LINK * 0.02);
    assert_true(estimate.rate.low <= LINK && LINK <= estimate.rate.high);
    assert_true(delivered.rate.rate < LINK / 2);
}

/* A policer at a quarter of the link: runs at the link's rate until packets are dropped, a stop
 * until the first of them comes again, what it held back all at once, then a careful sender. */
static void test_policed(void **state)
{
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 12; i++)
            come(PACKET_NS, PACKET);
        come(40 * PACKET_NS, 2 * PACKET);
        come(PACKET_NS, (2 + round % 9) * PACKET);
        for (int i = 0; i < 8; i++)
            come(5 * PACKET_NS, PACKET);
    }
    judge();
    assert_string_equal(estimate.how, "drops");
    assert_float_equal(estimate.rate.rate, LINK, LINK * 0.05);
    assert_in_range(estimate.rate.low, 0.95 * LINK, LINK);
    assert_true(isnan(estimate.rate.high)); /* of the link, not of the policer */
    assert_float_equal(delivered.rate.rate, LINK * 28 / 93, LINK * 0.1);
}

/* Two others get their packets from the same link; one in three of ours follows one of ours. */
static void test_shared(void **state)
{
    for (int i = 0; i < 900; i++)
        come((i % 3 ? 4 : 1) * PACKET_NS, PACKET);
    judge();
    assert_string_equal(estimate.how, "pairs");
    assert_float_equal(estimate.rate.rate, LINK, LINK * 0.02);
    assert_in_range(estimate.rate.low, 0.95 * LINK, LINK);
    assert_true(isnan(estimate.rate.high));
    assert_float_equal(delivered.rate.rate, LINK / 3, LINK * 0.01);
}

/* Each packet that is sent again lets two go that had waited for it: a link three times as fast, by
 * such arrivals. It carries at least what came. */
static void test_repair(void **state)
{
    for (int i = 0; i < 300; i++) {
        come(PACKET_NS, 3 * PACKET);
        come(3 * PACKET_NS, PACKET);
    }
    judge();
    assert_string_equal(estimate.how, "pairs");
    assert_true(estimate.rate.rate > 2 * LINK);
    assert_true(0.9 * LINK < estimate.rate.low && estimate.rate.low <= LINK);
    assert_true(isnan(estimate.rate.high));
}

/* A narrow link, or a fair share of a wide one: at least that. */
static void test_steady(void **state)
{
    for (int i = 0; i < 600; i++)
        come(PACKET_NS, PACKET);
    judge();
    assert_string_equal(estimate.how, "steady");
    assert_true(estimate.rate.rate == delivered.rate.rate);
    assert_true(estimate.rate.low == delivered.rate.low && isnan(estimate.rate.high));
}

/* The bucket that was full lets a third of all through at ten times the rate. */
static void test_token_bucket(void **state)
{
    for (int i = 0; i < 200; i++)
        come(PACKET_NS / 10, PACKET);
    for (int i = 0; i < 400; i++)
        come(PACKET_NS, PACKET);
    judge();
    assert_string_equal(estimate.how, "steady");
    assert_float_equal(estimate.rate.rate, LINK, LINK * 0.02);
}

/* It gave us more at first, but no more than the link carries: what came then counts. */
static void test_larger_share_at_first(void **state)
{
    for (int i = 0; i < 60; i++) {
        come((3 + (uint64_t)i % 5) * PACKET_NS, PACKET);
        come(PACKET_NS, PACKET);
    }
    for (int i = 0; i < 50; i++) {
        come((30 + (uint64_t)i % 7) * PACKET_NS, PACKET);
        come(2 * PACKET_NS, PACKET);
    }
    judge();
    assert_true(delivered.span_s < 0.9 * (double)(at_ns - arrivals.list[0].at_ns) / 1e9);
    assert_in_range(estimate.rate.rate, 0.97 * LINK, 1.03 * LINK);
}

/* A bucket that was full, before a link that others share: it carries no more than a pair shows. */
static void test_token_bucket_and_shared(void **state)
{
    for (int i = 0; i < 300; i++)
        come(PACKET_NS, PACKET);
    for (int i = 0; i < 100; i++) {
        come(8 * (5 + (uint64_t)i % 4) * PACKET_NS, PACKET);
        come(8 * PACKET_NS, PACKET);
    }
    judge();
    assert_in_range(estimate.rate.rate, 0.97 * LINK / 8, 1.03 * LINK / 8);
}

/* A link that sends a packet in five of these times, and 22 packets of a further lap each in `each`
 * of them. */
static void token_bucket_and_laps(int first, int each)
{
    for (int i = 0; i < first; i++)
        come(PACKET_NS, PACKET);
    for (int i = first; i < 724; i++)
        come(5 * PACKET_NS, PACKET);
    judge();
    assert_true(estimate.rate.low < LINK / 5);
    for (int lap = 0; lap < 10; lap++) {
        sk_capacity_refine(&arrivals, &delivered, &estimate);
        assert_true(estimate.rate.low < LINK / 5);
        for (int i = 0; i < 22; i++)
            come(i ? (uint64_t)each * PACKET_NS : 40000 * US, PACKET);
    }
}

/* Laps or not: what a bucket let through at first is not what the link carries. */
static void test_token_bucket_before_laps(void **state)
{
    token_bucket_and_laps(160, 5);
}

/* Nor what it lets through in a lap, since it has filled meanwhile. */
static void test_token_bucket_in_laps(void **state)
{
    token_bucket_and_laps(20, 1);
}

/* TCP's window grows: short trains, each round trip twice as long. */
static void test_slow_start(void **state)
{
    for (int window = 2; window <= 64; window *= 2)
        for (int i = 0; i < window; i++)
            come(i ? PACKET_NS : 100000 * US, PACKET);
    for (int i = 0; i < 400; i++)
        come(PACKET_NS, PACKET);
    judge();
    assert_string_equal(estimate.how, "steady");
    assert_float_equal(estimate.rate.rate, LINK, LINK * 0.03);
}

/* Segments of 11 packets pass a shaper whole: within one there is no dispersion. */
static void test_lumps(void **state)
{
    for (int i = 0; i < 100; i++)
        for (int k = 0; k < 11; k++)
            come(k ? 10 * US : 11 * PACKET_NS - 100 * US, PACKET);
    judge();
    assert_string_equal(estimate.how, "steady");
    assert_float_equal(estimate.rate.rate, LINK, LINK * 0.02);
}

/* Now and then we read late: what had come meanwhile comes in two parts, at once. */
static void test_late_reading(void **state)
{
    const double link = 25e6;
    const uint64_t packet_ns = (uint64_t)(PACKET / link * 1e9);
    for (int i = 0; i < 30; i++) {
        come(40000 * US, 700000);
        come(2000 * US, 350000);
        for (int k = 0; k < 40; k++)
            come(packet_ns, PACKET);
    }
    judge();
    assert_true(estimate.rate.rate < 1.2 * link);
}

static void test_too_short(void **state)
{
    for (int i = 0; i < 12; i++)
        come(PACKET_NS, PACKET);
    judge();
    assert_string_equal(estimate.how, "trains too short");
    assert_true(isnan(estimate.rate.rate) && isnan(estimate.rate.low));
}

static void test_nothing(void **state)
{
    judge();
    assert_string_equal(estimate.how, "trains too short");
    assert_true(isnan(estimate.rate.rate));
}

/* As often as it says, the interval holds the link's rate. */
static void test_coverage_of_interval(void **state)
{
    int covered = 0;
    for (int round = 0; round < 100; round++) {
        set_up(NULL);
        sk_prng_init(&prng, (uint64_t)round);
        for (int tick = 0; tick < 20; tick++)
            for (int i = 0; i < 20; i++)
                come(i ? PACKET_NS : 100000 * US, PACKET);
        judge();
        covered += estimate.rate.low <= LINK && LINK <= estimate.rate.high;
        sk_arrivals_deinit(&arrivals);
    }
    assert_in_range(covered, 93, 100);
}

static void test_no_memory(void **state)
{
    for (int i = 0; i < 100; i++)
        come(PACKET_NS, PACKET);
    sk_rate_estimate(&arrivals, &delivered);
    sk_mem_fail_nth(1);
    sk_capacity_estimate(&arrivals, &delivered, &estimate);
    sk_mem_fail_nth(0);
    assert_true(isnan(estimate.rate.rate));
    assert_string_equal(estimate.how, "out of memory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_limiter),
        TEST(test_policed),
        TEST(test_shared),
        TEST(test_repair),
        TEST(test_steady),
        TEST(test_token_bucket),
        TEST(test_slow_start),
        TEST(test_lumps),
        TEST(test_late_reading),
        TEST(test_larger_share_at_first),
        TEST(test_token_bucket_and_shared),
        TEST(test_token_bucket_before_laps),
        TEST(test_token_bucket_in_laps),
        TEST(test_too_short),
        TEST(test_nothing),
        TEST(test_coverage_of_interval),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
