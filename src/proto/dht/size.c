#include "proto/dht/size.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"
#include "proto/dht/density.h"
#include "proto/dht/walk.h"

#include <math.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define JOIN_WAIT_NS (15 * SECOND_NS) /* for the node to be ready */
#define JOIN_CHECK_NS (SECOND_NS / 4)
#define NOTE_NS (SECOND_NS / 2) /* between notes of progress */
#define BUSY_NS (SECOND_NS / 20)
#define PRECISION 0.02
#define PRECISION_MIN 0.002
#define RATE 200.0
#define PARALLEL 512
#define GUESSES 8 /* lookups for the first guess */
#define GUESSES_AT_ONCE 4
#define GUESS_FACTOR 1.4 /* that it may be wrong by, either way */
#define SMALL 1000       /* nodes: counted whole */
#define MOST 0.7         /* of the network: as well counted whole */
#define ZONES_WANTED 32
#define ZONE_NODES_MIN 32.0
#define ZONE_NODES_MAX 256.0
#define ZONES_FIRST 16
#define ZONES_MORE 4  /* at least, in a further batch */
#define WRONG_GUESS 4 /* the zones hold so many times fewer nodes than they should */
#define TOO_MANY 8    /* times as many as they should, dead ones included */
#define RESTARTS_MAX 6
#define WHOLE_TRIES 3
#define ZONE_TRIES 2

enum phase { PHASE_WAIT, PHASE_GUESS, PHASE_COUNT, PHASE_DONE };

struct guess {
    uint64_t op; /* 0 none */
    uint8_t target[SK_DHT_ID_SIZE];
};

struct size {
    struct sk_dht_task task;
    struct sk_dht_size_config config;
    struct sk_prng prng;
    enum phase phase;
    struct sk_dht_walk *walk; /* the batch that is being counted */
    struct guess guesses[GUESSES_AT_ONCE];
    unsigned guesses_made, guesses_over;
    double distances[GUESSES];
    unsigned distances_count;
    bool met; /* a lookup found somebody */
    double guess;

    /* The zones drawn, those of the batch last, and what was counted in each. */
    uint32_t *zones, *counts, *scratch;
    uint32_t zones_count, zones_counted;
    struct sk_dht_density density;
    unsigned restarts;

    struct sk_dht_size_result result;
    uint64_t walks_queries, walks_searches; /* of batches that are over */
    uint64_t start_ns, deadline_ns, note_ns;
    bool noted; /* progress to tell */
    bool told;  /* that it is over */
    int error;
    const char *reason;
};

static void finish(struct size *size, int error, const char *reason)
{
    size->phase = PHASE_DONE;
    size->error = error;
    size->reason = reason;
    size->deadline_ns = SK_TIME_NEVER;
}

/* ---- the zones ---- */

static bool drawn(const struct size *size, uint32_t zone)
{
    for (uint32_t i = 0; i < size->zones_count; i++)
        if (size->zones[i] == zone)
            return true;
    return false;
}

/* Draws `count` more zones, sorted among themselves. */
static int draw_zones(struct size *size, uint32_t count)
{
    size_t all = (size_t)size->zones_count + count;
    uint32_t **arrays[] = {&size->zones, &size->counts, &size->scratch};
    for (size_t i = 0; i < SK_ARRAY_LEN(arrays); i++) {
        uint32_t *grown = sk_mem_realloc(*arrays[i], all, sizeof *grown);
        if (!grown)
            return SKEP_ERR_NOMEM;
        *arrays[i] = grown;
    }
    uint32_t space = UINT32_C(1) << size->density.zone_bits, first = size->zones_count;
    for (uint32_t made = 0; made < count; made++) {
        uint32_t zone = (uint32_t)sk_prng_below(&size->prng, space);
        while (drawn(size, zone))
            zone = (zone + 1) % space;
        uint32_t place = size->zones_count++;
        for (; place > first && size->zones[place - 1] > zone; place--)
            size->zones[place] = size->zones[place - 1];
        size->zones[place] = zone;
    }
    memset(size->counts + first, 0, count * sizeof *size->counts);
    return 0;
}

/* Many more than there should be: the guess is wrong then, and the walk would be too long. */
static uint32_t nodes_max(const struct size *size)
{
    double zones = size->density.zone_bits ? size->zones_count - size->zones_counted : 1;
    double expected = ldexp(size->guess, -(int)size->density.zone_bits) * zones;
    if (size->restarts == RESTARTS_MAX)
        return SK_DHT_CRAWL_NODES_MAX;
    return (uint32_t)fmin(SK_DHT_CRAWL_NODES_MAX, TOO_MANY * fmax(expected, SMALL));
}

static int start_walk(struct size *size, uint64_t now_ns)
{
    bool whole = !size->density.zone_bits;
    struct sk_dht_walk_config config = {
        .family = size->config.family,
        .rate = size->config.rate,
        .under_way = size->config.parallel,
        .nodes_max = nodes_max(size),
        .tries = size->density.tries,
        .zone_bits = size->density.zone_bits,
        .zones = whole ? NULL : size->zones + size->zones_counted,
        .zones_count = whole ? 0 : size->zones_count - size->zones_counted,
        .at_once = true,
        .seed = sk_prng_u64(&size->prng),
    };
    return sk_dht_walk_new(&config, now_ns, &size->walk);
}

/* Counts in `zones` more zones of those that there are; all that are left if they are fewer. */
static int start_batch(struct size *size, double zones, uint64_t now_ns)
{
    uint32_t left = (UINT32_C(1) << size->density.zone_bits) - size->zones_count;
    int err = draw_zones(size, zones < left ? (uint32_t)ceil(zones) : left);
    return err ? err : start_walk(size, now_ns);
}

/* Begins to count a network of about so many nodes. */
static int start_count(struct size *size, double nodes, uint64_t now_ns)
{
    size->guess = nodes;
    struct sk_dht_density *density = &size->density;
    *density = (struct sk_dht_density){.tries = WHOLE_TRIES};
    size->zones_count = size->zones_counted = 0;
    size->result.nodes_seen = size->result.id_fits = 0;
    double needed = sk_dht_density_needed(nodes, size->config.precision);
    if (nodes < SMALL || needed > MOST * nodes)
        return start_batch(size, 1, now_ns);
    double zone = fmin(fmax(needed / ZONES_WANTED, ZONE_NODES_MIN), ZONE_NODES_MAX);
    long bits = lround(log2(nodes / zone));
    density->zone_bits = (unsigned)SK_MIN(bits, SK_DHT_ZONE_BITS_MAX);
    density->tries = ZONE_TRIES;
    return start_batch(size, ZONES_FIRST, now_ns);
}

/* ---- the first guess ---- */

static void guess_over(struct size *size, struct guess *guess, const struct sk_dht_result *result)
{
    guess->op = 0;
    size->guesses_over++;
    size->result.queries += result->asked;
    size->met |= result->closest_count > 0;
    if (result->closest_count < SK_DHT_K)
        return;
    const uint8_t *id = result->closest[SK_DHT_K - 1].contact.id;
    double distance = 0;
    for (unsigned i = 0; i < 8; i++)
        distance = distance * 256 + (guess->target[i] ^ id[i]);
    size->distances[size->distances_count++] = ldexp(distance, -64);
}

static int ask_guesses(struct size *size, struct sk_dht *dht, uint64_t now_ns)
{
    for (unsigned i = 0; i < GUESSES_AT_ONCE; i++) {
        struct guess *guess = &size->guesses[i];
        if (guess->op || size->guesses_made == GUESSES)
            continue;
        struct sk_dht_search search = {
            .method = SK_KRPC_FIND_NODE,
            .families = size->config.family == SK_FAMILY_V6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4,
        };
        sk_prng_bytes(&size->prng, guess->target, SK_DHT_ID_SIZE);
        memcpy(search.target, guess->target, SK_DHT_ID_SIZE);
        int err = sk_dht_start_search(dht, &search, now_ns, &guess->op);
        if (err)
            return err;
        size->guesses_made++;
        size->result.lookups++;
    }
    return 0;
}

/* Where most lookups find no eight nodes there are few. */
static int take_guess(struct size *size, uint64_t now_ns)
{
    size->phase = PHASE_COUNT;
    size->noted = true;
    double nodes = 0;
    if (size->distances_count > GUESSES / 2) {
        nodes = sk_dht_density_guess(size->distances, size->distances_count, SK_DHT_K);
        size->result.estimate = nodes;
        size->result.low = nodes / GUESS_FACTOR;
        size->result.high = nodes * GUESS_FACTOR;
        size->result.method = "distances of the nodes nearest to random ids";
    }
    return start_count(size, nodes, now_ns);
}

/* ---- the count ---- */

static void take_counts(struct size *size)
{
    const struct sk_dht_known *known = sk_dht_walk_known(size->walk);
    struct sk_dht_density *density = &size->density;
    for (uint32_t i = 0; i < known->count; i++) {
        const struct sk_dht_known_node *node = sk_dht_known_at(known, i);
        uint32_t zone;
        if (node->state != SK_DHT_KNOWN_ALIVE || !sk_dht_walk_zone(size->walk, node->id, &zone))
            continue;
        size->counts[size->zones_counted + zone]++;
        density->told_never += node->told_by == 0;
        density->told_once += node->told_by == 1;
        density->told_twice += node->told_by == 2;
        density->answered[node->tries - 1]++;
        size->result.nodes_seen++;
        size->result.id_fits += node->id_fits;
    }
    size->zones_counted = size->zones_count;
    density->counts = size->counts;
    density->zones = size->zones_counted;
}

static void estimate(struct size *size)
{
    struct sk_dht_density_estimate estimate;
    sk_dht_density_estimate(&size->density, size->scratch, &estimate);
    struct sk_dht_size_result *result = &size->result;
    result->estimate = estimate.estimate;
    result->low = estimate.low;
    result->high = estimate.high;
    result->unseen = estimate.unseen;
    result->left_out = estimate.left_out;
    result->zones = size->density.zones;
    result->zone_bits = size->density.zone_bits;
    result->method = size->density.zone_bits ? "count of nodes in random zones of the id space, "
                                               "corrected for the unseen"
                                             : "count of all nodes, corrected for the unseen";
    size->noted = true;
}

/* The batch is over: is the interval narrow enough, or how many zones more? */
static int next_batch(struct size *size, uint64_t now_ns)
{
    const struct sk_dht_size_result *result = &size->result;
    double zones = size->density.zones, space = ldexp(1, (int)size->density.zone_bits);
    if (!result->nodes_seen && !size->met) {
        finish(size, SKEP_ERR_NETWORK, "nobody answers");
        return 0;
    }
    double half = fmax(result->high - result->estimate, result->estimate - result->low);
    if (half <= size->config.precision * result->estimate || zones >= space) {
        finish(size, 0, NULL);
        return 0;
    }
    if (result->estimate * WRONG_GUESS < size->guess && size->restarts < RESTARTS_MAX) {
        size->restarts++;
        return start_count(size, result->estimate, now_ns);
    }
    double needed = sk_dht_density_needed(result->estimate, size->config.precision);
    double more = needed / fmax(result->estimate, 1) * space - zones;
    return start_batch(size, fmax(more, ZONES_MORE), now_ns);
}

static int count(struct size *size, struct sk_dht *dht, uint64_t now_ns)
{
    uint32_t number;
    while (sk_dht_walk_next_visited(size->walk, &number))
        ; /* they are counted when all are */
    sk_dht_walk_run(size->walk, dht, now_ns);
    struct sk_dht_walk_stats stats;
    sk_dht_walk_stats(size->walk, &stats);
    if (!stats.over) {
        size->deadline_ns = sk_dht_walk_deadline(size->walk);
        return 0;
    }
    if (stats.error && stats.error != SKEP_ERR_NETWORK)
        return stats.error;
    bool too_many = !stats.error && !stats.complete && size->restarts < RESTARTS_MAX;
    if (!too_many)
        take_counts(size);
    size->walks_queries += stats.queries;
    size->walks_searches += stats.searches;
    sk_dht_walk_free(size->walk, dht);
    size->walk = NULL;
    size->deadline_ns = now_ns;
    if (too_many) {
        size->restarts++;
        return start_count(size, TOO_MANY * fmax(size->guess, SMALL), now_ns);
    }
    estimate(size);
    return next_batch(size, now_ns);
}

/* ---- the task ---- */

static bool event(struct sk_dht_task *task, struct sk_dht *dht, const struct sk_dht_event *event,
                  uint64_t now_ns)
{
    struct size *size = (struct size *)task;
    for (unsigned i = 0; i < GUESSES_AT_ONCE; i++) {
        if (!event->search || !size->guesses[i].op || size->guesses[i].op != event->op)
            continue;
        if (event->kind == SK_DHT_EVENT_DONE)
            guess_over(size, &size->guesses[i], event->result);
        return true;
    }
    return size->walk && sk_dht_walk_event(size->walk, dht, event, now_ns);
}

static int step(struct size *size, struct sk_dht *dht, uint64_t now_ns)
{
    switch (size->phase) {
    case PHASE_WAIT:
        if (!sk_dht_table(dht, size->config.family)) {
            finish(size, SKEP_ERR_STATE, "the node has no such network");
            return 0;
        }
        if (sk_dht_state(dht, size->config.family) != SK_DHT_READY &&
            now_ns < size->start_ns + JOIN_WAIT_NS) {
            size->deadline_ns = now_ns + JOIN_CHECK_NS;
            return 0;
        }
        size->phase = PHASE_GUESS;
        return ask_guesses(size, dht, now_ns);
    case PHASE_GUESS:
        if (size->guesses_over < GUESSES)
            return ask_guesses(size, dht, now_ns);
        size->deadline_ns = now_ns;
        return take_guess(size, now_ns);
    case PHASE_COUNT:
        return count(size, dht, now_ns);
    case PHASE_DONE:
        break;
    }
    return 0;
}

static void run(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns)
{
    struct size *size = (struct size *)task;
    if (size->phase == PHASE_DONE)
        return;
    size->deadline_ns = SK_TIME_NEVER;
    int err = step(size, dht, now_ns);
    if (err == SKEP_ERR_LIMIT)
        size->deadline_ns = now_ns + BUSY_NS;
    else if (err)
        finish(size, err, NULL);
    if (now_ns >= size->note_ns) {
        size->note_ns = now_ns + NOTE_NS;
        size->noted = true;
    }
}

static int next_note(struct sk_dht_task *task, struct sk_dht_note *ret_note)
{
    struct size *size = (struct size *)task;
    if (size->noted) {
        size->noted = false;
        *ret_note = (struct sk_dht_note){.kind = SK_DHT_NOTE_PROGRESS};
        return 1;
    }
    if (size->phase != PHASE_DONE || size->told)
        return 0;
    size->told = true;
    *ret_note = (struct sk_dht_note){
        .kind = SK_DHT_NOTE_DONE, .error = size->error, .reason = size->reason};
    return 1;
}

static uint64_t deadline(const struct sk_dht_task *task)
{
    return ((const struct size *)task)->deadline_ns;
}

static void free_size(struct sk_dht_task *task, struct sk_dht *dht)
{
    struct size *size = (struct size *)task;
    for (unsigned i = 0; i < GUESSES_AT_ONCE; i++)
        if (size->guesses[i].op)
            sk_dht_cancel(dht, size->guesses[i].op);
    sk_dht_walk_free(size->walk, dht);
    sk_mem_free(size->zones);
    sk_mem_free(size->counts);
    sk_mem_free(size->scratch);
    sk_mem_free(size);
}

static const struct sk_dht_task_kind size_kind = {event, run, next_note, deadline, free_size};

int sk_dht_size_new(const struct sk_dht_size_config *config, uint64_t now_ns,
                    struct sk_dht_task **ret_task)
{
    if ((config->family != SK_FAMILY_V4 && config->family != SK_FAMILY_V6) ||
        (config->precision != 0 &&
         !(config->precision >= PRECISION_MIN && config->precision <= 1)) ||
        !(config->rate >= 0) || config->parallel > SK_DHT_CRAWL_UNDER_WAY_MAX)
        return SKEP_ERR_INVALID;
    struct size *size = sk_mem_calloc(1, sizeof *size);
    if (!size)
        return SKEP_ERR_NOMEM;
    size->task.kind = &size_kind;
    size->config = *config;
    if (size->config.precision == 0)
        size->config.precision = PRECISION;
    if (size->config.rate == 0)
        size->config.rate = RATE;
    if (!size->config.parallel)
        size->config.parallel = PARALLEL;
    sk_prng_init(&size->prng, config->seed);
    size->result = (struct sk_dht_size_result){
        .estimate = NAN, .low = NAN, .high = NAN, .unseen = NAN, .method = "not known yet"};
    size->start_ns = size->deadline_ns = now_ns;
    size->note_ns = now_ns + NOTE_NS;
    *ret_task = &size->task;
    return 0;
}

void sk_dht_size_result(const struct sk_dht_task *task, struct sk_dht_size_result *ret_result)
{
    const struct size *size = (const struct size *)task;
    SK_ASSERT(task->kind == &size_kind);
    *ret_result = size->result;
    ret_result->queries += size->walks_queries;
    ret_result->lookups += size->walks_searches;
    if (size->walk) {
        struct sk_dht_walk_stats stats;
        sk_dht_walk_stats(size->walk, &stats);
        ret_result->queries += stats.queries;
        ret_result->lookups += stats.searches;
        ret_result->nodes_seen += stats.alive;
        ret_result->id_fits += stats.id_fits;
    }
}
