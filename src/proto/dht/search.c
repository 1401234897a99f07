/* Searches: a lookup in one network or both, then storing at the closest. */
#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/dht/dht_internal.h"

#define STARTS_MAX 64       /* nodes of our own table to start from */
#define TOLD_READ_MAX 64    /* nodes read from one answer, of which the nearest are taken */
#define STORES_UNDER_WAY 16 /* at a time */
#define STORE_AGAIN_NS SK_DHT_SECOND_NS
#define AGAIN_NS SK_DHT_SECOND_NS
#define FARTHER 2 /* so many times k are asked for an item before it counts as missing */

enum phase { PHASE_LOOKUP, PHASE_STORE };

/* One of the closest, when something is stored there. */
struct place {
    uint16_t slot;
    uint8_t sent, under_way;
    bool wants, settled;
};

struct search {
    struct sk_dht_op op;
    struct sk_dht_search ask;
    enum phase phase;
    uint8_t salt[SK_KRPC_SALT_MAX];
    struct sk_dht_item *store; /* to be stored */
    struct sk_dht_item *item;  /* the newest that was found */
    struct sk_dht_lookup lookups[2];
    bool runs[2];
    unsigned turn; /* whose network's query is next */
    struct sk_dht_closest *closest;
    struct place *places; /* of `closest` */
    uint32_t stores_under_way;
    uint64_t started_ns;
    struct sk_dht_result result;
};

static struct search *search_of(const struct sk_dht_op *op)
{
    return SK_CONTAINER_OF(op, struct search, op);
}

static void search_review(struct sk_dht *dht, struct search *search);

static bool store_makes_sense(const struct sk_dht_search *ask)
{
    switch (ask->store) {
    case SK_DHT_STORE_NOTHING:
        return true;
    case SK_DHT_STORE_PEER:
        return ask->method == SK_KRPC_GET_PEERS;
    case SK_DHT_STORE_ITEM:
        return ask->method == SK_KRPC_GET && ask->item && ask->item->value.n &&
               ask->item->value.n <= SK_KRPC_ITEM_MAX && ask->item->salt.n <= SK_KRPC_SALT_MAX &&
               (!ask->item->key || ask->item->signature);
    }
    return false;
}

static bool search_makes_sense(const struct sk_dht_search *ask)
{
    bool known = ask->method == SK_KRPC_FIND_NODE || ask->method == SK_KRPC_GET_PEERS ||
                 ask->method == SK_KRPC_GET;
    return known && ask->k <= SK_DHT_SEARCH_K_MAX && ask->salt.n <= SK_KRPC_SALT_MAX &&
           store_makes_sense(ask);
}

void sk_dht_search_free(struct sk_dht_op *op)
{
    struct search *search = search_of(op);
    for (unsigned i = 0; i < 2; i++)
        sk_dht_lookup_deinit(&search->lookups[i]);
    sk_mem_free(search->store);
    sk_mem_free(search->item);
    sk_mem_free(search->closest);
    sk_mem_free(search->places);
    sk_mem_free(search);
}

/* How many nodes there seem to be, by those nearest to us as well: they come to us by themselves.
 */
static double nodes_in(const struct sk_dht *dht, unsigned i)
{
    const struct sk_dht_table *table = dht->nets[i].table;
    const uint8_t *own_id = sk_dht_table_id(table);
    struct sk_dht_contact nearest[SK_DHT_K];
    size_t count = sk_dht_table_closest(table, own_id, true, dht->now_ns, nearest, SK_DHT_K);
    if (count < SK_DHT_K)
        return dht->nets[i].nodes;
    return SK_MAX(dht->nets[i].nodes,
                  (SK_DHT_K - 1) / sk_dht_share(own_id, nearest[SK_DHT_K - 1].id));
}

/* The lookup in one network, from what our table knows. */
static int start_lookup(struct sk_dht *dht, struct search *search, unsigned i)
{
    struct sk_dht_table *table = dht->nets[i].table;
    struct sk_dht_lookup_config config = {
        .family = sk_dht_family_of(i),
        .k = search->ask.k,
        .alpha = SK_DHT_ALPHA,
        .ids_by_address = dht->ids_by_address,
        .nodes = nodes_in(dht, i),
    };
    memcpy(config.target, search->ask.target, SK_DHT_ID_SIZE);
    memcpy(config.self, sk_dht_table_id(table), SK_DHT_ID_SIZE);
    sk_dht_lookup_init(&search->lookups[i], &config);
    search->runs[i] = true;
    struct sk_dht_contact starts[STARTS_MAX];
    size_t max = SK_MIN(4 * search->ask.k, (unsigned)STARTS_MAX);
    size_t count = sk_dht_table_closest(table, search->ask.target, true, dht->now_ns, starts, max);
    return sk_dht_lookup_know(&search->lookups[i], starts, count);
}

static int search_init(struct sk_dht *dht, struct search *search, const struct sk_dht_search *ask)
{
    int err = 0;
    unsigned families = ask->families ? ask->families : SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6;
    search->op.search = true;
    search->ask = *ask;
    search->ask.k = ask->k ? ask->k : SK_DHT_K;
    search->started_ns = dht->now_ns;
    if (ask->salt.n)
        memcpy(search->salt, ask->salt.p, ask->salt.n);
    search->ask.salt.p = search->salt;
    search->closest = sk_mem_calloc(2 * search->ask.k, sizeof *search->closest);
    search->places = sk_mem_calloc(2 * search->ask.k, sizeof *search->places);
    if (!search->closest || !search->places)
        return SKEP_ERR_NOMEM;
    if (ask->store == SK_DHT_STORE_ITEM && !(search->store = sk_dht_item_copy(ask->item)))
        return SKEP_ERR_NOMEM;
    for (unsigned i = 0; i < 2 && !err; i++)
        if (dht->nets[i].table && (families & (i ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4)))
            err = start_lookup(dht, search, i);
    return err;
}

static int start(struct sk_dht *dht, const struct sk_dht_search *ask, bool upkeep, uint64_t *ret_op)
{
    struct search *search = sk_mem_calloc(1, sizeof *search);
    if (!search)
        return SKEP_ERR_NOMEM;
    search->op.upkeep = upkeep;
    int err = search_init(dht, search, ask);
    if (!err)
        err = sk_dht_op_add(dht, &search->op);
    if (err) {
        sk_dht_search_free(&search->op);
        return err;
    }
    search->result.no_nodes = !search->lookups[0].count && !search->lookups[1].count;
    *ret_op = search->op.number;
    return 0;
}

int sk_dht_start_search(struct sk_dht *dht, const struct sk_dht_search *ask, uint64_t now_ns,
                        uint64_t *ret_op)
{
    if (!search_makes_sense(ask))
        return SKEP_ERR_INVALID;
    dht->now_ns = SK_MAX(dht->now_ns, now_ns);
    uint64_t number;
    int err = start(dht, ask, false, &number);
    if (err)
        return err;
    search_review(dht, search_of(sk_dht_op_find(dht, number)));
    *ret_op = number;
    return 0;
}

int sk_dht_search_upkeep(struct sk_dht *dht, enum sk_family family,
                         const uint8_t target[SK_DHT_ID_SIZE], uint64_t *ret_op)
{
    struct sk_dht_search ask = {.method = SK_KRPC_FIND_NODE};
    ask.families = family == SK_FAMILY_V6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4;
    memcpy(ask.target, target, SK_DHT_ID_SIZE);
    int err = start(dht, &ask, true, ret_op);
    if (!err)
        sk_dht_op_wake(dht, sk_dht_op_find(dht, *ret_op));
    return err;
}

void sk_dht_search_know(struct sk_dht *dht, struct sk_dht_op *op,
                        const struct sk_dht_contact *contacts, size_t count)
{
    struct search *search = search_of(op);
    for (unsigned i = 0; i < 2; i++)
        if (search->runs[i])
            sk_dht_lookup_know(&search->lookups[i], contacts, count);
    sk_dht_op_wake(dht, op);
}

uint32_t sk_dht_search_reached(const struct sk_dht_op *op)
{
    return search_of(op)->result.answered;
}

/*
 * Asking.
 */

static void tell(struct sk_dht *dht, const struct search *search, enum sk_dht_event_kind kind,
                 const struct sk_dht_call *call, const struct sk_dht_event_record *more)
{
    struct sk_dht_event_record record = *more;
    record.kind = (uint8_t)kind;
    record.method = call->method;
    record.contact = call->contact;
    record.has_id = true;
    if (record.has_message && dht->message.id)
        memcpy(record.contact.id, dht->message.id, SK_DHT_ID_SIZE);
    sk_dht_tell(dht, &search->op, &record);
}

static bool ask_candidate(struct sk_dht *dht, struct search *search, uint16_t slot, unsigned i)
{
    const struct sk_dht_candidate *candidate = &search->lookups[i].candidates[slot];
    struct sk_krpc query = {
        .method = search->ask.method,
        .target = search->ask.target,
        .scrape = search->ask.scrape,
        .no_seed = search->ask.no_seed,
    };
    struct sk_dht_call call = {
        .op = search->op.number,
        .contact = candidate->contact,
        .slot = slot,
        .purpose = SK_DHT_FOR_OPERATION,
        .has_id = true,
    };
    /* Nobody is asked in the place of who is asked again: far ones are given their time. */
    uint64_t soft_ns = candidate->queries == 1 ? sk_dht_rpc_soft_ns(&dht->rpc) : AGAIN_NS;
    if (sk_dht_query(dht, &call, &query, soft_ns) != 0) {
        sk_dht_lookup_lost(&search->lookups[i], slot);
        return false;
    }
    search->result.asked += candidate->queries == 1;
    tell(dht, search, SK_DHT_EVENT_ASKED, &call,
         &(struct sk_dht_event_record){.step = candidate->step});
    return true;
}

static bool ask_next(struct sk_dht *dht, struct search *search, unsigned i)
{
    uint16_t slot;
    while (search->runs[i] && sk_dht_lookup_next(&search->lookups[i], &slot))
        if (ask_candidate(dht, search, slot, i))
            return true;
    return false;
}

static const struct sk_dht_candidate *candidate_of(const struct search *search, uint32_t at)
{
    enum sk_family family = (enum sk_family)search->closest[at].contact.endpoint.family;
    return &search->lookups[sk_dht_net_index(family)].candidates[search->places[at].slot];
}

static bool store_at(struct sk_dht *dht, struct search *search, uint32_t at)
{
    const struct sk_dht_candidate *candidate = candidate_of(search, at);
    enum sk_family family = (enum sk_family)candidate->contact.endpoint.family;
    const struct sk_buf *tokens = &search->lookups[sk_dht_net_index(family)].tokens;
    struct place *place = &search->places[at];
    struct sk_krpc query = {.token = sk_bytes(tokens->p + candidate->token, candidate->token_size)};
    if (search->ask.store == SK_DHT_STORE_PEER) {
        query.method = SK_KRPC_ANNOUNCE_PEER;
        query.target = search->ask.target;
        query.port = search->ask.port;
        query.implied_port = search->ask.port == 0;
        query.seed = search->ask.seed;
    } else {
        query.method = SK_KRPC_PUT;
        sk_dht_item_query(&query, search->store, search->ask.has_cas && candidate->has_item,
                          search->ask.cas);
    }
    struct sk_dht_call call = {
        .op = search->op.number,
        .contact = candidate->contact,
        .slot = (uint16_t)at,
        .purpose = SK_DHT_FOR_OPERATION,
        .has_id = true,
    };
    uint64_t soft_ns = SK_MAX(sk_dht_rpc_soft_ns(&dht->rpc), STORE_AGAIN_NS);
    place->wants = false;
    if (sk_dht_query(dht, &call, &query, soft_ns) != 0) {
        place->settled = place->under_way == 0;
        search->result.store_silent += place->settled;
        return false;
    }
    place->sent++;
    place->under_way++;
    search->stores_under_way++;
    tell(dht, search, SK_DHT_EVENT_ASKED, &call,
         &(struct sk_dht_event_record){.step = candidate->step});
    return true;
}

static bool store_next(struct sk_dht *dht, struct search *search)
{
    for (uint32_t at = 0; at < search->result.closest_count; at++)
        if (search->places[at].wants && search->stores_under_way < STORES_UNDER_WAY &&
            store_at(dht, search, at))
            return true;
    return false;
}

bool sk_dht_search_output(struct sk_dht *dht, struct sk_dht_op *op)
{
    struct search *search = search_of(op);
    unsigned first = search->turn++ % 2;
    bool made = search->phase == PHASE_LOOKUP
                    ? ask_next(dht, search, first) || ask_next(dht, search, !first)
                    : store_next(dht, search);
    if (!made)
        search_review(dht, search); /* over, when there was no memory for what was left */
    return made;
}

/*
 * The lookup is over: the closest, and what is stored there.
 */

static void gather_closest(struct search *search)
{
    uint16_t slots[SK_DHT_SEARCH_K_MAX];
    uint32_t n = 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct sk_dht_lookup *lookup = &search->lookups[i];
        size_t count = search->runs[i] ? sk_dht_lookup_closest(lookup, slots, search->ask.k) : 0;
        for (size_t j = 0; j < count; j++, n++) {
            const struct sk_dht_candidate *candidate = &lookup->candidates[slots[j]];
            search->places[n] = (struct place){.slot = slots[j]};
            search->closest[n] = (struct sk_dht_closest){
                .contact = candidate->contact,
                .rtt_ns = candidate->rtt_ns,
                .has_token = candidate->token_size != 0,
                .has_item =
                    search->item && candidate->has_item && candidate->seq == search->item->seq,
            };
        }
    }
    search->result.closest_count = n;
    search->result.closest = search->closest;
    search->result.has_item = search->item != NULL;
}

/* Who leads us astray makes the network seem small, never large: so more is believed sooner. */
static void note_nodes(struct sk_dht_net *net, double nodes)
{
    if (nodes > 0)
        net->nodes += (nodes - net->nodes) / (nodes > net->nodes ? 2 : 16);
}

static void end_lookup(struct sk_dht *dht, struct search *search)
{
    gather_closest(search);
    for (unsigned i = 0; i < 2; i++)
        if (search->runs[i])
            note_nodes(&dht->nets[i], sk_dht_lookup_nodes(&search->lookups[i]));
    search->result.duration_ns = dht->now_ns - search->started_ns;
    search->phase = PHASE_STORE;
    for (uint32_t at = 0; at < search->result.closest_count; at++) {
        const struct sk_dht_closest *closest = &search->closest[at];
        struct place *place = &search->places[at];
        place->wants = search->ask.store != SK_DHT_STORE_NOTHING && closest->has_token &&
                       !sk_dht_is_bootstrap(dht, &closest->contact.endpoint);
        place->settled = !place->wants;
    }
}

/*
 * What is done before it ends. Where there are few nodes each is wanted (for upkeep it can wait):
 * those who did not answer are asked once more, for packets get lost. So it is for an item that
 * none of the k closest gave; then more nodes are asked, for some of those that were the closest
 * are gone. Returns whether anything is left to be done.
 */
static bool looks_harder(const struct search *search, struct sk_dht_lookup *lookup)
{
    if (!search->op.upkeep && sk_dht_lookup_few(lookup) && sk_dht_lookup_again(lookup))
        return true;
    if (search->ask.method != SK_KRPC_GET || search->item || search->store)
        return false;
    if (sk_dht_lookup_again(lookup))
        return true;
    bool farther = lookup->config.k < FARTHER * search->ask.k;
    if (farther)
        lookup->config.k += search->ask.k;
    return farther;
}

static bool lookups_over(struct search *search)
{
    bool over = true;
    if (search->ask.first && search->item)
        return true;
    for (unsigned i = 0; i < 2; i++) {
        struct sk_dht_lookup *lookup = &search->lookups[i];
        while (search->runs[i] && sk_dht_lookup_over(lookup) && looks_harder(search, lookup))
            continue;
        over &= !search->runs[i] || sk_dht_lookup_over(lookup);
    }
    return over;
}

/* What follows from what is known now. The search may be gone when this returns. */
static void search_review(struct sk_dht *dht, struct search *search)
{
    if (search->op.over)
        return;
    if (search->phase == PHASE_LOOKUP && lookups_over(search))
        end_lookup(dht, search);
    bool settled = search->phase == PHASE_STORE;
    for (uint32_t at = 0; at < search->result.closest_count; at++)
        settled &= search->places[at].settled;
    if (!settled) {
        sk_dht_op_wake(dht, &search->op);
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        if (search->runs[i])
            search->result.silent += sk_dht_lookup_silent(&search->lookups[i]);
    sk_dht_op_finish(dht, &search->op);
}

/*
 * Answers.
 */

enum judgement { ITEM_NONE, ITEM_TRUE, ITEM_NEWEST, ITEM_FORGED };

static bool same_item(const struct sk_dht_item *a, const struct sk_dht_item *b)
{
    return !a->key == !b->key && a->seq == b->seq && sk_bytes_equal(a->value, b->value) &&
           (!a->key || (memcmp(a->key, b->key, SK_SIGN_PUBLIC_SIZE) == 0 &&
                        memcmp(a->signature, b->signature, SK_SIGN_SIZE) == 0));
}

/* Whether the answer holds a true item, and notes the newest. */
static enum judgement judge_item(struct search *search, const struct sk_krpc *message,
                                 struct sk_dht_candidate *candidate)
{
    if (search->ask.method != SK_KRPC_GET || !message->value.p)
        return ITEM_NONE;
    struct sk_dht_item item = {
        .value = message->value,
        .key = message->key,
        .signature = message->signature,
    };
    if (item.key) {
        item.salt = search->ask.salt;
        item.seq = message->seq;
    }
    bool known = search->item && same_item(&item, search->item);
    if (!known && ((item.key && !item.signature) || !sk_dht_item_verify(&item, search->ask.target)))
        return ITEM_FORGED;
    candidate->has_item = true;
    candidate->seq = item.seq;
    if (search->item && item.seq <= search->item->seq)
        return ITEM_TRUE;
    struct sk_dht_item *copy = sk_dht_item_copy(&item);
    if (!copy)
        return ITEM_TRUE;
    sk_mem_free(search->item);
    search->item = copy;
    return ITEM_NEWEST;
}

static void take_told(struct search *search, struct sk_dht_lookup *lookup, uint16_t slot,
                      const struct sk_krpc *message)
{
    struct sk_dht_contact told[TOLD_READ_MAX];
    enum sk_family family = lookup->config.family;
    struct sk_bytes nodes = family == SK_FAMILY_V6 ? message->nodes6 : message->nodes;
    size_t count = sk_krpc_read_nodes(nodes, family, told, TOLD_READ_MAX);
    sk_dht_lookup_told(lookup, slot, told, count);
    sk_dht_lookup_token(lookup, slot, message->token);
    unsigned step = lookup->candidates[slot].step;
    search->result.steps = SK_MAX(search->result.steps, step);
}

static void lookup_answered(struct sk_dht *dht, struct search *search,
                            const struct sk_dht_call *call, uint64_t rtt_ns)
{
    const struct sk_krpc *message = &dht->message;
    enum sk_family family = (enum sk_family)call->contact.endpoint.family;
    struct sk_dht_lookup *lookup = &search->lookups[sk_dht_net_index(family)];
    struct sk_dht_candidate *candidate = &lookup->candidates[call->slot];
    struct sk_dht_event_record record = {
        .has_message = true, .rtt_ns = rtt_ns, .step = candidate->step};
    if (!sk_dht_lookup_heard(lookup, call->slot))
        return;
    if (message->kind == SK_KRPC_ERROR) {
        search->result.refused++;
        sk_dht_lookup_reject(lookup, call->slot);
        tell(dht, search, SK_DHT_EVENT_REFUSED, call, &record);
        return;
    }
    search->result.answered++;
    bool itself = sk_dht_lookup_answered(lookup, call->slot, message->id, rtt_ns);
    enum judgement judgement = judge_item(search, message, candidate);
    record.forged = judgement == ITEM_FORGED;
    if (record.forged) {
        search->result.forged++;
        sk_dht_lookup_reject(lookup, call->slot);
    } else if (itself) {
        take_told(search, lookup, call->slot, message);
    }
    tell(dht, search, SK_DHT_EVENT_ANSWERED, call, &record);
    if (judgement == ITEM_NEWEST)
        tell(dht, search, SK_DHT_EVENT_ITEM, call, &record);
}

static void store_answered(struct sk_dht *dht, struct search *search,
                           const struct sk_dht_call *call, uint64_t rtt_ns)
{
    struct place *place = &search->places[call->slot];
    struct sk_dht_closest *closest = &search->closest[call->slot];
    bool error = dht->message.kind == SK_KRPC_ERROR;
    place->under_way--;
    search->stores_under_way--;
    if (place->settled)
        return;
    place->settled = true;
    place->wants = false;
    closest->stored = !error;
    closest->refused = error ? dht->message.code : 0;
    *(error ? &search->result.store_refused : &search->result.stored) += 1;
    tell(dht, search, error ? SK_DHT_EVENT_REFUSED : SK_DHT_EVENT_STORED, call,
         &(struct sk_dht_event_record){
             .has_message = true,
             .rtt_ns = rtt_ns,
             .step = candidate_of(search, call->slot)->step,
         });
}

static bool is_store(const struct sk_dht_call *call)
{
    return call->method == SK_KRPC_ANNOUNCE_PEER || call->method == SK_KRPC_PUT;
}

void sk_dht_search_answered(struct sk_dht *dht, struct sk_dht_op *op,
                            const struct sk_dht_call *call, uint64_t rtt_ns)
{
    struct search *search = search_of(op);
    if (is_store(call))
        store_answered(dht, search, call, rtt_ns);
    else
        lookup_answered(dht, search, call, rtt_ns);
    search_review(dht, search);
}

void sk_dht_search_slow(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call)
{
    struct search *search = search_of(op);
    if (is_store(call)) {
        struct place *place = &search->places[call->slot];
        place->wants = !place->settled && place->sent < 2 && !search->ask.has_cas;
    } else {
        enum sk_family family = (enum sk_family)call->contact.endpoint.family;
        sk_dht_lookup_slow(&search->lookups[sk_dht_net_index(family)], call->slot);
    }
    search_review(dht, search);
}

void sk_dht_search_silent(struct sk_dht *dht, struct sk_dht_op *op, const struct sk_dht_call *call)
{
    struct search *search = search_of(op);
    enum sk_family family = (enum sk_family)call->contact.endpoint.family;
    struct sk_dht_lookup *lookup = &search->lookups[sk_dht_net_index(family)];
    struct sk_dht_event_record record = {0};
    if (!is_store(call)) {
        record.step = lookup->candidates[call->slot].step;
        if (sk_dht_lookup_lost(lookup, call->slot))
            tell(dht, search, SK_DHT_EVENT_SILENT, call, &record);
    } else {
        struct place *place = &search->places[call->slot];
        search->stores_under_way--;
        if (!--place->under_way && !place->settled && !place->wants) {
            place->settled = true;
            search->result.store_silent++;
            record.step = candidate_of(search, call->slot)->step;
            tell(dht, search, SK_DHT_EVENT_SILENT, call, &record);
        }
    }
    search_review(dht, search);
}

void sk_dht_search_event(struct sk_dht_op *op, struct sk_dht_event *event)
{
    const struct search *search = search_of(op);
    event->target = search->ask.target;
    if (event->has_id)
        event->distance = sk_dht_distance(event->contact.id, search->ask.target);
    if (event->kind == SK_DHT_EVENT_ITEM)
        event->item = search->item;
    if (event->kind == SK_DHT_EVENT_DONE) {
        event->method = search->ask.method;
        event->result = &search->result;
    }
}

size_t sk_dht_search_bytes(const struct sk_dht_op *op)
{
    const struct search *search = search_of(op);
    return sizeof *search + sk_dht_lookup_bytes(&search->lookups[0]) +
           sk_dht_lookup_bytes(&search->lookups[1]) +
           2 * search->ask.k * (sizeof *search->closest + sizeof *search->places);
}

const char *sk_dht_search_fault(const struct sk_dht_op *op)
{
    const struct search *search = search_of(op);
    for (unsigned i = 0; i < 2; i++) {
        const char *fault = search->runs[i] ? sk_dht_lookup_fault(&search->lookups[i]) : NULL;
        if (fault)
            return fault;
    }
    return search->result.closest_count > 2 * search->ask.k ? "too many closest" : NULL;
}
