#include "cmd/show.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "cmd/cmd.h"
#include "cmd/selection.h"
#include "cmd/target.h"
#include "wire/metainfo_write.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

enum { KEY_FORMAT = 1000, KEY_FILES, KEY_MAGNET, KEY_SELECT };

struct arguments {
    const char *target;
    bool json, all_files, magnet;
    struct sk_selection selection;
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
    case KEY_MAGNET:
        arguments->magnet = true;
        return 0;
    case KEY_SELECT:
        if (!sk_selection_parse(arg, &arguments->selection)) {
            sk_complain("--select='%.80s': expected " SK_SELECTION_EXPECTED, arg);
            exit(SK_EXIT_USAGE);
        }
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
    {"magnet", KEY_MAGNET, NULL, 0, "only the magnet link of a .torrent", 0},
    {"select", KEY_SELECT, "LIST", 0, "with --magnet: a link to these files: 1,3-5", 0},
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

/* Appends which files the link is to (BEP 53), by their indices, where padding counts. */
static void put_selection(const struct sk_metainfo *m, const struct sk_selection *selection,
                          struct sk_buf *link)
{
    const char *before = "&so=";
    uint32_t number = 0;
    for (uint32_t i = 0; i < m->files_count; i++) {
        if (m->files[i].flags & SK_FILE_PADDING || !sk_selection_has(selection, ++number))
            continue;
        sk_buf_printf(link, "%s%u", before, i);
        before = ",";
        uint32_t last = i;
        while (last + 1 < m->files_count && !(m->files[last + 1].flags & SK_FILE_PADDING) &&
               sk_selection_has(selection, number + 1)) {
            last++;
            number++;
        }
        if (last > i)
            sk_buf_printf(link, "-%u", last);
        i = last;
    }
}

static int print_magnet(const struct sk_metainfo *m, const struct sk_selection *selection)
{
    struct sk_buf link;
    sk_buf_init(&link, 8 * SK_MAGNET_BYTES_MAX);
    int err = sk_metainfo_write_magnet(m, &link);
    if (selection->count)
        put_selection(m, selection, &link);
    if (!err && !link.failed)
        printf("%.*s\n", (int)link.n, (const char *)link.p);
    else
        err = SKEP_ERR_NOMEM;
    sk_buf_deinit(&link);
    return err;
}

static int print(const struct sk_show *show, const struct arguments *arguments)
{
    int err = arguments->magnet ? print_magnet(show->torrent, &arguments->selection)
              : arguments->json ? sk_show_json(show, stdout)
                                : 0;
    if (err) {
        sk_complain("%s", skep_err_text(err));
        return SK_EXIT_FAILED;
    }
    if (!arguments->json && !arguments->magnet)
        sk_show_text(show, stdout);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        sk_complain("standard output: %s", strerror(errno));
        return SK_EXIT_STORAGE;
    }
    return SK_EXIT_DONE;
}

/* Whether there is what --magnet needs; an exit code. */
static int check_magnet(const struct arguments *arguments, const struct sk_show *show)
{
    if (arguments->magnet && !show->torrent) {
        sk_complain("show: --magnet is for a .torrent file");
        return SK_EXIT_USAGE;
    }
    uint32_t beyond = show->torrent ? sk_selection_beyond(&arguments->selection, show->torrent) : 0;
    if (beyond)
        sk_complain("%.200s: has no file %u (skep show --files lists them)", show->torrent->name,
                    beyond);
    return beyond ? SK_EXIT_USAGE : SK_EXIT_DONE;
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
    if (arguments.selection.count && !arguments.magnet) {
        sk_complain("show: --select goes with --magnet");
        return SK_EXIT_USAGE;
    }
    int code = load(arguments.target, &show);
    show.all_files = arguments.all_files;
    if (!code)
        code = check_magnet(&arguments, &show);
    if (!code)
        code = print(&show, &arguments);
    sk_metainfo_free(show.torrent);
    sk_magnet_free(show.magnet);
    return code;
}
