/*
 * What files there are below a directory, for a new torrent. Layer: driver.
 *
 * No symbolic link is followed: what it points to may lie anywhere. Links, sockets, pipes and
 * devices are passed over, and told of. Hidden files are files like others.
 *
 * Memory: a struct sk_file and the path for each file, SK_METAINFO_FILES_MAX at most.
 */
#ifndef SK_DRIVER_TREE_H
#define SK_DRIVER_TREE_H

#include "base/limits.h"
#include "wire/metainfo.h"

#include <sys/stat.h>

/* Levels of directories; with what lies around them they fit into SK_BENCODE_DEPTH_MAX. */
#define SK_TREE_DEPTH_MAX (SK_BENCODE_DEPTH_MAX - 5)

enum sk_tree_skip { SK_TREE_LINK, SK_TREE_SPECIAL, SK_TREE_EXCLUDED };

/* Told of each thing that is passed over. */
typedef void (*sk_tree_fn)(void *ctx, const char *path, enum sk_tree_skip why);

struct sk_tree {
    /* Set by the caller before sk_tree_read(). */
    sk_tree_fn skipped;
    void *ctx;
    const struct stat *exclude; /* a file that is no part of it; NULL: none */
    /* The regular files: path, length, flags (executable, for whom it belongs to). Ascending,
     * element by element, by the bytes of their names. */
    struct sk_file *files;
    uint32_t count, capacity;
    char path[SK_METAINFO_PATH_MAX + 1]; /* after a failure: where it was; "" is the root */
};

/* Reads all below the directory. SKEP_ERR_IO (errno says why), SKEP_ERR_LIMIT (too many files, too
 * deep, a path too long), SKEP_ERR_NOMEM. */
int sk_tree_read(struct sk_tree *tree, int root);
/* Adds one file by its path. SKEP_ERR_LIMIT, SKEP_ERR_NOMEM. */
int sk_tree_add(struct sk_tree *tree, const char *path, const struct stat *about);
void sk_tree_deinit(struct sk_tree *tree);

#endif
