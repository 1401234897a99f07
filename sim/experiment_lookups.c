/* Gets of stored items while many nodes are dead, and what a node costs. */
#include "sim/experiment.h"

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    double before = sk_sim_resident();
    struct sk_sim_dht *sim = sk_sim_network(options, options->seed);
    struct sk_sim_dht_totals totals;
    struct sk_sim_outcome puts, gets;
    sk_sim_dht_grow(sim, options->nodes, NULL, NULL);
    sk_sim_dht_run_for(sim, (uint64_t)(options->settle_s * (double)SK_SIM_SECOND));
    struct sk_sim_items *items = sk_sim_items_new(sim, options->items, 0);
    sk_sim_items_put(items, options->rate, &puts);
    sk_sim_dht_totals(sim, &totals);
    double resident = sk_sim_resident() - before;
    /* All at once, so that no table has time to notice. */
    sk_sim_dht_kill_share(sim, options->dead);
    sk_sim_items_explain(items, options->explain);
    sk_sim_items_get(items, options->gets, options->rate, &gets);
    sk_sim_report_number(report, "nodes", options->nodes, 0);
    sk_sim_report_number(report, "dead_%", 100 * options->dead, 0);
    sk_sim_report_number(report, "ready_%", 100.0 * totals.ready / totals.live, 2);
    sk_sim_report_number(report, "holders", puts.stored, 2);
    sk_sim_report_number(report, "gone", gets.gone, 0);
    sk_sim_report_gets(report, &gets);
    sk_sim_report_number(report, "steps", gets.steps, 2);
    sk_sim_report_number(report, "KiB_node", resident / options->nodes / 1024, 1);
    sk_sim_report_number(report, "entries", (double)totals.entries / totals.live, 1);
    sk_sim_report_number(report, "B_entry", resident / (double)totals.entries, 0);
    sk_sim_report_end_row(report);
    sk_sim_items_free(items);
    return sk_sim_end(sim);
}

const struct sk_sim_experiment sk_sim_lookups = {
    .name = "lookups",
    .summary = "gets of stored items right after a share of all nodes died",
    .defaults = {.seed = 1,
                 .nodes = 10000,
                 .items = 1000,
                 .gets = 1000,
                 .loss = 0.05,
                 .dead = 0.3,
                 .rtt_ms = 50,
                 .jitter = 0.1,
                 .rate = 20},
    .run = run,
};
