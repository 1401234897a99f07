/*
 * The info dictionary given to peers (BEP 9), and the extension handshake that tells of it.
 *
 * What a peer asked for is kept as a set of pieces, and only a few of them lie in its output at a
 * time: one that asks for everything and reads nothing costs next to nothing.
 */
#include "engine/internal.h"

#include "base/mem.h"

#define GIVEN_TIMES 4 /* so often one peer gets the whole dictionary in a SK_GIVE_QUOTA_NS */

static struct sk_bytes dictionary(const struct skep_torrent *torrent)
{
    bool given = sk_give_on(torrent) && torrent->metainfo;
    return given ? torrent->metainfo->info : sk_bytes(NULL, 0);
}

/* 1: nothing is wanted of anybody; 0: again it is; -1: nothing is said of that. */
static int upload_only(const struct skep_torrent *torrent)
{
    if (!dictionary(torrent).n || !sk_give_tells(torrent))
        return -1;
    return sk_bitfield_full(&torrent->stored) ? 1 : torrent->upload_only;
}

int sk_metadata_give_tell(struct skep_peer *peer)
{
    const struct skep_torrent *torrent = peer->torrent;
    struct sk_bytes info = dictionary(torrent);
    if (!sk_peer_view(peer->session)->extended)
        return 0;
    int err =
        sk_peer_send_extension_handshake(peer->session, (int64_t)info.n, upload_only(torrent));
    sk_conn_touch(peer);
    return err;
}

void sk_metadata_give_tell_all(struct skep_torrent *torrent)
{
    for (struct skep_peer *peer = torrent->engine->peers; peer && sk_give_on(torrent);
         peer = peer->next)
        if (peer->torrent == torrent && peer->opened && peer->stage == SK_STAGE_TALKING)
            (void)sk_metadata_give_tell(peer); /* what they know already stays true */
}

static void give_piece(struct skep_peer *peer, uint32_t piece)
{
    struct sk_bytes info = peer->torrent->metainfo->info;
    size_t offset = (size_t)piece * SK_METADATA_PIECE_SIZE;
    struct sk_metadata_message message = {
        .kind = SK_METADATA_DATA,
        .piece = piece,
        .total_size = (int64_t)info.n,
        .data = sk_bytes(info.p + offset, SK_MIN(info.n - offset, (size_t)SK_METADATA_PIECE_SIZE)),
    };
    (void)sk_peer_send_metadata(peer->session, &message); /* without memory it asks again */
}

void sk_metadata_give_pump(struct skep_peer *peer)
{
    struct sk_bitfield *asked = &peer->metadata_asked;
    if (!asked->set || peer->stage != SK_STAGE_TALKING)
        return;
    for (uint32_t piece = 0; piece < asked->count && sk_give_has_room(peer); piece++) {
        if (!sk_bitfield_drop(asked, piece))
            continue;
        give_piece(peer, piece);
    }
    sk_conn_touch(peer);
}

void sk_metadata_give(struct skep_peer *peer, uint32_t piece)
{
    struct sk_bytes info = dictionary(peer->torrent);
    struct sk_bitfield *asked = &peer->metadata_asked;
    uint32_t pieces = (uint32_t)((info.n + SK_METADATA_PIECE_SIZE - 1) / SK_METADATA_PIECE_SIZE);
    bool may = piece < pieces && (asked->count || !sk_bitfield_init(asked, pieces)) &&
               sk_give_quota(&peer->metadata_quota, 1, (uint64_t)GIVEN_TIMES * pieces,
                             peer->engine->now_ns);
    if (may) {
        sk_bitfield_add(asked, piece);
        sk_metadata_give_pump(peer);
        return;
    }
    struct sk_metadata_message reject = {.kind = SK_METADATA_REJECT, .piece = piece};
    (void)sk_peer_send_metadata(peer->session, &reject);
    sk_conn_touch(peer);
}
