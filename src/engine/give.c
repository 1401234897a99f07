/*
 * Stored pieces served to the swarm: which requests are answered, in which order, how fast.
 *
 * Requests of a peer wait in a queue. Those at its head that follow each other in one piece are
 * read in one go; while what was read is sent, the next are read already. Under a limit who waits
 * is served in turn, so that all get the same. Who is unchoked at all is said by choking.c.
 */
#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

#define RUN_MAX 16                              /* requests that one read serves, */
#define RUN_BYTES_MAX (SK_PEER_OUTPUT_MAX / 4u) /* and bytes */
#define CHOKED_OUTPUT_MAX (64u << 10) /* bytes that wait to be sent to one that is choked */

bool sk_give_on(const struct skep_torrent *torrent)
{
    return torrent->engine->config.give && torrent->engine->config.save_dir;
}

bool sk_give_tells(const struct skep_torrent *torrent)
{
    const struct skep_config *config = &torrent->engine->config;
    return sk_give_on(torrent) && !config->super_seed && !config->give_chosen;
}

void sk_give_opened(struct skep_peer *peer)
{
    const struct sk_bitfield *stored = &peer->torrent->stored;
    struct sk_bitfield none = {.count = stored->count ? stored->count : 1};
    bool fast = sk_peer_view(peer->session)->fast;
    if (sk_give_tells(peer->torrent) && stored->set)
        (void)sk_peer_send_bitfield(peer->session, stored);
    else if (fast)
        (void)sk_peer_send_bitfield(peer->session, &none);
    sk_super_give_told(peer);
    sk_choking_opened(peer);
    sk_have_give_opened(peer);
    sk_pex_give_opened(peer);
}

bool sk_give_has_room(const struct skep_peer *peer)
{
    size_t max = sk_peer_view(peer->session)->choking ? CHOKED_OUTPUT_MAX : SK_PEER_OUTPUT_MAX / 2;
    return sk_peer_output(peer->session).n < max;
}

bool sk_give_quota(struct sk_give_quota *quota, uint64_t n, uint64_t max, uint64_t now_ns)
{
    if (now_ns - quota->since_ns >= SK_GIVE_QUOTA_NS)
        *quota = (struct sk_give_quota){.since_ns = now_ns};
    if (n > max - SK_MIN(quota->given, max))
        return false;
    quota->given += n;
    return true;
}

void sk_give_peer_gone(struct skep_peer *peer)
{
    struct sk_ask ask;
    if (peer->give_run)
        (void)sk_engine_answer(peer->engine, peer->give_id, &ask); /* nobody waits for it */
    sk_mem_free(peer->give);
    sk_bitfield_deinit(&peer->metadata_asked);
    sk_hashes_give_peer_gone(peer);
    sk_offer_give_peer_gone(peer);
}

/* Bytes of one read: under a limit about as many as it gives in a burst, so that nobody waits long
 * for his turn. */
static uint32_t run_bytes_max(const struct skep_engine *engine)
{
    double burst = engine->give_bucket.rate * SK_BUCKET_BURST_S;
    return engine->give_bucket.rate > 0 ? (uint32_t)SK_MIN(burst, (double)RUN_BYTES_MAX)
                                        : RUN_BYTES_MAX;
}

/* How many requests at the head of the queue follow each other in one piece. */
static uint32_t run_of(const struct skep_peer *peer)
{
    const struct sk_give_request *first = &peer->give[0];
    uint32_t run = 1, bytes = first->length, max = run_bytes_max(peer->engine);
    while (run < SK_MIN(peer->give_count, (uint32_t)RUN_MAX) && first[run].piece == first->piece &&
           first[run].begin == first->begin + bytes && bytes + first[run].length <= max)
        bytes += first[run++].length;
    return run;
}

static uint32_t length_of(const struct skep_peer *peer, uint32_t run)
{
    return peer->give[run - 1].begin + peer->give[run - 1].length - peer->give[0].begin;
}

static void wait_for_tokens(struct skep_engine *engine)
{
    if (!engine->give_timer.base.slot)
        sk_engine_set_timer(engine, &engine->give_timer, SK_TIMER_GIVE,
                            sk_bucket_opens_ns(&engine->give_bucket));
}

/* Whether nothing but tokens is missing to serve it. */
static bool is_ready(const struct skep_peer *peer)
{
    return !peer->give_run && peer->give_count && peer->stage == SK_STAGE_TALKING &&
           sk_peer_output(peer->session).n <= SK_PEER_OUTPUT_MAX / 2;
}

/* The head of its queue is read: false without memory. */
static bool begin_read(struct skep_peer *peer)
{
    struct skep_engine *engine = peer->engine;
    uint32_t run = run_of(peer);
    struct sk_ask ask = {.kind = SK_ASK_GIVE, .peer = peer};
    struct sk_out out = {
        .kind = SK_OUT_READ,
        .torrent = peer->torrent->number,
        .offset = (uint64_t)peer->give[0].piece * peer->torrent->metainfo->piece_size +
                  peer->give[0].begin,
        .length = length_of(peer, run),
    };
    if (sk_engine_ask(engine, &ask, &out.id))
        return false; /* the next request, or byte sent, tries again */
    if (sk_engine_push(engine, &out)) {
        (void)sk_engine_answer(engine, out.id, &ask);
        return false;
    }
    sk_bucket_take(&engine->give_bucket, out.length);
    engine->give_served = SK_MAX(engine->give_served, peer->give_served);
    peer->give_served = engine->give_served + out.length;
    peer->give_run = run;
    peer->give_id = out.id;
    return true;
}

static void read_next(struct skep_peer *peer)
{
    struct skep_engine *engine = peer->engine;
    if (!is_ready(peer))
        return;
    /* While the timer is set others wait for tokens, and it says who is next. */
    if (engine->give_timer.base.slot || !sk_bucket_open(&engine->give_bucket, engine->now_ns))
        wait_for_tokens(engine);
    else
        (void)begin_read(peer);
}

/* Of those that wait the one that was served least. Who came late, or did not wait meanwhile, gains
 * nothing by it (start-time fair queueing): what he missed is not made up for. */
static struct skep_peer *next_in_turn(const struct skep_engine *engine)
{
    struct skep_peer *next = NULL;
    for (struct skep_peer *peer = engine->peers; peer; peer = peer->next)
        if (is_ready(peer) && (!next || peer->give_served < next->give_served))
            next = peer;
    return next;
}

/* There are tokens again. */
void sk_give_timer(struct skep_engine *engine)
{
    struct skep_peer *peer = next_in_turn(engine);
    while (peer && sk_bucket_open(&engine->give_bucket, engine->now_ns) && begin_read(peer))
        peer = next_in_turn(engine);
    if (peer)
        wait_for_tokens(engine);
}

void sk_give_sent(struct skep_peer *peer)
{
    sk_metadata_give_pump(peer);
    read_next(peer);
}

static void reject(struct skep_peer *peer, const struct sk_give_request *request)
{
    if (sk_peer_view(peer->session)->fast && !request->dropped)
        (void)sk_peer_send_reject(peer->session, request->piece, request->begin, request->length);
    sk_conn_touch(peer);
}

void sk_give_drop_requests(struct skep_peer *peer)
{
    uint32_t kept = peer->give_run; /* what is being read has to find its places */
    for (uint32_t i = 0; i < peer->give_count; i++) {
        struct sk_give_request *request = &peer->give[i];
        bool keep = !request->dropped &&
                    (request->granted || sk_fast_give_take(peer, request->piece, request->length));
        if (!keep && !request->dropped)
            reject(peer, request);
        request->granted = keep;
        if (i < peer->give_run)
            request->dropped = !keep;
        else if (keep)
            peer->give[kept++] = *request;
    }
    peer->give_count = kept;
    if (!kept) { /* many may be choked: none of them keeps a queue */
        sk_mem_free(peer->give);
        peer->give = NULL;
    }
}

/* Each no lies in memory until it is read. What crosses a choke is a queue at most: who is choked
 * and asks for many times as much is flooding. */
static void refuse_request(struct skep_peer *peer, const struct sk_give_request *request)
{
    if (!sk_peer_view(peer->session)->choking ||
        sk_give_quota(&peer->refused_quota, 1, SK_ENGINE_REFUSED_MAX, peer->engine->now_ns))
        reject(peer, request);
    else
        sk_conn_close(peer, sk_peer_violation_text(SK_PEER_VIOLATION_FLOOD), false);
}

static void on_request(struct skep_peer *peer, const struct sk_msg *msg)
{
    struct skep_torrent *torrent = peer->torrent;
    bool choking = sk_peer_view(peer->session)->choking;
    bool refuse = !sk_give_on(torrent) || !torrent->metainfo ||
                  !sk_bitfield_has(&torrent->stored, msg->index) ||
                  peer->give_count == SK_ENGINE_GIVE_QUEUE_MAX ||
                  sk_super_give_hides(peer, msg->index) || sk_offer_give_hides(peer, msg->index) ||
                  (choking && !sk_fast_give_take(peer, msg->index, msg->length)) ||
                  !sk_offer_give_take(peer, msg->index, msg->length);
    if (!refuse && !peer->give)
        peer->give = sk_mem_alloc(SK_ENGINE_GIVE_QUEUE_MAX * sizeof *peer->give);
    struct sk_give_request request = {
        .piece = msg->index, .begin = msg->begin, .length = msg->length, .granted = choking};
    if (refuse || !peer->give) {
        refuse_request(peer, &request);
        return;
    }
    peer->give[peer->give_count++] = request;
}

static void on_cancel(struct skep_peer *peer, const struct sk_msg *msg)
{
    /* The first may be on their way from the disk already. */
    for (uint32_t i = peer->give_run; i < peer->give_count; i++) {
        const struct sk_give_request *r = &peer->give[i];
        if (r->piece == msg->index && r->begin == msg->begin && r->length == msg->length) {
            reject(peer, r); /* to a cancel, too, BEP 6 owes an answer */
            peer->give_count--;
            memmove(&peer->give[i], &peer->give[i + 1], (peer->give_count - i) * sizeof *r);
            return;
        }
    }
}

void sk_give_message(struct skep_peer *peer, const struct sk_msg *msg)
{
    switch (msg->kind) {
    case SK_MSG_INTERESTED:
        sk_choking_interested(peer, true);
        break;
    case SK_MSG_NOT_INTERESTED:
        sk_give_drop_requests(peer);
        sk_choking_interested(peer, false);
        break;
    case SK_MSG_REQUEST:
        on_request(peer, msg);
        break;
    case SK_MSG_CANCEL:
        on_cancel(peer, msg);
        break;
    case SK_MSG_HASH_REQUEST:
        sk_hashes_give(peer, &msg->range);
        break;
    default:
        break;
    }
}

/* All that one input brought is in the queue: requests that follow each other become one read. */
void sk_give_pump(struct skep_peer *peer)
{
    if (peer->give_count)
        read_next(peer);
}

/* A piece of ours is on the disk. */
void sk_give_stored(struct skep_torrent *torrent, uint32_t piece)
{
    if (!sk_bitfield_add(&torrent->stored, piece) || !sk_give_on(torrent))
        return;
    if (sk_super_give_on(torrent))
        sk_super_give_stored(torrent);
    else if (sk_give_tells(torrent))
        sk_have_give_stored(torrent, piece);
    sk_choking_stored(torrent);
    if (sk_bitfield_full(&torrent->stored))
        sk_metadata_give_tell_all(torrent);
}

static void send_block(struct skep_peer *peer, const struct sk_give_request *request,
                       struct sk_bytes block)
{
    if (request->dropped)
        return;
    if (block.n != request->length ||
        sk_peer_send_piece(peer->session, request->piece, request->begin, block)) {
        reject(peer, request);
        return;
    }
    peer->torrent->given += block.n;
    sk_choking_took(peer, block.n);
    sk_engine_emit(peer->engine, &(struct skep_event){.kind = SKEP_EVENT_SENT,
                                                      .torrent = peer->torrent,
                                                      .peer = peer,
                                                      .message = {.kind = SKEP_MESSAGE_PIECE,
                                                                  .index = request->piece,
                                                                  .begin = request->begin,
                                                                  .length = request->length}});
}

void sk_engine_disk_read(struct skep_engine *engine, uint64_t id, int err, struct sk_bytes data,
                         uint64_t now_ns)
{
    struct sk_ask ask;
    engine->now_ns = now_ns;
    if (!sk_engine_answer(engine, id, &ask))
        return; /* the connection went while the disk was at work */
    struct skep_peer *peer = ask.peer;
    if (ask.kind == SK_ASK_LEAVES) {
        sk_hashes_give_read(peer, err, data);
        return;
    }
    uint32_t run = peer->give_run;
    for (uint32_t i = 0; i < run && peer->stage == SK_STAGE_TALKING; i++) {
        const struct sk_give_request request = peer->give[i];
        size_t at = request.begin - peer->give[0].begin;
        bool there = !err && at + request.length <= data.n;
        send_block(peer, &request,
                   there ? sk_bytes(data.p + at, request.length) : sk_bytes(NULL, 0));
    }
    if (peer->stage != SK_STAGE_TALKING)
        return;
    peer->give_run = 0;
    peer->give_count -= run;
    memmove(peer->give, peer->give + run, peer->give_count * sizeof *peer->give);
    sk_conn_touch(peer);
    read_next(peer);
}
