/*
 * Datagrams on their way, in buffers that are used again: a few sizes, one free list each.
 * Layer: sim. Memory: as many as were ever on their way at the same time.
 */
#ifndef SK_SIM_POOL_H
#define SK_SIM_POOL_H

#include "base/bytes.h"
#include "base/endpoint.h"

#define SK_SIM_DATAGRAM_MAX 1500
#define SK_SIM_POOL_SIZES 4

struct sk_sim_datagram {
    struct sk_sim_datagram *next; /* while it is free */
    struct sk_endpoint from;
    uint32_t to; /* host */
    uint16_t size;
    uint8_t kind; /* of buffer */
    uint8_t bytes[];
};

struct sk_sim_slab;

/* Zero-initialised it is empty. */
struct sk_sim_pool {
    struct sk_sim_datagram *free[SK_SIM_POOL_SIZES];
    struct sk_sim_slab *slabs;
};

void sk_sim_pool_deinit(struct sk_sim_pool *pool);
/* A datagram with a copy of the bytes (at most SK_SIM_DATAGRAM_MAX). */
struct sk_sim_datagram *sk_sim_pool_take(struct sk_sim_pool *pool, struct sk_bytes bytes);
void sk_sim_pool_give(struct sk_sim_pool *pool, struct sk_sim_datagram *datagram);

#endif
