/*
 * One address of a tracker (private to proto/tracker): what is asked there, when again, and over
 * UDP the connection id, the transaction id and retransmission.
 *
 * States:
 *   OFF      no such address (yet)
 *   WAIT     nothing under way; an announce begins at next_ns
 *   CONNECT  a UDP connect request is under way, for the sake of `ask`
 *   REQUEST  `ask` itself is under way
 *   ENDED    never again
 * At most one exchange is under way, so at most one thing to send and one result wait to be taken;
 * while either waits, time does not move the station.
 */
#ifndef SK_PROTO_TRACKER_STATION_H
#define SK_PROTO_TRACKER_STATION_H

#include "proto/tracker/tracker.h"
#include "wire/tracker_udp.h"

enum sk_station_state {
    SK_STATION_OFF,
    SK_STATION_WAIT,
    SK_STATION_CONNECT,
    SK_STATION_REQUEST,
    SK_STATION_ENDED,
};

struct sk_station {
    enum sk_station_state state;
    enum sk_tracker_ask ask;
    struct sk_endpoint endpoint; /* family NONE for HTTP */
    bool udp;
    bool scrape;                 /* one is still wanted */
    bool started;                /* a started announce was answered */
    bool completed;              /* the news of it was not answered yet */
    bool stopping;               /* the news goes first, then the good-bye */
    enum sk_tracker_event event; /* of the announce that is or was last under way */
    bool send_ready;             /* a packet or a GET waits to be taken */
    bool result_ready;           /* `result` waits to be taken */
    bool stale;           /* the connection id comes from an earlier exchange: the tracker may
                             have forgotten it */
    unsigned tries;       /* packets sent in this state */
    unsigned failures;    /* announces in a row */
    uint32_t transaction; /* UDP: transaction id; HTTP: the request's number */
    uint64_t connection, connection_end_ns;
    uint64_t asked_ns;
    uint64_t downloaded; /* as the latest packet or GET said */
    uint64_t timer_ns;   /* CONNECT, REQUEST: when waiting ends */
    uint64_t next_ns;    /* WAIT: the next announce */
    char tracker_id[128];
    struct sk_tracker_result result;
    struct sk_announce_answer answer; /* of `result` */
};

void sk_station_init(struct sk_station *station, bool udp, bool scrape, uint64_t now_ns);
void sk_station_deinit(struct sk_station *station);
/* Another address than before: what was known of the connection is void. */
void sk_station_move(struct sk_station *station, const struct sk_endpoint *endpoint,
                     uint64_t now_ns);
void sk_station_tick(struct sk_station *station, struct sk_prng *prng, uint64_t now_ns);
void sk_station_stop(struct sk_station *station, struct sk_prng *prng, uint64_t now_ns);
/* The download has become complete. */
void sk_station_completed(struct sk_station *station, uint64_t now_ns);
uint64_t sk_station_deadline(const struct sk_station *station);
/* How long to wait after so many failures in a row, 1 or more. */
uint64_t sk_station_backoff_s(unsigned failures);

/* Whether an exchange is under way whose packet or GET has been taken. */
bool sk_station_listens(const struct sk_station *station);
/* An answer whose sender and transaction id were checked. */
void sk_station_udp(struct sk_station *station, enum sk_udp_action action, struct sk_bytes packet,
                    struct sk_prng *prng, uint64_t now_ns);
void sk_station_http(struct sk_station *station, unsigned status, struct sk_bytes body,
                     const uint8_t info_hash[20], struct sk_prng *prng, uint64_t now_ns);
/* Ends what is under way without an answer. */
void sk_station_fail(struct sk_station *station, enum sk_tracker_failure failure,
                     struct sk_bytes text, uint64_t now_ns);
/* Ends a scrape that this tracker does not offer, without a result. */
void sk_station_skip_scrape(struct sk_station *station);

#endif
