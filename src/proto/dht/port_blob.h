/*
 * Bytes in announced ports: the way of before BEP 44, for nodes that only know announces.
 * Layer: proto/dht. Tasks (task.h). How bytes become ports is in wire/dht_port_blob.h, the format
 * for others in docs/STORING.md.
 *
 * At most SK_PORT_BLOB_MAX (1,024) bytes. They live for as long as nodes keep announces: 30 to 45
 * minutes. n bytes are n / 38 * 31 + 15 ports, each announced at 8 nodes: 6.5 announces a byte and
 * 120 for the head; 1,024 bytes at the default rate of 10 a second take under twelve minutes. One
 * node never gets more than one announce in 0.3 s, whatever the rate.
 *
 * A put that keeps goes on when all is stored: 15 minutes after it began it announces the same
 * version again, and so on, without a DONE. What cannot be announced or read back then, because
 * nobody answers, is tried again after two minutes; a newer version of somebody else ends it.
 *
 * How they end: 0; SKEP_ERR_NOT_FOUND; SKEP_ERR_NETWORK (nobody to ask, or they do not give back
 * what was announced); SKEP_ERR_UNSUPPORTED (the nodes keep one port of an address only);
 * SKEP_ERR_MISMATCH (get: there is a head, but not all that it speaks of); SKEP_ERR_STATE (put:
 * somebody stored a newer version meanwhile); SKEP_ERR_LIMIT (put: the highest version is there);
 * SKEP_ERR_NOMEM.
 */
#ifndef SK_PROTO_DHT_PORT_BLOB_H
#define SK_PROTO_DHT_PORT_BLOB_H

#include "proto/dht/task.h"

struct sk_dht_port_blob_config {
    const char *text;      /* the key; copied */
    struct sk_bytes bytes; /* put; copied */
    double rate;           /* announces a second, all nodes together; 0: the default */
    bool keep;             /* put */
};

struct sk_dht_port_blob_result {
    struct sk_bytes bytes;        /* get */
    uint32_t hashes, hashes_done; /* info-hashes that it takes */
    uint64_t announces, announces_done;
    uint32_t nodes, nodes_one_port; /* put: nodes that took announces; of them those that keep only
                                       one port of an address */
    uint32_t holding; /* put, read back: the least number of nodes from which a hash can be read */
    /* The info-hash that was worked on last: its number (from 1; put: in order, the head last; 0
     * none), its ports, and how many of them came back: put, from enough nodes; get, from any. */
    uint32_t number, ports, ports_back;
    const char *what; /* static; put that keeps: "keeping" when all is stored */
};

/* SKEP_ERR_INVALID (no text, a rate below 0), SKEP_ERR_LIMIT (too many bytes), SKEP_ERR_NOMEM. */
int sk_dht_port_blob_put_new(const struct sk_dht_port_blob_config *config, uint64_t now_ns,
                             struct sk_dht_task **ret_task);
int sk_dht_port_blob_get_new(const struct sk_dht_port_blob_config *config, uint64_t now_ns,
                             struct sk_dht_task **ret_task);
/* Of either kind; valid until the next call into the task. */
void sk_dht_port_blob_result(const struct sk_dht_task *task,
                             struct sk_dht_port_blob_result *ret_result);

#endif
