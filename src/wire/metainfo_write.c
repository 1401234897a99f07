#include "wire/metainfo_write.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wire/bencode.h"
#include "wire/merkle.h"

#include <stdio.h>
#include <stdlib.h>

#define PIECES_AIMED 2048
#define PIECE_SIZE_CHOSEN_MAX (16u << 20)
#define PAD_PATH_MAX 32 /* ".pad/" and a number */

uint32_t sk_metainfo_piece_size_for(uint64_t size)
{
    uint32_t piece_size = SK_BLOCK_SIZE;
    while (piece_size < PIECE_SIZE_CHOSEN_MAX && size > (uint64_t)piece_size * PIECES_AIMED)
        piece_size *= 2;
    return piece_size;
}

/* ---- the layout ---- */

static uint64_t pieces_of(const struct sk_metainfo *m, uint64_t length)
{
    return length / m->piece_size + (length % m->piece_size != 0);
}

/* Bytes from the end of the data so far to the end of its piece. */
static uint64_t gap_of(const struct sk_metainfo *m)
{
    return pieces_of(m, m->span) * m->piece_size - m->span;
}

/* Puts a file at the end of the space. */
static void place(struct sk_metainfo *m, struct sk_file *to, const struct sk_file *from)
{
    *to = *from;
    to->offset = m->span;
    to->first_piece = from->length ? (uint32_t)(m->span / m->piece_size) : 0;
    m->span += from->length;
}

/* Whether a .torrent can hold so much; then no sum of lengths overflows. */
static bool fits(const struct sk_metainfo *m, const struct sk_file *files, uint32_t count)
{
    uint64_t pieces_max = m->has_v1 ? SK_METADATA_BYTES_MAX / SK_SHA1_SIZE : SK_METAINFO_PIECES_MAX;
    if (m->has_v2)
        pieces_max = SK_MIN(pieces_max, (uint64_t)SK_METAINFO_BYTES_MAX / SK_SHA256_SIZE);
    uint64_t pieces = 0;
    for (uint32_t i = 0; i < count && pieces <= pieces_max; i++)
        pieces += m->has_v2 ? pieces_of(m, files[i].length) : files[i].length / m->piece_size;
    return pieces <= pieces_max &&
           count <= SK_METAINFO_FILES_MAX / (m->has_v1 && m->has_v2 ? 2 : 1);
}

int sk_metainfo_lay_out(struct sk_metainfo *description, const struct sk_file *files,
                        uint32_t count, struct sk_file **ret_files)
{
    struct sk_metainfo m = *description;
    bool padded = m.has_v1 && m.has_v2 && count > 1;
    if (!fits(&m, files, count))
        return SKEP_ERR_LIMIT;
    /* The names of the padding files lie behind the files. */
    size_t room = padded ? 2 * (size_t)count : count;
    struct sk_file *placed =
        sk_mem_calloc(1, room * sizeof *placed + (padded ? count : 0) * (size_t)PAD_PATH_MAX);
    if (!placed)
        return SKEP_ERR_NOMEM;
    char *names = (char *)(placed + room);
    uint32_t n = 0;
    m.size = m.span = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (m.has_v2 && !m.has_v1 && files[i].length)
            m.span += gap_of(&m);
        place(&m, &placed[n++], &files[i]);
        m.size += files[i].length;
        uint64_t gap = gap_of(&m);
        if (!padded || !gap)
            continue;
        snprintf(names, PAD_PATH_MAX, ".pad/%llu", (unsigned long long)gap);
        place(&m, &placed[n++],
              &(struct sk_file){.path = names, .length = gap, .flags = SK_FILE_PADDING});
        names += PAD_PATH_MAX;
    }
    m.files = *ret_files = placed;
    m.files_count = n;
    m.pieces = (uint32_t)pieces_of(&m, m.span);
    *description = m;
    return 0;
}

int sk_metainfo_root_files(const struct sk_metainfo *description, struct sk_file *files,
                           const uint8_t *piece_roots, uint8_t **ret_roots)
{
    const struct sk_metainfo *m = description;
    unsigned layer = (unsigned)__builtin_ctz(m->piece_size / SK_BLOCK_SIZE);
    uint8_t *roots = sk_mem_calloc(m->files_count, SK_SHA256_SIZE);
    uint8_t *scratch = sk_mem_calloc(m->pieces, SK_SHA256_SIZE);
    int err = roots && scratch ? 0 : SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < m->files_count && !err; i++) {
        struct sk_file *file = &files[i];
        if (!file->length || file->flags & SK_FILE_PADDING)
            continue;
        const uint8_t *hashes = piece_roots + (size_t)file->first_piece * SK_SHA256_SIZE;
        size_t count = (size_t)pieces_of(m, file->length);
        file->root = roots + (size_t)i * SK_SHA256_SIZE;
        sk_merkle_root(hashes, count, sk_merkle_width(count), layer, scratch,
                       roots + (size_t)i * SK_SHA256_SIZE);
        if (count > 1)
            file->layer = sk_bytes(hashes, count * SK_SHA256_SIZE);
    }
    sk_mem_free(scratch);
    if (err)
        sk_mem_free(roots);
    else
        *ret_roots = roots;
    return err;
}

/* ---- parts of the info dictionary ---- */

static void put_key_text(struct sk_buf *buf, const char *key, const char *text)
{
    if (!text)
        return;
    sk_bencode_put_text(buf, key);
    sk_bencode_put_text(buf, text);
}

static void put_key_int(struct sk_buf *buf, const char *key, uint64_t value)
{
    sk_bencode_put_text(buf, key);
    sk_bencode_put_int(buf, (int64_t)value);
}

static void put_attributes(struct sk_buf *buf, uint32_t flags)
{
    static const struct {
        uint32_t flag;
        char letter;
    } known[] = {{SK_FILE_PADDING, 'p'}, {SK_FILE_HIDDEN, 'h'}, {SK_FILE_EXECUTABLE, 'x'}};
    char letters[SK_ARRAY_LEN(known) + 1] = "";
    for (size_t i = 0, n = 0; i < SK_ARRAY_LEN(known); i++)
        if (flags & known[i].flag)
            letters[n++] = known[i].letter;
    put_key_text(buf, "attr", letters[0] ? letters : NULL);
}

/* Cuts the first element off a path that is not at its end. */
static struct sk_bytes next_element(const char **path)
{
    struct sk_bytes element = sk_bytes(*path, strcspn(*path, "/"));
    *path += element.n;
    *path += **path == '/';
    return element;
}

static void put_files(struct sk_buf *buf, const struct sk_metainfo *m)
{
    sk_bencode_put_text(buf, "files");
    sk_bencode_put_list(buf);
    for (uint32_t i = 0; i < m->files_count; i++) {
        const char *path = m->files[i].path;
        sk_bencode_put_dict(buf);
        put_attributes(buf, m->files[i].flags);
        put_key_int(buf, "length", m->files[i].length);
        sk_bencode_put_text(buf, "path");
        sk_bencode_put_list(buf);
        while (*path)
            sk_bencode_put_string(buf, next_element(&path));
        sk_bencode_put_end(buf);
        sk_bencode_put_end(buf);
    }
    sk_bencode_put_end(buf);
}

/* ---- the file tree ---- */

/* How many directories two paths have in common. False where b cannot come after a in a tree. */
static bool compare_paths(const char *a, const char *b, unsigned *ret_common)
{
    unsigned common = 0;
    while (*a && *b) {
        bool a_ends = !strchr(a, '/'), b_ends = !strchr(b, '/');
        struct sk_bytes x = next_element(&a), y = next_element(&b);
        int order = sk_bytes_compare(x, y);
        *ret_common = common++;
        if (order || a_ends || b_ends)
            return order < 0;
    }
    return false;
}

static unsigned depth_of(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

/* A file's entry: its name, and under an empty key what there is to say. */
static void put_leaf(struct sk_buf *buf, struct sk_bytes name, const struct sk_file *file)
{
    sk_bencode_put_string(buf, name);
    sk_bencode_put_dict(buf);
    sk_bencode_put_text(buf, "");
    sk_bencode_put_dict(buf);
    put_attributes(buf, file->flags);
    put_key_int(buf, "length", file->length);
    if (file->root) {
        sk_bencode_put_text(buf, "pieces root");
        sk_bencode_put_string(buf, sk_bytes(file->root, SK_SHA256_SIZE));
    }
    sk_bencode_put_end(buf);
    sk_bencode_put_end(buf);
}

static int put_tree(struct sk_buf *buf, const struct sk_metainfo *m)
{
    const char *before = NULL;
    unsigned open = 0; /* directories that we are in */
    for (uint32_t i = 0; i < m->files_count; i++) {
        const struct sk_file *file = &m->files[i];
        const char *path = file->path;
        unsigned common = 0, depth = depth_of(path);
        if (file->flags & SK_FILE_PADDING)
            continue;
        if (before && !compare_paths(before, path, &common))
            return SKEP_ERR_INVALID;
        before = path;
        for (; open > common; open--)
            sk_bencode_put_end(buf);
        for (unsigned at = 0; at < depth; at++) {
            struct sk_bytes name = next_element(&path);
            if (at < common)
                continue;
            sk_bencode_put_string(buf, name);
            sk_bencode_put_dict(buf);
            open++;
        }
        put_leaf(buf, next_element(&path), file);
    }
    for (; open; open--)
        sk_bencode_put_end(buf);
    return 0;
}

static int put_file_tree(struct sk_buf *buf, const struct sk_metainfo *m)
{
    int err = 0;
    sk_bencode_put_text(buf, "file tree");
    sk_bencode_put_dict(buf);
    if (m->single_file)
        put_leaf(buf, sk_bytes_text(m->name), &m->files[0]);
    else
        err = put_tree(buf, m);
    sk_bencode_put_end(buf);
    return err;
}

int sk_metainfo_write_info(const struct sk_metainfo *description, const char *source,
                           struct sk_buf *buf)
{
    const struct sk_metainfo *m = description;
    bool single_v1 = m->has_v1 && m->single_file;
    SK_ASSERT(m->files_count && (m->has_v1 || m->has_v2));
    for (uint32_t i = 0; i < m->files_count; i++)
        if (m->files[i].flags & SK_FILE_SYMLINK)
            return SKEP_ERR_UNSUPPORTED;
    sk_bencode_put_dict(buf);
    if (single_v1)
        put_attributes(buf, m->files[0].flags);
    int err = m->has_v2 ? put_file_tree(buf, m) : 0;
    if (single_v1)
        put_key_int(buf, "length", m->files[0].length);
    else if (m->has_v1)
        put_files(buf, m);
    if (m->has_v2)
        put_key_int(buf, "meta version", 2);
    put_key_text(buf, "name", m->name);
    put_key_int(buf, "piece length", m->piece_size);
    if (m->has_v1) {
        sk_bencode_put_text(buf, "pieces");
        sk_bencode_put_string(buf, sk_bytes(m->hashes, (size_t)m->pieces * SK_SHA1_SIZE));
    }
    if (m->is_private)
        put_key_int(buf, "private", 1);
    put_key_text(buf, "source", source);
    sk_bencode_put_end(buf);
    return err ? err : buf->failed ? SKEP_ERR_NOMEM : 0;
}

/* ---- what lies around it ---- */

static void put_trackers(struct sk_buf *buf, const struct sk_metainfo *m)
{
    if (!m->trackers_count)
        return;
    put_key_text(buf, "announce", m->trackers[0]);
    if (m->trackers_count == 1)
        return;
    sk_bencode_put_text(buf, "announce-list");
    sk_bencode_put_list(buf);
    for (uint32_t i = 0; i < m->trackers_count; i++) {
        if (i == 0 || m->tiers[i] != m->tiers[i - 1])
            sk_bencode_put_list(buf);
        sk_bencode_put_text(buf, m->trackers[i]);
        if (i + 1 == m->trackers_count || m->tiers[i + 1] != m->tiers[i])
            sk_bencode_put_end(buf);
    }
    sk_bencode_put_end(buf);
}

static int compare_roots(const void *a, const void *b)
{
    const struct sk_file *const *x = a, *const *y = b;
    return memcmp((*x)->root, (*y)->root, SK_SHA256_SIZE);
}

/* By their roots, in order; equal files share one. */
static int put_layers(struct sk_buf *buf, const struct sk_metainfo *m)
{
    const struct sk_file **files = sk_mem_calloc(m->files_count, sizeof(struct sk_file *));
    if (!files)
        return SKEP_ERR_NOMEM;
    size_t count = 0;
    for (uint32_t i = 0; i < m->files_count; i++)
        if (m->files[i].layer.n)
            files[count++] = &m->files[i];
    qsort(files, count, sizeof(struct sk_file *), compare_roots);
    sk_bencode_put_text(buf, "piece layers");
    sk_bencode_put_dict(buf);
    for (size_t i = 0; i < count; i++) {
        if (i && compare_roots(&files[i - 1], &files[i]) == 0)
            continue;
        sk_bencode_put_string(buf, sk_bytes(files[i]->root, SK_SHA256_SIZE));
        sk_bencode_put_string(buf, files[i]->layer);
    }
    sk_bencode_put_end(buf);
    sk_mem_free(files);
    return 0;
}

static void put_web_seeds(struct sk_buf *buf, const struct sk_metainfo *m)
{
    if (!m->web_seeds_count)
        return;
    sk_bencode_put_text(buf, "url-list");
    sk_bencode_put_list(buf);
    for (uint32_t i = 0; i < m->web_seeds_count; i++)
        sk_bencode_put_text(buf, m->web_seeds[i]);
    sk_bencode_put_end(buf);
}

int sk_metainfo_write(const struct sk_metainfo *description, const char *source, struct sk_buf *buf)
{
    const struct sk_metainfo *m = description;
    sk_bencode_put_dict(buf);
    put_trackers(buf, m);
    put_key_text(buf, "comment", m->comment);
    put_key_text(buf, "created by", m->created_by);
    if (m->created_s) {
        sk_bencode_put_text(buf, "creation date");
        sk_bencode_put_int(buf, m->created_s);
    }
    sk_bencode_put_text(buf, "info");
    int err = sk_metainfo_write_info(m, source, buf);
    if (!err && m->has_v2)
        err = put_layers(buf, m);
    put_web_seeds(buf, m);
    sk_bencode_put_end(buf);
    return err ? err : buf->failed ? SKEP_ERR_NOMEM : 0;
}

/* ---- magnet links ---- */

static void put_parameter(struct sk_buf *buf, const char *key, const char *value)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    sk_buf_printf(buf, "&%s=", key);
    for (; *value; value++) {
        if (strchr(unreserved, *value))
            sk_buf_append(buf, value, 1);
        else
            sk_buf_printf(buf, "%%%02X", (uint8_t)*value);
    }
}

int sk_metainfo_write_magnet(const struct sk_metainfo *torrent, struct sk_buf *buf)
{
    char hex[2 * SK_SHA256_SIZE + 1];
    sk_buf_text(buf, "magnet:?");
    if (torrent->has_v1) {
        sk_hex_encode(torrent->hash_v1, SK_SHA1_SIZE, hex);
        sk_buf_printf(buf, "xt=urn:btih:%s", hex);
    }
    if (torrent->has_v2) {
        sk_hex_encode(torrent->hash_v2, SK_SHA256_SIZE, hex);
        sk_buf_printf(buf, "%sxt=urn:btmh:1220%s", torrent->has_v1 ? "&" : "", hex);
    }
    put_parameter(buf, "dn", torrent->name);
    sk_buf_printf(buf, "&xl=%llu", (unsigned long long)torrent->size);
    for (uint32_t i = 0; i < torrent->trackers_count; i++)
        put_parameter(buf, "tr", torrent->trackers[i]);
    for (uint32_t i = 0; i < torrent->web_seeds_count; i++)
        put_parameter(buf, "ws", torrent->web_seeds[i]);
    return buf->failed ? SKEP_ERR_NOMEM : 0;
}
