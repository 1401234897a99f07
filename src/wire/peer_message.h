/*
 * Messages of the peer protocol (BEP 3), the fast extension (BEP 6) and BEP 52's hash messages:
 * bytes to meaning and back. Pure: whether an index is in range or a message is allowed now is the
 * session's business (proto/peer).
 *
 * One file a family: peer_core.c (handshake, choke to cancel, port), peer_fast.c, peer_hash.c,
 * peer_extension.c, peer_metadata.c and peer_pex.c (all three: extension.h).
 */
#ifndef SK_WIRE_PEER_MESSAGE_H
#define SK_WIRE_PEER_MESSAGE_H

#include "base/bytes.h"
#include "base/hash.h"

#define SK_HANDSHAKE_SIZE 68

/* Bits of the reserved bytes that we know, as one number (byte 0 of the eight is the highest). */
#define SK_RESERVED_EXTENSION (UINT64_C(0x10) << 16) /* BEP 10: byte 5, 0x10 */
#define SK_RESERVED_DHT UINT64_C(0x01)               /* BEP 5: byte 7, 0x01 */
#define SK_RESERVED_FAST UINT64_C(0x04)              /* BEP 6: byte 7, 0x04 */
#define SK_RESERVED_V2 UINT64_C(0x10)                /* BEP 52: byte 7, 0x10 */

struct sk_handshake {
    uint64_t reserved;
    uint8_t info_hash[20];
    uint8_t peer_id[20];
};

void sk_handshake_write(const struct sk_handshake *handshake, uint8_t ret_bytes[SK_HANDSHAKE_SIZE]);
/* The first 68 bytes; SKEP_ERR_MALFORMED as soon as they do not begin with the protocol's name,
 * SKEP_ERR_TRUNCATED where there are fewer but nothing is wrong yet. */
int sk_handshake_read(struct sk_bytes bytes, struct sk_handshake *ret_handshake);

enum sk_msg_kind {
    SK_MSG_CHOKE = 0,
    SK_MSG_UNCHOKE = 1,
    SK_MSG_INTERESTED = 2,
    SK_MSG_NOT_INTERESTED = 3,
    SK_MSG_HAVE = 4,
    SK_MSG_BITFIELD = 5,
    SK_MSG_REQUEST = 6,
    SK_MSG_PIECE = 7,
    SK_MSG_CANCEL = 8,
    SK_MSG_PORT = 9,
    SK_MSG_SUGGEST = 13, /* BEP 6 */
    SK_MSG_HAVE_ALL = 14,
    SK_MSG_HAVE_NONE = 15,
    SK_MSG_REJECT = 16,
    SK_MSG_ALLOWED_FAST = 17,
    SK_MSG_EXTENDED = 20,     /* BEP 10 */
    SK_MSG_HASH_REQUEST = 21, /* BEP 52 */
    SK_MSG_HASHES = 22,
    SK_MSG_HASH_REJECT = 23,
    SK_MSG_KEEPALIVE = 256, /* length 0: no id on the wire */
    SK_MSG_UNKNOWN = 257,   /* an id that we do not know; data holds its payload */
};

/* "have", "allowed fast", ...; never NULL. */
const char *sk_msg_kind_name(enum sk_msg_kind kind);

/* A decoded message; views borrow the bytes that were read. */
struct sk_msg {
    enum sk_msg_kind kind;
    uint8_t id;              /* as on the wire (0 for keep-alive) */
    uint8_t extended_id;     /* EXTENDED: 0 = handshake */
    uint32_t index;          /* HAVE, REQUEST, PIECE, CANCEL, SUGGEST, REJECT, ALLOWED_FAST */
    uint32_t begin;          /* REQUEST, PIECE, CANCEL, REJECT: byte offset in the piece */
    uint32_t length;         /* REQUEST, CANCEL, REJECT: bytes; PIECE: data.n */
    uint16_t port;           /* PORT */
    struct sk_bytes data;    /* BITFIELD bits, PIECE block, EXTENDED payload, UNKNOWN payload */
    struct sk_hash_range {   /* HASH_REQUEST, HASHES, HASH_REJECT */
        const uint8_t *root; /* pieces root, 32 bytes */
        uint32_t base_layer, index, length, proof_layers;
    } range;
    struct sk_bytes hashes; /* HASHES: 32 bytes each, first the layer's, then the proof's */
};

/*
 * Reads one message without its length prefix (the prefix said body.n). SKEP_ERR_MALFORMED where
 * the length does not fit the id (have of 5 bytes, a block of 0 bytes or above SK_BLOCK_SIZE_MAX,
 * an extended message above SK_EXTENSION_MESSAGE_MAX, hashes not a multiple of 32 or fewer than
 * range.length or above SK_HASHES_PER_MESSAGE_MAX). A bitfield may have any length up to that of
 * SK_METAINFO_PIECES_MAX: only the torrent tells the right one.
 */
int sk_msg_read(struct sk_bytes body, struct sk_msg *ret_msg);
/* Appends a message with its length prefix, all of it or nothing. For PIECE, `data` is the block;
 * for BITFIELD the bits; for UNKNOWN, `id` goes out with `data`. Errors of sk_buf_append. */
int sk_msg_write(struct sk_buf *buf, const struct sk_msg *msg);

#endif
