/* How many connections there may be, and who gets them. */
#include "engine_world.h"

static struct world world_memory;

static struct world *begin(enum remote_answer answer)
{
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){.no_lsd = true, .connections_max = 10});
    world_content(world, 8, 16384, true, false);
    world_add_file(world, NULL, 0);
    for (unsigned i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.1.0.%u:7000", i);
        world_peer(world, text)->answer = answer;
    }
    world_start(world);
    world_run(world, 1);
    return world;
}

static unsigned come_in(struct world *world)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.5.0.%u:7000", i);
        taken += world_connect(world, world_remote(world, text), text) != NULL;
    }
    return taken;
}

/* Who comes in is one of them. */
static void test_full(void **state)
{
    struct world *world = begin(CONNECTS);
    world_run(world, 1);
    assert_int_equal(skep_torrent_open(world->torrent), 10);
    assert_int_equal(come_in(world), 0);
    world_deinit(world);
}

/* Addresses at which nobody answers do not keep out who comes in, nor those the others. */
static void test_dials_leave_room(void **state)
{
    struct world *world = begin(NO_ANSWER);
    assert_int_equal(world->engine->half_open, 5);
    assert_int_equal(come_in(world), 5);
    world_run(world, 1);
    assert_int_equal(skep_torrent_open(world->torrent), 5);
    assert_int_equal(world->engine->peers_count, 10);
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_dials_leave_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
