/*
 * A whole DHT node, and what is sent to it and done with it as bytes. The first two choose how the
 * node is configured; then come actions in virtual time: datagrams of a few addresses, raw or made
 * from pieces (queries; answers to what the node asked; tokens that it gave), operations, time.
 * After each the node is drained as its header says. What must hold whatever comes:
 *
 *   - it finds no fault in itself; no deadline stays in the past
 *   - what it sends can be read, goes to usable addresses, never where a stranger in public space
 *     may not lead it, no faster than its rate; an answer goes to who asked, first
 *   - the answers to who has not proved its address stay within the factor and the allowance
 *   - it takes an announce or put with a token that it gave to that address for that target, and
 *     not with another
 *   - an operation is over once, and all are in the end
 */
#include "proto/dht/dht.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACTIONS_MAX 160
#define SENT_KEPT 32
#define OPS_MAX 64
#define WAYS 4 /* of ids that one address may have */
#define ITEMS 6
#define SECOND UINT64_C(1000000000)
#define ALLOWANCE 4096.0 /* bytes; back after ALLOWANCE_S */
#define ALLOWANCE_S 600.0
#define TOKEN_GOOD_NS (300 * SECOND)
#define TOKEN_OLD_NS (600 * SECOND)

/* Broken rules say which, in the fuzzer's log too. */
#define MUST(holds, rule) ((holds) ? (void)0 : broken(rule))

static void broken(const char *rule)
{
    fprintf(stderr, "broken: %s\n", rule);
    abort();
}

/* ---- who there is: the same in each run ---- */

enum { FORBIDDEN = 4 }; /* the last so many: strangers tell of them, and nobody may believe it */
static const char *const places[] = {
    "80.1.2.1:6881",    "80.1.2.1:6882",     "80.1.2.2:6881",  "80.1.2.3:1025",
    "90.0.0.1:80",      "91.7.0.1:6881",     "92.7.0.1:6881",  "93.7.0.1:6881",
    "10.0.0.1:6881",    "127.0.0.1:6881",    "127.0.0.1:7000", "[2a00:1::1]:6881",
    "[2a00:1::2]:6881", "[2a00:2::1]:6881",  "[2a00:3::1]:70", "[fd00::1]:6881",
    "[::1]:6881",       "0.0.0.0:6881",      "224.0.0.1:6881", "[ff02::1]:6881",
    "80.1.2.9:53",      "192.168.77.1:6881", "127.0.0.99:22",  "[fd77:1234::1]:6881",
};
#define PLACES SK_ARRAY_LEN(places)
#define TALKERS (PLACES - FORBIDDEN)

static struct sk_endpoint who[PLACES];
static uint8_t ids[PLACES][WAYS][SK_DHT_ID_SIZE];
static struct sk_dht_item items[ITEMS]; /* two immutable, three seqs of a mutable, one salted */
static uint8_t targets[8][SK_DHT_ID_SIZE];
static uint8_t public_key[SK_SIGN_PUBLIC_SIZE], signatures[ITEMS][SK_SIGN_SIZE];
static struct sk_buf made; /* the datagram that is sent */

static void make_items(void)
{
    static const char *const values[ITEMS] = {"5:hello", "i7e", "1:a", "1:b", "1:c", "4:salt"};
    static const uint8_t seed[SK_SIGN_SEED_SIZE] = {7};
    SK_ASSERT(sk_sign_public(seed, public_key) == 0);
    for (int i = 0; i < ITEMS; i++) {
        struct sk_dht_item *item = &items[i];
        item->value = sk_bytes_text(values[i]);
        if (i > 1) {
            item->salt = i == 5 ? sk_bytes_text("salt") : sk_bytes(NULL, 0);
            item->seq = i;
            item->key = public_key;
            item->signature = signatures[i];
            SK_ASSERT(sk_dht_item_sign(seed, item->salt, i, item->value, signatures[i]) == 0);
        }
        sk_dht_item_target(item, targets[i]);
    }
}

static void make_world(void)
{
    struct sk_prng prng;
    sk_prng_init(&prng, 1);
    sk_buf_init(&made, 4096);
    make_items();
    for (size_t i = 0; i < PLACES; i++) {
        SK_ASSERT(sk_endpoint_parse(places[i], 0, &who[i]) == 0);
        for (int way = 0; way < WAYS; way++) {
            if (way < 2)
                sk_dht_id_for_address(&who[i], &prng, ids[i][way]);
            else
                sk_dht_id_beside(targets[way], (unsigned)i + 1, &prng, ids[i][way]);
        }
    }
    memset(targets[6], 0x55, SK_DHT_ID_SIZE);
    memcpy(targets[7], ids[0][0], SK_DHT_ID_SIZE);
}

/* ---- one run ---- */

struct sent {
    struct sk_endpoint to;
    uint8_t transaction[SK_KRPC_TRANSACTION_MAX];
    size_t transaction_size;
    enum sk_krpc_method method;
    uint8_t target[SK_DHT_ID_SIZE];
};

struct token {
    uint8_t bytes[SK_KRPC_TOKEN_MAX], target[SK_DHT_ID_SIZE];
    size_t size;
    struct sk_endpoint to;
    uint64_t at_ns;
};

/* What an address (IPv6: a /64) got beyond the factor, and whether it may. */
struct account {
    bool proved;
    double excess;
};

struct world {
    const uint8_t *p, *end;
    struct sk_dht *dht;
    struct sk_dht_config config;
    uint64_t now_ns, started_ns;
    double level;       /* of packets that the rate allows */
    bool asked[PLACES]; /* we told the node of this one ourselves, or it came itself */
    struct sent sent[SENT_KEPT];
    size_t sent_count;
    struct token tokens[ACTIONS_MAX];
    size_t tokens_count;
    struct account accounts[PLACES];
    uint64_t ops[OPS_MAX]; /* under way */
    size_t ops_count;
    int verifies; /* they cost: a few in a run */
    /* The query that is being answered */
    const struct sk_krpc *query;
    struct sk_endpoint from;
    size_t query_size;
};

static uint8_t take(struct world *world)
{
    return world->p < world->end ? *world->p++ : 0;
}

static const uint8_t *pick_target(const struct world *world, uint8_t byte)
{
    enum sk_family family = byte & 0x40 ? SK_FAMILY_V6 : SK_FAMILY_V4;
    const uint8_t *own = byte & 0x80 ? sk_dht_id(world->dht, family) : NULL;
    return own ? own : targets[byte % 8];
}

static size_t place_of(const struct sk_endpoint *endpoint)
{
    for (size_t i = 0; i < PLACES; i++)
        if (sk_endpoint_equal(&who[i], endpoint))
            return i;
    return PLACES;
}

static bool same_account(const struct sk_endpoint *a, const struct sk_endpoint *b)
{
    return a->family == b->family &&
           memcmp(a->addr, b->addr, a->family == SK_FAMILY_V6 ? 8 : 4) == 0;
}

/* The account of the first place with that address; NULL: it needs none. */
static struct account *account_of(struct world *world, const struct sk_endpoint *endpoint)
{
    if (sk_endpoint_scope(endpoint) != SK_SCOPE_PUBLIC)
        return NULL;
    for (size_t i = 0; i < PLACES; i++)
        if (same_account(&who[i], endpoint))
            return &world->accounts[i];
    return NULL;
}

/* ---- what it sends ---- */

static void check_answer(struct world *world, const struct sk_krpc *answer, size_t size)
{
    const struct sk_krpc *query = world->query;
    MUST(query, "an answer is only made to a query, and is the first output");
    MUST(sk_bytes_equal(query->transaction, answer->transaction), "the transaction is echoed");
    MUST(!world->config.read_only, "a read-only node answers nothing");
    MUST(answer->kind == SK_KRPC_ERROR ||
             memcmp(answer->id, sk_dht_id(world->dht, world->from.family), SK_DHT_ID_SIZE) == 0,
         "an answer has our id");
    struct account *account = account_of(world, &world->from);
    double within = SK_DHT_REFLECTION * (double)world->query_size;
    if (account && !account->proved && (double)size > within) {
        account->excess += (double)size - within;
        double time_s = (double)(world->now_ns - world->started_ns) / (double)SECOND;
        MUST(account->excess <= ALLOWANCE * (1.01 + time_s / ALLOWANCE_S),
             "answers to an address that is not proved stay within the allowance");
    }
    if (answer->kind == SK_KRPC_RESPONSE && answer->token.p) {
        SK_ASSERT(world->tokens_count < SK_ARRAY_LEN(world->tokens));
        struct token *token = &world->tokens[world->tokens_count++];
        memcpy(token->bytes, answer->token.p, answer->token.n);
        token->size = answer->token.n;
        memcpy(token->target, query->target, SK_DHT_ID_SIZE);
        token->to = world->from;
        token->at_ns = world->now_ns;
    }
}

/* A token that came: how old, if it was given to this address for this target at all. */
static uint64_t token_age(const struct world *world, struct sk_bytes bytes,
                          const struct sk_endpoint *from, const uint8_t *target)
{
    uint64_t age_ns = SK_TIME_NEVER;
    for (size_t i = 0; i < world->tokens_count; i++) {
        const struct token *token = &world->tokens[i];
        if (sk_bytes_equal(sk_bytes(token->bytes, token->size), bytes) &&
            sk_endpoint_same_ip(&token->to, from) &&
            memcmp(token->target, target, SK_DHT_ID_SIZE) == 0)
            age_ns = world->now_ns - token->at_ns;
    }
    return age_ns;
}

static void check_store(struct world *world, const struct sk_krpc *answer)
{
    const struct sk_krpc *query = world->query;
    if (query->fault || (query->method != SK_KRPC_ANNOUNCE_PEER && query->method != SK_KRPC_PUT))
        return;
    struct sk_dht_item item = {.value = query->value,
                               .key = query->key,
                               .signature = query->signature,
                               .salt = query->salt,
                               .seq = query->seq};
    uint8_t target[SK_DHT_ID_SIZE];
    if (query->method == SK_KRPC_PUT)
        sk_dht_item_target(&item, target);
    else
        memcpy(target, query->target, SK_DHT_ID_SIZE);
    bool refused = answer->kind == SK_KRPC_ERROR && sk_bytes_is(answer->text, "bad token");
    uint64_t age_ns = token_age(world, query->token, &world->from, target);
    MUST(refused || age_ns < TOKEN_OLD_NS, "nothing is taken without a token for it");
    MUST(!refused || age_ns >= TOKEN_GOOD_NS, "a token that was given is taken");
    struct account *account = account_of(world, &world->from);
    if (account && !refused)
        account->proved = true;
}

static void keep_sent(struct world *world, const struct sk_dht_out *out,
                      const struct sk_krpc *query)
{
    struct sent *sent = &world->sent[world->sent_count++ % SENT_KEPT];
    sent->to = out->to;
    sent->method = query->method;
    sent->transaction_size = query->transaction.n;
    memcpy(sent->transaction, query->transaction.p, query->transaction.n);
    if (query->target)
        memcpy(sent->target, query->target, SK_DHT_ID_SIZE);
}

static void check_output(struct world *world, const struct sk_dht_out *out)
{
    struct sk_krpc message;
    size_t place = place_of(&out->to);
    MUST(sk_endpoint_reachable_from(&out->to, SK_SCOPE_LOOPBACK), "what is sent can arrive");
    MUST(sk_dht_table(world->dht, out->to.family), "there is a socket for it");
    MUST(out->bytes.n <= 1400 && sk_krpc_read(out->bytes, &message) == 0,
         "what is sent can be read");
    MUST(place < TALKERS || place == PLACES || world->asked[place],
         "nobody leads us where he may not");
    world->level -= 1;
    MUST(world->config.rate <= 0 || world->level > -0.01, "the rate is kept");
    if (message.kind == SK_KRPC_QUERY) {
        MUST(!message.fault, "what is asked makes sense");
        keep_sent(world, out, &message);
        world->query = NULL; /* no answer after it */
        return;
    }
    MUST(sk_endpoint_equal(&out->to, &world->from), "an answer goes to who asked");
    MUST(message.kind == SK_KRPC_ERROR || message.id, "an answer has an id");
    check_answer(world, &message, out->bytes.n);
    check_store(world, &message);
    world->query = NULL;
}

static void check_item(const struct sk_dht_event *event)
{
    uint8_t target[SK_DHT_ID_SIZE] = {0};
    if (event->item)
        sk_dht_item_target(event->item, target);
    MUST(memcmp(target, event->target, SK_DHT_ID_SIZE) == 0,
         "an item that is told belongs under the target");
}

static void check_event(struct world *world, const struct sk_dht_event *event)
{
    size_t at = 0;
    while (at < world->ops_count && world->ops[at] != event->op)
        at++;
    MUST(at < world->ops_count, "events are of operations that are under way");
    MUST(event->target, "an event has a target");
    MUST((event->message != NULL) ==
             (event->kind == SK_DHT_EVENT_ANSWERED || event->kind == SK_DHT_EVENT_REFUSED ||
              event->kind == SK_DHT_EVENT_ITEM || event->kind == SK_DHT_EVENT_STORED),
         "who tells of an answer has it");
    if (event->kind == SK_DHT_EVENT_ITEM)
        check_item(event);
    if (event->kind != SK_DHT_EVENT_DONE)
        return;
    world->ops[at] = world->ops[--world->ops_count];
    MUST(event->search == (event->result != NULL), "a search has a result");
    for (uint32_t i = 1; event->result && i < event->result->closest_count; i++) {
        const struct sk_dht_contact *a = &event->result->closest[i - 1].contact;
        const struct sk_dht_contact *b = &event->result->closest[i].contact;
        MUST(a->endpoint.family < b->endpoint.family ||
                 sk_dht_compare(event->target, a->id, b->id) <= 0, /* two may say one id */
             "the closest are in order");
    }
}

static void drain(struct world *world)
{
    struct sk_dht_event event;
    struct sk_dht_out out;
    for (int i = 0; sk_dht_next_event(world->dht, &event); i++) {
        MUST(i < 4096, "events come to an end");
        check_event(world, &event);
    }
    for (int i = 0; sk_dht_next_output(world->dht, world->now_ns, &out); i++) {
        MUST(i < 4096, "outputs come to an end");
        check_output(world, &out);
    }
    world->query = NULL;
}

static void settle(struct world *world)
{
    drain(world);
    for (int i = 0; sk_dht_deadline(world->dht) <= world->now_ns; i++) {
        MUST(i < 8, "a deadline that was met is not in the past");
        sk_dht_tick(world->dht, world->now_ns);
        drain(world);
    }
}

static double burst(const struct world *world)
{
    return SK_MAX(world->config.rate / 2, 8.0);
}

static void advance(struct world *world, uint64_t by_ns)
{
    world->now_ns += by_ns;
    world->level += (double)by_ns / (double)SECOND * world->config.rate;
    world->level = SK_MIN(world->level, burst(world));
}

/* ---- what is sent to it ---- */

static uint64_t answers_in(const struct world *world)
{
    struct sk_dht_stats stats;
    sk_dht_stats(world->dht, &stats);
    return stats.answers_in + stats.errors_in;
}

static void input(struct world *world, size_t place, struct sk_bytes bytes)
{
    /* A copy of exactly its size, gone once it is dealt with. */
    uint8_t *copy = malloc(bytes.n + 1);
    struct sk_krpc query;
    SK_ASSERT(copy);
    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    struct sk_bytes datagram = sk_bytes(copy, bytes.n);
    bool is_query = sk_krpc_read(datagram, &query) == 0 && query.kind == SK_KRPC_QUERY;
    world->query = is_query ? &query : NULL;
    world->from = who[place];
    world->query_size = bytes.n;
    struct account *account = account_of(world, &who[place]);
    bool counts = account && !account->proved && !is_query;
    uint64_t answers = counts ? answers_in(world) : 0;
    sk_dht_input(world->dht, &who[place], datagram, world->now_ns);
    if (counts && answers_in(world) > answers)
        account->proved = true;
    drain(world);
    free(copy);
    settle(world);
}

/* Spoils it at one place, if a byte says so, and sends it. */
static void send_made(struct world *world, size_t place, const struct sk_krpc *message,
                      uint8_t spoil)
{
    made.n = 0;
    made.failed = false;
    if (sk_krpc_write(&made, message) != 0)
        return;
    if (spoil & 1 && made.n)
        made.p[(size_t)take(world) * made.n / 256] ^= (uint8_t)SK_MAX(take(world), 1);
    if (spoil & 2)
        made.n = made.n * take(world) / 256;
    input(world, place, sk_buf_bytes(&made));
}

static bool may_verify(struct world *world)
{
    return world->verifies++ < 3;
}

static void give_item(struct world *world, struct sk_krpc *message, uint8_t byte, bool put)
{
    const struct sk_dht_item *item = &items[byte % ITEMS];
    if (item->key && !may_verify(world))
        item = &items[0];
    message->value = item->value;
    if (!item->key)
        return;
    message->key = item->key;
    message->signature = byte & 0x80 ? signatures[2] : item->signature;
    message->has_seq = true;
    message->seq = item->seq;
    if (put) {
        message->salt = item->salt.n ? item->salt : (struct sk_bytes){0};
        message->has_cas = byte & 0x40;
        message->cas = byte >> 3 & 7;
    }
}

static void send_query(struct world *world)
{
    uint8_t from = take(world), how = take(world), what = take(world), more = take(world);
    size_t place = from % TALKERS;
    static const uint8_t wrong[SK_KRPC_TOKEN_MAX];
    const struct token *token = NULL;
    if (world->tokens_count)
        token = &world->tokens[world->tokens_count - 1 - (more & 15) % world->tokens_count];
    struct sk_krpc query = {
        .kind = SK_KRPC_QUERY,
        .transaction = sk_bytes("tttttttttttttttttttttttttttttttt", 1 + (from & 0x80 ? 31 : 0)),
        .id = ids[place][how >> 3 & 3],
        .method = how % 8 == SK_KRPC_UNKNOWN ? SK_KRPC_FIND_NODE : how % 8,
        .target = pick_target(world, what),
        .want = more >> 4 & 3,
        .scrape = more & 0x40,
        .no_seed = more & 0x80,
        .implied_port = more & 0x40,
        .port = (uint16_t)(6000 + more),
        .seed = more & 0x80,
        .read_only = how & 0x20,
        .token = token ? sk_bytes(token->bytes, token->size) : sk_bytes(wrong, more & 63),
    };
    if (how % 8 == SK_KRPC_PUT)
        give_item(world, &query, what, true);
    else if (how % 8 == SK_KRPC_ANNOUNCE_PEER && token && !(how & 0x20))
        query.target = token->target;
    /* Who got the token is often who brings it. */
    if (token && !(from & 0x40) && (how % 8 == SK_KRPC_PUT || how % 8 == SK_KRPC_ANNOUNCE_PEER))
        place = place_of(&token->to);
    send_made(world, place, &query, how >> 6);
}

/* Nodes of either family that somebody tells of. */
static struct sk_bytes told(const struct sk_endpoint *teller, enum sk_family family, uint8_t from,
                            uint8_t count, uint8_t *bytes)
{
    size_t n = 0;
    bool stranger = sk_endpoint_scope(teller) == SK_SCOPE_PUBLIC;
    for (size_t i = 0; i < count; i++) {
        size_t place = (from + i) % PLACES;
        struct sk_dht_contact contact = {.endpoint = who[place]};
        if (contact.endpoint.family != family || (!stranger && place >= TALKERS))
            continue;
        memcpy(contact.id, ids[place][from >> 5 & 3], SK_DHT_ID_SIZE);
        n += sk_krpc_write_node(&contact, bytes + n);
    }
    return sk_bytes(n ? bytes : NULL, n);
}

static void send_answer(struct world *world)
{
    uint8_t which = take(world), how = take(world), what = take(world), more = take(world);
    if (!world->sent_count)
        return;
    size_t last = world->sent_count - 1, back = (which & 31) % SK_MIN(world->sent_count, SENT_KEPT);
    const struct sent *sent = &world->sent[(last - back) % SENT_KEPT];
    size_t place = which >> 5 == 7 ? what % TALKERS : place_of(&sent->to);
    if (place == PLACES)
        return; /* a spoiled one, where nobody is */
    uint8_t nodes[2][PLACES * 38], ip[18] = {80, 1, 2, [3] = more & 3, 0x1a, 0xe1};
    struct sk_krpc answer = {
        .kind = (how & 7) == 7 ? SK_KRPC_ERROR : SK_KRPC_RESPONSE,
        .transaction = sk_bytes(sent->transaction, sent->transaction_size),
        .id = how & 8 ? ids[what % PLACES][how >> 4 & 3] : ids[place][how >> 4 & 3],
        .code = SK_KRPC_SERVER,
        .text = sk_bytes_text("no"),
        .interval = more,
        .num = -1,
        .has_samples = sent->method == SK_KRPC_SAMPLE,
    };
    if (how & 1)
        answer.nodes = told(&who[place], SK_FAMILY_V4, what, more & 31, nodes[0]);
    if (how & 2)
        answer.nodes6 = told(&who[place], SK_FAMILY_V6, what, more & 31, nodes[1]);
    if (how & 4)
        answer.ip = sk_bytes(ip, who[place].family == SK_FAMILY_V6 ? 18 : 6);
    if (more & 0x20)
        answer.token = sk_bytes(ids[place][0], 1 + what % 20);
    if (more & 0x40 && sent->method == SK_KRPC_GET_PEERS) {
        answer.has_values = true;
        answer.peers = who;
        answer.peers_count = what % TALKERS;
    }
    if (more & 0x40 && sent->method == SK_KRPC_GET)
        give_item(world, &answer, what, false);
    if (how & 0x40 && place < TALKERS)
        input(world, what % TALKERS, sk_bytes(places[place], strlen(places[place])));
    send_made(world, place, &answer, how & 0x80 ? 1 + (more >> 7) : 0);
}

static void send_raw(struct world *world)
{
    uint8_t from = take(world), n = take(world);
    n = (uint8_t)SK_MIN(n, world->end - world->p);
    world->p += n;
    input(world, from % TALKERS, sk_bytes(world->p - n, n));
}

/* ---- what is done with it ---- */

static void note_op(struct world *world, int err, uint64_t op)
{
    if (err)
        return;
    for (size_t i = 0; i < world->ops_count; i++)
        MUST(world->ops[i] != op, "an operation has a number of its own");
    world->ops[world->ops_count++] = op;
}

static void start_ask(struct world *world)
{
    uint8_t to = take(world), how = take(world), what = take(world);
    struct sk_dht_ask ask = {
        .method = how % 9,
        .to = who[to % PLACES],
        .want = how >> 4 & 3,
        .scrape = how & 0x40,
        .once = how & 0x80,
        .token = sk_bytes(ids[0][0], what % 20),
        .port = (uint16_t)(what << 4),
        .item = &items[what % ITEMS],
        .has_cas = what & 0x80,
    };
    uint64_t op = 0;
    memcpy(ask.target, pick_target(world, what), SK_DHT_ID_SIZE);
    if (world->ops_count == OPS_MAX)
        return;
    world->asked[to % PLACES] = true;
    int err = sk_dht_start_ask(world->dht, &ask, world->now_ns, &op);
    note_op(world, err, op);
    settle(world);
}

static void start_search(struct world *world)
{
    static const enum sk_krpc_method methods[] = {SK_KRPC_FIND_NODE, SK_KRPC_GET_PEERS, SK_KRPC_GET,
                                                  SK_KRPC_PING};
    uint8_t how = take(world), what = take(world), more = take(world);
    struct sk_dht_search search = {
        .method = methods[how & 3],
        .families = how >> 2 & 3,
        .k = more & 15,
        .scrape = how & 0x10,
        .first = how & 0x20,
        .store = (how & 3) == 3 ? what % 3
                 : how & 0x40   ? how & 3
                                : SK_DHT_STORE_NOTHING,
        .port = (uint16_t)(more << 4),
        .item = &items[what % ITEMS],
        .has_cas = more & 0x40,
        .cas = more >> 4,
    };
    uint64_t op = 0;
    if (search.item->salt.n)
        search.salt = search.item->salt;
    memcpy(search.target, pick_target(world, what), SK_DHT_ID_SIZE);
    if (world->ops_count == OPS_MAX)
        return;
    int err = sk_dht_start_search(world->dht, &search, world->now_ns, &op);
    note_op(world, err, op);
    settle(world);
}

static void cancel(struct world *world)
{
    uint8_t which = take(world);
    if (!world->ops_count)
        return;
    uint64_t *op = &world->ops[which % world->ops_count];
    sk_dht_cancel(world->dht, *op);
    *op = world->ops[--world->ops_count];
    settle(world);
}

static void add_address(struct world *world)
{
    uint8_t which = take(world);
    world->asked[which % PLACES] = true;
    sk_dht_add_address(world->dht, &who[which % PLACES], which & 0x80, world->now_ns);
    settle(world);
}

static void wait(struct world *world)
{
    uint8_t how = take(world);
    uint64_t deadline_ns = sk_dht_deadline(world->dht);
    if (how >= 0x80) /* from 1 ms to an hour and a half */
        advance(world, (SECOND / 1000) << (how & 0x7f) % 23);
    else if (deadline_ns != SK_TIME_NEVER)
        advance(world, deadline_ns - world->now_ns);
    sk_dht_tick(world->dht, world->now_ns);
    settle(world);
}

static void (*const actions[16])(struct world *world) = {
    wait,         wait,        wait,        send_query,  send_query,  send_query,
    send_query,   send_answer, send_answer, send_answer, send_answer, send_answer,
    start_search, start_ask,   cancel,      add_address,
};

static void configure(struct world *world)
{
    uint8_t how = take(world), more = take(world);
    static const double rates[4] = {0, 0, 3, 50};
    world->config = (struct sk_dht_config){
        .seed = more,
        .families = how & 3 ? how & 3 : SK_KRPC_WANT_V4,
        .read_only = (how & 0x1c) == 4,
        .ids_by_address = how & 0x20,
        .rate = rates[how >> 6],
        .unguarded = more & 1,
        .version = {'S', 'K', 0, 1},
    };
    if (more & 2)
        world->config.id[0] = world->config.id[1] = targets[6];
    if (more & 4)
        world->config.address[0] = who[0];
}

/* Nobody says anything any more. */
static void check_end(struct world *world)
{
    for (int i = 0; sk_dht_operations(world->dht); i++) {
        uint64_t deadline_ns = sk_dht_deadline(world->dht);
        MUST(i < 3000 && deadline_ns != SK_TIME_NEVER, "all operations come to an end");
        advance(world, deadline_ns - world->now_ns);
        sk_dht_tick(world->dht, world->now_ns);
        settle(world);
    }
    MUST(world->ops_count == 0, "an operation is told to be over");
    for (int family = SK_FAMILY_V4; family <= SK_FAMILY_V6; family += 2)
        MUST(sk_dht_state(world->dht, (enum sk_family)family) != SK_DHT_JOINING ||
                 sk_dht_deadline(world->dht) != SK_TIME_NEVER,
             "who is joining does not stop");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    if (!made.max)
        make_world();
    memset(&world, 0, offsetof(struct world, tokens));
    world.tokens_count = 0;
    memset(&world.accounts, 0, sizeof world - offsetof(struct world, accounts));
    world.p = data;
    world.end = data + size;
    world.now_ns = world.started_ns = SECOND;
    configure(&world);
    world.level = burst(&world);
    SK_ASSERT(sk_dht_new(&world.config, world.now_ns, &world.dht) == 0);
    for (int i = 0; i < ACTIONS_MAX && world.p < world.end; i++) {
        uint8_t action = take(&world);
        if (action == 0xff)
            send_raw(&world);
        else
            actions[action % 16](&world);
        const char *fault = i % 4 == 0 ? sk_dht_fault(world.dht) : NULL;
        MUST(!fault, fault);
    }
    check_end(&world);
    const char *fault = sk_dht_fault(world.dht);
    MUST(!fault, fault);
    sk_dht_free(world.dht);
    return 0;
}
