/*
 * What a client reported to a tracker, once: a claim. Layer: audit; plain data.
 *
 * Recorded by skep tracker --db, or read from other trackers' logs (store/announce_file.h).
 * BEP 3: uploaded and downloaded count from the client's `started`; left is what it lacks.
 */
#ifndef SK_AUDIT_ANNOUNCE_H
#define SK_AUDIT_ANNOUNCE_H

#include "base/endpoint.h"

enum sk_announce_event {
    SK_ANNOUNCE_NONE, /* the regular one */
    SK_ANNOUNCE_STARTED,
    SK_ANNOUNCE_STOPPED,
    SK_ANNOUNCE_COMPLETED,
    SK_ANNOUNCE_PAUSED, /* BEP 21 */
    SK_ANNOUNCE_EVENT_COUNT,
};
/* "none", "started", ... */
const char *sk_announce_event_name(enum sk_announce_event event);

#define SK_ANNOUNCE_UNKNOWN UINT64_MAX

struct sk_announce {
    double at_unix_s; /* by the tracker's clock */
    uint8_t info_hash[20];
    bool has_peer_id;
    uint8_t peer_id[20];
    struct sk_endpoint endpoint; /* where it listens; family NONE where the log does not say */
    uint64_t uploaded, downloaded, left; /* bytes; SK_ANNOUNCE_UNKNOWN where not said */
    enum sk_announce_event event;
    bool has_key;
    uint32_t key;
};

typedef int (*sk_announce_fn)(const struct sk_announce *announce, void *ctx);

#endif
