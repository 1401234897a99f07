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
    sk_probe_init(&probe, 1000000, 8000000);
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
    sk_probe_came(&probe, 16384, 250, 2);
    assert_int_equal(sk_probe_may_ask(&probe, 250), 2); /* one more than before */
    assert_int_equal(sk_probe_may_ask(&probe, SK_PROBE_WINDOW_FIRST),
                     1); /* not more than it takes */
    assert_int_equal(sk_probe_may_ask(&probe, 3), 0);
    for (uint32_t i = 0; i < 1000; i++)
        sk_probe_came(&probe, 1, 100, 2);
    assert_int_equal(probe.window, 100);
    assert_int_equal(probe.pending, 0); /* what nobody asked for does not make it negative */
    for (uint32_t i = 0; i < 1000; i++)
        sk_probe_lost(&probe, 1);
    assert_int_equal(probe.window, SK_PROBE_WINDOW_LEAST);
}

/* What it is asked for takes a slow peer four seconds at most; its HAVEs wait behind it. */
static void test_window_of_a_slow_peer(void **state)
{
    static const struct {
        uint32_t blocks_s, window;
    } cases[] = {{1, SK_PROBE_WINDOW_SHALLOW}, {5, 21}, {20, 70}};
    for (size_t k = 0; k < SK_ARRAY_LEN(cases); k++) {
        uint64_t now = SECOND;
        sk_probe_init(&probe, 1000000, 32000000);
        sk_probe_shallow(&probe);
        start(now);
        for (uint32_t i = 0; i < 60; i++)
            sk_probe_came(&probe, 16384, 250, now += SECOND / cases[k].blocks_s);
        assert_in_range(probe.window, SK_PROBE_WINDOW_SHALLOW, cases[k].window);
        assert_true(probe.window + 3 >= SK_MIN(cases[k].window, 60));
    }
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
        sk_probe_came(&probe, 16384, 250, 2);
    assert_false(sk_probe_over(&probe, 10, 2));
    sk_probe_came(&probe, 16384, 250, 2);
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

/* Takes blocks at a rate until the probe is over; the pipeline is kept full. */
static void take(double bytes_s, uint64_t *now_ns, uint64_t least_left)
{
    while (!sk_probe_over(&probe, 10, *now_ns) && probe.got + least_left < probe.budget) {
        while (sk_probe_may_ask(&probe, 250) && sk_probe_left(&probe))
            sk_probe_asked(&probe, 16384);
        *now_ns += (uint64_t)(16384 / bytes_s * 1e9);
        sk_probe_came(&probe, 16384, 250, *now_ns);
        sk_probe_lengthen(&probe);
        sk_probe_arrived(&probe, 16384, *now_ns);
    }
}

/* Below 20 Mbit/s the first budget is all, however wide the interval. */
static void test_slow_is_not_lengthened(void **state)
{
    uint64_t now = SECOND;
    start(now);
    take(2.0e6, &now, 0);
    assert_int_equal(probe.budget, 1000000);
}

/* A full bucket makes it look fast for half of the budget. */
static void test_bucket_is_not_lengthened(void **state)
{
    uint64_t now = SECOND;
    start(now);
    take(50e6, &now, 500000);
    take(1e6, &now, 0);
    assert_int_equal(probe.budget, 1000000);
}

/* 40 ms say little: until a quarter of a second has been seen. */
static void test_fast_is_lengthened(void **state)
{
    uint64_t now = SECOND;
    start(now);
    take(11e6, &now, 0);
    assert_int_equal(probe.budget, 4000000);
    assert_true(sk_probe_seconds(&probe, now) > SK_PROBE_SPAN_S);
}

/* Not beyond what may be taken. */
static void test_lengthened_to_the_limit(void **state)
{
    uint64_t now = SECOND;
    start(now);
    take(100e6, &now, 0);
    assert_int_equal(probe.budget, 8000000);
    assert_in_range(probe.asked, 8000000, 8000000 + 16384);
}

/* The larger budget comes while blocks of the first are still under way. */
static void test_lengthened_in_time(void **state)
{
    uint64_t now = SECOND;
    start(now);
    take(12.5e6, &now, 200000);
    assert_true(probe.budget > 1000000 && probe.pending > 0);
}

/* Sends all that it was asked for at once, a round trip after it was: a far peer on a wide link. */
static void windows(uint32_t request_max, uint32_t rounds)
{
    uint64_t now = SECOND;
    start(now);
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t asked = sk_probe_may_ask(&probe, request_max);
        for (uint32_t k = 0; k < asked; k++)
            sk_probe_asked(&probe, 16384);
        now += SECOND / 2;
        /* A segment of each block comes before the rest of it. */
        for (uint32_t k = 0; k < asked; k++) {
            sk_probe_arrived(&probe, 1448, now += 1448);
            now += 16384 - 1448;
            sk_probe_came(&probe, 16384, request_max, now);
            sk_probe_arrived(&probe, 16384 - 1448, now);
        }
    }
}

static void test_our_pipeline_was_the_limit(void **state)
{
    struct sk_rate_estimate delivered;
    struct sk_capacity_estimate capacity;
    windows(100000, 4);
    sk_probe_judge(&probe, &delivered, &capacity);
    assert_string_equal(delivered.how, "our pipeline was the limit");
    assert_true(isnan(delivered.rate.rate) && isnan(delivered.rate.low));
}

/* It takes no more requests: then that is what it gives. */
static void test_its_queue_was_the_limit(void **state)
{
    struct sk_rate_estimate delivered;
    struct sk_capacity_estimate capacity;
    windows(70, 12);
    sk_probe_judge(&probe, &delivered, &capacity);
    assert_string_equal(delivered.how, "theil-sen");
    assert_float_equal(delivered.rate.rate, 70 * 16384 / 0.5, 70 * 16384 / 0.5 * 0.15);
}

/* A peer that pauses although more has been asked of it limits itself. */
static void test_pauses_are_its_own(void **state)
{
    struct sk_rate_estimate delivered;
    struct sk_capacity_estimate capacity;
    uint64_t now = SECOND;
    start(now);
    for (int tick = 0; tick < 10; tick++) {
        now += SECOND / 10;
        take(10e6, &now, probe.budget - probe.got - 80000);
    }
    sk_probe_judge(&probe, &delivered, &capacity);
    assert_string_equal(delivered.how, "theil-sen");
}

/* What was measured stays when the arrivals are gone. */
static void test_judged_at_the_end(void **state)
{
    struct sk_rate_estimate before, after;
    struct sk_capacity_estimate capacity_before, capacity_after;
    uint64_t now = SECOND;
    start(now);
    take(1e6, &now, 0);
    sk_probe_judge(&probe, &before, &capacity_before);
    sk_probe_end(&probe, now);
    assert_null(probe.arrivals.list);
    sk_probe_judge(&probe, &after, &capacity_after);
    assert_true(before.rate.rate == after.rate.rate && before.rate.low == after.rate.low);
    assert_float_equal(after.rate.rate, 1e6, 1e4);
    assert_true(capacity_before.rate.low == capacity_after.rate.low);
    assert_ptr_equal(capacity_before.how, capacity_after.how);
}

#define PACKET 1448
#define PACKET_NS 10000000u /* a link of 144,800 bytes a second, */

/* of which others take most: one packet of ours in 30. */
static void come_by_turns(uint64_t *now_ns, uint32_t packets)
{
    for (uint32_t i = 0; i < packets; i++)
        sk_probe_arrived(&probe, PACKET, *now_ns += PACKET_NS * (28 + i % 5));
}

/* Two blocks, the first two packets of which come one after the other. */
static void run_lap(uint64_t *now_ns)
{
    sk_probe_again(&probe, 2 * SK_BLOCK_SIZE);
    assert_int_equal(probe.state, SK_PROBE_IDLE);
    assert_true(sk_probe_is_measured(&probe) && sk_probe_is_fresh(&probe));
    start(*now_ns += 10 * SECOND);
    assert_int_equal(sk_probe_may_ask(&probe, 250), SK_PROBE_LAP_BLOCKS);
    for (int i = 0; i < 2; i++)
        sk_probe_asked(&probe, SK_BLOCK_SIZE);
    assert_false(sk_probe_is_fresh(&probe));
    assert_int_equal(sk_probe_left(&probe), 0);
    assert_false(sk_probe_over(&probe, 10, *now_ns + 9 * SECOND));
    assert_true(sk_probe_over(&probe, 10, *now_ns + 11 * SECOND));
    come_by_turns(now_ns, 1);
    sk_probe_arrived(&probe, PACKET, *now_ns += PACKET_NS);
    come_by_turns(now_ns, 20);
    for (int i = 0; i < 2; i++)
        sk_probe_came(&probe, SK_BLOCK_SIZE, 250, *now_ns);
    assert_true(sk_probe_over(&probe, 10, *now_ns));
    sk_probe_end(&probe, *now_ns);
}

/* What one lap does not tell, several do; what was delivered is as it was. */
static void test_laps(void **state)
{
    uint64_t now = SECOND;
    probe.laps = 6;
    probe.laps_bytes = 1000000;
    start(now);
    come_by_turns(&now, 30);
    sk_probe_end(&probe, now);
    assert_true(sk_probe_lacks(&probe));
    assert_string_equal(probe.capacity.how, "steady");
    double rate = probe.delivered.rate.rate;
    uint32_t laps = 0;
    for (; sk_probe_lacks(&probe); laps++)
        run_lap(&now);
    assert_in_range(laps, 2, 5);
    assert_string_equal(probe.capacity.how, "pairs");
    assert_float_equal(probe.capacity.rate.rate, PACKET * 1e9 / PACKET_NS, 2000);
    assert_float_equal(probe.delivered.rate.rate, rate, 0);
    assert_null(probe.arrivals.list); /* no more is needed */
}

/* Nothing is left of the bytes: no arrivals are kept for more. */
static void test_no_bytes_for_laps(void **state)
{
    uint64_t now = SECOND;
    probe.laps = 2;
    probe.laps_bytes = 1000000;
    start(now);
    take(1e6, &now, 0);
    sk_probe_end(&probe, now);
    assert_string_equal(probe.capacity.how, "steady");
    assert_false(sk_probe_lacks(&probe));
    assert_null(probe.arrivals.list);
}

static void test_laps_end(void **state)
{
    uint64_t now = SECOND;
    probe.laps = 2;
    probe.laps_bytes = 1000000;
    start(now);
    come_by_turns(&now, 30);
    sk_probe_end(&probe, now);
    for (int i = 0; i < 2; i++) {
        assert_true(sk_probe_lacks(&probe));
        sk_probe_again(&probe, SK_BLOCK_SIZE);
        sk_probe_interested(&probe, now);
        sk_probe_end(&probe, now);
    }
    assert_false(sk_probe_lacks(&probe));
    assert_null(probe.arrivals.list);
    assert_string_equal(probe.capacity.how, "steady");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_states),
        TEST(test_window),
        TEST(test_window_of_a_slow_peer),
        TEST(test_budget),
        TEST(test_over_by_time),
        TEST(test_arrivals),
        TEST(test_put_off),
        TEST(test_slow_is_not_lengthened),
        TEST(test_bucket_is_not_lengthened),
        TEST(test_fast_is_lengthened),
        TEST(test_lengthened_to_the_limit),
        TEST(test_lengthened_in_time),
        TEST(test_our_pipeline_was_the_limit),
        TEST(test_its_queue_was_the_limit),
        TEST(test_pauses_are_its_own),
        TEST(test_judged_at_the_end),
        TEST(test_laps),
        TEST(test_laps_end),
        TEST(test_no_bytes_for_laps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
