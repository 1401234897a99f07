/*
 * Which announces are worth a row: what bounds the growth of a file that strangers make grow.
 * Layer: store; pure.
 *
 * An honest client announces once an interval, and when it starts, is done and stops. A client (its
 * peer id, at one network, of one torrent) has SK_QUOTA_CLIENT_ROWS rows at once, and then one each
 * half of the shortest interval that it is asked to keep. A network (an IPv4 address, a /48 of
 * IPv6) has SK_QUOTA_NETWORK_CLIENTS rows at once, and as many an interval, whatever its clients
 * call themselves. Counters add up, so that what is passed over is told by the next row.
 *
 * Memory: two tables of fixed size, 5 MiB. Where a place in them is taken by another who announces
 * just now, both share what it has.
 */
#ifndef SK_STORE_ANNOUNCE_QUOTA_H
#define SK_STORE_ANNOUNCE_QUOTA_H

#include "audit/announce.h"
#include "base/siphash.h"

struct sk_announce_quota;

/* Intervals are seconds above 0; nobody outside knows the key. SKEP_ERR_NOMEM. */
int sk_announce_quota_new(uint32_t interval_s, uint32_t min_interval_s,
                          const uint8_t key[SK_SIPHASH_KEY_SIZE],
                          struct sk_announce_quota **ret_quota);
void sk_announce_quota_free(struct sk_announce_quota *quota);
/* Whether this one is to be recorded; it is counted then. `now_ns` is monotonic. */
bool sk_announce_quota_take(struct sk_announce_quota *quota, const struct sk_announce *announce,
                            uint64_t now_ns);

#endif
