/*
 * The nodes of a routing table, entries and spares: found by address, and by id in the order of
 * their distance to ours. Layer: proto/dht. Internal to the table: who comes in is its business.
 *
 * In that order a bucket is a range, whatever their number: nothing moves when one splits. So are
 * those who share a prefix with any target.
 *
 * Memory: an entry, its place in the order (2 bytes) and in the index of addresses (3 to 5), with a
 * ninth of room to grow. Numbers of nodes ("slots") are valid until one is removed.
 */
#ifndef SK_PROTO_DHT_TABLE_NODES_H
#define SK_PROTO_DHT_TABLE_NODES_H

#include "proto/dht/table.h"

#define SK_DHT_NO_SLOT UINT16_MAX

struct sk_dht_order {
    uint16_t *slots; /* nearest to our id first */
    uint16_t count, capacity;
};

struct sk_dht_nodes {
    uint8_t own_id[SK_DHT_ID_SIZE];
    uint64_t seed;
    struct sk_dht_entry *nodes; /* in no order, without gaps */
    uint16_t count, capacity;
    struct sk_dht_order entries, spares;
    uint16_t *index; /* slots by address: open addressing, linear probing; NO_SLOT is free */
    uint32_t index_size;
};

struct sk_dht_span {
    size_t from, to; /* places in an order */
};

void sk_dht_nodes_deinit(struct sk_dht_nodes *nodes);
size_t sk_dht_nodes_bytes(const struct sk_dht_nodes *nodes);
/* Room for one more, there. SKEP_ERR_NOMEM. */
int sk_dht_nodes_reserve(struct sk_dht_nodes *nodes, bool spare);
/* There is room; nobody has its address or id. Returns its slot. */
uint16_t sk_dht_nodes_add(struct sk_dht_nodes *nodes, const struct sk_dht_entry *node);
/* The last slot becomes this one. */
void sk_dht_nodes_remove(struct sk_dht_nodes *nodes, uint16_t slot);

/* What an address counts as: public IPv4 addresses and IPv6 /64s are one, whatever the port. */
struct sk_endpoint sk_dht_address_of(const struct sk_endpoint *endpoint);
/* Who has this address (as above) or this id, entry or spare; NO_SLOT. */
uint16_t sk_dht_nodes_at(const struct sk_dht_nodes *nodes, const struct sk_endpoint *address);
uint16_t sk_dht_nodes_by_id(const struct sk_dht_nodes *nodes, const uint8_t id[SK_DHT_ID_SIZE]);
/* How many are nearer to us than this id. */
size_t sk_dht_nodes_rank(const struct sk_dht_nodes *nodes, const struct sk_dht_order *order,
                         const uint8_t id[SK_DHT_ID_SIZE]);
/* Who would be in this bucket if there were so many. */
struct sk_dht_span sk_dht_nodes_span(const struct sk_dht_nodes *nodes,
                                     const struct sk_dht_order *order, unsigned bucket,
                                     unsigned buckets);
/* The nearest to the target among the entries of this health or a better one, nearest first;
 * returns how many. `max` <= SK_DHT_CLOSEST_MAX. */
size_t sk_dht_nodes_closest(const struct sk_dht_nodes *nodes, const uint8_t target[SK_DHT_ID_SIZE],
                            enum sk_dht_health health, uint64_t now_ns,
                            struct sk_dht_contact *ret_contacts, size_t max);
/* NULL, or what is wrong. */
const char *sk_dht_nodes_fault(const struct sk_dht_nodes *nodes);

static inline struct sk_dht_entry *sk_dht_nodes_in(const struct sk_dht_nodes *nodes,
                                                   const struct sk_dht_order *order, size_t place)
{
    return &nodes->nodes[order->slots[place]];
}

/* Length of the prefix shared with our id. */
static inline unsigned sk_dht_nodes_shared(const struct sk_dht_nodes *nodes,
                                           const uint8_t id[SK_DHT_ID_SIZE])
{
    return SK_DHT_ID_BITS - sk_dht_distance(nodes->own_id, id);
}

#endif
