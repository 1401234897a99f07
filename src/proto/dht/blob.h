/*
 * Bytes in the DHT: cut into items, stored, read back, kept alive; fetched and verified.
 * Layer: proto/dht. Tasks (task.h).
 *
 * How bytes become items is in wire/dht_blob.h, the format for others in docs/STORING.md. A put
 * looks up what is there (for seq and cas), stores the parts and then the root, and reads all of it
 * back from the closest nodes; what too few of them hold is stored again, at more nodes. With
 * `keep` it goes on: every while all is stored again, at the nodes that are the closest then (BEP
 * 44: at least once an hour). A get takes the newest root of all the closest, then the parts; each
 * search that fails is tried four times, among twice as many nodes each time.
 *
 * How they end: 0; SKEP_ERR_NOT_FOUND; SKEP_ERR_NETWORK (nobody to ask, nobody took it or gave it
 * back; a put with `keep` waits instead); SKEP_ERR_MISMATCH (a part is missing, or the root lies);
 * SKEP_ERR_UNSUPPORTED (a root of a later version); SKEP_ERR_STATE (cas, or another's value is
 * under the key with this seq or a higher one); SKEP_ERR_NOMEM.
 *
 * Memory: the bytes, 20 bytes a part for its hash, 16 for its state; a get 60 more a part.
 */
#ifndef SK_PROTO_DHT_BLOB_H
#define SK_PROTO_DHT_BLOB_H

#include "proto/dht/task.h"

struct sk_dht_blob_config {
    /* Where: one of the three */
    const uint8_t *seed; /* put, mutable: 32 bytes */
    const uint8_t *key;  /* get, mutable: public key */
    const uint8_t *hash; /* get, immutable; a put with neither seed nor key is immutable */
    struct sk_bytes salt;
    /* put */
    struct sk_bytes bytes; /* copied; SK_DHT_BLOB_MAX */
    bool raw;              /* bytes are one bencoded value, stored as it is */
    bool has_seq, has_cas;
    int64_t seq, cas;
    bool keep;
    uint64_t keep_ns;  /* how often all is looked after; 0: the default (30 minutes) */
    unsigned parallel; /* searches under way; 0: the default */
};

struct sk_dht_blob_result {
    struct sk_bytes bytes; /* get */
    bool is_value;
    uint8_t target[SK_DHT_ID_SIZE];
    const uint8_t *key; /* NULL immutable */
    int64_t seq;
    uint32_t items, items_done;
    /* put: of the closest nodes to the root those that hold it; of the item that fewest hold */
    uint32_t closest, holding, least_holding;
    uint64_t bytes_done, bytes_total;
    const char *what; /* static: what it is doing */
    uint64_t rounds;  /* keep: times that all was looked after */
};

/* SKEP_ERR_INVALID, SKEP_ERR_LIMIT (too many bytes), SKEP_ERR_NOMEM, SKEP_ERR_CRYPTO. */
int sk_dht_blob_put_new(const struct sk_dht_blob_config *config, uint64_t now_ns,
                        struct sk_dht_task **ret_task);
int sk_dht_blob_get_new(const struct sk_dht_blob_config *config, uint64_t now_ns,
                        struct sk_dht_task **ret_task);
/* Of either kind; valid until the next call into the task. */
void sk_dht_blob_result(const struct sk_dht_task *task, struct sk_dht_blob_result *ret_result);

#endif
