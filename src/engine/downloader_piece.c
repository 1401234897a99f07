#include "base/mem.h"
#include "engine/downloader_internal.h"

#include <string.h>

#define SPARE_BUFFERS_MAX 16 /* kept to be used again */
/* The hashes of a wrong piece's blocks are asked of so many, and waited for so long. */
#define LEAVES_ASKED_MAX 3
#define LEAVES_NS (5 * UINT64_C(1000000000))

/* ---- buffers ---- */

static void buffer_free(struct sk_download_buffer *buffer)
{
    if (!buffer)
        return;
    sk_mem_free(buffer->bytes);
    sk_mem_free(buffer->who);
    sk_mem_free(buffer);
}

static uint32_t blocks_of(const struct sk_download_buffer *buffer)
{
    return (buffer->length + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE;
}

static struct sk_download_buffer *buffer_new(const struct sk_downloader *downloader)
{
    uint32_t size = skep_torrent_piece_size(downloader->torrent);
    struct sk_download_buffer *buffer = sk_mem_calloc(1, sizeof *buffer);
    if (!buffer)
        return NULL;
    buffer->bytes = sk_mem_alloc(size);
    buffer->who = sk_mem_calloc(size / SK_BLOCK_SIZE + 1, sizeof *buffer->who);
    if (buffer->bytes && buffer->who)
        return buffer;
    buffer_free(buffer);
    return NULL;
}

static void buffer_put_back(struct sk_downloader *downloader, struct sk_download_buffer *buffer)
{
    if (downloader->spare_count >= SPARE_BUFFERS_MAX) {
        buffer_free(buffer);
        return;
    }
    buffer->next = downloader->spare;
    downloader->spare = buffer;
    downloader->spare_count++;
}

static struct sk_download_buffer *buffer_of(const struct sk_downloader *downloader, uint32_t piece)
{
    return sk_map_get(&downloader->buffers, &piece);
}

static void buffer_drop(struct sk_downloader *downloader, uint32_t piece)
{
    struct sk_download_buffer *buffer = sk_map_remove(&downloader->buffers, &piece);
    if (buffer)
        buffer_put_back(downloader, buffer);
}

/* The piece's buffer, begun where need be; NULL without memory. */
static struct sk_download_buffer *buffer_get(struct sk_downloader *downloader, uint32_t piece)
{
    struct sk_download_buffer *buffer = buffer_of(downloader, piece);
    if (buffer)
        return buffer;
    buffer = downloader->spare;
    if (buffer) {
        downloader->spare = buffer->next;
        downloader->spare_count--;
    } else {
        buffer = buffer_new(downloader);
    }
    if (!buffer)
        return NULL;
    buffer->downloader = downloader;
    buffer->state = SK_BUFFER_FILLING;
    buffer->piece = piece;
    buffer->length = skep_torrent_piece_length(downloader->torrent, piece);
    if (downloader->has_padding) { /* which nobody is asked for */
        memset(buffer->bytes, 0, buffer->length);
        for (uint32_t i = 0; i < blocks_of(buffer); i++)
            buffer->who[i] = SK_SUSPECTS_NOBODY;
    }
    if (!sk_map_put(&downloader->buffers, &piece, buffer))
        return buffer;
    buffer_put_back(downloader, buffer);
    return NULL;
}

/* ---- pieces ---- */

static void ban_left(struct sk_downloader *downloader, uint32_t serial)
{
    for (uint32_t i = 0; i < SK_DOWNLOADER_LEFT_MAX; i++) {
        struct sk_download_left *left = &downloader->left[i];
        if (left->serial != serial)
            continue;
        left->serial = 0;
        downloader->banned++;
        (void)skep_torrent_ban(downloader->torrent, left->address);
        return;
    }
}

/* Who gave a block that was wrong does not give us another, even if it has left meanwhile. */
static void judge(uint32_t serial, uint32_t piece, uint32_t right, uint32_t wrong, void *ctx)
{
    struct sk_downloader *downloader = ctx;
    if (!wrong)
        return;
    for (uint32_t i = 0; i < downloader->peers_capacity; i++) {
        struct sk_download_peer *peer = downloader->peers[i];
        if (!peer || peer->serial != serial || peer->banned)
            continue;
        peer->banned = true; /* of several blocks, once */
        downloader->banned++;
        skep_peer_ban(peer->peer);
        return;
    }
    if (!sk_downloader_web_judge(downloader, serial, piece))
        ban_left(downloader, serial);
}

/* It waits to be hashed and written, behind those that wait already. */
static void await_disk(struct sk_download_buffer *buffer)
{
    struct sk_downloads *downloads = buffer->downloader->downloads;
    buffer->state = SK_BUFFER_WHOLE;
    buffer->next = NULL;
    *downloads->whole_end = buffer;
    downloads->whole_end = &buffer->next;
}

void sk_downloader_feed_disk(struct sk_downloads *downloads)
{
    struct sk_download_buffer **at = &downloads->whole;
    int err = 0;
    while (*at && err != SKEP_ERR_LIMIT) {
        struct sk_download_buffer *buffer = *at;
        err = skep_torrent_keep(buffer->downloader->torrent, buffer->piece, buffer->bytes,
                                buffer->length);
        if (err) {
            at = &buffer->next;
            continue;
        }
        buffer->state = SK_BUFFER_LENT;
        *at = buffer->next;
        if (!*at)
            downloads->whole_end = at;
    }
}

static void give_up_piece(struct sk_downloader *downloader, struct sk_download_buffer *buffer)
{
    uint32_t piece = buffer->piece;
    downloader->wasted_bytes += buffer->length;
    sk_suspects_wrong(&downloader->suspects, piece, buffer->bytes, buffer->length, buffer->who,
                      judge, downloader);
    buffer_drop(downloader, piece);
    sk_picker_verified(downloader->picker, piece, false);
}

/* Of a wrong piece whose block hashes are known: the wrong blocks are asked for anew, the others
 * kept. False where none shows. */
static bool sift(struct sk_downloader *downloader, struct sk_download_buffer *buffer)
{
    bool any = false;
    for (uint32_t i = 0; i < blocks_of(buffer); i++) {
        uint32_t begin = i * SK_BLOCK_SIZE;
        uint32_t length = SK_MIN((uint32_t)SK_BLOCK_SIZE, buffer->length - begin);
        if (skep_torrent_verify_block(downloader->torrent, buffer->piece, begin,
                                      buffer->bytes + begin, length) != 0)
            continue;
        any = true;
        downloader->wasted_bytes += length;
        sk_picker_drop(downloader->picker, buffer->piece, begin);
        judge(buffer->who[i], buffer->piece, 0, 1, downloader);
    }
    if (any)
        buffer->state = SK_BUFFER_FILLING;
    return any;
}

static bool several_gave(const struct sk_download_buffer *buffer)
{
    uint32_t giver = SK_SUSPECTS_NOBODY;
    for (uint32_t i = 0; i < blocks_of(buffer); i++) {
        uint32_t who = buffer->who[i];
        if (who != SK_SUSPECTS_NOBODY && giver != SK_SUSPECTS_NOBODY && who != giver)
            return true;
        giver = who != SK_SUSPECTS_NOBODY ? who : giver;
    }
    return false;
}

/* Whether anybody was asked for the hashes of the piece's blocks. */
static bool ask_leaves(const struct sk_downloader *downloader, uint32_t piece)
{
    unsigned asked = 0;
    for (uint32_t i = 0; i < downloader->peers_capacity && asked < LEAVES_ASKED_MAX; i++) {
        const struct sk_download_peer *peer = downloader->peers[i];
        asked += peer && sk_bitfield_has(&peer->have, piece) &&
                 !skep_peer_request_leaves(peer->peer, piece);
    }
    return asked > 0;
}

static void piece_wrong(struct sk_downloader *downloader, struct sk_download_buffer *buffer,
                        uint64_t now_ns)
{
    bool several = several_gave(buffer);
    if (several && sift(downloader, buffer)) {
        sk_downloader_pump(downloader, now_ns);
    } else if (several && ask_leaves(downloader, buffer->piece)) {
        buffer->state = SK_BUFFER_DOUBTED;
        buffer->until_ns = now_ns + LEAVES_NS;
    } else {
        give_up_piece(downloader, buffer);
        sk_downloader_pump(downloader, now_ns);
    }
}

static void piece_right(struct sk_downloader *downloader, const struct sk_download_buffer *buffer,
                        uint64_t now_ns)
{
    uint32_t piece = buffer->piece;
    sk_suspects_right(&downloader->suspects, piece, buffer->bytes, buffer->length, judge,
                      downloader);
    buffer_drop(downloader, piece);
    sk_picker_verified(downloader->picker, piece, true);
    if (downloader->config.stored)
        downloader->config.stored(piece, downloader->config.ctx);
    if (sk_downloader_running(downloader) && sk_picker_done(downloader->picker)) {
        skep_torrent_completed(downloader->torrent);
        sk_downloader_review(downloader, now_ns);
    } else if (downloader->full) {
        sk_downloader_pump_room(downloader, now_ns);
    }
    sk_downloader_web_stored(downloader, now_ns);
}

void sk_downloader_stored(struct sk_downloader *downloader, const struct skep_event *event)
{
    struct sk_download_buffer *buffer = buffer_of(downloader, event->piece);
    if (!buffer || buffer->state != SK_BUFFER_LENT)
        return;
    switch (event->error) {
    case 0:
        piece_right(downloader, buffer, event->now_ns);
        break;
    case SKEP_ERR_MISMATCH:
        piece_wrong(downloader, buffer, event->now_ns);
        break;
    case SKEP_ERR_LIMIT:
    case SKEP_ERR_NOMEM: /* for now: it is tried again */
        await_disk(buffer);
        return;
    default:
        buffer_drop(downloader, event->piece);
        sk_picker_verified(downloader->picker, event->piece, false);
        sk_downloader_fail(downloader, event->error, event->now_ns);
        break;
    }
    sk_downloader_feed_disk(downloader->downloads);
}

void sk_downloader_end_doubts(struct sk_downloader *downloader, uint64_t now_ns)
{
    size_t pos = 0;
    struct sk_download_buffer *buffer;
    while ((buffer = sk_map_next(&downloader->buffers, &pos)))
        if (buffer->state == SK_BUFFER_DOUBTED && now_ns >= buffer->until_ns) {
            give_up_piece(downloader, buffer);
            return; /* the map changed: the next one has its turn at the next look */
        }
}

void sk_downloader_take(struct sk_downloader *downloader, uint32_t number, uint32_t serial,
                        const struct sk_block *block, const void *data)
{
    uint32_t others[SK_PICKER_ASKED_MAX];
    size_t count = 0;
    enum sk_picker_taken taken = sk_picker_take(downloader->picker, number, block, others, &count);
    for (size_t i = 0; i < count; i++)
        if (others[i] < SK_DOWNLOAD_WEB_NUMBER) /* a web seed's comes all the same */
            (void)skep_peer_cancel(downloader->peers[others[i]]->peer, block->piece, block->begin,
                                   block->length);
    struct sk_download_buffer *buffer =
        taken == SK_PICKER_UNWANTED ? NULL : buffer_get(downloader, block->piece);
    if (!buffer) {
        downloader->wasted_bytes += serial == SK_SUSPECTS_NOBODY ? 0 : block->length;
        if (taken != SK_PICKER_UNWANTED)
            sk_picker_drop(downloader->picker, block->piece, block->begin);
        return;
    }
    memcpy(buffer->bytes + block->begin, data, block->length);
    buffer->who[block->begin / SK_BLOCK_SIZE] = serial;
    if (taken == SK_PICKER_WHOLE) {
        await_disk(buffer);
        sk_downloader_feed_disk(downloader->downloads);
    }
}

void sk_downloader_leaves(struct sk_downloader *downloader, const struct skep_event *event)
{
    struct sk_download_buffer *buffer = buffer_of(downloader, event->piece);
    if (!buffer || buffer->state != SK_BUFFER_DOUBTED)
        return;
    if (!sift(downloader, buffer))
        give_up_piece(downloader, buffer);
    sk_downloader_pump(downloader, event->now_ns);
}

void sk_downloader_free_buffers(struct sk_downloader *downloader)
{
    size_t pos = 0;
    for (struct sk_download_buffer *buffer; (buffer = sk_map_next(&downloader->buffers, &pos));)
        buffer_free(buffer);
    sk_map_deinit(&downloader->buffers);
    while (downloader->spare) {
        struct sk_download_buffer *next = downloader->spare->next;
        buffer_free(downloader->spare);
        downloader->spare = next;
    }
}
