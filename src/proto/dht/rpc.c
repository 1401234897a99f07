#include "proto/dht/rpc.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#define CHUNK 8
/* A transaction id is a call's place and, above it, random bits. */
#define PLACE_BITS 12
#define PLACE_MASK ((1u << PLACE_BITS) - 1)
#define SOFT_MIN_NS (SK_DHT_SECOND_NS / 20)
#define SOFT_MAX_NS SK_DHT_SECOND_NS

_Static_assert(SK_DHT_TRANSACTIONS_MAX <= 1u << PLACE_BITS, "every call has a place");

static struct sk_dht_call *call_at(const struct sk_dht_rpc *rpc, uint32_t place)
{
    return &rpc->chunks[place / CHUNK][place % CHUNK];
}

void sk_dht_rpc_init(struct sk_dht_rpc *rpc, struct sk_prng *prng)
{
    *rpc = (struct sk_dht_rpc){0};
    sk_prng_bytes(prng, rpc->secret, sizeof rpc->secret);
}

void sk_dht_rpc_deinit(struct sk_dht_rpc *rpc)
{
    sk_heap_deinit(&rpc->timers);
    for (uint32_t i = 0; i < rpc->chunks_count; i++)
        sk_mem_free(rpc->chunks[i]);
    sk_mem_free(rpc->chunks);
    *rpc = (struct sk_dht_rpc){0};
}

static int grow(struct sk_dht_rpc *rpc)
{
    struct sk_dht_call **chunks =
        sk_mem_realloc(rpc->chunks, rpc->chunks_count + 1, sizeof *rpc->chunks);
    if (!chunks)
        return SKEP_ERR_NOMEM;
    rpc->chunks = chunks;
    chunks[rpc->chunks_count] = sk_mem_calloc(CHUNK, sizeof **chunks);
    if (!chunks[rpc->chunks_count])
        return SKEP_ERR_NOMEM;
    rpc->chunks_count++;
    return 0;
}

/* A place that is free, from a random one on; there is one. */
static uint32_t free_place(const struct sk_dht_rpc *rpc, uint32_t from)
{
    uint32_t places = rpc->chunks_count * CHUNK;
    uint32_t place = from % places;
    while (call_at(rpc, place)->used)
        place = (place + 1) % places;
    return place;
}

int sk_dht_rpc_start(struct sk_dht_rpc *rpc, const struct sk_dht_call *call, uint64_t soft_ns,
                     uint64_t now_ns, uint8_t ret_t[SK_DHT_TRANSACTION_SIZE])
{
    if (rpc->count >= SK_DHT_TRANSACTIONS_MAX)
        return SKEP_ERR_LIMIT;
    /* A quarter stays free, so that a free place is never far. */
    if (rpc->count >= rpc->chunks_count * CHUNK / 4 * 3 &&
        rpc->chunks_count < SK_DHT_TRANSACTIONS_MAX / CHUNK) {
        int err = grow(rpc);
        if (err)
            return err;
    }
    uint8_t number[8];
    sk_put_u64(number, rpc->made++);
    uint64_t random = sk_siphash(rpc->secret, number, sizeof number);
    uint32_t place = free_place(rpc, (uint32_t)(random >> 32));
    struct sk_dht_call *made = call_at(rpc, place);
    int err = sk_heap_set(&rpc->timers, &made->timer, now_ns + soft_ns);
    if (err)
        return err;
    struct sk_timer timer = made->timer;
    *made = *call;
    made->timer = timer;
    made->transaction = ((uint32_t)random & ~PLACE_MASK) | place;
    made->sent_ns = now_ns;
    made->slow = false;
    made->used = true;
    rpc->count++;
    rpc->purposes[made->purpose]++;
    sk_put_u32(ret_t, made->transaction);
    return 0;
}

struct sk_dht_call *sk_dht_rpc_match(const struct sk_dht_rpc *rpc, struct sk_bytes transaction,
                                     const struct sk_endpoint *from)
{
    if (transaction.n != SK_DHT_TRANSACTION_SIZE)
        return NULL;
    uint32_t id = sk_get_u32(transaction.p);
    if ((id & PLACE_MASK) >= rpc->chunks_count * CHUNK)
        return NULL;
    struct sk_dht_call *call = call_at(rpc, id & PLACE_MASK);
    bool matches =
        call->used && call->transaction == id && sk_endpoint_equal(&call->contact.endpoint, from);
    return matches ? call : NULL;
}

void sk_dht_rpc_end(struct sk_dht_rpc *rpc, struct sk_dht_call *call)
{
    SK_ASSERT(call->used);
    sk_heap_remove(&rpc->timers, &call->timer);
    call->used = false;
    rpc->count--;
    rpc->purposes[call->purpose]--;
}

struct sk_dht_call *sk_dht_rpc_due(struct sk_dht_rpc *rpc, uint64_t now_ns, bool *ret_over)
{
    struct sk_timer *first = sk_heap_first(&rpc->timers);
    if (!first || first->at_ns > now_ns)
        return NULL;
    struct sk_dht_call *call = SK_CONTAINER_OF(first, struct sk_dht_call, timer);
    uint64_t over_ns = call->sent_ns + SK_DHT_HARD_NS;
    *ret_over = call->slow || over_ns <= now_ns;
    call->slow = true;
    if (!*ret_over)
        sk_heap_set(&rpc->timers, &call->timer, over_ns); /* it is in the heap: cannot fail */
    return call;
}

void sk_dht_rpc_measured(struct sk_dht_rpc *rpc, uint64_t rtt_ns)
{
    rtt_ns = SK_MAX(rtt_ns, 1);
    if (!rpc->rtt_ns) {
        rpc->rtt_ns = rtt_ns;
        rpc->deviation_ns = rtt_ns / 2;
        return;
    }
    uint64_t off = rtt_ns > rpc->rtt_ns ? rtt_ns - rpc->rtt_ns : rpc->rtt_ns - rtt_ns;
    rpc->deviation_ns = (rpc->deviation_ns * 3 + off) / 4;
    rpc->rtt_ns = (rpc->rtt_ns * 7 + rtt_ns) / 8;
}

uint64_t sk_dht_rpc_soft_ns(const struct sk_dht_rpc *rpc)
{
    if (!rpc->rtt_ns)
        return SOFT_MAX_NS;
    uint64_t soft_ns = rpc->rtt_ns + SK_MAX(4 * rpc->deviation_ns, rpc->rtt_ns / 4);
    return SK_MIN(SK_MAX(soft_ns, SOFT_MIN_NS), SOFT_MAX_NS);
}

uint64_t sk_dht_rpc_deadline(const struct sk_dht_rpc *rpc)
{
    const struct sk_timer *first = sk_heap_first(&rpc->timers);
    return first ? first->at_ns : SK_TIME_NEVER;
}

size_t sk_dht_rpc_bytes(const struct sk_dht_rpc *rpc)
{
    return rpc->chunks_count * (CHUNK * sizeof(struct sk_dht_call) + sizeof *rpc->chunks) +
           rpc->timers.capacity * sizeof *rpc->timers.items;
}

const char *sk_dht_rpc_fault(const struct sk_dht_rpc *rpc)
{
    uint32_t used = 0, purposes[3] = {0};
    for (uint32_t place = 0; place < rpc->chunks_count * CHUNK; place++) {
        const struct sk_dht_call *call = call_at(rpc, place);
        if (call->used != (call->timer.slot != 0))
            return "a call has no time-out, or a time-out no call";
        if (!call->used)
            continue;
        used++;
        purposes[call->purpose]++;
        if ((call->transaction & PLACE_MASK) != place)
            return "a transaction id does not name its call";
        if (call->timer.at_ns > call->sent_ns + SK_DHT_HARD_NS)
            return "a call waits for too long";
    }
    if (used != rpc->count || used != rpc->timers.count || used > SK_DHT_TRANSACTIONS_MAX)
        return "the count of calls is wrong";
    for (int i = 0; i < 3; i++)
        if (purposes[i] != rpc->purposes[i])
            return "the count of calls of a purpose is wrong";
    return NULL;
}
