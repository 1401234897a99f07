/* A network of DHT nodes on which bytes are stored and fetched: dht_task.h with blobs. */
#ifndef DHT_BLOB_WORLD_H
#define DHT_BLOB_WORLD_H

#include "dht_task.h"
#include "proto/dht/blob.h"
#include "wire/dht_blob.h"

#include <stdlib.h>

/* The bytes of the test vectors: SHA-256 of 0, 1, 2, ... as four bytes each, one after the other.
 */
static inline struct sk_bytes stream(size_t n)
{
    static uint8_t bytes[SK_DHT_BLOB_MAX + SK_SHA256_SIZE];
    for (size_t i = 0; i * SK_SHA256_SIZE < n; i++) {
        uint8_t counter[4];
        sk_put_u32(counter, (uint32_t)i);
        sk_sha256(counter, sizeof counter, bytes + i * SK_SHA256_SIZE);
    }
    return sk_bytes(bytes, n);
}

static uint8_t seed[SK_SIGN_SEED_SIZE], key[SK_SIGN_PUBLIC_SIZE];

struct fixture {
    struct world world;
    struct runners runners;
};

static inline struct fixture *set_up(size_t nodes, uint64_t prng)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    world_init(&f->world, prng);
    f->world.context = &f->runners;
    f->world.event = runners_event;
    f->world.unchecked = true;
    world_grow(&f->world, nodes,
               &(struct sk_dht_config){.ids_by_address = true, .unguarded = true});
    sk_dht_blob_seed(sk_bytes_text("hello"), seed);
    assert_int_equal(sk_sign_public(seed, key), 0);
    return f;
}

static inline void tear_down(struct fixture *f)
{
    runners_free(&f->world);
    world_deinit(&f->world);
    free(f);
}

static inline struct runner *put(struct fixture *f, size_t node,
                                 const struct sk_dht_blob_config *config)
{
    struct sk_dht_task *task;
    assert_int_equal(sk_dht_blob_put_new(config, f->world.now_ns, &task), 0);
    return runners_add(&f->runners, task, node);
}

static inline struct runner *get(struct fixture *f, size_t node,
                                 const struct sk_dht_blob_config *config)
{
    struct sk_dht_task *task;
    assert_int_equal(sk_dht_blob_get_new(config, f->world.now_ns, &task), 0);
    return runners_add(&f->runners, task, node);
}

static inline struct sk_dht_blob_result result_of(const struct runner *runner)
{
    struct sk_dht_blob_result result;
    sk_dht_blob_result(runner->task, &result);
    return result;
}

/* Runs to its end what there is, checks the first one's end, and frees all. */
static inline void finish(struct fixture *f, int error)
{
    runners_finish(&f->world, 3600);
    assert_true(f->runners.all[0].done);
    if (f->runners.all[0].error != error)
        fail_msg("%d %s", f->runners.all[0].error, f->runners.all[0].reason);
    runners_free(&f->world);
}

static inline void assert_gets(struct fixture *f, size_t node,
                               const struct sk_dht_blob_config *config, struct sk_bytes bytes,
                               int64_t seq)
{
    struct runner *runner = get(f, node, config);
    runners_finish(&f->world, 3600);
    assert_true(runner->done);
    if (runner->error)
        fail_msg("get: %d %s", runner->error, runner->reason);
    struct sk_dht_blob_result result = result_of(runner);
    assert_true(sk_bytes_equal(result.bytes, bytes));
    assert_int_equal(result.seq, seq);
    assert_int_equal(result.items, result.items_done);
    assert_int_equal(result.bytes_done, bytes.n);
    assert_int_equal(result.bytes_total, bytes.n);
    runners_free(&f->world);
}

/* What `seed` stores. */
static const struct sk_dht_blob_config by_key = {.key = key};

#endif
