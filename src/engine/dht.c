#include "engine/dht_internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_RETRY_NS (10 * SK_SECOND_NS) /* after a name was not found; doubles, */
#define HOST_RETRY_MAX_NS (300 * SK_SECOND_NS)
#define HOST_LOOK_NS (60 * SK_SECOND_NS) /* whether all is well that needed no host */
#define NODES_FIRST_NS                                                                             \
    (3 * SK_SECOND_NS) /* nodes of an earlier run are tried so long before hosts */
#define JOIN_OTHER_NS                                                                              \
    (2 * SK_SECOND_NS)                  /* a network is ready: how long another one is waited for */
#define JOIN_MAX_NS (20 * SK_SECOND_NS) /* none is */
#define WATCH_NS (SK_SECOND_NS / 4)     /* how often runs that wait are looked at */

/* ---- life ---- */

static enum sk_scope bind_scope(const struct skep_config *config, struct sk_endpoint *ret_own)
{
    struct sk_endpoint bound;
    *ret_own = (struct sk_endpoint){0};
    char with_port[80];
    snprintf(with_port, sizeof with_port,
             strchr(config->bind ? config->bind : "", ':') ? "[%s]:1" : "%s:1",
             config->bind ? config->bind : "");
    if (!config->bind || sk_endpoint_parse(with_port, 0, &bound))
        return SK_SCOPE_PUBLIC;
    enum sk_scope scope = sk_endpoint_scope(&bound);
    if (scope == SK_SCOPE_PUBLIC) {
        *ret_own = bound;
        ret_own->port = config->port;
    }
    return scope == SK_SCOPE_UNUSABLE ? SK_SCOPE_PUBLIC : scope;
}

int sk_engine_join_dht(struct skep_engine *engine, unsigned families, uint64_t now_ns)
{
    const struct skep_config *config = &engine->config;
    engine->now_ns = now_ns;
    if (config->no_dht || !families)
        return 0;
    struct sk_engine_dht *dht = sk_mem_calloc(1, sizeof *dht);
    if (!dht)
        return SKEP_ERR_NOMEM;
    struct sk_endpoint own;
    dht->bind_scope = bind_scope(config, &own);
    struct sk_dht_config node = {
        .seed = sk_prng_u64(&engine->prng),
        .families = families,
        .id = {config->dht_id, config->dht_id6},
        .read_only = config->dht_read_only,
        .ids_by_address = !config->dht_any_id,
        .rate = config->dht_rate > 0   ? config->dht_rate
                : config->dht_rate < 0 ? 0
                                       : SK_ENGINE_DHT_RATE,
        .unguarded = config->dht_rate < 0,
        .version = {'S', 'K', 0, 1},
    };
    if (own.family)
        node.address[own.family == SK_FAMILY_V6] = own;
    int err = sk_dht_new(&node, now_ns, &dht->node);
    if (err) {
        sk_mem_free(dht);
        return err;
    }
    dht->families = families;
    dht->started_ns = now_ns;
    dht->next_id = 1;
    sk_map_init(&dht->runs, sizeof(uint64_t), SK_DHT_OPERATIONS_MAX, sk_prng_u64(&engine->prng));
    sk_map_init(&dht->ops, sizeof(uint64_t), SK_DHT_OPERATIONS_MAX, sk_prng_u64(&engine->prng));
    engine->dht = dht;
    return 0;
}

static void free_run(struct sk_engine_dht *dht, struct sk_dht_run *run)
{
    if (run->op) {
        (void)sk_map_remove(&dht->ops, &run->op);
        sk_dht_cancel(dht->node, run->op);
    }
    sk_dht_task_free(run->task, dht->node);
    sk_dht_scrape_deinit(&run->scraped);
    sk_mem_free(run);
}

void sk_engine_dht_free(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    if (!dht)
        return;
    size_t pos = 0;
    for (struct sk_dht_run *run; (run = sk_map_next(&dht->runs, &pos));)
        free_run(dht, run);
    sk_map_deinit(&dht->runs);
    sk_map_deinit(&dht->ops);
    sk_heap_remove(&engine->timers, &dht->timer.base);
    sk_heap_remove(&engine->timers, &dht->hosts_timer.base);
    for (uint32_t i = 0; i < dht->hosts_count; i++)
        sk_mem_free(dht->hosts[i].name);
    sk_mem_free(dht->adds);
    sk_dht_free(dht->node);
    sk_mem_free(dht);
    engine->dht = NULL;
}

void sk_engine_dht_wake(struct skep_engine *engine)
{
    sk_engine_set_timer(engine, &engine->dht->timer, SK_TIMER_DHT, engine->now_ns);
}

/* ---- up and down ---- */

static bool is_wanted(const struct skep_engine *engine)
{
    if (engine->dht->runs.count || !engine->torrents_count)
        return true;
    for (uint32_t i = 0; i < engine->torrents_count; i++)
        if (engine->torrents[i]->state != SK_TORRENT_STOPPED &&
            sk_dht_torrent_allowed(engine->torrents[i]))
            return true;
    return false;
}

void sk_engine_dht_review(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    bool was_up = dht->up;
    dht->up = is_wanted(engine);
    if (was_up || !dht->up)
        return;
    if (dht->nodes_ns)
        dht->nodes_ns = engine->now_ns;
    if (dht->hosts_count)
        sk_engine_set_timer(engine, &dht->hosts_timer, SK_TIMER_DHT_HOSTS, engine->now_ns);
}

/* ---- addresses and hosts ---- */

int sk_engine_dht_add(struct skep_engine *engine, const struct sk_endpoint *endpoint,
                      bool bootstrap)
{
    struct sk_engine_dht *dht = engine->dht;
    if (dht->adds_count == SK_DHT_WAITING_MAX)
        return SKEP_ERR_LIMIT;
    if (dht->adds_count == dht->adds_capacity) {
        size_t capacity = dht->adds_capacity ? dht->adds_capacity * 2 : 16;
        struct sk_dht_add *adds = sk_mem_realloc(dht->adds, capacity, sizeof *adds);
        if (!adds)
            return SKEP_ERR_NOMEM;
        dht->adds = adds;
        dht->adds_capacity = capacity;
    }
    dht->adds[dht->adds_count++] = (struct sk_dht_add){*endpoint, bootstrap};
    sk_engine_dht_wake(engine);
    return 0;
}

/* In no order: a program that ends before all of many saved nodes were tried begins with others the
 * next time. */
static void flush_adds(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    while (dht->adds_count) {
        size_t i = sk_prng_below(&engine->prng, dht->adds_count);
        struct sk_dht_add add = dht->adds[i];
        dht->adds[i] = dht->adds[--dht->adds_count];
        sk_dht_add_address(dht->node, &add.endpoint, add.bootstrap, engine->now_ns);
    }
}

bool sk_engine_dht_may_ask(const struct sk_engine_dht *dht, const struct sk_endpoint *endpoint)
{
    return endpoint->port >= SK_BOOK_PORT_MIN &&
           sk_endpoint_reachable_from(endpoint, dht->bind_scope);
}

static unsigned want_of(enum sk_family family)
{
    return family == SK_FAMILY_V6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4;
}

bool sk_engine_dht_ready(const struct sk_engine_dht *dht, unsigned families)
{
    return ((families & SK_KRPC_WANT_V4) &&
            sk_dht_state(dht->node, SK_FAMILY_V4) == SK_DHT_READY) ||
           ((families & SK_KRPC_WANT_V6) && sk_dht_state(dht->node, SK_FAMILY_V6) == SK_DHT_READY);
}

/* Bound to loopback, nothing else can be reached, and nobody else is asked for. */
static bool out_of_reach(const struct sk_engine_dht *dht, const struct sk_dht_host *host)
{
    if (dht->bind_scope != SK_SCOPE_LOOPBACK)
        return false;
    return host->name ? strcasecmp(host->name, "localhost") != 0
                      : sk_endpoint_scope(&host->endpoint) != SK_SCOPE_LOOPBACK;
}

static void add_host_address(struct skep_engine *engine, struct sk_dht_host *host,
                             struct sk_endpoint endpoint)
{
    struct sk_engine_dht *dht = engine->dht;
    if (dht->bind_scope == SK_SCOPE_LOOPBACK && sk_endpoint_scope(&endpoint) != SK_SCOPE_LOOPBACK)
        return;
    endpoint.port = host->port;
    /* Those of one's own network are nodes like others: nobody else burdens them. */
    bool bootstrap = sk_endpoint_scope(&endpoint) == SK_SCOPE_PUBLIC;
    host->added |= sk_engine_dht_add(engine, &endpoint, bootstrap) == 0;
}

/* Up to a quarter less than the whole wait, so that hosts that fail together drift apart. */
static void host_failed(struct skep_engine *engine, struct sk_dht_host *host)
{
    uint64_t wait_ns = SK_MIN(HOST_RETRY_NS << SK_MIN(host->failures, 8u), HOST_RETRY_MAX_NS);
    host->failures++;
    host->next_ns = engine->now_ns + wait_ns - sk_prng_below(&engine->prng, wait_ns / 4 + 1);
}

static void see_to_host(struct skep_engine *engine, uint32_t i)
{
    struct sk_engine_dht *dht = engine->dht;
    struct sk_dht_host *host = &dht->hosts[i];
    if (sk_engine_dht_ready(dht, dht->families)) {
        host->next_ns = engine->now_ns + HOST_LOOK_NS;
        return;
    }
    host->next_ns = engine->now_ns + HOST_RETRY_MAX_NS;
    if (!host->name) { /* the node asks again by itself what it was given */
        if (!host->added)
            add_host_address(engine, host, host->endpoint);
        return;
    }
    struct sk_ask ask = {.kind = SK_ASK_DHT_HOST, .number = i};
    host->waiting = sk_engine_ask_name(engine, &ask, host->name) == 0;
    if (!host->waiting)
        host_failed(engine, host);
}

void sk_engine_dht_hosts_timer(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    uint64_t next_ns = SK_TIME_NEVER;
    sk_engine_dht_review(engine);
    if (!dht->up)
        return;
    uint64_t wait_ns = dht->nodes_ns ? dht->nodes_ns + NODES_FIRST_NS : 0;
    for (uint32_t i = 0; i < dht->hosts_count; i++) {
        struct sk_dht_host *host = &dht->hosts[i];
        if (host->waiting || out_of_reach(dht, host))
            continue;
        host->next_ns = SK_MAX(host->next_ns, wait_ns);
        if (host->next_ns <= engine->now_ns)
            see_to_host(engine, i);
        if (!host->waiting)
            next_ns = SK_MIN(next_ns, host->next_ns);
    }
    sk_engine_set_timer(engine, &dht->hosts_timer, SK_TIMER_DHT_HOSTS, next_ns);
}

static void host_resolved(struct skep_engine *engine, struct sk_dht_host *host,
                          const struct sk_endpoint *found, size_t count)
{
    host->waiting = false;
    if (count == 0) {
        host_failed(engine, host);
    } else {
        host->failures = 0;
        host->next_ns = engine->now_ns + HOST_RETRY_MAX_NS;
        for (size_t i = 0; i < count; i++)
            add_host_address(engine, host, found[i]);
    }
    sk_engine_dht_hosts_timer(engine);
}

/* The first address in a network that we are in. */
static void run_resolved(struct skep_engine *engine, uint64_t id, uint16_t port,
                         const struct sk_endpoint *found, size_t count)
{
    struct sk_engine_dht *dht = engine->dht;
    struct sk_dht_run *run = sk_map_get(&dht->runs, &id);
    if (!run)
        return; /* cancelled */
    run->name_waiting = false;
    run->error = SKEP_ERR_NOT_FOUND;
    run->reason = count ? "that host has no address in our networks" : "there is no such host";
    for (size_t i = 0; i < count && run->error; i++) {
        if (!(want_of(found[i].family) & dht->families))
            continue;
        run->ask.to = found[i];
        run->ask.to.port = port;
        run->error = 0;
        run->reason = NULL;
    }
}

void sk_engine_dht_resolved(struct skep_engine *engine, const struct sk_ask *ask,
                            const struct sk_endpoint *found, size_t count)
{
    struct sk_engine_dht *dht = engine->dht;
    if (ask->kind == SK_ASK_DHT_HOST)
        host_resolved(engine, &dht->hosts[ask->number], found, count);
    else if (ask->kind == SK_ASK_DHT_RUN)
        run_resolved(engine, ask->number, ask->port, found, count);
    for (size_t i = 0; ask->kind == SK_ASK_DHT_NODE && i < count; i++) {
        struct sk_endpoint endpoint = found[i];
        endpoint.port = ask->port;
        if (sk_engine_dht_may_ask(dht, &endpoint))
            (void)sk_engine_dht_add(engine, &endpoint, false);
    }
    sk_engine_dht_pump(engine);
}

/* ---- how it stands ---- */

enum skep_dht_standing sk_engine_dht_standing(const struct sk_engine_dht *dht,
                                              enum sk_family family)
{
    static const enum skep_dht_standing standings[] = {
        [SK_DHT_EMPTY] = SKEP_DHT_EMPTY,
        [SK_DHT_JOINING] = SKEP_DHT_JOINING,
        [SK_DHT_READY] = SKEP_DHT_READY,
        [SK_DHT_OFFLINE] = SKEP_DHT_OFFLINE,
    };
    enum sk_dht_state state = sk_dht_state(dht->node, family);
    if (state != SK_DHT_EMPTY)
        return standings[state];
    if (dht->adds_count)
        return SKEP_DHT_JOINING;
    bool failed = false;
    for (uint32_t i = 0; i < dht->hosts_count; i++) {
        const struct sk_dht_host *host = &dht->hosts[i];
        if (out_of_reach(dht, host))
            continue;
        if (!host->added && !host->failures)
            return SKEP_DHT_JOINING;
        failed |= host->failures != 0;
    }
    return failed ? SKEP_DHT_OFFLINE : SKEP_DHT_EMPTY;
}

bool sk_engine_dht_joining(const struct sk_engine_dht *dht, unsigned families)
{
    static const enum sk_family both[] = {SK_FAMILY_V4, SK_FAMILY_V6};
    for (int i = 0; i < 2; i++)
        if ((families & dht->families & want_of(both[i])) &&
            sk_engine_dht_standing(dht, both[i]) == SKEP_DHT_JOINING)
            return true;
    return false;
}

uint64_t sk_engine_dht_retry_ns(const struct sk_engine_dht *dht, enum sk_family family)
{
    uint64_t at_ns = sk_dht_retry_ns(dht->node, family);
    for (uint32_t i = 0; i < dht->hosts_count; i++)
        if (dht->hosts[i].failures && !dht->hosts[i].waiting)
            at_ns = SK_MIN(at_ns, dht->hosts[i].next_ns);
    return at_ns;
}

/* ---- runs ---- */

int sk_dht_run_new(struct skep_engine *engine, enum sk_dht_run_kind kind,
                   struct sk_dht_run **ret_run)
{
    struct sk_engine_dht *dht = engine->dht;
    struct sk_dht_run *run = sk_mem_calloc(1, sizeof *run);
    if (!run)
        return SKEP_ERR_NOMEM;
    run->id = dht->next_id;
    int err = sk_map_put(&dht->runs, &run->id, run);
    if (err) {
        sk_mem_free(run);
        return err;
    }
    dht->next_id++;
    run->kind = kind;
    run->families = dht->families;
    run->started_ns = engine->now_ns;
    run->waiting = true;
    dht->waiting_count++;
    dht->started = true;
    sk_engine_dht_wake(engine);
    *ret_run = run;
    return 0;
}

static void unlink_task(struct sk_engine_dht *dht, const struct sk_dht_run *run)
{
    for (struct sk_dht_run **at = &dht->tasks; *at; at = &(*at)->next_task) {
        if (*at != run)
            continue;
        *at = run->next_task;
        return;
    }
}

/* Frees what ended: nobody holds a pointer to it, and the node may be called again. */
static void sweep(struct sk_engine_dht *dht)
{
    while (dht->dead) {
        struct sk_dht_run *run = dht->dead;
        dht->dead = run->next_dead;
        if (run->task)
            unlink_task(dht, run);
        free_run(dht, run);
    }
}

void sk_dht_run_end(struct skep_engine *engine, struct sk_dht_run *run)
{
    struct sk_engine_dht *dht = engine->dht;
    if (run->dead)
        return;
    run->dead = true;
    (void)sk_map_remove(&dht->runs, &run->id);
    dht->waiting_count -= run->waiting;
    run->next_dead = dht->dead;
    dht->dead = run;
    if (!dht->pumping)
        sweep(dht);
}

void sk_dht_run_tell(struct skep_engine *engine, struct sk_dht_run *run,
                     const struct skep_dht_event *event)
{
    engine->serving = true;
    run->fn(event, run->ctx);
    engine->serving = false;
    sk_engine_serve_queue(engine);
}

/* Whether there is somebody to ask by now, or no hope that there soon will be. */
static bool may_begin(const struct skep_engine *engine, const struct sk_dht_run *run)
{
    const struct sk_engine_dht *dht = engine->dht;
    if (run->kind == SK_DHT_RUN_ASK)
        return !run->name_waiting;
    if (!sk_engine_dht_joining(dht, run->families))
        return true;
    uint64_t waited = engine->now_ns - run->started_ns;
    return waited >= (sk_engine_dht_ready(dht, run->families) ? JOIN_OTHER_NS : JOIN_MAX_NS);
}

static int start_op(struct skep_engine *engine, struct sk_dht_run *run)
{
    struct sk_engine_dht *dht = engine->dht;
    int err = run->kind == SK_DHT_RUN_ASK
                  ? sk_dht_start_ask(dht->node, &run->ask, engine->now_ns, &run->op)
                  : sk_dht_start_search(dht->node, &run->search, engine->now_ns, &run->op);
    return err ? err : sk_map_put(&dht->ops, &run->op, run);
}

/* Returns whether it began; else the program was told so, and what runs there are may have changed.
 */
static bool begin(struct skep_engine *engine, struct sk_dht_run *run)
{
    struct sk_engine_dht *dht = engine->dht;
    run->waiting = false;
    dht->waiting_count--;
    if (run->task) {
        run->next_task = dht->tasks;
        dht->tasks = run;
        run->due = true;
        return true;
    }
    if (!run->error)
        run->error = start_op(engine, run);
    if (!run->error)
        return true;
    sk_dht_run_end(engine, run);
    if (run->kind == SK_DHT_RUN_TORRENT)
        sk_dht_torrent_failed(run);
    else
        sk_dht_run_failed(engine, run);
    return false;
}

static bool begin_some(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    uint64_t limit = dht->next_id;
    bool any = false;
    for (bool changed = true; changed;) {
        size_t pos = 0;
        changed = false;
        for (struct sk_dht_run *run;
             !changed && dht->waiting_count && (run = sk_map_next(&dht->runs, &pos));) {
            if (!run->waiting || run->id >= limit || !may_begin(engine, run))
                continue;
            any = true;
            changed = !begin(engine, run);
        }
    }
    return any;
}

/* ---- what the node and the tasks do ---- */

static void on_task_event(struct skep_engine *engine, const struct sk_dht_event *event)
{
    struct sk_engine_dht *dht = engine->dht;
    struct sk_dht_run *run = dht->tasks;
    while (run && (run->dead || !sk_dht_task_event(run->task, dht->node, event, engine->now_ns)))
        run = run->next_task;
    if (!run)
        return;
    run->due = true;
    if (sk_dht_run_shows(run, event))
        sk_dht_run_on_event(engine, run, event);
}

static void on_event(struct skep_engine *engine, const struct sk_dht_event *event)
{
    struct sk_engine_dht *dht = engine->dht;
    struct sk_dht_run *run = sk_map_get(&dht->ops, &event->op);
    if (!run) {
        on_task_event(engine, event);
        return;
    }
    if (event->kind == SK_DHT_EVENT_DONE) { /* its number means nothing any more */
        (void)sk_map_remove(&dht->ops, &run->op);
        run->op = 0;
    }
    if (run->dead)
        return;
    if (event->kind == SK_DHT_EVENT_DONE)
        sk_dht_run_end(engine, run);
    if (run->kind == SK_DHT_RUN_TORRENT)
        sk_dht_torrent_event(engine, run, event);
    else
        sk_dht_run_on_event(engine, run, event);
}

static bool drain_events(struct skep_engine *engine)
{
    struct sk_dht_event event;
    bool any = false;
    while (sk_dht_next_event(engine->dht->node, &event)) {
        on_event(engine, &event);
        any = true;
    }
    return any;
}

/* Those whose time has come, or to whom something happened. */
static bool run_tasks(struct skep_engine *engine, bool by_time)
{
    struct sk_engine_dht *dht = engine->dht;
    bool any = false;
    for (struct sk_dht_run *run = dht->tasks; run; run = run->next_task) {
        bool due = run->due || (by_time && sk_dht_task_deadline(run->task) <= engine->now_ns);
        if (run->dead || !due)
            continue;
        run->due = false;
        any = true;
        sk_dht_task_run(run->task, dht->node, engine->now_ns);
        sk_dht_run_notes(engine, run);
    }
    return any;
}

static void set_timer(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    uint64_t at_ns = !dht->waiting_count ? SK_TIME_NEVER
                     : dht->started      ? engine->now_ns
                                         : engine->now_ns + WATCH_NS;
    for (const struct sk_dht_run *run = dht->tasks; run; run = run->next_task)
        at_ns = SK_MIN(at_ns, sk_dht_task_deadline(run->task));
    sk_engine_set_timer(engine, &dht->timer, SK_TIMER_DHT, SK_MAX(at_ns, engine->now_ns + 1));
}

void sk_engine_dht_pump(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    if (!dht || !dht->up || dht->pumping || engine->serving)
        return;
    dht->pumping = true;
    bool busy = dht->tasks || dht->waiting_count || dht->adds_count;
    bool any = drain_events(engine);
    /* What the program starts meanwhile begins with the next tick: one that is told at once that
     * there is nobody to ask, and asks again, must not keep us here. */
    dht->started = false;
    if (dht->waiting_count)
        any |= begin_some(engine);
    for (bool again = busy || any, by_time = true; again; by_time = false) {
        again = run_tasks(engine, by_time);
        again |= drain_events(engine);
    }
    flush_adds(engine);
    dht->pumping = false;
    sweep(dht);
    if (busy || any)
        set_timer(engine);
}

/* ---- the engine's side ---- */

bool sk_engine_dht_claims(const struct skep_engine *engine, struct sk_bytes datagram)
{
    return engine->dht && sk_dht_claims(datagram);
}

void sk_engine_dht_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram)
{
    sk_engine_dht_review(engine);
    if (!engine->dht->up)
        return;
    sk_dht_input(engine->dht->node, from, datagram, engine->now_ns);
    sk_engine_dht_pump(engine);
}

uint64_t sk_engine_dht_deadline(const struct skep_engine *engine)
{
    return engine->dht && engine->dht->up ? sk_dht_deadline(engine->dht->node) : SK_TIME_NEVER;
}

void sk_engine_dht_tick(struct skep_engine *engine)
{
    struct sk_engine_dht *dht = engine->dht;
    if (!dht)
        return;
    sk_engine_dht_review(engine);
    if (!dht->up)
        return;
    flush_adds(engine);
    if (sk_dht_deadline(dht->node) <= engine->now_ns)
        sk_dht_tick(dht->node, engine->now_ns);
    sk_engine_dht_pump(engine);
}

bool sk_engine_dht_output(struct skep_engine *engine, struct sk_out *ret_out)
{
    struct sk_dht_out out;
    if (!engine->dht || !engine->dht->up ||
        !sk_dht_next_output(engine->dht->node, engine->now_ns, &out))
        return false;
    *ret_out = (struct sk_out){.kind = SK_OUT_UDP, .endpoint = out.to, .bytes = out.bytes};
    return true;
}
