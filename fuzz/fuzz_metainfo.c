/*
 * Torrents and info dictionaries. What is accepted must hold what metainfo.h promises: the rest of
 * the program counts on it without looking again.
 */
#include "wire/metainfo.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No element that leads elsewhere, nothing that is no name. */
static void check_path(const char *path)
{
    SK_ASSERT(strlen(path) <= SK_METAINFO_PATH_MAX && sk_text_is_utf8(sk_bytes_text(path)));
    for (;;) {
        size_t n = strcspn(path, "/");
        SK_ASSERT(n > 0 && n <= 255);
        SK_ASSERT(!(n <= 2 && memcmp(path, "..", n) == 0));
        for (size_t i = 0; i < n; i++)
            SK_ASSERT((uint8_t)path[i] >= ' ' && path[i] != '\\' && path[i] != 0x7f);
        if (!path[n])
            break;
        path += n + 1;
    }
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_paths_differ(const struct sk_metainfo *m)
{
    const char **paths = calloc(m->files_count, sizeof *paths);
    size_t count = 0;
    SK_ASSERT(paths);
    for (uint32_t i = 0; i < m->files_count; i++)
        if (!(m->files[i].flags & SK_FILE_PADDING))
            paths[count++] = m->files[i].path;
    qsort(paths, count, sizeof *paths, compare_texts);
    for (size_t i = 1; i < count; i++)
        SK_ASSERT(strcmp(paths[i - 1], paths[i]) != 0);
    free(paths);
}

static void check_files(const struct sk_metainfo *m)
{
    uint64_t size = 0, end = 0;
    for (uint32_t i = 0; i < m->files_count; i++) {
        const struct sk_file *file = &m->files[i];
        check_path(file->path);
        SK_ASSERT(file->offset >= end);
        end = file->offset + file->length;
        size += file->flags & SK_FILE_PADDING ? 0 : file->length;
        SK_ASSERT(!file->root || (m->has_v2 && file->length));
        SK_ASSERT(file->layer.n % SK_SHA256_SIZE == 0);
        if (file->length)
            SK_ASSERT(file->first_piece == file->offset / m->piece_size);
    }
    SK_ASSERT(size == m->size && size > 0);
    SK_ASSERT(end == m->span);
    check_paths_differ(m);
}

static void check_pieces(const struct sk_metainfo *m)
{
    static uint8_t bytes[1 << 20];
    SK_ASSERT(m->pieces > 0 && m->piece_size > 0);
    SK_ASSERT((uint64_t)m->pieces * m->piece_size >= m->span);
    SK_ASSERT((uint64_t)(m->pieces - 1) * m->piece_size < m->span);
    for (uint32_t i = 0; i < m->pieces; i += 1 + m->pieces / 64) {
        uint32_t length = sk_metainfo_piece_length(m, i);
        const struct sk_file *file = &m->files[sk_metainfo_piece_file(m, i)];
        uint64_t start = (uint64_t)i * m->piece_size;
        SK_ASSERT(length > 0 && length <= m->piece_size);
        SK_ASSERT(file->offset <= start && start < file->offset + file->length);
        sk_metainfo_piece_root(m, i);
        if (length <= sizeof bytes)
            sk_metainfo_verify_piece(m, i, sk_bytes(bytes, length));
    }
}

static void check_outside(const struct sk_metainfo *m)
{
    SK_ASSERT(m->trackers_count <= SK_METAINFO_TRACKERS_MAX);
    for (uint32_t i = 0; i < m->trackers_count; i++) {
        SK_ASSERT(m->trackers[i][0] && strlen(m->trackers[i]) <= SK_METAINFO_URL_MAX);
        SK_ASSERT(i == 0 ? m->tiers[i] == 0 : m->tiers[i] - m->tiers[i - 1] <= 1);
    }
    for (uint32_t i = 0; i < m->web_seeds_count; i++)
        SK_ASSERT(m->web_seeds[i][0]);
    for (uint32_t i = 0; i < m->nodes_count; i++)
        SK_ASSERT(strchr(m->nodes[i], ':'));
}

static void fuzz(struct sk_bytes input,
                 int (*parse)(struct sk_bytes, struct sk_metainfo **, const char **))
{
    struct sk_metainfo *m = NULL;
    const char *reason = NULL;
    if (parse(input, &m, &reason)) {
        SK_ASSERT(!m && reason);
        return;
    }
    SK_ASSERT(m && !reason && (m->has_v1 || m->has_v2) && m->name[0]);
    SK_ASSERT((m->hashes != NULL) == m->has_v1);
    check_path(m->name);
    check_files(m);
    check_pieces(m);
    check_outside(m);
    sk_metainfo_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz(sk_bytes(data, size), sk_metainfo_parse);
    fuzz(sk_bytes(data, size), sk_metainfo_parse_info);
    return 0;
}
