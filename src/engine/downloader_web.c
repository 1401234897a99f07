#include "base/mem.h"
#include "engine/downloader_internal.h"
#include "wire/metainfo.h"

#include <string.h>

#define BLOCKS_MAX 64 /* of a piece that others began, in one run */

static void go_on(struct sk_download_web *web, struct sk_bytes *bytes, uint64_t now_ns);

/* ---- what is asked ---- */

static uint64_t run_bytes(const struct sk_downloader *downloader)
{
    uint64_t memory = downloader->config.partial_bytes_max;
    memory = memory ? memory : SK_PICKER_BYTES_MAX;
    return SK_MIN(memory / 4 / SK_MIN(downloader->webs_count, (uint32_t)SK_WEBSEEDS_ACTIVE_MAX),
                  (uint64_t)SK_WEBSEED_RUN_BYTES_MAX);
}

/* A stretch of blocks that are left of pieces that were begun. */
static bool pick_blocks(struct sk_download_web *web, uint64_t now_ns, uint64_t *ret_from,
                        uint64_t *ret_to)
{
    struct sk_downloader *downloader = web->downloader;
    uint32_t piece_size = skep_torrent_piece_size(downloader->torrent);
    struct sk_block blocks[BLOCKS_MAX];
    bool full;
    size_t count = sk_picker_pick(downloader->picker, web->number, &web->seed.have, NULL, now_ns,
                                  blocks, BLOCKS_MAX, &full);
    if (!count)
        return false;
    *ret_from = (uint64_t)blocks[0].piece * piece_size + blocks[0].begin;
    *ret_to = *ret_from + blocks[0].length;
    size_t n = 1;
    for (; n < count && (uint64_t)blocks[n].piece * piece_size + blocks[n].begin == *ret_to; n++)
        *ret_to += blocks[n].length;
    for (; n < count; n++)
        sk_picker_release(downloader->picker, web->number, blocks[n].piece, blocks[n].begin);
    return true;
}

static bool pick(struct sk_download_web *web, uint64_t now_ns, uint64_t *ret_from, uint64_t *ret_to)
{
    struct sk_downloader *downloader = web->downloader;
    uint64_t piece_size = skep_torrent_piece_size(downloader->torrent);
    uint32_t first;
    bool full;
    uint32_t count = sk_picker_pick_run(downloader->picker, web->number, &web->seed.have,
                                        run_bytes(downloader), now_ns, &first, &full);
    downloader->webs_full |= full;
    if (!count)
        return pick_blocks(web, now_ns, ret_from, ret_to);
    uint32_t last = first + count - 1;
    *ret_from = first * piece_size;
    *ret_to = last * piece_size + skep_torrent_piece_length(downloader->torrent, last);
    return true;
}

/* ---- what becomes of it ---- */

/* What was asked of it, and did not come, is free for others. */
static void let_go(struct sk_download_web *web)
{
    if (web->get)
        sk_web_cancel(web->get);
    web->get = NULL;
    sk_webseed_stop(&web->seed);
    if (web->downloader->picker)
        sk_picker_leave(web->downloader->picker, web->number);
}

static void forget_have(struct sk_download_web *web)
{
    if (web->seed.have.count)
        sk_picker_peer(web->downloader->picker, &web->seed.have, -1);
    sk_bitfield_deinit(&web->seed.have);
}

/* Files that it turned out not to have. */
static void lose(struct sk_download_web *web)
{
    struct sk_webseed *seed = &web->seed;
    for (uint32_t piece = seed->lost_first; piece < seed->lost_end; piece++)
        if (sk_bitfield_has(&seed->have, piece)) {
            sk_bitfield_drop(&seed->have, piece);
            sk_picker_peer_have(web->downloader->picker, piece, -1);
        }
    bool any = seed->lost_first < seed->lost_end;
    seed->lost_first = seed->lost_end = 0;
    if (!any || seed->have.set)
        return;
    char reason[SK_WEBSEED_REASON_MAX];
    memcpy(reason, seed->reason, sizeof reason);
    sk_webseed_drop(seed, "%s", reason);
}

/* A run is over, well or not. */
static void end_run(struct sk_download_web *web)
{
    let_go(web);
    lose(web);
}

static void take(struct sk_download_web *web, const struct sk_webseed_out *out, uint64_t now_ns)
{
    struct sk_downloader *downloader = web->downloader;
    const struct sk_block *block = &out->block;
    /* Of a server without ranges the whole file comes: what of it can be used is. */
    if (block->begin == 0 && sk_bitfield_has(&web->seed.have, block->piece))
        (void)sk_picker_claim(downloader->picker, web->number, block->piece, now_ns);
    uint32_t bytes = out->padding ? 0 : block->length;
    web->received_bytes += bytes;
    downloader->received_bytes += bytes;
    sk_downloader_take(downloader, web->number, out->padding ? SK_SUSPECTS_NOBODY : web->serial,
                       block, out->data);
}

/* ---- answers ---- */

static void on_head(void *ctx, const struct sk_webseed_head *head, uint64_t now_ns)
{
    struct sk_download_web *web = ctx;
    if (!sk_webseed_head(&web->seed, head, now_ns))
        end_run(web);
}

/* Pieces that wait for the disk fill half of the memory: what comes beyond could not be used. */
static void hold(struct sk_download_web *web)
{
    const struct sk_downloader *downloader = web->downloader;
    struct sk_picker_counts counts;
    if (!web->get)
        return;
    sk_picker_counts(downloader->picker, &counts);
    uint64_t waiting = (uint64_t)counts.whole * skep_torrent_piece_size(downloader->torrent);
    bool behind = counts.whole > 1 && waiting > 2 * run_bytes(downloader);
    sk_web_hold(web->get, behind);
}

static void on_data(void *ctx, struct sk_bytes bytes, uint64_t now_ns)
{
    struct sk_download_web *web = ctx;
    go_on(web, &bytes, now_ns);
    hold(web);
}

static void on_done(void *ctx, const char *error, uint64_t now_ns)
{
    struct sk_download_web *web = ctx;
    struct sk_bytes none = {0};
    web->get = NULL;
    sk_webseed_ended(&web->seed, error, now_ns);
    go_on(web, &none, now_ns);
    sk_downloader_web_pump(web->downloader, now_ns);
}

static const struct sk_web_fns fns = {on_head, on_data, on_done};

/* Carries out what the web seed wants until it waits, or its run is over. */
static void go_on(struct sk_download_web *web, struct sk_bytes *bytes, uint64_t now_ns)
{
    struct sk_webseed_out out = {0};
    for (;;) {
        switch (sk_webseed_next(&web->seed, bytes, now_ns, &out)) {
        case SK_WEBSEED_NOTHING:
            return;
        case SK_WEBSEED_BLOCK:
            take(web, &out, now_ns);
            break;
        case SK_WEBSEED_GET:
            if (!sk_web_get(web->downloader->torrent, out.url, out.scope, out.from, out.length,
                            &fns, web, &web->get))
                return;
            sk_webseed_fail(&web->seed, "out of memory", now_ns);
            break;
        case SK_WEBSEED_OVER:
            end_run(web);
            return;
        }
    }
}

/* ---- from time to time ---- */

void sk_downloader_web_pump(struct sk_downloader *downloader, uint64_t now_ns)
{
    bool running = sk_downloader_running(downloader);
    uint32_t active = 0;
    downloader->webs_full = false;
    for (uint32_t i = 0; i < downloader->webs_count; i++) {
        struct sk_download_web *web = downloader->webs[i];
        if (web->seed.state == SK_WEBSEED_RUNNING && !running)
            let_go(web);
        else if (web->seed.state == SK_WEBSEED_RUNNING)
            hold(web);
        active += web->seed.state == SK_WEBSEED_RUNNING;
    }
    for (uint32_t i = 0; running && i < downloader->webs_count; i++) {
        struct sk_download_web *web = downloader->webs[i];
        struct sk_bytes none = {0};
        uint64_t from, to;
        if (active >= SK_WEBSEEDS_ACTIVE_MAX || !sk_webseed_ready(&web->seed, now_ns) ||
            !pick(web, now_ns, &from, &to))
            continue;
        sk_webseed_begin(&web->seed, from, to);
        go_on(web, &none, now_ns);
        active += web->seed.state == SK_WEBSEED_RUNNING;
    }
}

void sk_downloader_web_stored(struct sk_downloader *downloader, uint64_t now_ns)
{
    for (uint32_t i = 0; i < downloader->webs_count; i++)
        hold(downloader->webs[i]);
    if (downloader->webs_full)
        sk_downloader_web_pump(downloader, now_ns);
}

bool sk_downloader_web_judge(struct sk_downloader *downloader, uint32_t serial, uint32_t piece)
{
    for (uint32_t i = 0; i < downloader->webs_count; i++) {
        struct sk_download_web *web = downloader->webs[i];
        if (web->serial != serial)
            continue;
        if (web->seed.state != SK_WEBSEED_DROPPED) {
            let_go(web);
            forget_have(web);
            sk_webseed_drop(&web->seed, "it gave wrong data, in piece %u", piece);
        }
        return true;
    }
    return false;
}

/* ---- which ---- */

static int add(struct sk_downloader *downloader, const char *url, bool given)
{
    enum sk_scope scope;
    const char *wrong = sk_web_judge(url, given, &scope);
    if (wrong && given)
        return SKEP_ERR_INVALID;
    for (uint32_t i = 0; i < downloader->webs_count; i++)
        if (strcmp(downloader->webs[i]->seed.url, url) == 0)
            return 0;
    if (downloader->webs_count == SK_WEBSEEDS_MAX)
        return SKEP_ERR_LIMIT;
    struct sk_download_web *web = sk_mem_calloc(1, sizeof *web);
    if (!web || sk_webseed_init(&web->seed, url, scope)) {
        sk_mem_free(web);
        return SKEP_ERR_NOMEM;
    }
    web->downloader = downloader;
    web->number = SK_DOWNLOAD_WEB_NUMBER + downloader->webs_count;
    web->serial = ++downloader->serials;
    if (wrong)
        sk_webseed_drop(&web->seed, "%s", wrong);
    downloader->webs[downloader->webs_count++] = web;
    return 0;
}

int sk_downloader_add_web_seed(struct sk_downloader *downloader, const char *url)
{
    return add(downloader, url, true);
}

void sk_downloader_web_open(struct sk_downloader *downloader)
{
    const char *url;
    for (size_t i = 0;
         !downloader->config.no_web_seeds && (url = sk_web_seed_of(downloader->torrent, i)); i++)
        (void)add(downloader, url, false); /* others are enough */
    for (uint32_t i = 0; i < downloader->webs_count; i++) {
        struct sk_download_web *web = downloader->webs[i];
        if (web->seed.state == SK_WEBSEED_DROPPED)
            continue;
        if (sk_webseed_open(&web->seed, sk_engine_metainfo(downloader->torrent)))
            sk_webseed_drop(&web->seed, "out of memory");
        else
            sk_picker_peer(downloader->picker, &web->seed.have, 1);
    }
}

bool sk_downloader_web_seed(const struct sk_downloader *downloader, size_t i, uint64_t now_ns,
                            struct sk_downloader_web_seed *ret_seed)
{
    if (i >= downloader->webs_count)
        return false;
    const struct sk_download_web *web = downloader->webs[i];
    const struct sk_webseed *seed = &web->seed;
    *ret_seed = (struct sk_downloader_web_seed){
        .url = seed->url,
        .state = seed->state == SK_WEBSEED_DROPPED   ? "dropped"
                 : seed->state == SK_WEBSEED_RUNNING ? "active"
                 : now_ns < seed->until_ns           ? "waiting"
                                                     : "idle",
        .reason = seed->reason[0] ? seed->reason : NULL,
        .received_bytes = web->received_bytes,
        .answered = seed->answered,
        .has_any = seed->state != SK_WEBSEED_DROPPED && seed->have.set,
    };
    return true;
}

void sk_downloader_web_free(struct sk_downloader *downloader)
{
    for (uint32_t i = 0; i < downloader->webs_count; i++) {
        sk_webseed_deinit(&downloader->webs[i]->seed);
        sk_mem_free(downloader->webs[i]);
    }
}
