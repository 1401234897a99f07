#include "audit/timeline.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "swarm/source.h"

#include <skep/err.h>

#include <stdio.h>
#include <string.h>

#define LAZY_MS 2000    /* HAVEs this soon after a bitfield belong to it */
#define SILENCE_MS 1000 /* what comes after that is another stretch */
#define ALIASES_MAX 8   /* addresses of one peer, each told as another of the one before */
#define GIVEN_BACK 256  /* pieces that a peer takes of us at a time, at most */

/* ---- lists ---- */

/* Room for one more; SKEP_ERR_LIMIT at `max`. */
static int grow(void **list, uint32_t count, uint32_t *capacity, size_t size, uint32_t max)
{
    if (count < *capacity)
        return 0;
    if (count >= max)
        return SKEP_ERR_LIMIT;
    uint32_t wanted = SK_MIN(*capacity ? *capacity * 2 : 8, max);
    void *grown = sk_mem_realloc(*list, wanted, size);
    if (!grown)
        return SKEP_ERR_NOMEM;
    *list = grown;
    *capacity = wanted;
    return 0;
}

#define GROW(owner, list, max)                                                                     \
    grow((void **)&(owner)->list, (owner)->list##_count, &(owner)->list##_capacity,                \
         sizeof *(owner)->list, max)

/* ---- life ---- */

int sk_timeline_init(struct sk_timeline *timeline, uint64_t begin_ns, uint32_t pieces,
                     uint32_t piece_size, uint64_t size)
{
    *timeline = (struct sk_timeline){.begin_ns = begin_ns};
    if ((pieces || piece_size || size) &&
        sk_timeline_set_pieces(timeline, pieces, piece_size, size))
        return SKEP_ERR_INVALID;
    /* When an audit began, to the nanosecond, no stranger knows. */
    sk_map_init(&timeline->by_endpoint, sizeof(struct sk_endpoint), SK_TIMELINE_PEERS_MAX,
                begin_ns);
    sk_map_init(&timeline->open_links, 2 * sizeof(uint32_t), SK_TIMELINE_LINKS_MAX, begin_ns);
    return 0;
}

int sk_timeline_set_pieces(struct sk_timeline *timeline, uint32_t pieces, uint32_t piece_size,
                           uint64_t size)
{
    if (timeline->pieces || !pieces || pieces > SK_METAINFO_PIECES_MAX || !piece_size ||
        size > (uint64_t)pieces * piece_size || size < pieces)
        return SKEP_ERR_INVALID;
    timeline->pieces = pieces;
    timeline->piece_size = piece_size;
    timeline->size = size;
    return 0;
}

void sk_timeline_deinit(struct sk_timeline *timeline)
{
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        struct sk_timeline_peer *peer = &timeline->peers[i];
        sk_bitfield_deinit(&peer->first);
        sk_bitfield_deinit(&peer->held);
        sk_mem_free(peer->watched);
        sk_mem_free(peer->gains);
        sk_mem_free(peer->sums);
        sk_mem_free(peer->taken);
        sk_mem_free(peer->given);
    }
    sk_mem_free(timeline->peers);
    sk_mem_free(timeline->links);
    sk_mem_free(timeline->announces);
    sk_mem_free(timeline->bytes);
    sk_map_deinit(&timeline->by_endpoint);
    sk_map_deinit(&timeline->open_links);
    *timeline = (struct sk_timeline){0};
}

/* ---- peers ---- */

uint32_t sk_timeline_find(const struct sk_timeline *timeline, const struct sk_endpoint *endpoint)
{
    uintptr_t found = (uintptr_t)sk_map_get(&timeline->by_endpoint, endpoint);
    return found ? (uint32_t)(found - 1) : UINT32_MAX;
}

/* The index of the peer, made where there is none. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
static int get_peer(struct sk_timeline *timeline, const struct sk_endpoint *endpoint,
                    uint32_t *ret_index)
{
    *ret_index = sk_timeline_find(timeline, endpoint);
    if (*ret_index != UINT32_MAX)
        return 0;
    int err = GROW(timeline, peers, SK_TIMELINE_PEERS_MAX);
    if (!err)
        err = sk_map_put(&timeline->by_endpoint, endpoint,
                         (void *)(uintptr_t)(timeline->peers_count + 1));
    if (err)
        return err;
    *ret_index = timeline->peers_count++;
    timeline->peers[*ret_index] = (struct sk_timeline_peer){.endpoint = *endpoint,
                                                            .upload_only = -1,
                                                            .delivered = SK_RATE_UNKNOWN,
                                                            .capacity = SK_RATE_UNKNOWN,
                                                            .gave = {NAN, NAN, NAN}};
    return 0;
}

static bool is_open(const struct sk_timeline_peer *peer)
{
    return peer->watched_count && peer->watched[peer->watched_count - 1].until_ms == SK_TIME_OPEN;
}

bool sk_timeline_watched(const struct sk_timeline_peer *peer, uint32_t at_ms)
{
    for (uint32_t i = 0; i < peer->watched_count; i++)
        if (at_ms >= peer->watched[i].from_ms && at_ms < peer->watched[i].until_ms)
            return true;
    return false;
}

/* Also where the log does not say that it opened: what a peer does, it does while connected. */
static int open_span(struct sk_timeline_peer *peer, uint32_t at_ms)
{
    if (is_open(peer))
        return 0;
    int err = GROW(peer, watched, SK_TIMELINE_SPANS_MAX);
    if (err)
        return err;
    peer->watched[peer->watched_count++] =
        (struct sk_watch){.from_ms = at_ms, .until_ms = SK_TIME_OPEN};
    peer->connection_bytes = 0;
    return 0;
}

/* Which client answers in the connection that is open. */
static void on_open(struct sk_timeline_peer *peer, struct sk_bytes id)
{
    if (id.n != sizeof peer->peer_id)
        return;
    struct sk_watch *watch = &peer->watched[peer->watched_count - 1];
    watch->same_id = peer->has_peer_id && memcmp(peer->peer_id, id.p, sizeof peer->peer_id) == 0;
    watch->renewed = peer->we_closed && peer->watched_count > 1 &&
                     watch->from_ms - watch[-1].until_ms <= SK_TIMELINE_RENEWAL_MS;
    peer->has_peer_id = true;
    memcpy(peer->peer_id, id.p, sizeof peer->peer_id);
}

/* ---- links ---- */

static void end_link(struct sk_timeline *timeline, uint32_t a, uint32_t b, uint32_t at_ms)
{
    uint32_t key[2] = {a, b};
    uintptr_t found = (uintptr_t)sk_map_remove(&timeline->open_links, key);
    if (found)
        timeline->links[found - 1].until_ms = at_ms;
}

static int begin_link(struct sk_timeline *timeline, uint32_t a, uint32_t b, uint32_t at_ms)
{
    uint32_t key[2] = {a, b};
    if (a == b || sk_map_get(&timeline->open_links, key))
        return 0;
    int err = GROW(timeline, links, SK_TIMELINE_LINKS_MAX);
    if (!err)
        err =
            sk_map_put(&timeline->open_links, key, (void *)(uintptr_t)(timeline->links_count + 1));
    if (err)
        return err;
    timeline->links[timeline->links_count++] =
        (struct sk_timeline_link){a, b, at_ms, SK_TIME_OPEN, timeline->peers[a].link_first};
    timeline->peers[a].link_first = timeline->links_count;
    return 0;
}

/* Ends all that the peer told, which begins with link `first`. */
static void end_links(struct sk_timeline *timeline, uint32_t first, uint32_t index, uint32_t at_ms)
{
    for (uint32_t i = first; i; i = timeline->links[i - 1].next)
        if (timeline->links[i - 1].until_ms == SK_TIME_OPEN)
            end_link(timeline, index, timeline->links[i - 1].b, at_ms);
}

static void end_span(struct sk_timeline *timeline, uint32_t index, uint32_t at_ms)
{
    struct sk_timeline_peer *peer = &timeline->peers[index];
    if (!is_open(peer))
        return;
    peer->watched[peer->watched_count - 1].until_ms = at_ms;
    end_links(timeline, peer->link_first, index, at_ms);
}

/* ---- pieces ---- */

static int init_bits(struct sk_timeline *timeline, struct sk_bitfield *field)
{
    size_t bytes = sk_bitfield_bytes(timeline->pieces);
    if (timeline->bits_bytes + bytes > SK_TIMELINE_BITS_BYTES_MAX)
        return SKEP_ERR_LIMIT;
    int err = sk_bitfield_init(field, timeline->pieces);
    if (!err)
        timeline->bits_bytes += bytes;
    return err;
}

/* From now on it is known what the peer holds. */
static int begin_pieces(struct sk_timeline *timeline, struct sk_timeline_peer *peer, uint32_t at_ms)
{
    if (peer->has_first)
        return 0;
    int err = peer->first.bits ? 0 : init_bits(timeline, &peer->first);
    if (!err && !peer->held.bits)
        err = init_bits(timeline, &peer->held);
    if (err)
        return err;
    peer->has_first = true;
    peer->first_ms = peer->told_ms = at_ms;
    return 0;
}

static int gain(struct sk_timeline *timeline, struct sk_timeline_peer *peer, uint32_t piece,
                uint32_t since_ms, uint32_t at_ms)
{
    if (sk_bitfield_has(&peer->held, piece))
        return 0;
    int err = timeline->gains_total < SK_TIMELINE_GAINS_MAX ? GROW(peer, gains, timeline->pieces)
                                                            : SKEP_ERR_LIMIT;
    if (err)
        return err;
    sk_bitfield_add(&peer->held, piece);
    /* Of connections that overlapped, what was told first may come last: the spans in which the
     * pieces were gained are in order all the same. */
    for (uint32_t i = peer->gains_count; i && peer->gains[i - 1].since_ms > since_ms; i--)
        peer->gains[i - 1].since_ms = since_ms;
    peer->gains[peer->gains_count++] =
        (struct sk_gain){.at_ms = at_ms, .since_ms = since_ms, .piece = piece};
    timeline->gains_total++;
    return 0;
}

/* Until when a connection told all that was gained: to its end, where it told anything. */
static uint32_t known_after(const struct sk_timeline_peer *peer, const struct sk_watch *watch)
{
    return watch->tells ? SK_MAX(peer->told_ms, watch->until_ms) : peer->told_ms;
}

/* When the peer was last known to hold no more than we know of. */
static uint32_t known_ms(const struct sk_timeline_peer *peer)
{
    const struct sk_watch *watch = &peer->watched[peer->watched_count - 1];
    if (peer->told_ms >= watch->from_ms || peer->watched_count < 2)
        return peer->told_ms;
    return known_after(peer, watch - 1);
}

/* Many pieces told at once. */
static void begin_batch(struct sk_timeline_peer *peer, uint32_t at_ms)
{
    peer->batch_since_ms = known_ms(peer);
    peer->batch_ms = at_ms;
}

static int on_bitfield(struct sk_timeline *timeline, struct sk_timeline_peer *peer,
                       struct sk_bytes bits, uint32_t at_ms)
{
    if (!timeline->pieces || bits.n != sk_bitfield_bytes(timeline->pieces))
        return 0;
    struct sk_bitfield told = {.bits = (uint8_t *)bits.p, .count = timeline->pieces};
    bool first = !peer->has_first;
    int err = begin_pieces(timeline, peer, at_ms);
    begin_batch(peer, at_ms);
    peer->shrank_before = peer->shrank;
    peer->lacking = 0;
    for (uint32_t piece = 0; piece < timeline->pieces && !err; piece++) {
        bool has = sk_bitfield_has(&told, piece);
        if (has && first) {
            sk_bitfield_add(&peer->first, piece);
            sk_bitfield_add(&peer->held, piece);
        } else if (has)
            err = gain(timeline, peer, piece, peer->batch_since_ms, at_ms);
        else if (sk_bitfield_has(&peer->held, piece))
            peer->lacking++;
    }
    peer->shrank |= peer->lacking > 0;
    if (first)
        peer->listed = peer->first.set;
    peer->bitfields++;
    peer->set_ms = at_ms;
    peer->told_ms = err ? peer->told_ms : at_ms;
    return err;
}

static int on_have(struct sk_timeline *timeline, struct sk_timeline_peer *peer,
                   const struct sk_observation *observation, uint32_t at_ms)
{
    if (observation->a < 0 || observation->a >= timeline->pieces)
        return 0;
    uint32_t piece = (uint32_t)observation->a;
    /* Who has something says so first: until now it had nothing. */
    struct sk_watch *watch = &peer->watched[peer->watched_count - 1];
    int err = begin_pieces(timeline, peer, watch->from_ms);
    if (err)
        return err;
    peer->haves++;
    bool lazy = peer->bitfields && peer->set_ms >= watch->from_ms && at_ms - peer->set_ms < LAZY_MS;
    if (lazy && peer->bitfields == 1 && !peer->gains_count) {
        peer->first_ms = peer->told_ms = at_ms;
        sk_bitfield_add(&peer->first, piece);
        sk_bitfield_add(&peer->held, piece);
        return 0;
    }
    /* A lazy bitfield, and nothing was lost. */
    if (lazy && peer->lacking && sk_bitfield_has(&peer->held, piece) && --peer->lacking == 0)
        peer->shrank = peer->shrank_before;
    if (observation->b && peer->batch_ms != at_ms)
        begin_batch(peer, at_ms);
    bool batch = observation->b || lazy;
    if (!batch) /* what comes with more after this was gained after this */
        peer->batch_ms = SK_TIME_OPEN;
    uint32_t before = peer->gains_count;
    err = gain(timeline, peer, piece, batch ? peer->batch_since_ms : at_ms, at_ms);
    watch->tells |= !batch && peer->gains_count > before;
    peer->told_ms = err ? peer->told_ms : at_ms;
    return err;
}

static void on_dont_have(const struct sk_timeline *timeline, struct sk_timeline_peer *peer,
                         int64_t piece)
{
    peer->dont_haves++;
    if (peer->has_first && piece >= 0 && piece < timeline->pieces &&
        sk_bitfield_has(&peer->held, (uint32_t)piece))
        peer->shrank = true;
}

/* ---- the rest ---- */

static int on_arrival(struct sk_timeline_peer *peer, int64_t total, uint32_t at_ms)
{
    if (total < 0 || (uint64_t)total < peer->connection_bytes)
        return 0;
    uint64_t bytes = (uint64_t)total - peer->connection_bytes;
    peer->connection_bytes = (uint64_t)total;
    struct sk_taken *last = peer->taken_count ? &peer->taken[peer->taken_count - 1] : NULL;
    if (!last || at_ms - last->until_ms > SILENCE_MS) {
        int err = GROW(peer, taken, SK_TIMELINE_TAKEN_MAX);
        if (err == SKEP_ERR_NOMEM)
            return err;
        if (!err) {
            peer->taken[peer->taken_count++] = (struct sk_taken){at_ms, at_ms, bytes};
            return 0;
        }
    }
    last = &peer->taken[peer->taken_count - 1];
    last->until_ms = at_ms;
    last->bytes += bytes;
    return 0;
}

/* ---- what we gave ---- */

static int add_given(struct sk_timeline *timeline, struct sk_timeline_peer *peer,
                     const struct sk_given *given)
{
    int err = timeline->given_total < SK_TIMELINE_GIVEN_MAX
                  ? GROW(peer, given, SK_TIMELINE_GIVEN_MAX)
                  : SKEP_ERR_LIMIT;
    if (err)
        return err;
    peer->given[peer->given_count++] = *given;
    timeline->given_total++;
    return 0;
}

/* Of the last ones, for a whole torrent may be given; NULL where there is none. */
static struct sk_given *find_given(struct sk_timeline_peer *peer, uint32_t piece)
{
    uint32_t least = peer->given_count > GIVEN_BACK ? peer->given_count - GIVEN_BACK : 0;
    for (uint32_t i = peer->given_count; i > least; i--)
        if (peer->given[i - 1].piece == piece)
            return &peer->given[i - 1];
    return NULL;
}

static int on_gift(struct sk_timeline *timeline, struct sk_timeline_peer *peer,
                   const struct sk_observation *observation, uint32_t at_ms)
{
    bool block = observation->kind == SK_OBS_GIVEN;
    if (observation->a < 0 || observation->a >= timeline->pieces ||
        (block && (observation->c <= 0 || observation->c > timeline->piece_size)))
        return 0;
    struct sk_given fresh = {(uint32_t)observation->a, SK_TIME_OPEN, SK_TIME_OPEN, 0};
    struct sk_given *given = find_given(peer, fresh.piece), *it = given ? given : &fresh;
    if (block) {
        it->given_ms = at_ms;
        it->bytes += SK_MIN((uint32_t)observation->c, timeline->piece_size - it->bytes);
    } else if (it->offered_ms == SK_TIME_OPEN) {
        it->offered_ms = at_ms;
    }
    return given ? 0 : add_given(timeline, peer, it);
}

bool sk_timeline_is_gift(const struct sk_timeline *timeline, const struct sk_given *given)
{
    return given->bytes > sk_timeline_piece_bytes(timeline, given->piece) / 2;
}

/* ---- addresses ---- */

/* What `to` had told and `from` did not, it lost; HAVEs with the bitfield may yet tell it. */
static void move_losses(struct sk_timeline_peer *to, const struct sk_timeline_peer *from)
{
    to->shrank_before = to->shrank = to->shrank || from->shrank;
    to->lacking = 0;
    for (uint32_t piece = 0; piece < to->held.count && from->bitfields; piece++)
        to->lacking += sk_bitfield_has(&to->held, piece) && !sk_bitfield_has(&from->held, piece);
    to->shrank |= to->lacking > 0;
    to->dont_haves += from->dont_haves;
    to->set_ms = SK_MAX(to->set_ms, from->set_ms);
}

/* What `from` showed in its present connection, `to` did, which was here before. */
static int move_gains(struct sk_timeline *timeline, struct sk_timeline_peer *to,
                      const struct sk_timeline_peer *from, uint32_t since_ms)
{
    move_losses(to, from);
    int err = begin_pieces(timeline, to, from->first_ms);
    uint32_t last = to->gains_count ? to->gains[to->gains_count - 1].at_ms : 0;
    uint32_t first_ms = SK_MAX(from->first_ms, last);
    for (uint32_t piece = 0; piece < timeline->pieces && !err; piece++)
        if (sk_bitfield_has(&from->first, piece))
            err = gain(timeline, to, piece, SK_MIN(since_ms, first_ms), first_ms);
    for (uint32_t i = 0; i < from->gains_count && !err; i++)
        err = gain(timeline, to, from->gains[i].piece, from->gains[i].since_ms,
                   SK_MAX(from->gains[i].at_ms, first_ms));
    to->haves += from->haves;
    to->bitfields += from->bitfields;
    to->told_ms = SK_MAX(to->told_ms, from->told_ms);
    return err;
}

/* What was seen of `from` was of `to`, in a new connection. */
static int take_over(struct sk_timeline *timeline, struct sk_timeline_peer *to,
                     const struct sk_timeline_peer *from, uint32_t at_ms)
{
    uint32_t from_ms = at_ms, since_ms = to->told_ms;
    if (from->watched_count)
        from_ms = from->watched[from->watched_count - 1].from_ms;
    const struct sk_watch *last = &to->watched[to->watched_count - 1];
    if (last->until_ms != SK_TIME_OPEN) {
        since_ms = known_after(to, last);
        int err = open_span(to, SK_MAX(from_ms, last->until_ms));
        if (err)
            return err;
    }
    on_open(to, sk_bytes(from->peer_id, from->has_peer_id ? sizeof from->peer_id : 0));
    if (from->watched_count)
        to->watched[to->watched_count - 1].tells |= from->watched[from->watched_count - 1].tells;
    int err = from->has_first ? move_gains(timeline, to, from, since_ms) : 0;
    for (uint32_t i = 0; i < from->given_count && !err; i++)
        err = add_given(timeline, to, &from->given[i]);
    to->connection_bytes = from->connection_bytes;
    return err;
}

/* `from` has been `to` all the time: both histories become one. Where `to` has no room for it, it
 * is lost: by another address nobody is to be seen who told nothing after this. */
static int join(struct sk_timeline *timeline, uint32_t to_index, uint32_t from_index,
                uint32_t at_ms)
{
    struct sk_timeline_peer *from = &timeline->peers[from_index];
    timeline->gains_total -= from->gains_count;
    timeline->given_total -= from->given_count;
    int err = take_over(timeline, &timeline->peers[to_index], from, at_ms);
    end_span(timeline, from_index, at_ms);
    /* Whoever connects from there next begins anew. */
    from->watched_count = from->gains_count = from->taken_count = from->given_count = 0;
    from->sums_count = 0;
    from->has_first = false;
    if (from->first.bits) {
        sk_bitfield_clear(&from->first);
        sk_bitfield_clear(&from->held);
    }
    return err;
}

/* What the peer of index `before` told of its connections, that of `after` did. */
static int move_links(struct sk_timeline *timeline, uint32_t first, uint32_t before, uint32_t after)
{
    for (uint32_t i = first; i; i = timeline->links[i - 1].next) {
        struct sk_timeline_link *link = &timeline->links[i - 1];
        uint32_t old_key[2] = {before, link->b}, key[2] = {after, link->b};
        link->a = after;
        if (link->until_ms != SK_TIME_OPEN)
            continue;
        void *open = sk_map_remove(&timeline->open_links, old_key);
        if (open && sk_map_put(&timeline->open_links, key, open))
            return SKEP_ERR_NOMEM;
    }
    return 0;
}

/* The peer that was known by the address `by` is known by the one of `index` from now on. */
static int on_address(struct sk_timeline *timeline, uint32_t index, const struct sk_endpoint *by,
                      uint32_t at_ms)
{
    uint32_t old = sk_timeline_find(timeline, by);
    if (old == UINT32_MAX || old == index)
        return 0;
    struct sk_timeline_peer *to = &timeline->peers[index], *from = &timeline->peers[old];
    from->alias = true;
    from->same_as = index + 1;
    to->alias = false;
    to->same_as = 0;
    if (to->watched_count)
        return join(timeline, index, old, at_ms);
    struct sk_timeline_peer moved = *from, stays = *to;
    moved.endpoint = stays.endpoint;
    moved.sources |= stays.sources;
    moved.alias = false;
    moved.same_as = 0;
    stays.endpoint = from->endpoint;
    stays.sources = from->sources;
    stays.alias = true;
    stays.same_as = index + 1;
    *to = moved;
    *from = stays;
    end_links(timeline, stays.link_first, index, at_ms); /* it was never connected */
    int err = move_links(timeline, moved.link_first, old, index);
    return err ? err : move_links(timeline, stays.link_first, index, old);
}

/* Both reasons stay: who is one of these is nobody else. */
static void on_failed(struct sk_timeline *timeline, uint32_t index,
                      const struct sk_observation *observation)
{
    static const char *const aliases[] = {"duplicate", "self"};
    struct sk_timeline_peer *peer = &timeline->peers[index];
    for (size_t i = 0; i < SK_ARRAY_LEN(aliases); i++)
        peer->alias |= sk_bytes_equal(observation->bytes, sk_bytes_text(aliases[i]));
    uint32_t same = observation->by.family ? sk_timeline_find(timeline, &observation->by) : index;
    if (peer->alias && same != UINT32_MAX && same != index)
        peer->same_as = same + 1;
}

static int on_heard(struct sk_timeline *timeline, uint32_t index,
                    const struct sk_observation *observation, uint32_t at_ms)
{
    timeline->peers[index].sources |= observation->source;
    uint32_t teller;
    if (observation->source != SK_SOURCE_PEX || !observation->by.family)
        return 0;
    int err = get_peer(timeline, &observation->by, &teller);
    return err ? err : begin_link(timeline, teller, index, at_ms);
}

static void on_dropped(struct sk_timeline *timeline, uint32_t index, const struct sk_endpoint *by,
                       uint32_t at_ms)
{
    uint32_t teller = sk_timeline_find(timeline, by);
    if (teller != UINT32_MAX)
        end_link(timeline, teller, index, at_ms);
}

/* What only a connected peer does. */
static int take(struct sk_timeline *timeline, uint32_t index,
                const struct sk_observation *observation, uint32_t at_ms)
{
    struct sk_timeline_peer *peer = &timeline->peers[index];
    enum sk_observation_kind kind = observation->kind;
    bool connected = kind == SK_OBS_OPEN || (kind >= SK_OBS_BITFIELD && kind <= SK_OBS_ARRIVAL);
    int err = connected ? open_span(peer, at_ms) : 0;
    if (err)
        return err;
    switch (kind) {
    case SK_OBS_HEARD:
        return on_heard(timeline, index, observation, at_ms);
    case SK_OBS_DROPPED:
        on_dropped(timeline, index, &observation->by, at_ms);
        return 0;
    case SK_OBS_OPEN:
        on_open(peer, observation->bytes);
        return 0;
    case SK_OBS_ADDRESS:
        return on_address(timeline, index, &observation->by, at_ms);
    case SK_OBS_CLIENT:
        snprintf(peer->client, sizeof peer->client, "%.*s", (int)observation->bytes.n,
                 (const char *)observation->bytes.p);
        return 0;
    case SK_OBS_FAILED:
        on_failed(timeline, index, observation);
        return 0;
    case SK_OBS_CLOSED:
        peer->we_closed = sk_bytes_equal(observation->bytes, sk_bytes_text("local"));
        end_span(timeline, index, at_ms);
        return 0;
    case SK_OBS_BITFIELD:
    case SK_OBS_HAVE:
        err = kind == SK_OBS_HAVE ? on_have(timeline, peer, observation, at_ms)
                                  : on_bitfield(timeline, peer, observation->bytes, at_ms);
        if (err) /* there is no room for what it gained: as if it had left us */
            end_span(timeline, index, at_ms);
        return err;
    case SK_OBS_DONT_HAVE:
        on_dont_have(timeline, peer, observation->a);
        return 0;
    case SK_OBS_UNCHOKE:
        peer->unchokes++;
        return 0;
    case SK_OBS_UPLOAD_ONLY:
        peer->upload_only = observation->a != 0;
        return 0;
    case SK_OBS_REQUESTED:
        peer->requested++;
        return 0;
    case SK_OBS_ARRIVAL:
        return on_arrival(peer, observation->a, at_ms);
    case SK_OBS_OFFERED:
    case SK_OBS_GIVEN:
        return on_gift(timeline, peer, observation, at_ms);
    default:
        return 0;
    }
}

/* ---- pieces of many sizes ---- */

/* False where the list makes no sense, or not with what is known of the torrent. */
static bool read_short(const struct sk_timeline *timeline, struct sk_bytes list, uint32_t *bytes)
{
    uint64_t size = (uint64_t)timeline->pieces * timeline->piece_size;
    uint32_t next = 0;
    for (size_t at = 0; at < list.n; at += SK_TIMELINE_SHORT_BYTES) {
        uint32_t piece = sk_get_u32(list.p + at), of_files = sk_get_u32(list.p + at + 4);
        if (piece < next || piece >= timeline->pieces || of_files >= timeline->piece_size)
            return false;
        bytes[piece] = of_files;
        size -= timeline->piece_size - of_files;
        next = piece + 1;
    }
    return size == timeline->size;
}

static int on_short_pieces(struct sk_timeline *timeline, const struct sk_observation *observation)
{
    size_t pieces = timeline->pieces;
    if (timeline->bytes || !pieces || observation->bytes.n % SK_TIMELINE_SHORT_BYTES)
        return 0;
    if (timeline->bits_bytes + pieces * sizeof *timeline->bytes > SK_TIMELINE_BITS_BYTES_MAX)
        return SKEP_ERR_LIMIT;
    uint32_t *bytes = sk_mem_alloc(pieces * sizeof *bytes);
    if (!bytes)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < pieces; i++)
        bytes[i] = timeline->piece_size;
    if (!read_short(timeline, observation->bytes, bytes)) {
        sk_mem_free(bytes);
        return 0;
    }
    timeline->bits_bytes += pieces * sizeof *bytes;
    timeline->bytes = bytes;
    return 0;
}

/* Without memory it takes longer to know the same. */
static void sum_up_gains(const struct sk_timeline *timeline, struct sk_timeline_peer *peer)
{
    uint32_t count = peer->gains_count / SK_TIMELINE_SUM_STEP;
    sk_mem_free(peer->sums);
    peer->sums_count = 0;
    peer->sums = timeline->bytes && count ? sk_mem_alloc(count * sizeof *peer->sums) : NULL;
    for (uint32_t i = 0; peer->sums && i < count; i++) {
        uint64_t sum = sk_timeline_gained_bytes(timeline, peer, (i + 1) * SK_TIMELINE_SUM_STEP);
        peer->sums[peer->sums_count++] = sum;
    }
}

/* ---- ourselves ---- */

#define ASKED_US_MAX INT64_C(3600000000) /* nobody waits for a tracker for longer */

static int on_announced(struct sk_timeline *timeline, const struct sk_observation *observation)
{
    if (observation->a < 0 || observation->a > ASKED_US_MAX || observation->c < 0 ||
        observation->at_ns < timeline->begin_ns)
        return 0;
    int err = GROW(timeline, announces, SK_TIMELINE_ANNOUNCES_MAX);
    if (err)
        return err;
    double answered_s = (double)(observation->at_ns - timeline->begin_ns) / 1e9;
    timeline->announces[timeline->announces_count++] = (struct sk_timeline_announce){
        .asked_s = answered_s - (double)observation->a / 1e6,
        .answered_s = answered_s,
        .tracker = sk_hash_bytes(observation->bytes.p, observation->bytes.n, timeline->begin_ns),
        .downloaded = (uint64_t)observation->c,
        .started = observation->b != 0};
    return 0;
}

/* What is about no peer. */
static int take_own(struct sk_timeline *timeline, const struct sk_observation *observation)
{
    if (observation->kind == SK_OBS_ANNOUNCED)
        return on_announced(timeline, observation);
    if (observation->kind == SK_OBS_SHORT_PIECES)
        return on_short_pieces(timeline, observation);
    if (observation->kind == SK_OBS_SELF && observation->bytes.n == sizeof timeline->self) {
        timeline->has_self = true;
        memcpy(timeline->self, observation->bytes.p, sizeof timeline->self);
    }
    return 0;
}

static uint32_t milliseconds(const struct sk_timeline *timeline, uint64_t at_ns)
{
    uint64_t ms = at_ns > timeline->begin_ns ? (at_ns - timeline->begin_ns) / 1000000 : 0;
    return (uint32_t)SK_MIN(ms, (uint64_t)SK_TIME_OPEN - 1);
}

int sk_timeline_observe(struct sk_timeline *timeline, const struct sk_observation *observation)
{
    uint32_t index;
    int err;
    if (!observation->peer.family) {
        err = take_own(timeline, observation);
    } else {
        /* A log may be damaged: time does not go back. */
        timeline->end_ms = SK_MAX(timeline->end_ms, milliseconds(timeline, observation->at_ns));
        err = get_peer(timeline, &observation->peer, &index);
        if (!err)
            err = take(timeline, index, observation, timeline->end_ms);
    }
    if (err == SKEP_ERR_LIMIT) {
        timeline->lost++;
        return 0;
    }
    return err;
}

/* An alias may be one of an alias, in a log that is damaged even of itself. */
static uint32_t resolve(const struct sk_timeline *timeline, uint32_t index)
{
    for (int i = 0; i < ALIASES_MAX && timeline->peers[index].alias; i++) {
        if (!timeline->peers[index].same_as)
            return index;
        index = timeline->peers[index].same_as - 1;
    }
    return index;
}

void sk_timeline_close(struct sk_timeline *timeline, uint64_t at_ns)
{
    timeline->end_ms = SK_MAX(timeline->end_ms, milliseconds(timeline, at_ns));
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        end_span(timeline, i, timeline->end_ms);
        /* a damaged log has links of peers that were never connected */
        end_links(timeline, timeline->peers[i].link_first, i, timeline->end_ms);
        sum_up_gains(timeline, &timeline->peers[i]);
    }
    for (uint32_t i = 0; i < timeline->links_count; i++)
        if (timeline->links[i].until_ms != SK_TIME_OPEN)
            timeline->links[i].b = resolve(timeline, timeline->links[i].b);
}

uint32_t sk_timeline_piece_bytes(const struct sk_timeline *timeline, uint32_t piece)
{
    SK_ASSERT(piece < timeline->pieces);
    if (timeline->bytes)
        return timeline->bytes[piece];
    uint64_t begin = (uint64_t)piece * timeline->piece_size;
    bool last = piece + 1 == timeline->pieces && begin < timeline->size;
    return last ? (uint32_t)(timeline->size - begin) : timeline->piece_size;
}

uint64_t sk_timeline_gained_bytes(const struct sk_timeline *timeline,
                                  const struct sk_timeline_peer *peer, uint32_t n)
{
    uint32_t sums = SK_MIN(n / SK_TIMELINE_SUM_STEP, peer->sums_count);
    uint64_t bytes = sums ? peer->sums[sums - 1] : 0;
    for (uint32_t i = sums * SK_TIMELINE_SUM_STEP; i < n; i++)
        bytes += sk_timeline_piece_bytes(timeline, peer->gains[i].piece);
    return bytes;
}

uint64_t sk_timeline_padding(const struct sk_timeline *timeline)
{
    uint64_t span = (uint64_t)timeline->pieces * timeline->piece_size;
    return span - timeline->size < timeline->piece_size ? 0 : span - timeline->size;
}
