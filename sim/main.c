/* skep-sim: experiments with networks in virtual time. */
#include "sim/experiment.h"

#include "base/assert.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the DHT, and the others. */
static const struct sk_sim_experiment *const experiments[] = {
    &sk_sim_lookups, &sk_sim_keep, &sk_sim_hostile_gets, &sk_sim_crawl, &sk_sim_size, NULL};
static const struct sk_sim_experiment *const others[] = {
    &sk_sim_utp,      &sk_sim_swarm,   &sk_sim_hidden,
    &sk_sim_stopping, &sk_sim_reports, &sk_sim_download,
    &sk_sim_flow,     &sk_sim_tracers, NULL};

enum {
    KEY_NODES = 500,
    KEY_SEED,
    KEY_ITEMS,
    KEY_GETS,
    KEY_RUNS,
    KEY_LOSS,
    KEY_DEAD,
    KEY_RTT,
    KEY_JITTER,
    KEY_NAT,
    KEY_HOURS,
    KEY_TURNOVER,
    KEY_HOSTILE,
    KEY_KIND,
    KEY_RATE,
    KEY_SETTLE,
    KEY_ANY_IDS,
    KEY_PEERS,
    KEY_SEEDS,
    KEY_PIECES,
    KEY_PIECE,
    KEY_BLOCK,
    KEY_SECONDS,
    KEY_DEGREE,
    KEY_OTHERS,
    KEY_DEMAND,
    KEY_JOIN,
    KEY_LEAVE,
    KEY_RESTARTS,
    KEY_CAPACITY_ERROR,
    KEY_CAPACITY_UNKNOWN,
    KEY_NO_FLOWS,
    KEY_CHECK,
    KEY_EXPLAIN,
    KEY_JSON
};

struct arguments {
    const struct sk_sim_experiment *experiment;
    bool has_network;
    struct sk_sim_options options;
};

static double number(struct argp_state *state, const char *arg, double least, double most)
{
    char *end;
    double value = strtod(arg, &end);
    if (end == arg || *end || !(value >= least && value <= most))
        argp_error(state, "'%s': expected a number from %g to %g", arg, least, most);
    return value;
}

/* "dht" and an experiment of it, or another one. Options hold for the experiment before them, whose
 * defaults they change. */
static void choose(struct arguments *arguments, struct argp_state *state, const char *arg)
{
    bool first = !arguments->has_network;
    arguments->has_network = true;
    if (first && strcmp(arg, "dht") == 0)
        return;
    const struct sk_sim_experiment *const *list = first ? others : experiments;
    for (; *list && !arguments->experiment; list++)
        if (strcmp((*list)->name, arg) == 0)
            arguments->experiment = *list;
    if (!arguments->experiment)
        argp_error(state, "'%s': no such experiment", arg);
    arguments->options = arguments->experiment->defaults;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct sk_sim_options *options = &arguments->options;
    if (key >= KEY_NODES && key <= KEY_JSON && !arguments->experiment)
        argp_error(state, "options follow the experiment that they are of");
    const struct {
        int key;
        double *real;
        uint32_t *whole;
        double least, most;
    } numbers[] = {
        {KEY_NODES, NULL, &options->nodes, 10, 1000000},
        {KEY_ITEMS, NULL, &options->items, 1, 100000},
        {KEY_GETS, NULL, &options->gets, 1, 100000},
        {KEY_RUNS, NULL, &options->runs, 1, 10000},
        {KEY_EXPLAIN, NULL, &options->explain, 0, 1e9},
        {KEY_CHECK, NULL, &options->check_every, 0, 1e9},
        {KEY_LOSS, &options->loss, NULL, 0, 1},
        {KEY_DEAD, &options->dead, NULL, 0, 0.99},
        {KEY_RTT, &options->rtt_ms, NULL, 0.1, 10000},
        {KEY_JITTER, &options->jitter, NULL, 0, 1},
        {KEY_NAT, &options->nat, NULL, 0, 0.9},
        {KEY_HOURS, &options->hours, NULL, 1, 1000},
        {KEY_TURNOVER, &options->turnover, NULL, 0, 100},
        {KEY_HOSTILE, &options->hostile, NULL, 0, 0.9},
        {KEY_SETTLE, &options->settle_s, NULL, 0, 1e6},
        {KEY_RATE, &options->rate, NULL, 0.1, 100000},
        {KEY_PEERS, NULL, &options->swarm.peers, 1, 10000},
        {KEY_SEEDS, NULL, &options->swarm.seeds, 0, 10000},
        {KEY_PIECES, NULL, &options->swarm.pieces, 1, 1000000},
        {KEY_PIECE, NULL, &options->swarm.piece_size, 16384, 1e9},
        {KEY_BLOCK, NULL, &options->swarm.block_size, 16384, 1e9},
        {KEY_SECONDS, &options->swarm.seconds, NULL, 1, 1e6},
        {KEY_DEGREE, NULL, &options->swarm.degree, 0, 1000},
        {KEY_OTHERS, &options->swarm.other_clients, NULL, 0, 1},
        {KEY_DEMAND, &options->swarm.demand, NULL, 0, 100},
        {KEY_JOIN, &options->swarm.join_per_s, NULL, 0, 1000},
        {KEY_LEAVE, &options->swarm.leave_done, NULL, 0, 1},
        {KEY_RESTARTS, &options->swarm.restart_per_hour, NULL, 0, 1000},
        {KEY_CAPACITY_ERROR, &options->swarm.capacity_error, NULL, 0, 10},
        {KEY_CAPACITY_UNKNOWN, &options->swarm.capacity_unknown, NULL, 0, 1},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(numbers); i++) {
        if (numbers[i].key != key)
            continue;
        double value = number(state, arg, numbers[i].least, numbers[i].most);
        if (numbers[i].real)
            *numbers[i].real = value;
        else
            *numbers[i].whole = (uint32_t)value;
        return 0;
    }
    switch (key) {
    case KEY_SEED:
        options->seed = strtoull(arg, NULL, 0);
        return 0;
    case KEY_KIND:
        options->kind = sk_sim_kind_find(arg);
        if (options->kind == SK_SIM_KIND_COUNT)
            argp_error(state, "'%s': no such kind", arg);
        return 0;
    case KEY_ANY_IDS:
        options->any_ids = true;
        return 0;
    case KEY_NO_FLOWS:
        options->no_flows = true;
        return 0;
    case KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->experiment)
            return ARGP_ERR_UNKNOWN;
        choose(arguments, state, arg);
        return 0;
    case ARGP_KEY_END:
        if (!arguments->experiment)
            argp_error(state, "an experiment is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"nodes", KEY_NODES, "N", 0, "nodes in the network; hidden, stopping: peers", 0},
    {"seed", KEY_SEED, "N", 0, "of all chance: one seed, one trace (1)", 0},
    {"items", KEY_ITEMS, "N", 0, "items that are stored", 0},
    {"gets", KEY_GETS, "N", 0, "gets of them (keep: each hour)", 0},
    {"runs", KEY_RUNS, "N", 0, "size: estimates; hidden, stopping, flow: runs", 0},
    {"loss", KEY_LOSS, "P", 0, "share of datagrams that get lost (0.05)", 0},
    {"dead", KEY_DEAD, "P", 0,
     "lookups, crawl, size: share of nodes that die just before (0.3; size: 0)", 0},
    {"rtt", KEY_RTT, "MS", 0, "round trip (50)", 0},
    {"jitter", KEY_JITTER, "P", 0, "how much a way's time varies, as a share of it (0.1)", 0},
    {"nat", KEY_NAT, "P", 0, "share of nodes behind NAT (0)", 0},
    {"hours", KEY_HOURS, "N", 0, "keep: virtual hours (24)", 0},
    {"turnover", KEY_TURNOVER, "P", 0, "keep: share of nodes replaced in that time (0.5)", 0},
    {"hostile", KEY_HOSTILE, "P", 0, "hostile: share of nodes (0.2)", 0},
    {"kind", KEY_KIND, "NAME", 0,
     "hostile: this kind only: silent, liar, accomplice, forger, crowd, shifter, placed, fitted",
     0},
    {"rate", KEY_RATE, "N", 0, "searches a virtual second; crawl: queries a second; utp: Mbit/s",
     0},
    {"peers", KEY_PEERS, "N", 0, "swarm: clients at the start (200)", 0},
    {"seeds", KEY_SEEDS, "N", 0, "swarm: seeds among them (4)", 0},
    {"pieces", KEY_PIECES, "N", 0, "swarm: pieces (1000)", 0},
    {"piece", KEY_PIECE, "BYTES", 0, "swarm: size of a piece (262144)", 0},
    {"block", KEY_BLOCK, "BYTES", 0, "swarm: what is asked for at a time (16384)", 0},
    {"seconds", KEY_SECONDS, "S", 0, "swarm: how long it is looked at (600)", 0},
    {"degree", KEY_DEGREE, "N", 0, "swarm: connections that a client makes (20)", 0},
    {"others", KEY_OTHERS, "P", 0, "swarm: share of clients with other rules than ours (0)", 0},
    {"demand", KEY_DEMAND, "X", 0,
     "swarm: what all can take over what all can give; 0: 4 to 10 times (0)", 0},
    {"join", KEY_JOIN, "N", 0, "swarm: new leechers a second (0)", 0},
    {"leave", KEY_LEAVE, "P", 0, "swarm: share that leaves once it is done (0)", 0},
    {"restarts", KEY_RESTARTS, "N", 0, "swarm: of a client in an hour (0)", 0},
    {"capacity-error", KEY_CAPACITY_ERROR, "SD", 0,
     "swarm: of the logarithm of a capacity as measured (reports: 0.1)", 0},
    {"capacity-unknown", KEY_CAPACITY_UNKNOWN, "P", 0,
     "swarm: share of clients whose capacity is not measured (0)", 0},
    {"no-flows", KEY_NO_FLOWS, NULL, 0, "reports: flows are not estimated", 0},
    {"settle", KEY_SETTLE, "S", 0, "seconds between the network's growth and the experiment", 0},
    {"any-ids", KEY_ANY_IDS, NULL, 0, "nodes do not hold others to BEP 42", 0},
    {"check", KEY_CHECK, "N", 0, "look at a node's invariants each N steps (0: never)", 0},
    {"explain", KEY_EXPLAIN, "N", 0, "lookups, hostile: tell of N gets that failed, on stderr", 0},
    {"json", KEY_JSON, NULL, 0, "one line of JSON", 0},
    {0}};

/* What --help says: with the experiments' names and summaries. */
static const char *help_text(void)
{
    static char text[2000];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "Networks in virtual time, with the code that runs on real ones.\v"
                                "Experiments of dht:\n");
    for (size_t i = 0; experiments[i]; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "  %-9s %s\n", experiments[i]->name,
                              experiments[i]->summary);
    for (size_t i = 0; others[i]; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s: %s\n", others[i]->name,
                              others[i]->summary);
    return text;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct sk_sim_report report;
    const struct argp argp = {
        argp_options,
        parse,
        "dht EXPERIMENT\nutp\nswarm\nhidden\nstopping\nreports\ndownload\nflow",
        help_text(),
        NULL,
        NULL,
        NULL};
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &arguments);
    const struct sk_sim_experiment *experiment = arguments.experiment;
    const struct sk_sim_options *options = &arguments.options;
    sk_sim_report_init(&report, experiment->name, options->seed, options->json,
                       experiment->summary);
    const char *fault = experiment->run(options, &report);
    sk_sim_report_deinit(&report, fault);
    return fault ? 1 : 0;
}
