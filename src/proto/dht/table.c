#include "proto/dht/table.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "proto/dht/table_nodes.h"

#define MINUTE_NS (60 * UINT64_C(1000000000))
#define GOOD_NS (15 * MINUTE_NS)
#define SILENT_NS (20 * MINUTE_NS)        /* without a spare that waits */
#define ANSWER_NS (60 * MINUTE_NS)        /* who only queries is asked so often, as a spare could */
#define OUTCOME_NS (1 * MINUTE_NS)        /* a query whose outcome nobody told is lost */
#define BACK_OFF_MAX 9                    /* failures after which it waits no longer still */
#define FAILURES_BAD 2                    /* in a row */
#define REFRESH_NS (15 * MINUTE_NS)       /* BEP 5 */
#define REFRESH_JITTER_NS (3 * MINUTE_NS) /* so that nodes that began together do not stay so */
#define PASSED_OVER_NS (30 * MINUTE_NS)
#define PASSED_OVER_MAX 64
#define DEPTH_MAX SK_DHT_ID_BITS

/* Places in the buckets; those beyond have SK_DHT_K. See table.h. */
static const uint16_t widths[] = {128, 64, 32, 16};

struct bucket {
    uint64_t changed_ns;
    uint64_t idle_ns;                     /* may be so long without a change */
    uint16_t entries, bad, unfit, spares; /* how many there are; bad and unfit entries */
};

struct passed_over {
    uint64_t hash; /* of the address */
    uint64_t until_ns;
};

struct sk_dht_table {
    struct sk_dht_table_config config; /* its id is nodes.own_id */
    struct sk_dht_nodes nodes;
    struct bucket *buckets;
    uint16_t depth, buckets_capacity; /* how many buckets; the last holds all that is nearer */
    uint16_t passed_count;
    struct passed_over *passed; /* a ring */
    uint64_t ping_ns;           /* no entry is to be pinged before */
};

static uint64_t idle_ns(const struct sk_dht_table *table)
{
    return REFRESH_NS + sk_prng_below(table->config.prng, REFRESH_JITTER_NS);
}

static bool is_bad(const struct sk_dht_entry *entry)
{
    return entry->failures >= FAILURES_BAD;
}

static unsigned bucket_of(const struct sk_dht_table *table, const uint8_t id[SK_DHT_ID_SIZE])
{
    return SK_MIN(sk_dht_nodes_shared(&table->nodes, id), table->depth - 1u);
}

/* By 1 or -1: before and after whatever changes how the node is counted. */
static void count(struct sk_dht_table *table, const struct sk_dht_entry *node, int by)
{
    struct bucket *bucket = &table->buckets[bucket_of(table, node->contact.id)];
    if (node->spare) {
        bucket->spares += by;
        return;
    }
    bucket->entries += by;
    bucket->bad += is_bad(node) ? by : 0;
    bucket->unfit += node->id_fits ? 0 : by;
}

/* The last bucket becomes two; or there is a first one. */
static bool split(struct sk_dht_table *table)
{
    if (table->depth == table->buckets_capacity) {
        unsigned capacity = table->depth + 4u;
        struct bucket *buckets = sk_mem_realloc(table->buckets, capacity, sizeof *buckets);
        if (!buckets)
            return false;
        table->buckets = buckets;
        table->buckets_capacity = (uint16_t)capacity;
    }
    struct bucket *last = &table->buckets[table->depth];
    *last = (struct bucket){.idle_ns = idle_ns(table)};
    if (table->depth++ == 0)
        return true;
    struct bucket *split = last - 1;
    last->changed_ns = split->changed_ns;
    split->entries = split->bad = split->unfit = 0;
    /* The last one has no spares: it splits rather. */
    for (size_t i = 0; i < table->nodes.entries.count; i++) {
        const struct sk_dht_entry *entry = sk_dht_nodes_in(&table->nodes, &table->nodes.entries, i);
        if (bucket_of(table, entry->contact.id) < table->depth - 2u)
            break;
        count(table, entry, 1);
    }
    return true;
}

int sk_dht_table_new(const struct sk_dht_table_config *config, uint64_t now_ns,
                     struct sk_dht_table **ret_table)
{
    struct sk_dht_table *table = sk_mem_calloc(1, sizeof *table);
    if (!table)
        return SKEP_ERR_NOMEM;
    table->config = *config;
    memcpy(table->nodes.own_id, config->id, SK_DHT_ID_SIZE);
    table->nodes.seed = sk_prng_u64(config->prng);
    table->ping_ns = SK_TIME_NEVER;
    if (!split(table)) {
        sk_mem_free(table);
        return SKEP_ERR_NOMEM;
    }
    table->buckets[0].changed_ns = now_ns;
    *ret_table = table;
    return 0;
}

void sk_dht_table_free(struct sk_dht_table *table)
{
    if (!table)
        return;
    sk_dht_nodes_deinit(&table->nodes);
    sk_mem_free(table->buckets);
    sk_mem_free(table->passed);
    sk_mem_free(table);
}

const uint8_t *sk_dht_table_id(const struct sk_dht_table *table)
{
    return table->nodes.own_id;
}

/* ---- health ---- */

static uint64_t heard_ns(const struct sk_dht_entry *entry)
{
    return SK_MAX(entry->answered_ns, entry->queried_ns);
}

enum sk_dht_health sk_dht_entry_health(const struct sk_dht_entry *entry, uint64_t now_ns)
{
    if (is_bad(entry))
        return SK_DHT_BAD;
    return now_ns < heard_ns(entry) + GOOD_NS ? SK_DHT_GOOD : SK_DHT_QUESTIONABLE;
}

/* When it is to be pinged. After a failure ever later: as long as nobody wants its place it may
 * come back, and we may be the one who was away. */
static uint64_t ping_due_ns(const struct sk_dht_entry *entry, bool spare_waits)
{
    if (entry->failures)
        return entry->asked_ns + (OUTCOME_NS << (SK_MIN(entry->failures, BACK_OFF_MAX) - 1));
    uint64_t silent_ns = heard_ns(entry) + (spare_waits ? GOOD_NS : SILENT_NS);
    uint64_t due_ns = SK_MIN(silent_ns, entry->answered_ns + ANSWER_NS);
    return entry->asked_ns ? SK_MAX(due_ns, entry->asked_ns + OUTCOME_NS) : due_ns;
}

static struct sk_dht_span entries_in(const struct sk_dht_table *table, unsigned bucket)
{
    return sk_dht_nodes_span(&table->nodes, &table->nodes.entries, bucket, table->depth);
}

static struct sk_dht_span spares_in(const struct sk_dht_table *table, unsigned bucket)
{
    return sk_dht_nodes_span(&table->nodes, &table->nodes.spares, bucket, table->depth);
}

static const struct sk_dht_entry *entry_at(const struct sk_dht_table *table, size_t place)
{
    return sk_dht_nodes_in(&table->nodes, &table->nodes.entries, place);
}

static const struct sk_dht_entry *spare_at(const struct sk_dht_table *table, size_t place)
{
    return sk_dht_nodes_in(&table->nodes, &table->nodes.spares, place);
}

static bool spare_waits(const struct sk_dht_table *table, const struct sk_dht_entry *entry)
{
    return table->buckets[bucket_of(table, entry->contact.id)].spares > 0;
}

/* The entry's time to be pinged may have come nearer. */
static void note_ping(struct sk_dht_table *table, const struct sk_dht_entry *entry)
{
    table->ping_ns = SK_MIN(table->ping_ns, ping_due_ns(entry, spare_waits(table, entry)));
}

/* ---- coming and going ---- */

static void add_node(struct sk_dht_table *table, const struct sk_dht_entry *node)
{
    uint16_t slot = sk_dht_nodes_add(&table->nodes, node);
    unsigned bucket = bucket_of(table, node->contact.id);
    count(table, node, 1);
    if (!node->spare) {
        note_ping(table, &table->nodes.nodes[slot]);
    } else if (table->buckets[bucket].spares == 1) {
        /* It is the first that waits for the places of those who are silent. */
        struct sk_dht_span entries = entries_in(table, bucket);
        for (size_t i = entries.from; i < entries.to; i++)
            note_ping(table, entry_at(table, i));
    }
}

static void remove_node(struct sk_dht_table *table, uint16_t slot)
{
    count(table, &table->nodes.nodes[slot], -1);
    sk_dht_nodes_remove(&table->nodes, slot);
}

static unsigned width(const struct sk_dht_table *table, unsigned bucket)
{
    /* The last one splits as soon as it has more than the narrowest one may have. */
    return bucket < SK_ARRAY_LEN(widths) && bucket + 1 < table->depth ? widths[bucket] : SK_DHT_K;
}

struct room {
    bool there;
    bool spare;      /* among the spares */
    uint16_t victim; /* who has to go; SK_DHT_NO_SLOT */
};

/* Whether a loses its place rather than b: who does not fit (BEP 42), where that counts; then the
 * longer silent. */
static bool is_worse(const struct sk_dht_table *table, const struct sk_dht_entry *a,
                     const struct sk_dht_entry *b)
{
    if (table->config.ids_by_address && a->id_fits != b->id_fits)
        return b->id_fits;
    return heard_ns(a) < heard_ns(b);
}

static uint16_t worst_in(const struct sk_dht_table *table, const struct sk_dht_order *order,
                         struct sk_dht_span span, bool only_bad)
{
    uint16_t worst = SK_DHT_NO_SLOT;
    for (size_t at = span.from; at < span.to; at++) {
        const struct sk_dht_entry *node = sk_dht_nodes_in(&table->nodes, order, at);
        if (only_bad && !is_bad(node))
            continue;
        if (worst == SK_DHT_NO_SLOT || is_worse(table, node, &table->nodes.nodes[worst]))
            worst = order->slots[at];
    }
    return worst;
}

/* Whose place in a full bucket a newcomer takes; SK_DHT_NO_SLOT. */
static uint16_t displaced(const struct sk_dht_table *table, const struct sk_dht_entry *node,
                          unsigned bucket)
{
    const struct bucket *counts = &table->buckets[bucket];
    if (counts->bad)
        return worst_in(table, &table->nodes.entries, entries_in(table, bucket), true);
    if (counts->unfit && table->config.ids_by_address && node->id_fits)
        return worst_in(table, &table->nodes.entries, entries_in(table, bucket), false);
    return SK_DHT_NO_SLOT;
}

static struct room room_among_spares(const struct sk_dht_table *table,
                                     const struct sk_dht_entry *node, unsigned bucket,
                                     uint64_t now_ns)
{
    struct room room = {.there = true, .spare = true, .victim = SK_DHT_NO_SLOT};
    if (table->buckets[bucket].spares < SK_DHT_K)
        return room;
    room.victim = worst_in(table, &table->nodes.spares, spares_in(table, bucket), false);
    const struct sk_dht_entry *worst = &table->nodes.nodes[room.victim];
    /* Spares that could still be used are not driven out by those who come later. */
    if (sk_dht_entry_health(worst, now_ns) == SK_DHT_GOOD || is_worse(table, node, worst))
        room.there = table->config.ids_by_address && node->id_fits && !worst->id_fits;
    return room;
}

/* Splits buckets if need be; where there is no memory for that, there is no room. */
static struct room find_room(struct sk_dht_table *table, const struct sk_dht_entry *node,
                             uint64_t now_ns)
{
    struct room room = {.there = true, .victim = SK_DHT_NO_SLOT};
    unsigned bucket;
    while ((bucket = bucket_of(table, node->contact.id)) == table->depth - 1u &&
           table->buckets[bucket].entries >= SK_DHT_K)
        if (table->depth == DEPTH_MAX || !split(table))
            return (struct room){.there = false};
    if (table->buckets[bucket].entries < width(table, bucket))
        return room;
    if (is_bad(node)) /* only where nobody else is */
        return (struct room){.there = false};
    room.victim = displaced(table, node, bucket);
    return room.victim != SK_DHT_NO_SLOT ? room : room_among_spares(table, node, bucket, now_ns);
}

/* SKEP_ERR_NOMEM. */
static int place(struct sk_dht_table *table, const struct sk_dht_entry *node, uint64_t now_ns,
                 enum sk_dht_told *ret_told)
{
    struct room room = find_room(table, node, now_ns);
    if (!room.there) {
        *ret_told = SK_DHT_TOLD_NO_ROOM;
        return 0;
    }
    if (sk_dht_nodes_reserve(&table->nodes, room.spare) != 0)
        return SKEP_ERR_NOMEM;
    if (room.victim != SK_DHT_NO_SLOT)
        remove_node(table, room.victim);
    struct sk_dht_entry added = *node;
    added.spare = room.spare;
    add_node(table, &added);
    *ret_told = room.spare ? SK_DHT_TOLD_SPARE : SK_DHT_TOLD_KEPT;
    return 0;
}

/* A place in this bucket is free, or held by a bad one: the best spare takes it. */
static void promote(struct sk_dht_table *table, unsigned bucket)
{
    if (!table->buckets[bucket].spares)
        return;
    struct sk_dht_span spares = spares_in(table, bucket);
    uint16_t best = table->nodes.spares.slots[spares.from];
    for (size_t i = spares.from + 1; i < spares.to; i++)
        if (is_worse(table, &table->nodes.nodes[best], spare_at(table, i)))
            best = table->nodes.spares.slots[i];
    struct sk_dht_entry node = table->nodes.nodes[best];
    remove_node(table, best);
    uint16_t bad = displaced(table, &node, bucket);
    if (bad != SK_DHT_NO_SLOT)
        remove_node(table, bad);
    node.spare = false;
    add_node(table, &node);
}

static void drop(struct sk_dht_table *table, uint16_t slot)
{
    unsigned bucket = bucket_of(table, table->nodes.nodes[slot].contact.id);
    bool entry = !table->nodes.nodes[slot].spare;
    remove_node(table, slot);
    if (entry)
        promote(table, bucket);
}

/* ---- addresses that changed their id ---- */

static void pass_over(struct sk_dht_table *table, const struct sk_endpoint *address,
                      uint64_t now_ns)
{
    if (!table->passed)
        table->passed = sk_mem_calloc(PASSED_OVER_MAX, sizeof *table->passed);
    if (!table->passed)
        return; /* it may come again at once: that is no harm */
    table->passed[table->passed_count++ % PASSED_OVER_MAX] = (struct passed_over){
        .hash = sk_endpoint_hash(address, table->nodes.seed), .until_ns = now_ns + PASSED_OVER_NS};
}

static bool is_passed_over(const struct sk_dht_table *table, const struct sk_endpoint *address,
                           uint64_t now_ns)
{
    if (!table->passed)
        return false;
    uint64_t hash = sk_endpoint_hash(address, table->nodes.seed);
    for (size_t i = 0; i < PASSED_OVER_MAX; i++)
        if (table->passed[i].hash == hash && now_ns < table->passed[i].until_ns)
            return true;
    return false;
}

/* ---- what nodes do ---- */

static bool same_id(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, SK_DHT_ID_SIZE) == 0;
}

/* Exactly this node, entry or spare; SK_DHT_NO_SLOT. */
static uint16_t find_contact(const struct sk_dht_table *table, const struct sk_dht_contact *contact)
{
    struct sk_endpoint address = sk_dht_address_of(&contact->endpoint);
    uint16_t slot = sk_dht_nodes_at(&table->nodes, &address);
    if (slot == SK_DHT_NO_SLOT)
        return slot;
    const struct sk_dht_contact *known = &table->nodes.nodes[slot].contact;
    bool is_it =
        same_id(known->id, contact->id) && sk_endpoint_equal(&known->endpoint, &contact->endpoint);
    return is_it ? slot : SK_DHT_NO_SLOT;
}

static void note_answer(struct sk_dht_entry *node, struct sk_bytes version, uint64_t rtt_ns,
                        uint64_t now_ns)
{
    node->answered_ns = now_ns;
    node->asked_ns = 0;
    node->failures = 0;
    /* A quarter of what is new, three of what was. */
    node->rtt_ns = node->rtt_ns ? node->rtt_ns - node->rtt_ns / 4 + rtt_ns / 4 : rtt_ns;
    if (version.n && version.n <= sizeof node->version) {
        memset(node->version, 0, sizeof node->version);
        memcpy(node->version, version.p, version.n);
    }
}

static bool is_candidate(const struct sk_dht_table *table, const struct sk_dht_contact *contact)
{
    return contact->endpoint.family == table->config.family &&
           !same_id(contact->id, table->nodes.own_id);
}

/* Whether the holder of an address or id, if any, makes way for another node that answers for it.
 */
static bool makes_way(const struct sk_dht_table *table, uint16_t slot,
                      const struct sk_dht_entry *node)
{
    if (slot == SK_DHT_NO_SLOT)
        return true;
    const struct sk_dht_entry *holder = &table->nodes.nodes[slot];
    return holder->spare || is_bad(holder) ||
           (table->config.ids_by_address && !holder->id_fits && node->id_fits);
}

static struct sk_dht_entry newcomer(const struct sk_dht_contact *contact, uint64_t now_ns)
{
    return (struct sk_dht_entry){.contact = *contact,
                                 .answered_ns = now_ns,
                                 .id_fits = sk_dht_id_fits(contact->id, &contact->endpoint)};
}

/* Whether there is room for a node whose address is at this slot, if at any, and its id elsewhere.
 */
static bool may_come(struct sk_dht_table *table, const struct sk_dht_entry *node, uint16_t slot,
                     uint64_t now_ns)
{
    uint16_t holder = sk_dht_nodes_by_id(&table->nodes, node->contact.id);
    return is_candidate(table, &node->contact) && makes_way(table, slot, node) &&
           makes_way(table, holder, node) && find_room(table, node, now_ns).there;
}

static enum sk_dht_told welcome(struct sk_dht_table *table, struct sk_dht_entry *node,
                                const struct sk_endpoint *address, uint64_t now_ns)
{
    uint16_t slot = sk_dht_nodes_by_id(&table->nodes, node->contact.id);
    if (slot != SK_DHT_NO_SLOT)
        drop(table, slot);
    slot = sk_dht_nodes_at(&table->nodes, address);
    if (slot != SK_DHT_NO_SLOT)
        drop(table, slot);
    enum sk_dht_told told;
    if (place(table, node, now_ns, &told) != 0)
        return SK_DHT_TOLD_NO_ROOM;
    if (told == SK_DHT_TOLD_KEPT)
        table->buckets[bucket_of(table, node->contact.id)].changed_ns = now_ns;
    return told;
}

/* An address that was known answered under another id. */
static enum sk_dht_told id_changed(struct sk_dht_table *table, uint16_t slot,
                                   const struct sk_endpoint *address, uint64_t now_ns)
{
    drop(table, slot);
    pass_over(table, address, now_ns);
    return SK_DHT_TOLD_CHANGED;
}

static enum sk_dht_told known_answered(struct sk_dht_table *table, struct sk_dht_entry *node,
                                       struct sk_bytes version, uint64_t rtt_ns, uint64_t now_ns)
{
    bool had_failed = node->failures;
    count(table, node, -1);
    note_answer(node, version, rtt_ns, now_ns);
    count(table, node, 1);
    if (node->spare)
        return SK_DHT_TOLD_SPARE;
    table->buckets[bucket_of(table, node->contact.id)].changed_ns = now_ns;
    if (had_failed) /* it was to be pinged late only */
        note_ping(table, node);
    return SK_DHT_TOLD_KEPT;
}

enum sk_dht_told sk_dht_table_answered(struct sk_dht_table *table,
                                       const struct sk_dht_contact *contact,
                                       struct sk_bytes version, uint64_t rtt_ns, uint64_t now_ns)
{
    struct sk_endpoint address = sk_dht_address_of(&contact->endpoint);
    uint16_t slot = sk_dht_nodes_at(&table->nodes, &address);
    if (slot != SK_DHT_NO_SLOT) {
        struct sk_dht_entry *known = &table->nodes.nodes[slot];
        if (same_id(known->contact.id, contact->id)) {
            known->contact.endpoint = contact->endpoint; /* the port may be another now */
            return known_answered(table, known, version, rtt_ns, now_ns);
        }
        if (sk_endpoint_equal(&known->contact.endpoint, &contact->endpoint))
            return id_changed(table, slot, &address, now_ns);
    }
    if (is_passed_over(table, &address, now_ns))
        return SK_DHT_TOLD_CHANGED;
    struct sk_dht_entry node = newcomer(contact, now_ns);
    if (!may_come(table, &node, slot, now_ns))
        return SK_DHT_TOLD_NO_ROOM;
    note_answer(&node, version, rtt_ns, now_ns);
    return welcome(table, &node, &address, now_ns);
}

bool sk_dht_table_queried(struct sk_dht_table *table, const struct sk_dht_contact *contact,
                          uint64_t now_ns)
{
    struct sk_endpoint address = sk_dht_address_of(&contact->endpoint);
    uint16_t slot = sk_dht_nodes_at(&table->nodes, &address);
    if (slot != SK_DHT_NO_SLOT) {
        struct sk_dht_entry *known = &table->nodes.nodes[slot];
        bool same_endpoint = sk_endpoint_equal(&known->contact.endpoint, &contact->endpoint);
        if (same_id(known->contact.id, contact->id)) {
            if (same_endpoint)
                known->queried_ns = now_ns;
            return !same_endpoint || is_bad(known);
        }
        if (same_endpoint) /* its id has changed, or somebody else says so */
            return sk_dht_entry_health(known, now_ns) != SK_DHT_GOOD;
    }
    struct sk_dht_entry node = newcomer(contact, now_ns);
    return !is_passed_over(table, &address, now_ns) && may_come(table, &node, slot, now_ns);
}

void sk_dht_table_asked(struct sk_dht_table *table, const struct sk_dht_contact *contact,
                        uint64_t now_ns)
{
    uint16_t slot = find_contact(table, contact);
    if (slot != SK_DHT_NO_SLOT)
        table->nodes.nodes[slot].asked_ns = now_ns;
}

void sk_dht_table_failed(struct sk_dht_table *table, const struct sk_dht_contact *contact,
                         uint64_t now_ns)
{
    uint16_t slot = find_contact(table, contact);
    if (slot == SK_DHT_NO_SLOT)
        return;
    struct sk_dht_entry *node = &table->nodes.nodes[slot];
    count(table, node, -1);
    node->failures += node->failures < UINT8_MAX;
    count(table, node, 1);
    if (!node->asked_ns)
        node->asked_ns = now_ns;
    if (!node->spare)
        note_ping(table, node);
    if (!is_bad(node))
        return;
    if (node->spare)
        remove_node(table, slot);
    else
        promote(table, bucket_of(table, node->contact.id));
}

size_t sk_dht_table_closest(const struct sk_dht_table *table, const uint8_t target[SK_DHT_ID_SIZE],
                            bool good_only, uint64_t now_ns, struct sk_dht_contact *ret_contacts,
                            size_t max)
{
    size_t count = 0;
    max = SK_MIN(max, SK_DHT_CLOSEST_MAX);
    if (good_only)
        count = sk_dht_nodes_closest(&table->nodes, target, SK_DHT_GOOD, now_ns, ret_contacts, max);
    if (count < max)
        count = sk_dht_nodes_closest(&table->nodes, target, SK_DHT_QUESTIONABLE, now_ns,
                                     ret_contacts, max);
    return count;
}

const struct sk_dht_entry *sk_dht_table_find(const struct sk_dht_table *table,
                                             const struct sk_endpoint *endpoint)
{
    struct sk_endpoint address = sk_dht_address_of(endpoint);
    uint16_t slot = sk_dht_nodes_at(&table->nodes, &address);
    if (slot == SK_DHT_NO_SLOT || table->nodes.nodes[slot].spare ||
        !sk_endpoint_equal(&table->nodes.nodes[slot].contact.endpoint, endpoint))
        return NULL;
    return &table->nodes.nodes[slot];
}

/* ---- upkeep ---- */

struct ping {
    struct sk_dht_entry *entry; /* NULL none */
    uint64_t due_ns;
    bool waits; /* a spare for its place */
};

static bool comes_first(const struct ping *a, const struct ping *b)
{
    if (!b->entry || a->waits != b->waits)
        return !b->entry || a->waits;
    return heard_ns(a->entry) < heard_ns(b->entry);
}

bool sk_dht_table_next_ping(struct sk_dht_table *table, uint64_t now_ns,
                            struct sk_dht_contact *ret_contact)
{
    if (now_ns < table->ping_ns)
        return false;
    struct ping next = {.due_ns = SK_TIME_NEVER};
    table->ping_ns = SK_TIME_NEVER;
    for (size_t i = 0; i < table->nodes.entries.count; i++) {
        struct sk_dht_entry *entry = sk_dht_nodes_in(&table->nodes, &table->nodes.entries, i);
        struct ping ping = {.entry = entry, .waits = spare_waits(table, entry)};
        ping.due_ns = ping_due_ns(entry, ping.waits);
        uint64_t passed_ns = ping.due_ns; /* by who is not the next */
        if (ping.due_ns <= now_ns && comes_first(&ping, &next)) {
            passed_ns = next.due_ns;
            next = ping;
        }
        table->ping_ns = SK_MIN(table->ping_ns, passed_ns);
    }
    if (!next.entry)
        return false;
    next.entry->asked_ns = now_ns;
    note_ping(table, next.entry);
    *ret_contact = next.entry->contact;
    return true;
}

static uint64_t refresh_due_ns(const struct sk_dht_table *table, unsigned *ret_bucket)
{
    uint64_t due_ns = SK_TIME_NEVER;
    for (unsigned i = 0; i < table->depth; i++) {
        const struct bucket *bucket = &table->buckets[i];
        if (bucket->changed_ns + bucket->idle_ns >= due_ns)
            continue;
        due_ns = bucket->changed_ns + bucket->idle_ns;
        *ret_bucket = i;
    }
    return table->nodes.entries.count ? due_ns : SK_TIME_NEVER; /* there is nobody to ask */
}

bool sk_dht_table_next_refresh(struct sk_dht_table *table, uint64_t now_ns,
                               uint8_t ret_target[SK_DHT_ID_SIZE])
{
    unsigned bucket = 0;
    if (now_ns < refresh_due_ns(table, &bucket))
        return false;
    table->buckets[bucket].changed_ns = now_ns;
    table->buckets[bucket].idle_ns = idle_ns(table);
    /* Any id of the last bucket shares at least its bits: how many more is chance. */
    unsigned bits = bucket;
    while (bucket == table->depth - 1u && bits + 1 < DEPTH_MAX &&
           sk_prng_below(table->config.prng, 2))
        bits++;
    sk_dht_id_beside(table->nodes.own_id, bits, table->config.prng, ret_target);
    return true;
}

uint64_t sk_dht_table_deadline(const struct sk_dht_table *table)
{
    unsigned bucket;
    return SK_MIN(table->ping_ns, refresh_due_ns(table, &bucket));
}

/* ---- another id ---- */

#define PLACING_RANKS 3

/* In which order nodes are placed anew: good entries keep theirs rather than others. Spares
 * displace bad ones as ever. */
static unsigned placing_rank(const struct sk_dht_entry *node, uint64_t now_ns)
{
    return node->spare ? SK_DHT_BAD : sk_dht_entry_health(node, now_ns);
}

int sk_dht_table_set_id(struct sk_dht_table *table, const uint8_t id[SK_DHT_ID_SIZE],
                        uint64_t now_ns)
{
    struct sk_dht_table_config config = table->config;
    struct sk_dht_table *fresh;
    memcpy(config.id, id, sizeof config.id);
    int err = sk_dht_table_new(&config, now_ns, &fresh);
    if (err)
        return err;
    fresh->nodes.seed = table->nodes.seed;
    for (unsigned rank = 0; rank < PLACING_RANKS; rank++) {
        for (uint16_t slot = 0; slot < table->nodes.count; slot++) {
            const struct sk_dht_entry *node = &table->nodes.nodes[slot];
            enum sk_dht_told told;
            if (placing_rank(node, now_ns) != rank || same_id(node->contact.id, id))
                continue;
            err = place(fresh, node, now_ns, &told);
            if (err) {
                sk_dht_table_free(fresh);
                return err;
            }
        }
    }
    struct sk_dht_table old = *table;
    *table = *fresh;
    table->passed = old.passed;
    table->passed_count = old.passed_count;
    *fresh = old;
    fresh->passed = NULL;
    sk_dht_table_free(fresh);
    return 0;
}

/* ---- to look at ---- */

void sk_dht_table_stats(const struct sk_dht_table *table, uint64_t now_ns,
                        struct sk_dht_table_stats *ret_stats)
{
    struct sk_dht_table_stats stats = {
        .buckets = table->depth,
        .entries = table->nodes.entries.count,
        .spares = table->nodes.spares.count,
        .bytes = sizeof *table + sk_dht_nodes_bytes(&table->nodes) +
                 table->buckets_capacity * sizeof *table->buckets +
                 (table->passed ? PASSED_OVER_MAX * sizeof *table->passed : 0),
    };
    for (size_t i = 0; i < table->nodes.entries.count; i++) {
        enum sk_dht_health health = sk_dht_entry_health(entry_at(table, i), now_ns);
        stats.good += health == SK_DHT_GOOD;
        stats.questionable += health == SK_DHT_QUESTIONABLE;
        stats.bad += health == SK_DHT_BAD;
    }
    *ret_stats = stats;
}

const struct sk_dht_entry *sk_dht_table_next(const struct sk_dht_table *table, size_t *pos,
                                             unsigned *ret_bucket)
{
    if (*pos >= table->nodes.entries.count)
        return NULL;
    const struct sk_dht_entry *entry = entry_at(table, table->nodes.entries.count - 1u - (*pos)++);
    if (ret_bucket)
        *ret_bucket = sk_dht_nodes_shared(&table->nodes, entry->contact.id);
    return entry;
}

static const char *count_fault(const struct sk_dht_table *table, unsigned bucket)
{
    struct sk_dht_span entries = entries_in(table, bucket), spares = spares_in(table, bucket);
    struct bucket counted = {.entries = (uint16_t)(entries.to - entries.from),
                             .spares = (uint16_t)(spares.to - spares.from)};
    const struct bucket *counts = &table->buckets[bucket];
    for (size_t i = entries.from; i < entries.to; i++) {
        counted.bad += is_bad(entry_at(table, i));
        counted.unfit += !entry_at(table, i)->id_fits;
    }
    if (counts->entries != counted.entries || counts->spares != counted.spares ||
        counts->bad != counted.bad || counts->unfit != counted.unfit)
        return "a bucket has counted wrongly";
    if (counts->entries > width(table, bucket) || counts->spares > SK_DHT_K)
        return "a bucket has too many nodes";
    if (counts->spares && counts->entries < width(table, bucket))
        return "a spare waits beside a free place";
    if (counts->spares && counts->bad)
        return "a spare waits for the place of a bad entry";
    return NULL;
}

static const char *bucket_fault(const struct sk_dht_table *table, unsigned bucket)
{
    struct sk_dht_span entries = entries_in(table, bucket), spares = spares_in(table, bucket);
    for (size_t i = spares.from; i < spares.to; i++) {
        if (is_bad(spare_at(table, i)))
            return "a spare is bad";
        if (table->config.ids_by_address && spare_at(table, i)->id_fits &&
            table->buckets[bucket].unfit)
            return "a spare that fits waits for the place of one that does not";
    }
    for (size_t i = entries.from; i < entries.to; i++)
        if (ping_due_ns(entry_at(table, i), table->buckets[bucket].spares > 0) < table->ping_ns)
            return "a ping is due before its time";
    return NULL;
}

const char *sk_dht_table_fault(const struct sk_dht_table *table)
{
    const char *fault = sk_dht_nodes_fault(&table->nodes);
    if (fault)
        return fault;
    if (table->depth == 0 || table->depth > DEPTH_MAX || table->depth > table->buckets_capacity)
        return "there are too many buckets, or none";
    for (uint16_t i = 0; i < table->nodes.count; i++) {
        const struct sk_dht_contact *contact = &table->nodes.nodes[i].contact;
        if (!is_candidate(table, contact))
            return "a node is of another family, or ourselves";
        if (table->nodes.nodes[i].id_fits != sk_dht_id_fits(contact->id, &contact->endpoint))
            return "a node is wrong about its id";
    }
    for (unsigned bucket = 0; !fault && bucket < table->depth; bucket++) {
        fault = count_fault(table, bucket);
        if (!fault)
            fault = bucket_fault(table, bucket);
    }
    return fault;
}
