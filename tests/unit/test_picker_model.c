/* The picker beside a naive model that looks at everything: random operations, and after each all
 * that can be seen of both. The model says which blocks the rules of swarm/picker.h allow. */
#include "swarm/picker.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "picker_world.h"

#define PIECES 40u
#define BLOCKS 4u /* of a piece; the last piece has fewer */
#define PEERS 12u
#define NOBODY UINT32_MAX
#define MEMORY (9 * BLOCKS * BLOCK) /* pieces that are as good fit all, or none does */
#define OPERATIONS 30000

enum state { MISSING, PARTIAL, WHOLE, HAVE };

struct block {
    bool exists, padding, held;
    bool asked[PEERS];
    uint64_t asked_ns;
};

struct piece {
    enum state state;
    unsigned priority;
    uint32_t length, owner;
    bool was_wrong;
    uint64_t deadline_ns, deadline_number; /* SK_TIME_NEVER: none */
    struct block blocks[BLOCKS];
};

struct peer {
    bool here;
    struct sk_bitfield have;
};

/* The files: every third piece ends in padding, and one is nothing else. */
#define PADDED(i) ((i) % 3 == 1)
static struct sk_file files[PIECES * 2];

static struct picker_world world;
static struct sk_prng prng;
static struct piece pieces[PIECES];
static struct peer peers[PEERS];
static uint32_t cursor;
static uint64_t deadlines;

static uint32_t below(uint32_t n)
{
    return (uint32_t)sk_prng_below(&prng, n);
}

/* ---- the model ---- */

static bool is_free(const struct block *block)
{
    for (uint32_t i = 0; i < PEERS; i++)
        if (block->asked[i])
            return false;
    return block->exists && !block->held;
}

static uint32_t count_asked(const struct block *block)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < PEERS; i++)
        n += block->asked[i];
    return n;
}

static uint32_t count_free(const struct piece *piece)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < BLOCKS; i++)
        n += is_free(&piece->blocks[i]);
    return n;
}

/* Whether a PARTIAL piece has FREE blocks for this peer: of a piece that was wrong there are none
 * while its owner is asked for some. */
static bool is_open(const struct piece *piece, uint32_t peer)
{
    bool asked = false;
    for (uint32_t i = 0; i < BLOCKS; i++)
        asked |= count_asked(&piece->blocks[i]) > 0;
    bool anothers = piece->owner != peer && piece->owner != NOBODY;
    return piece->state == PARTIAL && count_free(piece) && !(piece->was_wrong && anothers && asked);
}

static uint32_t availability(uint32_t piece)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < PEERS; i++)
        n += peers[i].here && sk_bitfield_has(&peers[i].have, piece);
    return n;
}

static uint64_t memory(void)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < PIECES; i++)
        n += pieces[i].state == PARTIAL || pieces[i].state == WHOLE ? pieces[i].length : 0;
    return n;
}

static bool fits(uint32_t piece)
{
    return memory() == 0 || memory() + pieces[piece].length <= MEMORY;
}

static void model_begin(uint32_t i)
{
    struct piece *piece = &pieces[i];
    uint32_t held = 0;
    piece->state = PARTIAL;
    piece->owner = NOBODY;
    for (uint32_t k = 0; k < BLOCKS; k++) {
        struct block *block = &piece->blocks[k];
        *block = (struct block){.exists = block->exists, .padding = block->padding};
        uint32_t count = (piece->length + BLOCK - 1) / BLOCK;
        block->held = block->padding && held + 1 < count;
        held += block->held;
    }
}

static void model_whole(struct piece *piece)
{
    bool whole = true;
    for (uint32_t i = 0; i < BLOCKS; i++)
        whole &= !piece->blocks[i].exists || piece->blocks[i].held;
    piece->state = whole ? WHOLE : PARTIAL;
}

static void model_have(uint32_t i)
{
    pieces[i].state = HAVE;
    pieces[i].deadline_ns = SK_TIME_NEVER;
}

static bool gives(uint32_t peer, const struct sk_bitfield *allowed, uint32_t piece)
{
    return pieces[piece].priority && sk_bitfield_has(&peers[peer].have, piece) &&
           (!allowed || sk_bitfield_has(allowed, piece));
}

static bool is_late(const struct piece *piece, uint32_t i, uint32_t peer, uint32_t most)
{
    const struct block *block = &piece->blocks[i];
    uint64_t late_ns = piece->was_wrong ? SK_PICKER_WITHHELD_NS : SK_PICKER_LATE_NS;
    uint32_t asked = count_asked(block);
    return asked > 0 && asked < most && !block->asked[peer] &&
           block->asked_ns + late_ns <= world.now_ns;
}

/* When the oldest late block of a piece was asked for; SK_TIME_NEVER: none. */
static uint64_t oldest_of(const struct piece *piece, uint32_t peer, uint32_t most)
{
    uint64_t at_ns = SK_TIME_NEVER;
    for (uint32_t i = 0; i < BLOCKS; i++)
        if (is_late(piece, i, peer, most))
            at_ns = SK_MIN(at_ns, piece->blocks[i].asked_ns);
    return at_ns;
}

/* The piece with the nearest deadline after `after` (by time, then by when it was set). */
static uint32_t next_deadline(uint32_t after)
{
    uint32_t best = NOBODY;
    for (uint32_t i = 0; i < PIECES; i++) {
        const struct piece *p = &pieces[i];
        if (p->deadline_ns == SK_TIME_NEVER)
            continue;
        const struct piece *a = after == NOBODY ? NULL : &pieces[after];
        const struct piece *b = best == NOBODY ? NULL : &pieces[best];
        bool later = !a || p->deadline_ns > a->deadline_ns ||
                     (p->deadline_ns == a->deadline_ns && p->deadline_number > a->deadline_number);
        bool nearer = !b || p->deadline_ns < b->deadline_ns ||
                      (p->deadline_ns == b->deadline_ns && p->deadline_number < b->deadline_number);
        if (later && nearer)
            best = i;
    }
    return best;
}

/* What may come next: blocks of these pieces, the first FREE one or the oldest late one. */
struct allowed {
    bool any, late;
    uint32_t most;     /* late: askees */
    uint64_t asked_ns; /* late: of these blocks */
    bool of[PIECES];
};

static bool allow_deadline(uint32_t peer, const struct sk_bitfield *allowed_fast,
                           struct allowed *ret, bool *full)
{
    for (uint32_t i = next_deadline(NOBODY); i != NOBODY; i = next_deadline(i)) {
        const struct piece *piece = &pieces[i];
        if (!gives(peer, allowed_fast, i))
            continue;
        if (piece->state == MISSING && !fits(i))
            *full = true;
        bool is_new = piece->state == MISSING && fits(i);
        bool partial = piece->state == PARTIAL;
        bool urgent = piece->deadline_ns <= world.now_ns + SK_PICKER_URGENT_NS;
        ret->any = ret->of[i] = is_new || is_open(piece, peer);
        if (!ret->any && partial && urgent) {
            ret->asked_ns = oldest_of(piece, peer, 2);
            ret->most = 2;
            ret->any = ret->of[i] = ret->late = ret->asked_ns != SK_TIME_NEVER;
        }
        if (ret->any)
            return true;
    }
    return false;
}

static uint32_t place(uint32_t piece)
{
    return world.config.order == SK_PICKER_IN_ORDER ? piece - cursor : availability(piece);
}

/* The higher the better. */
static uint64_t partial_key(uint32_t peer, uint32_t i)
{
    const struct piece *piece = &pieces[i];
    bool own = piece->owner == peer || piece->owner == NOBODY;
    return (uint64_t)(piece->priority * 3 + (own ? 2 : 0)) << 48 |
           (uint64_t)(uint32_t)~place(i) << 8 | (0xffu - count_free(piece));
}

static uint64_t new_key(uint32_t i)
{
    return (uint64_t)(pieces[i].priority * 3 + 1) << 48 | (uint64_t)(uint32_t)~place(i) << 8;
}

static bool allow_ordinary(uint32_t peer, const struct sk_bitfield *allowed_fast,
                           struct allowed *ret, bool full)
{
    uint64_t best_partial = 0, best_new = 0;
    for (uint32_t i = 0; i < PIECES; i++) {
        if (!gives(peer, allowed_fast, i))
            continue;
        if (is_open(&pieces[i], peer))
            best_partial = SK_MAX(best_partial, partial_key(peer, i));
        if (pieces[i].state == MISSING && !full)
            best_new = SK_MAX(best_new, new_key(i));
    }
    bool new_first = best_new >> 48 > best_partial >> 48, unfit = false;
    for (uint32_t i = 0; i < PIECES && new_first; i++) {
        if (!gives(peer, allowed_fast, i) || pieces[i].state != MISSING || new_key(i) != best_new)
            continue;
        ret->of[i] = fits(i);
        ret->any |= fits(i);
        unfit |= !fits(i);
    }
    bool partial_too = !new_first || unfit;
    for (uint32_t i = 0; i < PIECES && best_partial && partial_too; i++)
        if (gives(peer, allowed_fast, i) && is_open(&pieces[i], peer) &&
            partial_key(peer, i) == best_partial)
            ret->any = ret->of[i] = true;
    return full || unfit;
}

static bool end_game(void)
{
    bool asked = false;
    for (uint32_t i = 0; i < PIECES; i++) {
        const struct piece *piece = &pieces[i];
        if (!piece->priority)
            continue;
        bool open = piece->state == MISSING || (piece->state == PARTIAL && count_free(piece));
        if (open && availability(i))
            return false;
        for (uint32_t k = 0; k < BLOCKS && piece->state == PARTIAL; k++)
            asked |= count_asked(&piece->blocks[k]) > 0;
    }
    return asked;
}

static void allow_end_game(uint32_t peer, const struct sk_bitfield *allowed_fast,
                           struct allowed *ret)
{
    uint64_t oldest = SK_TIME_NEVER;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < PIECES * BLOCKS; i++)
        asked += pieces[i / BLOCKS].blocks[i % BLOCKS].asked[peer];
    if (asked >= SK_PICKER_LATE_BLOCKS)
        return;
    for (uint32_t i = 0; i < PIECES; i++)
        if (gives(peer, allowed_fast, i) && pieces[i].state == PARTIAL)
            oldest = SK_MIN(oldest, oldest_of(&pieces[i], peer, SK_PICKER_ASKED_MAX));
    if (oldest == SK_TIME_NEVER)
        return;
    ret->late = ret->any = true;
    ret->asked_ns = oldest;
    ret->most = SK_PICKER_ASKED_MAX;
    for (uint32_t i = 0; i < PIECES; i++)
        ret->of[i] = gives(peer, allowed_fast, i) && pieces[i].state == PARTIAL;
}

/* What the picker may say next. */
static struct allowed allow(uint32_t peer, const struct sk_bitfield *allowed_fast)
{
    struct allowed ret = {0};
    bool full = false;
    if (allow_deadline(peer, allowed_fast, &ret, &full))
        return ret;
    full = allow_ordinary(peer, allowed_fast, &ret, full);
    if (!ret.any && (full || end_game()))
        allow_end_game(peer, allowed_fast, &ret);
    return ret;
}

/* This was picked: it must be allowed, and the model follows. */
static void follow(uint32_t peer, const struct sk_bitfield *allowed_fast,
                   const struct sk_block *picked)
{
    struct allowed may = allow(peer, allowed_fast);
    uint32_t k = picked->begin / BLOCK;
    assert_true(may.any && picked->piece < PIECES && may.of[picked->piece]);
    assert_true(picked->begin % BLOCK == 0 && k < BLOCKS);
    struct piece *piece = &pieces[picked->piece];
    struct block *block = &piece->blocks[k];
    if (may.late) {
        assert_true(is_late(piece, k, peer, may.most) && block->asked_ns == may.asked_ns);
    } else {
        if (piece->state == MISSING || (piece->was_wrong && piece->owner != peer))
            model_begin(picked->piece);
        assert_true(is_free(block));
        for (uint32_t i = 0; i < k; i++)
            assert_false(is_free(&piece->blocks[i]));
        if (piece->owner == NOBODY || piece->was_wrong)
            piece->owner = peer;
    }
    assert_int_equal(picked->length, SK_MIN(BLOCK, piece->length - picked->begin));
    block->asked[peer] = true;
    block->asked_ns = world.now_ns;
}

/* ---- operations ---- */

static void do_pick(void)
{
    struct sk_block blocks[12];
    uint32_t peer = below(PEERS), max = 1 + below(12);
    struct sk_bitfield allowed_fast = picker_world_bits(&world);
    bool full = false, fast = below(8) == 0;
    for (uint32_t i = 0; i < 5; i++)
        sk_bitfield_add(&allowed_fast, below(PIECES));
    if (peers[peer].here) {
        const struct sk_bitfield *only = fast ? &allowed_fast : NULL;
        size_t n = sk_picker_pick(world.picker, peer, &peers[peer].have, only, world.now_ns, blocks,
                                  max, &full);
        for (size_t i = 0; i < n; i++)
            follow(peer, only, &blocks[i]);
        struct allowed more = n < max ? allow(peer, only) : (struct allowed){0};
        assert_false(more.any);
        assert_true(!full || n < max);
    }
    sk_bitfield_deinit(&allowed_fast);
}

/* A block that was asked for comes, or any other. */
static void do_take(void)
{
    uint32_t start = below(PIECES * BLOCKS), at = start, peer = below(PEERS);
    while (!count_asked(&pieces[at / BLOCKS].blocks[at % BLOCKS]) &&
           (at = (at + 1) % (PIECES * BLOCKS)) != start)
        ;
    if (below(10) == 0)
        at = start;
    struct piece *piece = &pieces[at / BLOCKS];
    struct block *block = &piece->blocks[at % BLOCKS];
    for (uint32_t i = 0; below(10) > 0 && i < PEERS; i++)
        peer = block->asked[i] ? i : peer;
    uint32_t begin = at % BLOCKS * BLOCK, others[SK_PICKER_ASKED_MAX];
    uint32_t length = begin < piece->length ? SK_MIN(BLOCK, piece->length - begin) : 0;
    struct sk_block taken = {at / BLOCKS, begin, length};
    bool wanted = piece->state == PARTIAL && block->exists && !block->held &&
                  !(piece->was_wrong && piece->owner != peer && !block->asked[peer]);
    size_t count, expected = wanted ? count_asked(block) - block->asked[peer] : 0;
    enum sk_picker_taken result = sk_picker_take(world.picker, peer, &taken, others, &count);
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++)
        assert_true(block->asked[others[i]] && others[i] != peer);
    if (!wanted) {
        assert_int_equal(result, SK_PICKER_UNWANTED);
        return;
    }
    memset(block->asked, 0, sizeof block->asked);
    block->held = true;
    model_whole(piece);
    assert_int_equal(result, piece->state == WHOLE ? SK_PICKER_WHOLE : SK_PICKER_HELD);
}

static void do_release(void)
{
    uint32_t i = below(PIECES), k = below(BLOCKS), peer = below(PEERS);
    sk_picker_release(world.picker, peer, i, k * BLOCK);
    pieces[i].blocks[k].asked[peer] = false;
}

static void model_leave(uint32_t peer)
{
    for (uint32_t i = 0; i < PIECES; i++) {
        if (pieces[i].owner == peer)
            pieces[i].owner = NOBODY;
        for (uint32_t k = 0; k < BLOCKS; k++)
            pieces[i].blocks[k].asked[peer] = false;
    }
}

static void do_leave(void)
{
    uint32_t peer = below(PEERS);
    sk_picker_leave(world.picker, peer);
    model_leave(peer);
}

static void do_verified(void)
{
    for (uint32_t i = 0; i < PIECES; i++) {
        bool right = below(5) > 0;
        if (below(3) == 0)
            continue;
        sk_picker_verified(world.picker, i, right);
        if (pieces[i].state == WHOLE)
            pieces[i].was_wrong = !right;
        if (pieces[i].state == WHOLE && right)
            model_have(i);
        else if (pieces[i].state == WHOLE)
            pieces[i].state = MISSING;
    }
}

static void clear_piece(uint32_t i, enum state state)
{
    for (uint32_t k = 0; k < BLOCKS; k++)
        memset(pieces[i].blocks[k].asked, 0, sizeof pieces[i].blocks[k].asked);
    pieces[i].state = state;
}

static void do_drop(void)
{
    uint32_t i = below(PIECES), k = below(BLOCKS);
    sk_picker_drop(world.picker, i, k * BLOCK);
    if ((pieces[i].state == PARTIAL || pieces[i].state == WHOLE) && pieces[i].blocks[k].held) {
        pieces[i].blocks[k].held = false;
        pieces[i].state = PARTIAL;
    }
}

static void do_forget(void)
{
    uint32_t i = below(PIECES);
    sk_picker_forget(world.picker, i);
    if (pieces[i].state != HAVE)
        clear_piece(i, MISSING);
}

static void do_have(void)
{
    uint32_t i = below(PIECES);
    if (below(10))
        return;
    sk_picker_have(world.picker, i);
    clear_piece(i, HAVE);
    model_have(i);
}

static void do_hold(void)
{
    uint32_t i = below(PIECES), k = below(BLOCKS), lacking = 0;
    struct piece before = pieces[i];
    bool begun = pieces[i].state == MISSING, exists = pieces[i].blocks[k].exists;
    int expected = exists && before.state != HAVE ? 0 : SKEP_ERR_INVALID;
    if (!expected && begun && !fits(i))
        expected = SKEP_ERR_LIMIT;
    if (!expected && begun)
        model_begin(i);
    for (uint32_t j = 0; j < BLOCKS; j++)
        lacking += pieces[i].blocks[j].exists && !pieces[i].blocks[j].held;
    if (!expected && !pieces[i].blocks[k].held && lacking == 1)
        expected = SKEP_ERR_INVALID;
    assert_int_equal(sk_picker_hold(world.picker, i, k * BLOCK), expected);
    if (expected) {
        pieces[i] = before;
        return;
    }
    memset(pieces[i].blocks[k].asked, 0, sizeof pieces[i].blocks[k].asked);
    pieces[i].blocks[k].held = true;
}

static void do_priority(void)
{
    uint32_t i = below(PIECES);
    unsigned priority = below(3) ? SK_PICKER_PRIORITY_NORMAL : below(SK_PICKER_PRIORITY_MAX + 1);
    sk_picker_set_priority(world.picker, i, priority);
    pieces[i].priority = priority;
}

static void do_deadline(void)
{
    uint32_t i = below(PIECES);
    uint64_t at_ns = below(2) ? SK_TIME_NEVER : world.now_ns + below(20) * SECOND;
    assert_int_equal(sk_picker_set_deadline(world.picker, i, at_ns), 0);
    pieces[i].deadline_ns = pieces[i].state == HAVE ? SK_TIME_NEVER : at_ns;
    pieces[i].deadline_number = ++deadlines;
}

static void do_order(void)
{
    if (below(4))
        return;
    world.config.order = below(2) ? SK_PICKER_IN_ORDER : SK_PICKER_RAREST;
    cursor = below(PIECES);
    sk_picker_set_order(world.picker, world.config.order);
    sk_picker_set_cursor(world.picker, cursor);
}

static void do_peer(void)
{
    uint32_t i = below(PEERS);
    struct peer *peer = &peers[i];
    if (peer->here) {
        sk_picker_leave(world.picker, i);
        model_leave(i);
        sk_picker_peer(world.picker, &peer->have, -1);
        peer->here = false;
        return;
    }
    sk_bitfield_clear(&peer->have);
    for (uint32_t k = 0, share = below(10); k < PIECES; k++)
        if (share == 0 || below(10) < share)
            sk_bitfield_add(&peer->have, k);
    sk_picker_peer(world.picker, &peer->have, 1);
    peer->here = true;
}

/* A peer gets a piece, or (unless it has all) loses one. */
static void do_peer_have(void)
{
    struct peer *peer = &peers[below(PEERS)];
    uint32_t i = below(PIECES);
    if (!peer->here || sk_bitfield_full(&peer->have))
        return;
    bool lose = sk_bitfield_drop(&peer->have, i);
    if (lose && below(2)) {
        sk_picker_peer_have(world.picker, i, -1);
        return;
    }
    sk_bitfield_add(&peer->have, i);
    if (!lose)
        sk_picker_peer_have(world.picker, i, 1);
}

static void do_time(void)
{
    world.now_ns += below(3000) * (SECOND / 1000);
}

/* ---- what can be seen ---- */

static void compare_counts(void)
{
    struct sk_picker_counts expected = {.end_game = end_game()};
    uint32_t wanted_have = 0;
    for (uint32_t i = 0; i < PIECES; i++) {
        const struct piece *piece = &pieces[i];
        bool have = piece->state == HAVE, wanted = piece->priority > 0;
        expected.pieces_have += have;
        expected.pieces_wanted += wanted;
        wanted_have += have && wanted;
        expected.bytes_wanted += wanted ? piece->length : 0;
        expected.bytes_have += have && wanted ? piece->length : 0;
        expected.partial += piece->state == PARTIAL;
        expected.whole += piece->state == WHOLE;
        for (uint32_t k = 0; k < BLOCKS && (piece->state == PARTIAL || piece->state == WHOLE); k++)
            if (piece->blocks[k].held)
                expected.bytes_held += SK_MIN(BLOCK, piece->length - k * BLOCK);
        assert_int_equal(sk_picker_availability(world.picker, i), availability(i));
        assert_int_equal(sk_bitfield_has(sk_picker_pieces(world.picker), i), have);
    }
    struct sk_picker_counts counts = picker_world_counts(&world);
    assert_int_equal(counts.pieces_have, expected.pieces_have);
    assert_int_equal(counts.pieces_wanted, expected.pieces_wanted);
    assert_int_equal(counts.bytes_have, expected.bytes_have);
    assert_int_equal(counts.bytes_wanted, expected.bytes_wanted);
    assert_int_equal(counts.bytes_held, expected.bytes_held);
    assert_int_equal(counts.partial, expected.partial);
    assert_int_equal(counts.whole, expected.whole);
    assert_int_equal(counts.end_game, expected.end_game);
    assert_int_equal(sk_picker_done(world.picker), wanted_have == expected.pieces_wanted);
}

static void compare_peers(void)
{
    uint32_t least = UINT32_MAX, more = 0;
    for (uint32_t i = 0; i < PIECES; i++)
        least = SK_MIN(least, availability(i));
    for (uint32_t i = 0; i < PIECES; i++)
        more += availability(i) > least;
    double off = sk_picker_copies(world.picker) - least - (double)more / PIECES;
    assert_true(off < 1e-9 && off > -1e-9);
    for (uint32_t p = 0; p < PEERS; p++) {
        bool wants = false;
        for (uint32_t i = 0; i < PIECES; i++)
            wants |=
                gives(p, NULL, i) && (pieces[i].state == MISSING || pieces[i].state == PARTIAL);
        if (peers[p].here)
            assert_int_equal(sk_picker_wants(world.picker, &peers[p].have), wants);
    }
}

static void set_up(uint64_t seed)
{
    uint32_t count = 0;
    uint64_t size = (uint64_t)(PIECES - 1) * BLOCKS * BLOCK + BLOCK * 3 / 2;
    sk_prng_init(&prng, seed);
    picker_world_init(&world, size, BLOCKS * BLOCK, SK_PICKER_RAREST);
    sk_picker_free(world.picker);
    memset(pieces, 0, sizeof pieces);
    cursor = 0;
    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *piece = &pieces[i];
        uint64_t start = (uint64_t)i * BLOCKS * BLOCK;
        uint32_t length = piece->length = sk_metainfo_piece_length(&world.metainfo, i);
        uint32_t data = i == 4 ? 0 : PADDED(i) ? BLOCK * 3 / 2 : length;
        piece->priority = SK_PICKER_PRIORITY_NORMAL;
        piece->deadline_ns = SK_TIME_NEVER;
        for (uint32_t k = 0; k * BLOCK < length; k++)
            piece->blocks[k] = (struct block){.exists = true, .padding = k * BLOCK >= data};
        files[count++] = (struct sk_file){.length = data, .offset = start, .first_piece = i};
        if (data < length)
            files[count++] = (struct sk_file){
                .length = length - data, .offset = start + data, .flags = SK_FILE_PADDING};
    }
    world.metainfo.files = files;
    world.metainfo.files_count = count;
    world.config.partial_bytes_max = MEMORY;
    world.config.seed = seed;
    assert_int_equal(sk_picker_new(&world.config, &world.picker), 0);
    for (uint32_t i = 0; i < PEERS; i++)
        peers[i] = (struct peer){.have = picker_world_bits(&world)};
}

static void test_model(void **state)
{
    static const struct {
        void (*run)(void);
        uint32_t share;
    } operations[] = {
        {do_pick, 30},    {do_take, 60},  {do_release, 10}, {do_leave, 1},     {do_verified, 6},
        {do_drop, 3},     {do_forget, 3}, {do_have, 1},     {do_hold, 4},      {do_priority, 4},
        {do_deadline, 2}, {do_order, 1},  {do_peer, 2},     {do_peer_have, 6}, {do_time, 20},
    };
    uint32_t sum = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(operations); i++)
        sum += operations[i].share;
    /* A run ends when most is there, so that all its times are seen. */
    for (uint64_t seed = 1, done = 0; done < OPERATIONS; seed++) {
        set_up(seed);
        for (uint32_t n = 0; n < 1500; n++, done++) {
            uint32_t drawn = below(sum), i = 0;
            while (drawn >= operations[i].share)
                drawn -= operations[i++].share;
            operations[i].run();
            picker_world_check(&world);
            compare_counts();
            compare_peers();
        }
        picker_world_deinit(&world);
        for (uint32_t i = 0; i < PEERS; i++)
            sk_bitfield_deinit(&peers[i].have);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
