/*
 * A whole engine with an auditor on it. Input: two bytes that choose the set-up (see set_up()),
 * then acts of the world, a byte each with its arguments: connections that open, fail, speak and
 * end, answers of trackers, names and the disk, datagrams, time, and what hooks do when they are
 * called next. After each act the counters must be right; at the end nothing stays behind.
 */
#include "engine/auditor_internal.h"
#include "engine/dht_internal.h"
#include "proto/peer/session_internal.h"
#include "swarm/lab_content.h"
#include "wire/utp.h"

#include <skep/err.h>

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNS_MAX 16
#define PIECES 5
#define PIECE 32768u

struct fuzz {
    const uint8_t *p, *end;
    struct skep_engine *engine;
    struct skep_torrent *torrent;
    struct sk_auditor *auditor;
    const struct sk_lab_content *content;
    uint64_t now_ns;
    struct sk_conn *conns[CONNS_MAX];
    uint64_t http_id, resolve_id, read_id, write_id;
    struct sk_endpoint called; /* over uTP, last; with which packet */
    struct sk_utp_packet syn;
    struct sk_endpoint asked; /* the DHT node that was asked last */
    uint8_t transaction[SK_KRPC_TRANSACTION_MAX];
    size_t transaction_size;
    uint64_t search;
    uint32_t read_length;
    uint64_t read_offset;
    uint8_t whim; /* what the next hook does */
    bool auditor_done;
};

static uint8_t byte(struct fuzz *fuzz)
{
    return fuzz->p < fuzz->end ? *fuzz->p++ : 0;
}

static struct sk_bytes take(struct fuzz *fuzz, size_t n)
{
    n = SK_MIN(n, (size_t)(fuzz->end - fuzz->p));
    fuzz->p += n;
    return sk_bytes(fuzz->p - n, n);
}

/* ---- the world ---- */

static void keep_conn(struct fuzz *fuzz, struct sk_conn *conn)
{
    for (int i = 0; conn && i < CONNS_MAX; i++) {
        if (fuzz->conns[i])
            continue;
        fuzz->conns[i] = conn;
        return;
    }
    if (conn && conn->outgoing)
        sk_engine_conn_failed(fuzz->engine, conn, SK_CONN_REFUSED, fuzz->now_ns);
    else if (conn)
        sk_engine_conn_eof(fuzz->engine, conn, true, fuzz->now_ns);
}

static void lose_conn(struct fuzz *fuzz, struct sk_conn *conn)
{
    for (int i = 0; i < CONNS_MAX; i++)
        if (fuzz->conns[i] == conn)
            fuzz->conns[i] = NULL;
    sk_engine_conn_gone(fuzz->engine, conn);
}

static void send_all(struct fuzz *fuzz, struct sk_conn *conn)
{
    size_t n = sk_engine_conn_output(conn).n;
    if (n)
        sk_engine_conn_sent(fuzz->engine, conn, n, fuzz->now_ns);
}

/* What the node asks can be answered. */
static void note_query(struct fuzz *fuzz, const struct sk_out *out)
{
    struct sk_krpc query;
    if (sk_krpc_read(out->bytes, &query) || query.kind != SK_KRPC_QUERY)
        return;
    fuzz->asked = out->endpoint;
    fuzz->transaction_size = query.transaction.n;
    memcpy(fuzz->transaction, query.transaction.p, query.transaction.n);
}

static void drain(struct fuzz *fuzz)
{
    struct sk_out out;
    while (sk_engine_next_output(fuzz->engine, &out)) {
        switch (out.kind) {
        case SK_OUT_CONNECT:
            keep_conn(fuzz, out.conn);
            break;
        case SK_OUT_SEND:
            send_all(fuzz, out.conn);
            break;
        case SK_OUT_CLOSE:
            lose_conn(fuzz, out.conn);
            break;
        case SK_OUT_HTTP_GET:
            SK_ASSERT(strstr(out.text, "://"));
            fuzz->http_id = out.id;
            break;
        case SK_OUT_RESOLVE:
            SK_ASSERT(out.text[0]);
            fuzz->resolve_id = out.id;
            break;
        case SK_OUT_READ:
            fuzz->read_id = out.id;
            fuzz->read_length = out.length;
            fuzz->read_offset = out.offset;
            break;
        case SK_OUT_WRITE:
            fuzz->write_id = out.id;
            break;
        case SK_OUT_UDP:
            note_query(fuzz, &out);
            break;
        default:
            break;
        }
    }
    while (sk_engine_next_packet(fuzz->engine, &out)) { /* lost on the way, all of them */
        struct sk_utp_packet packet;
        SK_ASSERT(out.kind == SK_OUT_UDP);
        if (sk_utp_read(out.bytes, &packet) || packet.type != SK_UTP_SYN)
            continue;
        fuzz->called = out.endpoint;
        fuzz->syn = packet;
    }
}

/* One of TCP, or of uTP: these are the engine's own, and may have gone. */
static struct sk_conn *choose_conn(struct fuzz *fuzz)
{
    uint8_t which = byte(fuzz);
    uint32_t place = which >> 1 & 7;
    if (!(which & 128))
        return fuzz->conns[which % CONNS_MAX];
    for (struct skep_peer *peer = fuzz->engine->peers; peer; peer = peer->next)
        if (peer->is_stream && place-- == 0)
            return &peer->conn;
    return NULL;
}

static void feed(struct fuzz *fuzz, struct sk_conn *conn, struct sk_bytes bytes)
{
    uint8_t *copy = malloc(bytes.n ? bytes.n : 1);
    SK_ASSERT(copy);
    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    sk_engine_conn_input(fuzz->engine, conn, copy, bytes.n, fuzz->now_ns);
    free(copy);
}

static void feed_message(struct fuzz *fuzz, struct sk_conn *conn, const struct sk_msg *msg)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 1 << 20);
    SK_ASSERT(sk_msg_write(&buf, msg) == 0);
    feed(fuzz, conn, sk_buf_bytes(&buf));
    sk_buf_deinit(&buf);
}

/* ---- what hooks do ---- */

static void act(struct fuzz *fuzz, const struct skep_event *event, uint8_t whim)
{
    static const uint8_t bytes[PIECE];
    static const char *const addresses[] = {"10.0.0.9:7000", "80.0.0.1:99", "a.name:7000"};
    struct skep_peer *peer = event->peer;
    uint32_t piece = whim >> 4;
    switch (whim & 15) {
    case 1:
        skep_torrent_stop(event->torrent, event->now_ns);
        break;
    case 2:
        (void)skep_torrent_add_peer(event->torrent, addresses[piece % 3]);
        break;
    case 3:
        (void)skep_torrent_add_tracker(event->torrent, "udp://10.0.0.8:7000");
        break;
    case 4:
        (void)skep_torrent_store(event->torrent, piece, bytes,
                                 skep_torrent_piece_length(event->torrent, piece));
        break;
    case 5:
        if (peer)
            skep_peer_close(peer);
        break;
    case 6:
        if (peer)
            (void)skep_peer_interest(peer, piece & 1);
        break;
    case 7:
        for (uint32_t i = 0; peer && i < 4; i++)
            (void)skep_peer_request(peer, piece % PIECES, i % 2 * 16384, 16384);
        break;
    case 8:
        if (peer)
            (void)skep_peer_cancel(peer, piece % PIECES, 0, 16384);
        break;
    case 9:
        if (peer)
            (void)skep_peer_request_leaves(peer, piece);
        break;
    case 10:
        if (peer)
            (void)skep_peer_renew(peer, event->now_ns, piece * SK_SECOND_NS);
        break;
    default:
        break;
    }
}

static void on_any(const struct skep_event *event, void *ctx)
{
    struct fuzz *fuzz = ctx;
    uint8_t whim = fuzz->whim;
    fuzz->whim = 0;
    if (event->peer) {
        SK_ASSERT(skep_peer_address(event->peer)[0]);
        SK_ASSERT(skep_peer_client(event->peer));
        (void)skep_peer_have_count(event->peer);
    }
    act(fuzz, event, whim);
}

static void on_done(void *ctx)
{
    struct fuzz *fuzz = ctx;
    SK_ASSERT(!fuzz->auditor_done);
    fuzz->auditor_done = true;
}

/* ---- acts ---- */

static void pass_time(struct fuzz *fuzz)
{
    static const uint64_t steps_ms[] = {1, 50, 250, 1000, 5000, 10000, 60000, 150000};
    fuzz->now_ns += steps_ms[byte(fuzz) % 8] * 1000000;
    /* Never more than a few times at one time, or it spins. */
    for (int i = 0; sk_engine_deadline(fuzz->engine) <= fuzz->now_ns; i++) {
        SK_ASSERT(i < 1000);
        sk_engine_tick(fuzz->engine, fuzz->now_ns);
        drain(fuzz);
    }
    sk_auditor_tick(fuzz->auditor, fuzz->now_ns);
}

static void accept_conn(struct fuzz *fuzz)
{
    uint8_t which = byte(fuzz);
    struct sk_endpoint from =
        sk_endpoint_v4((uint8_t[]){10, 0, 0, which & 7}, which & 8 ? 7000 : 40000);
    int i = 0;
    while (i < CONNS_MAX && fuzz->conns[i])
        i++;
    if (i < CONNS_MAX)
        fuzz->conns[i] = sk_engine_conn_accepted(fuzz->engine, &from, fuzz->now_ns);
}

static void finish_connect(struct fuzz *fuzz)
{
    struct sk_conn *conn = choose_conn(fuzz);
    uint8_t how = byte(fuzz);
    if (!conn || !conn->outgoing || ((struct skep_peer *)conn)->stage != SK_STAGE_CONNECTING)
        return;
    if (how & 4)
        sk_engine_conn_failed(fuzz->engine, conn, (enum sk_conn_failure)(how & 3), fuzz->now_ns);
    else
        sk_engine_conn_connected(fuzz->engine, conn, fuzz->now_ns);
}

/* Whom we called over uTP last lets us in, or not. */
static void answer_stream(struct fuzz *fuzz, bool refused)
{
    struct sk_utp_packet packet = {.type = refused ? SK_UTP_RESET : SK_UTP_STATE,
                                   .connection_id = fuzz->syn.connection_id,
                                   .window = 1 << 20,
                                   .seq_nr = 1,
                                   .ack_nr = fuzz->syn.seq_nr};
    uint8_t bytes[SK_UTP_HEADER_SIZE];
    if (!fuzz->called.family)
        return;
    sk_utp_write_header(&packet, bytes);
    sk_engine_udp_input(fuzz->engine, &fuzz->called, sk_bytes(bytes, sizeof bytes), fuzz->now_ns);
}

static void speak_raw(struct fuzz *fuzz)
{
    struct sk_conn *conn = choose_conn(fuzz);
    struct sk_bytes bytes = take(fuzz, byte(fuzz));
    if (conn)
        feed(fuzz, conn, bytes);
}

static void greet(struct fuzz *fuzz)
{
    struct sk_conn *conn = choose_conn(fuzz);
    uint8_t how = byte(fuzz);
    struct sk_handshake hello = {
        .reserved = (how & 1 ? SK_RESERVED_FAST : 0) | (how & 2 ? SK_RESERVED_EXTENSION : 0) |
                    (how & 4 ? SK_RESERVED_V2 : 0),
    };
    uint8_t bytes[SK_HANDSHAKE_SIZE];
    memcpy(hello.info_hash, fuzz->content->info_hash, 20);
    hello.info_hash[0] ^= how == 255;
    memset(hello.peer_id, 'a' + (how >> 3 & 7), 20);
    if ((how >> 3 & 15) == 15)
        memcpy(hello.peer_id, fuzz->engine->peer_id, 20);
    sk_handshake_write(&hello, bytes);
    if (conn)
        feed(fuzz, conn, sk_bytes(bytes, sizeof bytes));
}

static void speak(struct fuzz *fuzz)
{
    static const uint8_t kinds[] = {0, 1, 2, 3, 4, 5, 6, 8, 9, 13, 14, 15, 16, 17, 21, 23};
    static const uint8_t bits[] = {0xf8, 0x80, 0xff, 0x00};
    static const uint8_t root[32];
    struct sk_conn *conn = choose_conn(fuzz);
    uint8_t kind = byte(fuzz), arg = byte(fuzz);
    struct sk_msg msg = {
        .kind = (enum sk_msg_kind)kinds[kind % 16],
        .index = arg & 7,
        .begin = (arg >> 3 & 3) * 16384u,
        .length = arg & 32 ? 16384 : 100,
        .port = arg,
        .range = {.root = root, .length = 2},
    };
    if (msg.kind == SK_MSG_BITFIELD)
        msg.data = sk_bytes(&bits[arg & 3], 1);
    if (conn)
        feed_message(fuzz, conn, &msg);
}

/* A block that was asked for: right, wrong, or refused. */
static void answer_request(struct fuzz *fuzz)
{
    static uint8_t bytes[SK_BLOCK_SIZE_MAX];
    struct skep_peer *peer = (struct skep_peer *)choose_conn(fuzz);
    uint8_t how = byte(fuzz);
    if (!peer || !peer->session || peer->stage != SK_STAGE_TALKING)
        return;
    const struct sk_requests *requests = &peer->session->requests;
    const struct sk_request *r = NULL;
    for (uint32_t i = requests->head; i < requests->end && !r; i++)
        if (requests->items[i].state == SK_REQUEST_WAITING)
            r = &requests->items[i];
    if (!r)
        return;
    struct sk_msg msg = {.kind = how & 1 ? SK_MSG_REJECT : SK_MSG_PIECE,
                         .index = r->index,
                         .begin = r->begin,
                         .length = r->length,
                         .data = sk_bytes(bytes, r->length)};
    uint64_t offset = (uint64_t)r->index * PIECE + r->begin;
    if (offset + r->length <= fuzz->content->torrent.size)
        sk_lab_content_read(fuzz->content, offset, bytes, r->length);
    bytes[0] ^= how & 2;
    feed_message(fuzz, &peer->conn, &msg);
}

/* Extension handshake, PEX, metadata: by the ids that our own handshake gives. */
static void extend(struct fuzz *fuzz)
{
    struct sk_conn *conn = choose_conn(fuzz);
    uint8_t what = byte(fuzz), arg = byte(fuzz);
    struct sk_buf buf;
    struct sk_bytes info = sk_buf_bytes(&fuzz->content->info);
    sk_buf_init(&buf, 1 << 20);
    what = what % 8 == SK_EXT_HOLEPUNCH ? SK_EXT_HOLEPUNCH : what % 4;
    sk_buf_append(&buf, &what, 1);
    if (what == SK_EXT_HANDSHAKE) {
        struct sk_extension_handshake hello = {
            .ids = {[SK_EXT_METADATA] = 1, [SK_EXT_PEX] = 2, [SK_EXT_HOLEPUNCH] = arg & 8 ? 5 : 0},
            .metadata_size = arg & 1 ? (int64_t)info.n : arg * 100,
            .port = arg & 2 ? 7000 : 0,
            .request_queue = arg & 4 ? 3 : 0,
            .upload_only = -1,
        };
        sk_extension_handshake_write(&buf, &hello);
    } else if (what == SK_EXT_METADATA) {
        struct sk_metadata_message message = {.kind = (enum sk_metadata_kind)(arg % 3),
                                              .piece = arg >> 6,
                                              .total_size = (int64_t)info.n,
                                              .data = arg & 8 ? info : sk_bytes(info.p, 50)};
        sk_metadata_message_write(&buf, &message);
    } else if (what == SK_EXT_PEX) {
        struct sk_pex_peer told[3] = {
            {.endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 0, arg & 7}, 7000),
             .flags = arg & 8 ? SK_PEX_HOLEPUNCH : 0},
            {.endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 1, arg}, (uint16_t)(arg * 10))},
            {.endpoint = sk_endpoint_v4((uint8_t[]){127, 0, 0, arg}, 7000), .dropped = arg & 8}};
        sk_pex_write(&buf, told, 3);
    } else if (what == SK_EXT_HOLEPUNCH) {
        struct sk_holepunch message = {
            .kind = (enum sk_holepunch_kind)(arg % 3),
            .endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 0, arg >> 2 & 7}, arg & 32 ? 0 : 7000)};
        sk_holepunch_write(&buf, &message);
    }
    if (conn)
        feed_message(fuzz, conn,
                     &(struct sk_msg){.kind = SK_MSG_EXTENDED,
                                      .extended_id = buf.p[0],
                                      .data = sk_bytes(buf.p + 1, buf.n - 1)});
    sk_buf_deinit(&buf);
}

static void end_conn(struct fuzz *fuzz)
{
    struct sk_conn *conn = choose_conn(fuzz);
    if (conn)
        sk_engine_conn_eof(fuzz->engine, conn, byte(fuzz) & 1, fuzz->now_ns);
}

static void answer_world(struct fuzz *fuzz)
{
    static uint8_t bytes[SK_BLOCK_SIZE_MAX];
    uint8_t what = byte(fuzz);
    struct sk_endpoint found = sk_endpoint_v4((uint8_t[]){10, 0, 0, what & 7}, 1);
    int err = what & 8 ? SKEP_ERR_IO : 0;
    if (what & 64) {
        answer_stream(fuzz, what & 8);
        return;
    }
    switch (what >> 4 & 3) {
    case 0:
        sk_engine_http_done(fuzz->engine, fuzz->http_id, what & 8 ? 0 : 200, take(fuzz, byte(fuzz)),
                            "no", fuzz->now_ns);
        break;
    case 1:
        sk_engine_resolved(fuzz->engine, fuzz->resolve_id, &found, !err, err ? "no" : NULL,
                           fuzz->now_ns);
        break;
    case 2:
        sk_engine_disk_read(fuzz->engine, fuzz->read_id, err,
                            sk_bytes(bytes, SK_MIN(fuzz->read_length, (uint32_t)sizeof bytes)),
                            fuzz->now_ns);
        break;
    default:
        sk_engine_disk_written(fuzz->engine, fuzz->write_id, err, fuzz->now_ns);
        break;
    }
}

/* The DHT node that was asked last answers: the bytes are what it says besides its id. */
static void answer_query(struct fuzz *fuzz, struct sk_bytes said)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    sk_buf_text(&buf, "d1:rd2:id20:a node of the fuzzer");
    sk_buf_append(&buf, said.p, said.n);
    sk_buf_printf(&buf, "e1:t%zu:", fuzz->transaction_size);
    sk_buf_append(&buf, fuzz->transaction, fuzz->transaction_size);
    sk_buf_text(&buf, "1:y1:re");
    sk_engine_udp_input(fuzz->engine, &fuzz->asked, sk_buf_bytes(&buf), fuzz->now_ns);
    sk_buf_deinit(&buf);
}

static void hear_datagram(struct fuzz *fuzz)
{
    struct sk_endpoint from = sk_endpoint_v4((uint8_t[]){10, 0, 0, 8}, 7000);
    uint8_t n = byte(fuzz);
    struct sk_bytes bytes = take(fuzz, n & 127);
    if (n & 128)
        sk_engine_lsd_input(fuzz->engine, &from, bytes, fuzz->now_ns);
    else if (bytes.n && bytes.p[0] == 'r' && fuzz->asked.family)
        answer_query(fuzz, sk_bytes(bytes.p + 1, bytes.n - 1));
    else
        sk_engine_udp_input(fuzz->engine, &from, bytes, fuzz->now_ns);
}

static void set_whim(struct fuzz *fuzz)
{
    fuzz->whim = byte(fuzz);
}

static void (*const acts[])(struct fuzz *) = {
    pass_time, accept_conn,    finish_connect, speak_raw,    greet,         speak,    speak,
    extend,    answer_request, answer_request, answer_world, hear_datagram, end_conn, set_whim,
};

/* ---- what must hold ---- */

static void check_dht(const struct sk_engine_dht *dht)
{
    uint32_t waiting = 0, ops = 0;
    size_t pos = 0;
    for (const struct sk_dht_run *run; (run = sk_map_next(&dht->runs, &pos));) {
        SK_ASSERT(!run->dead && !(run->waiting && run->op));
        waiting += run->waiting;
        ops += run->op != 0;
    }
    SK_ASSERT(dht->waiting_count == waiting && dht->ops.count == ops);
    SK_ASSERT(!dht->dead && !dht->pumping && !sk_dht_fault(dht->node));
}

/* Who dials, alone or as one of two, and whom the book says that it is. */
static void check_dials(const struct fuzz *fuzz)
{
    const struct skep_engine *engine = fuzz->engine;
    const struct sk_peer_book *book = &fuzz->torrent->book;
    uint32_t rivals = 0, owned = 0, owners = 0;
    for (const struct skep_peer *peer = engine->peers; peer; peer = peer->next) {
        SK_ASSERT(!peer->rival ||
                  (peer->rival->rival == peer && peer->rival->entry == peer->entry &&
                   peer->stage == SK_STAGE_CONNECTING));
        rivals += peer->rival != NULL;
        owners += peer->stage != SK_STAGE_CLOSING && sk_conn_owns_entry(peer);
    }
    for (size_t i = 0; i < book->count; i++) {
        const struct sk_book_entry *entry = book->entries[i];
        bool waits = entry->state == SK_DIAL_NEW || entry->state == SK_DIAL_WAITING;
        owned += entry->owner != NULL;
        SK_ASSERT(waits == (entry->retry.slot != 0) && !(waits && entry->owner));
        SK_ASSERT(entry->owner || entry->state != SK_DIAL_OPEN);
        SK_ASSERT(entry->owner || entry->state != SK_DIAL_DIALING ||
                  fuzz->torrent->state != SK_TORRENT_RUNNING);
    }
    SK_ASSERT(engine->races * 2 == rivals && owned == owners);
}

static void check(const struct fuzz *fuzz)
{
    const struct skep_engine *engine = fuzz->engine;
    uint32_t peers = 0, incoming = 0, half_open = 0, open = 0, unchoked = 0, running = 0;
    uint32_t unsettled = 0, paused = 0;
    for (const struct skep_peer *peer = engine->peers; peer; peer = peer->next) {
        bool talking = peer->stage == SK_STAGE_TALKING;
        peers++;
        incoming += !peer->conn.outgoing;
        half_open += peer->conn.outgoing && peer->stage == SK_STAGE_CONNECTING;
        paused += peer->paused && talking;
        open += talking && peer->opened;
        unchoked += talking && peer->opened && !sk_peer_view(peer->session)->choking;
        SK_ASSERT(!talking || !peer->opened || peer->entry->owner == peer);
    }
    SK_ASSERT(engine->peers_count == peers && engine->incoming_count == incoming);
    SK_ASSERT(engine->half_open == half_open && engine->paused_count == paused);
    const struct sk_choker *choker = fuzz->torrent->choker;
    SK_ASSERT(fuzz->torrent->open == open);
    SK_ASSERT((choker ? sk_choker_unchoked(choker) : 0) == unchoked);
    SK_ASSERT(fuzz->torrent->by_peer_id.count == open);
    const struct sk_peer_book *book = &fuzz->torrent->book;
    SK_ASSERT(book->waiting == book->queue.count + book->renewals.count);
    SK_ASSERT(engine->queue_count == 0 && !engine->serving);
    check_dials(fuzz);
    if (engine->dht)
        check_dht(engine->dht);
    for (size_t i = 0; i < fuzz->auditor->count; i++) {
        const struct sk_record *record = fuzz->auditor->records[i];
        unsettled += !record->settled;
        running += record->probe.state == SK_PROBE_RUNNING;
        const struct sk_arrivals *arrivals = &record->probe.arrivals;
        for (uint32_t j = 1; j < arrivals->count; j++)
            SK_ASSERT(arrivals->list[j].bytes >= arrivals->list[j - 1].bytes);
        SK_ASSERT(record->seen.blocks_verified + record->seen.blocks_corrupt <= record->blocks);
        SK_ASSERT(!record->peer || skep_peer_data(record->peer, fuzz->auditor->slot) == record);
    }
    SK_ASSERT(fuzz->auditor->unsettled == unsettled && fuzz->auditor->running == running);
}

/* ---- from beginning to end ---- */

/* Made once: a v1 and a v2 torrent. */
static const struct sk_lab_content *get_content(bool v2)
{
    static struct sk_lab_content contents[2];
    struct sk_lab_content *content = &contents[v2];
    struct sk_lab_torrent torrent = {.name = "fuzz",
                                     .size = (PIECES - 1) * PIECE + 20000,
                                     .piece_size = PIECE,
                                     .has_v1 = !v2,
                                     .has_v2 = v2,
                                     .seed = 1};
    if (!content->pieces)
        SK_ASSERT(sk_lab_content_init(content, &torrent) == 0);
    return content;
}

static void add_torrent(struct fuzz *fuzz, bool link)
{
    static const char *const trackers[] = {"http://10.0.0.8:7000/announce", "udp://10.0.0.8:7000"};
    struct sk_buf buf;
    int err;
    sk_buf_init(&buf, 1 << 20);
    if (link) {
        bool v1 = fuzz->content->torrent.has_v1;
        const uint8_t *hash = v1 ? fuzz->content->hash_v1 : fuzz->content->hash_v2;
        for (int i = 0; i < (v1 ? 20 : 32); i++)
            sk_buf_printf(&buf, "%02x", hash[i]);
        sk_buf_append(&buf, "", 1);
        err = skep_engine_add_link(fuzz->engine, (const char *)buf.p, &fuzz->torrent, NULL);
    } else {
        sk_lab_content_write(fuzz->content, trackers, 2, &buf);
        err = skep_engine_add_file(fuzz->engine, buf.p, buf.n, &fuzz->torrent, NULL);
    }
    SK_ASSERT(err == 0);
    sk_buf_deinit(&buf);
}

/* A search's events end it, or begin another one, now and then. */
static void on_dht(const struct skep_dht_event *event, void *ctx)
{
    struct fuzz *fuzz = ctx;
    struct skep_dht_search search = {.method = SKEP_DHT_GET_PEERS,
                                     .target = skep_torrent_info_hash(fuzz->torrent),
                                     .scrape = true};
    for (size_t i = 0; event->answer && i < event->answer->peers_count; i++)
        SK_ASSERT(strlen(event->answer->peers[i]) < SK_ENDPOINT_TEXT_MAX);
    if (fuzz->whim % 7 == 1)
        skep_dht_cancel(fuzz->engine, fuzz->search);
    if (fuzz->whim % 7 == 1 || event->kind == SKEP_DHT_DONE)
        (void)skep_dht_start_search(fuzz->engine, &search, on_dht, fuzz, &fuzz->search);
}

static void set_up_dht(struct fuzz *fuzz)
{
    struct skep_dht_search search = {.method = SKEP_DHT_GET,
                                     .target = skep_torrent_info_hash(fuzz->torrent)};
    SK_ASSERT(sk_engine_join_dht(fuzz->engine, SK_KRPC_WANT_V4, fuzz->now_ns) == 0);
    SK_ASSERT(skep_dht_add_node(fuzz->engine, "10.0.0.8:7000") == 0);
    SK_ASSERT(skep_dht_start_search(fuzz->engine, &search, on_dht, fuzz, &fuzz->search) == 0);
}

static void set_up(struct fuzz *fuzz)
{
    uint8_t a = byte(fuzz), b = byte(fuzz);
    struct skep_config config = {
        .port = 5000,
        .encryption = a & 1 ? SKEP_ENCRYPTION_OFF : (enum skep_encryption)(a >> 1 & 3),
        .save_dir = a & 8 ? "/there" : NULL,
        .give = a & 16,
        .rate_limit_bytes_s = a & 32 ? 1000 : 0,
        .connections_max = a & 64 ? 6 : 0,
        .transports = b & 64 ? SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP : SKEP_TRANSPORT_TCP,
        .lasting = b & 128,
        .super_seed = (b & 3) == 3,
        .seed = 1,
    };
    struct sk_auditor_config audit = {.probe_bytes = b & 1 ? 20000 : 0,
                                      .no_probe = b & 2,
                                      .save = a & 8,
                                      .patience_s = 10,
                                      .seed = 1,
                                      .done = on_done,
                                      .done_ctx = fuzz};
    fuzz->now_ns = SK_SECOND_NS;
    fuzz->content = get_content(b & 4);
    SK_ASSERT(sk_engine_new(&config, fuzz->now_ns, &fuzz->engine) == 0);
    for (int kind = 0; kind < SKEP_EVENT_KIND_COUNT; kind++)
        SK_ASSERT(skep_engine_hook(fuzz->engine, (enum skep_event_kind)kind, on_any, fuzz) == 0);
    add_torrent(fuzz, b & 8);
    if (a & 128)
        set_up_dht(fuzz);
    SK_ASSERT(sk_auditor_new(fuzz->engine, fuzz->torrent, &audit, fuzz->now_ns, &fuzz->auditor) ==
              0);
    for (int i = 1; i <= (b >> 4 & 3); i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        SK_ASSERT(skep_torrent_add_peer(fuzz->torrent, text) == 0);
    }
    SK_ASSERT(skep_torrent_start(fuzz->torrent, fuzz->now_ns) == 0);
    drain(fuzz);
}

static void tear_down(struct fuzz *fuzz)
{
    struct sk_report report;
    SK_ASSERT(sk_auditor_report(fuzz->auditor, SK_STOPPED_TIME, fuzz->now_ns, &report) == 0);
    sk_report_deinit(&report);
    skep_torrent_stop(fuzz->torrent, fuzz->now_ns);
    drain(fuzz);
    check(fuzz);
    SK_ASSERT(fuzz->torrent->open == 0 && fuzz->engine->half_open == 0);
    SK_ASSERT(fuzz->auditor->running == 0);
    for (int i = 0; i < CONNS_MAX; i++) /* who came in and named no torrent yet */
        if (fuzz->conns[i])
            sk_engine_conn_eof(fuzz->engine, fuzz->conns[i], false, fuzz->now_ns);
    for (struct skep_peer *peer = fuzz->engine->peers; peer; peer = peer->next)
        if (peer->is_stream)
            sk_engine_conn_eof(fuzz->engine, &peer->conn, false, fuzz->now_ns);
    drain(fuzz);
    SK_ASSERT(fuzz->engine->peers_count == 0);
    sk_engine_free(fuzz->engine);
    sk_auditor_free(fuzz->auditor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz fuzz = {.p = data, .end = data + size};
    if (size < 3 || size > 4000)
        return 0;
    set_up(&fuzz);
    while (fuzz.p < fuzz.end) {
        acts[byte(&fuzz) % SK_ARRAY_LEN(acts)](&fuzz);
        drain(&fuzz);
        check(&fuzz);
    }
    tear_down(&fuzz);
    return 0;
}
