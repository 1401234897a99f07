#include "sim/link.h"

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"

#define CAPACITY_FIRST 256

void sk_sim_link_init(struct sk_sim_link *link, const struct sk_sim_link_config *config)
{
    *link = (struct sk_sim_link){.config = *config};
    sk_prng_init(&link->prng, config->seed);
}

void sk_sim_link_deinit(struct sk_sim_link *link)
{
    sk_mem_free(link->items);
    *link = (struct sk_sim_link){0};
}

static struct sk_sim_link_item *item_at(const struct sk_sim_link *link, size_t i)
{
    return &link->items[(link->first + i) & (link->capacity - 1)];
}

static struct sk_sim_link_item *append(struct sk_sim_link *link)
{
    if (link->count == link->capacity) {
        size_t capacity = link->capacity ? link->capacity * 2 : CAPACITY_FIRST;
        struct sk_sim_link_item *items = sk_mem_calloc(capacity, sizeof *items);
        SK_ASSERT(items);
        for (size_t i = 0; i < link->count; i++)
            items[i] = *item_at(link, i);
        sk_mem_free(link->items);
        link->items = items;
        link->capacity = capacity;
        link->first = 0;
    }
    return item_at(link, link->count++);
}

/* When the link has sent it; 0: there is no room in the queue. */
static uint64_t pass_queue(struct sk_sim_link *link, size_t n, uint64_t now_ns)
{
    double rate = link->config.rate_bytes_s;
    uint64_t begin_ns = SK_MAX(link->free_ns, now_ns);
    if (rate <= 0)
        return now_ns;
    double waiting = (double)(begin_ns - now_ns) / 1e9 * rate;
    if (waiting + (double)n > link->config.queue_bytes)
        return 0;
    link->free_ns = begin_ns + (uint64_t)((double)n / rate * 1e9);
    return link->free_ns;
}

void sk_sim_link_send(struct sk_sim_link *link, uint32_t flow, const uint8_t *bytes, size_t n,
                      uint64_t now_ns)
{
    SK_ASSERT(n <= SK_SIM_LINK_DATAGRAM);
    uint64_t sent_ns = pass_queue(link, n + SK_SIM_LINK_OVERHEAD, now_ns);
    link->sent++;
    if (!sent_ns) {
        link->dropped++;
        return;
    }
    if (link->config.loss > 0 && sk_prng_unit(&link->prng) < link->config.loss) {
        link->lost++;
        return;
    }
    struct sk_sim_link_item *item = append(link);
    item->at_ns = sent_ns + link->config.delay_ns;
    item->flow = flow;
    item->n = (uint16_t)n;
    if (bytes)
        memcpy(item->bytes, bytes, n);
}

struct sk_sim_link_item *sk_sim_link_receive(struct sk_sim_link *link, uint64_t now_ns)
{
    struct sk_sim_link_item *item = link->count ? item_at(link, 0) : NULL;
    if (!item || item->at_ns > now_ns)
        return NULL;
    link->first = (link->first + 1) & (link->capacity - 1);
    link->count--;
    return item;
}

uint64_t sk_sim_link_next_ns(const struct sk_sim_link *link)
{
    return link->count ? item_at(link, 0)->at_ns : SK_TIME_NEVER;
}
