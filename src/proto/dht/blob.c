/* Bytes in the DHT: what storing and fetching have in common. */
#include "proto/dht/blob_internal.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#define PARALLEL 16

int sk_blob_new(const struct sk_dht_task_kind *kind, const struct sk_dht_blob_config *config,
                uint64_t now_ns, struct sk_blob **ret_blob)
{
    if (config->salt.n > SK_KRPC_SALT_MAX)
        return SKEP_ERR_INVALID;
    struct sk_blob *blob = sk_mem_calloc(1, sizeof *blob);
    if (!blob)
        return SKEP_ERR_NOMEM;
    sk_work_init(&blob->work, kind, now_ns);
    sk_map_init(&blob->by_target, SK_DHT_ID_SIZE, SK_DHT_BLOB_MAX / SK_DHT_BLOB_PART * 2, now_ns);
    for (unsigned i = 0; i < BLOB_RIVALS_MAX; i++)
        sk_buf_init(&blob->newest.rivals[i].value, SK_KRPC_ITEM_MAX);
    blob->parallel = config->parallel ? config->parallel : PARALLEL;
    blob->salt_size = config->salt.n;
    if (config->salt.n)
        memcpy(blob->salt, config->salt.p, config->salt.n);
    *ret_blob = blob;
    return 0;
}

void sk_blob_free(struct sk_dht_task *task, struct sk_dht *dht)
{
    struct sk_blob *blob = (struct sk_blob *)task;
    sk_dht_batch_deinit(&blob->work.batch, dht);
    sk_blob_put_free(blob);
    sk_dht_blob_deinit(&blob->blob);
    sk_map_deinit(&blob->by_target);
    for (unsigned i = 0; i < BLOB_RIVALS_MAX; i++)
        sk_buf_deinit(&blob->newest.rivals[i].value);
    sk_mem_free(blob->items);
    sk_mem_free(blob);
}

int sk_blob_make_items(struct sk_blob *blob)
{
    uint32_t count = sk_dht_blob_count(&blob->blob) + 1;
    struct sk_blob_item *items = sk_mem_calloc(count, sizeof *items);
    struct sk_dht_batch batch;
    if (!items || sk_dht_batch_init(&batch, count, blob->parallel)) {
        sk_mem_free(items);
        return SKEP_ERR_NOMEM;
    }
    SK_ASSERT(blob->work.batch.busy == 0);
    sk_dht_batch_deinit(&blob->work.batch, NULL);
    blob->work.batch = batch;
    sk_mem_free(blob->items);
    blob->items = items;
    blob->count = count;
    for (uint32_t i = 0; i < count; i++)
        items[i].next_same = BLOB_NONE;
    return 0;
}

int sk_blob_know(struct sk_blob *blob, uint32_t number)
{
    struct sk_blob_item *item = &blob->items[number];
    struct sk_dht_blob_part part = sk_dht_blob_part(&blob->blob, number);
    struct sk_blob_item *first = sk_map_get(&blob->by_target, part.target);
    if (!first)
        return sk_map_put(&blob->by_target, part.target, item);
    item->same = true;
    item->next_same = first->next_same;
    first->next_same = number;
    return 0;
}

uint32_t sk_blob_first_same(const struct sk_blob *blob, uint32_t number)
{
    struct sk_dht_blob_part part = sk_dht_blob_part(&blob->blob, number);
    const struct sk_blob_item *first = sk_map_get(&blob->by_target, part.target);
    return (uint32_t)(first - blob->items);
}

struct sk_dht_search sk_blob_search(const struct sk_blob *blob, uint32_t number, uint8_t tries)
{
    bool root = number == sk_blob_root(blob);
    unsigned k = SK_DHT_K << tries;
    struct sk_dht_search search = {
        .method = SK_KRPC_GET,
        .k = k < SK_DHT_SEARCH_K_MAX ? k : SK_DHT_SEARCH_K_MAX,
    };
    memcpy(search.target, root ? blob->target : sk_dht_blob_part(&blob->blob, number).target,
           SK_DHT_ID_SIZE);
    if (root && blob->is_mutable)
        search.salt = sk_bytes(blob->salt, blob->salt_size);
    return search;
}

int sk_blob_saw_root(struct sk_blob *blob, const struct sk_dht_event *answered)
{
    struct sk_blob_newest *newest = &blob->newest;
    const struct sk_krpc *message = answered->message;
    int64_t seq = message->key ? message->seq : 0;
    if (answered->forged || !message->value.p || (newest->count && seq < newest->seq))
        return 0;
    if (seq > newest->seq)
        newest->count = 0;
    newest->seq = seq;
    unsigned i = 0;
    while (i < newest->count &&
           !sk_bytes_equal(sk_buf_bytes(&newest->rivals[i].value), message->value))
        i++;
    if (i < newest->count)
        newest->rivals[i].nodes++;
    if (i < newest->count || i == BLOB_RIVALS_MAX)
        return 0;
    newest->rivals[i].value.n = 0;
    int err = sk_buf_append(&newest->rivals[i].value, message->value.p, message->value.n);
    if (err)
        return err;
    newest->rivals[i].nodes = 1;
    newest->count++;
    return 0;
}

struct sk_bytes sk_blob_newest_value(const struct sk_blob *blob)
{
    const struct sk_blob_newest *newest = &blob->newest;
    unsigned best = 0;
    for (unsigned i = 1; i < newest->count; i++) {
        uint32_t nodes = newest->rivals[i].nodes, most = newest->rivals[best].nodes;
        struct sk_bytes value = sk_buf_bytes(&newest->rivals[i].value);
        if (nodes > most ||
            (nodes == most &&
             sk_bytes_compare(value, sk_buf_bytes(&newest->rivals[best].value)) > 0))
            best = i;
    }
    return sk_buf_bytes(&newest->rivals[best].value);
}

void sk_dht_blob_result(const struct sk_dht_task *task, struct sk_dht_blob_result *ret_result)
{
    const struct sk_blob *blob = (const struct sk_blob *)task;
    struct sk_bytes bytes = sk_dht_blob_bytes(&blob->blob);
    struct sk_dht_blob_result result = {
        .key = blob->is_mutable ? blob->key : NULL,
        .seq = blob->seq,
        .items = blob->count,
        .items_done = blob->done,
        .bytes_total = bytes.n,
        .what = blob->work.what,
        .rounds = sk_blob_put_rounds(blob),
    };
    memcpy(result.target, blob->target, SK_DHT_ID_SIZE);
    if (!blob->put) {
        result.bytes_done = blob->bytes_done;
        result.is_value = blob->blob.is_value;
        if (blob->work.over && blob->work.error == 0)
            result.bytes = bytes;
    } else if (blob->count) {
        const struct sk_blob_item *root = &blob->items[sk_blob_root(blob)];
        result.bytes_done = (uint64_t)bytes.n * blob->done / blob->count;
        result.closest = root->closest;
        result.holding = result.least_holding = root->holding;
        for (uint32_t i = 0; i < blob->count; i++)
            if (!blob->items[i].same && blob->items[i].holding < result.least_holding)
                result.least_holding = blob->items[i].holding;
    }
    *ret_result = result;
}
