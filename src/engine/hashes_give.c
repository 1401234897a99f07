/*
 * Hashes of v2 trees given to peers (BEP 52): piece layers and what is above them, with proofs; and
 * the leaves below a piece that is on our disk, which is read and hashed for it.
 *
 * What is above a file's piece layer is worked out once, when somebody asks for it, and kept: that
 * is at most as much as the layers themselves.
 */
#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/merkle.h"

#include <string.h>

#define HASH SK_SHA256_SIZE
#define GIVEN_TIMES 4      /* so often one peer gets all layers in a SK_GIVE_QUOTA_NS */
#define PROOFS_MAX 4096    /* hashes that come on top, for proofs and short runs */
#define PIECES_READ_MAX 16 /* in as long, for one peer that wants leaves */

/* One file's. */
struct sk_hash_tree {
    const struct sk_file *file;
    uint8_t *above; /* its nodes above the piece layer, level by level; NULL: not needed yet */
};

static unsigned log2_of(uint64_t power_of_two)
{
    return (unsigned)__builtin_ctzll(power_of_two);
}

static unsigned piece_level(const struct sk_metainfo *meta)
{
    return log2_of(meta->piece_size / SK_BLOCK_SIZE);
}

/* Levels from the leaves to the root. */
static unsigned height_of(const struct sk_file *file)
{
    return log2_of(sk_merkle_width((file->length + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE));
}

/* ---- the trees ---- */

/* One for each file that has a tree, found by its root. SKEP_ERR_NOMEM. */
static int list_trees(struct skep_torrent *torrent)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    struct sk_hash_tree *trees = sk_mem_calloc(meta->files_count, sizeof *trees);
    struct sk_map map;
    int err = trees ? 0 : SKEP_ERR_NOMEM;
    sk_map_init(&map, HASH, meta->files_count, sk_prng_u64(&torrent->engine->prng));
    for (uint32_t i = 0; i < meta->files_count && !err; i++) {
        trees[i].file = &meta->files[i];
        if (meta->files[i].root && !sk_map_get(&map, meta->files[i].root))
            err = sk_map_put(&map, meta->files[i].root, &trees[i]);
    }
    if (err) {
        sk_map_deinit(&map);
        sk_mem_free(trees);
        return err;
    }
    torrent->hash_trees = trees;
    torrent->hash_tree_by_root = map;
    return 0;
}

static struct sk_hash_tree *find_tree(struct skep_torrent *torrent, const uint8_t root[HASH])
{
    if (!torrent->hash_trees && list_trees(torrent))
        return NULL;
    return sk_map_get(&torrent->hash_tree_by_root, root);
}

void sk_hashes_give_deinit(struct skep_torrent *torrent)
{
    if (!torrent->hash_trees)
        return;
    for (uint32_t i = 0; i < torrent->metainfo->files_count; i++)
        sk_mem_free(torrent->hash_trees[i].above);
    sk_mem_free(torrent->hash_trees);
    sk_map_deinit(&torrent->hash_tree_by_root);
}

/* A node by its level above the piece layer. Those that cover nothing of the file are not kept. */
static const uint8_t *node(const struct sk_metainfo *meta, const struct sk_hash_tree *tree,
                           unsigned up, size_t index)
{
    const uint8_t *level = tree->file->layer.p;
    size_t count = tree->file->layer.n / HASH;
    for (unsigned i = 0; i < up; i++) {
        level = i ? level + count * HASH : tree->above;
        count = (count + 1) / 2;
    }
    return index < count ? level + index * HASH : sk_merkle_padding(piece_level(meta) + up);
}

/* Works out what is above the piece layer. False without memory, or where the layer is missing. */
static bool grow(const struct sk_metainfo *meta, struct sk_hash_tree *tree)
{
    size_t total = 0, count = tree->file->layer.n / HASH;
    if (tree->above || count < 2)
        return count > 1;
    unsigned levels = log2_of(sk_merkle_width(count));
    for (unsigned up = 1; up <= levels; up++)
        total += (count + (UINT64_C(1) << up) - 1) >> up;
    uint8_t *to = tree->above = sk_mem_alloc(total * HASH);
    if (!to)
        return false;
    for (unsigned up = 0; up < levels; up++) {
        count = (count + 1) / 2;
        for (size_t i = 0; i < count; i++, to += HASH)
            sk_sha256_pair(node(meta, tree, up, 2 * i), node(meta, tree, up, 2 * i + 1), to);
    }
    return true;
}

/* ---- answers ---- */

static void reject(struct skep_peer *peer, const struct sk_hash_range *range)
{
    (void)sk_peer_send_message(peer->session,
                               &(struct sk_msg){.kind = SK_MSG_HASH_REJECT, .range = *range});
    sk_conn_touch(peer);
}

/* The layers of the proof that are asked for: those that follow from the run are counted and not
 * sent, and the root is known. */
static unsigned proof_end(const struct sk_file *file, const struct sk_hash_range *range)
{
    unsigned top = height_of(file) - range->base_layer;
    return range->proof_layers < top ? range->proof_layers + 1 : top;
}

/* The run, then the proof. */
static void answer(struct skep_peer *peer, const struct sk_hash_tree *tree,
                   const struct sk_hash_range *range, struct sk_buf *hashes)
{
    const struct sk_metainfo *meta = peer->torrent->metainfo;
    for (unsigned up = log2_of(range->length); up < proof_end(tree->file, range); up++)
        sk_buf_append(
            hashes,
            node(meta, tree, range->base_layer + up - piece_level(meta), (range->index >> up) ^ 1),
            HASH);
    struct sk_msg msg = {.kind = SK_MSG_HASHES, .range = *range, .hashes = sk_buf_bytes(hashes)};
    if (hashes->failed || sk_peer_send_message(peer->session, &msg))
        reject(peer, range);
    sk_conn_touch(peer);
}

static bool is_run(const struct sk_file *file, const struct sk_hash_range *range)
{
    uint32_t length = range->length;
    if (length < 2 || length > SK_ENGINE_HASHES_GIVE_MAX || (length & (length - 1)) ||
        range->index % length || range->base_layer >= height_of(file))
        return false;
    uint64_t nodes = UINT64_C(1) << (height_of(file) - range->base_layer);
    return length <= nodes && range->index <= nodes - length;
}

/* Nodes from the piece layer up. Returns whether they were given. */
static bool give_layer(struct skep_peer *peer, struct sk_hash_tree *tree,
                       const struct sk_hash_range *range)
{
    const struct sk_metainfo *meta = peer->torrent->metainfo;
    uint64_t all = (uint64_t)GIVEN_TIMES * meta->pieces + PROOFS_MAX;
    if (!grow(meta, tree) ||
        !sk_give_quota(&peer->hashes_quota, range->length, all, peer->engine->now_ns))
        return false;
    struct sk_buf hashes;
    sk_buf_init(&hashes, (size_t)SK_HASHES_PER_MESSAGE_MAX * HASH);
    for (uint32_t i = 0; i < range->length; i++)
        sk_buf_append(&hashes,
                      node(meta, tree, range->base_layer - piece_level(meta), range->index + i),
                      HASH);
    answer(peer, tree, range, &hashes);
    sk_buf_deinit(&hashes);
    return true;
}

/* ---- leaves ---- */

/* The piece whose leaves are asked for, all of them; false where they are not. */
static bool piece_of(const struct sk_metainfo *meta, const struct sk_file *file,
                     const struct sk_hash_range *range, uint32_t *ret_piece)
{
    unsigned level = SK_MIN(piece_level(meta), height_of(file));
    if (range->base_layer || range->length != UINT32_C(1) << level)
        return false;
    *ret_piece = file->first_piece + (range->index >> level);
    return (uint64_t)(range->index >> level) * meta->piece_size < file->length;
}

/* Only for who may take blocks as well: it costs as much as giving them. */
static bool read_leaves(struct skep_peer *peer, struct sk_hash_tree *tree,
                        const struct sk_hash_range *range)
{
    struct skep_torrent *torrent = peer->torrent;
    struct skep_engine *engine = peer->engine;
    const struct sk_metainfo *meta = torrent->metainfo;
    const struct sk_file *file = tree->file;
    bool proof = proof_end(file, range) > log2_of(range->length);
    uint32_t piece;
    if (peer->leaves_id || sk_peer_view(peer->session)->choking ||
        !piece_of(meta, file, range, &piece) || !sk_bitfield_has(&torrent->stored, piece) ||
        (proof && !grow(meta, tree)) ||
        !sk_give_quota(&peer->leaves_quota, 1, PIECES_READ_MAX, engine->now_ns))
        return false;
    uint64_t offset = (uint64_t)piece * meta->piece_size;
    struct sk_ask ask = {.kind = SK_ASK_LEAVES, .peer = peer};
    struct sk_out out = {
        .kind = SK_OUT_READ,
        .torrent = torrent->number,
        .offset = offset,
        .length =
            (uint32_t)SK_MIN(file->offset + file->length - offset, (uint64_t)meta->piece_size),
    };
    if (sk_engine_ask(engine, &ask, &out.id))
        return false;
    if (sk_engine_push(engine, &out)) {
        (void)sk_engine_answer(engine, out.id, &ask);
        return false;
    }
    peer->leaves_id = out.id;
    peer->leaves_range = *range;
    peer->leaves_range.root = file->root;
    return true;
}

void sk_hashes_give_read(struct skep_peer *peer, int err, struct sk_bytes data)
{
    struct sk_hash_range range = peer->leaves_range;
    struct sk_hash_tree *tree = find_tree(peer->torrent, range.root);
    uint8_t leaf[HASH];
    peer->leaves_id = 0;
    if (peer->stage != SK_STAGE_TALKING)
        return;
    if (err || !tree) {
        reject(peer, &range);
        return;
    }
    struct sk_buf hashes;
    sk_buf_init(&hashes, (size_t)SK_HASHES_PER_MESSAGE_MAX * HASH);
    for (uint32_t i = 0; i < range.length; i++) {
        size_t at = (size_t)i * SK_BLOCK_SIZE;
        if (at < data.n)
            sk_sha256(data.p + at, SK_MIN(data.n - at, (size_t)SK_BLOCK_SIZE), leaf);
        sk_buf_append(&hashes, at < data.n ? leaf : sk_merkle_padding(0), HASH);
    }
    answer(peer, tree, &range, &hashes);
    sk_buf_deinit(&hashes);
}

void sk_hashes_give_peer_gone(struct skep_peer *peer)
{
    struct sk_ask ask;
    if (peer->leaves_id)
        (void)sk_engine_answer(peer->engine, peer->leaves_id, &ask); /* nobody waits for it */
}

void sk_hashes_give(struct skep_peer *peer, const struct sk_hash_range *range)
{
    struct skep_torrent *torrent = peer->torrent;
    const struct sk_metainfo *meta = torrent->metainfo;
    bool given = sk_give_on(torrent) && meta && meta->has_v2 && sk_give_has_room(peer);
    struct sk_hash_tree *tree = given ? find_tree(torrent, range->root) : NULL;
    if (tree && is_run(tree->file, range))
        given = range->base_layer < piece_level(meta) ? read_leaves(peer, tree, range)
                                                      : give_layer(peer, tree, range);
    else
        given = false;
    if (!given)
        reject(peer, range);
}
