/*
 * What is given to others beside blocks: the info dictionary (BEP 9), peers (BEP 11), and the word
 * that we have all (BEP 21). To nobody where nothing is given, and of private torrents no peers.
 */
#include "share_world.h"

#define PIECE 65536u
#define MANY_PIECES 5000u /* of one block: a dictionary of seven pieces */

static struct world world_memory;

/* What the remotes were answered. */
static struct {
    uint32_t pieces, rejects; /* of metadata */
    bool wrong;
    unsigned messages; /* of PEX */
    size_t added, dropped;
    struct sk_pex_peer told[128]; /* in the last one */
} got;

static void open_world(uint32_t pieces, uint32_t piece_size, bool v1, bool v2,
                       const struct skep_config *config)
{
    memset(&got, 0, sizeof got);
    share_open(&world_memory, pieces, piece_size, v1, v2, config);
}

/* ---- the info dictionary ---- */

static void check_metadata(const struct sk_lab_content *content,
                           const struct sk_metadata_message *message)
{
    size_t at = (size_t)message->piece * SK_METADATA_PIECE_SIZE;
    got.pieces += message->kind == SK_METADATA_DATA;
    got.rejects += message->kind == SK_METADATA_REJECT;
    if (message->kind != SK_METADATA_DATA)
        return;
    got.wrong |= message->total_size != (int64_t)content->info.n ||
                 memcmp(message->data.p, content->info.p + at, message->data.n) != 0;
}

static void hear_metadata(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_METADATA && event->metadata.kind != SK_METADATA_REQUEST)
        check_metadata(link->remote->content, &event->metadata);
}

/* A leech that asks when it is told to. */
static struct remote *leech(struct world *world, const char *address)
{
    return share_leech(world, address, hear_metadata);
}

/* A v1 torrent, all of it `stored` or nothing, and one who asks. */
static struct remote *begin(struct world *world, uint32_t pieces, uint32_t piece_size, bool stored,
                            const struct skep_config *config)
{
    open_world(pieces, piece_size, true, false, config);
    world_add_file(world, NULL, 0);
    struct remote *remote = leech(world, "10.0.0.1:7000");
    world_start(world);
    if (stored)
        share_store_all(world);
    world_run(world, 1);
    return remote;
}

static void ask_metadata(struct world *world, const struct remote *remote, uint32_t piece)
{
    struct sk_metadata_message message = {.kind = SK_METADATA_REQUEST, .piece = piece};
    assert_int_equal(sk_peer_send_metadata(share_session(world, remote), &message), 0);
}

static void test_metadata(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 1000, SK_BLOCK_SIZE, false, NULL);
    const struct sk_peer_view *view = sk_peer_view(share_session(world, remote));
    assert_int_equal(view->extension.metadata_size, world->content.info.n);
    assert_int_equal(view->upload_only, -1);
    for (uint32_t piece = 0; piece < 4; piece++) /* it has two */
        ask_metadata(world, remote, piece);
    ask_metadata(world, remote, UINT32_MAX);
    world_run(world, 1);
    assert_int_equal(got.pieces, 2);
    assert_int_equal(got.rejects, 3);
    assert_false(got.wrong);
    world_deinit(world);
}

/* An audit gives nothing, and promises nothing. */
static void test_metadata_of_an_audit(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote =
        begin(world, 4, PIECE, true, &(struct skep_config){.no_lsd = true, .save_dir = "/there"});
    const struct sk_peer_view *view = sk_peer_view(share_session(world, remote));
    assert_int_equal(view->extension.ids[SK_EXT_METADATA], SK_EXT_METADATA);
    assert_int_equal(view->extension.metadata_size, -1);
    assert_int_equal(view->upload_only, -1);
    ask_metadata(world, remote, 0);
    world_run(world, 1);
    assert_int_equal(got.pieces, 0);
    assert_int_equal(got.rejects, 1);
    world_deinit(world);
}

static void test_metadata_quota(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, 1000, SK_BLOCK_SIZE, false, NULL);
    for (uint32_t i = 0; i < 20; i++) {
        ask_metadata(world, remote, i % 2);
        world_run(world, 0.1);
    }
    assert_int_equal(got.pieces, 8); /* four times all of it */
    assert_int_equal(got.rejects, 12);
    world_run(world, 60);
    ask_metadata(world, remote, 1);
    world_run(world, 1);
    assert_int_equal(got.pieces, 9);
    world_deinit(world);
}

/* One that asks for everything and reads nothing: little waits for it. */
static void test_metadata_unread(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(world, MANY_PIECES, SK_BLOCK_SIZE, false, NULL);
    world->stuck = true;
    for (uint32_t piece = 0; piece < 7; piece++)
        ask_metadata(world, remote, piece);
    world_run(world, 1);
    assert_in_range(sk_peer_output(share_peer(world, remote)->session).n,
                    4 * SK_METADATA_PIECE_SIZE, 5 * SK_METADATA_PIECE_SIZE + 1000);
    world->stuck = false;
    world_run(world, 1);
    assert_int_equal(got.pieces, 7);
    assert_int_equal(got.rejects, 0);
    assert_false(got.wrong);
    world_deinit(world);
}

/* It comes from one peer, and the others are told. */
static void test_metadata_later(void **state)
{
    struct world *world = &world_memory;
    open_world(4, PIECE, true, false, NULL);
    world_add_hash(world);
    struct remote *early = leech(world, "10.0.0.1:7000");
    world_start(world);
    world_run(world, 1);
    ask_metadata(world, early, 0);
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, early))->extension.metadata_size, -1);
    assert_int_equal(got.rejects, 1);
    world_peer(world, "10.0.0.2:7000");
    world_run(world, 1);
    assert_true(skep_torrent_has_metadata(world->torrent));
    assert_int_equal(sk_peer_view(share_session(world, early))->extension.metadata_size,
                     world->content.info.n);
    ask_metadata(world, early, 0);
    world_run(world, 1);
    assert_int_equal(got.pieces, 1);
    world_deinit(world);
}

static void test_upload_only(void **state)
{
    struct world *world = &world_memory;
    struct remote *early = begin(world, 4, PIECE, false, NULL);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(skep_torrent_has_stored(world->torrent, i), 0);
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, early))->upload_only, -1);
    assert_int_equal(skep_torrent_has_stored(world->torrent, 3), 0);
    struct remote *late = leech(world, "10.0.0.2:7000");
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, early))->upload_only, 1);
    assert_int_equal(sk_peer_view(share_session(world, late))->upload_only, 1);
    assert_true(sk_bitfield_full(&sk_peer_view(share_session(world, late))->have));
    world_deinit(world);
}

/* Pieces of it that a remote knows that we have. */
static uint32_t known_of(const struct world *world, const struct remote *remote)
{
    return sk_peer_view(share_session(world, remote))->have.set;
}

/* Peers of a lab gather what they gained before they tell it, or tell it to nobody but newcomers.
 */
static void test_haves_are_told_later(void **state)
{
    static const struct {
        uint64_t after_ns;
        uint32_t soon, in_between, later; /* known after 1, 5 and 20 s */
    } cases[] = {{0, 3, 4, 4}, {10 * SK_SECOND_NS, 0, 0, 4}, {SK_TIME_NEVER, 0, 0, 0}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world *world = &world_memory;
        struct remote *remote = begin(world, 4, PIECE, false, NULL);
        sk_engine_tell_after(world->torrent, cases[i].after_ns);
        for (uint32_t piece = 0; piece < 3; piece++)
            assert_int_equal(skep_torrent_has_stored(world->torrent, piece), 0);
        world_run(world, 1);
        assert_int_equal(known_of(world, remote), cases[i].soon);
        assert_int_equal(skep_torrent_has_stored(world->torrent, 3), 0);
        world_run(world, 4);
        assert_int_equal(known_of(world, remote), cases[i].in_between);
        world_run(world, 15);
        assert_int_equal(known_of(world, remote), cases[i].later);
        struct remote *late = leech(world, "10.0.0.2:7000");
        world_run(world, 1);
        assert_int_equal(known_of(world, late), 4);
        world_deinit(world);
    }
}

/* Nothing more is wanted, though there is more; and then again it is. */
static void test_partial_seed(void **state)
{
    struct world *world = &world_memory;
    struct remote *early = begin(world, 4, PIECE, false, NULL);
    skep_torrent_set_upload_only(world->torrent, false);
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, early))->upload_only, -1);
    assert_int_equal(skep_torrent_has_stored(world->torrent, 0), 0);
    skep_torrent_set_upload_only(world->torrent, true);
    struct remote *late = leech(world, "10.0.0.2:7000");
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, early))->upload_only, 1);
    assert_int_equal(sk_peer_view(share_session(world, late))->upload_only, 1);
    skep_torrent_set_upload_only(world->torrent, false);
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, early))->upload_only, 0);
    assert_int_equal(sk_peer_view(share_session(world, late))->upload_only, 0);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(skep_torrent_has_stored(world->torrent, i), 0);
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, early))->upload_only, 1);
    world_deinit(world);
}

/* aria2 takes the dictionary, hangs up and waits to be called again: by giving, we were of use, and
 * it is not kept waiting longer from time to time. */
static void test_taker_is_dialled_again(void **state)
{
    struct world *world = &world_memory;
    struct remote *remote = begin(
        world, 4, PIECE, true,
        &(struct skep_config){.no_lsd = true, .save_dir = "/there", .give = true, .lasting = true});
    for (uint32_t i = 1; i <= 12; i++) {
        assert_int_equal(remote->opened, i);
        ask_metadata(world, remote, 0);
        world_run(world, 1);
        assert_int_equal(got.pieces, i);
        world->links->ended = true;
        world_run(world, 7);
    }
    world_deinit(world);
}

/* ---- peers ---- */

static void hear_pex(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_PEX)
        return;
    got.messages++;
    assert_in_range(event->pex_count, 1, SK_ARRAY_LEN(got.told));
    got.added = got.dropped = 0;
    for (size_t i = 0; i < event->pex_count; i++) {
        got.told[i] = event->pex[i];
        got.dropped += event->pex[i].dropped;
        got.added += !event->pex[i].dropped;
    }
}

static const struct sk_pex_peer *told_of(const char *address)
{
    struct sk_endpoint endpoint = world_endpoint(address);
    for (size_t i = 0; i < got.added + got.dropped; i++)
        if (sk_endpoint_equal(&got.told[i].endpoint, &endpoint))
            return &got.told[i];
    return NULL;
}

static struct world *open_swarm(const struct skep_config *config)
{
    open_world(4, PIECE, true, false, config);
    world_add_file(&world_memory, NULL, 0);
    return &world_memory;
}

static struct remote *listener(struct world *world)
{
    struct remote *remote = leech(world, "10.0.0.1:7000");
    remote->on_event = hear_pex;
    return remote;
}

static void test_pex(void **state)
{
    struct world *world = open_swarm(NULL);
    listener(world);
    struct remote *seed = world_peer(world, "10.0.0.2:7000");
    seed->session.mse = 0;
    seed->hates_mse = true;
    leech(world, "10.0.0.3:7000");
    world_start(world);
    world_run(world, 15);
    assert_int_equal(got.messages, 1);
    assert_int_equal(got.added, 2);
    assert_int_equal(got.dropped, 0);
    assert_int_equal(told_of("10.0.0.2:7000")->flags, SK_PEX_SEED | SK_PEX_REACHABLE);
    assert_int_equal(told_of("10.0.0.3:7000")->flags, SK_PEX_ENCRYPTION | SK_PEX_REACHABLE);
    /* Only what has changed, and not at once. */
    leech(world, "10.0.0.4:7000");
    world_run(world, 40);
    assert_int_equal(got.messages, 1);
    skep_peer_close(share_peer(world, seed));
    world_run(world, 20);
    assert_int_equal(got.messages, 2);
    assert_int_equal(got.added, 1);
    assert_int_equal(got.dropped, 1);
    assert_true(told_of("10.0.0.2:7000")->dropped);
    assert_false(told_of("10.0.0.4:7000")->dropped);
    world_run(world, 300); /* nothing to tell */
    assert_int_equal(got.messages, 2);
    world_deinit(world);
}

/* Who came and went between two messages was never there. */
static void test_pex_short_visit(void **state)
{
    struct world *world = open_swarm(NULL);
    listener(world);
    leech(world, "10.0.0.2:7000");
    world_start(world);
    world_run(world, 15);
    struct remote *visitor = leech(world, "10.0.0.3:7000");
    world_run(world, 12);
    skep_peer_close(share_peer(world, visitor));
    world_run(world, 100);
    assert_int_equal(got.messages, 1);
    world_deinit(world);
}

/* Who went and came back is told as there. */
static void test_pex_return(void **state)
{
    struct world *world = open_swarm(NULL);
    listener(world);
    struct remote *remote = leech(world, "10.0.0.2:7000");
    world_start(world);
    world_run(world, 15);
    assert_int_equal(got.messages, 1);
    for (struct link *link = world->links; link; link = link->next)
        link->ended |= link->remote == remote;
    world_run(world, 60);
    assert_int_equal(remote->opened, 2);
    assert_int_equal(got.messages, 2);
    assert_int_equal(got.added, 1);
    assert_int_equal(got.dropped, 0);
    world_deinit(world);
}

/* Large swarms are told bit by bit. */
static void test_pex_many(void **state)
{
    struct world *world = open_swarm(NULL);
    listener(world);
    for (unsigned i = 0; i < 120; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.0.1.%u:7000", i);
        leech(world, address);
    }
    world_start(world);
    world_run(world, 15);
    assert_int_equal(got.messages, 1);
    assert_int_equal(got.added, 50);
    world_run(world, 60);
    assert_int_equal(got.messages, 2);
    assert_int_equal(got.added, 50);
    world_run(world, 60);
    assert_int_equal(got.messages, 3);
    assert_int_equal(got.added, 20);
    for (struct link *link = world->links; link; link = link->next)
        if (link->remote->on_event != hear_pex)
            skep_peer_close((struct skep_peer *)link->conn);
    world_run(world, 60);
    assert_int_equal(got.messages, 4);
    assert_int_equal(got.dropped, 50);
    world_run(world, 200);
    assert_int_equal(got.messages, 4);
    world_deinit(world);
}

/* One who came in is told of once it says where it listens, and under that port. */
static void test_pex_incoming(void **state)
{
    struct world *world = open_swarm(NULL);
    listener(world);
    struct remote *says = world_remote(world, "10.0.0.2:7000");
    struct remote *hides = world_remote(world, "10.0.0.3:7000");
    hides->session.listen_port = 0;
    world_start(world);
    world_run(world, 1);
    assert_non_null(world_connect(world, says, "10.0.0.2:40001"));
    assert_non_null(world_connect(world, hides, "10.0.0.3:40002"));
    world_run(world, 15);
    assert_int_equal(got.messages, 1);
    assert_int_equal(got.added, 1);
    assert_int_equal(told_of("10.0.0.2:7000")->flags, SK_PEX_SEED | SK_PEX_ENCRYPTION);
    world_deinit(world);
}

/* A public peer has no use for addresses in our network. */
static void test_pex_scope(void **state)
{
    struct world *world = open_swarm(NULL);
    struct remote *remote = leech(world, "83.1.1.1:7000");
    remote->on_event = hear_pex;
    leech(world, "10.0.0.2:7000");
    leech(world, "83.1.1.2:7000");
    world_start(world);
    world_run(world, 15);
    assert_int_equal(got.added, 1);
    assert_non_null(told_of("83.1.1.2:7000"));
    world_deinit(world);
}

static void expect_no_pex(const struct skep_config *config)
{
    struct world *world = open_swarm(config);
    listener(world);
    leech(world, "10.0.0.2:7000");
    world_start(world);
    world_run(world, 200);
    assert_int_equal(skep_torrent_open(world->torrent), 2);
    assert_int_equal(got.messages, 0);
    world_deinit(world);
}

static void test_pex_off(void **state)
{
    expect_no_pex(
        &(struct skep_config){.no_lsd = true, .save_dir = "/there", .give = true, .no_pex = true});
    expect_no_pex(&(struct skep_config){.no_lsd = true, .save_dir = "/there"});
}

/* Private (BEP 27), and being downloaded: no peers told, heard or announced but by trackers. */
static void test_private(void **state)
{
    struct world *world = &world_memory;
    open_world(4, PIECE, true, false,
               &(struct skep_config){.save_dir = "/there", .give = true, .announce = true});
    struct sk_buf *info = &world->content.info;
    info->n--;
    sk_buf_text(info, "7:privatei1ee");
    sk_sha1(info->p, info->n, world->content.hash_v1);
    memcpy(world->content.info_hash, world->content.hash_v1, 20);
    world_add_file(world, NULL, 0);
    struct remote *remote = listener(world);
    struct sk_pex_peer told = {.endpoint = world_endpoint("10.0.0.9:7000")};
    remote->pex = &told;
    remote->pex_count = 1;
    leech(world, "10.0.0.2:7000");
    world_start(world);
    world_run(world, 1);
    assert_int_equal(sk_peer_view(share_session(world, remote))->extension.ids[SK_EXT_PEX], 0);
    assert_int_equal(sk_peer_view(share_session(world, remote))->extension.metadata_size,
                     world->content.info.n);
    share_store_all(world);
    world_run(world, 200);
    assert_int_equal(got.messages, 0);
    assert_int_equal(world->torrent->book.count, 2);
    assert_int_equal(world->lsd_count, 0);
    assert_int_equal(world->udp_count, 0);
    world_deinit(world);
}

/* ---- trackers ---- */

static void answer_tracker(struct world *world)
{
    static const char body[] = "d8:intervali1800e5:peers0:e";
    sk_engine_http_done(world->engine, world->http_id, 200, sk_bytes_text(body), NULL,
                        world->now_ns);
    world_run(world, 1);
}

/* Each announce without another event says it (BEP 21). */
static void test_paused(void **state)
{
    static const char *const trackers[] = {"http://83.1.1.1/announce"};
    struct world *world = &world_memory;
    open_world(4, PIECE, true, false, NULL);
    world_add_file(world, trackers, 1);
    assert_int_equal(skep_torrent_has_stored(world->torrent, 0), 0);
    skep_torrent_set_upload_only(world->torrent, true);
    world_start(world);
    world_run(world, 1);
    assert_non_null(strstr(world->http_url, "event=started"));
    answer_tracker(world);
    answer_tracker(world); /* the scrape */
    world_run(world, 1801);
    assert_non_null(strstr(world->http_url, "event=paused"));
    assert_null(strstr(world->http_url, "left=0"));
    world_deinit(world);
}

static void test_completed(void **state)
{
    static const char *const trackers[] = {"http://83.1.1.1/announce"};
    struct world *world = &world_memory;
    open_world(4, PIECE, true, false, NULL);
    world_add_file(world, trackers, 1);
    world_start(world);
    world_run(world, 1);
    assert_non_null(strstr(world->http_url, "event=started"));
    assert_null(strstr(world->http_url, "left=0"));
    answer_tracker(world);
    answer_tracker(world); /* the scrape */
    size_t before = world->http_count;
    skep_torrent_completed(world->torrent); /* it is not */
    world_run(world, 1);
    assert_int_equal(world->http_count, before);
    share_store_all(world);
    skep_torrent_completed(world->torrent);
    world_run(world, 1);
    assert_int_equal(world->http_count, before + 1);
    assert_non_null(strstr(world->http_url, "event=completed"));
    assert_non_null(strstr(world->http_url, "left=0"));
    /* The end comes at once: the news is not taken back for it. */
    skep_torrent_stop(world->torrent, world->now_ns);
    world_run(world, 1);
    assert_int_equal(world->http_count, before + 1);
    assert_int_equal(world->http_cancelled, 0);
    answer_tracker(world);
    assert_int_equal(world->http_count, before + 2);
    assert_non_null(strstr(world->http_url, "event=stopped"));
    answer_tracker(world);
    assert_true(skep_torrent_stopped(world->torrent));
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taker_is_dialled_again),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_metadata_of_an_audit),
        cmocka_unit_test(test_metadata_quota),
        cmocka_unit_test(test_metadata_unread),
        cmocka_unit_test(test_metadata_later),
        cmocka_unit_test(test_upload_only),
        cmocka_unit_test(test_haves_are_told_later),
        cmocka_unit_test(test_partial_seed),
        cmocka_unit_test(test_pex),
        cmocka_unit_test(test_pex_short_visit),
        cmocka_unit_test(test_pex_return),
        cmocka_unit_test(test_pex_many),
        cmocka_unit_test(test_pex_incoming),
        cmocka_unit_test(test_pex_scope),
        cmocka_unit_test(test_pex_off),
        cmocka_unit_test(test_private),
        cmocka_unit_test(test_completed),
        cmocka_unit_test(test_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
