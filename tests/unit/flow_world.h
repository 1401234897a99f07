/* Small timelines made by hand, and the flows that follow from them. */
#ifndef SK_TEST_FLOW_WORLD_H
#define SK_TEST_FLOW_WORLD_H

#include "audit/flow.h"
#include "swarm/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
static inline void tell_last(struct sk_timeline *timeline, double at_s, uint32_t n)
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

static inline void set_capacity(struct sk_timeline *timeline, uint32_t n, double rate)
{
    timeline->peers[index_of(timeline, n)].capacity = (struct sk_rate){rate, rate, rate};
}

#endif
