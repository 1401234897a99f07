/*
 * Walking the network: every node that can be found, asked for the nodes it knows, at a polite
 * rate. Layer: proto/dht. A task (task.h). walk.h says how nodes are asked, and what is made of
 * what they tell.
 *
 * What was found is told while it goes on: who answers, when it has been asked what there was to
 * ask. Who is silent, and who answered with another id than it was told by, is told when the walk
 * is over: the one may answer after all, and the other's tellers may be outvoted. At most
 * SK_DHT_CRAWL_NOTES_MAX are told between two runs.
 *
 * Memory: about 60 bytes a node (IPv6: 72).
 */
#ifndef SK_PROTO_DHT_CRAWL_H
#define SK_PROTO_DHT_CRAWL_H

#include "proto/dht/task.h"

#define SK_DHT_CRAWL_NOTES_MAX 4096

struct sk_dht_crawl_config {
    enum sk_family family;
    double rate;          /* queries a second; 0: the default, 200 */
    unsigned under_way;   /* nodes asked at a time; 0: the default, 512 */
    uint32_t nodes_max;   /* when so many are known no more are taken; 0: SK_DHT_CRAWL_NODES_MAX */
    unsigned prefix_bits; /* only ids that share so many bits with `prefix`; at most
                             SK_DHT_ZONE_BITS_MAX */
    uint8_t prefix[SK_DHT_ID_SIZE];
    uint64_t seed;
};

enum sk_dht_found_state {
    SK_DHT_FOUND_ALIVE,
    SK_DHT_FOUND_SILENT,     /* others tell of it, it never answered */
    SK_DHT_FOUND_ID_CHANGED, /* alive, but with two ids in its answers, or with another one than
                                its only teller or several tellers told */
};

struct sk_dht_found {
    struct sk_dht_contact contact; /* with the id of its last answer; silent: as told first */
    enum sk_dht_found_state state;
    bool id_fits;     /* BEP 42 */
    uint64_t rtt_ns;  /* of its first answer; 0 unknown */
    uint32_t told_by; /* distinct nodes, until now; 65535: that or more */
    char version[4];  /* raw bytes, 0 not said */
};

struct sk_dht_crawl_result {
    uint64_t known;  /* addresses told, with an id in the prefix */
    uint64_t asked;  /* of those: at least once */
    uint64_t alive;  /* answered; ids_changed and id_fits are among them */
    uint64_t silent; /* asked, and did not answer (yet) */
    uint64_t ids_changed, id_fits;
    uint64_t queries; /* all that were sent */
    bool complete;    /* everybody who is known was asked, and nobody told was left out for want of
                         room */
};

/* SKEP_ERR_INVALID, SKEP_ERR_NOMEM. A note for each node that was asked, once. Done with
 * SKEP_ERR_NETWORK: nobody answers; SKEP_ERR_STATE: the node is not in that network. Notes of
 * progress: at most two a second. */
int sk_dht_crawl_new(const struct sk_dht_crawl_config *config, uint64_t now_ns,
                     struct sk_dht_task **ret_task);
void sk_dht_crawl_result(const struct sk_dht_task *task, struct sk_dht_crawl_result *ret_result);

#endif
