/*
 * Hashes of v2 trees given to others (BEP 52): piece layers, proofs, leaves; and what a v2
 * torrent's pieces are to them.
 */
#include "share_world.h"

#define PIECE 65536u

static struct world world_memory;

/* What the remotes were answered. */
static struct {
    uint32_t hashes, hash_rejects;
    bool wrong;
} got;

static void open_world(uint32_t pieces, uint32_t piece_size, bool v1, bool v2,
                       const struct skep_config *config)
{
    memset(&got, 0, sizeof got);
    share_open(&world_memory, pieces, piece_size, v1, v2, config);
}

/* ---- hashes ---- */

static struct sk_hash_range asked;

/* The lab's own tree says what is right. */
static void hear_hashes(struct link *link, const struct sk_peer_event *event)
{
    const struct sk_msg *msg = &event->msg;
    if (event->kind != SK_PEER_EVENT_MESSAGE ||
        (msg->kind != SK_MSG_HASHES && msg->kind != SK_MSG_HASH_REJECT))
        return;
    struct sk_buf right;
    sk_buf_init(&right, 1 << 20);
    bool there = sk_lab_content_hashes(link->remote->content, &asked, &right) == 0;
    got.hashes += msg->kind == SK_MSG_HASHES;
    got.hash_rejects += msg->kind == SK_MSG_HASH_REJECT;
    got.wrong |= msg->range.index != asked.index || msg->range.length != asked.length;
    if (msg->kind == SK_MSG_HASHES)
        got.wrong |= !there || !sk_bytes_equal(msg->hashes, sk_buf_bytes(&right));
    sk_buf_deinit(&right);
}

static const uint8_t *root(const struct world *world)
{
    const uint8_t *hash = sk_engine_metainfo(world->torrent)->files[0].root;
    assert_non_null(hash);
    return hash;
}

/* Whether it was given. */
static bool ask_hashes(struct world *world, const struct remote *remote, uint32_t base,
                       uint32_t index, uint32_t length, uint32_t proof_layers)
{
    uint32_t before = got.hashes, rejects = got.hash_rejects;
    asked = (struct sk_hash_range){.root = root(world),
                                   .base_layer = base,
                                   .index = index,
                                   .length = length,
                                   .proof_layers = proof_layers};
    assert_int_equal(sk_peer_send_hash_request(share_session(world, remote), &asked), 0);
    world_run(world, 0.01);
    assert_false(got.wrong);
    assert_int_equal(got.hashes + got.hash_rejects, before + rejects + 1);
    return got.hashes > before;
}

static struct remote *hasher(struct world *world, const char *address)
{
    return share_leech(world, address, hear_hashes);
}

/* A v2 torrent of so many pieces, all of them `stored` or none, and one that asks for hashes. */
static struct remote *begin(struct world *world, uint32_t pieces, bool stored,
                            const struct skep_config *config)
{
    open_world(pieces, PIECE, false, true, config);
    world_add_file(world, NULL, 0);
    struct remote *remote = hasher(world, "10.0.0.1:7000");
    world_start(world);
    if (stored)
        share_store_all(world);
    world_run(world, 1);
    return remote;
}

/* Every run that there is, with proofs of all lengths. 21 pieces: a layer of 32, of which 11 cover
 * nothing. */
static void test_hash_layers(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 21, false, NULL);
    for (uint32_t base = 2; base < 7; base++)
        for (uint32_t length = 2; length <= 128u >> base; length *= 2)
            for (uint32_t index = 0; index < 128u >> base; index += length)
                for (uint32_t proof = 0; proof < 8; proof += 3) {
                    assert_true(ask_hashes(world, remote, base, index, length, proof));
                    world_run(world, 5); /* under the quota */
                }
    assert_true(ask_hashes(world, remote, 2, 0, 2, UINT32_MAX));
    world_deinit(world);
}

static void test_hash_rejects(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 21, false, NULL);
    static const struct sk_hash_range bad[] = {
        {.base_layer = 2, .index = 0, .length = 1}, /* a hash without its pair */
        {.base_layer = 2, .index = 0, .length = 0},
        {.base_layer = 2, .index = 0, .length = 3},
        {.base_layer = 2, .index = 1, .length = 2},
        {.base_layer = 2, .index = 32, .length = 2},
        {.base_layer = 2, .index = 0, .length = 64},
        {.base_layer = 7, .index = 0, .length = 2},
        {.base_layer = 99, .index = 0, .length = 2},
        {.base_layer = 0, .index = 0, .length = 2},
        {.base_layer = 1, .index = 0, .length = 2},
        {.base_layer = 0, .index = 0, .length = 8},
        {.base_layer = 2, .index = 0, .length = 1u << 31},
        {.base_layer = 2, .index = 0x80000000u, .length = 1u << 31},
        {.base_layer = UINT32_MAX, .index = UINT32_MAX - 1, .length = 2},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++)
        assert_false(ask_hashes(world, remote, bad[i].base_layer, bad[i].index, bad[i].length, 0));
    assert_int_equal(world->reads, 0);
    world_deinit(world);
}

/* Who asks for all again and again gets it a few times. */
static void test_hash_quota(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 21, false, NULL);
    uint32_t given = 0;
    for (unsigned i = 0; i < 200; i++)
        given += ask_hashes(world, remote, 2, 0, 32, 0);
    assert_int_equal(given, (4 * 21 + 4096) / 32);
    world_run(world, 60);
    assert_true(ask_hashes(world, remote, 2, 0, 32, 0));
    world_deinit(world);
}

static void test_hashes_of_an_audit(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote =
        begin(world, 21, false, &(struct skep_config){.no_lsd = true, .save_dir = "/there"});
    assert_false(ask_hashes(world, remote, 2, 0, 32, 0));
    world_deinit(world);
}

/* A magnet's metadata has no layers: what we lack ourselves is not given. */
static void test_hashes_missing(void **state)
{
    struct world *world = &world_memory;
    open_world(21, PIECE, true, true, NULL);
    world_add_hash(world);
    world_peer(world, "10.0.0.2:7000");
    struct remote *remote = hasher(world, "10.0.0.1:7000");
    world_start(world);
    world_run(world, 1);
    assert_true(skep_torrent_has_metadata(world->torrent));
    assert_false(ask_hashes(world, remote, 2, 0, 32, 0));
    world_deinit(world);
}

static void test_leaves(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 21, false, NULL);
    (void)sk_peer_send_interest(share_session(world, remote), true);
    assert_false(ask_hashes(world, remote, 0, 4, 4, 0)); /* not ours yet */
    assert_int_equal(skep_torrent_has_stored(world->torrent, 1), 0);
    assert_int_equal(skep_torrent_has_stored(world->torrent, 20), 0);
    for (uint32_t proof = 0; proof < 8; proof++)
        assert_true(ask_hashes(world, remote, 0, 4, 4, proof));
    assert_true(ask_hashes(world, remote, 0, 80, 4, 7));  /* two blocks, the second one short */
    assert_false(ask_hashes(world, remote, 0, 84, 4, 0)); /* below nothing */
    assert_int_equal(world->reads, 9);
    world->disk_fails = true;
    assert_false(ask_hashes(world, remote, 0, 4, 4, 0));
    world->disk_fails = false;
    for (int i = 0; i < 20; i++) /* reading is dear */
        (void)ask_hashes(world, remote, 0, 4, 4, 0);
    assert_int_equal(world->reads, 16);
    world_deinit(world);
}

/* A file of one piece has its leaves only. */
static void test_leaves_of_a_short_file(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 1, true, NULL);
    assert_false(ask_hashes(world, remote, 0, 0, 2, 0)); /* it is choked */
    (void)sk_peer_send_interest(share_session(world, remote), true);
    world_run(world, 1);
    assert_true(ask_hashes(world, remote, 0, 0, 2, 0));
    assert_true(ask_hashes(world, remote, 0, 0, 2, 5));
    assert_false(ask_hashes(world, remote, 0, 0, 4, 0));
    assert_false(ask_hashes(world, remote, 1, 0, 2, 0));
    assert_false(ask_hashes(world, remote, 2, 0, 2, 0));
    world_deinit(world);
}

/* It hangs up while its piece is read; and a second request does not wait for the first. */
static void test_leaves_gone(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 21, true, NULL);
    (void)sk_peer_send_interest(share_session(world, remote), true);
    world_run(world, 1);
    world->disk_waits = true;
    asked = (struct sk_hash_range){.root = root(world), .index = 4, .length = 4};
    assert_int_equal(sk_peer_send_hash_request(share_session(world, remote), &asked), 0);
    world_run(world, 0.1);
    assert_int_equal(got.hashes + got.hash_rejects, 0);
    assert_int_equal(sk_peer_send_hash_request(share_session(world, remote), &asked), 0);
    world_run(world, 0.1);
    assert_int_equal(got.hash_rejects, 1);
    assert_int_equal(world->reads, 1);
    world->links->ended = true;
    world_run(world, 0.1);
    sk_engine_disk_read(world->engine, world->read_id, 0, sk_bytes((const uint8_t *)"x", 1),
                        world->now_ns);
    assert_int_equal(got.hashes, 0);
    assert_int_equal(world->engine->asks.count, 0);
    world_deinit(world);
}

/* libtorrent takes the last piece of a v2 torrent for whole, and wants zeros behind the end. */
static void ask_whole(struct link *link, const struct sk_peer_event *event)
{
    const uint32_t last = link->remote->content->pieces - 1;
    if (event->kind != SK_PEER_EVENT_MESSAGE)
        return;
    if (event->msg.kind == SK_MSG_HAVE_ALL)
        (void)sk_peer_send_interest(link->session, true);
    for (uint32_t begin = 0; event->msg.kind == SK_MSG_UNCHOKE && begin < PIECE; begin += 16384)
        assert_int_equal(sk_peer_send_request(link->session, last, begin, 16384, 1), 0);
}

static void test_padding(void **state)
{
    static const bool kinds[][2] = {{false, true}, {true, true}, {true, false}};
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++) {
        struct world *world = &world_memory;
        open_world(3, PIECE, kinds[i][0], kinds[i][1], NULL);
        world_add_file(world, NULL, 0);
        world_start(world);
        share_store_all(world);
        struct remote *remote = share_leech(world, "10.0.0.1:7000", ask_whole);
        world_run(world, 2);
        bool padded = !kinds[i][0];
        assert_int_equal(remote->got_bytes, padded ? PIECE : 0);
        assert_int_equal(skep_torrent_open(world->torrent), padded);
        world_deinit(world);
    }
}

/* ---- without memory ---- */

/* How many allocations there were. */
static size_t share(size_t fail_nth)
{
    struct world *world = &world_memory;
    open_world(21, PIECE, false, true, NULL);
    world_add_file(world, NULL, 0);
    struct remote *remote = hasher(world, "10.0.0.1:7000");
    share_leech(world, "10.0.0.2:7000", NULL);
    world_start(world);
    share_store_all(world);
    world_run(world, 1);
    struct sk_peer *session = share_session(world, remote);
    struct sk_metadata_message message = {.kind = SK_METADATA_REQUEST};
    (void)sk_peer_send_interest(session, true);
    world_run(world, 1);
    sk_mem_fail_nth(fail_nth);
    (void)sk_peer_send_metadata(session, &message);
    asked = (struct sk_hash_range){.root = root(world), .base_layer = 2, .length = 32};
    (void)sk_peer_send_hash_request(session, &asked);
    asked = (struct sk_hash_range){.root = root(world), .length = 4, .proof_layers = 9};
    (void)sk_peer_send_hash_request(session, &asked);
    world_run(world, 12);
    size_t made = sk_mem_fail_nth(0);
    world_run(world, 30);
    assert_int_equal(world->engine->asks.count, 0);
    world_deinit(world);
    return made;
}

static void test_no_memory(void **state)
{
    size_t nth = 1;
    while (share(nth) >= nth)
        nth++;
    assert_true(nth > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_layers),
        cmocka_unit_test(test_hash_rejects),
        cmocka_unit_test(test_hash_quota),
        cmocka_unit_test(test_hashes_of_an_audit),
        cmocka_unit_test(test_hashes_missing),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_leaves_of_a_short_file),
        cmocka_unit_test(test_leaves_gone),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
