/*
 * The tracker's side of a conversation (layer proto/tracker): requests in, answers out, over the
 * registry. Pure: the driver owns the sockets (driver/tracker_server.h).
 *
 * UDP connection ids (BEP 15) are a keyed hash of the address and the minute, so nothing is kept
 * for a stranger who has not proved his address, and no answer before that is longer than its
 * question. Ids of this minute and the two before are accepted.
 *
 * Memory: the registry's.
 */
#ifndef SK_PROTO_TRACKER_RESPONDER_H
#define SK_PROTO_TRACKER_RESPONDER_H

#include "proto/tracker/registry.h"

#define SK_RESPONDER_SECRET_SIZE 16
#define SK_RESPONDER_UDP_MAX 1400                                /* bytes of a datagram */
#define SK_RESPONDER_HTTP_MAX (SK_TRACKER_PEERS_MAX * 18 + 2048) /* bytes of a body */

struct sk_responder_config {
    struct sk_registry_config registry;
    uint8_t secret[SK_RESPONDER_SECRET_SIZE]; /* of the connection ids: not to be guessed */
    /* A client may name another address than its packets come from (ip= of HTTP, the field of
     * UDP). Only for labs on one machine: else anybody can send a swarm to a victim. */
    bool trust_ip;
};

struct sk_responder;

/* What a request said, for a record: an announce that was answered, and for whom. */
struct sk_heard {
    bool announced;
    struct sk_tracker_announce announce; /* tracker_id is empty */
    struct sk_endpoint peer;
};

/* SKEP_ERR_NOMEM. */
int sk_responder_new(const struct sk_responder_config *config, struct sk_responder **ret_responder);
void sk_responder_free(struct sk_responder *responder);
/* What the registry holds. */
void sk_responder_counts(struct sk_responder *responder, uint64_t now_ns,
                         struct sk_registry_counts *ret_counts);

/*
 * A GET of `target` (path and query, as they stood in the request), from `from`. Appends the body
 * to `buf` and returns the HTTP status: 200, also for refusals, as clients expect; 404 for another
 * path; 500 without memory.
 */
unsigned sk_responder_http(struct sk_responder *responder, struct sk_bytes target,
                           const struct sk_endpoint *from, uint64_t now_ns, struct sk_buf *buf,
                           struct sk_heard *ret_heard);
/* A datagram from `from`. Appends the answer to `buf`, or nothing where none is due. */
void sk_responder_udp(struct sk_responder *responder, struct sk_bytes packet,
                      const struct sk_endpoint *from, uint64_t now_ns, struct sk_buf *buf,
                      struct sk_heard *ret_heard);

#endif
