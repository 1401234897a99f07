/*
 * A torrent that nobody has to store: its bytes follow from a seed and are computed when they are
 * asked for, its hashes once at the start. v1, v2 or both (BEP 3, 52), one file. Layer: swarm;
 * pure.
 *
 * Memory: 20 bytes a piece for v1, 64 bytes for each 16 KiB for v2 (the whole hash tree).
 */
#ifndef SK_SWARM_LAB_CONTENT_H
#define SK_SWARM_LAB_CONTENT_H

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "wire/peer_message.h"

#define SK_LAB_NAME_MAX 200 /* bytes of the file's name */

struct sk_lab_torrent {
    char name[SK_LAB_NAME_MAX + 1];
    uint64_t size;       /* bytes, 1 to SK_LAB_SIZE_MAX */
    uint32_t piece_size; /* a power of two, 16 KiB to 64 MiB */
    bool has_v1, has_v2; /* one of them, or both */
    uint64_t seed;
};

struct sk_lab_content {
    struct sk_lab_torrent torrent;
    uint32_t pieces;
    uint8_t *hashes;    /* v1: 20 bytes a piece */
    uint8_t *tree;      /* v2: all layers, leaves first, 32 bytes a node */
    size_t width;       /* v2: leaves, a power of two */
    struct sk_buf info; /* the info dictionary */
    uint8_t hash_v1[SK_SHA1_SIZE];
    uint8_t hash_v2[SK_SHA256_SIZE];
    uint8_t info_hash[SK_SHA1_SIZE]; /* v1's where there is one, else the beginning of v2's */
};

/* Computes everything; about a second a GiB. SKEP_ERR_INVALID for numbers outside of the above,
 * SKEP_ERR_LIMIT for more than SK_LAB_PIECES_MAX pieces, SKEP_ERR_NOMEM. */
int sk_lab_content_init(struct sk_lab_content *content, const struct sk_lab_torrent *torrent);
void sk_lab_content_deinit(struct sk_lab_content *content);

/* Bytes of this piece; piece < pieces. */
uint32_t sk_lab_content_piece_length(const struct sk_lab_content *content, uint32_t piece);
/* Writes n bytes from this offset on; offset + n <= size. */
void sk_lab_content_read(const struct sk_lab_content *content, uint64_t offset, uint8_t *ret_bytes,
                         size_t n);
/* Whether a handshake with this info-hash is for this torrent. */
bool sk_lab_content_is(const struct sk_lab_content *content, const uint8_t info_hash[20]);
/* Appends the .torrent file. Each tracker is a tier of its own. SKEP_ERR_NOMEM. */
int sk_lab_content_write(const struct sk_lab_content *content, const char *const *trackers,
                         size_t trackers_count, struct sk_buf *buf);
/*
 * Appends the hashes that answer a hash request (BEP 52): first the run of the base layer, then the
 * uncles. SKEP_ERR_NOT_FOUND for what the tree does not have, SKEP_ERR_NOMEM.
 */
int sk_lab_content_hashes(const struct sk_lab_content *content, const struct sk_hash_range *range,
                          struct sk_buf *buf);

#endif
