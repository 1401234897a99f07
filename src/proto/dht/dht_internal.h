/*
 * What the files of a node share: dht.c (in and out), answer.c (queries of others), operation.c
 * (asks), search.c, maintain.c (upkeep). Layer: proto/dht.
 */
#ifndef SK_PROTO_DHT_DHT_INTERNAL_H
#define SK_PROTO_DHT_DHT_INTERNAL_H

#include "base/limits.h"
#include "base/map.h"
#include "proto/dht/dht.h"
#include "proto/dht/guard.h"
#include "proto/dht/item_store.h"
#include "proto/dht/lookup.h"
#include "proto/dht/peer_store.h"
#include "proto/dht/rpc.h"
#include "proto/dht/token.h"

#define SK_DHT_DATAGRAM_MAX 1400 /* of ours: passes everywhere */
#define SK_DHT_NEWCOMERS_MAX 4   /* strangers that wait for a ping */
#define SK_DHT_VOTES 16          /* on our address, of the voters of late */

/* Who comes first when packets are short. */
enum sk_dht_class { SK_DHT_CLASS_ANSWER, SK_DHT_CLASS_OPERATION, SK_DHT_CLASS_UPKEEP };

struct sk_dht_vote {
    uint64_t voter, address; /* hashes of IP addresses */
};

/* One of the two networks. */
struct sk_dht_net {
    struct sk_dht_table *table; /* NULL: no socket there */
    uint64_t join_op, refresh_op;
    uint64_t answered_ns; /* when somebody answered last */
    uint32_t silences;    /* time-outs since then */
    uint32_t rounds;      /* looks round in the network, after joining, that are left */
    uint32_t retries;     /* while offline */
    uint64_t retry_ns;    /* SK_TIME_NEVER unless offline */
    uint64_t seek_ns;     /* joined: when it is seen to that the table holds somebody */
    uint32_t seeks;       /* because it did not */
    bool joined, offline, id_given;
    bool moved;   /* our id changed while we were joining */
    bool settled; /* our id is what it will be: before, nobody is to take us into a table */
    double nodes; /* how many there seem to be; 0 no idea */
    struct sk_endpoint address; /* ours; family NONE unknown */
    struct sk_dht_vote votes[SK_DHT_VOTES];
    uint32_t votes_count;
};

enum sk_dht_address_state { SK_DHT_ADDRESS_WAITING, SK_DHT_ADDRESS_ASKED, SK_DHT_ADDRESS_TRIED };

struct sk_dht_address {
    struct sk_endpoint endpoint;
    uint8_t state;
    bool bootstrap;
};

enum sk_dht_queue_kind {
    SK_DHT_QUEUE_NONE,
    SK_DHT_QUEUE_OPERATIONS, /* may have something to send */
    SK_DHT_QUEUE_UPKEEP,     /* the same, our own */
    SK_DHT_QUEUE_FINISHED,   /* DONE is to be told */
    SK_DHT_QUEUE_COUNT,
};

/* The beginning of every operation. */
struct sk_dht_op {
    uint64_t number;
    struct sk_dht_op *next, *previous; /* in its queue */
    uint8_t queue;
    bool search, upkeep, over;
};

struct sk_dht_event_record {
    struct sk_dht_contact contact;
    uint64_t op, rtt_ns;
    uint32_t step;
    uint8_t kind, method;
    bool has_id, has_message, forged;
};

struct sk_dht {
    struct sk_prng prng;        /* ids, places, waits */
    struct sk_prng secret_prng; /* secrets of tokens and transactions: nobody sees what is drawn */
    uint64_t now_ns;            /* the latest that we were told */
    uint64_t vote_seed;
    bool read_only, ids_by_address;
    uint8_t version[4];
    double rate, allowance; /* packets */
    uint64_t allowance_ns;
    struct sk_dht_net nets[2];
    struct sk_dht_tokens tokens;
    struct sk_dht_guard *guard;
    struct sk_dht_peer_store *peers;
    struct sk_dht_item_store *items;
    uint64_t expire_ns;
    struct sk_dht_rpc rpc;
    struct sk_krpc message; /* the last that came */
    struct sk_buf out;      /* the datagram that is made */
    struct sk_endpoint out_to;
    bool has_answer;

    struct sk_dht_address *addresses; /* that may be nodes */
    uint32_t addresses_count, addresses_capacity, addresses_waiting;
    struct sk_dht_contact newcomers[SK_DHT_NEWCOMERS_MAX];
    uint32_t newcomers_count;

    struct sk_map ops; /* by number */
    uint64_t ops_last;
    uint32_t ops_count; /* without upkeep */
    struct {
        struct sk_dht_op *first, *last;
    } queues[SK_DHT_QUEUE_COUNT];
    struct sk_dht_op *told; /* its DONE was told; freed with the next call */
    struct sk_dht_event_record *events;
    uint32_t events_first, events_count, events_capacity;
    struct sk_dht_stats stats;
};

/* ---- dht.c ---- */

static inline unsigned sk_dht_net_index(enum sk_family family)
{
    return family == SK_FAMILY_V6;
}

static inline struct sk_dht_net *sk_dht_net_of(struct sk_dht *dht, enum sk_family family)
{
    return &dht->nets[sk_dht_net_index(family)];
}

static inline enum sk_family sk_dht_family_of(unsigned index)
{
    return index ? SK_FAMILY_V6 : SK_FAMILY_V4;
}

/* A packet of this class may be sent now; it is counted when it is. */
bool sk_dht_may_send(const struct sk_dht *dht, enum sk_dht_class class);
/*
 * Makes the datagram of a query (method, target, want and what else the method has) to
 * call->contact; `call` as sk_dht_rpc_start() wants it. SKEP_ERR_LIMIT, SKEP_ERR_NOMEM.
 */
int sk_dht_query(struct sk_dht *dht, struct sk_dht_call *call, struct sk_krpc *query,
                 uint64_t soft_ns);
/* Tells of something, where the operation is not our own upkeep. */
void sk_dht_tell(struct sk_dht *dht, const struct sk_dht_op *op,
                 const struct sk_dht_event_record *record);
/* Whether there is room for what one step may tell. */
bool sk_dht_can_tell(const struct sk_dht *dht);

/* ---- answer.c ---- */

/* A query came that the guard let pass (dht->message): the answer, if any, is in dht->out. */
void sk_dht_answer(struct sk_dht *dht, const struct sk_endpoint *from, size_t query_size);

/* ---- operation.c, search.c ---- */

struct sk_dht_op *sk_dht_op_find(const struct sk_dht *dht, uint64_t number);
/* Gives it a number. SKEP_ERR_LIMIT, SKEP_ERR_NOMEM. */
int sk_dht_op_add(struct sk_dht *dht, struct sk_dht_op *op);
void sk_dht_op_enqueue(struct sk_dht *dht, struct sk_dht_op *op, enum sk_dht_queue_kind queue);
/* It may have something to send. */
void sk_dht_op_wake(struct sk_dht *dht, struct sk_dht_op *op);
/* It is over: DONE is told; an upkeep's is told to maintain.c and it is freed. */
void sk_dht_op_finish(struct sk_dht *dht, struct sk_dht_op *op);
void sk_dht_op_free(struct sk_dht *dht, struct sk_dht_op *op);
/* Makes its next query, if it wants one: whether it did. */
bool sk_dht_op_output(struct sk_dht *dht, struct sk_dht_op *op);
/* What became of one of its calls: dht->message answers it; it is slow; it is given up. */
void sk_dht_op_answered(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call,
                        uint64_t rtt_ns);
void sk_dht_op_slow(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call);
void sk_dht_op_silent(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call);
/* A copy in one piece of memory, of sk_mem_free(); NULL: no memory. */
struct sk_dht_item *sk_dht_item_copy(const struct sk_dht_item *item);

/* What a put says of the item. */
void sk_dht_item_query(struct sk_krpc *query, const struct sk_dht_item *item, bool has_cas,
                       int64_t cas);

void sk_dht_search_free(struct sk_dht_op *op);
bool sk_dht_search_output(struct sk_dht *dht, struct sk_dht_op *op);
void sk_dht_search_answered(struct sk_dht *dht, struct sk_dht_op *op,
                            const struct sk_dht_call *call, uint64_t rtt_ns);
void sk_dht_search_slow(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call);
void sk_dht_search_silent(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call);
/* What an event of it points to. */
void sk_dht_search_event(struct sk_dht_op *op, struct sk_dht_event *event);
const uint8_t *sk_dht_ask_target(const struct sk_dht_op *op);
/* A search of our own in one network. */
int sk_dht_search_upkeep(struct sk_dht *dht, enum sk_family family,
                         const uint8_t target[SK_DHT_ID_SIZE], uint64_t *ret_op);
/* More nodes to start from. */
void sk_dht_search_know(struct sk_dht *dht, struct sk_dht_op *op,
                        const struct sk_dht_contact *contacts, size_t count);
/* How many nodes answered it. */
uint32_t sk_dht_search_reached(const struct sk_dht_op *op);
size_t sk_dht_search_bytes(const struct sk_dht_op *op);
const char *sk_dht_search_fault(const struct sk_dht_op *op);

/* ---- maintain.c ---- */

void sk_dht_maintain_deinit(struct sk_dht *dht);
/* Makes the next query of our own upkeep: whether it did. */
bool sk_dht_maintain_output(struct sk_dht *dht);
void sk_dht_maintain_tick(struct sk_dht *dht);
uint64_t sk_dht_maintain_deadline(const struct sk_dht *dht);
/* Any call was answered by dht->message. */
void sk_dht_maintain_answered(struct sk_dht *dht, const struct sk_dht_call *call, uint64_t rtt_ns);
void sk_dht_maintain_silent(struct sk_dht *dht, const struct sk_dht_call *call);
/* An upkeep operation is over. */
void sk_dht_maintain_over(struct sk_dht *dht, const struct sk_dht_op *op);
/* Somebody queried us who would be welcome in the table. */
void sk_dht_maintain_newcomer(struct sk_dht *dht, const struct sk_dht_contact *contact);
/* Whether it is one of the nodes that every client knows. */
bool sk_dht_is_bootstrap(const struct sk_dht *dht, const struct sk_endpoint *endpoint);
const char *sk_dht_maintain_fault(const struct sk_dht *dht);

#endif
