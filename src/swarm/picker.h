/*
 * Which block of a torrent is asked of whom next. Layer: swarm. Pure: knows no peers' bytes and no
 * clock but what it is given.
 *
 * A piece:  MISSING -> PARTIAL -> WHOLE (all blocks here, the hash is being looked at) -> HAVE
 *                         ^----------/ wrong: MISSING again
 * A block of a PARTIAL piece: FREE, ASKED (of one peer, in the end game of several), HELD.
 *
 * A peer is offered, in this order: FREE blocks of pieces with a deadline, the nearest first; then
 * by priority (0 is not wanted) and within it
 *   1. PARTIAL pieces that it owns, or nobody: a piece belongs to the peer that it was begun with,
 *      until that one leaves. So mostly one peer gives a whole piece, in order: it can be hashed as
 *      it comes, and when it is wrong there is one culprit;
 *   2. a new piece, as long as memory allows;
 *   3. PARTIAL pieces of others.
 * A piece that was wrong comes from one peer alone, so that it shows who lied: its FREE blocks are
 * not for others while blocks are asked of its owner, and who takes it over begins it anew. (What
 * was asked for SK_PICKER_WITHHELD_NS ago is late of these, too.)
 *
 * Each time the rarest comes first, or the first in order from the cursor. Of MISSING pieces that
 * are as rare it is drawn which; of PARTIAL ones the one that lacks least comes first.
 *
 * Only when nothing that is wanted and that any peer has is FREE begins the end game: blocks that
 * were asked for SK_PICKER_LATE_NS ago are asked of other peers too, the oldest first, as long as
 * fewer than SK_PICKER_LATE_BLOCKS are asked of that peer; the caller cancels the other requests
 * when one arrives. The same is done while memory is short and nothing else can be asked for, so
 * that slow peers do not keep the fast ones waiting.
 *
 * Padding (BEP 47) is never asked for: blocks that lie wholly in a padding file are HELD from the
 * start, so the caller's buffer of a piece has to start zeroed. (A piece that is nothing but
 * padding is asked for its last block all the same, for something has to make it WHOLE.) All counts
 * of bytes have padding in them.
 *
 * Peers are small numbers of the caller's, below UINT32_MAX. Availability is what the caller tells
 * of bitfields and haves, so it must tell the same when a peer goes. A peer that comes with all
 * pieces costs O(1), coming and going; others a few steps for each piece that they have.
 *
 * Cost: a block of a PARTIAL piece looks at the PARTIAL pieces that have FREE ones, once for all
 * blocks of a piece; a new piece takes O(1) with a seed; with others as many looks as it takes to
 * find a piece that the peer has, the rarest first, from the end of an array that is kept in order.
 * After SK_PICKER_LOOKS of them it is the rarest of as many pieces that the peer has, from a place
 * that is drawn. Availabilities from 255 on (without seeds) count as the same. Memory: 16 bytes a
 * piece, 24 a block of PARTIAL and WHOLE pieces, of which there are at most `partial_bytes_max`
 * bytes (what they hold is the caller's).
 */
#ifndef SK_SWARM_PICKER_H
#define SK_SWARM_PICKER_H

#include "base/bitfield.h"
#include "base/limits.h"
#include "swarm/assembly.h" /* struct sk_block */

#define SK_PICKER_PRIORITY_MAX 7
#define SK_PICKER_PRIORITY_NORMAL 4
#define SK_PICKER_ASKED_MAX 3   /* peers that a block is asked of at a time, in the end game */
#define SK_PICKER_LOOKS 1024    /* pieces looked at for a new one, in each way */
#define SK_PICKER_LATE_BLOCKS 4 /* on the way from a peer that late blocks are asked of */
/* A block asked for so long ago is late; so long before a deadline late blocks are doubled. */
#define SK_PICKER_LATE_NS (2 * UINT64_C(1000000000))
#define SK_PICKER_WITHHELD_NS (120 * UINT64_C(1000000000)) /* late, of a piece that was wrong */
#define SK_PICKER_URGENT_NS (5 * UINT64_C(1000000000))

struct sk_metainfo;
struct sk_picker; /* heap */

enum sk_picker_order { SK_PICKER_RAREST, SK_PICKER_IN_ORDER };

struct sk_picker_config {
    const struct sk_metainfo *metainfo; /* borrowed: lengths of pieces, padding */
    uint64_t partial_bytes_max; /* lengths of PARTIAL and WHOLE pieces together; at least one
                                   piece is always allowed. 0 = SK_PICKER_BYTES_MAX */
    enum sk_picker_order order;
    uint64_t seed;
};

/* SKEP_ERR_NOMEM. All pieces are MISSING and of normal priority. */
int sk_picker_new(const struct sk_picker_config *config, struct sk_picker **ret_picker);
void sk_picker_free(struct sk_picker *picker);

/* ---- what is wanted ---- */

void sk_picker_set_order(struct sk_picker *picker, enum sk_picker_order order);
/* In order begins here: pieces before it are in order after all others. */
void sk_picker_set_cursor(struct sk_picker *picker, uint32_t piece);
/* 0 to SK_PICKER_PRIORITY_MAX. A PARTIAL piece that nobody wants any more stays, and counts against
 * `partial_bytes_max`, until sk_picker_forget(). */
void sk_picker_set_priority(struct sk_picker *picker, uint32_t piece, unsigned priority);
unsigned sk_picker_priority(const struct sk_picker *picker, uint32_t piece);
/* When the piece is needed, monotonic ns; SK_TIME_NEVER takes it back. From SK_PICKER_URGENT_NS
 * before it on its late blocks are asked of a second peer. It ends once we HAVE the piece (and is
 * not kept of one that we have). SKEP_ERR_NOMEM, SKEP_ERR_LIMIT (SK_PICKER_DEADLINES_MAX). */
int sk_picker_set_deadline(struct sk_picker *picker, uint32_t piece, uint64_t at_ns);

/* ---- what peers have ---- */

/* `change` is 1 when a peer with these pieces comes, -1 when it goes. What it got or lost meanwhile
 * is told one by one. */
void sk_picker_peer(struct sk_picker *picker, const struct sk_bitfield *have, int change);
void sk_picker_peer_have(struct sk_picker *picker, uint32_t piece, int change);
/* Peers that have the piece, as far as told. */
uint32_t sk_picker_availability(const struct sk_picker *picker, uint32_t piece);

/* ---- picking ---- */

/*
 * Up to `max` blocks to be asked of this peer, which has `have` (and, unless `allowed` is NULL,
 * gives only these: BEP 6). They count as ASKED of it with this. `now_ns` is when. Returns how
 * many; fewer than `max` when it has nothing more that is wanted, or memory is short (then
 * *ret_full is true, else false: what arrives makes room).
 */
size_t sk_picker_pick(struct sk_picker *picker, uint32_t peer, const struct sk_bitfield *have,
                      const struct sk_bitfield *allowed, uint64_t now_ns,
                      struct sk_block *ret_blocks, size_t max, bool *ret_full);
/*
 * For who gives long stretches better than blocks (web seeds): begins consecutive MISSING pieces
 * that are wanted and that `have` has, of up to `bytes_max` bytes (one at least), all of whose
 * blocks count as ASKED of this peer. Where: at the nearest deadline; else of the highest priority
 * the first in order, or the start of the longest stretch (or of the first that is long enough).
 * Returns how many pieces from *ret_first on; 0 when there is none, or memory is short (then
 * *ret_full is true, else false): sk_picker_pick() has what is left then.
 */
uint32_t sk_picker_pick_run(struct sk_picker *picker, uint32_t peer, const struct sk_bitfield *have,
                            uint64_t bytes_max, uint64_t now_ns, uint32_t *ret_first,
                            bool *ret_full);
/* The same for this one piece; false where it is not MISSING, not wanted or there is no memory. */
bool sk_picker_claim(struct sk_picker *picker, uint32_t peer, uint32_t piece, uint64_t now_ns);
/* Whether the peer has anything that is wanted and not here: whether we are interested. */
bool sk_picker_wants(const struct sk_picker *picker, const struct sk_bitfield *have);

/* ---- what becomes of it ---- */

enum sk_picker_taken {
    SK_PICKER_UNWANTED, /* nobody waits for it: it is here already, or its piece is gone */
    SK_PICKER_HELD,
    SK_PICKER_WHOLE, /* the last of its piece */
};
/* A block came from this peer, asked for or not (late ones are welcome where it is missing); one
 * that does not exist is UNWANTED. Those that were asked for it too are told in `ret_others` (room
 * for SK_PICKER_ASKED_MAX), *ret_count of them: their requests can be cancelled, they count as not
 * asked. */
enum sk_picker_taken sk_picker_take(struct sk_picker *picker, uint32_t peer,
                                    const struct sk_block *block, uint32_t *ret_others,
                                    size_t *ret_count);
/* The request to this peer came to nothing: FREE, unless others were asked too. Nothing happens
 * where there was none. */
void sk_picker_release(struct sk_picker *picker, uint32_t peer, uint32_t piece, uint32_t begin);
/* All that was asked of it, in one go: it choked us or is gone. It owns no piece any more. */
void sk_picker_leave(struct sk_picker *picker, uint32_t peer);
/* A WHOLE piece was looked at: HAVE, or MISSING again and from now on asked of one peer at a time.
 * Nothing happens where it is not WHOLE any more. */
void sk_picker_verified(struct sk_picker *picker, uint32_t piece, bool right);
/* A HELD block of a PARTIAL or WHOLE piece turned out wrong: FREE again (the piece PARTIAL).
 * Nothing happens where it is not HELD. */
void sk_picker_drop(struct sk_picker *picker, uint32_t piece, uint32_t begin);
/* A PARTIAL or WHOLE piece is given up: MISSING. The caller lets go of what it held. */
void sk_picker_forget(struct sk_picker *picker, uint32_t piece);
/* The piece is here already (found on disk): HAVE. */
void sk_picker_have(struct sk_picker *picker, uint32_t piece);
/* Of a MISSING or PARTIAL piece this block is here (found on disk): HELD, and the piece PARTIAL.
 * SKEP_ERR_NOMEM; SKEP_ERR_LIMIT (`partial_bytes_max`); SKEP_ERR_INVALID where that would make the
 * piece whole, or there is no such block or piece. Then it will be asked for, no more. */
int sk_picker_hold(struct sk_picker *picker, uint32_t piece, uint32_t begin);

/* ---- how it stands ---- */

struct sk_picker_counts {
    uint32_t pieces_have;
    uint32_t pieces_wanted; /* of priority > 0, those that we have included */
    uint64_t bytes_have;    /* of verified pieces of priority > 0 */
    uint64_t bytes_wanted;  /* of all of priority > 0 */
    uint64_t bytes_held;    /* blocks of PARTIAL and WHOLE pieces */
    uint32_t partial, whole;
    bool end_game;
};
void sk_picker_counts(const struct sk_picker *picker, struct sk_picker_counts *ret_counts);
/* All that is wanted is HAVE. */
bool sk_picker_done(const struct sk_picker *picker);
/* Which pieces we HAVE; lives as long as the picker. */
const struct sk_bitfield *sk_picker_pieces(const struct sk_picker *picker);
/* Distributed copies: whole ones, and the share of pieces of which there is one more (libtorrent's
 * way); counts peers, not us. */
double sk_picker_copies(const struct sk_picker *picker);
/* NULL, or what does not hold of its accounts. */
const char *sk_picker_fault(const struct sk_picker *picker);

#endif
