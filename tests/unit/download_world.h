/* engine_world.h with a downloader on top of it, ticked ten times a second. */
#ifndef DOWNLOAD_WORLD_H
#define DOWNLOAD_WORLD_H

#include "engine/downloader_internal.h"
#include "engine_world.h"

#define PIECE 65536u
#define BLOCK ((uint32_t)SK_BLOCK_SIZE)

struct download {
    struct world world;
    struct sk_downloads *downloads;
    struct sk_downloader *downloader, *second; /* of the second torrent; NULL where there is none */
    uint32_t stored;
    uint64_t held_max; /* bytes of pieces under way, of both */
};

static struct download download;

/* Accounts that must hold whatever happened. */
static inline void download_check_one(const struct sk_downloader *downloader)
{
    if (!downloader || !downloader->picker)
        return;
    const char *fault = sk_picker_fault(downloader->picker);
    if (fault)
        fail_msg("%s", fault);
    for (uint32_t i = 0; i < downloader->peers_capacity; i++) {
        const struct sk_download_peer *peer = downloader->peers[i];
        if (!peer)
            continue;
        assert_int_equal(peer->number, i);
        assert_true(world_has_peer(&download.world, peer->peer));
    }
}

static inline void download_every(struct world *world)
{
    uint64_t held = 0;
    struct sk_downloader *const both[] = {download.downloader, download.second};
    for (size_t i = 0; i < SK_ARRAY_LEN(both); i++) {
        if (!both[i])
            continue;
        sk_downloader_tick(both[i], world->now_ns);
        held += both[i]->buffers.count * (uint64_t)skep_torrent_piece_size(both[i]->torrent);
        download_check_one(both[i]);
    }
    download.held_max = SK_MAX(download.held_max, held);
}

struct download_setup {
    struct skep_config engine;
    struct sk_downloader_config config;
    uint32_t pieces, piece_size;
    bool v2, hybrid, link;
};

static inline void download_count_stored(uint32_t piece, void *ctx)
{
    download.stored++;
}

static inline struct world *download_begin(const struct download_setup *setup)
{
    struct world *world = &download.world;
    struct skep_config engine = setup->engine;
    struct sk_downloader_config config = setup->config;
    download.downloader = download.second = NULL;
    download.stored = 0;
    download.held_max = 0;
    engine.no_lsd = engine.no_dht = true;
    engine.save_dir = "/there";
    world_init(world, &engine);
    world_content(world, setup->pieces ? setup->pieces : 8,
                  setup->piece_size ? setup->piece_size : PIECE, !setup->v2,
                  setup->v2 || setup->hybrid);
    if (setup->link)
        world_add_hash(world);
    else
        world_add_file(world, NULL, 0);
    assert_int_equal(sk_downloads_new(world->engine, &download.downloads), 0);
    config.seed = config.seed ? config.seed : 3;
    config.stored = download_count_stored;
    assert_int_equal(
        sk_downloader_new(download.downloads, world->torrent, &config, &download.downloader), 0);
    world->every = download_every;
    world->every_ns = SK_SECOND_NS / 10;
    world->every_next_ns = world->now_ns;
    return world;
}

static inline struct sk_downloader_status download_status(void)
{
    struct sk_downloader_status status;
    sk_downloader_status(download.downloader, &status);
    return status;
}

static inline enum sk_downloader_state download_state(void)
{
    return download_status().state;
}

/* Runs until it is done or failed, for at most so long; how long it took. */
static inline double download_run(double seconds_max)
{
    struct world *world = &download.world;
    uint64_t begun_ns = world->now_ns;
    while (download_state() < SK_DOWNLOADER_DONE && seconds_max > 0) {
        world_run(world, 0.1);
        seconds_max -= 0.1;
    }
    return (double)(world->now_ns - begun_ns) / 1e9;
}

/* All of it is on the disk, and was asked for in vain no more often than said. */
static inline void download_assert_done(uint64_t wasted_max)
{
    struct sk_downloader_status status = download_status();
    const struct sk_lab_torrent *torrent = &download.world.content.torrent;
    assert_int_equal(status.state, SK_DOWNLOADER_DONE);
    assert_int_equal(status.counts.pieces_have, download.world.content.pieces);
    assert_int_equal(download.stored, download.world.content.pieces);
    assert_int_equal(download.downloader->buffers.count, 0);
    assert_true(download.world.written_bytes >= torrent->size);
    if (status.wasted_bytes > wasted_max)
        fail_msg("%llu bytes came in vain", (unsigned long long)status.wasted_bytes);
    for (uint32_t i = 0; i < download.downloader->peers_capacity; i++)
        if (download.downloader->peers[i])
            assert_false(download.downloader->peers[i]->interested);
}

static inline void download_end(void)
{
    struct world *world = &download.world;
    download_check_one(download.downloader);
    download_check_one(download.second);
    skep_torrent_stop(world->torrent, world->now_ns);
    world_pump(world);
    for (uint32_t i = 0; i < download.downloader->peers_capacity; i++)
        assert_null(download.downloader->peers[i]);
    world_deinit(world);
    sk_downloads_free(download.downloads);
}

#endif
