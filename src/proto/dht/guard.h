/*
 * The guard before the parser: how much one address, and all together, may make us do.
 * Layer: proto/dht.
 *
 * Each IP address (IPv6: /64) has a bucket of packets; all have one together. What is above its
 * rate is dropped and costs half a packet: so who goes on at more than twice its rate gets ever
 * deeper into debt, and at a debt of a whole bucket it is banned: not listened to until it has been
 * quiet, or dropped, for a minute and for as long as it takes to pay the debt.
 *
 * Answers go to whatever address a datagram claims to come from, so an address that has not proved
 * that it receives them (by answering a query of ours or by bringing a token that we made) has a
 * small allowance of bytes (4 KiB, back after ten minutes) above SK_DHT_REFLECTION times what
 * it sent; when that is used up, answers to it must fit that factor.
 *
 * Memory: 24 bytes an address and a fifth to a half of room, at most SK_DHT_GUARD_ADDRESSES_MAX;
 * when full, the most harmless of a few makes room (not proved, nothing of its allowance used, its
 * bucket the fullest). Starts with nothing allocated; forgets who is at rest. Without memory only
 * the total is guarded. Reads no clock; time may stand still.
 */
#ifndef SK_PROTO_DHT_GUARD_H
#define SK_PROTO_DHT_GUARD_H

#include "base/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sk_dht_pass {
    SK_DHT_PASS,
    SK_DHT_DROP_ADDRESS, /* this address sends too much */
    SK_DHT_DROP_BANNED,  /* it sent far too much just before */
    SK_DHT_DROP_TOTAL,   /* all together send too much */
};

struct sk_dht_guard_config {
    double address_rate, address_burst; /* packets a second, packets; rate 0: no limit */
    double total_rate, total_burst;     /* the same; rate 0: no limit */
    uint64_t seed;                      /* unknown to strangers */
};

struct sk_dht_guard; /* owned */

/* SKEP_ERR_NOMEM. */
int sk_dht_guard_new(const struct sk_dht_guard_config *config, struct sk_dht_guard **ret_guard);
void sk_dht_guard_free(struct sk_dht_guard *guard);
/* A datagram of `size` bytes came; one larger than any of KRPC counts as several. Local addresses
 * count for the total only; what an address's own limit drops does not count for it. */
enum sk_dht_pass sk_dht_guard_input(struct sk_dht_guard *guard, const struct sk_endpoint *from,
                                    size_t size, uint64_t now_ns);
/* How long an answer to it may be, up to SK_KRPC_DATAGRAM_MAX; sent() says how long it was. Local
 * addresses need no proof. */
size_t sk_dht_guard_answer_max(const struct sk_dht_guard *guard, const struct sk_endpoint *to,
                               size_t query_size, uint64_t now_ns);
void sk_dht_guard_sent(struct sk_dht_guard *guard, const struct sk_endpoint *to, size_t query_size,
                       size_t answer_size, uint64_t now_ns);
/* It receives what is sent there. Holds for four hours, unless room is short. */
void sk_dht_guard_proved(struct sk_dht_guard *guard, const struct sk_endpoint *endpoint,
                         uint64_t now_ns);
/* Of memory. */
size_t sk_dht_guard_bytes(const struct sk_dht_guard *guard);

#endif
