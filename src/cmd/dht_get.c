/* skep dht get: what is stored under a key. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/dht.h"
#include "cmd/dht_value.h"
#include "wire/dht_item.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_KEY = 3000, KEY_PUBLIC_KEY, KEY_SALT, KEY_HASH, KEY_VIA, KEY_OUTPUT = 'o' };

struct get {
    struct sk_dht_session session;
    const char *text, *salt, *output;
    uint8_t key[32], target[20]; /* target: where it lies, its hash or what follows from the key */
    bool has_key, has_hash, announce;
    struct skep_dht_progress progress;
};

/* ---- what was found ---- */

/* What a terminal would take for commands: whoever knows the key could have put it there. */
static bool is_safe_to_show(struct sk_bytes bytes)
{
    uint32_t c;
    for (size_t i = 0, n; i < bytes.n; i += n) {
        n = sk_text_decode(sk_bytes(bytes.p + i, bytes.n - i), &c);
        if (!n || (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0))
            return false;
    }
    return true;
}

static int complain_of(const char *name)
{
    sk_complain("%.400s: %s", name, strerror(errno));
    return SK_EXIT_STORAGE;
}

static int write_stdout(struct get *get, struct sk_bytes bytes)
{
    FILE *to = sk_dht_stdout(&get->session);
    if (!get->output && isatty(STDOUT_FILENO) && !is_safe_to_show(bytes)) {
        sk_complain("these bytes are not for a terminal; --output=FILE keeps them (-: show them)");
        return SK_EXIT_FAILED;
    }
    fwrite(bytes.p, 1, bytes.n, to);
    return sk_dht_flush(&get->session);
}

/* Writes all and closes; false with errno. */
static bool write_all(int fd, struct sk_bytes bytes)
{
    int error = 0;
    while (bytes.n && !error) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR)
            error = errno;
        if (n > 0)
            bytes = sk_bytes(bytes.p + n, bytes.n - (size_t)n);
    }
    if (close(fd) && !error)
        error = errno;
    errno = error;
    return !error;
}

/* Beside its place, and then renamed: what was there is gone only when the new one is whole.
 * Devices and the like are written to. */
static int write_file(const char *path, struct sk_bytes bytes)
{
    char beside[SK_PATH_MAX];
    struct stat about;
    bool is_there = stat(path, &about) == 0;
    if (is_there && !S_ISREG(about.st_mode)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd >= 0 && write_all(fd, bytes) ? SK_EXIT_DONE : complain_of(path);
    }
    mode_t mask = umask(0);
    umask(mask);
    snprintf(beside, sizeof beside, "%.4000s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return complain_of(path);
    fchmod(fd, is_there ? about.st_mode & 0777 : 0666 & ~mask);
    if (write_all(fd, bytes) && rename(beside, path) == 0)
        return SK_EXIT_DONE;
    int code = complain_of(path);
    unlink(beside);
    return code;
}

static int write_bytes(struct get *get, const struct skep_dht_blob_result *result)
{
    struct sk_bytes bytes = sk_bytes(result->bytes, result->size);
    bool to_file = get->output && strcmp(get->output, "-") != 0;
    return to_file ? write_file(get->output, bytes) : write_stdout(get, bytes);
}

static json_t *value_of(const struct skep_dht_blob_result *result)
{
    struct sk_bytes bytes =
        sk_bytes(result->size ? result->bytes : (const uint8_t *)"", result->size);
    return result->is_value ? sk_dht_value_json(bytes) : sk_dht_value_bytes(bytes);
}

static int write_json(struct get *get, const struct skep_dht_blob_result *result)
{
    bool items = !get->announce;
    return sk_dht_json_print(
        &get->session,
        json_pack("{s:s, s:o, s:o, s:o, s:i, s:i, s:b, s:o}", "via", items ? "items" : "announce",
                  "target", sk_dht_json_hex(items ? result->target : NULL, 20), "public_key",
                  sk_dht_json_hex(items ? result->key : NULL, 32), "seq",
                  items && result->key ? json_integer(result->seq) : json_null(), "size",
                  (int)result->size, "items", (int)result->items, "is_bytes",
                  (int)!result->is_value, "value", value_of(result)));
}

/* Of one that was cut short. */
static int write_json_partial(struct get *get)
{
    bool items = !get->announce;
    return sk_dht_json_print(
        &get->session,
        json_pack("{s:s, s:o, s:o, s:n, s:n, s:n, s:n, s:n}", "via", items ? "items" : "announce",
                  "target", sk_dht_json_hex(items ? get->target : NULL, 20), "public_key",
                  sk_dht_json_hex(items && !get->has_hash ? get->key : NULL, 32), "seq", "size",
                  "items", "is_bytes", "value"));
}

static void explain_failure(struct get *get, const struct skep_dht_event *event)
{
    const char *what = event->error == SKEP_ERR_NOT_FOUND  ? "nothing is stored there"
                       : event->error == SKEP_ERR_MISMATCH ? "it is there, but parts of it are "
                                                             "missing or forged"
                       : event->error == SKEP_ERR_NETWORK  ? "nobody to ask: no node answered"
                                                           : NULL;
    sk_dht_session_fail(&get->session, event->error, event->reason ? event->reason : what);
}

static void on_get(const struct skep_dht_event *event, void *ctx)
{
    struct get *get = ctx;
    struct sk_dht_session *session = &get->session;
    if (!sk_dht_session_event(session, event))
        return;
    if (event->kind == SKEP_DHT_PROGRESS)
        get->progress = *event->progress;
    else if (event->kind != SKEP_DHT_DONE)
        return;
    else if (event->error)
        explain_failure(get, event);
    else
        sk_dht_session_end(session, session->options.format == SK_FORMAT_JSON
                                        ? write_json(get, event->blob)
                                        : write_bytes(get, event->blob));
}

/* Finds out where it lies. */
static int prepare(void *ctx)
{
    struct get *get = ctx;
    uint8_t seed[32];
    struct sk_bytes salt = sk_bytes(get->salt, get->salt ? strlen(get->salt) : 0);
    int err = 0;
    if (get->text) {
        skep_dht_text_key(get->text, seed);
        err = skep_dht_public_key(seed, get->key);
    }
    if (err)
        return sk_complain_err(err);
    if (!get->has_hash)
        sk_dht_item_target_mutable(get->key, salt, get->target);
    return SK_EXIT_DONE;
}

static void begin(void *ctx)
{
    struct get *get = ctx;
    struct sk_dht_session *session = &get->session;
    const struct skep_dht_blob blob = {
        .name = get->text      ? SKEP_DHT_NAME_TEXT
                : get->has_key ? SKEP_DHT_NAME_PUBLIC
                               : SKEP_DHT_NAME_IMMUTABLE,
        .via = get->announce ? SKEP_DHT_VIA_ANNOUNCE : SKEP_DHT_VIA_ITEMS,
        .text = get->text,
        .key = get->has_key ? get->key : NULL,
        .hash = get->has_hash ? get->target : NULL,
        .salt = (const uint8_t *)get->salt,
        .salt_size = get->salt ? strlen(get->salt) : 0,
    };
    uint64_t id;
    sk_dht_trace_target(&session->trace, get->target);
    if (get->announce)
        sk_dht_trace_ports(&session->trace, SK_DHT_TRACE_PORTS_GET);
    int err = skep_dht_start_get(session->engine, &blob, on_get, get, &id);
    if (err)
        sk_dht_session_fail(session, err, NULL);
}

static void show(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                 struct sk_buf *out)
{
    const struct get *get = ctx;
    sk_dht_show_progress(&get->progress, how, out);
}

static int finish(void *ctx, int code)
{
    struct get *get = ctx;
    int failed = SK_EXIT_DONE;
    if (code == SK_EXIT_PARTIAL && get->session.options.format == SK_FORMAT_JSON)
        failed = write_json_partial(get);
    return failed ? failed : code ? code : sk_dht_flush(&get->session);
}

/* ---- the command line ---- */

static int check(void *ctx)
{
    struct get *get = ctx;
    int names = !!get->text + get->has_key + get->has_hash;
    const struct {
        bool wrong;
        const char *why;
    } rules[] = {
        {names == 0, "what? --key=TEXT, --public-key=HEX or --hash=HEX (skep dht get --help)"},
        {names > 1, "one of --key, --public-key and --hash, not several"},
        {get->salt && !get->has_key, "--salt goes with --public-key only"},
        {get->announce && !get->text, "--via=announce goes with --key only"},
        {get->output && get->session.options.format == SK_FORMAT_JSON,
         "--output takes bytes, --format=json goes to standard output"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(rules); i++) {
        if (!rules[i].wrong)
            continue;
        sk_complain("dht get: %s", rules[i].why);
        return SK_EXIT_USAGE;
    }
    return SK_EXIT_DONE;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct get *get = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&get->session, state);
    case KEY_KEY:
        sk_dht_expect(*arg, "--key", arg, "a text");
        get->text = arg;
        return 0;
    case KEY_PUBLIC_KEY:
        get->has_key = sk_hex_decode(arg, strlen(arg), get->key, sizeof get->key);
        sk_dht_expect(get->has_key, "--public-key", arg, "64 hexadecimal digits");
        return 0;
    case KEY_SALT:
        sk_dht_expect(strlen(arg) <= SK_KRPC_SALT_MAX, "--salt", arg, "at most 64 bytes");
        get->salt = arg;
        return 0;
    case KEY_HASH:
        get->has_hash = sk_hex_decode(arg, strlen(arg), get->target, sizeof get->target);
        sk_dht_expect(get->has_hash, "--hash", arg, "40 hexadecimal digits");
        return 0;
    case KEY_VIA:
        get->announce = strcmp(arg, "announce") == 0;
        sk_dht_expect(get->announce || strcmp(arg, "items") == 0, "--via", arg,
                      "items or announce");
        return 0;
    case KEY_OUTPUT:
        sk_dht_expect(*arg, "--output", arg, "a file");
        get->output = arg;
        return 0;
    case ARGP_KEY_ARG:
        sk_complain("dht get: it takes no argument, and got '%.80s' (--key=TEXT says what)", arg);
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {.doc = "What:", .group = 1},
    {"key", KEY_KEY, "TEXT", 0, "what put --key stored under this text", 1},
    {"public-key", KEY_PUBLIC_KEY, "HEX", 0, "what the owner of this key stored", 1},
    {"salt", KEY_SALT, "TEXT", 0, "at this one of the key's places", 1},
    {"hash", KEY_HASH, "HEX", 0, "what put --immutable stored", 1},
    {"via", KEY_VIA, "HOW", 0, "items (default), or announce: as put --via=announce stored it", 1},
    {"output", KEY_OUTPUT, "FILE", 0, "write to this file", SK_OPTIONS_OUTPUT},
    {0},
};
static const struct argp_child children[] = {
    {&sk_dht_trace_argp, 0, NULL, 0}, {&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .doc = "Fetches what is stored in the DHT, checks it, and writes exactly those bytes to "
           "standard output.\v"
           "Nothing is written before all is there and right. A value that is no byte string is "
           "written as bencode, or with --format=json as JSON.\n\n"
           "Exit codes: 0 done; 2 wrong usage; 3 nothing is stored there; 4 nobody to ask; 5 "
           "interrupted, or time ran out; 6 parts of it are missing or forged; 7 it could not be "
           "written.",
    .children = children,
};

int sk_cmd_dht_get(int argc, char **argv)
{
    struct get get = {.session = {.name = "get",
                                  .formats = SK_DHT_TEXT_JSON,
                                  .unfinished = "before all was fetched; nothing was written",
                                  .check = check,
                                  .prepare = prepare,
                                  .show = show,
                                  .finish = finish}};
    return sk_dht_session_main(&get.session, &argp, argc, argv, begin, &get);
}
