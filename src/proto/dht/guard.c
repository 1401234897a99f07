#include "proto/dht/guard.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "wire/krpc.h"

#define TICK_BITS 24 /* an address's clock ticks every 2^24 ns, 17 ms: two years in 32 bits */
#define TICK_S ((float)(1 << TICK_BITS) / 1e9f)
#define TICKS(seconds) ((uint32_t)((seconds)*UINT64_C(1000000000) >> TICK_BITS))

#define BAN_S 60
#define PROOF_TICKS TICKS(4 * 3600)
#define ALLOWANCE 4096.f  /* bytes for who has not proved its address, beyond the factor */
#define ALLOWANCE_S 600.f /* all of it is back after so long */
#define DROPPED_COST 0.5f /* of what a packet costs that is let through */
#define SLOTS_MIN 16      /* and at most 5/6 of the slots are taken */
#define SAMPLE 8          /* addresses that are compared when one has to go */
#define FREE UINT64_MAX   /* as the beginning of an IPv6 address it would be of multicast */

struct address {
    uint64_t key;    /* FREE: none */
    uint32_t seen;   /* in ticks: when `packets` and `spent` were true */
    uint32_t proved; /* in ticks: until */
    float packets;   /* that it may send; below 0 it is in debt, below -burst banned */
    float spent;     /* bytes of its allowance */
};

struct sk_dht_guard {
    struct sk_dht_guard_config config;
    struct address *slots; /* open addressing, linear probing */
    uint32_t capacity, count;
    uint32_t hand; /* where the next sample begins */
    double total;  /* packets that all together may send */
    uint64_t total_ns;
};

int sk_dht_guard_new(const struct sk_dht_guard_config *config, struct sk_dht_guard **ret_guard)
{
    struct sk_dht_guard *guard = sk_mem_calloc(1, sizeof *guard);
    if (!guard)
        return SKEP_ERR_NOMEM;
    guard->config = *config;
    guard->total = config->total_burst;
    *ret_guard = guard;
    return 0;
}

void sk_dht_guard_free(struct sk_dht_guard *guard)
{
    if (!guard)
        return;
    sk_mem_free(guard->slots);
    sk_mem_free(guard);
}

size_t sk_dht_guard_bytes(const struct sk_dht_guard *guard)
{
    return sizeof *guard + guard->capacity * sizeof *guard->slots;
}

/* ---- addresses ---- */

static bool is_local(const struct sk_endpoint *endpoint)
{
    return sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC;
}

/* An IPv4 address stands where an IPv6 /64 of multicast would. */
static uint64_t key_of(const struct sk_endpoint *endpoint)
{
    if (endpoint->family == SK_FAMILY_V4)
        return UINT64_C(0xff00000000000000) | sk_get_u32(endpoint->addr);
    return sk_get_u64(endpoint->addr);
}

static uint32_t ticks(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> TICK_BITS);
}

static uint32_t home_of(const struct sk_dht_guard *guard, uint64_t key)
{
    uint64_t hash = sk_hash_mix(key ^ guard->config.seed) >> 32;
    return (uint32_t)(hash * guard->capacity >> 32);
}

static uint32_t next_slot(const struct sk_dht_guard *guard, uint32_t at)
{
    return at + 1 == guard->capacity ? 0 : at + 1;
}

/* Where the address is or would be. */
static struct address *slot_of(const struct sk_dht_guard *guard, uint64_t key)
{
    uint32_t at = home_of(guard, key);
    while (guard->slots[at].key != key && guard->slots[at].key != FREE)
        at = next_slot(guard, at);
    return &guard->slots[at];
}

/* NULL where it is not known. */
static struct address *find(const struct sk_dht_guard *guard, uint64_t key)
{
    if (!guard->capacity)
        return NULL;
    struct address *address = slot_of(guard, key);
    return address->key == key ? address : NULL;
}

/* What was used up comes back with time. */
static struct address settled(const struct sk_dht_guard *guard, struct address address,
                              uint32_t now)
{
    if (now <= address.seen)
        return address;
    float seconds = (float)(now - address.seen) * TICK_S;
    float packets = address.packets + seconds * (float)guard->config.address_rate;
    float spent = address.spent - seconds * (ALLOWANCE / ALLOWANCE_S);
    address.packets = SK_MIN(packets, (float)guard->config.address_burst);
    address.spent = SK_MAX(spent, 0.f);
    address.seen = now;
    return address;
}

/* How much would be lost with it: 0 where it is as one that was never seen. */
static float worth(const struct sk_dht_guard *guard, const struct address *address, uint32_t now)
{
    struct address is = settled(guard, *address, now);
    float burst = (float)guard->config.address_burst;
    float used = burst > is.packets ? (burst - is.packets) / SK_MAX(burst, 1.f) : 0;
    return used + is.spent / ALLOWANCE + (now < is.proved ? 2.f : 0.f);
}

/* Frees the slot, and moves up those behind it that it kept from their home. */
static void forget(struct sk_dht_guard *guard, uint32_t hole)
{
    for (uint32_t at = next_slot(guard, hole); guard->slots[at].key != FREE;
         at = next_slot(guard, at)) {
        uint32_t home = home_of(guard, guard->slots[at].key);
        /* It stays if its home lies after the hole, up to where it is: going round. */
        if (hole <= at ? hole < home && home <= at : hole < home || home <= at)
            continue;
        guard->slots[hole] = guard->slots[at];
        hole = at;
    }
    guard->slots[hole].key = FREE;
    guard->count--;
}

static void make_room(struct sk_dht_guard *guard, uint32_t now)
{
    uint32_t victim = guard->capacity;
    float least = 0;
    for (int seen = 0; seen < SAMPLE && seen < (int)guard->count;) {
        guard->hand = next_slot(guard, guard->hand);
        const struct address *address = &guard->slots[guard->hand];
        if (address->key == FREE)
            continue;
        float is = worth(guard, address, now);
        if (seen++ == 0 || is < least) {
            least = is;
            victim = guard->hand;
        }
    }
    if (victim < guard->capacity)
        forget(guard, victim);
}

/* Slots for those who are not at rest and half as many more. */
static bool rebuild(struct sk_dht_guard *guard, uint32_t now)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < guard->capacity; i++)
        kept += guard->slots[i].key != FREE && worth(guard, &guard->slots[i], now) > 0;
    struct sk_dht_guard old = *guard;
    uint32_t capacity = kept + kept / 2 + SLOTS_MIN;
    struct address *slots = sk_mem_alloc(capacity * sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < capacity; i++)
        slots[i].key = FREE;
    guard->slots = slots;
    guard->capacity = capacity;
    guard->count = kept;
    guard->hand = 0;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.slots[i].key != FREE && worth(&old, &old.slots[i], now) > 0)
            *slot_of(guard, old.slots[i].key) = old.slots[i];
    sk_mem_free(old.slots);
    return true;
}

/* The address as it is now, if need be as a new one; NULL where there is no memory at all. */
static struct address *touch(struct sk_dht_guard *guard, uint64_t key, uint32_t now)
{
    struct address *address = find(guard, key);
    if (address) {
        *address = settled(guard, *address, now);
        return address;
    }
    bool tight = (guard->count + 1) * 6 > guard->capacity * 5;
    if (guard->count >= SK_DHT_GUARD_ADDRESSES_MAX || (tight && !rebuild(guard, now)))
        make_room(guard, now);
    if (!guard->capacity)
        return NULL;
    address = slot_of(guard, key);
    *address =
        (struct address){.key = key, .seen = now, .packets = (float)guard->config.address_burst};
    guard->count++;
    return address;
}

/* ---- what comes in ---- */

static enum sk_dht_pass take_of_address(struct sk_dht_guard *guard, const struct sk_endpoint *from,
                                        float cost, uint64_t now_ns)
{
    struct address *address = touch(guard, key_of(from), ticks(now_ns));
    float burst = (float)guard->config.address_burst;
    if (!address)
        return SK_DHT_PASS;
    if (address->packets < -burst)
        return SK_DHT_DROP_BANNED;
    if (address->packets >= cost) {
        address->packets -= cost;
        return SK_DHT_PASS;
    }
    address->packets -= cost * DROPPED_COST;
    if (address->packets < -burst)
        address->packets -= BAN_S * (float)guard->config.address_rate;
    return SK_DHT_DROP_ADDRESS;
}

static enum sk_dht_pass take_of_total(struct sk_dht_guard *guard, double cost, uint64_t now_ns)
{
    const struct sk_dht_guard_config *config = &guard->config;
    if (now_ns > guard->total_ns) {
        double seconds = (double)(now_ns - guard->total_ns) / 1e9;
        guard->total = SK_MIN(guard->total + seconds * config->total_rate, config->total_burst);
        guard->total_ns = now_ns;
    }
    if (guard->total < cost)
        return SK_DHT_DROP_TOTAL;
    guard->total -= cost;
    return SK_DHT_PASS;
}

enum sk_dht_pass sk_dht_guard_input(struct sk_dht_guard *guard, const struct sk_endpoint *from,
                                    size_t size, uint64_t now_ns)
{
    float cost = (float)(1 + size / (SK_KRPC_DATAGRAM_MAX + 1));
    enum sk_dht_pass pass = SK_DHT_PASS;
    if (guard->config.address_rate > 0 && !is_local(from))
        pass = take_of_address(guard, from, cost, now_ns);
    if (pass == SK_DHT_PASS && guard->config.total_rate > 0)
        pass = take_of_total(guard, cost, now_ns);
    return pass;
}

/* ---- what goes out ---- */

static size_t by_factor(size_t query_size)
{
    return SK_DHT_REFLECTION * query_size;
}

size_t sk_dht_guard_answer_max(const struct sk_dht_guard *guard, const struct sk_endpoint *to,
                               size_t query_size, uint64_t now_ns)
{
    if (is_local(to))
        return SK_KRPC_DATAGRAM_MAX;
    const struct address *known = find(guard, key_of(to));
    if (known && ticks(now_ns) < known->proved)
        return SK_KRPC_DATAGRAM_MAX;
    float spent = known ? settled(guard, *known, ticks(now_ns)).spent : 0;
    size_t max = by_factor(query_size) + (size_t)(ALLOWANCE - spent);
    return SK_MIN(max, SK_KRPC_DATAGRAM_MAX);
}

void sk_dht_guard_sent(struct sk_dht_guard *guard, const struct sk_endpoint *to, size_t query_size,
                       size_t answer_size, uint64_t now_ns)
{
    size_t within = by_factor(query_size);
    if (answer_size <= within || is_local(to))
        return;
    struct address *address = touch(guard, key_of(to), ticks(now_ns));
    if (!address || ticks(now_ns) < address->proved)
        return;
    float spent = address->spent + (float)(answer_size - within);
    address->spent = SK_MIN(spent, ALLOWANCE);
}

void sk_dht_guard_proved(struct sk_dht_guard *guard, const struct sk_endpoint *endpoint,
                         uint64_t now_ns)
{
    if (is_local(endpoint))
        return;
    struct address *address = touch(guard, key_of(endpoint), ticks(now_ns));
    if (address)
        address->proved = ticks(now_ns) + PROOF_TICKS;
}
