/*
 * When an audit ends: whether it is true that 99 % of the peers that can be reached are seen when
 * the rule says so, and how many more announces that took than an oracle needs, which counts those
 * that nobody told and stops at the first announce at which they are 1 %.
 */
#include "audit/stopping.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "sim/crowd.h"
#include "sim/experiment.h"

#include <math.h>

#define ANNOUNCES_MAX 400
#define CONNECTS 5 /* peers connected to in the time of an announce: each tells its PEX at once */
#define PEX_PERIOD_S 60 /* and again */
#define PEX_MOST 50
/* The lasting oracle: so often of the next announces 99 % are seen. */
#define HOLDS_SHARE 0.95
#define HOLDS_ANNOUNCES 20

/* A churn and how often somebody is asked. */
struct line {
    double churn_low, churn_high; /* a minute */
    double announces_s;           /* a second; 0 = by --rate */
};

static const struct line lines[] = {{0, 0, 0},     {0, 0.05, 0}, {0.05, 0.1, 0},
                                    {0.1, 0.2, 0}, {0, 0.2, 0},  {0, 0.2, 1}};

struct audit {
    struct sk_crowd crowd;
    bool *connected;
    size_t connected_capacity;
    uint32_t answers;
    uint32_t announces, oracle, lasting, ours;      /* announces until then; 0 = never */
    bool seen[ANNOUNCES_MAX + HOLDS_ANNOUNCES + 1]; /* 99 %, by announce */
    bool was_true;
    double hidden; /* share when ours stopped */
};

struct sums {
    uint32_t runs, reached, claims, true_claims, both;
    double oracle, ours, lasting, lasting_ours, hidden, ratio;
};

/* ---- one audit ---- */

static bool grow_connected(struct audit *audit)
{
    size_t capacity = audit->crowd.capacity;
    if (capacity == audit->connected_capacity)
        return true;
    bool *connected = sk_mem_realloc(audit->connected, capacity, sizeof *connected);
    if (!connected)
        return false;
    for (size_t i = audit->connected_capacity; i < capacity; i++)
        connected[i] = false;
    audit->connected = connected;
    audit->connected_capacity = capacity;
    return true;
}

/* One announce to the tracker, one answer of a DHT node, and what peers tell in the meantime. */
static void ask(struct audit *audit, double seconds)
{
    struct sk_crowd *crowd = &audit->crowd;
    uint32_t connects = CONNECTS;
    sk_crowd_ask_tracker(crowd);
    sk_crowd_ask_dht(crowd);
    audit->answers += 2;
    for (uint32_t i = 0; i < crowd->config.peers; i++) {
        uint32_t number = crowd->present[i];
        const struct sk_crowd_peer *peer = &crowd->peers[number];
        if (!peer->connectable || !peer->exchanges || !peer->sources)
            continue;
        bool is_new = !audit->connected[number];
        if (is_new ? connects == 0 : sk_prng_unit(&crowd->prng) >= seconds / PEX_PERIOD_S)
            continue;
        connects -= is_new;
        audit->connected[number] = true;
        sk_crowd_ask_peer(crowd, number, PEX_MOST);
        audit->answers++;
    }
}

/* The share of the reachable peers that nobody told. */
static double hidden_share(const struct sk_crowd *crowd)
{
    uint32_t hidden = 0, reachable = 0;
    for (uint32_t i = 0; i < crowd->config.peers; i++) {
        const struct sk_crowd_peer *peer = &crowd->peers[crowd->present[i]];
        reachable += peer->connectable;
        hidden += peer->connectable && !peer->sources;
    }
    return (double)hidden / SK_MAX(reachable, 1u);
}

static enum sk_stopping_rule decide(const struct audit *audit)
{
    const struct sk_crowd *crowd = &audit->crowd;
    struct sk_census census;
    struct sk_hidden hidden;
    sk_census_init(&census, crowd->now_s, audit->answers);
    sk_crowd_count(crowd, &census);
    sk_census_estimate(&census, &hidden);
    struct sk_stopping_input input = {
        .elapsed_s = crowd->now_s,
        .has_metadata = true,
        .known = census.present,
        .trackers = 1,
        .next_draw_s = 0, /* there is always more to be asked */
        .present = census.present,
        .hidden_most = hidden.most,
    };
    return sk_stopping_decide(&input);
}

/* The first announce from which on 99 % are seen nearly all the time. */
static uint32_t find_lasting(const struct audit *audit)
{
    for (uint32_t from = 1; from + HOLDS_ANNOUNCES <= audit->announces; from++) {
        uint32_t held = 0;
        for (uint32_t i = 0; i < HOLDS_ANNOUNCES; i++)
            held += audit->seen[from + i];
        if (audit->seen[from] && held >= HOLDS_SHARE * HOLDS_ANNOUNCES)
            return from;
    }
    return 0;
}

static int run_audit(struct audit *audit, double seconds)
{
    uint32_t after = 0; /* announces after both have stopped */
    int err = 0;
    while (audit->announces < ANNOUNCES_MAX + HOLDS_ANNOUNCES && after <= HOLDS_ANNOUNCES && !err) {
        err = audit->announces ? sk_crowd_advance(&audit->crowd, seconds) : 0;
        if (err || !grow_connected(audit))
            return SKEP_ERR_NOMEM;
        ask(audit, seconds);
        uint32_t number = ++audit->announces;
        double hidden = hidden_share(&audit->crowd);
        audit->seen[number] = hidden <= SK_STOPPING_SHARE;
        if (!audit->oracle && audit->seen[number])
            audit->oracle = number;
        if (!audit->ours && number <= ANNOUNCES_MAX && decide(audit) == SK_STOPPING_SEEN) {
            audit->ours = number;
            audit->was_true = audit->seen[number];
            audit->hidden = hidden;
        }
        after += audit->oracle && audit->ours;
    }
    audit->lasting = find_lasting(audit);
    return err;
}

/* ---- many ---- */

static void add(const struct audit *audit, struct sums *sums)
{
    sums->runs++;
    sums->reached += audit->oracle != 0;
    sums->claims += audit->ours != 0;
    sums->true_claims += audit->was_true;
    sums->hidden += audit->hidden;
    if (!audit->oracle || !audit->ours)
        return;
    sums->both++;
    sums->oracle += audit->oracle;
    sums->ours += audit->ours;
    sums->ratio += (double)audit->ours / audit->oracle;
    if (audit->lasting) {
        sums->lasting += audit->lasting;
        sums->lasting_ours += audit->ours;
    }
}

static int run_one(const struct sk_sim_options *options, const struct line *line, uint64_t seed,
                   struct sums *sums)
{
    struct sk_prng prng;
    struct audit audit = {0};
    sk_prng_init(&prng, sk_hash_mix(seed));
    double churn = line->churn_low + (line->churn_high - line->churn_low) * sk_prng_unit(&prng);
    struct sk_crowd_config config = {
        .seed = sk_prng_u64(&prng),
        .peers = options->nodes,
        .churn = churn,
        .connectable = 0.4 + 0.4 * sk_prng_unit(&prng),
        .dht = 0.7 + 0.25 * sk_prng_unit(&prng),
        .tracked = 0.8 + 0.2 * sk_prng_unit(&prng),
        .exchanges = 0.9,
        .degree = 15,
        .tracker_told = sk_prng_below(&prng, 2) ? 50 : 200,
        .dht_nodes = 16,
        .dht_told = 50,
        .dht_stored = 0.5,
    };
    int err = sk_crowd_init(&audit.crowd, &config);
    if (err)
        return err;
    err = run_audit(&audit, 1 / (line->announces_s > 0 ? line->announces_s : options->rate));
    add(&audit, sums);
    sk_mem_free(audit.connected);
    sk_crowd_deinit(&audit.crowd);
    return err;
}

static void print(struct sk_sim_report *report, const struct sk_sim_options *options,
                  const struct line *line, const struct sums *sums)
{
    double runs = sums->runs, claims = sums->claims, both = sums->both;
    sk_sim_report_number(report, "churn_from_%", 100 * line->churn_low, 0);
    sk_sim_report_number(report, "to_%", 100 * line->churn_high, 0);
    sk_sim_report_number(report, "announces_s",
                         line->announces_s > 0 ? line->announces_s : options->rate, 2);
    sk_sim_report_number(report, "peers", options->nodes, 0);
    sk_sim_report_number(report, "runs", runs, 0);
    sk_sim_report_number(report, "oracle_%", 100 * sums->reached / runs, 1);
    sk_sim_report_number(report, "claims_%", 100 * claims / runs, 1);
    sk_sim_report_number(report, "true_%", 100 * sums->true_claims / claims, 1);
    sk_sim_report_number(report, "hidden_%", 100 * sums->hidden / claims, 2);
    sk_sim_report_number(report, "oracle", sums->oracle / both, 1);
    sk_sim_report_number(report, "ours", sums->ours / both, 1);
    sk_sim_report_number(report, "ratio", sums->ours / sums->oracle, 3);
    sk_sim_report_number(report, "mean_ratio", sums->ratio / both, 3);
    sk_sim_report_number(report, "lasting", sums->lasting_ours / sums->lasting, 3);
    sk_sim_report_end_row(report);
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(lines); i++) {
        struct sums sums = {0};
        for (uint32_t run = 0; run < options->runs; run++)
            if (run_one(options, &lines[i], options->seed + run, &sums))
                return "no memory";
        print(report, options, &lines[i], &sums);
    }
    return NULL;
}

const struct sk_sim_experiment sk_sim_stopping = {
    .name = "stopping",
    .summary = "whether 99 % are seen when an audit ends because of that, and how late it ends",
    .defaults = {.seed = 1, .nodes = 2000, .runs = 500, .rate = 4},
    .run = run,
};
