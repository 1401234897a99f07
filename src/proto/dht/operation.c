/* Operations in general, and asks: one query to one address. */
#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/dht/dht_internal.h"

#define AGAIN_NS SK_DHT_SECOND_NS /* sent once more when no answer came by then */

struct ask {
    struct sk_dht_op op;
    struct sk_dht_ask ask;
    struct sk_dht_item *item;
    uint8_t token[SK_KRPC_TOKEN_MAX];
    uint8_t sent, under_way;
    bool wants; /* to send */
};

static struct ask *ask_of(const struct sk_dht_op *op)
{
    return SK_CONTAINER_OF(op, struct ask, op);
}

struct sk_dht_op *sk_dht_op_find(const struct sk_dht *dht, uint64_t number)
{
    return number ? sk_map_get(&dht->ops, &number) : NULL;
}

int sk_dht_op_add(struct sk_dht *dht, struct sk_dht_op *op)
{
    if (!op->upkeep && dht->ops_count >= SK_DHT_OPERATIONS_MAX)
        return SKEP_ERR_LIMIT;
    op->number = dht->ops_last + 1;
    int err = sk_map_put(&dht->ops, &op->number, op);
    if (err)
        return err;
    dht->ops_last++;
    dht->ops_count += !op->upkeep;
    return 0;
}

void sk_dht_op_enqueue(struct sk_dht *dht, struct sk_dht_op *op, enum sk_dht_queue_kind queue)
{
    if (op->queue != SK_DHT_QUEUE_NONE) {
        *(op->previous ? &op->previous->next : &dht->queues[op->queue].first) = op->next;
        *(op->next ? &op->next->previous : &dht->queues[op->queue].last) = op->previous;
    }
    op->queue = (uint8_t)queue;
    op->next = op->previous = NULL;
    if (queue == SK_DHT_QUEUE_NONE)
        return;
    op->previous = dht->queues[queue].last;
    *(op->previous ? &op->previous->next : &dht->queues[queue].first) = op;
    dht->queues[queue].last = op;
}

void sk_dht_op_wake(struct sk_dht *dht, struct sk_dht_op *op)
{
    if (op->queue == SK_DHT_QUEUE_NONE && !op->over)
        sk_dht_op_enqueue(dht, op, op->upkeep ? SK_DHT_QUEUE_UPKEEP : SK_DHT_QUEUE_OPERATIONS);
}

void sk_dht_op_finish(struct sk_dht *dht, struct sk_dht_op *op)
{
    op->over = true;
    if (!op->upkeep) {
        sk_dht_op_enqueue(dht, op, SK_DHT_QUEUE_FINISHED);
        return;
    }
    sk_dht_maintain_over(dht, op);
    sk_dht_op_free(dht, op);
}

void sk_dht_op_free(struct sk_dht *dht, struct sk_dht_op *op)
{
    sk_dht_op_enqueue(dht, op, SK_DHT_QUEUE_NONE);
    sk_map_remove(&dht->ops, &op->number);
    dht->ops_count -= !op->upkeep;
    if (op->search) {
        sk_dht_search_free(op);
    } else {
        sk_mem_free(ask_of(op)->item);
        sk_mem_free(ask_of(op));
    }
}

struct sk_dht_item *sk_dht_item_copy(const struct sk_dht_item *item)
{
    size_t keys = item->key ? SK_SIGN_PUBLIC_SIZE + SK_SIGN_SIZE : 0;
    struct sk_dht_item *copy = sk_mem_alloc(sizeof *copy + item->value.n + item->salt.n + keys);
    if (!copy)
        return NULL;
    uint8_t *p = (uint8_t *)(copy + 1);
    *copy = *item;
    copy->value.p = memcpy(p, item->value.p, item->value.n);
    p += item->value.n;
    copy->salt.p = item->salt.n ? memcpy(p, item->salt.p, item->salt.n) : NULL;
    p += item->salt.n;
    if (item->key) {
        copy->key = memcpy(p, item->key, SK_SIGN_PUBLIC_SIZE);
        copy->signature = memcpy(p + SK_SIGN_PUBLIC_SIZE, item->signature, SK_SIGN_SIZE);
    }
    return copy;
}

/*
 * Asks.
 */

static bool ask_makes_sense(const struct sk_dht *dht, const struct sk_dht_ask *ask)
{
    const struct sk_dht_item *item = ask->item;
    if ((unsigned)ask->method >= SK_KRPC_UNKNOWN || ask->token.n > SK_KRPC_TOKEN_MAX ||
        !sk_endpoint_reachable_from(&ask->to, SK_SCOPE_LOOPBACK) ||
        !sk_dht_table(dht, (enum sk_family)ask->to.family))
        return false;
    if (ask->method != SK_KRPC_PUT)
        return true;
    return item && item->value.n && item->value.n <= SK_KRPC_ITEM_MAX &&
           item->salt.n <= SK_KRPC_SALT_MAX && (!item->key || item->signature);
}

int sk_dht_start_ask(struct sk_dht *dht, const struct sk_dht_ask *ask, uint64_t now_ns,
                     uint64_t *ret_op)
{
    if (!ask_makes_sense(dht, ask))
        return SKEP_ERR_INVALID;
    struct ask *made = sk_mem_calloc(1, sizeof *made);
    if (!made)
        return SKEP_ERR_NOMEM;
    dht->now_ns = SK_MAX(dht->now_ns, now_ns);
    made->ask = *ask;
    made->wants = true;
    if (ask->token.n)
        memcpy(made->token, ask->token.p, ask->token.n);
    made->ask.token.p = made->token;
    int err = 0;
    if (ask->method == SK_KRPC_PUT && !(made->item = sk_dht_item_copy(ask->item)))
        err = SKEP_ERR_NOMEM;
    if (!err)
        err = sk_dht_op_add(dht, &made->op);
    if (err) {
        sk_mem_free(made->item);
        sk_mem_free(made);
        return err;
    }
    sk_dht_op_wake(dht, &made->op);
    *ret_op = made->op.number;
    return 0;
}

static struct sk_krpc ask_query(const struct ask *ask)
{
    const struct sk_dht_ask *a = &ask->ask;
    struct sk_krpc query = {
        .method = a->method, .target = a->target, .want = a->want, .interval = -1, .num = -1};
    switch (a->method) {
    case SK_KRPC_GET_PEERS:
        query.scrape = a->scrape;
        query.no_seed = a->no_seed;
        break;
    case SK_KRPC_ANNOUNCE_PEER:
        query.token = a->token;
        query.port = a->port;
        query.implied_port = a->port == 0;
        query.seed = a->seed;
        break;
    case SK_KRPC_PUT:
        query.target = NULL;
        query.token = a->token;
        sk_dht_item_query(&query, ask->item, a->has_cas, a->cas);
        break;
    default:
        break;
    }
    return query;
}

void sk_dht_item_query(struct sk_krpc *query, const struct sk_dht_item *item, bool has_cas,
                       int64_t cas)
{
    query->value = item->value;
    query->key = item->key;
    if (!item->key)
        return;
    query->signature = item->signature;
    query->salt = item->salt.n ? item->salt : (struct sk_bytes){0};
    query->has_seq = true;
    query->seq = item->seq;
    query->has_cas = has_cas;
    query->cas = cas;
}

static void tell_ask(struct sk_dht *dht, const struct ask *ask, enum sk_dht_event_kind kind,
                     const struct sk_dht_call *call, uint64_t rtt_ns)
{
    struct sk_dht_event_record record = {
        .kind = (uint8_t)kind,
        .method = (uint8_t)ask->ask.method,
        .contact = call->contact,
        .rtt_ns = rtt_ns,
        .has_message = kind != SK_DHT_EVENT_SILENT,
    };
    if (record.has_message && dht->message.id) {
        record.has_id = true;
        memcpy(record.contact.id, dht->message.id, SK_DHT_ID_SIZE);
    }
    sk_dht_tell(dht, &ask->op, &record);
}

static bool ask_output(struct sk_dht *dht, struct ask *ask)
{
    if (!ask->wants)
        return false;
    struct sk_krpc query = ask_query(ask);
    struct sk_dht_call call = {
        .op = ask->op.number, .purpose = SK_DHT_FOR_OPERATION, .contact.endpoint = ask->ask.to};
    const struct sk_dht_net *net = sk_dht_net_of(dht, (enum sk_family)ask->ask.to.family);
    const struct sk_dht_entry *entry = sk_dht_table_find(net->table, &ask->ask.to);
    if (entry) {
        call.has_id = true;
        call.contact = entry->contact;
    }
    uint64_t soft_ns = SK_MAX(sk_dht_rpc_soft_ns(&dht->rpc), AGAIN_NS);
    ask->wants = false;
    if (sk_dht_query(dht, &call, &query, soft_ns) == 0) {
        ask->sent++;
        ask->under_way++;
        return true;
    }
    if (!ask->under_way) {
        tell_ask(dht, ask, SK_DHT_EVENT_SILENT, &call, 0);
        sk_dht_op_finish(dht, &ask->op);
    }
    return false;
}

bool sk_dht_op_output(struct sk_dht *dht, struct sk_dht_op *op)
{
    return op->search ? sk_dht_search_output(dht, op) : ask_output(dht, ask_of(op));
}

void sk_dht_op_answered(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call,
                        uint64_t rtt_ns)
{
    if (op->search) {
        sk_dht_search_answered(dht, op, call, rtt_ns);
        return;
    }
    bool error = dht->message.kind == SK_KRPC_ERROR;
    tell_ask(dht, ask_of(op), error ? SK_DHT_EVENT_REFUSED : SK_DHT_EVENT_ANSWERED, call, rtt_ns);
    sk_dht_op_finish(dht, op);
}

void sk_dht_op_slow(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call)
{
    if (op->search) {
        sk_dht_search_slow(dht, op, call);
        return;
    }
    struct ask *ask = ask_of(op);
    if (ask->sent > 1 || ask->ask.once || ask->ask.has_cas)
        return;
    ask->wants = true;
    sk_dht_op_wake(dht, op);
}

void sk_dht_op_silent(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call)
{
    if (op->search) {
        sk_dht_search_silent(dht, op, call);
        return;
    }
    struct ask *ask = ask_of(op);
    if (--ask->under_way || ask->wants)
        return;
    tell_ask(dht, ask, SK_DHT_EVENT_SILENT, call, 0);
    sk_dht_op_finish(dht, op);
}

const uint8_t *sk_dht_ask_target(const struct sk_dht_op *op)
{
    return ask_of(op)->ask.target;
}
