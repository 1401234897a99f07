#include "swarm/lab_content.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "wire/bencode.h"
#include "wire/merkle.h"

#define HASH SK_SHA256_SIZE
#define PIECE_SIZE_MAX (64u << 20)
#define HASH_RUN_MAX 512 /* hashes in one answer: what BEP 52 tells not to exceed */

static unsigned log2_of(size_t power_of_two)
{
    return (unsigned)__builtin_ctzll(power_of_two);
}

/* ---- bytes ---- */

void sk_lab_content_read(const struct sk_lab_content *content, uint64_t offset, uint8_t *ret_bytes,
                         size_t n)
{
    SK_ASSERT(offset + n <= content->torrent.size);
    uint64_t key =
        sk_hash_mix(content->torrent.seed); /* seeds side by side have nothing in common */
    while (n) {
        uint8_t word[8];
        size_t skip = offset % 8, take = SK_MIN(n, 8 - skip);
        sk_put_u64(word, sk_hash_mix(key ^ offset / 8));
        memcpy(ret_bytes, word + skip, take);
        ret_bytes += take;
        offset += take;
        n -= take;
    }
}

uint32_t sk_lab_content_piece_length(const struct sk_lab_content *content, uint32_t piece)
{
    SK_ASSERT(piece < content->pieces);
    uint64_t begin = (uint64_t)piece * content->torrent.piece_size;
    return (uint32_t)SK_MIN(content->torrent.size - begin, (uint64_t)content->torrent.piece_size);
}

bool sk_lab_content_is(const struct sk_lab_content *content, const uint8_t info_hash[20])
{
    return (content->torrent.has_v1 && memcmp(info_hash, content->hash_v1, 20) == 0) ||
           (content->torrent.has_v2 && memcmp(info_hash, content->hash_v2, 20) == 0);
}

/* ---- the hash tree ---- */

/* The nodes of a layer; layer 0 are the leaves. */
static uint8_t *layer_of(const struct sk_lab_content *content, unsigned layer)
{
    size_t before = 2 * content->width - 2 * (content->width >> layer);
    return content->tree + before * HASH;
}

static void hash_leaves(const struct sk_lab_content *content, uint64_t offset, const uint8_t *bytes,
                        size_t n)
{
    uint8_t *leaf = layer_of(content, 0) + offset / SK_BLOCK_SIZE * HASH;
    for (size_t at = 0; at < n; at += SK_BLOCK_SIZE, leaf += HASH)
        sk_sha256(bytes + at, SK_MIN(n - at, (size_t)SK_BLOCK_SIZE), leaf);
}

static void grow_tree(const struct sk_lab_content *content)
{
    for (unsigned layer = 0; layer < log2_of(content->width); layer++) {
        const uint8_t *below = layer_of(content, layer);
        uint8_t *above = layer_of(content, layer + 1);
        for (size_t i = 0; i < content->width >> (layer + 1); i++)
            sk_sha256_pair(below + 2 * i * HASH, below + (2 * i + 1) * HASH, above + i * HASH);
    }
}

static const uint8_t *tree_root(const struct sk_lab_content *content)
{
    return layer_of(content, log2_of(content->width));
}

static unsigned piece_layer(const struct sk_lab_content *content)
{
    return log2_of(content->torrent.piece_size / SK_BLOCK_SIZE);
}

int sk_lab_content_hashes(const struct sk_lab_content *content, const struct sk_hash_range *range,
                          struct sk_buf *buf)
{
    if (!content->torrent.has_v2 || memcmp(range->root, tree_root(content), HASH) != 0 ||
        range->base_layer >= log2_of(content->width) || range->length < 2 ||
        range->length > HASH_RUN_MAX || (range->length & (range->length - 1)) ||
        range->index % range->length)
        return SKEP_ERR_NOT_FOUND;
    size_t nodes = content->width >> range->base_layer;
    if (range->length > nodes || range->index > nodes - range->length)
        return SKEP_ERR_NOT_FOUND;
    sk_buf_append(buf, layer_of(content, range->base_layer) + (size_t)range->index * HASH,
                  (size_t)range->length * HASH);
    /* Layers that follow from the run itself are counted and left out. */
    unsigned top = log2_of(content->width) - range->base_layer;
    for (unsigned up = log2_of(range->length); up <= range->proof_layers && up < top; up++) {
        size_t node = range->index >> up;
        sk_buf_append(buf, layer_of(content, range->base_layer + up) + (node ^ 1) * HASH, HASH);
    }
    return buf->failed ? SKEP_ERR_NOMEM : 0;
}

/* ---- the start ---- */

static void write_info(const struct sk_lab_content *content, struct sk_buf *buf)
{
    const struct sk_lab_torrent *t = &content->torrent;
    sk_bencode_put_dict(buf);
    if (t->has_v2) {
        sk_bencode_put_text(buf, "file tree");
        sk_bencode_put_dict(buf);
        sk_bencode_put_text(buf, t->name);
        sk_bencode_put_dict(buf);
        sk_bencode_put_text(buf, "");
        sk_bencode_put_dict(buf);
        sk_bencode_put_text(buf, "length");
        sk_bencode_put_int(buf, (int64_t)t->size);
        sk_bencode_put_text(buf, "pieces root");
        sk_bencode_put_string(buf, sk_bytes(tree_root(content), HASH));
        for (int i = 0; i < 3; i++)
            sk_bencode_put_end(buf);
    }
    if (t->has_v1) {
        sk_bencode_put_text(buf, "length");
        sk_bencode_put_int(buf, (int64_t)t->size);
    }
    if (t->has_v2) {
        sk_bencode_put_text(buf, "meta version");
        sk_bencode_put_int(buf, 2);
    }
    sk_bencode_put_text(buf, "name");
    sk_bencode_put_text(buf, t->name);
    sk_bencode_put_text(buf, "piece length");
    sk_bencode_put_int(buf, t->piece_size);
    if (t->has_v1) {
        sk_bencode_put_text(buf, "pieces");
        sk_bencode_put_string(buf,
                              sk_bytes(content->hashes, (size_t)content->pieces * SK_SHA1_SIZE));
    }
    sk_bencode_put_end(buf);
}

static int hash_pieces(struct sk_lab_content *content)
{
    uint8_t *bytes = sk_mem_alloc(content->torrent.piece_size);
    if (!bytes)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < content->pieces; i++) {
        uint64_t offset = (uint64_t)i * content->torrent.piece_size;
        uint32_t n = sk_lab_content_piece_length(content, i);
        sk_lab_content_read(content, offset, bytes, n);
        if (content->torrent.has_v1)
            sk_sha1(bytes, n, content->hashes + (size_t)i * SK_SHA1_SIZE);
        if (content->torrent.has_v2)
            hash_leaves(content, offset, bytes, n);
    }
    if (content->torrent.has_v2)
        grow_tree(content);
    sk_mem_free(bytes);
    return 0;
}

static int make(struct sk_lab_content *content)
{
    const struct sk_lab_torrent *t = &content->torrent;
    content->width = sk_merkle_width((size_t)((t->size + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE));
    content->hashes = sk_mem_calloc(content->pieces, t->has_v1 ? SK_SHA1_SIZE : 1);
    content->tree = sk_mem_calloc(t->has_v2 ? 2 * content->width : 1, HASH);
    if (!content->hashes || !content->tree)
        return SKEP_ERR_NOMEM;
    int err = hash_pieces(content);
    if (err)
        return err;
    sk_buf_init(&content->info, SK_METADATA_BYTES_MAX);
    write_info(content, &content->info);
    if (content->info.failed)
        return SKEP_ERR_NOMEM;
    if (t->has_v1)
        sk_sha1(content->info.p, content->info.n, content->hash_v1);
    if (t->has_v2)
        sk_sha256(content->info.p, content->info.n, content->hash_v2);
    memcpy(content->info_hash, t->has_v1 ? content->hash_v1 : content->hash_v2, SK_SHA1_SIZE);
    return 0;
}

int sk_lab_content_init(struct sk_lab_content *content, const struct sk_lab_torrent *torrent)
{
    struct sk_lab_content new = {.torrent = *torrent};
    uint32_t piece_size = torrent->piece_size;
    if (!torrent->name[0] || !(torrent->has_v1 || torrent->has_v2) || torrent->size == 0 ||
        torrent->size > SK_LAB_SIZE_MAX || piece_size < SK_BLOCK_SIZE ||
        piece_size > PIECE_SIZE_MAX || (piece_size & (piece_size - 1)))
        return SKEP_ERR_INVALID;
    uint64_t pieces = (torrent->size + piece_size - 1) / piece_size;
    if (pieces > SK_LAB_PIECES_MAX)
        return SKEP_ERR_LIMIT;
    new.pieces = (uint32_t)pieces;
    int err = make(&new);
    if (err)
        sk_lab_content_deinit(&new);
    else
        *content = new;
    return err;
}

void sk_lab_content_deinit(struct sk_lab_content *content)
{
    sk_mem_free(content->hashes);
    sk_mem_free(content->tree);
    sk_buf_deinit(&content->info);
    *content = (struct sk_lab_content){0};
}

int sk_lab_content_write(const struct sk_lab_content *content, const char *const *trackers,
                         size_t trackers_count, struct sk_buf *buf)
{
    sk_bencode_put_dict(buf);
    if (trackers_count) {
        sk_bencode_put_text(buf, "announce");
        sk_bencode_put_text(buf, trackers[0]);
        sk_bencode_put_text(buf, "announce-list");
        sk_bencode_put_list(buf);
        for (size_t i = 0; i < trackers_count; i++) {
            sk_bencode_put_list(buf);
            sk_bencode_put_text(buf, trackers[i]);
            sk_bencode_put_end(buf);
        }
        sk_bencode_put_end(buf);
    }
    sk_bencode_put_text(buf, "created by");
    sk_bencode_put_text(buf, "skep lab");
    sk_bencode_put_text(buf, "info");
    sk_buf_append(buf, content->info.p, content->info.n);
    if (content->torrent.has_v2) {
        sk_bencode_put_text(buf, "piece layers");
        sk_bencode_put_dict(buf);
        if (content->pieces > 1) {
            sk_bencode_put_string(buf, sk_bytes(tree_root(content), HASH));
            sk_bencode_put_string(buf, sk_bytes(layer_of(content, piece_layer(content)),
                                                (size_t)content->pieces * HASH));
        }
        sk_bencode_put_end(buf);
    }
    sk_bencode_put_end(buf);
    return buf->failed ? SKEP_ERR_NOMEM : 0;
}
