/* A node's own upkeep: joining, addresses to be tried, the table's pings, our address and id. */
#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/dht/dht_internal.h"
#include "wire/compact.h"

#define PINGS_UNDER_WAY 8     /* for the table */
#define PING_MAX 96           /* bytes of a ping */
#define ADDRESSES_UNDER_WAY 8 /* addresses that are tried at a time */
#define RETRY_MIN_NS (2 * SK_DHT_SECOND_NS)
#define RETRY_MAX_NS (300 * SK_DHT_SECOND_NS)
#define OFFLINE_SILENCES 24 /* time-outs in a row, and for so long, until we are offline */
#define OFFLINE_NS (60 * SK_DHT_SECOND_NS)
#define ROUNDS 5       /* lookups after joining */
#define REVIVED_MAX 16 /* nodes of the table that are tried again when offline */
#define VOTES_FIRST 8  /* for an address where we knew none */
#define VOTES_OTHER 13 /* of SK_DHT_VOTES, for another than we knew */

void sk_dht_maintain_deinit(struct sk_dht *dht)
{
    sk_mem_free(dht->addresses);
}

/*
 * Addresses that may be nodes.
 */

static bool knows_nobody(const struct sk_dht *dht, const struct sk_dht_net *net)
{
    struct sk_dht_contact contact;
    uint8_t any[SK_DHT_ID_SIZE] = {0};
    return sk_dht_table_closest(net->table, any, false, dht->now_ns, &contact, 1) == 0;
}

static bool nearly_empty(const struct sk_dht_net *net)
{
    size_t pos = 0;
    unsigned count = 0;
    while (count < SK_DHT_K && sk_dht_table_next(net->table, &pos, NULL))
        count++;
    return count < SK_DHT_K;
}

static struct sk_dht_address *find_address(const struct sk_dht *dht,
                                           const struct sk_endpoint *endpoint)
{
    for (uint32_t i = 0; i < dht->addresses_count; i++)
        if (sk_endpoint_equal(&dht->addresses[i].endpoint, endpoint))
            return &dht->addresses[i];
    return NULL;
}

static void set_address(struct sk_dht *dht, struct sk_dht_address *address,
                        enum sk_dht_address_state state)
{
    dht->addresses_waiting -= address->state == SK_DHT_ADDRESS_WAITING;
    address->state = (uint8_t)state;
    dht->addresses_waiting += state == SK_DHT_ADDRESS_WAITING;
}

static void remove_address(struct sk_dht *dht, struct sk_dht_address *address)
{
    dht->addresses_waiting -= address->state == SK_DHT_ADDRESS_WAITING;
    *address = dht->addresses[--dht->addresses_count];
}

/* A place in the list, perhaps of one that was tried in vain; NULL: none. */
static struct sk_dht_address *address_place(struct sk_dht *dht)
{
    if (dht->addresses_count == dht->addresses_capacity) {
        uint32_t capacity = SK_MIN(SK_MAX(dht->addresses_capacity * 2, 4u), SK_DHT_WAITING_MAX);
        struct sk_dht_address *addresses =
            capacity > dht->addresses_capacity
                ? sk_mem_realloc(dht->addresses, capacity, sizeof *addresses)
                : NULL;
        if (addresses) {
            dht->addresses = addresses;
            dht->addresses_capacity = capacity;
        }
    }
    if (dht->addresses_count < dht->addresses_capacity)
        return &dht->addresses[dht->addresses_count++];
    for (uint32_t i = 0; i < dht->addresses_count; i++)
        if (dht->addresses[i].state == SK_DHT_ADDRESS_TRIED && !dht->addresses[i].bootstrap)
            return &dht->addresses[i];
    return NULL;
}

static void add_address(struct sk_dht *dht, const struct sk_endpoint *endpoint, bool bootstrap)
{
    struct sk_dht_address *address = find_address(dht, endpoint);
    if (address) {
        if (address->state == SK_DHT_ADDRESS_TRIED)
            set_address(dht, address, SK_DHT_ADDRESS_WAITING);
        return;
    }
    address = address_place(dht);
    if (!address)
        return;
    *address = (struct sk_dht_address){
        .endpoint = *endpoint, .state = SK_DHT_ADDRESS_WAITING, .bootstrap = bootstrap};
    dht->addresses_waiting++;
}

void sk_dht_add_address(struct sk_dht *dht, const struct sk_endpoint *endpoint, bool bootstrap,
                        uint64_t now_ns)
{
    dht->now_ns = SK_MAX(dht->now_ns, now_ns);
    const struct sk_dht_net *net = sk_dht_net_of(dht, (enum sk_family)endpoint->family);
    if (net->table && sk_endpoint_reachable_from(endpoint, SK_SCOPE_LOOPBACK) &&
        (bootstrap || !sk_dht_table_find(net->table, endpoint)))
        add_address(dht, endpoint, bootstrap);
}

bool sk_dht_is_bootstrap(const struct sk_dht *dht, const struct sk_endpoint *endpoint)
{
    const struct sk_dht_address *address = find_address(dht, endpoint);
    return address && address->bootstrap;
}

/* Whether this one is to be tried now. Bootstrap nodes only by who knows hardly anybody. */
static bool is_wanted(struct sk_dht *dht, const struct sk_dht_address *address)
{
    const struct sk_dht_net *net = sk_dht_net_of(dht, (enum sk_family)address->endpoint.family);
    return address->state == SK_DHT_ADDRESS_WAITING && (!address->bootstrap || nearly_empty(net));
}

static bool ask_address(struct sk_dht *dht)
{
    for (uint32_t i = 0; i < dht->addresses_count && dht->addresses_waiting; i++) {
        struct sk_dht_address *address = &dht->addresses[i];
        enum sk_family family = (enum sk_family)address->endpoint.family;
        if (!is_wanted(dht, address)) {
            if (address->state == SK_DHT_ADDRESS_WAITING)
                set_address(dht, address, SK_DHT_ADDRESS_TRIED);
            continue;
        }
        struct sk_krpc query = {.method = SK_KRPC_FIND_NODE, .target = sk_dht_id(dht, family)};
        struct sk_dht_call call = {.contact.endpoint = address->endpoint,
                                   .purpose = SK_DHT_FOR_ADDRESS};
        if (dht->nets[0].table && dht->nets[1].table)
            query.want = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6;
        set_address(dht, address, SK_DHT_ADDRESS_ASKED);
        if (sk_dht_query(dht, &call, &query, SK_DHT_HARD_NS) == 0)
            return true;
        set_address(dht, address, SK_DHT_ADDRESS_TRIED);
    }
    return false;
}

/*
 * Joining, and being offline.
 */

enum sk_dht_state sk_dht_state(const struct sk_dht *dht, enum sk_family family)
{
    const struct sk_dht_net *net = &dht->nets[sk_dht_net_index(family)];
    if (!net->table)
        return SK_DHT_EMPTY;
    if (net->offline)
        return SK_DHT_OFFLINE;
    if (net->joined)
        return SK_DHT_READY;
    bool known = net->join_op || !knows_nobody(dht, net);
    for (uint32_t i = 0; i < dht->addresses_count && !known; i++)
        known = dht->addresses[i].endpoint.family == family;
    return known ? SK_DHT_JOINING : SK_DHT_EMPTY;
}

uint64_t sk_dht_retry_ns(const struct sk_dht *dht, enum sk_family family)
{
    const struct sk_dht_net *net = &dht->nets[sk_dht_net_index(family)];
    return net->table && net->offline ? net->retry_ns : SK_TIME_NEVER;
}

/* When to try again what was tried so many times. */
static uint64_t retry_at(struct sk_dht *dht, uint32_t tries)
{
    uint64_t wait_ns = SK_MIN(RETRY_MIN_NS << SK_MIN(tries, 16u), RETRY_MAX_NS);
    return dht->now_ns + (uint64_t)((double)wait_ns * (0.75 + sk_prng_unit(&dht->prng) / 2));
}

/* Everything again after a while. */
static void back_off(struct sk_dht *dht, struct sk_dht_net *net)
{
    net->offline = net->silences > 0;
    net->joined = false;
    net->retry_ns = retry_at(dht, net->retries++);
}

static bool has_addresses(const struct sk_dht *dht, enum sk_family family, bool untried)
{
    for (uint32_t i = 0; i < dht->addresses_count; i++)
        if (dht->addresses[i].endpoint.family == family &&
            (!untried || dht->addresses[i].state != SK_DHT_ADDRESS_TRIED))
            return true;
    return false;
}

/* What follows for a network from what is known now. */
static void review(struct sk_dht *dht, enum sk_family family)
{
    struct sk_dht_net *net = sk_dht_net_of(dht, family);
    if (net->join_op || net->retry_ns != SK_TIME_NEVER)
        return;
    bool known = !knows_nobody(dht, net);
    if (net->joined) {
        if (net->silences && (!known || (net->silences >= OFFLINE_SILENCES &&
                                         dht->now_ns - net->answered_ns >= OFFLINE_NS)))
            back_off(dht, net);
    } else if (known && !net->silences) {
        if (sk_dht_search_upkeep(dht, family, sk_dht_table_id(net->table), &net->join_op) != 0)
            back_off(dht, net);
    } else if (!has_addresses(dht, family, true) && (known || has_addresses(dht, family, false))) {
        back_off(dht, net);
    }
}

/* Some of the nodes that there were, others each time. */
static void revive(struct sk_dht *dht, const struct sk_dht_net *net)
{
    const struct sk_dht_entry *entry, *drawn[REVIVED_MAX];
    size_t pos = 0;
    uint64_t n = 0;
    for (; (entry = sk_dht_table_next(net->table, &pos, NULL)); n++) {
        uint64_t place = n < REVIVED_MAX ? n : sk_prng_below(&dht->prng, n + 1);
        if (place < REVIVED_MAX)
            drawn[place] = entry;
    }
    for (uint64_t i = 0; i < SK_MIN(n, (uint64_t)REVIVED_MAX); i++)
        add_address(dht, &drawn[i]->contact.endpoint, false);
}

/* What was added is tried again, and some of the nodes that there were. */
static void retry(struct sk_dht *dht, struct sk_dht_net *net, enum sk_family family)
{
    for (uint32_t i = 0; i < dht->addresses_count; i++)
        if (dht->addresses[i].endpoint.family == family &&
            dht->addresses[i].state == SK_DHT_ADDRESS_TRIED)
            set_address(dht, &dht->addresses[i], SK_DHT_ADDRESS_WAITING);
    revive(dht, net);
    net->retry_ns = SK_TIME_NEVER;
    review(dht, family);
}

/* Once joined a node looks round: at some places in the network, so that its table has nodes
 * everywhere, and at its own place again, now that it knows how near its neighbours must be. */
static void look_round(struct sk_dht *dht, enum sk_family family)
{
    struct sk_dht_net *net = sk_dht_net_of(dht, family);
    uint8_t target[SK_DHT_ID_SIZE];
    if (!net->joined || !net->rounds || net->refresh_op)
        return;
    net->rounds--;
    if (net->rounds)
        sk_prng_bytes(&dht->prng, target, sizeof target);
    else
        memcpy(target, sk_dht_table_id(net->table), sizeof target);
    sk_dht_search_upkeep(dht, family, target, &net->refresh_op);
}

/* Whom we joined by may have known nobody yet, and who came when we did knows us as little as we
 * know him: while the table holds hardly anybody, our place is looked up again with back-off. */
static void seek(struct sk_dht *dht, enum sk_family family)
{
    struct sk_dht_net *net = sk_dht_net_of(dht, family);
    bool few = nearly_empty(net);
    net->seek_ns = few ? retry_at(dht, net->seeks) : dht->now_ns + RETRY_MAX_NS;
    net->seeks = few ? net->seeks + 1 : 0;
    if (few)
        sk_dht_search_upkeep(dht, family, sk_dht_table_id(net->table), &net->refresh_op);
}

void sk_dht_maintain_over(struct sk_dht *dht, const struct sk_dht_op *op)
{
    for (unsigned i = 0; i < 2; i++) {
        struct sk_dht_net *net = &dht->nets[i];
        if (net->refresh_op == op->number) {
            net->refresh_op = 0;
            look_round(dht, sk_dht_family_of(i));
        }
        if (net->join_op != op->number)
            continue;
        /* Too few told us our address: then once more, as who we are. */
        net->join_op = 0;
        net->joined = sk_dht_search_reached(op) > 0 && !net->moved && net->settled;
        net->settled = true;
        net->moved = false;
        net->rounds = ROUNDS;
        if (net->joined) {
            net->retries = net->seeks = 0;
            net->seek_ns = retry_at(dht, 0);
        }
        if (!sk_dht_search_reached(op))
            back_off(dht, net);
        look_round(dht, sk_dht_family_of(i));
        review(dht, sk_dht_family_of(i));
    }
}

/*
 * Our address, as others see it (BEP 42).
 */

static uint64_t ip_hash(const struct sk_dht *dht, const struct sk_endpoint *endpoint)
{
    struct sk_endpoint ip = *endpoint;
    ip.port = 0;
    if (ip.family == SK_FAMILY_V6)
        memset(ip.addr + 8, 0, 8);
    return sk_endpoint_hash(&ip, dht->vote_seed);
}

static void take_address(struct sk_dht *dht, struct sk_dht_net *net,
                         const struct sk_endpoint *address)
{
    uint8_t id[SK_DHT_ID_SIZE];
    net->address = *address;
    if (!dht->ids_by_address || net->id_given ||
        sk_dht_id_fits(sk_dht_table_id(net->table), address))
        return;
    sk_dht_id_for_address(address, &dht->prng, id);
    if (sk_dht_table_set_id(net->table, id, dht->now_ns) != 0)
        return;
    net->joined = false; /* our place in the network is another now */
    net->moved = net->join_op != 0;
    review(dht, (enum sk_family)address->family);
}

/* One vote a voter; the last of so many voters. Another address than the one that we know must have
 * nearly all of them: a few liars never have. */
static void vote(struct sk_dht *dht, const struct sk_endpoint *voter, struct sk_bytes ip)
{
    struct sk_dht_net *net = sk_dht_net_of(dht, (enum sk_family)voter->family);
    struct sk_endpoint address;
    enum sk_family family = ip.n == 18 ? SK_FAMILY_V6 : SK_FAMILY_V4;
    if (!ip.n || family != (enum sk_family)voter->family ||
        sk_compact_read(ip, family, &address, 1, NULL) != 1)
        return;
    if (sk_endpoint_scope(&address) != SK_SCOPE_PUBLIC) {
        net->settled |= sk_endpoint_scope(voter) != SK_SCOPE_PUBLIC; /* any id will do there */
        return;
    }
    struct sk_dht_vote cast = {.voter = ip_hash(dht, voter), .address = ip_hash(dht, &address)};
    uint32_t place = 0, same = 0;
    while (place < net->votes_count && net->votes[place].voter != cast.voter)
        place++;
    if (place == SK_DHT_VOTES)
        place = 0;
    else if (place == net->votes_count)
        net->votes_count++;
    memmove(net->votes + place, net->votes + place + 1,
            (net->votes_count - place - 1) * sizeof *net->votes);
    net->votes[net->votes_count - 1] = cast;
    for (uint32_t i = 0; i < net->votes_count; i++)
        same += net->votes[i].address == cast.address;
    bool known = net->address.family != SK_FAMILY_NONE;
    net->settled |= net->votes_count >= VOTES_FIRST;
    if (known && ip_hash(dht, &net->address) == cast.address)
        return;
    if (same >= (known ? VOTES_OTHER : VOTES_FIRST) && same * 4 >= net->votes_count * 3)
        take_address(dht, net, &address);
}

/*
 * What became of calls.
 */

/* Nodes that an address told us of, before we have joined. */
static void know_told(struct sk_dht *dht, enum sk_scope teller, enum sk_family family,
                      struct sk_bytes nodes)
{
    struct sk_dht_net *net = sk_dht_net_of(dht, family);
    struct sk_dht_contact told[2 * SK_DHT_TOLD_MAX], taken[2 * SK_DHT_TOLD_MAX];
    size_t count = sk_krpc_read_nodes(nodes, family, told, SK_ARRAY_LEN(told)), n = 0;
    for (size_t i = 0; i < count; i++)
        if (sk_dht_may_tell(teller, &told[i].endpoint))
            taken[n++] = told[i];
    if (!net->table || net->joined || !n)
        return;
    if (!net->join_op &&
        sk_dht_search_upkeep(dht, family, sk_dht_table_id(net->table), &net->join_op) != 0)
        return;
    sk_dht_search_know(dht, sk_dht_op_find(dht, net->join_op), taken, n);
}

/* A bootstrap node is kept for later, others are in the table now. */
static void address_answered(struct sk_dht *dht, const struct sk_endpoint *endpoint)
{
    struct sk_dht_address *address = find_address(dht, endpoint);
    bool error = dht->message.kind == SK_KRPC_ERROR;
    if (address && (address->bootstrap || error))
        set_address(dht, address, SK_DHT_ADDRESS_TRIED);
    else if (address)
        remove_address(dht, address);
    enum sk_scope scope = sk_endpoint_scope(endpoint);
    know_told(dht, scope, SK_FAMILY_V4, dht->message.nodes);
    know_told(dht, scope, SK_FAMILY_V6, dht->message.nodes6);
}

/* It is a node of this id; errors do not tell. */
static void node_answered(struct sk_dht *dht, struct sk_dht_net *net,
                          const struct sk_endpoint *endpoint, uint64_t rtt_ns)
{
    struct sk_dht_contact contact = {.endpoint = *endpoint};
    memcpy(contact.id, dht->message.id, SK_DHT_ID_SIZE);
    if (sk_dht_is_bootstrap(dht, endpoint) ||
        memcmp(contact.id, sk_dht_table_id(net->table), SK_DHT_ID_SIZE) == 0)
        return;
    if (sk_dht_table_answered(net->table, &contact, dht->message.version, rtt_ns, dht->now_ns) ==
        SK_DHT_TOLD_CHANGED)
        dht->stats.ids_changed++;
}

void sk_dht_maintain_answered(struct sk_dht *dht, const struct sk_dht_call *call, uint64_t rtt_ns)
{
    const struct sk_endpoint *endpoint = &call->contact.endpoint;
    enum sk_family family = (enum sk_family)endpoint->family;
    struct sk_dht_net *net = sk_dht_net_of(dht, family);
    if (dht->message.id) {
        net->answered_ns = dht->now_ns;
        net->silences = 0;
        net->offline = false;
        net->retry_ns = SK_TIME_NEVER;
        node_answered(dht, net, endpoint, rtt_ns);
        vote(dht, endpoint, dht->message.ip);
    } else if (call->purpose == SK_DHT_FOR_TABLE) {
        sk_dht_table_failed(net->table, &call->contact, dht->now_ns); /* an error to a ping */
    }
    if (call->purpose == SK_DHT_FOR_ADDRESS)
        address_answered(dht, endpoint);
    review(dht, family);
}

void sk_dht_maintain_silent(struct sk_dht *dht, const struct sk_dht_call *call)
{
    enum sk_family family = (enum sk_family)call->contact.endpoint.family;
    struct sk_dht_net *net = sk_dht_net_of(dht, family);
    net->silences++;
    if (call->has_id)
        sk_dht_table_failed(net->table, &call->contact, dht->now_ns);
    struct sk_dht_address *address =
        call->purpose == SK_DHT_FOR_ADDRESS ? find_address(dht, &call->contact.endpoint) : NULL;
    if (address && net->joined && !address->bootstrap)
        remove_address(dht, address);
    else if (address)
        set_address(dht, address, SK_DHT_ADDRESS_TRIED);
    review(dht, family);
}

void sk_dht_maintain_newcomer(struct sk_dht *dht, const struct sk_dht_contact *contact)
{
    if (dht->newcomers_count == SK_DHT_NEWCOMERS_MAX)
        return;
    for (uint32_t i = 0; i < dht->newcomers_count; i++)
        if (sk_endpoint_equal(&dht->newcomers[i].endpoint, &contact->endpoint))
            return;
    dht->newcomers[dht->newcomers_count++] = *contact;
}

/*
 * What is to be done now.
 */

static bool ping(struct sk_dht *dht, const struct sk_dht_contact *contact)
{
    struct sk_krpc query = {.method = SK_KRPC_PING};
    struct sk_dht_call call = {.contact = *contact, .purpose = SK_DHT_FOR_TABLE, .has_id = true};
    return sk_dht_query(dht, &call, &query, SK_DHT_HARD_NS) == 0;
}

/* Its address may be another's, who is to get no more from us than answers would bring him. */
static bool ping_newcomer(struct sk_dht *dht, const struct sk_dht_contact *contact)
{
    const struct sk_endpoint *to = &contact->endpoint;
    if (sk_dht_guard_answer_max(dht->guard, to, 0, dht->now_ns) < PING_MAX || !ping(dht, contact))
        return false;
    sk_dht_guard_sent(dht->guard, to, 0, dht->out.n, dht->now_ns);
    return true;
}

static bool may_ping(const struct sk_dht *dht)
{
    return dht->rpc.purposes[SK_DHT_FOR_TABLE] < PINGS_UNDER_WAY;
}

static bool may_ask_address(const struct sk_dht *dht)
{
    return dht->addresses_waiting && dht->rpc.purposes[SK_DHT_FOR_ADDRESS] < ADDRESSES_UNDER_WAY;
}

bool sk_dht_maintain_output(struct sk_dht *dht)
{
    struct sk_dht_contact contact;
    if (may_ask_address(dht) && ask_address(dht))
        return true;
    for (unsigned i = 0; i < 2 && may_ping(dht); i++)
        if (dht->nets[i].table &&
            sk_dht_table_next_ping(dht->nets[i].table, dht->now_ns, &contact) &&
            ping(dht, &contact))
            return true;
    while (dht->newcomers_count && may_ping(dht))
        if (ping_newcomer(dht, &dht->newcomers[--dht->newcomers_count]))
            return true;
    for (unsigned i = 0; i < 2; i++)
        if (dht->nets[i].table && !dht->nets[i].joined)
            review(dht, sk_dht_family_of(i));
    return false;
}

void sk_dht_maintain_tick(struct sk_dht *dht)
{
    uint8_t target[SK_DHT_ID_SIZE];
    for (unsigned i = 0; i < 2; i++) {
        struct sk_dht_net *net = &dht->nets[i];
        if (!net->table)
            continue;
        if (net->retry_ns <= dht->now_ns)
            retry(dht, net, sk_dht_family_of(i));
        if (net->joined && !net->refresh_op && net->seek_ns <= dht->now_ns)
            seek(dht, sk_dht_family_of(i));
        if (net->joined && !net->refresh_op &&
            sk_dht_table_next_refresh(net->table, dht->now_ns, target))
            sk_dht_search_upkeep(dht, sk_dht_family_of(i), target, &net->refresh_op);
    }
}

uint64_t sk_dht_maintain_deadline(const struct sk_dht *dht)
{
    if (may_ask_address(dht) || (dht->newcomers_count && may_ping(dht)))
        return dht->now_ns;
    uint64_t at_ns = SK_TIME_NEVER;
    for (unsigned i = 0; i < 2; i++) {
        const struct sk_dht_net *net = &dht->nets[i];
        if (!net->table)
            continue;
        at_ns = SK_MIN(at_ns, net->retry_ns);
        if (net->joined && !net->refresh_op)
            at_ns = SK_MIN(at_ns, net->seek_ns);
        if (may_ping(dht) && net->joined && !net->refresh_op)
            at_ns = SK_MIN(at_ns, sk_dht_table_deadline(net->table));
    }
    return at_ns;
}

const char *sk_dht_maintain_fault(const struct sk_dht *dht)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < dht->addresses_count; i++)
        waiting += dht->addresses[i].state == SK_DHT_ADDRESS_WAITING;
    if (waiting != dht->addresses_waiting || dht->addresses_count > SK_DHT_WAITING_MAX)
        return "the count of addresses is wrong";
    for (unsigned i = 0; i < 2; i++)
        if (dht->nets[i].join_op && !sk_dht_op_find(dht, dht->nets[i].join_op))
            return "joining goes on without an operation";
    return NULL;
}
