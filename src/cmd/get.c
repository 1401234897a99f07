/* skep get and skep seed: their options. What they do is in transfer.c and verify.c. */
#include "base/assert.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/transfer.h"
#include "cmd/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEY_IN_ORDER = 500,
    KEY_PREVIEW,
    KEY_SELECT,
    KEY_FILE,
    KEY_FROM,
    KEY_VERIFY,
    KEY_ON_DONE,
    KEY_PEER_LIMIT,
    KEY_SEED_TIME,
    KEY_SEED_RATIO,
    KEY_UP_LIMIT,
    KEY_SLOTS,
    KEY_WEB_SEED,
    KEY_NO_WEB_SEEDS,
    KEY_SUPER_SEED,
    KEY_PREALLOCATE,
};

struct get {
    struct sk_transfer transfer;
    const char *directory;
    bool verify, has_file, has_from;
    uint32_t file; /* -o -: its number; 0: the only one */
    struct sk_transfer_from from;
    struct sk_texts targets;
};

static void expect(bool ok, const char *option, const char *arg, const char *expected)
{
    if (ok)
        return;
    sk_complain("%s='%.80s': expected %s", option, arg, expected);
    exit(SK_EXIT_USAGE);
}

static bool parse_ratio(const char *text, double *ret_ratio)
{
    char *end;
    *ret_ratio = strtod(text, &end);
    return end != text && !*end && *ret_ratio >= 0 && *ret_ratio < 1e6;
}

static bool parse_from(const char *text, struct sk_transfer_from *ret_from)
{
    double seconds;
    *ret_from = (struct sk_transfer_from){.is_time = sk_parse_time(text, &seconds)};
    if (ret_from->is_time)
        ret_from->ns = (uint64_t)(seconds * 1e9);
    return ret_from->is_time || sk_parse_size(text, &ret_from->bytes);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct get *get = state->input;
    struct sk_transfer_limits *limits = &get->transfer.limits;
    struct skep_config *net = &get->transfer.options.net;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &get->transfer.options;
        return 0;
    case 'o':
        expect(*arg, "-o", arg, "a directory, or - for standard output");
        get->directory = arg;
        return 0;
    case KEY_IN_ORDER:
        limits->order = SK_PICKER_IN_ORDER;
        return 0;
    case KEY_PREVIEW:
        limits->preview = true;
        return 0;
    case KEY_SELECT:
        expect(sk_selection_parse(arg, &limits->selection), "--select", arg, SK_SELECTION_EXPECTED);
        return 0;
    case KEY_FILE:
        expect(sk_parse_count(arg, UINT32_MAX, &get->file) && get->file, "--file", arg,
               "the number of a file, from 1 on");
        get->has_file = true;
        return 0;
    case KEY_FROM:
        expect(parse_from(arg, &get->from), "--from", arg,
               "bytes, such as 1048576 or 20M, or a time, such as 3.5s or 1:02:03");
        get->has_from = true;
        return 0;
    case KEY_VERIFY:
        get->verify = true;
        return 0;
    case KEY_ON_DONE:
        expect(*arg, "--on-done", arg, "a program");
        get->transfer.on_done = arg;
        return 0;
    case KEY_PEER_LIMIT:
        expect(sk_parse_count(arg, 18000, &net->connections_max) && net->connections_max,
               "--peer-limit", arg, "a number, 1 to 18000");
        return 0;
    case KEY_SEED_TIME:
        expect(sk_parse_seconds(arg, &limits->seed_s), "--seed-time", arg, "seconds, or 3m, or 1h");
        return 0;
    case KEY_SEED_RATIO:
        expect(parse_ratio(arg, &limits->seed_ratio), "--seed-ratio", arg, "a number, such as 1.5");
        return 0;
    case KEY_UP_LIMIT:
        expect(sk_parse_size(arg, &net->give_limit_bytes_s), "--up-limit", arg,
               "bytes a second, such as 500k or 2M");
        return 0;
    case KEY_SLOTS:
        expect(sk_parse_count(arg, 1000, &net->give_slots) && net->give_slots, "--slots", arg,
               "a number, 1 to 1000");
        return 0;
    case KEY_WEB_SEED:
        return sk_texts_add(&get->transfer.web_seeds, arg) ? ENOMEM : 0;
    case KEY_NO_WEB_SEEDS:
        get->transfer.no_web_seeds = true;
        return 0;
    case KEY_PREALLOCATE:
        limits->preallocate = true;
        return 0;
    case KEY_SUPER_SEED:
        net->super_seed = true;
        return 0;
    case ARGP_KEY_ARG:
        return sk_texts_add(&get->targets, arg) ? ENOMEM : 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option get_options[] = {
    {.doc = "Downloading:", .group = 1},
    {"output", 'o', "DIR", 0, "where the files go (default: here); -: one file to standard output",
     1},
    {"select", KEY_SELECT, "LIST", 0, "only these files, by their numbers in skep show: 1,3-5", 1},
    {"in-order", KEY_IN_ORDER, NULL, 0, "the first piece first, instead of the rarest", 1},
    {"preview", KEY_PREVIEW, NULL, 0, "the first and last piece of each file before all others", 1},
    {"file", KEY_FILE, "N", 0, "with -o -: which file (default: the only one, or that of the link)",
     1},
    {"from", KEY_FROM, "PLACE", 0,
     "with -o -: from this byte of the file on (1048576, 20M), or this time of the film (90s, "
     "1:02:03)",
     1},
    {"preallocate", KEY_PREALLOCATE, NULL, 0, "reserve room for all of it on the disk first", 1},
    {"on-done", KEY_ON_DONE, "PROGRAM", 0,
     "run this with info-hash, name and path once a torrent is complete", 1},
    {"verify", KEY_VERIFY, NULL, 0, "only say what is here and right; nothing is changed", 1},
    {"peer-limit", KEY_PEER_LIMIT, "N", 0, "be connected to at most so many peers", 1},
    {"webseed", KEY_WEB_SEED, "URL", 0, "one more http(s) address of the data (repeatable)", 1},
    {"no-webseeds", KEY_NO_WEB_SEEDS, NULL, 0, "ask no web seed that the torrent names", 1},
    {.doc = "Giving:", .group = 2},
    {"seed-time", KEY_SEED_TIME, "SECONDS", 0, "seed for so long when done (default: not at all)",
     2},
    {"seed-ratio", KEY_SEED_RATIO, "N", 0, "and until N times the size was given", 2},
    {"up-limit", KEY_UP_LIMIT, "RATE", 0, "give at most so many bytes a second", 2},
    {"slots", KEY_SLOTS, "N", 0, "give to so many peers at a time (default: by the rate)", 2},
    {0},
};

static const struct argp_child children[] = {{&sk_options_argp, 0, NULL, 0}, {0}};

static const struct argp get_argp = {
    .options = get_options,
    .parser = parse,
    .args_doc = "TARGET...",
    .doc = "Downloads torrents.\v"
           "A TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, the "
           "http(s) address of a .torrent file, or - for standard input. What is here already is "
           "not fetched again.\n\n"
           "Exit codes: 0 all that is wanted is here; 2 wrong usage; 3 nobody has it; 4 nobody can "
           "be reached; 5 part of it: interrupted, or time ran out; 6 the torrent is broken; 7 a "
           "file could not be written. --verify: 0 all is right, 5 some of it, 3 nothing.",
    .children = children,
};

static const struct argp_option seed_options[] = {
    {.doc = "Giving:", .group = 2},
    {"seed-time", KEY_SEED_TIME, "SECONDS", 0, "for so long (default: until interrupted)", 2},
    {"seed-ratio", KEY_SEED_RATIO, "N", 0, "and until N times the size was given", 2},
    {"up-limit", KEY_UP_LIMIT, "RATE", 0, "give at most so many bytes a second", 2},
    {"slots", KEY_SLOTS, "N", 0, "give to so many peers at a time (default: by the rate)", 2},
    {"peer-limit", KEY_PEER_LIMIT, "N", 0, "be connected to at most so many peers", 2},
    {"super-seed", KEY_SUPER_SEED, NULL, 0, "the first and only seed: give each piece once first",
     2},
    {0},
};

static const struct argp seed_argp = {
    .options = seed_options,
    .parser = parse,
    .args_doc = "TARGET DIR",
    .doc =
        "Seeds a torrent whose files are in a directory.\v"
        "What is there is checked first; what is missing or wrong is not offered, and nothing is "
        "changed. skep create makes a .torrent.\n\n"
        "Exit codes: 0 it has seeded; 2 wrong usage; 3 nothing of the torrent is there; 4 the "
        "network failed; 6 the torrent is broken.",
    .children = children,
};

static void begin(struct get *get)
{
    argp_err_exit_status = SK_EXIT_USAGE;
    get->transfer.limits.seed_ratio = -1;
    get->directory = ".";
}

static bool is_streaming(const struct get *get)
{
    return strcmp(get->directory, "-") == 0;
}

static const char wrong_format[] = "--format: expected text or json";

/* What does not go together; NULL: all does. */
static const char *clash(const struct get *get)
{
    bool stream = is_streaming(get);
    const struct {
        bool is;
        const char *what;
    } clashes[] = {
        {!get->targets.count, "a TARGET is missing (skep get --help)"},
        {get->transfer.options.format > SK_FORMAT_JSON, wrong_format},
        {!stream && (get->has_file || get->has_from), "--file and --from go with -o -"},
        {get->transfer.web_seeds.count && get->targets.count > 1,
         "--webseed: of one TARGET at a time"},
        {get->transfer.web_seeds.count && get->verify, "--verify asks no web seed"},
        {stream && get->targets.count > 1, "-o -: one TARGET at a time"},
        {get->transfer.limits.preallocate && (stream || get->verify),
         "--preallocate: for downloads to a directory"},
        {stream && get->verify, "--verify: -o - is no directory"},
        {stream && get->transfer.options.format == SK_FORMAT_JSON,
         "-o -: standard output is for the file, --format=json too"},
        {stream && get->transfer.limits.selection.count, "-o -: --file says which, not --select"},
        {stream && !get->verify && isatty(STDOUT_FILENO),
         "-o -: standard output is a terminal; put a pipe or a file there"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(clashes); i++)
        if (clashes[i].is)
            return clashes[i].what;
    return NULL;
}

static int run(struct get *get)
{
    struct sk_transfer *transfer = &get->transfer;
    transfer->directory = get->directory;
    transfer->live = sk_transfer_live_new(&transfer->options);
    int code = sk_transfer_run(transfer, get->targets.list, get->targets.count);
    sk_transfer_live_free(transfer->live);
    return code;
}

static int stream(struct get *get)
{
    int err = sk_transfer_stream_new(get->file, &get->from, &get->transfer.stream);
    if (err) {
        sk_complain("no temporary directory (in $TMPDIR or /var/tmp): %s", strerror(errno));
        return SK_EXIT_STORAGE;
    }
    int code = run(get);
    sk_transfer_stream_free(get->transfer.stream);
    return code;
}

static void end(struct get *get)
{
    sk_texts_deinit(&get->targets);
    sk_texts_deinit(&get->transfer.web_seeds);
    sk_options_deinit(&get->transfer.options);
}

int sk_cmd_get(int argc, char **argv)
{
    struct get get = {0};
    if (!sk_options_init(&get.transfer.options))
        return SK_EXIT_USAGE;
    begin(&get);
    int code = argp_parse(&get_argp, argc, argv, 0, NULL, &get) ? SK_EXIT_USAGE : SK_EXIT_DONE;
    const char *wrong = code ? NULL : clash(&get);
    if (wrong) {
        sk_complain("get: %s", wrong);
        code = SK_EXIT_USAGE;
    }
    if (!code)
        code = get.verify ? sk_verify(&get.transfer.options, get.directory, get.targets.list,
                                      get.targets.count)
               : is_streaming(&get) ? stream(&get)
                                    : run(&get);
    end(&get);
    return code;
}

/* A directory that is not there is not made. */
static int check_directory(const char *directory)
{
    struct stat about;
    if (stat(directory, &about) == 0 && !S_ISDIR(about.st_mode))
        errno = ENOTDIR;
    else if (access(directory, R_OK | X_OK) == 0)
        return SK_EXIT_DONE;
    sk_complain("%.400s: %s", directory, strerror(errno));
    return SK_EXIT_NOTHING;
}

int sk_cmd_seed(int argc, char **argv)
{
    struct get get = {.transfer.limits = {.seed_s = -1, .only_seed = true}};
    if (!sk_options_init(&get.transfer.options))
        return SK_EXIT_USAGE;
    begin(&get);
    int code = argp_parse(&seed_argp, argc, argv, 0, NULL, &get) ? SK_EXIT_USAGE : SK_EXIT_DONE;
    if (!code && get.targets.count != 2) {
        sk_complain("seed: expected a TARGET and the directory of its files (skep seed --help)");
        code = SK_EXIT_USAGE;
    }
    if (!code && get.transfer.options.format > SK_FORMAT_JSON) {
        sk_complain("seed: %s", wrong_format);
        code = SK_EXIT_USAGE;
    }
    if (!code) {
        get.directory = get.targets.list[--get.targets.count];
        code = check_directory(get.directory);
        if (!code)
            code = run(&get);
        get.targets.count++;
    }
    end(&get);
    return code;
}
