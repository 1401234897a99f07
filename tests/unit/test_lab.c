/* The peers of a lab: the content that follows from a seed, and what each kind does when a client's
 * session talks to it in virtual time. */
#include "base/assert.h"
#include "base/mem.h"
#include "swarm/lab_conn.h"
#include "wire/merkle.h"
#include "wire/metainfo.h"

#include <skep/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS (SK_SECOND_NS / 1000)
#define START (100 * SK_SECOND_NS)
#define BLOCK SK_BLOCK_SIZE

static const struct sk_lab_torrent small = {
    .name = "a.bin", .size = 1000000, .piece_size = 65536, .has_v1 = true, .seed = 5};

/* ---- content ---- */

static struct sk_lab_torrent version(bool v1, bool v2)
{
    struct sk_lab_torrent torrent = small;
    torrent.has_v1 = v1;
    torrent.has_v2 = v2;
    return torrent;
}

static void check_torrent(const struct sk_lab_torrent *torrent)
{
    static const char *const trackers[] = {"http://127.0.0.1:1/announce"};
    struct sk_lab_content content;
    struct sk_metainfo *meta;
    struct sk_buf buf;
    const char *reason;
    sk_buf_init(&buf, 1 << 20);
    assert_int_equal(sk_lab_content_init(&content, torrent), 0);
    assert_int_equal(sk_lab_content_write(&content, trackers, 1, &buf), 0);
    assert_int_equal(sk_metainfo_parse(sk_buf_bytes(&buf), &meta, &reason), 0);
    assert_int_equal(meta->pieces, content.pieces);
    assert_true(meta->size == torrent->size);
    assert_true(meta->has_v1 == torrent->has_v1 && meta->has_v2 == torrent->has_v2);
    assert_memory_equal(meta->info_hash, content.info_hash, 20);
    assert_true(sk_lab_content_is(&content, meta->info_hash));
    assert_string_equal(meta->trackers[0], trackers[0]);
    uint8_t *bytes = malloc(torrent->piece_size);
    for (uint32_t i = 0; i < content.pieces; i++) {
        uint32_t n = sk_lab_content_piece_length(&content, i);
        sk_lab_content_read(&content, (uint64_t)i * torrent->piece_size, bytes, n);
        assert_int_equal(sk_metainfo_verify_piece(meta, i, sk_bytes(bytes, n)), 1);
        bytes[n - 1] ^= 1;
        assert_int_equal(sk_metainfo_verify_piece(meta, i, sk_bytes(bytes, n)), 0);
    }
    free(bytes);
    sk_metainfo_free(meta);
    sk_buf_deinit(&buf);
    sk_lab_content_deinit(&content);
}

static void test_torrents_of_all_versions_verify(void **state)
{
    struct sk_lab_torrent torrents[] = {version(true, false), version(false, true),
                                        version(true, true)};
    for (size_t i = 0; i < SK_ARRAY_LEN(torrents); i++) {
        check_torrent(&torrents[i]);
        torrents[i].size = 16384; /* one piece, one block */
        check_torrent(&torrents[i]);
        torrents[i].size = 1;
        check_torrent(&torrents[i]);
    }
}

static void test_bytes_are_the_same_wherever_one_begins_to_read(void **state)
{
    struct sk_lab_content content;
    uint8_t whole[1000], part[100];
    assert_int_equal(sk_lab_content_init(&content, &small), 0);
    sk_lab_content_read(&content, 0, whole, sizeof whole);
    for (size_t at = 0; at + sizeof part <= sizeof whole; at += 7) {
        sk_lab_content_read(&content, at, part, sizeof part);
        assert_memory_equal(part, whole + at, sizeof part);
    }
    sk_lab_content_deinit(&content);
}

static void test_impossible_torrents_are_refused(void **state)
{
    struct sk_lab_content content;
    struct sk_lab_torrent t[6];
    for (size_t i = 0; i < SK_ARRAY_LEN(t); i++)
        t[i] = small;
    t[0].size = 0;
    t[1].size = SK_LAB_SIZE_MAX + 1;
    t[2].piece_size = 16385;
    t[3].piece_size = 8192;
    t[4].has_v1 = false;
    t[5].name[0] = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(t); i++)
        assert_int_equal(sk_lab_content_init(&content, &t[i]), SKEP_ERR_INVALID);
}

static int ask_hashes(const struct sk_lab_content *content, const uint8_t *root, uint32_t base,
                      uint32_t index, uint32_t length, uint32_t proof, struct sk_buf *buf)
{
    struct sk_hash_range range = {root, base, index, length, proof};
    buf->n = 0;
    return sk_lab_content_hashes(content, &range, buf);
}

static void test_hash_requests_are_answered_with_proofs(void **state)
{
    struct sk_lab_torrent torrent = version(false, true);
    struct sk_lab_content content;
    struct sk_buf buf, file;
    struct sk_metainfo *meta;
    sk_buf_init(&buf, 1 << 20);
    sk_buf_init(&file, 1 << 20);
    assert_int_equal(sk_lab_content_init(&content, &torrent), 0);
    assert_int_equal(sk_lab_content_write(&content, NULL, 0, &file), 0);
    assert_int_equal(sk_metainfo_parse(sk_buf_bytes(&file), &meta, NULL), 0);
    const uint8_t *root = meta->files[0].root;
    /* 62 leaves, so 64 wide: 6 layers above them; 5 of proofs, as the root is known. */
    for (uint32_t length = 2; length <= 64; length *= 2) {
        for (uint32_t index = 0; index < 64; index += length) {
            assert_int_equal(ask_hashes(&content, root, 0, index, length, 5, &buf), 0);
            size_t n = buf.n / 32;
            assert_true(sk_merkle_proves(buf.p, length, index, buf.p + (size_t)length * 32,
                                         n - length, root));
        }
    }
    /* The piece layer as it stands in the file, without a proof: all of it leads to the root. */
    assert_int_equal(ask_hashes(&content, root, 2, 0, 16, 0, &buf), 0);
    assert_int_equal(buf.n, 16 * 32);
    assert_memory_equal(buf.p, meta->files[0].layer.p, meta->files[0].layer.n);
    static const uint8_t other[32];
    assert_int_equal(ask_hashes(&content, other, 0, 0, 2, 5, &buf), SKEP_ERR_NOT_FOUND);
    assert_int_equal(ask_hashes(&content, root, 0, 1, 2, 5, &buf), SKEP_ERR_NOT_FOUND);
    assert_int_equal(ask_hashes(&content, root, 0, 0, 3, 5, &buf), SKEP_ERR_NOT_FOUND);
    assert_int_equal(ask_hashes(&content, root, 0, 64, 2, 5, &buf), SKEP_ERR_NOT_FOUND);
    assert_int_equal(ask_hashes(&content, root, 0, 0, 128, 5, &buf), SKEP_ERR_NOT_FOUND);
    assert_int_equal(ask_hashes(&content, root, 6, 0, 2, 5, &buf), SKEP_ERR_NOT_FOUND);
    assert_int_equal(ask_hashes(&content, root, UINT32_MAX, 0, 2, 5, &buf), SKEP_ERR_NOT_FOUND);
    sk_metainfo_free(meta);
    sk_buf_deinit(&buf);
    sk_buf_deinit(&file);
    sk_lab_content_deinit(&content);
}

/* ---- a client and a peer of a lab ---- */

struct meeting {
    struct sk_lab_scenario scenario;
    struct sk_lab_swarm swarm;
    struct sk_lab_conn *conn;
    struct sk_peer *client;
    uint64_t now_ns;
    enum sk_peer_reason reason; /* NONE: the client's session is open */
    enum sk_peer_violation violation;
    uint64_t bytes;                  /* of blocks */
    uint32_t blocks, wrong, rejects; /* wrong: not what the content has there */
    uint32_t haves, bitfield, dont_read, pex;
    struct sk_pex_peer told[SK_PEX_PEERS_MAX];
    uint32_t allowed[8], allowed_count;
    struct sk_buf metadata;
    bool closed; /* the lab's side is over */
};

static struct sk_lab_group *add_group(struct meeting *m, const char *kind, uint32_t count)
{
    struct sk_lab_group *group = &m->scenario.groups[m->scenario.groups_count++];
    *group = (struct sk_lab_group){.count = count, .kind = sk_lab_kind_find(kind)};
    assert_non_null(group->kind);
    group->behaviour = group->kind->behaviour;
    group->client = sk_lab_client_find("libtorrent");
    return group;
}

static struct meeting *begin(const char *kind)
{
    struct meeting *m = calloc(1, sizeof *m);
    m->scenario.torrent = small;
    m->now_ns = START;
    sk_buf_init(&m->metadata, 1 << 20);
    add_group(m, kind, 1);
    return m;
}

/* The client connects; `mse`: what it offers. */
static void connect_to(struct meeting *m, unsigned mse)
{
    static const uint8_t addr[4] = {127, 0, 0, 9};
    struct sk_endpoint remote = sk_endpoint_v4(addr, 5000);
    assert_int_equal(sk_lab_swarm_init(&m->swarm, &m->scenario, 7000, m->now_ns), 0);
    const struct sk_lab_content *content = &m->swarm.content;
    struct sk_peer_config config = {
        .pieces = content->pieces,
        .piece_size = content->torrent.piece_size,
        .span = content->torrent.size,
        .has_v2 = content->torrent.has_v2,
        .outgoing = true,
        .mse = mse,
        .client = "test",
        .seed = 3,
    };
    memcpy(config.info_hash, content->info_hash, 20);
    memcpy(config.peer_id, "-XX0000-abcdefghijkl", 20);
    assert_int_equal(sk_peer_new(&config, m->now_ns, &m->client), 0);
    assert_int_equal(
        sk_lab_conn_new(&m->swarm, &m->swarm.peers[0], &remote, false, m->now_ns, &m->conn), 0);
}

static void on_block(struct meeting *m, const struct sk_msg *msg)
{
    const struct sk_lab_content *content = &m->swarm.content;
    uint8_t *right = malloc(msg->data.n);
    sk_lab_content_read(content, (uint64_t)msg->index * content->torrent.piece_size + msg->begin,
                        right, msg->data.n);
    m->wrong += memcmp(right, msg->data.p, msg->data.n) != 0;
    m->blocks++;
    m->bytes += msg->data.n;
    free(right);
}

static void on_client_message(struct meeting *m, const struct sk_msg *msg)
{
    m->haves += msg->kind == SK_MSG_HAVE;
    m->bitfield += msg->kind == SK_MSG_BITFIELD || msg->kind == SK_MSG_HAVE_ALL ||
                   msg->kind == SK_MSG_HAVE_NONE;
    if (msg->kind == SK_MSG_ALLOWED_FAST && m->allowed_count < SK_ARRAY_LEN(m->allowed))
        m->allowed[m->allowed_count++] = msg->index;
}

static void on_client_event(struct meeting *m, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE)
        on_client_message(m, &event->msg);
    if (event->kind == SK_PEER_EVENT_BLOCK)
        on_block(m, &event->msg);
    m->rejects += event->kind == SK_PEER_EVENT_REJECTED;
    if (event->kind == SK_PEER_EVENT_PEX) {
        memcpy(m->told, event->pex, event->pex_count * sizeof *event->pex);
        m->pex += (uint32_t)event->pex_count;
    }
    if (event->kind == SK_PEER_EVENT_METADATA && event->metadata.kind == SK_METADATA_DATA)
        sk_buf_append(&m->metadata, event->metadata.data.p, event->metadata.data.n);
    if (event->kind == SK_PEER_EVENT_CLOSED) {
        m->reason = event->reason;
        m->violation = event->violation;
    }
}

static void drain_client(struct meeting *m)
{
    struct sk_peer_event event;
    while (sk_peer_next(m->client, &event))
        on_client_event(m, &event);
}

/* Bytes go both ways until nobody has any that may go now; whether there were some. */
static bool exchange(struct meeting *m)
{
    uint8_t *copy;
    struct sk_bytes out = sk_peer_output(m->client);
    bool any = out.n > 0;
    if (out.n && !m->closed) {
        copy = sk_mem_dup(out.p, out.n);
        size_t n = out.n;
        sk_peer_sent(m->client, n, m->now_ns);
        sk_lab_conn_input(m->conn, copy, n, m->now_ns);
        sk_mem_free(copy);
    }
    out = m->closed ? sk_bytes(NULL, 0) : sk_lab_conn_output(m->conn, m->now_ns);
    if (out.n) {
        any = true;
        size_t n = out.n;
        copy = sk_mem_dup(out.p, n);
        sk_lab_conn_sent(m->conn, n, m->now_ns);
        sk_peer_input(m->client, copy, n, m->now_ns);
        drain_client(m);
        sk_mem_free(copy);
    }
    if (!m->closed && sk_lab_conn_over(m->conn)) {
        m->closed = true;
        sk_peer_input_eof(m->client, m->now_ns);
        drain_client(m);
    }
    return any && !m->closed;
}

/* Time goes on by steps of a millisecond. */
static void pass(struct meeting *m, double seconds)
{
    uint64_t end = m->now_ns + (uint64_t)(seconds * 1e9);
    while (exchange(m))
        ;
    while (m->now_ns < end) {
        m->now_ns += MS;
        sk_lab_peer_tick(&m->swarm, m->conn->peer, m->now_ns);
        if (sk_lab_conn_deadline(m->conn) <= m->now_ns)
            sk_lab_conn_tick(m->conn, m->now_ns);
        while (exchange(m))
            ;
    }
}

static void end(struct meeting *m)
{
    sk_lab_conn_free(m->conn);
    sk_peer_free(m->client);
    sk_lab_swarm_deinit(&m->swarm);
    sk_buf_deinit(&m->metadata);
    free(m);
}

/* Asks for all blocks of so many pieces that the other side has. */
static uint32_t ask_pieces(struct meeting *m, uint32_t pieces)
{
    const struct sk_lab_content *content = &m->swarm.content;
    uint32_t asked = 0;
    for (uint32_t piece = 0; piece < content->pieces && pieces; piece++) {
        if (!sk_bitfield_has(&sk_peer_view(m->client)->have, piece))
            continue;
        uint32_t length = sk_lab_content_piece_length(content, piece);
        for (uint32_t begin = 0; begin < length; begin += BLOCK, asked++)
            assert_int_equal(sk_peer_send_request(m->client, piece, begin,
                                                  SK_MIN(length - begin, (uint32_t)BLOCK),
                                                  m->now_ns),
                             0);
        pieces--;
    }
    return asked;
}

static struct meeting *meet(const char *kind)
{
    struct meeting *m = begin(kind);
    connect_to(m, 0);
    pass(m, 0.1);
    return m;
}

/* ---- what the kinds do ---- */

static void test_seed_gives_all_of_it_and_keeps_account(void **state)
{
    struct meeting *m = meet("seed");
    assert_true(sk_bitfield_full(&sk_peer_view(m->client)->have));
    assert_int_equal(sk_peer_view(m->client)->upload_only, 1);
    assert_string_equal(sk_peer_view(m->client)->client_v, "libtorrent/2.0.8.0");
    assert_true(sk_peer_view(m->client)->choked);
    sk_peer_send_interest(m->client, true);
    pass(m, 0.1);
    assert_false(sk_peer_view(m->client)->choked);
    uint32_t asked = ask_pieces(m, 100);
    assert_int_equal(asked, 62);
    pass(m, 0.1);
    assert_int_equal(m->blocks, 62);
    assert_int_equal(m->wrong, 0);
    assert_true(m->bytes == small.size);
    const struct sk_lab_peer *peer = &m->swarm.peers[0];
    assert_int_equal(peer->gave.count, 1);
    assert_true(peer->gave.list[0].bytes == small.size);
    assert_int_equal(peer->gave.list[0].blocks, 62);
    assert_int_equal(peer->gave.list[0].blocks_corrupt, 0);
    assert_memory_equal(peer->gave.list[0].peer_id, "-XX0000-abcdefghijkl", 20);
    end(m);
}

/* The ledger may move while a connection is open. */
static void test_each_connection_keeps_its_own_account(void **state)
{
    struct meeting *m = meet("seed");
    struct sk_lab_ledger *ledger = &m->swarm.peers[0].gave;
    uint8_t id[20] = "-XX0000-other";
    for (uint8_t i = 0; i < 100; i++) {
        id[19] = i;
        sk_lab_account(ledger, id)->blocks = 7;
    }
    sk_peer_send_interest(m->client, true);
    pass(m, 0.1);
    uint32_t asked = ask_pieces(m, 100);
    pass(m, 0.1);
    assert_int_equal(ledger->count, 101);
    assert_int_equal(ledger->list[0].blocks, asked);
    assert_int_equal(ledger->list[100].blocks, 7);
    end(m);
}

static void test_share_is_what_was_asked_for(void **state)
{
    static const double shares[] = {0, 0.25, 0.5, 1};
    for (size_t i = 0; i < SK_ARRAY_LEN(shares); i++) {
        struct meeting *m = begin("partial");
        m->scenario.groups[0].behaviour.share = (struct sk_lab_range){shares[i], shares[i]};
        connect_to(m, 0);
        pass(m, 0.1);
        assert_int_equal(m->bitfield, 1);
        assert_int_equal(sk_peer_view(m->client)->have.set, (int)(shares[i] * 16));
        end(m);
    }
}

static void test_group_spreads_its_range(void **state)
{
    struct meeting *m = begin("partial");
    m->scenario.groups[0].count = 5;
    m->scenario.groups[0].behaviour.share = (struct sk_lab_range){0, 1};
    m->scenario.groups[0].behaviour.rate_bytes_s = (struct sk_lab_range){100, 500};
    connect_to(m, 0);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(m->swarm.peers[i].have.set, i * 4);
        assert_true(m->swarm.peers[i].rate_bytes_s == 100.0 * (i + 1));
        assert_ptr_equal(sk_lab_swarm_at(&m->swarm, &m->swarm.peers[i].endpoint),
                         &m->swarm.peers[i]);
    }
    end(m);
}

static void test_rate_is_kept_and_smooth(void **state)
{
    static const double rates[] = {10e3, 64e3, 1e6};
    for (size_t i = 0; i < SK_ARRAY_LEN(rates); i++) {
        struct meeting *m = begin("slow");
        m->scenario.groups[0].behaviour.rate_bytes_s = (struct sk_lab_range){rates[i], rates[i]};
        connect_to(m, 0);
        pass(m, 0.5);
        sk_peer_send_interest(m->client, true);
        pass(m, 0.1);
        ask_pieces(m, 16);
        uint64_t before = sk_peer_view(m->client)->payload_in;
        double seconds = SK_MIN(8.0, 0.8 * (double)small.size / rates[i]);
        for (int step = 1; step <= 8; step++) {
            pass(m, seconds / 8);
            double got = (double)(sk_peer_view(m->client)->payload_in - before);
            double due = rates[i] * seconds / 8 * step;
            /* A twentieth of a second may be made up for, and a step may be cut off. */
            assert_true((got > due ? got - due : due - got) <
                        0.01 * due + 2 * SK_MAX(rates[i] / 20, 1500.0));
        }
        end(m);
    }
}

static void test_choking_never_gives(void **state)
{
    struct meeting *m = meet("choking");
    sk_peer_send_interest(m->client, true);
    pass(m, 60);
    uint32_t asked = ask_pieces(m, 1);
    pass(m, 1);
    assert_true(sk_peer_view(m->client)->choked);
    assert_int_equal(m->blocks, 0);
    assert_int_equal(m->rejects, asked);
    end(m);
}

static void test_late_unchokes_when_it_is_time(void **state)
{
    struct meeting *m = meet("late");
    sk_peer_send_interest(m->client, true);
    pass(m, 3.9);
    assert_true(sk_peer_view(m->client)->choked);
    pass(m, 0.2);
    assert_false(sk_peer_view(m->client)->choked);
    end(m);
}

static void test_rotating_takes_back_what_it_allowed(void **state)
{
    struct meeting *m = meet("rotating");
    sk_peer_send_interest(m->client, true);
    pass(m, 2.1);
    assert_false(sk_peer_view(m->client)->choked);
    uint32_t asked = ask_pieces(m, 16);
    pass(m, 2.0);
    assert_true(sk_peer_view(m->client)->choked);
    assert_int_equal(m->blocks + m->rejects, asked);
    assert_true(m->blocks > 0 && m->rejects > 0);
    pass(m, 2.0);
    assert_false(sk_peer_view(m->client)->choked);
    end(m);
}

static void test_generous_allows_a_few_pieces(void **state)
{
    struct meeting *m = meet("generous");
    sk_peer_send_interest(m->client, true);
    pass(m, 5);
    assert_true(sk_peer_view(m->client)->choked);
    assert_int_equal(m->allowed_count, 4);
    ask_pieces(m, 5); /* it holds all, and allows the first four */
    pass(m, 1);
    assert_int_equal(m->blocks, 16);
    assert_int_equal(m->rejects, 4);
    end(m);
}

static void test_growing_tells_what_it_gains_in_time(void **state)
{
    struct meeting *m = begin("growing");
    m->scenario.groups[0].behaviour.share = (struct sk_lab_range){0.5, 0.5};
    connect_to(m, 0);
    pass(m, 0.1);
    assert_int_equal(sk_peer_view(m->client)->have.set, 8);
    assert_int_equal(m->haves, 0);
    pass(m, 2); /* at 2.1 s: four of them */
    assert_int_equal(m->haves, 4);
    assert_int_equal(sk_peer_view(m->client)->have.set, 12);
    pass(m, 20);
    assert_int_equal(m->haves, 8);
    assert_true(sk_bitfield_full(&m->swarm.peers[0].have));
    end(m);
}

static void test_lazy_ends_up_with_the_same_pieces(void **state)
{
    struct meeting *m = begin("lazy");
    m->scenario.groups[0].behaviour.share = (struct sk_lab_range){1, 1};
    connect_to(m, 0);
    pass(m, 0.1);
    assert_int_equal(m->bitfield, 1);
    assert_int_equal(m->haves, 12);
    assert_true(sk_bitfield_full(&sk_peer_view(m->client)->have));
    end(m);
}

static void test_corrupting_sends_the_share_that_was_set(void **state)
{
    struct meeting *m = begin("corrupting");
    m->scenario.groups[0].behaviour.corrupt = 0.5;
    connect_to(m, 0);
    pass(m, 0.1);
    sk_peer_send_interest(m->client, true);
    pass(m, 0.1);
    for (int round = 0; round < 2; round++) { /* the same blocks both times */
        m->blocks = m->wrong = 0;
        ask_pieces(m, 16);
        pass(m, 0.1);
        assert_int_equal(m->blocks, 62);
        assert_in_range(m->wrong, 16, 46);
        assert_int_equal(m->swarm.peers[0].gave.list[0].blocks_corrupt,
                         (round + 1) * (int)m->wrong);
    }
    end(m);
}

static void check_stream(const char *kind, unsigned mse, bool opens, unsigned encryption)
{
    struct meeting *m = begin(kind);
    connect_to(m, mse);
    pass(m, 0.1);
    assert_true((sk_peer_view(m->client)->state == SK_PEER_OPEN) == opens);
    if (opens)
        assert_int_equal(sk_peer_view(m->client)->encryption, encryption);
    else
        assert_true(m->closed);
    end(m);
}

static void test_streams_that_each_kind_takes(void **state)
{
    check_stream("seed", 0, true, SK_MSE_PLAIN);
    check_stream("seed", SK_MSE_RC4, true, SK_MSE_RC4);
    check_stream("encrypted", 0, false, 0);
    check_stream("encrypted", SK_MSE_RC4 | SK_MSE_PLAIN, true, SK_MSE_RC4);
    check_stream("plain", 0, true, SK_MSE_PLAIN);
    check_stream("plain", SK_MSE_RC4 | SK_MSE_PLAIN, false, 0);
}

static void test_old_knows_neither_fast_nor_extensions(void **state)
{
    struct meeting *m = meet("old");
    const struct sk_peer_view *view = sk_peer_view(m->client);
    assert_int_equal(view->state, SK_PEER_OPEN);
    assert_false(view->fast);
    assert_false(view->extended);
    assert_int_equal(view->client_v[0], 0);
    assert_int_equal(view->have.set, 8);
    sk_peer_send_interest(m->client, true);
    pass(m, 0.1);
    uint32_t asked = ask_pieces(m, 8);
    pass(m, 1);
    assert_int_equal(m->blocks, asked);
    assert_int_equal(m->wrong, 0);
    end(m);
}

static void test_those_that_misbehave_are_known_by_it(void **state)
{
    struct meeting *m = meet("broken");
    assert_int_equal(m->reason, SK_PEER_REASON_PROTOCOL);
    assert_int_equal(m->violation, SK_PEER_VIOLATION_BITFIELD);
    end(m);
    m = meet("stranger");
    assert_int_equal(m->reason, SK_PEER_REASON_WRONG_INFO_HASH);
    end(m);
    m = meet("silent");
    pass(m, 1);
    assert_true(sk_peer_view(m->client)->first_byte_ns == 0);
    assert_false(m->closed);
    assert_true(sk_lab_conn_deadline(m->conn) == SK_TIME_NEVER);
    end(m);
    m = meet("leaving");
    pass(m, 4.8);
    assert_false(m->closed);
    pass(m, 0.2);
    assert_true(m->closed);
    assert_int_equal(m->reason, SK_PEER_REASON_EOF);
    end(m);
}

static void test_another_torrent_is_hung_up_on(void **state)
{
    struct meeting *m = begin("seed");
    connect_to(m, 0);
    struct sk_peer_config config = {.outgoing = true, .seed = 1, .info_hash = {1}};
    sk_peer_free(m->client);
    assert_int_equal(sk_peer_new(&config, m->now_ns, &m->client), 0);
    pass(m, 0.1);
    assert_true(m->closed);
    assert_int_equal(m->reason, SK_PEER_REASON_EOF_EARLY);
    end(m);
}

static void test_pex_tells_some_of_those_that_can_be_reached(void **state)
{
    struct meeting *m = begin("seed");
    add_group(m, "refusing", 20);
    add_group(m, "hidden", 3);
    add_group(m, "plain", 60);
    connect_to(m, 0);
    pass(m, 3);
    assert_int_equal(m->pex, 20);
    for (uint32_t i = 0; i < m->pex; i++) {
        const struct sk_lab_peer *peer = sk_lab_swarm_at(&m->swarm, &m->told[i].endpoint);
        assert_non_null(peer);
        assert_int_equal(peer->group->behaviour.door, SK_LAB_DOOR_OPEN);
        bool encrypts = peer->group->behaviour.encryption != SK_LAB_ENCRYPTION_PLAIN;
        assert_int_equal((m->told[i].flags & SK_PEX_ENCRYPTION) != 0, encrypts);
        assert_true(m->told[i].flags & SK_PEX_SEED);
    }
    pass(m, 50);
    assert_int_equal(m->pex, 20); /* once a minute */
    end(m);
}

static void test_metadata_is_given(void **state)
{
    struct meeting *m = meet("seed");
    const struct sk_buf *info = &m->swarm.content.info;
    assert_true(sk_peer_view(m->client)->extension.metadata_size == (int64_t)info->n);
    struct sk_metadata_message ask = {.kind = SK_METADATA_REQUEST};
    assert_int_equal(sk_peer_send_metadata(m->client, &ask), 0);
    pass(m, 0.1);
    assert_int_equal(m->metadata.n, info->n);
    assert_memory_equal(m->metadata.p, info->p, info->n);
    end(m);
}

static void test_requests_that_are_too_many_are_rejected(void **state)
{
    struct meeting *m = begin("slow");
    m->scenario.torrent.size = 40u << 20;
    m->scenario.groups[0].behaviour.rate_bytes_s = (struct sk_lab_range){100e3, 100e3};
    connect_to(m, 0);
    pass(m, 0.5);
    sk_peer_send_interest(m->client, true);
    pass(m, 0.5);
    uint32_t asked = ask_pieces(m, SK_LAB_REQUESTS_MAX / 2); /* four blocks each */
    pass(m, 0);
    /* Beyond those that wait a few are in the output already. */
    assert_in_range(m->rejects, asked - SK_LAB_REQUESTS_MAX - 3, asked - SK_LAB_REQUESTS_MAX);
    end(m);
}

static void test_cancelled_requests_are_rejected_and_others_go_on(void **state)
{
    struct meeting *m = meet("slow");
    pass(m, 0.5);
    sk_peer_send_interest(m->client, true);
    pass(m, 0.5);
    uint32_t asked = ask_pieces(m, 2);
    sk_peer_send_cancel(m->client, 1, BLOCK, BLOCK);
    pass(m, 4);
    assert_int_equal(m->rejects, 1);
    assert_int_equal(m->blocks, asked - 1);
    end(m);
}

static void test_hybrid_goes_over_to_v2_where_the_client_knows_it(void **state)
{
    static const struct {
        const char *client;
        bool goes_over;
    } cases[] = {{"qbittorrent", true}, {"transmission", false}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct meeting *m = begin("seed");
        m->scenario.torrent.has_v2 = true;
        m->scenario.groups[0].client = sk_lab_client_find(cases[i].client);
        connect_to(m, 0);
        pass(m, 0.1);
        /* Our client did not name the other hash as its own: it hangs up on it. */
        enum sk_peer_state expected = cases[i].goes_over ? SK_PEER_CLOSED : SK_PEER_OPEN;
        assert_int_equal(sk_peer_view(m->client)->state, expected);
        end(m);
    }
}

static void test_no_memory_is_survived(void **state)
{
    for (size_t nth = 1; nth < 60; nth++) {
        struct meeting *m = begin("growing");
        m->scenario.torrent.has_v2 = true;
        sk_mem_fail_nth(nth);
        int err = sk_lab_swarm_init(&m->swarm, &m->scenario, 7000, m->now_ns);
        sk_mem_fail_nth(0);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
        if (!err)
            sk_lab_swarm_deinit(&m->swarm);
        sk_buf_deinit(&m->metadata);
        free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torrents_of_all_versions_verify),
        cmocka_unit_test(test_bytes_are_the_same_wherever_one_begins_to_read),
        cmocka_unit_test(test_impossible_torrents_are_refused),
        cmocka_unit_test(test_hash_requests_are_answered_with_proofs),
        cmocka_unit_test(test_seed_gives_all_of_it_and_keeps_account),
        cmocka_unit_test(test_each_connection_keeps_its_own_account),
        cmocka_unit_test(test_share_is_what_was_asked_for),
        cmocka_unit_test(test_group_spreads_its_range),
        cmocka_unit_test(test_rate_is_kept_and_smooth),
        cmocka_unit_test(test_choking_never_gives),
        cmocka_unit_test(test_late_unchokes_when_it_is_time),
        cmocka_unit_test(test_rotating_takes_back_what_it_allowed),
        cmocka_unit_test(test_generous_allows_a_few_pieces),
        cmocka_unit_test(test_growing_tells_what_it_gains_in_time),
        cmocka_unit_test(test_lazy_ends_up_with_the_same_pieces),
        cmocka_unit_test(test_corrupting_sends_the_share_that_was_set),
        cmocka_unit_test(test_streams_that_each_kind_takes),
        cmocka_unit_test(test_old_knows_neither_fast_nor_extensions),
        cmocka_unit_test(test_those_that_misbehave_are_known_by_it),
        cmocka_unit_test(test_another_torrent_is_hung_up_on),
        cmocka_unit_test(test_pex_tells_some_of_those_that_can_be_reached),
        cmocka_unit_test(test_metadata_is_given),
        cmocka_unit_test(test_requests_that_are_too_many_are_rejected),
        cmocka_unit_test(test_cancelled_requests_are_rejected_and_others_go_on),
        cmocka_unit_test(test_hybrid_goes_over_to_v2_where_the_client_knows_it),
        cmocka_unit_test(test_no_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
