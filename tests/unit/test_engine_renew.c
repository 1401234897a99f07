/* Connections that we end, to begin them anew. */
#include "engine_world.h"

static struct skep_peer *peer_of(const struct world *world, const struct remote *remote)
{
    struct sk_book_entry *entry = sk_peer_book_find(&world->torrent->book, &remote->at);
    assert_non_null(entry);
    return entry->owner;
}

/* In a full house nobody gets the place of one that is about to be called again. */
static void test_place_is_kept(void **state)
{
    static struct world world_memory;
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){.no_lsd = true, .connections_max = 2});
    world_content(world, 8, 16384, true, false);
    world_add_file(world, NULL, 0);
    struct remote *remote = world_peer(world, "10.1.0.1:7000");
    world_peer(world, "10.1.0.2:7000");
    world_start(world);
    world_run(world, 2);
    assert_int_equal(skep_peer_renew(peer_of(world, remote), world->now_ns, 10 * SK_SECOND_NS), 0);
    struct remote *stranger = world_peer(world, "10.1.0.3:7000");
    world_run(world, 9);
    assert_int_equal(stranger->dials, 0);
    assert_int_equal(skep_engine_room(world->engine), 0);
    assert_int_equal(skep_torrent_queued(world->torrent), 1);
    assert_null(world_connect(world, world_remote(world, "10.1.0.4:7000"), "10.1.0.4:7000"));
    world_run(world, 5);
    assert_int_equal(remote->dials, 2);
    assert_non_null(peer_of(world, remote));
    assert_int_equal(skep_torrent_open(world->torrent), 2);
    /* Who is not there any more has no place. */
    remote->answer = REFUSES;
    assert_int_equal(skep_peer_renew(peer_of(world, remote), world->now_ns, SK_SECOND_NS), 0);
    world_run(world, 2);
    assert_int_equal(stranger->dials, 0);
    world_run(world, 60);
    assert_int_equal(stranger->dials, 1);
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
