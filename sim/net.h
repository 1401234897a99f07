/*
 * A network of hosts in virtual time: datagrams with delay and loss, NAT, hosts that go and come.
 * Layer: sim, the driver's sibling. One seed gives one trace.
 *
 *   sk_sim_net_next() until 0: an event for a host, which may send and ask to be woken.
 *
 * Every host has an address of its own, public as those of the Internet are, so that all rules for
 * public addresses hold. Without memory the simulation ends (SK_ASSERT): a run with less than all
 * of its events means nothing.
 *
 * Memory: some 100 bytes a host; a datagram on its way its size and a little; 16 bytes an address
 * that a host behind NAT sent to lately.
 */
#ifndef SK_SIM_NET_H
#define SK_SIM_NET_H

#include "base/bytes.h"
#include "base/endpoint.h"

#define SK_SIM_MS UINT64_C(1000000)
#define SK_SIM_SECOND (1000 * SK_SIM_MS)
#define SK_SIM_MINUTE (60 * SK_SIM_SECOND)
#define SK_SIM_HOUR (60 * SK_SIM_MINUTE)

/* Virtual time starts here, as a monotonic clock does not start at 0. */
#define SK_SIM_START (1000 * SK_SIM_SECOND)

#define SK_SIM_NO_HOST UINT32_MAX

struct sk_sim_net_config {
    uint64_t seed;
    enum sk_family family;
    uint64_t rtt_ns; /* a way takes half of it ... */
    double jitter;   /* ... give or take this share of that, drawn for each datagram */
    double loss;     /* share of datagrams */
    uint64_t nat_ns; /* for so long after a host behind NAT sent to an address it hears from it */
};

enum sk_sim_event_kind {
    SK_SIM_DATAGRAM, /* from, bytes */
    SK_SIM_WAKE,     /* it asked for it; may come early, so look at the clock */
};

/* Valid until the next call of sk_sim_net_next(). */
struct sk_sim_event {
    enum sk_sim_event_kind kind;
    uint32_t host;
    struct sk_endpoint from;
    struct sk_bytes bytes;
};

struct sk_sim_net_stats {
    uint64_t sent, delivered, lost;
    uint64_t to_nobody; /* no such address, or its host is down */
    uint64_t filtered;  /* by NAT */
    uint64_t trace;     /* hash over every event so far */
};

struct sk_sim_net; /* owned */

struct sk_sim_net *sk_sim_net_new(const struct sk_sim_net_config *config);
void sk_sim_net_free(struct sk_sim_net *net);
uint64_t sk_sim_net_now(const struct sk_sim_net *net);
uint64_t sk_sim_net_rtt(const struct sk_sim_net *net);
/* From now on. */
void sk_sim_net_set_loss(struct sk_sim_net *net, double loss);

/* A new host, up, with a new address. Hosts are numbered from 0. */
uint32_t sk_sim_net_add(struct sk_sim_net *net, bool nat);
/* Down: it neither hears nor sends, and is not woken. */
void sk_sim_net_set_up(struct sk_sim_net *net, uint32_t host, bool up);
const struct sk_endpoint *sk_sim_net_address(const struct sk_sim_net *net, uint32_t host);
/* The host at this address, up or down; SK_SIM_NO_HOST. */
uint32_t sk_sim_net_find(const struct sk_sim_net *net, const struct sk_endpoint *address);
void sk_sim_net_send(struct sk_sim_net *net, uint32_t host, const struct sk_endpoint *to,
                     struct sk_bytes bytes);
/* The same with an address that is not its own. */
void sk_sim_net_send_as(struct sk_sim_net *net, const struct sk_endpoint *from,
                        const struct sk_endpoint *to, struct sk_bytes bytes);
/* Wakes the host at this time or before; forgotten once it was woken. */
void sk_sim_net_wake(struct sk_sim_net *net, uint32_t host, uint64_t at_ns);
/* 1 and the next event that happens until then, with the clock set to it; or 0, and it is then. */
int sk_sim_net_next(struct sk_sim_net *net, uint64_t until_ns, struct sk_sim_event *ret_event);
void sk_sim_net_stats(const struct sk_sim_net *net, struct sk_sim_net_stats *ret_stats);

#endif
