/*
 * A world for the engine in virtual time: remote peers that are real sessions with a script, a
 * disk, names, HTTP and UDP that answer when the test says so. Nothing is random but by seed.
 *
 * Remotes are found by their address when the engine dials; world_connect() lets one dial us. What
 * a remote does is told by its fields. Every event of the engine is recorded.
 */
#ifndef ENGINE_WORLD_H
#define ENGINE_WORLD_H

#include "engine_remote.h"

/* ---- the record ---- */

static inline void world_record(const struct skep_event *event, void *ctx)
{
    struct world *world = ctx;
    if (event->kind != SKEP_EVENT_MESSAGE && event->kind != SKEP_EVENT_ARRIVAL) {
        if (world->events_count == world->events_capacity) {
            world->events_capacity = world->events_capacity ? world->events_capacity * 2 : 256;
            world->events = realloc(world->events, world->events_capacity * sizeof *world->events);
            assert_non_null(world->events);
        }
        struct seen_event *seen = &world->events[world->events_count++];
        *seen = (struct seen_event){.kind = event->kind,
                                    .source = event->source,
                                    .is_new = event->is_new,
                                    .final = event->final,
                                    .message = event->message,
                                    .claim = event->claim,
                                    .error = event->error,
                                    .flags = event->flags};
        const char *text = event->text   ? event->text
                           : event->peer ? skep_peer_address(event->peer)
                                         : "";
        snprintf(seen->text, sizeof seen->text, "%s", text);
        snprintf(seen->reason, sizeof seen->reason, "%s", event->reason ? event->reason : "");
        snprintf(seen->by, sizeof seen->by, "%s", event->by ? event->by : "");
    }
    if (world->hook)
        world->hook(event, world->context);
}

/* The last event of a kind about this address or tracker (NULL: any); NULL. */
static inline const struct seen_event *world_seen(const struct world *world,
                                                  enum skep_event_kind kind, const char *text)
{
    for (size_t i = world->events_count; i-- > 0;)
        if (world->events[i].kind == kind && (!text || strcmp(world->events[i].text, text) == 0))
            return &world->events[i];
    return NULL;
}

static inline size_t world_count(const struct world *world, enum skep_event_kind kind,
                                 const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < world->events_count; i++)
        count +=
            world->events[i].kind == kind && (!text || strcmp(world->events[i].text, text) == 0);
    return count;
}

/* ---- making it ---- */

static inline void world_content(struct world *world, uint32_t pieces, uint32_t piece_size, bool v1,
                                 bool v2)
{
    struct sk_lab_torrent torrent = {
        .name = "a test",
        .size = (uint64_t)(pieces - 1) * piece_size + SK_MIN(piece_size, 20000u),
        .piece_size = piece_size,
        .has_v1 = v1,
        .has_v2 = v2,
        .seed = 5,
    };
    assert_int_equal(sk_lab_content_init(&world->content, &torrent), 0);
}

static inline void world_init(struct world *world, const struct skep_config *config)
{
    struct skep_config own = config ? *config : (struct skep_config){.no_lsd = true};
    own.seed = own.seed ? own.seed : 42;
    own.port = own.port ? own.port : 5000;
    *world = (struct world){.now_ns = WORLD_START_NS};
    assert_int_equal(sk_engine_new(&own, world->now_ns, &world->engine), 0);
    for (int kind = 0; kind < SKEP_EVENT_KIND_COUNT; kind++)
        assert_int_equal(
            skep_engine_hook(world->engine, (enum skep_event_kind)kind, world_record, world), 0);
}

/* Adds the content's torrent, from a file (with these trackers) or a link. */
static inline void world_add_file(struct world *world, const char *const *trackers, size_t n)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 64u << 20);
    assert_int_equal(sk_lab_content_write(&world->content, trackers, n, &buf), 0);
    assert_int_equal(skep_engine_add_file(world->engine, buf.p, buf.n, &world->torrent, NULL), 0);
    sk_buf_deinit(&buf);
}

static inline void world_add_hash(struct world *world)
{
    char hex[65];
    bool v1 = world->content.torrent.has_v1;
    const uint8_t *hash = v1 ? world->content.hash_v1 : world->content.hash_v2;
    for (int i = 0; i < (v1 ? 20 : 32); i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    assert_int_equal(skep_engine_add_link(world->engine, hex, &world->torrent, NULL), 0);
}

static inline struct sk_endpoint world_endpoint(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_parse(text, 0, &endpoint), 0);
    return endpoint;
}

/* A seed with everything, until the test says otherwise. */
static inline struct remote *world_remote(struct world *world, const char *address)
{
    struct remote *remote = calloc(1, sizeof *remote);
    assert_non_null(remote);
    const struct sk_lab_content *content = &world->content;
    remote->world = world;
    remote->at = world_endpoint(address);
    remote->content = content;
    remote->session = (struct sk_peer_config){
        .pieces = content->pieces,
        .piece_size = content->torrent.piece_size,
        .has_v2 = content->torrent.has_v2,
        .listen_port = remote->at.port,
        .mse = SK_MSE_PLAIN | SK_MSE_RC4,
        .client = "remote 1.0",
        .seed = 1000 + world->next_id,
    };
    memcpy(remote->session.info_hash, content->info_hash, 20);
    snprintf((char *)remote->session.peer_id, 20, "-RM0001-%011u", world->next_id++);
    assert_int_equal(sk_bitfield_init(&remote->holds, content->pieces), 0);
    sk_bitfield_fill(&remote->holds);
    remote->next = world->remotes;
    world->remotes = remote;
    return remote;
}

/* A remote that the user gave. */
static inline struct remote *world_peer(struct world *world, const char *address)
{
    struct remote *remote = world_remote(world, address);
    assert_int_equal(skep_torrent_add_peer(world->torrent, address), 0);
    return remote;
}

static inline void world_hold(struct remote *remote, uint32_t first, uint32_t count)
{
    sk_bitfield_clear(&remote->holds);
    for (uint32_t i = first; i < first + count; i++)
        sk_bitfield_add(&remote->holds, i);
}

/* ---- connections ---- */

static inline struct link *new_link(struct remote *remote, struct sk_conn *conn)
{
    struct link *link = calloc(1, sizeof *link);
    assert_non_null(link);
    link->remote = remote;
    link->conn = conn;
    link->next = remote->world->links;
    remote->world->links = link;
    conn->io = link;
    return link;
}

static inline void open_session(struct link *link, bool outgoing)
{
    struct remote *remote = link->remote;
    if (remote->mute)
        return;
    struct sk_peer_config config = remote->session;
    config.outgoing = outgoing;
    memcpy(link->skey.info_hash, remote->session.info_hash, 20);
    sk_mse_hash_req2(link->skey.info_hash, link->skey.req2);
    int err = sk_peer_new(&config, remote->world->now_ns, &link->session);
    if (err == SKEP_ERR_NOMEM) /* made to fail, once (test_engine_oom.c) */
        err = sk_peer_new(&config, remote->world->now_ns, &link->session);
    assert_int_equal(err, 0);
    sk_peer_set_skeys(link->session, &link->skey, 1);
}

static inline void world_dialled(struct world *world, const struct sk_out *out)
{
    struct remote *remote = world->remotes;
    while (remote && !sk_endpoint_equal(&remote->at, &out->endpoint))
        remote = remote->next;
    if (!remote) {
        out->conn->io = NULL;
        sk_engine_conn_failed(world->engine, out->conn, SK_CONN_UNREACHABLE, world->now_ns);
        return;
    }
    remote->dials++;
    new_link(remote, out->conn)->connecting = true;
}

/* The remote dials us; NULL where the engine does not want it. */
static inline struct link *world_connect(struct world *world, struct remote *remote,
                                         const char *from)
{
    struct sk_endpoint endpoint = world_endpoint(from);
    struct sk_conn *conn = sk_engine_conn_accepted(world->engine, &endpoint, world->now_ns);
    if (!conn)
        return NULL;
    struct link *link = new_link(remote, conn);
    open_session(link, true);
    return link;
}

static inline void world_closed(struct world *world, struct sk_conn *conn)
{
    struct link *link = conn->io;
    if (link) {
        link->gone = true;
        link->conn = NULL;
        if (link->session) {
            sk_peer_input_eof(link->session, world->now_ns);
            remote_drain(link);
        }
    }
    sk_engine_conn_gone(world->engine, conn);
}

/* Takes the bit of BEP 6 out of a plain handshake, for who has not got it. */
static inline void hide_fast(const struct remote *remote, uint8_t *bytes, size_t n)
{
    if (remote->no_fast && n >= 28 && bytes[0] == 19)
        bytes[27] &= (uint8_t)~SK_RESERVED_FAST;
}

/* Moves what the engine has to say to the remote. */
static inline void world_sent(struct world *world, struct sk_conn *conn)
{
    struct link *link = conn->io;
    for (;;) {
        struct sk_bytes out = sk_engine_conn_output(conn);
        if (out.n == 0)
            return;
        uint8_t *copy = malloc(out.n);
        size_t n = out.n;
        memcpy(copy, out.p, n);
        if (!link->first_seen)
            hide_fast(link->remote, copy, n);
        sk_engine_conn_sent(world->engine, conn, n, world->now_ns);
        if (!link->first_seen && conn->outgoing) {
            bool plain = copy[0] == 19;
            link->remote->plain += plain;
            link->remote->mse += !plain;
            link->ended |= link->remote->hangs_up || (plain && link->remote->hates_plain) ||
                           (!plain && link->remote->hates_mse);
        }
        link->first_seen = true;
        if (link->session && !link->ended) {
            sk_peer_input(link->session, copy, n, world->now_ns);
            remote_drain(link);
        }
        free(copy);
    }
}

static inline void disk_write(struct world *world, const struct disk_job *job)
{
    int err = !world->disk_fails ? 0 : world->disk_error ? world->disk_error : SKEP_ERR_IO;
    if (job->verify && !err && sk_metainfo_verify_piece(job->verify, job->piece, job->bytes) != 1)
        err = SKEP_ERR_MISMATCH;
    world->written_wrong += err == SKEP_ERR_MISMATCH;
    world->written_bytes += err ? 0 : job->bytes.n;
    sk_engine_disk_written(world->engine, job->id, err, world->now_ns);
}

static inline void disk_read(struct world *world, const struct disk_job *job)
{
    uint8_t *bytes = calloc(1, job->length); /* behind the end there are zeros */
    uint64_t end = SK_MIN(job->offset + job->length, world->content.torrent.size);
    sk_lab_content_read(&world->content, job->offset, bytes, (size_t)(end - job->offset));
    sk_engine_disk_read(world->engine, job->id, world->disk_fails ? SKEP_ERR_IO : 0,
                        sk_bytes(bytes, job->length), world->now_ns);
    free(bytes);
}

static inline void disk_do(struct world *world, const struct disk_job *job)
{
    if (job->write)
        disk_write(world, job);
    else
        disk_read(world, job);
}

static inline void world_disk(struct world *world, const struct sk_out *out)
{
    struct disk_job job = {.write = out->kind == SK_OUT_WRITE,
                           .id = out->id,
                           .offset = out->offset,
                           .bytes = out->bytes,
                           .length = out->length,
                           .torrent = out->torrent,
                           .piece = out->piece,
                           .verify = out->verify};
    if (job.write) {
        world->writes++;
        world->waiting_write = out->id;
    } else {
        world->reads++;
        world->read_id = out->id;
    }
    if (world->disk_waits)
        return;
    if (world->disk_s <= 0) {
        disk_do(world, &job);
        return;
    }
    assert_true(world->disk_jobs_count < SK_ARRAY_LEN(world->disk_jobs));
    world->disk_ns = SK_MAX(world->disk_ns, world->now_ns) + (uint64_t)(world->disk_s * 1e9);
    job.due_ns = world->disk_ns;
    world->disk_jobs[world->disk_jobs_count++] = job;
}

/* Does the disk's first job where it is due; whether it was. */
static inline bool world_disk_pump(struct world *world)
{
    struct disk_job job = world->disk_jobs[0];
    if (!world->disk_jobs_count || world->now_ns < job.due_ns)
        return false;
    world->disk_jobs_count--;
    memmove(&world->disk_jobs[0], &world->disk_jobs[1], world->disk_jobs_count * sizeof job);
    disk_do(world, &job);
    return true;
}

static inline void world_output(struct world *world, const struct sk_out *out)
{
    struct link *link = out->conn ? out->conn->io : NULL;
    switch (out->kind) {
    case SK_OUT_CONNECT:
        world_dialled(world, out);
        break;
    case SK_OUT_SEND:
        if (!world->stuck)
            world_sent(world, out->conn);
        break;
    case SK_OUT_CLOSE:
        world_closed(world, out->conn);
        break;
    case SK_OUT_READ_PAUSE:
    case SK_OUT_READ_RESUME:
        link->paused = out->kind == SK_OUT_READ_PAUSE;
        world->pauses += link->paused;
        world->resumes += !link->paused;
        break;
    case SK_OUT_UDP:
        world->udp_count++;
        world->udp_to = out->endpoint;
        world->udp_n = SK_MIN(out->bytes.n, sizeof world->udp);
        memcpy(world->udp, out->bytes.p, world->udp_n);
        if (world->net_sent)
            world->net_sent(world, out);
        break;
    case SK_OUT_LSD:
        world->lsd_count++;
        break;
    case SK_OUT_RESOLVE:
        world->resolve_id = out->id;
        world->resolves++;
        snprintf(world->resolve_name, sizeof world->resolve_name, "%s", out->text);
        break;
    case SK_OUT_HTTP_GET:
        world->http_count++;
        world->http_id = out->id;
        world->http_scope = out->scope;
        snprintf(world->http_url, sizeof world->http_url, "%s", out->text);
        break;
    case SK_OUT_HTTP_CANCEL:
        world->http_cancelled++;
        if (world->range_sent)
            world->range_sent(world, out);
        break;
    case SK_OUT_HTTP_RANGE:
    case SK_OUT_HTTP_PAUSE:
    case SK_OUT_HTTP_RESUME:
        if (world->range_sent)
            world->range_sent(world, out);
        break;
    case SK_OUT_WRITE:
    case SK_OUT_READ:
        world_disk(world, out);
        break;
    }
}

static inline bool world_outputs(struct world *world)
{
    struct sk_out out;
    bool any = false;
    while (sk_engine_next_output(world->engine, &out)) {
        world_output(world, &out);
        any = true;
    }
    return any;
}

static inline void world_sweep(struct world *world)
{
    for (struct link **at = &world->links; *at;) {
        struct link *link = *at;
        if (!link->gone) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        sk_peer_free(link->session);
        free(link);
    }
}

static inline bool link_finish_connect(struct world *world, struct link *link)
{
    static const enum sk_conn_failure failures[] = {[REFUSES] = SK_CONN_REFUSED,
                                                    [UNREACHABLE] = SK_CONN_UNREACHABLE,
                                                    [NO_SOCKETS] = SK_CONN_LOCAL};
    enum remote_answer answer = link->remote->answer;
    if (answer == NO_ANSWER)
        return false;
    link->connecting = false;
    if (answer == CONNECTS) {
        open_session(link, false);
        sk_engine_conn_connected(world->engine, link->conn, world->now_ns);
    } else {
        sk_engine_conn_failed(world->engine, link->conn, failures[answer], world->now_ns);
    }
    return true;
}

/* Moves what the remote has to say to the engine. */
static inline bool link_deliver(struct world *world, struct link *link)
{
    if (link->gone || link->told)
        return false;
    if (link->connecting)
        return link_finish_connect(world, link);
    struct sk_bytes out = link->session ? sk_peer_output(link->session) : sk_bytes(NULL, 0);
    if (out.n && !link->paused) {
        size_t n = SK_MIN(out.n, (size_t)65536);
        uint8_t *copy = malloc(n);
        memcpy(copy, out.p, n);
        if (!link->first_told)
            hide_fast(link->remote, copy, n);
        link->first_told = true;
        sk_peer_sent(link->session, n, world->now_ns);
        sk_engine_conn_input(world->engine, link->conn, copy, n, world->now_ns);
        free(copy);
        return true;
    }
    if (!link->ended || out.n)
        return false;
    link->told = true;
    sk_engine_conn_eof(world->engine, link->conn, link->remote->resets, world->now_ns);
    return true;
}

/* Until nobody has anything to say at this time. */
static inline void world_pump(struct world *world)
{
    bool again = true;
    for (int rounds = 0; again; rounds++) {
        if (rounds > 1000000)
            fail_msg("the world does not come to rest");
        again = world_outputs(world);
        again |= world_disk_pump(world);
        again |= world->net_pump && world->net_pump(world);
        for (struct link *link = world->links; link; link = link->next) {
            if (link->gone)
                continue;
            if (!link->connecting && !world->stuck)
                world_sent(world, link->conn);
            remote_tick(link, world->now_ns);
            if (link_deliver(world, link)) {
                again = true;
                world_outputs(world);
            }
        }
        world_sweep(world);
    }
}

static inline uint64_t world_deadline(const struct world *world)
{
    uint64_t at = sk_engine_deadline(world->engine);
    for (const struct link *link = world->links; link; link = link->next)
        at = SK_MIN(at, remote_deadline(link));
    if (world->every)
        at = SK_MIN(at, world->every_next_ns);
    if (world->disk_jobs_count)
        at = SK_MIN(at, world->disk_jobs[0].due_ns);
    if (world->net_deadline)
        at = SK_MIN(at, world->net_deadline(world));
    return at;
}

static inline bool world_has_peer(const struct world *world, const struct skep_peer *wanted)
{
    const struct skep_peer *peer = world->engine->peers;
    while (peer && peer != wanted)
        peer = peer->next;
    return peer || !wanted;
}

/* Counters that must hold whatever happened. */
static inline void world_check(const struct world *world)
{
    const struct skep_engine *engine = world->engine;
    uint32_t peers = 0, incoming = 0, half_open = 0, paused = 0;
    for (const struct skep_peer *peer = engine->peers; peer; peer = peer->next) {
        bool closing = peer->stage == SK_STAGE_CLOSING;
        peers++;
        incoming += !peer->conn.outgoing;
        half_open += peer->conn.outgoing && peer->stage == SK_STAGE_CONNECTING;
        paused += peer->paused && !closing;
        if (peer->opened && !closing)
            assert_ptr_equal(peer->entry->owner, peer);
    }
    assert_int_equal(engine->peers_count, peers);
    assert_int_equal(engine->incoming_count, incoming);
    assert_int_equal(engine->half_open, half_open);
    assert_int_equal(engine->paused_count, paused);
    for (uint32_t i = 0; i < engine->torrents_count; i++) {
        const struct skep_torrent *torrent = engine->torrents[i];
        uint32_t open = 0, unchoked = 0;
        for (const struct skep_peer *peer = engine->peers; peer; peer = peer->next) {
            if (peer->torrent != torrent || !peer->opened || peer->stage != SK_STAGE_TALKING)
                continue;
            open++;
            unchoked += !sk_peer_view(peer->session)->choking;
        }
        for (uint32_t j = 0; j < torrent->metadata.pieces; j++)
            assert_true(world_has_peer(world, torrent->metadata.piece[j].from));
        assert_true(world_has_peer(world, torrent->layers.from));
        assert_int_equal(torrent->open, open);
        assert_int_equal(torrent->by_peer_id.count, open);
        assert_int_equal(torrent->choker ? sk_choker_unchoked(torrent->choker) : 0, unchoked);
        assert_int_equal(torrent->book.waiting,
                         torrent->book.queue.count + torrent->book.renewals.count);
    }
}

/* Lets time pass. */
static inline void world_run(struct world *world, double seconds)
{
    uint64_t end_ns = world->now_ns + (uint64_t)(seconds * 1e9);
    size_t still = 0;
    world_pump(world);
    for (;;) {
        uint64_t at = SK_MAX(world_deadline(world), world->now_ns);
        still = at == world->now_ns ? still + 1 : 0;
        if (still > 100000)
            fail_msg("the engine spins");
        if (at > end_ns)
            break;
        world->now_ns = at;
        if (sk_engine_deadline(world->engine) <= at) {
            world->ticks++;
            sk_engine_tick(world->engine, at);
        }
        world_pump(world);
        if (world->every && at >= world->every_next_ns) {
            world->every_next_ns = at + world->every_ns;
            world->every(world);
            world_pump(world);
        }
    }
    world->now_ns = end_ns;
    sk_engine_tick(world->engine, end_ns);
    world_pump(world);
    world_check(world);
}

static inline void world_start(struct world *world)
{
    assert_int_equal(skep_torrent_start(world->torrent, world->now_ns), 0);
}

/* Also stops the torrent and looks that nothing stays behind. */
static inline void world_deinit(struct world *world)
{
    if (world->torrent) {
        skep_torrent_stop(world->torrent, world->now_ns);
        world_pump(world);
        assert_int_equal(skep_torrent_open(world->torrent), 0);
    }
    world_check(world);
    sk_engine_free(world->engine);
    for (struct link *link = world->links; link; link = link->next)
        link->gone = true;
    world_sweep(world);
    while (world->remotes) {
        struct remote *remote = world->remotes;
        world->remotes = remote->next;
        sk_bitfield_deinit(&remote->holds);
        free(remote);
    }
    sk_lab_content_deinit(&world->content);
    free(world->events);
}

static inline void assert_failed(const struct world *world, const char *address, const char *reason)
{
    const struct seen_event *seen = world_seen(world, SKEP_EVENT_FAILED, address);
    if (!seen)
        fail_msg("%s did not fail", address);
    assert_string_equal(seen->reason, reason);
    assert_true(seen->final);
}

#endif
