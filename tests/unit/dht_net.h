/*
 * A network of DHT nodes for engine_world.h, in virtual time: real nodes, and liars with a script.
 * The engine is at NET_US. A datagram takes NET_DELAY_NS; one to nobody is lost.
 */
#ifndef DHT_NET_H
#define DHT_NET_H

#include "engine/dht_internal.h"
#include "engine_world.h"

#define NET_US "80.1.2.3:5000"
#define NET_DELAY_NS (10 * SK_SECOND_NS / 1000)
#define NET_NODES_MAX 64

struct net;
struct net_node {
    struct net *net;
    struct sk_endpoint at;
    struct sk_dht *dht; /* NULL: a liar, or dead */
    uint8_t id[SK_DHT_ID_SIZE];
    /* A liar: fills in what it answers to a query; false: nothing. */
    bool (*lie)(struct net_node *node, const struct sk_krpc *query, struct sk_krpc *answer);
    size_t queries; /* of the engine, that came */
};

struct net_flight {
    struct net_flight *next;
    uint64_t at_ns;
    struct sk_endpoint from, to;
    size_t n;
    uint8_t bytes[];
};

struct net {
    struct world *world;
    struct sk_endpoint us;
    struct net_node nodes[NET_NODES_MAX];
    size_t count;
    struct net_flight *first, *last;
    size_t from_us;   /* datagrams of the engine, all */
    size_t to_nobody; /* of them those to addresses where nobody is */
    struct sk_endpoint last_nobody;
    bool down; /* nothing arrives anywhere */
};

static inline void net_send(struct net *net, const struct sk_endpoint *from,
                            const struct sk_endpoint *to, struct sk_bytes bytes)
{
    struct net_flight *flight = malloc(sizeof *flight + bytes.n);
    assert_non_null(flight);
    *flight = (struct net_flight){
        .at_ns = net->world->now_ns + NET_DELAY_NS, .from = *from, .to = *to, .n = bytes.n};
    memcpy(flight->bytes, bytes.p, bytes.n);
    if (net->last)
        net->last->next = flight;
    else
        net->first = flight;
    net->last = flight;
}

static inline struct net_node *net_find(struct net *net, const struct sk_endpoint *at)
{
    for (size_t i = 0; i < net->count; i++)
        if (sk_endpoint_equal(&net->nodes[i].at, at))
            return &net->nodes[i];
    return NULL;
}

static inline void net_sent(struct world *world, const struct sk_out *out)
{
    struct net *net = world->net;
    net->from_us++;
    if (!net_find(net, &out->endpoint)) {
        net->to_nobody++;
        net->last_nobody = out->endpoint;
    }
    net_send(net, &net->us, &out->endpoint, out->bytes);
}

static inline void net_drain(struct net_node *node)
{
    struct net *net = node->net;
    struct sk_dht_out out;
    struct sk_dht_event event;
    while (sk_dht_next_event(node->dht, &event))
        ;
    while (sk_dht_next_output(node->dht, net->world->now_ns, &out))
        net_send(net, &node->at, &out.to, out.bytes);
}

static inline void net_lie(struct net_node *node, const struct sk_endpoint *from,
                           struct sk_bytes datagram)
{
    struct sk_krpc query;
    if (!node->lie || sk_krpc_read(datagram, &query) || query.kind != SK_KRPC_QUERY)
        return;
    struct sk_krpc answer = {.kind = SK_KRPC_RESPONSE,
                             .transaction = query.transaction,
                             .id = node->id,
                             .interval = -1,
                             .num = -1};
    struct sk_buf buf;
    sk_buf_init(&buf, 65536);
    if (node->lie(node, &query, &answer) && !sk_krpc_write(&buf, &answer))
        net_send(node->net, &node->at, from, sk_buf_bytes(&buf));
    sk_buf_deinit(&buf);
}

static inline void net_arrive(struct net *net, const struct net_flight *flight)
{
    struct world *world = net->world;
    struct sk_bytes bytes = sk_bytes(flight->bytes, flight->n);
    struct net_node *node = net_find(net, &flight->to);
    if (net->down)
        return;
    if (sk_endpoint_equal(&flight->to, &net->us)) {
        sk_engine_udp_input(world->engine, &flight->from, bytes, world->now_ns);
        world_outputs(world);
    } else if (node && node->dht) {
        node->queries += sk_endpoint_equal(&flight->from, &net->us);
        sk_dht_input(node->dht, &flight->from, bytes, world->now_ns);
        net_drain(node);
    } else if (node) {
        node->queries += sk_endpoint_equal(&flight->from, &net->us);
        net_lie(node, &flight->from, bytes);
    }
}

static inline bool net_pump(struct world *world)
{
    struct net *net = world->net;
    bool any = false;
    while (net->first && net->first->at_ns <= world->now_ns) {
        struct net_flight *flight = net->first;
        net->first = flight->next;
        if (!net->first)
            net->last = NULL;
        net_arrive(net, flight);
        free(flight);
        any = true;
    }
    for (size_t i = 0; i < net->count; i++) {
        struct net_node *node = &net->nodes[i];
        if (!node->dht || sk_dht_deadline(node->dht) > world->now_ns)
            continue;
        sk_dht_tick(node->dht, world->now_ns);
        net_drain(node);
    }
    return any;
}

static inline uint64_t net_deadline(const struct world *world)
{
    const struct net *net = world->net;
    uint64_t at_ns = net->first ? net->first->at_ns : SK_TIME_NEVER;
    for (size_t i = 0; i < net->count; i++)
        if (net->nodes[i].dht)
            at_ns = SK_MIN(at_ns, sk_dht_deadline(net->nodes[i].dht));
    return at_ns;
}

/* After world_init(): the engine becomes a node of a network without others. */
static inline void net_init(struct net *net, struct world *world)
{
    *net = (struct net){.world = world, .us = world_endpoint(NET_US)};
    world->net = net;
    world->net_sent = net_sent;
    world->net_pump = net_pump;
    world->net_deadline = net_deadline;
    assert_int_equal(sk_engine_join_dht(world->engine, SK_KRPC_WANT_V4, world->now_ns), 0);
}

static inline void net_deinit(struct net *net)
{
    while (net->first) {
        struct net_flight *next = net->first->next;
        free(net->first);
        net->first = next;
    }
    for (size_t i = 0; i < net->count; i++)
        sk_dht_free(net->nodes[i].dht);
}

static inline struct net_node *net_place(struct net *net, const char *address)
{
    assert_true(net->count < NET_NODES_MAX);
    struct net_node *node = &net->nodes[net->count++];
    *node = (struct net_node){.net = net, .at = world_endpoint(address)};
    struct sk_prng prng;
    sk_prng_init(&prng, 77 + net->count);
    sk_dht_id_for_address(&node->at, &prng, node->id);
    return node;
}

/* A node that does as it should, at an address of its own. */
static inline struct net_node *net_node(struct net *net, const char *address)
{
    struct net_node *node = net_place(net, address);
    struct sk_dht_config config = {.seed = 1000 + net->count,
                                   .families = SK_KRPC_WANT_V4,
                                   .id = {node->id},
                                   .ids_by_address = true,
                                   .version = "TN"};
    config.address[0] = node->at;
    assert_int_equal(sk_dht_new(&config, net->world->now_ns, &node->dht), 0);
    return node;
}

/* So many, that know each other. */
static inline void net_nodes(struct net *net, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char address[32];
        snprintf(address, sizeof address, "81.%zu.%zu.7:6881", i / 200, i % 200);
        struct net_node *node = net_node(net, address);
        if (net->count > 1)
            sk_dht_add_address(node->dht, &net->nodes[0].at, false, net->world->now_ns);
    }
    world_run(net->world, 60);
    for (size_t i = 0; i < net->count; i++)
        if (net->nodes[i].dht)
            assert_int_equal(sk_dht_state(net->nodes[i].dht, SK_FAMILY_V4), SK_DHT_READY);
}

/* Lets the engine know of the first node, and join. */
static inline void net_join(struct net *net)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    sk_endpoint_text(&net->nodes[0].at, text);
    assert_int_equal(skep_dht_add_node(net->world->engine, text), 0);
    world_run(net->world, 20);
    assert_int_equal(sk_dht_state(net->world->engine->dht->node, SK_FAMILY_V4), SK_DHT_READY);
}

#endif
