/*
 * Who brought what is stored for others: one IP address, for IPv6 its /64, since whoever has one
 * address of that has them all. Layer: proto/dht.
 */
#ifndef SK_PROTO_DHT_OWNER_H
#define SK_PROTO_DHT_OWNER_H

#include "base/endpoint.h"
#include "base/heap.h"

#include <string.h>

#define SK_DHT_OWNER_KEY_SIZE 16

/* The half of an IPv6 address that counts, or an IPv4 address as IPv6 writes it. */
static inline void sk_dht_owner_key(const struct sk_endpoint *endpoint,
                                    uint8_t ret_key[SK_DHT_OWNER_KEY_SIZE])
{
    memset(ret_key, 0, SK_DHT_OWNER_KEY_SIZE);
    if (endpoint->family == SK_FAMILY_V6) {
        memcpy(ret_key, endpoint->addr, 8);
    } else {
        memset(ret_key + 10, 0xff, 2);
        memcpy(ret_key + 12, endpoint->addr, 4);
    }
}

/* A place in a heap: who has most comes first; of equals the one whose oldest thing ends first
 * (to a millisecond, within 49 days). Never SK_TIME_NEVER. */
static inline uint64_t sk_dht_owner_rank(uint32_t count, uint64_t end_ns)
{
    return (uint64_t)(UINT32_MAX - 1 - count) << 32 | (uint32_t)(end_ns >> 20);
}

#endif
