/* Searches for many things. */
#include "proto/dht/batch.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"

#define RESUME_NS 1000000000u

int sk_dht_batch_init(struct sk_dht_batch *batch, uint32_t capacity, unsigned parallel)
{
    uint32_t *queue = sk_mem_calloc(capacity ? capacity : 1, sizeof *queue);
    if (!queue)
        return SKEP_ERR_NOMEM;
    if (parallel > SK_DHT_BATCH_PARALLEL_MAX)
        parallel = SK_DHT_BATCH_PARALLEL_MAX;
    *batch = (struct sk_dht_batch){
        .queue = queue, .capacity = capacity ? capacity : 1, .parallel = parallel ? parallel : 1};
    return 0;
}

void sk_dht_batch_deinit(struct sk_dht_batch *batch, struct sk_dht *dht)
{
    sk_dht_batch_stop(batch, dht);
    sk_mem_free(batch->queue);
    *batch = (struct sk_dht_batch){0};
}

void sk_dht_batch_stop(struct sk_dht_batch *batch, struct sk_dht *dht)
{
    for (unsigned i = 0; dht && i < batch->busy; i++)
        sk_dht_cancel(dht, batch->slots[i].op);
    batch->busy = 0;
    batch->waiting = 0;
    batch->resume_ns = 0;
}

void sk_dht_batch_add(struct sk_dht_batch *batch, uint32_t job)
{
    SK_ASSERT(batch->waiting < batch->capacity);
    batch->queue[(batch->first + batch->waiting++) % batch->capacity] = job;
}

bool sk_dht_batch_find(const struct sk_dht_batch *batch, uint64_t op, uint32_t *ret_job)
{
    for (unsigned i = 0; i < batch->busy; i++)
        if (batch->slots[i].op == op) {
            *ret_job = batch->slots[i].job;
            return true;
        }
    return false;
}

void sk_dht_batch_done(struct sk_dht_batch *batch, uint64_t op)
{
    for (unsigned i = 0; i < batch->busy; i++)
        if (batch->slots[i].op == op) {
            batch->slots[i] = batch->slots[--batch->busy];
            return;
        }
}

int sk_dht_batch_run(struct sk_dht_batch *batch, struct sk_dht *dht, sk_dht_batch_fn search,
                     void *ctx, uint64_t now_ns)
{
    if (now_ns < batch->resume_ns)
        return 0;
    batch->resume_ns = 0;
    while (batch->waiting > 0 && batch->busy < batch->parallel) {
        uint32_t job = batch->queue[batch->first];
        struct sk_dht_search what;
        uint64_t op;
        search(ctx, job, &what);
        int err = sk_dht_start_search(dht, &what, now_ns, &op);
        if (err == SKEP_ERR_LIMIT) {
            batch->resume_ns = now_ns + RESUME_NS;
            return 0;
        }
        if (err)
            return err;
        batch->first = (batch->first + 1) % batch->capacity;
        batch->waiting--;
        batch->slots[batch->busy].op = op;
        batch->slots[batch->busy++].job = job;
    }
    return 0;
}

uint64_t sk_dht_batch_deadline(const struct sk_dht_batch *batch)
{
    return batch->resume_ns && batch->waiting > 0 ? batch->resume_ns : SK_TIME_NEVER;
}
