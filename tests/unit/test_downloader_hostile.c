/*
 * The downloader against remotes that lie, send what nobody asked for, and make all the trouble
 * that they can: who lied is sent away for good, nobody else is, and all of it comes all the same.
 * Then each allocation fails in turn.
 */
#include "download_world.h"

static struct remote *remote(unsigned number)
{
    char address[32];
    snprintf(address, sizeof address, "10.0.0.%u:7000", number);
    return world_peer(&download.world, address);
}

static struct remote *liar(unsigned number)
{
    struct remote *liar = remote(number);
    liar->blocks = WRONG;
    return liar;
}

static struct world *begin(struct download_setup setup)
{
    return download_begin(&setup);
}

static bool is_banned(const struct remote *remote)
{
    return sk_peer_book_is_banned(&download.world.torrent->book, &remote->at);
}

/* ---- liars ---- */

/* It gives all of a piece: it alone can have lied. The second time it is not let in. */
static void test_one_liar(void **state)
{
    for (int hybrid = 0; hybrid < 2; hybrid++) {
        struct world *world = begin((struct download_setup){.pieces = 10, .hybrid = hybrid});
        struct remote *alone = liar(1);
        world_start(world);
        world_run(world, 5);
        assert_true(is_banned(alone));
        assert_int_equal(download_status().banned, 1);
        assert_int_equal(skep_torrent_open(world->torrent), 0);
        assert_int_equal(download_status().counts.pieces_have, 0);
        assert_null(world_connect(world, alone, "10.0.0.1:40000")->told ? alone : NULL);
        world_run(world, 5);
        assert_int_equal(skep_torrent_open(world->torrent), 0);
        struct remote *seed = remote(2);
        download_run(10);
        download_assert_done(4 * PIECE);
        assert_false(is_banned(seed));
        assert_int_equal(download_status().banned, 1);
        download_end();
    }
}

/* Among honest ones, whose share of the same pieces is right. */
static void test_liar_among_honest(void **state)
{
    for (int v2 = 0; v2 < 2; v2++) {
        struct world *world =
            begin((struct download_setup){.pieces = 6, .piece_size = 16 * PIECE, .v2 = v2});
        struct remote *remotes[5];
        for (unsigned i = 0; i < 5; i++) {
            remotes[i] = i == 2 ? liar(i + 1) : remote(i + 1);
            remotes[i]->block_s = 0.01;
        }
        remotes[2]->lies_each = 5;
        world_start(world);
        download_run(60);
        assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(is_banned(remotes[i]), i == 2);
        assert_int_equal(download_status().banned, 1);
        download_end();
    }
}

/* Two of three lie, each in a block now and then, in pieces so large that all three share them. */
static void test_two_liars_of_three(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        struct world *world = begin((struct download_setup){
            .pieces = 2, .piece_size = 64 * PIECE, .v2 = kind == 1, .hybrid = kind == 2});
        struct remote *remotes[3] = {liar(1), liar(2), remote(3)};
        for (unsigned i = 0; i < 3; i++) {
            remotes[i]->block_s = 0.01;
            if (kind == 2) /* it speaks v2 */
                memcpy(remotes[i]->session.info_hash, world->content.hash_v2, 20);
        }
        remotes[0]->lies_each = 10;
        remotes[1]->lies_each = 17;
        world_start(world);
        double took_s = download_run(120);
        assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
        assert_true(is_banned(remotes[0]) && is_banned(remotes[1]));
        assert_false(is_banned(remotes[2]));
        assert_int_equal(download_status().banned, 2);
        assert_true(took_s < 30);
        if (kind > 0) /* only what was wrong came twice */
            assert_in_range(download_status().wasted_bytes, 2 * BLOCK, 60 * BLOCK);
        download_end();
    }
}

/* Hashes of the blocks do not come, or are wrong: the piece is not waited for for ever. */
static void test_leaves_do_not_come(void **state)
{
    static const enum remote_does does[] = {REJECTS, SILENT, WRONG};
    for (size_t k = 0; k < SK_ARRAY_LEN(does); k++) {
        struct world *world =
            begin((struct download_setup){.pieces = 2, .piece_size = 64 * PIECE, .v2 = true});
        struct remote *remotes[2] = {liar(1), remote(2)};
        for (unsigned i = 0; i < 2; i++) {
            remotes[i]->block_s = 0.01;
            remotes[i]->hashes = does[k];
        }
        remotes[0]->lies_each = 50;
        world_start(world);
        download_run(60);
        assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
        assert_true(is_banned(remotes[0]));
        assert_false(is_banned(remotes[1]));
        download_end();
    }
}

/* It gives a wrong block, leaves before that shows, and comes again, as often as it likes. */
static void test_liar_leaves(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 3, .piece_size = 64 * PIECE});
    struct remote *leaves = liar(1), *seed = remote(2);
    leaves->block_s = seed->block_s = 0.01;
    leaves->leaves_after = 3;
    world_start(world);
    bool again = false;
    for (int i = 0; i < 200 && download_state() < SK_DOWNLOADER_DONE; i++) {
        world_run(world, 0.5);
        if (skep_torrent_open(world->torrent) == 1)
            again |= world_connect(world, leaves, "10.0.0.1:40000") != NULL;
    }
    assert_true(again);
    assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
    assert_true(is_banned(leaves));
    assert_false(is_banned(seed));
    download_end();
}

/* ---- padding (BEP 47) ---- */

/* A file of a block and a quarter, padding to the end of the piece, and a file of a piece. */
static struct remote *begin_padded(struct skep_torrent **ret_torrent)
{
    static const char head[] = "d4:infod5:filesld6:lengthi20000e4:pathl1:aeed4:attr1:p6:lengthi"
                               "45536e4:pathl4:.pad5:45536eed6:lengthi65536e4:pathl1:beee4:name1:n"
                               "12:piece lengthi65536e6:pieces40:";
    static uint8_t bytes[2 * PIECE];
    uint8_t hashes[2 * SK_SHA1_SIZE];
    struct world *world = begin((struct download_setup){.pieces = 2});
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = i < 20000 || i >= PIECE ? (uint8_t)(i * 7 + i / 256) : 0;
    sk_sha1(bytes, PIECE, hashes);
    sk_sha1(bytes + PIECE, PIECE, hashes + SK_SHA1_SIZE);
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    assert_int_equal(sk_buf_append(&buf, head, sizeof head - 1), 0);
    assert_int_equal(sk_buf_append(&buf, hashes, sizeof hashes), 0);
    assert_int_equal(sk_buf_append(&buf, "ee", 2), 0);
    assert_int_equal(skep_engine_add_file(world->engine, buf.p, buf.n, ret_torrent, NULL), 0);
    sk_buf_deinit(&buf);
    assert_int_equal(sk_downloader_new(download.downloads, *ret_torrent,
                                       &(struct sk_downloader_config){.seed = 4}, &download.second),
                     0);
    struct remote *remote = world_remote(world, "10.0.0.1:7000");
    remote->raw = bytes;
    memcpy(remote->session.info_hash, skep_torrent_info_hash(*ret_torrent), 20);
    assert_int_equal(skep_torrent_add_peer(*ret_torrent, "10.0.0.1:7000"), 0);
    return remote;
}

static void test_padding(void **state)
{
    for (int lies = 0; lies < 2; lies++) {
        struct skep_torrent *padded;
        struct remote *remote = begin_padded(&padded);
        struct world *world = &download.world;
        struct sk_downloader_status status;
        remote->blocks = lies ? WRONG : RIGHT;
        if (lies)
            world_hold(remote, 0, 1); /* the padded piece */
        assert_int_equal(skep_torrent_start(padded, world->now_ns), 0);
        world_run(world, 5);
        sk_downloader_status(download.second, &status);
        assert_int_equal(status.state, lies ? SK_DOWNLOADER_RUNNING : SK_DOWNLOADER_DONE);
        /* Nobody else can have given what nobody was asked for. */
        assert_int_equal(status.banned, lies);
        if (!lies)
            assert_int_equal(status.received_bytes, 6 * BLOCK);
        skep_torrent_stop(padded, world->now_ns);
        download_end();
    }
}

/* ---- what nobody asked for ---- */

static void send_unasked(struct link *link, const struct sk_peer_event *event)
{
    static const uint8_t bytes[BLOCK];
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_INTERESTED)
        (void)sk_peer_send_piece(link->session, 1, 0, sk_bytes(bytes, BLOCK));
}

static void test_unasked(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 10});
    struct remote *pushes = remote(1), *seed = remote(2);
    pushes->on_event = send_unasked;
    seed->unchokes_after_s = 1;
    world_start(world);
    download_run(5);
    download_assert_done(0);
    assert_false(is_banned(seed));
    assert_int_equal(world_count(world, SKEP_EVENT_CLOSED, "10.0.0.1:7000"), 1);
    download_end();
}

/* Chokes, unchokes, offers, HAVEs, in any order and by hundreds, with what is allowed. */
static void flap(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_MESSAGE || event->msg.kind != SK_MSG_REQUEST)
        return;
    uint32_t n = link->remote->requested;
    (void)sk_peer_send_choke(link->session, n % 3 == 0);
    if (n % 7 == 0 && n < 400)
        remote_send(link, &(struct sk_msg){.kind = SK_MSG_ALLOWED_FAST, .index = n % 10});
    if (n % 5 == 0 && n < 400)
        (void)sk_peer_send_have(link->session, n % 10);
}

static void test_flapping(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 10});
    struct remote *flaps = remote(1);
    world_hold(flaps, 0, 4);
    flaps->on_event = flap;
    flaps->block_s = 0.01;
    remote(2)->unchokes_after_s = 4;
    world_start(world);
    download_run(30);
    assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
    assert_int_equal(download_status().banned, 0);
    download_end();
}

/* ---- without memory ---- */

struct oom {
    struct download_setup setup;
    bool failed; /* it could not even begin */
};

static size_t try_with(struct oom *oom, size_t nth)
{
    struct world *world = download_begin(&oom->setup);
    struct remote *remotes[4];
    for (unsigned i = 0; i < 4; i++) {
        remotes[i] = remote(i + 1);
        remotes[i]->block_s = 0.003;
    }
    remotes[0]->blocks = WRONG;
    remotes[1]->leaves_after = 5;
    remotes[2]->never_unchokes = true;
    remotes[2]->allowed_fast = 2;
    world->disk_s = 0.001;
    sk_mem_fail_nth(nth);
    int err = skep_torrent_start(world->torrent, world->now_ns);
    assert_int_equal(err, 0);
    for (int i = 0; i < 100 && download_state() < SK_DOWNLOADER_DONE; i++)
        world_run(world, 0.1);
    size_t made = sk_mem_fail_nth(0);
    if (download_state() == SK_DOWNLOADER_RUNNING) { /* who could help was lost: another comes */
        remote(5);
        download_run(60);
    }
    struct sk_downloader_status status = download_status();
    if (status.state == SK_DOWNLOADER_FAILED)
        assert_int_equal(status.error, SKEP_ERR_NOMEM);
    else if (status.state != SK_DOWNLOADER_METADATA)
        assert_int_equal(status.state, SK_DOWNLOADER_DONE);
    for (unsigned i = 1; i < 4; i++)
        assert_false(is_banned(remotes[i]));
    download_end();
    return made;
}

static void sweep(struct oom oom)
{
    size_t nth = 1;
    while (try_with(&oom, nth) >= nth)
        nth++;
    assert_true(nth > 50);
}

/* There is no memory to tell of the end of who is banned: nobody is asked who is gone. */
static void test_end_is_not_told(void **state)
{
    for (size_t nth = 1; nth < 8; nth++) {
        struct world *world = begin((struct download_setup){.pieces = 2, .piece_size = BLOCK});
        liar(1);
        world->disk_waits = true;
        world_start(world);
        world_run(world, 1);
        assert_true(world->writes > 0);
        sk_mem_fail_nth(nth);
        sk_engine_disk_written(world->engine, world->waiting_write, SKEP_ERR_MISMATCH,
                               world->now_ns);
        sk_mem_fail_nth(0);
        world_run(world, 3);
        assert_int_equal(download_status().peers, 0);
        download_end();
    }
}

static void test_no_memory(void **state)
{
    sweep((struct oom){.setup = {.pieces = 5, .piece_size = 2 * BLOCK}});
    sweep((struct oom){.setup = {.pieces = 4, .piece_size = 2 * BLOCK, .hybrid = true}});
}

static void test_no_memory_link(void **state)
{
    sweep((struct oom){.setup = {.pieces = 4, .piece_size = 2 * BLOCK, .link = true}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_liar),
        cmocka_unit_test(test_liar_among_honest),
        cmocka_unit_test(test_two_liars_of_three),
        cmocka_unit_test(test_leaves_do_not_come),
        cmocka_unit_test(test_liar_leaves),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_unasked),
        cmocka_unit_test(test_flapping),
        cmocka_unit_test(test_end_is_not_told),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_memory_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
