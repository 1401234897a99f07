/*
 * A seeded generator (xoshiro256**), so that one seed gives one trace. Not for secrets: keys and
 * what a stranger must not guess start from a seed of the system's entropy.
 */
#ifndef SK_BASE_PRNG_H
#define SK_BASE_PRNG_H

#include <stddef.h>
#include <stdint.h>

struct sk_prng {
    uint64_t s[4];
};

void sk_prng_init(struct sk_prng *prng, uint64_t seed);
uint64_t sk_prng_u64(struct sk_prng *prng);
/* Uniform in [0, n), n > 0. */
uint64_t sk_prng_below(struct sk_prng *prng, uint64_t n);
/* Uniform in [0, 1). */
double sk_prng_unit(struct sk_prng *prng);
void sk_prng_bytes(struct sk_prng *prng, void *p, size_t n);

#endif
