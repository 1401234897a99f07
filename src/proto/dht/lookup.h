/*
 * An iterative lookup in one network: which nodes are known, who is asked next, when it is over.
 * Layer: proto/dht. Pure: knows no packets and no clock.
 *
 * Candidates stand in order of their distance. Asked is always the nearest that nobody asked yet
 * among the k nearest that may still be alive; over is it when the k nearest of those all answered,
 * or when there are fewer and all that is left of them is SLOW.
 *
 *   NEW -> ASKED -> ANSWERED
 *            |  \-> SLOW -> ANSWERED, SILENT     (others are asked in its place)
 *            \----> SILENT, REJECTED             (not there; not who it was told to be)
 *
 * SLOW and SILENT ones become NEW once more by sk_dht_lookup_again(), for what must not be missed
 * because of a lost packet. The first answer counts, whichever query it is to.
 *
 * What strangers tell is bounded: one candidate an IP address (IPv6: a /64; local addresses by
 * port), a few of each that tells, no narrower scope than the teller's own, and whose candidates
 * turn out dead is believed no more than a few times (see trusted()). A candidate counts as one of
 * the closest when it answered with the id that it was told by and, with ids_by_address, its id
 * fits its address; one that does not fit may lead on.
 *
 * Made-up ids cannot be near the target and fit their address, so who would keep us from the nodes
 * that are there can only lead us to others that are farther: when the k closest are farther than
 * they can be by chance, in a network of so many nodes, the lookup is astray and goes on with
 * nodes that we knew ourselves.
 *
 * Memory: about 80 bytes a candidate, SK_DHT_SEARCH_CANDIDATES_MAX, as they come.
 */
#ifndef SK_PROTO_DHT_LOOKUP_H
#define SK_PROTO_DHT_LOOKUP_H

#include "base/limits.h"
#include "proto/dht/node_id.h"

#define SK_DHT_ALPHA 4    /* queries under way at a time */
#define SK_DHT_TOLD_MAX 8 /* candidates taken from one answer: the nearest */
#define SK_DHT_NOBODY UINT16_MAX

enum sk_dht_candidate_state {
    SK_DHT_CANDIDATE_NEW,
    SK_DHT_CANDIDATE_ASKED,
    SK_DHT_CANDIDATE_SLOW,
    SK_DHT_CANDIDATE_ANSWERED,
    SK_DHT_CANDIDATE_SILENT,
    SK_DHT_CANDIDATE_REJECTED,
};

struct sk_dht_candidate {
    struct sk_dht_contact contact;
    uint64_t rtt_ns;
    int64_t seq;     /* of the item that it gave, with has_item */
    uint16_t teller; /* the first that told of it, a slot; NOBODY: we knew it */
    uint16_t step;   /* 1: we knew it */
    uint16_t token;  /* where in `tokens` */
    uint8_t token_size;
    uint8_t state;
    uint8_t tellers;                 /* how many told of it */
    uint8_t told_alive, told_failed; /* of those that it told first: answered; slow or worse */
    uint8_t told_asked;              /* under way */
    uint8_t queries;                 /* that it was sent */
    uint8_t waiting;                 /* of them under way: SILENT when all are lost */
    bool fits;                       /* its id its address */
    bool has_item;
    bool other_id; /* answered with another id than it was told by */
};

struct sk_dht_lookup_config {
    uint8_t target[SK_DHT_ID_SIZE];
    uint8_t self[SK_DHT_ID_SIZE]; /* ours: never a candidate */
    enum sk_family family;
    unsigned k;
    unsigned
        alpha; /* under way at a time, until nobody nearer is known than who answered: then k */
    bool ids_by_address;
    double nodes; /* how many there are in the network, as far as known; 0: no idea */
};

struct sk_dht_lookup {
    struct sk_dht_lookup_config config;
    struct sk_dht_candidate *candidates; /* by slot */
    uint16_t *order;                     /* slots, nearest first */
    uint16_t count, capacity;
    uint16_t under_way;             /* ASKED */
    uint16_t misfits_asked;         /* ids that do not fit, with ids_by_address */
    uint16_t ways_tried, ways_last; /* when astray: how many, while that was the farthest */
    struct sk_buf tokens;
};

/* The distance of two ids as a share of the whole space; greater than 0. */
double sk_dht_share(const uint8_t a[SK_DHT_ID_SIZE], const uint8_t b[SK_DHT_ID_SIZE]);
/* Whether somebody at an address of that scope may tell us of a node at this one. */
bool sk_dht_may_tell(enum sk_scope teller, const struct sk_endpoint *endpoint);
void sk_dht_lookup_init(struct sk_dht_lookup *lookup, const struct sk_dht_lookup_config *config);
void sk_dht_lookup_deinit(struct sk_dht_lookup *lookup);
/* Candidates that we know ourselves: believed. SKEP_ERR_NOMEM: some are missing. */
int sk_dht_lookup_know(struct sk_dht_lookup *lookup, const struct sk_dht_contact *contacts,
                       size_t count);
/* What the candidate in this slot, which answered, told of others. SKEP_ERR_NOMEM as before. */
int sk_dht_lookup_told(struct sk_dht_lookup *lookup, uint16_t teller,
                       const struct sk_dht_contact *contacts, size_t count);
/* The next to be asked, which counts as ASKED with this; false: nobody now. */
bool sk_dht_lookup_next(struct sk_dht_lookup *lookup, uint16_t *ret_slot);
/* Whether fewer than k are known that answered or may yet. */
bool sk_dht_lookup_few(const struct sk_dht_lookup *lookup);
/* Of the k nearest, those that answered and those that did not, each of the latter may be asked
 * once more. Returns whether there are any. */
bool sk_dht_lookup_again(struct sk_dht_lookup *lookup);
/* A query to it was answered. Returns whether that is news: by then it had neither ANSWERED nor
 * been REJECTED. The caller says which it is now. */
bool sk_dht_lookup_heard(struct sk_dht_lookup *lookup, uint16_t slot);
/* It answered with this id. Returns whether it is who it was told to be, or
 * proves to be somebody else who may count. */
bool sk_dht_lookup_answered(struct sk_dht_lookup *lookup, uint16_t slot,
                            const uint8_t id[SK_DHT_ID_SIZE], uint64_t rtt_ns);
/* Copies what it wants to see when something is stored. SKEP_ERR_NOMEM. */
int sk_dht_lookup_token(struct sk_dht_lookup *lookup, uint16_t slot, struct sk_bytes token);
/* The latest query to it takes long. */
void sk_dht_lookup_slow(struct sk_dht_lookup *lookup, uint16_t slot);
/* A query to it came to nothing. Returns whether it counts as SILENT with this. */
bool sk_dht_lookup_lost(struct sk_dht_lookup *lookup, uint16_t slot);
/* It is not who it was told to be, or lies. */
void sk_dht_lookup_reject(struct sk_dht_lookup *lookup, uint16_t slot);
bool sk_dht_lookup_over(const struct sk_dht_lookup *lookup);
/* The k (or fewer) closest that answered and count, nearest first: slots. */
size_t sk_dht_lookup_closest(const struct sk_dht_lookup *lookup, uint16_t *ret_slots, size_t max);
/* How many are SILENT, or SLOW: have not answered. */
uint32_t sk_dht_lookup_silent(const struct sk_dht_lookup *lookup);
/* How many nodes there are in the network, by how near the closest are; 0: cannot tell. */
double sk_dht_lookup_nodes(const struct sk_dht_lookup *lookup);
size_t sk_dht_lookup_bytes(const struct sk_dht_lookup *lookup);
/* NULL, or what does not hold. */
const char *sk_dht_lookup_fault(const struct sk_dht_lookup *lookup);

#endif
