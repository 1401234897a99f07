/*
 * What runs of <skep/dht.h> told, for tests: each is kept in a struct told, and the law of events
 * is looked after. With it, an engine in a network of its own (dht_net.h).
 */
#ifndef DHT_TOLD_H
#define DHT_TOLD_H

#include "dht_net.h"

/* ---- what a run told ---- */

struct told {
    struct world *world;
    size_t counts[SKEP_DHT_DONE + 1];
    bool inside_call; /* set around calls of the interface: nothing may come then */
    bool busy;        /* one at a time */
    uint64_t id;
    int error;
    char reason[80], address[64], peers[2000], closest[2000];
    struct skep_dht_result result;
    uint8_t value[2000];
    size_t value_size, closest_count;
    bool forged;
    void (*act)(struct told *told, const struct skep_dht_event *event);
    uint64_t other; /* for act */
};

static inline void on_dht(const struct skep_dht_event *event, void *ctx)
{
    struct told *told = ctx;
    assert_false(told->inside_call);
    assert_false(told->busy);
    assert_int_equal(told->counts[SKEP_DHT_DONE], 0); /* the last one */
    assert_int_equal(event->id, told->id);
    told->busy = true;
    told->counts[event->kind]++;
    if (event->address)
        snprintf(told->address, sizeof told->address, "%s", event->address);
    for (size_t i = 0; event->answer && i < event->answer->peers_count; i++)
        if (strlen(told->peers) + 64 < sizeof told->peers)
            sprintf(told->peers + strlen(told->peers), "%s ", event->answer->peers[i]);
    if (event->answer)
        told->forged |= event->answer->forged;
    if (event->value && event->value->size <= sizeof told->value) {
        memcpy(told->value, event->value->bytes, event->value->size);
        told->value_size = event->value->size;
    }
    if (event->blob && event->blob->bytes && event->blob->size <= sizeof told->value) {
        memcpy(told->value, event->blob->bytes, event->blob->size);
        told->value_size = event->blob->size;
    }
    if (event->kind == SKEP_DHT_DONE) {
        told->error = event->error;
        snprintf(told->reason, sizeof told->reason, "%s", event->reason ? event->reason : "");
        if (event->result) {
            told->result = *event->result;
            told->closest_count = event->result->closest_count;
            told->result.closest = NULL;
            for (size_t i = 0; i < told->closest_count; i++)
                assert_non_null(event->result->closest[i].address);
        }
    }
    if (told->act)
        told->act(told, event);
    told->busy = false;
}

/* ---- an engine in a network ---- */

static struct world world_memory;
static struct net net_memory;

static inline struct net *fresh_with(const struct skep_config *config)
{
    world_init(&world_memory, config);
    net_init(&net_memory, &world_memory);
    return &net_memory;
}

static inline struct net *fresh(void)
{
    return fresh_with(&(struct skep_config){.no_lsd = true});
}

static inline struct net *joined(size_t nodes)
{
    struct net *net = fresh();
    net_nodes(net, nodes);
    net_join(net);
    return net;
}

static inline void finish(struct net *net)
{
    const char *fault =
        net->world->engine->dht ? sk_dht_fault(net->world->engine->dht->node) : NULL;
    if (fault)
        fail_msg("%s", fault);
    world_deinit(net->world);
    net_deinit(net);
}

static inline struct skep_dht_stats stats_of(const struct net *net)
{
    struct skep_dht_stats stats;
    assert_int_equal(skep_dht_stats(net->world->engine, &stats), 0);
    return stats;
}

/* ---- starting ---- */

static inline struct told start_told(struct net *net)
{
    return (struct told){.world = net->world, .inside_call = true};
}

static inline void ask(struct net *net, const struct skep_dht_ask *ask, struct told *told)
{
    *told = start_told(net);
    assert_int_equal(skep_dht_start_ask(net->world->engine, ask, on_dht, told, &told->id), 0);
    assert_true(told->id != 0);
    told->inside_call = false;
    world_pump(net->world);
}

static inline void search(struct net *net, const struct skep_dht_search *search, struct told *told)
{
    *told = start_told(net);
    assert_int_equal(skep_dht_start_search(net->world->engine, search, on_dht, told, &told->id), 0);
    told->inside_call = false;
}

#endif
