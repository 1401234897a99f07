#include <skep/err.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/dht/dht_internal.h"

#define ADDRESS_RATE 20.0 /* packets a second that one address may send us */
#define ADDRESS_BURST 200.0
#define TOTAL_RATE 20000.0
#define EVENTS_MIN 16
#define EVENTS_MAX 4096
#define EVENTS_STEP 4 /* that one step may make */

static int net_init(struct sk_dht *dht, const struct sk_dht_config *config, enum sk_family family)
{
    unsigned index = sk_dht_net_index(family);
    struct sk_dht_net *net = &dht->nets[index];
    struct sk_dht_table_config table = {.family = family, .prng = &dht->prng};
    table.ids_by_address = config->ids_by_address;
    net->address = config->address[index];
    net->id_given = config->id[index] != NULL;
    net->settled = net->id_given || !config->ids_by_address || net->address.family == family;
    net->retry_ns = SK_TIME_NEVER;
    if (net->id_given)
        memcpy(table.id, config->id[index], SK_DHT_ID_SIZE);
    else if (config->ids_by_address && net->address.family == family)
        sk_dht_id_for_address(&net->address, &dht->prng, table.id);
    else
        sk_prng_bytes(&dht->prng, table.id, SK_DHT_ID_SIZE);
    return sk_dht_table_new(&table, dht->now_ns, &net->table);
}

static int init(struct sk_dht *dht, const struct sk_dht_config *config)
{
    struct sk_dht_guard_config guard = {0};
    int err = 0;
    if (!config->unguarded) {
        guard.address_rate = ADDRESS_RATE;
        guard.address_burst = ADDRESS_BURST;
        guard.total_rate = guard.total_burst = TOTAL_RATE;
    }
    guard.seed = sk_prng_u64(&dht->prng);
    err = sk_dht_guard_new(&guard, &dht->guard);
    if (!err)
        err = sk_dht_peer_store_new(&dht->prng, &dht->peers);
    if (!err)
        err = sk_dht_item_store_new(sk_prng_u64(&dht->prng), &dht->items);
    for (unsigned i = 0; i < 2 && !err; i++)
        if (config->families & (i ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4))
            err = net_init(dht, config, sk_dht_family_of(i));
    return err;
}

/*
 * Strangers see what is drawn for ids, and the generator is not made for secrets: from enough of
 * its numbers the next ones follow. So secrets come from one of their own, and neither leads back
 * to the seed.
 */
static void init_prng(struct sk_prng *prng, uint64_t seed, const char *purpose)
{
    uint8_t digest[SK_SHA1_SIZE], bytes[8];
    sk_put_u64(bytes, seed);
    struct sk_bytes parts[] = {sk_bytes_text(purpose), sk_bytes(bytes, sizeof bytes)};
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), digest);
    sk_prng_init(prng, sk_get_u64(digest));
}

static double burst(const struct sk_dht *dht)
{
    return SK_MAX(dht->rate / 2, 8.0);
}

int sk_dht_new(const struct sk_dht_config *config, uint64_t now_ns, struct sk_dht **ret_dht)
{
    struct sk_dht *dht = sk_mem_calloc(1, sizeof *dht);
    if (!dht)
        return SKEP_ERR_NOMEM;
    init_prng(&dht->prng, config->seed, "ids");
    init_prng(&dht->secret_prng, config->seed, "secrets");
    dht->vote_seed = sk_prng_u64(&dht->prng);
    dht->now_ns = dht->allowance_ns = now_ns;
    dht->expire_ns = SK_TIME_NEVER;
    dht->read_only = config->read_only;
    dht->ids_by_address = config->ids_by_address;
    memcpy(dht->version, config->version, sizeof dht->version);
    dht->rate = config->rate;
    dht->allowance = burst(dht); /* nothing was sent yet */
    sk_buf_init(&dht->out, SK_DHT_DATAGRAM_MAX);
    sk_map_init(&dht->ops, sizeof(uint64_t), SK_DHT_OPERATIONS_MAX + 16, sk_prng_u64(&dht->prng));
    sk_dht_tokens_init(&dht->tokens, &dht->secret_prng, now_ns);
    sk_dht_rpc_init(&dht->rpc, &dht->secret_prng);
    int err = init(dht, config);
    if (err) {
        sk_dht_free(dht);
        return err;
    }
    *ret_dht = dht;
    return 0;
}

static void free_told(struct sk_dht *dht)
{
    if (dht->told)
        sk_dht_op_free(dht, dht->told);
    dht->told = NULL;
}

void sk_dht_free(struct sk_dht *dht)
{
    if (!dht)
        return;
    free_told(dht);
    size_t pos = 0;
    struct sk_dht_op *op;
    while ((op = sk_map_next(&dht->ops, &pos))) {
        sk_dht_op_free(dht, op);
        pos = 0;
    }
    sk_map_deinit(&dht->ops);
    sk_dht_rpc_deinit(&dht->rpc);
    sk_dht_maintain_deinit(dht);
    for (unsigned i = 0; i < 2; i++)
        sk_dht_table_free(dht->nets[i].table);
    sk_dht_guard_free(dht->guard);
    sk_dht_peer_store_free(dht->peers);
    sk_dht_item_store_free(dht->items);
    sk_buf_deinit(&dht->out);
    sk_mem_free(dht->events);
    sk_mem_free(dht);
}

const uint8_t *sk_dht_id(const struct sk_dht *dht, enum sk_family family)
{
    const struct sk_dht_table *table = sk_dht_table(dht, family);
    return table ? sk_dht_table_id(table) : NULL;
}

const struct sk_dht_table *sk_dht_table(const struct sk_dht *dht, enum sk_family family)
{
    return dht->nets[sk_dht_net_index(family)].table;
}

/*
 * Rates.
 */

static double allowance(const struct sk_dht *dht)
{
    double seconds = (double)(dht->now_ns - dht->allowance_ns) / (double)SK_DHT_SECOND_NS;
    return SK_MIN(dht->allowance + seconds * dht->rate, burst(dht));
}

/* What must be there for a packet of this class, so that it does not hold up those before it. */
static double needed(const struct sk_dht *dht, enum sk_dht_class class)
{
    return 1 + burst(dht) * (double)class / 4;
}

bool sk_dht_may_send(const struct sk_dht *dht, enum sk_dht_class class)
{
    return dht->rate <= 0 || allowance(dht) >= needed(dht, class);
}

/* When a packet of this class may be sent. */
static uint64_t may_send_ns(const struct sk_dht *dht, enum sk_dht_class class)
{
    if (sk_dht_may_send(dht, class))
        return dht->now_ns;
    double seconds = (needed(dht, class) - allowance(dht)) / dht->rate;
    return dht->now_ns + (uint64_t)(seconds * (double)SK_DHT_SECOND_NS) + 1;
}

static void count_packet(struct sk_dht *dht)
{
    dht->allowance = allowance(dht) - 1;
    dht->allowance_ns = dht->now_ns;
    dht->stats.packets_out++;
    dht->stats.bytes_out += dht->out.n;
}

static void advance(struct sk_dht *dht, uint64_t now_ns)
{
    dht->now_ns = SK_MAX(dht->now_ns, now_ns);
}

/*
 * Out.
 */

int sk_dht_query(struct sk_dht *dht, struct sk_dht_call *call, struct sk_krpc *query,
                 uint64_t soft_ns)
{
    struct sk_dht_net *net = sk_dht_net_of(dht, (enum sk_family)call->contact.endpoint.family);
    uint8_t transaction[SK_DHT_TRANSACTION_SIZE];
    call->method = (uint8_t)query->method;
    query->kind = SK_KRPC_QUERY;
    query->id = sk_dht_table_id(net->table);
    query->read_only = dht->read_only || !net->settled;
    query->transaction = sk_bytes(transaction, sizeof transaction);
    query->version = sk_bytes(dht->version[0] ? dht->version : NULL, sizeof dht->version);
    int err = sk_dht_rpc_start(&dht->rpc, call, soft_ns, dht->now_ns, transaction);
    if (err)
        return err;
    dht->out.n = 0;
    dht->out.failed = false;
    err = sk_krpc_write(&dht->out, query);
    if (err) {
        sk_dht_rpc_end(&dht->rpc,
                       sk_dht_rpc_match(&dht->rpc, query->transaction, &call->contact.endpoint));
        return err;
    }
    dht->out_to = call->contact.endpoint;
    dht->stats.queries_out[query->method]++;
    if (call->has_id)
        sk_dht_table_asked(net->table, &call->contact, dht->now_ns);
    return 0;
}

/* The next of the queue that has something to send, to the end of it then. */
static bool queue_output(struct sk_dht *dht, enum sk_dht_queue_kind queue)
{
    struct sk_dht_op *op;
    while ((op = dht->queues[queue].first)) {
        if (dht->rpc.count >= SK_DHT_TRANSACTIONS_MAX || !sk_dht_can_tell(dht))
            return false;
        uint64_t number = op->number;
        bool made = sk_dht_op_output(dht, op);
        op = sk_dht_op_find(dht, number);
        if (op && !op->over)
            sk_dht_op_enqueue(dht, op, made ? queue : SK_DHT_QUEUE_NONE);
        if (made)
            return true;
    }
    return false;
}

int sk_dht_next_output(struct sk_dht *dht, uint64_t now_ns, struct sk_dht_out *ret_out)
{
    free_told(dht);
    advance(dht, now_ns);
    bool made = dht->has_answer;
    dht->has_answer = false;
    if (!made && sk_dht_may_send(dht, SK_DHT_CLASS_OPERATION))
        made = queue_output(dht, SK_DHT_QUEUE_OPERATIONS);
    if (!made && sk_dht_may_send(dht, SK_DHT_CLASS_UPKEEP))
        made = sk_dht_maintain_output(dht) || queue_output(dht, SK_DHT_QUEUE_UPKEEP);
    if (!made)
        return 0;
    count_packet(dht);
    ret_out->to = dht->out_to;
    ret_out->bytes = sk_buf_bytes(&dht->out);
    return 1;
}

/*
 * In.
 */

bool sk_dht_claims(struct sk_bytes datagram)
{
    /* A dictionary; KRPC messages have keys of one or two letters. */
    return datagram.n >= 12 && datagram.p[0] == 'd' && datagram.p[datagram.n - 1] == 'e' &&
           (datagram.p[1] == '1' || datagram.p[1] == '2') && datagram.p[2] == ':';
}

static void note_answer(struct sk_dht *dht, const struct sk_dht_call *call, uint64_t rtt_ns)
{
    sk_dht_rpc_measured(&dht->rpc, rtt_ns);
    sk_dht_guard_proved(dht->guard, &call->contact.endpoint, dht->now_ns);
    sk_dht_maintain_answered(dht, call, rtt_ns);
}

static void take_answer(struct sk_dht *dht, const struct sk_endpoint *from)
{
    struct sk_dht_call *found = sk_dht_rpc_match(&dht->rpc, dht->message.transaction, from);
    if (!found) {
        dht->stats.unasked++;
        return;
    }
    struct sk_dht_call call = *found;
    uint64_t rtt_ns = dht->now_ns - call.sent_ns;
    sk_dht_rpc_end(&dht->rpc, found);
    if (dht->message.kind == SK_KRPC_ERROR)
        dht->stats.errors_in++;
    else
        dht->stats.answers_in++;
    note_answer(dht, &call, rtt_ns);
    struct sk_dht_op *op = sk_dht_op_find(dht, call.op);
    if (op && !op->over)
        sk_dht_op_answered(dht, op, &call, rtt_ns);
}

static bool passes(struct sk_dht *dht, const struct sk_endpoint *from, size_t size)
{
    switch (sk_dht_guard_input(dht->guard, from, size, dht->now_ns)) {
    case SK_DHT_DROP_ADDRESS:
        dht->stats.dropped_address++;
        return false;
    case SK_DHT_DROP_BANNED:
        dht->stats.dropped_banned++;
        return false;
    case SK_DHT_DROP_TOTAL:
        dht->stats.dropped_total++;
        return false;
    case SK_DHT_PASS:
        break;
    }
    return true;
}

/* What borrows the datagram before this one is not to be told any more. */
static void forget_message(struct sk_dht *dht)
{
    for (uint32_t i = 0; i < dht->events_count; i++)
        dht->events[(dht->events_first + i) % dht->events_capacity].has_message = false;
}

void sk_dht_input(struct sk_dht *dht, const struct sk_endpoint *from, struct sk_bytes datagram,
                  uint64_t now_ns)
{
    free_told(dht);
    forget_message(dht);
    advance(dht, now_ns);
    dht->stats.packets_in++;
    dht->stats.bytes_in += datagram.n;
    if (!sk_dht_net_of(dht, (enum sk_family)from->family)->table ||
        !sk_endpoint_reachable_from(from, SK_SCOPE_LOOPBACK) || !passes(dht, from, datagram.n))
        return;
    if (sk_krpc_read(datagram, &dht->message) != 0) {
        dht->stats.malformed++;
        return;
    }
    if (dht->message.kind != SK_KRPC_QUERY) {
        take_answer(dht, from);
        return;
    }
    dht->stats.queries_in[dht->message.method]++;
    sk_dht_answer(dht, from, datagram.n);
}

static void call_due(struct sk_dht *dht, struct sk_dht_call *found, bool over)
{
    struct sk_dht_call call = *found;
    struct sk_dht_op *op = sk_dht_op_find(dht, call.op);
    if (!over) {
        if (op && !op->over)
            sk_dht_op_slow(dht, op, &call);
        return;
    }
    sk_dht_rpc_end(&dht->rpc, found);
    dht->stats.silent++;
    sk_dht_maintain_silent(dht, &call);
    op = sk_dht_op_find(dht, call.op);
    if (op && !op->over)
        sk_dht_op_silent(dht, op, &call);
}

void sk_dht_tick(struct sk_dht *dht, uint64_t now_ns)
{
    struct sk_dht_call *call;
    bool over;
    free_told(dht);
    forget_message(dht);
    advance(dht, now_ns);
    while (sk_dht_can_tell(dht) && (call = sk_dht_rpc_due(&dht->rpc, dht->now_ns, &over)))
        call_due(dht, call, over);
    if (dht->expire_ns <= dht->now_ns) {
        uint64_t peers_ns = sk_dht_peer_store_expire(dht->peers, dht->now_ns);
        uint64_t items_ns = sk_dht_item_store_expire(dht->items, dht->now_ns);
        /* Many small ends are met together. */
        dht->expire_ns = SK_MIN(peers_ns, items_ns);
        if (dht->expire_ns != SK_TIME_NEVER)
            dht->expire_ns = SK_MAX(dht->expire_ns, dht->now_ns + SK_DHT_SECOND_NS);
    }
    sk_dht_maintain_tick(dht);
}

uint64_t sk_dht_deadline(const struct sk_dht *dht)
{
    if (dht->has_answer || dht->events_count || dht->queues[SK_DHT_QUEUE_FINISHED].first)
        return dht->now_ns;
    uint64_t at_ns = SK_MIN(sk_dht_rpc_deadline(&dht->rpc), dht->expire_ns);
    bool room = dht->rpc.count < SK_DHT_TRANSACTIONS_MAX;
    if (room && dht->queues[SK_DHT_QUEUE_OPERATIONS].first)
        at_ns = SK_MIN(at_ns, may_send_ns(dht, SK_DHT_CLASS_OPERATION));
    uint64_t upkeep_ns = sk_dht_maintain_deadline(dht);
    if (dht->queues[SK_DHT_QUEUE_UPKEEP].first)
        upkeep_ns = dht->now_ns;
    if (room && upkeep_ns != SK_TIME_NEVER)
        at_ns = SK_MIN(at_ns, SK_MAX(upkeep_ns, may_send_ns(dht, SK_DHT_CLASS_UPKEEP)));
    return at_ns;
}

/*
 * Events.
 */

bool sk_dht_can_tell(const struct sk_dht *dht)
{
    return dht->events_count + EVENTS_STEP <= EVENTS_MAX;
}

static bool events_grow(struct sk_dht *dht)
{
    uint32_t capacity = SK_MAX(dht->events_capacity * 2, (uint32_t)EVENTS_MIN);
    if (capacity > EVENTS_MAX)
        return false;
    struct sk_dht_event_record *events = sk_mem_alloc(capacity * sizeof *events);
    if (!events)
        return false;
    for (uint32_t i = 0; i < dht->events_count; i++)
        events[i] = dht->events[(dht->events_first + i) % dht->events_capacity];
    sk_mem_free(dht->events);
    dht->events = events;
    dht->events_first = 0;
    dht->events_capacity = capacity;
    return true;
}

void sk_dht_tell(struct sk_dht *dht, const struct sk_dht_op *op,
                 const struct sk_dht_event_record *record)
{
    if (op->upkeep || (dht->events_count == dht->events_capacity && !events_grow(dht)))
        return;
    uint32_t place = (dht->events_first + dht->events_count++) % dht->events_capacity;
    dht->events[place] = *record;
    dht->events[place].op = op->number;
}

static void fill_event(struct sk_dht *dht, struct sk_dht_op *op,
                       const struct sk_dht_event_record *record, struct sk_dht_event *ret_event)
{
    *ret_event = (struct sk_dht_event){
        .kind = (enum sk_dht_event_kind)record->kind,
        .op = op->number,
        .search = op->search,
        .method = (enum sk_krpc_method)record->method,
        .contact = record->contact,
        .has_id = record->has_id,
        .step = record->step,
        .rtt_ns = record->rtt_ns,
        .forged = record->forged,
        .message = record->has_message ? &dht->message : NULL,
    };
    if (op->search)
        sk_dht_search_event(op, ret_event);
    else
        ret_event->target = sk_dht_ask_target(op);
}

int sk_dht_next_event(struct sk_dht *dht, struct sk_dht_event *ret_event)
{
    free_told(dht);
    while (dht->events_count) {
        struct sk_dht_event_record record = dht->events[dht->events_first];
        dht->events_first = (dht->events_first + 1) % dht->events_capacity;
        dht->events_count--;
        struct sk_dht_op *op = sk_dht_op_find(dht, record.op);
        if (!op)
            continue; /* cancelled */
        fill_event(dht, op, &record, ret_event);
        return 1;
    }
    struct sk_dht_op *op = dht->queues[SK_DHT_QUEUE_FINISHED].first;
    if (!op)
        return 0;
    struct sk_dht_event_record record = {.kind = SK_DHT_EVENT_DONE};
    fill_event(dht, op, &record, ret_event);
    sk_dht_op_enqueue(dht, op, SK_DHT_QUEUE_NONE);
    dht->told = op;
    return 1;
}

void sk_dht_cancel(struct sk_dht *dht, uint64_t number)
{
    free_told(dht);
    struct sk_dht_op *op = sk_dht_op_find(dht, number);
    if (op && !op->upkeep)
        sk_dht_op_free(dht, op);
}

uint32_t sk_dht_operations(const struct sk_dht *dht)
{
    return dht->ops_count;
}

/*
 * What it did, and whether all holds.
 */

static size_t count_bytes(const struct sk_dht *dht)
{
    size_t bytes = sizeof *dht + dht->out.cap + sk_dht_rpc_bytes(&dht->rpc) +
                   sk_dht_guard_bytes(dht->guard) + dht->events_capacity * sizeof *dht->events +
                   dht->addresses_capacity * sizeof *dht->addresses +
                   dht->ops.capacity * 2 * sizeof(uint64_t);
    size_t pos = 0;
    const struct sk_dht_op *op;
    while ((op = sk_map_next(&dht->ops, &pos)))
        if (op->search)
            bytes += sk_dht_search_bytes(op);
    for (unsigned i = 0; i < 2; i++) {
        struct sk_dht_table_stats table = {0};
        if (dht->nets[i].table)
            sk_dht_table_stats(dht->nets[i].table, dht->now_ns, &table);
        bytes += table.bytes;
    }
    return bytes;
}

void sk_dht_stats(const struct sk_dht *dht, struct sk_dht_stats *ret_stats)
{
    size_t peers_bytes, items_bytes;
    *ret_stats = dht->stats;
    ret_stats->operations = dht->ops_count;
    ret_stats->transactions = dht->rpc.count;
    ret_stats->waiting = dht->addresses_waiting;
    sk_dht_peer_store_count(dht->peers, &ret_stats->hashes, &ret_stats->peers, &peers_bytes);
    sk_dht_item_store_count(dht->items, &ret_stats->items, &items_bytes);
    for (unsigned i = 0; i < 2; i++)
        ret_stats->address[i] = dht->nets[i].address;
    ret_stats->bytes = count_bytes(dht) + peers_bytes + items_bytes;
}

static const char *ops_fault(const struct sk_dht *dht)
{
    uint32_t count = 0, queued = 0, seen = 0;
    size_t pos = 0;
    const struct sk_dht_op *op;
    while ((op = sk_map_next(&dht->ops, &pos))) {
        count += !op->upkeep;
        queued += op->queue != SK_DHT_QUEUE_NONE;
        const char *fault = op->search ? sk_dht_search_fault(op) : NULL;
        if (fault)
            return fault;
    }
    for (unsigned queue = 1; queue < SK_DHT_QUEUE_COUNT; queue++)
        for (op = dht->queues[queue].first; op; op = op->next, seen++)
            if (op->queue != queue || (op->next && op->next->previous != op))
                return "an operation is in a queue that it does not know of";
    if (count != dht->ops_count || queued != seen || count > SK_DHT_OPERATIONS_MAX)
        return "the count of operations is wrong";
    return NULL;
}

const char *sk_dht_fault(const struct sk_dht *dht)
{
    const char *fault = sk_dht_rpc_fault(&dht->rpc);
    for (unsigned i = 0; i < 2 && !fault; i++)
        if (dht->nets[i].table)
            fault = sk_dht_table_fault(dht->nets[i].table);
    if (!fault)
        fault = ops_fault(dht);
    if (!fault)
        fault = sk_dht_maintain_fault(dht);
    if (!fault && (dht->events_count > dht->events_capacity || dht->events_capacity > EVENTS_MAX))
        fault = "too many events wait";
    return fault;
}
