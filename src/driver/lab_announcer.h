/*
 * Announces the peers of a lab to its own tracker, as so many clients would: over UDP (BEP 15), at
 * the start and once in each interval. Those that trade do it by themselves. Layer: driver.
 *
 * All speak through one socket on 127.0.0.1 and name their own addresses, which the lab's tracker
 * is told to believe. A few announces are on the way at a time; one that is lost is sent again.
 */
#ifndef SK_DRIVER_LAB_ANNOUNCER_H
#define SK_DRIVER_LAB_ANNOUNCER_H

#include "base/bitfield.h"
#include "swarm/lab_swarm.h"

#include <uv.h>

struct sk_lab_announcer {
    const struct sk_lab_swarm *swarm;
    struct sk_endpoint tracker;
    uint32_t interval_s;
    void (*first_done)(void *ctx); /* once, when the tracker knows all that announce */
    void *ctx;
    int fd; /* -1: not started */
    uv_poll_t poll;
    uv_timer_t timer;
    uint64_t connection;
    bool connected;
    struct sk_bitfield answered;
    uint32_t next, waiting; /* whose turn it is; announces on the way */
    unsigned heard;         /* answers since the timer looked */
    unsigned rounds;
    uint64_t round_ns; /* when the present one began */
};

/* Starts; swarm and loop outlive it. SKEP_ERR_NETWORK, SKEP_ERR_NOMEM. */
int sk_lab_announcer_init(struct sk_lab_announcer *announcer, const struct sk_lab_swarm *swarm,
                          uv_loop_t *loop, uint16_t tracker_port, uint32_t interval_s,
                          void (*first_done)(void *ctx), void *ctx);
/* The loop has to run once more to close its handles. */
void sk_lab_announcer_deinit(struct sk_lab_announcer *announcer);

#endif
