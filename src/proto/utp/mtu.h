/*
 * How large a datagram the path takes, by binary search. Layer: proto/utp, private. Pure.
 *
 * What is below the floor has passed; probes are data packets that must not be fragmented, one at
 * a time. The first one tries the ceiling, which mostly passes. A size is given up when two probes
 * of it were lost, since one may get lost by chance.
 */
#ifndef SK_PROTO_UTP_MTU_H
#define SK_PROTO_UTP_MTU_H

#include <stdbool.h>
#include <stdint.h>

#define SK_UTP_MTU_FLOOR 548 /* UDP payload that every IPv4 host takes (RFC 791), less headers */
#define SK_UTP_MTU_STEP 16   /* bytes that are not worth a probe */

/* Sizes are bytes of UDP payload. */
struct sk_utp_mtu {
    uint16_t floor, ceiling;
    uint16_t probe; /* size under way; 0 none */
    uint16_t tried; /* the last size under way */
    uint8_t lost;   /* probes of that size */
    bool halving;   /* the first ceiling did not pass */
};

void sk_utp_mtu_init(struct sk_utp_mtu *mtu, uint16_t ceiling);
/* The size that a probe should have; 0: one is under way, or the search is over. */
uint16_t sk_utp_mtu_wanted(const struct sk_utp_mtu *mtu);
void sk_utp_mtu_sent(struct sk_utp_mtu *mtu, uint16_t size);
/* What came of a probe of that size. */
void sk_utp_mtu_passed(struct sk_utp_mtu *mtu, uint16_t size);
void sk_utp_mtu_lost(struct sk_utp_mtu *mtu, uint16_t size);
/* Nothing gets through any more: the path may have become narrower. */
void sk_utp_mtu_restart(struct sk_utp_mtu *mtu);

#endif
