#include "base/map.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

/* A slot is the value pointer (NULL = free) followed by the key. */
static size_t slot_size(const struct sk_map *map)
{
    return sizeof(void *) + (map->key_size + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
}

static uint8_t *slot_at(const struct sk_map *map, size_t i)
{
    return map->slots + i * slot_size(map);
}

static void *slot_value(const uint8_t *slot)
{
    void *value;
    memcpy(&value, slot, sizeof value);
    return value;
}

static void slot_set(const struct sk_map *map, uint8_t *slot, const void *key, void *value)
{
    memcpy(slot, &value, sizeof value);
    memcpy(slot + sizeof value, key, map->key_size);
}

uint64_t sk_hash_bytes(const void *p, size_t n, uint64_t seed)
{
    const uint8_t *bytes = p;
    uint64_t hash = sk_hash_mix(seed ^ n);
    for (; n >= 8; n -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = sk_hash_mix(hash ^ word);
    }
    uint64_t tail = 0;
    if (n)
        memcpy(&tail, bytes, n);
    return sk_hash_mix(hash ^ tail);
}

void sk_map_init(struct sk_map *map, size_t key_size, size_t max, uint64_t seed)
{
    *map = (struct sk_map){.key_size = (uint32_t)key_size, .max = max, .seed = seed};
}

void sk_map_deinit(struct sk_map *map)
{
    sk_mem_free(map->slots);
    map->slots = NULL;
    map->count = map->capacity = 0;
}

static size_t home(const struct sk_map *map, const void *key)
{
    return sk_hash_bytes(key, map->key_size, map->seed) & (map->capacity - 1);
}

/* The slot that holds the key, or the free one where it would go. */
static size_t find(const struct sk_map *map, const void *key)
{
    size_t i = home(map, key);
    for (;; i = (i + 1) & (map->capacity - 1)) {
        const uint8_t *slot = slot_at(map, i);
        if (!slot_value(slot) || memcmp(slot + sizeof(void *), key, map->key_size) == 0)
            return i;
    }
}

void *sk_map_get(const struct sk_map *map, const void *key)
{
    return map->capacity ? slot_value(slot_at(map, find(map, key))) : NULL;
}

static int grow(struct sk_map *map)
{
    struct sk_map bigger = *map;
    bigger.capacity = map->capacity ? map->capacity * 2 : 16;
    bigger.slots = sk_mem_calloc(bigger.capacity, slot_size(map));
    if (!bigger.slots)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < map->capacity; i++) {
        const uint8_t *slot = slot_at(map, i);
        if (slot_value(slot)) {
            const uint8_t *key = slot + sizeof(void *);
            slot_set(&bigger, slot_at(&bigger, find(&bigger, key)), key, slot_value(slot));
        }
    }
    sk_mem_free(map->slots);
    *map = bigger;
    return 0;
}

int sk_map_put(struct sk_map *map, const void *key, void *value)
{
    SK_ASSERT(value);
    if (map->capacity) {
        uint8_t *slot = slot_at(map, find(map, key));
        if (slot_value(slot)) {
            slot_set(map, slot, key, value);
            return 0;
        }
    }
    if (map->count >= map->max)
        return SKEP_ERR_LIMIT;
    if ((map->count + 1) * 4 > map->capacity * 3) {
        int err = grow(map);
        if (err)
            return err;
    }
    slot_set(map, slot_at(map, find(map, key)), key, value);
    map->count++;
    return 0;
}

void *sk_map_remove(struct sk_map *map, const void *key)
{
    if (!map->capacity)
        return NULL;
    size_t hole = find(map, key);
    void *value = slot_value(slot_at(map, hole));
    if (!value)
        return NULL;
    map->count--;
    size_t mask = map->capacity - 1;
    for (size_t i = (hole + 1) & mask; slot_value(slot_at(map, i)); i = (i + 1) & mask) {
        size_t want = home(map, slot_at(map, i) + sizeof(void *));
        if (((i - want) & mask) >= ((i - hole) & mask)) {
            memcpy(slot_at(map, hole), slot_at(map, i), slot_size(map));
            hole = i;
        }
    }
    memset(slot_at(map, hole), 0, slot_size(map));
    return value;
}

void *sk_map_next(const struct sk_map *map, size_t *pos)
{
    while (*pos < map->capacity) {
        void *value = slot_value(slot_at(map, (*pos)++));
        if (value)
            return value;
    }
    return NULL;
}
