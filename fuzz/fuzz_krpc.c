/*
 * KRPC datagrams: what is read is written, read again, means the same, and is written the same.
 * Nodes and peers are walked, and items in it are checked.
 */
#include "wire/krpc.h"

#include "base/assert.h"
#include "wire/dht_filter.h"
#include "wire/dht_item.h"

#define PEERS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_query(const struct sk_krpc *m)
{
    SK_ASSERT(!m->fault == !m->fault_text);
    if (m->fault)
        return;
    SK_ASSERT(m->id && m->method < SK_KRPC_UNKNOWN);
    if (m->method != SK_KRPC_PING && m->method != SK_KRPC_PUT)
        SK_ASSERT(m->target);
    if (m->method == SK_KRPC_ANNOUNCE_PEER)
        SK_ASSERT(m->token.p && (m->port || m->implied_port));
    if (m->method == SK_KRPC_PUT)
        SK_ASSERT(m->token.p && m->value.n && !m->key == !m->signature && (!m->key || m->has_seq));
}

static void check(const struct sk_krpc *m)
{
    SK_ASSERT(m->transaction.p && m->transaction.n <= SK_KRPC_TRANSACTION_MAX);
    SK_ASSERT(m->token.n <= SK_KRPC_TOKEN_MAX && m->salt.n <= SK_KRPC_SALT_MAX);
    SK_ASSERT(m->value.n <= SK_KRPC_ITEM_MAX && m->nodes.n % 26 == 0 && m->nodes6.n % 38 == 0);
    SK_ASSERT(m->samples.n % 20 == 0 && m->interval >= -1 && m->num >= -1);
    if (m->value.p) {
        struct sk_bencode value;
        uint8_t target[SK_DHT_ID_SIZE];
        struct sk_dht_item item = {m->value, m->key, m->signature, m->salt, m->seq};
        SK_ASSERT(sk_bencode_parse(m->value, SK_BENCODE_STRICT, &value, NULL) == 0);
        sk_dht_item_target(&item, target);
        if (sk_dht_item_verify(&item, target) == false)
            SK_ASSERT(m->key);
    }
    if (m->filter_seeds) {
        struct sk_dht_filter filter = {0};
        sk_dht_filter_merge(&filter, m->filter_seeds);
        SK_ASSERT(sk_dht_filter_estimate(&filter) >= 0);
    }
    if (m->kind == SK_KRPC_QUERY)
        check_query(m);
    else
        SK_ASSERT(m->kind == SK_KRPC_ERROR ? m->code != 0 : m->id != NULL);
}

static void walk_nodes(struct sk_bytes nodes, enum sk_family family)
{
    static struct sk_dht_contact contacts[64];
    size_t count = sk_krpc_read_nodes(nodes, family, contacts, SK_ARRAY_LEN(contacts));
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[38];
        struct sk_dht_contact again;
        SK_ASSERT(contacts[i].endpoint.port && contacts[i].endpoint.family == family);
        size_t n = sk_krpc_write_node(&contacts[i], bytes);
        SK_ASSERT(sk_krpc_read_nodes(sk_bytes(bytes, n), family, &again, 1) == 1);
        SK_ASSERT(memcmp(&again, &contacts[i], sizeof again) == 0);
    }
}

/* What is read can be written: its peers are put where the writer looks for them. */
static void take_peers(struct sk_krpc *m, struct sk_endpoint peers[PEERS_MAX])
{
    struct sk_bencode_iter iter = sk_bencode_iter(&m->values);
    m->peers = peers;
    while (m->peers_count < PEERS_MAX && sk_krpc_next_peer(&iter, &peers[m->peers_count]))
        m->peers_count++;
}

static bool same(const struct sk_krpc *a, const struct sk_krpc *b)
{
    return a->kind == b->kind && sk_bytes_equal(a->transaction, b->transaction) &&
           a->method == b->method && a->fault == b->fault && a->want == b->want &&
           sk_bytes_equal(a->value, b->value) && a->has_seq == b->has_seq && a->seq == b->seq &&
           a->has_cas == b->has_cas && a->cas == b->cas &&
           (a->port == b->port || a->method != SK_KRPC_ANNOUNCE_PEER) &&
           sk_bytes_equal(a->nodes, b->nodes) && sk_bytes_equal(a->nodes6, b->nodes6) &&
           sk_bytes_equal(a->token, b->token) && sk_bytes_equal(a->salt, b->salt) &&
           sk_bytes_equal(a->samples, b->samples) && a->peers_count == b->peers_count &&
           sk_bytes_equal(a->text, b->text) && a->code == b->code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sk_endpoint peers[2][PEERS_MAX];
    static uint8_t memory[2][SK_KRPC_DATAGRAM_MAX];
    struct sk_krpc first, again;
    if (sk_krpc_read(sk_bytes(data, size), &first))
        return 0;
    check(&first);
    walk_nodes(first.nodes, SK_FAMILY_V4);
    walk_nodes(first.nodes6, SK_FAMILY_V6);
    take_peers(&first, peers[0]);
    struct sk_buf buf = {.p = memory[0], .cap = sizeof memory[0], .max = sizeof memory[0]};
    struct sk_buf other = {.p = memory[1], .cap = sizeof memory[1], .max = sizeof memory[1]};
    if (sk_krpc_write(&buf, &first)) {
        SK_ASSERT(size > SK_KRPC_DATAGRAM_MAX / 2); /* few bytes do not become many */
        return 0;
    }
    SK_ASSERT(sk_krpc_read(sk_buf_bytes(&buf), &again) == 0);
    /* What is wrong is not written; so another thing is wrong then, or none. */
    if (first.fault && first.fault != SK_KRPC_METHOD)
        return 0;
    check(&again);
    take_peers(&again, peers[1]);
    SK_ASSERT(same(&first, &again));
    SK_ASSERT(sk_krpc_write(&other, &again) == 0);
    SK_ASSERT(sk_bytes_equal(sk_buf_bytes(&buf), sk_buf_bytes(&other)));
    return 0;
}
