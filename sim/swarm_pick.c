/* Which block is asked of whom: pieces begun first, then the rarest, in the end several times. */
#include "sim/swarm_internal.h"

#define ASKED_MAX 3   /* peers that a block is asked of, in the end game */
#define LATE_BLOCKS 4 /* on the way from a peer that is asked for what others were */

static struct sk_swarm_partial *find(const struct sk_swarm_node *node, uint32_t piece)
{
    return node->partial_of[piece] ? &node->partials[node->partial_of[piece] - 1] : NULL;
}

static uint8_t *blocks_of(const struct sk_swarm *swarm, const struct sk_swarm_node *node,
                          const struct sk_swarm_partial *partial)
{
    return node->blocks + (size_t)(partial - node->partials) * swarm->blocks;
}

static int grow(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    uint32_t capacity = node->partials_capacity ? 2 * node->partials_capacity : 8;
    struct sk_swarm_partial *partials = sk_mem_realloc(node->partials, capacity, sizeof *partials);
    if (!partials)
        return SKEP_ERR_NOMEM;
    node->partials = partials;
    uint8_t *blocks = sk_mem_realloc(node->blocks, capacity, swarm->blocks);
    if (!blocks)
        return SKEP_ERR_NOMEM;
    node->blocks = blocks;
    node->partials_capacity = capacity;
    return 0;
}

static struct sk_swarm_partial *begin(struct sk_swarm *swarm, struct sk_swarm_node *node,
                                      uint32_t piece)
{
    if (node->partials_count == node->partials_capacity && grow(swarm, node)) {
        sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
        return NULL;
    }
    struct sk_swarm_partial *partial = &node->partials[node->partials_count++];
    *partial = (struct sk_swarm_partial){.piece = piece, .free = swarm->blocks};
    node->partial_of[piece] = (uint16_t)node->partials_count;
    memset(blocks_of(swarm, node, partial), 0, swarm->blocks);
    sk_swarm_bit_clear(node->missing, piece);
    node->missing_count--;
    node->free_blocks += swarm->blocks;
    return partial;
}

void sk_swarm_forget(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece)
{
    struct sk_swarm_partial *partial = find(node, piece);
    if (!partial)
        return;
    struct sk_swarm_partial *last = &node->partials[node->partials_count - 1];
    node->free_blocks -= partial->free;
    if (partial != last) {
        memcpy(blocks_of(swarm, node, partial), blocks_of(swarm, node, last), swarm->blocks);
        *partial = *last;
        node->partial_of[partial->piece] = (uint16_t)(partial - node->partials + 1);
    }
    node->partials_count--;
    node->partial_of[piece] = 0;
    sk_swarm_bit_set(node->missing, piece);
    node->missing_count++;
}

void sk_swarm_disown(struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *node = conn->to;
    conn->piece = SK_SWARM_NO_PIECE;
    for (uint32_t i = 0; i < node->partials_count; i++)
        if (node->partials[i].owner == conn)
            node->partials[i].owner = NULL;
}

uint64_t sk_swarm_partial_bytes(const struct sk_swarm *swarm, const struct sk_swarm_node *node)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < node->partials_count * swarm->blocks; i++)
        if (node->blocks[i] == SK_SWARM_HELD)
            bytes += sk_swarm_block_bytes(swarm, i);
    return bytes;
}

/* ---- a new piece ---- */

static uint32_t popcount(uint64_t word)
{
    return (uint32_t)__builtin_popcountll(word);
}

/* The n-th of a word's bits. */
static uint32_t nth_bit(uint64_t word, uint32_t n)
{
    while (n--)
        word &= word - 1;
    return (uint32_t)__builtin_ctzll(word);
}

static uint32_t pick_random(const struct sk_swarm *swarm, struct sk_swarm_node *node,
                            const uint64_t *offered, bool first)
{
    uint32_t count = 0;
    for (uint32_t w = 0; w < swarm->words; w++)
        count += popcount(offered[w] & node->missing[w]);
    if (count == 0)
        return SK_SWARM_NO_PIECE;
    uint32_t n = first ? 0 : (uint32_t)sk_prng_below(node->prng, count);
    for (uint32_t w = 0;; w++) {
        uint64_t word = offered[w] & node->missing[w];
        if (n < popcount(word))
            return w * 64 + nth_bit(word, n);
        n -= popcount(word);
    }
}

/* Of those that are as rare it is drawn which. */
static uint32_t pick_rarest(const struct sk_swarm *swarm, struct sk_swarm_node *node,
                            const uint64_t *offered)
{
    uint32_t least = UINT32_MAX, ties = 0;
    for (uint32_t w = 0; w < swarm->words; w++) {
        for (uint64_t word = offered[w] & node->missing[w]; word; word &= word - 1) {
            uint32_t rarity = node->rarity[w * 64 + (uint32_t)__builtin_ctzll(word)];
            ties = rarity < least ? 1 : ties + (rarity == least);
            least = SK_MIN(least, rarity);
        }
    }
    if (ties == 0)
        return SK_SWARM_NO_PIECE;
    uint32_t n = (uint32_t)sk_prng_below(node->prng, ties);
    for (uint32_t w = 0;; w++) {
        for (uint64_t word = offered[w] & node->missing[w]; word; word &= word - 1) {
            uint32_t piece = w * 64 + (uint32_t)__builtin_ctzll(word);
            if (node->rarity[piece] == least && n-- == 0)
                return piece;
        }
    }
}

static struct sk_swarm_partial *pick_new(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *node = conn->to;
    if (node->missing_count == 0)
        return NULL;
    const uint64_t *offered = sk_swarm_offered(conn);
    uint32_t piece =
        node->style->order == SK_SWARM_RAREST
            ? pick_rarest(swarm, node, offered)
            : pick_random(swarm, node, offered, node->style->order == SK_SWARM_IN_ORDER);
    if (piece == SK_SWARM_NO_PIECE)
        return NULL;
    struct sk_swarm_partial *partial = begin(swarm, node, piece);
    if (partial)
        partial->owner = conn;
    return partial;
}

/* ---- a piece that was begun ---- */

/* The one that lacks least. Without `any` only those that nobody owns. */
static struct sk_swarm_partial *pick_begun(struct sk_swarm_conn *conn, bool any)
{
    struct sk_swarm_node *node = conn->to;
    const uint64_t *offered = sk_swarm_offered(conn);
    struct sk_swarm_partial *best = NULL;
    for (uint32_t i = 0; node->free_blocks && i < node->partials_count; i++) {
        struct sk_swarm_partial *partial = &node->partials[i];
        bool may = any || !partial->owner || partial->owner == conn;
        if (may && partial->free && (!best || partial->free < best->free) &&
            sk_swarm_bit(offered, partial->piece))
            best = partial;
    }
    if (best && !best->owner)
        best->owner = conn;
    return best;
}

static uint32_t ask(const struct sk_swarm *swarm, struct sk_swarm_node *node,
                    struct sk_swarm_partial *partial)
{
    uint8_t *blocks = blocks_of(swarm, node, partial);
    uint32_t i = partial->next;
    while (blocks[i])
        i++;
    blocks[i] = 1;
    partial->next = i + 1;
    partial->free--;
    node->free_blocks--;
    return partial->piece * swarm->blocks + i;
}

static bool asks_already(const struct sk_swarm_conn *conn, uint32_t block)
{
    if (conn->from->sending == conn && conn->from->sending_block == block)
        return true;
    for (uint32_t i = 0; i < conn->asked_count; i++)
        if (conn->asked[(conn->asked_first + i) % SK_SWARM_PIPELINE] == block)
            return true;
    return false;
}

/* A block that is asked of others too. */
static bool pick_late(const struct sk_swarm *swarm, struct sk_swarm_conn *conn, uint32_t *ret_block)
{
    struct sk_swarm_node *node = conn->to;
    const uint64_t *offered = sk_swarm_offered(conn);
    if (conn->asked_count >= LATE_BLOCKS)
        return false;
    uint32_t start =
        node->partials_count ? (uint32_t)sk_prng_below(node->prng, node->partials_count) : 0;
    for (uint32_t n = 0; n < node->partials_count; n++) {
        struct sk_swarm_partial *partial = &node->partials[(start + n) % node->partials_count];
        if (!sk_swarm_bit(offered, partial->piece))
            continue;
        uint8_t *blocks = blocks_of(swarm, node, partial);
        for (uint32_t i = 0; i < swarm->blocks; i++) {
            uint32_t block = partial->piece * swarm->blocks + i;
            if (blocks[i] == 0 || blocks[i] >= ASKED_MAX || asks_already(conn, block))
                continue;
            blocks[i]++;
            *ret_block = block;
            return true;
        }
    }
    return false;
}

bool sk_swarm_pick(struct sk_swarm *swarm, struct sk_swarm_conn *conn, uint32_t *ret_block)
{
    struct sk_swarm_node *node = conn->to;
    bool shares = node->style->shares_pieces;
    struct sk_swarm_partial *partial =
        conn->piece == SK_SWARM_NO_PIECE ? NULL : find(node, conn->piece);
    if (partial && (!partial->free || (!shares && partial->owner != conn)))
        partial = NULL;
    if (!partial)
        partial = pick_begun(conn, shares);
    if (!partial)
        partial = pick_new(swarm, conn);
    if (!partial && !shares)
        partial = pick_begun(conn, true);
    if (partial) {
        conn->piece = partial->piece;
        *ret_block = ask(swarm, node, partial);
        return true;
    }
    if (node->missing_count || node->free_blocks)
        return false;
    return pick_late(swarm, conn, ret_block);
}

/* ---- what becomes of it ---- */

bool sk_swarm_release(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t block)
{
    struct sk_swarm_partial *partial = find(node, block / swarm->blocks);
    uint32_t i = block % swarm->blocks;
    uint8_t *state = partial ? &blocks_of(swarm, node, partial)[i] : NULL;
    if (!state || *state == 0 || *state == SK_SWARM_HELD || --*state)
        return false;
    partial->free++;
    partial->next = SK_MIN(partial->next, i);
    node->free_blocks++;
    return true;
}

bool sk_swarm_wanted(const struct sk_swarm *swarm, const struct sk_swarm_node *node, uint32_t block)
{
    struct sk_swarm_partial *partial = find(node, block / swarm->blocks);
    return partial && blocks_of(swarm, node, partial)[block % swarm->blocks] != SK_SWARM_HELD;
}

bool sk_swarm_lacks(const struct sk_swarm *swarm, const struct sk_swarm_node *node, uint32_t block)
{
    return sk_swarm_bit(node->missing, block / swarm->blocks) ||
           sk_swarm_wanted(swarm, node, block);
}

static void note_giver(struct sk_swarm_partial *partial, const struct sk_swarm_conn *conn)
{
    uint32_t i = 0;
    while (i < partial->givers_count && partial->givers[i] != conn)
        i++;
    if (i == partial->givers_count && i < SK_SWARM_GIVERS)
        partial->givers[partial->givers_count++] = conn;
}

bool sk_swarm_take(struct sk_swarm *swarm, const struct sk_swarm_conn *conn, uint32_t block)
{
    struct sk_swarm_node *node = conn->to;
    if (!sk_swarm_wanted(swarm, node, block))
        return false;
    struct sk_swarm_partial *partial = find(node, block / swarm->blocks);
    uint8_t *state = &blocks_of(swarm, node, partial)[block % swarm->blocks];
    if (*state == 0) {
        partial->free--;
        node->free_blocks--;
    }
    *state = SK_SWARM_HELD;
    partial->held++;
    note_giver(partial, conn);
    return true;
}
