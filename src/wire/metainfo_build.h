/*
 * What the halves of the metainfo parser share: the object under construction. Internal to wire.
 *
 * metainfo.c reads the envelope, metainfo_v1.c and metainfo_v2.c the two kinds of info dictionary,
 * metainfo_path.c makes names safe.
 */
#ifndef SK_WIRE_METAINFO_BUILD_H
#define SK_WIRE_METAINFO_BUILD_H

#include "base/limits.h"
#include "wire/bencode.h"
#include "wire/metainfo.h"

#include <stdalign.h>

/* Memory that is freed all at once, with the metainfo. */
struct sk_metainfo_chunk {
    struct sk_metainfo_chunk *next;
    size_t used, size;
    alignas(max_align_t) uint8_t bytes[];
};

/* The object behind a struct sk_metainfo, which is its beginning. */
struct sk_metainfo_own {
    struct sk_metainfo public;
    uint8_t *input; /* our copy; views point into it */
    struct sk_file *files;
    uint32_t files_capacity;
    struct sk_metainfo_chunk *chunks;
    const char *reason; /* why the parse failed */
};

/* What an info dictionary may say, as found; type NONE where absent. */
struct sk_metainfo_fields {
    struct sk_bencode name, name_utf8, piece_length, is_private, meta_version;
    struct sk_bencode pieces, length, attr, files; /* v1 */
    struct sk_bencode file_tree;                   /* v2 */
};

/* A path under construction, '/'-joined and safe. */
struct sk_metainfo_path {
    size_t n;
    char text[SK_METAINFO_PATH_MAX + 1];
};

/* One key that a dictionary may have, and where its value goes. */
struct sk_metainfo_field {
    const char *key;
    struct sk_bencode *value;
};

/* Notes the reason and returns err. */
int sk_metainfo_fail(struct sk_metainfo_own *own, int err, const char *reason);
/* Memory of the metainfo's own; NULL on no memory (and then the reason is noted). */
void *sk_metainfo_alloc(struct sk_metainfo_own *own, size_t size, size_t alignment);
/* A NUL-terminated copy; bytes after a NUL inside are left out. NULL on no memory. */
char *sk_metainfo_text(struct sk_metainfo_own *own, struct sk_bytes text);
/* Reads the fields of a dictionary in one pass: SKEP_ERR_MALFORMED where `dict` is none or a field
 * comes twice. */
int sk_metainfo_collect(struct sk_metainfo_own *own, const struct sk_bencode *dict,
                        const struct sk_metainfo_field *fields, size_t count);
/* Adds a file after all others, its bytes following at public.span. Counts size and span. */
int sk_metainfo_add_file(struct sk_metainfo_own *own, const struct sk_metainfo_path *path,
                         uint64_t length, uint32_t flags, struct sk_file **ret_file);
/* BEP 47 attributes as enum sk_file_flags. */
uint32_t sk_metainfo_attributes(const struct sk_bencode *attr);

int sk_metainfo_read_v1(struct sk_metainfo_own *own, const struct sk_metainfo_fields *fields);
/* Where v1 was read before, matches the file tree against its files. */
int sk_metainfo_read_v2(struct sk_metainfo_own *own, const struct sk_metainfo_fields *fields);
/* Gives the files the layers of a 'piece layers' dictionary, all checked. */
int sk_metainfo_read_layers(struct sk_metainfo_own *own, const struct sk_bencode *layers);

/* Appends an element to a path, made safe. SKEP_ERR_LIMIT where the path becomes too long. */
int sk_metainfo_path_push(struct sk_metainfo_path *path, struct sk_bytes element);
/* Renames files whose paths are equal to another's, or to a directory's, when case is folded. */
int sk_metainfo_tell_apart(struct sk_metainfo_own *own);

#endif
