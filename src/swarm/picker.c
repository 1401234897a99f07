#include "swarm/picker_internal.h"

#include <skep/err.h>

#include "base/mem.h"

int sk_picker_new(const struct sk_picker_config *config, struct sk_picker **ret_picker)
{
    const struct sk_metainfo *metainfo = config->metainfo;
    struct sk_picker *picker = sk_mem_calloc(1, sizeof *picker);
    if (!picker)
        return SKEP_ERR_NOMEM;
    *picker = (struct sk_picker){
        .metainfo = metainfo,
        .partial_bytes_max =
            config->partial_bytes_max ? config->partial_bytes_max : SK_PICKER_BYTES_MAX,
        .by = config->order,
        .pieces = sk_mem_calloc(metainfo->pieces, sizeof *picker->pieces),
        .wanted = metainfo->pieces,
        .bytes_wanted = metainfo->has_v1 ? metainfo->span : metainfo->size,
    };
    sk_prng_init(&picker->prng, config->seed);
    if (!picker->pieces || sk_bitfield_init(&picker->have, metainfo->pieces) ||
        sk_bitfield_init(&picker->open, metainfo->pieces) ||
        sk_piece_order_init(&picker->order, metainfo->pieces)) {
        sk_picker_free(picker);
        return SKEP_ERR_NOMEM;
    }
    unsigned bucket = SK_PICKER_PRIORITY_NORMAL * SK_PICKER_LEVELS - 1;
    for (uint32_t i = 0; i < metainfo->pieces; i++) {
        picker->pieces[i].priority = SK_PICKER_PRIORITY_NORMAL;
        sk_piece_order_move(&picker->order, i, SK_PIECE_ORDER_NONE, bucket);
    }
    sk_bitfield_fill(&picker->open);
    *ret_picker = picker;
    return 0;
}

void sk_picker_free(struct sk_picker *picker)
{
    if (!picker)
        return;
    for (uint32_t i = 0; i < picker->count; i++)
        sk_mem_free(picker->partials[i].blocks);
    sk_mem_free(picker->partials);
    sk_mem_free(picker->deadlines);
    sk_mem_free(picker->pieces);
    sk_bitfield_deinit(&picker->have);
    sk_bitfield_deinit(&picker->open);
    sk_piece_order_deinit(&picker->order);
    sk_mem_free(picker);
}

/* ---- the order of MISSING pieces ---- */

static unsigned bucket_of(const struct sk_picker *picker, uint32_t piece)
{
    const struct sk_picker_piece *p = &picker->pieces[piece];
    if (p->state != SK_PICKER_PIECE_MISSING || p->priority == 0)
        return SK_PIECE_ORDER_NONE;
    uint32_t level = SK_MIN((uint32_t)p->availability, SK_PICKER_LEVELS - 1);
    return p->priority * SK_PICKER_LEVELS - 1 - level;
}

/* State, priority or availability changed; before it was in the bucket `from`. */
static void move_piece(struct sk_picker *picker, uint32_t piece, unsigned from)
{
    unsigned to = bucket_of(picker, piece);
    sk_piece_order_move(&picker->order, piece, from, to);
    if (to == SK_PIECE_ORDER_NONE) {
        sk_bitfield_drop(&picker->open, piece);
        return;
    }
    sk_bitfield_add(&picker->open, piece);
    uint32_t *hint = &picker->hints[picker->pieces[piece].priority];
    if (piece >= picker->cursor && piece < *hint)
        *hint = piece;
}

static void set_state(struct sk_picker *picker, uint32_t piece, enum sk_picker_state state)
{
    unsigned from = bucket_of(picker, piece);
    picker->pieces[piece].state = state;
    move_piece(picker, piece, from);
}

void sk_picker_set_order(struct sk_picker *picker, enum sk_picker_order order)
{
    picker->by = order;
}

void sk_picker_set_cursor(struct sk_picker *picker, uint32_t piece)
{
    SK_ASSERT(piece < picker->have.count);
    picker->cursor = piece;
    for (unsigned i = 0; i < SK_ARRAY_LEN(picker->hints); i++)
        picker->hints[i] = piece;
}

void sk_picker_set_priority(struct sk_picker *picker, uint32_t piece, unsigned priority)
{
    SK_ASSERT(piece < picker->have.count && priority <= SK_PICKER_PRIORITY_MAX);
    struct sk_picker_piece *p = &picker->pieces[piece];
    int change = (priority > 0) - (p->priority > 0);
    unsigned from = bucket_of(picker, piece);
    p->priority = priority & SK_PICKER_PRIORITY_MAX;
    move_piece(picker, piece, from);
    if (p->state == SK_PICKER_PIECE_PARTIAL)
        sk_picker_settle(picker, p->slot);
    if (change == 0)
        return;
    uint32_t length = sk_metainfo_piece_length(picker->metainfo, piece);
    bool have = p->state == SK_PICKER_PIECE_HAVE;
    picker->wanted += (uint32_t)change;
    picker->bytes_wanted += change > 0 ? length : -(uint64_t)length;
    picker->wanted_have += have ? (uint32_t)change : 0;
    picker->bytes_have += !have ? 0 : change > 0 ? length : -(uint64_t)length;
}

unsigned sk_picker_priority(const struct sk_picker *picker, uint32_t piece)
{
    SK_ASSERT(piece < picker->have.count);
    return picker->pieces[piece].priority;
}

/* ---- deadlines ---- */

static void end_deadline(struct sk_picker *picker, uint32_t piece)
{
    size_t i = 0;
    while (i < picker->deadlines_count && picker->deadlines[i].piece != piece)
        i++;
    if (i == picker->deadlines_count)
        return;
    struct sk_picker_deadline *at = &picker->deadlines[i];
    picker->deadlines_count--;
    memmove(at, at + 1, (picker->deadlines_count - i) * sizeof *at);
}

int sk_picker_set_deadline(struct sk_picker *picker, uint32_t piece, uint64_t at_ns)
{
    SK_ASSERT(piece < picker->have.count);
    end_deadline(picker, piece);
    if (at_ns == SK_TIME_NEVER || sk_picker_in(picker, piece, SK_PICKER_PIECE_HAVE))
        return 0;
    if (picker->deadlines_count == SK_PICKER_DEADLINES_MAX)
        return SKEP_ERR_LIMIT;
    if (picker->deadlines_count == picker->deadlines_capacity) {
        size_t capacity = picker->deadlines_capacity ? picker->deadlines_capacity * 2 : 16;
        struct sk_picker_deadline *deadlines =
            sk_mem_realloc(picker->deadlines, capacity, sizeof *deadlines);
        if (!deadlines)
            return SKEP_ERR_NOMEM;
        picker->deadlines = deadlines;
        picker->deadlines_capacity = capacity;
    }
    size_t i = picker->deadlines_count++;
    for (; i > 0 && picker->deadlines[i - 1].at_ns > at_ns; i--)
        picker->deadlines[i] = picker->deadlines[i - 1];
    picker->deadlines[i] = (struct sk_picker_deadline){.at_ns = at_ns, .piece = piece};
    return 0;
}

/* ---- what peers have ---- */

static void change_one(struct sk_picker *picker, uint32_t piece, int change)
{
    struct sk_picker_piece *p = &picker->pieces[piece];
    unsigned from = bucket_of(picker, piece);
    p->availability = (p->availability + (uint32_t)change) & SK_PICKER_AVAILABILITY_MAX;
    sk_piece_order_move(&picker->order, piece, from, bucket_of(picker, piece));
}

static void change_all(struct sk_picker *picker, int change)
{
    for (uint32_t i = 0; i < picker->have.count; i++)
        change_one(picker, i, change);
}

static void change_availability(struct sk_picker *picker, uint32_t piece, int change)
{
    if (change < 0 && picker->pieces[piece].availability == 0) {
        /* Whose piece this was is counted as a seed, and is none any more. */
        SK_ASSERT(picker->seeds > 0);
        picker->seeds--;
        change_all(picker, 1);
    }
    change_one(picker, piece, change);
}

void sk_picker_peer(struct sk_picker *picker, const struct sk_bitfield *have, int change)
{
    SK_ASSERT(have->count == picker->have.count && (change == 1 || change == -1));
    if (!sk_bitfield_full(have)) {
        for (uint32_t word = 0; word < sk_picker_words(have); word++)
            for (uint64_t bits = sk_picker_word(have, word); bits;)
                change_availability(picker, sk_picker_first(&bits, word), change);
    } else if (change > 0 || picker->seeds > 0) {
        picker->seeds += (uint32_t)change;
    } else {
        change_all(picker, -1); /* it became a seed piece by piece, and is counted so */
    }
}

void sk_picker_peer_have(struct sk_picker *picker, uint32_t piece, int change)
{
    SK_ASSERT(piece < picker->have.count && (change == 1 || change == -1));
    change_availability(picker, piece, change);
}

uint32_t sk_picker_availability(const struct sk_picker *picker, uint32_t piece)
{
    SK_ASSERT(piece < picker->have.count);
    return picker->pieces[piece].availability + picker->seeds;
}

/* ---- PARTIAL pieces ---- */

static void swap_partials(struct sk_picker *picker, uint32_t a, uint32_t b)
{
    struct sk_picker_partial partial = picker->partials[a];
    picker->partials[a] = picker->partials[b];
    picker->partials[b] = partial;
    picker->pieces[picker->partials[a].piece].slot = a;
    picker->pieces[picker->partials[b].piece].slot = b;
}

void sk_picker_settle(struct sk_picker *picker, uint32_t slot)
{
    const struct sk_picker_partial *partial = &picker->partials[slot];
    bool askable = partial->free > 0 && picker->pieces[partial->piece].priority > 0;
    if (slot < picker->askable && !askable)
        swap_partials(picker, slot, --picker->askable);
    else if (slot >= picker->askable && askable)
        swap_partials(picker, slot, picker->askable++);
}

static uint32_t block_length(const struct sk_picker_partial *partial, uint32_t block)
{
    return SK_MIN((uint32_t)SK_BLOCK_SIZE, partial->length - block * SK_BLOCK_SIZE);
}

/* A FREE or ASKED block is here. */
static void set_held(struct sk_picker *picker, struct sk_picker_partial *partial, uint32_t i)
{
    struct sk_picker_block *block = &partial->blocks[i];
    partial->free -= block->asked == 0;
    block->asked = 0;
    block->held = true;
    partial->held++;
    picker->bytes_held += block_length(partial, i);
}

static void set_free(struct sk_picker *picker, struct sk_picker_partial *partial, uint32_t i)
{
    struct sk_picker_block *block = &partial->blocks[i];
    partial->held -= block->held;
    picker->bytes_held -= block->held ? block_length(partial, i) : 0;
    block->held = false;
    block->asked = 0;
    partial->free++;
    partial->first_free = SK_MIN(partial->first_free, i);
}

/* Whether this block lies wholly in a padding file. Files are looked at from *file on, which is
 * the one that holds the block before. */
static bool in_padding(const struct sk_metainfo *metainfo, uint64_t begin, uint32_t length,
                       uint32_t *file)
{
    const struct sk_file *files = metainfo->files;
    while (*file + 1 < metainfo->files_count && files[*file].offset + files[*file].length <= begin)
        ++*file;
    return (files[*file].flags & SK_FILE_PADDING) &&
           begin + length <= files[*file].offset + files[*file].length;
}

static void hold_padding(struct sk_picker *picker, struct sk_picker_partial *partial)
{
    const struct sk_metainfo *metainfo = picker->metainfo;
    uint64_t start = (uint64_t)partial->piece * metainfo->piece_size;
    uint32_t file = sk_metainfo_piece_file(metainfo, partial->piece);
    for (uint32_t i = 0; i < partial->count; i++) {
        bool last = partial->held + 1 == partial->count;
        if (!last && in_padding(metainfo, start + (uint64_t)i * SK_BLOCK_SIZE,
                                block_length(partial, i), &file))
            set_held(picker, partial, i);
    }
}

void sk_picker_restart(struct sk_picker *picker, uint32_t slot)
{
    struct sk_picker_partial *partial = &picker->partials[slot];
    for (uint32_t i = 0; i < partial->count; i++)
        if (partial->blocks[i].held)
            set_free(picker, partial, i);
    hold_padding(picker, partial);
}

static int add_partial(struct sk_picker *picker, uint32_t piece, uint32_t length)
{
    if (picker->count == picker->capacity) {
        uint32_t capacity = picker->capacity ? picker->capacity * 2 : 16;
        struct sk_picker_partial *partials =
            sk_mem_realloc(picker->partials, capacity, sizeof *partials);
        if (!partials)
            return SKEP_ERR_NOMEM;
        picker->partials = partials;
        picker->capacity = capacity;
    }
    uint32_t count = (length + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE;
    struct sk_picker_block *blocks = sk_mem_calloc(count, sizeof *blocks);
    if (!blocks)
        return SKEP_ERR_NOMEM;
    picker->partials[picker->count] = (struct sk_picker_partial){
        .blocks = blocks,
        .piece = piece,
        .length = length,
        .owner = SK_PICKER_NOBODY,
        .count = count,
        .free = count,
    };
    return 0;
}

int sk_picker_begin(struct sk_picker *picker, uint32_t piece)
{
    uint32_t length = sk_metainfo_piece_length(picker->metainfo, piece);
    if (picker->count > 0 && picker->partial_bytes + length > picker->partial_bytes_max)
        return SKEP_ERR_LIMIT;
    int err = add_partial(picker, piece, length);
    if (err)
        return err;
    uint32_t slot = picker->count++;
    picker->partial_bytes += length;
    set_state(picker, piece, SK_PICKER_PIECE_PARTIAL);
    picker->pieces[piece].slot = slot;
    hold_padding(picker, &picker->partials[slot]);
    sk_picker_settle(picker, slot);
    return 0;
}

static void end_partial(struct sk_picker *picker, uint32_t piece)
{
    struct sk_picker_partial *partial = &picker->partials[picker->pieces[piece].slot];
    for (uint32_t i = 0; i < partial->count; i++)
        picker->bytes_held -= partial->blocks[i].held ? block_length(partial, i) : 0;
    picker->partial_bytes -= partial->length;
    picker->whole -= sk_picker_in(picker, piece, SK_PICKER_PIECE_WHOLE);
    sk_mem_free(partial->blocks);
    partial->free = 0;
    sk_picker_settle(picker, picker->pieces[piece].slot); /* out of the first part, if there */
    swap_partials(picker, picker->pieces[piece].slot, picker->count - 1);
    picker->count--;
}

/* ---- what becomes of blocks ---- */

/* The partial that this block is of, and its number there; NULL where there is no such block. */
static struct sk_picker_partial *find_block(const struct sk_picker *picker, uint32_t piece,
                                            uint32_t begin, uint32_t *ret_block)
{
    if (piece >= picker->have.count || begin % SK_BLOCK_SIZE ||
        (!sk_picker_in(picker, piece, SK_PICKER_PIECE_PARTIAL) &&
         !sk_picker_in(picker, piece, SK_PICKER_PIECE_WHOLE)))
        return NULL;
    struct sk_picker_partial *partial = &picker->partials[picker->pieces[piece].slot];
    *ret_block = begin / SK_BLOCK_SIZE;
    return *ret_block < partial->count ? partial : NULL;
}

enum sk_picker_taken sk_picker_take(struct sk_picker *picker, uint32_t peer,
                                    const struct sk_block *block, uint32_t *ret_others,
                                    size_t *ret_count)
{
    uint32_t i = 0;
    struct sk_picker_partial *partial = find_block(picker, block->piece, block->begin, &i);
    *ret_count = 0;
    if (!partial || partial->blocks[i].held || block->length != block_length(partial, i) ||
        (picker->pieces[block->piece].was_wrong && partial->owner != peer &&
         !sk_picker_is_askee(&partial->blocks[i], peer)))
        return SK_PICKER_UNWANTED;
    const struct sk_picker_block *taken = &partial->blocks[i];
    for (unsigned k = 0; k < taken->asked; k++)
        if (taken->askees[k] != peer)
            ret_others[(*ret_count)++] = taken->askees[k];
    set_held(picker, partial, i);
    bool whole = partial->held == partial->count;
    if (whole) {
        picker->pieces[block->piece].state = SK_PICKER_PIECE_WHOLE;
        picker->whole++;
    }
    sk_picker_settle(picker, picker->pieces[block->piece].slot);
    return whole ? SK_PICKER_WHOLE : SK_PICKER_HELD;
}

/* Whether it was asked of this peer. */
static bool release(struct sk_picker *picker, uint32_t peer, struct sk_picker_partial *partial,
                    uint32_t i)
{
    struct sk_picker_block *block = &partial->blocks[i];
    unsigned k = 0;
    while (k < block->asked && block->askees[k] != peer)
        k++;
    if (k == block->asked)
        return false;
    if (block->asked == 1)
        set_free(picker, partial, i);
    else
        block->askees[k] = block->askees[--block->asked];
    return true;
}

void sk_picker_release(struct sk_picker *picker, uint32_t peer, uint32_t piece, uint32_t begin)
{
    uint32_t i = 0;
    struct sk_picker_partial *partial = find_block(picker, piece, begin, &i);
    if (partial && release(picker, peer, partial, i))
        sk_picker_settle(picker, picker->pieces[piece].slot);
}

void sk_picker_leave(struct sk_picker *picker, uint32_t peer)
{
    for (uint32_t slot = 0; slot < picker->count; slot++) {
        struct sk_picker_partial *partial = &picker->partials[slot];
        if (partial->owner == peer)
            partial->owner = SK_PICKER_NOBODY;
        for (uint32_t i = 0; partial->held + partial->free < partial->count && i < partial->count;
             i++)
            release(picker, peer, partial, i);
        sk_picker_settle(picker, slot); /* changes places with one that was looked at */
    }
}

void sk_picker_drop(struct sk_picker *picker, uint32_t piece, uint32_t begin)
{
    uint32_t i = 0;
    struct sk_picker_partial *partial = find_block(picker, piece, begin, &i);
    if (!partial || !partial->blocks[i].held)
        return;
    set_free(picker, partial, i);
    picker->whole -= sk_picker_in(picker, piece, SK_PICKER_PIECE_WHOLE);
    picker->pieces[piece].state = SK_PICKER_PIECE_PARTIAL;
    sk_picker_settle(picker, picker->pieces[piece].slot);
}

void sk_picker_forget(struct sk_picker *picker, uint32_t piece)
{
    SK_ASSERT(piece < picker->have.count);
    if (!sk_picker_in(picker, piece, SK_PICKER_PIECE_PARTIAL) &&
        !sk_picker_in(picker, piece, SK_PICKER_PIECE_WHOLE))
        return;
    end_partial(picker, piece);
    set_state(picker, piece, SK_PICKER_PIECE_MISSING);
}

void sk_picker_have(struct sk_picker *picker, uint32_t piece)
{
    SK_ASSERT(piece < picker->have.count);
    if (sk_picker_in(picker, piece, SK_PICKER_PIECE_HAVE))
        return;
    sk_picker_forget(picker, piece);
    set_state(picker, piece, SK_PICKER_PIECE_HAVE);
    sk_bitfield_add(&picker->have, piece);
    end_deadline(picker, piece);
    if (picker->pieces[piece].priority) {
        picker->wanted_have++;
        picker->bytes_have += sk_metainfo_piece_length(picker->metainfo, piece);
    }
}

void sk_picker_verified(struct sk_picker *picker, uint32_t piece, bool right)
{
    SK_ASSERT(piece < picker->have.count);
    if (!sk_picker_in(picker, piece, SK_PICKER_PIECE_WHOLE))
        return;
    picker->pieces[piece].was_wrong = !right;
    if (right)
        sk_picker_have(picker, piece);
    else
        sk_picker_forget(picker, piece);
}

int sk_picker_hold(struct sk_picker *picker, uint32_t piece, uint32_t begin)
{
    if (piece >= picker->have.count || sk_picker_in(picker, piece, SK_PICKER_PIECE_HAVE) ||
        begin >= sk_metainfo_piece_length(picker->metainfo, piece))
        return SKEP_ERR_INVALID;
    bool begun = sk_picker_in(picker, piece, SK_PICKER_PIECE_MISSING);
    int err = begun ? sk_picker_begin(picker, piece) : 0;
    if (err)
        return err;
    uint32_t i = 0;
    struct sk_picker_partial *partial = find_block(picker, piece, begin, &i);
    if (partial && partial->blocks[i].held)
        return 0;
    if (!partial || partial->held + 1 == partial->count) {
        if (begun)
            sk_picker_forget(picker, piece);
        return SKEP_ERR_INVALID;
    }
    set_held(picker, partial, i);
    sk_picker_settle(picker, picker->pieces[piece].slot);
    return 0;
}

/* ---- how it stands ---- */

void sk_picker_counts(const struct sk_picker *picker, struct sk_picker_counts *ret_counts)
{
    *ret_counts = (struct sk_picker_counts){
        .pieces_have = picker->have.set,
        .pieces_wanted = picker->wanted,
        .bytes_have = picker->bytes_have,
        .bytes_wanted = picker->bytes_wanted,
        .bytes_held = picker->bytes_held,
        .partial = picker->count - picker->whole,
        .whole = picker->whole,
        .end_game = sk_picker_in_end_game(picker),
    };
}

bool sk_picker_done(const struct sk_picker *picker)
{
    return picker->wanted_have == picker->wanted;
}

const struct sk_bitfield *sk_picker_pieces(const struct sk_picker *picker)
{
    return &picker->have;
}

double sk_picker_copies(const struct sk_picker *picker)
{
    uint32_t least = UINT32_MAX, more = 0;
    for (uint32_t i = 0; i < picker->have.count; i++)
        least = SK_MIN(least, (uint32_t)picker->pieces[i].availability);
    for (uint32_t i = 0; i < picker->have.count; i++)
        more += picker->pieces[i].availability > least;
    return (double)picker->seeds + least + (double)more / picker->have.count;
}

static const char *partial_fault(const struct sk_picker *picker, uint32_t slot, uint64_t *bytes)
{
    const struct sk_picker_partial *partial = &picker->partials[slot];
    const struct sk_picker_piece *piece = &picker->pieces[partial->piece];
    uint32_t free = 0, held = 0;
    if (piece->slot != slot ||
        (piece->state != SK_PICKER_PIECE_PARTIAL && piece->state != SK_PICKER_PIECE_WHOLE))
        return "a partial is not its piece's";
    for (uint32_t i = 0; i < partial->count; i++) {
        const struct sk_picker_block *block = &partial->blocks[i];
        if (block->asked > SK_PICKER_ASKED_MAX || (block->held && block->asked))
            return "a block is held and asked for, or of too many";
        bool is_free = !block->held && !block->asked;
        if (is_free && i < partial->first_free)
            return "a block before the first free one is free";
        free += is_free;
        held += block->held;
        *bytes += block->held ? block_length(partial, i) : 0;
    }
    if (free != partial->free || held != partial->held)
        return "the blocks of a partial are miscounted";
    if ((held == partial->count) != (piece->state == SK_PICKER_PIECE_WHOLE))
        return "a piece with all blocks is not whole, or one without is";
    if ((slot < picker->askable) != (free > 0 && piece->priority > 0))
        return "a partial is on the wrong side";
    return NULL;
}

static const char *partials_fault(const struct sk_picker *picker)
{
    uint64_t held = 0, bytes = 0;
    uint32_t whole = 0;
    for (uint32_t slot = 0; slot < picker->count; slot++) {
        const char *fault = partial_fault(picker, slot, &held);
        if (fault)
            return fault;
        bytes += picker->partials[slot].length;
        whole += sk_picker_in(picker, picker->partials[slot].piece, SK_PICKER_PIECE_WHOLE);
    }
    if (held != picker->bytes_held || bytes != picker->partial_bytes || whole != picker->whole)
        return "bytes of partials are miscounted";
    return picker->count > 1 && bytes > picker->partial_bytes_max ? "too much is partial" : NULL;
}

static const char *piece_fault(const struct sk_picker *picker, uint32_t i)
{
    const struct sk_picker_piece *piece = &picker->pieces[i];
    unsigned bucket = bucket_of(picker, i);
    bool open = bucket != SK_PIECE_ORDER_NONE;
    if (open != sk_bitfield_has(&picker->open, i) ||
        (open && !sk_piece_order_holds(&picker->order, i, bucket)))
        return "a piece is in the wrong place of the order";
    if (open && i >= picker->cursor && i < picker->hints[piece->priority])
        return "a hint leaves out a piece";
    if ((piece->state == SK_PICKER_PIECE_HAVE) != sk_bitfield_has(&picker->have, i))
        return "what we have is miscounted";
    return NULL;
}

const char *sk_picker_fault(const struct sk_picker *picker)
{
    const char *fault = sk_piece_order_fault(&picker->order);
    uint32_t partial = 0, wanted = 0, have = 0;
    uint64_t bytes_wanted = 0, bytes_have = 0;
    for (uint32_t i = 0; !fault && i < picker->have.count; i++) {
        uint32_t length = sk_metainfo_piece_length(picker->metainfo, i);
        bool is_wanted = picker->pieces[i].priority > 0;
        bool is_here = is_wanted && sk_bitfield_has(&picker->have, i);
        fault = piece_fault(picker, i);
        partial += sk_picker_in(picker, i, SK_PICKER_PIECE_PARTIAL) ||
                   sk_picker_in(picker, i, SK_PICKER_PIECE_WHOLE);
        wanted += is_wanted;
        bytes_wanted += is_wanted ? length : 0;
        have += is_here;
        bytes_have += is_here ? length : 0;
    }
    if (!fault && (picker->open.set != picker->order.count || partial != picker->count))
        fault = "pieces are in the order, or among the partials, that do not belong there";
    if (!fault && (wanted != picker->wanted || have != picker->wanted_have ||
                   bytes_wanted != picker->bytes_wanted || bytes_have != picker->bytes_have))
        fault = "what is wanted is miscounted";
    for (size_t i = 1; !fault && i < picker->deadlines_count; i++)
        if (picker->deadlines[i - 1].at_ns > picker->deadlines[i].at_ns)
            fault = "deadlines are out of order";
    return fault ? fault : partials_fault(picker);
}
