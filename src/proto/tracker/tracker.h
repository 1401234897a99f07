/*
 * One tracker of one torrent (layer proto/tracker): announces, scrapes once, announces again as
 * soon as it may, and says good-bye. HTTP(S) and UDP trackers look the same from outside.
 *
 * Fed, asked and timed: after every call that takes `now_ns` the caller takes outputs until
 * sk_tracker_next_output() returns 0, and calls sk_tracker_tick() when sk_tracker_deadline() has
 * come. The machine opens no socket and reads no clock; times are monotonic nanoseconds.
 *
 * An HTTP tracker is asked at its address as a whole. A UDP tracker has up to two addresses, one of
 * each family (BEP 7: each knows only the peers of its own), and each is asked, waits and fails on
 * its own: see station.h.
 *
 * Specs: BEP 3, 7, 15, 23, 24, 31, 41, 48. Departures:
 * - BEP 15 waits 15 * 2^n seconds for an answer, n up to 8, which is more than an hour. An audit
 *   lasts minutes, and an address that has not answered in 21 s (after 3, 6 and 12 s) is reported
 *   as silent; the back-off between announces is what spares it.
 * - An announce is repeated as early as the tracker allows (min interval where it names one), not
 *   at the interval: every answer is another draw of peers.
 * - The stopped announce is sent once, and only where a started one was answered. So is the
 * completed one, which does not wait for the interval and is repeated until it is answered.
 *
 * Memory: about 6 KiB, its address, and one answer (at most SK_TRACKER_PEERS_MAX peers of 20 bytes)
 * of each address until the result is taken.
 */
#ifndef SK_PROTO_TRACKER_TRACKER_H
#define SK_PROTO_TRACKER_TRACKER_H

#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/prng.h"
#include "wire/tracker_message.h"

#define SK_TRACKER_SECOND_NS 1000000000u
#define SK_TRACKER_REPEAT_MIN_S 5         /* between two announces, whatever the tracker says */
#define SK_TRACKER_INTERVAL_DEFAULT_S 300 /* where it names none */
#define SK_TRACKER_BACKOFF_MIN_S 5        /* after a first failure; doubles with each further one */
#define SK_TRACKER_BACKOFF_MAX_S 1800
#define SK_TRACKER_UDP_TRIES 3
#define SK_TRACKER_UDP_WAIT_S 3        /* for an answer to the first try; doubles */
#define SK_TRACKER_UDP_CONNECTION_S 60 /* how long a connection id is used */
#define SK_TRACKER_HTTP_WAIT_S 20      /* for a whole answer */
#define SK_TRACKER_STOP_WAIT_S 3       /* for each answer when stopping */

enum sk_tracker_state {
    SK_TRACKER_RESOLVING,  /* the name of a UDP tracker is looked up */
    SK_TRACKER_ANNOUNCING, /* an announce is under way */
    SK_TRACKER_SCRAPING,   /* a scrape is under way */
    SK_TRACKER_WAITING,    /* answered; waits until it may ask again */
    SK_TRACKER_FAILING,    /* the last try failed; waits before the next */
    SK_TRACKER_STOPPING,   /* the stopped announce is under way */
    SK_TRACKER_ENDED,      /* will never do anything again */
};

enum sk_tracker_ask {
    SK_TRACKER_ANNOUNCE,
    SK_TRACKER_SCRAPE,
    SK_TRACKER_STOP,
};

/* Why there is no answer. */
enum sk_tracker_failure {
    SK_TRACKER_ANSWERED = 0,
    SK_TRACKER_UNRESOLVED, /* its name has no address */
    SK_TRACKER_TIMEOUT,    /* silence */
    SK_TRACKER_UNSENT,     /* the driver could not connect or send */
    SK_TRACKER_STATUS,     /* an HTTP status other than 200 */
    SK_TRACKER_MALFORMED,  /* an answer that cannot be read */
    SK_TRACKER_REFUSED,    /* the tracker says no: `text` is its word */
    SK_TRACKER_NOMEM,      /* ours: no memory to ask or to read with */
};

/* A result borrows from the machine: valid until the next call of any of its functions. */
struct sk_tracker_result {
    enum sk_tracker_ask ask;
    enum sk_tracker_failure failure;
    char text[SK_TRACKER_TEXT_MAX]; /* of a failure: raw bytes from outside, NUL-terminated */
    struct sk_endpoint from;        /* UDP: the address asked; family NONE for HTTP, unresolved */
    uint64_t asked_ns, answered_ns; /* the first packet or GET of this, and its end */
    bool started;                   /* an announce: it said that we begin */
    uint64_t downloaded; /* bytes that it said we downloaded (of several packets, the last) */
    /* ANNOUNCE that was answered: peers, claims, warning. NULL else. */
    const struct sk_announce_answer *announce;
    struct sk_scrape_answer scrape; /* SCRAPE that was answered */
};

enum sk_tracker_out_kind {
    SK_TRACKER_OUT_HTTP_GET, /* fetch `url`, then sk_tracker_input_http() with `request` */
    SK_TRACKER_OUT_RESOLVE,  /* look up `host`, then sk_tracker_input_resolved() */
    SK_TRACKER_OUT_UDP_SEND, /* send `datagram` to `to` */
    SK_TRACKER_OUT_RESULT,   /* `result` */
};

/* Views borrow from the machine: valid until the next call of any of its functions. */
struct sk_tracker_out {
    enum sk_tracker_out_kind kind;
    const char *url;
    uint32_t request;
    uint64_t timeout_ns; /* HTTP_GET: give up after so long; the machine does by itself as well */
    const char *host;    /* RESOLVE: a name, never a literal address */
    uint16_t port;
    struct sk_bytes datagram;
    struct sk_endpoint to;
    const struct sk_tracker_result *result;
};

struct sk_tracker_config {
    const char *url; /* http:, https: or udp: with a port; copied, at most SK_METAINFO_URL_MAX */
    /* What is announced; event and tracker_id are the machine's own and are ignored here. */
    struct sk_tracker_announce announce;
    bool scrape;          /* ask once for a scrape after the first answer */
    struct sk_prng *prng; /* for transaction ids; borrowed, outlives the machine */
};

struct sk_tracker;

/*
 * A tracker that is due at once: tick it to start. SKEP_ERR_INVALID for an address without meaning,
 * SKEP_ERR_UNSUPPORTED for another scheme, SKEP_ERR_LIMIT where it is too long, SKEP_ERR_NOMEM.
 */
int sk_tracker_new(const struct sk_tracker_config *config, struct sk_tracker **ret_tracker);
void sk_tracker_free(struct sk_tracker *tracker);

/* What later announces say of the transfer. */
void sk_tracker_progress(struct sk_tracker *tracker, uint64_t uploaded, uint64_t downloaded,
                         uint64_t left, bool partial_seed);

/*
 * The download has become complete: said in an announce of its own, as soon as a started one was
 * answered, whatever the interval; where it fails, in the next ones until it is answered. Each
 * address hears of it.
 */
void sk_tracker_completed(struct sk_tracker *tracker, uint64_t now_ns);

/*
 * The end of a GET: its status (200 and so on) and body; or status 0 and the driver's error text in
 * `body`. One that is no longer waited for is ignored.
 */
void sk_tracker_input_http(struct sk_tracker *tracker, uint32_t request, unsigned status,
                           struct sk_bytes body, uint64_t now_ns);
/*
 * A datagram. True where it was an answer to this tracker's packet (its address and its transaction
 * id), false where it belongs to somebody else: nothing happened then.
 */
bool sk_tracker_input_udp(struct sk_tracker *tracker, const struct sk_endpoint *from,
                          struct sk_bytes packet, uint64_t now_ns);
/*
 * The addresses of the name, the first of each family is used; ports are ignored. Leave out a
 * family that cannot be sent to. count 0: look-up failed, `text` says why (may be NULL).
 */
void sk_tracker_input_resolved(struct sk_tracker *tracker, const struct sk_endpoint *endpoints,
                               size_t count, const char *text, uint64_t now_ns);
/* The datagram for `to` could not be sent (no route, say): as good as no answer, only sooner. */
void sk_tracker_input_unsent(struct sk_tracker *tracker, const struct sk_endpoint *to,
                             const char *text, uint64_t now_ns);

/* Whether the answer to this GET is still waited for. */
bool sk_tracker_awaits(const struct sk_tracker *tracker, uint32_t request);

/* 1 and *ret_out where there is something to do, else 0. */
int sk_tracker_next_output(struct sk_tracker *tracker, struct sk_tracker_out *ret_out);

/* When to tick next; 0 while outputs wait to be taken, SK_TIME_NEVER once it has ended. */
uint64_t sk_tracker_deadline(const struct sk_tracker *tracker);
void sk_tracker_tick(struct sk_tracker *tracker, uint64_t now_ns);

/*
 * Says good-bye where there was a welcome; what is under way is dropped, but for the news of a
 * completed download, which goes first. Within 2 * SK_TRACKER_STOP_WAIT_S (HTTP: once that; each
 * once more with such news) the state is SK_TRACKER_ENDED; a caller in a hurry may free the machine
 * as soon as the outputs are sent and a UDP connection id was at hand.
 */
void sk_tracker_stop(struct sk_tracker *tracker, uint64_t now_ns);

enum sk_tracker_state sk_tracker_state(const struct sk_tracker *tracker);
const char *sk_tracker_url(const struct sk_tracker *tracker);
/*
 * When the next announce is allowed: the earliest of the addresses that answered last time, or of
 * all where none did. 0 while an announce is under way or due; SK_TIME_NEVER where none will come.
 */
uint64_t sk_tracker_next_draw_ns(const struct sk_tracker *tracker);
/* A short English name of a failure, never NULL. */
const char *sk_tracker_failure_text(enum sk_tracker_failure failure);

#endif
