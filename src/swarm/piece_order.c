#include "swarm/piece_order.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

int sk_piece_order_init(struct sk_piece_order *order, uint32_t pieces)
{
    *order = (struct sk_piece_order){
        .pieces = sk_mem_calloc(pieces, sizeof *order->pieces),
        .places = sk_mem_calloc(pieces, sizeof *order->places),
    };
    if (order->pieces && order->places)
        return 0;
    sk_piece_order_deinit(order);
    return SKEP_ERR_NOMEM;
}

void sk_piece_order_deinit(struct sk_piece_order *order)
{
    sk_mem_free(order->pieces);
    sk_mem_free(order->places);
    order->pieces = order->places = NULL;
}

/* The next bucket with pieces above this one, or SK_PIECE_ORDER_NONE. */
static unsigned above(const struct sk_piece_order *order, unsigned bucket)
{
    unsigned i = ++bucket / 64;
    if (bucket >= SK_PIECE_ORDER_BUCKETS)
        return SK_PIECE_ORDER_NONE;
    uint64_t word = order->used[i] & (UINT64_MAX << bucket % 64);
    while (!word && ++i < SK_ARRAY_LEN(order->used))
        word = order->used[i];
    return word ? i * 64 + (unsigned)__builtin_ctzll(word) : SK_PIECE_ORDER_NONE;
}

unsigned sk_piece_order_best(const struct sk_piece_order *order, unsigned below)
{
    if (below == 0)
        return SK_PIECE_ORDER_NONE;
    unsigned i = --below / 64;
    uint64_t word = order->used[i] & (UINT64_MAX >> (63 - below % 64));
    while (!word && i > 0)
        word = order->used[--i];
    return word ? i * 64 + 63 - (unsigned)__builtin_clzll(word) : SK_PIECE_ORDER_NONE;
}

static void put(struct sk_piece_order *order, uint32_t place, uint32_t piece)
{
    order->pieces[place] = piece;
    order->places[piece] = place;
}

static void resize(struct sk_piece_order *order, unsigned bucket, uint32_t count)
{
    uint64_t bit = UINT64_C(1) << bucket % 64;
    order->buckets[bucket].count = count;
    if (count)
        order->used[bucket / 64] |= bit;
    else
        order->used[bucket / 64] &= ~bit;
}

/* The hole at the end of a bucket wanders up to the bucket `to`: its place there. */
static uint32_t wander_up(struct sk_piece_order *order, uint32_t hole, unsigned from, unsigned to)
{
    for (unsigned b = above(order, from); b < to; b = above(order, b)) {
        struct sk_piece_bucket *bucket = &order->buckets[b];
        uint32_t last = bucket->first + bucket->count - 1;
        put(order, hole, order->pieces[last]);
        bucket->first--;
        hole = last;
    }
    return hole;
}

static uint32_t wander_down(struct sk_piece_order *order, uint32_t hole, unsigned from, unsigned to)
{
    for (unsigned b = sk_piece_order_best(order, from); b != SK_PIECE_ORDER_NONE && b > to;
         b = sk_piece_order_best(order, b)) {
        struct sk_piece_bucket *bucket = &order->buckets[b];
        uint32_t first = bucket->first;
        put(order, hole, order->pieces[first]);
        bucket->first++;
        hole = first;
    }
    return hole;
}

/* Takes the piece out of its bucket: the place that is free now, at the bucket's end or, where
 * `low`, at its beginning. */
static uint32_t leave(struct sk_piece_order *order, uint32_t piece, unsigned from, bool low)
{
    struct sk_piece_bucket *bucket = &order->buckets[from];
    uint32_t hole = low ? bucket->first : bucket->first + bucket->count - 1;
    put(order, order->places[piece], order->pieces[hole]);
    bucket->first += low;
    resize(order, from, bucket->count - 1);
    return hole;
}

void sk_piece_order_move(struct sk_piece_order *order, uint32_t piece, unsigned from, unsigned to)
{
    if (from == to)
        return;
    bool up = from < to;
    uint32_t hole = order->count;
    if (from == SK_PIECE_ORDER_NONE)
        order->count++;
    else
        hole = leave(order, piece, from, !up);
    hole = up ? wander_up(order, hole, from, to) : wander_down(order, hole, from, to);
    if (to == SK_PIECE_ORDER_NONE) {
        order->count--;
        return;
    }
    struct sk_piece_bucket *bucket = &order->buckets[to];
    if (up || bucket->count == 0)
        bucket->first = hole;
    resize(order, to, bucket->count + 1);
    put(order, hole, piece);
}

bool sk_piece_order_holds(const struct sk_piece_order *order, uint32_t piece, unsigned bucket)
{
    uint32_t place = order->places[piece];
    return place < order->count && order->pieces[place] == piece &&
           place - order->buckets[bucket].first < order->buckets[bucket].count;
}

const char *sk_piece_order_fault(const struct sk_piece_order *order)
{
    uint32_t place = 0;
    for (unsigned b = 0; b < SK_PIECE_ORDER_BUCKETS; b++) {
        const struct sk_piece_bucket *bucket = &order->buckets[b];
        bool used = order->used[b / 64] >> b % 64 & 1;
        if (used != (bucket->count > 0))
            return "a bucket is marked wrongly";
        if (used && bucket->first != place)
            return "buckets do not follow each other";
        place += bucket->count;
    }
    if (place != order->count)
        return "the buckets do not fill the order";
    for (uint32_t i = 0; i < order->count; i++)
        if (order->places[order->pieces[i]] != i)
            return "a piece is not at its place";
    return NULL;
}
