/*
 * A node of the Mainline DHT: BEP 5, 32, 33, 42, 43, 44, 51. Layer: proto/dht. Sans-I/O.
 *
 * It is fed datagrams, asked for datagrams and events, and timed. One node serves IPv4 and IPv6 as
 * two networks (BEP 32) with a table and an id each; a search runs in both side by side.
 *
 *   loop: sk_dht_input() or sk_dht_tick(); then sk_dht_next_event() until 0; then
 *         sk_dht_next_output() until 0; then sleep until sk_dht_deadline().
 *
 * An answer to a query is made at once and is the first output. Queries of our own are made when
 * they are asked for, so that a rate limit holds back work rather than fills a queue. No allocation
 * for a packet. Everything that a stranger could fill is bounded (base/limits.h, SK_DHT_...).
 *
 * Operations (all numbered from one sequence, 0 is none):
 *   ask     one query to one address, one answer, sent again once after a time-out
 *   search  an iterative lookup: alpha queries under way, until the k closest that answered are
 *           known; then, if wanted, announce or put at those of them that gave a token
 * A slow node is overtaken after a short while and given up later. A candidate is counted as one of
 * the k closest when it answered with the id it was told by, from the address it was told at, and
 * its id fits its address (with ids_by_address). One candidate an IP address (IPv6: /64), local
 * addresses excepted; a few only of those that one node told.
 */
#ifndef SK_PROTO_DHT_DHT_H
#define SK_PROTO_DHT_DHT_H

#include "proto/dht/table.h"
#include "wire/dht_filter.h"
#include "wire/dht_item.h"
#include "wire/krpc.h"

struct sk_dht; /* owned */

struct sk_dht_config {
    uint64_t seed;                 /* of all randomness */
    unsigned families;             /* enum sk_krpc_want: where there is a socket */
    const uint8_t *id[2];          /* v4, v6: 20 bytes, or NULL: drawn */
    struct sk_endpoint address[2]; /* our own as others see it, where known (family NONE: learned by
                                      the votes of others, BEP 42) */
    bool read_only;                /* BEP 43: answers nothing, says so */
    bool ids_by_address;           /* BEP 42, both for our id and in judging others */
    double rate;     /* packets that we send a second, answers included; 0: no limit */
    bool unguarded;  /* no rate limits on what comes in (tests of load) */
    char version[4]; /* "v" */
};

/* SKEP_ERR_NOMEM. */
int sk_dht_new(const struct sk_dht_config *config, uint64_t now_ns, struct sk_dht **ret_dht);
void sk_dht_free(struct sk_dht *dht);
/* Our id in that network (SK_FAMILY_V4, SK_FAMILY_V6); NULL where there is none. */
const uint8_t *sk_dht_id(const struct sk_dht *dht, enum sk_family family);
/* The routing table of that network, to look at; NULL. */
const struct sk_dht_table *sk_dht_table(const struct sk_dht *dht, enum sk_family family);

/* Whether the datagram looks like KRPC, by its first bytes: for those who share the port. */
bool sk_dht_claims(struct sk_bytes datagram);
void sk_dht_input(struct sk_dht *dht, const struct sk_endpoint *from, struct sk_bytes datagram,
                  uint64_t now_ns);
void sk_dht_tick(struct sk_dht *dht, uint64_t now_ns);
uint64_t sk_dht_deadline(const struct sk_dht *dht);

/* 1 and a datagram to send, valid until the next call into the node; or 0. */
struct sk_dht_out {
    struct sk_endpoint to;
    struct sk_bytes bytes;
};
int sk_dht_next_output(struct sk_dht *dht, uint64_t now_ns, struct sk_dht_out *ret_out);

/*
 * An address that may be a node: from a bootstrap name, saved nodes, a PORT message, a torrent's
 * "nodes". It is asked for nodes near us and comes into the table if it answers. Few at a time are
 * asked, the rest wait (bounded; beyond that it is forgotten). `bootstrap`: it is one of those that
 * every client knows; they are asked only while the table is nearly empty, and never to store.
 */
void sk_dht_add_address(struct sk_dht *dht, const struct sk_endpoint *endpoint, bool bootstrap,
                        uint64_t now_ns);
/*
 * How the node stands in a network. It becomes READY when it has looked up its own id and the table
 * has a few good nodes; OFFLINE when nobody answers, until somebody does: meanwhile what
 * was added is asked again with back-off (2 s doubling to 5 min).
 */
enum sk_dht_state { SK_DHT_EMPTY, SK_DHT_JOINING, SK_DHT_READY, SK_DHT_OFFLINE };
enum sk_dht_state sk_dht_state(const struct sk_dht *dht, enum sk_family family);
/* When what was added is asked again, while OFFLINE; SK_TIME_NEVER. */
uint64_t sk_dht_retry_ns(const struct sk_dht *dht, enum sk_family family);

/* ---- operations ---- */

struct sk_dht_ask {
    enum sk_krpc_method method; /* PING, FIND_NODE, GET_PEERS, GET, SAMPLE, ANNOUNCE_PEER, PUT */
    struct sk_endpoint to;
    uint8_t target[SK_DHT_ID_SIZE]; /* also the info-hash */
    unsigned want;                  /* 0: what the address's family gives */
    bool scrape, no_seed;
    /* ANNOUNCE_PEER, PUT */
    struct sk_bytes token; /* copied; at most SK_KRPC_TOKEN_MAX */
    uint16_t port;         /* 0: implied */
    bool seed;
    const struct sk_dht_item *item; /* copied */
    bool has_cas;
    int64_t cas;
    bool once; /* not sent again after a time-out */
};

enum sk_dht_store { SK_DHT_STORE_NOTHING, SK_DHT_STORE_PEER, SK_DHT_STORE_ITEM };

struct sk_dht_search {
    enum sk_krpc_method method; /* FIND_NODE, GET_PEERS or GET */
    uint8_t target[SK_DHT_ID_SIZE];
    unsigned families; /* 0: all that we have */
    unsigned k;        /* how many closest; 0: SK_DHT_K. At most SK_DHT_SEARCH_K_MAX */
    bool scrape, no_seed;
    /* GET */
    bool first;           /* the first verified value ends the search (immutable items) */
    struct sk_bytes salt; /* of a mutable item; copied */
    /* Then */
    enum sk_dht_store store;
    uint16_t port; /* STORE_PEER; 0: implied */
    bool seed;
    const struct sk_dht_item *item; /* STORE_ITEM; copied; already signed */
    bool has_cas;                   /* sent only to those who hold an item */
    int64_t cas;
};

/* SKEP_ERR_INVALID, SKEP_ERR_LIMIT (SK_DHT_OPERATIONS_MAX under way), SKEP_ERR_NOMEM. */
int sk_dht_start_ask(struct sk_dht *dht, const struct sk_dht_ask *ask, uint64_t now_ns,
                     uint64_t *ret_op);
int sk_dht_start_search(struct sk_dht *dht, const struct sk_dht_search *search, uint64_t now_ns,
                        uint64_t *ret_op);
/* Ends it without another event. Unknown numbers are ignored. */
void sk_dht_cancel(struct sk_dht *dht, uint64_t op);
uint32_t sk_dht_operations(const struct sk_dht *dht);

/* ---- events ---- */

enum sk_dht_event_kind {
    SK_DHT_EVENT_ASKED,    /* search: a query went to contact (method, step) */
    SK_DHT_EVENT_ANSWERED, /* it answered: message, rtt_ns; `forged` when its item is not true */
    SK_DHT_EVENT_REFUSED,  /* it answered with an error: message */
    SK_DHT_EVENT_SILENT,   /* it did not answer */
    SK_DHT_EVENT_ITEM,     /* GET: contact gave a true item: the first, or a newer seq than any
                              before (item) */
    SK_DHT_EVENT_STORED,   /* contact took the announce or item */
    SK_DHT_EVENT_DONE,     /* the operation is over; a search has a result */
};

/* One of the closest that answered, nearest first. */
struct sk_dht_closest {
    struct sk_dht_contact contact;
    uint64_t rtt_ns;
    bool has_token, has_item; /* has_item: a true one, with the newest seq that the search saw */
    bool stored;              /* took what was to be stored */
    int64_t refused;          /* code of its error when storing; 0 none */
};

struct sk_dht_result {
    uint32_t asked, answered, silent, refused, forged; /* queries of the lookup */
    uint32_t stored, store_refused, store_silent;
    uint32_t steps;       /* longest chain of nodes from our table to an answer */
    uint64_t duration_ns; /* of the lookup, without storing */
    uint32_t closest_count;
    const struct sk_dht_closest *closest; /* of both networks, IPv4 first */
    bool has_item;
    bool no_nodes; /* there was nobody to ask */
};

/* Pointers are valid until the next call into the node other than sk_dht_start_...(). */
struct sk_dht_event {
    enum sk_dht_event_kind kind;
    uint64_t op;
    bool search; /* else an ask */
    enum sk_krpc_method method;
    struct sk_dht_contact contact;
    bool has_id;       /* contact.id is known */
    unsigned distance; /* bits, to the target (search, has_id) */
    uint32_t step;     /* how many nodes led there; 1: it was in our table */
    uint64_t rtt_ns;
    bool forged;
    const struct sk_krpc *message;      /* ANSWERED, REFUSED */
    const struct sk_dht_item *item;     /* ITEM */
    const struct sk_dht_result *result; /* DONE of a search */
    const uint8_t *target;
};

/* 1 and the next event, or 0. Of operations only; a node's own upkeep is silent. Take them after
 * each call that could make some: they are few for each, and bounded. */
int sk_dht_next_event(struct sk_dht *dht, struct sk_dht_event *ret_event);

/* ---- what it did ---- */

struct sk_dht_stats {
    uint64_t queries_in[SK_KRPC_METHOD_COUNT], queries_out[SK_KRPC_METHOD_COUNT];
    uint64_t answers_in, answers_out, errors_in, errors_out;
    uint64_t packets_in, packets_out, bytes_in, bytes_out;
    uint64_t dropped_address, dropped_banned, dropped_total; /* by the guard */
    uint64_t malformed, unasked; /* no KRPC; answers to nothing that we asked */
    uint64_t silent;             /* time-outs */
    uint64_t bad_tokens;
    uint64_t ids_changed;                       /* an address came with another id than before */
    uint32_t operations, transactions, waiting; /* now; waiting: addresses to be asked */
    uint32_t hashes, peers, items;              /* stored for others */
    struct sk_endpoint address[2];              /* what others say that we are; NONE unknown */
    size_t bytes;                               /* of memory */
};
void sk_dht_stats(const struct sk_dht *dht, struct sk_dht_stats *ret_stats);
/* NULL, or what does not hold of what must. For tests and the simulator. */
const char *sk_dht_fault(const struct sk_dht *dht);

#endif
