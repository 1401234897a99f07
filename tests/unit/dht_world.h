/*
 * A small network of DHT nodes in virtual time: datagrams take a while, get lost, and each node is
 * driven as its header says. A test looks at every datagram on its way (`tap`).
 */
#ifndef DHT_WORLD_H
#define DHT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/prng.h"
#include "proto/dht/dht.h"

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)
#define WORLD_NODES_MAX 256

struct world;

struct packet {
    struct sk_timer timer;
    struct sk_endpoint from, to;
    size_t size;
    uint8_t bytes[];
};

struct node {
    struct sk_dht *dht; /* NULL: dead */
    struct sk_endpoint endpoint;
};

struct world {
    uint64_t now_ns;
    struct sk_prng prng;
    struct node nodes[WORLD_NODES_MAX];
    size_t count;
    struct sk_heap packets;
    uint64_t delay_ns;
    double loss;
    uint64_t sent;
    bool unchecked; /* sk_dht_fault() is not asked: many nodes */
    /* Sees a datagram before it is on its way; false: it is lost. */
    bool (*tap)(struct world *world, const struct sk_endpoint *from, const struct sk_endpoint *to,
                struct sk_bytes bytes);
    /* Takes what goes to an address where there is no node. */
    void (*stranger)(struct world *world, const struct sk_endpoint *from,
                     const struct sk_endpoint *to, struct sk_bytes bytes);
    /* Takes the events of all. */
    void (*event)(struct world *world, size_t node, const struct sk_dht_event *event);
    void *context;
};

static inline struct sk_endpoint world_address(size_t n)
{
    uint8_t ip[4] = {45, (uint8_t)(n >> 8), (uint8_t)n, 1};
    return sk_endpoint_v4(ip, (uint16_t)(6881 + n));
}

static inline void world_init(struct world *world, uint64_t seed)
{
    *world = (struct world){.now_ns = 1000 * SECOND_NS, .delay_ns = 25 * MS_NS};
    sk_prng_init(&world->prng, seed);
}

static inline void world_deinit(struct world *world)
{
    for (size_t i = 0; i < world->count; i++)
        sk_dht_free(world->nodes[i].dht);
    struct sk_timer *timer;
    while ((timer = sk_heap_first(&world->packets))) {
        sk_heap_remove(&world->packets, timer);
        sk_mem_free(SK_CONTAINER_OF(timer, struct packet, timer));
    }
    sk_heap_deinit(&world->packets);
}

/* Puts a datagram on its way. */
static inline void world_send(struct world *world, const struct sk_endpoint *from,
                              const struct sk_endpoint *to, struct sk_bytes bytes)
{
    world->sent++;
    if ((world->tap && !world->tap(world, from, to, bytes)) ||
        sk_prng_unit(&world->prng) < world->loss)
        return;
    struct packet *packet = sk_mem_calloc(1, sizeof *packet + bytes.n);
    if (!packet)
        return;
    packet->from = *from;
    packet->to = *to;
    packet->size = bytes.n;
    memcpy(packet->bytes, bytes.p, bytes.n);
    if (sk_heap_set(&world->packets, &packet->timer, world->now_ns + world->delay_ns) != 0)
        sk_mem_free(packet);
}

/* What a node has to tell and to send. */
static inline void world_serve(struct world *world, size_t n)
{
    struct node *node = &world->nodes[n];
    struct sk_dht_event event;
    struct sk_dht_out out;
    while (node->dht && sk_dht_next_event(node->dht, &event))
        if (world->event)
            world->event(world, n, &event);
    while (node->dht && sk_dht_next_output(node->dht, world->now_ns, &out))
        world_send(world, &node->endpoint, &out.to, out.bytes);
    if (node->dht && !world->unchecked) {
        const char *fault = sk_dht_fault(node->dht);
        if (fault)
            fail_msg("node %zu: %s", n, fault);
    }
}

static inline size_t world_find(const struct world *world, const struct sk_endpoint *endpoint)
{
    size_t n = 0;
    while (n < world->count && !sk_endpoint_equal(&world->nodes[n].endpoint, endpoint))
        n++;
    return n;
}

static inline void world_deliver(struct world *world, struct packet *packet)
{
    size_t n = world_find(world, &packet->to);
    struct sk_bytes bytes = sk_bytes(packet->bytes, packet->size);
    if (n < world->count && world->nodes[n].dht) {
        sk_dht_input(world->nodes[n].dht, &packet->from, bytes, world->now_ns);
        world_serve(world, n);
    } else if (world->stranger) {
        world->stranger(world, &packet->from, &packet->to, bytes);
    }
    sk_mem_free(packet);
}

/* Runs until the time; or, with `until`, until that holds: whether it did. */
static inline bool world_run(struct world *world, uint64_t end_ns,
                             bool (*until)(struct world *world))
{
    for (size_t n = 0; n < world->count; n++)
        world_serve(world, n);
    for (;;) {
        if (until && until(world))
            return true;
        struct sk_timer *first = sk_heap_first(&world->packets);
        uint64_t at_ns = first ? first->at_ns : SK_TIME_NEVER;
        size_t wakes = world->count;
        for (size_t n = 0; n < world->count; n++) {
            uint64_t due_ns =
                world->nodes[n].dht ? sk_dht_deadline(world->nodes[n].dht) : SK_TIME_NEVER;
            if (due_ns < at_ns) {
                at_ns = due_ns;
                wakes = n;
            }
        }
        if (at_ns > end_ns)
            break;
        world->now_ns = SK_MAX(world->now_ns, at_ns);
        if (wakes < world->count) {
            sk_dht_tick(world->nodes[wakes].dht, world->now_ns);
            world_serve(world, wakes);
            assert_true(!world->nodes[wakes].dht ||
                        sk_dht_deadline(world->nodes[wakes].dht) > world->now_ns ||
                        sk_dht_operations(world->nodes[wakes].dht));
        } else {
            sk_heap_remove(&world->packets, first);
            world_deliver(world, SK_CONTAINER_OF(first, struct packet, timer));
        }
    }
    world->now_ns = SK_MAX(world->now_ns, end_ns);
    return until && until(world);
}

static inline void world_seconds(struct world *world, unsigned seconds)
{
    world_run(world, world->now_ns + seconds * SECOND_NS, NULL);
}

/* A node more, at its address; knows nobody. */
static inline struct sk_dht *world_add(struct world *world, const struct sk_endpoint *endpoint,
                                       const struct sk_dht_config *config)
{
    struct sk_dht_config own = *config;
    own.seed = sk_prng_u64(&world->prng);
    own.families = endpoint->family == SK_FAMILY_V6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4;
    struct node *node = &world->nodes[world->count];
    assert_true(world->count < WORLD_NODES_MAX);
    assert_int_equal(sk_dht_new(&own, world->now_ns, &node->dht), 0);
    node->endpoint = *endpoint;
    world->count++;
    return node->dht;
}

/* So many nodes that all joined by the first of them. */
static inline void world_grow(struct world *world, size_t count, const struct sk_dht_config *config)
{
    for (size_t n = 0; n < count; n++) {
        struct sk_endpoint endpoint = world_address(world->count);
        struct sk_dht *dht = world_add(world, &endpoint, config);
        if (world->count > 1)
            sk_dht_add_address(dht, &world->nodes[0].endpoint, false, world->now_ns);
        world_run(world, world->now_ns + 300 * MS_NS, NULL);
    }
    world_seconds(world, 20);
}

#endif
