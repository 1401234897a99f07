/* Bytes in announced ports: what storing and fetching have in common. */
#include "proto/dht/port_blob_internal.h"

#include <skep/err.h>

#include "base/limits.h"

#include <stdlib.h>

#define CROWD (3 * SK_PORT_BLOB_HEAD_PORTS)

struct entry {
    struct sk_endpoint peer;
    uint32_t answer; /* the last that told of it */
    uint16_t votes;
};

void sk_port_tally_init(struct sk_port_tally *tally)
{
    *tally = (struct sk_port_tally){0};
    sk_buf_init(&tally->entries, SK_PORT_TALLY_MAX * sizeof(struct entry));
}

void sk_port_tally_deinit(struct sk_port_tally *tally)
{
    sk_buf_deinit(&tally->entries);
}

static size_t tally_count(const struct sk_port_tally *tally)
{
    return tally->entries.n / sizeof(struct entry);
}

static struct entry *tally_at(const struct sk_port_tally *tally, size_t i)
{
    return (struct entry *)tally->entries.p + i;
}

int sk_port_tally_add(struct sk_port_tally *tally, const struct sk_krpc *message,
                      const struct sk_endpoint *only)
{
    if (!message->has_values)
        return 0;
    struct sk_bencode_iter iter = sk_bencode_iter(&message->values);
    struct entry made = {.answer = ++tally->answers, .votes = 1};
    while (sk_krpc_next_peer(&iter, &made.peer)) {
        if (only && !sk_endpoint_same_ip(only, &made.peer))
            continue;
        size_t i = 0, count = tally_count(tally);
        while (i < count && !sk_endpoint_equal(&tally_at(tally, i)->peer, &made.peer))
            i++;
        if (i < count) {
            /* Once an answer, however often it repeats itself. */
            struct entry *entry = tally_at(tally, i);
            entry->votes += entry->answer != made.answer && entry->votes < UINT16_MAX;
            entry->answer = made.answer;
        } else if (count < SK_PORT_TALLY_MAX &&
                   sk_buf_append(&tally->entries, &made, sizeof made)) {
            return SKEP_ERR_NOMEM;
        }
    }
    return 0;
}

bool sk_port_tally_next_ip(const struct sk_port_tally *tally, size_t *pos,
                           struct sk_endpoint *ret_ip)
{
    for (size_t count = tally_count(tally); *pos < count; (*pos)++) {
        const struct sk_endpoint *peer = &tally_at(tally, *pos)->peer;
        size_t i = 0;
        while (!sk_endpoint_same_ip(peer, &tally_at(tally, i)->peer))
            i++;
        if (i < *pos)
            continue;
        *ret_ip = *peer;
        (*pos)++;
        return true;
    }
    return false;
}

size_t sk_port_tally_of(const struct sk_port_tally *tally, const struct sk_endpoint *ip,
                        struct sk_port_blob_seen *ret_seen, size_t max)
{
    size_t seen = 0;
    for (size_t i = 0; i < tally_count(tally) && seen < max; i++) {
        const struct entry *entry = tally_at(tally, i);
        if (sk_endpoint_same_ip(ip, &entry->peer))
            ret_seen[seen++] =
                (struct sk_port_blob_seen){.port = entry->peer.port, .votes = entry->votes};
    }
    return seen;
}

bool sk_port_blob_crowded(const struct sk_port_tally *tally, unsigned tries)
{
    return tries < 2 && tally_count(tally) > CROWD;
}

/* The newest first; of one version in an order that is the same for all readers. */
static int compare_found(const void *a, const void *b)
{
    const struct sk_port_found *x = a, *y = b;
    if (x->head.version != y->head.version)
        return x->head.version > y->head.version ? -1 : 1;
    return -memcmp(x->head.check, y->head.check, sizeof x->head.check);
}

size_t sk_port_blob_find_heads(const struct sk_port_blob_key *key,
                               const struct sk_port_tally *tally,
                               struct sk_port_found ret_found[PORT_BLOB_HEADS_MAX])
{
    struct sk_port_blob_seen seen[SK_PORT_TALLY_MAX];
    struct sk_port_blob_head heads[PORT_BLOB_HEADS_MAX];
    struct sk_endpoint ip;
    size_t pos = 0, found = 0;
    while (found < PORT_BLOB_HEADS_MAX && sk_port_tally_next_ip(tally, &pos, &ip)) {
        size_t count = sk_port_tally_of(tally, &ip, seen, SK_PORT_TALLY_MAX);
        size_t read = sk_port_blob_read_heads(key, seen, count, heads, PORT_BLOB_HEADS_MAX - found);
        for (size_t i = 0; i < read; i++)
            ret_found[found++] = (struct sk_port_found){.ip = ip, .head = heads[i]};
    }
    qsort(ret_found, found, sizeof *ret_found, compare_found);
    return found;
}

int sk_port_blob_init(struct sk_port_blob *blob, const struct sk_dht_task_kind *kind,
                      const char *text, unsigned parallel, uint64_t now_ns)
{
    sk_work_init(&blob->work, kind, now_ns);
    sk_port_blob_key(sk_bytes_text(text), &blob->key);
    sk_port_tally_init(&blob->heads);
    return sk_dht_batch_init(&blob->work.batch, PORT_BLOB_HASHES_MAX, parallel);
}

void sk_port_blob_deinit(struct sk_port_blob *blob, struct sk_dht *dht)
{
    sk_dht_batch_deinit(&blob->work.batch, dht);
    sk_port_tally_deinit(&blob->heads);
}

struct sk_dht_search sk_port_blob_search(const struct sk_port_blob *blob, uint32_t number,
                                         unsigned k)
{
    struct sk_dht_search search = {
        .method = SK_KRPC_GET_PEERS,
        .k = k < SK_DHT_SEARCH_K_MAX ? k : SK_DHT_SEARCH_K_MAX,
    };
    if (number == PORT_BLOB_HEAD)
        sk_port_blob_head_hash(&blob->key, search.target);
    else
        sk_port_blob_segment_hash(&blob->key, &blob->head, number, search.target);
    return search;
}

void sk_dht_port_blob_result(const struct sk_dht_task *task,
                             struct sk_dht_port_blob_result *ret_result)
{
    const struct sk_port_blob *blob = (const struct sk_port_blob *)task;
    *ret_result = blob->result;
    ret_result->what = blob->work.what;
}
