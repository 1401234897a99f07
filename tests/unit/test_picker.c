/* Which block is asked of whom: every rule of swarm/picker.h. */
#include "swarm/picker.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "picker_world.h"

#define NONE UINT32_MAX

static struct picker_world world;

static void begin(uint32_t pieces, uint32_t blocks, enum sk_picker_order order)
{
    picker_world_init(&world, (uint64_t)pieces * blocks * BLOCK, blocks * BLOCK, order);
}

static uint32_t next(uint32_t peer, const struct sk_bitfield *have)
{
    return picker_world_next(&world, peer, have);
}

static enum sk_picker_taken take(uint32_t peer, uint32_t block)
{
    return picker_world_take(&world, peer, block / 1000, block % 1000);
}

/* Asks for all of a piece and takes it, until it is WHOLE; which piece it was. */
static uint32_t take_piece(uint32_t peer, const struct sk_bitfield *have)
{
    for (;;) {
        uint32_t block = next(peer, have);
        assert_int_not_equal(block, NONE);
        if (take(peer, block) == SK_PICKER_WHOLE)
            return block / 1000;
    }
}

/* A piece goes its way, blocks in order. */
static void test_piece(void **state)
{
    picker_world_init(&world, 5 * BLOCK + 10, 3 * BLOCK, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    struct sk_block blocks[10];
    assert_int_equal(picker_world_pick(&world, 1, &seed, blocks, 10), 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(blocks[i].piece, i / 3);
        assert_int_equal(blocks[i].begin, i % 3 * BLOCK);
        assert_int_equal(blocks[i].length, i == 5 ? 10 : BLOCK);
    }
    assert_int_equal(take(1, 1), SK_PICKER_HELD);
    assert_int_equal(take(1, 1), SK_PICKER_UNWANTED);
    assert_int_equal(take(1, 0), SK_PICKER_HELD);
    assert_int_equal(take(1, 2), SK_PICKER_WHOLE);
    struct sk_picker_counts counts = picker_world_counts(&world);
    assert_int_equal(counts.whole, 1);
    assert_int_equal(counts.partial, 1);
    assert_int_equal(counts.bytes_held, 3 * BLOCK);
    assert_int_equal(take(1, 2), SK_PICKER_UNWANTED);
    sk_picker_verified(world.picker, 0, true);
    sk_picker_verified(world.picker, 0, false); /* not WHOLE any more: nothing */
    sk_picker_verified(world.picker, 1, true);
    assert_true(sk_bitfield_has(sk_picker_pieces(world.picker), 0));
    assert_false(sk_bitfield_has(sk_picker_pieces(world.picker), 1));
    assert_false(sk_picker_done(world.picker));
    assert_true(sk_picker_wants(world.picker, &seed)); /* what is asked for may not come */
    for (uint32_t i = 0; i < 3; i++)
        take(1, 1000 + i);
    assert_false(sk_picker_wants(world.picker, &seed));
    sk_picker_verified(world.picker, 1, true);
    counts = picker_world_counts(&world);
    assert_true(sk_picker_done(world.picker));
    assert_int_equal(counts.bytes_have, 5 * BLOCK + 10);
    assert_int_equal(counts.bytes_wanted, 5 * BLOCK + 10);
    assert_int_equal(counts.pieces_have, 2);
    assert_int_equal(counts.bytes_held, 0);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* A wrong piece is MISSING again; a wrong block alone is FREE again. */
static void test_wrong(void **state)
{
    begin(1, 3, SK_PICKER_RAREST);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(take_piece(1, &seed), 0);
    assert_int_equal(next(2, &seed), NONE);
    sk_picker_verified(world.picker, 0, false);
    assert_int_equal(take(1, 1), SK_PICKER_UNWANTED); /* its piece is gone */
    assert_int_equal(take_piece(1, &seed), 0);
    sk_picker_drop(world.picker, 0, BLOCK);
    assert_int_equal(picker_world_counts(&world).whole, 0);
    assert_int_equal(next(1, &seed), 1);
    sk_picker_drop(world.picker, 0, BLOCK); /* not HELD: nothing */
    assert_int_equal(next(1, &seed), NONE);
    assert_int_equal(take(1, 1), SK_PICKER_WHOLE);
    sk_picker_forget(world.picker, 0);
    assert_int_equal(picker_world_counts(&world).bytes_held, 0);
    assert_int_equal(next(2, &seed), 0);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* A piece that was wrong comes from one peer alone. */
static void test_wrong_is_asked_of_one(void **state)
{
    begin(1, 4, SK_PICKER_RAREST);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(next(1, &seed), 0);
    assert_int_equal(next(2, &seed), 1); /* right or wrong, nobody knows */
    for (uint32_t i = 2; i < 4; i++)
        assert_int_equal(next(1, &seed), i);
    for (uint32_t i = 0; i < 4; i++)
        take(1, i);
    sk_picker_verified(world.picker, 0, false);
    assert_int_equal(next(1, &seed), 0);
    assert_int_equal(next(2, &seed), NONE);
    assert_false(picker_world_counts(&world).end_game);
    take(1, 0);
    /* It is asked for nothing now: another begins anew, and the first has to wait. */
    assert_int_equal(next(2, &seed), 0);
    assert_int_equal(next(1, &seed), NONE);
    assert_int_equal(take(1, 1), SK_PICKER_UNWANTED);
    take(2, 0);
    assert_int_equal(next(2, &seed), 1);
    world.now_ns += SK_PICKER_LATE_NS;
    assert_int_equal(next(1, &seed), NONE); /* late, and its all the same */
    world.now_ns += SK_PICKER_WITHHELD_NS;
    assert_int_equal(next(2, &seed), 2);
    assert_int_equal(next(2, &seed), 3); /* all are asked for: the end game */
    assert_int_equal(next(1, &seed), 1); /* it keeps it from us */
    assert_int_equal(take(1, 1), SK_PICKER_HELD);
    sk_picker_leave(world.picker, 2);
    assert_int_equal(next(3, &seed), 0);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* threats: what does not exist is not taken, and breaks nothing. */
static void test_hostile_blocks(void **state)
{
    static const struct sk_block wrong[] = {
        {0, 0, BLOCK - 1},      {0, 0, BLOCK + 1},
        {0, 1, BLOCK},          {0, 3 * BLOCK, BLOCK},
        {9, 0, BLOCK},          {UINT32_MAX, 0, BLOCK},
        {0, 0u - BLOCK, BLOCK}, {0, UINT32_MAX, BLOCK},
        {1, 0, BLOCK},          {0, 0, 0},
    };
    uint32_t others[SK_PICKER_ASKED_MAX];
    begin(2, 3, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(next(1, &seed), 0);
    for (size_t i = 0; i < SK_ARRAY_LEN(wrong); i++) {
        size_t count = 7;
        assert_int_equal(sk_picker_take(world.picker, 1, &wrong[i], others, &count),
                         SK_PICKER_UNWANTED);
        assert_int_equal(count, 0);
        if (wrong[i].begin)
            sk_picker_release(world.picker, 1, wrong[i].piece, wrong[i].begin);
        sk_picker_drop(world.picker, wrong[i].piece, wrong[i].begin);
    }
    sk_picker_release(world.picker, 2, 0, 0); /* was not asked of it */
    assert_int_equal(next(1, &seed), 1);
    assert_int_equal(take(2, 2), SK_PICKER_HELD); /* nobody was asked for it: welcome */
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

static void test_rarest(void **state)
{
    begin(6, 1, SK_PICKER_RAREST);
    struct sk_bitfield seed = picker_world_seed(&world);
    struct sk_bitfield a = picker_world_peer(&world, "111010");
    struct sk_bitfield b = picker_world_peer(&world, "110010");
    struct sk_bitfield c = picker_world_peer(&world, "100010");
    assert_int_equal(sk_picker_availability(world.picker, 0), 4);
    assert_int_equal(sk_picker_availability(world.picker, 3), 1);
    assert_true(sk_picker_copies(world.picker) > 1.66 && sk_picker_copies(world.picker) < 1.67);
    assert_int_equal(next(2, &a), 2000);
    assert_int_equal(next(3, &b), 1000);
    uint32_t first = next(1, &seed), second = next(1, &seed);
    assert_int_equal(first + second, 3000 + 5000);
    sk_picker_peer_have(world.picker, 4, 1);
    assert_int_equal(next(4, &c), 0);
    assert_int_equal(next(4, &c), 4000);
    sk_picker_peer(world.picker, &a, -1);
    sk_picker_peer(world.picker, &b, -1);
    assert_int_equal(sk_picker_availability(world.picker, 1), 1);
    sk_bitfield_deinit(&seed);
    sk_bitfield_deinit(&a);
    sk_bitfield_deinit(&b);
    sk_bitfield_deinit(&c);
    picker_world_deinit(&world);
}

/* Of pieces as rare, each is drawn as often, with a seed and with others. */
static void test_drawn(void **state)
{
    uint32_t drawn[2][16] = {{0}};
    for (uint32_t i = 0; i < 2000; i++) {
        begin(16, 1, SK_PICKER_RAREST);
        world.config.seed = i;
        sk_picker_free(world.picker);
        assert_int_equal(sk_picker_new(&world.config, &world.picker), 0);
        struct sk_bitfield have =
            i % 2 ? picker_world_peer(&world, "1111111111111110") : picker_world_seed(&world);
        drawn[i % 2][next(1, &have) / 1000]++;
        sk_bitfield_deinit(&have);
        picker_world_deinit(&world);
    }
    for (uint32_t i = 0; i < 16; i++) {
        assert_in_range(drawn[0][i], 30, 100);
        assert_in_range(drawn[1][i], i < 15 ? 30 : 0, i < 15 ? 100 : 0);
    }
}

/* Seeds come and go at once; a peer may become one, or be one no longer, piece by piece. */
static void test_seeds(void **state)
{
    begin(4, 1, SK_PICKER_RAREST);
    struct sk_bitfield seed = picker_world_seed(&world);
    struct sk_bitfield grown = picker_world_peer(&world, "1100");
    for (uint32_t i = 2; i < 4; i++) {
        sk_picker_peer_have(world.picker, i, 1);
        sk_bitfield_add(&grown, i);
    }
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(sk_picker_availability(world.picker, i), 2);
    sk_picker_peer(world.picker, &seed, -1); /* whichever of both it is */
    sk_picker_peer(world.picker, &grown, -1);
    picker_world_check(&world);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(sk_picker_availability(world.picker, i), 0);
    assert_true(sk_picker_copies(world.picker) == 0);
    /* A seed loses a piece, and goes; another peer has that piece. */
    struct sk_bitfield other = picker_world_peer(&world, "0100");
    sk_picker_peer(world.picker, &seed, 1);
    sk_picker_peer_have(world.picker, 1, -1);
    sk_bitfield_drop(&seed, 1);
    assert_int_equal(sk_picker_availability(world.picker, 1), 1);
    assert_int_equal(sk_picker_availability(world.picker, 2), 1);
    picker_world_check(&world);
    sk_picker_peer(world.picker, &seed, -1);
    picker_world_check(&world);
    assert_int_equal(sk_picker_availability(world.picker, 1), 1);
    assert_int_equal(sk_picker_availability(world.picker, 2), 0);
    sk_picker_peer(world.picker, &other, -1);
    sk_bitfield_deinit(&seed);
    sk_bitfield_deinit(&grown);
    sk_bitfield_deinit(&other);
    picker_world_deinit(&world);
}

/* A peer's own pieces first, then new ones, then those of others, whose blocks it shares. */
static void test_own_new_others(void **state)
{
    begin(3, 3, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(next(1, &seed), 0);
    assert_int_equal(next(2, &seed), 1000);
    assert_int_equal(next(1, &seed), 1);
    assert_int_equal(next(3, &seed), 2000);
    assert_int_equal(next(4, &seed), 2); /* nothing new is left */
    assert_int_equal(next(4, &seed), 1001);
    sk_picker_leave(world.picker, 2); /* what was asked of it is FREE, and the piece nobody's */
    assert_int_equal(next(1, &seed), 1000);
    assert_int_equal(next(3, &seed), 2001);
    assert_int_equal(next(1, &seed), 1002);
    sk_picker_release(world.picker, 1, 0, BLOCK);
    assert_int_equal(next(3, &seed), 2002);
    assert_int_equal(next(3, &seed), 1); /* of 1, which has nothing of its own to share */
    assert_int_equal(next(3, &seed), NONE);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* Of PARTIAL pieces the rarest first, of those as rare the one that lacks least. */
static void test_partial_order(void **state)
{
    begin(3, 4, SK_PICKER_RAREST);
    struct sk_bitfield a = picker_world_peer(&world, "111");
    struct sk_bitfield b = picker_world_peer(&world, "010");
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(sk_picker_hold(world.picker, i, 0), 0);
    assert_int_equal(sk_picker_hold(world.picker, 1, BLOCK), 0);
    assert_int_equal(sk_picker_hold(world.picker, 1, 2 * BLOCK), 0);
    assert_int_equal(sk_picker_hold(world.picker, 2, BLOCK), 0);
    assert_int_equal(next(1, &a), 2002);
    assert_int_equal(next(1, &a), 2003);
    assert_int_equal(next(1, &a), 1);
    sk_picker_leave(world.picker, 1);
    sk_picker_set_order(world.picker, SK_PICKER_IN_ORDER);
    assert_int_equal(next(1, &a), 1);
    sk_picker_leave(world.picker, 1);
    sk_picker_set_cursor(world.picker, 1);
    assert_int_equal(next(1, &a), 1003);
    assert_int_equal(next(1, &a), 2002);
    sk_bitfield_deinit(&a);
    sk_bitfield_deinit(&b);
    picker_world_deinit(&world);
}

static void test_in_order(void **state)
{
    begin(200, 1, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    struct sk_bitfield odd = picker_world_bits(&world);
    for (uint32_t i = 1; i < 200; i += 2)
        sk_bitfield_add(&odd, i);
    sk_picker_peer(world.picker, &odd, 1);
    sk_picker_set_cursor(world.picker, 130);
    assert_int_equal(next(2, &odd), 131000);
    assert_int_equal(next(1, &seed), 130000);
    assert_int_equal(next(1, &seed), 132000);
    sk_picker_set_priority(world.picker, 50, 7);
    sk_picker_set_priority(world.picker, 150, 7);
    sk_picker_set_priority(world.picker, 199, 7);
    assert_int_equal(next(2, &odd), 199000);
    assert_int_equal(next(1, &seed), 150000);
    assert_int_equal(next(1, &seed), 50000);
    sk_picker_forget(world.picker, 130); /* goes back to where it belongs */
    assert_int_equal(next(1, &seed), 130000);
    for (uint32_t i = 133; i < 200; i++)
        if (i != 150 && i != 199)
            assert_int_equal(next(1, &seed), i * 1000);
    assert_int_equal(next(2, &odd), 1000); /* at last what lies before */
    assert_int_equal(next(1, &seed), 0);
    sk_bitfield_deinit(&seed);
    sk_bitfield_deinit(&odd);
    picker_world_deinit(&world);
}

static void test_priorities(void **state)
{
    begin(4, 2, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(sk_picker_priority(world.picker, 2), SK_PICKER_PRIORITY_NORMAL);
    sk_picker_set_priority(world.picker, 0, 0);
    sk_picker_set_priority(world.picker, 1, 1);
    assert_int_equal(next(1, &seed), 2000);
    sk_picker_set_priority(world.picker, 3, 7);
    assert_int_equal(next(1, &seed), 3000); /* new, before what is begun of a lower one */
    sk_picker_set_priority(world.picker, 3, 0);
    struct sk_picker_counts counts = picker_world_counts(&world);
    assert_int_equal(counts.pieces_wanted, 2);
    assert_int_equal(counts.bytes_wanted, 4 * BLOCK);
    assert_int_equal(next(1, &seed), 2001);
    assert_int_equal(next(1, &seed), 1000);
    assert_int_equal(next(1, &seed), 1001);
    assert_int_equal(next(1, &seed), NONE);
    assert_int_equal(take(1, 3000), SK_PICKER_HELD); /* stays */
    sk_picker_set_priority(world.picker, 3, 2);
    assert_int_equal(next(1, &seed), 3001);
    assert_int_equal(take(1, 3001), SK_PICKER_WHOLE);
    sk_picker_set_priority(world.picker, 3, 0);
    sk_picker_verified(world.picker, 3, true);
    counts = picker_world_counts(&world);
    assert_int_equal(counts.pieces_have, 1);
    assert_int_equal(counts.bytes_have, 0);
    sk_picker_set_priority(world.picker, 3, 5);
    assert_int_equal(picker_world_counts(&world).bytes_have, 2 * BLOCK);
    sk_picker_have(world.picker, 1);
    sk_picker_have(world.picker, 2);
    sk_picker_have(world.picker, 2);
    assert_true(sk_picker_done(world.picker));
    assert_false(sk_picker_wants(world.picker, &seed)); /* 0 is not wanted */
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* Memory is bounded: new pieces wait, others' are shared; one piece is always allowed. */
static void test_memory(void **state)
{
    begin(5, 2, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    struct sk_block blocks[20];
    bool full = true;
    world.config.partial_bytes_max = 5 * BLOCK;
    sk_picker_free(world.picker);
    assert_int_equal(sk_picker_new(&world.config, &world.picker), 0);
    sk_picker_peer(world.picker, &seed, 1);
    assert_int_equal(sk_picker_pick(world.picker, 1, &seed, NULL, world.now_ns, blocks, 3, &full),
                     3);
    assert_false(full);
    assert_int_equal(sk_picker_hold(world.picker, 4, 0), SKEP_ERR_LIMIT);
    assert_int_equal(sk_picker_pick(world.picker, 2, &seed, NULL, world.now_ns, blocks, 20, &full),
                     1);
    assert_true(full);
    assert_int_equal(blocks[0].piece, 1);
    assert_false(picker_world_counts(&world).end_game);
    take(1, 0);
    take(1, 1); /* WHOLE counts too */
    assert_int_equal(next(2, &seed), NONE);
    sk_picker_verified(world.picker, 0, true);
    assert_int_equal(next(2, &seed), 2000);
    /* Blocks that hold memory up are asked of others too, once they are late. */
    assert_int_equal(next(3, &seed), 2001);
    assert_int_equal(next(3, &seed), NONE);
    world.now_ns += SK_PICKER_LATE_NS;
    assert_int_not_equal(next(3, &seed), NONE);
    assert_false(picker_world_counts(&world).end_game);
    sk_picker_leave(world.picker, 3);
    /* An unwanted one takes room until it is forgotten. */
    sk_picker_set_priority(world.picker, 1, 0);
    assert_int_equal(next(2, &seed), 2001);
    assert_int_equal(next(2, &seed), NONE);
    sk_picker_forget(world.picker, 1);
    assert_int_equal(next(2, &seed), 3000);
    sk_picker_free(world.picker);
    world.config.partial_bytes_max = 1;
    assert_int_equal(sk_picker_new(&world.config, &world.picker), 0);
    assert_int_equal(sk_picker_pick(world.picker, 1, &seed, NULL, world.now_ns, blocks, 20, &full),
                     2);
    assert_true(full);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

static void test_allowed(void **state)
{
    bool full;
    struct sk_block blocks[10];
    begin(100, 2, SK_PICKER_RAREST);
    struct sk_bitfield seed = picker_world_seed(&world), allowed = picker_world_bits(&world);
    sk_bitfield_add(&allowed, 70);
    sk_bitfield_add(&allowed, 99);
    size_t n = sk_picker_pick(world.picker, 1, &seed, &allowed, world.now_ns, blocks, 10, &full);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_true(blocks[i].piece == 70 || blocks[i].piece == 99);
    sk_bitfield_clear(&seed);
    sk_picker_leave(world.picker, 1);
    assert_int_equal(
        sk_picker_pick(world.picker, 1, &seed, &allowed, world.now_ns, blocks, 10, &full), 0);
    sk_bitfield_deinit(&seed);
    sk_bitfield_deinit(&allowed);
    picker_world_deinit(&world);
}

/* Deadlines: the nearest first, before priorities; late blocks are asked of a second peer. */
static void test_deadlines(void **state)
{
    begin(6, 2, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    uint64_t t = world.now_ns;
    assert_int_equal(sk_picker_set_deadline(world.picker, 5, t + 20 * SECOND), 0);
    assert_int_equal(sk_picker_set_deadline(world.picker, 3, t + 10 * SECOND), 0);
    assert_int_equal(sk_picker_set_deadline(world.picker, 4, t + 1 * SECOND), 0);
    assert_int_equal(sk_picker_set_deadline(world.picker, 2, t + 1 * SECOND), 0);
    assert_int_equal(sk_picker_set_deadline(world.picker, 2, SK_TIME_NEVER), 0);
    sk_picker_set_priority(world.picker, 4, 0); /* it is not wanted, whenever */
    assert_int_equal(next(1, &seed), 3000);
    assert_int_equal(next(2, &seed), 3001); /* whoever began it */
    assert_int_equal(next(1, &seed), 5000);
    assert_int_equal(next(1, &seed), 5001);
    world.now_ns = t + 4 * SECOND;
    assert_int_equal(next(3, &seed), 0); /* not urgent yet */
    world.now_ns = t + 5 * SECOND;
    assert_int_equal(next(1, &seed), 3001);
    assert_int_equal(next(2, &seed), 3000);
    world.now_ns = t + 8 * SECOND;
    assert_int_equal(next(3, &seed), 1); /* two are enough */
    uint32_t others[SK_PICKER_ASKED_MAX];
    size_t count;
    struct sk_block block = {3, 0, BLOCK};
    assert_int_equal(sk_picker_take(world.picker, 1, &block, others, &count), SK_PICKER_HELD);
    assert_int_equal(count, 1);
    assert_int_equal(others[0], 2);
    block.begin = BLOCK;
    assert_int_equal(sk_picker_take(world.picker, 7, &block, others, &count), SK_PICKER_WHOLE);
    assert_int_equal(count, 2);
    sk_picker_verified(world.picker, 3, true);
    assert_int_equal(sk_picker_set_deadline(world.picker, 3, t), 0); /* is here: not kept */
    sk_picker_have(world.picker, 5);
    world.now_ns = t + 60 * SECOND;
    assert_int_equal(next(3, &seed), 1000);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

static void test_deadlines_are_bounded(void **state)
{
    begin(SK_PICKER_DEADLINES_MAX + 2, 1, SK_PICKER_IN_ORDER);
    for (uint32_t i = 0; i < SK_PICKER_DEADLINES_MAX; i++)
        assert_int_equal(sk_picker_set_deadline(world.picker, i, i % 7), 0);
    picker_world_check(&world);
    assert_int_equal(sk_picker_set_deadline(world.picker, SK_PICKER_DEADLINES_MAX, 1),
                     SKEP_ERR_LIMIT);
    assert_int_equal(sk_picker_set_deadline(world.picker, 5, 99), 0);
    sk_picker_have(world.picker, 9);
    assert_int_equal(sk_picker_set_deadline(world.picker, SK_PICKER_DEADLINES_MAX, 1), 0);
    picker_world_deinit(&world);
}

/* The end game: only when nothing is FREE, only late blocks, the oldest first, of few peers. */
static void test_end_game(void **state)
{
    begin(1, 3, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    uint32_t others[SK_PICKER_ASKED_MAX];
    size_t count;
    assert_int_equal(next(1, &seed), 0);
    world.now_ns += SECOND / 2;
    assert_int_equal(next(1, &seed), 1);
    world.now_ns += 10 * SECOND;
    assert_false(picker_world_counts(&world).end_game); /* one is FREE */
    assert_int_equal(next(1, &seed), 2);
    assert_true(picker_world_counts(&world).end_game);
    assert_int_equal(next(1, &seed), NONE); /* not twice of the same */
    assert_int_equal(next(2, &seed), 0);
    assert_int_equal(next(2, &seed), 1);
    assert_int_equal(next(2, &seed), NONE); /* the third is not late */
    assert_int_equal(next(3, &seed), NONE); /* these were asked for just now */
    world.now_ns += SK_PICKER_LATE_NS;
    assert_int_equal(next(3, &seed), 0);
    assert_int_equal(next(3, &seed), 1);
    assert_int_equal(next(3, &seed), 2);
    world.now_ns += SK_PICKER_LATE_NS;
    assert_int_equal(next(4, &seed), 2); /* of the others three peers were asked */
    assert_int_equal(next(4, &seed), NONE);
    struct sk_block block = {0, 0, BLOCK};
    assert_int_equal(sk_picker_take(world.picker, 3, &block, others, &count), SK_PICKER_HELD);
    assert_int_equal(count, 2);
    assert_int_equal(others[0] + others[1], 3);
    sk_picker_release(world.picker, 2, 0, BLOCK);
    sk_picker_leave(world.picker, 1);
    assert_true(picker_world_counts(&world).end_game);
    sk_picker_leave(world.picker, 3); /* the last that was asked for the second */
    assert_false(picker_world_counts(&world).end_game);
    assert_int_equal(next(5, &seed), 1);
    assert_int_equal(take(5, 1), SK_PICKER_HELD);
    assert_int_equal(take(4, 2), SK_PICKER_WHOLE);
    assert_false(picker_world_counts(&world).end_game);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* A peer is asked for few late blocks at a time. */
static void test_few_late_blocks(void **state)
{
    struct sk_block blocks[20];
    begin(5, 4, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(picker_world_pick(&world, 1, &seed, blocks, 20), 20);
    world.now_ns += SK_PICKER_LATE_NS;
    assert_int_equal(picker_world_pick(&world, 2, &seed, blocks, 20), SK_PICKER_LATE_BLOCKS);
    assert_int_equal(next(2, &seed), NONE);
    assert_int_equal(take(2, blocks[0].piece * 1000 + blocks[0].begin / BLOCK), SK_PICKER_HELD);
    assert_int_not_equal(next(2, &seed), NONE);
    assert_int_equal(next(2, &seed), NONE);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* What nobody has does not put the end game off. */
static void test_end_game_of_what_is_there(void **state)
{
    begin(3, 2, SK_PICKER_IN_ORDER);
    struct sk_bitfield a = picker_world_peer(&world, "110");
    struct sk_bitfield b = picker_world_peer(&world, "100");
    assert_int_equal(next(1, &a), 0);
    assert_int_equal(next(1, &a), 1);
    assert_int_equal(next(1, &a), 1000);
    sk_picker_peer(world.picker, &a, -1);
    assert_true(picker_world_counts(&world).end_game);
    world.now_ns += SK_PICKER_LATE_NS;
    assert_int_equal(next(2, &b), 0);
    sk_picker_peer_have(world.picker, 2, 1);
    assert_false(picker_world_counts(&world).end_game);
    sk_bitfield_deinit(&a);
    sk_bitfield_deinit(&b);
    picker_world_deinit(&world);
}

/* Blocks found on disk. */
static void test_hold(void **state)
{
    picker_world_init(&world, 5 * BLOCK, 3 * BLOCK, SK_PICKER_IN_ORDER);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(sk_picker_hold(world.picker, 0, 5), SKEP_ERR_INVALID);
    assert_int_equal(sk_picker_hold(world.picker, 0, 3 * BLOCK), SKEP_ERR_INVALID);
    assert_int_equal(sk_picker_hold(world.picker, 1, 2 * BLOCK), SKEP_ERR_INVALID);
    assert_int_equal(sk_picker_hold(world.picker, 2, 0), SKEP_ERR_INVALID);
    assert_int_equal(picker_world_counts(&world).partial, 0);
    assert_int_equal(sk_picker_hold(world.picker, 0, BLOCK), 0);
    assert_int_equal(sk_picker_hold(world.picker, 0, BLOCK), 0);
    assert_int_equal(sk_picker_hold(world.picker, 0, 0), 0);
    assert_int_equal(sk_picker_hold(world.picker, 0, 2 * BLOCK), SKEP_ERR_INVALID);
    assert_int_equal(picker_world_counts(&world).bytes_held, 2 * BLOCK);
    assert_int_equal(next(1, &seed), 2);
    assert_int_equal(take(1, 2), SK_PICKER_WHOLE);
    sk_picker_have(world.picker, 1);
    assert_int_equal(sk_picker_hold(world.picker, 1, 0), SKEP_ERR_INVALID);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* A hybrid torrent: a file of 1.5 blocks, padded to a piece of four; one of two bytes, padded; a
 * piece that is all padding; and a last one. */
static void test_padding(void **state)
{
    static const struct sk_file files[] = {
        {.path = "a", .length = BLOCK * 3 / 2},
        {.length = BLOCK * 5 / 2, .offset = BLOCK * 3 / 2, .flags = SK_FILE_PADDING},
        {.path = "empty", .offset = BLOCK * 4, .first_piece = 1},
        {.path = "b", .length = 2, .offset = BLOCK * 4, .first_piece = 1},
        {.length = BLOCK * 8 - 2, .offset = BLOCK * 4 + 2, .flags = SK_FILE_PADDING},
        {.path = "c", .length = BLOCK + 1, .offset = BLOCK * 12, .first_piece = 3},
    };
    struct sk_block blocks[20];
    picker_world_init(&world, BLOCK * 13 + 1, 4 * BLOCK, SK_PICKER_IN_ORDER);
    world.metainfo.files = files;
    world.metainfo.files_count = SK_ARRAY_LEN(files);
    struct sk_bitfield seed = picker_world_seed(&world);
    static const uint32_t asked[] = {0, 1, 1000, 2003, 3000, 3001};
    assert_int_equal(picker_world_pick(&world, 1, &seed, blocks, 20), SK_ARRAY_LEN(asked));
    for (size_t i = 0; i < SK_ARRAY_LEN(asked); i++)
        assert_int_equal(blocks[i].piece * 1000 + blocks[i].begin / BLOCK, asked[i]);
    assert_int_equal(picker_world_counts(&world).bytes_held, 8 * BLOCK);
    assert_int_equal(take(1, 2), SK_PICKER_UNWANTED);
    assert_int_equal(take(1, 2003), SK_PICKER_WHOLE);
    assert_int_equal(take(1, 1000), SK_PICKER_WHOLE);
    sk_picker_verified(world.picker, 1, false); /* and is held anew */
    assert_int_equal(next(1, &seed), 1000);
    assert_int_equal(next(1, &seed), NONE);
    sk_picker_leave(world.picker, 1);
    sk_picker_forget(world.picker, 0);
    assert_int_equal(sk_picker_hold(world.picker, 0, 2 * BLOCK), 0);
    assert_int_equal(sk_picker_hold(world.picker, 0, 0), 0);
    assert_int_equal(sk_picker_hold(world.picker, 0, BLOCK), SKEP_ERR_INVALID);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* v2: pieces end where files do. */
static void test_v2_lengths(void **state)
{
    static const struct sk_file files[] = {
        {.path = "a", .length = BLOCK * 5 + 7},
        {.path = "b", .length = 9, .offset = BLOCK * 8, .first_piece = 2},
    };
    struct sk_block blocks[20];
    picker_world_init(&world, BLOCK * 8 + 9, 4 * BLOCK, SK_PICKER_IN_ORDER);
    sk_picker_free(world.picker);
    world.metainfo.has_v1 = false;
    world.metainfo.has_v2 = true;
    world.metainfo.size = BLOCK * 5 + 16;
    world.metainfo.files = files;
    world.metainfo.files_count = 2;
    assert_int_equal(sk_picker_new(&world.config, &world.picker), 0);
    struct sk_bitfield seed = picker_world_seed(&world);
    assert_int_equal(picker_world_pick(&world, 1, &seed, blocks, 20), 7);
    assert_int_equal(blocks[4].length, BLOCK);
    assert_int_equal(blocks[5].length, 7);
    assert_int_equal(blocks[6].length, 9);
    assert_int_equal(picker_world_counts(&world).bytes_wanted, BLOCK * 5 + 16);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

/* Availability above what buckets tell apart, and back. */
static void test_many_peers(void **state)
{
    begin(3, 1, SK_PICKER_RAREST);
    struct sk_bitfield all = picker_world_peer(&world, "111");
    for (uint32_t i = 0; i < 700; i++) {
        sk_picker_peer_have(world.picker, 0, 1);
        if (i < 300)
            sk_picker_peer_have(world.picker, 1, 1);
    }
    picker_world_check(&world);
    assert_int_equal(sk_picker_availability(world.picker, 0), 701);
    for (uint32_t i = 0; i < 200; i++)
        sk_picker_peer_have(world.picker, 1, -1);
    assert_int_equal(next(1, &all), 2000);
    assert_int_equal(next(1, &all), 1000);
    assert_int_equal(next(1, &all), 0);
    sk_bitfield_deinit(&all);
    picker_world_deinit(&world);
}

static void test_no_memory(void **state)
{
    begin(40, 2, SK_PICKER_RAREST);
    struct sk_bitfield seed = picker_world_seed(&world);
    struct sk_block blocks[100];
    for (size_t nth = 1;; nth++) {
        struct sk_picker *picker = NULL;
        sk_mem_fail_nth(nth);
        int err = sk_picker_new(&world.config, &picker);
        bool failed = sk_mem_fail_nth(0) >= nth;
        assert_int_equal(err, failed ? SKEP_ERR_NOMEM : 0);
        assert_true(failed == !picker);
        sk_picker_free(picker);
        if (!failed)
            break;
    }
    /* A piece that finds no memory waits. */
    for (size_t nth = 1;; nth++) {
        bool full;
        sk_mem_fail_nth(nth);
        size_t n = sk_picker_pick(world.picker, 1, &seed, NULL, world.now_ns, blocks, 80, &full);
        bool failed = sk_mem_fail_nth(0) >= nth;
        picker_world_check(&world);
        assert_true(failed == full);
        assert_true(failed ? n < 80 : n == 80);
        for (uint32_t i = 0; i < 40; i++)
            sk_picker_forget(world.picker, i);
        if (!failed)
            break;
    }
    sk_mem_fail_nth(1);
    assert_int_equal(sk_picker_set_deadline(world.picker, 1, 5), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(1);
    assert_int_equal(sk_picker_hold(world.picker, 1, 0), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(0);
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_piece),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_wrong_is_asked_of_one),
        cmocka_unit_test(test_hostile_blocks),
        cmocka_unit_test(test_rarest),
        cmocka_unit_test(test_drawn),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_own_new_others),
        cmocka_unit_test(test_partial_order),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_deadlines_are_bounded),
        cmocka_unit_test(test_end_game),
        cmocka_unit_test(test_few_late_blocks),
        cmocka_unit_test(test_end_game_of_what_is_there),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_v2_lengths),
        cmocka_unit_test(test_many_peers),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
