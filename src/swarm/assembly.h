/*
 * Pieces being put together from blocks, for probing: which block to ask of whom next, and who gave
 * what when a piece turns out right or wrong. Layer: swarm.
 *
 * A piece that fits into a peer's budget is asked of that peer alone (an exclusive copy: other
 * peers may be asked for the same piece at the same time), so a wrong hash has one culprit. A piece
 * larger than a budget is shared: peers fill it together. When a shared piece is wrong, who lied
 * shows once it came right (swarm/suspects.h).
 *
 * Peers are numbers of the caller's. Memory: piece_size a copy under way, at most
 * SK_ASSEMBLY_BYTES_MAX in all.
 */
#ifndef SK_SWARM_ASSEMBLY_H
#define SK_SWARM_ASSEMBLY_H

#include "base/bitfield.h"
#include "base/limits.h"
#include "swarm/suspects.h"

#define SK_ASSEMBLY_NOBODY SK_SUSPECTS_NOBODY

struct sk_block {
    uint32_t piece, begin, length;
};

enum sk_block_state {
    SK_BLOCK_FREE,
    SK_BLOCK_ASKED,
    SK_BLOCK_HELD,
    SK_BLOCK_PROVED, /* held, checked by a hash of its own, and its giver judged */
};

struct sk_assembly_copy {
    struct sk_assembly_copy *next;
    uint32_t piece, length;
    uint32_t owner; /* the only peer it is asked of, or SK_ASSEMBLY_NOBODY for shared */
    uint32_t blocks, held;
    uint8_t *data;
    uint32_t *who;   /* by block: asked of, or given by */
    uint8_t *states; /* by block: enum sk_block_state */
};

struct sk_assembly {
    struct sk_assembly_copy *copies;
    struct sk_suspects suspects; /* of shared copies that were wrong */
    size_t bytes;
    struct sk_bitfield done; /* pieces verified at least once */
};

int sk_assembly_init(struct sk_assembly *assembly, uint32_t pieces);
void sk_assembly_deinit(struct sk_assembly *assembly);

/*
 * Begins a copy. owner SK_ASSEMBLY_NOBODY: shared. Where memory is short, the oldest shared copy
 * that nobody works on is dropped for it. SKEP_ERR_LIMIT (memory bound), SKEP_ERR_NOMEM.
 */
int sk_assembly_begin(struct sk_assembly *assembly, uint32_t piece, uint32_t length, uint32_t owner,
                      struct sk_assembly_copy **ret_copy);
/* Bytes that new copies may have; idle shared ones make room for them. */
size_t sk_assembly_room(const struct sk_assembly *assembly);
/* The copy of this owner that still has free blocks; NULL. */
struct sk_assembly_copy *sk_assembly_owned(const struct sk_assembly *assembly, uint32_t owner);
/* A shared copy under way, starting after `after` (NULL: the first); NULL at the end. */
struct sk_assembly_copy *sk_assembly_shared(const struct sk_assembly *assembly,
                                            const struct sk_assembly_copy *after);
/* Marks the first free block as asked of `peer`; false where none is free. */
bool sk_assembly_ask(struct sk_assembly_copy *copy, uint32_t peer, struct sk_block *ret_block);
/* The request came to nothing: the block is free again. */
void sk_assembly_release(struct sk_assembly *assembly, uint32_t peer, uint32_t piece,
                         uint32_t begin);
/* All that was asked of this peer is free again, and its exclusive copies are dropped. */
void sk_assembly_leave(struct sk_assembly *assembly, uint32_t peer);
/* What `from` gave counts as given by `to` from now on: they turned out to be one peer. */
void sk_assembly_rename(struct sk_assembly *assembly, uint32_t from, uint32_t to);
/* A block came. Returns the copy that took it (complete once `held` equals `blocks`); NULL where
 * nobody waits for it any more. */
struct sk_assembly_copy *sk_assembly_take(struct sk_assembly *assembly, uint32_t peer,
                                          uint32_t piece, uint32_t begin, const void *data,
                                          uint32_t length);

/*
 * A held block was checked by a hash of its own: its giver is judged at once, and not again when
 * the copy ends. A wrong block of a shared copy is free again.
 */
void sk_assembly_check(struct sk_assembly_copy *copy, uint32_t block, bool right, sk_judge_fn judge,
                       void *ctx);
/*
 * Ends a complete copy: ok says whether its hash was right, unknown that it could not be checked
 * (nobody is judged). Frees the copy.
 */
enum sk_assembly_result { SK_ASSEMBLY_RIGHT, SK_ASSEMBLY_WRONG, SK_ASSEMBLY_UNKNOWN };
void sk_assembly_finish(struct sk_assembly *assembly, struct sk_assembly_copy *copy,
                        enum sk_assembly_result result, sk_judge_fn judge, void *ctx);

#endif
