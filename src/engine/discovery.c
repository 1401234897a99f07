#include "engine/internal.h"

#include "base/mem.h"
#include "base/text.h"
#include "wire/lsd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool sk_discovery_hear(struct skep_torrent *torrent, const struct sk_endpoint *endpoint,
                       enum sk_source source, enum sk_scope teller, const char *by, unsigned flags)
{
    struct skep_engine *engine = torrent->engine;
    struct sk_book_entry *entry;
    bool is_new;
    if (sk_peer_book_hear(&torrent->book, endpoint, source, teller, engine->now_ns, &entry,
                          &is_new))
        return false; /* the book is full or memory is: what is known stays */
    if (source == SK_SOURCE_PEX)
        entry->pex_flags |= (uint8_t)flags;
    char text[SK_ENDPOINT_TEXT_MAX];
    sk_engine_emit(engine, &(struct skep_event){.kind = SKEP_EVENT_HEARD,
                                                .torrent = torrent,
                                                .text = sk_endpoint_text(endpoint, text),
                                                .by = by,
                                                .source = (enum skep_source)source,
                                                .flags = flags,
                                                .is_new = is_new});
    if (is_new && entry->reason)
        sk_engine_emit(engine, &(struct skep_event){.kind = SKEP_EVENT_FAILED,
                                                    .torrent = torrent,
                                                    .text = text,
                                                    .reason = entry->reason,
                                                    .final = true});
    return is_new;
}

/* What one peer can put into the book is bounded: a liar must not fill it alone. */
static bool may_tell(const struct skep_peer *peer, const struct sk_endpoint *endpoint)
{
    return peer->pex_new < SK_ENGINE_PEX_NEW_MAX ||
           sk_peer_book_find(&peer->torrent->book, endpoint);
}

bool sk_discovery_pex_allowed(const struct skep_torrent *torrent)
{
    return !torrent->engine->config.no_pex && !(torrent->metainfo && torrent->metainfo->is_private);
}

void sk_discovery_pex(struct skep_peer *peer, const struct sk_pex_peer *peers, size_t count)
{
    struct skep_torrent *torrent = peer->torrent;
    struct skep_engine *engine = peer->engine;
    if (!sk_discovery_pex_allowed(torrent))
        return;
    enum sk_scope teller = sk_endpoint_scope(&peer->conn.endpoint);
    for (size_t i = 0; i < count; i++) {
        if (!peers[i].dropped) {
            if (may_tell(peer, &peers[i].endpoint))
                peer->pex_new += sk_discovery_hear(torrent, &peers[i].endpoint, SK_SOURCE_PEX,
                                                   teller, peer->address, peers[i].flags);
            if (peers[i].flags & SK_PEX_HOLEPUNCH)
                sk_punch_told(peer, &peers[i].endpoint);
            continue;
        }
        char text[SK_ENDPOINT_TEXT_MAX];
        sk_engine_emit(engine,
                       &(struct skep_event){.kind = SKEP_EVENT_LOST,
                                            .torrent = torrent,
                                            .peer = peer,
                                            .by = peer->address,
                                            .text = sk_endpoint_text(&peers[i].endpoint, text)});
    }
}

/* ---- trackers ---- */

/* The host of a tracker's address, without brackets. */
static bool url_host(const char *url, char *ret_host, size_t size)
{
    const char *at = strstr(url, "://");
    if (!at)
        return false;
    at += 3;
    const char *end = at + strcspn(at, "/?#");
    for (const char *c = at; c < end; c++)
        if (*c == '@')
            at = c + 1;
    size_t n = *at == '[' ? strcspn(++at, "]") : strcspn(at, ":/?#");
    if (n == 0 || n >= size)
        return false;
    memcpy(ret_host, at, n);
    ret_host[n] = 0;
    return true;
}

/* Whether the path is a tracker's: /announce, without a query of its own. */
static bool plain_announce(const char *url)
{
    const char *at = strstr(url, "://");
    const char *path = at ? strchr(at + 3, '/') : NULL;
    return path && strncmp(path, "/announce", 9) == 0 && !strchr(path, '?');
}

/*
 * How narrow the addresses are that this tracker may lead to. A name may stand for one in a private
 * network where nothing else than a tracker can be meant by its path.
 */
static enum sk_scope url_scope(const char *url)
{
    char host[256], with_port[300];
    struct sk_endpoint endpoint;
    if (!url_host(url, host, sizeof host))
        return SK_SCOPE_PUBLIC;
    if (strcasecmp(host, "localhost") == 0)
        return SK_SCOPE_LOOPBACK;
    snprintf(with_port, sizeof with_port, strchr(host, ':') ? "[%s]" : "%s", host);
    if (sk_endpoint_parse(with_port, 1, &endpoint))
        return plain_announce(url) ? SK_SCOPE_PRIVATE : SK_SCOPE_PUBLIC;
    return sk_endpoint_scope(&endpoint);
}

/* The port that a tracker's address names, or its scheme's. */
static unsigned url_port(const char *url)
{
    const char *at = strstr(url, "://") + 3;
    const char *end = at + strcspn(at, "/?#");
    const char *colon = NULL;
    for (const char *c = at; c < end; c++)
        colon = *c == ':' ? c : *c == ']' ? NULL : colon;
    return colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 80;
}

bool sk_discovery_port_allowed(const char *url)
{
    unsigned port = url_port(url);
    return port >= SK_BOOK_PORT_MIN || port == 80 || port == 443;
}

bool sk_discovery_url_is_inside(const char *url)
{
    char host[256], with_port[300];
    struct sk_endpoint endpoint;
    if (!url_host(url, host, sizeof host) || strcasecmp(host, "localhost") == 0)
        return true;
    snprintf(with_port, sizeof with_port, strchr(host, ':') ? "[%s]" : "%s", host);
    return !sk_endpoint_parse(with_port, 1, &endpoint) &&
           sk_endpoint_scope(&endpoint) != SK_SCOPE_PUBLIC;
}

/*
 * A torrent from a stranger must not make us call whatever service runs on this machine or beside
 * it: there an HTTP tracker's path has to be /announce, without a query of its own. Nor may it aim
 * at low ports anywhere, those of the web excepted.
 */
static bool may_ask(const char *url, enum sk_scope scope)
{
    if (!sk_discovery_port_allowed(url))
        return false;
    return scope == SK_SCOPE_PUBLIC || strncasecmp(url, "http", 4) != 0 || plain_announce(url);
}

int sk_discovery_add_tracker(struct skep_torrent *torrent, const char *url, bool given)
{
    struct skep_engine *engine = torrent->engine;
    if (torrent->trackers_count >= SK_METAINFO_TRACKERS_MAX)
        return SKEP_ERR_LIMIT;
    for (size_t i = 0; i < torrent->trackers_count; i++)
        if (strcmp(sk_tracker_url(torrent->trackers[i]->machine), url) == 0)
            return 0;
    if (engine->config.no_udp && strncasecmp(url, "udp:", 4) == 0)
        return 0; /* nobody could ask it */
    enum sk_scope scope = url_scope(url);
    if (!strstr(url, "://") || !(given || may_ask(url, scope)))
        return SKEP_ERR_INVALID;
    struct sk_tracker_config config = {.url = url, .scrape = true, .prng = &engine->prng};
    memcpy(config.announce.info_hash, torrent->info_hash, 20);
    memcpy(config.announce.peer_id, engine->peer_id, 20);
    config.announce.left = torrent->metainfo ? torrent->metainfo->size : UINT64_MAX;
    config.announce.key = engine->key;
    config.announce.want = 200;
    config.announce.port = engine->config.port;
    struct sk_engine_tracker *tracker = sk_mem_calloc(1, sizeof *tracker);
    struct sk_engine_tracker **list =
        sk_mem_realloc(torrent->trackers, torrent->trackers_count + 1, sizeof *list);
    if (list)
        torrent->trackers = list;
    int err = tracker && list ? sk_tracker_new(&config, &tracker->machine) : SKEP_ERR_NOMEM;
    if (err) {
        sk_mem_free(tracker);
        return err;
    }
    tracker->torrent = torrent;
    tracker->scope = scope;
    tracker->given = given;
    torrent->trackers[torrent->trackers_count++] = tracker;
    if (torrent->state == SK_TORRENT_RUNNING)
        sk_discovery_tracker_timer(tracker);
    return 0;
}

void sk_discovery_free_tracker(struct sk_engine_tracker *tracker)
{
    sk_heap_remove(&tracker->torrent->engine->timers, &tracker->timer.base);
    sk_tracker_free(tracker->machine);
    sk_mem_free(tracker);
}

static void claim(struct sk_engine_tracker *tracker, const struct sk_tracker_result *result)
{
    struct skep_torrent *torrent = tracker->torrent;
    struct skep_claim said = {.seeds = -1, .leechers = -1, .downloads = -1};
    if (result->announce) {
        said.seeds = result->announce->seeds;
        said.leechers = result->announce->leechers;
        said.downloads = result->announce->downloads;
        said.peers = (uint32_t)result->announce->peers_count;
        said.asked_ns = result->asked_ns;
        said.downloaded = result->downloaded;
        said.started = result->started;
    } else {
        said.seeds = result->scrape.seeds;
        said.leechers = result->scrape.leechers;
        said.downloads = result->scrape.downloads;
        said.scrape = true;
    }
    said.next_draw_ns = sk_tracker_next_draw_ns(tracker->machine);
    sk_engine_emit(torrent->engine, &(struct skep_event){.kind = SKEP_EVENT_CLAIM,
                                                         .torrent = torrent,
                                                         .text = sk_tracker_url(tracker->machine),
                                                         .claim = said});
}

static void on_result(struct sk_engine_tracker *tracker, const struct sk_tracker_result *borrowed)
{
    struct skep_torrent *torrent = tracker->torrent;
    struct sk_tracker_result result = *borrowed; /* what it borrows lives until the machine moves */
    bool announce = result.ask == SK_TRACKER_ANNOUNCE;
    if (announce)
        tracker->first_done = true;
    if (result.ask == SK_TRACKER_STOP)
        return;
    if (result.failure != SK_TRACKER_ANSWERED) {
        char reason[SK_TRACKER_TEXT_MAX + 64];
        bool words = result.text[0] != 0;
        snprintf(reason, sizeof reason, words ? "%s: %s" : "%s",
                 sk_tracker_failure_text(result.failure), result.text);
        struct skep_claim none = {.seeds = -1,
                                  .leechers = -1,
                                  .downloads = -1,
                                  .next_draw_ns = sk_tracker_next_draw_ns(tracker->machine),
                                  .scrape = !announce};
        sk_engine_emit(torrent->engine,
                       &(struct skep_event){.kind = SKEP_EVENT_CLAIM_FAILED,
                                            .torrent = torrent,
                                            .text = sk_tracker_url(tracker->machine),
                                            .reason = reason,
                                            .claim = none});
        return;
    }
    enum sk_scope scope = result.from.family ? sk_endpoint_scope(&result.from) : tracker->scope;
    for (size_t i = 0; result.announce && i < result.announce->peers_count; i++)
        sk_discovery_hear(torrent, &result.announce->peers[i], SK_SOURCE_TRACKER, scope,
                          sk_tracker_url(tracker->machine), 0);
    claim(tracker, &result);
}

static void http_get(struct sk_engine_tracker *tracker, const struct sk_tracker_out *want)
{
    struct skep_engine *engine = tracker->torrent->engine;
    struct sk_ask ask = {.kind = SK_ASK_TRACKER_HTTP, .tracker = tracker};
    struct sk_out out = {.kind = SK_OUT_HTTP_GET,
                         .owned = sk_mem_strdup(want->url),
                         .bytes_max = SK_TRACKER_ANSWER_MAX,
                         .scope = tracker->given ? SK_SCOPE_LOOPBACK : tracker->scope};
    if (!out.owned || sk_engine_ask(engine, &ask, &out.id)) {
        sk_mem_free(out.owned);
        return; /* the machine times out by itself */
    }
    out.text = out.owned;
    tracker->http_id = out.id;
    tracker->http_request = want->request;
    sk_engine_push(engine, &out);
}

static void resolve(struct sk_engine_tracker *tracker, const struct sk_tracker_out *want)
{
    struct sk_ask ask = {.kind = SK_ASK_TRACKER_NAME, .tracker = tracker, .port = want->port};
    (void)sk_engine_ask_name(tracker->torrent->engine, &ask, want->host); /* else it times out */
}

static void send_datagram(struct skep_engine *engine, enum sk_out_kind kind,
                          const struct sk_endpoint *to, struct sk_bytes bytes)
{
    struct sk_out out = {.kind = kind, .endpoint = *to, .owned = sk_mem_dup(bytes.p, bytes.n)};
    out.bytes = sk_bytes(out.owned, bytes.n);
    if (out.owned)
        sk_engine_push(engine, &out);
}

/* Takes what the machine wants done and sets its clock. Its results are told to hooks, which may
 * stop the torrent: the machine is left alone from inside a hook, until the next tick. */
static void run(struct sk_engine_tracker *tracker)
{
    struct skep_engine *engine = tracker->torrent->engine;
    struct sk_tracker_out out;
    if (engine->serving) {
        sk_engine_set_timer(engine, &tracker->timer, SK_TIMER_TRACKER, engine->now_ns);
        return;
    }
    while (sk_tracker_next_output(tracker->machine, &out)) {
        switch (out.kind) {
        case SK_TRACKER_OUT_HTTP_GET:
            http_get(tracker, &out);
            break;
        case SK_TRACKER_OUT_RESOLVE:
            resolve(tracker, &out);
            break;
        case SK_TRACKER_OUT_UDP_SEND:
            send_datagram(engine, SK_OUT_UDP, &out.to, out.datagram);
            break;
        case SK_TRACKER_OUT_RESULT:
            on_result(tracker, out.result);
            break;
        }
    }
    if (sk_tracker_state(tracker->machine) == SK_TRACKER_ENDED)
        tracker->first_done = true;
    sk_engine_set_timer(engine, &tracker->timer, SK_TIMER_TRACKER,
                        sk_tracker_deadline(tracker->machine));
}

static void stop(struct sk_engine_tracker *tracker)
{
    struct skep_engine *engine = tracker->torrent->engine;
    tracker->stopped = true;
    sk_tracker_stop(tracker->machine, engine->now_ns);
    if (!tracker->http_id || sk_tracker_awaits(tracker->machine, tracker->http_request))
        return;
    sk_engine_push(engine, &(struct sk_out){.kind = SK_OUT_HTTP_CANCEL, .id = tracker->http_id});
    tracker->http_id = 0;
}

/* Bytes that we lack, or say that we do: who gives to chosen peers alone is no seed to anybody, and
 * a tracker that held it for one would tell it of no seeds. */
static uint64_t left_of(const struct skep_torrent *torrent)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    if (!meta)
        return UINT64_MAX;
    if (torrent->engine->config.give_chosen)
        return meta->size;
    if (sk_bitfield_full(&torrent->stored))
        return 0;
    uint64_t stored = (uint64_t)torrent->stored.set * meta->piece_size;
    if (sk_bitfield_has(&torrent->stored, meta->pieces - 1))
        stored -= (uint64_t)meta->pieces * meta->piece_size - meta->size; /* it may be shorter */
    return meta->size - stored;
}

static void report(struct sk_engine_tracker *tracker)
{
    const struct skep_torrent *torrent = tracker->torrent;
    struct sk_counters progress = {torrent->given, torrent->taken, left_of(torrent)};
    if (torrent->report)
        torrent->report(&progress, torrent->engine->now_ns, torrent->report_ctx);
    sk_tracker_progress(tracker->machine, progress.uploaded, progress.downloaded, progress.left,
                        sk_choking_seeds(torrent) && !sk_bitfield_full(&torrent->stored));
}

void sk_engine_set_report(struct skep_torrent *torrent,
                          void (*fn)(struct sk_counters *progress, uint64_t now_ns, void *ctx),
                          void *ctx)
{
    torrent->report = fn;
    torrent->report_ctx = ctx;
}

void sk_discovery_tracker_timer(struct sk_engine_tracker *tracker)
{
    struct skep_torrent *torrent = tracker->torrent;
    if (!torrent->engine->serving) {
        report(tracker);
        if (torrent->state == SK_TORRENT_STOPPED && !tracker->stopped)
            stop(tracker);
        sk_tracker_tick(tracker->machine, torrent->engine->now_ns);
    }
    run(tracker);
}

void sk_engine_http_done(struct skep_engine *engine, uint64_t id, int status, struct sk_bytes body,
                         const char *error, uint64_t now_ns)
{
    struct sk_ask ask;
    engine->now_ns = now_ns;
    if (!sk_engine_answer(engine, id, &ask))
        return;
    if (ask.kind == SK_ASK_WEB) {
        sk_web_done(ask.web, status, error);
        return;
    }
    if (ask.kind != SK_ASK_TRACKER_HTTP || ask.tracker->http_id != id)
        return;
    ask.tracker->http_id = 0;
    if (status == 0)
        body = sk_bytes_text(error ? error : "no answer");
    sk_tracker_input_http(ask.tracker->machine, ask.tracker->http_request, (unsigned)status, body,
                          now_ns);
    run(ask.tracker);
    sk_dial_pump(engine);
}

void sk_engine_resolved(struct skep_engine *engine, uint64_t id, const struct sk_endpoint *found,
                        size_t count, const char *error, uint64_t now_ns)
{
    struct sk_ask ask;
    engine->now_ns = now_ns;
    if (!sk_engine_answer(engine, id, &ask))
        return;
    if (ask.kind == SK_ASK_TRACKER_NAME) {
        sk_tracker_input_resolved(ask.tracker->machine, found, count, error, now_ns);
        run(ask.tracker);
    } else if (ask.kind == SK_ASK_PEER_NAME) {
        ask.torrent->names_waiting--;
        for (size_t i = 0; i < count; i++) {
            struct sk_endpoint endpoint = found[i];
            endpoint.port = ask.port;
            sk_discovery_hear(ask.torrent, &endpoint, SK_SOURCE_GIVEN, SK_SCOPE_LOOPBACK, NULL, 0);
        }
    } else {
        sk_engine_dht_resolved(engine, &ask, found, count);
    }
    sk_dial_pump(engine);
}

bool sk_discovery_udp(struct skep_engine *engine, const struct sk_endpoint *from,
                      struct sk_bytes datagram)
{
    for (uint32_t i = 0; i < engine->torrents_count; i++) {
        struct skep_torrent *torrent = engine->torrents[i];
        for (size_t j = 0; j < torrent->trackers_count; j++) {
            struct sk_engine_tracker *tracker = torrent->trackers[j];
            if (sk_tracker_input_udp(tracker->machine, from, datagram, engine->now_ns)) {
                run(tracker);
                return true;
            }
        }
    }
    return false;
}

/* ---- local service discovery ---- */

static bool lsd_allowed(const struct skep_torrent *torrent)
{
    return !torrent->engine->config.no_lsd && !torrent->engine->config.no_listen &&
           !(torrent->metainfo && torrent->metainfo->is_private);
}

void sk_discovery_lsd_timer(struct skep_torrent *torrent)
{
    struct skep_engine *engine = torrent->engine;
    if (!lsd_allowed(torrent) || torrent->state != SK_TORRENT_RUNNING)
        return;
    struct sk_lsd lsd = {.port = engine->config.port, .hashes_count = 1};
    memcpy(lsd.hashes[0], torrent->info_hash, 20);
    snprintf(lsd.cookie, sizeof lsd.cookie, "%s", engine->lsd_cookie);
    static const enum sk_family families[] = {SK_FAMILY_V4, SK_FAMILY_V6};
    for (int i = 0; i < 2; i++) {
        struct sk_buf buf;
        sk_buf_init(&buf, 1400);
        struct sk_endpoint group = sk_lsd_group(families[i]);
        if (!sk_lsd_write(&buf, families[i], &lsd))
            send_datagram(engine, SK_OUT_LSD, &group, sk_buf_bytes(&buf));
        sk_buf_deinit(&buf);
    }
    sk_engine_set_timer(engine, &torrent->lsd_timer, SK_TIMER_LSD,
                        engine->now_ns + SK_ENGINE_LSD_NS);
}

void sk_engine_lsd_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram, uint64_t now_ns)
{
    struct sk_lsd lsd;
    engine->now_ns = now_ns;
    if (sk_lsd_read(datagram, &lsd) || !lsd.port || strcmp(lsd.cookie, engine->lsd_cookie) == 0)
        return;
    struct sk_endpoint endpoint = *from;
    endpoint.port = lsd.port;
    for (size_t i = 0; i < lsd.hashes_count; i++) {
        struct skep_torrent *torrent = sk_torrent_find(engine, lsd.hashes[i]);
        if (torrent && lsd_allowed(torrent) && torrent->state == SK_TORRENT_RUNNING)
            sk_discovery_hear(torrent, &endpoint, SK_SOURCE_LSD, sk_endpoint_scope(from), NULL, 0);
    }
    sk_dial_pump(engine);
}

/* ---- all of them ---- */

void sk_discovery_start(struct skep_torrent *torrent)
{
    for (size_t i = 0; i < torrent->trackers_count; i++)
        sk_discovery_tracker_timer(torrent->trackers[i]);
    sk_discovery_lsd_timer(torrent);
}

void sk_discovery_stop(struct skep_torrent *torrent)
{
    sk_heap_remove(&torrent->engine->timers, &torrent->lsd_timer.base);
    for (size_t i = 0; i < torrent->trackers_count; i++)
        sk_discovery_tracker_timer(torrent->trackers[i]);
}

void sk_discovery_completed(struct skep_torrent *torrent)
{
    for (size_t i = 0; i < torrent->trackers_count; i++) {
        struct sk_engine_tracker *tracker = torrent->trackers[i];
        sk_tracker_completed(tracker->machine, torrent->engine->now_ns);
        /* Not at once: we may be in a hook. */
        sk_engine_set_timer(torrent->engine, &tracker->timer, SK_TIMER_TRACKER,
                            torrent->engine->now_ns);
    }
}

bool sk_discovery_stopped(const struct skep_torrent *torrent)
{
    for (size_t i = 0; i < torrent->trackers_count; i++)
        if (sk_tracker_state(torrent->trackers[i]->machine) != SK_TRACKER_ENDED)
            return false;
    return true;
}
