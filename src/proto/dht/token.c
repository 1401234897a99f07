#include "proto/dht/token.h"

#define TURN_NS (5 * 60 * UINT64_C(1000000000))

/* ---- SipHash-2-4 (Aumasson, Bernstein 2012): a MAC that is cheap for inputs of some words ---- */

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int count)
{
    while (count--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static uint64_t get_little(const uint8_t *p)
{
    return __builtin_bswap64(sk_get_u64(p));
}

/* `n` is a multiple of 8 below 256. */
static uint64_t sip_hash(const uint8_t key[16], const uint8_t *p, size_t n)
{
    uint64_t k0 = get_little(key), k1 = get_little(key + 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                     k1 ^ 0x7465646279746573};
    for (size_t i = 0; i <= n; i += 8) {
        uint64_t word = i < n ? get_little(p + i) : (uint64_t)n << 56;
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- tokens ---- */

static uint64_t mac(const uint8_t secret[16], const struct sk_endpoint *endpoint,
                    const uint8_t target[SK_DHT_ID_SIZE])
{
    uint8_t said[40] = {0};
    memcpy(said, endpoint->addr, 16);
    memcpy(said + 16, target, SK_DHT_ID_SIZE);
    said[36] = endpoint->family;
    return sip_hash(secret, said, sizeof said);
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
