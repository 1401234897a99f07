/*
 * Bytes as announced ports: storing in nodes that only know announces (BEP 5). Layer: wire.
 * docs/STORING.md has the format with test vectors.
 *
 * A port that is announced for an info-hash is 16 bits that a node keeps for about half an hour.
 * Info-hashes are derived from a text: one for the head, one for each segment of 38 bytes. Each
 * port says its own index, so order and repetition mean nothing; each head and segment carries a
 * check keyed by the text, so what is missing or foreign is noticed, and what is foreign is sorted
 * out by trying. Ports below 1024 are never used. One info-hash takes 31 ports at most: deployed
 * nodes answer with 50 to 100 peers (for IPv6 some with 25), chosen at random.
 *
 *   segment  31 ports of  5 bits index (1 to 31) and 11 bits data: 38 bytes, 4 bytes check
 *   head     15 ports of  4 bits index (1 to 15), 3 bits lane and 9 bits data: 3 bytes version,
 *            2 bytes length, 6 bytes check of the whole, 5 bytes check of the head
 *
 * Nothing can be taken back, so old heads stay beside new ones: the highest version counts. The
 * lane is the version modulo 8 and keeps their ports apart. Segments' info-hashes depend on version
 * and check, so those of an old version are never in the way.
 */
#ifndef SK_WIRE_DHT_PORT_BLOB_H
#define SK_WIRE_DHT_PORT_BLOB_H

#include "base/bytes.h"
#include "base/hash.h"
#include "wire/krpc.h"

#define SK_PORT_BLOB_MAX 1024 /* bytes: 27 segments, 852 ports */
#define SK_PORT_BLOB_SEGMENT 38
#define SK_PORT_BLOB_SEGMENTS_MAX                                                                  \
    ((SK_PORT_BLOB_MAX + SK_PORT_BLOB_SEGMENT - 1) / SK_PORT_BLOB_SEGMENT)
#define SK_PORT_BLOB_HEAD_PORTS 15
#define SK_PORT_BLOB_SEGMENT_PORTS 31
#define SK_PORT_BLOB_VERSION_MAX 0xffffffu
#define SK_PORT_BLOB_CHECK_SIZE 6

/* What all info-hashes and checks are made with. */
struct sk_port_blob_key {
    uint8_t bytes[SK_SHA256_SIZE];
};

struct sk_port_blob_head {
    uint32_t version; /* up to SK_PORT_BLOB_VERSION_MAX */
    uint32_t length;  /* up to SK_PORT_BLOB_MAX */
    uint8_t check[SK_PORT_BLOB_CHECK_SIZE];
};

/* A port that was seen (each once), and how many nodes told of it. */
struct sk_port_blob_seen {
    uint16_t port;
    uint16_t votes;
};

void sk_port_blob_key(struct sk_bytes text, struct sk_port_blob_key *ret_key);
void sk_port_blob_head_hash(const struct sk_port_blob_key *key, uint8_t ret_hash[SK_DHT_ID_SIZE]);
void sk_port_blob_segment_hash(const struct sk_port_blob_key *key,
                               const struct sk_port_blob_head *head, uint32_t segment,
                               uint8_t ret_hash[SK_DHT_ID_SIZE]);
/* The head of these bytes (at most SK_PORT_BLOB_MAX) in that version. */
struct sk_port_blob_head sk_port_blob_head(const struct sk_port_blob_key *key, uint32_t version,
                                           struct sk_bytes bytes);
/* Whether these are the bytes that the head was made of. */
bool sk_port_blob_whole(const struct sk_port_blob_key *key, const struct sk_port_blob_head *head,
                        struct sk_bytes bytes);

static inline uint32_t sk_port_blob_segments(uint32_t length)
{
    return (length + SK_PORT_BLOB_SEGMENT - 1) / SK_PORT_BLOB_SEGMENT;
}

void sk_port_blob_write_head(const struct sk_port_blob_key *key,
                             const struct sk_port_blob_head *head,
                             uint16_t ret_ports[SK_PORT_BLOB_HEAD_PORTS]);
/* `bytes` are all bytes of the blob. */
void sk_port_blob_write_segment(const struct sk_port_blob_key *key,
                                const struct sk_port_blob_head *head, uint32_t segment,
                                struct sk_bytes bytes,
                                uint16_t ret_ports[SK_PORT_BLOB_SEGMENT_PORTS]);
/*
 * What one address announced for the head: every head that can be read from it, at most `max`;
 * returns how many. Where ports contradict each other, those that more nodes tell of are tried
 * first, and a bounded number of combinations in all.
 */
size_t sk_port_blob_read_heads(const struct sk_port_blob_key *key,
                               const struct sk_port_blob_seen *seen, size_t count,
                               struct sk_port_blob_head *ret_heads, size_t max);
/* Likewise for a segment: fills its place in `bytes` (head->length of them); false where it cannot
 * be read (yet). */
bool sk_port_blob_read_segment(const struct sk_port_blob_key *key,
                               const struct sk_port_blob_head *head, uint32_t segment,
                               const struct sk_port_blob_seen *seen, size_t count, uint8_t *bytes);

#endif
