/*
 * How much of the observation log a peer may fill with what it tells of itself: its pieces, and
 * whether it chokes us or is interested. Layer: audit; pure.
 *
 * A few bytes of a peer's can be a row for each piece (have-all that comes late), and it can take
 * back and tell anew, hang up and come again as often as it likes. An honest one tells a piece
 * once, or a few times where it loses data or is called anew. So each may fill
 * SK_ALLOWANCE_ROUNDS times as many rows as the torrent has pieces and SK_ALLOWANCE_SPARE more,
 * and as many again in the time of SK_ALLOWANCE_ROUND_S each. It costs nothing to call from another
 * port each time: all at one IP together may fill as much as SK_ALLOWANCE_PEERS of them.
 */
#ifndef SK_AUDIT_ALLOWANCE_H
#define SK_AUDIT_ALLOWANCE_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SK_ALLOWANCE_ROW_BYTES 64 /* of data that are one more row */

/* Of one peer, whatever connection, or of all at one IP; all zero: it has told nothing. */
struct sk_allowance {
    double rows; /* that it filled, less what time has given back */
    uint64_t at_ns;
};

/* Takes a row with so many bytes of data, of a torrent of so many pieces (0 not known yet:
 * SK_ALLOWANCE_PIECES). False where so many peers have used up what they may; nothing is taken
 * then. */
bool sk_allowance_take(struct sk_allowance *allowance, uint32_t peers, uint32_t pieces,
                       size_t bytes, uint64_t now_ns);
/* The peer is also the one of `other`, with all that was told there. */
void sk_allowance_join(struct sk_allowance *allowance, const struct sk_allowance *other);

#endif
