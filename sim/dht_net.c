#include "sim/dht_net.h"

#include "base/assert.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/dht/node_id.h"

#include <stdio.h>

#define INTRODUCTIONS 3
#define GROW_STEP (100 * SK_SIM_MS)
#define GROW_SHARE 0.005 /* of those there are, each step */
#define GROW_LEAST 5
#define SETTLE (30 * SK_SIM_SECOND)
#define PICK_TRIES 1000
#define FORGED_TRANSACTION "forged"

struct attached {
    struct sk_dht_task *task;
    struct attached *next;
};

struct node {
    struct sk_dht *dht; /* NULL: dead */
    struct attached *tasks;
    uint8_t kind; /* enum sk_sim_kind */
    bool nat;
};

struct sk_sim_dht {
    struct sk_sim_dht_config config;
    struct sk_sim_dht_watch watch;
    struct sk_sim_net *net;
    struct sk_prng prng;
    struct node *nodes; /* as many as there are hosts, but for the prober */
    uint32_t count, capacity, live;
    struct sk_sim_hostile hostile;
    struct sk_dht_contact *accomplices;
    struct sk_buf answer; /* of a hostile node */
    uint32_t prober;      /* a host that is no node; SK_SIM_NO_HOST */
    uint64_t tokens_refused;
    uint64_t steps;
    char fault[160];
};

struct sk_sim_dht *sk_sim_dht_new(const struct sk_sim_dht_config *config)
{
    struct sk_sim_dht *sim = sk_mem_calloc(1, sizeof *sim);
    SK_ASSERT(sim);
    sim->config = *config;
    sim->net = sk_sim_net_new(&config->net);
    sim->prober = SK_SIM_NO_HOST;
    sk_prng_init(&sim->prng, sk_hash_mix(config->net.seed)); /* another than the network's */
    sk_sim_hostile_init(&sim->hostile, &sim->prng);
    sk_buf_init(&sim->answer, SK_KRPC_DATAGRAM_MAX);
    return sim;
}

void sk_sim_dht_free(struct sk_sim_dht *sim)
{
    if (!sim)
        return;
    for (uint32_t i = 0; i < sim->count; i++)
        sk_sim_dht_kill(sim, i);
    sk_mem_free(sim->nodes);
    sk_mem_free(sim->accomplices);
    sk_buf_deinit(&sim->answer);
    sk_sim_net_free(sim->net);
    sk_mem_free(sim);
}

void sk_sim_dht_watch(struct sk_sim_dht *sim, const struct sk_sim_dht_watch *watch)
{
    sim->watch = *watch;
}

struct sk_sim_net *sk_sim_dht_net(struct sk_sim_dht *sim)
{
    return sim->net;
}

uint64_t sk_sim_dht_now(const struct sk_sim_dht *sim)
{
    return sk_sim_net_now(sim->net);
}

struct sk_prng *sk_sim_dht_prng(struct sk_sim_dht *sim)
{
    return &sim->prng;
}

const char *sk_sim_dht_fault(const struct sk_sim_dht *sim)
{
    return sim->fault[0] ? sim->fault : NULL;
}

static void fault(struct sk_sim_dht *sim, uint32_t node, const char *what)
{
    if (!sim->fault[0])
        snprintf(sim->fault, sizeof sim->fault, "node %u at %.6f s: %s", node,
                 (double)(sk_sim_dht_now(sim) - SK_SIM_START) / SK_SIM_SECOND, what);
}

/* ---- nodes ---- */

static void grow_array(struct sk_sim_dht *sim)
{
    sim->capacity = sim->capacity ? 2 * sim->capacity : 256;
    sim->nodes = sk_mem_realloc(sim->nodes, sim->capacity, sizeof *sim->nodes);
    SK_ASSERT(sim->nodes);
}

static struct sk_dht *new_node(struct sk_sim_dht *sim, uint32_t host, bool nat, const uint8_t *id)
{
    const struct sk_endpoint *address = sk_sim_net_address(sim->net, host);
    bool v6 = sim->config.net.family == SK_FAMILY_V6;
    struct sk_dht_config config = {.seed = sk_prng_u64(&sim->prng),
                                   .families = v6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4,
                                   .read_only = nat,
                                   .ids_by_address = sim->config.ids_by_address,
                                   .version = "sim"};
    config.id[v6] = id;
    if (!sim->config.address_unknown)
        config.address[v6] = *address;
    struct sk_dht *dht;
    int err = sk_dht_new(&config, sk_sim_dht_now(sim), &dht);
    SK_ASSERT(err == 0);
    return dht;
}

static void add_accomplice(struct sk_sim_dht *sim, uint32_t node)
{
    struct sk_sim_hostile *hostile = &sim->hostile;
    sim->accomplices =
        sk_mem_realloc(sim->accomplices, hostile->accomplices_count + 1, sizeof *sim->accomplices);
    SK_ASSERT(sim->accomplices);
    hostile->accomplices = sim->accomplices;
    struct sk_dht_contact *contact = &sim->accomplices[hostile->accomplices_count++];
    contact->endpoint = *sk_sim_net_address(sim->net, node);
    memcpy(contact->id, sk_dht_id(sim->nodes[node].dht, sim->config.net.family), SK_DHT_ID_SIZE);
}

/* The id that a new node insists on, or NULL: its address or chance decides. */
static const uint8_t *choose_id(struct sk_sim_dht *sim, uint32_t host, enum sk_sim_kind kind,
                                const uint8_t *target, uint8_t ret_id[SK_DHT_ID_SIZE])
{
    const struct sk_endpoint *address = sk_sim_net_address(sim->net, host);
    if (!target || (kind != SK_SIM_PLACED && kind != SK_SIM_FITTED))
        return NULL;
    sk_sim_hostile_place(&sim->hostile, target, kind == SK_SIM_FITTED ? address : NULL, ret_id);
    return ret_id;
}

uint32_t sk_sim_dht_add(struct sk_sim_dht *sim, enum sk_sim_kind kind, const uint8_t *target)
{
    bool nat =
        kind == SK_SIM_HONEST && sim->config.nat > 0 && sk_prng_unit(&sim->prng) < sim->config.nat;
    uint32_t host = sk_sim_net_add(sim->net, nat);
    uint8_t id[SK_DHT_ID_SIZE];
    if (sim->count == sim->capacity)
        grow_array(sim);
    SK_ASSERT(host == sim->count);
    struct sk_dht *dht = new_node(sim, host, nat, choose_id(sim, host, kind, target, id));
    sim->nodes[sim->count++] = (struct node){.dht = dht, .kind = (uint8_t)kind, .nat = nat};
    sim->live++;
    if (kind != SK_SIM_HONEST)
        add_accomplice(sim, host);
    return host;
}

void sk_sim_dht_kill(struct sk_sim_dht *sim, uint32_t number)
{
    struct node *node = &sim->nodes[number];
    if (!node->dht)
        return;
    while (node->tasks) {
        struct attached *attached = node->tasks;
        node->tasks = attached->next;
        sk_dht_task_free(attached->task, node->dht);
        sk_mem_free(attached);
    }
    sk_dht_free(node->dht);
    node->dht = NULL;
    sk_sim_net_set_up(sim->net, number, false);
    sim->live--;
}

void sk_sim_dht_kill_share(struct sk_sim_dht *sim, double share)
{
    for (uint32_t i = 0; i < sim->count; i++) {
        const struct node *node = &sim->nodes[i];
        bool may = node->dht && node->kind == SK_SIM_HONEST && !node->tasks;
        if (may && sk_prng_unit(&sim->prng) < share)
            sk_sim_dht_kill(sim, i);
    }
}

uint32_t sk_sim_dht_count(const struct sk_sim_dht *sim)
{
    return sim->count;
}

uint32_t sk_sim_dht_live(const struct sk_sim_dht *sim)
{
    return sim->live;
}

enum sk_sim_kind sk_sim_dht_kind(const struct sk_sim_dht *sim, uint32_t node)
{
    return sim->nodes[node].kind;
}

unsigned sk_sim_dht_distance(const struct sk_sim_dht *sim, uint32_t node,
                             const uint8_t target[SK_DHT_ID_SIZE])
{
    const struct sk_dht *dht = sim->nodes[node].dht;
    return dht ? sk_dht_distance(sk_dht_id(dht, sim->config.net.family), target) : 160;
}

bool sk_sim_dht_busy(const struct sk_sim_dht *sim, uint32_t node)
{
    return sim->nodes[node].tasks != NULL;
}

struct sk_dht *sk_sim_dht_node(struct sk_sim_dht *sim, uint32_t node)
{
    return sim->nodes[node].dht;
}

uint32_t sk_sim_dht_pick(struct sk_sim_dht *sim)
{
    for (unsigned i = 0; i < PICK_TRIES && sim->count; i++) {
        uint32_t number = (uint32_t)sk_prng_below(&sim->prng, sim->count);
        const struct node *node = &sim->nodes[number];
        if (node->dht && node->kind == SK_SIM_HONEST && !node->nat)
            return number;
    }
    return SK_SIM_NO_HOST;
}

/* ---- one node's turn ---- */

static void tell_tasks(struct sk_sim_dht *sim, uint32_t number, const struct sk_dht_event *event)
{
    struct node *node = &sim->nodes[number];
    for (struct attached *attached = node->tasks; attached; attached = attached->next) {
        if (sk_dht_task_event(attached->task, node->dht, event, sk_sim_dht_now(sim)))
            return;
    }
    if (sim->watch.event)
        sim->watch.event(sim->watch.ctx, number, event);
}

static void detach(struct node *node, struct attached *attached)
{
    struct attached **link = &node->tasks;
    while (*link != attached)
        link = &(*link)->next;
    *link = attached->next;
    sk_dht_task_free(attached->task, node->dht);
    sk_mem_free(attached);
}

/* Runs the tasks and passes on what they have to tell. */
static void run_tasks(struct sk_sim_dht *sim, uint32_t number)
{
    struct node *node = &sim->nodes[number];
    struct attached *next;
    for (struct attached *attached = node->tasks; attached; attached = next) {
        struct sk_dht_note note = {.kind = SK_DHT_NOTE_PROGRESS};
        next = attached->next;
        sk_dht_task_run(attached->task, node->dht, sk_sim_dht_now(sim));
        while (note.kind != SK_DHT_NOTE_DONE && sk_dht_task_next_note(attached->task, &note)) {
            if (sim->watch.note)
                sim->watch.note(sim->watch.ctx, number, attached->task, &note);
        }
        if (note.kind == SK_DHT_NOTE_DONE)
            detach(node, attached);
    }
}

static void check_output(struct sk_sim_dht *sim, uint32_t node, struct sk_bytes bytes)
{
    struct sk_krpc message;
    if (sk_krpc_read(bytes, &message) < 0)
        fault(sim, node, "it sent what it could not read itself");
    else if (message.kind != SK_KRPC_ERROR && !message.id)
        fault(sim, node, "it sent no id");
}

static void pass_on(struct sk_sim_dht *sim, uint32_t number, const struct sk_sim_event *cause,
                    const struct sk_dht_out *out)
{
    const struct node *node = &sim->nodes[number];
    struct sk_bytes bytes = out->bytes;
    if (sim->config.check_every)
        check_output(sim, number, bytes);
    if (cause && node->kind != SK_SIM_HONEST && sk_endpoint_equal(&out->to, &cause->from)) {
        if (!sk_sim_hostile_answer(&sim->hostile, node->kind, cause->bytes, bytes, &sim->answer))
            return;
        bytes = sk_buf_bytes(&sim->answer);
    }
    sk_sim_net_send(sim->net, number, &out->to, bytes);
}

static uint64_t deadline(const struct node *node)
{
    uint64_t at = sk_dht_deadline(node->dht);
    for (const struct attached *attached = node->tasks; attached; attached = attached->next) {
        uint64_t wanted = sk_dht_task_deadline(attached->task);
        at = SK_MIN(at, wanted);
    }
    return at;
}

static void check(struct sk_sim_dht *sim, uint32_t number)
{
    sim->steps++;
    if (!sim->config.check_every || sim->steps % sim->config.check_every)
        return;
    const char *what = sk_dht_fault(sim->nodes[number].dht);
    if (what)
        fault(sim, number, what);
}

/* Takes all that the node has to give. `cause`: the datagram that it was just given, or NULL; the
 * answer to it is what comes out first. */
static void drain(struct sk_sim_dht *sim, uint32_t number, const struct sk_sim_event *cause)
{
    struct node *node = &sim->nodes[number];
    struct sk_dht_event event;
    struct sk_dht_out out;
    bool more = true;
    while (more) {
        more = false;
        while (sk_dht_next_event(node->dht, &event)) {
            tell_tasks(sim, number, &event);
            more = true;
        }
        run_tasks(sim, number);
        for (; sk_dht_next_output(node->dht, sk_sim_dht_now(sim), &out); cause = NULL) {
            pass_on(sim, number, cause, &out);
            more = true;
        }
    }
    check(sim, number);
    uint64_t at = deadline(node);
    if (at != SK_TIME_NEVER)
        sk_sim_net_wake(sim->net, number, at);
}

void sk_sim_dht_touch(struct sk_sim_dht *sim, uint32_t node)
{
    sk_sim_net_wake(sim->net, node, sk_sim_dht_now(sim));
}

void sk_sim_dht_attach(struct sk_sim_dht *sim, uint32_t node, struct sk_dht_task *task)
{
    struct attached *attached = sk_mem_alloc(sizeof *attached);
    SK_ASSERT(attached && sim->nodes[node].dht);
    *attached = (struct attached){task, sim->nodes[node].tasks};
    sim->nodes[node].tasks = attached;
    sk_sim_dht_touch(sim, node);
}

/* ---- forged tokens ---- */

static void write_forgery(struct sk_sim_dht *sim, enum sk_krpc_method method, struct sk_buf *buf)
{
    uint8_t random[2][SK_DHT_ID_SIZE];
    sk_prng_bytes(&sim->prng, random, sizeof random);
    struct sk_krpc message = {.kind = SK_KRPC_QUERY,
                              .transaction = sk_bytes_text(FORGED_TRANSACTION),
                              .id = random[0],
                              .method = method,
                              .token = sk_bytes(random[1], 8)};
    if (method == SK_KRPC_ANNOUNCE_PEER) {
        message.target = random[1];
        message.port = 6881;
    } else {
        message.value = sk_bytes_text("5:value");
    }
    buf->n = 0;
    int err = sk_krpc_write(buf, &message);
    SK_ASSERT(err == 0);
}

void sk_sim_dht_probe_tokens(struct sk_sim_dht *sim, uint32_t count)
{
    if (sim->prober == SK_SIM_NO_HOST) {
        /* A host that is a node too, as the numbers of hosts and nodes go together; a dead one. */
        sim->prober = sk_sim_dht_add(sim, SK_SIM_HONEST, NULL);
        sk_sim_dht_kill(sim, sim->prober);
        sk_sim_net_set_up(sim->net, sim->prober, true);
    }
    struct sk_buf buf;
    sk_buf_init(&buf, SK_KRPC_DATAGRAM_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = sk_sim_dht_pick(sim);
        if (node == SK_SIM_NO_HOST)
            break;
        write_forgery(sim, i % 2 ? SK_KRPC_PUT : SK_KRPC_ANNOUNCE_PEER, &buf);
        sk_sim_net_send(sim->net, sim->prober, sk_sim_net_address(sim->net, node),
                        sk_buf_bytes(&buf));
    }
    sk_buf_deinit(&buf);
}

uint64_t sk_sim_dht_tokens_refused(const struct sk_sim_dht *sim)
{
    return sim->tokens_refused;
}

static void probe_answered(struct sk_sim_dht *sim, const struct sk_sim_event *event)
{
    struct sk_krpc message;
    if (event->kind != SK_SIM_DATAGRAM || sk_krpc_read(event->bytes, &message) < 0 ||
        !sk_bytes_is(message.transaction, FORGED_TRANSACTION))
        return;
    if (message.kind == SK_KRPC_RESPONSE)
        fault(sim, sk_sim_net_find(sim->net, &event->from), "it obeyed a forged token");
    else if (message.kind == SK_KRPC_ERROR && message.code == SK_KRPC_PROTOCOL)
        sim->tokens_refused++;
}

/* ---- time ---- */

static void step(struct sk_sim_dht *sim, const struct sk_sim_event *event)
{
    if (event->host == sim->prober) {
        probe_answered(sim, event);
        return;
    }
    struct sk_dht *dht = sim->nodes[event->host].dht;
    bool datagram = event->kind == SK_SIM_DATAGRAM;
    if (datagram)
        sk_dht_input(dht, &event->from, event->bytes, sk_sim_dht_now(sim));
    else if (sk_dht_deadline(dht) <= sk_sim_dht_now(sim))
        sk_dht_tick(dht, sk_sim_dht_now(sim));
    drain(sim, event->host, datagram ? event : NULL);
}

void sk_sim_dht_run(struct sk_sim_dht *sim, uint64_t until_ns)
{
    struct sk_sim_event event;
    while (!sim->fault[0] && sk_sim_net_next(sim->net, until_ns, &event))
        step(sim, &event);
}

void sk_sim_dht_run_for(struct sk_sim_dht *sim, uint64_t duration_ns)
{
    sk_sim_dht_run(sim, sk_sim_dht_now(sim) + duration_ns);
}

void sk_sim_dht_introduce(struct sk_sim_dht *sim, uint32_t node)
{
    for (unsigned i = 0; i < INTRODUCTIONS; i++) {
        uint32_t other = sk_sim_dht_pick(sim);
        if (other != SK_SIM_NO_HOST && other != node)
            sk_dht_add_address(sim->nodes[node].dht, sk_sim_net_address(sim->net, other), false,
                               sk_sim_dht_now(sim));
    }
    sk_sim_dht_touch(sim, node);
}

void sk_sim_dht_grow(struct sk_sim_dht *sim, uint32_t count, sk_sim_draw_fn draw, void *ctx)
{
    while (count && !sim->fault[0]) {
        uint32_t some = SK_MAX(GROW_LEAST, (uint32_t)(sim->live * GROW_SHARE));
        some = SK_MIN(some, count);
        for (uint32_t i = 0; i < some; i++) {
            const uint8_t *target = NULL;
            enum sk_sim_kind kind = draw ? draw(ctx, &target) : SK_SIM_HONEST;
            sk_sim_dht_introduce(sim, sk_sim_dht_add(sim, kind, target));
        }
        count -= some;
        sk_sim_dht_run_for(sim, GROW_STEP);
    }
    sk_sim_dht_run_for(sim, SETTLE);
}

/* Who is in the table of an honest node. */
static void count_entries(const struct sk_sim_dht *sim, const struct sk_dht_table *table,
                          struct sk_sim_dht_totals *totals)
{
    const struct sk_dht_entry *entry;
    size_t pos = 0;
    while ((entry = sk_dht_table_next(table, &pos, NULL))) {
        uint32_t host = sk_sim_net_find(sim->net, &entry->contact.endpoint);
        if (host == SK_SIM_NO_HOST || !sim->nodes[host].dht)
            totals->dead_entries++;
        else if (sim->nodes[host].kind == SK_SIM_HONEST)
            totals->honest_entries++;
        else
            totals->hostile_entries++;
    }
}

void sk_sim_dht_totals(const struct sk_sim_dht *sim, struct sk_sim_dht_totals *ret_totals)
{
    *ret_totals = (struct sk_sim_dht_totals){0};
    enum sk_family family = sim->config.net.family;
    for (uint32_t i = 0; i < sim->count; i++) {
        const struct node *node = &sim->nodes[i];
        struct sk_dht_stats stats;
        struct sk_dht_table_stats table;
        if (!node->dht)
            continue;
        sk_dht_stats(node->dht, &stats);
        if (node->kind == SK_SIM_HONEST)
            count_entries(sim, sk_dht_table(node->dht, family), ret_totals);
        sk_dht_table_stats(sk_dht_table(node->dht, family), sk_sim_dht_now(sim), &table);
        ret_totals->live++;
        ret_totals->ready += sk_dht_state(node->dht, family) == SK_DHT_READY;
        ret_totals->entries += table.entries;
        ret_totals->good += table.good;
        ret_totals->bytes += stats.bytes;
        ret_totals->items += stats.items;
    }
}
