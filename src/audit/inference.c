#include "audit/inference.h"

#include <skep/err.h>

#include "audit/capacity.h"
#include "audit/download.h"
#include "audit/flow_tracer.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* How much more than what came on average came in a turn of ours, where it was only our share of
 * the line: as a rule so many are served at a time. Set on audits of real clients
 * (docs/MEASURING.md). */
#define SHARE_MOST 6.0

/* The peer of the timeline; NULL where it was never connected, or goes by another address. */
static struct sk_timeline_peer *find(const struct sk_timeline *timeline,
                                     const struct sk_report_peer *peer, uint32_t *ret_index)
{
    *ret_index = sk_timeline_find(timeline, &peer->endpoint);
    bool is = *ret_index != UINT32_MAX && !peer->same_as.family;
    return is ? &timeline->peers[*ret_index] : NULL;
}

/* Returns by peer of the timeline whether it hides what it gains; NULL without memory. */
static bool *infer_downloads(const struct sk_timeline *timeline, struct sk_report *report)
{
    bool *hides = sk_mem_calloc((size_t)timeline->peers_count + 1, sizeof *hides);
    for (size_t i = 0; hides && i < report->peers_count; i++) {
        struct sk_report_peer *peer = &report->peers[i];
        uint32_t index;
        struct sk_timeline_peer *seen = find(timeline, peer, &index);
        struct sk_download download;
        if (!seen || !seen->watched_count)
            continue;
        seen->delivered = peer->delivered;
        /* What it gave us its line carries at least: no figure of what it can. Nor is one that is
         * hardly more: the share that a turn among many receivers left. */
        bool told = sk_capacity_is_known(&peer->capacity, peer->capacity_how) ||
                    peer->capacity.rate > SHARE_MOST * peer->delivered.rate;
        seen->capacity = told ? peer->capacity : SK_RATE_UNKNOWN;
        sk_download_estimate(timeline, index, &download);
        peer->download = download.rate;
        peer->download_how = download.how;
        hides[index] = download.hides;
    }
    return hides;
}

/* The time in which it could be seen to give: from when it was met to the end. */
static double given_s(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer)
{
    return (timeline->end_ms - peer->watched[0].from_ms) / 1e3;
}

static void fill_uploads(const struct sk_timeline *timeline, const struct sk_flows *flows,
                         struct sk_report *report)
{
    for (size_t i = 0; i < report->peers_count; i++) {
        struct sk_report_peer *peer = &report->peers[i];
        uint32_t index;
        struct sk_timeline_peer *seen = find(timeline, peer, &index);
        if (!seen || !seen->watched_count || !(given_s(timeline, seen) > 0))
            continue;
        const struct sk_flow_upload *upload = &flows->uploads[index];
        double seconds = given_s(timeline, seen);
        seen->gave = (struct sk_upload_bound){upload->bytes, upload->low, upload->high};
        peer->upload = (struct sk_rate){upload->bytes / seconds, upload->low / seconds,
                                        upload->high / seconds};
    }
}

static int compare_flows(const void *a, const void *b)
{
    const struct sk_report_flow *x = a, *y = b;
    return (y->bytes > x->bytes) - (y->bytes < x->bytes);
}

/* An edge by which hardly a block went is none. */
static int fill_flows(const struct sk_timeline *timeline, const struct sk_flows *flows,
                      struct sk_report *report)
{
    report->flows = sk_mem_calloc(flows->edges_count + 1, sizeof *report->flows);
    if (!report->flows)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < flows->edges_count; i++) {
        const struct sk_flow_edge *edge = &flows->edges[i];
        if (edge->bytes < 1)
            continue;
        report->flows[report->flows_count++] = (struct sk_report_flow){
            .from = timeline->peers[edge->from].endpoint,
            .to = timeline->peers[edge->to].endpoint,
            .bytes = edge->bytes,
            .low = edge->low,
            .high = edge->high,
            .uniform = edge->baseline.uniform,
            .gravity = edge->baseline.gravity,
            .ambiguous = edge->ambiguous,
        };
    }
    qsort(report->flows, report->flows_count, sizeof *report->flows, compare_flows);
    return 0;
}

static int infer_flows(struct sk_timeline *timeline, const bool *hides, struct sk_report *report)
{
    struct sk_flow_config config = {.unobservable = hides};
    struct sk_flow_gift *gifts;
    struct sk_flows flows;
    if (!timeline->gains_total)
        return 0;
    int err = sk_flow_gifts(timeline, &gifts, &config.gifts_count);
    if (err)
        return err;
    config.gifts = gifts;
    err = sk_flow_estimate(timeline, &config, &flows);
    sk_mem_free(gifts);
    if (err)
        return err;
    fill_uploads(timeline, &flows, report);
    err = fill_flows(timeline, &flows, report);
    sk_flows_deinit(&flows);
    return err;
}

int sk_infer(struct sk_timeline *timeline, struct sk_report *report)
{
    sk_mem_free(report->flows);
    sk_mem_free(report->tracers);
    report->flows = NULL;
    report->tracers = NULL;
    report->flows_count = report->tracers_count = 0;
    for (size_t i = 0; i < report->peers_count; i++) {
        report->peers[i].download = report->peers[i].upload = SK_RATE_UNKNOWN;
        report->peers[i].download_how = NULL;
    }
    if (!timeline->pieces)
        return 0;
    bool *hides = infer_downloads(timeline, report);
    int err = hides ? infer_flows(timeline, hides, report) : SKEP_ERR_NOMEM;
    sk_mem_free(hides);
    return err ? err : sk_flow_report_tracers(timeline, report);
}
