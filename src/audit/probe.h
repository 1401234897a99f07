/*
 * The probe of one peer: takes blocks from it to see what it delivers. Layer: audit; pure.
 *
 *   IDLE -> WAITING (interested, choked) -> READY (may ask, waits for a slot) -> RUNNING -> DONE
 *                         ^------------------- choked again -------------------'
 *
 * The pipeline starts small and grows by one with every block that comes (slow start) up to what
 * the peer takes, so that it is soon as deep as the path is long; the budget of bytes and of time
 * ends the probe. Choked during the whole audit it stays WAITING: its rate is unknown, not 0.
 */
#ifndef SK_AUDIT_PROBE_H
#define SK_AUDIT_PROBE_H

#include "audit/rate.h"

#define SK_PROBE_BYTES (1u << 20)
#define SK_PROBE_SECONDS 10.0
#define SK_PROBE_WINDOW_FIRST 8

enum sk_probe_state {
    SK_PROBE_IDLE,
    SK_PROBE_WAITING,
    SK_PROBE_READY,
    SK_PROBE_RUNNING,
    SK_PROBE_DONE,
};

struct sk_probe {
    enum sk_probe_state state;
    uint64_t budget;        /* bytes */
    uint64_t asked, got;    /* bytes of blocks asked for (taken back ones not counted), and come */
    uint32_t pending;       /* blocks on their way */
    uint32_t window;        /* how many may be */
    uint64_t interested_ns; /* when interest was first shown; 0 never */
    uint64_t run_ns;        /* time spent RUNNING before `since_ns` */
    uint64_t since_ns;      /* RUNNING: since when */
    uint64_t arrived;       /* bytes that came while RUNNING, unfinished blocks included */
    struct sk_arrivals arrivals;
};

void sk_probe_init(struct sk_probe *probe, uint64_t budget);
void sk_probe_deinit(struct sk_probe *probe);
void sk_probe_interested(struct sk_probe *probe, uint64_t now_ns);
/* Seconds since interest was first shown. */
double sk_probe_wanted_s(const struct sk_probe *probe, uint64_t now_ns);
/* The peer lets us ask (unchoked, or allowed-fast pieces). */
void sk_probe_allowed(struct sk_probe *probe);
void sk_probe_choked(struct sk_probe *probe, uint64_t now_ns);
void sk_probe_run(struct sk_probe *probe, uint64_t now_ns);
/* How many blocks may be asked for now; `request_max` is what the peer takes at once. */
uint32_t sk_probe_may_ask(const struct sk_probe *probe, uint32_t request_max);
/* Bytes of the budget that are not asked for yet. */
uint64_t sk_probe_left(const struct sk_probe *probe);
void sk_probe_asked(struct sk_probe *probe, uint32_t length);
void sk_probe_came(struct sk_probe *probe, uint32_t length, uint32_t request_max);
void sk_probe_lost(struct sk_probe *probe, uint32_t length);
/* Block bytes came. The rate is that of the time spent RUNNING, over all connections: neither being
 * choked nor being away counts. */
void sk_probe_arrived(struct sk_probe *probe, uint64_t bytes, uint64_t now_ns);
/* RUNNING and nothing came: back to WAITING, as if it had not begun. */
void sk_probe_put_off(struct sk_probe *probe);
/* Whether time or budget is used up (RUNNING only). */
bool sk_probe_over(const struct sk_probe *probe, double seconds_max, uint64_t now_ns);
void sk_probe_end(struct sk_probe *probe, uint64_t now_ns);
/* Seconds spent RUNNING. */
double sk_probe_seconds(const struct sk_probe *probe, uint64_t now_ns);

#endif
