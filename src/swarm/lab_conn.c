#include "swarm/lab_conn.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"

#include <math.h>

#define PEX_FIRST_NS (SK_SECOND_NS / 2)
#define PEX_SPREAD_NS (2 * SK_SECOND_NS) /* so that not all speak at once */
#define PEX_AGAIN_NS (60 * SK_SECOND_NS)
#define PEX_PEERS 20
#define STEP_MIN 1448               /* bytes: less than a packet is not worth a wake-up */
#define LATE_NS (SK_SECOND_NS / 20) /* of lost time that is made up for */
#define AHEAD_LIMITED 2             /* blocks in the output of a limited peer */

static const struct sk_lab_behaviour *behaviour(const struct sk_lab_conn *conn)
{
    return &conn->peer->group->behaviour;
}

static uint64_t after(uint64_t now_ns, double seconds)
{
    return isinf(seconds) ? SK_TIME_NEVER : now_ns + (uint64_t)(seconds * 1e9);
}

/* ---- life ---- */

/* Whether it knows BEP 52: where there is v2 alone, every peer of the swarm does. */
static bool knows_v2(const struct sk_lab_conn *conn)
{
    const struct sk_lab_torrent *torrent = &conn->swarm->content.torrent;
    return torrent->has_v2 && (conn->peer->client->v2 || !torrent->has_v1);
}

static struct sk_peer_config make_config(const struct sk_lab_conn *conn,
                                         const uint8_t info_hash[20], bool dialed)
{
    static const unsigned modes[] = {
        [SK_LAB_ENCRYPTION_ANY] = SK_MSE_PLAIN | SK_MSE_RC4,
        [SK_LAB_ENCRYPTION_PLAIN] = 0,
        [SK_LAB_ENCRYPTION_REQUIRED] = SK_MSE_RC4,
    };
    const struct sk_lab_content *content = &conn->swarm->content;
    struct sk_peer_config config = {
        .pieces = content->pieces,
        .piece_size = content->torrent.piece_size,
        .span = content->torrent.size,
        .has_v2 = knows_v2(conn),
        .requests_taken = SK_LAB_REQUESTS_MAX / 2,
        .listen_port = conn->peer->endpoint.port,
        .outgoing = dialed,
        .mse = modes[behaviour(conn)->encryption],
        .mse_required = behaviour(conn)->encryption == SK_LAB_ENCRYPTION_REQUIRED,
        .quiet = true, /* ours says more: see greet() */
        .client = conn->peer->client->v,
        .seed = sk_prng_u64(&conn->swarm->prng),
    };
    memcpy(config.info_hash, info_hash, sizeof config.info_hash);
    if (knows_v2(conn))
        memcpy(config.info_hash_other, content->hash_v2, sizeof config.info_hash_other);
    memcpy(config.peer_id, conn->peer->id, sizeof config.peer_id);
    return config;
}

static int start_session(struct sk_lab_conn *conn, bool dialed, uint64_t now_ns)
{
    struct sk_peer_config config = make_config(conn, conn->swarm->content.info_hash, dialed);
    int err = sk_peer_new(&config, now_ns, &conn->session);
    if (!err && !dialed)
        sk_peer_set_skeys(conn->session, conn->swarm->skeys, conn->swarm->skeys_count);
    return err;
}

int sk_lab_conn_new(struct sk_lab_swarm *swarm, struct sk_lab_peer *peer,
                    const struct sk_endpoint *remote, bool dialed, uint64_t now_ns,
                    struct sk_lab_conn **ret_conn)
{
    struct sk_lab_conn *conn = sk_mem_calloc(1, sizeof *conn);
    if (!conn)
        return SKEP_ERR_NOMEM;
    conn->swarm = swarm;
    conn->peer = peer;
    conn->remote = *remote;
    conn->flip_ns = conn->pex_ns = conn->leave_ns = SK_TIME_NEVER;
    int err = 0;
    if (behaviour(conn)->door != SK_LAB_DOOR_MUTE)
        err = start_session(conn, dialed, now_ns);
    if (err) {
        sk_mem_free(conn);
        return err;
    }
    conn->peer_next = peer->conns;
    if (conn->peer_next)
        conn->peer_next->peer_prev = conn;
    peer->conns = conn;
    peer->accepted++;
    swarm->conns_count++;
    *ret_conn = conn;
    return 0;
}

void sk_lab_conn_free(struct sk_lab_conn *conn)
{
    if (!conn)
        return;
    if (conn->peer_prev)
        conn->peer_prev->peer_next = conn->peer_next;
    else
        conn->peer->conns = conn->peer_next;
    if (conn->peer_next)
        conn->peer_next->peer_prev = conn->peer_prev;
    conn->swarm->conns_count--;
    sk_peer_free(conn->session);
    sk_mem_free(conn->requests);
    sk_mem_free(conn);
}

bool sk_lab_conn_over(const struct sk_lab_conn *conn)
{
    return conn->over;
}

/* ---- an old client's handshake ---- */

static bool is_old(const struct sk_lab_conn *conn)
{
    return behaviour(conn)->no_fast || behaviour(conn)->no_extensions;
}

/* Takes out of a handshake's byte what this peer knows nothing of. */
static uint8_t mask(const struct sk_lab_conn *conn, size_t at, uint8_t byte)
{
    uint64_t bits = 0;
    if (behaviour(conn)->no_fast)
        bits |= SK_RESERVED_FAST;
    if (behaviour(conn)->no_extensions)
        bits |= SK_RESERVED_EXTENSION;
    if (at < 20 || at >= 28)
        return byte;
    return byte & (uint8_t) ~(bits >> (8 * (27 - at)));
}

/* What the session wants to send, with an old client's handshake in front. */
static struct sk_bytes pending(struct sk_lab_conn *conn)
{
    struct sk_bytes out = sk_peer_output(conn->session);
    if (!is_old(conn) || conn->sent >= SK_HANDSHAKE_SIZE || out.n == 0)
        return out;
    size_t n = SK_MIN(out.n, (size_t)(SK_HANDSHAKE_SIZE - conn->sent));
    for (size_t i = 0; i < n; i++)
        conn->handshake[i] = mask(conn, conn->sent + i, out.p[i]);
    return sk_bytes(conn->handshake, n);
}

/* ---- what it says by itself ---- */

static void say_pieces(struct sk_lab_conn *conn)
{
    const struct sk_bitfield *have = &conn->peer->have;
    uint32_t lazy = SK_MIN(behaviour(conn)->lazy, have->set);
    if (behaviour(conn)->broken) {
        static const uint8_t zeros[64];
        size_t n = sk_bitfield_bytes(have->count) + 1;
        struct sk_msg msg = {.kind = SK_MSG_UNKNOWN, .id = SK_MSG_BITFIELD};
        msg.data = sk_bytes(zeros, n <= sizeof zeros ? n : 1);
        (void)sk_peer_send_message(conn->session, &msg);
        return;
    }
    if (!lazy) {
        (void)sk_peer_send_bitfield(conn->session, have);
        return;
    }
    struct sk_bitfield told;
    uint32_t *left_out = sk_mem_alloc(lazy * sizeof *left_out), n = 0;
    if (!left_out || sk_bitfield_init(&told, have->count)) {
        sk_mem_free(left_out);
        conn->over = true;
        return;
    }
    for (uint32_t piece = 0; piece < have->count; piece++) {
        if (!sk_bitfield_has(have, piece))
            continue;
        if (n < lazy)
            left_out[n++] = piece;
        else
            sk_bitfield_add(&told, piece);
    }
    (void)sk_peer_send_bitfield(conn->session, &told);
    for (uint32_t i = 0; i < n; i++)
        (void)sk_peer_send_have(conn->session, left_out[i]);
    sk_mem_free(left_out);
    sk_bitfield_deinit(&told);
}

static void allow_fast(struct sk_lab_conn *conn)
{
    uint32_t left = sk_peer_view(conn->session)->fast ? behaviour(conn)->allowed_fast : 0;
    for (uint32_t piece = 0; piece < conn->peer->have.count && left; piece++) {
        if (!sk_bitfield_has(&conn->peer->have, piece))
            continue;
        (void)sk_peer_send_message(conn->session,
                                   &(struct sk_msg){.kind = SK_MSG_ALLOWED_FAST, .index = piece});
        left--;
    }
}

/* The first words of an open connection. */
static void greet(struct sk_lab_conn *conn, uint64_t now_ns)
{
    const struct sk_lab_behaviour *b = behaviour(conn);
    bool seed = sk_bitfield_full(&conn->peer->have);
    conn->open = true;
    struct sk_lab_ledger *ledger = &conn->peer->gave;
    struct sk_lab_given *given = sk_lab_account(ledger, sk_peer_view(conn->session)->peer_id);
    if (!given) {
        conn->over = true;
        return;
    }
    conn->account = (size_t)(given - ledger->list);
    given->remote = conn->remote;
    given->connections++;
    if (sk_peer_view(conn->session)->extended) {
        int64_t size = b->no_metadata ? -1 : (int64_t)conn->swarm->content.info.n;
        (void)sk_peer_send_extension_handshake(conn->session, size, seed ? 1 : -1);
    }
    say_pieces(conn);
    allow_fast(conn);
    if (b->leave_after_s > 0)
        conn->leave_ns = after(now_ns, b->leave_after_s);
    if (!b->no_pex)
        conn->pex_ns = now_ns + PEX_FIRST_NS + sk_prng_below(&conn->swarm->prng, PEX_SPREAD_NS);
}

void sk_lab_conn_gained(struct sk_lab_conn *conn, uint32_t piece)
{
    if (conn->open)
        (void)sk_peer_send_have(conn->session, piece);
}

static uint8_t pex_flags(const struct sk_lab_peer *peer)
{
    const struct sk_lab_behaviour *b = &peer->group->behaviour;
    unsigned flags = 0;
    if (b->encryption != SK_LAB_ENCRYPTION_PLAIN)
        flags |= SK_PEX_ENCRYPTION;
    if (sk_bitfield_full(&peer->have))
        flags |= SK_PEX_SEED;
    if (b->door == SK_LAB_DOOR_OPEN)
        flags |= SK_PEX_REACHABLE;
    return (uint8_t)flags;
}

/* A random few of those that it could be connected to. */
static void tell_peers(struct sk_lab_conn *conn)
{
    struct sk_lab_swarm *swarm = conn->swarm;
    struct sk_pex_peer list[PEX_PEERS];
    size_t n = 0;
    for (uint32_t tries = 0; tries < 2 * PEX_PEERS && n < PEX_PEERS; tries++) {
        const struct sk_lab_peer *other = &swarm->peers[sk_prng_below(&swarm->prng, swarm->count)];
        bool known =
            other == conn->peer || other->presence != SK_LAB_HERE || !sk_lab_peer_readable(other);
        for (size_t i = 0; i < n && !known; i++)
            known = sk_endpoint_equal(&list[i].endpoint, &other->endpoint);
        if (!known)
            list[n++] =
                (struct sk_pex_peer){.endpoint = other->endpoint, .flags = pex_flags(other)};
    }
    (void)sk_peer_send_pex(conn->session, list, n); /* not wanted: nothing is sent */
}

/* ---- requests ---- */

static bool is_allowed_fast(const struct sk_lab_conn *conn, uint32_t piece)
{
    uint32_t rank = 0;
    if (!sk_peer_view(conn->session)->fast || !sk_bitfield_has(&conn->peer->have, piece))
        return false;
    for (uint32_t i = 0; i < piece && rank < behaviour(conn)->allowed_fast; i++)
        rank += sk_bitfield_has(&conn->peer->have, i);
    return rank < behaviour(conn)->allowed_fast;
}

static void reject(struct sk_lab_conn *conn, const struct sk_lab_request *r)
{
    (void)sk_peer_send_reject(conn->session, r->piece, r->begin,
                              r->length); /* BEP 6 alone has it */
}

static struct sk_lab_request *request_at(struct sk_lab_conn *conn, uint32_t i)
{
    return &conn->requests[(conn->requests_first + i) % SK_LAB_REQUESTS_MAX];
}

static void on_request(struct sk_lab_conn *conn, const struct sk_msg *msg)
{
    struct sk_lab_request request = {msg->index, msg->begin, msg->length};
    uint64_t begin = (uint64_t)msg->index * conn->swarm->content.torrent.piece_size + msg->begin;
    bool refuse = !sk_bitfield_has(&conn->peer->have, msg->index) ||
                  (sk_peer_view(conn->session)->choking && !is_allowed_fast(conn, msg->index)) ||
                  begin + msg->length > conn->swarm->content.torrent.size ||
                  conn->requests_count == SK_LAB_REQUESTS_MAX;
    if (!refuse && !conn->requests)
        conn->requests = sk_mem_calloc(SK_LAB_REQUESTS_MAX, sizeof *conn->requests);
    if (refuse || !conn->requests)
        reject(conn, &request);
    else
        *request_at(conn, conn->requests_count++) = request;
}

static void remove_request(struct sk_lab_conn *conn, uint32_t at)
{
    for (uint32_t i = at; i + 1 < conn->requests_count; i++)
        *request_at(conn, i) = *request_at(conn, i + 1);
    conn->requests_count--;
}

static void on_cancel(struct sk_lab_conn *conn, const struct sk_msg *msg)
{
    for (uint32_t i = 0; i < conn->requests_count; i++) {
        const struct sk_lab_request request = *request_at(conn, i);
        if (request.piece != msg->index || request.begin != msg->begin ||
            request.length != msg->length)
            continue;
        remove_request(conn, i);
        reject(conn, &request);
        return;
    }
}

/* Those that may not be answered while it chokes. */
static void drop_requests(struct sk_lab_conn *conn)
{
    for (uint32_t i = 0; i < conn->requests_count;) {
        const struct sk_lab_request request = *request_at(conn, i);
        if (is_allowed_fast(conn, request.piece)) {
            i++;
            continue;
        }
        remove_request(conn, i);
        reject(conn, &request);
    }
}

/* Which blocks are wrong is the peer's nature: the same ones whoever asks. */
static bool is_corrupt(const struct sk_lab_conn *conn, const struct sk_lab_request *r)
{
    uint64_t at = (uint64_t)r->piece << 32 | r->begin;
    uint64_t draw = sk_hash_bytes(&at, sizeof at, conn->peer->number + 1);
    return (double)(draw >> 11) * 0x1p-53 < behaviour(conn)->corrupt;
}

static void give_block(struct sk_lab_conn *conn, const struct sk_lab_request *r)
{
    uint64_t offset = (uint64_t)r->piece * conn->swarm->content.torrent.piece_size + r->begin;
    uint8_t *bytes = sk_mem_alloc(r->length);
    if (!bytes) {
        conn->over = true;
        return;
    }
    sk_lab_content_read(&conn->swarm->content, offset, bytes, r->length);
    struct sk_lab_block block = {.length = r->length, .corrupt = is_corrupt(conn, r)};
    if (block.corrupt)
        bytes[0] ^= 0xff;
    if (sk_peer_send_piece(conn->session, r->piece, r->begin, sk_bytes(bytes, r->length)) == 0) {
        block.end = conn->sent + sk_peer_output(conn->session).n;
        conn->blocks[conn->blocks_count++] = block;
    }
    sk_mem_free(bytes);
}

/* Fills the output as far ahead as is of use. */
static void serve(struct sk_lab_conn *conn)
{
    uint32_t ahead =
        conn->peer->rate_bytes_s > 0 ? AHEAD_LIMITED : (uint32_t)SK_ARRAY_LEN(conn->blocks);
    while (conn->open && conn->requests_count && conn->blocks_count < ahead && !conn->over) {
        struct sk_lab_request request = *request_at(conn, 0);
        conn->requests_first = (conn->requests_first + 1) % SK_LAB_REQUESTS_MAX;
        conn->requests_count--;
        give_block(conn, &request);
    }
}

/* ---- what it answers ---- */

static void on_hash_request(struct sk_lab_conn *conn, const struct sk_msg *msg)
{
    struct sk_buf hashes;
    struct sk_msg answer = {.kind = SK_MSG_HASHES, .range = msg->range};
    sk_buf_init(&hashes, SK_HASHES_PER_MESSAGE_MAX * SK_SHA256_SIZE);
    if (sk_lab_content_hashes(&conn->swarm->content, &msg->range, &hashes))
        answer.kind = SK_MSG_HASH_REJECT;
    answer.hashes = sk_buf_bytes(&hashes);
    (void)sk_peer_send_message(conn->session, &answer);
    sk_buf_deinit(&hashes);
}

static void on_metadata_request(struct sk_lab_conn *conn, uint32_t piece)
{
    const struct sk_buf *info = &conn->swarm->content.info;
    size_t begin = (size_t)piece * SK_METADATA_PIECE_SIZE;
    struct sk_metadata_message answer = {
        .kind = SK_METADATA_REJECT, .piece = piece, .total_size = -1};
    if (!behaviour(conn)->no_metadata && begin < info->n) {
        answer.kind = SK_METADATA_DATA;
        answer.total_size = (int64_t)info->n;
        answer.data =
            sk_bytes(info->p + begin, SK_MIN(info->n - begin, (size_t)SK_METADATA_PIECE_SIZE));
    }
    (void)sk_peer_send_metadata(conn->session, &answer);
}

static void on_interest(struct sk_lab_conn *conn, bool interested, uint64_t now_ns)
{
    if (interested && sk_peer_view(conn->session)->choking)
        conn->flip_ns = after(now_ns, behaviour(conn)->unchoke_after_s);
    if (interested)
        return;
    (void)sk_peer_send_choke(conn->session, true);
    drop_requests(conn);
    conn->flip_ns = SK_TIME_NEVER;
}

/* Unchokes or chokes, and knows when it will change its mind. */
static void flip(struct sk_lab_conn *conn, uint64_t now_ns)
{
    bool choke = !sk_peer_view(conn->session)->choking;
    double wait_s = choke ? behaviour(conn)->unchoke_after_s : behaviour(conn)->choke_after_s;
    (void)sk_peer_send_choke(conn->session, choke);
    if (choke)
        drop_requests(conn);
    conn->flip_ns = wait_s > 0 ? after(now_ns, wait_s) : SK_TIME_NEVER;
}

static void on_message(struct sk_lab_conn *conn, const struct sk_msg *msg, uint64_t now_ns)
{
    switch (msg->kind) {
    case SK_MSG_INTERESTED:
    case SK_MSG_NOT_INTERESTED:
        on_interest(conn, msg->kind == SK_MSG_INTERESTED, now_ns);
        break;
    case SK_MSG_REQUEST:
        on_request(conn, msg);
        break;
    case SK_MSG_CANCEL:
        on_cancel(conn, msg);
        break;
    case SK_MSG_HASH_REQUEST:
        on_hash_request(conn, msg);
        break;
    default:
        break;
    }
}

static void on_hello(struct sk_lab_conn *conn, const struct sk_handshake *hello)
{
    struct sk_peer_config config = make_config(conn, hello->info_hash, false);
    if (!sk_lab_content_is(&conn->swarm->content, hello->info_hash)) {
        sk_peer_close(conn->session);
        return;
    }
    if (knows_v2(conn) && hello->reserved & SK_RESERVED_V2)
        memcpy(config.info_hash, config.info_hash_other, sizeof config.info_hash);
    if (behaviour(conn)->stranger)
        sk_sha1(hello->info_hash, sizeof hello->info_hash, config.info_hash);
    if (sk_peer_accept(conn->session, &config))
        sk_peer_close(conn->session);
}

static void on_event(struct sk_lab_conn *conn, const struct sk_peer_event *event, uint64_t now_ns)
{
    switch (event->kind) {
    case SK_PEER_EVENT_HELLO:
        on_hello(conn, &event->hello);
        break;
    case SK_PEER_EVENT_OPEN:
        greet(conn, now_ns);
        break;
    case SK_PEER_EVENT_MESSAGE:
        on_message(conn, &event->msg, now_ns);
        break;
    case SK_PEER_EVENT_METADATA:
        if (event->metadata.kind == SK_METADATA_REQUEST)
            on_metadata_request(conn, event->metadata.piece);
        break;
    case SK_PEER_EVENT_CLOSED:
        conn->over = true;
        break;
    default:
        break;
    }
}

static void drain(struct sk_lab_conn *conn, uint64_t now_ns)
{
    struct sk_peer_event event;
    while (!conn->over && sk_peer_next(conn->session, &event))
        on_event(conn, &event, now_ns);
    serve(conn);
}

/* ---- the world ---- */

void sk_lab_conn_input(struct sk_lab_conn *conn, uint8_t *bytes, size_t n, uint64_t now_ns)
{
    if (!conn->session || conn->over)
        return;
    if (is_old(conn))
        for (size_t i = 0; i < n && conn->received + i < SK_HANDSHAKE_SIZE; i++)
            bytes[i] = mask(conn, conn->received + i, bytes[i]);
    conn->received += n;
    sk_peer_input(conn->session, bytes, n, now_ns);
    drain(conn, now_ns);
}

struct sk_bytes sk_lab_conn_output(struct sk_lab_conn *conn, uint64_t now_ns)
{
    double rate = conn->peer->rate_bytes_s;
    if (!conn->session)
        return sk_bytes(NULL, 0);
    struct sk_bytes out = pending(conn);
    if (rate <= 0)
        return out;
    size_t step =
        (size_t)SK_MIN(SK_MAX(rate / SK_LAB_STEPS_S, (double)STEP_MIN), (double)SK_BLOCK_SIZE);
    return sk_bytes(out.p, now_ns < conn->peer->free_ns ? 0 : SK_MIN(out.n, step));
}

static void count_blocks(struct sk_lab_conn *conn)
{
    uint32_t gone = 0;
    for (; gone < conn->blocks_count && conn->blocks[gone].end <= conn->sent; gone++) {
        struct sk_lab_given *given = &conn->peer->gave.list[conn->account];
        given->bytes += conn->blocks[gone].length;
        given->blocks++;
        given->blocks_corrupt += conn->blocks[gone].corrupt;
    }
    conn->blocks_count -= gone;
    memmove(conn->blocks, conn->blocks + gone, conn->blocks_count * sizeof *conn->blocks);
}

void sk_lab_conn_sent(struct sk_lab_conn *conn, size_t n, uint64_t now_ns)
{
    struct sk_lab_peer *peer = conn->peer;
    sk_peer_sent(conn->session, n, now_ns);
    conn->sent += n;
    if (peer->rate_bytes_s > 0)
        peer->free_ns = SK_MAX(peer->free_ns, now_ns - SK_MIN(now_ns, (uint64_t)LATE_NS)) +
                        (uint64_t)((double)n * 1e9 / peer->rate_bytes_s);
    count_blocks(conn);
    serve(conn);
}

uint64_t sk_lab_conn_deadline(const struct sk_lab_conn *conn)
{
    if (!conn->session || conn->over)
        return SK_TIME_NEVER;
    uint64_t at = SK_MIN(sk_peer_deadline(conn->session), conn->flip_ns);
    at = SK_MIN(at, SK_MIN(conn->pex_ns, conn->leave_ns));
    if (conn->peer->rate_bytes_s > 0 && sk_peer_output(conn->session).n)
        at = SK_MIN(at, conn->peer->free_ns);
    return at;
}

void sk_lab_conn_tick(struct sk_lab_conn *conn, uint64_t now_ns)
{
    if (!conn->session || conn->over)
        return;
    sk_peer_tick(conn->session, now_ns);
    if (conn->open && now_ns >= conn->flip_ns)
        flip(conn, now_ns);
    if (conn->open && now_ns >= conn->pex_ns) {
        tell_peers(conn);
        conn->pex_ns = now_ns + PEX_AGAIN_NS;
    }
    if (now_ns >= conn->leave_ns)
        sk_peer_close(conn->session);
    drain(conn, now_ns);
}
