#include "sim/experiment.h"

#include <stdio.h>

#define NAT_HOLE (60 * SK_SIM_SECOND)

struct sk_sim_dht *sk_sim_network(const struct sk_sim_options *options, uint64_t seed)
{
    const struct sk_sim_dht_config config = {
        .net = {.seed = seed,
                .family = SK_FAMILY_V4,
                .rtt_ns = (uint64_t)(options->rtt_ms * (double)SK_SIM_MS),
                .jitter = options->jitter,
                .loss = options->loss,
                .nat_ns = NAT_HOLE},
        .ids_by_address = !options->any_ids,
        .nat = options->nat,
        .check_every = options->check_every,
    };
    return sk_sim_dht_new(&config);
}

const char *sk_sim_end(struct sk_sim_dht *sim)
{
    static char copy[200];
    const char *fault = sk_sim_dht_fault(sim);
    if (fault)
        snprintf(copy, sizeof copy, "%s", fault);
    sk_sim_dht_free(sim);
    return fault ? copy : NULL;
}

void sk_sim_report_gets(struct sk_sim_report *report, const struct sk_sim_outcome *gets)
{
    sk_sim_report_number(report, "gets", gets->count, 0);
    sk_sim_report_number(report, "found_%", 100.0 * gets->done / gets->count, 2);
    sk_sim_report_number(report, "trips_50", gets->round_trips_median, 2);
    sk_sim_report_number(report, "trips_99", gets->round_trips_99, 2);
    sk_sim_report_number(report, "queries", gets->queries, 1);
    sk_sim_report_number(report, "messages", gets->messages, 1);
    sk_sim_report_number(report, "unansw_%", 100 * gets->unanswered, 1);
}
