/*
 * Clients of a tracker's log that an audit never heard of: when each may have been in the swarm,
 * and what it may have taken there. Layer: audit; pure.
 *
 * A visitor may come, take something and go before any source tells of it. Its announces bear
 * witness of that, for the good of who gave it: they accuse nobody. From one announce of a client
 * to the next it took by how much its `downloaded` grew, whatever the time. Where that is not told
 * (the counter fell, another client at the address) and after its last announce but `stopped`, it
 * may have taken what anybody unseen may, for as long as it may have been there: until the next
 * announce would have been due, and as long before a first one that is no `started`.
 *
 * Anybody can announce clients that do not exist, and most easily at his own IP address (IPv6: in
 * his network of 64 bits), but behind one NAT there are many. So what those at a peer's address may
 * have taken of it is told apart. What has the peer id of a peer that the audit knows counts
 * nothing. All at one address is one visitor: there once at a time, and by its own word it takes
 * the torrent once, however often it comes. No more visitors count at a time than the audit knows
 * peers (where it knows hardly any, eight), and their words together for no more torrents than
 * these.
 *
 * Memory: 340 bytes an announce of theirs, at most SK_VISITS_MAX of them, 230 more at an address of
 * a peer, and, while they are looked for, 80 bytes a peer id that is known. Time: O(n log n); O(log
 * n) a look.
 */
#ifndef SK_AUDIT_VISITS_H
#define SK_AUDIT_VISITS_H

#include "audit/announce.h"
#include "audit/timeline.h"

struct sk_reports;
struct sk_visits_edge;
struct sk_visits_place;

struct sk_visits {
    struct sk_visits_edge *edges;   /* of all, by time; then those at each of `places` once more */
    uint32_t count;                 /* of all */
    struct sk_visits_place *places; /* where there are peers, too; in order */
    uint32_t places_count;
    uint64_t seed;
    uint32_t dropped;    /* announces, for want of room */
    double interval_s;   /* in which clients announce again */
    double most_at_once; /* of visitors that count */
    double size;         /* of the torrent, bytes */
};

/*
 * Takes the announces numbered `strangers` (`count` of them, in the order of the log) out of the
 * log that `reports` was made of, in its time. SKEP_ERR_NOMEM.
 */
int sk_visits_init(struct sk_visits *visits, const struct sk_reports *reports,
                   const struct sk_timeline *timeline, const struct sk_announce *announces,
                   const uint32_t *strangers, uint32_t count, double began_unix_s);
void sk_visits_deinit(struct sk_visits *visits);

/* Bytes that visitors may have taken of the peer at `giver` in that time (seconds since the audit
 * began): as much as they say, and, where they do not say, at busy_bytes_s (INFINITY: not known)
 * what they lack at most. `ret_beside`: how many less, were none of them at its IP address. */
double sk_visits_taken(const struct sk_visits *visits, const struct sk_endpoint *giver,
                       double from_s, double until_s, double busy_bytes_s, double *ret_beside);

#endif
