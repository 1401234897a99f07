#include "base/assert.h"
#include "proto/peer/session_internal.h"

enum rule_flags {
    RULE_FAST = 1,   /* BEP 6: both sides must have said so */
    RULE_INDEX = 2,  /* the piece must exist */
    RULE_RANGE = 4,  /* so must the bytes in it */
    RULE_PIECES = 8, /* a bitfield may not come after it */
};

struct rule {
    uint32_t size_max; /* id and payload; checked before the payload is waited for */
    uint32_t flags;
    void (*take)(struct sk_peer *peer);
};

/* One that changed nothing costs them. */
static void count_change(struct sk_peer *peer, bool changed)
{
    if (!changed)
        sk_peer_useless(peer, 1);
}

static void take_choke(struct sk_peer *peer)
{
    count_change(peer, !peer->view.choked);
    peer->view.choked = true;
    if (peer->view.fast)
        return; /* each request is rejected by itself */
    sk_requests_drop_all(&peer->requests);
    peer->view.requests_pending = peer->requests.count;
}

static void take_unchoke(struct sk_peer *peer)
{
    count_change(peer, peer->view.choked);
    peer->view.choked = false;
}

static void take_interested(struct sk_peer *peer)
{
    count_change(peer, !peer->view.peer_interested);
    peer->view.peer_interested = true;
}

static void take_not_interested(struct sk_peer *peer)
{
    count_change(peer, peer->view.peer_interested);
    peer->view.peer_interested = false;
}

static void take_useless(struct sk_peer *peer)
{
    sk_peer_useless(peer, 1);
}

/* Requests and cancels: their owner answers them. */
static void take_nothing(struct sk_peer *peer)
{
}

static void take_piece(struct sk_peer *peer)
{
    const struct sk_msg *msg = &peer->msg;
    struct sk_request *request =
        sk_requests_find(&peer->requests, msg->index, msg->begin, msg->length);
    if (!request) {
        if (!sk_requests_is_forgiven(&peer->requests, msg->index, msg->begin))
            sk_peer_violate(peer, SK_PEER_VIOLATION_UNASKED);
        return;
    }
    peer->rtt_ns = peer->now_ns > request->sent_ns ? peer->now_ns - request->sent_ns : 0;
    /* To the cancel some answer with a reject although the block went out before. */
    if (request->state == SK_REQUEST_CANCELLED &&
        sk_requests_forgive(&peer->requests, msg->index, msg->begin, peer->now_ns)) {
        sk_peer_end(peer, SK_PEER_REASON_NO_MEMORY);
        return;
    }
    sk_requests_remove(&peer->requests, request);
    peer->view.requests_pending = peer->requests.count;
    peer->follow = SK_PEER_EVENT_BLOCK;
}

static void take_reject(struct sk_peer *peer)
{
    const struct sk_msg *msg = &peer->msg;
    struct sk_request *request =
        sk_requests_find(&peer->requests, msg->index, msg->begin, msg->length);
    if (!request) {
        if (!sk_requests_is_forgiven(&peer->requests, msg->index, msg->begin))
            sk_peer_violate(peer, SK_PEER_VIOLATION_UNASKED);
        return;
    }
    sk_requests_remove(&peer->requests, request);
    peer->view.requests_pending = peer->requests.count;
    peer->follow = SK_PEER_EVENT_REJECTED;
}

static void take_hash_request(struct sk_peer *peer)
{
    if (!peer->config.has_v2)
        sk_peer_useless(peer, 1);
}

static void take_hash_answer(struct sk_peer *peer)
{
    if (!sk_requests_answer_hashes(&peer->requests, &peer->msg.range))
        sk_peer_violate(peer, SK_PEER_VIOLATION_UNASKED);
}

#define HASH_RANGE_SIZE (SK_SHA256_SIZE + 16)

static const struct rule rules[] = {
    [SK_MSG_CHOKE] = {1, 0, take_choke},
    [SK_MSG_UNCHOKE] = {1, 0, take_unchoke},
    [SK_MSG_INTERESTED] = {1, 0, take_interested},
    [SK_MSG_NOT_INTERESTED] = {1, 0, take_not_interested},
    [SK_MSG_HAVE] = {5, RULE_INDEX | RULE_PIECES, sk_peer_take_have},
    [SK_MSG_BITFIELD] = {1 + SK_PEER_EARLY_BITFIELD_MAX, 0, sk_peer_take_bitfield},
    [SK_MSG_REQUEST] = {13, RULE_INDEX | RULE_RANGE | RULE_PIECES, take_nothing},
    [SK_MSG_PIECE] = {9 + SK_BLOCK_SIZE_MAX, RULE_INDEX | RULE_PIECES, take_piece},
    [SK_MSG_CANCEL] = {13, RULE_INDEX | RULE_RANGE, take_nothing},
    [SK_MSG_PORT] = {3, 0, take_useless},
    [SK_MSG_SUGGEST] = {5, RULE_FAST | RULE_INDEX, take_useless},
    [SK_MSG_HAVE_ALL] = {1, RULE_FAST, sk_peer_take_have_all},
    [SK_MSG_HAVE_NONE] = {1, RULE_FAST, sk_peer_take_have_none},
    [SK_MSG_REJECT] = {13, RULE_FAST | RULE_INDEX, take_reject},
    [SK_MSG_ALLOWED_FAST] = {5, RULE_FAST | RULE_INDEX, take_useless},
    [SK_MSG_EXTENDED] = {2 + SK_EXTENSION_MESSAGE_MAX, 0, sk_peer_take_extended},
    [SK_MSG_HASH_REQUEST] = {1 + HASH_RANGE_SIZE, 0, take_hash_request},
    [SK_MSG_HASHES] = {1 + HASH_RANGE_SIZE + SK_HASHES_PER_MESSAGE_MAX * SK_SHA256_SIZE, 0,
                       take_hash_answer},
    [SK_MSG_HASH_REJECT] = {1 + HASH_RANGE_SIZE, 0, take_hash_answer},
};

/* Keep-alives too: they have no id. */
static const struct rule rule_unknown = {SK_EXTENSION_MESSAGE_MAX, 0, take_useless};

static const struct rule *find_rule(uint32_t kind)
{
    return kind < SK_ARRAY_LEN(rules) && rules[kind].take ? &rules[kind] : &rule_unknown;
}

bool sk_peer_check_size(struct sk_peer *peer, uint8_t id, size_t body_size)
{
    enum sk_peer_violation violation = SK_PEER_VIOLATION_NONE;
    if (body_size > find_rule(id)->size_max)
        violation = SK_PEER_VIOLATION_LENGTH;
    else if (id == SK_MSG_BITFIELD && peer->config.pieces &&
             body_size != 1 + sk_bitfield_bytes(peer->config.pieces))
        violation = SK_PEER_VIOLATION_BITFIELD;
    if (!violation)
        return true;
    sk_peer_violate(peer, violation);
    return false;
}

static bool piece_exists(const struct sk_peer *peer, uint32_t index)
{
    return index < (peer->config.pieces ? peer->config.pieces : SK_METAINFO_PIECES_MAX);
}

static bool range_exists(const struct sk_peer *peer, const struct sk_msg *msg)
{
    const struct sk_peer_config *config = &peer->config;
    if (config->piece_size == 0)
        return true;
    uint64_t end = (uint64_t)msg->begin + msg->length;
    if (end > config->piece_size)
        return false;
    return config->span == 0 || (uint64_t)msg->index * config->piece_size + end <= config->span;
}

static enum sk_peer_violation find_violation(const struct sk_peer *peer, const struct rule *rule)
{
    const struct sk_msg *msg = &peer->msg;
    if ((rule->flags & RULE_FAST) && !peer->view.fast)
        return SK_PEER_VIOLATION_FAST;
    if ((rule->flags & RULE_INDEX) && !piece_exists(peer, msg->index))
        return SK_PEER_VIOLATION_INDEX;
    if ((rule->flags & RULE_RANGE) && (msg->length == 0 || msg->length > SK_BLOCK_SIZE_MAX))
        return SK_PEER_VIOLATION_LENGTH;
    if ((rule->flags & RULE_RANGE) && !range_exists(peer, msg))
        return SK_PEER_VIOLATION_INDEX;
    return SK_PEER_VIOLATION_NONE;
}

void sk_peer_take_message(struct sk_peer *peer)
{
    const struct rule *rule = find_rule(peer->msg.kind);
    enum sk_peer_violation violation = find_violation(peer, rule);
    if (violation) {
        sk_peer_violate(peer, violation);
        return;
    }
    rule->take(peer);
    if (rule->flags & RULE_PIECES)
        peer->pieces_told = true;
}
