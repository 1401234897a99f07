#include "tests/sim/swarm_run.h"

#include "base/bitfield.h"

#include <stdlib.h>

const struct sk_swarm_config run_plain = {
    .seed = 7,
    .peers = 40,
    .seeds = 2,
    .pieces = 300,
    .piece_size = 131072,
    .block_size = 16384,
    .seconds = 300,
    .degree = 8,
    .begun_share = 0.3,
    .links_told = true,
    .watched_share = 1,
    .capacity_error = 0.1,
    .rtt_s = 0.08,
    .announce_interval_s = 60,
};

static void on_observation(const struct sk_observation *observation, void *ctx)
{
    struct run *run = ctx;
    if (run->seen_count == run->seen_capacity) {
        run->seen_capacity = run->seen_capacity ? 2 * run->seen_capacity : 1024;
        run->seen = realloc(run->seen, run->seen_capacity * sizeof *run->seen);
        assert_non_null(run->seen);
    }
    struct run_seen *seen = &run->seen[run->seen_count++];
    *seen = (struct run_seen){.at = *observation};
    seen->at.bytes = (struct sk_bytes){0};
    if (observation->kind == SK_OBS_OPEN)
        memcpy(seen->peer_id, observation->bytes.p, sizeof seen->peer_id);
    if (observation->kind != SK_OBS_BITFIELD)
        return;
    assert_int_equal(observation->bytes.n, sk_bitfield_bytes(run->pieces));
    for (size_t i = 0; i < observation->bytes.n; i++)
        seen->set += (uint32_t)__builtin_popcount(observation->bytes.p[i]);
}

static int on_announce(const struct sk_announce *announce, void *ctx)
{
    struct run *run = ctx;
    if (run->said_count == run->said_capacity) {
        run->said_capacity = run->said_capacity ? 2 * run->said_capacity : 256;
        run->said = realloc(run->said, run->said_capacity * sizeof *run->said);
        assert_non_null(run->said);
    }
    run->said[run->said_count++] = *announce;
    return 0;
}

void run_begin(struct run *run, const struct sk_swarm_config *config)
{
    *run = (struct run){.pieces = config->pieces};
    int err = sk_swarm_new(config, on_observation, run, on_announce, run, &run->swarm);
    assert_int_equal(err, 0);
}

void run_begin_and_run(struct run *run, const struct sk_swarm_config *config)
{
    run_begin(run, config);
    assert_int_equal(sk_swarm_run(run->swarm, config->seconds), 0);
}

void run_end(struct run *run)
{
    sk_swarm_free(run->swarm);
    free(run->seen);
    free(run->said);
}

const struct sk_swarm_client *run_client(const struct run *run, size_t i)
{
    return sk_swarm_client(run->swarm, i);
}

static bool is_of(const struct run_seen *seen, const struct sk_swarm_client *client,
                  enum sk_observation_kind kind)
{
    return seen->at.kind == kind && sk_endpoint_equal(&seen->at.peer, &client->endpoint);
}

const struct run_seen *run_next(const struct run *run, const struct sk_swarm_client *client,
                                enum sk_observation_kind kind, size_t *at)
{
    while (*at < run->seen_count) {
        const struct run_seen *seen = &run->seen[(*at)++];
        if (is_of(seen, client, kind))
            return seen;
    }
    return NULL;
}

uint32_t run_count(const struct run *run, const struct sk_swarm_client *client,
                   enum sk_observation_kind kind)
{
    uint32_t n = 0;
    size_t at = 0;
    while (run_next(run, client, kind, &at))
        n++;
    return n;
}

uint32_t run_first_set(const struct run *run, const struct sk_swarm_client *client)
{
    size_t at = 0;
    const struct run_seen *seen = run_next(run, client, SK_OBS_BITFIELD, &at);
    assert_non_null(seen);
    return seen->set;
}

uint64_t run_given(const struct run *run, uint32_t from)
{
    uint64_t bytes = 0;
    for (uint32_t to = 0; to < sk_swarm_clients(run->swarm); to++)
        bytes += sk_swarm_flow(run->swarm, from, to);
    return bytes;
}

uint64_t run_taken(const struct run *run, uint32_t to)
{
    uint64_t bytes = 0;
    for (uint32_t from = 0; from < sk_swarm_clients(run->swarm); from++)
        bytes += sk_swarm_flow(run->swarm, from, to);
    return bytes;
}

void run_check_bytes(const struct run *run, const struct sk_swarm_config *config)
{
    uint64_t up = 0, down = 0, probed = 0;
    for (uint32_t i = 0; i < sk_swarm_clients(run->swarm); i++) {
        const struct sk_swarm_client *c = run_client(run, i);
        assert_int_equal(c->uploaded, run_given(run, i) + c->probed);
        assert_int_equal(c->downloaded, run_taken(run, i));
        uint64_t pieces = (uint64_t)(c->held - c->begun) * config->piece_size;
        uint64_t begun = sk_swarm_partial_bytes(run->swarm, run->swarm->nodes[i]);
        assert_int_equal(c->downloaded, pieces + begun + c->wasted);
        if (c->held == config->pieces)
            assert_int_equal(begun, 0);
        up += c->uploaded;
        down += c->downloaded;
        probed += c->probed;
    }
    assert_int_equal(up, down + probed);
}
