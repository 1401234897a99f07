/*
 * What is to happen, in the order of virtual time; of two things at the same time the one that was
 * noted first comes first, so that one seed gives one trace. Layer: sim.
 *
 * Memory: 24 bytes a thing. A 4-ary heap with its keys inside: a 100,000-node network looks at it
 * for each datagram.
 */
#ifndef SK_SIM_AGENDA_H
#define SK_SIM_AGENDA_H

#include <stddef.h>
#include <stdint.h>

struct sk_sim_note {
    uint64_t at_ns;
    uint64_t order;
    uintptr_t what; /* the owner's */
};

/* Zero-initialised it is empty. */
struct sk_sim_agenda {
    struct sk_sim_note *notes;
    size_t count, capacity;
    uint64_t order;
};

void sk_sim_agenda_deinit(struct sk_sim_agenda *agenda);
void sk_sim_agenda_add(struct sk_sim_agenda *agenda, uint64_t at_ns, uintptr_t what);
/* The earliest, or NULL. Valid until the next call. */
const struct sk_sim_note *sk_sim_agenda_first(const struct sk_sim_agenda *agenda);
/* Drops the earliest; there must be one. */
void sk_sim_agenda_pop(struct sk_sim_agenda *agenda);

#endif
