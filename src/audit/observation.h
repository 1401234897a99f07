/*
 * The observation log: what an audit saw and heard, in the order it happened, append-only.
 *
 * Layer: audit. An observation is (time, who, kind, numbers, bytes). Claims (what others say:
 * trackers, PEX) are kinds of their own, apart from what we saw. The log itself keeps nothing: it
 * hands each observation to one sink (store/ writes them to SQLite; tests collect them).
 */
#ifndef SK_AUDIT_OBSERVATION_H
#define SK_AUDIT_OBSERVATION_H

#include "base/bytes.h"
#include "base/endpoint.h"

enum sk_observation_kind {
    /* claims */
    SK_OBS_HEARD,          /* an address was told to us: source; a = PEX flags; b = draw was new */
    SK_OBS_DROPPED,        /* PEX: `by` says it lost `peer` */
    SK_OBS_TRACKER_CLAIM,  /* text = tracker; a = seeds, b = leechers, c = downloads, -1 unknown */
    SK_OBS_TRACKER_FAILED, /* text = "tracker address\ttheir message" */
    /* connections */
    SK_OBS_DIALED,  /* a = 1 when MSE was offered */
    SK_OBS_FAILED,  /* text = reason; "duplicate": of `by` */
    SK_OBS_OPEN,    /* a = encryption (1 plain, 2 RC4), b = 1 incoming, bytes = peer id */
    SK_OBS_ADDRESS, /* it came in from `by`, and is known by the address that it listens on now */
    SK_OBS_CLIENT,  /* text = their "v" */
    SK_OBS_CLOSED,  /* text = reason */
    /* what peers do */
    SK_OBS_BITFIELD,  /* bytes = bitfield; have-all and have-none come as full bitfields */
    SK_OBS_HAVE,      /* a = piece; b = 1: a bitfield came in place of HAVEs, all at once */
    SK_OBS_DONT_HAVE, /* a = piece */
    SK_OBS_CHOKE,     /* they choked us */
    SK_OBS_UNCHOKE,
    SK_OBS_INTERESTED,  /* a = 1 or 0 */
    SK_OBS_UPLOAD_ONLY, /* a = 1 or 0 */
    SK_OBS_REQUESTED,   /* they asked us: a = piece, b = begin, c = length */
    /* what we measured */
    SK_OBS_ARRIVAL,  /* a = block bytes received from this peer up to now, all in all */
    SK_OBS_BLOCK,    /* a = piece, b = begin, c = microseconds since it was asked for */
    SK_OBS_VERIFIED, /* a = piece; its blocks from this peer were right, b of them */
    SK_OBS_CORRUPT,  /* a = piece; b blocks of this peer were wrong */
    /* what we gave */
    SK_OBS_OFFERED, /* a = piece: we told this peer alone that we have it (a tracer) */
    SK_OBS_GIVEN,   /* a block of ours: a = piece, b = begin, c = length */
    /* what the torrent says */
    SK_OBS_SHORT_PIECES, /* pieces with fewer bytes of files than a piece has: bytes = of each, from
                            the first to the last, its number and its bytes, 4 bytes each,
                            big-endian */
    /* what we said */
    SK_OBS_SELF,      /* bytes = our peer id */
    SK_OBS_ANNOUNCED, /* a tracker answered an announce of ours: text = tracker; a = microseconds
                         since it was first sent, b = 1: it said started, c = bytes that it said we
                         downloaded */
    SK_OBS_KIND_COUNT,
};

/* "heard", "tracker-claim", ...: the names used in the database. */
const char *sk_observation_kind_name(enum sk_observation_kind kind);

struct sk_observation {
    uint64_t at_ns; /* monotonic */
    enum sk_observation_kind kind;
    struct sk_endpoint peer; /* whom it is about; family NONE for the swarm as a whole */
    struct sk_endpoint by;   /* HEARD, DROPPED through PEX: who told; ADDRESS: its old one; FAILED:
                                whose other address it is; else family NONE */
    uint32_t source;         /* HEARD: one enum sk_source */
    int64_t a, b, c;
    struct sk_bytes bytes; /* borrowed for the call; text kinds: not NUL-terminated */
};

typedef void (*sk_observe_fn)(const struct sk_observation *observation, void *ctx);

#endif
