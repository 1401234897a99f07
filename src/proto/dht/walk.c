#include "proto/dht/walk.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define JOIN_WAIT_NS (15 * SECOND_NS) /* for the node to be ready */
#define JOIN_CHECK_NS (SECOND_NS / 4) /* how often that is looked at */
#define PASS_GAP_NS (3 * SECOND_NS)   /* before the silent are asked again */
#define BUSY_NS (SECOND_NS / 20)      /* the node has no room for operations */
#define LATE_NS (SECOND_NS / 10)      /* queries that were not sent in time are made up for */
#define ENTRIES_AT_ONCE 4             /* searches under way */
#define ENTRIES_A_ZONE 2              /* searches for each zone */
#define REPLY_NODES_MAX 16            /* nodes taken from one answer */
#define NEAR_BITS 128                 /* of its own id, in what a node is asked for first */
#define BRANCH_ASKED 2                /* so often is a branch asked for beside it */
#define BRANCHES_MAX (2u << 20)       /* bytes for them */
#define HEAD_BITS 32
#define LOST_SHARE 0.001 /* of live nodes: so few are not worth another try */
#define FALSE_TELLER 16  /* claims, of which none came true */

enum visit_state { VISIT_FREE, VISIT_READY, VISIT_ASKED, VISIT_OVER };

/* A node that is being asked. */
struct visit {
    uint64_t op;
    uint32_t node;
    uint8_t state, queries;
    uint8_t shared; /* bits of its id that the next target shares */
    int on;         /* the answer to the query under way: 1: to be asked on */
    uint32_t told[SK_DHT_CRAWL_QUERIES_MAX * REPLY_NODES_MAX]; /* so far, each once */
    uint32_t told_count;
};

struct sk_dht_walk {
    struct sk_dht_walk_config config;
    uint32_t *zones;
    struct sk_prng prng;
    struct sk_dht_known known;
    struct sk_dht_walk_stats stats;
    uint8_t *branches; /* see branch() */
    unsigned branch_bits;
    struct visit *visits;
    uint32_t visits_busy, visits_over;
    uint64_t entries[ENTRIES_AT_ONCE]; /* operations; 0 none */
    uint32_t entries_busy;
    uint64_t entries_made, entries_all;
    uint32_t fresh;            /* number of the first node not asked yet */
    uint32_t retry, retry_end; /* silent ones that are being asked again lie here */
    uint32_t passes;
    bool pass_asked;   /* the pass asked somebody */
    bool started, met; /* met: a search found somebody */
    bool dropped;      /* there was no room for a node */
    int failed;        /* negative enum skep_err: to end with */
    uint64_t start_ns, pass_ns, query_ns, deadline_ns;
    uint8_t own_id[SK_DHT_ID_SIZE];
};

/* ---- zones ---- */

static uint32_t id_head(const uint8_t id[SK_DHT_ID_SIZE], unsigned bits)
{
    uint32_t head = (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
    return bits ? head >> (32 - bits) : 0;
}

bool sk_dht_walk_zone(const struct sk_dht_walk *walk, const uint8_t id[SK_DHT_ID_SIZE],
                      uint32_t *ret_zone)
{
    uint32_t head = id_head(id, walk->config.zone_bits), low = 0, high = walk->config.zones_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (walk->zones[middle] < head)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == walk->config.zones_count || walk->zones[low] != head)
        return false;
    *ret_zone = low;
    return true;
}

static bool in_zones(const struct sk_dht_walk *walk, const uint8_t id[SK_DHT_ID_SIZE])
{
    uint32_t zone;
    return sk_dht_walk_zone(walk, id, &zone);
}

static void random_in_zone(struct sk_dht_walk *walk, uint32_t zone, uint8_t ret_id[SK_DHT_ID_SIZE])
{
    unsigned bits = walk->config.zone_bits;
    sk_prng_bytes(&walk->prng, ret_id, SK_DHT_ID_SIZE);
    if (!bits)
        return;
    uint32_t rest = UINT32_MAX >> bits;
    uint32_t head = walk->zones[zone] << (32 - bits) | (id_head(ret_id, 32) & rest);
    for (unsigned i = 0; i < 4; i++)
        ret_id[i] = (uint8_t)(head >> (24 - 8 * i));
}

/* ---- its life ---- */

/* As deep as there is room for: about as many branches as there may be nodes, over eight. */
static uint8_t *new_branches(struct sk_dht_walk *walk)
{
    size_t zones = walk->config.zones_count;
    while (walk->branch_bits + walk->config.zone_bits < HEAD_BITS &&
           zones << (walk->branch_bits + 2) <= BRANCHES_MAX)
        walk->branch_bits++;
    return sk_mem_calloc(zones << (walk->branch_bits + 1), 1);
}

int sk_dht_walk_new(const struct sk_dht_walk_config *config, uint64_t now_ns,
                    struct sk_dht_walk **ret_walk)
{
    static const uint32_t everything[1];
    bool whole = !config->zone_bits;
    if ((config->family != SK_FAMILY_V4 && config->family != SK_FAMILY_V6) ||
        config->zone_bits > SK_DHT_ZONE_BITS_MAX || (!whole && !config->zones_count) ||
        !config->under_way || config->under_way > SK_DHT_CRAWL_UNDER_WAY_MAX || !config->tries ||
        config->tries > SK_DHT_WALK_TRIES_MAX || !(config->rate >= 0))
        return SKEP_ERR_INVALID;
    struct sk_dht_walk *walk = sk_mem_calloc(1, sizeof *walk);
    if (!walk)
        return SKEP_ERR_NOMEM;
    walk->config = *config;
    if (whole) {
        walk->config.zones = everything;
        walk->config.zones_count = 1;
    }
    sk_prng_init(&walk->prng, config->seed);
    sk_dht_known_init(&walk->known, config->family, config->nodes_max, sk_prng_u64(&walk->prng));
    walk->visits = sk_mem_calloc(config->under_way, sizeof *walk->visits);
    walk->zones = sk_mem_dup(walk->config.zones, walk->config.zones_count * sizeof *walk->zones);
    walk->branches = new_branches(walk);
    if (!walk->visits || !walk->zones || !walk->branches) {
        sk_dht_walk_free(walk, NULL);
        return SKEP_ERR_NOMEM;
    }
    walk->entries_all = (uint64_t)walk->config.zones_count * ENTRIES_A_ZONE;
    walk->start_ns = now_ns;
    walk->query_ns = now_ns;
    walk->deadline_ns = now_ns;
    *ret_walk = walk;
    return 0;
}

static void cancel_all(struct sk_dht_walk *walk, struct sk_dht *dht)
{
    for (uint32_t i = 0; walk->visits && i < walk->config.under_way; i++) {
        struct visit *visit = &walk->visits[i];
        if (visit->state == VISIT_ASKED)
            sk_dht_cancel(dht, visit->op);
        if (visit->state != VISIT_OVER)
            visit->state = VISIT_FREE;
    }
    for (unsigned i = 0; i < ENTRIES_AT_ONCE; i++) {
        if (walk->entries[i])
            sk_dht_cancel(dht, walk->entries[i]);
        walk->entries[i] = 0;
    }
    walk->visits_busy = walk->entries_busy = 0;
}

void sk_dht_walk_free(struct sk_dht_walk *walk, struct sk_dht *dht)
{
    if (!walk)
        return;
    cancel_all(walk, dht);
    sk_dht_known_deinit(&walk->known);
    sk_mem_free(walk->visits);
    sk_mem_free(walk->zones);
    sk_mem_free(walk->branches);
    sk_mem_free(walk);
}

static void end(struct sk_dht_walk *walk, struct sk_dht *dht, int error, const char *reason)
{
    cancel_all(walk, dht);
    walk->stats.over = true;
    walk->stats.error = error;
    walk->stats.reason = reason;
    walk->deadline_ns = SK_TIME_NEVER;
}

void sk_dht_walk_stats(const struct sk_dht_walk *walk, struct sk_dht_walk_stats *ret_stats)
{
    *ret_stats = walk->stats;
    ret_stats->known = walk->known.count;
}

const struct sk_dht_known *sk_dht_walk_known(const struct sk_dht_walk *walk)
{
    return &walk->known;
}

uint64_t sk_dht_walk_deadline(const struct sk_dht_walk *walk)
{
    return walk->deadline_ns;
}

/* ---- what becomes known ---- */

/* Somebody of our own table, or whom a search brought. It was asked before, by us. */
static int add_entry(struct sk_dht_walk *walk, const struct sk_dht_contact *contact)
{
    if (!in_zones(walk, contact->id) || contact->endpoint.family != walk->config.family)
        return 0;
    uint32_t number;
    int added = sk_dht_known_add(&walk->known, contact, &number);
    if (added == SKEP_ERR_NOMEM)
        return added;
    if (added < 0) {
        walk->dropped = true;
        return 0;
    }
    struct sk_dht_known_node *node = sk_dht_known_at(&walk->known, number);
    node->entry |= added || node->state == SK_DHT_KNOWN_NEW;
    return 0;
}

static bool may_tell(const struct sk_dht_known_node *teller)
{
    return teller->claims < SK_DHT_CRAWL_CLAIMS_MAX + 4 * (uint32_t)teller->claims_alive &&
           teller->claims < UINT16_MAX;
}

/* Whether the visited node told of this one before. */
static bool told_before(struct visit *visit, uint32_t number)
{
    for (uint32_t i = 0; i < visit->told_count; i++)
        if (visit->told[i] == number)
            return true;
    SK_ASSERT(visit->told_count < SK_ARRAY_LEN(visit->told));
    visit->told[visit->told_count++] = number;
    return false;
}

static void note_teller(struct sk_dht_walk *walk, uint32_t number, const uint8_t id[SK_DHT_ID_SIZE])
{
    struct sk_dht_known_node *node = sk_dht_known_at(&walk->known, number);
    bool changed = sk_dht_known_changed(node);
    if (node->told_by < UINT16_MAX)
        node->told_by++;
    if (memcmp(node->id, id, SK_DHT_ID_SIZE) && node->told_other < UINT16_MAX)
        node->told_other++;
    walk->stats.ids_changed += sk_dht_known_changed(node);
    walk->stats.ids_changed -= changed;
}

/* The visited node tells of another. 1: that is a new one; 0; SKEP_ERR_NOMEM. */
static int claim(struct sk_dht_walk *walk, struct visit *visit,
                 const struct sk_dht_contact *contact)
{
    struct sk_dht_known_node *teller = sk_dht_known_at(&walk->known, visit->node);
    struct sk_endpoint from = sk_dht_known_contact(&walk->known, visit->node).endpoint;
    if (!in_zones(walk, contact->id) || !memcmp(contact->id, walk->own_id, SK_DHT_ID_SIZE) ||
        !sk_endpoint_reachable_from(&contact->endpoint, sk_endpoint_scope(&from)))
        return 0;
    uint32_t number;
    int added;
    if (may_tell(teller)) {
        added = sk_dht_known_add(&walk->known, contact, &number);
    } else {
        added = sk_dht_known_find(&walk->known, &contact->endpoint, &number) ? 0 : SKEP_ERR_LIMIT;
    }
    if (added == SKEP_ERR_NOMEM)
        return added;
    if (added < 0) {
        walk->dropped |= walk->known.count >= walk->known.max;
        return 0;
    }
    if (added) {
        sk_dht_known_at(&walk->known, number)->teller = visit->node;
        teller->claims++;
    }
    if (!told_before(visit, number))
        note_teller(walk, number, contact->id);
    return added;
}

/* ---- answers ---- */

static void first_answer(struct sk_dht_walk *walk, struct sk_dht_known_node *node,
                         const struct sk_dht_event *event)
{
    node->state = SK_DHT_KNOWN_ALIVE;
    walk->stats.alive++;
    walk->stats.answered[node->tries - 1]++;
    uint64_t rtt_us = event->rtt_ns / 1000;
    node->rtt_us = (uint32_t)SK_MIN(rtt_us, UINT32_MAX);
    const struct sk_bytes *version = &event->message->version;
    if (version->p)
        memcpy(node->version, version->p, SK_MIN(version->n, sizeof node->version));
    if (node->teller != SK_DHT_KNOWN_NOBODY)
        sk_dht_known_at(&walk->known, node->teller)->claims_alive++;
}

static void take_answer(struct sk_dht_walk *walk, const struct visit *visit,
                        const struct sk_dht_event *event)
{
    struct sk_dht_known_node *node = sk_dht_known_at(&walk->known, visit->node);
    bool changed = sk_dht_known_changed(node), fits = node->id_fits;
    bool first = node->state != SK_DHT_KNOWN_ALIVE;
    const uint8_t *id = event->message->id;
    if (id && memcmp(node->id, id, SK_DHT_ID_SIZE)) {
        node->told_other = node->told_by - node->told_other;
        node->two_ids |= !first || node->entry;
        memcpy(node->id, id, SK_DHT_ID_SIZE);
    }
    if (first)
        first_answer(walk, node, event);
    struct sk_endpoint endpoint = sk_dht_known_contact(&walk->known, visit->node).endpoint;
    node->id_fits = sk_dht_id_fits(node->id, &endpoint);
    walk->stats.ids_changed += sk_dht_known_changed(node);
    walk->stats.ids_changed -= changed;
    walk->stats.id_fits += node->id_fits;
    walk->stats.id_fits -= fits;
}

bool sk_dht_walk_next_visited(struct sk_dht_walk *walk, uint32_t *ret_number)
{
    for (uint32_t i = 0; walk->visits_over && i < walk->config.under_way; i++) {
        if (walk->visits[i].state != VISIT_OVER)
            continue;
        walk->visits[i].state = VISIT_FREE;
        walk->visits_over--;
        *ret_number = walk->visits[i].node;
        return true;
    }
    return false;
}

/* How often nodes beside a branch were asked for it: the branch of ids that share `shared` bits
 * with this one, but not the next. NULL: too narrow a branch, or not in our zones. */
static uint8_t *branch(const struct sk_dht_walk *walk, const uint8_t id[SK_DHT_ID_SIZE],
                       unsigned shared)
{
    uint32_t zone;
    unsigned bits = shared + 1 - walk->config.zone_bits;
    if (bits > walk->branch_bits || !sk_dht_walk_zone(walk, id, &zone))
        return NULL;
    uint32_t head = (id_head(id, shared + 1) ^ 1u) & ((UINT32_C(1) << bits) - 1);
    return &walk->branches[((size_t)zone << (walk->branch_bits + 1)) + (UINT32_C(1) << bits) +
                           head];
}

/* What it is to be asked next, after an answer that named `named` nodes, some of them new or not;
 * the farthest shares `shared` bits with it. False: nothing. */
static bool plan_next(const struct sk_dht_walk *walk, struct visit *visit, size_t named, bool fresh,
                      unsigned shared)
{
    const uint8_t *id = sk_dht_known_at(&walk->known, visit->node)->id;
    unsigned next = shared + 1;
    if (visit->queries > 1) {
        next = visit->shared;
        uint8_t *asked = branch(walk, id, next);
        if (asked && *asked < UINT8_MAX)
            ++*asked;
    } else if (!named) {
        return false;
    }
    if (visit->queries == SK_DHT_CRAWL_QUERIES_MAX || !in_zones(walk, id))
        return false;
    while (next-- > walk->config.zone_bits) {
        const uint8_t *asked = branch(walk, id, next);
        if (fresh || (asked && *asked < BRANCH_ASKED)) {
            visit->shared = (uint8_t)next;
            return true;
        }
    }
    return false;
}

/* The answer's nodes. 1: it is to be asked on; 0; SKEP_ERR_NOMEM. */
static int take_nodes(struct sk_dht_walk *walk, struct visit *visit, const struct sk_krpc *message)
{
    struct sk_dht_contact told[REPLY_NODES_MAX];
    bool v6 = walk->config.family == SK_FAMILY_V6;
    size_t count = sk_krpc_read_nodes(v6 ? message->nodes6 : message->nodes, walk->config.family,
                                      told, REPLY_NODES_MAX);
    const uint8_t *id = sk_dht_known_at(&walk->known, visit->node)->id;
    unsigned shared = SK_DHT_ID_SIZE * 8 - 1;
    bool fresh = false;
    for (size_t i = 0; i < count; i++) {
        int added = claim(walk, visit, &told[i]);
        if (added < 0)
            return added;
        fresh |= added;
        unsigned distance = sk_dht_distance(id, told[i].id);
        if (distance)
            shared = SK_MIN(shared, SK_DHT_ID_SIZE * 8 - distance);
    }
    return plan_next(walk, visit, count, fresh, shared);
}

static void ask_event(struct sk_dht_walk *walk, struct visit *visit,
                      const struct sk_dht_event *event)
{
    switch (event->kind) {
    case SK_DHT_EVENT_ANSWERED:
    case SK_DHT_EVENT_REFUSED:
        take_answer(walk, visit, event);
        visit->on = 0;
        if (event->kind == SK_DHT_EVENT_ANSWERED)
            visit->on = take_nodes(walk, visit, event->message);
        if (visit->on < 0)
            walk->failed = visit->on;
        break;
    case SK_DHT_EVENT_DONE: {
        struct sk_dht_known_node *node = sk_dht_known_at(&walk->known, visit->node);
        if (node->state == SK_DHT_KNOWN_NEW)
            node->state = SK_DHT_KNOWN_SILENT;
        visit->state = visit->on > 0 ? VISIT_READY : VISIT_OVER;
        walk->visits_busy -= visit->on <= 0;
        walk->visits_over += visit->on <= 0;
        break;
    }
    default:
        break;
    }
}

static void pay(struct sk_dht_walk *walk, uint64_t now_ns)
{
    walk->stats.queries++;
    if (!(walk->config.rate > 0))
        return;
    uint64_t earliest = now_ns > LATE_NS ? now_ns - LATE_NS : 0;
    walk->query_ns = SK_MAX(walk->query_ns, earliest) + (uint64_t)(1e9 / walk->config.rate);
}

static void entry_event(struct sk_dht_walk *walk, uint64_t *entry, const struct sk_dht_event *event,
                        uint64_t now_ns)
{
    if (event->kind == SK_DHT_EVENT_ASKED)
        pay(walk, now_ns);
    if (event->kind != SK_DHT_EVENT_DONE)
        return;
    *entry = 0;
    walk->entries_busy--;
    for (uint32_t i = 0; i < event->result->closest_count; i++) {
        walk->met = true;
        int err = add_entry(walk, &event->result->closest[i].contact);
        if (err)
            walk->failed = err;
    }
}

bool sk_dht_walk_event(struct sk_dht_walk *walk, struct sk_dht *dht,
                       const struct sk_dht_event *event, uint64_t now_ns)
{
    (void)dht;
    if (walk->stats.over)
        return false;
    for (unsigned i = 0; event->search && i < ENTRIES_AT_ONCE; i++) {
        if (walk->entries[i] && walk->entries[i] == event->op) {
            entry_event(walk, &walk->entries[i], event, now_ns);
            return true;
        }
    }
    for (uint32_t i = 0; !event->search && i < walk->config.under_way; i++) {
        struct visit *visit = &walk->visits[i];
        if (visit->state == VISIT_ASKED && visit->op == event->op) {
            ask_event(walk, visit, event);
            return true;
        }
    }
    return false;
}

/* ---- questions ---- */

static int start_entry(struct sk_dht_walk *walk, struct sk_dht *dht, uint64_t now_ns)
{
    struct sk_dht_search search = {
        .method = SK_KRPC_FIND_NODE,
        .families = walk->config.family == SK_FAMILY_V6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4,
    };
    unsigned slot = 0;
    while (walk->entries[slot])
        slot++;
    random_in_zone(walk, (uint32_t)(walk->entries_made / ENTRIES_A_ZONE), search.target);
    int err = sk_dht_start_search(dht, &search, now_ns, &walk->entries[slot]);
    if (err)
        return err;
    walk->entries_made++;
    walk->entries_busy++;
    walk->stats.searches++;
    return 0;
}

/* A teller none of whose nodes ever answered is not believed once more. */
static bool worth_retry(const struct sk_dht_walk *walk, const struct sk_dht_known_node *node)
{
    if (node->state != SK_DHT_KNOWN_SILENT || node->tries >= walk->config.tries)
        return false;
    if (node->teller == SK_DHT_KNOWN_NOBODY || node->told_by > 1)
        return true;
    const struct sk_dht_known_node *teller = sk_dht_known_at(&walk->known, node->teller);
    return teller->claims < FALSE_TELLER || teller->claims_alive;
}

static bool next_node(struct sk_dht_walk *walk, uint32_t *ret_number)
{
    if (walk->fresh < walk->known.count) {
        *ret_number = walk->fresh++;
        return true;
    }
    while (walk->retry < walk->retry_end) {
        uint32_t number = walk->retry++;
        if (worth_retry(walk, sk_dht_known_at(&walk->known, number))) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

/* A visit with something to ask: one that goes on, or a new one; NULL. */
static struct visit *next_visit(struct sk_dht_walk *walk)
{
    struct visit *free = NULL;
    for (uint32_t i = 0; i < walk->config.under_way; i++) {
        if (walk->visits[i].state == VISIT_READY)
            return &walk->visits[i];
        if (!free && walk->visits[i].state == VISIT_FREE)
            free = &walk->visits[i];
    }
    uint32_t number;
    if (!free || !next_node(walk, &number))
        return NULL;
    free->node = number;
    free->state = VISIT_READY;
    free->queries = 0;
    free->told_count = 0;
    walk->visits_busy++;
    return free;
}

static int ask(struct sk_dht_walk *walk, struct sk_dht *dht, struct visit *visit, uint64_t now_ns)
{
    struct sk_dht_known_node *node = sk_dht_known_at(&walk->known, visit->node);
    bool first = !visit->queries;
    struct sk_dht_ask ask = {
        .method = SK_KRPC_FIND_NODE,
        .to = sk_dht_known_contact(&walk->known, visit->node).endpoint,
        .once = first,
    };
    sk_dht_id_beside(node->id, first ? NEAR_BITS : visit->shared, &walk->prng, ask.target);
    int err = sk_dht_start_ask(dht, &ask, now_ns, &visit->op);
    if (err)
        return err;
    pay(walk, now_ns);
    visit->state = VISIT_ASKED;
    visit->on = 0;
    visit->queries++;
    if (first) {
        walk->stats.asked += !node->tries;
        node->tries++;
    }
    return 0;
}

static int ask_more(struct sk_dht_walk *walk, struct sk_dht *dht, uint64_t now_ns)
{
    while (walk->query_ns <= now_ns) {
        int err;
        if (walk->entries_busy < ENTRIES_AT_ONCE && walk->entries_made < walk->entries_all) {
            err = start_entry(walk, dht, now_ns);
        } else {
            struct visit *visit = next_visit(walk);
            if (!visit)
                return 0;
            err = ask(walk, dht, visit, now_ns);
        }
        if (err)
            return err;
    }
    walk->deadline_ns = walk->query_ns;
    return 0;
}

/* ---- its course ---- */

/* Waits for the node to have joined, for a while; then takes what the table has. */
static bool start(struct sk_dht_walk *walk, struct sk_dht *dht, uint64_t now_ns)
{
    const struct sk_dht_table *table = sk_dht_table(dht, walk->config.family);
    const uint8_t *id = sk_dht_id(dht, walk->config.family);
    if (!table || !id) {
        end(walk, dht, SKEP_ERR_STATE, "the node has no such network");
        return false;
    }
    if (!walk->config.at_once && sk_dht_state(dht, walk->config.family) != SK_DHT_READY &&
        now_ns < walk->start_ns + JOIN_WAIT_NS) {
        walk->deadline_ns = now_ns + JOIN_CHECK_NS;
        return false;
    }
    walk->started = true;
    memcpy(walk->own_id, id, SK_DHT_ID_SIZE);
    size_t pos = 0;
    const struct sk_dht_entry *entry;
    while ((entry = sk_dht_table_next(table, &pos, NULL))) {
        walk->failed = add_entry(walk, &entry->contact);
        if (walk->failed)
            break;
    }
    return true;
}

static bool idle(const struct sk_dht_walk *walk)
{
    return !walk->visits_busy && !walk->entries_busy && walk->entries_made == walk->entries_all &&
           walk->fresh == walk->known.count && walk->retry == walk->retry_end;
}

/* Whether the silent are worth another round: what a query or its answer is lost with, to the power
 * of the tries made, is the share of live nodes that are taken for dead. */
static bool want_pass(const struct sk_dht_walk *walk)
{
    const struct sk_dht_walk_stats *stats = &walk->stats;
    unsigned tries = walk->passes + 1;
    uint32_t number = 0;
    while (number < walk->known.count && !worth_retry(walk, sk_dht_known_at(&walk->known, number)))
        number++;
    if (number == walk->known.count)
        return false;
    if (tries == 1 || !stats->alive)
        return true;
    const uint64_t *answered = stats->answered;
    double lost = (double)(answered[1] + answered[2] + 1) / (double)(answered[0] + answered[1] + 1);
    return pow(lost, tries) >= LOST_SHARE;
}

static void next_pass(struct sk_dht_walk *walk, struct sk_dht *dht, uint64_t now_ns)
{
    if (!walk->pass_ns) {
        if (!want_pass(walk)) {
            bool nobody = !walk->met && !walk->stats.alive;
            walk->stats.complete = !walk->dropped;
            end(walk, dht, nobody ? SKEP_ERR_NETWORK : 0, nobody ? "nobody answers" : NULL);
            return;
        }
        walk->pass_ns = now_ns + PASS_GAP_NS;
    }
    if (now_ns >= walk->pass_ns) {
        walk->pass_ns = 0;
        walk->passes++;
        walk->retry = 0;
        walk->retry_end = walk->known.count;
        walk->deadline_ns = now_ns;
        return;
    }
    walk->deadline_ns = walk->pass_ns;
}

void sk_dht_walk_run(struct sk_dht_walk *walk, struct sk_dht *dht, uint64_t now_ns)
{
    if (walk->stats.over)
        return;
    walk->deadline_ns = SK_TIME_NEVER;
    if (!walk->started && !start(walk, dht, now_ns))
        return;
    int err = walk->failed ? walk->failed : ask_more(walk, dht, now_ns);
    if (err == SKEP_ERR_LIMIT)
        walk->deadline_ns = now_ns + BUSY_NS;
    else if (err)
        end(walk, dht, err, NULL);
    else if (idle(walk))
        next_pass(walk, dht, now_ns);
}
