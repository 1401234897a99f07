#include "cmd/transfer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/on_done.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TICK_S 0.1
#define GOODBYE_S 3.0 /* for telling the trackers that we leave */

const char *sk_transfer_name(const struct sk_transfer_torrent *t)
{
    const char *name = skep_torrent_name(t->torrent);
    return name ? name : t->hex;
}

void sk_transfer_fail(struct sk_transfer_torrent *t, int code)
{
    t->stage = SK_TRANSFER_FAILED;
    t->code = code;
}

/* ---- the run ---- */

/* Whether it has seeded enough. */
static bool has_seeded(const struct sk_transfer_torrent *t, uint64_t now_ns)
{
    const struct sk_transfer_limits *limits = &t->transfer->limits;
    double seconds = (double)(now_ns - t->done_ns) / 1e9;
    double wanted = limits->seed_ratio * (double)skep_torrent_size(t->torrent);
    return limits->seed_s >= 0 && seconds >= limits->seed_s &&
           (limits->seed_ratio < 0 || (double)t->given_bytes >= wanted);
}

/* All that is wanted is here. */
static void complete(struct sk_transfer_torrent *t, uint64_t now_ns)
{
    const struct sk_transfer *transfer = t->transfer;
    char real[PATH_MAX], path[2 * PATH_MAX];
    t->stage = SK_TRANSFER_SEEDING;
    t->done_ns = now_ns;
    if (transfer->limits.only_seed)
        return;
    sk_transfer_make_empty(t);
    if (!transfer->on_done)
        return;
    snprintf(path, sizeof path, "%s/%s",
             realpath(transfer->directory, real) ? real : transfer->directory, sk_transfer_name(t));
    sk_transfer_live_clear(transfer->live);
    if (!sk_on_done_start(transfer->on_done, skep_torrent_info_hash(t->torrent),
                          sk_transfer_name(t), path))
        t->code = SK_EXIT_FAILED;
}

static void advance(struct sk_transfer_torrent *t, uint64_t now_ns)
{
    struct sk_downloader_status status;
    switch (t->stage) {
    case SK_TRANSFER_HASHES:
        sk_transfer_begin_check(t);
        break;
    case SK_TRANSFER_CHECKING:
        sk_transfer_check(t);
        break;
    case SK_TRANSFER_ALLOCATING:
        sk_transfer_allocate(t);
        break;
    case SK_TRANSFER_DOWNLOADING:
        sk_downloader_tick(t->downloader, now_ns);
        sk_downloader_status(t->downloader, &status);
        if (status.state == SK_DOWNLOADER_FAILED) {
            sk_transfer_live_clear(t->transfer->live);
            sk_transfer_disk_failed(t, status.error);
            sk_transfer_fail(t, SK_EXIT_STORAGE);
        } else if (status.state == SK_DOWNLOADER_DONE) {
            complete(t, now_ns);
        }
        break;
    case SK_TRANSFER_SEEDING:
        if (has_seeded(t, now_ns))
            t->stage = SK_TRANSFER_ENDED;
        break;
    case SK_TRANSFER_METADATA:
    case SK_TRANSFER_ENDED:
    case SK_TRANSFER_FAILED:
        break;
    }
}

static bool is_over(struct sk_transfer *transfer)
{
    bool over = !transfer->stream || sk_transfer_stream_ended(transfer->stream);
    for (size_t i = 0; i < transfer->count; i++) {
        const struct sk_transfer_torrent *t = &transfer->torrents[i];
        bool failed = t->stage == SK_TRANSFER_FAILED;
        if (transfer->stream) /* the only one */
            return over || failed;
        over &= failed || t->stage == SK_TRANSFER_ENDED;
    }
    return over;
}

static void on_tick(struct skep_runtime *runtime, void *ctx)
{
    struct sk_transfer *transfer = ctx;
    uint64_t now_ns = skep_runtime_now(runtime);
    for (size_t i = 0; i < transfer->count; i++)
        advance(&transfer->torrents[i], now_ns);
    if (transfer->stream)
        sk_transfer_stream_advance(transfer->stream, &transfer->torrents[0]);
    sk_transfer_live_draw(transfer->live, transfer, now_ns);
    double elapsed_s = (double)(now_ns - transfer->started_ns) / 1e9;
    bool over = is_over(transfer);
    if (!over && transfer->options.time_s > 0 && elapsed_s >= transfer->options.time_s) {
        transfer->stopped = SK_TRANSFER_TIME;
        over = true;
    }
    if (over)
        skep_runtime_stop(runtime);
}

static void on_signal(struct skep_runtime *runtime, int signal, void *ctx)
{
    struct sk_transfer *transfer = ctx;
    if (transfer->interrupts++) {
        if (transfer->stream)
            sk_transfer_stream_remove(transfer->stream);
        _exit(128 + signal);
    }
    transfer->stopped = SK_TRANSFER_INTERRUPTED;
    skep_runtime_stop(runtime);
}

/* ---- what happens ---- */

static struct sk_transfer_torrent *torrent_of(struct sk_transfer *transfer,
                                              const struct skep_event *event)
{
    for (size_t i = 0; i < transfer->count; i++)
        if (transfer->torrents[i].torrent == event->torrent)
            return &transfer->torrents[i];
    return NULL;
}

static void on_event(const struct skep_event *event, void *ctx)
{
    struct sk_transfer_torrent *t = torrent_of(ctx, event);
    bool of_dht = event->text && strcmp(event->text, "dht") == 0;
    if (!t)
        return;
    switch (event->kind) {
    case SKEP_EVENT_SENT:
        t->given_bytes += event->message.length;
        break;
    case SKEP_EVENT_HEARD:
        t->known += event->is_new;
        break;
    case SKEP_EVENT_OPEN:
        t->opened++;
        break;
    case SKEP_EVENT_FAILED:
        snprintf(t->failure, sizeof t->failure, "%s", event->reason ? event->reason : "");
        break;
    case SKEP_EVENT_CLAIM:
        t->claims += !of_dht;
        break;
    case SKEP_EVENT_CLAIM_FAILED:
        if (!of_dht && event->reason)
            snprintf(t->tracker_failure, sizeof t->tracker_failure, "%s", event->reason);
        break;
    default:
        break;
    }
}

/* SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
static int hook(struct sk_transfer *transfer)
{
    static const enum skep_event_kind kinds[] = {SKEP_EVENT_SENT,  SKEP_EVENT_HEARD,
                                                 SKEP_EVENT_OPEN,  SKEP_EVENT_FAILED,
                                                 SKEP_EVENT_CLAIM, SKEP_EVENT_CLAIM_FAILED};
    struct skep_engine *engine = skep_runtime_engine(transfer->runtime);
    int err = sk_downloads_new(engine, &transfer->downloads);
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds) && !err; i++)
        err = skep_engine_hook(engine, kinds[i], on_event, transfer);
    return err;
}

/* ---- leaving ---- */

/* Until the trackers know, and what is whole is on the disk. */
static void on_goodbye_tick(struct skep_runtime *runtime, void *ctx)
{
    const struct sk_transfer *transfer = ctx;
    for (size_t i = 0; i < transfer->count; i++) {
        struct sk_downloader_status status;
        sk_downloader_status(transfer->torrents[i].downloader, &status);
        bool failed = status.state == SK_DOWNLOADER_FAILED;
        if (!skep_torrent_stopped(transfer->torrents[i].torrent) ||
            (status.counts.whole && !failed))
            return;
    }
    skep_runtime_stop(runtime);
}

static void say_goodbye(struct sk_transfer *transfer)
{
    for (size_t i = 0; i < transfer->count; i++)
        skep_torrent_stop(transfer->torrents[i].torrent, skep_runtime_now(transfer->runtime));
    skep_runtime_every(transfer->runtime, 0.02, on_goodbye_tick, transfer);
    skep_runtime_run(transfer->runtime, GOODBYE_S);
}

/* ---- beginning ---- */

/* Whether the torrent is one of ours already. */
static bool is_known(const struct sk_transfer *transfer, const uint8_t hash[20])
{
    for (size_t i = 0; i < transfer->count; i++)
        if (memcmp(skep_torrent_info_hash(transfer->torrents[i].torrent), hash, 20) == 0)
            return true;
    return false;
}

/* What the link selects holds where the command line has no say. Complains; an exit code. */
static int keep_link(struct sk_transfer_torrent *t, const struct sk_target *target)
{
    const struct sk_transfer *transfer = t->transfer;
    const char *text = (const char *)target->bytes.p;
    bool said = transfer->limits.selection.count || transfer->limits.only_seed ||
                (transfer->stream && sk_transfer_stream_file(transfer->stream));
    struct sk_magnet *link;
    if (target->kind != SK_TARGET_LINK || said)
        return SK_EXIT_DONE;
    int err = sk_magnet_parse(text, &link, NULL);
    if (err)
        return err == SKEP_ERR_NOMEM ? sk_complain_err(err) : SK_EXIT_DONE; /* a mere hash */
    bool broken = link->select_broken;
    if (broken)
        sk_complain("%.400s: which files it is to (so=) makes no sense; say it with %s", text,
                    transfer->stream ? "--file" : "--select");
    if (link->select_count && !broken)
        t->link = link;
    else
        sk_magnet_free(link);
    return broken ? SK_EXIT_USAGE : SK_EXIT_DONE;
}

/* One of the user's. Complains; an exit code. */
static int add_web_seed(struct sk_transfer_torrent *t, const char *url)
{
    int err = sk_downloader_add_web_seed(t->downloader, url);
    if (err == SKEP_ERR_INVALID)
        sk_complain("--webseed='%.200s': expected an address of http:// or https://", url);
    else if (err == SKEP_ERR_LIMIT)
        sk_complain("--webseed: expected at most %d of them", SK_WEBSEEDS_MAX);
    else if (err)
        return sk_complain_err(err);
    return err ? SK_EXIT_USAGE : SK_EXIT_DONE;
}

static int add_target(struct sk_transfer *transfer, struct sk_target *target, const char *text)
{
    struct sk_transfer_torrent *t = &transfer->torrents[transfer->count];
    struct sk_downloader_config config = {.order = transfer->limits.order,
                                          .no_web_seeds = transfer->no_web_seeds,
                                          .stored = sk_transfer_stored,
                                          .ready = sk_transfer_ready,
                                          .ctx = t};
    struct sk_target_hash hash;
    int code = sk_target_resolve(target, transfer->runtime, &transfer->options, 0);
    if (!code)
        code = sk_target_info_hash(target, &hash);
    if (!code && is_known(transfer, hash.bytes)) {
        sk_complain("%.400s: the same torrent again; once is enough", text);
        return SK_EXIT_DONE;
    }
    t->transfer = transfer;
    t->root = -1;
    if (!code)
        code = sk_target_add(target, skep_runtime_engine(transfer->runtime), &t->torrent);
    if (!code)
        code = keep_link(t, target);
    if (code)
        return code;
    sk_hex_encode(skep_torrent_info_hash(t->torrent), SK_SHA1_SIZE, t->hex);
    if (getrandom(&config.seed, sizeof config.seed, 0) < 0)
        config.seed = transfer->started_ns;
    int err = sk_downloader_new(transfer->downloads, t->torrent, &config, &t->downloader);
    if (err)
        return sk_complain_err(err);
    transfer->count++;
    for (size_t i = 0; i < transfer->web_seeds.count; i++)
        if ((code = add_web_seed(t, transfer->web_seeds.list[i])) != SK_EXIT_DONE)
            return code;
    return sk_target_add_extras(&transfer->options, t->torrent);
}

static int add(struct sk_transfer *transfer, const char *text)
{
    struct sk_target target;
    int code = sk_target_read(text, &target);
    if (code)
        return code;
    code = add_target(transfer, &target, text);
    sk_target_deinit(&target);
    return code;
}

/* One that cannot be added does not hold up the others. */
static int add_all(struct sk_transfer *transfer, char **targets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code = add(transfer, targets[i]);
        if (code == SK_EXIT_USAGE || (code && count == 1))
            return code;
        if (code)
            sk_complain("%.400s: left out", targets[i]);
        transfer->left_out = SK_MAX(transfer->left_out, code);
    }
    return transfer->count ? SK_EXIT_DONE : transfer->left_out;
}

static int run(struct sk_transfer *transfer)
{
    skep_runtime_on_signal(transfer->runtime, on_signal, transfer);
    skep_runtime_every(transfer->runtime, TICK_S, on_tick, transfer);
    for (size_t i = 0; i < transfer->count; i++)
        skep_torrent_start(transfer->torrents[i].torrent, skep_runtime_now(transfer->runtime));
    int err = skep_runtime_run(transfer->runtime, -1);
    sk_transfer_live_clear(transfer->live);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static int with_runtime(struct sk_transfer *transfer, char **targets, size_t count)
{
    int err = hook(transfer);
    if (err)
        return sk_complain_err(err);
    /* First: a link of BEP 46 is looked up there. */
    int code = sk_dht_nodes_join(&transfer->nodes, &transfer->options,
                                 skep_runtime_engine(transfer->runtime));
    if (!code)
        code = add_all(transfer, targets, count);
    if (!code)
        code = run(transfer);
    if (code)
        return code;
    for (size_t i = 0; i < transfer->count; i++)
        sk_transfer_why(&transfer->torrents[i], transfer->torrents[i].why);
    say_goodbye(transfer);
    code = sk_transfer_say_ends(transfer);
    return SK_MAX(code, transfer->left_out);
}

static void prepare(struct sk_transfer *transfer)
{
    struct skep_config *net = &transfer->options.net;
    if (transfer->stream)
        transfer->directory = sk_transfer_stream_directory(transfer->stream);
    else if (sk_options_state_path(&transfer->options, transfer->state_path))
        strncat(transfer->state_path, "/torrents", SK_PATH_MAX - strlen(transfer->state_path) - 1);
    else
        transfer->state_path[0] = 0;
    if (!net->no_dht)
        sk_dht_nodes_load(&transfer->nodes, &transfer->options);
    net->save_dir = transfer->directory;
    if (!net->transports)
        net->transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP;
    net->give = net->announce = net->lasting = true;
    signal(SIGPIPE, SIG_IGN); /* a reader that went is no reason to lose anything */
}

int sk_transfer_run(struct sk_transfer *transfer, char **targets, size_t count)
{
    transfer->torrents = sk_mem_calloc(count, sizeof *transfer->torrents);
    if (!transfer->torrents)
        return sk_exit_of(SKEP_ERR_NOMEM);
    prepare(transfer);
    int code = sk_options_open(&transfer->options, &transfer->runtime);
    if (code) {
        sk_mem_free(transfer->torrents);
        return code;
    }
    transfer->started_ns = skep_runtime_now(transfer->runtime);
    code = with_runtime(transfer, targets, count);
    for (size_t i = 0; i < transfer->count; i++) {
        sk_transfer_disk_end(&transfer->torrents[i]);
        sk_magnet_free(transfer->torrents[i].link);
    }
    if (!transfer->options.net.no_dht)
        sk_dht_nodes_save(&transfer->nodes, skep_runtime_engine(transfer->runtime), false);
    skep_runtime_free(transfer->runtime);
    sk_downloads_free(transfer->downloads);
    sk_mem_free(transfer->torrents);
    if (!sk_on_done_wait() && !code)
        code = SK_EXIT_FAILED;
    return code;
}
