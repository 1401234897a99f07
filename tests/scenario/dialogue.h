/*
 * A scenario: one node under test, the peers that talk with it, virtual time. See README.md.
 */
#ifndef SCENARIO_DIALOGUE_H
#define SCENARIO_DIALOGUE_H

#include "proto/dht/dht.h"
#include "value.h"

#define SC_PEERS_MAX 200
#define SC_KNOWN_MAX 32
#define SC_MS UINT64_C(1000000)

struct sc_peer {
    struct sk_bytes name;
    struct sk_dht_contact contact;
    bool automatic; /* answers queries as a node does */
    bool read_only;
    uint8_t known[SC_KNOWN_MAX]; /* peers that it tells of */
    size_t known_count;
};

/* A datagram: of the node, not yet looked at; or of an automatic peer, on its way. */
struct sc_datagram {
    struct sc_datagram *next;
    struct sk_endpoint peer;
    struct sk_bytes bytes;
    uint64_t at_ns;
};

struct sc_dialogue {
    struct sc_context context; /* first: functions of the notation get it */
    struct sk_dht *dht;
    uint64_t now_ns;
    struct sc_peer peers[SC_PEERS_MAX];
    size_t peers_count;
    struct sc_datagram *sent, *coming; /* oldest first */
    struct sc_value *done, *item;      /* the last operation's, NULL */
    int64_t answered, refused, silent, code;
};

/* Runs one file: 0, or 1 and its problem was printed. */
int sc_run_file(const char *path);

/* ---- the node and its surroundings (surroundings.c) ---- */

struct sc_peer *sc_find_peer(struct sc_dialogue *dialogue, struct sk_bytes name);
/* node(a), nodes(a, b), peer(a). */
struct sc_value *sc_peer_function(struct sc_context *context, struct sk_bytes name,
                                  struct sc_value **args, size_t count);
void sc_send(struct sc_dialogue *dialogue, const struct sc_peer *peer, struct sk_bytes bytes);
/* Takes what the node has to give: events, datagrams. */
void sc_drain(struct sc_dialogue *dialogue);
void sc_wait(struct sc_dialogue *dialogue, uint64_t duration_ns);
/* Whether it is an answer: no query of the node's own. */
bool sc_is_answer(const struct sc_datagram *datagram);
struct sc_value *sc_stats(struct sc_dialogue *dialogue);
struct sc_value *sc_table(struct sc_dialogue *dialogue, enum sk_family family);

#endif
