#include "proto/dht/token.h"

#include "base/siphash.h"

#define TURN_NS (5 * 60 * UINT64_C(1000000000))

static uint64_t mac(const uint8_t secret[16], const struct sk_endpoint *endpoint,
                    const uint8_t target[SK_DHT_ID_SIZE])
{
    uint8_t said[40] = {0};
    memcpy(said, endpoint->addr, 16);
    memcpy(said + 16, target, SK_DHT_ID_SIZE);
    said[36] = endpoint->family;
    return sk_siphash(secret, said, sizeof said);
}

void sk_dht_tokens_init(struct sk_dht_tokens *tokens, struct sk_prng *prng, uint64_t now_ns)
{
    sk_prng_bytes(prng, tokens->secret, sizeof tokens->secret);
    tokens->changed_ns = now_ns;
}

void sk_dht_tokens_turn(struct sk_dht_tokens *tokens, struct sk_prng *prng, uint64_t now_ns)
{
    /* After a long sleep both secrets are old. */
    for (int i = 0; i < 2 && now_ns >= tokens->changed_ns + TURN_NS; i++) {
        memcpy(tokens->secret[1], tokens->secret[0], sizeof tokens->secret[0]);
        sk_prng_bytes(prng, tokens->secret[0], sizeof tokens->secret[0]);
        tokens->changed_ns = i == 0 ? tokens->changed_ns + TURN_NS : now_ns;
    }
}

void sk_dht_tokens_make(const struct sk_dht_tokens *tokens, const struct sk_endpoint *endpoint,
                        const uint8_t target[SK_DHT_ID_SIZE], uint8_t ret_token[SK_DHT_TOKEN_SIZE])
{
    sk_put_u64(ret_token, mac(tokens->secret[0], endpoint, target));
}

bool sk_dht_tokens_check(const struct sk_dht_tokens *tokens, const struct sk_endpoint *endpoint,
                         const uint8_t target[SK_DHT_ID_SIZE], struct sk_bytes token)
{
    if (token.n != SK_DHT_TOKEN_SIZE)
        return false;
    uint64_t said = sk_get_u64(token.p);
    /* Both are always computed and compared as words: the time taken tells nothing. */
    uint64_t now = said ^ mac(tokens->secret[0], endpoint, target);
    uint64_t before = said ^ mac(tokens->secret[1], endpoint, target);
    return (now == 0) | (before == 0);
}
