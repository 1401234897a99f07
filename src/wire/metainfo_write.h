/*
 * The other direction of metainfo.h: from a description to the bytes of a .torrent, v1 (BEP 3), v2
 * and hybrid (BEP 52), and to a magnet link. Layer: wire. Pure.
 *
 * A description is a struct sk_metainfo that the caller fills himself: has_v1, has_v2, name,
 * piece_size, single_file, is_private, comment, created_by, created_s, trackers with their tiers,
 * web_seeds; its files come from sk_metainfo_lay_out(), with the attributes of BEP 47; their hashes
 * are put in when they are known. What is written reads back as the description, where its names
 * are safe ones. BEP 5 nodes and symbolic links are not written.
 */
#ifndef SK_WIRE_METAINFO_WRITE_H
#define SK_WIRE_METAINFO_WRITE_H

#include "wire/metainfo.h"

/* The piece size for so many bytes of data: the least power of two, from a block (16 KiB) to 16
 * MiB, with which they make 2,048 pieces at most. Such a list of hashes is some 40 KiB. */
uint32_t sk_metainfo_piece_size_for(uint64_t size);

/*
 * Gives files their places in the space of the pieces and sets files, files_count, size, span and
 * pieces of the description. v1 alone: end to end. v2: each file that is not empty begins on a
 * piece; in a hybrid of many files a padding file fills up what each leaves of its last piece (the
 * last file's too: so libtorrent 2 does it, and the same data gets the same info-hash).
 *
 * Of the `count` files path, length and flags are read; the paths, '/'-joined, are borrowed and
 * ascend element by element. `ret_files` is owned by the caller (sk_mem_free(), once).
 * SKEP_ERR_LIMIT (too many files or pieces for a .torrent), SKEP_ERR_NOMEM.
 */
int sk_metainfo_lay_out(struct sk_metainfo *description, const struct sk_file *files,
                        uint32_t count, struct sk_file **ret_files);
/*
 * v2: gives the files (those of sk_metainfo_lay_out()) their layers and roots from the roots of all
 * pieces, 32 bytes each, which are borrowed. `ret_roots`, which the files then borrow too, is owned
 * by the caller (sk_mem_free()). SKEP_ERR_NOMEM.
 */
int sk_metainfo_root_files(const struct sk_metainfo *description, struct sk_file *files,
                           const uint8_t *piece_roots, uint8_t **ret_roots);

/*
 * Appends the whole .torrent, canonical: keys in order, nothing twice. `source` (NULL: none) goes
 * into the info dictionary, where some trackers want their name, so that their torrents have
 * info-hashes of their own. SKEP_ERR_INVALID (v2: the paths do not ascend, or one leads through a
 * file), SKEP_ERR_UNSUPPORTED (a symbolic link), SKEP_ERR_NOMEM (or the buffer is full).
 */
int sk_metainfo_write(const struct sk_metainfo *description, const char *source,
                      struct sk_buf *buf);
/* The same of the info dictionary alone. */
int sk_metainfo_write_info(const struct sk_metainfo *description, const char *source,
                           struct sk_buf *buf);
/* Appends the magnet link of a torrent that was read: info-hashes, name, size, trackers and web
 * seeds. Not terminated. SKEP_ERR_NOMEM (or the buffer is full). */
int sk_metainfo_write_magnet(const struct sk_metainfo *torrent, struct sk_buf *buf);

#endif
