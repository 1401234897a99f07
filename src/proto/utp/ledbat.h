/*
 * How many bytes may be in flight: LEDBAT (BEP 29, RFC 6817). Layer: proto/utp, private. Pure: fed
 * with delays, acknowledgements and losses.
 *
 * The queue's delay is the least of the last few one-way delays over the least of two to three
 * minutes. Below the target the window grows by at most GAIN bytes a round trip, in proportion to
 * what is missing to the target, as the BEP says. Where it departs:
 *
 *   - Slow start, as in libtorrent, until the queue's delay is half the target. The BEP's gain
 * needs 375 round trips to fill 100 Mbit/s at 100 ms.
 *   - Where a queue was seen to overflow, half of what it holds is the target, if that is less than
 *     the BEP's. A queue of 100 ms or less has no room for the BEP's target and a TCP flow beside
 * it: in the simulator that flow gets a fifth of the link after ten seconds, with this 98 %.
 *   - Above the target the window is cut so that half of what the queue holds too much is gone
 *     within a round trip (the BEP: by the gain, linearly: half a minute to make room for a TCP
 *     flow at 20 Mbit/s).
 *   - A loss halves the window where there is a queue of 10 ms or more, less where there is less,
 *     and not at all below 5 ms: packets that get lost while the queue is empty were not dropped by
 *     it. More than 5 % of losses halve it whatever the delay (policers, queues too short to be
 *     seen). Once a round trip, as in the BEP, which halves for any loss: with 1 % of them the
 * window would never pass 20 packets.
 *
 * Clocks that drift apart: when the other direction's least delay falls, ours is raised by as much.
 */
#ifndef SK_PROTO_UTP_LEDBAT_H
#define SK_PROTO_UTP_LEDBAT_H

#include <stdbool.h>
#include <stdint.h>

#define SK_LEDBAT_TARGET_US 100000
#define SK_LEDBAT_GAIN 3000 /* bytes a round trip */
#define SK_LEDBAT_BASES 3   /* minutes */
#define SK_LEDBAT_RECENT 4  /* samples */

/* The least delay of the last minutes, one way. Delays wrap, and have no meaning but in comparison.
 */
struct sk_ledbat_base {
    uint32_t least_us[SK_LEDBAT_BASES]; /* by minute, the present one first */
    uint64_t turn_ns;                   /* when that ends; 0: no sample yet */
};

struct sk_ledbat {
    double window, threshold; /* bytes; slow start ends at the threshold */
    double depth_us;          /* of the queue, where it was seen to overflow */
    double cut;               /* what this round trip's losses have multiplied the window by */
    struct sk_ledbat_base ours, theirs;
    uint32_t recent_us[SK_LEDBAT_RECENT];
    uint32_t rtt_us;             /* no queue is longer than the newest round trip */
    uint32_t acked, lost;        /* packets of late */
    uint16_t recent_at, segment; /* bytes of a packet */
    bool slow_start;
};

void sk_ledbat_init(struct sk_ledbat *ledbat, uint16_t segment);
/* Bytes of a packet, when they change. */
void sk_ledbat_set_segment(struct sk_ledbat *ledbat, uint16_t segment);
/* One-way delays: of our packets as the other side saw it, and of a packet that came. */
void sk_ledbat_delay(struct sk_ledbat *ledbat, uint32_t delay_us, uint64_t now_ns);
void sk_ledbat_their_delay(struct sk_ledbat *ledbat, uint32_t delay_us, uint64_t now_ns);
/* What the queue adds to the delay of our packets, microseconds. */
uint32_t sk_ledbat_queue_us(const struct sk_ledbat *ledbat);
/* An acknowledgement of new data. `limited`: the window was full, so that it may grow. */
void sk_ledbat_acked(struct sk_ledbat *ledbat, uint32_t bytes, uint32_t packets, uint32_t rtt_us,
                     bool limited);
/* A packet was lost. True: the window was cut, and the round trip begins anew. */
bool sk_ledbat_lost(struct sk_ledbat *ledbat);
/* All that was in flight at the last cut, or when the last round trip began, is dealt with. */
void sk_ledbat_round(struct sk_ledbat *ledbat);
/* Nothing was acknowledged for too long: one packet. */
void sk_ledbat_timeout(struct sk_ledbat *ledbat);

#endif
