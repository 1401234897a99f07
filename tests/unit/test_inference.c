/* What follows from a small log, as the report has it. */
#include "audit/inference.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define PIECES 32
#define PIECE 16384
#define END_S 60

enum { SEED, FIRST, SECOND, OTHER_ADDRESS, NEVER_MET, PEERS };

struct world {
    struct sk_timeline timeline;
    struct sk_report report;
};

static struct sk_endpoint address(uint32_t n)
{
    return sk_endpoint_v4((const uint8_t[]){10, 0, 0, (uint8_t)(n + 1)}, 6881);
}

static void tell(struct world *world, double at_s, uint32_t n, struct sk_observation observation)
{
    observation.at_ns = (uint64_t)(at_s * 1e9);
    observation.peer = address(n);
    assert_int_equal(0, sk_timeline_observe(&world->timeline, &observation));
}

#define TELL(world, at_s, n, ...) tell(world, at_s, n, (struct sk_observation){__VA_ARGS__})

static void tell_bits(struct world *world, double at_s, uint32_t n, uint8_t byte)
{
    const uint8_t bits[PIECES / 8] = {byte, byte, byte, byte};
    TELL(world, at_s, n, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, sizeof bits));
}

/* The report as the auditor makes it: what was measured is there, what follows is not. */
static void make_report(struct sk_report *report)
{
    *report = (struct sk_report){.peers_count = PEERS};
    report->peers = sk_mem_calloc(PEERS, sizeof *report->peers);
    for (uint32_t n = 0; n < PEERS; n++)
        report->peers[n] =
            (struct sk_report_peer){.endpoint = address(n),
                                    .delivered = SK_RATE_UNKNOWN,
                                    .capacity = SK_RATE_UNKNOWN,
                                    .download = {1, 1, 1}, /* of an earlier inference */
                                    .upload = {1, 1, 1},
                                    .download_how = "earlier"};
    report->peers[OTHER_ADDRESS].same_as = address(FIRST);
    report->flows = sk_mem_calloc(1, sizeof *report->flows);
    report->flows_count = 1;
}

/* The seed has all; the first gains a piece every second until 36 s. Another address of his was
 * dialled in vain: nobody may have given anything from there. */
static void begin(struct world *world, uint32_t pieces)
{
    assert_int_equal(0, sk_timeline_init(&world->timeline, 0, pieces, pieces ? PIECE : 0,
                                         (uint64_t)pieces * PIECE));
    make_report(&world->report);
    TELL(world, 0, SEED, .kind = SK_OBS_OPEN);
    TELL(world, 0, FIRST, .kind = SK_OBS_OPEN);
    tell_bits(world, 1, SEED, 0xff);
    tell_bits(world, 1, FIRST, 0);
    TELL(world, 1, OTHER_ADDRESS, .kind = SK_OBS_FAILED, .bytes = sk_bytes_text("duplicate"));
    for (uint32_t i = 0; i < PIECES; i++)
        TELL(world, 5 + i, FIRST, .kind = SK_OBS_HAVE, .a = i);
}

static void end(struct world *world)
{
    sk_timeline_close(&world->timeline, END_S * UINT64_C(1000000000));
}

static void destroy(struct world *world)
{
    sk_timeline_deinit(&world->timeline);
    sk_report_deinit(&world->report);
}

static void test_rates_and_flows(void **state)
{
    struct world world;
    begin(&world, PIECES);
    end(&world);
    world.report.peers[SEED].delivered = (struct sk_rate){40e3, 38e3, 42e3};
    world.report.peers[SEED].capacity = (struct sk_rate){90e3, 80e3, 100e3};
    assert_int_equal(0, sk_infer(&world.timeline, &world.report));
    const struct sk_report *report = &world.report;
    const struct sk_report_peer *first = &report->peers[FIRST], *seed = &report->peers[SEED];
    /* from its bitfield to its last piece */
    assert_float_equal(first->download.rate, PIECES * PIECE / 35.0, 1);
    assert_true(first->download.low < first->download.rate);
    assert_true(first->download.high > first->download.rate);
    assert_string_equal("haves", first->download_how);
    assert_true(isnan(seed->download.rate));
    assert_string_equal("seed", seed->download_how);
    /* only the seed had any of it, and was met at the beginning */
    assert_int_equal(1, report->flows_count);
    const struct sk_report_flow *flow = &report->flows[0];
    const struct sk_endpoint from = address(SEED), to = address(FIRST);
    assert_true(sk_endpoint_equal(&from, &flow->from) && sk_endpoint_equal(&to, &flow->to));
    assert_float_equal(flow->bytes, PIECES * PIECE, 1);
    assert_float_equal(flow->uniform, PIECES * PIECE, 1);
    assert_float_equal(flow->gravity, PIECES * PIECE, 1);
    assert_true(flow->low <= flow->bytes && flow->bytes <= flow->high && !flow->ambiguous);
    assert_float_equal(seed->upload.rate, PIECES * PIECE / (double)END_S, 1);
    assert_float_equal(first->upload.rate, 0, 0);
    /* what comes next (reports to trackers) is held against the timeline */
    const struct sk_timeline_peer *giver = &world.timeline.peers[0];
    assert_float_equal(giver->gave.bytes, PIECES * PIECE, 1);
    assert_float_equal(giver->delivered.rate, 40e3, 0);
    assert_float_equal(giver->capacity.rate, 90e3, 0);
    /* nobody was met there, or somebody who is in the report already */
    for (uint32_t n = OTHER_ADDRESS; n <= NEVER_MET; n++) {
        assert_true(isnan(report->peers[n].download.rate) && isnan(report->peers[n].upload.rate));
        assert_null(report->peers[n].download_how);
    }
    destroy(&world);
}

/* What one took of a peer its line carries at least: that says nothing of the most. */
static void test_a_rate_is_no_capacity(void **state)
{
    static const struct {
        struct sk_rate capacity;
        const char *how;
        bool known;
    } cases[] = {
        {{40e3, 38e3, NAN}, "steady", false},
        {{200e3, 38e3, NAN}, "pairs", false}, /* five receivers' shares of what it delivered */
        {{200e3, 196e3, NAN}, "pairs", true}, /* the spacing of single packets says so */
        {{200e3, 196e3, NAN}, "steady", false},
        {{200e3, 38e3, NAN}, "trains", true},
        {{280e3, 38e3, NAN}, "drops", true},
        {{40e3, 38e3, 42e3}, "trains", true},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world world;
        begin(&world, PIECES);
        end(&world);
        world.report.peers[SEED].delivered = (struct sk_rate){40e3, 38e3, 42e3};
        world.report.peers[SEED].capacity = cases[i].capacity;
        world.report.peers[SEED].capacity_how = cases[i].how;
        assert_int_equal(0, sk_infer(&world.timeline, &world.report));
        assert_int_equal(cases[i].known, !isnan(world.timeline.peers[0].capacity.rate));
        assert_float_equal(world.report.peers[SEED].capacity.rate, cases[i].capacity.rate, 0);
        destroy(&world);
    }
}

/* The most bytes first, none of less than a byte, and of two the sum is what was gained. */
static void test_order_of_flows(void **state)
{
    struct world world;
    begin(&world, PIECES);
    TELL(&world, 37, SECOND, .kind = SK_OBS_OPEN);
    tell_bits(&world, 37, SECOND, 0);
    for (uint32_t i = 0; i < 6; i++)
        TELL(&world, 40 + i, SECOND, .kind = SK_OBS_HAVE, .a = i);
    end(&world);
    assert_int_equal(0, sk_infer(&world.timeline, &world.report));
    const struct sk_report *report = &world.report;
    double to_second = 0;
    for (size_t i = 0; i < report->flows_count; i++) {
        const struct sk_endpoint second = address(SECOND);
        const struct sk_report_flow *flow = &report->flows[i];
        assert_true(!i || flow[-1].bytes >= flow->bytes);
        assert_true(flow->bytes >= 1);
        to_second += sk_endpoint_equal(&flow->to, &second) ? flow->bytes : 0;
    }
    assert_float_equal(to_second, 6 * PIECE, 1);
    assert_float_equal(report->flows[0].bytes, PIECES * PIECE, 1);
    /* it gained for 8 s of the 23 in which it was watched */
    assert_float_equal(report->peers[SECOND].download.rate, 6 * PIECE / 23.0, 1);
    assert_true(report->peers[FIRST].upload.rate > 0);
    destroy(&world);
}

/* Nothing is left of what was inferred before. */
static void test_without_metadata_nothing_follows(void **state)
{
    struct world world;
    begin(&world, 0);
    end(&world);
    assert_int_equal(0, sk_infer(&world.timeline, &world.report));
    assert_int_equal(0, world.report.flows_count);
    assert_null(world.report.flows);
    for (uint32_t n = 0; n < PEERS; n++) {
        assert_true(isnan(world.report.peers[n].download.rate));
        assert_true(isnan(world.report.peers[n].upload.rate));
        assert_null(world.report.peers[n].download_how);
    }
    destroy(&world);
}

static void test_each_allocation_may_fail(void **state)
{
    size_t nth = 0;
    int err;
    do {
        struct world world;
        begin(&world, PIECES);
        end(&world);
        sk_mem_fail_nth(++nth);
        err = sk_infer(&world.timeline, &world.report);
        sk_mem_fail_nth(0);
        destroy(&world);
    } while (err == SKEP_ERR_NOMEM);
    assert_int_equal(0, err);
    assert_true(nth > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates_and_flows),
        cmocka_unit_test(test_a_rate_is_no_capacity),
        cmocka_unit_test(test_order_of_flows),
        cmocka_unit_test(test_without_metadata_nothing_follows),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
