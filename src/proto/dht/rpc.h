/*
 * Our queries on their way. Layer: proto/dht.
 *
 * A call is found again by its transaction id and the address that it went to; both must match, and
 * the ids of others do not lead to the next one, so that nobody else can answer. It has two
 * time-outs: after the soft one (from the round trips of late) the node counts as slow and others
 * are asked in its place, after the hard one as silent.
 *
 * Memory: nothing until the first call, then about 100 bytes for each that was ever under way at a
 * time, in chunks; at most SK_DHT_TRANSACTIONS_MAX.
 */
#ifndef SK_PROTO_DHT_RPC_H
#define SK_PROTO_DHT_RPC_H

#include "base/heap.h"
#include "base/prng.h"
#include "base/siphash.h"
#include "wire/krpc.h"

#define SK_DHT_TRANSACTION_SIZE 4
#define SK_DHT_SECOND_NS UINT64_C(1000000000)
#define SK_DHT_HARD_NS (3 * SK_DHT_SECOND_NS)

/* What an answer is for, beyond what every answer tells. */
enum sk_dht_purpose {
    SK_DHT_FOR_TABLE,     /* whether the node is there */
    SK_DHT_FOR_ADDRESS,   /* an address that may be a node */
    SK_DHT_FOR_OPERATION, /* op, slot */
};

struct sk_dht_call {
    struct sk_timer timer; /* soft_ns, then the hard time-out */
    uint64_t sent_ns;
    uint64_t op;
    struct sk_dht_contact contact; /* the id only with has_id */
    uint32_t transaction;
    uint16_t slot;
    uint8_t method, purpose;
    bool has_id, slow, used;
};

struct sk_dht_rpc {
    uint8_t secret[SK_SIPHASH_KEY_SIZE];
    uint64_t made; /* calls, ever */
    struct sk_dht_call **chunks;
    uint32_t chunks_count, count, purposes[3]; /* calls under way, of each purpose */
    struct sk_heap timers;
    uint64_t rtt_ns, deviation_ns; /* smoothed; 0 nobody answered yet */
};

/* The secret is drawn: from a generator whose other numbers no stranger sees. */
void sk_dht_rpc_init(struct sk_dht_rpc *rpc, struct sk_prng *prng);
void sk_dht_rpc_deinit(struct sk_dht_rpc *rpc);
/*
 * Makes a call from what `*call` says of contact, has_id, op, slot, method and purpose; the time it
 * is sent is now. SKEP_ERR_LIMIT, SKEP_ERR_NOMEM.
 */
int sk_dht_rpc_start(struct sk_dht_rpc *rpc, const struct sk_dht_call *call, uint64_t soft_ns,
                     uint64_t now_ns, uint8_t ret_t[SK_DHT_TRANSACTION_SIZE]);
/* The call that this answers; NULL. */
struct sk_dht_call *sk_dht_rpc_match(const struct sk_dht_rpc *rpc, struct sk_bytes transaction,
                                     const struct sk_endpoint *from);
void sk_dht_rpc_end(struct sk_dht_rpc *rpc, struct sk_dht_call *call);
/* A call whose time is up: with `slow` set the hard time-out is over as well and the caller ends
 * it; else it has become slow with this. NULL when none is due. */
struct sk_dht_call *sk_dht_rpc_due(struct sk_dht_rpc *rpc, uint64_t now_ns, bool *ret_over);
/* An answer took so long. */
void sk_dht_rpc_measured(struct sk_dht_rpc *rpc, uint64_t rtt_ns);
/* How long to wait before another is asked as well. */
uint64_t sk_dht_rpc_soft_ns(const struct sk_dht_rpc *rpc);
uint64_t sk_dht_rpc_deadline(const struct sk_dht_rpc *rpc);
size_t sk_dht_rpc_bytes(const struct sk_dht_rpc *rpc);
/* NULL, or what does not hold. */
const char *sk_dht_rpc_fault(const struct sk_dht_rpc *rpc);

#endif
