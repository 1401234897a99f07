/* One run of a swarm of known truth, in figures: to see what the inference is tried on. */
#include "base/assert.h"
#include "base/mem.h"
#include "sim/experiment.h"

#include <skep/err.h>

#include <stdlib.h>

#define MIB 1048576.0

struct counts {
    uint64_t observations, haves, announces;
};

static void on_observation(const struct sk_observation *observation, void *ctx)
{
    struct counts *counts = ctx;
    counts->observations++;
    counts->haves += observation->kind == SK_OBS_HAVE;
}

static int on_announce(const struct sk_announce *announce, void *ctx)
{
    struct counts *counts = ctx;
    counts->announces++;
    return 0;
}

/* Seconds that a client was there. */
static double present_s(const struct sk_swarm_client *client, double seconds)
{
    return SK_MIN(client->left_s, seconds) - client->joined_s;
}

struct sums {
    double moved, could, wasted, gains, complete, edges, fed;
};

static struct sums add_up(const struct sk_swarm *swarm, const struct sk_swarm_config *config)
{
    struct sums sums = {0};
    size_t count = sk_swarm_clients(swarm);
    for (size_t i = 0; i < count; i++) {
        const struct sk_swarm_client *client = sk_swarm_client(swarm, i);
        sums.moved += (double)client->uploaded;
        sums.could += client->up_bytes_s * present_s(client, config->seconds);
        sums.wasted += (double)client->wasted;
        sums.gains += client->held - client->begun;
        sums.complete += client->held == config->pieces;
        bool fed = false;
        for (size_t j = 0; j < count; j++) {
            bool edge = sk_swarm_flow(swarm, (uint32_t)j, (uint32_t)i) > 0;
            sums.edges += edge;
            fed |= edge;
        }
        sums.fed += fed;
    }
    return sums;
}

static void print(struct sk_sim_report *report, const struct sk_swarm *swarm,
                  const struct sk_swarm_config *config, const struct counts *counts)
{
    struct sums sums = add_up(swarm, config);
    sk_sim_report_number(report, "peers", (double)sk_swarm_clients(swarm), 0);
    sk_sim_report_number(report, "seconds", config->seconds, 0);
    sk_sim_report_number(report, "gains", sums.gains, 0);
    sk_sim_report_number(report, "complete", sums.complete, 0);
    sk_sim_report_number(report, "moved_MiB", sums.moved / MIB, 0);
    sk_sim_report_number(report, "up_used_%", 100 * sums.moved / sums.could, 1);
    sk_sim_report_number(report, "wasted_%", 100 * sums.wasted / sums.moved, 2);
    sk_sim_report_number(report, "edges", sums.edges, 0);
    sk_sim_report_number(report, "givers_peer", sums.edges / sums.fed, 1);
    sk_sim_report_number(report, "givers_piece", sk_swarm_givers(swarm), 2);
    sk_sim_report_number(report, "haves", (double)counts->haves, 0);
    sk_sim_report_number(report, "observed", (double)counts->observations, 0);
    sk_sim_report_number(report, "announces", (double)counts->announces, 0);
    sk_sim_report_end_row(report);
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    struct counts counts = {0};
    struct sk_swarm_config config = options->swarm;
    struct sk_swarm *swarm = NULL;
    config.seed = options->seed;
    config.rtt_s = options->rtt_ms / 1000;
    int err = sk_swarm_new(&config, on_observation, &counts, on_announce, &counts, &swarm);
    if (!err)
        err = sk_swarm_run(swarm, config.seconds);
    if (!err)
        print(report, swarm, &config, &counts);
    sk_swarm_free(swarm);
    return !err                      ? NULL
           : err == SKEP_ERR_INVALID ? "these options do not fit each other"
                                     : "no memory";
}

const struct sk_sim_experiment sk_sim_swarm = {
    .name = "swarm",
    .summary = "one swarm of known truth: what moved, who fed whom, what was seen",
    .defaults = {.seed = 1,
                 .rtt_ms = 80,
                 .swarm = {SK_SIM_SWARM, .capacity_error = 0.1, .announce_interval_s = 300}},
    .run = run,
};
