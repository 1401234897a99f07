#include "cmd/show.h"

#include <skep/err.h>

#include "base/assert.h"
#include "cmd/cmd.h"
#include "cmd/target.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

enum { KEY_FORMAT = 1000, KEY_FILES };

struct arguments {
    const char *target;
    bool json, all_files;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_FORMAT:
        if (strcmp(arg, "text") != 0 && strcmp(arg, "json") != 0) {
            sk_complain("--format='%.80s': expected text or json", arg);
            exit(SK_EXIT_USAGE);
        }
        arguments->json = strcmp(arg, "json") == 0;
        return 0;
    case KEY_FILES:
        arguments->all_files = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->target) {
            sk_complain("show: one TARGET, not several");
            exit(SK_EXIT_USAGE);
        }
        arguments->target = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        sk_complain("show: a TARGET is missing (skep show --help)");
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"format", KEY_FORMAT, "FORMAT", 0, "text (default) or json", 0},
    {"files", KEY_FILES, NULL, 0, "list all files, however many", 0},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "TARGET",
    .doc =
        "Says what a .torrent file or a magnet link says, and whether it holds together.\v"
        "A TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, the http(s) "
        "address of a .torrent file, or - for standard input. Exits with 6 where the torrent or "
        "the link is broken.",
};

/* Complains about bytes that make no sense; an exit code. */
static int refuse(const char *target, const char *what, int err, const char *reason)
{
    sk_complain("%.400s: not a valid %s: %s", target, what, reason);
    return err == SKEP_ERR_NOMEM ? SK_EXIT_FAILED : SK_EXIT_CORRUPT;
}

static int parse_link(const char *text, const char *link, struct sk_show *show)
{
    const char *reason = "neither a magnet link nor an info-hash";
    int err = strncasecmp(link, "magnet:", 7) == 0
                  ? sk_magnet_parse_pointer(link, &show->magnet, &reason)
                  : sk_magnet_from_hash(link, &show->magnet);
    return err ? refuse(text, "magnet link", err, reason) : SK_EXIT_DONE;
}

/* The one thing that show needs the network for. */
static int fetch(struct sk_target *target)
{
    struct sk_options usual;
    struct skep_runtime *runtime;
    if (!sk_options_init(&usual)) /* which bind address and which proxy others are to see */
        return SK_EXIT_USAGE;
    usual.net.no_listen = usual.net.no_lsd = usual.net.no_dht = usual.net.no_trackers = true;
    int code = sk_options_open(&usual, &runtime);
    if (!code) {
        code = sk_target_resolve(target, runtime, &usual, 0);
        skep_runtime_free(runtime);
    }
    sk_options_deinit(&usual);
    return code;
}

static int load(const char *text, struct sk_show *show)
{
    struct sk_target target;
    int code = sk_target_read(text, &target);
    if (code)
        return code;
    if (target.kind == SK_TARGET_URL)
        code = fetch(&target);
    if (!code && target.kind != SK_TARGET_FILE)
        code = parse_link(text, (const char *)target.bytes.p, show);
    if (!code && target.kind == SK_TARGET_FILE) {
        const char *reason;
        int err = sk_metainfo_parse(sk_buf_bytes(&target.bytes), &show->torrent, &reason);
        code = err ? refuse(text, "torrent", err, reason) : SK_EXIT_DONE;
    }
    sk_target_deinit(&target);
    return code;
}

static int print(const struct sk_show *show, bool json)
{
    int err = json ? sk_show_json(show, stdout) : 0;
    if (err) {
        sk_complain("%s", skep_err_text(err));
        return SK_EXIT_FAILED;
    }
    if (!json)
        sk_show_text(show, stdout);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        sk_complain("standard output: %s", strerror(errno));
        return SK_EXIT_STORAGE;
    }
    return SK_EXIT_DONE;
}

int sk_cmd_show(int argc, char **argv)
{
    static char name[] = "skep show";
    struct arguments arguments = {0};
    struct sk_show show = {0};
    argv[0] = name;
    argp_err_exit_status = SK_EXIT_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0)
        return SK_EXIT_USAGE;
    int code = load(arguments.target, &show);
    show.all_files = arguments.all_files;
    if (!code)
        code = print(&show, arguments.json);
    sk_metainfo_free(show.torrent);
    sk_magnet_free(show.magnet);
    return code;
}
