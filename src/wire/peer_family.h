/*
 * What the families of peer messages share: a family is a run of ids with one codec each, and
 * sk_msg_read() and sk_msg_write() look the codec up. Internal to wire.
 */
#ifndef SK_WIRE_PEER_FAMILY_H
#define SK_WIRE_PEER_FAMILY_H

#include "wire/peer_message.h"

/* One kind of message. The payload is what follows the id. */
struct sk_msg_codec {
    const char *name;
    uint32_t size_min, size_max; /* bytes of the payload; checked before read() sees it */
    int (*read)(struct sk_bytes payload, struct sk_msg *msg);
    int (*write)(struct sk_buf *buf, const struct sk_msg *msg);
};

/* Codecs of the ids first, first + 1, ..., first + count - 1. */
struct sk_msg_family {
    uint32_t first, count;
    const struct sk_msg_codec *codecs;
};

extern const struct sk_msg_family sk_msg_core, sk_msg_fast, sk_msg_extended, sk_msg_hash;

/* Makes sure that n more bytes can be appended without failing. Errors of sk_buf_append. */
int sk_msg_reserve(struct sk_buf *buf, size_t n);
/* Appends length prefix, id and payload (fixed, then tail), all or nothing. */
int sk_msg_put(struct sk_buf *buf, uint8_t id, struct sk_bytes fixed, struct sk_bytes tail);

/* Payloads that more than one family has: none; an index; index, begin and length. */
int sk_msg_read_empty(struct sk_bytes payload, struct sk_msg *msg);
int sk_msg_write_empty(struct sk_buf *buf, const struct sk_msg *msg);
int sk_msg_read_index(struct sk_bytes payload, struct sk_msg *msg);
int sk_msg_write_index(struct sk_buf *buf, const struct sk_msg *msg);
int sk_msg_read_block(struct sk_bytes payload, struct sk_msg *msg);
int sk_msg_write_block(struct sk_buf *buf, const struct sk_msg *msg);

#endif
