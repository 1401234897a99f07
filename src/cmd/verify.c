#include "cmd/verify.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/create_progress.h"
#include "cmd/target.h"
#include "cmd/units.h"
#include "driver/hashing.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POLL_S 0.05

struct verify {
    const struct sk_options *options;
    const char *directory;
    int root;
    uint8_t *pieces;  /* enum sk_hashing_piece */
    json_t *torrents; /* --format=json */
    uint32_t right, whole, torrents_count;
};

/* ---- the result ---- */

static void count(const struct verify *verify, const struct sk_metainfo *m,
                  uint32_t ret_counts[SK_HASHING_MISSING + 1], uint64_t *ret_bytes)
{
    *ret_bytes = 0;
    memset(ret_counts, 0, (SK_HASHING_MISSING + 1) * sizeof *ret_counts);
    for (uint32_t piece = 0; piece < m->pieces; piece++) {
        ret_counts[verify->pieces[piece]]++;
        if (verify->pieces[piece] == SK_HASHING_RIGHT)
            *ret_bytes += sk_metainfo_piece_length(m, piece);
    }
}

static int keep_json(struct verify *verify, const struct sk_metainfo *m, const uint32_t *counts,
                     uint64_t bytes, double seconds)
{
    char hex[2 * SK_SHA1_SIZE + 1], path[SK_PATH_MAX];
    sk_hex_encode(m->info_hash, SK_SHA1_SIZE, hex);
    snprintf(path, sizeof path, "%s/%s", verify->directory, m->name);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:b, s:n, s:i}",
        "info_hash", hex, "name", m->name, "path", path, "size", (json_int_t)m->size, "bytes",
        (json_int_t)bytes, "bytes_wanted", (json_int_t)m->span, "received", 0, "wasted", 0, "given",
        0, "pieces", (int)m->pieces, "pieces_have", (int)counts[SK_HASHING_RIGHT], "seconds",
        round(seconds * 1e6) / 1e6, "stage", "ended", "complete",
        (int)(counts[SK_HASHING_RIGHT] == m->pieces), "reason", "pieces_wrong",
        (int)counts[SK_HASHING_WRONG]);
    return json_array_append_new(verify->torrents, object) ? sk_complain_err(SKEP_ERR_NOMEM)
                                                           : SK_EXIT_DONE;
}

static int tell(struct verify *verify, const struct sk_metainfo *m, double seconds)
{
    char right[SK_UNITS_MAX], pieces[SK_UNITS_MAX], wrong[SK_UNITS_MAX], missing[SK_UNITS_MAX],
        safe[1024];
    uint32_t counts[SK_HASHING_MISSING + 1];
    uint64_t bytes;
    count(verify, m, counts, &bytes);
    verify->torrents_count++;
    verify->right += counts[SK_HASHING_RIGHT] > 0;
    verify->whole += counts[SK_HASHING_RIGHT] == m->pieces;
    if (verify->torrents)
        return keep_json(verify, m, counts, bytes, seconds);
    printf("%s: %s of %s pieces are right, %s wrong, %s missing\n",
           sk_text_escape(sk_bytes_text(m->name), safe, sizeof safe),
           sk_units_count(counts[SK_HASHING_RIGHT], right), sk_units_count(m->pieces, pieces),
           sk_units_count(counts[SK_HASHING_WRONG], wrong),
           sk_units_count(counts[SK_HASHING_MISSING] + counts[SK_HASHING_UNKNOWN], missing));
    return SK_EXIT_DONE;
}

/* ---- the work ---- */

static int check(struct verify *verify, const struct sk_metainfo *m)
{
    struct sk_create_progress shown;
    struct sk_hashing_progress progress;
    struct sk_hashing *hashing;
    int err = sk_hashing_check(m, verify->root, sk_hashing_threads(), verify->pieces, &hashing);
    if (err)
        return sk_complain_err(err);
    sk_create_progress_init(&shown, verify->options, m->name);
    for (;;) {
        sk_hashing_wait(hashing, POLL_S, &progress);
        if (progress.state != SK_HASHING_RUNNING)
            break;
        if (sk_interrupt_came())
            sk_hashing_cancel(hashing);
        sk_create_progress_draw(&shown, &progress);
    }
    double seconds = sk_create_progress_end(&shown);
    sk_hashing_free(hashing);
    if (progress.state != SK_HASHING_CANCELLED)
        return tell(verify, m, seconds);
    sk_complain("interrupted");
    return SK_EXIT_PARTIAL;
}

static int verify_torrent(struct verify *verify, const struct sk_target *target, const char *text)
{
    struct sk_metainfo *m;
    const char *reason = NULL;
    int err = sk_metainfo_parse(sk_buf_bytes(&target->bytes), &m, &reason);
    if (err) {
        sk_complain("%.400s: not a valid .torrent file: %s", text,
                    reason ? reason : skep_err_text(err));
        return err == SKEP_ERR_NOMEM ? SK_EXIT_FAILED : SK_EXIT_CORRUPT;
    }
    verify->pieces = sk_mem_calloc(m->pieces, 1);
    int code = verify->pieces ? check(verify, m) : sk_complain_err(SKEP_ERR_NOMEM);
    sk_mem_free(verify->pieces);
    sk_metainfo_free(m);
    return code;
}

/* A .torrent by http needs a runtime, which does nothing else. */
static int fetch(const struct sk_options *options, struct sk_target *target)
{
    struct sk_options usual = {.net = {.bind = options->net.bind,
                                       .socks = options->net.socks,
                                       .socks_account = options->net.socks_account,
                                       .no_listen = true,
                                       .no_dht = true,
                                       .no_lsd = true,
                                       .no_pex = true,
                                       .no_trackers = true}};
    struct skep_runtime *runtime;
    int code = sk_options_open(&usual, &runtime);
    if (code)
        return code;
    code = sk_target_resolve(target, runtime, options, 0);
    skep_runtime_free(runtime);
    return code;
}

static int verify_one(struct verify *verify, const char *text)
{
    struct sk_target target;
    int code = sk_target_read(text, &target);
    if (code)
        return code;
    if (target.kind == SK_TARGET_LINK || target.kind == SK_TARGET_POINTER) {
        sk_complain("--verify: a link does not say what is right; give the .torrent");
        code = SK_EXIT_USAGE;
    } else if (target.kind == SK_TARGET_URL) {
        code = fetch(verify->options, &target);
    }
    if (!code)
        code = verify_torrent(verify, &target, text);
    sk_target_deinit(&target);
    return code;
}

static int print_json(struct verify *verify, double seconds)
{
    json_t *root = json_pack("{s:s, s:f, s:s, s:o}", "schema", "skep.get/1", "seconds", seconds,
                             "stopped", "done", "torrents", verify->torrents);
    verify->torrents = NULL;
    int err =
        !root || json_dumpf(root, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII) ? SKEP_ERR_NOMEM : 0;
    json_decref(root);
    fputc('\n', stdout);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static int run(struct verify *verify, char **targets, size_t targets_count)
{
    uint64_t started_ns = uv_hrtime();
    int code = SK_EXIT_DONE;
    for (size_t i = 0; i < targets_count && !code; i++)
        code = verify_one(verify, targets[i]);
    if (!code && verify->torrents)
        code = print_json(verify, (double)((uv_hrtime() - started_ns) / 1000) / 1e6);
    if (!code && (fflush(stdout) != 0 || ferror(stdout))) {
        sk_complain("standard output: %s", strerror(errno));
        code = SK_EXIT_STORAGE;
    }
    if (code)
        return code;
    return verify->whole == verify->torrents_count ? SK_EXIT_DONE
           : verify->right                         ? SK_EXIT_PARTIAL
                                                   : SK_EXIT_NOTHING;
}

int sk_verify(const struct sk_options *options, const char *directory, char **targets,
              size_t targets_count)
{
    struct verify verify = {.options = options, .directory = directory};
    verify.root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (verify.root < 0) {
        sk_complain("%.400s: %s", directory, strerror(errno));
        return SK_EXIT_NOTHING;
    }
    if (options->format == SK_FORMAT_JSON)
        verify.torrents = json_array();
    sk_interrupt_catch();
    int code = run(&verify, targets, targets_count);
    json_decref(verify.torrents);
    close(verify.root);
    return code;
}
