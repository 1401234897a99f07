/* Stored items while nodes go and come: those that a task keeps, and those that nobody does. */
#include "proto/dht/blob.h"

#include "base/assert.h"
#include "sim/experiment.h"

#define CHURN_STEP SK_SIM_SECOND

static void keep(struct sk_sim_dht *sim, const struct sk_sim_item *item)
{
    const struct sk_dht_blob_config config = {
        .bytes = sk_bytes(item->value, item->value_size), .raw = true, .keep = true};
    struct sk_dht_task *task;
    int err = sk_dht_blob_put_new(&config, sk_sim_dht_now(sim), &task);
    SK_ASSERT(err == 0);
    sk_sim_dht_attach(sim, sk_sim_dht_pick(sim), task);
}

/* One node goes, another comes. Those that keep items stay. */
static void replace_one(struct sk_sim_dht *sim)
{
    uint32_t node;
    do {
        node = sk_sim_dht_pick(sim);
    } while (sk_sim_dht_busy(sim, node));
    sk_sim_dht_kill(sim, node);
    sk_sim_dht_introduce(sim, sk_sim_dht_add(sim, SK_SIM_HONEST, NULL));
}

/* An hour, in which so many nodes are replaced, evenly. */
static void pass_hour(struct sk_sim_dht *sim, double replaced, double *gone)
{
    uint64_t begin = sk_sim_dht_now(sim);
    double before = *gone;
    while (sk_sim_dht_now(sim) < begin + SK_SIM_HOUR && !sk_sim_dht_fault(sim)) {
        double share = (double)(sk_sim_dht_now(sim) - begin) / (double)SK_SIM_HOUR;
        for (; *gone < before + share * replaced; (*gone)++)
            replace_one(sim);
        sk_sim_dht_run_for(sim, CHURN_STEP);
    }
}

static void print(struct sk_sim_report *report, unsigned hour, double gone,
                  const struct sk_sim_outcome *kept, const struct sk_sim_outcome *left)
{
    sk_sim_report_number(report, "hour", hour, 0);
    sk_sim_report_number(report, "replaced", gone, 0);
    sk_sim_report_number(report, "kept_%", 100.0 * kept->done / kept->count, 2);
    sk_sim_report_number(report, "not_kept_%", 100.0 * left->done / left->count, 2);
    sk_sim_report_number(report, "trips_50", kept->round_trips_median, 2);
    sk_sim_report_number(report, "queries", kept->queries, 1);
    sk_sim_report_end_row(report);
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    struct sk_sim_dht *sim = sk_sim_network(options, options->seed);
    struct sk_sim_outcome left_puts, kept_gets, left_gets;
    double gone = 0, replaced = options->nodes * options->turnover / options->hours;
    sk_sim_dht_grow(sim, options->nodes, NULL, NULL);
    sk_sim_dht_run_for(sim, (uint64_t)(options->settle_s * (double)SK_SIM_SECOND));
    struct sk_sim_items *kept = sk_sim_items_new(sim, options->items, 0);
    struct sk_sim_items *left = sk_sim_items_new(sim, options->items, 0);
    for (uint32_t i = 0; i < options->items; i++)
        keep(sim, sk_sim_items_at(kept, i));
    sk_sim_items_put(left, options->rate, &left_puts);
    for (unsigned hour = 0; hour <= (unsigned)options->hours && !sk_sim_dht_fault(sim); hour++) {
        if (hour)
            pass_hour(sim, replaced, &gone);
        sk_sim_items_get(kept, options->gets, options->rate, &kept_gets);
        sk_sim_items_get(left, options->gets, options->rate, &left_gets);
        print(report, hour, gone, &kept_gets, &left_gets);
    }
    sk_sim_items_free(kept);
    sk_sim_items_free(left);
    return sk_sim_end(sim);
}

const struct sk_sim_experiment sk_sim_keep = {
    .name = "keep",
    .summary = "items that a task keeps, and others, while nodes go and come",
    .defaults = {.seed = 1,
                 .nodes = 1000,
                 .items = 100,
                 .gets = 100,
                 .loss = 0.05,
                 .rtt_ms = 50,
                 .jitter = 0.1,
                 .hours = 24,
                 .turnover = 0.5,
                 .rate = 20},
    .run = run,
};
