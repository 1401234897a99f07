/*
 * Remote peers of engine_world.h: what they are, and what they do when messages come or time
 * passes. A remote is a real session with a script; its fields say which.
 */
#ifndef ENGINE_REMOTE_H
#define ENGINE_REMOTE_H

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "engine/internal.h"
#include "swarm/lab_content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORLD_START_NS (1000 * SK_SECOND_NS)
#define WORLD_REQUESTS_MAX SK_PEER_REQUESTS_MAX

enum remote_answer { CONNECTS, REFUSES, UNREACHABLE, NO_ANSWER, NO_SOCKETS };
enum remote_tells { TELLS_BITFIELD, TELLS_HAVES, TELLS_NOTHING };
enum remote_does { RIGHT, WRONG, SILENT, REJECTS };

struct world;
struct link;

struct remote {
    struct world *world;
    struct remote *next;
    struct sk_endpoint at;
    struct sk_peer_config session;
    const struct sk_lab_content *content;
    enum remote_answer answer;
    bool mute;                   /* takes connections and says nothing */
    bool hangs_up;               /* ends the connection at the first byte */
    bool resets;                 /* and does so by a reset */
    bool hates_mse, hates_plain; /* hangs up on the one, or the other */
    enum remote_tells tells;
    struct sk_bitfield holds;
    uint32_t lazy; /* pieces left out of the bitfield and told by HAVE */
    bool never_unchokes;
    double unchokes_after_s;
    double chokes_after_s; /* after it unchoked; for as long it chokes then. 0 never */
    bool no_fast;          /* no BEP 6; only in a plain handshake */
    uint32_t allowed_fast; /* so many of the first pieces are offered while choking */
    bool offers_first;     /* even before the bitfield */
    enum remote_does blocks, metadata, hashes;
    const uint8_t *raw;    /* the bytes that it gives; NULL: those of `content` */
    uint32_t lies_each;    /* WRONG: only each so-many-th block is; 0 all */
    double block_s;        /* between two blocks */
    uint32_t leaves_after; /* hangs up after so many blocks of a connection; 0 never */
    int64_t metadata_size; /* as told; 0: the right one, -1: none */
    const struct sk_pex_peer *pex;
    size_t pex_count;
    void (*on_event)(struct link *link, const struct sk_peer_event *event);
    uint32_t dials, plain, mse; /* connections that came, and how they began */
    uint32_t given, requested, interested;
    uint32_t opened;
    uint64_t got_bytes; /* of blocks that the engine gave */
};

struct link {
    struct link *next;
    struct remote *remote;
    struct sk_conn *conn;
    struct sk_peer *session; /* NULL: mute */
    struct sk_peer_skey skey;
    bool connecting, paused, ended, gone, told, first_seen, first_told;
    struct sk_give_request due[WORLD_REQUESTS_MAX]; /* requests that wait to be answered */
    uint32_t due_count;
    uint64_t due_ns, unchoke_ns, choke_ns;
    uint32_t given;
};

struct seen_event {
    enum skep_event_kind kind;
    enum skep_source source;
    bool is_new, final;
    char text[128], reason[128], by[128];
    struct skep_message message;
    struct skep_claim claim;
    int error;
    unsigned flags;
};

/* What the disk is at. */
struct disk_job {
    bool write;
    uint64_t id, offset, due_ns;
    struct sk_bytes bytes; /* write: lent */
    uint32_t length, torrent, piece;
    const struct sk_metainfo *verify;
};

struct world {
    struct skep_engine *engine;
    struct skep_torrent *torrent;
    struct sk_lab_content content;
    uint64_t now_ns;
    struct remote *remotes;
    struct link *links;
    size_t ticks; /* of the engine */
    uint64_t every_ns, every_next_ns;
    void (*every)(struct world *world); /* every every_ns */
    struct seen_event *events;
    size_t events_count, events_capacity;
    skep_hook_fn hook; /* besides the recording */
    void *context;
    unsigned next_id;
    /* what the engine asked of the world last */
    uint64_t http_id, resolve_id;
    char http_url[4096], resolve_name[256];
    size_t http_count, http_cancelled, resolves, udp_count, lsd_count, pauses, resumes, writes,
        reads;
    enum sk_scope http_scope;
    struct sk_endpoint udp_to;
    uint8_t udp[2048];
    size_t udp_n;
    bool disk_fails, disk_waits;
    int disk_error; /* what it fails with; 0: SKEP_ERR_IO */
    double disk_s;  /* that each job takes it, one after the other */
    struct disk_job disk_jobs[1024];
    size_t disk_jobs_count;
    uint64_t disk_ns;       /* when the last of them will be done */
    size_t written_wrong;   /* pieces that were handed over to be verified, and were not right */
    uint64_t written_bytes; /* of those that were right */
    uint64_t read_id;
    /* Ranges of web seeds, and what is told of them, where a test answers them. */
    void (*range_sent)(struct world *world, const struct sk_out *out);
    bool stuck; /* nothing of ours reaches anybody */
    uint64_t waiting_write;
    /* More of the world than peers, where a test has some: dht_net.h */
    void *net;
    void (*net_sent)(struct world *world, const struct sk_out *out);
    bool (*net_pump)(struct world *world); /* does what is due; whether anything was */
    uint64_t (*net_deadline)(const struct world *world);
};

/* ---- what a remote does ---- */

static inline void remote_send(struct link *link, const struct sk_msg *msg)
{
    (void)sk_peer_send_message(link->session, msg);
}

static inline void remote_offer(struct link *link)
{
    for (uint32_t i = 0; i < link->remote->allowed_fast; i++)
        remote_send(link, &(struct sk_msg){.kind = SK_MSG_ALLOWED_FAST, .index = i});
}

static inline void remote_tell(struct link *link)
{
    struct remote *remote = link->remote;
    struct sk_bitfield told;
    uint32_t left_out = 0;
    if (remote->offers_first)
        remote_offer(link);
    if (sk_bitfield_init(&told, remote->holds.count)) /* made to fail, once */
        assert_int_equal(sk_bitfield_init(&told, remote->holds.count), 0);
    for (uint32_t i = 0; i < told.count; i++) {
        bool hide = remote->tells != TELLS_BITFIELD || left_out < remote->lazy;
        if (!sk_bitfield_has(&remote->holds, i))
            continue;
        left_out += hide;
        if (!hide)
            sk_bitfield_add(&told, i);
    }
    if (remote->tells == TELLS_BITFIELD)
        (void)sk_peer_send_bitfield(link->session, &told);
    for (uint32_t i = 0; i < told.count && remote->tells != TELLS_NOTHING; i++)
        if (sk_bitfield_has(&remote->holds, i) && !sk_bitfield_has(&told, i))
            (void)sk_peer_send_have(link->session, i);
    sk_bitfield_deinit(&told);
    if (!remote->offers_first)
        remote_offer(link);
}

static inline void remote_open(struct link *link)
{
    struct remote *remote = link->remote;
    remote->opened++;
    remote_tell(link);
    int64_t size = remote->metadata_size ? remote->metadata_size : (int64_t)remote->content->info.n;
    if (size > 0 && sk_peer_view(link->session)->extended)
        (void)sk_peer_send_extension_handshake(link->session, size, -1);
}

static inline void remote_metadata(struct link *link, uint32_t piece)
{
    const struct remote *remote = link->remote;
    size_t size =
        remote->metadata_size > 0 ? (size_t)remote->metadata_size : remote->content->info.n;
    size_t offset = (size_t)piece * SK_METADATA_PIECE_SIZE;
    struct sk_metadata_message message = {.kind = SK_METADATA_REJECT, .piece = piece};
    if (remote->metadata == SILENT)
        return;
    uint8_t *bytes = calloc(1, size + SK_METADATA_PIECE_SIZE);
    if (remote->metadata != REJECTS && offset < size) {
        message.kind = SK_METADATA_DATA;
        message.total_size = (int64_t)size;
        memcpy(bytes, remote->content->info.p, SK_MIN(size, remote->content->info.n));
        if (remote->metadata == WRONG)
            bytes[offset] ^= 1;
        message.data =
            sk_bytes(bytes + offset, SK_MIN(size - offset, (size_t)SK_METADATA_PIECE_SIZE));
    }
    (void)sk_peer_send_metadata(link->session, &message);
    free(bytes);
}

static inline void remote_hashes(struct link *link, const struct sk_msg *asked)
{
    struct sk_buf buf;
    struct sk_msg answer = *asked;
    if (link->remote->hashes == SILENT)
        return;
    sk_buf_init(&buf, 1 << 20);
    answer.kind = SK_MSG_HASH_REJECT;
    if (link->remote->hashes != REJECTS &&
        sk_lab_content_hashes(link->remote->content, &asked->range, &buf) == 0) {
        answer.kind = SK_MSG_HASHES;
        if (link->remote->hashes == WRONG)
            buf.p[5] ^= 1;
        answer.hashes = sk_buf_bytes(&buf);
    }
    remote_send(link, &answer);
    sk_buf_deinit(&buf);
}

static inline void remote_cancelled(struct link *link, const struct sk_msg *msg)
{
    for (uint32_t i = 0; i < link->due_count; i++) {
        if (link->due[i].piece != msg->index || link->due[i].begin != msg->begin)
            continue;
        link->due_count--;
        memmove(&link->due[i], &link->due[i + 1], (link->due_count - i) * sizeof link->due[0]);
        if (sk_peer_view(link->session)->fast)
            (void)sk_peer_send_reject(link->session, msg->index, msg->begin, msg->length);
        return;
    }
}

static inline void remote_message(struct link *link, const struct sk_msg *msg)
{
    struct remote *remote = link->remote;
    if (msg->kind == SK_MSG_INTERESTED && !remote->never_unchokes) {
        remote->interested++;
        link->unchoke_ns = remote->world->now_ns + (uint64_t)(remote->unchokes_after_s * 1e9);
    } else if (msg->kind == SK_MSG_REQUEST) {
        remote->requested++;
        if (link->due_count == 0)
            link->due_ns =
                SK_MAX(link->due_ns, remote->world->now_ns) + (uint64_t)(remote->block_s * 1e9);
        if (link->due_count < WORLD_REQUESTS_MAX && remote->blocks != SILENT)
            link->due[link->due_count++] = (struct sk_give_request){
                .piece = msg->index, .begin = msg->begin, .length = msg->length};
    } else if (msg->kind == SK_MSG_CANCEL) {
        remote_cancelled(link, msg);
    } else if (msg->kind == SK_MSG_HASH_REQUEST) {
        remote_hashes(link, msg);
    }
}

static inline void remote_event(struct link *link, const struct sk_peer_event *event)
{
    struct remote *remote = link->remote;
    switch (event->kind) {
    case SK_PEER_EVENT_HELLO:
        (void)sk_peer_accept(link->session, &remote->session);
        break;
    case SK_PEER_EVENT_OPEN:
        remote_open(link);
        break;
    case SK_PEER_EVENT_EXTENDED:
        if (remote->pex_count)
            (void)sk_peer_send_pex(link->session, remote->pex, remote->pex_count);
        break;
    case SK_PEER_EVENT_METADATA:
        if (event->metadata.kind == SK_METADATA_REQUEST)
            remote_metadata(link, event->metadata.piece);
        break;
    case SK_PEER_EVENT_MESSAGE:
        remote_message(link, &event->msg);
        break;
    case SK_PEER_EVENT_BLOCK:
        remote->got_bytes += event->msg.data.n;
        break;
    case SK_PEER_EVENT_CLOSED:
        link->ended = true;
        break;
    default:
        break;
    }
    if (remote->on_event)
        remote->on_event(link, event);
}

static inline void remote_drain(struct link *link)
{
    struct sk_peer_event event;
    while (sk_peer_next(link->session, &event))
        remote_event(link, &event);
}

static inline void remote_give(struct link *link)
{
    struct remote *remote = link->remote;
    struct sk_give_request request = link->due[0];
    link->due_count--;
    memmove(&link->due[0], &link->due[1], link->due_count * sizeof link->due[0]);
    if (remote->blocks == REJECTS) {
        (void)sk_peer_send_reject(link->session, request.piece, request.begin, request.length);
        return;
    }
    uint8_t *bytes = calloc(1, request.length);
    uint64_t offset = (uint64_t)request.piece * remote->content->torrent.piece_size + request.begin;
    if (remote->raw)
        memcpy(bytes, remote->raw + offset, request.length);
    else
        sk_lab_content_read(remote->content, offset, bytes, request.length);
    if (remote->blocks == WRONG && (!remote->lies_each || remote->given % remote->lies_each == 0))
        bytes[0] ^= 0x55;
    (void)sk_peer_send_piece(link->session, request.piece, request.begin,
                             sk_bytes(bytes, request.length));
    free(bytes);
    remote->given++;
    if (++link->given == remote->leaves_after)
        link->ended = true;
}

/* With BEP 6 each request that waits is rejected, else all are forgotten. */
static inline void remote_choke(struct link *link)
{
    (void)sk_peer_send_choke(link->session, true);
    for (uint32_t i = 0; i < link->due_count && sk_peer_view(link->session)->fast; i++)
        (void)sk_peer_send_reject(link->session, link->due[i].piece, link->due[i].begin,
                                  link->due[i].length);
    link->due_count = 0;
}

/* What time makes it do. */
static inline void remote_tick(struct link *link, uint64_t now_ns)
{
    struct remote *remote = link->remote;
    if (!link->session || link->ended)
        return;
    uint64_t turn_ns = (uint64_t)(remote->chokes_after_s * 1e9);
    if (link->unchoke_ns && now_ns >= link->unchoke_ns) {
        link->unchoke_ns = 0;
        (void)sk_peer_send_choke(link->session, false);
        link->choke_ns = turn_ns ? now_ns + turn_ns : 0;
    }
    if (link->choke_ns && now_ns >= link->choke_ns) {
        link->choke_ns = 0;
        remote_choke(link);
        link->unchoke_ns = turn_ns ? now_ns + turn_ns : 0;
    }
    while (link->due_count && now_ns >= link->due_ns && !link->ended) {
        remote_give(link);
        link->due_ns += (uint64_t)(remote->block_s * 1e9);
    }
    sk_peer_tick(link->session, now_ns);
    remote_drain(link);
}

static inline uint64_t remote_deadline(const struct link *link)
{
    if (!link->session || link->ended)
        return SK_TIME_NEVER;
    uint64_t at = sk_peer_deadline(link->session);
    if (link->unchoke_ns)
        at = SK_MIN(at, link->unchoke_ns);
    if (link->choke_ns)
        at = SK_MIN(at, link->choke_ns);
    if (link->due_count)
        at = SK_MIN(at, link->due_ns);
    return at;
}

#endif
