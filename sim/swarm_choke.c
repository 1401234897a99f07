/* Who is unchoked: by swarm/choker.h, or by the plain rules of others. */
#include "sim/swarm_internal.h"

#include <math.h>
#include <stdlib.h>

#define OPTIMISTIC_ROUNDS 3
#define TURN_ROUNDS 2 /* of a seed by other rules */

/* ---- our own choker ---- */

static void drain(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    uint32_t number;
    bool unchoked;
    while (sk_choker_next(node->choker, &number, &unchoked)) {
        if (unchoked)
            sk_swarm_unchoke(swarm, node->conns[number]);
        else
            sk_swarm_choke(swarm, node->conns[number]);
    }
}

/* What happened in the round. */
static void settle(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    for (uint32_t i = 0; i < node->open_count; i++) {
        struct sk_swarm_conn *conn = node->open[i], *back = conn->back;
        if (conn->took)
            sk_choker_took(node->choker, conn->number, conn->took, swarm->now_ns);
        conn->took = 0;
        if (!back)
            continue;
        if (back->gave)
            sk_choker_gave(node->choker, conn->number, back->gave, swarm->now_ns);
        back->gave = 0;
        sk_choker_waits(node->choker, conn->number, back->asked_count > 0, swarm->now_ns);
    }
}

/* ---- others' rules ---- */

static int compare(const void *a, const void *b)
{
    const struct sk_swarm_conn *x = *(struct sk_swarm_conn *const *)a;
    const struct sk_swarm_conn *y = *(struct sk_swarm_conn *const *)b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static double score(const struct sk_swarm *swarm, const struct sk_swarm_node *node,
                    struct sk_swarm_conn *conn)
{
    double waited = (double)(swarm->now_ns - conn->choke_ns);
    struct sk_swarm_conn *back = conn->back;
    if (!node->complete) {
        double gave = back ? (double)back->gave : 0;
        double before = conn->score > 0 && !isinf(conn->score) ? conn->score : 0;
        return before / 2 + gave;
    }
    /* Whose turn lasts stays; then who waits longest. */
    if (conn->unchoked)
        return waited < TURN_ROUNDS * node->style->round_s * 1e9 ? INFINITY : 0;
    return waited;
}

/* Those that are interested, the best first. */
static uint32_t rank(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->open_count; i++) {
        struct sk_swarm_conn *conn = node->open[i];
        conn->score = score(swarm, node, conn);
        conn->rank = sk_prng_u64(node->prng);
        conn->took = 0;
        if (conn->back)
            conn->back->gave = 0;
        if (conn->interested)
            swarm->scratch[count++] = conn;
    }
    if (count)
        qsort(swarm->scratch, count, sizeof *swarm->scratch, compare);
    return count;
}

static void set(struct sk_swarm *swarm, struct sk_swarm_conn *conn, bool unchoked)
{
    if (conn->unchoked == unchoked)
        return;
    conn->choke_ns = swarm->now_ns;
    if (unchoked)
        sk_swarm_unchoke(swarm, conn);
    else
        sk_swarm_choke(swarm, conn);
}

/* The best in all slots but one; in that, for some rounds, one of the others. */
static void choose(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    uint32_t count = rank(swarm, node);
    uint32_t best = node->complete ? node->style->slots : node->style->slots - 1;
    bool turn = node->rounds % OPTIMISTIC_ROUNDS == 0;
    struct sk_swarm_conn *optimistic = NULL;
    for (uint32_t i = best; i < count && !turn && !node->complete; i++)
        if (swarm->scratch[i]->optimistic)
            optimistic = swarm->scratch[i];
    if (!optimistic && count > best && !node->complete)
        optimistic = swarm->scratch[best + sk_prng_below(node->prng, count - best)];
    for (uint32_t i = 0; i < node->open_count; i++)
        node->open[i]->optimistic = node->open[i] == optimistic;
    /* First those that lose their slot: what they were asked for is free for the others. */
    for (uint32_t i = best; i < count; i++)
        if (swarm->scratch[i] != optimistic)
            set(swarm, swarm->scratch[i], false);
    for (uint32_t i = 0; i < SK_MIN(best, count); i++)
        set(swarm, swarm->scratch[i], true);
    if (optimistic)
        set(swarm, optimistic, true);
}

/* ---- both ---- */

/* Two that are complete have nothing for each other. */
static void close_idle(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    for (uint32_t i = node->open_count; i-- > 0;) {
        struct sk_swarm_conn *conn = node->open[i];
        if (node->complete && conn->back && conn->to->complete)
            sk_swarm_close(swarm, conn);
    }
}

static void on_round(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    node->rounds++;
    close_idle(swarm, node);
    if (node->truth.habit == SK_SWARM_SUPER_SEEDS)
        sk_swarm_show_more(swarm, node);
    if (node->choker) {
        settle(swarm, node);
        sk_choker_set_seeding(node->choker, node->complete);
        sk_choker_tick(node->choker, swarm->now_ns);
        drain(swarm, node);
    } else {
        choose(swarm, node);
    }
    sk_swarm_top_up(swarm, node);
    uint64_t next_ns = node->choker ? sk_choker_deadline(node->choker) : SK_TIME_NEVER;
    if (next_ns == SK_TIME_NEVER)
        next_ns = sk_swarm_in(swarm, node->style->round_s);
    sk_swarm_set_alarm(swarm, &node->round, next_ns);
}

int sk_swarm_choke_init(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    sk_swarm_init_alarm(&node->round, on_round, node);
    if (!node->style->own_choker)
        return 0;
    const struct sk_choker_config config = {
        .upload_limit_bytes_s = (uint64_t)node->truth.up_bytes_s,
        .seed = sk_prng_u64(node->prng),
    };
    int err = sk_choker_new(&config, swarm->now_ns, &node->choker);
    if (!err && node->complete)
        sk_choker_set_seeding(node->choker, true);
    return err;
}

void sk_swarm_choke_add(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *node = conn->from;
    conn->interested = conn->optimistic = false;
    conn->choke_ns = swarm->now_ns;
    /* The choker's rounds begin with its first peer, everybody's at another time. */
    bool first = node->open_count == 1;
    double phase_s = first ? sk_prng_unit(node->prng) * node->style->round_s : 0;
    uint64_t phase_ns = (uint64_t)(phase_s * 1e9);
    if (node->choker && sk_choker_add(node->choker, conn->number, swarm->now_ns - phase_ns))
        sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
    else if (first)
        sk_swarm_set_alarm(swarm, &node->round,
                           sk_swarm_in(swarm, node->style->round_s) - phase_ns);
}

void sk_swarm_choke_remove(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    conn->interested = conn->unchoked = false;
    if (!conn->from->choker || swarm->err)
        return;
    sk_choker_remove(conn->from->choker, conn->number, swarm->now_ns);
    drain(swarm, conn->from);
}

static uint32_t count_unchoked(const struct sk_swarm_node *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->open_count; i++)
        count += node->open[i]->unchoked;
    return count;
}

void sk_swarm_interest(struct sk_swarm *swarm, struct sk_swarm_conn *conn, bool interested)
{
    struct sk_swarm_node *node = conn->from;
    if (conn->interested == interested || swarm->err || conn->to->passive)
        return;
    conn->interested = interested;
    if (node->choker) {
        sk_choker_interested(node->choker, conn->number, interested, swarm->now_ns);
        drain(swarm, node);
    } else if (!interested) {
        set(swarm, conn, false);
    } else if (count_unchoked(node) < node->style->slots) {
        set(swarm, conn, true);
    }
}
