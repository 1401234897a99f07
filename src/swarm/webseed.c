#include "swarm/webseed.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/metainfo.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#define SECOND_NS UINT64_C(1000000000)

/* ---- addresses ---- */

/* Unreserved characters of RFC 3986 and the slash stand for themselves. */
static void put_escaped(struct sk_buf *buf, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c < 0x80 && isalnum(c)) || strchr("-._~/", c);
        (void)sk_buf_printf(buf, plain ? "%c" : "%%%02X", c);
    }
}

/* What somebody wrote: blanks, which many torrents have there, and nothing else is escaped. */
static void put_base(struct sk_buf *buf, const char *url, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)sk_buf_printf(buf, url[i] == ' ' ? "%%20" : "%c", url[i]);
}

bool sk_webseed_address(const char *url, const struct sk_metainfo *metainfo, uint32_t file,
                        char ret_address[SK_WEBSEED_URL_MAX])
{
    struct sk_buf buf = {
        .p = (uint8_t *)ret_address, .cap = SK_WEBSEED_URL_MAX - 1, .max = SK_WEBSEED_URL_MAX - 1};
    size_t n = strcspn(url, "#");
    bool folder = n > 0 && url[n - 1] == '/';
    put_base(&buf, url, n);
    if (!metainfo->single_file && !folder)
        (void)sk_buf_text(&buf, "/");
    if (!metainfo->single_file || folder)
        put_escaped(&buf, metainfo->name);
    if (!metainfo->single_file) {
        (void)sk_buf_text(&buf, "/");
        put_escaped(&buf, metainfo->files[file].path);
    }
    if (buf.failed)
        return false;
    ret_address[buf.n] = 0;
    return true;
}

static struct sk_webseed_moved *moved_of(struct sk_webseed *seed, uint32_t file)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(seed->moved); i++)
        if (seed->moved[i].url && seed->moved[i].file == file)
            return &seed->moved[i];
    return NULL;
}

/* Whether a redirect of the request's file was remembered, which is forgotten now. */
static bool forget_moved(struct sk_webseed *seed)
{
    struct sk_webseed_moved *moved = moved_of(seed, seed->file);
    if (!moved)
        return false;
    sk_mem_free(moved->url);
    moved->url = NULL;
    return true;
}

static void remember_moved(struct sk_webseed *seed, const struct sk_webseed_head *head)
{
    char *url = strlen(head->url) < SK_WEBSEED_URL_MAX ? sk_mem_strdup(head->url) : NULL;
    if (!url)
        return; /* it is redirected again next time */
    struct sk_webseed_moved *moved = moved_of(seed, seed->file);
    if (!moved)
        moved = &seed->moved[seed->moved_next++ % SK_WEBSEED_MOVED_MAX];
    sk_mem_free(moved->url);
    *moved = (struct sk_webseed_moved){.file = seed->file, .scope = head->scope, .url = url};
}

/* ---- life ---- */

int sk_webseed_init(struct sk_webseed *seed, const char *url, enum sk_scope scope)
{
    *seed = (struct sk_webseed){.scope = scope, .url = sk_mem_strdup(url)};
    return seed->url ? 0 : SKEP_ERR_NOMEM;
}

int sk_webseed_open(struct sk_webseed *seed, const struct sk_metainfo *metainfo)
{
    SK_ASSERT(!seed->metainfo);
    seed->block = sk_mem_alloc(SK_BLOCK_SIZE);
    if (!seed->block || sk_bitfield_init(&seed->have, metainfo->pieces))
        return SKEP_ERR_NOMEM;
    sk_bitfield_fill(&seed->have);
    seed->metainfo = metainfo;
    return 0;
}

void sk_webseed_deinit(struct sk_webseed *seed)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(seed->moved); i++)
        sk_mem_free(seed->moved[i].url);
    sk_bitfield_deinit(&seed->have);
    sk_mem_free(seed->block);
    sk_mem_free(seed->url);
}

bool sk_webseed_ready(const struct sk_webseed *seed, uint64_t now_ns)
{
    return seed->state == SK_WEBSEED_IDLE && seed->metainfo && now_ns >= seed->until_ns;
}

void sk_webseed_begin(struct sk_webseed *seed, uint64_t from, uint64_t to)
{
    SK_ASSERT(seed->state == SK_WEBSEED_IDLE && seed->metainfo && from < to);
    seed->state = SK_WEBSEED_RUNNING;
    seed->at = from;
    seed->end = to;
    seed->filled = 0;
    seed->request = SK_WEBSEED_NO_REQUEST;
}

void sk_webseed_stop(struct sk_webseed *seed)
{
    seed->request = SK_WEBSEED_NO_REQUEST;
    if (seed->state == SK_WEBSEED_RUNNING)
        seed->state = SK_WEBSEED_IDLE;
}

void sk_webseed_drop(struct sk_webseed *seed, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(seed->reason, sizeof seed->reason, format, args);
    va_end(args);
    seed->request = SK_WEBSEED_NO_REQUEST;
    seed->state = SK_WEBSEED_DROPPED;
}

/* ---- what fails ---- */

static void wait_for(struct sk_webseed *seed, uint64_t wait_ns, uint64_t now_ns)
{
    sk_webseed_stop(seed);
    seed->until_ns = now_ns + wait_ns;
}

static void back_off(struct sk_webseed *seed, uint32_t retry_after_s, uint64_t now_ns)
{
    uint64_t wait_ns =
        SK_MIN(SK_WEBSEED_WAIT_NS << SK_MIN(seed->failures, 7u), SK_WEBSEED_WAIT_MAX_NS);
    uint64_t asked_ns = SK_MIN(retry_after_s, (uint32_t)SK_WEBSEED_RETRY_AFTER_MAX_S) * SECOND_NS;
    seed->failures++;
    wait_for(seed, SK_MAX(wait_ns, asked_ns), now_ns);
}

void sk_webseed_fail(struct sk_webseed *seed, const char *reason, uint64_t now_ns)
{
    bool by_redirect = seed->request == SK_WEBSEED_ASKED && forget_moved(seed);
    snprintf(seed->reason, sizeof seed->reason, "%s", reason);
    if (by_redirect)
        wait_for(seed, 0, now_ns); /* the web seed itself may know better */
    else
        back_off(seed, 0, now_ns);
}

/* The request's file cannot be had here. */
__attribute__((format(printf, 3, 4))) static void
lose_file(struct sk_webseed *seed, uint64_t now_ns, const char *format, ...)
{
    const struct sk_file *file = &seed->metainfo->files[seed->file];
    uint32_t piece_size = seed->metainfo->piece_size;
    va_list args;
    va_start(args, format);
    vsnprintf(seed->reason, sizeof seed->reason, format, args);
    va_end(args);
    if (!forget_moved(seed)) {
        seed->lost_first = (uint32_t)(file->offset / piece_size);
        seed->lost_end = (uint32_t)((file->offset + file->length - 1) / piece_size) + 1;
    }
    if (++seed->losses > SK_WEBSEED_LOSSES_MAX)
        back_off(seed, 0, now_ns);
    else
        wait_for(seed, 0, now_ns);
}

/* ---- answers ---- */

/* Statuses that may be another one later. */
static bool is_passing(int status)
{
    return status >= 500 || status == 408 || status == 425 || status == 429 || status < 200 ||
           (status >= 300 && status < 400);
}

static bool refuse_status(struct sk_webseed *seed, const struct sk_webseed_head *head,
                          uint64_t now_ns)
{
    if (head->status == 416) {
        lose_file(seed, now_ns, "a file is shorter there than it should be");
    } else if (!is_passing(head->status)) {
        lose_file(seed, now_ns, "the server answers with status %d", head->status);
    } else {
        snprintf(seed->reason, sizeof seed->reason, "the server answers with status %d",
                 head->status);
        forget_moved(seed);
        back_off(seed, head->retry_after_s, now_ns);
    }
    return false;
}

bool sk_webseed_head(struct sk_webseed *seed, const struct sk_webseed_head *head, uint64_t now_ns)
{
    if (seed->state != SK_WEBSEED_RUNNING || seed->request != SK_WEBSEED_ASKED)
        return false;
    seed->answered = true;
    const struct sk_file *file = &seed->metainfo->files[seed->file];
    uint64_t from = seed->at - file->offset;
    bool range = head->status == 206;
    if (!range && head->status != 200)
        return refuse_status(seed, head, now_ns);
    uint64_t total = range ? head->total : head->length;
    if (total != SK_WEBSEED_UNKNOWN && total != file->length) {
        lose_file(seed, now_ns, "a file has %llu bytes there, not %llu", (unsigned long long)total,
                  (unsigned long long)file->length);
        return false;
    }
    if (range && head->first != from) {
        sk_webseed_fail(seed, "the server gives another range than was asked for", now_ns);
        return false;
    }
    if (!range) {
        seed->filled = from ? 0 : seed->filled;
        seed->at = file->offset;
        seed->request_end = file->offset + file->length;
    }
    if (head->moved)
        remember_moved(seed, head);
    seed->request = SK_WEBSEED_READING;
    return true;
}

void sk_webseed_ended(struct sk_webseed *seed, const char *error, uint64_t now_ns)
{
    if (seed->state != SK_WEBSEED_RUNNING || seed->request == SK_WEBSEED_NO_REQUEST)
        return;
    bool whole = seed->request == SK_WEBSEED_READING && seed->at == seed->request_end;
    if (!error && !whole)
        error = "the answer is shorter than it should be";
    if (error)
        sk_webseed_fail(seed, error, now_ns);
    else
        seed->request = SK_WEBSEED_NO_REQUEST;
}

/* ---- bytes to blocks ---- */

/* Takes up to n bytes (NULL: zeros) at seed->at. Returns how many; *ret_whole: a block is. */
static uint64_t put(struct sk_webseed *seed, const uint8_t *bytes, uint64_t n,
                    struct sk_webseed_out *ret_out, bool *ret_whole)
{
    uint32_t piece_size = seed->metainfo->piece_size;
    uint32_t piece = (uint32_t)(seed->at / piece_size), in = (uint32_t)(seed->at % piece_size);
    uint32_t length = sk_metainfo_piece_length(seed->metainfo, piece);
    *ret_whole = false;
    if (in >= length) { /* v2: a file ends within its last piece */
        n = SK_MIN(n, (uint64_t)(piece_size - in));
        seed->at += n;
        return n;
    }
    uint32_t done = in % SK_BLOCK_SIZE, begin = in - done;
    uint32_t size = SK_MIN((uint32_t)SK_BLOCK_SIZE, length - begin);
    n = SK_MIN(n, (uint64_t)(size - done));
    seed->at += n;
    if (done != seed->filled) /* of this block the beginning did not come */
        return n;
    ret_out->block = (struct sk_block){.piece = piece, .begin = begin, .length = size};
    seed->fetched = bytes || (done && seed->fetched);
    ret_out->padding = !seed->fetched;
    *ret_whole = done + n == size;
    if (bytes && n == size) {
        ret_out->data = bytes;
        return n;
    }
    if (bytes)
        memcpy(seed->block + done, bytes, n);
    else
        memset(seed->block + done, 0, n);
    seed->filled = *ret_whole ? 0 : done + (uint32_t)n;
    ret_out->data = seed->block;
    return n;
}

static bool has_bytes(const struct sk_file *file)
{
    return file->length && !(file->flags & (SK_FILE_PADDING | SK_FILE_SYMLINK));
}

/* The first file with bytes to fetch at seed->at or after it; files_count: none. */
static uint32_t find_file(const struct sk_webseed *seed)
{
    const struct sk_metainfo *metainfo = seed->metainfo;
    uint32_t low = 0, high = metainfo->files_count;
    while (low < high) { /* the first that ends after `at` */
        uint32_t middle = low + (high - low) / 2;
        const struct sk_file *file = &metainfo->files[middle];
        if (file->offset + file->length <= seed->at)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < metainfo->files_count && !has_bytes(&metainfo->files[low]))
        low++;
    return low;
}

static enum sk_webseed_want ask(struct sk_webseed *seed, uint32_t number, uint64_t now_ns,
                                struct sk_webseed_out *ret_out)
{
    const struct sk_file *file = &seed->metainfo->files[number];
    const struct sk_webseed_moved *moved = moved_of(seed, number);
    seed->file = number;
    seed->request = SK_WEBSEED_ASKED;
    seed->request_end = SK_MIN(seed->end, file->offset + file->length);
    ret_out->scope = moved ? moved->scope : seed->scope;
    ret_out->from = seed->at - file->offset;
    ret_out->length = seed->request_end - seed->at;
    ret_out->url = seed->address;
    if (moved)
        snprintf(seed->address, sizeof seed->address, "%s", moved->url);
    else if (!sk_webseed_address(seed->url, seed->metainfo, number, seed->address)) {
        lose_file(seed, now_ns, "the address of a file is too long");
        return SK_WEBSEED_OVER;
    }
    return SK_WEBSEED_GET;
}

enum sk_webseed_want sk_webseed_next(struct sk_webseed *seed, struct sk_bytes *input,
                                     uint64_t now_ns, struct sk_webseed_out *ret_out)
{
    bool whole = false;
    while (seed->state == SK_WEBSEED_RUNNING && !whole) {
        if (seed->request == SK_WEBSEED_ASKED)
            return SK_WEBSEED_NOTHING;
        if (seed->request == SK_WEBSEED_READING) {
            if (!input->n)
                return SK_WEBSEED_NOTHING;
            uint64_t n = SK_MIN((uint64_t)input->n, seed->request_end - seed->at);
            if (n == 0) {
                sk_webseed_fail(seed, "the answer is longer than it should be", now_ns);
                break;
            }
            n = put(seed, input->p, n, ret_out, &whole);
            *input = sk_bytes(input->p + n, input->n - n);
        } else if (seed->at >= seed->end) {
            seed->failures = seed->losses = 0;
            seed->reason[0] = 0;
            sk_webseed_stop(seed);
        } else {
            uint32_t file = find_file(seed);
            uint64_t next =
                file < seed->metainfo->files_count ? seed->metainfo->files[file].offset : seed->end;
            if (next <= seed->at)
                return ask(seed, file, now_ns, ret_out);
            put(seed, NULL, SK_MIN(next, seed->end) - seed->at, ret_out, &whole);
        }
    }
    return whole ? SK_WEBSEED_BLOCK : SK_WEBSEED_OVER;
}
