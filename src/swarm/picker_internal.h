/*
 * What picker.c (how pieces and blocks stand) and picker_choice.c (which are picked) share.
 */
#ifndef SK_SWARM_PICKER_INTERNAL_H
#define SK_SWARM_PICKER_INTERNAL_H

#include "base/assert.h"
#include "base/heap.h"
#include "base/prng.h"
#include "swarm/picker.h"
#include "swarm/piece_order.h"
#include "wire/metainfo.h"

#define SK_PICKER_NOBODY UINT32_MAX /* no peer */
#define SK_PICKER_NONE UINT32_MAX   /* no piece */
/* Availabilities that are told apart in a priority's buckets: the last stands for all above. */
#define SK_PICKER_LEVELS (SK_PIECE_ORDER_BUCKETS / SK_PICKER_PRIORITY_MAX)

#define SK_PICKER_AVAILABILITY_MAX ((1u << 24) - 1)

enum sk_picker_state {
    SK_PICKER_PIECE_MISSING,
    SK_PICKER_PIECE_PARTIAL,
    SK_PICKER_PIECE_WHOLE,
    SK_PICKER_PIECE_HAVE,
};

struct sk_picker_piece {
    uint32_t slot; /* PARTIAL, WHOLE: its place among the partials */
    uint32_t availability : 24, priority : 3, state : 2; /* seeds are not counted here */
    uint32_t was_wrong : 1;
};

/* FREE: neither held nor asked for. */
struct sk_picker_block {
    uint64_t asked_ns;                    /* when it was asked for last */
    uint32_t askees[SK_PICKER_ASKED_MAX]; /* `asked` of them */
    uint8_t asked;
    bool held;
};

/* A PARTIAL or WHOLE piece. */
struct sk_picker_partial {
    struct sk_picker_block *blocks;
    uint32_t piece, length;
    uint32_t owner; /* whom its blocks are asked of first, or SK_PICKER_NOBODY */
    uint32_t count, free, held;
    uint32_t first_free; /* no block before it is FREE */
};

struct sk_picker_deadline {
    uint64_t at_ns;
    uint32_t piece;
};

struct sk_picker {
    const struct sk_metainfo *metainfo;
    uint64_t partial_bytes_max;
    enum sk_picker_order by;
    struct sk_prng prng;
    struct sk_picker_piece *pieces;
    struct sk_bitfield have;
    /* MISSING pieces of priority > 0: as a set, and by priority and availability. */
    struct sk_bitfield open;
    struct sk_piece_order order;
    uint32_t seeds; /* peers with all pieces, as they came */
    uint32_t cursor;
    /* By priority: no open piece of it lies from the cursor up to here. */
    uint32_t hints[SK_PICKER_PRIORITY_MAX + 1];
    /* The first `askable` are of priority > 0 and have FREE blocks. */
    struct sk_picker_partial *partials;
    uint32_t count, capacity, askable, whole;
    uint64_t partial_bytes, bytes_held;
    struct sk_picker_deadline *deadlines; /* the nearest first */
    size_t deadlines_count, deadlines_capacity;
    uint32_t wanted, wanted_have; /* pieces of priority > 0 */
    uint64_t bytes_wanted, bytes_have;
};

static inline bool sk_picker_in(const struct sk_picker *picker, uint32_t piece,
                                enum sk_picker_state state)
{
    return picker->pieces[piece].state == state;
}

static inline bool sk_picker_is_askee(const struct sk_picker_block *block, uint32_t peer)
{
    for (unsigned i = 0; i < block->asked; i++)
        if (block->askees[i] == peer)
            return true;
    return false;
}

static inline uint32_t sk_picker_words(const struct sk_bitfield *field)
{
    return (uint32_t)((sk_bitfield_bytes(field->count) + 7) / 8);
}

/* 64 pieces of a set, the first in the highest bit. word < sk_picker_words() */
static inline uint64_t sk_picker_word(const struct sk_bitfield *field, uint32_t word)
{
    size_t at = (size_t)word * 8, bytes = sk_bitfield_bytes(field->count);
    if (at + 8 <= bytes)
        return sk_get_u64(field->bits + at);
    uint8_t rest[8] = {0};
    memcpy(rest, field->bits + at, bytes - at);
    return sk_get_u64(rest);
}

/* Takes the first piece out of such a word; *bits != 0 */
static inline uint32_t sk_picker_first(uint64_t *bits, uint32_t word)
{
    unsigned i = (unsigned)__builtin_clzll(*bits);
    *bits &= ~(UINT64_C(1) << (63 - i));
    return word * 64 + i;
}

/* A MISSING piece becomes PARTIAL. SKEP_ERR_LIMIT (memory), SKEP_ERR_NOMEM. */
int sk_picker_begin(struct sk_picker *picker, uint32_t piece);
/* All blocks of a partial of which none is ASKED are FREE again. */
void sk_picker_restart(struct sk_picker *picker, uint32_t slot);
/* To be called when a partial's FREE blocks, or its piece's priority, changed. Moves partials. */
void sk_picker_settle(struct sk_picker *picker, uint32_t slot);
bool sk_picker_in_end_game(const struct sk_picker *picker);

#endif
