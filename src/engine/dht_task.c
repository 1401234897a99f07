/* Tasks of <skep/dht.h>: bytes stored and fetched, the network walked and measured. */
#include "engine/dht_internal.h"

#include "base/sign.h"
#include "proto/dht/blob.h"
#include "proto/dht/crawl.h"
#include "proto/dht/port_blob.h"
#include "proto/dht/size.h"
#include "wire/dht_blob.h"

#include <math.h>
#include <string.h>

#define PROGRESS_NS (SK_SECOND_NS / 10) /* progress is told at most so often */

/* ---- starting ---- */

/* Takes over a task that was made; `err` and `task`: what making it returned. */
static int adopt(struct skep_engine *engine, enum sk_dht_run_kind kind, unsigned families, int err,
                 struct sk_dht_task *task, skep_dht_fn fn, void *ctx, uint64_t *ret_id)
{
    struct sk_dht_run *run;
    if (err)
        return err;
    err = sk_dht_run_new(engine, kind, &run);
    if (err) {
        sk_dht_task_free(task, engine->dht->node);
        return err;
    }
    run->task = task;
    run->families = families;
    run->fn = fn;
    run->ctx = ctx;
    *ret_id = run->id;
    return 0;
}

static int start_port_blob(struct skep_engine *engine, const struct skep_dht_blob *blob, bool put,
                           skep_dht_fn fn, void *ctx, uint64_t *ret_id)
{
    if (blob->name != SKEP_DHT_NAME_TEXT || !blob->text || !(blob->rate >= 0))
        return SKEP_ERR_INVALID;
    struct sk_dht_port_blob_config config = {
        .text = blob->text,
        .bytes = sk_bytes(blob->bytes, blob->size),
        .rate = blob->rate,
        .keep = put && blob->keep,
    };
    struct sk_dht_task *task = NULL;
    int err = put ? sk_dht_port_blob_put_new(&config, engine->now_ns, &task)
                  : sk_dht_port_blob_get_new(&config, engine->now_ns, &task);
    return adopt(engine, SK_DHT_RUN_PORT_BLOB, engine->dht->families, err, task, fn, ctx, ret_id);
}

/* Where it lies: exactly one of seed, key and hash, or for an immutable put none. */
static int name_blob(const struct skep_dht_blob *blob, bool put, uint8_t seed[SK_SIGN_SEED_SIZE],
                     uint8_t key[SK_SIGN_PUBLIC_SIZE], struct sk_dht_blob_config *config)
{
    switch (blob->name) {
    case SKEP_DHT_NAME_TEXT:
        if (!blob->text)
            return SKEP_ERR_INVALID;
        skep_dht_text_key(blob->text, seed);
        config->seed = put ? seed : NULL;
        config->key = put ? NULL : key;
        return put ? 0 : sk_sign_public(seed, key);
    case SKEP_DHT_NAME_SECRET:
        config->seed = blob->seed;
        config->salt = sk_bytes(blob->salt, blob->salt_size);
        return put && blob->seed ? 0 : SKEP_ERR_INVALID;
    case SKEP_DHT_NAME_PUBLIC:
        config->key = blob->key;
        config->salt = sk_bytes(blob->salt, blob->salt_size);
        return !put && blob->key ? 0 : SKEP_ERR_INVALID;
    case SKEP_DHT_NAME_IMMUTABLE:
        config->hash = put ? NULL : blob->hash;
        return put || blob->hash ? 0 : SKEP_ERR_INVALID;
    }
    return SKEP_ERR_INVALID;
}

static int start_blob(struct skep_engine *engine, const struct skep_dht_blob *blob, bool put,
                      skep_dht_fn fn, void *ctx, uint64_t *ret_id)
{
    uint8_t seed[SK_SIGN_SEED_SIZE], key[SK_SIGN_PUBLIC_SIZE];
    if (!engine->dht)
        return SKEP_ERR_STATE;
    if (blob->via == SKEP_DHT_VIA_ANNOUNCE)
        return start_port_blob(engine, blob, put, fn, ctx, ret_id);
    struct sk_dht_blob_config config = {
        .bytes = sk_bytes(blob->bytes, blob->size),
        .raw = blob->raw,
        .has_seq = blob->has_seq,
        .has_cas = blob->has_cas,
        .seq = blob->seq,
        .cas = blob->cas,
        .keep = put && blob->keep,
    };
    int err = name_blob(blob, put, seed, key, &config);
    if (!err && config.salt.n > SK_KRPC_SALT_MAX)
        err = SKEP_ERR_INVALID;
    if (err)
        return err;
    struct sk_dht_task *task = NULL;
    err = put ? sk_dht_blob_put_new(&config, engine->now_ns, &task)
              : sk_dht_blob_get_new(&config, engine->now_ns, &task);
    return adopt(engine, SK_DHT_RUN_BLOB, engine->dht->families, err, task, fn, ctx, ret_id);
}

int skep_dht_start_put(struct skep_engine *engine, const struct skep_dht_blob *blob, skep_dht_fn fn,
                       void *ctx, uint64_t *ret_id)
{
    return start_blob(engine, blob, true, fn, ctx, ret_id);
}

int skep_dht_start_get(struct skep_engine *engine, const struct skep_dht_blob *blob, skep_dht_fn fn,
                       void *ctx, uint64_t *ret_id)
{
    return start_blob(engine, blob, false, fn, ctx, ret_id);
}

void skep_dht_text_key(const char *text, uint8_t ret_seed[32])
{
    sk_dht_blob_seed(sk_bytes_text(text), ret_seed);
}

int skep_dht_public_key(const uint8_t seed[32], uint8_t ret_key[32])
{
    return sk_sign_public(seed, ret_key);
}

/* The network of a walk: 0 where we are not in it. */
static enum sk_family network(const struct skep_engine *engine, unsigned family)
{
    unsigned want = family == 4 ? SK_KRPC_WANT_V4 : SK_KRPC_WANT_V6;
    return engine->dht->families & want ? (enum sk_family)family : SK_FAMILY_NONE;
}

int skep_dht_start_crawl(struct skep_engine *engine, const struct skep_dht_crawl *crawl,
                         skep_dht_fn fn, void *ctx, uint64_t *ret_id)
{
    if (!engine->dht)
        return SKEP_ERR_STATE;
    if ((crawl->family != 4 && crawl->family != 6) || !(crawl->rate >= 0) ||
        (crawl->prefix_bits && !crawl->prefix))
        return SKEP_ERR_INVALID;
    struct sk_dht_crawl_config config = {
        .family = network(engine, crawl->family),
        .rate = crawl->rate,
        .nodes_max = crawl->nodes_max,
        .prefix_bits = crawl->prefix_bits,
        .seed = sk_prng_u64(&engine->prng),
    };
    if (!config.family)
        return SKEP_ERR_STATE;
    if (crawl->prefix_bits)
        memcpy(config.prefix, crawl->prefix, SK_DHT_ID_SIZE);
    struct sk_dht_task *task = NULL;
    int err = sk_dht_crawl_new(&config, engine->now_ns, &task);
    unsigned families = crawl->family == 4 ? SK_KRPC_WANT_V4 : SK_KRPC_WANT_V6;
    return adopt(engine, SK_DHT_RUN_CRAWL, families, err, task, fn, ctx, ret_id);
}

int skep_dht_start_size(struct skep_engine *engine, const struct skep_dht_size *size,
                        skep_dht_fn fn, void *ctx, uint64_t *ret_id)
{
    if (!engine->dht)
        return SKEP_ERR_STATE;
    if ((size->family != 4 && size->family != 6) || !(size->rate >= 0) || !(size->precision >= 0))
        return SKEP_ERR_INVALID;
    struct sk_dht_size_config config = {
        .family = network(engine, size->family),
        .precision = size->precision,
        .rate = size->rate,
        .seed = sk_prng_u64(&engine->prng),
    };
    if (!config.family)
        return SKEP_ERR_STATE;
    struct sk_dht_task *task = NULL;
    int err = sk_dht_size_new(&config, engine->now_ns, &task);
    unsigned families = size->family == 4 ? SK_KRPC_WANT_V4 : SK_KRPC_WANT_V6;
    return adopt(engine, SK_DHT_RUN_SIZE, families, err, task, fn, ctx, ret_id);
}

/* ---- what they tell ---- */

/* What an event of a task points to. */
struct told {
    struct skep_dht_progress progress;
    struct skep_dht_found found;
    char address[SK_ENDPOINT_TEXT_MAX];
    union {
        struct skep_dht_blob_result blob;
        struct skep_dht_crawl_result crawl;
        struct skep_dht_size_result size;
    };
    uint8_t target[SK_DHT_ID_SIZE];
};

static void describe_blob(const struct sk_dht_run *run, struct told *told,
                          struct skep_dht_event *event)
{
    struct sk_dht_blob_result result;
    sk_dht_blob_result(run->task, &result);
    told->progress = (struct skep_dht_progress){
        .done = result.items_done,
        .total = result.items,
        .bytes_done = result.bytes_done,
        .bytes_total = result.bytes_total,
        .what = result.what,
    };
    memcpy(told->target, result.target, sizeof told->target);
    told->blob = (struct skep_dht_blob_result){
        .bytes = result.bytes.p,
        .size = result.bytes.n,
        .is_value = result.is_value,
        .target = told->target,
        .key = result.key,
        .seq = result.seq,
        .items = result.items,
        .items_done = result.items_done,
        .closest = result.closest,
        .holding = result.holding,
        .least_holding = result.least_holding,
    };
    event->blob = &told->blob;
}

static void describe_port_blob(const struct sk_dht_run *run, struct told *told,
                               struct skep_dht_event *event)
{
    struct sk_dht_port_blob_result result;
    sk_dht_port_blob_result(run->task, &result);
    told->progress = (struct skep_dht_progress){
        .done = result.announces ? result.announces_done : result.hashes_done,
        .total = result.announces ? result.announces : result.hashes,
        .what = result.what,
    };
    told->blob = (struct skep_dht_blob_result){
        .bytes = result.bytes.p,
        .size = result.bytes.n,
        .items = result.hashes,
        .items_done = result.hashes_done,
        .closest = result.nodes,
        .holding = result.holding,
        .least_holding = result.holding,
        .ports_one = result.nodes_one_port,
        .part = result.number,
        .ports = result.ports,
        .ports_back = result.ports_back,
    };
    event->blob = &told->blob;
}

static void describe_crawl(const struct sk_dht_run *run, struct told *told,
                           struct skep_dht_event *event)
{
    struct sk_dht_crawl_result result;
    sk_dht_crawl_result(run->task, &result);
    told->progress = (struct skep_dht_progress){.done = result.asked, .total = result.known};
    told->crawl = (struct skep_dht_crawl_result){
        .known = result.known,
        .alive = result.alive,
        .silent = result.silent,
        .ids_changed = result.ids_changed,
        .id_fits = result.id_fits,
        .queries = result.queries,
        .complete = result.complete,
    };
    event->crawl = &told->crawl;
}

static void describe_size(const struct sk_dht_run *run, struct told *told,
                          struct skep_dht_event *event)
{
    struct sk_dht_size_result result;
    sk_dht_size_result(run->task, &result);
    told->progress = (struct skep_dht_progress){.done = result.lookups};
    told->size = (struct skep_dht_size_result){
        .estimate = result.estimate,
        .low = result.low,
        .high = result.high,
        .lookups = result.lookups,
        .nodes_seen = result.nodes_seen,
        .queries = result.queries,
        .id_fits = result.id_fits,
        .unseen = result.unseen,
        .method = result.method,
    };
    event->size = &told->size;
}

static void (*const describers[])(const struct sk_dht_run *run, struct told *told,
                                  struct skep_dht_event *event) = {
    [SK_DHT_RUN_BLOB] = describe_blob,
    [SK_DHT_RUN_PORT_BLOB] = describe_port_blob,
    [SK_DHT_RUN_CRAWL] = describe_crawl,
    [SK_DHT_RUN_SIZE] = describe_size,
};

static void describe_found(const struct sk_dht_found *found, struct told *told,
                           struct skep_dht_event *event)
{
    told->found = (struct skep_dht_found){
        .address = sk_endpoint_text(&found->contact.endpoint, told->address),
        .state = (enum skep_dht_found_state)found->state,
        .id_fits = found->id_fits,
        .rtt_s = found->rtt_ns ? (double)found->rtt_ns / 1e9 : -1,
        .told_by = found->told_by,
    };
    memcpy(told->found.id, found->contact.id, sizeof told->found.id);
    memcpy(told->found.version, found->version, sizeof told->found.version);
    event->found = &told->found;
    event->address = told->found.address;
}

static void describe_progress(const struct sk_dht_run *run, struct told *told,
                              struct skep_dht_event *event)
{
    describers[run->kind](run, told, event);
    struct skep_dht_progress *progress = &told->progress;
    progress->estimate = progress->low = progress->high = NAN;
    if (run->kind == SK_DHT_RUN_SIZE) {
        progress->estimate = told->size.estimate;
        progress->low = told->size.low;
        progress->high = told->size.high;
    }
    event->progress = progress;
}

/* Many steps in a short time are told as one; that something else is being done is always told. */
static bool too_soon(struct skep_engine *engine, struct sk_dht_run *run, const char *what)
{
    if (run->progress_ns && engine->now_ns - run->progress_ns < PROGRESS_NS &&
        what == run->progress_what)
        return true;
    run->progress_ns = engine->now_ns;
    run->progress_what = what;
    return false;
}

bool sk_dht_run_shows(const struct sk_dht_run *run, const struct sk_dht_event *event)
{
    struct sk_dht_blob_result result;
    if (run->kind != SK_DHT_RUN_BLOB || !event->search || event->kind == SK_DHT_EVENT_DONE ||
        event->kind == SK_DHT_EVENT_ITEM)
        return false;
    sk_dht_blob_result(run->task, &result);
    return memcmp(event->target, result.target, SK_DHT_ID_SIZE) == 0;
}

void sk_dht_run_notes(struct skep_engine *engine, struct sk_dht_run *run)
{
    static const enum skep_dht_event_kind kinds[] = {
        [SK_DHT_NOTE_PROGRESS] = SKEP_DHT_PROGRESS,
        [SK_DHT_NOTE_FOUND] = SKEP_DHT_FOUND,
        [SK_DHT_NOTE_DONE] = SKEP_DHT_DONE,
    };
    struct sk_dht_note note;
    while (!run->dead && sk_dht_task_next_note(run->task, &note)) {
        struct told told = {0};
        struct skep_dht_event event = {
            .kind = kinds[note.kind],
            .id = run->id,
            .rtt_s = -1,
            .error = note.error,
            .reason = note.reason,
        };
        switch (note.kind) {
        case SK_DHT_NOTE_PROGRESS:
            describe_progress(run, &told, &event);
            if (too_soon(engine, run, told.progress.what))
                continue;
            break;
        case SK_DHT_NOTE_FOUND:
            describe_found(note.found, &told, &event);
            break;
        case SK_DHT_NOTE_DONE:
            describers[run->kind](run, &told, &event);
            sk_dht_run_end(engine, run);
            break;
        }
        sk_dht_run_tell(engine, run, &event);
    }
}
