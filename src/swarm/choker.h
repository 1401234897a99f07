/*
 * Whom we give to: which peers are unchoked. Layer: swarm. Pure: it is fed what every peer gave and
 * took, and says who is unchoked; the caller sends the messages.
 *
 * As a leecher: tit for tat (BEP 3, Cohen 2003). Every SK_CHOKER_ROUND_NS those that gave most in
 * the last two rounds get the regular slots; where some gave as much, who is unchoked stays so, and
 * else it is drawn. One slot in SK_CHOKER_OPTIMISTIC_SHARE, at least one, is optimistic: who gets
 * it is drawn among the others every SK_CHOKER_OPTIMISTIC_NS, newcomers (never unchoked so far)
 * three times as likely. An optimistic one that gives enough moves to a regular slot. Who has not
 * given a block for SK_CHOKER_SNUBBED_NS although we waited gets no regular slot (anti-snubbing).
 *
 * As a seed: a slot is a turn of SK_CHOKER_TURN_BYTES or SK_CHOKER_TURN_NS, the shorter; it is over
 * too when the peer took nothing for two rounds. At the end of a round those whose turn is over
 * make room for those that wait, the longest waiting first; where none waits they stay, the fastest
 * first. So fast peers take turns by bytes and slow ones by time, and everybody gets one.
 *
 * Slots: fixed, or (slots_max 0) as many as the upload rate feeds, SK_CHOKER_SLOTS_MIN at least. At
 * the end of a round in which all were taken there is one more while the unchoked together leave an
 * eighth of the limit unused, or while each next one brings more: of n slots the slowest took n *
 * SK_CHOKER_STEP_BYTES_S or more (libtorrent's way). There is one less where neither holds, and not
 * for n - 1 either.
 *
 * Between rounds only what cannot wait is done: a free slot is filled when someone becomes
 * interested, given up when he is not or goes. Peers are numbers of the caller's. Memory: about 200
 * bytes a peer, SK_CHOKER_PEERS_MAX.
 */
#ifndef SK_SWARM_CHOKER_H
#define SK_SWARM_CHOKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SK_CHOKER_ROUND_NS (10 * UINT64_C(1000000000))
#define SK_CHOKER_OPTIMISTIC_NS (30 * UINT64_C(1000000000))
#define SK_CHOKER_SNUBBED_NS (60 * UINT64_C(1000000000))
#define SK_CHOKER_OPTIMISTIC_SHARE 5
#define SK_CHOKER_TURN_NS (60 * UINT64_C(1000000000))
#define SK_CHOKER_TURN_BYTES (20u << 20)
#define SK_CHOKER_SLOTS_MIN 4
#define SK_CHOKER_STEP_BYTES_S 1024

struct sk_choker; /* heap */

struct sk_choker_config {
    uint32_t slots_max; /* unchoked at a time, optimistic ones included; 0 = by the rate */
    uint64_t upload_limit_bytes_s; /* 0 = none */
    uint64_t seed;
};

/* SKEP_ERR_NOMEM. */
int sk_choker_new(const struct sk_choker_config *config, uint64_t now_ns,
                  struct sk_choker **ret_choker);
void sk_choker_free(struct sk_choker *choker);
/* Whether we have all that we want: gives as a seed from the next round on. */
void sk_choker_set_seeding(struct sk_choker *choker, bool seeding);

/* A peer that is choked and not interested. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT (SK_CHOKER_PEERS_MAX).
 * All calls below are of peers that were added. */
int sk_choker_add(struct sk_choker *choker, uint32_t peer, uint64_t now_ns);
/* It is gone; its slot is free. No change of it is told any more. */
void sk_choker_remove(struct sk_choker *choker, uint32_t peer, uint64_t now_ns);
void sk_choker_interested(struct sk_choker *choker, uint32_t peer, bool interested,
                          uint64_t now_ns);
/* Block bytes that it gave us, that we gave it. */
void sk_choker_gave(struct sk_choker *choker, uint32_t peer, uint64_t bytes, uint64_t now_ns);
void sk_choker_took(struct sk_choker *choker, uint32_t peer, uint64_t bytes, uint64_t now_ns);
/* We wait for blocks of it (requests are on the way), or not. */
void sk_choker_waits(struct sk_choker *choker, uint32_t peer, bool waits, uint64_t now_ns);

/* The next change: peer and whether it is unchoked from now on. False: none. What was taken back
 * before it was told is not told. */
bool sk_choker_next(struct sk_choker *choker, uint32_t *ret_peer, bool *ret_unchoked);
/* When to tick, monotonic ns; SK_TIME_NEVER where there are no peers. */
uint64_t sk_choker_deadline(const struct sk_choker *choker);
void sk_choker_tick(struct sk_choker *choker, uint64_t now_ns);

uint32_t sk_choker_unchoked(const struct sk_choker *choker);
/* NULL, or what does not hold. */
const char *sk_choker_fault(const struct sk_choker *choker);

#endif
