/*
 * What the engine fetches for itself from peers who may lie: the metadata (BEP 9), piece layers and
 * block hashes (BEP 52).
 */
#include "engine_world.h"

static struct world world_memory;

static struct world *fresh(uint32_t pieces, bool v1, bool v2)
{
    struct world *world = &world_memory;
    world_init(world, NULL);
    world_content(world, pieces, 32768, v1, v2);
    world_add_hash(world);
    return world;
}

static bool done(const struct world *world)
{
    return skep_torrent_has_metadata(world->torrent);
}

/* ---- metadata ---- */

static void test_one_honest(void **state)
{
    struct world *world = fresh(4, true, false);
    struct remote *remote = world_peer(world, "10.0.0.1:7000");
    world_start(world);
    world_run(world, 1);
    assert_true(done(world));
    assert_string_equal(skep_torrent_name(world->torrent), "a test");
    assert_int_equal(skep_torrent_pieces(world->torrent), 4);
    assert_int_equal(world_count(world, SKEP_EVENT_METADATA, NULL), 1);
    /* The bitfield that came before is known now. */
    assert_int_equal(world_count(world, SKEP_EVENT_HAVE_SET, NULL), 1);
    assert_int_equal(skep_peer_have_count(world->engine->peers), 4);
    assert_int_equal(remote->opened, 1);
    world_deinit(world);
}

/* Many pieces of metadata, from several at a time. */
static void test_many_pieces(void **state)
{
    struct world *world = fresh(5000, true, false); /* 100,000 bytes of hashes: seven pieces */
    for (int i = 1; i <= 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        world_peer(world, text);
    }
    world_start(world);
    world_run(world, 1);
    assert_true(done(world));
    world_deinit(world);
}

struct liar {
    enum remote_does does;
    int64_t size;
};

/* threats: "metadata_size of -1, 0, > 2 GB", wrong data, silence, rejects: the honest one's is
 * taken within seconds all the same, whoever came first. */
static void test_liars(void **state)
{
    static const struct liar liars[] = {
        {WRONG, 0},     {SILENT, 0},     {REJECTS, 0},     {RIGHT, 100},       {SILENT, 100},
        {RIGHT, 50000}, {SILENT, 50000}, {REJECTS, 50000}, {SILENT, 33554432}, {RIGHT, 33554433},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(liars); i++) {
        struct world *world = fresh(2000, true, false);
        struct remote *liar = world_peer(world, "10.0.0.1:7000");
        liar->metadata = liars[i].does;
        liar->metadata_size = liars[i].size;
        world_start(world);
        world_run(world, 0.5);
        assert_false(done(world));
        world_peer(world, "10.0.0.2:7000");
        world_run(world, 20);
        if (!done(world))
            fail_msg("liar %zu keeps the metadata away", i);
        world_deinit(world);
    }
}

/* The liar of many pieces is found: he is closed, and the honest one is not. */
static void test_liar_is_found(void **state)
{
    struct world *world = fresh(5000, true, false);
    struct remote *liar = world_peer(world, "10.0.0.1:7000");
    liar->metadata = WRONG;
    struct remote *honest = world_peer(world, "10.0.0.2:7000");
    world_start(world);
    world_run(world, 30);
    assert_true(done(world));
    assert_int_equal(world_count(world, SKEP_EVENT_CLOSED, "10.0.0.2:7000"), 0);
    const struct seen_event *closed = world_seen(world, SKEP_EVENT_CLOSED, "10.0.0.1:7000");
    if (closed)
        assert_string_equal(closed->reason, "metadata does not match the info-hash");
    assert_int_equal(liar->dials, 1);
    assert_int_equal(honest->dials, 1);
    world_deinit(world);
}

static uint32_t told;

/* Gives one wrong piece and leaves. */
static void give_one_and_leave(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_METADATA)
        return;
    told++;
    link->remote->metadata = SILENT;
    link->ended = true;
}

/* The liar gives a part and goes. What he gave must not be laid to the charge of another, nor keep
 * the rest from being fetched: first among many, then when one peer at a time is asked. */
static void test_liar_leaves(void **state)
{
    struct world *world = fresh(5000, true, false);
    for (int i = 1; i <= 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        struct remote *liar = world_peer(world, text);
        liar->metadata = WRONG;
        liar->on_event = give_one_and_leave;
    }
    told = 0;
    world_start(world);
    world_run(world, 2);
    assert_true(told > 0);
    assert_false(done(world));
    struct remote *honest = world_peer(world, "10.0.1.1:7000");
    world_run(world, 60);
    assert_true(done(world));
    assert_int_equal(world_count(world, SKEP_EVENT_CLOSED, "10.0.1.1:7000"), 0);
    assert_int_equal(honest->dials, 1);
    world_deinit(world);
}

/* One peer at a time is asked, since two together gave what was wrong. This one gives a part and
 * goes: the next is asked at once. */
static void test_liar_leaves_alone(void **state)
{
    struct world *world = fresh(5000, true, false);
    struct remote *liars[2];
    for (int i = 0; i < 2; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i + 1);
        liars[i] = world_peer(world, text);
        liars[i]->metadata = WRONG;
    }
    world_start(world);
    world_run(world, 0.1);
    assert_true(world->torrent->metadata.one_peer);
    world_run(world, 30); /* both were found */
    assert_int_equal(skep_torrent_open(world->torrent), 0);
    world_peer(world, "10.0.0.3:7000")->on_event = give_one_and_leave;
    world_run(world, 0.1);
    world_peer(world, "10.0.1.1:7000");
    world_run(world, 2);
    assert_true(done(world));
    world_deinit(world);
}

/* A size that one liar names first does not stand against what most name. */
static void test_majority_of_sizes(void **state)
{
    struct world *world = fresh(2000, true, false);
    for (int i = 1; i <= 8; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        struct remote *remote = world_peer(world, text);
        if (i > 3)
            continue;
        remote->metadata = SILENT;
        remote->metadata_size = 10000 * i;
    }
    world_start(world);
    world_run(world, 10);
    assert_true(done(world));
    world_deinit(world);
}

static void change_size(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_METADATA)
        (void)sk_peer_send_extension_handshake(link->session, 77, -1);
}

/* threats: metadata_size "changing between messages". */
static void test_size_changes(void **state)
{
    struct world *world = fresh(2000, true, false);
    struct remote *liar = world_peer(world, "10.0.0.1:7000");
    liar->metadata = SILENT;
    liar->on_event = change_size;
    world_start(world);
    world_run(world, 1);
    const struct seen_event *closed = world_seen(world, SKEP_EVENT_CLOSED, "10.0.0.1:7000");
    assert_non_null(closed);
    assert_string_equal(closed->reason, sk_peer_violation_text(SK_PEER_VIOLATION_METADATA));
    world_peer(world, "10.0.0.2:7000");
    world_run(world, 1);
    assert_true(done(world));
    world_deinit(world);
}

/* The hash is right and what it covers is no torrent: nobody is asked again and again. */
static void test_broken_torrent(void **state)
{
    struct world *world = &world_memory;
    world_init(world, NULL);
    world_content(world, 4, 32768, true, false);
    world->content.info.p[1] = 'x';
    sk_sha1(world->content.info.p, world->content.info.n, world->content.hash_v1);
    memcpy(world->content.info_hash, world->content.hash_v1, 20);
    world_add_hash(world);
    world_peer(world, "10.0.0.1:7000");
    world_start(world);
    world_run(world, 5);
    assert_false(done(world));
    assert_true(world->torrent->metadata.broken);
    world_peer(world, "10.0.0.2:7000");
    world_run(world, 5);
    assert_int_equal(world->torrent->metadata.size, 0);
    assert_int_equal(skep_torrent_open(world->torrent), 2);
    world_deinit(world);
}

/* A bitfield kept from before that turns out not to fit. */
static void test_early_bitfield_does_not_fit(void **state)
{
    struct world *world = fresh(4, true, false);
    struct remote *liar = world_peer(world, "10.0.0.1:7000");
    sk_bitfield_deinit(&liar->holds);
    assert_int_equal(sk_bitfield_init(&liar->holds, 50), 0);
    sk_bitfield_add(&liar->holds, 3);
    liar->metadata_size = -1;
    world_start(world);
    world_run(world, 1);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    world_peer(world, "10.0.0.2:7000");
    world_run(world, 1);
    assert_true(done(world));
    assert_int_equal(world_count(world, SKEP_EVENT_HAVE_SET, "10.0.0.1:7000"), 0);
    assert_string_equal(world_seen(world, SKEP_EVENT_CLOSED, "10.0.0.1:7000")->reason,
                        sk_peer_violation_text(SK_PEER_VIOLATION_BITFIELD));
    world_deinit(world);
}

static void test_stop_while_fetching(void **state)
{
    struct world *world = fresh(5000, true, false);
    world_peer(world, "10.0.0.1:7000")->metadata = SILENT;
    world_peer(world, "10.0.0.2:7000")->metadata = SILENT;
    world_start(world);
    world_run(world, 2);
    skep_torrent_stop(world->torrent, world->now_ns);
    world_run(world, 60);
    assert_false(done(world));
    assert_int_equal(world->engine->peers_count, 0);
    world_deinit(world);
}

/* ---- piece layers of v2 torrents ---- */

static void layers_of(uint32_t pieces)
{
    struct world *world = fresh(pieces, false, true);
    world_peer(world, "10.0.0.1:7000");
    world_start(world);
    world_run(world, 2);
    assert_true(done(world));
    assert_false(skep_torrent_hashes_waiting(world->torrent));
    uint8_t *bytes = malloc(32768);
    sk_lab_content_read(&world->content, 0, bytes, 32768);
    assert_int_equal(skep_torrent_verify(world->torrent, 0, bytes, 32768), 1);
    bytes[7] ^= 1;
    assert_int_equal(skep_torrent_verify(world->torrent, 0, bytes, 32768), 0);
    free(bytes);
    world_deinit(world);
}

/* Of one run, of a full one, and of several with uncle hashes. */
static void test_layers(void **state)
{
    static const uint32_t pieces[] = {2, 3, 512, 513, 1500};
    for (size_t i = 0; i < SK_ARRAY_LEN(pieces); i++)
        layers_of(pieces[i]);
}

/* Threats: "v2 torrents: wrong piece layers". The liar is first; nobody but he is left out. */
static void test_layer_liars(void **state)
{
    static const enum remote_does lies[] = {WRONG, SILENT, REJECTS};
    for (size_t i = 0; i < SK_ARRAY_LEN(lies); i++) {
        struct world *world = fresh(1500, false, true);
        world_peer(world, "10.0.0.1:7000")->hashes = lies[i];
        world_start(world);
        world_run(world, 1);
        assert_true(done(world));
        assert_true(skep_torrent_hashes_waiting(world->torrent));
        world_peer(world, "10.0.0.2:7000");
        world_run(world, 20);
        if (skep_torrent_hashes_waiting(world->torrent))
            fail_msg("lie %zu keeps the hashes away", i);
        assert_int_equal(skep_torrent_open(world->torrent), 2);
        world_deinit(world);
    }
}

static uint32_t runs_given;

static void one_run_only(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_HASH_REQUEST &&
        ++runs_given == 2)
        link->ended = true;
}

/* Who gives the first run leaves: the next peer begins anew and ends it. */
static void test_layer_giver_leaves(void **state)
{
    struct world *world = fresh(1500, false, true);
    runs_given = 0;
    struct remote *first = world_peer(world, "10.0.0.1:7000");
    first->on_event = one_run_only;
    world_start(world);
    world_run(world, 1);
    assert_true(skep_torrent_hashes_waiting(world->torrent));
    first->on_event = NULL;
    first->hashes = REJECTS;
    world_peer(world, "10.0.0.2:7000");
    world_run(world, 20);
    assert_false(skep_torrent_hashes_waiting(world->torrent));
    world_deinit(world);
}

/* ---- block hashes ---- */

static void test_leaves(void **state)
{
    struct world *world = &world_memory;
    world_init(world, NULL);
    world_content(world, 3, 65536, false, true);
    world_add_file(world, NULL, 0);
    struct remote *liar = world_peer(world, "10.0.0.1:7000");
    world_start(world);
    world_run(world, 1);
    uint8_t *bytes = malloc(16384);
    sk_lab_content_read(&world->content, 65536 + 32768, bytes, 16384);
    const struct skep_torrent *torrent = world->torrent;
    assert_int_equal(skep_torrent_verify_block(torrent, 1, 32768, bytes, 16384),
                     SKEP_ERR_NOT_FOUND);
    liar->hashes = WRONG;
    assert_int_equal(skep_peer_request_leaves(world->engine->peers, 1), 0);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_LEAVES, NULL), 0);
    liar->hashes = RIGHT;
    assert_int_equal(skep_peer_request_leaves(world->engine->peers, 1), 0);
    assert_int_equal(skep_peer_request_leaves(world->engine->peers, 3), SKEP_ERR_UNSUPPORTED);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_LEAVES, NULL), 1);
    assert_int_equal(skep_torrent_verify_block(torrent, 1, 32768, bytes, 16384), 1);
    assert_int_equal(skep_torrent_verify_block(torrent, 1, 16384, bytes, 16384), 0);
    assert_int_equal(skep_torrent_verify_block(torrent, 1, 5, bytes, 16384), SKEP_ERR_NOT_FOUND);
    assert_int_equal(skep_torrent_verify_block(torrent, 1, 65536, bytes, 16384),
                     SKEP_ERR_NOT_FOUND);
    free(bytes);
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_honest),
        cmocka_unit_test(test_many_pieces),
        cmocka_unit_test(test_liars),
        cmocka_unit_test(test_liar_is_found),
        cmocka_unit_test(test_liar_leaves),
        cmocka_unit_test(test_liar_leaves_alone),
        cmocka_unit_test(test_majority_of_sizes),
        cmocka_unit_test(test_size_changes),
        cmocka_unit_test(test_broken_torrent),
        cmocka_unit_test(test_early_bitfield_does_not_fit),
        cmocka_unit_test(test_stop_while_fetching),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_layer_liars),
        cmocka_unit_test(test_layer_giver_leaves),
        cmocka_unit_test(test_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
