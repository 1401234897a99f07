/*
 * Torrents in the DHT: their peers, how many it says there are (BEP 33), announces; nodes that
 * torrents and peers tell of. A draw is one lookup for each hash of a torrent: a hybrid one has
 * two (BEP 52). Private torrents are never looked up (BEP 27).
 */
#include "engine/dht_internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

#define SOURCE "dht" /* its name among the sources of claims */

/* When the next draw comes. The second comes early: one draw alone bounds nothing. Where the first
 * told of nobody there is nothing to bound: it is for who announces himself just then. */
#define AGAIN_NS (20 * SK_SECOND_NS)
#define AGAIN_EMPTY_NS (3 * SK_SECOND_NS)
#define NEW_NS (60 * SK_SECOND_NS) /* the last draw told of new peers */
#define OLD_NS (300 * SK_SECOND_NS)
#define NOBODY_NS (15 * SK_SECOND_NS) /* there was nobody to ask */
#define ANNOUNCE_NS (900 * SK_SECOND_NS)

/* How long those who wait for the first draw do so at most. */
#define JOIN_PATIENCE_NS (8 * SK_SECOND_NS)
#define DRAW_PATIENCE_NS (45 * SK_SECOND_NS)

#define SOURCE_INDEX 2 /* of SK_SOURCE_DHT in a book entry */
_Static_assert(1 << SOURCE_INDEX == SK_SOURCE_DHT, "index of its bit");

bool sk_dht_torrent_allowed(const struct skep_torrent *torrent)
{
    return torrent->engine->dht && !(torrent->metainfo && torrent->metainfo->is_private);
}

/* ---- draws ---- */

static bool is_drawing(const struct sk_torrent_dht *draw)
{
    return draw->lookups[0] || draw->lookups[1];
}

static void forget_draw(struct skep_torrent *torrent)
{
    struct sk_torrent_dht *draw = &torrent->dht;
    for (int i = 0; i < 2; i++) {
        if (draw->lookups[i])
            skep_dht_cancel(torrent->engine, draw->lookups[i]);
        draw->lookups[i] = 0;
    }
    if (draw->scrape)
        sk_dht_scrape_deinit(draw->scrape);
    sk_mem_free(draw->scrape);
    draw->scrape = NULL;
}

/* Announces last for half an hour and more. Only who can be connected is announced, and not before
 * it is known that the torrent is not private. */
static bool announce_due(const struct skep_torrent *torrent)
{
    const struct skep_config *config = &torrent->engine->config;
    uint64_t last_ns = torrent->dht.announced_ns;
    return config->announce && !config->no_listen && torrent->metainfo &&
           (!last_ns || torrent->engine->now_ns - last_ns >= ANNOUNCE_NS);
}

static bool has_all(const struct skep_torrent *torrent)
{
    const struct skep_config *config = &torrent->engine->config;
    return torrent->metainfo && config->give && !config->give_chosen &&
           torrent->stored.set == torrent->metainfo->pieces;
}

static int start_lookup(struct skep_torrent *torrent, int i, const uint8_t *hash, bool announce)
{
    struct skep_engine *engine = torrent->engine;
    struct sk_dht_run *run;
    int err = sk_dht_run_new(engine, SK_DHT_RUN_TORRENT, &run);
    if (err)
        return err;
    run->torrent = torrent;
    run->search = (struct sk_dht_search){
        .method = SK_KRPC_GET_PEERS,
        .scrape = true,
        .store = announce ? SK_DHT_STORE_PEER : SK_DHT_STORE_NOTHING,
        .seed = announce && has_all(torrent),
    };
    memcpy(run->search.target, hash, SK_DHT_ID_SIZE);
    torrent->dht.lookups[i] = run->id;
    return 0;
}

static void set_timer(struct skep_torrent *torrent, uint64_t wait_ns)
{
    struct skep_engine *engine = torrent->engine;
    /* Spread by a tenth, so that clients that were started together drift apart. */
    uint64_t spread_ns = sk_prng_below(&engine->prng, wait_ns / 10 + 1);
    sk_engine_set_timer(engine, &torrent->dht.timer, SK_TIMER_DHT_TORRENT,
                        engine->now_ns + wait_ns - wait_ns / 20 + spread_ns);
}

static void start_draw(struct skep_torrent *torrent)
{
    struct sk_torrent_dht *draw = &torrent->dht;
    bool announce = announce_due(torrent);
    forget_draw(torrent);
    draw->started_ns = torrent->engine->now_ns;
    draw->told = draw->fresh = draw->answered = 0;
    draw->scrape = sk_mem_calloc(1, sizeof *draw->scrape);
    int err = start_lookup(torrent, 0, torrent->info_hash, announce);
    if (!err && torrent->has_v1 && torrent->has_v2)
        err = start_lookup(torrent, 1, torrent->hash_v2, announce);
    if (announce && !err)
        draw->announced_ns = torrent->engine->now_ns;
    set_timer(torrent, err ? NOBODY_NS : OLD_NS); /* the end of the draw sets it anew */
}

void sk_dht_torrent_timer(struct skep_torrent *torrent)
{
    if (torrent->state == SK_TORRENT_RUNNING && sk_dht_torrent_allowed(torrent))
        start_draw(torrent);
}

/* ---- what a draw brings ---- */

static uint32_t count_of(double estimate)
{
    return estimate < 0 ? 0 : (uint32_t)(estimate + 0.5);
}

static void claim(struct skep_torrent *torrent, uint64_t next_ns)
{
    struct sk_torrent_dht *draw = &torrent->dht;
    struct skep_claim said = {
        .seeds = -1, .leechers = -1, .downloads = -1, .peers = draw->told, .next_draw_ns = next_ns};
    if (draw->scrape && draw->scrape->nodes) {
        double seeds, peers;
        sk_dht_scrape_estimate(draw->scrape, &seeds, &peers);
        said.seeds = count_of(seeds);
        said.leechers = count_of(peers);
        said.nodes = draw->scrape->nodes;
    }
    sk_engine_emit(torrent->engine, &(struct skep_event){.kind = SKEP_EVENT_CLAIM,
                                                         .torrent = torrent,
                                                         .text = SOURCE,
                                                         .claim = said});
}

static void claim_failed(struct skep_torrent *torrent, uint64_t next_ns)
{
    struct skep_claim none = {
        .seeds = -1, .leechers = -1, .downloads = -1, .next_draw_ns = next_ns};
    sk_engine_emit(torrent->engine, &(struct skep_event){.kind = SKEP_EVENT_CLAIM_FAILED,
                                                         .torrent = torrent,
                                                         .text = SOURCE,
                                                         .reason = "no node answers",
                                                         .claim = none});
}

/* Whether anything was ever there to be asked. */
static bool had_somebody(const struct sk_engine_dht *dht)
{
    static const enum sk_family families[] = {SK_FAMILY_V4, SK_FAMILY_V6};
    for (int i = 0; i < 2; i++)
        if (sk_dht_table(dht->node, families[i]) &&
            sk_engine_dht_standing(dht, families[i]) != SKEP_DHT_EMPTY)
            return true;
    return false;
}

static void end_draw(struct skep_torrent *torrent)
{
    struct sk_torrent_dht *draw = &torrent->dht;
    struct skep_engine *engine = torrent->engine;
    bool answered = draw->answered != 0;
    draw->draws += answered;
    draw->heard = true;
    bool again = draw->draws < 2;
    set_timer(torrent, !answered             ? NOBODY_NS
                       : again && draw->told ? AGAIN_NS
                       : again               ? AGAIN_EMPTY_NS
                       : draw->fresh         ? NEW_NS
                                             : OLD_NS);
    uint64_t next_ns = draw->timer.base.slot ? draw->timer.base.at_ns : SK_TIME_NEVER;
    if (answered)
        claim(torrent, next_ns);
    else if (had_somebody(engine->dht))
        claim_failed(torrent, next_ns);
    if (!is_drawing(draw))
        forget_draw(torrent);
    sk_dial_pump(engine);
}

/* Nodes tell of the same peers: in one draw each counts once. */
static bool told_before(const struct skep_torrent *torrent, const struct sk_endpoint *peer)
{
    const struct sk_book_entry *entry = sk_peer_book_find(&torrent->book, peer);
    return entry && (entry->sources & SK_SOURCE_DHT) &&
           entry->last_ns[SOURCE_INDEX] >= torrent->dht.started_ns;
}

static void hear_peers(struct skep_torrent *torrent, const struct sk_dht_event *event)
{
    enum sk_scope teller = sk_endpoint_scope(&event->contact.endpoint);
    struct sk_bencode_iter iter = sk_bencode_iter(&event->message->values);
    struct sk_endpoint peer;
    char by[SK_ENDPOINT_TEXT_MAX];
    sk_endpoint_text(&event->contact.endpoint, by);
    for (int i = 0; i < SK_ENGINE_DHT_PEERS_MAX && sk_krpc_next_peer(&iter, &peer); i++) {
        if (torrent->state != SK_TORRENT_RUNNING)
            return; /* a hook stopped it */
        if (told_before(torrent, &peer))
            continue;
        torrent->dht.told++;
        torrent->dht.fresh += sk_discovery_hear(torrent, &peer, SK_SOURCE_DHT, teller, by, 0);
    }
}

static void end_lookup(struct skep_torrent *torrent, uint64_t id)
{
    struct sk_torrent_dht *draw = &torrent->dht;
    for (int i = 0; i < 2; i++)
        if (draw->lookups[i] == id)
            draw->lookups[i] = 0;
    if (!is_drawing(draw) && torrent->state == SK_TORRENT_RUNNING)
        end_draw(torrent);
}

void sk_dht_torrent_event(struct skep_engine *engine, struct sk_dht_run *run,
                          const struct sk_dht_event *event)
{
    struct skep_torrent *torrent = run->torrent;
    if (event->kind == SK_DHT_EVENT_DONE) {
        end_lookup(torrent, run->id);
        return;
    }
    if (event->kind != SK_DHT_EVENT_ANSWERED)
        return;
    torrent->dht.answered++;
    if (torrent->dht.scrape)
        sk_dht_scrape_add(torrent->dht.scrape, event->message);
    if (event->message->has_values)
        hear_peers(torrent, event);
    sk_dial_pump(engine);
}

void sk_dht_torrent_failed(struct sk_dht_run *run)
{
    end_lookup(run->torrent, run->id);
}

bool skep_torrent_dht_waiting(const struct skep_torrent *torrent)
{
    const struct sk_engine_dht *dht = torrent->engine->dht;
    const struct sk_torrent_dht *draw = &torrent->dht;
    if (torrent->state != SK_TORRENT_RUNNING || !sk_dht_torrent_allowed(torrent) || draw->heard)
        return false;
    if (!sk_engine_dht_ready(dht, dht->families) && !sk_engine_dht_joining(dht, dht->families))
        return false;
    uint64_t patience_ns =
        sk_engine_dht_ready(dht, dht->families) ? DRAW_PATIENCE_NS : JOIN_PATIENCE_NS;
    return torrent->engine->now_ns - torrent->dht.begun_ns < patience_ns;
}

/* ---- nodes that others tell of ---- */

/* BEP 5 "nodes". They are a stranger's word: he cannot aim us at low ports or narrower networks. */
static void add_nodes(struct skep_torrent *torrent)
{
    struct skep_engine *engine = torrent->engine;
    uint32_t count = torrent->metainfo ? torrent->metainfo->nodes_count : 0;
    for (uint32_t i = 0; i < SK_MIN(count, SK_ENGINE_DHT_NODES_MAX); i++) {
        const char *text = torrent->metainfo->nodes[i];
        struct sk_endpoint endpoint;
        struct sk_ask ask = {.kind = SK_ASK_DHT_NODE};
        char name[256];
        if (!sk_endpoint_parse(text, 0, &endpoint)) {
            if (sk_engine_dht_may_ask(engine->dht, &endpoint))
                (void)sk_engine_dht_add(engine, &endpoint, false);
        } else if (engine->dht->bind_scope != SK_SCOPE_LOOPBACK &&
                   sk_engine_split_name(text, name, sizeof name, &ask.port) &&
                   ask.port >= SK_BOOK_PORT_MIN) {
            (void)sk_engine_ask_name(engine, &ask, name);
        }
    }
}

bool sk_dht_torrent_tells(const struct skep_torrent *torrent)
{
    return sk_dht_torrent_allowed(torrent) && !torrent->engine->config.dht_read_only;
}

void sk_dht_torrent_opened(struct skep_peer *peer)
{
    if (!(sk_peer_view(peer->session)->reserved & SK_RESERVED_DHT) ||
        !sk_dht_torrent_tells(peer->torrent))
        return;
    struct sk_msg msg = {.kind = SK_MSG_PORT, .port = peer->engine->config.port};
    (void)sk_peer_send_message(peer->session, &msg);
}

/* Its node can only be at its own address. One port a connection: it cannot have us try them all.
 */
void sk_dht_torrent_port(struct skep_peer *peer, uint16_t port)
{
    struct sk_endpoint endpoint = peer->conn.endpoint;
    if (!sk_dht_torrent_allowed(peer->torrent) || peer->port_told || port < SK_BOOK_PORT_MIN)
        return;
    peer->port_told = true;
    endpoint.port = port;
    (void)sk_engine_dht_add(peer->engine, &endpoint, false);
}

/* ---- the torrent's life ---- */

void sk_dht_torrent_start(struct skep_torrent *torrent)
{
    struct skep_engine *engine = torrent->engine;
    if (!sk_dht_torrent_allowed(torrent))
        return;
    add_nodes(torrent);
    torrent->dht.begun_ns = engine->now_ns;
    sk_engine_set_timer(engine, &torrent->dht.timer, SK_TIMER_DHT_TORRENT, engine->now_ns);
}

void sk_dht_torrent_stop(struct skep_torrent *torrent)
{
    sk_heap_remove(&torrent->engine->timers, &torrent->dht.timer.base);
    forget_draw(torrent);
}

void sk_dht_torrent_metadata(struct skep_torrent *torrent)
{
    if (sk_dht_torrent_allowed(torrent) || !torrent->engine->dht)
        return;
    sk_dht_torrent_stop(torrent);
    sk_engine_dht_review(torrent->engine);
}
