/* What we answer to the queries of others. */
#include <skep/err.h>

#include "base/assert.h"
#include "proto/dht/dht_internal.h"

#define NODE_V4_SIZE 26
#define NODE_V6_SIZE 38
#define PEERS_MAX 170 /* IPv4 peers that a datagram has room for */
#define PEER_V4_SIZE 8
#define PEER_V6_SIZE 21
#define FILTERS_SIZE (2 * (SK_KRPC_FILTER_SIZE + 10))
#define EXPIRE_NS (60 * SK_DHT_SECOND_NS) /* what is stored is looked through then */

struct answer {
    struct sk_dht *dht;
    const struct sk_endpoint *from;
    const struct sk_krpc *query;
    struct sk_krpc message;
    size_t room; /* bytes that may still be used */
    uint8_t ip[18];
    uint8_t token[SK_DHT_TOKEN_SIZE];
    uint8_t nodes[2][SK_DHT_K * NODE_V6_SIZE];
    struct sk_endpoint peers[PEERS_MAX];
    struct sk_dht_filter filters[2];
    uint8_t samples[SK_DHT_DATAGRAM_MAX];
};

/* Whether so many bytes may go into the answer; they are then counted. */
static bool takes(struct answer *answer, size_t bytes)
{
    if (bytes > answer->room)
        return false;
    answer->room -= bytes;
    return true;
}

static void write_ip(struct answer *answer)
{
    size_t n = answer->from->family == SK_FAMILY_V6 ? 16 : 4;
    memcpy(answer->ip, answer->from->addr, n);
    sk_put_u16(answer->ip + n, answer->from->port);
    answer->message.ip = sk_bytes(answer->ip, n + 2);
}

static void add_token(struct answer *answer)
{
    if (!takes(answer, 10 + SK_DHT_TOKEN_SIZE))
        return;
    sk_dht_tokens_turn(&answer->dht->tokens, &answer->dht->secret_prng, answer->dht->now_ns);
    sk_dht_tokens_make(&answer->dht->tokens, answer->from, answer->query->target, answer->token);
    answer->message.token = sk_bytes(answer->token, SK_DHT_TOKEN_SIZE);
}

static void add_nodes_of(struct answer *answer, unsigned i, size_t room)
{
    const struct sk_dht_table *table = answer->dht->nets[i].table;
    size_t size = i ? NODE_V6_SIZE : NODE_V4_SIZE, n = 0;
    struct sk_dht_contact closest[SK_DHT_K];
    room = SK_MIN(room, answer->room);
    if (!table || room < 16)
        return;
    size_t max = SK_MIN((room - 12) / size, (size_t)SK_DHT_K);
    size_t count = max ? sk_dht_table_closest(table, answer->query->target, true,
                                              answer->dht->now_ns, closest, max)
                       : 0;
    for (size_t j = 0; j < count; j++)
        n += sk_krpc_write_node(&closest[j], answer->nodes[i] + n);
    takes(answer, 12 + n);
    *(i ? &answer->message.nodes6 : &answer->message.nodes) = sk_bytes(answer->nodes[i], n);
}

/* The nodes that were wanted (BEP 32), within so many bytes. */
static void add_nodes(struct answer *answer, size_t room)
{
    unsigned own = answer->from->family == SK_FAMILY_V6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4;
    unsigned want = answer->query->want ? answer->query->want : own;
    unsigned first = own == SK_KRPC_WANT_V6;
    if (want & (first ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4))
        add_nodes_of(answer, first, room);
    if (want & (first ? SK_KRPC_WANT_V4 : SK_KRPC_WANT_V6))
        add_nodes_of(answer, !first, room);
}

static void add_filters(struct answer *answer)
{
    if (!takes(answer, FILTERS_SIZE))
        return;
    if (sk_dht_peer_store_filters(answer->dht->peers, answer->query->target, &answer->filters[0],
                                  &answer->filters[1])) {
        answer->message.filter_seeds = answer->filters[0].bits;
        answer->message.filter_peers = answer->filters[1].bits;
    } else {
        answer->room += FILTERS_SIZE;
    }
}

static void add_peers(struct answer *answer)
{
    const struct sk_krpc *query = answer->query;
    bool v6 = answer->from->family == SK_FAMILY_V6;
    if (answer->room < 12)
        return;
    size_t max = (answer->room - 12) / (v6 ? PEER_V6_SIZE : PEER_V4_SIZE);
    answer->message.peers_count = sk_dht_peer_store_sample(
        answer->dht->peers, query->target, (enum sk_family)answer->from->family, query->no_seed,
        answer->dht->now_ns, answer->peers, SK_MIN(max, (size_t)PEERS_MAX));
    answer->message.peers = answer->peers;
    answer->message.has_values = answer->message.peers_count > 0;
}

static void answer_get_peers(struct answer *answer)
{
    if (sk_dht_peer_store_takes(answer->dht->peers, answer->query->target))
        add_token(answer);
    /* Where there is little room some of it is left to the peers. */
    add_nodes(answer, answer->room * 2 / 3);
    if (answer->query->scrape)
        add_filters(answer);
    add_peers(answer);
}

static void answer_find_node(struct answer *answer)
{
    add_nodes(answer, answer->room);
}

/* BEP 44: the value, unless the other has a seq as new. */
static void answer_get(struct answer *answer)
{
    const struct sk_krpc *query = answer->query;
    struct sk_krpc *message = &answer->message;
    struct sk_dht_item item;
    add_token(answer);
    if (sk_dht_item_store_get(answer->dht->items, query->target, &item)) {
        bool older = item.key && query->has_seq && query->seq >= item.seq;
        size_t size = item.value.n + 3 + (item.key ? 38 + 72 : 0);
        if (item.key && takes(answer, 27)) {
            message->has_seq = true;
            message->seq = item.seq;
        }
        if (!older && (!item.key || message->has_seq) && takes(answer, size)) {
            message->value = item.value;
            message->key = item.key;
            message->signature = item.signature;
        }
    }
    add_nodes(answer, answer->room);
}

static void answer_sample(struct answer *answer)
{
    uint32_t num = 0, interval_s = 0;
    add_nodes(answer, answer->room / 2);
    if (!takes(answer, 60))
        return;
    size_t n = sk_dht_peer_store_hashes(answer->dht->peers, answer->dht->now_ns, answer->samples,
                                        answer->room, &num, &interval_s);
    answer->message.has_samples = true;
    answer->message.samples = sk_bytes(answer->samples, n);
    answer->message.num = num;
    answer->message.interval = interval_s;
}

static void answer_ping(struct answer *answer)
{
    (void)answer;
}

static void fail(struct answer *answer, enum sk_krpc_code code, const char *text)
{
    answer->message.kind = SK_KRPC_ERROR;
    answer->message.code = code;
    answer->message.text = sk_bytes_text(text);
}

/* Who brings a token that we made for it gets what is sent to it. */
static bool check_token(struct answer *answer, const uint8_t target[SK_DHT_ID_SIZE])
{
    struct sk_dht *dht = answer->dht;
    sk_dht_tokens_turn(&dht->tokens, &dht->secret_prng, dht->now_ns);
    if (!sk_dht_tokens_check(&dht->tokens, answer->from, target, answer->query->token)) {
        dht->stats.bad_tokens++;
        fail(answer, SK_KRPC_PROTOCOL, "bad token");
        return false;
    }
    sk_dht_guard_proved(dht->guard, answer->from, dht->now_ns);
    dht->expire_ns = SK_MIN(dht->expire_ns, dht->now_ns + EXPIRE_NS);
    return true;
}

static void answer_announce(struct answer *answer)
{
    const struct sk_krpc *query = answer->query;
    if (!check_token(answer, query->target))
        return;
    struct sk_endpoint peer = *answer->from;
    if (!query->implied_port)
        peer.port = query->port;
    if (sk_dht_peer_store_add(answer->dht->peers, query->target, &peer, query->seed,
                              answer->dht->now_ns) != 0)
        fail(answer, SK_KRPC_SERVER, "no room");
}

static const struct {
    enum sk_krpc_code code;
    const char *text;
} put_errors[] = {
    {SK_KRPC_SERVER, "no room"},
    {SK_KRPC_PROTOCOL, "wrong arguments"},
    {SK_KRPC_TOO_BIG, "v is too big"},
    {SK_KRPC_SIGNATURE, "invalid signature"},
    {SK_KRPC_SALT, "salt is too big"},
    {SK_KRPC_CAS, "cas is not the seq that is stored"},
    {SK_KRPC_SEQ, "seq is lower than what is stored"},
};

static void answer_put(struct answer *answer)
{
    struct sk_dht *dht = answer->dht;
    const struct sk_krpc *query = answer->query;
    struct sk_dht_item item = {.value = query->value, .key = query->key};
    if (item.key) {
        item.signature = query->signature;
        item.salt = query->salt;
        item.seq = query->seq;
    }
    uint8_t target[SK_DHT_ID_SIZE];
    sk_dht_item_target(&item, target);
    if (!check_token(answer, target))
        return;
    const uint8_t *own_id = sk_dht_id(dht, (enum sk_family)answer->from->family);
    enum sk_krpc_code code = sk_dht_item_store_put(dht->items, &item, query->has_cas, query->cas,
                                                   answer->from, own_id, dht->now_ns);
    for (size_t i = 0; i < SK_ARRAY_LEN(put_errors); i++)
        if (put_errors[i].code == code)
            fail(answer, code, put_errors[i].text);
}

static void (*const answers[SK_KRPC_METHOD_COUNT])(struct answer *answer) = {
    [SK_KRPC_PING] = answer_ping,
    [SK_KRPC_FIND_NODE] = answer_find_node,
    [SK_KRPC_GET_PEERS] = answer_get_peers,
    [SK_KRPC_ANNOUNCE_PEER] = answer_announce,
    [SK_KRPC_GET] = answer_get,
    [SK_KRPC_PUT] = answer_put,
    [SK_KRPC_SAMPLE] = answer_sample,
    [SK_KRPC_UNKNOWN] = answer_find_node, /* with a target: what a later method may want */
};

/* The datagram is in dht->out; it may be no longer than `max`. */
static void send_answer(struct answer *answer, size_t query_size, size_t max)
{
    struct sk_dht *dht = answer->dht;
    dht->out.n = 0;
    dht->out.failed = false;
    if (sk_krpc_write(&dht->out, &answer->message) != 0 || dht->out.n > max)
        return;
    dht->has_answer = true;
    dht->out_to = *answer->from;
    if (answer->message.kind == SK_KRPC_ERROR)
        dht->stats.errors_out++;
    else
        dht->stats.answers_out++;
    sk_dht_guard_sent(dht->guard, answer->from, query_size, dht->out.n, dht->now_ns);
}

/* The one who asked may be a node that the table has or wants. */
static void note_asker(struct sk_dht *dht, const struct sk_endpoint *from)
{
    struct sk_dht_table *table = sk_dht_net_of(dht, (enum sk_family)from->family)->table;
    if (dht->message.read_only || !dht->message.id ||
        memcmp(dht->message.id, sk_dht_table_id(table), SK_DHT_ID_SIZE) == 0)
        return;
    struct sk_dht_contact contact = {.endpoint = *from};
    memcpy(contact.id, dht->message.id, SK_DHT_ID_SIZE);
    if (sk_dht_table_queried(table, &contact, dht->now_ns))
        sk_dht_maintain_newcomer(dht, &contact);
}

void sk_dht_answer(struct sk_dht *dht, const struct sk_endpoint *from, size_t query_size)
{
    const struct sk_krpc *query = &dht->message;
    note_asker(dht, from);
    if (dht->read_only || !sk_dht_may_send(dht, SK_DHT_CLASS_ANSWER))
        return;
    size_t max = sk_dht_guard_answer_max(dht->guard, from, query_size, dht->now_ns);
    max = SK_MIN(max, (size_t)SK_DHT_DATAGRAM_MAX);
    struct answer answer; /* large, and most of it unused by most: not cleared */
    answer.dht = dht;
    answer.from = from;
    answer.query = query;
    answer.message = (struct sk_krpc){
        .kind = SK_KRPC_RESPONSE,
        .transaction = query->transaction,
        .id = sk_dht_id(dht, (enum sk_family)from->family),
        .version = sk_bytes(dht->version[0] ? dht->version : NULL, sizeof dht->version),
        .interval = -1,
        .num = -1,
    };
    write_ip(&answer);
    /* "d" 2:ip 1:r "d" 2:id "e" 1:t 1:v 1:y "e", with what they hold. */
    size_t envelope = 68 + answer.message.ip.n + query->transaction.n;
    answer.room = max > envelope ? max - envelope : 0;
    bool later = query->method == SK_KRPC_UNKNOWN && query->target && query->id;
    if (query->fault && !later)
        fail(&answer, query->fault, query->fault_text);
    else
        answers[query->method](&answer);
    send_answer(&answer, query_size, max);
}
