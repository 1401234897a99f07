/*
 * Who is unchoked: that the engine tells its choker what happens and does as it says. (What it says
 * is tested in test_choker.c; that the sets agree is checked by world_check() after each step.)
 */
#include "engine_world.h"

#define PIECE 65536u
#define PIECES 4u

static struct world world_memory;

static struct world *fresh(uint32_t slots)
{
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){.no_lsd = true,
                                            .save_dir = "/there",
                                            .give = true,
                                            .give_slots = slots,
                                            .give_limit_bytes_s = 200000});
    world_content(world, PIECES, PIECE, true, false);
    world_add_file(world, NULL, 0);
    return world;
}

/* Interested from the first moment on, and asks without end. */
static void take_for_ever(struct link *link, const struct sk_peer_event *event)
{
    bool unchoked = event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE;
    if (event->kind == SK_PEER_EVENT_OPEN)
        (void)sk_peer_send_interest(link->session, true);
    for (unsigned i = 0; i < (unchoked ? 4u : event->kind == SK_PEER_EVENT_BLOCK); i++)
        (void)sk_peer_send_request(link->session, 0, 0, 16384, 1);
}

static struct remote *leecher(struct world *world, unsigned number)
{
    char address[32];
    snprintf(address, sizeof address, "10.0.0.%u:7000", number);
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 0);
    remote->on_event = take_for_ever;
    return remote;
}

static bool is_choked(const struct world *world, const struct remote *remote)
{
    const struct link *link = world->links;
    while (link && link->remote != remote)
        link = link->next;
    return !link || sk_peer_view(link->session)->choked;
}

/* They wait for what we do not have yet: with the first piece slots are given, not before. */
static void test_interested_before_there_is_anything(void **state)
{
    struct world *world = fresh(2);
    struct remote *remotes[4];
    for (unsigned i = 0; i < 4; i++)
        remotes[i] = leecher(world, i + 1);
    world_start(world);
    world_run(world, 25);
    for (unsigned i = 0; i < 4; i++)
        assert_true(is_choked(world, remotes[i]));
    assert_int_equal(skep_torrent_has_stored(world->torrent, 0), 0);
    world_run(world, 2);
    unsigned served = 0;
    for (unsigned i = 0; i < 4; i++)
        served += remotes[i]->got_bytes > 0;
    assert_int_equal(served, 2);
    world_deinit(world);
}

/* How long each has been unchoked without a pause. */
static unsigned unchoked_s[5], unchoked_most_s;

static void count_turns(struct world *world)
{
    for (const struct link *link = world->links; link; link = link->next) {
        if (!link->session || link->gone)
            continue;
        unsigned *seconds = &unchoked_s[link->remote->at.addr[3] - 1];
        *seconds = sk_peer_view(link->session)->choked ? 0 : *seconds + 1;
        unchoked_most_s = SK_MAX(unchoked_most_s, *seconds);
    }
}

static void take_turns(uint32_t stored, bool upload_only)
{
    struct world *world = fresh(2);
    struct remote *remotes[5];
    memset(unchoked_s, 0, sizeof unchoked_s);
    world_start(world);
    for (uint32_t piece = 0; piece < stored; piece++)
        assert_int_equal(skep_torrent_has_stored(world->torrent, piece), 0);
    skep_torrent_set_upload_only(world->torrent, upload_only);
    for (unsigned i = 0; i < 5; i++)
        remotes[i] = leecher(world, i + 1);
    unchoked_most_s = 0;
    world->every = count_turns;
    world->every_ns = SK_SECOND_NS;
    world->every_next_ns = world->now_ns;
    world_run(world, 300);
    assert_in_range(unchoked_most_s, 50, 80); /* a turn, to the end of its round */
    for (unsigned i = 0; i < 5; i++)
        assert_in_range(remotes[i]->got_bytes, 8000000, 16000000);
    world->every = NULL;
    world_deinit(world);
}

/* All was there before anybody came: we are a seed, and they take turns. */
static void test_seed_from_the_start(void **state)
{
    take_turns(PIECES, false);
}

/* So are we where nothing more is wanted than there is. */
static void test_partial_seed(void **state)
{
    take_turns(1, true);
}

/* One that is choked asks without end and reads nothing: what it is refused fills no memory. What
 * crossed some chokes is refused in order. */
static void test_flood_while_choked(void **state)
{
    struct world *world = fresh(2);
    const struct sk_msg request = {.kind = SK_MSG_REQUEST, .index = 1, .length = 16384};
    leecher(world, 1)->on_event = NULL;
    world_start(world);
    world_run(world, 1);
    struct skep_peer *peer = (struct skep_peer *)world->links->conn;
    size_t before = sk_peer_output(peer->session).n;
    for (unsigned i = 0; i < 6 * SK_ENGINE_GIVE_QUEUE_MAX; i++)
        sk_give_message(peer, &request);
    assert_int_equal(peer->stage, SK_STAGE_TALKING);
    assert_int_equal(sk_peer_output(peer->session).n, before + 6 * SK_ENGINE_GIVE_QUEUE_MAX * 17);
    for (unsigned i = 0; i < 100 * SK_ENGINE_GIVE_QUEUE_MAX && peer->stage == SK_STAGE_TALKING; i++)
        sk_give_message(peer, &request);
    assert_int_equal(peer->stage, SK_STAGE_CLOSING);
    assert_true(sk_peer_output(peer->session).n < 300000);
    assert_string_equal(world_seen(world, SKEP_EVENT_CLOSED, NULL)->reason,
                        sk_peer_violation_text(SK_PEER_VIOLATION_FLOOD));
    world_deinit(world);
}

/* What it may have while choked is counted once, however often it says that it wants nothing. */
static void test_granted_once(void **state)
{
    struct world *world = fresh(2);
    const struct sk_msg request = {.kind = SK_MSG_REQUEST, .index = 1, .length = PIECE};
    world->disk_waits = true;
    for (uint32_t piece = 0; piece < PIECES; piece++)
        assert_int_equal(skep_torrent_has_stored(world->torrent, piece), 0);
    leecher(world, 1)->on_event = NULL;
    world_start(world);
    world_run(world, 1);
    struct skep_peer *peer = (struct skep_peer *)world->links->conn;
    peer->fast_give = (struct sk_fast_give){.pieces = {1}, .count = 1};
    sk_give_message(peer, &request);
    for (int i = 0; i < 3; i++)
        sk_give_message(peer, &(struct sk_msg){.kind = SK_MSG_NOT_INTERESTED});
    assert_int_equal(peer->give_count, 1);
    assert_int_equal(peer->fast_give.given[0], PIECE);
    assert_int_equal(world->torrent->fast_quota.given, PIECE);
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interested_before_there_is_anything),
        cmocka_unit_test(test_seed_from_the_start),
        cmocka_unit_test(test_partial_seed),
        cmocka_unit_test(test_flood_while_choked),
        cmocka_unit_test(test_granted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
