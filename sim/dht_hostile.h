/*
 * What hostile nodes of the DHT answer. Layer: sim.
 *
 * A hostile node is an ordinary one whose answers are changed on their way out. Pings and what it
 * asks are left alone: it wants to be in the tables of others.
 */
#ifndef SK_SIM_DHT_HOSTILE_H
#define SK_SIM_DHT_HOSTILE_H

#include "base/prng.h"
#include "wire/dht_item.h"
#include "wire/krpc.h"

enum sk_sim_kind {
    SK_SIM_HONEST,
    SK_SIM_SILENT,     /* answers pings only */
    SK_SIM_LIAR,       /* tells of nodes near the target that are not there */
    SK_SIM_ACCOMPLICE, /* tells only of hostile nodes, by their ids or by better ones */
    SK_SIM_FORGER,     /* gives values that are not true */
    SK_SIM_CROWD,      /* tells of dozens of nodes of one address */
    SK_SIM_SHIFTER,    /* has an id near whatever is asked for */
    SK_SIM_PLACED,     /* has an id beside an item, its address notwithstanding; hides the item */
    SK_SIM_FITTED,     /* the same with an id as near as its address lets it have (BEP 42) */
    SK_SIM_KIND_COUNT,
};

/* What hostile nodes know of each other and of the world. */
struct sk_sim_hostile {
    struct sk_prng *prng;
    const struct sk_dht_contact *accomplices;
    size_t accomplices_count;
    uint8_t seed[SK_SIGN_SEED_SIZE]; /* the key pair of forgers */
    uint8_t key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE];
};

/* Sets up the forgers' key pair. */
void sk_sim_hostile_init(struct sk_sim_hostile *hostile, struct sk_prng *prng);
const char *sk_sim_kind_name(enum sk_sim_kind kind);
/* SK_SIM_KIND_COUNT: no such name. */
enum sk_sim_kind sk_sim_kind_find(const char *name);
/* An id beside the target: any where `fitting` is NULL, else one that this address may have. */
void sk_sim_hostile_place(struct sk_sim_hostile *hostile, const uint8_t target[SK_DHT_ID_SIZE],
                          const struct sk_endpoint *fitting, uint8_t ret_id[SK_DHT_ID_SIZE]);
/* Writes what a node of this kind answers instead of `answer` to `query`; false: nothing. */
bool sk_sim_hostile_answer(struct sk_sim_hostile *hostile, enum sk_sim_kind kind,
                           struct sk_bytes query, struct sk_bytes answer, struct sk_buf *ret_buf);

#endif
