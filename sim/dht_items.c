#include "sim/dht_items.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/order.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP (50 * SK_SIM_MS)
#define PATIENCE (2 * SK_SIM_MINUTE) /* after the last search was started */
#define STORY_MAX (64u << 10)
#define SEARCHES_MAX (1u << 20)

/* One put or get under way, or over. */
struct search {
    const struct sk_sim_item *item;
    uint64_t started_ns, value_ns; /* value_ns: when the last value came; 0 none */
    bool is_put, over, is_true, wrong;
    struct sk_buf story; /* what happened, when it may have to be explained */
};

#define HOLDERS_MAX 32

/* Nodes that took an item: hosts. */
struct holders {
    uint32_t hosts[HOLDERS_MAX], count;
};

struct op_key {
    uint64_t op, node;
};

struct sk_sim_items {
    struct sk_sim_dht *sim;
    struct sk_sim_item *items;
    struct holders *holders; /* of each item */
    uint32_t count;
    uint32_t explain; /* so many failures more */
    struct search *searches;
    uint32_t started, over;
    struct sk_map by_op;           /* number + 1 */
    struct sk_sim_outcome outcome; /* sums, until all are over */
};

/* ---- items ---- */

static void make_item(struct sk_prng *prng, uint32_t number, struct sk_sim_item *ret_item)
{
    char text[40];
    int n = snprintf(text, sizeof text, "item %u %016llx", number,
                     (unsigned long long)sk_prng_u64(prng));
    ret_item->value_size =
        (size_t)snprintf(ret_item->value, sizeof ret_item->value, "%d:%s", n, text);
    struct sk_bytes value = sk_bytes(ret_item->value, ret_item->value_size);
    if (!ret_item->is_mutable) {
        sk_dht_item_target_immutable(value, ret_item->target);
        return;
    }
    sk_prng_bytes(prng, ret_item->seed, sizeof ret_item->seed);
    int err = sk_sign_public(ret_item->seed, ret_item->key);
    if (err == 0)
        err = sk_dht_item_sign(ret_item->seed, sk_bytes(NULL, 0), 1, value, ret_item->signature);
    SK_ASSERT(err == 0);
    sk_dht_item_target_mutable(ret_item->key, sk_bytes(NULL, 0), ret_item->target);
}

struct sk_sim_items *sk_sim_items_new(struct sk_sim_dht *sim, uint32_t count, double mutable_share)
{
    struct sk_sim_items *items = sk_mem_calloc(1, sizeof *items);
    SK_ASSERT(items);
    items->sim = sim;
    items->count = count;
    items->items = sk_mem_calloc(count, sizeof *items->items);
    items->holders = sk_mem_calloc(count, sizeof *items->holders);
    SK_ASSERT(items->items && items->holders);
    for (uint32_t i = 0; i < count; i++) {
        items->items[i].is_mutable = i < (uint32_t)(count * mutable_share);
        make_item(sk_sim_dht_prng(sim), i, &items->items[i]);
    }
    sk_map_init(&items->by_op, sizeof(struct op_key), SEARCHES_MAX, 1);
    return items;
}

static void forget_searches(struct sk_sim_items *items)
{
    for (uint32_t i = 0; i < items->started; i++)
        sk_buf_deinit(&items->searches[i].story);
    sk_mem_free(items->searches);
    items->searches = NULL;
    items->started = items->over = 0;
}

void sk_sim_items_free(struct sk_sim_items *items)
{
    if (!items)
        return;
    forget_searches(items);
    sk_mem_free(items->items);
    sk_mem_free(items->holders);
    sk_map_deinit(&items->by_op);
    sk_mem_free(items);
}

const struct sk_sim_item *sk_sim_items_at(const struct sk_sim_items *items, uint32_t i)
{
    return &items->items[i];
}

/* ---- explaining ---- */

void sk_sim_items_explain(struct sk_sim_items *items, uint32_t count)
{
    items->explain = count;
}

static bool lives(const struct sk_sim_items *items, uint32_t host)
{
    return host != SK_SIM_NO_HOST && sk_sim_dht_node(items->sim, host);
}

static const char *kind_at(const struct sk_sim_items *items, uint32_t host)
{
    if (host == SK_SIM_NO_HOST)
        return "nobody";
    return lives(items, host) ? sk_sim_kind_name(sk_sim_dht_kind(items->sim, host)) : "dead";
}

static bool holds(const struct sk_sim_items *items, const struct search *search, uint32_t host)
{
    const struct holders *holders = &items->holders[search->item - items->items];
    for (uint32_t i = 0; i < holders->count; i++) {
        if (holders->hosts[i] == host)
            return true;
    }
    return false;
}

static void tell_story(struct sk_sim_items *items, struct search *search,
                       const struct sk_dht_event *event)
{
    static const char *const words[] = {"asked", "answered", "refused", "silent",
                                        "item",  "stored",   "done"};
    uint32_t host = sk_sim_net_find(sk_sim_dht_net(items->sim), &event->contact.endpoint);
    double ms = (double)(sk_sim_dht_now(items->sim) - search->started_ns) / (double)SK_SIM_MS;
    sk_buf_printf(&search->story, "  %8.1f ms  %-8s  host %u, %s%s, %u bits away, step %u\n", ms,
                  words[event->kind], host, kind_at(items, host),
                  holds(items, search, host) ? " holder" : "", event->distance, event->step);
}

static void explain(struct sk_sim_items *items, const struct search *search)
{
    const struct holders *holders = &items->holders[search->item - items->items];
    items->explain--;
    fprintf(stderr, "%s of item %zu failed\n  holders:", search->is_put ? "put" : "get",
            (size_t)(search->item - items->items));
    for (uint32_t i = 0; i < holders->count; i++)
        fprintf(stderr, " %u (%s, %u bits)", holders->hosts[i], kind_at(items, holders->hosts[i]),
                sk_sim_dht_distance(items->sim, holders->hosts[i], search->item->target));
    fprintf(stderr, "\n%.*s", (int)search->story.n, (const char *)search->story.p);
}

/* ---- searches ---- */

static void add_holder(struct sk_sim_items *items, const struct search *search,
                       const struct sk_endpoint *endpoint)
{
    struct holders *holders = &items->holders[search->item - items->items];
    uint32_t host = sk_sim_net_find(sk_sim_dht_net(items->sim), endpoint);
    if (holders->count == HOLDERS_MAX || host == SK_SIM_NO_HOST)
        return;
    holders->hosts[holders->count++] = host;
    items->outcome.stored_honest += sk_sim_dht_kind(items->sim, host) == SK_SIM_HONEST;
}

static bool is_gone(const struct sk_sim_items *items, const struct search *search)
{
    const struct holders *holders = &items->holders[search->item - items->items];
    for (uint32_t i = 0; i < holders->count; i++) {
        if (lives(items, holders->hosts[i]) &&
            sk_sim_dht_kind(items->sim, holders->hosts[i]) == SK_SIM_HONEST)
            return false;
    }
    return holders->count > 0;
}

static void take_value(struct sk_sim_items *items, struct search *search,
                       const struct sk_dht_item *got)
{
    const struct sk_sim_item *item = search->item;
    search->value_ns = sk_sim_dht_now(items->sim);
    search->is_true = sk_bytes_equal(got->value, sk_bytes(item->value, item->value_size)) &&
                      !got->key == !item->is_mutable;
    search->wrong |= !search->is_true;
}

static void finish(struct sk_sim_items *items, struct search *search,
                   const struct sk_dht_result *result)
{
    struct sk_sim_outcome *outcome = &items->outcome;
    search->over = true;
    items->over++;
    outcome->done += search->is_put ? result->stored > 0 : search->is_true;
    outcome->wrong += search->wrong;
    outcome->queries += result->asked;
    outcome->messages += result->asked + result->answered + result->refused;
    outcome->gone += !search->is_put && is_gone(items, search);
    outcome->steps += result->steps;
    outcome->stored += result->stored;
    if (items->explain && !(search->is_put ? result->stored > 0 : search->is_true))
        explain(items, search);
    /* A mutable item is known when nobody can have a newer one, an immutable one when it came. */
    if (search->is_put || search->item->is_mutable)
        search->value_ns = search->started_ns + result->duration_ns;
}

static void hear(void *ctx, uint32_t node, const struct sk_dht_event *event)
{
    struct sk_sim_items *items = ctx;
    struct op_key key = {event->op, node};
    void *found = sk_map_get(&items->by_op, &key);
    if (!found)
        return;
    struct search *search = &items->searches[(uintptr_t)found - 1];
    if (items->explain)
        tell_story(items, search, event);
    if (event->kind == SK_DHT_EVENT_ITEM && !search->is_put)
        take_value(items, search, event->item);
    else if (event->kind == SK_DHT_EVENT_STORED)
        add_holder(items, search, &event->contact.endpoint);
    else if (event->kind == SK_DHT_EVENT_DONE)
        finish(items, search, event->result);
}

static void start(struct sk_sim_items *items, bool is_put)
{
    uint32_t node = sk_sim_dht_pick(items->sim);
    SK_ASSERT(node != SK_SIM_NO_HOST);
    struct search *search = &items->searches[items->started];
    const struct sk_sim_item *item = &items->items[items->started++ % items->count];
    *search =
        (struct search){.item = item, .is_put = is_put, .started_ns = sk_sim_dht_now(items->sim)};
    sk_buf_init(&search->story, STORY_MAX);
    struct sk_dht_item stored = {.value = sk_bytes(item->value, item->value_size), .seq = 1};
    if (item->is_mutable) {
        stored.key = item->key;
        stored.signature = item->signature;
    }
    struct sk_dht_search wanted = {.method = SK_KRPC_GET, .first = !is_put && !item->is_mutable};
    memcpy(wanted.target, item->target, SK_DHT_ID_SIZE);
    if (is_put) {
        wanted.store = SK_DHT_STORE_ITEM;
        wanted.item = &stored;
    }
    struct op_key key = {.node = node};
    int err = sk_dht_start_search(sk_sim_dht_node(items->sim, node), &wanted,
                                  sk_sim_dht_now(items->sim), &key.op);
    SK_ASSERT(err == 0);
    err = sk_map_put(&items->by_op, &key, (void *)(uintptr_t)items->started);
    SK_ASSERT(err == 0);
    sk_sim_dht_touch(items->sim, node);
}

static void run_searches(struct sk_sim_items *items, uint32_t count, double rate, bool is_put)
{
    const struct sk_sim_dht_watch watch = {.event = hear, .ctx = items};
    sk_sim_dht_watch(items->sim, &watch);
    sk_map_deinit(&items->by_op);
    forget_searches(items);
    items->searches = sk_mem_calloc(count, sizeof *items->searches);
    SK_ASSERT(items->searches);
    items->outcome = (struct sk_sim_outcome){.count = count};
    uint64_t begin = sk_sim_dht_now(items->sim), last = begin;
    while (items->over < count && !sk_sim_dht_fault(items->sim) &&
           sk_sim_dht_now(items->sim) < last + PATIENCE) {
        double seconds = (double)(sk_sim_dht_now(items->sim) - begin) / (double)SK_SIM_SECOND;
        while (items->started < count && items->started <= seconds * rate) {
            start(items, is_put);
            last = sk_sim_dht_now(items->sim);
        }
        sk_sim_dht_run_for(items->sim, STEP);
    }
    sk_sim_dht_watch(items->sim, &(struct sk_sim_dht_watch){0});
}

/* ---- counting ---- */

static void count_round_trips(struct sk_sim_items *items, uint64_t rtt_ns)
{
    struct sk_sim_outcome *outcome = &items->outcome;
    double *trips = sk_mem_alloc((outcome->count + 1) * sizeof *trips);
    SK_ASSERT(trips);
    size_t n = 0;
    for (uint32_t i = 0; i < items->started; i++) {
        const struct search *search = &items->searches[i];
        if (search->over && search->value_ns && (search->is_true || search->is_put))
            trips[n++] = (double)(search->value_ns - search->started_ns) / (double)rtt_ns;
    }
    qsort(trips, n, sizeof *trips, sk_order_doubles);
    if (n) {
        outcome->round_trips_median = trips[n / 2];
        outcome->round_trips_99 = trips[SK_MIN(n * 99 / 100, n - 1)];
        outcome->round_trips_most = trips[n - 1];
    }
    sk_mem_free(trips);
}

static void conclude(struct sk_sim_items *items, struct sk_sim_outcome *ret_outcome)
{
    struct sk_sim_outcome *outcome = &items->outcome;
    double over = items->over ? items->over : 1;
    count_round_trips(items, sk_sim_net_rtt(sk_sim_dht_net(items->sim)));
    if (outcome->queries > 0)
        outcome->unanswered = 2 - outcome->messages / outcome->queries;
    outcome->queries /= over;
    outcome->messages /= over;
    outcome->steps /= over;
    outcome->stored /= over;
    outcome->stored_honest /= over;
    *ret_outcome = *outcome;
}

void sk_sim_items_put(struct sk_sim_items *items, double rate, struct sk_sim_outcome *ret_outcome)
{
    run_searches(items, items->count, rate, true);
    conclude(items, ret_outcome);
}

void sk_sim_items_get(struct sk_sim_items *items, uint32_t count, double rate,
                      struct sk_sim_outcome *ret_outcome)
{
    run_searches(items, count, rate, false);
    conclude(items, ret_outcome);
}
