#include "proto/dht/crawl.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"
#include "proto/dht/walk.h"

#include <string.h>

#define NOTE_NS UINT64_C(500000000) /* between notes of progress */
#define RATE 200.0
#define UNDER_WAY 512
#define TRIES 3

struct crawl {
    struct sk_dht_task task;
    struct sk_dht_walk *walk;
    struct sk_dht_found found; /* what the last note points to */
    uint32_t rest;             /* over: who is not told yet has this number or a higher one */
    uint32_t told_now;         /* of the rest, since the last run */
    uint64_t now_ns, note_ns;
    bool noted, over, over_told;
};

static bool event(struct sk_dht_task *task, struct sk_dht *dht, const struct sk_dht_event *event,
                  uint64_t now_ns)
{
    return sk_dht_walk_event(((struct crawl *)task)->walk, dht, event, now_ns);
}

static bool walk_over(const struct crawl *crawl)
{
    struct sk_dht_walk_stats stats;
    sk_dht_walk_stats(crawl->walk, &stats);
    return stats.over;
}

static void run(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns)
{
    struct crawl *crawl = (struct crawl *)task;
    sk_dht_walk_run(crawl->walk, dht, now_ns);
    crawl->over = walk_over(crawl);
    crawl->told_now = 0;
    crawl->now_ns = now_ns;
    if (now_ns >= crawl->note_ns) {
        crawl->note_ns = now_ns + NOTE_NS;
        crawl->noted = !crawl->over;
    }
}

static void describe(struct crawl *crawl, uint32_t number)
{
    const struct sk_dht_known *known = sk_dht_walk_known(crawl->walk);
    struct sk_dht_known_node *node = sk_dht_known_at(known, number);
    struct sk_dht_found *found = &crawl->found;
    *found = (struct sk_dht_found){
        .contact = sk_dht_known_contact(known, number),
        .state = SK_DHT_FOUND_SILENT,
        .rtt_ns = (uint64_t)node->rtt_us * 1000,
        .told_by = node->told_by,
    };
    if (node->state == SK_DHT_KNOWN_ALIVE)
        found->state = sk_dht_known_changed(node) ? SK_DHT_FOUND_ID_CHANGED : SK_DHT_FOUND_ALIVE;
    found->id_fits = sk_dht_id_fits(found->contact.id, &found->contact.endpoint);
    memcpy(found->version, node->version, sizeof found->version);
    node->reported = true;
}

/* The next node to tell of, by its number. */
static bool next_found(struct crawl *crawl, uint32_t *ret_number)
{
    const struct sk_dht_known *known = sk_dht_walk_known(crawl->walk);
    const struct sk_dht_known_node *node;
    while (sk_dht_walk_next_visited(crawl->walk, ret_number)) {
        node = sk_dht_known_at(known, *ret_number);
        if (node->state == SK_DHT_KNOWN_ALIVE && !node->told_other)
            return true;
    }
    while (crawl->over && crawl->rest < known->count && crawl->told_now < SK_DHT_CRAWL_NOTES_MAX) {
        *ret_number = crawl->rest++;
        node = sk_dht_known_at(known, *ret_number);
        if (node->tries && !node->reported) {
            crawl->told_now++;
            return true;
        }
    }
    return false;
}

static int next_note(struct sk_dht_task *task, struct sk_dht_note *ret_note)
{
    struct crawl *crawl = (struct crawl *)task;
    uint32_t number;
    if (next_found(crawl, &number)) {
        describe(crawl, number);
        *ret_note = (struct sk_dht_note){.kind = SK_DHT_NOTE_FOUND, .found = &crawl->found};
        return 1;
    }
    if (crawl->noted) {
        crawl->noted = false;
        *ret_note = (struct sk_dht_note){.kind = SK_DHT_NOTE_PROGRESS};
        return 1;
    }
    if (!crawl->over || crawl->over_told || crawl->rest < sk_dht_walk_known(crawl->walk)->count)
        return 0;
    struct sk_dht_walk_stats stats;
    sk_dht_walk_stats(crawl->walk, &stats);
    crawl->over_told = true;
    *ret_note = (struct sk_dht_note){
        .kind = SK_DHT_NOTE_DONE, .error = stats.error, .reason = stats.reason};
    return 1;
}

static uint64_t deadline(const struct sk_dht_task *task)
{
    const struct crawl *crawl = (const struct crawl *)task;
    if (!walk_over(crawl))
        return sk_dht_walk_deadline(crawl->walk);
    return crawl->over_told ? SK_TIME_NEVER : crawl->now_ns;
}

static void free_crawl(struct sk_dht_task *task, struct sk_dht *dht)
{
    struct crawl *crawl = (struct crawl *)task;
    sk_dht_walk_free(crawl->walk, dht);
    sk_mem_free(crawl);
}

static const struct sk_dht_task_kind crawl_kind = {event, run, next_note, deadline, free_crawl};

int sk_dht_crawl_new(const struct sk_dht_crawl_config *config, uint64_t now_ns,
                     struct sk_dht_task **ret_task)
{
    if (config->prefix_bits > SK_DHT_ZONE_BITS_MAX)
        return SKEP_ERR_INVALID;
    const uint8_t *prefix = config->prefix;
    uint32_t head = (uint32_t)prefix[0] << 24 | (uint32_t)prefix[1] << 16 |
                    (uint32_t)prefix[2] << 8 | prefix[3];
    uint32_t zone = config->prefix_bits ? head >> (32 - config->prefix_bits) : 0;
    struct sk_dht_walk_config walk = {
        .family = config->family,
        .rate = config->rate == 0 ? RATE : config->rate,
        .under_way = config->under_way ? config->under_way : UNDER_WAY,
        .nodes_max = config->nodes_max ? SK_MIN(config->nodes_max, SK_DHT_CRAWL_NODES_MAX)
                                       : SK_DHT_CRAWL_NODES_MAX,
        .tries = TRIES,
        .zone_bits = config->prefix_bits,
        .zones = &zone,
        .zones_count = 1,
        .seed = config->seed,
    };
    struct crawl *crawl = sk_mem_calloc(1, sizeof *crawl);
    if (!crawl)
        return SKEP_ERR_NOMEM;
    int err = sk_dht_walk_new(&walk, now_ns, &crawl->walk);
    if (err) {
        sk_mem_free(crawl);
        return err;
    }
    crawl->task.kind = &crawl_kind;
    crawl->now_ns = now_ns;
    crawl->note_ns = now_ns + NOTE_NS;
    *ret_task = &crawl->task;
    return 0;
}

void sk_dht_crawl_result(const struct sk_dht_task *task, struct sk_dht_crawl_result *ret_result)
{
    const struct crawl *crawl = (const struct crawl *)task;
    SK_ASSERT(task->kind == &crawl_kind);
    struct sk_dht_walk_stats stats;
    sk_dht_walk_stats(crawl->walk, &stats);
    *ret_result = (struct sk_dht_crawl_result){
        .known = stats.known,
        .asked = stats.asked,
        .alive = stats.alive,
        .silent = stats.asked - stats.alive,
        .ids_changed = stats.ids_changed,
        .id_fits = stats.id_fits,
        .queries = stats.queries,
        .complete = stats.complete,
    };
}
