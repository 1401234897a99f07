#include "swarm/pipeline.h"

#include "base/assert.h"
#include "base/limits.h"

#define WEIGHT 0.5 /* of the last look at the rate */

void sk_pipeline_init(struct sk_pipeline *pipeline, uint64_t now_ns)
{
    *pipeline = (struct sk_pipeline){.window = SK_PIPELINE_FIRST, .looked_ns = now_ns};
}

void sk_pipeline_reset(struct sk_pipeline *pipeline, uint64_t now_ns)
{
    uint64_t rtt_min_ns = pipeline->rtt_min_ns;
    sk_pipeline_init(pipeline, now_ns);
    pipeline->rtt_min_ns = rtt_min_ns;
}

static void look(struct sk_pipeline *pipeline, uint64_t now_ns)
{
    double elapsed_s = (double)(now_ns - pipeline->looked_ns) / 1e9;
    if (elapsed_s < SK_PIPELINE_LOOK_S)
        return;
    double rate = (double)pipeline->bytes / elapsed_s;
    pipeline->rate_bytes_s =
        pipeline->rate_bytes_s > 0 ? pipeline->rate_bytes_s * (1 - WEIGHT) + rate * WEIGHT : rate;
    pipeline->bytes = 0;
    pipeline->looked_ns = now_ns;
}

/* Blocks that the rate fills in so many seconds. */
static double blocks_in(const struct sk_pipeline *pipeline, double seconds)
{
    return pipeline->rate_bytes_s * seconds / SK_BLOCK_SIZE + SK_PIPELINE_SPARE;
}

static uint32_t limit(const struct sk_pipeline *pipeline)
{
    double path_s = 2 * (double)pipeline->rtt_min_ns / 1e9;
    if (pipeline->rate_bytes_s <= 0)
        return SK_PIPELINE_LONG;
    double ahead = SK_MIN(blocks_in(pipeline, SK_PIPELINE_AHEAD_S), (double)SK_PIPELINE_LONG);
    return (uint32_t)SK_MIN(SK_MAX(ahead, blocks_in(pipeline, path_s)),
                            (double)SK_PEER_REQUESTS_MAX);
}

void sk_pipeline_came(struct sk_pipeline *pipeline, uint32_t bytes, uint64_t rtt_ns,
                      uint64_t now_ns)
{
    pipeline->bytes += bytes;
    if (!pipeline->rtt_min_ns || rtt_ns < pipeline->rtt_min_ns)
        pipeline->rtt_min_ns = SK_MAX(rtt_ns, 1);
    look(pipeline, now_ns);
    pipeline->window = SK_MIN(pipeline->window + 1, limit(pipeline));
}

uint32_t sk_pipeline_depth(const struct sk_pipeline *pipeline, uint32_t max)
{
    return SK_MIN(pipeline->window, max);
}

uint32_t sk_pipeline_room(const struct sk_pipeline *pipeline, uint32_t pending, uint32_t max)
{
    uint32_t depth = sk_pipeline_depth(pipeline, max);
    uint32_t room = depth > pending ? depth - pending : 0;
    return room >= depth / SK_PIPELINE_BATCH ? room : 0;
}
