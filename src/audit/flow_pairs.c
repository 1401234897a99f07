/* Who may be connected to whom: what peer exchange told, and everybody where nobody told. */
#include "audit/flow_internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#include <stdlib.h>
#include <string.h>

/* Peer exchange comes every 60 s from most clients, every 90 s from some: */
#define EXCHANGE_LEAST_MS 60000
#define EXCHANGE_MOST_MS 95000
#define LATE 1.1         /* a bit late */
#define MESSAGE_LINKS 50 /* told in one message at most: the rest comes with later ones */
#define MESSAGE_MS 1000  /* what is told within it is one message */

/* What one of two peers told. */
struct record {
    uint32_t to, from;
    bool by_source; /* it told, not the receiver */
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
    if (x->by_source != y->by_source)
        return x->by_source ? 1 : -1;
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

static void add(struct records *records, const struct sk_flow_world *world, struct record record)
{
    if (receives(world, record.to) && gives(world, record.from) && record.from != record.to &&
        records->count < records->capacity)
        records->items[records->count++] = record;
}

/* How a peer tells of its links. */
struct teller {
    uint32_t told, at_ms; /* links of the latest message; when it came */
    uint32_t before_ms;   /* when the one before it came */
    uint32_t period_ms;   /* the shortest time between two */
    bool whole;           /* links of that message may be of any age */
};

/* The peer tells of a link. Of any age is what comes with its first message, and with those after
 * it as long as they are full. */
static void hear(struct teller *teller, uint32_t at_ms)
{
    if (!teller->told) {
        teller->whole = true;
        teller->at_ms = at_ms;
    } else if (at_ms - teller->at_ms > MESSAGE_MS) {
        teller->whole = teller->whole && teller->told >= MESSAGE_LINKS;
        teller->period_ms = SK_MIN(teller->period_ms, at_ms - teller->at_ms);
        teller->before_ms = teller->at_ms;
        teller->at_ms = at_ms;
        teller->told = 0;
    }
    teller->told++;
}

static uint32_t period_of(const struct teller *teller)
{
    return SK_MIN(SK_MAX(teller->period_ms, EXCHANGE_LEAST_MS), EXCHANGE_MOST_MS);
}

/* Since when a link was there that was told just now: after the message that did not tell it. Both
 * peers tell, and what is between is not known: a third of a period is what is right on average. */
static uint32_t since(const struct teller *teller)
{
    if (teller->whole)
        return 0;
    uint32_t period_ms = period_of(teller), back_ms = (uint32_t)(period_ms * LATE);
    uint32_t least_ms = teller->at_ms - SK_MIN(teller->at_ms, back_ms);
    least_ms = SK_MAX(least_ms, teller->before_ms - SK_MIN(teller->before_ms, MESSAGE_MS));
    return SK_MIN(least_ms + period_ms / 3, teller->at_ms);
}

static uint32_t until(const struct sk_timeline *timeline, const struct sk_timeline_link *link,
                      const struct teller *teller)
{
    if (!sk_timeline_watched(&timeline->peers[link->a], link->until_ms))
        return SK_TIME_OPEN;
    if (link->until_ms >= timeline->end_ms)
        return link->until_ms;
    uint32_t before_ms = link->until_ms - SK_MIN(link->until_ms, period_of(teller) / 3);
    return SK_MAX(link->from_ms, before_ms);
}

/* `tellers` are zeroed. Who told nothing has told == 0. */
static void add_told(struct records *records, const struct sk_flow_world *world,
                     struct teller *tellers)
{
    const struct sk_timeline *timeline = world->timeline;
    for (uint32_t i = 0; i < world->peers; i++)
        tellers[i].period_ms = EXCHANGE_MOST_MS;
    for (uint32_t i = 0; i < timeline->links_count; i++)
        hear(&tellers[timeline->links[i].a], timeline->links[i].from_ms);
    for (uint32_t i = 0; i < world->peers; i++)
        tellers[i].told = 0;
    for (uint32_t i = 0; i < timeline->links_count; i++) {
        const struct sk_timeline_link *link = &timeline->links[i];
        struct teller *teller = &tellers[link->a];
        hear(teller, link->from_ms);
        struct sk_span span = {since(teller), until(timeline, link, teller)};
        add(records, world, (struct record){link->b, link->a, true, span});
        add(records, world, (struct record){link->a, link->b, false, span});
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
                      const struct teller *tellers)
{
    struct ranked *sources = sk_mem_alloc(world->peers * sizeof *sources);
    if (!sources)
        return SKEP_ERR_NOMEM;
    uint32_t count = 0, receivers = 0;
    for (uint32_t i = 0; i < world->peers; i++) {
        if (tellers[i].told)
            continue;
        receivers += receives(world, i);
        if (gives(world, i))
            sources[count++] = (struct ranked){world->capacity_bytes_s[i], i};
    }
    qsort(sources, count, sizeof *sources, compare_capacity);
    if (receivers)
        count = SK_MIN(count, SK_FLOW_PAIRS_MAX / receivers);
    for (uint32_t to = 0; to < world->peers && receivers; to++) {
        for (uint32_t k = 0; !tellers[to].told && k < count; k++)
            add(records, world, (struct record){to, sources[k].peer, false, {0, SK_TIME_OPEN}});
    }
    sk_mem_free(sources);
    return 0;
}

/* ---- from records to pairs ---- */

/* What one of the two told, as spans that do not overlap. `ret_next` is the first record behind. */
static uint32_t join(const struct record *record, const struct record *end, struct sk_span *spans,
                     const struct record **ret_next)
{
    uint32_t count = 0;
    const struct record *first = record;
    for (; record < end && record->to == first->to && record->from == first->from &&
           record->by_source == first->by_source;
         record++) {
        if (count && spans[count - 1].until_ms >= record->span.from_ms)
            spans[count - 1].until_ms = SK_MAX(spans[count - 1].until_ms, record->span.until_ms);
        else
            spans[count++] = record->span;
    }
    *ret_next = record;
    return count;
}

/* Where both told of a link it was there when both say so; what only one told is believed. The
 * result goes behind both lists, which lie one behind the other, and is moved to their place. */
static uint32_t agree(struct sk_span *spans, uint32_t a_count, uint32_t b_count)
{
    struct sk_span *a = spans, *b = spans + a_count, *both = b + b_count;
    uint32_t i = 0, j = 0, count = 0;
    bool a_met = false, b_met = false;
    while (i < a_count || j < b_count) {
        if (i < a_count && j < b_count) {
            struct sk_span span = {SK_MAX(a[i].from_ms, b[j].from_ms),
                                   SK_MIN(a[i].until_ms, b[j].until_ms)};
            bool meet = span.from_ms <= span.until_ms;
            a_met |= meet;
            b_met |= meet;
            if (meet)
                both[count++] = span;
        }
        if (j == b_count || (i < a_count && a[i].until_ms <= b[j].until_ms)) {
            if (!a_met)
                both[count++] = a[i];
            i++;
            a_met = false;
        } else {
            if (!b_met)
                both[count++] = b[j];
            j++;
            b_met = false;
        }
    }
    memmove(spans, both, count * sizeof *spans);
    return count;
}

static int make_pairs(struct sk_flow_world *world, const struct records *records)
{
    uint32_t spans = 0;
    world->pairs = sk_mem_calloc(records->count + 1, sizeof *world->pairs);
    world->spans = sk_mem_calloc(2 * records->count + 1, sizeof *world->spans);
    if (!world->pairs || !world->spans)
        return SKEP_ERR_NOMEM;
    const struct record *it = records->items, *end = it + records->count;
    while (it < end) {
        const struct record *first = it;
        struct sk_span *of_pair = world->spans + spans;
        uint32_t a_count = join(it, end, of_pair, &it), b_count = 0;
        if (it < end && it->to == first->to && it->from == first->from)
            b_count = join(it, end, of_pair + a_count, &it);
        world->pairs[world->pairs_count++] = (struct sk_flow_pair){
            .from = first->from, .to = first->to, .twin = SK_FLOW_NONE, .spans = spans};
        spans += agree(of_pair, a_count, b_count);
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
    struct teller *tellers = sk_mem_calloc(world->peers + 1, sizeof *tellers);
    records.items = sk_mem_alloc(records.capacity * sizeof *records.items);
    int err = records.items && tellers ? 0 : SKEP_ERR_NOMEM;
    if (!err) {
        add_told(&records, world, tellers);
        err = add_untold(&records, world, tellers);
    }
    if (!err) {
        qsort(records.items, records.count, sizeof *records.items, compare);
        err = make_pairs(world, &records);
    }
    if (!err)
        err = index_pairs(world);
    sk_mem_free(tellers);
    sk_mem_free(records.items);
    return err;
}

bool sk_flow_connected(const struct sk_flow_world *world, uint32_t pair, uint32_t at_ms)
{
    /* The first one that ends then or later: they lie in order and do not overlap. */
    uint32_t low = world->pairs[pair].spans, end = world->pairs[pair + 1].spans, high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (world->spans[middle].until_ms < at_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && world->spans[low].from_ms <= at_ms;
}
