/*
 * The inside of a peer session, shared by its files only:
 *
 *   session.c            life, the stream of bytes, phases, time
 *   session_message.c    which message may come when, and what it changes
 *   session_have.c       what the other side holds, before and after the metadata is known
 *   session_extension.c  BEP 10 and what travels in it
 *   session_send.c       everything that goes out
 */
#ifndef SK_PROTO_PEER_SESSION_INTERNAL_H
#define SK_PROTO_PEER_SESSION_INTERNAL_H

#include "proto/peer/mse.h"
#include "proto/peer/requests.h"
#include "proto/peer/session.h"

#define SK_PEER_NO_EVENT (-1)

/* What they said of their pieces before the number of pieces was known. */
struct sk_peer_early {
    uint8_t *bits; /* a bitfield as it came, or NULL */
    size_t bits_size;
    uint32_t *changes; /* without a bitfield: index, with SK_PEER_EARLY_DROP where it was lost */
    uint32_t changes_count, changes_capacity;
};
#define SK_PEER_EARLY_DROP UINT32_C(0x80000000)

#define SK_PEER_NOT_LATE UINT32_MAX

struct sk_peer {
    struct sk_peer_view view;
    struct sk_peer_config config;
    uint64_t now_ns;   /* of the last call that told the time */
    uint64_t phase_ns; /* when the state was entered */

    /* Stream in: first what is held, then the borrowed input. */
    uint8_t *in;
    size_t in_size;
    struct sk_buf held;
    size_t held_read;         /* bytes of `held` that were read */
    size_t wanted;            /* bytes that the next thing to read needs, as far as known */
    uint32_t payload_counted; /* bytes of the unfinished block that view.payload_in has */
    struct sk_mse *mse;
    struct sk_rc4 *rc4_in, *rc4_out; /* NULL: not encrypted */
    size_t rc4_in_left;              /* SIZE_MAX: all of it */
    const struct sk_peer_skey *skeys;
    size_t skeys_count;

    /* Stream out. */
    struct sk_buf out;
    size_t out_sent;       /* bytes of `out` that are gone */
    uint64_t out_since_ns; /* since when bytes wait and none goes */

    /* The message whose events are being told. */
    struct sk_msg msg;
    int follow;    /* the special event after MESSAGE, or SK_PEER_NO_EVENT */
    uint32_t late; /* the next piece of a late bitfield to be told; SK_PEER_NOT_LATE none */
    uint64_t rtt_ns;
    struct sk_pex_peer *pex;
    size_t pex_count;

    struct sk_requests requests;
    struct sk_peer_early *early;
    uint64_t useless_ns; /* up to when useless messages were forgiven */
    uint32_t useless;
    uint32_t metadata_asked; /* our metadata requests that are not answered */

    enum sk_peer_reason reason;
    enum sk_peer_violation violation;
    bool hello_told, open_told, closed_told;
    bool pieces_told;   /* they said something of their pieces: a bitfield is late now */
    bool bitfield_sent; /* by us */
};

/* session.c */
void sk_peer_end(struct sk_peer *peer, enum sk_peer_reason reason);
void sk_peer_violate(struct sk_peer *peer, enum sk_peer_violation violation);
/* A message that no client needs to send: `weight` against SK_PEER_IDLE_MESSAGES_MAX. */
void sk_peer_useless(struct sk_peer *peer, uint32_t weight);

/* session_message.c: ends the session where the message, of body_size bytes, cannot be. */
bool sk_peer_check_size(struct sk_peer *peer, uint8_t id, size_t body_size);
/* Takes note of peer->msg; sets peer->follow. */
void sk_peer_take_message(struct sk_peer *peer);

/* session_have.c */
void sk_peer_take_bitfield(struct sk_peer *peer);
void sk_peer_take_have(struct sk_peer *peer);
void sk_peer_take_have_all(struct sk_peer *peer);
void sk_peer_take_have_none(struct sk_peer *peer);
/* They have piece `index` no longer. */
void sk_peer_lose_piece(struct sk_peer *peer, uint32_t index);
/* The next HAVE of a late bitfield, see session_have.c. */
bool sk_peer_tell_late(struct sk_peer *peer, struct sk_peer_event *ret_event);
void sk_peer_free_early(struct sk_peer *peer);

/* session_extension.c */
void sk_peer_take_extended(struct sk_peer *peer);

/* session_send.c: our handshake and keep-alive, at any time. */
int sk_peer_put_handshake(struct sk_peer *peer);
int sk_peer_put_message(struct sk_peer *peer, const struct sk_msg *msg);
int sk_peer_put_extension_handshake(struct sk_peer *peer, int64_t metadata_size, int upload_only);
/* Our handshake as bytes. */
void sk_peer_write_handshake(const struct sk_peer *peer, uint8_t ret_bytes[SK_HANDSHAKE_SIZE]);

#endif
