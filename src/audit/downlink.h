/*
 * Whether our own line was what bounded the probes. Layer: audit; pure.
 *
 * What all peers gave together is summed over equal windows of time, with how many were being
 * probed. Where the sum stays within SK_DOWNLINK_FLAT of its most while the number of probes
 * changes by SK_DOWNLINK_VARIED, in SK_DOWNLINK_SURE windows each, the line carries no more: a
 * swarm's sum would follow the number. If the number never changes, a full line is not told from a
 * sum of peers, and not called full.
 *
 * Memory: 12 bytes a window, the latest SK_DOWNLINK_WINDOWS of them (two minutes).
 */
#ifndef SK_AUDIT_DOWNLINK_H
#define SK_AUDIT_DOWNLINK_H

#include <stdbool.h>
#include <stdint.h>

#define SK_DOWNLINK_WINDOW_NS 250000000u
#define SK_DOWNLINK_WINDOWS 480
#define SK_DOWNLINK_FLAT 0.1
#define SK_DOWNLINK_VARIED 1.5
#define SK_DOWNLINK_SURE 3       /* windows with few probes, and as many with more */
#define SK_DOWNLINK_PROBES_MIN 2 /* one alone shows its own limit */

struct sk_downlink_window {
    uint32_t number; /* of the window since time 0, + 1; 0 = none */
    uint32_t bytes, probes;
};

struct sk_downlink {
    struct sk_downlink_window windows[SK_DOWNLINK_WINDOWS];
};

/* Bytes came while so many probes ran; now_ns does not decrease. */
void sk_downlink_note(struct sk_downlink *downlink, uint64_t bytes, uint32_t probes,
                      uint64_t now_ns);
/* Whether the line was full for most of that time; windows that have not ended do not count. */
bool sk_downlink_full(const struct sk_downlink *downlink, uint64_t from_ns, uint64_t until_ns);

#endif
