#include "proto/dht/known.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

#include <string.h>

#define CHUNK 4096u
#define SLOTS_MIN 1024u

static size_t addr_size(const struct sk_dht_known *known)
{
    return known->family == SK_FAMILY_V6 ? 16 : 4;
}

void sk_dht_known_init(struct sk_dht_known *known, enum sk_family family, uint32_t max,
                       uint64_t seed)
{
    *known = (struct sk_dht_known){.family = family, .max = max, .seed = seed};
    size_t size = offsetof(struct sk_dht_known_node, addr) + addr_size(known);
    size_t align = _Alignof(struct sk_dht_known_node);
    known->stride = (uint32_t)((size + align - 1) / align * align);
}

void sk_dht_known_deinit(struct sk_dht_known *known)
{
    for (uint32_t i = 0; i < known->chunks_count; i++)
        sk_mem_free(known->chunks[i]);
    sk_mem_free(known->chunks);
    sk_mem_free(known->slots);
    known->chunks = NULL;
    known->slots = NULL;
    known->count = known->chunks_count = known->slots_count = 0;
}

struct sk_dht_known_node *sk_dht_known_at(const struct sk_dht_known *known, uint32_t number)
{
    SK_ASSERT(number < known->count);
    return (void *)(known->chunks[number / CHUNK] + (size_t)(number % CHUNK) * known->stride);
}

struct sk_dht_contact sk_dht_known_contact(const struct sk_dht_known *known, uint32_t number)
{
    const struct sk_dht_known_node *node = sk_dht_known_at(known, number);
    struct sk_dht_contact contact;
    memcpy(contact.id, node->id, SK_DHT_ID_SIZE);
    contact.endpoint = known->family == SK_FAMILY_V6 ? sk_endpoint_v6(node->addr, node->port)
                                                     : sk_endpoint_v4(node->addr, node->port);
    return contact;
}

bool sk_dht_known_changed(const struct sk_dht_known_node *node)
{
    if (node->state != SK_DHT_KNOWN_ALIVE)
        return false;
    return node->two_ids || node->told_other > 1 || (node->told_other == 1 && node->told_by == 1);
}

/* Nodes of one public IP address lie in one run of slots, so that they are counted on the way. */
static uint64_t place(const struct sk_dht_known *known, const struct sk_endpoint *endpoint)
{
    bool public = sk_endpoint_scope(endpoint) == SK_SCOPE_PUBLIC;
    uint64_t seed = public ? known->seed : known->seed ^ endpoint->port;
    bool whole = known->family == SK_FAMILY_V4 || !public;
    return sk_hash_bytes(endpoint->addr, whole ? addr_size(known) : 8, seed);
}

static bool same_network(const struct sk_dht_known *known, const struct sk_dht_known_node *node,
                         const struct sk_endpoint *endpoint)
{
    return !memcmp(node->addr, endpoint->addr, known->family == SK_FAMILY_V6 ? 8 : 4);
}

static bool same(const struct sk_dht_known *known, const struct sk_dht_known_node *node,
                 const struct sk_endpoint *endpoint)
{
    return node->port == endpoint->port && !memcmp(node->addr, endpoint->addr, addr_size(known));
}

static int grow_slots(struct sk_dht_known *known)
{
    uint32_t count = known->slots_count ? known->slots_count * 2 : SLOTS_MIN;
    uint32_t *slots = sk_mem_calloc(count, sizeof *slots);
    if (!slots)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < known->count; i++) {
        struct sk_dht_contact contact = sk_dht_known_contact(known, i);
        uint64_t slot = place(known, &contact.endpoint) & (count - 1);
        while (slots[slot])
            slot = (slot + 1) & (count - 1);
        slots[slot] = i + 1;
    }
    sk_mem_free(known->slots);
    known->slots = slots;
    known->slots_count = count;
    return 0;
}

static int grow_chunks(struct sk_dht_known *known)
{
    uint8_t **chunks =
        sk_mem_realloc(known->chunks, known->chunks_count + 1, sizeof *known->chunks);
    if (!chunks)
        return SKEP_ERR_NOMEM;
    known->chunks = chunks;
    chunks[known->chunks_count] = sk_mem_alloc((size_t)CHUNK * known->stride);
    if (!chunks[known->chunks_count])
        return SKEP_ERR_NOMEM;
    known->chunks_count++;
    return 0;
}

/* Where it is, or would come; `ret_neighbours`: how many of its network were seen on the way. */
static uint64_t probe(const struct sk_dht_known *known, const struct sk_endpoint *endpoint,
                      unsigned *ret_neighbours)
{
    unsigned neighbours = 0;
    uint64_t slot = place(known, endpoint) & (known->slots_count - 1);
    for (; known->slots[slot]; slot = (slot + 1) & (known->slots_count - 1)) {
        const struct sk_dht_known_node *node = sk_dht_known_at(known, known->slots[slot] - 1);
        if (same(known, node, endpoint))
            break;
        neighbours += same_network(known, node, endpoint);
    }
    *ret_neighbours = neighbours;
    return slot;
}

bool sk_dht_known_find(const struct sk_dht_known *known, const struct sk_endpoint *endpoint,
                       uint32_t *ret_number)
{
    unsigned neighbours;
    uint32_t found = known->slots ? known->slots[probe(known, endpoint, &neighbours)] : 0;
    if (!found)
        return false;
    *ret_number = found - 1;
    return true;
}

int sk_dht_known_add(struct sk_dht_known *known, const struct sk_dht_contact *contact,
                     uint32_t *ret_number)
{
    const struct sk_endpoint *endpoint = &contact->endpoint;
    if (known->count >= known->slots_count / 4 * 3) {
        int err = grow_slots(known);
        if (err)
            return err;
    }
    unsigned neighbours;
    uint64_t slot = probe(known, endpoint, &neighbours);
    if (known->slots[slot]) {
        *ret_number = known->slots[slot] - 1;
        return 0;
    }
    bool public = sk_endpoint_scope(endpoint) == SK_SCOPE_PUBLIC;
    if (known->count >= known->max || (public && neighbours >= SK_DHT_CRAWL_ADDRESS_NODES_MAX))
        return SKEP_ERR_LIMIT;
    if (known->count == known->chunks_count * CHUNK) {
        int err = grow_chunks(known);
        if (err)
            return err;
    }
    uint32_t number = known->count++;
    struct sk_dht_known_node *node = sk_dht_known_at(known, number);
    memset(node, 0, known->stride);
    memcpy(node->id, contact->id, SK_DHT_ID_SIZE);
    memcpy(node->addr, endpoint->addr, addr_size(known));
    node->port = endpoint->port;
    node->teller = SK_DHT_KNOWN_NOBODY;
    known->slots[slot] = number + 1;
    *ret_number = number;
    return 1;
}
