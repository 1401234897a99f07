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
/* What has been told for so long no client takes for new. */
#define OLD_MS EXCHANGE_MOST_MS

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

/* What a peer told in one connection of ours to it: all its links first, then what changed. */
struct talk {
    bool told;
    uint32_t first_ms, list_ms; /* when the list came: its first and last message */
    bool whole; /* no message of it was full: libtorrent (ut_pex.cpp) keeps what is over 100 */
};

/* What its list has of what it told in the connection before. */
struct shown {
    uint32_t old, again; /* links that had been told for long; those of them that are told again */
};

/* How a peer tells of its links. */
struct teller {
    const struct sk_timeline_peer *peer;
    struct talk talks[SK_TIMELINE_SPANS_MAX]; /* by connection */
    struct shown shown[SK_TIMELINE_SPANS_MAX];
    uint32_t talk;        /* the one that we are in */
    uint32_t told, at_ms; /* links of its latest message; when it came */
    uint32_t before_ms;   /* when the one before it came */
    uint32_t period_ms;   /* the shortest time between two */
    bool listing;         /* that message is of the list */
};

/* The connection in which something was told then. */
static uint32_t talk_at(const struct sk_timeline_peer *peer, uint32_t at_ms)
{
    uint32_t talk = peer->watched_count ? peer->watched_count - 1 : 0;
    while (talk && peer->watched[talk].from_ms > at_ms)
        talk--;
    return talk;
}

/* The peer tells of a link. Its list is what comes with the first message of a connection, and with
 * those after it as long as they are full. */
static void hear(struct teller *teller, uint32_t at_ms)
{
    uint32_t index = talk_at(teller->peer, at_ms);
    struct talk *talk = &teller->talks[index];
    if (!teller->told || index != teller->talk) {
        *talk = (struct talk){.told = true, .whole = true, .first_ms = at_ms};
        teller->talk = index;
        teller->listing = true;
        teller->at_ms = at_ms;
        teller->told = 0;
    } else if (at_ms - teller->at_ms > MESSAGE_MS) {
        teller->listing = teller->listing && teller->told >= MESSAGE_LINKS;
        teller->period_ms = SK_MIN(teller->period_ms, at_ms - teller->at_ms);
        teller->before_ms = teller->at_ms;
        teller->at_ms = at_ms;
        teller->told = 0;
    }
    teller->told++;
    talk->list_ms = teller->listing ? at_ms : talk->list_ms;
    talk->whole = talk->whole && (!teller->listing || teller->told < MESSAGE_LINKS);
}

static uint32_t period_of(const struct teller *teller)
{
    return SK_MIN(SK_MAX(teller->period_ms, EXCHANGE_LEAST_MS), EXCHANGE_MOST_MS);
}

/* Until when we know of all that changed in a connection that has ended: what changed after its
 * last message was not told. */
static uint32_t known_ms(const struct teller *teller, uint32_t talk)
{
    uint32_t end_ms = teller->peer->watched_count ? teller->peer->watched[talk].until_ms : 0;
    return SK_MAX(teller->talks[talk].first_ms, end_ms - SK_MIN(end_ms, period_of(teller)));
}

/* Since when a link was there that was told just now: after the message, or the connection, that
 * did not tell it. Both peers tell, and what is between is not known: a third of that time is what
 * is right on average. */
static uint32_t since(const struct teller *teller)
{
    if (teller->listing) {
        uint32_t before = teller->talk;
        while (before && !teller->talks[--before].told) {
        }
        if (before == teller->talk || !teller->talks[before].told || !teller->talks[before].whole)
            return 0; /* it may be of any age */
        uint32_t least_ms = SK_MIN(known_ms(teller, before), teller->at_ms);
        return least_ms + (teller->at_ms - least_ms) / 3;
    }
    uint32_t period_ms = period_of(teller), back_ms = (uint32_t)(period_ms * LATE);
    uint32_t least_ms = teller->at_ms - SK_MIN(teller->at_ms, back_ms);
    least_ms = SK_MAX(least_ms, teller->before_ms - SK_MIN(teller->before_ms, MESSAGE_MS));
    return SK_MIN(least_ms + period_ms / 3, teller->at_ms);
}

/* The connection that came after one and in which something was told; the count where none did. */
static uint32_t next_talk(const struct teller *teller, uint32_t before)
{
    uint32_t next = before + 1;
    while (next < teller->peer->watched_count && !teller->talks[next].told)
        next++;
    return next;
}

static bool lists(const struct talk *talk, const struct sk_timeline_link *again)
{
    return again && again->from_ms >= talk->first_ms && again->from_ms <= talk->list_ms;
}

/* A link of which a peer told when the connection to it ended, as far as its next list shows what
 * became of it. */
static void compare_lists(struct teller *teller, const struct sk_timeline_link *link,
                          const struct sk_timeline_link *again)
{
    uint32_t next = next_talk(teller, talk_at(teller->peer, link->from_ms));
    if (next >= teller->peer->watched_count || sk_timeline_watched(teller->peer, link->until_ms))
        return;
    struct shown *shown = &teller->shown[next];
    if (teller->talks[next].first_ms - link->from_ms < OLD_MS)
        return;
    shown->old++;
    shown->again += lists(&teller->talks[next], again);
}

/* Whether what the list lacks has ended. aria2 tells of connections that began within the last
 * minute only, at any time (UTPexExtensionMessage::addFreshPeer): its lists lack nearly all that is
 * old. But it has one peer id for as long as it runs: who has another one than before was started
 * anew, and nothing of his is old (or takes a new one each time, as libtorrent does, and tells
 * all). */
static bool tells_all(const struct teller *teller, uint32_t before, uint32_t talk)
{
    const struct shown *shown = &teller->shown[talk];
    bool same_id = true;
    for (uint32_t i = before + 1; i <= talk; i++)
        same_id = same_id && teller->peer->watched[i].same_id;
    return teller->talks[talk].whole &&
           (!same_id || (shown->again && 2 * shown->again >= shown->old));
}

/* Until when a link was there of which a peer told when we hung up, or it did: if its next list has
 * it `again` (NULL: it was never told again), until then and longer; if that lacks it, it ended
 * while we were away. */
static uint32_t until_away(const struct teller *teller, const struct sk_timeline_link *link,
                           const struct sk_timeline_link *again)
{
    uint32_t before = talk_at(teller->peer, link->from_ms), next = next_talk(teller, before);
    if (next >= teller->peer->watched_count)
        return SK_TIME_OPEN;
    const struct talk *talk = &teller->talks[next];
    if (lists(talk, again))
        return again->from_ms;
    if (!tells_all(teller, before, next))
        return SK_TIME_OPEN;
    uint32_t least_ms = SK_MAX(link->from_ms, known_ms(teller, before));
    return talk->first_ms - (talk->first_ms - SK_MIN(least_ms, talk->first_ms)) / 3;
}

static uint32_t until(const struct sk_timeline *timeline, const struct teller *teller,
                      const struct sk_timeline_link *link, const struct sk_timeline_link *again)
{
    if (!sk_timeline_watched(teller->peer, link->until_ms))
        return until_away(teller, link, again);
    if (link->until_ms >= timeline->end_ms)
        return link->until_ms;
    uint32_t before_ms = link->until_ms - SK_MIN(link->until_ms, period_of(teller) / 3);
    return SK_MAX(link->from_ms, before_ms);
}

/* The links by who told them, in the order they were told. */
struct told {
    uint32_t *begins; /* where each peer's are; and the end */
    const struct sk_timeline_link **links;
    const struct sk_timeline_link **again; /* the same link, as it was told next */
    const struct sk_timeline_link **of;    /* scratch: by peer */
};

static void told_deinit(struct told *told)
{
    sk_mem_free(told->begins);
    sk_mem_free(told->links);
    sk_mem_free(told->again);
    sk_mem_free(told->of);
}

static bool tells(const struct told *told, uint32_t peer)
{
    return told->begins[peer] < told->begins[peer + 1];
}

static int told_init(struct told *told, const struct sk_flow_world *world)
{
    const struct sk_timeline *timeline = world->timeline;
    size_t count = timeline->links_count;
    told->begins = sk_mem_calloc((size_t)world->peers + 2, sizeof *told->begins);
    told->links = sk_mem_alloc((count + 1) * sizeof *told->links);
    told->again = sk_mem_alloc((count + 1) * sizeof *told->again);
    told->of = sk_mem_calloc((size_t)world->peers + 1, sizeof *told->of);
    if (!told->begins || !told->links || !told->again || !told->of)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < count; i++) /* two places on, so that filling leaves them in place */
        told->begins[timeline->links[i].a + 2]++;
    for (uint32_t i = 0; i <= world->peers; i++)
        told->begins[i + 1] += told->begins[i];
    for (size_t i = 0; i < count; i++)
        told->links[told->begins[timeline->links[i].a + 1]++] = &timeline->links[i];
    return 0;
}

static void find_again(struct told *told, uint32_t peer)
{
    for (uint32_t k = told->begins[peer + 1]; k > told->begins[peer]; k--) {
        told->again[k - 1] = told->of[told->links[k - 1]->b];
        told->of[told->links[k - 1]->b] = told->links[k - 1];
    }
    for (uint32_t k = told->begins[peer]; k < told->begins[peer + 1]; k++)
        told->of[told->links[k]->b] = NULL;
}

static void add_told(struct records *records, const struct sk_flow_world *world, struct told *told,
                     uint32_t peer)
{
    struct teller teller = {.peer = &world->timeline->peers[peer], .period_ms = EXCHANGE_MOST_MS};
    find_again(told, peer);
    for (uint32_t k = told->begins[peer]; k < told->begins[peer + 1]; k++)
        hear(&teller, told->links[k]->from_ms);
    for (uint32_t k = told->begins[peer]; k < told->begins[peer + 1]; k++)
        compare_lists(&teller, told->links[k], told->again[k]);
    teller.told = 0; /* once more, now that it is known how it tells */
    for (uint32_t k = told->begins[peer]; k < told->begins[peer + 1]; k++) {
        const struct sk_timeline_link *link = told->links[k];
        hear(&teller, link->from_ms);
        struct sk_span span = {since(&teller),
                               until(world->timeline, &teller, link, told->again[k])};
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
                      const struct told *told)
{
    struct ranked *sources = sk_mem_alloc(world->peers * sizeof *sources);
    if (!sources)
        return SKEP_ERR_NOMEM;
    uint32_t count = 0, receivers = 0;
    for (uint32_t i = 0; i < world->peers; i++) {
        if (tells(told, i))
            continue;
        receivers += receives(world, i);
        if (gives(world, i))
            sources[count++] = (struct ranked){world->capacity_bytes_s[i], i};
    }
    qsort(sources, count, sizeof *sources, compare_capacity);
    if (receivers)
        count = SK_MIN(count, SK_FLOW_PAIRS_MAX / receivers);
    for (uint32_t to = 0; to < world->peers && receivers; to++) {
        for (uint32_t k = 0; !tells(told, to) && k < count; k++)
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
    struct told told = {0};
    records.items = sk_mem_alloc(records.capacity * sizeof *records.items);
    int err = records.items ? told_init(&told, world) : SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < world->peers && !err; i++)
        add_told(&records, world, &told, i);
    if (!err)
        err = add_untold(&records, world, &told);
    if (!err) {
        qsort(records.items, records.count, sizeof *records.items, compare);
        err = make_pairs(world, &records);
    }
    if (!err)
        err = index_pairs(world);
    told_deinit(&told);
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
