/*
 * Experiments in virtual time. Layer: sim. Each is one file experiment_NAME.c and one line in
 * main.c.
 */
#ifndef SK_SIM_EXPERIMENT_H
#define SK_SIM_EXPERIMENT_H

#include "sim/dht_items.h"
#include "sim/report.h"
#include "sim/swarm.h"

struct sk_sim_options {
    uint64_t seed;
    uint32_t nodes, items, gets, runs;
    double loss, dead, rtt_ms, jitter, nat;
    double hours, turnover;
    double hostile;
    double settle_s;       /* after the network has grown */
    enum sk_sim_kind kind; /* HONEST: every kind in turn, then all together */
    double rate;           /* searches a second */
    bool any_ids;          /* BEP 42 is not held */
    bool no_flows;         /* reports are not held against the flows */
    bool json;
    uint32_t check_every;
    uint32_t explain; /* so many searches that fail */
    struct sk_swarm_config swarm;
};

/* The swarm that experiments begin from: what they change of it comes after it. */
#define SK_SIM_SWARM                                                                               \
    .peers = 200, .seeds = 4, .pieces = 1000, .piece_size = 262144, .block_size = 16384,           \
    .seconds = 600, .degree = 20, .begun_share = 0.3, .links_told = true, .watched_share = 1

struct sk_sim_experiment {
    const char *name, *summary;
    struct sk_sim_options defaults;
    /* NULL, or the fault that ended it: valid until the next call. */
    const char *(*run)(const struct sk_sim_options *options, struct sk_sim_report *report);
};

extern const struct sk_sim_experiment sk_sim_lookups, sk_sim_keep, sk_sim_hostile_gets,
    sk_sim_crawl, sk_sim_size, sk_sim_utp, sk_sim_swarm, sk_sim_hidden, sk_sim_stopping,
    sk_sim_reports, sk_sim_download, sk_sim_flow, sk_sim_tracers;

/* A network with these options and this seed, without nodes. */
struct sk_sim_dht *sk_sim_network(const struct sk_sim_options *options, uint64_t seed);
/* Frees it; returns a copy of its fault, or NULL. */
const char *sk_sim_end(struct sk_sim_dht *sim);
/* The cells of gets that all experiments print. */
void sk_sim_report_gets(struct sk_sim_report *report, const struct sk_sim_outcome *gets);

#endif
