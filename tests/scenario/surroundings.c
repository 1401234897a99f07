/* What is around the node under test: peers, time, and what it tells of itself. */
#include "dialogue.h"

#include "base/assert.h"
#include "base/heap.h"

#define AUTO_DELAY (20 * SC_MS)
#define IDLE_TICKS_MAX 1000

/* ---- peers ---- */

struct sc_peer *sc_find_peer(struct sc_dialogue *dialogue, struct sk_bytes name)
{
    for (size_t i = 0; i < dialogue->peers_count; i++) {
        if (sk_bytes_equal(dialogue->peers[i].name, name))
            return &dialogue->peers[i];
    }
    sc_fail(&dialogue->context, "no peer is called '%.*s'", (int)name.n, (const char *)name.p);
}

static const struct sc_peer *peer_at(const struct sc_dialogue *dialogue,
                                     const struct sk_endpoint *endpoint)
{
    for (size_t i = 0; i < dialogue->peers_count; i++) {
        if (sk_endpoint_equal(&dialogue->peers[i].contact.endpoint, endpoint))
            return &dialogue->peers[i];
    }
    return NULL;
}

static size_t write_endpoint(const struct sk_endpoint *endpoint, uint8_t *ret_bytes)
{
    size_t n = endpoint->family == SK_FAMILY_V4 ? 4 : 16;
    memcpy(ret_bytes, endpoint->addr, n);
    sk_put_u16(ret_bytes + n, endpoint->port);
    return n + 2;
}

struct sc_value *sc_peer_function(struct sc_context *context, struct sk_bytes name,
                                  struct sc_value **args, size_t count)
{
    struct sc_dialogue *dialogue = (struct sc_dialogue *)context;
    bool endpoint_only = sk_bytes_is(name, "peer");
    uint8_t bytes[SC_PEERS_MAX * 38];
    size_t n = 0;
    if (!endpoint_only && !sk_bytes_is(name, "nodes") && !sk_bytes_is(name, "node"))
        return NULL;
    struct sc_value *value = sc_new(context, endpoint_only ? SC_STRING : SC_CONTACTS);
    for (size_t i = 0; i < count; i++) {
        const struct sc_peer *peer = sc_find_peer(dialogue, sc_bytes_of(context, args[i]));
        size_t size = endpoint_only ? write_endpoint(&peer->contact.endpoint, bytes + n)
                                    : sk_krpc_write_node(&peer->contact, bytes + n);
        value->entry_size = size;
        n += size;
    }
    value->string = sc_string(context, sk_bytes(bytes, n))->string;
    return value;
}

static void append(struct sc_context *context, struct sc_datagram **list,
                   const struct sk_endpoint *peer, struct sk_bytes bytes, uint64_t at_ns)
{
    struct sc_datagram *datagram = sc_alloc(context, sizeof *datagram);
    *datagram = (struct sc_datagram){NULL, *peer, sc_string(context, bytes)->string, at_ns};
    while (*list)
        list = &(*list)->next;
    *list = datagram;
}

/* What an ordinary node answers. */
static void answer(struct sc_dialogue *dialogue, const struct sc_peer *peer,
                   const struct sk_krpc *query)
{
    uint8_t nodes[SC_KNOWN_MAX * 38];
    struct sk_buf buf;
    struct sk_krpc message = {
        .kind = SK_KRPC_RESPONSE, .transaction = query->transaction, .id = peer->contact.id};
    size_t n = 0;
    for (size_t i = 0; i < peer->known_count; i++)
        n += sk_krpc_write_node(&dialogue->peers[peer->known[i]].contact, nodes + n);
    bool v4 = peer->contact.endpoint.family == SK_FAMILY_V4;
    if (query->method != SK_KRPC_PING && query->method != SK_KRPC_PUT &&
        query->method != SK_KRPC_ANNOUNCE_PEER)
        *(v4 ? &message.nodes : &message.nodes6) = sk_bytes(nodes, n);
    if (query->method == SK_KRPC_GET_PEERS || query->method == SK_KRPC_GET)
        message.token = sk_bytes_text("auto");
    sk_buf_init(&buf, SK_KRPC_DATAGRAM_MAX);
    int err = sk_krpc_write(&buf, &message);
    if (err == 0)
        append(&dialogue->context, &dialogue->coming, &peer->contact.endpoint, sk_buf_bytes(&buf),
               dialogue->now_ns + AUTO_DELAY);
    sk_buf_deinit(&buf);
    if (err < 0)
        sc_fail(&dialogue->context, "an automatic answer could not be written");
}

/* ---- the node ---- */

static void take_done(struct sc_dialogue *dialogue, const struct sk_dht_event *event)
{
    struct sc_context *context = &dialogue->context;
    const struct sk_dht_result *result = event->result;
    struct sc_value *done = dialogue->done = sc_new(context, SC_DICT);
    const struct sk_dht_result none = {0};
    if (!result)
        result = &none;
    const struct {
        const char *key;
        int64_t value;
    } fields[] = {
        {"answered", event->search ? result->answered : dialogue->answered},
        {"refused", event->search ? result->refused : dialogue->refused},
        {"silent", event->search ? result->silent : dialogue->silent},
        {"code", dialogue->code},
        {"asked", result->asked},
        {"forged", result->forged},
        {"stored", result->stored},
        {"store_refused", result->store_refused},
        {"store_silent", result->store_silent},
        {"steps", result->steps},
        {"closest", result->closest_count},
        {"has_item", result->has_item},
        {"no_nodes", result->no_nodes},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(fields); i++)
        sc_add(context, done, sk_bytes_text(fields[i].key), sc_int(context, fields[i].value));
}

static void take_event(struct sc_dialogue *dialogue, const struct sk_dht_event *event)
{
    struct sc_context *context = &dialogue->context;
    switch (event->kind) {
    case SK_DHT_EVENT_ANSWERED:
        dialogue->answered++;
        return;
    case SK_DHT_EVENT_REFUSED:
        dialogue->refused++;
        dialogue->code = event->message->code;
        return;
    case SK_DHT_EVENT_SILENT:
        dialogue->silent++;
        return;
    case SK_DHT_EVENT_ITEM:
        dialogue->item = sc_new(context, SC_DICT);
        sc_add(context, dialogue->item, sk_bytes_text("v"), sc_decode(context, event->item->value));
        sc_add(context, dialogue->item, sk_bytes_text("seq"), sc_int(context, event->item->seq));
        return;
    case SK_DHT_EVENT_DONE:
        take_done(dialogue, event);
        return;
    default:
        return;
    }
}

static void take_output(struct sc_dialogue *dialogue, const struct sk_dht_out *out)
{
    struct sk_krpc message;
    const struct sc_peer *peer = peer_at(dialogue, &out->to);
    if (out->bytes.n > SK_KRPC_DATAGRAM_MAX)
        sc_fail(&dialogue->context, "it sent %zu bytes in one datagram", out->bytes.n);
    if (peer && peer->automatic && sk_krpc_read(out->bytes, &message) == 0 &&
        message.kind == SK_KRPC_QUERY) {
        answer(dialogue, peer, &message);
        return;
    }
    append(&dialogue->context, &dialogue->sent, &out->to, out->bytes, dialogue->now_ns);
}

void sc_drain(struct sc_dialogue *dialogue)
{
    struct sk_dht_event event;
    struct sk_dht_out out;
    bool more = true;
    while (more) {
        more = false;
        for (; sk_dht_next_event(dialogue->dht, &event); more = true)
            take_event(dialogue, &event);
        for (; sk_dht_next_output(dialogue->dht, dialogue->now_ns, &out); more = true)
            take_output(dialogue, &out);
    }
    const char *fault = sk_dht_fault(dialogue->dht);
    if (fault)
        sc_fail(&dialogue->context, "does not hold any more: %s", fault);
}

void sc_send(struct sc_dialogue *dialogue, const struct sc_peer *peer, struct sk_bytes bytes)
{
    /* A buffer of just this size, so that a sanitizer sees what is read beyond it. */
    struct sk_buf buf;
    sk_buf_init(&buf, bytes.n + 1);
    sk_buf_append(&buf, bytes.p, bytes.n);
    sk_dht_input(dialogue->dht, &peer->contact.endpoint, sk_buf_bytes(&buf), dialogue->now_ns);
    sk_buf_deinit(&buf);
    sc_drain(dialogue);
}

void sc_wait(struct sc_dialogue *dialogue, uint64_t duration_ns)
{
    uint64_t until = dialogue->now_ns + duration_ns;
    unsigned idle = 0;
    for (;;) {
        uint64_t tick = sk_dht_deadline(dialogue->dht);
        struct sc_datagram *coming = dialogue->coming;
        uint64_t next = SK_MIN(tick, coming ? coming->at_ns : SK_TIME_NEVER);
        if (next > until)
            break;
        idle = next > dialogue->now_ns ? 0 : idle + 1;
        if (idle > IDLE_TICKS_MAX)
            sc_fail(&dialogue->context, "it wants to be woken again and again at one moment");
        dialogue->now_ns = SK_MAX(dialogue->now_ns, next);
        if (coming && coming->at_ns <= dialogue->now_ns) {
            dialogue->coming = coming->next;
            sk_dht_input(dialogue->dht, &coming->peer, coming->bytes, dialogue->now_ns);
        } else {
            sk_dht_tick(dialogue->dht, dialogue->now_ns);
        }
        sc_drain(dialogue);
    }
    dialogue->now_ns = until;
}

bool sc_is_answer(const struct sc_datagram *datagram)
{
    struct sk_krpc message;
    return sk_krpc_read(datagram->bytes, &message) < 0 || message.kind != SK_KRPC_QUERY;
}

/* ---- what it tells of itself ---- */

static struct sc_value *dict_of(struct sc_context *context, const char *const *keys,
                                const int64_t *numbers, size_t count)
{
    struct sc_value *dict = sc_new(context, SC_DICT);
    for (size_t i = 0; i < count; i++)
        sc_add(context, dict, sk_bytes_text(keys[i]), sc_int(context, numbers[i]));
    return dict;
}

struct sc_value *sc_stats(struct sc_dialogue *dialogue)
{
    static const char *const keys[] = {
        "answers_in",      "answers_out",    "errors_in",   "errors_out",
        "dropped_address", "dropped_banned", "malformed",   "unasked",
        "silent",          "bad_tokens",     "ids_changed", "hashes",
        "peers",           "items",          "operations",  "transactions"};
    struct sk_dht_stats stats;
    sk_dht_stats(dialogue->dht, &stats);
    const int64_t numbers[] = {(int64_t)stats.answers_in,
                               (int64_t)stats.answers_out,
                               (int64_t)stats.errors_in,
                               (int64_t)stats.errors_out,
                               (int64_t)stats.dropped_address,
                               (int64_t)stats.dropped_banned,
                               (int64_t)stats.malformed,
                               (int64_t)stats.unasked,
                               (int64_t)stats.silent,
                               (int64_t)stats.bad_tokens,
                               (int64_t)stats.ids_changed,
                               stats.hashes,
                               stats.peers,
                               stats.items,
                               stats.operations,
                               stats.transactions};
    return dict_of(&dialogue->context, keys, numbers, SK_ARRAY_LEN(keys));
}

struct sc_value *sc_table(struct sc_dialogue *dialogue, enum sk_family family)
{
    static const char *const keys[] = {"buckets",      "entries", "good",
                                       "questionable", "bad",     "spares"};
    const struct sk_dht_table *table = sk_dht_table(dialogue->dht, family);
    struct sk_dht_table_stats stats;
    if (!table)
        sc_fail(&dialogue->context, "there is no such table");
    sk_dht_table_stats(table, dialogue->now_ns, &stats);
    const int64_t numbers[] = {stats.buckets,      stats.entries, stats.good,
                               stats.questionable, stats.bad,     stats.spares};
    return dict_of(&dialogue->context, keys, numbers, SK_ARRAY_LEN(keys));
}
