/*
 * A torrent that is nothing but lengths, and a picker of it, for the tests of the picker.
 */
#ifndef SK_TEST_PICKER_WORLD_H
#define SK_TEST_PICKER_WORLD_H

#include "base/prng.h"
#include "swarm/picker.h"
#include "wire/metainfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK ((uint32_t)SK_BLOCK_SIZE)
#define SECOND UINT64_C(1000000000)

struct picker_world {
    struct sk_file file;
    struct sk_metainfo metainfo;
    struct sk_picker_config config;
    struct sk_picker *picker;
    uint64_t now_ns;
};

static inline void picker_world_check(const struct picker_world *world)
{
    const char *fault = sk_picker_fault(world->picker);
    if (fault)
        fail_msg("%s", fault);
}

/* Of one file of so many bytes. */
static inline void picker_world_init(struct picker_world *world, uint64_t size, uint32_t piece_size,
                                     enum sk_picker_order order)
{
    *world = (struct picker_world){
        .file = {.path = "a", .length = size},
        .metainfo = {.has_v1 = true,
                     .size = size,
                     .span = size,
                     .piece_size = piece_size,
                     .pieces = (uint32_t)((size + piece_size - 1) / piece_size),
                     .files_count = 1},
        .config = {.order = order, .seed = 7},
        .now_ns = 1000 * SECOND,
    };
    world->metainfo.files = &world->file;
    world->config.metainfo = &world->metainfo;
    assert_int_equal(sk_picker_new(&world->config, &world->picker), 0);
    picker_world_check(world);
}

static inline void picker_world_deinit(struct picker_world *world)
{
    picker_world_check(world);
    sk_picker_free(world->picker);
}

static inline struct sk_bitfield picker_world_bits(const struct picker_world *world)
{
    struct sk_bitfield bits;
    assert_int_equal(sk_bitfield_init(&bits, world->metainfo.pieces), 0);
    return bits;
}

/* A peer with all pieces; one with those of a text of digits, from piece 0 on: "0110". Both are
 * told to the picker. */
static inline struct sk_bitfield picker_world_seed(const struct picker_world *world)
{
    struct sk_bitfield bits = picker_world_bits(world);
    sk_bitfield_fill(&bits);
    sk_picker_peer(world->picker, &bits, 1);
    return bits;
}

static inline struct sk_bitfield picker_world_peer(const struct picker_world *world,
                                                   const char *digits)
{
    struct sk_bitfield bits = picker_world_bits(world);
    for (uint32_t i = 0; digits[i]; i++)
        if (digits[i] == '1')
            sk_bitfield_add(&bits, i);
    sk_picker_peer(world->picker, &bits, 1);
    return bits;
}

/* Up to `max` blocks; how many. */
static inline size_t picker_world_pick(struct picker_world *world, uint32_t peer,
                                       const struct sk_bitfield *have, struct sk_block *ret_blocks,
                                       size_t max)
{
    bool full;
    size_t n =
        sk_picker_pick(world->picker, peer, have, NULL, world->now_ns, ret_blocks, max, &full);
    picker_world_check(world);
    return n;
}

/* The next block as piece * 1000 + number of the block; UINT32_MAX for none. */
static inline uint32_t picker_world_next(struct picker_world *world, uint32_t peer,
                                         const struct sk_bitfield *have)
{
    struct sk_block block;
    if (!picker_world_pick(world, peer, have, &block, 1))
        return UINT32_MAX;
    assert_int_equal(block.begin % BLOCK, 0);
    return block.piece * 1000 + block.begin / BLOCK;
}

static inline enum sk_picker_taken picker_world_take(struct picker_world *world, uint32_t peer,
                                                     uint32_t piece, uint32_t number)
{
    uint32_t left = sk_metainfo_piece_length(&world->metainfo, piece) - number * BLOCK;
    struct sk_block block = {piece, number * BLOCK, left < BLOCK ? left : BLOCK};
    uint32_t others[SK_PICKER_ASKED_MAX];
    size_t count;
    enum sk_picker_taken taken = sk_picker_take(world->picker, peer, &block, others, &count);
    picker_world_check(world);
    return taken;
}

static inline struct sk_picker_counts picker_world_counts(const struct picker_world *world)
{
    struct sk_picker_counts counts;
    sk_picker_counts(world->picker, &counts);
    return counts;
}

#endif
