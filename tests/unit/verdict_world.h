/* A small swarm made by hand: who told what when, who announced what, and the verdicts on it. */
#ifndef SK_TEST_VERDICT_WORLD_H
#define SK_TEST_VERDICT_WORLD_H

#include "audit/verdict.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "swarm/source.h"

#include <skep/err.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PIECES 100u
#define PIECE 1000000u
#define SIZE ((uint64_t)PIECES * PIECE)
#define BEGIN_NS UINT64_C(5000000000)
#define UNIX_S 1.6e9
#define PERIOD_S 300
#define ANNOUNCES_MAX 40000

struct world {
    struct sk_timeline timeline;
    struct sk_announce *announces;
    size_t count;
    struct sk_verdict_config config;
    struct sk_verdicts verdicts;
};

static struct sk_endpoint address(uint8_t n)
{
    return sk_endpoint_v4((const uint8_t[]){10, 0, 0, n}, 6881);
}

static void tell(struct world *world, double at_s, uint8_t n, struct sk_observation observation)
{
    observation.at_ns = BEGIN_NS + (uint64_t)(at_s * 1e9 + 0.5);
    observation.peer = address(n);
    assert_int_equal(sk_timeline_observe(&world->timeline, &observation), 0);
}

#define TELL(world, at_s, n, ...) tell(world, at_s, n, (struct sk_observation){__VA_ARGS__})

static void begin(struct world *world)
{
    *world = (struct world){.config = sk_verdict_config_default()};
    world->announces = sk_mem_calloc(ANNOUNCES_MAX, sizeof *world->announces);
    world->config.began_unix_s = UNIX_S;
    /* What is under way at a time is a few pieces of few: the hundred are small. */
    world->config.partial_pieces = 2;
    world->config.partial_s = 30;
    assert_int_equal(sk_timeline_init(&world->timeline, BEGIN_NS, PIECES, PIECE, SIZE), 0);
}

/* Pieces under way could explain all: it is known how many there were. */
static inline void allow_many(struct world *world)
{
    world->config.partial_pieces = 200;
    world->config.partial_s = 900;
    world->config.skew_max_s = 0;
}

static void end(struct world *world)
{
    sk_verdicts_deinit(&world->verdicts);
    sk_timeline_deinit(&world->timeline);
    sk_mem_free(world->announces);
}

/* Peer `n` connects and holds the first `held` pieces. */
static void join(struct world *world, double at_s, uint8_t n, uint32_t held)
{
    uint8_t id[20] = "-XX0000-", bits[(PIECES + 7) / 8] = {0};
    id[19] = n;
    for (uint32_t i = 0; i < held; i++)
        bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
    TELL(world, at_s, n, .kind = SK_OBS_OPEN, .bytes = sk_bytes(id, 20));
    TELL(world, at_s, n, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, sizeof bits));
}

/* It gains pieces [from, to) evenly between two times. */
static void gain(struct world *world, uint8_t n, uint32_t from, uint32_t to, double from_s,
                 double to_s)
{
    for (uint32_t piece = from; piece < to; piece++)
        TELL(world, from_s + (to_s - from_s) * (piece - from + 1) / (to - from), n,
             .kind = SK_OBS_HAVE, .a = piece);
}

static struct sk_announce *say(struct world *world, double at_s, uint8_t n, uint64_t up,
                               uint64_t down, uint64_t left)
{
    SK_ASSERT(world->count < ANNOUNCES_MAX);
    struct sk_announce *announce = &world->announces[world->count++];
    *announce = (struct sk_announce){.at_unix_s = UNIX_S + at_s,
                                     .has_peer_id = true,
                                     .endpoint = address(n),
                                     .uploaded = up,
                                     .downloaded = down,
                                     .left = left};
    memcpy(announce->peer_id, "-XX0000-", 8);
    announce->peer_id[19] = n;
    return announce;
}

static uint32_t index_of(const struct world *world, uint8_t n)
{
    struct sk_endpoint endpoint = address(n);
    uint32_t index = sk_timeline_find(&world->timeline, &endpoint);
    assert_int_not_equal(index, UINT32_MAX);
    return index;
}

static void judge(struct world *world, double at_s)
{
    sk_timeline_close(&world->timeline, BEGIN_NS + (uint64_t)(at_s * 1e9));
    sk_verdicts_deinit(&world->verdicts);
    assert_int_equal(sk_verdicts_init(&world->verdicts, &world->timeline, world->announces,
                                      world->count, &world->config),
                     0);
}

static const struct sk_verdict_peer *verdict(const struct world *world, uint8_t n)
{
    return &world->verdicts.peers[index_of(world, n)];
}

static void assert_false_by(const struct world *world, uint8_t n, enum sk_verdict_check check)
{
    const struct sk_verdict_peer *peer = verdict(world, n);
    assert_int_equal(peer->result, SK_VERDICT_FALSE_REPORT);
    assert_int_equal(peer->check, check);
    assert_true(peer->rate <= world->config.false_discovery);
}

static void assert_not_accused(const struct world *world, uint8_t n)
{
    assert_int_not_equal(verdict(world, n)->result, SK_VERDICT_FALSE_REPORT);
}

/* Nothing that it said contradicts. */
static void assert_clear(const struct world *world, uint8_t n)
{
    for (int check = 0; check < SK_CHECK_COUNT; check++)
        assert_int_equal(verdict(world, n)->findings[check].against, 0);
    assert_not_accused(world, n);
}

#endif
