/*
 * Pieces in the order in which they are picked: one array, cut into buckets of pieces that are as
 * good as each other, the best bucket at the array's end. To move a piece costs a step for each
 * bucket with pieces in it that lies between: most moves go to the next one. Layer: swarm, internal
 * to the picker.
 *
 * Buckets are numbers below SK_PIECE_ORDER_BUCKETS, the higher the better; a piece may also be in
 * none. Memory: 8 bytes a piece, 14 KiB for the buckets.
 */
#ifndef SK_SWARM_PIECE_ORDER_H
#define SK_SWARM_PIECE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#define SK_PIECE_ORDER_BUCKETS 1792u
#define SK_PIECE_ORDER_NONE SK_PIECE_ORDER_BUCKETS /* of a piece that is not in the order */

struct sk_piece_order {
    uint32_t *pieces; /* the array: `count` pieces */
    uint32_t *places; /* by piece: where in the array it is */
    uint32_t count;
    struct sk_piece_bucket {
        uint32_t first, count; /* its part of the array */
    } buckets[SK_PIECE_ORDER_BUCKETS];
    uint64_t used[SK_PIECE_ORDER_BUCKETS / 64]; /* bit: the bucket has pieces */
};

/* `pieces` is how many there are; none of them is in the order. SKEP_ERR_NOMEM. */
int sk_piece_order_init(struct sk_piece_order *order, uint32_t pieces);
void sk_piece_order_deinit(struct sk_piece_order *order);
/* The caller knows in which bucket the piece is. */
void sk_piece_order_move(struct sk_piece_order *order, uint32_t piece, unsigned from, unsigned to);
/* The best bucket with pieces below `below`, or SK_PIECE_ORDER_NONE. */
unsigned sk_piece_order_best(const struct sk_piece_order *order, unsigned below);
/* Whether this piece is in this bucket. */
bool sk_piece_order_holds(const struct sk_piece_order *order, uint32_t piece, unsigned bucket);
/* NULL, or what does not hold. */
const char *sk_piece_order_fault(const struct sk_piece_order *order);

#endif
