#include "sim/pool.h"

#include "base/assert.h"
#include "base/mem.h"

#define SLAB_SIZE (256u << 10)

static const size_t sizes[SK_SIM_POOL_SIZES] = {128, 320, 640, SK_SIM_DATAGRAM_MAX};

struct sk_sim_slab {
    struct sk_sim_slab *next;
    _Alignas(16) uint8_t space[];
};

void sk_sim_pool_deinit(struct sk_sim_pool *pool)
{
    while (pool->slabs) {
        struct sk_sim_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        sk_mem_free(slab);
    }
    *pool = (struct sk_sim_pool){0};
}

static void add_slab(struct sk_sim_pool *pool, uint8_t kind)
{
    struct sk_sim_slab *slab = sk_mem_alloc(SLAB_SIZE);
    SK_ASSERT(slab);
    slab->next = pool->slabs;
    pool->slabs = slab;
    size_t step = (sizeof(struct sk_sim_datagram) + sizes[kind] + 15) / 16 * 16;
    size_t count = (SLAB_SIZE - sizeof *slab) / step;
    for (size_t i = 0; i < count; i++) {
        struct sk_sim_datagram *datagram = (struct sk_sim_datagram *)(slab->space + i * step);
        datagram->kind = kind;
        sk_sim_pool_give(pool, datagram);
    }
}

struct sk_sim_datagram *sk_sim_pool_take(struct sk_sim_pool *pool, struct sk_bytes bytes)
{
    SK_ASSERT(bytes.n <= SK_SIM_DATAGRAM_MAX);
    uint8_t kind = 0;
    while (bytes.n > sizes[kind])
        kind++;
    if (!pool->free[kind])
        add_slab(pool, kind);
    struct sk_sim_datagram *datagram = pool->free[kind];
    pool->free[kind] = datagram->next;
    datagram->size = (uint16_t)bytes.n;
    if (bytes.n)
        memcpy(datagram->bytes, bytes.p, bytes.n);
    return datagram;
}

void sk_sim_pool_give(struct sk_sim_pool *pool, struct sk_sim_datagram *datagram)
{
    datagram->next = pool->free[datagram->kind];
    pool->free[datagram->kind] = datagram;
}
