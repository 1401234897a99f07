/* Hash messages of BEP 52. */
#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/peer_family.h"

#define RANGE_SIZE (SK_SHA256_SIZE + 16)
#define HASHES_SIZE_MAX (RANGE_SIZE + SK_HASHES_PER_MESSAGE_MAX * SK_SHA256_SIZE)

static int read_range(struct sk_bytes payload, struct sk_msg *msg)
{
    const uint8_t *p = payload.p;
    msg->range = (struct sk_hash_range){
        .root = p,
        .base_layer = sk_get_u32(p + SK_SHA256_SIZE),
        .index = sk_get_u32(p + SK_SHA256_SIZE + 4),
        .length = sk_get_u32(p + SK_SHA256_SIZE + 8),
        .proof_layers = sk_get_u32(p + SK_SHA256_SIZE + 12),
    };
    return 0;
}

static int write_range(struct sk_buf *buf, const struct sk_msg *msg)
{
    uint8_t fixed[RANGE_SIZE];
    memcpy(fixed, msg->range.root, SK_SHA256_SIZE);
    sk_put_u32(fixed + SK_SHA256_SIZE, msg->range.base_layer);
    sk_put_u32(fixed + SK_SHA256_SIZE + 4, msg->range.index);
    sk_put_u32(fixed + SK_SHA256_SIZE + 8, msg->range.length);
    sk_put_u32(fixed + SK_SHA256_SIZE + 12, msg->range.proof_layers);
    struct sk_bytes hashes = msg->kind == SK_MSG_HASHES ? msg->hashes : sk_bytes(NULL, 0);
    return sk_msg_put(buf, (uint8_t)msg->kind, sk_bytes(fixed, sizeof fixed), hashes);
}

/* A message that holds fewer hashes than its length field says would make its reader overrun. */
static int read_hashes(struct sk_bytes payload, struct sk_msg *msg)
{
    read_range(payload, msg);
    msg->hashes = sk_bytes(payload.p + RANGE_SIZE, payload.n - RANGE_SIZE);
    if (msg->hashes.n % SK_SHA256_SIZE || msg->range.length > msg->hashes.n / SK_SHA256_SIZE)
        return SKEP_ERR_MALFORMED;
    return 0;
}

static const struct sk_msg_codec codecs[] = {
    {"hash request", RANGE_SIZE, RANGE_SIZE, read_range, write_range},
    {"hashes", RANGE_SIZE, HASHES_SIZE_MAX, read_hashes, write_range},
    {"hash reject", RANGE_SIZE, RANGE_SIZE, read_range, write_range},
};

const struct sk_msg_family sk_msg_hash = {SK_MSG_HASH_REQUEST, SK_ARRAY_LEN(codecs), codecs};
