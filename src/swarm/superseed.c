#include "swarm/superseed.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/prng.h"

#define PLACES 2 /* the second is on the way while the first is passed on */

#define CHOICE 1024 /* pieces that one is chosen from */

enum place_state { FREE, OFFERED, HELD };

struct place {
    enum place_state state;
    uint32_t piece;
    uint64_t held_ns; /* since when */
};

struct sk_superseed_peer {
    struct sk_link link, waiting; /* of all; of those that may get an offer */
    void *owner;
    struct sk_bitfield has, offered;
    struct place places[PLACES];
};

/* How often a piece was told by others, and in how many places it is. */
struct piece {
    uint32_t copies, places;
};

struct sk_superseed {
    const struct sk_bitfield *stored;
    struct piece *pieces;
    struct sk_prng prng;
    struct sk_link peers, waiting;
    uint32_t leeches; /* peers that lack something */
};

int sk_superseed_new(const struct sk_bitfield *stored, uint64_t seed,
                     struct sk_superseed **ret_superseed)
{
    struct sk_superseed *superseed = sk_mem_calloc(1, sizeof *superseed);
    struct piece *pieces = sk_mem_calloc(stored->count, sizeof *pieces);
    if (!superseed || !pieces) {
        sk_mem_free(superseed);
        sk_mem_free(pieces);
        return SKEP_ERR_NOMEM;
    }
    superseed->stored = stored;
    superseed->pieces = pieces;
    sk_prng_init(&superseed->prng, seed);
    sk_list_init(&superseed->peers);
    sk_list_init(&superseed->waiting);
    *ret_superseed = superseed;
    return 0;
}

static void free_peer(struct sk_superseed_peer *peer)
{
    sk_bitfield_deinit(&peer->has);
    sk_bitfield_deinit(&peer->offered);
    sk_mem_free(peer);
}

void sk_superseed_free(struct sk_superseed *superseed)
{
    struct sk_link *link;
    if (!superseed)
        return;
    while ((link = sk_list_first(&superseed->peers))) {
        sk_list_remove(link);
        free_peer(SK_CONTAINER_OF(link, struct sk_superseed_peer, link));
    }
    sk_mem_free(superseed->pieces);
    sk_mem_free(superseed);
}

static void wait(struct sk_superseed *superseed, struct sk_superseed_peer *peer)
{
    sk_list_move_last(&superseed->waiting, &peer->waiting);
}

static void empty(struct sk_superseed *superseed, struct sk_superseed_peer *peer,
                  struct place *place)
{
    superseed->pieces[place->piece].places--;
    place->state = FREE;
    wait(superseed, peer);
}

/* Gives places free that hold a piece which no other peer will pass on, or which held it since
 * `until_ns` or longer. */
static void empty_held(struct sk_superseed *superseed, uint64_t until_ns)
{
    bool alone = superseed->leeches <= 1;
    for (struct sk_link *at = sk_list_first(&superseed->peers); at;
         at = sk_list_next(&superseed->peers, at)) {
        struct sk_superseed_peer *peer = SK_CONTAINER_OF(at, struct sk_superseed_peer, link);
        for (unsigned i = 0; i < PLACES; i++)
            if (peer->places[i].state == HELD && (alone || peer->places[i].held_ns <= until_ns))
                empty(superseed, peer, &peer->places[i]);
    }
}

void sk_superseed_tick(struct sk_superseed *superseed, uint64_t now_ns)
{
    if (now_ns >= SK_SUPERSEED_PATIENCE_NS)
        empty_held(superseed, now_ns - SK_SUPERSEED_PATIENCE_NS);
}

void sk_superseed_stored(struct sk_superseed *superseed)
{
    for (struct sk_link *at = sk_list_first(&superseed->peers); at;
         at = sk_list_next(&superseed->peers, at))
        wait(superseed, SK_CONTAINER_OF(at, struct sk_superseed_peer, link));
}

/* ---- peers ---- */

int sk_superseed_add(struct sk_superseed *superseed, void *owner,
                     struct sk_superseed_peer **ret_peer)
{
    struct sk_superseed_peer *peer = sk_mem_calloc(1, sizeof *peer);
    if (!peer)
        return SKEP_ERR_NOMEM;
    if (sk_bitfield_init(&peer->has, superseed->stored->count) ||
        sk_bitfield_init(&peer->offered, superseed->stored->count)) {
        free_peer(peer);
        return SKEP_ERR_NOMEM;
    }
    peer->owner = owner;
    superseed->leeches++;
    sk_list_append(&superseed->peers, &peer->link);
    sk_list_append(&superseed->waiting, &peer->waiting);
    *ret_peer = peer;
    return 0;
}

void sk_superseed_remove(struct sk_superseed *superseed, struct sk_superseed_peer *peer)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (peer->places[i].state != FREE)
            superseed->pieces[peer->places[i].piece].places--;
    for (uint32_t piece = 0; piece < peer->has.count && peer->has.set; piece++)
        superseed->pieces[piece].copies -= sk_bitfield_has(&peer->has, piece);
    superseed->leeches -= !sk_bitfield_full(&peer->has);
    sk_list_remove(&peer->link);
    sk_list_remove(&peer->waiting);
    free_peer(peer);
    if (superseed->leeches == 1)
        empty_held(superseed, 0);
}

/* What it means for each place of the piece that `teller` has it too. */
static void pass_on(struct sk_superseed *superseed, const struct sk_superseed_peer *teller,
                    uint32_t piece, uint64_t now_ns)
{
    bool shared = superseed->pieces[piece].copies > 1 || superseed->leeches <= 1;
    for (struct sk_link *at = sk_list_first(&superseed->peers); at;
         at = sk_list_next(&superseed->peers, at)) {
        struct sk_superseed_peer *peer = SK_CONTAINER_OF(at, struct sk_superseed_peer, link);
        for (unsigned i = 0; i < PLACES; i++) {
            struct place *place = &peer->places[i];
            if (place->state == FREE || place->piece != piece)
                continue;
            if (peer == teller) {
                place->state = HELD;
                place->held_ns = now_ns;
            }
            if (place->state == HELD && shared)
                empty(superseed, peer, place);
        }
    }
}

void sk_superseed_has(struct sk_superseed *superseed, struct sk_superseed_peer *peer,
                      uint32_t piece, uint64_t now_ns)
{
    if (!sk_bitfield_add(&peer->has, piece))
        return;
    superseed->pieces[piece].copies++;
    superseed->leeches -= sk_bitfield_full(&peer->has);
    if (superseed->pieces[piece].places)
        pass_on(superseed, peer, piece, now_ns);
}

/* ---- offers ---- */

bool sk_superseed_offered(const struct sk_superseed_peer *peer, uint32_t piece)
{
    return sk_bitfield_has(&peer->offered, piece);
}

static bool may_offer(const struct sk_superseed *superseed, const struct sk_superseed_peer *peer,
                      uint32_t piece)
{
    return sk_bitfield_has(superseed->stored, piece) && !sk_bitfield_has(&peer->has, piece) &&
           !sk_bitfield_has(&peer->offered, piece);
}

/* The rarest that it lacks and was not offered, of CHOICE of them from anywhere on: a HAVE of nine
 * bytes may free a place, and must not cost a look at all pieces. UINT32_MAX: there is none. */
static uint32_t choose(struct sk_superseed *superseed, const struct sk_superseed_peer *peer)
{
    uint32_t best = UINT32_MAX, least = UINT32_MAX, ties = 0, seen = 0, count = peer->has.count;
    uint32_t first = count > CHOICE ? (uint32_t)sk_prng_below(&superseed->prng, count) : 0;
    for (uint32_t i = 0; i < count && seen < CHOICE; i++) {
        uint32_t piece = i < count - first ? first + i : i - (count - first);
        uint32_t rank = superseed->pieces[piece].copies + superseed->pieces[piece].places;
        if (!may_offer(superseed, peer, piece))
            continue;
        seen++;
        if (rank > least)
            continue;
        ties = rank < least ? 1 : ties + 1;
        least = rank;
        if (sk_prng_below(&superseed->prng, ties) == 0)
            best = piece;
    }
    return best;
}

static struct place *free_place(struct sk_superseed_peer *peer)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (peer->places[i].state == FREE)
            return &peer->places[i];
    return NULL;
}

bool sk_superseed_next(struct sk_superseed *superseed, void **ret_owner, uint32_t *ret_piece)
{
    struct sk_link *link;
    while ((link = sk_list_first(&superseed->waiting))) {
        struct sk_superseed_peer *peer = SK_CONTAINER_OF(link, struct sk_superseed_peer, waiting);
        struct place *place = free_place(peer);
        uint32_t piece = place ? choose(superseed, peer) : UINT32_MAX;
        if (piece == UINT32_MAX) {
            sk_list_remove(link);
            sk_list_init(link);
            continue;
        }
        sk_list_move_last(&superseed->waiting, link); /* in turn */
        *place = (struct place){.state = OFFERED, .piece = piece};
        superseed->pieces[piece].places++;
        sk_bitfield_add(&peer->offered, piece);
        *ret_owner = peer->owner;
        *ret_piece = piece;
        return true;
    }
    return false;
}
