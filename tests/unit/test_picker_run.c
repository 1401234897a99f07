/* Stretches of pieces for web seeds: sk_picker_pick_run() and sk_picker_claim(). */
#include "base/assert.h"
#include "picker_world.h"

static struct picker_world world;
static struct sk_bitfield seed;

static void begin(uint32_t pieces, enum sk_picker_order order)
{
    picker_world_init(&world, (uint64_t)pieces * 2 * BLOCK - 100, 2 * BLOCK, order);
    seed = picker_world_seed(&world);
}

static int tear_down(void **state)
{
    sk_bitfield_deinit(&seed);
    picker_world_deinit(&world);
    return 0;
}

/* first * 1000 + count; *full as told. */
static uint32_t run_of(uint32_t peer, const struct sk_bitfield *have, uint32_t pieces, bool *full)
{
    uint32_t first;
    uint32_t count = sk_picker_pick_run(world.picker, peer, have, pieces * UINT64_C(2) * BLOCK,
                                        world.now_ns, &first, full);
    picker_world_check(&world);
    return count ? first * 1000 + count : 0;
}

static uint32_t run(uint32_t peer, uint32_t pieces)
{
    bool full;
    uint32_t found = run_of(peer, &seed, pieces, &full);
    assert_false(full);
    return found;
}

/* The start of what is long enough, else of the longest; until there is nothing left. */
static void test_stretches(void **state)
{
    begin(20, SK_PICKER_RAREST);
    sk_picker_have(world.picker, 3);
    sk_picker_have(world.picker, 10);
    assert_int_equal(run(1, 4), 4004); /* of 3, 6 and 9 */
    assert_int_equal(run(2, 100), 11009);
    assert_int_equal(run(1, 100), 3);
    assert_int_equal(run(1, 100), 8002);
    assert_int_equal(run(1, 100), 0);
    struct sk_block blocks[4];
    assert_int_equal(picker_world_pick(&world, 1, &seed, blocks, 4), 0); /* all are asked for */
    assert_int_equal(picker_world_take(&world, 2, 11, 0), SK_PICKER_HELD);
    assert_int_equal(picker_world_take(&world, 2, 11, 1), SK_PICKER_WHOLE);
    sk_picker_leave(world.picker, 2); /* what it did not give is free again */
    picker_world_check(&world);
    assert_int_equal(picker_world_pick(&world, 3, &seed, blocks, 4), 4);
}

/* Places where 64 pieces in a row are not wanted are passed over in one go. */
static void test_long_gap(void **state)
{
    begin(300, SK_PICKER_RAREST);
    for (uint32_t i = 64; i < 128; i++)
        sk_picker_have(world.picker, i);
    sk_picker_have(world.picker, 178);
    assert_int_equal(run(1, 110), 179110);
}

static void test_priority(void **state)
{
    begin(200, SK_PICKER_RAREST);
    sk_picker_set_priority(world.picker, 150, 6);
    sk_picker_set_priority(world.picker, 199, 5);
    for (uint32_t i = 0; i < 100; i++)
        sk_picker_set_priority(world.picker, i, 0);
    assert_int_equal(run(1, 3), 150003); /* it goes on behind it */
    assert_int_equal(run(1, 3), 199001);
    assert_int_equal(run(1, 1000), 100050);
    assert_int_equal(run(1, 1000), 153046);
    assert_int_equal(run(1, 1000), 0);
}

static void test_order(void **state)
{
    begin(20, SK_PICKER_IN_ORDER);
    sk_picker_have(world.picker, 6);
    sk_picker_set_cursor(world.picker, 5);
    assert_int_equal(run(1, 4), 5001);
    assert_int_equal(run(1, 4), 7004);
    assert_int_equal(sk_picker_set_deadline(world.picker, 15, world.now_ns + SECOND), 0);
    assert_int_equal(run(1, 2), 15002);
}

static void test_parts(void **state)
{
    begin(10, SK_PICKER_RAREST);
    struct sk_bitfield part = picker_world_peer(&world, "0110011101");
    bool full;
    assert_int_equal(run_of(1, &part, 2, &full), 1002);
    assert_int_equal(run_of(1, &part, 20, &full), 5003);
    assert_int_equal(run_of(1, &part, 20, &full), 9001);
    assert_int_equal(run_of(1, &part, 20, &full), 0);
    assert_false(full);
    sk_bitfield_deinit(&part);
}

static void test_full(void **state)
{
    begin(10, SK_PICKER_RAREST);
    picker_world_deinit(&world);
    sk_bitfield_deinit(&seed);
    picker_world_init(&world, UINT64_C(20) * BLOCK, 2 * BLOCK, SK_PICKER_RAREST);
    sk_picker_free(world.picker);
    world.config.partial_bytes_max = UINT64_C(6) * BLOCK;
    assert_int_equal(sk_picker_new(&world.config, &world.picker), 0);
    seed = picker_world_seed(&world);
    bool full;
    assert_int_equal(run_of(1, &seed, 5, &full), 3);
    assert_false(full);
    assert_int_equal(run_of(1, &seed, 5, &full), 0);
    assert_true(full);
    assert_false(sk_picker_claim(world.picker, 1, 5, world.now_ns));
}

static void test_claim(void **state)
{
    begin(10, SK_PICKER_RAREST);
    sk_picker_set_priority(world.picker, 4, 0);
    assert_true(sk_picker_claim(world.picker, 1, 3, world.now_ns));
    assert_false(sk_picker_claim(world.picker, 1, 3, world.now_ns));
    assert_false(sk_picker_claim(world.picker, 1, 4, world.now_ns));
    assert_int_equal(picker_world_take(&world, 1, 3, 1), SK_PICKER_HELD);
    assert_int_equal(picker_world_take(&world, 1, 3, 0), SK_PICKER_WHOLE);
    sk_picker_verified(world.picker, 3, false);
    assert_true(sk_picker_claim(world.picker, 1, 3, world.now_ns)); /* anew, alone */
    struct sk_block blocks[40];
    size_t n = picker_world_pick(&world, 2, &seed, blocks, 40);
    assert_int_equal(n, 16);
    for (size_t i = 0; i < n; i++)
        assert_int_not_equal(blocks[i].piece, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_stretches, tear_down),
        cmocka_unit_test_teardown(test_long_gap, tear_down),
        cmocka_unit_test_teardown(test_priority, tear_down),
        cmocka_unit_test_teardown(test_order, tear_down),
        cmocka_unit_test_teardown(test_parts, tear_down),
        cmocka_unit_test_teardown(test_full, tear_down),
        cmocka_unit_test_teardown(test_claim, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
