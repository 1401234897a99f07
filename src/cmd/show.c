#include "cmd/show.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"
#include "cmd/cmd.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#define SHOWN_MAX 400 /* bytes of a target in a complaint */

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
    .doc = "Says what a .torrent file or a magnet link says, and whether it holds together.\v"
           "A TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, or - for "
           "standard input. Exits with 6 where the torrent or the link is broken.",
};

static const char *shown(const char *target)
{
    static char text[SHOWN_MAX];
    return sk_text_escape(sk_bytes_text(target), text, sizeof text);
}

/* Everything that a file holds; an exit code. More than the largest torrent is not read. */
static int read_all(FILE *file, struct sk_buf *buf)
{
    enum { PART = 64 << 10 };
    for (;;) {
        uint8_t *to = sk_buf_reserve(buf, PART);
        if (!to)
            return buf->n + PART > buf->max ? SK_EXIT_CORRUPT : SK_EXIT_FAILED;
        size_t n = fread(to, 1, PART, file);
        buf->n += n;
        if (ferror(file))
            return SK_EXIT_FAILED;
        if (n < PART && feof(file))
            return SK_EXIT_DONE;
    }
}

static int read_target(const char *target, struct sk_buf *buf)
{
    bool standard = strcmp(target, "-") == 0;
    FILE *file = standard ? stdin : fopen(target, "rb");
    int code = file ? read_all(file, buf) : SK_EXIT_FAILED;
    if (code == SK_EXIT_CORRUPT)
        sk_complain("%s: larger than any torrent (%u MiB)", shown(target),
                    SK_METAINFO_BYTES_MAX >> 20);
    else if (code == SK_EXIT_FAILED)
        sk_complain("%s: %s", shown(target), strerror(errno));
    if (file && !standard)
        fclose(file);
    return code;
}

/* Complains about bytes that make no sense; an exit code. */
static int refuse(const char *target, const char *what, int err, const char *reason)
{
    sk_complain("%s: not a valid %s: %s", shown(target), what, reason);
    return err == SKEP_ERR_NOMEM ? SK_EXIT_FAILED : SK_EXIT_CORRUPT;
}

static bool is_magnet(const char *text)
{
    return strncasecmp(text, "magnet:", 7) == 0;
}

static int parse_magnet(const char *target, const char *uri, struct sk_show *show)
{
    const char *reason;
    int err = sk_magnet_parse(uri, &show->magnet, &reason);
    return err ? refuse(target, "magnet link", err, reason) : SK_EXIT_DONE;
}

/* What was read: a torrent, or a magnet link in a line of text. */
static int parse_bytes(const char *target, struct sk_buf *buf, struct sk_show *show)
{
    const char *reason;
    if (sk_buf_append(buf, "", 1) != 0) {
        sk_complain("%s: %s", shown(target), skep_err_text(SKEP_ERR_NOMEM));
        return SK_EXIT_FAILED;
    }
    char *text = (char *)buf->p;
    if (is_magnet(text)) {
        text[strcspn(text, "\r\n")] = 0;
        return parse_magnet(target, text, show);
    }
    int err = sk_metainfo_parse(sk_bytes(buf->p, buf->n - 1), &show->torrent, &reason);
    return err ? refuse(target, "torrent", err, reason) : SK_EXIT_DONE;
}

static int load(const char *target, struct sk_show *show)
{
    size_t n = strlen(target);
    if (is_magnet(target))
        return parse_magnet(target, target, show);
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        sk_complain("show reads files, not addresses: fetch %s first", shown(target));
        return SK_EXIT_USAGE;
    }
    if ((n == 2 * SK_SHA1_SIZE || n == 2 * SK_SHA256_SIZE) &&
        sk_magnet_from_hash(target, &show->magnet) == 0)
        return SK_EXIT_DONE;
    struct sk_buf buf;
    sk_buf_init(&buf, SK_METAINFO_BYTES_MAX + (128u << 10));
    int code = read_target(target, &buf);
    if (!code)
        code = parse_bytes(target, &buf, show);
    sk_buf_deinit(&buf);
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
