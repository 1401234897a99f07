/*
 * The downloader against remotes that are honest and in order, honest and difficult, and gone: that
 * it gets all of it, asks nobody in vain, and keeps its bounds. Liars are in
 * test_downloader_hostile.c.
 */
#include "download_world.h"

static struct remote *remote(unsigned number)
{
    char address[32];
    snprintf(address, sizeof address, "10.0.0.%u:7000", number);
    return world_peer(&download.world, address);
}

static void begin(struct download_setup setup)
{
    download_begin(&setup);
}

static void finish(double seconds_max, uint64_t wasted_max)
{
    world_start(&download.world);
    download_run(seconds_max);
    download_assert_done(wasted_max);
    download_end();
}

static void test_one_seed(void **state)
{
    begin((struct download_setup){.pieces = 8});
    struct remote *seed = remote(1);
    world_start(&download.world);
    download_run(5);
    download_assert_done(0);
    assert_int_equal(seed->requested, 7 * 4 + 2);
    struct sk_downloader_status status = download_status();
    assert_int_equal(status.received_bytes, download.world.content.torrent.size);
    assert_int_equal(status.peers, 1);
    assert_int_equal(status.useful, 0); /* any more */
    download_end();
}

/* Each of several gives, and no block comes twice. */
static void test_several(void **state)
{
    begin((struct download_setup){.pieces = 40});
    struct remote *remotes[4];
    for (unsigned i = 0; i < 4; i++) {
        remotes[i] = remote(i + 1);
        remotes[i]->block_s = 0.02;
    }
    world_start(&download.world);
    double took_s = download_run(30);
    download_assert_done(0);
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(remotes[i]->given, 25, 60);
    assert_true(took_s < 1.5); /* 158 blocks at 200 a second */
    download_end();
}

/* Parts that only together are the whole; HAVEs in place of bitfields; some tell nothing. */
static void test_parts(void **state)
{
    begin((struct download_setup){.pieces = 30});
    for (unsigned i = 0; i < 3; i++)
        world_hold(remote(i + 1), i * 10, 10);
    download.world.remotes->tells = TELLS_HAVES;
    remote(4)->tells = TELLS_NOTHING;
    struct remote *lazy = remote(5);
    lazy->lazy = 7;
    finish(10, 0);
}

/* What nobody has does not come, and the rest does; it comes once somebody gets it. */
static void test_comes_late(void **state)
{
    begin((struct download_setup){.pieces = 10});
    world_hold(remote(1), 0, 9);
    world_start(&download.world);
    download_run(5);
    assert_int_equal(download_status().counts.pieces_have, 9);
    assert_int_equal(download_status().useful, 0); /* it hears so */
    struct link *link = download.world.links;
    sk_bitfield_add(&link->remote->holds, 9);
    (void)sk_peer_send_have(link->session, 9);
    download_run(5);
    download_assert_done(0);
    download_end();
}

/* ---- who chokes, rejects, is slow, goes ---- */

static void test_chokers(void **state)
{
    for (int no_fast = 0; no_fast < 2; no_fast++) {
        begin((struct download_setup){.pieces = 30, .engine.encryption = SKEP_ENCRYPTION_OFF});
        for (unsigned i = 0; i < 3; i++) {
            struct remote *choker = remote(i + 1);
            choker->no_fast = no_fast;
            choker->block_s = 0.01;
            choker->unchokes_after_s = i;
            choker->chokes_after_s = 0.35;
        }
        world_start(&download.world);
        world_run(&download.world, 1);
        assert_int_equal(skep_peer_fast(download.world.engine->peers), !no_fast);
        download_run(20);
        download_assert_done(0);
        download_end();
    }
}

/* It rejects whatever is asked: it is asked again, yet seldom, and keeps nobody waiting. */
static void test_rejecter(void **state)
{
    begin((struct download_setup){.pieces = 30});
    struct remote *rejecter = remote(1);
    rejecter->blocks = REJECTS;
    struct remote *slow = remote(2);
    slow->block_s = 0.1;
    world_start(&download.world);
    double took_s = download_run(60);
    download_assert_done(0);
    assert_true(took_s < 14); /* 118 blocks at ten a second, and the last ones after a reject */
    assert_true(rejecter->requested <= (took_s + 2) * SK_PIPELINE_FIRST);
    download_end();
}

/* One owes us blocks for ever: they are had of others. What it sends after all is taken where it
 * is missing and passed over where not. */
static void test_silent(void **state)
{
    begin((struct download_setup){.pieces = 12});
    struct remote *silent = remote(1);
    silent->block_s = 45;
    world_start(&download.world);
    world_run(&download.world, 19);
    assert_int_equal(silent->requested, SK_PIPELINE_FIRST);
    assert_int_equal(download_status().counts.bytes_held, 0);
    world_run(&download.world, 27);
    /* Nobody else was there: welcome. */
    assert_int_equal(silent->given, 1);
    assert_int_equal(download_status().counts.bytes_held, BLOCK);
    assert_int_equal(download_status().wasted_bytes, 0);
    /* So slow a one is asked for nothing more while it owes us so much. */
    assert_int_equal(silent->requested, SK_PIPELINE_FIRST);
    struct remote *seed = remote(2);
    seed->block_s = 0.01;
    double took_s = download_run(40);
    assert_true(took_s < 25);
    download_assert_done(0);
    world_run(&download.world, 400);
    assert_true(silent->given > 4);
    download_assert_done(silent->given * BLOCK); /* late, cancelled, or not wanted any more */
    download_end();
}

/* Both go with requests on the way; somebody else gives the rest. */
static void test_leaves(void **state)
{
    begin((struct download_setup){.pieces = 20});
    for (unsigned i = 1; i <= 2; i++) {
        struct remote *goes = remote(i);
        goes->block_s = 0.01;
        goes->leaves_after = 9;
    }
    remote(3)->unchokes_after_s = 1;
    finish(30, 0);
}

/* Nothing but what is allowed while choking comes, and that does. */
static void test_allowed_fast(void **state)
{
    for (int first = 0; first < 2; first++) {
        begin((struct download_setup){.pieces = 10, .link = first});
        struct remote *choker = remote(1);
        choker->never_unchokes = true;
        choker->allowed_fast = 3;
        choker->offers_first = first;
        world_start(&download.world);
        download_run(5);
        assert_int_equal(download_status().counts.pieces_have, 3);
        assert_int_equal(choker->requested, 12);
        download_end();
    }
}

/* A piece that is allowed is had only later. */
static void test_allowed_fast_of_a_late_piece(void **state)
{
    begin((struct download_setup){.pieces = 10});
    struct remote *choker = remote(1);
    world_hold(choker, 5, 3);
    choker->offers_first = true;
    choker->never_unchokes = true;
    choker->allowed_fast = 2;
    world_start(&download.world);
    world_run(&download.world, 1);
    assert_int_equal(choker->requested, 0);
    (void)sk_peer_send_have(download.world.links->session, 1);
    world_run(&download.world, 1);
    assert_int_equal(download_status().counts.pieces_have, 1);
    download_end();
}

/* The last blocks are asked of a second one; who comes too late hears a cancel. */
static void test_end_game(void **state)
{
    begin((struct download_setup){.pieces = 4});
    struct remote *slow = remote(1), *fast = remote(2);
    slow->block_s = 6;
    fast->unchokes_after_s = 1;
    world_start(&download.world);
    double took_s = download_run(30);
    assert_true(took_s < 6);
    download_assert_done(0);
    world_run(&download.world, 30);
    assert_int_equal(slow->given, 0); /* all were cancelled in time */
    assert_int_equal(sk_peer_view(download.world.links->session)->requests_pending, 0);
    download_end();
}

/* ---- metadata ---- */

/* Bitfields, HAVEs and nothing come before the metadata, of v1, v2 and hybrid torrents. */
static void test_link(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        begin((struct download_setup){
            .pieces = 20, .link = true, .v2 = kind == 1, .hybrid = kind == 2});
        world_hold(remote(1), 0, 10);
        world_hold(remote(2), 10, 10);
        download.world.remotes->tells = TELLS_HAVES;
        finish(30, 0);
    }
}

/* The piece layers come late: what was fetched meanwhile waits, and is not fetched anew. */
static void test_layers_come_late(void **state)
{
    begin((struct download_setup){.pieces = 20, .link = true, .v2 = true});
    struct remote *seed = remote(1);
    seed->hashes = REJECTS;
    world_start(&download.world);
    world_run(&download.world, 30);
    assert_int_equal(download_status().counts.pieces_have, 0);
    assert_int_equal(download_status().counts.whole, 20);
    assert_int_equal(seed->requested, 19 * 4 + 2);
    seed->hashes = RIGHT;
    remote(2);
    download_run(60);
    download_assert_done(0);
    assert_int_equal(download_status().received_bytes, download.world.content.torrent.size);
    download_end();
}

/* ---- the disk ---- */

static void test_disk_fails(void **state)
{
    static const int errors[] = {SKEP_ERR_STORE, SKEP_ERR_IO};
    for (size_t i = 0; i < SK_ARRAY_LEN(errors); i++) {
        begin((struct download_setup){.pieces = 20});
        remote(1)->block_s = 0.01;
        download.world.disk_fails = true;
        download.world.disk_error = errors[i];
        world_start(&download.world);
        download_run(10);
        struct sk_downloader_status status = download_status();
        assert_int_equal(status.state, SK_DOWNLOADER_FAILED);
        assert_int_equal(status.error, errors[i]);
        assert_int_equal(status.useful, 0); /* nobody keeps a slot for us */
        world_run(&download.world, 10);
        download_end();
    }
}

/* The disk has no room for the moment: what is whole waits. */
static void test_disk_is_busy(void **state)
{
    static const int errors[] = {SKEP_ERR_LIMIT, SKEP_ERR_NOMEM};
    for (size_t i = 0; i < SK_ARRAY_LEN(errors); i++) {
        begin((struct download_setup){.pieces = 20});
        remote(1);
        download.world.disk_fails = true;
        download.world.disk_error = errors[i];
        world_start(&download.world);
        world_run(&download.world, 3);
        assert_int_equal(download_state(), SK_DOWNLOADER_RUNNING);
        download.world.disk_fails = false;
        download_run(3);
        download_assert_done(0);
        assert_int_equal(download_status().received_bytes, download.world.content.torrent.size);
        download_end();
    }
}

/* A disk that is slower than the network: memory keeps its bound, and nothing comes twice. */
static void test_slow_disk(void **state)
{
    begin((struct download_setup){.pieces = 200, .config.partial_bytes_max = 10 * PIECE});
    remote(1);
    remote(2);
    download.world.disk_s = 0.05;
    world_start(&download.world);
    double took_s = download_run(60);
    download_assert_done(0);
    assert_true(took_s < 11.5);
    assert_true(download.held_max <= 10 * PIECE);
    assert_true(download.downloader->spare_count <= 11);
    download_end();
}

/* Pieces larger than all that may be on the way to the disk. */
static void test_huge_pieces(void **state)
{
    begin((struct download_setup){.pieces = 2, .piece_size = 64u << 20});
    remote(1);
    world_start(&download.world);
    /* Something of another's is on its way. */
    download.world.engine->store_bytes = 1;
    download_run(5);
    assert_int_equal(download_state(), SK_DOWNLOADER_RUNNING);
    download.world.engine->store_bytes = 0;
    download_run(5);
    download_assert_done(0);
    assert_int_equal(download_status().received_bytes, download.world.content.torrent.size);
    download_end();
}

/* ---- several torrents ---- */

/* Two share what may be on the way to the disk: what finds no room waits, whoever's it is. */
static void test_two_torrents(void **state)
{
    static struct sk_lab_content content;
    struct sk_lab_torrent torrent = {.name = "another", .piece_size = 4u << 20, .has_v1 = true};
    torrent.size = 12 * (uint64_t)torrent.piece_size;
    torrent.seed = 99;
    struct sk_buf buf;
    struct skep_torrent *second;
    begin((struct download_setup){.pieces = 12, .piece_size = 4u << 20});
    struct world *world = &download.world;
    assert_int_equal(sk_lab_content_init(&content, &torrent), 0);
    sk_buf_init(&buf, 1 << 20);
    assert_int_equal(sk_lab_content_write(&content, NULL, 0, &buf), 0);
    assert_int_equal(skep_engine_add_file(world->engine, buf.p, buf.n, &second, NULL), 0);
    sk_buf_deinit(&buf);
    assert_int_equal(sk_downloader_new(download.downloads, second,
                                       &(struct sk_downloader_config){.seed = 4}, &download.second),
                     0);
    remote(1);
    struct remote *other = world_remote(world, "10.0.0.2:7000");
    other->content = &content;
    memcpy(other->session.info_hash, content.info_hash, 20);
    sk_bitfield_deinit(&other->holds);
    assert_int_equal(sk_bitfield_init(&other->holds, content.pieces), 0);
    sk_bitfield_fill(&other->holds);
    other->session.pieces = content.pieces;
    other->session.piece_size = torrent.piece_size;
    assert_int_equal(skep_torrent_add_peer(second, "10.0.0.2:7000"), 0);
    world->disk_s = 0.2;
    world_start(world);
    assert_int_equal(skep_torrent_start(second, world->now_ns), 0);
    world_run(world, 6);
    download_assert_done(0);
    struct sk_downloader_status status;
    sk_downloader_status(download.second, &status);
    assert_int_equal(status.state, SK_DOWNLOADER_DONE);
    assert_int_equal(status.wasted_bytes, 0);
    assert_true(download.held_max > SK_ENGINE_STORE_MAX); /* else nothing had to wait */
    skep_torrent_stop(second, world->now_ns);
    download_end();
    sk_lab_content_deinit(&content);
}

/* ---- what is here, what is wanted ---- */

static void ready(void *ctx)
{
    struct sk_picker *picker = sk_downloader_picker(download.downloader);
    sk_picker_have(picker, 1);
    assert_int_equal(skep_torrent_has_stored(download.world.torrent, 1), 0);
    for (uint32_t piece = 4; piece < 8; piece++)
        sk_picker_set_priority(picker, piece, 0);
}

/* Nothing is asked for before it goes, and nothing that is here or not wanted. */
static void test_ready(void **state)
{
    begin((struct download_setup){.pieces = 8, .config.ready = ready, .link = true});
    struct remote *seed = remote(1);
    world_start(&download.world);
    world_run(&download.world, 5);
    assert_int_equal(download_state(), SK_DOWNLOADER_READY);
    assert_int_equal(seed->interested, 0);
    sk_downloader_go(download.downloader, download.world.now_ns);
    download_run(5);
    assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
    assert_int_equal(download.world.torrent->upload_only, 1);
    assert_int_equal(seed->requested, 3 * 4);
    for (uint32_t piece = 4; piece < 8; piece++)
        sk_picker_set_priority(download.downloader->picker, piece, SK_PICKER_PRIORITY_NORMAL);
    sk_downloader_review(download.downloader, download.world.now_ns);
    assert_int_equal(download_state(), SK_DOWNLOADER_RUNNING);
    assert_int_equal(download.world.torrent->upload_only, 0);
    download_run(5);
    assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
    assert_int_equal(seed->requested, 6 * 4 + 2);
    download_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_seed),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_comes_late),
        cmocka_unit_test(test_chokers),
        cmocka_unit_test(test_rejecter),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_allowed_fast),
        cmocka_unit_test(test_allowed_fast_of_a_late_piece),
        cmocka_unit_test(test_end_game),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_layers_come_late),
        cmocka_unit_test(test_disk_fails),
        cmocka_unit_test(test_disk_is_busy),
        cmocka_unit_test(test_slow_disk),
        cmocka_unit_test(test_huge_pieces),
        cmocka_unit_test(test_two_torrents),
        cmocka_unit_test(test_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
