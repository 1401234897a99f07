/* How much of a network a walk finds. */
#include "proto/dht/crawl.h"

#include "base/assert.h"
#include "base/mem.h"
#include "sim/experiment.h"

#define PATIENCE (4 * SK_SIM_HOUR)

struct crawl {
    struct sk_sim_dht *sim;
    bool *found; /* by host */
    uint64_t live, dead_as_live;
    bool over;
    struct sk_dht_crawl_result result;
};

static void take_found(struct crawl *crawl, const struct sk_dht_found *found)
{
    uint32_t host = sk_sim_net_find(sk_sim_dht_net(crawl->sim), &found->contact.endpoint);
    if (found->state == SK_DHT_FOUND_SILENT || host == SK_SIM_NO_HOST)
        return;
    if (!sk_sim_dht_node(crawl->sim, host))
        crawl->dead_as_live++;
    else if (!crawl->found[host])
        crawl->live++;
    crawl->found[host] = true;
}

static void hear(void *ctx, uint32_t node, struct sk_dht_task *task, const struct sk_dht_note *note)
{
    struct crawl *crawl = ctx;
    if (note->kind == SK_DHT_NOTE_FOUND)
        take_found(crawl, note->found);
    if (note->kind != SK_DHT_NOTE_DONE)
        return;
    sk_dht_crawl_result(task, &crawl->result);
    crawl->over = true;
}

static void walk(struct crawl *crawl, const struct sk_sim_options *options, uint32_t node)
{
    const struct sk_dht_crawl_config config = {
        .family = SK_FAMILY_V4, .rate = options->rate, .seed = options->seed};
    struct sk_dht_task *task;
    int err = sk_dht_crawl_new(&config, sk_sim_dht_now(crawl->sim), &task);
    SK_ASSERT(err == 0);
    const struct sk_sim_dht_watch watch = {.note = hear, .ctx = crawl};
    sk_sim_dht_watch(crawl->sim, &watch);
    sk_sim_dht_attach(crawl->sim, node, task);
    uint64_t until = sk_sim_dht_now(crawl->sim) + PATIENCE;
    while (!crawl->over && sk_sim_dht_now(crawl->sim) < until && !sk_sim_dht_fault(crawl->sim))
        sk_sim_dht_run_for(crawl->sim, SK_SIM_SECOND);
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    struct crawl crawl = {.sim = sk_sim_network(options, options->seed)};
    struct sk_sim_dht_totals totals;
    sk_sim_dht_grow(crawl.sim, options->nodes, NULL, NULL);
    sk_sim_dht_run_for(crawl.sim, (uint64_t)(options->settle_s * (double)SK_SIM_SECOND));
    sk_sim_dht_kill_share(crawl.sim, options->dead);
    sk_sim_dht_totals(crawl.sim, &totals);
    crawl.found = sk_mem_calloc(sk_sim_dht_count(crawl.sim), sizeof *crawl.found);
    SK_ASSERT(crawl.found);
    uint32_t node = sk_sim_dht_pick(crawl.sim);
    crawl.found[node] = true;
    uint64_t begin = sk_sim_dht_now(crawl.sim);
    walk(&crawl, options, node);
    double live = totals.live - 1.0; /* but the one that walks */
    sk_sim_report_number(report, "nodes", options->nodes, 0);
    sk_sim_report_number(report, "live", live, 0);
    sk_sim_report_number(report, "found", (double)crawl.live, 0);
    sk_sim_report_number(report, "found_%", 100 * (double)crawl.live / live, 2);
    sk_sim_report_number(report, "wrongly_live", (double)crawl.dead_as_live, 0);
    sk_sim_report_number(report, "known", (double)crawl.result.known, 0);
    sk_sim_report_number(report, "silent", (double)crawl.result.silent, 0);
    sk_sim_report_number(report, "queries", (double)crawl.result.queries, 0);
    sk_sim_report_number(report, "complete", crawl.over && crawl.result.complete, 0);
    sk_sim_report_number(report, "seconds",
                         (double)(sk_sim_dht_now(crawl.sim) - begin) / (double)SK_SIM_SECOND, 0);
    sk_sim_report_end_row(report);
    sk_mem_free(crawl.found);
    return sk_sim_end(crawl.sim);
}

const struct sk_sim_experiment sk_sim_crawl = {
    .name = "crawl",
    .summary = "which share of the live nodes a walk finds",
    .defaults = {.seed = 1, .nodes = 10000, .loss = 0.05, .dead = 0.3, .rtt_ms = 50, .jitter = 0.1},
    .run = run,
};
