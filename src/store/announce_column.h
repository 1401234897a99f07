/*
 * The columns of recorded announces, in every form that they are kept in: JSON Lines, CSV, SQLite.
 * Layer: store. docs/REPORTS.md describes them for people; names are a contract.
 *
 *   at          seconds since 1970 by the tracker's clock; may have a fraction
 *   info_hash   40 hex digits
 *   peer_id     40 hex digits
 *   address     where the client listens: "ip:port", "[ip6]:port", or an address alone
 *   uploaded, downloaded, left    bytes
 *   event       none, started, stopped, completed, paused; or 0 to 3 as in BEP 15
 *   key         0 to 4294967295
 *
 * `at` and `info_hash` have to be there, and one of `peer_id` and `address`. What a client did not
 * say is empty; so are the ways in which databases write that they have no value.
 */
#ifndef SK_STORE_ANNOUNCE_COLUMN_H
#define SK_STORE_ANNOUNCE_COLUMN_H

#include "audit/announce.h"
#include "base/bytes.h"

enum sk_announce_column {
    SK_ANNOUNCE_AT,
    SK_ANNOUNCE_INFO_HASH,
    SK_ANNOUNCE_PEER_ID,
    SK_ANNOUNCE_ADDRESS,
    SK_ANNOUNCE_UPLOADED,
    SK_ANNOUNCE_DOWNLOADED,
    SK_ANNOUNCE_LEFT,
    SK_ANNOUNCE_EVENT,
    SK_ANNOUNCE_KEY,
    SK_ANNOUNCE_COLUMN_COUNT,
};
const char *sk_announce_column_name(enum sk_announce_column column);
/* SK_ANNOUNCE_COLUMN_COUNT for one that is none of ours. */
enum sk_announce_column sk_announce_column_find(struct sk_bytes name);

/* An announce that is put together column by column. */
struct sk_announce_row {
    struct sk_announce announce;
    unsigned set; /* columns that said something, as bits */
};
void sk_announce_row_init(struct sk_announce_row *row);
/* NULL, or what was expected in the place of this text (static). An empty text says nothing. */
const char *sk_announce_row_set(struct sk_announce_row *row, enum sk_announce_column column,
                                struct sk_bytes text);
/* NULL, or the name of a column that is missed. */
const char *sk_announce_row_lacks(const struct sk_announce_row *row);

/* What was read, and what was not. */
struct sk_announces_tally {
    uint64_t announces; /* handed on */
    uint64_t others;    /* of other torrents than the one asked for */
    uint64_t bad;       /* lines, or rows, that could not be read */
};

/* Where announces that are read go. */
struct sk_announce_sink {
    const uint8_t *only; /* info-hash (20 bytes) of the torrent that is wanted; NULL = all */
    /* Whatever but 0 it returns ends the reading, which returns the same. */
    sk_announce_fn announce;
    /* A line or row that cannot be read: its number, from 1 on, and why, with what to do. May be
     * NULL. */
    void (*bad)(uint64_t line, const char *why, void *ctx);
    void *ctx;
};
/* A row that is whole goes to the sink, one that lacks something is bad. What the sink returned. */
int sk_announce_row_give(const struct sk_announce_row *row, uint64_t line,
                         const struct sk_announce_sink *sink, struct sk_announces_tally *tally);
/* Counts and tells a bad line. */
__attribute__((format(printf, 4, 5))) void sk_announce_bad(const struct sk_announce_sink *sink,
                                                           struct sk_announces_tally *tally,
                                                           uint64_t line, const char *format, ...);

#endif
