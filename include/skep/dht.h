/*
 * The Mainline DHT: looking up, announcing, storing bytes and fetching them, walking the network.
 *
 * A runtime's engine is a node (BEP 5, 32, 33, 42, 43, 44, 51) on its UDP port unless its config
 * says `no_dht`. Everything here runs on it. What is started gets a number (0 is none) and tells
 * what happens to a function of the caller's, one event at a time, never from inside the call that
 * started it; the last event is SKEP_DHT_DONE. The function may start and cancel what it likes.
 * Pointers in an event are valid until it returns.
 *
 * What is started begins the next time that the runtime has a moment. Searches and what is made of
 * them (put, get, crawl, size) then wait while the node is joining the network, for some seconds;
 * where it has nobody to ask they end at once: a search with `no_nodes` in its result, the others
 * with SKEP_ERR_NETWORK. That a single node does not answer or refuses is no error.
 *
 * Targets, ids and info-hashes are 20 bytes. Addresses are text, "ip:port" or "[ip6]:port".
 */
#ifndef SKEP_DHT_H
#define SKEP_DHT_H

#include <skep/engine.h>

enum skep_dht_method {
    SKEP_DHT_PING,
    SKEP_DHT_FIND_NODE,
    SKEP_DHT_GET_PEERS,
    SKEP_DHT_ANNOUNCE_PEER,
    SKEP_DHT_GET,
    SKEP_DHT_PUT,
    SKEP_DHT_SAMPLE,
    SKEP_DHT_UNKNOWN, /* statistics only */
    SKEP_DHT_METHOD_COUNT,
};

/* ---- the node ---- */

/*
 * A host that knows others: "name:port" or an address. Looked up and asked while the node knows
 * few nodes, after those of skep_dht_add_node() had a moment to answer; again with back-off
 * (10 s doubling to 5 min) while nobody answers, which is no error: skep_dht_stats() tells. Hosts
 * that cannot be reached from the bind address (names and public addresses, bound to loopback) are
 * passed over. SKEP_ERR_STATE (no node), SKEP_ERR_INVALID, SKEP_ERR_LIMIT (64), SKEP_ERR_NOMEM.
 */
int skep_dht_add_host(struct skep_engine *engine, const char *host_port);
/* An address that may be a node (from an earlier run, say). Of more than a thousand at a time some
 * are forgotten. SKEP_ERR_STATE, SKEP_ERR_INVALID, SKEP_ERR_NOMEM. */
int skep_dht_add_node(struct skep_engine *engine, const char *address);

enum skep_dht_standing { SKEP_DHT_EMPTY, SKEP_DHT_JOINING, SKEP_DHT_READY, SKEP_DHT_OFFLINE };

/* One network: families 4 and 6. */
struct skep_dht_network {
    bool there; /* there is a socket and a table */
    enum skep_dht_standing standing;
    double retry_s; /* OFFLINE: until the next attempt; -1 unknown */
    uint8_t id[20];
    char address[56]; /* as others see us, without port; "" unknown */
    uint32_t nodes, good, questionable, spares, buckets;
};

struct skep_dht_stats {
    struct skep_dht_network v4, v6;
    uint64_t queries_in[SKEP_DHT_METHOD_COUNT], queries_out[SKEP_DHT_METHOD_COUNT];
    uint64_t answers_in, answers_out, errors_in, errors_out, silent;
    uint64_t packets_in, packets_out, bytes_in, bytes_out;
    uint64_t dropped, malformed, unasked, bad_tokens, ids_changed;
    uint32_t hashes, peers, items; /* kept for others */
    uint32_t operations;
    size_t memory_bytes;
};
/* SKEP_ERR_STATE: the engine is no node. */
int skep_dht_stats(const struct skep_engine *engine, struct skep_dht_stats *ret_stats);

struct skep_dht_node {
    uint8_t id[20];
    char address[56];
    unsigned bucket; /* length of the prefix shared with our id */
    bool good;
    double rtt_s;    /* -1 unknown */
    char version[4]; /* raw bytes, 0 not said */
};
/* Walks the routing tables, IPv4 first: start with *pos = 0; false at the end. */
bool skep_dht_next_node(const struct skep_engine *engine, size_t *pos,
                        struct skep_dht_node *ret_node);

/* ---- queries and searches ---- */

enum skep_dht_event_kind {
    SKEP_DHT_ASKED,    /* search, and the searches of a put or get for its root: a query went to
                          `address` */
    SKEP_DHT_ANSWERED, /* `address` answered: what it said is in `answer` */
    SKEP_DHT_REFUSED,  /* it answered with an error: code, text */
    SKEP_DHT_SILENT,   /* it did not answer */
    SKEP_DHT_VALUE,    /* a true value, newer than any before: value */
    SKEP_DHT_STORED,   /* `address` took what was to be stored */
    SKEP_DHT_PROGRESS, /* put, get, crawl, size: progress */
    SKEP_DHT_FOUND,    /* crawl: a node, `found` */
    SKEP_DHT_DONE,     /* it is over: error 0 or negative enum skep_err, and the result */
};

/* What a node answered; only what its query asks for. */
struct skep_dht_answer {
    const uint8_t *nodes, *nodes6; /* compact, 26 and 38 bytes each */
    size_t nodes_count, nodes6_count;
    const char *const *peers; /* addresses */
    size_t peers_count;
    const uint8_t *filter_seeds, *filter_peers; /* 256 bytes (BEP 33), or NULL */
    const uint8_t *samples;                     /* 20 bytes each */
    size_t samples_count;
    int64_t samples_num, samples_interval_s; /* -1 not said */
    const uint8_t *token;
    size_t token_size;
    char version[4];
    bool forged;            /* its value was not true */
    const char *sees_us_as; /* address, or NULL */
};

/* A stored value: raw bencode; mutable ones with key (32 bytes), signature (64) and seq. */
struct skep_dht_value {
    const uint8_t *bytes;
    size_t size;
    const uint8_t *key, *signature;
    int64_t seq;
};

struct skep_dht_closest {
    const char *address;
    const uint8_t *id;
    unsigned distance; /* bits, 0 to 160 */
    double rtt_s;
    bool has_value, stored;
    int64_t refused; /* code of its error when storing; 0 none */
};

struct skep_dht_result {
    uint32_t asked, answered, silent, refused, forged;
    uint32_t stored, store_refused, store_silent;
    uint32_t steps;
    double seconds;
    const struct skep_dht_closest *closest;
    size_t closest_count;
    bool no_nodes;         /* there was nobody to ask: offline, or no bootstrap host answers */
    double seeds, peers;   /* search with `scrape`: estimates of BEP 33; -1 nobody said */
    uint32_t scrape_nodes; /* nodes that gave filters */
};

struct skep_dht_progress {
    uint64_t done, total; /* blobs: items; crawl: nodes asked and known; total 0 unknown */
    uint64_t bytes_done, bytes_total;
    const char *what;           /* static: "looking up", "storing", "reading back" */
    double estimate, low, high; /* size: as far as it is known; NAN */
};

struct skep_dht_found {
    uint8_t id[20];
    const char *address;
    enum skep_dht_found_state {
        SKEP_DHT_FOUND_ALIVE,
        SKEP_DHT_FOUND_SILENT,    /* others tell of it, it does not answer */
        SKEP_DHT_FOUND_ID_CHANGED /* it answers with another id than before or than told: alive too
                                   */
    } state;
    bool id_fits; /* BEP 42 */
    double rtt_s;
    char version[4];
    uint32_t told_by; /* how many nodes told of it */
};

struct skep_dht_event {
    enum skep_dht_event_kind kind;
    uint64_t id; /* number of what was started */
    enum skep_dht_method method;
    const char *address;    /* NULL where no node is meant */
    const uint8_t *node_id; /* NULL unknown */
    unsigned distance;      /* bits, of node_id to the target */
    uint32_t step;          /* 1: it was in our table; 2: such a node told of it; ... */
    double rtt_s;
    int64_t code;     /* REFUSED */
    const char *text; /* REFUSED: its words, raw */
    size_t text_size;
    const struct skep_dht_answer *answer;
    const struct skep_dht_value *value;
    const struct skep_dht_progress *progress;
    const struct skep_dht_found *found;
    const struct skep_dht_result *result; /* DONE of a search, put */
    const struct skep_dht_blob_result
        *blob; /* DONE and PROGRESS of a put or get: as far as it is known */
    const struct skep_dht_crawl_result
        *crawl; /* DONE and PROGRESS of a crawl: as far as it is known */
    const struct skep_dht_size_result
        *size; /* DONE and PROGRESS of a size: as far as it is known */
    int error;
    const char *reason; /* static, with error; NULL */
};

typedef void (*skep_dht_fn)(const struct skep_dht_event *event, void *ctx);

struct skep_dht_ask {
    enum skep_dht_method method; /* PING, FIND_NODE, GET_PEERS, GET, SAMPLE */
    const char *address;         /* "ip:port", or "name:port": looked up first */
    const uint8_t *target;       /* not for PING */
    bool scrape;
};

struct skep_dht_search {
    enum skep_dht_method method; /* FIND_NODE, GET_PEERS, GET */
    const uint8_t *target;
    unsigned family; /* 4, 6, 0 all */
    bool scrape;
    bool announce; /* GET_PEERS: then announce `port` (0: the engine's) to the closest */
    uint16_t port;
    bool seed;           /* announced as complete */
    bool first;          /* GET: the first true value is enough */
    const uint8_t *salt; /* GET of a mutable item */
    size_t salt_size;
};

/* SKEP_ERR_STATE (no node, or none in this family), SKEP_ERR_INVALID, SKEP_ERR_LIMIT (4,096 under
 * way), SKEP_ERR_NOMEM. An ask's DONE: SKEP_ERR_NOT_FOUND where there is no such host. */
int skep_dht_start_ask(struct skep_engine *engine, const struct skep_dht_ask *ask, skep_dht_fn fn,
                       void *ctx, uint64_t *ret_id);
int skep_dht_start_search(struct skep_engine *engine, const struct skep_dht_search *search,
                          skep_dht_fn fn, void *ctx, uint64_t *ret_id);
/* Ends whatever was started, without another event. */
void skep_dht_cancel(struct skep_engine *engine, uint64_t id);

/* ---- bytes under a key ---- */

/* How to name what is stored. Exactly one way is used. */
enum skep_dht_name {
    SKEP_DHT_NAME_TEXT,      /* `text`: a key pair derived from it, see skep_dht_text_key() */
    SKEP_DHT_NAME_SECRET,    /* `seed` of a key pair of one's own; put only */
    SKEP_DHT_NAME_PUBLIC,    /* `key`: that key pair's public key; get only */
    SKEP_DHT_NAME_IMMUTABLE, /* put: whatever its hash is; get: `hash` */
};
enum skep_dht_via {
    SKEP_DHT_VIA_ITEMS,    /* BEP 44 */
    SKEP_DHT_VIA_ANNOUNCE, /* announced ports; TEXT only; see skep-dht(1) */
};

struct skep_dht_blob {
    enum skep_dht_name name;
    enum skep_dht_via via;
    const char *text;
    const uint8_t *seed, *key, *hash; /* 32, 32, 20 bytes */
    const uint8_t *salt;              /* SECRET, PUBLIC; at most 64 bytes */
    size_t salt_size;
    /* put */
    const uint8_t *bytes; /* copied; at most 1 MiB */
    size_t size;
    bool raw; /* `bytes` is one bencoded value of at most 1,000 bytes, stored as it is */
    bool has_seq, has_cas;
    int64_t seq, cas; /* seq: default one above what is stored */
    bool keep;        /* stays and stores again every while, without a DONE */
    double rate;      /* VIA_ANNOUNCE: announces a second; 0: the default */
};

struct skep_dht_blob_result {
    const uint8_t *bytes; /* get: the bytes, verified end to end. For a value that is no byte string
                             and no root of ours: its bencode (is_value) */
    size_t size;
    bool is_value;
    const uint8_t *target, *key; /* where it lies: 20 bytes; 32 or NULL */
    int64_t seq;                 /* mutable */
    uint32_t items, items_done;  /* it is made of; VIA_ANNOUNCE: info-hashes, a put does them in
                                    order, the head last */
    uint32_t closest,
        holding;            /* put: of the closest nodes to the root, read back: how many hold it */
    uint32_t least_holding; /* the same of the item that fewest hold */
    /* VIA_ANNOUNCE: nodes that kept one port of an address only; the info-hash that was worked on
     * last (from 1; 0 none), its ports, and those of them that came back (put: from enough nodes)
     */
    uint32_t ports_one, part, ports, ports_back;
};

/* DONE: SKEP_ERR_NOT_FOUND, SKEP_ERR_NETWORK (nobody to ask, nobody stored it), SKEP_ERR_MISMATCH
 * (parts missing or wrong), SKEP_ERR_STATE (cas, or a newer seq is there), SKEP_ERR_UNSUPPORTED
 * (VIA_ANNOUNCE: the nodes keep one port of an address). */
int skep_dht_start_put(struct skep_engine *engine, const struct skep_dht_blob *blob, skep_dht_fn fn,
                       void *ctx, uint64_t *ret_id);
int skep_dht_start_get(struct skep_engine *engine, const struct skep_dht_blob *blob, skep_dht_fn fn,
                       void *ctx, uint64_t *ret_id);
/* The seed (32 bytes) of the key pair that a text stands for. */
void skep_dht_text_key(const char *text, uint8_t ret_seed[32]);
/* Its public key. SKEP_ERR_CRYPTO, SKEP_ERR_NOMEM. */
int skep_dht_public_key(const uint8_t seed[32], uint8_t ret_key[32]);

/* ---- the network ---- */

struct skep_dht_crawl {
    unsigned family;      /* 4 or 6 */
    double rate;          /* queries a second; 0: the default */
    uint32_t nodes_max;   /* ends when so many are known; 0: no limit but our own */
    unsigned prefix_bits; /* only ids that share so many bits with `prefix`; 0: all */
    const uint8_t *prefix;
};
struct skep_dht_crawl_result {
    uint64_t known, alive, silent, ids_changed, id_fits, queries;
    bool complete; /* everything known was asked */
};
int skep_dht_start_crawl(struct skep_engine *engine, const struct skep_dht_crawl *crawl,
                         skep_dht_fn fn, void *ctx, uint64_t *ret_id);

struct skep_dht_size {
    unsigned family;
    double
        precision; /* ends when the 95 % interval is within this share of the estimate; 0: 0.02 */
    double rate;   /* queries a second; 0: the default */
};
struct skep_dht_size_result {
    double estimate, low, high; /* nodes that answer; 95 % */
    uint64_t lookups, nodes_seen, queries;
    uint64_t id_fits;   /* of nodes_seen: whose id follows from their address (BEP 42) */
    double unseen;      /* share of the estimate that was met by nobody but inferred; NAN unknown */
    const char *method; /* static: how */
};
int skep_dht_start_size(struct skep_engine *engine, const struct skep_dht_size *size,
                        skep_dht_fn fn, void *ctx, uint64_t *ret_id);

#endif
