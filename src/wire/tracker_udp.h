/*
 * UDP trackers (BEP 15, options of BEP 41): packets of both sides.
 */
#ifndef SK_WIRE_TRACKER_UDP_H
#define SK_WIRE_TRACKER_UDP_H

#include "wire/tracker_message.h"

enum sk_udp_action {
    SK_UDP_CONNECT = 0,
    SK_UDP_ANNOUNCE = 1,
    SK_UDP_SCRAPE = 2,
    SK_UDP_ERROR = 3,
};

#define SK_UDP_MAGIC 0x41727101980u /* where a connection id stands in a connect request */
#define SK_UDP_SCRAPE_MAX 74        /* info-hashes in one scrape request */

/* Requests. */
int sk_tracker_udp_write_connect(struct sk_buf *buf, uint32_t transaction);
/* `url_data` (BEP 41: path and query of the tracker's address) may be empty. */
int sk_tracker_udp_write_announce(struct sk_buf *buf, uint64_t connection, uint32_t transaction,
                                  const struct sk_tracker_announce *announce,
                                  struct sk_bytes url_data);
int sk_tracker_udp_write_scrape(struct sk_buf *buf, uint64_t connection, uint32_t transaction,
                                const uint8_t info_hash[20]);

/* The head of an answer: SKEP_ERR_MALFORMED when shorter than 8 bytes or of an unknown action. */
struct sk_udp_head {
    enum sk_udp_action action;
    uint32_t transaction;
};
int sk_tracker_udp_read_head(struct sk_bytes packet, struct sk_udp_head *ret_head);
int sk_tracker_udp_read_connect(struct sk_bytes packet, uint64_t *ret_connection);
/* family: what the peers are (that of the tracker's address). */
int sk_tracker_udp_read_announce(struct sk_bytes packet, enum sk_family family,
                                 struct sk_announce_answer *ret_answer);
int sk_tracker_udp_read_scrape(struct sk_bytes packet, struct sk_scrape_answer *ret_answer);
/* The text of an error answer, cut to fit. */
int sk_tracker_udp_read_error(struct sk_bytes packet, char ret_text[SK_TRACKER_TEXT_MAX]);

/* The tracker's side. */
struct sk_udp_request {
    enum sk_udp_action action;
    uint64_t connection; /* the protocol's magic for CONNECT */
    uint32_t transaction;
    struct sk_tracker_announce announce; /* ANNOUNCE; its tracker_id is empty */
    uint8_t ip[4];               /* ANNOUNCE: the address that the client claims, or zeros */
    struct sk_bytes info_hashes; /* SCRAPE: 20 bytes each, at most SK_UDP_SCRAPE_MAX; borrowed */
    struct sk_bytes url_data;    /* ANNOUNCE: BEP 41, the first chunk; borrowed */
};
/* SKEP_ERR_MALFORMED: too short for its action, a connect without the magic, no known action. */
int sk_tracker_udp_read_request(struct sk_bytes packet, struct sk_udp_request *ret_request);
int sk_tracker_udp_write_connected(struct sk_buf *buf, uint32_t transaction, uint64_t connection);
int sk_tracker_udp_write_announced(struct sk_buf *buf, uint32_t transaction, enum sk_family family,
                                   const struct sk_announce_answer *answer);
int sk_tracker_udp_write_scraped(struct sk_buf *buf, uint32_t transaction,
                                 const struct sk_scrape_answer *answers, size_t count);
int sk_tracker_udp_write_error(struct sk_buf *buf, uint32_t transaction, const char *text);

#endif
