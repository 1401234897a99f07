/*
 * HTTP trackers (BEP 3, 7, 23, 24, 31, 48): the query of an announce or a scrape, and its answer.
 */
#ifndef SK_WIRE_TRACKER_HTTP_H
#define SK_WIRE_TRACKER_HTTP_H

#include "wire/tracker_message.h"

/*
 * Appends the full address of an announce: `url` with the query added (after '?' or '&' as the url
 * has one already), all bytes escaped, compact=1, no_peer_id=1, numwant, key, event (that of
 * BEP 21 too, where there is no other), trackerid.
 * The text is NUL-terminated (the NUL is not counted in buf->n).
 */
int sk_tracker_http_announce_url(struct sk_buf *buf, const char *url,
                                 const struct sk_tracker_announce *announce);
/* The scrape address by BEP 48's rule: SKEP_ERR_UNSUPPORTED where the last path element does not
 * begin with "announce". */
int sk_tracker_http_scrape_url(struct sk_buf *buf, const char *url, const uint8_t info_hash[20]);

/* Reads an answer. Peers in either form (compact strings, lists of dictionaries with literal
 * addresses; names are counted in names_skipped). SKEP_ERR_MALFORMED, SKEP_ERR_NOMEM. */
int sk_tracker_http_read_announce(struct sk_bytes body, struct sk_announce_answer *ret_answer);
int sk_tracker_http_read_scrape(struct sk_bytes body, const uint8_t info_hash[20],
                                struct sk_scrape_answer *ret_answer);

/*
 * The tracker's side, for the lab and `skep tracker`.
 *
 * A query string is walked pair by pair: false at its end. Keys and values are views, still
 * escaped.
 */
bool sk_tracker_http_next_pair(struct sk_bytes *query, struct sk_bytes *ret_key,
                               struct sk_bytes *ret_value);
/* Undoes %XX ('+' stands for itself, as clients mean it in hashes). False where the text is longer
 * than max bytes or an escape is broken. */
bool sk_tracker_http_unescape(struct sk_bytes text, uint8_t *ret_bytes, size_t max, size_t *ret_n);
/* Parses the query string of GET /announce. info_hash, peer_id and port must be there; others have
 * their defaults, tracker_id stays empty; *ret_compact is false where the client refuses compact
 * peers. SKEP_ERR_MALFORMED. */
int sk_tracker_http_read_query(struct sk_bytes query, struct sk_tracker_announce *ret_announce,
                               bool *ret_compact);
/* Appends an answer with compact peers (those of both families). */
int sk_tracker_http_write_announce(struct sk_buf *buf, const struct sk_announce_answer *answer);
int sk_tracker_http_write_scrape(struct sk_buf *buf, const uint8_t info_hash[20],
                                 const struct sk_scrape_answer *answer);
/* Appends {"failure reason": text}. */
int sk_tracker_http_write_failure(struct sk_buf *buf, const char *text);

#endif
