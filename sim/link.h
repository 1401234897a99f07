/*
 * A link in virtual time: a queue that drops what does not fit, a rate at which it empties, the
 * time that a signal takes, and loss by chance. Layer: sim. One seed gives one trace.
 *
 * Without memory the simulation ends (SK_ASSERT). Memory: what is on its way, SK_SIM_LINK_DATAGRAM
 * bytes each.
 */
#ifndef SK_SIM_LINK_H
#define SK_SIM_LINK_H

#include "base/bytes.h"
#include "base/prng.h"

#define SK_SIM_LINK_DATAGRAM 1500 /* bytes of the largest UDP payload */
#define SK_SIM_LINK_OVERHEAD 28   /* bytes of IP and UDP headers that it carries with each */

struct sk_sim_link_config {
    uint64_t seed;
    double rate_bytes_s; /* 0: as fast as can be */
    double queue_bytes;  /* that wait at most; only with a rate */
    uint64_t delay_ns;   /* from its end of sending to its arrival */
    double loss;         /* share of datagrams, after the queue */
};

struct sk_sim_link_item {
    uint64_t at_ns; /* arrives */
    uint32_t flow;  /* the sender's */
    uint16_t n;
    uint8_t bytes[SK_SIM_LINK_DATAGRAM];
};

struct sk_sim_link {
    struct sk_sim_link_config config;
    struct sk_prng prng;
    uint64_t free_ns; /* when it has sent all that waits */
    struct sk_sim_link_item *items;
    size_t first, count, capacity; /* a ring */
    uint64_t sent, dropped, lost;
};

void sk_sim_link_init(struct sk_sim_link *link, const struct sk_sim_link_config *config);
void sk_sim_link_deinit(struct sk_sim_link *link);
/* `bytes` may be NULL: a datagram of that size without meaning. */
void sk_sim_link_send(struct sk_sim_link *link, uint32_t flow, const uint8_t *bytes, size_t n,
                      uint64_t now_ns);
/* What has arrived by now, the oldest, or NULL. Valid until the next call; it may be written to. */
struct sk_sim_link_item *sk_sim_link_receive(struct sk_sim_link *link, uint64_t now_ns);
/* When the next datagram arrives; SK_TIME_NEVER. */
uint64_t sk_sim_link_next_ns(const struct sk_sim_link *link);

#endif
