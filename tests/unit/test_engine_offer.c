/* Pieces that are given to chosen peers only. */
#include "share_world.h"

#define PIECE 65536u

static struct world world_memory;

static struct remote *leecher(struct world *world, unsigned number)
{
    char address[32];
    snprintf(address, sizeof address, "10.0.0.%u:7000", number);
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 0);
    return remote;
}

static struct {
    bool bitfield, upload_only, peers;
    uint32_t haves, asked, fast;
    uint32_t pieces[8];
} told;

/* Takes what it is told of, and asks for what it is not. */
static void take_offer(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        told.upload_only |= event->extended.upload_only > 0;
    told.peers |= event->kind == SK_PEER_EVENT_PEX;
    if (event->kind == SK_PEER_EVENT_BLOCK && event->msg.begin + 16384 == PIECE)
        (void)sk_peer_send_have(link->session, event->msg.index);
    if (event->kind != SK_PEER_EVENT_MESSAGE)
        return;
    told.bitfield |= event->msg.kind == SK_MSG_BITFIELD || event->msg.kind == SK_MSG_HAVE_ALL;
    told.fast += event->msg.kind == SK_MSG_ALLOWED_FAST;
    if (event->msg.kind == SK_MSG_HAVE) {
        told.pieces[told.haves++ % SK_ARRAY_LEN(told.pieces)] = event->msg.index;
        (void)sk_peer_send_interest(link->session, true);
    }
    while (!sk_peer_view(link->session)->choked && told.asked < told.haves) {
        uint32_t piece = told.pieces[told.asked++ % SK_ARRAY_LEN(told.pieces)];
        for (uint32_t begin = 0; begin < PIECE; begin += 16384)
            (void)sk_peer_send_request(link->session, piece, begin, 16384, 1);
    }
}

/* One is told of a piece and gets it; another is told nothing, asks, and gets nothing. */
static void test_offers(void **state)
{
    struct world *world = &world_memory;
    memset(&told, 0, sizeof told);
    world_init(world, &(struct skep_config){
                          .no_lsd = true, .save_dir = "/there", .give = true, .give_chosen = true});
    world_content(world, 90, PIECE, true, false);
    world_add_file(world, NULL, 0);
    for (uint32_t i = 0; i < 89; i++)
        skep_torrent_has_stored(world->torrent, i);
    world_start(world);
    struct remote *chosen = leecher(world, 1), *other = leecher(world, 2);
    chosen->on_event = take_offer;
    other->on_event = NULL;
    world_run(world, 1);
    skep_torrent_has_stored(world->torrent, 89);
    world_run(world, 1);
    assert_int_equal(told.haves, 0);
    assert_false(told.bitfield || told.upload_only || told.fast);
    struct skep_peer *peer = share_peer(world, chosen);
    assert_int_equal(skep_peer_offer(peer, 90), SKEP_ERR_STATE);
    assert_int_equal(skep_peer_offer(peer, 7), 0);
    assert_int_equal(skep_peer_offer(peer, 7), 0);
    world_run(world, 15);
    assert_int_equal(told.haves, 1);
    assert_int_equal(told.pieces[0], 7);
    assert_int_equal(chosen->got_bytes, PIECE);
    (void)sk_peer_send_interest(share_session(world, other), true);
    world_run(world, 15);
    assert_false(sk_peer_view(share_session(world, other))->choked);
    (void)sk_peer_send_request(share_session(world, other), 7, 0, 16384, 1);
    world_run(world, 1);
    assert_int_equal(other->got_bytes, 0);
    for (uint32_t i = 0; i < SK_ENGINE_OFFERS_MAX - 1; i++)
        assert_int_equal(skep_peer_offer(peer, 8 + i), 0);
    assert_int_equal(skep_peer_offer(peer, 8 + SK_ENGINE_OFFERS_MAX), SKEP_ERR_LIMIT);
    world_deinit(world);
}

/* Who holds it all and gives to the chosen alone is no seed to a tracker, which would tell it of no
 * other; and it tells no peer of another. */
static void test_watches(void **state)
{
    static const char *const trackers[] = {"http://83.1.1.1/announce"};
    struct world *world = &world_memory;
    memset(&told, 0, sizeof told);
    world_init(world, &(struct skep_config){
                          .no_lsd = true, .save_dir = "/there", .give = true, .give_chosen = true});
    world_content(world, 4, PIECE, true, false);
    world_add_file(world, trackers, 1);
    share_store_all(world);
    world_start(world);
    leecher(world, 1)->on_event = take_offer;
    leecher(world, 2)->on_event = take_offer;
    world_run(world, 100);
    char left[32];
    snprintf(left, sizeof left, "left=%llu", (unsigned long long)skep_torrent_size(world->torrent));
    assert_non_null(strstr(world->http_url, left));
    assert_false(told.peers || told.haves || told.bitfield || told.upload_only);
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_offers),
                                       cmocka_unit_test(test_watches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
