/*
 * A routing table's life as bytes: the first chooses the family and how ids are judged, then come
 * calls of four bytes: which, who, how (id, address, port), and how much time passes. After each
 * the table must not be at fault, what it gives must be in order and not bad, and no deadline must
 * stay in the past.
 */
#include "proto/dht/table.h"

#include "base/assert.h"
#include "base/heap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS_MAX 2000 /* of one input */

struct world {
    struct sk_prng prng;
    struct sk_dht_table *table;
    uint64_t now;
    bool v6;
};

/* One of 256 nodes: they crowd round our id, as those of a network do; 8 bits of how. */
static struct sk_dht_contact somebody(struct world *world, uint8_t who, uint8_t how)
{
    struct sk_dht_contact contact;
    uint8_t addr[16] = {world->v6 ? 0x2a : 80, [3] = who};
    uint8_t local[16] = {world->v6 ? 0xfd : 10, 1};
    unsigned bits = (unsigned)__builtin_ctz(who | 0x100) + (how & 8 ? 8 : 0);
    memcpy(contact.id, sk_dht_table_id(world->table), SK_DHT_ID_SIZE);
    contact.id[bits / 8] ^= (uint8_t)(0x80 >> bits % 8);
    contact.id[4] ^= who;
    contact.id[5] ^= how & 1; /* two ids of each */
    if (how & 4)
        memcpy(addr, local, sizeof addr);
    uint16_t port = (uint16_t)(how & 4 ? who : how & 2);
    contact.endpoint = world->v6 ? sk_endpoint_v6(addr, port) : sk_endpoint_v4(addr, port);
    if (how & 16)
        sk_dht_id_for_address(&contact.endpoint, &world->prng, contact.id);
    return contact;
}

static void check_closest(const struct world *world, const uint8_t *target, size_t max, bool good)
{
    struct sk_dht_contact given[SK_DHT_CLOSEST_MAX];
    size_t count = sk_dht_table_closest(world->table, target, good, world->now, given, max);
    SK_ASSERT(count <= max && count <= SK_DHT_CLOSEST_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct sk_dht_entry *entry = sk_dht_table_find(world->table, &given[i].endpoint);
        SK_ASSERT(entry && sk_dht_entry_health(entry, world->now) != SK_DHT_BAD);
        SK_ASSERT(!i || sk_dht_compare(target, given[i - 1].id, given[i].id) < 0);
    }
    struct sk_dht_table_stats stats;
    sk_dht_table_stats(world->table, world->now, &stats);
    SK_ASSERT(count == SK_MIN(stats.entries - stats.bad, SK_MIN(max, SK_DHT_CLOSEST_MAX)));
}

static void upkeep(struct world *world, bool answers)
{
    struct sk_dht_contact contact;
    uint8_t target[SK_DHT_ID_SIZE];
    struct sk_dht_table_stats stats;
    sk_dht_table_stats(world->table, world->now, &stats);
    for (uint32_t i = 0; sk_dht_table_next_ping(world->table, world->now, &contact); i++) {
        SK_ASSERT(i < stats.entries + stats.spares); /* a spare takes the place of one that fails */
        if (answers)
            sk_dht_table_answered(world->table, &contact, sk_bytes(NULL, 0), 1, world->now);
        else
            sk_dht_table_failed(world->table, &contact, world->now);
    }
    for (uint32_t i = 0; sk_dht_table_next_refresh(world->table, world->now, target); i++)
        SK_ASSERT(i <= stats.buckets);
    SK_ASSERT(sk_dht_table_deadline(world->table) > world->now);
}

static void call(struct world *world, const uint8_t *bytes)
{
    struct sk_dht_contact contact = somebody(world, bytes[1], bytes[2]);
    switch (bytes[0] % 8) {
    case 0:
    case 1:
        sk_dht_table_answered(world->table, &contact, sk_bytes(bytes, bytes[0] % 5), bytes[3],
                              world->now);
        break;
    case 2:
        sk_dht_table_queried(world->table, &contact, world->now);
        break;
    case 3:
        sk_dht_table_asked(world->table, &contact, world->now);
        break;
    case 4:
        sk_dht_table_failed(world->table, &contact, world->now);
        break;
    case 5:
        check_closest(world, contact.id, bytes[2] % 80, bytes[0] & 8);
        break;
    case 6:
        upkeep(world, bytes[0] & 8);
        break;
    case 7:
        if (bytes[0] > 240)
            SK_ASSERT(sk_dht_table_set_id(world->table, contact.id, world->now) == 0);
        break;
    }
    /* From nothing to a day. */
    world->now += (uint64_t)(bytes[3] & 31) << (bytes[3] >> 5) * 6;
    const char *fault = sk_dht_table_fault(world->table);
    SK_ASSERT(!fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {.now = 1};
    if (!size)
        return 0;
    sk_prng_init(&world.prng, data[0]);
    world.v6 = data[0] & 1;
    struct sk_dht_table_config config = {.family = world.v6 ? SK_FAMILY_V6 : SK_FAMILY_V4,
                                         .ids_by_address = data[0] & 2,
                                         .prng = &world.prng};
    sk_prng_bytes(&world.prng, config.id, sizeof config.id);
    SK_ASSERT(sk_dht_table_new(&config, world.now, &world.table) == 0);
    for (size_t at = 1; at + 4 <= size && at < 4 * CALLS_MAX; at += 4)
        call(&world, data + at);
    sk_dht_table_free(world.table);
    return 0;
}
