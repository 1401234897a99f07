#include "proto/peer/requests.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"

struct sk_hash_asked {
    uint8_t root[SK_SHA256_SIZE];
    uint32_t base_layer, index, length, proof_layers;
};

void sk_requests_init(struct sk_requests *requests)
{
    *requests = (struct sk_requests){.forgiven_until_ns = SK_TIME_NEVER};
}

static void free_items(struct sk_requests *requests)
{
    sk_mem_free(requests->items);
    requests->items = NULL;
    requests->head = requests->end = requests->capacity = 0;
}

static void free_forgiven(struct sk_requests *requests)
{
    sk_mem_free(requests->forgiven);
    requests->forgiven = NULL;
    requests->forgiven_count = requests->forgiven_capacity = requests->forgiven_oldest = 0;
    requests->forgiven_until_ns = SK_TIME_NEVER;
}

void sk_requests_deinit(struct sk_requests *requests)
{
    free_items(requests);
    free_forgiven(requests);
    sk_mem_free(requests->hashes);
    sk_requests_init(requests);
}

static void close_gaps(struct sk_requests *requests)
{
    uint32_t n = 0;
    for (uint32_t i = requests->head; i < requests->end; i++)
        if (requests->items[i].state != SK_REQUEST_GONE)
            requests->items[n++] = requests->items[i];
    requests->head = 0;
    requests->end = n;
}

int sk_requests_reserve(struct sk_requests *requests)
{
    if (requests->count >= SK_PEER_REQUESTS_MAX)
        return SKEP_ERR_LIMIT;
    if (requests->end < requests->capacity)
        return 0;
    /* Growing while more than half is in use leaves room for as many as are moved. */
    uint32_t used = requests->count + requests->dropped;
    if (used >= requests->capacity / 2) {
        uint32_t capacity = SK_MAX(8u, requests->capacity * 2);
        struct sk_request *items = sk_mem_realloc(requests->items, capacity, sizeof *items);
        if (!items)
            return SKEP_ERR_NOMEM;
        requests->items = items;
        requests->capacity = capacity;
    }
    close_gaps(requests);
    return 0;
}

void sk_requests_add(struct sk_requests *requests, uint32_t index, uint32_t begin, uint32_t length,
                     uint64_t now_ns)
{
    SK_ASSERT(requests->end < requests->capacity);
    requests->items[requests->end++] = (struct sk_request){
        .index = index,
        .begin = begin,
        .length = length,
        .state = SK_REQUEST_WAITING,
        .sent_ns = now_ns,
    };
    requests->count++;
}

struct sk_request *sk_requests_find(const struct sk_requests *requests, uint32_t index,
                                    uint32_t begin, uint32_t length)
{
    for (uint32_t i = requests->head; i < requests->end; i++) {
        struct sk_request *r = &requests->items[i];
        if (r->index == index && r->begin == begin && r->length == length &&
            (r->state == SK_REQUEST_WAITING || r->state == SK_REQUEST_CANCELLED))
            return r;
    }
    return NULL;
}

void sk_requests_remove(struct sk_requests *requests, struct sk_request *request)
{
    if (request->state == SK_REQUEST_DROPPED)
        requests->dropped--;
    else
        requests->count--;
    request->state = SK_REQUEST_GONE;
    while (requests->head < requests->end &&
           requests->items[requests->head].state == SK_REQUEST_GONE)
        requests->head++;
    if (requests->head == requests->end)
        free_items(requests);
}

static void drop(struct sk_requests *requests, bool all, uint32_t index)
{
    for (uint32_t i = requests->head; i < requests->end; i++) {
        struct sk_request *r = &requests->items[i];
        if ((r->state != SK_REQUEST_WAITING && r->state != SK_REQUEST_CANCELLED) ||
            (!all && r->index != index))
            continue;
        r->state = SK_REQUEST_DROPPED;
        requests->count--;
        requests->dropped++;
    }
}

void sk_requests_drop_all(struct sk_requests *requests)
{
    drop(requests, true, 0);
}

void sk_requests_drop_piece(struct sk_requests *requests, uint32_t index)
{
    drop(requests, false, index);
}

struct sk_request *sk_requests_dropped(const struct sk_requests *requests)
{
    if (requests->dropped == 0)
        return NULL;
    uint32_t i = requests->head;
    while (requests->items[i].state != SK_REQUEST_DROPPED)
        i++;
    return &requests->items[i];
}

int sk_requests_forgive(struct sk_requests *requests, uint32_t index, uint32_t begin,
                        uint64_t now_ns)
{
    struct sk_forgiven forgiven = {.index = index, .begin = begin};
    requests->forgiven_until_ns = now_ns + SK_PEER_FORGIVE_NS;
    if (requests->forgiven_count == SK_PEER_REQUESTS_MAX) {
        requests->forgiven[requests->forgiven_oldest++] = forgiven;
        requests->forgiven_oldest %= SK_PEER_REQUESTS_MAX;
        return 0;
    }
    if (requests->forgiven_count == requests->forgiven_capacity) {
        uint32_t capacity = SK_MAX(16u, requests->forgiven_capacity * 2);
        struct sk_forgiven *p = sk_mem_realloc(requests->forgiven, capacity, sizeof *p);
        if (!p)
            return SKEP_ERR_NOMEM;
        requests->forgiven = p;
        requests->forgiven_capacity = capacity;
    }
    requests->forgiven[requests->forgiven_count++] = forgiven;
    return 0;
}

bool sk_requests_is_forgiven(struct sk_requests *requests, uint32_t index, uint32_t begin)
{
    for (uint32_t i = 0; i < requests->forgiven_count; i++) {
        struct sk_forgiven *forgiven = &requests->forgiven[i];
        if (forgiven->index != index || forgiven->begin != begin)
            continue;
        *forgiven = requests->forgiven[--requests->forgiven_count];
        if (requests->forgiven_count == 0)
            free_forgiven(requests);
        return true;
    }
    return false;
}

void sk_requests_tick(struct sk_requests *requests, uint64_t now_ns)
{
    if (now_ns >= requests->forgiven_until_ns)
        free_forgiven(requests);
}

int sk_requests_reserve_hashes(struct sk_requests *requests)
{
    if (requests->hashes_count >= SK_PEER_HASH_REQUESTS_MAX)
        return SKEP_ERR_LIMIT;
    if (requests->hashes_count < requests->hashes_capacity)
        return 0;
    uint32_t capacity = SK_MAX(4u, requests->hashes_capacity * 2);
    struct sk_hash_asked *p = sk_mem_realloc(requests->hashes, capacity, sizeof *p);
    if (!p)
        return SKEP_ERR_NOMEM;
    requests->hashes = p;
    requests->hashes_capacity = capacity;
    return 0;
}

static struct sk_hash_asked asked_of(const struct sk_hash_range *range)
{
    struct sk_hash_asked asked = {
        .base_layer = range->base_layer,
        .index = range->index,
        .length = range->length,
        .proof_layers = range->proof_layers,
    };
    memcpy(asked.root, range->root, sizeof asked.root);
    return asked;
}

void sk_requests_add_hashes(struct sk_requests *requests, const struct sk_hash_range *range)
{
    SK_ASSERT(requests->hashes_count < requests->hashes_capacity);
    requests->hashes[requests->hashes_count++] = asked_of(range);
}

bool sk_requests_answer_hashes(struct sk_requests *requests, const struct sk_hash_range *range)
{
    struct sk_hash_asked asked = asked_of(range);
    for (uint32_t i = 0; i < requests->hashes_count; i++) {
        if (memcmp(&requests->hashes[i], &asked, sizeof asked) != 0)
            continue;
        requests->hashes[i] = requests->hashes[--requests->hashes_count];
        if (requests->hashes_count == 0) {
            sk_mem_free(requests->hashes);
            requests->hashes = NULL;
            requests->hashes_capacity = 0;
        }
        return true;
    }
    return false;
}
