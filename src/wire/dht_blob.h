/*
 * Bytes as items of the DHT (BEP 44): how a text becomes a key pair, how bytes are cut into items
 * and put together again. Layer: wire. docs/STORING.md has the format with test vectors.
 *
 * Up to SK_DHT_BLOB_STRING_MAX bytes are one byte string, so that any other program reads them.
 * More are cut into parts of SK_DHT_BLOB_PART bytes, each an immutable byte string, found by its
 * hash. The hashes of the parts, one after the other, are bytes again: as long as they do not fit
 * into a root they are cut into parts in their turn. The root is a dictionary (a stored string is
 * none, so the two cannot be confused) that carries the last hashes, the length and the SHA-256 of
 * the whole:
 *
 *     d 6:length i<n>e 5:parts <20 bytes each> 6:sha256 <32 bytes> 4:skep i1e e
 *
 * How many levels and parts there are follows from the length alone, so a hostile root can neither
 * go round in circles nor make a reader fetch more than SK_DHT_BLOB_MAX bytes and their hashes.
 */
#ifndef SK_WIRE_DHT_BLOB_H
#define SK_WIRE_DHT_BLOB_H

#include "base/hash.h"
#include "base/limits.h"
#include "base/sign.h"
#include "wire/krpc.h"

/* BEP 44 says "<= 1000" and "< 1000" encoded, deployed nodes follow one or the other, and some
 * writers count without the length prefix: "995:" and 995 bytes are 999. */
#define SK_DHT_BLOB_STRING_MAX 995
/* 49 hashes, so that a part of hashes is as large as a part of bytes. */
#define SK_DHT_BLOB_PART 980
#define SK_DHT_BLOB_FANOUT (SK_DHT_BLOB_PART / SK_DHT_ID_SIZE)
/* Hashes in a root: it then is small enough (880 bytes) that a put with key, signature, salt and
 * token crosses any network in one piece. */
#define SK_DHT_BLOB_ROOT_HASHES 40
#define SK_DHT_BLOB_LEVELS_MAX 2 /* enough for SK_DHT_BLOB_MAX */

/* The seed of the key pair that a text stands for: SHA-256 of "skep dht key 1", a zero byte and
 * the SHA-256 of the text. Whoever knows or guesses the text has the key pair. */
void sk_dht_blob_seed(struct sk_bytes text, uint8_t ret_seed[SK_SIGN_SEED_SIZE]);

/*
 * Bytes and the hashes above them. area[levels] are the bytes; area[l] are the hashes of the parts
 * that area[l + 1] is cut into; area[0] stands in the root. Without levels area[0] are the bytes
 * themselves and there is nothing but the root.
 *
 * Parts are numbered through, level by level from the root down.
 */
struct sk_dht_blob {
    unsigned levels;
    bool is_value; /* area[0] is no byte string but one bencoded value of another type */
    uint8_t *area[SK_DHT_BLOB_LEVELS_MAX + 1]; /* owned */
    size_t size[SK_DHT_BLOB_LEVELS_MAX + 1];
    uint8_t sha256[SK_SHA256_SIZE]; /* with levels only */
};

/* To be written: copies the bytes and computes all hashes. SKEP_ERR_LIMIT (more than
 * SK_DHT_BLOB_MAX), SKEP_ERR_NOMEM. */
int sk_dht_blob_cut(struct sk_bytes bytes, struct sk_dht_blob *ret_blob);
/* Likewise of one bencoded value, to be stored as it is. SKEP_ERR_INVALID (it is none),
 * SKEP_ERR_LIMIT (more than SK_KRPC_ITEM_MAX), SKEP_ERR_NOMEM. */
int sk_dht_blob_raw(struct sk_bytes value, struct sk_dht_blob *ret_blob);
/*
 * To be read: from the value that stands under the key. A byte string or a value that is no root is
 * complete at once. With levels, area[0] is there and all below is to be filled.
 * SKEP_ERR_UNSUPPORTED (a root of a later version), SKEP_ERR_MISMATCH (a root that makes no sense),
 * SKEP_ERR_MALFORMED (no bencode), SKEP_ERR_NOMEM.
 */
int sk_dht_blob_open(struct sk_bytes value, struct sk_dht_blob *ret_blob);
void sk_dht_blob_deinit(struct sk_dht_blob *blob);

/* The bytes, or the raw value. */
static inline struct sk_bytes sk_dht_blob_bytes(const struct sk_dht_blob *blob)
{
    return sk_bytes(blob->area[blob->levels], blob->size[blob->levels]);
}

/* How many parts there are. */
uint32_t sk_dht_blob_count(const struct sk_dht_blob *blob);

struct sk_dht_blob_part {
    const uint8_t *target; /* SK_DHT_ID_SIZE */
    uint8_t *content;
    size_t size;
    bool leaf;               /* of the bytes, not of hashes */
    uint32_t children;       /* first of the parts whose targets stand in it */
    uint32_t children_count; /* 0 in a leaf */
};
struct sk_dht_blob_part sk_dht_blob_part(const struct sk_dht_blob *blob, uint32_t number);
/* Takes the value (raw bencode) that was found under a part's target. False where it is no byte
 * string of the right length: then the root lies. */
bool sk_dht_blob_accept(struct sk_dht_blob *blob, uint32_t number, struct sk_bytes value);
/* With levels and all parts there: whether the whole is what the root says. */
bool sk_dht_blob_whole(const struct sk_dht_blob *blob);

/* Append the value of a part, and of the root. */
void sk_dht_blob_write_part(struct sk_buf *buf, const struct sk_dht_blob_part *part);
void sk_dht_blob_write_root(struct sk_buf *buf, const struct sk_dht_blob *blob);

#endif
