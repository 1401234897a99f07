/*
 * Segments (a packet's payload with room for its header before it), where their memory comes from,
 * and rings that find them by sequence number. Layer: proto/utp, private.
 *
 * Memory: buffers of a few sizes are kept to be used again, at most KEPT_MAX of each; larger ones
 * (loopback) are not. A ring has 8 bytes a place, up to SK_UTP_SPAN_MAX places.
 */
#ifndef SK_PROTO_UTP_SEGMENT_H
#define SK_PROTO_UTP_SEGMENT_H

#include "base/list.h"
#include "wire/utp.h"

#define SK_UTP_POOL_SIZES 3

struct sk_utp_segment {
    struct sk_link link;     /* sent: among those in flight, or lost, in the order of sending */
    uint64_t sent_ns;        /* last time */
    uint64_t order;          /* of that sending, among all of the connection; 0: not sent yet */
    uint32_t cost;           /* bytes of memory */
    uint16_t capacity, size; /* bytes of payload */
    uint16_t seq_nr;
    uint8_t type;  /* enum sk_utp_type */
    uint8_t sends; /* times that it was sent; stays at 255 */
    bool lost;     /* taken for lost, to be sent again */
    bool probe;    /* of the path's size */
    bool tail;     /* sent again to end a silence */
    uint8_t pool;  /* which size of buffer */
    uint8_t bytes[];
};

/* Zero-initialised it is empty. */
struct sk_utp_pool {
    struct sk_utp_segment *kept[SK_UTP_POOL_SIZES]; /* chained by link.next */
    uint32_t kept_count[SK_UTP_POOL_SIZES];
    size_t bytes; /* in use and kept */
};

void sk_utp_pool_deinit(struct sk_utp_pool *pool);
/* An empty segment with room for so many bytes of payload; NULL: no memory. */
struct sk_utp_segment *sk_utp_pool_take(struct sk_utp_pool *pool, size_t capacity);
/* NULL is ignored. */
void sk_utp_pool_give(struct sk_utp_pool *pool, struct sk_utp_segment *segment);

static inline uint8_t *sk_utp_payload(struct sk_utp_segment *segment)
{
    return segment->bytes + SK_UTP_HEADER_SIZE;
}

/* Zero-initialised it is empty. */
struct sk_utp_ring {
    struct sk_utp_segment **slots;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t count;
};

/* The segment with that number, or NULL. Numbers in a ring lie within its capacity of each other.
 */
static inline struct sk_utp_segment *sk_utp_ring_get(const struct sk_utp_ring *ring,
                                                     uint16_t seq_nr)
{
    struct sk_utp_segment *segment =
        ring->capacity ? ring->slots[seq_nr & (ring->capacity - 1)] : NULL;
    return segment && segment->seq_nr == seq_nr ? segment : NULL;
}

/* Makes room for numbers that span so many (1 to SK_UTP_SPAN_MAX). SKEP_ERR_NOMEM. */
int sk_utp_ring_reserve(struct sk_utp_ring *ring, uint32_t span);
/* There must be room, and nothing at its place. */
void sk_utp_ring_put(struct sk_utp_ring *ring, struct sk_utp_segment *segment);
/* Takes out what sk_utp_ring_get() found; an empty ring gives its memory back. */
void sk_utp_ring_remove(struct sk_utp_ring *ring, uint16_t seq_nr);
/* With all that is in it. */
void sk_utp_ring_deinit(struct sk_utp_ring *ring, struct sk_utp_pool *pool);

#endif
