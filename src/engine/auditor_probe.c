/* The auditor's probes: who is asked for what, and what becomes of the pieces. */
#include "engine/auditor_internal.h"

#include "base/assert.h"
#include "base/limits.h"

#include <math.h>
#include <string.h>

#define HASHES_WAIT_S 15.0
#define CHOKES_MAX 6      /* more than any rechoke interval fits into an audit's patience */
#define LAP_AFTER_S 4.0   /* a sender's window is forgotten, and it begins with several packets */
#define KEEP_AFTER_S 20.0 /* aria2 waits for 30 */
#define KEEP_GAINED 200   /* blocks that it gained, for one that is taken so */

static bool may_ask(const struct sk_record *record)
{
    return record->peer && !skep_peer_choked(record->peer);
}

/* ---- which block next ---- */

/* Whether this peer can be asked for this piece now: it holds it and lets us. */
static bool can_give(const struct sk_record *record, uint32_t piece)
{
    return skep_peer_has(record->peer, piece) &&
           (may_ask(record) || skep_peer_allowed_fast(record->peer, piece));
}

/* The same piece is not taken twice from one peer in one lap. */
static bool was_taken(const struct sk_record *record, uint32_t piece)
{
    return record->taken.bits && sk_bitfield_has(&record->taken, piece);
}

static void mark_taken(const struct sk_auditor *auditor, struct sk_record *record, uint32_t piece)
{
    /* Without memory a piece may come twice, no more. */
    if (!record->taken.bits &&
        sk_bitfield_init(&record->taken, skep_torrent_pieces(auditor->torrent)))
        return;
    sk_bitfield_add(&record->taken, piece);
}

/*
 * A piece for a new copy, from a random place on: one that nobody has given yet before others, so
 * that probes together see more of the torrent. False where the peer has none that fits.
 */
static bool choose_piece(struct sk_auditor *auditor, const struct sk_record *record,
                         uint64_t bytes_max, uint32_t *ret_piece)
{
    uint32_t pieces = skep_torrent_pieces(auditor->torrent);
    uint32_t start = (uint32_t)sk_prng_below(&auditor->prng, pieces);
    size_t size;
    const uint8_t *bits = skep_peer_bitfield(record->peer, &size);
    bool found = false;
    for (uint32_t i = 0; bits && i < pieces; i++) {
        uint32_t piece = start + i < pieces ? start + i : start + i - pieces;
        if (piece % 8 == 0 && bits[piece / 8] == 0) {
            i += SK_MIN(7u, pieces - 1 - piece); /* eight at a time that it does not hold */
            continue;
        }
        if (!can_give(record, piece) || was_taken(record, piece) ||
            skep_torrent_piece_length(auditor->torrent, piece) > bytes_max)
            continue;
        bool fresh = !sk_bitfield_has(&auditor->assembly.done, piece);
        if (fresh || !found)
            *ret_piece = piece;
        found = true;
        if (fresh)
            break;
    }
    return found;
}

/* A shared piece that was wrong and that this peer can help to put together again: only when it
 * comes right does it show who lied. */
static bool choose_failed(const struct sk_auditor *auditor, const struct sk_record *record,
                          uint32_t *ret_piece)
{
    const struct sk_suspects_piece *wrong = auditor->assembly.suspects.first;
    while (wrong && (!can_give(record, wrong->piece) || was_taken(record, wrong->piece)))
        wrong = wrong->next;
    if (wrong)
        *ret_piece = wrong->piece;
    return wrong != NULL;
}

static struct sk_assembly_copy *choose_shared(const struct sk_auditor *auditor,
                                              const struct sk_record *record)
{
    struct sk_assembly_copy *copy = sk_assembly_shared(&auditor->assembly, NULL);
    while (copy &&
           !(can_give(record, copy->piece) && memchr(copy->states, SK_BLOCK_FREE, copy->blocks)))
        copy = sk_assembly_shared(&auditor->assembly, copy);
    return copy;
}

/*
 * A copy that this peer can add a block to, begun where need be; NULL where there is none. Where
 * not even one whole piece fits into its budget, several peers put one together.
 */
static struct sk_assembly_copy *choose_copy(struct sk_auditor *auditor, struct sk_record *record)
{
    struct sk_assembly *assembly = &auditor->assembly;
    struct sk_assembly_copy *copy = sk_assembly_owned(assembly, record->number);
    uint64_t left = sk_probe_left(&record->probe);
    uint32_t owner = record->number, piece;
    if (copy || left == 0)
        return copy;
    if (!choose_piece(auditor, record, left, &piece)) {
        copy = choose_shared(auditor, record);
        if (copy || !sk_probe_is_fresh(&record->probe) ||
            !(choose_failed(auditor, record, &piece) ||
              choose_piece(auditor, record, UINT64_MAX, &piece)))
            return copy;
        owner = SK_ASSEMBLY_NOBODY;
    }
    uint32_t length = skep_torrent_piece_length(auditor->torrent, piece);
    if (sk_assembly_begin(assembly, piece, length, owner, &copy))
        return NULL;
    mark_taken(auditor, record, piece);
    /* A v2 peer's blocks can be checked one by one; others refuse, and the piece decides. */
    (void)skep_peer_request_leaves(record->peer, piece);
    return copy;
}

static void ask_more(struct sk_auditor *auditor, struct sk_record *record)
{
    struct sk_probe *probe = &record->probe;
    uint32_t count = sk_probe_may_ask(probe, skep_peer_request_max(record->peer));
    while (count--) {
        struct sk_assembly_copy *copy = choose_copy(auditor, record);
        struct sk_block block;
        if (!copy || !sk_assembly_ask(copy, record->number, &block))
            break;
        if (skep_peer_request(record->peer, block.piece, block.begin, block.length)) {
            sk_assembly_release(&auditor->assembly, record->number, block.piece, block.begin);
            break;
        }
        sk_probe_asked(probe, block.length);
    }
}

/* ---- slots ---- */

static void push_ready(struct sk_auditor *auditor, struct sk_record *record)
{
    if (record->in_ready)
        return;
    record->in_ready = true;
    record->ready_next = NULL;
    if (auditor->ready_last)
        auditor->ready_last->ready_next = record;
    else
        auditor->ready_first = record;
    auditor->ready_last = record;
}

static struct sk_record *pop_ready(struct sk_auditor *auditor)
{
    struct sk_record *record = auditor->ready_first;
    if (!record)
        return NULL;
    auditor->ready_first = record->ready_next;
    if (!auditor->ready_first)
        auditor->ready_last = NULL;
    record->in_ready = false;
    return record;
}

static void finish(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    if (record->probe.state == SK_PROBE_RUNNING)
        auditor->running--;
    if (!sk_probe_is_measured(&record->probe)) {
        record->crowded = sk_downlink_full(&auditor->downlink, record->probe.since_ns, now_ns);
        record->probed_from_ns = record->probe.since_ns;
        record->probed_ns = now_ns;
    }
    record->lap_ns = now_ns;
    sk_probe_end(&record->probe, now_ns);
    sk_assembly_leave(&auditor->assembly, record->number);
    sk_bitfield_deinit(&record->taken);
    if (record->peer)
        (void)skep_peer_interest(record->peer, false);
    sk_auditor_update(auditor, record, now_ns);
}

/* The hashes of a v2 torrent may still be on their way: what comes before them cannot be verified,
 * so probes wait, but not for ever. */
static bool wait_for_hashes(const struct sk_auditor *auditor, uint64_t now_ns)
{
    return skep_torrent_hashes_waiting(auditor->torrent) &&
           (double)(now_ns - auditor->metadata_ns) / 1e9 < HASHES_WAIT_S;
}

/* One more probe must be able to begin a piece. */
static bool has_room(const struct sk_auditor *auditor)
{
    return !auditor->running ||
           sk_assembly_room(&auditor->assembly) >= skep_torrent_piece_size(auditor->torrent);
}

void sk_auditor_fill_slots(struct sk_auditor *auditor, uint64_t now_ns)
{
    if (auditor->ready_first && wait_for_hashes(auditor, now_ns))
        return; /* the next tick looks again */
    while (auditor->running < auditor->config.probes_max && has_room(auditor)) {
        struct sk_record *record = pop_ready(auditor);
        if (!record)
            return;
        if (record->probe.state != SK_PROBE_READY || !record->peer)
            continue;
        sk_probe_run(&record->probe, now_ns);
        auditor->running++;
        ask_more(auditor, record);
    }
}

/* ---- what happens to a peer ---- */

/* More than it holds cannot be taken without taking the same again. */
static uint64_t most_of(const struct sk_auditor *auditor, const struct sk_record *record,
                        uint64_t bytes)
{
    uint64_t held = (uint64_t)record->seen.pieces * skep_torrent_piece_size(auditor->torrent);
    return SK_MIN(bytes, held);
}

static void set_budget(const struct sk_auditor *auditor, struct sk_record *record)
{
    record->probe.budget = most_of(auditor, record, auditor->config.probe_bytes);
    record->probe.budget_max = most_of(auditor, record, auditor->config.probe_bytes_max);
    bool tells = record->seen.pieces < skep_torrent_pieces(auditor->torrent);
    record->probe.laps = auditor->config.watch_s > 0 ? SK_PROBE_LAPS : 0;
    record->probe.laps_bytes = auditor->config.probe_bytes; /* it may gain */
    if (tells && auditor->config.watch_s > 0)
        sk_probe_shallow(&record->probe);
}

void sk_auditor_want(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    if (!record->peer || auditor->config.no_probe || !auditor->has_assembly ||
        record->probe.state != SK_PROBE_IDLE || record->seen.pieces == 0)
        return;
    if (skep_peer_interest(record->peer, true))
        return;
    if (!sk_probe_is_measured(&record->probe))
        set_budget(auditor, record);
    sk_probe_interested(&record->probe, now_ns);
    if (may_ask(record) || skep_peer_offers(record->peer))
        sk_auditor_allowed(auditor, record, now_ns);
}

/* Of one that ends connections in which nobody wants anything a block is taken now and then: else
 * it tells the pieces that it gained all at once, when it is back. But no more than is allowed. */
static bool must_keep(const struct sk_auditor *auditor, const struct sk_record *record)
{
    uint64_t pieces = record->seen.pieces - SK_MIN(record->seen.pieces, record->seen.pieces_first);
    uint64_t gained = pieces * skep_torrent_piece_size(auditor->torrent);
    return record->hangs_up && record->probe.state == SK_PROBE_DONE &&
           record->probe.got + SK_BLOCK_SIZE <= auditor->config.probe_bytes_max &&
           gained > KEEP_GAINED * (record->kept + UINT64_C(1)) * SK_BLOCK_SIZE;
}

/* Laps take half of the slots at most, and none that a first one waits for. */
static bool spares_slot(const struct sk_auditor *auditor)
{
    return !auditor->ready_first && 2 * auditor->running < auditor->config.probes_max;
}

void sk_auditor_again(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    struct sk_probe *probe = &record->probe;
    double since_s = (double)(now_ns - record->lap_ns) / 1e9;
    if (!record->peer || !(auditor->config.watch_s > 0) || !spares_slot(auditor))
        return;
    uint64_t most = most_of(auditor, record, probe->laps_bytes);
    if (sk_probe_lacks(probe) && probe->got < most && since_s >= LAP_AFTER_S) {
        sk_probe_again(probe,
                       SK_MIN(most - probe->got, (uint64_t)SK_PROBE_LAP_BLOCKS * SK_BLOCK_SIZE));
    } else if (must_keep(auditor, record) && since_s >= KEEP_AFTER_S) {
        sk_probe_again(probe, SK_BLOCK_SIZE);
        record->kept++;
    }
    sk_auditor_want(auditor, record, now_ns);
}

void sk_auditor_allowed(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    sk_probe_allowed(&record->probe);
    if (record->probe.state != SK_PROBE_READY)
        return;
    push_ready(auditor, record);
    sk_auditor_fill_slots(auditor, now_ns);
    sk_auditor_update(auditor, record, now_ns);
}

void sk_auditor_choked(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    if (record->probe.state == SK_PROBE_RUNNING)
        auditor->running--;
    sk_probe_choked(&record->probe, now_ns);
    /* One who chokes and unchokes for ever does not keep the audit going for ever. */
    if (record->probe.state == SK_PROBE_WAITING && record->seen.chokes >= CHOKES_MAX &&
        sk_probe_wanted_s(&record->probe, now_ns) >= auditor->config.patience_s)
        finish(auditor, record, now_ns);
    sk_auditor_fill_slots(auditor, now_ns);
    sk_auditor_update(auditor, record, now_ns);
}

/* What it began and did not end can be begun again. */
static void drop_copies(struct sk_auditor *auditor, struct sk_record *record)
{
    for (struct sk_assembly_copy *copy = auditor->assembly.copies; copy; copy = copy->next)
        if (copy->owner == record->number && record->taken.bits)
            sk_bitfield_drop(&record->taken, copy->piece);
    sk_assembly_leave(&auditor->assembly, record->number);
}

void sk_auditor_leave(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    struct sk_probe *probe = &record->probe;
    if (auditor->has_assembly)
        drop_copies(auditor, record);
    if (probe->state == SK_PROBE_RUNNING)
        auditor->running--;
    if (sk_probe_is_measured(probe) && probe->state != SK_PROBE_DONE) {
        record->lap_ns = now_ns; /* one that comes back at once is not asked at once */
        sk_probe_end(probe, now_ns);
        sk_bitfield_deinit(&record->taken);
    } else if (probe->state != SK_PROBE_DONE && probe->state != SK_PROBE_IDLE) {
        /* What was measured stands; a new connection would go on where this one ended. */
        sk_probe_choked(probe, now_ns);
        probe->state = SK_PROBE_IDLE;
        probe->asked = probe->got;
        probe->pending = 0;
    }
}

static void judge(uint32_t number, uint32_t piece, uint32_t right, uint32_t wrong, void *ctx)
{
    struct sk_auditor *auditor = ctx;
    struct sk_record *record = auditor->records[number];
    record->seen.blocks_verified += right;
    record->seen.blocks_corrupt += wrong;
}

static void note_verdict(struct sk_auditor *auditor, struct sk_record *record,
                         const struct sk_assembly_copy *copy, bool right, uint64_t now_ns)
{
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = right ? SK_OBS_VERIFIED : SK_OBS_CORRUPT,
                                               .a = copy->piece,
                                               .b = copy->blocks},
                       now_ns);
}

static void complete(struct sk_auditor *auditor, struct sk_record *record,
                     struct sk_assembly_copy *copy, uint64_t now_ns)
{
    int right = skep_torrent_verify(auditor->torrent, copy->piece, copy->data, copy->length);
    enum sk_assembly_result result = right < 0   ? SK_ASSEMBLY_UNKNOWN
                                     : right > 0 ? SK_ASSEMBLY_RIGHT
                                                 : SK_ASSEMBLY_WRONG;
    if (result != SK_ASSEMBLY_UNKNOWN)
        note_verdict(auditor, record, copy, right > 0, now_ns);
    if (right > 0 && auditor->config.save)
        (void)skep_torrent_store(auditor->torrent, copy->piece, copy->data, copy->length);
    sk_assembly_finish(&auditor->assembly, copy, result, judge, auditor);
}

/* Checks a held block of a copy by a hash of its own, where a v2 torrent's is known. */
static void check_block(struct sk_auditor *auditor, struct sk_assembly_copy *copy, uint32_t block)
{
    uint32_t begin = block * SK_BLOCK_SIZE;
    uint32_t length = SK_MIN((uint32_t)SK_BLOCK_SIZE, copy->length - begin);
    int right =
        skep_torrent_verify_block(auditor->torrent, copy->piece, begin, copy->data + begin, length);
    if (right >= 0)
        sk_assembly_check(copy, block, right, judge, auditor);
}

/* Hashes of a piece's blocks came: what is held of it can be checked block by block. */
void sk_auditor_on_leaves(struct sk_auditor *auditor, uint32_t piece)
{
    for (struct sk_assembly_copy *copy = auditor->assembly.copies; copy; copy = copy->next)
        for (uint32_t i = 0; copy->piece == piece && i < copy->blocks; i++)
            if (copy->states[i] == SK_BLOCK_HELD)
                check_block(auditor, copy, i);
}

void sk_auditor_on_block(struct sk_auditor *auditor, struct sk_record *record,
                         const struct skep_event *event)
{
    const struct skep_message *message = &event->message;
    struct sk_probe *probe = &record->probe;
    uint32_t length = (uint32_t)message->size;
    uint64_t now_ns = event->now_ns;
    double rtt_s = (double)event->rtt_ns / 1e9;
    record->seen.delivered_bytes += length;
    if (!(record->seen.rtt_s <= rtt_s))
        record->seen.rtt_s = rtt_s;
    sk_auditor_observe(auditor, record,
                       (struct sk_observation){.kind = SK_OBS_BLOCK,
                                               .a = message->index,
                                               .b = message->begin,
                                               .c = (int64_t)(event->rtt_ns / 1000)},
                       now_ns);
    sk_probe_came(probe, length, skep_peer_request_max(record->peer), now_ns);
    sk_probe_lengthen(probe);
    record->blocks++;
    struct sk_assembly_copy *copy = sk_assembly_take(
        &auditor->assembly, record->number, message->index, message->begin, message->data, length);
    if (copy)
        check_block(auditor, copy, message->begin / SK_BLOCK_SIZE);
    if (copy && copy->held == copy->blocks)
        complete(auditor, record, copy, now_ns);
    sk_auditor_pump(auditor, record, now_ns);
}

void sk_auditor_on_rejected(struct sk_auditor *auditor, struct sk_record *record,
                            const struct skep_event *event)
{
    const struct skep_message *message = &event->message;
    if (auditor->has_assembly)
        sk_assembly_release(&auditor->assembly, record->number, message->index, message->begin);
    sk_probe_lost(&record->probe, message->length);
}

static void take_back(struct sk_auditor *auditor, struct sk_record *record)
{
    for (struct sk_assembly_copy *copy = auditor->assembly.copies; copy; copy = copy->next) {
        for (uint32_t i = 0; i < copy->blocks; i++) {
            if (copy->states[i] != SK_BLOCK_ASKED || copy->who[i] != record->number)
                continue;
            uint32_t begin = i * SK_BLOCK_SIZE;
            (void)skep_peer_cancel(record->peer, copy->piece, begin,
                                   SK_MIN((uint32_t)SK_BLOCK_SIZE, copy->length - begin));
        }
    }
}

void sk_auditor_pump(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns)
{
    struct sk_probe *probe = &record->probe;
    if (probe->state != SK_PROBE_RUNNING || !record->peer)
        return;
    if (!sk_probe_over(probe, auditor->config.probe_seconds, now_ns)) {
        ask_more(auditor, record);
        /* Nothing on its way and nothing more to ask for: the peer has given what it can. */
        if (probe->pending || probe->state != SK_PROBE_RUNNING)
            return;
    }
    if (probe->pending)
        take_back(auditor, record);
    if (!sk_probe_is_measured(probe) && probe->got == 0 && skep_peer_choked(record->peer)) {
        /* What it offered although it chokes us did not come: it may yet unchoke us. */
        drop_copies(auditor, record);
        auditor->running--;
        sk_probe_put_off(probe);
        sk_auditor_update(auditor, record, now_ns);
        sk_auditor_fill_slots(auditor, now_ns);
        return;
    }
    finish(auditor, record, now_ns);
    sk_auditor_fill_slots(auditor, now_ns);
}
