#include "engine/internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "wire/client_name.h"

#include <stdio.h>
#include <string.h>

#define READ_LEAST 2048 /* bytes of one read, however many connections share a rate limit */

/* ---- life ---- */

struct skep_peer *sk_conn_new(struct skep_engine *engine, const struct sk_endpoint *endpoint,
                              bool outgoing)
{
    struct skep_peer *peer = sk_mem_calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->conn.endpoint = *endpoint;
    peer->conn.outgoing = outgoing;
    peer->engine = engine;
    peer->dial_ns = engine->now_ns;
    sk_endpoint_text(endpoint, peer->address);
    peer->next = engine->peers;
    if (peer->next)
        peer->next->prev = peer;
    engine->peers = peer;
    engine->peers_count++;
    engine->incoming_count += !outgoing;
    return peer;
}

void sk_engine_conn_gone(struct skep_engine *engine, struct sk_conn *conn)
{
    struct skep_peer *peer = (struct skep_peer *)conn;
    sk_heap_remove(&engine->timers, &peer->timer.base);
    if (peer->prev)
        peer->prev->next = peer->next;
    else
        engine->peers = peer->next;
    if (peer->next)
        peer->next->prev = peer->prev;
    engine->peers_count--;
    engine->incoming_count -= !conn->outgoing;
    engine->closes_lost -= peer->close_lost;
    if (conn->outgoing && peer->stage == SK_STAGE_CONNECTING)
        engine->half_open--;
    sk_give_peer_gone(peer);
    for (int i = 0; i < engine->slots_count; i++)
        if (peer->slots[i] && engine->slot_free[i])
            engine->slot_free[i](peer->slots[i]);
    sk_peer_free(peer->session);
    sk_mem_free(peer->allowed_fast);
    sk_mem_free(peer->client);
    sk_mem_free(peer);
}

/* The book entry is this connection's only while it says so: another one may have taken it over. */
bool sk_conn_owns_entry(const struct skep_peer *peer)
{
    return peer->entry && peer->entry->owner == peer;
}

/* Neither has anything for the other. */
static bool both_seed(const struct skep_peer *peer)
{
    const struct sk_bitfield *have = &sk_peer_view(peer->session)->have;
    return sk_choking_seeds(peer->torrent) && have->count && sk_bitfield_full(have);
}

/* They ended it: dialled again, unless neither side has anything to gain. */
static bool redial(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    struct sk_book_entry *entry = peer->entry;
    uint64_t now_ns = peer->engine->now_ns;
    bool dialable = peer->conn.outgoing || entry->sources != SK_SOURCE_INCOMING;
    if (!dialable || torrent->state != SK_TORRENT_RUNNING || both_seed(peer))
        return false;
    const struct sk_peer_view *view = sk_peer_view(peer->session);
    bool useful = now_ns - peer->opened_ns >= SK_ENGINE_USEFUL_NS || view->payload_in ||
                  view->payload_out || peer->metadata_quota.given;
    uint64_t wait_ns =
        sk_peer_book_back_off(&torrent->book, entry, SK_DIAL_END_LOST, useful, now_ns);
    return wait_ns != SK_TIME_NEVER && !sk_peer_book_retry(&torrent->book, entry, now_ns + wait_ns);
}

static void settle_closed(struct skep_peer *peer, const char *reason, bool theirs)
{
    if (theirs && redial(peer))
        sk_identity_left(peer);
    else if (peer->renew_ns)
        (void)sk_peer_book_renew(&peer->torrent->book, peer->entry, peer->renew_ns);
    else
        sk_peer_book_settle(&peer->torrent->book, peer->entry, SK_DIAL_DONE, reason);
}

static void forget_open(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    const uint8_t *id = sk_peer_view(peer->session)->peer_id;
    if (sk_map_get(&torrent->by_peer_id, id) == peer)
        sk_map_remove(&torrent->by_peer_id, id);
    torrent->open--;
    sk_metadata_peer_gone(peer);
    sk_layers_peer_gone(peer);
    sk_choking_closed(peer);
    sk_super_give_closed(peer);
    sk_pex_give_closed(peer);
}

/* A closing that found no memory to be told by is found by sk_engine_next_output(). */
static void push_close(struct skep_peer *peer)
{
    struct skep_engine *engine = peer->engine;
    struct sk_out out = {.kind = SK_OUT_CLOSE, .conn = &peer->conn};
    peer->close_lost = sk_engine_push(engine, &out) != 0;
    engine->closes_lost += peer->close_lost;
}

/* An incoming peer that was in the book did not open after all. */
static void tell_incoming_failed(struct skep_peer *peer, const char *reason)
{
    sk_peer_book_settle(&peer->torrent->book, peer->entry, SK_DIAL_DONE, reason);
    sk_engine_emit(peer->engine, &(struct skep_event){.kind = SKEP_EVENT_FAILED,
                                                      .torrent = peer->torrent,
                                                      .text = peer->address,
                                                      .reason = reason,
                                                      .final = true});
}

void sk_conn_close(struct skep_peer *peer, const char *reason, bool theirs)
{
    struct skep_engine *engine = peer->engine;
    if (peer->stage == SK_STAGE_CLOSING)
        return;
    if (peer->conn.outgoing && peer->stage == SK_STAGE_CONNECTING)
        engine->half_open--;
    peer->stage = SK_STAGE_CLOSING;
    if (peer->rival) {
        struct skep_peer *rival = peer->rival;
        sk_dial_end_race(peer);
        sk_conn_close(rival, reason, false);
    }
    sk_heap_remove(&engine->timers, &peer->timer.base);
    if (peer->paused)
        engine->paused_count--;
    if (peer->opened) {
        forget_open(peer);
        if (sk_conn_owns_entry(peer))
            settle_closed(peer, reason, theirs);
        bool final = !peer->entry || peer->entry->state != SK_DIAL_WAITING;
        sk_engine_emit(engine, &(struct skep_event){.kind = SKEP_EVENT_CLOSED,
                                                    .torrent = peer->torrent,
                                                    .peer = peer,
                                                    .text = peer->address,
                                                    .reason = reason,
                                                    .final = final});
    } else if (sk_conn_owns_entry(peer)) {
        peer->entry->owner = NULL;
        if (!peer->conn.outgoing)
            tell_incoming_failed(peer, reason);
    }
    push_close(peer);
}

/* ---- keeping outputs and deadlines in step ---- */

void sk_conn_set_timer(struct skep_peer *peer)
{
    if (peer->stage != SK_STAGE_TALKING)
        return;
    uint64_t at = sk_peer_deadline(peer->session);
    /* Deadlines mostly move away; the timer then wakes once too early and is set again. */
    if (!peer->timer.base.slot || at < peer->timer.base.at_ns)
        sk_engine_set_timer(peer->engine, &peer->timer, SK_TIMER_PEER, at);
}

void sk_conn_touch(struct skep_peer *peer)
{
    if (peer->stage != SK_STAGE_TALKING)
        return;
    if (!peer->send_queued && sk_peer_output(peer->session).n) {
        struct sk_out out = {.kind = SK_OUT_SEND, .conn = &peer->conn};
        peer->send_queued = sk_engine_push(peer->engine, &out) == 0;
    }
    sk_conn_set_timer(peer);
}

/* ---- what a session says ---- */

static void emit_peer(struct skep_peer *peer, enum skep_event_kind kind)
{
    sk_engine_emit(peer->engine,
                   &(struct skep_event){.kind = kind, .torrent = peer->torrent, .peer = peer});
}

static struct skep_message public_message(const struct sk_msg *msg)
{
    struct skep_message message = {
        .kind = (enum skep_message_kind)msg->kind,
        .index = msg->index,
        .begin = msg->begin,
        .length = msg->length,
        .data = msg->data.p,
        .size = msg->data.n,
    };
    if (msg->kind == SK_MSG_PORT)
        message.index = msg->port;
    if (msg->kind == SK_MSG_HASHES) {
        message.data = msg->hashes.p;
        message.size = msg->hashes.n;
    }
    return message;
}

static void set_client(struct skep_peer *peer)
{
    const struct sk_peer_view *view = sk_peer_view(peer->session);
    char name[SK_CLIENT_NAME_MAX];
    sk_client_name(view->peer_id, sk_bytes_text(view->client_v), name);
    char *copy = sk_mem_strdup(name);
    if (!copy)
        return;
    sk_mem_free(peer->client);
    peer->client = copy;
}

/* One who came in is entered into the book when both handshakes are through: who shows then to be
 * ourselves, or hangs up, is no peer. */
static bool enter_book(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    const struct sk_endpoint *from = &peer->conn.endpoint;
    bool is_new;
    if (sk_peer_book_hear(&torrent->book, from, SK_SOURCE_INCOMING, sk_endpoint_scope(from),
                          peer->engine->now_ns, &peer->entry, &is_new)) {
        sk_conn_close(peer, "out of memory", false);
        return false;
    }
    if (!peer->entry->owner)
        peer->entry->owner = peer;
    sk_engine_emit(peer->engine, &(struct skep_event){.kind = SKEP_EVENT_HEARD,
                                                      .torrent = torrent,
                                                      .text = peer->address,
                                                      .source = SKEP_SOURCE_INCOMING,
                                                      .is_new = is_new});
    return peer->stage == SK_STAGE_TALKING; /* a hook may have ended it */
}

/*
 * Up to where may be asked for. Of a v2 torrent some (libtorrent) take every piece for whole, the
 * last one too, and want zeros for what is behind a file's end.
 */
static uint64_t asked_span(const struct sk_metainfo *meta)
{
    return meta->has_v1 ? meta->span : (uint64_t)meta->pieces * meta->piece_size;
}

static int tell_pieces(struct skep_peer *peer)
{
    const struct sk_metainfo *meta = peer->torrent->metainfo;
    return sk_peer_set_pieces(peer->session, meta->pieces, meta->piece_size, asked_span(meta),
                              peer->torrent->has_v2);
}

/*
 * The metadata may have come while this one was in its handshake. Not before it is open: a
 * handshake that begins to offer v2 half-way gets a v2 hash for an answer, which it does not know
 * to expect.
 */
static bool knows_pieces(const struct skep_peer *peer)
{
    return !peer->torrent->metainfo || sk_peer_view(peer->session)->have.count;
}

static void on_open(struct skep_peer *peer)
{
    struct skep_torrent *torrent = peer->torrent;
    if (peer->conn.outgoing)
        peer->entry->mode_worked = (uint8_t)peer->mode;
    else if (!enter_book(peer))
        return;
    if (!sk_identity_admit(peer))
        return;
    /* A dial to the same address that is under way gives way. */
    peer->entry->owner = peer;
    const uint8_t *id = sk_peer_view(peer->session)->peer_id;
    if ((!knows_pieces(peer) && tell_pieces(peer)) || sk_metadata_give_tell(peer) ||
        sk_map_put(&torrent->by_peer_id, id, peer)) {
        if (peer->conn.outgoing)
            sk_dial_failed(peer, "out of memory", false);
        else
            sk_conn_close(peer, "out of memory", false);
        return;
    }
    sk_peer_book_settle(&torrent->book, peer->entry, SK_DIAL_OPEN, NULL);
    peer->opened = true;
    peer->opened_ns = peer->engine->now_ns;
    torrent->open++;
    set_client(peer);
    sk_give_opened(peer);
    sk_dht_torrent_opened(peer);
    emit_peer(peer, SKEP_EVENT_OPEN);
    sk_layers_peer(peer);
}

static void on_allowed_fast(struct skep_peer *peer, uint32_t piece)
{
    if (peer->allowed_fast_count == SK_ENGINE_ALLOWED_FAST_MAX)
        return;
    uint32_t *list = sk_mem_realloc(peer->allowed_fast, peer->allowed_fast_count + 1, sizeof *list);
    if (!list)
        return;
    list[peer->allowed_fast_count++] = piece;
    peer->allowed_fast = list;
}

/* Whether the engine itself needs to look at this message, beyond the hooks. */
static void on_message(struct skep_peer *peer, const struct sk_msg *msg)
{
    switch (msg->kind) {
    case SK_MSG_ALLOWED_FAST:
        on_allowed_fast(peer, msg->index);
        break;
    case SK_MSG_BITFIELD:
    case SK_MSG_HAVE_ALL:
    case SK_MSG_HAVE_NONE:
        if (peer->torrent->metainfo)
            emit_peer(peer, SKEP_EVENT_HAVE_SET);
        if (peer->stage == SK_STAGE_TALKING) {
            sk_fast_give_told(peer);
            sk_super_give_told(peer);
        }
        sk_layers_peer(peer);
        break;
    case SK_MSG_HAVE:
        sk_super_give_have(peer, msg->index);
        break;
    case SK_MSG_HASHES:
    case SK_MSG_HASH_REJECT:
        sk_layers_message(peer, msg);
        sk_leaves_message(peer, msg);
        break;
    case SK_MSG_INTERESTED:
    case SK_MSG_NOT_INTERESTED:
    case SK_MSG_REQUEST:
    case SK_MSG_CANCEL:
    case SK_MSG_HASH_REQUEST:
        sk_give_message(peer, msg);
        break;
    case SK_MSG_PORT:
        sk_dht_torrent_port(peer, msg->port);
        break;
    default:
        break;
    }
    if (peer->stage != SK_STAGE_TALKING || !sk_engine_hooked(peer->engine, SKEP_EVENT_MESSAGE) ||
        (unsigned)msg->kind >= SKEP_MESSAGE_KIND_COUNT)
        return;
    sk_engine_emit(peer->engine, &(struct skep_event){.kind = SKEP_EVENT_MESSAGE,
                                                      .torrent = peer->torrent,
                                                      .peer = peer,
                                                      .message = public_message(msg)});
}

static void on_special(struct skep_peer *peer, const struct sk_peer_event *event,
                       enum skep_event_kind kind, enum skep_message_kind message_kind)
{
    struct skep_message message = public_message(&event->msg);
    if (message_kind != SKEP_MESSAGE_KIND_COUNT)
        message.kind = message_kind;
    if (event->kind == SK_PEER_EVENT_UPLOAD_ONLY)
        message.index = (uint32_t)event->upload_only;
    sk_engine_emit(peer->engine, &(struct skep_event){.kind = kind,
                                                      .torrent = peer->torrent,
                                                      .peer = peer,
                                                      .message = message,
                                                      .rtt_ns = event->rtt_ns});
}

static void on_extended(struct skep_peer *peer, const struct sk_peer_event *event)
{
    set_client(peer);
    sk_identity_listens(peer, event->extended.port);
    if (peer->stage != SK_STAGE_TALKING)
        return; /* a hook ended it */
    emit_peer(peer, SKEP_EVENT_CLIENT);
    if (peer->stage == SK_STAGE_TALKING)
        sk_metadata_peer(peer);
}

/* We answer with the hash that we were called by, v1 or v2. */
static int answer_config(struct skep_peer *peer, const struct sk_handshake *hello,
                         struct sk_peer_config *ret_config)
{
    int err = sk_conn_session_config(peer, ret_config);
    if (!err)
        memcpy(ret_config->info_hash, hello->info_hash, sizeof ret_config->info_hash);
    return err;
}

/* An incoming handshake named its torrent. */
static void on_hello(struct skep_peer *peer, const struct sk_handshake *hello)
{
    struct skep_engine *engine = peer->engine;
    struct skep_torrent *torrent = sk_torrent_find(engine, hello->info_hash);
    if (!torrent || torrent->state != SK_TORRENT_RUNNING) {
        sk_conn_close(peer, "wrong-info-hash", false);
        return;
    }
    if (sk_peer_book_is_banned(&torrent->book, &peer->conn.endpoint)) {
        sk_conn_close(peer, "banned", false);
        return;
    }
    peer->torrent = torrent;
    struct sk_peer_config config;
    if (answer_config(peer, hello, &config) || sk_peer_accept(peer->session, &config))
        sk_conn_close(peer, "out of memory", false);
}

static const char *closed_reason(const struct skep_peer *peer, const struct sk_peer_event *event)
{
    if (event->reason == SK_PEER_REASON_PROTOCOL)
        return sk_peer_violation_text(event->violation);
    if (event->reason == SK_PEER_REASON_EOF && peer->was_reset)
        return "reset";
    return sk_peer_reason_name(event->reason);
}

static bool may_be_same_host(const struct sk_endpoint *a, const struct sk_endpoint *b)
{
    return sk_endpoint_same_ip(a, b) ||
           (sk_endpoint_scope(a) == SK_SCOPE_LOOPBACK && sk_endpoint_scope(b) == SK_SCOPE_LOOPBACK);
}

/* We were called by ourselves and hang up without a word: the one who dials should not take it for
 * a peer that hung up. */
static void tell_self(const struct skep_peer *incoming)
{
    struct skep_engine *engine = incoming->engine;
    for (struct skep_peer *peer = engine->peers; peer; peer = peer->next)
        if (peer->conn.outgoing && peer->stage == SK_STAGE_TALKING && !peer->opened &&
            peer->conn.endpoint.port == engine->config.port &&
            may_be_same_host(&peer->conn.endpoint, &incoming->conn.endpoint))
            sk_dial_failed(peer, sk_peer_reason_name(SK_PEER_REASON_SELF), false);
}

static void on_closed(struct skep_peer *peer, const struct sk_peer_event *event)
{
    static const uint8_t handshake_reasons[] = {
        [SK_PEER_REASON_EOF_EARLY] = 1, [SK_PEER_REASON_HANDSHAKE_TIMEOUT] = 1,
        [SK_PEER_REASON_MSE] = 1,       [SK_PEER_REASON_ENCRYPTED_ONLY] = 1,
        [SK_PEER_REASON_EOF] = 1,       [SK_PEER_REASON_PROTOCOL] = 1,
    };
    const char *reason = closed_reason(peer, event);
    if (!peer->conn.outgoing && event->reason == SK_PEER_REASON_SELF)
        tell_self(peer);
    if (peer->opened || !peer->conn.outgoing) {
        bool theirs = event->reason == SK_PEER_REASON_EOF;
        sk_conn_close(peer, reason, theirs);
        return;
    }
    bool handshake =
        (size_t)event->reason < SK_ARRAY_LEN(handshake_reasons) && handshake_reasons[event->reason];
    sk_dial_failed(peer, reason, handshake);
}

static void on_event(struct skep_peer *peer, const struct sk_peer_event *event)
{
    switch (event->kind) {
    case SK_PEER_EVENT_HELLO:
        on_hello(peer, &event->hello);
        break;
    case SK_PEER_EVENT_OPEN:
        on_open(peer);
        break;
    case SK_PEER_EVENT_MESSAGE:
        on_message(peer, &event->msg);
        break;
    case SK_PEER_EVENT_EXTENDED:
        on_extended(peer, event);
        break;
    case SK_PEER_EVENT_METADATA:
        sk_metadata_message(peer, &event->metadata);
        break;
    case SK_PEER_EVENT_PEX:
        sk_discovery_pex(peer, event->pex, event->pex_count);
        break;
    case SK_PEER_EVENT_HOLEPUNCH:
        sk_punch_message(peer, &event->holepunch);
        break;
    case SK_PEER_EVENT_DONT_HAVE:
        on_special(peer, event, SKEP_EVENT_MESSAGE, SKEP_MESSAGE_DONT_HAVE);
        break;
    case SK_PEER_EVENT_UPLOAD_ONLY:
        on_special(peer, event, SKEP_EVENT_MESSAGE, SKEP_MESSAGE_UPLOAD_ONLY);
        break;
    case SK_PEER_EVENT_BLOCK:
        peer->torrent->taken += event->msg.data.n;
        sk_choking_gave(peer, event->msg.data.n);
        on_special(peer, event, SKEP_EVENT_BLOCK, SKEP_MESSAGE_KIND_COUNT);
        break;
    case SK_PEER_EVENT_REJECTED:
        on_special(peer, event, SKEP_EVENT_REJECTED, SKEP_MESSAGE_KIND_COUNT);
        break;
    case SK_PEER_EVENT_CLOSED:
        on_closed(peer, event);
        break;
    }
}

static void drain(struct skep_peer *peer)
{
    struct sk_peer_event event;
    while (peer->stage == SK_STAGE_TALKING && sk_peer_next(peer->session, &event))
        on_event(peer, &event);
    if (peer->stage == SK_STAGE_TALKING && peer->opened) {
        sk_give_pump(peer);
        uint64_t payload = sk_peer_view(peer->session)->payload_in;
        if (payload != peer->payload_seen) {
            peer->payload_seen = payload;
            emit_peer(peer, SKEP_EVENT_ARRIVAL);
        }
    }
    sk_conn_touch(peer);
}

void sk_conn_on_timer(struct skep_peer *peer)
{
    if (peer->stage == SK_STAGE_CONNECTING) {
        sk_dial_on_timer(peer);
        return;
    }
    if (peer->stage != SK_STAGE_TALKING)
        return;
    sk_peer_tick(peer->session, peer->engine->now_ns);
    drain(peer);
}

/* ---- what the world says ---- */

int sk_conn_session_config(const struct skep_peer *peer, struct sk_peer_config *ret_config)
{
    struct skep_engine *engine = peer->engine;
    const struct skep_torrent *torrent = peer->torrent;
    bool required = false;
    unsigned incoming = sk_dial_incoming_mse(engine, &required);
    *ret_config = (struct sk_peer_config){
        .requests_taken = SK_ENGINE_GIVE_QUEUE_TOLD,
        .listen_port = engine->config.no_listen ? 0 : engine->config.port,
        .outgoing = peer->conn.outgoing,
        .mse_required = required,
        .mse = incoming,
        .client = "skep " SKEP_VERSION,
        .quiet = true, /* see sk_metadata_give_tell() */
        .seed = sk_prng_u64(&engine->prng),
    };
    if (peer->conn.outgoing)
        ret_config->mse = !(peer->mode & SK_DIAL_ENCRYPTED) ? 0
                          : required                        ? SK_MSE_RC4
                                                            : SK_MSE_RC4 | SK_MSE_PLAIN;
    memcpy(ret_config->peer_id, engine->peer_id, 20);
    if (!torrent)
        return 0;
    memcpy(ret_config->info_hash, torrent->info_hash, 20);
    ret_config->has_v2 = torrent->has_v2;
    ret_config->dht = sk_dht_torrent_tells(torrent);
    ret_config->no_pex = !sk_discovery_pex_allowed(torrent);
    ret_config->holepunch = sk_punch_allowed(torrent);
    if (torrent->has_v1 && torrent->has_v2)
        memcpy(ret_config->info_hash_other, torrent->hash_v2, 20);
    if (torrent->metainfo) {
        ret_config->pieces = torrent->metainfo->pieces;
        ret_config->piece_size = torrent->metainfo->piece_size;
        ret_config->span = asked_span(torrent->metainfo);
    }
    return 0;
}

static int start_session(struct skep_peer *peer)
{
    struct sk_peer_config config;
    sk_conn_session_config(peer, &config);
    peer->was_blind = peer->torrent && !peer->torrent->metainfo;
    int err = sk_peer_new(&config, peer->engine->now_ns, &peer->session);
    if (err)
        return err;
    if (!peer->conn.outgoing)
        sk_peer_set_skeys(peer->session, peer->engine->skeys, peer->engine->skeys_count);
    peer->stage = SK_STAGE_TALKING;
    sk_conn_touch(peer);
    return 0;
}

void sk_engine_conn_connected(struct skep_engine *engine, struct sk_conn *conn, uint64_t now_ns)
{
    struct skep_peer *peer = (struct skep_peer *)conn;
    engine->now_ns = now_ns;
    if (peer->stage != SK_STAGE_CONNECTING)
        return;
    engine->half_open--;
    peer->stage = SK_STAGE_TALKING;
    peer->connect_ns = SK_MAX(now_ns - peer->dial_ns, UINT64_C(1));
    sk_dial_won(peer);
    sk_heap_remove(&engine->timers, &peer->timer.base);
    if (start_session(peer))
        sk_dial_failed(peer, "out of memory", false);
    sk_dial_pump(engine);
}

void sk_engine_conn_failed(struct skep_engine *engine, struct sk_conn *conn,
                           enum sk_conn_failure failure, uint64_t now_ns)
{
    static const char *const reasons[] = {
        [SK_CONN_REFUSED] = "refused",         [SK_CONN_UNREACHABLE] = "unreachable",
        [SK_CONN_TIMEOUT] = "connect-timeout", [SK_CONN_PROXY] = "proxy",
        [SK_CONN_LOCAL] = SK_DIAL_NO_SOCKETS,
    };
    struct skep_peer *peer = (struct skep_peer *)conn;
    engine->now_ns = now_ns;
    if (peer->stage == SK_STAGE_CLOSING)
        return;
    sk_dial_failed(peer, reasons[failure], false);
    sk_dial_pump(engine);
}

struct sk_conn *sk_engine_conn_accepted(struct skep_engine *engine,
                                        const struct sk_endpoint *endpoint, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    if (engine->incoming_count >= sk_dial_half(engine) ||
        sk_dial_places(engine) >= engine->config.connections_max)
        return NULL;
    struct skep_peer *peer = sk_conn_new(engine, endpoint, false);
    if (!peer)
        return NULL;
    if (start_session(peer)) {
        peer->stage = SK_STAGE_CLOSING;
        sk_engine_conn_gone(engine, &peer->conn);
        return NULL;
    }
    return &peer->conn;
}

static void wait_for_tokens(struct skep_engine *engine)
{
    sk_engine_set_timer(engine, &engine->read_timer, SK_TIMER_READ,
                        sk_bucket_opens_ns(&engine->read_bucket));
}

bool sk_conn_charge(struct skep_engine *engine, size_t n)
{
    (void)sk_bucket_open(&engine->read_bucket, engine->now_ns);
    sk_bucket_take(&engine->read_bucket, (double)n);
    bool over = engine->read_bucket.tokens < 0;
    if (over && !engine->read_timer.base.slot)
        wait_for_tokens(engine);
    return over;
}

/* Over the limit, the connection is not read for a while. */
static void charge(struct skep_peer *peer, size_t n)
{
    struct skep_engine *engine = peer->engine;
    if (!sk_conn_charge(engine, n) || peer->paused || peer->stage != SK_STAGE_TALKING)
        return;
    struct sk_out out = {.kind = SK_OUT_READ_PAUSE, .conn = &peer->conn};
    if (sk_engine_push(engine, &out))
        return;
    peer->paused = true;
    engine->paused_count++;
}

size_t sk_engine_read_max(const struct skep_engine *engine)
{
    double burst = engine->read_bucket.rate * SK_BUCKET_BURST_S;
    double each = burst / SK_MAX(engine->peers_count, 1u);
    return engine->read_bucket.rate > 0 ? (size_t)SK_MAX(each, (double)READ_LEAST) : SIZE_MAX;
}

void sk_conn_pause_all_over(struct skep_engine *engine)
{
    if (!sk_bucket_open(&engine->read_bucket, engine->now_ns)) {
        wait_for_tokens(engine); /* others were charged after the timer was set */
        return;
    }
    sk_web_resume_all(engine);
    for (struct skep_peer *peer = engine->peers; peer && engine->paused_count; peer = peer->next) {
        if (!peer->paused || peer->stage != SK_STAGE_TALKING)
            continue;
        peer->paused = false;
        engine->paused_count--;
        sk_engine_push(engine, &(struct sk_out){.kind = SK_OUT_READ_RESUME, .conn = &peer->conn});
    }
}

void sk_engine_conn_input(struct skep_engine *engine, struct sk_conn *conn, uint8_t *bytes,
                          size_t n, uint64_t now_ns)
{
    struct skep_peer *peer = (struct skep_peer *)conn;
    engine->now_ns = now_ns;
    if (peer->stage != SK_STAGE_TALKING)
        return;
    sk_peer_input(peer->session, bytes, n, now_ns);
    drain(peer);
    charge(peer, n);
    sk_dial_pump(engine);
}

void sk_engine_conn_eof(struct skep_engine *engine, struct sk_conn *conn, bool reset,
                        uint64_t now_ns)
{
    struct skep_peer *peer = (struct skep_peer *)conn;
    engine->now_ns = now_ns;
    if (peer->stage == SK_STAGE_CONNECTING) {
        sk_dial_failed(peer, "refused", false);
    } else if (peer->stage == SK_STAGE_TALKING) {
        peer->was_reset = reset;
        sk_peer_input_eof(peer->session, now_ns); /* its last event closes the connection */
        drain(peer);
    }
    sk_dial_pump(engine);
}

struct sk_bytes sk_engine_conn_output(const struct sk_conn *conn)
{
    const struct skep_peer *peer = (const struct skep_peer *)conn;
    return peer->session ? sk_peer_output(peer->session) : sk_bytes(NULL, 0);
}

void sk_engine_conn_sent(struct skep_engine *engine, struct sk_conn *conn, size_t n,
                         uint64_t now_ns)
{
    struct skep_peer *peer = (struct skep_peer *)conn;
    engine->now_ns = now_ns;
    if (!peer->session)
        return;
    sk_peer_sent(peer->session, n, now_ns);
    sk_give_sent(peer);
}

/* The number of pieces is known: sessions that opened before can make sense of what they kept. */
void sk_conn_apply_metadata(struct skep_torrent *torrent)
{
    for (struct skep_peer *peer = torrent->engine->peers; peer; peer = peer->next) {
        if (peer->torrent != torrent || peer->stage != SK_STAGE_TALKING || !peer->opened)
            continue; /* those in their handshake learn it when they open */
        if (tell_pieces(peer)) {
            sk_conn_close(peer, "out of memory", false);
            continue;
        }
        sk_super_give_told(peer);
        const struct sk_peer_view *view = sk_peer_view(peer->session);
        if (view->has_bitfield && view->state == SK_PEER_OPEN) {
            sk_fast_give_told(peer);
            emit_peer(peer, SKEP_EVENT_HAVE_SET);
        }
        drain(peer);
    }
}
