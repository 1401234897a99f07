#include "engine/internal.h"

#include "base/assert.h"
#include "base/crypt.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#ifndef SKEP_VERSION
#define SKEP_VERSION "0"
#endif

/* Azureus-style (BEP 20): "-SK" and four digits of the version. */
static void make_peer_id(struct skep_engine *engine)
{
    unsigned major = 0, minor = 0, patch = 0;
    sscanf(SKEP_VERSION, "%u.%u.%u", &major, &minor, &patch);
    char head[16];
    snprintf(head, sizeof head, "-SK%u%u%u0-", major % 10, minor % 10, patch % 10);
    memcpy(engine->peer_id, head, 8);
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int i = 8; i < 20; i++)
        engine->peer_id[i] = (uint8_t)alphabet[sk_prng_below(&engine->prng, sizeof alphabet - 1)];
}

const uint8_t *sk_engine_peer_id(const struct skep_engine *engine)
{
    return engine->peer_id;
}

int sk_engine_new(const struct skep_config *config, uint64_t now_ns, struct skep_engine **ret)
{
    if (config->encryption != SKEP_ENCRYPTION_OFF && !sk_rc4_available())
        return SKEP_ERR_CRYPTO;
    struct skep_engine *engine = sk_mem_calloc(1, sizeof *engine);
    if (!engine)
        return SKEP_ERR_NOMEM;
    engine->config = *config;
    if (!engine->config.connections_max)
        engine->config.connections_max = 2000;
    engine->config.connections_max =
        SK_MIN(engine->config.connections_max, SK_ENGINE_CONNECTIONS_MAX);
    if (!engine->config.connect_rate)
        engine->config.connect_rate = 200;
    engine->now_ns = now_ns;
    engine->dial_tokens_ns = now_ns;
    sk_bucket_init(&engine->read_bucket, (double)config->rate_limit_bytes_s, now_ns);
    sk_bucket_init(&engine->give_bucket, (double)config->give_limit_bytes_s, now_ns);
    engine->dial_tokens = engine->config.connect_rate;
    engine->next_id = 1;
    sk_prng_init(&engine->prng, config->seed);
    make_peer_id(engine);
    engine->key = (uint32_t)sk_prng_u64(&engine->prng);
    snprintf(engine->lsd_cookie, sizeof engine->lsd_cookie, "skep%016llx",
             (unsigned long long)sk_prng_u64(&engine->prng));
    sk_map_init(&engine->asks, sizeof(uint64_t), 100000, sk_prng_u64(&engine->prng));
    sk_map_init(&engine->jobs, sizeof(uint64_t), 100000, sk_prng_u64(&engine->prng));
    int err = sk_streams_init(engine);
    if (err) {
        sk_engine_free(engine);
        return err;
    }
    *ret = engine;
    return 0;
}

static void free_map(struct sk_map *map)
{
    size_t pos = 0;
    for (void *value; (value = sk_map_next(map, &pos));)
        sk_mem_free(value);
    sk_map_deinit(map);
}

static void free_jobs(struct sk_map *map)
{
    size_t pos = 0;
    for (struct sk_store_job *job; (job = sk_map_next(map, &pos));)
        sk_mem_free(job->copy);
    free_map(map);
}

void sk_engine_free(struct skep_engine *engine)
{
    if (!engine)
        return;
    while (engine->peers)
        sk_engine_conn_gone(engine, &engine->peers->conn);
    for (uint32_t i = 0; i < engine->torrents_count; i++)
        sk_torrent_free(engine->torrents[i]);
    sk_web_free_all(engine);
    sk_engine_dht_free(engine);
    sk_utp_free(engine->utp);
    for (size_t i = 0; i < engine->out_count; i++) {
        struct sk_out *out = &engine->outs[(engine->out_head + i) % engine->out_capacity];
        sk_mem_free(out->owned);
    }
    sk_mem_free(engine->out_owned);
    sk_mem_free(engine->outs);
    sk_mem_free(engine->queue);
    free_map(&engine->asks);
    free_jobs(&engine->jobs);
    sk_heap_deinit(&engine->timers);
    sk_mem_free(engine);
}

/* ---- outputs ---- */

int sk_engine_push(struct skep_engine *engine, const struct sk_out *out)
{
    if (engine->out_count == engine->out_capacity) {
        size_t capacity = engine->out_capacity ? engine->out_capacity * 2 : 64;
        struct sk_out *outs = sk_mem_alloc(capacity * sizeof *outs);
        if (!outs) {
            sk_mem_free(out->owned);
            return SKEP_ERR_NOMEM;
        }
        for (size_t i = 0; i < engine->out_count; i++)
            outs[i] = engine->outs[(engine->out_head + i) % engine->out_capacity];
        sk_mem_free(engine->outs);
        engine->outs = outs;
        engine->out_head = 0;
        engine->out_capacity = capacity;
    }
    engine->outs[(engine->out_head + engine->out_count++) % engine->out_capacity] = *out;
    return 0;
}

/* A connection whose closing could not wait in the ring. */
static bool find_lost_close(struct skep_engine *engine, struct sk_out *ret_out)
{
    struct skep_peer *peer = engine->closes_lost ? engine->peers : NULL;
    while (peer && !peer->close_lost)
        peer = peer->next;
    if (!peer)
        return false;
    peer->close_lost = false;
    engine->closes_lost--;
    struct sk_out out = {.kind = SK_OUT_CLOSE, .conn = &peer->conn};
    if (peer->is_stream) {
        sk_streams_do(engine, &out);
        return find_lost_close(engine, ret_out);
    }
    *ret_out = out;
    return true;
}

int sk_engine_next_output(struct skep_engine *engine, struct sk_out *ret_out)
{
    sk_mem_free(engine->out_owned);
    engine->out_owned = NULL;
    while (engine->out_count) {
        struct sk_out out = engine->outs[engine->out_head];
        engine->out_head = (engine->out_head + 1) % engine->out_capacity;
        engine->out_count--;
        struct skep_peer *peer = (struct skep_peer *)out.conn;
        if (out.kind == SK_OUT_SEND) {
            peer->send_queued = false;
            if (peer->stage != SK_STAGE_TALKING)
                continue;
        }
        if (peer && peer->is_stream) {
            sk_streams_do(engine, &out);
            continue;
        }
        engine->out_owned = out.owned;
        *ret_out = out;
        return 1;
    }
    return find_lost_close(engine, ret_out) || sk_engine_dht_output(engine, ret_out);
}

int sk_engine_ask(struct skep_engine *engine, const struct sk_ask *ask, uint64_t *ret_id)
{
    struct sk_ask *copy = sk_mem_dup(ask, sizeof *ask);
    if (!copy)
        return SKEP_ERR_NOMEM;
    uint64_t id = engine->next_id++;
    int err = sk_map_put(&engine->asks, &id, copy);
    if (err) {
        sk_mem_free(copy);
        return err;
    }
    *ret_id = id;
    return 0;
}

bool sk_engine_answer(struct skep_engine *engine, uint64_t id, struct sk_ask *ret_ask)
{
    struct sk_ask *ask = sk_map_remove(&engine->asks, &id);
    if (!ask)
        return false;
    *ret_ask = *ask;
    sk_mem_free(ask);
    return true;
}

int sk_engine_ask_name(struct skep_engine *engine, const struct sk_ask *ask, const char *name)
{
    struct sk_out out = {.kind = SK_OUT_RESOLVE, .owned = sk_mem_strdup(name)};
    if (!out.owned || sk_engine_ask(engine, ask, &out.id)) {
        sk_mem_free(out.owned);
        return SKEP_ERR_NOMEM;
    }
    out.text = out.owned;
    struct sk_ask lost;
    int err = sk_engine_push(engine, &out);
    if (err)
        (void)sk_engine_answer(engine, out.id, &lost);
    return err;
}

bool sk_engine_split_name(const char *address, char *ret_name, size_t size, uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    unsigned port;
    int used = 0;
    if (!colon || colon == address || (size_t)(colon - address) >= size ||
        sscanf(colon + 1, "%5u%n", &port, &used) != 1 || colon[1 + used] || !port || port > 65535)
        return false;
    memcpy(ret_name, address, (size_t)(colon - address));
    ret_name[colon - address] = 0;
    *ret_port = (uint16_t)port;
    return strchr(ret_name, ':') == NULL;
}

/* ---- events and hooks ---- */

static int add_hook(struct skep_engine *engine, enum skep_event_kind kind, uint16_t message,
                    skep_hook_fn fn, void *ctx)
{
    if (engine->hooks_count == SK_ENGINE_HOOKS_MAX)
        return SKEP_ERR_LIMIT;
    engine->hooks[engine->hooks_count++] =
        (struct sk_hook){.fn = fn, .ctx = ctx, .message = message, .kind = (uint8_t)kind};
    engine->hooked |= UINT64_C(1) << kind;
    return 0;
}

int skep_engine_hook(struct skep_engine *engine, enum skep_event_kind kind, skep_hook_fn fn,
                     void *ctx)
{
    return add_hook(engine, kind, SKEP_MESSAGE_KIND_COUNT, fn, ctx);
}

int skep_engine_hook_message(struct skep_engine *engine, enum skep_message_kind kind,
                             skep_hook_fn fn, void *ctx)
{
    return add_hook(engine, SKEP_EVENT_MESSAGE, (uint16_t)kind, fn, ctx);
}

int skep_engine_reserve_slot(struct skep_engine *engine, void (*free_fn)(void *))
{
    if (engine->slots_count == SK_ENGINE_SLOTS_MAX)
        return SKEP_ERR_LIMIT;
    engine->slot_free[engine->slots_count] = free_fn;
    return engine->slots_count++;
}

int sk_engine_hook_all(struct skep_engine *engine, const struct sk_event_hook *events,
                       size_t events_count, const struct sk_message_hook *messages,
                       size_t messages_count, void (*free_slot)(void *), void *ctx, int *ret_slot)
{
    int err = 0;
    for (size_t i = 0; i < events_count && !err; i++)
        err = skep_engine_hook(engine, events[i].kind, events[i].fn, ctx);
    for (size_t i = 0; i < messages_count && !err; i++)
        err = skep_engine_hook_message(engine, messages[i].kind, messages[i].fn, ctx);
    int slot = err ? err : skep_engine_reserve_slot(engine, free_slot);
    if (slot < 0)
        return slot;
    *ret_slot = slot;
    return 0;
}

bool sk_engine_hooked(const struct skep_engine *engine, enum skep_event_kind kind)
{
    return engine->hooked >> kind & 1;
}

static void serve(struct skep_engine *engine, const struct skep_event *event)
{
    engine->serving = true;
    for (uint32_t i = 0; i < engine->hooks_count; i++) {
        const struct sk_hook *hook = &engine->hooks[i];
        if (hook->kind == event->kind && (hook->message == SKEP_MESSAGE_KIND_COUNT ||
                                          hook->message == (uint16_t)event->message.kind))
            hook->fn(event, hook->ctx);
    }
    engine->serving = false;
}

static void enqueue(struct skep_engine *engine, const struct skep_event *event)
{
    if (engine->queue_count == engine->queue_capacity) {
        size_t capacity = engine->queue_capacity ? engine->queue_capacity * 2 : 32;
        struct sk_queued_event *queue =
            sk_mem_realloc(engine->queue, capacity, sizeof *engine->queue);
        if (!queue)
            return; /* the hooks miss an event; the engine's own state is whole */
        engine->queue = queue;
        engine->queue_capacity = capacity;
    }
    struct sk_queued_event *queued = &engine->queue[engine->queue_count++];
    queued->event = *event;
    queued->event.message.data = NULL; /* what is queued comes from our own acts: no payload */
    queued->event.message.size = 0;
    if (event->text)
        snprintf(queued->text, sizeof queued->text, "%s", event->text);
}

void sk_engine_emit(struct skep_engine *engine, const struct skep_event *event)
{
    if (!sk_engine_hooked(engine, event->kind))
        return;
    struct skep_event stamped = *event;
    stamped.now_ns = engine->now_ns;
    if (engine->serving) {
        enqueue(engine, &stamped);
        return;
    }
    serve(engine, &stamped);
    sk_engine_serve_queue(engine);
}

void sk_engine_serve_queue(struct skep_engine *engine)
{
    while (engine->queue_head < engine->queue_count) {
        struct sk_queued_event queued = engine->queue[engine->queue_head++];
        if (queued.event.text)
            queued.event.text = queued.text;
        serve(engine, &queued.event);
    }
    engine->queue_head = engine->queue_count = 0;
}

/* ---- time ---- */

void sk_engine_set_timer(struct skep_engine *engine, struct sk_engine_timer *timer,
                         enum sk_timer_kind kind, uint64_t at_ns)
{
    timer->kind = kind;
    /* Without memory the timer is lost; the next touch of the object sets it again. */
    (void)sk_heap_set(&engine->timers, &timer->base, at_ns);
}

uint64_t sk_engine_deadline(const struct skep_engine *engine)
{
    const struct sk_timer *timer = sk_heap_first(&engine->timers);
    uint64_t at_ns = timer ? timer->at_ns : SK_TIME_NEVER;
    at_ns = SK_MIN(at_ns, sk_streams_deadline(engine));
    return SK_MIN(at_ns, sk_engine_dht_deadline(engine));
}

static void fire(struct skep_engine *engine, struct sk_engine_timer *timer)
{
    switch (timer->kind) {
    case SK_TIMER_PEER:
        sk_conn_on_timer(SK_CONTAINER_OF(timer, struct skep_peer, timer));
        break;
    case SK_TIMER_TRACKER:
        sk_discovery_tracker_timer(SK_CONTAINER_OF(timer, struct sk_engine_tracker, timer));
        break;
    case SK_TIMER_DIAL:
        break; /* the pump below does the work */
    case SK_TIMER_LSD:
        sk_discovery_lsd_timer(SK_CONTAINER_OF(timer, struct skep_torrent, lsd_timer));
        break;
    case SK_TIMER_METADATA:
        sk_metadata_on_timer(SK_CONTAINER_OF(timer, struct skep_torrent, metadata.timer));
        break;
    case SK_TIMER_LAYERS:
        sk_layers_on_timer(SK_CONTAINER_OF(timer, struct skep_torrent, layers.timer));
        break;
    case SK_TIMER_READ:
        sk_conn_pause_all_over(engine);
        break;
    case SK_TIMER_GIVE:
        sk_give_timer(engine);
        break;
    case SK_TIMER_CHOKER:
        sk_choking_timer(SK_CONTAINER_OF(timer, struct skep_torrent, choker_timer));
        break;
    case SK_TIMER_PEX:
        sk_pex_give_timer(SK_CONTAINER_OF(timer, struct skep_torrent, pex.timer));
        break;
    case SK_TIMER_HAVE:
        sk_have_give_timer(SK_CONTAINER_OF(timer, struct skep_torrent, have.timer));
        break;
    case SK_TIMER_DHT:
        break; /* it ticks with the engine */
    case SK_TIMER_DHT_HOSTS:
        sk_engine_dht_hosts_timer(engine);
        break;
    case SK_TIMER_DHT_TORRENT:
        sk_dht_torrent_timer(SK_CONTAINER_OF(timer, struct skep_torrent, dht.timer));
        break;
    }
}

void sk_engine_tick(struct skep_engine *engine, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    /* Bounded: what a timer sets anew for now is served at the next tick. */
    for (size_t budget = engine->timers.count; budget; budget--) {
        struct sk_timer *timer = sk_heap_first(&engine->timers);
        if (!timer || timer->at_ns > now_ns)
            break;
        sk_heap_remove(&engine->timers, timer);
        fire(engine, (struct sk_engine_timer *)timer);
    }
    sk_engine_dht_tick(engine);
    sk_streams_tick(engine);
    sk_dial_pump(engine);
}
