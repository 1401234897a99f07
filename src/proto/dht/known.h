/*
 * The nodes that a walk knows (walk.h), found by address. Layer: proto/dht.
 *
 * A node is one address with port; it is numbered in the order in which it became known and stays.
 * Of one IP address (IPv6: one /64) SK_DHT_CRAWL_ADDRESS_NODES_MAX are taken, local addresses
 * excepted, so that telling of all ports of a host fills nothing.
 *
 * Memory: 48 bytes a node (IPv6: 60), and 6 to 11 of index.
 */
#ifndef SK_PROTO_DHT_KNOWN_H
#define SK_PROTO_DHT_KNOWN_H

#include "wire/krpc.h"

enum sk_dht_known_state {
    SK_DHT_KNOWN_NEW,    /* not asked, or being asked for the first time */
    SK_DHT_KNOWN_SILENT, /* asked, no answer yet */
    SK_DHT_KNOWN_ALIVE,  /* it answered */
};

#define SK_DHT_KNOWN_NOBODY UINT32_MAX

struct sk_dht_known_node {
    uint8_t id[SK_DHT_ID_SIZE]; /* as told; since it answered: as it says */
    char version[4];
    uint32_t teller;       /* number of the node that told of it first; SK_DHT_KNOWN_NOBODY */
    uint32_t rtt_us;       /* 0 unknown */
    uint16_t told_by;      /* distinct nodes; 65535: that or more */
    uint16_t told_other;   /* those of them that told another id */
    uint16_t claims;       /* nodes that this one told of first */
    uint16_t claims_alive; /* those of them that answered */
    uint16_t port;
    uint8_t state : 2; /* enum sk_dht_known_state */
    uint8_t tries : 2; /* times that it was asked before it answered */
    uint8_t entry : 1; /* known from our own table or searches: its id is no mere claim */
    uint8_t two_ids : 1;
    uint8_t id_fits : 1;  /* BEP 42; since it answered */
    uint8_t reported : 1; /* for whoever looks at the nodes of a walk */
    uint8_t addr[];       /* 4 or 16 bytes */
};

struct sk_dht_known {
    uint8_t **chunks;
    uint32_t *slots; /* number + 1; 0 free */
    uint32_t count, max, chunks_count, slots_count;
    uint32_t stride;
    enum sk_family family;
    uint64_t seed;
};

void sk_dht_known_init(struct sk_dht_known *known, enum sk_family family, uint32_t max,
                       uint64_t seed);
void sk_dht_known_deinit(struct sk_dht_known *known);
/* 0: it was there; 1: it is new, with this id; its number. SKEP_ERR_LIMIT (`max`, or too many of
 * that IP address), SKEP_ERR_NOMEM. */
int sk_dht_known_add(struct sk_dht_known *known, const struct sk_dht_contact *contact,
                     uint32_t *ret_number);
/* Whether it is there, and its number. */
bool sk_dht_known_find(const struct sk_dht_known *known, const struct sk_endpoint *endpoint,
                       uint32_t *ret_number);
/* The node of a number below `count`; it stays where it is. */
struct sk_dht_known_node *sk_dht_known_at(const struct sk_dht_known *known, uint32_t number);
struct sk_dht_contact sk_dht_known_contact(const struct sk_dht_known *known, uint32_t number);
/* Whether its id is not what it was told to be, or not what it was before. One teller's word does
 * not outweigh those who told the id that it has. */
bool sk_dht_known_changed(const struct sk_dht_known_node *node);

#endif
