/*
 * Searches for many things, a bounded number under way: what blobs (blob.c, port_blob.c) are made
 * of. Layer: proto/dht.
 *
 * Jobs are numbers that the owner gives meaning to. They wait in a queue, first come first served;
 * one that is tried again goes to the end of it.
 */
#ifndef SK_PROTO_DHT_BATCH_H
#define SK_PROTO_DHT_BATCH_H

#include "proto/dht/dht.h"

#define SK_DHT_BATCH_PARALLEL_MAX 64

struct sk_dht_batch {
    uint32_t *queue; /* owned: a ring */
    uint32_t first, waiting, capacity;
    unsigned parallel, busy;
    struct {
        uint64_t op;
        uint32_t job;
    } slots[SK_DHT_BATCH_PARALLEL_MAX];
    uint64_t resume_ns; /* the node had no room: not before; 0 */
};

/* At most `capacity` jobs wait at a time; parallel is cut to 1..SK_DHT_BATCH_PARALLEL_MAX.
 * SKEP_ERR_NOMEM. */
int sk_dht_batch_init(struct sk_dht_batch *batch, uint32_t capacity, unsigned parallel);
/* Cancels what is under way (dht NULL: it is gone already). Takes a zeroed batch. */
void sk_dht_batch_deinit(struct sk_dht_batch *batch, struct sk_dht *dht);
void sk_dht_batch_add(struct sk_dht_batch *batch, uint32_t job);
/* Whether a search of the batch has this number, and its job. */
bool sk_dht_batch_find(const struct sk_dht_batch *batch, uint64_t op, uint32_t *ret_job);
/* That search is over. */
void sk_dht_batch_done(struct sk_dht_batch *batch, uint64_t op);
/* Forgets what waits and cancels what is under way. */
void sk_dht_batch_stop(struct sk_dht_batch *batch, struct sk_dht *dht);

/* What to search for a job. */
typedef void (*sk_dht_batch_fn)(void *ctx, uint32_t job, struct sk_dht_search *ret_search);
/* Starts as many as may be. SKEP_ERR_NOMEM, SKEP_ERR_INVALID. */
int sk_dht_batch_run(struct sk_dht_batch *batch, struct sk_dht *dht, sk_dht_batch_fn search,
                     void *ctx, uint64_t now_ns);
/* When run() is worth calling again without an event; SK_TIME_NEVER. */
uint64_t sk_dht_batch_deadline(const struct sk_dht_batch *batch);

static inline bool sk_dht_batch_idle(const struct sk_dht_batch *batch)
{
    return batch->waiting == 0 && batch->busy == 0;
}

#endif
