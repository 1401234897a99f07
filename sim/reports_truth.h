/*
 * What was true of each announce of a simulated swarm, beside what was said; and what an oracle
 * could have known: who had whom unchoked, what each gained, each capacity; which pieces each held,
 * and when it started what it had of others, but not later: that is in nobody's messages.
 * Layer: sim.
 */
#ifndef SK_SIM_REPORTS_TRUTH_H
#define SK_SIM_REPORTS_TRUTH_H

#include "sim/swarm.h"

#define SK_TRUTH_STEP_S 10.0  /* in which the oracle sees who was unchoked */
#define SK_TRUTH_LIE_PIECES 2 /* a smaller lie is none */

/* Uploads from one announce to a later one. */
struct sk_truth_span {
    double claimed;  /* bytes */
    double possible; /* what those it had unchoked took, and we */
    double seconds;
};

struct sk_truth_client {
    uint32_t announces;
    bool began;   /* the last announce is known */
    uint32_t key; /* of its present run */
    double at_s;
    uint64_t said_up, said_down, true_up, true_down; /* at the last announce */
    double lie_up, lie_down, lie_left;               /* bytes too many or too few, at most so far */
    double claimed_up;                               /* all in all */
    bool above; /* one claim is above its line's limit, or all claims are above what
                   all others can have got of it */
    struct sk_truth_span last, run; /* since the last announce, since the first of this run */
    double possible_all;
    uint64_t probed; /* at the last step */
    /* When it began this run: what it had, and said. */
    uint64_t begun_down;
    double begun_bytes, begun_under_way;
    bool oracle; /* one claim is above that, or above its line as measured; */
    bool exact;  /* or above its line, were that known exactly; */
    bool pieces; /* it downloaded less than it gained, or lacks other than it says */
    /* Announces until that was so, until it had lied by two pieces or more; 0 not. */
    uint32_t above_at, oracle_at, exact_at, pieces_at, lied_at;
};

struct sk_truth {
    struct sk_swarm *swarm;
    const struct sk_swarm_config *config;
    struct sk_announce *announces;
    size_t count, capacity;
    struct sk_truth_client *clients;
    size_t clients_count;
    uint64_t *downloaded; /* of each client, at the last step */
    double step_s;
};

/* As sk_announce_fn; ctx is a struct sk_truth. */
int sk_truth_announce(const struct sk_announce *announce, void *ctx);
/* After each step of SK_TRUTH_STEP_S. SKEP_ERR_NOMEM. */
int sk_truth_step(struct sk_truth *truth, double at_s);
void sk_truth_deinit(struct sk_truth *truth);
/* Whether one of its counters was off by SK_TRUTH_LIE_PIECES at an announce up to now. */
bool sk_truth_lied(const struct sk_truth *truth, const struct sk_truth_client *client);
/* The client that listens there, or SIZE_MAX. */
size_t sk_truth_find(const struct sk_truth *truth, const struct sk_endpoint *endpoint);

#endif
