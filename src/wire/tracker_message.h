/*
 * What is said to and by a tracker, whatever it travels in: see tracker_http.h and tracker_udp.h.
 */
#ifndef SK_WIRE_TRACKER_MESSAGE_H
#define SK_WIRE_TRACKER_MESSAGE_H

#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/limits.h"

enum sk_tracker_event {
    SK_TRACKER_NONE = 0,
    SK_TRACKER_COMPLETED = 1,
    SK_TRACKER_STARTED = 2,
    SK_TRACKER_STOPPED = 3,
};

struct sk_tracker_announce {
    uint8_t info_hash[20];
    uint8_t peer_id[20];
    /* Bytes. UINT64_MAX: of `left`, not known yet; of the others, not said (only as read). */
    uint64_t uploaded, downloaded, left;
    enum sk_tracker_event event;
    bool partial_seed; /* lacks something and wants nothing (BEP 21): said over HTTP, without event
                        */
    uint32_t key;      /* 0 where none was said */
    bool has_key;      /* one was said (only as read) */
    int32_t want;      /* how many peers; -1 = the tracker's default */
    uint16_t port;     /* where we listen */
    struct sk_bytes tracker_id; /* what the tracker gave us before; borrowed, may be empty */
};

/* Owned: ends with sk_announce_answer_deinit(). Counts are -1 where the tracker did not say. */
struct sk_announce_answer {
    uint32_t interval_s, min_interval_s; /* 0 = not said */
    int64_t seeds, leechers, downloads;  /* complete, incomplete, downloaded */
    struct sk_endpoint *peers;           /* at most SK_TRACKER_PEERS_MAX */
    size_t peers_count;
    size_t names_skipped;
    struct sk_endpoint external;       /* BEP 24: what the tracker sees us as; port 0; or NONE */
    char failure[SK_TRACKER_TEXT_MAX]; /* "" or the reason, raw bytes cut to fit, NUL-terminated */
    char warning[SK_TRACKER_TEXT_MAX];
    uint32_t retry_s; /* BEP 31 "retry in", seconds; 0 = not said, UINT32_MAX = never */
    char tracker_id[128];
};

/* Nothing said yet. */
void sk_announce_answer_init(struct sk_announce_answer *answer);
/* Leaves it as after init. */
void sk_announce_answer_deinit(struct sk_announce_answer *answer);
/* Makes room in `peers` for up to `more` further ones; how many there is room for under
 * SK_TRACKER_PEERS_MAX, or SKEP_ERR_NOMEM. */
int sk_announce_answer_reserve(struct sk_announce_answer *answer, size_t more);
/* Adds peers in compact form; those above SK_TRACKER_PEERS_MAX are left out. SKEP_ERR_NOMEM. */
int sk_announce_answer_compact(struct sk_announce_answer *answer, struct sk_bytes bytes,
                               enum sk_family family);

/* Copies a text of the tracker, cut to size - 1 bytes; a NUL inside becomes a blank. */
void sk_tracker_text_copy(struct sk_bytes text, char *ret_text, size_t size);

/* What is sent as "left" while the size is not known (a magnet without its metadata): anything but
 * 0, which would make us a seed, and nothing that a signed 64-bit number cannot hold. */
#define SK_ANNOUNCE_LEFT_UNKNOWN 16384
uint64_t sk_announce_left(const struct sk_tracker_announce *announce);

struct sk_scrape_answer {
    int64_t seeds, downloads, leechers; /* -1 = not said */
    char failure[SK_TRACKER_TEXT_MAX];
};

#endif
