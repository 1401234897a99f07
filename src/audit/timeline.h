/*
 * What an audit saw of every peer over time: who held which piece from when on, while we watched;
 * who is connected to whom; what each gave us, and we gave it. Layer: audit; pure.
 *
 * Made from the observation log, one observation after the other, live or replayed; all inference
 * (audit/download.h, flow.h, verdict.h) reads it and nothing else, so that a replay says what the
 * live audit said.
 *
 * Times are milliseconds since the audit began. A piece that a HAVE told was gained at that time.
 * One that a later bitfield told (after a reconnection, or from a client that sends bitfields in
 * place of HAVEs) was gained at some time since we last knew that it was not held: since_ms. That
 * is the end of the connection before only if HAVEs told of gains in it: who is silent may hide
 * them, and is known as of what he last told. What a HAVE tells within two seconds of a bitfield
 * belongs to the bitfield (lazy bitfields).
 *
 * Memory: about 400 bytes a peer, two bits a piece of each, 12 bytes a gain, 20 bytes a link, 16 a
 * piece that we gave, 40 an announce of ours, 4 a piece where they are of many sizes, all of it
 * bounded by the limits below. What does not fit is counted in `lost`, and the timeline stays
 * usable: of a peer with more connections than it has room for, it is as if we had not been there
 * for the last ones, and of one that gained more, as if it had left us then.
 */
#ifndef SK_AUDIT_TIMELINE_H
#define SK_AUDIT_TIMELINE_H

#include "audit/observation.h"
#include "audit/report.h"
#include "base/bitfield.h"
#include "base/map.h"

#define SK_TIMELINE_SHORT_BYTES 8 /* of each piece in SK_OBS_SHORT_PIECES */
#define SK_TIMELINE_SUM_STEP 64   /* gains from one sum of their bytes to the next */
#define SK_TIME_OPEN UINT32_MAX   /* the end of what has not ended */

struct sk_gain {
    uint32_t at_ms;    /* it was known to hold the piece */
    uint32_t since_ms; /* it was last known not to; at_ms where a HAVE told */
    uint32_t piece;
};

struct sk_span {
    uint32_t from_ms, until_ms;
};

/* While we were connected to a peer. */
struct sk_watch {
    uint32_t from_ms, until_ms; /* SK_TIME_OPEN: we still are */
    bool tells;                 /* HAVEs told of gains */
    bool renewed;               /* we ended the one before, a moment ago; the peer did not */
    bool same_id;               /* as in the one before */
};

/* Bytes of blocks that a peer gave us in one go, without a second of silence. */
struct sk_taken {
    uint32_t from_ms, until_ms;
    uint64_t bytes;
};

/* A piece that we offered a peer, or gave it blocks of. */
struct sk_given {
    uint32_t piece;
    uint32_t offered_ms; /* it alone was told that we have it; SK_TIME_OPEN: it was not */
    uint32_t given_ms;   /* of the last block; SK_TIME_OPEN: none was given */
    uint32_t bytes;
};

/* Bytes that a peer gave to others; 95 %. NAN unknown. */
struct sk_upload_bound {
    double bytes, low, high;
};

struct sk_timeline_peer {
    struct sk_endpoint endpoint;
    bool has_peer_id;
    uint8_t peer_id[20]; /* of its latest connection */
    unsigned sources;    /* enum sk_source */
    char client[SK_CLIENT_NAME_MAX];
    int upload_only;  /* 1, 0, -1 not said */
    bool alias;       /* another address of a peer that is here, or of ourselves */
    uint32_t same_as; /* an alias of that peer, + 1; 0 = not known, or ourselves */

    struct sk_watch *watched; /* the last one may be open */
    uint32_t watched_count, watched_capacity;
    bool we_closed; /* the latest that ended */

    bool has_first;           /* it told what it has */
    uint32_t first_ms;        /* when it did */
    struct sk_bitfield first; /* what it held then */
    uint32_t listed;          /* of these, told by a bitfield; the others by HAVEs with it */
    struct sk_bitfield held;  /* what it told to hold, then or later */
    struct sk_gain *gains;    /* in the order they were told; each piece at most once */
    uint32_t gains_count, gains_capacity;
    uint64_t *sums; /* bytes of its first 1, 2, ... times SK_TIMELINE_SUM_STEP gains; where pieces
                       are of many sizes, once the timeline was closed */
    uint32_t sums_count;
    uint32_t haves, bitfields, dont_haves; /* messages */
    bool shrank;                           /* it once lost pieces that it had */
    uint32_t requested;                    /* blocks that it asked us for */
    uint32_t unchokes;                     /* of us */

    struct sk_taken *taken;
    uint32_t taken_count, taken_capacity;
    struct sk_given *given; /* in the order they were offered, or given where they were not */
    uint32_t given_count, given_capacity;
    struct sk_rate delivered; /* of our probe; NAN unknown. Set by the owner */
    struct sk_rate capacity;  /* of its up-link, all receivers together; NAN unknown. Set by the
                                 owner */

    struct sk_upload_bound gave; /* by the flows, to all whose gains could be read. Set by
                                    audit/inference.h */

    /* How it stands, for what comes next. */
    uint64_t connection_bytes;         /* of this connection, at the last arrival */
    uint32_t told_ms;                  /* when it last told of pieces */
    uint32_t set_ms;                   /* when its latest bitfield came */
    uint32_t batch_ms, batch_since_ms; /* when it last told many at once, and since when gained */
    uint32_t lacking;   /* pieces that its latest bitfield took back: HAVEs with it may tell them */
    bool shrank_before; /* `shrank` when that came */
    uint32_t link_first; /* of those that it told, + 1; 0 = none */
};

/*
 * `a` said by peer exchange that it is connected to `b` (indices of peers). Peer exchange comes
 * once a minute, so the connection may be older and have ended before until_ms.
 */
struct sk_timeline_link {
    uint32_t a, b;
    uint32_t from_ms, until_ms; /* told; taken back, or `a` was no longer watched */
    uint32_t next;              /* of `a`, + 1; 0 = none */
};

/* An announce of ours that a tracker answered. */
struct sk_timeline_announce {
    double asked_s, answered_s; /* since the audit began: when it was first sent, when answered */
    uint64_t tracker;           /* a hash of its address */
    uint64_t downloaded;        /* bytes that we said to have downloaded */
    bool started;               /* we said that we begin */
};

struct sk_timeline {
    uint32_t pieces, piece_size;
    uint64_t size;
    uint32_t *bytes;   /* of each piece; NULL: all are whole but the last, or it is not known */
    uint64_t begin_ns; /* at_ns of time 0 */
    uint32_t end_ms;   /* of the last observation */
    struct sk_timeline_peer *peers;
    uint32_t peers_count, peers_capacity;
    struct sk_timeline_link *links; /* in the order they were told */
    uint32_t links_count, links_capacity;
    bool has_self;
    uint8_t self[20];                       /* the peer id that we go by */
    struct sk_timeline_announce *announces; /* in the order they were answered */
    uint32_t announces_count, announces_capacity;
    uint64_t gains_total;
    uint32_t given_total;
    uint64_t lost;             /* observations that had no room */
    size_t bits_bytes;         /* of all bitfields */
    struct sk_map by_endpoint; /* to index + 1 */
    struct sk_map open_links;  /* (a, b) to index + 1 */
};

/* All three 0: not known yet. SKEP_ERR_INVALID where they do not fit each other. */
int sk_timeline_init(struct sk_timeline *timeline, uint64_t begin_ns, uint32_t pieces,
                     uint32_t piece_size, uint64_t size);
/* Now they are, once. What was observed of pieces before was passed over. SKEP_ERR_INVALID. */
int sk_timeline_set_pieces(struct sk_timeline *timeline, uint32_t pieces, uint32_t piece_size,
                           uint64_t size);
void sk_timeline_deinit(struct sk_timeline *timeline);
/* Takes one observation over; at_ns must not decrease. Bitfields of a wrong length and pieces that
 * do not exist are passed over: a log may be damaged. SKEP_ERR_NOMEM. */
int sk_timeline_observe(struct sk_timeline *timeline, const struct sk_observation *observation);
/* Ends what is open at this time; the timeline may go on after that. Links to an alias are those of
 * the peer that it is. */
void sk_timeline_close(struct sk_timeline *timeline, uint64_t at_ns);
/* Index of the peer, or UINT32_MAX. */
uint32_t sk_timeline_find(const struct sk_timeline *timeline, const struct sk_endpoint *endpoint);
/* Bytes of files in a piece. piece < pieces. */
uint32_t sk_timeline_piece_bytes(const struct sk_timeline *timeline, uint32_t piece);
/* Bytes of the first `n` gains of a peer. n <= gains_count; in constant time once it was closed. */
uint64_t sk_timeline_gained_bytes(const struct sk_timeline *timeline,
                                  const struct sk_timeline_peer *peer, uint32_t n);
/* Bytes that pieces lack, of files, to be whole; 0: only the last one lacks any. Where `bytes` is
 * NULL it is not known which ones lack them (an older log): each may have fewer than
 * sk_timeline_piece_bytes() says. */
uint64_t sk_timeline_padding(const struct sk_timeline *timeline);
/* Whether most of the piece came from us: then its gain is no flow inside the swarm. */
bool sk_timeline_is_gift(const struct sk_timeline *timeline, const struct sk_given *given);
/* Whether we were connected to the peer at that time. */
bool sk_timeline_watched(const struct sk_timeline_peer *peer, uint32_t at_ms);

#endif
