/*
 * Write tokens (BEP 5): a MAC over address and target with a secret that changes every five
 * minutes; those of the secret before are taken too. Layer: proto/dht. Sans-I/O, nothing is stored.
 *
 * The MAC is SipHash-2-4. The secrets are as good as the generator that they are drawn from: it
 * must be seeded from the system's entropy, and nothing else that it gives may be shown to
 * strangers (the state of a struct sk_prng follows from a few of its numbers).
 */
#ifndef SK_PROTO_DHT_TOKEN_H
#define SK_PROTO_DHT_TOKEN_H

#include "base/prng.h"
#include "wire/krpc.h"

#define SK_DHT_TOKEN_SIZE 8

struct sk_dht_tokens {
    uint8_t secret[2][16]; /* now, before */
    uint64_t changed_ns;
};

void sk_dht_tokens_init(struct sk_dht_tokens *tokens, struct sk_prng *prng, uint64_t now_ns);
/* Changes the secret when it is time: to be called before each sk_dht_tokens_make() and
 * ..._check(), so that a token is good for at least five minutes and less than ten. */
void sk_dht_tokens_turn(struct sk_dht_tokens *tokens, struct sk_prng *prng, uint64_t now_ns);
/* Bound to the IP address (not the port) and to the target. */
void sk_dht_tokens_make(const struct sk_dht_tokens *tokens, const struct sk_endpoint *endpoint,
                        const uint8_t target[SK_DHT_ID_SIZE], uint8_t ret_token[SK_DHT_TOKEN_SIZE]);
bool sk_dht_tokens_check(const struct sk_dht_tokens *tokens, const struct sk_endpoint *endpoint,
                         const uint8_t target[SK_DHT_ID_SIZE], struct sk_bytes token);

#endif
