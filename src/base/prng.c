#include "base/prng.h"

#include "base/assert.h"
#include "base/map.h"

#include <string.h>

void sk_prng_init(struct sk_prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        prng->s[i] = seed = sk_hash_mix(seed + (uint64_t)i);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t sk_prng_u64(struct sk_prng *prng)
{
    uint64_t *s = prng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t sk_prng_below(struct sk_prng *prng, uint64_t n)
{
    SK_ASSERT(n > 0);
    uint64_t skip = -n % n; /* the first values would make low results likelier */
    for (;;) {
        uint64_t x = sk_prng_u64(prng);
        if (x >= skip)
            return x % n;
    }
}

double sk_prng_unit(struct sk_prng *prng)
{
    return (double)(sk_prng_u64(prng) >> 11) * 0x1p-53;
}

void sk_prng_bytes(struct sk_prng *prng, void *p, size_t n)
{
    uint8_t *to = p;
    while (n) {
        uint64_t x = sk_prng_u64(prng);
        size_t part = n < sizeof x ? n : sizeof x;
        memcpy(to, &x, part);
        to += part;
        n -= part;
    }
}
