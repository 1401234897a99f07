/*
 * Super-seeding (BEP 16): what a seed admits to have, and to whom, so that it gives each piece
 * once before it gives any twice. Layer: swarm. Decides; sends nothing.
 *
 * Each peer is offered a few pieces at a time, the rarest, as if we had just got them. A place gets
 * free for another one once the peer has the piece and somebody else has it too: then it was passed
 * on. Departing from the BEP, it also gets free after SK_SUPERSEED_PATIENCE_NS, so that peers which
 * cannot reach each other are served slowly instead of not at all; and at once where there is
 * nobody to pass it on to.
 *
 *   place: FREE -> OFFERED -> HELD -> FREE
 *
 * Memory: two bits a piece and about 100 bytes for each peer, 8 bytes a piece of the torrent.
 */
#ifndef SK_SWARM_SUPERSEED_H
#define SK_SWARM_SUPERSEED_H

#include "base/bitfield.h"
#include "base/heap.h"

#define SK_SUPERSEED_PATIENCE_NS (60 * SK_SECOND_NS)

struct sk_superseed;
struct sk_superseed_peer;

/* Of what `stored` says, which is borrowed and may get more. SKEP_ERR_NOMEM. */
int sk_superseed_new(const struct sk_bitfield *stored, uint64_t seed,
                     struct sk_superseed **ret_superseed);
void sk_superseed_free(struct sk_superseed *superseed);
/* More is stored. */
void sk_superseed_stored(struct sk_superseed *superseed);

/* A peer that has nothing yet as far as we know; `owner` is the caller's. SKEP_ERR_NOMEM. */
int sk_superseed_add(struct sk_superseed *superseed, void *owner,
                     struct sk_superseed_peer **ret_peer);
void sk_superseed_remove(struct sk_superseed *superseed, struct sk_superseed_peer *peer);
/* It says that it has this piece, once or more often. */
void sk_superseed_has(struct sk_superseed *superseed, struct sk_superseed_peer *peer,
                      uint32_t piece, uint64_t now_ns);
/* To be called now and then: who waited long enough gets another piece. */
void sk_superseed_tick(struct sk_superseed *superseed, uint64_t now_ns);

/* Whether the peer was offered this piece: others are none of its business. */
bool sk_superseed_offered(const struct sk_superseed_peer *peer, uint32_t piece);
/* The next offer: the owner of the peer, and the piece. False where there is none now. */
bool sk_superseed_next(struct sk_superseed *superseed, void **ret_owner, uint32_t *ret_piece);

#endif
