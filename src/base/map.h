/*
 * A hash table from fixed-size keys to pointers or indices: open addressing, linear probing,
 * power-of-two capacity, at most 3/4 full, tombstone-free deletion. Bounded by `max` entries.
 * The seed keeps strangers from choosing keys that collide.
 */
#ifndef SK_BASE_MAP_H
#define SK_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A good 64-bit finaliser (splitmix64). */
static inline uint64_t sk_hash_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Hash of n bytes. */
uint64_t sk_hash_bytes(const void *p, size_t n, uint64_t seed);

struct sk_map {
    uint8_t *slots; /* capacity * (1 + key_size + sizeof(void *)), see map.c */
    size_t count, capacity, max;
    uint32_t key_size;
    uint64_t seed;
};

void sk_map_init(struct sk_map *map, size_t key_size, size_t max, uint64_t seed);
void sk_map_deinit(struct sk_map *map);
/* The value stored under the key, or NULL. */
void *sk_map_get(const struct sk_map *map, const void *key);
/* Stores (or replaces); value must not be NULL. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT at `max`. */
int sk_map_put(struct sk_map *map, const void *key, void *value);
/* The value that was there, or NULL. */
void *sk_map_remove(struct sk_map *map, const void *key);
/* Walks all entries in no order: start with *pos = 0; NULL at the end. No changes meanwhile. */
void *sk_map_next(const struct sk_map *map, size_t *pos);

#endif
