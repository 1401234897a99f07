/*
 * Leaves: the hashes of a v2 piece's 16 KiB blocks, asked of a peer (BEP 52), so that single blocks
 * can be verified where a whole piece is more than one wants to take. They are believed once they
 * lead to the hash of their piece. The last SK_ENGINE_LEAVES_MAX pieces' are kept.
 */
#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/merkle.h"

#include <string.h>

void sk_leaves_deinit(struct skep_torrent *torrent)
{
    for (uint32_t i = 0; i < SK_ENGINE_LEAVES_MAX; i++)
        sk_mem_free(torrent->leaves[i].hashes);
}

static const struct sk_leaves *find(const struct skep_torrent *torrent, uint32_t piece)
{
    for (uint32_t i = 0; i < SK_ENGINE_LEAVES_MAX; i++)
        if (torrent->leaves[i].hashes && torrent->leaves[i].piece == piece)
            return &torrent->leaves[i];
    return NULL;
}

/* The range of leaves under this piece; false where the piece has no tree of its own. */
static bool leaf_range(const struct skep_torrent *torrent, uint32_t piece,
                       struct sk_hash_range *ret_range)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    if (!meta || !meta->has_v2 || piece >= meta->pieces || meta->piece_size <= SK_BLOCK_SIZE ||
        !sk_metainfo_piece_root(meta, piece))
        return false;
    const struct sk_file *file = &meta->files[sk_metainfo_piece_file(meta, piece)];
    if (!file->root)
        return false;
    /* A file of one piece has a tree no wider than it needs. */
    uint64_t span = SK_MIN(file->length, (uint64_t)meta->piece_size);
    uint32_t width = (uint32_t)sk_merkle_width((span + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE);
    *ret_range = (struct sk_hash_range){
        .root = file->root,
        .base_layer = 0,
        .index = (piece - file->first_piece) * width,
        .length = width,
        .proof_layers = 0,
    };
    return width > 1 && width <= SK_HASHES_PER_MESSAGE_MAX;
}

int skep_peer_request_leaves(struct skep_peer *peer, uint32_t piece)
{
    struct sk_hash_range range;
    if (peer->stage != SK_STAGE_TALKING || !peer->opened)
        return SKEP_ERR_STATE;
    if (!sk_layers_speaks_v2(peer) || !leaf_range(peer->torrent, piece, &range))
        return SKEP_ERR_UNSUPPORTED;
    if (find(peer->torrent, piece))
        return 0;
    int err = sk_peer_send_hash_request(peer->session, &range);
    sk_conn_touch(peer);
    return err;
}

static void keep(struct skep_torrent *torrent, uint32_t piece, const uint8_t *hashes,
                 uint32_t count)
{
    uint8_t *copy = sk_mem_dup(hashes, (size_t)count * SK_SHA256_SIZE);
    if (!copy)
        return; /* its blocks stay unverified until the whole piece is there */
    struct sk_leaves *leaves = &torrent->leaves[torrent->leaves_next++ % SK_ENGINE_LEAVES_MAX];
    sk_mem_free(leaves->hashes);
    *leaves = (struct sk_leaves){.piece = piece, .count = count, .hashes = copy};
    sk_engine_emit(
        torrent->engine,
        &(struct skep_event){.kind = SKEP_EVENT_LEAVES, .torrent = torrent, .piece = piece});
}

/* The piece whose leaves these are; false where they are nobody's. */
static bool find_piece(const struct skep_torrent *torrent, const struct sk_hash_range *got,
                       uint32_t *ret_piece)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    for (uint32_t i = 0; i < meta->files_count; i++) {
        const struct sk_file *file = &meta->files[i];
        if (!file->root || memcmp(file->root, got->root, SK_SHA256_SIZE) != 0)
            continue;
        struct sk_hash_range want;
        uint32_t piece = file->first_piece + got->index / got->length;
        if (leaf_range(torrent, piece, &want) && want.index == got->index &&
            want.length == got->length && memcmp(want.root, got->root, SK_SHA256_SIZE) == 0) {
            *ret_piece = piece;
            return true;
        }
    }
    return false;
}

void sk_leaves_message(struct skep_peer *peer, const struct sk_msg *msg)
{
    struct skep_torrent *torrent = peer->torrent;
    const struct sk_hash_range *got = &msg->range;
    uint32_t piece;
    if (msg->kind != SK_MSG_HASHES || got->base_layer != 0 || !got->length || !torrent->metainfo ||
        msg->hashes.n < (size_t)got->length * SK_SHA256_SIZE || !find_piece(torrent, got, &piece) ||
        find(torrent, piece))
        return;
    const uint8_t *root = sk_metainfo_piece_root(torrent->metainfo, piece);
    if (sk_merkle_proves(msg->hashes.p, got->length, 0, NULL, 0, root))
        keep(torrent, piece, msg->hashes.p, got->length);
}

int skep_torrent_verify_block(const struct skep_torrent *torrent, uint32_t piece, uint32_t begin,
                              const void *bytes, size_t n)
{
    const struct sk_leaves *leaves = find(torrent, piece);
    uint32_t leaf = begin / SK_BLOCK_SIZE;
    if (!leaves || leaf >= leaves->count || begin % SK_BLOCK_SIZE || n > SK_BLOCK_SIZE)
        return SKEP_ERR_NOT_FOUND;
    /* In a hybrid torrent padding may follow the file's end in the block, and is not hashed. */
    const struct sk_metainfo *meta = torrent->metainfo;
    const struct sk_file *file = &meta->files[sk_metainfo_piece_file(meta, piece)];
    uint64_t at = (uint64_t)piece * meta->piece_size + begin - file->offset;
    if (at >= file->length)
        return SKEP_ERR_NOT_FOUND;
    uint8_t digest[SK_SHA256_SIZE];
    sk_sha256(bytes, (size_t)SK_MIN((uint64_t)n, file->length - at), digest);
    return memcmp(digest, leaves->hashes + (size_t)leaf * SK_SHA256_SIZE, SK_SHA256_SIZE) == 0;
}
