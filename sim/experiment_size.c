/* How good the estimate of the network's size is, and how honest its interval. */
#include "proto/dht/size.h"

#include "base/assert.h"
#include "base/map.h"
#include "sim/experiment.h"

#include <math.h>

#define PATIENCE (12 * SK_SIM_HOUR)
#define RUNS_A_NETWORK 25 /* from nodes of their own, one after the other */

struct estimate {
    bool over;
    struct sk_dht_size_result result;
};

struct sums {
    uint32_t runs, held, within_3;
    double live, error, square, most, width, queries, lookups, seconds;
};

static void hear(void *ctx, uint32_t node, struct sk_dht_task *task, const struct sk_dht_note *note)
{
    struct estimate *estimate = ctx;
    if (note->kind != SK_DHT_NOTE_DONE)
        return;
    sk_dht_size_result(task, &estimate->result);
    estimate->over = true;
}

static void run_estimate(struct sk_sim_dht *sim, uint64_t seed, struct sums *sums)
{
    const struct sk_dht_size_config config = {.family = SK_FAMILY_V4, .seed = seed};
    struct estimate estimate = {.result = {.estimate = NAN}};
    const struct sk_sim_dht_watch watch = {.note = hear, .ctx = &estimate};
    struct sk_dht_task *task;
    int err = sk_dht_size_new(&config, sk_sim_dht_now(sim), &task);
    SK_ASSERT(err == 0);
    sk_sim_dht_watch(sim, &watch);
    sk_sim_dht_attach(sim, sk_sim_dht_pick(sim), task);
    uint64_t begin = sk_sim_dht_now(sim);
    while (!estimate.over && sk_sim_dht_now(sim) < begin + PATIENCE && !sk_sim_dht_fault(sim))
        sk_sim_dht_run_for(sim, SK_SIM_SECOND);
    const struct sk_dht_size_result *result = &estimate.result;
    double truth = sk_sim_dht_live(sim) - 1.0; /* but the one that counts */
    double error = estimate.over ? result->estimate / truth - 1 : 1;
    sums->runs++;
    sums->live += truth;
    sums->held += estimate.over && result->low <= truth && truth <= result->high;
    sums->within_3 += fabs(error) <= 0.03;
    sums->error += error;
    sums->square += error * error;
    sums->most = fmax(sums->most, fabs(error));
    sums->width += (result->high - result->low) / 2 / truth;
    sums->queries += (double)result->queries;
    sums->lookups += (double)result->lookups;
    sums->seconds += (double)(sk_sim_dht_now(sim) - begin) / (double)SK_SIM_SECOND;
}

static void print(struct sk_sim_report *report, const struct sk_sim_options *options,
                  const struct sums *sums)
{
    double runs = sums->runs;
    sk_sim_report_number(report, "nodes", options->nodes, 0);
    sk_sim_report_number(report, "live", sums->live / runs, 0);
    sk_sim_report_number(report, "runs", runs, 0);
    sk_sim_report_number(report, "bias_%", 100 * sums->error / runs, 2);
    sk_sim_report_number(report, "rms_error_%", 100 * sqrt(sums->square / runs), 2);
    sk_sim_report_number(report, "worst_%", 100 * sums->most, 2);
    sk_sim_report_number(report, "half_width_%", 100 * sums->width / runs, 2);
    sk_sim_report_number(report, "within_3_%", 100 * sums->within_3 / runs, 1);
    sk_sim_report_number(report, "held_%", 100 * sums->held / runs, 1);
    sk_sim_report_number(report, "lookups", sums->lookups / runs, 0);
    sk_sim_report_number(report, "queries", sums->queries / runs, 0);
    sk_sim_report_number(report, "seconds", sums->seconds / runs, 0);
    sk_sim_report_end_row(report);
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    struct sums sums = {0};
    const char *fault = NULL;
    while (sums.runs < options->runs && !fault) {
        uint64_t seed = options->seed + sums.runs;
        struct sk_sim_dht *sim = sk_sim_network(options, seed);
        sk_sim_dht_grow(sim, options->nodes, NULL, NULL);
        sk_sim_dht_run_for(sim, (uint64_t)(options->settle_s * (double)SK_SIM_SECOND));
        sk_sim_dht_kill_share(sim, options->dead);
        for (uint32_t i = 0; i < RUNS_A_NETWORK && sums.runs < options->runs; i++)
            run_estimate(sim, sk_hash_mix(seed + i), &sums);
        fault = sk_sim_end(sim);
    }
    print(report, options, &sums);
    return fault;
}

const struct sk_sim_experiment sk_sim_size = {
    .name = "size",
    .summary = "how good the estimate of the number of nodes is, in many runs",
    .defaults = {.seed = 1, .nodes = 10000, .runs = 100, .loss = 0.05, .rtt_ms = 50, .jitter = 0.1},
    .run = run,
};
