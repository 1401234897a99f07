/* Flows of small timelines whose answer is known, of damaged ones, and without memory. */
#include "audit/flow_tracer.h"
#include "base/mem.h"
#include "base/prng.h"
#include "swarm/source.h"

#include <skep/err.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#define PIECES 32
#define PIECE 16384

static const struct sk_flow_config usual = {0};

static struct sk_endpoint address(uint32_t n)
{
    return sk_endpoint_v4((const uint8_t[]){10, 0, (uint8_t)(n >> 8), (uint8_t)n}, 6881);
}

static void begin(struct sk_timeline *timeline)
{
    assert_int_equal(sk_timeline_init(timeline, 0, PIECES, PIECE, PIECES * PIECE), 0);
}

static void tell(struct sk_timeline *timeline, double at_s, uint32_t n,
                 struct sk_observation observation)
{
    observation.at_ns = (uint64_t)(at_s * 1e9);
    observation.peer = address(n);
    assert_int_equal(sk_timeline_observe(timeline, &observation), 0);
}

/* It holds the first `count` pieces, count a multiple of 8. */
static void tell_bits(struct sk_timeline *timeline, double at_s, uint32_t n, uint32_t count)
{
    uint8_t bits[PIECES / 8] = {0};
    for (uint32_t i = 0; i < count / 8; i++)
        bits[i] = 0xff;
    tell(timeline, at_s, n,
         (struct sk_observation){.kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, sizeof bits)});
}

static void tell_have(struct sk_timeline *timeline, double at_s, uint32_t n, uint32_t piece)
{
    tell(timeline, at_s, n, (struct sk_observation){.kind = SK_OBS_HAVE, .a = piece});
}

/* It holds the last half, which HAVEs tell. */
static void tell_last(struct sk_timeline *timeline, double at_s, uint32_t n)
{
    tell_bits(timeline, at_s, n, 0);
    for (uint32_t i = PIECES / 2; i < PIECES; i++)
        tell_have(timeline, at_s, n, i);
}

static void tell_link(struct sk_timeline *timeline, double at_s, uint32_t by, uint32_t n)
{
    tell(timeline, at_s, n,
         (struct sk_observation){.kind = SK_OBS_HEARD, .source = SK_SOURCE_PEX, .by = address(by)});
}

static uint32_t index_of(const struct sk_timeline *timeline, uint32_t n)
{
    struct sk_endpoint endpoint = address(n);
    return sk_timeline_find(timeline, &endpoint);
}

static struct sk_flow_edge edge(const struct sk_timeline *timeline, const struct sk_flows *flows,
                                uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < flows->edges_count; i++) {
        if (flows->edges[i].from == index_of(timeline, from) &&
            flows->edges[i].to == index_of(timeline, to))
            return flows->edges[i];
    }
    return (struct sk_flow_edge){0};
}

static void estimate(const struct sk_timeline *timeline, const struct sk_flow_config *config,
                     struct sk_flows *flows)
{
    assert_int_equal(sk_flow_estimate(timeline, config, flows), 0);
    double sum = 0;
    for (size_t i = 0; i < flows->edges_count; i++) {
        const struct sk_flow_edge *it = &flows->edges[i];
        assert_true(it->from < timeline->peers_count && it->to < timeline->peers_count);
        assert_true(it->low >= 0 && it->low <= it->bytes && it->bytes <= it->high);
        assert_true(it->high <= flows->gained_bytes * (1 + 1e-6));
        sum += it->bytes;
    }
    assert_float_equal(sum + flows->unseen_bytes, flows->gained_bytes, 1e-5 * flows->gained_bytes);
}

/* 1 and 2 have all, 3 has nothing and gains `count` pieces, a second apart. */
static void two_sources(struct sk_timeline *timeline, uint32_t count)
{
    begin(timeline);
    tell_bits(timeline, 1, 1, PIECES);
    tell_bits(timeline, 1, 2, PIECES);
    tell_bits(timeline, 1, 3, 0);
    for (uint32_t i = 0; i < count; i++)
        tell_have(timeline, 11 + i, 3, i);
}

static void set_capacity(struct sk_timeline *timeline, uint32_t n, double rate)
{
    timeline->peers[index_of(timeline, n)].capacity = (struct sk_rate){rate, rate, rate};
}

/* ---- known answers ---- */

static void test_only_holder(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, 0);
    tell_bits(&timeline, 1, 3, 0);
    for (uint32_t i = 0; i < 4; i++)
        tell_have(&timeline, 20 + i, 3, i);
    estimate(&timeline, &usual, &flows);
    struct sk_flow_edge it = edge(&timeline, &flows, 1, 3);
    assert_float_equal(it.bytes, 4 * PIECE, 1);
    assert_float_equal(it.low, 4 * PIECE, 1);
    assert_float_equal(it.high, 4 * PIECE, 1);
    assert_false(it.ambiguous);
    assert_float_equal(it.baseline.entropy, 4 * PIECE, 1);
    const struct sk_flow_upload *upload = &flows.uploads[index_of(&timeline, 1)];
    assert_float_equal(upload->bytes, 4 * PIECE, 1);
    assert_float_equal(upload->low, upload->high, 1);
    assert_float_equal(flows.uploads[index_of(&timeline, 2)].bytes, 0, 0);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

static void test_cannot_be_told_apart(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    two_sources(&timeline, 8);
    estimate(&timeline, &usual, &flows);
    for (uint32_t n = 1; n <= 2; n++) {
        struct sk_flow_edge it = edge(&timeline, &flows, n, 3);
        assert_float_equal(it.bytes, 4 * PIECE, 1);
        assert_true(it.ambiguous);
        assert_float_equal(it.low, 0, 0);
        assert_float_equal(it.high, 8 * PIECE, 1);
        assert_float_equal(it.baseline.uniform, 4 * PIECE, 1);
    }
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

static void test_capacity_binds(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    two_sources(&timeline, 8); /* all in one slot of ten seconds */
    set_capacity(&timeline, 1, 2.0 * PIECE / 10);
    estimate(&timeline, &usual, &flows);
    struct sk_flow_edge slow = edge(&timeline, &flows, 1, 3);
    assert_float_equal(slow.bytes, 2 * PIECE, 0.02 * PIECE);
    assert_float_equal(slow.baseline.entropy, 2 * PIECE, 0.02 * PIECE);
    assert_float_equal(slow.baseline.gravity, 4 * PIECE, 1);
    assert_float_equal(edge(&timeline, &flows, 2, 3).bytes, 6 * PIECE, 0.02 * PIECE);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* 1 can give a piece in ten seconds; how much 2, which lacks what 3 has, is not known, so it gave
 * the rest. */
static void test_unknown_is_not_limited(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, PIECES / 2);
    tell_last(&timeline, 1, 3);
    for (uint32_t i = 0; i < PIECES / 2; i++)
        tell_have(&timeline, 20 + i, 3, i);
    set_capacity(&timeline, 1, PIECE / 10.0);
    estimate(&timeline, &usual, &flows);
    assert_true(edge(&timeline, &flows, 1, 3).bytes < 3 * PIECE);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

static void test_no_link_no_flow(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, PIECES);
    tell_bits(&timeline, 1, 3, 0);
    tell_link(&timeline, 2, 3, 1);
    for (uint32_t i = 0; i < 4; i++)
        tell_have(&timeline, 20 + i, 3, i);
    estimate(&timeline, &usual, &flows);
    assert_float_equal(edge(&timeline, &flows, 1, 3).bytes, 4 * PIECE, 1);
    assert_float_equal(edge(&timeline, &flows, 2, 3).bytes, 0, 0);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* Another address of a peer, or one of ours, gives nothing. */
static void test_aliases_give_nothing(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    two_sources(&timeline, 4);
    tell(&timeline, 20, 4,
         (struct sk_observation){.kind = SK_OBS_FAILED, .bytes = sk_bytes_text("self")});
    estimate(&timeline, &usual, &flows);
    assert_float_equal(edge(&timeline, &flows, 1, 3).bytes, 2 * PIECE, 1);
    assert_float_equal(edge(&timeline, &flows, 4, 3).bytes, 0, 0);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* 3 told of a port of the host of 1 that nobody reached: 1 came from it. Of another host's it may
 * be somebody's, and where other sources tell it too. */
static void test_ports_of_a_peer_give_nothing(void **state)
{
    static const struct {
        uint8_t host;
        unsigned source;
        bool gives;
    } cases[] = {{1, SK_SOURCE_PEX, false}, {9, SK_SOURCE_PEX, true}, {1, SK_SOURCE_TRACKER, true}};
    for (size_t i = 0; i < 3; i++) {
        struct sk_timeline timeline;
        struct sk_flows flows;
        two_sources(&timeline, 4);
        struct sk_observation heard = {.at_ns = UINT64_C(20000000000),
                                       .kind = SK_OBS_HEARD,
                                       .source = cases[i].source,
                                       .peer = address(cases[i].host),
                                       .by = address(3)};
        heard.peer.port = 50000;
        assert_int_equal(sk_timeline_observe(&timeline, &heard), 0);
        estimate(&timeline, &usual, &flows);
        uint32_t from = sk_timeline_find(&timeline, &heard.peer);
        double bytes = 0;
        for (size_t e = 0; e < flows.edges_count; e++)
            bytes += flows.edges[e].from == from ? flows.edges[e].bytes : 0;
        assert_int_equal(cases[i].gives, bytes > 0);
        sk_flows_deinit(&flows);
        sk_timeline_deinit(&timeline);
    }
}

/* 2 told twice, and only the second time of 3: they met after the first. */
static void test_linked_later(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, PIECES);
    tell_bits(&timeline, 1, 3, 0);
    tell_link(&timeline, 2, 3, 1);
    tell_link(&timeline, 5, 2, 1);
    for (uint32_t i = 0; i < 4; i++)
        tell_have(&timeline, 12 + i, 3, i);
    tell_link(&timeline, 65, 2, 3);
    for (uint32_t i = 4; i < 8; i++)
        tell_have(&timeline, 66 + i, 3, i);
    estimate(&timeline, &usual, &flows);
    assert_true(edge(&timeline, &flows, 1, 3).bytes > 5.5 * PIECE);
    assert_true(edge(&timeline, &flows, 2, 3).bytes > PIECE);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* Who tells more links in all than go into one message has not filled one. */
static void test_many_messages(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, PIECES);
    tell_bits(&timeline, 1, 3, 0);
    tell_link(&timeline, 2, 3, 1);
    for (uint32_t i = 0; i < 49; i++)
        tell_bits(&timeline, 1.5, 10 + i, 0);
    for (uint32_t i = 0; i < 49; i++)
        tell_link(&timeline, 2 + 60 * (i / 30), 3, 10 + i);
    for (uint32_t i = 0; i < 4; i++)
        tell_have(&timeline, 200 + i, 3, i);
    tell_link(&timeline, 400, 3, 2);
    estimate(&timeline, &usual, &flows);
    assert_float_equal(edge(&timeline, &flows, 1, 3).bytes, 4 * PIECE, 1);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* The first half of the pieces is rare to 3 only because those that hold it have left: of 1 it
 * would have taken that, so what it gains came from 2. 7 shows that clients take the rarest. */
static void test_rarity_is_that_of_now(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_last(&timeline, 1, 2);
    tell_bits(&timeline, 1, 3, 0);
    for (uint32_t n = 4; n < 7; n++)
        tell_bits(&timeline, 1, n, PIECES / 2);
    tell_bits(&timeline, 1, 7, 0);
    tell_bits(&timeline, 1, 8, PIECES);
    tell_last(&timeline, 1, 9);
    for (uint32_t n = 1; n < 7; n += n == 2 ? 2 : 1)
        tell_link(&timeline, 2, 3, n);
    tell_link(&timeline, 2, 7, 8);
    tell_link(&timeline, 2, 7, 9);
    for (uint32_t n = 4; n < 7; n++)
        tell(&timeline, 62, n,
             (struct sk_observation){
                 .kind = SK_OBS_DROPPED, .source = SK_SOURCE_PEX, .by = address(3)});
    for (uint32_t i = 0; i < PIECES / 2; i++) {
        tell_have(&timeline, 200 + 5 * i, 7, i);
        tell_have(&timeline, 200 + 5 * i, 3, PIECES / 2 + i);
    }
    estimate(&timeline, &usual, &flows);
    assert_true(edge(&timeline, &flows, 2, 3).bytes > 1.5 * edge(&timeline, &flows, 1, 3).bytes);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* 3 took of 1 or of 2; it gave to 1 more than 4 can have, to 2 nothing: tit for tat says who gave.
 */
static void test_returned(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, 8);
    tell_bits(&timeline, 1, 2, 8);
    tell_bits(&timeline, 1, 3, 0);
    tell_bits(&timeline, 1, 4, 0);
    for (uint32_t i = 8; i < PIECES; i++)
        tell_have(&timeline, 2, 3, i);
    tell_have(&timeline, 2, 4, 15);
    for (uint32_t i = 0; i < 8; i++) {
        tell_have(&timeline, 20 + i, 3, i);
        tell_have(&timeline, 20.5 + i, 1, 8 + i);
    }
    estimate(&timeline, &usual, &flows);
    double returned = edge(&timeline, &flows, 1, 3).bytes;
    assert_true(edge(&timeline, &flows, 3, 1).bytes >= 7 * PIECE);
    assert_true(returned > 1.1 * edge(&timeline, &flows, 2, 3).bytes);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* Only 1 can have given the first pieces: likely it gave the next as well, and those long after
 * less likely. */
static void test_lasts(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    double soon[2];
    for (int late = 0; late < 2; late++) {
        begin(&timeline);
        tell_bits(&timeline, 1, 1, PIECES);
        tell_bits(&timeline, 1, 2, 8);
        tell_bits(&timeline, 1, 3, 0);
        for (uint32_t i = 0; i < 24; i++)
            tell_have(&timeline, 20 + 0.5 * i, 3, 8 + i);
        for (uint32_t i = 0; i < 8; i++)
            tell_have(&timeline, (late ? 900 : 33) + i, 3, i);
        estimate(&timeline, &usual, &flows);
        soon[late] = edge(&timeline, &flows, 1, 3).bytes - 24 * PIECE;
        sk_flows_deinit(&flows);
        sk_timeline_deinit(&timeline);
    }
    assert_true(soon[0] > soon[1] + 0.5 * PIECE);
}

static void test_unobservable(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    bool unobservable[3] = {0};
    two_sources(&timeline, 4);
    const struct sk_flow_config config = {.unobservable = unobservable};
    unobservable[index_of(&timeline, 3)] = true; /* what it got is unknown */
    estimate(&timeline, &config, &flows);
    assert_float_equal(flows.gained_bytes, 0, 0);
    assert_int_equal(flows.edges_count, 0);
    sk_flows_deinit(&flows);
    unobservable[index_of(&timeline, 3)] = false;
    unobservable[index_of(&timeline, 1)] = true; /* what it held is a guess, nothing is sure */
    estimate(&timeline, &config, &flows);
    assert_true(edge(&timeline, &flows, 1, 3).bytes > 0);
    assert_true(edge(&timeline, &flows, 2, 3).low < 4 * PIECE);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

static void test_gifts_are_no_flow(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    two_sources(&timeline, 4);
    const struct sk_flow_gift gifts[] = {{index_of(&timeline, 3), 2, 12000},
                                         {index_of(&timeline, 3), 0, 10000},
                                         {index_of(&timeline, 2), 1, 10000}};
    const struct sk_flow_config config = {.gifts = gifts, .gifts_count = 3};
    estimate(&timeline, &config, &flows);
    assert_float_equal(flows.gained_bytes, 2 * PIECE, 1);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* Told by a bitfield: gained at some time before. The source itself may have it since then. */
static void test_told_late(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, 0);
    tell_bits(&timeline, 1, 2, 0);
    tell_have(&timeline, 60, 2, 3);
    tell_bits(&timeline, 100, 1, 8);
    estimate(&timeline, &usual, &flows);
    assert_float_equal(edge(&timeline, &flows, 1, 2).bytes, PIECE, 1);
    assert_float_equal(flows.gained_bytes, 9 * PIECE, 1);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

static bool only_second(uint32_t from, uint32_t to, uint32_t from_ms, uint32_t until_ms, void *ctx)
{
    assert_true(from_ms <= until_ms);
    return from == *(uint32_t *)ctx;
}

static void test_who_knows_better(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    two_sources(&timeline, 4);
    uint32_t second = index_of(&timeline, 2);
    const struct sk_flow_config config = {.may_give = only_second, .ctx = &second};
    estimate(&timeline, &config, &flows);
    assert_float_equal(edge(&timeline, &flows, 2, 3).low, 4 * PIECE, 1);
    assert_float_equal(edge(&timeline, &flows, 1, 3).bytes, 0, 0);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* ---- what there may be ---- */

static void test_nothing(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    estimate(&timeline, &usual, &flows);
    assert_int_equal(flows.edges_count, 0);
    sk_flows_deinit(&flows);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_have(&timeline, 1, 2, 0); /* of whom no bitfield came: who knows what it had */
    estimate(&timeline, &usual, &flows);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
    assert_int_equal(sk_timeline_init(&timeline, 0, 0, 0, 0), 0);
    estimate(&timeline, &usual, &flows); /* pieces are not known yet */
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

static void test_strange_capacities(void **state)
{
    static const double rates[] = {NAN, INFINITY, -INFINITY, -1, 0, 1e-300, 1e300};
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
        struct sk_timeline timeline;
        struct sk_flows flows;
        two_sources(&timeline, 8);
        set_capacity(&timeline, 1, rates[k]);
        set_capacity(&timeline, 2, 5000);
        estimate(&timeline, &usual, &flows);
        sk_flows_deinit(&flows);
        sk_timeline_deinit(&timeline);
    }
}

static void observe_anything(struct sk_timeline *timeline, struct sk_prng *prng, uint32_t peers)
{
    uint64_t at_ns = 0;
    for (uint32_t i = 0; i < 400; i++) {
        uint8_t bits[PIECES / 8];
        sk_prng_bytes(prng, bits, sizeof bits);
        struct sk_observation it = {
            .kind = (enum sk_observation_kind)sk_prng_below(prng, SK_OBS_KIND_COUNT),
            .peer = address((uint32_t)sk_prng_below(prng, peers)),
            .by = address((uint32_t)sk_prng_below(prng, peers)),
            .source = SK_SOURCE_PEX,
            .a = (int64_t)sk_prng_below(prng, PIECES + 2),
            .b = (int64_t)sk_prng_u64(prng),
            .bytes = sk_bytes(bits, sizeof bits)};
        at_ns += sk_prng_below(prng, 3) ? 0 : sk_prng_below(prng, UINT64_C(1) << 34);
        it.at_ns = at_ns;
        assert_int_equal(sk_timeline_observe(timeline, &it), 0);
    }
}

static void test_anything(void **state)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    for (int round = 0; round < 100; round++) {
        struct sk_timeline timeline;
        struct sk_flows flows;
        begin(&timeline);
        observe_anything(&timeline, &prng, 2 + (uint32_t)round / 5);
        estimate(&timeline, &usual, &flows);
        sk_flows_deinit(&flows);
        sk_timeline_deinit(&timeline);
    }
}

/* Addresses that were only told of cost nothing a piece. */
static void test_many_addresses(void **state)
{
    enum { ADDRESSES = 20000, MANY = 1 << 17 };
    struct rusage before, after;
    struct sk_timeline timeline;
    struct sk_flows flows;
    uint8_t bits[MANY / 8];
    assert_int_equal(sk_timeline_init(&timeline, 0, MANY, PIECE, (uint64_t)MANY * PIECE), 0);
    for (uint32_t n = 1; n <= 2; n++) {
        memset(bits, n == 1 ? 0xff : 0, sizeof bits);
        tell(
            &timeline, 1, n,
            (struct sk_observation){.kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, sizeof bits)});
    }
    for (uint32_t n = 3; n < ADDRESSES; n++)
        tell(&timeline, 2, n, (struct sk_observation){.kind = SK_OBS_HEARD});
    for (uint32_t i = 0; i < 8; i++)
        tell_have(&timeline, 20 + i, 2, i);
    getrusage(RUSAGE_SELF, &before);
    assert_int_equal(sk_flow_estimate(&timeline, &usual, &flows), 0);
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 100 << 10); /* KiB */
    assert_true(edge(&timeline, &flows, 1, 2).bytes > 0);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

static void test_no_memory(void **state)
{
    struct sk_timeline timeline;
    two_sources(&timeline, 8);
    const struct sk_flow_gift gifts[] = {{0, 0, 0}};
    const struct sk_flow_config config = {.gifts = gifts, .gifts_count = 1};
    int err = SKEP_ERR_NOMEM;
    for (size_t nth = 1; err; nth++) {
        struct sk_flows flows;
        sk_mem_fail_nth(nth);
        err = sk_flow_estimate(&timeline, &config, &flows);
        sk_mem_fail_nth(0);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
        assert_true(nth < 200);
        if (!err)
            sk_flows_deinit(&flows);
    }
    sk_timeline_deinit(&timeline);
}

/* ---- tracers ---- */

static void test_tracers(void **state)
{
    struct sk_timeline timeline;
    struct sk_flow_gift gifts[40];
    const struct sk_tracer_config any = {0};
    begin(&timeline);
    tell_bits(&timeline, 1, 1, 24); /* the last eight nobody has, the others one of forty */
    for (uint32_t n = 2; n <= 40; n++)
        tell_bits(&timeline, 1, n, n <= 20 ? 8 : 0);
    set_capacity(&timeline, 30, 5e6);
    set_capacity(&timeline, 31, 1e6);
    int count = sk_flow_tracers(&timeline, &any, gifts, 40);
    assert_int_equal(count, 24); /* the first eight are not rare */
    assert_int_equal(gifts[0].peer, index_of(&timeline, 30));
    assert_int_equal(gifts[1].peer, index_of(&timeline, 31));
    for (int k = 0; k < count; k++) {
        assert_int_equal(gifts[k].piece, k < 8 ? 24 + k : k);
        assert_false(sk_bitfield_has(&timeline.peers[gifts[k].peer].held, gifts[k].piece));
    }
    assert_int_equal(sk_flow_tracers(&timeline, &any, gifts, 3), 3);
    assert_int_equal(sk_flow_tracers(&timeline, &any, gifts, 0), 0);
    for (size_t nth = 1; nth <= 3; nth++) {
        sk_mem_fail_nth(nth);
        assert_int_equal(sk_flow_tracers(&timeline, &any, gifts, 3), SKEP_ERR_NOMEM);
        sk_mem_fail_nth(0);
    }
    sk_timeline_deinit(&timeline);
}

static void tell_offer(struct sk_timeline *timeline, double at_s, uint32_t n, uint32_t piece)
{
    tell(timeline, at_s, n, (struct sk_observation){.kind = SK_OBS_OFFERED, .a = piece});
}

static void tell_given(struct sk_timeline *timeline, double at_s, uint32_t n, uint32_t piece,
                       uint32_t bytes)
{
    tell(timeline, at_s, n, (struct sk_observation){.kind = SK_OBS_GIVEN, .a = piece, .c = bytes});
}

/* Only what we hold, only to whom we can, and nothing twice. */
static void test_tracers_in_reach(void **state)
{
    struct sk_timeline timeline;
    struct sk_flow_gift gifts[40];
    bool receivers[8] = {0};
    uint8_t bits[PIECES / 8] = {0xf0};
    const struct sk_bitfield held = {.bits = bits, .count = PIECES};
    const struct sk_tracer_config config = {.receivers = receivers, .held = &held};
    begin(&timeline);
    for (uint32_t n = 1; n <= 8; n++)
        tell_bits(&timeline, 1, n, 0);
    assert_int_equal(sk_flow_tracers(&timeline, &config, gifts, 40), 0);
    receivers[index_of(&timeline, 3)] = receivers[index_of(&timeline, 5)] = true;
    tell_offer(&timeline, 2, 7, 1); /* of it alone others would tell nothing new */
    assert_int_equal(sk_flow_tracers(&timeline, &config, gifts, 40), 3);
    for (uint32_t k = 0; k < 3; k++) {
        assert_int_equal(gifts[k].piece, k ? k + 1 : 0);
        assert_int_equal(gifts[k].peer, index_of(&timeline, k == 1 ? 5 : 3));
    }
    tell_given(&timeline, 3, 3, 0, PIECE); /* now the others come first */
    assert_int_equal(sk_flow_tracers(&timeline, &config, gifts, 40), 2);
    assert_int_equal(gifts[0].peer, index_of(&timeline, 5));
    sk_timeline_deinit(&timeline);
}

/* One in a hundred pieces that are gained; an offer counts until its peer goes, or has it. */
static void test_tracers_are_few(void **state)
{
    struct sk_timeline timeline;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, 0);
    for (uint32_t n = 2; n <= 20; n++)
        tell_bits(&timeline, 1, n, 0);
    for (uint32_t k = 0; k < 304; k++)
        tell_have(&timeline, 10 + k, 2 + k / 16, k % 16);
    assert_int_equal(sk_flow_tracers_allowed(&timeline, 0.01), 3);
    tell_offer(&timeline, 400, 2, 30);
    tell_offer(&timeline, 400, 3, 31);
    assert_int_equal(sk_flow_tracers_allowed(&timeline, 0.01), 1);
    tell_have(&timeline, 401, 2, 30); /* of somebody else */
    tell(&timeline, 401, 3, (struct sk_observation){.kind = SK_OBS_CLOSED});
    assert_int_equal(sk_flow_tracers_allowed(&timeline, 0.01), 3);
    tell_given(&timeline, 402, 4, 29, 100); /* whatever it was for */
    assert_int_equal(sk_flow_tracers_allowed(&timeline, 0.01), 2);
    sk_timeline_deinit(&timeline);
}

static struct sk_report_tracer traced(const struct sk_report *report, uint32_t piece)
{
    for (size_t i = 0; i < report->tracers_count; i++)
        if (report->tracers[i].piece == piece)
            return report->tracers[i];
    fail_msg("piece %u was not offered", piece);
    return (struct sk_report_tracer){0};
}

static void test_what_became_of_tracers(void **state)
{
    struct sk_timeline timeline;
    struct sk_report report = {0};
    struct sk_flow_gift *gifts;
    size_t count;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, 8);
    for (uint32_t n = 2; n <= 5; n++)
        tell_bits(&timeline, 1, n, 0);
    tell_have(&timeline, 5, 2, 3);
    tell_offer(&timeline, 10, 3, 3);
    tell_offer(&timeline, 10, 4, 20);
    tell_offer(&timeline, 11, 4, 21);
    tell_have(&timeline, 11, 4, 22);
    tell_given(&timeline, 12, 4, 20, PIECE / 2);
    tell_given(&timeline, 13, 4, 20, PIECE / 2);
    tell_have(&timeline, 13, 4, 20);
    tell_have(&timeline, 14, 5, 20);
    tell_have(&timeline, 15, 3, 20);
    tell_given(&timeline, 15, 5, 9, PIECE / 2); /* half may be anybody's */
    assert_int_equal(sk_flow_report_tracers(&timeline, &report), 0);
    assert_int_equal(report.tracers_count, 3);
    struct sk_report_tracer it = traced(&report, 20);
    assert_int_equal(it.held_by, 0);
    assert_int_equal(it.spread_to, 2);
    assert_int_equal(it.given_bytes, PIECE);
    assert_float_equal(it.given_s, 13, 1e-9);
    it = traced(&report, 3);
    assert_int_equal(it.held_by, 2);
    assert_true(isnan(it.given_s) && it.spread_to == 0);
    assert_int_equal(sk_flow_gifts(&timeline, &gifts, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(gifts[0].peer, index_of(&timeline, 4));
    assert_int_equal(gifts[0].piece, 20);
    sk_mem_free(gifts);
    for (size_t nth = 1; nth <= 2; nth++) {
        sk_mem_fail_nth(nth);
        assert_int_equal(sk_flow_report_tracers(&timeline, &report), SKEP_ERR_NOMEM);
        sk_mem_fail_nth(0);
    }
    assert_int_equal(report.tracers_count, 3);
    sk_report_deinit(&report);
    sk_timeline_deinit(&timeline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_holder),
        cmocka_unit_test(test_cannot_be_told_apart),
        cmocka_unit_test(test_capacity_binds),
        cmocka_unit_test(test_unknown_is_not_limited),
        cmocka_unit_test(test_no_link_no_flow),
        cmocka_unit_test(test_linked_later),
        cmocka_unit_test(test_many_messages),
        cmocka_unit_test(test_rarity_is_that_of_now),
        cmocka_unit_test(test_returned),
        cmocka_unit_test(test_lasts),
        cmocka_unit_test(test_aliases_give_nothing),
        cmocka_unit_test(test_ports_of_a_peer_give_nothing),
        cmocka_unit_test(test_unobservable),
        cmocka_unit_test(test_gifts_are_no_flow),
        cmocka_unit_test(test_told_late),
        cmocka_unit_test(test_who_knows_better),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_strange_capacities),
        cmocka_unit_test(test_anything),
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_tracers),
        cmocka_unit_test(test_tracers_in_reach),
        cmocka_unit_test(test_tracers_are_few),
        cmocka_unit_test(test_what_became_of_tracers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
