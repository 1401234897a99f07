/*
 * The peer book of one torrent: every address that anyone told, from which source and when, and
 * how dialling it went. Layer: swarm. Decides whom to dial next; dials nobody.
 *
 *   NEW -> DIALING -> OPEN -> WAITING -> DIALING ...      (WAITING: dial again, at retry_ns)
 *                  -> WAITING / DONE                      (DONE: not dialled any more; `reason`)
 *   SKIPPED: our own rules forbid it (a low port, an address that its source may not point us to).
 *
 * Memory: about 290 bytes an address, at most SK_BOOK_ADDRESSES_MAX. Of one IP at most
 * SK_BOOK_PORTS_PER_IP_MAX ports are dialled when strangers told them, so that nobody can make us
 * hammer a victim.
 */
#ifndef SK_SWARM_PEER_BOOK_H
#define SK_SWARM_PEER_BOOK_H

#include "base/endpoint.h"
#include "base/heap.h"
#include "base/map.h"
#include "swarm/source.h"

enum sk_dial_state {
    SK_DIAL_NEW,
    SK_DIAL_DIALING,
    SK_DIAL_OPEN,
    SK_DIAL_WAITING,
    SK_DIAL_DONE,
    SK_DIAL_SKIPPED,
};

/* By which transport and with which handshake somebody is dialled, as a bit. */
enum sk_dial_mode {
    SK_DIAL_PLAIN = 1, /* TCP */
    SK_DIAL_MSE = 2,
    SK_DIAL_UTP_PLAIN = 4,
    SK_DIAL_UTP_MSE = 8,
};
#define SK_DIAL_TCP (SK_DIAL_PLAIN | SK_DIAL_MSE)
#define SK_DIAL_UTP (SK_DIAL_UTP_PLAIN | SK_DIAL_UTP_MSE)
#define SK_DIAL_ENCRYPTED (SK_DIAL_MSE | SK_DIAL_UTP_MSE)

/* Being introduced to it by somebody who is connected to both (BEP 55). */
enum sk_punch_state {
    SK_PUNCH_NONE,
    SK_PUNCH_ASKED,  /* a relay was; it waits for the answer */
    SK_PUNCH_CALLED, /* it calls us now, and is called over uTP alone */
    SK_PUNCH_DONE,   /* once a round */
};

struct sk_book_entry {
    struct sk_endpoint endpoint;
    enum sk_dial_state state;
    unsigned sources;                   /* enum sk_source */
    uint64_t heard_ns[SK_SOURCE_COUNT]; /* first time from each source, 0 = never */
    uint64_t last_ns[SK_SOURCE_COUNT];  /* last time */
    uint32_t told[SK_SOURCE_COUNT];     /* how often */
    uint8_t pex_flags;                  /* all that PEX said of it, or-ed */
    uint8_t modes_tried, mode_worked;   /* enum sk_dial_mode; 0 = none yet */
    enum sk_punch_state punch;
    uint64_t called_ns;         /* when it was last called because a relay said so; 0 never */
    struct sk_endpoint relay;   /* who last said by PEX that it can be; family NONE */
    uint32_t dials;             /* attempts so far */
    uint8_t rounds;             /* failed in a row: each tries all that may be tried */
    uint64_t gave_up_ns;        /* when back_off() had enough of it; 0 not */
    uint8_t starved;            /* attempts that our own system had no socket for */
    bool renewed;               /* WAITING or DIALING: we ended it, and its place is kept */
    const char *reason;         /* why it failed or is skipped; static, or NULL */
    struct sk_endpoint same_as; /* another address of the same peer; family NONE */
    void *owner;                /* the engine's peer while DIALING or OPEN */
    struct sk_timer retry;      /* in one of the dial queues while NEW or WAITING */
};

/* How a round of attempts at an address, or the connection that came of it, ended. */
enum sk_dial_end {
    SK_DIAL_END_UNREACHED, /* nobody is there, or says so */
    SK_DIAL_END_HUNG_UP,   /* somebody is, but hung up or said nothing before it was open */
    SK_DIAL_END_LOST,      /* they ended an open connection */
    SK_DIAL_END_COUNT,
};

/* How long addresses that failed are tried again. */
enum sk_persistence {
    SK_PERSIST_BRIEF, /* an audit's: whoever is not reached is not; others may have been busy */
    SK_PERSIST_LONG,  /* a download's, a seed's: with back-off, and later when it is told again */
};

struct sk_peer_book {
    enum sk_persistence persistence; /* set before the first is heard */
    struct sk_map by_endpoint;
    struct sk_map ports_by_ip;
    struct sk_map banned;           /* what ban() was told, see there */
    struct sk_book_entry **entries; /* in the order they were heard */
    size_t count, capacity;
    struct sk_heap queue;    /* due for dialling, earliest first */
    struct sk_heap renewals; /* the same, of those that are `renewed`: they come first */
    uint32_t waiting;        /* how many are NEW or WAITING: in both */
};

int sk_peer_book_init(struct sk_peer_book *book, uint64_t seed);
void sk_peer_book_deinit(struct sk_peer_book *book);

/*
 * Notes that `source` told the address, seen from where the teller stands (see
 * sk_endpoint_reachable_from; for given ones SK_SCOPE_LOOPBACK). *ret_new says whether it was
 * unknown. Incoming addresses are entered as DONE: nobody knows that they listen there. One that
 * back_off() had enough of is dialled once more if that is SK_BOOK_REVIVE_NS ago.
 * SKEP_ERR_NOMEM, SKEP_ERR_LIMIT (book full).
 */
int sk_peer_book_hear(struct sk_peer_book *book, const struct sk_endpoint *endpoint,
                      enum sk_source source, enum sk_scope teller, uint64_t now_ns,
                      struct sk_book_entry **ret_entry, bool *ret_new);
struct sk_book_entry *sk_peer_book_find(const struct sk_peer_book *book,
                                        const struct sk_endpoint *endpoint);
/* What somebody may have who has this address, the same for all of that: the IP address (on the
 * loopback: this port of it; of public IPv6 addresses: this /64). */
struct sk_endpoint sk_peer_book_host(const struct sk_endpoint *endpoint);
/* Whoever is there is not dialled, and should not be let in. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
int sk_peer_book_ban(struct sk_peer_book *book, const struct sk_endpoint *endpoint);
bool sk_peer_book_is_banned(const struct sk_peer_book *book, const struct sk_endpoint *endpoint);
/* The next address that is due, as it is; NULL where none is. */
const struct sk_book_entry *sk_peer_book_due(const struct sk_peer_book *book, uint64_t now_ns);
/* The same, now DIALING. */
struct sk_book_entry *sk_peer_book_next(struct sk_peer_book *book, uint64_t now_ns);
/* When the next one is due; SK_TIME_NEVER. */
uint64_t sk_peer_book_deadline(const struct sk_peer_book *book);
/*
 * The round at this address ended so, and what was tried in it is forgotten. How long to wait
 * before the next one begins; SK_TIME_NEVER after too many in a row. `useful`: it was open and did
 * its work, so that nothing counts against it that was before.
 */
uint64_t sk_peer_book_back_off(const struct sk_peer_book *book, struct sk_book_entry *entry,
                               enum sk_dial_end end, bool useful, uint64_t now_ns);
/* It was open and we ended that for a while: to be dialled again at `at_ns`, and where that fails
 * as often as one whose connection they ended; `renewed` for the first four times at most.
 * SKEP_ERR_NOMEM (then it is DONE). */
int sk_peer_book_renew(struct sk_peer_book *book, struct sk_book_entry *entry, uint64_t at_ns);
/* To be dialled again at `at_ns`. SKEP_ERR_NOMEM (then it is DONE). */
int sk_peer_book_retry(struct sk_peer_book *book, struct sk_book_entry *entry, uint64_t at_ns);
/* OPEN or DONE; `reason` static. Takes it out of the queue. */
void sk_peer_book_settle(struct sk_peer_book *book, struct sk_book_entry *entry,
                         enum sk_dial_state state, const char *reason);

#endif
