/* How many false reports are found, how soon, and how many honest clients are accused. */
#include "audit/download.h"
#include "audit/flow.h"
#include "audit/rules.h"
#include "audit/verdict.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"
#include "sim/experiment.h"
#include "sim/reports_truth.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

#define FEW 6          /* announces within which a lie is to be found */
#define LIES_MAX 8     /* kinds in one swarm */
#define RATIO_PIECES 8 /* claims of less are not laid beside the flows */

/* ---- what is tried ---- */

struct place {
    const char *name;
    uint32_t peers, seeds, pieces;
    uint32_t runs; /* for each of --runs */
    double demand;
    bool alone; /* one lie a swarm, in every other one; no habits that leave nothing to see */
};

static const struct place places[] = {
    {"saturated", 100, 4, 1500, 1, 0, false},
    {"idle", 100, 4, 1500, 1, 0.2, false},
    {"two-peer", 2, 1, 4000, 8, 0, true},
};

static const struct lie {
    const char *name;
    enum sk_swarm_cheat kind;
    double factor, ghost_bytes_s;
    uint32_t count; /* clients in a swarm of a hundred */
} lies[] = {
    {"upload x1.05", SK_SWARM_UPLOAD_FACTOR, 1.05, 0, 3},
    {"upload x1.2", SK_SWARM_UPLOAD_FACTOR, 1.2, 0, 3},
    {"upload x1.5", SK_SWARM_UPLOAD_FACTOR, 1.5, 0, 3},
    {"upload x2", SK_SWARM_UPLOAD_FACTOR, 2, 0, 3},
    {"upload x3", SK_SWARM_UPLOAD_FACTOR, 3, 0, 3},
    {"upload x5", SK_SWARM_UPLOAD_FACTOR, 5, 0, 3},
    {"ghost 50 KB/s", SK_SWARM_GHOST_UPLOAD, 1, 50e3, 2},
    {"downloaded x0", SK_SWARM_LESS_DOWNLOAD, 0, 0, 2},
    {"downloaded x0.5", SK_SWARM_LESS_DOWNLOAD, 0.5, 0, 2},
    {"downloaded x0.9", SK_SWARM_LESS_DOWNLOAD, 0.9, 0, 2},
    {"fake seed", SK_SWARM_FAKE_SEED, 1, 50e3, 2},
    {"partial seed", SK_SWARM_PARTIAL_SEED, 0.1, 0, 2},
    {"pair x2", SK_SWARM_COLLUDES, 2, 0, 4},
    {"pair 50 KB/s", SK_SWARM_COLLUDES, 1, 50e3, 4},
    {"rotates x2", SK_SWARM_ROTATES, 2, 0, 2},
    {"rotates x5", SK_SWARM_ROTATES, 5, 0, 2},
};
#define LIES SK_ARRAY_LEN(lies)
#define HONEST LIES

/* Those of `kind` in turn, one a swarm: the index. */
static size_t variant(int kind, uint32_t run)
{
    uint32_t count = 0;
    for (size_t i = 0; i < LIES; i++)
        count += (int)lies[i].kind == kind;
    run %= count;
    size_t i = 0;
    while ((int)lies[i].kind != kind || run-- > 0)
        i++;
    return i;
}

/* ---- what is counted ---- */

struct row {
    uint32_t clients;   /* that lied by two pieces or more; honest: that announced */
    uint32_t ever, few; /* found at all, within FEW announces */
    uint32_t by_oracle, by_exact, silent, unwatched;
    uint32_t soon, soon_few; /* lied so much within FEW; found of those within FEW */
    uint32_t soon_oracle;    /* of those, by the oracle, within FEW */
    /* Claimed to have uploaded more than line or others' gains allow, within FEW; found of them
     * within FEW, by us, by the oracle, by that of exact capacities. */
    uint32_t above, above_few, above_oracle, above_exact;
    uint32_t known, known_few;   /* by the oracle, uploads, within FEW; found of them by then */
    uint32_t ruled;              /* found by rules over announces */
    uint32_t pairs, pairs_found; /* of two that collude: one of them at least */
    uint32_t consistent, why[SK_WHY_COUNT], check[SK_CHECK_COUNT];
    double hours, delays[4096]; /* announces until it was found */
    uint32_t delays_count;
    double ratios[8192]; /* what it claims to have given over what the flows say */
    uint32_t ratios_count;
};

struct trial {
    const struct place *place;
    struct row *rows; /* LIES + 1 */
    size_t chosen[LIES_MAX];
    struct sk_swarm_cheats cheats[LIES_MAX];
    struct sk_swarm_config config;
    struct sk_timeline timeline;
    struct sk_truth truth;
    bool no_flows;
    struct sk_upload_bound *gave; /* by peer, by the flows at the last look with flows */
    uint32_t looks;
    uint32_t *found; /* of each client: announces when it was first found; 0 not */
    size_t found_count;
};

static void configure(struct trial *trial, const struct sk_sim_options *options, uint32_t run)
{
    const struct place *place = trial->place;
    struct sk_swarm_config *config = &trial->config;
    trial->no_flows = options->no_flows;
    *config = options->swarm;
    config->seed =
        options->seed * 1000003 + run * SK_ARRAY_LEN(places) + (uint64_t)(place - places);
    config->rtt_s = options->rtt_ms / 1000;
    config->peers = place->peers;
    config->seeds = place->seeds;
    config->pieces = place->pieces;
    config->demand = place->demand;
    config->cheats = trial->cheats;
    if (place->alone) {
        size_t lie = run / 2 % LIES;
        config->join_per_s = config->begun_share = 0;
        config->watched_share = 1;
        memset(config->habits, 0, sizeof config->habits);
        if (run % 2 == 0 && lies[lie].kind != SK_SWARM_COLLUDES)
            trial->chosen[config->cheats_count++] = lie;
    } else
        for (int kind = SK_SWARM_HONEST + 1; kind < SK_SWARM_CHEAT_COUNT; kind++)
            trial->chosen[config->cheats_count++] = variant(kind, run);
    for (size_t i = 0; i < config->cheats_count; i++) {
        const struct lie *lie = &lies[trial->chosen[i]];
        trial->cheats[i] = (struct sk_swarm_cheats){lie->kind, place->alone ? 1 : lie->count,
                                                    lie->factor, lie->ghost_bytes_s};
    }
}

/* ---- one swarm ---- */

static void on_observation(const struct sk_observation *observation, void *ctx)
{
    struct trial *trial = ctx;
    int err = sk_timeline_observe(&trial->timeline, observation);
    SK_ASSERT(!err);
}

static struct sk_rate measured(const struct trial *trial, size_t client)
{
    double rate = sk_swarm_measured(trial->truth.swarm, client); /* may be NAN */
    double spread = exp(1.96 * trial->config.capacity_error);
    return (struct sk_rate){rate, rate / spread, rate * spread};
}

/* The row of a client: of its lie, or of the honest. */
static size_t row_of(const struct trial *trial, const struct sk_swarm_client *client)
{
    for (size_t i = 0; i < trial->config.cheats_count; i++)
        if (lies[trial->chosen[i]].kind == client->cheat)
            return trial->chosen[i];
    return HONEST;
}

static int grow_found(struct trial *trial)
{
    size_t count = sk_swarm_clients(trial->truth.swarm);
    uint32_t *found = sk_mem_realloc(trial->found, count, sizeof *found);
    if (!found)
        return SKEP_ERR_NOMEM;
    trial->found = found;
    while (trial->found_count < count)
        found[trial->found_count++] = 0;
    return 0;
}

/* What each peer gave up to now, by the flows. */
static int estimate_flows(struct trial *trial)
{
    const struct sk_timeline *timeline = &trial->timeline;
    size_t peers = (size_t)timeline->peers_count + 1;
    bool *hides = sk_mem_calloc(peers, sizeof *hides);
    sk_mem_free(trial->gave);
    trial->gave = sk_mem_calloc(peers, sizeof *trial->gave);
    int err = hides && trial->gave ? 0 : SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < timeline->peers_count && !err; i++) {
        struct sk_download download;
        sk_download_estimate(timeline, i, &download);
        hides[i] = download.hides;
    }
    struct sk_flow_config config = {.unobservable = hides};
    struct sk_flows flows = {0};
    if (!err)
        err = sk_flow_estimate(timeline, &config, &flows);
    for (uint32_t i = 0; i < timeline->peers_count && !err; i++) {
        const struct sk_flow_upload *upload = &flows.uploads[i];
        trial->gave[i] = (struct sk_upload_bound){upload->bytes, upload->low, upload->high};
    }
    sk_flows_deinit(&flows);
    sk_mem_free(hides);
    return err;
}

/* What the audit says now. Flows take longer than all the rest: they are asked for once within the
 * first announces, and at the end. */
static int look(struct trial *trial, double at_s, struct sk_verdicts *verdicts)
{
    bool flows = ++trial->looks == FEW - 1 || at_s >= trial->config.seconds;
    struct sk_verdict_config config = sk_verdict_config_default();
    config.began_unix_s = SK_SWARM_UNIX_S;
    config.files = 1;
    config.capacity_doubt = 1e-6; /* here they are those of the lines, but for an error */
    int err = grow_found(trial);
    for (size_t i = 0; i < trial->found_count && !err; i++) {
        const struct sk_swarm_client *client = sk_swarm_client(trial->truth.swarm, i);
        uint32_t peer = sk_timeline_find(&trial->timeline, &client->endpoint);
        if (peer != UINT32_MAX && client->watched)
            trial->timeline.peers[peer].capacity = measured(trial, i);
    }
    if (!err && flows && !trial->no_flows) {
        err = estimate_flows(trial);
        config.uploads = trial->gave;
    }
    if (!err)
        err = sk_verdicts_init(verdicts, &trial->timeline, trial->truth.announces,
                               trial->truth.count, &config);
    for (size_t i = 0; i < trial->found_count && !err; i++) {
        const struct sk_swarm_client *client = sk_swarm_client(trial->truth.swarm, i);
        uint32_t peer = sk_timeline_find(&trial->timeline, &client->endpoint);
        if (peer != UINT32_MAX && !trial->found[i] &&
            verdicts->peers[peer].result == SK_VERDICT_FALSE_REPORT)
            trial->found[i] = verdicts->peers[peer].announces;
    }
    return err;
}

static bool within_few(uint32_t announces)
{
    return announces && announces <= FEW;
}

/* Of uploads. */
static void count_uploads(const struct sk_truth_client *truth, bool few, struct row *row)
{
    bool above = within_few(truth->above_at), known = within_few(truth->oracle_at);
    row->above += above;
    row->above_few += above && few;
    row->above_oracle += above && known;
    row->above_exact += above && within_few(truth->exact_at);
    row->known += known;
    row->known_few += known && few;
}

/* The client's claims beside the flows, at the end, where they were held against them. */
static void count_ratio(const struct trial *trial, const struct sk_swarm_client *client,
                        const struct sk_truth_client *truth, const struct sk_verdict_peer *verdict,
                        struct row *row)
{
    uint32_t peer = sk_timeline_find(&trial->timeline, &client->endpoint);
    double claimed = truth->claimed_up - (double)client->probed;
    double least = (double)RATIO_PIECES * trial->config.piece_size;
    bool held = verdict && verdict->findings[SK_CHECK_UPLOADED_FLOW].said > 0;
    if (!held || claimed < least || row->ratios_count == SK_ARRAY_LEN(row->ratios))
        return;
    row->ratios[row->ratios_count++] = claimed / trial->gave[peer].bytes;
}

static void count_client(struct trial *trial, size_t i, const struct sk_verdict_peer *verdict,
                         bool ruled)
{
    const struct sk_swarm_client *client = sk_swarm_client(trial->truth.swarm, i);
    const struct sk_truth_client *truth = &trial->truth.clients[i];
    size_t index = row_of(trial, client);
    struct row *row = &trial->rows[index];
    if (!truth->announces || (index != HONEST && !sk_truth_lied(&trial->truth, truth)))
        return;
    bool found = trial->found[i] != 0, few = within_few(trial->found[i]);
    row->unwatched += !client->watched;
    if (index != HONEST && !client->watched)
        return;
    row->clients++;
    row->hours += (SK_MIN(client->left_s, trial->config.seconds) - client->joined_s) / 3600;
    row->ever += found;
    row->few += few;
    row->by_oracle += truth->oracle || truth->pieces;
    row->by_exact += truth->exact;
    bool soon = within_few(truth->lied_at);
    row->soon += soon;
    row->soon_few += soon && few;
    row->soon_oracle += soon && (within_few(truth->oracle_at) || within_few(truth->pieces_at));
    count_uploads(truth, few, row);
    count_ratio(trial, client, truth, verdict, row);
    row->ruled += ruled;
    row->consistent += verdict && verdict->result == SK_VERDICT_CONSISTENT;
    if (verdict && verdict->result == SK_VERDICT_CANNOT_TELL)
        row->why[verdict->why]++;
    if (verdict && verdict->result == SK_VERDICT_FALSE_REPORT)
        row->check[verdict->check]++;
    row->silent += !verdict || verdict->result == SK_VERDICT_NONE;
    if (found && row->delays_count < SK_ARRAY_LEN(row->delays))
        row->delays[row->delays_count++] = trial->found[i];
}

static void count_pairs(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->found_count; i++) {
        const struct sk_swarm_client *client = sk_swarm_client(trial->truth.swarm, i);
        if (client->cheat != SK_SWARM_COLLUDES || client->partner <= i)
            continue;
        if (!sk_truth_lied(&trial->truth, &trial->truth.clients[i]))
            continue;
        struct row *row = &trial->rows[row_of(trial, client)];
        row->pairs++;
        row->pairs_found += trial->found[i] || trial->found[client->partner];
    }
}

static int count_all(struct trial *trial, const struct sk_verdicts *verdicts)
{
    static const struct sk_rules_config config = {12.5e6, 0.05};
    unsigned *rules = sk_mem_calloc((size_t)verdicts->count + 1, sizeof *rules);
    int err = rules ? sk_rules_judge(&verdicts->reports, verdicts->count, &config, rules)
                    : SKEP_ERR_NOMEM;
    for (size_t i = 0; i < trial->truth.clients_count && !err; i++) {
        const struct sk_swarm_client *client = sk_swarm_client(trial->truth.swarm, i);
        uint32_t peer = sk_timeline_find(&trial->timeline, &client->endpoint);
        bool seen = peer != UINT32_MAX;
        count_client(trial, i, seen ? &verdicts->peers[peer] : NULL, seen && rules[peer]);
    }
    count_pairs(trial);
    sk_mem_free(rules);
    return err;
}

/* The tracker's log goes back for hours, with somebody who had left when the swarm begins. */
static int begin_log(struct trial *trial)
{
    const uint8_t elsewhere[4] = {192, 0, 2, 1};
    int err = 0;
    for (int i = 1; i <= 4 && !err; i++)
        err = sk_truth_announce(&(struct sk_announce){.at_unix_s = SK_SWARM_UNIX_S - 3600 * i,
                                                      .endpoint = sk_endpoint_v4(elsewhere, 6881)},
                                &trial->truth);
    return err;
}

static int run_swarm(struct trial *trial)
{
    const struct sk_swarm_config *config = &trial->config;
    struct sk_verdicts verdicts = {0};
    uint64_t size = (uint64_t)config->pieces * config->piece_size;
    int err = sk_timeline_init(&trial->timeline, 0, config->pieces, config->piece_size, size);
    trial->truth = (struct sk_truth){.config = config};
    if (!err)
        err = sk_swarm_new(config, on_observation, trial, sk_truth_announce, &trial->truth,
                           &trial->truth.swarm);
    if (!err)
        err = begin_log(trial);
    double next_s = config->announce_interval_s;
    for (double at_s = 0; at_s < config->seconds && !err;) {
        at_s = SK_MIN(at_s + SK_TRUTH_STEP_S, config->seconds);
        err = sk_swarm_run(trial->truth.swarm, at_s);
        if (!err)
            err = sk_truth_step(&trial->truth, at_s);
        if (err || (at_s < next_s && at_s < config->seconds))
            continue;
        next_s += config->announce_interval_s;
        sk_verdicts_deinit(&verdicts);
        err = look(trial, at_s, &verdicts);
    }
    if (!err)
        err = count_all(trial, &verdicts);
    sk_verdicts_deinit(&verdicts);
    sk_swarm_free(trial->truth.swarm);
    sk_truth_deinit(&trial->truth);
    sk_timeline_deinit(&trial->timeline);
    sk_mem_free(trial->gave);
    sk_mem_free(trial->found);
    return err;
}

/* ---- the table ---- */

static double share(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : NAN;
}

static double quantile(const double *sorted, uint32_t count, double share)
{
    return count ? sorted[(uint32_t)(share * (count - 1))] : NAN;
}

static void print_uploads(struct sk_sim_report *report, struct row *row)
{
    qsort(row->ratios, row->ratios_count, sizeof *row->ratios, sk_order_doubles);
    sk_sim_report_number(report, "above", row->above, 0);
    sk_sim_report_number(report, "above_in_6_%", share(row->above_few, row->above), 1);
    sk_sim_report_number(report, "above_oracle_%", share(row->above_oracle, row->above), 1);
    sk_sim_report_number(report, "above_exact_%", share(row->above_exact, row->above), 1);
    sk_sim_report_number(report, "known", row->known, 0);
    sk_sim_report_number(report, "known_in_6_%", share(row->known_few, row->known), 1);
    sk_sim_report_number(report, "ratios", row->ratios_count, 0);
    sk_sim_report_number(report, "ratio_5", quantile(row->ratios, row->ratios_count, 0.05), 2);
    sk_sim_report_number(report, "ratio_50", quantile(row->ratios, row->ratios_count, 0.5), 2);
    sk_sim_report_number(report, "ratio_95", quantile(row->ratios, row->ratios_count, 0.95), 2);
    sk_sim_report_number(report, "ratio_99", quantile(row->ratios, row->ratios_count, 0.99), 2);
    sk_sim_report_number(report, "ratio_100", quantile(row->ratios, row->ratios_count, 1), 2);
}

static void print_row(struct sk_sim_report *report, const struct place *place, const char *name,
                      struct row *row)
{
    qsort(row->delays, row->delays_count, sizeof *row->delays, sk_order_doubles);
    sk_sim_report_text(report, "swarm", place->name);
    sk_sim_report_text(report, "reports", name);
    sk_sim_report_number(report, "clients", row->clients, 0);
    sk_sim_report_number(report, "hours", row->hours, 0);
    sk_sim_report_number(report, "found_%", share(row->ever, row->clients), 2);
    sk_sim_report_number(report, "in_6_%", share(row->few, row->clients), 2);
    sk_sim_report_number(report, "delay_50", quantile(row->delays, row->delays_count, 0.5), 0);
    sk_sim_report_number(report, "pairs", row->pairs, 0);
    sk_sim_report_number(report, "pairs_%", share(row->pairs_found, row->pairs), 1);
    sk_sim_report_number(report, "oracle_%", share(row->by_oracle, row->clients), 1);
    sk_sim_report_number(report, "soon", row->soon, 0);
    sk_sim_report_number(report, "soon_in_6_%", share(row->soon_few, row->soon), 1);
    sk_sim_report_number(report, "soon_oracle_%", share(row->soon_oracle, row->soon), 1);
    sk_sim_report_number(report, "exact_%", share(row->by_exact, row->clients), 1);
    print_uploads(report, row);
    sk_sim_report_number(report, "rules_%", share(row->ruled, row->clients), 1);
    sk_sim_report_number(report, "consistent_%", share(row->consistent, row->clients), 1);
    for (int why = SK_WHY_NONE + 1; why < SK_WHY_COUNT; why++)
        sk_sim_report_number(report, sk_verdict_why_name(why), share(row->why[why], row->clients),
                             1);
    sk_sim_report_number(report, "not_watched", row->unwatched, 0);
    sk_sim_report_number(report, "unseen", share(row->silent, row->clients), 1);
    for (int check = 0; check < SK_CHECK_COUNT; check++)
        sk_sim_report_number(report, sk_verdict_check_name(check), row->check[check], 0);
    sk_sim_report_end_row(report);
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    struct row *rows = sk_mem_calloc(SK_ARRAY_LEN(places) * (LIES + 1), sizeof *rows);
    int err = rows ? 0 : SKEP_ERR_NOMEM;
    for (size_t p = 0; p < SK_ARRAY_LEN(places) && !err; p++) {
        struct row *own = rows + p * (LIES + 1);
        for (uint32_t i = 0; i < options->runs * places[p].runs && !err; i++) {
            struct trial trial = {.place = &places[p], .rows = own};
            configure(&trial, options, i);
            err = run_swarm(&trial);
        }
        for (size_t i = 0; i <= LIES && !err; i++)
            if (own[i].clients)
                print_row(report, &places[p], i == HONEST ? "honest" : lies[i].name, &own[i]);
    }
    sk_mem_free(rows);
    return err ? "a swarm could not be simulated" : NULL;
}

const struct sk_sim_experiment sk_sim_reports = {
    .name = "reports",
    .summary = "false reports to a tracker: how many are found, how soon, who is accused",
    .defaults = {.seed = 1,
                 .runs = 4,
                 .rtt_ms = 80,
                 .swarm = {.block_size = 65536,
                           .piece_size = 1048576,
                           .seconds = 3600,
                           .degree = 20,
                           .begun_share = 0.3,
                           .links_told = true,
                           .watched_share = 0.95,
                           .capacity_error = 0.1,
                           .join_per_s = 0.01,
                           .leave_done = 0.3,
                           .restart_per_hour = 0.5,
                           .hash_fail = 0.005,
                           .hash_fail_run = 5,
                           .waste = 0.01,
                           .waste_spread = 0.7,
                           .other_clients = 0.5,
                           .announce_interval_s = 300,
                           .announce_loss = 0.02,
                           .announce_late = 0.02,
                           .audit_announces = true,
                           .clock_skew_s = 5,
                           .have_drop = 0.1,
                           .habits = {[SK_SWARM_SUPPRESSES_HAVES] = 0.05,
                                      [SK_SWARM_SUPPRESSES_SOME] = 0.05,
                                      [SK_SWARM_LAZY_BITFIELD] = 0.1,
                                      [SK_SWARM_SUPER_SEEDS] = 0.2,
                                      [SK_SWARM_BITFIELDS] = 0.1}}},
    .run = run,
};
