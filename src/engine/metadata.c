/*
 * The info dictionary of a magnet's torrent, from the peers (BEP 9).
 *
 * The first peer that names a possible size decides what is tried; its pieces are asked of all who
 * name the same size, a few at a time. What does not hash to the info-hash is thrown away; from
 * then on one peer at a time is asked for all of it, so that the one who lies shows and is left
 * out.
 */
#include "engine/internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

#define METADATA_WAIT_NS (8 * SK_SECOND_NS) /* for one piece, before another peer is asked */
#define METADATA_PER_PEER 4                 /* pieces asked of one peer at a time */
#define LIKELY_VOTES 20                     /* who name a size and need no majority */

static bool useful(const struct skep_peer *peer)
{
    const struct skep_torrent *torrent = peer->torrent;
    if (peer->stage != SK_STAGE_TALKING || !peer->opened || peer->metadata_bad)
        return false;
    const struct sk_extension_handshake *ext = &sk_peer_view(peer->session)->extension;
    if (!ext->ids[SK_EXT_METADATA] || ext->metadata_size <= 0 ||
        ext->metadata_size > (int64_t)SK_METADATA_BYTES_MAX)
        return false;
    return !torrent->metadata.size || ext->metadata_size == (int64_t)torrent->metadata.size;
}

static void reset(struct sk_metadata_fetch *fetch)
{
    sk_mem_free(fetch->bytes);
    sk_mem_free(fetch->piece);
    fetch->bytes = NULL;
    fetch->piece = NULL;
    fetch->size = fetch->pieces = fetch->got = 0;
}

void sk_metadata_deinit(struct skep_torrent *torrent)
{
    sk_heap_remove(&torrent->engine->timers, &torrent->metadata.timer.base);
    reset(&torrent->metadata);
}

static int begin(struct sk_metadata_fetch *fetch, uint32_t size)
{
    uint32_t pieces = (size + SK_METADATA_PIECE_SIZE - 1) / SK_METADATA_PIECE_SIZE;
    fetch->bytes = sk_mem_alloc(size);
    fetch->piece = sk_mem_calloc(pieces, sizeof *fetch->piece);
    if (!fetch->bytes || !fetch->piece) {
        reset(fetch);
        return SKEP_ERR_NOMEM;
    }
    fetch->size = size;
    fetch->pieces = pieces;
    return 0;
}

static unsigned asked_of(const struct sk_metadata_fetch *fetch, const struct skep_peer *peer)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < fetch->pieces; i++)
        count += fetch->piece[i].from == peer && !fetch->piece[i].have;
    return count;
}

static bool under_way(const struct sk_metadata_fetch *fetch)
{
    for (uint32_t i = 0; i < fetch->pieces; i++)
        if (fetch->piece[i].from && !fetch->piece[i].have)
            return true;
    return false;
}

static bool others_at_work(const struct sk_metadata_fetch *fetch, const struct skep_peer *peer)
{
    for (uint32_t i = 0; i < fetch->pieces; i++)
        if (fetch->piece[i].from && fetch->piece[i].from != peer)
            return true;
    return false;
}

/* Of the sizes that useful peers name the one that most name; at least one names one. */
static uint32_t likely_size(const struct skep_torrent *torrent)
{
    int64_t best = 0;
    unsigned best_votes = 0;
    for (const struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next) {
        if (peer->torrent != torrent || !useful(peer))
            continue;
        int64_t size = sk_peer_view(peer->session)->extension.metadata_size;
        unsigned votes = 0;
        for (const struct skep_peer *other = peer; other; other = other->next)
            votes += other->torrent == torrent && useful(other) &&
                     sk_peer_view(other->session)->extension.metadata_size == size;
        if (votes > best_votes) {
            best = size;
            best_votes = votes;
        }
        if (size == best && votes > LIKELY_VOTES)
            break;
    }
    return (uint32_t)best;
}

static void ask(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    struct sk_metadata_fetch *fetch = &torrent->metadata;
    if (torrent->metainfo || fetch->broken || !useful(peer))
        return;
    const struct sk_extension_handshake *ext = &sk_peer_view(peer->session)->extension;
    if (!fetch->size && begin(fetch, likely_size(torrent)))
        return;
    if (ext->metadata_size != (int64_t)fetch->size)
        return;
    if (fetch->one_peer && others_at_work(fetch, peer))
        return;
    uint64_t now = peer->engine->now_ns;
    unsigned pending = asked_of(fetch, peer);
    for (uint32_t i = 0; i < fetch->pieces && pending < METADATA_PER_PEER; i++) {
        struct sk_metadata_piece *piece = &fetch->piece[i];
        if (piece->have || piece->from)
            continue;
        struct sk_metadata_message message = {.kind = SK_METADATA_REQUEST, .piece = i};
        if (sk_peer_send_metadata(peer->session, &message))
            break;
        piece->from = peer;
        piece->asked_ns = now;
        pending++;
    }
    sk_conn_touch(peer);
    if (!fetch->timer.base.slot)
        sk_engine_set_timer(peer->engine, &fetch->timer, SK_TIMER_METADATA, now + METADATA_WAIT_NS);
}

static void ask_all(struct skep_torrent *torrent)
{
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next)
        if (peer->torrent == torrent && peer->session)
            ask(peer);
}

void sk_metadata_peer(struct skep_peer *peer)
{
    ask(peer);
}

static bool right_hash(const struct skep_torrent *torrent)
{
    const struct sk_metadata_fetch *fetch = &torrent->metadata;
    uint8_t digest[SK_SHA256_SIZE];
    if (torrent->has_v1) {
        sk_sha1(fetch->bytes, fetch->size, digest);
        return memcmp(digest, torrent->info_hash, SK_SHA1_SIZE) == 0;
    }
    sk_sha256(fetch->bytes, fetch->size, digest);
    return torrent->has_v2 ? memcmp(digest, torrent->hash_v2, SK_SHA256_SIZE) == 0 : false;
}

/* Wrong: everyone who gave a part is a suspect; a single giver is guilty. */
static void on_wrong(struct skep_torrent *torrent, const char *reason)
{
    struct sk_metadata_fetch *fetch = &torrent->metadata;
    struct skep_peer *giver = fetch->piece[0].from;
    bool single = true;
    for (uint32_t i = 1; i < fetch->pieces; i++)
        single = single && fetch->piece[i].from == giver;
    reset(fetch);
    fetch->one_peer = true;
    if (single && giver) {
        giver->metadata_bad = true;
        sk_conn_close(giver, reason, false);
    }
    ask_all(torrent);
}

static void complete(struct skep_torrent *torrent)
{
    struct sk_metadata_fetch *fetch = &torrent->metadata;
    struct sk_metainfo *meta;
    const char *reason;
    if (!right_hash(torrent)) {
        on_wrong(torrent, "metadata does not match the info-hash");
        return;
    }
    if (sk_metainfo_parse_info(sk_bytes(fetch->bytes, fetch->size), &meta, &reason)) {
        /* The hash is right, so nobody has better: the torrent itself is broken. */
        fetch->broken = true;
        reset(fetch);
        sk_heap_remove(&torrent->engine->timers, &fetch->timer.base);
        return;
    }
    sk_metadata_deinit(torrent);
    sk_torrent_set_metainfo(torrent, meta);
}

void sk_metadata_message(struct skep_peer *peer, const struct sk_metadata_message *message)
{
    struct skep_torrent *torrent = peer->torrent;
    struct sk_metadata_fetch *fetch = &torrent->metadata;
    if (message->kind == SK_METADATA_REQUEST) {
        sk_metadata_give(peer, message->piece);
        return;
    }
    if (torrent->metainfo || message->piece >= fetch->pieces)
        return;
    struct sk_metadata_piece *piece = &fetch->piece[message->piece];
    if (piece->from != peer || piece->have)
        return;
    uint32_t offset = message->piece * SK_METADATA_PIECE_SIZE;
    uint32_t length = fetch->size - offset;
    if (length > SK_METADATA_PIECE_SIZE)
        length = SK_METADATA_PIECE_SIZE;
    if (message->kind == SK_METADATA_REJECT || message->data.n != length ||
        (message->total_size >= 0 && message->total_size != (int64_t)fetch->size)) {
        peer->metadata_bad = true; /* it has nothing for us: others are asked */
        piece->from = NULL;
        if (fetch->one_peer)
            reset(fetch);
        ask_all(torrent);
        return;
    }
    memcpy(fetch->bytes + offset, message->data.p, length);
    piece->have = true;
    if (++fetch->got == fetch->pieces)
        complete(torrent);
    else
        ask(peer);
}

void sk_metadata_peer_gone(struct skep_peer *peer)
{
    struct sk_metadata_fetch *fetch = &peer->torrent->metadata;
    bool freed = false;
    for (uint32_t i = 0; i < fetch->pieces; i++) {
        if (fetch->piece[i].from != peer)
            continue;
        fetch->piece[i].from = NULL;
        freed = true;
    }
    /* What a single peer was to give whole, a single other one gives anew. */
    if (freed && fetch->one_peer)
        reset(fetch);
    if (freed && peer->torrent->state == SK_TORRENT_RUNNING)
        ask_all(peer->torrent);
}

void sk_metadata_on_timer(struct skep_torrent *torrent)
{
    struct sk_metadata_fetch *fetch = &torrent->metadata;
    uint64_t now = torrent->engine->now_ns;
    if (torrent->metainfo)
        return;
    for (uint32_t i = 0; i < fetch->pieces; i++) {
        struct sk_metadata_piece *piece = &fetch->piece[i];
        if (piece->from && !piece->have && now - piece->asked_ns >= METADATA_WAIT_NS) {
            piece->from->metadata_bad = true;
            piece->from = NULL;
        }
    }
    ask_all(torrent);
    if (fetch->size && !under_way(fetch)) {
        reset(fetch); /* nobody works on this size: whoever asks next may name another */
        ask_all(torrent);
    }
    if (fetch->size)
        sk_engine_set_timer(torrent->engine, &fetch->timer, SK_TIMER_METADATA,
                            now + METADATA_WAIT_NS);
}
