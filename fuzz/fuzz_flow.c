/* Flows of whatever was observed: each 8 bytes are an observation. */
#include "audit/flow_tracer.h"
#include "base/assert.h"
#include "swarm/source.h"

#include <math.h>

#define PIECES 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sk_endpoint address(uint8_t n)
{
    return sk_endpoint_v4((const uint8_t[]){10, 0, 0, n % 16}, 6881);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sk_flow_config config = {0};
    const struct sk_tracer_config tracers = {0};
    struct sk_timeline timeline;
    struct sk_flows flows;
    struct sk_flow_gift gifts[4];
    uint64_t at_ns = 0;
    SK_ASSERT(sk_timeline_init(&timeline, 0, PIECES, 16384, PIECES * 16384) == 0);
    for (; size >= 8 && size < 4096; data += 8, size -= 8) {
        at_ns += (uint64_t)data[3] << (data[4] % 32);
        struct sk_observation it = {.at_ns = at_ns,
                                    .kind = (enum sk_observation_kind)(data[0] % SK_OBS_KIND_COUNT),
                                    .peer = address(data[1]),
                                    .by = address(data[2]),
                                    .source = SK_SOURCE_PEX,
                                    .a = data[5],
                                    .b = data[6],
                                    .bytes = sk_bytes(data + 4, PIECES / 8)};
        SK_ASSERT(sk_timeline_observe(&timeline, &it) == 0);
    }
    for (uint32_t i = 0; i < timeline.peers_count; i++) {
        double rate = i % 4 ? i * 1000.0 : NAN;
        timeline.peers[i].capacity = (struct sk_rate){rate, rate, rate};
    }
    SK_ASSERT(sk_flow_estimate(&timeline, &config, &flows) == 0);
    double sum = flows.unseen_bytes;
    for (size_t i = 0; i < flows.edges_count; i++) {
        const struct sk_flow_edge *edge = &flows.edges[i];
        SK_ASSERT(edge->low >= 0 && edge->low <= edge->bytes && edge->bytes <= edge->high);
        sum += edge->bytes;
    }
    SK_ASSERT(fabs(sum - flows.gained_bytes) <= 1e-4 * flows.gained_bytes);
    SK_ASSERT(sk_flow_tracers(&timeline, &tracers, gifts, SK_ARRAY_LEN(gifts)) >= 0);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
    return 0;
}
