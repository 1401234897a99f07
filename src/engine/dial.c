#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

#define FULL_NS (SK_SECOND_NS / 20) /* then there may be room again */

/*
 * The handshakes that each policy tries, in order: over TCP first, then over uTP. Where TCP is
 * silent for SK_ENGINE_HEAD_START_NS, uTP is tried beside it; the first that is through goes on.
 */
static const struct {
    uint8_t order[4];
    unsigned incoming; /* SK_MSE_... that incoming MSE may select */
    bool required;
} policies[] = {
    [SKEP_ENCRYPTION_PREFER] = {{SK_DIAL_MSE, SK_DIAL_PLAIN, SK_DIAL_UTP_MSE, SK_DIAL_UTP_PLAIN},
                                SK_MSE_RC4 | SK_MSE_PLAIN,
                                false},
    [SKEP_ENCRYPTION_ALLOW] = {{SK_DIAL_PLAIN, SK_DIAL_MSE, SK_DIAL_UTP_PLAIN, SK_DIAL_UTP_MSE},
                               SK_MSE_RC4 | SK_MSE_PLAIN,
                               false},
    [SKEP_ENCRYPTION_REQUIRE] = {{SK_DIAL_MSE, SK_DIAL_UTP_MSE}, SK_MSE_RC4, true},
    [SKEP_ENCRYPTION_OFF] = {{SK_DIAL_PLAIN, SK_DIAL_UTP_PLAIN}, 0, false},
};

unsigned sk_dial_incoming_mse(const struct skep_engine *engine, bool *ret_required)
{
    *ret_required = policies[engine->config.encryption].required;
    return policies[engine->config.encryption].incoming;
}

/* An address that only stands for a name (driver/proxy.h) is reached by a stream alone: what comes
 * back by UDP comes from another. */
static bool uses(const struct skep_engine *engine, const struct sk_endpoint *endpoint,
                 unsigned mode)
{
    unsigned transports =
        engine->config.transports ? engine->config.transports : SKEP_TRANSPORT_TCP;
    if (sk_endpoint_is_alias(endpoint))
        transports = SKEP_TRANSPORT_TCP;
    return transports & (mode & SK_DIAL_UTP ? SKEP_TRANSPORT_UTP : SKEP_TRANSPORT_TCP);
}

/* How to dial this address next, by one of these modes; 0 where all were tried. */
static enum sk_dial_mode next_mode(const struct skep_engine *engine,
                                   const struct sk_book_entry *entry, unsigned among)
{
    const uint8_t *order = policies[engine->config.encryption].order;
    for (unsigned i = 0; i < SK_ARRAY_LEN(policies[0].order) && order[i]; i++) {
        if (entry->punch == SK_PUNCH_CALLED && !(order[i] & SK_DIAL_UTP))
            continue; /* both call over uTP, at the same time */
        if (order[i] & among && uses(engine, &entry->endpoint, order[i]) &&
            (entry->mode_worked == order[i] ||
             (!entry->mode_worked && !(entry->modes_tried & order[i]))))
            return order[i];
    }
    return 0;
}

/* All handshakes over the transport of this mode. */
static unsigned transport_of(enum sk_dial_mode mode)
{
    return mode & SK_DIAL_UTP ? SK_DIAL_UTP : SK_DIAL_TCP;
}

/*
 * A hybrid torrent's peer may answer to the v1 hash of a magnet with the v2 hash, which we cannot
 * recognise before we have the metadata: then it is asked once more.
 */
static bool answered_other_hash(const struct skep_peer *peer, const char *reason)
{
    return peer->was_blind && peer->entry->dials <= SK_BOOK_BLIND_MAX &&
           strcmp(reason, sk_peer_reason_name(SK_PEER_REASON_WRONG_INFO_HASH)) == 0;
}

/* Another attempt: with the other handshake, or later where it was us who had no sockets left. */
static bool dial_again(const struct skep_peer *peer, const char *reason, bool handshake,
                       bool unreached)
{
    struct skep_engine *engine = peer->engine;
    struct sk_book_entry *entry = peer->entry;
    uint64_t at_ns = engine->now_ns;
    if (strcmp(reason, SK_DIAL_NO_SOCKETS) == 0) {
        if (entry->starved++ >= SK_BOOK_STARVED_MAX)
            return false;
        entry->dials--;
        entry->modes_tried &= (uint8_t)~peer->mode;
        at_ns += SK_SECOND_NS;
        /* The system gives no more than there are: settled ones have to make room. */
        uint32_t others = engine->peers_count - 1;
        engine->config.connections_max =
            SK_MIN(engine->config.connections_max, SK_MAX(others, SK_ENGINE_CONNECTIONS_MIN));
    } else if (answered_other_hash(peer, reason)) {
        entry->modes_tried &= (uint8_t)~peer->mode;
        at_ns += peer->torrent->metainfo ? 0 : SK_SECOND_NS;
    } else {
        if (unreached) /* another handshake does not help, another transport may */
            entry->modes_tried |= (uint8_t)transport_of(peer->mode);
        if (!(handshake || unreached) || entry->mode_worked ||
            !next_mode(engine, entry, SK_DIAL_TCP | SK_DIAL_UTP))
            return false;
        if (peer->mode & SK_DIAL_TCP)
            entry->reason = reason;
    }
    return sk_peer_book_retry(&peer->torrent->book, entry, at_ns) == 0;
}

static void tell_failed(struct skep_torrent *torrent, const struct sk_book_entry *entry,
                        const char *reason, bool final)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    sk_engine_emit(torrent->engine,
                   &(struct skep_event){.kind = SKEP_EVENT_FAILED,
                                        .torrent = torrent,
                                        .text = sk_endpoint_text(&entry->endpoint, text),
                                        .reason = reason,
                                        .final = final});
}

/* The address is not dialled any more. */
static void give_up(struct skep_torrent *torrent, struct sk_book_entry *entry, const char *reason)
{
    sk_peer_book_settle(&torrent->book, entry, SK_DIAL_DONE, reason);
    tell_failed(torrent, entry, reason, true);
}

/* All was tried. Another round, later? */
static bool back_off(struct skep_torrent *torrent, struct sk_book_entry *entry, bool hung_up)
{
    uint64_t now_ns = torrent->engine->now_ns;
    enum sk_dial_end end = hung_up ? SK_DIAL_END_HUNG_UP : SK_DIAL_END_UNREACHED;
    uint64_t wait_ns = sk_peer_book_back_off(&torrent->book, entry, end, false, now_ns);
    entry->mode_worked = 0; /* it may have become somebody else */
    return wait_ns != SK_TIME_NEVER && !sk_peer_book_retry(&torrent->book, entry, now_ns + wait_ns);
}

/* Of this round nothing is left to try. */
static void settle_failed(struct skep_torrent *torrent, struct sk_book_entry *entry,
                          const char *reason, bool again, bool hung_up)
{
    if (torrent->state == SK_TORRENT_RUNNING && again && back_off(torrent, entry, hung_up))
        tell_failed(torrent, entry, reason, false);
    else
        give_up(torrent, entry, reason);
}

/* ---- both transports at once ---- */

void sk_dial_end_race(struct skep_peer *peer)
{
    peer->rival->rival = NULL;
    peer->rival = NULL;
    peer->engine->races--;
}

void sk_dial_won(struct skep_peer *peer)
{
    struct skep_peer *rival = peer->rival;
    if (!rival)
        return;
    /* If nothing comes of this one either, the other may still be tried. */
    peer->entry->modes_tried &= (uint8_t)~rival->mode;
    if (sk_conn_owns_entry(rival))
        peer->entry->owner = peer;
    sk_dial_end_race(peer);
    sk_conn_close(rival, "local", false);
}

/* One of two failed, and all hangs on the other. */
static void leave_race(struct skep_peer *peer, const char *reason)
{
    struct sk_book_entry *entry = peer->entry;
    if (sk_conn_owns_entry(peer))
        entry->owner = peer->rival;
    if (strcmp(reason, SK_DIAL_NO_SOCKETS) == 0)
        entry->modes_tried &= (uint8_t)~peer->mode;
    else
        entry->modes_tried |= (uint8_t)transport_of(peer->mode);
    if (peer->mode & SK_DIAL_TCP)
        entry->reason = reason;
    sk_dial_end_race(peer);
    sk_conn_close(peer, reason, false);
}

/* One attempt; NULL without memory. */
static struct skep_peer *attempt(struct skep_torrent *torrent, struct sk_book_entry *entry,
                                 enum sk_dial_mode mode)
{
    struct skep_engine *engine = torrent->engine;
    struct skep_peer *peer = sk_conn_new(engine, &entry->endpoint, true);
    if (!peer)
        return NULL;
    peer->torrent = torrent;
    peer->entry = entry;
    peer->mode = mode;
    peer->stage = SK_STAGE_CONNECTING;
    entry->modes_tried |= (uint8_t)mode;
    engine->half_open++;
    sk_engine_set_timer(engine, &peer->timer, SK_TIMER_PEER, engine->now_ns + SK_ENGINE_CONNECT_NS);
    if (mode & SK_DIAL_UTP)
        sk_streams_connect(peer);
    else
        sk_engine_push(engine, &(struct sk_out){.kind = SK_OUT_CONNECT,
                                                .conn = &peer->conn,
                                                .endpoint = entry->endpoint});
    return peer;
}

static void tell_dialed(const struct skep_peer *peer)
{
    sk_engine_emit(peer->engine,
                   &(struct skep_event){.kind = SKEP_EVENT_DIALED,
                                        .torrent = peer->torrent,
                                        .text = peer->address,
                                        .flags = (peer->mode & SK_DIAL_ENCRYPTED) != 0});
}

/* TCP had its head start and did not answer yet: uTP is tried beside it (RFC 8305). */
static void start_race(struct skep_peer *peer)
{
    struct skep_engine *engine = peer->engine;
    struct sk_book_entry *entry = peer->entry;
    sk_engine_set_timer(engine, &peer->timer, SK_TIMER_PEER, peer->dial_ns + SK_ENGINE_CONNECT_NS);
    enum sk_dial_mode mode = next_mode(engine, entry, SK_DIAL_UTP);
    bool wanted = mode && sk_conn_owns_entry(peer);
    struct skep_peer *rival = wanted ? attempt(peer->torrent, entry, mode) : NULL;
    if (!rival)
        return;
    peer->rival = rival;
    rival->rival = peer;
    engine->races++;
    tell_dialed(rival);
}

void sk_dial_on_timer(struct skep_peer *peer)
{
    bool no_stream = peer->is_stream && !peer->stream;
    if (no_stream || peer->engine->now_ns >= peer->dial_ns + SK_ENGINE_CONNECT_NS)
        sk_dial_failed(peer, "connect-timeout", false);
    else
        start_race(peer);
}

/* ---- one dial ---- */

void sk_dial_failed(struct skep_peer *peer, const char *reason, bool handshake)
{
    if (peer->rival) {
        leave_race(peer, reason);
        return;
    }
    struct skep_engine *engine = peer->engine;
    struct skep_torrent *torrent = peer->torrent;
    struct sk_book_entry *entry = peer->entry;
    bool mine = entry && entry->owner == peer, unreached = peer->stage == SK_STAGE_CONNECTING;
    sk_conn_close(peer, reason, false);
    if (!mine)
        return;
    if (entry->punch == SK_PUNCH_CALLED)
        entry->punch = SK_PUNCH_DONE;
    if (torrent->state == SK_TORRENT_RUNNING && dial_again(peer, reason, handshake, unreached))
        return;
    if (unreached && peer->mode & SK_DIAL_UTP && entry->reason)
        reason = entry->reason; /* what TCP said tells more than a silence over uTP */
    if (unreached && torrent->state == SK_TORRENT_RUNNING && sk_punch_ask(torrent, entry)) {
        entry->reason = reason;
        (void)sk_peer_book_retry(&torrent->book, entry, engine->now_ns + SK_PUNCH_WAIT_NS);
        return;
    }
    bool hung_up = strcmp(reason, sk_peer_reason_name(SK_PEER_REASON_EOF_EARLY)) == 0;
    if (hung_up && sk_identity_explains(peer))
        return;
    /* Only an encrypted stream was ever wanted where PEX says so and we could not offer it. */
    if (handshake && engine->config.encryption == SKEP_ENCRYPTION_OFF &&
        (entry->pex_flags & SK_PEX_ENCRYPTION))
        reason = sk_peer_reason_name(SK_PEER_REASON_ENCRYPTED_ONLY);
    settle_failed(torrent, entry, reason, handshake || unreached, hung_up);
}

static void dial(struct skep_torrent *torrent, struct sk_book_entry *entry)
{
    struct skep_engine *engine = torrent->engine;
    if (sk_peer_book_is_banned(&torrent->book, &entry->endpoint)) {
        give_up(torrent, entry, "banned");
        return;
    }
    if (entry->punch == SK_PUNCH_ASKED) { /* all was tried, and no relay has introduced us */
        settle_failed(torrent, entry, entry->reason, true, false);
        return;
    }
    enum sk_dial_mode mode = next_mode(engine, entry, SK_DIAL_TCP | SK_DIAL_UTP);
    struct skep_peer *peer = mode ? attempt(torrent, entry, mode) : NULL;
    if (!peer) {
        give_up(torrent, entry, mode ? "out of memory" : "closed");
        return;
    }
    entry->owner = peer;
    if (mode & SK_DIAL_TCP && next_mode(engine, entry, SK_DIAL_UTP))
        sk_engine_set_timer(engine, &peer->timer, SK_TIMER_PEER,
                            engine->now_ns + SK_ENGINE_HEAD_START_NS);
    tell_dialed(peer);
}

/*
 * Public addresses are dialled at a bounded rate; on one's own machine or network nobody minds.
 * Returns how long to wait for the next token, 0 where one was taken.
 */
static uint64_t take_token(struct skep_engine *engine, const struct sk_endpoint *endpoint)
{
    if (sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC)
        return 0;
    double rate = engine->config.connect_rate;
    double elapsed = (double)(engine->now_ns - engine->dial_tokens_ns) / 1e9;
    engine->dial_tokens = SK_MIN(engine->dial_tokens + elapsed * rate, rate);
    engine->dial_tokens_ns = engine->now_ns;
    if (engine->dial_tokens < 1)
        return (uint64_t)((1 - engine->dial_tokens) / rate * 1e9) + 1;
    engine->dial_tokens -= 1;
    return 0;
}

uint32_t sk_dial_places(const struct skep_engine *engine)
{
    uint32_t places = engine->peers_count - engine->races;
    for (uint32_t i = 0; i < engine->torrents_count; i++)
        if (engine->torrents[i]->state == SK_TORRENT_RUNNING)
            places += (uint32_t)engine->torrents[i]->book.renewals.count;
    return places;
}

uint32_t sk_dial_half(const struct skep_engine *engine)
{
    return SK_MAX(engine->config.connections_max / 2, 1u);
}

/* Who is renewed has its place still. */
static bool has_room(const struct skep_engine *engine, const struct sk_book_entry *entry)
{
    return engine->half_open - engine->races <
               SK_MIN(sk_dial_half(engine), (uint32_t)SK_ENGINE_HALF_OPEN_MAX) &&
           (entry->renewed || sk_dial_places(engine) < engine->config.connections_max);
}

static void pump_torrent(struct skep_torrent *torrent)
{
    struct skep_engine *engine = torrent->engine;
    struct sk_peer_book *book = &torrent->book;
    uint64_t wait = 0;
    /* A bounded burst a call, so that a book of thousands does not hold up what arrives. */
    for (int burst = 0; burst < 64; burst++) {
        if (torrent->state != SK_TORRENT_RUNNING)
            return; /* a hook stopped it */
        const struct sk_book_entry *due = sk_peer_book_due(book, engine->now_ns);
        if (!due)
            break;
        wait = has_room(engine, due) ? take_token(engine, &due->endpoint) : FULL_NS;
        if (wait)
            break;
        dial(torrent, sk_peer_book_next(book, engine->now_ns));
    }
    uint64_t at = sk_peer_book_deadline(book);
    if (at <= engine->now_ns)
        at = engine->now_ns + wait;
    sk_engine_set_timer(engine, &torrent->dial_timer, SK_TIMER_DIAL, at);
}

void sk_dial_pump(struct skep_engine *engine)
{
    for (uint32_t i = 0; i < engine->torrents_count; i++)
        if (engine->torrents[i]->state == SK_TORRENT_RUNNING && engine->torrents[i]->book.waiting)
            pump_torrent(engine->torrents[i]);
}
