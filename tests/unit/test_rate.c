/* The rate from arrivals: right where it is known, unknown where it is not. */
#include "audit/rate.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static struct sk_arrivals arrivals;
static struct sk_rate_estimate estimate;

static int set_up(void **state)
{
    arrivals = (struct sk_arrivals){0};
    return 0;
}

static int tear_down(void **state)
{
    sk_arrivals_deinit(&arrivals);
    return 0;
}

static void add(uint64_t at_ns, uint64_t bytes)
{
    assert_int_equal(sk_arrivals_add(&arrivals, at_ns, bytes), 0);
}

static void test_none_and_one(void **state)
{
    sk_rate_estimate(&arrivals, &estimate);
    assert_true(isnan(estimate.rate.rate) && isnan(estimate.gap_median_s));
    assert_null(estimate.how);
    add(5 * MS, 16384);
    sk_rate_estimate(&arrivals, &estimate);
    assert_true(isnan(estimate.rate.rate) && isnan(estimate.gap_median_s));
    assert_string_equal(estimate.how, "one arrival");
    assert_int_equal(estimate.samples, 1);
}

static void test_all_at_one_time(void **state)
{
    for (uint64_t i = 1; i <= 30; i++)
        add(5 * MS, i * 16384);
    sk_rate_estimate(&arrivals, &estimate);
    assert_true(isnan(estimate.rate.rate));
    assert_string_equal(estimate.how, "one arrival");
}

static void test_burst(void **state)
{
    for (uint64_t i = 0; i < 4; i++)
        add(1000 * MS + i * MS, (i + 1) * 16384);
    sk_rate_estimate(&arrivals, &estimate);
    assert_string_equal(estimate.how, "burst");
    assert_float_equal(estimate.rate.rate, 3 * 16384 / 0.003, 1);
    assert_true(isnan(estimate.rate.low) && isnan(estimate.rate.high));
}

/* A steady stream, from zero time on: its rate, with a narrow interval. */
static void test_steady(void **state)
{
    for (uint64_t i = 0; i < 1000; i++)
        add(i * 10 * MS, i * 16384);
    sk_rate_estimate(&arrivals, &estimate);
    assert_string_equal(estimate.how, "theil-sen");
    assert_float_equal(estimate.rate.rate, 1638400, 1);
    assert_float_equal(estimate.rate.low, 1638400, 2000);
    assert_float_equal(estimate.rate.high, 1638400, 2000);
    assert_true(arrivals.count <= SK_ARRIVALS_MAX);
    assert_int_equal(arrivals.gaps_count, 999);
    assert_true(estimate.gap_median_s > 0.005 && estimate.gap_median_s < 0.02);
    assert_true(estimate.span_s > 6);
}

/* The time in which the window opens does not count. */
static void test_slow_start(void **state)
{
    uint64_t at = 0, bytes = 0;
    for (int i = 0; i < 20; i++)
        add(at += 50 * MS, bytes += 16384);
    for (int i = 0; i < 300; i++)
        add(at += 5 * MS, bytes += 16384);
    sk_rate_estimate(&arrivals, &estimate);
    assert_float_equal(estimate.rate.rate, 16384 / 0.005, 20000);
}

/* One long pause does not move the median. */
static void test_outlier(void **state)
{
    uint64_t at = 0, bytes = 0;
    for (int i = 0; i < 100; i++)
        add(at += i == 60 ? 100 * MS : 10 * MS, bytes += 16384);
    sk_rate_estimate(&arrivals, &estimate);
    assert_float_equal(estimate.rate.rate, 1638400, 1638400 * 0.15);
    assert_true(estimate.rate.low < estimate.rate.rate);
    assert_true(estimate.rate.high > estimate.rate.rate);
}

/* The interval covers the true rate about as often as it says. */
static void test_coverage_of_interval(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 9);
    int covered = 0;
    for (int round = 0; round < 200; round++) {
        uint64_t at = 0, bytes = 0;
        arrivals = (struct sk_arrivals){0};
        for (int i = 0; i < 400; i++) {
            at += (uint64_t)(-log(1 - sk_prng_unit(&prng)) * 10 * (double)MS);
            add(at, bytes += 16384);
        }
        sk_rate_estimate(&arrivals, &estimate);
        covered += estimate.rate.low <= 1638400 && estimate.rate.high >= 1638400;
        sk_arrivals_deinit(&arrivals);
    }
    assert_in_range(covered, 170, 200);
}

/* Most of the bytes come from a full bucket in no time, the rest at its rate. */
static void test_token_bucket(void **state)
{
    uint64_t at = 0, bytes = 0;
    for (int i = 0; i < 160; i++)
        add(at += MS / 10, bytes += 4096);
    for (int i = 0; i < 100; i++)
        add(at += 4 * MS, bytes += 4096);
    sk_rate_estimate(&arrivals, &estimate);
    assert_float_equal(estimate.rate.rate, 4096 / 0.004, 4096 / 0.004 * 0.01);
    assert_true(estimate.rate.low > 0.9 * 4096 / 0.004);
    assert_true(estimate.span_s < 0.42);
}

/* A lost packet holds back what comes after it, until it is sent again: time and again. */
static void test_held_back(void **state)
{
    double rate = 1448 / 0.004;
    uint64_t shown = 0;
    for (uint64_t i = 1; i <= 1000; i++) {
        bool held = i % 200 > 60 && i % 200 < 150;
        shown = held ? shown + 64 * (i % 16 == 0) : i * 1448;
        if (!held || i % 16 == 0)
            add(i * 4 * MS, shown);
    }
    sk_rate_estimate(&arrivals, &estimate);
    assert_float_equal(estimate.rate.rate, rate, rate * 0.01);
    assert_true(estimate.rate.low <= rate && rate <= estimate.rate.high);
}

/* Lumps of 24 KiB: an interval is not narrower than one of them. */
static void test_lumps(void **state)
{
    for (uint64_t i = 0; i < 30; i++)
        add(i * 400 * MS, i * 24576);
    sk_rate_estimate(&arrivals, &estimate);
    assert_float_equal(estimate.rate.rate, 61440, 600);
    assert_true(estimate.rate.high - estimate.rate.rate > 0.99 * 24576 / 12);
    assert_true(estimate.rate.high - estimate.rate.rate < 4 * 24576 / 12.0);
}

static void test_no_memory(void **state)
{
    sk_mem_fail_nth(1);
    assert_int_equal(sk_arrivals_add(&arrivals, 1, 1), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(0);
    for (uint64_t i = 1; i < 30; i++)
        add(i * 10 * MS, i * 16384);
    sk_mem_fail_nth(1);
    sk_rate_estimate(&arrivals, &estimate);
    sk_mem_fail_nth(0);
    assert_true(isnan(estimate.rate.rate));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_none_and_one),
        TEST(test_all_at_one_time),
        TEST(test_burst),
        TEST(test_steady),
        TEST(test_slow_start),
        TEST(test_outlier),
        TEST(test_token_bucket),
        TEST(test_held_back),
        TEST(test_lumps),
        TEST(test_no_memory),
        TEST(test_coverage_of_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
