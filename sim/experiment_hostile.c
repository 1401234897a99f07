/* Gets of the true value while a share of the nodes is hostile. */
#include "base/assert.h"
#include "sim/experiment.h"

/* Who comes: of what kind, and beside which item. */
struct mix {
    struct sk_sim_dht *sim;
    struct sk_sim_items *items;
    const struct sk_sim_options *options;
    enum sk_sim_kind kind; /* KIND_COUNT: all */
};

static enum sk_sim_kind draw(void *ctx, const uint8_t **ret_target)
{
    struct mix *mix = ctx;
    struct sk_prng *prng = sk_sim_dht_prng(mix->sim);
    if (sk_prng_unit(prng) >= mix->options->hostile)
        return SK_SIM_HONEST;
    uint32_t item = (uint32_t)sk_prng_below(prng, mix->options->items);
    *ret_target = sk_sim_items_at(mix->items, item)->target;
    if (mix->kind != SK_SIM_KIND_COUNT)
        return mix->kind;
    return 1 + (enum sk_sim_kind)sk_prng_below(prng, SK_SIM_KIND_COUNT - 1);
}

static const char *run_kind(const struct sk_sim_options *options, enum sk_sim_kind kind,
                            struct sk_sim_report *report)
{
    struct mix mix = {.sim = sk_sim_network(options, options->seed + (uint64_t)kind),
                      .options = options,
                      .kind = kind};
    struct sk_sim_outcome puts, gets;
    struct sk_sim_dht_totals totals;
    mix.items = sk_sim_items_new(mix.sim, options->items, 0.5);
    sk_sim_dht_grow(mix.sim, options->nodes, draw, &mix);
    sk_sim_dht_run_for(mix.sim, (uint64_t)(options->settle_s * (double)SK_SIM_SECOND));
    sk_sim_dht_totals(mix.sim, &totals);
    sk_sim_items_put(mix.items, options->rate, &puts);
    sk_sim_items_explain(mix.items, options->explain);
    sk_sim_items_get(mix.items, options->gets, options->rate, &gets);
    sk_sim_report_text(report, "kind", kind == SK_SIM_KIND_COUNT ? "all" : sk_sim_kind_name(kind));
    sk_sim_report_number(report, "nodes", options->nodes, 0);
    sk_sim_report_number(report, "hostile_%", 100 * options->hostile, 0);
    sk_sim_report_number(report, "in_tables_%",
                         100.0 * (double)totals.hostile_entries /
                             (double)(totals.hostile_entries + totals.honest_entries),
                         1);
    sk_sim_report_number(report, "holders", puts.stored, 2);
    sk_sim_report_number(report, "honest", puts.stored_honest, 2);
    sk_sim_report_gets(report, &gets);
    sk_sim_report_number(report, "forged_taken", gets.wrong, 0);
    sk_sim_report_end_row(report);
    sk_sim_items_free(mix.items);
    return sk_sim_end(mix.sim);
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    if (options->kind != SK_SIM_HONEST)
        return run_kind(options, options->kind, report);
    const char *fault = NULL;
    for (unsigned kind = 1; kind <= SK_SIM_KIND_COUNT && !fault; kind++)
        fault = run_kind(options, kind, report);
    return fault;
}

const struct sk_sim_experiment sk_sim_hostile_gets = {
    .name = "hostile",
    .summary = "gets of the true value among hostile nodes, each kind and all together",
    .defaults = {.seed = 1,
                 .nodes = 2000,
                 .items = 40,
                 .gets = 1000,
                 .loss = 0.05,
                 .rtt_ms = 50,
                 .jitter = 0.1,
                 .hostile = 0.2,
                 .rate = 20},
    .run = run,
};
