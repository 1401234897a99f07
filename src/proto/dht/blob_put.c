/*
 * Storing bytes.
 *
 *   LOOK   what is there (mutable): the seq to go above, what cas is about
 *   PARTS  are stored; then the
 *   ROOT   so that nobody meets a root whose parts are not there yet
 *   CHECK  every item is looked up as a reader would; what too few of the closest hold is stored
 *          again, among more nodes
 *   KEEP   from time to time everything is stored again at the nodes that are the closest then
 *
 * Two who write under one key at the same time choose the same seq, and nodes keep what came first.
 * CHECK finds that out: who holds fewer of the closest gives in (where it is even, the lesser
 * value), the other goes one seq higher, so that all nodes agree again.
 */
#include <skep/err.h>

#include "base/heap.h"
#include "base/mem.h"
#include "proto/dht/blob_internal.h"

#define KEEP_NS (30 * 60 * 1000000000ull)
#define KEEP_AGAIN_NS (5 * 60 * 1000000000ull) /* after a round in which something failed */
#define KEEP_PARALLEL 4
#define KEEP_PAUSE_NS 60000000000u /* keeping, and nobody is there to ask */
#define ATTEMPTS_MAX 4             /* at a seq above what others wrote meanwhile */
#define OTHERS_MAX 64

static const char newer_there[] = "a newer value is stored under this key";
static const char other_there[] = "another value with this seq is stored under this key";
static const char cas_differs[] = "what is stored has another seq than --cas says";
static const char seq_end[] = "what is stored has the highest seq there is";
static const char not_taken[] = "no node took it";
static const char not_held[] = "nodes took it, and none gave it back";

enum phase { LOOK, PARTS, ROOT, CHECK, KEEP };

struct sk_blob_put {
    enum phase phase;
    bool keep, has_seq, has_cas;
    uint8_t seed[SK_SIGN_SEED_SIZE];
    int64_t seq, cas; /* as asked for */
    uint64_t keep_ns, rounds;
    unsigned attempts;
    bool round_failed;

    struct sk_buf root; /* its value */
    uint8_t signature[SK_SIGN_SIZE];
    struct sk_buf part;      /* the value of the part that is being given to the node */
    struct sk_dht_item item; /* likewise the item */

    /* The search for the root: who has another value with our seq. */
    struct sk_endpoint others[OTHERS_MAX];
    uint32_t others_count;
    bool other_is_greater;
};

uint64_t sk_blob_put_rounds(const struct sk_blob *blob)
{
    return blob->put ? blob->put->rounds : 0;
}

void sk_blob_put_free(struct sk_blob *blob)
{
    if (!blob->put)
        return;
    sk_buf_deinit(&blob->put->root);
    sk_buf_deinit(&blob->put->part);
    sk_mem_free(blob->put);
}

/* ---- phases ---- */

static void add_all(struct sk_blob *blob, bool storing, bool root)
{
    blob->done = 0;
    for (uint32_t i = 0; i < blob->count; i++) {
        struct sk_blob_item *item = &blob->items[i];
        item->tries = 0;
        item->storing = storing;
        /* One stands for all that have its hash. */
        item->done = item->same;
        blob->done += item->same;
        if (!item->same && (root || i != sk_blob_root(blob)))
            sk_dht_batch_add(&blob->work.batch, i);
    }
}

static void add_root(struct sk_blob *blob, bool storing)
{
    struct sk_blob_item *root = &blob->items[sk_blob_root(blob)];
    root->tries = 0;
    root->storing = storing;
    root->done = false;
    sk_dht_batch_add(&blob->work.batch, sk_blob_root(blob));
}

static void enter(struct sk_blob *blob, struct sk_dht *dht, enum phase phase, uint64_t now_ns)
{
    static const char *const what[] = {"looking up", "storing", "storing", "reading back",
                                       "keeping"};
    struct sk_blob_put *put = blob->put;
    put->phase = phase;
    blob->work.what = what[phase];
    switch (phase) {
    case LOOK:
        add_root(blob, false);
        break;
    case PARTS:
        add_all(blob, true, false);
        if (blob->count == 1)
            enter(blob, dht, ROOT, now_ns);
        break;
    case ROOT:
        add_root(blob, true);
        break;
    case CHECK:
        add_all(blob, false, true);
        break;
    case KEEP:
        if (!put->keep) {
            sk_work_end(&blob->work, dht, 0, NULL);
            return;
        }
        blob->work.wake_ns = now_ns + put->keep_ns;
        blob->work.batch.parallel = KEEP_PARALLEL;
        break;
    }
}

/* Nobody was there, or nobody did it: once more, among more nodes. False where it was the last
 * try. Who keeps does not give up for want of a network. */
static bool again(struct sk_blob *blob, uint32_t number, const struct sk_dht_result *result,
                  uint64_t now_ns)
{
    struct sk_blob_item *item = &blob->items[number];
    bool nobody = result->no_nodes || result->answered == 0;
    bool last = ++item->tries >= BLOB_TRIES;
    if (last && !(nobody && blob->put->keep))
        return false;
    if (last)
        item->tries = 0;
    if (nobody)
        blob->work.batch.resume_ns = now_ns + (last ? KEEP_PAUSE_NS : SK_WORK_PAUSE_NS);
    sk_dht_batch_add(&blob->work.batch, number);
    return true;
}

static void give_up(struct sk_blob *blob, struct sk_dht *dht, const struct sk_dht_result *result,
                    const char *reason)
{
    bool nobody = result->no_nodes || result->answered == 0;
    sk_work_end(&blob->work, dht, SKEP_ERR_NETWORK, nobody ? sk_work_nobody : reason);
}

/* ---- what is there ---- */

static bool newest_is_ours(const struct sk_blob *blob)
{
    return sk_bytes_equal(sk_blob_newest_value(blob), sk_buf_bytes(&blob->put->root));
}

/* Decides on the seq. NULL, or why it cannot be. */
static const char *choose_seq(struct sk_blob *blob)
{
    struct sk_blob_put *put = blob->put;
    const struct sk_blob_newest *newest = &blob->newest;
    if (put->has_cas && newest->count && newest->seq != put->cas)
        return cas_differs;
    if (put->has_seq) {
        blob->seq = put->seq;
        if (newest->count && newest->seq > put->seq)
            return newer_there;
        if (newest->count && newest->seq == put->seq && !newest_is_ours(blob))
            return other_there;
        return NULL;
    }
    int64_t above = newest->count ? newest->seq : put->has_cas ? put->cas : 0;
    /* Of another attempt of ours that was contested. */
    if (put->attempts && above < blob->seq)
        above = blob->seq;
    if (above == INT64_MAX)
        return seq_end;
    blob->seq = above < 0 ? 1 : above + 1;
    return NULL;
}

static void looked(struct sk_blob *blob, struct sk_dht *dht, const struct sk_dht_result *result,
                   uint64_t now_ns)
{
    struct sk_blob_put *put = blob->put;
    if (result->answered == 0) {
        if (!again(blob, sk_blob_root(blob), result, now_ns))
            give_up(blob, dht, result, NULL);
        return;
    }
    const char *why_not = choose_seq(blob);
    int err = why_not ? SKEP_ERR_STATE
                      : sk_dht_item_sign(put->seed, sk_bytes(blob->salt, blob->salt_size),
                                         blob->seq, sk_buf_bytes(&put->root), put->signature);
    if (err)
        sk_work_end(&blob->work, dht, err, why_not);
    else
        enter(blob, dht, put->attempts ? ROOT : PARTS, now_ns);
}

/* ---- storing ---- */

static bool refused_for_cas(const struct sk_dht_result *result)
{
    for (uint32_t i = 0; i < result->closest_count; i++)
        if (result->closest[i].refused == SK_KRPC_CAS)
            return true;
    return false;
}

static void stored(struct sk_blob *blob, struct sk_dht *dht, uint32_t number,
                   const struct sk_dht_result *result, uint64_t now_ns)
{
    bool root = number == sk_blob_root(blob);
    if (root && result->stored == 0 && blob->put->has_cas && refused_for_cas(result)) {
        sk_work_end(&blob->work, dht, SKEP_ERR_STATE, cas_differs);
        return;
    }
    /* A root that all refuse is another writer's doing: reading back tells. */
    if (result->stored == 0 && !(root && result->store_refused)) {
        if (!again(blob, number, result, now_ns))
            give_up(blob, dht, result, not_taken);
        return;
    }
    blob->items[number].done = true;
    blob->done++;
    if (root)
        enter(blob, dht, CHECK, now_ns);
    else if (blob->done == sk_blob_root(blob))
        enter(blob, dht, ROOT, now_ns);
}

/* ---- reading back ---- */

static bool is_other(const struct sk_blob_put *put, const struct sk_endpoint *endpoint)
{
    for (uint32_t i = 0; i < put->others_count; i++)
        if (sk_endpoint_equal(&put->others[i], endpoint))
            return true;
    return false;
}

/* Counts who of the closest holds the item; returns how many hold another value with our seq. */
static uint32_t count_holders(struct sk_blob *blob, uint32_t number,
                              const struct sk_dht_result *result)
{
    bool root = number == sk_blob_root(blob) && blob->is_mutable;
    bool superseded = root && blob->newest.count && blob->newest.seq > blob->seq;
    bool older = root && blob->newest.count && blob->newest.seq < blob->seq;
    uint32_t holding = 0, others = 0;
    for (uint32_t i = 0; i < result->closest_count; i++) {
        const struct sk_dht_closest *node = &result->closest[i];
        if (!node->has_item || superseded || older)
            continue;
        if (root && is_other(blob->put, &node->contact.endpoint))
            others++;
        else
            holding++;
    }
    blob->items[number].closest = (uint16_t)result->closest_count;
    blob->items[number].holding = (uint16_t)holding;
    return others;
}

/* Whether somebody else's value is under our key with this seq or a higher one; then the task has
 * ended, or begins again above it. */
static bool contested(struct sk_blob *blob, struct sk_dht *dht, uint32_t others, uint64_t now_ns)
{
    struct sk_blob_put *put = blob->put;
    uint32_t holding = blob->items[sk_blob_root(blob)].holding;
    bool newer = blob->newest.count && blob->newest.seq > blob->seq;
    if (!newer && others == 0)
        return false;
    bool lost = newer || others > holding || (others == holding && put->other_is_greater);
    /* A newer one and nothing of ours: it was there before and had not been found. */
    bool overlooked = newer && holding == 0 && put->phase != KEEP;
    bool free_seq = !put->has_seq && !put->has_cas;
    if (lost && !(overlooked && free_seq && put->attempts < ATTEMPTS_MAX)) {
        sk_work_end(&blob->work, dht, SKEP_ERR_STATE, newer ? newer_there : other_there);
        return true;
    }
    if (put->phase == KEEP || !free_seq || put->attempts >= ATTEMPTS_MAX)
        return false;
    put->attempts++;
    sk_dht_batch_stop(&blob->work.batch, dht);
    enter(blob, dht, LOOK, now_ns);
    return true;
}

static void checked(struct sk_blob *blob, struct sk_dht *dht, uint32_t number,
                    const struct sk_dht_result *result, uint64_t now_ns)
{
    struct sk_blob_item *item = &blob->items[number];
    if (item->storing) { /* and now once more whether they hold it */
        item->storing = false;
        sk_dht_batch_add(&blob->work.batch, number);
        return;
    }
    uint32_t others = count_holders(blob, number, result);
    if (number == sk_blob_root(blob) && blob->is_mutable && contested(blob, dht, others, now_ns))
        return;
    bool enough = item->holding > 0 && item->holding * 2 >= item->closest;
    if (!enough && again(blob, number, result, now_ns)) {
        item->storing = true;
        return;
    }
    if (item->holding == 0) {
        give_up(blob, dht, result, not_held);
        return;
    }
    item->done = true;
    if (++blob->done == blob->count)
        enter(blob, dht, KEEP, now_ns);
}

/* ---- keeping ---- */

static void kept(struct sk_blob *blob, struct sk_dht *dht, uint32_t number,
                 const struct sk_dht_result *result, uint64_t now_ns)
{
    uint32_t others = count_holders(blob, number, result);
    if (number == sk_blob_root(blob) && blob->is_mutable && contested(blob, dht, others, now_ns))
        return;
    if (result->stored == 0 && ++blob->items[number].tries < BLOB_TRIES) {
        sk_dht_batch_add(&blob->work.batch, number);
        if (result->answered == 0)
            blob->work.batch.resume_ns = now_ns + SK_WORK_PAUSE_NS;
        return;
    }
    blob->put->round_failed = blob->put->round_failed || result->stored == 0;
    blob->items[number].done = true;
    blob->done++;
    if (!sk_dht_batch_idle(&blob->work.batch))
        return;
    struct sk_blob_put *put = blob->put;
    put->rounds++;
    blob->work.what = put->round_failed ? "waiting for the network" : "keeping";
    blob->work.wake_ns =
        now_ns + (put->round_failed && put->keep_ns > KEEP_AGAIN_NS ? KEEP_AGAIN_NS : put->keep_ns);
}

/* ---- the task ---- */

/* What a node's answer says about the root. */
static void saw_answer(struct sk_blob *blob, const struct sk_dht_event *event)
{
    struct sk_blob_put *put = blob->put;
    const struct sk_krpc *message = event->message;
    struct sk_bytes ours = sk_buf_bytes(&put->root);
    if (event->forged || !message->value.p || !message->key || message->seq != blob->seq ||
        sk_bytes_equal(message->value, ours) || put->others_count == OTHERS_MAX)
        return;
    put->others[put->others_count++] = event->contact.endpoint;
    put->other_is_greater = sk_bytes_compare(message->value, ours) > 0;
}

static bool put_event(struct sk_dht_task *task, struct sk_dht *dht,
                      const struct sk_dht_event *event, uint64_t now_ns)
{
    typedef void done_fn(struct sk_blob *, struct sk_dht *, uint32_t, const struct sk_dht_result *,
                         uint64_t);
    static done_fn *const on_done[] = {
        [PARTS] = stored, [ROOT] = stored, [CHECK] = checked, [KEEP] = kept};
    struct sk_blob *blob = (struct sk_blob *)task;
    uint32_t number;
    if (!sk_dht_batch_find(&blob->work.batch, event->op, &number))
        return false;
    bool root = number == sk_blob_root(blob) && blob->is_mutable;
    if (event->kind == SK_DHT_EVENT_ANSWERED && root) {
        saw_answer(blob, event);
        int err = sk_blob_saw_root(blob, event);
        if (err)
            sk_work_end(&blob->work, dht, err, NULL);
    } else if (event->kind == SK_DHT_EVENT_DONE) {
        sk_dht_batch_done(&blob->work.batch, event->op);
        blob->work.moved = true;
        if (blob->put->phase == LOOK)
            looked(blob, dht, event->result, now_ns);
        else
            on_done[blob->put->phase](blob, dht, number, event->result, now_ns);
    }
    return true;
}

static void put_search(void *ctx, uint32_t number, struct sk_dht_search *ret_search)
{
    struct sk_blob *blob = ctx;
    struct sk_blob_put *put = blob->put;
    const struct sk_blob_item *item = &blob->items[number];
    *ret_search = sk_blob_search(blob, number, item->tries);
    bool root = number == sk_blob_root(blob);
    if (root) {
        blob->newest.count = 0;
        put->others_count = 0;
    }
    if (!item->storing)
        return;
    ret_search->store = SK_DHT_STORE_ITEM;
    ret_search->item = &put->item;
    if (root) {
        put->item = (struct sk_dht_item){.value = sk_buf_bytes(&put->root)};
        if (blob->is_mutable) {
            put->item.key = blob->key;
            put->item.signature = put->signature;
            put->item.salt = ret_search->salt;
            put->item.seq = blob->seq;
        }
        /* Later the nodes hold what we stored ourselves. */
        ret_search->has_cas = put->has_cas && put->phase == ROOT;
        ret_search->cas = put->cas;
    } else {
        struct sk_dht_blob_part part = sk_dht_blob_part(&blob->blob, number);
        put->part.n = 0;
        sk_dht_blob_write_part(&put->part, &part);
        put->item = (struct sk_dht_item){.value = sk_buf_bytes(&put->part)};
    }
}

static void put_run(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns)
{
    struct sk_blob *blob = (struct sk_blob *)task;
    struct sk_blob_put *put = blob->put;
    bool settled = blob->work.settled;
    if (!sk_work_ready(&blob->work, dht, put->keep, now_ns))
        return;
    if (!settled)
        enter(blob, dht, blob->is_mutable ? LOOK : PARTS, now_ns);
    if (put->phase == KEEP && now_ns >= blob->work.wake_ns) {
        blob->work.wake_ns = SK_TIME_NEVER;
        put->round_failed = false;
        add_all(blob, true, true);
    }
    int err = sk_dht_batch_run(&blob->work.batch, dht, put_search, blob, now_ns);
    sk_work_ran(&blob->work, dht, err, now_ns);
}

static const struct sk_dht_task_kind put_kind = {
    .event = put_event,
    .run = put_run,
    .next_note = sk_work_next_note,
    .deadline = sk_work_deadline,
    .free = sk_blob_free,
};

/* Cuts the bytes, and all that follows from them and the config. */
static int prepare(struct sk_blob *blob, const struct sk_dht_blob_config *config)
{
    struct sk_blob_put *put = blob->put;
    int err = config->raw ? sk_dht_blob_raw(config->bytes, &blob->blob)
                          : sk_dht_blob_cut(config->bytes, &blob->blob);
    if (!err)
        err = sk_blob_make_items(blob);
    for (uint32_t i = 0; !err && i < sk_blob_root(blob); i++)
        err = sk_blob_know(blob, i);
    if (err)
        return err;
    if (!sk_buf_reserve(&put->part, SK_KRPC_ITEM_MAX))
        return SKEP_ERR_NOMEM;
    sk_dht_blob_write_root(&put->root, &blob->blob);
    if (put->root.failed)
        return SKEP_ERR_NOMEM;
    if (!config->seed) {
        sk_dht_item_target_immutable(sk_buf_bytes(&put->root), blob->target);
        return 0;
    }
    blob->is_mutable = true;
    memcpy(put->seed, config->seed, sizeof put->seed);
    err = sk_sign_public(put->seed, blob->key);
    if (!err)
        sk_dht_item_target_mutable(blob->key, config->salt, blob->target);
    return err;
}

int sk_dht_blob_put_new(const struct sk_dht_blob_config *config, uint64_t now_ns,
                        struct sk_dht_task **ret_task)
{
    struct sk_blob *blob;
    if (config->key || config->hash || (config->has_seq && config->seq < 0))
        return SKEP_ERR_INVALID;
    int err = sk_blob_new(&put_kind, config, now_ns, &blob);
    if (err)
        return err;
    struct sk_blob_put *put = sk_mem_calloc(1, sizeof *put);
    blob->put = put;
    err = SKEP_ERR_NOMEM;
    if (put) {
        sk_buf_init(&put->root, SK_KRPC_ITEM_MAX);
        sk_buf_init(&put->part, SK_KRPC_ITEM_MAX);
        put->keep = config->keep;
        put->keep_ns = config->keep_ns ? config->keep_ns : KEEP_NS;
        put->has_seq = config->has_seq;
        put->seq = config->seq;
        put->has_cas = config->has_cas;
        put->cas = config->cas;
        err = prepare(blob, config);
    }
    if (err) {
        sk_blob_free(&blob->work.task, NULL);
        return err;
    }
    *ret_task = &blob->work.task;
    return 0;
}
