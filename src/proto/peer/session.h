/*
 * A peer session: one connection of the BitTorrent peer protocol, from its first byte to its end.
 * Sans-I/O (proto): it is fed bytes and time, asked for events and for bytes to send, and calls
 * nobody back. BEP 3, 6, 9, 10, 11, 21, 52, 54; MSE through the inner machine in mse.h.
 *
 *   outgoing:  [MSE ->] HANDSHAKE -> OPEN -> CLOSED
 *   incoming:  SNIFF -> [MSE ->] HANDSHAKE -> (torrent chosen by its owner) OPEN -> CLOSED
 *
 * Feeding: sk_peer_input() borrows a writable buffer (it is decrypted in place) and the caller then
 * calls sk_peer_next() until it returns 0; only then may the buffer be reused. What is left of a
 * message is kept in the session. Views in an event live until the next call of sk_peer_next(),
 * sk_peer_input() or sk_peer_deinit(); the send functions do not disturb them.
 *
 * Sending: the send functions append to an output buffer, encrypted as needed; the driver takes
 * bytes with sk_peer_output() and says with sk_peer_sent() how many went out.
 *
 * Time: sk_peer_deadline() says when sk_peer_tick() wants to be called. Phases with a time-out of
 * their own: MSE, the handshake (both SK_PEER_HANDSHAKE_NS) and silence (SK_PEER_SILENCE_NS). A
 * keep-alive goes out when nothing was sent for SK_PEER_KEEPALIVE_NS.
 *
 * Memory: about 900 bytes, the bitfield, 2.7 KiB while encrypted, and a reassembly buffer no larger
 * than the message in it (freed when empty). Output is bounded by SK_PEER_OUTPUT_MAX.
 *
 * Misbehaviour of the other side is never an error of ours: it closes the session with a reason. A
 * message that does so is not told. Where deployed clients depart from the texts, so do we:
 *   - a bitfield may come after anything that says nothing of pieces (extension handshake,
 * unchoke);
 *   - an answer that comes after our cancel or their choke is passed over (see requests.h);
 *   - useless messages (keep-alives, unknown ids, repetitions) cost one of a thousand, PEX five, an
 *     extension handshake ten; one a second is given back.
 */
#ifndef SK_PROTO_PEER_SESSION_H
#define SK_PROTO_PEER_SESSION_H

#include "base/bitfield.h"
#include "base/bytes.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/prng.h"
#include "wire/extension.h"
#include "wire/mse.h"
#include "wire/peer_message.h"

#define SK_PEER_HANDSHAKE_NS (10 * SK_SECOND_NS)
#define SK_PEER_SILENCE_NS (150 * SK_SECOND_NS)
#define SK_PEER_KEEPALIVE_NS (100 * SK_SECOND_NS)

enum sk_peer_state {
    SK_PEER_SNIFF,     /* incoming: the first bytes tell plain from MSE */
    SK_PEER_MSE,       /* stream encryption is being agreed */
    SK_PEER_HANDSHAKE, /* 68 bytes are awaited */
    SK_PEER_OPEN,      /* messages flow */
    SK_PEER_CLOSED,
};

/* Why a session ended, as far as the session can tell; the engine knows those of the transport. */
enum sk_peer_reason {
    SK_PEER_REASON_NONE = 0,
    SK_PEER_REASON_LOCAL,             /* we closed it */
    SK_PEER_REASON_EOF_EARLY,         /* closed or reset before a single byte came */
    SK_PEER_REASON_EOF,               /* closed by them later */
    SK_PEER_REASON_HANDSHAKE_TIMEOUT, /* MSE or handshake */
    SK_PEER_REASON_SILENCE,
    SK_PEER_REASON_WRONG_INFO_HASH,
    SK_PEER_REASON_SELF,           /* our own peer id came back */
    SK_PEER_REASON_ENCRYPTED_ONLY, /* incoming: one side takes what the other refuses: plain where
                                      encryption is required, or no MSE mode in common */
    SK_PEER_REASON_MSE,            /* the MSE handshake broke (also: plain only) */
    SK_PEER_REASON_PROTOCOL,       /* see sk_peer.violation */
    SK_PEER_REASON_OUTPUT_FULL,    /* they read nothing for SK_PEER_SILENCE_NS while bytes wait */
    SK_PEER_REASON_NO_MEMORY,
};

/* Which rule was broken; sk_peer_violation_text() gives a phrase for reports. */
enum sk_peer_violation {
    SK_PEER_VIOLATION_NONE = 0,
    SK_PEER_VIOLATION_NOT_BITTORRENT, /* handshake of something else */
    SK_PEER_VIOLATION_LENGTH,         /* length prefix too large or not fit for the message */
    SK_PEER_VIOLATION_INDEX,          /* piece, block or hash range that does not exist */
    SK_PEER_VIOLATION_BITFIELD,       /* wrong length, spare bits, not first, twice */
    SK_PEER_VIOLATION_FAST,           /* a BEP 6 message without BEP 6 */
    SK_PEER_VIOLATION_UNASKED,        /* piece, reject or hashes for what was never asked */
    SK_PEER_VIOLATION_EXTENSION,      /* extension message that is no dictionary */
    SK_PEER_VIOLATION_METADATA,       /* metadata size or piece that cannot be */
    SK_PEER_VIOLATION_FLOOD,          /* more empty or useless messages than any client sends */
};
const char *sk_peer_reason_name(enum sk_peer_reason reason);          /* "handshake-timeout", ... */
const char *sk_peer_violation_text(enum sk_peer_violation violation); /* "bitfield of a wrong..." */

struct sk_peer_config {
    uint8_t info_hash[20]; /* outgoing; for incoming given by sk_peer_accept() */
    /* The other info-hash of a hybrid torrent: who is asked for the v1 hash by one that knows v2
     * may answer with the v2 hash (BEP 52). All zero = none. */
    uint8_t info_hash_other[20];
    uint8_t peer_id[20];     /* ours */
    uint32_t pieces;         /* of the torrent, 0 = metadata not known yet */
    uint32_t piece_size;     /* bytes, 0 = not known */
    uint64_t span;           /* bytes of the piece space, bounds requests; 0 = not known */
    bool has_v2;             /* BEP 52 hash messages are allowed */
    uint16_t listen_port;    /* told in the extension handshake, 0 = none */
    uint32_t requests_taken; /* "reqq": so many of theirs may wait for the owner; 0 = not told */
    bool outgoing;
    /*
     * Outgoing: 0 = plain handshake; otherwise MSE that offers these (SK_MSE_PLAIN | SK_MSE_RC4).
     * Incoming: which of them are accepted; 0 = plain only; SK_MSE_RC4 alone = encrypted only (a
     * plain handshake is refused). RC4 is chosen where both sides take both.
     */
    unsigned mse;
    bool mse_required;  /* incoming: refuse plain handshakes */
    bool no_pex;        /* BEP 11: peers are not to be told to us */
    bool holepunch;     /* BEP 55: its messages are wanted */
    bool dht;           /* BEP 5: we have a DHT node, and say so */
    bool quiet;         /* the extension handshake is left to the owner */
    const char *client; /* our "v"; static text */
    uint64_t seed;      /* of the generator for keys, pads and ids: the system's entropy */
};

enum sk_peer_event_kind {
    SK_PEER_EVENT_HELLO,       /* incoming: their handshake came, info-hash in `hello`;
                                  answer with sk_peer_accept() or sk_peer_close() */
    SK_PEER_EVENT_OPEN,        /* handshakes are through; peer_id, reserved, encryption are known */
    SK_PEER_EVENT_MESSAGE,     /* any message, after the session took note of it: `msg` */
    SK_PEER_EVENT_EXTENDED,    /* their extension handshake (may come again): `extended` */
    SK_PEER_EVENT_METADATA,    /* `metadata` */
    SK_PEER_EVENT_PEX,         /* `pex`, `pex_count` */
    SK_PEER_EVENT_HOLEPUNCH,   /* BEP 55: `holepunch` */
    SK_PEER_EVENT_DONT_HAVE,   /* BEP 54: msg.index */
    SK_PEER_EVENT_UPLOAD_ONLY, /* `upload_only` */
    SK_PEER_EVENT_BLOCK,       /* a block that was asked for: msg.index, begin, data; rtt_ns */
    SK_PEER_EVENT_REJECTED,    /* a request came to nothing (reject, or choke without fast): msg */
    SK_PEER_EVENT_CLOSED,      /* the last event; `reason`, `violation` */
};

struct sk_peer_event {
    enum sk_peer_event_kind kind;
    struct sk_msg msg;
    struct sk_handshake hello;
    struct sk_extension_handshake extended;
    struct sk_metadata_message metadata;
    const struct sk_pex_peer *pex;
    size_t pex_count;
    struct sk_holepunch holepunch;
    int upload_only;
    uint64_t rtt_ns; /* BLOCK: since its request was sent */
    enum sk_peer_reason reason;
    enum sk_peer_violation violation;
};

struct sk_peer; /* heap; its public state is read through the struct below */

/* What is known about the other side; read only, valid as long as the session. */
struct sk_peer_view {
    enum sk_peer_state state;
    bool outgoing;
    uint8_t peer_id[20];
    uint64_t reserved;
    unsigned encryption; /* SK_MSE_PLAIN or SK_MSE_RC4 of the payload stream */
    bool mse;            /* the handshake was MSE */
    bool other_hash;     /* it named info_hash_other: speaks for a hybrid torrent's v2 half */
    bool fast, extended; /* both sides support BEP 6, BEP 10 */
    bool choked;         /* they choke us */
    bool choking;        /* we choke them */
    bool interested;     /* we are interested */
    bool peer_interested;
    bool has_bitfield;                       /* bitfield, have all or have none came */
    bool has_all_early;                      /* have-all before metadata was known */
    int upload_only;                         /* -1 not said */
    struct sk_bitfield have;                 /* count 0 until the number of pieces is known */
    struct sk_extension_handshake extension; /* ids and numbers; its views are empty */
    char client_v[64];                       /* their "v", raw, NUL-terminated */
    uint32_t requests_pending;               /* our requests on the way */
    uint64_t bytes_in, bytes_out;            /* raw, on the wire */
    uint64_t handshake_end;                  /* bytes_out when our handshake is out; 0 while it is
                                                not in the output, and where it is part of MSE */
    uint64_t payload_in, payload_out;        /* block bytes: in with those of unfinished blocks, out
                                                as they were given to be sent */
    uint64_t first_byte_ns, last_in_ns, last_out_ns; /* 0 = never */
};

/* SKEP_ERR_NOMEM, SKEP_ERR_CRYPTO (MSE asked for and RC4 not to be had). For outgoing sessions the
 * first bytes are in the output at once. */
int sk_peer_new(const struct sk_peer_config *config, uint64_t now_ns, struct sk_peer **ret_peer);
void sk_peer_free(struct sk_peer *peer);
const struct sk_peer_view *sk_peer_view(const struct sk_peer *peer);

/*
 * Incoming MSE needs to know which torrents are served: candidates are tried against
 * HASH("req2", SKEY). The list is borrowed and must outlive the session or be set anew.
 */
struct sk_peer_skey {
    uint8_t req2[20]; /* sk_mse_hash_req2(info_hash) */
    uint8_t info_hash[20];
};
void sk_peer_set_skeys(struct sk_peer *peer, const struct sk_peer_skey *skeys, size_t count);
/* After HELLO: the torrent is ours; config gives info_hash, peer_id, pieces, ... Until then no more
 * than SK_PEER_HELD_MAX bytes are kept. Closes as SELF where the peer id is ours. SKEP_ERR_STATE
 * without a HELLO; SKEP_ERR_NOMEM. */
int sk_peer_accept(struct sk_peer *peer, const struct sk_peer_config *config);
/*
 * The metadata became known: pieces > 0. What was received before (bitfield, have-all, haves, kept
 * up to a bound) is applied now. A kept bitfield that does not fit closes the session as a
 * violation (seen as the next event). SKEP_ERR_STATE when they were known; SKEP_ERR_NOMEM.
 */
int sk_peer_set_pieces(struct sk_peer *peer, uint32_t pieces, uint32_t piece_size, uint64_t span,
                       bool has_v2);

/* Feeds bytes; see above. After CLOSED it does nothing. The events of the last input must have been
 * drained: sk_peer_next() has returned 0. */
void sk_peer_input(struct sk_peer *peer, uint8_t *bytes, size_t n, uint64_t now_ns);
/* The connection ended (end of stream or reset by them). */
void sk_peer_input_eof(struct sk_peer *peer, uint64_t now_ns);
/* The next event: 1, or 0 when there is none. */
int sk_peer_next(struct sk_peer *peer, struct sk_peer_event *ret_event);
uint64_t sk_peer_deadline(const struct sk_peer *peer);
void sk_peer_tick(struct sk_peer *peer, uint64_t now_ns);

/* Bytes to send; empty when there are none. The view lives until the next call of any function. */
struct sk_bytes sk_peer_output(const struct sk_peer *peer);
void sk_peer_sent(struct sk_peer *peer, size_t n, uint64_t now_ns);

/*
 * Sending. All: SKEP_ERR_STATE before OPEN or after the end; SKEP_ERR_NOMEM, SKEP_ERR_LIMIT (output
 * full). Choke, unchoke, interest are sent only when they change something.
 */
int sk_peer_send_choke(struct sk_peer *peer, bool choke);
int sk_peer_send_interest(struct sk_peer *peer, bool interested);
int sk_peer_send_have(struct sk_peer *peer, uint32_t index);
/* What we have: a bitfield, or have-all / have-none with BEP 6. Once, right after OPEN. */
int sk_peer_send_bitfield(struct sk_peer *peer, const struct sk_bitfield *have);
/* Asks for a block. SKEP_ERR_LIMIT also when SK_PEER_REQUESTS_MAX are pending; SKEP_ERR_STATE also
 * before the number of pieces is known; SKEP_ERR_INVALID for a piece or length that cannot be.
 * Whether they choke us is the caller's business (BEP 6 allows some pieces then). */
int sk_peer_send_request(struct sk_peer *peer, uint32_t index, uint32_t begin, uint32_t length,
                         uint64_t now_ns);
/* Takes a request back; with BEP 6 it stays pending until answered, which is told as for any other
 * (BLOCK or REJECTED). Without, it is gone and a late block is passed over. Nothing happens where
 * no such request is pending. */
int sk_peer_send_cancel(struct sk_peer *peer, uint32_t index, uint32_t begin, uint32_t length);
int sk_peer_send_piece(struct sk_peer *peer, uint32_t index, uint32_t begin, struct sk_bytes block);
int sk_peer_send_reject(struct sk_peer *peer, uint32_t index, uint32_t begin, uint32_t length);
/* SKEP_ERR_STATE without config.has_v2; SKEP_ERR_LIMIT at SK_PEER_HASH_REQUESTS_MAX. The answer is
 * a MESSAGE: HASHES or HASH_REJECT. */
int sk_peer_send_hash_request(struct sk_peer *peer, const struct sk_hash_range *range);
/* Any other message: those that have a function here of which the session keeps account are
 * SKEP_ERR_INVALID, a fast one without BEP 6 SKEP_ERR_STATE. */
int sk_peer_send_message(struct sk_peer *peer, const struct sk_msg *msg);
/* Extension messages: SKEP_ERR_UNSUPPORTED where they did not ask for such. */
int sk_peer_send_metadata(struct sk_peer *peer, const struct sk_metadata_message *message);
int sk_peer_send_pex(struct sk_peer *peer, const struct sk_pex_peer *peers, size_t count);
int sk_peer_send_holepunch(struct sk_peer *peer, const struct sk_holepunch *message);
/* Our extension handshake again, with metadata_size (>= 0) and upload_only (-1, 0, 1) as given. It
 * goes out by itself at OPEN unless config.quiet. */
int sk_peer_send_extension_handshake(struct sk_peer *peer, int64_t metadata_size, int upload_only);
/* Ends the session; CLOSED (REASON_LOCAL) is the next event. */
void sk_peer_close(struct sk_peer *peer);

#endif
