/*
 * A routing table and nodes for it, for the tests of the table: whatever is done to it, it must not
 * be at fault afterwards.
 */
#ifndef SK_TESTS_DHT_TABLE_WORLD_H
#define SK_TESTS_DHT_TABLE_WORLD_H

#include "proto/dht/table.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)
#define MINUTE_NS (60 * SECOND_NS)
#define START_NS (100 * MINUTE_NS)

struct world {
    struct sk_prng prng;
    struct sk_dht_table *table;
    uint64_t now;
};

static void world_check(const struct world *world)
{
    const char *fault = sk_dht_table_fault(world->table);
    if (fault)
        fail_msg("%s", fault);
}

static void world_begin(struct world *world, enum sk_family family, bool ids_by_address)
{
    sk_prng_init(&world->prng, 1);
    world->now = START_NS;
    struct sk_dht_table_config config = {
        .family = family, .ids_by_address = ids_by_address, .prng = &world->prng};
    sk_prng_bytes(&world->prng, config.id, sizeof config.id);
    assert_int_equal(sk_dht_table_new(&config, world->now, &world->table), 0);
    assert_memory_equal(sk_dht_table_id(world->table), config.id, SK_DHT_ID_SIZE);
    world_check(world);
}

static void world_end(struct world *world)
{
    world_check(world);
    sk_dht_table_free(world->table);
}

/* A node whose id shares so many bits with ours, at a public address of its own for each number. */
static inline struct sk_dht_contact node_in(struct world *world, unsigned bits, uint32_t number)
{
    struct sk_dht_contact contact;
    uint8_t addr[16] = {0x2a, 0};
    sk_put_u32(addr + 4, number);
    contact.endpoint = sk_endpoint_v6(addr, 6881);
    sk_dht_id_beside(sk_dht_table_id(world->table), bits, &world->prng, contact.id);
    if (number < 1u << 24) {
        sk_put_u32(addr, 0x50000000u | number);
        contact.endpoint = sk_endpoint_v4(addr, 6881);
    }
    return contact;
}

/* The same anywhere in the network. */
static inline struct sk_dht_contact node_anywhere(struct world *world, uint32_t number)
{
    struct sk_dht_contact contact = node_in(world, 0, number);
    sk_prng_bytes(&world->prng, contact.id, sizeof contact.id);
    return contact;
}

static inline void move_to(struct sk_dht_contact *contact, const char *endpoint)
{
    assert_int_equal(sk_endpoint_parse(endpoint, 0, &contact->endpoint), 0);
}

static inline enum sk_dht_told answered(struct world *world, const struct sk_dht_contact *contact)
{
    enum sk_dht_told told = sk_dht_table_answered(world->table, contact, sk_bytes("SK01", 4),
                                                  50 * SECOND_NS / 1000, world->now);
    world_check(world);
    return told;
}

static inline void failed(struct world *world, const struct sk_dht_contact *contact)
{
    sk_dht_table_asked(world->table, contact, world->now);
    sk_dht_table_failed(world->table, contact, world->now);
    world_check(world);
}

static inline bool queried(struct world *world, const struct sk_dht_contact *contact)
{
    bool welcome = sk_dht_table_queried(world->table, contact, world->now);
    world_check(world);
    return welcome;
}

static inline const struct sk_dht_entry *entry_of(const struct world *world,
                                                  const struct sk_dht_contact *contact)
{
    const struct sk_dht_entry *entry = sk_dht_table_find(world->table, &contact->endpoint);
    return entry && memcmp(entry->contact.id, contact->id, SK_DHT_ID_SIZE) == 0 ? entry : NULL;
}

static inline enum sk_dht_health health_of(const struct world *world,
                                           const struct sk_dht_contact *contact)
{
    const struct sk_dht_entry *entry = entry_of(world, contact);
    assert_non_null(entry);
    return sk_dht_entry_health(entry, world->now);
}

static inline struct sk_dht_table_stats stats_of(const struct world *world)
{
    struct sk_dht_table_stats stats;
    sk_dht_table_stats(world->table, world->now, &stats);
    assert_int_equal(stats.good + stats.questionable + stats.bad, stats.entries);
    return stats;
}

static inline bool same_contact(const struct sk_dht_contact *a, const struct sk_dht_contact *b)
{
    return memcmp(a->id, b->id, SK_DHT_ID_SIZE) == 0 &&
           sk_endpoint_equal(&a->endpoint, &b->endpoint);
}

/* Eight in a bucket beside the last one, and one in the last: the first eight fill theirs only if
 * it is narrow (bits >= 4). */
static inline void fill_bucket(struct world *world, unsigned bits, unsigned count,
                               struct sk_dht_contact *ret_nodes)
{
    for (unsigned i = 0; i < count; i++) {
        ret_nodes[i] = node_in(world, bits, 1000 * bits + i);
        assert_int_equal(answered(world, &ret_nodes[i]), SK_DHT_TOLD_KEPT);
    }
}

#endif
