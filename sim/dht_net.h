/*
 * A network of DHT nodes (proto/dht) in virtual time. Layer: sim.
 *
 * Nodes are hosts of the simulated network, numbered alike. They join as nodes of the Internet do:
 * each is told a few that are there, and finds the others. Some may be hostile (dht_hostile.h):
 * such a node runs the same code, so that it is known and believed as others are, and what it
 * answers is changed on its way out.
 *
 * Whoever watches hears the events of operations and the notes of tasks. What must always hold
 * (sk_dht_fault(), no reply to a forged token) is looked at on the way; sk_sim_dht_fault() says
 * what did not.
 */
#ifndef SK_SIM_DHT_NET_H
#define SK_SIM_DHT_NET_H

#include "base/prng.h"
#include "proto/dht/task.h"
#include "sim/dht_hostile.h"
#include "sim/net.h"

struct sk_sim_dht_config {
    struct sk_sim_net_config net;
    bool ids_by_address;  /* BEP 42 */
    bool address_unknown; /* nodes learn their own address from others */
    double nat;           /* share of nodes behind NAT; they are read-only (BEP 43) */
    uint32_t check_every; /* one in so many steps is checked; 0: none */
};

struct sk_sim_dht_watch {
    /* May start operations and attach tasks at any node; NULL. */
    void (*event)(void *ctx, uint32_t node, const struct sk_dht_event *event);
    /* After SK_DHT_NOTE_DONE the task is freed; NULL. */
    void (*note)(void *ctx, uint32_t node, struct sk_dht_task *task,
                 const struct sk_dht_note *note);
    void *ctx;
};

struct sk_sim_dht; /* owned */

struct sk_sim_dht *sk_sim_dht_new(const struct sk_sim_dht_config *config);
void sk_sim_dht_free(struct sk_sim_dht *sim);
void sk_sim_dht_watch(struct sk_sim_dht *sim, const struct sk_sim_dht_watch *watch);
struct sk_sim_net *sk_sim_dht_net(struct sk_sim_dht *sim);
uint64_t sk_sim_dht_now(const struct sk_sim_dht *sim);
/* The generator for whatever an experiment draws. */
struct sk_prng *sk_sim_dht_prng(struct sk_sim_dht *sim);

/* A new node that knows nobody. `target`: what a PLACED or FITTED one is to be near; NULL. */
uint32_t sk_sim_dht_add(struct sk_sim_dht *sim, enum sk_sim_kind kind, const uint8_t *target);
/* Tells the node a few live ones that answer. */
void sk_sim_dht_introduce(struct sk_sim_dht *sim, uint32_t node);
/* Lets `count` nodes join while time goes on, more a second the more there are, then waits until
 * the last of them had time to look round. `draw` says of what kind each is and sets the target
 * for sk_sim_dht_add(); NULL: honest. */
typedef enum sk_sim_kind (*sk_sim_draw_fn)(void *ctx, const uint8_t **ret_target);
void sk_sim_dht_grow(struct sk_sim_dht *sim, uint32_t count, sk_sim_draw_fn draw, void *ctx);
/* It is gone, without a word. */
void sk_sim_dht_kill(struct sk_sim_dht *sim, uint32_t node);
/* This share of the live honest nodes, but those that have tasks. */
void sk_sim_dht_kill_share(struct sk_sim_dht *sim, double share);

uint32_t sk_sim_dht_count(const struct sk_sim_dht *sim); /* dead ones too */
uint32_t sk_sim_dht_live(const struct sk_sim_dht *sim);  /* honest, hostile and behind NAT */
enum sk_sim_kind sk_sim_dht_kind(const struct sk_sim_dht *sim, uint32_t node);
/* In bits, of its id from the target; 160 for a dead one. */
unsigned sk_sim_dht_distance(const struct sk_sim_dht *sim, uint32_t node,
                             const uint8_t target[SK_DHT_ID_SIZE]);
/* Whether it has tasks. */
bool sk_sim_dht_busy(const struct sk_sim_dht *sim, uint32_t node);
/* NULL: dead. After operations were started at it, sk_sim_dht_touch(). */
struct sk_dht *sk_sim_dht_node(struct sk_sim_dht *sim, uint32_t node);
void sk_sim_dht_touch(struct sk_sim_dht *sim, uint32_t node);
/* A live honest node that answers queries, at random; SK_SIM_NO_HOST when there is none. */
uint32_t sk_sim_dht_pick(struct sk_sim_dht *sim);
/* Runs a task at the node; it owns it from now on. */
void sk_sim_dht_attach(struct sk_sim_dht *sim, uint32_t node, struct sk_dht_task *task);

/* Sends announces and puts with invented tokens to `count` nodes, from a host of its own. A node
 * that obeys is a fault; how many refused is counted. */
void sk_sim_dht_probe_tokens(struct sk_sim_dht *sim, uint32_t count);
uint64_t sk_sim_dht_tokens_refused(const struct sk_sim_dht *sim);

/* Lets time pass until then. Ends early when something does not hold. */
void sk_sim_dht_run(struct sk_sim_dht *sim, uint64_t until_ns);
void sk_sim_dht_run_for(struct sk_sim_dht *sim, uint64_t duration_ns);
/* NULL, or what did not hold, where and when. */
const char *sk_sim_dht_fault(const struct sk_sim_dht *sim);

/* Of all live nodes together. */
struct sk_sim_dht_totals {
    uint32_t live, ready;
    uint64_t entries, good, bytes, items;
    uint64_t honest_entries, hostile_entries; /* of the tables of honest nodes */
    uint64_t dead_entries;                    /* in them */
};
void sk_sim_dht_totals(const struct sk_sim_dht *sim, struct sk_sim_dht_totals *ret_totals);

#endif
