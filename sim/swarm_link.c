/* Connections; who knows what of whom. */
#include "sim/swarm_internal.h"

#define UPLINK_QUEUE_S 0.1

/* ---- connections ---- */

struct sk_swarm_conn *sk_swarm_find(const struct sk_swarm_node *from,
                                    const struct sk_swarm_node *to)
{
    for (uint32_t i = 0; i < from->conns_count; i++)
        if (from->conns[i]->to == to)
            return from->conns[i];
    return NULL;
}

static int make_room(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (node->conns_count < node->conns_capacity)
        return 0;
    uint32_t capacity = node->conns_capacity ? 2 * node->conns_capacity : 16;
    struct sk_swarm_conn **conns = sk_mem_realloc(node->conns, capacity, sizeof *conns);
    if (!conns)
        return SKEP_ERR_NOMEM;
    node->conns = conns;
    struct sk_swarm_conn **open = sk_mem_realloc(node->open, capacity, sizeof *open);
    if (!open)
        return SKEP_ERR_NOMEM;
    node->open = open;
    if (capacity > swarm->scratch_capacity) {
        struct sk_swarm_conn **scratch = sk_mem_realloc(swarm->scratch, capacity, sizeof *scratch);
        if (!scratch)
            return SKEP_ERR_NOMEM;
        swarm->scratch = scratch;
        swarm->scratch_capacity = capacity;
    }
    node->conns_capacity = capacity;
    return 0;
}

/* What TCP gives a connection of an up-link that all share falls with its round trip, the queue
 * before the link included. */
static double weigh(const struct sk_swarm *swarm, const struct sk_swarm_node *from,
                    const struct sk_swarm_node *to)
{
    return (UPLINK_QUEUE_S + swarm->config.rtt_s) /
           (UPLINK_QUEUE_S + from->half_rtt_s + to->half_rtt_s);
}

static struct sk_swarm_conn *make(struct sk_swarm *swarm, struct sk_swarm_node *from,
                                  struct sk_swarm_node *to)
{
    struct sk_swarm_conn *conn = make_room(swarm, from) ? NULL : sk_mem_calloc(1, sizeof *conn);
    if (!conn) {
        sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
        return NULL;
    }
    conn->from = from;
    conn->to = to;
    conn->number = from->conns_count;
    conn->weight = weigh(swarm, from, to);
    conn->piece = conn->shown_piece = SK_SWARM_NO_PIECE;
    sk_swarm_init_alarm(&conn->begin, NULL, conn);
    from->conns[from->conns_count++] = conn;
    return conn;
}

/* What `to` learns of what `from` has when they meet (1) and part (-1). */
static void count_rarity(const struct sk_swarm *swarm, const struct sk_swarm_conn *conn, int change)
{
    const uint64_t *offered = sk_swarm_offered(conn);
    for (uint32_t w = 0; w < swarm->words; w++)
        for (uint64_t word = offered[w]; word; word &= word - 1) {
            uint16_t *rarity = &conn->to->rarity[w * 64 + (uint32_t)__builtin_ctzll(word)];
            *rarity = (uint16_t)(*rarity + change);
        }
}

static void open_way(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *from = conn->from;
    conn->open = true;
    conn->open_at = from->open_count;
    from->open[from->open_count++] = conn;
    conn->wants = 0;
    conn->took = conn->gave = 0;
    conn->score = 0;
    sk_swarm_choke_add(swarm, conn);
    if (swarm->err)
        return;
    if (from->truth.habit == SK_SWARM_SUPER_SEEDS) {
        if (!conn->shown)
            conn->shown = sk_mem_calloc(swarm->words, sizeof *conn->shown);
        if (!conn->shown) {
            sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
            return;
        }
        memset(conn->shown, 0, swarm->words * sizeof *conn->shown);
        sk_swarm_show(swarm, conn);
        return;
    }
    if (sk_swarm_is_auditor(swarm, conn->to))
        return;
    count_rarity(swarm, conn, 1);
    for (uint32_t w = 0; w < swarm->words; w++)
        conn->wants += (uint32_t)__builtin_popcountll(from->told[w] & ~conn->to->have[w]);
    if (conn->wants)
        sk_swarm_interest(swarm, conn, true);
}

static void close_way(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *from = conn->from;
    sk_swarm_drop(swarm, conn);
    sk_swarm_choke_remove(swarm, conn);
    if (!sk_swarm_is_auditor(swarm, conn->to))
        count_rarity(swarm, conn, -1);
    conn->open = false;
    struct sk_swarm_conn *last = from->open[--from->open_count];
    from->open[conn->open_at] = last;
    last->open_at = conn->open_at;
}

void sk_swarm_connect(struct sk_swarm *swarm, struct sk_swarm_node *a, struct sk_swarm_node *b)
{
    struct sk_swarm_conn *conn = sk_swarm_find(a, b);
    if (a == b || (conn && conn->open) || (a->complete && b->complete))
        return;
    if (!conn) {
        conn = make(swarm, a, b);
        struct sk_swarm_conn *back = conn ? make(swarm, b, a) : NULL;
        if (!back)
            return;
        conn->back = back;
        back->back = conn;
    }
    conn->made = true;
    conn->back->made = false;
    conn->open = conn->back->open = true;
    open_way(swarm, conn);
    open_way(swarm, conn->back);
}

void sk_swarm_close(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    close_way(swarm, conn);
    if (conn->back)
        close_way(swarm, conn->back);
}

void sk_swarm_open_probe(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (!node->probe)
        node->probe = make(swarm, node, &swarm->auditor);
    if (node->probe)
        open_way(swarm, node->probe);
}

/* ---- what is told ---- */

/* A super-seeder shows `to` one piece more: of those that it lacks one that the fewest have. */
void sk_swarm_show(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    uint32_t least = UINT32_MAX, ties = 0, best = SK_SWARM_NO_PIECE;
    for (uint32_t p = 0; p < swarm->config.pieces; p++) {
        uint32_t rarity = conn->from->rarity[p];
        if (sk_swarm_bit(conn->to->have, p) || sk_swarm_bit(conn->shown, p) || rarity > least)
            continue;
        ties = rarity < least ? 1 : ties + 1;
        if (sk_prng_below(conn->from->prng, ties) == 0)
            best = p;
        least = rarity;
    }
    conn->shown_piece = best;
    conn->shown_rounds = 0;
    if (best == SK_SWARM_NO_PIECE)
        return;
    conn->from->rarity[best]++; /* it soon has it */
    conn->to->rarity[best]++;
    sk_swarm_bit_set(conn->shown, best);
    if (sk_swarm_is_auditor(swarm, conn->to))
        return;
    if (conn->wants++ == 0)
        sk_swarm_interest(swarm, conn, true);
    sk_swarm_pump(swarm, conn);
}

/* In each round: who has had its piece for a round and does not pass it on gets another. */
void sk_swarm_show_more(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    for (uint32_t i = 0; i < node->open_count; i++) {
        struct sk_swarm_conn *conn = node->open[i];
        if (conn->shown && conn->shown_piece != SK_SWARM_NO_PIECE &&
            sk_swarm_bit(conn->to->told, conn->shown_piece) && ++conn->shown_rounds >= 2)
            sk_swarm_show(swarm, conn);
    }
}

/* Another has the piece now, so whom the super-seeder showed it to has passed it on. */
static void passed_on(struct sk_swarm *swarm, struct sk_swarm_node *seeder,
                      const struct sk_swarm_node *by, uint32_t piece)
{
    for (uint32_t i = 0; i < seeder->open_count; i++) {
        struct sk_swarm_conn *conn = seeder->open[i];
        if (conn->shown && conn->shown_piece == piece && conn->to != by)
            sk_swarm_show(swarm, conn);
    }
}

static void tell(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece)
{
    sk_swarm_bit_set(node->told, piece);
    if (node->seen)
        sk_swarm_saw_have(swarm, node, piece);
    for (uint32_t i = 0; i < node->open_count; i++) {
        struct sk_swarm_conn *conn = node->open[i];
        struct sk_swarm_node *to = conn->to;
        if (sk_swarm_is_auditor(swarm, to))
            continue;
        to->rarity[piece]++;
        if (to->truth.habit == SK_SWARM_SUPER_SEEDS)
            passed_on(swarm, to, node, piece);
        if (sk_swarm_bit(to->have, piece))
            continue;
        if (conn->wants++ == 0)
            sk_swarm_interest(swarm, conn, true);
        if (conn->ready && conn->asked_count < conn->depth)
            sk_swarm_pump(swarm, conn);
    }
}

static void on_tell(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    uint32_t mask = node->tells_capacity - 1;
    while (node->tells_count && node->tells[node->tells_first].at_ns <= swarm->now_ns) {
        uint32_t piece = node->tells[node->tells_first].piece;
        node->tells_first = (node->tells_first + 1) & mask;
        node->tells_count--;
        tell(swarm, node, piece);
    }
    if (node->tells_count)
        sk_swarm_set_alarm(swarm, &node->tell, node->tells[node->tells_first].at_ns);
}

static int grow_tells(struct sk_swarm_node *node)
{
    uint32_t capacity = node->tells_capacity ? 2 * node->tells_capacity : 4;
    struct sk_swarm_tell *tells = sk_mem_alloc(capacity * sizeof *tells);
    if (!tells)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < node->tells_count; i++)
        tells[i] = node->tells[(node->tells_first + i) & (node->tells_capacity - 1)];
    sk_mem_free(node->tells);
    node->tells = tells;
    node->tells_first = 0;
    node->tells_capacity = capacity;
    return 0;
}

static void tell_later(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece)
{
    if (node->tells_count == node->tells_capacity && grow_tells(node)) {
        sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
        return;
    }
    uint64_t at_ns = sk_swarm_in(swarm, node->half_rtt_s);
    uint32_t i = (node->tells_first + node->tells_count++) & (node->tells_capacity - 1);
    node->tells[i] = (struct sk_swarm_tell){at_ns, piece};
    node->tell.ring = on_tell;
    if (node->tells_count == 1)
        sk_swarm_set_alarm(swarm, &node->tell, at_ns);
}

void sk_swarm_gain(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece)
{
    sk_swarm_forget(swarm, node, piece);
    sk_swarm_bit_clear(node->missing, piece);
    node->missing_count--;
    sk_swarm_bit_set(node->have, piece);
    node->truth.held++;
    for (uint32_t i = 0; i < node->open_count; i++) {
        struct sk_swarm_conn *back = node->open[i]->back;
        if (back && sk_swarm_bit(sk_swarm_offered(back), piece) && --back->wants == 0)
            sk_swarm_interest(swarm, back, false);
    }
    tell_later(swarm, node, piece);
    if (node->truth.held == swarm->config.pieces)
        sk_swarm_done(swarm, node);
}
