/*
 * The routing table of one address family (BEP 5, BEP 32). Layer: proto/dht. Reads no clock.
 *
 * A bucket for each length of prefix shared with our own id, made as it is needed; the last one
 * holds all that is nearer and splits when it has more than SK_DHT_K entries. The first four have
 * 128, 64, 32 and 16 places, all others SK_DHT_K. So wherever in the network a target lies, the
 * table knows somebody within 8 bits of prefix and a few more: a lookup's first step goes as far as
 * two steps through buckets of eight. These 240 places are the greater part of the table.
 * A bucket also has up to SK_DHT_K spares: nodes that answered and wait for a place (replacement
 * cache). Only a full bucket has spares.
 *
 * An entry is GOOD for 15 minutes after it answered, or after it queried us (it did answer once);
 * then QUESTIONABLE; BAD after two failures in a row. A good or questionable entry is never
 * displaced (but see ids_by_address); a bad one is by the best spare or by who comes next, never
 * before: if all fail at once, it is we who are offline, and they will be needed. Bad ones are
 * given to nobody; they are pinged more and more rarely, as they may come back.
 *
 * Only nodes that answered us come in, so nobody fills the table by telling of nodes. Of one IP
 * address there is one node (IPv6: one of a /64), local addresses excepted (told apart by port),
 * and of one id too: the first one, until it is bad, or while it is but a spare or, with
 * ids_by_address, does not fit where the other does. A node whose port changes keeps its place if
 * its id does not; an address whose id changes loses its place, and is passed over for half an hour
 * (as far as the last 64 such are remembered).
 *
 * Memory: about 100 bytes a node, with spares (at most half as many in a large network) 130 an
 * entry; in a network of a million nodes about 340 entries. A stranger who makes up ids near ours
 * can bring it to 160 buckets, 1,500 entries and as many spares, 300 KiB.
 */
#ifndef SK_PROTO_DHT_TABLE_H
#define SK_PROTO_DHT_TABLE_H

#include "base/prng.h"
#include "proto/dht/node_id.h"

#define SK_DHT_K 8
#define SK_DHT_CLOSEST_MAX 64 /* that can be asked for at a time */

enum sk_dht_health { SK_DHT_GOOD, SK_DHT_QUESTIONABLE, SK_DHT_BAD };

struct sk_dht_entry {
    struct sk_dht_contact contact;
    uint64_t answered_ns; /* last answer to us */
    uint64_t queried_ns;  /* last query to us; 0 never */
    uint64_t asked_ns;    /* when we last asked it without an answer since; 0 none */
    uint64_t rtt_ns;      /* smoothed */
    uint8_t failures;     /* time-outs in a row */
    bool id_fits;         /* BEP 42 */
    bool spare;           /* waits for a place: neither found, nor walked, nor given to others */
    char version[4];      /* as raw bytes, 0 not said */
};

struct sk_dht_table; /* owned */

struct sk_dht_table_config {
    uint8_t id[SK_DHT_ID_SIZE];
    enum sk_family family;
    bool ids_by_address;  /* nodes whose id does not fit their address (BEP 42) come in only where
                             nobody else wants the place, and lose it to one that fits */
    struct sk_prng *prng; /* borrowed */
};

/* SKEP_ERR_NOMEM. */
int sk_dht_table_new(const struct sk_dht_table_config *config, uint64_t now_ns,
                     struct sk_dht_table **ret_table);
void sk_dht_table_free(struct sk_dht_table *table);
const uint8_t *sk_dht_table_id(const struct sk_dht_table *table);
/* Another own id: all entries find their new places. SKEP_ERR_NOMEM. */
int sk_dht_table_set_id(struct sk_dht_table *table, const uint8_t id[SK_DHT_ID_SIZE],
                        uint64_t now_ns);

enum sk_dht_told {
    SK_DHT_TOLD_KEPT,    /* it was there, or is now */
    SK_DHT_TOLD_SPARE,   /* waits for a place */
    SK_DHT_TOLD_NO_ROOM, /* full of better ones */
    SK_DHT_TOLD_CHANGED, /* another id than this address had: passed over */
};
/* It answered one of our queries (transaction and address were right). version: 1 to 4 bytes, all
 * else counts as not said. Without memory a new one finds no room. */
enum sk_dht_told sk_dht_table_answered(struct sk_dht_table *table,
                                       const struct sk_dht_contact *contact,
                                       struct sk_bytes version, uint64_t rtt_ns, uint64_t now_ns);
/* It queried us: refreshes an entry that there is. Returns whether a ping to it is worth the while,
 * as an answer would bring it in. Addresses in queries may be forged: the caller sees to it that
 * few such pings are sent. */
bool sk_dht_table_queried(struct sk_dht_table *table, const struct sk_dht_contact *contact,
                          uint64_t now_ns);
/* We send it a query now. It will not be pinged for a minute, or until the outcome is told. */
void sk_dht_table_asked(struct sk_dht_table *table, const struct sk_dht_contact *contact,
                        uint64_t now_ns);
/* It did not answer in time. */
void sk_dht_table_failed(struct sk_dht_table *table, const struct sk_dht_contact *contact,
                         uint64_t now_ns);

/* The closest to the target that are not bad, nearest first; returns how many, at most
 * SK_DHT_CLOSEST_MAX. With good_only questionable ones are left out, where the table has `max` good
 * ones. */
size_t sk_dht_table_closest(const struct sk_dht_table *table, const uint8_t target[SK_DHT_ID_SIZE],
                            bool good_only, uint64_t now_ns, struct sk_dht_contact *ret_contacts,
                            size_t max);
/* The entry of this address; NULL. Valid until the table changes. */
const struct sk_dht_entry *sk_dht_table_find(const struct sk_dht_table *table,
                                             const struct sk_endpoint *endpoint);
enum sk_dht_health sk_dht_entry_health(const struct sk_dht_entry *entry, uint64_t now_ns);

/* Maintenance. An entry to ping now (the call notes that it is being asked). False when none is
 * due. First those for whose place a spare waits, once they are questionable; then those that were
 * silent for 20 minutes, that only queried for an hour, or that failed (1 minute after the first
 * failure, doubling up to 4 hours); the longest silent ones first. */
bool sk_dht_table_next_ping(struct sk_dht_table *table, uint64_t now_ns,
                            struct sk_dht_contact *ret_contact);
/* A bucket in which nobody came or answered in 15 minutes and up to 3 more, by chance: look up the
 * id given (the call notes it). Never while the table is empty. */
bool sk_dht_table_next_refresh(struct sk_dht_table *table, uint64_t now_ns,
                               uint8_t ret_target[SK_DHT_ID_SIZE]);
/* When one of the two has something, or somewhat earlier; SK_TIME_NEVER. */
uint64_t sk_dht_table_deadline(const struct sk_dht_table *table);

struct sk_dht_table_stats {
    uint32_t buckets, entries, good, questionable, bad, spares;
    size_t bytes; /* of memory, all included */
};
void sk_dht_table_stats(const struct sk_dht_table *table, uint64_t now_ns,
                        struct sk_dht_table_stats *ret_stats);
/* Walks the entries, nearest buckets last: start with *pos = 0; NULL at the end. `ret_bucket` (may
 * be NULL): the length of the prefix shared with our id. */
const struct sk_dht_entry *sk_dht_table_next(const struct sk_dht_table *table, size_t *pos,
                                             unsigned *ret_bucket);
/* Whether everything that must hold holds: bounds, places, one node an address and an id, counts,
 * deadlines. For tests and the simulator; NULL, or a static phrase that says what does not. */
const char *sk_dht_table_fault(const struct sk_dht_table *table);

#endif
