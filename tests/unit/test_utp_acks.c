/* proto/utp: how many acknowledgements a stream costs. */
#include "utp_world.h"

static uint32_t states_of_1;

static bool count_states(struct world *world, int from, const struct sk_utp_out *out)
{
    states_of_1 += from == 1 && out->bytes.p[0] >> 4 == SK_UTP_STATE;
    return true;
}

static void test_acknowledges_every_second(void **state)
{
    struct world world;
    world_init(&world, 13, NULL);
    world.passes = count_states;
    states_of_1 = 0;
    world.sides[0].to_write = 1000000;
    world_open(&world);
    world_run(&world, 60 * SECOND);
    assert_int_equal(world.sides[1].read, 1000000);
    assert_true(states_of_1 * 3 < world.sides[0].sent * 2);
    world_deinit(&world);
}

/* The faster they come, the more are acknowledged at once; who waits for it does not wait long. */
static void test_acknowledges_fast_ones_together(void **state)
{
    struct world world;
    world_init(&world, 13, NULL);
    world.passes = count_states;
    world.delay_ns = MS / 10;
    world.jitter_ns = 0;
    states_of_1 = 0;
    world.sides[0].to_write = 10000000;
    world_open(&world);
    uint64_t began_ns = world.now_ns;
    while (world.sides[1].read < world.sides[0].to_write)
        world_run(&world, MS);
    assert_true(states_of_1 * 8 < world.sides[0].sent);
    assert_true(world.now_ns - began_ns < SECOND);
    assert_int_equal(world.sides[1].conn->ack_every, SK_UTP_ACK_EVERY_MAX);
    world.sides[0].to_write += 1000; /* which waits for more in vain */
    world_write(&world, 0);
    world_run(&world, SECOND);
    assert_int_equal(world.sides[0].conn->flight_bytes, 0);
    assert_int_equal(world.sides[1].conn->ack_every, SK_UTP_ACK_EVERY_MIN);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acknowledges_every_second),
        cmocka_unit_test(test_acknowledges_fast_ones_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
