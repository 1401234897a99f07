/* skep create: options, and the way from files to a .torrent. */
#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/create_output.h"
#include "cmd/create_progress.h"
#include "cmd/options.h"
#include "cmd/units.h"
#include "driver/hashing.h"
#include "driver/tree.h"
#include "wire/metainfo_write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum {
    KEY_KIND = 500,
    KEY_PIECE_SIZE,
    KEY_TRACKER,
    KEY_WEB_SEED,
    KEY_PRIVATE,
    KEY_COMMENT,
    KEY_SOURCE,
    KEY_NAME,
    KEY_DATE,
    KEY_NO_DATE,
    KEY_THREADS,
    KEY_FORCE,
    KEY_FORMAT
};

#define POLL_S 0.1
#define SKIPPED_TOLD 10 /* things passed over that are named */

struct create {
    /* What the user wants. */
    struct sk_options options;
    const char *path, *source;
    struct sk_create_output output;
    bool json;
    uint32_t threads;
    struct sk_texts trackers, web_seeds;
    uint32_t tiers[SK_METAINFO_TRACKERS_MAX], tiers_count;
    /* The torrent on the way. */
    struct sk_metainfo description;
    char *name;          /* that of PATH, where --name does not give one */
    char *default_path;  /* of the .torrent */
    int root;            /* the directory that the files are in */
    struct sk_tree tree; /* what is there */
    struct stat replaced;
    uint32_t skipped;
    struct sk_file *files; /* laid out */
    uint8_t *hashes, *piece_roots, *roots;
    double seconds;
};

static int complain_file(const char *path, int error)
{
    sk_complain("%.400s: %s", path, strerror(error));
    return SK_EXIT_FAILED;
}

/* ---- options ---- */

static void expect(bool ok, const char *option, const char *arg, const char *expected)
{
    if (ok)
        return;
    sk_complain("--%s='%.80s': expected %s", option, arg, expected);
    exit(SK_EXIT_USAGE);
}

static bool set_kind(struct create *create, const char *arg)
{
    static const struct {
        const char *word;
        bool has_v1, has_v2;
    } kinds[] = {{"v1", true, false}, {"v2", false, true}, {"hybrid", true, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++) {
        if (strcmp(arg, kinds[i].word) != 0)
            continue;
        create->description.has_v1 = kinds[i].has_v1;
        create->description.has_v2 = kinds[i].has_v2;
        return true;
    }
    return false;
}

static bool set_piece_size(struct create *create, const char *arg)
{
    uint64_t bytes;
    if (!sk_parse_size(arg, &bytes) || bytes < SK_BLOCK_SIZE ||
        bytes > SK_METAINFO_PIECE_SIZE_MAX || (bytes & (bytes - 1)))
        return false;
    create->description.piece_size = (uint32_t)bytes;
    return true;
}

static bool is_address(const char *text, size_t n, bool of_tracker)
{
    static const char *const schemes[] = {"http://", "https://", "udp://", "ws://", "wss://"};
    const size_t count = of_tracker ? SK_ARRAY_LEN(schemes) : 2;
    for (size_t i = 0; i < count; i++) {
        size_t scheme = strlen(schemes[i]);
        if (n > scheme && n <= SK_METAINFO_URL_MAX && strncasecmp(text, schemes[i], scheme) == 0)
            return true;
    }
    return false;
}

/* A tier: addresses with commas between them. */
static bool add_tier(struct create *create, const char *arg)
{
    for (;; arg++) {
        size_t n = strcspn(arg, ",");
        size_t at = create->trackers.count;
        char *url = sk_mem_strndup(arg, n);
        bool ok = url && is_address(arg, n, true) && at < SK_METAINFO_TRACKERS_MAX &&
                  sk_texts_add(&create->trackers, url) == 0;
        sk_mem_free(url);
        if (!ok)
            return false;
        create->tiers[at] = create->tiers_count;
        arg += n;
        if (!*arg)
            break;
    }
    create->tiers_count++;
    return true;
}

static bool add_web_seed(struct create *create, const char *arg)
{
    return is_address(arg, strlen(arg), false) &&
           create->web_seeds.count < SK_METAINFO_TRACKERS_MAX &&
           sk_texts_add(&create->web_seeds, arg) == 0;
}

static bool set_name(struct create *create, const char *arg)
{
    create->description.name = arg;
    return *arg && strlen(arg) <= NAME_MAX && !strchr(arg, '/') && strcmp(arg, ".") != 0 &&
           strcmp(arg, "..") != 0;
}

static bool set_date(struct create *create, const char *arg)
{
    char *end;
    errno = 0;
    long long seconds = strtoll(arg, &end, 10);
    create->description.created_s = seconds;
    return !errno && *arg && !*end && seconds > 0;
}

static bool set_threads(struct create *create, const char *arg)
{
    return sk_parse_count(arg, SK_HASHING_THREADS_MAX, &create->threads) && create->threads;
}

static bool set_format(struct create *create, const char *arg)
{
    create->json = strcmp(arg, "json") == 0;
    return create->json || strcmp(arg, "text") == 0;
}

/* Options whose argument must have some meaning. */
static const struct {
    int key;
    const char *name;
    bool (*set)(struct create *create, const char *arg);
    const char *expected;
} setters[] = {
    {KEY_KIND, "kind", set_kind, "v1, v2 or hybrid"},
    {KEY_PIECE_SIZE, "piece-size", set_piece_size, "a power of two, 16KiB to 1GiB"},
    {KEY_TRACKER, "tracker", add_tier, "http, https, udp or ws addresses, with commas between"},
    {KEY_WEB_SEED, "web-seed", add_web_seed, "an http or https address"},
    {KEY_NAME, "name", set_name, "a name for a file or a folder"},
    {KEY_DATE, "date", set_date, "seconds since 1970"},
    {KEY_THREADS, "threads", set_threads, "a number, 1 to 256"},
    {KEY_FORMAT, "format", set_format, "text or json"},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct create *create = state->input;
    for (size_t i = 0; i < SK_ARRAY_LEN(setters); i++) {
        if (setters[i].key != key)
            continue;
        expect(setters[i].set(create, arg), setters[i].name, arg, setters[i].expected);
        return 0;
    }
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &create->options;
        return 0;
    case 'o':
        create->output.path = arg;
        return 0;
    case KEY_PRIVATE:
        create->description.is_private = true;
        return 0;
    case KEY_COMMENT:
        create->description.comment = arg;
        return 0;
    case KEY_SOURCE:
        create->source = arg;
        return 0;
    case KEY_NO_DATE:
        create->description.created_s = 0;
        return 0;
    case KEY_FORCE:
        create->output.force = true;
        return 0;
    case ARGP_KEY_ARG:
        if (create->path) {
            sk_complain("create: one PATH, not several");
            exit(SK_EXIT_USAGE);
        }
        create->path = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        sk_complain("create: a PATH is missing (skep create --help)");
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"output", 'o', "FILE", 0, "write the torrent here (default: NAME.torrent); - is stdout", 1},
    {"force", KEY_FORCE, NULL, 0, "replace FILE where it is there already", 1},
    {"kind", KEY_KIND, "KIND", 0, "hybrid (default): v1 and v2 in one; v1; v2", 2},
    {"piece-size", KEY_PIECE_SIZE, "SIZE", 0,
     "a power of two, 16KiB to 1GiB (default: for 2,048 pieces at most, up to 16MiB)", 2},
    {"name", KEY_NAME, "NAME", 0, "of the torrent (default: that of PATH)", 2},
    {"tracker", KEY_TRACKER, "URL[,URL...]", 0,
     "a tracker, or several of one tier (repeatable: further tiers)", 2},
    {"web-seed", KEY_WEB_SEED, "URL", 0, "an http(s) address of the data (repeatable)", 2},
    {"private", KEY_PRIVATE, NULL, 0, "peers are to come from the trackers only", 2},
    {"source", KEY_SOURCE, "TEXT", 0, "put this into what is hashed, for trackers that want it", 2},
    {"comment", KEY_COMMENT, "TEXT", 0, "say this", 2},
    {"date", KEY_DATE, "SECONDS", 0, "made at this Unix time (default: now)", 2},
    {"no-date", KEY_NO_DATE, NULL, 0, "do not say when it was made", 2},
    {"threads", KEY_THREADS, "N", 0, "hash with so many (default: one a processor)", 3},
    {"format", KEY_FORMAT, "FORMAT", 0, "text (default) or json", SK_OPTIONS_OUTPUT},
    {0},
};

static const struct argp_child children[] = {{&sk_options_create_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .children = children,
    .args_doc = "PATH",
    .doc =
        "Makes a .torrent of a file or a folder, and says its info-hashes and its magnet link.\v"
        "All files of a folder are taken, hidden ones too; symbolic links are not followed. Exit "
        "codes: 0 done, 1 something cannot be read, 2 wrong usage, 3 there is no data, 5 "
        "interrupted, 7 the torrent cannot be written.",
};

/* ---- what there is to hash ---- */

/* The last element of the path; where it has none (".", "a/..", "/") that of what it leads to. */
static int find_name(struct create *create)
{
    char real[PATH_MAX];
    if (create->description.name)
        return SK_EXIT_DONE;
    size_t n = strlen(create->path);
    while (n && create->path[n - 1] == '/')
        n--;
    const char *slash = memrchr(create->path, '/', n);
    const char *name = slash ? slash + 1 : create->path;
    n -= (size_t)(name - create->path);
    if (n == 0 || (n <= 2 && strncmp(name, "..", n) == 0)) {
        if (!realpath(create->path, real))
            return complain_file(create->path, errno);
        name = strrchr(real, '/') + 1;
        n = strlen(name);
    }
    if (n == 0) {
        sk_complain("%.400s: has no name; --name=NAME gives one", create->path);
        return SK_EXIT_USAGE;
    }
    create->name = sk_mem_strndup(name, n);
    create->description.name = create->name;
    return create->name ? SK_EXIT_DONE : sk_complain_err(SKEP_ERR_NOMEM);
}

static int find_output(struct create *create)
{
    if (!create->output.path) {
        struct sk_buf path;
        sk_buf_init(&path, PATH_MAX);
        sk_buf_printf(&path, "%s.torrent", create->description.name);
        create->default_path = path.failed ? NULL : sk_mem_strndup((const char *)path.p, path.n);
        sk_buf_deinit(&path);
        if (!create->default_path)
            return sk_complain_err(SKEP_ERR_NOMEM);
        create->output.path = create->default_path;
    }
    return sk_create_output_check(&create->output, &create->replaced);
}

static void on_skipped(void *ctx, const char *path, enum sk_tree_skip why)
{
    static const char *const reasons[] = {
        [SK_TREE_LINK] = "a symbolic link",
        [SK_TREE_SPECIAL] = "not a regular file",
        [SK_TREE_EXCLUDED] = "the torrent that is replaced",
    };
    struct create *create = ctx;
    if (create->skipped++ < SKIPPED_TOLD)
        sk_complain("left out: %.400s (%s)", path, reasons[why]);
}

static int complain_tree(const struct create *create, int err)
{
    const char *path = create->tree.path;
    if (err == SKEP_ERR_IO)
        return complain_file(*path ? path : create->path, errno);
    if (err == SKEP_ERR_LIMIT)
        sk_complain("%.400s: too many files, too deep or too long a path for a torrent", path);
    else
        sk_complain("%s", skep_err_text(err));
    return SK_EXIT_FAILED;
}

static int read_folder(struct create *create)
{
    create->root = open(create->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (create->root < 0)
        return complain_file(create->path, errno);
    int err = sk_tree_read(&create->tree, create->root);
    if (err)
        return complain_tree(create, err);
    if (create->skipped > SKIPPED_TOLD)
        sk_complain("left out: %u more", create->skipped - SKIPPED_TOLD);
    return SK_EXIT_DONE;
}

/* A link to it is followed: it is what the user named. */
static int read_single(struct create *create, const struct stat *about)
{
    char real[PATH_MAX];
    if (!realpath(create->path, real))
        return complain_file(create->path, errno);
    char *slash = strrchr(real, '/');
    *slash = 0;
    create->root = open(*real ? real : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (create->root < 0 || faccessat(create->root, slash + 1, R_OK, AT_EACCESS) != 0)
        return complain_file(create->path, errno);
    create->description.single_file = true;
    int err = sk_tree_add(&create->tree, slash + 1, about);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static int read_files(struct create *create)
{
    struct stat about;
    if (stat(create->path, &about) != 0)
        return complain_file(create->path, errno);
    if (about.st_dev == create->replaced.st_dev && about.st_ino == create->replaced.st_ino) {
        sk_complain("%.400s: the torrent would replace its data", create->output.path);
        return SK_EXIT_USAGE;
    }
    create->tree.skipped = on_skipped;
    create->tree.ctx = create;
    create->tree.exclude = create->replaced.st_ino ? &create->replaced : NULL;
    if (S_ISDIR(about.st_mode))
        return read_folder(create);
    if (S_ISREG(about.st_mode))
        return read_single(create, &about);
    sk_complain("%.400s: neither a file nor a folder", create->path);
    return SK_EXIT_FAILED;
}

/* ---- the description ---- */

static int lay_out(struct create *create)
{
    struct sk_metainfo *m = &create->description;
    const struct sk_tree *tree = &create->tree;
    uint64_t size = 0;
    for (uint32_t i = 0; i < tree->count; i++)
        size += tree->files[i].length;
    if (size == 0) {
        sk_complain("%.400s: holds no data", create->path);
        return SK_EXIT_NOTHING;
    }
    /* In a file tree the one would look like the other. */
    if (m->has_v2 && !m->single_file && tree->count == 1 &&
        strcmp(tree->files[0].path, m->name) == 0) {
        sk_complain("%.400s: has one file, of its own name; make the torrent of that file, or use "
                    "--name",
                    create->path);
        return SK_EXIT_FAILED;
    }
    if (!m->piece_size)
        m->piece_size = sk_metainfo_piece_size_for(size);
    int err = sk_metainfo_lay_out(m, tree->files, tree->count, &create->files);
    if (err == SKEP_ERR_LIMIT) {
        sk_complain("%.400s: more pieces or files than a torrent can have; larger pieces "
                    "(--piece-size) may help",
                    create->path);
        return SK_EXIT_FAILED;
    }
    create->hashes = sk_mem_calloc(m->pieces, m->has_v1 ? SK_SHA1_SIZE : 1);
    create->piece_roots = sk_mem_calloc(m->pieces, m->has_v2 ? SK_SHA256_SIZE : 1);
    m->hashes = create->hashes;
    if (!err && (!create->hashes || !create->piece_roots))
        err = SKEP_ERR_NOMEM;
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

/* Names that are not the same for those who read the torrent: whoever has the files under these
 * names could not seed them. */
static void compare_names(const struct create *create, const struct sk_metainfo *read)
{
    const struct sk_metainfo *m = &create->description;
    uint32_t count = strcmp(read->name, m->name) != 0;
    const char *from = m->name, *to = read->name;
    for (uint32_t i = 0; i < m->files_count && !m->single_file; i++) {
        if (strcmp(read->files[i].path, m->files[i].path) == 0)
            continue;
        if (count++ == 0) {
            from = m->files[i].path;
            to = read->files[i].path;
        }
    }
    if (count)
        sk_complain("%u name%s not safe on every system, so that others will have another there: "
                    "'%.200s' becomes '%.200s'",
                    count, count == 1 ? " is" : "s are", from, to);
}

/* Before the work: would the torrent be one that clients take? */
static int rehearse(struct create *create)
{
    static const uint8_t no_root[SK_SHA256_SIZE];
    const struct sk_metainfo *m = &create->description;
    struct sk_metainfo *read = NULL;
    const char *reason = NULL;
    struct sk_buf info;
    for (uint32_t i = 0; i < m->files_count && m->has_v2; i++)
        if (m->files[i].length && !(m->files[i].flags & SK_FILE_PADDING))
            create->files[i].root = no_root;
    sk_buf_init(&info, SK_METAINFO_BYTES_MAX);
    int err = sk_metainfo_write_info(m, create->source, &info);
    if (!err)
        err = sk_metainfo_parse_info(sk_buf_bytes(&info), &read, &reason);
    sk_buf_deinit(&info);
    if (err) {
        sk_complain("%.400s: no valid torrent can be made of it: %s", create->path,
                    reason ? reason : skep_err_text(err));
        return SK_EXIT_FAILED;
    }
    compare_names(create, read);
    sk_metainfo_free(read);
    return SK_EXIT_DONE;
}

/* ---- the work ---- */

static int complain_hashing(const struct create *create, const struct sk_hashing_progress *progress)
{
    const char *path = create->description.files[progress->file].path;
    if (progress->err == SKEP_ERR_IO)
        return complain_file(path, progress->error);
    sk_complain("%.400s: became %s while it was read", path,
                progress->err == SKEP_ERR_TRUNCATED ? "shorter" : "longer");
    return SK_EXIT_FAILED;
}

static int hash(struct create *create)
{
    struct sk_create_progress shown;
    struct sk_hashing_progress progress;
    struct sk_hashing *hashing;
    unsigned threads = create->threads ? create->threads : sk_hashing_threads();
    int err = sk_hashing_make(&create->description, create->root, threads, create->hashes,
                              create->piece_roots, &hashing);
    if (err)
        return sk_complain_err(err);
    sk_create_progress_init(&shown, &create->options, create->description.name);
    for (;;) {
        sk_hashing_wait(hashing, POLL_S, &progress);
        if (progress.state != SK_HASHING_RUNNING)
            break;
        if (sk_interrupt_came())
            sk_hashing_cancel(hashing);
        sk_create_progress_draw(&shown, &progress);
    }
    create->seconds = sk_create_progress_end(&shown);
    sk_hashing_free(hashing);
    if (progress.state == SK_HASHING_FAILED)
        return complain_hashing(create, &progress);
    if (progress.state == SK_HASHING_CANCELLED) {
        sk_complain("interrupted; nothing was written");
        return SK_EXIT_PARTIAL;
    }
    if (create->description.has_v2)
        err = sk_metainfo_root_files(&create->description, create->files, create->piece_roots,
                                     &create->roots);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static void summarise(const struct create *create, const struct sk_create_result *result)
{
    const struct sk_metainfo *m = result->torrent;
    char size[SK_UNITS_MAX], piece[SK_UNITS_MAX], pieces[SK_UNITS_MAX], files[SK_UNITS_MAX],
        rate[SK_UNITS_MAX];
    if (create->options.quiet)
        return;
    sk_complain("%.400s: %s file%s, %s in %s piece%s of %s; hashed at %s",
                strcmp(result->path, "-") == 0 ? "standard output" : result->path,
                sk_units_count(result->files, files), result->files == 1 ? "" : "s",
                sk_units_bytes((double)m->size, size), sk_units_count(m->pieces, pieces),
                m->pieces == 1 ? "" : "s", sk_units_bytes(m->piece_size, piece),
                sk_units_rate((double)m->size / result->seconds, rate));
}

/* Where the torrent goes to standard output the rest goes beside it. */
static int print(const struct create *create, const struct sk_metainfo *torrent)
{
    const struct sk_create_result result = {
        .torrent = torrent,
        .path = create->output.path,
        .files = create->tree.count,
        .skipped = create->skipped,
        .seconds = create->seconds,
    };
    FILE *to = strcmp(create->output.path, "-") == 0 ? stderr : stdout;
    int err = (create->json ? sk_create_print_json : sk_create_print_text)(&result, to);
    if (err)
        return sk_complain_err(err);
    if (fflush(to) != 0 || ferror(to)) {
        sk_complain("standard output: %s", strerror(errno));
        return SK_EXIT_STORAGE;
    }
    summarise(create, &result);
    return SK_EXIT_DONE;
}

/* What was written is read before anybody gets it. */
static int deliver(struct create *create)
{
    struct sk_metainfo *read = NULL;
    const char *reason = NULL;
    struct sk_buf torrent;
    sk_buf_init(&torrent, SK_METAINFO_BYTES_MAX);
    int err = sk_metainfo_write(&create->description, create->source, &torrent);
    if (!err)
        err = sk_metainfo_parse(sk_buf_bytes(&torrent), &read, &reason);
    int code = SK_EXIT_FAILED;
    if (err)
        sk_complain("%.400s: no valid torrent can be made of it: %s", create->path,
                    reason ? reason : skep_err_text(err));
    else
        code = sk_create_output_write(&create->output, sk_buf_bytes(&torrent));
    sk_buf_deinit(&torrent);
    if (!code)
        code = print(create, read);
    sk_metainfo_free(read);
    return code;
}

static void describe(struct create *create)
{
    struct sk_metainfo *m = &create->description;
    m->created_by = "skep " SKEP_VERSION;
    m->trackers = (const char *const *)create->trackers.list;
    m->trackers_count = (uint32_t)create->trackers.count;
    m->tiers = create->tiers;
    m->web_seeds = (const char *const *)create->web_seeds.list;
    m->web_seeds_count = (uint32_t)create->web_seeds.count;
}

static void deinit(struct create *create)
{
    sk_options_deinit(&create->options);
    sk_texts_deinit(&create->trackers);
    sk_texts_deinit(&create->web_seeds);
    sk_tree_deinit(&create->tree);
    sk_mem_free(create->name);
    sk_mem_free(create->default_path);
    sk_mem_free(create->files);
    sk_mem_free(create->hashes);
    sk_mem_free(create->piece_roots);
    sk_mem_free(create->roots);
    if (create->root >= 0)
        close(create->root);
}

int sk_cmd_create(int argc, char **argv)
{
    static int (*const steps[])(struct create * create) = {
        find_name, find_output, read_files, lay_out, rehearse, hash, deliver,
    };
    struct create create = {.root = -1};
    create.description.created_s = time(NULL);
    set_kind(&create, "hybrid");
    argp_err_exit_status = SK_EXIT_USAGE;
    if (!sk_options_init(&create.options) || argp_parse(&argp, argc, argv, 0, NULL, &create) != 0)
        return SK_EXIT_USAGE;
    describe(&create);
    sk_interrupt_catch();
    int code = SK_EXIT_DONE;
    for (size_t i = 0; i < SK_ARRAY_LEN(steps) && !code; i++) {
        code = steps[i](&create);
        if (!code && sk_interrupt_came() && steps[i] != deliver) {
            sk_complain("interrupted; nothing was written");
            code = SK_EXIT_PARTIAL;
        }
    }
    deinit(&create);
    return code;
}
