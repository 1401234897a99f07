/*
 * Piece layers of a v2 torrent whose metadata came from peers: the info dictionary has only each
 * file's root, and the hashes of its pieces are asked for (BEP 52), one file and one peer at a
 * time. A layer is taken over only when it leads to the root, so a liar costs time and nothing
 * else.
 */
#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/merkle.h"

#include <string.h>

#define LAYERS_WAIT_NS (8 * SK_SECOND_NS)
#define LAYERS_RUN 512 /* hashes asked for at a time, the most that BEP 52 tells to answer */

static unsigned log2_of(size_t power_of_two)
{
    return (unsigned)__builtin_ctzll(power_of_two);
}

static bool wants_layer(const struct sk_metainfo *meta, const struct sk_file *file)
{
    return file->root && !file->layer.n && file->length > meta->piece_size;
}

static uint32_t file_pieces(const struct sk_metainfo *meta, const struct sk_file *file)
{
    return (uint32_t)((file->length + meta->piece_size - 1) / meta->piece_size);
}

static void reset(struct sk_layer_fetch *fetch)
{
    sk_mem_free(fetch->hashes);
    fetch->hashes = NULL;
    fetch->got = fetch->count = 0;
    fetch->from = NULL;
}

void sk_layers_deinit(struct skep_torrent *torrent)
{
    sk_heap_remove(&torrent->engine->timers, &torrent->layers.timer.base);
    reset(&torrent->layers);
}

static void next_range(const struct skep_torrent *torrent, struct sk_hash_range *ret_range)
{
    const struct sk_layer_fetch *fetch = &torrent->layers;
    const struct sk_metainfo *meta = torrent->metainfo;
    size_t width = sk_merkle_width(fetch->count);
    size_t length = SK_MIN(width, (size_t)LAYERS_RUN);
    *ret_range = (struct sk_hash_range){
        .root = meta->files[fetch->file].root,
        .base_layer = log2_of(meta->piece_size / SK_BLOCK_SIZE),
        .index = fetch->got,
        .length = (uint32_t)length,
        /* All below the root. Those that the run itself makes up are counted and not sent. */
        .proof_layers = width > length ? log2_of(width) - 1 : 0,
    };
}

bool sk_layers_speaks_v2(const struct skep_peer *peer)
{
    /*
     * Of a hybrid torrent only who took us up on the v2 hash: libtorrent hangs up on hash requests
     * over a connection that was made with the v1 hash, whatever its reserved bits say.
     */
    return peer->torrent->has_v2 &&
           (!peer->torrent->has_v1 || sk_peer_view(peer->session)->other_hash);
}

static bool can_ask(const struct skep_peer *peer)
{
    return peer->stage == SK_STAGE_TALKING && peer->opened && !peer->metadata_bad &&
           sk_layers_speaks_v2(peer) && sk_peer_view(peer->session)->have.set > 0;
}

/* Chooses the next file without a layer; false when all are there. */
static bool choose_file(struct skep_torrent *torrent)
{
    struct sk_layer_fetch *fetch = &torrent->layers;
    const struct sk_metainfo *meta = torrent->metainfo;
    while (fetch->next_file < meta->files_count) {
        const struct sk_file *file = &meta->files[fetch->next_file];
        if (wants_layer(meta, file)) {
            uint32_t count = file_pieces(meta, file);
            fetch->hashes = sk_mem_alloc((size_t)count * SK_SHA256_SIZE);
            if (!fetch->hashes)
                return false;
            fetch->file = fetch->next_file;
            fetch->count = count;
            fetch->got = 0;
            return true;
        }
        fetch->next_file++;
    }
    fetch->done = true;
    return false;
}

static void ask(struct skep_torrent *torrent, struct skep_peer *peer)
{
    struct sk_layer_fetch *fetch = &torrent->layers;
    bool needed = torrent->metainfo && !torrent->has_v1; /* v1 hashes verify as well */
    if (!needed || fetch->done || fetch->from || !can_ask(peer))
        return;
    if (!fetch->hashes && !choose_file(torrent))
        return;
    struct sk_hash_range range;
    next_range(torrent, &range);
    if (sk_peer_send_hash_request(peer->session, &range))
        return;
    fetch->from = peer;
    sk_engine_set_timer(torrent->engine, &fetch->timer, SK_TIMER_LAYERS,
                        torrent->engine->now_ns + LAYERS_WAIT_NS);
    sk_conn_touch(peer);
}

static void ask_anyone(struct skep_torrent *torrent)
{
    for (struct skep_peer *peer = torrent->engine->peers; peer && !torrent->layers.from;
         peer = peer->next)
        if (peer->torrent == torrent && peer->session)
            ask(torrent, peer);
}

bool sk_layers_waiting(const struct skep_torrent *torrent)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    if (!meta || meta->has_v1 || torrent->layers.done)
        return false;
    for (uint32_t i = torrent->layers.next_file; i < meta->files_count; i++)
        if (wants_layer(meta, &meta->files[i]))
            return true;
    return false;
}

void sk_layers_start(struct skep_torrent *torrent)
{
    ask_anyone(torrent);
}

void sk_layers_peer(struct skep_peer *peer)
{
    if (peer->torrent->has_v2)
        ask(peer->torrent, peer);
}

/* This peer did not help: another one begins this file anew. */
static void give_up_on(struct skep_torrent *torrent, struct skep_peer *peer)
{
    peer->metadata_bad = true;
    reset(&torrent->layers);
    ask_anyone(torrent);
}

void sk_layers_message(struct skep_peer *peer, const struct sk_msg *msg)
{
    struct skep_torrent *torrent = peer->torrent;
    struct sk_layer_fetch *fetch = &torrent->layers;
    if (fetch->from != peer || !fetch->hashes)
        return;
    struct sk_hash_range range;
    next_range(torrent, &range);
    bool same = memcmp(msg->range.root, range.root, SK_SHA256_SIZE) == 0 &&
                msg->range.base_layer == range.base_layer && msg->range.index == range.index &&
                msg->range.length == range.length;
    if (!same)
        return;
    size_t uncles = log2_of(sk_merkle_width(fetch->count) / range.length);
    if (msg->kind != SK_MSG_HASHES || msg->hashes.n != (range.length + uncles) * SK_SHA256_SIZE ||
        !sk_merkle_proves(msg->hashes.p, range.length, range.index,
                          msg->hashes.p + (size_t)range.length * SK_SHA256_SIZE, uncles,
                          range.root)) {
        give_up_on(torrent, peer);
        return;
    }
    uint32_t take = SK_MIN(range.length, fetch->count - fetch->got);
    memcpy(fetch->hashes + (size_t)fetch->got * SK_SHA256_SIZE, msg->hashes.p,
           (size_t)take * SK_SHA256_SIZE);
    fetch->got += take;
    fetch->from = NULL;
    if (fetch->got == fetch->count) {
        int err =
            sk_metainfo_set_layer(torrent->metainfo, fetch->file,
                                  sk_bytes(fetch->hashes, (size_t)fetch->count * SK_SHA256_SIZE));
        reset(fetch);
        if (err)
            peer->metadata_bad = true;
        else
            fetch->next_file++;
    }
    ask(torrent, peer);
    ask_anyone(torrent); /* where this one cannot be asked for more */
}

void sk_layers_peer_gone(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    if (torrent->layers.from != peer)
        return;
    reset(&torrent->layers);
    if (torrent->state == SK_TORRENT_RUNNING)
        ask_anyone(torrent);
}

void sk_layers_on_timer(struct skep_torrent *torrent)
{
    if (torrent->layers.from)
        give_up_on(torrent, torrent->layers.from);
}
