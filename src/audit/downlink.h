/*
 * Whether our own line was what bounded the probes. Layer: audit; pure.
 *
 * What all peers gave together is summed over equal windows of time, with how many gave it: their
 * effective number, 1 / (sum of squared shares), so that one who gives hardly anything is no giver.
 * A line that is full carries the same whoever sends: its rate is the level near which
 * (SK_DOWNLINK_NEAR) most windows lie, where
 *
 *   1. these are SK_DOWNLINK_LEAST at least, and SK_DOWNLINK_SHARE of all that carried half as much
 *      or more;
 *   2. the effective number of givers differs among them: SK_DOWNLINK_SURE windows have
 *      SK_DOWNLINK_VARIED times as many as SK_DOWNLINK_SURE others. A swarm's sum would follow the
 *      number;
 *   3. no SK_DOWNLINK_RUN windows in a row carried SK_DOWNLINK_MORE times as much. Single ones do:
 *      what a lost packet held back comes at once.
 *
 * A peer's packets may also have been spread by our line, full or not. What came in
 * SK_DOWNLINK_RUN windows shows that it carries so much, but for what lost packets had held back:
 * a peer's line is told from it where that is SK_DOWNLINK_MORE times as much.
 *
 * If the number never changes, a full line is not told from a sum of peers, and not called full.
 *
 * Memory: 16 bytes a window, the latest SK_DOWNLINK_WINDOWS of them (two minutes).
 */
#ifndef SK_AUDIT_DOWNLINK_H
#define SK_AUDIT_DOWNLINK_H

#include <stdbool.h>
#include <stdint.h>

#define SK_DOWNLINK_WINDOW_NS 250000000u
#define SK_DOWNLINK_WINDOWS 480
#define SK_DOWNLINK_NEAR 0.01
#define SK_DOWNLINK_PACKET 1448 /* and as many bytes: a packet comes in one window or the next */
#define SK_DOWNLINK_SHARE 0.25
#define SK_DOWNLINK_LEAST 6
#define SK_DOWNLINK_SURE 2
#define SK_DOWNLINK_VARIED 1.5
#define SK_DOWNLINK_RUN 12
#define SK_DOWNLINK_MORE 1.25
#define SK_DOWNLINK_FULL 0.75 /* of what the line carries, in the time of a probe */

struct sk_downlink_window {
    uint32_t number; /* of the window since time 0, + 1; 0 = none */
    uint32_t bytes;
    double squares; /* sum over the peers of their bytes squared */
};

struct sk_downlink {
    struct sk_downlink_window windows[SK_DOWNLINK_WINDOWS];
    uint32_t latest;  /* window */
    double line_rate; /* bytes a window that the line carries; 0: never known to be full */
    double most;      /* bytes that came in SK_DOWNLINK_RUN windows in a row */
};

/* What one peer gave in the latest window in which it gave anything; all 0 at first. */
struct sk_downlink_share {
    uint32_t number, bytes;
};

/* Bytes came from the peer whose share it is; now_ns does not decrease. */
void sk_downlink_note(struct sk_downlink *downlink, struct sk_downlink_share *share, uint64_t bytes,
                      uint64_t now_ns);
/* Whether the line was full for most of that time; windows that have not ended do not count. */
bool sk_downlink_full(const struct sk_downlink *downlink, uint64_t from_ns, uint64_t until_ns);
/* Whether more than that rate has come through the line, so that it is not the line's; false for
 * NAN. */
bool sk_downlink_is_wider(const struct sk_downlink *downlink, double bytes_s);

#endif
