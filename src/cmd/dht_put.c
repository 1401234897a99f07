/* skep dht put: bytes stored under a key. */
#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cmd/dht.h"
#include "cmd/dht_secret.h"
#include "cmd/units.h"
#include "wire/bencode.h"
#include "wire/dht_item.h"
#include "wire/dht_port_blob.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    KEY_KEY = 3000,
    KEY_SECRET,
    KEY_NEW_SECRET,
    KEY_SALT,
    KEY_IMMUTABLE,
    KEY_TORRENT,
    KEY_RAW,
    KEY_CAS,
    KEY_SEQ,
    KEY_KEEP,
    KEY_VIA,
};

struct put {
    struct sk_dht_session session;
    const char *text, *secret, *salt, *torrent, *file;
    bool immutable, new_secret, raw, keep, announce;
    bool has_cas, has_seq;
    int64_t cas, seq;
    uint8_t seed[SK_SECRET_SIZE];
    struct sk_buf bytes;
    /* As it stands */
    struct skep_dht_progress progress;
    struct skep_dht_blob_result result; /* its pointers: to what follows, or NULL */
    uint8_t target[20], key[32];
    bool stored;   /* and told */
    uint32_t held; /* nodes that held it, as last told */
};

/* ---- what is to be stored ---- */

static int read_file(struct put *put, FILE *file, const char *name)
{
    for (;;) {
        uint8_t *to = sk_buf_reserve(&put->bytes, 16 << 10);
        if (!to)
            break;
        size_t n = fread(to, 1, 16 << 10, file);
        put->bytes.n += n;
        if (ferror(file)) {
            sk_complain("%.400s: %s", name, strerror(errno));
            return SK_EXIT_FAILED;
        }
        if (n == 0)
            return SK_EXIT_DONE;
    }
    sk_complain("%.400s: too large: at most 1 MiB can be stored", name);
    return SK_EXIT_FAILED;
}

/* At most what each way can store. */
static int check_size(const struct put *put, const char *name)
{
    struct sk_bencode value;
    struct sk_bytes bytes = sk_buf_bytes(&put->bytes);
    if (bytes.n > SK_DHT_BLOB_MAX) {
        sk_complain("%.400s: too large: at most 1 MiB can be stored", name);
        return SK_EXIT_FAILED;
    }
    if (put->announce && bytes.n > SK_PORT_BLOB_MAX) {
        sk_complain("%.400s: too large: --via=announce carries %u bytes at most", name,
                    SK_PORT_BLOB_MAX);
        return SK_EXIT_FAILED;
    }
    if (put->raw && bytes.n > SK_KRPC_ITEM_MAX) {
        sk_complain("%.400s: too large: a raw value has at most %u bytes", name, SK_KRPC_ITEM_MAX);
        return SK_EXIT_FAILED;
    }
    if (put->raw && sk_bencode_parse(bytes, SK_BENCODE_STRICT, &value, NULL)) {
        sk_complain(
            "%.400s: --raw wants one bencoded value: keys sorted, integers of 64 bits, nothing "
            "after it, at most 64 levels",
            name);
        return SK_EXIT_FAILED;
    }
    return SK_EXIT_DONE;
}

static int read_input(struct put *put)
{
    bool standard = !put->file || strcmp(put->file, "-") == 0;
    const char *name = standard ? "standard input" : put->file;
    FILE *file = standard ? stdin : fopen(put->file, "rb");
    if (!file) {
        sk_complain("%.400s: %s", name, strerror(errno));
        return SK_EXIT_FAILED;
    }
    int code = read_file(put, file, name);
    if (!standard)
        fclose(file);
    return code ? code : check_size(put, name);
}

/* BEP 46: a dictionary that points to a torrent. */
static int make_pointer(struct put *put)
{
    struct sk_target_hash hash;
    int code = sk_dht_target(&put->session, put->torrent, &hash);
    if (code)
        return code;
    if (!hash.is_v1) {
        sk_complain("%.400s: only a torrent with a v1 info-hash can be pointed to", put->torrent);
        return SK_EXIT_FAILED;
    }
    sk_bencode_put_dict(&put->bytes);
    sk_bencode_put_text(&put->bytes, "ih");
    sk_bencode_put_string(&put->bytes, sk_bytes(hash.bytes, sizeof hash.bytes));
    sk_bencode_put_end(&put->bytes);
    return put->bytes.failed ? SK_EXIT_FAILED : SK_EXIT_DONE;
}

static int prepare(void *ctx)
{
    struct put *put = ctx;
    return put->torrent ? make_pointer(put) : SK_EXIT_DONE;
}

/* ---- options that go together ---- */

static int refuse(const char *why)
{
    sk_complain("dht put: %s", why);
    return SK_EXIT_USAGE;
}

static int check(void *ctx)
{
    struct put *put = ctx;
    int names = !!put->text + !!put->secret + put->immutable;
    const struct {
        bool wrong;
        const char *why;
    } rules[] = {
        {names == 0, "where to? --key=TEXT, --secret=FILE or --immutable (skep dht put --help)"},
        {names > 1, "one of --key, --secret and --immutable, not several"},
        {put->new_secret && !put->secret, "--new-secret needs --secret=FILE"},
        {put->salt && !put->secret, "--salt goes with --secret only"},
        {put->torrent && !put->secret, "--torrent goes with --secret only"},
        {put->torrent && put->file, "--torrent says what is stored; no FILE goes with it"},
        {put->torrent && put->raw, "--torrent and --raw do not go together"},
        {put->immutable && (put->has_cas || put->has_seq),
         "--seq and --cas mean nothing with --immutable: it never changes"},
        {put->announce && !put->text, "--via=announce goes with --key only"},
        {put->announce && (put->has_cas || put->has_seq || put->raw),
         "--via=announce goes with none of --seq, --cas, --raw"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(rules); i++)
        if (rules[i].wrong)
            return refuse(rules[i].why);
    put->session.stays = put->keep;
    if (put->secret) {
        int code = sk_secret_read(put->secret, put->new_secret, put->seed);
        if (code)
            return code;
    }
    return put->torrent ? SK_EXIT_DONE : read_input(put);
}

/* ---- the run ---- */

static void keep_result(struct put *put, const struct skep_dht_blob_result *result)
{
    put->result = *result;
    put->result.bytes = NULL;
    if (result->target)
        put->result.target = memcpy(put->target, result->target, sizeof put->target);
    if (result->key)
        put->result.key = memcpy(put->key, result->key, sizeof put->key);
}

/* Null until it is stored and read back. */
static json_t *known_value(const struct put *put, int64_t number)
{
    return put->stored ? json_integer(number) : json_null();
}

static int print_json(struct put *put)
{
    const struct skep_dht_blob_result *result = &put->result;
    bool items = !put->announce;
    return sk_dht_json_print(
        &put->session,
        json_pack("{s:s, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o}", "via",
                  items ? "items" : "announce", "target",
                  sk_dht_json_hex(items ? result->target : NULL, 20), "public_key",
                  sk_dht_json_hex(result->key, 32), "seq",
                  result->key ? known_value(put, result->seq) : json_null(), "size",
                  (int)put->bytes.n, "items", known_value(put, result->items), "closest",
                  known_value(put, result->closest), "holding", known_value(put, result->holding),
                  "least_holding", known_value(put, result->least_holding)));
}

/* Standard output has what a reader needs and did not have before: a hash, or a public key. */
static int print_name(struct put *put)
{
    char hex[65];
    const struct skep_dht_blob_result *result = &put->result;
    if (put->session.options.format == SK_FORMAT_JSON)
        return print_json(put);
    if (put->immutable && result->target)
        sk_hex_encode(result->target, 20, hex);
    else if (put->secret && result->key)
        sk_hex_encode(result->key, 32, hex);
    else
        return SK_EXIT_DONE;
    fprintf(sk_dht_stdout(&put->session), "%s\n", hex);
    return SK_EXIT_DONE;
}

static void explain(struct put *put)
{
    const struct skep_dht_blob_result *result = &put->result;
    char size[64], items[64], least[48] = "";
    put->held = result->holding;
    sk_dht_count(put->bytes.n, "byte", size);
    if (put->announce) {
        sk_dht_say(&put->session, "%s stored as ports (info-hashes: %u); %u nodes give them back",
                   size, result->items, result->holding);
        return;
    }
    if (result->items > 1)
        snprintf(least, sizeof least, ", of each part at least %u", result->least_holding);
    sk_dht_say(&put->session, "%s stored as %s; %u of the %u closest nodes hold %s%s", size,
               sk_dht_count(result->items, "item", items), result->holding, result->closest,
               result->items > 1 ? "its root" : "it", least);
}

/* Once: with --keep at the end of the first round. */
static int tell(struct put *put)
{
    put->stored = true;
    explain(put);
    int code = print_name(put);
    return code ? code : sk_dht_flush(&put->session);
}

static void on_progress(struct put *put, const struct skep_dht_event *event)
{
    put->progress = *event->progress;
    if (event->blob)
        keep_result(put, event->blob);
    if (!put->keep || !put->progress.what || strcmp(put->progress.what, "keeping") != 0)
        return;
    if (!put->stored) {
        int code = tell(put);
        if (code)
            sk_dht_session_end(&put->session, code);
        else
            sk_dht_say(&put->session, "it is kept alive until this ends (Ctrl-C)");
    } else if (put->held != put->result.holding) {
        explain(put);
    }
}

static void on_put(const struct skep_dht_event *event, void *ctx)
{
    struct put *put = ctx;
    struct sk_dht_session *session = &put->session;
    if (!sk_dht_session_event(session, event))
        return;
    if (event->kind == SKEP_DHT_PROGRESS)
        on_progress(put, event);
    if (event->kind != SKEP_DHT_DONE)
        return;
    if (event->blob)
        keep_result(put, event->blob);
    if (event->error == SKEP_ERR_UNSUPPORTED) {
        sk_complain("%s",
                    event->reason ? event->reason : "the nodes keep one port of an address only");
        sk_dht_session_end(session, SK_EXIT_FAILED);
    } else if (event->error) {
        sk_dht_session_fail(session, event->error, event->reason);
    } else {
        sk_dht_session_end(session, tell(put));
    }
}

static void begin(void *ctx)
{
    struct put *put = ctx;
    struct sk_dht_session *session = &put->session;
    const struct skep_dht_blob blob = {
        .name = put->text     ? SKEP_DHT_NAME_TEXT
                : put->secret ? SKEP_DHT_NAME_SECRET
                              : SKEP_DHT_NAME_IMMUTABLE,
        .via = put->announce ? SKEP_DHT_VIA_ANNOUNCE : SKEP_DHT_VIA_ITEMS,
        .text = put->text,
        .seed = put->secret ? put->seed : NULL,
        .salt = (const uint8_t *)put->salt,
        .salt_size = put->salt ? strlen(put->salt) : 0,
        .bytes = put->bytes.n ? put->bytes.p : (const uint8_t *)"",
        .size = put->bytes.n,
        .raw = put->raw || put->torrent,
        .has_seq = put->has_seq,
        .seq = put->seq,
        .has_cas = put->has_cas,
        .cas = put->cas,
        .keep = put->keep,
        .rate = put->announce ? sk_dht_session_rate(session) : 0,
    };
    uint64_t id;
    if (put->announce)
        sk_dht_trace_ports(&session->trace, SK_DHT_TRACE_PORTS_PUT);
    if (put->text)
        skep_dht_text_key(put->text, put->seed);
    if (!put->immutable && !skep_dht_public_key(put->seed, put->key)) {
        sk_dht_item_target_mutable(put->key, sk_bytes(put->salt, blob.salt_size), put->target);
        sk_dht_trace_target(&session->trace, put->target);
    }
    int err = skep_dht_start_put(session->engine, &blob, on_put, put, &id);
    if (err)
        sk_dht_session_fail(session, err, NULL);
}

static void show(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                 struct sk_buf *out)
{
    const struct put *put = ctx;
    sk_dht_show_progress(&put->progress, how, out);
}

/* What is kept is meant to be interrupted. */
static int finish(void *ctx, int code)
{
    struct put *put = ctx;
    if (code != SK_EXIT_PARTIAL)
        return code;
    if (put->keep && put->stored)
        return SK_EXIT_DONE;
    int failed = put->session.options.format == SK_FORMAT_JSON ? print_json(put) : SK_EXIT_DONE;
    return failed ? failed : code;
}

/* ---- the command line ---- */

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct put *put = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&put->session, state);
    case KEY_KEY:
        sk_dht_expect(*arg, "--key", arg, "a text");
        put->text = arg;
        return 0;
    case KEY_SECRET:
        sk_dht_expect(*arg, "--secret", arg, "a file");
        put->secret = arg;
        return 0;
    case KEY_NEW_SECRET:
        put->new_secret = true;
        return 0;
    case KEY_SALT:
        sk_dht_expect(strlen(arg) <= SK_KRPC_SALT_MAX, "--salt", arg, "at most 64 bytes");
        put->salt = arg;
        return 0;
    case KEY_IMMUTABLE:
        put->immutable = true;
        return 0;
    case KEY_TORRENT:
        put->torrent = arg;
        return 0;
    case KEY_RAW:
        put->raw = true;
        return 0;
    case KEY_CAS:
        put->has_cas = sk_dht_parse_seq(arg, &put->cas);
        sk_dht_expect(put->has_cas, "--cas", arg, "a whole number from 0 on");
        return 0;
    case KEY_SEQ:
        put->has_seq = sk_dht_parse_seq(arg, &put->seq);
        sk_dht_expect(put->has_seq, "--seq", arg, "a whole number from 0 on");
        return 0;
    case KEY_KEEP:
        put->keep = true;
        return 0;
    case KEY_VIA:
        put->announce = strcmp(arg, "announce") == 0;
        sk_dht_expect(put->announce || strcmp(arg, "items") == 0, "--via", arg,
                      "items or announce");
        return 0;
    case ARGP_KEY_ARG:
        sk_dht_one_argument(&put->session, &put->file, arg, "FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {.doc = "Where to:", .group = 1},
    {"key", KEY_KEY, "TEXT", 0, "under a text: who knows it can read and replace what is there", 1},
    {"secret", KEY_SECRET, "FILE", 0,
     "under a key pair of one's own: its secret half, raw, hex or PEM; only you can replace it", 1},
    {"new-secret", KEY_NEW_SECRET, NULL, 0, "make that FILE where it is not there", 1},
    {"salt", KEY_SALT, "TEXT", 0, "one of many places under one key pair", 1},
    {"immutable", KEY_IMMUTABLE, NULL, 0, "under its own hash, which is printed", 1},
    {.doc = "What and how:", .group = 2},
    {"torrent", KEY_TORRENT, "TARGET", 0,
     "a pointer to a torrent (BEP 46) in place of a FILE; with --secret", 2},
    {"raw", KEY_RAW, NULL, 0, "FILE is one bencoded value, stored as it is", 2},
    {"keep", KEY_KEEP, NULL, 0, "stay, and store it again every while", 2},
    {"seq", KEY_SEQ, "N", 0, "its number (default: one above that of what is there)", 2},
    {"cas", KEY_CAS, "N", 0, "replace only what has this number", 2},
    {"via", KEY_VIA, "HOW", 0,
     "items (default), or announce: as announced ports, for nodes that cannot store items", 2},
    {0},
};
static const struct argp_child children[] = {
    {&sk_dht_trace_argp, 0, NULL, 0}, {&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[FILE]",
    .doc = "Stores a FILE, or standard input, of up to 1 MiB in the DHT, and reads it back.\v"
           "Nodes keep it for about two hours; --keep renews it. On standard output stands what "
           "a reader needs besides: with --immutable the hash, with --secret the public key, "
           "with --key nothing.\n\n"
           "Exit codes: 0 stored; 1 a newer one is there, or --cas does not hold; 2 wrong usage; "
           "4 nobody to ask, or nobody took it; 5 interrupted, or time ran out.",
    .children = children,
};

int sk_cmd_dht_put(int argc, char **argv)
{
    struct put *put = sk_mem_calloc(1, sizeof *put);
    if (!put)
        return SK_EXIT_FAILED;
    put->session = (struct sk_dht_session){.name = "put",
                                           .formats = SK_DHT_TEXT_JSON,
                                           .unfinished = "before all was stored and read back",
                                           .check = check,
                                           .prepare = prepare,
                                           .show = show,
                                           .finish = finish};
    sk_buf_init(&put->bytes, SK_DHT_BLOB_MAX + (32u << 10));
    int code = sk_dht_session_main(&put->session, &argp, argc, argv, begin, put);
    sk_buf_deinit(&put->bytes);
    OPENSSL_cleanse(put->seed, sizeof put->seed);
    sk_mem_free(put);
    return code;
}
