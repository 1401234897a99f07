/*
 * Inside of blob.c, blob_put.c and blob_get.c. Layer: proto/dht.
 *
 * A blob is its parts and its root, numbered through: parts as wire/dht_blob.h numbers them, the
 * root last. Jobs of the batch are these numbers.
 */
#ifndef SK_PROTO_DHT_BLOB_INTERNAL_H
#define SK_PROTO_DHT_BLOB_INTERNAL_H

#include "base/map.h"
#include "proto/dht/blob.h"
#include "proto/dht/work.h"
#include "wire/dht_blob.h"

#define BLOB_NONE UINT32_MAX
#define BLOB_TRIES 4 /* searches for one item until it is given up */

struct sk_blob_item {
    uint32_t next_same; /* the next part with the same hash; BLOB_NONE */
    uint16_t closest, holding;
    uint8_t tries;
    bool same;    /* an earlier part with that hash stands for it */
    bool storing; /* put: its search is to store, else to look */
    bool done;    /* in this phase */
};

/* What a search for the root saw. Two who wrote at the same time may have left different values
 * with one seq; then the one counts that more nodes hold (where it is even, the greater). */
#define BLOB_RIVALS_MAX 4
struct sk_blob_newest {
    int64_t seq;
    unsigned count; /* of different values with that seq; 0: none was found */
    struct {
        struct sk_buf value; /* at most SK_KRPC_ITEM_MAX bytes */
        uint32_t nodes;
    } rivals[BLOB_RIVALS_MAX];
};

struct sk_blob {
    struct sk_work work;
    bool is_mutable;
    uint8_t key[SK_SIGN_PUBLIC_SIZE];
    uint8_t salt[SK_KRPC_SALT_MAX];
    size_t salt_size;
    uint8_t target[SK_DHT_ID_SIZE];
    unsigned parallel;

    struct sk_dht_blob blob;
    struct sk_blob_item *items; /* owned; NULL until it is known how many */
    uint32_t count;             /* of them, with the root */
    uint32_t done;              /* of them, in this phase */
    struct sk_map by_target;    /* the first item with that hash */
    struct sk_blob_newest newest;
    int64_t seq;

    struct sk_blob_put *put; /* owned; NULL: it is a get */
    uint64_t bytes_done;     /* get */
};

/* What both kinds begin with; the target is not set. SKEP_ERR_INVALID, SKEP_ERR_NOMEM. */
int sk_blob_new(const struct sk_dht_task_kind *kind, const struct sk_dht_blob_config *config,
                uint64_t now_ns, struct sk_blob **ret_blob);
/* The items of the blob that was cut or opened, and a batch with room for all. SKEP_ERR_NOMEM. */
int sk_blob_make_items(struct sk_blob *blob);
/* Part `number` has become known: if an earlier one has the same hash it joins that one's chain.
 * SKEP_ERR_NOMEM. */
int sk_blob_know(struct sk_blob *blob, uint32_t number);
/* The first part with the same hash as this one. */
uint32_t sk_blob_first_same(const struct sk_blob *blob, uint32_t number);

static inline uint32_t sk_blob_root(const struct sk_blob *blob)
{
    return blob->count - 1;
}

/* A search for an item; wider with each try. */
struct sk_dht_search sk_blob_search(const struct sk_blob *blob, uint32_t number, uint8_t tries);
/* Takes in a node's answer to the search for the root. SKEP_ERR_NOMEM. */
int sk_blob_saw_root(struct sk_blob *blob, const struct sk_dht_event *answered);
/* The value that counts, of those that were seen; newest.count is not 0. */
struct sk_bytes sk_blob_newest_value(const struct sk_blob *blob);

/* put: how it stands, for the result. */
uint64_t sk_blob_put_rounds(const struct sk_blob *blob);
void sk_blob_put_free(struct sk_blob *blob);
void sk_blob_free(struct sk_dht_task *task, struct sk_dht *dht);

#endif
