#include "base/mem.h"
#include "engine/downloader_internal.h"
#include "engine/engine.h"
#include "wire/metainfo.h"

#include <stdio.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define PICK_MAX 64                /* blocks asked for in one go */
#define SILENT_NS (20 * SECOND_NS) /* who owes us blocks for so long is not waited for */

/* ---- asking ---- */

bool sk_downloader_running(const struct sk_downloader *downloader)
{
    return downloader->state == SK_DOWNLOADER_RUNNING;
}

/* Asks for up to `max` blocks; how many. */
static size_t ask(struct sk_downloader *downloader, struct sk_download_peer *peer, size_t max,
                  uint64_t now_ns)
{
    struct sk_block blocks[PICK_MAX];
    bool choked = skep_peer_choked(peer->peer), full = false;
    if (choked && !peer->allowed.count)
        return 0;
    size_t count = sk_picker_pick(downloader->picker, peer->number, &peer->have,
                                  choked ? &peer->allowed : NULL, now_ns, blocks, max, &full);
    downloader->full |= full;
    for (size_t i = 0; i < count; i++)
        if (skep_peer_request(peer->peer, blocks[i].piece, blocks[i].begin, blocks[i].length)) {
            for (; i < count; i++)
                sk_picker_release(downloader->picker, peer->number, blocks[i].piece,
                                  blocks[i].begin);
            return 0;
        }
    return count;
}

static void pump(struct sk_downloader *downloader, struct sk_download_peer *peer, uint64_t now_ns)
{
    if (!sk_downloader_running(downloader) || !peer->interested || peer->silent)
        return;
    uint32_t pending = skep_peer_pending(peer->peer);
    uint32_t room = sk_pipeline_room(&peer->pipeline, pending, skep_peer_request_max(peer->peer));
    if (room && !pending)
        peer->heard_ns = now_ns;
    while (room) {
        uint32_t wanted = SK_MIN(room, (uint32_t)PICK_MAX);
        if (ask(downloader, peer, wanted, now_ns) < wanted)
            return;
        room -= wanted;
    }
}

/* Asks the next one in turn; all together are asked `peers_capacity` times. */
static void pump_next(struct sk_downloader *downloader, uint64_t now_ns)
{
    downloader->turn = (downloader->turn + 1) % downloader->peers_capacity;
    if (downloader->peers[downloader->turn])
        pump(downloader, downloader->peers[downloader->turn], now_ns);
}

void sk_downloader_pump(struct sk_downloader *downloader, uint64_t now_ns)
{
    downloader->full = false;
    for (uint32_t i = 0; i < downloader->peers_capacity; i++)
        pump_next(downloader, now_ns);
}

void sk_downloader_pump_room(struct sk_downloader *downloader, uint64_t now_ns)
{
    downloader->full = false;
    for (uint32_t i = 0; i < downloader->peers_capacity && !downloader->full; i++)
        pump_next(downloader, now_ns);
}

/* Whether it has anything for us: said where it changed. */
static void review(struct sk_downloader *downloader, struct sk_download_peer *peer)
{
    bool wants = sk_downloader_running(downloader) && peer->have.count &&
                 sk_picker_wants(downloader->picker, &peer->have);
    if (wants == peer->interested || skep_peer_interest(peer->peer, wants))
        return;
    peer->interested = wants;
}

void sk_downloader_review(struct sk_downloader *downloader, uint64_t now_ns)
{
    if (downloader->state == SK_DOWNLOADER_DONE && !sk_picker_done(downloader->picker))
        downloader->state = SK_DOWNLOADER_RUNNING;
    else if (sk_downloader_running(downloader) && sk_picker_done(downloader->picker))
        downloader->state = SK_DOWNLOADER_DONE;
    skep_torrent_set_upload_only(downloader->torrent, downloader->state == SK_DOWNLOADER_DONE);
    for (uint32_t i = 0; i < downloader->peers_capacity; i++)
        if (downloader->peers[i])
            review(downloader, downloader->peers[i]);
    sk_downloader_pump(downloader, now_ns);
    sk_downloader_web_pump(downloader, now_ns);
}

void sk_downloader_fail(struct sk_downloader *downloader, int error, uint64_t now_ns)
{
    downloader->state = SK_DOWNLOADER_FAILED;
    downloader->error = error;
    sk_downloader_review(downloader, now_ns); /* nobody keeps a slot for us */
}

/* ---- hooks ---- */

static struct sk_downloader *downloader_of(const struct sk_downloads *downloads,
                                           const struct skep_event *event)
{
    for (uint32_t i = 0; i < downloads->count; i++)
        if (downloads->list[i]->torrent == event->torrent)
            return downloads->list[i];
    return NULL;
}

static struct sk_download_peer *peer_of(const struct sk_downloads *downloads,
                                        const struct skep_event *event)
{
    return event->peer ? skep_peer_data(event->peer, downloads->slot) : NULL;
}

static bool find_place(struct sk_downloader *downloader, uint32_t *ret_number)
{
    uint32_t number = 0;
    while (number < downloader->peers_capacity && downloader->peers[number])
        number++;
    if (number == downloader->peers_capacity) {
        uint32_t capacity = downloader->peers_capacity ? downloader->peers_capacity * 2 : 32;
        struct sk_download_peer **peers =
            sk_mem_realloc(downloader->peers, capacity, sizeof *peers);
        if (!peers)
            return false;
        memset(peers + downloader->peers_capacity, 0,
               (capacity - downloader->peers_capacity) * sizeof *peers);
        downloader->peers = peers;
        downloader->peers_capacity = capacity;
    }
    *ret_number = number;
    return true;
}

static void on_open(const struct skep_event *event, void *ctx)
{
    struct sk_downloads *downloads = ctx;
    struct sk_downloader *downloader = downloader_of(downloads, event);
    uint32_t number;
    if (!downloader)
        return;
    struct sk_download_peer *peer = sk_mem_calloc(1, sizeof *peer);
    if (!peer || !find_place(downloader, &number)) {
        sk_mem_free(peer);
        return; /* it is served, and nothing is taken from it */
    }
    peer->downloader = downloader;
    peer->peer = event->peer;
    peer->number = number;
    peer->serial = ++downloader->serials;
    sk_pipeline_init(&peer->pipeline, event->now_ns);
    downloader->peers[number] = peer;
    skep_peer_set_data(event->peer, downloads->slot, peer);
}

static void forget_have(struct sk_downloader *downloader, struct sk_download_peer *peer)
{
    if (peer->have.count && downloader->picker)
        sk_picker_peer(downloader->picker, &peer->have, -1);
    sk_bitfield_deinit(&peer->have);
}

static void allow(struct sk_download_peer *peer, uint32_t piece)
{
    /* Without memory it is asked once it does not choke us any more. */
    if (piece < peer->have.count &&
        (peer->allowed.count || !sk_bitfield_init(&peer->allowed, peer->have.count)))
        sk_bitfield_add(&peer->allowed, piece);
}

/* Takes over what it has, as far as that is known: not before the metadata is. */
static void learn(struct sk_downloader *downloader, struct sk_download_peer *peer)
{
    size_t n = 0;
    const uint8_t *bits = skep_peer_bitfield(peer->peer, &n);
    if (!bits || !downloader->picker)
        return;
    forget_have(downloader, peer);
    if (sk_bitfield_init(&peer->have, skep_torrent_pieces(downloader->torrent)) ||
        sk_bitfield_assign(&peer->have, sk_bytes(bits, n))) {
        sk_bitfield_deinit(&peer->have);
        return;
    }
    sk_picker_peer(downloader->picker, &peer->have, 1);
    bool offers = skep_peer_offers(peer->peer);
    for (uint32_t piece = 0; offers && piece < peer->have.count; piece++)
        if (skep_peer_allowed_fast(peer->peer, piece))
            allow(peer, piece);
}

static void on_have_set(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    if (!peer)
        return;
    learn(peer->downloader, peer);
    review(peer->downloader, peer);
    pump(peer->downloader, peer, event->now_ns);
}

static void on_have(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    struct sk_downloader *downloader = peer ? peer->downloader : NULL;
    uint32_t piece = event->message.index;
    if (!peer || !downloader->picker || piece >= skep_torrent_pieces(downloader->torrent))
        return;
    if (!peer->have.count)
        learn(downloader, peer);
    else if (sk_bitfield_add(&peer->have, piece))
        sk_picker_peer_have(downloader->picker, piece, 1);
    if (skep_peer_allowed_fast(peer->peer, piece))
        allow(peer, piece);
    if (!peer->interested)
        review(downloader, peer);
    pump(downloader, peer, event->now_ns);
}

static void on_dont_have(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    struct sk_downloader *downloader = peer ? peer->downloader : NULL;
    if (peer && peer->have.count && sk_bitfield_has(&peer->have, event->message.index) &&
        sk_bitfield_drop(&peer->have, event->message.index))
        sk_picker_peer_have(downloader->picker, event->message.index, -1);
}

static void on_choke(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    if (peer) /* what was asked comes back as rejected, one by one */
        sk_pipeline_reset(&peer->pipeline, event->now_ns);
}

static void on_unchoke(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    if (!peer)
        return;
    peer->silent = false;
    pump(peer->downloader, peer, event->now_ns);
}

static void on_allowed_fast(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    if (!peer)
        return;
    allow(peer, event->message.index);
    pump(peer->downloader, peer, event->now_ns);
}

static void on_block(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    struct sk_downloader *downloader = peer ? peer->downloader : NULL;
    if (!peer || !downloader->picker)
        return;
    uint32_t length = (uint32_t)event->message.size;
    downloader->received_bytes += length;
    peer->heard_ns = event->now_ns;
    peer->silent = false;
    peer->gave = true;
    sk_pipeline_came(&peer->pipeline, length, event->rtt_ns, event->now_ns);
    struct sk_block block = {event->message.index, event->message.begin, length};
    sk_downloader_take(downloader, peer->number, peer->serial, &block, event->message.data);
    pump(downloader, peer, event->now_ns);
}

static void on_rejected(const struct skep_event *event, void *ctx)
{
    struct sk_download_peer *peer = peer_of(ctx, event);
    struct sk_downloader *downloader = peer ? peer->downloader : NULL;
    if (peer && downloader->picker)
        sk_picker_release(downloader->picker, peer->number, event->message.index,
                          event->message.begin);
}

/* It may yet turn out to have lied. */
static void note_left(struct sk_downloader *downloader, const struct sk_download_peer *peer)
{
    struct sk_download_left *left =
        &downloader->left[downloader->left_next++ % SK_DOWNLOADER_LEFT_MAX];
    left->serial = peer->serial;
    snprintf(left->address, sizeof left->address, "%s", skep_peer_address(peer->peer));
}

/* What was asked of it is free for others. Called by the engine where there was no memory to tell
 * of the end. */
static void forget_peer(void *data)
{
    struct sk_download_peer *peer = data;
    struct sk_downloader *downloader = peer->downloader;
    if (downloader->picker)
        sk_picker_leave(downloader->picker, peer->number);
    forget_have(downloader, peer);
    sk_bitfield_deinit(&peer->allowed);
    if (peer->gave && !peer->banned)
        note_left(downloader, peer);
    downloader->peers[peer->number] = NULL;
    downloader->again_ns = 0;
    sk_mem_free(peer);
}

static void on_closed(const struct skep_event *event, void *ctx)
{
    const struct sk_downloads *downloads = ctx;
    struct sk_download_peer *peer = peer_of(downloads, event);
    if (!peer)
        return;
    skep_peer_set_data(event->peer, downloads->slot, NULL);
    forget_peer(peer);
}

static void on_stored(const struct skep_event *event, void *ctx)
{
    struct sk_downloader *downloader = downloader_of(ctx, event);
    if (downloader)
        sk_downloader_stored(downloader, event);
}

static void on_leaves(const struct skep_event *event, void *ctx)
{
    struct sk_downloader *downloader = downloader_of(ctx, event);
    if (downloader)
        sk_downloader_leaves(downloader, event);
}

static bool has_padding(const struct sk_metainfo *metainfo)
{
    for (uint32_t i = 0; i < metainfo->files_count; i++)
        if (metainfo->files[i].flags & SK_FILE_PADDING)
            return true;
    return false;
}

static void on_metadata(const struct skep_event *event, void *ctx)
{
    struct sk_downloader *downloader = downloader_of(ctx, event);
    if (!downloader || downloader->picker)
        return;
    const struct sk_metainfo *metainfo = sk_engine_metainfo(downloader->torrent);
    struct sk_picker_config config = {
        .metainfo = metainfo,
        .partial_bytes_max = downloader->config.partial_bytes_max,
        .order = downloader->config.order,
        .seed = downloader->config.seed,
    };
    int err = sk_picker_new(&config, &downloader->picker);
    if (err) {
        sk_downloader_fail(downloader, err, event->now_ns);
        return;
    }
    downloader->has_padding = has_padding(metainfo);
    sk_downloader_web_open(downloader);
    downloader->state = SK_DOWNLOADER_READY;
    if (downloader->config.ready)
        downloader->config.ready(downloader->config.ctx);
    else
        sk_downloader_go(downloader, event->now_ns);
}

/* ---- life ---- */

static const struct sk_event_hook hooks[] = {
    {SKEP_EVENT_METADATA, on_metadata}, {SKEP_EVENT_OPEN, on_open},
    {SKEP_EVENT_HAVE_SET, on_have_set}, {SKEP_EVENT_BLOCK, on_block},
    {SKEP_EVENT_REJECTED, on_rejected}, {SKEP_EVENT_CLOSED, on_closed},
    {SKEP_EVENT_STORED, on_stored},     {SKEP_EVENT_LEAVES, on_leaves},
};

static const struct sk_message_hook message_hooks[] = {
    {SKEP_MESSAGE_HAVE, on_have},
    {SKEP_MESSAGE_DONT_HAVE, on_dont_have},
    {SKEP_MESSAGE_CHOKE, on_choke},
    {SKEP_MESSAGE_UNCHOKE, on_unchoke},
    {SKEP_MESSAGE_ALLOWED_FAST, on_allowed_fast},
};

int sk_downloads_new(struct skep_engine *engine, struct sk_downloads **ret_downloads)
{
    struct sk_downloads *downloads = sk_mem_calloc(1, sizeof *downloads);
    if (!downloads)
        return SKEP_ERR_NOMEM;
    downloads->engine = engine;
    downloads->whole_end = &downloads->whole;
    int err =
        sk_engine_hook_all(downloads->engine, hooks, SK_ARRAY_LEN(hooks), message_hooks,
                           SK_ARRAY_LEN(message_hooks), forget_peer, downloads, &downloads->slot);
    if (err) {
        sk_mem_free(downloads);
        return err;
    }
    *ret_downloads = downloads;
    return 0;
}

static void downloader_free(struct sk_downloader *downloader)
{
    for (uint32_t i = 0; i < downloader->peers_capacity; i++) {
        if (!downloader->peers[i])
            continue;
        sk_bitfield_deinit(&downloader->peers[i]->have);
        sk_bitfield_deinit(&downloader->peers[i]->allowed);
        sk_mem_free(downloader->peers[i]);
    }
    sk_mem_free(downloader->peers);
    sk_downloader_web_free(downloader);
    sk_downloader_free_buffers(downloader);
    sk_suspects_deinit(&downloader->suspects);
    sk_picker_free(downloader->picker);
    sk_mem_free(downloader);
}

void sk_downloads_free(struct sk_downloads *downloads)
{
    for (uint32_t i = 0; downloads && i < downloads->count; i++)
        downloader_free(downloads->list[i]);
    sk_mem_free(downloads);
}

int sk_downloader_new(struct sk_downloads *downloads, struct skep_torrent *torrent,
                      const struct sk_downloader_config *config,
                      struct sk_downloader **ret_downloader)
{
    if (downloads->count == SK_ARRAY_LEN(downloads->list))
        return SKEP_ERR_LIMIT;
    struct sk_downloader *downloader = sk_mem_calloc(1, sizeof *downloader);
    if (!downloader)
        return SKEP_ERR_NOMEM;
    downloader->downloads = downloads;
    downloader->torrent = torrent;
    downloader->config = *config;
    sk_suspects_init(&downloader->suspects);
    sk_map_init(&downloader->buffers, sizeof(uint32_t), SK_METAINFO_PIECES_MAX, config->seed);
    downloads->list[downloads->count++] = downloader;
    *ret_downloader = downloader;
    return 0;
}

void sk_downloader_go(struct sk_downloader *downloader, uint64_t now_ns)
{
    if (downloader->state != SK_DOWNLOADER_READY)
        return;
    downloader->state = SK_DOWNLOADER_RUNNING;
    sk_downloader_review(downloader, now_ns);
}

struct sk_picker *sk_downloader_picker(struct sk_downloader *downloader)
{
    return downloader->picker;
}

/* What it owes us may be had of others; what it sends after all is welcome. */
static void check_silence(struct sk_downloader *downloader, struct sk_download_peer *peer,
                          uint64_t now_ns)
{
    if (peer->silent || !skep_peer_pending(peer->peer) || now_ns - peer->heard_ns < SILENT_NS)
        return;
    peer->silent = true;
    sk_pipeline_reset(&peer->pipeline, now_ns);
    sk_picker_leave(downloader->picker, peer->number);
}

void sk_downloader_tick(struct sk_downloader *downloader, uint64_t now_ns)
{
    sk_downloader_feed_disk(downloader->downloads);
    sk_downloader_web_pump(downloader, now_ns);
    if (!sk_downloader_running(downloader) || now_ns < downloader->again_ns)
        return;
    downloader->again_ns = now_ns + SECOND_NS;
    for (uint32_t i = 0; i < downloader->peers_capacity; i++) {
        struct sk_download_peer *peer = downloader->peers[i];
        if (!peer)
            continue;
        /* Its HAVEs came before the metadata, or there was no memory for them. */
        if (!peer->have.count && skep_peer_have_count(peer->peer))
            learn(downloader, peer);
        check_silence(downloader, peer, now_ns);
        review(downloader, peer);
    }
    sk_downloader_end_doubts(downloader, now_ns);
    sk_downloader_pump(downloader, now_ns);
}

void sk_downloader_status(const struct sk_downloader *downloader,
                          struct sk_downloader_status *ret_status)
{
    *ret_status = (struct sk_downloader_status){
        .state = downloader->state,
        .error = downloader->error,
        .received_bytes = downloader->received_bytes,
        .wasted_bytes = downloader->wasted_bytes,
        .banned = downloader->banned,
    };
    if (downloader->picker)
        sk_picker_counts(downloader->picker, &ret_status->counts);
    for (uint32_t i = 0; i < downloader->webs_count; i++)
        ret_status->web_seeds += downloader->webs[i]->seed.state != SK_WEBSEED_DROPPED;
    for (uint32_t i = 0; i < downloader->peers_capacity; i++) {
        const struct sk_download_peer *peer = downloader->peers[i];
        if (!peer)
            continue;
        ret_status->peers++;
        ret_status->useful += peer->interested;
        ret_status->unchoked += peer->interested && !skep_peer_choked(peer->peer);
    }
}
