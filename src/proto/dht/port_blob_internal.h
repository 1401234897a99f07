/* Inside of port_blob.c, port_blob_get.c and port_blob_put.c. Layer: proto/dht. */
#ifndef SK_PROTO_DHT_PORT_BLOB_INTERNAL_H
#define SK_PROTO_DHT_PORT_BLOB_INTERNAL_H

#include "proto/dht/port_blob.h"
#include "proto/dht/work.h"
#include "wire/dht_port_blob.h"

#define PORT_BLOB_TRIES 4
/* Readers ask more nodes than the eight that a writer needs: some keep one port of an address. */
#define PORT_BLOB_READ_K (2 * SK_DHT_K)
#define PORT_BLOB_HEADS_MAX 16 /* that are tried, the newest first */
/* Info-hashes: the segments, then the head. */
#define PORT_BLOB_HASHES_MAX (SK_PORT_BLOB_SEGMENTS_MAX + 1)

/* Peers that nodes told of for an info-hash, each with how many nodes did. */
struct sk_port_tally {
    struct sk_buf entries;
    uint32_t answers; /* that were counted in */
};

void sk_port_tally_init(struct sk_port_tally *tally);
void sk_port_tally_deinit(struct sk_port_tally *tally);
/* Counts an answer's peers in: all, or those with the IP address of `only`. What is beyond the
 * bound is not counted. SKEP_ERR_NOMEM. */
int sk_port_tally_add(struct sk_port_tally *tally, const struct sk_krpc *message,
                      const struct sk_endpoint *only);
/* Calls for each IP address once: start with *pos = 0; false at the end. */
bool sk_port_tally_next_ip(const struct sk_port_tally *tally, size_t *pos,
                           struct sk_endpoint *ret_ip);
/* What was told of that IP address: at most `max`; returns how many. */
size_t sk_port_tally_of(const struct sk_port_tally *tally, const struct sk_endpoint *ip,
                        struct sk_port_blob_seen *ret_seen, size_t max);
#define SK_PORT_TALLY_MAX 2048

/* A head that somebody announced. */
struct sk_port_found {
    struct sk_endpoint ip;
    struct sk_port_blob_head head;
};
/* All heads that can be read from what was told of the head's info-hash, at most
 * PORT_BLOB_HEADS_MAX, the newest first; returns how many. */
size_t sk_port_blob_find_heads(const struct sk_port_blob_key *key,
                               const struct sk_port_tally *tally,
                               struct sk_port_found ret_found[PORT_BLOB_HEADS_MAX]);

/* Whether so much was announced for the head's info-hash that a node's answer may leave the newest
 * out, and it has not been searched for often enough. */
bool sk_port_blob_crowded(const struct sk_port_tally *tally, unsigned tries);

/* Both kinds begin so. */
struct sk_port_blob {
    struct sk_work work;
    struct sk_port_blob_key key;
    struct sk_port_tally heads;    /* of the head's info-hash */
    struct sk_port_blob_head head; /* that is written or read */
    uint8_t bytes[SK_PORT_BLOB_MAX];
    struct sk_dht_port_blob_result result; /* without bytes and what */
};

int sk_port_blob_init(struct sk_port_blob *blob, const struct sk_dht_task_kind *kind,
                      const char *text, unsigned parallel, uint64_t now_ns);
void sk_port_blob_deinit(struct sk_port_blob *blob, struct sk_dht *dht);
/* A search for an info-hash: of the segment with this number, or of the head. */
#define PORT_BLOB_HEAD UINT32_MAX
struct sk_dht_search sk_port_blob_search(const struct sk_port_blob *blob, uint32_t number,
                                         unsigned k);
/* Whether nobody answered at all. */
static inline bool sk_port_blob_nobody(const struct sk_dht_result *result)
{
    return result->no_nodes || result->answered == 0;
}

#endif
