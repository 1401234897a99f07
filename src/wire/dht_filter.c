#include "wire/dht_filter.h"

#include "base/assert.h"
#include "base/hash.h"

#include <math.h>

#define BITS (8 * SK_KRPC_FILTER_SIZE)
#define HASHES 2
/* BEP 33 takes no more addresses than this; then some 6 bits of 2,048 are still 0. */
#define ADDRESSES_MAX 6000

uint32_t sk_dht_filter_bits(const struct sk_endpoint *endpoint)
{
    uint8_t digest[SK_SHA1_SIZE];
    sk_sha1(endpoint->addr, endpoint->family == SK_FAMILY_V6 ? 16 : 4, digest);
    uint32_t first = (digest[0] | (uint32_t)digest[1] << 8) % BITS;
    uint32_t second = (digest[2] | (uint32_t)digest[3] << 8) % BITS;
    return second << 16 | first;
}

static bool has_bit(const struct sk_dht_filter *filter, uint32_t bit)
{
    return filter->bits[bit / 8] & 1u << bit % 8;
}

static void set_bit(struct sk_dht_filter *filter, uint32_t bit)
{
    filter->bits[bit / 8] |= (uint8_t)(1u << bit % 8);
}

void sk_dht_filter_set(struct sk_dht_filter *filter, uint32_t bits)
{
    set_bit(filter, bits & 0xffff);
    set_bit(filter, bits >> 16);
}

void sk_dht_filter_add(struct sk_dht_filter *filter, const struct sk_endpoint *endpoint)
{
    sk_dht_filter_set(filter, sk_dht_filter_bits(endpoint));
}

bool sk_dht_filter_has(const struct sk_dht_filter *filter, const struct sk_endpoint *endpoint)
{
    uint32_t bits = sk_dht_filter_bits(endpoint);
    return has_bit(filter, bits & 0xffff) && has_bit(filter, bits >> 16);
}

void sk_dht_filter_merge(struct sk_dht_filter *filter, const uint8_t other[SK_KRPC_FILTER_SIZE])
{
    for (size_t i = 0; i < SK_KRPC_FILTER_SIZE; i++)
        filter->bits[i] |= other[i];
}

double sk_dht_filter_estimate(const struct sk_dht_filter *filter)
{
    unsigned zeros = BITS;
    for (size_t i = 0; i < SK_KRPC_FILTER_SIZE; i++)
        zeros -= (unsigned)__builtin_popcount(filter->bits[i]);
    if (zeros == BITS)
        return 0;
    return log((double)SK_MAX(zeros, 1u) / BITS) / (HASHES * log(1 - 1.0 / BITS));
}

bool sk_dht_filter_full(const struct sk_dht_filter *filter)
{
    return sk_dht_filter_estimate(filter) > ADDRESSES_MAX;
}
