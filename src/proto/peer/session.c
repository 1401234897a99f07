#include "proto/peer/session.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "proto/peer/session_internal.h"

/* How many bytes tell a plain handshake from anything else. */
#define SNIFF_SIZE 20

enum step {
    STEP_EVENT, /* an event was told */
    STEP_AGAIN, /* something changed: look again */
    STEP_WAIT,  /* more bytes are needed, or the owner's answer */
};

const char *sk_peer_reason_name(enum sk_peer_reason reason)
{
    static const char *const names[] = {
        [SK_PEER_REASON_NONE] = "none",
        [SK_PEER_REASON_LOCAL] = "local",
        [SK_PEER_REASON_EOF_EARLY] = "closed-at-once",
        [SK_PEER_REASON_EOF] = "closed",
        [SK_PEER_REASON_HANDSHAKE_TIMEOUT] = "handshake-timeout",
        [SK_PEER_REASON_SILENCE] = "silence",
        [SK_PEER_REASON_WRONG_INFO_HASH] = "wrong-info-hash",
        [SK_PEER_REASON_SELF] = "self",
        [SK_PEER_REASON_ENCRYPTED_ONLY] = "encrypted-only",
        [SK_PEER_REASON_MSE] = "encryption-failed",
        [SK_PEER_REASON_PROTOCOL] = "protocol-error",
        [SK_PEER_REASON_OUTPUT_FULL] = "does-not-read",
        [SK_PEER_REASON_NO_MEMORY] = "no-memory",
    };
    return (unsigned)reason < SK_ARRAY_LEN(names) ? names[reason] : "unknown";
}

const char *sk_peer_violation_text(enum sk_peer_violation violation)
{
    static const char *const texts[] = {
        [SK_PEER_VIOLATION_NONE] = "none",
        [SK_PEER_VIOLATION_NOT_BITTORRENT] = "not the BitTorrent protocol",
        [SK_PEER_VIOLATION_LENGTH] = "message of an impossible length",
        [SK_PEER_VIOLATION_INDEX] = "piece, block or hash range that does not exist",
        [SK_PEER_VIOLATION_BITFIELD] = "bitfield of a wrong length, with spare bits or out of turn",
        [SK_PEER_VIOLATION_FAST] = "fast extension message without the fast extension",
        [SK_PEER_VIOLATION_UNASKED] = "answer to what was never asked",
        [SK_PEER_VIOLATION_EXTENSION] = "malformed extension message",
        [SK_PEER_VIOLATION_METADATA] = "metadata size or piece that cannot be",
        [SK_PEER_VIOLATION_FLOOD] = "flood of useless messages",
    };
    return (unsigned)violation < SK_ARRAY_LEN(texts) ? texts[violation] : "unknown";
}

/* Life */

static void enter(struct sk_peer *peer, enum sk_peer_state state)
{
    peer->view.state = state;
    peer->phase_ns = peer->now_ns;
}

void sk_peer_end(struct sk_peer *peer, enum sk_peer_reason reason)
{
    if (peer->view.state == SK_PEER_CLOSED)
        return;
    peer->reason = reason;
    peer->follow = SK_PEER_NO_EVENT;
    peer->in_size = 0;
    enter(peer, SK_PEER_CLOSED);
}

void sk_peer_violate(struct sk_peer *peer, enum sk_peer_violation violation)
{
    if (peer->view.state == SK_PEER_CLOSED)
        return;
    peer->violation = violation;
    sk_peer_end(peer, SK_PEER_REASON_PROTOCOL);
}

void sk_peer_useless(struct sk_peer *peer, uint32_t weight)
{
    /* One a second is forgiven: keep-alives of a day are no flood. */
    uint64_t seconds = (peer->now_ns - peer->useless_ns) / SK_SECOND_NS;
    peer->useless_ns += seconds * SK_SECOND_NS;
    peer->useless -= (uint32_t)SK_MIN(seconds, (uint64_t)peer->useless);
    peer->useless += weight;
    if (peer->useless > SK_PEER_IDLE_MESSAGES_MAX)
        sk_peer_violate(peer, SK_PEER_VIOLATION_FLOOD);
}

static int start_mse(struct sk_peer *peer)
{
    uint8_t handshake[SK_HANDSHAKE_SIZE];
    if (peer->config.outgoing)
        sk_peer_write_handshake(peer, handshake);
    struct sk_mse_config config = {
        .initiator = peer->config.outgoing,
        .modes = peer->config.mse,
        .info_hash = peer->config.info_hash,
        .payload = handshake,
        .seed = peer->config.seed,
    };
    int err = sk_mse_new(&config, peer->now_ns, &peer->out, &peer->mse);
    if (err)
        return err;
    peer->out_since_ns = peer->now_ns;
    peer->view.mse = true;
    enter(peer, SK_PEER_MSE);
    return 0;
}

static int start(struct sk_peer *peer)
{
    if (peer->config.mse && !sk_rc4_available())
        return SKEP_ERR_CRYPTO;
    if (!peer->config.outgoing) {
        enter(peer, SK_PEER_SNIFF);
        return 0;
    }
    if (peer->config.mse)
        return start_mse(peer);
    enter(peer, SK_PEER_HANDSHAKE);
    return sk_peer_put_handshake(peer);
}

int sk_peer_new(const struct sk_peer_config *config, uint64_t now_ns, struct sk_peer **ret_peer)
{
    struct sk_peer *peer = sk_mem_calloc(1, sizeof *peer);
    if (!peer)
        return SKEP_ERR_NOMEM;
    peer->config = *config;
    peer->view.other_hash = false;
    peer->now_ns = peer->useless_ns = now_ns;
    peer->follow = SK_PEER_NO_EVENT;
    peer->late = SK_PEER_NOT_LATE;
    peer->view.outgoing = config->outgoing;
    peer->view.encryption = SK_MSE_PLAIN;
    peer->view.choked = peer->view.choking = true;
    peer->view.upload_only = peer->view.extension.upload_only = -1;
    peer->view.extension.metadata_size = -1;
    sk_requests_init(&peer->requests);
    /* Twice: sent bytes may stand before as many that wait. */
    sk_buf_init(&peer->out, 2 * (size_t)SK_PEER_OUTPUT_MAX);
    int err = start(peer);
    if (err) {
        sk_peer_free(peer);
        return err;
    }
    *ret_peer = peer;
    return 0;
}

void sk_peer_free(struct sk_peer *peer)
{
    if (!peer)
        return;
    sk_peer_free_early(peer);
    sk_requests_deinit(&peer->requests);
    sk_bitfield_deinit(&peer->view.have);
    sk_buf_deinit(&peer->held);
    sk_buf_deinit(&peer->out);
    sk_mse_free(peer->mse);
    sk_rc4_free(peer->rc4_in);
    sk_rc4_free(peer->rc4_out);
    sk_mem_free(peer->pex);
    sk_mem_free(peer);
}

const struct sk_peer_view *sk_peer_view(const struct sk_peer *peer)
{
    return &peer->view;
}

void sk_peer_set_skeys(struct sk_peer *peer, const struct sk_peer_skey *skeys, size_t count)
{
    peer->skeys = skeys;
    peer->skeys_count = count;
}

void sk_peer_close(struct sk_peer *peer)
{
    sk_peer_end(peer, SK_PEER_REASON_LOCAL);
}

/* The stream of bytes */

static size_t held_size(const struct sk_peer *peer)
{
    return peer->held.n - peer->held_read;
}

/* Moves n bytes of the input into `held`. */
static bool hold(struct sk_peer *peer, size_t n)
{
    sk_buf_consume(&peer->held, peer->held_read);
    peer->held_read = 0;
    peer->held.max = SK_MAX(peer->wanted, peer->held.n + n);
    if (sk_buf_append(&peer->held, peer->in, n)) {
        sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
        return false;
    }
    peer->in += n;
    peer->in_size -= n;
    return true;
}

/* The next n bytes in one piece, not yet read; NULL where they are not there (see `wanted`). */
static const uint8_t *peek(struct sk_peer *peer, size_t n)
{
    peer->wanted = n;
    size_t held = held_size(peer);
    if (held == 0)
        return peer->in_size >= n ? peer->in : NULL;
    if (held < n && !hold(peer, SK_MIN(n - held, peer->in_size)))
        return NULL;
    return held_size(peer) >= n ? peer->held.p + peer->held_read : NULL;
}

/* Marks n bytes that peek() gave as read. */
static void skip(struct sk_peer *peer, size_t n)
{
    if (held_size(peer)) {
        peer->held_read += n;
    } else {
        peer->in += n;
        peer->in_size -= n;
    }
}

/* Whatever is next in one piece, be it little. */
static struct sk_bytes unread(const struct sk_peer *peer)
{
    if (held_size(peer))
        return sk_bytes(peer->held.p + peer->held_read, held_size(peer));
    return sk_bytes(peer->in, peer->in_size);
}

/* No event refers to what was read: frees it. */
static void release(struct sk_peer *peer)
{
    if (peer->held.p && held_size(peer) == 0) {
        sk_buf_deinit(&peer->held);
        peer->held_read = 0;
    }
    if (peer->pex) {
        sk_mem_free(peer->pex);
        peer->pex = NULL;
        peer->pex_count = 0;
    }
}

static void decrypt(struct sk_peer *peer, uint8_t *p, size_t n)
{
    if (!peer->rc4_in)
        return;
    n = SK_MIN(n, peer->rc4_in_left);
    sk_rc4_apply(peer->rc4_in, p, n);
    if (peer->rc4_in_left == SIZE_MAX)
        return;
    peer->rc4_in_left -= n;
    if (peer->rc4_in_left == 0) {
        sk_rc4_free(peer->rc4_in);
        peer->rc4_in = NULL;
    }
}

void sk_peer_input(struct sk_peer *peer, uint8_t *bytes, size_t n, uint64_t now_ns)
{
    if (peer->view.state == SK_PEER_CLOSED || n == 0)
        return;
    SK_ASSERT(peer->in_size == 0); /* the caller drained the events of the last input */
    peer->now_ns = now_ns;
    peer->view.bytes_in += n;
    if (peer->view.first_byte_ns == 0)
        peer->view.first_byte_ns = now_ns;
    peer->view.last_in_ns = now_ns;
    decrypt(peer, bytes, n);
    peer->in = bytes;
    peer->in_size = n;
}

void sk_peer_input_eof(struct sk_peer *peer, uint64_t now_ns)
{
    peer->now_ns = now_ns;
    if (peer->view.bytes_in == 0)
        sk_peer_end(peer, SK_PEER_REASON_EOF_EARLY);
    else if (peer->view.state == SK_PEER_MSE)
        sk_peer_end(peer, SK_PEER_REASON_MSE);
    else
        sk_peer_end(peer, SK_PEER_REASON_EOF);
}

struct sk_bytes sk_peer_output(const struct sk_peer *peer)
{
    if (!peer->out.p)
        return sk_bytes(NULL, 0);
    return sk_bytes(peer->out.p + peer->out_sent, peer->out.n - peer->out_sent);
}

void sk_peer_sent(struct sk_peer *peer, size_t n, uint64_t now_ns)
{
    SK_ASSERT(n <= peer->out.n - peer->out_sent);
    peer->now_ns = now_ns;
    if (n == 0)
        return;
    peer->view.bytes_out += n;
    peer->view.last_out_ns = peer->out_since_ns = now_ns;
    peer->out_sent += n;
    if (peer->out_sent == peer->out.n) {
        sk_buf_deinit(&peer->out);
        peer->out_sent = 0;
    }
}

/* Phases */

static bool is_plain_prefix(struct sk_bytes bytes)
{
    struct sk_handshake ignored;
    bytes.n = SK_MIN(bytes.n, (size_t)SNIFF_SIZE);
    return sk_handshake_read(bytes, &ignored) != SKEP_ERR_MALFORMED;
}

static enum step step_sniff(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    size_t n = SK_MIN(held_size(peer) + peer->in_size, (size_t)SNIFF_SIZE);
    const uint8_t *p = n ? peek(peer, n) : NULL;
    if (!p)
        return STEP_WAIT;
    if (!is_plain_prefix(sk_bytes(p, n))) {
        if (peer->config.mse == 0)
            sk_peer_violate(peer, SK_PEER_VIOLATION_NOT_BITTORRENT);
        else if (start_mse(peer))
            sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
        return STEP_AGAIN;
    }
    if (n < SNIFF_SIZE)
        return STEP_WAIT;
    if (peer->config.mse_required || peer->config.mse == SK_MSE_RC4)
        sk_peer_end(peer, SK_PEER_REASON_ENCRYPTED_ONLY);
    else
        enter(peer, SK_PEER_HANDSHAKE);
    return STEP_AGAIN;
}

static void end_mse(struct sk_peer *peer)
{
    static const enum sk_peer_reason reasons[] = {
        [SK_MSE_FAILURE_TORRENT] = SK_PEER_REASON_WRONG_INFO_HASH,
        [SK_MSE_FAILURE_MODES] = SK_PEER_REASON_ENCRYPTED_ONLY,
        [SK_MSE_FAILURE_NOMEM] = SK_PEER_REASON_NO_MEMORY,
    };
    enum sk_mse_failure failure = sk_mse_failure(peer->mse);
    sk_peer_end(peer, reasons[failure] ? reasons[failure] : SK_PEER_REASON_MSE);
}

static enum step step_mse(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    while (sk_mse_state(peer->mse) < SK_MSE_DONE && unread(peer).n) {
        size_t used =
            sk_mse_input(peer->mse, unread(peer), peer->skeys, peer->skeys_count, &peer->out);
        skip(peer, used);
    }
    if (sk_mse_state(peer->mse) < SK_MSE_DONE)
        return STEP_WAIT;
    if (sk_mse_state(peer->mse) == SK_MSE_FAILED) {
        end_mse(peer);
        return STEP_AGAIN;
    }
    struct sk_mse_result result;
    sk_mse_take_result(peer->mse, &result);
    sk_mse_free(peer->mse);
    peer->mse = NULL;
    peer->rc4_in = result.in;
    peer->rc4_out = result.out;
    peer->rc4_in_left = result.in_left;
    peer->view.encryption = result.mode;
    memcpy(peer->config.info_hash, result.info_hash, sizeof result.info_hash);
    if (held_size(peer))
        decrypt(peer, peer->held.p + peer->held_read, held_size(peer));
    decrypt(peer, peer->in, peer->in_size);
    enter(peer, SK_PEER_HANDSHAKE);
    return STEP_AGAIN;
}

static bool open_session(struct sk_peer *peer)
{
    peer->view.fast = peer->view.reserved & SK_RESERVED_FAST;
    peer->view.extended = peer->view.reserved & SK_RESERVED_EXTENSION;
    enter(peer, SK_PEER_OPEN);
    int err = 0;
    if (peer->config.pieces)
        err = sk_bitfield_init(&peer->view.have, peer->config.pieces);
    if (!err && peer->view.extended && !peer->config.quiet)
        err = sk_peer_put_extension_handshake(peer, -1, -1);
    if (err)
        sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
    return !err;
}

static bool is_zero(const uint8_t hash[20])
{
    static const uint8_t zero[20];
    return memcmp(hash, zero, sizeof zero) == 0;
}

static bool is_our_torrent(const struct sk_peer *peer, const uint8_t info_hash[20])
{
    const struct sk_peer_config *config = &peer->config;
    return memcmp(info_hash, config->info_hash, 20) == 0 ||
           (!is_zero(info_hash) && memcmp(info_hash, config->info_hash_other, 20) == 0);
}

static enum step step_handshake(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    if (peer->hello_told)
        return STEP_WAIT;
    const uint8_t *p = peek(peer, SK_HANDSHAKE_SIZE);
    if (!p) {
        if (!is_plain_prefix(unread(peer)))
            sk_peer_violate(peer, SK_PEER_VIOLATION_NOT_BITTORRENT);
        return STEP_WAIT;
    }
    struct sk_handshake hello;
    if (sk_handshake_read(sk_bytes(p, SK_HANDSHAKE_SIZE), &hello)) {
        sk_peer_violate(peer, SK_PEER_VIOLATION_NOT_BITTORRENT);
        return STEP_AGAIN;
    }
    skip(peer, SK_HANDSHAKE_SIZE);
    peer->view.reserved = hello.reserved;
    memcpy(peer->view.peer_id, hello.peer_id, sizeof hello.peer_id);
    peer->view.other_hash = memcmp(hello.info_hash, peer->config.info_hash, 20) != 0;
    if ((peer->config.outgoing || peer->view.mse) && !is_our_torrent(peer, hello.info_hash)) {
        sk_peer_end(peer, SK_PEER_REASON_WRONG_INFO_HASH);
    } else if (!peer->config.outgoing) {
        peer->hello_told = true;
        *ret_event = (struct sk_peer_event){.kind = SK_PEER_EVENT_HELLO, .hello = hello};
        return STEP_EVENT;
    } else if (memcmp(hello.peer_id, peer->config.peer_id, sizeof hello.peer_id) == 0) {
        sk_peer_end(peer, SK_PEER_REASON_SELF);
    } else {
        open_session(peer);
    }
    return STEP_AGAIN;
}

int sk_peer_accept(struct sk_peer *peer, const struct sk_peer_config *config)
{
    if (peer->view.state != SK_PEER_HANDSHAKE || !peer->hello_told)
        return SKEP_ERR_STATE;
    peer->config = *config;
    peer->config.outgoing = false;
    if (memcmp(peer->view.peer_id, config->peer_id, sizeof config->peer_id) == 0) {
        sk_peer_end(peer, SK_PEER_REASON_SELF);
        return 0;
    }
    int err = sk_peer_put_handshake(peer);
    if (err)
        return err;
    return open_session(peer) ? 0 : SKEP_ERR_NOMEM;
}

/* Block bytes of an unfinished message count as they come, so that a rate can be measured. */
static void count_payload(struct sk_peer *peer, size_t size)
{
    uint32_t payload = size > 13 ? (uint32_t)size - 13 : 0;
    peer->view.payload_in += payload - peer->payload_counted;
    peer->payload_counted = payload;
}

/* The next message, read but not skipped: its size with prefix; 0 where it is not there yet or the
 * session has ended. */
static size_t read_message(struct sk_peer *peer)
{
    const uint8_t *p = peek(peer, 4);
    if (!p)
        return 0;
    size_t size = 4 + (size_t)sk_get_u32(p);
    if (size > 4 + SK_PEER_MESSAGE_MAX) {
        sk_peer_violate(peer, SK_PEER_VIOLATION_LENGTH);
        return 0;
    }
    bool is_piece = false;
    if (size > 4) {
        p = peek(peer, 5);
        if (!p || !sk_peer_check_size(peer, p[4], size - 4))
            return 0;
        is_piece = p[4] == SK_MSG_PIECE;
    }
    p = peek(peer, size);
    if (!p) {
        if (is_piece)
            count_payload(peer, unread(peer).n);
        return 0;
    }
    if (is_piece)
        count_payload(peer, size);
    peer->payload_counted = 0;
    if (sk_msg_read(sk_bytes(p + 4, size - 4), &peer->msg)) {
        sk_peer_violate(peer, SK_PEER_VIOLATION_LENGTH);
        return 0;
    }
    return size;
}

static enum step step_open(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    if (!peer->open_told) {
        peer->open_told = true;
        *ret_event = (struct sk_peer_event){.kind = SK_PEER_EVENT_OPEN};
        return STEP_EVENT;
    }
    size_t size = read_message(peer);
    if (size == 0)
        return STEP_WAIT;
    skip(peer, size);
    sk_peer_take_message(peer);
    *ret_event = (struct sk_peer_event){.kind = SK_PEER_EVENT_MESSAGE, .msg = peer->msg};
    return STEP_EVENT;
}

/* What the caller's buffer still has is kept, for the buffer will be used for other bytes. */
static void keep_input(struct sk_peer *peer)
{
    if (peer->in_size == 0)
        return;
    if (peer->hello_told && !peer->open_told && held_size(peer) + peer->in_size > SK_PEER_HELD_MAX)
        sk_peer_violate(peer, SK_PEER_VIOLATION_FLOOD);
    else
        hold(peer, peer->in_size);
}

/* Events */

static int tell_closed(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    if (peer->closed_told)
        return 0;
    peer->closed_told = true;
    sk_buf_deinit(&peer->held);
    peer->held_read = 0;
    release(peer);
    *ret_event = (struct sk_peer_event){
        .kind = SK_PEER_EVENT_CLOSED, .reason = peer->reason, .violation = peer->violation};
    return 1;
}

/* A request that a choke, or the loss of its piece, dropped. */
static bool tell_dropped(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    struct sk_request *dropped = sk_requests_dropped(&peer->requests);
    if (!dropped)
        return false;
    struct sk_msg msg = {
        .kind = SK_MSG_REJECT,
        .id = SK_MSG_REJECT,
        .index = dropped->index,
        .begin = dropped->begin,
        .length = dropped->length,
    };
    sk_requests_remove(&peer->requests, dropped);
    if (sk_requests_forgive(&peer->requests, msg.index, msg.begin, peer->now_ns)) {
        sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
        return false;
    }
    *ret_event = (struct sk_peer_event){.kind = SK_PEER_EVENT_REJECTED, .msg = msg};
    return true;
}

/* What comes after MESSAGE. The parsers accepted these bytes before: reading them again is cheaper
 * than keeping their meaning in every session. */
static bool tell_follow(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    if (peer->follow == SK_PEER_NO_EVENT)
        return sk_peer_tell_late(peer, ret_event) || tell_dropped(peer, ret_event);
    *ret_event = (struct sk_peer_event){
        .kind = (enum sk_peer_event_kind)peer->follow,
        .msg = peer->msg,
        .rtt_ns = peer->rtt_ns,
        .pex = peer->pex,
        .pex_count = peer->pex_count,
        .upload_only = peer->view.upload_only,
    };
    if (peer->follow == SK_PEER_EVENT_EXTENDED)
        sk_extension_handshake_read(peer->msg.data, &ret_event->extended);
    else if (peer->follow == SK_PEER_EVENT_METADATA)
        sk_metadata_message_read(peer->msg.data, &ret_event->metadata);
    else if (peer->follow == SK_PEER_EVENT_HOLEPUNCH)
        sk_holepunch_read(peer->msg.data, &ret_event->holepunch);
    peer->follow = SK_PEER_NO_EVENT;
    return true;
}

int sk_peer_next(struct sk_peer *peer, struct sk_peer_event *ret_event)
{
    static enum step (*const steps[])(struct sk_peer *, struct sk_peer_event *) = {
        [SK_PEER_SNIFF] = step_sniff,
        [SK_PEER_MSE] = step_mse,
        [SK_PEER_HANDSHAKE] = step_handshake,
        [SK_PEER_OPEN] = step_open,
    };
    while (peer->view.state != SK_PEER_CLOSED) {
        if (tell_follow(peer, ret_event))
            return 1;
        if (peer->view.state == SK_PEER_CLOSED)
            break;
        release(peer);
        enum step step = steps[peer->view.state](peer, ret_event);
        if (peer->view.state == SK_PEER_CLOSED)
            break;
        if (step == STEP_EVENT)
            return 1;
        if (step == STEP_AGAIN)
            continue;
        keep_input(peer);
        if (peer->view.state != SK_PEER_CLOSED)
            return 0;
    }
    return tell_closed(peer, ret_event);
}

/* Time */

static uint64_t silence_deadline(const struct sk_peer *peer)
{
    return SK_MAX(peer->view.last_in_ns, peer->phase_ns) + SK_PEER_SILENCE_NS;
}

/* While output waits it must move; while none does, a keep-alive falls due. */
static uint64_t output_deadline(const struct sk_peer *peer)
{
    if (peer->out.n)
        return peer->out_since_ns + SK_PEER_SILENCE_NS;
    return SK_MAX(peer->view.last_out_ns, peer->phase_ns) + SK_PEER_KEEPALIVE_NS;
}

uint64_t sk_peer_deadline(const struct sk_peer *peer)
{
    uint64_t deadline = SK_TIME_NEVER;
    switch (peer->view.state) {
    case SK_PEER_SNIFF:
    case SK_PEER_HANDSHAKE:
        deadline = peer->phase_ns + SK_PEER_HANDSHAKE_NS;
        break;
    case SK_PEER_MSE:
        deadline = sk_mse_deadline(peer->mse);
        break;
    case SK_PEER_OPEN:
        deadline = SK_MIN(silence_deadline(peer), output_deadline(peer));
        deadline = SK_MIN(deadline, peer->requests.forgiven_until_ns);
        break;
    case SK_PEER_CLOSED:
        break;
    }
    return deadline;
}

void sk_peer_tick(struct sk_peer *peer, uint64_t now_ns)
{
    peer->now_ns = now_ns;
    if (now_ns < sk_peer_deadline(peer))
        return;
    if (peer->view.state != SK_PEER_OPEN) {
        sk_peer_end(peer, SK_PEER_REASON_HANDSHAKE_TIMEOUT);
        return;
    }
    sk_requests_tick(&peer->requests, now_ns);
    if (now_ns >= silence_deadline(peer)) {
        sk_peer_end(peer, SK_PEER_REASON_SILENCE);
    } else if (now_ns >= output_deadline(peer)) {
        struct sk_msg keepalive = {.kind = SK_MSG_KEEPALIVE};
        if (peer->out.n)
            sk_peer_end(peer, SK_PEER_REASON_OUTPUT_FULL);
        else if (sk_peer_put_message(peer, &keepalive))
            sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
    }
}
