/* The auditor's own announces: it is a leecher to the tracker, knows when it asked and when it was
 * answered, and has its lines in the log like everybody. */
#include "sim/swarm_internal.h"

#define FIRST_WITHIN_S 2.0
#define JITTER 0.1   /* of the interval */
#define TAKES_MOST 1 /* round trips that the tracker may take besides */

static const char peer_id[] = "-SK0100-the-auditor-";

static void see(struct sk_swarm *swarm, struct sk_observation observation)
{
    if (!swarm->observe)
        return;
    observation.at_ns = swarm->now_ns - SK_SWARM_START_NS;
    swarm->observe(&observation, swarm->observe_ctx);
}

static uint64_t downloaded(const struct sk_swarm *swarm)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < swarm->count; i++)
        bytes += swarm->nodes[i]->truth.probed;
    return bytes;
}

static void plan_next(struct sk_swarm *swarm)
{
    double jitter = 1 + JITTER * (2 * sk_prng_unit(&swarm->prng_own) - 1);
    swarm->own_asked_ns = 0;
    sk_swarm_set_alarm(swarm, &swarm->own,
                       sk_swarm_in(swarm, swarm->config.announce_interval_s * jitter));
}

static void ask(struct sk_swarm *swarm)
{
    const struct sk_swarm_config *config = &swarm->config;
    bool lost = sk_prng_unit(&swarm->prng_own) < config->announce_loss;
    bool late = sk_prng_unit(&swarm->prng_own) < config->announce_late;
    double way_s = swarm->auditor.half_rtt_s + (late ? SK_SWARM_LATE_S : 0);
    swarm->own_asked_ns = swarm->now_ns;
    swarm->own_downloaded = downloaded(swarm);
    if (lost) {
        plan_next(swarm);
        return;
    }
    struct sk_announce said = {
        .at_unix_s = SK_SWARM_UNIX_S + swarm->skew_s + way_s +
                     (double)(swarm->now_ns - SK_SWARM_START_NS) / 1e9,
        .has_peer_id = true,
        .downloaded = swarm->own_downloaded,
        .left = (uint64_t)config->pieces * config->piece_size,
        .event = swarm->own_started ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED,
    };
    memcpy(said.info_hash, swarm->info_hash, sizeof said.info_hash);
    memcpy(said.peer_id, peer_id, sizeof said.peer_id);
    int err = swarm->announce(&said, swarm->announce_ctx);
    if (err)
        sk_swarm_fail(swarm, err);
    double rtt_s = 2 * swarm->auditor.half_rtt_s;
    double back_s =
        rtt_s - swarm->auditor.half_rtt_s + rtt_s * TAKES_MOST * sk_prng_unit(&swarm->prng_own);
    sk_swarm_set_alarm(swarm, &swarm->own, sk_swarm_in(swarm, way_s + back_s));
}

static void on_own(struct sk_swarm *swarm, void *owner)
{
    if (!swarm->own_asked_ns) {
        ask(swarm);
        return;
    }
    see(swarm,
        (struct sk_observation){.kind = SK_OBS_ANNOUNCED,
                                .a = (int64_t)((swarm->now_ns - swarm->own_asked_ns) / 1000),
                                .b = !swarm->own_started,
                                .c = (int64_t)swarm->own_downloaded,
                                .bytes = sk_bytes_text("udp://tracker.invalid:6969/announce")});
    swarm->own_started = true;
    plan_next(swarm);
}

void sk_swarm_own_start(struct sk_swarm *swarm)
{
    sk_swarm_init_alarm(&swarm->own, on_own, NULL);
    if (!swarm->announce || !swarm->config.audit_announces)
        return;
    sk_prng_init(&swarm->prng_own, ~swarm->config.seed);
    see(swarm, (struct sk_observation){.kind = SK_OBS_SELF,
                                       .bytes = sk_bytes(peer_id, sizeof peer_id - 1)});
    sk_swarm_set_alarm(swarm, &swarm->own,
                       sk_swarm_in(swarm, FIRST_WITHIN_S * sk_prng_unit(&swarm->prng_own)));
}
