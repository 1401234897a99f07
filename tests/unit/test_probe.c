/* The probe of one peer, state by state. */
#include "audit/probe.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct sk_probe probe;

static int set_up(void **state)
{
    sk_probe_init(&probe, 1000000);
    return 0;
}

static int tear_down(void **state)
{
    sk_probe_deinit(&probe);
    return 0;
}

static void start(uint64_t now_ns)
{
    sk_probe_interested(&probe, now_ns);
    sk_probe_allowed(&probe);
    sk_probe_run(&probe, now_ns);
}

static void test_states(void **state)
{
    sk_probe_allowed(&probe); /* before interest was shown: nothing */
    assert_int_equal(probe.state, SK_PROBE_IDLE);
    assert_int_equal(sk_probe_may_ask(&probe, 250), 0);
    sk_probe_interested(&probe, 5 * SECOND);
    assert_int_equal(probe.state, SK_PROBE_WAITING);
    assert_float_equal(sk_probe_wanted_s(&probe, 7 * SECOND), 2, 0);
    sk_probe_allowed(&probe);
    assert_int_equal(probe.state, SK_PROBE_READY);
    assert_int_equal(sk_probe_may_ask(&probe, 250), 0);
    sk_probe_run(&probe, 6 * SECOND);
    assert_int_equal(sk_probe_may_ask(&probe, 250), SK_PROBE_WINDOW_FIRST);
    sk_probe_choked(&probe, 8 * SECOND);
    assert_int_equal(probe.state, SK_PROBE_WAITING);
    sk_probe_allowed(&probe);
    sk_probe_choked(&probe, 9 * SECOND); /* while it waits for a slot */
    assert_int_equal(probe.state, SK_PROBE_WAITING);
    sk_probe_allowed(&probe);
    sk_probe_run(&probe, 20 * SECOND);
    assert_float_equal(sk_probe_seconds(&probe, 21 * SECOND), 3, 1e-9); /* 2 and 1 */
    sk_probe_end(&probe, 21 * SECOND);
    assert_int_equal(probe.state, SK_PROBE_DONE);
    assert_float_equal(sk_probe_seconds(&probe, 99 * SECOND), 3, 1e-9);
    sk_probe_choked(&probe, 22 * SECOND);
    sk_probe_allowed(&probe);
    assert_int_equal(probe.state, SK_PROBE_DONE);
    assert_float_equal(sk_probe_wanted_s(&probe, 25 * SECOND), 20, 0);
}

static void test_window(void **state)
{
    start(1);
    for (uint32_t i = 0; i < SK_PROBE_WINDOW_FIRST; i++)
        sk_probe_asked(&probe, 16384);
    assert_int_equal(sk_probe_may_ask(&probe, 250), 0);
    sk_probe_came(&probe, 16384, 250);
    assert_int_equal(sk_probe_may_ask(&probe, 250), 2); /* one more than before */
    assert_int_equal(sk_probe_may_ask(&probe, 8), 1);   /* not more than it takes */
    assert_int_equal(sk_probe_may_ask(&probe, 3), 0);
    for (uint32_t i = 0; i < 1000; i++)
        sk_probe_came(&probe, 1, 20);
    assert_int_equal(probe.window, 20);
    assert_int_equal(probe.pending, 0); /* what nobody asked for does not make it negative */
}

static void test_budget(void **state)
{
    start(1);
    assert_int_equal(sk_probe_left(&probe), 1000000);
    for (int i = 0; i < 62; i++)
        sk_probe_asked(&probe, 16384);
    assert_int_equal(sk_probe_left(&probe), 0);
    sk_probe_lost(&probe, 16384);
    assert_int_equal(sk_probe_left(&probe), 1000000 - 61 * 16384);
    for (int i = 0; i < 61; i++)
        sk_probe_came(&probe, 16384, 250);
    assert_false(sk_probe_over(&probe, 10, 2));
    sk_probe_came(&probe, 16384, 250);
    assert_true(sk_probe_over(&probe, 10, 2));
    for (int i = 0; i < 100; i++)
        sk_probe_lost(&probe, 16384);
    assert_int_equal(probe.asked, 0);
    assert_int_equal(probe.pending, 0);
}

static void test_over_by_time(void **state)
{
    start(5 * SECOND);
    assert_false(sk_probe_over(&probe, 10, 14 * SECOND));
    assert_true(sk_probe_over(&probe, 10, 15 * SECOND));
    sk_probe_choked(&probe, 14 * SECOND);
    assert_false(sk_probe_over(&probe, 10, 99 * SECOND)); /* only while it runs */
}

/* The rate is that of the time spent RUNNING: pauses by choking do not count. */
static void test_arrivals(void **state)
{
    uint64_t now = SECOND;
    struct sk_rate_estimate estimate;
    start(now);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            sk_probe_arrived(&probe, 16384, now += SECOND / 100);
        sk_probe_choked(&probe, now);
        sk_probe_arrived(&probe, 999999, now); /* what comes late belongs to no time */
        now += 30 * SECOND;
        sk_probe_allowed(&probe);
        sk_probe_run(&probe, now);
    }
    assert_int_equal(probe.arrived, 60 * 16384);
    sk_rate_estimate(&probe.arrivals, &estimate);
    assert_float_equal(estimate.rate.rate, 1638400, 10);
}

static void test_put_off(void **state)
{
    start(SECOND);
    sk_probe_asked(&probe, 16384);
    sk_probe_put_off(&probe);
    assert_int_equal(probe.state, SK_PROBE_WAITING);
    assert_int_equal(probe.pending + probe.asked, 0);
    assert_float_equal(sk_probe_seconds(&probe, 9 * SECOND), 0, 0);
    sk_probe_allowed(&probe);
    sk_probe_run(&probe, 20 * SECOND);
    assert_false(sk_probe_over(&probe, 10, 29 * SECOND));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_states),       TEST(test_window),   TEST(test_budget),
        TEST(test_over_by_time), TEST(test_arrivals), TEST(test_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
