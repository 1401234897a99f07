/* engine_world.h with an auditor on top of it, ticked four times a second, and its report. */
#ifndef AUDIT_WORLD_H
#define AUDIT_WORLD_H

#include "engine/auditor_internal.h"
#include "engine_world.h"

#include <math.h>

#define PIECE 65536u

struct audit {
    struct world world;
    struct sk_auditor *auditor;
    struct sk_report report;
    bool reported, done;
};

static struct audit audit;

static inline void audit_done(void *ctx)
{
    ((struct audit *)ctx)->done = true;
}

/* Counters that must hold whatever happened. */
static inline void audit_check(void)
{
    const struct sk_auditor *auditor = audit.auditor;
    uint32_t unsettled = 0, running = 0;
    for (size_t i = 0; i < auditor->count; i++) {
        const struct sk_record *record = auditor->records[i];
        unsettled += !record->settled;
        running += record->probe.state == SK_PROBE_RUNNING;
        assert_true(record->seen.blocks_verified + record->seen.blocks_corrupt <= record->blocks);
        assert_true(record->probe.state != SK_PROBE_RUNNING || record->peer);
        const struct sk_arrivals *arrivals = &record->probe.arrivals;
        for (uint32_t j = 1; j < arrivals->count; j++)
            assert_true(arrivals->list[j].bytes >= arrivals->list[j - 1].bytes &&
                        arrivals->list[j].at_ns >= arrivals->list[j - 1].at_ns);
        if (record->peer)
            assert_ptr_equal(skep_peer_data(record->peer, auditor->slot), record);
    }
    assert_int_equal(auditor->unsettled, unsettled);
    assert_int_equal(auditor->running, running);
}

static inline void audit_every(struct world *world)
{
    sk_auditor_tick(audit.auditor, world->now_ns);
    audit_check();
}

struct audit_setup {
    struct skep_config engine;
    struct sk_auditor_config config;
    uint32_t pieces, piece_size;
    bool v2, hybrid, link;
    const char *tracker;
};

static inline struct world *audit_init(const struct audit_setup *setup)
{
    struct world *world = &audit.world;
    struct skep_config engine = setup->engine;
    engine.no_lsd = true;
    audit.auditor = NULL;
    audit.reported = audit.done = false;
    world_init(world, &engine);
    world_content(world, setup->pieces ? setup->pieces : 16,
                  setup->piece_size ? setup->piece_size : PIECE, !setup->v2,
                  setup->v2 || setup->hybrid);
    if (setup->link)
        world_add_hash(world);
    else
        world_add_file(world, &setup->tracker, setup->tracker != NULL);
    struct sk_auditor_config config = setup->config;
    config.only_given = !setup->tracker;
    config.seed = config.seed ? config.seed : 3;
    config.done = audit_done;
    config.done_ctx = &audit;
    assert_int_equal(
        sk_auditor_new(world->engine, world->torrent, &config, world->now_ns, &audit.auditor), 0);
    world->every = audit_every;
    world->every_ns = SK_SECOND_NS / 4;
    world->every_next_ns = world->now_ns + world->every_ns;
    return world;
}

static inline void audit_deinit(void)
{
    if (audit.reported)
        sk_report_deinit(&audit.report);
    world_deinit(&audit.world);
    sk_auditor_free(audit.auditor);
}

/* Runs until a rule ends it; fails where none does within so many seconds. Makes the report. */
static inline double audit_run(double seconds_max)
{
    struct world *world = &audit.world;
    uint64_t start_ns = world->now_ns;
    if (world->torrent->state == SK_TORRENT_NEW)
        world_start(world);
    while (!audit.done && (double)(world->now_ns - start_ns) / 1e9 < seconds_max)
        world_run(world, 0.25);
    if (!audit.done)
        fail_msg("the audit does not end: %u of %zu not settled", audit.auditor->unsettled,
                 audit.auditor->count);
    audit_check();
    if (audit.reported)
        sk_report_deinit(&audit.report);
    assert_int_equal(
        sk_auditor_report(audit.auditor, SK_STOPPED_CONVERGED, world->now_ns, &audit.report), 0);
    audit.reported = true;
    return (double)(world->now_ns - start_ns) / 1e9;
}

static inline const struct sk_report_peer *audit_peer(const char *address)
{
    struct sk_endpoint endpoint = world_endpoint(address);
    for (size_t i = 0; i < audit.report.peers_count; i++)
        if (sk_endpoint_equal(&audit.report.peers[i].endpoint, &endpoint))
            return &audit.report.peers[i];
    fail_msg("%s is not in the report", address);
    return NULL;
}

static inline void assert_outcome(const char *address, enum sk_peer_outcome outcome)
{
    const struct sk_report_peer *peer = audit_peer(address);
    if (peer->outcome != outcome)
        fail_msg("%s: %s (%s), not %s", address, sk_peer_outcome_name(peer->outcome),
                 peer->reason ? peer->reason : "", sk_peer_outcome_name(outcome));
}

#endif
