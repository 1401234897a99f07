/*
 * The canonical set of pieces that a peer may have although it is choked (BEP 6). Layer: swarm.
 * Pure. The longer set of a peer begins with the shorter one, whoever computes it.
 */
#ifndef SK_SWARM_ALLOWED_FAST_H
#define SK_SWARM_ALLOWED_FAST_H

#include "base/endpoint.h"
#include "base/hash.h"

/*
 * Writes the first `count` pieces of the set of the peer at this address to `ret_pieces`, where the
 * torrent has `pieces`. Returns how many: `count`, at most `pieces`; 0 for IPv6, for which the BEP
 * has no rule.
 */
uint32_t sk_allowed_fast(const uint8_t info_hash[SK_SHA1_SIZE], const struct sk_endpoint *peer,
                         uint32_t pieces, uint32_t count, uint32_t *ret_pieces);

#endif
