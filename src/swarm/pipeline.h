/*
 * How many requests to one peer may be on their way. Layer: swarm. Pure.
 *
 * It starts with a few and grows by one with every block that comes, doubling each round trip, up
 * to what the peer delivers in SK_PIPELINE_AHEAD_S, or in two of its shortest round trips where
 * those take longer: deep enough to never run dry, shallow enough that what waits can be had of
 * others soon. While it grows the rate grows with it; when the rate does no more, the path is full.
 */
#ifndef SK_SWARM_PIPELINE_H
#define SK_SWARM_PIPELINE_H

#include <stdint.h>

#define SK_PIPELINE_FIRST 8
#define SK_PIPELINE_SPARE 4  /* beyond what the rate says */
#define SK_PIPELINE_LONG 512 /* no deeper, unless the path is as long */
#define SK_PIPELINE_AHEAD_S 1.0
#define SK_PIPELINE_LOOK_S 0.25 /* the rate is looked at so often */

struct sk_pipeline {
    uint32_t window;           /* requests */
    double rate_bytes_s;       /* smoothed; 0: not known yet */
    uint64_t bytes, looked_ns; /* since the last look */
    uint64_t rtt_min_ns;       /* 0: not known */
};

void sk_pipeline_init(struct sk_pipeline *pipeline, uint64_t now_ns);
/* It choked us or was silent: what it can do is found out anew. */
void sk_pipeline_reset(struct sk_pipeline *pipeline, uint64_t now_ns);
/* A block of so many bytes came, so long after it was asked for. */
void sk_pipeline_came(struct sk_pipeline *pipeline, uint32_t bytes, uint64_t rtt_ns,
                      uint64_t now_ns);
/* Requests that may be on their way, at most `max` (what the peer takes). */
uint32_t sk_pipeline_depth(const struct sk_pipeline *pipeline, uint32_t max);
/*
 * How many requests to add to `pending` ones now: what the depth leaves once that is a
 * SK_PIPELINE_BATCH-th of it, else 0. So a fast peer is sent many in one go, a slow one each as
 * soon as it may.
 */
#define SK_PIPELINE_BATCH 16
uint32_t sk_pipeline_room(const struct sk_pipeline *pipeline, uint32_t pending, uint32_t max);

#endif
