#include "driver/lab_leecher.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "driver/guest.h"
#include "engine/downloader.h"
#include "wire/metainfo.h"

#include <math.h>

#define TICK_S 0.1
#define GOODBYE_S 3.0 /* for telling the trackers that it leaves */

enum state { WAITS, JOINED, GOING, GONE };

struct leecher {
    struct sk_lab_leechers *all;
    struct sk_lab_peer *peer;
    enum state state;
    struct sk_guest guest;
    struct skep_runtime *runtime;
    struct sk_downloads *downloads;
    struct sk_downloader *downloader;
    struct skep_torrent *torrent;
    struct sk_lab_liar liar;
};

struct sk_lab_leechers {
    struct sk_lab_swarm *swarm;
    uint32_t count;
    struct leecher list[];
};

static double lab_s(const struct leecher *leecher, uint64_t now_ns)
{
    return (double)(now_ns - leecher->all->swarm->started_ns) / 1e9;
}

/* ---- the store ---- */

static int write_piece(void *ctx, const struct sk_out *out)
{
    bool right = !out->verify || sk_metainfo_verify_piece(out->verify, out->piece, out->bytes) == 1;
    return right ? 0 : SKEP_ERR_MISMATCH;
}

static int read_blocks(void *ctx, const struct sk_out *out, uint8_t *ret_bytes)
{
    const struct leecher *leecher = ctx;
    sk_lab_content_read(&leecher->all->swarm->content, out->offset, ret_bytes, out->length);
    return 0;
}

/* ---- accounts ---- */

/* With the one that an event is about; its address is where a peer of the lab listens. */
static struct sk_lab_given *account(struct leecher *leecher, struct sk_lab_ledger *ledger,
                                    const struct skep_peer *peer)
{
    struct sk_lab_given *given = sk_lab_account(ledger, skep_peer_id(peer));
    struct sk_endpoint endpoint;
    if (!given || sk_endpoint_parse(skep_peer_address(peer), 0, &endpoint))
        return given;
    const struct sk_lab_peer *other = sk_lab_swarm_at(leecher->all->swarm, &endpoint);
    given->remote = other ? other->endpoint : endpoint;
    return given;
}

static void on_open(const struct skep_event *event, void *ctx)
{
    struct leecher *leecher = ctx;
    struct sk_lab_ledger *ledgers[] = {&leecher->peer->gave, &leecher->peer->took};
    leecher->peer->accepted++;
    for (size_t i = 0; i < SK_ARRAY_LEN(ledgers); i++) {
        struct sk_lab_given *given = account(leecher, ledgers[i], event->peer);
        if (given)
            given->connections++;
    }
}

static void count_block(struct sk_lab_given *given, uint64_t bytes)
{
    if (!given)
        return;
    given->bytes += bytes;
    given->blocks++;
}

static void on_sent(const struct skep_event *event, void *ctx)
{
    struct leecher *leecher = ctx;
    count_block(account(leecher, &leecher->peer->gave, event->peer), event->message.length);
}

static void on_block(const struct skep_event *event, void *ctx)
{
    struct leecher *leecher = ctx;
    count_block(account(leecher, &leecher->peer->took, event->peer), event->message.size);
}

static const struct sk_event_hook hooks[] = {
    {SKEP_EVENT_OPEN, on_open}, {SKEP_EVENT_SENT, on_sent}, {SKEP_EVENT_BLOCK, on_block}};

/* ---- the download ---- */

static void on_stored(uint32_t piece, void *ctx)
{
    struct leecher *leecher = ctx;
    sk_lab_peer_gained(leecher->peer, piece, lab_s(leecher, skep_runtime_now(leecher->runtime)));
}

/* What it begins with. */
static void on_ready(void *ctx)
{
    struct leecher *leecher = ctx;
    const struct sk_bitfield *have = &leecher->peer->have;
    struct sk_picker *picker = sk_downloader_picker(leecher->downloader);
    for (uint32_t piece = 0; piece < have->count; piece++) {
        if (!sk_bitfield_has(have, piece))
            continue;
        sk_picker_have(picker, piece);
        (void)skep_torrent_has_stored(leecher->torrent, piece);
    }
    sk_downloader_go(leecher->downloader, skep_runtime_now(leecher->runtime));
}

/* What it says to the tracker. */
static void on_report(struct sk_counters *progress, uint64_t now_ns, void *ctx)
{
    struct leecher *leecher = ctx;
    const struct sk_lab_peer *peer = leecher->peer;
    double at_s = peer->joined_s < 0 ? 0 : lab_s(leecher, now_ns) - peer->joined_s;
    struct sk_lab_counters told = {progress->uploaded, progress->downloaded, progress->left};
    told = sk_lab_lie(&leecher->liar, &peer->group->behaviour.trade.lies, peer->place, at_s,
                      leecher->all->swarm->content.torrent.size, &told);
    *progress = (struct sk_counters){told.uploaded, told.downloaded, told.left};
}

static bool wants_to_leave(const struct leecher *leecher, double at_s)
{
    const struct sk_lab_trade *trade = &leecher->peer->group->behaviour.trade;
    switch (trade->leave) {
    case SK_LAB_LEAVE_COMPLETE:
        return sk_bitfield_full(&leecher->peer->have);
    case SK_LAB_LEAVE_TIME:
        return at_s >= trade->leave_s;
    case SK_LAB_LEAVE_NEVER:
        break;
    }
    return false;
}

static void join_when_due(struct leecher *leecher, uint64_t now_ns)
{
    struct sk_lab_peer *peer = leecher->peer;
    double at_s = lab_s(leecher, now_ns);
    if (at_s < peer->join_s)
        return;
    leecher->state = JOINED;
    peer->presence = SK_LAB_HERE;
    peer->joined_s = at_s;
    (void)skep_torrent_start(leecher->torrent, now_ns); /* it is new */
}

static void leave_when_due(struct leecher *leecher, uint64_t now_ns)
{
    struct sk_lab_peer *peer = leecher->peer;
    double at_s = lab_s(leecher, now_ns);
    if (!wants_to_leave(leecher, at_s))
        return;
    leecher->state = GOING;
    peer->presence = SK_LAB_LEFT;
    peer->left_s = at_s;
    skep_torrent_stop(leecher->torrent, now_ns);
}

static void on_tick(struct skep_runtime *runtime, void *ctx)
{
    struct leecher *leecher = ctx;
    uint64_t now_ns = skep_runtime_now(runtime);
    switch (leecher->state) {
    case WAITS:
        join_when_due(leecher, now_ns);
        break;
    case JOINED:
        sk_downloader_tick(leecher->downloader, now_ns);
        leave_when_due(leecher, now_ns);
        break;
    case GOING:
        if (skep_torrent_stopped(leecher->torrent) ||
            lab_s(leecher, now_ns) >= leecher->peer->left_s + GOODBYE_S)
            leecher->state = GONE;
        break;
    case GONE:
        break;
    }
}

/* ---- life ---- */

static void end(struct leecher *leecher)
{
    sk_guest_deinit(&leecher->guest);
    skep_runtime_free(leecher->runtime);
    sk_downloads_free(leecher->downloads);
    leecher->runtime = NULL;
    leecher->downloads = NULL;
}

static void on_turned(void *ctx)
{
    struct leecher *leecher = ctx;
    if (leecher->state == GONE)
        end(leecher);
}

static int make_runtime(struct leecher *leecher, const char **ret_reason)
{
    static const enum skep_encryption encryptions[] = {
        [SK_LAB_ENCRYPTION_ANY] = SKEP_ENCRYPTION_ALLOW,
        [SK_LAB_ENCRYPTION_PLAIN] = SKEP_ENCRYPTION_OFF,
        [SK_LAB_ENCRYPTION_REQUIRED] = SKEP_ENCRYPTION_REQUIRE,
    };
    const struct sk_lab_peer *peer = leecher->peer;
    const struct sk_lab_behaviour *b = &peer->group->behaviour;
    const struct sk_runtime_store store = {write_piece, read_blocks, leecher};
    char address[SK_ENDPOINT_TEXT_MAX];
    const struct skep_config config = {
        .bind = sk_endpoint_ip_text(&peer->endpoint, address),
        .no_lsd = true,
        .no_dht = true,
        .no_pex = b->no_pex,
        .encryption = encryptions[b->encryption],
        .lasting = true,
        .rate_limit_bytes_s = (uint64_t)peer->down_bytes_s,
        .give = true,
        .give_limit_bytes_s = (uint64_t)peer->up_bytes_s,
        .super_seed = b->trade.super_seeds,
        .seed = sk_prng_u64(&leecher->all->swarm->prng) | 1,
    };
    return sk_runtime_new(&config, &store, &leecher->runtime, ret_reason);
}

static int make(struct leecher *leecher, uv_loop_t *loop, const char **ret_reason)
{
    struct sk_lab_peer *peer = leecher->peer;
    int err = make_runtime(leecher, ret_reason);
    if (err)
        return err;
    struct skep_engine *engine = skep_runtime_engine(leecher->runtime);
    peer->endpoint.port = skep_runtime_port(leecher->runtime);
    memcpy(peer->id, sk_engine_peer_id(engine), sizeof peer->id);
    err = sk_downloads_new(engine, &leecher->downloads);
    for (size_t i = 0; i < SK_ARRAY_LEN(hooks) && !err; i++)
        err = skep_engine_hook(engine, hooks[i].kind, hooks[i].fn, leecher);
    if (!err)
        err = sk_guest_init(&leecher->guest, loop, leecher->runtime, on_turned, leecher);
    return err;
}

int sk_lab_leechers_new(struct sk_lab_swarm *swarm, uv_loop_t *loop,
                        struct sk_lab_leechers **ret_leechers, const char **ret_reason)
{
    struct sk_lab_leechers *all =
        sk_mem_calloc(1, sizeof *all + swarm->traders * sizeof *all->list);
    int err = all ? 0 : SKEP_ERR_NOMEM;
    *ret_leechers = all;
    if (all)
        all->swarm = swarm;
    for (uint32_t i = 0; i < swarm->count && !err; i++) {
        if (!swarm->peers[i].group->behaviour.trades)
            continue;
        struct leecher *leecher = &all->list[all->count++];
        leecher->all = all;
        leecher->peer = &swarm->peers[i];
        err = make(leecher, loop, ret_reason);
    }
    return err;
}

static void set_habits(struct leecher *leecher)
{
    const struct sk_lab_trade *trade = &leecher->peer->group->behaviour.trade;
    if (trade->lies.kind)
        sk_engine_set_report(leecher->torrent, on_report, leecher);
    sk_engine_tell_after(leecher->torrent, isinf(trade->tell_after_s)
                                               ? SK_TIME_NEVER
                                               : (uint64_t)(trade->tell_after_s * 1e9));
}

int sk_lab_leechers_start(struct sk_lab_leechers *all, struct sk_bytes torrent)
{
    int err = 0;
    for (uint32_t i = 0; i < all->count && !err; i++) {
        struct leecher *leecher = &all->list[i];
        struct sk_downloader_config config = {.seed = sk_prng_u64(&all->swarm->prng),
                                              .stored = on_stored,
                                              .ready = on_ready,
                                              .ctx = leecher};
        err = skep_engine_add_file(skep_runtime_engine(leecher->runtime), torrent.p, torrent.n,
                                   &leecher->torrent, NULL);
        if (!err)
            err = sk_downloader_new(leecher->downloads, leecher->torrent, &config,
                                    &leecher->downloader);
        if (!err)
            set_habits(leecher);
        if (!err)
            err = skep_runtime_every(leecher->runtime, TICK_S, on_tick, leecher);
        if (!err)
            join_when_due(leecher, uv_hrtime());
        sk_guest_wake(&leecher->guest);
    }
    return err;
}

void sk_lab_leechers_end(struct sk_lab_leechers *all)
{
    for (uint32_t i = 0; all && i < all->count; i++)
        end(&all->list[i]);
}

void sk_lab_leechers_free(struct sk_lab_leechers *all)
{
    sk_mem_free(all);
}
