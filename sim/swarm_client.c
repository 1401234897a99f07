/* One client: how it begins, comes, goes, and begins anew. */
#include "sim/swarm_internal.h"

#include <math.h>
#include <stdio.h>

#define MBIT 125000.0       /* bytes */
#define CAPACITY_SPREAD 0.2 /* sd of the logarithm within a class */
#define CAPACITY_LEAST (0.5 * MBIT)
#define CAPACITY_MOST (20 * MBIT)
#define DOWN_LEAST 4.0 /* times the up limit */
#define DOWN_MOST 10.0
#define DOWN_SPREAD 0.5  /* sd of the logarithm, where demand is given */
#define BEGUN_MOST 0.8   /* share of the pieces */
#define WASTE_MOST 0.035 /* blocks fetched twice, of all; more where it is the median */
#define SAME_IP 20       /* one in so many shares the address of the one before */
#define LEAVES_WITHIN_S 60.0
#define AWAY_LEAST_S 5.0 /* while it restarts */
#define AWAY_MOST_S 60.0
#define CRASHES 0.5 /* share of restarts without a word to the tracker */
#define TOP_UP_NS (60 * SK_SECOND_NS)

static const struct {
    double mbit, share;
} classes[] = {{0.5, 0.2}, {1, 0.2}, {2, 0.25}, {5, 0.2}, {10, 0.1}, {20, 0.05}};

static const struct sk_swarm_style styles[] = {
    {"skep 0.1.0", "-SK0100-", true, 0, 10, SK_SWARM_RAREST, false, true, false, false},
    {"qBittorrent/4.6.0", "-qB4600-", false, 8, 15, SK_SWARM_RAREST, true, true, true, true},
    {"Transmission 4.0.5", "-TR4050-", false, 8, 10, SK_SWARM_RANDOM, false, true, true, false},
    {"aria2/1.36.0", "A2-1-36-", false, 4, 10, SK_SWARM_RAREST, false, false, false, false},
    {"StreamTorrent 1.0", "-ST1000-", false, 5, 5, SK_SWARM_IN_ORDER, true, false, false, false},
};

/* ---- how it is made ---- */

static double draw_up(struct sk_swarm *swarm, bool seed)
{
    double drawn = sk_prng_unit(&swarm->prng), mbit = classes[SK_ARRAY_LEN(classes) - 1].mbit;
    for (size_t i = 0; i < SK_ARRAY_LEN(classes) && !seed; i++) {
        mbit = classes[i].mbit;
        if ((drawn -= classes[i].share) < 0)
            break;
    }
    double up = mbit * MBIT * exp(CAPACITY_SPREAD * sk_swarm_normal(&swarm->prng));
    return fmin(fmax(up, CAPACITY_LEAST), CAPACITY_MOST);
}

static double draw_down(struct sk_swarm *swarm, double up_bytes_s)
{
    double times = DOWN_LEAST + (DOWN_MOST - DOWN_LEAST) * sk_prng_unit(&swarm->prng);
    if (swarm->config.demand <= 0)
        return times * up_bytes_s;
    /* Scaled once all are there. */
    return swarm->down_mean_bytes_s * exp(DOWN_SPREAD * sk_swarm_normal(&swarm->prng));
}

void sk_swarm_set_down(struct sk_swarm_node *node, double down_bytes_s)
{
    node->truth.down_bytes_s = down_bytes_s;
    node->down_ns_byte = 1e9 / down_bytes_s;
}

static enum sk_swarm_habit draw_habit(struct sk_swarm *swarm, bool seed)
{
    double drawn = sk_prng_unit(&swarm->prng_tell);
    for (int i = SK_SWARM_PLAIN + 1; i < SK_SWARM_HABIT_COUNT; i++) {
        /* What only seeds do, and what only leechers do. */
        bool fits = i == SK_SWARM_LAZY_BITFIELD || (i == SK_SWARM_SUPER_SEEDS) == seed;
        if (fits && (drawn -= swarm->config.habits[i]) < 0)
            return (enum sk_swarm_habit)i;
    }
    return SK_SWARM_PLAIN;
}

static struct sk_endpoint draw_endpoint(struct sk_swarm *swarm, uint32_t number)
{
    const struct sk_endpoint *before = number ? &swarm->nodes[number - 1]->truth.endpoint : NULL;
    if (before && sk_prng_below(&swarm->prng_tell, SAME_IP) == 0)
        return sk_endpoint_v4(before->addr, (uint16_t)(before->port + 1));
    /* 80.0.0.0/8 on: each number another address. */
    const uint8_t addr[4] = {(uint8_t)(80 + (number >> 16)), (uint8_t)(number >> 8),
                             (uint8_t)number, (uint8_t)(1 + sk_prng_below(&swarm->prng_tell, 250))};
    return sk_endpoint_v4(addr, (uint16_t)(6881 + sk_prng_below(&swarm->prng_tell, 1000)));
}

static void draw_peer_id(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    sk_prng_bytes(&swarm->prng_tell, node->truth.peer_id, sizeof node->truth.peer_id);
    memcpy(node->truth.peer_id, node->style->peer_id, 8);
    node->key = (uint32_t)sk_prng_u64(&swarm->prng_tell);
}

int sk_swarm_make_sets(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    node->have = sk_mem_calloc(4 * (size_t)swarm->words, sizeof *node->have);
    node->rarity = sk_mem_calloc(2 * (size_t)swarm->config.pieces, sizeof *node->rarity);
    if (!node->have || !node->rarity)
        return SKEP_ERR_NOMEM;
    node->told = node->have + swarm->words;
    node->missing = node->told + swarm->words;
    node->probed = node->missing + swarm->words;
    node->partial_of = node->rarity + swarm->config.pieces;
    return 0;
}

void sk_swarm_begin_with(struct sk_swarm *swarm, struct sk_swarm_node *node, double share,
                         struct sk_prng *prng)
{
    uint32_t pieces = swarm->config.pieces;
    memset(node->have, 0, 3 * (size_t)swarm->words * sizeof *node->have);
    node->truth.held = 0;
    for (uint32_t p = 0; p < pieces; p++) {
        bool has = sk_prng_unit(prng) < share;
        node->truth.held += has;
        sk_swarm_bit_set(has ? node->have : node->missing, p);
    }
    memcpy(node->told, node->have, swarm->words * sizeof *node->told);
    node->missing_count = pieces - node->truth.held;
    node->truth.begun = node->truth.held;
    node->complete = node->missing_count == 0;
}

static void draw(struct sk_swarm *swarm, struct sk_swarm_node *node, bool seed, bool begun)
{
    const struct sk_swarm_config *config = &swarm->config;
    struct sk_swarm_client *truth = &node->truth;
    bool other = sk_prng_unit(&swarm->prng) < config->other_clients;
    size_t style = other ? 1 + sk_prng_below(&swarm->prng, SK_ARRAY_LEN(styles) - 1) : 0;
    node->style = &styles[style];
    truth->seed = seed;
    truth->up_bytes_s = draw_up(swarm, seed);
    node->up_ns_byte = 1e9 / truth->up_bytes_s;
    sk_swarm_set_down(node, draw_down(swarm, truth->up_bytes_s));
    node->half_rtt_s = config->rtt_s / 2 * exp(0.5 * sk_swarm_normal(&swarm->prng) - 0.125);
    double share = sk_prng_unit(&swarm->prng) * BEGUN_MOST;
    sk_swarm_begin_with(swarm, node, seed ? 1 : begun ? share : 0, node->prng);
    truth->watched = sk_prng_unit(&swarm->prng) < config->watched_share;
    truth->habit = draw_habit(swarm, seed);
    truth->endpoint = draw_endpoint(swarm, node->number);
    draw_peer_id(swarm, node);
    node->waste = config->waste;
    if (config->waste_spread > 0)
        node->waste *= exp(config->waste_spread * sk_swarm_normal(&swarm->prng));
    node->waste = SK_MIN(node->waste, SK_MAX(config->waste, WASTE_MOST));
    truth->partner = node->number;
    truth->left_s = INFINITY;
    node->measured_bytes_s =
        truth->up_bytes_s * exp(config->capacity_error * sk_swarm_normal(&swarm->prng_tell));
    if (config->capacity_unknown > 0 && sk_prng_unit(&swarm->prng_tell) < config->capacity_unknown)
        node->measured_bytes_s = NAN;
}

static void on_life(struct sk_swarm *swarm, void *owner);

int sk_swarm_node_new(struct sk_swarm *swarm, bool seed, bool begun,
                      struct sk_swarm_node **ret_node)
{
    struct sk_swarm_node *node = sk_mem_calloc(1, sizeof *node);
    if (!node)
        return SKEP_ERR_NOMEM;
    node->number = swarm->count;
    node->prng = &swarm->prng;
    int err = sk_swarm_make_sets(swarm, node);
    if (!err) {
        draw(swarm, node, seed, begun);
        sk_swarm_trade_init(swarm, node);
        sk_swarm_watch_init(swarm, node);
        sk_swarm_report_init(swarm, node);
        sk_swarm_init_alarm(&node->tell, NULL, node);
        sk_swarm_init_alarm(&node->life, on_life, node);
        err = sk_swarm_choke_init(swarm, node);
    }
    if (err) {
        sk_swarm_node_free(swarm, node);
        return err;
    }
    *ret_node = node;
    return 0;
}

void sk_swarm_node_free(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (!node)
        return;
    for (uint32_t i = 0; i < node->conns_count; i++) {
        sk_mem_free(node->conns[i]->shown);
        sk_mem_free(node->conns[i]);
    }
    sk_mem_free(node->conns);
    sk_mem_free(node->open);
    sk_mem_free(node->have);
    sk_mem_free(node->rarity);
    sk_mem_free(node->partials);
    sk_mem_free(node->blocks);
    sk_mem_free(node->tells);
    sk_choker_free(node->choker);
    sk_mem_free(node);
}

/* ---- coming ---- */

static struct sk_swarm_node *draw_other(struct sk_swarm *swarm)
{
    return swarm->nodes[sk_prng_below(&swarm->prng, swarm->count)];
}

static void connect_to(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t count)
{
    /* Most draws hit; those that do not are not tried for ever. */
    for (uint32_t tries = 0; count && tries < 8 * swarm->config.degree && !swarm->err; tries++) {
        struct sk_swarm_node *other = draw_other(swarm);
        uint32_t before = node->open_count;
        if (other->online)
            sk_swarm_connect(swarm, node, other);
        count -= node->open_count > before;
    }
}

/* Once a minute, where many have gone. */
void sk_swarm_top_up(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (swarm->now_ns < node->topped_ns + TOP_UP_NS)
        return;
    node->topped_ns = swarm->now_ns;
    if (node->open_count < swarm->config.degree)
        connect_to(swarm, node, swarm->config.degree - node->open_count);
}

static void plan_restart(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (swarm->config.restart_per_hour > 0)
        sk_swarm_set_alarm(
            swarm, &node->life,
            sk_swarm_in(swarm,
                        sk_swarm_exponential(node->prng, 3600 / swarm->config.restart_per_hour)));
}

static void come(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    node->online = true;
    node->topped_ns = swarm->now_ns;
    plan_restart(swarm, node);
    sk_swarm_report_start(swarm, node);
    sk_swarm_watch(swarm, node);
}

void sk_swarm_join(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    node->truth.joined_s = (double)(swarm->now_ns - SK_SWARM_START_NS) / 1e9;
    come(swarm, node);
    connect_to(swarm, node, swarm->config.degree);
}

/* ---- going ---- */

static void part(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    node->online = false;
    sk_swarm_unwatch(swarm, node);
    while (node->open_count)
        sk_swarm_close(swarm, node->open[node->open_count - 1]);
    sk_heap_remove(&swarm->heap, &node->round.timer);
    sk_heap_remove(&swarm->heap, &node->tell.timer);
    node->tells_count = 0;
    memcpy(node->told, node->have, swarm->words * sizeof *node->told);
}

static void leave(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    sk_swarm_report_stop(swarm, node, true);
    part(swarm, node);
    node->truth.left_s = (double)(swarm->now_ns - SK_SWARM_START_NS) / 1e9;
}

static void restart(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    sk_swarm_report_stop(swarm, node, sk_prng_unit(&swarm->prng_tell) >= CRASHES);
    part(swarm, node);
    double away_s = AWAY_LEAST_S + (AWAY_MOST_S - AWAY_LEAST_S) * sk_prng_unit(node->prng);
    sk_swarm_set_alarm(swarm, &node->life, sk_swarm_in(swarm, away_s));
}

/* Is there again: the same connections as far as the others are, under another peer id. */
static void come_again(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    draw_peer_id(swarm, node);
    come(swarm, node);
    for (uint32_t i = 0; i < node->conns_count && !swarm->err; i++)
        if (node->conns[i]->to->online && node->conns[i]->back)
            sk_swarm_connect(swarm, node, node->conns[i]->to);
}

static void on_life(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    if (!node->online)
        come_again(swarm, node);
    else if (node->leaves)
        leave(swarm, node);
    else
        restart(swarm, node);
}

void sk_swarm_done(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    node->complete = true;
    sk_swarm_saw_done(swarm, node);
    sk_swarm_report_done(swarm, node);
    node->leaves = sk_prng_unit(node->prng) < swarm->config.leave_done;
    if (node->leaves)
        sk_swarm_set_alarm(swarm, &node->life,
                           sk_swarm_in(swarm, sk_prng_unit(node->prng) * LEAVES_WITHIN_S));
}
