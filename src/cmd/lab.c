/* skep lab: options, and a run with its files. */
#include "cmd/lab.h"

#include <skep/err.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/announced.h"
#include "cmd/cmd.h"
#include "cmd/lab_scenario.h"
#include "cmd/lab_truth.h"
#include "cmd/options.h"
#include "cmd/units.h"
#include "store/announce_log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    KEY_TRUTH = 500,
    KEY_REPORTS,
    KEY_TORRENT,
    KEY_TIME,
    KEY_PORT,
    KEY_SEED,
    KEY_QUIET,
    KEY_DEMO,
    KEY_COMPARE,
    KEY_KINDS,
    KEY_EXAMPLE
};

enum action { ACTION_RUN, ACTION_DEMO, ACTION_COMPARE, ACTION_KINDS, ACTION_EXAMPLE };

struct arguments {
    enum action action;
    struct sk_lab_run run;
    const char *names[2];
    unsigned names_count;
    bool has_seed;
    uint32_t seed;
};

/* ---- options ---- */

static void expect(bool ok, const char *option, const char *arg, const char *expected)
{
    if (ok)
        return;
    sk_complain("%s='%.80s': expected %s", option, arg, expected);
    exit(SK_EXIT_USAGE);
}

static void check_names(const struct arguments *arguments)
{
    static const struct {
        unsigned least, most;
        const char *what;
    } wanted[] = {
        [ACTION_RUN] = {1, 1, "one SCENARIO is needed (skep lab --help)"},
        [ACTION_DEMO] = {0, 1, "--demo takes one SCENARIO at most"},
        [ACTION_COMPARE] = {2, 2, "--compare needs the truth of a lab and the JSON of an audit"},
        [ACTION_KINDS] = {0, 0, "--kinds takes no arguments"},
        [ACTION_EXAMPLE] = {0, 0, "--example takes no arguments"},
    };
    unsigned count = arguments->names_count;
    if (count >= wanted[arguments->action].least && count <= wanted[arguments->action].most)
        return;
    sk_complain("lab: %s", wanted[arguments->action].what);
    exit(SK_EXIT_USAGE);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct sk_lab_run *run = &arguments->run;
    uint32_t number;
    switch (key) {
    case KEY_TRUTH:
        run->truth = arg;
        return 0;
    case KEY_REPORTS:
        run->reports = arg;
        return 0;
    case KEY_TORRENT:
        run->torrent = arg;
        return 0;
    case KEY_TIME:
        expect(sk_parse_seconds(arg, &run->time_s) && run->time_s > 0, "--time", arg,
               "seconds above 0");
        return 0;
    case KEY_PORT:
        expect(sk_parse_count(arg, 65534, &number) && number >= 1024, "--port", arg,
               "a port, 1024 to 65534");
        run->port = (uint16_t)number;
        return 0;
    case KEY_SEED:
        expect(sk_parse_count(arg, UINT32_MAX, &arguments->seed), "--seed", arg, "a number");
        arguments->has_seed = true;
        return 0;
    case KEY_QUIET:
        run->quiet = true;
        return 0;
    case KEY_DEMO:
    case KEY_COMPARE:
    case KEY_KINDS:
    case KEY_EXAMPLE:
        arguments->action = (enum action)(ACTION_DEMO + (key - KEY_DEMO));
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->names_count < 2)
            arguments->names[arguments->names_count] = arg;
        arguments->names_count++;
        return 0;
    case ARGP_KEY_END:
        check_names(arguments);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"reports", KEY_REPORTS, "FILE", 0,
     "record what its peers report to its tracker, for skep audit --reports", 1},
    {"truth", KEY_TRUTH, "FILE", 0, "write what is true as JSON, at the start and at the end", 1},
    {"torrent", KEY_TORRENT, "FILE", 0, "write the .torrent", 1},
    {"time", KEY_TIME, "SECONDS", 0, "end after so long (default: with Ctrl-C)", 1},
    {"port", KEY_PORT, "N", 0,
     "the peers listen on this port, the tracker on the next one (default: any)", 1},
    {"seed", KEY_SEED, "N", 0, "of contents, ids and shares, in place of the scenario's", 1},
    {"quiet", KEY_QUIET, NULL, 0, "say nothing but errors", 1},
    {"kinds", KEY_KINDS, NULL, 0, "list what a scenario can say", 2},
    {"example", KEY_EXAMPLE, NULL, 0, "print the demonstration's scenario", 2},
    {"demo", KEY_DEMO, NULL, 0,
     "audit a lab (of 60 peers, or the SCENARIO), and compare with the truth", 2},
    {"compare", KEY_COMPARE, NULL, 0, "compare two files: TRUTH and the JSON of an audit", 2},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "SCENARIO\n--demo [SCENARIO]\n--compare TRUTH REPORT\n--kinds\n--example",
    .doc = "Runs a swarm of known truth on this machine: every peer at an address of its own in "
           "127.0.0.0/8, with a tracker, as the SCENARIO file (- is standard input) says. Nothing "
           "outside of this machine can reach it.\v"
           "Exit codes: 0 done, and nothing differs; 1 something differs; 2 wrong usage or "
           "scenario; 4 a port could not be had; 6 a file to compare is broken; 7 a file could "
           "not be read or written.",
};

/* ---- a run ---- */

struct started {
    const struct sk_lab_run *run;
    struct sk_lab *lab;
};

static int complain_file(const char *path)
{
    sk_complain("%s: %s", path, strerror(errno));
    return SK_EXIT_STORAGE;
}

static int write_torrent(const struct sk_lab *lab, const char *path)
{
    const char *urls[SK_LAB_TRACKERS_MAX];
    size_t count = sk_lab_trackers(lab, urls);
    struct sk_buf buf;
    int code = SK_EXIT_DONE;
    sk_buf_init(&buf, SK_METAINFO_BYTES_MAX);
    FILE *file = NULL;
    if (sk_lab_content_write(&sk_lab_swarm(lab)->content, urls, count, &buf)) {
        sk_complain("%s", skep_err_text(SKEP_ERR_NOMEM));
        code = SK_EXIT_FAILED;
    } else if (!(file = fopen(path, "wb"))) {
        code = complain_file(path);
    } else {
        bool ok = fwrite(buf.p, 1, buf.n, file) == buf.n;
        ok = fclose(file) == 0 && ok;
        code = ok ? SK_EXIT_DONE : complain_file(path);
    }
    sk_buf_deinit(&buf);
    return code;
}

static int write_truth(const struct sk_lab *lab, bool ended, const char *path)
{
    int err = sk_lab_truth_write(lab, ended, path);
    if (err == SKEP_ERR_IO)
        return complain_file(path);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static void describe(const struct sk_lab *lab, const struct sk_lab_run *run)
{
    const struct sk_lab_swarm *swarm = sk_lab_swarm(lab);
    const char *urls[SK_LAB_TRACKERS_MAX];
    size_t count = sk_lab_trackers(lab, urls);
    char size[SK_UNITS_MAX], piece[SK_UNITS_MAX];
    struct sk_buf magnet;
    sk_buf_init(&magnet, 4096);
    printf("%u peers, %s in %u pieces of %s\n", swarm->count,
           sk_units_bytes((double)swarm->content.torrent.size, size), swarm->content.pieces,
           sk_units_bytes(swarm->content.torrent.piece_size, piece));
    for (size_t i = 0; i < count; i++)
        printf("tracker  %s\n", urls[i]);
    if (sk_lab_magnet(lab, &magnet) == 0)
        printf("magnet   %s\n", (const char *)magnet.p);
    if (run->torrent)
        printf("torrent  %s\n", run->torrent);
    if (run->truth)
        printf("truth    %s\n", run->truth);
    if (run->reports)
        printf("reports  %s\n", run->reports);
    fflush(stdout);
    sk_buf_deinit(&magnet);
}

static int on_ready(void *ctx)
{
    const struct started *started = ctx;
    const struct sk_lab_run *run = started->run;
    int code = run->torrent ? write_torrent(started->lab, run->torrent) : SK_EXIT_DONE;
    if (!code && run->truth)
        code = write_truth(started->lab, false, run->truth);
    if (!code && !run->quiet)
        describe(started->lab, run);
    if (!code && run->ready_fd >= 0 && write(run->ready_fd, "", 1) != 1)
        code = SK_EXIT_FAILED;
    return code;
}

static void on_announced(void *ctx, const struct sk_tracker_announce *announce,
                         const struct sk_endpoint *peer, uint64_t now_ns)
{
    struct sk_announce_log *log = ctx;
    struct sk_announce record;
    sk_announced(announce, peer, &record);
    sk_announce_log_put(log, &record, now_ns);
    sk_announce_log_flush(log, now_ns);
}

/* Complains; an exit code. */
static int open_reports(const struct started *started, struct sk_announce_log **ret_log)
{
    char reason[SK_DATABASE_REASON_MAX];
    const char *path = started->run->reports;
    int err = path ? sk_announce_log_open(path, ret_log, reason) : 0;
    if (err == SKEP_ERR_STORE)
        sk_complain("%s", reason);
    else if (err)
        sk_complain_err(err);
    if (!err && path)
        sk_lab_on_announced(started->lab, on_announced, *ret_log);
    return err ? sk_exit_of(err) : SK_EXIT_DONE;
}

static int close_reports(struct sk_announce_log *log, const char *path)
{
    if (!sk_announce_log_close(log))
        return SK_EXIT_DONE;
    sk_complain("%s: not all announces could be written", path);
    return SK_EXIT_STORAGE;
}

int sk_lab_run_files(const struct sk_lab_run *run)
{
    struct started started = {.run = run};
    struct sk_announce_log *log = NULL;
    const char *reason = NULL;
    int err = sk_lab_new(run->scenario, run->port, &started.lab, &reason);
    if (err) {
        if (reason)
            sk_complain("%s: %s", reason, strerror(errno));
        else
            sk_complain_err(err);
        return sk_exit_of(err);
    }
    int code = open_reports(&started, &log);
    if (!code)
        code = sk_lab_run(started.lab, run->time_s, on_ready, &started);
    if (code < 0) {
        sk_complain("%s", skep_err_text(code));
        code = sk_exit_of(code);
    }
    if (!code && run->truth)
        code = write_truth(started.lab, true, run->truth);
    sk_lab_free(started.lab);
    int closed = close_reports(log, run->reports);
    return code ? code : closed;
}

/* ---- the scenario ---- */

/* The whole of a small file. Complains; an exit code. */
static int read_scenario(const char *path, struct sk_buf *buf)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "rb");
    if (!file) {
        sk_complain("%s: %s", path, strerror(errno));
        return SK_EXIT_USAGE;
    }
    int code = SK_EXIT_DONE;
    size_t n = 1;
    while (n && !code) {
        uint8_t part[4096];
        n = fread(part, 1, sizeof part, file);
        if (ferror(file)) {
            sk_complain("%s: %s", path, strerror(errno));
            code = SK_EXIT_USAGE;
        } else if (sk_buf_append(buf, part, n)) {
            sk_complain("%s: larger than any scenario", path);
            code = SK_EXIT_USAGE;
        }
    }
    if (!standard)
        fclose(file);
    return code;
}

static int get_scenario(const struct arguments *arguments, struct sk_lab_scenario **ret_scenario)
{
    const char *path = arguments->names_count ? arguments->names[0] : NULL;
    char reason[SK_LAB_REASON_MAX];
    struct sk_buf buf;
    sk_buf_init(&buf, SK_LAB_SCENARIO_BYTES_MAX);
    int code = path ? read_scenario(path, &buf) : SK_EXIT_DONE;
    if (!code) {
        struct sk_bytes text = path ? sk_buf_bytes(&buf) : sk_bytes_text(sk_lab_demo_scenario);
        const char *name = !path ? "demo" : strcmp(path, "-") == 0 ? "standard input" : path;
        int err = sk_lab_scenario_parse(name, text, ret_scenario, reason);
        if (err) {
            sk_complain("%s", reason);
            code = err == SKEP_ERR_NOMEM ? SK_EXIT_FAILED : SK_EXIT_USAGE;
        }
    }
    sk_buf_deinit(&buf);
    if (!code && arguments->has_seed)
        (*ret_scenario)->torrent.seed = arguments->seed;
    return code;
}

int sk_cmd_lab(int argc, char **argv)
{
    struct arguments arguments = {.run.ready_fd = -1};
    struct sk_lab_scenario *scenario = NULL;
    argp_err_exit_status = SK_EXIT_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments))
        return SK_EXIT_USAGE;
    int code = SK_EXIT_DONE;
    switch (arguments.action) {
    case ACTION_KINDS:
        sk_lab_scenario_help(stdout);
        return SK_EXIT_DONE;
    case ACTION_EXAMPLE:
        fputs(sk_lab_demo_scenario, stdout);
        return SK_EXIT_DONE;
    case ACTION_COMPARE:
        return sk_lab_compare_files(arguments.names[0], arguments.names[1]);
    case ACTION_RUN:
    case ACTION_DEMO:
        code = get_scenario(&arguments, &scenario);
        break;
    }
    arguments.run.scenario = scenario;
    if (!code)
        code = arguments.action == ACTION_DEMO ? sk_lab_demo(scenario)
                                               : sk_lab_run_files(&arguments.run);
    sk_mem_free(scenario);
    return code;
}
