/*
 * Fetching bytes: the root, then all parts whose hashes are known, until all are there.
 *
 * A part lies under its hash, so it is right or not there; what a liar can do is to withhold it,
 * and a search that failed is tried again among more nodes. A root whose parts are not what it says
 * is the storer's lie, and the end.
 */
#include <skep/err.h>

#include "proto/dht/blob_internal.h"

static const char root_unknown[] = "what is stored was written by a later version";
static const char root_wrong[] = "the root makes no sense";
static const char part_wrong[] = "a part is not what the root says";
static const char part_missing[] = "a part is not to be found";
static const char whole_wrong[] = "the parts do not make up what the root says";

static const char *const reasons[] = {
    [-SKEP_ERR_UNSUPPORTED] = root_unknown,
    [-SKEP_ERR_MISMATCH] = root_wrong,
};

static void finish(struct sk_blob *blob, struct sk_dht *dht)
{
    bool whole = blob->blob.levels == 0 || sk_dht_blob_whole(&blob->blob);
    blob->bytes_done = sk_dht_blob_bytes(&blob->blob).n;
    sk_work_end(&blob->work, dht, whole ? 0 : SKEP_ERR_MISMATCH, whole ? NULL : whole_wrong);
}

/* ---- parts ---- */

static int complete(struct sk_blob *blob, uint32_t number);

/* The part has the content of another with the same hash. */
static int copy_and_complete(struct sk_blob *blob, uint32_t from, uint32_t number)
{
    struct sk_dht_blob_part source = sk_dht_blob_part(&blob->blob, from);
    struct sk_dht_blob_part part = sk_dht_blob_part(&blob->blob, number);
    if (source.size != part.size)
        return SKEP_ERR_MISMATCH;
    memcpy(part.content, source.content, source.size);
    return complete(blob, number);
}

/* The hash of a part is known now: it is to be searched for, or another stands for it. */
static int reveal(struct sk_blob *blob, uint32_t number)
{
    int err = sk_blob_know(blob, number);
    if (err)
        return err;
    if (!blob->items[number].same) {
        sk_dht_batch_add(&blob->work.batch, number);
        return 0;
    }
    uint32_t first = sk_blob_first_same(blob, number);
    return blob->items[first].done ? copy_and_complete(blob, first, number) : 0;
}

/* A part is there: so are the hashes in it. As deep as there are levels. */
static int complete(struct sk_blob *blob, uint32_t number)
{
    struct sk_dht_blob_part part = sk_dht_blob_part(&blob->blob, number);
    blob->items[number].done = true;
    blob->done++;
    blob->bytes_done += part.leaf ? part.size : 0;
    int err = 0;
    for (uint32_t i = 0; i < part.children_count && !err; i++)
        err = reveal(blob, part.children + i);
    return err;
}

/* A part was found: it and all that have its hash are complete. */
static void found_part(struct sk_blob *blob, struct sk_dht *dht, uint32_t number,
                       struct sk_bytes value)
{
    if (blob->items[number].done)
        return;
    int err =
        sk_dht_blob_accept(&blob->blob, number, value) ? complete(blob, number) : SKEP_ERR_MISMATCH;
    uint32_t next = blob->items[number].next_same;
    while (!err && next != BLOB_NONE) {
        if (!blob->items[next].done)
            err = copy_and_complete(blob, number, next);
        next = blob->items[next].next_same;
    }
    if (err)
        sk_work_end(&blob->work, dht, err, err == SKEP_ERR_MISMATCH ? part_wrong : NULL);
    else if (blob->done == blob->count)
        finish(blob, dht);
}

/* ---- the root ---- */

/* The newest root is known. */
static void open_root(struct sk_blob *blob, struct sk_dht *dht)
{
    blob->seq = blob->newest.seq;
    int err = sk_dht_blob_open(sk_blob_newest_value(blob), &blob->blob);
    if (!err)
        err = sk_blob_make_items(blob);
    if (err) {
        bool known = err == SKEP_ERR_UNSUPPORTED || err == SKEP_ERR_MISMATCH;
        sk_work_end(&blob->work, dht, err, known ? reasons[-err] : NULL);
        return;
    }
    blob->work.what = "fetching";
    blob->items[sk_blob_root(blob)].done = true;
    blob->done = 1;
    if (blob->blob.levels == 0) {
        finish(blob, dht);
        return;
    }
    for (uint32_t i = 0; i < blob->blob.size[0] / SK_DHT_ID_SIZE && !err; i++)
        err = reveal(blob, i);
    if (err)
        sk_work_end(&blob->work, dht, err, err == SKEP_ERR_MISMATCH ? part_wrong : NULL);
}

/* A search did not find what it was for. */
static void missed(struct sk_blob *blob, struct sk_dht *dht, uint32_t number,
                   const struct sk_dht_result *result, uint64_t now_ns)
{
    bool root = number == sk_blob_root(blob);
    bool nobody = result->no_nodes || result->answered == 0;
    if (++blob->items[number].tries < BLOB_TRIES) {
        sk_dht_batch_add(&blob->work.batch, number);
        if (nobody)
            blob->work.batch.resume_ns = now_ns + SK_WORK_PAUSE_NS;
    } else if (nobody) {
        sk_work_end(&blob->work, dht, SKEP_ERR_NETWORK, sk_work_nobody);
    } else {
        sk_work_end(&blob->work, dht, root ? SKEP_ERR_NOT_FOUND : SKEP_ERR_MISMATCH,
                    root ? NULL : part_missing);
    }
}

/* ---- the task ---- */

static bool get_event(struct sk_dht_task *task, struct sk_dht *dht,
                      const struct sk_dht_event *event, uint64_t now_ns)
{
    struct sk_blob *blob = (struct sk_blob *)task;
    uint32_t number;
    if (!sk_dht_batch_find(&blob->work.batch, event->op, &number))
        return false;
    bool root = number == sk_blob_root(blob);
    if (event->kind == SK_DHT_EVENT_ANSWERED && root) {
        int err = sk_blob_saw_root(blob, event);
        if (err)
            sk_work_end(&blob->work, dht, err, NULL);
    } else if (event->kind == SK_DHT_EVENT_ITEM && !root) {
        found_part(blob, dht, number, event->item->value);
    } else if (event->kind == SK_DHT_EVENT_DONE) {
        sk_dht_batch_done(&blob->work.batch, event->op);
        blob->work.moved = true;
        if (root && blob->newest.count)
            open_root(blob, dht);
        else if (!blob->items[number].done)
            missed(blob, dht, number, event->result, now_ns);
    }
    return true;
}

static void get_search(void *ctx, uint32_t number, struct sk_dht_search *ret_search)
{
    const struct sk_blob *blob = ctx;
    *ret_search = sk_blob_search(blob, number, blob->items[number].tries);
    ret_search->first = number != sk_blob_root(blob) || !blob->is_mutable;
}

static void get_run(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns)
{
    struct sk_blob *blob = (struct sk_blob *)task;
    if (!sk_work_ready(&blob->work, dht, false, now_ns))
        return;
    if (blob->count == 1 && !blob->newest.count)
        blob->work.what = "looking up";
    int err = sk_dht_batch_run(&blob->work.batch, dht, get_search, blob, now_ns);
    sk_work_ran(&blob->work, dht, err, now_ns);
}

static const struct sk_dht_task_kind get_kind = {
    .event = get_event,
    .run = get_run,
    .next_note = sk_work_next_note,
    .deadline = sk_work_deadline,
    .free = sk_blob_free,
};

int sk_dht_blob_get_new(const struct sk_dht_blob_config *config, uint64_t now_ns,
                        struct sk_dht_task **ret_task)
{
    struct sk_blob *blob;
    if (!config->key == !config->hash)
        return SKEP_ERR_INVALID;
    int err = sk_blob_new(&get_kind, config, now_ns, &blob);
    if (err)
        return err;
    if (config->key) {
        blob->is_mutable = true;
        memcpy(blob->key, config->key, sizeof blob->key);
        sk_dht_item_target_mutable(blob->key, config->salt, blob->target);
    } else {
        memcpy(blob->target, config->hash, sizeof blob->target);
    }
    err = sk_blob_make_items(blob);
    if (err) {
        sk_blob_free(&blob->work.task, NULL);
        return err;
    }
    sk_dht_batch_add(&blob->work.batch, sk_blob_root(blob));
    *ret_task = &blob->work.task;
    return 0;
}
