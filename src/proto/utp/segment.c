#include "proto/utp/segment.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"

#define KEPT_MAX 512
#define RING_LEAST 16 /* places; such a small one is kept when it is empty */

/* Payloads that buffers are made for: a request or a few, the smallest packet of a path, an
 * Ethernet frame. */
static const uint16_t sizes[SK_UTP_POOL_SIZES] = {108, 528, 1452};

void sk_utp_pool_deinit(struct sk_utp_pool *pool)
{
    for (int i = 0; i < SK_UTP_POOL_SIZES; i++) {
        while (pool->kept[i]) {
            struct sk_utp_segment *segment = pool->kept[i];
            pool->kept[i] = (struct sk_utp_segment *)segment->link.next;
            sk_mem_free(segment);
        }
    }
    *pool = (struct sk_utp_pool){0};
}

struct sk_utp_segment *sk_utp_pool_take(struct sk_utp_pool *pool, size_t capacity)
{
    uint8_t i = 0;
    while (i < SK_UTP_POOL_SIZES && sizes[i] < capacity)
        i++;
    struct sk_utp_segment *segment = i < SK_UTP_POOL_SIZES ? pool->kept[i] : NULL;
    size_t room = i < SK_UTP_POOL_SIZES ? sizes[i] : capacity;
    size_t cost = sizeof *segment + SK_UTP_HEADER_SIZE + room;
    if (segment) {
        pool->kept[i] = (struct sk_utp_segment *)segment->link.next;
        pool->kept_count[i]--;
    } else {
        segment = sk_mem_alloc(cost);
        if (!segment)
            return NULL;
        pool->bytes += cost;
    }
    *segment =
        (struct sk_utp_segment){.cost = (uint32_t)cost, .capacity = (uint16_t)capacity, .pool = i};
    sk_list_init(&segment->link);
    return segment;
}

void sk_utp_pool_give(struct sk_utp_pool *pool, struct sk_utp_segment *segment)
{
    if (!segment)
        return;
    uint8_t i = segment->pool;
    if (i < SK_UTP_POOL_SIZES && pool->kept_count[i] < KEPT_MAX) {
        segment->link.next = (struct sk_link *)pool->kept[i];
        pool->kept[i] = segment;
        pool->kept_count[i]++;
        return;
    }
    pool->bytes -= segment->cost;
    sk_mem_free(segment);
}

int sk_utp_ring_reserve(struct sk_utp_ring *ring, uint32_t span)
{
    uint32_t capacity = SK_MAX(ring->capacity, (uint32_t)RING_LEAST);
    SK_ASSERT(span <= SK_UTP_SPAN_MAX);
    while (capacity < span)
        capacity *= 2;
    if (capacity == ring->capacity)
        return 0;
    struct sk_utp_segment **slots = sk_mem_calloc(capacity, sizeof(void *));
    if (!slots)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < ring->capacity; i++)
        if (ring->slots[i])
            slots[ring->slots[i]->seq_nr & (capacity - 1)] = ring->slots[i];
    sk_mem_free(ring->slots);
    ring->slots = slots;
    ring->capacity = capacity;
    return 0;
}

void sk_utp_ring_put(struct sk_utp_ring *ring, struct sk_utp_segment *segment)
{
    struct sk_utp_segment **slot = &ring->slots[segment->seq_nr & (ring->capacity - 1)];
    SK_ASSERT(!*slot);
    *slot = segment;
    ring->count++;
}

static void ring_free(struct sk_utp_ring *ring)
{
    sk_mem_free(ring->slots);
    *ring = (struct sk_utp_ring){0};
}

void sk_utp_ring_remove(struct sk_utp_ring *ring, uint16_t seq_nr)
{
    ring->slots[seq_nr & (ring->capacity - 1)] = NULL;
    if (--ring->count == 0 && ring->capacity > RING_LEAST)
        ring_free(ring);
}

void sk_utp_ring_deinit(struct sk_utp_ring *ring, struct sk_utp_pool *pool)
{
    for (uint32_t i = 0; i < ring->capacity; i++)
        sk_utp_pool_give(pool, ring->slots[i]);
    ring_free(ring);
}
