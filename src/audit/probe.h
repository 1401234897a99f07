/*
 * The probe of one peer: takes blocks from it to see what it delivers. Layer: audit; pure.
 *
 *   IDLE -> WAITING (interested, choked) -> READY (may ask, waits for a slot) -> RUNNING -> DONE
 *    ^                    ^------------------- choked again -------------------'           |
 *    '------------------------------------- another lap ----------------------------------'
 *
 * The pipeline starts as deep as the first budget, so that no slow peer waits for us, and grows by
 * one with every block that comes, up to what the peer takes and to what it gives in
 * SK_PROBE_QUEUE_S, and shrinks with every one that it refuses. Where the peer's HAVEs matter it
 * starts shallow: a client hands all that it is asked for to its kernel at once, and what it tells
 * waits behind it, from one that gives us 6 KB/s three minutes behind 1 MiB. The budget of bytes
 * and of time ends the probe. The bytes double while the peer is fast (they are gone in no time)
 * and the interval of its rate still wide. Choked during the whole audit the probe stays WAITING:
 * the rate is unknown, not 0.
 *
 * What the budget leaves is for laps: a few blocks more, now and then, while the capacity is not
 * known. Where many share a queue, two packets of ours follow each other when a peer begins to
 * send, and hardly later. What was delivered is what the first lap says.
 */
#ifndef SK_AUDIT_PROBE_H
#define SK_AUDIT_PROBE_H

#include "audit/capacity.h"

#define SK_PROBE_BYTES (1u << 20)
#define SK_PROBE_BYTES_LONG (64u << 20) /* of a fast peer whose rate is hard to tell */
#define SK_PROBE_SECONDS 10.0
#define SK_PROBE_WINDOW_FIRST (SK_PROBE_BYTES / SK_BLOCK_SIZE)
#define SK_PROBE_WINDOW_SHALLOW 8
#define SK_PROBE_LAPS 24
#define SK_PROBE_LAP_BLOCKS 2
#define SK_PROBE_QUEUE_S 4.0        /* what is asked for should not take a peer longer */
#define SK_PROBE_WINDOW_LEAST 8     /* of one that refuses */
#define SK_PROBE_FAST_BYTES_S 2.5e6 /* 20 Mbit/s */
#define SK_PROBE_WIDE 0.05          /* half an interval, of its rate */
#define SK_PROBE_PAUSE_NS 20000000u /* 20 ms */
#define SK_PROBE_STARVED_TIMES 3    /* once is how it began */
#define SK_PROBE_STARVED 0.3        /* of the time */
#define SK_PROBE_SPAN_S 0.25        /* shorter ones say little of the next second */

enum sk_probe_state {
    SK_PROBE_IDLE,
    SK_PROBE_WAITING,
    SK_PROBE_READY,
    SK_PROBE_RUNNING,
    SK_PROBE_DONE,
};

struct sk_probe {
    enum sk_probe_state state;
    uint64_t budget;     /* bytes */
    uint64_t budget_max; /* that it may grow to */
    bool fast;           /* it gave most of its first budget in no time */
    uint64_t looked;     /* bytes that had come when it was last seen whether it must */
    uint64_t asked, got; /* bytes of blocks asked for (taken back ones not counted), and come */
    uint32_t laps;       /* that may follow, and to how many bytes got in all */
    uint64_t laps_bytes;
    uint32_t lap;               /* 0: the first */
    uint64_t lap_asked, lap_ns; /* `asked` and `run_ns` when it began */
    uint32_t pending;           /* blocks on their way */
    uint32_t window;            /* how many may be, and how many at first */
    uint32_t window_first;
    uint64_t interested_ns; /* when interest was first shown; 0 never */
    uint64_t run_ns;        /* time spent RUNNING before `since_ns` */
    uint64_t since_ns;      /* RUNNING: since when */
    uint64_t arrived;       /* bytes that came while RUNNING, unfinished blocks included */
    struct sk_arrivals arrivals;
    bool deepest;         /* the pipeline is as deep as the peer takes */
    uint64_t train_bytes; /* since the last pause; and what was under way when it began */
    uint64_t train_asked;
    uint64_t asked_then; /* `asked` before the first block of this arrival came; 0: none */
    uint64_t starved_ns; /* pauses after all that had been asked for, and how many */
    uint32_t starved_times;
    struct sk_rate_estimate delivered; /* DONE: the arrivals are gone */
    struct sk_capacity_estimate capacity;
};

void sk_probe_init(struct sk_probe *probe, uint64_t budget, uint64_t budget_max);
void sk_probe_deinit(struct sk_probe *probe);
/* Before anything is asked for: what the peer tells meanwhile matters. */
void sk_probe_shallow(struct sk_probe *probe);
void sk_probe_interested(struct sk_probe *probe, uint64_t now_ns);
/* Another lap, of so many bytes at most: DONE becomes IDLE. */
void sk_probe_again(struct sk_probe *probe, uint64_t bytes_max);
/* It is over, laps and bytes for them are left, and the capacity is not known. */
bool sk_probe_lacks(const struct sk_probe *probe);
/* A rate was measured, or tried to: this is another lap, or all are over. */
bool sk_probe_is_measured(const struct sk_probe *probe);
/* Nothing was asked for in this lap. */
bool sk_probe_is_fresh(const struct sk_probe *probe);
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
void sk_probe_came(struct sk_probe *probe, uint32_t length, uint32_t request_max, uint64_t now_ns);
void sk_probe_lost(struct sk_probe *probe, uint32_t length);
/* Block bytes came. The rate is that of the time spent RUNNING, over all connections: neither being
 * choked nor being away counts. */
void sk_probe_arrived(struct sk_probe *probe, uint64_t bytes, uint64_t now_ns);
/* A block came: gives the probe a larger budget where it needs one, before all of it is used up, so
 * that the pipeline does not run dry. */
void sk_probe_lengthen(struct sk_probe *probe);
/* RUNNING and nothing came: back to WAITING, as if it had not begun. */
void sk_probe_put_off(struct sk_probe *probe);
/* Whether time or budget is used up (RUNNING only). */
bool sk_probe_over(const struct sk_probe *probe, double seconds_max, uint64_t now_ns);
void sk_probe_end(struct sk_probe *probe, uint64_t now_ns);
/*
 * What the arrivals say so far. Where the peer gave all it had been asked for and then waited for
 * us, for more than SK_PROBE_STARVED of the time, the rate is unknown: "our pipeline was the
 * limit".
 */
void sk_probe_judge(const struct sk_probe *probe, struct sk_rate_estimate *ret_delivered,
                    struct sk_capacity_estimate *ret_capacity);
/* Seconds spent RUNNING. */
double sk_probe_seconds(const struct sk_probe *probe, uint64_t now_ns);

#endif
