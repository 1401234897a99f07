/* Download rates read from HAVEs, against what was downloaded; who cannot be observed. */
#include "audit/download.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"
#include "sim/experiment.h"

#include <skep/err.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NEAR 0.02 /* the error that a rate may have */

/* One run: what the auditor saw, and every client's bytes second by second. */
struct world {
    struct sk_swarm *swarm;
    struct sk_timeline timeline;
    uint32_t seconds;
    double *bytes; /* [client * (seconds + 1) + second] */
    size_t clients;
    int err;
};

/* What a client is to who reads its HAVEs. */
enum kind { HONEST, SUPPRESSOR, SUPER_SEEDER, DROPPER, SEED, KINDS };

struct result {
    uint32_t clients[KINDS], hidden[KINDS]; /* those called unobservable */
    uint32_t rates, near, covered; /* of the honest; of them within NEAR, in the interval */
    double off, moved;             /* bytes, of these */
    double *errors;                /* relative, of each */
};

static void on_observation(const struct sk_observation *observation, void *ctx)
{
    struct world *world = ctx;
    int err = sk_timeline_observe(&world->timeline, observation);
    world->err = world->err ? world->err : err;
}

static double useful(const struct sk_swarm_client *client)
{
    return (double)client->downloaded - (double)client->wasted;
}

/* Bytes of the client up to a time, between whole seconds as if they came evenly. */
static double bytes_at(const struct world *world, size_t client, double at_s)
{
    const double *bytes = world->bytes + client * (world->seconds + 1);
    double whole = floor(fmin(at_s, world->seconds - 1));
    return bytes[(size_t)whole] +
           (at_s - whole) * (bytes[(size_t)whole + 1] - bytes[(size_t)whole]);
}

static int run_world(struct world *world, const struct sk_swarm_config *config)
{
    size_t room = config->peers + (size_t)(config->join_per_s * config->seconds * 2) + 64;
    world->seconds = (uint32_t)config->seconds;
    world->bytes = sk_mem_calloc(room * (world->seconds + 1), sizeof *world->bytes);
    int err = world->bytes
                  ? sk_timeline_init(&world->timeline, 0, config->pieces, config->piece_size,
                                     (uint64_t)config->pieces * config->piece_size)
                  : SKEP_ERR_NOMEM;
    if (!err)
        err = sk_swarm_new(config, on_observation, world, NULL, NULL, &world->swarm);
    for (uint32_t s = 0; s <= world->seconds && !err; s++) {
        err = s ? sk_swarm_run(world->swarm, s) : 0;
        world->clients = SK_MIN(sk_swarm_clients(world->swarm), room);
        for (size_t i = 0; i < world->clients; i++)
            world->bytes[i * (world->seconds + 1) + s] = useful(sk_swarm_client(world->swarm, i));
    }
    sk_timeline_close(&world->timeline, (uint64_t)world->seconds * 1000000000u);
    return err ? err : world->err;
}

static void free_world(struct world *world)
{
    sk_swarm_free(world->swarm);
    sk_timeline_deinit(&world->timeline);
    sk_mem_free(world->bytes);
}

static enum kind kind_of(const struct world *world, const struct sk_swarm_client *client,
                         const struct sk_timeline_peer *peer, double drop)
{
    if (client->habit == SK_SWARM_SUPER_SEEDS)
        return SUPER_SEEDER;
    if (client->seed || peer->first.set == world->timeline.pieces)
        return SEED;
    if (client->habit == SK_SWARM_SUPPRESSES_HAVES)
        return SUPPRESSOR;
    return client->habit == SK_SWARM_SUPPRESSES_SOME && drop > 0 ? DROPPER : HONEST;
}

/* Adds one client to the result. */
static void judge(const struct world *world, size_t i, double drop, struct result *result)
{
    const struct sk_swarm_client *client = sk_swarm_client(world->swarm, i);
    uint32_t index = sk_timeline_find(&world->timeline, &client->endpoint);
    if (index == UINT32_MAX || !world->timeline.peers[index].has_first)
        return;
    const struct sk_timeline_peer *peer = &world->timeline.peers[index];
    struct sk_download download;
    sk_download_estimate(&world->timeline, index, &download);
    enum kind kind = kind_of(world, client, peer, drop);
    double first_s = peer->first_ms / 1e3,
           gained = bytes_at(world, i, world->seconds) - bytes_at(world, i, first_s);
    double least = (SK_DOWNLOAD_GAINS_MIN + 2.0) * world->timeline.piece_size;
    if (kind == HONEST && (gained < least || world->seconds - first_s < SK_DOWNLOAD_WATCH_MS / 1e3))
        return; /* too little to have a rate */
    result->clients[kind]++;
    result->hidden[kind] += !download.observable;
    if (kind != HONEST || !download.observable)
        return;
    double seconds = (download.until_ms - download.from_ms) / 1e3;
    double truth =
        bytes_at(world, i, download.until_ms / 1e3) - bytes_at(world, i, download.from_ms / 1e3);
    double off = fabs((double)download.bytes - truth);
    result->errors[result->rates++] = off / truth;
    result->off += off;
    result->moved += truth;
    result->near += off <= NEAR * truth;
    result->covered +=
        download.rate.low * seconds <= truth && truth <= download.rate.high * seconds;
}

static double percent(double part, double whole)
{
    return whole ? 100 * part / whole : NAN;
}

static void print(struct sk_sim_report *report, double drop, struct result *result)
{
    static const char *const names[] = {[HONEST] = "honest",
                                        [SUPPRESSOR] = "suppress",
                                        [SUPER_SEEDER] = "super",
                                        [DROPPER] = "droppers",
                                        [SEED] = "seeds"};
    char name[32];
    sk_sim_report_number(report, "dropped_%", 100 * drop, 0);
    for (int kind = 0; kind < KINDS; kind++) {
        sk_sim_report_number(report, names[kind], result->clients[kind], 0);
        snprintf(name, sizeof name, "%s_hid_%%", names[kind]);
        sk_sim_report_number(report, name, percent(result->hidden[kind], result->clients[kind]), 2);
    }
    qsort(result->errors, result->rates, sizeof *result->errors, sk_order_doubles);
    sk_sim_report_number(report, "off_%", percent(result->off, result->moved), 2);
    sk_sim_report_number(report, "median_%",
                         result->rates ? 100 * result->errors[result->rates / 2] : NAN, 2);
    sk_sim_report_number(report, "near_%", percent(result->near, result->rates), 1);
    sk_sim_report_number(report, "held_%", percent(result->covered, result->rates), 1);
    sk_sim_report_end_row(report);
}

/* All runs with that share of HAVEs dropped by those who drop some. */
static int run_all(const struct sk_sim_options *options, double drop, struct sk_sim_report *report)
{
    struct sk_swarm_config config = options->swarm;
    struct result result = {0};
    int err = 0;
    config.have_drop = drop;
    config.rtt_s = options->rtt_ms / 1000;
    for (uint32_t run = 0; run < options->runs && !err; run++) {
        struct world world = {0};
        config.seed = options->seed + run;
        err = run_world(&world, &config);
        double *errors =
            err ? NULL
                : sk_mem_realloc(result.errors, result.rates + world.clients, sizeof *errors);
        if (errors) {
            result.errors = errors;
            for (size_t i = 0; i < world.clients; i++)
                judge(&world, i, drop, &result);
        } else if (!err) {
            err = SKEP_ERR_NOMEM;
        }
        free_world(&world);
    }
    if (!err)
        print(report, drop, &result);
    sk_mem_free(result.errors);
    return err;
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    static const double drops[] = {0, 0.3};
    int err = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(drops) && !err; i++)
        err = run_all(options, drops[i], report);
    return !err                      ? NULL
           : err == SKEP_ERR_INVALID ? "these options do not fit each other"
                                     : "no memory";
}

const struct sk_sim_experiment sk_sim_download = {
    .name = "download",
    .summary = "download rates read from HAVEs, and who cannot be observed",
    .defaults = {.seed = 1,
                 .rtt_ms = 80,
                 .runs = 5,
                 .swarm = {.peers = 200,
                           .seeds = 8,
                           .pieces = 1000,
                           .piece_size = 262144,
                           .block_size = 16384,
                           .seconds = 600,
                           .degree = 20,
                           .begun_share = 0.3,
                           .links_told = true,
                           .watched_share = 1,
                           .join_per_s = 0.1,
                           .leave_done = 0.2,
                           .restart_per_hour = 3,
                           .hash_fail = 0.002,
                           .waste = 0.01,
                           .other_clients = 0.5,
                           .habits = {[SK_SWARM_SUPPRESSES_HAVES] = 0.15,
                                      [SK_SWARM_SUPPRESSES_SOME] = 0.15,
                                      [SK_SWARM_LAZY_BITFIELD] = 0.15,
                                      [SK_SWARM_SUPER_SEEDS] = 0.5,
                                      [SK_SWARM_BITFIELDS] = 0.15},
                           .announce_interval_s = 300}},
    .run = run,
};
