/*
 * The kinds of peers that a lab has. Layer: swarm; data only.
 *
 * A kind is nothing but a set of parameters with a name: whatever differs between two peers of a
 * lab is in struct sk_lab_behaviour, and a scenario may change each parameter.
 */
#ifndef SK_SWARM_LAB_KIND_H
#define SK_SWARM_LAB_KIND_H

#include "swarm/lab_lie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens to who connects. */
enum sk_lab_door {
    SK_LAB_DOOR_OPEN,
    SK_LAB_DOOR_SHUT,  /* nothing listens there */
    SK_LAB_DOOR_MUTE,  /* connections are taken and never answered */
    SK_LAB_DOOR_RESET, /* connections are taken and reset */
};

enum sk_lab_encryption {
    SK_LAB_ENCRYPTION_ANY,
    SK_LAB_ENCRYPTION_PLAIN,    /* plain only */
    SK_LAB_ENCRYPTION_REQUIRED, /* RC4 only */
};

/* From low to high, spread evenly over the peers of a group. */
struct sk_lab_range {
    double low, high;
};

/* When a peer that trades goes for good. */
enum sk_lab_leave {
    SK_LAB_LEAVE_NEVER,
    SK_LAB_LEAVE_COMPLETE, /* once it has everything */
    SK_LAB_LEAVE_TIME,
};

/* What a peer that trades keeps to. */
struct sk_lab_trade {
    struct sk_lab_range up_bytes_s, down_bytes_s; /* at most; 0 = no limit */
    struct sk_lab_range join_s;                   /* from the lab's start on */
    enum sk_lab_leave leave;
    double leave_s;          /* TIME: from the lab's start on */
    double tell_after_s;     /* gathers HAVEs for so long; 0 = tells at once; INFINITY = never */
    bool super_seeds;        /* of what it has it shows others a piece at a time (BEP 16) */
    struct sk_lab_lies lies; /* what it tells the tracker */
};

struct sk_lab_behaviour {
    enum sk_lab_door door;
    enum sk_lab_encryption encryption;
    bool hidden;        /* no tracker tells of it: only other peers do */
    bool dials;         /* connects to whoever announces himself */
    bool no_fast;       /* without BEP 6; like the next one, of plain streams only */
    bool no_extensions; /* without BEP 10 */
    bool no_pex, no_metadata;
    bool stranger;                    /* answers with the info-hash of another torrent */
    bool broken;                      /* its bitfield is of a wrong length */
    struct sk_lab_range share;        /* of the pieces, at the start; 0..1 */
    struct sk_lab_range rate_bytes_s; /* what it uploads at most; 0 = as fast as it can */
    double growth_pieces_s;           /* pieces that it gains */
    double unchoke_after_s; /* from their interest on, and after each choke; INFINITY = never */
    double choke_after_s;   /* from each unchoke on; 0 = never again */
    double leave_after_s;   /* closes the connection; 0 = never */
    double corrupt;         /* share of its blocks that are wrong; 0..1 */
    uint32_t lazy;          /* pieces left out of the bitfield and told by HAVE */
    uint32_t allowed_fast;  /* pieces that may be had while choked (BEP 6) */
    /* Not scripted: an engine of its own that downloads and gives by the choker. Of all that is
     * above only share, encryption and no_pex apply then. */
    bool trades;
    struct sk_lab_trade trade;
};

struct sk_lab_kind {
    const char *name, *what;
    struct sk_lab_behaviour behaviour;
};

/* Whether it holds more than it tells. */
bool sk_lab_hides(const struct sk_lab_behaviour *behaviour);

/* NULL where there is no such kind. */
const struct sk_lab_kind *sk_lab_kind_find(const char *name);
/* The i-th; NULL after the last. */
const struct sk_lab_kind *sk_lab_kind_at(size_t i);

/* What a peer says it is. */
struct sk_lab_client {
    const char *word;    /* in scenarios: "qbittorrent" */
    const char *id;      /* how its peer ids begin */
    const char *v;       /* of its extension handshake; NULL = says none */
    const char *name;    /* what one should read from both */
    const char *name_id; /* what one should read from the id alone */
    bool v2;             /* knows BEP 52; in a hybrid swarm it takes v2 where both can */
};

const struct sk_lab_client *sk_lab_client_find(const char *word);
const struct sk_lab_client *sk_lab_client_at(size_t i);

#endif
