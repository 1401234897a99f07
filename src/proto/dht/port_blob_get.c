/*
 * Fetching bytes from announced ports: the head, then the segments of the newest that can be read.
 *
 * A node answers with some of what it keeps, so the ports of one info-hash are gathered from all
 * nodes of a search, and of another search when something is missing. What an address announced is
 * kept apart from what others did: they may have data of their own under the same text.
 */
#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/dht/port_blob_internal.h"

#define PARALLEL 4

static const char unreadable[] = "there are announces under this key, but they make up nothing";
static const char missing[] = "some of the announced ports are not to be found";

struct get {
    struct sk_port_blob blob;
    uint8_t head_tries;
    struct sk_port_found found[PORT_BLOB_HEADS_MAX];
    size_t found_count, current;
    struct segment {
        struct sk_port_tally tally;
        uint8_t tries;
        bool done;
    } segments[SK_PORT_BLOB_SEGMENTS_MAX];
};

static void begin_head(struct get *get, struct sk_dht *dht);

static void next_head(struct get *get, struct sk_dht *dht, const char *reason)
{
    sk_dht_batch_stop(&get->blob.work.batch, dht);
    if (++get->current < get->found_count)
        begin_head(get, dht);
    else
        sk_work_end(&get->blob.work, dht, SKEP_ERR_MISMATCH, reason);
}

/* All segments are there. */
static void whole(struct get *get, struct sk_dht *dht)
{
    struct sk_port_blob *blob = &get->blob;
    struct sk_bytes bytes = sk_bytes(blob->bytes, blob->head.length);
    if (!sk_port_blob_whole(&blob->key, &blob->head, bytes)) {
        next_head(get, dht, unreadable);
        return;
    }
    blob->result.bytes = bytes;
    sk_work_end(&blob->work, dht, 0, NULL);
}

static void begin_head(struct get *get, struct sk_dht *dht)
{
    struct sk_port_blob *blob = &get->blob;
    blob->head = get->found[get->current].head;
    blob->work.what = "fetching";
    uint32_t count = sk_port_blob_segments(blob->head.length);
    blob->result.hashes = count + 1;
    blob->result.hashes_done = 1;
    for (uint32_t i = 0; i < count; i++) {
        struct segment *segment = &get->segments[i];
        sk_port_tally_deinit(&segment->tally);
        sk_port_tally_init(&segment->tally);
        segment->tries = 0;
        segment->done = false;
        sk_dht_batch_add(&blob->work.batch, i);
    }
    if (count == 0)
        whole(get, dht);
}

static void head_done(struct get *get, struct sk_dht *dht, const struct sk_dht_result *result,
                      uint64_t now_ns)
{
    struct sk_port_blob *blob = &get->blob;
    get->found_count = sk_port_blob_find_heads(&blob->key, &blob->heads, get->found);
    get->head_tries++;
    if (get->found_count && !sk_port_blob_crowded(&blob->heads, get->head_tries)) {
        begin_head(get, dht);
        return;
    }
    if (get->head_tries < PORT_BLOB_TRIES) {
        sk_dht_batch_add(&blob->work.batch, PORT_BLOB_HEAD);
        if (sk_port_blob_nobody(result))
            blob->work.batch.resume_ns = now_ns + SK_WORK_PAUSE_NS;
    } else if (sk_port_blob_nobody(result)) {
        sk_work_end(&blob->work, dht, SKEP_ERR_NETWORK, sk_work_nobody);
    } else {
        sk_work_end(&blob->work, dht, SKEP_ERR_NOT_FOUND, blob->heads.answers ? unreadable : NULL);
    }
}

static void segment_done(struct get *get, struct sk_dht *dht, uint32_t number,
                         const struct sk_dht_result *result, uint64_t now_ns)
{
    struct sk_port_blob *blob = &get->blob;
    struct segment *segment = &get->segments[number];
    struct sk_port_blob_seen seen[SK_PORT_TALLY_MAX];
    size_t count =
        sk_port_tally_of(&segment->tally, &get->found[get->current].ip, seen, SK_PORT_TALLY_MAX);
    blob->result.number = number + 1;
    blob->result.ports = SK_PORT_BLOB_SEGMENT_PORTS;
    blob->result.ports_back = (uint32_t)SK_MIN(count, (size_t)SK_PORT_BLOB_SEGMENT_PORTS);
    segment->done =
        sk_port_blob_read_segment(&blob->key, &blob->head, number, seen, count, blob->bytes);
    if (segment->done) {
        if (++blob->result.hashes_done == blob->result.hashes)
            whole(get, dht);
    } else if (++segment->tries < PORT_BLOB_TRIES) {
        sk_dht_batch_add(&blob->work.batch, number);
        if (sk_port_blob_nobody(result))
            blob->work.batch.resume_ns = now_ns + SK_WORK_PAUSE_NS;
    } else {
        next_head(get, dht, missing);
    }
}

static bool get_event(struct sk_dht_task *task, struct sk_dht *dht,
                      const struct sk_dht_event *event, uint64_t now_ns)
{
    struct get *get = (struct get *)task;
    struct sk_port_blob *blob = &get->blob;
    uint32_t number;
    if (!sk_dht_batch_find(&blob->work.batch, event->op, &number))
        return false;
    bool head = number == PORT_BLOB_HEAD;
    if (event->kind == SK_DHT_EVENT_ANSWERED) {
        int err = head ? sk_port_tally_add(&blob->heads, event->message, NULL)
                       : sk_port_tally_add(&get->segments[number].tally, event->message,
                                           &get->found[get->current].ip);
        if (err)
            sk_work_end(&blob->work, dht, err, NULL);
    } else if (event->kind == SK_DHT_EVENT_DONE) {
        sk_dht_batch_done(&blob->work.batch, event->op);
        blob->work.moved = true;
        if (head)
            head_done(get, dht, event->result, now_ns);
        else
            segment_done(get, dht, number, event->result, now_ns);
    }
    return true;
}

static void get_search(void *ctx, uint32_t number, struct sk_dht_search *ret_search)
{
    const struct get *get = ctx;
    uint8_t tries = number == PORT_BLOB_HEAD ? get->head_tries : get->segments[number].tries;
    *ret_search = sk_port_blob_search(&get->blob, number, PORT_BLOB_READ_K << tries);
}

static void get_run(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns)
{
    struct get *get = (struct get *)task;
    struct sk_work *work = &get->blob.work;
    bool settled = work->settled;
    if (!sk_work_ready(work, dht, false, now_ns))
        return;
    if (!settled) {
        work->what = "looking up";
        sk_dht_batch_add(&work->batch, PORT_BLOB_HEAD);
    }
    sk_work_ran(work, dht, sk_dht_batch_run(&work->batch, dht, get_search, get, now_ns), now_ns);
}

static void get_free(struct sk_dht_task *task, struct sk_dht *dht)
{
    struct get *get = (struct get *)task;
    sk_port_blob_deinit(&get->blob, dht);
    for (size_t i = 0; i < SK_PORT_BLOB_SEGMENTS_MAX; i++)
        sk_port_tally_deinit(&get->segments[i].tally);
    sk_mem_free(get);
}

static const struct sk_dht_task_kind get_kind = {
    .event = get_event,
    .run = get_run,
    .next_note = sk_work_next_note,
    .deadline = sk_work_deadline,
    .free = get_free,
};

int sk_dht_port_blob_get_new(const struct sk_dht_port_blob_config *config, uint64_t now_ns,
                             struct sk_dht_task **ret_task)
{
    if (!config->text)
        return SKEP_ERR_INVALID;
    struct get *get = sk_mem_calloc(1, sizeof *get);
    if (!get)
        return SKEP_ERR_NOMEM;
    int err = sk_port_blob_init(&get->blob, &get_kind, config->text, PARALLEL, now_ns);
    if (err) {
        get_free(&get->blob.work.task, NULL);
        return err;
    }
    *ret_task = &get->blob.work.task;
    return 0;
}
