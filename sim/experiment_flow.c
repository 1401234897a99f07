/* Who fed whom: the estimate, baselines and an oracle against a swarm's truth. */
#include "audit/flow_tracer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"
#include "sim/experiment.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

#define ROUND_S 10.0     /* tracers are chosen so often */
#define UPLOAD_LEAST 2e6 /* bytes: totals of who gave less are not judged */
#define UNKNOWN UINT32_MAX

/* What differs from the options; NAN: as they say. */
static const struct place {
    const char *name;
    bool tracers;
    double others, join_per_s, leave_done, watched, suppresses, links_told, demand;
} places[] = {
    {"plain", true, NAN, NAN, NAN, NAN, 0, NAN, NAN},
    {"other clients", false, 0.5, NAN, NAN, NAN, 0, NAN, NAN},
    {"churn", false, NAN, 0.2, 0.8, NAN, 0, NAN, NAN},
    {"a tenth unwatched", false, NAN, NAN, NAN, 0.9, 0, NAN, NAN},
    {"a tenth suppresses", false, NAN, NAN, NAN, NAN, 0.1, NAN, NAN},
    {"links not told", false, NAN, NAN, NAN, NAN, 0, 0, NAN},
    {"idle", false, NAN, NAN, NAN, NAN, 0, NAN, 0.2},
};

struct trial {
    struct sk_swarm *swarm;
    struct sk_timeline timeline;
    int err;
    uint32_t peers;
    uint32_t *client_of; /* of the timeline's peers, or UNKNOWN */
    bool *unobservable, *judged;
    struct sk_flow_gift *gifts; /* that were made, as the timeline has them */
    size_t gifts_count;
};

enum { OURS, UNIFORM, GRAVITY, ENTROPY, LEVEL, METHODS };

struct score {
    double misallocated[METHODS], upload_error, edges_held, uploads_held;
};

static void on_observation(const struct sk_observation *observation, void *ctx)
{
    struct trial *trial = ctx;
    int err = sk_timeline_observe(&trial->timeline, observation);
    trial->err = trial->err ? trial->err : err;
}

static bool may_give(uint32_t from, uint32_t to, uint32_t from_ms, uint32_t until_ms, void *ctx)
{
    const struct trial *trial = ctx;
    uint32_t a = trial->client_of[from], b = trial->client_of[to];
    return a != UNKNOWN && b != UNKNOWN &&
           sk_swarm_unchoked(trial->swarm, a, b, from_ms / 1e3, until_ms / 1e3);
}

static double normal(struct sk_prng *prng)
{
    double radius = sqrt(-2 * log(1 - sk_prng_unit(prng)));
    return radius * cos(6.283185307179586 * sk_prng_unit(prng));
}

/* Who is who, and what another part of the audit would have measured. */
static int know(struct trial *trial, const struct sk_swarm_config *config)
{
    struct sk_prng prng;
    uint32_t n = trial->timeline.peers_count;
    sk_mem_free(trial->client_of);
    sk_mem_free(trial->unobservable);
    sk_mem_free(trial->judged);
    trial->peers = n;
    trial->client_of = sk_mem_calloc(n + 1, sizeof *trial->client_of);
    trial->unobservable = sk_mem_calloc(n + 1, sizeof *trial->unobservable);
    trial->judged = sk_mem_calloc(n + 1, sizeof *trial->judged);
    if (!trial->client_of || !trial->unobservable || !trial->judged)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        trial->client_of[i] = UNKNOWN;
    sk_prng_init(&prng, config->seed);
    for (uint32_t c = 0; c < sk_swarm_clients(trial->swarm); c++) {
        const struct sk_swarm_client *client = sk_swarm_client(trial->swarm, c);
        double rate = client->up_bytes_s * exp(config->capacity_error * normal(&prng));
        uint32_t i = sk_timeline_find(&trial->timeline, &client->endpoint);
        if (i >= n)
            continue;
        trial->client_of[i] = c;
        trial->unobservable[i] = client->habit == SK_SWARM_SUPPRESSES_HAVES;
        trial->judged[i] = client->watched && !trial->unobservable[i];
        if (client->watched)
            trial->timeline.peers[i].capacity = (struct sk_rate){rate, rate, rate};
    }
    return 0;
}

/* ---- tracers ---- */

static int give_tracers(struct trial *trial, double share)
{
    uint32_t max = sk_flow_tracers_allowed(&trial->timeline, share);
    struct sk_flow_gift *gifts = sk_mem_calloc((size_t)max + 1, sizeof *gifts);
    if (!gifts)
        return SKEP_ERR_NOMEM;
    int count = sk_flow_tracers(&trial->timeline,
                                &(struct sk_tracer_config){.unobservable = trial->unobservable},
                                gifts, max);
    for (int k = 0; k < count; k++) {
        uint32_t client = trial->client_of[gifts[k].peer];
        if (client != UNKNOWN)
            (void)sk_swarm_give(trial->swarm, client, gifts[k].piece);
    }
    sk_mem_free(gifts);
    return count < 0 ? count : 0;
}

/* ---- one run ---- */

static void end(struct trial *trial)
{
    sk_swarm_free(trial->swarm);
    sk_timeline_deinit(&trial->timeline);
    sk_mem_free(trial->client_of);
    sk_mem_free(trial->unobservable);
    sk_mem_free(trial->judged);
    sk_mem_free(trial->gifts);
    *trial = (struct trial){0};
}

/* `share`: of what the swarm moves, given as tracers. */
static int live(struct trial *trial, const struct sk_swarm_config *config, double share)
{
    *trial = (struct trial){0};
    int err = sk_timeline_init(&trial->timeline, 0, config->pieces, config->piece_size,
                               (uint64_t)config->pieces * config->piece_size);
    if (!err)
        err = sk_swarm_new(config, on_observation, trial, NULL, NULL, &trial->swarm);
    for (double at_s = 0; !err && at_s < config->seconds;) {
        at_s = share > 0 ? fmin(config->seconds, at_s + ROUND_S) : config->seconds;
        err = sk_swarm_run(trial->swarm, at_s);
        err = err ? err : trial->err;
        if (!err)
            err = know(trial, config);
        if (!err && share > 0 && at_s < config->seconds)
            err = give_tracers(trial, share);
    }
    return err ? err : sk_flow_gifts(&trial->timeline, &trial->gifts, &trial->gifts_count);
}

static double truth(const struct trial *trial, uint32_t from, uint32_t to)
{
    uint32_t a = trial->client_of[from], b = trial->client_of[to];
    return a == UNKNOWN || b == UNKNOWN ? 0 : (double)sk_swarm_flow(trial->swarm, a, b);
}

/* Half the sum of differences over what moved; pairs that have no edge count with what they had. */
static void score_edges(const struct trial *trial, const struct sk_flows *flows, double *given,
                        struct score *score)
{
    double moved = 0, in_edges = 0, held = 0, shown = 0, off[METHODS] = {0};
    for (uint32_t i = 0; i < trial->peers; i++)
        for (uint32_t j = 0; j < trial->peers; j++)
            given[i] += trial->judged[j] ? truth(trial, i, j) : 0;
    for (uint32_t i = 0; i < trial->peers; i++)
        moved += given[i];
    for (size_t k = 0; k < flows->edges_count; k++) {
        const struct sk_flow_edge *edge = &flows->edges[k];
        const double by[METHODS] = {edge->bytes, edge->baseline.uniform, edge->baseline.gravity,
                                    edge->baseline.entropy, edge->baseline.level};
        double true_bytes = truth(trial, edge->from, edge->to);
        if (!trial->judged[edge->to])
            continue;
        for (int m = 0; m < METHODS; m++)
            off[m] += fabs(by[m] - true_bytes);
        in_edges += true_bytes;
        shown++;
        held += edge->low <= true_bytes && true_bytes <= edge->high;
    }
    for (int m = 0; m < METHODS; m++)
        score->misallocated[m] = 50 * (off[m] + moved - in_edges) / moved;
    score->edges_held = 100 * held / shown;
}

static int score_flows(const struct trial *trial, const struct sk_flows *flows, struct score *score)
{
    double *given = sk_mem_calloc(trial->peers + 1, sizeof *given);
    double *errors = sk_mem_calloc(trial->peers + 1, sizeof *errors);
    uint32_t count = 0, held = 0;
    if (given && errors) {
        score_edges(trial, flows, given, score);
        for (uint32_t i = 0; i < trial->peers; i++) {
            const struct sk_flow_upload *upload = &flows->uploads[i];
            if (given[i] < UPLOAD_LEAST)
                continue;
            errors[count++] = fabs(upload->bytes - given[i]) / given[i];
            held += upload->low <= given[i] && given[i] <= upload->high;
        }
        qsort(errors, count, sizeof *errors, sk_order_doubles);
        score->upload_error = count ? 100 * errors[count / 2] : NAN;
        score->uploads_held = count ? 100.0 * held / count : NAN;
    }
    int err = given && errors ? 0 : SKEP_ERR_NOMEM;
    sk_mem_free(given);
    sk_mem_free(errors);
    return err;
}

static int judge(struct trial *trial, bool oracle, struct score *score)
{
    const struct sk_flow_config config = {.unobservable = trial->unobservable,
                                          .gifts = trial->gifts,
                                          .gifts_count = trial->gifts_count,
                                          .may_give = oracle ? may_give : NULL,
                                          .ctx = trial};
    struct sk_flows flows;
    int err = sk_flow_estimate(&trial->timeline, &config, &flows);
    if (err)
        return err;
    err = score_flows(trial, &flows, score);
    sk_flows_deinit(&flows);
    return err;
}

/* ---- what tracers can tell at most ---- */

#define ANCHOR_S 10u /* a peer stays unchoked for as long at least */

enum { TRACED, FIRST, EXACT, ANCHORED, ORACLE, KNOWING };

/* Whether a piece that we had given somebody was gained then. */
static bool is_traced(const uint32_t *since_ms, const struct sk_gain *gain)
{
    return gain->at_ms >= since_ms[gain->piece];
}

struct bound {
    const struct trial *trial;
    uint32_t *since_ms; /* by piece: since when it is a tracer; SK_TIME_OPEN: it is none */
    bool *gained,
        *given; /* by peer and second: whether it gained one about then, or was given one */
    uint32_t seconds;
};

static void mark(const struct bound *bound, bool *near, uint32_t peer, uint32_t at_ms)
{
    uint32_t at_s = at_ms / 1000;
    for (uint32_t s = at_s - SK_MIN(at_s, ANCHOR_S); s <= at_s + ANCHOR_S && s < bound->seconds;
         s++)
        near[(size_t)peer * bound->seconds + s] = true;
}

static void bound_deinit(struct bound *bound)
{
    sk_mem_free(bound->since_ms);
    sk_mem_free(bound->gained);
    sk_mem_free(bound->given);
}

/* SKEP_ERR_NOMEM; to be deinitialised also then. */
static int bound_init(struct bound *bound, const struct trial *trial)
{
    const struct sk_timeline *timeline = &trial->timeline;
    *bound = (struct bound){.trial = trial, .seconds = timeline->end_ms / 1000 + 1};
    size_t cells = (size_t)timeline->peers_count * bound->seconds + 1;
    bound->since_ms = sk_mem_alloc((size_t)timeline->pieces * sizeof *bound->since_ms);
    bound->gained = sk_mem_calloc(cells, 1);
    bound->given = sk_mem_calloc(cells, 1);
    if (!bound->since_ms || !bound->gained || !bound->given)
        return SKEP_ERR_NOMEM;
    for (uint32_t p = 0; p < timeline->pieces; p++)
        bound->since_ms[p] = SK_TIME_OPEN;
    for (size_t k = 0; k < trial->gifts_count; k++) {
        const struct sk_flow_gift *gift = &trial->gifts[k];
        bound->since_ms[gift->piece] = SK_MIN(bound->since_ms[gift->piece], gift->at_ms);
        mark(bound, bound->given, gift->peer, gift->at_ms);
    }
    for (uint32_t i = 0; i < timeline->peers_count; i++)
        for (uint32_t g = 0; g < timeline->peers[i].gains_count; g++)
            if (is_traced(bound->since_ms, &timeline->peers[i].gains[g]))
                mark(bound, bound->gained, i, timeline->peers[i].gains[g].at_ms);
    return 0;
}

static bool is_near(const struct bound *bound, const bool *near, uint32_t peer, uint32_t from_ms,
                    uint32_t until_ms)
{
    for (uint32_t s = from_ms / 1000; s <= until_ms / 1000 && s < bound->seconds; s++)
        if (near[(size_t)peer * bound->seconds + s])
            return true;
    return false;
}

/* Who saw from a gift whom that peer had unchoked at that time. */
static bool near_gifts(uint32_t from, uint32_t to, uint32_t from_ms, uint32_t until_ms, void *ctx)
{
    const struct bound *bound = ctx;
    return !is_near(bound, bound->given, from, from_ms, until_ms) ||
           may_give(from, to, from_ms, until_ms, (void *)bound->trial);
}

/* Who knew the source of each gain of a tracer, and with it whom the receiver was unchoked by at
 * that time, all of them. */
static bool near_tracers(uint32_t from, uint32_t to, uint32_t from_ms, uint32_t until_ms, void *ctx)
{
    const struct bound *bound = ctx;
    return !is_near(bound, bound->gained, to, from_ms, until_ms) ||
           may_give(from, to, from_ms, until_ms, (void *)bound->trial);
}

/* All gains of tracers, as if they had come from us: they are added as they were. */
static struct sk_flow_gift *list_traced(const struct bound *bound, size_t *ret_count)
{
    const struct sk_timeline *timeline = &bound->trial->timeline;
    struct sk_flow_gift *gifts = sk_mem_calloc(timeline->gains_total + 1, sizeof *gifts);
    *ret_count = 0;
    for (uint32_t i = 0; gifts && i < timeline->peers_count; i++)
        for (uint32_t g = 0; g < timeline->peers[i].gains_count; g++) {
            const struct sk_gain *gain = &timeline->peers[i].gains[g];
            if (is_traced(bound->since_ms, gain))
                gifts[(*ret_count)++] = (struct sk_flow_gift){i, gain->piece, gain->at_ms};
        }
    return gifts;
}

/* In percent of what moved; where traced gains are known what they were is added to `flows`. */
static double misallocated(const struct trial *trial, const struct sk_flows *flows, bool exact,
                           double *matrix)
{
    double off = 0, moved = 0;
    uint32_t n = trial->peers;
    for (size_t i = 0; i < (size_t)n * n; i++)
        matrix[i] = 0;
    for (size_t k = 0; k < flows->edges_count; k++)
        matrix[(size_t)flows->edges[k].from * n + flows->edges[k].to] = flows->edges[k].bytes;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++) {
            uint32_t a = trial->client_of[i], b = trial->client_of[j];
            if (!trial->judged[j] || a == UNKNOWN || b == UNKNOWN)
                continue;
            double known = exact ? (double)sk_swarm_traced(trial->swarm, a, b) : 0;
            off += fabs(matrix[(size_t)i * n + j] + known - truth(trial, i, j));
            moved += truth(trial, i, j);
        }
    return 50 * off / moved;
}

/* One who knows so much of the same run. */
static int judge_knowing(const struct trial *trial, struct bound *bound, int knowing,
                         double *ret_off)
{
    bool exact = knowing == EXACT;
    size_t count;
    struct sk_flow_gift *traced = list_traced(bound, &count);
    double *matrix = sk_mem_calloc((size_t)trial->peers * trial->peers + 1, sizeof *matrix);
    struct sk_flow_config config = {.unobservable = trial->unobservable,
                                    .gifts = exact ? traced : trial->gifts,
                                    .gifts_count = exact ? count : trial->gifts_count};
    if (knowing == FIRST || knowing == ANCHORED) {
        config.may_give = knowing == FIRST ? near_gifts : near_tracers;
        config.ctx = bound;
    } else if (knowing == ORACLE) {
        config.may_give = may_give;
        config.ctx = (void *)trial;
    }
    struct sk_flows flows;
    int err =
        traced && matrix ? sk_flow_estimate(&trial->timeline, &config, &flows) : SKEP_ERR_NOMEM;
    if (!err) {
        *ret_off = misallocated(trial, &flows, exact, matrix);
        sk_flows_deinit(&flows);
    }
    sk_mem_free(traced);
    sk_mem_free(matrix);
    return err;
}

/* Of what was moved, how much was of tracers. */
static double traced_share(const struct trial *trial)
{
    double traced = 0, moved = 0;
    for (uint32_t i = 0; i < trial->peers; i++)
        for (uint32_t j = 0; j < trial->peers; j++) {
            uint32_t a = trial->client_of[i], b = trial->client_of[j];
            if (!trial->judged[j] || a == UNKNOWN || b == UNKNOWN)
                continue;
            traced += (double)sk_swarm_traced(trial->swarm, a, b);
            moved += truth(trial, i, j);
        }
    return traced / moved;
}

/* ---- the table ---- */

static void set(double *value, double to)
{
    if (!isnan(to))
        *value = to;
}

static struct sk_swarm_config configure(const struct sk_sim_options *options,
                                        const struct place *place, uint32_t run)
{
    struct sk_swarm_config config = options->swarm;
    config.seed = options->seed + run;
    config.rtt_s = options->rtt_ms / 1000;
    set(&config.other_clients, place->others);
    set(&config.join_per_s, place->join_per_s);
    set(&config.leave_done, place->leave_done);
    set(&config.watched_share, place->watched);
    set(&config.demand, place->demand);
    config.habits[SK_SWARM_SUPPRESSES_HAVES] = place->suppresses;
    config.links_told = config.links_told && place->links_told != 0;
    return config;
}

static void add(struct score *sum, const struct score *score)
{
    for (int m = 0; m < METHODS; m++)
        sum->misallocated[m] += score->misallocated[m];
    sum->upload_error += score->upload_error;
    sum->edges_held += score->edges_held;
    sum->uploads_held += score->uploads_held;
}

/* The same with tracers; *exact: the error of who knew every source of theirs. */
static int trace(const struct sk_swarm_config *config, struct score *traced, double *gifts,
                 double *exact)
{
    struct score score;
    struct trial trial;
    struct bound bound = {0};
    double off = 0;
    int err = live(&trial, config, SK_TRACER_SHARE);
    if (!err)
        err = judge(&trial, false, &score);
    if (!err)
        err = bound_init(&bound, &trial);
    if (!err)
        err = judge_knowing(&trial, &bound, EXACT, &off);
    if (!err) {
        add(traced, &score);
        *gifts += (double)trial.gifts_count;
        *exact += off;
    }
    bound_deinit(&bound);
    end(&trial);
    return err;
}

static int run_place(const struct sk_sim_options *options, const struct place *place,
                     struct sk_sim_report *report)
{
    struct score ours = {0}, oracle = {0}, traced = {0};
    double gifts = 0, exact = 0, runs = options->runs;
    int err = 0;
    for (uint32_t run = 0; run < options->runs && !err; run++) {
        struct sk_swarm_config config = configure(options, place, run);
        struct score score;
        struct trial trial;
        err = live(&trial, &config, 0);
        for (int knows = 0; knows < 2 && !err; knows++) {
            err = judge(&trial, knows, &score);
            add(knows ? &oracle : &ours, &score);
        }
        end(&trial);
        if (err || !place->tracers)
            continue;
        err = trace(&config, &traced, &gifts, &exact);
    }
    sk_sim_report_text(report, "swarm", place->name);
    sk_sim_report_number(report, "ours_%", ours.misallocated[OURS] / runs, 1);
    sk_sim_report_number(report, "entropy_%", ours.misallocated[ENTROPY] / runs, 1);
    sk_sim_report_number(report, "level_%", ours.misallocated[LEVEL] / runs, 1);
    sk_sim_report_number(report, "gravity_%", ours.misallocated[GRAVITY] / runs, 1);
    sk_sim_report_number(report, "uniform_%", ours.misallocated[UNIFORM] / runs, 1);
    sk_sim_report_number(report, "oracle_%", oracle.misallocated[OURS] / runs, 1);
    sk_sim_report_number(report, "traced_%",
                         place->tracers ? traced.misallocated[OURS] / runs : NAN, 1);
    sk_sim_report_number(report, "exact_%", place->tracers ? exact / runs : NAN, 1);
    sk_sim_report_number(report, "tracers", place->tracers ? gifts / runs : NAN, 0);
    sk_sim_report_number(report, "upload_err_%", ours.upload_error / runs, 1);
    sk_sim_report_number(report, "uploads_held_%", ours.uploads_held / runs, 1);
    sk_sim_report_number(report, "edges_held_%", ours.edges_held / runs, 1);
    sk_sim_report_end_row(report);
    return err;
}

static const char *run(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    int err = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(places) && !err; i++)
        err = run_place(options, &places[i], report);
    return !err                      ? NULL
           : err == SKEP_ERR_INVALID ? "these options do not fit each other"
                                     : "no memory";
}

/* ---- by how much is given ---- */

static int run_share(const struct sk_swarm_config *config, double share, double *sums)
{
    struct trial trial;
    struct bound bound = {0};
    int err = live(&trial, config, share);
    if (!err)
        err = bound_init(&bound, &trial);
    for (int knowing = 0; knowing < KNOWING && !err; knowing++) {
        double off = 0;
        err = judge_knowing(&trial, &bound, knowing, &off);
        sums[knowing] += off;
    }
    if (!err) {
        sums[KNOWING] += (double)trial.gifts_count;
        sums[KNOWING + 1] += 100 * traced_share(&trial);
    }
    bound_deinit(&bound);
    end(&trial);
    return err;
}

static const char *run_tracers(const struct sk_sim_options *options, struct sk_sim_report *report)
{
    static const double shares[] = {0, 0.01, 0.02, 0.05, 0.1, 0.2};
    static const struct place plain = {"plain", true, NAN, NAN, NAN, NAN, 0, NAN, NAN};
    static const char *const names[KNOWING + 2] = {
        [TRACED] = "traced_%",     [FIRST] = "first_%",   [EXACT] = "exact_%",
        [ANCHORED] = "anchored_%", [ORACLE] = "oracle_%", [KNOWING] = "tracers",
        [KNOWING + 1] = "share_%"};
    int err = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(shares) && !err; i++) {
        double sums[KNOWING + 2] = {0};
        for (uint32_t run = 0; run < options->runs && !err; run++) {
            struct sk_swarm_config config = configure(options, &plain, run);
            err = run_share(&config, shares[i], sums);
        }
        sk_sim_report_number(report, "given_%", 100 * shares[i], 0);
        for (int k = 0; k < KNOWING + 2; k++)
            sk_sim_report_number(report, names[k], sums[k] / options->runs, k == KNOWING ? 0 : 1);
        sk_sim_report_end_row(report);
    }
    return !err                      ? NULL
           : err == SKEP_ERR_INVALID ? "these options do not fit each other"
                                     : "no memory";
}

const struct sk_sim_experiment sk_sim_tracers = {
    .name = "tracers",
    .summary = "who fed whom: what tracers tell, and could at most, by how much is given",
    .defaults = {.seed = 1,
                 .runs = 1,
                 .rtt_ms = 80,
                 .swarm = {SK_SIM_SWARM, .capacity_error = 0.1, .announce_interval_s = 300}},
    .run = run_tracers,
};

const struct sk_sim_experiment sk_sim_flow = {
    .name = "flow",
    .summary = "who fed whom: bytes misallocated by our estimate, baselines and an oracle",
    .defaults = {.seed = 1,
                 .runs = 1,
                 .rtt_ms = 80,
                 .swarm = {SK_SIM_SWARM, .capacity_error = 0.1, .announce_interval_s = 300}},
    .run = run,
};
