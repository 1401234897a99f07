/* skep audit: options, the run, and what is written where. */
#include "base/assert.h"
#include "cmd/audit_kept.h"
#include "cmd/audit_live.h"
#include "cmd/cmd.h"
#include "cmd/dht_nodes.h"
#include "cmd/judgement.h"
#include "cmd/options.h"
#include "cmd/paths.h"
#include "cmd/replay.h"
#include "cmd/report_output.h"
#include "cmd/target.h"
#include "engine/auditor.h"
#include "store/report_sqlite.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    KEY_PROBE_BYTES = 500,
    KEY_PROBE_SECONDS,
    KEY_PROBES,
    KEY_NO_PROBE,
    KEY_PATIENCE,
    KEY_WATCH,
    KEY_SAVE,
    KEY_GIVE,
    KEY_TRACER,
    KEY_UP_LIMIT,
    KEY_DB,
    KEY_JSON,
    KEY_REPORTS,
    KEY_CLOCK_ERROR,
    KEY_REPLAY,
    KEY_AUDIT,
};

#define PROBING 1 /* the group of options that say what is done to peers */
#define TICK_S 0.1
#define GOODBYE_S 3.0                     /* for telling the trackers that we leave */
#define TRACER_LIMIT_BYTES_S (256u << 10) /* given of tracers, unless --up-limit says other */

struct audit {
    struct sk_options options;
    struct sk_auditor_config config;
    const char *target_text, *db, *json, *reports, *replay;
    double clock_error_s; /* of --reports; NAN: what is usual */
    uint32_t number;      /* --audit: which one of --replay; 0 = the last */
    struct skep_runtime *runtime;
    struct skep_torrent *torrent;
    struct sk_auditor *auditor;
    struct sk_report_store *store;
    struct sk_audit_kept kept;
    struct sk_dht_nodes nodes;
    struct sk_anonymizer anonymizer;
    struct sk_report_style style;
    struct sk_audit_live *live;
    uint64_t opened_ns, started_ns; /* --time counts from the first, the report from the other */
    enum sk_stopped stopped;
    bool stopping;
    int interrupts;
};

/* ---- options ---- */

static void expect(bool ok, const char *option, const char *arg, const char *expected)
{
    if (ok)
        return;
    sk_complain("%s='%.80s': expected %s", option, arg, expected);
    exit(SK_EXIT_USAGE);
}

static const struct argp_option argp_options[] = {
    {.doc = "Probing:", .group = PROBING},
    {"probe-bytes", KEY_PROBE_BYTES, "SIZE", 0,
     "take at most so much of a peer (default 1M; of a fast one up to 64M)", PROBING},
    {"probe-seconds", KEY_PROBE_SECONDS, "SECONDS", 0, "or for so long (default 10)", PROBING},
    {"probes", KEY_PROBES, "N", 0, "probe so many peers at a time (default 32)", PROBING},
    {"no-probe", KEY_NO_PROBE, NULL, 0, "look at what peers hold, take nothing", PROBING},
    {"patience", KEY_PATIENCE, "SECONDS", 0, "how long to wait for a choking peer (default 40)",
     PROBING},
    {"watch", KEY_WATCH, "SECONDS", 0,
     "go on watching the peers for so long (30m, 1h): what they gain, and from whom", PROBING},
    {"save", KEY_SAVE, "DIR", 0, "keep verified pieces in this directory", PROBING},
    {"give", KEY_GIVE, NULL, 0, "serve what is kept back to the swarm (with --save)", PROBING},
    {"tracer", KEY_TRACER, NULL, 0,
     "give a few rare pieces of those that are kept to one chosen peer each, and watch how they "
     "spread (with --save and --watch)",
     PROBING},
    {"up-limit", KEY_UP_LIMIT, "RATE", 0,
     "give at most so many bytes a second (with --give: no limit; with --tracer: 256k)", PROBING},
    {"db", KEY_DB, "FILE", 0, "write the observations and the result to this SQLite file",
     SK_OPTIONS_OUTPUT},
    {"json", KEY_JSON, "FILE", 0, "write the JSON document to this file as well",
     SK_OPTIONS_OUTPUT},
    {"reports", KEY_REPORTS, "FILE", 0,
     "judge what the peers reported to a tracker: what skep tracker --db wrote, JSON Lines or "
     "CSV (see skep verdict)",
     SK_OPTIONS_OUTPUT},
    {"clock-error", KEY_CLOCK_ERROR, "SECONDS", 0,
     "by how much that tracker's clock may differ from ours (default 2m)", SK_OPTIONS_OUTPUT},
    {"replay", KEY_REPLAY, "FILE", 0, "audit nobody: report what an earlier audit wrote with --db",
     SK_OPTIONS_OUTPUT},
    {"audit", KEY_AUDIT, "N", 0, "with --replay: the audit of this number (default: the last)",
     SK_OPTIONS_OUTPUT},
    {0},
};

/* What only a look at the network heeds. */
static void note_live(struct audit *audit, int key)
{
    for (size_t i = 0; argp_options[i].name || argp_options[i].doc; i++)
        if (argp_options[i].key == key && argp_options[i].group == PROBING && !audit->options.live)
            audit->options.live = argp_options[i].name;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct audit *audit = state->input;
    struct sk_auditor_config *c = &audit->config;
    note_live(audit, key);
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &audit->options;
        return 0;
    case KEY_PROBE_BYTES:
        expect(sk_parse_size(arg, &c->probe_bytes) && c->probe_bytes >= 16384, "--probe-bytes", arg,
               "a size of at least 16k, such as 1M");
        return 0;
    case KEY_PROBE_SECONDS:
        expect(sk_parse_seconds(arg, &c->probe_seconds) && c->probe_seconds > 0, "--probe-seconds",
               arg, "seconds above 0");
        return 0;
    case KEY_PROBES:
        expect(sk_parse_count(arg, 1000, &c->probes_max) && c->probes_max, "--probes", arg,
               "a number, 1 to 1000");
        return 0;
    case KEY_NO_PROBE:
        c->no_probe = true;
        return 0;
    case KEY_PATIENCE:
        expect(sk_parse_seconds(arg, &c->patience_s) && c->patience_s > 0, "--patience", arg,
               "seconds above 0");
        return 0;
    case KEY_WATCH:
        expect(sk_parse_seconds(arg, &c->watch_s) && c->watch_s > 0, "--watch", arg,
               "seconds above 0");
        audit->options.net.lasting = true;
        return 0;
    case KEY_SAVE:
        expect(*arg, "--save", arg, "a directory");
        audit->options.net.save_dir = arg;
        return 0;
    case KEY_GIVE:
        audit->options.net.give = true;
        return 0;
    case KEY_TRACER:
        c->tracer = true;
        return 0;
    case KEY_UP_LIMIT:
        expect(sk_parse_size(arg, &audit->options.net.give_limit_bytes_s) &&
                   audit->options.net.give_limit_bytes_s,
               "--up-limit", arg, "bytes a second, such as 500k or 2M");
        return 0;
    case KEY_DB:
        audit->db = arg;
        return 0;
    case KEY_JSON:
        audit->json = arg;
        return 0;
    case KEY_REPORTS:
        audit->reports = arg;
        return 0;
    case KEY_CLOCK_ERROR:
        expect(sk_parse_seconds(arg, &audit->clock_error_s), "--clock-error", arg,
               "seconds, such as 1");
        return 0;
    case KEY_REPLAY:
        audit->replay = arg;
        return 0;
    case KEY_AUDIT:
        expect(sk_parse_count(arg, UINT32_MAX, &audit->number) && audit->number, "--audit", arg,
               "the number of an audit, from 1 on");
        return 0;
    case ARGP_KEY_ARG:
        if (audit->target_text) {
            sk_complain("audit: one TARGET, not several");
            exit(SK_EXIT_USAGE);
        }
        audit->target_text = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&sk_options_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "TARGET\n--replay=FILE",
    .doc = "Goes to every peer of a torrent, reads what it holds, takes blocks from it and reports "
           "what is true.\v"
           "A TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, the "
           "http(s) address of a .torrent file, or - for standard input.\n\n"
           "\"Nothing new in 37 of 60 addresses\", which it shows meanwhile: the last 37 addresses "
           "that anybody told were known already. 60 in a row, and a small swarm counts as "
           "seen.\n\n"
           "Exit codes: 0 converged; 2 wrong usage; 3 no peer found, or no announces of this "
           "torrent; 4 the network failed; 5 partial: interrupted, or time ran out; 6 the torrent, "
           "or the file of reports, is broken; 7 a file could not be read or written.",
    .children = children,
};

/* ---- the run ---- */

static double unix_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void leave(struct audit *audit, enum sk_stopped why)
{
    if (audit->stopping)
        return;
    audit->stopping = true;
    audit->stopped = why;
    skep_runtime_stop(audit->runtime);
}

static void on_done(void *ctx)
{
    leave(ctx, SK_STOPPED_CONVERGED);
}

static void on_signal(struct skep_runtime *runtime, int signal, void *ctx)
{
    struct audit *audit = ctx;
    if (audit->interrupts++)
        _exit(128 + signal);
    leave(audit, SK_STOPPED_INTERRUPTED);
}

static void on_tick(struct skep_runtime *runtime, void *ctx)
{
    struct audit *audit = ctx;
    uint64_t now = skep_runtime_now(runtime);
    if (audit->stopping)
        return;
    sk_audit_kept_look(&audit->kept);
    sk_auditor_tick(audit->auditor, now);
    sk_audit_live_draw(audit->live, audit->auditor, now);
    double elapsed = (double)(now - audit->opened_ns) / 1e9;
    if (audit->options.time_s > 0 && elapsed >= audit->options.time_s)
        leave(audit, SK_STOPPED_TIME);
    if (audit->store && sk_report_store_take_error(audit->store))
        sk_complain("%s (the audit goes on without it)", sk_report_store_reason(audit->store));
}

static void on_goodbye_tick(struct skep_runtime *runtime, void *ctx)
{
    struct audit *audit = ctx;
    if (skep_torrent_stopped(audit->torrent))
        skep_runtime_stop(runtime);
}

static int open_store(struct audit *audit, double started_unix_s)
{
    char reason[SK_STORE_REASON_MAX];
    if (!audit->db)
        return SK_EXIT_DONE;
    if (sk_report_store_open(audit->db, &audit->style, &audit->store, reason)) {
        sk_complain("%s", reason);
        return SK_EXIT_STORAGE;
    }
    if (sk_report_store_begin(audit->store, started_unix_s, audit->started_ns,
                              skep_torrent_info_hash(audit->torrent))) {
        sk_complain("%s", sk_report_store_reason(audit->store));
        return SK_EXIT_STORAGE;
    }
    audit->config.observe = sk_report_store_observe;
    audit->config.observe_ctx = audit->store;
    return SK_EXIT_DONE;
}

static int start(struct audit *audit)
{
    struct sk_options *options = &audit->options;
    audit->started_ns = skep_runtime_now(audit->runtime);
    audit->config.started_unix_s = unix_now();
    int code = open_store(audit, audit->config.started_unix_s);
    if (code)
        return code;
    audit->config.only_given = options->net.no_trackers && options->net.no_pex &&
                               options->net.no_lsd && options->net.no_dht &&
                               options->trackers.count == 0;
    audit->config.no_pex = options->net.no_pex;
    audit->config.save = options->net.save_dir != NULL;
    audit->config.connections_max = options->net.connections_max;
    audit->config.done = on_done;
    audit->config.done_ctx = audit;
    if (getrandom(&audit->config.seed, sizeof audit->config.seed, 0) < 0)
        audit->config.seed = audit->started_ns;
    int err = sk_auditor_new(skep_runtime_engine(audit->runtime), audit->torrent, &audit->config,
                             audit->started_ns, &audit->auditor);
    if (err)
        return sk_complain_err(err);
    return sk_target_add_extras(&audit->options, audit->torrent);
}

static int run(struct audit *audit)
{
    skep_runtime_on_signal(audit->runtime, on_signal, audit);
    skep_runtime_every(audit->runtime, TICK_S, on_tick, audit);
    skep_torrent_start(audit->torrent, skep_runtime_now(audit->runtime));
    int err = skep_runtime_run(audit->runtime, -1);
    sk_audit_live_end(audit->live);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static void say_goodbye(struct audit *audit)
{
    skep_torrent_stop(audit->torrent, skep_runtime_now(audit->runtime));
    if (skep_torrent_stopped(audit->torrent))
        return;
    skep_runtime_every(audit->runtime, 0.02, on_goodbye_tick, audit);
    skep_runtime_run(audit->runtime, GOODBYE_S);
}

/* ---- the result ---- */

static int exit_code(const struct audit *audit, const struct sk_report *report)
{
    if (audit->stopped != SK_STOPPED_CONVERGED)
        return SK_EXIT_PARTIAL;
    if (report->connected)
        return SK_EXIT_DONE;
    if (report->known)
        return SK_EXIT_NETWORK;
    bool answered = report->claims_count == 0;
    for (size_t i = 0; i < report->claims_count; i++)
        answered = answered || !report->claims[i].error;
    return answered ? SK_EXIT_NOTHING : SK_EXIT_NETWORK;
}

/* One line that says why there is nothing to see. */
static void explain(const struct audit *audit, const struct sk_report *report, int code)
{
    if (code == SK_EXIT_NOTHING)
        sk_complain("no peers found: no source knows one (give some with --peer or --tracker)");
    else if (code == SK_EXIT_NETWORK && report->known)
        sk_complain("no peer could be reached (%u tried)", report->known);
    else if (code == SK_EXIT_NETWORK)
        sk_complain("no tracker answered%s and no peer is known",
                    audit->options.net.no_dht ? "" : ", nor did the DHT,");
    else if (code == SK_EXIT_DONE && !report->has_metadata)
        sk_complain("no peer gave the torrent's metadata");
}

static int finish(struct audit *audit)
{
    struct sk_report report;
    uint64_t now = skep_runtime_now(audit->runtime);
    int err = sk_auditor_report(audit->auditor, audit->stopped, now, &report);
    say_goodbye(audit);
    if (err)
        return sk_complain_err(err);
    /* What was seen is reported, whatever becomes of the file that it is held against. */
    int judged = audit->reports ? sk_judge_file(audit->reports, audit->clock_error_s,
                                                sk_auditor_timeline(audit->auditor), &report)
                                : SK_EXIT_DONE;
    int code = sk_report_output(&report, &audit->style, audit->options.format, audit->json);
    if (!code) {
        code = exit_code(audit, &report);
        explain(audit, &report, code);
    }
    if (!code)
        code = judged;
    if (audit->store && sk_report_store_finish(audit->store, &report)) {
        sk_complain("%s", sk_report_store_reason(audit->store));
        code = SK_EXIT_STORAGE;
    }
    sk_report_deinit(&report);
    return code;
}

/* An audit only asks: nobody should remember a node that is gone soon. */
static void load_dht(struct audit *audit)
{
    audit->options.net.dht_read_only = true;
    if (!audit->options.net.no_dht)
        sk_dht_nodes_load(&audit->nodes, &audit->options);
}

static void prepare_tracer(struct audit *audit)
{
    struct skep_config *net = &audit->options.net;
    if (!audit->config.tracer)
        return;
    net->give = net->give_chosen = true;
    if (!net->give_limit_bytes_s)
        net->give_limit_bytes_s = TRACER_LIMIT_BYTES_S;
}

static int with_runtime(struct audit *audit, struct sk_target *target)
{
    load_dht(audit);
    prepare_tracer(audit);
    if (!audit->options.net.transports)
        audit->options.net.transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP;
    int code = sk_options_open(&audit->options, &audit->runtime);
    if (code)
        return code;
    audit->opened_ns = skep_runtime_now(audit->runtime);
    /* First: a link of BEP 46 is looked up there. */
    code = sk_dht_nodes_join(&audit->nodes, &audit->options, skep_runtime_engine(audit->runtime));
    if (!code)
        code = sk_target_resolve(target, audit->runtime, &audit->options, 0);
    if (!code)
        code = sk_target_add(target, skep_runtime_engine(audit->runtime), &audit->torrent);
    if (!code && audit->config.tracer)
        sk_audit_kept_init(&audit->kept, audit->options.net.save_dir, audit->torrent);
    if (!code)
        code = start(audit);
    if (!code)
        code = run(audit);
    if (!code)
        code = finish(audit);
    sk_dht_nodes_save(&audit->nodes, skep_runtime_engine(audit->runtime), false);
    sk_audit_kept_deinit(&audit->kept);
    skep_runtime_free(audit->runtime);
    sk_auditor_free(audit->auditor);
    sk_report_store_close(audit->store);
    return code;
}

/* What is wrong with a file shows now, not when all has been measured. */
static int check_files(const struct audit *audit)
{
    const struct sk_path paths[] = {
        {"TARGET", audit->target_text, false}, {"--replay", audit->replay, false},
        {"--reports", audit->reports, false},  {"--db", audit->db, true},
        {"--json", audit->json, true},
    };
    int code = sk_paths_check(paths, SK_ARRAY_LEN(paths));
    return !code && audit->reports ? sk_judge_check(audit->reports) : code;
}

static int check(const struct audit *audit)
{
    const struct skep_config *net = &audit->options.net;
    bool tracer = audit->config.tracer;
    const struct {
        bool wrong;
        const char *why;
    } rules[] = {
        {!audit->target_text && !audit->replay, "audit: a TARGET is missing (skep audit --help)"},
        {audit->target_text && audit->replay, "audit: a TARGET, or --replay FILE, not both"},
        {audit->db && audit->replay, "--replay observes nothing that --db could write"},
        {audit->number && !audit->replay, "--audit needs --replay FILE"},
        {!isnan(audit->clock_error_s) && !audit->reports,
         "--clock-error needs --reports FILE: it is about the clock of the tracker that wrote it"},
        {net->give && !net->save_dir,
         "--give needs --save DIR: only what is kept can be given back"},
        {tracer && !net->save_dir,
         "--tracer needs --save DIR: only what is kept there can be given"},
        {tracer && audit->config.watch_s <= 0,
         "--tracer needs --watch SECONDS: how a piece spreads takes time"},
        {tracer && net->give, "--tracer or --give, not both: who gives to all traces nothing"},
        {net->give_limit_bytes_s && !net->give && !tracer,
         "--up-limit needs --give or --tracer: nothing else is given"},
    };
    if (audit->replay && audit->options.live) {
        sk_complain("--%s is for an audit of the network: with --replay nobody is asked, leave one "
                    "of the two out",
                    audit->options.live);
        return SK_EXIT_USAGE;
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(rules); i++) {
        if (!rules[i].wrong)
            continue;
        sk_complain("%s", rules[i].why);
        return SK_EXIT_USAGE;
    }
    return check_files(audit);
}

/* An audit of the network. */
static int audit_target(struct audit *audit)
{
    struct sk_target target;
    int code = sk_target_read(audit->target_text, &target);
    if (code)
        return code;
    audit->live = sk_audit_live_new(&audit->options, &audit->style);
    code = with_runtime(audit, &target);
    sk_audit_live_free(audit->live);
    sk_target_deinit(&target);
    return code;
}

/* An earlier audit's report: what was measured as it was written, what follows from it anew. */
static int replay(struct audit *audit)
{
    struct sk_replayed replayed;
    int judged = SK_EXIT_DONE;
    int code = sk_replayed_open(&replayed, audit->replay, audit->number, &audit->style);
    if (!code && audit->reports)
        judged = sk_replayed_take_reports(&replayed, audit->reports, audit->clock_error_s);
    if (judged != SK_EXIT_NOTHING) /* else the report is there all the same */
        code = code ? code : judged;
    if (!code)
        code = sk_replayed_infer(&replayed);
    if (!code)
        code =
            sk_report_output(&replayed.report, &replayed.style, audit->options.format, audit->json);
    sk_replayed_close(&replayed);
    return code ? code : judged;
}

int sk_cmd_audit(int argc, char **argv)
{
    struct audit audit = {.clock_error_s = NAN};
    if (!sk_options_init(&audit.options))
        return SK_EXIT_USAGE;
    argp_err_exit_status = SK_EXIT_USAGE;
    int code = argp_parse(&argp, argc, argv, 0, NULL, &audit) ? SK_EXIT_USAGE : check(&audit);
    if (!code && audit.options.anonymize) {
        if (sk_anonymizer_init(&audit.anonymizer, NULL))
            code = SK_EXIT_FAILED;
        audit.style.anonymizer = &audit.anonymizer;
    }
    if (!code)
        code = audit.replay ? replay(&audit) : audit_target(&audit);
    sk_options_deinit(&audit.options);
    return code;
}
