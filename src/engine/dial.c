#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

/* The handshakes that each policy tries, in order. */
static const struct {
    enum sk_dial_mode order[2];
    unsigned count;
    unsigned incoming; /* SK_MSE_... that incoming MSE may select */
    bool required;
} policies[] = {
    [SKEP_ENCRYPTION_PREFER] = {{SK_DIAL_MSE, SK_DIAL_PLAIN}, 2, SK_MSE_RC4 | SK_MSE_PLAIN, false},
    [SKEP_ENCRYPTION_ALLOW] = {{SK_DIAL_PLAIN, SK_DIAL_MSE}, 2, SK_MSE_RC4 | SK_MSE_PLAIN, false},
    [SKEP_ENCRYPTION_REQUIRE] = {{SK_DIAL_MSE}, 1, SK_MSE_RC4, true},
    [SKEP_ENCRYPTION_OFF] = {{SK_DIAL_PLAIN}, 1, 0, false},
};

unsigned sk_dial_incoming_mse(const struct skep_engine *engine, bool *ret_required)
{
    *ret_required = policies[engine->config.encryption].required;
    return policies[engine->config.encryption].incoming;
}

/* The handshake to try next at this address; 0 where all were tried. */
static enum sk_dial_mode next_mode(const struct skep_engine *engine,
                                   const struct sk_book_entry *entry)
{
    unsigned policy = engine->config.encryption;
    for (unsigned i = 0; i < policies[policy].count; i++) {
        enum sk_dial_mode mode = policies[policy].order[i];
        if (entry->mode_worked == mode || (!entry->mode_worked && !(entry->modes_tried & mode)))
            return mode;
    }
    return 0;
}

void sk_dial_failed(struct skep_peer *peer, const char *reason, bool handshake)
{
    struct skep_engine *engine = peer->engine;
    struct skep_torrent *torrent = peer->torrent;
    struct sk_book_entry *entry = peer->entry;
    bool mine = entry && entry->owner == peer;
    sk_conn_close(peer, reason, false);
    if (!mine)
        return;
    bool running = torrent->state == SK_TORRENT_RUNNING;
    bool ours = strcmp(reason, "no sockets left here") == 0;
    bool another = handshake && !entry->mode_worked && next_mode(engine, entry);
    if (running && (ours || another) && (ours || entry->dials < SK_BOOK_DIALS_MAX)) {
        if (ours) {
            entry->dials--;
            entry->modes_tried &= (uint8_t)~peer->mode;
        }
        uint64_t wait = ours ? SK_SECOND_NS : 0;
        if (!sk_peer_book_retry(&torrent->book, entry, engine->now_ns + wait))
            return;
    }
    /* Only an encrypted stream was ever wanted where PEX says so and we could not offer it. */
    if (handshake && engine->config.encryption == SKEP_ENCRYPTION_OFF &&
        (entry->pex_flags & SK_PEX_ENCRYPTION))
        reason = sk_peer_reason_name(SK_PEER_REASON_ENCRYPTED_ONLY);
    sk_peer_book_settle(&torrent->book, entry, SK_DIAL_DONE, reason);
    sk_engine_emit(engine, &(struct skep_event){.kind = SKEP_EVENT_FAILED,
                                                .torrent = torrent,
                                                .text = peer->address,
                                                .reason = reason,
                                                .final = true});
}

static void dial(struct skep_torrent *torrent, struct sk_book_entry *entry)
{
    struct skep_engine *engine = torrent->engine;
    enum sk_dial_mode mode = next_mode(engine, entry);
    struct skep_peer *peer = mode ? sk_conn_new(engine, &entry->endpoint, true) : NULL;
    if (!peer) {
        sk_peer_book_settle(&torrent->book, entry, SK_DIAL_DONE, mode ? "out of memory" : "closed");
        return;
    }
    peer->torrent = torrent;
    peer->entry = entry;
    peer->mode = mode;
    peer->stage = SK_STAGE_CONNECTING;
    entry->owner = peer;
    entry->modes_tried |= (uint8_t)mode;
    engine->half_open++;
    sk_engine_set_timer(engine, &peer->timer, SK_TIMER_PEER, engine->now_ns + SK_ENGINE_CONNECT_NS);
    sk_engine_push(
        engine,
        &(struct sk_out){.kind = SK_OUT_CONNECT, .conn = &peer->conn, .endpoint = entry->endpoint});
    sk_engine_emit(engine, &(struct skep_event){.kind = SKEP_EVENT_DIALED,
                                                .torrent = torrent,
                                                .text = peer->address,
                                                .flags = mode == SK_DIAL_MSE});
}

/* Public addresses are dialled at a bounded rate; on one's own machine or network nobody minds. */
static bool take_token(struct skep_engine *engine, const struct sk_endpoint *endpoint)
{
    if (sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC)
        return true;
    double rate = engine->config.connect_rate;
    double elapsed = (double)(engine->now_ns - engine->dial_tokens_ns) / 1e9;
    engine->dial_tokens = SK_MIN(engine->dial_tokens + elapsed * rate, rate);
    engine->dial_tokens_ns = engine->now_ns;
    if (engine->dial_tokens < 1)
        return false;
    engine->dial_tokens -= 1;
    return true;
}

static bool has_room(const struct skep_engine *engine)
{
    return engine->half_open < SK_ENGINE_HALF_OPEN_MAX &&
           engine->peers_count < engine->config.connections_max;
}

static void pump_torrent(struct skep_torrent *torrent)
{
    struct skep_engine *engine = torrent->engine;
    struct sk_peer_book *book = &torrent->book;
    /* A bounded burst a call, so that a book of thousands does not hold up what arrives. */
    for (int burst = 0; burst < 64 && has_room(engine); burst++) {
        struct sk_book_entry *entry = sk_peer_book_next(book, engine->now_ns);
        if (!entry)
            break;
        if (!take_token(engine, &entry->endpoint)) {
            entry->dials--;
            sk_peer_book_retry(book, entry, engine->now_ns + SK_SECOND_NS / 20);
            break;
        }
        dial(torrent, entry);
    }
    uint64_t at = sk_peer_book_deadline(book);
    if (at <= engine->now_ns)
        at = has_room(engine) ? engine->now_ns : engine->now_ns + SK_SECOND_NS / 20;
    sk_engine_set_timer(engine, &torrent->dial_timer, SK_TIMER_DIAL, at);
}

void sk_dial_pump(struct skep_engine *engine)
{
    for (uint32_t i = 0; i < engine->torrents_count; i++)
        if (engine->torrents[i]->state == SK_TORRENT_RUNNING &&
            engine->torrents[i]->book.queue.count)
            pump_torrent(engine->torrents[i]);
}
