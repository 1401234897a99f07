/*
 * How good the estimate of hidden peers is: tables of three sources of which each tells at most
 * 60 % of the swarm, with known truth.
 */
#include "audit/hidden.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/order.h"
#include "sim/crowd.h"
#include "sim/experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LISTS 3
#define CELLS (1 << LISTS)
#define TOLD_LEAST 0.35 /* share of the swarm that a source tells: from here on ... */
#define TOLD_MOST 0.6   /* ... at most */
#define RUNS_MAX 10000
#define FIT_ROUNDS 100
#define SECONDS 60 /* that a swarm is asked for */

/* A class of peers: its share of the swarm, and how likely each source tells one of it, as a
 * factor. */
struct class
{
    double share, tracker, pex, dht;
};

/* How the lists of a run depend on each other. */
struct kind {
    const char *name;
    double low, high; /* of the log odds ratio of each two sources, drawn anew each run */
    const struct class *classes; /* NULL: all peers are alike */
    bool crowd;                  /* none of these: a simulated swarm is asked (crowd.h) */
    double churn;                /* of it, at most, a minute */
};

static const struct class no_classes[] = {{1, 1, 1, 1}, {.share = 0}};
/* The rest, no DHT, not connectable, newcomers, known to trackers only by chance. */
static const struct class classes[] = {{0.45, 1, 1, 1},    {0.2, 1, 0.9, 0},  {0.2, 1, 0.4, 1},
                                       {0.1, 1, 0.4, 0.4}, {0.05, 0, 0.8, 1}, {.share = 0}};

static const struct kind kinds[] = {
    {"independent", 0, 0, no_classes, false, 0},
    {"positive", 0, 1.5, no_classes, false, 0},
    {"negative", -1.5, 0, no_classes, false, 0},
    {"both", -1.5, 1.5, no_classes, false, 0},
    {"classes", -0.5, 0.5, classes, false, 0},
    {"swarm", 0, 0, NULL, true, 0},
    {"churn", 0, 0, NULL, true, 0.2},
};
#define KINDS (sizeof kinds / sizeof *kinds)

struct draw {
    struct sk_prng prng;
    uint32_t peers;        /* and of a swarm those that can be reached at the end */
    uint32_t cells[CELLS]; /* [0]: hidden, the truth */
    struct sk_hidden estimated;
};

struct sums {
    uint32_t runs, known, held, above, below;
    double hidden, bias, width;
    double errors[RUNS_MAX];
};

static double between(struct sk_prng *prng, double low, double high)
{
    return low + (high - low) * sk_prng_unit(prng);
}

/* ---- tables from probabilities ---- */

/* Probabilities of the cells, with each list's margin as wanted and their log odds ratios kept. */
static void fit_margins(const double *margins, double *cells)
{
    for (uint32_t round = 0; round < FIT_ROUNDS; round++) {
        for (uint32_t list = 0; list < LISTS; list++) {
            double in = 0, all = 0;
            for (uint32_t cell = 0; cell < CELLS; cell++) {
                in += (cell >> list & 1) * cells[cell];
                all += cells[cell];
            }
            double inside = in > 0 ? margins[list] / in : 0;
            double outside = (1 - margins[list]) / (all - in);
            for (uint32_t cell = 0; cell < CELLS; cell++)
                cells[cell] *= cell >> list & 1 ? inside : outside;
        }
    }
}

static void draw_class(struct draw *draw, const double *margins, const double *odds, uint32_t peers)
{
    double cells[CELLS], sum = 0;
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        double both =
            odds[0] * ((cell & 3) == 3) + odds[1] * ((cell & 5) == 5) + odds[2] * ((cell & 6) == 6);
        cells[cell] = exp(both);
    }
    fit_margins(margins, cells);
    for (uint32_t cell = 0; cell < CELLS; cell++)
        sum += cells[cell];
    for (uint32_t i = 0; i < peers; i++) {
        double at = sk_prng_unit(&draw->prng) * sum;
        uint32_t cell = 0;
        while (cell + 1 < CELLS && at >= cells[cell])
            at -= cells[cell++];
        draw->cells[cell]++;
    }
}

static void draw_table(struct draw *draw, const struct kind *kind)
{
    double told[LISTS], odds[LISTS], mean[LISTS] = {0};
    for (uint32_t list = 0; list < LISTS; list++) {
        told[list] = between(&draw->prng, TOLD_LEAST, TOLD_MOST);
        odds[list] = between(&draw->prng, kind->low, kind->high);
    }
    for (const struct class *class = kind->classes; class->share > 0; class ++) {
        const double factors[LISTS] = {class->tracker, class->pex, class->dht};
        for (uint32_t list = 0; list < LISTS; list++)
            mean[list] += class->share * factors[list];
    }
    for (const struct class *class = kind->classes; class->share > 0; class ++) {
        const double factors[LISTS] = {class->tracker, class->pex, class->dht};
        double margins[LISTS];
        for (uint32_t list = 0; list < LISTS; list++)
            margins[list] = fmin(0.95, told[list] * factors[list] / mean[list]);
        draw_class(draw, margins, odds, (uint32_t)lround(class->share * draw->peers));
    }
}

/* ---- tables from a swarm ---- */

static uint32_t told_by(const struct sk_crowd *crowd, unsigned sources)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < crowd->config.peers; i++)
        count += (crowd->peers[crowd->present[i]].sources & sources) != 0;
    return count;
}

/* A peer that was told and may be asked; UINT32_MAX where chance finds none. */
static uint32_t find_teller(struct sk_crowd *crowd)
{
    for (uint32_t tries = 0; tries < crowd->config.peers; tries++) {
        uint32_t number = crowd->present[sk_prng_below(&crowd->prng, crowd->config.peers)];
        const struct sk_crowd_peer *peer = &crowd->peers[number];
        if (peer->sources && peer->connectable && peer->exchanges)
            return number;
    }
    return UINT32_MAX;
}

/* For a minute asks each source that has told less than the share drawn for it. */
static int ask_all(struct draw *draw, struct sk_crowd *crowd)
{
    uint32_t most[LISTS];
    int err = 0;
    for (uint32_t list = 0; list < LISTS; list++)
        most[list] = (uint32_t)(between(&draw->prng, TOLD_LEAST, TOLD_MOST) * draw->peers);
    for (uint32_t second = 0; second < SECONDS && !err; second++) {
        err = sk_crowd_advance(crowd, 1);
        if (err)
            break;
        if (told_by(crowd, SK_SOURCE_TRACKER) < most[0] * (second + 1) / SECONDS)
            sk_crowd_ask_tracker(crowd);
        uint32_t teller = find_teller(crowd);
        if (told_by(crowd, SK_SOURCE_PEX) < most[1] * (second + 1) / SECONDS &&
            teller != UINT32_MAX)
            sk_crowd_ask_peer(crowd, teller, 50);
        if (told_by(crowd, SK_SOURCE_DHT) < most[2] * (second + 1) / SECONDS)
            sk_crowd_ask_dht(crowd);
    }
    return err;
}

static int draw_crowd(struct draw *draw, double churn)
{
    struct sk_prng *prng = &draw->prng;
    struct sk_crowd_config config = {
        .seed = sk_prng_u64(prng),
        .peers = draw->peers,
        .churn = churn * sk_prng_unit(prng),
        .connectable = between(prng, 0.4, 0.8),
        .dht = between(prng, 0.7, 0.95),
        .tracked = between(prng, 0.8, 1),
        .exchanges = 0.9,
        .degree = 15,
        .tracker_told = 50,
        .dht_nodes = 16,
        .dht_told = 50,
        .dht_stored = 0.5,
    };
    struct sk_crowd crowd;
    struct sk_census census;
    int err = sk_crowd_init(&crowd, &config);
    if (err)
        return err;
    err = ask_all(draw, &crowd);
    sk_census_init(&census, crowd.now_s, 0);
    sk_crowd_count(&crowd, &census);
    sk_census_estimate(&census, &draw->estimated);
    draw->peers = 0;
    for (uint32_t i = 0; i < config.peers; i++) {
        const struct sk_crowd_peer *peer = &crowd.peers[crowd.present[i]];
        draw->cells[peer->sources] += peer->connectable;
        draw->peers += peer->connectable;
    }
    sk_crowd_deinit(&crowd);
    return err;
}

/* ---- many runs ---- */

static void judge(const struct draw *draw, struct sums *sums)
{
    const struct sk_hidden hidden = draw->estimated;
    double truth = draw->cells[0], peers = draw->peers;
    sums->hidden += truth / peers;
    double error = isnan(hidden.estimate) ? INFINITY : (hidden.estimate - truth) / peers;
    sums->errors[sums->runs++] = fabs(error);
    bool below = truth<hidden.low, above = truth> hidden.high;
    sums->below += below;
    sums->above += above;
    sums->held += !below && !above;
    if (isnan(hidden.high) || isinf(error))
        return;
    sums->known++;
    sums->bias += error;
    sums->width += (hidden.high - hidden.low) / peers;
}

static void print(struct sk_sim_report *report, const char *kind, uint32_t peers, struct sums *sums)
{
    double runs = sums->runs;
    qsort(sums->errors, sums->runs, sizeof *sums->errors, sk_order_doubles);
    sk_sim_report_text(report, "lists", kind);
    sk_sim_report_number(report, "peers", peers, 0);
    sk_sim_report_number(report, "runs", runs, 0);
    sk_sim_report_number(report, "hidden_%", 100 * sums->hidden / runs, 1);
    sk_sim_report_number(report, "error_50_%", 100 * sums->errors[sums->runs / 2], 2);
    sk_sim_report_number(report, "error_90_%", 100 * sums->errors[sums->runs * 9 / 10], 2);
    sk_sim_report_number(report, "bias_%", 100 * sums->bias / sums->known, 2);
    sk_sim_report_number(report, "width_%", 100 * sums->width / sums->known, 1);
    sk_sim_report_number(report, "held_%", 100 * sums->held / runs, 1);
    sk_sim_report_number(report, "too_low_%", 100 * sums->above / runs, 1);
    sk_sim_report_number(report, "too_high_%", 100 * sums->below / runs, 1);
    sk_sim_report_end_row(report);
}

static void estimate_table(struct draw *draw)
{
    struct sk_hidden_table table = {.lists = LISTS};
    memcpy(table.cells, draw->cells, sizeof draw->cells);
    table.cells[0] = 0;
    sk_hidden_estimate(&table, &draw->estimated);
}

static const char *run_kind(const struct sk_sim_options *options, const struct kind *kind,
                            struct sums *sums, struct sums *all)
{
    for (uint32_t i = 0; i < options->runs; i++) {
        struct draw draw = {.peers = options->nodes};
        sk_prng_init(&draw.prng, sk_hash_mix(options->seed + i));
        if (kind->crowd && draw_crowd(&draw, kind->churn))
            return "no memory";
        if (!kind->crowd) {
            draw_table(&draw, kind);
            estimate_table(&draw);
        }
        judge(&draw, sums);
        /* Each dependent kind has its share of the mixture. */
        if (kind > kinds && i % (KINDS - 1) == (size_t)(kind - kinds - 1))
            judge(&draw, all);
    }
    return NULL;
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    struct sums *sums = sk_mem_calloc(2, sizeof *sums);
    const char *fault = sums ? NULL : "no memory";
    for (size_t k = 0; k < KINDS && !fault; k++) {
        sums[0] = (struct sums){0};
        fault = run_kind(options, &kinds[k], &sums[0], &sums[1]);
        if (!fault)
            print(report, kinds[k].name, options->nodes, &sums[0]);
    }
    if (!fault)
        print(report, "all dependent", options->nodes, &sums[1]);
    sk_mem_free(sums);
    return fault;
}

const struct sk_sim_experiment sk_sim_hidden = {
    .name = "hidden",
    .summary = "how good the estimate of peers that no source tells is, in many runs",
    .defaults = {.seed = 1, .nodes = 1000, .runs = 200},
    .run = run,
};
