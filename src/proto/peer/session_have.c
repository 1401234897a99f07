#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/peer/session_internal.h"

static struct sk_peer_early *get_early(struct sk_peer *peer)
{
    if (!peer->early)
        peer->early = sk_mem_calloc(1, sizeof *peer->early);
    if (!peer->early)
        sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
    return peer->early;
}

void sk_peer_free_early(struct sk_peer *peer)
{
    if (!peer->early)
        return;
    sk_mem_free(peer->early->bits);
    sk_mem_free(peer->early->changes);
    sk_mem_free(peer->early);
    peer->early = NULL;
}

/* Before the metadata the newest bitfield counts. */
static void keep_early(struct sk_peer *peer, struct sk_bytes bits)
{
    struct sk_peer_early *early = peer->view.has_all_early ? NULL : get_early(peer);
    if (!early)
        return;
    uint8_t *copy = sk_mem_dup(bits.p, bits.n);
    if (!copy) {
        sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
        return;
    }
    sk_mem_free(early->bits);
    early->bits = copy;
    early->bits_size = bits.n;
    early->changes_count = 0;
}

/* The first piece from `index` on that the message says anew; SK_PEER_NOT_LATE. */
static uint32_t find_late(const struct sk_peer *peer, uint32_t index)
{
    const struct sk_bitfield *have = &peer->view.have;
    bool all = peer->msg.kind == SK_MSG_HAVE_ALL;
    for (; index < have->count; index++) {
        uint8_t told = all ? 0xff : peer->msg.data.p[index / 8];
        uint8_t news = (uint8_t)(told & ~have->bits[index / 8]);
        if (!news)
            index |= 7; /* none of the whole byte */
        else if (news & (0x80u >> (index % 8)))
            return index;
    }
    return SK_PEER_NOT_LATE;
}

/*
 * BEP 3 wants a bitfield to come first or not at all; aria2 sends one whenever it is shorter than
 * the HAVEs that it owes, and have-all in its place when it has completed. It is told as these
 * HAVEs, and takes nothing back.
 */
static void take_late(struct sk_peer *peer)
{
    if (sk_bitfield_has_spare(&peer->view.have, peer->msg.data)) {
        sk_peer_violate(peer, SK_PEER_VIOLATION_BITFIELD);
        return;
    }
    peer->late = find_late(peer, 0);
    if (peer->late == SK_PEER_NOT_LATE)
        sk_peer_useless(peer, 1);
}

bool sk_peer_tell_late(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    if (peer->late == SK_PEER_NOT_LATE)
        return false;
    *ret_event = (struct sk_peer_event){
        .kind = SK_PEER_EVENT_MESSAGE,
        .msg = {.kind = SK_MSG_HAVE, .id = SK_MSG_HAVE, .index = peer->late, .begin = 1},
    };
    sk_bitfield_add(&peer->view.have, peer->late);
    peer->late = find_late(peer, peer->late);
    return true;
}

void sk_peer_take_bitfield(struct sk_peer *peer)
{
    struct sk_bytes bits = peer->msg.data;
    bool late = peer->pieces_told;
    peer->pieces_told = peer->view.has_bitfield = true;
    if (!peer->config.pieces)
        keep_early(peer, bits);
    else if (late)
        take_late(peer);
    else if (sk_bitfield_assign(&peer->view.have, bits))
        sk_peer_violate(peer, SK_PEER_VIOLATION_BITFIELD);
}

void sk_peer_take_have_all(struct sk_peer *peer)
{
    bool late = peer->pieces_told;
    peer->pieces_told = peer->view.has_bitfield = true;
    if (late) /* five bytes make us look at all pieces */
        sk_peer_useless(peer, 1);
    if (!peer->config.pieces) {
        sk_peer_free_early(peer);
        peer->view.has_all_early = true;
    } else if (late) {
        peer->late = find_late(peer, 0);
    } else {
        sk_bitfield_fill(&peer->view.have);
    }
}

/* Whoever has told of pieces has some: only this one has to come first. */
void sk_peer_take_have_none(struct sk_peer *peer)
{
    if (peer->pieces_told)
        sk_peer_violate(peer, SK_PEER_VIOLATION_BITFIELD);
    peer->pieces_told = peer->view.has_bitfield = true;
}

/* A change before the metadata: into the bitfield that came, or else to the list. */
static void note_early(struct sk_peer *peer, uint32_t index, bool has)
{
    struct sk_peer_early *early = get_early(peer);
    if (!early)
        return;
    if (early->bits) {
        if (index / 8 >= early->bits_size) {
            sk_peer_violate(peer, SK_PEER_VIOLATION_INDEX);
            return;
        }
        uint8_t bit = (uint8_t)(0x80u >> (index % 8));
        uint8_t *byte = &early->bits[index / 8];
        *byte = (uint8_t)(has ? *byte | bit : *byte & ~bit);
        return;
    }
    if (early->changes_count >= SK_PEER_EARLY_HAVES_MAX) {
        sk_peer_violate(peer, SK_PEER_VIOLATION_FLOOD);
        return;
    }
    if (early->changes_count == early->changes_capacity) {
        uint32_t capacity = SK_MAX(16u, early->changes_capacity * 2);
        uint32_t *changes = sk_mem_realloc(early->changes, capacity, sizeof *changes);
        if (!changes) {
            sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
            return;
        }
        early->changes = changes;
        early->changes_capacity = capacity;
    }
    early->changes[early->changes_count++] = index | (has ? 0 : SK_PEER_EARLY_DROP);
}

void sk_peer_take_have(struct sk_peer *peer)
{
    uint32_t index = peer->msg.index;
    if (peer->config.pieces == 0)
        note_early(peer, index, true);
    else if (!sk_bitfield_add(&peer->view.have, index))
        sk_peer_useless(peer, 1);
}

void sk_peer_lose_piece(struct sk_peer *peer, uint32_t index)
{
    if (peer->config.pieces == 0)
        note_early(peer, index, false);
    else if (!sk_bitfield_drop(&peer->view.have, index))
        sk_peer_useless(peer, 1);
    if (peer->view.fast)
        return; /* requests for it are rejected one by one */
    sk_requests_drop_piece(&peer->requests, index);
    peer->view.requests_pending = peer->requests.count;
}

static enum sk_peer_violation apply_changes(struct sk_bitfield *have,
                                            const struct sk_peer_early *early)
{
    for (uint32_t i = 0; i < early->changes_count; i++) {
        uint32_t index = early->changes[i] & ~SK_PEER_EARLY_DROP;
        if (index >= have->count)
            return SK_PEER_VIOLATION_INDEX;
        if (early->changes[i] & SK_PEER_EARLY_DROP)
            sk_bitfield_drop(have, index);
        else
            sk_bitfield_add(have, index);
    }
    return SK_PEER_VIOLATION_NONE;
}

static void apply_early(struct sk_peer *peer)
{
    struct sk_bitfield *have = &peer->view.have;
    const struct sk_peer_early *early = peer->early;
    enum sk_peer_violation violation = SK_PEER_VIOLATION_NONE;
    if (peer->view.has_all_early)
        sk_bitfield_fill(have);
    if (early && early->bits && sk_bitfield_assign(have, sk_bytes(early->bits, early->bits_size)))
        violation = SK_PEER_VIOLATION_BITFIELD;
    else if (early)
        violation = apply_changes(have, early);
    sk_peer_free_early(peer);
    if (violation)
        sk_peer_violate(peer, violation);
}

int sk_peer_set_pieces(struct sk_peer *peer, uint32_t pieces, uint32_t piece_size, uint64_t span,
                       bool has_v2)
{
    SK_ASSERT(pieces > 0);
    if (peer->config.pieces || peer->view.state == SK_PEER_CLOSED)
        return SKEP_ERR_STATE;
    bool is_open = peer->view.state == SK_PEER_OPEN; /* else it is made when it opens */
    if (is_open && sk_bitfield_init(&peer->view.have, pieces))
        return SKEP_ERR_NOMEM;
    peer->config.pieces = pieces;
    peer->config.piece_size = piece_size;
    peer->config.span = span;
    peer->config.has_v2 = has_v2;
    if (is_open)
        apply_early(peer);
    return 0;
}
