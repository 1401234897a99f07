/*
 * What we asked of a peer and still wait for: blocks, and hash ranges of BEP 52. Part of a peer
 * session (proto).
 *
 * Answers come nearly always in the order of the requests, so a block's request is searched from
 * the oldest on: O(1) then, and never worse than SK_PEER_REQUESTS_MAX steps.
 *
 * A request that was cancelled or dropped by a choke may still be answered, because the answer was
 * on its way already. Such answers are forgiven once each for SK_PEER_FORGIVE_NS.
 *
 * Memory: nothing while nothing is asked; 24 bytes a request, 8 a forgiven answer, 48 a hash range.
 */
#ifndef SK_PROTO_PEER_REQUESTS_H
#define SK_PROTO_PEER_REQUESTS_H

#include "wire/peer_message.h"

#define SK_PEER_FORGIVE_NS UINT64_C(60000000000)

enum sk_request_state {
    SK_REQUEST_GONE = 0,  /* a hole in the table */
    SK_REQUEST_WAITING,   /* one answer is due */
    SK_REQUEST_CANCELLED, /* taken back, but BEP 6 still owes an answer */
    SK_REQUEST_DROPPED,   /* choked away: its owner is to be told */
};

struct sk_request {
    uint32_t index, begin, length;
    enum sk_request_state state;
    uint64_t sent_ns;
};

struct sk_requests {
    struct sk_request *items; /* [head, end), oldest first */
    uint32_t head, end, capacity;
    uint32_t count;   /* those that wait or are cancelled */
    uint32_t dropped; /* those that are dropped and not told yet */

    struct sk_forgiven {
        uint32_t index, begin;
    } * forgiven;
    uint32_t forgiven_count, forgiven_capacity, forgiven_oldest;
    uint64_t forgiven_until_ns; /* SK_TIME_NEVER where there are none */

    struct sk_hash_asked *hashes;
    uint32_t hashes_count, hashes_capacity;
};

void sk_requests_init(struct sk_requests *requests);
void sk_requests_deinit(struct sk_requests *requests);

/* Room for one more. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT at SK_PEER_REQUESTS_MAX. */
int sk_requests_reserve(struct sk_requests *requests);
/* After sk_requests_reserve(). */
void sk_requests_add(struct sk_requests *requests, uint32_t index, uint32_t begin, uint32_t length,
                     uint64_t now_ns);
/* The oldest that waits (or is cancelled) for exactly this block, or NULL. */
struct sk_request *sk_requests_find(const struct sk_requests *requests, uint32_t index,
                                    uint32_t begin, uint32_t length);
void sk_requests_remove(struct sk_requests *requests, struct sk_request *request);
/* Drops all, or those of one piece. */
void sk_requests_drop_all(struct sk_requests *requests);
void sk_requests_drop_piece(struct sk_requests *requests, uint32_t index);
/* The oldest dropped one, or NULL; sk_requests_remove() it then. */
struct sk_request *sk_requests_dropped(const struct sk_requests *requests);

/* Forgives one late answer. SKEP_ERR_NOMEM. */
int sk_requests_forgive(struct sk_requests *requests, uint32_t index, uint32_t begin,
                        uint64_t now_ns);
/* Whether an answer is forgiven; it is then used up. */
bool sk_requests_is_forgiven(struct sk_requests *requests, uint32_t index, uint32_t begin);
/* Forgets those whose time is over. */
void sk_requests_tick(struct sk_requests *requests, uint64_t now_ns);

/* Room for one more hash range. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT at SK_PEER_HASH_REQUESTS_MAX. */
int sk_requests_reserve_hashes(struct sk_requests *requests);
void sk_requests_add_hashes(struct sk_requests *requests, const struct sk_hash_range *range);
/* Whether the range was asked for; it is then answered and gone. */
bool sk_requests_answer_hashes(struct sk_requests *requests, const struct sk_hash_range *range);

#endif
