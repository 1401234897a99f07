/* Who may be connected to whom: what peer exchange told, and everybody where nobody told. */
#include "audit/flow_internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#include <stdlib.h>
#include <string.h>

#define EXCHANGE_MS 70000 /* peer exchange comes once a minute; a bit late */
#define MESSAGE_LINKS 50  /* told in one message at most: the rest comes with later ones */

struct record {
    uint32_t to, from;
    struct sk_span span;
};

struct records {
    struct record *items;
    size_t count, capacity;
};

static int compare(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->span.from_ms > y->span.from_ms) - (x->span.from_ms < y->span.from_ms);
}

static bool receives(const struct sk_flow_world *world, uint32_t peer)
{
    return world->timeline->peers[peer].gains_count && !world->blind[peer];
}

/* Whether it can have had anything to give. Another address of a peer that is here, or of ours, is
 * nobody who may have had what we did not see. */
static bool gives(const struct sk_flow_world *world, uint32_t peer)
{
    const struct sk_timeline_peer *it = &world->timeline->peers[peer];
    return (world->blind[peer] && !it->alias) || it->held.set || it->gains_count;
}

static void add(struct records *records, const struct sk_flow_world *world, uint32_t from,
                uint32_t to, struct sk_span span)
{
    if (receives(world, to) && gives(world, from) && from != to &&
        records->count < records->capacity)
        records->items[records->count++] = (struct record){to, from, span};
}

/* Until when what a peer tells of its links may be of any age: its first message, and those after
 * it as long as they are full. SK_TIME_OPEN: it told of none. */
static int find_whole(const struct sk_timeline *timeline, uint32_t **ret_whole_ms)
{
    uint32_t n = timeline->peers_count;
    uint32_t *whole_ms = sk_mem_alloc(n * sizeof *whole_ms);
    uint32_t *told = sk_mem_calloc(n, sizeof *told);
    if (whole_ms)
        memset(whole_ms, 0xff, n * sizeof *whole_ms);
    for (uint32_t i = 0; whole_ms && told && i < timeline->links_count; i++) {
        const struct sk_timeline_link *link = &timeline->links[i];
        uint32_t *whole = &whole_ms[link->a];
        bool next = link->from_ms > *whole && told[link->a] >= MESSAGE_LINKS;
        if (*whole == SK_TIME_OPEN || next) {
            *whole = SK_MIN(link->from_ms, SK_TIME_OPEN - EXCHANGE_MS) + EXCHANGE_MS / 2;
            told[link->a] = 0;
        }
        told[link->a]++;
    }
    int err = whole_ms && told ? 0 : SKEP_ERR_NOMEM;
    sk_mem_free(told);
    *ret_whole_ms = whole_ms;
    return err;
}

static void add_told(struct records *records, const struct sk_flow_world *world,
                     const uint32_t *whole_ms)
{
    const struct sk_timeline *timeline = world->timeline;
    for (uint32_t i = 0; i < timeline->links_count; i++) {
        const struct sk_timeline_link *link = &timeline->links[i];
        bool old = link->from_ms <= whole_ms[link->a];
        bool unwatched = !sk_timeline_watched(&timeline->peers[link->a], link->until_ms);
        struct sk_span span = {old ? 0 : link->from_ms - SK_MIN(link->from_ms, EXCHANGE_MS),
                               unwatched ? SK_TIME_OPEN : link->until_ms};
        add(records, world, link->a, link->b, span);
        add(records, world, link->b, link->a, span);
    }
}

struct ranked {
    double capacity_bytes_s;
    uint32_t peer;
};

static int compare_capacity(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->capacity_bytes_s != y->capacity_bytes_s)
        return x->capacity_bytes_s > y->capacity_bytes_s ? -1 : 1;
    return (x->peer > y->peer) - (x->peer < y->peer);
}

/* Pairs of which neither tells: anything may be. The fastest sources first, as far as there is
 * room. */
static int add_untold(struct records *records, const struct sk_flow_world *world,
                      const uint32_t *whole_ms)
{
    struct ranked *sources = sk_mem_alloc(world->peers * sizeof *sources);
    if (!sources)
        return SKEP_ERR_NOMEM;
    uint32_t count = 0, receivers = 0;
    for (uint32_t i = 0; i < world->peers; i++) {
        if (whole_ms[i] != SK_TIME_OPEN)
            continue;
        receivers += receives(world, i);
        if (gives(world, i))
            sources[count++] = (struct ranked){world->capacity_bytes_s[i], i};
    }
    qsort(sources, count, sizeof *sources, compare_capacity);
    if (receivers)
        count = SK_MIN(count, SK_FLOW_PAIRS_MAX / receivers);
    for (uint32_t to = 0; to < world->peers && receivers; to++) {
        for (uint32_t k = 0; whole_ms[to] == SK_TIME_OPEN && k < count; k++)
            add(records, world, sources[k].peer, to, (struct sk_span){0, SK_TIME_OPEN});
    }
    sk_mem_free(sources);
    return 0;
}

/* ---- from records to pairs ---- */

static int make_pairs(struct sk_flow_world *world, const struct records *records)
{
    uint32_t spans = 0;
    world->pairs = sk_mem_calloc(records->count + 1, sizeof *world->pairs);
    world->spans = sk_mem_calloc(records->count + 1, sizeof *world->spans);
    if (!world->pairs || !world->spans)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->items[i];
        bool same = i && record->to == record[-1].to && record->from == record[-1].from;
        if (!same)
            world->pairs[world->pairs_count++] = (struct sk_flow_pair){
                .from = record->from, .to = record->to, .twin = SK_FLOW_NONE, .spans = spans};
        if (same && world->spans[spans - 1].until_ms >= record->span.from_ms) {
            uint32_t *until = &world->spans[spans - 1].until_ms;
            *until = SK_MAX(*until, record->span.until_ms);
        } else {
            world->spans[spans++] = record->span;
        }
    }
    world->pairs[world->pairs_count].spans = spans;
    return 0;
}

static uint32_t find(const struct sk_flow_world *world, uint32_t from, uint32_t to)
{
    uint32_t low = world->incoming[to], high = world->incoming[to + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (world->pairs[middle].from < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < world->incoming[to + 1] && world->pairs[low].from == from ? low : SK_FLOW_NONE;
}

/* By receiver they lie already; by source, and where the pair the other way is. */
static int index_pairs(struct sk_flow_world *world)
{
    uint32_t n = world->peers;
    world->incoming = sk_mem_calloc(n + 1, sizeof *world->incoming);
    world->outgoing = sk_mem_calloc(n + 2, sizeof *world->outgoing);
    world->by_source = sk_mem_calloc(world->pairs_count + 1, sizeof *world->by_source);
    if (!world->incoming || !world->outgoing || !world->by_source)
        return SKEP_ERR_NOMEM;
    for (uint32_t e = 0; e < world->pairs_count; e++) {
        world->incoming[world->pairs[e].to + 1]++;
        world->outgoing[world->pairs[e].from + 2]++;
    }
    for (uint32_t i = 0; i < n; i++) {
        world->incoming[i + 1] += world->incoming[i];
        world->outgoing[i + 2] += world->outgoing[i + 1];
    }
    for (uint32_t e = 0; e < world->pairs_count; e++)
        world->by_source[world->outgoing[world->pairs[e].from + 1]++] = e;
    for (uint32_t e = 0; e < world->pairs_count; e++)
        world->pairs[e].twin = find(world, world->pairs[e].to, world->pairs[e].from);
    return 0;
}

int sk_flow_find_pairs(struct sk_flow_world *world)
{
    struct records records = {.capacity =
                                  2 * (size_t)world->timeline->links_count + SK_FLOW_PAIRS_MAX};
    uint32_t *whole_ms = NULL;
    records.items = sk_mem_alloc(records.capacity * sizeof *records.items);
    int err = records.items ? find_whole(world->timeline, &whole_ms) : SKEP_ERR_NOMEM;
    if (!err) {
        add_told(&records, world, whole_ms);
        err = add_untold(&records, world, whole_ms);
    }
    if (!err) {
        qsort(records.items, records.count, sizeof *records.items, compare);
        err = make_pairs(world, &records);
    }
    if (!err)
        err = index_pairs(world);
    sk_mem_free(whole_ms);
    sk_mem_free(records.items);
    return err;
}

bool sk_flow_connected(const struct sk_flow_world *world, uint32_t pair, uint32_t at_ms)
{
    for (uint32_t i = world->pairs[pair].spans; i < world->pairs[pair + 1].spans; i++) {
        if (world->spans[i].from_ms <= at_ms && at_ms <= world->spans[i].until_ms)
            return true;
    }
    return false;
}
