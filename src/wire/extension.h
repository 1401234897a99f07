/*
 * The extension protocol's handshake (BEP 10), with the keys of BEP 9 (metadata_size), 11
 * (ut_pex), 21 (upload_only), 54 (lt_donthave) and 55 (ut_holepunch), and the messages of BEP 9,
 * 11 and 55.
 *
 * Dictionaries from peers need not be sorted (deployed clients do not all sort), and bytes after
 * them are passed over. Values of a wrong type or out of range count as absent; nothing here
 * allocates on reading.
 *
 * Writers append all or nothing, with errors of sk_buf_append; they want some room in the buffer
 * beyond what they write (at most 512 bytes and 2 a peer), which is no matter for buffers of a
 * connection's size.
 */
#ifndef SK_WIRE_EXTENSION_H
#define SK_WIRE_EXTENSION_H

#include "base/bytes.h"
#include "base/endpoint.h"

/* Extensions that we know by name. The ids that we ask others to use are these numbers. */
enum sk_extension {
    SK_EXT_HANDSHAKE = 0,
    SK_EXT_METADATA = 1,    /* ut_metadata */
    SK_EXT_PEX = 2,         /* ut_pex */
    SK_EXT_DONT_HAVE = 3,   /* lt_donthave */
    SK_EXT_UPLOAD_ONLY = 4, /* upload_only as a message (libtorrent) */
    SK_EXT_HOLEPUNCH = 5,   /* ut_holepunch */
    SK_EXT_COUNT,
};

/* The name in the m dictionary; "handshake" for SK_EXT_HANDSHAKE, never NULL. */
const char *sk_extension_name(enum sk_extension extension);

struct sk_extension_handshake {
    /* ids[e] is the id under which the sender wants extension e, 0 = does not have it (or switched
     * it off). Ids above 255 or below 0 are ignored. */
    uint8_t ids[SK_EXT_COUNT];
    /* Bit e: m says something about extension e. A later handshake changes only what it names. */
    uint32_t named;
    struct sk_bytes client;     /* v; empty when absent */
    int64_t metadata_size;      /* as sent; -1 when absent. The caller bounds it. */
    uint32_t request_queue;     /* reqq; 0 when absent or above SK_PEER_REQUEST_QUEUE_MAX */
    uint16_t port;              /* p; 0 when absent */
    int upload_only;            /* 1, 0; -1 when absent */
    bool encryption;            /* e: prefers encryption */
    struct sk_endpoint your_ip; /* yourip: what they see us as; family NONE when absent, port 0 */
    struct sk_endpoint ipv4, ipv6; /* family NONE when absent, port 0 */
};

/* Reads the payload (after the id byte). SKEP_ERR_MALFORMED when it is no dictionary. */
int sk_extension_handshake_read(struct sk_bytes payload, struct sk_extension_handshake *ret);
/* Appends the payload (bencoded dictionary); fields that are absent are left out, as is a
 * metadata_size that is not above 0. An extension is named where its id is not 0 or its bit in
 * `named` is set. */
int sk_extension_handshake_write(struct sk_buf *buf,
                                 const struct sk_extension_handshake *handshake);

/* BEP 9: ut_metadata messages. */
enum sk_metadata_kind { SK_METADATA_REQUEST = 0, SK_METADATA_DATA = 1, SK_METADATA_REJECT = 2 };
struct sk_metadata_message {
    enum sk_metadata_kind kind;
    uint32_t piece;
    int64_t total_size;   /* DATA; -1 when absent */
    struct sk_bytes data; /* DATA: 1 byte to 16 KiB, borrowed from the payload */
};
#define SK_METADATA_PIECE_SIZE 16384u
/* SKEP_ERR_MALFORMED; SKEP_ERR_UNSUPPORTED for an unknown msg_type (to be passed over). Whether
 * piece and total_size fit what was asked for is the caller's to check. */
int sk_metadata_message_read(struct sk_bytes payload, struct sk_metadata_message *ret_message);
int sk_metadata_message_write(struct sk_buf *buf, const struct sk_metadata_message *message);

/* BEP 11: peer exchange. */
enum sk_pex_flags {
    SK_PEX_ENCRYPTION = 1,
    SK_PEX_SEED = 2, /* seed or upload only */
    SK_PEX_UTP = 4,
    SK_PEX_HOLEPUNCH = 8,
    SK_PEX_REACHABLE = 16,
};
struct sk_pex_peer {
    struct sk_endpoint endpoint;
    uint8_t flags; /* enum sk_pex_flags; 0 for dropped ones */
    bool dropped;
};
/* Reads added, added6, dropped, dropped6 in this order into `ret_peers` (room for max); *ret_count
 * says how many. More than max are left out, as is a tail shorter than an entry; missing flags are
 * 0. Nothing is judged: an endpoint may come twice, or both added and dropped, or with port 0.
 * SKEP_ERR_MALFORMED when it is no dictionary. */
int sk_pex_read(struct sk_bytes payload, struct sk_pex_peer *ret_peers, size_t max,
                size_t *ret_count);
/* Appends the payload with all keys, empty ones too; peers keep their order within each. */
int sk_pex_write(struct sk_buf *buf, const struct sk_pex_peer *peers, size_t count);

/* BEP 55: ut_holepunch messages. */
enum sk_holepunch_kind {
    SK_HOLEPUNCH_RENDEZVOUS = 0, /* to a relay: introduce us to this endpoint */
    SK_HOLEPUNCH_CONNECT = 1,    /* from a relay: call this endpoint over uTP, now */
    SK_HOLEPUNCH_ERROR = 2,      /* from a relay: it cannot */
};
enum sk_holepunch_error {
    SK_HOLEPUNCH_NO_ERROR = 0,
    SK_HOLEPUNCH_NO_SUCH_PEER = 1,
    SK_HOLEPUNCH_NOT_CONNECTED = 2,
    SK_HOLEPUNCH_NO_SUPPORT = 3,
    SK_HOLEPUNCH_NO_SELF = 4,
};
struct sk_holepunch {
    enum sk_holepunch_kind kind;
    struct sk_endpoint endpoint; /* as it came: its port may be 0 */
    uint32_t error;              /* enum sk_holepunch_error, or a number of theirs */
};
/* SKEP_ERR_MALFORMED; SKEP_ERR_UNSUPPORTED for an unknown msg_type (to be passed over). libtorrent
 * leaves the error out where there is none: it counts as 0. */
int sk_holepunch_read(struct sk_bytes payload, struct sk_holepunch *ret_message);
int sk_holepunch_write(struct sk_buf *buf, const struct sk_holepunch *message);

#endif
