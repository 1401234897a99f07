/* Which blocks a peer is asked for. */
#include "swarm/picker_internal.h"

/* What a peer may be asked for, and when. */
struct view {
    const struct sk_bitfield *have, *allowed; /* allowed: NULL for all that it has */
    bool all;                                 /* it gives every piece */
    uint32_t peer;
    uint64_t now_ns;
};

static bool gives(const struct view *view, uint32_t piece)
{
    return view->all || (sk_bitfield_has(view->have, piece) &&
                         (!view->allowed || sk_bitfield_has(view->allowed, piece)));
}

/* ---- a new piece ---- */

/* Of 64 pieces those that could be begun with this peer. */
static uint64_t candidates(const struct sk_picker *picker, const struct view *view, uint32_t word)
{
    uint64_t bits = sk_picker_word(&picker->open, word);
    if (bits && !view->all) {
        bits &= sk_picker_word(view->have, word);
        if (view->allowed)
            bits &= sk_picker_word(view->allowed, word);
    }
    return bits;
}

/* The first piece of this priority from `from` to before `to` that could be begun. */
static uint32_t scan_priority(const struct sk_picker *picker, const struct view *view,
                              unsigned priority, uint32_t from, uint32_t to)
{
    for (uint32_t word = from / 64; (uint64_t)word * 64 < to; word++) {
        uint64_t bits = candidates(picker, view, word);
        if (word == from / 64)
            bits &= UINT64_MAX >> from % 64;
        while (bits) {
            uint32_t piece = sk_picker_first(&bits, word);
            if (piece < to && picker->pieces[piece].priority == priority)
                return piece;
        }
    }
    return SK_PICKER_NONE;
}

static uint32_t find_in_order(struct sk_picker *picker, const struct view *view)
{
    static const struct view everything = {.all = true};
    uint32_t pieces = picker->have.count;
    unsigned bucket = sk_piece_order_best(&picker->order, SK_PIECE_ORDER_BUCKETS);
    while (bucket != SK_PIECE_ORDER_NONE) {
        unsigned priority = bucket / SK_PICKER_LEVELS + 1;
        uint32_t *hint = &picker->hints[priority];
        *hint = SK_MIN(scan_priority(picker, &everything, priority, *hint, pieces), pieces);
        uint32_t piece = scan_priority(picker, view, priority, *hint, pieces);
        if (piece == SK_PICKER_NONE)
            piece = scan_priority(picker, view, priority, 0, picker->cursor);
        if (piece != SK_PICKER_NONE)
            return piece;
        bucket = sk_piece_order_best(&picker->order, bucket - bucket % SK_PICKER_LEVELS);
    }
    return SK_PICKER_NONE;
}

/* A piece of this bucket that the peer gives: all are looked at, from a place that is drawn, or, of
 * more than *looks, as many that are drawn. (Those of one peer lie together.) */
static uint32_t scan_bucket(struct sk_picker *picker, const struct view *view, unsigned number,
                            uint32_t *looks)
{
    const struct sk_piece_bucket *bucket = &picker->order.buckets[number];
    const uint32_t *pieces = picker->order.pieces + bucket->first;
    bool all = bucket->count <= *looks;
    uint32_t n = SK_MIN(bucket->count, *looks);
    uint32_t at = (uint32_t)sk_prng_below(&picker->prng, bucket->count);
    *looks -= n;
    for (uint32_t i = 0; i < n; i++) {
        if (gives(view, pieces[at]))
            return pieces[at];
        if (!all)
            at = (uint32_t)sk_prng_below(&picker->prng, bucket->count);
        else if (++at == bucket->count)
            at = 0;
    }
    return SK_PICKER_NONE;
}

/* Down the order, the rarest first, to a piece that this peer gives. */
static uint32_t scan_order(struct sk_picker *picker, const struct view *view)
{
    const struct sk_piece_order *order = &picker->order;
    uint32_t looks = SK_PICKER_LOOKS, piece = SK_PICKER_NONE;
    unsigned b = sk_piece_order_best(order, SK_PIECE_ORDER_BUCKETS);
    for (; b != SK_PIECE_ORDER_NONE && looks && piece == SK_PICKER_NONE;
         b = sk_piece_order_best(order, b))
        if (b % SK_PICKER_LEVELS != SK_PICKER_LEVELS - 1) /* else only seeds have these */
            piece = scan_bucket(picker, view, b, &looks);
    return piece;
}

/* From a place that is drawn through what the peer gives: the rarest. */
static uint32_t scan_peer(struct sk_picker *picker, const struct view *view)
{
    uint32_t words = sk_picker_words(&picker->open), looks = SK_PICKER_LOOKS;
    uint32_t start = (uint32_t)sk_prng_below(&picker->prng, words);
    uint32_t found = SK_PICKER_NONE, best = 0, alike = 0;
    for (uint32_t i = 0; i < words && looks; i++) {
        uint32_t word = start + i < words ? start + i : start + i - words;
        uint64_t bits = candidates(picker, view, word);
        for (; bits && looks; looks--) {
            uint32_t piece = sk_picker_first(&bits, word);
            const struct sk_picker_piece *p = &picker->pieces[piece];
            uint32_t rank = p->priority * SK_PICKER_LEVELS -
                            SK_MIN((uint32_t)p->availability, SK_PICKER_LEVELS - 1);
            alike = rank > best ? 1 : alike + (rank == best);
            /* Each of those that are alike is drawn with the same chance. */
            if (rank > best || (rank == best && sk_prng_below(&picker->prng, alike) == 0))
                found = piece;
            best = SK_MAX(best, rank);
        }
    }
    return found;
}

static uint32_t find_rarest(struct sk_picker *picker, const struct view *view)
{
    const struct sk_piece_order *order = &picker->order;
    unsigned best = sk_piece_order_best(order, SK_PIECE_ORDER_BUCKETS);
    if (best == SK_PIECE_ORDER_NONE)
        return SK_PICKER_NONE;
    if (view->all) {
        const struct sk_piece_bucket *bucket = &order->buckets[best];
        return order->pieces[bucket->first + sk_prng_below(&picker->prng, bucket->count)];
    }
    /* A peer with some pieces gives about one in so many of the order: where it has more than a
     * word's worth that is less to look at than its words. */
    uint32_t piece = SK_PICKER_NONE;
    if (!view->allowed && view->have->set > 64)
        piece = scan_order(picker, view);
    return piece == SK_PICKER_NONE ? scan_peer(picker, view) : piece;
}

/* ---- asking ---- */

static struct sk_block block_at(const struct sk_picker_partial *partial, uint32_t i)
{
    uint32_t begin = i * SK_BLOCK_SIZE;
    return (struct sk_block){
        .piece = partial->piece,
        .begin = begin,
        .length = SK_MIN((uint32_t)SK_BLOCK_SIZE, partial->length - begin),
    };
}

static void ask(struct sk_picker_block *block, const struct view *view)
{
    block->askees[block->asked++] = view->peer;
    block->asked_ns = view->now_ns;
}

/* Whether it is a piece that was wrong, and that another peer is giving now. */
static bool is_anothers(const struct sk_picker *picker, uint32_t slot, uint32_t peer)
{
    const struct sk_picker_partial *partial = &picker->partials[slot];
    return picker->pieces[partial->piece].was_wrong && partial->owner != peer &&
           partial->owner != SK_PICKER_NOBODY && partial->held + partial->free < partial->count;
}

/* Up to `max` of a partial's FREE blocks, in order. Moves partials. */
static size_t ask_free(struct sk_picker *picker, uint32_t slot, const struct view *view,
                       struct sk_block *ret_blocks, size_t max)
{
    struct sk_picker_partial *partial = &picker->partials[slot];
    size_t n = 0;
    if (picker->pieces[partial->piece].was_wrong && partial->owner != view->peer) {
        sk_picker_restart(picker, slot);
        partial->owner = view->peer;
    }
    if (partial->owner == SK_PICKER_NOBODY)
        partial->owner = view->peer;
    uint32_t i = partial->first_free;
    for (; n < max && partial->free; i++) {
        struct sk_picker_block *block = &partial->blocks[i];
        if (block->held || block->asked)
            continue;
        ask(block, view);
        partial->free--;
        ret_blocks[n++] = block_at(partial, i);
    }
    partial->first_free = i;
    sk_picker_settle(picker, slot);
    return n;
}

static bool is_late(const struct sk_picker_block *block, const struct view *view, unsigned askees,
                    uint64_t late_ns)
{
    return block->asked > 0 && block->asked < askees && block->asked_ns + late_ns <= view->now_ns &&
           !sk_picker_is_askee(block, view->peer);
}

/* The oldest late block of the partials from `from` to before `to` is asked of this peer too, of
 * `askees` at most; whether there is one. */
static bool ask_late(struct sk_picker *picker, uint32_t from, uint32_t to, const struct view *view,
                     unsigned askees, struct sk_block *ret_block)
{
    struct sk_picker_block *oldest = NULL;
    for (uint32_t slot = from; slot < to; slot++) {
        const struct sk_picker_partial *partial = &picker->partials[slot];
        if (partial->held + partial->free == partial->count ||
            !picker->pieces[partial->piece].priority || !gives(view, partial->piece))
            continue;
        bool was_wrong = picker->pieces[partial->piece].was_wrong;
        uint64_t late_ns = was_wrong ? SK_PICKER_WITHHELD_NS : SK_PICKER_LATE_NS;
        for (uint32_t i = 0; i < partial->count; i++) {
            struct sk_picker_block *block = &partial->blocks[i];
            if (is_late(block, view, askees, late_ns) &&
                (!oldest || block->asked_ns < oldest->asked_ns)) {
                oldest = block;
                *ret_block = block_at(partial, i);
            }
        }
    }
    if (oldest)
        ask(oldest, view);
    return oldest != NULL;
}

/* A peer gets few of the late blocks at a time: most will come from whom they were asked of first,
 * and be cancelled. */
static size_t pick_late(struct sk_picker *picker, const struct view *view,
                        struct sk_block *ret_blocks, size_t max)
{
    size_t n = 0, asked = 0;
    for (uint32_t slot = 0; slot < picker->count; slot++)
        for (uint32_t i = 0; i < picker->partials[slot].count; i++)
            asked += sk_picker_is_askee(&picker->partials[slot].blocks[i], view->peer);
    while (n < max && asked + n < SK_PICKER_LATE_BLOCKS &&
           ask_late(picker, 0, picker->count, view, SK_PICKER_ASKED_MAX, ret_blocks + n))
        n++;
    return n;
}

/* ---- what comes first ---- */

static size_t pick_deadlines(struct sk_picker *picker, const struct view *view,
                             struct sk_block *ret_blocks, size_t max, bool *full)
{
    size_t n = 0;
    for (size_t i = 0; i < picker->deadlines_count && n < max; i++) {
        const struct sk_picker_deadline *deadline = &picker->deadlines[i];
        struct sk_picker_piece *piece = &picker->pieces[deadline->piece];
        if (!piece->priority || !gives(view, deadline->piece))
            continue;
        if (piece->state == SK_PICKER_PIECE_MISSING)
            *full |= sk_picker_begin(picker, deadline->piece) != 0;
        if (piece->state != SK_PICKER_PIECE_PARTIAL)
            continue;
        if (!is_anothers(picker, piece->slot, view->peer))
            n += ask_free(picker, piece->slot, view, ret_blocks + n, max - n);
        if (deadline->at_ns <= view->now_ns + SK_PICKER_URGENT_NS)
            while (n < max &&
                   ask_late(picker, piece->slot, piece->slot + 1, view, 2, ret_blocks + n))
                n++;
    }
    return n;
}

/* The order of all that could come next: first by this, */
enum rank { RANK_OTHERS, RANK_NEW, RANK_OWN, RANKS };

static unsigned rank_of(unsigned priority, enum rank rank)
{
    return priority * RANKS + rank;
}

struct choice {
    unsigned rank; /* rank_of(); 0 = none, as priority is above 0 */
    uint32_t slot;
    uint32_t place; /* then by how rare the piece is, or where it lies, */
    uint32_t free;  /* then by how little is left to be asked for */
};

static bool is_better(const struct choice *a, const struct choice *b)
{
    if (a->rank != b->rank)
        return a->rank > b->rank;
    return a->place != b->place ? a->place < b->place : a->free < b->free;
}

static struct choice choose_partial(const struct sk_picker *picker, const struct view *view)
{
    struct choice best = {0};
    for (uint32_t slot = 0; slot < picker->askable; slot++) {
        const struct sk_picker_partial *partial = &picker->partials[slot];
        const struct sk_picker_piece *piece = &picker->pieces[partial->piece];
        bool own = partial->owner == view->peer || partial->owner == SK_PICKER_NOBODY;
        struct choice choice = {
            .rank = rank_of(piece->priority, own ? RANK_OWN : RANK_OTHERS),
            .slot = slot,
            .place = picker->by == SK_PICKER_IN_ORDER ? partial->piece - picker->cursor
                                                      : piece->availability,
            .free = partial->free,
        };
        if (is_better(&choice, &best) && gives(view, partial->piece) &&
            !is_anothers(picker, slot, view->peer))
            best = choice;
    }
    return best;
}

/* Begins a piece if that comes before `choice`, which then is that piece. */
static void choose_new(struct sk_picker *picker, const struct view *view, struct choice *choice,
                       bool *full)
{
    unsigned best = sk_piece_order_best(&picker->order, SK_PIECE_ORDER_BUCKETS);
    if (*full || best == SK_PIECE_ORDER_NONE ||
        rank_of(best / SK_PICKER_LEVELS + 1, RANK_NEW) < choice->rank)
        return;
    uint32_t piece =
        picker->by == SK_PICKER_IN_ORDER ? find_in_order(picker, view) : find_rarest(picker, view);
    if (piece == SK_PICKER_NONE)
        return;
    unsigned rank = rank_of(picker->pieces[piece].priority, RANK_NEW);
    if (rank < choice->rank)
        return;
    *full = sk_picker_begin(picker, piece) != 0;
    if (!*full)
        *choice = (struct choice){.rank = rank, .slot = picker->pieces[piece].slot};
}

size_t sk_picker_pick(struct sk_picker *picker, uint32_t peer, const struct sk_bitfield *have,
                      const struct sk_bitfield *allowed, uint64_t now_ns,
                      struct sk_block *ret_blocks, size_t max, bool *ret_full)
{
    SK_ASSERT(have->count == picker->have.count && peer != SK_PICKER_NOBODY);
    const struct view view = {
        .have = have,
        .allowed = allowed,
        .all = !allowed && sk_bitfield_full(have),
        .peer = peer,
        .now_ns = now_ns,
    };
    bool full = false;
    size_t n = pick_deadlines(picker, &view, ret_blocks, max, &full);
    while (n < max) {
        struct choice choice = choose_partial(picker, &view);
        choose_new(picker, &view, &choice, &full);
        if (choice.rank == 0)
            break;
        n += ask_free(picker, choice.slot, &view, ret_blocks + n, max - n);
    }
    if (n < max && (full || sk_picker_in_end_game(picker)))
        n += pick_late(picker, &view, ret_blocks + n, max - n);
    *ret_full = full && n < max;
    return n;
}

/* ---- stretches ---- */

static bool is_open(const struct sk_picker *picker, const struct view *view, uint32_t piece)
{
    return sk_bitfield_has(&picker->open, piece) && gives(view, piece);
}

/* The start of the longest stretch of this priority, or of the first of so many pieces. */
static uint32_t find_stretch(const struct sk_picker *picker, const struct view *view,
                             unsigned priority, uint32_t enough)
{
    uint32_t best = SK_PICKER_NONE, best_count = 0, start = 0, count = 0;
    for (uint32_t piece = 0; piece < picker->have.count && best_count < enough; piece++) {
        if (piece % 64 == 0 && !sk_picker_word(&picker->open, piece / 64)) {
            count = 0;
            piece += 63;
            continue;
        }
        bool fits = picker->pieces[piece].priority == priority && is_open(picker, view, piece);
        start = fits && count ? start : piece;
        count = fits ? count + 1 : 0;
        if (count > best_count) {
            best = start;
            best_count = count;
        }
    }
    return best;
}

static uint32_t find_run(struct sk_picker *picker, const struct view *view, uint32_t enough)
{
    for (size_t i = 0; i < picker->deadlines_count; i++)
        if (is_open(picker, view, picker->deadlines[i].piece))
            return picker->deadlines[i].piece;
    if (picker->by == SK_PICKER_IN_ORDER)
        return find_in_order(picker, view);
    uint32_t piece = SK_PICKER_NONE;
    unsigned bucket = sk_piece_order_best(&picker->order, SK_PIECE_ORDER_BUCKETS);
    while (bucket != SK_PIECE_ORDER_NONE && piece == SK_PICKER_NONE) {
        piece = find_stretch(picker, view, bucket / SK_PICKER_LEVELS + 1, enough);
        bucket = sk_piece_order_best(&picker->order, bucket - bucket % SK_PICKER_LEVELS);
    }
    return piece;
}

static bool claim(struct sk_picker *picker, const struct view *view, uint32_t piece)
{
    if (sk_picker_begin(picker, piece))
        return false;
    struct sk_picker_partial *partial = &picker->partials[picker->pieces[piece].slot];
    partial->owner = view->peer;
    for (uint32_t i = 0; i < partial->count; i++)
        if (!partial->blocks[i].held)
            ask(&partial->blocks[i], view);
    partial->free = 0;
    partial->first_free = partial->count;
    sk_picker_settle(picker, picker->pieces[piece].slot);
    return true;
}

uint32_t sk_picker_pick_run(struct sk_picker *picker, uint32_t peer, const struct sk_bitfield *have,
                            uint64_t bytes_max, uint64_t now_ns, uint32_t *ret_first,
                            bool *ret_full)
{
    const struct view view = {
        .have = have, .all = sk_bitfield_full(have), .peer = peer, .now_ns = now_ns};
    uint64_t enough = SK_MAX(bytes_max / picker->metainfo->piece_size, UINT64_C(1));
    *ret_full = false;
    uint32_t first = find_run(picker, &view, (uint32_t)SK_MIN(enough, (uint64_t)UINT32_MAX));
    uint32_t count = 0;
    while (first != SK_PICKER_NONE && count < enough && is_open(picker, &view, first + count)) {
        *ret_full = !claim(picker, &view, first + count);
        if (*ret_full)
            break;
        count++;
    }
    *ret_first = first;
    *ret_full &= count == 0;
    return count;
}

bool sk_picker_claim(struct sk_picker *picker, uint32_t peer, uint32_t piece, uint64_t now_ns)
{
    const struct view view = {.peer = peer, .now_ns = now_ns};
    return sk_bitfield_has(&picker->open, piece) && claim(picker, &view, piece);
}

bool sk_picker_in_end_game(const struct sk_picker *picker)
{
    const struct sk_piece_order *order = &picker->order;
    for (unsigned b = sk_piece_order_best(order, SK_PIECE_ORDER_BUCKETS); b != SK_PIECE_ORDER_NONE;
         b = sk_piece_order_best(order, b))
        if (picker->seeds || b % SK_PICKER_LEVELS != SK_PICKER_LEVELS - 1)
            return false;
    for (uint32_t slot = 0; slot < picker->askable; slot++)
        if (sk_picker_availability(picker, picker->partials[slot].piece))
            return false;
    for (uint32_t slot = 0; slot < picker->count; slot++) {
        const struct sk_picker_partial *partial = &picker->partials[slot];
        if (picker->pieces[partial->piece].priority &&
            partial->held + partial->free < partial->count)
            return true;
    }
    return false;
}

bool sk_picker_wants(const struct sk_picker *picker, const struct sk_bitfield *have)
{
    SK_ASSERT(have->count == picker->have.count);
    const struct view view = {.have = have, .all = sk_bitfield_full(have)};
    for (uint32_t slot = 0; slot < picker->count; slot++) {
        uint32_t piece = picker->partials[slot].piece;
        if (sk_picker_in(picker, piece, SK_PICKER_PIECE_PARTIAL) &&
            picker->pieces[piece].priority && gives(&view, piece))
            return true;
    }
    bool any = picker->open.set > 0;
    if (!any || view.all)
        return any;
    uint32_t words = sk_picker_words(have), word = 0;
    while (word < words && !candidates(picker, &view, word))
        word++;
    return word < words;
}
