/*
 * A run of a simulated swarm with all that was observed and announced in it, for tests. Layer:
 * tests.
 */
#ifndef SK_TESTS_SIM_SWARM_RUN_H
#define SK_TESTS_SIM_SWARM_RUN_H

#include "sim/swarm_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct run_seen {
    struct sk_observation at; /* without its bytes, */
    uint32_t set;             /* but how many pieces a bitfield has */
    uint8_t peer_id[20];
};

struct run {
    struct sk_swarm *swarm;
    struct run_seen *seen;
    struct sk_announce *said;
    size_t seen_count, said_count, seen_capacity, said_capacity;
    uint32_t pieces;
};

/* 40 peers of which 2 are seeds, 300 pieces, five minutes; all watched, all honest. */
extern const struct sk_swarm_config run_plain;

void run_begin(struct run *run, const struct sk_swarm_config *config);
void run_begin_and_run(struct run *run, const struct sk_swarm_config *config);
void run_end(struct run *run);
const struct sk_swarm_client *run_client(const struct run *run, size_t i);
/* The next of the kind about a client from *at on, or NULL. */
const struct run_seen *run_next(const struct run *run, const struct sk_swarm_client *client,
                                enum sk_observation_kind kind, size_t *at);
uint32_t run_count(const struct run *run, const struct sk_swarm_client *client,
                   enum sk_observation_kind kind);
/* Pieces of the client's first bitfield. */
uint32_t run_first_set(const struct run *run, const struct sk_swarm_client *client);
/* All that a client gave others, took from others. */
uint64_t run_given(const struct run *run, uint32_t from);
uint64_t run_taken(const struct run *run, uint32_t to);
/* What each gave others took; what each took is pieces, parts of pieces, and waste. */
void run_check_bytes(const struct run *run, const struct sk_swarm_config *config);

#endif
