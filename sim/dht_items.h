/*
 * Items stored in a simulated network, and gets of them that are counted. Layer: sim.
 */
#ifndef SK_SIM_DHT_ITEMS_H
#define SK_SIM_DHT_ITEMS_H

#include "sim/dht_net.h"

struct sk_sim_item {
    char value[64]; /* bencoded */
    size_t value_size;
    bool is_mutable;
    uint8_t seed[SK_SIGN_SEED_SIZE], key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE];
    uint8_t target[SK_DHT_ID_SIZE];
};

struct sk_sim_items; /* owned */

/* `mutable_share` of them are mutable: dearer, as each answer's signature is looked at. */
struct sk_sim_items *sk_sim_items_new(struct sk_sim_dht *sim, uint32_t count, double mutable_share);
void sk_sim_items_free(struct sk_sim_items *items);
const struct sk_sim_item *sk_sim_items_at(const struct sk_sim_items *items, uint32_t i);

struct sk_sim_outcome {
    uint32_t count; /* searches */
    uint32_t done;  /* puts: that at least one node took; gets: with the true value */
    uint32_t wrong; /* gets: that were given another value */
    uint32_t gone;  /* gets: of items that no live honest node holds any more */
    double round_trips_median, round_trips_99, round_trips_most; /* of those that succeeded */
    double queries, messages;     /* a search, on average; messages: queries and answers */
    double steps;                 /* longest chain of nodes, on average */
    double unanswered;            /* of the queries; a get ends without waiting for all */
    double stored, stored_honest; /* puts: nodes that took it, on average */
};

/* The next searches that fail are told on stderr, step by step; so many of them. */
void sk_sim_items_explain(struct sk_sim_items *items, uint32_t count);
/* Puts each item from a node at random, or gets items in turn, `rate` searches a virtual second,
 * and lets time pass until all are over. Takes over the watch of the simulation. */
void sk_sim_items_put(struct sk_sim_items *items, double rate, struct sk_sim_outcome *ret_outcome);
void sk_sim_items_get(struct sk_sim_items *items, uint32_t count, double rate,
                      struct sk_sim_outcome *ret_outcome);

#endif
