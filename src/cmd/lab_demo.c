/* The demonstration: a lab, an audit of it, and the comparison of the two. */
#include "cmd/cmd.h"
#include "cmd/lab.h"
#include "cmd/lab_scenario.h"
#include "cmd/lab_truth.h"
#include "cmd/terminal.h"

#include <skep/err.h>

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE "12" /* seconds for peers that choke: a demonstration should not bore */
#define WATCH "60"    /* seconds, where peers trade: what they gain and report comes bit by bit */
#define DIRECTORY_MAX 200
#define PATH_MAX_BYTES (DIRECTORY_MAX + 20)
#define OUTPUT_MAX ((size_t)16 << 20)

/* ---- the comparison ---- */

/* Complains; an exit code. */
static int load(const char *path, json_t **ret_document)
{
    json_error_t error;
    *ret_document = json_load_file(path, 0, &error);
    if (*ret_document)
        return SK_EXIT_DONE;
    if (json_error_code(&error) == json_error_cannot_open_file) {
        sk_complain("%s: %s", path, strerror(errno));
        return SK_EXIT_STORAGE;
    }
    sk_complain("%s:%d: %s", path, error.line, error.text);
    return SK_EXIT_CORRUPT;
}

static int print_comparison(const json_t *truth, const json_t *audit)
{
    struct sk_screen screen;
    struct sk_lab_score score;
    struct sk_buf out;
    int code = SK_EXIT_DONE;
    sk_terminal_look(STDOUT_FILENO, &screen);
    sk_buf_init(&out, OUTPUT_MAX);
    int err = sk_lab_compare(truth, audit, &screen, &out, &score);
    if (err == SKEP_ERR_MALFORMED)
        sk_complain("expected the truth of a lab and the JSON of an audit");
    else if (err)
        sk_complain("%s", skep_err_text(err));
    else if (fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout))
        code = SK_EXIT_STORAGE;
    else
        code = score.differences ? SK_EXIT_FAILED : SK_EXIT_DONE;
    sk_buf_deinit(&out);
    return err ? sk_exit_of(err) : code;
}

int sk_lab_compare_files(const char *truth_path, const char *audit_path)
{
    json_t *truth = NULL, *audit = NULL;
    int code = load(truth_path, &truth);
    if (!code)
        code = load(audit_path, &audit);
    if (!code)
        code = print_comparison(truth, audit);
    json_decref(truth);
    json_decref(audit);
    return code;
}

/* ---- two processes ---- */

struct demo {
    char directory[DIRECTORY_MAX];
    char torrent[PATH_MAX_BYTES], truth[PATH_MAX_BYTES], report[PATH_MAX_BYTES];
    char reports[PATH_MAX_BYTES];
    bool trades; /* its peers do, and report to its tracker */
    pid_t lab;
};

/* Ctrl-C: the audit ends by it with what it has, and then we do. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = 1;
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return SK_EXIT_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : SK_EXIT_FAILED;
}

_Noreturn static void be_lab(const struct sk_lab_scenario *scenario, const struct demo *demo,
                             int ready_fd)
{
    struct sk_lab_run run = {.scenario = scenario,
                             .truth = demo->truth,
                             .torrent = demo->torrent,
                             .reports = demo->trades ? demo->reports : NULL,
                             .quiet = true,
                             .ready_fd = ready_fd};
    /* It ends with its parent; and Ctrl-C is the audit's. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0);
    _exit(sk_lab_run_files(&run));
}

/* Starts the lab and waits until it is ready. */
static int start_lab(const struct sk_lab_scenario *scenario, struct demo *demo)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0 || (demo->lab = fork()) < 0) {
        sk_complain("cannot start the lab: %s", strerror(errno));
        return SK_EXIT_FAILED;
    }
    if (demo->lab == 0) {
        close(ready[0]);
        be_lab(scenario, demo, ready[1]);
    }
    close(ready[1]);
    ssize_t n = read(ready[0], &byte, 1);
    close(ready[0]);
    if (n == 1)
        return SK_EXIT_DONE;
    int code = wait_for(demo->lab); /* it said why */
    demo->lab = 0;
    return code ? code : SK_EXIT_FAILED;
}

/* The audit as a user runs it, but for what he has set up for himself. */
static int run_audit(const struct demo *demo)
{
    const char *const argv[] = {"skep",
                                "audit",
                                demo->torrent,
                                "--bind=127.0.0.1",
                                "--no-lsd",
                                "--no-dht",
                                "--patience=" PATIENCE,
                                "--json",
                                demo->report,
                                demo->trades ? "--watch=" WATCH : NULL,
                                "--reports",
                                demo->reports,
                                NULL};
    pid_t pid = fork();
    if (pid < 0) {
        sk_complain("cannot start the audit: %s", strerror(errno));
        return SK_EXIT_FAILED;
    }
    if (pid == 0) {
        setenv("XDG_CONFIG_HOME", demo->directory, 1);
        execv("/proc/self/exe", (char *const *)argv);
        _exit(SK_EXIT_FAILED);
    }
    int code = wait_for(pid);
    return interrupted ? SK_EXIT_PARTIAL : code;
}

static int stop_lab(struct demo *demo)
{
    pid_t pid = demo->lab;
    if (pid <= 0)
        return SK_EXIT_DONE;
    demo->lab = 0;
    kill(pid, SIGTERM);
    return wait_for(pid);
}

static int make_directory(struct demo *demo)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(demo->directory, sizeof demo->directory, "%s/skep-demo-XXXXXX",
                     base && *base ? base : "/tmp");
    if (n >= (int)sizeof demo->directory || !mkdtemp(demo->directory)) {
        sk_complain("%s: %s", demo->directory, strerror(errno));
        return SK_EXIT_STORAGE;
    }
    snprintf(demo->torrent, sizeof demo->torrent, "%s/demo.torrent", demo->directory);
    snprintf(demo->truth, sizeof demo->truth, "%s/truth.json", demo->directory);
    snprintf(demo->report, sizeof demo->report, "%s/report.json", demo->directory);
    snprintf(demo->reports, sizeof demo->reports, "%s/reports.db", demo->directory);
    return SK_EXIT_DONE;
}

static void remove_directory(const struct demo *demo)
{
    unlink(demo->torrent);
    unlink(demo->truth);
    unlink(demo->report);
    unlink(demo->reports);
    rmdir(demo->directory);
}

int sk_lab_demo(const struct sk_lab_scenario *scenario)
{
    struct demo demo = {.lab = 0};
    for (size_t i = 0; i < scenario->groups_count; i++)
        demo.trades |= scenario->groups[i].behaviour.trades;
    int code = make_directory(&demo);
    if (code)
        return code;
    signal(SIGINT, on_interrupt);
    code = start_lab(scenario, &demo);
    if (!code && interrupted)
        code = SK_EXIT_PARTIAL;
    if (!code) {
        fprintf(stderr,
                "A lab of known truth is up. The audit of it, as anyone would run it:\n"
                "skep audit --bind=127.0.0.1 --no-lsd --patience=" PATIENCE "%s demo.torrent\n\n",
                demo.trades ? " --watch=" WATCH " --reports reports.db" : "");
        code = run_audit(&demo);
    }
    int lab_code = stop_lab(&demo);
    if (!code)
        code = lab_code;
    if (!code) {
        puts("\nCompared with what is true:");
        fflush(stdout);
        code = sk_lab_compare_files(demo.truth, demo.report);
    }
    remove_directory(&demo);
    return code;
}
