/* <skep/dht.h>: what is asked for is checked and becomes a run. */
#include "engine/dht_internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static unsigned want_of(unsigned family)
{
    return family == 0   ? SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6
           : family == 4 ? SK_KRPC_WANT_V4
           : family == 6 ? SK_KRPC_WANT_V6
                         : 0;
}

/* ---- the node ---- */

int skep_dht_add_host(struct skep_engine *engine, const char *host_port)
{
    struct sk_engine_dht *dht = engine->dht;
    if (!dht)
        return SKEP_ERR_STATE;
    struct sk_dht_host host = {.next_ns = engine->now_ns};
    char name[256];
    if (!sk_endpoint_parse(host_port, 0, &host.endpoint) && host.endpoint.port)
        host.port = host.endpoint.port;
    else if (!sk_engine_split_name(host_port, name, sizeof name, &host.port))
        return SKEP_ERR_INVALID;
    else if (!(host.name = sk_mem_strdup(name)))
        return SKEP_ERR_NOMEM;
    if (dht->hosts_count == SK_ENGINE_DHT_HOSTS_MAX) {
        sk_mem_free(host.name);
        return SKEP_ERR_LIMIT;
    }
    dht->hosts[dht->hosts_count++] = host;
    sk_engine_set_timer(engine, &dht->hosts_timer, SK_TIMER_DHT_HOSTS, engine->now_ns);
    return 0;
}

int skep_dht_add_node(struct skep_engine *engine, const char *address)
{
    struct sk_endpoint endpoint;
    if (!engine->dht)
        return SKEP_ERR_STATE;
    if (sk_endpoint_parse(address, 0, &endpoint) || !endpoint.port)
        return SKEP_ERR_INVALID;
    if (!engine->dht->nodes_ns)
        engine->dht->nodes_ns = engine->now_ns;
    int err = sk_engine_dht_add(engine, &endpoint, false);
    return err == SKEP_ERR_LIMIT ? 0 : err; /* one that is forgotten among so many */
}

static void fill_network(const struct skep_engine *engine, enum sk_family family,
                         const struct sk_dht_stats *stats, struct skep_dht_network *ret_network)
{
    const struct sk_engine_dht *dht = engine->dht;
    const struct sk_dht_table *table = sk_dht_table(dht->node, family);
    *ret_network = (struct skep_dht_network){.there = table != NULL, .retry_s = -1};
    if (!table)
        return;
    memcpy(ret_network->id, sk_dht_id(dht->node, family), SK_DHT_ID_SIZE);
    ret_network->standing = sk_engine_dht_standing(dht, family);
    uint64_t at_ns = sk_engine_dht_retry_ns(dht, family);
    if (ret_network->standing == SKEP_DHT_OFFLINE && at_ns != SK_TIME_NEVER)
        ret_network->retry_s = at_ns > engine->now_ns ? (double)(at_ns - engine->now_ns) / 1e9 : 0;
    const struct sk_endpoint *own = &stats->address[family == SK_FAMILY_V6];
    if (own->family)
        sk_endpoint_ip_text(own, ret_network->address);
    struct sk_dht_table_stats counts;
    sk_dht_table_stats(table, engine->now_ns, &counts);
    ret_network->nodes = counts.entries;
    ret_network->good = counts.good;
    ret_network->questionable = counts.questionable;
    ret_network->spares = counts.spares;
    ret_network->buckets = counts.buckets;
}

int skep_dht_stats(const struct skep_engine *engine, struct skep_dht_stats *ret_stats)
{
    if (!engine->dht)
        return SKEP_ERR_STATE;
    struct sk_dht_stats node;
    sk_dht_stats(engine->dht->node, &node);
    struct skep_dht_stats stats = {
        .answers_in = node.answers_in,
        .answers_out = node.answers_out,
        .errors_in = node.errors_in,
        .errors_out = node.errors_out,
        .silent = node.silent,
        .packets_in = node.packets_in,
        .packets_out = node.packets_out,
        .bytes_in = node.bytes_in,
        .bytes_out = node.bytes_out,
        .dropped = node.dropped_address + node.dropped_banned + node.dropped_total,
        .malformed = node.malformed,
        .unasked = node.unasked,
        .bad_tokens = node.bad_tokens,
        .ids_changed = node.ids_changed,
        .hashes = node.hashes,
        .peers = node.peers,
        .items = node.items,
        .operations = node.operations,
        .memory_bytes = node.bytes + sizeof *engine->dht,
    };
    for (int i = 0; i < SKEP_DHT_METHOD_COUNT; i++) {
        stats.queries_in[i] = node.queries_in[i];
        stats.queries_out[i] = node.queries_out[i];
    }
    fill_network(engine, SK_FAMILY_V4, &node, &stats.v4);
    fill_network(engine, SK_FAMILY_V6, &node, &stats.v6);
    *ret_stats = stats;
    return 0;
}

/* In the upper half of a position: which table. */
#define SECOND_TABLE ((size_t)1 << (sizeof(size_t) * 8 - 1))

static const struct sk_dht_entry *next_entry(const struct sk_engine_dht *dht, size_t *pos,
                                             unsigned *ret_bucket)
{
    const struct sk_dht_table *v4 = sk_dht_table(dht->node, SK_FAMILY_V4);
    const struct sk_dht_table *v6 = sk_dht_table(dht->node, SK_FAMILY_V6);
    const struct sk_dht_entry *entry = NULL;
    if (!(*pos & SECOND_TABLE)) {
        if (v4)
            entry = sk_dht_table_next(v4, pos, ret_bucket);
        if (entry)
            return entry;
        *pos = SECOND_TABLE;
    }
    size_t inner = *pos & ~SECOND_TABLE;
    if (v6)
        entry = sk_dht_table_next(v6, &inner, ret_bucket);
    *pos = inner | SECOND_TABLE;
    return entry;
}

bool skep_dht_next_node(const struct skep_engine *engine, size_t *pos,
                        struct skep_dht_node *ret_node)
{
    unsigned bucket = 0;
    const struct sk_dht_entry *entry = engine->dht ? next_entry(engine->dht, pos, &bucket) : NULL;
    if (!entry)
        return false;
    struct skep_dht_node node = {
        .bucket = bucket,
        .good = sk_dht_entry_health(entry, engine->now_ns) == SK_DHT_GOOD,
        .rtt_s = entry->rtt_ns ? (double)entry->rtt_ns / 1e9 : -1,
    };
    memcpy(node.id, entry->contact.id, sizeof node.id);
    memcpy(node.version, entry->version, sizeof node.version);
    sk_endpoint_text(&entry->contact.endpoint, node.address);
    *ret_node = node;
    return true;
}

/* ---- queries and searches ---- */

int skep_dht_start_ask(struct skep_engine *engine, const struct skep_dht_ask *ask, skep_dht_fn fn,
                       void *ctx, uint64_t *ret_id)
{
    static const bool may[SKEP_DHT_METHOD_COUNT] = {
        [SKEP_DHT_PING] = true, [SKEP_DHT_FIND_NODE] = true, [SKEP_DHT_GET_PEERS] = true,
        [SKEP_DHT_GET] = true,  [SKEP_DHT_SAMPLE] = true,
    };
    struct sk_endpoint to = {0};
    char name[256];
    uint16_t port = 0;
    if (!engine->dht)
        return SKEP_ERR_STATE;
    if ((unsigned)ask->method >= SKEP_DHT_METHOD_COUNT || !may[ask->method] ||
        (!ask->target && ask->method != SKEP_DHT_PING) || !ask->address)
        return SKEP_ERR_INVALID;
    bool literal = sk_endpoint_parse(ask->address, 0, &to) == 0;
    if (literal ? !to.port : !sk_engine_split_name(ask->address, name, sizeof name, &port))
        return SKEP_ERR_INVALID;
    struct sk_dht_run *run;
    int err = sk_dht_run_new(engine, SK_DHT_RUN_ASK, &run);
    if (err)
        return err;
    run->fn = fn;
    run->ctx = ctx;
    run->scrape = ask->scrape && ask->method == SKEP_DHT_GET_PEERS;
    run->ask = (struct sk_dht_ask){
        .method = (enum sk_krpc_method)ask->method, .to = to, .scrape = run->scrape};
    if (ask->target)
        memcpy(run->ask.target, ask->target, SK_DHT_ID_SIZE);
    if (!literal) {
        struct sk_ask lookup = {.kind = SK_ASK_DHT_RUN, .number = run->id, .port = port};
        run->name_waiting = true;
        err = sk_engine_ask_name(engine, &lookup, name);
    }
    if (err)
        sk_dht_run_end(engine, run);
    else
        *ret_id = run->id;
    return err;
}

int skep_dht_start_search(struct skep_engine *engine, const struct skep_dht_search *search,
                          skep_dht_fn fn, void *ctx, uint64_t *ret_id)
{
    if (!engine->dht)
        return SKEP_ERR_STATE;
    bool peers = search->method == SKEP_DHT_GET_PEERS;
    bool get = search->method == SKEP_DHT_GET;
    unsigned families = want_of(search->family);
    if (!(peers || get || search->method == SKEP_DHT_FIND_NODE) || !search->target || !families ||
        search->salt_size > SK_KRPC_SALT_MAX || (search->announce && !peers))
        return SKEP_ERR_INVALID;
    families &= engine->dht->families;
    if (!families)
        return SKEP_ERR_STATE;
    struct sk_dht_run *run;
    int err = sk_dht_run_new(engine, SK_DHT_RUN_SEARCH, &run);
    if (err)
        return err;
    run->fn = fn;
    run->ctx = ctx;
    run->families = families;
    run->scrape = search->scrape && peers;
    memcpy(run->salt, search->salt_size ? search->salt : (const uint8_t *)"", search->salt_size);
    run->search = (struct sk_dht_search){
        .method = (enum sk_krpc_method)search->method,
        .families = families,
        .scrape = run->scrape,
        .first = search->first && get,
        .salt = sk_bytes(run->salt, search->salt_size),
        .store = search->announce ? SK_DHT_STORE_PEER : SK_DHT_STORE_NOTHING,
        .port = search->port,
        .seed = search->seed,
    };
    memcpy(run->search.target, search->target, SK_DHT_ID_SIZE);
    *ret_id = run->id;
    return 0;
}

void skep_dht_cancel(struct skep_engine *engine, uint64_t id)
{
    struct sk_dht_run *run = engine->dht ? sk_map_get(&engine->dht->runs, &id) : NULL;
    if (run)
        sk_dht_run_end(engine, run);
}
