#include "wire/metainfo_build.h"

#include <skep/err.h>

#include "base/assert.h"

static int read_length(struct sk_metainfo_own *own, const struct sk_bencode *value,
                       uint64_t *ret_length)
{
    if (value->type != SK_BENCODE_INT || value->integer < 0)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "a file's length is missing or negative");
    *ret_length = (uint64_t)value->integer;
    return 0;
}

static int read_path(struct sk_metainfo_own *own, const struct sk_bencode *elements,
                     struct sk_metainfo_path *ret_path)
{
    struct sk_bencode_iter iter = sk_bencode_iter(elements);
    struct sk_bencode element;
    ret_path->n = 0;
    if (elements->type != SK_BENCODE_LIST)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "a file has no path");
    while (sk_bencode_next(&iter, NULL, &element)) {
        if (element.type != SK_BENCODE_STRING)
            return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "a file's path is not made of texts");
        if (sk_metainfo_path_push(ret_path, element.string) != 0)
            return sk_metainfo_fail(own, SKEP_ERR_LIMIT, "a file's path is too long");
    }
    if (ret_path->n == 0)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "a file has no path");
    return 0;
}

static int read_file(struct sk_metainfo_own *own, const struct sk_bencode *dict)
{
    struct sk_bencode attr = {0}, length = {0}, path = {0}, path_utf8 = {0};
    const struct sk_metainfo_field fields[] = {
        {"length", &length},
        {"path", &path},
        {"attr", &attr},
        {"path.utf-8", &path_utf8},
    };
    struct sk_metainfo_path text;
    struct sk_file *file;
    uint64_t bytes = 0;
    int err = sk_metainfo_collect(own, dict, fields, SK_ARRAY_LEN(fields));
    if (err)
        return err;
    uint32_t flags = sk_metainfo_attributes(&attr);
    /* BEP 47: a symbolic link takes no room, whatever its length says. */
    if (!(flags & SK_FILE_SYMLINK))
        err = read_length(own, &length, &bytes);
    if (!err)
        err = read_path(own, path_utf8.type == SK_BENCODE_LIST ? &path_utf8 : &path, &text);
    return err ? err : sk_metainfo_add_file(own, &text, bytes, flags, &file);
}

static int read_files(struct sk_metainfo_own *own, const struct sk_bencode *files)
{
    struct sk_bencode_iter iter = sk_bencode_iter(files);
    struct sk_bencode dict;
    int err = 0;
    if (files->type != SK_BENCODE_LIST)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "there is no list of files");
    while (!err && sk_bencode_next(&iter, NULL, &dict))
        err = read_file(own, &dict);
    return err;
}

/* The 'length' form: one file, which has the torrent's name. */
static int read_single(struct sk_metainfo_own *own, const struct sk_bencode *length,
                       const struct sk_bencode *attr)
{
    const uint32_t sensible = SK_FILE_EXECUTABLE | SK_FILE_HIDDEN;
    struct sk_metainfo_path path;
    struct sk_file *file;
    uint64_t bytes = 0;
    path.n = strlen(own->public.name);
    memcpy(path.text, own->public.name, path.n);
    own->public.single_file = true;
    int err = read_length(own, length, &bytes);
    uint32_t flags = sk_metainfo_attributes(attr) & sensible;
    return err ? err : sk_metainfo_add_file(own, &path, bytes, flags, &file);
}

int sk_metainfo_read_v1(struct sk_metainfo_own *own, const struct sk_metainfo_fields *fields)
{
    struct sk_metainfo *m = &own->public;
    bool single = fields->length.type != SK_BENCODE_NONE;
    if (single && fields->files.type != SK_BENCODE_NONE)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED, "it is both one file and many");
    int err =
        single ? read_single(own, &fields->length, &fields->attr) : read_files(own, &fields->files);
    if (err)
        return err;
    struct sk_bytes hashes = fields->pieces.string;
    uint64_t pieces = m->span / m->piece_size + (m->span % m->piece_size != 0);
    if (hashes.n != pieces * SK_SHA1_SIZE)
        return sk_metainfo_fail(own, SKEP_ERR_MALFORMED,
                                "the number of piece hashes is not that of the pieces");
    m->hashes = hashes.p;
    m->pieces = (uint32_t)pieces;
    return 0;
}
