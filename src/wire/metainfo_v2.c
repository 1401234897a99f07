#include "wire/metainfo_build.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/merkle.h"

#include <stdlib.h>

static uint64_t pieces_of(const struct sk_metainfo *m, uint64_t length)
{
    return length / m->piece_size + (length % m->piece_size != 0);
}

/* The layer of a tree whose hashes cover a piece each. */
static unsigned piece_layer(const struct sk_metainfo *m)
{
    return (unsigned)__builtin_ctz(m->piece_size / SK_BLOCK_SIZE);
}

/* A dictionary of the file tree that the walk is inside of. */
struct level {
    struct sk_bencode_iter iter;
    size_t path_n; /* length of its path */
    bool empty;    /* nothing was read from it yet */
    bool is_file;  /* it had an empty key */
};

struct walk {
    struct level levels[SK_BENCODE_DEPTH_MAX];
    size_t depth;
    struct sk_metainfo_path path;
    uint32_t matched; /* hybrid: v1 files before this one have their twins */
};

/* Hybrid: finds the v1 file that must be this one. */
static int match_file(struct sk_metainfo_own *own, struct walk *walk, uint64_t length,
                      struct sk_file **ret_file)
{
    struct sk_metainfo *m = &own->public;
    while (walk->matched < m->files_count && own->files[walk->matched].flags & SK_FILE_PADDING)
        walk->matched++;
    if (walk->matched == m->files_count)
        return sk_metainfo_fail(own, SKEP_ERR_MISMATCH, "the v2 half has files that v1 has not");
    struct sk_file *file = &own->files[walk->matched++];
    if (file->length != length || strlen(file->path) != walk->path.n ||
        memcmp(file->path, walk->path.text, walk->path.n) != 0)
        return sk_metainfo_fail(own, SKEP_ERR_MISMATCH, "the v1 and v2 halves list other files");
    if (length && file->offset % m->piece_size)
        return sk_metainfo_fail(own, SKEP_ERR_MISMATCH,
                                "the v1 half does not begin its files on pieces");
    *ret_file = file;
    return 0;
}

/* v2 alone: every file that is not empty begins on a piece. */
static int append_file(struct sk_metainfo_own *own, struct walk *walk, uint64_t length,
                       uint32_t flags, struct sk_file **ret_file)
{
    struct sk_metainfo *m = &own->public;
    if (length)
        m->span = pieces_of(m, m->span) * m->piece_size;
    return sk_metainfo_add_file(own, &walk->path, length, flags, ret_file);
}

static int read_leaf(struct sk_metainfo_own *own, struct walk *walk, const struct sk_bencode *dict)
{
    struct sk_bencode attr = {0}, length = {0}, root = {0};
    const struct sk_metainfo_field fields[] = {
        {"length", &length},
        {"pieces root", &root},
        {"attr", &attr},
    };
    struct sk_file *file = NULL;
    int err = sk_metainfo_collect(own, dict, fields, SK_ARRAY_LEN(fields));
    if (err)
        return err;
    if (length.type != SK_BENCODE_INT || length.integer < 0)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "a file's length is missing or negative");
    uint32_t flags = sk_metainfo_attributes(&attr) & ~(uint32_t)SK_FILE_PADDING;
    uint64_t bytes = flags & SK_FILE_SYMLINK ? 0 : (uint64_t)length.integer;
    if (bytes && root.string.n != SK_SHA256_SIZE)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "a file has no pieces root");
    err = own->public.has_v1 ? match_file(own, walk, bytes, &file)
                             : append_file(own, walk, bytes, flags, &file);
    if (!err && bytes)
        file->root = root.string.p;
    return err;
}

static int enter(struct sk_metainfo_own *own, struct walk *walk, const struct sk_bencode *dict)
{
    if (dict->type != SK_BENCODE_DICT)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "the file tree is not of dictionaries");
    SK_ASSERT(walk->depth < SK_BENCODE_DEPTH_MAX); /* the parser goes no deeper */
    walk->levels[walk->depth++] = (struct level){
        .iter = sk_bencode_iter(dict),
        .path_n = walk->path.n,
        .empty = true,
    };
    return 0;
}

/* One entry of the innermost dictionary: what is under an empty key makes its owner a file. */
static int read_entry(struct sk_metainfo_own *own, struct walk *walk, struct sk_bytes key,
                      const struct sk_bencode *value)
{
    struct level *level = &walk->levels[walk->depth - 1];
    if (level->is_file || (key.n == 0 && (!level->empty || walk->depth == 1)))
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "something is both file and directory");
    level->empty = false;
    level->is_file = key.n == 0;
    walk->path.n = level->path_n;
    if (level->is_file)
        return read_leaf(own, walk, value);
    if (sk_metainfo_path_push(&walk->path, key) != 0)
        return sk_metainfo_fail(own, SKEP_ERR_LIMIT, "a file's path is too long");
    return enter(own, walk, value);
}

static int read_tree(struct sk_metainfo_own *own, struct walk *walk, const struct sk_bencode *tree)
{
    struct sk_bencode value;
    struct sk_bytes key;
    int err = enter(own, walk, tree);
    while (!err && walk->depth) {
        if (sk_bencode_next(&walk->levels[walk->depth - 1].iter, &key, &value))
            err = read_entry(own, walk, key, &value);
        else
            walk->depth--;
    }
    return err;
}

/* What must hold of a hybrid once all v2 files have their twins. */
static int check_hybrid(struct sk_metainfo_own *own, const struct walk *walk)
{
    const struct sk_metainfo *m = &own->public;
    uint64_t pieces = 0;
    for (uint32_t i = 0; i < m->files_count; i++) {
        const struct sk_file *file = &own->files[i];
        bool padding = file->flags & SK_FILE_PADDING;
        if (!padding && i >= walk->matched)
            return sk_metainfo_fail(own, SKEP_ERR_MISMATCH,
                                    "the v1 half has files that v2 has not");
        pieces += padding ? 0 : pieces_of(m, file->length);
    }
    if (pieces != m->pieces)
        return sk_metainfo_fail(own, SKEP_ERR_MISMATCH, "the v1 and v2 halves have other pieces");
    return 0;
}

int sk_metainfo_read_v2(struct sk_metainfo_own *own, const struct sk_metainfo_fields *fields)
{
    struct sk_metainfo *m = &own->public;
    struct walk walk;
    walk.depth = walk.path.n = walk.matched = 0;
    if (m->piece_size < SK_BLOCK_SIZE || (m->piece_size & (m->piece_size - 1)))
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED,
                                "the piece length is not a power of two of 16 KiB or more");
    int err = read_tree(own, &walk, &fields->file_tree);
    if (err)
        return err;
    if (m->has_v1)
        return check_hybrid(own, &walk);
    m->pieces = (uint32_t)pieces_of(m, m->span);
    m->single_file = m->files_count == 1 && strcmp(m->files[0].path, m->name) == 0;
    return 0;
}

/* An entry of 'piece layers'. */
struct entry {
    uint64_t order; /* the root's first bytes: comparing these seldom leaves anything to do */
    struct sk_bytes root, layer;
    bool checked; /* it leads to its root: equal files share one */
};

static struct entry make_entry(struct sk_bytes root, struct sk_bytes layer)
{
    struct entry entry = {.root = root, .layer = layer};
    if (root.n >= sizeof entry.order)
        entry.order = sk_get_u64(root.p);
    return entry;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return sk_bytes_compare(x->root, y->root);
}

/* All entries, sorted. Owned by the caller. */
static int list_entries(struct sk_metainfo_own *own, const struct sk_bencode *layers,
                        struct entry **ret_entries, size_t *ret_count)
{
    struct sk_bencode_iter iter = sk_bencode_iter(layers);
    struct sk_bencode value;
    struct sk_bytes root;
    struct entry *entries = NULL;
    size_t count = 0, capacity = 0;
    bool sorted = true;
    while (sk_bencode_next(&iter, &root, &value)) {
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            struct entry *more = sk_mem_realloc(entries, capacity, sizeof *entries);
            if (!more) {
                sk_mem_free(entries);
                return sk_metainfo_fail(own, SKEP_ERR_NOMEM, "out of memory");
            }
            entries = more;
        }
        struct entry *entry = &entries[count++];
        *entry = make_entry(root, value.string);
        sorted = sorted && (count == 1 || compare_entries(entry - 1, entry) < 0);
    }
    if (!sorted)
        qsort(entries, count, sizeof *entries, compare_entries);
    *ret_entries = entries;
    *ret_count = count;
    return 0;
}

static bool layer_leads_to_root(const struct sk_metainfo *m, const struct sk_file *file,
                                struct sk_bytes layer, uint8_t *scratch)
{
    uint8_t root[SK_SHA256_SIZE];
    size_t count = layer.n / SK_SHA256_SIZE;
    sk_merkle_root(layer.p, count, sk_merkle_width(count), piece_layer(m), scratch, root);
    return memcmp(root, file->root, sizeof root) == 0;
}

static bool has_layer(const struct sk_metainfo *m, const struct sk_file *file)
{
    return file->root && file->length > m->piece_size;
}

static int check_layers(struct sk_metainfo_own *own, struct entry *entries, size_t count,
                        uint8_t *scratch)
{
    const struct sk_metainfo *m = &own->public;
    for (uint32_t i = 0; i < m->files_count; i++) {
        struct sk_file *file = &own->files[i];
        if (!has_layer(m, file))
            continue;
        struct entry key = make_entry(sk_bytes(file->root, SK_SHA256_SIZE), file->layer);
        struct entry *entry =
            count ? bsearch(&key, entries, count, sizeof *entries, compare_entries) : NULL;
        if (!entry)
            return sk_metainfo_fail(own, SKEP_ERR_MISMATCH, "a file's piece layer is missing");
        if (entry->layer.n != pieces_of(m, file->length) * SK_SHA256_SIZE ||
            !(entry->checked || layer_leads_to_root(m, file, entry->layer, scratch)))
            return sk_metainfo_fail(own, SKEP_ERR_MISMATCH,
                                    "a piece layer does not lead to its root");
        entry->checked = true;
        file->layer = entry->layer;
    }
    return 0;
}

int sk_metainfo_read_layers(struct sk_metainfo_own *own, const struct sk_bencode *layers)
{
    struct entry *entries = NULL;
    size_t count = 0, longest = 0;
    int err = list_entries(own, layers, &entries, &count);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++)
        longest = SK_MAX(longest, entries[i].layer.n);
    uint8_t *scratch = sk_mem_alloc(longest);
    err = scratch ? check_layers(own, entries, count, scratch)
                  : sk_metainfo_fail(own, SKEP_ERR_NOMEM, "out of memory");
    sk_mem_free(scratch);
    sk_mem_free(entries);
    return err;
}

int sk_metainfo_set_layer(struct sk_metainfo *metainfo, uint32_t file, struct sk_bytes layer)
{
    struct sk_metainfo_own *own = (struct sk_metainfo_own *)metainfo;
    SK_ASSERT(file < metainfo->files_count);
    struct sk_file *f = &own->files[file];
    if (!has_layer(metainfo, f) || layer.n != pieces_of(metainfo, f->length) * SK_SHA256_SIZE)
        return SKEP_ERR_MISMATCH;
    if (f->layer.n)
        return sk_bytes_equal(f->layer, layer) ? 0 : SKEP_ERR_MISMATCH;
    uint8_t *scratch = sk_mem_alloc(layer.n);
    if (!scratch)
        return SKEP_ERR_NOMEM;
    int err = layer_leads_to_root(metainfo, f, layer, scratch) ? 0 : SKEP_ERR_MISMATCH;
    sk_mem_free(scratch);
    if (err)
        return err;
    uint8_t *copy = sk_metainfo_alloc(own, layer.n, 1);
    if (!copy)
        return SKEP_ERR_NOMEM;
    memcpy(copy, layer.p, layer.n);
    f->layer = sk_bytes(copy, layer.n);
    return 0;
}
