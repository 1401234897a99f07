/*
 * Stored pieces, and serving them to the swarm where the user said --give: what was probed is given
 * back, so that leechers reciprocate. The choker is as simple as can be: the first
 * SK_ENGINE_GIVE_SLOTS interested peers are unchoked; the downloader has a real one.
 */
#include "engine/internal.h"

#include "base/mem.h"

#include <string.h>

static bool giving(const struct skep_engine *engine)
{
    return engine->config.give && engine->config.save_dir;
}

void sk_give_opened(struct skep_peer *peer)
{
    const struct sk_bitfield *stored = &peer->torrent->stored;
    struct sk_bitfield none = {.count = stored->count ? stored->count : 1};
    bool fast = sk_peer_view(peer->session)->fast;
    if (giving(peer->engine) && stored->set)
        (void)sk_peer_send_bitfield(peer->session, stored);
    else if (fast)
        (void)sk_peer_send_bitfield(peer->session, &none);
}

static void choke(struct skep_peer *peer)
{
    if (sk_peer_view(peer->session)->choking || sk_peer_send_choke(peer->session, true))
        return;
    peer->torrent->unchoked--;
    sk_conn_touch(peer);
}

/* Unchokes a peer that wants it, while there is a slot. */
static void unchoke(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    const struct sk_peer_view *view = sk_peer_view(peer->session);
    if (!giving(peer->engine) || !torrent->stored.set ||
        torrent->unchoked >= SK_ENGINE_GIVE_SLOTS || !view->peer_interested || !view->choking ||
        sk_peer_send_choke(peer->session, false))
        return;
    torrent->unchoked++;
    sk_conn_touch(peer);
}

/* A slot is free: the next who waits gets it. */
static void fill_slots(struct skep_torrent *torrent)
{
    struct skep_peer *peer = giving(torrent->engine) ? torrent->engine->peers : NULL;
    for (; peer && torrent->unchoked < SK_ENGINE_GIVE_SLOTS; peer = peer->next)
        if (peer->torrent == torrent && peer->opened && peer->stage == SK_STAGE_TALKING)
            unchoke(peer);
}

void sk_give_closed(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    if (sk_peer_view(peer->session)->choking)
        return;
    torrent->unchoked--;
    if (torrent->state == SK_TORRENT_RUNNING)
        fill_slots(torrent);
}

void sk_give_peer_gone(struct skep_peer *peer)
{
    struct sk_ask ask;
    if (peer->give_reading)
        (void)sk_engine_answer(peer->engine, peer->give_id, &ask); /* nobody waits for it */
}

static void read_next(struct skep_peer *peer)
{
    struct skep_engine *engine = peer->engine;
    if (peer->give_reading || !peer->give_count || peer->stage != SK_STAGE_TALKING ||
        sk_peer_output(peer->session).n > SK_PEER_OUTPUT_MAX / 2)
        return;
    struct sk_give_request request = peer->give[0];
    struct sk_ask ask = {.kind = SK_ASK_GIVE, .peer = peer, .request = request};
    struct sk_out out = {
        .kind = SK_OUT_READ,
        .torrent = peer->torrent->number,
        .offset = (uint64_t)request.piece * peer->torrent->metainfo->piece_size + request.begin,
        .length = request.length,
    };
    if (sk_engine_ask(engine, &ask, &out.id))
        return; /* the next request, or byte sent, tries again */
    if (sk_engine_push(engine, &out)) {
        (void)sk_engine_answer(engine, out.id, &ask);
        return;
    }
    peer->give_reading = true;
    peer->give_id = out.id;
}

void sk_give_sent(struct skep_peer *peer)
{
    read_next(peer);
}

static void reject(struct skep_peer *peer, const struct sk_give_request *request)
{
    if (sk_peer_view(peer->session)->fast)
        (void)sk_peer_send_reject(peer->session, request->piece, request->begin, request->length);
    sk_conn_touch(peer);
}

/* What waits while we choke is not served any more; BEP 6 wants each to be told. */
static void drop_requests(struct skep_peer *peer)
{
    for (uint32_t i = 0; i < peer->give_count; i++)
        reject(peer, &peer->give[i]);
    peer->give_count = 0;
}

static void on_request(struct skep_peer *peer, const struct sk_msg *msg)
{
    struct skep_torrent *torrent = peer->torrent;
    bool refuse = !giving(peer->engine) || !torrent->metainfo ||
                  sk_peer_view(peer->session)->choking ||
                  !sk_bitfield_has(&torrent->stored, msg->index) ||
                  peer->give_count == SK_ENGINE_GIVE_QUEUE_MAX;
    if (!refuse && !peer->give)
        peer->give = sk_mem_alloc(SK_ENGINE_GIVE_QUEUE_MAX * sizeof *peer->give);
    struct sk_give_request request = {
        .piece = msg->index, .begin = msg->begin, .length = msg->length};
    if (refuse || !peer->give) {
        reject(peer, &request);
        return;
    }
    peer->give[peer->give_count++] = request;
    read_next(peer);
}

static void on_cancel(struct skep_peer *peer, const struct sk_msg *msg)
{
    /* The first may be on its way from the disk already. */
    for (uint32_t i = peer->give_reading ? 1 : 0; i < peer->give_count; i++) {
        const struct sk_give_request *r = &peer->give[i];
        if (r->piece == msg->index && r->begin == msg->begin && r->length == msg->length) {
            reject(peer, r); /* to a cancel, too, BEP 6 owes an answer */
            peer->give_count--;
            memmove(&peer->give[i], &peer->give[i + 1], (peer->give_count - i) * sizeof *r);
            return;
        }
    }
}

static void on_hash_request(struct skep_peer *peer, const struct sk_msg *msg)
{
    struct sk_msg reject = *msg;
    reject.kind = SK_MSG_HASH_REJECT;
    (void)sk_peer_send_message(peer->session, &reject);
    sk_conn_touch(peer);
}

void sk_give_message(struct skep_peer *peer, const struct sk_msg *msg)
{
    switch (msg->kind) {
    case SK_MSG_INTERESTED:
        unchoke(peer);
        break;
    case SK_MSG_NOT_INTERESTED:
        drop_requests(peer);
        choke(peer);
        fill_slots(peer->torrent);
        break;
    case SK_MSG_REQUEST:
        on_request(peer, msg);
        break;
    case SK_MSG_CANCEL:
        on_cancel(peer, msg);
        break;
    case SK_MSG_HASH_REQUEST:
        on_hash_request(peer, msg);
        break;
    default:
        break;
    }
}

/* A piece of ours is on the disk: those who lack it hear of it. */
void sk_give_stored(struct skep_torrent *torrent, uint32_t piece)
{
    if (!sk_bitfield_add(&torrent->stored, piece) || !giving(torrent->engine))
        return;
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next) {
        if (peer->torrent != torrent || !peer->opened || peer->stage != SK_STAGE_TALKING)
            continue;
        (void)sk_peer_send_have(peer->session, piece);
        unchoke(peer);
        sk_conn_touch(peer);
    }
}

void sk_engine_disk_read(struct skep_engine *engine, uint64_t id, int err, struct sk_bytes data,
                         uint64_t now_ns)
{
    struct sk_ask ask;
    engine->now_ns = now_ns;
    if (!sk_engine_answer(engine, id, &ask) || ask.kind != SK_ASK_GIVE)
        return; /* the connection went while the disk was at work */
    struct skep_peer *peer = ask.peer;
    const struct sk_give_request *request = &ask.request;
    peer->give_reading = false;
    if (peer->stage != SK_STAGE_TALKING)
        return;
    bool wanted = peer->give_count && peer->give[0].piece == request->piece &&
                  peer->give[0].begin == request->begin && peer->give[0].length == request->length;
    if (!wanted) {
        read_next(peer);
        return;
    }
    peer->give_count--;
    memmove(peer->give, peer->give + 1, peer->give_count * sizeof *peer->give);
    if (err || data.n != request->length ||
        sk_peer_send_piece(peer->session, request->piece, request->begin, data)) {
        reject(peer, request);
    } else {
        peer->torrent->given += data.n;
        sk_engine_emit(engine, &(struct skep_event){.kind = SKEP_EVENT_SENT,
                                                    .torrent = peer->torrent,
                                                    .peer = peer,
                                                    .message = {.kind = SKEP_MESSAGE_PIECE,
                                                                .index = request->piece,
                                                                .begin = request->begin,
                                                                .length = request->length}});
    }
    sk_conn_touch(peer);
    read_next(peer);
}

static void end_job(struct skep_engine *engine, uint64_t id)
{
    struct sk_store_job *job = sk_map_remove(&engine->jobs, &id);
    engine->store_bytes -= job->n;
    sk_mem_free(job->bytes);
    sk_mem_free(job);
}

int skep_torrent_store(struct skep_torrent *torrent, uint32_t piece, const void *bytes, size_t n)
{
    struct skep_engine *engine = torrent->engine;
    if (!engine->config.save_dir || !torrent->metainfo)
        return SKEP_ERR_STATE;
    if (piece >= torrent->metainfo->pieces ||
        n != sk_metainfo_piece_length(torrent->metainfo, piece))
        return SKEP_ERR_INVALID;
    if (sk_bitfield_has(&torrent->stored, piece))
        return 0;
    if (n > SK_ENGINE_STORE_MAX - engine->store_bytes)
        return SKEP_ERR_LIMIT;
    struct sk_store_job *job = sk_mem_calloc(1, sizeof *job);
    uint8_t *copy = sk_mem_dup(bytes, n);
    uint64_t id = engine->next_id++;
    if (!job || !copy || sk_map_put(&engine->jobs, &id, job)) {
        sk_mem_free(job);
        sk_mem_free(copy);
        return SKEP_ERR_NOMEM;
    }
    *job = (struct sk_store_job){.torrent = torrent, .piece = piece, .bytes = copy, .n = n};
    engine->store_bytes += n;
    int err = sk_engine_push(
        engine, &(struct sk_out){.kind = SK_OUT_WRITE,
                                 .torrent = torrent->number,
                                 .offset = (uint64_t)piece * torrent->metainfo->piece_size,
                                 .bytes = sk_bytes(copy, n),
                                 .id = id});
    if (err)
        end_job(engine, id);
    return err;
}

void sk_engine_disk_written(struct skep_engine *engine, uint64_t id, int err, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    struct sk_store_job *job = sk_map_get(&engine->jobs, &id);
    if (!job)
        return;
    if (!err)
        sk_give_stored(job->torrent, job->piece);
    sk_engine_emit(engine, &(struct skep_event){.kind = SKEP_EVENT_STORED,
                                                .torrent = job->torrent,
                                                .piece = job->piece,
                                                .error = err});
    end_job(engine, id);
}
