#include "proto/dht/table_nodes.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#define INDEX_MIN 16

/* ---- by address ---- */

struct sk_endpoint sk_dht_address_of(const struct sk_endpoint *endpoint)
{
    struct sk_endpoint address = *endpoint;
    if (sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC)
        return address;
    address.port = 0;
    memset(address.addr + 8, 0, 8);
    return address;
}

static uint32_t home_of(const struct sk_dht_nodes *nodes, const struct sk_endpoint *address)
{
    return (uint32_t)sk_endpoint_hash(address, nodes->seed) & (nodes->index_size - 1);
}

static uint32_t home_of_slot(const struct sk_dht_nodes *nodes, uint16_t slot)
{
    struct sk_endpoint address = sk_dht_address_of(&nodes->nodes[slot].contact.endpoint);
    return home_of(nodes, &address);
}

uint16_t sk_dht_nodes_at(const struct sk_dht_nodes *nodes, const struct sk_endpoint *address)
{
    if (!nodes->index_size)
        return SK_DHT_NO_SLOT;
    uint32_t mask = nodes->index_size - 1;
    for (uint32_t at = home_of(nodes, address);; at = (at + 1) & mask) {
        uint16_t slot = nodes->index[at];
        if (slot == SK_DHT_NO_SLOT)
            return slot;
        const struct sk_endpoint *other = &nodes->nodes[slot].contact.endpoint;
        if (memcmp(other->addr, address->addr, 8) != 0)
            continue; /* as it mostly ends; what an address counts as takes longer to find out */
        struct sk_endpoint counts_as = sk_dht_address_of(other);
        if (sk_endpoint_equal(&counts_as, address))
            return slot;
    }
}

/* The cell that holds this slot, or where it goes: a free one. */
static uint32_t index_cell(const struct sk_dht_nodes *nodes, uint16_t slot)
{
    uint32_t at = home_of_slot(nodes, slot);
    while (nodes->index[at] != slot && nodes->index[at] != SK_DHT_NO_SLOT)
        at = (at + 1) & (nodes->index_size - 1);
    return at;
}

/* Frees the cell, and moves up those behind it that it kept from their home. */
static void index_remove(struct sk_dht_nodes *nodes, uint16_t slot)
{
    uint32_t mask = nodes->index_size - 1;
    uint32_t hole = index_cell(nodes, slot);
    for (uint32_t at = (hole + 1) & mask; nodes->index[at] != SK_DHT_NO_SLOT;
         at = (at + 1) & mask) {
        uint32_t home = home_of_slot(nodes, nodes->index[at]);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        nodes->index[hole] = nodes->index[at];
        hole = at;
    }
    nodes->index[hole] = SK_DHT_NO_SLOT;
}

/* ---- by id ---- */

size_t sk_dht_nodes_rank(const struct sk_dht_nodes *nodes, const struct sk_dht_order *order,
                         const uint8_t id[SK_DHT_ID_SIZE])
{
    size_t from = 0, to = order->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        const struct sk_dht_entry *node = sk_dht_nodes_in(nodes, order, middle);
        if (sk_dht_compare(nodes->own_id, node->contact.id, id) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* How many share more than so many bits with our id. */
static size_t count_nearer(const struct sk_dht_nodes *nodes, const struct sk_dht_order *order,
                           unsigned bits)
{
    size_t from = 0, to = order->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        const struct sk_dht_entry *node = sk_dht_nodes_in(nodes, order, middle);
        if (sk_dht_nodes_shared(nodes, node->contact.id) > bits)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

struct sk_dht_span sk_dht_nodes_span(const struct sk_dht_nodes *nodes,
                                     const struct sk_dht_order *order, unsigned bucket,
                                     unsigned buckets)
{
    return (struct sk_dht_span){
        .from = bucket == buckets - 1 ? 0 : count_nearer(nodes, order, bucket),
        .to = bucket == 0 ? order->count : count_nearer(nodes, order, bucket - 1),
    };
}

static uint16_t order_find(const struct sk_dht_nodes *nodes, const struct sk_dht_order *order,
                           const uint8_t id[SK_DHT_ID_SIZE])
{
    size_t place = sk_dht_nodes_rank(nodes, order, id);
    if (place == order->count ||
        memcmp(sk_dht_nodes_in(nodes, order, place)->contact.id, id, SK_DHT_ID_SIZE) != 0)
        return SK_DHT_NO_SLOT;
    return order->slots[place];
}

uint16_t sk_dht_nodes_by_id(const struct sk_dht_nodes *nodes, const uint8_t id[SK_DHT_ID_SIZE])
{
    uint16_t slot = order_find(nodes, &nodes->entries, id);
    return slot != SK_DHT_NO_SLOT ? slot : order_find(nodes, &nodes->spares, id);
}

static struct sk_dht_order *order_of(struct sk_dht_nodes *nodes, const struct sk_dht_entry *node)
{
    return node->spare ? &nodes->spares : &nodes->entries;
}

/* ---- coming and going ---- */

uint16_t sk_dht_nodes_add(struct sk_dht_nodes *nodes, const struct sk_dht_entry *node)
{
    struct sk_dht_order *order = order_of(nodes, node);
    size_t place = sk_dht_nodes_rank(nodes, order, node->contact.id);
    memmove(order->slots + place + 1, order->slots + place,
            (order->count - place) * sizeof *order->slots);
    uint16_t slot = nodes->count++;
    order->slots[place] = slot;
    order->count++;
    nodes->nodes[slot] = *node;
    nodes->index[index_cell(nodes, slot)] = slot;
    return slot;
}

void sk_dht_nodes_remove(struct sk_dht_nodes *nodes, uint16_t slot)
{
    const struct sk_dht_entry *node = &nodes->nodes[slot];
    struct sk_dht_order *order = order_of(nodes, node);
    size_t place = sk_dht_nodes_rank(nodes, order, node->contact.id);
    order->count--;
    memmove(order->slots + place, order->slots + place + 1,
            (order->count - place) * sizeof *order->slots);
    index_remove(nodes, slot);
    uint16_t last = --nodes->count;
    if (slot == last)
        return;
    const struct sk_dht_entry *moved = &nodes->nodes[last];
    order = order_of(nodes, moved);
    order->slots[sk_dht_nodes_rank(nodes, order, moved->contact.id)] = slot;
    nodes->index[index_cell(nodes, last)] = slot;
    nodes->nodes[slot] = *moved;
}

static bool reserve_order(struct sk_dht_order *order)
{
    if (order->count < order->capacity)
        return true;
    uint16_t capacity = (uint16_t)(order->capacity + order->capacity / 4 + 8);
    uint16_t *slots = sk_mem_realloc(order->slots, capacity, sizeof *slots);
    if (!slots)
        return false;
    order->slots = slots;
    order->capacity = capacity;
    return true;
}

static bool reserve_index(struct sk_dht_nodes *nodes)
{
    if ((nodes->count + 1u) * 4 <= nodes->index_size * 3)
        return true;
    uint32_t size = nodes->index_size ? nodes->index_size * 2 : INDEX_MIN;
    uint16_t *index = sk_mem_alloc(size * sizeof *index);
    if (!index)
        return false;
    memset(index, 0xff, size * sizeof *index);
    sk_mem_free(nodes->index);
    nodes->index = index;
    nodes->index_size = size;
    for (uint16_t slot = 0; slot < nodes->count; slot++)
        index[index_cell(nodes, slot)] = slot;
    return true;
}

static bool reserve_nodes(struct sk_dht_nodes *nodes)
{
    if (nodes->count < nodes->capacity)
        return true;
    uint16_t capacity = (uint16_t)(nodes->capacity + nodes->capacity / 8 + 8);
    struct sk_dht_entry *more = sk_mem_realloc(nodes->nodes, capacity, sizeof *more);
    if (!more)
        return false;
    nodes->nodes = more;
    nodes->capacity = capacity;
    return true;
}

int sk_dht_nodes_reserve(struct sk_dht_nodes *nodes, bool spare)
{
    bool done = reserve_nodes(nodes) && reserve_index(nodes) &&
                reserve_order(spare ? &nodes->spares : &nodes->entries);
    return done ? 0 : SKEP_ERR_NOMEM;
}

void sk_dht_nodes_deinit(struct sk_dht_nodes *nodes)
{
    sk_mem_free(nodes->nodes);
    sk_mem_free(nodes->entries.slots);
    sk_mem_free(nodes->spares.slots);
    sk_mem_free(nodes->index);
}

size_t sk_dht_nodes_bytes(const struct sk_dht_nodes *nodes)
{
    size_t places = nodes->entries.capacity + nodes->spares.capacity + nodes->index_size;
    return nodes->capacity * sizeof *nodes->nodes + places * sizeof(uint16_t);
}

/* ---- the closest ---- */

struct pick {
    uint64_t distance; /* its first 64 bits, which hardly ever are equal */
    uint16_t slot;
};

struct picks {
    const struct sk_dht_nodes *nodes;
    const uint8_t *target;
    uint64_t target_start;
    enum sk_dht_health health;
    uint64_t now_ns;
    size_t count, max;
    struct pick picks[SK_DHT_CLOSEST_MAX];
};

static bool is_nearer(const struct picks *picks, const struct pick *a, const struct pick *b)
{
    if (a->distance != b->distance)
        return a->distance < b->distance;
    const struct sk_dht_entry *nodes = picks->nodes->nodes;
    return sk_dht_compare(picks->target, nodes[a->slot].contact.id, nodes[b->slot].contact.id) < 0;
}

/* Puts it in its place among those from `first` on, if it is one of the nearest `max`. */
static void pick(struct picks *picks, size_t first, uint16_t slot)
{
    const struct sk_dht_entry *node = &picks->nodes->nodes[slot];
    if (sk_dht_entry_health(node, picks->now_ns) > picks->health)
        return;
    struct pick candidate = {.distance = sk_get_u64(node->contact.id) ^ picks->target_start,
                             .slot = slot};
    size_t at = picks->count;
    if (at == picks->max && !is_nearer(picks, &candidate, &picks->picks[--at]))
        return;
    picks->count = at + 1;
    for (; at > first && is_nearer(picks, &candidate, &picks->picks[at - 1]); at--)
        picks->picks[at] = picks->picks[at - 1];
    picks->picks[at] = candidate;
}

/* Beyond all distances where there is nobody at that place. */
static unsigned distance_at(const struct picks *picks, size_t place)
{
    const struct sk_dht_order *order = &picks->nodes->entries;
    if (place >= order->count) /* also before the first: it wraps */
        return SK_DHT_ID_BITS + 1;
    return sk_dht_distance(sk_dht_nodes_in(picks->nodes, order, place)->contact.id, picks->target);
}

/*
 * Those who share a prefix with the target stand together, around the place where it would stand;
 * then come those who share a bit less, all of them on one side, then the next, on this side or the
 * other. Each such group is nearer to the target than all that follow: choosing is only within one.
 */
static void pick_nearest(struct picks *picks)
{
    const struct sk_dht_order *order = &picks->nodes->entries;
    size_t right = sk_dht_nodes_rank(picks->nodes, order, picks->target), left = right - 1;
    unsigned left_distance = distance_at(picks, left), right_distance = distance_at(picks, right);
    while (picks->count < picks->max) {
        unsigned distance = SK_MIN(left_distance, right_distance);
        size_t first = picks->count;
        if (distance > SK_DHT_ID_BITS)
            return;
        for (; left_distance == distance; left_distance = distance_at(picks, left))
            pick(picks, first, order->slots[left--]);
        for (; right_distance == distance; right_distance = distance_at(picks, right))
            pick(picks, first, order->slots[right++]);
    }
}

size_t sk_dht_nodes_closest(const struct sk_dht_nodes *nodes, const uint8_t target[SK_DHT_ID_SIZE],
                            enum sk_dht_health health, uint64_t now_ns,
                            struct sk_dht_contact *ret_contacts, size_t max)
{
    struct picks picks;
    picks.nodes = nodes;
    picks.target = target;
    picks.target_start = sk_get_u64(target);
    picks.health = health;
    picks.now_ns = now_ns;
    picks.count = 0;
    picks.max = max;
    pick_nearest(&picks);
    for (size_t i = 0; i < picks.count; i++)
        ret_contacts[i] = nodes->nodes[picks.picks[i].slot].contact;
    return picks.count;
}

/* ---- whether it holds ---- */

static const char *order_fault(const struct sk_dht_nodes *nodes, const struct sk_dht_order *order)
{
    for (size_t i = 0; i < order->count; i++) {
        if (order->slots[i] >= nodes->count)
            return "an order names a node that is not there";
        const struct sk_dht_entry *node = sk_dht_nodes_in(nodes, order, i);
        if (node->spare != (order == &nodes->spares))
            return "a node is in the wrong order";
        if (i && sk_dht_compare(nodes->own_id, sk_dht_nodes_in(nodes, order, i - 1)->contact.id,
                                node->contact.id) >= 0)
            return "an order is none, or an id is in it twice";
        if (sk_dht_nodes_by_id(nodes, node->contact.id) != order->slots[i])
            return "an id is an entry and a spare";
        struct sk_endpoint address = sk_dht_address_of(&node->contact.endpoint);
        if (sk_dht_nodes_at(nodes, &address) != order->slots[i])
            return "an address has two nodes, or is not in the index";
    }
    return NULL;
}

const char *sk_dht_nodes_fault(const struct sk_dht_nodes *nodes)
{
    size_t indexed = 0;
    for (uint32_t i = 0; i < nodes->index_size; i++)
        indexed += nodes->index[i] != SK_DHT_NO_SLOT;
    if (indexed != nodes->count || nodes->count > nodes->capacity ||
        nodes->entries.count + nodes->spares.count != nodes->count)
        return "the counts do not agree";
    const char *fault = order_fault(nodes, &nodes->entries);
    return fault ? fault : order_fault(nodes, &nodes->spares);
}
