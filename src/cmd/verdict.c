/* skep verdict: what peers reported to a tracker, against what an audit saw of them. */
#include <skep/err.h>

#include "base/assert.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/replay.h"
#include "cmd/report_output.h"
#include "cmd/report_text.h"
#include "cmd/terminal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_DB = 500, KEY_REPORTS, KEY_AUDIT, KEY_CLOCK_ERROR };

#define TEXT_MAX (64u << 20)

struct verdict {
    struct sk_options options;
    const char *db, *reports;
    double clock_error_s; /* NAN: what is usual */
    uint32_t number;
    struct sk_anonymizer anonymizer;
    struct sk_report_style style;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct verdict *verdict = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &verdict->options;
        return 0;
    case KEY_DB:
        verdict->db = arg;
        return 0;
    case KEY_REPORTS:
        verdict->reports = arg;
        return 0;
    case KEY_CLOCK_ERROR:
        if (sk_parse_seconds(arg, &verdict->clock_error_s))
            return 0;
        sk_complain("--clock-error='%.80s': expected seconds, such as 1", arg);
        exit(SK_EXIT_USAGE);
    case KEY_AUDIT:
        if (sk_parse_count(arg, UINT32_MAX, &verdict->number) && verdict->number)
            return 0;
        sk_complain("--audit='%.80s': expected the number of an audit, from 1 on", arg);
        exit(SK_EXIT_USAGE);
    case ARGP_KEY_END:
        if (verdict->db && verdict->reports)
            return 0;
        sk_complain("verdict: --db FILE and --reports FILE are needed (skep verdict --help)");
        exit(SK_EXIT_USAGE);
    case ARGP_KEY_ARG:
        sk_complain("verdict: it takes no arguments (skep verdict --help)");
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"db", KEY_DB, "FILE", 0, "what an audit saw, as skep audit --db wrote it", 1},
    {"audit", KEY_AUDIT, "N", 0, "the audit of this number in it (default: the last)", 1},
    {"reports", KEY_REPORTS, "FILE", 0,
     "announces: of skep tracker --db, or JSON Lines, or CSV (- is standard input)", 1},
    {"clock-error", KEY_CLOCK_ERROR, "SECONDS", 0,
     "by how much the tracker's clock may differ from the auditor's (default 2m)", 1},
    {0},
};

static const struct argp_child children[] = {{&sk_options_report_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "--db=FILE --reports=FILE",
    .doc =
        "Says which of the reports that peers made to a tracker cannot be true, by what an "
        "audit saw of the same peers at the same time.\v"
        "Both are made beforehand, at the same time: the reports by the torrent's tracker, which "
        "may be skep tracker --db=REPORTS, and what was seen by skep audit --watch=30m "
        "--db=AUDIT TARGET. docs/REPORTS.md says how to get reports out of other trackers.\n\n"
        "Exit codes: 0 done, whatever the verdicts; 2 wrong usage; 3 no such audit, or no "
        "announces of its torrent; 6 the reports cannot be read, or the audit is damaged; 7 a "
        "file could not be read.",
    .children = children,
};

static int write_text(const struct sk_replayed *replayed)
{
    struct sk_screen screen;
    struct sk_buf out;
    sk_buf_init(&out, TEXT_MAX);
    sk_terminal_look(STDOUT_FILENO, &screen);
    screen.columns = SK_MAX(screen.columns, 40u);
    const struct sk_report_text text = {&replayed->report, &screen, &replayed->style, &out};
    int err = sk_report_write_verdicts(&text);
    int code = sk_exit_of(err);
    if (err) {
        sk_complain("%s", skep_err_text(err));
    } else if (!out.n) {
        puts("no peer of this audit reported anything");
    } else if (fwrite(out.p + 1, 1, out.n - 1, stdout) != out.n - 1 || fflush(stdout)) {
        /* without the empty line that parts it from other parts of a report */
        sk_complain("standard output: %s", strerror(errno));
        code = SK_EXIT_STORAGE;
    }
    sk_buf_deinit(&out);
    return code;
}

static int run(struct verdict *verdict)
{
    struct sk_replayed replayed;
    int code = sk_replayed_open(&replayed, verdict->db, verdict->number, &verdict->style);
    if (!code)
        code = sk_replayed_take_reports(&replayed, verdict->reports, verdict->clock_error_s);
    if (!code)
        code = sk_replayed_infer(&replayed);
    if (!code)
        code = verdict->options.format == SK_FORMAT_TEXT
                   ? write_text(&replayed)
                   : sk_report_output(&replayed.report, &replayed.style, verdict->options.format,
                                      NULL);
    sk_replayed_close(&replayed);
    return code;
}

int sk_cmd_verdict(int argc, char **argv)
{
    struct verdict verdict = {.clock_error_s = NAN};
    if (!sk_options_init(&verdict.options))
        return SK_EXIT_USAGE;
    argp_err_exit_status = SK_EXIT_USAGE;
    int code = argp_parse(&argp, argc, argv, 0, NULL, &verdict) ? SK_EXIT_USAGE : SK_EXIT_DONE;
    if (!code && verdict.options.anonymize) {
        if (sk_anonymizer_init(&verdict.anonymizer, NULL))
            code = SK_EXIT_FAILED;
        verdict.style.anonymizer = &verdict.anonymizer;
    }
    if (!code)
        code = run(&verdict);
    sk_options_deinit(&verdict.options);
    return code;
}
