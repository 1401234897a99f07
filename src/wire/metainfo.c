#include "wire/metainfo.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/merkle.h"
#include "wire/metainfo_build.h"

#define CHUNK_MIN 2048u
#define CHUNK_MAX (64u << 10)

int sk_metainfo_fail(struct sk_metainfo_own *own, int err, const char *reason)
{
    own->reason = reason;
    return err;
}

void *sk_metainfo_alloc(struct sk_metainfo_own *own, size_t size, size_t alignment)
{
    struct sk_metainfo_chunk *chunk = own->chunks;
    size_t at = chunk ? (chunk->used + alignment - 1) / alignment * alignment : 0;
    if (!chunk || size > chunk->size - SK_MIN(at, chunk->size)) {
        size_t room = chunk ? SK_MIN(chunk->size * 2, (size_t)CHUNK_MAX) : CHUNK_MIN;
        room = SK_MAX(room, size);
        chunk = sk_mem_alloc(sizeof *chunk + room);
        if (!chunk) {
            own->reason = "out of memory";
            return NULL;
        }
        chunk->next = own->chunks;
        chunk->size = room;
        own->chunks = chunk;
        at = 0;
    }
    chunk->used = at + size;
    return chunk->bytes + at;
}

char *sk_metainfo_text(struct sk_metainfo_own *own, struct sk_bytes text)
{
    size_t n = text.n ? strnlen((const char *)text.p, text.n) : 0;
    char *copy = sk_metainfo_alloc(own, n + 1, 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, text.p, n);
    copy[n] = 0;
    return copy;
}

int sk_metainfo_collect(struct sk_metainfo_own *own, const struct sk_bencode *dict,
                        const struct sk_metainfo_field *fields, size_t count)
{
    if (dict->type != SK_BENCODE_DICT)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "something is not a dictionary");
    struct sk_bencode_iter iter = sk_bencode_iter(dict);
    struct sk_bencode value;
    struct sk_bytes key;
    while (sk_bencode_next(&iter, &key, &value)) {
        size_t i = 0;
        while (i < count && !sk_bytes_is(key, fields[i].key))
            i++;
        if (i == count)
            continue;
        if (fields[i].value->type != SK_BENCODE_NONE)
            return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "a dictionary has a key twice");
        *fields[i].value = value;
    }
    return 0;
}

static int grow_files(struct sk_metainfo_own *own)
{
    uint32_t capacity = own->files_capacity ? own->files_capacity * 2 : 4;
    struct sk_file *files = sk_mem_realloc(own->files, capacity, sizeof *files);
    if (!files)
        return sk_metainfo_fail(own, SKEP_ERR_NOMEM, "out of memory");
    own->files = files;
    own->files_capacity = capacity;
    return 0;
}

int sk_metainfo_add_file(struct sk_metainfo_own *own, const struct sk_metainfo_path *path,
                         uint64_t length, uint32_t flags, struct sk_file **ret_file)
{
    struct sk_metainfo *m = &own->public;
    uint64_t span;
    if (m->files_count == SK_METAINFO_FILES_MAX)
        return sk_metainfo_fail(own, SKEP_ERR_LIMIT, "too many files");
    if (__builtin_add_overflow(m->span, length, &span) ||
        span > (uint64_t)SK_METAINFO_PIECES_MAX * m->piece_size)
        return sk_metainfo_fail(own, SKEP_ERR_LIMIT, "too many pieces");
    if (m->files_count == own->files_capacity) {
        int err = grow_files(own);
        if (err)
            return err;
    }
    const char *text = sk_metainfo_text(own, sk_bytes(path->text, path->n));
    if (!text)
        return SKEP_ERR_NOMEM;
    struct sk_file *file = &own->files[m->files_count++];
    *file = (struct sk_file){
        .path = text,
        .length = length,
        .offset = m->span,
        .flags = flags,
        .first_piece = length ? (uint32_t)(m->span / m->piece_size) : 0,
    };
    m->files = own->files;
    m->span = span;
    if (!(flags & SK_FILE_PADDING))
        m->size += length;
    *ret_file = file;
    return 0;
}

uint32_t sk_metainfo_attributes(const struct sk_bencode *attr)
{
    static const struct {
        char letter;
        uint32_t flag;
    } known[] = {
        {'p', SK_FILE_PADDING},
        {'x', SK_FILE_EXECUTABLE},
        {'h', SK_FILE_HIDDEN},
        {'l', SK_FILE_SYMLINK},
    };
    uint32_t flags = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(known); i++)
        if (attr->string.n && memchr(attr->string.p, known[i].letter, attr->string.n))
            flags |= known[i].flag;
    return flags;
}

/* Addresses of trackers and web seeds while they are read. */
struct urls {
    const char **items;
    uint32_t *tiers; /* NULL where there are none */
    uint32_t count;
    uint32_t tried; /* how many were looked at: repeated ones cost time too */
};

/* Takes an address that can be one; others are passed over, as are those that come again. */
static int add_url(struct sk_metainfo_own *own, struct urls *urls, struct sk_bytes url,
                   uint32_t tier)
{
    if (url.n == 0 || url.n > SK_METAINFO_URL_MAX || urls->count == SK_METAINFO_TRACKERS_MAX ||
        urls->tried++ >= 10 * SK_METAINFO_TRACKERS_MAX)
        return 0;
    for (size_t i = 0; i < url.n; i++)
        if (url.p[i] <= ' ' || url.p[i] == 0x7f)
            return 0;
    for (uint32_t i = 0; i < urls->count; i++)
        if (sk_bytes_is(url, urls->items[i]))
            return 0;
    if (!urls->items) {
        urls->items = sk_metainfo_alloc(own, SK_METAINFO_TRACKERS_MAX * sizeof *urls->items,
                                        alignof(const char *));
        if (!urls->items)
            return SKEP_ERR_NOMEM;
    }
    const char *text = sk_metainfo_text(own, url);
    if (!text)
        return SKEP_ERR_NOMEM;
    if (urls->tiers)
        urls->tiers[urls->count] = tier;
    urls->items[urls->count++] = text;
    return 0;
}

/* All strings of a list; or the value itself, where it is a string. */
static int add_urls(struct sk_metainfo_own *own, struct urls *urls, const struct sk_bencode *value,
                    uint32_t tier)
{
    if (value->type == SK_BENCODE_STRING)
        return add_url(own, urls, value->string, tier);
    if (value->type != SK_BENCODE_LIST)
        return 0;
    struct sk_bencode_iter iter = sk_bencode_iter(value);
    struct sk_bencode item;
    int err = 0;
    while (!err && urls->count < SK_METAINFO_TRACKERS_MAX && sk_bencode_next(&iter, NULL, &item))
        err = add_url(own, urls, item.string, tier);
    return err;
}

/* BEP 12: the list, where it has anything, stands instead of the single address. */
static int read_trackers(struct sk_metainfo_own *own, const struct sk_bencode *announce,
                         const struct sk_bencode *announce_list)
{
    if (announce->type == SK_BENCODE_NONE && announce_list->type == SK_BENCODE_NONE)
        return 0;
    struct urls urls = {0};
    urls.tiers =
        sk_metainfo_alloc(own, SK_METAINFO_TRACKERS_MAX * sizeof *urls.tiers, alignof(uint32_t));
    int err = urls.tiers ? 0 : SKEP_ERR_NOMEM;
    if (announce_list->type == SK_BENCODE_LIST) {
        struct sk_bencode_iter iter = sk_bencode_iter(announce_list);
        struct sk_bencode tier;
        uint32_t number = 0;
        while (!err && urls.count < SK_METAINFO_TRACKERS_MAX &&
               sk_bencode_next(&iter, NULL, &tier)) {
            uint32_t before = urls.count;
            err = add_urls(own, &urls, &tier, number);
            number += urls.count > before;
        }
    }
    if (!err && urls.count == 0)
        err = add_url(own, &urls, announce->string, 0);
    own->public.trackers = urls.items;
    own->public.tiers = urls.tiers;
    own->public.trackers_count = urls.count;
    return err;
}

static int read_web_seeds(struct sk_metainfo_own *own, const struct sk_bencode *url_list)
{
    struct urls urls = {0};
    int err = add_urls(own, &urls, url_list, 0);
    own->public.web_seeds = urls.items;
    own->public.web_seeds_count = urls.count;
    return err;
}

/* BEP 5: a list of [host, port]. */
static int read_nodes(struct sk_metainfo_own *own, const struct sk_bencode *nodes)
{
    struct urls urls = {0};
    struct sk_bencode_iter iter = sk_bencode_iter(nodes);
    struct sk_bencode node, host, port;
    int err = 0;
    while (!err && nodes->type == SK_BENCODE_LIST && urls.count < SK_METAINFO_TRACKERS_MAX &&
           sk_bencode_next(&iter, NULL, &node)) {
        struct sk_bencode_iter pair = sk_bencode_iter(&node);
        if (node.type != SK_BENCODE_LIST || !sk_bencode_next(&pair, NULL, &host) ||
            !sk_bencode_next(&pair, NULL, &port) || host.string.n == 0 || host.string.n > 255 ||
            port.type != SK_BENCODE_INT || port.integer < 1 || port.integer > UINT16_MAX)
            continue;
        uint8_t bytes[255 + 16];
        struct sk_buf text = {.p = bytes, .cap = sizeof bytes, .max = sizeof bytes};
        bool v6 = memchr(host.string.p, ':', host.string.n) && host.string.p[0] != '[';
        sk_buf_text(&text, v6 ? "[" : "");
        sk_buf_append(&text, host.string.p, host.string.n);
        sk_buf_printf(&text, v6 ? "]:%d" : ":%d", (int)port.integer);
        err = add_url(own, &urls, sk_buf_bytes(&text), 0);
    }
    own->public.nodes = urls.items;
    own->public.nodes_count = urls.count;
    return err;
}

/* The torrent's name, or where it is empty its info-hash. */
static int read_name(struct sk_metainfo_own *own, const struct sk_metainfo_fields *fields)
{
    const struct sk_bencode *value =
        fields->name_utf8.type == SK_BENCODE_STRING ? &fields->name_utf8 : &fields->name;
    if (value->type != SK_BENCODE_STRING)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "the info dictionary has no name");
    struct sk_bytes name = value->string;
    char hex[2 * SK_SHA1_SIZE + 1];
    if (name.n == 0) {
        sk_hex_encode(own->public.info_hash, SK_SHA1_SIZE, hex);
        name = sk_bytes_text(hex);
    }
    struct sk_metainfo_path path;
    path.n = 0;
    int err = sk_metainfo_path_push(&path, name);
    SK_ASSERT(!err); /* one element always fits */
    own->public.name = sk_metainfo_text(own, sk_bytes(path.text, path.n));
    return own->public.name ? 0 : SKEP_ERR_NOMEM;
}

static int read_piece_size(struct sk_metainfo_own *own, const struct sk_bencode *value)
{
    if (value->type != SK_BENCODE_INT || value->integer <= 0)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "the piece length is not above zero");
    if (value->integer > SK_METAINFO_PIECE_SIZE_MAX)
        return sk_metainfo_fail(own, SKEP_ERR_LIMIT, "the piece length is too large");
    own->public.piece_size = (uint32_t)value->integer;
    return 0;
}

/* Which kinds of torrent it is, and its hashes. BEP 52: the version is looked at first. */
static int read_kind(struct sk_metainfo_own *own, const struct sk_metainfo_fields *fields)
{
    struct sk_metainfo *m = &own->public;
    const struct sk_bencode *version = &fields->meta_version;
    if (version->type == SK_BENCODE_INT && version->integer > 2)
        return sk_metainfo_fail(own, SKEP_ERR_UNSUPPORTED, "the meta version is above 2");
    m->has_v2 = version->type == SK_BENCODE_INT && version->integer == 2;
    m->has_v1 = !m->has_v2 || fields->pieces.type != SK_BENCODE_NONE;
    if (m->has_v2)
        sk_sha256(m->info.p, m->info.n, m->hash_v2);
    if (m->has_v1)
        sk_sha1(m->info.p, m->info.n, m->hash_v1);
    memcpy(m->info_hash, m->has_v1 ? m->hash_v1 : m->hash_v2, SK_SHA1_SIZE);
    return 0;
}

static int read_info(struct sk_metainfo_own *own, const struct sk_bencode *info)
{
    struct sk_metainfo *m = &own->public;
    struct sk_metainfo_fields f = {0};
    const struct sk_metainfo_field fields[] = {
        {"name", &f.name},          {"name.utf-8", &f.name_utf8}, {"piece length", &f.piece_length},
        {"pieces", &f.pieces},      {"length", &f.length},        {"attr", &f.attr},
        {"files", &f.files},        {"file tree", &f.file_tree},  {"meta version", &f.meta_version},
        {"private", &f.is_private},
    };
    if (info->type != SK_BENCODE_DICT)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "there is no info dictionary");
    m->info = info->raw;
    int err = sk_metainfo_collect(own, info, fields, SK_ARRAY_LEN(fields));
    if (!err)
        err = read_kind(own, &f);
    if (!err)
        err = read_name(own, &f);
    if (!err)
        err = read_piece_size(own, &f.piece_length);
    if (!err && m->has_v1)
        err = sk_metainfo_read_v1(own, &f);
    if (!err && m->has_v2)
        err = sk_metainfo_read_v2(own, &f);
    if (!err && m->size == 0)
        err = sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "the torrent holds no data");
    if (!err)
        err = sk_metainfo_tell_apart(own);
    m->is_private = f.is_private.type == SK_BENCODE_INT && f.is_private.integer == 1;
    return err;
}

/* A text that may be absent, with its variant that says it is UTF-8 going first. */
static int read_text(struct sk_metainfo_own *own, const struct sk_bencode *value,
                     const char **ret_text)
{
    if (value->type != SK_BENCODE_STRING)
        return 0;
    *ret_text = sk_metainfo_text(own, value->string);
    return *ret_text ? 0 : SKEP_ERR_NOMEM;
}

static int read_torrent(struct sk_metainfo_own *own, const struct sk_bencode *root)
{
    struct sk_metainfo *m = &own->public;
    struct sk_bencode info = {0}, announce = {0}, announce_list = {0}, url_list = {0}, nodes = {0},
                      comment = {0}, comment_utf8 = {0}, created_by = {0}, created = {0},
                      layers = {0};
    const struct sk_metainfo_field fields[] = {
        {"info", &info},
        {"announce", &announce},
        {"announce-list", &announce_list},
        {"url-list", &url_list},
        {"nodes", &nodes},
        {"comment", &comment},
        {"comment.utf-8", &comment_utf8},
        {"created by", &created_by},
        {"creation date", &created},
        {"piece layers", &layers},
    };
    int err = sk_metainfo_collect(own, root, fields, SK_ARRAY_LEN(fields));
    if (!err)
        err = read_info(own, &info);
    if (!err && m->has_v2)
        err = sk_metainfo_read_layers(own, &layers);
    if (!err)
        err = read_trackers(own, &announce, &announce_list);
    if (!err)
        err = read_web_seeds(own, &url_list);
    if (!err)
        err = read_nodes(own, &nodes);
    if (!err)
        err = read_text(own, comment_utf8.type ? &comment_utf8 : &comment, &m->comment);
    if (!err)
        err = read_text(own, &created_by, &m->created_by);
    m->created_s = created.type == SK_BENCODE_INT ? created.integer : 0;
    return err;
}

static const char *syntax_reason(int err)
{
    return err == SKEP_ERR_TRUNCATED ? "it ends too early"
           : err == SKEP_ERR_LIMIT   ? "it is nested too deeply"
                                     : "it is not bencoded";
}

static int parse(struct sk_bytes input, size_t max,
                 int (*read)(struct sk_metainfo_own *own, const struct sk_bencode *root),
                 struct sk_metainfo **ret_metainfo, const char **ret_reason)
{
    const char *ignored;
    if (!ret_reason)
        ret_reason = &ignored;
    struct sk_bencode root;
    if (input.n > max) {
        *ret_reason = "it is too large";
        return SKEP_ERR_LIMIT;
    }
    struct sk_metainfo_own *own = sk_mem_calloc(1, sizeof *own);
    if (!own || !(own->input = sk_mem_dup(input.p, input.n))) {
        sk_mem_free(own);
        *ret_reason = "out of memory";
        return SKEP_ERR_NOMEM;
    }
    /* Torrents whose keys are out of order are about; the hash is taken over the bytes as they
     * stand, and keys that come twice are found by sk_metainfo_collect(). */
    int err = sk_bencode_parse(sk_bytes(own->input, input.n), SK_BENCODE_UNSORTED, &root, NULL);
    if (err) {
        own->reason = syntax_reason(err);
        err = err == SKEP_ERR_TRUNCATED ? SKEP_ERR_MALFORMED : err;
    } else {
        err = read(own, &root);
    }
    if (err) {
        *ret_reason = own->reason;
        sk_metainfo_free(&own->public);
        return err;
    }
    *ret_metainfo = &own->public;
    return 0;
}

int sk_metainfo_parse(struct sk_bytes torrent, struct sk_metainfo **ret_metainfo,
                      const char **ret_reason)
{
    return parse(torrent, SK_METAINFO_BYTES_MAX, read_torrent, ret_metainfo, ret_reason);
}

int sk_metainfo_parse_info(struct sk_bytes info, struct sk_metainfo **ret_metainfo,
                           const char **ret_reason)
{
    return parse(info, SK_METADATA_BYTES_MAX, read_info, ret_metainfo, ret_reason);
}

void sk_metainfo_free(struct sk_metainfo *metainfo)
{
    if (!metainfo)
        return;
    struct sk_metainfo_own *own = (struct sk_metainfo_own *)metainfo;
    while (own->chunks) {
        struct sk_metainfo_chunk *chunk = own->chunks;
        own->chunks = chunk->next;
        sk_mem_free(chunk);
    }
    sk_mem_free(own->files);
    sk_mem_free(own->input);
    sk_mem_free(own);
}

uint32_t sk_metainfo_piece_file(const struct sk_metainfo *metainfo, uint32_t piece)
{
    SK_ASSERT(piece < metainfo->pieces);
    uint64_t start = (uint64_t)piece * metainfo->piece_size;
    /* The first file that ends after it: ends ascend. */
    uint32_t low = 0, high = metainfo->files_count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct sk_file *file = &metainfo->files[middle];
        if (file->offset + file->length > start)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

uint32_t sk_metainfo_piece_length(const struct sk_metainfo *metainfo, uint32_t piece)
{
    SK_ASSERT(piece < metainfo->pieces);
    uint64_t start = (uint64_t)piece * metainfo->piece_size;
    uint64_t end = metainfo->span;
    if (!metainfo->has_v1) {
        const struct sk_file *file = &metainfo->files[sk_metainfo_piece_file(metainfo, piece)];
        end = file->offset + file->length;
    }
    return (uint32_t)SK_MIN(end - start, (uint64_t)metainfo->piece_size);
}

uint32_t sk_metainfo_piece_data(const struct sk_metainfo *metainfo, uint32_t piece)
{
    uint64_t start = (uint64_t)piece * metainfo->piece_size, bytes = 0;
    uint64_t end = start + sk_metainfo_piece_length(metainfo, piece);
    for (uint32_t i = sk_metainfo_piece_file(metainfo, piece); i < metainfo->files_count; i++) {
        const struct sk_file *file = &metainfo->files[i];
        if (file->offset >= end)
            break;
        uint64_t from = SK_MAX(file->offset, start), to = SK_MIN(file->offset + file->length, end);
        if (!(file->flags & SK_FILE_PADDING) && from < to)
            bytes += to - from;
    }
    return (uint32_t)bytes;
}

const uint8_t *sk_metainfo_piece_root(const struct sk_metainfo *metainfo, uint32_t piece)
{
    const struct sk_file *file = &metainfo->files[sk_metainfo_piece_file(metainfo, piece)];
    if (file->length <= metainfo->piece_size)
        return file->root;
    size_t at = (size_t)(piece - file->first_piece) * SK_SHA256_SIZE;
    return at < file->layer.n ? file->layer.p + at : NULL;
}

static int verify_v2(const struct sk_metainfo *metainfo, uint32_t piece, struct sk_bytes data)
{
    const struct sk_file *file = &metainfo->files[sk_metainfo_piece_file(metainfo, piece)];
    const uint8_t *expected = sk_metainfo_piece_root(metainfo, piece);
    uint8_t root[SK_SHA256_SIZE];
    if (!expected)
        return SKEP_ERR_NOT_FOUND;
    uint64_t covered = SK_MIN(file->length, (uint64_t)metainfo->piece_size);
    size_t leaves = sk_merkle_width((size_t)((covered + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE));
    int err = sk_merkle_root_of_data(data, leaves, root);
    return err ? err : memcmp(root, expected, sizeof root) == 0;
}

int sk_metainfo_verify_piece(const struct sk_metainfo *metainfo, uint32_t piece,
                             struct sk_bytes data)
{
    if (data.n != sk_metainfo_piece_length(metainfo, piece))
        return 0;
    if (!metainfo->has_v1)
        return verify_v2(metainfo, piece, data);
    uint8_t digest[SK_SHA1_SIZE];
    sk_sha1(data.p, data.n, digest);
    return memcmp(digest, metainfo->hashes + (size_t)piece * SK_SHA1_SIZE, sizeof digest) == 0;
}
