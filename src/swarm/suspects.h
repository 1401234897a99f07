/*
 * Who gave the wrong blocks of a wrong piece (smart ban). Where one peer gave all of it, that is
 * who. Where several did nobody is accused yet: the digests of the blocks are kept, with who gave
 * each, and once the piece came right the blocks that differ show who lied. Layer: swarm.
 *
 * Peers are numbers of the caller's, which must not mean another peer meanwhile. Memory: 24 bytes a
 * block, at most SK_SUSPECTS_MAX wrong pieces; what comes after is not remembered.
 */
#ifndef SK_SWARM_SUSPECTS_H
#define SK_SWARM_SUSPECTS_H

#include "base/bytes.h"
#include "base/hash.h"

#define SK_SUSPECTS_NOBODY UINT32_MAX /* nobody is to be judged for this block */

struct sk_suspects_piece {
    struct sk_suspects_piece *next;
    uint32_t piece, blocks;
    struct sk_suspect {
        uint32_t who;
        uint8_t sha1[SK_SHA1_SIZE];
    } suspects[]; /* by block */
};

struct sk_suspects {
    struct sk_suspects_piece *first; /* wrong pieces, the last one first; one may be here twice */
    unsigned count;
};

/* Called for each block of which it shows: either `right` or `wrong` is 1. */
typedef void (*sk_judge_fn)(uint32_t peer, uint32_t piece, uint32_t right, uint32_t wrong,
                            void *ctx);

void sk_suspects_init(struct sk_suspects *suspects);
void sk_suspects_deinit(struct sk_suspects *suspects);
/*
 * This piece of `length` bytes was wrong; `who` gave each of its blocks (of SK_BLOCK_SIZE, the last
 * may be shorter). Of a single giver all blocks count as wrong; else the piece is remembered
 * (without memory it is not: this once nobody is found).
 */
void sk_suspects_wrong(struct sk_suspects *suspects, uint32_t piece, const uint8_t *bytes,
                       uint32_t length, const uint32_t *who, sk_judge_fn judge, void *ctx);
/* This is the piece as it is right: all who gave blocks of it when it was wrong are judged, and it
 * is forgotten. */
void sk_suspects_right(struct sk_suspects *suspects, uint32_t piece, const uint8_t *bytes,
                       uint32_t length, sk_judge_fn judge, void *ctx);
/* What `from` gave counts as given by `to` from now on. */
void sk_suspects_rename(struct sk_suspects *suspects, uint32_t from, uint32_t to);

#endif
