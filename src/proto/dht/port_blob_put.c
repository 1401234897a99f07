/*
 * Storing bytes in announced ports, one info-hash after the other, the head last:
 *
 *   LOOK      once: which versions are there
 *   FIND      the closest nodes to the info-hash, and their tokens
 *   ANNOUNCE  every port at each of them
 *   BACK      what a reader would get; ports that too few nodes gave back are announced again, at
 *             more nodes. Nodes that took many ports and kept one are told apart here: after the
 *             first info-hash, before much was spent
 *   KEEP      all of it is there: until it is announced again
 *
 * The pace: all nodes together as many announces a second as the rate says; one node never more
 * than three a second, which stays clear of what deployed nodes block an address for (libtorrent:
 * 50 packets in 10 seconds); the next announce to a node waits for its answer.
 */
#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/dht/port_blob_internal.h"

#define RATE 10.0
#define NODE_GAP_NS 300000000u
#define RETRY_NS 1000000000u               /* the node had no room for another operation */
#define TOKENS_NS (4 * 60 * 1000000000ull) /* then they are asked for again */
#define ROUNDS_MAX 4                       /* for one info-hash */
#define HOLD_WELL 3                        /* nodes for each port; fewer: another round */
#define HOPELESS (SK_DHT_K + SK_DHT_K / 2) /* nodes that all keep one port */
#define SILENT_MAX 2                       /* announces unanswered until a node is left alone */
/* From the begin of one round to that of the next: nodes forget after 30 minutes, and a round takes
 * twelve at most at the default rate. */
#define KEEP_NS (15 * 60 * 1000000000ull)
#define KEEP_RETRY_NS (2 * 60 * 1000000000ull)
#define NODES_MAX (2 * SK_DHT_SEARCH_K_MAX)
#define TOKENS_MAX (2 * SK_DHT_SEARCH_CANDIDATES_MAX)
#define KNOWN_NODES_MAX 4096

static const char one_port[] =
    "the nodes closest to this key keep only one port of an address: this way needs nodes that "
    "keep many";
static const char not_held[] = "too few nodes gave back what was announced to them";
static const char last_version[] = "the highest version is stored already; it is forgotten in an "
                                   "hour at most";
static const char newer[] = "somebody stored a newer version meanwhile";

enum phase { LOOK, FIND, ANNOUNCE, BACK, KEEP };

struct token {
    struct sk_endpoint endpoint;
    uint8_t n, bytes[SK_KRPC_TOKEN_MAX];
};

/* A node that gets the ports of the present info-hash. Ports as bits, the first the lowest. */
struct node {
    struct token token;
    uint32_t left, taken, given_back;
    uint64_t op; /* an announce is on its way; 0 */
    uint64_t due_ns;
    uint8_t port, silent; /* port: that is on its way */
    bool answered;        /* in BACK */
};

struct put {
    struct sk_port_blob blob;
    enum phase phase;
    uint32_t number; /* of the present segment; PORT_BLOB_HEAD */
    unsigned rounds, look_tries;
    uint16_t ports[SK_PORT_BLOB_SEGMENT_PORTS];
    uint32_t ports_mask, todo;
    struct node nodes[NODES_MAX];
    uint32_t nodes_count, turn;
    struct token tokens[TOKENS_MAX];
    uint32_t tokens_count;
    uint16_t holders[SK_PORT_BLOB_SEGMENT_PORTS]; /* in BACK: nodes that gave that port */
    uint64_t gap_ns, next_ns, found_ns;
    bool keep, stored;           /* stored: all of it was, once */
    uint64_t round_ns, again_ns; /* when the round began; KEEP: when the next one does */
    struct sk_map known; /* of all nodes that took several ports: whether they kept one only */
};

static char many_mark, one_mark; /* values of `known` */

static void search(struct put *put, enum phase phase, const char *what)
{
    put->phase = phase;
    put->blob.work.what = what;
    put->tokens_count = 0;
    sk_dht_batch_add(&put->blob.work.batch, put->number);
}

/* ---- one info-hash after the other ---- */

static void begin_hash(struct put *put, uint32_t number)
{
    struct sk_port_blob *blob = &put->blob;
    size_t count = SK_PORT_BLOB_SEGMENT_PORTS;
    put->number = number < sk_port_blob_segments(blob->head.length) ? number : PORT_BLOB_HEAD;
    if (put->number == PORT_BLOB_HEAD) {
        count = SK_PORT_BLOB_HEAD_PORTS;
        sk_port_blob_write_head(&blob->key, &blob->head, put->ports);
    } else {
        sk_port_blob_write_segment(&blob->key, &blob->head, number,
                                   sk_bytes(blob->bytes, blob->head.length), put->ports);
    }
    put->ports_mask = (uint32_t)((1ull << count) - 1);
    put->todo = put->ports_mask;
    put->nodes_count = 0;
    put->rounds = 0;
    blob->result.number = put->number == PORT_BLOB_HEAD ? blob->result.hashes : put->number + 1;
    blob->result.ports = (uint32_t)count;
    blob->result.ports_back = 0;
    search(put, FIND, "looking for nodes");
}

/* The same version again. */
static void begin_round(struct put *put, uint64_t now_ns)
{
    struct sk_port_blob *blob = &put->blob;
    sk_port_tally_deinit(&blob->heads);
    sk_port_tally_init(&blob->heads);
    blob->result.hashes_done = 0;
    blob->result.announces_done = 0;
    blob->result.holding = 0;
    put->round_ns = now_ns;
    begin_hash(put, 0);
}

static void wait_until(struct put *put, uint64_t again_ns, const char *what)
{
    put->phase = KEEP;
    put->again_ns = again_ns;
    put->blob.work.what = what;
    put->blob.work.moved = true;
}

/* What was stored once is not given up because nobody answers for a while. */
static void give_up(struct put *put, struct sk_dht *dht, int error, const char *reason,
                    uint64_t now_ns)
{
    if (put->keep && put->stored && error == SKEP_ERR_NETWORK)
        wait_until(put, now_ns + KEEP_RETRY_NS, "waiting for the network");
    else
        sk_work_end(&put->blob.work, dht, error, reason);
}

static void looked(struct put *put, struct sk_dht *dht, const struct sk_dht_result *result,
                   uint64_t now_ns)
{
    struct sk_port_blob *blob = &put->blob;
    struct sk_port_found found[PORT_BLOB_HEADS_MAX];
    bool nobody = sk_port_blob_nobody(result);
    put->look_tries++;
    if (nobody && put->look_tries >= PORT_BLOB_TRIES) {
        sk_work_end(&blob->work, dht, SKEP_ERR_NETWORK, sk_work_nobody);
        return;
    }
    if (nobody || sk_port_blob_crowded(&blob->heads, put->look_tries)) {
        blob->work.batch.resume_ns = nobody ? now_ns + SK_WORK_PAUSE_NS : 0;
        search(put, LOOK, blob->work.what);
        return;
    }
    size_t count = sk_port_blob_find_heads(&blob->key, &blob->heads, found);
    uint32_t version = count ? found[0].head.version + 1 : 1;
    if (version > SK_PORT_BLOB_VERSION_MAX) {
        sk_work_end(&blob->work, dht, SKEP_ERR_LIMIT, last_version);
        return;
    }
    blob->head = sk_port_blob_head(&blob->key, version, sk_bytes(blob->bytes, blob->head.length));
    put->round_ns = now_ns;
    begin_hash(put, 0);
}

/* ---- the closest, and their tokens ---- */

static void saw_token(struct put *put, const struct sk_dht_event *event)
{
    struct sk_bytes token = event->message->token;
    if (!token.p || token.n > SK_KRPC_TOKEN_MAX || put->tokens_count == TOKENS_MAX)
        return;
    struct token *kept = &put->tokens[put->tokens_count++];
    kept->endpoint = event->contact.endpoint;
    kept->n = (uint8_t)token.n;
    if (token.n)
        memcpy(kept->bytes, token.p, token.n);
}

static struct node *node_at(struct put *put, const struct sk_endpoint *endpoint)
{
    for (uint32_t i = 0; i < put->nodes_count; i++)
        if (sk_endpoint_equal(&put->nodes[i].token.endpoint, endpoint))
            return &put->nodes[i];
    return NULL;
}

/* It took several and kept one. */
static bool keeps_one(const struct node *node)
{
    return node->answered && __builtin_popcount(node->taken) > 1 &&
           __builtin_popcount(node->given_back) < 2;
}

/* One of the closest gets the ports; if it does already, its token is the new one. */
static void add_node(struct put *put, const struct token *token, bool new_round)
{
    struct node *node = node_at(put, &token->endpoint);
    if (!node) {
        if (put->nodes_count == NODES_MAX)
            return;
        node = &put->nodes[put->nodes_count++];
        *node = (struct node){.left = put->todo};
    } else if (new_round) {
        node->left = keeps_one(node) ? 0 : put->todo;
        node->silent = 0;
    }
    node->token = *token;
}

static void found(struct put *put, struct sk_dht *dht, const struct sk_dht_result *result,
                  uint64_t now_ns)
{
    struct sk_work *work = &put->blob.work;
    /* Not when it was for new tokens alone. */
    bool new_round = put->found_ns == 0;
    for (uint32_t i = 0; i < result->closest_count; i++)
        for (uint32_t t = 0; t < put->tokens_count; t++)
            if (sk_endpoint_equal(&put->tokens[t].endpoint, &result->closest[i].contact.endpoint)) {
                add_node(put, &put->tokens[t], new_round);
                break;
            }
    if (put->nodes_count == 0) {
        bool nobody = sk_port_blob_nobody(result);
        if (++put->rounds < ROUNDS_MAX) {
            work->batch.resume_ns = nobody ? now_ns + SK_WORK_PAUSE_NS : 0;
            search(put, FIND, work->what);
        } else {
            give_up(put, dht, SKEP_ERR_NETWORK, nobody ? sk_work_nobody : not_held, now_ns);
        }
        return;
    }
    put->phase = ANNOUNCE;
    work->what = "announcing";
    put->found_ns = now_ns;
    if (put->next_ns < now_ns)
        put->next_ns = now_ns;
}

/* ---- announcing ---- */

static int start_announce(struct put *put, struct sk_dht *dht, struct node *node, uint64_t now_ns)
{
    uint8_t port = (uint8_t)__builtin_ctz(node->left);
    struct sk_dht_ask ask = {
        .method = SK_KRPC_ANNOUNCE_PEER,
        .to = node->token.endpoint,
        .token = sk_bytes(node->token.bytes, node->token.n),
        .port = put->ports[port],
    };
    memcpy(ask.target, sk_port_blob_search(&put->blob, put->number, 0).target, SK_DHT_ID_SIZE);
    int err = sk_dht_start_ask(dht, &ask, now_ns, &node->op);
    if (err)
        return err;
    node->port = port;
    node->due_ns = now_ns + NODE_GAP_NS;
    return 0;
}

/* The next node, in turn, that may be sent to now; NULL, and then when one may be; `ret_busy`:
 * some are not through. */
static struct node *next_node(struct put *put, uint64_t now_ns, uint64_t *ret_wake_ns,
                              bool *ret_busy)
{
    *ret_busy = false;
    *ret_wake_ns = SK_TIME_NEVER;
    for (uint32_t i = 0; i < put->nodes_count; i++) {
        struct node *node = &put->nodes[(put->turn + i) % put->nodes_count];
        *ret_busy = *ret_busy || node->op || node->left;
        if (node->op || !node->left)
            continue;
        if (node->due_ns <= now_ns) {
            put->turn = (put->turn + i + 1) % put->nodes_count;
            return node;
        }
        if (node->due_ns < *ret_wake_ns)
            *ret_wake_ns = node->due_ns;
    }
    return NULL;
}

static int announce(struct put *put, struct sk_dht *dht, uint64_t now_ns)
{
    struct sk_work *work = &put->blob.work;
    while (put->next_ns <= now_ns) {
        bool busy;
        struct node *node = next_node(put, now_ns, &work->wake_ns, &busy);
        if (!node) {
            if (!busy) {
                put->found_ns = 0;
                memset(put->holders, 0, sizeof put->holders);
                for (uint32_t i = 0; i < put->nodes_count; i++) {
                    put->nodes[i].given_back = 0;
                    put->nodes[i].answered = false;
                }
                search(put, BACK, "reading back");
            }
            return 0;
        }
        int err = start_announce(put, dht, node, now_ns);
        if (err == SKEP_ERR_LIMIT) {
            put->next_ns = now_ns + RETRY_NS;
            break;
        }
        if (err)
            return err;
        /* Time that was not used is not made up for. */
        put->next_ns = now_ns + put->gap_ns;
    }
    work->wake_ns = put->next_ns;
    return 0;
}

static bool announce_event(struct put *put, const struct sk_dht_event *event)
{
    struct node *node = NULL;
    for (uint32_t i = 0; i < put->nodes_count && !node; i++)
        if (put->nodes[i].op == event->op)
            node = &put->nodes[i];
    if (!node)
        return false;
    switch (event->kind) {
    case SK_DHT_EVENT_ANSWERED:
        node->left &= ~(1u << node->port);
        node->taken |= 1u << node->port;
        node->silent = 0;
        put->blob.result.announces_done++;
        break;
    case SK_DHT_EVENT_REFUSED:
        node->left = 0;
        break;
    case SK_DHT_EVENT_SILENT:
        if (++node->silent >= SILENT_MAX)
            node->left = 0;
        break;
    case SK_DHT_EVENT_DONE:
        node->op = 0;
        put->blob.work.moved = true;
        break;
    default:
        break;
    }
    return true;
}

/* ---- reading back ---- */

static void saw_peers(struct put *put, const struct sk_dht_event *event)
{
    uint32_t given = 0;
    struct sk_endpoint peer;
    if (event->message->has_values) {
        struct sk_bencode_iter iter = sk_bencode_iter(&event->message->values);
        while (sk_krpc_next_peer(&iter, &peer))
            for (size_t i = 0; i < SK_PORT_BLOB_SEGMENT_PORTS; i++)
                if (put->ports_mask >> i & 1 && peer.port == put->ports[i])
                    given |= 1u << i;
    }
    for (size_t i = 0; i < SK_PORT_BLOB_SEGMENT_PORTS; i++)
        put->holders[i] += given >> i & 1;
    struct node *node = node_at(put, &event->contact.endpoint);
    if (node) {
        node->answered = true;
        node->given_back |= given;
    }
}

/* What this info-hash told about its nodes: how many keep several ports of an address, how many
 * one. SKEP_ERR_NOMEM. */
static int judge_nodes(struct put *put, uint32_t *ret_many, uint32_t *ret_one)
{
    uint32_t many = 0, one = 0;
    for (uint32_t i = 0; i < put->nodes_count; i++) {
        const struct node *node = &put->nodes[i];
        const struct sk_endpoint *key = &node->token.endpoint;
        if (!node->answered || __builtin_popcount(node->taken) < 2)
            continue;
        bool is_one = keeps_one(node);
        one += is_one;
        many += !is_one;
        const void *before = sk_map_get(&put->known, key);
        if (before == &one_mark || (before && !is_one))
            continue;
        int err = sk_map_put(&put->known, key, is_one ? &one_mark : &many_mark);
        if (err == SKEP_ERR_NOMEM)
            return err;
        put->blob.result.nodes += !before && !err;
        put->blob.result.nodes_one_port += is_one && !err;
    }
    *ret_many = many;
    *ret_one = one;
    return 0;
}

static void hash_done(struct put *put, struct sk_dht *dht, uint64_t now_ns)
{
    struct sk_port_blob *blob = &put->blob;
    struct sk_port_found heads[PORT_BLOB_HEADS_MAX];
    blob->result.hashes_done++;
    if (put->number != PORT_BLOB_HEAD) {
        begin_hash(put, put->number + 1);
        return;
    }
    blob->result.announces = blob->result.announces_done;
    bool beaten = sk_port_blob_find_heads(&blob->key, &blob->heads, heads) > 0 &&
                  heads[0].head.version > blob->head.version;
    put->stored = true;
    if (put->keep && !beaten)
        wait_until(put, SK_MAX(put->round_ns + KEEP_NS, now_ns), "keeping");
    else
        sk_work_end(&blob->work, dht, beaten ? SKEP_ERR_STATE : 0, beaten ? newer : NULL);
}

static void read_back(struct put *put, struct sk_dht *dht, uint64_t now_ns)
{
    struct sk_port_blob *blob = &put->blob;
    uint32_t least = UINT32_MAX, wanting = 0;
    uint32_t well = put->nodes_count < HOLD_WELL ? put->nodes_count : HOLD_WELL;
    uint32_t many, one;
    for (size_t i = 0; i < SK_PORT_BLOB_SEGMENT_PORTS; i++) {
        if (!(put->ports_mask >> i & 1))
            continue;
        least = put->holders[i] < least ? put->holders[i] : least;
        if (put->holders[i] < well)
            wanting |= 1u << i;
    }
    blob->result.ports_back = (uint32_t)__builtin_popcount(put->ports_mask & ~wanting);
    if (judge_nodes(put, &many, &one)) {
        sk_work_end(&blob->work, dht, SKEP_ERR_NOMEM, NULL);
        return;
    }
    bool hopeless = many == 0 && one >= HOPELESS;
    if (wanting && !hopeless && ++put->rounds < ROUNDS_MAX) {
        put->todo = wanting;
        search(put, FIND, "looking for more nodes");
        return;
    }
    if (least == 0) {
        give_up(put, dht, one > many ? SKEP_ERR_UNSUPPORTED : SKEP_ERR_NETWORK,
                one > many ? one_port : not_held, now_ns);
        return;
    }
    if (blob->result.holding == 0 || least < blob->result.holding)
        blob->result.holding = least;
    hash_done(put, dht, now_ns);
}

/* ---- the task ---- */

static bool put_event(struct sk_dht_task *task, struct sk_dht *dht,
                      const struct sk_dht_event *event, uint64_t now_ns)
{
    struct put *put = (struct put *)task;
    struct sk_port_blob *blob = &put->blob;
    uint32_t number;
    if (!sk_dht_batch_find(&blob->work.batch, event->op, &number))
        return announce_event(put, event);
    if (event->kind == SK_DHT_EVENT_ANSWERED) {
        if (put->phase == FIND)
            saw_token(put, event);
        else if (put->phase == BACK)
            saw_peers(put, event);
        int err = number == PORT_BLOB_HEAD && put->phase != FIND
                      ? sk_port_tally_add(&blob->heads, event->message, NULL)
                      : 0;
        if (err)
            sk_work_end(&blob->work, dht, err, NULL);
    } else if (event->kind == SK_DHT_EVENT_DONE) {
        sk_dht_batch_done(&blob->work.batch, event->op);
        blob->work.moved = true;
        if (put->phase == LOOK)
            looked(put, dht, event->result, now_ns);
        else if (put->phase == FIND)
            found(put, dht, event->result, now_ns);
        else
            read_back(put, dht, now_ns);
    }
    return true;
}

static void put_search(void *ctx, uint32_t number, struct sk_dht_search *ret_search)
{
    const struct put *put = ctx;
    unsigned k = put->phase == FIND ? SK_DHT_K << put->rounds : PORT_BLOB_READ_K << put->rounds;
    *ret_search = sk_port_blob_search(&put->blob, number, k);
}

static void put_run(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns)
{
    struct put *put = (struct put *)task;
    struct sk_work *work = &put->blob.work;
    bool settled = work->settled;
    int err = 0;
    if (!sk_work_ready(work, dht, false, now_ns))
        return;
    if (!settled)
        search(put, LOOK, "looking up");
    if (put->phase == KEEP && now_ns >= put->again_ns)
        begin_round(put, now_ns);
    if (put->phase == ANNOUNCE && now_ns >= put->found_ns + TOKENS_NS)
        search(put, FIND, work->what);
    work->wake_ns = put->phase == KEEP ? put->again_ns : SK_TIME_NEVER;
    if (put->phase == ANNOUNCE)
        err = announce(put, dht, now_ns);
    if (!err)
        err = sk_dht_batch_run(&work->batch, dht, put_search, put, now_ns);
    sk_work_ran(work, dht, err, now_ns);
}

static void put_free(struct sk_dht_task *task, struct sk_dht *dht)
{
    struct put *put = (struct put *)task;
    for (uint32_t i = 0; dht && i < put->nodes_count; i++)
        if (put->nodes[i].op)
            sk_dht_cancel(dht, put->nodes[i].op);
    sk_port_blob_deinit(&put->blob, dht);
    sk_map_deinit(&put->known);
    sk_mem_free(put);
}

static const struct sk_dht_task_kind put_kind = {
    .event = put_event,
    .run = put_run,
    .next_note = sk_work_next_note,
    .deadline = sk_work_deadline,
    .free = put_free,
};

int sk_dht_port_blob_put_new(const struct sk_dht_port_blob_config *config, uint64_t now_ns,
                             struct sk_dht_task **ret_task)
{
    if (!config->text || !(config->rate >= 0))
        return SKEP_ERR_INVALID;
    if (config->bytes.n > SK_PORT_BLOB_MAX)
        return SKEP_ERR_LIMIT;
    struct put *put = sk_mem_calloc(1, sizeof *put);
    if (!put)
        return SKEP_ERR_NOMEM;
    struct sk_port_blob *blob = &put->blob;
    sk_map_init(&put->known, sizeof(struct sk_endpoint), KNOWN_NODES_MAX, now_ns);
    int err = sk_port_blob_init(blob, &put_kind, config->text, 1, now_ns);
    if (err) {
        put_free(&blob->work.task, NULL);
        return err;
    }
    double rate = config->rate > 0 ? config->rate : RATE;
    put->gap_ns = (uint64_t)(1e9 / rate < 3600e9 ? 1e9 / rate : 3600e9);
    put->keep = config->keep;
    put->number = PORT_BLOB_HEAD;
    if (config->bytes.n)
        memcpy(blob->bytes, config->bytes.p, config->bytes.n);
    blob->head.length = (uint32_t)config->bytes.n;
    uint32_t segments = sk_port_blob_segments(blob->head.length);
    blob->result.hashes = segments + 1;
    blob->result.announces =
        SK_DHT_K * (segments * SK_PORT_BLOB_SEGMENT_PORTS + SK_PORT_BLOB_HEAD_PORTS);
    *ret_task = &blob->work.task;
    return 0;
}
